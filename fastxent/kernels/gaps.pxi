# All updates in which a feature had no gradient, applied at once when a row has the feature again.
#
# Update s multiplies a weight by DECAY[s] and then moves it towards 0 by PINCH[s]. Without moves in between, the
# updates f..t of a gap are equal to a single soft(D w, C) where, counted from the beginning of the era,
#
#     LEFT[s] = product over r <= s of DECAY[r]                D = LEFT[t] / LEFT[f - 1]
#     CUT[s]  = sum over r <= s of  PINCH[r] / LEFT[r]         C = PINCH[t] + LEFT[t] (CUT[t - 1] - CUT[f - 1])
#
# An era ends before LEFT becomes too small to divide by. Running means fade by a power. With momentum the weights keep
# moving in a fixed direction u, ever more slowly: in update s of a gap that begins at f they move by
# SIZE[s] ratio^(s - f + 1) along u. Together that is w = D w - T u. T is looked up, not added up: updates form
# chunks, and every place of a chunk stores the sum from there to the end of the chunk, or to the last update,
#
#     TAIL[s] = sum over r >= s in the chunk of  ratio^(r - s + 1) SIZE[r] LEFT[e] / LEFT[r]       e: the last of them
#
# so a gap costs one look for each chunk.
#
# Under L1 as well, soft(D w - T u, C) is what single updates lead to, unless a weight meets zero on its way: one that
# is not pushed to zero moves away from it while the momentum exceeds L1, and returns to it at most once, for good. A
# weight that its momentum does push through zero is followed to that point; from there on the formula holds.

SHORT_POWERS = 256             # powers up to here, and those of whole multiples of it, give all powers of an era
KEPT_OF_UPDATES = 6            # numbers that are stored of each update

cdef enum:
    UPDATES_OF_CHUNK = 128     # larger chunks mean fewer looks, but more sums to be continued in each update
    SHORT = 256
    FIRST = 0                  # powers of beta1,
    ROOT = 1                   # of the root of beta2,
    RATIO = 2                  # and of the ratio between successive moves by a momentum

# What is stored of the updates of this era: six arrays of one length.
cdef struct Pace:
    double* size
    double* decay
    double* pinch
    double* tail
    double* left
    double* cut
    const double* powers           # [three bases][short or long][n_powers]
    Py_ssize_t n_powers
    bint penalised                 # whether DECAY and PINCH are other than 1 and 0
    double ratio
    Py_ssize_t lifetime            # updates after which nothing is left of a momentum


