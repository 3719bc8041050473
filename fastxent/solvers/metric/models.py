"""Models of the Hessian whose inverse is cheap.

In the variables u of scaling.py a row is a_i (d + 1 numbers, centred and scaled, the intercept's last), with
probabilities p_i and share c_i of the weights, and

    H = sum_i c_i  a_i a_i'  (x)  (diag p_i - p_i p_i')  +  penalty,      trace of the second factor: w_i = 1 - |p_i|^2

The models:

    diagonal   variances of the columns under the weights c_i w_i  (x)  diag(beta) - beta beta' / s
    gram       sum_i c_i w_i a_i a_i' / (K - 1), the same for every class; exact for two classes and where W = 0
    nystrom    the same, of rank 50 and a multiple of the identity
    sampled    H itself at the current u, over a sample, by conjugate gradients preconditioned with gram     sampled.py
    rows       the same for parts that are not in memory together, preconditioned with diagonal             rows.py
    exact      H itself at the current u, over all rows                                                        exact.py

The diagonal model gets sums over all rows from the objective; gram, nystrom and sampled use a sample of the rows, and
exact uses all rows. The penalty is exact (nystrom: its mean). Rows that are certain have no curvature. In all models
but the last two, their curvature counts as a thousandth of the mean; otherwise a few rows would determine the model.

    D. Böhning, "Multinomial logistic regression algorithm", Ann. Inst. Stat. Math. 44, 1992 (gram, at W = 0).
    Z. Frangella, P. Rathore, S. Zhao, M. Udell, "PROMISE", JMLR 25, 2024 (sampled and sketched models, refreshed
    rarely).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from ...arrays import finfo
from ...prediction import predict

if TYPE_CHECKING:
    from typing import Any

    from ...loss import Part
    from ...typing import Array
    from ..l1_newton import L1Problem
    from ..scaling import Rescaled


_LEAST_CURVATURE = 1e-3  # of a row, relative to the mean: see above
JITTER = 1e-9  # relative to the mean diagonal, added so that a matrix is positive definite in rounding
_RANK = 50  # of the sketch; more costs more per step than it saves
GRAM_ROWS = 10  # rows of the sample, per column
FEW_ROWS = 2000  # least number of rows in a sample
_SAMPLE_SIZE = 5e7  # entries in a dense sample, at most


class Model:
    """A model of the Hessian, computed at some u.

    Attributes
    ----------
    is_exact : bool
        Whether this is the Hessian itself, computed at each iterate by ``follow``.
    has_scale : bool
        Whether the model follows u between refreshes, by ``move``, and has a scale of its own.
    is_part : bool
        Whether it can evaluate F over a sample of the rows, by ``evaluate``.
    knows_columns : bool
        Whether it sees correlations between columns.
    sees_rows : bool
        Whether it is the Hessian itself over some rows at the current u, where a pass over all rows is expensive.
    """

    is_exact = has_scale = is_part = sees_rows = False
    knows_columns = True

    def solve(self, R: Array) -> Array:
        """Return the model's inverse times R (d + 1, K), a new array."""
        raise NotImplementedError

    def shared(self, R: Array) -> Array:
        """Return the same, or the result of a cheaper model that is similar."""
        return self.solve(R)

    def follow(self, u: Array) -> None:
        """Compute the model at u, over the same rows."""

    def move(self, u: Array, damping: float) -> None:
        """Use the Hessian at u, plus `damping` times a safer model."""


class Diagonal(Model):
    """Variance v_j of each column  (x)  diag(beta) - beta beta' / s,  beta_k = sum_i c_i p_ik (1 - p_ik), s their sum.

    For a row of R this is a diagonal solve and a correction of rank one (J. Sherman, W. J. Morrison, 1950):

        D_k = v beta_k + e,   x = R / D,   x += (v beta / D) (beta.x) / sum_k (beta_k e / D_k)      e: penalty, floor

    ``inverse`` is 1 / D, of all rows.
    """

    variance: Array
    beta: Array
    inverse: Array

    knows_columns = False

    def __init__(self, problem: Rescaled | L1Problem, u: Array) -> None:
        objective = problem.objective
        moments, beta = objective.curvature_moments(problem.theta(u))
        every, curvature = objective.column_moments(), moments.mass
        if every.mass > 0:
            moments = moments + every.scaled(_LEAST_CURVATURE * curvature / every.mass)
        beta = np.maximum(beta, _LEAST_CURVATURE * beta.max())
        mean, deviation = moments.mean, moments.deviation
        if not objective.fit_intercept:
            mean, deviation = np.zeros_like(mean), np.hypot(mean, deviation)
        centre, scale = (column[:, np.newaxis] for column in problem.columns)
        self._shift = (np.append(mean, 0.0)[:, np.newaxis] - centre) * scale / scale[-1]
        self._ranges = problem.ranges
        # The diagonal itself, without penalty and floor: one column times one row.
        self.variance, self.beta = np.square(np.append(deviation, 1.0)[:, np.newaxis] * scale), beta
        self.inverse, self._share = np.empty((2, len(scale), len(beta)))
        least = _LEAST_CURVATURE * beta.max()
        variance = self.variance

        def part(rows: slice) -> None:
            v, rest = variance[rows], variance[rows] * least + problem.ridge[rows] + JITTER * beta.max()
            inverse = np.divide(1.0, v * beta + rest, out=self.inverse[rows])
            np.multiply(v / (inverse * rest @ beta)[:, np.newaxis] * beta, inverse, out=self._share[rows])

        self._ranges.map(part)
        self._coupled = len(beta) > 1

    def solve(self, R: Array) -> Array:
        X = np.empty_like(R)
        last = R[-1].copy()

        def part(rows: slice) -> Array:
            x = np.multiply(R[rows] - self._shift[rows] * last, self.inverse[rows], out=X[rows])
            if self._coupled:
                x += self._share[rows] * (x @ self.beta)[:, np.newaxis]
            return self._shift[rows].T @ x

        last_rows: Any = sum(self._ranges.map(part))
        X[-1] -= last_rows[0]
        return X


