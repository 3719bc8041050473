"""The change of variables: exact, and good for the condition number."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastxent.solvers.scaling import Rescaled
from solvers_problems import make_objective


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
def test_same_function_in_other_variables(fit_intercept, sparse):
    objective = make_objective(
        3, sparse=sparse, fit_intercept=fit_intercept, l2=0.1, scales=np.logspace(-2, 2, 6)
    )
    problem = Rescaled(objective)
    theta, direction = np.random.default_rng(1).normal(size=(2, *objective.shape))
    if not fit_intercept:
        theta[-1] = direction[-1] = 0.0
    u, v = problem.variables(theta), problem.variables(direction)
    assert_allclose(problem.theta(u), theta, rtol=1e-12, atol=1e-12)

    value, grad = problem.value_and_grad(u)
    true_value, true_grad = objective.value_and_grad(theta)
    assert_allclose(value, true_value)
    assert_allclose(problem.gradient(grad), true_grad, rtol=1e-9, atol=1e-12)
    assert_allclose(
        np.vdot(grad, v), np.vdot(true_grad, direction), rtol=1e-9
    )  # one derivative, two coordinates
    assert_allclose(
        np.vdot(problem.hessp(u, v), v), np.vdot(objective.hessp(theta, direction), direction), rtol=1e-9
    )


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_hessian_at_zero_has_a_diagonal_of_ones(l2):
    objective = make_objective(3, l2=l2, scales=np.logspace(-4, 4, 6))
    problem = Rescaled(objective)
    zero = np.zeros(objective.shape)
    for row in range(objective.shape[0]):
        unit = zero.copy()
        unit[row, 1] = 1.0
        assert_allclose(problem.hessp(zero, unit)[row, 1], 1.0, rtol=1e-9)


def test_constant_and_empty_columns_are_harmless():
    objective = make_objective(2, scales=[1, 0, 1, 1, 1, 1])
    objective.local.X[:, 0] = 0.1
    problem = Rescaled(objective)
    value, grad = problem.value_and_grad(problem.variables(np.ones(objective.shape)))
    assert np.isfinite(value) and np.isfinite(grad).all()
