"""Rows that a training does not learn from: which ones, and the loss and score of a model on them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..data.targets import Targets
from ..forks import importing
from ..objective import Objective
from ..prediction import predict
from .base import for_kernels
from .streaming import accuracy
from .verdict import chance_loss, chance_of

if TYPE_CHECKING:
    from ..typing import Array, Table
    from .sgd_classifier import SGDClassifier
    from .streaming import ValidationBatches


class HeldOut:
    """The loss and score of a training on rows that it does not learn from.

    Parameters
    ----------
    model : SGDClassifier
    rows : tuple
        X, target and sample_weight (or None), as the kernels take them.
    n_classes : int
    n_threads : int or None

    Attributes
    ----------
    objective : Objective
        The mean log loss.
    chance : float
        The loss of the best constant prediction. Infinite if it says nothing about the training: class weights are only
        for the training rows, and accuracy is not a loss.
    """

    objective: Objective
    chance: float

    def __init__(
        self,
        model: SGDClassifier,
        rows: tuple[Table, Array, Array | None],
        n_classes: int,
        n_threads: int | None,
    ) -> None:
        X, target, sample_weight = rows
        # Rows of weight zero add nothing, but with them blocks of rows, and so the last bits, would be different.
        if sample_weight is not None and not sample_weight.all():
            X, target, sample_weight = taken(np.flatnonzero(sample_weight), *rows)
        self._X, self._weights, self._n_threads = X, sample_weight, n_threads
        self._codes = target if target.ndim == 1 else target.argmax(axis=1)
        targets, K = Targets(target, n_classes, sample_weight), 1 if n_classes == 2 else n_classes
        self.objective = Objective.over(X, targets, K, n_threads=n_threads)
        self._by_loss, self.chance = model.validation_metric == "log_loss", math.inf
        if self._by_loss and model.class_weight is None:
            self.chance = chance_loss(target, n_classes, sample_weight, model.fit_intercept)

    def __call__(self, theta: Array) -> tuple[float, float]:
        """Return the mean log loss and the score (the larger the better) of the parameters theta (d + 1, K)."""
        loss = self.objective.value(theta)
        if self._by_loss:
            return loss, -loss
        logits = predict(self._X, theta, "logits", self._n_threads)
        guess = (logits > 0) if theta.shape[1] == 1 else logits.argmax(axis=1)
        return loss, float(np.average(guess == self._codes, weights=self._weights))


class HeldOutBatches:
    """The same on a source.

    Parameters
    ----------
    model : SGDClassifier
    batches : streaming.ValidationBatches
    n_threads : int or None
    """

    objective: Objective
    chance: float

    def __init__(self, model: SGDClassifier, batches: ValidationBatches, n_threads: int | None) -> None:
        self._batches, self._n_threads = batches, n_threads
        self.objective = batches.objective(n_threads=n_threads)
        self._by_loss, self.chance = model.validation_metric == "log_loss", math.inf
        if self._by_loss and model.class_weight is None:
            self.chance = chance_of(batches.mass.floats()[0], model.fit_intercept)

    def __call__(self, theta: Array) -> tuple[float, float]:
        """Return the mean log loss and the score, as of `HeldOut`."""
        loss = self.objective.value(theta)
        return loss, -loss if self._by_loss else accuracy(self._batches, theta, self._n_threads)


def split(model: SGDClassifier, target: Array, rows: Array) -> tuple[Array, Array]:
    """Return which of these rows to hold out and which to train on, both sorted; stratified by class."""
    with importing:
        from sklearn.model_selection import train_test_split  # slow to import

    codes = target if target.ndim == 1 else target.argmax(axis=1)
    kept, held_out = train_test_split(
        rows,
        test_size=model.validation_fraction,
        random_state=model.random_state,
        stratify=codes[rows],
    )
    return np.sort(held_out), np.sort(kept)


def taken(
    rows: Array, X: Table, target: Array, sample_weight: Array | None
) -> tuple[Table, Array, Array | None]:
    """Return X, target and sample_weight of some rows, as the kernels take them."""
    return for_kernels(X[rows]), target[rows], None if sample_weight is None else sample_weight[rows]
