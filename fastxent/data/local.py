"""The engine for parts in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from ..loss import Part


class Local(Engine):
    """Parts in memory, visited in order; each part uses the threads inside.

    Parameters
    ----------
    parts : sequence of Part
    """

    local: Part | None

    def __init__(self, parts: Iterable[Part]) -> None:
        self._parts = tuple(parts)
        self.local = self._parts[0] if len(self._parts) == 1 else None

    def each(
        self, method: str, *arguments: Any, by_part: Sequence[tuple[Any, ...]] | None = None
    ) -> Iterator[Any]:
        for i, part in enumerate(self._parts):
            yield getattr(part, method)(*arguments, *(() if by_part is None else by_part[i]))
