"""L-BFGS in a metric that follows the curvature.

    L. Jiang, R. H. Byrd, E. Eskow, R. B. Schnabel, "A preconditioned L-BFGS algorithm with application to molecular
    energy minimization", University of Colorado CU-CS-982-04, 2004.
    J. Nocedal, "Updating quasi-Newton matrices with limited storage", Mathematics of Computation 35, 1980.

    repeat, in the variables u of scaling.py
        at iterations 0, 5, 15, 35, 75, 155, ...:  M = a model of the Hessian at u                models.py
        D = -(inverse Hessian from the last 10 pairs of steps and gradient changes, begun with M^-1) G
        u <- u + t D             t = 1 unless the slope there says otherwise

An iteration is one pass over the data: loss and gradient at t = 1 are computed together, and t = 1 is nearly always
accepted. The softmax's curvature changes as the model becomes certain of its rows, so a model fixed at the start is
soon worse than none, and is refreshed at growing intervals. Pairs stay valid under a new model, because they describe
F.

If the model of the Hessian comes from a sample of the rows, the first steps see only the sample: far from the optimum
it is nearly as good as all rows, for a few hundredths of a pass. (These steps, a sample drawn by the rows' traces, its
scale and its damping together take 0.7 of the time of a uniform sample's Newton steps, to 1e-2, 1e-4 and 1e-6, as the
median of 12 problems: from 0.5 to 1.4, the latter where two steps are enough anyway.)

If the Hessian is so small that it is formed at each step, there are no pairs: Newton's method needs half of the steps
that a mixture of the two does. It also takes over when the others have used as many passes as it would cost, and it is
not certain that they are near the minimum.

The decrement -G.D/2 estimates F - F*, and is far too small if the model of the Hessian is poor and the penalty weak.
The criteria used instead are in check.py, those for the whole Hessian in exact.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ... import parallel
from ..result import (
    AT_ROUNDING,
    NO_DESCENT,
    SEPARABLE,
    STOPPED_BY_CALLER,
    Recorder,
    bottomless_below,
    out_of_iterations,
)
from ..scaling import Rescaled
from .check import Check
from .exact import Exact
from .memory import Pairs
from .models import Diagonal, Gram, Nystrom
from .rows import Rows
from .sampled import Sampled

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ...data.ranges import Ranges
    from ...objective import Objective
    from ...typing import Array
    from ..result import Result


MODELS = {
    "diag": Diagonal,
    "gram": Gram,
    "nystrom": Nystrom,
    "sampled": Sampled,
    "rows": Rows,
    "exact": Exact,
}

_REFRESH = frozenset([0] + [5 * (2**i - 1) for i in range(1, 30)])
_SUFFICIENT_DECREASE, _CURVATURE = (
    1e-4,
    0.9,
)  # Wolfe's conditions, with the usual values for quasi-Newton methods
_SAMPLE_STEPS = 12  # over the sample alone, at most
_SAMPLE_FALL = 1e-2  # share of F; if a step over the sample gains less, it is the last
# Far from the optimum the Hessian says little about F beyond the next step. The shared model is therefore added to it,
# times the last decrement over F, at most _DAMPING (K. Mishchenko, "Regularized Newton method with global O(1/k^2)
# convergence", SIAM Journal on Optimization 33, 2023, adds a multiple of the gradient's norm).
_DAMPING, _DAMPING_SHARE = 0.1, 1.0
_SHORTEST, _LONGEST = 0.3, 2.0  # limits of a single step's effect on the metric's scale
_TRIALS = 40  # of the line search
_PASSES = 15  # over rows on a disk, before a step of Newton's method over all of them may be tried
_PATIENCE = 5  # iterations without a smaller decrement, once decrements are below rounding
_LARGE = 10_000_000  # multiplications in a pass
_TINY = 2_500_000  # multiplications for the whole Hessian that take no longer than calling NumPy
_EXACT_ENTRIES = 20_000_000  # of the rows a_i and their probabilities, at most
_LAYOUT = 250  # cost of writing such an entry, in multiplications
_NEGLIGIBLE = 1e-4  # for the damping, F counts as at least this share of the initial F


def solve(
    objective: Objective,
    theta0: Array,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[..., Any] | None = None,
    kind: Any = None,
    checkpoint: Any = None,
) -> Result:
    """Minimise a smooth objective from ``theta0``, without an L1 penalty.

    Parameters
    ----------
    objective : Objective
    theta0 : ndarray of shape (d + 1, K)
    tol : float
        Stop when F - F* is estimated to be at most tol F.
    max_iter : int
        Maximum number of iterations; each is one evaluation of loss and gradient, rarely a few.
    callback : callable or None
        ``callback(theta, history)`` after every iteration; return True to stop.
    kind : {"diag", "gram", "nystrom", "sampled", "rows", "exact"} or None
        The model of the Hessian; None lets ``choose`` decide.
    checkpoint : fastxent.checkpoint.Session or None
        Where the run keeps its state, and goes on from.

    Returns
    -------
    Result
    """
    with parallel.one_blas_thread:  # the same bits for any number of threads
        record = Recorder(objective, callback, "metric", checkpoint)
        return _solve(objective, theta0, tol, max_iter, MODELS[kind or choose(objective)], record)


def choose(objective: Objective) -> str:
    """Return the name of the model of the Hessian with the least expected time.

    >>> from types import SimpleNamespace
    >>> def dense(n, d, K):
    ...     return SimpleNamespace(n_rows=n, shape=(d + 1, K), cost=n * d * (K + 8), is_sparse=False, local=True)
    >>> choose(dense(150, 4, 3)), choose(dense(2000, 16, 26)), choose(dense(60_000, 784, 10))
    ('exact', 'gram', 'sampled')
    """
    width, K = objective.shape
    if objective.local is None:
        return "rows"
    if _cost_of_exact(objective) <= _TINY:
        return "exact"
    if objective.is_sparse:
        return "diag"
    if width > 2000:
        return "nystrom"
    # A sample of 10 rows per column has ten times as many equations as unknowns. It should be a small part of the rows,
    # and large enough that its products take longer than the calls.
    pays = objective.n_rows >= 50 * width and objective.cost >= _LARGE
    return "sampled" if K > 2 and pays else "gram"


def _solve(  # type: ignore[return]  # the last iteration returns
    objective: Objective,
    theta0: Array,
    tol: float,
    max_iter: int,
    build: Callable[[Rescaled, Array], Any],
    record: Recorder,
) -> Result:
    metric: Any
    problem = Rescaled(objective)
    bottomless = bottomless_below(objective)
    pairs, check = Pairs(objective.shape, problem.ranges), Check(problem, record.history["loss"])
    state = record.resumed()
    if state is None:
        u = problem.variables(theta0)
        value, grad, theta, largest = problem.evaluate(u)
        least = _NEGLIGIBLE * value
        waited, least_slope, decrement, scale, first = 0, np.inf, np.inf, 1.0, 0
        metric, exact, shortened, made = None, False, False, _Made()
    else:
        u, (value, grad, largest) = state["u"], state["there"]
        theta = problem.theta(u)
        least, waited, least_slope, decrement, scale, first, exact, shortened, made = state["rest"]
        made = _Made(*made)
        metric = Exact(problem, u) if exact else made.again(build, problem)
        pairs.restore(state["pairs"])
        check.restore(state["check"])
    for iteration in range(record.begun, max_iter + 1):
        record.keep(
            u=u,
            there=(value, grad, largest),
            rest=(least, waited, least_slope, decrement, scale, first, exact, shortened, tuple(made)),
            pairs=pairs,
            check=check,
        )
        if record(theta, value, largest):
            return record.result(theta, False, STOPPED_BY_CALLER)
        if not grad.any():
            record.gap(0.0)
            return record.result(theta, True, "the gradient is zero")
        if value < bottomless:
            return record.result(theta, False, SEPARABLE)
        if exact:
            metric.follow(u)
        elif iteration - first in _REFRESH:
            metric, made = build(problem, u), _Made(u)
            exact = metric.is_exact
            if iteration == 0 and not u.any() and metric.is_part and max_iter > 0:
                start, made = _over_sample(problem, metric, made)
                there = problem.evaluate(start)
                if there[0] < value:
                    u, (value, grad, theta, largest) = start, there
                    first = 1
                    continue
        if metric.has_scale:
            metric.move(u, min(_DAMPING, _DAMPING_SHARE * decrement / max(value, least)))
        # If a product with M^-1 is expensive, its scale is estimated from the steps so far.
        D, slope, used = _direction(problem, metric.solve, pairs, grad, scale if metric.has_scale else None)
        decrement = -slope / 2
        enough = tol / (1 + tol) * value  # tol F*, at least
        if exact:
            # After a step that had to be shortened, a proof would be in vain.
            gap = np.inf if shortened else metric.gap(grad, D, enough)
        else:
            gap = check.gap(
                u,
                grad,
                decrement,
                enough,
                knows_columns=metric.knows_columns,
                sees_rows=metric.sees_rows,
            )
        record.gap(gap if np.isfinite(gap) else decrement)
        # At least one step: on a path, each fit may start within tol, and neighbours should still differ.
        if gap <= enough and iteration > 0:
            reason = f"the objective is at most about {gap:.3g} above its minimum, for tol = {tol:.3g}"
            return record.result(theta, True, reason)
        # Once rounding hides differences in F, gradients still show progress, for a few more iterations.
        least_slope, waited = (-slope, 0) if -slope < 0.5 * least_slope else (least_slope, waited + 1)
        if waited >= _PATIENCE and -slope <= problem.rounding * abs(value):
            return record.result(theta, True, AT_ROUNDING)
        if iteration == max_iter:
            return record.result(theta, False, out_of_iterations(max_iter))
        patient = metric.sees_rows and iteration < _PASSES
        if not (exact or patient) and check.is_due(enough):
            if _exact_pays(objective, iteration):
                metric, exact = Exact(problem, u), True
                pairs.clear()
                D, slope, _ = _direction(problem, metric.solve, pairs, grad)
            else:
                inverse = partial(pairs.solve, partial(_shared, metric, used))
                D, slope = check.step(u, grad, D, inverse, enough)
        lower = _line_search(problem, problem.ranges, u, value, D, slope)
        if lower is None:
            at_rounding = bool(-slope <= max(problem.rounding * abs(value), 2 * enough))
            return record.result(theta, at_rounding, AT_ROUNDING if at_rounding else NO_DESCENT)
        before, value_before = grad, value
        t, u, new_slope, (value, grad, theta, largest) = lower
        shortened = t < 1
        if exact:
            continue
        check.after_step(t, new_slope, value_before - value)
        pairs.append(t, D, before, grad, t * (new_slope - slope))
        best = t * slope / (slope - new_slope) if new_slope > slope else _LONGEST
        scale = min(1.0, scale * np.sqrt(min(max(best, _SHORTEST), _LONGEST)))


class _Made(NamedTuple):
    """Where a model of the Hessian was made, and the last point that it followed: it is the same if made again."""

    at: np.ndarray | None = None
    followed: np.ndarray | None = None

    def again(self, build: Callable[[Rescaled, Array], Any], problem: Rescaled) -> Any:
        if self.at is None:
            return None
        metric = build(problem, self.at)
        if self.followed is not None:
            metric.follow(self.followed)
        return metric


def _exact_pays(objective: Objective, iteration: int) -> bool:
    """Tell whether a step with the Hessian of all rows costs no more than the passes so far."""
    layout = _LAYOUT * objective.n_rows * sum(objective.shape)
    return _cost_of_exact(objective) + layout <= iteration * (_TINY + 2 * objective.cost)


def _cost_of_exact(objective: Objective) -> float:
    """Return the multiplications for the whole Hessian and its factor; infinite if it needs too much memory."""
    n, unknowns = objective.n_rows, objective.shape[0] * objective.shape[1]
    if objective.local is None or n * sum(objective.shape) > _EXACT_ENTRIES:
        return np.inf
    return (n + unknowns / 3) * (unknowns + 4) ** 2


def _shared(metric: Any, scale: float, R: Array) -> Array:
    """Return the inverse of the metric's cheaper model, at the scale of the pairs, times R."""
    return _times(scale, metric.shared(R))


