"""What competes: anybody who computes the same thing from the same problem, seen as a black box.

A rival is built once for a problem and a number of threads (conversions that its user would do once are
done there), and is then called again and again. Libraries are imported only while building, so that a
missing one does no harm.
"""

import contextlib
import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass

OURS = "fastxent"


@dataclass(frozen=True)
class Rival:
    """One way to compute a task.

    ``build(problem, threads)`` returns ``call``, which takes nothing and returns the library's own result,
    and ``unpack``, which turns that result into a list of arrays to compare (not timed). Rivals of the same
    name are settings of one library: the best of them counts. ``blas`` and ``openmp`` fix the threads of
    these pools. ``suits(case)`` tells whether it can do a case.
    """

    name: str
    module: str
    build: Callable
    suits: Callable = lambda case: True
    setting: str = ""
    blas: int | None = None
    openmp: int | None = None
    starts: bool = True  # whether a fresh process of it is timed

    @property
    def label(self):
        return f"{self.name}, {self.setting}" if self.setting else self.name

    def competes(self, case, n_threads):
        """Whether it can do a case, and is not the same as another setting at this number of threads."""
        return self.suits(case) and (n_threads > 1 or not (self.blas or self.openmp))

    def start(self, problem, n_threads):
        """Build with as many threads as this setting allows."""
        return self.build(problem, self.openmp or n_threads)

    def installed(self):
        """Whether the library can be imported here."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a library warns of at import is its own affair
            try:
                importlib.import_module(self.module)
            except ImportError:
                return False
        return True

    @contextlib.contextmanager
    def threads(self, n_threads):
        """Hold every pool of the process to what this rival is to use."""
        import threadpoolctl

        limits = {"blas": self.blas or n_threads, "openmp": self.openmp or n_threads}
        with threadpoolctl.threadpool_limits(limits):
            if self.module == "torch":
                import torch

                torch.set_num_threads(self.openmp or n_threads)
            yield


def settings_of_scikit_learn(name, module, build, **options):
    """Return one rival per setting of scikit-learn's two pools, which can get into each other's way."""
    return [
        Rival(name, module, build, setting="all pools", **options),
        Rival(name, module, build, setting="OpenMP one thread", openmp=1, **options),
        Rival(name, module, build, setting="one thread", openmp=1, blas=1, **options),
    ]
