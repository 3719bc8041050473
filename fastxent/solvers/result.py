"""The result of a solver, and the history that it records."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import finfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..objective import Objective
    from ..typing import Array


class History(dict[str, list[Any]]):
    """Lists by iteration. ``solver`` ran last; ``predecessor`` is one that handed over to it, if any."""

    solver: str

    def __init__(self, solver: Any) -> None:
        super().__init__(epoch=[], loss=[], grad_norm=[], gap=[], seconds=[], passes=[])
        self.solver = solver
        self.predecessor: str | None = None

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        lists = {name: values.copy() for name, values in self.items()}
        return {"lists": lists, "solver": self.solver, "predecessor": self.predecessor}

    def restore(self, state: dict[str, Any]) -> None:
        """Become the history of that state; the lists stay the same objects."""
        for name, values in state["lists"].items():
            self.setdefault(name, [])[:] = values
        self.solver, self.predecessor = state["solver"], state["predecessor"]

    def latest(self) -> dict[str, float]:
        """Return the last entries by name; for ``gap``, which is added after an iteration, the last known one."""
        known = (gap for gap in reversed(self["gap"]) if not math.isnan(gap))
        return {name: values[-1] for name, values in self.items()} | {"gap": next(known, math.nan)}


@dataclass
class Result:
    """The outcome of ``solve(objective, theta0, *, tol, max_iter, callback=None)``.

    Attributes
    ----------
    theta : ndarray of shape (d + 1, K), float64
        The best parameters found, the intercept as last row.
    value : float
        The penalised objective F(theta).
    grad_norm : float
        The largest entry, in absolute value, of the gradient of F (with an L1 penalty: of the subgradient of
        least norm). It is zero only at the optimum.
    n_iter : int
        Number of iterations.
    converged : bool
        Whether ``theta`` is the optimum to the required accuracy, or as near as floating point allows.
    reason : str
        Why the solver stopped, in words.
    history : History, a dict of lists
        ``epoch``, ``loss`` (F), ``grad_norm``, ``gap`` (the bound or estimate of F - F*; nan if there was none),
        ``seconds``, ``passes``: one entry for the start, one per iteration.
    """

    theta: np.ndarray
    value: float
    grad_norm: float
    n_iter: int
    converged: bool
    reason: str
    history: History = field(repr=False)

    @property
    def solver(self) -> str:
        """The name of the solver that ended the run."""
        return self.history.solver

    def state(self) -> dict[str, Any]:
        """Return what `from_state` makes the same result of."""
        return dict(vars(self), history=self.history.state())

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Result:
        history = History(None)
        history.restore(state["history"])
        return cls(**{**state, "history": history})


class Recorder:
    """Records the history of a run and calls the callback after each iteration.

    ``callback(theta, history)`` gets the current parameters, which it must not change, and the history so far; it ends
    the run by returning True. ``solver`` is the name of the solver that runs. ``checkpoint`` is a
    `fastxent.checkpoint.Session`, or None.
    """

    history: History

    def __init__(
        self, objective: Objective, callback: Callable[..., Any] | None, solver: str, checkpoint: Any = None
    ) -> None:
        self.history = History(solver)
        self._objective = objective
        self._callback = callback
        self._checkpoint = checkpoint
        self._kept = None if checkpoint is None else checkpoint.state
        self._start_time = perf_counter()
        self._start_passes = objective.passes

    def resumed(self) -> Any:
        """Return the state that `keep` kept last if the run was interrupted, and take up its history; else None."""
        if self._kept is not None:
            self.history.restore(self._kept["history"])
        return self._kept

    @property
    def begun(self) -> int:
        """The number of iterations that are recorded."""
        return len(self.history["epoch"])

    def keep(self, **state: Any) -> None:
        """Keep what an iteration begins with. Its values may be objects that have a method ``state``."""
        if self._checkpoint is None:
            return
        if self._kept is not None:  # now everything is as it was there
            self._start_time -= self._kept["seconds"]
            self._start_passes, self._objective.passes = self._kept["passes"]
            self._kept = self._checkpoint.state = None  # its arrays are the run's own now
        self._checkpoint.keep(
            {
                "history": self.history.state(),
                "seconds": perf_counter() - self._start_time,
                "passes": (self._start_passes, self._objective.passes),
                **state,
            }
        )

    def __call__(self, theta: Array, value: float, grad_norm: float) -> bool:
        """Record an iteration; return True if the callback ends the run."""
        history = self.history
        history["epoch"].append(len(history["epoch"]))
        history["loss"].append(float(value))
        history["grad_norm"].append(float(grad_norm))
        history["gap"].append(np.nan)
        history["seconds"].append(perf_counter() - self._start_time)
        history["passes"].append(self._objective.passes - self._start_passes)
        stops = self._callback is not None and self._callback(theta, history) is True
        if stops and self._checkpoint is not None:
            self._checkpoint.write()
        return stops

    def checkpoint_within(self, state: dict[str, Any]) -> _Within | None:
        """Return the checkpoint for another solver that goes on here: "rest" in this run's state is the other's."""
        return None if self._checkpoint is None else _Within(self, self._checkpoint, state)

    def gap(self, gap: float) -> None:
        """Add the estimate of F - F* to the iteration recorded last."""
        self.history["gap"][-1] = max(float(gap), 0.0)

    def stalled(self, rounding: float) -> bool:
        """Tell whether the last iteration lowered F by no more than rounding, and the gradient only a little."""
        (before, after), (steep, less_steep) = (self.history[name][-2:] for name in ("loss", "grad_norm"))
        return abs(before - after) <= rounding * abs(before) and less_steep > 0.9 * steep

    def result(self, theta: Array, converged: bool, reason: str) -> Result:
        """Return the Result of a run that ended at the last recorded iteration."""
        history = self.history
        return Result(
            theta,
            history["loss"][-1],
            history["grad_norm"][-1],
            history["epoch"][-1],
            converged,
            reason,
            history,
        )


class _Within:
    """A checkpoint in another run's, whose solver has handed over: what the other run keeps, and "rest"."""

    state: Any

    def __init__(self, record: Recorder, checkpoint: Any, state: dict[str, Any]) -> None:
        self._record, self._checkpoint = record, checkpoint
        self.state, self._outer = state["rest"], state

    def keep(self, state: dict[str, Any]) -> None:
        self._record.keep(**{**self._outer, "rest": state})

    def write(self) -> None:
        self._checkpoint.write()


STOPPED_BY_CALLER = "the callback asked to stop"
AT_ROUNDING = "no lower point can be told from rounding"
SEPARABLE = "the classes are separable and nothing is penalised: there is no minimum"
NO_DESCENT = "the line search found no lower point"


def bottomless_below(objective: Objective) -> float:
    """Return the value of F below which it has no minimum.

    Below it every row's loss is less than log 2, and without a penalty larger multiples of theta lower F further.
    """
    return np.log(2.0) * objective.least_mass if objective.penalty.is_zero else -np.inf


def attainable(objective: Objective) -> float:
    """Return the least relative suboptimality that can be reached in the dtype of the data."""
    return 64 * float(finfo(objective.dtype).eps)


def small_gradient(grad_norm: float, tol: float) -> str:
    """Return the reason for success."""
    return f"largest gradient entry {grad_norm:.3g} <= tol = {tol:.3g}"


def out_of_iterations(max_iter: int) -> str:
    """Return the reason for a run that ended by max_iter."""
    return f"max_iter = {max_iter} reached"
