"""Logits, probabilities and log-probabilities of a linear softmax model.

A limited number of dense rows, or sparse rows with few entries, are multiplied with the coefficients in their own
memory order, by BLAS where there are many classes. The coefficients are packed for the kernels only if there are enough
rows or entries that packing takes a small part of the time. This choice, and so the bits of the result, depends only on
shapes, and for more than a few dense rows on their memory order and that of the coefficients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import kernels, parallel
from .arrays import is_finite
from .blas import one_blas_thread
from .data.ranges import MAX_CALL, MIN_RANGE, Ranges, cost
from .data.rows import bind, pack, ranges_of
from .logits import softmax_rows

if TYPE_CHECKING:
    from typing import Any

    from .typing import Array, Table


_KINDS = {"logits": "logits", "proba": "softmax", "log_proba": "log_softmax"}
FEW_ROWS = 2000  # up to this number, dense rows in C order count as few
_FEW_IN_F_ORDER = 16  # the same in Fortran order, which would have to be copied
MOST_ENTRIES = 4  # entries per column up to which sparse rows count as few
_TILES = (
    48  # rows: a whole number of the kernels' tiles, and small enough to split a hundred rows among threads
)
# From these numbers on, BLAS multiplies dense rows faster than the kernels do, with the coefficients where they are.
_BLAS_ROWS, _BLAS_CLASSES, _BLAS_FEATURES, _BLAS_WORK = 8, 128, 64, 2 * MIN_RANGE
_OWN_ROWS_IN_C_ORDER, _OWN_ROWS_IN_F_ORDER = (
    200,
    2000,
)  # of coef: with more rows, half as many classes will do
_BLAS_ROWS_OF_PIECE = 128, 512  # fewer cost speed, more leave the cache
_BLAS_WORK_OF_PIECE = 8_000_000
_BLAS_SPLIT, _BLAS_CLASSES_OF_PIECE = (
    100_000_000,
    144,
)  # fewer rows are divided by classes from these numbers on
_SCATTERED = 2  # a random read of a coefficient takes as long as copying this number of them


def predict(
    X: Table, theta: Array, output: str, n_threads: int | None = None, out: Array | None = None
) -> Array:
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


def evaluate(
    X: Table,
    coef: Array,
    intercept: Array,
    output: str,
    n_threads: int | None = None,
    out: Array | None = None,
) -> tuple[Array, bool]:
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
        Whether all logits are finite, and with them all entries of X and all coefficients that were read.
    """
    n, K = X.shape[0], coef.shape[0]
    if out is None:
        out = np.empty((n, 2 if K == 1 and output != "logits" else K), X.dtype)
    if isinstance(X, np.ndarray) and X.dtype == coef.dtype and by_blas(n, coef):
        finite = _of_blas(X, coef, intercept, output, n_threads, out)
    elif has_few(X, coef.shape):
        finite = _of_few(X, coef, intercept, output, n_threads, out)
    else:
        finite = _of_many(X, coef, intercept, output, n_threads, out)
    return out[:, 0] if K == 1 and output == "logits" else out, finite


def by_blas(n: int, coef: Array) -> bool:
    """Tell whether BLAS multiplies n dense rows of the dtype of these coefficients."""
    K, d = coef.shape
    own = _OWN_ROWS_IN_F_ORDER if coef.flags.f_contiguous else _OWN_ROWS_IN_C_ORDER
    least = _BLAS_CLASSES if n <= own else _BLAS_CLASSES // 2
    return n >= _BLAS_ROWS and least <= K and d >= _BLAS_FEATURES and n * K * d >= _BLAS_WORK


def has_few(X: Table, shape: tuple[int, int]) -> bool:
    """Tell whether X has so few rows or entries that coefficients of this shape (K, d) are not packed."""
    if isinstance(X, np.ndarray):
        n = X.shape[0]
        return n <= _FEW_IN_F_ORDER or (n <= FEW_ROWS and X.flags.c_contiguous)
    return len(X.indices) <= MOST_ENTRIES * shape[1]


