"""Rows of X as the kernels see them, and functions of single rows."""

import numpy as np
import scipy.sparse as sp

from .. import kernels, parallel
from ..blas import for_products
from .ranges import MIN_RANGE, Ranges, cost

# Gradients of ranges of rows are summed separately and then added up: at most this number of them, and bytes.
_MAX_GRADIENTS = 32
_GRADIENTS_MEMORY = 1 << 26
_FINDING_COLUMNS = 400  # bytes that a pass moves in the time of finding the column of one nonzero


def bind(X, K, targets=None, *, shared=False):
    """Return the kernels' view of X (ndarray or CSR), with K columns of logits, and perhaps targets.

    shared : bool
        Whether all threads will work on one block of rows at a time.
    """
    rows = X if isinstance(X, np.ndarray) else (X.data, X.indices, X.indptr, *X.shape)
    return kernels.LinearSoftmax(rows, K, targets, shared)


def ranges_of(view, X, n_threads, block=None):
    """Return ranges of rows for work that sums nothing as large as the weights.

    block : int or None
        What borders are multiples of; None is the view's block.
    """
    total, block = cost(X, view.K), block or view.block
    count = min(max(1, 2 * total // MIN_RANGE), 64, -(-view.n // block))
    return _cut(view, X, int(count), block, n_threads)


def gradient_ranges(view, X, n_threads):
    """Return ranges of rows whose gradients are summed separately, to be added up in order."""
    total = cost(X, view.K)
    if total < 2 * MIN_RANGE:
        return _cut(view, X, 1, view.block, n_threads)
    size, itemsize = view.weights_size, X.dtype.itemsize
    count = min(
        total // MIN_RANGE,
        _MAX_GRADIENTS,
        max(_GRADIENTS_MEMORY, X.size * itemsize) // (size * itemsize),
        max(2, total // (24 * size)),  # adding up the gradients stays a small share
        -(-view.n // view.block),
    )
    # A few ranges must divide evenly: with three, one of two threads is idle for half of the time.
    count = 1 << int(count).bit_length() - 1 if 1 < count < 8 else max(1, int(count))
    return _cut(view, X, count, view.block, n_threads)


def _cut(view, X, count, block, n_threads):
    """Return ranges of about equal cost for the products of a view."""
    ranges = Ranges.by_cost(X, count, block, n_threads, total=cost(X, view.K))
    ranges.within = for_products(view)
    return ranges


def pack(view, theta, dtype):
    """Return theta (d + 1, K) in the layout of the kernels' view."""
    if view.uses_theta:
        return np.ascontiguousarray(theta, dtype)
    weights = parallel.zeros(view.weights_size, dtype)
    view.pack(theta, weights, 0, theta.shape[0])
    return weights


def occurring(X, K, passes):
    """Return CSR X without its empty columns, and the rows of theta that are left: the others', and the intercept's.

    Only if those are few, and if it saves time in the first use, which makes this many passes over theta. Otherwise X
    itself, and None.
    """
    n, d = X.shape
    if isinstance(X, np.ndarray) or d < 2 * X.nnz:
        return X, None
    if passes * d * K * X.dtype.itemsize < _FINDING_COLUMNS * X.nnz:
        return X, None
    named = np.zeros(X.nnz + 1, X.indices.dtype)  # the first stays, so that there is one
    named[1:] = X.indices
    named.sort()
    named = named[np.append(True, named[1:] != named[:-1])]
    place = np.empty(d, named.dtype)
    place[named] = np.arange(len(named))
    fewer = sp.csr_matrix((X.data, place.take(X.indices), X.indptr), shape=(n, len(named)))
    return fewer, np.append(named, d)


def squared_norms(X, view=None):
    """Return |x_i|^2 of every row, float64 (n,). No CSR row may name a column twice."""
    view = bind(X, 1) if view is None else view
    out = np.empty(X.shape[0])
    for some in Ranges.by_entries(X.shape[0], X.size):
        view.squared_norms(some.start, some.stop, out)
    return out


def without_duplicates(X, view=None):
    """Return X itself, or a copy in which entries of a CSR row that name one column are added up."""
    if isinstance(X, np.ndarray) or X.has_canonical_format:
        return X
    view = bind(X, 1) if view is None else view
    if view.has_duplicates(np.full(X.shape[1], -1, np.intp)):
        X = X.copy()
        X.sum_duplicates()
    return X
