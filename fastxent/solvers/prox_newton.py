"""L1 and elastic net: Newton's method whose quadratic model keeps the L1 term, solved by coordinate descent.

    G.-X. Yuan, C.-H. Ho, C.-J. Lin, "An improved GLMNET for L1-regularized logistic regression", JMLR 13, 2012.
    J. Friedman, T. Hastie, R. Tibshirani, "Regularization paths for generalized linear models via coordinate
    descent", Journal of Statistical Software 33, 2010.

    W = 0, b = log of the class frequencies
    repeat
        G = gradient of the smooth part
        candidates = weights that are not zero, weights with |G| > l1, intercepts
        V = coordinate descent on  G (V - W) + (V - W)' H (V - W) / 2 + l1 |V|  over the candidates
        kernels/coordinate.pxi
            in random order; weights that rest at zero are left out after the first sweep, and looked at again at the
            end
        W <- W + t (V - W),  t = 1, 1/2, ... until F falls enough (t = 1 nearly always)
        if sweeps and falls are slow (columns that lean on each other): a truncated Newton step that keeps zeros
            and signs                                                                               l1_newton.py

A class of which the model thinks little has next to no curvature, and Newton's step for it may be anything:
each weight has a radius within which it moves, adapted to how far it went (A. Genkin, D. D. Lewis, D. Madigan,
"Large-scale Bayesian logistic regression for text categorization", Technometrics 49, 2007).

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
from .l1_newton import L1Problem, newton_step
from .result import AT_ROUNDING, NO_DESCENT, STOPPED_BY_CALLER, Recorder, attainable, out_of_iterations
from .sdca import _frequencies, _logit

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
    problem = L1Problem(objective, row_weight)
    theta = np.array(theta0, np.float64, order="C")
    rounding = 16 * float(np.finfo(objective.dtype).eps)
    if objective.fit_intercept and not theta.any():
        theta[-1] = _log_odds(objective)
    value, grad = objective.value_and_grad(theta)
    value += model.penalty(theta)
    small, gained, last_fall = 0, 0.0, np.inf
    cheap = isinstance(objective.X, np.ndarray) or work(objective.X, objective.K) <= _SMALL
    for iteration in range(max_iter + 1):
        badness = np.abs(model.least_subgradient(theta, grad)).max()
        if record(theta, value, badness):
            return record.result(theta, False, STOPPED_BY_CALLER)
        if badness == 0:
            record.gap(0.0)
            return record.result(theta, True, "the subgradient is zero")
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
            at_rounding = bool(abs(fall) <= rounding * abs(value))
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
    """The least L1 penalty at which all weights are zero: the largest entry of the gradient at W = 0, b at its
    optimum.

    The objective's own L1 and L2 penalties do not matter.
    """
    theta = objective.initial()
    if objective.fit_intercept:
        theta[-1] = _log_odds(objective)
    return float(np.abs(objective.value_and_grad(theta)[1][:-1]).max())


class _Model:
    """The quadratic model at a point, and its minimum."""

    def __init__(self, objective):
        self._objective = objective
        reach = _reach(objective.X)
        moderate = reach.min() > 1e-15 and reach.max() < 1e15
        self._dtype = np.dtype(np.float32 if moderate else np.float64)
        # Dense columns come centred: single precision then holds what differs from row to row.
        self._mean = np.zeros(objective.n_features + 1)
        if isinstance(objective.X, np.ndarray) and objective.fit_intercept:
            self._mean[:-1] = objective.X.mean(axis=0, dtype=np.float64)
        self._columns, self._entries = _columns(objective.X, self._mean[:-1], self._dtype)
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
        self._least_radius = _LEAST_SHARE * self._radius  # a weight that rested for long may still wake up
        self._A = np.empty((K, objective.n_rows), self._dtype)
        self._s = np.empty(objective.n_rows, self._dtype)

    def penalty(self, theta):
        return float((self._l1[:, np.newaxis] * np.abs(theta)).sum())

    def least_subgradient(self, theta, grad):
        l1 = self._l1[:, np.newaxis]
        at_zero = np.sign(grad) * np.maximum(np.abs(grad) - l1, 0.0)
        return np.where(theta == 0.0, at_zero, grad + l1 * np.sign(theta))

    def minimise(self, theta, grad, rng):
        """Where the model at ``theta`` is least, and whether the largest violation came down as far as it should.

        A violation is measured by the fall of the model that it allows, violation^2 / h: columns differ in size.
        """
        objective = self._objective
        candidates = (theta != 0.0) | (np.abs(grad) > self._l1[:, np.newaxis])
        candidates[-1] = objective.fit_intercept
        pairs = np.flatnonzero(candidates).astype(np.intp)
        Q, P = self._weights(theta)
        h, m = np.empty(len(pairs)), np.empty(len(pairs))
        self._columns.curvature(Q, P, pairs, h, m, self._dense and objective.fit_intercept)
        self._A.fill(0)
        self._s.fill(0)
        V = theta.copy()
        violation = np.zeros(len(pairs))
        curvature = h + self._l2[pairs // objective.K]
        weight = np.where(curvature > 0, 1.0 / np.sqrt(np.where(curvature > 0, curvature, 1.0)), 0.0)

        def sweep(active):
            # Class by class, so that one class's numbers stay in cache; features in random order.
            order = rng.permutation(active)
            order = order[np.argsort(pairs[order] % objective.K, kind="stable")]
            full = np.arange(len(pairs), dtype=np.intp)
            full[: len(order)] = order
            for first in range(0, len(order), _PAIRS_OF_A_CALL):
                stop = min(first + _PAIRS_OF_A_CALL, len(order))
                self._columns.sweep(
                    Q,
                    P,
                    self._A,
                    self._s,
                    pairs,
                    full,
                    first,
                    stop,
                    h,
                    m,
                    self._mean,
                    grad,
                    theta,
                    V,
                    self._radius,
                    self._l1,
                    self._l2,
                    violation,
                )
            objective.passes += self._entries[pairs[active] // objective.K].sum() / objective.K
            return max((violation[active] * weight[active]).max(), 0.0)

        everything = np.arange(len(pairs), dtype=np.intp)
        active = everything
        worst = first_worst = sweep(active)
        self._first_worst = self._first_worst or worst or 1.0
        reduction = 0.4 * min(1.0, 0.1 + worst / self._first_worst)
        for _ in range(_SWEEPS):
            if worst <= reduction * first_worst:
                if len(active) == len(everything):
                    break
                active = everything  # those left out may have woken up
            else:
                rests = (V.ravel()[pairs[active]] == 0.0) & (violation[active] * weight[active] < -0.1 * worst)
                active = active[~rests]
                if len(active) == 0:
                    active = everything
            worst = sweep(active)
        return V, worst <= reduction * first_worst

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


def _move_inside(problem, theta, value, grad, max_steps):
    """A truncated Newton step that keeps zeros and signs: (theta, value, grad), or None."""
    u, grad = problem.variables(theta), problem.pull_back(grad.copy())
    lower = newton_step(
        problem, u, value, grad, _SHIFT, least_accuracy=_CG_ACCURACY, max_steps=max_steps
    )
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


def _columns(X, mean, dtype):
    """The kernels' view of the columns of X, and the share of all entries that each column holds.

    In single precision: what it costs in accuracy shrinks with the step, for the gradient comes in double precision.
    """
    n, d = X.shape
    if isinstance(X, np.ndarray):
        columns = np.empty((n, d), dtype, order="F")
        np.subtract(X, mean, out=columns, casting="same_kind")
        return kernels.Columns(columns), np.full(d + 1, 1.0 / d)
    X = X.astype(dtype).tocsc()
    X.sum_duplicates()
    share = np.append(np.diff(X.indptr), n) / max(X.nnz, 1)
    return kernels.Columns((X.data, X.indices, X.indptr, n, d)), share


def _reach(X):
    """The largest deviation of each column from its mean (dense), or its largest entry (sparse)."""
    if isinstance(X, np.ndarray):
        mean = X.mean(axis=0, dtype=np.float64)
        reach = np.maximum(X.max(axis=0) - mean, mean - X.min(axis=0))
    else:
        reach = np.zeros(X.shape[1])
        np.maximum.at(reach, X.indices, np.abs(X.data))
    return np.where(reach > 0, reach, 1.0)


def _log_odds(objective):
    """The best intercepts where W = 0."""
    value, grad = objective.value_and_grad(objective.initial())
    return _logit(_frequencies(value, grad[-1]))
