"""The choice of a solver, and the promise that solvers see nothing of scikit-learn."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastxent.solvers import policy
from solvers_problems import make_objective


def test_auto_by_size_and_storage():
    assert policy.choose(make_objective(2, l2=0.1)) == "metric"
    assert policy.choose(make_objective(2, l2=0.1, sparse=True)) == "metric"
    assert policy.choose(make_objective(2, l1=0.1)) == "prox_newton"
    assert policy.choose(make_objective(3, n=100_000, l1=0.1)) == "prox_newton"
    assert policy.choose(make_objective(3, sparse=True, n=4_000, d=2_000, l2=1.0)) == "sdca"
    assert policy.choose(make_objective(3, sparse=True, n=4_000, d=2_000, l2=0.0)) == "metric"
    assert policy.choose(make_objective(3, sparse=True, n=4_000, d=2_000, l2=1e-60)) == "metric"
    few_columns = make_objective(3, sparse=True, n=100_000, l2=1e-3)
    assert policy.choose(few_columns) == "metric"
    assert policy.choose(make_objective(3, n=100_000, l2=1e-3)) == "metric"


@pytest.mark.parametrize("solver", ["metric", "sdca"])
def test_no_l1_penalty_where_the_solver_knows_none(solver):
    objective = make_objective(3, sparse=True, l1=0.1, l2=0.1)
    with pytest.raises(ValueError, match="L1"):
        policy.solve(objective, np.zeros(objective.shape), solver=solver)


@pytest.mark.parametrize("l1", [0.0, 0.01])
def test_every_name_reaches_the_same_optimum(l1):
    objective = make_objective(3, l2=0.02, l1=l1)
    ours = "prox_newton" if l1 else "metric"
    values = [
        policy.solve(objective, np.zeros(objective.shape), solver=solver, tol=1e-8, max_iter=500).value
        for solver in ("auto", ours, *policy.SCIKIT_LEARN_NAMES)
    ]
    assert_allclose(values, values[0], rtol=1e-8)


def test_solvers_import_neither_scikit_learn_nor_numba():
    code = "import sys, fastxent.solvers; print(sorted({'sklearn', 'numba'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
