"""Optimisers and penalties, on a stretch of parameters.

One update of size eta moves the weights along the gradient g of the loss and takes them through the penalty. Plain SGD
takes the step of textbooks, and under L1 weights pay what is asked of them (see `pay`):

    w = (1 - l2 eta) w - eta g       which is  w -= eta (g + l2 w)

The weights' eta is at most 1 / l2: more would take more from w than there is, and overshoot; with that, w becomes
-g / l2, which is where a strong penalty holds it. All weights shrink by one common factor, so a row need not touch
those of features that it has not.

L1 asks l1 eta of each weight in each update. A weight gives what there is, and no more than brings it to 0; what is not
paid remains due when gradients move it again (the cumulative penalty of Tsuruoka, Tsujii, Ananiadou 2009, as in
scikit-learn): the noise of single rows has to add up to something before a weight leaves 0. What is due shrinks by
1 - l2 eta as the weights do. In full batches there is no noise, and L1 is a proximal step, with soft(x, c) =
sign(x) max(|x| - c, 0).

Under momentum the penalty is a proximal step, too, whose fixed points are optima however strong it is:

    w = soft(w - eta u, l1 eta') / (1 + l2 eta')       eta' = eta / (1 - beta)

A gradient that momentum repeats counts eta (1 + beta + beta^2 + ...) in the end, so that is the penalty's size. adamw
has its penalty apart, as published: w = soft((1 - l2 eta) w - eta u, l1 eta), with u = adam's direction and, again, at
most 1 / l2 for eta. The penalties of many updates add up in closed form (see `gaps`): a feature that no row has had for
a while catches up in one step.

Where an optimiser divides by h = sqrt(G), what it minimises stays F only if the penalty is divided, too. adagrad's h is
constant while a parameter has no gradient, and differs between parameters: it takes the penalty as a flow for a time,
the solution at time eta / h of  dw/dt = -l2 w - l1 sign(w), and many flows are one for the sum of their times. With
its move that is the proximal step soft((1 - l2 eta') w - eta' g, l1 eta'), eta' = (1 - exp(-l2 eta / h)) / l2.

rmsprop and adam divide by a h that changes with every update, so there is no catching up with a flow. They take the
implicit proximal step in their own metric, whose fixed points are the optima as well (Yun, Lozano, Yang 2021):

    w = soft(w - eta u / h, l1 eta / h) / (1 + l2 eta / h)

On sparse rows they take it when a row has the feature, for all the time since they last did.

adam and adamw start the mean of squares at eps^2 instead of adding eps to its root: what is divided by is positive
all the same, and a parameter without gradient goes on along a fixed direction.

svrg (stochastic variance reduced gradient) adds to a row's gradient at w the mean gradient over all rows at a
snapshot v, and takes off the row's own gradient there: what remains vanishes at the optimum, so steps need not become
shorter. Between two rows that have a feature, its weight follows the mean gradient and the penalty, which is `drift`.

ftrl (follow the regularised leader, proximal) keeps the sum z of gradients, corrected for the weights at which they
were taken; with n the sum of their squares and S the number of updates so far (their weights, to be exact),

    w = -soft(z, l1 S) / ((eps + sqrt(n)) / eta0 + l2 S)
"""

import math

from .compile import jit

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
NEAR = 0.05  # arguments up to which nine terms of a series are exact
LEAST_SQUARE = 1e-36  # of what adam divides by; float32 has nothing much smaller
MOMENTS = (0, 1, 1, 1, 1, 2, 2, 2, 2)  # arrays like the weights that each keeps


@jit
def lengthened(time, l2):
    """(exp(l2 time) - 1) / l2, which is time for l2 = 0."""
    return time if l2 == 0.0 else math.expm1(l2 * time) / l2


# Loops run over slices: an index that Numba knows not to be negative is what lets LLVM use whole registers.


@jit
def left(kind, time, l2):
    """What the L2 of an update leaves of a weight."""
    if kind in (MOMENTUM, NESTEROV):
        return 1.0 / (1.0 + l2 * time)
    return max(0.0, 1.0 - l2 * time)


