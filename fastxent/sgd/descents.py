"""Epochs over data in memory: by rows and minibatches, by all rows at once, or SVRG."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import parallel
from ..data.rows import features_of
from ..data.targets import Targets
from ..objective import Objective
from ..penalty import least_subgradient
from .trainer import Data
from .variance_reduction import VarianceReduction

if TYPE_CHECKING:
    from typing import Any

    from ..typing import Array, Table
    from .trainer import Training


_POWER_STEPS = 20  # passes for the largest curvature


class Weights(NamedTuple):
    """Weights of rows and classes; None: all equal."""

    rows: np.ndarray | None  # in the objective
    visit: np.ndarray | None  # at each visit of a row
    classes: np.ndarray | None  # for soft labels; for hard labels, the other two include them


class Minibatches:
    """Stochastic and minibatch descent."""

    def __init__(
        self,
        training: Training,
        X: Table,
        target: Array,
        n_classes: int,
        weights: Weights,
        n_threads: int | None,
    ) -> None:
        self.training = training
        self._data = Data(training.options, X, target, n_classes, training.K, weights.visit, weights.classes)

    def begin(self, visited: Array) -> None:
        """Tell the schedule how many updates there will be."""
        self.training.expect(-(-len(visited) // self.training.options.batch))

    def epoch(self, order: Array) -> tuple[float, dict[Any, Any]]:
        """Return the mean loss of the rows, each before its update, and no other entries of the history."""
        loss, mass = self.training.run(self._data, order)
        return loss / mass, {}

    def theta(self) -> Array:
        return self.training.theta()

    def lower(self, factor: float) -> None:
        self.training.lower(factor)

    @property
    def learning_rate(self) -> float:
        return self.training.learning_rate

    @property
    def updates(self) -> int:
        return self.training.updates


class Hogwild(Minibatches):
    """Stochastic descent by several threads without locks."""

    def __init__(
        self,
        training: Training,
        X: Table,
        target: Array,
        n_classes: int,
        weights: Weights,
        n_threads: int | None,
    ) -> None:
        super().__init__(training, X, target, n_classes, weights, n_threads)
        # More threads than processors would only make gradients more outdated.
        self._n_threads = min(n_threads or parallel.available_threads(), parallel.processors())

    def epoch(self, order: Any) -> Any:
        loss, mass = self.training.run_together(self._data, order, self._n_threads)
        return loss / mass, {}


class FullBatch(Minibatches):
    """Gradient descent: the objective computes the gradient with all threads; updates are those of minibatches."""

    def __init__(
        self,
        training: Training,
        X: Table,
        target: Array,
        n_classes: int,
        weights: Weights,
        n_threads: int | None,
    ) -> None:
        self.training = training
        self._row_weight = weights.rows
        # Always with an intercept: even if it is not trained, its start may be given.
        targets = Targets(target, n_classes, weights.rows, weights.classes)
        self._objective = Objective.over(X, targets, training.K, n_threads=n_threads)

    def begin(self, visited: Array) -> None:
        self.training.expect(1)
        if self.training.options.eta0 is None:
            self._choose_step(visited)

    def _choose_step(self, visited: Array) -> None:
        """Set the step to the inverse of an upper bound on the curvature of the loss, in the columns' units."""
        objective, training = self._objective, self.training
        training.look_at(features_of(objective.local.X), visited, self._row_weight)
        standard = training.standard
        if training.options.is_adaptive:
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
        # At zero a softmax of K classes has curvature 1/K, and at most 1/2 anywhere; a sigmoid is steepest at zero.
        if training.K > 1:
            curvature *= objective.n_classes / 2
        largest = 1.05 * curvature
        if (
            standard is None and training.options.optimizer == "sgd"
        ):  # the others apply the penalty as a proximal step
            largest += training.options.l2
        training.set_step(1.0 / largest if largest > 0 else 1.0)

    def epoch(self, order: Array) -> tuple[float, dict[str, float]]:
        """Return the objective before the update, and the norm of its gradient."""
        loss, full, gradient = self._measure()
        if math.isfinite(loss):
            self.training.step(gradient)
        return loss, {"grad_norm": _norm(full)}

    def _measure(self) -> tuple[float, Array, Array]:
        """Return the objective, its gradient in the columns' units (with L1 the least subgradient), and the gradient
        of the mean loss in the units of X."""
        options, standard = self.training.options, self.training.standard
        before = self.training.weights().astype(np.float64)
        loss, gradient = self._objective.value_and_grad(before)
        if not options.fit_intercept:
            gradient[-1] = 0.0
        W, l1, l2 = before[:-1], options.l1, options.l2
        with np.errstate(over="ignore"):  # if the descent diverges, its loss shows it
            loss += 0.5 * l2 * float(np.sum(W * W)) + l1 * float(np.abs(W).sum())
        if standard is None:
            own = gradient.copy()
        else:
            factor = standard.factor[:, np.newaxis]
            own, l1, l2 = standard.own_gradient(gradient), l1 * factor, l2 * factor
        own[:-1] += l2 * W
        return loss, least_subgradient(before, own, l1), gradient


class VarianceReduced(FullBatch):
    """SVRG: a gradient over all rows, then steps of single rows around it."""

    def __init__(
        self,
        training: Training,
        X: Table,
        target: Array,
        n_classes: int,
        weights: Weights,
        n_threads: int | None,
    ) -> None:
        self._data = Data(training.options, X, target, n_classes, training.K, weights.visit, weights.classes)
        self._steps = VarianceReduction(training, self._data)
        super().__init__(training, X, target, n_classes, weights, n_threads)

    def _choose_step(self, visited: Array) -> None:
        weights = self._data.weights
        self.training.look_at(self._data.features, visited, weights if len(weights) else None)
        sizes = self._data.squares_of(visited, self.training.standard)[visited] + 1.0
        if len(weights):
            sizes *= weights[visited] / weights[visited].mean()
        self._steps.set_step(sizes.max())

    def epoch(self, order: Array) -> tuple[float, dict[str, float]]:
        """Return the objective before the epoch, and the norm of its gradient."""
        loss, full, gradient = self._measure()
        if math.isfinite(loss):
            self._steps.epoch(gradient, order)
        return loss, {"grad_norm": _norm(full)}


def _norm(array: Array) -> float:
    with np.errstate(over="ignore"):  # if the descent diverges
        return float(np.linalg.norm(array))
