"""The choice of a solver, and the promise that solvers see nothing of scikit-learn."""

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastxent.solvers import policy
from solvers_problems import make_objective


def test_auto():
    smooth, sparse = make_objective(2, l2=0.1), make_objective(2, l1=0.1)
    assert policy.choose(smooth) == "lbfgs"
    assert policy.choose(smooth, tol=1e-10) == "newton-cg"
    assert policy.choose(sparse) == policy.choose(sparse, tol=1e-10) == "l1-newton"


@pytest.mark.parametrize("l1", [0.0, 0.01])
def test_every_name_reaches_the_same_optimum(l1):
    objective = make_objective(3, l2=0.02, l1=l1)
    values = [
        policy.solve(objective, np.zeros(objective.shape), solver=solver, tol=1e-8, max_iter=500).value
        for solver in ("auto", *policy.SCIKIT_LEARN_NAMES)
    ]
    assert_allclose(values, values[0], rtol=1e-12)


def test_solvers_import_neither_scikit_learn_nor_numba():
    code = "import sys, fastxent.solvers; print(sorted({'sklearn', 'numba'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
