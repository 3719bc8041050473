"""Sparse matrices, taken apart and checked before anything converts them.

SciPy's conversions run in compiled code over the members of a container (``indptr``, ``rows``, ``offsets`` ...) as they
find them. Where an edit or a damaged file left members that contradict each other, they read and write outside of
arrays, and even ``dtype``, ``nnz`` and ``ndim`` are properties that fail somewhere inside. So nothing here asks a
container from outside to do anything: its members are read and checked, and CSR arrays are made of them, if need be by
SciPy out of a container that was put together here. A new container also knows nothing of what the old one claimed of
itself (``has_canonical_format``).

One function for each format, of the container, its shape, and its name in messages; each returns ``data``, ``indices``
and ``indptr`` of the same matrix as CSR. Entries that stand twice, unsorted entries and explicit zeros are kept or
added up as SciPy does.
"""

from __future__ import annotations

import operator
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.sparse as sp

from .arrays import NUMERIC_KINDS, as_native, check_memory, float_type, is_masked, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from .typing import Array, DTypeLike, Table

    _Arrays: TypeAlias = tuple[Array, Array, Array]  # data, indices, indptr


_REBUILD = "The sparse matrix is corrupt: rebuild it from its rows, columns and values."
_LARGEST = np.iinfo(np.intp).max


def shape_of(X: object, name: str) -> tuple[int, int]:
    """The rows and columns that a container says it has."""
    shape: Any = getattr(X, "shape", None)
    try:
        n, d = (operator.index(size) for size in shape)
    except (TypeError, ValueError):
        n = d = -1
    if min(n, d) < 0 or max(n, d) > _LARGEST:
        raise ValueError(
            f"{name} must be two-dimensional, (rows, features); got a sparse array of shape {shown(shape)}."
        )
    return n, d


class CSR(NamedTuple):
    """The members of a checked CSR matrix, for who needs no more: making a container takes longer than using it."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    shape: tuple[int, int]

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the values."""
        return self.data.dtype

    @property
    def nnz(self) -> int:
        """How many entries are stored."""
        return len(self.indices)

    def astype(self, dtype: DTypeLike, copy: bool = True) -> CSR:
        """Return the same with values of a dtype."""
        return self._replace(data=self.data.astype(dtype, copy=copy))


def members_of(X: Table, name: str) -> CSR:
    """Return the CSR of a container of that format, of float32 or float64, checked as by `as_csr`."""
    shape = shape_of(X, name)
    return CSR(*_csr(X, *shape, name), shape)


def as_csr(X: Table, name: str) -> Any:
    """A new ``csr_array`` of float32 or float64 with indices of one dtype; X's own arrays where nothing has to change.

    NaN and infinity are let through.
    """
    n, d = shape_of(X, name)
    kind = getattr(X, "format", None)
    if not isinstance(kind, str) or kind not in _FORMATS:
        raise TypeError(f"{name} is sparse of format {shown(kind)}; known are {', '.join(_FORMATS)}.")
    if kind != "csr":
        check_memory(8 * n, f"pointers of the {n} rows that {name} has by its shape")
    data, indices, indptr = _FORMATS[kind](X, n, d, name)
    # SciPy's constructor would narrow int64 indices to int32, by a copy: set the arrays on an empty shell.
    made = sp.csr_array((n, d), dtype=data.dtype)
    made.data, made.indices, made.indptr = data, indices, indptr
    return made


# Formats ----------------------------------------------------------------------------------------------------


def _csr(X: Table, n: int, d: int, name: str) -> _Arrays:
    return _compressed(X, n, d, name, "column")


def _csc(X: Table, n: int, d: int, name: str) -> _Arrays:
    return _by_scipy(sp.csc_array(_compressed(X, d, n, name, "row"), shape=(n, d)))


