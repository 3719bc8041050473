"""What is measured on: the processor, the versions of the libraries, other work, and the memory of a call."""

import ctypes
import gc
import importlib.util
import os
import platform
import re
import sys
import time
from importlib.metadata import packages_distributions, version
from pathlib import Path

COMPANIONS = {
    "optax": "jax",
    "onnxruntime": "skl2onnx",
}  # what a module is used with, and has a version of its own
RESET_PEAK = "5"
STARTED = time.monotonic()


def log(line):
    print(f"[{time.monotonic() - STARTED:5.0f} s] {line}", file=sys.stderr, flush=True)


def processor():
    """Return the processor's name as the system gives it."""
    try:
        return re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError):
        return platform.processor() or platform.machine()


def describe(name=None):
    """Return the machine's part of the results; ``name`` is for processors whose systems do not know theirs."""
    from fastxent import installation

    found = installation.describe()
    return {
        "processor": name or processor(),
        "processors": os.cpu_count(),
        "kernels": found["kernels"],
        "caches": found["caches"],
        "system": platform.platform(terse=True),
    }


def installed(modules):
    """Yield one record: which of the modules can be imported here, and the versions of their packages."""
    there = [module for module in modules if importlib.util.find_spec(module.partition(".")[0])]
    packages, found = packages_distributions(), {}
    for root in dict.fromkeys(module.partition(".")[0] for module in there):
        for name in filter(None, (COMPANIONS.get(root), root)):
            for package in packages.get(name, []):
                found[package] = version(package)
            if name not in packages:  # on the path without being installed
                found[name] = importlib.import_module(name).__version__
    yield {"python": platform.python_version(), "modules": there, "versions": found}


def busy_processors(seconds=1.0):
    """Return how many processors other work keeps busy now: a load average would count our own last run."""
    import psutil

    return round(psutil.cpu_percent(seconds) / 100 * os.cpu_count(), 2)


def status(field):
    """Return a size in /proc/self/status in megabytes."""
    return int(re.search(rf"{field}:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def extra_megabytes(call):
    """Return how far the process grows during ``call()``; None where the system does not tell (not Linux, not glibc).

    The system counts what C libraries allocate, too. Freed memory is first given back to it, or the call would be
    served from what an earlier one has left. Call it when the same has run before, so that thread pools and buffers
    kept for ever are not counted.
    """
    try:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
        before = status("VmRSS")
        _result = call()  # kept until the peak is known
        return round(status("VmHWM") - before, 1)
    except (OSError, AttributeError):
        return None
