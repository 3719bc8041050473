"""All the ways of cutting work into ranges.

Ranges depend only on shapes, never on the number of threads, and results are combined in order: any number of threads
gives the same bits.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from .. import parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from ..typing import Array, Table


# In multiplications, see `cost`. A range smaller than the first is not worth its own thread. A kernel call stays below
# the second (some tens of milliseconds), so that Ctrl-C takes effect.
MIN_RANGE = 2_000_000
MAX_CALL = 400_000_000

_NOTHING = nullcontext()
_IN_CACHE = 1 << 15  # entries of an array
T = TypeVar("T")
_CALL = 1 << 23  # entries per kernel call: a few hundredths of a second, so that Ctrl-C takes effect


def cost(X: Table, K: int) -> int:
    """Return the cost of a product of X with K columns, in multiplications of a dense product.

    Reading X counts as 8 more columns. An entry of a sparse X costs twice as much, because of its index.
    """
    if isinstance(X, np.ndarray):
        return X.size * (K + 8)
    return (X.nnz + X.shape[0]) * (2 * K + 16)


class Ranges:
    """Consecutive ranges of 0..n, and the threads that process them.

    Parameters
    ----------
    bounds : sequence of int
        0, the borders between ranges, n.
    n_threads : int or None
    batch : int
        Ranges that a thread takes at a time: more than one if ranges are small.
    longest : int or None
        Maximum number of rows in a kernel call, see `calls`; None if ranges are short enough.
    within : context manager
        What `map` works in.

    Examples
    --------
    >>> list(Ranges.by_step(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    >>> sum(Ranges.by_count(10, 3).map(lambda some: some.stop - some.start))
    10
    """

    def __init__(
        self,
        bounds: Sequence[int],
        n_threads: int | None = None,
        batch: int = 1,
        longest: int | None = None,
        within: AbstractContextManager[Any] = _NOTHING,
    ) -> None:
        self.bounds = bounds
        self.n_threads = n_threads
        self.within = within
        self._batch = batch
        self._longest = longest

    @classmethod
    def by_step(cls, n: int, step: int, n_threads: int | None = None) -> Ranges:
        """Return ranges of length `step`; the last one may be shorter."""
        return cls([*range(0, n, max(1, step)), n], n_threads)

    @classmethod
    def by_count(cls, n: int, count: int, n_threads: int | None = None) -> Ranges:
        """Return `count` ranges of about equal length."""
        return cls([n * i // count for i in range(count + 1)], n_threads)

    @classmethod
    def by_entries(cls, n: int, entries: int) -> Ranges:
        """Return ranges of n rows with `entries` entries in total, each short enough for Ctrl-C."""
        return cls.by_step(n, n * _CALL // max(1, entries))

    @classmethod
    def in_cache(cls, shape: tuple[int, int], n_threads: int | None = None) -> Ranges:
        """Return ranges of rows that fit into cache, for arrays of this shape.

        Between two passes over wide data, solvers read dozens of arrays of the model's size, so memory limits their
        speed. A range takes about 10 microseconds, so threads take several at a time.
        """
        rows, columns = shape
        ranges = cls.by_step(rows, _IN_CACHE // columns, n_threads)
        ranges._batch = -(-len(ranges) // min(8, -(-len(ranges) // 4)))
        return ranges

    @classmethod
    def by_cost(
        cls, X: Table, count: int, block: int, n_threads: int | None = None, *, total: int | None = None
    ) -> Ranges:
        """Return `count` ranges of the rows of X of about equal cost, with borders at multiples of the block.

        total : int or None
            Cost of all rows, in multiplications; limits the length of kernel calls.
        """
        n = X.shape[0]
        longest = None if total is None else max(1, MAX_CALL // (max(1, total // n) * block)) * block
        if count == 1:
            return cls([0, n], n_threads, longest=longest)
        if isinstance(X, np.ndarray):
            bounds = [n * i // count for i in range(count)]
        else:
            before = X.indptr + np.arange(n + 1, dtype=X.indptr.dtype)
            bounds = np.searchsorted(before, before[-1] * np.arange(count) / count).tolist()
        return cls([i // block * block for i in bounds] + [n], n_threads, longest=longest)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, i: int) -> slice:
        if not 0 <= i < len(self):
            raise IndexError(i)
        return slice(self.bounds[i], self.bounds[i + 1])

    def __iter__(self) -> Iterator[slice]:
        return (self[i] for i in range(len(self)))

    def calls(self, some: slice) -> Iterator[tuple[int, int]]:
        """Yield (first, stop) for each kernel call in a range; work can be stopped between calls."""
        step = self._longest or some.stop
        for first in range(some.start, some.stop, step):
            parallel.stopping_point()
            yield first, min(first + step, some.stop)

    def map(self, task: Callable[[slice], T]) -> list[T]:
        """Return [task(range) of every range], in order."""
        with self.within:
            return self._map(task)

    def _map(self, task: Callable[[slice], T]) -> list[T]:
        if len(self.bounds) == 2:
            return [task(slice(*self.bounds))]
        batch, count = self._batch, len(self)
        if batch == 1:
            return parallel.run(lambda i: task(self[i]), count, self.n_threads)
        if count <= 4:
            return [task(some) for some in self]
        results = parallel.run(
            lambda i: [task(self[j]) for j in range(batch * i, min(batch * (i + 1), count))],
            -(-count // batch),
            self.n_threads,
        )
        return [result for some in results for result in some]

    def dot(self, a: Array, b: Array) -> float:
        """Return the inner product of two arrays."""
        return float(sum(self.map(lambda some: np.vdot(a[some], b[some]))))
