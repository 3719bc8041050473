"""What this installation is, for bug reports and for figures."""

from __future__ import annotations

import os
import platform

import fastxent
from fastxent import kernels
from fastxent.processors import processors


def describe() -> dict[str, str]:
    """Return what a bug report should say about this installation, as a dict of strings."""
    return {
        "fastxent": fastxent.__version__,
        "kernels": f"{kernels.level} (of {', '.join(kernels.available())})",
        "caches": ", ".join(_size(bytes) for bytes in kernels.cache_sizes()),
        "processors": f"{processors()} usable of {os.cpu_count()}",
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
    }


def _size(count: int) -> str:
    """Bytes in the largest unit that is a whole number of them: 48K, 2M."""
    for unit, shift in (("G", 30), ("M", 20), ("K", 10)):
        if count and count % (1 << shift) == 0:
            return f"{count >> shift}{unit}"
    return str(count)
