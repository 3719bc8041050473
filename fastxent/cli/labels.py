"""Labels in files and in models.

A file of text knows no types, so labels that are whole numbers, however they are written, become integers, and all
others stay strings. Whether two labels are the same is decided by how they are written then.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from fastxent.readers.batch import DataError
from fastxent.readers.numbers import objection
from fastxent.readers.stream import shown

from .data import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..typing import Array
    from .data import Rows


_PLAIN = re.compile(r"[+-]?(0|[1-9]\d*)(\.0*)?")


def plain(label: object) -> str:
    """The canonical text of a label: the same for 1, +1 and 1.0."""
    text = str(label)
    return str(int(float(text))) if _PLAIN.fullmatch(text) and len(text) < 16 else text


def of_training(rows: Rows) -> Array:
    """The labels of rows as a model gets them: integers if all are integers, otherwise strings."""
    y = rows.y
    if y.dtype.kind in "iu":
        return y
    if y.dtype.kind == "f":  # whole: the reader has seen to that
        return y.astype(np.int64)
    names, codes = np.unique(y.astype(str), return_inverse=True)
    written = [plain(name) for name in names.tolist()]
    if all(re.fullmatch(r"-?\d{1,18}", name) and str(int(name)) == name for name in written):
        return np.array([int(name) for name in written])[codes]
    if rows.form in TABLES and all(objection(name) is None for name in names.tolist()):
        continuous = [k for k, name in enumerate(names.tolist()) if not float(name).is_integer()]
        if continuous:
            i = int(np.argmax(np.isin(codes, continuous)))
            raise DataError(
                shown(rows.path),
                rows.place(i),
                f"the label is {y[i]}; classes are whole numbers or names. --label says which column has them",
            )
    return names[codes]


class Classes:
    """The positions of labels among a model's classes."""

    def __init__(self, classes: Array) -> None:
        self.values = classes
        self._numbers = {plain(label): k for k, label in enumerate(classes.tolist())}

    def __contains__(self, label: str) -> bool:
        return plain(label) in self._numbers

    def value(self, label: str) -> int:
        """The model's class for a label in a file."""
        return self.values[self._numbers[plain(label)]].item()

    def numbers(self, y: Array, path: str, place: Callable[..., Any]) -> Array:
        """Return the positions of labels. A label that the model does not know is refused, with its line."""
        names, codes = np.unique(y, return_inverse=True)
        found = np.array([self._numbers.get(plain(name), -1) for name in names.tolist()])
        numbers = found[codes]
        if (numbers < 0).any():
            i = int(np.argmax(numbers < 0))
            known = ", ".join(str(label) for label in self.values[:8].tolist())
            more = ", ..." if len(self.values) > 8 else ""
            raise DataError(
                shown(path),
                place(i),
                f"the label {plain(y[i])!r} was not in the training; its classes are {known}{more}",
            )
        return numbers
