"""Which columns of a table are features, label and weight, and batches of rows from Arrow's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .batch import BATCH_BYTES, Batch, DataError, FormatError
from .numbers import objection

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..typing import Array
    from .batch import Columns


LABEL = "label"  # what the label's column is usually called


@dataclass
class Chosen:
    """Positions of the columns that are read."""

    features: list[int]
    label: int | None
    weight: int | None

    @property
    def all(self) -> list[int]:
        return [*self.features, *(i for i in (self.label, self.weight) if i is not None)]


def rows_at_a_time(n_columns: int) -> int:
    return max(1, BATCH_BYTES // (8 * n_columns))


def choose(
    name: str, present: list[str] | None, width: int, columns: Columns, labelled: bool | None
) -> Chosen:
    """Find the columns of a file, and tell ``columns`` of them if it does not know any yet.

    present: the names of the columns, or None; width: their number; labelled: whether there must be a label. If not,
    neither labels nor weights are read.
    """
    if columns.count is None:
        return _first(name, present, width, columns, labelled)
    if present is not None and columns.names is not None:
        return _by_name(name, present, columns, labelled)
    return _by_position(name, present, width, columns, labelled)


def _first(
    name: str, present: list[str] | None, width: int, columns: Columns, labelled: bool | None
) -> Chosen:
    label = weight = None
    if labelled:
        if columns.label is None:
            columns.label = LABEL if present is not None and LABEL in present else 0
        label = _position(name, columns.label, present, width, "--label")
    if columns.weight is not None:
        weight = _position(name, columns.weight, present, width, "--weight")
    dropped = {_position(name, column, present, width, "--drop") for column in columns.drop}
    taken = [i for i in (label, weight) if i is not None]
    if len({*taken, *dropped}) < len(taken) + len(dropped):
        raise FormatError(f"{name}: --label, --weight and --drop must name different columns")
    features = [i for i in range(width) if i not in dropped.union(taken)]
    if not features:
        raise DataError(name, None, f"has no columns of features; it has {_counted(width)} in all")
    columns.count = len(features)
    if present is not None:
        columns.names = [present[i] for i in features]
        columns.label = columns.label if label is None else present[label]
        columns.weight = None if weight is None else present[weight]
        columns.drop = tuple(present[i] for i in sorted(dropped))
    return Chosen(features, label, weight)


def _by_name(name: str, present: list[str], columns: Columns, labelled: bool | None) -> Chosen:
    places: dict[str | int | None, int] = {column: i for i, column in enumerate(present)}
    names = columns.names or []
    missing = [column for column in names if column not in places]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise DataError(
            name, None, f"lacks columns that the model was trained on: {', '.join(missing[:3])}{more}"
        )
    features = [places[column] for column in names]
    if not labelled:
        return Chosen(features, None, None)
    label = LABEL if columns.label is None else columns.label
    label = _position(name, label, present, len(present), "--label")
    return Chosen(features, label, places.get(columns.weight))


def _by_position(
    name: str, present: list[str] | None, width: int, columns: Columns, labelled: bool | None
) -> Chosen:
    if columns.names is not None and columns.header is not False:
        raise DataError(
            name,
            None,
            "has no header, while the model knows its columns by their names; if they stand in the same "
            "order, say --no-header",
        )
    if width == columns.count:
        if labelled:
            raise DataError(
                name, None, f"has {_counted(width)}, all of which are features of the model: no label"
            )
        return Chosen(list(range(width)), None, None)
    label = columns.label if columns.label is not None else LABEL if LABEL in (present or ()) else 0
    label = _position(name, label, present, width, "--label")
    weight = None
    if columns.weight is not None:
        weight = _position(name, columns.weight, present, width, "--weight")
    taken = {label, weight, *(_position(name, column, present, width, "--drop") for column in columns.drop)}
    features = [i for i in range(width) if i not in taken]
    if len(features) != columns.count:
        raise DataError(name, None, f"has {_counted(width)}, while the model has {columns.count} features")
    return Chosen(features, label, weight) if labelled else Chosen(features, None, None)


def _position(name: str, column: str | int, present: list[str] | None, width: int, option: str) -> int:
    """The position of a column that is given by its name or number; negative ones count from the end."""
    if present is not None and column in present:
        return present.index(column)
    try:
        number = int(column)
        if not -width <= number < width:
            raise ValueError
    except ValueError:
        known = (
            f"its columns are {', '.join(present[:8])}{', ...' if len(present) > 8 else ''}"
            if present
            else (f"it has {_counted(width)}, numbered from 0")
        )
        raise FormatError(f"{option}: {name} has no column {column!r}; {known}") from None
    return number % width


def _counted(width: int) -> str:
    return f"{width} column{'s' if width != 1 else ''}"


def batch_of(name: str, arrow_batch: Any, chosen: Chosen, place: Callable[..., Any]) -> Batch:
    """Turn columns of Arrow (features first, as in `Chosen.all`) into a Batch.

    place: from the number of a row to where it stands.
    """
    n, d = arrow_batch.num_rows, len(chosen.features)
    X = np.empty((n, d))
    for j in range(d):
        X[:, j] = _floats(arrow_batch.column(j))
    rest = list(arrow_batch.columns[d:])
    y = None if chosen.label is None else _labels(name, rest.pop(0), place)
    weight = None if chosen.weight is None else _floats(rest.pop(0))
    for values, first in ((X, 0), (weight, d + (y is not None))):
        if values is None or np.isfinite(values).all():
            continue
        i, j = np.argwhere(~np.isfinite(values.reshape(n, -1)))[0]
        column = arrow_batch.column(int(j) + first)
        fault = objection("" if not column[int(i)].is_valid else str(column[int(i)].as_py()))
        raise DataError(name, place(int(i)), f"column {arrow_batch.schema.names[int(j) + first]!r} {fault}")
    if weight is not None and (weight < 0).any():
        i = int(np.argmax(weight < 0))
        raise DataError(name, place(i), f"the weight is {weight[i]:g}; weights must not be negative")
    return Batch(X, y, weight, place)


def _floats(array: Any) -> Array:
    import pyarrow as pa

    return array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _labels(name: str, array: Any, place: Callable[..., Any]) -> Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), None, array)
    text = pc.utf8_trim_whitespace(array.cast(pa.string()))
    encoded = text.dictionary_encode()
    names = np.array(encoded.dictionary.to_pylist(), dtype=str)
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    empty = codes < 0
    if (names == "").any():
        empty |= names[codes] == ""
    broken = [k for k, text in enumerate(encoded.dictionary.to_pylist()) if re.search(r"[\t\r\n]", text)]
    if broken:
        i = int(np.argmax(np.isin(codes, broken)))
        raise DataError(name, place(i), f"the label {str(names[codes[i]])!r} has a tab or a line break in it")
    if empty.any():
        raise DataError(name, place(int(np.argmax(empty))), "has no label: its field is empty")
    return names[codes]
