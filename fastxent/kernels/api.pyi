from typing import Final

version: Final[int]
