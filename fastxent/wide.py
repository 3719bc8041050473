"""Loss, gradient and Hessian product of a model so wide that all threads share one gradient.

Rows are taken some at a time. Their softmax is divided among the threads by rows, their gradient by classes, or by
columns (data/tiles.py). So every entry of the gradient is a sum over the rows in order, whatever the number of
threads. Dual ascent uses the same for functions of rows of its own (`over_rows`, `over_classes`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import parallel
from .blas import for_products
from .data.ranges import Ranges
from .data.rows import bind
from .data.tiles import use_tiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .data.targets import Targets
    from .typing import Array, Table


_ROWS = 12  # of a block, whose softmax one thread takes at a time
# Bytes of dL/dz of the sparse rows that are taken at a time: what does not fit the second-level cache is in the third.
_KEPT = 1 << 22
_STRIPS = 4  # at least so many strips are taken at a time: the more, the longer a block of the gradient stays in cache
_UNEVEN = (
    1.5  # times a thread's share of the entries may lie in one block of columns, or classes are shared out
)
_STEPS = 16  # of the sparse rows that are taken at a time, in each of which a thread finds dL/dz


def wide_model(X: Table, targets: Targets, K: int, n_threads: int | None) -> WideSparseModel | WideModel:
    """Return the model for X, dense or CSR; the weights are in the layout of `bind(X, K, targets)`."""
    return (WideModel if isinstance(X, np.ndarray) else WideSparseModel)(X, targets, K, n_threads)


class WideSparseModel:
    """CSR rows X with their targets under K > 1 columns of weights, in the kernels' layout.

    Parameters
    ----------
    X : CSR matrix (n, d)
    targets : Targets
    K : int
    n_threads : int or None
    """

    def __init__(self, X: Table, targets: Targets, K: int, n_threads: int | None) -> None:
        self._rows = rows = bind(X, K, targets)
        self._X, self._n_threads = X, n_threads
        shares = n_threads or parallel.available_threads()
        if rows.strip_rows:
            self._step, blocks = rows.strip_rows, max(shares, _STRIPS) * rows.strip_rows // rows.block
        else:
            blocks = max(_STEPS, _KEPT // (rows.z_size * X.dtype.itemsize))
            self._step = -(-blocks // _STEPS) * rows.block
        self._chunks = Ranges.by_step(X.shape[0], blocks * rows.block)
        self._kept = parallel.Buffers(blocks * rows.z_size, X.dtype)
        self._scratch = parallel.Buffers(rows.scratch_size, X.dtype)
        self._by_block: Ranges | None = None

    def use_tiles(self) -> None:
        """Take rows by tiles in the passes to come, where this is faster."""
        rows, step = self._rows, self._step
        calls = [
            (i, min(i + step, chunk.stop))
            for chunk in self._chunks
            for i in range(chunk.start, chunk.stop, step)
        ]
        entries = use_tiles(rows, self._X, calls, self._n_threads)
        if entries is not None:
            self._scratch = parallel.Buffers(rows.scratch_size, self._X.dtype)
            shares = self._n_threads or parallel.available_threads()
            if entries.max() * shares <= _UNEVEN * entries.sum():
                self._by_block = Ranges.by_step(rows.column_blocks, 1, self._n_threads)

    def loss(
        self, weights: Array, gradient: Array | None = None, row_losses: Array | None = None
    ) -> list[float]:
        """Return sums of s_i loss_i over ranges of rows, in order, and add their gradient to `gradient`."""

        def find(first: int, stop: int, scratch: Array, kept: Array | None) -> float:
            if kept is None:
                return self._rows.loss(weights, scratch, first, stop, None, row_losses)
            return self._rows.keep_loss(weights, scratch, first, stop, kept, row_losses)

        return self.over_rows(find, gradient)

    def hessp(
        self, weights: Array | None, direction: Array, gradient: Array, store: Array | None = None
    ) -> None:
        """Add the Hessian at `weights` times `direction` to `gradient`. store: see LinearSoftmax.hessian."""

        def find(first: int, stop: int, scratch: Array, kept: Array) -> None:
            self._rows.keep_hessp(weights, direction, scratch, first, stop, kept, store)

        self.over_rows(find, gradient)

    def over_rows(self, find: Callable[[int, int, Array, Any], Any], gradient: Array | None) -> list[Any]:
        """Return what find(first, stop, scratch, kept) returns for ranges of rows, in order.

        What it keeps, in the layout of LinearSoftmax.keep_loss, is added to the gradient; kept is None if that is.
        """
        found, kept = [], self._kept.take() if gradient is not None else None
        for chunk in self._chunks:
            found += self._find(find, chunk, kept)
            if kept is not None and gradient is not None:
                self._add(chunk, kept, gradient)
        if kept is not None:
            self._kept.give(kept)
        return found

    def _find(
        self, find: Callable[[int, int, Array, Any], Any], chunk: slice, kept: Array | None
    ) -> list[Any]:
        size, block = self._rows.z_size, self._rows.block

        def task(some: slice) -> Any:
            scratch, first = self._scratch.take(), chunk.start + some.start
            own = None if kept is None else kept[some.start // block * size :]
            result = find(first, chunk.start + some.stop, scratch, own)
            self._scratch.give(scratch)
            return result

        return Ranges.by_step(chunk.stop - chunk.start, self._step, self._n_threads).map(task)

    def _add(self, chunk: slice, kept: Array, gradient: Array) -> None:
        def of_classes(k0: int, k1: int, scratch: Array) -> None:
            self._rows.add_kept(kept, scratch, chunk.start, chunk.stop, gradient, k0, k1)

        def of_columns(b0: int, b1: int, scratch: Array) -> None:
            self._rows.add_kept_strips(kept, scratch, chunk.start, chunk.stop, gradient, b0, b1)

        if self._by_block is None:
            self.over_classes(of_classes)
        else:
            self._share(self._by_block, of_columns)

    def over_classes(self, add: Callable[..., Any]) -> None:
        """Call add(k0, k1, scratch) for each thread's share of the classes.

        All additions to one class are in the order of the rows, whatever the shares.
        """
        K, lanes = self._rows.K, self._rows.panel // 4
        shares = self._n_threads or parallel.available_threads()
        registers = -(-K // lanes)
        self._share(Ranges.by_step(K, -(-registers // min(registers, shares)) * lanes, self._n_threads), add)

    def _share(self, ranges: Ranges, add: Callable[..., Any]) -> None:
        """Call add(first, stop, scratch) for each range."""

        def task(some: slice) -> None:
            scratch = self._scratch.take()
            add(some.start, some.stop, scratch)
            self._scratch.give(scratch)

        ranges.map(task)


class WideModel:
    """Dense rows X with their targets under K columns of weights, in the kernels' layout that is theta itself.

    Parameters
    ----------
    X : ndarray (n, d)
    targets : Targets
    K : int
    n_threads : int or None
    """

    def __init__(self, X: Table, targets: Targets, K: int, n_threads: int | None) -> None:
        self._rows = rows = bind(X, K, targets, shared=True)
        self._n_threads = n_threads
        self._products = for_products(rows)
        step = max(1, K // (32 * rows.panel)) * rows.panel
        self._classes = Ranges.by_step(K, step, n_threads)
        self._blocks = Ranges.by_step(X.shape[0], rows.block)
        self._x, self._z, self._scratch = (
            parallel.Buffers(size, X.dtype) for size in (rows.x_size, rows.z_size, rows.scratch_size)
        )

    def loss(
        self, weights: Array, gradient: Array | None = None, row_losses: Array | None = None
    ) -> list[float]:
        """Return sums of s_i loss_i over ranges of rows, in order, and add their gradient to `gradient`."""
        x, z, losses = self._x.take(), self._z.take(), []
        for block in self._blocks:
            first, count = self._open(block, x)
            self._logits(x, count, weights, z)
            losses += self._over_rows(
                count,
                lambda a, b, scratch, first=first: self._rows.block_loss(
                    first, a, b, z, gradient is not None, scratch, row_losses
                ),
            )
            if gradient is not None:
                self._add_gradient(x, count, z, gradient)
        self._x.give(x)
        self._z.give(z)
        return losses

    def hessp(self, weights: Any, direction: Array, gradient: Array, store: Array | None = None) -> None:
        """Add the Hessian at `weights` times `direction` to `gradient`. Nothing is stored between products."""
        x, z, a = self._x.take(), self._z.take(), self._z.take()
        for block in self._blocks:
            first, count = self._open(block, x)
            self._logits(x, count, weights, z)
            self._logits(x, count, direction, a)
            self._over_rows(
                count,
                lambda start, stop, scratch, first=first: self._rows.block_hessian(
                    first, start, stop, z, a, scratch
                ),
            )
            self._add_gradient(x, count, a, gradient)
        self._x.give(x)
        self._z.give(z)
        self._z.give(a)

    def _open(self, block: slice, x: Array) -> tuple[int, int]:
        count = block.stop - block.start
        self._rows.open_block(block.start, 0, count, x)
        return block.start, count

    def _logits(self, x: Array, count: int, weights: Array, z: Array) -> None:
        self._over(
            self._classes,
            lambda k0, k1, scratch: self._rows.block_logits(x, count, weights, z, k0, k1, scratch),
        )

    def _add_gradient(self, x: Array, count: int, q: Array, gradient: Array) -> None:
        self._over(
            self._classes,
            lambda k0, k1, scratch: self._rows.block_gradient(x, count, q, gradient, k0, k1, scratch),
        )

    def _over_rows(self, count: int, task: Callable[..., Any]) -> list[Any]:
        return self._over(Ranges.by_step(count, _ROWS, self._n_threads), task)

    def _over(self, ranges: Ranges, task: Callable[..., Any]) -> list[Any]:
        """Return task(first, stop, scratch) of every range, in order."""

        def with_scratch(some: slice) -> Any:
            scratch = self._scratch.take()
            result = task(some.start, some.stop, scratch)
            self._scratch.give(scratch)
            return result

        with self._products:
            return ranges.map(with_scratch)
