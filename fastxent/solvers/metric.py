"""L-BFGS in a metric that follows the curvature.

    L. Jiang, R. H. Byrd, E. Eskow, R. B. Schnabel, "A preconditioned L-BFGS algorithm with application to molecular
    energy minimization", University of Colorado CU-CS-982-04, 2004.
    J. Nocedal, "Updating quasi-Newton matrices with limited storage", Mathematics of Computation 35, 1980.

    repeat, in the variables u of conditioned.py
        at iterations 0, 5, 15, 35, 75, 155, ...:  M = a model of the Hessian at u               metrics.py
        D = -(inverse Hessian from the last 10 pairs of steps and gradient changes, begun with M^-1) G
        u <- u + t D             t = 1 unless the slope there says otherwise

An iteration is one pass over the data: loss and gradient at t = 1 come together, and nearly always t = 1 is
taken. The softmax's curvature changes as the model becomes certain of its rows, so a model fixed at the start
is soon worse than none; a few refreshes, further and further apart, are the whole trick. Pairs outlive the
model under which they were made: they describe F.

Where the model of the Hessian comes from a sample of the rows, the first steps see the sample alone: far from the
optimum it tells nearly as much as all rows do, for some hundredths of a pass. (These steps, a sample drawn by the rows'
traces, its scale and its damping together take 0.7 of the time of a uniform sample's Newton steps, to 1e-2, 1e-4 and
1e-6 alike, in the middle of 12 problems: from 0.5 to 1.4, the latter where two steps are enough anyway.)

Where the Hessian itself is so small that it is formed anew at each step, there are no pairs: Newton's method needs half
of the steps that a mixture of the two does. Its decrement is believed once a step has left a quarter of the slope at
most, which says that the quadratic model was right.

The decrement -G.D/2 estimates F - F*, and is far too small where the model of the Hessian is poor and the penalty
weak. It is believed if F has also fallen by no more than half of tol F over the last quarter of all iterations, which
is to say that a long while brought nothing. (52 problems at tol 1e-2, 1e-4 and 1e-6: F - F* was above tol F in one of
the 156 fits, 2.2 times. A decrement below a tenth of tol F twice in a row took 15 % fewer iterations, and let through
one in seven, up to 73 tol F.)
"""

import numpy as np

from .. import parallel
from ..objective import work
from .conditioned import Conditioned
from .metrics import BUILDERS
from .pairs import Pairs
from .result import (
    AT_ROUNDING,
    NO_DESCENT,
    SEPARABLE,
    STOPPED_BY_CALLER,
    Recorder,
    bottomless_below,
    out_of_iterations,
)

_REFRESH = frozenset([0] + [5 * (2**i - 1) for i in range(1, 30)])
_SUFFICIENT_DECREASE = 1e-4
_CURVATURE = 0.9
_SAMPLE_STEPS = 12
_SAMPLE_FALL = 1e-2  # of F; below it a step over the sample alone is not worth taking
# Far from the optimum the Hessian says little of F beyond the next step: so much of the shared model is added to it,
# at most, and this share of the last decrement over F (K. Mishchenko, "Regularized Newton method with global O(1/k^2)
# convergence", SIAM Journal on Optimization 33, 2023, adds a multiple of the gradient's norm).
_DAMPING, _DAMPING_SHARE = 0.1, 1.0
_SHORTEST, _LONGEST = 0.3, 2.0  # what one step may say of the metric's scale
_TRIALS = 40
_PATIENCE = 5  # iterations without a smaller decrement, where decrements are smaller than rounding
_LARGE = 10_000_000  # multiplications of a pass
_TINY = 2_500_000  # multiplications of the whole Hessian, as long as it takes no longer than calling NumPy
_QUADRATIC = 0.25  # what is left of the slope after a step in a quadratic model that is right
_NEGLIGIBLE = 1e-4  # objectives below this share of the one at the start count as this share


