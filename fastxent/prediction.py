"""Logits, probabilities and log-probabilities of a linear softmax model.

Dense rows up to some hundreds, or sparse rows with few entries, are multiplied with the coefficients in their own
memory order. The coefficients are packed for the kernels only if there are enough rows or entries that packing takes a
small part of the time. This choice, and so the bits of the result, depends only on shapes, and for more than a few
dense rows on their memory order.
"""

import numpy as np

from . import kernels, parallel
from .arrays import is_finite
from .data.ranges import MIN_RANGE, Ranges, cost
from .data.rows import bind, pack, ranges_of
from .logits import softmax_rows

_KINDS = {"logits": "logits", "proba": "softmax", "log_proba": "log_softmax"}
_FEW_ROWS = 2000  # up to this number, dense rows in C order count as few,
_FEW_ROWS_OF_BLAS = (
    500  # or this, with at least this side and number of coefficients: BLAS multiplies more rows
)
_BLAS_SIDE, _BLAS_SIZE = 64, 131_072
_FEW_IN_F_ORDER = 16  # the same in Fortran order, which would have to be copied
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
    if has_few(X, coef.shape):
        finite = _of_few(X, coef, intercept, output, n_threads, out)
    else:
        finite = _of_many(X, coef, intercept, output, n_threads, out)
    return out[:, 0] if K == 1 and output == "logits" else out, finite


def has_few(X, shape):
    """Tell whether X has so few rows or entries that coefficients of this shape (K, d) are not packed."""
    if isinstance(X, np.ndarray):
        n = X.shape[0]
        return n <= _FEW_IN_F_ORDER or (n <= most_rows(shape) and X.flags.c_contiguous)
    return len(X.indices) <= MOST_ENTRIES * shape[1]


def most_rows(shape):
    """Return the number of dense rows in C order that still counts as few for coefficients of this shape (K, d)."""
    K, d = shape
    return _FEW_ROWS_OF_BLAS if min(K, d) >= _BLAS_SIDE and K * d >= _BLAS_SIZE else _FEW_ROWS


def _of_few(X, coef, intercept, output, n_threads, out):
    intercept = np.ascontiguousarray(intercept)
    K, d = coef.shape
    is_dense = isinstance(X, np.ndarray)
    scattered = not is_dense and _SCATTERED * len(X.indices) > d
    if not (coef.flags.f_contiguous or (coef.flags.c_contiguous and not scattered)):
        coef = np.asfortranarray(coef)
    rows = np.ascontiguousarray(X) if is_dense else (X.data, X.indices, X.indptr, *X.shape)
    longest = None if is_dense else _longest(X)
    kind = kernels.KINDS[_KINDS[output]]
    if cost(X, K) <= MIN_RANGE:  # one call on one thread
        if is_dense:
            return kernels.outputs_of_few(rows, coef, intercept, out, kind)
        return kernels.outputs_of_entries(rows, coef, intercept, out, kind, longest)
    logits = np.empty((X.shape[0], 1), X.dtype) if K == 1 and output != "logits" else out
    if is_dense:
        _dense_logits(rows, coef, intercept, logits, n_threads)
    else:
        _sparse_logits(X, rows, longest, coef, intercept, logits, n_threads)
    finite = is_finite(logits)
    if logits is not out:
        kernels.outputs_of_binary(logits, out, kind)
    elif output != "logits":
        softmax_rows(logits, out, _KINDS[output], n_threads)
    return finite


def _longest(X):
    return int(X.indptr[-1]) if X.shape[0] == 1 else int((X.indptr[1:] - X.indptr[:-1]).max())


def _dense_logits(X, coef, intercept, logits, n_threads):
    """Compute logits with the rows divided among the threads, or the classes if there are few rows."""
    n, K = X.shape[0], coef.shape[0]
    count = max(1, X.size * K // MIN_RANGE)
    rooms = parallel.Buffers(kernels.few_room_size(n, K), X.dtype)

    def of_some(rows, classes):
        room = rooms.take()
        kernels.logits_of_few(X[rows], coef, intercept, logits[rows], classes.start, classes.stop, room)
        rooms.give(room)

    if n >= _TILES:
        ranges = Ranges.by_count(n, min(count, n // _TILES), n_threads)
        ranges.map(lambda rows: of_some(rows, slice(0, K)))
    else:
        ranges = Ranges.by_step(K, -(-K // (16 * count)) * 16, n_threads)  # whole registers
        ranges.map(lambda classes: of_some(slice(0, n), classes))


def _sparse_logits(X, rows, longest, coef, intercept, logits, n_threads):
    places = parallel.Buffers(longest, np.intp)
    count = min(max(1, 2 * cost(X, coef.shape[0]) // MIN_RANGE), 64)

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
