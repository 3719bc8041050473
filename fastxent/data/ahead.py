"""One batch read ahead: the next one is read while its predecessor is used."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


T = TypeVar("T")
_PATIENCE = (
    0.1  # seconds that an end waits for a read under way, which ends by itself; Ctrl-C is not to take longer
)


def ahead(batches: Iterable[T]) -> Iterator[T]:
    """Yield what an iterable yields, in order; the next item is read meanwhile, in a thread of its own.

    The thread lasts as long as the read of one item, so none is left when the caller stops early. What a read raises,
    the caller gets in its place.

    >>> list(ahead("abc"))
    ['a', 'b', 'c']
    """
    iterator = iter(batches)
    reading = _Reading(iterator)
    try:
        while True:
            try:
                item = reading.result()
            except StopIteration:
                return
            reading = _Reading(iterator)
            yield item
            del item  # or three would be in memory
    finally:
        reading.end(iterator)


class _Reading(Generic[T]):
    """The read of one item that is under way."""

    def __init__(self, iterator: Iterator[T]) -> None:
        self._iterator = iterator
        self._item: T | None = None
        self._error: BaseException | None = None
        self._process = os.getpid()
        self._thread: threading.Thread | None = threading.Thread(
            target=self._read, name="fastxent reads ahead", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # no more threads, or the interpreter is ending
            self._thread = None
            self._read()

    def _read(self) -> None:
        try:
            self._item = next(self._iterator)
        except BaseException as error:
            self._error = error

    def result(self) -> T:
        if self._thread is not None:
            if os.getpid() != self._process:
                raise RuntimeError(
                    "this process was forked while a batch was being read, and its copy of the pass cannot go on: "
                    "begin a new one"
                )
            self._thread.join()
        if self._error is not None:
            error, self._error = self._error, None
            try:
                raise error
            finally:
                del error  # its traceback holds this frame: together they would keep the last batches
        item, self._item = self._item, None
        return cast("T", item)

    def end(self, iterator: Iterator[T]) -> None:
        """Give up the pass; an iterator that can be closed is, unless a read takes too long."""
        if self._thread is not None and os.getpid() == self._process:
            self._thread.join(_PATIENCE)
        close = getattr(iterator, "close", None)
        if close is not None:
            with suppress(ValueError):  # a generator that is running
                close()
