"""How far F is above its minimum at most, with an L1 penalty: by the dual.

With H the entropy, c_i a row's share of the weights, t_i its target and G(alpha) = sum_i c_i x_i (alpha_i - t_i)',

    F* >= sum_i c_i H(alpha_i) - sum_j (max(|G_jk| - l1_j, 0))^2 / (2 l2_j)

for all distributions alpha_i with sum_i c_i (alpha_i - t_i) = 0 (which a free intercept asks for) and |G_jk| <= l1_j
wherever l2_j is zero. For groups, |G_j|_2 takes the place of |G_jk|. The probabilities at theta nearly are such
distributions: a share of one distribution mixed into all of them meets the first constraint, and a step back towards
the targets the second.

    S.-J. Kim, K. Koh, M. Lustig, S. Boyd, D. Gorinevsky, "An interior-point method for large-scale l1-regularized least
    squares", IEEE Journal of Selected Topics in Signal Processing 1, 2007 (the scaling).
"""

import numpy as np

from ...data.ranges import Ranges
from ...parallel import ordered_sum
from ...prediction import predict

_BLOCK = 1 << 15  # probabilities at a time


class Dual:
    """Bounds on the minimum of one objective.

    Parameters
    ----------
    objective : Objective
        A local one.
    """

    def __init__(self, objective):
        self._objective = objective
        targets = objective.local.targets
        scale = 1.0 / max(objective.total_weight, np.finfo(float).tiny)
        self._masses = targets.masses * scale
        self._wanted = targets.class_masses * scale
        self._of_targets = None  # sum_i c_i x_i t_i', once it is needed

    def gap(self, theta, value, grad):
        """Return F less the bound; infinite if a feature has no penalty. Takes a pass.

        Parameters
        ----------
        theta : ndarray of shape (d + 1, K)
        value : float
            F there.
        grad : ndarray of shape (d + 1, K)
            The gradient there, without that of L1.
        """
        objective = self._objective
        penalty, d = objective.penalty, objective.n_features
        l1, l2 = penalty.l1_of(d), penalty.l2_of(d)
        if not (l1 + l2 > 0).all():
            return np.inf
        G = grad[:-1] - l2[:, np.newaxis] * theta[:-1]
        part = objective.local
        objective.count(1)
        P = predict(part.X, theta.astype(objective.dtype), "proba", objective.n_threads)
        share, mixed = 0.0, np.zeros(P.shape[1])
        if objective.fit_intercept:
            share, mixed = _balance(self._masses @ P, self._wanted)
            if share > 0:
                G = (1 - share) * G + share * self._slopes_of(mixed)
        size = np.linalg.norm(G, axis=1, keepdims=True) if penalty.grouped(objective.K) else np.abs(G)
        largest = size.max(axis=1)
        hard = l2 == 0
        back = float((l1[hard] / np.maximum(largest[hard], l1[hard])).min(initial=1.0))
        excess = np.maximum(back * size - l1[:, np.newaxis], 0.0)[~hard]
        conjugate = float((np.square(excess) / (2 * l2[~hard, np.newaxis])).sum())
        return value - (self._entropy(P, share, mixed, back) - conjugate)

    def _slopes_of(self, mixed):
        """sum_i c_i x_i (q - t_i)' of a distribution q."""
        objective = self._objective
        K = objective.K
        mean = objective.column_moments().mean[:, np.newaxis] * self._masses.sum()
        if self._of_targets is None:
            at_zero = objective.with_penalty(type(objective.penalty)()).value_and_grad(objective.initial())[1]
            self._of_targets = mean / max(K, 2) - at_zero[:-1]
        return mean * (mixed[1:] if K == 1 else mixed) - self._of_targets

    def _entropy(self, P, share, mixed, back):
        """sum_i c_i H(t_i + back ((1 - share) p_i + share q - t_i))."""
        targets = self._objective.local.targets

        def part(rows):
            alpha = (1 - share) * P[rows].astype(np.float64) + share * mixed
            T = targets.distributions(rows)
            alpha = T + back * (alpha - T)
            terms = np.where(alpha > 0, alpha * np.log(np.where(alpha > 0, alpha, 1.0)), 0.0)
            return -float(self._masses[rows] @ terms.sum(axis=1))

        step = max(1, _BLOCK // P.shape[1])
        return ordered_sum(Ranges.by_step(len(P), step, self._objective.n_threads).map(part))


def _balance(have, wanted):
    """Which share of which distribution makes class sums `have` those that are wanted."""
    some = have > 0
    share = float(((have - wanted)[some] / have[some]).max(initial=0.0))
    missing = np.maximum(wanted - (1 - share) * have, 0.0)
    return (share, missing / missing.sum()) if share > 0 and missing.any() else (0.0, np.zeros_like(have))
