"""The change of variables: exact, and good for the condition number."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from fastxent import kernels
from fastxent.data.moments import column_moments
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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_column_moments(dtype, index):
    rng = np.random.default_rng(0)
    dense = (rng.normal(size=(50, 7)) * (rng.random((50, 7)) < 0.5)).astype(dtype)
    dense[:, 3], dense[:, 4] = 0.0, 1e4 + 1e-2 * dense[:, 4]
    weight = rng.integers(0, 4, size=50).astype(float)
    repeated = np.repeat(dense, weight.astype(int), axis=0).astype(float)
    sparse = sp.csr_array(dense)
    sparse.indices, sparse.indptr = sparse.indices.astype(index), sparse.indptr.astype(index)
    for X in (dense, np.asfortranarray(dense), sparse):
        found = column_moments(X, weight)
        mean, deviation = found.mean, found.deviation
        assert_allclose(mean, repeated.mean(axis=0), rtol=1e-12, atol=1e-12)
        assert_allclose(deviation, repeated.std(axis=0), rtol=1e-9, atol=1e-12)


def test_column_moments_add_up_over_blocks(monkeypatch):
    X = np.random.default_rng(0).normal(size=(40, 5)) * (np.arange(40)[:, None] % 3 > 0)
    whole = column_moments(X)
    monkeypatch.setattr("fastxent.solvers.conditioned._RANGE", 7)
    for same in (X, np.asfortranarray(X), sp.csr_array(X)):
        assert_allclose(column_moments(same), whole, rtol=1e-13)
        assert np.array_equal(column_moments(same, n_threads=2), column_moments(same, n_threads=1))


def test_constant_and_empty_columns_are_harmless():
    objective = make_objective(2, scales=[1, 0, 1, 1, 1, 1])
    objective.local.X[:, 0] = 0.1
    problem = Rescaled(objective)
    value, grad = problem.value_and_grad(problem.variables(np.ones(objective.shape)))
    assert np.isfinite(value) and np.isfinite(grad).all()


@pytest.mark.parametrize("level", kernels.available())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_of_many_rows_far_from_zero(level, dtype):
    """Blocks of rows are joined without a loss of digits, in every layout and with rows of weight zero."""
    rng = np.random.default_rng(0)
    X = (1e3 + rng.normal(size=(5000, 11))).astype(dtype)
    weight = rng.integers(0, 3, size=5000).astype(float)
    weight[:1100] = 0.0
    mean = np.average(X.astype(float), axis=0, weights=weight)
    square = weight @ np.square(X.astype(float) - mean)
    whole = sp.csr_array(X)
    for rows in (X, np.asfortranarray(X), (whole.data, whole.indices, whole.indptr, *X.shape)):
        out = np.zeros((5, 11))
        module = kernels.load(level)
        module.moments_of_columns(module.LinearSoftmax(rows, 1), 0, 5000, weight, out)
        assert_allclose(out[0], weight.sum())
        assert_allclose(out[1], mean, rtol=1e-13)
        assert_allclose(out[2], square, rtol=1e-11)


def test_moments_measure_their_arguments():
    rows = kernels.LinearSoftmax(np.zeros((4, 2)), 1)
    for first, stop, weight, size in (
        (0, 5, None, 2),
        (3, 2, None, 2),
        (0, 4, np.ones(3), 2),
        (0, 4, None, 1),
    ):
        with pytest.raises((IndexError, ValueError)):
            kernels.moments_of_columns(rows, first, stop, weight, np.zeros((5, size)))
