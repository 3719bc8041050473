"""The Hessian among a few coordinates, and sweeps over it: against the formula, and against sweeps over columns."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from options import OPTIONS, STORAGES, objective

from fastxent import kernels, parallel
from fastxent.solvers.coordinate import hessian as gram
from fastxent.solvers.coordinate import prox_newton
from fastxent.solvers.coordinate.columns import columns_of, loss_of


def curved(K, **arguments):
    """An objective, its columns, and its curvature somewhere."""
    problem = objective(K, **arguments)
    theta = 0.3 * np.random.default_rng(5).normal(size=problem.shape)
    theta[-1] *= problem.fit_intercept
    loss = loss_of(problem)
    loss.at(theta)
    columns, everything = columns_of(problem), np.ones(problem.n_features, bool)
    columns.need(lambda: everything, lambda: everything)
    return problem, columns, loss.curvature(theta)


@pytest.mark.parametrize("n", [150, 9001])  # some blocks and ranges, and rows left over
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("K", "narrow"), [(2, 32), (4, 32), (4, 1)])
def test_hessian_is_the_formulas(monkeypatch, K, narrow, weighted, storage, dtype, n):
    monkeypatch.setattr(gram, "_NARROW", narrow)
    problem, columns, curvature = curved(K, storage=storage, dtype=dtype, n=n, sample_weight=weighted)
    K = problem.K
    pairs = np.array([7 * K, 3 * K + K - 1, 0, 5 * K, K, 7 * K + K - 1, 5 * K + K // 2])[: 7 if K > 1 else 4]
    m = np.linspace(-1, 1, len(pairs)) * columns.centred
    got = gram.hessian(columns, curvature, pairs, m, 1)
    X = columns.part.X if storage == "dense" else columns.part.X.toarray()
    X = np.column_stack([X - columns.mean[:-1], np.ones(len(X))]).astype(float)
    Z, classes = X[:, pairs // K] - m, pairs % K
    P = curvature.P.astype(float)
    Q = P if K == 1 else curvature.largest * curvature.mass * P
    wanted = np.where(classes[:, None] == classes, Z.T @ (Z * Q[classes].T), 0.0)
    if K > 1:
        wanted -= (Z * Q[classes].T).T @ (Z * P[classes].T)
    assert_allclose(got, wanted, atol=20 * np.finfo(columns.dtype).eps * np.abs(wanted).max())


def test_same_bits_for_any_number_of_threads():
    _, columns, curvature = curved(4, n=20_000)
    pairs = np.arange(0, 32, 3)
    with parallel.one_blas_thread:
        Hs = [gram.hessian(columns, curvature, pairs, np.zeros(len(pairs)), n) for n in (1, 2, 5)]
    for H in Hs[1:]:
        assert_array_equal(H, Hs[0])


def table(count, **columns):
    t = np.zeros(count, prox_newton._COORDINATE)
    t["low"], t["high"] = -np.inf, np.inf
    for name, values in columns.items():
        t[name] = values
    return t


def test_sweeps_find_the_minimum_of_the_model():
    rng = np.random.default_rng(1)
    A = rng.normal(size=(40, 12))
    H, constant = A.T @ A, 30 * rng.normal(size=12)
    t = table(12, h=np.diag(H), l1=10.0)
    t["high"][0] = t["low"][1] = 0.0
    slopes = constant.copy()
    for _ in range(300):
        kernels.sweep_gram(H, slopes, t, rng.permutation(12), 0, 12)
    v = t["v"]
    assert_allclose(slopes, constant + H @ v, atol=1e-9)
    assert 2 < np.count_nonzero(v) < 12
    inside = (v != 0) & (v != t["low"]) & (v != t["high"])
    assert_allclose(slopes[inside], -10 * np.sign(v[inside]), atol=1e-9)
    assert np.abs(slopes[2:][v[2:] == 0]).max() <= 10
    assert t["violation"].max() <= 1e-9


def test_a_weight_held_at_its_bound_violates_nothing():
    H, t, slopes = np.eye(2), table(2, h=1.0, l1=0.1), np.array([-5.0, -5.0])
    t["high"] = 1.0
    order = np.arange(2)
    kernels.sweep_gram(H, slopes, t, order, 0, 2)
    assert_array_equal(t["v"], [1.0, 1.0])
    assert_array_equal(t["violation"], [1.0, 1.0])  # as far as it could go
    kernels.sweep_gram(H, slopes, t, order, 0, 2)
    assert_array_equal(t["violation"], [0.0, 0.0])
    X = np.asfortranarray([[2.0]])
    slope, one = np.zeros((1, 1)), np.ones((1, 1))
    t = table(1, h=4.0, l1=0.1, constant=-5.0, high=0.5)
    for wanted in (2.0, 0.0):
        model = kernels.QuadraticModel(kernels.Columns(X), one, None, 1.0, slope, None, np.zeros(1))
        coordinates = kernels.Coordinates(model, np.zeros(1, np.intp), np.zeros(1), np.zeros(1), t)
        coordinates.sweep(np.zeros(1, np.intp), 0, 1)
        assert t["v"] == 0.5
        assert t["violation"] == wanted


def test_what_does_not_fit_is_refused():
    with pytest.raises((ValueError, IndexError)):
        kernels.sweep_gram(np.eye(2), np.zeros(2), table(2), np.arange(2), 0, 3)
    with pytest.raises(ValueError, match="32 bytes"):
        kernels.sweep_gram(np.eye(2), np.zeros(3), table(3), np.arange(2), 0, 2)


def test_it_pays_where_weights_are_few_and_rows_many():
    columns = columns_of(objective(3))
    columns.dense = type("Swept", (), {"n": 60_000})
    entries = 780 * 60_000
    assert gram.pays(columns, 780, 12 * entries)
    assert not gram.pays(columns, 780, 5 * entries)
    assert not gram.pays(columns, 1800, 12 * entries)
    columns.dense.n = 100
    assert not gram.pays(columns, 50, 12 * 50 * 100)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("K", [2, 4])
def test_solves_with_it_end_at_the_same_optimum(monkeypatch, K, storage, options):
    def solved():
        problem = objective(K, storage=storage, l1=0.01, l2=0.003, **options)
        return prox_newton.solve(problem, problem.initial(), tol=1e-13, max_iter=200)

    plain = solved()
    formed = []

    def hessian(*arguments):
        formed.append(gram.hessian(*arguments))
        return formed[-1]

    monkeypatch.setattr(prox_newton, "pays", lambda *_: True)
    monkeypatch.setattr(prox_newton, "hessian", hessian)
    monkeypatch.setattr(prox_newton, "_GRAM_AFTER", 2)
    result = solved()
    assert formed
    assert result.converged, result.reason
    assert result.n_iter <= plain.n_iter + 1
    assert result.value == pytest.approx(plain.value, rel=1e-13)
    assert_array_equal(result.theta == 0, plain.theta == 0)


def test_where_it_was_formed_the_next_iteration_forms_it_after_one_sweep(monkeypatch):
    calls, sweep, finish = [], prox_newton._Part.sweep, prox_newton._Part.finish
    monkeypatch.setattr(prox_newton, "pays", lambda *_: True)
    monkeypatch.setattr(prox_newton._Part, "sweep", lambda self, rng: calls.append("s") or sweep(self, rng))
    monkeypatch.setattr(
        prox_newton._Part, "finish", lambda self, rng: calls.append("H ") or finish(self, rng)
    )
    problem = objective(4, l1=1e-4)
    prox_newton.solve(problem, problem.initial(), tol=1e-8, max_iter=20)
    first, *others = "".join(calls).split()
    assert first.endswith("s" * prox_newton._GRAM_AFTER + "H")
    assert others[:3] == ["sH"] * 3
