"""Columns far from zero are moved to zero.

A column at m with deviation sigma, m far from zero, changes the logits in nearly the same way as the intercept. Solvers
that centre implicitly (scaling.py) remove that from their steps. But the sums over rows are of the data as they
are: the curvature along the column and that of the intercept differ by sigma^2 in m^2, and if that is less than the
root of the dtype's eps, fewer than half of its digits remain. Then a logit x W + b in single precision is mostly
rounding. Solvers that read columns or rows as they are slow down long before that, because the two coordinates are
almost the same; their estimates of what is left to gain see no progress and mistake it for the optimum.

Here X is copied, with the column's mean, rounded to its dtype, subtracted:

    x W + b  =  (x - s) W + (b + s W)            s: the offset, zero for most columns

x - s is exact where x is within a factor of two of s (P. H. Sterbenz, "Floating-point computation", 1974). Weights, and
with them penalties, are the same; only the intercept differs. Columns without spread become zeros.
"""

import numpy as np

from ..arrays import finfo
from ..data.ranges import Ranges
from ..data.rows import without_duplicates

# Largest distance of a mean from zero, in deviations, for solvers that read columns as they are: the number of their
# steps grows with about the square of it.
_BORNE = 10.0
# The mean of a sparse column is that far from zero only if rows with 99 % of the mass have an entry in it. Then of any
# rows with 4 % of the mass, rows with three quarters of that have one.
_FEW, _NEARLY_ALL = 0.04, 0.75


class Moved:
    """The only part of an objective, whose far columns were moved to zero.

    Attributes
    ----------
    part : Part
    offset : ndarray (d,)
        What was subtracted from each column.
    """

    def __init__(self, part, offset, flat):
        self.offset, self._flat = offset, flat
        self.part = part.replaced(_moved(part.X, offset, flat, part.n_threads), part.targets)

    def into(self, theta):
        """The parameters with the same logits there."""
        theta = np.array(theta, np.float64)
        theta[-1] += self.offset @ theta[:-1]
        theta[:-1][self._flat] = 0.0
        return theta

    def back(self, theta):
        """The parameters with the same logits over the original columns."""
        theta = np.array(theta, np.float64)
        theta[-1] -= self.offset @ theta[:-1]
        return theta

    def solve(self, objective, solver, theta0, callback=None, **arguments):
        """Run a solver over the moved columns; its Result, and what the callback sees, are of the original ones."""
        if callback is not None:
            on_moved = callback

            def callback(theta, history):
                return on_moved(self.back(theta), history)

        result = solver(objective.over_part(self.part), self.into(theta0), callback=callback, **arguments)
        result.theta = self.back(result.theta)
        return result


def moved(objective, *, reads_columns):
    """The objective's part with its far columns moved to zero, a Moved, or None if it has none that matter.

    Parameters
    ----------
    objective : Objective
        Of one local part: of others, columns stay where they are.
    reads_columns : bool
        Whether the solver takes columns as they are; else it centres them implicitly, and leaves alone what has no
        spread.
    """
    part = objective.local
    if part is None or not objective.fit_intercept:
        return None
    known = part.kept.moved
    if reads_columns not in known:
        known[reads_columns] = _find(objective, part, reads_columns)
    return known[reads_columns]


def _find(objective, part, reads_columns):
    if not _may_be_far(part):
        return None
    X, moments = part.X, objective.column_moments()
    mean, deviation = moments.mean, moments.deviation
    flat = objective.columns_without_spread()
    borne = _BORNE if reads_columns else finfo(X.dtype).eps ** -0.25
    far = ~flat & (np.abs(mean) > borne * deviation)
    if reads_columns:
        far |= flat & (mean != 0)
    if not far.any():
        return None
    offset = np.where(far | flat, mean, 0.0).astype(X.dtype).astype(np.float64)
    return Moved(part, offset, flat)


def known_moved(objective):
    """What `moved` found for a solver of this objective, if it did."""
    found = () if objective.local is None else objective.local.kept.moved.values()
    return next((one for one in found if one is not None), None)


def _may_be_far(part):
    """Whether some column may be far from zero, as far as can be told without a pass over sparse X."""
    X = part.X
    if isinstance(X, np.ndarray):
        return True
    mass = part.targets.masses
    before = np.cumsum(mass)
    rows = 1 + int(np.searchsorted(before, _FEW * before[-1]))
    entries = slice(0, X.indptr[rows])
    weight = np.repeat(mass[:rows], np.diff(X.indptr[: rows + 1]))
    have = np.bincount(X.indices[entries], weight, minlength=X.shape[1])
    return bool((have >= _NEARLY_ALL * before[rows - 1]).any())


def _moved(X, offset, flat, n_threads):
    """X with the offset taken off its columns, and zeros in place of those without spread."""
    offset = offset.astype(X.dtype)
    if isinstance(X, np.ndarray):
        moved = np.empty_like(X)

        def move(rows):
            np.subtract(X[rows], offset, out=moved[rows])
            moved[rows, flat] = 0.0

        Ranges.in_cache(X.shape, n_threads).map(move)
        return moved
    columns = np.flatnonzero(offset)
    n, count = X.shape[0], len(columns)
    entries = np.tile(offset[columns], n), np.tile(columns, n), count * np.arange(n + 1)
    moved = type(X)(without_duplicates(X) - type(X)(entries, shape=X.shape))
    moved.data[flat[moved.indices]] = 0.0
    return moved
