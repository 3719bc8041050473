"""How far F is above its minimum: the decrement, checked.

The decrement -G.D/2 is F - F* if D is Newton's step. With a model of the Hessian it can be far too small, if the model
overestimates the curvature. Four criteria are used instead, the cheapest first.

    bound       |G_j|^2 / (2 ridge_j), summed over the rows of u, is an upper bound on F - F* if every row has a penalty
                (the intercepts, which have none, add an estimate by their own curvature).
    history     The decrement fell to a tenth in one step, and earlier decrements were right in hindsight: at these
                points, F - F* was at most r times the decrement. Then F - F* is taken as 30 r times the decrement.
                Only for models that see correlations between columns: a diagonal one can converge just as quickly in
                the directions that it sees, and miss the others.
    step        A Newton step with the true Hessian, by conjugate gradients preconditioned by the model and its pairs.
                The decreases of the quadratic model show how much of it is left, and the slope at the end shows by how
                much the curvature decreased on the way. The step is not wasted: it lowers F as a few iterations would.
    hindsight   In place of these two, for a model that is the Hessian over some of the rows, where a pass over all rows
                is expensive: if F decreased r times as much as the decrements of the last iterations did, F - F* is
                taken as 1.5 r times the decrement, or as the sum of all further decreases at their recent rate if that
                is larger.

The last three are estimates; the first is proven except for the intercepts' part. tests/solvers/test_tolerance.py
compares all of them with the optimum.

    M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear systems", Journal of Research of the
    National Bureau of Standards 49, 1952.
    J. L. Morales, J. Nocedal, "Automatic preconditioning by limited memory quasi-Newton updating", SIAM Journal on
    Optimization 10, 2000.
    Z. Strakoš, P. Tichý, "On error estimation in the conjugate gradient method and why it works in finite precision
    computations", Electronic Transactions on Numerical Analysis 13, 2002.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...arrays import finfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ...typing import Array
    from ..scaling import Rescaled


_DROP, _MISTRUST = (
    0.1,
    30.0,
)  # history: the drop of the decrement, and the factor by which it may be too small
_TRUST, _FELL = 1.5, 0.5  # hindsight: the factor, and the share of their decrement that earlier points need
_RECENT = 4  # number of earlier decrements that are checked, or half of all

# "Enough" is the gap that tol allows. A step is taken when the decrement and the decrease in the last iteration are
# below these multiples of enough.
_READY, _READY_FALL = 1.0, 2.0
# Conjugate gradients: least and largest number of iterations, each also as a share of the run's iterations (easy
# problems end early).
_LEAST, _LEAST_SHARE, _MOST, _MOST_SHARE = 3, 0.125, 20, 0.5
# They end when the remaining decrease is estimated at _LEFT of enough, or when they have gained _FAR times enough: the
# optimum is then still far, and the step estimates nothing. They may end after two if the second gained less than
# _ABRUPT of the first.
_LEFT, _FAR, _ABRUPT = 0.4, 5.0, 0.03
_SLOWER = 2.0  # factor by which their progress may become slower
_RESIDUAL = (
    10.0  # a step counts if the bound by its residual, if there is one, is below this multiple of enough
)
_QUADRATIC = 0.25  # largest share of the slope that may be left at its end
_BEYOND = 3.0  # number of such steps over which the curvature may keep decreasing
_SAFE = 1.2  # factor on the estimate


class Check:
    """Bounds on, and estimates of, F - F* in a run.

    Parameters
    ----------
    problem : Rescaled
    losses : list of float
        F of each iteration so far: the list in the run's history, which grows.
    """

    def __init__(self, problem: Rescaled, losses: list[Any]) -> None:
        self._problem, self._losses = problem, losses
        self._decrements: list[float] = []
        self._next = 1  # iteration from which a step may be taken
        # Decrease of the quadratic model by the last step to its minimum, and its initial slope.
        self._step: tuple[float, float] | None = None
        self._left = None  # estimate of F - F* after this step

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on."""
        return {
            "decrements": self._decrements,
            "next": self._next,
            "step": self._step,
            "left": self._left,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the state of another check."""
        self._decrements, self._next = state["decrements"], state["next"]
        self._step, self._left = state["step"], state["left"]

    def gap(
        self,
        u: Array,
        grad: Array,
        decrement: float,
        enough: float,
        *,
        knows_columns: bool,
        sees_rows: bool = False,
    ) -> float:
        """Return an upper bound on F - F* at u, or an estimate; infinite if neither is available or small enough.

        Parameters
        ----------
        u, grad : ndarray of shape (d + 1, K)
        decrement : float
        enough : float
            The gap that tol allows.
        knows_columns : bool
            Whether the model of the Hessian sees correlations between columns.
        sees_rows : bool
            Whether it is the Hessian itself over some of the rows.
        """
        iteration = len(self._losses) - 1
        self._decrements += [np.nan] * (iteration - len(self._decrements)) + [decrement]
        left, self._left = self._left, None
        bound = self._bound(grad)
        if bound <= enough:
            return bound + self._bound_of_intercept(u, grad)
        if left is not None:
            return _SAFE * max(decrement, left)
        if sees_rows:
            return self._by_hindsight(iteration)
        return self._by_history(iteration) if knows_columns else np.inf

    def is_due(self, enough: float) -> bool:
        """Tell whether to take a step: the decrement and last decrease are small, the last step long ago."""
        iteration = len(self._losses) - 1
        if iteration < self._next:
            return False
        fall = self._losses[-2] - self._losses[-1]
        return self._decrements[-1] <= _READY * enough and fall <= _READY_FALL * enough

    def step(
        self, u: Array, grad: Array, D: Array, inverse: Callable[..., Any], enough: float
    ) -> tuple[Array, float]:
        """Return Newton's step (d + 1, K), and the slope along it.

        Parameters
        ----------
        u, grad, D : ndarray of shape (d + 1, K)
            D is the first direction: minus the inverse of the model times the gradient.
        inverse : callable
            The inverse of the model times an array like these.
        enough : float
        """
        dot, iteration = self._problem.ranges.dot, len(self._losses) - 1
        least, most = _LEAST + int(_LEAST_SHARE * iteration), max(_MOST, int(_MOST_SHARE * iteration))
        X, residual, search, falls = np.zeros_like(grad), -grad, D, []
        residual_bound = np.inf
        while True:
            image = self._problem.hessp(u, search)
            curvature, slope = dot(search, image), dot(search, residual)
            if not (curvature > 0 and slope > 0):
                break
            X += (slope / curvature) * search
            residual -= (slope / curvature) * image
            falls.append(slope * slope / curvature / 2)
            residual_bound = self._bound(residual)
            far = sum(falls) > _FAR * enough
            sure = len(falls) >= least or (len(falls) > 1 and falls[-1] <= _ABRUPT * falls[0])
            near = sure and _promise(falls) <= _LEFT * enough
            if far or near or len(falls) >= most or residual_bound <= 0.1 * enough:
                break
            Z = inverse(residual)
            search = Z - (dot(Z, image) / curvature) * search
        self._next = iteration + 2 + iteration // 8
        slope = dot(grad, X)
        believed = residual_bound <= _RESIDUAL * enough or residual_bound == np.inf
        known = falls and believed and sum(falls) <= _FAR * enough
        self._step = (sum(falls) + _promise(falls), slope) if known else None
        return X, slope

    def after_step(self, t: float, new_slope: float, fall: float) -> None:
        """Record the line search's result: the length t, the slope there, and the decrease of F."""
        step, self._step = self._step, None
        if step is None:
            return
        total, slope = step
        if t == 1 and abs(new_slope) <= -_QUADRATIC * slope:
            # The mean curvature along the step was 1 - r of the initial one, as if it decreased by exp(-2 r t).
            x = 2 * _BEYOND * abs(new_slope / slope) + 1e-3
            self._left = total / (2 * (np.exp(-x) + x - 1) / x**2) - fall

    def _by_history(self, iteration: int) -> float:
        now = self._decrements[-1]
        if iteration < 1 or not now <= _DROP * self._decrements[-2]:
            return np.inf
        first = max(0, iteration - max(_RECENT, iteration // 2))
        there = np.array(self._losses[first:-1]) - self._losses[-1] + now
        ratio = np.nanmax(there / self._decrements[first:-1])
        return _MISTRUST * max(ratio, 1.0) * now

    def _by_hindsight(self, iteration: int) -> float:
        now, lowest = self._decrements[-1], self._losses[-1]
        earlier = range(max(0, iteration - _RECENT), iteration)
        falls = [
            (self._losses[i] - lowest) / (self._decrements[i] - now)
            for i in earlier
            if now <= _FELL * self._decrements[i]
        ]
        if len(falls) < 2:
            return np.inf
        last = -np.diff(self._losses[max(0, iteration - _RECENT) :])
        rate = (last[-1] / last[0]) ** (1 / (len(last) - 1)) if last[0] > last[-1] > 0 else 1.0
        rest = last[-1] * rate / (1 - rate) if rate < 1.0 else np.inf
        return max(_TRUST * max(1.0, *falls) * now, rest)

    def _bound(self, grad: Array) -> float:
        """Return an upper bound on F - F* by the gradient in u, as if the intercepts' gradient were zero."""
        ridge = self._problem.ridge[:-1]
        if not (ridge > 0).all():
            return np.inf
        grad = grad[:-1]

        def part(rows: slice) -> float:
            return float(np.sum(np.square(grad[rows]) / ridge[rows]))

        return 0.5 * sum(self._problem.ranges.map(part))

    def _bound_of_intercept(self, u: Array, grad: Array) -> float:
        """Return the intercepts' part: twice the squares of their gradient over the classes' curvature."""
        problem = self._problem
        if not problem.fit_intercept:
            return 0.0
        _, curvature = problem.objective.curvature_moments(problem.theta(u))
        slopes = grad[-1] / problem.columns[1][-1]
        return 2.0 * float(np.sum(np.square(slopes) / np.maximum(curvature, finfo(float).tiny)))


def _promise(falls: list[float]) -> float:
    """Return how much more conjugate gradients would lower the quadratic model, extrapolated from their later half."""
    total = sum(falls)
    late = sum(falls[len(falls) // 2 :]) / total
    return _SLOWER * late / (1 - 2 * late) * total if late < 0.5 else np.inf
