"""The bound of duality.py: below the optimum whatever the distributions, and equal to it for the optimum's own."""

import numpy as np
import pytest
from options import OPTIONS, STORAGES, objective

from fastxent.prediction import predict
from fastxent.solvers import metric, prox_newton
from fastxent.solvers.duality import lower_bound

PENALTIES = {
    "l2": {"l2": 0.01},
    "l1": {"l1": 0.01},
    "elastic": {"l1": 0.01, "l2": 0.003},
    "groups": {"l1": 0.02, "l2": 0.003, "penalty_groups": "features"},
}
BOUNDED = {name: options for name, options in OPTIONS.items() if name != "free_feature"}


def probabilities(problem, theta):
    return lambda rows: np.asarray(predict(problem.X[rows], theta, "proba"), np.float64)


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
@pytest.mark.parametrize("options", BOUNDED.values(), ids=BOUNDED)
@pytest.mark.parametrize("storage", STORAGES[:2])
@pytest.mark.parametrize("K", [2, 4])
def test_bounds_the_optimum_from_below(penalty, options, storage, K):
    problem = objective(K, storage=storage, **penalty, **options)
    solve = prox_newton.solve if "l1" in penalty else metric.solve
    best = solve(problem, problem.initial(), tol=1e-13, max_iter=300)
    assert lower_bound(problem, probabilities(problem, best.theta)) == pytest.approx(best.value, rel=1e-4)
    rng = np.random.default_rng(0)
    for size in (0.01, 0.3, 3.0):
        theta = best.theta + size * rng.normal(size=best.theta.shape)
        assert lower_bound(problem, probabilities(problem, theta)) <= best.value * (1 + 1e-12)


def test_a_feature_without_a_penalty_leaves_nothing_to_say():
    problem = objective(3, l2=0.1, **OPTIONS["free_feature"])
    assert lower_bound(problem, probabilities(problem, problem.initial())) == -np.inf


def test_a_class_that_no_row_has():
    problem = objective(3, l2=0.1)
    codes = problem.targets[0] % 2
    absent = type(problem)(problem.X, codes, n_classes=3, l2=0.1)
    present = type(problem)(problem.X, codes, n_classes=2, l2=0.1)
    best = metric.solve(present, present.initial(), tol=1e-13, max_iter=300)
    bound = lower_bound(absent, probabilities(absent, absent.initial()))
    assert bound <= best.value
    theta = np.hstack([best.theta, np.append(np.zeros((7, 1)), [[-40.0]], axis=0)])
    assert lower_bound(absent, probabilities(absent, theta)) == pytest.approx(best.value, rel=1e-6)


def test_blocks_add_up(monkeypatch):
    problem = objective(4, l1=0.01, l2=0.01)
    theta = np.random.default_rng(0).normal(size=problem.shape)
    whole = lower_bound(problem, probabilities(problem, theta))
    monkeypatch.setattr("fastxent.solvers.duality._BLOCK", 40)
    assert lower_bound(problem, probabilities(problem, theta)) == pytest.approx(whole, rel=1e-13)
    monkeypatch.setattr("fastxent.solvers.duality._KEPT", 0)
    assert lower_bound(problem, probabilities(problem, theta)) == pytest.approx(whole, rel=1e-13)
