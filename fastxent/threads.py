"""The number of threads that ``n_threads=None`` stands for, as the caller of the package chooses it."""

from __future__ import annotations

from . import processors, validation

__all__ = ["get_num_threads", "set_num_threads"]


def set_num_threads(n_threads: int | None) -> None:
    """Choose the number of threads that ``n_threads=None``, the default everywhere, stands for in this process.

    The number does not change a bit of any result. It holds from the next call on, in all threads, and takes precedence
    over the environment variables ``FASTXENT_NUM_THREADS`` and ``OMP_NUM_THREADS``. Processes that this one forks
    inherit it, except for the workers of a ``multiprocessing`` pool, which keep to one thread unless they call this
    function themselves.

    Parameters
    ----------
    n_threads : int or None
        At least 1; -1 is every core that this process may use; None goes back to the choice that the package makes
        by itself: the processors that affinity and a container's quota allow, or fewer if the environment variables
        say so.

    See Also
    --------
    get_num_threads : The number in use.

    Examples
    --------
    >>> import fastxent
    >>> fastxent.set_num_threads(1)
    >>> fastxent.get_num_threads()
    1
    >>> fastxent.set_num_threads(None)
    """
    processors.choose_threads(validation.check_n_threads(n_threads))


def get_num_threads() -> int:
    """Return the number of threads that ``n_threads=None`` stands for now.

    See Also
    --------
    set_num_threads : Choose it.

    Examples
    --------
    >>> import fastxent
    >>> fastxent.get_num_threads() >= 1
    True
    """
    return processors.available_threads()
