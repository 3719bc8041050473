"""Updates in which a feature has no gradient, all at once, when a row has it again.

Update s leaves DECAY[s] of a weight and then brings it nearer to 0 by PINCH[s]. With no move between, the updates of a
gap f..t amount to one soft(D w, C), where, counted from the begin of the era,

    LEFT[s] = product over r <= s of DECAY[r]                D = LEFT[t] / LEFT[f - 1]
    CUT[s]  = sum over r <= s of  PINCH[r] / LEFT[r]         C = LEFT[t] (CUT[t] - CUT[f - 1])

An era ends before LEFT is too small to divide by. Running means fade by a power. With momentum the weights go on in a
fixed direction u, ever slower: in an update s of a gap that begins at f they move by SIZE[s] ratio^(s - f + 1) along u.
All that is w = D w - total u, and `total` is looked up, not added up: updates are put into chunks, and once a chunk is
full, each of its places keeps what comes from there to its end,

    TAIL[s] = sum over r >= s in the chunk of  ratio^(r - s + 1) SIZE[r] FADE[r + 1]
    FADE[s] = product over r >= s in the chunk of DECAY[r]

so a gap is some places of its last chunk, and one look for every other.
"""

import math

from .compile import jit
from .updates import ADAGRAD, ADAM, ADAMW, LEAST_SQUARE, RMSPROP, SVRG, adagrad, drift, pinch

CHUNK = 32
SIZE, DECAY, PINCH, TAIL, FADE, LEFT, CUT = range(7)  # what is kept of each update: rows of `pace`
KEPT = 7  # how many they are
LEAST_LEFT = 1e-200


@jit
def note(pace, at, size, decay, pinch, ratio):
    """Write down update number `at` of this era, and close its chunk if that is full. Returns LEFT."""
    left, cut = (pace[LEFT, at - 1], pace[CUT, at - 1]) if at > 0 else (1.0, 0.0)
    left *= decay
    pace[SIZE, at], pace[DECAY, at], pace[PINCH, at] = size, decay, pinch
    pace[LEFT, at], pace[CUT, at] = left, cut + pinch / left if left > 0.0 else cut
    if (at + 1) % CHUNK != 0:
        return left
    tail, fade = 0.0, 1.0
    for s in range(at, at - CHUNK, -1):
        tail = ratio * (pace[SIZE, s] * fade + tail)
        fade *= pace[DECAY, s]
        pace[TAIL, s], pace[FADE, s] = tail, fade
    return left


@jit
def _remains(pace, first, stop):
    """D of the updates first..stop - 1."""
    if stop == first:
        return 1.0
    return pace[LEFT, stop - 1] / (pace[LEFT, first - 1] if first > 0 else 1.0)


@jit
def _wither(w, pace, first, stop):
    """w after the penalties of the updates first..stop - 1."""
    if stop == first:
        return
    decay = w.dtype.type(_remains(pace, first, stop))
    if decay != 1.0:
        for i in range(len(w)):
            w[i] *= decay
    pinch(w, pace[LEFT, stop - 1] * (pace[CUT, stop - 1] - (pace[CUT, first - 1] if first > 0 else 0.0)))


@jit
def _glide(pace, first, gap, ratio, lifetime):
    """What the moves of a gap add up to.

    When its lifetime is over nothing is left of a momentum, and only the shrinking goes on.
    """
    total, factor = 0.0, 1.0
    s, stop = first, first + gap
    while s < stop and s - first < lifetime:
        end = s - s % CHUNK + CHUNK
        if end <= stop:
            total = total * pace[FADE, s] + factor * pace[TAIL, s]
            factor *= ratio ** (end - s)
            s = end
        else:
            factor *= ratio
            total = total * pace[DECAY, s] + factor * pace[SIZE, s]
            s += 1
    return total * _remains(pace, s, stop)


@jit
def _coast(kind, w, a, b, pace, first, gap, ratio, lifetime, smooth):
    """The moves of a momentum, and the penalty. b: what adam divides by, else a. smooth: there is no L1."""
    real = w.dtype.type
    adam = kind in (ADAM, ADAMW)
    if smooth:
        total = real(_glide(pace, first, gap, ratio, lifetime))
        decay = real(_remains(pace, first, first + gap))
        if adam:
            for i in range(len(w)):
                w[i] = decay * w[i] - total * a[i] / math.sqrt(b[i])
        else:
            for i in range(len(w)):
                w[i] = decay * w[i] - total * a[i]
        return
    moves, factor = min(gap, lifetime), 1.0
    for s in range(first, first + moves):  # L1 stops weights at zero between the moves
        factor *= ratio
        size, decay = real(factor * pace[SIZE, s]), real(pace[DECAY, s])
        for i in range(len(w)):
            w[i] = decay * w[i] - size * (a[i] / math.sqrt(b[i]) if adam else a[i])
        pinch(w, pace[PINCH, s])
    _wither(w, pace, first + moves, first + gap)


@jit
def rest(kind, w, g, a, b, pace, first, gap, time, l1, l2, beta1, beta2, eps, ratio, lifetime):
    """Bring w, which stand for one feature, through `gap` updates in which it had no gradient, and which took `time`.

    g: zeros. a, b: the optimiser's memory of them. The first update of the gap is number `first` of this era. Not for
    sgd, which has no need of it, nor for ftrl, see updates.leader; and the penalty of rmsprop and adam is left to
    updates.settle.
    """
    real = w.dtype.type
    if kind == ADAGRAD:
        if l1 != 0.0 or l2 != 0.0:
            adagrad(w, g, a, real(0), time, l1, l2, eps)
    elif kind == SVRG:
        drift(w, b, time, l1, l2)
    else:
        fade = real(beta1**gap)
        if kind in (ADAM, ADAMW):
            _coast(kind, w, a, b, pace, first, gap, ratio, lifetime, l1 == 0.0 or kind == ADAM)
            fade2, least = real(beta2**gap), real(LEAST_SQUARE)
            for i in range(len(w)):
                b[i] = max(b[i] * fade2, least)
        elif kind != RMSPROP:
            _coast(kind, w, a, a, pace, first, gap, ratio, lifetime, l1 == 0.0)
        for i in range(len(w)):
            a[i] *= fade
