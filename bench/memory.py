"""Peak extra memory of one call, as the system sees it: what C libraries allocate counts too.

Linux keeps each process's highest resident size and lets it be reset. Freed memory is first given back to
the system, or a rival would be served from what another has left.
"""

import ctypes
import gc
from pathlib import Path

RESET_PEAK = "5"


def status(field):
    """Return a size in /proc/self/status in megabytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"/proc/self/status has no field {field}")


def can_measure():
    """Whether this system can tell (Linux with glibc)."""
    return Path("/proc/self/clear_refs").exists() and hasattr(ctypes.CDLL(None), "malloc_trim")


def peak_megabytes(rival, problem, n_threads):
    """Return how far the process grows while the rival is built for the problem and called once.

    Call it when the rival has run before, so that thread pools and buffers kept for ever are not counted.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    before = status("VmRSS")
    with rival.threads(n_threads):
        call, _ = rival.start(problem, n_threads)
        result = call()
    peak = status("VmHWM") - before
    del call, result
    return peak
