"""Whether a training that has stopped has also converged, and the warning if it has not.

A loss that no longer decreases is not always an optimum: steps may be so long that it oscillates, or far too short for
some column. So a training counts as converged only if it passes some cheap checks:

- its loss did not rise;
- it is below that of the best constant prediction, the frequencies of the classes (without an intercept: none at all);
- the weights of no single column could lower it much. With c the column around its mean, and g_k the slope of the
  objective by its weights (the intercept making up for the mean), a step along them lowers the objective by at least
  sum_k g_k^2 / (2 (h mean(c^2) + l2)), because the loss of a row has curvature at most h = 1/2 (two classes: 1/4);
- nor does one such step of all columns at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..objective import Objective
    from ..sgd.options import Options
    from ..typing import Array


_RISE = 0.1  # share of the gain over the start, or over no model; a larger rise is not noise
_SLACK = 0.01  # share of its first loss by which a training may end above it
_STEP = 0.1  # share of the best constant prediction's loss; if a step could lower the loss by it, little was learned
_LEFT = 0.05  # share of the loss; if one column could lower the loss by it, it is not near its minimum
_BLOCK = 1 << 20  # weights checked at a time

_ADVICE = (
    "Scale the features (sklearn.preprocessing.StandardScaler), choose another eta0 or leave it None, or train longer "
    "by a smaller tol."
)


def chance_loss(
    target: Array, n_classes: int, row_weight: Array | None = None, fit_intercept: bool = True
) -> float:
    """Return the least loss of a prediction that is the same for all rows."""
    if target.ndim == 1:
        mass = np.bincount(target, row_weight, n_classes).astype(np.float64)
    else:
        mass = target.sum(axis=0, dtype=np.float64) if row_weight is None else row_weight @ target
    return chance_of(mass, fit_intercept)


def chance_of(mass: Array, fit_intercept: bool = True) -> float:
    """The same, from what the classes weigh."""
    if not fit_intercept:
        return float(np.log(len(mass)))
    share = mass[mass > 0] / mass.sum()
    return float(-(share * np.log(share)).sum())


def of_chance(what: str, loss: float, chance: float) -> str:
    """Return the text about a loss that is not below that of the best constant prediction."""
    return (
        f"{what} is {loss:.6g}, not below {chance:.6g}, the loss of the same prediction for every row: steps are too "
        f"long or too short, the penalty is too strong, or the features have no information. {_ADVICE}"
    )


class Verdict:
    """The checks of a training's convergence.

    Parameters
    ----------
    objective : callable
        Returns the mean loss of the training rows, an Objective; called once training has stopped.
    chance : float
        The loss of constant predictions on the training rows.
    options : fastxent.sgd.options.Options
    names : ndarray or None
        Names of the columns.
    held_out : float or None
        The loss of constant predictions on held-out rows, if their loss decides.
    """

    def __init__(
        self,
        objective: Callable[[], Objective],
        chance: float,
        options: Options,
        tol: float | None,
        names: Array | None = None,
        held_out: Any = None,
    ) -> None:
        self._objective = objective
        self._chance = chance
        self._options = options
        self._tol: Any = tol
        self._names = names
        self._held_out = held_out

    def objection(self, history: dict[str, list[float]], theta: Array) -> str | None:
        """Return the objection, a sentence or two, or None. history: of a Watch; theta: the final weights."""
        losses = history["loss"]
        first, last, least = losses[0], losses[-1], min(losses)
        gained = max(first, self._chance) - least
        if last - self._tol > min(first + _SLACK * first, least + _RISE * gained):
            return (
                f"The loss rose: it was {least:.6g} in epoch {losses.index(least) + 1} and is {last:.6g} in the last "
                f"one, at a learning rate of {history['learning_rate'][-1]:.3g}. Lower eta0, or leave it None; scale "
                "the features."
            )
        if last >= self._chance:
            return of_chance("The loss", last, self._chance)
        theta = theta.astype(np.float64)
        objective, loss, gradient = self._measure(theta)
        if loss >= self._chance:
            return of_chance("The loss of the weights", loss, self._chance)
        if self._held_out is not None:
            least = min(history["val_loss"])
            return (
                of_chance("The validation loss", least, self._held_out) if least >= self._held_out else None
            )
        if self._options.optimizer == "adamw" and (self._options.l1 or self._options.l2):
            return None  # its balance of loss and penalty is not that of F
        return self._of_columns(theta, objective, loss, gradient)

    def _measure(self, theta: Array) -> tuple[Objective, float, Array]:
        objective = self._objective()
        return objective, *objective.value_and_grad(theta)

    def _fall(self, theta: Array, step: Array, slope: float, objective: Objective, loss: float) -> float:
        """Return by how much a step lowers the objective, if its length is chosen by the curvature."""
        l1, l2 = self._options.l1, self._options.l2

        def penalty(W: Array) -> float:
            return 0.5 * l2 * float(np.sum(W * W)) + l1 * float(np.abs(W).sum())

        bend = float(np.sum(step * objective.hessp(theta, step))) + l2 * float(np.sum(step[:-1] ** 2))
        if not bend > 0.0:
            return 0.0
        there = theta + slope / bend * step
        return loss + penalty(theta[:-1]) - objective.value(there) - penalty(there[:-1])

    def _of_columns(self, theta: Array, objective: Objective, loss: float, gradient: Array) -> Any:
        options, binary = self._options, theta.shape[1] == 1
        moments = objective.column_moments()
        mean, deviation = moments.mean, moments.deviation
        square = deviation**2
        if not options.fit_intercept:
            mean, square = np.zeros_like(mean), square + mean**2
        curvature = (0.25 if binary else 0.5) * square + options.l2
        gain, step = np.zeros(len(mean)), np.zeros_like(theta)
        rows = max(1, _BLOCK // theta.shape[1])
        for j in range(0, len(mean), rows):
            some = slice(j, min(j + rows, len(mean)))
            W = theta[some]
            slope = gradient[some] - mean[some, np.newaxis] * gradient[-1] + options.l2 * W
            at_zero = np.sign(slope) * np.maximum(np.abs(slope) - options.l1, 0.0)
            slope = np.where(W == 0.0, at_zero, slope + options.l1 * np.sign(W))
            with np.errstate(divide="ignore"):
                inverse = np.where(curvature[some] > 0, 1.0 / curvature[some], 0.0)
            gain[some] = 0.5 * (slope**2).sum(axis=1) * inverse
            step[some] = -slope * inverse[:, np.newaxis]
        if options.fit_intercept:
            step[-1] = -mean @ step[:-1]
        j = int(np.argmax(gain))
        if gain[j] > max(_LEFT * loss, 10.0 * self._tol):
            name = f" ({self._names[j]!r})" if self._names is not None else ""
            return (
                f"The loss is {loss:.6g} and does not decrease any more, but the weights of column {j}{name} alone "
                f"could lower it by {gain[j]:.2g} or more. That column is {mean[j]:.3g} +- {deviation[j]:.3g}: compare "
                f"its size with the other columns. {_ADVICE}"
            )
        fall = self._fall(theta, step, 2.0 * gain.sum(), objective, loss)
        if fall > max(_STEP * self._chance, 10.0 * self._tol):
            return (
                f"The loss is {loss:.6g}, but a single step of all columns, each in its own unit, lowers it by "
                f"{fall:.2g}. {_ADVICE}"
            )
        return None
