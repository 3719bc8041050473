"""L1 and elastic net: Newton's method whose quadratic model keeps the L1 term, solved by coordinate descent.

    G.-X. Yuan, C.-H. Ho, C.-J. Lin, "An improved GLMNET for L1-regularized logistic regression", JMLR 13, 2012.
    J. Friedman, T. Hastie, R. Tibshirani, "Regularization paths for generalized linear models via coordinate
    descent", Journal of Statistical Software 33, 2010.

    W = 0, b = log of the class frequencies;  with many rows, first some steps over a sample of them
    repeat
        G = gradient of the smooth part
        candidates = weights that are not zero, weights with |G| > l1, intercepts
        V = coordinate descent on  G (V - W) + (V - W)' H (V - W) / 2 + l1 |V|  over the candidates,
            in random order; weights that rest at zero are left out after the first sweep    kernels/coordinate.pxi
            where sweeps are slow: exactly, by the Hessian among the weights that still move            hessian.py
        W <- W + t (V - W),  t = 1, 1/2, ... until F falls enough (t = 1 nearly always)
        if sweeps and falls are slow (correlated columns): a truncated Newton step that keeps zeros
            and signs                                                                               l1_newton.py

A class of low probability has hardly any curvature, so Newton's step for it can be far too long. Each weight therefore
moves at most by a radius, which is adapted to its last steps (A. Genkin, D. D. Lewis, D. Madigan, "Large-scale
Bayesian logistic regression for text categorization", Technometrics 49, 2007).

Far from the optimum, a sample of an eighth of the rows is as good as all of them. Steps over it replace about three
over all rows (to 1e-2 in 0.3 to 0.5 of the time on Fashion-MNIST and on a dictionary's glosses), unless more weights
become nonzero than the sample has rows, or steps over all rows are cheap, too. Near the optimum, most time goes into
the model's minimum: with correlated columns, sweeps reduce F - F* to a quarter per iteration, and the exact minimum
reduces it to its square.

With l1 sum_j |V_j| over the weights of a feature in all classes (``penalty_groups="features"``), these move together,
and whole rows of W are exactly zero.

For two classes and sparse columns the logits are stored, which makes F and G cheap: columns.py. Sparse columns are
made from the rows when they are first needed: turned.py.

H is the true Hessian of the multinomial loss; glmnet's cycles over the classes ignore the effect of one class's step on
the others. Weights that are zero at the model's minimum are exactly zero.

The decrease that the model predicts, -(G (V - W) + l1 (|V| - |W|)) / 2, estimates F - F*, but may be far too small. If
it is a tenth of what tol allows, no radius limited it, and no Newton step has gained more since, the dual decides
(duality.py). If the dual's bound is too weak, the estimate must be much smaller, twice in a row, or once after a Newton
step that gained little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ... import kernels, parallel
from ...arrays import finfo
from ...penalty import Penalty
from .. import metric
from ..l1_newton import GroupProblem, L1Problem, newton_step
from ..result import (
    AT_ROUNDING,
    NO_DESCENT,
    SEPARABLE,
    STOPPED_BY_CALLER,
    Recorder,
    attainable,
    bottomless_below,
    out_of_iterations,
)
from .columns import NEAR, SMALL, columns_of, loss_of
from .duality import Dual
from .hessian import hessian, pays

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ...checkpoint import Session
    from ...kernels import QuadraticModel
    from ...objective import Objective
    from ...typing import Array
    from ..result import Result
    from .columns import BinaryLoss, Curvature, RowsLoss


_SUFFICIENT_DECREASE = 1e-4  # share of a step's predicted decrease: the usual value of Armijo's rule
_HALVINGS = 40  # shorter steps cannot be told from rounding
_SWEEPS = 12  # over one model; after these, a new model gains more than another sweep
# Largest violation at which sweeps end, as a share of the first; ten times smaller near the optimum. The second value
# is for stored logits, with which an iteration costs half a pass.
_ACCURACY, _ACCURACY_OF_KEPT_LOGITS = 0.2, 0.4
_FINISHED = 0.4  # if a larger share is left, sweeps are slow, and a Newton step is tried
_RADIUS = 3.0  # change of a logit that a single weight may cause in the first iteration
_LEAST_SHARE = 0.02  # of its first radius, which every weight keeps
_SHIFT = 1e-9  # share of the curvature that is added if a truncated Newton step finds none
# Shares of what tol allows: an estimate for which the dual is computed; and estimates that are enough if the dual's
# bound is weak, the second if sweeps did not come close to the model's minimum.
_SMALL, _TINY, _TINY_IF_SLOW = 0.1, 3e-2, 1e-3
# After a Newton step: the share of what tol allows that its gain and the estimate before it may have, if an estimate of
# at most _TINY is to be enough once.
_LAST = 0.02
_LOOSE = 1e-3  # the smallest tol for which that holds; below it, further steps cost little
_NEXT = 1e-2  # share of an estimate that the dual did not confirm, at which it is computed again
_SLOW = 0.3  # a decrease by more than this share of the last one is slow convergence
_SHARE_OF_SAMPLE = 8  # see above
_FEW_ROWS = 1000  # a smaller sample says little about the other rows
_LARGE = 20_000_000  # multiplications in a pass over sparse rows; for smaller data a sample saves nothing
_OF_DENSE = (
    20  # times as much is saved where columns are dense, because most of them have weights that are not zero
)
_SAMPLE_STEPS, _SAMPLE_TOL = 4, 1e-2  # beyond these, the sample's optimum is no closer to that of all rows
_CG_STEPS = 5  # of a truncated Newton step, times 2 + the iteration's number: they pay near the optimum
_CG_ACCURACY = 0.3  # of its residual, at least
_GRAM_AFTER = 3  # sweeps, the last two of which show their rate
_GRAM_SWEEPS, _GRAM_GOAL = 200, 1e-3  # over a stored Hessian: nearly free, so until convergence
_LONG = 20  # after this number of iterations, a Newton step is worth its passes on any data,
_CRAWL = 0.6  # and at once if the predicted decrease is more than this share of the last one
_PAIRS_OF_A_PIECE = 1 << 10  # coordinates whose curvature a thread computes at a time
_ENTRIES_OF_A_CALL = 1 << 24  # a few hundredths of a second, so that Ctrl-C takes effect

# One for each coordinate, see kernels/coordinate.pxi.
_COORDINATE = np.dtype(
    [(name, np.float64) for name in ("constant", "l2", "h", "v", "low", "high", "l1", "violation")]
)


def solve(  # type: ignore[return]  # the last iteration returns
    objective: Objective,
    theta0: Array,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[..., Any] | None = None,
    random_state: Any = 0,
    checkpoint: Session | None = None,
) -> Result:
    """Minimise an objective with an L1 penalty, and possibly an L2 penalty, from ``theta0``.

    Parameters
    ----------
    objective : Objective
    theta0 : ndarray of shape (d + 1, K)
        If it is zero, the intercept starts at the log of the class frequencies.
    tol : float
        Stop when F - F* is at most tol F*, by the dual, or by a much smaller estimate.
    max_iter : int
        Maximum number of Newton steps; each takes several sweeps over the weights that are not zero.
    callback : callable or None
        ``callback(theta, history)`` after every iteration; return True to stop.
    random_state : int or numpy.random.Generator
        Order of the coordinates.
    checkpoint : fastxent.checkpoint.Session or None
        Where the run keeps its state, and goes on from.

    Returns
    -------
    Result
        Its ``value`` includes the L1 term; weights that are zero at the optimum are exactly zero.
    """
    rng = np.random.default_rng(random_state)
    record = Recorder(objective, callback, "prox_newton", checkpoint)
    rounding = 16 * float(finfo(objective.dtype).eps)
    bottomless = bottomless_below(objective)
    loss = loss_of(objective)
    state = record.resumed()
    if state is None:
        theta = _first(objective, loss, theta0, max_iter, rng)
    model, inside = _Model(objective), _Inside(objective)
    remainder = _Remainder(objective, loss, max(tol, attainable(objective)))
    if state is None:
        value, grad = loss.at(theta)
        value += model.penalty(theta)
    else:
        theta, value, grad = state["theta"], state["value"], state["grad"]
        rng.bit_generator.state = state["rng"]
        loss.restore(state["loss"], theta)
        model.restore(state["model"])
        remainder.restore(state["remainder"])
    for iteration in range(record.begun, max_iter + 1):
        record.keep(theta=theta, value=value, grad=grad, rng=rng, loss=loss, model=model, remainder=remainder)
        parts = model.parts(theta, grad)
        badness = max((part.badness for part in parts), default=0.0)
        if loss.stale and (badness == 0 or iteration == max_iter):
            loss.complete(theta, grad)
            parts = model.parts(theta, grad)
            badness = max((part.badness for part in parts), default=0.0)
        if record(theta, value, badness):
            return record.result(theta, False, STOPPED_BY_CALLER)
        if badness == 0:
            record.gap(0.0)
            return record.result(theta, True, "the subgradient is zero")
        if value < bottomless:
            return record.result(theta, False, SEPARABLE)
        if remainder.believed:  # at the last point; this one is a step better
            record.gap(remainder.gap)
            return record.result(theta, True, remainder.reason)
        if iteration == max_iter:
            return record.result(theta, False, out_of_iterations(max_iter))
        stale = loss.stale
        step, finished = model.minimise(theta, grad, parts, loss.curvature(theta), rng)
        remainder.estimate(step, theta, value, grad, free=not model.held(step), finished=finished)
        record.gap(remainder.gap)
        lower = _line_search(loss, step, value, model.penalty(theta), rounding)
        if lower is None and stale:
            grad = loss.moved(theta, value, grad)[1]
            continue
        if lower is None and remainder.believed:
            return record.result(theta, True, remainder.reason)
        if lower is None:
            at_rounding = bool(abs(step.fall) <= max(rounding, 2 * remainder.tol) * abs(value))
            return record.result(theta, at_rounding, AT_ROUNDING if at_rounding else NO_DESCENT)
        t, value = lower
        model.adapt(step, t)
        theta = step.at(t)
        grad = loss.gradient(theta, step.fall)
        if (
            not (finished or remainder.believed)
            and remainder.slow
            and inside.pays(iteration, remainder.crawls)
        ):
            lower = inside.step(theta, value, grad, _CG_STEPS * (2 + iteration))
            if lower is not None:
                remainder.gained = value - lower[1]
                theta = lower[0]
                value, grad = loss.moved(*lower)


class _Remainder:
    """An estimate of F - F*: half of the decrease that a model predicts, or more if other steps have gained more.

    It is far too small if sweeps over the model stopped far from its minimum, as they do with correlated columns. So
    it only tells when to compute the dual. If L1 penalties are weak, the dual's bound is weak, too; then the estimate
    has to be much smaller, twice in a row, or once after a Newton step that gained little.

    Parameters
    ----------
    objective : Objective
    loss : RowsLoss or BinaryLoss
    tol : float

    Attributes
    ----------
    gap : float
        The last estimate.
    believed : bool
        Whether F - F* is small enough.
    slow : bool
        Whether the objective decreases slowly, or by little.
    crawls : bool
        Whether it decreases so slowly that sweeps will take many more iterations.
    gained : float
        Decrease by a step of another kind since the last estimate; set by the caller.
    """

    def __init__(self, objective: Objective, loss: RowsLoss | BinaryLoss, tol: float) -> None:
        self.tol, self._loss = tol, loss
        self._rounding = float(finfo(objective.dtype).eps)
        self._dual, self._next, self._proven = Dual(objective, loss), np.inf, np.inf
        self.gained, self._tiny, self._last_fall = 0.0, 0, np.inf
        self.believed = self.slow = self.crawls = False

    def state(self) -> dict[str, float]:
        """Return what `restore` needs to go on."""
        return {name: value for name, value in vars(self).items() if name not in ("_dual", "_loss")}

    def restore(self, state: dict[str, float]) -> None:
        """Go on from the state of another one."""
        vars(self).update(state)

    def estimate(
        self, step: _Step, theta: Array, value: float, grad: Array, *, free: bool, finished: bool
    ) -> None:
        """Estimate F - F* at theta, by the step from there to the model's minimum.

        value, grad: at theta. free: whether no radius limited the step. finished: whether sweeps came close to the
        minimum; if they did not, the predicted decrease says little.
        """
        fall = step.fall
        enough = self.tol / (1 + self.tol) * value
        self.gap = seeming = max(abs(fall) / 2, self.gained)
        if seeming <= max(_SMALL * enough, self._rounding * value) and self._loss.complete(theta, grad):
            free = False  # further weights have to move, so the step says nothing about F*
        small = seeming <= _SMALL * enough and free
        if small and seeming <= self._next:
            self.gap = self._proven = max(seeming, self._dual.gap(theta, value, grad))
            self.believed = self.gap <= enough
            self._next = _NEXT * seeming
        tiny = max((_TINY if finished else _TINY_IF_SLOW) * enough, self._rounding * value)
        self._tiny = self._tiny + 1 if seeming <= tiny and free else 0
        # What was left before a Newton step is about what it gained, and then much less is left.
        last = max(self.gained, abs(self._last_fall) / 2)
        settled = self.tol >= _LOOSE and self.gained > 0 and not step.enters()
        if settled and last <= _LAST * enough and abs(fall) / 2 <= _TINY * enough and free:
            self._tiny = 2
        if self._tiny == 2 and not self.believed:
            self.gap, self.believed = min(self._proven, enough), True
        self.slow = fall > _SLOW * self._last_fall or small
        self.crawls = fall > _CRAWL * self._last_fall
        self.gained, self._last_fall = 0.0, fall

    @property
    def reason(self) -> str:
        how = "by the dual" if self._tiny < 2 else "by the small decreases that models predict"
        return f"the objective is at most {self.gap:.3g} above its minimum, {how}, for tol = {self.tol:.3g}"


def _first(
    objective: Objective, loss: BinaryLoss | RowsLoss, theta0: Array, max_iter: int, rng: np.random.Generator
) -> Array:
    """Return the starting point, in which the weights of left-out columns are zero."""
    theta = np.array(theta0, np.float64, order="C")
    kept = columns_of(objective).kept
    if kept is not None:
        theta[:-1][~kept] = 0.0
    return theta if theta.any() else _start(objective, loss, theta, max_iter, rng)


def _start(
    objective: Objective, loss: BinaryLoss | RowsLoss, theta: Array, max_iter: int, rng: np.random.Generator
) -> Array:
    """Return the best intercepts with zero weights, or the result of some steps from there over a sample of the rows.

    Far from the optimum a sample is as good as all rows, unless it has more weights to determine than rows.
    """
    if objective.fit_intercept:
        theta[-1] = loss.log_odds()
    n = objective.n_rows // _SHARE_OF_SAMPLE
    saved = objective.cost * (1 if objective.is_sparse else _OF_DENSE)
    if max_iter == 0 or n < _FEW_ROWS or saved < _LARGE or loss.keeps_logits:
        return theta
    sample = objective.sample(n)
    active = _candidates(objective, theta, sample.value_and_grad(theta)[1])
    chosen: Any = active[:-1].any(axis=1)
    if not chosen.any() or np.count_nonzero(active) > n:
        return theta
    if 2 * np.count_nonzero(chosen) > len(chosen):
        chosen[:] = True
    else:  # of many columns, most do not matter
        sample = sample.over_features(chosen)
    rows = np.append(chosen, True)
    columns_of(sample, rough=True)
    found = solve(sample, theta[rows], tol=_SAMPLE_TOL, max_iter=_SAMPLE_STEPS, random_state=rng)
    objective.count(sample.passes * sample.n_rows / objective.n_rows)
    theta[rows] = found.theta
    return theta


def _with_any(chosen: Array) -> Any:
    """The features (a mask) of which some weight is chosen."""
    return chosen.any(axis=1)


def _candidates(objective: Objective, theta: Array, grad: Array) -> Array:
    """Return which weights may move, bool (d + 1, K): nonzero, with slopes above the penalty, or intercepts."""
    l1 = np.append(objective.penalty.l1_of(objective.n_features), 0.0)[:, np.newaxis]
    if objective.penalty.grouped(objective.K):
        active = np.linalg.norm(grad, axis=1, keepdims=True) > l1
        active = np.broadcast_to(active, theta.shape) | (theta != 0.0)
    else:
        active = np.abs(grad) > l1
        active |= theta != 0.0
    active[-1] = objective.fit_intercept
    return active


def l1_max(objective: Objective) -> float:
    """Return the smallest L1 penalty at which all penalised weights are zero.

    It is the largest entry of the gradient (for groups, the largest norm of a feature's gradient) divided by its
    penalty factor, at the point where penalised weights are zero and the others optimal. The objective's own penalties
    do not matter.
    """
    theta = objective.initial()
    factor = objective.penalty.factors
    factor = np.ones(objective.n_features) if factor is None else factor
    free = factor == 0
    if objective.fit_intercept:
        theta[-1] = loss_of(objective).log_odds()
    if free.all():
        return 0.0
    if free.any():
        alone = objective.over_features(free).with_penalty(Penalty())
        found = metric.solve(alone, alone.initial(), tol=0.0, max_iter=1000).theta  # to rounding
        theta[:-1][free], theta[-1] = found[:-1], found[-1]
    _, grad = objective.value_and_grad(theta)
    grad = grad[:-1][~free]  # at zero, penalties add nothing to it
    if objective.penalty.groups == "features":
        grad = np.linalg.norm(grad, axis=1, keepdims=True)
    return float((np.abs(grad) / factor[~free, np.newaxis]).max())


class _Part:
    """Coordinates of the model at a point, swept one by one, or in groups of the K weights of a feature.

    Attributes
    ----------
    pairs : ndarray of intp
        j K + k of each.
    weights, slopes, l1, l2 : ndarrays
        Of each coordinate.
    badness : float
        The largest entry of their subgradient of least norm.
    """

    def __init__(self, model: _Model, pairs: Array, together: bool, theta: Array, grad: Array) -> None:
        self._model, self._together = model, together
        self.pairs = pairs
        self._width = model.K if together else 1
        features = pairs // model.K
        self._classes = (pairs - features * model.K).astype(np.min_scalar_type(model.K))
        self.weights, self.slopes = theta.ravel().take(pairs), grad.ravel().take(pairs)
        self.l1, self.l2 = model.l1.take(features), model.l2.take(features)
        self._features = features
        self.badness = float(np.abs(self._least_subgradient()).max(initial=0.0))

    def _least_subgradient(self) -> Array:
        v, g, l1 = self.weights, self.slopes, self.l1
        if not self._together:
            return np.where(
                v == 0.0, np.abs(g) - l1, g + np.copysign(l1, v)
            )  # candidates at zero have |g| > l1
        v, g, l1 = (array.reshape(-1, self._width) for array in (v, g, l1))
        size, steepness = (np.linalg.norm(array, axis=1, keepdims=True) for array in (v, g))
        at_zero = g * (1.0 - l1 / np.where(steepness > 0, steepness, np.inf))
        return np.where(size == 0.0, at_zero, g + l1 * v / np.where(size > 0, size, 1.0))

    def penalty(self, weights: Array) -> float:
        if not self._together:
            return float(self.l1 @ np.abs(weights))
        return float(self.l1[:: self._width] @ np.linalg.norm(weights.reshape(-1, self._width), axis=1))

    def open(self, curvature: Curvature, quadratic: QuadraticModel, grad: Array) -> None:
        """Prepare for sweeps over the model with this curvature, which `quadratic` binds to the kernels.

        A violation counts by the decrease of the model that it allows, violation^2 / h, because columns differ in size.
        """
        model, width, columns = self._model, self._width, self._model.columns
        self._hessian = curvature
        h, m = self._curvature(quadratic)
        h = (2.0 if self._together else 1.0) * h + self.l2
        most = h.reshape(-1, width).max(axis=1)
        self._unit = np.where(most > 0, 1.0 / np.sqrt(np.where(most > 0, most, 1.0)), 0.0)
        self._share = columns.share.take(self._features[::width]) * (width / model.K)
        self._m, self._shift = m, m + columns.mean.take(self._features)
        self.table = table = np.empty(len(self.pairs), _COORDINATE)
        table["constant"] = self.slopes - self.l2 * self.weights
        if columns.centred:
            table["constant"] -= self._shift * grad[-1].take(self._classes)
        radius = model.radius.take(self.pairs)
        table["l2"], table["h"], table["v"], table["l1"] = self.l2, h, self.weights, self.l1
        table["low"], table["high"] = self.weights - radius, self.weights + radius
        table["violation"] = 0.0
        self._active = np.arange(len(most), dtype=np.intp)
        self._coordinates = kernels.Coordinates(quadratic, self.pairs, m, self._shift, table)
        self._scratch: Any = np.empty(2 * width) if self._together else None

    def _curvature(self, quadratic: QuadraticModel) -> tuple[Array, Array]:
        model, pairs, step = self._model, self.pairs, _PAIRS_OF_A_PIECE
        h, m = np.empty(len(pairs)), np.empty(len(pairs))

        def piece(i: int) -> None:
            some = slice(i * step, (i + 1) * step)
            quadratic.curvature(pairs[some], h[some], m[some], model.centre)

        parallel.run(piece, -(-len(pairs) // step), model.n_threads)
        return h, m

    def sweep(self, rng: np.random.Generator) -> float:
        """Minimise over each coordinate in turn; return the largest violation found."""
        active, model = self._active, self._model
        if len(active) == 0:
            return 0.0
        order = rng.permutation(active)
        if (
            model.K > 1 and self._width == 1
        ):  # class by class, so that a class's rows of P and A stay in cache
            order = order[np.argsort(self._classes.take(order), kind="stable")]
        share = float(self._share.take(active).sum())
        calls = 1 + int(share * model.entries / _ENTRIES_OF_A_CALL)
        step = -(-len(order) // calls)
        for first in range(0, len(order), step):
            stop = min(first + step, len(order))
            if self._together:
                self._coordinates.sweep_groups(order, first, stop, self._scratch)
            else:
                self._coordinates.sweep(order, first, stop)
        model.count(share)
        return max(float((self._violations()).take(active).max()), 0.0)

    def crawls(self, rate: float, rest: float) -> bool:
        """Tell whether forming the Hessian among the coordinates takes less time than the remaining sweeps.

        rate: the factor on violations by a sweep. rest: the factor that is still needed.
        """
        model = self._model
        sweeps = _SWEEPS if rate >= 1 else min(np.log(rest) / np.log(rate), _SWEEPS)
        entries = float(self._share.take(self._active).sum()) * model.entries
        return pays(model.columns, len(self._in_play()), sweeps * entries)

    def _in_play(self) -> Array:
        """Return the coordinates that have moved or may still move."""
        return np.union1d(self._active, np.flatnonzero(self.table["v"] != self.weights))

    def finish(self, rng: np.random.Generator) -> float:
        """Minimise over all coordinates in play by the Hessian among them; return the largest remaining violation."""
        model, some = self._model, self._in_play()
        table, weights, unit = self.table[some], self.weights[some], self._unit[some]
        before = table["v"].copy()
        with parallel.one_blas_thread:
            H = hessian(model.columns, self._hessian, self.pairs[some], self._m[some], model.n_threads)
            H[np.diag_indices(len(some))] += self.l2[some]
            slopes = table["constant"] + table["l2"] * weights + H @ (before - weights)
        worst, first_worst = np.inf, None
        for _ in range(_GRAM_SWEEPS):
            kernels.sweep_gram(H, slopes, table, rng.permutation(len(some)), 0, len(some))
            worst = max(float((table["violation"] * unit).max()), 0.0)
            first_worst = first_worst or worst
            if worst <= _GRAM_GOAL * first_worst:
                break
        self.table[some] = table
        np.subtract.at(model.shifted, self._classes[some], self._shift[some] * (table["v"] - before))
        model.count(float(self._share[some].sum()))
        return worst

    def _violations(self) -> Array:
        return self.table["violation"][:: self._width] * self._unit

    def leave_out(self, worst: float) -> None:
        """Leave out coordinates that are zero and likely to stay zero."""
        at_zero = ~self.table["v"].reshape(-1, self._width).any(axis=1)
        rests = at_zero & (self._violations() < -0.1 * worst)
        self._active = self._active[~rests[self._active]]


class _Step:
    """The step from theta to the minimum of the model, for each part's weights."""

    parts: list[tuple[_Part, Array]]
    fall: float

    def __init__(self, theta: Array, target: Array, parts: list[_Part]) -> None:
        self._theta, self._target = theta, target
        self.parts = [(part, target.ravel().take(part.pairs) - part.weights) for part in parts]
        self.fall = -sum(float(part.slopes @ step) for part, step in self.parts) - self.more_penalty(1.0)

    def at(self, t: float) -> Array:
        if t == 1.0:
            return self._target
        return self._theta + t * (self._target - self._theta)

    def more_penalty(self, t: float) -> float:
        """Return the increase of the penalty from theta to at(t)."""
        return sum(
            part.penalty(part.weights + t * step) - part.penalty(part.weights) for part, step in self.parts
        )

    def enters(self) -> bool:
        """Tell whether a weight that was zero is not zero after the step."""
        return any(bool(((part.weights == 0) & (step != 0)).any()) for part, step in self.parts)

    def moves(self) -> tuple[Array, Array]:
        """Return the pairs with a nonzero step, and their steps."""
        moving = [(part.pairs[step != 0.0], step[step != 0.0]) for part, step in self.parts]
        pairs, steps = (np.concatenate(arrays) for arrays in zip(*moving, strict=True))
        return pairs, steps


class _Model:
    """The quadratic model at a point, and its minimum."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.columns = columns = columns_of(objective)
        self.K, self.n_threads = objective.K, objective.n_threads
        d1, K = objective.shape
        self.l1 = np.append(objective.penalty.l1_of(d1 - 1), 0.0)
        self.l2 = np.append(objective.penalty.l2_of(d1 - 1), 0.0)
        self.radius = np.repeat(_RADIUS / np.append(columns.reach, 1.0), K).reshape(d1, K)
        self.centre = columns.centred and objective.fit_intercept
        if columns.centred:  # steps of centred weights change the intercept, which therefore has no radius
            self.radius[-1] = np.inf
        self._first_worst: float | None = None
        self._rate = 0.0  # of the sweeps of the last iteration, if they gave way to the Hessian
        self._accuracy = _ACCURACY if K > 1 or columns.centred else _ACCURACY_OF_KEPT_LOGITS
        self._grouped = objective.penalty.grouped(K)
        self._least_radius = (
            _LEAST_SHARE * self.radius[:, 0]
        )  # lets a weight move after many iterations at rest
        n = columns.swept.n
        self.entries = float(K * (n * (d1 - 1) if columns.centred else n / columns.share[-1]))
        self.A = np.empty((K, n), columns.dtype)
        self.s = np.empty(n, columns.dtype) if K > 1 else None
        self.shifted = np.empty(K)

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on: the radii, a measure of violations, and a rate."""
        return {"radius": self.radius, "first_worst": self._first_worst, "rate": self._rate}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the state of another model."""
        self.radius, self._first_worst, self._rate = state["radius"], state["first_worst"], state["rate"]

    def count(self, share: float) -> None:
        self._objective.count(share)

    def penalty(self, theta: Array) -> float:
        if self._grouped:
            return float(self.l1 @ np.linalg.norm(theta, axis=1))
        return float(self.l1 @ np.abs(theta).sum(axis=1))

    def parts(self, theta: Array, grad: Array) -> list[_Part]:
        """Return the candidates as parts: groups that move together, and single weights."""
        active = _candidates(self._objective, theta, grad)
        near = NEAR * self.l1[:-1, np.newaxis]
        self.columns.need(lambda: _with_any(active[:-1]), lambda: _with_any(np.abs(grad[:-1]) > near))
        parts = []
        if self._grouped:
            groups = active.any(axis=1) & (self.l1 > 0)
            together = np.flatnonzero(np.broadcast_to(groups[:, np.newaxis], theta.shape))
            parts.append(_Part(self, together, True, theta, grad))
            active[groups] = False
        parts.append(_Part(self, np.flatnonzero(active), False, theta, grad))
        return parts

    def minimise(
        self, theta: Array, grad: Array, parts: list[_Part], curvature: Curvature, rng: np.random.Generator
    ) -> tuple[_Step, bool]:
        """Return the step to the minimum of the model, and whether the sweeps came close to it."""
        self.A.fill(0)
        if self.s is not None:
            self.s.fill(0)
        self.shifted.fill(0)
        quadratic = kernels.QuadraticModel(self.columns.swept, *curvature, self.A, self.s, self.shifted)
        for part in parts:
            part.open(curvature, quadratic, grad)
        worst = first_worst = max(part.sweep(rng) for part in parts)
        self._first_worst = self._first_worst or worst or 1.0
        scale = min(1.0, 0.1 + worst / self._first_worst) * first_worst
        goal = self._accuracy * scale
        before = np.inf
        for i in range(_SWEEPS):
            if worst <= goal:
                break
            for part in parts:
                part.leave_out(worst)
            rate = max(worst / before, self._rate)
            if (i + 1 >= _GRAM_AFTER or self._rate > 0) and len(parts) == 1:
                if parts[0].crawls(rate, goal / worst):
                    worst, self._rate = parts[0].finish(rng), rate
                    break
                self._rate = 0.0
            before, worst = worst, max(part.sweep(rng) for part in parts)
        target = theta.copy()
        for part in parts:
            target.ravel()[part.pairs] = part.table["v"]
        if self.columns.centred:
            target[-1] += self.shifted
        return _Step(theta, target, parts), worst <= _FINISHED * scale

    def held(self, step: _Step) -> bool:
        """Tell whether some weight moved as far as its radius allows."""
        return any(
            (np.abs(moves) >= 0.999 * self.radius.take(part.pairs)).any() for part, moves in step.parts
        )

    def adapt(self, step: _Step, t: float) -> None:
        """Set each radius to twice the weight's step, or to half of the old radius if that is larger."""
        for part, moves in step.parts:
            least, radius = self._least_radius.take(part.pairs // self.K), self.radius.take(part.pairs)
            self.radius.ravel()[part.pairs] = np.maximum(
                np.maximum(2.0 * t * np.abs(moves), 0.5 * radius), least
            )


class _Inside:
    """Truncated Newton steps that do not change which weights are zero, or their signs."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._cheap = not objective.is_sparse or objective.cost <= SMALL
        self._problem: L1Problem | None = None

    def pays(self, iteration: int, crawls: bool) -> bool:
        """Tell whether such a step, which takes passes over the data, is worth it: passes are cheap, or sweeps slow."""
        return self._cheap or iteration >= _LONG or crawls

    def step(
        self, theta: Array, value: float, grad: Array, max_steps: int
    ) -> tuple[Array, float, Array] | None:
        """Return (theta, value, grad) with a lower value, or None."""
        objective = self._objective
        if self._problem is None:
            kind = GroupProblem if objective.penalty.grouped(objective.K) else L1Problem
            self._problem = kind(objective)
        problem = self._problem
        u, grad = problem.variables(theta), problem.pull_back(grad.copy())
        lower = newton_step(problem, u, value, grad, _SHIFT, least_accuracy=_CG_ACCURACY, max_steps=max_steps)
        if lower is None:
            return None
        u, value, grad = lower
        return problem.theta(u), value, problem.gradient(grad)


def _line_search(
    loss: RowsLoss | BinaryLoss, step: _Step, value: float, penalty: float, rounding: float
) -> tuple[float, float] | None:
    """Return the accepted t and the value there; None if no t was."""
    t, fall = 1.0, step.fall
    noise = rounding * abs(value)
    for _ in range(_HALVINGS):
        new_value = loss.along(step, t) + penalty + step.more_penalty(t)
        enough = value - _SUFFICIENT_DECREASE * t * fall
        if new_value <= enough + (noise if fall <= noise else 0.0):
            return t, new_value
        t *= 0.5
    return None
