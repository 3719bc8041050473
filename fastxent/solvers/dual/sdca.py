"""Dual coordinate ascent over sparse rows, each visited in proportion to its share of the duality gap.

    S. Shalev-Shwartz, T. Zhang, "Stochastic dual coordinate ascent methods for regularized loss minimization",
    JMLR 14, 2013.
    H.-F. Yu, F.-L. Huang, C.-J. Lin, "Dual coordinate descent methods for logistic regression and maximum
    entropy models", Machine Learning 85, 2011.
    D. Csiba, Z. Qu, P. Richtarik, "Stochastic dual coordinate ascent with adaptive probabilities", ICML 2015.

With H the entropy, c_i = s_i times the sum of the row's target, and t_i that target divided by its sum,

    F(W, b) = max over alpha_i in the simplex of  (1/S) sum_i c_i (H(alpha_i) + (alpha_i - t_i) z_i) + (l2/2) |W|^2

whose minimum over W is at W = (1 / (l2 S)) sum_i c_i x_i (t_i - alpha_i)'. Each row stores its distribution alpha_i,
and every visit yields the row's share of the duality gap, c_i KL(alpha_i, softmax(z_i)).

    alpha_i = t_i + eta (f - t_i), W from alpha, b = log f,  f the class frequencies      ascent.py
    repeat
        rows = all, at first; then row i with probability 1.5 gap_i / mean gap, at least 1/2; shuffled
        for i in rows:  alpha_i <- a better distribution, all others fixed;  W and b follow   kernels/sdca.pxi,
                                                                                              sdca_binary.pxi
        b <- b + beta r / l2,   r = (1/S) sum_i c_i (t_i - alpha_i)

There is no step size: every visit increases the dual. The intercept has no penalty, which is the constraint r = 0 in
the dual. The method of multipliers satisfies it: b moves like the weight of an additional feature with the value
sqrt(beta) in all rows, and this weight's penalty is recentred after each epoch.

F - F* <= (1/S) sum_i c_i KL_i + (b* - b) r, and b* - b is about r divided by the frequencies. This estimate says when
to evaluate F. The ascent ends by a certificate: F minus the dual at a point with r = 0. This point is alpha_i tilted
by a factor for each class (one step of Newton's method, which lowers the dual little), and then
(1 - s) alpha_i + s q with the least share s of one distribution q that gives r = 0.

Large problems with more than two classes start in single precision. If tol is smaller, they change to double
precision when the gap comes near 1e-4 F.

Penalty factors are a change of variables: x_ij / sqrt(f_j) and sqrt(f_j) W_j give the same logits, with a plain
penalty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import metric
from ..result import STOPPED_BY_CALLER, Recorder, attainable, out_of_iterations
from .ascent import HOPEFUL, Ascent, BinaryAscent

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ...checkpoint import Session
    from ...objective import Objective
    from ...typing import Array
    from ..result import History, Result


_EPOCHS_BETWEEN_CHECKS = 8
_WEAK = 1e-7  # n l2 over the rows' mean square; at a hundredth of this, ascent ended above its starting point
_SLOW = 0.9  # if a pass leaves more of the gap than this share, `metric` is faster
_PATIENCE = 6.0  # passes over which the decrease is measured


def solve(
    objective: Objective,
    theta0: Array,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[..., Any] | None = None,
    random_state: int = 0,
    checkpoint: Session | None = None,
) -> Result:
    """Minimise a smooth objective with an L2 penalty over CSR rows.

    Parameters
    ----------
    objective : Objective
        Over a CSR matrix, with ``l2 > 0`` and ``l1 == 0``. If a feature has no penalty, or hardly any (see
        `is_weak`), ``metric`` solves the problem.
    theta0 : ndarray of shape (d + 1, K)
        Its probabilities are the first alpha, if the weights that follow from them have a lower objective than zero.
    tol : float
        Stop when F - F* <= tol F, by the duality gap.
    max_iter : int
        Maximum number of epochs. An epoch visits every row once, or only the rows that still matter.
    callback : callable or None
        ``callback(theta, history)`` whenever the objective is evaluated, at least every eighth epoch; return
        True to stop.
    random_state : int or numpy.random.Generator
        Order of the visits.
    checkpoint : fastxent.checkpoint.Session or None
        Where the run keeps its state, and goes on from.

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        If the objective is not of that kind.
    """
    penalty = objective.penalty
    if not objective.is_sparse or not penalty.l2 > 0 or penalty.l1 > 0:
        kind = "sparse" if objective.is_sparse else "dense"
        raise ValueError(
            f"solver 'sdca' needs a sparse X, an L2 penalty and no L1 penalty; here X is {kind}, l2 = "
            f"{penalty.l2:.3g} and l1 = {penalty.l1:.3g}. Use solver='auto'."
        )
    if is_weak(objective):
        return metric.solve(
            objective, theta0, tol=tol, max_iter=max_iter, callback=callback, checkpoint=checkpoint
        )
    tol = max(tol, attainable(objective))
    record = Recorder(objective, callback, "sdca", checkpoint)
    state = record.resumed()
    if state is not None and "rest" in state:
        return _hand_over(objective, theta0, record, tol, max_iter, callback, state)
    ascent = (BinaryAscent if objective.K == 1 else Ascent)(objective, theta0, random_state)
    theta, first, checked, gaps = ascent.start, 1, 0, []
    if state is not None and record.begun > 0:
        theta, first, checked, gaps = (state[name] for name in ("theta", "epoch", "checked", "gaps"))
        ascent.restore(state["ascent"])
        state = None  # it is as large as the ascent
    else:
        record.keep()
        if record(theta, ascent.value, ascent.grad_norm):
            return record.result(theta, False, STOPPED_BY_CALLER)
    for epoch in range(first, max_iter + 1):
        record.keep(theta=theta, epoch=epoch, checked=checked, gaps=gaps, ascent=ascent)
        ascent.run_epoch(tol)
        gap = ascent.gap()
        gaps.append((ascent.passes, gap))
        # Gaps of rows not visited lately are usually too large: it pays to evaluate before the sum is small enough.
        if (
            gap <= HOPEFUL * tol * ascent.value
            or epoch - checked >= _EPOCHS_BETWEEN_CHECKS
            or epoch == max_iter
        ):
            checked = epoch
            theta = ascent.evaluate(tol)
            stopped = record(theta, ascent.value, ascent.grad_norm)
            gap = ascent.certified_gap(tol)
            record.gap(gap)
            if stopped:
                return record.result(theta, False, STOPPED_BY_CALLER)
            if gap <= tol * ascent.value:
                reason = f"duality gap {gap:.3g} <= tol = {tol:.3g} times the objective"
                return record.result(theta, True, reason)
            if epoch < max_iter and _is_slow(gaps):
                return _hand_over(objective, theta, record, tol, max_iter, callback, {"epoch": epoch})
        ascent.anchor_intercept()
    return record.result(theta, False, out_of_iterations(max_iter))


def is_weak(objective: Objective) -> bool:
    """Tell whether some L2 penalty is so weak relative to the rows' squares that the ascent makes no progress."""
    data, n = objective.local.X.data, objective.n_rows
    square = float(np.einsum("i,i->", data, data, dtype=np.float64)) / n
    return not float(objective.penalty.l2_of(objective.n_features).min()) * n > _WEAK * square


