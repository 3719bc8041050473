"""The engine of parts in this process's memory."""


class Local:
    """Parts in memory, in order; the threads are inside each.

    Parameters
    ----------
    parts : sequence of Part

    Attributes
    ----------
    local : Part or None
        The only part, if there is just one, for solvers that need single rows or columns.
    """

    def __init__(self, parts):
        self._parts = tuple(parts)
        self.local = self._parts[0] if len(self._parts) == 1 else None

    def each(self, method, *arguments, by_part=None):
        """Yield part.method(*arguments) of every part, in order.

        by_part : sequence of tuples, further arguments of each part.
        """
        for i, part in enumerate(self._parts):
            yield getattr(part, method)(*arguments, *(() if by_part is None else by_part[i]))
