"""Values in files: back exactly as they were, with their types; what has no place there is refused by name."""

import json
import math
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastxent.values import Reader, Writer


def there_and_back(value, **of_writer):
    writer = Writer(**of_writer)
    text = json.dumps(writer(value, "value"), allow_nan=False)
    read = {
        name: np.array(array, order="C") for name, array in writer.arrays.items()
    }  # as a file returns them
    return Reader(read)(json.loads(text))


def assert_same(got, expected):
    assert type(got) is type(expected)
    if isinstance(expected, np.ndarray):
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        assert got.flags.f_contiguous == expected.flags.f_contiguous or not expected.flags.forc
        if expected.dtype == object:
            for one, other in zip(got.ravel(), expected.ravel(), strict=True):
                assert_same(one, other)
        else:
            assert got.tobytes() == expected.tobytes()
    elif isinstance(expected, np.generic):
        assert got.dtype == expected.dtype
        is_nan = isinstance(expected, np.floating) and np.isnan(expected)  # one NaN is as good as another
        assert np.isnan(got) if is_nan else got.tobytes() == expected.tobytes()
    elif isinstance(expected, list | tuple):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, dict):
        assert_same(list(got.items()), list(expected.items()))
    elif isinstance(expected, float) and math.isnan(expected):
        assert math.isnan(got)
    else:
        assert got == expected
        assert str(got) == str(expected)  # 0.0 and -0.0


DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.unicode_string_dtypes(endianness="?", max_len=6),
    hnp.byte_string_dtypes(max_len=6),
    hnp.datetime64_dtypes(endianness="?"),
    hnp.timedelta64_dtypes(endianness="?"),
)
TEXT = st.text(st.characters(exclude_categories=[]))  # lone surrogates, too
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT, st.binary())
KEYS = st.one_of(st.integers(), TEXT, st.booleans(), st.tuples(st.integers()))
VALUES = st.recursive(
    st.one_of(
        SCALARS,
        DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))),
        DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, 1)).map(lambda array: array[0]),
        hnp.arrays(object, hnp.array_shapes(max_dims=2), elements=SCALARS),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
    ),
    max_leaves=5,
)


@given(VALUES)
def test_what_goes_in_comes_out(value):
    assert_same(there_and_back(value), value)


@pytest.mark.parametrize(
    "value",
    [
        [float("inf"), -float("inf"), float("nan"), -0.0, 5e-324, 1e308, 0.1],
        [2**63, -(2**200)],
        {"a": {1: 2}, 1: "b", (1, "c"): None, np.str_("d"): np.float32(0.1), np.int64(3): True},
        np.array([None, "a", 1, 2.5, True, (1, "b"), b"c"], object),
        np.array(["a\0b", "", "\ud800", "\U0001f600"], object),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6, dtype=">i2").reshape(2, 3),
        np.array("2020-01-01", "M8[25s]"),
        np.array(["NaT", "2020"], "M8[Y]"),
        np.zeros((0, 3)),
        np.dtype("<f4"),
        {"again": 1},
    ],
    ids=repr,
)
def test_values_that_are_easily_lost(value):
    assert_same(there_and_back(value), value)


def test_arrays_are_independent_and_can_be_written():
    array = np.arange(12.0).reshape(3, 4)[:, ::2]
    array.flags.writeable = False
    got = there_and_back(array)
    np.testing.assert_array_equal(got, array)
    got[0] = 5


def test_an_array_in_a_file_counts_as_an_array(tmp_path):
    array = np.memmap(tmp_path / "array", np.float64, "w+", shape=(2, 3))
    array[:] = 4.0
    assert_same(there_and_back(array), np.full((2, 3), 4.0))


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array])
def test_sparse_matrices(kind):
    matrix = kind(np.array([[0, 1.5, 0], [2, 0, 0]], np.float32))
    got = there_and_back(matrix)
    assert type(got) is kind
    assert_same(got.toarray(), matrix.toarray())


def test_arrays_have_readable_names_and_different_ones():
    writer = Writer()
    one = np.zeros(2)
    encoded = writer({"a": {"b": one, 5: one, "x y": one}, "a.b": one}, "value")
    assert list(writer.arrays) == ["value.a.b", "value.a.1", "value.a.2", "value.1"]
    writer(one, "value.a.b")
    assert "value.a.b+" in writer.arrays
    assert_same(Reader(writer.arrays)(encoded)["a"]["b"], one)


