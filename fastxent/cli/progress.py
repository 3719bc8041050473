"""Progress of a fit on standard error: a bar on a terminal, elsewhere a line of JSON for each iteration."""

from __future__ import annotations

import json
import math
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..typing import Callback


@contextmanager
def shown(quiet: bool, total: int | None = None) -> Iterator[Callback | None]:
    """A callback for ``fit``, or None. total: how many iterations there will be, if that is known."""
    if quiet:
        yield None
        return
    if sys.stderr.isatty():
        try:
            import rich.progress
        except ImportError:
            pass
        else:
            with _bar(rich.progress) as bar:
                task = bar.add_task("", total=total)
                yield lambda entries: bar.update(task, advance=1, description=_described(entries))
            return
    yield _line


def _line(entries: dict[str, Any]) -> None:
    found = {name: _plain(value) for name, value in entries.items()}
    with suppress(BrokenPipeError):  # a fit goes on, though nobody may watch it any more
        print(json.dumps(found), file=sys.stderr, flush=True)


def _plain(value: Any) -> Any:
    """A number for JSON, which has no NaN."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _bar(progress: Any) -> Any:
    import rich.console

    return progress.Progress(
        progress.BarColumn(),
        progress.TextColumn("{task.description}"),
        progress.TimeElapsedColumn(),
        console=rich.console.Console(stderr=True),
        transient=True,
    )


def _described(entries: Any) -> Any:
    parts = [f"iteration {entries['epoch']}", f"loss {entries['loss']:.6g}"]
    if "C" in entries:
        fold = entries["fold"]
        parts.insert(0, f"C {entries['C']:.3g}, " + ("all rows" if fold is None else f"fold {fold + 1}"))
    return "   ".join(parts)