cdef inline double power(const Pace* p, int base, Py_ssize_t n) noexcept nogil:
    """The n-th power of one of three numbers."""
    cdef const double* short = p.powers + 2 * base * p.n_powers
    return short[n % SHORT] * short[p.n_powers + n // SHORT]


cdef double note(const Pace* p, Py_ssize_t at, double size, double decay, double pinch) noexcept nogil:
    """Store update number `at` of this era, and continue the sums of its chunk. Returns LEFT."""
    cdef double left = 1.0, cut = 0.0
    cdef const double* powers = p.powers + 2 * RATIO * p.n_powers
    cdef Py_ssize_t s
    if at > 0:
        left, cut = p.left[at - 1], p.cut[at - 1]
    left *= decay
    p.size[at], p.decay[at], p.pinch[at] = size, decay, pinch
    p.left[at], p.cut[at] = left, cut + pinch / left if left > 0.0 else cut
    p.tail[at] = 0.0
    for s in range(at - at % UPDATES_OF_CHUNK, at + 1):
        p.tail[s] = decay * p.tail[s] + size * powers[at - s + 1]
    return left


cdef inline double kept_in(const Pace* p, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    """D of the updates first..end - 1."""
    if end == first or not p.penalised:
        return 1.0
    return p.left[end - 1] / (p.left[first - 1] if first > 0 else 1.0)


cdef inline double cut_in(const Pace* p, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    """C of the updates first..end - 1."""
    cdef double before, last
    if end == first or not p.penalised:
        return 0.0
    before = p.cut[first - 1] if first > 0 else 0.0
    last = p.cut[end - 2] if end > 1 else 0.0
    return p.pinch[end - 1] + p.left[end - 1] * (last - before)


cdef inline double moves_in(const Pace* p, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    """T of the updates first..end - 1, of which the last is the last of all.

    After its lifetime nothing is left of a momentum, and the weights only shrink.
    """
    cdef double total = 0.0
    cdef Py_ssize_t s = first, stop
    while s < end and s - first < p.lifetime:
        stop = min(s - s % UPDATES_OF_CHUNK + UPDATES_OF_CHUNK, end)
        total = total * kept_in(p, s, stop) + power(p, RATIO, s - first) * p.tail[s]
        s = stop
    return total * kept_in(p, s, end)


cdef inline double softened(double x, double cut) noexcept nogil:
    """Move x towards 0 by a cut >= 0, but not beyond 0. What is not a number stays so."""
    return x - (cut if x > cut else -cut if x < -cut else x)


cdef double followed(const Pace* p, Py_ssize_t first, Py_ssize_t end, double w, double u) noexcept nogil:
    """A weight after a gap in which a momentum along u pushes it through zero."""
    cdef double before = w, factor = 1.0, rest
    cdef Py_ssize_t s
    for s in range(first, end):
        if s - first >= p.lifetime:
            return softened(kept_in(p, s, end) * w, cut_in(p, s, end))
        factor *= p.ratio
        w = softened(p.decay[s] * w - factor * p.size[s] * u, p.pinch[s])
        if w * before <= 0.0:
            rest = factor * moves_in(p, s + 1, end)
            return softened(kept_in(p, s + 1, end) * w - rest * u, cut_in(p, s + 1, end))
    return w


cdef inline void coast(const Pace* p, Py_ssize_t first, Py_ssize_t end, Py_ssize_t n, real* w, const real* u,
                       const fx_ahead* ahead) noexcept nogil:
    """Bring n weights through a gap: the moves of a momentum along u, and the penalty."""
    cdef double size, kept, cut
    cdef real x
    cdef Py_ssize_t k
    if first == end:
        fetch(ahead.at, ahead.lines * n * sizeof(real))
        return
    size, kept, cut = moves_in(p, first, end), kept_in(p, first, end), cut_in(p, first, end)
    if coast_row(n, w, u, kept, size, cut, ahead[0]):
        return
    for k in range(n):
        x = <real>softened(<real>kept * w[k] - <real>size * u[k], <real>cut)
        if u[k] * w[k] > 0 and x * w[k] <= 0:
            x = <real>followed(p, first, end, w[k], u[k])
        w[k] = x


cdef double drifted(double w, double mean, double time, double l1, double l2) noexcept nogil:
    """The solution of dw/dt = -l2 w - l1 sign(w) - mean: a weight under its penalty and a constant gradient."""
    cdef double sign, pull, size, until_zero
    cdef int i
    for i in range(2):  # a weight crosses or meets zero at most once
        sign = 1.0 if w > 0.0 else -1.0 if w < 0.0 else 1.0 if mean < -l1 else -1.0 if mean > l1 else 0.0
        if sign == 0.0:
            return 0.0
        pull = sign * mean + l1  # towards zero, without L2
        size = fabs(w)
        if pull > 0.0:
            until_zero = size / pull if l2 == 0.0 else log1p(l2 * size / pull) / l2
            if until_zero < time:
                time -= until_zero
                w = 0.0
                continue
        if l2 == 0.0:
            return sign * (size - pull * time)
        return sign * (exp(-l2 * time) * size + pull * expm1(-l2 * time) / l2)
    return w


cdef inline void drift(Py_ssize_t n, real* w, const real* mean, double time, double l1, double l2) noexcept nogil:
    """The same for n weights."""
    cdef double decay, step
    cdef Py_ssize_t k
    if l1 == 0.0:
        decay = exp(-l2 * time)
        step = time if l2 == 0.0 else -expm1(-l2 * time) / l2
        for k in range(n):
            w[k] = <real>decay * w[k] - <real>step * mean[k]
    else:
        for k in range(n):
            w[k] = <real>drifted(w[k], mean[k], time, l1, l2)


def drift_weights(w, mean, double time, double l1, double l2):
    """`drift` of float64 arrays, for tests."""
    cdef double* first = doubles_out(w, len(w))
    drift(<Py_ssize_t>len(w), first, doubles(mean, len(w)), time, l1, l2)
