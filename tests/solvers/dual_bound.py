"""The dual of an L2 problem at any distributions, in plain NumPy: a number that F is never below."""

import numpy as np


def distributions(ascent):
    """alpha of an Ascent or BinaryAscent, a column for each class."""
    if hasattr(ascent, "_log_alpha"):
        alpha = np.exp(ascent._log_alpha.astype(np.float64))
        return alpha / alpha.sum(axis=1, keepdims=True)
    target, moved = ascent._state["target"], ascent._state["moved"]
    return np.clip(np.column_stack([(1 - target) - moved, target + moved]), 0.0, 1.0)


def dual_bound(problem, P):
    """Of distributions P (n, n_classes), made to meet the constraint of a free intercept."""
    T = problem.local.targets.distributions()
    c = (problem.local.targets.masses / problem.total_weight)[:, np.newaxis]
    if problem.fit_intercept:
        P = _balanced(c, P, T)
    entropy = -(c * P * np.log(np.where(P > 0, P, 1.0))).sum()
    G = problem.local.X.T @ (c * (P - T))
    G = G[:, 1:] if problem.K == 1 else G
    return entropy - (G**2 / (2 * problem.penalty.l2_of(problem.n_features)[:, np.newaxis])).sum()


def _balanced(c, P, T):
    """A step of Newton's method for factors of the classes, and one distribution mixed into all for the rest."""
    have, wanted = (c * P).sum(axis=0), (c * T).sum(axis=0)
    present = wanted > 0
    tilt = np.linalg.lstsq(np.diag(have) - (c * P).T @ P, wanted - have, rcond=1e-12)[0]
    P = (P + np.finfo(float).tiny) * np.where(present, np.exp(np.clip(tilt, -1, 1)), 0.0)
    P /= P.sum(axis=1, keepdims=True)
    have = (c * P).sum(axis=0)
    s = max(((have - wanted)[present] / have[present]).max(initial=0.0), 0.0)
    missing = np.maximum(wanted - (1 - s) * have, 0.0)
    return (1 - s) * P + s * (missing / missing.sum() if missing.any() else have / have.sum())
