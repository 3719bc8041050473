"""Stochastic steps with reduced variance, for who asks for them by name.

    R. Johnson, T. Zhang, "Accelerating stochastic gradient descent using predictive variance reduction", NIPS 2013.
    L. Xiao, T. Zhang, "A proximal stochastic gradient method with progressive variance reduction", SIAM Journal on
    Optimization 24, 2014 (with an L1 penalty).

    repeat
        w0 = w,  G = gradient over all rows at w0
        for each row i, in random order:
            w <- prox(w - eta (grad_i(w) - grad_i(w0) + G + l2 w))        eta = 1 / (2 largest curvature of a row)

The steps are the jitted loops of ``fastxent.sgd``. They converge linearly, at a rate that the largest row and the
least scaled column set: where rows or columns differ much in size, every other solver here is faster.

Falls of F in a ratio r from epoch to epoch leave about r / (1 - r) times the last one to come. That estimate of F - F*
is believed when it is small twice in a row.
"""

import numpy as np

from ..forks import unforked
from ..rows import without_duplicates
from .l1_newton import least_subgradient
from .result import (
    AT_ROUNDING,
    SEPARABLE,
    STOPPED_BY_CALLER,
    Recorder,
    attainable,
    bottomless_below,
    out_of_iterations,
)

_SLOWEST = 0.99  # ratio of falls: slower ones are taken for noise


def solve(objective, theta0, *, tol, max_iter, callback=None, row_weight=None, random_state=0):
    """Minimise an objective with L2 or L1 penalties, or both, from ``theta0``.

    Parameters
    ----------
    objective : Objective
    theta0 : ndarray of shape (d + 1, K)
    tol : float
        Stop when F - F* is estimated to be at most tol F, twice in a row.
    max_iter : int
        Epochs at most; each is three passes over the data.
    callback : callable or None
        ``callback(theta, history)`` after every epoch; return True to stop.
    row_weight : ndarray of shape (n,) or None
        Not used.
    random_state : int or numpy.random.Generator
        Order of the rows.

    Returns
    -------
    Result
        Its ``value`` includes the L1 term.

    Raises
    ------
    ValueError
        For penalty factors and groups, which the loops do not know.
    """
    for name, given in (
        ("penalty_factor", objective.penalty_factor is not None),
        ("penalty_groups", objective.penalty_groups is not None),
    ):
        if given:
            raise ValueError(f"solver 'sgd' knows one penalty for all weights, no {name}. Use solver='auto'.")
    with unforked:
        from ..sgd.trainer import Training  # brings Numba

    tol = max(tol, attainable(objective))
    rng = np.random.default_rng(random_state)
    record = Recorder(objective, callback)
    data, options, step = _prepare(objective, max_iter)
    training = Training(options, np.array(theta0, objective.dtype, order="C"))
    training.set_step(step)
    rows = np.arange(objective.n_rows) if len(data.weights) == 0 else np.flatnonzero(data.weights)
    value, fall, small = np.inf, np.inf, 0
    bottomless = bottomless_below(objective)
    for iteration in range(max_iter + 1):
        theta = training.theta().astype(np.float64)
        before, last_fall = value, fall
        smooth, grad = objective.value_and_grad(theta)
        value = smooth + objective.l1 * float(np.abs(theta[:-1]).sum())
        if record(theta, value, np.abs(least_subgradient(theta, grad, objective.l1)).max()):
            return record.result(theta, False, STOPPED_BY_CALLER)
        if value < bottomless:
            return record.result(theta, False, SEPARABLE)
        fall = before - value
        if iteration > 1:
            ratio = min(max(fall / last_fall, 0.0), _SLOWEST) if last_fall > 0 else _SLOWEST
            gap = max(fall, 0.0) * ratio / (1.0 - ratio)
            record.gap(gap)
            if abs(fall) <= 4 * np.finfo(objective.dtype).eps * value:
                return record.result(theta, True, AT_ROUNDING)
            small = small + 1 if gap <= tol * value and fall >= 0 else 0
            if small == 2:
                return record.result(
                    theta, True, f"the falls to come add up to {gap:.3g}, for tol = {tol:.3g}"
                )
        if iteration == max_iter:
            return record.result(theta, False, out_of_iterations(max_iter))
        grad[:-1] -= objective.l2 * theta[:-1]  # the loops add the penalty themselves
        training.snapshot(data, grad.astype(objective.dtype))
        training.run(data, rng.permutation(rows))
        objective.passes += 2.0


def _prepare(objective, max_iter):
    """The rows as the loops take them, their options, and the step."""
    with unforked:
        from ..sgd.trainer import Data, Options

    X = without_duplicates(objective.X)
    options = Options(
        optimizer="svrg",
        l1=float(objective.l1),
        l2=float(objective.l2),
        schedule="constant",
        fit_intercept=objective.fit_intercept,
        epochs=max_iter,
    )
    target, n_classes, weight, class_weight, smoothing = objective.targets
    data = Data(options, X, target, n_classes, objective.K, weight, class_weight, smoothing)
    mass = objective.row_masses()
    largest = float(((data.squares + 1.0) * mass).max()) * np.count_nonzero(mass) / objective.total_weight
    return data, options, 0.5 / (largest * (0.5 if objective.K > 1 else 0.25) + objective.l2)
