"""Columns that are turned when they are needed: against SciPy's, and products summed in both ways."""

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from fastxent.data.ranges import Ranges
from fastxent.solvers.coordinate import prox_newton
from fastxent.solvers.coordinate import turned as turning
from fastxent.solvers.coordinate.turned import Turned
from objectives import objective_of

N, D = 400, 30


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Not even a few columns are turned at once."""
    monkeypatch.setattr(turning, "_FEW", 0)


def rows(index=np.int32, dtype=np.float64):
    X = sp.random(N, D, 0.2, format="csr", random_state=0).astype(dtype)
    X.data -= 0.5
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    return X


def columns_of(X, kept=None, dtype=np.float64, n_threads=1):
    ranges = Ranges([0, 100, 101, 300, N], n_threads)
    counts = np.array([np.bincount(X[some].indices, minlength=D) for some in ranges], X.indices.dtype)
    return Turned(X, counts if kept is None else counts * kept, ranges, np.dtype(dtype), n_threads)


def shown(view):
    """The columns as an array."""
    values, indices, begin, end, n, d = view.X
    dense = np.zeros((n, d))
    for j in range(d):
        some = slice(begin[j], end[j])
        dense[indices[some], j] = values[some]
    return dense


def mask(*features):
    return np.isin(np.arange(D), features)


def nothing():
    return np.zeros(D, bool)


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize(
    "dtypes", [(np.float64, np.float64), (np.float64, np.float32), (np.float32, np.float32)]
)
def test_columns_are_turned_as_they_are_needed(dtypes, index):
    X = rows(index, dtypes[0])
    dense, columns, seen = X.toarray().astype(float), columns_of(X, dtype=dtypes[1]), nothing()
    for wanted, near in (mask(3, 20), mask(4)), (mask(3), mask(5)), (mask(20, 29), nothing()):
        seen |= wanted if (seen | ~wanted).all() else wanted | near
        columns.need(lambda wanted=wanted: wanted, lambda near=near: near)
        assert_array_equal(shown(columns.exact), dense * seen)
        assert_array_equal(shown(columns.swept), (dense * seen).astype(dtypes[1]))
        assert not columns.complete
    assert columns.swept.is_double == (dtypes[1] == np.float64)
    assert seen.sum() == 4


def test_all_columns_are_turned_if_most_are_wanted_or_at_last(monkeypatch):
    X, most = rows(), np.arange(D) < 0.6 * D
    columns = columns_of(X, kept=mask(*range(25)))
    columns.need(lambda: most, nothing)
    assert columns.complete
    assert_array_equal(shown(columns.exact), X.toarray() * mask(*range(25)))
    columns = columns_of(X)
    for turn in range(1, turning._TURNS + 1):
        assert not columns.complete
        columns.need(partial(mask, turn), nothing)
    assert_array_equal(shown(columns.exact), X.toarray())


def test_products_over_rows_and_over_columns(monkeypatch):
    X, rng = rows(), np.random.default_rng(1)
    monkeypatch.setattr(turning, "_BY_ROWS", 3)
    columns, others = columns_of(X, n_threads=1), columns_of(X, n_threads=3)
    others.need(partial(mask, 7), nothing)
    out = np.empty((2, D))
    for done in range(6):
        assert columns.state()["by_rows"] == min(done, 3)
        assert columns.complete == (done > 3)
        r = rng.normal(size=N)
        for some, sums in zip((columns, others), out, strict=True):
            some.products(r, sums)
        assert_array_equal(*out)
        assert_allclose(out[0], X.T @ r, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("done", [0, 2, 4])
def test_a_restored_one_sums_in_the_same_way(monkeypatch, done):
    monkeypatch.setattr(turning, "_BY_ROWS", 3)
    X, rng = rows(), np.random.default_rng(1)
    columns, other = columns_of(X), columns_of(X)
    out = np.zeros((2, D))
    for i in range(done):
        columns.products(rng.normal(size=N), out[0])
        columns.need(partial(mask, 3 + i), nothing)
    other.restore(columns.state())
    some, out[:] = np.arange(D)[::2].copy(), 0.0
    for i, r in enumerate(rng.normal(size=(5, N))):
        for features in (some, None):
            columns.products(r, out[0], features)
            other.products(r, out[1], features)
            assert_array_equal(*out)
        assert columns.complete == other.complete
        for one in columns, other:
            one.need(partial(mask, 20 + i), nothing)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_entries_that_name_the_same_place_are_added_up(dtype):
    X = rows()
    twice = sp.csr_matrix((np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr), shape=X.shape)
    columns = columns_of(twice, dtype=dtype)
    columns.need(partial(mask, 5), nothing)
    assert_array_equal(shown(columns.exact), X.toarray())
    assert_array_equal(shown(columns.swept), X.toarray().astype(dtype))
    r, out = np.random.default_rng(1).normal(size=N), np.empty(D)
    columns.products(r, out)
    assert_allclose(out, X.T @ r, rtol=1e-11, atol=1e-12)


def test_few_entries_are_turned_at_once(monkeypatch):
    X = rows()
    monkeypatch.setattr(turning, "_FEW", 0)
    assert columns_of(sp.csr_matrix((N, D))).complete
    for few, complete in (X.nnz - 1, False), (X.nnz, True):
        monkeypatch.setattr(turning, "_FEW", few)
        columns = columns_of(X)
        assert columns.complete == complete
    assert_array_equal(shown(columns.exact), X.toarray())


@pytest.mark.parametrize("K", [2, 4])
def test_solves_that_turn_some_columns_end_at_the_same_optimum(monkeypatch, K):
    X, noise = rows(), np.random.default_rng(2).normal(size=N)
    y = np.searchsorted(np.arange(1, K) / K - 0.5, X.toarray()[:, :4].sum(axis=1) + 0.2 * noise)

    def solved():
        problem = objective_of(X, y, n_classes=K, binary=K == 2, l1=0.01)
        result = prox_newton.solve(problem, problem.initial(), tol=1e-12, max_iter=100)
        return result, problem.local.kept.columns.turned.complete

    some, complete = solved()
    assert not complete
    monkeypatch.setattr(turning, "_FEW", X.nnz)
    everything, complete = solved()
    assert complete
    assert 2 < np.count_nonzero(some.theta[:-1]) < 20 * K
    assert_allclose(some.theta, everything.theta, rtol=1e-6, atol=1e-9)
