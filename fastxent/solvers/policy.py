"""Which solver runs: the choice made by ``solver="auto"``, and what scikit-learn's names mean here.

"auto" chooses one of our own ("metric", "sdca", "prox_newton"), whose ``tol`` is a relative suboptimality, F - F* <=
tol F: the same quality on all data. Solvers with scikit-learn's names use it as scikit-learn does, as a bound on the
largest entry of the gradient, which varied from 5e-6 to 5e-2 at F - F* = 1e-4 F.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .. import parallel
from . import centring, l1_newton, lbfgs, metric, newton_cg, svrg
from .coordinate import prox_newton
from .dual import sdca
from .result import STOPPED_BY_CALLER, Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..objective import Objective
    from ..typing import Array


SOLVERS = {
    "lbfgs": lbfgs.solve,
    "newton-cg": newton_cg.solve,
    "l1-newton": l1_newton.solve,
    "metric": metric.solve,
    "sdca": sdca.solve,
    "prox_newton": prox_newton.solve,
    "sgd": svrg.solve,
}
OUR_NAMES = ("metric", "sdca", "prox_newton", "sgd")
_KNOW_L1 = ("prox_newton", "l1-newton", "sgd")
_READ_COLUMNS = ("sdca", "prox_newton", "sgd")  # unchanged; the others centre them implicitly
_DRAW = ("sdca", "prox_newton", "sgd")  # use a random order of rows or weights
_NEED_LOCAL = ("sdca", "prox_newton", "sgd")  # need single rows or columns, in memory

# scikit-learn's solvers differ in what they can do; all of ours reach the same optimum of the same objective, so each
# name selects the most similar solver. With an L1 penalty all of them mean "l1-newton".
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

# The cost model for CSR rows: the logarithm (base 10) of dual ascent's time over that of "metric" is about
# 0.5 log(n / d) - 0.3. Dual ascent needs more passes if more rows share a column; "metric" reads several vectors of
# d K numbers in each pass. The strength of the penalty, the classes and the entries of a row hardly matter. On one
# thread to 1e-4, the choice took at most 1.5 times as long as the best solver on 81 % of 63 synthetic problems and on
# all of 63 problems of real text; bench/choices.py measures again, and bench/report.py fits the model. If the choice is
# wrong, sdca hands over.
_ROWS_PER_COLUMN = 3.5
_DUAL_MEMORY = 1 << 32

# Multiplications in a pass below which "metric" is chosen: it takes hardly any time, and has no random order of rows.
_SMALL = 200_000


def choose(objective: Objective) -> str:
    """Return the name of our solver that fits an objective.

    >>> from types import SimpleNamespace
    >>> from fastxent.penalty import Penalty
    >>> smooth, sparse = Penalty(l2=0.1), Penalty(l1=0.1)
    >>> choose(SimpleNamespace(penalty=smooth, is_sparse=False)), choose(SimpleNamespace(penalty=sparse, local=True))
    ('metric', 'prox_newton')
    """
    if objective.penalty.l1 > 0:
        return "prox_newton" if objective.local is not None else "l1-newton"
    return "sdca" if _suits_dual_ascent(objective) else "metric"


def _suits_dual_ascent(objective: Objective) -> bool:
    if not objective.is_sparse or objective.local is None or objective.cost <= _SMALL:
        return False
    n, d = objective.n_rows, objective.n_features
    fits = n <= _ROWS_PER_COLUMN * d and n * objective.K * objective.dtype.itemsize <= _DUAL_MEMORY
    return fits and not sdca.is_weak(objective)


def solve(
    objective: Objective,
    theta0: Array,
    *,
    solver: str = "auto",
    tol: float = 1e-4,
    max_iter: int = 100,
    callback: Callable[..., Any] | None = None,
    random_state: int = 0,
    checkpoint: Any = None,
) -> Result:
    """Run the solver with this name: "auto", one of ours, or one of scikit-learn's. Returns its Result.

    checkpoint: a `fastxent.checkpoint.Session` to go on from, or None. What has ended is not repeated.
    """
    name = SCIKIT_LEARN_NAMES.get(solver, solver)
    if name == "auto":
        name = choose(objective)
    elif objective.penalty.l1 > 0 and solver in SCIKIT_LEARN_NAMES:
        name = "l1-newton"
    if name == "lbfgs" and tol < _TIGHT:
        name = "newton-cg"
    if objective.local is None and name in _NEED_LOCAL:
        other = "l1-newton" if objective.penalty.l1 > 0 else "metric, lbfgs or newton-cg"
        raise ValueError(
            f"solver {solver!r} needs all rows in memory, but these come in batches. Use {other}, or solver='auto'."
        )
    if objective.penalty.l1 > 0 and name not in _KNOW_L1:
        raise ValueError(
            f"solver {name!r} does not support an L1 penalty; use solver='auto' or 'prox_newton', or l1_ratio=0."
        )
    if name == "l1-newton" and objective.penalty.grouped(objective.K):
        raise ValueError(
            f"solver {solver!r} does not support penalty_groups; use solver='auto' or 'prox_newton', or "
            "penalty_groups=None."
        )
    arguments: dict[str, Any] = {
        "tol": tol,
        "max_iter": max_iter,
        "callback": callback,
        "checkpoint": checkpoint,
    }
    if name in _DRAW:
        arguments["random_state"] = random_state
    with parallel.one_blas_thread:
        moved = centring.moved(objective, reads_columns=name in _READ_COLUMNS)
        if checkpoint is not None and checkpoint.result is not None:
            return Result.from_state(checkpoint.result)
        run = (
            partial(SOLVERS[name], objective)
            if moved is None
            else partial(moved.solve, objective, SOLVERS[name])
        )
        result = run(theta0, **arguments)
    if checkpoint is not None and result.reason != STOPPED_BY_CALLER:
        checkpoint.finish(result.state())
    return result
