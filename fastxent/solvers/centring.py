"""Columns far from zero are moved to zero.

A column at m with deviation sigma, m far from zero, changes the logits in nearly the same way as the intercept. Solvers
that centre implicitly (scaling.py) remove this from their steps. But their sums over rows use the original data: the
curvature along the column and the intercept's differ by sigma^2 in m^2, and if that is less than the root of the
dtype's eps, fewer than half of its digits remain. A logit x W + b in single precision is then mostly rounding. Solvers
that read columns or rows unchanged slow down long before that, because the two coordinates are almost the same; they
can then mistake the lack of progress for the optimum.

Here X is copied, with the column's mean, rounded to its dtype, subtracted:

    x W + b  =  (x - s) W + (b + s W)            s: the offset, zero for most columns

x - s is exact where x is within a factor of two of s (P. H. Sterbenz, "Floating-point computation", 1974). Weights, and
with them penalties, are the same; only the intercept differs. Columns without spread become zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..arrays import finfo
from ..data.ranges import Ranges
from ..data.rows import without_duplicates

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..loss import Part
    from ..objective import Objective
    from ..typing import Array, Table
    from .result import History, Result


# Largest distance of a mean from zero, in deviations, for solvers that read columns unchanged: the number of their
# steps grows with about its square.
_BORNE = 10.0
# The mean of a sparse column can be that far from zero only if rows with 99 % of the mass have an entry in it. Then
# among any rows with 4 % of the mass, rows with three quarters of that have one.
_FEW, _NEARLY_ALL = 0.04, 0.75


class Moved:
    """The only part of an objective, with its far columns moved to zero.

    Attributes
    ----------
    part : Part
    offset : ndarray (d,)
        The number subtracted from each column.
    """

    offset: Array
    part: Part

    def __init__(self, part: Part, offset: Array, flat: Array) -> None:
        self.offset, self._flat = offset, flat
        self.part = part.replaced(_moved(part.X, offset, flat, part.n_threads), part.targets)

    def into(self, theta: Array) -> Array:
        """Return the parameters with the same logits over the moved columns."""
        theta = np.array(theta, np.float64)
        theta[-1] += self.offset @ theta[:-1]
        theta[:-1][self._flat] = 0.0
        return theta

    def back(self, theta: Array) -> Array:
        """Return the parameters with the same logits over the original columns."""
        theta = np.array(theta, np.float64)
        theta[-1] -= self.offset @ theta[:-1]
        return theta

    def solve(
        self,
        objective: Objective,
        solver: Callable[..., Any],
        theta0: Array,
        callback: Callable[..., Any] | None = None,
        **arguments: Any,
    ) -> Result:
        """Run a solver over the moved columns; its Result and the callback's parameters are for the original ones."""
        if callback is not None:
            on_moved = callback

            def callback(theta: Array, history: History) -> bool:
                return on_moved(self.back(theta), history)

        result = solver(objective.over_part(self.part), self.into(theta0), callback=callback, **arguments)
        result.theta = self.back(result.theta)
        return result


def moved(objective: Objective, *, reads_columns: bool) -> Any:
    """Return a Moved, the objective's part with its far columns moved to zero, or None if none has to be moved.

    Parameters
    ----------
    objective : Objective
        Columns are moved only if it has a single local part.
    reads_columns : bool
        Whether the solver reads columns unchanged; otherwise it centres them implicitly, and ignores columns without
        spread.
    """
    part = objective.local
    if part is None or not objective.fit_intercept:
        return None
    known = part.kept.moved
    if reads_columns not in known:
        known[reads_columns] = _find(objective, part, reads_columns)
    return known[reads_columns]


def _find(objective: Objective, part: Part, reads_columns: bool) -> Any:
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


def known_moved(objective: Objective) -> Any:
    """Return a Moved that `moved` has returned for this objective, or None."""
    found = () if objective.local is None else objective.local.kept.moved.values()
    return next((one for one in found if one is not None), None)


def _may_be_far(part: Part) -> bool:
    """Tell whether a column may be far from zero, without a whole pass over sparse X."""
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


def _moved(X: Table, offset: Array, flat: Array, n_threads: int | None) -> Array:
    """Return X minus the offset of each column, with zeros in columns without spread."""
    offset = offset.astype(X.dtype)
    if isinstance(X, np.ndarray):
        moved = np.empty_like(X)

        def move(rows: slice) -> None:
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