def _bsr(X: Table, n: int, d: int, name: str) -> _Arrays:
    R, C = _member(X, "data", name, 3).shape[1:]
    if R == 0 or C == 0 or n % R or d % C:
        raise ValueError(
            f"{name}.data holds blocks of {R} x {C} entries, which cannot fill a matrix of {n} x {d}. {_REBUILD}"
        )
    parts = _compressed(X, n // R, d // C, name, "block column", ndim=3)
    return _by_scipy(sp.bsr_array(parts, shape=(n, d)))


def _coo(X: Table, n: int, d: int, name: str) -> _Arrays:
    data = _values(X, name, 1)
    members = vars(X)
    coords = members.get("coords", (members.get("row"), members.get("col")))  # the latter before SciPy 1.13
    if not isinstance(coords, tuple) or len(coords) != 2:
        raise ValueError(f"{name}.coords must be two arrays, of rows and columns. {_REBUILD}")
    checked = []
    for axis, (size, what) in enumerate(((n, "row"), (d, "column"))):
        place = f"{name}.coords[{axis}]"
        index = _indices(coords[axis], place)
        if index.shape != data.shape:
            raise ValueError(f"{place} has {index.size} entries for {data.size} values. {_REBUILD}")
        _check_bounds(index, coords[axis], size, place, what)
        checked.append(index)
    row, column = checked
    return _from_triplets(data, row, column, n, d)


def _dia(X: Table, n: int, d: int, name: str) -> _Arrays:
    data = _values(X, name, 2)
    offsets = _indices(getattr(X, "offsets", None), f"{name}.offsets")
    if offsets.size != data.shape[0]:
        raise ValueError(
            f"{name}.offsets has {offsets.size} entries for {data.shape[0]} diagonals in {name}.data. {_REBUILD}"
        )
    if np.unique(offsets).size != offsets.size:
        raise ValueError(f"{name}.offsets names a diagonal twice. {_REBUILD}")
    # data[k, j] is the entry (j - offsets[k], j); what would lie outside of the matrix is not part of it.
    meets = (X.offsets > -n) & (X.offsets < d)
    data, offsets = data[meets, :d], offsets[meets].astype(np.int64)
    column = np.arange(data.shape[1])
    row = column - offsets[:, np.newaxis]
    diagonal, column = np.nonzero((row >= 0) & (row < n) & (data != 0))
    return _from_triplets(data[diagonal, column], row[diagonal, column], column, n, d)


def _lil(X: Table, n: int, d: int, name: str) -> _Arrays:
    rows, values = (_lists(X, attribute, n, name) for attribute in ("rows", "data"))
    sizes = np.fromiter(map(len, rows), np.int64, n)
    wrong = sizes != np.fromiter(map(len, values), np.int64, n)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(
            f"{name}.rows[{i}] names {len(rows[i])} columns for {len(values[i])} values in {name}.data[{i}]. "
            f"{_REBUILD}"
        )
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(sizes, out=indptr[1:])

    def place(attribute: str) -> Callable[[int], str]:
        def at(position: int) -> str:
            i = int(np.searchsorted(indptr, position, side="right")) - 1
            return f"{name}.{attribute}[{i}][{position - indptr[i]}]"

        return at

    columns = list(chain.from_iterable(rows))
    indices = _whole_numbers(columns, d, place("rows"), "column")
    data = _real_numbers(list(chain.from_iterable(values)), X, place("data"), name)
    return data, *_narrow(max(d, data.size), indices, indptr)


def _dok(X: Table, n: int, d: int, name: str) -> _Arrays:
    entries = getattr(X, "_dict", None)
    if not isinstance(entries, dict):
        raise TypeError(f"{name} holds its entries in a {type(entries).__name__}, not a dict. {_REBUILD}")
    keys = list(entries)
    for key in keys:
        if not isinstance(key, tuple) or len(key) != 2:
            raise ValueError(f"{name} has the key {shown(key)}, which is no pair (row, column). {_REBUILD}")
    pairs = [list(axis) for axis in zip(*keys, strict=True)] or [[], []]

    def place(position: int) -> str:
        return f"{name}'s key {shown(keys[position])}"

    row = _whole_numbers(pairs[0], n, place, "row")
    column = _whole_numbers(pairs[1], d, place, "column")
    data = _real_numbers(list(entries.values()), X, lambda i: f"{name}[{shown(keys[i])}]", name)
    return _from_triplets(data, row, column, n, d)


_FORMATS = {"csr": _csr, "csc": _csc, "bsr": _bsr, "coo": _coo, "dia": _dia, "lil": _lil, "dok": _dok}


def _from_triplets(data: Array, row: Array, column: Array, n: int, d: int) -> _Arrays:
    return _by_scipy(sp.coo_array((data, _narrow(max(n, d), row, column)), shape=(n, d)))


def _narrow(limit: int, *indices: Array) -> Any:
    """Indices in int32, which makes half the traffic, where it holds all up to a limit."""
    dtype = np.int32 if limit <= np.iinfo(np.int32).max else np.int64
    return tuple(index.astype(dtype, copy=False) for index in indices)


def _by_scipy(container: Any) -> _Arrays:
    """The CSR arrays of a container that was made here."""
    made = container.tocsr()
    return made.data, made.indices, made.indptr


# Members ----------------------------------------------------------------------------------------------------


def _compressed(X: Table, n_major: int, n_minor: int, name: str, what: str, ndim: int = 1) -> _Arrays:
    """data, indices and indptr of a compressed format, without room to grow; refused if they point outside."""
    data = _values(X, name, ndim)
    given = getattr(X, "indices", None)
    pointer, index = (
        _indices(getattr(X, "indptr", None), f"{name}.indptr"),
        _indices(given, f"{name}.indices"),
    )
    if pointer.shape[0] != n_major + 1:
        raise ValueError(f"{name}.indptr must have {n_major + 1} entries; got {pointer.shape[0]}. {_REBUILD}")
    if pointer[0] != 0:
        raise ValueError(f"{name}.indptr must start at 0; {name}.indptr[0] is {pointer[0]}. {_REBUILD}")
    falls = pointer[1:] < pointer[:-1]
    if falls.any():
        i = int(np.argmax(falls))
        raise ValueError(
            f"{name}.indptr must not decrease; {name}.indptr[{i + 1}] is {pointer[i + 1]} "
            f"after {pointer[i]}. {_REBUILD}"
        )
    stored = int(pointer[-1])
    if stored > min(index.shape[0], data.shape[0]):
        raise ValueError(
            f"{name}.indptr ends at {stored}, past the data: {name}.indices has {index.shape[0]} entries and "
            f"{name}.data {data.shape[0]}. {_REBUILD}"
        )
    if stored < max(data.shape[0], index.shape[0]):  # room to grow, which SciPy allows
        data, index = data[:stored], index[:stored]
    _check_bounds(index, given, n_minor, f"{name}.indices", what)
    if pointer.dtype != index.dtype:
        pointer, index = pointer.astype(np.int64, copy=False), index.astype(np.int64, copy=False)
    return data, index, pointer


def _member(X: Table, attribute: str, name: str, ndim: int) -> Array:
    """One of the arrays that a container is made of."""
    values = getattr(X, attribute, None)
    if not isinstance(values, np.ndarray) or is_masked(values):
        raise TypeError(f"{name}.{attribute} must be an array; got {type(values).__name__}. {_REBUILD}")
    if values.ndim != ndim:
        raise ValueError(
            f"{name}.{attribute} must have {ndim} dimension(s); got shape {values.shape}. {_REBUILD}"
        )
    return values


def _values(X: Table, name: str, ndim: int) -> Array:
    data = _member(X, "data", name, ndim)
    if data.dtype.kind not in NUMERIC_KINDS:
        raise TypeError(f"{name} must hold real numbers; got a sparse array of dtype {data.dtype}.")
    return np.ascontiguousarray(as_native(data, f"{name}.data"))


def _indices(values: object, name: str) -> Array:
    """A one-dimensional contiguous int32 or int64 array."""
    if not isinstance(values, np.ndarray) or is_masked(values):
        raise TypeError(f"{name} must be an array of integers; got {type(values).__name__}. {_REBUILD}")
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be a one-dimensional integer array; got {values.dtype}, shape {values.shape}."
        )
    dtype = np.int32 if values.dtype.itemsize <= 4 and values.dtype.type is not np.uint32 else np.int64
    if values.dtype == dtype and values.flags.c_contiguous and values.flags.aligned:
        return np.asarray(values)
    return np.array(values, dtype=dtype)


