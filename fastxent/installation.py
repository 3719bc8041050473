"""What this installation is, for bug reports and for figures."""

import os
import platform

import fastxent
from fastxent import kernels
from fastxent.processors import processors


def describe():
    """Return what a bug report should say about this installation, as a dict of strings."""
    return {
        "fastxent": fastxent.__version__,
        "kernels": f"{kernels.level} (of {', '.join(kernels.available())})",
        "processors": f"{processors()} usable of {os.cpu_count()}",
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
    }
