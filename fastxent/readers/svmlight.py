"""The svmlight format, which LIBSVM and LIBLINEAR read: a label, then column:value for each nonzero entry.

A block of lines is taken apart by a few operations over all of its bytes. Only a block that these find fault with is
gone through line by line, to say where and what.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from .batch import Batch, DataError
from .numbers import objection, shortened
from .stream import blocks_of_lines, opened, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..typing import Array
    from .batch import Columns


_MOST_COLUMNS = 2**31 - 1
_COLON = ord(":")
_BLANK = bytes(range(ord(" ") + 1))


def read(path: str, columns: Columns, *, labelled: bool = True) -> Iterator[Batch]:
    """Yield batches of a file, X as CSR with as many columns as the batch needs.

    Parameters
    ----------
    path : str
        A file, or '-' for standard input.
    columns : Columns
        ``first`` is the number of the first column of X. With None, X has the columns of the file, from 0.
    labelled : bool
        Whether each line must begin with a label. If not, there may be one.
    """
    name = shown(path)
    with opened(path) as stream:
        for number, block in blocks_of_lines(stream):
            batch = batch_of(name, number, block, columns.first or 0, labelled)
            if batch is not None:
                yield batch


def count_rows(number: int, block: bytes) -> int:
    """Return how many rows a block of whole lines has, if nothing in it is wrong; much faster than to parse them."""
    lines = _without_comments(_without_mark(number, block)).split(b"\n")
    return sum(1 for line in lines if line.strip(_BLANK))


def batch_of(name: str, number: int, block: bytes, first: int, labelled: bool) -> Batch | None:
    """Return the Batch of a block of whole lines, None if it has no rows. number: that of its first line."""
    block = _without_mark(number, block)
    if b"\0" in block:
        line = number + block[: block.index(b"\0")].count(b"\n")
        raise DataError(name, f"line {line}", "is not text")
    plain = _without_comments(block)
    parts = _parts(plain)
    if parts is None:
        _find_fault(name, number, block, labelled)
        raise DataError(name, f"line {number} or later", "cannot be read as svmlight's format")
    lines, y, indptr, indices, data = parts
    if not len(indptr) - 1:
        return None
    lines += number
    usable = (
        np.isfinite(data).all() and (indices == np.floor(indices)).all() and (y is not None or not labelled)
    )
    if indices.size:
        usable = usable and indices.min() >= first and indices.max() < _MOST_COLUMNS
    if y is not None:
        usable = usable and (y == np.floor(y)).all() and np.abs(y).max() < 2**53
    if not usable:
        _find_fault(name, number, block, labelled, first)
        raise DataError(name, f"line {number} or later", "cannot be read as svmlight's format")
    indices = indices.astype(np.int32) - np.int32(first)
    d = int(indices.max()) + 1 if indices.size else 1
    X = sp.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, d))
    return Batch(X, None if y is None else y.astype(np.int64), None, lambda i: f"line {lines[i]}")


def _without_mark(number: int, block: bytes) -> Any:
    return (
        block.removeprefix(b"\xef\xbb\xbf") if number == 1 else block
    )  # that some editors begin a file with


def _without_comments(block: bytes) -> bytes:
    if b"#" in block:
        block = re.sub(rb"#[^\n]*", b"", block)
    if b"qid" in block:  # of ranking problems
        block = re.sub(rb"(?<=[ \t])qid:\d+(?=\s)", b"", block)
    return block


def _parts(block: bytes) -> tuple[Array, Array | None, Array, Array, Array] | None:
    """Numbers of lines that have rows, labels (or None), indptr, columns and values; None if there is a fault."""
    characters = np.frombuffer(b"\n" + block, np.uint8)
    colon = characters == _COLON
    separates = colon | (characters <= ord(" "))
    begins = np.flatnonzero(separates[:-1] & ~separates[1:])  # places of the separators before
    after_colon = colon[begins]
    ends = np.flatnonzero(~separates[:-1] & separates[1:]) + 1
    colons = np.count_nonzero(colon)
    if np.count_nonzero(after_colon) != colons or np.count_nonzero(colon[ends]) != colons:
        return None  # a colon that does not stand between two words
    line_of = np.searchsorted(np.flatnonzero(characters[1:] == ord("\n")), begins)
    starts = np.flatnonzero(np.diff(line_of, prepend=-1))  # of the first word of each line that has any
    lines, counts = line_of[starts], np.diff(starts, append=len(line_of))
    odd = counts % 2
    if len(lines) and (odd != odd[0]).any():
        return None  # labels in some lines only
    has_labels = bool(len(lines)) and bool(odd[0])
    position = np.arange(len(begins)) - np.repeat(starts, counts) - has_labels
    if not np.array_equal(after_colon, (position >= 0) & (position % 2 == 1)):
        return None
    numbers = _numbers(block.replace(b":", b" "))
    if numbers is None or len(numbers) != len(begins):
        return None
    labels = numbers[starts] if has_labels else None
    entries = np.delete(numbers, starts) if has_labels else numbers
    indptr = np.concatenate([[0], np.cumsum(counts // 2)])
    return lines, labels, indptr, entries[0::2], np.ascontiguousarray(entries[1::2])


def _numbers(text: bytes) -> Array | None:
    """All numbers of a text, or None if it contains anything else."""
    if not text.strip():
        return np.zeros(0)
    # NumPy stops at the first thing that is no number, with a warning. Warning filters belong to the whole process, and
    # this may be one of several threads, so a missing last number is looked for instead.
    try:
        numbers = np.fromstring(text.decode("ascii") + " 0", sep=" ")
    except (DeprecationWarning, ValueError):
        return None
    return numbers[:-1]


def _find_fault(name: str, number: int, block: bytes, labelled: bool, first: int = 0) -> None:
    """Raise a DataError for the first line with a fault."""
    for i, line in enumerate(block.split(b"\n"), number):
        words = _without_comments(line + b"\n").decode(errors="replace").split()
        if not words:
            continue
        fault = _fault(words, labelled, first)
        if fault:
            raise DataError(name, f"line {i}", fault)
    if not labelled:
        raise DataError(name, None, "some lines have labels and some have not")


def _fault(words: list[str], labelled: bool, first: int) -> str | None:
    label, entries = words[0], words[1:]
    if ":" in label:
        if labelled:
            return f"begins with {shortened(label)!r} where a label should stand"
        entries = words
    elif "," in label and all(objection(part) is None for part in label.split(",")):
        return f"has several labels ({shortened(label)}); one is supported"
    elif objection(label):
        return f"the label {objection(label)}"
    elif float(label) != int(float(label)):
        return f"the label is {label}; classes are whole numbers here"
    elif abs(float(label)) >= 2**53:
        return f"the label {label} is too large"
    for entry in entries:
        column, colon, value = entry.partition(":")
        if not colon or not column or ":" in value:
            return f"{shortened(entry)!r} is not of the form column:value"
        if not (column.isascii() and column.isdigit()):
            return f"{shortened(entry)!r}: columns are whole numbers from 0 or 1"
        if int(column) >= _MOST_COLUMNS:
            return f"column {column} is too large; the largest is {_MOST_COLUMNS - 1}"
        if int(column) < first:
            return (
                "has a column 0, while those that the model was trained on count from 1; if they should count from "
                "0, train it with --zero-based"
            )
        if objection(value):
            return f"the value of column {column} {objection(value)}"
    return None
