"""The engine for parts in memory."""

from .engine import Engine


class Local(Engine):
    """Parts in memory, visited in order; each part uses the threads inside.

    Parameters
    ----------
    parts : sequence of Part
    """

    def __init__(self, parts):
        self._parts = tuple(parts)
        self.local = self._parts[0] if len(self._parts) == 1 else None

    def each(self, method, *arguments, by_part=None):
        for i, part in enumerate(self._parts):
            yield getattr(part, method)(*arguments, *(() if by_part is None else by_part[i]))