@jit
def pay(w, paid, budget):
    """Bring weights nearer to 0 by what L1 has asked of each so far and not got from it.

    paid: what each has paid, with the sign of the change.
    """
    real = w.dtype.type
    zero, budget = real(0), real(budget)
    for i in range(len(w)):
        before = w[i]
        down, up = max(budget + paid[i], zero), max(budget - paid[i], zero)
        w[i] = max(before - down, zero) + min(before + up, zero)
        paid[i] += w[i] - before


@jit
def pinch(w, cut):
    """Bring weights nearer to 0 by a cut, and no farther."""
    if cut == 0.0:
        return
    cut = w.dtype.type(cut)
    for i in range(len(w)):
        w[i] = _soft(w[i], cut)


@jit
def _soft(x, cut):
    zero = cut - cut
    return max(x - cut, zero) + min(x + cut, zero)


@jit
def update(kind, w, g, a, b, start, stop, weight, time, size, pull, l1, l2, beta1, beta2, eps, eta0, clock):
    """One update of w[start:stop]; g (times weight: the mean gradient of the batch) is zeroed.

    a and b are the optimiser's memory. time: eta. size: the factor of the move, see `move_size`. The penalty is applied
    too; l1 = l2 = 0 for intercepts. pull: for rmsprop and adam, see `settle`. eta0 and clock (the time so far, this
    update included): for ftrl.
    """
    real = w.dtype.type
    one, zero = real(1), real(0)
    weight, step, rate1, rate2 = real(weight), real(size), real(beta1), real(beta2)
    least, keep = real(LEAST_SQUARE), real(left(kind, time, l2))
    w, g = w[start:stop], g[start:stop]
    if kind == SGD:
        step = step * weight
        for i in range(len(w)):
            w[i] = keep * w[i] - step * g[i]
            g[i] = zero
        pinch(w, l1 * time)
        return
    a = a[start:stop]
    if kind == MOMENTUM:
        for i in range(len(w)):
            a[i] = rate1 * a[i] + weight * g[i]
            w[i] = keep * (w[i] - step * a[i])
            g[i] = zero
        pinch(w, keep * l1 * time)
    elif kind == NESTEROV:
        for i in range(len(w)):
            gi = weight * g[i]
            a[i] = rate1 * a[i] + gi
            w[i] = keep * (w[i] - step * (gi + rate1 * a[i]))
            g[i] = zero
        pinch(w, keep * l1 * time)
    elif kind == ADAGRAD:
        adagrad(w, g, a, weight, time, l1, l2, eps)
    elif kind == RMSPROP:
        step, small = real(time), real(eps)
        for i in range(len(w)):
            gi = weight * g[i]
            a[i] = rate1 * a[i] + (one - rate1) * gi * gi
            w[i] -= step / (math.sqrt(a[i]) + small) * gi
            g[i] = zero
        settle(w, a, small, pull, l1, l2)
    elif kind in (ADAM, ADAMW):
        b = b[start:stop]
        if kind == ADAM:
            keep = one
        for i in range(len(w)):
            gi = weight * g[i]
            a[i] = rate1 * a[i] + (one - rate1) * gi
            b[i] = max(rate2 * b[i] + (one - rate2) * gi * gi, least)
            w[i] = keep * w[i] - step * a[i] / math.sqrt(b[i])
            g[i] = zero
        if kind == ADAM:
            settle(w, b, zero, pull, l1, l2)
        else:
            pinch(w, l1 * time)
    else:
        b = b[start:stop]
        inverse, weight = real(1.0 / eta0), real(weight * time)
        for i in range(len(w)):
            gi = weight * g[i]
            root = math.sqrt(b[i])
            b[i] += gi * gi
            a[i] += gi - (math.sqrt(b[i]) - root) * inverse * w[i]
            g[i] = zero
        leader(w, a, b, eta0, eps, l1 * clock, l2 * clock)


