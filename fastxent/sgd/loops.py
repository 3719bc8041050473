"""Descent over rows in a given order: one call is an epoch or a part of one. No Python inside, no GIL.

Every loop computes the mean gradient of a batch, and `updates` applies it.

    plain             SGD without memory, row by row (in one fused call of the kernels) or by batches of CSR rows
    sparse_batches    every optimiser on CSR rows; only the features in a batch change, the others catch up later
    dense_rows        every optimiser on dense rows, one by one; every parameter changes
    dense_batches     ... in minibatches, by the kernels' products of blocks
    variance_reduced  SVRG, row by row
    step_full         one update with a given gradient

Rule has the constants of a training, Memory the arrays that change, and `counters` the numbers that change. Rows are
the rows of one call.
"""

import math
from typing import NamedTuple

import numpy as np

from .bridge import batch_gradient, row_add, row_gradient, row_step
from .compile import inlined, jit
from .gaps import FIRST, LEAST_LEFT, ROOT, Fading, coast, fade, note, power
from .schedules import SETTLING, rate
from .updates import (
    ADAM,
    ADAMW,
    FAR,
    FTRL,
    MOMENTUM,
    NESTEROV,
    SGD,
    SVRG,
    Each,
    State,
    Step,
    correction,
    divides,
    divisor,
    drift,
    leader,
    left,
    lengthened,
    move_size,
    pay,
    settle,
    shrunk,
    update,
)

# Positions in `counters`, the numbers that a training keeps from one call to the next.
UPDATES, CLOCK, SCALE, SQUARES, WEIGHTS, ROWS, LOWERED, AVERAGED, SYNCED, ETA, BEGUN = range(11)
LEFT, BUDGET, LOSSES, PENALISED = range(11, 15)
COUNTERS = 15
FREE = 0.1  # the largest alpha in the schedule of the intercept, which has no penalty
LEAST_SCALE = 1e-5  # below this, the common factor of all weights is multiplied into them
TOGETHER = 128  # features of a batch of CSR rows whose gradients are added up, then applied


class Rule(NamedTuple):
    """The constants of a training."""

    kind: int  # updates.OPTIMIZERS
    l1: float  # in each update
    l2: float
    late_l1: float  # for `penalise`, if columns have their own units
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
    ld: int
    features: int  # parameters before the intercepts
    by_class: bool
    d: int


class Memory(NamedTuple):
    """The arrays; those that an optimiser does not use are empty."""

    w: np.ndarray
    a: np.ndarray
    b: np.ndarray
    g: np.ndarray
    q: np.ndarray  # gradients by logits of the rows of a batch
    average: np.ndarray
    clock: np.ndarray  # for each feature, the clock when its penalty was last applied
    last: np.ndarray  # ... and the number of that update
    touched: np.ndarray  # features of a batch
    slots: np.ndarray  # of each feature: its place among those, or -1
    entries: np.ndarray  # of each of those: where its entries end, see `gather`
    firsts: np.ndarray  # of each of those: the first of the updates that it missed
    starts: np.ndarray  # of the stretches to update, see updates.Each; so are the next three
    faded: np.ndarray
    faded_root: np.ndarray
    pulls: np.ndarray
    shift: np.ndarray  # of the columns' units, see `columns`; empty if they are those of X
    factor: np.ndarray
    offsets: np.ndarray  # shifted features, which every CSR row has: see there
    pace: np.ndarray  # what `gaps` stores of the updates of this era
    powers: np.ndarray  # see there
    counters: np.ndarray


class Rows(NamedTuple):
    """Rows, and the order in which they are visited."""

    api: int  # the kernels' address of all rows
    order: np.ndarray  # numbers of the rows to visit
    weights: np.ndarray  # of all rows, like the rest; empty: all 1
    squares: np.ndarray  # |x_i|^2; empty where they are not needed
    values: np.ndarray  # the arrays of CSR rows, else empty
    indptr: np.ndarray
    indices: np.ndarray


@inlined
def age(counters):
    """Return how many updates the optimiser's memory has seen."""
    return counters[UPDATES] - counters[BEGUN]


@jit
def first_step(rule, counters):
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


