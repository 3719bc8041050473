"""CSV and TSV, read by Arrow a block at a time."""

from __future__ import annotations

import csv
import io
import re
import sys
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

from .batch import BATCH_BYTES, DataError, FormatError, pyarrow
from .numbers import objection, shortened
from .stream import STANDARD_INPUT, opened, shown
from .table import LABEL, batch_of, choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO, Any

    from .batch import Batch, Columns
    from .table import Chosen


csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
_MOMENT, _TRIES = 1e-3, 1000  # seconds, and how many times: a read from a pipe may take any time


def read(
    path: str, columns: Columns, *, labelled: bool | None = True, delimiter: str = ","
) -> Iterator[Batch]:
    """Yield batches of a file, X dense.

    Parameters
    ----------
    path : str
        A file, or '-' for standard input.
    columns : Columns
        If it does not know any features yet, it learns those of this file.
    labelled : bool or None
        Whether there must be a column of labels; with None, there may be one.
    delimiter : str
    """
    name = shown(path)
    arrow = pyarrow(f"reading {name}")
    import pyarrow.csv as pc

    with opened(path) as stream:
        raw, fields = _first_record(name, stream, delimiter)
        has_header = _has_header(name, fields, columns)
        present = _checked_names(name, fields) if has_header else None
        chosen = choose(name, present, len(fields), columns, labelled)
        names = present or [str(i) for i in range(len(fields))]
        header = raw.count(b"\n") if has_header else 0
        numbers = {names[i]: arrow.float64() for i in chosen.all if i != chosen.label}
        texts = {} if chosen.label is None else {names[chosen.label]: arrow.string()}

        def place_of(row: int) -> str:
            return f"line {_line_of(path, row, header, delimiter)}"

        rows, reader = 0, None
        source = _Joined(arrow, b"" if has_header else raw, stream)
        try:
            reader = pc.open_csv(
                arrow.PythonFile(source, mode="r"),
                read_options=pc.ReadOptions(
                    column_names=names, use_threads=False, block_size=max(BATCH_BYTES, 16 * len(raw))
                ),
                parse_options=pc.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=pc.ConvertOptions(
                    column_types=numbers | texts,
                    include_columns=[names[i] for i in chosen.all],
                    strings_can_be_null=False,
                    null_values=[""],
                ),
            )
            for batch in reader:
                if batch.num_rows:
                    yield batch_of(name, batch, chosen, lambda i, rows=rows: place_of(rows + i))
                rows += batch.num_rows
        except arrow.ArrowInvalid as error:
            if "Empty CSV file" not in str(error):
                raise _translated(name, str(error), names, chosen, place_of) from None
        finally:
            lent = [*source.lent, weakref.ref(source)]
            del reader, source
            _given_up(lent)
    if not rows:
        raise DataError(name, None, "has a header, but no rows")


def _first_record(name: str, stream: IO[bytes], delimiter: str) -> tuple[bytes, list[str]]:
    """The bytes of the first record that is not empty, and its fields."""
    lines: list[bytes] = []

    def decoded() -> Iterator[str]:
        while line := stream.readline():
            if b"\0" in line:
                raise DataError(name, f"line {len(lines) + 1}", "is not text")
            lines.append(line)
            try:
                yield line.decode("utf-8" if len(lines) > 1 else "utf-8-sig")
            except UnicodeDecodeError:
                raise DataError(name, f"line {len(lines)}", "is not UTF-8") from None

    try:
        for fields in csv.reader(decoded(), delimiter=delimiter):
            if fields:
                return b"".join(lines).removeprefix(b"\xef\xbb\xbf"), [field.strip() for field in fields]
    except csv.Error as error:
        raise DataError(name, f"line {len(lines)}", f"cannot be read as CSV: {error}") from None
    raise DataError(name, None, "is empty")


