"""Truncated Newton: Newton steps by conjugate gradients on Hessian-vector products.

    R. S. Dembo, T. Steihaug, "Truncated-Newton algorithms for large-scale unconstrained optimization",
    Mathematical Programming 26, 1983.
    W. W. Hager, H. Zhang, "A new conjugate gradient method with guaranteed descent and an efficient line
    search", SIAM Journal on Optimization 16, 2005 (accepting a point by its gradient where values differ by
    rounding only).

    repeat, in the variables u of scaling.py
        G = gradient at u; stop when max |gradient with respect to theta| <= tol
        D = conjugate gradients on  H D = -G,  until  |H D + G| <= min(1/2, sqrt|G|) |G|
        t = 1, 1/2, 1/4, ...  until F(u + t D) <= F(u) + 1e-4 t G.D
        u <- u + t D

The forcing term decreases with the gradient, so the last steps converge superlinearly. An iteration depends only on u:
stopping and starting again from there changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .result import AT_ROUNDING, NO_DESCENT, STOPPED_BY_CALLER, Recorder, out_of_iterations, small_gradient
from .scaling import Rescaled

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..checkpoint import Session
    from ..objective import Objective
    from ..typing import Array
    from .result import Result


_MAX_CG_STEPS = 500  # a limit for ill-conditioned problems
_MAX_HALVINGS = 40  # shorter steps cannot be told from rounding
_SUFFICIENT_DECREASE = 1e-4  # Armijo's rule, with its usual value


def solve(  # type: ignore[return]  # the last iteration returns
    objective: Objective,
    theta0: Array,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[..., Any] | None = None,
    checkpoint: Session | None = None,
) -> Result:
    """Minimise a smooth objective from ``theta0``, without an L1 penalty.

    Parameters
    ----------
    objective : Objective
    theta0 : ndarray of shape (d + 1, K)
    tol : float
        Stop when no entry of the gradient is larger.
    max_iter : int
        Maximum number of Newton steps; each costs some Hessian-vector products (usually 5 to 50, at most 500).
    callback : callable or None
        ``callback(theta, history)`` after every iteration; return True to stop.
    checkpoint : fastxent.checkpoint.Session or None
        Where the run keeps its state, and goes on from.

    Returns
    -------
    Result
    """
    problem = Rescaled(objective)
    record = Recorder(objective, callback, "newton-cg", checkpoint)
    state = record.resumed()
    if state is None:
        u = problem.variables(theta0)
        value, grad = problem.value_and_grad(u)
    else:
        u, value, grad = state["u"], state["value"], state["grad"]

    def badness(u: Array, grad: Array) -> float:
        return np.abs(problem.gradient(grad)).max()

    for iteration in range(record.begun, max_iter + 1):
        record.keep(u=u, value=value, grad=grad)
        theta, grad_norm = problem.theta(u), badness(u, grad)
        if record(theta, value, grad_norm):
            return record.result(theta, False, STOPPED_BY_CALLER)
        if grad_norm <= tol:
            return record.result(theta, True, small_gradient(grad_norm, tol))
        if iteration > 0 and record.stalled(problem.rounding):
            return record.result(theta, True, AT_ROUNDING)
        if iteration == max_iter:
            return record.result(theta, False, out_of_iterations(max_iter))
        step = newton_direction(lambda v, at=u: problem.hessp(at, v), grad, problem.rounding)
        slope: Any = np.vdot(grad, step)
        record.gap(-slope / 2)
        lower = line_search(
            lambda t, at=u, along=step: at + t * along,
            problem.value_and_grad,
            badness,
            value=value,
            slope=slope,
            badness_there=grad_norm,
            rounding=problem.rounding,
        )
        if lower is None:
            at_rounding = bool(abs(slope) <= problem.rounding * abs(value))
            return record.result(theta, at_rounding, AT_ROUNDING if at_rounding else NO_DESCENT)
        u, value, grad = lower


def newton_direction(
    hessp: Callable[..., Any],
    grad: Array,
    rounding: float,
    *,
    least_accuracy: float = 0.0,
    max_steps: int = _MAX_CG_STEPS,
) -> Array:
    """Solve H D = -G by conjugate gradients, the more accurately the smaller G is.

    If the curvature vanishes (along a direction in which F is flat), return the direction so far.
    """
    step = np.zeros_like(grad)
    residual = -grad
    search = residual.copy()
    square = np.vdot(residual, residual)
    norm = np.sqrt(square)
    target = max(min(0.5, np.sqrt(norm)), least_accuracy) * norm
    steepest = 0.0
    for count in range(max_steps):
        image = hessp(search)
        curvature = np.vdot(search, image)
        size = np.vdot(search, search)
        if size == 0:  # the square of the remaining gradient underflows
            break
        rayleigh = curvature / size
        steepest = max(steepest, rayleigh)
        if not rayleigh > rounding * steepest:
            return residual if count == 0 else step
        length = square / curvature
        step += length * search
        residual -= length * image
        square, before = np.vdot(residual, residual), square
        if np.sqrt(square) <= target:
            break
        search = residual + (square / before) * search
    return step


def line_search(
    point: Callable[..., Any],
    value_and_grad: Callable[..., Any],
    badness: Callable[..., Any],
    *,
    value: float,
    slope: float,
    badness_there: float,
    rounding: float,
) -> tuple[Array, float, Array] | None:
    """Halve t from 1 until ``point(t)`` is low enough.

    Parameters
    ----------
    point : callable
        Maps t to variables; t = 0 is the current iterate.
    value_and_grad : callable
        Maps variables to F and its gradient.
    badness : callable
        ``badness(u, grad)`` measures how far from optimal the variables are.
    value, slope, badness_there : float
        F, its derivative along ``point`` (negative, except by rounding), and the badness, at t = 0.
    rounding : float
        Relative accuracy of F.

    Returns
    -------
    (u, value, grad) of the accepted point; None if no decrease can be told from rounding.
    """
    t = 1.0
    for _ in range(_MAX_HALVINGS):
        u = point(t)
        new_value, grad = value_and_grad(u)
        if new_value < value and new_value <= value + _SUFFICIENT_DECREASE * t * slope:
            return u, new_value, grad
        # Very near the optimum, values no longer show a decrease, but gradients still do.
        if abs(new_value - value) <= rounding * abs(value) and badness(u, grad) <= 0.9 * badness_there:
            return u, new_value, grad
        if t * abs(slope) <= rounding * abs(value):
            return None
        t *= 0.5
    return None
