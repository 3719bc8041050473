"""Stochastic steps with reduced variance; `auto` never takes them.

    R. Johnson, T. Zhang, "Accelerating stochastic gradient descent using predictive variance reduction", NIPS 2013.
    L. Xiao, T. Zhang, "A proximal stochastic gradient method with progressive variance reduction", SIAM Journal on
    Optimization 24, 2014 (with an L1 penalty).

    repeat
        w0 = w,  G = gradient over all rows at w0
        for each row i, in random order:
            w <- prox(w - eta (grad_i(w) - grad_i(w0) + G + l2 w))        eta = 1 / (2 largest curvature of a row)

The steps are the jitted loops of ``fastxent.sgd``. They converge linearly, at a rate that depends on the largest row
and on the smallest column: if rows or columns differ much in size, every other solver here is faster.

If the decrease of F in each epoch is r times the one before, all later decreases add up to about r / (1 - r) times the
last one. This estimate of F - F* is accepted if it has been small twice in a row and the decrease that a diagonal model
of the Hessian predicts is as small. If one column is far larger than the others, its small steps hardly change the
other weights. Then the decreases are small from the start, but the prediction, which does not depend on scale, is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..arrays import finfo
from ..forks import importing
from ..penalty import least_subgradient, shrink
from .l1_newton import L1Problem
from .metric.models import Diagonal
from .result import (
    AT_ROUNDING,
    SEPARABLE,
    STOPPED_BY_CALLER,
    Recorder,
    attainable,
    bottomless_below,
    out_of_iterations,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..objective import Objective
    from ..sgd.trainer import Training
    from ..sgd.variance_reduction import VarianceReduction
    from ..typing import Array
    from .result import Result


_SLOWEST = 0.99  # ratio of decreases; a larger one counts as noise
_HOPELESS = 0.1  # share of the gap; if all remaining epochs would gain less, they are not worth it
TOO_SHORT = "the steps that the longest row allows are too short to lower the objective"


def solve(  # type: ignore[return]  # the last iteration returns
    objective: Objective,
    theta0: Array,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[..., Any] | None = None,
    random_state: int = 0,
    checkpoint: Any = None,
) -> Result:
    """Minimise an objective with L2 or L1 penalties, or both, from ``theta0``.

    Parameters
    ----------
    objective : Objective
    theta0 : ndarray of shape (d + 1, K)
    tol : float
        Stop when F - F* is estimated to be at most tol F, twice in a row.
    max_iter : int
        Maximum number of epochs; each is three passes over the data.
    callback : callable or None
        ``callback(theta, history)`` after every epoch; return True to stop.
    random_state : int or numpy.random.Generator
        Order of the rows.
    checkpoint : fastxent.checkpoint.Session or None
        Where the run keeps its state, and goes on from.

    Returns
    -------
    Result
        Its ``value`` includes the L1 term.

    Raises
    ------
    ValueError
        For penalty factors and groups, which the loops do not support.
    """
    penalty = objective.penalty
    for name, given in (
        ("penalty_factor", penalty.factors is not None),
        ("penalty_groups", penalty.groups is not None),
    ):
        if given:
            raise ValueError(
                f"solver 'sgd' supports one penalty for all weights, no {name}. Use solver='auto', or {name}=None."
            )
    tol = max(tol, attainable(objective))
    rng = np.random.default_rng(random_state)
    record = Recorder(objective, callback, "sgd", checkpoint)
    training, steps, rows = _prepare(objective, theta0, max_iter)
    value, fall, small, wanted = np.inf, np.inf, 0, 2
    bottomless = bottomless_below(objective)
    state = record.resumed()
    if state is not None:
        value, fall, small, wanted = state["numbers"]
        rng.bit_generator.state = state["rng"]
        training.restore(state["training"])
    for iteration in range(record.begun, max_iter + 1):
        record.keep(numbers=(value, fall, small, wanted), rng=rng, training=training)
        theta = training.theta().astype(np.float64)
        before, last_fall = value, fall
        smooth, grad = objective.value_and_grad(theta)
        value = smooth + penalty.l1_term(theta)
        if record(theta, value, np.abs(least_subgradient(theta, grad, penalty.l1)).max()):
            return record.result(theta, False, STOPPED_BY_CALLER)
        if value < bottomless:
            return record.result(theta, False, SEPARABLE)
        fall = before - value
        if iteration > 1:
            ratio = min(max(fall / last_fall, 0.0), _SLOWEST) if last_fall > 0 else _SLOWEST
            gap = max(fall, 0.0) * ratio / (1.0 - ratio)
            small = small + 1 if gap <= tol * value and fall >= 0 else 0
            at_rounding = abs(fall) <= 4 * finfo(objective.dtype).eps * value
            looks = at_rounding or small >= wanted or iteration == max_iter
            if looks:
                gap = max(gap, _promise(objective, theta, grad))
                wanted = 2 * small  # the check costs some passes
            record.gap(gap)
            if looks and gap <= tol * value:
                what = "the remaining decrease, by the last epochs and by a diagonal model, is estimated at"
                reason = AT_ROUNDING if at_rounding else f"{what} {gap:.3g}, for tol = {tol:.3g}"
                return record.result(theta, True, reason)
            left = max_iter - iteration
            if left > 0 and (at_rounding or (looks and fall * left < _HOPELESS * gap)):
                return record.result(theta, False, TOO_SHORT)
        if iteration == max_iter:
            return record.result(theta, False, out_of_iterations(max_iter))
        grad[:-1] -= penalty.l2 * theta[:-1]  # the loops add the penalty themselves
        steps.epoch(grad, rng.permutation(rows))
        objective.count(2)


def _promise(objective: Objective, theta: Array, grad: Array) -> float:
    """Return the predicted decrease of F: the minimum of a model with centred columns, a diagonal Hessian and L1."""
    problem = L1Problem(objective)
    u = problem.variables(theta)
    slope, inverse = problem.pull_back(grad.copy()), Diagonal(problem, u).inverse
    least = u - inverse * slope
    least[:-1] = shrink(least[:-1], inverse[:-1] * problem.l1)
    step = least - u
    model = np.vdot(slope, step) + 0.5 * np.vdot(step, step / inverse)
    return problem.penalty(u) - problem.penalty(least) - float(model)


def _prepare(objective: Objective, theta: Array, max_iter: int) -> tuple[Training, VarianceReduction, Array]:
    """Return a training at theta, its steps, and the numbers of the rows that they take."""
    with importing:
        from ..sgd.options import Options  # brings Numba
        from ..sgd.trainer import Data, Training
        from ..sgd.variance_reduction import VarianceReduction

    part, penalty = objective.local, objective.penalty
    options = Options(
        optimizer="svrg",
        l1=float(penalty.l1),
        l2=float(penalty.l2),
        schedule="constant",
        fit_intercept=objective.fit_intercept,
        epochs=max_iter,
    )
    labels, n_classes, *weighting = part.targets.arguments
    data = Data(options, part.without_duplicates, labels, n_classes, objective.K, *weighting)
    training = Training(options, np.array(theta, objective.dtype, order="C"))
    steps = VarianceReduction(training, data)
    mass = part.targets.masses
    steps.set_step(
        float(((data.squares + 1.0) * mass).max()) * np.count_nonzero(mass) / objective.total_weight
    )
    return training, steps, np.arange(len(mass)) if len(data.weights) == 0 else np.flatnonzero(data.weights)