@jit
def _scheduled(rule, counters, eta0, alpha, square, columns):
    """Return the present step of the schedule for so many columns.

    square: the mean of s_i |x_i|^2, or of s_i for the intercept, which is one column.
    """
    n = counters[UPDATES] + 1.0
    noise = (square / rule.natural) ** 2 * counters[LOSSES] / (rule.steady * columns)
    return rate(rule.schedule, n, eta0, alpha, rule.power, rule.horizon, rule.warmup, noise)


@jit
def step_size(rule, counters, square, weight):
    """Return the size of the next update, and the multiple of it for the intercept.

    square, weight: means of s_i |x_i|^2 and of s_i over the batch. The size includes the mean weight; for automatic
    steps of optimisers that divide by the gradient's size, it is divided by the mean over all rows so far.
    """
    eta0, multiple = first_step(rule, counters)
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
    eta = _scheduled(rule, counters, eta0, alpha, mean, rule.d)
    counters[ETA] = eta
    if multiple != 1.0 or rule.schedule == SETTLING:
        own = _scheduled(rule, counters, eta0 * multiple, min(alpha, FREE * weight_mean), weight_mean, 1)
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


@jit
def weigh(counters, rows, first, stop):
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


@jit
def rescale(rule, memory):
    """Multiply the common factor into the weights, and into all that has their unit."""
    w, paid, counters = memory.w, memory.a, memory.counters
    w = w[: rule.features]
    factor = w.dtype.type(counters[SCALE])
    for i in range(len(w)):
        w[i] *= factor
    for i in range(min(len(w), len(paid))):
        paid[i] *= factor
    counters[BUDGET] *= counters[SCALE]
    counters[SCALE] = 1.0


@jit
def catch_up(rule, memory, count):
    """Bring the weights of the features touched[:count] to the last update.

    What the optimiser stores of them waits for `fade` or, like the penalty of those that divide by the gradient's
    size, for `update`: see Each.
    """
    w, a, b, powers, counters = memory.w, memory.a, memory.b, memory.powers, memory.counters
    touched, last, clock, factor = memory.touched, memory.last, memory.clock, memory.factor
    each, firsts, kind = _each(memory, count, memory.starts[:0]), memory.firsts[:count], rule.kind
    starts, faded, faded_root = each.starts, each.faded, each.faded_root
    ahead = starts[
        count if rule.batch == 1 else min(FAR, count) :
    ]  # of single rows, `update` has asked for them
    t, now, synced = int(counters[UPDATES]), counters[CLOCK], int(counters[SYNCED])
    for c in range(count):
        j = touched[c]
        updates = t - last[j]
        starts[c], firsts[c] = j * rule.ld, last[j] - synced
        faded[c], faded_root[c] = power(powers, FIRST, updates), power(powers, ROOT, updates)
    if kind in (MOMENTUM, NESTEROV, ADAM, ADAMW):
        fading = Fading(kind, rule.ratio, rule.lifetime)
        coast(fading, (firsts, t - synced), memory.pace, powers, _state(memory, 0), starts, ahead, rule.ld)
    elif kind == FTRL:
        if (rule.l1 != 0.0 or rule.l2 != 0.0) and counters[ROWS] > 0.0:  # else nothing has changed
            eta0 = first_step(rule, counters)[0]
            leading = Step(0.0, 0.0, 0.0, rule.l1, rule.l2, 0.0, 0.0, rule.eps, eta0, now)
            leader(leading, w, a, b, starts, ahead, rule.ld)
    elif kind == SVRG:
        l1, l2 = rule.l1, rule.l2
        for c in range(count):
            j = touched[c]
            if last[j] < t:
                if len(factor):  # its equation holds in any unit
                    l1, l2 = rule.late_l1 * factor[j], rule.late_l2 * factor[j] ** 2
                start = np.uint64(starts[c])
                drift(w, b, now - clock[j], l1, l2, start, start + np.uint64(rule.ld))
                clock[j], last[j] = now, t


