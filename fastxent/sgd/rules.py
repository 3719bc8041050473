"""The numbers by which the loops update weights, from the options and the state of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..kernels import SHORT_POWERS
from .columns import Standard
from .loops import Rule
from .optimizers import RMSPROP, SVRG
from .schedules import SCHEDULES

if TYPE_CHECKING:
    from typing import Any

    from ..typing import Array
    from .options import Options


# Automatic step sizes, in units of the data: eta0 times the mean of |x|^2, or times its root for optimisers that divide
# by the size of the gradient.
_AUTOMATIC = {"adagrad": 0.5, "rmsprop": 0.03, "adam": 0.03, "adamw": 0.03, "ftrl": 0.5}
_AUTOMATIC_SGD = 8.0
# The largest step of a row, in units of its square. Softmax has a curvature of |x|^2 / 2 at most, so a step that is
# longer than 4 / |x|^2 ends farther from the minimum along it than it began. Of minibatches, in units of the inverse of
# their curvature in the steepest direction, see `steepness`: from 2 on, steps lead away. The intercept may take a part.
# A row that is alone in its direction has a b-th part in the gradient of b rows, and must not lead away either.
_LARGEST, _LARGEST_OF_MANY, _OWN = 2.0, 1.5, 0.5
# With momentum, these limits hold for what a gradient moves in the end, which keeps the noise of few rows small.
# Curvature alone would allow each move to be nearly as long (see `_accelerated`). So moves may be longer while those of
# a row that is alone in its direction add up to at most this, in units of the inverse of its square.
_CALM = 0.5
# Under L1 both begin longer: the noise leaves the weights again as L1 pulls most of them back to zero, and weights that
# are far away would take long to reach by steps that the penalty soon shortens.
_LONGER = 5.0
_STEADY = 0.1  # updates for each feature before the schedule "settling" shortens its steps

# Updates after which all features are brought up to date (an era, see kernels/gaps.pxi): as many as there are features,
# so that each update pays for one; but what is kept of an era's updates should fit the cache.
FIRST_ERA = 256
LONGEST_ERA = 65536

_FADED = -40.0  # e^-40 of a momentum no longer changes any digit
_FOREVER = 1 << 40


@dataclass(frozen=True)
class State:
    """What the rule depends on beside the options.

    Attributes
    ----------
    d, K : int
        Features, and columns of the weights.
    layout : tuple
        See `layouts`.
    eta0 : float or None
        The step size that was set, or None: it comes from the data.
    horizon : float
        Of schedules, in updates.
    standard : Standard or None
        The units of the columns.
    are_similar : bool
        Whether the columns are known to have similar units.
    steepness : tuple or None
        Of minibatches, see `steepness`.
    """

    d: int
    K: int
    layout: Any
    eta0: float | None
    horizon: float
    standard: Standard | None
    are_similar: bool
    steepness: tuple[float, float] | None


def rule_of(options: Options, state: State) -> Rule:
    """Return the Rule of the loops."""
    by_class, ld, intercept, _, batches, sparse, beside = state.layout
    every = 1 if batches or options.batch == 0 else 8 if not sparse else max(1, state.d // 64)
    return Rule(
        kind=options.kind,
        **_penalties(options, state),
        **_moments(options),
        **_steps(options, state),
        batch=int(options.batch),
        fit_intercept=bool(options.fit_intercept),
        average_from=int(options.average_from),
        average_every=every,
        era=era(state.d),
        K=state.K,
        ld=ld,
        wide=ld // beside,
        features=intercept,
        by_class=bool(by_class),
        d=state.d,
    )


def era(d: int) -> int:
    """Return how many updates an era has, for d features."""
    return min(max(FIRST_ERA, d), LONGEST_ERA)


def automatic_step(options: Options) -> float:
    """Return the step size in units of the data."""
    return _AUTOMATIC.get(options.optimizer, _AUTOMATIC_SGD)


def powers(options: Options) -> Array:
    """Return the table of powers in kernels/gaps.pxi."""
    squares = options.beta if options.kind == RMSPROP else options.beta2
    bases = np.array([options.beta, math.sqrt(squares), options.ratio])[:, None]
    n = np.arange(1 + LONGEST_ERA // SHORT_POWERS)
    with np.errstate(over="ignore"):
        return np.stack([bases**n, bases ** (n * SHORT_POWERS)], axis=1)


def _penalties(options: Options, state: State) -> dict[str, Any]:
    """Return the penalties: of each update or, where columns have their own units, of some updates."""
    o, late = options, state.standard is not None
    # A penalty for all columns must not cost more than the updates since the last one, in any storage.
    every = max(1, max(8, state.d // 16) // max(1, o.batch)) if o.batch else 1
    return {
        "l1": 0.0 if late else float(o.l1),
        "l2": 0.0 if late else float(o.l2),
        "late_l1": float(o.l1),
        "late_l2": float(o.l2),
        "late_every": every if late and o.kind != SVRG and (o.l1 or o.l2) else 0,
    }


def _moments(options: Options) -> dict[str, Any]:
    """Return the numbers about the optimiser's running means."""
    ratio = options.ratio
    return {
        "beta1": float(options.beta),
        "beta2": float(options.beta2),
        "eps": 0.0 if options.is_adam else float(options.eps),
        "ratio": ratio,
        "lifetime": _FOREVER if ratio >= 1.0 else 1 + math.ceil(_FADED / math.log(ratio)) if ratio else 1,
        "repeats": options.repeats,
    }


