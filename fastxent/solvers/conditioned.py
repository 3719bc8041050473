"""An objective in variables that suit its columns, without touching them.

Raw columns differ in size and lean on the intercept; both slow every method that takes steps along gradients.
Centring and scaling a column is a change of variables, not of data:

    theta = T u:    W_j = a_j u_j,                  b = a_b u_b - sum_j mean_j W_j
    G_u = T' G:     a_j (G_j - mean_j G_b),         a_b G_b
    H_u v = T' H (T v)

    1 / a_j^2 = q var_j + l2_j,    1 / a_b^2 = q,     q = (1/K)(1 - 1/K)

which is the diagonal of the Hessian at W = 0 once the columns are centred (D. Böhning, "Multinomial logistic
regression algorithm", Annals of the Institute of Statistical Mathematics 44, 1992, gives that Hessian). The
optimum, and what ``tol`` means, are untouched: only steps and conjugate directions are measured differently.
Without an intercept there is nothing to centre, and the mean square takes the place of the variance.

A column without spread (moments.py) tells no two rows apart, and all it could do the intercept does without a penalty:
its a_j is zero, its weights stay zero, and no rounding of its slope, over a curvature of rounding, becomes a step.
"""

import numpy as np
import scipy.sparse as sp

from ..moments import column_moments, without_spread
from .pieces import Pieces


class Conditioned:
    """What a solver needs of an Objective, in the variables u.

    Parameters
    ----------
    objective : Objective

    Attributes
    ----------
    l1, theta_l1 : ndarray of shape (d, 1)
        The L1 penalty on each row of u[:-1], and the one on W that it equals.
    rounding : float
        Differences of F smaller than this, relative to F, may be rounding: data in float32 are evaluated in
        float32.
    """

    def __init__(self, objective):
        self.objective = self._objective = objective
        mean, deviation = moments_of(objective)
        flat = without_spread(mean, deviation, objective.dtype)
        if not objective.fit_intercept:
            mean, deviation = np.zeros_like(mean), np.hypot(mean, deviation)
            flat = deviation == 0.0
        classes = objective.n_classes
        root_q = np.sqrt((1 - 1 / classes) / classes)
        width = np.append(np.hypot(root_q * deviation, np.sqrt(objective.feature_l2)), root_q)
        moves = np.append(~flat, True)
        self._width = np.where(moves, width, 0.0)[:, np.newaxis]
        self._scale = np.divide(1.0, width, out=np.zeros_like(width), where=moves)[:, np.newaxis]
        self._mean = np.append(mean, 0.0)[:, np.newaxis]  # the intercept's own column is not centred
        self._row_squares = None
        self.pieces = Pieces(objective.shape, objective.n_threads)
        self.mean, self.scale = mean, self._scale
        # The Hessian of the L2 penalty in u, one number for each row of u.
        self.ridge = np.append(objective.feature_l2, 0.0)[:, np.newaxis] * np.square(self._scale)
        self.theta_l1 = objective.feature_l1[:, np.newaxis]
        self.l1 = self.theta_l1 * self._scale[:-1]
        self.fit_intercept = objective.fit_intercept
        self.rounding = 16 * float(np.finfo(objective.dtype).eps)

    def theta(self, u):
        """T u: the parameters of the objective."""
        theta = np.empty_like(u)

        def part(rows):
            np.multiply(u[rows], self._scale[rows], out=theta[rows])
            return self._mean[rows].T @ theta[rows]

        shift = sum(self.pieces.map(part))
        theta[-1] -= shift[0]
        return theta

    def variables(self, theta):
        """u, from parameters (d + 1, K) of any float dtype. What a column without spread has, the intercept gets."""
        u = np.array(theta, dtype=np.float64, order="C")
        u[-1] += (self._mean.T @ u)[0]
        u *= self._width
        return u

    def gradient(self, grad):
        """The gradient in theta, from the gradient in u."""
        original = grad * self._width
        original += self._mean * original[-1]
        return original

    def centred_rows(self, chosen):
        """a_i of some rows, dense, without the intercept's entry: theta'x = u'a."""
        rows = self.objective.X[chosen]
        return ((rows.toarray() if sp.issparse(rows) else rows) - self.mean) * self.scale[:-1, 0]

    def row_squares(self):
        """|a_i|^2 of every row, the intercept's entry in it."""
        if self._row_squares is None:
            self._row_squares = np.empty(self.objective.n_rows)

            def part(rows):
                A = self.centred_rows(rows)
                self._row_squares[rows] = np.einsum("ij,ij->i", A, A) + self.scale[-1, 0] ** 2

            Pieces(self.objective.X.shape, self.objective.n_threads).map(part)
        return self._row_squares

    def value_and_grad(self, u):
        value, grad = self._objective.value_and_grad(self.theta(u))
        return value, self.pull_back(grad)

    def evaluate(self, u):
        """F, the gradient in u, theta, and the largest entry of the gradient in theta."""
        theta = self.theta(u)
        value, grad = self._objective.value_and_grad(theta)
        largest = np.max(self.pieces.map(lambda rows: max(grad[rows].max(), -grad[rows].min())))
        return value, self.pull_back(grad), theta, float(largest)

    def hessp(self, u, v):
        return self.pull_back(self._objective.hessp(self.theta(u), self.theta(v)))

    def pull_back(self, grad):
        """The gradient in u, from the gradient in theta, in place."""
        of_intercept = grad[-1].copy()

        def part(rows):
            grad[rows] -= self._mean[rows] * of_intercept
            grad[rows] *= self._scale[rows]

        self.pieces.map(part)
        return grad


def moments_of(objective):
    """Mean and deviation of an objective's columns, taken once: by what its rows weigh, so that rows weighted and rows
    repeated are conditioned alike."""
    if "moments" not in objective.memo:
        objective.memo["moments"] = column_moments(objective.X, objective.row_masses(), objective.n_threads)
    return objective.memo["moments"]
