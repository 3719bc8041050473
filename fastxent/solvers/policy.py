"""Which solver runs: the choice made by ``solver="auto"``, and what scikit-learn's names mean here."""

from .. import parallel
from . import l1_newton, lbfgs, newton_cg

SOLVERS = {"lbfgs": lbfgs.solve, "newton-cg": newton_cg.solve, "l1-newton": l1_newton.solve}

# Their namesakes in scikit-learn differ in what they can do; all of ours reach the same optimum of the same
# objective, so the name picks the nearest relative. With an L1 penalty all of them mean "l1-newton".
SCIKIT_LEARN_NAMES = {
    "lbfgs": "lbfgs",
    "newton-cg": "newton-cg",
    "newton-cholesky": "newton-cg",
    "liblinear": "newton-cg",
    "sag": "auto",
    "saga": "auto",
}

# Below this, L-BFGS tends to find the objective flat in double precision before its gradient is small enough.
_TIGHT = 1e-7


def choose(objective, tol=1e-4):
    """The name of our solver that suits an objective and the accuracy asked for.

    >>> from types import SimpleNamespace
    >>> smooth, lasso = SimpleNamespace(l1=0.0), SimpleNamespace(l1=0.1)
    >>> choose(smooth), choose(smooth, tol=1e-10), choose(lasso)
    ('lbfgs', 'newton-cg', 'l1-newton')
    """
    if objective.l1 > 0:
        return "l1-newton"
    return "lbfgs" if tol >= _TIGHT else "newton-cg"


def solve(objective, theta0, *, solver="auto", tol=1e-4, max_iter=100, callback=None, row_weight=None):
    """Run the solver that a name stands for: "auto", or one of scikit-learn's. Returns its Result."""
    name = SCIKIT_LEARN_NAMES.get(solver, "auto")
    if name == "auto" or objective.l1 > 0:
        name = choose(objective, tol)
    with parallel.one_blas_thread:
        return SOLVERS[name](
            objective, theta0, tol=tol, max_iter=max_iter, callback=callback, row_weight=row_weight
        )
