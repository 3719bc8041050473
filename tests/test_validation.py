"""The trust boundary: what is refused and how it says so, what passes, and what passes without a copy."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from fastxent import functional
from fastxent import validation as v

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def csr(data, indices, indptr, shape, index_dtype=np.int32):
    """A CSR array set up past SciPy's own checks."""
    matrix = sp.csr_array(shape)
    matrix.data = np.asarray(data)
    matrix.indices, matrix.indptr = (
        np.asarray(indices, dtype=index_dtype),
        np.asarray(indptr, dtype=index_dtype),
    )
    return matrix


# Dense features ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_good_dense_features_are_used_in_place(dtype, order):
    good = np.array(X, dtype=dtype, order=order)
    assert v.check_rows(good) is good
    good.flags.writeable = False
    assert v.check_rows(good) is good


def test_a_memory_map_is_used_in_place(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert np.shares_memory(v.check_rows(mapped), mapped)


@pytest.mark.parametrize(
    "dtype", [bool, np.int8, np.uint64, np.int64, np.float16, np.longdouble, ">f8", ">i4"]
)
def test_other_numbers_become_float64(dtype):
    checked = v.check_rows(X.astype(dtype))
    assert checked.dtype == np.float64
    assert checked.dtype.isnative
    np.testing.assert_array_equal(checked, X.astype(dtype).astype(np.float64))
    sparse = v.check_rows(csr(np.array([1, 0, 1]).astype(dtype), [0, 2, 1], [0, 2, 3], (2, 3)))
    assert sparse.dtype == np.float64
    assert sparse.nnz == 3
    np.testing.assert_array_equal(sparse.toarray(), [[1, 0, 0], [0, 1, 0]])


def test_a_dtype_can_be_asked_for():
    for rows in (X.astype(np.float32), sp.csr_array(X.astype(np.float32))):
        assert v.check_rows(rows, dtype=np.float64).dtype == np.float64
    assert v.check_rows(X, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match=r"X\[0, 0\] is inf"):  # beyond the range of float32
        v.check_rows(np.array([[1e300]]), dtype=np.float32)


def test_whatever_turns_into_an_array_is_taken():
    class Table:
        def __array__(self, dtype=None, copy=None):
            return X

    assert v.check_rows(Table()) is X
    assert v.check_rows(X.tolist()).tolist() == X.tolist()
    assert type(v.check_rows(X.view(type("Subclass", (np.ndarray,), {})))) is np.ndarray


def test_byte_swapped_float32_stays_float32():
    checked = v.check_rows(X.astype(">f4"))
    assert checked.dtype == np.float32
    assert checked.dtype.isnative


def test_strided_and_unaligned_features_are_copied_into_line():
    wide = np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)
    raw = np.zeros(X.nbytes + 1, dtype=np.uint8)
    unaligned = raw[1:].view(np.float64).reshape(X.shape)
    unaligned[...] = X
    for other in (wide[::2, ::2], wide[::-2, ::2][::-1], unaligned):
        checked = v.check_rows(other)
        assert checked.flags.c_contiguous or checked.flags.f_contiguous
        assert checked.flags.aligned
        np.testing.assert_array_equal(checked, X)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (X + 1j, TypeError, "X must hold real numbers; got dtype complex128"),
        (X.astype(object), TypeError, "X must hold real numbers; got dtype object"),
        (X.astype(str), TypeError, "X must hold real numbers; got dtype <U"),
        (["a text"], TypeError, r"X must hold real numbers; got dtype <U6\..*TfidfVectorizer makes numbers"),
        (None, TypeError, r"^X must hold real numbers; got a NoneType\.$"),
        ({"a": 1}, TypeError, r"^X must hold real numbers; got a dict\.$"),
        (np.array(["2026-11-21"], dtype="M8[D]")[:, None], TypeError, "datetime64"),
        ([[1.0], [1.0, 2.0]], ValueError, "X cannot be made into an array"),
        (X[0], ValueError, r"two-dimensional, \(rows, features\); got shape \(3,\).*reshape\(1, -1\)"),
        (X[None], ValueError, r"two-dimensional.*got shape \(1, 2, 3\)"),
        (np.float64(3.0), ValueError, r"got shape \(\)"),
        (X[:0], ValueError, "X has no rows"),
        (X[:, :0], ValueError, "X has no columns"),
        (np.ma.masked_greater(X, 5.5), ValueError, "masked"),
        (sp.csr_array(X + 1j), TypeError, "sparse array of dtype complex128"),
        (sp.csr_array((0, 3)), ValueError, "X has no rows"),
        (sp.csr_array((3, 0)), ValueError, "X has no columns"),
        (sp.coo_array(X[0]), ValueError, "two-dimensional"),
    ],
)
def test_features_that_are_no_table_of_numbers(bad, error, message):
    with pytest.raises(error, match=message):
        v.check_rows(bad)
    with pytest.raises(error, match=message.replace("X", "Z")):
        v.check_rows(bad, name="Z")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_first_entry_that_is_not_finite_is_named(dtype, value, order):
    bad = np.zeros((70_000, 20), dtype=dtype, order=order)  # more than one block of the search
    bad[60_001, 7] = bad[60_002, 1] = value
    with pytest.raises(ValueError, match=rf"X must be finite; X\[60001, 7\] is {value}"):
        v.check_rows(bad)
    bad[60_002, 1] = -value  # which may cancel in a sum
    with pytest.raises(ValueError, match=r"X\[60001, 7\]"):
        v.check_rows(bad)


