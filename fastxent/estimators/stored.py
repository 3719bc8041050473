"""Estimators as records of plain values, and back."""

from __future__ import annotations

import dataclasses
import importlib
import math
import os
import sys
from typing import TYPE_CHECKING

import numpy as np
from sklearn import config_context

import fastxent

from ..arrays import check_memory
from ..forks import importing
from ..record import Contents

if TYPE_CHECKING:
    from typing import Any

    from ..record import Record
    from .base import LinearClassifier


# Classes whose objects an estimator may have, and where they live; of a splitter's, plain attributes are all there is.
_HOME = {
    "Checkpoint": "fastxent.checkpoint",
    "Options": "fastxent.sgd.options",
    "Training": "fastxent.sgd.trainer",
    "Columns": "fastxent.sgd.columns",
    "Standard": "fastxent.sgd.columns",
    "Patience": "fastxent.estimators.watch",
    "Remembered": "fastxent.estimators.continuation",
    "Settings": "fastxent.estimators.continuation",
    **dict.fromkeys(
        (
            "KFold",
            "GroupKFold",
            "StratifiedKFold",
            "StratifiedGroupKFold",
            "LeaveOneOut",
            "PredefinedSplit",
            "ShuffleSplit",
            "StratifiedShuffleSplit",
            "TimeSeriesSplit",
        ),
        "sklearn.model_selection",
    ),
}
_RANDOM = "RandomState"
_REQUESTS = "_metadata_request"  # of scikit-learn's routing, where set_fit_request and others leave what they are given


def contents(model: LinearClassifier) -> Contents:
    """Everything that a fitted estimator is."""
    kind = type(model)
    if getattr(fastxent, kind.__name__, None) is not kind:
        raise TypeError(
            f"{kind.__name__} is a class of your own, and a model file can only hold those of fastxent. Save "
            "model.predictor(), which gives the same predictions, or use pickle."
        )
    parameters = model.get_params(deep=False)
    if isinstance(parameters.get("checkpoint"), os.PathLike):
        parameters["checkpoint"] = os.fspath(parameters["checkpoint"])
    attributes = {name: value for name, value in vars(model).items() if name not in parameters}
    if _REQUESTS in attributes:
        asked = vars(attributes[_REQUESTS])
        attributes[_REQUESTS] = {
            method: request.requests
            for method, request in asked.items()
            if getattr(request, "requests", None)
        }
    return Contents(kind.__name__, model._coef_shape()[1], attributes, parameters, describe)


def restored(estimator: type[Any], record: Record) -> Any:
    """An estimator of this class by a record."""
    parameters = record.values("parameters", build)
    attributes = record.values("attributes", build)
    requests = attributes.pop(_REQUESTS, {})
    try:
        hidden = [name for name in attributes if hasattr(estimator, name)]
        if hidden:
            raise ValueError(f"{hidden[0]} is no attribute of a fitted model")
        model = estimator(**parameters)
        vars(model).update(attributes)
        with config_context(enable_metadata_routing=True):
            for method, request in requests.items():
                getattr(model, f"set_{method}_request")(**request)
        check_memory(8 * math.prod(model._coef_shape()), "coefficients")
        model._coefficients()
        if "_remembered_" in attributes:
            from .continuation import check_remembered

            check_remembered(model)
    except (AttributeError, TypeError, ValueError) as error:
        raise record.contradiction(error) from error
    return model


def describe(value: Any) -> tuple[str, dict[str, Any]] | None:
    """Name and state of an object of a class that is known here; else None."""
    name = type(value).__name__
    if type(value) is np.random.RandomState:
        return _RANDOM, value.get_state(legacy=False)
    home: Any = _HOME.get(name)
    if getattr(sys.modules.get(home), name, None) is not type(value):
        return None
    if isinstance(value, tuple):
        named: Any = value
        return name, named._asdict()
    return name, dict(value.__getstate__() or {})


def build(name: str, state: dict[str, Any]) -> Any:
    """The object of that description."""
    if name == _RANDOM:
        random = np.random.RandomState()
        random.set_state(state)
        return random
    with importing:
        kind = getattr(importlib.import_module(_HOME[name]), name)
    if issubclass(kind, tuple) or dataclasses.is_dataclass(kind):
        return kind(**state)
    made = object.__new__(kind)
    vars(made).update(state)
    return made