def _check_bounds(indices: Array, given: Any, stop: int, name: str, what: str) -> None:
    # Seen as unsigned, a negative index is a huge one: a single pass finds both faults.
    unsigned: Array = indices.view(np.uint32 if indices.itemsize == 4 else np.uint64)
    if unsigned.size and int(unsigned.max()) >= stop:
        i = int(np.argmax(unsigned >= stop))
        raise ValueError(f"{name}[{i}] is {given[i]}; a {what} index must lie in 0..{stop - 1}. {_REBUILD}")


def _lists(X: Table, attribute: str, n: int, name: str) -> list[list[Any]]:
    """The rows of a LIL matrix: an array of lists."""
    rows = _member(X, attribute, name, 1)
    if rows.dtype != object or rows.shape[0] != n:
        raise ValueError(
            f"{name}.{attribute} must be {n} lists, one per row; got {rows.shape[0]} of dtype {rows.dtype}. {_REBUILD}"
        )
    rows = rows.tolist()
    if set(map(type, rows)) != {list}:
        i = next(i for i, row in enumerate(rows) if type(row) is not list)
        raise TypeError(f"{name}.{attribute}[{i}] must be a list; got {shown(rows[i])}. {_REBUILD}")
    return rows


def _whole_numbers(values: list[Any], stop: int, place: Callable[[int], str], what: str) -> Array:
    """Indices out of a list, whose elements may be anything."""
    _check_types(
        values, (int, np.integer), (bool, np.timedelta64), place, f"a {what} index must be an integer"
    )
    if values and (min(values) < 0 or max(values) >= stop):
        i = next(i for i, value in enumerate(values) if not 0 <= value < stop)
        raise ValueError(
            f"{place(i)} is {shown(values[i])}; a {what} index must lie in 0..{stop - 1}. {_REBUILD}"
        )
    return np.fromiter(values, np.int64, len(values))


