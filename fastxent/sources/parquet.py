"""Parquet: columns of numbers, lists, indices and values, or categories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from ..readers.batch import DataError, FormatError, pyarrow
from ..readers.stream import file_systems, is_url, shown
from .places import files_of
from .source import Piece, Source, checked_dtype, checked_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from ..typing import DTypeLike, OnBadRows, Path, Table


_SUFFIXES = (".parquet", ".pq")


class ParquetSource(Source):
    """Rows of Parquet files; a part of a row group is in memory at a time. Needs pyarrow.

    Parameters
    ----------
    path : str, os.PathLike, or a list of them
        Files, folders, patterns, and URLs that fsspec opens.
    label : str or None, default='label'
        The column of labels: whole numbers, truth values or strings. None: there are none, for predictions.
    features : list of str, str or None
        Columns of numbers and of categories; or the one column of lists, all of the same length. None: all columns that
        have no other part. Categories are columns of strings or of Arrow's dictionaries. Each category, in order,
        becomes a column that is 1 in its rows and is not stored in others; the files are read once to find them.
    weight : str or None
        The column of weights.
    indices, values : str or None
        Columns of lists that name a row's columns, from 0, and their values; without values, all are 1. In place of
        features.
    n_features : int or None
        Number of columns of X by ``indices``. None: as many as the files have; they are read once to find out.
    dtype : {np.float64, np.float32} or None
        None is float32 if all features are, else float64.
    batch_rows : int
    on_bad_rows : {'raise', 'skip'}
        A row that lacks a value, or has NaN, infinity or a negative weight, is an error with file, row and value, or
        left out and counted in ``skipped_``.
    cache : str or None
        The folder for the cache; None is that of temporary files.
    cache_size : int
        The largest size of the cache in bytes; 0 is no cache. The cache is removed with the source.

    Attributes
    ----------
    feature_names_ : list of str or None
        After a pass over columns: their names, with ``name=category`` for categories.

    Examples
    --------
    >>> import os, tempfile
    >>> import pyarrow as pa, pyarrow.parquet as pq
    >>> from fastxent.sources import ParquetSource
    >>> path = os.path.join(tempfile.mkdtemp(), "rows.parquet")
    >>> table = pa.table({"size": [1.5, 2.0, 0.5], "colour": ["red", "blue", "red"], "kind": ["a", "b", "a"]})
    >>> pq.write_table(table, path)
    >>> source = ParquetSource(path, label="kind")
    >>> for X, y in source:
    ...     print(X.toarray().tolist(), y)
    [[1.5, 0.0, 1.0], [2.0, 1.0, 0.0], [0.5, 0.0, 1.0]] ['a' 'b' 'a']
    >>> source.feature_names_
    ['size', 'colour=blue', 'colour=red']
    """

    path: Path | Sequence[Path]
    label: str | None
    features: str | Sequence[str] | None
    weight: str | None
    indices: str | None
    values: str | None
    dtype: np.dtype[np.floating[Any]] | None

    def __init__(
        self,
        path: Path | Sequence[Path],
        *,
        label: str | None = "label",
        features: str | Sequence[str] | None = None,
        weight: str | None = None,
        indices: str | None = None,
        values: str | None = None,
        n_features: int | None = None,
        dtype: DTypeLike | None = None,
        batch_rows: int = 65536,
        on_bad_rows: OnBadRows = "raise",
        cache: str | None = None,
        cache_size: int = 1 << 34,
    ) -> None:
        super().__init__(batch_rows, on_bad_rows, cache, cache_size)
        if features is not None and indices is not None:
            raise ValueError("features and indices are two ways to have a row: give one of them.")
        if values is not None and indices is None:
            raise ValueError("values is for the columns that indices names: give both, or use features.")
        self.path, self.label, self.features, self.weight = checked_path(path), label, features, weight
        self.indices, self.values = indices, values
        self.n_features: Any = n_features
        self.dtype = None if dtype is None else checked_dtype(dtype)
        self.feature_names_: list[str] | None = None
        self._categories: Any = None
        self._width: Any = None
        self._first: Any = None

    def _has_to_be_seen(self) -> bool:
        """Whether categories, or the number of columns, are not known yet."""
        if self._width is not None:
            return False
        if self.indices is not None:
            return self.n_features is None
        if self._categories is None:
            self._learn_categories()
        return False

    def _finished(self, X: Table) -> Table:
        if self.indices is None:
            return X
        width = self._width if self.n_features is None else self.n_features
        return sp.csr_array((X.data, X.indices, X.indptr), shape=(X.shape[0], width))

    # Files --------------------------------------------------------------------------------------------

    def _tables(self, columns_of: Any, wanted: Any = None) -> Iterator[Any]:
        """Yield the name of a file, the number of the first row, and a part of its columns, by `columns_of(schema)`.

        Numbers of rows stand in for row groups without rows that are wanted, see `_pieces`.
        """
        arrow = pyarrow("ParquetSource")
        import pyarrow.parquet as pq

        before = 0  # rows of earlier files
        for path in files_of(self.path, _SUFFIXES):
            name = shown(path)
            try:
                with _opened(path) as source, pq.ParquetFile(source) as file:
                    columns = columns_of(name, file.schema_arrow)
                    first = 0
                    for groups in _groups(file, wanted, before):
                        if not isinstance(groups, list):
                            first += groups
                            yield name, first, groups
                            continue
                        how = {"columns": columns, "row_groups": groups, "use_threads": False}
                        for batch in file.iter_batches(self.batch_rows, **how):
                            yield name, first, batch
                            first += batch.num_rows
                    before += first
            except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                raise DataError(name, None, f"cannot be read as Parquet: {error}") from None

    def _columns(self, name: str, schema: Any) -> Any:
        """The columns that are read, whose types must be those of the first file."""
        if self.indices is not None:
            features = [self.indices, *([] if self.values is None else [self.values])]
        elif self.features is None:
            others = {self.label, self.weight}
            features = [column for column in schema.names if column not in others]
        else:
            features = [self.features] if isinstance(self.features, str) else list(self.features)
        wanted = [*features, *(column for column in (self.label, self.weight) if column is not None)]
        for column in wanted:
            if column not in schema.names:
                known = ", ".join(schema.names[:8]) + (", ..." if len(schema.names) > 8 else "")
                raise FormatError(f"{name} has no column {column!r}; its columns are {known}")
        if not features:
            raise FormatError(f"{name} has no columns of features beside {', '.join(map(repr, wanted))}")
        kinds = {column: _kind(name, schema.field(column)) for column in features}
        if self._first is None:
            self._first = name, kinds
        elif kinds != self._first[1]:
            other = next((column for column in kinds if self._first[1].get(column) != kinds[column]), None)
            what = f"column {other!r} is {kinds.get(other)}" if other else f"the columns {list(kinds)}"
            raise FormatError(
                f"{name}: {what}, and in {self._first[0]} it is {self._first[1].get(other, 'none')}: files must agree"
            )
        self._features = features
        return wanted

    def _learn_categories(self) -> None:
        """Go through the columns of categories, if there are any."""
        import pyarrow.types as types

        found: dict[str, set[str]] = {}

        def columns(name: str, schema: Any) -> Any:
            self._columns(name, schema)
            return [
                column
                for column in self._features
                if _is_category(types, schema.field(column).type) and not isinstance(self.features, str)
            ]

        for _, _, batch in self._tables(columns):
            for column in batch.schema.names:
                found.setdefault(column, set()).update(
                    _plain(batch.column(column)).unique().drop_null().to_pylist()
                )
        self._categories = {column: sorted(found[column]) for column in self._features if column in found}
        if not isinstance(self.features, str):
            self.feature_names_ = [
                name
                for column in self._features
                for name in (
                    [f"{column}={value}" for value in self._categories[column]]
                    if column in self._categories
                    else [column]
                )
            ]

    # Rows ---------------------------------------------------------------------------------------------

    def _pieces(self, wanted: Callable[[int, int], bool] | None = None) -> Iterator[Piece | int]:
        rows, width = 0, 0
        for name, first, batch in self._tables(self._columns, wanted):
            if isinstance(batch, int):
                rows += batch
                yield batch
                continue
            if not batch.num_rows:
                continue
            faults = _Faults(batch)
            X = self._rows(batch, faults)
            y = None if self.label is None else _labels(batch, self.label, faults)
            weight = None
            if self.weight is not None:
                weight = faults.numbers(self.weight, np.float64)
                faults.add(self.weight, weight < 0, "is {}, and weights must not be negative")
            if faults.bad.any():
                i, text = faults.first()
                self._skip(DataError(name, f"row {first + i + 1}", text), int(faults.bad.sum()))
                good = np.flatnonzero(~faults.bad)
                X, y, weight = X[good], *(None if part is None else part[good] for part in (y, weight))
            rows += X.shape[0]
            width = max(width, X.shape[1])
            if X.shape[0]:
                yield Piece(X, y, weight)
        if not rows:
            raise DataError(str(self.path), None, "has no rows")
        if wanted is None:
            self._width = width

    def _rows(self, batch: Any, faults: Any) -> Any:
        if self.indices is not None:
            return self._by_indices(batch, faults)
        if isinstance(self.features, str):
            return self._of_lists(batch, faults)
        dtype = self._dtype([batch.column(c).type for c in self._features if c not in self._categories])
        if not self._categories:
            X = np.empty((batch.num_rows, len(self._features)), dtype)
            for j, column in enumerate(self._features):
                X[:, j] = faults.numbers(column, dtype)
            return X
        return self._one_hot(batch, faults, dtype)

    def _one_hot(self, batch: Any, faults: Any, dtype: np.dtype[Any]) -> Any:
        """Each category is a column of its own; of numbers, zeros are not stored."""
        n, count = batch.num_rows, len(self._features)
        indices, data, width = np.zeros((n, count), np.int32), np.ones((n, count), dtype), 0
        for j, column in enumerate(self._features):
            if column in self._categories:
                categories = self._categories[column]
                indices[:, j] = width + faults.codes(column, categories)
                width += len(categories)
            else:
                data[:, j] = faults.numbers(column, dtype)
                indices[:, j] = width
                width += 1
        stored = data != 0
        indptr = np.concatenate([[0], np.cumsum(stored.sum(axis=1))]).astype(np.int32)
        return sp.csr_array((data[stored], indices[stored], indptr), shape=(n, width))

    def _of_lists(self, batch: Any, faults: Any) -> Any:
        column = batch.column(self.features)
        dtype = self._dtype([column.type.value_type])
        lengths = _lengths(column)
        if self._width is None:
            self._width = int(np.max(lengths))
        faults.add(self.features, lengths != self._width, f"is no list of {self._width} numbers")
        X = np.zeros((batch.num_rows, self._width), dtype)
        X[~faults.bad] = _numbers(column.filter(_mask(~faults.bad)).flatten(), dtype).reshape(-1, self._width)
        faults.add(
            self.features, ~np.isfinite(X).all(axis=1), "has numbers that are missing, NaN or infinite: {}"
        )
        return X

    def _by_indices(self, batch: Any, faults: Any) -> Any:
        column = batch.column(self.indices)
        lengths = _lengths(column)
        faults.add(self.indices, lengths < 0, "is missing")
        if self.values is not None:
            faults.add(
                self.values,
                _lengths(batch.column(self.values)) != lengths,
                "has another length than the indices",
            )
        usable = _mask(~faults.bad)
        kept = np.where(faults.bad, 0, lengths)
        indptr = np.concatenate([[0], np.cumsum(kept)])
        if indptr[-1] < 2**31:  # or SciPy would make the columns int64, too
            indptr = indptr.astype(np.int32)
        indices = column.filter(usable).flatten()
        most = 2**31 - 1 if self.n_features is None else self.n_features
        columns = np.asarray(indices.fill_null(-1).to_numpy(zero_copy_only=False)).astype(np.int64)
        row_of = np.repeat(np.arange(batch.num_rows), kept)
        faults.add_entries(
            self.indices, row_of, (columns < 0) | (columns >= most), columns, f"is not in 0..{most - 1}"
        )
        if self.values is None:
            data = np.ones(len(columns), self.dtype or np.float64)
        else:
            values = batch.column(self.values)
            data = _numbers(values.filter(usable).flatten(), self._dtype([values.type.value_type]))
            faults.add_entries(self.values, row_of, ~np.isfinite(data), data, "is no finite number")
        columns = np.where((columns < 0) | (columns >= most), 0, columns).astype(np.int32)  # of rows that go
        d = most if self.n_features is not None else int(columns.max(initial=0)) + 1
        return sp.csr_array((data, columns, indptr), shape=(batch.num_rows, d))

    def _dtype(self, types: Any) -> Any:
        if self.dtype is not None:
            return self.dtype
        single = bool(types) and all(str(kind) in ("float", "halffloat") for kind in types)
        return np.dtype(np.float32 if single else np.float64)


class _Faults:
    """The bad rows of a batch."""

    def __init__(self, batch: Any) -> None:
        self.batch, self.bad = batch, np.zeros(batch.num_rows, bool)
        self._first: tuple[int, str] | None = None

    def add(self, column: Any, wrong: Any, text: str) -> None:
        """Note the rows that are wrong. text: what a column is, with a place for the value."""
        wrong = wrong & ~self.bad
        if wrong.any():
            i = int(np.argmax(wrong))
            value = self.batch.column(column)[i].as_py()
            self._note(i, f"column {column!r} " + text.format(_shown(value)))
        self.bad |= wrong

    def add_entries(self, column: Any, row_of: Any, wrong: Any, entries: Any, text: str) -> None:
        """The same of entries of lists."""
        if wrong.any():
            at = int(np.argmax(wrong))
            self._note(int(row_of[at]), f"column {column!r} has {entries[at]}, which {text}")
        self.bad[row_of[wrong]] = True

    def numbers(self, column: Any, dtype: DTypeLike) -> Any:
        found = _numbers(self.batch.column(column), dtype)
        self.add(column, ~np.isfinite(found), "is {}, not a finite number")
        return found

    def codes(self, column: Any, categories: Any) -> Any:
        """The places of values in sorted categories."""
        encoded = _plain(self.batch.column(column)).dictionary_encode()
        place = {value: code for code, value in enumerate(categories)}
        names = encoded.dictionary.to_pylist()
        of_names = np.array([place.get(value, -1) for value in names] + [-1])
        codes = of_names[encoded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)]
        self.add(column, codes < 0, "is {}, which is no category of the first pass")
        return np.maximum(codes, 0)

    def first(self) -> Any:
        """The first bad row, and what is wrong with it."""
        return self._first

    def _note(self, i: int, text: str) -> None:
        if self._first is None or i < self._first[0]:
            self._first = i, text


def _groups(file: Any, wanted: Any, first: int) -> Any:
    """The row groups of a file that are read together; numbers of rows for those without rows that are wanted."""
    if wanted is None:
        return [list(range(file.num_row_groups))]
    found = []
    for i in range(file.num_row_groups):
        count = file.metadata.row_group(i).num_rows
        found.append([i] if wanted(first, first + count) else count)
        first += count
    return found


def _opened(path: str) -> Any:
    return file_systems(path).open(path, "rb") if is_url(path) else open(path, "rb")


def _kind(name: str, field: Any) -> Any:
    """What a column of features holds, in a word; refused if rows cannot be made of it."""
    import pyarrow.types as types

    def is_number(kind: Any) -> Any:
        return (
            types.is_floating(kind)
            or types.is_integer(kind)
            or types.is_boolean(kind)
            or types.is_decimal(kind)
        )

    if is_number(field.type):
        return "number"
    if _is_category(types, field.type):
        return "category"
    if any(
        is_list(field.type) for is_list in (types.is_list, types.is_large_list, types.is_fixed_size_list)
    ) and is_number(field.type.value_type):
        return "list"
    raise FormatError(
        f"{name}: column {field.name!r} holds {field.type}; features are numbers, categories or lists of numbers"
    )


def _is_category(types: Any, kind: Any) -> Any:
    return types.is_dictionary(kind) or types.is_string(kind) or types.is_large_string(kind)


def _plain(column: Any) -> Any:
    return column.dictionary_decode() if hasattr(column, "dictionary_decode") else column


def _lengths(column: Any) -> Any:
    """The lengths of lists, -1 for those that are missing."""
    import pyarrow.compute as pc

    return pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def _mask(chosen: Any) -> Any:
    import pyarrow as pa

    return pa.array(chosen)


def _numbers(column: Any, dtype: DTypeLike) -> Any:
    """Numbers of a column, NaN for those that are missing."""
    import pyarrow as pa

    found = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        return found.astype(dtype, copy=False)


def _labels(batch: Any, name: str, faults: Any) -> Any:
    import pyarrow as pa

    column = _plain(batch.column(name))
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        faults.add(name, column.is_null().to_numpy(zero_copy_only=False), "has no label")
        encoded = column.fill_null("").dictionary_encode()
        names = np.array(encoded.dictionary.to_pylist(), dtype=str)
        return names[encoded.indices.to_numpy(zero_copy_only=False)]
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        faults.add(name, column.is_null().to_numpy(zero_copy_only=False), "has no label")
        return np.asarray(
            column.fill_null(False if pa.types.is_boolean(kind) else 0).to_numpy(zero_copy_only=False)
        )
    if pa.types.is_floating(kind):
        return faults.numbers(name, np.float64)
    raise FormatError(
        f"the column {name!r} of labels holds {kind}; labels are whole numbers, truth values or strings"
    )


def _shown(value: Any) -> Any:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "..."
