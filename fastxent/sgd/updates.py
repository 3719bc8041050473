"""Optimisers and penalties, on a stretch of parameters.

One update of size eta is a move along the gradient g of the loss, and then the penalty for a time eta:

    move       w -= eta+ u             u = g, momentum, g / sqrt(G) ...        eta+ = (exp(l2 eta) - 1) / l2
    penalty    w  = flow(w, eta)       the solution at time eta of  dw/dt = -l2 w - l1 sign(w), which stops at 0:
                                       soft(exp(-l2 eta) w, l1 eta'),          eta' = (1 - exp(-l2 eta)) / l2

Both together are the proximal step soft((1 - l2 eta') w - eta' u, l1 eta'), whose fixed points are the optima of the
penalised loss. Written so, the penalty of many updates is the flow for the sum of their times: a parameter that no row
has touched for a while catches up in one step, exactly. Plain SGD under L2 alone needs not even that, as all weights
shrink by one common factor. Where the optimiser divides by h = sqrt(G) (adagrad), times are divided by h as well.

rmsprop and adam take L2 as part of the gradient, as their authors do; the penalty then enters the running means, and
there is no catching up: under a penalty they touch every parameter at every update. adamw has the penalty apart, at its
undivided time.

adam and adamw start the mean of squares at eps^2 instead of adding eps to its root: what is divided by is positive
all the same, and a parameter without gradient goes on along a fixed direction.

A gradient that momentum repeats counts eta (1 + beta + beta^2 + ...) in the end, so the time of an update with momentum
is eta / (1 - beta): the balance between loss and penalty is that of plain SGD.

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
LEAST_SQUARE = 1e-36  # of what adam divides by; float32 has nothing much smaller
MOMENTS = (0, 1, 1, 1, 1, 2, 2, 2, 2)  # arrays like the weights that each keeps


@jit
def lengthened(time, l2):
    """(exp(l2 time) - 1) / l2, which is time for l2 = 0."""
    return time if l2 == 0.0 else math.expm1(l2 * time) / l2


@jit
def flow(w, start, stop, time, l1, l2):
    """w[start:stop] after the penalty has worked on it for a time."""
    if time == 0.0 or (l1 == 0.0 and l2 == 0.0):
        return
    real = w.dtype.type
    decay = real(math.exp(-l2 * time))
    cut = real(l1 * (time if l2 == 0.0 else -math.expm1(-l2 * time) / l2))
    zero = real(0)
    for i in range(start, stop):
        x = decay * w[i]
        w[i] = max(x - cut, zero) + min(x + cut, zero)


@jit
def _soft(x, cut):
    zero = cut - cut
    return max(x - cut, zero) + min(x + cut, zero)


@jit
def update(kind, w, g, a, b, start, stop, weight, time, size, l1, l2, eta0, clock, rule):
    """One update of w[start:stop]; g (times weight: the mean gradient of the batch) is zeroed.

    a and b are the optimiser's memory. time: eta. size: the factor of the move, see `move_size`. The penalty is applied
    too; l1 = l2 = 0 for intercepts. eta0 and clock (the time so far, this update included): for ftrl.
    """
    real = w.dtype.type
    one, zero = real(1), real(0)
    weight, step, rate1, rate2 = real(weight), real(size), real(rule.beta1), real(rule.beta2)
    least = real(LEAST_SQUARE)
    if kind == SGD:
        step = step * weight
        for i in range(start, stop):
            w[i] -= step * g[i]
            g[i] = zero
        flow(w, start, stop, time, l1, l2)
    elif kind == MOMENTUM:
        for i in range(start, stop):
            a[i] = rate1 * a[i] + weight * g[i]
            w[i] -= step * a[i]
            g[i] = zero
        flow(w, start, stop, time, l1, l2)
    elif kind == NESTEROV:
        for i in range(start, stop):
            gi = weight * g[i]
            a[i] = rate1 * a[i] + gi
            w[i] -= step * (gi + rate1 * a[i])
            g[i] = zero
        flow(w, start, stop, time, l1, l2)
    elif kind == ADAGRAD:
        eps, step, ridge, cut = real(rule.eps), real(time), real(l2), real(l1)
        for i in range(start, stop):
            gi = weight * g[i]
            a[i] += gi * gi
            h = one / (math.sqrt(a[i]) + eps)
            if l2 == 0.0:
                short, shrunk = step * h, w[i]
            else:  # the whole proximal step at once: where nothing was seen yet, h is huge
                short = real(-math.expm1(-l2 * time * h) / l2)
                shrunk = (one - ridge * short) * w[i]
            w[i] = _soft(shrunk - short * gi, cut * short)
            g[i] = zero
    elif kind == RMSPROP:
        eps, step, ridge, cut = real(rule.eps), real(time), real(l2), real(l1 * time)
        for i in range(start, stop):
            gi = weight * g[i] + ridge * w[i]
            a[i] = rate1 * a[i] + (one - rate1) * gi * gi
            h = one / (math.sqrt(a[i]) + eps)
            w[i] = _soft(w[i] - step * h * gi, cut * h)
            g[i] = zero
    elif kind == ADAM:
        ridge, cut = real(l2), real(l1) * step
        for i in range(start, stop):
            gi = weight * g[i] + ridge * w[i]
            a[i] = rate1 * a[i] + (one - rate1) * gi
            b[i] = max(rate2 * b[i] + (one - rate2) * gi * gi, least)
            h = one / math.sqrt(b[i])
            w[i] = _soft(w[i] - step * h * a[i], cut * h)
            g[i] = zero
    elif kind == ADAMW:
        for i in range(start, stop):
            gi = weight * g[i]
            a[i] = rate1 * a[i] + (one - rate1) * gi
            b[i] = max(rate2 * b[i] + (one - rate2) * gi * gi, least)
            w[i] -= step * a[i] / math.sqrt(b[i])
            g[i] = zero
        flow(w, start, stop, time, l1, l2)
    else:
        inverse, weight = real(1.0 / eta0), real(weight * time)
        for i in range(start, stop):
            gi = weight * g[i]
            root = math.sqrt(b[i])
            b[i] += gi * gi
            a[i] += gi - (math.sqrt(b[i]) - root) * inverse * w[i]
            g[i] = zero
        leader(w, a, b, start, stop, eta0, rule.eps, l1 * clock, l2 * clock)


@jit
def leader(w, a, b, start, stop, eta0, eps, l1, l2):
    """The weights that ftrl's sums a = z and b = n stand for."""
    real = w.dtype.type
    inverse, eps, ridge, cut = real(1.0 / eta0), real(eps), real(l2), real(l1)
    for i in range(start, stop):
        w[i] = -_soft(a[i], cut) / ((eps + math.sqrt(b[i])) * inverse + ridge)


