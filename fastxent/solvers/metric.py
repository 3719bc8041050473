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

The decrement -G.D/2 estimates F - F*. It is believed when it is small twice in a row, and a tenth of what was asked
for.
"""

from collections import deque

import numpy as np

from .. import parallel
from ..objective import work
from .conditioned import Conditioned
from .metrics import BUILDERS
from .result import AT_ROUNDING, NO_DESCENT, STOPPED_BY_CALLER, Recorder, attainable, out_of_iterations

_MEMORY = 10
_MEMORY_WIDE = 4
_WIDE = 200_000  # unknowns from which the pairs' memory traffic counts
_REFRESH = frozenset([0] + [5 * (2**i - 1) for i in range(1, 30)])
_SUFFICIENT_DECREASE = 1e-4
_CURVATURE = 0.9
_TRIALS = 40
_LARGE = 10_000_000  # multiplications of a pass
_NEGLIGIBLE = 1e-4  # objectives below this share of the one at the start count as this share


def solve(objective, theta0, *, tol, max_iter, callback=None, row_weight=None, kind=None):
    """Minimise a smooth objective from ``theta0``; ``objective.l1`` must be zero.

    Parameters
    ----------
    objective : Objective
    theta0 : ndarray of shape (d + 1, K)
    tol : float
        Stop when F - F* is estimated to be at most tol F, twice in a row.
    max_iter : int
        Iterations at most; each is one evaluation of loss and gradient, rarely a few.
    callback : callable or None
        ``callback(theta, history)`` after every iteration; return True to stop.
    row_weight : ndarray of shape (n,) or None
        What each row weighs in the objective, for ``Conditioned``.
    kind : {"diag", "gram", "nystrom", "full", "sampled"} or None
        The model of the Hessian; None lets ``choose`` decide.

    Returns
    -------
    Result
    """
    tol = max(tol, attainable(objective))
    with parallel.one_blas_thread:  # the same bits for any number of threads
        return _solve(objective, theta0, tol, max_iter, callback, row_weight, kind)


def choose(objective):
    """The model of the Hessian that pays for itself soonest.

    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> choose(SimpleNamespace(X=np.empty((2000, 16)), n_rows=2000, K=26, shape=(17, 26)))
    'gram'
    >>> choose(SimpleNamespace(X=np.empty((60000, 784)), n_rows=60000, K=10, shape=(785, 10)))
    'sampled'
    """
    if not isinstance(objective.X, np.ndarray):
        return "diag"
    width, K = objective.shape
    if width > 2000:
        return "nystrom"
    # A sample of 10 rows a column has ten times as many equations as unknowns; it has to be a small part of the rows,
    # and its products have to take longer than calling them. ("full", measured on some 200 made problems of at most
    # 1300 unknowns, was ahead of the better of the two by a fifth at most, and up to six times behind.)
    pays = objective.n_rows >= 50 * width and work(objective.X, K) >= _LARGE
    return "sampled" if K > 2 and pays else "gram"


def _solve(objective, theta0, tol, max_iter, callback, row_weight, kind):
    problem = Conditioned(objective, row_weight)
    build = BUILDERS[kind or choose(objective)]
    record = Recorder(objective, callback)
    u = problem.variables(theta0)
    value, grad = problem.value_and_grad(u)
    least = _NEGLIGIBLE * value
    pairs = deque(maxlen=_MEMORY if u.size <= _WIDE else _MEMORY_WIDE)
    small = 0
    for iteration in range(max_iter + 1):
        theta = problem.theta(u)
        if record(theta, value, np.abs(problem.gradient(grad)).max()):
            return record.result(theta, False, STOPPED_BY_CALLER)
        if not grad.any():
            return record.result(theta, True, "the gradient is zero")
        if iteration in _REFRESH:
            metric = build(problem, u)
        elif hasattr(metric, "move"):
            metric.move(u)
        D = _direction(metric, pairs, grad)
        slope = np.vdot(grad, D)
        if not slope < 0:
            pairs.clear()
            D = -metric.solve(grad)
            slope = np.vdot(grad, D)
        small = small + 1 if -slope / 2 <= 0.1 * tol * max(value, least) else 0
        if small == 2:
            reason = f"the Newton decrement {-slope / 2:.3g} is small twice, for tol = {tol:.3g}"
            return record.result(theta, True, reason)
        if iteration == max_iter:
            return record.result(theta, False, out_of_iterations(max_iter))
        lower = _line_search(problem, u, value, D, slope)
        if lower is None:
            at_rounding = bool(-slope <= problem.rounding * abs(value))
            return record.result(theta, at_rounding, AT_ROUNDING if at_rounding else NO_DESCENT)
        before, u = u, lower[0]
        step, change = u - before, lower[2] - grad
        value, grad = lower[1:]
        curvature = np.vdot(step, change)
        if curvature > 1e-14 * np.sqrt(np.vdot(step, step) * np.vdot(change, change)):
            pairs.append((step, change, curvature))


def _direction(metric, pairs, grad):
    """Minus the inverse Hessian times the gradient, by the two-loop recursion begun with gamma M^-1."""
    D = -grad
    shares = []
    for step, change, curvature in reversed(pairs):
        shares.append(np.vdot(step, D) / curvature)
        D -= shares[-1] * change
    D = metric.solve(D)
    if pairs and not hasattr(metric, "move"):
        _, change, curvature = pairs[-1]
        D *= curvature / np.vdot(change, metric.solve(change))
    for (step, change, curvature), share in zip(pairs, reversed(shares), strict=True):
        D += (share - np.vdot(change, D) / curvature) * step
    return D


def _line_search(problem, u, value, D, slope):
    """(u + t D, F, G) for a t that meets Wolfe's conditions: t = 1 if it does, else by secants of the slope."""
    low, low_slope, high, high_slope = 0.0, slope, None, None
    t = 1.0
    noise = problem.rounding * abs(value)
    for _ in range(_TRIALS):
        new = u + t * D
        new_value, grad = problem.value_and_grad(new)
        new_slope = np.vdot(grad, D)
        decreased = new_value <= value + _SUFFICIENT_DECREASE * t * slope + noise
        if decreased and abs(new_slope) <= -_CURVATURE * slope:
            return new, new_value, grad
        if not np.isfinite(new_value) or not decreased or new_slope > 0:
            high, high_slope = t, new_slope
        else:
            low, low_slope = t, new_slope
        if high is None:
            t *= min(4.0, max(1.5, low_slope / (low_slope - slope) if low_slope != slope else 4.0))
        else:
            share = (
                low_slope / (low_slope - high_slope) if np.isfinite(high_slope) and high_slope > 0 else 0.3
            )
            t = low + min(max(share, 0.1), 0.9) * (high - low)
    return (new, new_value, grad) if new_value < value else None
