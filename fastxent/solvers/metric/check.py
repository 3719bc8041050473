"""How far F is above its minimum: what the decrement says, checked.

The decrement -G.D/2 is F - F* if D is Newton's step. With a model of the Hessian it can be far too small: wherever the
model sees more curvature than there is. Three things are believed instead, the cheapest first.

    bound       |G_j|^2 / (2 ridge_j), summed over the rows of u, is not below F - F* where every row has a penalty
                (the intercepts, which have none, add what their own curvature says).
    history     The decrement fell to a tenth in one step, and what earlier ones promised was true in hindsight: their
                points turned out to lie no higher than r times their decrement. F - F* is then taken as 30 r times
                the decrement. Only for models that know how columns go together: a diagonal one can be as quick to
                solve what it sees, and be blind to the rest.
    step        A step of Newton's method on the Hessian itself, by conjugate gradients that the model and its pairs
                precondition. Its falls say how much of the quadratic model is left, and the slope at its end by how
                much the curvature fell on the way. That is no loss: the step brings F down as a few iterations would.

The last two are estimates, the first is proven up to the intercepts' part. tests/solvers/test_tolerance.py holds all
of them against the optimum.

    M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear systems", Journal of Research of the
    National Bureau of Standards 49, 1952.
    J. L. Morales, J. Nocedal, "Automatic preconditioning by limited memory quasi-Newton updating", SIAM Journal on
    Optimization 10, 2000.
    Z. Strakoš, P. Tichý, "On error estimation in the conjugate gradient method and why it works in finite precision
    computations", Electronic Transactions on Numerical Analysis 13, 2002.
"""

import numpy as np

from ...arrays import finfo

_DROP, _MISTRUST = 0.1, 30.0  # history: by how much the decrement fell, and what it may be too small by
_RECENT = 4  # decrements looked at, or half of all

# When a step is taken: the decrement, and what the last iteration brought, over what is enough.
_READY, _READY_FALL = 1.0, 2.0
# Conjugate gradients: at least so many, and more the longer the run (easy problems are over soon), unless the second
# brings next to nothing beside the first; they go on until
# what they still promise is this share of what is enough, or until they have brought so many times that: then the
# optimum is still far, and the step was just a step.
_LEAST, _LEAST_SHARE, _MOST, _MOST_SHARE = 3, 0.125, 20, 0.5
_LEFT, _FAR, _ABRUPT = 0.4, 5.0, 0.03
_SLOWER = 2.0  # how much slower than so far conjugate gradients may go on
_RESIDUAL = (
    10.0  # a step is believed if the bound of its residual, where there is one, is below so much of enough
)
_QUADRATIC = 0.25  # of the slope may be left at its end
_BEYOND = 3.0  # steps ahead over which the curvature may go on falling as it did
_SAFE = 1.2


class Check:
    """What is known of F - F* in a run.

    Parameters
    ----------
    problem : Rescaled
    losses : list of float
        F of each iteration so far, as the run's history goes on to hold it.
    """

    def __init__(self, problem, losses):
        self._problem, self._losses = problem, losses
        self._decrements = []
        self._next = 1  # iteration from which a step may be taken
        self._step = (
            None  # how much the quadratic model of the last step falls, and the slope at its beginning
        )
        self._left = None  # what is left after it

    def gap(self, u, grad, decrement, enough, *, knows_columns):
        """Return what F is above its minimum at u, at most; infinite if only the decrement is known, or a bound that
        is more than enough.

        Parameters
        ----------
        u, grad : ndarray of shape (d + 1, K)
        decrement : float
        enough : float
            What would be small enough.
        knows_columns : bool
            Whether the model of the Hessian knows how columns go together.
        """
        iteration = len(self._losses) - 1
        self._decrements += [np.nan] * (iteration - len(self._decrements)) + [decrement]
        left, self._left = self._left, None
        bound = self._bound(grad)
        if bound <= enough:
            return bound + self._bound_of_intercept(u, grad)
        if left is not None:
            return _SAFE * max(decrement, left)
        return self._by_history(iteration) if knows_columns else np.inf

    def is_due(self, enough):
        """Whether to take a step: the decrement is small, the last iteration brought little, the last step was long
        ago."""
        iteration = len(self._losses) - 1
        if iteration < self._next:
            return False
        fall = self._losses[-2] - self._losses[-1]
        return self._decrements[-1] <= _READY * enough and fall <= _READY_FALL * enough

    def step(self, u, grad, D, inverse, enough):
        """Return Newton's step, and the slope along it.

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

    def after_step(self, t, new_slope, fall):
        """Take note of where the line search ended: so far along the direction, at this slope, so much lower."""
        step, self._step = self._step, None
        if step is None:
            return
        total, slope = step
        if t == 1 and abs(new_slope) <= -_QUADRATIC * slope:
            # The mean curvature along the step was 1 - r of the one at its beginning, as if it fell by exp(-2 r t).
            x = 2 * _BEYOND * abs(new_slope / slope) + 1e-3
            self._left = total / (2 * (np.exp(-x) + x - 1) / x**2) - fall

    def _by_history(self, iteration):
        now = self._decrements[-1]
        if iteration < 1 or not now <= _DROP * self._decrements[-2]:
            return np.inf
        first = max(0, iteration - max(_RECENT, iteration // 2))
        there = np.array(self._losses[first:-1]) - self._losses[-1] + now
        ratio = np.nanmax(there / self._decrements[first:-1])
        return _MISTRUST * max(ratio, 1.0) * now

    def _bound(self, grad):
        """What F is above its minimum at most, where the gradient in u is this and that of the intercepts is zero."""
        ridge = self._problem.ridge[:-1]
        if not (ridge > 0).all():
            return np.inf
        grad = grad[:-1]

        def part(rows):
            return float(np.sum(np.square(grad[rows]) / ridge[rows]))

        return 0.5 * sum(self._problem.ranges.map(part))

    def _bound_of_intercept(self, u, grad):
        """What the gradient of the intercepts adds: twice their squares over the classes' own curvature."""
        problem = self._problem
        if not problem.fit_intercept:
            return 0.0
        _, curvature = problem.objective.curvature_moments(problem.theta(u))
        slopes = grad[-1] / problem.columns[1][-1]
        return 2.0 * float(np.sum(np.square(slopes) / np.maximum(curvature, finfo(float).tiny)))


def _promise(falls):
    """By how much more conjugate gradients would make the quadratic model fall, to judge by the later half of them."""
    total = sum(falls)
    late = sum(falls[len(falls) // 2 :]) / total
    return _SLOWER * late / (1 - 2 * late) * total if late < 0.5 else np.inf
