"""Optimisers and penalties, on stretches of parameters.

An update of size eta moves the weights along the gradient g of the loss and applies the penalty. Plain SGD takes the
textbook step, and L1 is a debt of each weight (see `pay`):

    w = (1 - l2 eta) w - eta g       which is  w -= eta (g + l2 w)

The eta of the weights is at most 1 / l2. With this value w becomes -g / l2, its equilibrium under a strong penalty; a
larger step would overshoot. All weights shrink by a common factor, so a row need not touch the weights of features that
it does not have.

In each update L1 demands l1 eta from each weight. A weight pays at most what brings it to 0; the rest remains due until
gradients move it again (the cumulative penalty of Tsuruoka, Tsujii, Ananiadou 2009, as in scikit-learn). So the noise
of single rows has to add up before a weight leaves 0. The debt shrinks by 1 - l2 eta, as the weights do. In full
batches there is no noise, and L1 is a proximal step, with soft(x, c) = sign(x) max(|x| - c, 0).

Under momentum the penalty is also a proximal step, whose fixed points are optima for any strength:

    w = soft(w - eta u, l1 eta') / (1 + l2 eta')       eta' = eta / (1 - beta)

A gradient that momentum repeats counts eta (1 + beta + beta^2 + ...) in total, and the penalty has the same size. adamw
applies its penalty separately, as published: w = soft((1 - l2 eta) w - eta u, l1 eta), with u = adam's direction and,
again, at most 1 / l2 for eta. The penalties of many updates have a closed form (see `gaps`), so a feature that was
absent for some time catches up in one step.

Where an optimiser divides by h = sqrt(G), it still minimises F only if the penalty is divided as well. adagrad, rmsprop
and adam take the proximal step in their own metric, whose fixed points are the optima (Yun, Lozano, Yang 2021), with at
most 1 / l2 for eta / h, as plain SGD does:

    w = soft((1 - l2 eta / h) w - (eta / h) g, l1 eta / h)

On sparse rows they take it when a row has the feature, with the penalty of the whole time since the last one. (The flow
dw/dt = -l2 w - l1 sign(w),  which adagrad could follow through a gap, costs two exponentials for each weight of each
row. Its fixed points are the same.)

adam and adamw start the mean of squares at eps^2 instead of adding eps to its root: the divisor is still positive, and
a parameter without gradients keeps moving in a fixed direction.

svrg (stochastic variance reduced gradient) adds to a row's gradient at w the mean gradient over all rows at a
snapshot v, and subtracts the row's own gradient there. The noise vanishes at the optimum, so steps need not become
shorter. Between two rows that have a feature, its weight follows the mean gradient and the penalty: `drift`.

ftrl (follow the regularised leader, proximal) stores the sum z of gradients, corrected for the weights at which they
were computed. With n the sum of their squares and S the number of updates so far (precisely: the sum of their weights),

    w = -soft(z, l1 S) / ((eps + sqrt(n)) / eta0 + l2 S)
"""

import math
from typing import NamedTuple

import numpy as np

from .bridge import fetch
from .compile import inlined, jit

OPTIMIZERS = {
    "sgd": 0,
    "momentum": 1,
    "nesterov": 2,
    "adagrad": 3,
    "rmsprop": 4,
    "adam": 5,
    "adamw": 6,
    "ftrl": 7,
    "svrg": 8,
}
SGD, MOMENTUM, NESTEROV, ADAGRAD, RMSPROP, ADAM, ADAMW, FTRL, SVRG = range(9)

# What each optimiser stores, in one or two arrays like the weights. sgd needs its array only for L1. Of squares the
# root is stored. While adam and adamw run, the mean gradient is divided by it: along that weights move through a gap.
MEMORY = {
    SGD: ("paid",),
    MOMENTUM: ("gradient",),
    NESTEROV: ("gradient",),
    ADAGRAD: ("root",),
    RMSPROP: ("root",),
    ADAM: ("gradient", "root"),
    ADAMW: ("gradient", "root"),
    FTRL: ("sums", "root"),
    SVRG: ("weights", "gradient"),
}
LEAST_ROOT = 1e-18  # the least divisor of adam: its square is near the smallest normal float32
FAR = 6  # features that memory is asked for ahead of their turn


class State(NamedTuple):
    """Parameters and the optimiser's memory; arrays of the same length, or empty."""

    w: np.ndarray
    g: np.ndarray  # gradient; of as many stretches as are updated together
    a: np.ndarray  # see MEMORY
    b: np.ndarray


