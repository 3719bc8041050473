"""A training by epochs and its checkpoint: between two epochs its state is kept, and here it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..forks import importing
from . import checkpoints, stored

if TYPE_CHECKING:
    from typing import Any

    import numpy as np

    from .sgd_classifier import SGDClassifier, _Plan
    from .watch import Watch


class Epochs:
    """What one epoch of a training leaves for the next.

    Parameters
    ----------
    plan : sgd_classifier._Plan
    watch : Watch
    random : numpy.random.RandomState

    Attributes
    ----------
    ended : bool
        Whether the training has stopped by itself; set by the caller.
    """

    ended: bool

    def __init__(self, plan: _Plan, watch: Watch, random: np.random.RandomState) -> None:
        self._plan, self._watch, self._random = plan, watch, random
        self._session: Any = None
        self.ended = False

    def open(self, model: SGDClassifier, facts: dict[str, str]) -> None:
        """Open the checkpoint of a model, and go on from it."""
        plan = self._plan
        self._session = checkpoints.session(
            model,
            facts,
            plan.objective(),
            plan.classes,
            plan.descent.theta(),
            None if plan.score is None else plan.score.objective,
            describe=stored.describe,
            build=stored.build,
        )
        kept = self._session.result or self._session.state
        if kept is not None:
            self._restore(kept)

    def keep(self) -> None:
        """Keep the state before an epoch, if that is due."""
        if self._session is not None:
            self._session.keep(self._state())

    def close(self, *, goes_on: bool) -> None:
        """Keep the state after the last epoch. goes_on: whether a callback has stopped it, and it is to go on."""
        if self._session is None:
            return
        if goes_on:
            self._session.keep(self._state())
            self._session.write()
        else:
            self._session.finish(self._state())

    def _state(self) -> dict[str, Any]:
        return {
            "training": self._plan.descent.training,
            "watch": self._watch.state(),
            "random": self._random,
            "rows": self._plan.rows,
            "ended": self.ended,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        with importing:
            from ..sgd.consistency import is_consistent

        training = self._plan.descent.training
        if not is_consistent(state["training"], (training.d + 1, training.K)):
            raise self._session.refusal("contradicts itself")
        vars(training).update(vars(state["training"]))
        self._watch.restore(state["watch"])
        self._random.set_state(state["random"].get_state(legacy=False))
        if self._plan.rows is not None:
            self._plan.rows[:] = state["rows"]
        self.ended = state["ended"]