def test_finite_values_whose_sum_overflows_are_finite():
    for dtype in (np.float32, np.float64):
        large = np.full((50, 3), np.finfo(dtype).max, dtype=dtype)
        assert v.check_rows(large) is large
        large[1::2] *= -1
        assert v.check_rows(large) is large


# Sparse features --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_good_sparse_features_are_used_in_place(dtype, index_dtype):
    # Unsorted, duplicate, an explicit zero, an empty row and column: all kept as they are.
    good = csr(np.array([1, 2, 3, 0], dtype=dtype), [2, 0, 2, 1], [0, 3, 3, 4], (3, 5), index_dtype)
    as_matrix = sp.csr_matrix(good)
    as_matrix.data, as_matrix.indices, as_matrix.indptr = good.data, good.indices, good.indptr
    for container in (good, as_matrix):
        checked = v.check_rows(container)
        assert isinstance(checked, sp.csr_array)
        assert checked.data is good.data
        assert checked.indices is good.indices
        assert checked.indptr is good.indptr
        assert checked.indices.dtype == checked.indptr.dtype == index_dtype
        np.testing.assert_array_equal(checked.toarray(), [[2, 0, 4, 0, 0], [0] * 5, [0] * 5])


@pytest.mark.parametrize("name", ["csc", "coo", "bsr", "lil", "dok", "dia"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, bool])
def test_other_sparse_formats_are_converted(name, dtype):
    dense = np.array([[0, 1, 0, 2], [3, 0, 0, 0], [0, 0, 4, 0]]).astype(dtype)
    for container in (sp.csr_array, sp.csr_matrix):
        checked = v.check_rows(container(dense).asformat(name))
        assert isinstance(checked, sp.csr_array)
        assert checked.dtype == (np.float32 if dtype is np.float32 else np.float64)
        np.testing.assert_array_equal(checked.toarray(), dense.astype(float))


def test_index_arrays_of_two_dtypes_are_brought_to_the_wider():
    mixed = csr([1.0, 2.0], [0, 2], [0, 1, 2], (2, 3))
    mixed.indptr = mixed.indptr.astype(np.int64)
    checked = v.check_rows(mixed)
    assert checked.indices.dtype == checked.indptr.dtype == np.int64
    swapped = csr([1.0, 2.0], [0, 2], [0, 1, 2], (2, 3))
    swapped.indices = swapped.indices.astype(">i4")
    np.testing.assert_array_equal(v.check_rows(swapped).toarray(), [[1, 0, 0], [0, 0, 2]])


