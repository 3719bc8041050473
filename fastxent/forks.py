"""What a fork must not cut in two, because the other half would be missing in the child.

A thread that imports a module at first use, compiles, or sets what belongs to the whole process holds one of these
locks meanwhile, and a fork in another thread waits for it. Otherwise the child would begin with locks inside Python,
Numba or threadpoolctl that are held by a thread that does not exist there. Code that takes two of these locks takes
them in the order below, as a fork does.
"""

from __future__ import annotations

# Two modules have hooks of their own, and a fork that waits while they are imported would run only the second half.
import logging  # noqa: F401
import os
import threading
from contextlib import suppress

with suppress(RuntimeError):  # in a process that is ending, where no pool of this module can start any more
    import concurrent.futures.thread  # noqa: F401

importing: threading.RLock = threading.RLock()
compiling: threading.RLock = threading.RLock()
setting: threading.RLock = threading.RLock()

if hasattr(os, "register_at_fork"):
    for _lock in (setting, compiling, importing):  # the last to be registered is taken first
        os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
