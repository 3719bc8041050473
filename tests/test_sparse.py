"""Sparse containers: every format means what SciPy means by it, and contradictory members are refused.

Most of the corrupt ones here crash SciPy's own conversions, or make them read what lies beside an array.
"""

import copy
import re
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from fastxent import LogisticRegression, functional, reference
from fastxent.sparse import as_csr

FORMATS = ("csr", "csc", "bsr", "coo", "dia", "lil", "dok")
DENSE = np.array([[0, 1, 0, 2], [3, 0, 0, 0], [0, 0, 4, 0], [0, 0, 0, 0], [5, 0, 0, 6.0]])
ENTRY_POINTS = {
    "function": lambda X: functional.linear_cross_entropy(X, [0, 1, 2, 0, 1], np.ones((3, 4))),
    "estimator": lambda X: LogisticRegression().fit(X, [0, 1, 2, 0, 1]),
    "reference": lambda X: reference.linear_cross_entropy(X, [0, 1, 2, 0, 1], np.ones((3, 4))),
}


def same(X, dense=DENSE):
    made = as_csr(X, "X")
    assert type(made) is sp.csr_array
    assert made.indices.dtype == made.indptr.dtype
    np.testing.assert_array_equal(made.toarray(), dense)
    return made


def containers(dense=DENSE):
    for kind in FORMATS:
        for end in ("array", "matrix"):
            yield getattr(sp, f"{kind}_{end}")(dense)


# What they mean ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.uint64, bool, np.longdouble])
def test_every_format_is_read(dtype):
    for X in containers():
        X = X.astype(dtype)
        before = copy.deepcopy(X)
        made = same(X, DENSE.astype(dtype).astype(float))
        assert made.dtype == (np.float32 if dtype is np.float32 else np.float64)
        np.testing.assert_array_equal(X.toarray(), before.toarray())


def test_numbers_in_lists_count_in_the_dtype_of_the_container():
    X = sp.lil_array((1, 2), dtype=np.float32)
    X.rows[0], X.data[0] = [1], [0.1]
    same(X, [[0, np.float32(0.1)]])


def test_blocks_larger_than_one():
    for end in ("array", "matrix"):
        X = getattr(sp, f"bsr_{end}")(np.tile(DENSE, (2, 1)), blocksize=(2, 4))
        same(X, np.tile(DENSE, (2, 1)))


def test_duplicates_add_up_and_order_does_not_matter():
    rows, columns, values = [4, 0, 0, 4], [1, 3, 3, 0], [1.0, 2.0, 3.0, 4.0]
    dense = np.zeros((5, 4))
    np.add.at(dense, (rows, columns), values)
    same(sp.coo_array((values, (rows, columns)), shape=(5, 4)), dense)
    X = sp.lil_array((5, 4))
    for i, j, value in zip(rows, columns, values, strict=True):
        X.rows[i].append(j)
        X.data[i].append(value)
    same(X, dense)


def test_what_a_container_claims_of_itself_is_not_believed():
    X = sp.csr_array(DENSE)
    X.has_canonical_format = X.has_sorted_indices = True
    X.indices[1] = X.indices[0]
    assert not as_csr(X, "X").has_canonical_format
    X = sp.coo_array(DENSE)
    X.has_canonical_format = True
    X.coords[1][1] = X.coords[1][0]
    same(X, [[0, 3, 0, 0], *DENSE[1:]])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    offsets=st.lists(st.integers(-8, 8), unique=True, max_size=5),
    width=st.integers(0, 9),
    unsigned=st.booleans(),
    data=st.data(),
)
def test_diagonals_outside_and_rows_of_data_too_long_or_short(shape, offsets, width, unsigned, data):
    """Only what lies inside is part of the matrix, as SciPy has it."""
    if unsigned:
        offsets = list({abs(offset) for offset in offsets})
    values = data.draw(
        st.lists(st.integers(-1, 3), min_size=len(offsets) * width, max_size=len(offsets) * width)
    )
    values = np.array(values, float).reshape(len(offsets), width)
    dense = np.zeros(shape)
    for k, offset in enumerate(offsets):
        for j in range(min(width, shape[1])):
            if 0 <= j - offset < shape[0]:
                dense[j - offset, j] = values[k, j]
    X = sp.dia_array(shape)
    X.data, X.offsets = values, np.array(offsets, dtype=np.uint64 if unsigned else np.int32)
    same(X, dense)


def test_offsets_at_the_end_of_the_integers():
    X = sp.dia_array(DENSE)
    X.data = np.ones((3, 4))
    X.offsets = np.array([-(2**63), 2**63 - 1, 0])
    same(X, np.eye(5, 4))
    X.offsets = np.array([2**64 - 1, 2**63, 0], dtype=np.uint64)
    same(X, np.eye(5, 4))


# What is refused --------------------------------------------------------------------------------------------


def listed(rows):
    array = np.empty(len(rows), dtype=object)
    for i, row in enumerate(rows):
        array[i] = row
    return array


