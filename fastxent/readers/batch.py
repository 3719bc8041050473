"""What readers take, yield and raise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

BATCH_BYTES = 1 << 20  # about so much of a file, or of its numbers, is held at a time


class Batch(NamedTuple):
    """Consecutive rows of a file."""

    X: Any  # csr_matrix or array of shape (n, d), or a list of n documents
    y: Any  # n labels, whole numbers or strings; None where the file has none
    weight: Any  # n weights, or None
    place: Callable[..., str]  # from the number of a row in X to "line 7"


class DataError(ValueError):
    """A file cannot be used. The message begins with its name and, if known, the line."""

    def __init__(self, name: str, place: str | None, message: str) -> None:
        super().__init__(f"{name}, {place}: {message}" if place else f"{name}: {message}")


class FormatError(ValueError):
    """A file has an unknown format, or no such column."""


class MissingPackage(ImportError):
    """An optional package is missing."""


def pyarrow(purpose: str) -> Any:
    """Return pyarrow, or say what to install."""
    try:
        import pyarrow
    except ImportError:
        raise MissingPackage(
            f"{purpose} needs pyarrow, which is not installed: pip install 'fastxent[parquet]'"
        ) from None
    return pyarrow


@dataclass
class Columns:
    """What the columns of a file mean. Stored with a model, so that other files are read as the first one was.

    names, order and count are those of the features; a reader that finds them None sets them from its file.
    """

    count: int | None = None
    names: list[str] | None = None  # None where files have no header
    label: str | int | None = None  # a name, or a number from 0; None is the usual one of the format
    weight: str | int | None = None
    drop: tuple[str | int, ...] = ()  # columns that are neither
    header: bool | None = None  # None is to look
    first: int | None = None  # svmlight: the number of the first column, 0 or 1; None is to look

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
