"""Rows of ones: the values are not stored, in the cache or on workers, and the fit has the same bits."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from fastxent import LogisticRegression
from fastxent.sources import ParquetSource
from fastxent.sources.ones import ones, stored_values, values_of, with_shared_ones

N, COLUMNS = 3000, 6


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 9, (N, COLUMNS))
    y = (codes[:, 0] + codes[:, 1] + rng.integers(0, 6, N)) % 3
    columns = {f"c{j}": np.array([f"v{code}" for code in codes[:, j]]) for j in range(COLUMNS)}
    return {name: pa.array(column).dictionary_encode() for name, column in columns.items()} | {"label": y}


def saved(folder, table):
    path = folder / "rows.parquet"
    pq.write_table(pa.table(table), path, row_group_size=700)
    return path


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bits_of_stored_ones(tmp_path, table, K, dtype):
    table = table | {"label": table["label"] % K}
    source = ParquetSource(saved(tmp_path, table), dtype=dtype, batch_rows=400)
    model = LogisticRegression(tol=1e-8).fit(source)
    stored = [(sp.csr_array((X.data.copy(), X.indices, X.indptr), shape=X.shape), y) for X, y in source]
    assert_array_equal(model.coef_, LogisticRegression(tol=1e-8).fit(stored).coef_)
    for X, _ in source:
        assert X.dtype == dtype
        assert_array_equal(X.toarray().sum(axis=1), np.full(X.shape[0], COLUMNS))


def test_neither_the_cache_nor_a_batch_has_values(tmp_path, table):
    source = ParquetSource(saved(tmp_path, table), cache=str(tmp_path), batch_rows=400)
    for _ in range(2):
        batches = list(source)
        assert len({X.data.ctypes.data for X, _ in batches}) == 1
        assert not any(X.data.flags.writeable for X, _ in batches)
    size = sum(
        os.path.getsize(os.path.join(where, name))
        for where, _, names in os.walk(tmp_path)
        for name in names
        if not name.endswith(".parquet")
    )
    assert size < 4 * N * COLUMNS + 20 * N  # indices; pointers, labels and what is between them


def test_other_values_are_stored(tmp_path, table):
    table = table | {"number": np.arange(N) % 2 + 1.0}
    source = ParquetSource(saved(tmp_path, table), batch_rows=400)
    for _ in range(2):
        X = sp.vstack([X for X, _ in source]).toarray()
        assert_array_equal(X.sum(axis=1), COLUMNS + np.arange(N) % 2 + 1)


def test_rows_of_any_kind():
    for X in (np.ones((2, 2)), sp.csr_array([[1.0, 2.0], [0.0, 1.0]]), sp.csr_array((2, 3))):
        assert with_shared_ones(X) is X
    one = with_shared_ones(sp.csr_array(np.eye(3, dtype=np.float32)))
    longer = ones(10**6, np.dtype(np.float32))  # another array is shared from now on
    assert_array_equal(one.toarray(), np.eye(3))
    for data in (one.data, longer[:5], np.ones(4)):
        assert len(stored_values(data)) == 0
        assert_array_equal(values_of(stored_values(data), len(data)), data)
    for data in (np.array([1.0, 1.0, 0.5]), np.empty(0)):
        assert_array_equal(values_of(stored_values(data), len(data)), data)
