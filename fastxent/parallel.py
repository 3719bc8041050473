"""Threads: who runs which piece of work, and the buffers they run it in.

Kernels release the GIL, so a pool of Python threads is all it takes; it is made at first use, made anew in a
forked child, and left alone when the work is too small to pay for a hand-over (some 50 microseconds). What
the pieces are never depends on the number of threads, and results are combined in the order of the pieces:
every number of threads gives the same bits.
"""

import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np

CACHE_LINE = 64

_pool = None
_pool_lock = threading.Lock()
_thread = threading.local()  # .stopped: the event of the run that this thread works for


def available_threads():
    """Return the number of threads that ``n_threads=None`` stands for.

    The processors this process may run on, or less where ``FASTXENT_NUM_THREADS`` or ``OMP_NUM_THREADS`` (which
    joblib's workers set so that nested parallelism does not multiply) asks for less.
    """
    limits = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    for name in ("FASTXENT_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()
        if value.isdigit() and int(value) > 0:
            limits.append(int(value))
    return min(limits)


def _executor():
    global _pool
    with _pool_lock:
        if _pool is None:
            # Threads start as they are needed; the limit only bounds what many callers at once can ask for.
            _pool = ThreadPoolExecutor(max_workers=64, thread_name_prefix="fastxent")
        return _pool


def _forget_pool():
    """A forked child has the pool's object but none of its threads."""
    global _pool, _pool_lock
    _pool = None
    _pool_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def run(task, count, n_threads):
    """Return ``[task(0), ..., task(count - 1)]``, computed by at most n_threads threads, the caller's among them.

    ``n_threads=None`` stands for ``available_threads()``.
    Pieces are taken in order by whoever is free. An exception, Ctrl-C in the caller's thread included, stops the
    taking of further pieces, and is raised when those under way have ended or come to a `stopping_point`.
    """
    if n_threads == 1 or count == 1:
        return [task(i) for i in range(count)]
    n_threads = n_threads or available_threads()
    results = [None] * count
    pieces = itertools.count()  # next() is atomic
    stopped = threading.Event()

    def work():
        outer, _thread.stopped = getattr(_thread, "stopped", None), stopped
        try:
            while not stopped.is_set() and (i := next(pieces)) < count:
                results[i] = task(i)
        except _Stopped:
            pass  # another thread has the exception that is raised
        except BaseException:
            stopped.set()
            raise
        finally:
            _thread.stopped = outer

    helpers = [_executor().submit(work) for _ in range(min(n_threads, count) - 1)]
    try:
        work()
    finally:
        # All pieces are taken: a helper that has not started has nothing to do, the others are finishing their last.
        try:
            for helper in helpers:
                # Not one long wait: where a library's signal handler has the system resume it, Ctrl-C would wait, too.
                while not (helper.cancel() or helper.done()):
                    wait([helper], timeout=0.05)
        except BaseException:  # Ctrl-C while waiting
            stopped.set()
            raise
    for helper in helpers:
        if not helper.cancelled():
            helper.result()
    return results


def stopping_point():
    """Give up the piece under way if its run has been stopped: long pieces call this now and then."""
    stopped = getattr(_thread, "stopped", None)
    if stopped is not None and stopped.is_set():
        raise _Stopped


class _Stopped(BaseException):
    """Ends a piece; never leaves `run`."""


class _OneBlasThread:
    """The context that `one_blas_thread` is; counts who is inside, as fits may overlap in several threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._inside = 0
        self._controller = self._limits = None

    def __enter__(self):
        with self._lock:
            if self._inside == 0:
                if self._controller is None:
                    from threadpoolctl import ThreadpoolController

                    self._controller = ThreadpoolController()  # looks through all loaded libraries: once
                self._limits = self._controller.limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *error):
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limits.restore_original_limits()


# While solvers run, BLAS keeps to one thread: its idle threads spin where our pool works, and what solvers give to BLAS
# between two evaluations gains nothing from more.
one_blas_thread = _OneBlasThread()


def zeros(size, dtype):
    """Return a zeroed 1-d array that begins on a cache line."""
    dtype = np.dtype(dtype)
    spare = CACHE_LINE // dtype.itemsize
    raw = np.zeros(size + spare, dtype)
    skip = -raw.__array_interface__["data"][0] % CACHE_LINE // dtype.itemsize
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
