"""Why a fit has no optimum to show, in words that say what to do about it."""

import numpy as np
import scipy.sparse as sp

from .. import validation
from ..data.moments import column_moments, spread_of_rounding
from ..data.targets import Targets
from ..objective import Objective
from ..solvers.result import NO_DESCENT, out_of_iterations
from ..solvers.svrg import TOO_SHORT

_UNEVEN, _FAR = 100.0, 10.0

# How scikit-learn begins its own warning, where that differs: code that filters by these words keeps working.
_OPENING = {
    "liblinear": "Liblinear failed to converge, increase the number of iterations.",
    "newton-cholesky": "Newton solver did not converge after {n_iter} iterations.",
    "sag": "The max_iter was reached which means the coef_ did not converge.",
    "saga": "The max_iter was reached which means the coef_ did not converge.",
}


def not_converged(result, X, *, solver, tol, max_iter):
    """The text of the warning for a solver that stopped too early."""
    opening = _OPENING.get(solver, "{solver} failed to converge after {n_iter} iteration(s).")
    text = opening.format(solver=solver, n_iter=result.n_iter)
    text += (
        f" {_who_ran(result.history, solver)} stopped: {result.reason}. The objective is {result.value:.6g}, the "
        f"largest gradient entry {result.grad_norm:.3g} (tol={tol:.3g})."
    )
    known = [gap for gap in result.history["gap"] if np.isfinite(gap)]
    if known and result.value > 0:
        share = known[-1] / result.value
        text += f" The objective is thought to lie {known[-1]:.2g} above its minimum, {share:.2g} of it."
    if result.reason == NO_DESCENT:
        text += f" Its steps are{_lost_digits(X)} Increase tol."
    elif result.reason == TOO_SHORT and (far := _far_column(X, _FAR)):
        text += f" {far.capitalize()}, and scale it."
    if result.reason == out_of_iterations(max_iter):
        text += f" Increase the number of iterations (max_iter={max_iter}) or tol."
    return text + _uneven_columns(X)


def _who_ran(history, solver):
    """The subject of a sentence: the solver that ran, by name if that is not the one its user gave."""
    if history.predecessor is not None:
        return f"The solver that ran at the end, {history.solver} (it took over from {history.predecessor}),"
    return "It" if history.solver == solver else f"The solver that ran, {history.solver},"


def not_stored(X, value, raised):
    """The text of the warning where the optimum was found, but its parameters in the dtype of X are another point."""
    return (
        f"The optimum was found, with objective {value:.6g}, but coef_ and intercept_ cannot hold it: at them, the "
        f"objective lies {raised:.2g} above it, {raised / value:.2g} of it. What is missing is"
        + _lost_digits(X)
    )


def _lost_digits(X):
    """The end of a sentence, on what the precision of X cannot resolve."""
    text = f" lost in the rounding of {X.dtype.name}"
    far = _far_column(X, 1e-2 / np.sqrt(np.finfo(X.dtype).eps))
    if far:
        text += f"; {far}"
    if X.dtype == np.float32:
        text += "; pass X as float64"
    return text + "."


def _far_column(X, deviations):
    """What to say of the column that is farthest from zero, if it is so many of its deviations or more."""
    found = column_moments(X)
    mean, deviation = found.mean, found.deviation
    spread = np.where(deviation <= spread_of_rounding(mean, X.dtype), np.inf, deviation)
    distance = np.abs(mean) / spread
    worst = int(np.argmax(distance))
    if distance[worst] < deviations:
        return ""
    return f"column {worst} varies by {deviation[worst]:.3g} around {mean[worst]:.3g}: subtract its mean"


def _uneven_columns(X):
    """A sentence if the columns of X differ much in size."""
    if sp.issparse(X):
        if X.data.size == 0 or 0 < X.data.max() <= _UNEVEN * X.data.min():  # then no columns can
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


def is_separated(theta, X, codes, n_classes, **how):
    """Whether ``theta`` gives every row its own label with a probability above one half.

    A loss below log 2 is just that. Then larger multiples of theta have ever smaller losses: without a
    penalty there is no minimum.
    """
    plain = Objective.over(X, Targets(codes, n_classes), theta.shape[1], **how)
    return bool((plain.row_losses(theta) < np.log(2.0)).all())


def separable(theta):
    """The text of the warning for separable classes without a penalty."""
    return (
        "The classes are separable: a linear rule tells the training rows apart without error, so without a "
        "penalty (C=inf) the loss has no minimum and falls for ever while the coefficients grow. The fit "
        f"stopped at a largest coefficient of {np.abs(theta[:-1]).max():.3g}; its probabilities are "
        "over-confident. Use a finite C."
    )


def unusable_scale(X):
    """What to say about features too large or too small for arithmetic in double precision; else None."""
    largest = validation.largest(X.data if sp.issparse(X) else X)
    if largest == 0.0 or 1e-100 <= largest <= 1e100:
        return None
    return (
        f"The largest entry of X is {largest:.3g} in absolute value, and products of such numbers leave the "
        "range of double precision. Scale the features, for instance by sklearn.preprocessing.MaxAbsScaler."
    )