@jit
def adagrad(w, g, a, weight, time, l1, l2, eps):
    """`update` for adagrad, where each weight has a time of its own; without a gradient, the flow for that time."""
    real = w.dtype.type
    zero, ridge, cut = real(0), real(l2), real(l1)
    for i in range(len(w)):
        g[i] *= weight
        a[i] += g[i] * g[i]
    if l2 == 0.0:
        for i in range(len(w)):
            short = real(time / (math.sqrt(a[i]) + eps))
            w[i] = _soft(w[i] - short * g[i], cut * short)
            g[i] = zero
        return
    least = a[0]
    for i in range(len(a)):
        least = min(least, a[i])
    if l2 * time <= NEAR * (math.sqrt(least) + eps):  # no calls, so whole registers
        for i in range(len(w)):
            own = time / (math.sqrt(a[i]) + eps)
            short = real(own * _shortened(l2 * own))
            w[i] = _soft(w[i] - short * (ridge * w[i] + g[i]), cut * short)
            g[i] = zero
        return
    for i in range(len(w)):
        if w[i] != zero or g[i] != zero:  # before its first gradient, a weight is zero and its time huge
            short = real(-math.expm1(-l2 * time / (math.sqrt(a[i]) + eps)) / l2)
            w[i] = _soft(w[i] - short * (ridge * w[i] + g[i]), cut * short)
            g[i] = zero


@jit
def _shortened(x):
    """(1 - exp(-x)) / x for 0 <= x <= NEAR."""
    total = 1.0 - x * (1.0 / 9.0)
    total = 1.0 - x * total * (1.0 / 8.0)
    total = 1.0 - x * total * (1.0 / 7.0)
    total = 1.0 - x * total * (1.0 / 6.0)
    total = 1.0 - x * total * (1.0 / 5.0)
    total = 1.0 - x * total * (1.0 / 4.0)
    total = 1.0 - x * total * (1.0 / 3.0)
    return 1.0 - 0.5 * x * total


@jit
def settle(w, squares, eps, pull, l1, l2):
    """The penalty of rmsprop and adam, whose means of squares these are.

    pull: the time since they last had it, with adam's correction of the root.
    """
    if pull == 0.0 or (l1 == 0.0 and l2 == 0.0):
        return
    real = w.dtype.type
    one, ridge, cut = real(1), real(l2 * pull), real(l1 * pull)
    for i in range(len(w)):
        h = one / (math.sqrt(squares[i]) + eps)
        w[i] = _soft(w[i], cut * h) / (one + ridge * h)


@jit
def shrunk(w, cut, ridge):
    """The proximal step of a penalty on one weight: what minimises cut |x| + ridge x^2 / 2 + (x - w)^2 / 2."""
    return _soft(w, cut) / (1.0 + ridge)


@jit
def divisor(kind, a, b, i, eps):
    """What the optimiser divides the gradient of parameter i by."""
    if kind in (ADAGRAD, RMSPROP):
        return math.sqrt(a[i]) + eps
    return math.sqrt(b[i]) if kind == ADAM else 1.0


@jit
def correction(kind, t, beta2):
    """What adam's running mean of squares lacks after t updates, as a factor of its root; 1 for others."""
    return math.sqrt(1.0 - beta2**t) if kind in (ADAM, ADAMW) else 1.0


@jit
def leader(w, a, b, eta0, eps, l1, l2):
    """The weights that ftrl's sums a = z and b = n stand for."""
    real = w.dtype.type
    inverse, eps, ridge, cut = real(1.0 / eta0), real(eps), real(l2), real(l1)
    for i in range(len(w)):
        w[i] = -_soft(a[i], cut) / ((eps + math.sqrt(b[i])) * inverse + ridge)


@jit
def drift(w, mean, time, l1, l2):
    """w after penalty and a constant gradient have worked on it for a time: the solution of
    dw/dt = -l2 w - l1 sign(w) - mean."""
    real = w.dtype.type
    if l1 == 0.0:
        decay = real(math.exp(-l2 * time))
        step = real(time if l2 == 0.0 else -math.expm1(-l2 * time) / l2)
        for i in range(len(w)):
            w[i] = decay * w[i] - step * mean[i]
        return
    for i in range(len(w)):
        w[i] = _drift_one(float(w[i]), float(mean[i]), time, l1, l2)


@jit
def _drift_one(w, mean, time, l1, l2):
    for _ in range(2):  # a weight crosses or meets zero at most once
        sign = 1.0 if w > 0.0 else -1.0 if w < 0.0 else 1.0 if mean < -l1 else -1.0 if mean > l1 else 0.0
        if sign == 0.0:
            return 0.0
        pull = sign * mean + l1  # towards zero, apart from L2
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
    """The factor of the move of update t, bias corrections of the running means included."""
    if kind in (ADAM, ADAMW):
        return correction(kind, t, beta2) / (1.0 - beta1**t) * time
    return time * (1.0 - beta1) if kind in (MOMENTUM, NESTEROV) else time
