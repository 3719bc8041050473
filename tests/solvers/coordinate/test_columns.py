"""Columns of X, and the binary loss by columns: against SciPy's matrices and the objective's own passes."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from mpmath import mp
from numpy.testing import assert_allclose, assert_array_equal
from options import OPTIONS, STORAGES, objective

from fastxent import kernels
from fastxent.data.local import Local
from fastxent.objective import Objective
from fastxent.solvers import l1_newton
from fastxent.solvers.coordinate import columns, prox_newton
from fastxent.solvers.coordinate import turned as turning
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
    kept = np.ones(d, bool) if kept is None else kept
    sizes = np.zeros((d, 4))
    negative = [kernels.column_sizes(rows, None, sizes, first, stop) for first, stop in pairwise(borders)]
    assert negative == [bool((X[first:stop].data < 0).any()) for first, stop in pairwise(borders)]
    indptr = np.append(0, np.cumsum(sizes[:, 0] * kept)).astype(X.indptr.dtype)
    nnz = indptr[-1]
    indices, values = np.empty(nnz, X.indices.dtype), np.empty(nnz, X.dtype)
    places = indptr[:-1].copy()
    for first, stop in pairwise(borders):
        kernels.columns_of_rows(rows, kept, places, indices, values, first, stop)
    assert_array_equal(places, np.where(kept, indptr[1:], indptr[:-1]))
    return (values, indices, indptr[:-1], indptr[1:], n, d), sizes[:, 1]


def long_rows():
    """Rows with more entries than are turned at a time."""
    X = sp.random(20, 500, 0.7, format="csr", random_state=0)
    return X, np.random.default_rng(0).random(500) < 0.6


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
    everything = np.arange(25)[::-1].copy()
    view.products(r, out, everything, 0, 10)
    assert_array_equal(np.isnan(out), np.arange(25) < 15)
    view.products(r, out, everything, 10, 25)
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


def test_columns_of_long_rows():
    X, kept = long_rows()
    (values, indices, begin, _, n, d), _ = turned(X, kept, borders=(0, 20))
    got = sp.csc_matrix((values, indices, np.append(begin, len(values))), shape=(n, d)).toarray()
    assert_array_equal(got, X.toarray() * kept)


def test_slopes_stay_within_their_bounds():
    X = rows()
    n, d = X.shape
    rng = np.random.default_rng(0)
    one, zero = rng.random((2, n))
    sizes = np.zeros((d, 4))
    assert kernels.column_sizes((X.data, X.indices, X.indptr, n, d), (one, zero), sizes, 0, n)
    assert_array_equal(sizes[:, 0], X.getnnz(axis=0))
    dense, ends = X.toarray(), sizes[:, 1:]
    up, down = dense * zero[:, np.newaxis], -dense * one[:, np.newaxis]
    assert_allclose(
        ends[:, 1:], np.column_stack([np.minimum(up, down).sum(0), np.maximum(up, down).sum(0)]), atol=1e-14
    )
    r = -one + (one + zero) * rng.random(n)
    slopes = dense.T @ r
    assert ((ends[:, 1] <= slopes) & (slopes <= ends[:, 2])).all()


@pytest.mark.parametrize(("share", "back"), [(0.0, 1.0), (0.2, 1.0), (0.0, 0.7), (0.3, 0.4), (0.5, 0.0)])
def test_entropies_are_those_of_the_distributions(share, back):
    rng = np.random.default_rng(0)
    n, q = 700, 0.3
    z = np.append(rng.normal(0, 3, n - 6), [0.0, 40.0, -40.0, 800.0, -800.0, 1e-300])
    mass, target = rng.random(n), rng.choice([0.0, 1.0, 0.25], n)
    one, zero = mass * target, mass * (1 - target)
    got = sum(
        kernels.binary_entropy(z, one, zero, share, q, back, *part) for part in [(0, 1), (1, 300), (300, n)]
    )
    wanted = 0.0
    with mp.workdps(40):
        for zi, t, m in zip(z, one / (one + zero), one + zero, strict=True):
            p, t = 1 / (1 + mp.exp(-mp.mpf(zi))), mp.mpf(t)
            alpha = t + back * ((1 - mp.mpf(share)) * p + mp.mpf(share) * q - t)
            wanted -= m * sum(a * mp.log(a) for a in (alpha, 1 - alpha) if a > 0)
    assert got == pytest.approx(float(wanted), rel=1e-13)


def test_small_entropies_keep_their_digits():
    z, one, zero = np.array([-30.0, -700.0]), np.zeros(2), np.ones(2)
    for i in range(2):
        wanted = np.exp(z[i]) * (1 - z[i])
        assert kernels.binary_entropy(z, one, zero, 0.0, 0.5, 1.0, i, i + 1) == pytest.approx(
            wanted, rel=1e-12
        )


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
            view.products(z, np.empty(25), np.arange(25), first, stop)
    with pytest.raises(ValueError, match="sparse"):
        kernels.Columns(np.asfortranarray(np.ones((3, 2)))).products(
            np.ones(3), np.empty(2), np.arange(2), 0, 2
        )


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


def of_text(monkeypatch, sign=1.0, **options):
    """A binary problem whose columns are turned when they are needed, and its loss at a point with few weights."""
    monkeypatch.setattr(turning, "_FEW", 0)
    rng = np.random.default_rng(4)
    X = sp.random(3000, 120, 0.05, format="csr", random_state=1)
    X.data *= np.where(rng.random(X.nnz) < 0.5, sign, 1.0)
    y = (X[:, :20] @ rng.normal(size=20) + 0.2 * rng.normal(size=3000) > 0).astype(np.intp)
    problem = objective_of(X, y, n_classes=2, binary=True, l1=2e-3, **options)
    return problem, columns.loss_of(problem)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_slopes_of_the_classes_spare_passes(monkeypatch, sign, fit_intercept):
    problem, loss = of_text(monkeypatch, sign, fit_intercept=fit_intercept, sample_weight=np.arange(3000) % 3)
    theta = problem.initial()
    if fit_intercept:
        theta[-1] = loss.log_odds()
    before = problem.passes
    grad, slopes = loss.at(theta)[1], loss.slopes_of(np.array([0.3, 0.7]))
    assert (problem.passes == before) == (sign == 1)
    assert_allclose(grad, problem.value_and_grad(theta)[1], rtol=1e-11, atol=1e-16)
    one, zero = columns.class_weights(columns.columns_of(problem).part)
    X = columns.columns_of(problem).part.X
    assert_allclose(slopes[:, 0], X.T @ (0.7 * (one + zero) - one), rtol=1e-11, atol=1e-16)


@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_after_long_steps_only_near_slopes_are_computed(monkeypatch, l2):
    problem, loss = of_text(monkeypatch, -1.0, l2=l2)
    theta = problem.initial()
    first = loss.at(theta)[1]
    near = np.abs(first[:-1, 0]) > columns.NEAR * problem.penalty.l1
    assert 5 < near.sum() < 60
    columns.columns_of(problem).need(lambda: near, lambda: near)
    moved = theta.copy()
    moved[:-1][near] = 0.5
    step = SimpleNamespace(at=lambda t: moved, moves=lambda: (np.flatnonzero(near), np.full(near.sum(), 0.5)))
    wanted = problem.value_and_grad(moved)[1]
    for fall in 1.0, 0.2:
        loss.along(step, 1.0)
        grad = loss.gradient(moved, fall)
        assert_allclose(grad[:-1][near], wanted[:-1][near], rtol=1e-10, atol=1e-15)
        assert_array_equal(grad[:-1][~near], first[:-1][~near])
        assert grad[-1] == pytest.approx(wanted[-1], rel=1e-10)
    old = grad.copy()
    assert loss.complete(moved, grad) == bool((np.abs(wanted[:-1])[~near] > 2e-3).any())
    assert_allclose(grad, wanted, rtol=1e-10, atol=1e-15)
    assert not loss.complete(moved, grad)
    assert not np.array_equal(old, grad)
    loss.gradient(moved, 1.0)
    assert_allclose(loss.gradient(moved, 0.05), wanted, rtol=1e-10, atol=1e-15)  # a short step


def test_a_failed_line_search_begins_again_with_all_slopes(monkeypatch):
    problem, _ = of_text(monkeypatch)
    wanted = prox_newton.solve(problem, problem.initial(), tol=1e-9, max_iter=100)
    search, failed = prox_newton._line_search, []

    def fails_once(loss, step, *how):
        if loss.stale and not failed:
            failed.append(loss.along(step, 0.5))  # the logits are elsewhere now
            return None
        return search(loss, step, *how)

    monkeypatch.setattr(prox_newton, "_line_search", fails_once)
    got = prox_newton.solve(problem, problem.initial(), tol=1e-9, max_iter=100)
    assert failed
    assert got.converged
    assert got.value == pytest.approx(wanted.value, rel=1e-9)


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
    turned = columns.columns_of(problem).turned
    assert len(turned._pieces(np.arange(200))) > 2
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
