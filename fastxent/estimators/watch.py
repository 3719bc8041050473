"""The course of a training by epochs: its history, when it stops, and its best weights."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from sklearn.exceptions import ConvergenceWarning

from ..log import tell, warn
from .verdict import of_chance

if TYPE_CHECKING:
    from typing import Any

    from ..sgd.descents import Minibatches, VarianceReduced
    from ..typing import Array
    from .descending import DescentOverBatches
    from .sgd_classifier import SGDClassifier
    from .verdict import Verdict


_LOWER, _LOWEST = 0.2, 1e-6  # "adaptive" multiplies the step size by the first, until it is below the second
_GROWTH = 4.0  # a loss above this multiple of the best, and of the loss without a model, is not noise
_OF_THE_FIT = ("_model", "_by_validation", "_ceiling", "_began")  # and no state of a Watch


class Patience:
    """The best weights so far, and for how many epochs (or calls of partial_fit) there has been no improvement."""

    least: float

    def __init__(self) -> None:
        self.best: Any = None
        self.least = self._reference = math.inf
        self._waited = 0

    def compare(self, cost: float, tol: float | None) -> None:
        """Record a cost; it is an improvement if it is lower than the least by more than tol."""
        self._waited = 0 if cost < self._reference - (tol or 0.0) else self._waited + 1
        self._reference = min(self._reference, cost)

    def keep(self, theta: Array, cost: float) -> None:
        """Store the weights if no others cost less."""
        if self.best is None or cost < self.least:
            self.best, self.least = theta, cost

    def renew(self) -> None:
        """Start waiting again."""
        self._waited = 0

    def is_over(self, tol: float | None, n_iter_no_change: int) -> bool:
        return tol is not None and self._waited >= n_iter_no_change


class Watch:
    """History, improvement and the best weights of a training.

    patience: the Patience of earlier pieces, for a training in pieces.
    """

    converged: bool
    patience: Patience

    def __init__(
        self,
        model: SGDClassifier,
        by_validation: bool,
        loss_of_no_model: float,
        patience: Patience | None = None,
    ) -> None:
        self.history: dict[str, list[float]] = {"epoch": [], "loss": [], "learning_rate": [], "seconds": []}
        self.converged = False
        self.patience = patience or Patience()
        self._model = {
            name: getattr(model, name)
            for name in ("tol", "n_iter_no_change", "learning_rate", "optimizer", "eta0", "batch_size")
        }
        self._by_validation = by_validation
        self._ceiling = _GROWTH * loss_of_no_model
        self._best_loss = math.inf
        self._lowered = 1.0
        self._objection: str | None = None
        self._began = time.perf_counter()

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on."""
        kept = {name: value for name, value in vars(self).items() if name not in _OF_THE_FIT}
        return kept | {"seconds": time.perf_counter() - self._began}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the state of a watch with the same arguments."""
        vars(self).update({name: value for name, value in state.items() if name != "seconds"})
        self._began = time.perf_counter() - state["seconds"]

    def note(self, loss: float, learning_rate: float, **found: Any) -> None:
        """Record an epoch's loss; raise if the descent diverges."""
        growing = loss > max(self._ceiling, _GROWTH * self._best_loss)
        if not math.isfinite(loss) or (self.history["epoch"] and growing):
            eta0 = self._model["eta0"]
            raise ValueError(
                f"The descent diverges: the loss of epoch {len(self.history['epoch']) + 1} is {loss:.4g}, at a "
                f"learning rate of {learning_rate:.3g} (eta0={eta0}, learning_rate={self._model['learning_rate']!r}, "
                f"optimizer={self._model['optimizer']!r}). Lower eta0, or leave it None; scale the features."
            )
        entries = {
            "epoch": len(self.history["epoch"]) + 1,
            "loss": loss,
            "learning_rate": learning_rate,
            "seconds": time.perf_counter() - self._began,
            **found,
        }
        for name, value in entries.items():
            self.history.setdefault(name, []).append(value)
        self._cost = loss
        self._squares = found["grad_norm"] ** 2 if "grad_norm" in found else None
        self._measured = False

    def judge(self, theta: Array, loss: float, score: float) -> None:
        """Record the validation loss after an epoch, and the score that early stopping uses."""
        self.history.setdefault("val_loss", []).append(loss)
        if not self._by_validation:
            return
        cost = -score
        if not math.isfinite(cost):
            raise ValueError("The validation loss is not finite: the descent diverges. Lower eta0.")
        self._measured = True
        self.patience.keep(theta, cost)
        self.patience.compare(cost, self._model["tol"])

    def patience_is_over(self) -> bool:
        return self.patience.is_over(self._model["tol"], self._model["n_iter_no_change"])

    def entry(self) -> dict[str, float]:
        """Return the last entries of the history."""
        return {name: values[-1] for name, values in self.history.items()}

    def should_stop(self, descent: Any, verdict: Verdict) -> bool:
        """Tell whether an epoch was the last one; the verdict decides whether it converged."""
        tol = self._model["tol"]
        self._best_loss = min(self._best_loss, self._cost)
        if tol is None:
            return False
        if self._squares is not None and not self._measured:
            if self._squares <= tol:
                self._conclude(descent, verdict)
            return self.converged
        if not self._measured:
            self.patience.compare(self._cost, tol)
        if not self.patience_is_over():
            return False
        if self._model["learning_rate"] == "adaptive" and self._lowered > _LOWEST:
            self._lowered *= _LOWER
            self.patience.renew()
            descent.lower(_LOWER)
            return False
        self._conclude(descent, verdict)
        return True

    def _conclude(
        self, descent: DescentOverBatches | Minibatches | VarianceReduced, verdict: Verdict
    ) -> None:
        theta = self.patience.best if self._measured else descent.theta()
        self._objection = verdict.objection(self.history, theta)
        self.converged = self._objection is None

    def conclude_pieces(self, chance: float) -> None:
        """Conclude a training in pieces, whose patience is over. chance: the loss of the best constant prediction."""
        loss = self.patience.least
        self.converged = loss < chance
        if not self.converged:
            self._objection = of_chance("The validation loss", loss, chance)
            self.warn_if_elsewhere()

    def report(self, more: str = "") -> None:
        tell("   ".join(f"{name} {values[-1]:.6g}" for name, values in self.history.items()) + more)

    def ran_out(self, model: SGDClassifier) -> None:
        """Warn, after the last epoch, if the training has not converged."""
        if self._model["tol"] is not None and not self.converged:
            warn(
                "Maximum number of iteration reached before convergence. Consider increasing max_iter to improve the "
                f"fit. After max_iter={model.max_iter} epochs the loss is {self._cost:.6g} and has not stopped falling "
                f"by more than tol={model.tol:.3g}. A larger tol ends earlier; scaled features converge faster."
                + (f" {self._objection}" if self._objection else ""),
                ConvergenceWarning,
                stacklevel=5,
            )

    def warn_if_elsewhere(self) -> None:
        """Warn if the training has stopped, but not at an optimum."""
        if self._objection is not None:
            warn(
                f"Training has stopped, but has not converged. {self._objection}",
                ConvergenceWarning,
                stacklevel=5,
            )
