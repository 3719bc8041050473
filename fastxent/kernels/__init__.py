"""The compiled kernels, at the highest instruction-set level that is built and that this processor runs.

All levels are one source (``_baseline.pyx``) built with other flags, so they offer the same names;
those of the chosen level are re-exported here. The environment variable ``FASTXENT_ISA`` forces a level:
set it to ``baseline``, ``v3`` or ``v4`` before the import. The sizes of blocks follow the processor's caches
(``caches.py``; ``FASTXENT_CACHES`` replaces them).

>>> from fastxent import kernels
>>> kernels.level in kernels.available()
True
"""

from __future__ import annotations

import importlib
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fastxent.kernels import _baseline, caches

if TYPE_CHECKING:  # those of the chosen level, see the end
    from fastxent.kernels._baseline import *  # noqa: F403

_NEEDS = {"baseline": 0, "v3": 3, "v4": 4}  # level -> the cpu_level() it needs, lowest first


def available() -> tuple[str, ...]:
    """Return the names of the levels that are built and that this processor runs, lowest first."""
    return tuple(name for name, needs in _NEEDS.items() if needs <= _baseline.cpu_level() and _built(name))


def load(name: str) -> Any:
    """Return the kernel module of one level; ImportError if it is not one of ``available()``."""
    if name not in available():
        if name not in _NEEDS:
            why = "is not the name of an instruction-set level"
        elif not _built(name):
            why = "was not built in this installation"
        else:
            why = "needs instructions that this processor does not have"
        raise ImportError(
            f"kernel level {name!r} {why}; here one can choose from: {', '.join(available())} "
            "(argument of kernels.load, or the environment variable FASTXENT_ISA; unset means the best)"
        )
    module = importlib.import_module(f"{__name__}._{name}")
    module.set_caches(*_caches)
    return module


def _built(name: str) -> bool:
    return find_spec(f"{__name__}._{name}") is not None


_caches = caches.sizes(_baseline.cache_size)
level: str = os.environ.get("FASTXENT_ISA") or available()[-1]
_chosen = load(level)
globals().update({name: value for name, value in vars(_chosen).items() if not name.startswith("_")})
