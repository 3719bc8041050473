"""What a fork must not cut in two, because the other half would be missing in the child.

A thread that imports a module, compiles, or changes what belongs to the whole process, does so ``with unforked``: a
fork in another thread waits for the end. Else the child would begin with locks that are held, and without the thread
that was to give them back.
"""

# These two have hooks of their own, and a fork that waits while they are imported would run only the second half.
import concurrent.futures.thread  # noqa: F401
import logging  # noqa: F401
import os
import threading

unforked = threading.RLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=unforked.acquire, after_in_parent=unforked.release, after_in_child=unforked.release
    )
