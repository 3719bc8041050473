"""How many processors this process may use, and how many threads ``n_threads=None`` stands for."""

from __future__ import annotations

import functools
import os
import re
import sys

from .forks import importing
from .log import logger

_NUMBER = r"\s*\+?0*([1-9][0-9]{0,17})\s*"
_NUMBERS = re.compile(f"{_NUMBER}(?:,{_NUMBER})*", re.ASCII)  # by level of nesting, as OpenMP has it

_chosen = None  # (number of threads, process in which it was chosen); replaced as a whole, so that no lock is needed


def choose_threads(n_threads: int | None) -> None:
    """Let ``n_threads=None`` stand for this number from now on; None lets the package choose again."""
    global _chosen
    _chosen = None if n_threads is None else (n_threads, os.getpid())


def available_threads() -> int:
    """Return the number of threads that ``n_threads=None`` stands for.

    The number that was chosen, if one was. Else the processors this process may use, or less where
    ``FASTXENT_NUM_THREADS`` or ``OMP_NUM_THREADS`` (which joblib's workers set so that nested parallelism does not
    multiply) asks for less. One in the processes of a pool of ``multiprocessing``, and so of joblib's backend of that
    name, unless it was chosen there: the pool has the processors already.
    """
    chosen = _chosen
    pool = sys.modules.get("multiprocessing.process")
    if pool is not None and pool.current_process().daemon and (chosen is None or chosen[1] != os.getpid()):
        return 1
    if chosen is not None:
        return chosen[0]
    limits = [_allowed()]
    for name in ("FASTXENT_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name)
        if value is not None and (limit := _first_number(name, value)):
            limits.append(limit)
    least = min(limits)
    return least if least == 1 else min(least, processors())  # asking for a quota the first time is slow


def processors() -> int:
    """Return the number of processors this process may use, by its affinity and by the quota of its container."""
    return _within_quota(_allowed(), os.environ.get("LOKY_MAX_CPU_COUNT"))


def _allowed() -> int:
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.lru_cache(maxsize=16)
def _within_quota(allowed: int, limit: str | None) -> int:
    """As joblib counts; asked again when the affinity or the environment has changed."""
    try:
        with importing:
            from joblib.externals.loky import cpu_count  # some 30 ms where scikit-learn has not loaded it
    except Exception:  # an interpreter that is shutting down cannot import
        return allowed
    try:
        return max(1, min(allowed, cpu_count()))
    except Exception as error:
        logger.warning("LOKY_MAX_CPU_COUNT=%r and the quota of processors are ignored: %s.", limit, error)
        return allowed


@functools.lru_cache(maxsize=16)
def _first_number(name: str, value: str) -> int | None:
    """What a variable of the environment says, or None; logged once for each value."""
    match = _NUMBERS.fullmatch(value)
    if match is None:
        logger.warning("%s=%r is ignored: it is no positive number, nor a list of them.", name, value[:50])
        return None
    return int(match[1])
