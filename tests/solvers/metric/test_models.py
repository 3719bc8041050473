"""Models of the Hessian: what they say of the Hessian that they stand for."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from options import OPTIONS, STORAGES, objective

from fastxent.solvers.metric import models
from fastxent.solvers.metric.exact import Exact
from fastxent.solvers.metric.models import Diagonal
from fastxent.solvers.metric.sampled import Sampled
from fastxent.solvers.scaling import Rescaled


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("K", [2, 4])
def test_sampled_rows_stand_for_all_rows(options, K):
    """Each row weighs as much less as it is drawn more often: F, gradient and Hessian are right on average."""
    problem = Rescaled(objective(K, l2=1e-3, n=40_000, d=7, **options))
    rng = np.random.default_rng(0)
    u, V = rng.normal(size=(2, *problem.objective.shape)) * [[[0.5]], [[1.0]]]
    if not problem.fit_intercept:
        u[-1] = V[-1] = 0.0
    model = Sampled(problem, u)
    assert model.is_part
    value, grad = problem.value_and_grad(u)
    sampled_value, sampled_grad = model.evaluate(u)
    assert_allclose(sampled_value, value, rtol=0.1)
    assert np.linalg.norm(sampled_grad - grad) <= 0.2 * np.linalg.norm(grad) + 0.05
    image = problem.hessp(u, V)
    assert np.linalg.norm(model._times(V) - image) <= 0.2 * np.linalg.norm(image)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("K", [2, 4])
def test_exact_model_is_the_hessian(options, storage, K):
    problem = Rescaled(objective(K, l2=1e-3, storage=storage, **options))
    rng = np.random.default_rng(0)
    start, u, V = rng.normal(size=(3, *problem.objective.shape))
    V -= V.mean(axis=1, keepdims=True) if K > 2 else 0.0  # what all classes share may count as anything
    if not problem.fit_intercept:
        start[-1] = u[-1] = V[-1] = 0.0
    model = Exact(problem, start)
    model.follow(u)
    assert_allclose(model.solve(problem.hessp(u, V)), V, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("K", [2, 4])
def test_sampled_model_solves_to_its_tolerance(K):
    problem = Rescaled(objective(K, l2=1e-3, n=300, d=7))
    rng = np.random.default_rng(1)
    u, R = rng.normal(size=(2, *problem.objective.shape))
    R -= R.mean(axis=1, keepdims=True) if K > 2 else 0.0
    model = Sampled(problem, u)
    assert not model.is_part  # few rows are taken whole
    X = model.solve(R)
    error = X - model.solve(problem.hessp(u, X))
    assert np.vdot(error, problem.hessp(u, error)) <= 0.5 * np.vdot(X, R)


@pytest.mark.parametrize("K", [2, 4])
def test_diagonal_model_inverts_what_it_says(K):
    """variance (x) (diag beta - beta beta' / s) + floor + penalty, after the shift to the curvature's own means."""
    problem = Rescaled(objective(K, l2=1e-2, n=300, d=7))
    u = np.random.default_rng(2).normal(size=problem.objective.shape)
    model = Diagonal(problem, u)
    R = np.random.default_rng(3).normal(size=u.shape)
    X = model.solve(R)
    # Undo both shifts, then multiply.
    inner = X.copy()
    inner[-1] += (model._shift.T @ X)[0]
    D = 1.0 / model.inverse
    beta = model.beta
    images = D * inner
    if len(beta) > 1:
        v = (D[:, 1] - D[:, 0]) / (beta[1] - beta[0])
        images -= v[:, np.newaxis] * np.outer(inner @ beta, beta) / beta.sum()
    images[:-1] += model._shift[:-1] * R[-1]
    assert_allclose(images, R, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("storage", STORAGES)
def test_no_row_is_read_before_it_is_written(storage, fit_intercept, monkeypatch):
    """New memory may hold anything: a signalling NaN makes itself heard."""
    problem = Rescaled(objective(2, l2=1e-3, storage=storage, fit_intercept=fit_intercept))
    expected = models.dense_rows(problem, problem.objective.local)

    def full_of_nan(shape, dtype=float):
        array = np.zeros(shape, dtype)
        if array.dtype == np.float64:
            array.view(np.uint64)[...] = 0x7FF0000000000001
        return array

    monkeypatch.setattr(models.np, "empty", full_of_nan)
    with np.errstate(invalid="raise"):
        np.testing.assert_array_equal(models.dense_rows(problem, problem.objective.local), expected)
