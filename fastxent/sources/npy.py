"""NumPy's own files, mapped into memory: nothing is parsed, and no cache is needed."""

from __future__ import annotations

import os
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from ..readers.batch import DataError
from .source import Piece, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from typing import Any

    from ..typing import ArrayLike, OnBadRows, Path


class NpySource(Source):
    """Rows of .npy files: a dense array, or the three arrays of a CSR matrix.

    Parameters
    ----------
    X : str, os.PathLike, or three of them
        A file with an array (n, d); or those of ``data``, ``indices`` and ``indptr``, as of a scipy.sparse matrix.
    y : str, os.PathLike, array-like or None
        Labels (n,), or soft labels (n, K). None: there are none, for predictions.
    weight : str, os.PathLike, array-like or None
    n_features : int or None
        The number of columns of a CSR matrix, which its arrays do not tell.
    batch_rows : int
    on_bad_rows : {'raise', 'skip'}
        A row with NaN or infinity is an error with file, row and value, or it is left out and counted in ``skipped_``.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fastxent.sources import NpySource
    >>> path = os.path.join(tempfile.mkdtemp(), "X.npy")
    >>> np.save(path, np.arange(6.0).reshape(3, 2))
    >>> for X, y in NpySource(path, [0, 1, 1], batch_rows=2):
    ...     print(X.tolist(), y)
    [[0.0, 1.0], [2.0, 3.0]] [0 1]
    [[4.0, 5.0]] [1]
    """

    y: Path | ArrayLike | None
    weight: Path | ArrayLike | None

    def __init__(
        self,
        X: Path | Sequence[Path],
        y: Path | ArrayLike | None = None,
        weight: Path | ArrayLike | None = None,
        *,
        n_features: int | None = None,
        batch_rows: int = 65536,
        on_bad_rows: OnBadRows = "raise",
    ) -> None:
        super().__init__(batch_rows, on_bad_rows, None, 0)
        self.X: Any = X
        self.y, self.weight = y, weight
        self.n_features: Any = n_features
        self._sparse = not isinstance(X, (str, os.PathLike))
        self._good: dict[int, object] = {}  # the version of rows that were found good, by the first row
        if self._sparse:
            if not isinstance(X, (list, tuple)) or len(X) != 3:
                raise TypeError(
                    f"X must be a path, or three of data, indices and indptr; got {type(X).__name__}. Arrays in memory "
                    "need no source."
                )
            if not isinstance(n_features, Integral) or n_features < 1:
                raise ValueError(
                    f"n_features must be the number of columns of a CSR matrix; got {n_features!r}."
                )

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_good": {}}

    def _version(self, number: int) -> Hashable:
        return self._good.get(number * self.batch_rows)

    def _files(self) -> Any:
        """What the files of X are like now, or None."""
        paths = self.X if self._sparse else [self.X]
        if not all(isinstance(path, (str, os.PathLike)) for path in paths):
            return None
        found = [os.stat(path) for path in paths]
        return tuple((one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns) for one in found)

    def _pieces(self, wanted: Callable[[int, int], bool] | None = None) -> Iterator[Piece | int]:
        files = self._files()
        X, n = self._csr() if self._sparse else self._dense()
        y, weight = (None if part is None else _loaded(part) for part in (self.y, self.weight))
        for name, values in (("y", y), ("weight", weight)):
            if values is not None and (values.ndim == 0 or len(values) != n):
                raise DataError(
                    _name(self.X),
                    None,
                    f"has {n} rows, and {name} has shape {values.shape}: one entry for each is wanted",
                )
        for start in range(0, n, self.batch_rows):
            rows = slice(start, min(start + self.batch_rows, n))
            if wanted is not None and not wanted(start, rows.stop):
                yield rows.stop - start
                continue
            version = None if files is None else (files, start, rows.stop)
            some = X(rows)
            piece = Piece(some, *(None if part is None else np.asarray(part[rows]) for part in (y, weight)))
            if version is None or self._good.get(start) != version:
                given, piece = piece, self._without_bad(piece, start)
                self._good[start] = version if piece is given else None
            yield piece

    def _dense(self) -> Any:
        X = _loaded(self.X)
        if X.ndim != 2 or 0 in X.shape or X.dtype.kind not in "biuf":
            raise DataError(
                _name(self.X), None, f"should be a table of numbers; it has shape {X.shape}, dtype {X.dtype}"
            )
        return lambda rows: np.asarray(X[rows]), len(X)

    def _csr(self) -> Any:
        data, indices, indptr = map(_loaded, self.X)
        name = _name(self.X[2])
        if (
            not (data.ndim == indices.ndim == indptr.ndim == 1)
            or len(indptr) < 2
            or len(data) != len(indices)
        ):
            shapes = ", ".join(str(part.shape) for part in (data, indices, indptr))
            raise DataError(
                name, None, f"data, indices and indptr of a CSR matrix cannot have the shapes {shapes}"
            )
        if indices.dtype.kind not in "iu" or indptr.dtype.kind not in "iu" or data.dtype.kind not in "biuf":
            kinds = f"{data.dtype}, {indices.dtype} and {indptr.dtype}"
            raise DataError(
                name, None, f"data should be numbers, indices and indptr whole numbers; they are {kinds}"
            )

        def batch(rows: slice) -> Any:
            ends = np.asarray(indptr[rows.start : rows.stop + 1]).astype(np.int64)
            steps = np.diff(ends, prepend=0 if rows.start == 0 else ends[0])
            if (steps < 0).any() or ends[0] < 0 or ends[-1] > len(data) or (rows.start == 0 and ends[0] != 0):
                at = rows.start + max(0, int(np.argmax(steps < 0)) - 1)
                raise DataError(
                    name, f"row {at}", f"indptr must begin at 0, never fall, and end at {len(data)} or before"
                )
            inside = slice(int(ends[0]), int(ends[-1]))
            columns = np.asarray(indices[inside])
            if columns.size and (columns.min() < 0 or columns.max() >= self.n_features):
                at = int(np.argmax((columns < 0) | (columns >= self.n_features)))
                row = rows.start + int(np.searchsorted(ends - ends[0], at, side="right")) - 1
                raise DataError(
                    _name(self.X[1]),
                    f"row {row}",
                    f"column {columns[at]} is not in 0..{self.n_features - 1} (n_features={self.n_features})",
                )
            pointers = ends - ends[0]
            if columns.dtype == np.int32 and pointers[-1] < 2**31:
                pointers = pointers.astype(np.int32)
            parts = np.asarray(data[inside]), columns, pointers
            return sp.csr_array(parts, shape=(rows.stop - rows.start, self.n_features))

        return batch, len(indptr) - 1

    def _without_bad(self, piece: Any, start: Any) -> Any:
        X = piece.X
        values = X.data if self._sparse else X
        if np.isfinite(values).all():
            return piece
        if self._sparse:
            row_of = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
            at = int(np.argmax(~np.isfinite(values)))
            i, j, value = int(row_of[at]), int(X.indices[at]), values[at]
            bad = np.unique(row_of[~np.isfinite(values)])
        else:
            i, j = (int(k) for k in np.argwhere(~np.isfinite(values))[0])
            value, bad = values[i, j], np.flatnonzero(~np.isfinite(values).all(axis=1))
        name = _name(self.X[0] if self._sparse else self.X)
        self._skip(DataError(name, f"row {start + i}", f"column {j} is {value}"), len(bad))
        good = np.setdiff1d(np.arange(X.shape[0]), bad)
        return Piece(X[good], *(None if part is None else part[good] for part in piece[1:]))


def _loaded(path: Path | ArrayLike) -> Any:
    if not isinstance(path, (str, os.PathLike)):
        return np.asarray(path)
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(str(path), None, f"cannot be read as .npy: {error}") from None
    if not isinstance(found, np.ndarray):
        raise DataError(
            str(path), None, "is an archive of several arrays: save each in a file of its own, by numpy.save"
        )
    return found


def _name(path: object) -> Any:
    return ", ".join(map(str, path)) if isinstance(path, (list, tuple)) else str(path)