@jit
def drift(w, mean, start, stop, time, l1, l2):
    """w[start:stop] after penalty and a constant gradient have worked on it for a time: the solution of
    dw/dt = -l2 w - l1 sign(w) - mean."""
    real = w.dtype.type
    if l1 == 0.0:
        decay = real(math.exp(-l2 * time))
        step = real(time if l2 == 0.0 else -math.expm1(-l2 * time) / l2)
        for i in range(start, stop):
            w[i] = decay * w[i] - step * mean[i]
        return
    for i in range(start, stop):
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
def move_size(kind, t, time, l2, beta1, beta2):
    """The factor of the move of update t, bias corrections of the running means included."""
    if kind in (ADAM, ADAMW):
        correction = math.sqrt(1.0 - beta2**t) / (1.0 - beta1**t)
        return correction * (lengthened(time, l2) if kind == ADAMW else time)
    size = lengthened(time, l2)
    return size * (1.0 - beta1) if kind in (MOMENTUM, NESTEROV) else size


@jit
def rest(kind, w, a, b, start, stop, gap, time, times, sizes, first, lifetime, rule):
    """Bring w[start:stop] through `gap` updates in which it had no gradient, and which took `time` together.

    times, sizes: of the updates since the last time that all parameters were brought up to date; the first of the gap
    is number `first` there. lifetime: after how many updates nothing is left of a momentum. ftrl: see `leader`.
    """
    l1, l2 = rule.l1, rule.l2
    if kind == SGD:
        flow(w, start, stop, time, l1, l2)
    elif kind == ADAGRAD:
        if l1 != 0.0 or l2 != 0.0:
            for i in range(start, stop):
                flow(w, i, i + 1, time / (math.sqrt(a[i]) + rule.eps), l1, l2)
    elif kind == SVRG:
        drift(w, b, start, stop, time, l1, l2)
    elif kind == RMSPROP:  # without a penalty, see above
        fade = w.dtype.type(rule.beta1**gap)
        for i in range(start, stop):
            a[i] *= fade
    elif kind != FTRL:
        _coast(kind, w, a, b, start, stop, gap, time, times, sizes, first, lifetime, rule)


@jit
def _coast(kind, w, a, b, start, stop, gap, time, times, sizes, first, lifetime, rule):
    """`rest` for optimisers with momentum: the weights go on in a fixed direction u, ever slower.

    The moves are sizes[s] ratio^(s - first + 1); when nothing is left of them the penalty works alone. Without L1 they
    add up to a single one.
    """
    real = w.dtype.type
    l1, l2, beta1, beta2 = rule.l1, rule.l2, rule.beta1, rule.beta2
    moves = min(gap, lifetime)
    adam = kind in (ADAM, ADAMW)
    ratio = beta1 / math.sqrt(beta2) if adam else beta1
    factor = beta1 if kind == NESTEROV else 1.0
    done = 0.0
    if l1 == 0.0:
        total = 0.0  # of the moves, each shrunk by the penalties of the updates from its own on
        for s in range(first, first + moves):
            factor *= ratio
            total += factor * sizes[s]
            if l2 != 0.0:
                total *= math.exp(-l2 * times[s])
            done += times[s]
        shrunk, total_ = real(math.exp(-l2 * done)), real(total)
        for i in range(start, stop):
            u = a[i] / math.sqrt(b[i]) if adam else a[i]
            w[i] = shrunk * w[i] - total_ * u
    else:
        for s in range(first, first + moves):
            factor *= ratio
            size = real(factor * sizes[s])
            for i in range(start, stop):
                u = a[i] / math.sqrt(b[i]) if adam else a[i]
                w[i] -= size * u
            flow(w, start, stop, times[s], l1, l2)
            done += times[s]
    if gap > moves:
        flow(w, start, stop, time - done, l1, l2)
    fade1 = real(beta1**gap)
    for i in range(start, stop):
        a[i] *= fade1
    if adam:
        fade2, least = real(beta2**gap), real(LEAST_SQUARE)
        for i in range(start, stop):
            b[i] = max(b[i] * fade2, least)
