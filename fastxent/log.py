"""What a fit says: lines that ``verbose`` asked for, and warnings.

Lines go through ``logging``, under the name "fastxent". Where logging is configured, they go to its handlers; otherwise
they go to stderr, as a ``verbose`` argument promises. This is decided for each line; handlers and levels are never
changed.

A thread that fits for another process has a listener, which passes on both.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

logger: logging.Logger = logging.getLogger("fastxent")
_here = threading.local()  # .listener: of this thread


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to the current ``sys.stderr``, which notebooks and tests replace."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # never set
        return sys.stderr


_standard_error = _StandardError()


def tell(text: str) -> None:
    """Log a line that ``verbose`` asked for, at level INFO.

    A level of the logger "fastxent" itself is obeyed. The level of the root logger is not: by default it is
    WARNING, and ``verbose`` overrides that.
    """
    listener = getattr(_here, "listener", None)
    if listener is not None:
        listener.line(text)
        return
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


def warn(text: str, category: type[Warning], stacklevel: int) -> None:
    """Issue a warning as ``warnings.warn`` does; stacklevel 1 is the line of this call."""
    listener = getattr(_here, "listener", None)
    if listener is None:
        warnings.warn(text, category, stacklevel=stacklevel + 1)
    else:
        listener.warning(text, category)


@contextmanager
def heard_by(listener: Any) -> Iterator[None]:
    """Let a listener have this thread's lines and warnings, by its methods ``line`` and ``warning``."""
    _here.listener = listener
    try:
        yield
    finally:
        del _here.listener


def _is_heard() -> bool:
    """Whether some handler takes lines of level INFO from our logger."""
    at = logger
    while at is not None:
        if any(handler.level <= logging.INFO and not _is_deaf(handler) for handler in at.handlers):
            return True
        at = at.parent if at.propagate else None
    return False


def _is_deaf(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.NullHandler)
