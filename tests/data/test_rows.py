"""Sizes of rows, and rows without duplicates."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from fastxent.data import ranges, rows


@pytest.fixture(params=[np.float32, np.float64])
def X(request):
    A = sp.random_array(
        (30, 50), density=0.2, random_state=np.random.default_rng(0), format="csr", dtype=request.param
    )
    A.data -= 0.5
    return A


def with_index(X, kind):
    A = sp.csr_array(X.shape, dtype=X.dtype)
    A.data, A.indices, A.indptr = X.data.copy(), X.indices.astype(kind), X.indptr.astype(kind)
    return A


def backwards(X):
    X = X.copy()
    for first, stop in zip(X.indptr[:-1], X.indptr[1:], strict=True):
        X.indices[first:stop], X.data[first:stop] = (
            X.indices[first:stop][::-1].copy(),
            X.data[first:stop][::-1].copy(),
        )
    return sp.csr_array((X.data, X.indices, X.indptr), shape=X.shape)


@pytest.mark.parametrize("piece", [1, 100, 1 << 23])
def test_squared_norms(X, piece, monkeypatch):
    monkeypatch.setattr(ranges, "_CALL", piece)
    dense = X.toarray()
    expected = (dense.astype(np.float64) ** 2).sum(axis=1)
    kinds = [dense, np.asfortranarray(dense), with_index(X, np.int32), with_index(X, np.int64), backwards(X)]
    for kind in kinds:
        assert_allclose(rows.squared_norms(kind), expected, rtol=1e-15)


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_only_what_has_duplicates_is_copied(X, kind):
    turned = with_index(backwards(X), kind)
    assert not turned.has_sorted_indices
    for clean in (X.toarray(), with_index(X, kind), turned):
        assert rows.without_duplicates(clean) is clean
    twice = with_index(backwards(X), kind)
    twice.indices[twice.indptr[-1] - 1] = twice.indices[twice.indptr[-2]]
    before = twice.indices.copy()
    summed = rows.without_duplicates(twice)
    assert summed.has_canonical_format and summed.nnz == twice.nnz - 1
    assert_allclose(summed.toarray(), twice.toarray(), rtol=1e-6)
    assert_array_equal(twice.indices, before)
