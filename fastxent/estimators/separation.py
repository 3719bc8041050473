"""Whether the loss falls for ever along some direction: without a penalty it then has no minimum.

    A. Albert, J. A. Anderson, "On the existence of maximum likelihood estimates in logistic regression models",
    Biometrika 71, 1984.
    K. Konis, "Linear programming algorithms for detecting separated data in binary logistic regression models", PhD
    thesis, University of Oxford, 2007.

With v_i = x_i'V + b the logits' change along (V, b), y a class that row i has, and k one that it has not, the loss does
not rise along the whole way if v_iy >= v_ik for all pairs (i, k), and falls if one of them is greater: the classes are
separable (all pairs), or quasi-completely separable (some). Pairs that a fit has left uncertain cannot be told apart:
what p_ik brings is at most what F is above its infimum. So V lies in the null space of these pairs, which is empty
as a rule; where it is not, a linear programme has the last word.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from ..data.moments import column_moments, spread_of_rounding
from ..prediction import predict

# A second of work on one core, about: rows and unknowns, and the entries of the linear programme.
_MOST_UNKNOWNS, _MOST_ENTRIES, _MOST_OF_PROGRAMME = 1000, 20_000_000, 1_000_000
_NULL = 1e-10  # of the largest eigenvalue
_ABOVE_ROUNDING = 1e-7  # of the largest change of a logit


@dataclass
class Separation:
    """Rows that the direction makes certain.

    Attributes
    ----------
    n_rows : int
    classes : list of int
        Codes of the classes whose rows are all among them.
    """

    n_rows: int
    classes: list


def direction(theta, X, codes, n_classes, masses, gap, fit_intercept=True):
    """Return the Separation of the rows, or None: there is none, or the problem is too large to look for one.

    Parameters
    ----------
    theta : ndarray of shape (d + 1, K)
        Where the fit ended; K = 1 is a binary model.
    X : ndarray or CSR matrix of shape (n, d)
    codes : ndarray of shape (n,)
    n_classes : int
    masses : ndarray of shape (n,)
        The rows' shares of the weights.
    gap : float
        What F is above its infimum there, at most.
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
    # A row is certain in the end if it gains on every other class.
    gains = np.zeros(other.shape, bool)
    gains[rows, classes] = gain > _ABOVE_ROUNDING * gain.max()
    certain = (gains | ~other).all(axis=1)
    whole = [k for k in range(n_classes) if (codes == k).any() and certain[codes == k].all()]
    return Separation(int(gains.any(axis=1).sum()), whole)


def _columns(X, fit_intercept):
    """The columns, centred and scaled, those without spread zero, and the intercept's."""
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


def _curvature(A, codes, uncertain, n_classes):
    """sum over uncertain pairs (i, k) of  a_i a_i' (x) (e_y - e_k)(e_y - e_k)',  and what all classes share."""
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


def _null_space(H):
    values, vectors = np.linalg.eigh(H)
    return vectors[:, values <= _NULL * values[-1]]
