"""Arguments that several commands have, and types that check their values."""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from fastxent.readers.formats import FORMATS
from fastxent.readers.stream import STANDARD_INPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


class UsageError(Exception):
    """Arguments contradict each other, or the files."""


def whole(least: int, most: int | None = None) -> Callable[..., Any]:
    """A type of integers from ``least`` to ``most``."""

    def check(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}") from None
        if number < least or (most is not None and number > most):
            upper = "" if most is None else f" and at most {most}"
            raise argparse.ArgumentTypeError(f"must be at least {least}{upper}, got {number}")
        return number

    return check


def real(least: float = 0.0, most: float = math.inf, *, open_below: bool = False) -> Callable[..., Any]:
    """A type of numbers from ``least`` to ``most``; an open range excludes ``least``."""

    def check(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None
        if not (least < number if open_below else least <= number) or not number <= most:
            lower = f"greater than {least:g}" if open_below else f"at least {least:g}"
            upper = "" if most == math.inf else f" and at most {most:g}"
            raise argparse.ArgumentTypeError(f"must be {lower}{upper}, got {text}")
        return number

    return check


def threads(text: str) -> int:
    """-1 or a number of threads."""
    return -1 if text.strip() == "-1" else whole(1)(text)


def listed(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def folds(text: str) -> int:
    """A number of folds."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(
            f"must be a number of folds, got {text!r}; a file goes before --cv, or say --cv 5"
        )
    return whole(2)(text)


def span(text: str) -> tuple[int, int]:
    """Two numbers, as in 2-4."""
    least, dash, most = text.partition("-")
    if not (dash and least.isdecimal() and most.isdecimal() and 1 <= int(least) <= int(most)):
        raise argparse.ArgumentTypeError(f"must be two numbers, as in 2-4; got {text!r}")
    return int(least), int(most)


def weights(text: str) -> dict[str, float] | str:
    """'balanced', or a dict of label:weight,..."""
    if text == "balanced":
        return text
    weights = {}
    for entry in text.split(","):
        label, _, weight = entry.rpartition(":")
        if not label:
            raise argparse.ArgumentTypeError(f"must be balanced, or label:weight,...; got {text!r}")
        weights[label.strip()] = real()(weight)
    return weights


def source(text: str) -> str:
    """An existing file, or '-'."""
    if text == STANDARD_INPUT:
        return text
    if os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{text} is a folder")
    try:
        if os.stat(text) and os.path.isfile(text):  # a pipe can be opened only once
            open(text, "rb").close()
        return text
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error.strerror}") from None


def writable(text: str) -> str:
    """A path that can be written; this is checked before the work starts."""
    path = Path(text).absolute()
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder")
    if path.exists() and not os.access(path, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} is write-protected")
    if path.exists() and not path.is_file():
        return text  # a device
    try:
        with tempfile.TemporaryFile(dir=path.resolve().parent):
            return text
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f"{text} cannot be written: {path.resolve().parent}: {error.strerror}"
        ) from None


def replaceable(text: str) -> str:
    """A path that a model can be written to. Models are written atomically, so it must not be a device."""
    if os.path.exists(text) and not os.path.isfile(text):
        raise argparse.ArgumentTypeError(f"{text} is a folder, a device or a pipe")
    return writable(text)


def folder(text: str) -> str:
    """A folder, or a name for one."""
    if os.path.lexists(text) and not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{text} is a file; a folder is wanted")
    return text


def check_apart(option: str, path: str, sources: Iterable[str]) -> None:
    """Refuse to overwrite an input file."""
    for name in sources:
        if name != STANDARD_INPUT and path and os.path.exists(path) and os.path.samefile(name, path):
            raise UsageError(f"{option} {path} would replace {name}, which is read")


def add_data_and_model(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the rows and the model."""
    parser.add_argument("data", type=source, help="a file, or - for standard input")
    parser.add_argument("--model", type=source, required=True, metavar="FILE", help="what `fit` has written")


def add_reading(parser: argparse.ArgumentParser, *, unlabeled: bool = False) -> Any:
    """Add the arguments about reading files."""
    group = parser.add_argument_group("reading")
    group.add_argument(
        "--format",
        choices=FORMATS,
        help="format of the data, where the suffix does not tell it; needed for standard input",
    )
    group.add_argument(
        "--text",
        action="store_true",
        help="lines of label<TAB>text, or of fastText's __label__x text (the same as --format text)",
    )
    group.add_argument("--label", metavar="COLUMN", help="see `fastxent fit --help`" if unlabeled else _LABEL)
    group.add_argument("--weight", metavar="COLUMN", help="column of a table with the weights of its rows")
    group.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="whether the first line of CSV and TSV names the columns (default: it does if it has no numbers)",
    )
    return group


_LABEL = (
    "column of a table (CSV, TSV, Parquet) with the labels: its name, or its number from 0, or -1 for the last one "
    "(default: the column called label, or else the first)"
)


def form_of(arguments: argparse.Namespace, path: str, is_text: Any = None) -> str:
    """The format of a file, from what was said and from its suffix.

    is_text: whether the model takes text; None if there is none yet.
    """
    from fastxent.readers.formats import format_of

    if arguments.text and arguments.format not in (None, "text"):
        raise UsageError(f"--text and --format {arguments.format} contradict each other")
    text = arguments.text or arguments.format == "text"
    if is_text is False and text:
        raise UsageError("the model takes numbers, not text")
    if is_text and arguments.format not in (None, "text"):
        raise UsageError(f"the model takes text, not {arguments.format}")
    return "text" if text or is_text else format_of(path, arguments.format)
