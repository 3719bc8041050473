"""What competes: anybody who computes the same thing from the same problem, seen as a black box."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

OURS, SCIKIT_LEARN, INTEL = "fastxent", "sklearn.linear_model", "sklearnex.linear_model"


def anything(case):
    return True


def smooth(case):
    return not case.l1


def lasso(case):
    return bool(case.l1)


def dense(case):
    return not (case.sparse or case.l1)


def of_two_classes(suits):
    return lambda case: case.n_classes == 2 and suits(case)


@dataclass(frozen=True, eq=False)
class Rival:
    """One way to compute a task.

    ``build(problem, threads)`` prepares what a user would do once (other containers, compiled code), and returns what
    is timed: a call without arguments that evaluates, or ``fit(effort)`` that trains from scratch. Libraries are
    imported only while building, so that a missing one does no harm. ``suits(case)`` tells whether it can do a case.
    Rivals of the same name are settings of one library: the best of them counts.

    The rest is about training. ``efforts`` are numbers of iterations or tolerances, in the order in which they are
    tried, ``intercepts`` is how the intercept is treated, ``threads`` on how many it runs (None: on one and on all),
    ``dtypes`` in which precisions. ``steps`` are the step sizes (and what goes with them) among which a search chooses,
    the library's default, if it has one, first. Those of the same ``family`` get the same weights, and are searched
    once.
    """

    name: str
    module: str
    build: Callable
    suits: Callable = anything
    setting: str = ""
    efforts: tuple = ()
    intercepts: str = "free"
    threads: int | None = None
    dtypes: tuple = ("float64", "float32")
    steps: tuple = ({},)
    family: str = ""

    @property
    def label(self):
        return f"{self.name}, {self.setting}" if self.setting else self.name

    @property
    def ours(self):
        return self.name.startswith(OURS)


def wanted(name, patterns):
    """Whether a name has one of the words asked for (None: all are)."""
    return not patterns or any(pattern.lower() in name.lower() for pattern in patterns)


def imported(path):
    """Return "module.name"."""
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)
