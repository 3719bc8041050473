"""Arguments as people pass them, right, unusual and wrong, each with what it means in plain NumPy.

An argument is drawn as a recipe: a short tuple of names and numbers, which a report can print and a child process can
follow. Following it gives a pair: the object to pass, and what it means, INVALID if it has to be refused, or UNKNOWN
if either is right.
"""

import contextlib
import copy
import decimal
import fractions

import numpy as np
import pandas as pd
import scipy.sparse as sp
from hypothesis import strategies as st

from fuzz.plain import INVALID, dense_of

UNKNOWN = "unknown"
FORMATS = ("csr", "csc", "bsr", "coo", "dia", "lil", "dok")


def mostly(usual, *others):
    """Drawn from the first strategy two times in three."""
    other = st.one_of(*others)
    return st.integers(0, 2).flatmap(lambda roll: other if roll == 2 else usual)


def one_in(count, rare, usual):
    return st.integers(0, count - 1).flatmap(lambda roll: rare if roll == 0 else usual)


# Features ---------------------------------------------------------------------------------------------------


def table(seed, n, d, kind):
    """A dense table of a kind that all layouts and dtypes below can hold without rounding."""
    rng = np.random.default_rng(seed)
    X = rng.integers(-4, 5, size=(n, d)).astype(float)
    if kind == "halves":
        X += rng.integers(0, 2, size=(n, d)) / 2
    elif kind == "thin":
        X[rng.random((n, d)) < 0.6] = 0
    elif kind == "constant":
        X[:, 0] = 3
    elif kind == "empty":
        X[rng.random(n) < 0.5] = 0
        X[:, -1] = 0
    return X


KINDS = st.sampled_from(["halves", "thin", "constant", "empty"])


def _unaligned(X):
    raw = np.frombuffer(b"x" + X.tobytes(), np.uint8)[1:]
    return raw.view(X.dtype).reshape(X.shape)


def _strided(X):
    wide = np.full((2 * X.shape[0], 2 * X.shape[1]), 99.0)
    wide[::2, ::2] = X
    return wide[::2, ::2]


def _read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


class _Subclass(np.ndarray):
    pass


class _HasArray:
    def __init__(self, X):
        self._X = X

    def __array__(self, dtype=None, copy=None):
        return np.array(self._X, dtype=dtype)


DENSE = {
    "float64": np.array,
    "float32": np.float32,
    "fortran": np.asfortranarray,
    "fortran32": lambda X: np.asfortranarray(X, dtype=np.float32),
    "strided": _strided,
    "backwards": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "big-endian": lambda X: X.astype(">f8"),
    "big-endian32": lambda X: X.astype(">f4"),
    "unaligned": _unaligned,
    "read-only": _read_only,
    "broadcast": lambda X: np.broadcast_to(X[:1], X.shape),
    "float16": np.float16,
    "longdouble": np.longdouble,
    "int8": lambda X: np.floor(X).astype(np.int8),
    "int64": lambda X: np.floor(X).astype(np.int64),
    "uint64": lambda X: np.abs(np.floor(X)).astype(np.uint64),
    "big-endian int": lambda X: np.floor(X).astype(">i2"),
    "bool": lambda X: X > 0,
    "list": lambda X: X.tolist(),
    "tuple": lambda X: tuple(map(tuple, X.tolist())),
    "list of arrays": list,
    "subclass": lambda X: X.view(_Subclass),
    "matrix": lambda X: X.view(np.matrix),
    "__array__": _HasArray,
}

FRAMES = {
    "frame": lambda X: pd.DataFrame(X, columns=[f"c{j}" for j in range(X.shape[1])]),
    "frame32": lambda X: pd.DataFrame(np.float32(X)),
    "nullable": lambda X: pd.DataFrame(X).astype("Float64"),
    "mixed": lambda X: pd.DataFrame(X).astype({0: "float32"}),
    "sparse frame": lambda X: pd.DataFrame(X).astype(pd.SparseDtype(float, 0)),
    "objects": lambda X: X.astype(object),
    "fractions": lambda X: np.array([[fractions.Fraction(v) for v in row] for row in X], object),
    "object frame": lambda X: pd.DataFrame(X.astype(object)),
}

