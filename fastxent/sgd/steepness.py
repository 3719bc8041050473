"""How steep the mean loss of a minibatch is, which limits its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..typing import Array
    from .columns import Standard
    from .trainer import Data


_MOST_ROWS, _MOST_ENTRIES = 512, 2_000_000  # that `steepness` looks at
_POWER_STEPS = 6
_FLAT = 1e6  # beyond this, other limits on steps are lower


def steepness(
    data: Data, rows: Array, standard: Standard | None, weights: Callable[[Array], Array]
) -> tuple[float, float]:
    """Return a batch's largest curvature as two numbers. weights(columns): those of some columns, in the units of X.

    The first is a bound on the intercept's: the share of the most frequent class, and 1/2 at most, since p_k (1 - p_k)
    is about that where the mean of p_k is; a sigmoid has 1/4. The second is this bound times the rows' mean |x|^2 over
    the largest eigenvalue of the Hessian by the other weights, all in the columns' units. It is 1 if all rows are
    alike; the less they have in common, and the more certain they are, the larger it is.

    The eigenvalue is found by power iteration (LeCun, Simard, Pearlmutter 1993). Zero weights are equally steep for
    all classes; there it is raised to what it is once the mean of p is the share of the classes. No two BLAS
    libraries round alike, so two digits must do.
    """
    X, columns = _some(data, rows, standard)
    theta = weights(columns)
    K = theta.shape[1]
    P = _probabilities(X @ theta[:-1] + theta[-1])
    target = data.target[rows]
    mass = np.bincount(target) if target.ndim == 1 else target.sum(axis=0)
    share = 0.25 if K == 1 else max(1e-3, min(0.5, float(mass.max()) / len(rows)))
    X, offset = _standardised(X, columns, standard)
    square, curvature = _mean_square(X, offset), 0.0
    change = np.random.default_rng(0).normal(size=P.shape)  # of logits: the same in every storage
    for _ in range(1 + _POWER_STEPS if square > 0.0 else 0):
        V = (X.T @ change + np.outer(offset, change.sum(axis=0))) / X.shape[0]
        curvature = float(np.linalg.norm(V))
        V /= curvature or 1.0
        change = X @ V + offset @ V
        change = P * (change - (P * change).sum(axis=1, keepdims=True)) if K > 1 else P * (1.0 - P) * change
    if K > 1 and not theta.any():
        curvature *= K * share
    spread = min(_FLAT, share * square / curvature) if curvature > 0.0 else 1.0 if square == 0.0 else _FLAT
    return share, float(f"{spread:.2g}")


def _some(data: Data, rows: Array, standard: Standard | None) -> tuple[Any, Array]:
    """Return some of these rows, in float64, and the numbers of their columns."""
    if not data.is_sparse:
        rows = rows[: max(2, min(_MOST_ROWS, _MOST_ENTRIES // max(1, data.width)))]
        return data.X[rows].astype(np.float64), np.arange(data.width)
    rows = rows[:_MOST_ROWS]
    values, indices, indptr = data.X.data, data.X.indices, data.X.indptr
    places = np.concatenate([np.arange(indptr[i], indptr[i + 1]) for i in rows])
    shifted: Array = np.flatnonzero([] if standard is None else standard.shift)
    columns, found = np.unique(
        np.concatenate([indices[places], shifted]).astype(np.int64), return_inverse=True
    )
    ends = np.append(0, np.cumsum(indptr[rows + 1] - indptr[rows]))
    entries = values[places].astype(np.float64), found[: len(places)], ends
    return sp.csr_array(entries, (len(rows), len(columns))), columns


def _standardised(X: Any, columns: Array, standard: Standard | None) -> tuple[Any, Array]:
    """Return rows in the columns' units, as the sum of a matrix and of the same vector in each row, in a unit in which
    squares are numbers."""
    offset = np.zeros(len(columns))
    if standard is not None:
        shift, factor = standard.shift[columns], standard.factor[columns]
        X, offset = X * factor, -shift * factor
        if isinstance(X, np.ndarray):
            X, offset = X + offset, np.zeros(len(columns))
    largest = max(float(abs(X).max()) if min(X.shape) else 0.0, np.abs(offset).max(initial=0.0)) or 1.0
    return X / largest, offset / largest


def _mean_square(X: Any, offset: Array) -> float:
    """Return the mean of |x_i|^2."""
    entries = X.ravel() if isinstance(X, np.ndarray) else X.data
    both = 2.0 * float((X @ offset).sum()) if offset.any() else 0.0
    return (float(entries @ entries) + both) / X.shape[0] + float(offset @ offset)


def _probabilities(Z: Array) -> Array:
    """Return the sigmoid of one column of logits, or the softmax of several."""
    with np.errstate(over="ignore", invalid="ignore"):
        if Z.shape[1] == 1:
            return np.exp(-np.logaddexp(0.0, -Z))
        Z = np.exp(Z - Z.max(axis=1, keepdims=True))
        return Z / Z.sum(axis=1, keepdims=True)
