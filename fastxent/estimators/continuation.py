"""What partial_fit goes on from: the public weights, and what is remembered beside them for as long as it fits them."""

import copy
from numbers import Real
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from .. import validation
from .watch import Patience


class Settings(NamedTuple):
    """What says how a training goes on, apart from its weights."""

    options: object  # fastxent.sgd.trainer.Options
    updates: int
    metric: str
    class_weight: object


class Remembered(NamedTuple):
    """What an estimator knows beside its public attributes, and what these and its parameters were when it knew it."""

    training: object  # fastxent.sgd.trainer.Training, or None: nothing but the weights
    patience: Patience
    weights: tuple  # the fingerprint of coef_ and intercept_
    settings: Settings


def remembered(model, options, training, patience):
    """What `recalled` will want to know. Public attributes are those of the training already."""
    from ..sgd.fingerprint import fingerprint  # brings Numba

    weights = fingerprint(model.coef_, model.intercept_)
    return Remembered(training, patience, weights, _settings(model, options))


def recalled(model, options, n_features, n_classes, dtype):
    """The training that goes on from the public attributes of a model, whether it is a new one, and its patience.

    What the model remembers is left as it is, in case the call does not end well. dtype: of weights, if there are
    none yet.
    """
    from ..sgd.fingerprint import fingerprint
    from ..sgd.trainer import Training

    n_columns = 1 if n_classes == 2 else n_classes
    settings = _settings(model, options)
    if not hasattr(model, "coef_"):
        zeros = np.zeros((n_features + 1, n_columns), dtype)
        return Training(options, zeros, settings.updates), True, Patience()
    coef, intercept = public_weights(model, n_columns, n_features)
    known = vars(model).get("_remembered_")
    intact = known is not None and fingerprint(coef, intercept) == known.weights
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
    if not intact:
        validation.check_finite(coef, "coef_")
        validation.check_finite(intercept, "intercept_")
    theta = np.vstack([coef.T, intercept])
    if before is not None and (before.d, before.K) == (n_features, n_columns):
        return before.successor(options, settings.updates, theta), True, patience
    return Training(options, theta, settings.updates), True, patience


def has_been_scored(model):
    """Whether early stopping has anything to go by."""
    known = vars(model).get("_remembered_")
    return known is not None and known.patience.best is not None


def public_weights(model, n_columns, n_features):
    """``coef_`` and ``intercept_`` as arrays of one dtype, which their users may have set; refused if their shapes are
    not those of the model's classes and features."""
    coef = model.coef_
    coef = (
        validation.check_rows(coef, name="coef_").toarray()
        if sp.issparse(coef)
        else validation.as_native(coef, "coef_")
    )
    if coef.shape != (n_columns, n_features):
        raise ValueError(
            f"coef_ must have shape {(n_columns, n_features)} to go with classes_ and with X; got {coef.shape}."
        )
    if not hasattr(model, "intercept_"):
        raise ValueError("coef_ is there but intercept_ is not: set both, or neither.")
    intercept = validation.as_native(model.intercept_, "intercept_", coef.dtype)
    if intercept.shape not in ((), (n_columns,)):
        raise ValueError(
            f"intercept_ must have shape {(n_columns,)} to go with coef_; got {intercept.shape}."
        )
    return coef, np.broadcast_to(intercept, (n_columns,))


def _settings(model, options):
    updates = getattr(model, "t_", 0)
    if not isinstance(updates, Real) or not (0 <= updates < 2**53 and updates == int(updates)):
        raise ValueError(f"t_ must be a whole number of updates, not negative; got {updates!r}.")
    return Settings(options, int(updates), model.validation_metric, model.class_weight)
