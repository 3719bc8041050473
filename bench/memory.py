"""Peak extra memory of one call, as the system sees it: what C libraries allocate counts too.

Linux keeps each process's highest resident size and lets it be reset. Freed memory is first given back to the system,
or a call would be served from what an earlier one has left.
"""

import ctypes
import gc
import re
from pathlib import Path

RESET_PEAK = "5"


def status(field):
    """Return a size in /proc/self/status in megabytes."""
    return int(re.search(rf"{field}:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def extra_megabytes(call):
    """Return how far the process grows during ``call()``; None where the system does not tell (not Linux, not glibc).

    Call it when the same has run before, so that thread pools and buffers kept for ever are not counted.
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
