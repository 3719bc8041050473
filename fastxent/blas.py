"""BLAS: handed to the kernels, limited to one thread while solvers run, and restored afterwards, however they end."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING

from . import kernels
from .forks import importing, setting
from .kernels.cleanup import Cleanup, locked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from .kernels import LinearSoftmax


class _OneBlasThread(Cleanup):
    """The context that `one_blas_thread` is."""

    def __init__(self) -> None:
        self._lock = setting
        self._numbers: dict[
            str, tuple[Any, int]
        ] = {}  # file of a library -> (library, the number of threads that is its own)
        self._controller: Any = None  # threadpoolctl's class
        self._libraries: Sequence[Any] = ()
        self._modules: int | None = None  # how many were loaded when the libraries were looked for

    def enter(self) -> None:
        if self._controller is None:
            with importing:
                from threadpoolctl import ThreadpoolController
            self._controller = ThreadpoolController
        locked(self._lock, self._limit)

    def leave(self, error: BaseException | None) -> None:
        locked(self._lock, self._restore)

    def _limit(self) -> None:
        for library in self._loaded():
            number = library.num_threads
            if number not in (None, 1):
                self._numbers[library.filepath] = library, number  # first remembered, then changed
                _set(library, 1)

    def _restore(self) -> None:
        if self._inside:  # another thread, or an outer block of this one
            return
        for file, (library, number) in list(self._numbers.items()):
            if library.num_threads == 1:  # else another number has been set in the meantime
                _set(library, number)
            del self._numbers[file]

    def _loaded(self) -> Sequence[Any]:
        """The BLAS libraries: looked for again when modules have been imported."""
        modules = len(sys.modules)
        if self._modules != modules:
            self._libraries = self._controller().select(user_api="blas").lib_controllers
            self._modules = modules
        return self._libraries

    def forked(self) -> None:
        """In the child of a fork there is only the thread that forked."""
        for thread in list(self._inside):
            if thread != threading.get_ident():
                del self._inside[thread]
        self.leave(None)


def _set(library: Any, number: int) -> None:
    # In threadpoolctl 3.8 only one thread of Python may set OpenBLAS's number, and an interruption in Python 3.14 can
    # leave the lock locked that it takes for that. Here one lock does for all.
    getattr(library, "_real_set_num_threads", library.set_num_threads)(number)


# While solvers run, BLAS uses one thread: its idle threads spin on the processors of our pool, and the small products
# between two evaluations gain nothing from more threads.
one_blas_thread: _OneBlasThread = _OneBlasThread()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=one_blas_thread.forked)


def for_products(view: LinearSoftmax) -> AbstractContextManager[Any]:
    """Return the context in which a view of rows (kernels.LinearSoftmax) may multiply.

    Where its products go through BLAS, kernels.use_blas gets the functions of SciPy's, at first use: importing
    scipy.linalg takes longer than most calls. Each thread of our pool then calls BLAS on one thread.
    """
    if not view.uses_blas:
        return _ALONE
    if not kernels.has_blas():
        with importing:
            from scipy.linalg import cython_blas
        functions = [cython_blas.__pyx_capi__.get(name) for name in ("dgemm", "sgemm")]
        if all(function is not None and " int *" in repr(function) for function in functions):
            kernels.use_blas(*functions)
    return one_blas_thread


_ALONE = nullcontext()