class Step(NamedTuple):
    """The numbers of an update, which all its parameters share."""

    weight: float  # weight * g is the mean gradient of the batch
    time: float  # eta
    size: float  # the factor of the move, see `move_size`
    l1: float  # like l2, 0 for intercepts
    l2: float
    beta1: float
    beta2: float
    eps: float
    eta0: float  # only for ftrl, like the next
    clock: float  # the time so far, including this update


class Each(NamedTuple):
    """What is different for each of the stretches of an update, which are of one length."""

    starts: np.ndarray  # where it begins
    faded: np.ndarray  # what its running mean of gradients has lost in a gap that ends here, as a factor
    faded_root: np.ndarray  # ... and that of squares, its root
    pulls: np.ndarray  # the time since its penalty was last applied, for those that `divides`
    ahead: np.ndarray  # the same as starts, but FAR further: memory is asked for them meanwhile


@jit
def lengthened(time, l2):
    """Return (exp(l2 time) - 1) / l2, which is time for l2 = 0."""
    return time if l2 == 0.0 else math.expm1(l2 * time) / l2


@jit
def divides(kind):
    """Tell whether the penalty comes in the metric that an optimiser divides by."""
    return kind in (ADAGRAD, RMSPROP, ADAM)


# Loops run over stretches of long arrays, with unsigned places: an index that Numba knows not to be negative is what
# lets LLVM use whole registers. Slices would do as well, but Numba counts references to each of them, to each array
# that a call takes, and to each that comes out of a tuple: for a feature with few classes, that takes longer than its
# update. So a call is for many stretches, its arrays get names before the loop, and what is called within has none.


@jit
def left(kind, time, l2):
    """Return the share of a weight that the L2 penalty of an update leaves."""
    if kind in (MOMENTUM, NESTEROV):
        return 1.0 / (1.0 + l2 * time)
    return max(0.0, 1.0 - l2 * time)


@jit
def pay(w, paid, budget):
    """Move weights towards 0 by what each owes to L1.

    budget: what L1 has demanded from each so far. paid: what each has paid, with the sign of the change.
    """
    real = w.dtype.type
    zero, budget = real(0), real(budget)
    for i in range(len(w)):
        before = w[i]
        down, up = max(budget + paid[i], zero), max(budget - paid[i], zero)
        w[i] = max(before - down, zero) + min(before + up, zero)
        paid[i] += w[i] - before


@inlined
def soft(x, cut):
    """Move x towards 0 by a cut >= 0, but not beyond 0. What is not a number stays so."""
    return x - max(min(x, cut), -cut)


@jit
def update(kind, step, state, each, first, stop, width):
    """Update the stretches first..stop with their gradients, which stand one after another in g, and their penalty.

    width: of each stretch.
    """
    if kind == SGD:
        _sgd(step, state, each, first, stop, width)
    elif kind in (MOMENTUM, NESTEROV):
        _momentum(kind, step, state, each, first, stop, width)
    elif kind in (ADAGRAD, RMSPROP):
        _scaled(kind, step, state, each, first, stop, width)
    elif kind in (ADAM, ADAMW):
        _adam(kind, step, state, each, first, stop, width)
    else:
        _ftrl(step, state, each, first, stop, width)


@jit
def places(w, a, b):
    """Return the addresses of the arrays; 0 for those that are empty."""
    return w.ctypes.data, a.ctypes.data if len(a) else 0, b.ctypes.data if len(b) else 0


@jit
def fetch_all(addresses, offset, size):
    """Ask for a stretch of all arrays, which will soon be needed."""
    w, a, b = addresses
    fetch(w + offset, size)
    if a != 0:
        fetch(a + offset, size)
    if b != 0:
        fetch(b + offset, size)


@jit
def _sgd(step, state, each, first, stop, width):
    w, g, starts, real, wide = state.w, state.g, each.starts, state.w.dtype.type, np.uint64(width)
    keep, cut = real(left(SGD, step.time, step.l2)), real(step.l1 * step.time)
    size = real(step.size) * real(step.weight)
    for c in range(first, stop):
        start, at = np.uint64(starts[c]), np.uint64(c - first) * wide
        for k in range(wide):
            i = start + k
            w[i] = soft(keep * w[i] - size * g[at + k], cut)


