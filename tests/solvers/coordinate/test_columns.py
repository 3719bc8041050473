"""Columns of X, and the binary loss by columns: against SciPy's matrices and the objective's own passes."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from options import OPTIONS, STORAGES, objective

from fastxent import kernels
from fastxent.data.local import Local
from fastxent.objective import Objective
from fastxent.solvers import l1_newton
from fastxent.solvers.coordinate import columns, prox_newton
from objectives import objective_of


def rows(dtype=np.float64, index=np.int32, n=60, d=25):
    """CSR rows with an empty row and an empty column."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.2)
    X[7] = X[:, 3] = 0
    X = sp.csr_matrix(X.astype(dtype))
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    return X


def turned(X, kept=None, borders=(0, 60)):
    """Rows turned into columns, a range of rows after the other; and the largest size of each column's entries."""
    n, d = X.shape
    rows = X.data, X.indices, X.indptr, n, d
    counts, ends = np.zeros(d, X.indptr.dtype), np.zeros((d, 3))
    for first, stop in pairwise(borders):
        kernels.column_sizes(rows, None, counts, ends, first, stop)
    indptr = np.append(0, np.cumsum(counts if kept is None else counts * kept)).astype(counts.dtype)
    nnz = indptr[-1]
    indices, values = np.empty(nnz + 1, X.indices.dtype), np.empty(nnz + 1, X.dtype)
    places = indptr[:-1].copy()
    if kept is not None:
        places[~kept] = nnz
    for first, stop in pairwise(borders):
        kernels.columns_of_rows(rows, places, indices, values, nnz, first, stop)
    return (values[:-1], indices[:-1], indptr[:-1], indptr[1:], n, d), ends[:, 0]


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_of_rows_and_their_products(dtype, index):
    X = rows(dtype, index)
    arrays, reach = turned(X, borders=(0, 7, 8, 60))
    wanted = X.tocsc()
    for got, expected in zip(arrays, (wanted.data, wanted.indices, wanted.indptr[:-1]), strict=False):
        assert_array_equal(got, expected)
    assert_array_equal(reach, np.abs(X.toarray()).max(axis=0))
    view = kernels.Columns(arrays)
    rng = np.random.default_rng(1)
    r, out = rng.normal(size=60), np.full(25, np.nan)
    view.products(r, out, 0, 10)
    view.products(r, out, 10, 25)
    assert_allclose(out, X.toarray().astype(float).T @ r, rtol=1e-13, atol=1e-15)
    sums = np.zeros(25)
    for first, stop in (0, 7), (7, 60):
        kernels.products_of_rows((X.data, X.indices, X.indptr, 60, 25), r, sums, first, stop)
    assert_allclose(sums, out, rtol=1e-12, atol=1e-15)
    z, steps, features = r.copy(), rng.normal(size=4), np.array([20, 3, 0, 24])
    view.add_to(z, features, steps, 0, 3)
    assert_allclose(z, r + X.toarray().astype(float)[:, features[:3]] @ steps[:3], rtol=1e-13)


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_left_out_are_empty(dtype, index):
    X = rows(dtype, index)
    kept = np.arange(X.shape[1]) % 3 == 1
    (values, indices, begin, _, n, d), _ = turned(X, kept)
    got = sp.csc_matrix((values, indices, np.append(begin, len(values))), shape=(n, d)).toarray()
    assert_array_equal(got, X.toarray() * kept)


def test_slopes_stay_within_their_bounds():
    X = rows()
    n, d = X.shape
    rng = np.random.default_rng(0)
    one, zero = rng.random((2, n))
    counts, ends = np.zeros(d, X.indices.dtype), np.zeros((d, 3))
    kernels.column_sizes((X.data, X.indices, X.indptr, n, d), (one, zero), counts, ends, 0, n)
    assert_array_equal(counts, X.getnnz(axis=0))
    dense = X.toarray()
    up, down = dense * zero[:, np.newaxis], -dense * one[:, np.newaxis]
    assert_allclose(
        ends[:, 1:], np.column_stack([np.minimum(up, down).sum(0), np.maximum(up, down).sum(0)]), atol=1e-14
    )
    r = -one + (one + zero) * rng.random(n)
    slopes = dense.T @ r
    assert ((ends[:, 1] <= slopes) & (slopes <= ends[:, 2])).all()


