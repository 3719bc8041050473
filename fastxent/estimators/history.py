"""The history of a training in pieces, which must not grow with their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from ..typing import Array


MOST = 128  # entries that partial_fit keeps


def extended(history: Any, entry: dict[str, float]) -> dict[str, Array]:
    """Return a history with one more entry, and without an old one if there were already ``MOST``.

    The first and the last always stay. Of the others, the one with the closest neighbours is dropped. So the distances
    are even within a factor of two, and a curve through the entries shows the whole training.

    Parameters
    ----------
    history : dict of ndarray
        Columns of equal length, ``epoch`` and ``seconds`` among them. Any other object counts as no history.
    entry : dict
        The new entry; its ``epoch`` is ignored, and its ``seconds`` are its duration. Where a column has no
        value, here or before, there is NaN.
    """
    columns: dict[str, Any] = {}
    if not _is_history(history):
        history = {"epoch": np.zeros(0, int), "seconds": np.zeros(0)}
    count = len(history["epoch"])
    last = {name: history[name][-1] if count else 0 for name in ("epoch", "seconds")}
    entry = entry | {"epoch": int(last["epoch"]) + 1, "seconds": last["seconds"] + entry["seconds"]}
    for name in (*entry, *(name for name in history if name not in entry)):
        before = history[name] if name in history else np.full(count, np.nan)
        columns[name] = np.append(before, entry.get(name, np.nan))
    if count < MOST:
        return columns
    if count == MOST:
        epoch = columns["epoch"]
        kept = np.arange(count + 1) != 1 + np.argmin(epoch[2:] - epoch[:-2])
    else:
        kept = np.linspace(0, count, MOST).round().astype(int)
    return {name: values[kept] for name, values in columns.items()}


def _is_history(history: object) -> bool:
    """Tell whether this is a history as `extended` makes it; users may have replaced it."""
    if not isinstance(history, dict) or not {"epoch", "seconds"} <= history.keys():
        return False
    columns = history.values()
    return (
        all(
            isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "fi"
            for values in columns
        )
        and len({len(values) for values in columns}) == 1
        and history["epoch"].dtype.kind == "i"
    )
