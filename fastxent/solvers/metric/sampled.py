"""The Hessian over a sample of the rows at the current u, by conjugate gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from ...data.ranges import Ranges
from ...penalty import Penalty
from ...prediction import predict
from .models import FEW_ROWS, GRAM_ROWS, Model, factor, shared_weight

if TYPE_CHECKING:
    from typing import Any

    from ...typing import Array
    from ..scaling import Rescaled


_JITTER = 1e-7  # in single precision
_SAMPLED_PART = 16  # at least one of this number of rows is in a sample
_CG_STEPS, _CG_REDUCTION = 100, 0.3  # at most; and of the residual, which is accurate enough for a direction


class Sampled(Model):
    """The Hessian over a sample at the current u, by conjugate gradients preconditioned with the shared model.

    Rows are drawn mostly in proportion to their trace in the Hessian, c_i w_i |a_i|^2 (see `Objective.sample`): rows
    that are certain carry no information, and only a few rows have entries in a rare column. Errors of the Hessian do
    not affect the solution, so single precision is enough. (R. H. Byrd, G. M. Chin, W. Neveitt, J. Nocedal, "On the use
    of stochastic Hessian information in optimization methods for machine learning", SIAM Journal on Optimization 21,
    2011.)
    """

    is_part: bool

    has_scale = True

    def __init__(self, problem: Rescaled, u: Array) -> None:
        objective = problem.objective
        self._problem, self._ridge = problem, problem.ridge
        self._width = np.ones((u.shape[0], 1))
        self._width[-1] = problem.columns[1][-1]
        count = max(FEW_ROWS, GRAM_ROWS * u.shape[0], objective.n_rows // _SAMPLED_PART)
        sample = objective.sample(count, problem.theta(u), columns=problem.columns)
        part = sample.local
        A = np.empty((part.n_rows, objective.n_features), np.float32)

        def fill(rows: slice) -> None:
            A[rows] = part.scaled_rows(rows, *problem.columns)

        Ranges.in_cache(A.shape, objective.n_threads).map(fill)
        self._part = part.replaced(A, part.targets)
        self._rows = sample.over_part(self._part).with_penalty(Penalty())  # counts its own passes
        self._share = part.n_rows / objective.n_rows
        self.is_part = part.n_rows < objective.n_rows
        self.follow(u)
        self.move(u, 0.0)

    def follow(self, u: Array) -> None:
        # The inverse of the shared model's Cholesky factor, from half of the rows. Products with it and its transpose
        # are faster than solves, and stay positive definite in single precision.
        objective, half = self._problem.objective, slice(None, None, 2 if self.is_part else 1)
        theta = (u * self._width).astype(np.float32)
        P = predict(self._part.X, theta, "proba", objective.n_threads)[half]
        A, mass = self._part.X[half], self._part.targets.masses[half]
        weight = np.sqrt(shared_weight(objective.K, mass / mass.sum(), P))
        last = self._width[-1, 0] if self._problem.fit_intercept else 0.0

        def product(rows: slice) -> Array:
            B = np.empty((len(weight[rows]), A.shape[1] + 1), np.float32)
            np.multiply(A[rows], weight[rows, np.newaxis], out=B[:, :-1], casting="same_kind")
            B[:, -1] = weight[rows] * last
            return B.T @ B

        products = Ranges.by_step(len(A), max(1024, -(-len(A) // 8)), objective.n_threads).map(product)
        C: Any = np.sum(products, axis=0, dtype=np.float64)
        C[np.diag_indices_from(C)] += self._ridge[:, 0] + _JITTER * np.trace(C) / len(C)
        if not self._problem.fit_intercept:
            C[-1, -1] = 1.0
        L = np.tril(factor(C)[0])
        self._inverse = scipy.linalg.lapack.dtrtri(L, lower=1)[0].astype(np.float32)

    def move(self, u: Array, damping: float) -> None:
        """Use the Hessian at u, plus `damping` times the shared model."""
        self._at, self._damping = u * self._width, damping

    @property
    def rounding(self) -> float:
        """Relative differences of values that may be rounding."""
        return 16 * float(np.finfo(np.float32).eps)

    def _times(self, V: Array) -> Array:
        self._problem.objective.count(self._share)
        return self._rows.hessp(self._at, V * self._width) * self._width + self._ridge * V

    def shared(self, R: Array) -> Array:
        """Return the shared model's inverse times R."""
        return (self._inverse.T @ (self._inverse @ R.astype(np.float32))).astype(np.float64)

    def evaluate(self, u: Array) -> tuple[Any, Array]:
        """Return F and its gradient over the sample."""
        self._problem.objective.count(self._share)
        value, grad = self._rows.value_and_grad(u * self._width)
        grad *= self._width
        slope = self._ridge * u
        return value + 0.5 * np.vdot(u, slope), grad + slope

    def solve(self, R: Array) -> Array:
        size = np.abs(R).max() or 1.0
        R = R / size  # far from the limits of single precision
        X = np.zeros_like(R)
        residual = R
        search = Z = self.shared(residual)
        damped = residual  # the shared model times search
        square = first = np.vdot(residual, Z)
        for _ in range(_CG_STEPS):
            image = self._times(search) + self._damping * damped
            curvature = np.vdot(search, image)
            if not curvature > 0:
                break
            X += (square / curvature) * search
            residual = residual - (square / curvature) * image
            Z = self.shared(residual)
            square, before = np.vdot(residual, Z), square
            if square <= _CG_REDUCTION**2 * first:
                break
            search = Z + (square / before) * search
            damped = residual + (square / before) * damped
        return (X if X.any() else Z) * size
