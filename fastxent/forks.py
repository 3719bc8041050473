"""What a fork must not cut in two, because the other half would be missing in the child.

A thread that imports a module, or changes what belongs to the whole process, does so ``with unforked``: a fork in
another thread waits for the end. Else the child would have the locks that were held at that moment, and nobody who ever
gives them back.
"""

import os
import threading

unforked = threading.RLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=unforked.acquire, after_in_parent=unforked.release, after_in_child=unforked.release
    )
