"""Texts of the warnings about a fit: why it did not reach an optimum, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..arrays import is_sparse, largest
from ..data.moments import column_moments, spread_of_rounding
from ..solvers.result import NO_DESCENT, out_of_iterations
from ..solvers.svrg import TOO_SHORT
from . import separation

if TYPE_CHECKING:
    from typing import Any

    from ..objective import Objective
    from ..solvers.result import History, Result
    from ..typing import Array, Table


_UNEVEN = 100.0  # ratio of the columns' sizes from which they slow solvers down
_FAR = 10.0  # a mean that is this number of deviations from zero does, too

# The first words of scikit-learn's own warnings, so that code that filters by them keeps working.
_OPENING = {
    "liblinear": "Liblinear failed to converge, increase the number of iterations.",
    "newton-cholesky": "Newton solver did not converge after {n_iter} iterations.",
    "sag": "The max_iter was reached which means the coef_ did not converge.",
    "saga": "The max_iter was reached which means the coef_ did not converge.",
}


def not_converged(result: Result, X: Table, *, solver: str, tol: float, max_iter: int) -> str:
    """Return the warning for a solver that stopped too early."""
    opening = _OPENING.get(solver, "{solver} failed to converge after {n_iter} iteration(s).")
    text = opening.format(solver=solver, n_iter=result.n_iter)
    text += (
        f" {_who_ran(result.history, solver)} stopped: {result.reason}. The objective is {result.value:.6g}, the "
        f"largest gradient entry {result.grad_norm:.3g} (tol={tol:.3g})."
    )
    known = [gap for gap in result.history["gap"] if np.isfinite(gap)]
    if known and result.value > 0:
        share = known[-1] / result.value
        text += f" The objective is estimated to be {known[-1]:.2g} above its minimum, {share:.2g} of it."
    if result.reason == NO_DESCENT:
        text += f" Its steps are{_lost_digits(X)} Increase tol."
    elif result.reason == TOO_SHORT and (far := _far_column(X, _FAR)):
        text += f" {far.capitalize()}, and scale it."
    if result.reason == out_of_iterations(max_iter):
        text += f" Increase the number of iterations (max_iter={max_iter}) or tol."
    return text + _uneven_columns(X)


def _who_ran(history: History, solver: str) -> str:
    """Return the subject of a sentence: the solver that ran, by name if it is not the one that was asked for."""
    if history.predecessor is not None:
        return f"The solver that ran at the end, {history.solver} (it took over from {history.predecessor}),"
    return "It" if history.solver == solver else f"The solver that ran, {history.solver},"


def not_stored(X: Table, value: Any, raised: Any) -> Any:
    """Return the warning for an optimum that moves when its parameters are rounded to the dtype of X."""
    return (
        f"The optimum was found, with objective {value:.6g}, but coef_ and intercept_ cannot represent it: at their "
        f"values, the objective is {raised:.2g} above it, {raised / value:.2g} of it. The difference is"
        + _lost_digits(X)
    )


def _lost_digits(X: Table) -> Any:
    """Return the end of a sentence: what is lost in the rounding of X, and what to do."""
    text = f" lost in the rounding of {X.dtype.name}"
    far = _far_column(X, 1e-2 / np.sqrt(np.finfo(X.dtype).eps))
    if far:
        text += f"; {far}"
    if X.dtype == np.float32:
        text += "; pass X as float64"
    return text + "."


def _far_column(X: Table, deviations: Any) -> Any:
    """Return a hint on the column whose mean is farthest from zero, if by `deviations` of its deviations or more."""
    found = column_moments(X)
    mean, deviation = found.mean, found.deviation
    spread = np.where(deviation <= spread_of_rounding(mean, X.dtype), np.inf, deviation)
    distance = np.abs(mean) / spread
    worst = int(np.argmax(distance))
    if distance[worst] < deviations:
        return ""
    return f"column {worst} varies by {deviation[worst]:.3g} around {mean[worst]:.3g}: subtract its mean"


def _uneven_columns(X: Table) -> str:
    """Return a sentence if the columns of X differ much in size, else an empty string."""
    if is_sparse(X):
        if X.data.size == 0 or 0 < X.data.max() <= _UNEVEN * X.data.min():  # then no columns can differ more
            return ""
        stored = np.abs(X.data)
        size = np.zeros(X.shape[1])
        np.maximum.at(size, X.indices, stored)
    else:
        size = np.maximum(X.max(axis=0), -X.min(axis=0)).astype(np.float64)
    used = np.flatnonzero(size)
    if used.size == 0:
        return ""
    large, small = used[np.argmax(size[used])], used[np.argmin(size[used])]
    if size[large] <= _UNEVEN * size[small]:
        return ""
    return (
        f" The columns of X differ in size by a factor of {size[large] / size[small]:.2g} (the largest entry "
        f"of column {large} is {size[large]:.3g}, that of column {small} is {size[small]:.3g}): scale the "
        "data, for instance by sklearn.preprocessing.StandardScaler or MaxAbsScaler."
    )


def unbounded(result: Result, objective: Objective, classes: Array, tol: float) -> str | None:
    """Return the warning if the loss decreases forever along some direction, else None.

    The objective has labels and no penalty.
    """
    if objective.is_certain(result.theta):
        return separable(result.theta)
    if objective.local is None:
        return None  # what is partly separable would take single rows
    part = objective.local
    if len(classes_without_mass(objective)):
        return None  # there is a separate warning about these classes
    gap = max(result.history.latest()["gap"], tol * result.value)
    found = separation.direction(
        result.theta,
        part.X,
        part.targets.target,
        objective.n_classes,
        part.targets.masses / objective.total_weight,
        gap if np.isfinite(gap) else result.value,
        objective.fit_intercept,
    )
    return None if found is None else partly_separable(found, classes)


def classes_without_mass(objective: Objective) -> Array | list[Any]:
    """Return the codes of classes without rows of positive weight, whose intercepts therefore have no optimum."""
    free = objective.fit_intercept or objective.penalty.is_zero
    return np.flatnonzero(objective.local.targets.class_masses == 0) if free else []


def separable(theta: Array) -> str:
    """Return the warning for separable classes without a penalty."""
    return (
        "The classes are separable: a linear rule separates the training rows without error, so without a "
        "penalty (C=inf) the loss has no minimum and decreases forever while the coefficients grow. The fit "
        f"stopped at a largest coefficient of {np.abs(theta[:-1]).max():.3g}; its probabilities are "
        "over-confident. Use a finite C."
    )


def partly_separable(found: separation.Separation, classes: Array) -> str:
    """Return the warning for quasi-complete separation without a penalty; `found` is a Separation."""
    which = f"{found.n_rows} training rows from another class"
    if found.classes:
        names = ", ".join(repr(plain_label(classes[k])) for k in found.classes)
        kind = "class" if len(found.classes) == 1 else "each of classes"
        which = f"all training rows of {kind} {names} from those of other classes"
    return (
        f"The classes are partly separable (quasi-complete separation): a linear rule separates {which} without "
        "error, so without a penalty (C=inf) some coefficients have no finite optimum and grow with every iteration. "
        "The probabilities of these rows are over-confident. Use a finite C."
    )


def without_mass(missing: Any, classes: Array) -> str:
    """Return the warning for classes without rows of positive weight."""
    names = ", ".join(repr(plain_label(classes[k])) for k in missing)
    which = f"Class {names} has" if len(missing) == 1 else f"Classes {names} have"
    return (
        f"{which} no rows of positive weight. Without rows, the best probability of a class is zero, and its intercept "
        "has no finite optimum; its value depends on tol. Remove the class, or add rows of it."
    )


def plain_label(label: Any) -> Any:
    """Return the label as a Python object, whose repr does not show a NumPy type."""
    return label.item() if isinstance(label, np.generic) else label


def unusable_scale(X: Table) -> str | None:
    """Return the message for features too large or too small for double precision, else None."""
    extreme = largest(X.data if is_sparse(X) else X)
    if extreme == 0.0 or 1e-100 <= extreme <= 1e100:
        return None
    return (
        f"The largest entry of X is {extreme:.3g} in absolute value, and products of such numbers are outside the "
        "range of double precision. Scale the features, for instance by sklearn.preprocessing.MaxAbsScaler."
    )
