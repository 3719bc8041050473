"""The Hessian over the rows that are in memory while the others are on disk, by conjugate gradients."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import numpy as np

from .models import Diagonal, Model

if TYPE_CHECKING:
    from ...typing import Array
    from ..scaling import Rescaled


_CG_STEPS = 50
_CG_REDUCTION = 0.1


class Rows(Model):
    """The Hessian over a sample, wherever u is now, and what its columns lack of the diagonal model of all rows.

    Where rows come from a disk, a pass is expensive and arithmetic on some rows in memory is cheap. A column that few
    rows of the sample have, or none, would seem to have no curvature. What it lacks comes from all rows.

        H  =  H_sample + max(0, v - v_sample) (x) diag(beta)         v, beta: see Diagonal
    """

    has_scale = sees_rows = True

    def __init__(self, problem: Rescaled, u: Array) -> None:
        objective = problem.objective
        self._problem, self._sample = problem, objective.sample(objective.fitting_rows)
        self._share = self._sample.n_rows / objective.n_rows
        self._diagonal = Diagonal(problem, u)
        some = copy(problem)
        some.objective = self._sample
        lack = np.maximum(self._diagonal.variance - Diagonal(some, u).variance, 0.0)
        lack[-1] = 0.0
        self._lack = lack * self._diagonal.beta
        self._curvature = self._diagonal.variance * self._diagonal.beta + problem.ridge
        self.move(u, 0.0)

    def move(self, u: Array, damping: float) -> None:
        """Take the Hessian at u, plus `damping` times its diagonal."""
        self._theta, self._damping = self._problem.theta(u), damping

    def shared(self, R: Array) -> Array:
        return self._diagonal.solve(R)

    def _times(self, V: Array) -> Array:
        problem = self._problem
        image = problem.pull_back(self._sample.hessp(self._theta, problem.theta(V)))
        image += (self._lack + self._damping * self._curvature) * V
        return image

    def solve(self, R: Array) -> Array:
        X, residual = np.zeros_like(R), R.copy()
        search = Z = self._diagonal.solve(residual)
        square = first = np.vdot(residual, Z)
        for _ in range(_CG_STEPS):
            image = self._times(search)
            curvature = np.vdot(search, image)
            if not curvature > 0:
                break
            X += (square / curvature) * search
            residual -= (square / curvature) * image
            Z = self._diagonal.solve(residual)
            square, before = np.vdot(residual, Z), square
            if square <= _CG_REDUCTION**2 * first:
                break
            search = Z + (square / before) * search
        return X if X.any() else Z