def test_room_to_grow_behind_the_last_row_is_cut_off():
    spare = csr([1.0, 2.0, np.nan], [0, 2, 99], [0, 1, 2], (2, 3))
    checked = v.check_rows(spare)
    assert len(checked.data) == len(checked.indices) == 2
    np.testing.assert_array_equal(checked.toarray(), [[1, 0, 0], [0, 0, 2]])


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize(
    ("indices", "indptr", "message"),
    [
        ([0, -1, 2], [0, 2, 3], r"X.indices\[1\] is -1; a column index must lie in 0..2"),
        ([0, 1, 3], [0, 2, 3], r"X.indices\[2\] is 3; a column index must lie in 0..2"),
        ([0, 1, 2**31 - 1], [0, 2, 3], r"X.indices\[2\] is 2147483647"),
        ([0, 1, 2], [1, 2, 3], r"indptr must start at 0; X.indptr\[0\] is 1"),
        ([0, 1, 2], [-1, 2, 3], r"indptr must start at 0; X.indptr\[0\] is -1"),
        ([0, 1, 2], [0, 3, 2], r"indptr must not decrease; X.indptr\[2\] is 2 after 3"),
        ([0, 1, 2], [0, -7, 3], r"indptr must not decrease; X.indptr\[1\] is -7 after 0"),
        ([0, 1, 2], [0, 2, 4], "indptr ends at 4, past the data"),
        ([0, 1, 2], [0, 10**9, 2 * 10**9], "indptr ends at 2000000000, past the data"),
        ([0, 1], [0, 2, 3], "past the data: X.indices has 2 entries and X.data 3"),
        ([0, 1, 2], [0, 3], "indptr must have 3 entries; got 2"),
        ([0, 1, 2], [0, 1, 2, 3], "indptr must have 3 entries; got 4"),
    ],
)
def test_a_corrupt_sparse_structure_is_refused(indices, indptr, message, index_dtype):
    bad = csr([1.0, 2.0, 3.0], indices, indptr, (2, 3), index_dtype)
    with pytest.raises(ValueError, match=message):
        v.check_rows(bad)
    with pytest.raises(ValueError, match=message):
        functional.linear_cross_entropy_and_grad(bad, [0, 1], np.ones((2, 3)))


def test_index_arrays_that_hold_no_integers():
    bad = csr([1.0], [0], [0, 1], (1, 2))
    bad.indices = np.array([0.5])
    with pytest.raises(ValueError, match=r"X\.indices must be a one-dimensional integer array; got float64"):
        v.check_rows(bad)
    bad = csr([1.0], [0], [0, 1], (1, 2))
    bad.indices = np.array([2**63], dtype=np.uint64)
    with pytest.raises(ValueError, match=r"must lie in 0\.\.1"):
        v.check_rows(bad)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_sparse_values_that_are_not_finite(value):
    bad = csr([1.0, value, 3.0], [0, 1, 2], [0, 2, 3], (2, 3))
    with pytest.raises(ValueError, match=rf"X must be finite; X\[0, 1\] is {value}"):
        v.check_rows(bad)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    indptr=st.lists(st.integers(-2, 6), min_size=3, max_size=5),
    indices=st.lists(st.integers(-2, 5), max_size=6),
    n_data=st.integers(0, 6),
)
def test_whatever_is_accepted_stays_inside(indptr, indices, n_data):
    matrix = csr(np.ones(n_data), indices, indptr, (3, 4))
    inside = (
        len(indptr) == 4
        and indptr[0] == 0
        and indptr == sorted(indptr)
        and indptr[-1] <= min(len(indices), n_data)
        and all(0 <= j < 4 for j in indices[: indptr[-1]])
    )
    if inside:
        v.check_rows(matrix)
    else:
        with pytest.raises(ValueError, match=r"X\.ind"):
            v.check_rows(matrix)


# Logits and out ---------------------------------------------------------------------------------------------


def test_logits_of_one_row_keep_their_shape():
    rows, shape = v.check_logits([1, 2, 3])
    assert rows.shape == (1, 3)
    assert shape == (3,)
    assert rows.dtype == np.float64
    special = np.array([[np.nan, np.inf, -np.inf]], dtype=np.float32)
    assert v.check_logits(special)[0] is special


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (np.zeros((2, 2, 2)), ValueError, r"logits must have shape \(n, K\), or \(K,\)"),
        (1.0, ValueError, "logits must have shape"),
        (np.zeros((0, 3)), ValueError, "logits has no rows"),
        (np.zeros((3, 0)), ValueError, "logits has no columns"),
        ([], ValueError, "logits has no columns"),
        ([["a"]], TypeError, "logits must hold real numbers"),
        ([[1j]], TypeError, "logits must hold real numbers"),
        (sp.csr_array(X), TypeError, "logits must be a dense array"),
    ],
)
def test_logits_refused(bad, error, message):
    for function in (functional.logsumexp, functional.softmax, functional.log_softmax):
        with pytest.raises(error, match=message):
            function(bad)


