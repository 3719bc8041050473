"""A pool of threads for pieces of work, and the buffers that they use.

Kernels release the GIL, so Python threads are enough. Threads are started at first use. Work too small to pay for a
hand-over (about 50 microseconds) does not use them. The pieces never depend on the number of threads, and results are
combined in the order of the pieces, so every number of threads gives the same bits.

This is our own pool, because the standard library's takes no work after the main thread has ended. A call of `run`
offers its pieces, threads of the pool join it as helpers, and the caller works on pieces, too; if no thread can be
started, it does all of them. Concurrent calls share the pool, and together they keep no more threads busy than the
largest of them asks for. Ctrl-C and fork may come at any moment. Callers therefore hold no lock of the pool, and only
change sets, by single steps that may be repeated.
"""

from __future__ import annotations

import _thread
import itertools
import operator
import os
import sys
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from . import kernels
from .blas import one_blas_thread
from .kernels.cleanup import Cleanup
from .processors import available_threads, processors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, Self

    from .typing import Array, DTypeLike


__all__ = [
    "Buffers",
    "Stoppable",
    "StoppedError",
    "SumTree",
    "available_threads",
    "one_blas_thread",
    "ordered_sum",
    "processors",
    "run",
    "stopping_point",
    "zeros",
]

T = TypeVar("T")
CACHE_LINE = kernels.CACHE_LINE
MOST_THREADS = max(8, os.cpu_count() or 1)  # per call: a few more than there are processors do no harm

_here = threading.local()  # .call: the call whose pieces this thread is working on
_MISSING = object()


def run(task: Callable[[int], T], count: int, n_threads: int | None) -> list[T]:
    """Return ``[task(0), ..., task(count - 1)]``, computed by at most n_threads threads, the caller's among them.

    ``n_threads=None`` stands for ``available_threads()``. Free threads take pieces in order. After an exception, which
    includes Ctrl-C in the caller's thread, no more pieces are taken. It is raised as soon as the running pieces have
    ended or reached a `stopping_point`.
    """
    if n_threads is None:
        n_threads = available_threads() if count > 1 else 1
    if n_threads == 1 or count <= 1:
        results = []
        for i in range(count):
            stopping_point()
            results.append(task(i))
        return results
    call = _Call(task, count, min(n_threads, count, MOST_THREADS))
    with call:
        call.work()
    return call.outcome()


def ordered_sum(terms: Iterable[Any], add: Callable[[Any, Any], Any] = operator.add) -> Any:
    """Return the sum of an iterable's terms, added in pairs: a tree whose shape depends only on their number.

    At any time there are at most log2 of that number partial sums. ``add(a, b)`` may overwrite a.

    >>> ordered_sum("abcde")
    'abcde'
    """
    tree = SumTree(add)
    for place, term in enumerate(terms):
        tree.put(term, place)
    return tree.total()


class SumTree:
    """The tree of `ordered_sum`, whose terms may come in any order, or as sums of whole subtrees.

    Attributes
    ----------
    sums : dict
        The sums so far. The key (level, place) is that of the terms  place, ..., place + 2^level - 1.

    Examples
    --------
    >>> tree = SumTree()
    >>> for place in (4, 1, 3, 2, 0):
    ...     tree.put("abcde"[place], place)
    >>> tree.sums
    {(0, 4): 'e', (2, 0): 'abcd'}
    >>> tree.total()
    'abcde'
    """

    def __init__(self, add: Callable[[Any, Any], Any] = operator.add) -> None:
        self.add = add
        self.sums: dict[tuple[int, int], Any] = {}

    def put(self, term: Any, place: int, level: int = 0) -> None:
        """Take in the sum of the terms place, ..., place + 2^level - 1."""
        while (other := self.sums.pop((level, place ^ (1 << level)), _MISSING)) is not _MISSING:
            term = self.add(term, other) if place >> level & 1 == 0 else self.add(other, term)
            place &= ~(1 << level)
            level += 1
        self.sums[level, place] = term

    def total(self) -> Any:
        """Return the sum of all terms, once they are there."""
        *sums, total = (self.sums.pop(key) for key in sorted(self.sums, key=operator.itemgetter(1)))
        while sums:
            total = self.add(sums.pop(), total)
        return total


