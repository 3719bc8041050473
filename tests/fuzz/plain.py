"""What a sparse container means, told entry by entry in plain Python: the oracle for fastxent.sparse.

Slow and simple on purpose, and nothing in here is SciPy's.
"""

import operator
from itertools import pairwise

import numpy as np

INVALID = "invalid"
_LARGEST = 10**6  # entries; a shape that claims more is invalid here, as its rows have no labels


class Contradiction(Exception):
    """The members do not go together."""


def dense_of(X):
    """The float64 array that a container stands for, or INVALID if its members contradict each other."""
    try:
        n, d = _shape(X)
        dense = np.zeros((n, d))
        with np.errstate(over="ignore"):
            for i, j, value in _READ[_format(X)](X, n, d):
                dense[i, j] += value
        return dense
    except Contradiction:
        return INVALID


def _demand(condition):
    if not condition:
        raise Contradiction


def _shape(X):
    shape = getattr(X, "shape", None)
    try:
        sizes = [operator.index(size) for size in shape]
    except (TypeError, ValueError):
        raise Contradiction from None
    _demand(
        len(sizes) == 2 and min(sizes) >= 0 and sizes[0] * sizes[1] <= _LARGEST and max(sizes) <= _LARGEST
    )
    return sizes


def _format(X):
    kind = getattr(X, "format", None)
    _demand(isinstance(kind, str) and kind in _READ)
    return kind


def _array(X, name, ndim, kinds):
    values = getattr(X, name, None)
    _demand(isinstance(values, np.ndarray) and not isinstance(values, np.ma.MaskedArray))
    _demand(values.ndim == ndim and values.dtype.kind in kinds)
    return values


def _whole(X, name):
    return [int(value) for value in _array(X, name, 1, "iu")]


def _number(value, dtype):
    return float(dtype.type(value)) if dtype.kind == "f" else float(value)


def _compressed(X, major, minor, ndim):
    """(major, minor, value) of one of the compressed formats."""
    data = _array(X, "data", ndim, "biuf")
    indptr, indices = _whole(X, "indptr"), _whole(X, "indices")
    _demand(len(indptr) == major + 1 and indptr[0] == 0)
    _demand(all(first <= stop for first, stop in pairwise(indptr)))
    _demand(indptr[-1] <= min(len(indices), len(data)))
    _demand(all(0 <= index < minor for index in indices[: indptr[-1]]))
    for i in range(major):
        for p in range(indptr[i], indptr[i + 1]):
            yield i, indices[p], data[p]


def _csr(X, n, d):
    for i, j, value in _compressed(X, n, d, 1):
        yield i, j, _number(value, X.data.dtype)


def _csc(X, n, d):
    for j, i, value in _compressed(X, d, n, 1):
        yield i, j, _number(value, X.data.dtype)


def _bsr(X, n, d):
    R, C = _array(X, "data", 3, "biuf").shape[1:]
    _demand(R > 0 and C > 0 and n % R == 0 and d % C == 0)
    for i, j, block in _compressed(X, n // R, d // C, 3):
        for r in range(R):
            for c in range(C):
                yield i * R + r, j * C + c, _number(block[r, c], X.data.dtype)


def _coo(X, n, d):
    data = _array(X, "data", 1, "biuf")
    coords = getattr(X, "coords", None)
    _demand(isinstance(coords, tuple) and len(coords) == 2)
    for axis, size in zip(coords, (n, d), strict=True):
        _demand(isinstance(axis, np.ndarray) and not isinstance(axis, np.ma.MaskedArray))
        _demand(axis.ndim == 1 and axis.dtype.kind in "iu" and len(axis) == len(data))
        _demand(all(0 <= int(index) < size for index in axis))
    for i, j, value in zip(*coords, data, strict=True):
        yield int(i), int(j), _number(value, data.dtype)


def _dia(X, n, d):
    data, offsets = _array(X, "data", 2, "biuf"), _whole(X, "offsets")
    _demand(len(offsets) == len(data) and len(set(offsets)) == len(offsets))
    for offset, diagonal in zip(offsets, data, strict=True):
        for j in range(min(len(diagonal), d)):
            if 0 <= j - offset < n and diagonal[j] != 0:
                yield j - offset, j, _number(diagonal[j], data.dtype)


def _listed(X, name, n):
    rows = _array(X, name, 1, "O")
    _demand(len(rows) == n and all(type(row) is list for row in rows))
    return rows


def _lil(X, n, d):
    rows, data = _listed(X, "rows", n), _listed(X, "data", n)
    dtype = _dtype(X)
    for i in range(n):
        _demand(len(rows[i]) == len(data[i]))
        for j, value in zip(rows[i], data[i], strict=True):
            _demand_index(j, d)
            yield i, int(j), _value(value, dtype)


def _dok(X, n, d):
    entries = getattr(X, "_dict", None)
    _demand(isinstance(entries, dict))
    dtype = _dtype(X)
    for key, value in entries.items():
        _demand(isinstance(key, tuple) and len(key) == 2)
        _demand_index(key[0], n)
        _demand_index(key[1], d)
        yield int(key[0]), int(key[1]), _value(value, dtype)


def _demand_index(index, stop):
    _demand(isinstance(index, (int, np.integer)) and not isinstance(index, (bool, np.timedelta64)))
    _demand(0 <= index < stop)


def _dtype(X):
    dtype = getattr(X, "dtype", None)
    _demand(isinstance(dtype, np.dtype) and dtype.kind in "biuf")
    return dtype


def _value(value, dtype):
    """A Python or NumPy number as one of the dtype; those that it cannot hold are a contradiction."""
    _demand(isinstance(value, (int, float, np.number, np.bool_)))
    _demand(not isinstance(value, (complex, np.complexfloating, np.timedelta64)))
    try:
        number = float(value)
    except OverflowError:
        raise Contradiction from None
    if dtype.kind == "f":
        return _number(number, dtype)
    limits = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    _demand(number.is_integer() and limits[0] <= number <= limits[1])
    return number


_READ = {"csr": _csr, "csc": _csc, "bsr": _bsr, "coo": _coo, "dia": _dia, "lil": _lil, "dok": _dok}
