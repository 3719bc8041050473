"""All updates in which a feature had no gradient, applied at once when a row has the feature again.

Update s multiplies a weight by DECAY[s] and then moves it towards 0 by PINCH[s]. Without moves in between, the
updates f..t of a gap are equal to a single soft(D w, C) where, counted from the beginning of the era,

    LEFT[s] = product over r <= s of DECAY[r]                D = LEFT[t] / LEFT[f - 1]
    CUT[s]  = sum over r <= s of  PINCH[r] / LEFT[r]         C = LEFT[t] (CUT[t] - CUT[f - 1])

An era ends before LEFT becomes too small as a divisor. Running means decay by a power. With momentum the weights keep
moving in a fixed direction u, more and more slowly: in update s of a gap that begins at f they move by
SIZE[s] ratio^(s - f + 1) along u. The result is w = D w - total u. `total` is looked up, not added up: updates form
chunks, and in a full chunk, each place stores the sum from there to the end of the chunk,

    TAIL[s] = sum over r >= s in the chunk of  ratio^(r - s + 1) SIZE[r] FADE[r + 1]
    FADE[s] = product over r >= s in the chunk of DECAY[r]

so a gap costs one look-up for each full chunk, and one step for each update in the last chunk.
"""

import math
from typing import NamedTuple

from .compile import inlined, jit
from .updates import ADAGRAD, ADAM, ADAMW, LEAST_SQUARE, RMSPROP, SVRG, drift, flow, pinch

CHUNK = 32  # updates; larger chunks mean fewer look-ups, but more single updates at the end of a gap
SIZE, DECAY, PINCH, TAIL, FADE, LEFT, CUT = range(7)  # the rows of `pace`, which has a column for each update
KEPT = 7  # number of these rows
LEAST_LEFT = 1e-200  # LEFT at which an era ends, far above the smallest positive number


class Fading(NamedTuple):
    """How an optimiser continues without gradients."""

    kind: int
    beta1: float
    beta2: float
    ratio: float  # of successive moves by a momentum
    lifetime: int  # updates after which a momentum has decayed to nothing


class Gap(NamedTuple):
    """Updates of this era in which a feature has no gradient."""

    first: int  # number of the first, counted from the beginning of the era
    updates: int  # their number
    time: float  # sum of their etas
    l1: float
    l2: float
    eps: float  # for adagrad


@jit
def note(pace, at, size, decay, pinch, ratio):
    """Store update number `at` of this era, and complete its chunk if it is full. Returns LEFT."""
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


@inlined
def _remains(pace, first, stop):
    """Return D of the updates first..stop - 1."""
    if stop == first:
        return 1.0
    return pace[LEFT, stop - 1] / (pace[LEFT, first - 1] if first > 0 else 1.0)


@inlined
def _wither(w, start, stop, pace, first, end):
    """Apply the penalties of the updates first..end - 1 to w."""
    if end != first:
        decay = w.dtype.type(_remains(pace, first, end))
        if decay != 1.0:
            for i in range(start, stop):
                w[i] *= decay
        before = pace[CUT, first - 1] if first > 0 else 0.0
        pinch(w, start, stop, pace[LEFT, end - 1] * (pace[CUT, end - 1] - before))


@inlined
def _glide(fading, gap, pace):
    """Return the sum of the moves in a gap. After the lifetime of its momentum, the weights only shrink."""
    total, factor = 0.0, 1.0
    s, end = gap.first, gap.first + gap.updates
    while s < end and s - gap.first < fading.lifetime:
        chunk_end = s - s % CHUNK + CHUNK
        if chunk_end <= end:
            total = total * pace[FADE, s] + factor * pace[TAIL, s]
            factor *= fading.ratio ** (chunk_end - s)
            s = chunk_end
        else:
            factor *= fading.ratio
            total = total * pace[DECAY, s] + factor * pace[SIZE, s]
            s += 1
    return total * _remains(pace, s, end)


@inlined
def _coast(fading, gap, pace, w, gradient, squares, start, stop):
    """Apply the moves of a momentum, and the penalty. squares: adam's divisors; other optimisers ignore it."""
    real = w.dtype.type
    adam = fading.kind in (ADAM, ADAMW)
    end = gap.first + gap.updates
    if gap.l1 == 0.0 or fading.kind == ADAM:
        total, kept = real(_glide(fading, gap, pace)), real(_remains(pace, gap.first, end))
        if adam:
            for i in range(start, stop):
                w[i] = kept * w[i] - total * gradient[i] / math.sqrt(squares[i])
        else:
            for i in range(start, stop):
                w[i] = kept * w[i] - total * gradient[i]
    else:
        moves, factor = min(gap.updates, fading.lifetime), 1.0
        for s in range(gap.first, gap.first + moves):  # L1 stops weights at zero between the moves
            factor *= fading.ratio
            size, decay = real(factor * pace[SIZE, s]), real(pace[DECAY, s])
            if adam:
                for i in range(start, stop):
                    w[i] = decay * w[i] - size * (gradient[i] / math.sqrt(squares[i]))
            else:
                for i in range(start, stop):
                    w[i] = decay * w[i] - size * gradient[i]
            pinch(w, start, stop, pace[PINCH, s])
        _wither(w, start, stop, pace, gap.first + moves, end)


@inlined
def rest(fading, gap, pace, state, start, stop):
    """Bring the parameters start..stop, those of one feature, through a gap. Their gradients are zero.

    Not for sgd, which does not need it, or for ftrl (see updates.leader). The penalty of rmsprop and adam is left to
    updates.settle.
    """
    kind, w, a, b = fading.kind, state.w, state.a, state.b
    if kind == ADAGRAD:
        if gap.l1 != 0.0 or gap.l2 != 0.0:
            flow(gap, w, state.g, a, start, stop)
    elif kind == SVRG:
        drift(w, b, gap.time, gap.l1, gap.l2, start, stop)
    else:
        if kind != RMSPROP:
            _coast(fading, gap, pace, w, a, b if kind in (ADAM, ADAMW) else a, start, stop)
        fade = a.dtype.type(fading.beta1**gap.updates)
        for i in range(start, stop):
            a[i] *= fade
        if kind in (ADAM, ADAMW):
            fade2, least = b.dtype.type(fading.beta2**gap.updates), b.dtype.type(LEAST_SQUARE)
            for i in range(start, stop):
                b[i] = max(b[i] * fade2, least)
