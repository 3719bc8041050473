"""The Hessian of all rows at the current u, and the bound on F - F* that it gives.

    F. Bach, "Self-concordant analysis for logistic regression", Electronic Journal of Statistics 4, 2010.

If the differences between the logits of row i change by at most s_i, its mean curvature on the way is at least
2 (exp(-s) + s - 1) / s^2 times that at u. Hence F - F* is at most the decrease of the quadratic model in which each
row's mass has this factor, if no row's logits change by more where this model is negative. They change by at most
|a_i D| + sqrt(2 fall) |L^-1 a_i|, with D the model's Newton step, fall its decrease, and L L' its Hessian. The norms
|L^-1 a_i| are estimated by a few random vectors.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from ...arrays import finfo
from ...data.ranges import Ranges
from ...parallel import ordered_sum
from .models import Model, dense_rows, factor, solved

if TYPE_CHECKING:
    from ...typing import Array
    from ..scaling import Rescaled


_BLOCK = 1 << 20  # entries in the arrays of a range of rows
_KEPT = 1 << 24  # entries up to which the products of columns are stored
_PROBES = 8  # random vectors; the norms are right within about a quarter, and _MARGIN covers that
_MARGIN = 2.0  # factor on the estimated changes of logits
_ROUNDS = 4  # of larger and larger changes
_FARTHEST = 1e100  # stands for any change of a logit that leaves no curvature
_EPS = float(finfo(np.float64).eps)


class Exact(Model):
    """The Hessian of all rows at the current u, for models so small that it costs less than the passes it saves.

    The products a_ij a_il of all pairs of features are summed with weights c_i p_ik p_ih for each pair of classes. The
    diagonal block of a class is minus the sum of its other blocks, which keeps the digits of certain rows.
    """

    is_exact = True

    def __init__(self, problem: Rescaled, u: Array) -> None:
        self._problem = problem
        objective = problem.objective
        self._A = dense_rows(problem, objective.local)
        self._mass = objective.local.targets.masses / max(objective.total_weight, finfo(float).tiny)
        width, K = u.shape
        self._ridge, self._free = np.repeat(problem.ridge[:, 0], K), np.flatnonzero(problem.ridge == 0)
        products = width * (width + 1) // 2
        widest = max(products if K > 1 else width, K * (K - 1) // 2, K * _PROBES)
        self._ranges = Ranges.by_step(len(self._A), _BLOCK // widest, objective.n_threads)
        self._P = np.empty((K, len(self._A)))  # rows last: NumPy is fastest along long rows
        if K > 1:
            (self._first, self._second), self._pairs, self._blocks, self._places = _layout(width, K)
            kept = products * len(self._A) <= _KEPT
            self._products = {rows.start: self._product(rows) for rows in self._ranges} if kept else {}
        self.follow(u)

    def follow(self, u: Array) -> None:
        """Compute the Hessian at u."""
        A, K = self._A, u.shape[1]

        def part(rows: slice) -> None:
            P = u.T @ A[rows].T
            if K == 1:  # the root of p (1 - p)
                e = np.exp(-np.abs(P))
                self._P[:, rows] = np.sqrt(e) / (1.0 + e)
            else:
                P -= P.max(axis=0)
                np.exp(P, out=P)
                np.divide(P, P.sum(axis=0), out=self._P[:, rows])

        self._ranges.map(part)
        self._factor = self._factored(self._mass)

    def solve(self, R: Array) -> Array:
        return solved(self._factor, R.reshape(-1, 1)).reshape(R.shape)

    def gap(self, grad: Array, D: Array, enough: float) -> float:
        """Return an upper bound on F - F*.

        Parameters
        ----------
        grad, D : ndarray of shape (d + 1, K)
            The gradient where the Hessian was computed, and Newton's step.
        enough : float
            The gap that tol allows. If the bound is larger, some number above `enough` is returned.
        """
        factor, fall = self._factor, -float(np.vdot(grad, D)) / 2
        moved, least_share = np.zeros(len(self._A)), 1.0
        for _ in range(_ROUNDS):
            if not fall <= enough * least_share:
                return fall if fall > enough else np.inf
            reach = self._reach(factor, D, fall)
            beyond = reach > moved
            if not beyond.any():
                return fall
            moved = np.where(beyond, _MARGIN * reach, moved)
            x = moved + 1e-3
            share = 2 * (np.exp(-x) + x - 1) / x**2
            least_share = float(share.min())
            if least_share >= 1 / _MARGIN and fall <= enough * least_share:
                return fall / least_share
            factor = self._factored(self._mass * share)
            D = -solved(factor, grad.reshape(-1, 1)).reshape(grad.shape)
            fall, least_share = -float(np.vdot(grad, D)) / 2, 1.0
        return np.inf

    def _product(self, rows: slice) -> Array:
        A = np.ascontiguousarray(self._A[rows].T)
        return A[self._first] * A[self._second]

    def _factored(self, mass: Array) -> tuple[Array, bool]:
        """Return the Cholesky factor of the Hessian with these masses of the rows."""
        K = len(self._P)

        def sums(rows: slice) -> Array:
            P, c = self._P[:, rows], mass[rows]
            if K == 1:
                B = self._A[rows] * (np.sqrt(c) * P[0])[:, np.newaxis]
                return B.T @ B
            k, h = self._pairs
            products = self._products[rows.start] if self._products else self._product(rows)
            weights = (c * P)[k]
            weights *= P[h]
            return products @ weights.T

        total = ordered_sum(self._ranges.map(sums))
        H = total if K == 1 else (total @ self._blocks).take(self._places)
        diagonal = np.einsum("ii->i", H)
        mean = diagonal.mean()
        if K > 1:  # without a penalty, F does not depend on what all classes have in common
            for j in self._free:
                H[j * K : (j + 1) * K, j * K : (j + 1) * K] += mean
        diagonal += self._ridge
        if (
            self._problem.objective.dtype == np.float32
        ):  # so that noise of the gradient does not become a step
            diagonal += self._problem.rounding * mean
        if not self._problem.fit_intercept:
            diagonal[-K:] = 1.0
        return factor(H, least=_EPS)

    def _reach(self, factor: tuple[Array, bool], D: Array, fall: float) -> Array:
        """Return how much the differences of each row's logits can change where the model is at most zero, (n,)."""
        probes = scipy.linalg.solve_triangular(factor[0], _noise(D.size), lower=True, trans="T")
        if not np.isfinite(probes).all():  # there is hardly any curvature
            return np.full(len(self._A), _FARTHEST)
        width, K = D.shape
        probes = np.ascontiguousarray(probes.reshape(width, -1).T)

        def part(rows: slice) -> Array:  # rows last: NumPy reduces the first axis fastest
            A = self._A[rows].T
            own, Z = D.T @ A, (probes @ A).reshape(K, _PROBES, -1)
            own, spans = (
                (np.abs(own[0]), np.abs(Z[0])) if K == 1 else (np.ptp(own, axis=0), np.ptp(Z, axis=0))
            )
            spans *= np.sqrt(2 * fall)
            np.minimum(spans, _FARTHEST, out=spans)
            return np.minimum(own, _FARTHEST) + np.sqrt(np.mean(np.square(spans), axis=0))

        return np.concatenate(self._ranges.map(part))


@functools.lru_cache(maxsize=4)  # small models are often fitted in large numbers
def _layout(width: int, K: int) -> tuple[tuple[Array, Array], tuple[Array, Array], Array, Array]:
    """Return pairs of features, pairs of classes, each class pair's part of a K x K block, and the places in H."""
    first, second = np.triu_indices(width)
    features = np.empty((width, width), np.intp)
    features[first, second] = features[second, first] = np.arange(len(first))
    k, h = np.triu_indices(K, 1)
    blocks = np.zeros((len(k), K, K))
    pair = np.arange(len(k))
    blocks[pair, k, h] = blocks[pair, h, k] = -1.0
    blocks[pair, k, k] = blocks[pair, h, h] = 1.0
    classes = np.arange(K * K).reshape(1, K, 1, K)
    places = (features[:, np.newaxis, :, np.newaxis] * (K * K) + classes).reshape(width * K, -1)
    return (first, second), (k, h), blocks.reshape(len(k), K * K), places


@functools.lru_cache(maxsize=4)
def _noise(size: int) -> Array:
    return np.random.default_rng(0).standard_normal((size, _PROBES))
