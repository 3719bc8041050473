"""The list of what is measured: a task is a name, the cases it runs on, and who competes."""

from dataclasses import dataclass

import hessian_product
import logits
import loss_gradient
from cases import CASES


@dataclass(frozen=True, eq=False)
class Task:
    name: str
    cases: list
    rivals: list

    def reference(self, problem):
        """Return the result that errors are measured against: plain NumPy in float64."""
        plain = next(rival for rival in self.rivals if rival.name == "NumPy")
        call, unpack = plain.start(problem.in_float64(), n_threads=None)
        return unpack(call())


TASKS = [
    Task("loss + gradient", CASES, loss_gradient.RIVALS),
    Task("Hessian product", [case for case in CASES if case.n_classes < 1000], hessian_product.RIVALS),
    Task("class probabilities", CASES, logits.PROBABILITIES),
    Task("softmax", logits.CASES, logits.SOFTMAX),
    Task("logsumexp", logits.CASES, logits.LOGSUMEXP),
]
