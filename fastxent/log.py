"""What a fit says while it runs, where ``verbose`` asks for it: through ``logging``, under the name "fastxent".

Whoever has configured logging gets the lines in their own handlers. Whoever has not still gets them, on stderr, as a
``verbose`` argument promises. Which of the two holds is asked for each line; no handler and no level is ever changed.
"""

import logging
import sys

logger = logging.getLogger("fastxent")


class _StandardError(logging.StreamHandler):
    """Writes to what ``sys.stderr`` is at that moment: notebooks and tests put another one in its place."""

    def __init__(self):
        logging.Handler.__init__(self)

    @property
    def stream(self):
        return sys.stderr


_standard_error = _StandardError()


def tell(text):
    """Log a line that ``verbose`` asked for, at level INFO.

    A level of the logger "fastxent" itself is obeyed. A level of the root logger is not: it is WARNING unless somebody
    says otherwise, and ``verbose`` says otherwise.
    """
    if logger.disabled or logger.manager.disable >= logging.INFO or logger.level > logging.INFO:
        return
    file, line, function, _ = logger.findCaller(stacklevel=2)
    record = logger.makeRecord(logger.name, logging.INFO, file, line, text, (), None, function)
    if _is_heard():
        logger.handle(record)
        return
    kept = logger.filter(record)  # since Python 3.12 a filter may give another record back
    if kept:
        _standard_error.handle(kept if isinstance(kept, logging.LogRecord) else record)


def _is_heard():
    """Whether some handler takes lines of level INFO from our logger."""
    at = logger
    while at is not None:
        if any(handler.level <= logging.INFO and not _is_deaf(handler) for handler in at.handlers):
            return True
        at = at.parent if at.propagate else None
    return False


def _is_deaf(handler):
    return isinstance(handler, logging.NullHandler)
