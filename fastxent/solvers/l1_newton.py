"""L1 and elastic net: a proximal step chooses the nonzero weights (the face), and a truncated Newton step moves them.

    T. Chen, F. E. Curtis, D. P. Robinson, "A reduced-space algorithm for minimizing l1-regularized convex
    functions", SIAM Journal on Optimization 27, 2017 (the two kinds of steps).
    G. Andrew, J. Gao, "Scalable training of L1-regularized log-linear models", ICML 2007 (projection on the
    orthant).
    D.-H. Li, M. Fukushima, L. Qi, N. Yamashita, "Regularized Newton methods for convex minimization problems
    with singular solutions", Computational Optimization and Applications 28, 2004 (the shift mu).

F = f + sum_j l1_j |u_j| is smooth where no weight changes its sign, and at the optimum most weights are
exactly zero.

    repeat, in the variables u of scaling.py
        S = subgradient of F of least norm; stop when max |S with respect to theta| <= tol
        u <- soft-threshold(u - G / L, l1 / L)            L doubled until f lies below its quadratic bound
        free = the weights that are not zero, or have no penalty, and the intercept
        D = conjugate gradients on  (H + mu) D = -(G + l1 sign u),  on the free weights
            if u + D would change signs: as long as the model decreases, with weights fixed when they reach zero;
            then again on the weights that are still free
        u <- u + t D,  a weight that would change sign stops at zero;   t = 1, 1/2, ... until F decreases

The proximal step alone would converge, and its length is not important: it finds the weights that leave zero. When the
face is right, the rest is Newton's method. mu = 1e-3 L min(1, max_j |S_j| / l1_j) keeps D bounded if more weights are
free than the rows can determine, and vanishes at the optimum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..penalty import least_subgradient, shrink
from .newton_cg import line_search, newton_direction
from .result import AT_ROUNDING, NO_DESCENT, STOPPED_BY_CALLER, Recorder, out_of_iterations, small_gradient
from .scaling import Rescaled

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..objective import Objective
    from ..typing import Array
    from .result import Result


_MAX_DOUBLINGS = 60  # of the bound L: from any first value to any curvature
_MAX_BENDS = 20  # of the step to the minimum of the model
_SHIFT = 1e-3  # mu / L, see above


def solve(  # type: ignore[return]  # the last iteration returns
    objective: Objective,
    theta0: Array,
    *,
    tol: float,
    max_iter: int,
    callback: Callable[..., Any] | None = None,
    checkpoint: Any = None,
) -> Result:
    """Minimise an objective with an L1 penalty, from ``theta0``.

    Parameters
    ----------
    objective : Objective
    theta0 : ndarray of shape (d + 1, K)
    tol : float
        Stop when no entry of the subgradient of least norm is larger.
    max_iter : int
        Maximum number of pairs of a proximal and a Newton step.
    callback : callable or None
        ``callback(theta, history)`` after every iteration; return True to stop.
    checkpoint : fastxent.checkpoint.Session or None
        Where the run keeps its state, and goes on from.

    Returns
    -------
    Result
        Its ``value`` includes the L1 term; weights that are zero at the optimum are exactly zero.
    """
    problem = L1Problem(objective)
    record = Recorder(objective, callback, "l1-newton", checkpoint)
    state = record.resumed()
    if state is None:
        u = problem.variables(theta0)
        value, grad = problem.value_and_grad(u)
        bound = None
    else:
        u, value, grad, bound = (state[name] for name in ("u", "value", "grad", "bound"))
    for iteration in range(record.begun, max_iter + 1):
        record.keep(u=u, value=value, grad=grad, bound=bound)
        theta, grad_norm = problem.theta(u), problem.badness(u, grad)
        if record(theta, value, grad_norm):
            return record.result(theta, False, STOPPED_BY_CALLER)
        if grad_norm <= tol:
            return record.result(theta, True, small_gradient(grad_norm, tol))
        if iteration > 0 and record.stalled(problem.rounding):
            return record.result(theta, True, AT_ROUNDING)
        if iteration == max_iter:
            return record.result(theta, False, out_of_iterations(max_iter))

        least = problem.least_subgradient(u, grad)
        if bound is None:
            bound = np.vdot(least, problem.hessp(u, least)) / np.vdot(least, least)
        stepped = _proximal_step(problem, u, value, grad, bound / 2)
        if stepped is None:
            return record.result(theta, False, NO_DESCENT)
        before = value
        u, value, grad, bound = stepped
        shift = _SHIFT * bound * min(1.0, problem.relative(least))
        lower = newton_step(problem, u, value, grad, shift)
        if lower is not None:
            u, value, grad = lower
        record.gap(before - value)


class L1Problem(Rescaled):
    """f + l1 |u|: values include the L1 term, gradients are those of f."""

    def penalty(self, u: Array) -> float:
        return (self.l1 * np.abs(u[:-1])).sum()

    def value_and_grad(self, u: Array) -> tuple[float, Array]:
        value, grad = super().value_and_grad(u)
        return value + self.penalty(u), grad

    def least_subgradient(self, u: Array, grad: Array) -> Array:
        """Return the element of least norm of the subdifferential in u; it is zero only at the optimum."""
        return least_subgradient(u, grad, self.l1)

    def relative(self, least: Array) -> float:
        """Return the largest entry of a subgradient, each in units of its penalty."""
        penalised = self.l1[:, 0] > 0
        return (np.abs(least[:-1][penalised]) / self.l1[penalised]).max(initial=0.0)

    def face(self, u: Array, grad: Array) -> tuple[Array, ...]:
        """Return the signs that may not change (0: free), which weights are free, and the gradient of F on these."""
        sign = np.sign(u)
        sign[:-1] *= self.l1 > 0  # a weight without a penalty may pass through zero
        sign[-1] = 0.0
        free = sign != 0.0
        free[:-1] |= self.l1 == 0
        free[-1] = self.fit_intercept
        slope = grad.copy()
        slope[:-1] += self.l1 * sign[:-1]
        slope[~free] = 0.0
        return sign, free, slope

    def bend(self, u: Array, v: Array) -> Any:
        """Return the Hessian of the penalty within the face, times v."""
        return 0.0

    def badness(self, u: Array, grad: Array) -> float:
        """Return the largest entry of the subgradient of least norm in theta."""
        return np.abs(least_subgradient(u, self.gradient(grad), self.theta_l1)).max()


class GroupProblem(L1Problem):
    """f + sum_j l1_j |u_j|, the norm of a feature's weights in all classes."""

    def penalty(self, u: Array) -> float:
        return (self.l1 * np.linalg.norm(u[:-1], axis=1, keepdims=True)).sum()

    def face(self, u: Array, grad: Array) -> tuple[Array, ...]:
        size = np.linalg.norm(u[:-1], axis=1, keepdims=True)
        free = np.ones(u.shape, bool)
        free[:-1] = (size > 0) | (self.l1 == 0)
        free[-1] = self.fit_intercept
        slope = grad.copy()
        slope[:-1] += self.l1 * u[:-1] / np.where(size > 0, size, 1.0)
        slope[~free] = 0.0
        return np.zeros_like(u), free, slope

    def bend(self, u: Array, v: Array) -> Array:
        size = np.linalg.norm(u[:-1], axis=1, keepdims=True)
        along = u[:-1] / np.where(size > 0, size, 1.0)
        across = v[:-1] - along * (along * v[:-1]).sum(axis=1, keepdims=True)
        image = np.zeros_like(v)
        image[:-1] = np.where(size > 0, self.l1 / np.where(size > 0, size, 1.0), 0.0) * across
        return image

    def badness(self, u: Array, grad: Array) -> float:
        """Return the largest entry of the gradient within the face, in theta."""
        free = self.face(u, grad)[1]
        original = self.gradient(grad)
        size = np.linalg.norm(u[:-1], axis=1, keepdims=True)
        original[:-1] += self.theta_l1 * u[:-1] / np.where(size > 0, size, 1.0)
        return np.abs(original[free]).max(initial=0.0)


