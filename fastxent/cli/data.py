"""Files as rows for a model."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from fastxent.arrays import is_sparse
from fastxent.readers.batch import DataError
from fastxent.readers.formats import reader
from fastxent.readers.stream import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..readers.batch import Columns


TABLES = "csv", "tsv", "parquet"


@dataclass
class Rows:
    """All rows of a file."""

    path: str
    form: str
    X: Any
    y: Any
    weight: Any
    places: list[
        tuple[int, Callable[[int], str]]
    ]  # of each batch: the number of its first row, and its function `place`

    def place(self, i: int) -> str:
        start, place = self.places[bisect_right(self.places, i, key=lambda entry: entry[0]) - 1]
        return place(i - start)


def gather(path: str, form: str, columns: Columns) -> Rows:
    """Read a file with labels as a whole. What is found out about its columns is put into ``columns``."""
    looks = form == "svmlight" and columns.first is None
    batches, places, count = [], [], 0
    for batch in reader(path, form, columns, True):
        batches.append(batch)
        places.append((count, batch.place))
        count += len(batch.y)
    if not batches:
        raise DataError(shown(path), None, "is empty")
    parts = [batch.X for batch in batches]
    X: Any
    if form == "text":
        X = [document for part in parts for document in part]
    elif is_sparse(parts[0]):
        X = _stacked(parts)
    else:
        X = np.concatenate(parts)
    if looks:
        columns.first = 0 if (X.indices == 0).any() else 1
        if columns.first:
            X = sp.csr_matrix((X.data, X.indices - 1, X.indptr), shape=(X.shape[0], max(X.shape[1] - 1, 1)))
    y = np.concatenate([batch.y for batch in batches])
    weight = None if batches[0].weight is None else np.concatenate([batch.weight for batch in batches])
    if columns.count is None and form != "text":
        columns.count = X.shape[1]
    return Rows(path, form, X, y, weight, places)


def _stacked(parts: list[Any]) -> Any:
    """Stack CSR matrices of different widths."""
    width = max(part.shape[1] for part in parts)
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    data, indices = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "indices"))
    return sp.csr_matrix((data, indices, indptr), shape=(len(lengths), width))


def of_width(X: Any, d: int, path: str, warn: Callable[[str], object]) -> Any:
    """Rows with as many columns as a model has. Missing columns are zero.

    Sparse files leave out zeros, so a file may have fewer columns. Those beyond the model's have no weights; as in
    LIBLINEAR, they are ignored, and ``warn`` is called. A dense table is refused if its width differs.
    """
    if X.shape[1] == d:
        return X
    if not is_sparse(X):
        raise DataError(shown(path), None, f"has {X.shape[1]} features, while the model has {d}")
    if X.shape[1] > d:
        warn(f"{shown(path)} has columns beyond the model's {d}, which are ignored")
        X = X[:, :d]
    return sp.csr_matrix((X.data, X.indices, X.indptr), shape=(X.shape[0], d))