def _real_numbers(values: list[Any], X: Table, place: Callable[[int], str], name: str) -> Array:
    """Numbers out of a list, in the container's own dtype first, which may be a narrow one."""
    dtype = getattr(X, "dtype", None)
    if not isinstance(dtype, np.dtype) or dtype.kind not in NUMERIC_KINDS:
        raise TypeError(f"{name} must hold real numbers; got a sparse array of dtype {shown(dtype)}.")
    _check_types(values, (int, float, np.number, np.bool_), _NO_REALS, place, "values must be real numbers")
    try:
        with np.errstate(over="ignore"):
            numbers = np.array(values, dtype=np.float64)
            cast = np.array(values, dtype=dtype).astype(float_type(dtype), copy=False)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"{name} has values that no {dtype} can be: {error}. {_REBUILD}") from None
    changed = cast != numbers if dtype.kind != "f" else np.zeros(len(values), bool)
    if changed.any():
        i = int(np.argmax(changed))
        raise ValueError(f"{place(i)} is {shown(values[i])}, and {name} is of dtype {dtype}. {_REBUILD}")
    return cast


_NO_REALS = (np.complexfloating, np.timedelta64)


def _check_types(
    values: list[Any],
    allowed: tuple[type, ...],
    barred: tuple[type, ...],
    place: Callable[[int], str],
    wanted: str,
) -> None:
    """Refuse elements of other types, naming the first. One pass over the types when all is well."""
    bad = tuple(
        kind for kind in set(map(type, values)) if not issubclass(kind, allowed) or issubclass(kind, barred)
    )
    if bad:
        i = next(i for i, value in enumerate(values) if type(value) in bad)
        raise TypeError(f"{place(i)} is {shown(values[i])}; {wanted}. {_REBUILD}")
