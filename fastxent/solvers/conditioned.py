"""An objective in variables that suit its columns, without touching them.

Raw columns differ in size and lean on the intercept; both slow every method that takes steps along gradients. Centring
and scaling a column is a change of variables, not of data:

    theta = T u:    W_j = a_j u_j,                  b = a_b u_b - sum_j mean_j W_j
    G_u = T' G:     a_j (G_j - mean_j G_b),         a_b G_b
    H_u v = T' H (T v)

    1 / a_j^2 = q var_j + l2,    1 / a_b^2 = q,     q = (1/K)(1 - 1/K)

which is the diagonal of the Hessian at W = 0 once the columns are centred (D. Böhning, "Multinomial logistic regression
algorithm", Annals of the Institute of Statistical Mathematics 44, 1992, gives that Hessian). The optimum, and what ``tol``
means, are untouched: only steps and conjugate directions are measured differently. Without an intercept there is nothing
to centre, and the mean square takes the place of the variance.
"""

import numpy as np
import scipy.sparse as sp

_ROUNDING = 1e-14
_BLOCK = 1 << 20


class Conditioned:
    """What a solver needs of an Objective, in the variables u.

    Attributes
    ----------
    l1 : ndarray of shape (d, 1)
        The L1 penalty on each row of u[:-1] that equals ``theta_l1``, the one on W.
    passes : float
        Counted by the objective.
    """

    def __init__(self, objective):
        self._objective = objective
        mean, deviation = column_moments(objective.X)
        if not objective.fit_intercept:
            mean, deviation = np.zeros_like(mean), np.hypot(mean, deviation)
        # A column that is constant up to rounding says nothing beside the intercept: any scale will do.
        flat = deviation <= _ROUNDING * np.abs(mean)
        deviation[flat] = np.abs(mean[flat])
        classes = objective.n_classes
        root_q = np.sqrt((1 - 1 / classes) / classes)
        width = np.append(np.hypot(root_q * deviation, np.sqrt(objective.l2)), root_q)
        width[width == 0.0] = 1.0
        self._scale = 1.0 / width[:, np.newaxis]
        self._mean = mean[:, np.newaxis]
        self.theta_l1 = objective.l1
        self.l1 = objective.l1 * self._scale[:-1]
        self.fit_intercept = objective.fit_intercept

    @property
    def passes(self):
        return self._objective.passes

    def theta(self, u):
        """T u: the parameters of the objective."""
        theta = u * self._scale
        theta[-1] -= (self._mean.T @ theta[:-1])[0]
        return theta

    def variables(self, theta):
        """u, from parameters (d + 1, K) of any float dtype."""
        u = np.array(theta, dtype=np.float64, order="C")
        u[-1] += (self._mean.T @ u[:-1])[0]
        u /= self._scale
        return u

    def gradient(self, grad):
        """The gradient in theta, from the gradient in u."""
        original = grad / self._scale
        original[:-1] += self._mean * original[-1]
        return original

    def value_and_grad(self, u):
        value, grad = self._objective.value_and_grad(self.theta(u))
        return value, self._pull_back(grad)

    def hessp(self, u, v):
        return self._pull_back(self._objective.hessp(self.theta(u), self.theta(v)))

    def _pull_back(self, grad):
        grad[:-1] -= self._mean * grad[-1]
        grad *= self._scale
        return grad


def column_moments(X):
    """Mean and standard deviation (float64) of each column of a dense or CSR matrix.

    The deviation is taken around the mean, so that a column far from zero keeps its digits.
    """
    n, d = X.shape
    if not sp.issparse(X):
        mean = X.mean(axis=0, dtype=np.float64)
        square = np.zeros(d)
        step = max(1, _BLOCK // d)
        for start in range(0, n, step):
            square += np.square(X[start : start + step] - mean).sum(axis=0)
        return mean, np.sqrt(square / n)

    def sum_by_column(values):
        total = np.zeros(d)
        for start in range(0, X.data.shape[0], _BLOCK):
            part = slice(start, start + _BLOCK)
            total += np.bincount(X.indices[part], weights=values(part), minlength=d)
        return total

    mean = sum_by_column(lambda part: X.data[part]) / n
    square = sum_by_column(lambda part: np.square(X.data[part] - mean[X.indices[part]]))
    absent = np.maximum(n - sum_by_column(lambda part: None), 0)
    return mean, np.sqrt((square + absent * np.square(mean)) / n)
