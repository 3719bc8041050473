"""Epochs over data in memory: by rows and minibatches, or by all rows at once. Estimators see these two."""

import math
from typing import NamedTuple

import numpy as np

from .. import parallel
from ..data.targets import Targets
from ..objective import Objective
from .trainer import Data, arrays_of

_POWER_STEPS = 20  # passes spent on the largest curvature


class Weights(NamedTuple):
    """What rows and classes weigh; None: all the same."""

    rows: np.ndarray | None  # in the objective
    visit: np.ndarray | None  # ... each time a row is visited
    classes: np.ndarray | None  # of soft labels; those of hard labels are in the others


class Minibatches:
    """Stochastic and minibatch descent."""

    def __init__(self, training, X, target, n_classes, weights, n_threads):
        self.training = training
        self._data = Data(training.options, X, target, n_classes, training.K, weights.visit, weights.classes)

    def begin(self, visited):
        """Tell the schedule how many updates there will be."""
        self.training.expect(-(-len(visited) // self.training.options.batch))

    def epoch(self, order):
        """Mean loss of the rows, each before its update; nothing else is known for free."""
        loss, mass = self.training.run(self._data, order)
        return loss / mass, {}

    def theta(self):
        return self.training.theta()

    def lower(self, factor):
        self.training.lower(factor)

    @property
    def learning_rate(self):
        return self.training.learning_rate

    @property
    def updates(self):
        return self.training.updates


class Hogwild(Minibatches):
    """Stochastic descent by threads that do not wait for each other."""

    def __init__(self, training, X, target, n_classes, weights, n_threads):
        super().__init__(training, X, target, n_classes, weights, n_threads)
        # More threads than processors would only make each other's steps older.
        self._n_threads = min(n_threads or parallel.available_threads(), parallel.processors())

    def epoch(self, order):
        loss, mass = self.training.run_together(self._data, order, self._n_threads)
        return loss / mass, {}


class FullBatch(Minibatches):
    """Gradient descent: the gradient comes from the objective, by threads; the update is that of the minibatches."""

    def __init__(self, training, X, target, n_classes, weights, n_threads):
        self.training = training
        self._row_weight = weights.rows
        # Always with an intercept: one that is not trained may still have been given.
        targets = Targets(target, n_classes, weights.rows, weights.classes)
        self._objective = Objective.over(X, targets, training.K, n_threads=n_threads)

    def begin(self, visited):
        self.training.expect(1)
        if self.training.options.eta0 is None:
            self._choose_step(visited)

    def _choose_step(self, visited):
        """The inverse of the largest curvature that the loss can have anywhere, in the columns' units."""
        objective, training = self._objective, self.training
        training.look_at(arrays_of(objective.local.X), visited, self._row_weight)
        standard = training.standard
        if training.adaptive:
            squares = objective.local.squared_norms
            square = float(np.average(squares, weights=self._row_weight))
            training.scale((square if standard is None else training.columns.mean_square()) + 1.0)
            return
        zero = objective.initial()
        direction = np.random.default_rng(0).normal(size=zero.shape)
        curvature = 0.0
        for _ in range(_POWER_STEPS):
            direction /= np.linalg.norm(direction) or 1.0
            natural = direction if standard is None else standard.natural_weights(direction)
            direction = objective.hessp(zero, natural)
            if standard is not None:
                direction = standard.own_gradient(direction)
            if not training.options.fit_intercept:
                direction[-1] = 0.0
            curvature = float(np.linalg.norm(direction))
        # At zero a softmax of K classes has curvature 1/K, and nowhere more than 1/2; a sigmoid has its most there.
        if training.K > 1:
            curvature *= objective.n_classes / 2
        largest = 1.05 * curvature
        if (
            standard is None and training.options.optimizer == "sgd"
        ):  # others take the penalty as a proximal step
            largest += training.options.l2
        training.set_step(1.0 / largest if largest > 0 else 1.0)

    def epoch(self, order):
        """The objective before the update, and the norm of its gradient."""
        loss, full, gradient = self._measure()
        if math.isfinite(loss):
            self.training.step(gradient)
        return loss, {"grad_norm": _norm(full)}

    def _measure(self):
        """The objective, its gradient in the columns' units (under L1 the least subgradient), and that of the mean loss
        in the units of X."""
        options, standard = self.training.options, self.training.standard
        before = self.training.weights().astype(np.float64)
        loss, gradient = self._objective.value_and_grad(before)
        if not options.fit_intercept:
            gradient[-1] = 0.0
        W, l1, l2 = before[:-1], options.l1, options.l2
        with np.errstate(over="ignore"):  # a descent that diverges is found by its loss
            loss += 0.5 * l2 * float(np.sum(W * W)) + l1 * float(np.abs(W).sum())
        own = gradient
        if standard is not None:
            factor = standard.factor[:, np.newaxis]
            own, l1, l2 = standard.own_gradient(gradient), l1 * factor, l2 * factor
        return loss, _least_subgradient(W, own, l1, l2), gradient


class VarianceReduced(FullBatch):
    """SVRG: a gradient over all rows, then steps of single rows around it."""

    def __init__(self, training, X, target, n_classes, weights, n_threads):
        self._data = Data(training.options, X, target, n_classes, training.K, weights.visit, weights.classes)
        super().__init__(training, X, target, n_classes, weights, n_threads)

    def _choose_step(self, visited):
        """Half the inverse of the largest curvature of a row; a softmax has 1/2 at most, a sigmoid 1/4."""
        weights = self._data.weights
        self.training.look_at(self._data.arrays, visited, weights if len(weights) else None)
        squares = self._data.squares_of(visited, self.training.standard)[visited] + 1.0
        if len(weights):
            squares *= weights[visited] / weights[visited].mean()
        curvature = squares.max() * (0.5 if self.training.K > 1 else 0.25) + self.training.options.l2
        self.training.set_step(0.5 / curvature)

    def epoch(self, order):
        """The objective before the epoch and the norm of its gradient."""
        loss, full, gradient = self._measure()
        if math.isfinite(loss):
            self.training.snapshot(self._data, gradient)
            self.training.run(self._data, order)
        return loss, {"grad_norm": _norm(full)}


def _norm(array):
    with np.errstate(over="ignore"):  # of a descent that diverges
        return float(np.linalg.norm(array))


def _least_subgradient(W, gradient, l1, l2):
    """Of the subgradients of the penalised loss, that of least norm."""
    full = gradient.copy()
    g = gradient[:-1] + l2 * W
    at_zero = np.sign(g) * np.maximum(np.abs(g) - l1, 0.0)
    full[:-1] = np.where(W == 0, at_zero, g + l1 * np.sign(W))
    return full
