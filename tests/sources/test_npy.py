"""NpySource: dense and CSR arrays mapped into memory, and what is wrong with them."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from fastxent import LogisticRegression
from fastxent.estimators.streaming import Batches
from fastxent.readers.batch import DataError
from fastxent.sources import NpySource


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(100, 5)) * (rng.random((100, 5)) < 0.5), rng.integers(0, 3, 100)


def saved(folder, **arrays):
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return [folder / f"{name}.npy" for name in arrays]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dense(tmp_path, rows, dtype):
    X, y = rows
    weight = np.arange(1.0, 101.0)
    source = NpySource(*saved(tmp_path, X=X.astype(dtype), y=y, weight=weight), batch_rows=30)
    batches = list(source)
    assert [len(b[1]) for b in batches] == [30, 30, 30, 10]
    assert_array_equal(np.concatenate([A for A, _, _ in batches]), X.astype(dtype))
    assert_array_equal(np.concatenate([w for _, _, w in batches]), weight)
    model = LogisticRegression().fit(source)
    assert model.coef_.dtype == dtype


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_csr(tmp_path, rows, index):
    X, y = rows
    A = sp.csr_array(X)
    parts = saved(tmp_path, data=A.data, indices=A.indices.astype(index), indptr=A.indptr.astype(index))
    batches = list(NpySource(parts, y, n_features=5, batch_rows=30))
    assert_array_equal(sp.vstack([A for A, _ in batches]).toarray(), X)


def test_bad_rows(tmp_path, rows):
    X, y = rows
    X[40, 2], X[41, 0] = np.nan, np.inf
    (path,) = saved(tmp_path, X=X)
    with pytest.raises(DataError, match=r"X\.npy, row 40: column 2 is nan"):
        list(NpySource(path, y, batch_rows=30))
    source = NpySource(path, y, batch_rows=30, on_bad_rows="skip")
    assert sum(len(b) for _, b in source) == 98
    assert source.skipped_ == 2
    A = sp.csr_array(X)
    parts = saved(tmp_path, data=A.data, indices=A.indices, indptr=A.indptr)
    with pytest.raises(DataError, match="row 40: column 2 is nan"):
        list(NpySource(parts, y, n_features=5))
    assert sum(len(b) for _, b in NpySource(parts, y, n_features=5, on_bad_rows="skip")) == 98


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"indptr": [0, 2, 1, 3]}, "row 1: indptr must"),
        ({"indptr": [0, 1, 2, 9]}, "indptr must"),
        ({"indptr": [1, 1, 2, 3]}, "indptr must begin at 0"),
        ({"indices": [0, 5, 1]}, r"indices\.npy, row 1: column 5 is not in 0\.\.4"),
        ({"indices": [0, -1, 1]}, "column -1"),
        ({"indices": [0.0, 1.0, 1.0]}, "whole numbers"),
        ({"data": [1.0, 2.0]}, "cannot have the shapes"),
    ],
)
def test_damaged_csr(tmp_path, change, said):
    arrays = {"data": [1.0, 2.0, 3.0], "indices": [0, 1, 1], "indptr": [0, 1, 2, 3]} | change
    parts = saved(tmp_path, **{name: np.array(array) for name, array in arrays.items()})
    with pytest.raises(DataError, match=said):
        list(NpySource(parts, [0, 1, 0], n_features=5))


def test_files_that_cannot_be_read(tmp_path, rows):
    X, y = rows
    (path,) = saved(tmp_path, X=X)
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(DataError, match=r"X\.npy: cannot be read as \.npy"):
        list(NpySource(path, y))
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"has 100 rows, and y has shape \(99,\)"):
        list(NpySource(path, y[1:]))
    np.savez(tmp_path / "X.npz", X=X)
    with pytest.raises(DataError, match="archive"):
        list(NpySource(tmp_path / "X.npz", y))
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read"):
        list(NpySource(tmp_path / "o.npy", y))
    with pytest.raises(TypeError, match="Arrays in memory need no source"):
        NpySource(X, y)
    with pytest.raises(ValueError, match="n_features must be"):
        NpySource([path] * 3, y)


@pytest.mark.parametrize("sparse", [False, True])
def test_values_are_checked_again_only_if_a_file_has_changed(tmp_path, rows, sparse, monkeypatch):
    X, y = rows
    A = sp.csr_array(X)
    given = (
        saved(tmp_path, data=A.data, indices=A.indices, indptr=A.indptr) if sparse else saved(tmp_path, X=X)
    )
    source = NpySource(given if sparse else given[0], y, n_features=5 if sparse else None, batch_rows=30)
    looked, look = [], NpySource._without_bad
    monkeypatch.setattr(
        NpySource, "_without_bad", lambda self, piece, start: looked.append(start) or look(self, piece, start)
    )
    batches = Batches(LogisticRegression(), source)
    assert [len(codes) for _, codes, _ in batches] == [30, 30, 30, 10]
    assert looked == [0, 30, 60, 90]
    values = np.load(given[0])
    values[-1] = np.nan  # in the last batch
    np.save(given[0], values)
    with pytest.raises(DataError, match=r"row 99: column . is nan"):
        list(batches)


def test_rows_that_were_skipped_move_the_batches(tmp_path, rows):
    X, y = rows
    X[7, 1] = np.nan
    (path,) = saved(tmp_path, X=X)
    batches = Batches(LogisticRegression(), NpySource(path, y, batch_rows=30, on_bad_rows="skip"))
    for _ in range(2):
        assert_array_equal(np.concatenate([A for A, _, _ in batches]), np.delete(X, 7, axis=0))
    X[50, 1] = np.inf
    saved(tmp_path, X=X)
    with pytest.raises(ValueError, match="it has 8 rows, and in the first pass there was 9"):
        list(batches)