def solve(objective, theta0, *, tol, max_iter, callback=None, kind=None):
    """Minimise a smooth objective from ``theta0``; ``objective.l1`` must be zero.

    Parameters
    ----------
    objective : Objective
    theta0 : ndarray of shape (d + 1, K)
    tol : float
        Stop when F - F* is estimated to be at most tol F.
    max_iter : int
        Iterations at most; each is one evaluation of loss and gradient, rarely a few.
    callback : callable or None
        ``callback(theta, history)`` after every iteration; return True to stop.
    kind : {"diag", "gram", "nystrom", "full", "sampled", "exact"} or None
        The model of the Hessian; None lets ``choose`` decide.

    Returns
    -------
    Result
    """
    with parallel.one_blas_thread:  # the same bits for any number of threads
        return _solve(objective, theta0, tol, max_iter, callback, kind)


def choose(objective):
    """The model of the Hessian that pays for itself soonest.

    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> choose(SimpleNamespace(X=np.empty((150, 4)), n_rows=150, K=3, shape=(5, 3)))
    'exact'
    >>> choose(SimpleNamespace(X=np.empty((2000, 16)), n_rows=2000, K=26, shape=(17, 26)))
    'gram'
    >>> choose(SimpleNamespace(X=np.empty((60000, 784)), n_rows=60000, K=10, shape=(785, 10)))
    'sampled'
    """
    width, K = objective.shape
    unknowns = width * K
    if (objective.n_rows + unknowns / 3) * (unknowns + 4) ** 2 <= _TINY:  # its sums, and its factor
        return "exact"
    if not isinstance(objective.X, np.ndarray):
        return "diag"
    if width > 2000:
        return "nystrom"
    # A sample of 10 rows a column has ten times as many equations as unknowns; it has to be a small part of the rows,
    # and its products have to take longer than calling them. ("full", measured on some 200 made problems of at most
    # 1300 unknowns, was ahead of the better of the two by a fifth at most, and up to six times behind.)
    pays = objective.n_rows >= 50 * width and work(objective.X, K) >= _LARGE
    return "sampled" if K > 2 and pays else "gram"


def _solve(objective, theta0, tol, max_iter, callback, kind):
    problem = Conditioned(objective)
    build = BUILDERS[kind or choose(objective)]
    record = Recorder(objective, callback, "metric")
    u = problem.variables(theta0)
    value, grad, theta, largest = problem.evaluate(u)
    least = _NEGLIGIBLE * value
    bottomless = bottomless_below(objective)
    pairs = Pairs(u.shape, problem.pieces)
    waited, least_slope, decrement, scale, refreshes = 0, np.inf, np.inf, 1.0, _REFRESH
    metric, exact, settled = None, False, False
    for iteration in range(max_iter + 1):
        if record(theta, value, largest):
            return record.result(theta, False, STOPPED_BY_CALLER)
        if not grad.any():
            record.gap(0.0)
            return record.result(theta, True, "the gradient is zero")
        if value < bottomless:
            return record.result(theta, False, SEPARABLE)
        if exact:
            metric.follow(u)
        elif iteration in refreshes:
            metric = build(problem, u)
            exact = getattr(metric, "is_exact", False)
            if iteration == 0 and not u.any() and getattr(metric, "is_part", False) and max_iter > 0:
                start = _over_sample(problem, metric, u)
                there = problem.evaluate(start)
                if there[0] < value:
                    u, (value, grad, theta, largest) = start, there
                    refreshes = {1 + at for at in _REFRESH}
                    continue
        if hasattr(metric, "move"):
            metric.move(u, min(_DAMPING, _DAMPING_SHARE * decrement / max(value, least)))
        # Where a product with M^-1 is dear, its scale is what the steps so far say of it.
        D, slope = _direction(problem, metric.solve, pairs, grad, scale if hasattr(metric, "move") else None)
        decrement = -slope / 2
        recent = 0.0 if settled else _recent_fall(record.history["loss"])
        record.gap(decrement if exact or not np.isfinite(recent) else max(decrement, recent))
        enough = tol * max(value, least)
        if decrement <= 0.3 * enough and recent <= 0.5 * enough:
            reason = f"the Newton decrement {decrement:.3g} and the last falls are small, for tol = {tol:.3g}"
            return record.result(theta, True, reason)
        # Values no longer tell points apart: gradients do, until they do not either.
        least_slope, waited = (-slope, 0) if -slope < 0.5 * least_slope else (least_slope, waited + 1)
        if waited >= _PATIENCE and -slope <= problem.rounding * abs(value):
            return record.result(theta, True, AT_ROUNDING)
        if iteration == max_iter:
            return record.result(theta, False, out_of_iterations(max_iter))
        lower = _line_search(problem, problem.pieces, u, value, D, slope)
        if lower is None:
            at_rounding = bool(-slope <= max(problem.rounding * abs(value), 2 * enough))
            return record.result(theta, at_rounding, AT_ROUNDING if at_rounding else NO_DESCENT)
        before = grad
        t, u, new_slope, (value, grad, theta, largest) = lower
        if exact:
            settled = t == 1 and abs(new_slope) <= -_QUADRATIC * slope
            continue
        pairs.append(t, D, before, grad, t * (new_slope - slope))
        best = t * slope / (slope - new_slope) if new_slope > slope else _LONGEST
        scale = min(1.0, scale * np.sqrt(min(max(best, _SHORTEST), _LONGEST)))