def _is_slow(gaps: list[tuple[float, float]]) -> bool:
    """Tell whether a pass reduces the gap by less than a pass of `metric` would."""
    passes, gap = gaps[-1]
    before = [(p, g) for p, g in gaps if p <= passes - _PATIENCE]
    if not before:
        return False
    earlier_passes, earlier_gap = before[-1]
    return gap > earlier_gap * _SLOW ** (passes - earlier_passes)


def _hand_over(
    objective: Objective,
    theta: Array,
    record: Recorder,
    tol: float,
    max_iter: int,
    callback: Callable[..., Any] | None,
    state: dict[str, Any],
) -> Result:
    """Continue with ``metric``; the history, also in callbacks, covers both solvers.

    state: of a checkpoint after that; or the number of epochs alone.
    """
    history, epoch = record.history, state["epoch"]
    if "rest" not in state:
        history.predecessor, history.solver = history.solver, "metric"
        offsets = {name: history[name][-1] for name in ("epoch", "seconds", "passes")}
        state = {"epoch": epoch, "offsets": offsets, "earlier": len(history["epoch"]), "rest": None}
    state = {name: state[name] for name in ("epoch", "offsets", "earlier", "rest")}
    offsets, earlier = state["offsets"], state["earlier"]

    def go_on(theta: Array, rest: History) -> bool:
        if len(rest["epoch"]) == 1:  # the point where the ascent ended, already recorded
            return False
        for name, values in rest.items():
            history[name].append(offsets.get(name, 0) + values[-1])
        history["gap"][earlier:-1] = rest["gap"][1:-1]  # known by now
        return callback is not None and callback(theta, history)

    rest = metric.solve(
        objective,
        theta,
        tol=tol,
        max_iter=max_iter - epoch,
        callback=go_on,
        checkpoint=record.checkpoint_within(state),
    )
    history["gap"][earlier:] = rest.history["gap"][1:]
    rest.history, rest.n_iter = history, history["epoch"][-1]
    if rest.reason == out_of_iterations(max_iter - epoch):
        rest.reason = out_of_iterations(max_iter)
    return rest