@jit
def touch(rule, memory, rows, first, stop, held):
    """List the features of the rows order[first:stop], each once, and bring their weights to the last update.

    held: the entries of these rows, feature by feature, which are filled in.
    """
    touched, slots, ends = memory.touched, memory.slots, memory.entries
    order, indptr, indices, values = rows.order, rows.indptr, rows.indices, rows.values
    row, value = held
    count = 0
    if stop - first == 1 and len(memory.offsets) == 0:
        for p in range(indptr[order[first]], indptr[order[first] + 1]):
            touched[count], ends[count] = indices[p], count + 1
            row[count], value[count] = 0, values[p]
            count += 1
    else:
        for r in range(first, stop):
            for p in range(indptr[order[r]], indptr[order[r] + 1]):
                count = _list(touched, slots, ends, int(indices[p]), 1, count)
        for j in memory.offsets:
            count = _list(touched, slots, ends, int(j), 0, count)
        end = 0
        for c in range(count):  # from the numbers of entries to where they begin
            end, ends[c] = end + ends[c], end
        for r in range(first, stop):
            for p in range(indptr[order[r]], indptr[order[r] + 1]):
                c = slots[indices[p]]
                row[ends[c]], value[ends[c]] = r - first, values[p]
                ends[c] += 1
        for c in range(count):
            slots[touched[c]] = -1
    catch_up(rule, memory, count)
    return count


@inlined
def _list(touched, slots, ends, j, entries, count):
    """Put feature j on the list, if it is not there yet, and count its entries."""
    c = slots[j]
    if c < 0:
        c = slots[j] = count
        touched[c], ends[c] = j, 0
        count += 1
    ends[c] += entries
    return count


@jit
def touch_row(rule, memory, rows, r):
    """Bring the weights of one row's features to the last update: for svrg, on any storage."""
    touched, order, indptr, indices = memory.touched, rows.order, rows.indptr, rows.indices
    count = 0
    if len(indptr) == 0:
        count = touch_all(rule, memory)
    else:
        for j in memory.offsets:
            touched[count] = j
            count += 1
        for p in range(indptr[order[r]], indptr[order[r] + 1]):  # a second time changes nothing
            touched[count] = indices[p]
            count += 1
    catch_up(rule, memory, count)