def test_cross_entropy_wants_a_table_of_logits():
    with pytest.raises(ValueError, match=r"logits must have shape \(n, K\); got \(3,\)"):
        functional.cross_entropy([1.0, 2.0, 3.0], [0])


def test_out_must_fit():
    read_only = np.empty((2, 3))
    read_only.flags.writeable = False
    for bad, error, message in [
        ([[0.0]], TypeError, "out must be a NumPy array; got list"),
        (np.empty((3, 2)), ValueError, r"out must have shape \(2, 3\) and dtype float64; got \(3, 2\)"),
        (np.empty((2, 3), dtype=np.float32), ValueError, "dtype float64; got .* float32"),
        (np.empty((2, 3), order="F"), ValueError, "C-contiguous"),
        (np.empty((2, 3), dtype=">f8"), ValueError, "out must"),
        (read_only, ValueError, "writeable"),
    ]:
        with pytest.raises(error, match=message):
            functional.softmax(X, out=bad)


# Targets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.uint64, ">i4"])
def test_codes_of_any_integer_dtype(dtype):
    codes, ignored = v.check_target(np.array([0, 1, 1]).astype(dtype), 3, 2)
    assert codes.dtype == np.intp
    assert codes.tolist() == [0, 1, 1]
    assert ignored is None
    same = np.array([0, 1], dtype=np.intp)
    assert v.check_target(same, 2, 2)[0] is same


def test_whatever_lies_unaligned_is_moved():
    """Kernels read by pointers of the item's type, which the compiler takes to be aligned."""

    def unaligned(values):
        values = np.asarray(values)
        moved = np.empty(values.nbytes + 1, dtype=np.uint8)[1:].view(values.dtype).reshape(values.shape)
        moved[...] = values
        assert not moved.flags.aligned
        return moved

    sparse = csr([1.0, 2.0], [0, 2], [0, 1, 2], (2, 3))
    sparse.data, sparse.indices, sparse.indptr = map(unaligned, (sparse.data, sparse.indices, sparse.indptr))
    checked = v.check_rows(sparse)
    arrays = [
        checked.data,
        checked.indices,
        checked.indptr,
        v.check_rows(unaligned(X)),
        v.check_logits(unaligned(X))[0],
        v.check_target(unaligned(np.array([0, 1], dtype=np.intp)), 2, 2)[0],
        v.check_target(unaligned(np.eye(2)), 2, 2)[0],
        v.check_sample_weight(unaligned([1.0, 2.0]), 2),
        v.check_class_weight(unaligned([1.0, 2.0]), 2),
        v.check_coef(unaligned(X), unaligned([1.0, 2.0]), 3)[0],
    ]
    for array in arrays:
        assert array.flags.aligned
        assert array.flags.c_contiguous


