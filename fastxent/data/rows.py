"""The kernels' view of rows of X, and functions of single rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from .. import kernels, parallel
from ..blas import for_products
from .ranges import MIN_RANGE, Ranges, cost

if TYPE_CHECKING:
    from typing import Any

    from ..kernels import LinearSoftmax, RowFeatures
    from ..typing import Array, Table
    from .targets import Targets


# Ranges of rows have separate gradients, which are then added up: limits on their number and their bytes.
_MAX_GRADIENTS = 32
_GRADIENTS_MEMORY = 1 << 26
_FINDING_COLUMNS = 400  # bytes that a pass moves in the time that `occurring` takes for one nonzero


def bind(X: Table, K: int, targets: Targets | None = None, *, shared: bool = False) -> LinearSoftmax:
    """Return the kernels' view of X (ndarray or CSR), for K columns of logits, with targets if given.

    shared : bool
        Whether all threads work on the same block of rows.
    """
    rows = X if isinstance(X, np.ndarray) else (X.data, X.indices, X.indptr, *X.shape)
    return kernels.LinearSoftmax(rows, K, targets, shared)


def features_of(X: Table) -> RowFeatures:
    """Return the kernels' view of X (ndarray or CSR), without a model."""
    return kernels.RowFeatures(X if isinstance(X, np.ndarray) else (X.data, X.indices, X.indptr, *X.shape))


def ranges_of(view: LinearSoftmax, X: Table, n_threads: int | None, block: int | None = None) -> Ranges:
    """Return ranges of rows for work that needs no sums of the size of the weights.

    block : int or None
        Borders are multiples of it; None is the view's block.
    """
    total, block = cost(X, view.K), block or view.block
    count = min(max(1, 2 * total // MIN_RANGE), 64, -(-view.n // block))
    return _cut(view, X, int(count), block, n_threads)


def gradient_ranges(view: LinearSoftmax, X: Table, n_threads: int | None) -> Ranges:
    """Return ranges of rows with separate gradients, which are then added up in order."""
    total = cost(X, view.K)
    if total < 2 * MIN_RANGE:
        return _cut(view, X, 1, view.block, n_threads)
    size, itemsize = view.weights_size, X.dtype.itemsize
    count = min(
        total // MIN_RANGE,
        _MAX_GRADIENTS,
        max(_GRADIENTS_MEMORY, X.size * itemsize) // (size * itemsize),
        max(2, total // (24 * size)),  # adding up the gradients stays a small share of the time
        -(-view.n // view.block),
    )
    # A few ranges must divide evenly: with three, one of two threads is idle for half of the time.
    count = 1 << int(count).bit_length() - 1 if 1 < count < 8 else max(1, int(count))
    return _cut(view, X, count, view.block, n_threads)


def shares_gradient(view: LinearSoftmax, X: Table, ranges: Ranges) -> bool:
    """Tell whether all threads work on one gradient, each on its share of the classes (wide.py).

    ranges : Ranges
        Those of `gradient_ranges`: too few for the threads, because the gradients are large.
    """
    by_class = view.uses_theta or (not isinstance(X, np.ndarray) and view.K > 1)
    return by_class and len(ranges) < 4 and cost(X, view.K) >= 8 * MIN_RANGE


def _cut(view: LinearSoftmax, X: Table, count: int, block: int, n_threads: int | None) -> Ranges:
    """Return ranges of about equal cost for the products of a view."""
    ranges = Ranges.by_cost(X, count, block, n_threads, total=cost(X, view.K))
    ranges.within = for_products(view)
    return ranges


def pack(view: LinearSoftmax, theta: Array, dtype: np.dtype[Any]) -> Array:
    """Return theta (d + 1, K) in the layout of the kernels' view."""
    if view.uses_theta:
        return np.ascontiguousarray(theta, dtype)
    weights = parallel.zeros(view.weights_size, dtype)
    view.pack(theta, weights, 0, theta.shape[0])
    return weights


def occurring(X: Table, K: int, passes: int) -> tuple[Table, Array | None]:
    """Return CSR X without its empty columns, and the rows of theta that remain, the intercept's included.

    Return X itself and None unless few columns remain and it already saves time in the first use, which makes
    `passes` passes over theta.
    """
    n, d = X.shape
    if isinstance(X, np.ndarray) or d < 2 * X.nnz:
        return X, None
    if passes * d * K * X.dtype.itemsize < _FINDING_COLUMNS * X.nnz:
        return X, None
    named = np.zeros(X.nnz + 1, X.indices.dtype)  # column 0 always remains, so that X has a column
    named[1:] = X.indices
    named.sort()
    named = named[np.append(True, named[1:] != named[:-1])]
    place = np.empty(d, named.dtype)
    place[named] = np.arange(len(named))
    fewer = sp.csr_matrix((X.data, place.take(X.indices), X.indptr), shape=(n, len(named)))
    return fewer, np.append(named, d)


def squared_norms(X: Table, view: LinearSoftmax | None = None) -> Array:
    """Return |x_i|^2 of every row, float64 (n,). CSR rows must not have duplicate entries."""
    view = bind(X, 1) if view is None else view
    out = np.empty(X.shape[0])
    for some in Ranges.by_entries(X.shape[0], X.size):
        view.squared_norms(some.start, some.stop, out)
    return out


def without_duplicates(X: Table, view: LinearSoftmax | None = None) -> Table:
    """Return X itself, or a copy with duplicate entries of CSR rows added up."""
    if isinstance(X, np.ndarray) or X.has_canonical_format:
        return X
    view = bind(X, 1) if view is None else view
    if view.has_duplicates(np.full(X.shape[1], -1, np.intp)):
        X = X.copy()
        X.sum_duplicates()
    return X
