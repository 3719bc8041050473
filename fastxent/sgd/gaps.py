"""Updates in which a feature has no gradient, all at once, when a row has it again.

Penalties are flows for a time, and running means fade by a power. With momentum the weights go on in a fixed direction
u, ever slower: in an update s of a gap that begins at f they move by SIZE[s] ratio^(s - f + 1) along u, and shrink by
DECAY[s] under L2. All that is w = shrunk w - total u, and `total` is looked up, not added up: updates are put into
chunks, and once a chunk is full, each of its places keeps what comes from there to its end,

    TAIL[s] = sum over r >= s in the chunk of  ratio^(r - s + 1) SIZE[r] FADE[r]
    FADE[s] = product over r >= s in the chunk of DECAY[r]

so a gap is some places of its last chunk, and one look for every other.
"""

import math

from .compile import jit
from .updates import ADAGRAD, ADAM, ADAMW, LEAST_SQUARE, RMSPROP, SGD, SVRG, adagrad, drift, flow

CHUNK = 32
TIME, SIZE, DECAY, TAIL, FADE = range(5)  # what is kept of each update: rows of `pace`


@jit
def note(pace, at, time, size, decay, ratio):
    """Write down update number `at` of this era, and close its chunk if that is full."""
    pace[TIME, at], pace[SIZE, at], pace[DECAY, at] = time, size, decay
    if (at + 1) % CHUNK != 0:
        return
    tail, fade = 0.0, 1.0
    for s in range(at, at - CHUNK, -1):
        fade *= pace[DECAY, s]
        tail = ratio * (pace[SIZE, s] * fade + tail)
        pace[TAIL, s], pace[FADE, s] = tail, fade


@jit
def _glide(pace, first, gap, time, ratio, lifetime, l2):
    """What the moves of a gap add up to, after everything that took `time`.

    When its lifetime is over nothing is left of a momentum, and only the shrinking goes on.
    """
    total, shrunk, factor = 0.0, 1.0, 1.0
    s, stop = first, first + gap
    while s < stop and s - first < lifetime:
        end = s - s % CHUNK + CHUNK
        if end <= stop:
            total = total * pace[FADE, s] + factor * pace[TAIL, s]
            shrunk *= pace[FADE, s]
            factor *= ratio ** (end - s)
            s = end
        else:
            factor *= ratio
            total = (total + factor * pace[SIZE, s]) * pace[DECAY, s]
            shrunk *= pace[DECAY, s]
            s += 1
    if l2 != 0.0 and s < stop and shrunk > 0.0:
        total *= math.exp(-l2 * time) / shrunk
    return total


@jit
def _coast(kind, w, a, b, pace, first, gap, time, ratio, lifetime, l1, l2):
    """The moves of a momentum, and the penalty. b: what adam divides by, else a."""
    real = w.dtype.type
    adam = kind in (ADAM, ADAMW)
    if l1 == 0.0:
        total = real(_glide(pace, first, gap, time, ratio, lifetime, l2))
        shrunk = real(math.exp(-l2 * time))
        if adam:
            for i in range(len(w)):
                w[i] = shrunk * w[i] - total * a[i] / math.sqrt(b[i])
        else:
            for i in range(len(w)):
                w[i] = shrunk * w[i] - total * a[i]
        return
    moves, factor, done = min(gap, lifetime), 1.0, 0.0
    for s in range(first, first + moves):  # L1 stops weights at zero between the moves
        factor *= ratio
        size = real(factor * pace[SIZE, s])
        for i in range(len(w)):
            w[i] -= size * (a[i] / math.sqrt(b[i]) if adam else a[i])
        flow(w, pace[TIME, s], l1, l2)
        done += pace[TIME, s]
    if gap > moves:
        flow(w, time - done, l1, l2)


@jit
def rest(kind, w, g, a, b, pace, first, gap, time, l1, l2, beta1, beta2, eps, ratio, lifetime):
    """Bring w, which stand for one feature, through `gap` updates in which it had no gradient, and which took `time`.

    g: zeros. a, b: the optimiser's memory of them. The first update of the gap is number `first` of this era. Not for
    ftrl, see updates.leader; and the penalty of rmsprop and adam is left to updates.settle.
    """
    real = w.dtype.type
    if kind == SGD:
        flow(w, time, l1, l2)
    elif kind == ADAGRAD:
        if l1 != 0.0 or l2 != 0.0:
            adagrad(w, g, a, real(0), time, l1, l2, eps)
    elif kind == SVRG:
        drift(w, b, time, l1, l2)
    else:
        fade = real(beta1**gap)
        if kind in (ADAM, ADAMW):
            l1, l2 = (0.0, 0.0) if kind == ADAM else (l1, l2)
            _coast(kind, w, a, b, pace, first, gap, time, ratio, lifetime, l1, l2)
            fade2, least = real(beta2**gap), real(LEAST_SQUARE)
            for i in range(len(w)):
                b[i] = max(b[i] * fade2, least)
        elif kind != RMSPROP:
            _coast(kind, w, a, a, pace, first, gap, time, ratio, lifetime, l1, l2)
        for i in range(len(w)):
            a[i] *= fade