def _over_sample(problem: Rescaled, metric: Sampled, made: _Made) -> tuple[Array, _Made]:
    """Take some steps over the sample alone, with its shared model; return u, and where the model is now."""
    u: Any = made.at
    pairs = Pairs(u.shape, problem.ranges)
    value, grad = metric.evaluate(u)
    for step in range(_SAMPLE_STEPS):
        if step in _REFRESH and step > 0:
            metric.follow(u)
            made = made._replace(followed=u)
        D, slope, _ = _direction(problem, metric.shared, pairs, grad)
        lower = _line_search(metric, problem.ranges, u, value, D, slope) if slope < 0 else None
        if lower is None:
            break
        t, u, new_slope, (new_value, new_grad) = lower
        pairs.append(t, D, grad, new_grad, t * (new_slope - slope))
        fall, value, grad = value - new_value, new_value, new_grad
        if fall <= _SAMPLE_FALL * value:
            break
    return u, made


def _direction(
    problem: Rescaled, solve: Callable[..., Any], pairs: Pairs, grad: Array, scale: float | None = None
) -> tuple[Array, float, float]:
    """Return minus the inverse Hessian times the gradient, the slope along it, and the scale.

    The pairs correct `scale` times M^-1; None means the scale that fits the newest pair.
    """
    if scale is None:
        scale = 1.0
        if pairs:
            change, curvature = pairs.newest
            change = change.astype(np.float64, copy=False)
            scale = curvature / problem.ranges.dot(change, solve(change))
    D = pairs.direction(lambda R: _times(scale, solve(R)), grad)
    slope = problem.ranges.dot(grad, D)
    if not slope < 0:
        pairs.clear()
        D = pairs.direction(solve, grad)
        slope = problem.ranges.dot(grad, D)
    return D, slope, scale


