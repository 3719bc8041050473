"""L-BFGS in a metric: the optimum with every model of the Hessian and every option, on raw columns, the same bits."""

import numpy as np
import pytest
from options import OPTIONS, STORAGES, least, objective
from sklearn.datasets import load_breast_cancer, load_wine

from fastxent.solvers import metric
from fastxent.solvers.metric import MODELS
from objectives import objective_of


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("K", [2, 3])
def test_reaches_the_optimum_with_every_model(kind, storage, K):
    problem = objective(K, storage=storage, l2=1e-3)
    result = metric.solve(problem, problem.initial(), tol=1e-9, max_iter=300, kind=kind)
    assert result.converged
    assert result.value <= least(problem) * (1 + 1e-8)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("K", [2, 4])
def test_reaches_the_optimum_with_every_option(options, kind, K):
    problem = objective(K, l2=1e-2, **options)
    result = metric.solve(problem, problem.initial(), tol=1e-9, max_iter=300, kind=kind)
    assert result.converged
    assert result.value <= least(problem) * (1 + 1e-8)


@pytest.mark.parametrize("storage", STORAGES)
def test_single_precision_data_reach_the_optimum_of_their_doubles(storage):
    single, double = (objective(storage=storage, l2=1e-3, dtype=dtype) for dtype in (np.float32, np.float64))
    result = metric.solve(single, single.initial(), tol=1e-6, max_iter=300)
    assert result.converged
    assert double.value(result.theta) <= least(double) * (1 + 1e-5)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("K", [2, 4])
def test_a_sample_of_the_rows_leads_to_the_optimum_of_all(options, dtype, K):
    problem = objective(K, l2=1e-3, n=6000, dtype=dtype, **options)
    result = metric.solve(problem, problem.initial(), tol=1e-6, max_iter=300, kind="sampled")
    reference = metric.solve(problem, problem.initial(), tol=1e-6, max_iter=300, kind="gram")
    assert result.converged
    assert result.value <= reference.value * (1 + 1e-5)


@pytest.mark.parametrize("kind", ["diag", "gram", "nystrom", "sampled", "exact"])
def test_needs_no_penalty(kind):
    problem = objective(3, l2=0.0)
    result = metric.solve(problem, problem.initial(), tol=1e-9, max_iter=300, kind=kind)
    assert result.converged
    assert result.value <= least(problem) * (1 + 1e-8)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("l2", [1e-2, 1e-5])
@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
def test_tiny_models_keep_their_tolerance_in_few_steps(K, scale, l2, tol):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 8)) * np.logspace(-3, 3, 8) + 1.0
    labels = np.argmax(scale * rng.normal(size=(120, 8)) @ rng.normal(size=(8, K)), axis=1)
    labels[:60] = np.argmax(X[:60] / np.logspace(-3, 3, 8) @ rng.normal(size=(8, K)), axis=1)
    problem = objective_of(X, labels, n_classes=K, binary=K == 2, l2=l2)
    assert metric.choose(problem) == "exact"
    result = metric.solve(problem, problem.initial(), tol=tol, max_iter=100)
    assert result.converged and result.n_iter <= 25
    assert result.value <= least(problem) * (1 + tol)


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("l2", [1e-2, 1e-6])
def test_raw_columns_converge(load, offset, l2):
    X, y = load(return_X_y=True)
    K = y.max() + 1
    problem = objective_of(np.ascontiguousarray(X + offset), y.astype(np.intp), binary=K == 2, l2=l2)
    result = metric.solve(problem, problem.initial(), tol=1e-4, max_iter=100)
    tight = metric.solve(problem, problem.initial(), tol=1e-9, max_iter=1000)
    assert result.converged
    assert result.value <= tight.value * (1 + 1e-3)


def test_separable_rows_without_a_penalty_stop():
    X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    problem = objective_of(X, np.array([0, 0, 1, 1]), binary=True)
    result = metric.solve(problem, problem.initial(), tol=1e-4, max_iter=1000)
    assert "separable" in result.reason and not result.converged
    assert (problem.row_losses(result.theta) < np.log(2)).all()


@pytest.mark.parametrize("kind", MODELS)
def test_same_bits_for_any_number_of_threads(kind):
    thetas = []
    for n_threads in (1, 2, 3, 7):
        problem = objective(3, l2=1e-3, n=4000, d=40, n_threads=n_threads)
        thetas.append(metric.solve(problem, problem.initial(), tol=1e-6, max_iter=50, kind=kind).theta)
    for theta in thetas[1:]:
        np.testing.assert_array_equal(theta, thetas[0])


def test_warm_start_at_the_optimum_stops_at_once():
    problem = objective(3, l2=1e-2)
    optimum = metric.solve(problem, problem.initial(), tol=1e-12, max_iter=300)
    assert metric.solve(problem, optimum.theta, tol=1e-6, max_iter=300).n_iter <= 2


def test_stops_when_the_caller_or_max_iter_says_so():
    problem = objective(3, l2=1e-6)
    assert metric.solve(problem, problem.initial(), tol=1e-12, max_iter=2).n_iter == 2
    stopped = metric.solve(
        problem, problem.initial(), tol=1e-12, max_iter=50, callback=lambda _, h: len(h["loss"]) == 4
    )
    assert stopped.n_iter == 3 and not stopped.converged


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("K", [2, 3])
def test_models_of_rows_that_leave_the_hessian_singular(kind, K):
    """No penalty, columns alike, and all but a few rows of weight zero."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(40, 2)), 3, axis=1)
    y = np.arange(40) % K
    weight = (np.arange(40) < 6).astype(float)
    problem = objective_of(X, y, n_classes=K, binary=K == 2, sample_weight=weight)
    result = metric.solve(problem, problem.initial(), tol=1e-6, max_iter=500, kind=kind)
    reference = metric.solve(problem, problem.initial(), tol=1e-9, max_iter=500, kind="diag")
    assert np.isfinite(result.theta).all()
    assert "separable" in result.reason or result.value <= reference.value + 1e-4