def _longer(options: Options, state: State) -> float:
    """Return the factor by which the automatic step begins longer: with L1, and in part with the elastic net.

    Not before the columns are known to have similar units, because L1 cannot undo soon what goes into a large column;
    not if the weights are averaged from the start; and not for minibatches, which are limited by their curvature.
    """
    o = options
    if not o.pays or not state.are_similar or o.average_from >= 0 or o.batch > 1:
        return 1.0
    return 1.0 + (_LONGER - 1.0) * o.l1 / (o.l1 + o.l2)


def _accelerated(beta: float) -> float:
    """Return how much farther a gradient may move the weights in the end with momentum than without, where curvature
    is the limit.

    On a quadratic function, in units of the inverse of its curvature, sgd is stable up to moves of 2, nesterov up to
    2 (1 + beta) / (1 + 2 beta), momentum up to 2 (1 + beta).
    """
    return (1.0 + beta) / ((1.0 + 2.0 * beta) * (1.0 - beta)) if beta < 1.0 else 1.0


def _steps(options: Options, state: State) -> dict[str, Any]:
    """Return the numbers about step sizes."""
    o, eta0, automatic = options, state.eta0, 0
    natural = automatic_step(o)
    if o.optimizer in ("momentum", "nesterov"):
        natural *= 1.0 - o.momentum
    together = math.sqrt(max(1, o.batch))
    if not o.is_adaptive:  # means of many rows are less noisy
        natural *= together
    longer = _longer(o, state)
    if eta0 is None:
        automatic, eta0 = 1 if o.is_adaptive else 2, longer * natural
        if not o.is_adaptive:  # a batch begins with steps as long as those of its rows together, if it may
            eta0 *= together
    alpha = o.alpha
    if o.schedule == "settling":
        alpha *= o.repeats
        if state.standard is not None:
            alpha *= float(state.standard.factor.min()) ** 2
    most, most_own, spread = (_LARGEST, math.inf, 1.0) if o.batch == 1 else (math.inf, math.inf, 1.0)
    if o.batch > 1 and state.steepness is not None:
        share, spread = state.steepness
        most, most_own = _LARGEST_OF_MANY / share, _OWN / share
        spread = min(spread, 2.0 * _LARGEST * o.batch / most)
        longer = min(max(1.0, _CALM * o.batch / (most * spread)), _accelerated(o.beta))
    whole = longer * (1.0 - o.beta)
    return {
        "schedule": SCHEDULES[o.schedule],
        "eta0": float(eta0),
        "automatic": automatic,
        "most": most * whole,
        "most_own": most_own * whole,
        "spread": spread,
        "alpha": float(alpha),
        "power": float(o.power),
        "horizon": float(state.horizon),
        "warmup": float(o.warmup),
        "natural": float(natural),
        "no_model": math.log(max(2, state.K)),
        "steady": _STEADY,
    }