class Gram(Model):
    """One matrix over the columns for all classes."""

    def __init__(self, problem: Rescaled, u: Array) -> None:
        A, mass, P = sample_of(problem, u, GRAM_ROWS * (problem.objective.n_features + 1))
        self._factor = _shared_factor(problem, A, shared_weight(problem.objective.K, mass, P))

    def solve(self, R: Array) -> Array:
        return solved(self._factor, R)


class Nystrom(Model):
    """The same with rank 50; the rest is a multiple of the identity."""

    knows_columns = False

    def __init__(self, problem: Rescaled, u: Array) -> None:
        A, mass, P = sample_of(problem, u, GRAM_ROWS * (problem.objective.n_features + 1))
        weight = shared_weight(problem.objective.K, mass, P)
        rank = min(_RANK, A.shape[1])
        start = np.linalg.qr(np.random.default_rng(0).standard_normal((A.shape[1], rank)))[0]
        sketch = A.T @ (weight[:, np.newaxis] * (A @ start))
        shift = finfo(np.float64).eps * np.linalg.norm(sketch)
        sketch += shift * start
        core = np.triu(factor((start.T @ sketch).T)[0].T)
        basis, values, _ = np.linalg.svd(
            scipy.linalg.solve_triangular(core, sketch.T, trans="T").T, full_matrices=False
        )
        values = np.maximum(np.square(values) - shift, 0.0)
        ridge = float(problem.ridge.mean())
        self._basis = basis
        values = np.maximum(values + ridge, JITTER * max(values[0], finfo(float).tiny))
        self._rest = 1.0 / values[-1]
        self._gain = (1.0 / values - self._rest)[:, np.newaxis]

    def solve(self, R: Array) -> Array:
        return self._rest * R + self._basis @ (self._gain * (self._basis.T @ R))


def sample_of(problem: Rescaled, u: Array, count: int) -> tuple[Array, ...]:
    """Return rows a_i of a sample, dense; their shares c_i of the weights; and their probabilities P.

    P has two columns if the model is binary.
    """
    width = problem.objective.shape[0]
    # If there are few rows, all are used: weighted rows and repeated rows then give the same steps.
    most = max(_SAMPLE_SIZE // width, 2 * problem.objective.K)
    part = problem.objective.sample(int(min(max(count, FEW_ROWS), most))).local
    mass = part.targets.masses / max(part.targets.masses.sum(), finfo(float).tiny)
    P = predict(part.X, problem.theta(u).astype(part.dtype), "proba", part.n_threads)
    return dense_rows(problem, part), mass, np.asarray(P, np.float64)


def dense_rows(problem: Rescaled, part: Part) -> Array:
    """Return all rows a_i of a part, float64 (n, d + 1)."""
    A = np.empty((part.n_rows, part.n_features + 1))
    A[:, :-1] = part.X.toarray() if part.is_sparse else part.X
    A[:, -1] = 1.0 if problem.fit_intercept else 0.0
    mean, scale = problem.columns  # the intercept's own mean is 0
    A -= mean
    A *= scale
    return A


def shared_weight(K: int, mass: Array, P: Array) -> Array:
    """Return the weights of the rows (n,) in the classes' shared model."""
    weight = mass * (1.0 - np.einsum("ik,ik->i", P, P))
    weight = np.maximum(weight, _LEAST_CURVATURE * weight.mean() * (mass > 0))
    return weight / 2.0 if K == 1 else weight / (K - 1)


def _shared_factor(problem: Rescaled, A: Array, weight: Array) -> tuple[Array, bool]:
    """Return the Cholesky factor of sum_i weight_i a_i a_i' + penalty."""
    A *= np.sqrt(weight)[:, np.newaxis]
    C = A.T @ A
    A /= np.maximum(np.sqrt(weight), finfo(float).tiny)[:, np.newaxis]
    C[np.diag_indices_from(C)] += problem.ridge[:, 0] + JITTER * np.trace(C) / len(C)
    if not problem.fit_intercept:
        C[-1, -1] = 1.0
    return factor(C)


def factor(H: Array, least: float = JITTER) -> tuple[Array, bool]:
    """Return the lower Cholesky factor of H, in the form that cho_solve takes.

    If H is not positive definite in rounding, a small multiple of the identity is added: first `least` times the mean
    of the diagonal, then ten times that, and so on.
    """
    size = max(float(np.trace(H)) / len(H), finfo(float).tiny)
    jitter = 0.0
    while True:
        found, failed = scipy.linalg.lapack.dpotrf(H, lower=1, clean=0)
        if not failed:
            return found, True
        more = max(least, 9 * jitter)
        H[np.diag_indices_from(H)] += more * size
        jitter += more


def solved(factor: tuple[Array, bool], R: Array) -> Array:
    """Return the inverse of a factored matrix times R."""
    return np.ascontiguousarray(scipy.linalg.lapack.dpotrs(factor[0], R, lower=factor[1])[0])
