"""What all engines have in common."""

import operator

from ..parallel import ordered_sum


class Engine:
    """Visits the parts of a data set.

    Attributes
    ----------
    local : Part or None
        The part if there is only one and it is in memory, for solvers that need single rows or columns.
    """

    local = None

    def each(self, method, *arguments, by_part=None):
        """Yield part.method(*arguments) of every part, in order.

        by_part : sequence of tuples, further arguments for each part.
        """
        raise NotImplementedError

    def sum(self, method, *arguments, by_part=None, add=operator.add):
        """Return the sum of what `each` yields, along the tree of `ordered_sum`; ``add(a, b)`` may overwrite a."""
        return ordered_sum(self.each(method, *arguments, by_part=by_part), add)
