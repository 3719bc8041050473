"""The sizes of the processor's data caches, by which the kernels cut their work.

They come from the processor itself (x86-64), or from the operating system (Linux, macOS). The environment variable
``FASTXENT_CACHES`` replaces them, for tests and for machines that report wrong sizes: ``FASTXENT_CACHES=32K,1M,16M``.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


DEFAULT = 32 << 10, 1 << 20, 16 << 20  # used if the sizes are unknown
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30}
_SIZE = re.compile(r"([1-9][0-9]{0,11})([KMG]?)", re.IGNORECASE | re.ASCII)
_SYSCTL = ("hw.perflevel0.l1dcachesize", "hw.perflevel0.l2cachesize", "hw.l3cachesize")


def sizes(
    cache_size: Callable[[int], int], environment: Mapping[str, str] = os.environ
) -> tuple[int, int, int]:
    """Return the bytes of the first, second and third level.

    Parameters
    ----------
    cache_size : callable
        The kernels' function of that name: what the processor says of a level, or 0.
    environment : mapping

    Raises
    ------
    ImportError
        ``FASTXENT_CACHES`` is not three sizes.
    """
    declared = environment.get("FASTXENT_CACHES")
    if declared:
        return _parsed(declared)
    found = [cache_size(level) or _from_system(level) for level in (1, 2, 3)]
    first, second, third = (size or default for size, default in zip(found, DEFAULT, strict=True))
    return first, second, third


def _parsed(text: str) -> tuple[int, int, int]:
    sizes = [_SIZE.fullmatch(part.strip()) for part in text.split(",")]
    if len(sizes) != 3 or None in sizes:
        raise ImportError(
            f"FASTXENT_CACHES={text!r} is not the sizes of three levels of cache, such as 32K,1M,16M. "
            "Correct it, or unset it to use those of this processor."
        )
    first, second, third = (int(size[1]) << _UNITS[size[2].upper()] for size in sizes if size)
    return first, second, third


def _from_system(level: int) -> int:
    try:
        return _from_sysctl(level) if sys.platform == "darwin" else _from_sysfs(level)
    except (OSError, ValueError):
        return 0


def _from_sysfs(level: int) -> int:
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        kind = (folder / "type").read_text().strip()
        if kind != "Instruction" and int((folder / "level").read_text()) == level:
            return _parsed_size((folder / "size").read_text())
    return 0


def _parsed_size(text: str) -> int:
    size = _SIZE.fullmatch(text.strip())
    return int(size[1]) << _UNITS[size[2].upper()] if size else 0


def _from_sysctl(level: int) -> int:
    size, length = ctypes.c_int64(0), ctypes.c_size_t(8)
    name = _SYSCTL[level - 1].encode()
    failed = ctypes.CDLL(None).sysctlbyname(name, ctypes.byref(size), ctypes.byref(length), None, 0)
    return 0 if failed else size.value
