"""svmlight's format, compared with scikit-learn's reader."""

import io

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_svmlight_file

from fastxent.readers import stream, svmlight
from fastxent.readers.batch import Columns, DataError


def read(path, content, *, labelled=True, **known):
    path.write_bytes(content)
    return list(svmlight.read(str(path), Columns(**known), labelled=labelled))


def entries():
    value = st.floats(allow_nan=False, allow_infinity=False)
    return st.lists(st.tuples(st.integers(0, 3000), value), max_size=5, unique_by=lambda entry: entry[0])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(-(2**40), 2**40), entries()), min_size=1, max_size=8),
    ending=st.sampled_from(["\n", "\r\n", " \n", "\t# words 1:2\n\n"]),
    size=st.sampled_from([7, 64, 1 << 20]),
    last=st.booleans(),
)
def test_rows_are_scikit_learns(tmp_path_factory, rows, ending, size, last):
    lines = [" ".join([str(label), *(f"{j}:{v!r}" for j, v in sorted(row))]) for label, row in rows]
    content = (ending.join(lines) + ending * last).encode()
    path = tmp_path_factory.mktemp("x") / "x.svm"
    X, y = load_svmlight_file(io.BytesIO(content), zero_based=True, n_features=3001)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "BATCH_BYTES", size)
        batches = read(path, content)
    parts = [sp.csr_matrix((b.X.data, b.X.indices, b.X.indptr), shape=(b.X.shape[0], 3001)) for b in batches]
    np.testing.assert_array_equal(sp.vstack(parts).toarray(), X.toarray())
    np.testing.assert_array_equal(np.concatenate([b.y for b in batches]), y)


def test_places_are_lines(tmp_path):
    (batch,) = read(tmp_path / "x.svm", b"\xef\xbb\xbf# a comment\n1 1:2\n\n  \n+2 qid:7 3:.5e1 # 4:5\n-1\n")
    assert batch.y.tolist() == [1, 2, -1]
    assert [batch.place(i) for i in range(3)] == ["line 2", "line 5", "line 6"]
    assert batch.X.toarray().tolist() == [[0, 2, 0, 0], [0, 0, 0, 5], [0, 0, 0, 0]]


def test_rows_without_labels(tmp_path):
    (batch,) = read(tmp_path / "x.svm", b"1:2\n2:3 4:5\n", labelled=False, first=1)
    assert batch.y is None
    assert batch.X.toarray().tolist() == [[2, 0, 0, 0], [0, 3, 0, 5]]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"1 1:x", "the value of column 1 is 'x', not a number"),
        (b"1 1:", "the value of column 1 is empty"),
        (b"1 1:1_0", "'1_0'"),
        (b"1 1:0x10", "'0x10'"),
        (b"1 1:nan", "is NaN"),
        (b"1 1:-inf", "is infinite"),
        (b"1 1:1e999", "too large"),
        (b"1 1 :3", "'1' is not of the form column:value"),
        (b"1 1: 3", "the value of column 1 is empty"),
        (b"1 :3", "':3' is not of the form"),
        (b"1 2", "'2' is not of the form"),
        (b"1 2 3:4:5", "not of the form"),
        (b"1 2:3:4", "'2:3:4' is not of the form"),
        (b"1 -1:3", "columns are whole numbers"),
        (b"1 1.5:3", "columns are whole numbers"),
        (b"1 x:3", "columns are whole numbers"),
        (b"1 99999999999999999999:3", "is too large"),
        (b"1 2147483647:3", "is too large"),
        (b"x 1:2", "the label is 'x', not a number"),
        (b"0.5 1:2", "classes are whole numbers"),
        (b"nan 1:2", "the label is NaN"),
        (b"1e300 1:2", "too large"),
        (b"1,2 1:2", "has several labels (1,2)"),
        (b"1:2", "where a label should stand"),
        (b"1 0:2", "has a column 0"),
        (b"\xff\xfe 1:2", "not a number"),
        (b"1\x00 1:2", "is not text"),
    ],
)
def test_faults_are_found_with_their_line(line, said, tmp_path):
    path = tmp_path / "x.svm"
    for before, after, number in ((b"", b"", 1), (b"1 1:2\n\n2 2:3\n", b"\n1 1:2\n", 4)):
        with pytest.raises(DataError) as raised:
            read(path, before + line + after, first=1)
        assert str(raised.value).startswith(f"{path}, line {number}: ")
        assert said in str(raised.value)


def test_some_labels_only(tmp_path):
    with pytest.raises(DataError, match="some lines have labels and some have not"):
        read(tmp_path / "x.svm", b"1 1:2\n1:2\n", labelled=False)
