"""Dual coordinate ascent over sparse rows, visited in proportion to what each still has to gain.

    S. Shalev-Shwartz, T. Zhang, "Stochastic dual coordinate ascent methods for regularized loss minimization",
    JMLR 14, 2013.
    H.-F. Yu, F.-L. Huang, C.-J. Lin, "Dual coordinate descent methods for logistic regression and maximum
    entropy models", Machine Learning 85, 2011.
    D. Csiba, Z. Qu, P. Richtarik, "Stochastic dual coordinate ascent with adaptive probabilities", ICML 2015.

With H the entropy, c_i = s_i times the sum of the row's target, and t_i that target divided by its sum,

    F(W, b) = max over alpha_i in the simplex of  (1/S) sum_i c_i (H(alpha_i) + (alpha_i - t_i) z_i) + (l2/2) |W|^2

whose minimum over W lies at W = (1 / (l2 S)) sum_i c_i x_i (t_i - alpha_i)'. A row keeps its own distribution
alpha_i, and its share of the duality gap, c_i KL(alpha_i, softmax(z_i)), falls out of every visit.

    alpha_i = t_i, W = 0, b = log of the class frequencies
    repeat
        rows = all, at first; then row i with probability  gap_i / mean gap, at least 0.05 and at most 1; shuffled
        for i in rows:  alpha_i <- the best distribution, all others fixed;  W and b follow   kernels/sdca.pxi
        b <- b + beta r / l2,   r = (1/S) sum_i c_i (t_i - alpha_i)

There is no step size: every visit ascends. The intercept has no penalty, which the dual sees as the
constraint r = 0. It is met by the method of multipliers: b moves as the weight of one more feature would, whose
value is sqrt(beta) in all rows, and is anchored anew after each epoch.

F - F* <= (1/S) sum_i c_i KL_i + (b* - b) r, and b* - b is about r over the frequencies. Without an intercept
the second term is absent and the first is a certificate.
"""

import numpy as np

from .. import kernels, parallel
from ..rows import squared_norms, without_duplicates
from . import metric
from .result import STOPPED_BY_CALLER, Recorder, attainable, out_of_iterations

_FLOOR = 0.05
_ROWS_OF_A_CALL = 1 << 14  # some milliseconds: Ctrl-C is heard between calls
_EPOCHS_BETWEEN_CHECKS = 4
_ALWAYS_ALL = 2  # epochs in which every row is visited
_SLOW = 0.9  # a pass that leaves more of the gap than this is one that `metric` does better
_HOPEFUL = 5.0
_PATIENCE = 6.0  # passes over which that is measured


def solve(objective, theta0, *, tol, max_iter, callback=None, row_weight=None, random_state=0):
    """Minimise a smooth objective with an L2 penalty over CSR rows.

    Parameters
    ----------
    objective : Objective
        Over a CSR matrix, with ``l2 > 0`` and ``l1 == 0``.
    theta0 : ndarray of shape (d + 1, K)
        Where it is not zero and lies lower than zero does, its probabilities are the first alpha.
    tol : float
        Stop when F - F* <= tol F, by the duality gap.
    max_iter : int
        Epochs at most; an epoch visits every row once, or the fewer that still matter.
    callback : callable or None
        ``callback(theta, history)`` whenever the objective is evaluated, at least every fourth epoch; return
        True to stop.
    row_weight : ndarray of shape (n,) or None
        Passed to ``metric`` when it takes over.
    random_state : int or numpy.random.Generator
        Order of the visits.

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        If the objective is not of that kind.
    """
    if isinstance(objective.X, np.ndarray) or not objective.l2 > 0 or objective.l1 > 0:
        kind = "dense" if isinstance(objective.X, np.ndarray) else "sparse"
        raise ValueError(
            f"solver 'sdca' needs a sparse X, an L2 penalty and no L1 penalty; here X is {kind}, l2 = "
            f"{objective.l2:.3g} and l1 = {objective.l1:.3g}. Use solver='auto'."
        )
    tol = max(tol, attainable(objective))
    rng = np.random.default_rng(random_state)
    record = Recorder(objective, callback)
    ascent = _Ascent(objective, theta0)
    if record(ascent.theta(), ascent.value, ascent.grad_norm):
        return record.result(ascent.theta(), False, STOPPED_BY_CALLER)
    checked, gaps = 0, []
    for epoch in range(1, max_iter + 1):
        ascent.visit(ascent.choose(rng) if epoch > _ALWAYS_ALL else rng.permutation(objective.n_rows), tol)
        gap = ascent.gap()
        gaps.append((ascent.passes, gap))
        # Gaps of rows not visited lately are too large as a rule: it pays to look before the sum is small enough.
        if (
            gap <= _HOPEFUL * tol * ascent.value
            or epoch - checked >= _EPOCHS_BETWEEN_CHECKS
            or epoch == max_iter
        ):
            checked = epoch
            theta = ascent.evaluate()
            gap = ascent.gap()
            stopped = record(theta, ascent.value, ascent.grad_norm)
            if stopped:
                return record.result(theta, False, STOPPED_BY_CALLER)
            if gap <= tol * ascent.value:
                reason = f"duality gap {gap:.3g} <= tol = {tol:.3g} times the objective"
                return record.result(theta, True, reason)
            if _is_slow(gaps):
                return _hand_over(objective, theta, record, tol, max_iter - epoch, callback, row_weight)
        ascent.anchor_intercept()
    return record.result(theta, False, out_of_iterations(max_iter))


