"""How fast a fit over a source goes on, and how long it will take: what ``verbose`` tells of it."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from ..log import tell

if TYPE_CHECKING:
    from typing import Any


_SECONDS = 10.0  # between two lines about a pass


class Pass:
    """Tells every ten seconds how far a pass is. n_rows: of the whole pass, or None if that is not known yet."""

    def __init__(self, n_rows: int | None = None) -> None:
        self._n_rows, self._rows = n_rows, 0
        self._began = self._told = time.perf_counter()

    def add(self, rows: int) -> None:
        """Count rows that were read."""
        self._rows += rows
        now = time.perf_counter()
        if now - self._told < _SECONDS:
            return
        self._told = now
        rate = self._rows / (now - self._began)
        if self._n_rows is None:
            tell(f"first pass   {self._rows:,} rows   {rate:.3g} rows/s")
        else:
            left = (self._n_rows - self._rows) / rate
            tell(f"pass   {self._rows:,} of {self._n_rows:,} rows   {rate:.3g} rows/s   {lasting(left)} left")


def of_run(history: Any, n_rows: int, tol: float) -> Any:
    """Return the end of a line about an iteration of a solver."""
    seconds, passes = history["seconds"][-1], history["passes"][-1]
    left = time_left(history, tol)
    return f"   {passes:g} passes, {n_rows * passes / max(seconds, 1e-9):.3g} rows/s" + (
        "" if left is None else f", about {lasting(left)} left"
    )


def of_epochs(history: Any, n_rows: int, max_iter: int) -> Any:
    """Return the end of a line about an epoch of stochastic descent."""
    epochs, seconds = history["epoch"][-1], max(history["seconds"][-1], 1e-9)
    left = (max_iter - epochs) * seconds / epochs
    return f"   {n_rows * epochs / seconds:.3g} rows/s, at most {lasting(left)} left"


def time_left(history: Any, tol: float) -> Any:
    """Return the seconds until a run is as near to its optimum as tol asks, at the rate of its later half.

    None if that cannot be told: the distance does not fall, or is not known. For solvers with scikit-learn's names the
    distance is the largest entry of the gradient.
    """
    if history.solver == "metric":
        distances = [gap / abs(loss) for gap, loss in zip(history["gap"], history["loss"], strict=True)]
    else:
        distances = history["grad_norm"]
    points = [
        (at, math.log(distance / tol))
        for at, distance in zip(history["seconds"], distances, strict=True)
        if tol > 0 and distance > 0
    ]
    if len(points) < 2:
        return None
    (first, before), (last, now) = points[(len(points) - 1) // 2], points[-1]
    if not now < before:
        return None
    return max(0.0, last + now * (last - first) / (before - now) - history["seconds"][-1])


def lasting(seconds: Any) -> Any:
    """Return a time in words."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
