"""Proximal Newton: the optimum of L1 and elastic net with every option, by the conditions that define it."""

from dataclasses import replace

import numpy as np
import pytest
from options import OPTIONS, STORAGES, objective
from sklearn.datasets import load_breast_cancer, load_wine

from fastxent.objective import Objective
from fastxent.solvers import l1_newton
from fastxent.solvers.coordinate import prox_newton
from objectives import objective_of


def penalty(problem, W):
    sizes = np.linalg.norm(W, axis=1) if problem.penalty.groups else np.abs(W).sum(axis=1)
    return float(problem.penalty.l1_of(problem.n_features) @ sizes)


def assert_optimal(problem, theta, accuracy):
    """The subgradient of least norm is next to nothing, measured by l1; weights at zero are exactly zero."""
    _, grad = problem.value_and_grad(theta)
    W, G, l1 = theta[:-1], grad[:-1], problem.penalty.l1_of(problem.n_features)[:, None]
    if problem.penalty.groups:
        size = np.linalg.norm(W, axis=1, keepdims=True)
        off = np.where(
            size == 0,
            np.maximum(np.linalg.norm(G, axis=1, keepdims=True) - l1, 0),
            np.abs(G + l1 * W / np.where(size > 0, size, 1)),
        )
    else:
        off = np.where(W == 0, np.maximum(np.abs(G) - l1, 0), np.abs(G + l1 * np.sign(W)))
    assert off.max() <= accuracy * problem.penalty.l1
    assert np.abs(grad[-1]).max() <= accuracy * problem.penalty.l1


def proximal_gradient(problem, steps):
    """The plainest method there is, from zero; with momentum, begun anew where F rises (FISTA)."""
    theta = before = problem.initial()
    l1 = problem.penalty.l1_of(problem.n_features)[:, None]
    mass = problem.local.targets.masses / problem.total_weight
    bound = (
        0.5 * float(mass @ (np.square(problem.local.X).sum(axis=1) + 1))
        + problem.penalty.l2_of(problem.n_features).max()
    )
    momentum, value = 1.0, np.inf
    for _ in range(steps):
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = theta + (momentum - 1) / following * (theta - before)
        before, momentum = theta, following
        theta = ahead - problem.value_and_grad(ahead)[1] / bound
        W = theta[:-1]
        if problem.penalty.groups:
            size = np.linalg.norm(W, axis=1, keepdims=True)
            W *= np.maximum(1 - l1 / bound / np.where(size > 0, size, 1.0), 0)
        else:
            W[:] = np.sign(W) * np.maximum(np.abs(W) - l1 / bound, 0)
        new = problem.value(theta) + penalty(problem, W)
        if new > value:
            momentum, theta = 1.0, before
        value = min(value, new)
    return theta, value


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_reaches_the_optimum_with_every_option(options, storage, K, l2):
    problem = objective(K, storage=storage, l1=0.01, l2=l2, **options)
    result = prox_newton.solve(problem, problem.initial(), tol=1e-13, max_iter=200)
    assert result.converged, result.reason
    assert_optimal(problem, result.theta, 1e-4)
    assert result.value == pytest.approx(
        problem.value(result.theta) + penalty(problem, result.theta[:-1]), rel=1e-14
    )


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_groups_of_features_reach_the_optimum_with_every_option(options, storage, l2):
    problem = objective(4, storage=storage, l1=0.03, l2=l2, penalty_groups="features", **options)
    result = prox_newton.solve(problem, problem.initial(), tol=1e-13, max_iter=300)
    assert result.converged, result.reason
    assert_optimal(problem, result.theta, 1e-4)
    zeros = (result.theta[:-1] == 0).sum(axis=1)
    assert set(zeros) <= {0, 4}
    assert result.value == pytest.approx(
        problem.value(result.theta) + penalty(problem, result.theta[:-1]), rel=1e-14
    )


@pytest.mark.parametrize("groups", [None, "features"])
@pytest.mark.parametrize("options", ["plain", "factors", "free_feature", "both_weights"])
def test_same_optimum_as_proximal_gradient(groups, options):
    problem = objective(3, l1=0.04, l2=0.003, penalty_groups=groups, **OPTIONS[options])
    theta, value = proximal_gradient(problem, 3000)
    result = prox_newton.solve(problem, problem.initial(), tol=1e-13, max_iter=300)
    assert result.value == pytest.approx(value, rel=1e-9)
    np.testing.assert_array_equal(result.theta[:-1] == 0, theta[:-1] == 0)
    for found in (result.theta, theta):  # a row without a penalty is determined up to a constant
        free = np.append(problem.penalty.l1_of(problem.n_features) == 0, True)
        found[free] -= found[free].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(result.theta, theta, atol=1e-4)
    assert 0 < np.count_nonzero(result.theta[:-1].any(axis=1)) < 7 or groups is None