def _over_sample(problem, metric, u):
    """Some steps that see the sample alone, by its shared model."""
    pairs = Pairs(u.shape, problem.pieces)
    value, grad = metric.evaluate(u)
    for step in range(_SAMPLE_STEPS):
        if step in _REFRESH and step > 0:
            metric.follow(u)
        D, slope = _direction(problem, metric.shared, pairs, grad)
        lower = _line_search(metric, problem.pieces, u, value, D, slope) if slope < 0 else None
        if lower is None:
            break
        t, u, new_slope, (new_value, new_grad) = lower
        pairs.append(t, D, grad, new_grad, t * (new_slope - slope))
        fall, value, grad = value - new_value, new_value, new_grad
        if fall <= _SAMPLE_FALL * value:
            break
    return u


def _recent_fall(losses):
    """By how much F fell over the last quarter of the iterations, two at least."""
    span = max(2, len(losses) // 4)
    return losses[-1 - span] - losses[-1] if len(losses) > span else np.inf


def _direction(problem, solve, pairs, grad, scale=None):
    """Minus the inverse Hessian times the gradient, and the slope along it.

    The pairs correct `scale` times M^-1; None is the scale that suits the newest pair.
    """
    if scale is None:
        scale = 1.0
        if pairs:
            change, curvature = pairs.newest
            change = change.astype(np.float64, copy=False)
            scale = curvature / problem.pieces.dot(change, solve(change))
    D = pairs.direction(lambda R: _times(scale, solve(R)), grad)
    slope = problem.pieces.dot(grad, D)
    if not slope < 0:
        pairs.clear()
        D = pairs.direction(solve, grad)
        slope = problem.pieces.dot(grad, D)
    return D, slope


def _times(factor, array):
    array *= factor
    return array


def _line_search(problem, pieces, u, value, D, slope):
    """t that meets Wolfe's conditions (1 if it does, else by secants of the slope), u + t D, the slope there, and what
    `evaluate` says of it."""
    low, low_slope, high, high_slope = 0.0, slope, None, None
    t = 1.0
    noise = problem.rounding * abs(value)
    new = np.empty_like(u)
    for _ in range(_TRIALS):
        pieces.map(lambda rows, t=t: np.add(u[rows], t * D[rows], out=new[rows]))
        there = problem.evaluate(new)
        new_value, grad = there[:2]
        new_slope = pieces.dot(grad, D)
        decreased = new_value <= value + _SUFFICIENT_DECREASE * t * slope + noise
        if decreased and abs(new_slope) <= -_CURVATURE * slope:
            return t, new, new_slope, there
        if not np.isfinite(new_value) or not decreased or new_slope > 0:
            high, high_slope = t, new_slope
        else:
            low, low_slope = t, new_slope
        tried = t
        if high is None:
            t *= min(4.0, max(1.5, low_slope / (low_slope - slope) if low_slope != slope else 4.0))
        else:
            share = (
                low_slope / (low_slope - high_slope) if np.isfinite(high_slope) and high_slope > 0 else 0.3
            )
            t = low + min(max(share, 0.1), 0.9) * (high - low)
    return (tried, new, new_slope, there) if new_value < value else None
