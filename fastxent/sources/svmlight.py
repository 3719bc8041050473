"""svmlight's format, in blocks of bytes."""

from __future__ import annotations

import os
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from ..readers import svmlight
from ..readers.batch import DataError
from ..readers.stream import blocks_of_lines, opened, packing_of, shown
from .places import files_of
from .source import Piece, Source, checked_dtype, checked_path, halves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Literal

    from ..typing import DTypeLike, OnBadRows, Path, Table


_SUFFIXES = tuple(
    name + packing for name in (".svm", ".svmlight", ".libsvm", ".txt") for packing in ("", ".gz", ".zst")
)


class SvmlightSource(Source):
    """Rows of files in svmlight's format, which LIBSVM and LIBLINEAR read: ``label column:value column:value ...``

    Parameters
    ----------
    path : str, os.PathLike, or a list of them
        Files, folders, patterns such as ``"part-*.svm.gz"``, and URLs that fsspec opens. Suffixes .gz and .zst are
        unpacked.
    n_features : int or None
        Number of columns of X. None: as many as the files have; they are read once to find out.
    zero_based : bool or 'auto'
        Whether columns count from 0. 'auto': they do if a column 0 occurs, which takes the same pass.
    dtype : {np.float64, np.float32}
    byte_range : (int, int) or None
        Of one file that is not packed, only the lines that begin in these bytes.
    batch_rows : int
    on_bad_rows : {'raise', 'skip'}
        A line that cannot be read is an error with file, line and value, or left out and counted in ``skipped_``.
    cache : str or None
        The folder for the cache; None is that of temporary files.
    cache_size : int
        The largest size of the cache in bytes; 0 is no cache. The cache is removed with the source.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastxent.sources import SvmlightSource
    >>> path = os.path.join(tempfile.mkdtemp(), "rows.svm")
    >>> with open(path, "w") as file:
    ...     _ = file.write("1 1:0.5 3:2\\n0 2:1\\n1 3:1.5\\n")
    >>> for X, y in SvmlightSource(path, batch_rows=2):
    ...     print(X.toarray().tolist(), y)
    [[0.5, 0.0, 2.0], [0.0, 1.0, 0.0]] [1 0]
    [[0.0, 0.0, 1.5]] [1]
    """

    path: Path | Sequence[Path]
    n_features: int | None
    dtype: np.dtype[np.floating[Any]]
    byte_range: tuple[int, int] | None

    def __init__(
        self,
        path: Path | Sequence[Path],
        *,
        n_features: int | None = None,
        zero_based: bool | Literal["auto"] = "auto",
        dtype: DTypeLike = np.float64,
        byte_range: tuple[int, int] | None = None,
        batch_rows: int = 65536,
        on_bad_rows: OnBadRows = "raise",
        cache: str | None = None,
        cache_size: int = 1 << 34,
    ) -> None:
        super().__init__(batch_rows, on_bad_rows, cache, cache_size)
        if n_features is not None and (not isinstance(n_features, Integral) or n_features < 1):
            raise ValueError(f"n_features must be a whole number of columns or None; got {n_features!r}.")
        if zero_based not in (True, False, "auto"):
            raise ValueError(f"zero_based must be True, False or 'auto'; got {zero_based!r}.")
        self.path, self.n_features, self.zero_based = checked_path(path), n_features, zero_based
        self.dtype, self.byte_range = checked_dtype(dtype), byte_range
        if byte_range is not None:
            first, stop = byte_range
            if not 0 <= first <= stop or not isinstance(path, (str, os.PathLike)) or packing_of(path):
                raise ValueError(
                    f"byte_range must be two places in one file that is not packed; got {byte_range!r} of {path!r}."
                )
        self._seen: Any = None  # the least and the largest column
        self._first: Any = None  # the column that is stored as 0: a guess, since 0 itself may come late

    def _has_to_be_seen(self) -> bool:
        return self._seen is None and (self.n_features is None or self.zero_based == "auto")

    def _finished(self, X: Table) -> Table:
        first = int(not self.zero_based) if self.zero_based != "auto" else int(self._seen[0] > 0)
        d = max(1, self._seen[1] + 1 - first) if self.n_features is None else self.n_features
        indices = X.indices if first == self._first else X.indices + np.int32(self._first - first)
        return sp.csr_array((X.data, indices, X.indptr), shape=(X.shape[0], d))

    def _pieces(self, wanted: Callable[[int, int], bool] | None = None) -> Iterator[Piece | int]:
        least, largest, rows = 1, -1, 0
        self._first = int(self.zero_based is False)
        for file in files_of(self.path, _SUFFIXES):
            for number, place, block in self._blocks(file):
                if wanted is not None:
                    count = svmlight.count_rows(number, block)
                    if not wanted(rows, rows + count):
                        rows += count
                        yield count
                        continue
                for batch in self._usable(shown(file), number, place, block):
                    X = batch.X.astype(self.dtype)
                    if X.nnz:
                        here = int(X.indices.min())
                        if largest < 0 and self.zero_based == "auto":
                            self._first = int(here > 0)
                        least, largest = min(least, here), max(largest, int(X.indices.max()))
                        X.indices -= np.int32(self._first)
                    rows += X.shape[0]
                    yield Piece(X, batch.y, None)
        if not rows:
            raise DataError(str(self.path), None, "has no rows")
        if (
            self.n_features is not None
            and largest + int(least == 0) > self.n_features
            and self.zero_based == "auto"
        ):
            raise DataError(
                str(self.path),
                None,
                f"has columns 0 and {largest}, which contradicts n_features={self.n_features}",
            )
        if wanted is None:
            self._seen = least, largest

    def _blocks(self, file: Any) -> Iterator[Any]:
        """The number of the first line, where its byte is if lines are not counted, and whole lines."""
        if self.byte_range is None:
            with opened(file) as stream:
                for number, block in blocks_of_lines(stream):
                    yield number, None, block
            return
        first, stop = self.byte_range
        with opened(file) as stream:
            stream.seek(max(0, first - 1))
            if first:
                stream.readline()  # it begins before
            place = stream.tell()
            while place < stop:
                block = stream.read(min(1 << 20, stop - place))
                if not block:
                    return
                if not block.endswith(b"\n"):
                    block += stream.readline()
                yield 2, place, block  # only line 1 of a file may begin with a mark
                place += len(block)

    def _usable(self, name: str, number: int, place: Any, block: Any) -> Iterator[Any]:
        """The batches of a block without its bad lines, which are found by halving."""
        try:
            batch = svmlight.batch_of(name, number, block, 0, True)
            if batch is not None and batch.X.nnz:
                self._check_columns(name, batch)
        except DataError as error:
            halved = halves(block)
            if halved is None or self.on_bad_rows == "raise":
                if place is not None:
                    error = _at_byte(name, number, place, block, error)
                self._skip(error)
                return
            before, count, after = halved
            yield from self._usable(name, number, place, before)
            place = None if place is None else place + len(before)
            yield from self._usable(name, number + count, place, after)
        else:
            if batch is not None:
                yield batch

    def _check_columns(self, name: str, batch: Any) -> None:
        columns = batch.X.indices
        least = int(self.zero_based is False)
        largest = np.inf if self.n_features is None else self.n_features - int(self.zero_based is True)
        wrong = (columns < least) | (columns > largest)
        if wrong.any():
            at = int(np.argmax(wrong))
            row = int(np.searchsorted(batch.X.indptr, at, side="right")) - 1
            wanted = f"n_features={self.n_features}" if columns[at] > largest else "zero_based=False"
            raise DataError(name, batch.place(row), f"has a column {columns[at]}, which contradicts {wanted}")


def _at_byte(name: str, number: int, place: Any, block: Any, error: BaseException) -> Any:
    """The error with the byte of its line in the file, in place of the line's number in a range."""
    text = str(error)
    begin = f"{name}, line "
    if not text.startswith(begin):
        return error
    line, _, message = text.removeprefix(begin).partition(": ")
    for _ in range(int(line.split()[0]) - number):
        end = block.index(b"\n") + 1
        place, block = place + end, block[end:]
    return DataError(name, f"byte {place}", message)
