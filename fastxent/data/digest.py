"""Digests of arrays, which tell whether data are the same as before."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .. import parallel
from .ranges import Ranges

if TYPE_CHECKING:
    from typing import Any

    from ..typing import Array


_PIECE = 1 << 22  # bytes that a thread hashes at a time


def digest(*items: Any, n_threads: int | None = 1) -> str:
    """Return a hexadecimal digest of arrays and plain values: of values, shapes and dtypes, whatever the layout."""
    whole = hashlib.sha256()
    for item in items:
        if not isinstance(item, np.ndarray):
            whole.update(repr(item).encode())
            continue
        whole.update(repr((item.dtype.str, item.shape)).encode())
        rows = np.atleast_1d(item)
        step = _PIECE * len(rows) // max(1, rows.nbytes)
        pieces = Ranges.by_step(len(rows), max(1, step), n_threads)
        for part in pieces.map(partial(_of_piece, rows)):
            whole.update(part)
    return whole.hexdigest()


def _of_piece(rows: Array, some: slice) -> bytes:
    parallel.stopping_point()
    raw: Any = np.ascontiguousarray(rows[some]).reshape(-1).view(np.uint8)  # a buffer, see container.py
    return hashlib.sha256(raw).digest()