@jit
def gather(rule, memory, held, first, stop):
    """Add up the gradients of the features touched[first:stop] in memory.g, one after another.

    held: as in `touch`. The sum of all rows' gradients by logits is that of the intercept.
    """
    g, q, shift, factor, real = memory.g, memory.q, memory.shift, memory.factor, memory.w.dtype.type
    row, value, ends, touched = *held, memory.entries, memory.touched
    width, wide, total = np.uint64(rule.ld), np.uint64(len(q) // rule.batch), np.uint64(TOGETHER * rule.ld)
    for c in range(first, stop):
        at, begin = np.uint64(c - first) * width, ends[c - 1] if c > 0 else 0
        unit = real(factor[touched[c]]) if len(factor) else real(1)
        for e in range(begin, ends[c]):
            x, here = value[e] * unit, np.uint64(row[e]) * wide
            if e == begin:
                for k in range(width):
                    g[at + k] = x * q[here + k]
            else:
                for k in range(width):
                    g[at + k] += x * q[here + k]
        if begin == ends[c]:
            for k in range(width):
                g[at + k] = real(0)
        if len(shift) and shift[touched[c]] != 0.0:
            x = real(-shift[touched[c]] * factor[touched[c]])
            for k in range(width):
                g[at + k] += x * g[total + k]


@jit
def touch_all(rule, memory):
    """List every feature."""
    for j in range(rule.d):
        memory.touched[j] = j
    return rule.d


@jit
def synchronise(rule, memory):
    """Bring every feature up to the last update."""
    counters = memory.counters
    if rule.kind == SGD and rule.l1 != 0.0 and len(memory.a) > 0:
        pay(memory.w[: rule.features], memory.a[: rule.features], counters[BUDGET])
    if counters[SCALE] != 1.0:
        rescale(rule, memory)
    if len(memory.last):
        catch_up(rule, memory, touch_all(rule, memory))
        fade(rule.kind, memory.a, memory.b, _each(memory, rule.d, memory.starts[:0]), rule.ld)
        memory.last[:] = int(counters[UPDATES])
        if divides(rule.kind) and (rule.l1 != 0.0 or rule.l2 != 0.0):
            clock, pulls, now, unit = memory.clock, memory.pulls, counters[CLOCK], _root(rule, counters)
            for j in range(rule.d):
                pulls[j] = (now - clock[j]) * unit
                clock[j] = now
            settle(rule, pulls, memory.w, memory.b if rule.kind == ADAM else memory.a, memory.starts, rule.ld)
    counters[SYNCED], counters[LEFT] = counters[UPDATES], 1.0


@jit
def penalise(rule, memory):
    """Apply the penalty if columns have their own units, as a proximal step in the optimiser's metric.

    It is applied to all parameters, for the whole time since the last call. They must be up to the last update.
    """
    w, a, b, counters, factor = memory.w, memory.a, memory.b, memory.counters, memory.factor
    time = counters[CLOCK] - counters[PENALISED]
    counters[PENALISED] = counters[CLOCK]
    counters[BUDGET] += rule.late_l1 * time
    if divides(rule.kind):
        time *= _root(rule, counters)
    budget = rule.kind == SGD and rule.late_l1 != 0.0 and len(a) > 0
    outer, inner = (rule.K, rule.d) if rule.by_class else (rule.d, rule.K)
    for i in range(outer):
        for p in range(i * rule.ld, i * rule.ld + inner):
            f = factor[p - i * rule.ld if rule.by_class else i]
            own = time / divisor(rule.kind, a, b, p, rule.eps)
            cut = 0.0 if budget else rule.late_l1 * f * own
            w[p] = shrunk(float(w[p]), cut, rule.late_l2 * f * f * own)
            if budget:
                pay(w[p : p + 1], a[p : p + 1], f * counters[BUDGET])


@jit
def averages_now(rule, counters):
    t = int(counters[UPDATES])
    return rule.average_from >= 0 and t > rule.average_from and t % rule.average_every == 0


@jit
def penalises_now(rule, counters):
    return rule.late_every > 0 and int(counters[UPDATES]) % rule.late_every == 0


@jit
def is_due(rule, counters, lazy):
    """Tell whether `after_update` has anything to do: a call with all arrays costs as much as a short row."""
    if averages_now(rule, counters) or penalises_now(rule, counters):
        return True
    return lazy and (counters[UPDATES] - counters[SYNCED] >= rule.era or counters[LEFT] < LEAST_LEFT)


@jit
def after_update(rule, memory):
    """Do what is due after some updates: start an era, apply penalties, average."""
    synchronise(rule, memory)
    counters = memory.counters
    if penalises_now(rule, counters):
        penalise(rule, memory)
    if averages_now(rule, counters):
        counters[AVERAGED] += 1.0
        share = memory.w.dtype.type(1.0 / counters[AVERAGED])
        w, average = memory.w[: rule.features + rule.K], memory.average[: rule.features + rule.K]
        for i in range(len(w)):
            average[i] += share * (w[i] - average[i])


@jit
def pay_touched(rule, memory, rows, first, stop):
    """Let the features of the rows order[first:stop] pay what L1 has demanded so far."""
    w, paid, budget = memory.w, memory.a, memory.counters[BUDGET]
    order, indptr, indices = rows.order, rows.indptr, rows.indices
    if len(indptr) == 0:
        pay(w[: rule.features], paid[: rule.features], budget)
        return
    for r in range(first, stop):
        for p in range(indptr[order[r]], indptr[order[r] + 1]):
            start = int(indices[p]) * rule.ld
            pay(w[start : start + rule.ld], paid[start : start + rule.ld], budget)


@jit
def plain(rule, memory, rows, loss, mass):
    """SGD without memory. Returns the sums of s_i loss_i, each before its update, and of s_i, including these rows.

    loss, mass: the sums so far, which continue, so that it makes no difference where an epoch is cut. Gradients go
    directly into the weights, which have a common factor because of L2. A feature pays what L1 demands when it is next
    used.
    """
    w, q, counters = memory.w, memory.q, memory.counters
    api, order = rows.api, rows.order
    address, q_address, order_address = w.ctypes.data, q.ctypes.data, order.ctypes.data
    n, features = len(order), rule.features
    width = len(q) // rule.batch
    for first in range(0, n, rule.batch):
        stop = min(first + rule.batch, n)
        if rule.l1 != 0.0:
            pay_touched(rule, memory, rows, first, stop)
        square, weight = weigh(counters, rows, first, stop)
        time, multiple = step_size(rule, counters, square, weight)
        weight *= stop - first
        # Losses already include their weights.
        step, intercept = time / weight, multiple * time / weight if rule.fit_intercept else 0.0
        before = counters[SCALE]
        counters[SCALE] *= left(SGD, time, rule.l2)
        if rule.batch == 1 and counters[SCALE] >= LEAST_SCALE:
            here = order_address + first * order.itemsize
            own = row_step(api, here, n - stop, address, before, step / counters[SCALE], intercept)
        else:
            own = 0.0
            for r in range(first, stop):
                at = q_address + (r - first) * width * q.itemsize
                here = order_address + r * order.itemsize
                own += row_gradient(api, here, n - r - 1, address, before, at)
            if counters[SCALE] < LEAST_SCALE:
                rescale(rule, memory)
            for r in range(first, stop):
                row = (r - first) * width
                row_add(api, order[r], q_address + row * q.itemsize, -step / counters[SCALE], address)
                for k in range(rule.K):
                    w[features + k] -= w.dtype.type(intercept) * q[row + k]
        loss, mass = loss + own, mass + weight
        counters[LOSSES] += min(own / weight, rule.no_model)
        counters[BUDGET] += rule.l1 * time / counters[SCALE]
        counters[CLOCK] += time
        counters[UPDATES] += 1.0
        if is_due(rule, counters, False):
            after_update(rule, memory)
    return loss, mass


@jit
def sparse_batches(rule, memory, rows, loss, mass):
    """Batches of CSR rows, by the features that they have. Sums as in `plain`."""
    w, q, counters = memory.w, memory.q, memory.counters
    api, order, indptr = rows.api, rows.order, rows.indptr
    address, q_address, order_address = w.ctypes.data, q.ctypes.data, order.ctypes.data
    n, width, most = len(order), len(q) // rule.batch, 0
    for first in range(0, n, rule.batch):
        entries = 0
        for r in range(first, min(first + rule.batch, n)):
            entries += indptr[order[r] + 1] - indptr[order[r]]
        most = max(most, entries)
    held = (np.empty(most, np.int32), np.empty(most, w.dtype))
    for first in range(0, n, rule.batch):
        stop = min(first + rule.batch, n)
        count = touch(rule, memory, rows, first, stop, held)
        square, weight = weigh(counters, rows, first, stop)
        time, multiple = step_size(rule, counters, square, weight)
        weight *= stop - first
        own = 0.0
        for r in range(first, stop):
            here, at = order_address + r * order.itemsize, q_address + (r - first) * width * q.itemsize
            own += row_gradient(api, here, n - r - 1, address, 1.0, at)
        step_touched(rule, memory, held, (stop - first, count), 1.0 / weight, time, multiple)
        loss, mass = loss + own, mass + weight
        counters[LOSSES] += min(own / weight, rule.no_model)
        if is_due(rule, counters, True):
            after_update(rule, memory)
    return loss, mass


@jit
def dense_rows(rule, memory, rows, loss, mass):
    """Dense rows one by one, all parameters at once. Sums as in `plain`."""
    w, g, q, counters = memory.w, memory.g, memory.q, memory.counters
    api, order = rows.api, rows.order
    address, g_address, q_address, order_address = (
        w.ctypes.data,
        g.ctypes.data,
        q.ctypes.data,
        order.ctypes.data,
    )
    n = len(order)
    for r in range(n):
        square, weight = weigh(counters, rows, r, r + 1)
        time, multiple = step_size(rule, counters, square, weight)
        own = row_gradient(api, order_address + r * order.itemsize, n - r - 1, address, 1.0, q_address)
        row_add(api, order[r], q_address, 1.0, g_address)
        for k in range(rule.K):
            g[rule.features + k] += q[k]
        loss, mass = loss + own, mass + weight
        counters[LOSSES] += min(own / weight, rule.no_model)
        step_everything(rule, memory, 1.0 / weight, time, multiple)
        if is_due(rule, counters, False):
            after_update(rule, memory)
    return loss, mass


@jit
def dense_batches(rule, memory, rows, loss, mass):
    """Batches of dense rows, with updates of all parameters. Sums as in `plain`."""
    w, g, counters = memory.w, memory.g, memory.counters
    api, order = rows.api, rows.order
    w_address, g_address, order_address = w.ctypes.data, g.ctypes.data, order.ctypes.data
    n = len(order)
    for first in range(0, n, rule.batch):
        stop = min(first + rule.batch, n)
        square, weight = weigh(counters, rows, first, stop)
        time, multiple = step_size(rule, counters, square, weight)
        weight *= stop - first
        here = order_address + first * order.itemsize
        own = batch_gradient(api, here, stop - first, w_address, g_address)
        loss, mass = loss + own, mass + weight
        counters[LOSSES] += min(own / weight, rule.no_model)
        step_everything(rule, memory, 1.0 / weight, time, multiple)
        if is_due(rule, counters, False):
            after_update(rule, memory)
    return loss, mass


@jit
def variance_reduced(rule, memory, rows, share, loss, mass):
    """SVRG, row by row. Sums as in `plain`.

    memory.a has the snapshot, memory.b the mean gradient there. share: number of rows / sum of weights.
    """
    w, snapshot, mean, q, counters = memory.w, memory.a, memory.b, memory.q, memory.counters
    api, order, weights = rows.api, rows.order, rows.weights
    width = len(q) // 2
    address, order_address = w.ctypes.data, order.ctypes.data
    there, here = q.ctypes.data + width * q.itemsize, q.ctypes.data
    features = rule.features
    time = rule.eta0 * counters[LOWERED]
    counters[ETA] = time
    eta = w.dtype.type(time)
    time = min(time, 1.0 / rule.l2) if rule.l2 > 0.0 else time  # more would overshoot
    step = lengthened(time, rule.l2) * share
    part = w.dtype.type(share)
    for r in range(len(order)):
        i = order[r]
        touch_row(rule, memory, rows, r)
        place, after = order_address + r * order.itemsize, len(order) - r - 1
        loss += row_gradient(api, place, after, address, 1.0, here)
        row_gradient(api, place, after, snapshot.ctypes.data, 1.0, there)
        mass += weights[i] if len(weights) else 1.0
        for k in range(rule.K):
            q[k] -= q[width + k]
        row_add(api, i, here, -step, address)
        if rule.fit_intercept:
            for k in range(rule.K):
                w[features + k] -= eta * (part * q[k] + mean[features + k])
        counters[CLOCK] += time
        counters[UPDATES] += 1.0
        if is_due(rule, counters, True):
            after_update(rule, memory)
    return loss, mass


@jit
def step_full(rule, memory):
    """One update with the gradient of the mean loss over all rows, in memory.g."""
    time, multiple = step_size(rule, memory.counters, 0.0, 1.0)
    step_everything(rule, memory, 1.0, time, multiple)
    if is_due(rule, memory.counters, False):
        after_update(rule, memory)


@jit
def step_everything(rule, memory, part, time, multiple):
    """One update of all parameters with `part` times the gradient in memory.g."""
    counters = memory.counters
    pays = rule.kind == SGD and len(memory.a) > 0
    _count_update(counters, time)
    step = _step(rule, counters, part, time, 0.0 if pays else rule.l1)
    each = _each(memory, 1, memory.starts[:0])
    each.starts[0], each.faded[0], each.faded_root[0] = 0, 1.0, 1.0
    each.pulls[0] = time * _root(rule, counters)
    one = len(each.starts)
    update(rule.kind, step, _state(memory, 0), each, one - 1, one, rule.features)
    if pays:
        _pay_at_once(rule, memory, time)
    _update_intercept(rule, memory, rule.features, part, time, multiple)
    memory.g[:] = 0


@jit
def _pay_at_once(rule, memory, time):
    """Let all weights pay what L1 demands in this update and has demanded before."""
    w, paid, counters = memory.w[: rule.features], memory.a[: rule.features], memory.counters
    keep = left(SGD, time, rule.l2)
    for i in range(len(paid)):
        paid[i] *= paid.dtype.type(keep)
    counters[BUDGET] = keep * counters[BUDGET] + rule.l1 * time
    pay(w, paid, counters[BUDGET])


@jit
def step_touched(rule, memory, held, counts, part, time, multiple):
    """One update of features and of the intercept.

    counts: of rows, whose gradients by logits are known, and of features, which are in touched.
    """
    rows, count = counts
    touched, last, clock, counters, g, q = (
        memory.touched,
        memory.last,
        memory.clock,
        memory.counters,
        memory.g,
        memory.q,
    )
    kind, at, pulls = rule.kind, int(counters[UPDATES] - counters[SYNCED]), memory.pulls
    _count_update(counters, time)
    step, root = _step(rule, counters, part, time, rule.l1), _root(rule, counters)
    move, keep, cut = step.size, 1.0, 0.0
    if kind in (MOMENTUM, NESTEROV, ADAMW):
        keep, cut = left(kind, time, rule.l2), rule.l1 * time
    if kind in (MOMENTUM, NESTEROV):
        move, cut = keep * (move * rule.beta1 if kind == NESTEROV else move), keep * cut
    counters[LEFT] = note(memory.pace, memory.powers, at, move, keep, cut)
    t, now = int(counters[UPDATES]), counters[CLOCK]
    for c in range(count):
        j = touched[c]
        pulls[c] = (now - clock[j]) * root
        last[j], clock[j] = t, now
    width, total = len(q) // rule.batch, TOGETHER * rule.ld
    g[total : total + rule.K] = 0
    for r in range(rows):
        for k in range(rule.K):
            g[total + k] += q[r * width + k]
    ahead = memory.starts[min(FAR, count) : count]
    each, state = _each(memory, count, ahead), _state(memory, 0)
    for first in range(0, count, TOGETHER):
        stop = min(first + TOGETHER, count)
        gather(rule, memory, held, first, stop)
        update(kind, step, state, each, first, stop, rule.ld)
    _update_intercept(rule, memory, total, part, time, multiple)


@inlined
def _state(memory, at):
    """Return what `update` takes, with gradients that begin there."""
    return State(memory.w, memory.g[at:], memory.a, memory.b)


@inlined
def _each(memory, count, ahead):
    return Each(
        memory.starts[:count], memory.faded[:count], memory.faded_root[:count], memory.pulls[:count], ahead
    )


@inlined
def _count_update(counters, time):
    counters[CLOCK] += time
    counters[UPDATES] += 1.0


@jit
def _step(rule, counters, part, time, l1):
    """Return the features' Step of the last counted update."""
    beta1, beta2 = rule.beta1, rule.beta2
    size = move_size(rule.kind, age(counters), time, beta1, beta2)
    eta0, _ = first_step(rule, counters)
    return Step(part, time, size, l1, rule.l2, beta1, beta2, rule.eps, eta0, counters[CLOCK])


@jit
def _root(rule, counters):
    """Return adam's correction of its divisor."""
    return correction(rule.kind, age(counters), rule.beta2)


@jit
def _update_intercept(rule, memory, at, part, time, multiple):
    """The same for the intercept, which has no penalty. at: where its gradient is."""
    counters = memory.counters
    if not rule.fit_intercept:
        return
    beta1, beta2, time = rule.beta1, rule.beta2, time * multiple
    size = move_size(rule.kind, age(counters), time, beta1, beta2)
    eta0, factor = first_step(rule, counters)
    step = Step(part, time, size, 0.0, 0.0, beta1, beta2, rule.eps, eta0 * factor, 0.0)
    each = _each(memory, 1, memory.starts[:0])
    each.starts[0], each.faded[0], each.faded_root[0], each.pulls[0] = rule.features, 1.0, 1.0, 0.0
    one = len(each.starts)
    update(rule.kind, step, _state(memory, at), each, one - 1, one, rule.K)
