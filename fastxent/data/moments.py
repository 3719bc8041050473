"""Mean and deviation of the columns of X, weighted by the masses of the rows; and which columns have no spread.

Let s be the shift (the entries of the row of largest mass, kernels/moments.pxi), u = 2^-53, sigma the deviation and m
the mean of a column. Then the errors are at most

    |mean - m|           <=  c u (sigma + |m - s|) + u |m|
    |deviation - sigma|  <=  c u (sigma + |m - s|)                       |m - s| <= sqrt(n) sigma

where c counts the roundings of an entry on its way into the sums: one for each row of its block (C order: for every
four of up to 1024 rows, Fortran order: for every 32 of 1024), one for each block of its range, one for each range (at
most 32), and about ten more. Sums of y = x - s are rounded relative to the sum of |y|, which gives the first bound.
Squares are not negative, and an error e of a block's mean changes the sum of squares by at most 2 e sigma
(Cauchy-Schwarz), which gives the second. No term is relative to the mean: the deviation of a constant column is zero,
and that of two neighbouring values is right. (With one exception: the mass of the zeros of a sparse column is the
total mass minus that of its entries. If masses are not whole numbers, it has an error of c u times the total, and the
variance one of c u m^2.)

Rounding of the entries themselves can still look like spread. A number computed by k operations has an error up to
k u' |x|, u' = eps / 2 of its dtype, and so do the entries of a column that should be constant. A column is without
spread if no entry is farther from the mean than that, with k = 128 in double precision, and k = 8 in single precision,
to which numbers are usually rounded only once. Such a column would be useless anyway: the rounding of a logit x w + b
is at least 1/64 (1/4) of what the column can change.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from .. import kernels
from ..arrays import finfo
from .ranges import Ranges
from .rows import bind, without_duplicates

if TYPE_CHECKING:
    from typing import Any

    from ..kernels import LinearSoftmax
    from ..typing import Array, Table


_ENTRIES = 1 << 19  # in a range of rows whose moments are computed separately
_RANGES = 32  # maximum number of such ranges
_ROUNDINGS = {np.dtype(np.float64): 128, np.dtype(np.float32): 8}  # k above
_AT_A_TIME = 8  # columns made dense together, to save memory


@dataclass(frozen=True, eq=False)
class Moments:
    """Mass of some rows, and the mean and sum of squared deviations of each column. Sums of these cover more rows.

    Parameters
    ----------
    mass : float
    shift : float64 (d,)
        What was subtracted from the entries.
    offset : float64 (d,)
        The mean minus the shift.
    square : float64 (d,)
        Sum of mass times squared distance from the mean.

    Examples
    --------
    >>> import numpy as np
    >>> one = Moments(1.0, np.array([3.0]), np.zeros(1), np.zeros(1))
    >>> both = one + Moments(1.0, np.array([5.0]), np.zeros(1), np.zeros(1))
    >>> both.mean, both.deviation
    (array([4.]), array([1.]))
    """

    mass: float
    shift: np.ndarray
    offset: np.ndarray
    square: np.ndarray

    def __add__(self, other: Moments) -> Moments:
        # T. F. Chan, G. H. Golub, R. J. LeVeque (kernels/moments.pxi)
        mass = self.mass + other.mass
        share = other.mass / mass if mass > 0 else 0.0
        delta = (other.shift - self.shift) + (other.offset - self.offset)
        square = self.square + other.square + self.mass * share * np.square(delta)
        return Moments(mass, self.shift, self.offset + share * delta, square)

    @functools.cached_property
    def mean(self) -> Array:
        """The mean of each column (d,); zeros if no row has a mass."""
        return self.shift + self.offset if self.mass > 0 else np.zeros_like(self.shift)

    @functools.cached_property
    def deviation(self) -> Array:
        """The standard deviation of each column (d,); zeros if no row has a mass."""
        return np.sqrt(self.square / self.mass) if self.mass > 0 else np.zeros_like(self.square)

    def scaled(self, factor: float) -> Moments:
        """Return the moments with all masses multiplied by `factor`."""
        return Moments(factor * self.mass, self.shift, self.offset, factor * self.square)


def column_moments(
    X: Table, masses: Array | None = None, n_threads: int | None = None, view: LinearSoftmax | None = None
) -> Moments:
    """Return the Moments of each column of a dense or CSR matrix.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, d), float32 or float64
    masses : float64 (n,) or None
        Weights of the rows, not negative; None is 1 for all.
    n_threads : int or None
    view : kernels.LinearSoftmax or None
        The kernels' view of X, if it is already bound.

    Examples
    --------
    >>> import numpy as np
    >>> found = column_moments(np.array([[1.0, 0.1], [3.0, 0.1], [7.0, 0.1]]), np.array([1.0, 1.0, 0.0]))
    >>> found.mean, found.deviation
    (array([2. , 0.1]), array([1., 0.]))
    """
    given, X = X, without_duplicates(X, view)
    if view is None or X is not given:
        view = bind(X, 1)
    d = X.shape[1]
    if masses is not None:
        masses = np.ascontiguousarray(masses, np.float64)
    shift = _row(X, 0 if masses is None else int(np.argmax(masses)))
    count = max(1, min(_RANGES, X.size // max(_ENTRIES, 8 * d)))

    def moments(some: slice) -> Moments:
        out = np.zeros((7, d))
        mass = kernels.moments_of_columns(view, some.start, some.stop, masses, shift, out)
        return Moments(mass, shift, out[0], out[1])

    return functools.reduce(operator.add, Ranges.by_cost(X, count, 1, n_threads).map(moments))


def spread_of_rounding(mean: Array, dtype: np.dtype[Any]) -> Array:
    """Return how far an entry of each column can be from its mean by rounding alone, (d,)."""
    return 0.5 * _ROUNDINGS[np.dtype(dtype)] * finfo(dtype).eps * np.abs(mean)


def farthest(X: Table, masses: Array, mean: Array) -> Array:
    """Return how far the entries of each column are from a mean at most, (d,), over rows with a mass.

    >>> import numpy as np
    >>> farthest(np.array([[1.0, 5.0], [4.0, 5.0], [9.0, 9.0]]), np.array([1.0, 1.0, 0.0]), np.array([3.0, 5.0]))
    array([2., 0.])
    """
    distances = np.zeros(X.shape[1])
    present = np.flatnonzero(masses)
    for first in range(0, X.shape[1], _AT_A_TIME):
        some = slice(first, first + _AT_A_TIME)
        columns = X[:, some]
        columns = (columns.toarray() if sp.issparse(X) else columns)[present].astype(np.float64)
        distances[some] = np.abs(columns - mean[some]).max(axis=0, initial=0.0)
    return distances


def _row(X: Table, i: int) -> Array:
    """Return a row of X as a dense float64 array."""
    return np.array(X[i] if isinstance(X, np.ndarray) else X[[i]].toarray().ravel(), np.float64)
