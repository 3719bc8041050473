"""An upper bound on F - F* with an L1 penalty, by the dual.

With H the entropy, c_i a row's share of the weights, t_i its target and G(alpha) = sum_i c_i x_i (alpha_i - t_i)',

    F* >= sum_i c_i H(alpha_i) - sum_j (max(|G_jk| - l1_j, 0))^2 / (2 l2_j)

for all distributions alpha_i with |G_jk| <= l1_j wherever l2_j is zero and, if there is an intercept,
sum_i c_i (alpha_i - t_i) = 0. For groups, |G_j|_2 replaces |G_jk|. The probabilities at theta almost satisfy this. To
satisfy it exactly, a share of one distribution is mixed into all of them (for the intercept), and then they are moved
back towards the targets (for the bound on G).

    S.-J. Kim, K. Koh, M. Lustig, S. Boyd, D. Gorinevsky, "An interior-point method for large-scale l1-regularized least
    squares", IEEE Journal of Selected Topics in Signal Processing 1, 2007 (the scaling).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ...objective import Objective
    from ...typing import Array
    from .columns import BinaryLoss, RowsLoss


class Dual:
    """Bounds on the minimum of one objective.

    Parameters
    ----------
    objective : Objective
        A local one.
    loss : RowsLoss or BinaryLoss
        Its evaluation, at the point of the last gradient.
    """

    def __init__(self, objective: Objective, loss: RowsLoss | BinaryLoss) -> None:
        self._objective, self._loss = objective, loss
        scale = 1.0 / max(objective.total_weight, np.finfo(float).tiny)
        self._wanted = objective.local.targets.class_masses * scale

    def gap(self, theta: Array, value: float, grad: Array) -> float:
        """Return F minus the bound; infinite if a feature has no penalty. Takes a pass over rows, or less.

        Parameters
        ----------
        theta : ndarray of shape (d + 1, K)
        value : float
            F there.
        grad : ndarray of shape (d + 1, K)
            The gradient of the smooth part there.
        """
        objective = self._objective
        penalty, d = objective.penalty, objective.n_features
        l1, l2 = penalty.l1_of(d), penalty.l2_of(d)
        if not (l1 + l2 > 0).all():
            return np.inf
        G = l2[:, np.newaxis] * theta[:-1]
        np.subtract(grad[:-1], G, out=G)
        share, mixed = 0.0, np.zeros(max(objective.K, 2))
        if objective.fit_intercept:  # its gradient is what the class sums of the probabilities are off by
            off = np.append(-grad[-1], grad[-1]) if objective.K == 1 else grad[-1]
            share, mixed = _balance(self._wanted + off, self._wanted)
            if share > 0:
                slopes = self._loss.slopes_of(mixed)
                slopes *= share
                G *= 1 - share
                G += slopes
        size = np.linalg.norm(G, axis=1, keepdims=True) if penalty.grouped(objective.K) else np.abs(G, out=G)
        largest = size.max(axis=1)
        hard = l2 == 0
        back = float((l1[hard] / np.maximum(largest[hard], l1[hard])).min(initial=1.0))
        size *= back
        size -= l1[:, np.newaxis]
        excess = np.square(np.maximum(size, 0.0, out=size), out=size).sum(axis=1)
        conjugate = float((excess[~hard] / (2 * l2[~hard])).sum())
        return value - (self._loss.entropy(theta, share, mixed, back) - conjugate)


def _balance(have: Array, wanted: Array) -> tuple[float, Array]:
    """Return the least share of a distribution to mix in, and the distribution, that turn class sums `have` into
    those that are `wanted`."""
    some = have > 0
    share = float(((have - wanted)[some] / have[some]).max(initial=0.0))
    missing = np.maximum(wanted - (1 - share) * have, 0.0)
    return (share, missing / missing.sum()) if share > 0 and missing.any() else (0.0, np.zeros_like(have))
