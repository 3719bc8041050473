"""The Hessian of all rows, wherever u is now: for models so small that it costs no more than calling a pass."""

import functools

import numpy as np

from ...arrays import finfo
from .models import Model, dense_rows, factor, solved


class Exact(Model):
    """The Hessian of all rows, wherever u is now: for models so small that it costs no more than calling a pass.

    Columns a_j a_l of all pairs of features are made once, and summed under c_i p_ik p_ih for each pair of classes.
    What a class has with itself is the sum of what it has with the others: certain rows keep their digits.
    """

    is_exact = True

    def __init__(self, problem, u):
        self._problem = problem
        self._A = dense_rows(problem, problem.objective.local)
        mass = problem.objective.local.targets.masses
        self._mass = mass[:, np.newaxis] / max(problem.objective.total_weight, finfo(float).tiny)
        width, K = u.shape
        self._ridge, self._free = np.repeat(problem.ridge[:, 0], K), np.flatnonzero(problem.ridge == 0)
        if K > 1:
            (first, second), self._pairs, self._blocks, self._places = _layout(width, K)
            self._products = (self._A[:, first] * self._A[:, second]).T
        self.follow(u)

    def follow(self, u):
        """Take the Hessian at u."""
        Z = self._A @ u
        K = u.shape[1]
        if K == 1:
            e = np.exp(-np.abs(Z))
            B = self._A * (np.sqrt(self._mass * e) / (1.0 + e))
            H = B.T @ B
        else:
            P = np.exp(Z - Z.max(axis=1, keepdims=True))
            P /= P.sum(axis=1, keepdims=True)
            k, h = self._pairs
            sums = self._products @ (self._mass * P[:, k] * P[:, h])
            H = (sums @ self._blocks).take(self._places)
        diagonal = np.einsum("ii->i", H)
        mean = diagonal.mean()
        if K > 1:  # F does not see what all classes share where nothing is penalised
            for j in self._free:
                H[j * K : (j + 1) * K, j * K : (j + 1) * K] += mean
        diagonal += self._ridge + self._problem.rounding * mean
        if not self._problem.fit_intercept:
            diagonal[-K:] = 1.0
        self._factor = factor(H)

    def solve(self, R):
        return solved(self._factor, R.reshape(-1, 1)).reshape(R.shape)


@functools.lru_cache(maxsize=4)  # small models are fitted many at a time
def _layout(width, K):
    """Pairs of features and of classes; what a pair of classes adds to each block of K x K, and its place in H."""
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