@jit
def _momentum(kind, step, state, each, first, stop, width):
    w, g, velocity, starts, faded, ahead = state.w, state.g, state.a, each.starts, each.faded, each.ahead
    real, wide, bytes_of_one = w.dtype.type, np.uint64(width), w.itemsize
    arrays = places(w, velocity, state.b)
    kept = left(kind, step.time, step.l2)
    keep, cut = real(kept), real(kept * step.l1 * step.time)
    weight, size, beta = real(step.weight), real(step.size), real(step.beta1)
    own, carried = (real(1), beta) if kind == NESTEROV else (real(0), real(1))
    for c in range(first, stop):
        if c < len(ahead):
            fetch_all(arrays, ahead[c] * bytes_of_one, width * bytes_of_one)
        start, at, fading = np.uint64(starts[c]), np.uint64(c - first) * wide, real(step.beta1 * faded[c])
        for k in range(wide):
            i = start + k
            gi = weight * g[at + k]
            v = fading * velocity[i] + gi
            velocity[i] = v
            w[i] = soft(keep * (w[i] - size * (own * gi + carried * v)), cut)


@jit
def _scaled(kind, step, state, each, first, stop, width):
    """adagrad and rmsprop."""
    w, g, root, starts, faded, pulls = state.w, state.g, state.a, each.starts, each.faded_root, each.pulls
    real, wide, bytes_of_one, ahead = w.dtype.type, np.uint64(width), w.itemsize, each.ahead
    arrays = places(w, root, state.b)
    keep, share = (step.beta1, 1.0 - step.beta1) if kind == RMSPROP else (1.0, 1.0)
    part, eps, one, weight, size = real(share), real(step.eps), real(1), real(step.weight), real(step.time)
    for c in range(first, stop):
        if c < len(ahead):
            fetch_all(arrays, ahead[c] * bytes_of_one, width * bytes_of_one)
        start, at, kept = np.uint64(starts[c]), np.uint64(c - first) * wide, real(keep)
        if kind == RMSPROP:
            kept = real(keep * faded[c] ** 2)
        ridge, cut = real(step.l2 * pulls[c]), real(step.l1 * pulls[c])
        most, zero = one / ridge, real(0)
        for k in range(wide):
            i = start + k
            gi = weight * g[at + k]
            h = math.sqrt(kept * (root[i] * root[i]) + part * (gi * gi))
            root[i] = h
            h = one / (h + eps)
            short = min(h, most)
            w[i] = soft(max(one - ridge * h, zero) * w[i] - (size * gi) * short, cut * short)


@jit
def _adam(kind, step, state, each, first, stop, width):
    """adam and adamw."""
    w, g, direction, root, starts, pulls = state.w, state.g, state.a, state.b, each.starts, each.pulls
    faded, faded_root, ahead = each.faded, each.faded_root, each.ahead
    real, wide, bytes_of_one = w.dtype.type, np.uint64(width), w.itemsize
    arrays = places(w, direction, root)
    one, least, keep, pinch = real(1), real(LEAST_ROOT), real(1), real(0)
    l1, l2 = step.l1, step.l2
    if kind == ADAMW:
        keep, pinch = real(left(kind, step.time, step.l2)), real(step.l1 * step.time)
        l1, l2 = 0.0, 0.0
    weight, size = real(step.weight), real(step.size)
    part1, part2 = real(1.0 - step.beta1), real(1.0 - step.beta2)
    for c in range(first, stop):
        if c < len(ahead):
            fetch_all(arrays, ahead[c] * bytes_of_one, width * bytes_of_one)
        start, at = np.uint64(starts[c]), np.uint64(c - first) * wide
        kept1, kept2 = real(step.beta1 * faded[c]), real(step.beta2 * faded_root[c] ** 2)
        ridge, cut = real(l2 * pulls[c]), real(l1 * pulls[c])
        most, zero = one / ridge, real(0)
        for k in range(wide):
            i = start + k
            gi, before = weight * g[at + k], root[i]
            m = kept1 * (direction[i] * before) + part1 * gi
            h = max(math.sqrt(kept2 * (before * before) + part2 * (gi * gi)), least)
            root[i] = h
            h = one / h
            direction[i] = m * h
            short = min(h, most)
            x = soft(keep * max(one - ridge * h, zero) * w[i] - (size * m) * short, cut * short)
            w[i] = soft(x, pinch)


