"""Mean and deviation of the columns of X, by the masses of the rows; and which columns have no spread.

With the shift s, the entries of the row of largest mass (kernels/moments.pxi), u = 2^-53, sigma the deviation and m the
mean of a column, what is returned errs by no more than

    |mean - m|           <=  c u (sigma + |m - s|) + u |m|
    |deviation - sigma|  <=  c u (sigma + |m - s|)                       |m - s| <= sqrt(n) sigma

where c counts the roundings that an entry meets on its way into the sums: of its block (a quarter of 1024 rows at
most), of the blocks of its range, of the ranges (32 at most), and some ten of its own. Sums over blocks are rounded
relative to the sum of |y|, y = x - s, which is the first bound; squares have one sign, and an error e of the blocks'
means enters the sum of squares through their distances, by 2 e sigma at most (Cauchy and Schwarz), which is the
second. Nothing in it is relative to the mean: a constant column has a deviation of zero.

What is left to be taken for spread is what the entries themselves are rounded by. One that k operations computed is off
by k u' |x|, u' = eps / 2 of the dtype it is stored in; so is a column of what should be one number. Deviations up to
that, for k = 128 in double and k = 8 in single precision, which is rounded to rather than computed in as a rule, are
none. They are of no use, either: a logit x w + b then rounds by more than 1/64 (1/4) of what the column can move it.
"""

import functools

import numpy as np
import scipy.sparse as sp

from . import kernels, parallel
from .objective import bind, split
from .rows import without_duplicates

_RANGE = 1 << 19  # entries of a range of rows whose moments are taken apart
_RANGES = 32  # most such ranges
_ROUNDINGS = {np.dtype(np.float64): 128, np.dtype(np.float32): 8}  # k above


def column_moments(X, masses=None, n_threads=None):
    """Mean and standard deviation (float64) of each column of a dense or CSR matrix.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, d), float32 or float64
    masses : ndarray of shape (n,) or None
        What each row weighs, not negative; None is 1 for all.
    n_threads : int or None

    Returns
    -------
    mean, deviation : ndarrays of shape (d,)
        Zeros where no row has a mass.

    Examples
    --------
    >>> import numpy as np
    >>> column_moments(np.array([[1.0, 0.1], [3.0, 0.1], [7.0, 0.1]]), np.array([1.0, 1.0, 0.0]))
    (array([2. , 0.1]), array([1., 0.]))
    """
    X = without_duplicates(X)
    d = X.shape[1]
    if masses is not None:
        masses = np.ascontiguousarray(masses, np.float64)
    shift = _row(X, 0 if masses is None else int(np.argmax(masses)))
    rows = bind(X, 1)
    ranges = max(1, min(_RANGES, X.size // max(_RANGE, 8 * d)))
    bounds = split(X, ranges, 1)

    def moments(i):
        out = np.zeros((7, d))
        mass = kernels.moments_of_columns(rows, bounds[i], bounds[i + 1], masses, shift, out)
        return mass, out[0], out[1]

    mass, mean, square = functools.reduce(_joined, parallel.run(moments, ranges, n_threads))
    if not mass > 0:
        return np.zeros(d), np.zeros(d)
    return mean + shift, np.sqrt(square / mass)


def without_spread(mean, deviation, dtype):
    """Whether each column of such moments, of entries stored in a dtype, is constant but for rounding.

    >>> mean, deviation = np.array([0.1, 1.7e9, 0.0]), np.array([1e-17, 3600.0, 0.0])
    >>> without_spread(mean, deviation, np.float64)
    array([ True, False,  True])
    """
    dtype = np.dtype(dtype)
    return deviation <= 0.5 * _ROUNDINGS[dtype] * np.finfo(dtype).eps * np.abs(mean)


def _row(X, i):
    """A row of X, dense, float64."""
    row = X[[i]]
    return np.array(row.toarray() if sp.issparse(row) else row, np.float64).ravel()


def _joined(a, b):
    """Mass, mean and sum of squares around it of two sets of rows together (moments.pxi)."""
    mass = a[0] + b[0]
    share = b[0] / mass if mass > 0 else 0.0
    delta = b[1] - a[1]
    return mass, a[1] + share * delta, a[2] + b[2] + a[0] * share * np.square(delta)
