"""Columns that are made from CSR rows ("turned") when they are first needed.

With an L1 penalty few columns ever have weights. Only these are swept. The others just add a slope to the gradient,
which a pass over the rows gives as well. Such a pass takes longer than one over columns, so all columns are turned
after some passes: together, this costs at most about twice as much as the better of the two ways alone.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ... import kernels
from ...data.ranges import Ranges

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ...typing import Array


_FEW = 500_000  # entries that are turned at once: passes over them cost less than to choose among columns
_ENTRIES = 100_000  # in a range of columns that is worth its own thread
_BY_ROWS = 10  # products, after which it would have been better to turn all columns at once
_TURNS = 4  # the last of which takes all columns that are left


class Turned:
    """Columns in arrays with room for all of them, in the order in which they were needed.

    Parameters
    ----------
    X : CSR matrix
    counts : integers (parts, d), of the dtype of X's indices
        How many entries each column has in each range of rows; zero for columns that look empty.
    over_rows : Ranges
        These ranges.
    dtype : of the columns swept
    n_threads : int or None

    Attributes
    ----------
    exact, swept : kernels.Columns
        In the dtype of X, and in ``dtype``. Columns that have not been turned look empty.
    complete : bool
        Whether all columns have been turned.
    few : bool
        Whether there are so few entries that a pass over all of them costs hardly anything.
    """

    exact: kernels.Columns
    swept: kernels.Columns
    complete: bool
    few: bool

    def __init__(
        self, X: Any, counts: Array, over_rows: Ranges, dtype: np.dtype[Any], n_threads: int | None
    ) -> None:
        n, d = X.shape
        self._X, self._counts, self._over_rows, self._n_threads = X, counts, over_rows, n_threads
        self._rows = X.data, X.indices, X.indptr, n, d
        self._sizes = counts.sum(axis=0, dtype=np.int64)
        self._missing = self._sizes > 0
        self.complete = False
        self._used, self._turns, self._by_rows = 0, 0, 0
        self._nnz = int(self._sizes.sum())
        self._begin, self._end = np.zeros((2, d), counts.dtype)
        self._indices, self._values = np.empty(self._nnz, counts.dtype), np.empty(self._nnz, X.dtype)
        self._narrow = None if dtype == X.dtype else np.empty(self._nnz, dtype)
        self._show()
        self.few = self._nnz <= _FEW
        if self.few:
            self._turn(self._missing)

    def _show(self) -> None:
        n, d = self._X.shape
        places = self._indices, self._begin, self._end, n, d
        self.exact = self.swept = kernels.Columns((self._values, *places))
        if self._narrow is not None:
            self.swept = kernels.Columns((self._narrow, *places))

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs for the same bits: which columns the next products will be of, and how summed."""
        return {"missing": self._missing, "turns": self._turns, "by_rows": self._by_rows}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the state of another one."""
        if (turned := self._missing & ~state["missing"]).any():
            self._turn(turned)
        self._turns, self._by_rows = state["turns"], state["by_rows"]

    def need(self, find: Callable[[], Array], near: Callable[[], Array]) -> None:
        """Turn the columns that `find` names by a mask; if there are new ones, also those that `near` names."""
        if self.complete or not ((wanted := find()) & self._missing).any():
            return
        self._turns += 1
        chosen = (wanted | near()) & self._missing
        most = 2 * self._sizes[chosen].sum() > self._sizes[self._missing].sum()
        self._turn(self._missing if most or self._turns == _TURNS else chosen)

    def products(self, r: Array, out: Array, features: Array | None = None) -> None:
        """out (d,) becomes X' r; only in some places if there are `features`, which leaves out missing columns."""
        if features is None and self._by_rows == _BY_ROWS and not self.complete:
            self._turn(self._missing)
        if features is not None or self.complete:
            if features is None:
                features, pieces = self._all
            else:
                features = features[~self._missing[features]]
                pieces = self._pieces(features)
            pieces.map(lambda some: self.exact.products(r, out, features, some.start, some.stop))
            return
        self._by_rows += 1

        def part(some: slice) -> Array:
            sums = np.zeros(len(out))
            for call in self._over_rows.calls(some):
                kernels.products_of_rows(self._rows, r, sums, *call)
            return sums

        out[:] = sum(self._over_rows.map(part))

    def _turn(self, chosen: Array) -> None:
        """Turn the columns of a mask."""
        features = np.flatnonzero(chosen)
        sizes, counts = self._sizes[features], self._counts[:, features]
        end = self._used + np.cumsum(sizes)
        begin = end - sizes
        places = np.empty_like(self._counts)
        places[:, features] = begin + np.cumsum(counts, axis=0) - counts

        def turn(some: slice) -> None:
            own = places[self._over_rows.bounds.index(some.start)]
            for call in self._over_rows.calls(some):
                kernels.columns_of_rows(self._rows, chosen, own, self._indices, self._values, *call)

        self._over_rows.map(turn)
        new = slice(self._used, self._used + int(sizes.sum()))
        if self._narrow is not None:
            self._narrow[new] = self._values[new]
        self._begin[features], self._end[features], self._used = begin, end, new.stop
        self._missing = self._missing & ~chosen
        self.complete = not self._missing.any()
        pieces = self._pieces(features)
        if any(pieces.map(lambda some: self.exact.has_duplicates(features, some.start, some.stop))):
            self._add_up()

    @cached_property
    def _all(self) -> tuple[Array, Ranges]:
        everything = np.arange(len(self._sizes), dtype=np.intp)
        return everything, self._pieces(everything)

    def _pieces(self, features: Array) -> Ranges:
        """Return ranges of columns with about the same number of entries."""
        before = np.cumsum(self._sizes[features])
        nnz = int(before[-1]) if len(before) else 0
        count = max(1, min(64, nnz // _ENTRIES))
        inner = np.searchsorted(before, nnz * np.arange(1, count) / count).tolist()
        return Ranges([0, *inner, len(features)], self._n_threads)

    def _add_up(self) -> None:
        """Turn all columns, and add up entries that name the same place."""
        X = self._X.tocsc()
        X.sum_duplicates()
        self._missing, self.complete = np.zeros(len(self._missing), bool), True
        self._values, self._indices, self._begin, self._end = X.data, X.indices, X.indptr[:-1], X.indptr[1:]
        if self._narrow is not None:
            self._narrow = X.data.astype(self._narrow.dtype)
        self._sizes = np.diff(X.indptr)
        self._show()
