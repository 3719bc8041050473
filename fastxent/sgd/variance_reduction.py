"""SVRG: steps of single rows, whose noise vanishes as they near the optimum."""


class VarianceReduction:
    """The steps of SVRG over rows in memory. The caller supplies the gradient over all rows."""

    def __init__(self, training, data):
        self._training, self._data = training, data

    def set_step(self, largest):
        """Take half the inverse of the largest curvature of a row.

        largest: of the rows' |x_i|^2 + 1, each times its weight over the mean weight. A softmax has a curvature of 1/2
        of that at most, a sigmoid of 1/4.
        """
        training = self._training
        training.set_step(0.5 / (largest * (0.5 if training.K > 1 else 0.25) + training.options.l2))

    def epoch(self, gradient, order):
        """Take the rows in this order. gradient (d + 1, K): that of the mean loss where the epoch begins."""
        self._training.snapshot(self._data, gradient)
        return self._training.run(self._data, order)
