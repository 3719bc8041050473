"""Where partial_fit continues: the public weights, and the state stored with them while it matches them."""

from __future__ import annotations

import copy
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..forks import importing
from .base import DTYPES
from .watch import Patience

if TYPE_CHECKING:
    from typing import Any

    from ..sgd.options import Options
    from ..sgd.trainer import Training
    from .sgd_classifier import SGDClassifier


class Settings(NamedTuple):
    """What determines how a training continues, apart from its weights."""

    options: Any  # fastxent.sgd.options.Options
    updates: int
    metric: str
    class_weight: Any


class Remembered(NamedTuple):
    """An estimator's state beside its public attributes, with the attributes and parameters that it belongs to."""

    training: Any  # fastxent.sgd.trainer.Training, or None: nothing but the weights
    patience: Patience
    weights: tuple[Any, ...] | None  # the fingerprint of coef_ and intercept_
    settings: Settings


def remembered(
    model: SGDClassifier, options: Options, training: Training | None, patience: Patience
) -> Remembered:
    """Return the state that `recalled` needs. The public attributes must already be those of the training."""
    return Remembered(training, patience, _mark(model, model.coef_.shape), _settings(model, options))


def recalled(
    model: SGDClassifier, options: Options, n_features: int, n_classes: int, dtype: np.dtype[Any]
) -> tuple[Training, bool, Patience]:
    """Return the training that continues from a model's public attributes, whether it is new, and its patience.

    The model's stored state is not changed, in case the call fails. dtype: of the weights, if there are none yet.
    """
    with importing:
        from ..sgd.trainer import Training

    shape = (1 if n_classes == 2 else n_classes, n_features)
    settings = _settings(model, options)
    if not hasattr(model, "coef_"):
        return (
            Training(options, np.zeros((n_features + 1, shape[0]), dtype), settings.updates),
            True,
            Patience(),
        )
    known: Any = vars(model).get("_remembered_")
    intact = known is not None and _mark(model, shape) == known.weights
    same = intact and settings == known.settings
    comparable = intact and settings.metric == known.settings.metric
    patience = copy.copy(known.patience) if comparable else Patience()
    before = None if known is None else known.training
    if same and before is not None:
        return before.copy(), False, patience
    if not same:
        patience.renew()
    if intact and before is not None:
        return before.successor(options, settings.updates), True, patience
    theta = model._checked_theta(shape, f"for {n_classes} classes_ and {n_features} features")
    if before is not None and (before.K, before.d) == shape:
        return before.successor(options, settings.updates, theta), True, patience
    return Training(options, theta, settings.updates), True, patience


def _mark(model: SGDClassifier, shape: tuple[int, int]) -> tuple[Any, ...] | None:
    """Return the fingerprint of ``coef_`` and ``intercept_``; None if no call can have left them like this."""
    with importing:
        from ..sgd.fingerprint import fingerprint  # brings Numba

    intercept: Any = vars(model).get("intercept_")
    coef = model._dense_coef()
    for array, wanted in ((coef, shape), (intercept, shape[:1])):
        if not isinstance(array, np.ndarray) or array.shape != wanted or array.dtype not in DTYPES:
            return None
    return fingerprint(coef, intercept)


def has_been_scored(model: Any) -> bool:
    """Tell whether early stopping has a score yet."""
    known = vars(model).get("_remembered_")
    return known is not None and known.patience.best is not None


def _settings(model: SGDClassifier, options: Options) -> Settings:
    updates: Any = getattr(model, "t_", 0)
    is_real = isinstance(updates, Real)
    if not is_real or not (0 <= updates < 2**53 and updates == int(updates)):
        raise ValueError(f"t_ must be a whole number of updates, not negative; got {updates!r}.")
    return Settings(options, int(updates), model.validation_metric, model.class_weight)


def check_remembered(model: SGDClassifier) -> None:
    """Refuse a state that does not go with the model's attributes, or with itself.

    The loops trust it: their counters are places in arrays, and nothing looks whether these are there.
    """
    known = model._remembered_
    coef = model._dense_coef()
    shape = coef.shape[1] + 1, coef.shape[0]
    right = (
        type(known) is Remembered and type(known.settings) is Settings and type(known.patience) is Patience
    )
    right = right and (known.patience.best is None or np.shape(known.patience.best) == shape)
    if right and known.training is not None:
        from ..sgd.consistency import is_consistent

        right = is_consistent(known.training, shape)
    if not right:
        raise ValueError("what it holds for partial_fit contradicts itself or the coefficients")