@pytest.mark.parametrize("factor", [None, "some"])
@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_screened_columns_have_no_weight_at_the_optimum(l2, factor):
    rng = np.random.default_rng(3)
    X = sp.random(300, 200, 0.03, format="csr", random_state=1)
    y = (X @ rng.normal(size=200) + 0.3 * rng.normal(size=300) > 0).astype(np.intp)
    how = {"n_classes": 2, "binary": True, "l1": 8e-3, "l2": l2}
    if factor:
        how["penalty_factor"] = rng.choice([0.5, 2.0], 200)
        how["penalty_factor"][:2] = 0.0
    problem, other = objective_of(X, y, **how), objective_of(X, y, **how)
    screened = columns.columns_of(problem)
    assert 20 < (~screened.kept).sum() < 180
    full = l1_newton.solve(other, other.initial(), tol=1e-10, max_iter=500)
    assert not full.theta[:-1][~screened.kept].any()
    start = rng.normal(size=problem.shape)  # also where a warm start has weights there
    for theta0 in (problem.initial(), start):
        result = prox_newton.solve(problem, theta0, tol=1e-10, max_iter=200)
        assert result.value == pytest.approx(full.value, rel=1e-9)
    weaker = replace(problem.penalty, l1=4e-3)
    problem = problem.with_penalty(weaker)  # a path goes on to weaker penalties
    assert columns.columns_of(problem).kept is None
    other = other.with_penalty(weaker)
    less = l1_newton.solve(other, other.initial(), tol=1e-10, max_iter=500)
    result = prox_newton.solve(problem, result.theta, tol=1e-10, max_iter=200)
    assert result.value == pytest.approx(less.value, rel=1e-9)


def test_a_column_that_names_a_row_twice_is_noticed():
    X = rows()
    everything = np.arange(25)
    assert not kernels.Columns(turned(X)[0]).has_duplicates(everything, 0, 25)
    j = X.indices[X.indptr[5]]
    X.indices[X.indptr[5] + 1] = j
    view = kernels.Columns(turned(X)[0])
    assert view.has_duplicates(everything, 0, 25)
    assert not view.has_duplicates(everything, 0, j)


def test_what_does_not_fit_is_refused():
    view, z = kernels.Columns(turned(rows())[0]), np.zeros(60)
    for first, stop in [(-1, 2), (0, 26), (5, 3)]:
        with pytest.raises((ValueError, IndexError)):
            view.products(z, np.empty(25), first, stop)
    with pytest.raises(ValueError, match="sparse"):
        kernels.Columns(np.asfortranarray(np.ones((3, 2)))).products(np.ones(3), np.empty(2), 0, 2)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("l2", [0.0, 0.02])
def test_binary_loss_is_the_objectives(options, l2):
    problem = objective(2, storage="csr32", l2=l2, **options)
    loss = columns.loss_of(problem)
    assert isinstance(loss, columns.BinaryLoss)
    theta = np.random.default_rng(2).normal(size=problem.shape)
    theta[2] = 0.0
    theta[-1] *= problem.fit_intercept
    (value, grad), (wanted, wanted_grad) = loss.at(theta), problem.value_and_grad(theta)
    assert value == pytest.approx(wanted, rel=1e-14)
    assert_allclose(grad, wanted_grad, rtol=1e-11, atol=1e-15)
    # The curvature of the intercept is the sum of the rows'.
    along = problem.initial()
    along[-1] = problem.fit_intercept
    if problem.fit_intercept:
        assert loss.curvature(theta).P.sum() == pytest.approx(problem.hessp(theta, along)[-1, 0], rel=1e-12)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("storage", ["dense", "csr32"])
def test_log_odds_balance_the_classes(options, storage):
    if options.get("fit_intercept") is False:
        options = {}
    problem = objective(2, storage=storage, **options)
    theta = problem.initial()
    theta[-1] = columns.loss_of(problem).log_odds()
    assert problem.value_and_grad(theta)[1][-1, 0] == pytest.approx(0.0, abs=1e-14)


