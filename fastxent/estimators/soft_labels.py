"""Soft labels, and the classes their columns belong to: a data frame has names for them."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from . import inputs

if TYPE_CHECKING:
    from typing import Any

    from ..typing import Array, DTypeLike


_ADVICE = "Rename the columns, or pass np.asarray of it, whose columns are used in their order."


def soft_labels(y: Any, n_rows: int, classes: Array, dtype: DTypeLike, name: str = "y") -> Array:
    """Distributions over the classes, one for each row. The columns of a frame are found by their names."""
    names = class_names(y, name)
    order = None if names is None else order_of(names.tolist(), classes.tolist(), name)
    checked = inputs.soft_labels(y, n_rows, len(classes), dtype, name)
    return checked if order is None else np.ascontiguousarray(checked[:, order])


def class_names(y: Any, name: str) -> Array | None:
    """The names of a frame's columns as an array; None if y is no frame. name: what messages call y."""
    if not inputs.is_frame(y):
        return None
    places: dict[int | str, int] = {}
    for j, column in enumerate(inputs.column_names(y)):
        if _kind(column) is None:
            raise ValueError(
                f"Column {j} of {name} is named {column!r}. The columns of a frame of soft labels are named by the "
                f"classes: by strings, whole numbers or truth values. {_ADVICE}"
            )
        if column in places:
            raise ValueError(
                f"Columns {places[column]} and {j} of {name} are both named {column!r}, but each class of a frame of "
                f"soft labels has one column. {_ADVICE}"
            )
        places[column] = j
    if len(set(map(_kind, places))) > 1:
        raise ValueError(
            f"The columns of {name} are named {list(places)!r}. The columns of a frame of soft labels are named by "
            f"the classes, all by strings or all by numbers. {_ADVICE}"
        )
    inputs.refuse_several(y, name)
    return np.array(list(places))


def order_of(names: list[Any], classes: list[Any], name: str) -> list[int] | None:
    """Return the positions of the classes among the names of columns; None if they are the same."""
    places = {column: j for j, column in enumerate(names)}
    known = set(classes)
    for column, j in places.items():
        if column not in known:
            raise ValueError(
                f"Column {j} of {name} is named {column!r}, which is not among the classes {classes!r}. {_ADVICE}"
            )
    for label in classes:
        if label not in places:
            raise ValueError(f"{name} has no column named {label!r}, which is one of the classes. {_ADVICE}")
    return None if names == classes else [places[label] for label in classes]


def _kind(name: object) -> int | None:
    kinds: tuple[Any, ...] = (str, (bool, np.bool_), Integral)
    return next((number for number, kind in enumerate(kinds) if isinstance(name, kind)), None)


def named_classes(classes: Any, y: Any) -> Array:
    """The classes that a call of ``partial_fit`` names: sorted; for soft labels y in the order given."""
    return np.asarray(classes) if inputs.has_columns(y) else np.unique(classes)


def same_classes(classes: Array, known: Array, y: Any) -> bool:
    """Whether the classes named again are those known; for an array of soft labels y, in the same order, too."""
    if inputs.has_columns(y) and not inputs.is_frame(y):
        return np.array_equal(classes, known)
    return np.array_equal(np.unique(classes), np.sort(known))