class _Ascent:
    """The state of the ascent: distributions, the weights that follow from them, and the rows' gaps."""

    def __init__(self, objective, theta0):
        self._objective = objective
        self._rows = rows = objective.rows
        self._total = objective.total_weight if objective.total_weight > 0 else 1.0
        self._scale = 1.0 / (objective.l2 * self._total)
        n, K = objective.n_rows, objective.K
        self._square = squared_norms(without_duplicates(objective.X))
        size = self._square.mean()
        self._beta = min(90.0 * K * objective.l2, 12.0 * size) if objective.fit_intercept else 0.0
        self._log_alpha = np.empty((n, K), objective.dtype)
        self._gap = np.full(n, np.inf)
        self._residual = np.zeros(K)
        self._scratch = parallel.zeros(kernels.dual_scratch_size(rows), objective.dtype)
        self.passes = 0.0
        zero = objective.initial()
        self.value, grad = objective.value_and_grad(zero)
        self._frequency = _frequencies(self.value, grad[-1])
        if objective.fit_intercept:
            zero[-1] = np.log(self._frequency) if K > 1 else np.log(self._frequency / (1 - self._frequency))
        self._weights = parallel.zeros(rows.weights_size, objective.dtype)
        rows.pack(zero, self._weights, 0, objective.n_features + 1)
        self.grad_norm = float(np.abs(grad).max())

    def theta(self):
        theta = np.empty(self._objective.shape)
        self._rows.unpack([self._weights], 1.0, 0.0, theta, theta, 0, len(theta))
        return theta

    def choose(self, rng):
        """Rows by their own gaps, shuffled."""
        mean = self._gap.mean()
        chance = self._gap / mean if mean > 0 else self._gap
        rows = np.flatnonzero(rng.random(len(chance)) < np.maximum(chance, _FLOOR))
        rng.shuffle(rows)
        return rows

    def visit(self, order, tol):
        """Ascend in each row of ``order``; rows far below the gap aimed at are only looked at."""
        self._run(np.ascontiguousarray(order, np.intp), 0.02 * tol * self.value)

    def evaluate(self):
        """Take the objective and the gaps of all rows as they are now; returns theta."""
        theta = self.theta()
        self.value, grad = self._objective.value_and_grad(theta)
        self.grad_norm = float(np.abs(grad).max())
        self._run(np.arange(self._objective.n_rows), np.inf)
        return theta

    def _run(self, order, enough):
        for first in range(0, len(order), _ROWS_OF_A_CALL):
            kernels.dual_ascent(
                self._rows, self._weights, self._log_alpha, self._gap, order, first,
                min(first + _ROWS_OF_A_CALL, len(order)), self._square, self._scale, self._beta, enough,
                self._residual, self._scratch,
            )  # fmt: skip
        self.passes += len(order) / len(self._gap)
        self._objective.passes += len(order) / len(self._gap)

    def gap(self):
        """F - F*, at most, up to what the intercept's distance from its optimum is estimated to be."""
        gap = float(self._gap.sum()) / self._total
        if self._objective.fit_intercept:
            frequency = self._frequency
            spread = frequency if self._objective.K > 1 else frequency * (1 - frequency)
            gap += float((np.square(self._residual / self._total) / spread).sum())
        return gap

    def anchor_intercept(self):
        kernels.shift_intercepts(self._rows, self._weights, self._beta * self._scale * self._residual)


def _is_slow(gaps):
    """Whether the gap contracts by less than a pass of another solver would."""
    passes, gap = gaps[-1]
    before = [(p, g) for p, g in gaps if p <= passes - _PATIENCE]
    if not before:
        return False
    earlier_passes, earlier_gap = before[-1]
    return gap > earlier_gap * _SLOW ** (passes - earlier_passes)


def _hand_over(objective, theta, record, tol, max_iter, callback, row_weight):
    """Go on with ``metric``; the history is of both."""
    rest = metric.solve(
        objective, theta, tol=tol, max_iter=max_iter, callback=callback, row_weight=row_weight
    )
    for name, values in record.history.items():
        offset = values[-1] if name in ("epoch", "seconds", "passes") else 0
        rest.history[name] = values + [offset + value for value in rest.history[name][1:]]
    rest.n_iter = rest.history["epoch"][-1]
    return rest


def _frequencies(value, grad):
    """Shares of the classes in the targets (binary: the share of class 1), from loss and gradient in b at theta =
    0."""
    K = max(2, len(grad))
    mass = value / np.log(K)
    share = (mass / K - grad) / mass if mass > 0 else np.full(len(grad), 1 / K)
    tiny = 1e-6
    return np.clip(share, tiny, 1 - tiny)