def binary(n_threads=1, dtype=np.float64, n=20_000):
    rng = np.random.default_rng(3)
    X = sp.random_array((n, 200), density=0.1, format="csr", random_state=rng, dtype=np.float64).astype(dtype)
    y = (X @ rng.normal(size=200) + rng.normal(size=n) > 0).astype(np.intp)
    return objective_of(X, y, n_classes=2, binary=True, l1=1e-3, n_threads=n_threads)


def test_same_bits_for_any_number_of_threads():
    results = []
    for n_threads in (1, 2, 5):
        problem = binary(n_threads)
        results.append(prox_newton.solve(problem, problem.initial(), tol=1e-8, max_iter=50))
    assert len(columns.columns_of(problem).turned.ranges) > 2
    for result in results[1:]:
        assert_array_equal(result.theta, results[0].theta)
        assert result.history["loss"] == results[0].history["loss"]


def test_single_and_double_precision_sweeps_end_at_the_same_optimum(monkeypatch):
    problem = binary(n=5000)
    double = prox_newton.solve(problem, problem.initial(), tol=1e-12, max_iter=50)
    monkeypatch.setattr(columns, "_MANY", 0)
    monkeypatch.setattr(columns, "SMALL", 0)
    problem = binary(n=5000)
    single = prox_newton.solve(problem, problem.initial(), tol=1e-12, max_iter=50)
    assert columns.columns_of(problem).dtype == np.float32
    assert single.value == pytest.approx(double.value, rel=1e-13)
    assert_array_equal(single.theta == 0, double.theta == 0)


@pytest.mark.parametrize("K", [2, 3])
def test_rows_of_weight_zero_are_as_good_as_gone(K):
    weighted = objective(K, storage="csr32", sample_weight=True, l1=0.01)
    part = weighted.local
    kept = part.take(np.flatnonzero(part.targets.row_weight))
    fewer = Objective(Local([kept]), weighted.penalty)
    thetas = [prox_newton.solve(p, p.initial(), tol=1e-13, max_iter=100).theta for p in (weighted, fewer)]
    assert_allclose(*thetas, rtol=1e-6, atol=1e-9)
    assert_array_equal(*(theta == 0 for theta in thetas))


def test_entries_named_twice_add_up():
    problem = objective(2, storage="csr32", l1=0.01)
    X = problem.local.X
    split = sp.csr_array((np.repeat(0.5 * X.data, 2), np.repeat(X.indices, 2), 2 * X.indptr), shape=X.shape)
    other = objective_of(split, problem.local.targets.target, n_classes=2, binary=True, l1=0.01)
    thetas = [prox_newton.solve(p, p.initial(), tol=1e-13, max_iter=100).theta for p in (problem, other)]
    assert_allclose(*thetas, rtol=1e-7)


@pytest.mark.parametrize("l1", [0.0, 3e-3])
def test_rows_are_turned_in_parts(monkeypatch, l1):
    X = rows(n=400, d=30)
    y = np.arange(400) % 2
    wanted = columns.columns_of(objective_of(X, y, n_classes=2, binary=True, l1=l1))
    monkeypatch.setattr(columns, "_ENTRIES", 300)
    got = columns.columns_of(objective_of(X, y, n_classes=2, binary=True, l1=l1, n_threads=2))
    everything = np.ones(30, bool)
    for some in wanted, got:
        some.need(lambda: everything, lambda: everything)
    r = np.random.default_rng(0).normal(size=400)
    out = np.empty((2, 30))
    wanted.turned.products(r, out[0])
    got.turned.products(r, out[1])
    assert_array_equal(out[0], out[1])
    assert len(got.turned.ranges) == len(wanted.turned.ranges) == 1
    assert_array_equal(got.reach, wanted.reach)
    assert_array_equal(got.share, wanted.share)
    if l1:
        assert_array_equal(got.kept, wanted.kept)
        assert not got.kept.all()


@pytest.mark.parametrize("storage", STORAGES)
def test_rough_columns_are_in_single_precision_unless_it_is_too_narrow(storage):
    assert columns.columns_of(objective(4, storage=storage)).dtype == np.float64
    assert columns.columns_of(objective(4, storage=storage), rough=True).dtype == np.float32
    wide = objective(4, storage=storage)
    X = wide.local.X if storage == "dense" else wide.local.X.data
    X *= 1e20
    assert columns.columns_of(wide, rough=True).dtype == np.float64
