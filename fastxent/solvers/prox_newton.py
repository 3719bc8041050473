"""L1 and elastic net: Newton's method whose quadratic model keeps the L1 term, solved by coordinate descent.

    G.-X. Yuan, C.-H. Ho, C.-J. Lin, "An improved GLMNET for L1-regularized logistic regression", JMLR 13, 2012.
    J. Friedman, T. Hastie, R. Tibshirani, "Regularization paths for generalized linear models via coordinate
    descent", Journal of Statistical Software 33, 2010.

    W = 0, b = log of the class frequencies
    repeat
        G = gradient of the smooth part
        candidates = weights that are not zero, weights with |G| > l1, intercepts
        V = coordinate descent on  G (V - W) + (V - W)' H (V - W) / 2 + l1 |V|  over the candidates,
            in random order; weights that rest at zero are left out after the first sweep, and looked at again at
            the end                                                                          kernels/coordinate.pxi
        W <- W + t (V - W),  t = 1, 1/2, ... until F falls enough (t = 1 nearly always)
        if sweeps and falls are slow (columns that lean on each other): a truncated Newton step that keeps zeros
            and signs                                                                               l1_newton.py

A class of which the model thinks little has next to no curvature, and Newton's step for it may be anything:
each weight has a radius within which it moves, adapted to how far it went (A. Genkin, D. D. Lewis, D. Madigan,
"Large-scale Bayesian logistic regression for text categorization", Technometrics 49, 2007).

With l1 sum_j |V_j| over the weights of a feature in all classes (``penalty_groups="features"``), these move together,
and whole rows of W are exactly zero.

H is the true Hessian of the multinomial loss: glmnet's cycles over the classes leave out what one class's step
does to the others. Weights are zero exactly where the model's minimum has them so.

The fall that the model promises, -(G (V - W) + l1 (|V| - |W|)) / 2, estimates F - F*. It is believed when it is
small twice in a row, and a tenth of what was asked for, and no radius held it back, and no Newton step has since
gained more.
"""

import numpy as np

from .. import kernels
from ..objective import work
from ..prediction import predict
from . import metric
from .conditioned import column_moments
from .dual_ascent import _frequencies, _logit
from .l1_newton import GroupProblem, L1Problem, newton_step
from .result import (
    AT_ROUNDING,
    NO_DESCENT,
    SEPARABLE,
    STOPPED_BY_CALLER,
    Recorder,
    attainable,
    bottomless_below,
    out_of_iterations,
)

_SUFFICIENT_DECREASE = 1e-4
_HALVINGS = 40
_SWEEPS = 12
_LEAST_SHARE = 0.02
_RADIUS = 3.0  # logits that a weight alone may move in the first iteration
_SHIFT = 1e-9
_SLOW = 0.3  # a fall larger than this share of the last one
_CG_STEPS = 5
_CG_ACCURACY = 0.3
_SMALL = 2_000_000  # multiplications of a pass that costs next to nothing
_LONG = 20
_PAIRS_OF_A_CALL = 1 << 10


