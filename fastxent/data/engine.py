"""What all engines have in common."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from ..parallel import ordered_sum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from ..loss import Part


class Engine:
    """Visits the parts of a data set.

    Attributes
    ----------
    local : Part or None
        The part if there is only one and it is in memory, for solvers that need single rows or columns.
    """

    local: Part | None = None

    def each(
        self, method: str, *arguments: Any, by_part: Sequence[tuple[Any, ...]] | None = None
    ) -> Iterator[Any]:
        """Yield part.method(*arguments) of every part, in order.

        by_part : sequence of tuples, further arguments for each part.
        """
        raise NotImplementedError

    def sum(
        self,
        method: str,
        *arguments: Any,
        by_part: Sequence[tuple[Any, ...]] | None = None,
        add: Callable[[Any, Any], Any] = operator.add,
    ) -> Any:
        """Return the sum of what `each` yields, along the tree of `ordered_sum`; ``add(a, b)`` may overwrite a."""
        return ordered_sum(self.each(method, *arguments, by_part=by_part), add)
