"""Whether the loss decreases forever along some direction: without a penalty it then has no minimum.

    A. Albert, J. A. Anderson, "On the existence of maximum likelihood estimates in logistic regression models",
    Biometrika 71, 1984.
    K. Konis, "Linear programming algorithms for detecting separated data in binary logistic regression models", PhD
    thesis, University of Oxford, 2007.

With v_i = x_i'V + b the change of the logits along (V, b), y the class of row i, and k another class, the loss never
increases along (V, b) if v_iy >= v_ik for all pairs (i, k), and it decreases if some of them are greater. The classes
are then separable (all pairs) or quasi-completely separable (some). If a direction separates a pair, p_ik times the
row's mass is at most F minus its infimum. For all other pairs v_iy = v_ik, so V lies in the null space of these pairs,
which is usually empty. If it is not, a linear programme decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linprog

from ..data.moments import column_moments, spread_of_rounding
from ..prediction import predict

if TYPE_CHECKING:
    from typing import Any

    from ..typing import Array, Table


# Limits that keep the work to about a second on one core: unknowns, entries of rows, entries of the linear programme.
_MOST_UNKNOWNS, _MOST_ENTRIES, _MOST_OF_PROGRAMME = 1000, 20_000_000, 1_000_000
_NULL = 1e-10  # relative to the largest eigenvalue; smaller ones count as zero
_ABOVE_ROUNDING = 1e-7  # relative to the largest change of a logit; smaller ones may be rounding


@dataclass
class Separation:
    """Rows that the direction makes certain.

    Attributes
    ----------
    n_rows : int
    classes : list of int
        Codes of the classes of which all rows become certain.
    """

    n_rows: int
    classes: list[int]


def direction(
    theta: Array,
    X: Table,
    codes: Array,
    n_classes: int,
    masses: Array,
    gap: float,
    fit_intercept: bool = True,
) -> Any:
    """Return the Separation of the rows; None if there is none, or if the problem is too large.

    Parameters
    ----------
    theta : ndarray of shape (d + 1, K)
        The end of the fit; K = 1 is a binary model.
    X : ndarray or CSR matrix of shape (n, d)
    codes : ndarray of shape (n,)
    n_classes : int
    masses : ndarray of shape (n,)
        The rows' shares of the weights.
    gap : float
        An upper bound on F minus its infimum there.
    fit_intercept : bool
    """
    n, d = X.shape
    unknowns = (d + 1) * n_classes
    if unknowns > _MOST_UNKNOWNS or n * max(d + 1, n_classes) > _MOST_ENTRIES:
        return None
    present = masses > 0
    A, codes, masses = _columns(X, fit_intercept)[present], codes[present], masses[present]
    P = predict(X, theta.astype(X.dtype), "proba")[present].astype(np.float64)
    other = codes[:, np.newaxis] != np.arange(n_classes)
    uncertain = other & (P * masses[:, np.newaxis] > gap)
    free = _null_space(_curvature(A, codes, uncertain, n_classes))
    rows, classes = np.nonzero(other & ~uncertain)
    if free.shape[1] == 0 or len(rows) * free.shape[1] > _MOST_OF_PROGRAMME:
        return None
    changes = np.einsum("nj,jkr->nkr", A, free.reshape(d + 1, n_classes, -1))
    margins = changes[rows, codes[rows]] - changes[rows, classes]
    largest = np.abs(margins).max(initial=0.0)
    if not largest > _ABOVE_ROUNDING * np.abs(A).max(initial=0.0):
        return None
    margins /= largest
    found = linprog(-margins.mean(axis=0), A_ub=-margins, b_ub=np.zeros(len(margins)), bounds=(-1, 1))
    if found.x is None:
        return None
    gain = margins @ found.x
    if not (gain.max() > _ABOVE_ROUNDING and gain.min() >= -_ABOVE_ROUNDING * gain.max()):
        return None
    # A row becomes certain if its class gains on every other class.
    gains = np.zeros(other.shape, bool)
    gains[rows, classes] = gain > _ABOVE_ROUNDING * gain.max()
    certain = (gains | ~other).all(axis=1)
    whole = [k for k in range(n_classes) if (codes == k).any() and certain[codes == k].all()]
    return Separation(int(gains.any(axis=1).sum()), whole)


def _columns(X: Table, fit_intercept: bool) -> Array:
    """Return the columns, centred and scaled (zero without spread), and the intercept's: (n, d + 1)."""
    moments = column_moments(X)
    mean, deviation = moments.mean, moments.deviation
    if not fit_intercept:
        mean, deviation = np.zeros_like(mean), np.hypot(mean, deviation)
    flat = deviation <= spread_of_rounding(mean, X.dtype)
    A = np.empty((X.shape[0], X.shape[1] + 1))
    A[:, :-1] = X if isinstance(X, np.ndarray) else X.toarray()
    A[:, -1] = float(fit_intercept)
    A[:, :-1] -= mean
    A[:, :-1] *= np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, deviation))
    return A


def _curvature(A: Array, codes: Array, uncertain: Array, n_classes: int) -> Array:
    """Return the sum over uncertain pairs (i, k) of  a_i a_i' (x) (e_y - e_k)(e_y - e_k)',  plus a matrix that excludes
    directions in which all classes are equal."""
    width = A.shape[1]
    H = np.zeros((width, n_classes, width, n_classes))
    for y in range(n_classes):
        of_class = codes == y
        for k in range(n_classes):
            some = A[of_class & uncertain[:, k]]
            if len(some):
                C = some.T @ some
                H[:, y, :, y] += C
                H[:, k, :, k] += C
                H[:, y, :, k] -= C
                H[:, k, :, y] -= C
    H = H.reshape(width * n_classes, -1)
    size = max(np.trace(H) / len(H), 1.0)
    shared = np.kron(np.eye(width), np.full((n_classes, n_classes), size / n_classes))
    return H + shared


def _null_space(H: Array) -> Array:
    values, vectors = np.linalg.eigh(H)
    return vectors[:, values <= _NULL * values[-1]]