def solve(objective, theta0, *, tol, max_iter, callback=None, row_weight=None, random_state=0):
    """Minimise an objective with an L1 penalty, an L2 penalty too perhaps, from ``theta0``.

    Parameters
    ----------
    objective : Objective
    theta0 : ndarray of shape (d + 1, K)
        Where it is zero, the intercept begins at the log of the class frequencies.
    tol : float
        Stop when F - F* is estimated to be at most tol F, twice in a row.
    max_iter : int
        Newton steps at most; each takes some sweeps over the weights that are not zero.
    callback : callable or None
        ``callback(theta, history)`` after every iteration; return True to stop.
    row_weight : ndarray of shape (n,) or None
        Not used.
    random_state : int or numpy.random.Generator
        Order of the coordinates.

    Returns
    -------
    Result
        Its ``value`` includes the L1 term; weights that are zero at the optimum are exactly zero.
    """
    tol = max(tol, attainable(objective))
    rng = np.random.default_rng(random_state)
    record = Recorder(objective, callback)
    model = _Model(objective)
    problem = (GroupProblem if is_grouped(objective) else L1Problem)(objective, row_weight)
    theta = np.array(theta0, np.float64, order="C")
    rounding = 16 * float(np.finfo(objective.dtype).eps)
    if objective.fit_intercept and not theta.any():
        theta[-1] = _log_odds(objective)
    value, grad = objective.value_and_grad(theta)
    value += model.penalty(theta)
    small, gained, last_fall = 0, 0.0, np.inf
    bottomless = bottomless_below(objective)
    cheap = isinstance(objective.X, np.ndarray) or work(objective.X, objective.K) <= _SMALL
    for iteration in range(max_iter + 1):
        badness = np.abs(model.least_subgradient(theta, grad)).max()
        if record(theta, value, badness):
            return record.result(theta, False, STOPPED_BY_CALLER)
        if badness == 0:
            record.gap(0.0)
            return record.result(theta, True, "the subgradient is zero")
        if value < bottomless:
            return record.result(theta, False, SEPARABLE)
        if iteration == max_iter:
            return record.result(theta, False, out_of_iterations(max_iter))
        target, finished = model.minimise(theta, grad, rng)
        step = target - theta
        fall = -np.vdot(grad, step) - (model.penalty(target) - model.penalty(theta))
        record.gap(max(fall / 2, gained))
        small = small + 1 if max(abs(fall) / 2, gained) <= 0.1 * tol * value and not model.held(step) else 0
        if small == 2:
            reason = f"the Newton decrement {max(fall, 0.0) / 2:.3g} is small twice, for tol = {tol:.3g}"
            return record.result(theta, True, reason)
        lower = _line_search(objective, model, theta, value, target, step, fall, rounding)
        if lower is None:
            at_rounding = bool(abs(fall) <= max(rounding, 2 * tol) * abs(value))
            return record.result(theta, at_rounding, AT_ROUNDING if at_rounding else NO_DESCENT)
        model.adapt(lower[0] - theta)
        theta, value, grad = lower
        gained = 0.0
        slow, last_fall = fall > _SLOW * last_fall or small > 0, fall
        if not finished and slow and (cheap or iteration >= _LONG):
            inside = _move_inside(problem, theta, value, grad, _CG_STEPS * (2 + iteration))
            if inside is not None:
                gained = value - inside[1]
                theta, value, grad = inside


def l1_max(objective):
    """The least L1 penalty at which all weights that have one are zero.

    It is the largest entry of the gradient (for groups, the largest norm of a feature's), each divided by its penalty
    factor, where those weights are zero and the others at their optimum. The objective's own penalties do not matter.
    """
    theta = objective.initial()
    factor = objective.penalty_factor
    factor = np.ones(objective.n_features) if factor is None else factor
    free = factor == 0
    if objective.fit_intercept:
        theta[-1] = _log_odds(objective)
    if free.all():
        return 0.0
    if free.any():
        alone = objective.on_features(free)
        found = metric.solve(alone, alone.initial(), tol=1e-14, max_iter=1000).theta
        theta[:-1][free], theta[-1] = found[:-1], found[-1]
    _, grad = objective.value_and_grad(theta)
    grad = grad[:-1][~free]  # penalties have none at zero
    if objective.penalty_groups == "features":
        grad = np.linalg.norm(grad, axis=1, keepdims=True)
    return float((np.abs(grad) / factor[~free, np.newaxis]).max())


