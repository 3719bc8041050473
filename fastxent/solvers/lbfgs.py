"""L-BFGS, by SciPy's L-BFGS-B.

    D. C. Liu, J. Nocedal, "On the limited memory BFGS method for large scale optimization",
    Mathematical Programming 45, 1989.
    C. Zhu, R. H. Byrd, P. Lu, J. Nocedal, "Algorithm 778: L-BFGS-B", ACM TOMS 23, 1997.

    repeat, in the variables u of scaling.py
        G = gradient at u
        D = -(inverse Hessian estimated from the last pairs of steps and gradient changes) G
        u <- u + t D                    t from a line search for the strong Wolfe conditions

    until  max |gradient with respect to theta| <= tol    or    F_before - F <= 64 eps max(|F|, |F_before|, 1)

scikit-learn's "lbfgs" uses both criteria for the same objective, so the same tol gives the same accuracy. The second
one means that this method makes no more progress in double precision; ``newton_cg`` gets a little further.

SciPy's routine does not show its state, but all that it does follows from the values and gradients that it gets. So a
checkpoint has all of these, on the disk, and a run that goes on gets them again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from .result import AT_ROUNDING, NO_DESCENT, STOPPED_BY_CALLER, Recorder, out_of_iterations, small_gradient
from .scaling import Rescaled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ..objective import Objective
    from ..typing import Array
    from .result import Result


FLAT = "the objective no longer falls in double precision"
_RELATIVE_FALL = 64 * np.finfo(np.float64).eps  # as in scikit-learn
_LINE_SEARCH_STEPS = 50  # as in scikit-learn

# With many parameters, reading the stored pairs from memory costs more than the passes that they save.
_PAIRS, _FEW_PAIRS, _MANY_PARAMETERS = 10, 5, 200_000
_OUT_OF_ITERATIONS = 1


def solve(
    objective: Objective,
    theta0: Array,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[..., Any] | None = None,
    checkpoint: Any = None,
) -> Result:
    """Minimise a smooth objective from ``theta0``, without an L1 penalty.

    Parameters
    ----------
    objective : Objective
    theta0 : ndarray of shape (d + 1, K)
    tol : float
        Stop when no entry of the gradient is larger.
    max_iter : int
        Maximum number of iterations; each is one evaluation of loss and gradient, rarely a few.
    callback : callable or None
        ``callback(theta, history)`` after every iteration; return True to stop.
    checkpoint : fastxent.checkpoint.Session or None
        Where the run keeps its state, and goes on from.

    Returns
    -------
    Result
    """
    problem = Rescaled(objective)
    record = Recorder(objective, callback, "lbfgs", checkpoint)
    state = record.resumed() or {"u": problem.variables(theta0), "values": [], "gradients": None}
    u, evaluate, at_start = state["u"], _Evaluations(problem, checkpoint, state), []
    if record.begun == 0:
        record.keep(u=u, values=evaluate.values, gradients=evaluate.gradients)
        value, grad = evaluate(u)
        at_start.append((value, grad))
        grad_norm = np.abs(problem.gradient(grad)).max()
        if record(problem.theta(u), value, grad_norm):
            return record.result(problem.theta(u), False, STOPPED_BY_CALLER)
        if grad_norm <= tol:
            return record.result(problem.theta(u), True, small_gradient(grad_norm, tol))
        if max_iter == 0:
            return record.result(problem.theta(u), False, out_of_iterations(max_iter))
    stopped, iteration = False, 0

    def value_and_grad(flat: Array) -> tuple[float, Array]:
        nonlocal grad
        value, grad = at_start.pop() if at_start else evaluate(np.ascontiguousarray(flat).reshape(u.shape))
        return value, grad.ravel()

    def after_iteration(intermediate_result: Any) -> None:
        nonlocal stopped, grad_norm, iteration
        iteration += 1
        if iteration < record.begun:
            return
        record.keep(u=u, values=evaluate.values, gradients=evaluate.gradients)
        # The line search ends at its last evaluation, so that gradient belongs to the new iterate.
        grad_norm = np.abs(problem.gradient(grad)).max()
        theta = problem.theta(intermediate_result.x.reshape(u.shape))
        stopped = record(theta, intermediate_result.fun, grad_norm)
        if stopped or grad_norm <= tol:
            raise StopIteration

    found = minimize(
        value_and_grad,
        u.ravel(),
        method="L-BFGS-B",
        jac=True,
        callback=after_iteration,
        options={
            "maxcor": _PAIRS if u.size <= _MANY_PARAMETERS else _FEW_PAIRS,
            "maxiter": max_iter,
            "maxfun": np.iinfo(np.int32).max,
            "maxls": _LINE_SEARCH_STEPS,
            "gtol": 0.0,
            "ftol": _RELATIVE_FALL,
        },
    )
    theta = problem.theta(found.x.reshape(u.shape))
    if stopped:
        return record.result(theta, False, STOPPED_BY_CALLER)
    if grad_norm <= tol:
        return record.result(theta, True, small_gradient(grad_norm, tol))
    if found.status == 0:
        return record.result(theta, True, FLAT)
    if found.status == _OUT_OF_ITERATIONS:
        return record.result(theta, False, out_of_iterations(max_iter))
    losses = record.history["loss"]
    at_rounding = len(losses) > 1 and losses[-2] - losses[-1] <= problem.rounding * abs(losses[-1])
    return record.result(theta, at_rounding, AT_ROUNDING if at_rounding else NO_DESCENT)


class _Evaluations:
    """Values and gradients in the order in which SciPy asks for them; those that a checkpoint has come first."""

    def __init__(self, problem: Rescaled, checkpoint: Any, state: dict[str, Any]) -> None:
        self._problem = problem
        self.values, self.gradients = state["values"], None
        self._again: Iterator[Any] = iter(())
        if checkpoint is not None:
            self.gradients = checkpoint.journal("gradients", state["gradients"])
            self._again = zip(self.values.copy(), self.gradients.read(), strict=True)

    def __call__(self, u: Array) -> tuple[float, Array]:
        here = next(self._again, None)
        if here is None:
            here = self._problem.value_and_grad(u)
            if self.gradients is not None:
                self.values.append(here[0])
                self.gradients.append(here[1])
        return here