def test_groups_of_two_classes_are_single_weights():
    plain, grouped = (
        objective(2, l1=0.02, penalty_groups=groups, storage="csr32") for groups in (None, "features")
    )
    thetas = [prox_newton.solve(p, p.initial(), tol=1e-10, max_iter=100).theta for p in (plain, grouped)]
    np.testing.assert_array_equal(*thetas)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("K", [2, 4])
def test_single_precision_data_reach_the_optimum_of_their_doubles(storage, K):
    single, double = (
        objective(K, storage=storage, l1=0.01, dtype=dtype) for dtype in (np.float32, np.float64)
    )
    got = prox_newton.solve(single, single.initial(), tol=1e-6, max_iter=200)
    wanted = prox_newton.solve(double, double.initial(), tol=1e-12, max_iter=200)
    assert got.converged
    assert double.value(got.theta) + 0.01 * np.abs(got.theta[:-1]).sum() <= wanted.value * (1 + 1e-5)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize("groups", [None, "features"])
@pytest.mark.parametrize("options", ["plain", "factors", "free_feature", "no_intercept", "soft_weighted"])
def test_l1_max_is_where_the_first_weight_appears(storage, K, groups, options):
    options = OPTIONS[options] | {"penalty_groups": groups}
    largest = prox_newton.l1_max(objective(K, storage=storage, **options))
    above, below = (
        objective(K, storage=storage, l1=largest * factor, **options) for factor in (1 + 1e-6, 0.99)
    )
    penalised = above.penalty.l1_of(above.n_features) > 0
    theta = prox_newton.solve(above, above.initial(), tol=1e-12, max_iter=100).theta
    assert not theta[:-1][penalised].any()
    theta = prox_newton.solve(below, below.initial(), tol=1e-12, max_iter=100).theta
    rows = np.count_nonzero(theta[:-1][penalised].any(axis=1))
    assert 1 <= rows <= 3
    assert np.isfinite(theta).all()


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_columns_far_from_zero_do_not_crawl(offset):
    problem = objective(3, l1=1e-3)
    problem.local.X += offset
    result = prox_newton.solve(problem, problem.initial(), tol=1e-8, max_iter=50)
    assert result.converged


def test_features_that_show_one_rare_class_alone():
    """Where a class is thought next to impossible, plain Newton steps explode."""
    rng = np.random.default_rng(0)
    X = (rng.random((3000, 40)) < 0.01).astype(float)
    y = rng.integers(0, 3, 3000)
    y[np.flatnonzero(X[:, 0])[:3]] = 3
    problem = objective_of(X, y, n_classes=4, l1=1e-5)
    result = prox_newton.solve(problem, problem.initial(), tol=1e-9, max_iter=100)
    assert result.converged, result.reason
    assert np.all(np.diff(result.history["loss"]) <= 1e-12)


def test_same_bits_for_any_number_of_threads_and_the_same_seed():
    thetas = []
    for n_threads in (1, 2, 3, 7):
        problem = objective(3, l1=1e-3, n=3000, d=40, n_threads=n_threads)
        thetas.append(
            prox_newton.solve(problem, problem.initial(), tol=1e-7, max_iter=50, random_state=1).theta
        )
    for theta in thetas[1:]:
        np.testing.assert_array_equal(theta, thetas[0])


@pytest.fixture
def samples(monkeypatch):
    """The row counts of the objectives that a solve descends on, where samples are taken of few rows already."""
    monkeypatch.setattr(prox_newton, "_LARGE", 0)
    monkeypatch.setattr(prox_newton, "_FEW_ROWS", 100)
    seen, model = [], prox_newton._Model

    def noted(objective):
        seen.append(objective.n_rows)
        return model(objective)

    monkeypatch.setattr(prox_newton, "_Model", noted)
    return seen


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize("groups", [None, "features"])
def test_begun_from_a_sample_it_reaches_the_optimum(samples, groups, K, storage, options):
    problem = objective(K, storage=storage, n=1600, l1=0.01, penalty_groups=groups, **options)
    result = prox_newton.solve(problem, problem.initial(), tol=1e-13, max_iter=200)
    assert samples == (
        [1600] if K == 2 and storage != "dense" else [200, 1600]
    )  # not where logits are stored
    assert result.converged, result.reason
    assert_optimal(problem, result.theta, 1e-4)