class Stoppable:
    """A context for work that another thread may `stop`, at the next `stopping_point`; it is left by StoppedError."""

    stopped: bool
    outer: Any

    def __init__(self) -> None:
        self.stopped, self.outer = False, None

    def stop(self) -> None:
        self.stopped = True

    def __enter__(self) -> Self:
        self.outer = getattr(_here, "call", None)
        _here.call = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _here.call = self.outer
        if kind is _Stopped and self.stopped:
            raise StoppedError("the work was stopped") from None


class StoppedError(RuntimeError):
    """Work was stopped by another thread."""


def stopping_point() -> None:
    """End the running piece if its `run` has been stopped; long pieces call this regularly."""
    call = getattr(_here, "call", None)
    while call is not None:
        if call.stopped:
            raise _Stopped
        call = call.outer


class _Stopped(BaseException):
    """Ends a piece; never leaves the outermost `run`."""


class _Call(Cleanup):
    """One call of `run`: its pieces and the threads that work on them. While the context is open, others may join."""

    def __init__(self, task: Callable[[int], Any], count: int, n_threads: int) -> None:
        self.pool = _pool
        self.task = task
        self.count = count
        self.n_threads = n_threads
        self.caller = threading.get_ident()
        self.outer = getattr(_here, "call", None)  # the call in whose piece this one runs
        self.results = [_MISSING] * count
        self.pieces = itertools.count()  # next() is atomic
        self.taken = False  # whether all pieces are taken
        self.stopped = False
        self.error: BaseException | None = None  # a helper's exception
        self.helpers: set[int] = set()  # the pool's threads inside this call
        self.closed = False  # whether no more helpers are admitted
        self.left = threading.Lock()  # released by the last helper
        self.left.acquire()

    def enter(self) -> None:
        """Offer the pieces to the pool."""
        self.pool.calls[self] = None
        self.pool.invite(self)

    def leave(self, error: BaseException | None) -> None:
        """Admit no more helpers, and wait for those inside."""
        if error is not None:
            self.stopped = True
        self.closed = True
        self.pool.calls.pop(self, None)
        _here.call = self.outer
        while self.helpers and self.pool is _pool:
            # Short waits: if a library's signal handler makes the system resume a wait, Ctrl-C is heard after this one.
            self.left.acquire(timeout=0.05)
        if error is not None:
            self.error = (
                None  # the caller's is raised instead, and this one's traceback keeps everything here alive
            )
        for other in list(self.pool.calls):
            self.pool.invite(other)

    def work(self) -> None:
        """Take pieces while there are any; a helper leaves if there are more threads than this call asks for."""
        helps = threading.get_ident() != self.caller
        _here.call = self
        try:
            while True:
                stopping_point()
                i = next(self.pieces)
                if i >= self.count:
                    self.taken = True
                    break
                self.results[i] = self.task(i)
                if helps and len(self.pool.calls) > 1 and self.pool.crowd() > self.n_threads:
                    break
        except _Stopped:
            self.stopped = True

    def outcome(self) -> list[Any]:
        """Return the results, or raise a helper's exception."""
        if self.error is not None:
            error, self.error = self.error, None
            try:
                raise error
            finally:
                del error  # its traceback refers to this frame
        if self.stopped:  # because the outer call is
            raise _Stopped
        if self.pool is not _pool:  # a piece has forked, and this is the child, without the helpers
            self.results = [self.task(i) if x is _MISSING else x for i, x in enumerate(self.results)]
        return self.results


