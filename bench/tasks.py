"""The list of what is measured: a task is a name, the cases it runs on, and who competes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import hessian_product
import logits
import loss_gradient
from cases import CASES
from limits import least_work, least_work_on_rows


@dataclass(frozen=True, eq=False)
class Task:
    name: str
    cases: list
    rivals: list
    least_work: Callable  # of a problem, see limits.py

    def reference(self, problem):
        """Return the result that errors are measured against: plain NumPy in float64."""
        plain = next(rival for rival in self.rivals if rival.name == "NumPy")
        call, unpack = plain.start(problem.in_float64(), n_threads=None)
        return unpack(call())


TASKS = [
    Task("loss + gradient", CASES, loss_gradient.RIVALS, least_work),
    Task(
        "Hessian product",
        [case for case in CASES if case.n_classes < 1000],
        hessian_product.RIVALS,
        partial(least_work, exponentials=False),
    ),
    Task("class probabilities", CASES, logits.PROBABILITIES, partial(least_work, products=1, output=True)),
    Task("softmax", logits.CASES, logits.SOFTMAX, least_work_on_rows),
    Task("logsumexp", logits.CASES, logits.LOGSUMEXP, partial(least_work_on_rows, output=False)),
]