@jit
def _ftrl(step, state, each, first, stop, width):
    w, g, sums, root, starts, ahead = state.w, state.g, state.a, state.b, each.starts, each.ahead
    real, wide, bytes_of_one = w.dtype.type, np.uint64(width), w.itemsize
    arrays = places(w, sums, root)
    inverse, weight, eps = real(1.0 / step.eta0), real(real(step.weight) * step.time), real(step.eps)
    ridge, cut = real(step.l2 * step.clock), real(step.l1 * step.clock)
    for c in range(first, stop):
        if c < len(ahead):
            fetch_all(arrays, ahead[c] * bytes_of_one, width * bytes_of_one)
        start, at = np.uint64(starts[c]), np.uint64(c - first) * wide
        for k in range(wide):
            i = start + k
            gi = weight * g[at + k]
            h = math.sqrt(root[i] * root[i] + gi * gi)
            sums[i] += gi - (h - root[i]) * inverse * w[i]
            root[i] = h
            w[i] = -soft(sums[i], cut) / ((eps + h) * inverse + ridge)


@jit
def settle(step, pulls, w, root, starts, width):
    """Apply the penalty of an optimiser that `divides`, whose divisors these are. step: has l1, l2 and eps.

    pulls: as in Each, for each stretch.
    """
    real, wide = w.dtype.type, np.uint64(width)
    one, eps = real(1), real(step.eps)
    for c in range(len(starts)):
        start, ridge, cut = np.uint64(starts[c]), real(step.l2 * pulls[c]), real(step.l1 * pulls[c])
        most, zero = one / ridge, real(0)
        for k in range(wide):
            i = start + k
            h = one / (root[i] + eps)
            w[i] = soft(max(one - ridge * h, zero) * w[i], cut * min(h, most))


@jit
def shrunk(w, cut, ridge):
    """The proximal step of a penalty on one weight: what minimises cut |x| + ridge x^2 / 2 + (x - w)^2 / 2."""
    return soft(w, cut) / (1.0 + ridge)


@jit
def divisor(kind, a, b, i, eps):
    """Return the optimiser's divisor of the gradient of parameter i."""
    if kind in (ADAGRAD, RMSPROP):
        return a[i] + eps
    return b[i] if kind == ADAM else 1.0


@jit
def correction(kind, t, beta2):
    """Return adam's correction after t updates, a factor of the root of its running mean; 1 for others."""
    return math.sqrt(1.0 - beta2**t) if kind in (ADAM, ADAMW) else 1.0


@jit
def leader(step, w, sums, root, starts, ahead, width):
    """Compute ftrl's weights from its sums. ahead: as in Each."""
    real, wide, bytes_of_one = w.dtype.type, np.uint64(width), w.itemsize
    arrays = places(w, sums, root)
    inverse, eps = real(1.0 / step.eta0), real(step.eps)
    ridge, cut = real(step.l2 * step.clock), real(step.l1 * step.clock)
    for c in range(len(starts)):
        if c < len(ahead):
            fetch_all(arrays, ahead[c] * bytes_of_one, width * bytes_of_one)
        start = np.uint64(starts[c])
        for k in range(wide):
            i = start + k
            w[i] = -soft(sums[i], cut) / ((eps + root[i]) * inverse + ridge)


@inlined
def drift(w, mean, time, l1, l2, start, stop):
    """Apply the penalty and a constant gradient for a time: solve dw/dt = -l2 w - l1 sign(w) - mean."""
    real = w.dtype.type
    if l1 == 0.0:
        decay = real(math.exp(-l2 * time))
        step = real(time if l2 == 0.0 else -math.expm1(-l2 * time) / l2)
        for i in range(start, stop):
            w[i] = decay * w[i] - step * mean[i]
    else:
        for i in range(start, stop):
            w[i] = _drift_one(float(w[i]), float(mean[i]), time, l1, l2)


@jit
def _drift_one(w, mean, time, l1, l2):
    for _ in range(2):  # a weight crosses or meets zero at most once
        sign = 1.0 if w > 0.0 else -1.0 if w < 0.0 else 1.0 if mean < -l1 else -1.0 if mean > l1 else 0.0
        if sign == 0.0:
            return 0.0
        pull = sign * mean + l1  # towards zero, without L2
        size = abs(w)
        if pull > 0.0:
            until_zero = size / pull if l2 == 0.0 else math.log1p(l2 * size / pull) / l2
            if until_zero < time:
                time -= until_zero
                w = 0.0
                continue
        if l2 == 0.0:
            return sign * (size - pull * time)
        return sign * (math.exp(-l2 * time) * size + pull * math.expm1(-l2 * time) / l2)
    return w


@jit
def move_size(kind, t, time, beta1, beta2):
    """Return the factor of the move of update t, including the bias corrections of running means."""
    if kind in (ADAM, ADAMW):
        return correction(kind, t, beta2) / (1.0 - beta1**t) * time
    return time * (1.0 - beta1) if kind in (MOMENTUM, NESTEROV) else time
