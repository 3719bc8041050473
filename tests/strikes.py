"""Ctrl-C at every place where Python looks for it, one after the other.

Python runs the handlers of signals at the beginning of a function, after a call, and when it jumps back.
"""

import dis
import functools
import itertools
import sys


@functools.cache
def _places(code):
    """Offsets of what comes next when Python has just looked."""
    steps = list(dis.get_instructions(code))
    after_calls = {
        next_.offset for step, next_ in itertools.pairwise(steps) if step.opname.startswith("CALL")
    }
    return after_calls | {step.argval for step in steps if "JUMP_BACKWARD" in step.opname}


class _Strike:
    """A trace function that raises KeyboardInterrupt at the place of this number, counted over the given files."""

    def __init__(self, number, files):
        self.left = number
        self.files = files

    def __call__(self, frame, event, argument):
        if frame.f_code.co_filename not in self.files:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "call" or (event == "opcode" and frame.f_lasti in _places(frame.f_code)):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


def strikes(action, *modules):
    """Call action() again and again, each time interrupted one place later, until it comes to its end in peace.

    Yields, after each call, its number and what it returned; or the KeyboardInterrupt that came out of it.
    """
    files = {module.__file__ for module in modules}
    number, left = 0, 0
    while left <= 0:
        number += 1
        strike = _Strike(number, files)
        before = sys.gettrace()
        sys.settrace(strike)
        try:
            result = action()
        except KeyboardInterrupt as interrupt:
            result = interrupt
        finally:
            sys.settrace(before)
        left = strike.left
        yield number, result
