"""Threads: which thread runs which piece of work, and the buffers for it.

Kernels release the GIL, so a pool of Python threads is enough. Threads are started at first use, and not used when the
work is too small to pay for a hand-over (some 50 microseconds). The pieces never depend on the number of threads, and
results are combined in the order of the pieces: every number of threads gives the same bits.

The pool is our own: that of the standard library takes no more work when the main thread has ended. A call of `run`
offers its pieces, threads of the pool join it as helpers, and the caller does the rest: everything, where no thread can
be started. Calls at the same time share the pool, and together keep no more threads
busy than one of them asks for. Ctrl-C and fork may come at any moment: what callers change are sets, each in one step
that may be done twice, and they hold no lock of the pool.
"""

import _thread
import itertools
import operator
import os
import sys
import threading
import time
from contextlib import suppress
from queue import SimpleQueue

import numpy as np

from . import kernels
from .blas import one_blas_thread
from .kernels.cleanup import Cleanup
from .processors import available_threads, processors

__all__ = [
    "Buffers",
    "available_threads",
    "one_blas_thread",
    "ordered_sum",
    "processors",
    "run",
    "stopping_point",
    "zeros",
]

CACHE_LINE = kernels.CACHE_LINE
MOST_THREADS = max(8, os.cpu_count() or 1)  # of one call: a few more than there are processors do no harm

_here = threading.local()  # .call: whose pieces this thread is working on
_MISSING = object()


def run(task, count, n_threads):
    """Return ``[task(0), ..., task(count - 1)]``, computed by at most n_threads threads, the caller's among them.

    ``n_threads=None`` stands for ``available_threads()``.
    Free threads take pieces in order. An exception, Ctrl-C in the caller's thread included, stops the
    taking of further pieces, and is raised when those under way have ended or come to a `stopping_point`.
    """
    if n_threads is None and count > 1:
        n_threads = available_threads()
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


def ordered_sum(terms, add=operator.add):
    """Return the sum of an iterable's terms, in pairs: a tree that their number alone decides.

    No more partial sums than log2 of that number are alive at a time. ``add(a, b)`` may overwrite a.

    >>> ordered_sum("abcde")
    'abcde'
    """
    sums = []  # of 2^level terms each, the earlier the more
    for term in terms:
        level = 0
        while sums and sums[-1][0] == level:
            term, level = add(sums.pop()[1], term), level + 1
        sums.append((level, term))
    total = sums.pop()[1]
    while sums:
        total = add(sums.pop()[1], total)
    return total


def stopping_point():
    """Give up the piece under way if its run has been stopped: long pieces call this now and then."""
    call = getattr(_here, "call", None)
    while call is not None:
        if call.stopped:
            raise _Stopped
        call = call.outer


class _Stopped(BaseException):
    """Ends a piece; never leaves the outermost `run`."""