@pytest.mark.parametrize("ignore_index", [-100, 0, 1, 7])
def test_ignored_codes(ignore_index):
    codes, ignored = v.check_target([0, 1, ignore_index], 3, 2, ignore_index)
    assert ignored.tolist() == [ignore_index == 0, ignore_index == 1, True]
    assert ((codes >= 0) & (codes < 2)).all()
    assert v.check_target([0, 1], 2, 2, -100)[1] is None


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ([0, 3], ValueError, r"target\[1\] is 3; codes must lie in 0..2"),
        ([-1, 0], ValueError, r"target\[0\] is -1; codes must lie in 0..2"),
        (np.array([0, 2**64 - 1], dtype=np.uint64), ValueError, r"target\[1\] is 18446744073709551615"),
        ([0.0, 1.5], TypeError, "got continuous values"),
        ([0.0, 1.0], TypeError, r"target.astype\(int\)"),
        (["a", "b"], TypeError, "return_inverse"),
        (np.array([0, None]), TypeError, "got dtype object"),
        ([0, 1, 2], ValueError, r"target must have shape \(2,\), or \(2, 3\) for soft labels; got \(3,\)"),
        (np.zeros((2, 3, 1)), ValueError, "target must have shape"),
        (np.zeros((3, 3)), ValueError, r"got \(3, 3\)"),
        (1, ValueError, r"got \(\)"),
        (np.array([[0], [1]]), ValueError, r"must have 3 columns.*target.ravel\(\)"),
        ([[0.5, 0.5], [0.5, 0.5]], ValueError, r"must have 3 columns, one per class; got shape \(2, 2\)"),
        ([[0.5, 0.5, 0.0], [0.5, 0.6, 0.0]], ValueError, "row 1 of target sums to 1.1"),
        ([[0.5, 0.5, 0.0], [1.5, -0.5, 0.0]], ValueError, r"target\[1, 1\] is -0.5; .*not be negative"),
        ([[0.5, 0.5, 0.0], [np.nan, 0.0, 1.0]], ValueError, r"target must be finite; target\[1, 0\] is nan"),
        (sp.csr_array(np.eye(2, 3)), TypeError, "target must be a dense array"),
    ],
)
def test_targets_refused(bad, error, message):
    with pytest.raises(error, match=message):
        v.check_target(bad, 2, 3)
    with pytest.raises(error, match=message):
        functional.cross_entropy(np.zeros((2, 3)), bad)
    with pytest.raises(error, match=message):
        functional.linear_cross_entropy(np.ones((2, 4)), bad, np.ones((3, 4)))


def test_soft_labels_take_the_dtype_asked_for():
    soft = np.array([[0.25, 0.75], [1.0, 0.0]], dtype=np.float32)
    assert v.check_target(soft, 2, 2, dtype=np.float32)[0] is soft
    assert v.check_target(soft, 2, 2, dtype=np.float64)[0].dtype == np.float64
    one_hot, _ = v.check_target([[0, 1], [1, 0]], 2, 2)
    assert one_hot.dtype == np.float64
    assert one_hot.flags.c_contiguous
    assert v.check_target(np.asfortranarray(soft), 2, 2, dtype=np.float32)[0].flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_soft_labels_sum_to_one_up_to_rounding(dtype):
    soft = np.random.default_rng(0).dirichlet(np.ones(300), size=20).astype(dtype)
    v.check_target(soft, 20, 300)
    with pytest.raises(ValueError, match="row 0 of target sums to"):
        v.check_target(soft * dtype(0.5), 20, 300)


# Weights and small arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ([1.0], ValueError, r"sample_weight must have shape \(2,\), one per row; got \(1,\)"),
        (1.0, ValueError, r"sample_weight must have shape \(2,\)"),
        ([[1.0], [1.0]], ValueError, r"got \(2, 1\)"),
        ([1.0, -0.5], ValueError, r"sample_weight must not be negative; sample_weight\[1\] is -0.5"),
        ([np.nan, 1.0], ValueError, r"sample_weight must be finite; sample_weight\[0\] is nan"),
        ([1.0, np.inf], ValueError, r"sample_weight\[1\] is inf"),
        (["a", "b"], TypeError, "sample_weight must hold real numbers"),
    ],
)
def test_sample_weights_refused(bad, error, message):
    with pytest.raises(error, match=message):
        functional.cross_entropy(np.zeros((2, 3)), [0, 1], sample_weight=bad)


def test_sample_weights_that_are_all_zero():
    assert not v.check_sample_weight([0, 0], 2).any()
    with pytest.raises(ValueError, match="sample_weight is zero for every row"):
        v.check_sample_weight([0, 0], 2, all_zero=False)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ([1.0, 1.0], ValueError, r"class_weight must have shape \(3,\), one per class; got \(2,\)"),
        ([1.0, 1.0, -2.0], ValueError, r"class_weight\[2\] is -2.0"),
        ([1.0, np.inf, 1.0], ValueError, r"class_weight\[1\] is inf"),
        ("balanced", TypeError, "got the string 'balanced'"),
        ({3: 1.0}, ValueError, r"class_weight names class 3; codes lie in 0..2"),
        ({"a": 1.0}, TypeError, "each code of class_weight must be an integer; got 'a'"),
        ({0: -1.0}, ValueError, r"class_weight\[0\] is -1.0"),
        ({0: np.nan}, ValueError, r"class_weight\[0\] must be finite"),
    ],
)
def test_class_weights_refused(bad, error, message):
    with pytest.raises(error, match=message):
        functional.cross_entropy(np.zeros((2, 3)), [0, 1], class_weight=bad)


