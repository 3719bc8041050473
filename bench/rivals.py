"""What competes: anybody who computes the same thing from the same problem, seen as a black box."""

from collections.abc import Callable
from dataclasses import dataclass

OURS = "fastxent"


@dataclass(frozen=True)
class Rival:
    """One way to compute a task.

    ``build(problem, threads)`` returns ``call``, which takes nothing and returns the library's own result,
    and ``unpack``, which turns that result into a list of arrays to compare (not timed). Libraries are imported only
    while building, so that a missing one does no harm. Rivals of the same name are settings of one library: the best
    of them counts. ``suits(case)`` tells whether it can do a case.
    """

    name: str
    module: str
    build: Callable
    suits: Callable = lambda case: True
    setting: str = ""

    @property
    def label(self):
        return f"{self.name}, {self.setting}" if self.setting else self.name

    @property
    def ours(self):
        return self.name.startswith(OURS)


def wanted(name, patterns):
    """Whether a name has one of the words asked for (None: all are)."""
    return not patterns or any(pattern.lower() in name.lower() for pattern in patterns)
