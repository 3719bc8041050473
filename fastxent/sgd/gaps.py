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

from .compile import inlined, jit
from .updates import ADAM, ADAMW, LEAST_ROOT, MOMENTUM, NESTEROV, RMSPROP, soft

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


class Gap(NamedTuple):
    """Updates of this era in which a feature has no gradient, counted from the beginning of the era."""

    first: int
    end: int  # after the last


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


@inlined
def coast(fading, gap, pace, powers, w, gradient, roots, fresh, start, width):
    """Bring the weights of one feature through a gap: the moves of a momentum, and the penalty.

    roots: what adam divides by; the others ignore it. fresh: scratch for the weights of a feature.
    """
    real, kind, first, end = w.dtype.type, fading.kind, gap.first, gap.end
    divides = kind in (ADAM, ADAMW)
    total = _moves(fading, first, end, pace, powers)
    cut = _cut(pace, first, end)
    size, kept = real(total), real(_kept(pace, first, end))
    if cut == 0.0:
        if divides:
            for k in range(width):
                i = start + k
                w[i] = kept * w[i] - size * (gradient[i] / roots[i])
        else:
            for k in range(width):
                i = start + k
                w[i] = kept * w[i] - size * gradient[i]
    else:
        own, zero, crossed = real(cut), real(0), 0
        for k in range(width):
            i = start + k
            u = gradient[i] / roots[i] if divides else gradient[i]
            fresh[k] = soft(kept * w[i] - size * u, own)
            crossed += (w[i] * u > zero) & (fresh[k] * w[i] <= zero)
        for k in range(width):
            i = start + k
            if crossed > 0 and w[i] * gradient[i] > zero and fresh[k] * w[i] <= zero:
                u = gradient[i] / roots[i] if divides else gradient[i]
                w[i] = real(_followed(fading, first, end, pace, powers, float(w[i]), float(u)))
            else:
                w[i] = fresh[k]


@inlined
def fade(kind, updates, powers, a, b, start, width):
    """Bring the running means of one feature through a gap of so many updates."""
    if kind in (MOMENTUM, NESTEROV, RMSPROP, ADAM, ADAMW):
        kept = a.dtype.type(power(powers, ROOT if kind == RMSPROP else FIRST, updates))
        for k in range(width):
            a[start + k] *= kept
    if kind in (ADAM, ADAMW):
        kept, least = b.dtype.type(power(powers, ROOT, updates)), b.dtype.type(LEAST_ROOT)
        for k in range(width):
            b[start + k] = max(kept * b[start + k], least)
