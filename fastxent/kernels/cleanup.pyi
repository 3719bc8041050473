from collections.abc import Callable
from threading import RLock
from types import TracebackType
from typing import TypeVar

from typing_extensions import disjoint_base

_T = TypeVar("_T")

def locked(lock: RLock, function: Callable[[], _T]) -> _T: ...

@disjoint_base
class Cleanup:
    @property
    def _inside(self) -> dict[int, int]: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
