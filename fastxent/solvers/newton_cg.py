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

The forcing term falls with the gradient, so the last steps converge superlinearly. An iteration depends on u
alone: stopping, and starting again from where it stopped, changes nothing.
"""

import numpy as np

from .result import AT_ROUNDING, NO_DESCENT, STOPPED_BY_CALLER, Recorder, out_of_iterations, small_gradient
from .scaling import Rescaled

_MAX_CG_STEPS = 500
_MAX_HALVINGS = 40
_SUFFICIENT_DECREASE = 1e-4


def solve(objective, theta0, *, tol, max_iter, callback=None):
    """Minimise a smooth objective from ``theta0``, without an L1 penalty.

    Parameters
    ----------
    objective : Objective
    theta0 : ndarray of shape (d + 1, K)
    tol : float
        Stop when no entry of the gradient is larger.
    max_iter : int
        Newton steps at most; each costs some Hessian-vector products (usually 5 to 50, at most 500).
    callback : callable or None
        ``callback(theta, history)`` after every iteration; return True to stop.

    Returns
    -------
    Result
    """
    problem = Rescaled(objective)
    u = problem.variables(theta0)
    record = Recorder(objective, callback, "newton-cg")
    value, grad = problem.value_and_grad(u)

    def badness(u, grad):
        return np.abs(problem.gradient(grad)).max()

    for iteration in range(max_iter + 1):
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
        slope = np.vdot(grad, step)
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


def newton_direction(hessp, grad, rounding, *, least_accuracy=0.0, max_steps=_MAX_CG_STEPS):
    """Solve H D = -G by conjugate gradients, more accurately the smaller G is.

    Where the curvature vanishes (along a direction in which F is flat), the direction reached so far is kept.
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
        if size == 0:  # what is left of the gradient is too small to be squared
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


def line_search(point, value_and_grad, badness, *, value, slope, badness_there, rounding):
    """Halve t from 1 until ``point(t)`` is low enough.

    Parameters
    ----------
    point : callable
        t to variables; t = 0 is the current iterate.
    value_and_grad : callable
        Variables to F and gradient.
    badness : callable
        ``badness(u, grad)``, how far from optimal the variables are: the larger the worse.
    value, slope, badness_there : float
        F, its derivative along ``point`` (negative, unless rounding rules), and the badness, at t = 0.
    rounding : float
        Relative accuracy of F.

    Returns
    -------
    (u, value, grad) of the point accepted; None when there is no decrease to be told from rounding.
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
