"""Solvers that keep to the protocol run on every engine: the same bits, and the optimum of the data in memory."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from options import OPTIONS, least, objective

from fastxent import solvers
from fastxent.penalty import Penalty
from fastxent.solvers import metric
from objectives import in_parts

BORDERS = [1, 60, 61, 100]


def same_bits(problem, solve, borders=BORDERS):
    """Run on several parts in memory and on batches; the result of the latter."""
    results = [solve(engine) for engine in in_parts(problem, borders)]
    assert_array_equal(results[0].theta, results[1].theta)
    for name in ("loss", "grad_norm"):  # passes differ: parts in memory keep probabilities
        assert results[0].history[name] == results[1].history[name]
    return results[1]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("storage", ["dense", "csr32"])
@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize("solver", ["auto", "metric", "lbfgs", "newton-cg"])
def test_smooth_solvers(solver, K, storage, options):
    problem = objective(K, storage=storage, l2=1e-2, **options)

    def solve(engine):
        return solvers.solve(engine, engine.initial(), solver=solver, tol=1e-8, max_iter=300)

    result = same_bits(problem, solve)
    assert result.converged, result.reason
    assert result.value <= least(problem) * (1 + 2e-8)


@pytest.mark.parametrize("kind", [kind for kind in metric.MODELS if kind != "exact"])
@pytest.mark.parametrize("storage", ["dense", "csr32"])
@pytest.mark.parametrize("K", [2, 4])
def test_every_model_of_the_hessian(K, storage, kind):
    problem = objective(K, storage=storage, l2=1e-3, n=3000)

    def solve(engine):
        return metric.solve(engine, engine.initial(), tol=1e-7, max_iter=300, kind=kind)

    result = same_bits(problem, solve, [700, 701, 2500])
    assert result.converged, result.reason
    assert result.value <= least(problem) * (1 + 1e-6)


@pytest.mark.parametrize("storage", ["dense", "csr32"])
@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize("solver", ["auto", "lbfgs", "saga"])
def test_l1(K, storage, solver):
    problem = objective(K, storage=storage).with_penalty(Penalty(l1=1e-2, l2=1e-3))

    def solve(engine):
        return solvers.solve(engine, engine.initial(), solver=solver, tol=1e-7, max_iter=300)

    result = same_bits(problem, solve)
    expected = solvers.solve(problem, problem.initial(), solver="prox_newton", tol=1e-9, max_iter=300)
    assert result.converged and result.solver == "l1-newton"
    assert result.value <= expected.value * (1 + 1e-6)
    assert_array_equal(result.theta == 0, expected.theta == 0)


@pytest.mark.parametrize("solver", ["sdca", "prox_newton", "sgd"])
def test_solvers_that_need_rows_or_columns_are_refused(solver):
    penalty = Penalty(l1=0.1) if solver == "prox_newton" else Penalty(l2=0.1)
    _, streamed = in_parts(objective(3, storage="csr32").with_penalty(penalty), BORDERS)
    with pytest.raises(ValueError, match=rf"solver '{solver}' needs all rows in memory.*Use"):
        solvers.solve(streamed, streamed.initial(), solver=solver)


@pytest.mark.parametrize("solver", ["metric", "lbfgs", "newton-cg"])
def test_the_same_bits_on_any_number_of_threads(solver):
    results = []
    for n_threads in (1, 2, 5):
        problem = objective(4, storage="csr32", l2=1e-3, n=2000, n_threads=n_threads)
        _, streamed = in_parts(problem, [500, 1200])
        results.append(solvers.solve(streamed, streamed.initial(), solver=solver, tol=1e-6).theta)
    assert_array_equal(results[0], results[1])
    assert_array_equal(results[0], results[2])
    assert np.isfinite(results[0]).all()
