"""Loss, gradient and Hessian product of a model so wide that all threads share one gradient.

Blocks of rows are taken in turn. In each block, the threads share out the classes for the logits and for the
gradient, and the rows for the softmax. The shares never depend on the number of threads.
"""

from . import parallel
from .blas import for_products
from .data.ranges import Ranges
from .data.rows import bind

_ROWS = 12  # of a block, whose softmax one thread takes at a time


class WideModel:
    """Rows X with their targets under K columns of weights, in the kernels' layout that is theta itself.

    Parameters
    ----------
    X : ndarray (n, d)
    targets : Targets
    K : int
    n_threads : int or None
    """

    def __init__(self, X, targets, K, n_threads):
        self._rows = rows = bind(X, K, targets, shared=True)
        self._n_threads = n_threads
        self._products = for_products(rows)
        step = max(1, K // (32 * rows.panel)) * rows.panel
        self._classes = Ranges.by_step(K, step, n_threads)
        self._blocks = Ranges.by_step(X.shape[0], rows.block)
        self._x, self._z, self._scratch = (
            parallel.Buffers(size, X.dtype) for size in (rows.x_size, rows.z_size, rows.scratch_size)
        )

    def loss(self, weights, gradient=None, row_losses=None):
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

    def hessp(self, weights, direction, gradient):
        """Add the Hessian at `weights` times `direction` to `gradient`."""
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

    def _open(self, block, x):
        count = block.stop - block.start
        self._rows.open_block(block.start, 0, count, x)
        return block.start, count

    def _logits(self, x, count, weights, z):
        self._over(
            self._classes,
            lambda k0, k1, scratch: self._rows.block_logits(x, count, weights, z, k0, k1, scratch),
        )

    def _add_gradient(self, x, count, q, gradient):
        self._over(
            self._classes,
            lambda k0, k1, scratch: self._rows.block_gradient(x, count, q, gradient, k0, k1, scratch),
        )

    def _over_rows(self, count, task):
        return self._over(Ranges.by_step(count, _ROWS, self._n_threads), task)

    def _over(self, ranges, task):
        """Return task(first, stop, scratch) of every range, in order."""

        def with_scratch(some):
            scratch = self._scratch.take()
            result = task(some.start, some.stop, scratch)
            self._scratch.give(scratch)
            return result

        with self._products:
            return ranges.map(with_scratch)
