"""Stochastic steps with reduced variance: the same optimum to tol, and clear refusals."""

import numpy as np
import pytest
from options import OPTIONS, STORAGES, least, objective

from fastxent.solvers import svrg
from fastxent.solvers.coordinate import prox_newton

KNOWN = {name: options for name, options in OPTIONS.items() if "penalty_factor" not in options}


@pytest.mark.parametrize("options", KNOWN.values(), ids=KNOWN)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("l1", [0.0, 0.01])
def test_reaches_the_optimum_with_every_option(options, storage, K, l1):
    problem = objective(K, storage=storage, l2=0.01, l1=l1, **options)
    best = least(problem)
    if l1:
        best = prox_newton.solve(problem, problem.initial(), tol=1e-12, max_iter=200).value
    result = svrg.solve(problem, problem.initial(), tol=1e-7, max_iter=500)
    assert result.converged, result.reason
    assert result.value <= best * (1 + 2e-7)
    assert result.value == pytest.approx(
        problem.value(result.theta) + l1 * np.abs(result.theta[:-1]).sum(), rel=1e-12
    )


def test_single_precision():
    single, double = (objective(3, l2=1e-2, dtype=dtype) for dtype in (np.float32, np.float64))
    result = svrg.solve(single, single.initial(), tol=1e-6, max_iter=500)
    assert result.converged
    assert double.value(result.theta) <= least(double) * (1 + 1e-5)


def test_history_and_limits():
    problem = objective(3, l2=1e-3)
    result = svrg.solve(problem, problem.initial(), tol=1e-12, max_iter=3)
    assert not result.converged and result.n_iter == 3 and "max_iter = 3" in result.reason
    np.testing.assert_allclose(np.diff(result.history["passes"]), 3.0)
    assert np.diff(result.history["loss"]).max() < 0
    stopped = svrg.solve(
        problem, problem.initial(), tol=1e-12, max_iter=9, callback=lambda _, h: len(h["loss"]) == 3
    )
    assert stopped.n_iter == 2 and not stopped.converged


def test_same_bits_for_any_number_of_threads_and_the_same_seed():
    thetas = []
    for n_threads, seed in ((1, 3), (2, 3), (7, 3), (1, 4)):
        problem = objective(3, l2=1e-3, n=2000, n_threads=n_threads)
        thetas.append(svrg.solve(problem, problem.initial(), tol=1e-4, max_iter=5, random_state=seed).theta)
    np.testing.assert_array_equal(thetas[1], thetas[0])
    np.testing.assert_array_equal(thetas[2], thetas[0])
    assert (thetas[3] != thetas[0]).any()


@pytest.mark.parametrize("refused", [{"penalty_factor": np.arange(7.0)}, {"penalty_groups": "features"}])
def test_what_it_does_not_know_is_refused(refused):
    problem = objective(3, l2=0.1, **refused)
    with pytest.raises(ValueError, match=next(iter(refused))):
        svrg.solve(problem, problem.initial(), tol=1e-4, max_iter=5)
