"""What all sources do: batches of equal size, bad rows, the cache."""

from __future__ import annotations

import os
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from ..arrays import is_sparse
from ..log import tell
from .cache import Cache
from .ones import stored_values, values_of, with_shared_ones

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from .. import typing
    from ..typing import DTypeLike, OnBadRows, Path, Table


class Piece(NamedTuple):
    """Rows as they were parsed: of any number."""

    X: Any  # csr_array or array
    y: Any  # array, or None
    weight: Any  # array or None


class Batch(tuple[Any, ...]):
    """A batch that says what it was read from.

    Attributes
    ----------
    version : hashable or None
        Batches of the same version have the same X, which then need not be checked again. None: it is not known.
    """

    version: Hashable

    def __new__(cls, members: tuple[Any, ...], version: Hashable) -> Batch:
        self = super().__new__(cls, members)
        self.version = version
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (list(self),)  # elsewhere, it is not known


class Source:
    """Batches (X, y) or (X, y, weight) of files, or (X,) without labels, the same ones in every pass.

    Subclasses have ``_pieces()``, which parses, and ``_finished(X)``, which knows what the first pass found.

    Attributes
    ----------
    skipped_ : int
        Bad rows that the last whole pass over the files left out.
    """

    batch_rows: int
    on_bad_rows: OnBadRows
    cache: str | None
    cache_size: int
    skipped_: int
    _cache: Cache | None
    _skipping: int

    def __init__(self, batch_rows: int, on_bad_rows: OnBadRows, cache: str | None, cache_size: int) -> None:
        if not isinstance(batch_rows, Integral) or batch_rows < 1:
            raise ValueError(f"batch_rows must be a whole number of rows, at least 1; got {batch_rows!r}.")
        if on_bad_rows not in ("raise", "skip"):
            raise ValueError(f"on_bad_rows must be 'raise' or 'skip'; got {on_bad_rows!r}.")
        if not isinstance(cache_size, Integral) or cache_size < 0:
            raise ValueError(f"cache_size must be a number of bytes, or 0 for no cache; got {cache_size!r}.")
        self.batch_rows, self.on_bad_rows = int(batch_rows), on_bad_rows
        self.cache, self.cache_size = cache, int(cache_size)
        self.skipped_ = 0
        self._cache = None

    def __iter__(self) -> Iterator[typing.Batch]:
        if self._cache is None and self._has_to_be_seen():
            for _ in self._parsed():  # to the end: then it is known
                pass
        for (X, y, weight), version in self._parsed() if self._cache is None else self._cached():
            X = self._finished(X)
            yield Batch((X,) if y is None else (X, y) if weight is None else (X, y, weight), version)

    def some(self, wanted: Callable[[int], bool]) -> Iterator[tuple[int, typing.Batch]]:
        """Yield the number and the batch of those whose number is wanted, by ``wanted(number)``; others are not parsed.

        They are if it takes a pass to know the columns, or where bad rows begin to move the others.
        """
        if self._cache is not None or self._has_to_be_seen() or self.on_bad_rows == "skip":
            yield from ((number, batch) for number, batch in enumerate(self) if wanted(number))
            return
        self._skipping = 0

        def rows_wanted(first: int, stop: int) -> bool:
            return any(map(wanted, range(first // self.batch_rows, -(-stop // self.batch_rows))))

        for number, (X, y, weight) in _some_of_size(self._pieces(rows_wanted), self.batch_rows, wanted):
            X = self._finished(X)
            yield number, (X,) if y is None else (X, y) if weight is None else (X, y, weight)

    def close(self) -> None:
        """Remove the cache; the next pass makes another."""
        if self._cache is not None:
            self._cache.close()
        self._cache = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_cache": None}

    def _pieces(self, wanted: Callable[[int, int], bool] | None = None) -> Iterator[Piece | int]:
        """Yield a Piece after the other, and count bad rows by `_skip`.

        wanted : callable or None
            The numbers of rows stand in for pieces without rows that are wanted, by ``wanted(first, stop)``.
        """
        raise NotImplementedError

    def _has_to_be_seen(self) -> bool:
        """Whether the files have to be gone through before a batch can be given."""
        return False

    def _finished(self, X: Table) -> Table:
        """X as it is given away."""
        return X

    def _version(self, number: int) -> Hashable:
        """The version of a batch that is not in the cache."""
        return None

    def _skip(self, error: Exception, rows: int = 1) -> None:
        """Count bad rows, or raise the error for them."""
        if self.on_bad_rows == "raise":
            raise error from None
        self._skipping += rows

    # The cache ----------------------------------------------------------------------------------------

    def _parsed(self) -> Iterator[tuple[Piece, Hashable]]:
        """Pieces from the files, and their versions; if all are asked for, they are in the cache then."""
        self._skipping = 0
        cache = self._new_cache()
        try:
            for number, piece in enumerate(_of_size(self._pieces(), self.batch_rows)):
                piece = piece._replace(X=with_shared_ones(piece.X))
                if cache is not None and not _stored(cache, piece):
                    tell(
                        f"{type(self).__name__}: more than cache_size={self.cache_size} bytes, or than the disk has "
                        "room for; every pass parses the files again."
                    )
                    cache.close()
                    cache = None
                    self.cache_size = 0
                yield piece, self._version(number) if cache is None else cache.version(number)
        except BaseException:
            if cache is not None:
                cache.close()
            raise
        self.skipped_ = self._skipping
        self._cache = cache

    def _new_cache(self) -> Cache | None:
        return Cache(self.cache, self.cache_size) if self.cache_size > 0 else None

    def _cached(self) -> Iterator[tuple[Piece, Hashable]]:
        assert self._cache is not None
        for number, arrays in enumerate(self._cache):
            kind, shape, *arrays = arrays
            is_sparse, has_labels, has_weights = kind
            weight = arrays.pop() if has_weights else None
            y = arrays.pop() if has_labels else None
            if is_sparse:
                stored, indices, indptr = arrays
                X = sp.csr_array((values_of(stored, len(indices)), indices, indptr), shape=tuple(shape))
            else:
                [X] = arrays
            yield Piece(X, y, weight), self._cache.version(number)


def _stored(cache: Cache, piece: Piece) -> bool:
    X, y, weight = piece
    sparse = is_sparse(X)
    parts = [stored_values(X.data), X.indices, X.indptr] if sparse else [X]
    head = [np.array([sparse, y is not None, weight is not None]), np.array(X.shape)]
    rest = [part for part in (y, weight) if part is not None]
    try:
        return cache.append([*head, *parts, *rest])
    except OSError:
        return False


def _of_size(pieces: Iterable[Any], size: int) -> Iterator[Piece]:
    """Pieces of `size` rows, the last of fewer."""
    waiting: list[Piece] = []
    count = 0
    for piece in pieces:
        while piece is not None and count + piece.X.shape[0] >= size:
            first, piece = _cut(piece, size - count)
            yield _joined([*waiting, first])
            waiting, count = [], 0
        if piece is not None:
            waiting.append(piece)
            count += piece.X.shape[0]
    if waiting:
        yield _joined(waiting)


def _some_of_size(
    pieces: Iterable[Piece | int], size: int, wanted: Callable[[int], bool]
) -> Iterator[tuple[int, Piece]]:
    """The number and the Piece of batches of `size` rows. Numbers of rows stand in for pieces that none of them has."""
    waiting: list[Piece] = []
    at = 0
    for piece in pieces:
        if not isinstance(piece, Piece):
            at += piece
            continue
        while piece is not None:
            number, left = at // size, size - at % size
            first, piece = _cut(piece, min(left, piece.X.shape[0]))
            at += first.X.shape[0]
            if wanted(number):
                waiting.append(first)
                if at % size == 0:
                    yield number, _joined(waiting)
                    waiting = []
    if waiting:
        yield at // size, _joined(waiting)


def _cut(piece: Piece, n: int) -> tuple[Piece, Piece | None]:
    """The first n rows, and the others or None."""
    if n == piece.X.shape[0]:
        return piece, None
    parts = [[part, part] if part is None else [part[:n], part[n:]] for part in piece]
    first, others = (Piece(*part) for part in zip(*parts, strict=True))
    return first, others


def _joined(pieces: list[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    X, y, weight = ([getattr(piece, name) for piece in pieces] for name in Piece._fields)
    y, weight = (None if parts[0] is None else np.concatenate(parts) for parts in (y, weight))
    return Piece(stacked(X) if sp.issparse(X[0]) else np.concatenate(X), y, weight)


def stacked(parts: Sequence[Table]) -> sp.csr_array:
    """CSR matrices of different widths, one over the other."""
    width = max(part.shape[1] for part in parts)
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    data, indices = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "indices"))
    if indices.dtype == np.int32 and indptr[-1] < 2**31:  # or SciPy would make both int64
        indptr = indptr.astype(np.int32)
    return sp.csr_array((data, indices, indptr), shape=(len(lengths), width))


def checked_path(path: Path | Sequence[Path]) -> Path | Sequence[Path]:
    if not isinstance(path, (str, os.PathLike, list, tuple)):
        raise TypeError(
            f"path must be a path, a pattern, a URL or a list of them; got {type(path).__name__}."
        )
    return path


def checked_dtype(dtype: DTypeLike) -> np.dtype[np.floating[Any]]:
    found: np.dtype[Any] = np.dtype(dtype)
    if found not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64; got {found}.")
    return found


def halves(block: bytes) -> tuple[bytes, int, bytes] | None:
    """The first half of a block's lines and the number of them, and the other half; None if it is one line."""
    count = block.count(b"\n") + (not block.endswith(b"\n"))
    if count < 2:
        return None
    stop = -1
    for _ in range(count // 2):
        stop = block.index(b"\n", stop + 1)
    return block[: stop + 1], count // 2, block[stop + 1 :]
