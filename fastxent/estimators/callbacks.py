"""Callbacks around our iterations: the ``callback`` argument of ``fit``, and scikit-learn's protocol (from 1.9 on)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..solvers.result import History
    from ..typing import Array, Callback


def check_callback(callback: Callback | None) -> Callback | None:
    """Check the argument ``callback`` of a fit: callable, or None."""
    if callback is not None and not callable(callback):
        raise TypeError(
            f"callback must be a function of one argument, the last entries of history_ as a dict; got {callback!r}."
        )
    return callback


def asks_to_stop(callback: Callback | None, history: History, **more: Any) -> bool:
    """Show the newest entries of a solver's history to ``callback``; True if it ends the fit there.

    more: entries that the solver does not have. The start is not an iteration, so it is not shown.
    """
    if callback is None or history["epoch"][-1] == 0:
        return False
    return bool(callback(history.latest() | more))


def context_of(estimator: Any, **task: Any) -> Any:
    """Return scikit-learn's context of a fit, or None without callbacks: making one takes as long as an iteration."""
    if hasattr(estimator, "_skl_callbacks") or hasattr(estimator, "_parent_callback_ctx"):
        return estimator._init_callback_context(**task)
    return None


class IterationTasks:
    """Reports each iteration as a task of the fit that begins with its first parameters.

    When the last iteration ends, a task for the next one has begun already; ``close`` ends it empty. That is
    the shape scikit-learn's own estimator gives to the sequence.
    """

    def __init__(self, context: Any, estimator: Any, attributes: Callable[..., Any], **data: Any) -> None:
        self._context = context if hasattr(estimator, "_skl_callbacks") else None
        self._estimator = estimator
        self._attributes = attributes
        self._data = data
        self._current: Any = None

    def __call__(self, theta: Array) -> bool:
        """Record an iterate; True if a callback asks to stop."""
        if self._context is None:
            return False
        arguments = dict(
            self._data, estimator=self._estimator, reconstruction_attributes=lambda: self._attributes(theta)
        )
        stop = self._current is not None and self._current.call_on_fit_task_end(**arguments)
        self._current = self._context.subcontext(task_name="fit-iter")
        self._current.call_on_fit_task_begin(**arguments)
        return stop

    def close(self) -> None:
        if self._current is not None:
            self._current.call_on_fit_task_end(estimator=self._estimator)
