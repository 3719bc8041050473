"""All updates in which a feature had no gradient, applied at once when a row has the feature again.

Update s multiplies a weight by DECAY[s] and then moves it towards 0 by PINCH[s]. Without moves in between, the
updates f..t of a gap are equal to a single soft(D w, C) where, counted from the beginning of the era,

    LEFT[s] = product over r <= s of DECAY[r]                D = LEFT[t] / LEFT[f - 1]
    CUT[s]  = sum over r <= s of  PINCH[r] / LEFT[r]         C = PINCH[t] + LEFT[t] (CUT[t - 1] - CUT[f - 1])

An era ends before LEFT becomes too small to divide by. Running means fade by a power. With momentum the weights keep
moving in a fixed direction u, ever more slowly: in update s of a gap that begins at f they move by
SIZE[s] ratio^(s - f + 1) along u. Together that is w = D w - T u. T is looked up, not added up: updates form
chunks, and every place of a chunk stores the sum from there to the end of the chunk, or to the last update,

    TAIL[s] = sum over r >= s in the chunk of  ratio^(r - s + 1) SIZE[r] LEFT[e] / LEFT[r]       e: the last of them

so a gap costs one look for each chunk.

Under L1 as well, soft(D w - T u, C) is what single updates lead to, unless a weight meets zero on its way: one that is
not pushed to zero moves away from it while the momentum exceeds L1, and returns to it at most once, for good. A
weight that its momentum does push through zero is followed to that point; from there on the formula holds.
"""

from typing import NamedTuple

import numpy as np

from .compile import inlined, jit
from .updates import ADAM, ADAMW, LEAST_ROOT, MOMENTUM, NESTEROV, RMSPROP, fetch_all, places, soft

CHUNK = 128  # updates; larger chunks mean fewer looks, but more sums to be continued in each update
SIZE, DECAY, PINCH, TAIL, LEFT, CUT = range(6)  # what is stored of each update: the rows of `pace`
KEPT = 6  # number of these rows
LEAST_LEFT = 1e-200  # an era ends here, far above the least positive number

FIRST, ROOT, RATIO = range(3)  # of what `powers` are: of beta1, of the root of beta2, of `Fading.ratio`
SHORT = 256  # powers up to here, and those of whole multiples of it, give all powers of an era


class Fading(NamedTuple):
    """How an optimiser continues without gradients."""

    kind: int
    ratio: float  # between successive moves by a momentum
    lifetime: int  # updates after which nothing is left of a momentum


@inlined
def power(powers, base, n):
    """Return the n-th power of one of three numbers."""
    return powers[base, 0, n % SHORT] * powers[base, 1, n // SHORT]


@jit
def note(pace, powers, at, size, decay, pinch):
    """Store update number `at` of this era, and continue the sums of its chunk. Returns LEFT."""
    left, cut = (pace[LEFT, at - 1], pace[CUT, at - 1]) if at > 0 else (1.0, 0.0)
    left *= decay
    pace[SIZE, at], pace[DECAY, at], pace[PINCH, at] = size, decay, pinch
    pace[LEFT, at], pace[CUT, at] = left, cut + pinch / left if left > 0.0 else cut
    pace[TAIL, at] = 0.0
    for s in range(at - at % CHUNK, at + 1):
        pace[TAIL, s] = decay * pace[TAIL, s] + size * powers[RATIO, 0, at - s + 1]
    return left


@inlined
def _kept(pace, first, end):
    """D of the updates first..end - 1."""
    if end == first:
        return 1.0
    return pace[LEFT, end - 1] / (pace[LEFT, first - 1] if first > 0 else 1.0)


@inlined
def _cut(pace, first, end):
    """C of the updates first..end - 1."""
    if end == first:
        return 0.0
    before = pace[CUT, first - 1] if first > 0 else 0.0
    last = pace[CUT, end - 2] if end > 1 else 0.0
    return pace[PINCH, end - 1] + pace[LEFT, end - 1] * (last - before)


@jit
def _moves(fading, first, end, pace, powers):
    """T of the updates first..end - 1, of which the last is the last of all.

    After its lifetime nothing is left of a momentum, and the weights only shrink.
    """
    total, s = 0.0, first
    while s < end and s - first < fading.lifetime:
        stop = min(s - s % CHUNK + CHUNK, end)
        total = total * _kept(pace, s, stop) + power(powers, RATIO, s - first) * pace[TAIL, s]
        s = stop
    return total * _kept(pace, s, end)


@jit
def _followed(fading, first, end, pace, powers, w, u):
    """Return a weight after a gap in which a momentum along u pushes it through zero."""
    before, factor = w, 1.0
    for s in range(first, end):
        if s - first >= fading.lifetime:
            return soft(_kept(pace, s, end) * w, _cut(pace, s, end))
        factor *= fading.ratio
        w = soft(pace[DECAY, s] * w - factor * pace[SIZE, s] * u, pace[PINCH, s])
        if w * before <= 0.0:
            rest = factor * _moves(fading, s + 1, end, pace, powers)
            return soft(_kept(pace, s + 1, end) * w - rest * u, _cut(pace, s + 1, end))
    return w


@jit
def coast(fading, gaps, pace, powers, state, starts, ahead, width):
    """Bring the weights of features through gaps: the moves of a momentum, and the penalty.

    gaps: where each begins and where all end, counted from the beginning of the era. starts, ahead: as in updates.Each.
    state: with scratch for a feature in g.
    """
    firsts, end = gaps
    w, direction, fresh = state.w, state.a, state.g
    real, wide, bytes_of_one, zero = w.dtype.type, np.uint64(width), w.itemsize, w.dtype.type(0)
    arrays = places(w, direction, direction[:0])
    for c in range(len(starts)):
        if c < len(ahead):
            fetch_all(arrays, ahead[c] * bytes_of_one, width * bytes_of_one)
        start, first = np.uint64(starts[c]), firsts[c]
        if first == end:
            continue
        size, kept = real(_moves(fading, first, end, pace, powers)), real(_kept(pace, first, end))
        own = real(_cut(pace, first, end))
        if own == zero:
            for k in range(wide):
                i = start + k
                w[i] = kept * w[i] - size * direction[i]
            continue
        crossed = 0
        for k in range(wide):
            i = start + k
            x = soft(kept * w[i] - size * direction[i], own)
            fresh[k] = x
            crossed += (direction[i] * w[i] > zero) & (x * w[i] <= zero)
        if crossed == 0:
            for k in range(wide):
                w[start + k] = fresh[k]
            continue
        for k in range(wide):
            i = start + k
            if direction[i] * w[i] > zero and fresh[k] * w[i] <= zero:
                w[i] = real(_followed(fading, first, end, pace, powers, float(w[i]), float(direction[i])))
            else:
                w[i] = fresh[k]


@jit
def fade(kind, a, b, each, width):
    """Bring the running means of features through gaps."""
    starts, faded, faded_root = each.starts, each.faded, each.faded_root
    wide, least = np.uint64(width), a.dtype.type(LEAST_ROOT)
    for c in range(len(starts)):
        start, kept, kept_root = np.uint64(starts[c]), a.dtype.type(faded[c]), a.dtype.type(faded_root[c])
        if kind in (MOMENTUM, NESTEROV):
            for k in range(wide):
                a[start + k] *= kept
        elif kind == RMSPROP:
            for k in range(wide):
                a[start + k] *= kept_root
        elif kind in (ADAM, ADAMW):
            for k in range(wide):
                i = start + k
                mean, root = kept * (a[i] * b[i]), max(kept_root * b[i], least)
                a[i], b[i] = mean / root, root
