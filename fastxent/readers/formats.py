"""Which reader reads a file, by its suffix or a format's name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from . import delimited, npz, parquet, svmlight, text
from .batch import FormatError
from .stream import STANDARD_INPUT, packing_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..typing import Path
    from .batch import Batch, Columns


SUFFIXES = {
    ".svm": "svmlight",
    ".svmlight": "svmlight",
    ".libsvm": "svmlight",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".npz": "npz",
}
FORMATS = ("svmlight", "csv", "tsv", "parquet", "npz", "text")
SPARSE = ("svmlight", "text")  # formats whose rows are sparse (those of npz may be)


def format_of(path: Path, given: str | None = None) -> str:
    """Return the name of a file's format, or raise a FormatError if it is unknown."""
    if given is not None:
        return given
    if path == STANDARD_INPUT:
        raise FormatError(f"standard input has no suffix: say its --format, one of {', '.join(FORMATS)}")
    name = str(path).lower()
    name = name.removesuffix(packing_of(path))
    for suffix, found in SUFFIXES.items():
        if name.endswith(suffix):
            return found
    raise FormatError(
        f"{path}: the format of a file is told by its suffix, one of {' '.join(SUFFIXES)}, also with .gz or .zst "
        "after it. Say --format for other names, or --text for lines of label<TAB>text"
    )


def reader(path: str, form: str, columns: Columns, labelled: bool | None) -> Iterator[Batch]:
    """Batches of a file in the named format.

    labelled: True if there must be labels, None if there may be, False if what could be taken for labels is not.
    """
    read: Callable[[str], Iterator[Batch]] = {
        "svmlight": partial(svmlight.read, columns=columns, labelled=bool(labelled)),
        "csv": partial(delimited.read, columns=columns, labelled=labelled),
        "tsv": partial(delimited.read, columns=columns, labelled=labelled, delimiter="\t"),
        "parquet": partial(parquet.read, columns=columns, labelled=labelled),
        "npz": partial(npz.read, labelled=bool(labelled)),
        "text": partial(text.read, labelled=labelled),
    }[form]
    return read(path)