class OfMyOwn(dict):
    def __repr__(self):
        return "mine"


@pytest.mark.parametrize(
    "value",
    [
        len,
        OfMyOwn(),
        {1, 2},
        range(3),
        1j,
        np.complex64(1),
        np.zeros(2, complex),
        np.longdouble(1),
        np.zeros(2, np.longdouble),
        np.zeros(2, [("a", int)]),
        np.ma.zeros(2),
        np.ones((1, 1)).view(np.matrix),
        sp.csc_matrix((2, 2)),
        np.array([len, None], object),
        np.random.default_rng(0),
        pickle,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_place_is_refused_by_name(value):
    with pytest.raises(
        TypeError, match=r"(?s)value\.0.*is an? .*which a model file cannot hold.*Replace value\.0"
    ):
        there_and_back([value])
    with pytest.raises(TypeError, match=r"(?s)value\.deep\.0.*which a model file cannot hold"):
        there_and_back({"deep": (value,)})


def test_strings_in_far_more_memory_than_they_need():
    wide = np.array(["a", "b"], "U10000000")
    with pytest.raises(TypeError, match=r"value cannot be saved.*astype\(object\)"):
        there_and_back(wide[:1])
    assert_same(there_and_back(np.array(["a", "b" * 10_000])), np.array(["a", "b" * 10_000]))


class Known:
    def __init__(self, inner=None):
        self.inner = inner


def test_objects_of_known_classes_keep_their_identity():
    one = Known([1])
    writer = Writer(lambda value: ("Known", vars(value)) if type(value) is Known else None)
    encoded = json.loads(json.dumps(writer([one, Known(one), one], "value")))
    first, outer, second = Reader({}, lambda kind, state: Known(**state))(encoded)
    assert first is second is outer.inner
    assert first.inner == [1]
    with pytest.raises(TypeError, match="value is a Known"):
        there_and_back(one)


@pytest.mark.parametrize(
    "encoded",
    [
        {},
        {"a": 1, "b": 2},
        {"unknown": 1},
        {"__init__": {}},
        {"float": "1e400"},
        {"float": []},
        {"tuple": 5},
        {"dict": [[1]]},
        {"dict": [[[1], 2]]},
        {"bytes": "x"},
        {"dtype": "O8"},
        {"dtype": "<f16"},
        {"dtype": "V8"},
        {"dtype": "<i8,<i8"},
        {"scalar": ["<f8"]},
        {"scalar": ["<f8", "text"]},
        {"scalar": ["<i1", 1000]},
        {"scalar": ["<i1", 0.5]},
        {"scalar": ["<u8", -1]},
        {"array": ["<f8", "missing", "C"]},
        {"array": ["<f4", "here", "C"]},
        {"array": ["|O", "here", "C"]},
        {"array": ["<M8[s]", "here", "C"]},
        {"array": ["<f8", "here", "X"]},
        {"array": ["<f8", ["here"], "C"]},
        {"strings": ["<U1", [2], ["a"]]},
        {"strings": ["<U1", [-1, -1], ["a"]]},
        {"strings": ["<U1", ["a"], ["a"]]},
        {"strings": ["<U90000000", [1], ["a"]]},
        {"strings": ["<U900000000", [1], ["a"]]},
        {"strings": ["|S900000000", [1], [{"bytes": "00"}]]},
        {"strings": ["|O", [2**62], []]},
        {"csr": ["csr_matrix", [1, 1], 1, 2, 3]},
        {"csr": ["csc_matrix", [1, 1], 1, 2, 3]},
        {"csr": ["csr_matrix", [2, 2], [1.0], [7], [0, 1, 1]]},
        {"object": ["Known", None]},
        {"again": 0},
        {"again": "a"},
        [{"unknown": 1}],
    ],
    ids=repr,
)
def test_what_no_writer_writes_is_refused(encoded):
    with pytest.raises(ValueError, match=r"\w"):
        Reader({"here": np.zeros(2)})(encoded)