def test_class_weights_as_a_mapping():
    assert v.check_class_weight({2: 0.5, np.int64(0): 3}, 4).tolist() == [3.0, 1.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"label_smoothing": 1.1}, ValueError, r"label_smoothing must lie in \[0, 1\]; got 1.1"),
        ({"label_smoothing": -0.1}, ValueError, "label_smoothing must lie"),
        ({"label_smoothing": float("nan")}, ValueError, "label_smoothing must be finite"),
        ({"label_smoothing": "0.1"}, TypeError, "label_smoothing must be a real number; got '0.1'"),
        ({"reduction": "median"}, ValueError, "reduction must be 'mean' or 'sum' or 'none'; got 'median'"),
        ({"reduction": None}, ValueError, "got None"),
        ({"ignore_index": 1.0}, TypeError, "ignore_index must be an integer; got 1.0"),
        ({"ignore_index": True}, TypeError, "ignore_index must be an integer"),
        ({"n_threads": 0}, ValueError, "n_threads must be None, at least 1, or -1"),
        ({"n_threads": -2}, ValueError, "n_threads must be None"),
        ({"n_threads": 2.0}, TypeError, "n_threads must be an integer; got 2.0"),
    ],
)
def test_small_arguments_refused(arguments, error, message):
    for function, data in (
        (functional.cross_entropy, (np.zeros((2, 3)), [0, 1])),
        (functional.cross_entropy_and_grad, (np.zeros((2, 3)), [0, 1])),
        (functional.linear_cross_entropy, (np.ones((2, 4)), [0, 1], np.ones((3, 4)))),
    ):
        with pytest.raises(error, match=message):
            function(*data, **arguments)


def test_penalties_refused():
    data = np.ones((2, 4)), [0, 1], np.ones((3, 4))
    for l2, error, message in [
        (-1.0, ValueError, "l2 must not be negative; got -1.0"),
        (np.inf, ValueError, "l2 must be finite"),
        (1j, TypeError, "l2 must be a real number"),
    ]:
        with pytest.raises(error, match=message):
            functional.linear_cross_entropy(*data, l2=l2)
    with pytest.raises(ValueError, match="l2 is not part of"):
        functional.linear_cross_entropy(*data, l2=1.0, reduction="none")
    assert functional.linear_cross_entropy(*data, l2=0.0, reduction="none").shape == (2,)


def test_derivatives_of_a_linear_model_have_no_rows():
    data, W = (np.ones((2, 4)), [0, 1]), np.ones((3, 4))
    with pytest.raises(ValueError, match="reduction must be 'mean' or 'sum'; got 'none'"):
        functional.linear_cross_entropy_and_grad(*data, W, reduction="none")
    with pytest.raises(ValueError, match="reduction must be 'mean' or 'sum'; got 'none'"):
        functional.linear_cross_entropy_hessp(*data, W, None, W, None, reduction="none")


def test_n_threads():
    assert v.check_n_threads(None) is None
    assert v.check_n_threads(np.int64(3)) == 3
    assert v.check_n_threads(-1) >= 1


# Coefficients -----------------------------------------------------------------------------------------------


def test_coefficients_become_one_array():
    W = np.arange(6.0).reshape(2, 3)
    for coef in (W, np.asfortranarray(W), W.tolist(), W.astype(int)):
        theta, binary = v.check_coef(coef, [7, 8], 3)
        assert not binary
        assert theta.flags.c_contiguous
        assert theta.dtype == np.float64
        np.testing.assert_array_equal(theta, [[0, 3], [1, 4], [2, 5], [7, 8]])
    theta, binary = v.check_coef(W[0].astype(np.float32), None, 3)
    assert binary
    assert theta.dtype == np.float32
    assert theta.tolist() == [[0], [1], [2], [0]]
    for intercept in (7, [7.0], np.float64(7)):
        assert v.check_coef(W[0], intercept, 3)[0][-1] == 7


