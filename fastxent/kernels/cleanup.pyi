from types import TracebackType

from typing_extensions import disjoint_base

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