class _Part:
    """Coordinates of the model at a point that are swept over: one by one, or the K of each feature together.

    A violation is measured by the fall of the model that it allows, violation^2 / h: columns differ in size.
    """

    def __init__(self, model, Q, P, grad, theta, V, pairs, together):
        self._objective = objective = model._objective
        self._pairs = pairs = np.ascontiguousarray(pairs, np.intp)
        self._width = width = objective.K if together else 1
        h, m = np.empty(len(pairs)), np.empty(len(pairs))
        model._columns.curvature(Q, P, pairs, h, m, model._dense and objective.fit_intercept)
        features = pairs // objective.K
        curvature = ((2.0 if together else 1.0) * h + model._l2[features]).reshape(-1, width).max(axis=1)
        self._unit = np.where(curvature > 0, 1.0 / np.sqrt(np.where(curvature > 0, curvature, 1.0)), 0.0)
        self._share = model._entries[features[::width]] * (width / objective.K)
        self._at_zero = lambda: ~V.ravel()[pairs].reshape(-1, width).any(axis=1)
        self._violation = np.zeros(len(pairs) // width)
        self._everything = self._active = np.arange(len(self._violation), dtype=np.intp)
        before = (Q, P, model._A, model._s, pairs)
        after = (h, m, model._mean, grad, theta, V, model._radius, model._l1, model._l2, self._violation)
        if together:
            scratch = np.empty(2 * width)
            self._call = lambda *order: model._columns.sweep_groups(*before, *order, *after, scratch)
        else:
            self._call = lambda *order: model._columns.sweep(*before, *order, *after)

    def sweep(self, rng):
        """Minimise over each coordinate in turn; the largest violation met."""
        order = rng.permutation(self._active)
        if self._width == 1:  # class by class, so that one class's numbers stay in cache
            order = order[np.argsort(self._pairs[order] % self._objective.K, kind="stable")]
        if len(order) == 0:
            return 0.0
        full = self._everything.copy()
        full[: len(order)] = order
        step = max(1, _PAIRS_OF_A_CALL // self._width)
        for first in range(0, len(order), step):
            self._call(full, first, min(first + step, len(order)))
        self._objective.passes += self._share[self._active].sum()
        return max((self._violation * self._unit)[self._active].max(), 0.0)

    @property
    def complete(self):
        return len(self._active) == len(self._everything)

    def wake(self):
        self._active = self._everything

    def leave_out(self, worst):
        """Those that rest at zero, and will do so while the others move some more."""
        rests = self._at_zero() & (self._violation * self._unit < -0.1 * worst)
        self._active = self._active[~rests[self._active]]


class _Model:
    """The quadratic model at a point, and its minimum."""

    def __init__(self, objective):
        self._objective = objective
        if "columns" not in objective.memo:
            objective.memo["columns"] = _columns(objective)
        self._columns, self._entries, self._mean, self._dtype, reach = objective.memo["columns"]
        self._dense = isinstance(objective.X, np.ndarray)
        d1, K = objective.shape
        self._l1 = np.append(objective.feature_l1, 0.0)
        self._l2 = np.append(objective.feature_l2, 0.0)
        mass = objective.row_masses()
        total = objective.total_weight
        self._mass = mass / total if total > 0 else mass
        self._radius = np.repeat(_RADIUS / np.append(reach, 1.0), K).reshape(d1, K)
        if self._dense:  # centred weights take the intercept along, beyond any radius of its own
            self._radius[-1] = np.inf
        self._first_worst = None
        self._grouped = is_grouped(objective)
        self._least_radius = _LEAST_SHARE * self._radius  # a weight that rested for long may still wake up
        self._A = np.empty((K, objective.n_rows), self._dtype)
        self._s = np.empty(objective.n_rows, self._dtype)

    def penalty(self, theta):
        sizes = np.linalg.norm(theta, axis=1, keepdims=True) if self._grouped else np.abs(theta)
        return float((self._l1[:, np.newaxis] * sizes).sum())

    def least_subgradient(self, theta, grad):
        l1 = self._l1[:, np.newaxis]
        if self._grouped:
            size, steepness = (np.linalg.norm(v, axis=1, keepdims=True) for v in (theta, grad))
            at_zero = grad * np.maximum(1.0 - l1 / np.where(steepness > 0, steepness, np.inf), 0.0)
            at_zero[steepness[:, 0] <= l1[:, 0]] = 0.0
            return np.where(size == 0.0, at_zero, grad + l1 * theta / np.where(size > 0, size, 1.0))
        at_zero = np.sign(grad) * np.maximum(np.abs(grad) - l1, 0.0)
        return np.where(theta == 0.0, at_zero, grad + l1 * np.sign(theta))

    def minimise(self, theta, grad, rng):
        """Where the model at ``theta`` is least, and whether the largest violation came down as far as it should."""
        Q, P = self._weights(theta)
        self._A.fill(0)
        self._s.fill(0)
        V = theta.copy()
        parts = [_Part(self, Q, P, grad, theta, V, *chosen) for chosen in self._candidates(theta, grad)]
        worst = first_worst = max(part.sweep(rng) for part in parts)
        self._first_worst = self._first_worst or worst or 1.0
        target = 0.4 * min(1.0, 0.1 + worst / self._first_worst) * first_worst
        for _ in range(_SWEEPS):
            if worst <= target:
                if all(part.complete for part in parts):
                    break
                for part in parts:  # those left out may have woken up
                    part.wake()
            else:
                for part in parts:
                    part.leave_out(worst)
            worst = max(part.sweep(rng) for part in parts)
        return V, worst <= target

    def _candidates(self, theta, grad):
        """Pairs j K + k that may move, and whether each feature's move together."""
        active = self.least_subgradient(theta, grad) != 0.0
        active |= theta != 0.0
        active[-1] = self._objective.fit_intercept
        if self._grouped:
            groups = active.any(axis=1) & (self._l1 > 0)
            yield np.flatnonzero(np.broadcast_to(groups[:, np.newaxis], theta.shape)), True
            active[groups] = False
        yield np.flatnonzero(active), False

    def held(self, step):
        """Whether some weight went as far as it may."""
        return bool((np.abs(step) >= 0.999 * self._radius).any())

    def adapt(self, step):
        """Let a weight go twice as far next time as it went now, and half as far as it might have."""
        self._radius = np.maximum(np.maximum(2.0 * np.abs(step), 0.5 * self._radius), self._least_radius)

    def _weights(self, theta):
        """Q and P of kernels/coordinate.pxi."""
        objective = self._objective
        proba = predict(objective.X, theta.astype(objective.dtype), "proba", objective.n_threads)
        objective.passes += 0.5
        mass = self._mass.astype(self._dtype)
        if objective.K == 1:
            Q = (mass * proba[:, 0] * proba[:, 1]).astype(self._dtype)[np.newaxis]
            return np.ascontiguousarray(Q), np.zeros_like(Q)
        P = np.ascontiguousarray(proba.T, self._dtype)
        return P * mass, P


def is_grouped(objective):
    """Whether L1 is the norm of a feature's weights in all classes; two classes have one weight."""
    return objective.penalty_groups == "features" and objective.K > 1 and objective.l1 > 0


def _move_inside(problem, theta, value, grad, max_steps):
    """A truncated Newton step that keeps zeros and signs: (theta, value, grad), or None."""
    u, grad = problem.variables(theta), problem.pull_back(grad.copy())
    lower = newton_step(problem, u, value, grad, _SHIFT, least_accuracy=_CG_ACCURACY, max_steps=max_steps)
    if lower is None:
        return None
    u, value, grad = lower
    return problem.theta(u), value, problem.gradient(grad)


def _line_search(objective, model, theta, value, target, step, fall, rounding):
    t = 1.0
    noise = rounding * abs(value)
    for _ in range(_HALVINGS):
        new = target if t == 1.0 else theta + t * step
        new_value, grad = objective.value_and_grad(new)
        new_value += model.penalty(new)
        enough = value - _SUFFICIENT_DECREASE * t * fall
        if new_value <= enough + (noise if fall <= noise else 0.0):
            return new, new_value, grad
        t *= 0.5
    return None


def _columns(objective):
    """The kernels' view of the columns of X, the share of all entries that each column holds, what was taken off each
    (the intercept's comes last), the dtype, and how far each reaches.

    In single precision, unless there is little of it: what it costs in accuracy shrinks with the step, for the gradient
    comes in double precision.
    """
    X, (n, d) = objective.X, objective.X.shape
    mass = objective.row_masses()
    mean = np.zeros(d + 1)
    if isinstance(X, np.ndarray):
        mean[:-1] = column_moments(X, mass)[0]
    reach = _reach(X if mass.all() else X[np.flatnonzero(mass)], mean[:-1])
    moderate = reach.min() > 1e-15 and reach.max() < 1e15
    dtype = np.dtype(np.float32 if moderate and work(X, objective.K) > _SMALL else np.float64)
    if isinstance(X, np.ndarray):
        # Dense columns come centred: single precision then holds what differs from row to row.
        if not objective.fit_intercept:
            mean[:] = 0.0
        columns = np.empty((n, d), dtype, order="F")
        np.subtract(X, mean[:-1], out=columns, casting="same_kind")
        return kernels.Columns(columns), np.full(d + 1, 1.0 / d), mean, dtype, reach
    X = X.astype(dtype).tocsc()
    X.sum_duplicates()
    share = np.append(np.diff(X.indptr), n) / max(X.nnz, 1)
    return kernels.Columns((X.data, X.indices, X.indptr, n, d)), share, mean, dtype, reach


def _reach(X, mean):
    """The largest deviation of each column from its mean (dense), or its largest entry (sparse)."""
    if isinstance(X, np.ndarray):
        reach = np.maximum(X.max(axis=0) - mean, mean - X.min(axis=0))
    else:
        reach = np.zeros(X.shape[1])
        np.maximum.at(reach, X.indices, np.abs(X.data))
    return np.where(reach > 0, reach, 1.0)


def _log_odds(objective):
    """The best intercepts where W = 0."""
    value, grad = objective.value_and_grad(objective.initial())
    return _logit(_frequencies(value, grad[-1]))