def _of_blas(X: Table, coef: Array, intercept: Array, output: str, n_threads: int | None, out: Array) -> bool:
    """Divide the rows among the threads, or the classes if there are few rows; each thread calls BLAS on one."""

    def multiply(rows: slice, classes: slice) -> None:
        logits = out[rows, classes]
        np.matmul(X[rows], coef[classes].T, out=logits)
        logits += intercept[classes]

    def answer(rows: slice, n_threads: int | None = 1) -> bool:
        finite = is_finite(out[rows])
        if output != "logits":
            softmax_rows(out[rows], out[rows], _KINDS[output], n_threads)
        return finite

    def task(rows: slice) -> bool:
        multiply(rows, slice(None))
        return answer(rows)

    if not (coef.flags.f_contiguous or coef.flags.c_contiguous):
        coef = np.asfortranarray(coef)
    n, K = X.shape[0], coef.shape[0]
    least, most = _BLAS_ROWS_OF_PIECE
    with one_blas_thread:
        if n < 2 * least and X.size * K >= _BLAS_SPLIT and K >= 2 * _BLAS_CLASSES_OF_PIECE:
            count = min(K // _BLAS_CLASSES_OF_PIECE, 4)
            step = -(-K // (16 * count)) * 16  # whole registers
            Ranges.by_step(K, step, n_threads).map(lambda classes: multiply(slice(None), classes))
            return answer(slice(None), n_threads)
        work = X.shape[1] * K  # for a row
        piece = max(min(n // 8, most, MAX_CALL // work), least, _BLAS_WORK_OF_PIECE // work)
        return all(Ranges.by_count(n, max(1, n // piece), n_threads).map(task))


def _of_few(X: Table, coef: Array, intercept: Array, output: str, n_threads: int | None, out: Array) -> bool:
    intercept = np.ascontiguousarray(intercept)
    K, d = coef.shape
    is_dense = isinstance(X, np.ndarray)
    scattered = not is_dense and _SCATTERED * len(X.indices) > d
    if not (coef.flags.f_contiguous or (coef.flags.c_contiguous and not scattered)):
        coef = np.asfortranarray(coef)
    rows: Any = np.ascontiguousarray(X) if is_dense else (X.data, X.indices, X.indptr, *X.shape)
    longest: Any = None if is_dense else _longest(X)
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


def _longest(X: Table) -> int:
    return int(X.indptr[-1]) if X.shape[0] == 1 else int((X.indptr[1:] - X.indptr[:-1]).max())


def _dense_logits(X: Table, coef: Array, intercept: Array, logits: Array, n_threads: int | None) -> None:
    """Compute logits with the rows divided among the threads, or the classes if there are few rows."""
    n, K = X.shape[0], coef.shape[0]
    count = max(1, X.size * K // MIN_RANGE)
    rooms = parallel.Buffers(kernels.few_room_size(n, K), X.dtype)

    def of_some(rows: slice, classes: slice) -> None:
        room = rooms.take()
        kernels.logits_of_few(X[rows], coef, intercept, logits[rows], classes.start, classes.stop, room)
        rooms.give(room)

    if n >= _TILES:
        ranges = Ranges.by_count(n, min(count, n // _TILES), n_threads)
        ranges.map(lambda rows: of_some(rows, slice(0, K)))
    else:
        ranges = Ranges.by_step(K, -(-K // (16 * count)) * 16, n_threads)  # whole registers
        ranges.map(lambda classes: of_some(slice(0, n), classes))


def _sparse_logits(
    X: Table,
    rows: Any,
    longest: int,
    coef: Array,
    intercept: Array,
    logits: Array,
    n_threads: int | None,
) -> None:
    places = parallel.Buffers(longest, np.intp)
    count = min(max(1, 2 * cost(X, coef.shape[0]) // MIN_RANGE), 64)

    def task(some: slice) -> None:
        buffer = places.take()
        kernels.logits_of_entries(rows, coef, intercept, logits, some.start, some.stop, buffer)
        places.give(buffer)

    Ranges.by_cost(X, count, 1, n_threads).map(task)


def _of_many(X: Table, coef: Array, intercept: Array, output: str, n_threads: int | None, out: Array) -> bool:
    theta = np.empty((coef.shape[1] + 1, coef.shape[0]), coef.dtype)
    theta[:-1], theta[-1] = coef.T, intercept
    view = bind(X, coef.shape[0])
    weights = pack(view, theta, X.dtype)
    scratch = parallel.Buffers(view.scratch_size, X.dtype)
    ranges = ranges_of(view, X, n_threads, min(view.block, _TILES))
    kind = kernels.KINDS[_KINDS[output]]

    def task(some: slice) -> bool:
        buffer = scratch.take()
        finite = [view.predict(weights, buffer, *call, out, kind) for call in ranges.calls(some)]
        scratch.give(buffer)
        return all(finite)

    return all(ranges.map(task)) and is_finite(theta)
