"""The engine for batches, with one in memory at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from ..loss import Part


class Streamed(Engine):
    """Parts made from batches, one at a time: the memory of one batch is enough.

    Parameters
    ----------
    batches : iterable of tuples (X, y) or (X, y, weight)
        Iterated over in every pass; it must yield the same batches in the same order.
    bind : callable
        ``bind(X, y, weight)`` returns the Part of a batch; weight is None if the batch has none.
    """

    def __init__(self, batches: Iterable[tuple[Any, ...]], bind: Callable[[Any, Any, Any], Part]) -> None:
        refuse_single_pass(batches, "batches")
        self._batches, self._bind = batches, bind

    def each(
        self, method: str, *arguments: Any, by_part: Sequence[tuple[Any, ...]] | None = None
    ) -> Iterator[Any]:
        for i, (X, y, *weight) in enumerate(self._batches):
            part = self._bind(X, y, *(weight or (None,)))
            yield getattr(part, method)(*arguments, *(() if by_part is None else by_part[i]))


def refuse_single_pass(batches: Iterable[Any], name: str) -> None:
    """Refuse what is used up after one pass, such as a generator."""
    if iter(batches) is batches:
        raise TypeError(
            f"{name} must be an iterable that can be gone through again and again, such as a list, or an object whose "
            f"__iter__ begins anew; got {type(batches).__name__}, which is used up after one pass."
        )
