"""The decorators for jitted functions: one set of compiler options, compiled code cached on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numba

from .. import kernels
from ..forks import compiling
from ..log import logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_warned = False
Function = TypeVar("Function", bound="Callable[..., Any]")


def _fingerprint() -> tuple[str, int]:
    """Return a hash of all sources of the compiled code. Numba itself checks only the file of the function that it
    compiles, not the files of functions inlined into it."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    content = b"".join(source.read_bytes() for source in sources)
    return hashlib.sha256(content).hexdigest(), kernels.ROW_API_VERSION


def jit(function: Function) -> Function:
    """Compile at the first call, or load from the cache.

    Numba refuses to cache if neither the package's folder nor the user's cache folder is writable. Then the loops are
    compiled in every process, and one line of the log says so.
    """
    global _warned
    try:
        compiled = numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError as error:
        if not _warned:
            logger.warning(
                "Numba has no folder to cache compiled loops in (%s): SGD compiles anew in every process. "
                "Set NUMBA_CACHE_DIR to a writable folder.",
                error,
            )
            _warned = True
        return _whole(numba.njit(**_OPTIONS)(function))
    if not numba.config.DISABLE_JIT:
        index = compiled._cache._cache_file
        index._source_stamp = (index._source_stamp, _FINGERPRINT)
    return _whole(compiled)


def inner(function: Any) -> Any:
    """Compile for loops only: as a part of each, with which it is cached, and without an entrance from Python."""
    return numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)


def _whole(compiled: Any) -> Any:
    """Make forks wait while a function is compiled or loaded: Numba then holds a lock, locked forever in a child."""
    if not numba.config.DISABLE_JIT:
        compile_for_args = compiled._compile_for_args

        def compile_whole(*args: Any, **kwargs: Any) -> Any:
            with compiling:
                return compile_for_args(*args, **kwargs)

        compiled._compile_for_args = compile_whole
    return compiled


_FINGERPRINT = _fingerprint()
