"""Columns far from zero, moved there.

What a column at m with deviation sigma, m far from zero, does to the logits is nearly what the intercept does. Solvers
that centre implicitly (conditioned.py) take that out of their steps. But the sums over rows are of the data as they
are: the curvature along the column and that of the intercept differ by sigma^2 in m^2, and if that is less than the
root of the dtype's eps, less than half of the digits are left of it. Then a logit x W + b in single precision is mostly
rounding. And solvers that read columns or rows as they are crawl long before that, for the two coordinates are all but
one; their estimates of what is left to gain see no progress, and take it for the end.

Here X is copied, with the column's mean, rounded to its dtype, taken off:

    x W + b  =  (x - s) W + (b + s W)            s: the offset, zero for most columns

x - s is exact where x is within a factor of two of s (P. H. Sterbenz, "Floating-point computation", 1974). Weights, and
with them penalties, are the same; only the intercept differs. Columns without spread become zeros.
"""

import numpy as np

from ..moments import without_spread
from ..rows import without_duplicates
from .conditioned import moments_of
from .pieces import Pieces

# Deviations from zero of a column that solvers bear which read columns as they are: they take about as many times more
# steps as its square.
_BORNE = 10.0
# A sparse column has its mean so many deviations from zero only if rows with 99 % of the mass have an entry in it. Of
# any rows with 4 % of it, those with three quarters then do.
_FEW, _NEARLY_ALL = 0.04, 0.75


class Moved:
    """An objective whose far columns were moved to zero.

    Attributes
    ----------
    objective : Objective
    offset : ndarray (d,)
        What was taken off each column.
    """

    def __init__(self, objective, offset, flat):
        self.offset, self._flat = offset, flat
        self.objective = objective.with_features(_moved(objective.X, offset, flat, objective.n_threads))

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

    def solve(self, original, solver, theta0, callback=None, **arguments):
        """Run a solver over the moved columns; its Result, and what the callback sees, are of the original ones."""
        objective = self.objective
        objective.l1, objective.l2 = original.l1, original.l2  # along a path they change
        before = objective.passes
        if callback is not None:
            on_moved = callback

            def callback(theta, history):
                return on_moved(self.back(theta), history)

        result = solver(objective, self.into(theta0), callback=callback, **arguments)
        original.passes += objective.passes - before
        result.theta = self.back(result.theta)
        return result


def moved(objective, *, reads_columns):
    """The objective with its far columns moved to zero, a Moved, or None if it has none that matter.

    Parameters
    ----------
    objective : Objective
    reads_columns : bool
        Whether the solver takes columns as they are; else it centres them implicitly, and leaves alone what has no
        spread.
    """
    key = "moved", reads_columns
    if key not in objective.memo:
        objective.memo[key] = _find(objective, reads_columns)
    return objective.memo[key]


def offset_of(objective):
    """What was taken off its columns for a solver, (d,), or None if nothing was."""
    for reads_columns in (True, False):
        found = objective.memo.get(("moved", reads_columns))
        if found is not None:
            return found.offset
    return None


def _find(objective, reads_columns):
    if not objective.fit_intercept or not _may_be_far(objective):
        return None
    X = objective.X
    mean, deviation = moments_of(objective)
    flat = without_spread(mean, deviation, X.dtype)
    borne = _BORNE if reads_columns else np.finfo(X.dtype).eps ** -0.25
    far = ~flat & (np.abs(mean) > borne * deviation)
    if reads_columns:
        far |= flat & (mean != 0)
    if not far.any():
        return None
    offset = np.where(far | flat, mean, 0.0).astype(X.dtype).astype(np.float64)
    return Moved(objective, offset, flat)


def _may_be_far(objective):
    """Whether some column may be far from zero, as far as can be told without a pass over sparse X."""
    X = objective.X
    if isinstance(X, np.ndarray):
        return True
    mass = objective.row_masses()
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

        def part(rows):
            np.subtract(X[rows], offset, out=moved[rows])
            moved[rows, flat] = 0.0

        Pieces(X.shape, n_threads).map(part)
        return moved
    columns = np.flatnonzero(offset)
    n, count = X.shape[0], len(columns)
    entries = np.tile(offset[columns], n), np.tile(columns, n), count * np.arange(n + 1)
    moved = type(X)(without_duplicates(X) - type(X)(entries, shape=X.shape))
    moved.data[flat[moved.indices]] = 0.0
    return moved
