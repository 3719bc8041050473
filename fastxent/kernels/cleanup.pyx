"""Cleaning up that comes to its end, whatever interrupts it.

Python runs the handlers of signals, and so raises KeyboardInterrupt, between steps of Python code: also before the
first one of an ``__exit__``, or of a function that a ``finally`` calls, and then nothing is cleaned up. It runs none
between steps of compiled code. Here an interruption can only come out of the methods that are called, and these are
called again.
"""

from threading import get_ident

cdef int TRIES = 1000  # a method that never returns is a mistake, or somebody insists on Ctrl-C


def locked(lock, function):
    """Return function(), called while the lock is held.

    In Python 3.14 a handler may run after a lock's ``__enter__`` and before the block of ``with``, which leaves the
    lock locked.

    >>> from threading import RLock
    >>> locked(RLock(), lambda: 2)
    2
    """
    lock.acquire()
    try:
        return function()
    finally:
        lock.release()


cdef class Cleanup:
    """Base of contexts that are left properly; one object serves several threads, and several levels of each.

    A subclass has two methods. Neither minds to be called again after an exception came out of it, wherever it was.

    enter()
        Called at the start. If it fails, ``leave`` follows.
    leave(error)
        Called at the end until it returns, with the exception that ended the block or the call before, or with None.
        Then the last exception that came out of it is raised.

    Attributes
    ----------
    _inside : dict
        How many levels of each thread are inside, by the thread's ident.

    Examples
    --------
    >>> class Door(Cleanup):
    ...     def enter(self):
    ...         print("in:", len(self._inside))
    ...     def leave(self, error):
    ...         print("in:", len(self._inside), error)
    >>> with Door():
    ...     print("inside")
    in: 1
    inside
    in: 0 None
    """

    cdef readonly dict _inside

    def __cinit__(self, *arguments, **keywords):
        self._inside = {}

    def __enter__(self):
        thread = get_ident()
        self._inside[thread] = self._inside.get(thread, 0) + 1
        try:
            self.enter()
        except BaseException as error:
            self._go(error)
            raise

    def __exit__(self, kind, error, traceback):
        self._go(error)

    cdef _go(self, error):
        thread = get_ident()
        levels = self._inside.pop(thread) - 1
        if levels:
            self._inside[thread] = levels
        interruption = None
        for _ in range(TRIES):
            try:
                self.leave(error)
                break
            except BaseException as again:
                error = interruption = again
        if interruption is not None:
            raise interruption
