"""SVRG: steps by single rows, whose noise vanishes towards the optimum."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..typing import Array
    from .trainer import Data, Training


class VarianceReduction:
    """The steps of SVRG over rows in memory. The caller supplies the gradient over all rows."""

    def __init__(self, training: Training, data: Data) -> None:
        self._training, self._data = training, data

    def set_step(self, largest: float) -> None:
        """Set the step to half the inverse of the largest curvature of a row.

        largest: the maximum of |x_i|^2 + 1 times the row's weight over the mean weight. The curvature of a softmax is
        at most 1/2 of that, a sigmoid's at most 1/4.
        """
        training = self._training
        training.set_step(0.5 / (largest * (0.5 if training.K > 1 else 0.25) + training.options.l2))

    def epoch(self, gradient: Array, order: Array) -> tuple[float, float]:
        """Visit the rows in this order. gradient (d + 1, K): of the mean loss at the start of the epoch."""
        self._training.snapshot(self._data, gradient)
        return self._training.run(self._data, order)