def setting(**members):
    def spoil(X):
        for name, value in members.items():
            setattr(X, name, value(getattr(X, name)) if callable(value) else value)

    return spoil


def setting_row(attribute, i, value):
    def spoil(X):
        getattr(X, attribute)[i] = value

    return spoil


def with_entry(key, value=1.0):
    def spoil(X):
        X._dict[key] = value

    return spoil


def of_coords(axis, value):
    def spoil(X):
        coords = list(X.coords)
        coords[axis] = value(coords[axis])
        X.coords = tuple(coords)

    return spoil


def at(position, value):
    def change(array):
        array = array.copy()
        array[position] = value
        return array

    return change


CORRUPT = [
    # every format
    *((kind, setting(_shape=shape), "two-dimensional") for kind in FORMATS for shape in (None, (5,), "ab", (5.0, 4))),
    *((kind, setting(_shape=(-5, 4)), "two-dimensional") for kind in FORMATS),
    *((kind, setting(_shape=(5, 10**30)), "two-dimensional") for kind in FORMATS),
    *((kind, setting(_shape=(n, 4)), "by its shape|indptr must have") for kind in FORMATS for n in (10**12, 2**62)),
    *((kind, setting(_format=value), "format|X.|X ") for kind in FORMATS for value in ("xyz", None, [], "dia", "lil")
      if kind != value),
    *((kind, setting(data=value), "X.data must be an array; got")
      for kind in ("csr", "csc", "bsr", "coo", "dia", "lil") for value in (None, [1.0], "abc", {})),
    *((kind, setting(data=lambda data: data[..., None, None]), "X.data must have .* dimension")
      for kind in ("csr", "csc", "bsr", "coo", "dia", "lil")),
    *((kind, setting(data=np.array(1.0)), "X.data must have .* dimension")
      for kind in ("csr", "csc", "bsr", "coo", "dia", "lil")),
    *((kind, setting(data=lambda data, dtype=dtype: data.astype(dtype)), "real numbers")
      for kind in ("csr", "csc", "bsr", "coo", "dia") for dtype in (object, complex, "U5", "S5", "m8[s]", "V8")),
    *((kind, setting(data=lambda data: np.ma.masked_array(data)), "X.data must be an array")
      for kind in ("csr", "csc", "bsr", "coo", "dia")),
    # compressed
    *((kind, setting(**{member: value}), f"X.{member} must be an array")
      for kind in ("csr", "csc", "bsr") for member in ("indices", "indptr") for value in (None, [0, 1], 3, "abc")),
    *((kind, setting(**{member: lambda array, dtype=dtype: array.astype(dtype)}), "integer array")
      for kind in ("csr", "csc", "bsr") for member in ("indices", "indptr")
      for dtype in (float, bool, object, "m8[s]")),
    *((kind, setting(indptr=lambda indptr: indptr[:-1]), "indptr must have") for kind in ("csr", "csc", "bsr")),
    *((kind, setting(indptr=at(0, 1)), "must start at 0") for kind in ("csr", "csc", "bsr")),
    *((kind, setting(indptr=at(1, 2**30)), "must not decrease|past the data") for kind in ("csr", "csc", "bsr")),
    *((kind, setting(indptr=at(-1, 2**30)), "past the data") for kind in ("csr", "csc", "bsr")),
    *((kind, setting(indices=at(0, value)), rf"X.indices\[0\] is {value}")
      for kind in ("csr", "csc", "bsr") for value in (-1, 2**30, 5)),
    *((kind, setting(indices=lambda indices: indices.astype(np.uint64) + np.uint64(2**64 - 3)), "is 1844674")
      for kind in ("csr", "csc", "bsr")),
    *((kind, setting(data=lambda data: data[:2]), "past the data") for kind in ("csr", "csc", "bsr")),
    *((kind, setting(indices=lambda indices: indices[:2]), "past the data") for kind in ("csr", "csc", "bsr")),
    *(("bsr", setting(data=np.zeros((6, R, C))), "blocks of") for R, C in ((0, 1), (1, 0), (0, 0), (2, 1), (1, 3))),
    # triplets
    ("coo", setting(coords=None), "X.coords must be two arrays"),
    ("coo", setting(coords=[]), "X.coords must be two arrays"),
    ("coo", setting(coords=lambda coords: coords * 2), "X.coords must be two arrays"),
    *(("coo", of_coords(axis, value), rf"X.coords\[{axis}\]")
      for axis in (0, 1)
      for value in (at(2, -1), at(2, 2**30), at(2, 5), list, lambda c: None, lambda c: c[:2], lambda c: c.astype(float),
                    lambda c: c[None], lambda c: c.astype(np.uint64) + np.uint64(2**64 - 5))),
    ("coo", setting(data=lambda data: data[:2]), "6 entries for 2 values"),
    # diagonals
    *(("dia", setting(offsets=value), "X.offsets")
      for value in (None, [0], 0, np.array(0), lambda o: o.astype(float), lambda o: o[:1], lambda o: o[None],
                    lambda o: np.append(o, o), lambda o: np.repeat(o[:1], o.size), lambda o: o.astype(object))),
    ("dia", setting(data=lambda data: data[:1]), "X.offsets has"),
    # lists
    *(("lil", setting(**{member: value}), f"X.{member} must") for member in ("rows", "data")
      for value in (None, [], lambda rows: rows[:2], lambda rows: rows[None], np.zeros(5), np.zeros((5, 0), object))),
    *(("lil", setting_row(member, 0, value), rf"X.{member}\[0\] must be a list")
      for member in ("rows", "data") for value in (None, (1, 3), np.array([1, 3]), "ab", 5, {1: 2, 3: 4})),
    *(("lil", setting_row(member, 0, value), r"X.rows\[0\] names .* columns for .* values")
      for member in ("rows", "data") for value in ([], [1], [1, 2, 3], [1] * 100_000)),
    *(("lil", setting_row("rows", 0, [1, value]), r"X.rows\[0\]\[1\] is")
      for value in (-1, 4, 2**31, 2**70, 1.0, "1", None, True, [1], np.float64(1), 1j, np.timedelta64(1, "s"))),
    *(("lil", setting_row("data", 0, [1.0, value]), r"X.data\[0\]\[1\] is")
      for value in ("1", None, 1j, [1.0], np.complex64(1), np.timedelta64(1, "s"), b"1", {})),
    ("lil", setting_row("data", 0, [1.0, 10**400]), "X has values that no float64 can be"),
    *((kind, setting(dtype=value), "X must hold real numbers; got a sparse array of dtype")
      for kind in ("lil", "dok") for value in (None, "abc", 5, np.dtype(object), np.dtype(complex), np.dtype("M8[s]"))),
    *((kind, setting(dtype=np.dtype(np.int8), **members), "X.* is 0.5, and X is of dtype int8")
      for kind, members in (("lil", {"data": listed([[1, 0.5], [3], [4], [], [5, 6]])}),
                            ("dok", {"_dict": {(0, 0): 1, (1, 1): 0.5}}))),
    # keys
    *(("dok", setting(_dict=value), "not a dict") for value in (None, [], [((0, 0), 1.0)])),
    *(("dok", with_entry(key), "no pair") for key in (0, None, "ab", (0,), (0, 1, 2), frozenset((0, 1)))),
    *(("dok", with_entry(key), "index must")
      for key in ((5, 0), (0, 4), (-1, 0), (0, -1), (10**8, 0), (0, 2**70), (0.5, 0), ("0", 0), (None, 0), (0, 1j))),
    *(("dok", with_entry((0, 0), value), r"X\[\(0, 0\)\] is") for value in ("1", None, 1j, [1.0], (), np.array([1.0]))),
    ("dok", with_entry((0, 0), 10**400), "X has values that no float64 can be"),
]  # fmt: skip


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
@pytest.mark.parametrize("end", ["array", "matrix"])
def test_contradictory_members_are_refused(end, entry_point):
    failures = []
    for number, (kind, spoil, message) in enumerate(CORRUPT):
        X = getattr(sp, f"{kind}_{end}")(DENSE)
        spoil(X)
        try:
            ENTRY_POINTS[entry_point](X)
        except (ValueError, TypeError) as error:
            if not re.search(message, str(error)):
                failures.append((number, kind, str(error), message))
        else:
            failures.append((number, kind, "accepted", message))
    assert not failures


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("entry_point", ["function", "estimator"])
def test_shapes_without_rows_or_columns(kind, entry_point):
    for shape, what in (((0, 4), "rows"), ((5, 0), "columns")):
        X = getattr(sp, f"{kind}_array")(DENSE)
        X._shape = shape
        with pytest.raises(ValueError, match=f"X has no {what}"):
            ENTRY_POINTS[entry_point](X)


def test_members_that_are_missing():
    for X in containers():
        for name in list(vars(X)):
            if name in ("maxprint", "_has_canonical_format", "_has_sorted_indices", "has_canonical_format"):
                continue
            bad = copy.copy(X)
            del vars(bad)[name]
            with pytest.raises((ValueError, TypeError), match="X"):
                ENTRY_POINTS["estimator"](bad)


def test_a_subclass_is_checked_like_its_format():
    class Mine(sp.lil_matrix):
        pass

    X = Mine(DENSE)
    same(X)
    X.data[0] = X.data[0] * 1000
    with pytest.raises(ValueError, match=r"X.rows\[0\] names 2 columns"):
        as_csr(X, "X")


def test_many_rows_by_the_shape_alone_take_no_memory():
    """Where labels are at hand, their number is asked first."""
    for kind in ("coo", "csc", "dia", "dok"):
        X = sp.csr_array(DENSE).asformat(kind)
        X._shape = (3 * 10**8, 4)
        for call in ENTRY_POINTS["function"], ENTRY_POINTS["estimator"]:
            tracemalloc.start()
            with pytest.raises(
                ValueError, match=r"X has 300000000 rows by its shape, but the labels are for 5"
            ):
                call(X)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 2**24