def _times(factor: float, array: Array) -> Array:
    array *= factor
    return array


def _write_step(u: Array, t: float, D: Array, out: Array, rows: slice) -> None:
    np.add(u[rows], t * D[rows], out=out[rows])


def _line_search(
    problem: Rescaled | Sampled, ranges: Ranges, u: Array, value: float, D: Array, slope: float
) -> tuple[float, Array, float, Any] | None:
    """Return a t that satisfies Wolfe's conditions, u + t D, the slope and the result of `evaluate` there.

    It tries t = 1 first, and then secants of the slope. None if no t lowers the value.
    """
    high: Any = None
    high_slope: Any = None
    low, low_slope, high_decreased = 0.0, slope, True
    t = 1.0
    noise = problem.rounding * abs(value)
    new = np.empty_like(u)
    for _ in range(_TRIALS):
        ranges.map(partial(_write_step, u, t, D, new))
        there = problem.evaluate(new)
        new_value, grad = there[:2]
        new_slope = ranges.dot(grad, D)
        decreased = new_value <= value + _SUFFICIENT_DECREASE * t * slope + noise
        if decreased and abs(new_slope) <= -_CURVATURE * slope:
            return t, new, new_slope, there
        if not np.isfinite(new_value) or not decreased or new_slope > 0:
            high, high_slope, high_decreased = t, new_slope, decreased
        else:
            low, low_slope = t, new_slope
        tried = t
        if high is None:
            t *= min(4.0, max(1.5, low_slope / (low_slope - slope) if low_slope != slope else 4.0))
        else:
            share = (
                low_slope / (low_slope - high_slope) if np.isfinite(high_slope) and high_slope > 0 else 0.3
            )
            if (
                not high_decreased
            ):  # the minimum of a parabola that is no lower at `high` is before the middle
                share = min(share, 0.5)
            t = low + min(max(share, 0.1), 0.9) * (high - low)
    return (tried, new, new_slope, there) if new_value < value else None
