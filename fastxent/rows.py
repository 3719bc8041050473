"""Sizes of rows, and CSR rows that name a column once: what solvers need beyond sums over rows."""

import numpy as np

from . import kernels

_PIECE = 1 << 23  # entries between two looks for Ctrl-C


def pieces(n, entries):
    """Ranges of n rows that have so many entries together, each some hundredths of a second of work at most."""
    step = max(1, n * _PIECE // max(1, entries))
    return [(first, min(first + step, n)) for first in range(0, n, step)]


def squared_norms(X):
    """|x_i|^2 of every row, float64. A CSR row that names a column twice must not come here."""
    out = np.empty(X.shape[0])
    rows = _bound(X)
    for first, stop in pieces(X.shape[0], X.size):
        rows.squared_norms(first, stop, out)
    return out


def without_duplicates(X):
    """X itself, or a copy in which entries of a CSR row that name one column are added up."""
    if isinstance(X, np.ndarray) or X.has_canonical_format:
        return X
    if _bound(X).has_duplicates(np.full(X.shape[1], -1, np.intp)):
        X = X.copy()
        X.sum_duplicates()
    return X


def _bound(X):
    return kernels.LinearSoftmax(
        X if isinstance(X, np.ndarray) else (X.data, X.indices, X.indptr, *X.shape), 1
    )