def test_dense_rows_begin_from_a_sample_unless_they_are_few(monkeypatch):
    taken, sample = [], Objective.sample
    monkeypatch.setattr(Objective, "sample", lambda self, n: taken.append(n) or sample(self, n))
    for n, storage in (9000, "dense"), (7000, "dense"), (9000, "csr32"):
        problem = objective(5, storage=storage, n=n, d=10, l1=1e-2)
        prox_newton.solve(problem, problem.initial(), tol=1e-2, max_iter=1)
    assert taken == [9000 // 8]


def test_a_sample_saves_iterations_and_is_as_deterministic(samples, monkeypatch):
    thetas = []
    for n_threads in (1, 3):
        problem = objective(3, l1=1e-2, n=8000, n_threads=n_threads)
        result = prox_newton.solve(problem, problem.initial(), tol=1e-8, max_iter=50, random_state=4)
        thetas.append(result.theta)
    np.testing.assert_array_equal(*thetas)
    monkeypatch.setattr(prox_newton, "_LARGE", np.inf)
    cold = prox_newton.solve(problem, problem.initial(), tol=1e-8, max_iter=50)
    assert result.history["loss"][0] - cold.value < 0.1 * (cold.history["loss"][0] - cold.value)
    assert result.n_iter < cold.n_iter


def test_a_sample_of_too_few_rows_or_for_no_iteration_is_left_alone(samples):
    wide = objective(4, l1=1e-4, n=800, d=60)
    cold = prox_newton.solve(wide, wide.initial(), tol=1e-8, max_iter=0)
    assert not cold.theta[:-1].any()
    prox_newton.solve(wide, wide.initial(), tol=1e-8, max_iter=3)
    warm = wide.initial()
    warm[0] = 0.1
    prox_newton.solve(objective(4, l1=1e-2, n=800), objective(4).initial() + 0.1, tol=1e-8, max_iter=3)
    strong = objective(4, l1=10.0, n=800)
    assert not prox_newton.solve(strong, strong.initial(), tol=1e-8, max_iter=3).theta[:-1].any()
    assert samples == [800] * 4


@pytest.mark.parametrize(("K", "storage"), [(2, "dense"), *((3, storage) for storage in STORAGES)])
@pytest.mark.parametrize("groups", [None, "features"])
def test_of_many_columns_a_sample_has_those_that_matter(samples, monkeypatch, groups, K, storage):
    factor = np.linspace(0.5, 2.0, 60)
    problem = objective(K, storage=storage, n=4000, d=60, penalty_groups=groups, penalty_factor=factor)
    problem = problem.with_penalty(replace(problem.penalty, l1=0.6 * prox_newton.l1_max(problem)))
    narrow, over_features = [], Objective.over_features

    def noted(part, chosen):
        narrow.append(over_features(part, chosen))
        np.testing.assert_array_equal(
            narrow[-1].penalty.l1_of(narrow[-1].n_features), part.penalty.l1_of(part.n_features)[chosen]
        )
        return narrow[-1]

    monkeypatch.setattr(Objective, "over_features", noted)
    result = prox_newton.solve(problem, problem.initial(), tol=1e-12, max_iter=100)
    assert samples == [500, 4000]
    assert 1 <= narrow[0].n_features < 30
    assert result.converged, result.reason
    assert np.count_nonzero(result.theta[:-1]) > 0
    assert_optimal(problem, result.theta, 1e-4)


def test_a_class_that_the_sample_misses_is_found_again(samples):
    problem = objective(3, l1=1e-3, n=4000)
    target = problem.local.targets.target.copy()
    target[:2] = 3
    problem = objective_of(problem.local.X, target, n_classes=4, l1=1e-3)
    result = prox_newton.solve(problem, problem.initial(), tol=1e-10, max_iter=100)
    assert samples == [500, 4000]
    assert result.converged, result.reason
    assert_optimal(problem, result.theta, 1e-3)


def test_warm_start_at_the_optimum_stops_at_once():
    problem = objective(3, l1=1e-3)
    optimum = prox_newton.solve(problem, problem.initial(), tol=1e-12, max_iter=100)
    assert prox_newton.solve(problem, optimum.theta, tol=1e-6, max_iter=100).n_iter <= 2


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
@pytest.mark.parametrize("l1", [1e-1, 1e-2, 1e-3])
def test_raw_columns_converge(load, l1):
    X, y = load(return_X_y=True)
    K = y.max() + 1
    problem = objective_of(np.ascontiguousarray(X), y.astype(np.intp), n_classes=K, binary=K == 2, l1=l1)
    result = prox_newton.solve(problem, problem.initial(), tol=1e-8, max_iter=500)
    reference = l1_newton.solve(problem, problem.initial(), tol=1e-8, max_iter=1000)
    assert result.converged, result.reason
    assert result.value <= reference.value * (1 + 1e-6)
