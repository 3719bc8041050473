"""A lower bound on the least objective, from any probabilities: what makes a stop a certificate.

    S. Shalev-Shwartz, T. Zhang, "Stochastic dual coordinate ascent methods for regularized loss minimization",
    JMLR 14, 2013.
    M. Massias, S. Vaiter, A. Gramfort, J. Salmon, "Dual extrapolation for sparse generalized linear models",
    JMLR 21, 2020 (scaling a point into the feasible set of an L1 penalty).

With H the entropy, c_i what row i weighs, t_i its target distribution, and G = (1/S) sum_i c_i x_i (alpha_i - t_i)'

    F* >= (1/S) sum_i c_i H(alpha_i) - sum_j max(|G_j| - l1_j, 0)^2 / (2 l2_j)

for any distributions alpha_i that meet the constraints, with equality for the optimum's own probabilities.
(0/0 is 0; norms are of single weights, or of a feature's weights in all classes where those are one group.)

    free intercept:     sum_i c_i (alpha_i - t_i) = 0
    l2_j = 0:           |G_j| <= l1_j

The first is met nearly by a factor for each class, alpha_ik <- alpha_ik e^d_k / sum (one step of Newton's method for
d), which costs the bound little, and then exactly by mixing into all rows one distribution, just as much of it as it
takes: alpha <- (1 - s) alpha + s q. The second by moving towards the targets: alpha <- t + share (alpha - t).
"""

import numpy as np

from .. import parallel

_BLOCK = 1 << 18  # probabilities at a time
_KEPT = 1 << 25  # probabilities kept, rather than asked for again


def lower_bound(objective, alpha):
    """A number that no value of the objective, penalties included, is below.

    Parameters
    ----------
    objective : Objective
    alpha : callable
        Slice of rows to their distributions over the classes, float64 (rows, n_classes). The nearer to the
        optimum's probabilities, the better the bound.

    Returns
    -------
    float
        -inf if a feature without any penalty leaves nothing that can be said.
    """
    with parallel.one_blas_thread:  # the same bits for any number of threads
        return _lower_bound(objective, alpha)


def _lower_bound(objective, alpha):
    n, K = objective.n_rows, objective.n_classes
    share_of_rows = (objective.row_masses() / objective.total_weight)[:, None]
    step = max(1, _BLOCK // K)
    blocks = [slice(start, start + step) for start in range(0, n, step)]
    kept = [alpha(rows) for rows in blocks] if n * K <= _KEPT else None

    def each():
        for i, rows in enumerate(blocks):
            P = kept[i] if kept is not None else alpha(rows)
            yield rows, P, objective.distributions(rows), share_of_rows[rows]

    mixed = _balance(each) if objective.fit_intercept else lambda P: P
    G = np.zeros((objective.n_features, K))
    entropy = 0.0
    for rows, P, T, c in each():
        P = mixed(P)
        entropy += _entropy(c, P)
        G += objective.X[rows].T @ (c * (P - T))
    sizes = np.abs(G[:, 1:] if objective.binary else G)
    l1, l2 = objective.feature_l1[:, None], objective.feature_l2[:, None]
    if objective.penalty_groups == "features":
        sizes = np.linalg.norm(sizes, axis=1, keepdims=True)
    bound = entropy - _cost(sizes, l1, l2)
    if objective.l1 > 0:
        outside = sizes > l1
        share = (1.0 - 1e-12) * float(
            (np.broadcast_to(l1, sizes.shape)[outside] / sizes[outside]).min(initial=1.0)
        )
        entropy = sum(_entropy(c, T + share * (mixed(P) - T)) for _, P, T, c in each())
        bound = max(bound, entropy - _cost(share * sizes, l1, l2))
    return bound


def _balance(each):
    """A change of the distributions after which each class has in all what its targets have."""
    have = wanted = slopes = 0.0
    for _, P, T, c in each():
        have, wanted = have + (c * P).sum(axis=0), wanted + (c * T).sum(axis=0)
        slopes = slopes + (c * P).T @ P
    present = wanted > 0
    slopes = np.diag(have) - slopes
    tilt = np.where(present, np.linalg.lstsq(slopes, wanted - have, rcond=1e-12)[0], 0.0)
    factors = np.where(present, np.exp(np.clip(tilt, -1.0, 1.0)), 0.0)

    def tilted(P):
        P = (P + np.finfo(np.float64).tiny) * factors
        return P / P.sum(axis=1, keepdims=True)

    have = sum((c * tilted(P)).sum(axis=0) for _, P, _, c in each())
    s = float(((have - wanted)[present] / have[present]).max(initial=0.0))
    if not s > 0:
        return tilted
    q = np.maximum(wanted - (1 - s) * have, 0.0)
    q = s * (q / q.sum()) if q.any() else s * (have / have.sum())
    return lambda P: (1 - s) * tilted(P) + q


def _entropy(c, P):
    return -float((c * P * np.log(np.where(P > 0, P, 1.0))).sum())


def _cost(sizes, l1, l2):
    """sum_j max(|G_j| - l1_j, 0)^2 / (2 l2_j), infinite where a constraint is not met."""
    excess = np.maximum(sizes - l1, 0.0)
    with np.errstate(divide="ignore"):
        return float(
            np.divide(np.square(excess), 2.0 * l2, out=np.zeros_like(excess), where=excess > 0).sum()
        )
