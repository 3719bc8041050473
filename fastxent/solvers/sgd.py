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
is believed when it is small twice in a row, and the Newton decrement of a diagonal model of the Hessian is as small.
Where one column is far larger than the others, steps that it allows do next to nothing for the rest: then falls are
small from the start, but the decrement, which knows no scale, is not.
"""

import numpy as np

from ..forks import importing
from ..rows import without_duplicates
from .l1_newton import L1Problem, least_subgradient
from .metrics import Diagonal
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
_HOPELESS = 0.1  # of what is left, that all epochs to come would gain with falls as large as this one
TOO_SHORT = "the steps that the longest row allows are too short to lower the objective"


def solve(objective, theta0, *, tol, max_iter, callback=None, random_state=0):
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
            raise ValueError(
                f"solver 'sgd' knows one penalty for all weights, no {name}. Use solver='auto', or {name}=None."
            )
    with importing:
        from ..sgd.trainer import Training  # brings Numba

    tol = max(tol, attainable(objective))
    rng = np.random.default_rng(random_state)
    record = Recorder(objective, callback, "sgd")
    data, options, step = _prepare(objective, max_iter)
    training = Training(options, np.array(theta0, objective.dtype, order="C"))
    training.set_step(step)
    rows = np.arange(objective.n_rows) if len(data.weights) == 0 else np.flatnonzero(data.weights)
    value, fall, small, wanted = np.inf, np.inf, 0, 2
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
            small = small + 1 if gap <= tol * value and fall >= 0 else 0
            at_rounding = abs(fall) <= 4 * np.finfo(objective.dtype).eps * value
            looks = at_rounding or small >= wanted or iteration == max_iter
            if looks:
                gap = max(gap, _decrement(objective, theta, grad))
                wanted = 2 * small  # looking costs some passes
            record.gap(gap)
            if looks and gap <= tol * value:
                what = "what the falls to come add up to, and the Newton decrement, are at most"
                reason = AT_ROUNDING if at_rounding else f"{what} {gap:.3g}, for tol = {tol:.3g}"
                return record.result(theta, True, reason)
            left = max_iter - iteration
            if left > 0 and (at_rounding or (looks and fall * left < _HOPELESS * gap)):
                return record.result(theta, False, TOO_SHORT)
        if iteration == max_iter:
            return record.result(theta, False, out_of_iterations(max_iter))
        grad[:-1] -= objective.l2 * theta[:-1]  # the loops add the penalty themselves
        training.snapshot(data, grad.astype(objective.dtype))
        training.run(data, rng.permutation(rows))
        objective.passes += 2.0


def _decrement(objective, theta, grad):
    """What is left of F by Newton's step in a diagonal model of the Hessian, the columns centred."""
    problem = L1Problem(objective)
    u = problem.variables(theta)
    slope = least_subgradient(u, problem.pull_back(grad.copy()), problem.l1)
    return 0.5 * float(np.vdot(slope, Diagonal(problem, u).solve(slope)))


def _prepare(objective, max_iter):
    """The rows as the loops take them, their options, and the step."""
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
