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

An optimiser that divides by h = sqrt(G) minimises F only if the penalty is divided as well. adagrad's h is constant
while a parameter has no gradient, and differs between parameters. So adagrad applies the penalty as a flow: the
solution at time eta / h of  dw/dt = -l2 w - l1 sign(w). Several flows are one flow for the sum of their times.
Together with the move this is the proximal step soft((1 - l2 eta') w - eta' g, l1 eta'), with
eta' = (1 - exp(-l2 eta / h)) / l2.

rmsprop and adam divide by an h that changes with every update, so a flow cannot catch up. They take the implicit
proximal step in their own metric, whose fixed points are also the optima (Yun, Lozano, Yang 2021):

    w = soft(w - eta u / h, l1 eta / h) / (1 + l2 eta / h)

On sparse rows they take it when a row has the feature, for the whole time since the last one.

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

# What each optimiser stores, in one or two arrays like the weights. sgd needs its array only for L1.
MEMORY = {
    SGD: ("paid",),
    MOMENTUM: ("gradient",),
    NESTEROV: ("gradient",),
    ADAGRAD: ("squares",),
    RMSPROP: ("squares",),
    ADAM: ("gradient", "squares"),
    ADAMW: ("gradient", "squares"),
    FTRL: ("sums", "squares"),
    SVRG: ("weights", "gradient"),
}
_FADES = 40.0  # for larger x, 1 - exp(-x) rounds to 1
LEAST_SQUARE = 1e-36  # the least mean of squares of adam, near the smallest normal float32


class State(NamedTuple):
    """Parameters and the optimiser's memory; arrays of the same length, or empty."""

    w: np.ndarray
    g: np.ndarray  # gradient
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


@jit
def lengthened(time, l2):
    """Return (exp(l2 time) - 1) / l2, which is time for l2 = 0."""
    return time if l2 == 0.0 else math.expm1(l2 * time) / l2


# Loops run over stretches start..stop of long arrays, with unsigned indices: LLVM uses vector registers only if Numba
# knows that an index is not negative. Slices would also work, but Numba counts references to each of them, and to each
# array argument of a call. For a feature with few classes, that takes longer than its update. For the same reason, the
# functions for single stretches are inlined.


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
def pinch(w, start, stop, cut):
    """Move weights towards 0 by a cut, but not past 0."""
    if cut != 0.0:
        own = w.dtype.type(cut)
        for i in range(start, stop):
            w[i] = _soft(w[i], own)


@jit
def _soft(x, cut):
    zero = cut - cut
    return max(x - cut, zero) + min(x + cut, zero)


@jit
def update(kind, step, state, starts, width, pulls):
    """Update stretches of parameters with their gradients, which are zeroed, and with their penalty.

    starts: where the stretches begin; each is `width` long. pulls: one for each, for rmsprop and adam, see `settle`.
    """
    w, g, a, b = state
    for c in range(len(starts)):
        start = np.uint64(starts[c])
        stop = start + np.uint64(width)
        if kind == SGD:
            _sgd(step, w, g, start, stop)
        elif kind in (MOMENTUM, NESTEROV):
            _momentum(step, kind == NESTEROV, w, g, a, start, stop)
        elif kind == ADAGRAD:
            _adagrad(step, w, g, a, start, stop)
        elif kind == RMSPROP:
            _rmsprop(step, w, g, a, start, stop)
            settle(step, pulls[c], w, a, start, stop)
        elif kind == ADAM:
            _adam(step, 1.0, w, g, a, b, start, stop)
            settle(step, pulls[c], w, b, start, stop)
        elif kind == ADAMW:
            _adam(step, left(kind, step.time, step.l2), w, g, a, b, start, stop)
            pinch(w, start, stop, step.l1 * step.time)
        else:
            _ftrl(step, w, g, a, b, start, stop)
            leader(step, w, a, b, start, stop)


@inlined
def _sgd(step, w, g, start, stop):
    real = w.dtype.type
    zero, keep = real(0), real(left(SGD, step.time, step.l2))
    size = real(step.size) * real(step.weight)
    for i in range(start, stop):
        w[i] = keep * w[i] - size * g[i]
        g[i] = zero
    pinch(w, start, stop, step.l1 * step.time)


@inlined
def _momentum(step, ahead, w, g, velocity, start, stop):
    """The move of momentum; ahead: of nesterov, which takes the gradient again and the next step's momentum."""
    real = w.dtype.type
    zero, keep = real(0), real(left(MOMENTUM, step.time, step.l2))
    weight, size, beta = real(step.weight), real(step.size), real(step.beta1)
    for i in range(start, stop):
        gi = weight * g[i]
        velocity[i] = beta * velocity[i] + gi
        w[i] = keep * (w[i] - size * (gi + beta * velocity[i] if ahead else velocity[i]))
        g[i] = zero
    pinch(w, start, stop, keep * step.l1 * step.time)


@inlined
def _adagrad(step, w, g, squares, start, stop):
    weight = w.dtype.type(step.weight)
    for i in range(start, stop):
        g[i] *= weight
        squares[i] += g[i] * g[i]
    flow(step, w, g, squares, start, stop)


@inlined
def _rmsprop(step, w, g, squares, start, stop):
    real = w.dtype.type
    one, zero = real(1), real(0)
    weight, size, beta, eps = real(step.weight), real(step.time), real(step.beta1), real(step.eps)
    for i in range(start, stop):
        gi = weight * g[i]
        squares[i] = beta * squares[i] + (one - beta) * gi * gi
        w[i] -= size / (math.sqrt(squares[i]) + eps) * gi
        g[i] = zero


@inlined
def _adam(step, keep, w, g, mean, squares, start, stop):
    """The move of adam and adamw. keep: the factor on the weights before it."""
    real = w.dtype.type
    one, zero, least, kept = real(1), real(0), real(LEAST_SQUARE), real(keep)
    weight, size, beta1, beta2 = real(step.weight), real(step.size), real(step.beta1), real(step.beta2)
    for i in range(start, stop):
        gi = weight * g[i]
        mean[i] = beta1 * mean[i] + (one - beta1) * gi
        squares[i] = max(beta2 * squares[i] + (one - beta2) * gi * gi, least)
        w[i] = kept * w[i] - size * mean[i] / math.sqrt(squares[i])
        g[i] = zero


@inlined
def _ftrl(step, w, g, sums, squares, start, stop):
    real = w.dtype.type
    zero, inverse, weight = real(0), real(1.0 / step.eta0), real(real(step.weight) * step.time)
    for i in range(start, stop):
        gi = weight * g[i]
        root = math.sqrt(squares[i])
        squares[i] += gi * gi
        sums[i] += gi - (math.sqrt(squares[i]) - root) * inverse * w[i]
        g[i] = zero


@inlined
def flow(step, w, g, squares, start, stop):
    """Move adagrad's weights along g, which is zeroed, and apply the penalty, each for its own time.

    step: the Step of an update, or a Gap; both have time, l1, l2 and eps.
    """
    real, time, l2, eps = w.dtype.type, step.time, step.l2, step.eps
    zero, ridge, cut = real(0), real(step.l2), real(step.l1)
    if l2 == 0.0:
        for i in range(start, stop):
            short = real(time / (math.sqrt(squares[i]) + eps))
            w[i] = _soft(w[i] - short * g[i], cut * short)
            g[i] = zero
    else:
        for i in range(start, stop):
            short = real(_faded(l2 * (time / (math.sqrt(squares[i]) + eps))) / l2)
            w[i] = _soft(w[i] - short * (ridge * w[i] + g[i]), cut * short)
            g[i] = zero


@jit
def _faded(x):
    """Return 1 - exp(-x) for x >= 0, within four units in the last place.

    Without calls and branches, so that loops use whole registers: a series at y = x / 2^10, then ten doublings by
    1 - exp(-2 y) = (1 - exp(-y)) (2 - (1 - exp(-y))).
    """
    y = (
        x if x < _FADES else _FADES
    ) * 2.0**-10  # a parameter without any gradient may make x NaN or infinite
    series = 1.0 - y * (1.0 / 7.0)
    series = 1.0 - y * series * (1.0 / 6.0)
    series = 1.0 - y * series * (1.0 / 5.0)
    series = 1.0 - y * series * (1.0 / 4.0)
    series = 1.0 - y * series * (1.0 / 3.0)
    faded = y * (1.0 - 0.5 * y * series)
    faded *= 2.0 - faded
    faded *= 2.0 - faded
    faded *= 2.0 - faded
    faded *= 2.0 - faded
    faded *= 2.0 - faded
    faded *= 2.0 - faded
    faded *= 2.0 - faded
    faded *= 2.0 - faded
    faded *= 2.0 - faded
    faded *= 2.0 - faded
    return faded


@inlined
def settle(step, pull, w, squares, start, stop):
    """Apply the penalty of rmsprop or adam, with their means of squares. step: any tuple with l1, l2 and eps.

    pull: the time since it was last applied, times adam's correction of the root.
    """
    if pull != 0.0 and (step.l1 != 0.0 or step.l2 != 0.0):
        real = w.dtype.type
        one, eps, ridge, cut = real(1), real(step.eps), real(step.l2 * pull), real(step.l1 * pull)
        for i in range(start, stop):
            h = one / (math.sqrt(squares[i]) + eps)
            w[i] = _soft(w[i], cut * h) / (one + ridge * h)


@jit
def shrunk(w, cut, ridge):
    """Return the proximal step of a weight: the x that minimises cut |x| + ridge x^2 / 2 + (x - w)^2 / 2."""
    return _soft(w, cut) / (1.0 + ridge)


@jit
def divisor(kind, a, b, i, eps):
    """Return the optimiser's divisor of the gradient of parameter i."""
    if kind in (ADAGRAD, RMSPROP):
        return math.sqrt(a[i]) + eps
    return math.sqrt(b[i]) if kind == ADAM else 1.0


@jit
def correction(kind, t, beta2):
    """Return adam's correction after t updates, a factor of the root of its running mean; 1 for others."""
    return math.sqrt(1.0 - beta2**t) if kind in (ADAM, ADAMW) else 1.0


@inlined
def leader(step, w, sums, squares, start, stop):
    """Compute ftrl's weights from its sums."""
    real = w.dtype.type
    inverse, eps = real(1.0 / step.eta0), real(step.eps)
    ridge, cut = real(step.l2 * step.clock), real(step.l1 * step.clock)
    for i in range(start, stop):
        w[i] = -_soft(sums[i], cut) / ((eps + math.sqrt(squares[i])) * inverse + ridge)


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