@pytest.mark.parametrize(
    ("coef", "intercept", "error", "message"),
    [
        (
            np.ones((2, 4)),
            None,
            ValueError,
            r"coef must have shape \(K, 3\), or \(3,\) for binary.*got \(2, 4\)",
        ),
        (np.ones((3, 2)), None, ValueError, r"got \(3, 2\)"),
        (np.ones(2), None, ValueError, r"got \(2,\)"),
        (np.ones((0, 3)), None, ValueError, r"got \(0, 3\)"),
        (1.0, None, ValueError, r"got \(\)"),
        (np.ones((1, 3)), None, ValueError, r"softmax over one class is always 1.*coef\[0\]"),
        (
            [[1.0, np.nan, 0.0], [0.0, 0.0, 0.0]],
            None,
            ValueError,
            r"coef must be finite; coef\[0, 1\] is nan",
        ),
        (np.ones((2, 3)) * 1j, None, TypeError, "coef must hold real numbers"),
        (
            np.ones((2, 3)),
            [1.0],
            ValueError,
            r"intercept must have shape \(2,\) to go with coef; got shape \(1,\)",
        ),
        (np.ones((2, 3)), 1.0, ValueError, r"intercept must have shape \(2,\)"),
        (np.ones(3), [1.0, 2.0], ValueError, "intercept must be a number to go with coef"),
        (np.ones(3), np.nan, ValueError, r"intercept must be finite; intercept\[0\] is nan"),
    ],
)
def test_coefficients_refused(coef, intercept, error, message):
    with pytest.raises(error, match=message):
        functional.linear_cross_entropy(X, [0, 1], coef, intercept)


def test_directions_refused():
    W = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"direction_coef must have shape \(K, 3\)"):
        functional.linear_cross_entropy_hessp(X, [0, 1], W, None, np.ones((2, 4)), None)
    with pytest.raises(ValueError, match=r"direction_coef must have the shape of coef, \(2, 3\); got \(3,\)"):
        functional.linear_cross_entropy_hessp(X, [0, 1], W, None, np.ones(3), None)
    with pytest.raises(
        ValueError, match=r"direction_intercept must have shape \(2,\) to go with direction_coef"
    ):
        functional.linear_cross_entropy_hessp(X, [0, 1], W, None, W, [1.0])


# Results ----------------------------------------------------------------------------------------------------


def test_results_out_of_range_name_the_scale():
    assert v.check_finite_result(1.5, X) == 1.5
    large = np.array([1.5e308, 1.5e308])
    assert v.check_finite_result(large, X) is large
    for bad in (np.nan, -np.inf, np.array([0.0, np.inf])):
        with pytest.raises(
            ValueError, match=r"largest feature in absolute value is 6, the largest parameter 1"
        ):
            v.check_finite_result(bad, X, np.ones(2))
        with pytest.raises(ValueError, match="largest feature in absolute value is 6"):
            v.check_finite_result(bad, sp.csr_array(-X))


# Sizes ------------------------------------------------------------------------------------------------------


def test_broadcast_arrays_of_any_claim_take_no_memory():
    def wide(*shape, dtype=float):
        return np.broadcast_to(np.ones((), dtype), shape)

    n = 10**12
    for call in (
        lambda: functional.softmax(wide(n, 3)),
        lambda: functional.softmax(wide(n, 3, dtype=int)),
        lambda: functional.sigmoid(wide(n, 3)),
        lambda: functional.linear_cross_entropy(wide(n, 3), [0, 1], np.ones((2, 3))),
        lambda: functional.linear_cross_entropy(X, [0, 1], wide(n, 3)),
    ):
        with pytest.raises(
            ValueError, match=r"The .* of (X|coef)?.* would take \d+ GB, and this machine has \d+ GB"
        ):
            call()


def test_objects_that_cannot_be_arrays():
    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise KeyError("deep inside")

    with pytest.raises(TypeError, match="logits cannot be made into an array: KeyError: 'deep inside'"):
        functional.softmax(Broken())