_WEIRD = (
    np.nan,
    np.inf,
    -np.inf,
    "a",
    "1",
    b"1",
    None,
    1j,
    10**400,
    np.timedelta64(1, "s"),
    [1.0],
    {},
    pd.NA,
    True,
)


def _with_entry(X, i, j, value):
    X = X.astype(object)
    X[i % X.shape[0], j % X.shape[1]] = value
    return X


WRONG_DENSE = {
    "nan": lambda X: np.where(np.arange(X.size).reshape(X.shape) == X.size // 2, np.nan, X),
    "inf": lambda X: np.where(np.arange(X.size).reshape(X.shape) == X.size - 1, np.inf, X),
    "nan32": lambda X: np.where(np.arange(X.size).reshape(X.shape) == 0, np.nan, X).astype(
        np.float32, order="F"
    ),
    "longdouble beyond": lambda X: np.where(np.isin(X, X.max()), np.longdouble("1e4000"), X),
    "complex": lambda X: X + 0j,
    "str": lambda X: X.astype(str),
    "bytes": lambda X: X.astype("S4"),
    "timedelta": lambda X: X.astype("m8[s]"),
    "datetime": lambda X: X.astype("M8[s]"),
    "structured": lambda X: np.array([[(v,) for v in row] for row in X], [("a", float)]),
    "masked": lambda X: np.ma.masked_array(X, mask=X > 0),
    "unmasked": np.ma.masked_array,
    "list of masked": lambda X: list(np.ma.masked_array(X)),
    "one row": lambda X: X[0],
    "three dimensions": lambda X: X[None],
    "no rows": lambda X: X[:0],
    "no columns": lambda X: X[:, :0],
    "ragged": lambda X: [*X.tolist(), [1.0] * (X.shape[1] + 1)],
    "none": lambda X: None,
    "number": lambda X: 3.0,
    "string": lambda X: "abc",
    "dict": lambda X: {"a": 1},
    "set": lambda X: {1, 2},
    "generator": iter,
    "object": lambda X: object(),
    "list of sparse": lambda X: [sp.csr_array(X)] * 2,
    "nested": lambda X: [[[v] for v in row] for row in X.tolist()],
    "frame with strings": lambda X: pd.DataFrame(X).assign(s="x"),
    "frame with dates": lambda X: pd.DataFrame(X).assign(s=pd.Timestamp("2026-11-01")),
    "frame with gaps": lambda X: pd.DataFrame(np.where(np.isin(X, X.min()), np.nan, X)).astype("Float64"),
    "frame with one name": lambda X: pd.DataFrame(np.hstack([X, X]), columns=["a"] * (2 * X.shape[1])),
    "frame without columns": lambda X: pd.DataFrame(index=range(len(X))),
}


def dense_features(frames):
    usual = st.tuples(st.just("dense"), st.sampled_from(sorted(DENSE)))
    return mostly(usual, st.tuples(st.just("dense"), st.sampled_from(sorted(FRAMES)))) if frames else usual


INDEX_TYPES = ("int32", "int64", "mixed", "uint8", "big-endian", "unaligned", "read-only", "strided")
SPARSE_TYPES = ("float64", "float32", "int8", "uint64", "bool", "longdouble", "float16", "big-endian")
UNUSUAL = ("plain", "shuffled", "duplicates", "zeros", "room", "claims", "subclass", "wide", "out of range")

sparse_features = st.tuples(
    st.just("sparse"),
    st.sampled_from(FORMATS),
    st.sampled_from(["array", "matrix"]),
    mostly(st.sampled_from(["float64", "float32"]), st.sampled_from(SPARSE_TYPES)),
    mostly(st.just("int32"), st.sampled_from(INDEX_TYPES)),
    mostly(st.just("plain"), st.sampled_from(UNUSUAL)),
    st.integers(0, 2**32 - 1),
)

MEMBERS = (
    "data",
    "indices",
    "indptr",
    "coords",
    "offsets",
    "rows",
    "_dict",
    "dtype",
    "_shape",
    "_format",
    "flags",
)
CHANGES = (
    "deleted", "none", "list", "number", "string", "float", "object", "bool", "uint64", "int8", "bytes", "timedelta",
    "complex", "shorter", "longer", "later", "twice", "every second", "empty", "deeper", "masked", "read-only",
    "shuffled", "least", "largest", "minus one", "one more", "zero", "nan", "transposed", "row", "entry",
)  # fmt: skip
changes = st.tuples(st.sampled_from(MEMBERS), st.sampled_from(CHANGES), st.integers(0, 40))

wrong_features = st.one_of(
    st.tuples(st.just("wrong"), st.sampled_from(sorted(WRONG_DENSE))),
    st.tuples(st.just("entry"), st.integers(0, 40), st.integers(0, 40), st.integers(0, len(_WEIRD) - 1)),
    st.tuples(st.just("corrupt"), sparse_features, st.lists(changes, min_size=1, max_size=3)),
    st.tuples(st.just("corrupt"), sparse_features, st.lists(changes, min_size=1, max_size=3)),
    st.tuples(st.just("corrupt"), sparse_features, st.lists(changes, min_size=1, max_size=3)),
)


def features(frames):
    """Recipes of feature tables. frames: whether frames and objects are among the right ones."""
    return mostly(dense_features(frames), sparse_features)


def make_features(recipe, dense, frames):
    """The object of a recipe for a dense table, and the table that it means."""
    what, *how = recipe
    if what == "dense":
        makers = FRAMES if how[0] in FRAMES else DENSE
        made = makers[how[0]](dense)
        return made, _meaning(how[0], dense)
    if what == "sparse":
        X = make_sparse(dense, *how)
        return X, dense_of(X)
    if what == "wrong":
        return WRONG_DENSE[how[0]](dense), INVALID
    if what == "entry":
        i, j, number = how
        value = _WEIRD[number]
        made = _with_entry(dense, i, j, value)
        right = frames and value is True
        return made, made.astype(float) if right else INVALID
    X = make_sparse(dense, *how[0][1:])
    for change in how[1]:
        corrupt(X, *change)
    return X, dense_of(X)


def _meaning(how, dense):
    if how == "broadcast":
        return np.broadcast_to(dense[:1], dense.shape).copy()
    if how in ("int8", "int64", "big-endian int"):
        return np.floor(dense)
    if how == "uint64":
        return np.abs(np.floor(dense))
    return (dense > 0).astype(float) if how == "bool" else dense


def make_sparse(dense, kind, end, dtype, index_type, unusual, seed):
    """A container with members of our own making."""
    rng = np.random.default_rng(seed)
    values = np.abs(dense) if dtype in ("uint64", "bool") else dense
    if dtype not in ("float64", "float32", "longdouble", "float16", "big-endian"):
        values = np.floor(values)
    n, d = values.shape
    rows, columns = np.nonzero(values)
    data = values[rows, columns]
    if unusual == "zeros":
        rows, columns = np.append(rows, rng.integers(n)), np.append(columns, rng.integers(d))
        data = np.append(data, 0.0)
    if unusual == "duplicates":
        again = rng.integers(0, max(1, len(rows)), size=3)[: len(rows)]
        rows, columns, data = (np.append(part, part[again]) for part in (rows, columns, data))
    if unusual in ("shuffled", "duplicates", "zeros"):
        order = rng.permutation(len(rows))
        rows, columns, data = rows[order], columns[order], data[order]
    X = getattr(sp, f"{kind}_{end}")((n, d))
    if unusual == "subclass":
        X = type("Subclass", (type(X),), {})((n, d))
    X.__dict__.update(_members(kind, n, d, rows, columns, data, unusual, rng))
    _dress(X, dtype, index_type)
    if unusual == "claims":
        for flag in ("has_canonical_format", "has_sorted_indices"):
            if hasattr(type(X), flag) or hasattr(X, flag):
                setattr(X, flag, True)
    return X


def _members(kind, n, d, rows, columns, data, unusual, rng):
    if kind == "coo":
        return {"coords": (rows, columns), "data": data}
    if kind in ("csr", "csc"):
        major, minor, size = (rows, columns, n) if kind == "csr" else (columns, rows, d)
        order = np.argsort(major, kind="stable")
        indptr = np.concatenate([[0], np.cumsum(np.bincount(major, minlength=size))])
        indices, data = minor[order], data[order]
        if unusual == "room":
            indices, data = np.append(indices, [99, -1]), np.append(data, [np.nan, 1.0])
        return {"indptr": indptr, "indices": indices, "data": data}
    if kind == "bsr":
        R = int(rng.choice([r for r in range(1, n + 1) if n % r == 0]))
        C = int(rng.choice([c for c in range(1, d + 1) if d % c == 0]))
        dense = np.zeros((n, d))
        np.add.at(dense, (rows, columns), data)
        blocks = dense.reshape(n // R, R, d // C, C).transpose(0, 2, 1, 3)
        i, j = np.nonzero(blocks.any(axis=(2, 3)))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(i, minlength=n // R))])
        return {"indptr": indptr, "indices": j, "data": blocks[i, j]}
    if kind == "dia":
        offsets = np.unique(columns - rows)
        if unusual == "out of range":
            offsets = np.append(offsets, [n + d + 7, -n - d - 7, 2**31 - 1])
        width = d + 3 if unusual == "wide" else d
        diagonals = np.zeros((len(offsets), width))
        if unusual == "wide":
            diagonals[:] = np.inf  # where nothing of the matrix is
            for k, offset in enumerate(offsets):
                diagonals[k, max(0, offset) : max(0, min(d, n + offset))] = 0
        np.add.at(
            diagonals,
            (np.searchsorted(offsets[: len(np.unique(columns - rows))], columns - rows), columns),
            data,
        )
        return {"offsets": offsets, "data": diagonals}
    if kind == "dok":
        entries = {}
        for i, j, value in zip(rows.tolist(), columns.tolist(), data.tolist(), strict=True):
            entries[i, j] = entries.get((i, j), 0.0) + value
        return {"_dict": entries}
    lists = {name: np.empty(n, object) for name in ("rows", "data")}
    for i in range(n):
        lists["rows"][i], lists["data"][i] = columns[rows == i].tolist(), data[rows == i].tolist()
    return lists


def _dress(X, dtype, index_type):
    """Give members their dtypes and layouts."""
    numpy_dtype = np.dtype(">f8" if dtype == "big-endian" else dtype)
    if X.format in ("lil", "dok"):
        X.dtype = numpy_dtype
    else:
        with np.errstate(all="ignore"):
            X.data = X.data.astype(numpy_dtype)
    for number, name in enumerate(("indices", "indptr", "offsets")):
        if hasattr(X, name):
            setattr(X, name, _index(getattr(X, name), index_type, number))
    if X.format == "coo":
        X.coords = tuple(_index(index, index_type, axis) for axis, index in enumerate(X.coords))


def _index(index, index_type, number):
    if index_type == "mixed":
        return index.astype([np.int32, np.int64][number % 2])
    if index_type == "uint8" and index.size and (index.min() < 0 or index.max() > 255):
        index_type = "int64"
    if index_type in ("int32", "int64", "uint8"):
        return index.astype(index_type)
    if index_type == "big-endian":
        return index.astype(">i4")
    if index_type == "unaligned":
        return _unaligned(index.astype(np.int64))
    if index_type == "strided":
        return np.repeat(index, 2)[::2]
    index = index.copy()
    index.flags.writeable = False
    return index


def corrupt(X, member, change, number):
    """Change one member of a container, if it has it; the result may still be sound."""
    if member == "flags":
        X.has_canonical_format = X.has_sorted_indices = True
        return
    if member == "_shape":
        sizes = X.__dict__.get("_shape")
        usual = isinstance(sizes, tuple) and len(sizes) == 2 and all(type(size) is int for size in sizes)
        n, d = sizes if usual else (3, 3)
        shapes = (
            None, (n,), (n, d, 1), (d, n), (n + 1, d), (n - 1, d), (n, d + 1), (n, d - 1), (10**12, d), (n, 10**12),
            (2**62, 2**62), (-n, d), (float(n), d), [n, d], "ab", (10**30, d), (0, d), (n, 0), 5, (n, None),
            [n] * 2,
        )  # fmt: skip
        X._shape = shapes[number % len(shapes)]
        return
    if member == "_format":
        X._format = (*FORMATS, None, "xyz", 3, [])[number % 11]
        return
    if member not in X.__dict__:
        return
    value = X.__dict__[member]
    if change == "deleted":
        del X.__dict__[member]
    elif member == "_dict" and isinstance(value, dict):
        X._dict = _changed_dict(value, change, number)
    elif member == "dtype":
        X.__dict__["dtype"] = _changed_dtype(number)
    elif member == "coords" and isinstance(value, tuple) and value:
        axis = number % 2
        parts = list(value)
        parts[axis % len(parts)] = _changed(parts[axis % len(parts)], change, number // 2)
        X.coords = (
            tuple(parts) if number % 7 else (None, [*parts], tuple(parts[:1]), (*parts, parts[0]))[number % 4]
        )
    else:
        X.__dict__[member] = _changed(value, change, number)


_CAST = {"float": float, "object": object, "bool": bool, "uint64": np.uint64, "int8": np.int8, "bytes": "S3",
         "timedelta": "m8[s]", "complex": complex}  # fmt: skip


def _changed(value, change, number):
    plain = {"none": None, "number": 3, "string": "abc", "deleted": None}
    if change in plain:
        return plain[change]
    if not isinstance(value, np.ndarray):
        return value
    if change == "list":
        return value.tolist()
    if value.dtype == object and change in (
        "row",
        "entry",
        "minus one",
        "one more",
        "least",
        "largest",
        "zero",
        "nan",
    ):
        return _changed_rows(value, change, number)
    if change in _CAST:
        with np.errstate(all="ignore"):
            try:
                return value.astype(_CAST[change])
            except (TypeError, ValueError, OverflowError):
                return value
    if change == "masked":
        return np.ma.masked_array(value)
    if change == "read-only":
        return _read_only(value)
    if change == "empty":
        return value[:0]
    if value.ndim == 0 or change == "deeper":
        return value[None]
    if change == "transposed":
        return value.T
    if change == "shuffled":
        return np.random.default_rng(number).permutation(value)
    cuts = {"shorter": value[: -1 - number % 3], "later": value[1:], "every second": value[::2],
            "twice": np.concatenate([value, value]), "longer": np.concatenate([value, value[:1]])}  # fmt: skip
    if change in cuts:
        return cuts[change]
    return _with_value(value, change, number)


def _with_value(array, change, number):
    if array.size == 0:
        return array
    array = array.copy()
    limits = np.iinfo(array.dtype) if array.dtype.kind in "iu" else None
    values = {
        "least": -(2**31),
        "largest": 2**62,
        "minus one": -1,
        "one more": None,
        "zero": 0,
        "nan": np.nan,
    }
    value = values.get(change, 1)
    position = np.unravel_index(number % array.size, array.shape)
    if value is None:
        value = int(array[position]) + 1 if limits else 1
    if limits:
        value = 0 if value != value else min(max(value, limits.min), limits.max)
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        array[position] = value
    return array


_IN_LISTS = (
    -1,
    4,
    2**31,
    2**70,
    1.5,
    "1",
    None,
    True,
    [1],
    1j,
    np.float64(1),
    np.int8(0),
    np.timedelta64(1, "s"),
    0,
)


def _changed_rows(rows, change, number):
    """An array of lists (a LIL matrix's), one of which is no more what it was."""
    rows = copy.deepcopy(rows)
    if rows.size == 0 or rows.ndim != 1:
        return rows
    i = number % len(rows)
    if not isinstance(rows[i], list):
        return rows
    if change == "row":
        rows[i] = (None, tuple(rows[i]), np.array(rows[i]), "ab", {}, rows[i] * 1000, rows[i][::-1], [])[
            number % 8
        ]
    elif change == "entry" and rows[i]:
        rows[i][number % len(rows[i])] = _IN_LISTS[number % len(_IN_LISTS)]
    elif change == "one more":
        rows[i] = [*rows[i], _IN_LISTS[number % len(_IN_LISTS)]]
    elif change == "minus one":
        rows[i] = rows[i][:-1]
    elif rows[i]:
        rows[i][-1] = {"least": -(2**31), "largest": 2**62, "zero": 0, "nan": np.nan}[change]
    return rows


_KEYS = ((10**8, 0), (0, 10**8), (-1, 0), (0, -1), (0,), 0, "ab", (0, 1, 2), (0.5, 0), ("0", 0), (None, 0), (True, 0),
         (2**70, 0), (np.int8(0), np.uint64(0)), None, frozenset((0, 1)))  # fmt: skip


def _changed_dict(entries, change, number):
    if change in ("none", "list", "number", "string"):
        return {"none": None, "list": list(entries.items()), "number": 3, "string": "abc"}[change]
    entries = dict(entries)
    if number % 2:
        entries[_KEYS[number % len(_KEYS)]] = 1.0
    else:
        entries[0, 0] = _IN_LISTS[number % len(_IN_LISTS)]
    return entries


def _changed_dtype(number):
    named = (None, "abc", 5, object, complex, "M8[s]", "S3", bool, np.int8, np.float32, np.uint64, float)
    choice = named[number % len(named)]
    return choice if choice in (None, "abc", 5) else np.dtype(choice)


# Labels -----------------------------------------------------------------------------------------------------


def codes(seed, n, n_classes):
    """Codes with every class among them, if there are rows enough."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, size=n)
    labels[: min(n, n_classes)] = np.arange(min(n, n_classes))
    return labels


def soft(seed, n, n_classes):
    rng = np.random.default_rng(seed)
    parts = rng.integers(0, 3, size=(n, n_classes)) + rng.integers(0, 2, size=(n, 1)) / 4
    parts[parts.sum(axis=1) == 0, 0] = 1
    return parts / parts.sum(axis=1, keepdims=True)


CODES = {
    "int64": np.int64,
    "int8": np.int8,
    "uint64": np.uint64,
    "big-endian": lambda y: y.astype(">i4"),
    "list": lambda y: y.tolist(),
    "strided": lambda y: np.repeat(y, 2)[::2],
    "unaligned": _unaligned,
    "read-only": _read_only,
    "series": pd.Series,
}
SOFT = {
    "float64": np.float64,
    "float32": np.float32,
    "fortran": np.asfortranarray,
    "list": lambda t: t.tolist(),
    "frame": pd.DataFrame,
    "strided": _strided,
}
WRONG_CODES = {
    "too large": lambda y: np.where(np.arange(len(y)) == len(y) // 2, 99, y),
    "negative": lambda y: np.where(np.arange(len(y)) == len(y) // 2, -1, y),
    "largest": lambda y: np.where(np.arange(len(y)) == 0, 2**64 - 1, y.astype(np.uint64)).astype(np.uint64),
    "float": lambda y: y + 0.0,
    "float halves": lambda y: y + 0.5,
    "nan": lambda y: np.where(np.arange(len(y)) == 0, np.nan, y),
    "str": lambda y: y.astype(str),
    "bytes": lambda y: y.astype("S1"),
    "object": lambda y: y.astype(object),
    "complex": lambda y: y + 0j,
    "timedelta": lambda y: y.astype("m8[s]"),
    "structured": lambda y: np.array([(v,) for v in y], [("a", int)]),
    "shorter": lambda y: y[:-1],
    "longer": lambda y: np.append(y, y),
    "column": lambda y: y[:, None],
    "deep": lambda y: y[None, None],
    "number": lambda y: 1,
    "none": lambda y: None,
    "string": lambda y: "abc",
    "masked": lambda y: np.ma.masked_array(y, mask=y == 0),
    "sparse": lambda y: sp.csr_array(y[None]),
    "ragged": lambda y: [[1]] * (len(y) - 1) + [[1, 2]],
    "dict": lambda y: dict(enumerate(y)),
    "huge": lambda y: [10**400, *y[1:].tolist()],
}
WRONG_SOFT = {
    "nan": lambda t: np.where(np.arange(t.size).reshape(t.shape) == 0, np.nan, t),
    "negative": lambda t: (
        np.where(np.arange(t.shape[1]) == 0, t + 1.0, t - 1.0 / max(1, t.shape[1] - 1)) - 0.25
    ),
    "half": lambda t: t / 2,
    "large": lambda t: np.full_like(t, 1e308),
    "shorter": lambda t: t[:-1],
    "wider": lambda t: np.hstack([t, t / 0.5]),
    "complex": lambda t: t + 0j,
    "str": lambda t: t.astype(str),
    "sparse": sp.csr_array,
    "masked": np.ma.masked_array,
    "multilabel": lambda t: np.ones(t.shape, int),
    "deep": lambda t: t[None],
}

targets = st.one_of(
    mostly(
        st.tuples(st.just("codes"), st.sampled_from(sorted(CODES))),
        st.tuples(st.just("soft"), st.sampled_from(sorted(SOFT))),
    )
)
wrong_targets = st.one_of(
    st.tuples(st.just("wrong codes"), st.sampled_from(sorted(WRONG_CODES))),
    st.tuples(st.just("wrong soft"), st.sampled_from(sorted(WRONG_SOFT))),
)


def make_target(recipe, seed, n, n_classes):
    what, how = recipe
    y, t = codes(seed, n, n_classes), soft(seed, n, n_classes)
    if what == "codes":
        return CODES[how](y), y
    if what == "soft":
        made = SOFT[how](t)
        return made, np.asarray(made, float)
    return WRONG_CODES[how](y) if what == "wrong codes" else WRONG_SOFT[how](t), INVALID


# Weights and numbers ----------------------------------------------------------------------------------------


def _weights(seed, length):
    return np.random.default_rng(seed).integers(1, 9, size=length) / 4


WEIGHTS = {
    "float64": np.array,
    "float32": np.float32,
    "ints": lambda w: np.ceil(w).astype(np.int64),
    "list": lambda w: w.tolist(),
    "some zero": lambda w: np.where(np.arange(len(w)) == len(w) - 1, 0.0, w),
    "strided": lambda w: np.repeat(w, 2)[::2],
    "ones": lambda w: np.ones(len(w)),
    "large": lambda w: w * 1e250,
    "small": lambda w: w * 1e-300,
}
WRONG_WEIGHTS = {
    "negative": lambda w: -w,
    "nan": lambda w: np.where(np.arange(len(w)) == 0, np.nan, w),
    "inf": lambda w: np.where(np.arange(len(w)) == 0, np.inf, w),
    "shorter": lambda w: w[:-1],
    "longer": lambda w: np.append(w, 1.0),
    "column": lambda w: w[:, None],
    "str": lambda w: w.astype(str),
    "string": lambda w: "abc",
    "complex": lambda w: w + 0j,
    "object": lambda w: np.array([None] * len(w)),
    "masked": np.ma.masked_array,
    "sparse": lambda w: sp.csr_array(w[None]),
    "huge": lambda w: [10**400, *w[1:].tolist()],
}

weights = mostly(st.none(), st.sampled_from(sorted(WEIGHTS)))
wrong_weights = st.sampled_from(sorted(WRONG_WEIGHTS))


def make_weights(recipe, seed, length):
    if recipe is None:
        return None, None
    w = _weights(seed, length)
    if recipe in WRONG_WEIGHTS and recipe not in WEIGHTS:
        return WRONG_WEIGHTS[recipe](w), INVALID
    made = WEIGHTS[recipe](w)
    return made, np.asarray(made, float)


NO_REALS = ("0.5", b"1", None, 1j, [0.5], {}, np.nan, np.inf, 10**400, -(10**400), 10**5000, -1.0, np.array([1.0, 2.0]),
            np.timedelta64(1, "s"), np.complex64(1), object(), decimal.Decimal("sNaN"))  # fmt: skip
NO_THREADS = (1.0, "1", 0, -2, -(10**400), True, [1], 1j, np.nan)

wrong_real = st.integers(0, len(NO_REALS) - 1).map(lambda i: ("no real", i))
wrong_threads = st.integers(0, len(NO_THREADS) - 1).map(lambda i: ("no threads", i))


def make_number(recipe):
    """A number of an option: itself, or one of the wrong ones."""
    if isinstance(recipe, tuple) and recipe[0] == "no real":
        return NO_REALS[recipe[1]], INVALID
    if isinstance(recipe, tuple) and recipe[0] == "no threads":
        return NO_THREADS[recipe[1]], INVALID
    return recipe, float(recipe) if isinstance(recipe, np.floating) else recipe


# Coefficients -----------------------------------------------------------------------------------------------

COEF = {
    "float64": np.array,
    "float32": np.float32,
    "fortran": np.asfortranarray,
    "list": lambda W: W.tolist(),
    "strided": lambda W: np.repeat(W, 2, axis=-1)[..., ::2],
    "ints": lambda W: np.floor(W).astype(np.int64),
    "big-endian": lambda W: W.astype(">f8"),
    "read-only": _read_only,
}
WRONG_COEF = {
    "nan": lambda W: W * np.nan,
    "inf": lambda W: np.where(np.isin(W, W.max()), np.inf, W),
    "narrower": lambda W: np.concatenate([W, W], axis=-1),
    "deeper": lambda W: W[None],
    "complex": lambda W: W + 0j,
    "str": lambda W: W.astype(str),
    "object": lambda W: W.astype(object),
    "none": lambda W: None,
    "number": lambda W: 1.0,
    "string": lambda W: "abc",
    "masked": np.ma.masked_array,
    "sparse": lambda W: sp.csr_array(np.atleast_2d(W)),
    "empty": lambda W: W[:0],
    "huge": lambda W: [10**400],
}

coefs = st.sampled_from(sorted(COEF))
wrong_coefs = st.sampled_from(sorted(WRONG_COEF)).map(lambda how: ("wrong", how))


def make_coef(recipe, W):
    if isinstance(recipe, tuple):
        return WRONG_COEF[recipe[1]](W), INVALID
    made = COEF[recipe](W)
    return made, np.asarray(made, float)


def has_names(recipe, prefix=None):
    """Whether features have names; prefix: whether those are of `fuzz.models`."""
    named = recipe[0] == "dense" and recipe[1] == "frame"
    other = recipe[0] == "wrong" and recipe[1].startswith("frame")
    return named if prefix else named or other
