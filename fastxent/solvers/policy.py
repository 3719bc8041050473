"""Which solver runs: the choice made by ``solver="auto"``, and what scikit-learn's names mean here.

Solvers by our own names ("metric", "sdca", "prox_newton") read ``tol`` as a relative suboptimality, F - F* <=
tol F: the same quality on all data. Those by scikit-learn's names read it as scikit-learn does, as a bound on
the largest entry of the gradient, which at F - F* = 1e-4 F has been seen anywhere from 5e-6 to 5e-2. "auto"
takes one of ours where a pass over the data takes time, and one of scikit-learn's, with its meaning of
``tol``, where it takes next to none.
"""

import numpy as np

from .. import parallel
from ..objective import work
from . import l1_newton, lbfgs, metric, newton_cg, prox_newton, sdca

SOLVERS = {
    "lbfgs": lbfgs.solve,
    "newton-cg": newton_cg.solve,
    "l1-newton": l1_newton.solve,
    "metric": metric.solve,
    "sdca": sdca.solve,
    "prox_newton": prox_newton.solve,
}
OUR_NAMES = ("metric", "sdca", "prox_newton")

# Their namesakes in scikit-learn differ in what they can do; all of ours reach the same optimum of the same
# objective, so the name picks the nearest relative. With an L1 penalty all of them mean "l1-newton".
SCIKIT_LEARN_NAMES = {
    "lbfgs": "lbfgs",
    "newton-cg": "newton-cg",
    "newton-cholesky": "newton-cg",
    "liblinear": "newton-cg",
    "sag": "lbfgs",
    "saga": "lbfgs",
}

# Below this, L-BFGS tends to find the objective flat in double precision before its gradient is small enough.
_TIGHT = 1e-7

# Multiplications of a pass (less than a millisecond) below which no choice saves what a person would notice. (On 177
# such problems, drawn at random, "newton-cg" took 1.7 times as long as the best of ours in the middle, "lbfgs" 2.5.)
_SMALL = 2_000_000

# The cost model over CSR rows: the logarithm (base 10) of what dual ascent takes over what "metric" takes is about
#
#   START + STIFFNESS log(R^2 / (l2 n)) + CLASSES log K + SPREAD log(n / d) + LENGTH log(entries of a row)
#
# with R^2 the mean of |x_i|^2. Dual ascent takes the more passes the stiffer the problem (S. Shalev-Shwartz, T. Zhang,
# JMLR 14, 2013) and the more rows share a column, and fewer the more classes a visit settles; "metric" moves 2 m
# vectors of d K numbers at each of its passes. Fitted to 153 made problems, each number over orders of magnitude, on
# one thread, and rounded. At 1e-4 the fit's choice took less than 1.5 times the better one's time on 94 % of those,
# and these constants on 16 of 17 others; bench/choices.py fits anew. Where the model is wrong, sdca hands over.
_START, _STIFFNESS, _CLASSES, _SPREAD, _LENGTH = 0.2, 0.1, -0.2, 0.5, -0.15
_DUAL_MEMORY = 1 << 32


def choose(objective):
    """The name of our solver that suits an objective.

    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> large = np.broadcast_to(0.0, (100_000, 50))
    >>> choose(SimpleNamespace(l1=0.0, X=large, K=3)), choose(SimpleNamespace(l1=0.1, X=large, K=3))
    ('metric', 'prox_newton')
    >>> choose(SimpleNamespace(l1=0.0, X=np.eye(3), K=3)), choose(SimpleNamespace(l1=0.1, X=np.eye(3), K=3))
    ('newton-cg', 'l1-newton')
    """
    if work(objective.X, objective.K) <= _SMALL:
        return "l1-newton" if objective.l1 > 0 else "newton-cg"
    if objective.l1 > 0:
        return "prox_newton"
    return "sdca" if _suits_dual_ascent(objective) else "metric"


def _suits_dual_ascent(objective):
    X = objective.X
    if isinstance(X, np.ndarray) or not objective.l2 > 0:
        return False
    n = objective.n_rows
    square = float(np.einsum("i,i->", X.data, X.data)) / n  # no BLAS: the same bits for any of its threads
    fits = n * objective.K * X.dtype.itemsize <= _DUAL_MEMORY
    return fits and _dual_to_primal(objective, square / (objective.l2 * n)) <= 0


def _dual_to_primal(objective, stiffness):
    """The logarithm of dual ascent's time over that of "metric", as the cost model sees it."""
    n, d = objective.X.shape
    return (
        _START
        + _STIFFNESS * np.log10(max(stiffness, np.finfo(float).tiny))
        + _CLASSES * np.log10(objective.K)
        + _SPREAD * np.log10(n / d)
        + _LENGTH * np.log10(max(objective.X.nnz, 1) / n)
    )


def solve(objective, theta0, *, solver="auto", tol=1e-4, max_iter=100, callback=None, row_weight=None):
    """Run the solver that a name stands for: "auto", one of ours, or one of scikit-learn's. Returns its Result."""
    name = SCIKIT_LEARN_NAMES.get(solver, solver)
    if name == "auto":
        name = choose(objective)
    elif objective.l1 > 0 and solver in SCIKIT_LEARN_NAMES:
        name = "l1-newton"
    if name == "lbfgs" and tol < _TIGHT:
        name = "newton-cg"
    if objective.l1 > 0 and name in ("metric", "sdca"):
        raise ValueError(
            f"solver {name!r} knows no L1 penalty; use solver='auto' or 'prox_newton', or l1_ratio=0."
        )
    with parallel.one_blas_thread:
        return SOLVERS[name](
            objective, theta0, tol=tol, max_iter=max_iter, callback=callback, row_weight=row_weight
        )
