"""Updates in which a feature has no gradient, all at once, when a row has it again.

Penalties are flows for a time, and running means fade by a power. With momentum the weights go on in a fixed direction
u, ever slower: in an update s of a gap that begins at f they move by sizes[s] ratio^(s - f + 1) along u, and shrink by
decays[s] under L2. All that is w = shrunk w - total u, and `total` is looked up, not added up: updates are put into
chunks, and once a chunk is full, each of its places keeps what comes from there to its end,

    tails[s] = sum over r >= s in the chunk of  ratio^(r - s + 1) sizes[r] fades[r]
    fades[s] = product over r >= s in the chunk of decays[r]

so a gap is some places of its last chunk, and one look for every other.
"""

import math

from .compile import jit
from .updates import ADAGRAD, ADAM, ADAMW, LEAST_SQUARE, NESTEROV, RMSPROP, SGD, SVRG, drift, flow

CHUNK = 32


@jit
def note(memory, at, size, decay, ratio):
    """Write down update number `at` of this era, and close its chunk if that is full."""
    sizes, decays, tails, fades = memory.sizes, memory.decays, memory.tails, memory.fades
    sizes[at], decays[at] = size, decay
    if (at + 1) % CHUNK != 0:
        return
    tail, fade = 0.0, 1.0
    for s in range(at, at - CHUNK, -1):
        fade *= decays[s]
        tail = ratio * (sizes[s] * fade + tail)
        tails[s], fades[s] = tail, fade


@jit
def _glide(memory, first, gap, time, ratio, lifetime, l2):
    """What the moves of a gap add up to, after everything that took `time`.

    When its lifetime is over nothing is left of a momentum, and only the shrinking goes on.
    """
    total, shrunk, factor = 0.0, 1.0, 1.0
    s, stop = first, first + gap
    while s < stop and s - first < lifetime:
        end = s - s % CHUNK + CHUNK
        if end <= stop:
            total = total * memory.fades[s] + factor * memory.tails[s]
            shrunk *= memory.fades[s]
            factor *= ratio ** (end - s)
            s = end
        else:
            factor *= ratio
            total = (total + factor * memory.sizes[s]) * memory.decays[s]
            shrunk *= memory.decays[s]
            s += 1
    if l2 != 0.0 and s < stop and shrunk > 0.0:
        total *= math.exp(-l2 * time) / shrunk
    return total


@jit
def _coast(rule, memory, start, stop, first, gap, time):
    """`rest` for optimisers with momentum."""
    kind, w, a, b = rule.kind, memory.w, memory.a, memory.b
    real = w.dtype.type
    adam = kind in (ADAM, ADAMW)
    l1, l2 = (0.0, 0.0) if kind == ADAM else (rule.l1, rule.l2)
    more = rule.beta1 if kind == NESTEROV else 1.0
    if l1 == 0.0:
        total = real(more * _glide(memory, first, gap, time, rule.ratio, rule.lifetime, l2))
        shrunk = real(math.exp(-l2 * time))
        for i in range(start, stop):
            u = a[i] / math.sqrt(b[i]) if adam else a[i]
            w[i] = shrunk * w[i] - total * u
    else:  # L1 stops weights at zero between the moves
        moves, factor, done = min(gap, rule.lifetime), more, 0.0
        for s in range(first, first + moves):
            factor *= rule.ratio
            size = real(factor * memory.sizes[s])
            for i in range(start, stop):
                u = a[i] / math.sqrt(b[i]) if adam else a[i]
                w[i] -= size * u
            flow(w, start, stop, memory.times[s], l1, l2)
            done += memory.times[s]
        if gap > moves:
            flow(w, start, stop, time - done, l1, l2)
    fade1 = real(rule.beta1**gap)
    for i in range(start, stop):
        a[i] *= fade1
    if adam:
        fade2, least = real(rule.beta2**gap), real(LEAST_SQUARE)
        for i in range(start, stop):
            b[i] = max(b[i] * fade2, least)


@jit
def rest(rule, memory, start, stop, first, gap, time):
    """Bring w[start:stop] through `gap` updates in which it had no gradient, and which took `time` together.

    The first of them is number `first` since the last time that all parameters were brought up to date. Not for ftrl,
    see `leader`; and the penalty of rmsprop and adam is left to `settle`.
    """
    kind, w, a = rule.kind, memory.w, memory.a
    if kind == SGD:
        flow(w, start, stop, time, rule.l1, rule.l2)
    elif kind == ADAGRAD:
        if rule.l1 != 0.0 or rule.l2 != 0.0:
            for i in range(start, stop):
                flow(w, i, i + 1, time / (math.sqrt(a[i]) + rule.eps), rule.l1, rule.l2)
    elif kind == SVRG:
        drift(w, memory.b, start, stop, time, rule.l1, rule.l2)
    elif kind == RMSPROP:
        fade = w.dtype.type(rule.beta1**gap)
        for i in range(start, stop):
            a[i] *= fade
    else:
        _coast(rule, memory, start, stop, first, gap, time)