def _has_header(name: str, fields: list[str], columns: Columns) -> bool:
    if columns.header is not None:
        return columns.header
    if columns.names is not None:
        known = set(columns.names)  # which may be numbers themselves
        return known <= set(fields) or any(field in known and objection(field) for field in fields)
    given = [column for column in (columns.label, columns.weight, *columns.drop) if column is not None]
    if any(column in fields and objection(column) for column in (LABEL, *map(str, given))):
        return True
    apart = {0} if columns.label is None else set()
    apart.update(int(column) % len(fields) for column in given if _is_number(column))
    features = [field for i, field in enumerate(fields) if i not in apart]
    texts = [field for field in features if field and objection(field) is not None]
    numbers = [field for field in features if field and objection(field) is None]
    counted = len(features) > 2 and features in (
        [str(i + first) for i in range(len(features))] for first in (0, 1)
    )
    if counted or (texts and numbers):
        found = (
            f"numbers, and {shortened(texts[0])!r}"
            if texts
            else f"the numbers {features[0]}, {features[1]}, ..."
        )
        raise FormatError(
            f"{name}, line 1: is it a header or a row? It has {found}. Say --header or --no-header"
        )
    return not numbers


def _is_number(column: object) -> bool:
    return re.fullmatch(r"-?\d+", str(column)) is not None


def _checked_names(name: str, fields: list[str]) -> list[str]:
    repeated = (
        {field for field in fields if fields.count(field) > 1} if len(set(fields)) < len(fields) else ()
    )
    if repeated:
        raise DataError(name, "line 1", f"two columns are called {min(repeated)!r}")
    return fields


def _translated(
    name: str, message: str, names: list[str], chosen: Chosen, place_of: Callable[..., Any]
) -> DataError:
    """A DataError from Arrow's message."""
    row = re.search(r"Row #(\d+)", message)
    place = place_of(int(row[1]) - 1) if row else None
    if ragged := re.search(r"Expected (\d+) columns, got (\d+)", message):
        return DataError(name, place, f"has {ragged[2]} fields where {ragged[1]} are expected")
    column = re.search(r"In CSV column #(\d+)", message)
    column = f"column {names[int(column[1])]!r} " if column else ""
    if "UTF8" in message:
        return DataError(name, place, f"{column}is not UTF-8")
    if wrong := re.search(r"invalid value '(.*)'", message, re.DOTALL):
        return DataError(
            name,
            place,
            f"{column}is {shortened(wrong[1])!r}, not a number (--drop leaves a column out)",
        )
    return DataError(name, place, message)


def _line_of(path: str, row: int, header: int, delimiter: str) -> int:
    """The line of a row: records may have several lines, and empty ones do not count."""
    if path == STANDARD_INPUT:
        return header + row + 1
    with opened(path) as stream, suppress(csv.Error):
        for _ in range(header):
            stream.readline()
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")
        reader = csv.reader(text, delimiter=delimiter)
        for fields in reader:
            row -= bool(fields)
            if row < 0:
                return header + reader.line_num
    return header + row + 1


class _Joined:
    """A stream that begins with bytes that were read already, as Arrow reads it: into buffers of its own."""

    closed = False

    def __init__(self, arrow: Any, begun: bytes, stream: IO[bytes]) -> None:
        self._arrow = arrow
        self._begun = begun
        self._stream = stream
        self.lent: list[weakref.ref[Any]] = []  # the buffers that Arrow has not given up yet

    def readable(self) -> bool:
        return True

    def read_buffer(self, size: int) -> Any:
        """Return up to ``size`` bytes, fewer only at the end."""
        begun, self._begun = self._begun[:size], self._begun[size:]
        buffer = self._arrow.allocate_buffer(size, resizable=True)
        view = memoryview(buffer).cast("B")
        view[: len(begun)] = begun
        count = len(begun)
        while count < size and (more := self._stream.readinto(view[count:])):  # type: ignore[attr-defined]
            count += more
        view.release()
        buffer.resize(count)
        self.lent = [*(known for known in self.lent if known() is not None), weakref.ref(buffer)]
        return buffer

    def close(self) -> None:
        """The caller closes the stream."""


def _given_up(lent: list[weakref.ref[Any]]) -> None:
    """Wait until Arrow's threads have given up what they were lent.

    They need Python for it, and abort a process that is ending meanwhile.
    """
    for _ in range(_TRIES):
        if all(known() is None for known in lent):
            return
        time.sleep(_MOMENT)
