"""Descent over rows in a given order: one call is an epoch or a part of one. No Python inside, no GIL.

Every loop chooses rows and step sizes, and calls the kernels, which do all work on arrays (``kernels/descent.pxi``).

    plain             SGD without memory, row by row (in one fused call of the kernels) or by batches of CSR rows
    sparse_batches    every optimiser on CSR rows; only the features in a batch change, the others catch up later
    dense_rows        every optimiser on dense rows, one by one, or in minibatches by the kernels' products of blocks;
                      every parameter changes
    variance_reduced  SVRG, row by row
    step_full         one update with a given gradient

Rule has the constants of a training, `counters` the numbers that change, and `memory` is the address of the kernels'
view of its arrays. Nothing here has a type that depends on the data, so Numba compiles each loop once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import bridge
from .compile import inner, jit
from .optimizers import ADAMW, FTRL, SGD
from .schedules import SETTLING, rate

if TYPE_CHECKING:
    from ..typing import Array


# Positions in `counters`, the numbers that a training keeps from one call to the next; the same as in
# kernels/descent.pxi.
UPDATES, CLOCK, SCALE, SQUARES, WEIGHTS, ROWS, LOWERED, AVERAGED, SYNCED, ETA, BEGUN = range(11)
LEFT, BUDGET, LOSSES, PENALISED, OWN_TIME, OWN_ETA0 = range(11, 17)
COUNTERS = 17
FREE = 0.1  # the largest alpha in the schedule of the intercept, which has no penalty
LEAST_SCALE = 1e-5  # below this, the common factor of all weights is multiplied into them
LEAST_LEFT = 1e-200  # an era ends here (kernels/gaps.pxi), far above the least positive number


class Rule(NamedTuple):
    """The constants of a training."""

    kind: int  # optimizers.OPTIMIZERS
    l1: float  # in each update
    l2: float
    late_l1: float  # at once for several updates, if columns have their own units
    late_l2: float
    late_every: int  # updates; 0: never
    beta1: float
    beta2: float
    eps: float  # 0 for adam and adamw, whose memory starts with it
    schedule: int
    eta0: float  # with `automatic`, in units of the rows' size
    automatic: int  # 0, or the power of the rows' root mean square that eta0 is divided by
    most: float  # with `automatic`, the largest step of a batch, in units of the inverse of its curvature
    most_own: float  # ... of the intercept
    spread: float  # a batch's mean square over its largest curvature in any direction
    alpha: float
    power: float
    horizon: float
    warmup: float
    natural: (
        float  # the automatic eta0, in units of the rows' size, which the schedule 'settling' is based on
    )
    no_model: float  # the loss of equal probabilities
    steady: float  # the unit in which this schedule counts the losses of each column
    repeats: float  # how often momentum repeats a gradient in total
    batch: int
    fit_intercept: bool
    average_from: int  # updates before averaging starts; negative: never
    average_every: int
    era: int  # updates after which all parameters are brought up to date
    lifetime: int  # updates after which nothing is left of a momentum
    ratio: float  # between successive moves by a momentum without new gradients
    K: int
    ld: int  # from one feature or class to the next
    wide: int  # of which so much is used, see layouts
    features: int  # parameters before the intercepts
    by_class: bool
    d: int


class Rows(NamedTuple):
    """The rows of one call."""

    order: np.ndarray  # numbers of the rows to visit
    weights: np.ndarray  # of all rows, like the rest; empty: all 1
    squares: np.ndarray  # |x_i|^2; empty where they are not needed


def first_step(rule: Rule, counters: Array) -> tuple[float, float]:
    """Return the initial step of the schedule for the features, and the intercept's as a multiple of it.

    An automatic step is the inverse of a curvature, separately for the features and for the intercept (a feature that
    is always 1). For optimisers that divide by the size of the gradient, it is the inverse of its root.
    """
    eta0 = rule.eta0 * counters[LOWERED]
    if rule.automatic == 0:
        return eta0, 1.0
    mean = counters[SQUARES] / counters[ROWS]
    if mean == 0.0:  # only empty rows so far
        return eta0, 1.0
    weight = counters[WEIGHTS] / counters[ROWS]
    if rule.automatic == 1:
        size = math.sqrt(mean / weight)
        return eta0 / size, size
    curvature = mean / rule.eta0 + rule.l2 * weight
    return counters[LOWERED] / curvature, curvature * rule.eta0 / weight


def weigh(counters: Array, rows: Rows, first: int, stop: int) -> tuple[float, float]:
    """Return the means of s_i |x_i|^2 (0 if not needed) and of s_i over a batch."""
    order, weights, squares = rows.order, rows.weights, rows.squares
    weight, square = 0.0, 0.0
    count = stop - first
    for r in range(first, stop):
        s = weights[order[r]] if len(weights) else 1.0
        weight += s
        if len(squares) > 0:
            square += s * squares[order[r]]
    counters[SQUARES] += square
    counters[WEIGHTS] += weight
    counters[ROWS] += count
    return square / count, weight / count


_first_step, _weigh = inner(first_step), inner(weigh)


@inner
def _scheduled(
    rule: Rule, counters: Array, eta0: float, alpha: float, square: float, columns: float
) -> float:
    """Return the present step of the schedule for so many columns.

    square: the mean of s_i |x_i|^2, or of s_i for the intercept, which is one column.
    """
    n = counters[UPDATES] + 1.0
    noise = (square / rule.natural) ** 2 * counters[LOSSES] / (rule.steady * columns)
    return rate(rule.schedule, n, eta0, alpha, rule.power, rule.horizon, rule.warmup, noise)


@inner
def step_size(rule: Rule, counters: Array, square: float, weight: float) -> tuple[float, float]:
    """Return the size of the next update, and the multiple of it for the intercept.

    square, weight: means of s_i |x_i|^2 and of s_i over the batch. The size includes the mean weight; for automatic
    steps of optimisers that divide by the gradient's size, it is divided by the mean over all rows so far.
    """
    eta0, multiple = _first_step(rule, counters)
    alpha, mean, weight_mean = rule.alpha, 0.0, 1.0
    if counters[ROWS] > 0.0:
        mean, weight_mean = counters[SQUARES] / counters[ROWS], counters[WEIGHTS] / counters[ROWS]
    if rule.automatic == 1:  # these steps do not depend on the unit of weights
        weight, weight_mean = weight / weight_mean, 1.0
    if rule.kind == FTRL:  # it has its own step size
        counters[ETA] = eta0
        return weight, 1.0
    if rule.automatic != 0 or rule.schedule == SETTLING:  # a step is eta times the mean weight
        alpha *= weight_mean
    eta = _scheduled(rule, counters, eta0, alpha, mean, float(rule.d))
    counters[ETA] = eta
    if multiple != 1.0 or rule.schedule == SETTLING:
        own = _scheduled(rule, counters, eta0 * multiple, min(alpha, FREE * weight_mean), weight_mean, 1.0)
        multiple = own / eta if eta > 0.0 else 0.0
    if rule.automatic == 2:
        if rule.batch > 1:
            own = min(multiple * eta, rule.most_own / weight)
            eta = min(eta, (rule.most - own * weight) * rule.spread / square) if square > 0.0 else eta
            multiple = own / eta if eta > 0.0 else 0.0
        else:
            eta = min(eta, rule.most / (square + multiple * weight))
    time = eta * weight * rule.repeats
    if rule.kind in (SGD, ADAMW) and rule.l2 * time > 1.0:  # more would overshoot
        return 1.0 / rule.l2, multiple * (rule.l2 * time)
    return time, multiple


@inner
def _finish(rule: Rule, counters: Array, memory: int, lazy: bool) -> None:
    """Do what is due after an update: start an era, apply penalties, average."""
    t = int(counters[UPDATES])
    averages = rule.average_from >= 0 and t > rule.average_from and t % rule.average_every == 0
    penalises = rule.late_every > 0 and t % rule.late_every == 0
    ends = lazy and (counters[UPDATES] - counters[SYNCED] >= rule.era or counters[LEFT] < LEAST_LEFT)
    if averages or penalises or ends:
        bridge.finish_updates(memory, int(penalises), int(averages), _first_step(rule, counters)[0])


@jit
def plain(
    rule: Rule, counters: Array, memory: int, rows: Rows, loss: float, mass: float
) -> tuple[float, float]:
    """SGD without memory. Returns the sums of s_i loss_i, each before its update, and of s_i, including these rows.

    loss, mass: the sums so far, which continue, so that it makes no difference where an epoch is cut. Gradients go
    directly into the weights, which have a common factor because of L2. A feature pays what L1 demands when it is next
    used.
    """
    order = rows.order
    n = len(order)
    for first in range(0, n, rule.batch):
        stop = min(first + rule.batch, n)
        count, here = stop - first, order.ctypes.data + first * order.itemsize
        if rule.l1 != 0.0:
            bridge.pay(memory, here, count)
        square, weight = _weigh(counters, rows, first, stop)
        time, multiple = step_size(rule, counters, square, weight)
        weight *= count
        # Losses already include their weights.
        step, intercept = time / weight, multiple * time / weight if rule.fit_intercept else 0.0
        before = counters[SCALE]
        counters[SCALE] *= max(0.0, 1.0 - rule.l2 * time)
        if rule.batch == 1 and counters[SCALE] >= LEAST_SCALE:
            own = bridge.plain_step(memory, here, n - stop, before, step / counters[SCALE], intercept)
        else:
            own = bridge.gradients(memory, here, count, n - stop, before)
            if counters[SCALE] < LEAST_SCALE:
                bridge.rescale(memory)
            bridge.add(memory, here, count, step / counters[SCALE], intercept)
        loss, mass = loss + own, mass + weight
        counters[LOSSES] += min(own / weight, rule.no_model)
        counters[BUDGET] += rule.l1 * time / counters[SCALE]
        counters[CLOCK] += time
        counters[UPDATES] += 1.0
        _finish(rule, counters, memory, False)
    return loss, mass


@jit
def sparse_batches(
    rule: Rule, counters: Array, memory: int, rows: Rows, loss: float, mass: float
) -> tuple[float, float]:
    """Batches of CSR rows, by the features that they have. Sums as in `plain`."""
    order = rows.order
    n = len(order)
    for first in range(0, n, rule.batch):
        stop = min(first + rule.batch, n)
        count, here = stop - first, order.ctypes.data + first * order.itemsize
        eta0 = _first_step(rule, counters)[0] if counters[ROWS] else 0.0
        features = bridge.touch(memory, here, count, n - stop, eta0)
        square, weight = _weigh(counters, rows, first, stop)
        time, multiple = step_size(rule, counters, square, weight)
        weight *= count
        own = bridge.gradients(memory, here, count, n - stop, 1.0)
        eta0, factor = _first_step(rule, counters)
        counters[OWN_TIME], counters[OWN_ETA0] = time * multiple, eta0 * factor
        bridge.step(memory, here, count, n - stop, features, 1.0 / weight, time, eta0)
        loss, mass = loss + own, mass + weight
        counters[LOSSES] += min(own / weight, rule.no_model)
        _finish(rule, counters, memory, True)
    return loss, mass


@jit
def dense_rows(
    rule: Rule, counters: Array, memory: int, rows: Rows, loss: float, mass: float
) -> tuple[float, float]:
    """Dense rows, one by one or in batches, with updates of all parameters. Sums as in `plain`."""
    order = rows.order
    n = len(order)
    for first in range(0, n, rule.batch):
        stop = min(first + rule.batch, n)
        count, here = stop - first, order.ctypes.data + first * order.itemsize
        if rule.batch == 1:
            own = bridge.dense_row(memory, here, n - stop)
        else:
            own = bridge.dense_batch(memory, here, count, n - stop)
        square, weight = _weigh(counters, rows, first, stop)  # which the batch has measured
        time, multiple = step_size(rule, counters, square, weight)
        weight *= count
        loss, mass = loss + own, mass + weight
        counters[LOSSES] += min(own / weight, rule.no_model)
        eta0, factor = _first_step(rule, counters)
        counters[OWN_TIME], counters[OWN_ETA0] = time * multiple, eta0 * factor
        bridge.step_all(memory, 1.0 / weight, time, eta0)
        _finish(rule, counters, memory, False)
    return loss, mass


@jit
def variance_reduced(
    rule: Rule, counters: Array, memory: int, rows: Rows, share: float, loss: float, mass: float
) -> tuple[float, float]:
    """SVRG, row by row. Sums as in `plain`. share: number of rows / sum of weights."""
    order, weights = rows.order, rows.weights
    eta = rule.eta0 * counters[LOWERED]
    counters[ETA] = eta
    time = min(eta, 1.0 / rule.l2) if rule.l2 > 0.0 else eta  # more would overshoot
    # What a gradient at the end of the step must be, so that with the decay before it, it is one of this size.
    longer = math.expm1(rule.l2 * time) / rule.l2 if rule.l2 > 0.0 else time
    for r in range(len(order)):
        here = order.ctypes.data + r * order.itemsize
        loss += bridge.reduced_step(memory, here, len(order) - r - 1, longer, eta, share)
        mass += weights[order[r]] if len(weights) else 1.0
        counters[CLOCK] += time
        counters[UPDATES] += 1.0
        _finish(rule, counters, memory, True)
    return loss, mass


@jit
def step_full(rule: Rule, counters: Array, memory: int) -> None:
    """One update with the gradient of the mean loss over all rows, which the caller has put into the memory."""
    time, multiple = step_size(rule, counters, 0.0, 1.0)
    eta0, factor = _first_step(rule, counters)
    counters[OWN_TIME], counters[OWN_ETA0] = time * multiple, eta0 * factor
    bridge.step_all(memory, 1.0, time, eta0)
    _finish(rule, counters, memory, False)
