"""Functions of the rows of an array of logits, spread over threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import kernels, parallel

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .data.targets import Targets
    from .typing import Array


# Logits in one piece of work: enough to pay for another thread, in a whole number of the kernels' blocks of rows.
MIN_PIECE = 200_000
BLOCK = 64
MAX_PIECE = 10_000_000


def softmax_rows(logits: Array, out: Array, kind: str, n_threads: int | None = None) -> None:
    """Write softmax, log_softmax, logsumexp (out: (n,)) or sigmoid of the rows of logits (n, K), C order, into out."""
    K = logits.shape[1]

    def call(first: int, stop: int, scratch: Array) -> None:
        kernels.output_logits(logits, out, kernels.KINDS[kind], K, first, stop, scratch)

    _over_rows(call, logits, n_threads)


def cross_entropy_rows(
    logits: Array,
    targets: Targets,
    row_loss: Array | None,
    grad: Array | None,
    scale: float = 1.0,
    n_threads: int | None = None,
) -> float:
    """Return sum_i s_i loss_i of logits (n, K).

    Unless they are None, row_loss (n,) becomes s_i loss_i, and grad (n, K) becomes s_i * scale * dloss_i/dlogits. Soft
    labels have the dtype of the logits; rows of weight 0 get exact zeros.
    """

    def call(first: int, stop: int, scratch: Array) -> float:
        return kernels.loss_logits(logits, targets, first, stop, scratch, row_loss, grad, scale)

    return sum(_over_rows(call, logits, n_threads))


def _over_rows(call: Callable[[int, int, Array], Any], logits: Array, n_threads: int | None) -> list[Any]:
    """Return call(first, stop, scratch) over fixed ranges of rows, in order."""
    n, K = logits.shape
    step = max(BLOCK, min(max(MIN_PIECE, logits.size // 32), MAX_PIECE) // K // BLOCK * BLOCK)
    if n <= step:
        parallel.stopping_point()
        return [call(0, n, parallel.zeros(kernels.logits_scratch_size(K), logits.dtype))]
    scratch = parallel.Buffers(kernels.logits_scratch_size(K), logits.dtype)

    def task(i: int) -> Any:
        buffer = scratch.take()
        result = call(i * step, min((i + 1) * step, n), buffer)
        scratch.give(buffer)
        return result

    return parallel.run(task, -(-n // step), n_threads)