def _proximal_step(
    problem: L1Problem, u: Array, value: float, grad: Array, bound: float
) -> tuple[Array, float, Array, float] | None:
    """Take a proximal gradient step; ``bound`` on the curvature is doubled until it holds along the step."""
    smooth = value - problem.penalty(u)
    for _ in range(_MAX_DOUBLINGS):
        new = u - grad / bound
        new[:-1] = shrink(new[:-1], problem.l1 / bound)
        step = new - u
        new_value, new_grad = problem.value_and_grad(new)
        model = smooth + np.vdot(grad, step) + 0.5 * bound * np.vdot(step, step)
        if new_value - problem.penalty(new) <= model + problem.rounding * abs(smooth):
            return new, new_value, new_grad, bound
        bound *= 2.0
    return None


def newton_step(
    problem: L1Problem | GroupProblem, u: Array, value: float, grad: Array, shift: float, **accuracy: Any
) -> tuple[Array, float, Array] | None:
    """Take a truncated Newton step on the face of ``u``; return (u, value, grad), or None if the value is no lower."""
    sign, free, slope = problem.face(u, grad)
    if not slope.any():
        return None

    step = _minimise_on_face(
        lambda v: problem.hessp(u, v) + problem.bend(u, v) + shift * v,
        slope,
        u,
        sign,
        free,
        problem.rounding,
        accuracy,
    )
    if np.vdot(slope, step) >= 0.0:
        return None

    def point(t: float) -> Array:
        new = u + t * step
        new[new * sign < 0.0] = 0.0
        return new

    return line_search(
        point,
        problem.value_and_grad,
        problem.badness,
        value=value,
        slope=float(np.vdot(slope, step)),
        badness_there=problem.badness(u, grad),
        rounding=problem.rounding,
    )


def _minimise_on_face(
    hessp: Callable[..., Any],
    slope: Array,
    u: Array,
    sign: Array,
    free: Array,
    rounding: float,
    accuracy: dict[str, Any],
) -> Array:
    """Return a step S with a small  slope.S + S.H S / 2,  such that u + S changes no sign.

    If the path to the minimum leaves the face, the step follows it as long as the model decreases. Weights that reach
    zero stay there, and the search continues with the others.
    """
    step, residual, value = np.zeros_like(u), slope, 0.0
    for _ in range(_MAX_BENDS):
        way = newton_direction(
            lambda v, free=free: np.where(free, hessp(v), 0.0), residual, rounding, **accuracy
        )
        here = u + step
        crossing = (here + way) * sign < 0.0
        if not crossing.any():
            return step + way
        first = (-here[crossing] / way[crossing]).min()
        t = 1.0
        while True:
            bent = here + t * way
            at_zero = free & (sign != 0.0) & (bent * sign <= 0.0)
            bent[at_zero] = 0.0
            bent -= u
            image = hessp(bent)
            bent_value = np.vdot(slope, bent) + 0.5 * np.vdot(bent, image)
            if bent_value < value or t <= first:
                break
            t = max(0.25 * t, first)
        if not bent_value < value:
            return step
        free = free & ~at_zero
        step, value, residual = bent, bent_value, np.where(free, slope + image, 0.0)
        if not residual.any():
            return step
    return step
