"""An objective in variables for centred and scaled columns, without changing the data.

Raw columns differ in size and are correlated with the intercept. Both slow down every method that uses gradients.
Centring and scaling a column is a change of variables, not of data:

    theta = T u:    W_j = a_j u_j,                  b = a_b u_b - sum_j mean_j W_j
    G_u = T' G:     a_j (G_j - mean_j G_b),         a_b G_b
    H_u v = T' H (T v)

    1 / a_j^2 = q var_j + l2_j,    1 / a_b^2 = q,     q = (1/K)(1 - 1/K)

which is the diagonal of the Hessian at W = 0 with centred columns (D. Böhning, "Multinomial logistic regression
algorithm", Annals of the Institute of Statistical Mathematics 44, 1992, has this Hessian). The optimum and the meaning
of ``tol`` do not change, only the metric of steps and conjugate directions. Without an intercept columns are not
centred, and the mean square replaces the variance.

A column without spread (data/moments.py) does not distinguish any rows, and the intercept has the same effect without a
penalty. So its a_j is zero and its weights stay zero. Otherwise the rounding of its slope, divided by a curvature
that is also rounding, would become a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..arrays import finfo, largest
from ..data.ranges import Ranges

if TYPE_CHECKING:
    from typing import Any

    from ..objective import Objective
    from ..typing import Array


class Rescaled:
    """An Objective in the variables u.

    Parameters
    ----------
    objective : Objective

    Attributes
    ----------
    columns : (mean, scale), float64 (d + 1,) each
        In the variables u a row is a = (x - mean) scale: theta'x = u'a.
    ranges : Ranges
        Of the rows of arrays like u.
    l1, theta_l1 : ndarray of shape (d, 1)
        The L1 penalty on each row of u[:-1], and the same penalty on W.
    rounding : float
        Differences of F smaller than this, relative to F, may be rounding: float32 data are evaluated in float32.
    """

    ridge: Array
    columns: tuple[Array, Array]
    ranges: Ranges
    theta_l1: Array
    l1: Array
    fit_intercept: bool
    rounding: float

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        moments = objective.column_moments()
        mean, deviation = moments.mean, moments.deviation
        flat = objective.columns_without_spread()
        if not objective.fit_intercept:
            mean, deviation = np.zeros_like(mean), np.hypot(mean, deviation)
            flat = deviation == 0.0
        penalty, d, classes = objective.penalty, objective.n_features, objective.n_classes
        l2 = penalty.l2_of(d)
        root_q = np.sqrt((1 - 1 / classes) / classes)
        self._width, self._scale, self._mean, self.ridge = np.zeros((4, d + 1, 1))
        width, scale = self._width[:-1, 0], self._scale[:-1, 0]
        np.hypot(root_q * deviation, np.sqrt(l2), out=width, where=~flat)
        np.divide(1.0, width, out=scale, where=~flat)
        self._width[-1], self._scale[-1] = root_q, 1.0 / root_q
        self._mean[:-1, 0] = mean  # the intercept's own column is not centred
        self.columns = self._mean[:, 0], self._scale[:, 0]
        self.ranges = Ranges.in_cache(objective.shape, objective.n_threads)
        # The Hessian of the L2 penalty in u, one number for each row of u.
        self.ridge[:-1, 0] = l2 * np.square(scale)
        self.theta_l1 = penalty.l1_of(d)[:, np.newaxis]
        self.l1 = self.theta_l1 * self._scale[:-1]
        self.fit_intercept = objective.fit_intercept
        self.rounding = 16 * float(finfo(objective.dtype).eps)

    def theta(self, u: Array) -> Array:
        """Return T u, the parameters of the objective (d + 1, K)."""
        theta = np.empty_like(u)

        def part(rows: slice) -> Array:
            np.multiply(u[rows], self._scale[rows], out=theta[rows])
            return self._mean[rows].T @ theta[rows]

        shift: Any = sum(self.ranges.map(part))
        theta[-1] -= shift[0]
        return theta

    def variables(self, theta: Array) -> Array:
        """Return u for parameters (d + 1, K) of any float dtype. Columns without spread move into the intercept."""
        u = np.array(theta, dtype=np.float64, order="C")
        u[-1] += (self._mean.T @ u)[0]
        u *= self._width
        return u

    def gradient(self, grad: Array) -> Array:
        """Return the gradient in theta, from the gradient in u."""
        original = grad * self._width
        original += self._mean * original[-1]
        return original

    def value_and_grad(self, u: Array) -> tuple[float, Array]:
        value, grad = self.objective.value_and_grad(self.theta(u))
        return value, self.pull_back(grad)

    def evaluate(self, u: Array) -> tuple[float, Array, Array, float]:
        """Return F, the gradient in u, theta, and the largest entry of the gradient in theta."""
        theta = self.theta(u)
        value, grad = self.objective.value_and_grad(theta)
        parts = self.ranges.map(lambda rows: largest(grad[rows]))
        entry = parts[0] if len(parts) == 1 else float(np.max(parts))
        return value, self.pull_back(grad), theta, entry

    def hessp(self, u: Array, v: Array) -> Array:
        return self.pull_back(self.objective.hessp(self.theta(u), self.theta(v)))

    def pull_back(self, grad: Array) -> Array:
        """Turn the gradient in theta into the gradient in u, in place, and return it."""
        of_intercept = grad[-1].copy()

        def part(rows: slice) -> None:
            grad[rows] -= self._mean[rows] * of_intercept
            grad[rows] *= self._scale[rows]

        self.ranges.map(part)
        return grad
