"""The penalty of an objective: L2 and L1, by features or in groups.

    (l2/2) sum_j f_j |W_j|^2  +  l1 sum_j f_j |W_j|_1

With groups, the second term is  l1 sum_j f_j |W_j|_2,  with the norm of each feature's weights in all classes. The
intercept, the last row of theta, is never penalised.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .typing import Array


@dataclass(frozen=True, eq=False)
class Penalty:
    """Strengths of the penalty.

    Parameters
    ----------
    l2, l1 : float
    factors : float64 (d,) or None
        f_j, which multiplies both penalties of feature j; 0 leaves it free, None is 1 for all.
    groups : {None, "features"}
        What L1 sets to zero: single weights, or a feature's weights in all classes together.
    """

    l2: float = 0.0
    l1: float = 0.0
    factors: np.ndarray | None = None
    groups: str | None = None

    def l2_of(self, n_features: int) -> Array:
        """Return the L2 strength of each feature, float64 (n_features,)."""
        return self.l2 * self._factors(n_features)

    def l1_of(self, n_features: int) -> Array:
        """Return the L1 strength of each feature, float64 (n_features,)."""
        return self.l1 * self._factors(n_features)

    def _factors(self, n_features: int) -> Array:
        return np.ones(n_features) if self.factors is None else self.factors

    @property
    def is_zero(self) -> bool:
        """Whether nothing is penalised."""
        return (self.l1 == 0 and self.l2 == 0) or (self.factors is not None and not self.factors.any())

    def grouped(self, n_columns: int) -> bool:
        """Whether L1 acts on groups of `n_columns` weights; a binary model has one weight per feature."""
        return self.groups == "features" and n_columns > 1 and self.l1 > 0

    def of_features(self, chosen: Array) -> Penalty:
        """Return the penalty of some of the features (a mask)."""
        return self if self.factors is None else replace(self, factors=self.factors[chosen])

    def smooth(self, theta: Array) -> float:
        """Return the L2 term at theta (d + 1, K)."""
        if self.l2 == 0:
            return 0.0
        W = theta[:-1]
        if self.factors is None:
            square = np.einsum("jk,jk->", W, W, dtype=np.float64)
        else:
            square = np.einsum("j,jk,jk->", self.factors, W, W, dtype=np.float64)
        return 0.5 * self.l2 * float(square)

    def l1_term(self, theta: Array) -> float:
        """Return the L1 term at theta."""
        if self.l1 == 0:
            return 0.0
        W = theta[:-1]
        sizes = np.linalg.norm(W, axis=1) if self.groups == "features" else np.abs(W).sum(axis=1)
        return self.l1 * float(sizes.sum() if self.factors is None else self.factors @ sizes)

    def add_gradient(self, theta: Array, out: Array) -> None:
        """Add the gradient of the L2 term to `out`, an array like theta."""
        if self.l2 == 0:
            return
        if self.factors is None:
            out[:-1] += self.l2 * theta[:-1]
        else:
            out[:-1] += (self.l2 * self.factors)[:, np.newaxis] * theta[:-1]

    def centred(self, theta: Array) -> Array:
        """Return, of all parameters with the same probabilities, those that sum to zero over the classes.

        A softmax does not change if the same column is added for all classes. The L2 norm is smallest where the sum is
        zero. The L1 norm is not, so with L1 only the intercept and weights without a penalty are centred.
        """
        if theta.shape[1] == 1:
            return theta
        if self.l1 == 0:
            return theta - theta.mean(axis=1, keepdims=True)
        theta = theta.copy()
        free = np.append(self.l1_of(len(theta) - 1) == 0, True)
        theta[free] -= theta[free].mean(axis=1, keepdims=True)
        return theta


def least_subgradient(theta: Array, grad: Array, l1: Array | float) -> Array:
    """Return the element of least norm of the subdifferential of f + sum l1 |W|, from the gradient of f.

    theta, grad : (d + 1, K), the last row without a penalty; l1 : number, or (d, 1). It is zero only at the optimum.
    """
    least = grad.copy()
    W, G = theta[:-1], grad[:-1]
    least[:-1] = np.where(W == 0.0, shrink(G, l1), G + l1 * np.sign(W))
    return least


def shrink(values: Array, threshold: Array | float) -> Array:
    """Return values moved towards zero by a threshold, but not past zero."""
    return np.sign(values) * np.maximum(np.abs(values) - threshold, 0.0)
