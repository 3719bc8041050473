"""Descent over the batches of a source: the updates are those of rows in memory, one batch after the other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..data.scaled import ldexp
from ..forks import importing

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..data.targets import Targets
    from ..objective import Objective
    from ..sgd.trainer import Training
    from ..typing import Array
    from .streaming import Batches


class DescentOverBatches:
    """As the descents of fastxent.sgd, for batches of which one is in memory.

    Parameters
    ----------
    training : fastxent.sgd.trainer.Training
    batches : streaming.Batches
    objective : Objective
        Their mean loss.
    descent_of : callable
        ``descent_of(training, X, target, n_classes, weights, n_threads)`` is the descent over rows in memory.
    n_threads : int or None
    """

    training: Training

    def __init__(
        self,
        training: Training,
        batches: Batches,
        objective: Objective,
        descent_of: Callable[..., Any],
        n_threads: int | None,
    ) -> None:
        self.training, self._batches, self._objective = training, batches, objective
        self._descent_of, self._n_threads = descent_of, n_threads

    def begin(self) -> None:
        """Tell the schedule how many updates there will be."""
        batch = self.training.options.batch
        self.training.expect(sum(-(-rows // batch) for rows in self._objective.rows_of_parts))

    def epoch(self, random: np.random.RandomState | None) -> tuple[float, dict[Any, Any]]:
        """Return the mean loss of the rows, each before its update; random: of their order in a batch, or None."""
        with importing:
            from ..sgd.descents import Weights

        loss = mass = 0.0
        n_classes = len(self._batches.classes)
        for X, target, weight in self._batches:
            targets = self._batches.targets(target, weight).astype(X.dtype)
            visit = self._relative(targets)
            weights = Weights(targets.row_weight, visit, None)
            descent = self._descent_of(self.training, X, targets.target, n_classes, weights, self._n_threads)
            rows = np.arange(len(targets))
            if random is not None:
                random.shuffle(rows)
            of_batch = len(rows) if visit is None else visit.sum()
            loss += descent.epoch(rows)[0] * of_batch
            mass += of_batch
            if not math.isfinite(loss):
                break
        return loss / mass, {}

    def _relative(self, targets: Targets) -> Array | None:
        """Weights of rows over the mean of all batches, or None if all are 1."""
        unit = self._objective.total_weight / self._objective.n_rows
        unit = float(ldexp(1.0, targets.exponent - self._objective.weight_exponent)) / unit
        if targets.row_weight is None:
            return None if unit == 1.0 else np.full(len(targets), unit)
        return targets.row_weight * unit

    def theta(self) -> Array:
        return self.training.theta()

    def lower(self, factor: float) -> None:
        self.training.lower(factor)

    @property
    def learning_rate(self) -> float:
        return self.training.learning_rate

    @property
    def updates(self) -> int:
        return self.training.updates
