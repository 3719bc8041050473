"""Documents, one per line: ``label<TAB>text``, or fastText's ``__label__x text``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .batch import Batch, DataError
from .stream import blocks_of_lines, opened, shown

if TYPE_CHECKING:
    from collections.abc import Iterator


_PREFIX = "__label__"


def read(path: str, *, labelled: bool | None = True) -> Iterator[Batch]:
    """Yield batches of a file, X a list of documents.

    Parameters
    ----------
    path : str
        A file, or '-' for standard input. Its encoding is UTF-8.
    labelled : bool or None
        Whether each line must begin with a label. With None, it may; a line without a label is a document as a whole.
        With False, every line is a document as a whole.
    """
    name = shown(path)
    with opened(path) as stream:
        for number, block in blocks_of_lines(stream):
            batch = batch_of(name, number, block, labelled)
            if batch is not None:
                yield batch


def batch_of(name: str, number: int, block: bytes, labelled: bool | None) -> Batch | None:
    """Return the Batch of a block of whole lines, None if it has no documents. number: that of its first line."""
    documents, labels, lines = [], [], []
    for i, line in enumerate(block.removesuffix(b"\n").split(b"\n"), number):
        try:
            text = line.decode("utf-8-sig" if i == 1 else "utf-8").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise DataError(name, f"line {i}", f"is not UTF-8 (byte {error.start + 1})") from None
        if "\0" in text:
            raise DataError(name, f"line {i}", "is not text")
        if labelled and not text.strip():
            continue
        label = None
        if labelled is not False:
            label, text = _split(name, i, text)
            if label is None and labelled:
                raise DataError(
                    name, f"line {i}", f"has no label: it should be label<TAB>text, or {_PREFIX}label text"
                )
        documents.append(text)
        labels.append(label)
        lines.append(i)
    if not documents:
        return None
    y = None if None in labels else np.array(labels)
    return Batch(documents, y, None, lambda i: f"line {lines[i]}")


def _split(name: str, i: int, line: str) -> tuple[str | None, str]:
    """The label, or None, and the text."""
    if line.startswith(_PREFIX):
        label, *rest = line.split(maxsplit=1)
        text = rest[0] if rest else ""
        if text.startswith(_PREFIX):
            raise DataError(
                name, f"line {i}", f"has several labels ({label}, {text.split()[0]}); one is supported"
            )
        label = label.removeprefix(_PREFIX)
    else:
        label, tab, text = line.partition("\t")
        if not tab:
            return None, line
    label = label.strip()
    if not label:
        raise DataError(name, f"line {i}", "has an empty label")
    return label, text
