"""The engine for parts in memory."""


class Local:
    """Parts in memory, visited in order; each part uses the threads inside.

    Parameters
    ----------
    parts : sequence of Part

    Attributes
    ----------
    local : Part or None
        The part if there is only one, for solvers that need single rows or columns.
    """

    def __init__(self, parts):
        self._parts = tuple(parts)
        self.local = self._parts[0] if len(self._parts) == 1 else None

    def each(self, method, *arguments, by_part=None):
        """Yield part.method(*arguments) of every part, in order.

        by_part : sequence of tuples, further arguments for each part.
        """
        for i, part in enumerate(self._parts):
            yield getattr(part, method)(*arguments, *(() if by_part is None else by_part[i]))
