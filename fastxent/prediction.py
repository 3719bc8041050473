"""Logits, probabilities and log-probabilities of a linear softmax model.

A few dense rows, or sparse rows with few entries, are multiplied with the coefficients in their own memory order. The
coefficients are packed for the kernels only if there are enough rows or entries that packing takes a small part of the
time. This choice, and so the bits of the result, depends only on shapes.
"""

import numpy as np

from . import kernels, parallel
from .arrays import is_finite
from .data.ranges import MIN_RANGE, Ranges, cost
from .data.rows import bind, pack, ranges_of
from .logits import softmax_rows

_KINDS = {"logits": "logits", "proba": "softmax", "log_proba": "log_softmax"}
_FEW_ROWS = 16  # up to this number, dense rows count as few
MOST_ENTRIES = 4  # entries per column up to which sparse rows count as few
_TILES = (
    48  # rows: a whole number of the kernels' tiles, and small enough to split a hundred rows among threads
)
_SCATTERED = 2  # a random read of a coefficient takes as long as copying this number of them


def predict(X, theta, output, n_threads=None, out=None):
    """Evaluate the model theta on the rows of X. Input is trusted.

    Parameters
    ----------
    X : ndarray (n, d), float32 or float64, C- or F-contiguous; or CSR with int32 or int64 indices
    theta : ndarray (d + 1, K), float32 or float64, C order
        K = 1 is a binary logistic model.
    output : {"logits", "proba", "log_proba"}
    n_threads : int, optional
    out : ndarray, optional
        Array for the result.

    Returns
    -------
    ndarray (n, K) in the dtype of X; for a binary model logits (n,), and (n, 2) otherwise.
    """
    return evaluate(X, theta[:-1].T, theta[-1], output, n_threads, out)[0]


def evaluate(X, coef, intercept, output, n_threads=None, out=None):
    """Evaluate a model given by its coefficients, in any memory order. Input is trusted.

    Parameters
    ----------
    X, output, n_threads, out
        As for `predict`. Only the arrays and the shape of a CSR matrix are used, so a `sparse.CSR` will do.
    coef : ndarray (K, d), float32 or float64
    intercept : ndarray (K,), of that dtype

    Returns
    -------
    result : ndarray
    finite : bool
        Whether all logits are finite, or all coefficients.
    """
    n, K = X.shape[0], coef.shape[0]
    if out is None:
        out = np.empty((n, 2 if K == 1 and output != "logits" else K), X.dtype)
    if has_few(X, coef.shape[1]):
        finite = _of_few(X, coef, intercept, output, n_threads, out)
    else:
        finite = _of_many(X, coef, intercept, output, n_threads, out)
    return out[:, 0] if K == 1 and output == "logits" else out, finite


def has_few(X, n_features):
    """Tell whether X has so few rows or entries that coefficients are not packed."""
    if isinstance(X, np.ndarray):
        return X.shape[0] <= _FEW_ROWS
    return len(X.indices) <= MOST_ENTRIES * n_features


def _of_few(X, coef, intercept, output, n_threads, out):
    K = coef.shape[0]
    intercept = np.ascontiguousarray(intercept)
    if not (coef.flags.c_contiguous or coef.flags.f_contiguous):
        coef = np.asfortranarray(coef)
    logits = np.empty((X.shape[0], 1), X.dtype) if K == 1 and output != "logits" else out
    if isinstance(X, np.ndarray):
        _dense_logits(np.ascontiguousarray(X), coef, intercept, logits, n_threads)
    else:
        _sparse_logits(X, coef, intercept, logits, n_threads)
    finite = is_finite(logits)
    if logits is not out:
        kernels.outputs_of_binary(logits, out, kernels.KINDS[_KINDS[output]])
    elif output != "logits":
        softmax_rows(logits, out, _KINDS[output], n_threads)
    return finite


def _dense_logits(X, coef, intercept, logits, n_threads):
    """Compute logits with the classes divided among the threads, because every row needs all coefficients."""
    K = len(coef)
    count = X.shape[0] * coef.size // MIN_RANGE
    step = K if count <= 1 else -(-K // (16 * count)) * 16  # a whole number of registers

    def task(some):
        kernels.logits_of_few(X, coef, intercept, logits, some.start, some.stop)

    Ranges.by_step(K, step, n_threads).map(task)


def _sparse_logits(X, coef, intercept, logits, n_threads):
    K, d = coef.shape
    if not coef.flags.f_contiguous and _SCATTERED * len(X.indices) > d:
        coef = np.asfortranarray(coef)
    rows = X.data, X.indices, X.indptr, *X.shape
    longest = int(X.indptr[-1]) if X.shape[0] == 1 else int(np.diff(X.indptr).max())
    places = parallel.Buffers(longest, np.intp)
    count = min(max(1, 2 * cost(X, K) // MIN_RANGE), 64)

    def task(some):
        buffer = places.take()
        kernels.logits_of_entries(rows, coef, intercept, logits, some.start, some.stop, buffer)
        places.give(buffer)

    Ranges.by_cost(X, count, 1, n_threads).map(task)


def _of_many(X, coef, intercept, output, n_threads, out):
    theta = np.empty((coef.shape[1] + 1, coef.shape[0]), coef.dtype)
    theta[:-1], theta[-1] = coef.T, intercept
    view = bind(X, coef.shape[0])
    weights = pack(view, theta, X.dtype)
    scratch = parallel.Buffers(view.scratch_size, X.dtype)
    ranges = ranges_of(view, X, n_threads, min(view.block, _TILES))
    kind = kernels.KINDS[_KINDS[output]]

    def task(some):
        buffer = scratch.take()
        for first, stop in ranges.calls(some):
            view.predict(weights, buffer, first, stop, out, kind)
        scratch.give(buffer)

    ranges.map(task)
    return is_finite(theta)