class _Pool:
    """Threads that join calls."""

    def __init__(self) -> None:
        self.calls: dict[_Call, None] = {}  # open calls, the oldest first: an ordered set
        self.size = 0  # how many threads there should be
        self.threads: set[int] = set()
        self.idle: set[int] = set()
        self.busy: set[int] = set()
        self.bell: SimpleQueue[None] = SimpleQueue()  # each item in it wakes an idle thread
        self.joining = threading.Lock()  # only the pool's own threads use it: nothing interrupts them

    def crowd(self) -> int:
        """Return how many threads the calls keep busy."""
        return len(self.busy.union([call.caller for call in list(self.calls)]))

    def invite(self, call: _Call) -> None:
        """Wake, or start, as many threads as the call can take."""
        wanted = call.n_threads - self.crowd()
        if wanted <= 0 or sys.is_finalizing():
            return
        asleep = max(0, len(self.idle) - self.bell.qsize())
        for _ in range(min(wanted, asleep)):
            self.bell.put(None)
        self.size = max(self.size, wanted)
        for _ in range(min(wanted - asleep, self.size - len(self.threads))):
            try:
                # Not threading.Thread: its start() waits until the thread runs. That is forever if there is too little
                # memory, and if Ctrl-C ends the wait, it is unknown whether there is a thread.
                _thread.start_new_thread(_help, (self,))
            except (RuntimeError, MemoryError):  # the process cannot have more threads, or is ending
                return

    def join(self, thread: int) -> _Call | None:
        """Enter a thread into the oldest call that can take one more, and return the call, or None."""
        with self.joining:
            for call in list(self.calls):
                if not (call.taken or call.stopped) and self.crowd() < call.n_threads:
                    self.busy.add(thread)
                    call.helpers.add(thread)
                    if not call.closed:
                        return call
                    call.helpers.discard(thread)  # the caller may have left before this thread entered
                    self.busy.discard(thread)
        return None


def _help(pool: _Pool) -> None:
    """Run a thread of the pool."""
    thread = threading.get_ident()
    with pool.joining:
        if len(pool.threads) >= pool.size:  # several calls may have started a thread for the same place
            return
        pool.threads.add(thread)
    with suppress(MemoryError):
        threading.current_thread().name = "fastxent"  # also makes threading.enumerate() show it
    while pool is _pool:
        try:
            # A thread first becomes idle and then looks for calls; a caller first offers its call and then looks for
            # idle threads. So they cannot miss each other.
            pool.idle.add(thread)
            call = pool.join(thread)
            if call is None:
                pool.bell.get()
                continue
            pool.idle.discard(thread)
        except MemoryError:
            pool.busy.discard(thread)
            time.sleep(0.01)
            continue
        try:
            call.work()
        except BaseException as error:
            call.error = error
            call.stopped = True
        _here.call = None
        pool.busy.discard(thread)
        call.helpers.discard(thread)
        if call.closed and not call.helpers:
            with suppress(RuntimeError):  # two threads may both find that they are the last
                call.left.release()


_pool = _Pool()


def _after_fork() -> None:
    """Make a new pool: a forked child has none of the old one's threads."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def zeros(size: int, dtype: DTypeLike) -> Array:
    """Return a zeroed 1-d array that begins on a cache line."""
    dtype = np.dtype(dtype)
    raw = np.zeros(size + CACHE_LINE // dtype.itemsize, dtype)
    skip = kernels.to_cache_line(raw) // dtype.itemsize
    return raw[skip : skip + size]


class Buffers:
    """Work arrays of one size for reuse: `take` one, `give` it back. More are allocated if none is free."""

    def __init__(self, size: int, dtype: DTypeLike) -> None:
        self.size = size
        self.dtype = dtype
        self._free: list[Array] = []

    def take(self) -> Array:
        try:
            return self._free.pop()
        except IndexError:
            return zeros(self.size, self.dtype)

    def give(self, buffer: Array) -> None:
        self._free.append(buffer)
