"""L1 and elastic net: the optimality conditions to rounding, exact zeros, an intercept left alone."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastxent.solvers import l1_newton, newton_cg
from solvers_problems import make_objective

PROBLEMS = [
    {"n_classes": 2, "l1": 0.05},
    {"n_classes": 3, "l1": 0.02},
    {"n_classes": 3, "l1": 0.02, "l2": 0.02},
    {"n_classes": 3, "l1": 0.005, "sparse": True},
    {"n_classes": 2, "l1": 0.05, "fit_intercept": False},
    {"n_classes": 3, "l1": 1e-3, "scales": np.logspace(-1, 3, 6)},
    {"n_classes": 2, "l1": 0.01, "n": 30, "d": 100},
    {"n_classes": 3, "l1": 1e-4, "n": 30, "d": 100},
]


@pytest.mark.parametrize("arguments", PROBLEMS, ids=str)
def test_optimality_conditions(arguments):
    objective = make_objective(**arguments)
    result = l1_newton.solve(objective, np.zeros(objective.shape), tol=1e-9, max_iter=300)
    assert result.converged, result.reason
    smooth, grad = objective.value_and_grad(result.theta)
    W, G = result.theta[:-1], grad[:-1]
    assert_allclose(G[W != 0], -objective.penalty.l1 * np.sign(W[W != 0]), atol=1.1e-9)
    assert (np.abs(G[W == 0]) <= objective.penalty.l1 + 1.1e-9).all()
    assert np.abs(grad[-1]).max() <= 1.1e-9
    assert_allclose(result.value, smooth + objective.penalty.l1 * np.abs(W).sum())
    assert 0 < np.count_nonzero(W) < W.size


def test_no_point_nearby_is_lower():
    objective = make_objective(3, l1=0.02, l2=0.01)
    result = l1_newton.solve(objective, np.zeros(objective.shape), tol=1e-9, max_iter=100)
    rng = np.random.default_rng(0)
    for size in (1e-1, 1e-3, 1e-5):
        other = result.theta + size * rng.normal(size=(50, *objective.shape))
        values = [objective.value(theta) + objective.penalty.l1 * np.abs(theta[:-1]).sum() for theta in other]
        assert min(values) > result.value


def test_strong_penalty_leaves_the_class_frequencies():
    objective = make_objective(3, l1=10.0)
    result = l1_newton.solve(objective, np.zeros(objective.shape), tol=1e-10, max_iter=50)
    assert_array_equal(result.theta[:-1], 0.0)
    probabilities = np.exp(result.theta[-1]) / np.exp(result.theta[-1]).sum()
    frequencies = -objective.value_and_grad(np.zeros(objective.shape))[1][-1] + 1 / 3
    assert_allclose(probabilities, frequencies, atol=1e-9)


def test_any_start_ends_at_the_same_place():
    objective = make_objective(2, l1=0.01)
    results = [
        l1_newton.solve(objective, start, tol=1e-10, max_iter=200).theta
        for start in (np.zeros(objective.shape), np.full(objective.shape, 3.0))
    ]
    assert_allclose(*results, atol=1e-7)
    assert_array_equal(results[0] == 0, results[1] == 0)


def test_vanishing_penalty_meets_the_smooth_solver():
    smooth, nearly = make_objective(3, l2=0.01), make_objective(3, l2=0.01, l1=1e-9)
    one = newton_cg.solve(smooth, np.zeros(smooth.shape), tol=1e-10, max_iter=100)
    other = l1_newton.solve(nearly, np.zeros(nearly.shape), tol=1e-10, max_iter=100)
    assert_allclose(other.theta[:-1], one.theta[:-1], atol=1e-6)


def test_twin_columns_share_fairly():
    objective = make_objective(2, l1=0.01)
    objective.local.X[:, 1] = objective.local.X[:, 0]
    result = l1_newton.solve(objective, np.zeros(objective.shape), tol=1e-10, max_iter=100)
    assert result.converged
    assert_allclose(result.theta[0], result.theta[1], rtol=1e-6)


@pytest.mark.parametrize("max_iter", [0, 1, 2])
def test_max_iter(max_iter):
    objective = make_objective(3, l1=0.001)
    result = l1_newton.solve(objective, np.zeros(objective.shape), tol=0.0, max_iter=max_iter)
    assert not result.converged and result.n_iter == max_iter and "max_iter" in result.reason


def test_history_falls():
    objective = make_objective(3, l1=0.005)
    result = l1_newton.solve(objective, np.zeros(objective.shape), tol=1e-9, max_iter=100)
    loss = np.array(result.history["loss"])
    assert len(loss) == result.n_iter + 1 and (np.diff(loss) < 1e-12).all()


def test_float32_data_end_at_their_own_rounding():
    theirs, ours = make_objective(3, l1=0.01), make_objective(3, l1=0.01, dtype=np.float32)
    best = l1_newton.solve(theirs, np.zeros(theirs.shape), tol=1e-10, max_iter=100)
    result = l1_newton.solve(ours, np.zeros(ours.shape), tol=0.0, max_iter=200)
    assert result.converged and result.n_iter < 100
    assert_allclose(result.value, best.value, rtol=1e-5)


def test_caller_can_stop():
    objective = make_objective(3, l1=0.005)
    result = l1_newton.solve(
        objective,
        np.zeros(objective.shape),
        tol=1e-9,
        max_iter=50,
        callback=lambda theta, h: h["epoch"][-1] == 1,
    )
    assert not result.converged and result.n_iter == 1


@pytest.mark.parametrize("n_classes", [2, 3])
def test_penalty_factors(n_classes):
    factor = np.array([1.0, 0.0, 3.0, 0.5, 1.0, 0.0])
    objective = make_objective(n_classes, l1=0.02, l2=0.01, penalty_factor=factor)
    result = l1_newton.solve(objective, np.zeros(objective.shape), tol=1e-9, max_iter=300)
    assert result.converged, result.reason
    _, grad = objective.value_and_grad(result.theta)
    W, G, l1 = (
        result.theta[:-1],
        grad[:-1],
        np.broadcast_to(objective.penalty.l1_of(objective.n_features)[:, None], grad[:-1].shape),
    )
    assert_allclose(G[W != 0], -(l1 * np.sign(W))[W != 0], atol=1.1e-9)
    assert (np.abs(G[W == 0]) <= l1[W == 0] + 1.1e-9).all()
    assert W[factor == 0].all() and not W.all()
