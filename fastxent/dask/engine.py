"""The engine for parts on Dask's workers: the work goes to where they lie, one task for each worker and pass."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from ..data.engine import Engine
from ..loss import Part
from ..parallel import SumTree
from . import worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from .parts import Portions
    from .worker import Binding, Item


class Distributed(Engine):
    """Parts on workers. Results have the bits of the same parts in memory, wherever they lie.

    Parameters
    ----------
    portions : parts.Portions
    items : list of worker.Item
        The parts, in order. Those without rows of positive weight are left out.
    binding : worker.Binding
    """

    def __init__(self, portions: Portions, items: list[Item], binding: Binding) -> None:
        self._portions, self._binding = portions, binding
        self._n_threads = portions.cluster.threads_here(binding.n_threads)
        self._items = _numbered(items)
        facts = list(self._results("facts", (), None))
        self._items = _numbered(
            [item for item, one in zip(self._items, facts, strict=True) if one is not None]
        )
        self._facts = [one._replace(n_threads=self._n_threads) for one in facts if one is not None]

    def each(self, method: str, *arguments: Any, by_part: Sequence[tuple[Any, ...]] | None = None) -> Any:
        if method == "facts":
            return iter(self._facts)
        return self._results(method, arguments, by_part)

    def sum(
        self,
        method: str,
        *arguments: Any,
        by_part: Sequence[tuple[Any, ...]] | None = None,
        add: Callable[..., Any] = operator.add,
    ) -> Any:
        tree = SumTree(add)
        for sums in self._found(method, arguments, by_part, add):
            for (level, place), value in sums.items():
                tree.put(value, place, level)
        return tree.total()

    def _results(
        self, method: str, arguments: tuple[Any, ...], by_part: Sequence[tuple[Any, ...]] | None
    ) -> Iterator[Any]:
        found = {}
        for some in self._found(method, arguments, by_part, None):
            found.update(some)
        for item in self._items:
            yield self._here(found.pop(item.place))

    def _found(
        self,
        method: str,
        arguments: tuple[Any, ...],
        by_part: Sequence[tuple[Any, ...]] | None,
        add: Callable[..., Any] | None,
    ) -> Iterator[Any]:
        items = self._items
        if by_part is not None:
            items = [item._replace(more=by_part[item.place]) for item in items]
        return self._portions.visit(
            worker.Call(self._portions.cluster.fit, method, self._binding, add), arguments, items
        )

    def _here(self, result: Any) -> Any:
        """A result for this process: a part has the threads that it may have here."""
        n_threads = self._n_threads
        if not isinstance(result, Part) or n_threads is None:
            return result
        return Part(
            result.X, result.targets, result.K, fit_intercept=result.fit_intercept, n_threads=n_threads
        )


def _numbered(items: list[Item]) -> list[Item]:
    return [item._replace(place=place) for place, item in enumerate(items)]
