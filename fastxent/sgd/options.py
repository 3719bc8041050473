"""The choices of a training, and what follows from them alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .optimizers import ADAM, ADAMW, MEMORY, MOMENTUM, NESTEROV, OPTIMIZERS, SGD, SVRG

if TYPE_CHECKING:
    from typing import Any


_ADAPTIVE = {"adagrad", "rmsprop", "adam", "adamw", "ftrl"}


@dataclass(frozen=True)
class Options:
    """The choices of a training. eta0 None: from the data, as they arrive."""

    optimizer: str = "sgd"
    l1: float = 0.0
    l2: float = 0.0
    momentum: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    schedule: str = "optimal"
    eta0: float | None = None
    alpha: float = 0.0
    power: float = 0.5
    warmup: int = 0
    batch: int = 1
    fit_intercept: bool = True
    average_from: int = -1
    epochs: int = 1
    by_column: bool = False  # whether columns get their own units

    @property
    def kind(self) -> int:
        """The optimiser's number in the loops."""
        return OPTIMIZERS[self.optimizer]

    @property
    def is_adaptive(self) -> bool:
        """Whether the optimiser divides by the size of the gradient."""
        return self.optimizer in _ADAPTIVE

    @property
    def is_adam(self) -> bool:
        return self.kind in (ADAM, ADAMW)

    @property
    def together(self) -> int:
        """The number of rows whose gradients are added up in a step that their sum limits."""
        return 1 if self.is_adaptive or self.optimizer == "svrg" else max(1, self.batch)

    @property
    def goes_by_sizes(self) -> bool:
        """Whether steps depend on the sizes of rows."""
        return self.eta0 is None or self.schedule == "settling"

    @property
    def pays(self) -> bool:
        """Whether weights pay for L1 from a budget: see kernels/descent.pxi."""
        return self.kind == SGD and self.l1 > 0 and self.batch > 0

    @property
    def beside(self) -> int:
        """How many arrays stand side by side in the memory of sparse rows: see `layouts`."""
        return 1 if self.kind in (SGD, SVRG) else 1 + len(MEMORY[self.kind])

    @property
    def beta(self) -> float:
        """The share of a move, or of a mean gradient, that is left at the next update."""
        return self.momentum if self.kind != SGD else 0.0

    @property
    def repeats(self) -> float:
        """How many times a gradient moves the weights in the end."""
        return 1.0 / (1.0 - self.beta) if self.kind in (MOMENTUM, NESTEROV) else 1.0

    @property
    def ratio(self) -> float:
        """Between successive moves by a momentum without new gradients."""
        return self.beta / math.sqrt(self.beta2) if self.is_adam else self.beta

    def agree(self, others: Any, *names: Any) -> Any:
        """Whether others have the same values of these names."""
        return all(getattr(self, name) == getattr(others, name) for name in names)
