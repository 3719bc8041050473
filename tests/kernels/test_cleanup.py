"""Contexts that are left properly, whatever interrupts them."""

import signal
import sys
import threading
import time

import pytest

from fastxent.kernels.cleanup import Cleanup


class Log(Cleanup):
    """Raises what it is told to, one thing at each call, and keeps a log."""

    def __init__(self, enter=(), leave=()):
        self.failures = {"enter": list(enter), "leave": list(leave)}
        self.log = []

    def enter(self):
        self.note("enter", ())

    def leave(self, error):
        self.note("leave", (type(error).__name__,))

    def note(self, name, what):
        self.log.append((name, len(self._inside), *what))
        if self.failures[name]:
            raise self.failures[name].pop(0)


def test_enter_and_leave():
    context = Log()
    with context:
        context.log.append("inside")
    assert context.log == [("enter", 1), "inside", ("leave", 0, "NoneType")]


def test_leave_hears_of_the_exception_and_lets_it_pass():
    context = Log()
    with pytest.raises(ZeroDivisionError), context:
        _ = 1 / 0
    assert context.log[-1] == ("leave", 0, "ZeroDivisionError")


@pytest.mark.parametrize("error", [KeyboardInterrupt, TimeoutError, MemoryError])
def test_a_failure_to_enter_is_followed_by_leave(error):
    context = Log(enter=[error("in")])
    with pytest.raises(error, match="in"), context:
        pytest.fail("entered")
    assert context.log == [("enter", 1), ("leave", 0, error.__name__)]
    assert not context._inside


@pytest.mark.parametrize("times", [1, 2, 50])
def test_leave_is_called_until_it_returns(times):
    context = Log(leave=[KeyboardInterrupt(i) for i in range(times)])
    with pytest.raises(KeyboardInterrupt, match=f"^{times - 1}$"), context:
        pass
    names = ["NoneType"] + ["KeyboardInterrupt"] * times
    assert context.log[1:] == [("leave", 0, name) for name in names]


def test_an_interruption_of_leave_goes_with_the_exception_that_ended_the_block():
    context = Log(leave=[KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt) as caught, context:
        raise ValueError("in the block")
    assert isinstance(caught.value.__context__, ValueError)


def test_a_leave_that_never_returns_is_given_up():
    class Mistaken(Cleanup):
        def enter(self):
            pass

        def leave(self, error):
            raise AttributeError("a mistake")

    context = Mistaken()
    with pytest.raises(AttributeError, match="a mistake"), context:
        pass


def test_levels_and_threads():
    context = Log()
    with context, context:
        assert context._inside == {threading.get_ident(): 2}
        other = threading.Thread(target=lambda: context.__enter__())
        other.start()
        other.join()
        assert len(context._inside) == 2
    assert list(context._inside.values()) == [1]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
@pytest.mark.skipif(
    sys.version_info >= (3, 14),
    reason="Python 3.14 may run a handler between any __enter__ and the block of its with, and then calls no __exit__",
)
def test_signals_at_any_moment():
    """A context written in Python fails this at every third signal: it comes before `__exit__` begins."""
    inside, armed, caught = [], False, 0

    class Door(Cleanup):
        def enter(self):
            inside.append(1)

        def leave(self, error):
            inside.clear()

    def handler(number, frame):
        if armed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    door = Door()
    end = time.monotonic() + 0.5
    try:
        while time.monotonic() < end:
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, 20e-6 + caught % 40 * 1e-6)
                while True:
                    with door:
                        pass
            except KeyboardInterrupt:
                caught += 1
            armed = False
            assert not inside and not door._inside
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert caught > 100
