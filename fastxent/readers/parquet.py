"""Parquet, a part of a row group at a time."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from .batch import DataError, FormatError, pyarrow
from .stream import STANDARD_INPUT, opened, packing_of, shown
from .table import batch_of, choose, rows_at_a_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .batch import Batch, Columns
    from .table import Chosen


def read(path: str, columns: Columns, *, labelled: bool | None = True) -> Iterator[Batch]:
    """Yield batches of a file, X dense.

    Parameters
    ----------
    path : str
        A file, or '-' for standard input. Packed files and standard input are held in memory as a whole.
    columns : Columns
        If it does not know any features yet, it learns those of this file.
    labelled : bool or None
        Whether there must be a column of labels; with None, there may be one.
    """
    name = shown(path)
    arrow = pyarrow(f"reading {name}")
    import pyarrow.parquet as pq

    source = path
    if path == STANDARD_INPUT or packing_of(path):
        with opened(path) as stream:
            source = io.BytesIO(stream.read())
    try:
        with pq.ParquetFile(source) as file:
            schema = file.schema_arrow
            chosen = choose(name, schema.names, len(schema.names), columns, labelled)
            _check_types(name, arrow, schema, chosen)
            names = [schema.names[i] for i in chosen.all]
            rows = 0
            for batch in file.iter_batches(rows_at_a_time(len(names)), columns=names, use_threads=False):
                batch = batch.select(names)
                yield batch_of(name, batch, chosen, lambda i, rows=rows: f"row {rows + i + 1}")
                rows += batch.num_rows
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(name, None, f"cannot be read as Parquet: {error}") from None
    if not rows:
        raise DataError(name, None, "has no rows")


def _check_types(name: str, arrow: Any, schema: Any, chosen: Chosen) -> None:
    is_of = arrow.types
    for i in chosen.all:
        field = schema.field(i)
        if i == chosen.label:
            kind = field.type.value_type if is_of.is_dictionary(field.type) else field.type
            if is_of.is_nested(kind):
                raise FormatError(f"{name}: the column {field.name!r} of labels holds {kind}")
        elif not (
            is_of.is_floating(field.type)
            or is_of.is_integer(field.type)
            or is_of.is_boolean(field.type)
            or is_of.is_decimal(field.type)
        ):
            raise FormatError(
                f"{name}: column {field.name!r} holds {field.type}, not numbers; --drop leaves a column out"
            )
