"""NumPy's archives."""

import gzip

import numpy as np
import pytest
import scipy.sparse as sp

from fastxent.readers import npz
from fastxent.readers.batch import DataError

X = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]])
Y = np.array(["x", "y"])


def parts(matrix, **more):
    return {
        **{name: getattr(matrix, name) for name in ("data", "indices", "indptr", "shape", "format")},
        **more,
    }


@pytest.mark.parametrize(
    "arrays",
    [
        {"X": X, "y": Y, "weight": np.array([1, 2])},
        parts(sp.csr_matrix(X), y=Y, weight=np.array([1, 2])),
        parts(sp.csc_matrix(X), y=Y, weight=np.array([1, 2])),
    ],
)
def test_arrays(arrays, tmp_path):
    np.savez(tmp_path / "x.npz", **arrays)
    (tmp_path / "x.npz.gz").write_bytes(gzip.compress((tmp_path / "x.npz").read_bytes()))
    for name in ("x.npz", "x.npz.gz"):
        (batch,) = npz.read(str(tmp_path / name))
        found = batch.X.toarray() if sp.issparse(batch.X) else batch.X
        np.testing.assert_array_equal(found, X)
        assert (batch.y.tolist(), batch.weight.tolist(), batch.place(1)) == (["x", "y"], [1, 2], "row 2")


def test_a_matrix_of_save_npz_has_no_labels(tmp_path):
    sp.save_npz(tmp_path / "x.npz", sp.csr_matrix(X))
    (batch,) = npz.read(str(tmp_path / "x.npz"), labelled=False)
    np.testing.assert_array_equal(batch.X.toarray(), X)
    assert batch.y is None
    with pytest.raises(DataError, match="has no labels: store them as y beside X"):
        list(npz.read(str(tmp_path / "x.npz")))


def test_many_rows_come_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "rows_at_a_time", lambda columns: 3)
    many = np.arange(20.0).reshape(10, 2)
    np.savez(tmp_path / "x.npz", X=many, y=np.arange(10))
    batches = list(npz.read(str(tmp_path / "x.npz")))
    assert [len(batch.y) for batch in batches] == [3, 3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([batch.X for batch in batches]), many)
    assert batches[-1].place(0) == "row 10"


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"X": X * np.nan, "y": Y}, "row 1: column 0 is nan"),
        ({"X": np.where(X == 3, np.inf, X), "y": Y}, "row 2: column 1 is inf"),
        (parts(sp.csr_matrix(np.where(X == 3, np.inf, X)), y=Y), "row 2: column 1 is inf"),
        ({"X": X[0], "y": Y}, "its shape is (3,)"),
        ({"X": X[:0], "y": Y[:0]}, "its shape is (0, 3)"),
        ({"X": X, "y": Y[:1]}, "X has 2 rows, while the shape of y is (1,)"),
        ({"X": X, "y": Y, "weight": np.ones(3)}, "the shape of weight is (3,)"),
        ({"X": X, "y": Y, "weight": np.array([1.0, -1.0])}, "row 2: the weight is -1"),
        ({"X": X, "y": np.array([1, 0.5])}, "row 2: the label is 0.5"),
        ({"X": X, "y": np.array([1, None])}, "cannot be read as an archive"),
        ({"X": X, "y": np.array([1j, 2])}, "its dtype is complex128"),
        ({"X": X + 1j, "y": Y}, "X should hold real numbers; its dtype is complex128"),
        ({"A": X, "y": Y}, "it has A, y"),
        (parts(sp.csr_matrix(X), y=Y) | {"indices": np.array([0, 7, 1])}, "its sparse matrix is damaged"),
        (parts(sp.csr_matrix(X), y=Y) | {"indptr": np.array([0, 9, 3])}, "its sparse matrix is damaged"),
        (parts(sp.csr_matrix(X), y=Y) | {"format": "bsr"}, "its sparse matrix is 'bsr'"),
    ],
)
def test_faults(arrays, said, tmp_path):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError) as raised:
        list(npz.read(str(tmp_path / "x.npz")))
    assert said in str(raised.value)


def test_what_is_no_archive(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, X=X, y=Y)
    content = path.read_bytes()
    with open(path, "wb") as file:
        np.save(file, X)
    unknown = bytearray(content)
    for header, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        unknown[content.index(header) + offset] = 77  # a way to compress that nobody knows
    contents = [
        unknown,
        path.read_bytes(),
        b"",
        b"hello",
        content[:-30],
        content[:100] + b"\xff" * 50 + content[150:],
    ]
    for damaged in contents:
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"x\.npz: (cannot be read as an archive|is a single array)"):
            list(npz.read(str(path)))
