"""The Hessian among a few coordinates of a proximal Newton step, formed once.

Sweeps over correlated columns are slow, and each reads all columns again. For A coordinates, a matrix product replaces
that. With z_c the column of coordinate c (feature j, class k; centred as in the sweep),

    H = Z' Y within each class  -  Y' Y,    Z the columns c_i^(1/2) z_c, Y the columns c_i^(1/2) p_k z_c

with c_i a row's share of the weights (binary: Z' Z of the columns (c_i p (1 - p))^(1/2) z_c). A sweep then takes A^2
multiplications for any number of rows. (J. Friedman, T. Hastie, R. Tibshirani, "Regularization paths for generalized
linear models via coordinate descent", Journal of Statistical Software 33, 2010, call it covariance updates.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from ... import parallel

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ...typing import Array
    from .columns import Columns, Curvature


_MOST = 2000  # coordinates: 32 MB in double precision
# Costs, in units of a sweep's visit of an entry of a dense column: all calls; writing an entry of Z; multiplying it
# with another; the sweeps, per entry of H; and a visit of an entry of a sparse column.
_CALLS, _LAYING_OUT, _MULTIPLICATION, _SWEEPS = 5e6, 2.0, 0.0125, 60.0
_SPARSE_VISIT = 2.5
_GAIN = 1.5  # it may cost this number of times more, because the exact minimum of the model saves iterations
_ROWS = 4096  # multiplied at a time, so that they stay in cache
_NARROW = 32  # coordinates of a class; of more, a product A A' takes BLAS half of the time of A B'
_RANGES = 8  # of rows, for the threads: a fixed number, for the same bits
_MEMORY = 1 << 23  # numbers in the sums of all ranges, 64 MB


def pays(columns: Columns, count: int, visits: float) -> bool:
    """Tell whether the Hessian among `count` coordinates takes less time than sweeps with this many visits."""
    if not columns.centred:
        visits = _SPARSE_VISIT * visits
    numbers = count * columns.swept.n
    cost = _CALLS + numbers * (_LAYING_OUT + _MULTIPLICATION * count) + _SWEEPS * count**2
    return count <= _MOST and cost <= _GAIN * visits


def hessian(columns: Columns, curvature: Curvature, pairs: Array, m: Array, n_threads: int | None) -> Array:
    """Return the Hessian of the loss among coordinates.

    Parameters
    ----------
    columns : Columns
    curvature : Curvature
    pairs : ndarray of intp
        j K + k of each coordinate, j = d for the intercept.
    m : ndarray
        The number subtracted from each coordinate's column.
    n_threads : int or None
        BLAS should use one thread (``parallel.one_blas_thread``).

    Returns
    -------
    ndarray of shape (count, count), float64
        Products are in the precision of the columns, sums over ranges of rows in double.
    """
    P, mass, largest = curvature
    K, n = P.shape
    order = np.argsort(pairs % K, kind="stable")  # class by class
    features, classes = np.divmod(pairs[order], K)
    bounds = np.searchsorted(classes, np.arange(K + 1))
    m = m[order, np.newaxis].astype(P.dtype)
    rows_of = (_dense_rows if columns.centred else _sparse_rows)(columns.swept, features)
    uneven = mass is not None and bool((mass != 1).any())
    count = int(max(2, min(_MEMORY // len(pairs) ** 2, _RANGES, -(-n // _ROWS))))
    ranges = [n * i // count for i in range(count + 1)]

    def part(i: int) -> Array:
        H = np.zeros((len(pairs), len(pairs)))
        for first in range(ranges[i], ranges[i + 1], _ROWS):
            parallel.stopping_point()
            some = slice(first, min(first + _ROWS, ranges[i + 1]))
            Z, p = rows_of(some), P[:, some]
            if columns.centred:
                Z -= m
            if mass is None:
                Z *= np.sqrt(p)
                H += Z @ Z.T
                continue
            if uneven:
                Z *= np.sqrt(mass[some])
            Y = np.empty_like(Z)
            for k in range(K):
                own = slice(bounds[k], bounds[k + 1])
                np.multiply(Z[own], p[k], out=Y[own])
                if bounds[k + 1] - bounds[k] <= _NARROW:
                    H[own, own] += Z[own] @ Y[own].T
                else:
                    Z[own] *= np.sqrt(p[k])
                    H[own, own] += Z[own] @ Z[own].T
            H -= Y @ Y.T
        return H

    H: Any = largest * sum(parallel.run(part, count, n_threads))
    back = np.argsort(order)
    return H[np.ix_(back, back)]


def _dense_rows(swept: Any, features: Array) -> Callable[..., Any]:
    """Return a function that maps a slice of rows to an array (features, rows); feature d is the intercept."""
    ones = features == swept.d
    features = np.where(ones, 0, features)

    def rows_of(some: slice) -> Array:
        Z = swept.X.T[features, some]
        Z[ones] = 1
        return Z

    return rows_of


def _sparse_rows(swept: Any, features: Array) -> Callable[..., Any]:
    """The same for sparse columns."""
    values, indices, begin, end, n, d = swept.X
    used, place = np.unique(features, return_inverse=True)
    ones = used == d
    columns = [slice(begin[j], end[j]) if j < d else slice(0, 0) for j in used]
    indptr = np.cumsum([0, *(some.stop - some.start for some in columns)])
    values, indices = (np.concatenate([array[some] for some in columns]) for array in (values, indices))
    chosen = sp.csc_array((values, indices, indptr), shape=(n, len(used))).tocsr()

    def rows_of(some: slice) -> Array:
        Z = chosen[some].toarray().T
        Z[ones] = 1
        return Z[place]

    return rows_of
