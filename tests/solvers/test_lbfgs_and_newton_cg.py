"""The solvers for smooth objectives: one optimum, one meaning of tol, one kind of result."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from options import OPTIONS, STORAGES
from options import objective as options_objective

from fastxent.solvers import lbfgs, newton_cg
from solvers_problems import make_objective

SOLVERS = pytest.mark.parametrize("solve", [lbfgs.solve, newton_cg.solve], ids=["lbfgs", "newton_cg"])


@SOLVERS
def test_reaches_the_optimum(solve, smooth):
    result = solve(smooth, np.zeros(smooth.shape), tol=1e-5, max_iter=500)
    value, grad = smooth.value_and_grad(result.theta)
    assert result.converged and "tol" in result.reason
    assert np.abs(grad).max() <= 1.01e-5
    assert_allclose([result.value, result.grad_norm], [value, np.abs(grad).max()], rtol=1e-4, atol=1e-10)


def test_newton_reaches_rounding(smooth):
    result = newton_cg.solve(smooth, np.zeros(smooth.shape), tol=0.0, max_iter=100)
    assert result.converged and result.n_iter < 40
    size = smooth.column_moments()
    assert result.grad_norm < 1e-11 * max(1.0, 4 * (np.abs(size.mean) + size.deviation).max())


def test_both_agree(smooth):
    start = np.zeros(smooth.shape)
    one, other = (
        solve(smooth, start, tol=1e-7, max_iter=500).theta for solve in (lbfgs.solve, newton_cg.solve)
    )
    curvature = smooth.hessp(one, one - other)
    assert np.vdot(curvature, one - other) < 1e-10  # in the metric in which the optimum is determined


@SOLVERS
def test_columns_of_any_size(solve):
    even = make_objective(3, scales=np.ones(6))
    uneven = make_objective(3, scales=np.logspace(-8, 8, 6))
    results = [solve(objective, np.zeros(even.shape), tol=1e-5, max_iter=500) for objective in (even, uneven)]
    assert_allclose(results[1].value, results[0].value, rtol=1e-7)


@SOLVERS
@pytest.mark.parametrize("max_iter", [0, 1, 3])
def test_max_iter(solve, max_iter):
    objective = make_objective(3, l2=0.01)
    start = np.full(objective.shape, 0.5)
    result = solve(objective, start, tol=0.0, max_iter=max_iter)
    assert not result.converged and result.n_iter == max_iter and f"max_iter = {max_iter}" in result.reason
    if max_iter == 0:
        assert_allclose(result.theta, start, rtol=1e-14)
    assert_array_equal(start, 0.5)


@SOLVERS
def test_history(solve):
    objective = make_objective(3, l2=0.01)
    seen = []
    result = solve(
        objective,
        np.zeros(objective.shape),
        tol=1e-6,
        max_iter=200,
        callback=lambda theta, h: seen.append(theta),
    )
    history = {name: np.array(values) for name, values in result.history.items()}
    assert_array_equal(history["epoch"], np.arange(result.n_iter + 1))
    assert_allclose(history["loss"][0], np.log(3))
    assert (np.diff(history["loss"]) <= 1e-12).all()
    assert (np.diff(history["seconds"]) >= 0).all() and (np.diff(history["passes"]) > 0).all()
    assert_allclose(history["loss"], [objective.value(theta) for theta in seen])
    assert_allclose(
        history["grad_norm"], [np.abs(objective.value_and_grad(theta)[1]).max() for theta in seen], atol=1e-12
    )
    assert_array_equal(seen[-1], result.theta)


@SOLVERS
@pytest.mark.parametrize("when", [0, 2])
def test_caller_can_stop(solve, when):
    objective = make_objective(3, l2=0.01)
    result = solve(
        objective,
        np.zeros(objective.shape),
        tol=1e-9,
        max_iter=50,
        callback=lambda theta, h: h["epoch"][-1] == when,
    )
    assert not result.converged and result.n_iter == when and "callback" in result.reason
    assert_allclose(result.value, objective.value(result.theta))


@SOLVERS
def test_interrupt_passes_through(solve):
    def interrupted(theta, history):
        if history["epoch"][-1] == 2:
            raise KeyboardInterrupt

    objective = make_objective(3, l2=0.01)
    with pytest.raises(KeyboardInterrupt):
        solve(objective, np.zeros(objective.shape), tol=1e-9, max_iter=50, callback=interrupted)


@SOLVERS
def test_starts_where_it_is_told(solve):
    objective = make_objective(3, l2=0.01)
    first = solve(objective, np.zeros(objective.shape), tol=1e-6, max_iter=100)
    again = solve(objective, first.theta, tol=1e-6, max_iter=100)
    assert again.n_iter <= 1 and again.converged


@SOLVERS
def test_float32_data_end_at_their_own_rounding(solve):
    theirs, ours = make_objective(3, l2=0.01), make_objective(3, l2=0.01, dtype=np.float32)
    best = newton_cg.solve(theirs, np.zeros(theirs.shape), tol=1e-10, max_iter=100)
    result = solve(ours, np.zeros(ours.shape), tol=0.0, max_iter=200)
    assert result.converged and result.n_iter < 100
    assert result.theta.dtype == np.float64
    assert_allclose(result.value, best.value, rtol=1e-5)
    assert_allclose(result.theta, best.theta, atol=5e-3)


@SOLVERS
def test_separable_without_a_penalty_stops(solve):
    objective = make_objective(2, n=20, d=30)  # more columns than rows: separable
    result = solve(objective, np.zeros(objective.shape), tol=1e-8, max_iter=1000)
    assert np.isfinite(result.theta).all() and result.value < 1e-5


@SOLVERS
def test_nothing_to_learn(solve):
    objective = make_objective(3, scales=np.zeros(6), fit_intercept=False)
    result = solve(objective, np.zeros(objective.shape), tol=1e-8, max_iter=10)
    assert result.converged and result.n_iter == 0


def test_newton_does_not_remember():
    objective = make_objective(3, l2=0.01)
    whole = newton_cg.solve(objective, np.zeros(objective.shape), tol=0.0, max_iter=4)
    half = newton_cg.solve(objective, np.zeros(objective.shape), tol=0.0, max_iter=2)
    rest = newton_cg.solve(objective, half.theta, tol=0.0, max_iter=2)
    assert_allclose(rest.theta, whole.theta, rtol=1e-9)


def test_newton_failure_is_not_called_convergence():
    class Wrong:
        """An objective whose gradient points uphill, as a bug would make it."""

        def __init__(self, objective):
            self.objective = objective

        def __getattr__(self, name):
            return getattr(self.objective, name)

        def value_and_grad(self, theta):
            value, grad = self.objective.value_and_grad(theta)
            return value, -grad

    objective = Wrong(make_objective(3, l2=0.01))
    result = newton_cg.solve(objective, np.zeros(objective.shape), tol=1e-6, max_iter=20)
    assert not result.converged and "no lower point" in result.reason


@SOLVERS
@pytest.mark.parametrize("name", ["factors", "free_feature"])
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("K", [2, 4])
def test_penalty_factors(solve, name, storage, K):
    problem = options_objective(K, storage=storage, l2=0.05, **OPTIONS[name])
    result = solve(problem, problem.initial(), tol=1e-6, max_iter=500)
    assert result.converged
    theta, f = result.theta, problem.penalty.factors
    loss = options_objective(K, storage=storage).value_and_grad(theta)[1][:-1]
    np.testing.assert_allclose(loss, -0.05 * f[:, None] * theta[:-1], atol=1.1e-6)