class _Call(Cleanup):
    """One call of `run`: its pieces, and who works on them; a context in which others may join."""

    def __init__(self, task, count, n_threads):
        self.pool = _pool
        self.task = task
        self.count = count
        self.n_threads = n_threads
        self.caller = threading.get_ident()
        self.outer = getattr(_here, "call", None)  # the call that this one is a part of
        self.results = [_MISSING] * count
        self.pieces = itertools.count()  # next() is atomic
        self.taken = False  # all pieces are
        self.stopped = False
        self.error = None  # of a helper
        self.helpers = set()  # the threads of the pool that are inside
        self.closed = False  # to further ones
        self.left = threading.Lock()  # given back by the last helper
        self.left.acquire()

    def enter(self):
        """Call for help."""
        self.pool.calls[self] = None
        self.pool.invite(self)

    def leave(self, error):
        """Admit no more threads, and wait for those inside."""
        if error is not None:
            self.stopped = True
        self.closed = True
        self.pool.calls.pop(self, None)
        _here.call = self.outer
        while self.helpers and self.pool is _pool:
            # Not one long wait: where a library's signal handler makes the system resume it, Ctrl-C would wait as well.
            self.left.acquire(timeout=0.05)
        if error is not None:
            self.error = None  # it is not the one that is raised, and its traceback holds all of this
        for other in list(self.pool.calls):
            self.pool.invite(other)

    def work(self):
        """Take pieces as long as there are any; a helper leaves when it is one thread too many."""
        helps = threading.get_ident() != self.caller
        _here.call = self
        try:
            while not self.stopped:
                i = next(self.pieces)
                if i >= self.count:
                    self.taken = True
                    break
                self.results[i] = self.task(i)
                if helps and len(self.pool.calls) > 1 and self.pool.crowd() > self.n_threads:
                    break
        except _Stopped:
            self.stopped = True

    def outcome(self):
        """The results, or the exception of a helper."""
        if self.error is not None:
            error, self.error = self.error, None
            try:
                raise error
            finally:
                del error  # it holds this frame
        if self.stopped:  # with the outer call
            raise _Stopped
        if self.pool is not _pool:  # a piece has forked, and this is the child: the helpers are not here
            self.results = [self.task(i) if x is _MISSING else x for i, x in enumerate(self.results)]
        return self.results


class _Pool:
    """Threads that join calls."""

    def __init__(self):
        self.calls = {}  # that are open, the oldest first: a set with an order
        self.size = 0  # how many threads there are to be
        self.threads = set()
        self.idle = set()
        self.busy = set()
        self.bell = SimpleQueue()  # wakes one of the idle for each thing in it
        self.joining = threading.Lock()  # for the pool's own threads alone: nothing interrupts them

    def crowd(self):
        """How many threads the calls keep busy."""
        return len(self.busy.union([call.caller for call in list(self.calls)]))

    def invite(self, call):
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
                # Not threading.Thread: its start() waits for a sign of life, for ever where memory is too short for
                # one, and if Ctrl-C ends the waiting nobody knows whether there is a thread.
                _thread.start_new_thread(_help, (self,))
            except (RuntimeError, MemoryError):  # no more threads for this process, or none at its end
                return

    def join(self, thread):
        """The oldest call that can take one more thread, which is in now; or None."""
        with self.joining:
            for call in list(self.calls):
                if not (call.taken or call.stopped) and self.crowd() < call.n_threads:
                    self.busy.add(thread)
                    call.helpers.add(thread)
                    if not call.closed:
                        return call
                    call.helpers.discard(thread)  # the caller may have looked before, and be gone
                    self.busy.discard(thread)
        return None


def _help(pool):
    """The life of a thread of the pool."""
    thread = threading.get_ident()
    with pool.joining:
        if len(pool.threads) >= pool.size:  # calls one after the other have started it more than once
            return
        pool.threads.add(thread)
    with suppress(MemoryError):
        threading.current_thread().name = "fastxent"  # and so threading.enumerate() shows it
    while pool is _pool:
        try:
            # First idle, then looking; a caller first offers, and then looks who is idle: they cannot miss each other.
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
            with suppress(RuntimeError):  # two may both be the last
                call.left.release()


_pool = _Pool()


def _after_fork():
    """A forked child has none of the pool's threads."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def zeros(size, dtype):
    """Return a zeroed 1-d array that begins on a cache line."""
    dtype = np.dtype(dtype)
    raw = np.zeros(size + CACHE_LINE // dtype.itemsize, dtype)
    skip = kernels.to_cache_line(raw) // dtype.itemsize
    return raw[skip : skip + size]


class Buffers:
    """A stock of equal work arrays: taken, used, given back; it grows to as many as were ever in use at once."""

    def __init__(self, size, dtype):
        self.size = size
        self.dtype = dtype
        self._free = []

    def take(self):
        try:
            return self._free.pop()
        except IndexError:
            return zeros(self.size, self.dtype)

    def give(self, buffer):
        self._free.append(buffer)
