"""Tiles of CSR rows, strips of rows times blocks of columns, for many passes over the same rows.

The passes take less time and give the same bits (kernels/tiles.pxi). Making the tiles takes about half as long as a
pass, and they take as much memory as the rows.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from .. import parallel
from .ranges import Ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..kernels import LinearSoftmax
    from ..typing import Array, Table


PASSES = 2  # after so many, a Part makes tiles: more passes are usually many more

_LENGTH = 3  # entries of a row in a tile, in the mean, from which tiles take less time than rows
_AHEAD = 64  # MOST_AHEAD of kernels/products.pxi: the kernels look so far beyond the end


def use_tiles(
    view: LinearSoftmax, X: Table, calls: Sequence[tuple[int, int]], n_threads: int | None
) -> Array | None:
    """Make the kernels' view of CSR X take its rows by tiles in these calls, unless this is not faster.

    Return how many entries there are in each block of columns, or None.

    calls : sequence of (int, int)
        The ranges of all rows, in order, that the kernels will be called with.
    """
    blocks, stored = view.column_blocks, int(X.indptr[-1])
    if blocks < 2:  # all weights fit the cache
        return None
    strips = (range(first, stop, view.strip_rows) for first, stop in calls)
    bounds = np.fromiter(chain(chain.from_iterable(strips), [view.n]), np.int64)
    count = len(bounds) - 1
    if stored < _LENGTH * count * blocks:
        return None
    scratch = parallel.Buffers(3 * blocks, np.dtype(np.int64))
    counts = np.empty((count, blocks), np.int64)

    def count_segments(some: slice) -> bool:
        buffer = scratch.take()
        ascending = view.count_segments(bounds, some.start, some.stop, buffer, counts)
        scratch.give(buffer)
        return ascending

    by_strip = Ranges.by_step(count, 1, n_threads)
    ascending = all(by_strip.map(count_segments))
    tiles = np.concatenate([[0], np.cumsum(counts)])
    segments = int(tiles[-1])
    if stored < _LENGTH * segments:
        return None
    row, first = np.empty(segments, np.uint16), np.full(segments + 1, stored, np.int64)
    indices, values = np.zeros(stored + _AHEAD, X.indices.dtype), np.empty(stored, X.dtype)

    def fill_segments(some: slice) -> None:
        buffer = scratch.take()
        view.fill_segments(bounds, some.start, some.stop, buffer, tiles, (row, first, indices, values))
        scratch.give(buffer)

    by_strip.map(fill_segments)
    view.use_tiles(bounds, tiles, (row, first, indices, values), ascending)
    of_tiles: Array = np.diff(first[tiles])
    return of_tiles.reshape(count, blocks).sum(axis=0)
