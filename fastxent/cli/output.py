"""Where results go: to standard output, or atomically to a file."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastxent.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


@contextmanager
def results(path: str | None) -> Iterator[Any]:
    """A stream for text. path: None is standard output."""
    if path is None:
        yield sys.stdout
    elif os.path.exists(path) and not os.path.isfile(path):  # a device or a pipe cannot be replaced
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            yield file
    else:
        with replacing(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="\n", write_through=True)
            yield text
            text.detach()
