# Dual coordinate ascent over CSR rows with two classes: one number a row, and a certificate in one pass.
#
# With one column of logits, a row's distribution is alpha, its share of class 1. What is kept is d = alpha - t, the
# distance from the row's target: nothing is lost where alpha is nearly 0 or 1, and rows that were never visited have
# d = 0, as W = 0 wants. The visit of sdca.pxi, others fixed, has the root y of
#
#   y + q sigmoid(y) = z + q alpha                  alpha <- sigmoid(y)
#
# One step of Newton's method from y = z, in its linear model, is a convex combination of alpha and p = sigmoid(z):
#
#   alpha <- alpha + s (p - alpha)                  s = 1 / (1 + q p (1 - p))
#
# By Pinsker's inequality and convexity it gains at least s (alpha - p)^2 (2 - q s / 2), so it ascends where q s <= 4,
# and it is next to the root where y moves by little; elsewhere the root is searched for. With e = exp(-z),
# p = 1 / (1 + e) and 1 - p = e / (1 + e) have all their digits, and there is one exponential and one division between
# a row's logit and what the next row sees.
#
# The row's gap is  KL(alpha, p) = integral from p to alpha of (alpha - x) / (x (1 - x)) dx,  which is estimated by
# its value for x (1 - x) at the centre of the weights alpha - x:
#
#   KL(alpha, p) ~ (p - alpha)^2 / (2 m (1 - m))    m = (2 p + alpha) / 3
#
# It is 1/4 too small where alpha is 0 or 1 and p near it, right in the second order inside, and never more than 9/4.

cdef enum:
    CERTIFIED = 64         # rows whose logarithms are taken together
    EXACT_STEPS = 40
    STATE_AHEAD = 16       # how many rows ahead the state of a row is fetched, and then its entries
    ROW_AHEAD = 6
    TOGETHER = 4           # rows in a random order of fours

cdef double THIRD = 1.0 / 3

exp_prepare()

# What is known of a row.
cdef struct DualRow:
    double target          # t, its share of class 1
    double mass            # c
    double square          # |x|^2
    double moved           # d

cdef struct BinaryDual:
    DualRow* state
    double* gap
    const Py_ssize_t* visit
    double scale
    double beta
    double enough
    double residual

# alpha_i tilted and mixed, see binary_dual_bound, and what comes of it.
cdef struct Certificate:
    DualRow* state
    double* gap
    double* sums
    double factor
    double share
    double towards
    double loss
    double entropy
    double slope

cdef struct DualTotals:
    double mass
    double one
    double square
    Py_ssize_t disordered


def binary_dual_start(LinearSoftmax rows, state, sums, Py_ssize_t first, Py_ssize_t stop):
    """State (n, 4) of the rows first..stop at alpha = t; adds sum_i c_i x_i and sum_i c_i t_i x_i to sums (d, 2).

    Returns sum_i c_i, sum_i c_i t_i, sum_i |x_i|^2, and how many rows do not name their columns in ascending
    order: those may name one twice, whose entries |x_i|^2 takes as two.
    """
    cdef DualRow* s = <DualRow*>address(state, rows.n * sizeof(DualRow), True)
    cdef double* a = <double*>address(sums, 2 * rows.d * sizeof(double), True)
    cdef DualTotals totals
    check_binary_rows(rows, first, stop)
    with nogil:
        if rows.is_double and rows.rows.storage == CSR32:
            totals = start_range(rows, s, a, first, stop, <const int32_t*>NULL, <double*>NULL)
        elif rows.is_double:
            totals = start_range(rows, s, a, first, stop, <const int64_t*>NULL, <double*>NULL)
        elif rows.rows.storage == CSR32:
            totals = start_range(rows, s, a, first, stop, <const int32_t*>NULL, <float*>NULL)
        else:
            totals = start_range(rows, s, a, first, stop, <const int64_t*>NULL, <float*>NULL)
    return totals.mass, totals.one, totals.square, totals.disordered


def binary_dual_ascent(LinearSoftmax rows, weights, state, gap, order, Py_ssize_t first, Py_ssize_t stop,
                       double scale, double beta, double enough):
    """Visit the rows order[first:stop]; returns what sum_i c_i (t_i - alpha_i) gained. Names as in dual_ascent."""
    cdef char* w = rows.buffer(weights, rows.weights_size, True)
    cdef BinaryDual dual
    check_binary_rows(rows, 0, rows.n)
    check_range(first, stop, stop)
    dual.state = <DualRow*>address(state, rows.n * sizeof(DualRow), True)
    dual.gap = <double*>address(gap, rows.n * sizeof(double), True)
    dual.visit = <const Py_ssize_t*>address(order, stop * sizeof(Py_ssize_t), False)
    dual.scale, dual.beta, dual.enough, dual.residual = scale, beta, enough, 0.0
    with nogil:
        if rows.is_double and rows.rows.storage == CSR32:
            binary_range(rows, &dual, first, stop, <const int32_t*>NULL, <double*>w)
        elif rows.is_double:
            binary_range(rows, &dual, first, stop, <const int64_t*>NULL, <double*>w)
        elif rows.rows.storage == CSR32:
            binary_range(rows, &dual, first, stop, <const int32_t*>NULL, <float*>w)
        else:
            binary_range(rows, &dual, first, stop, <const int64_t*>NULL, <float*>w)
    return dual.residual


def binary_dual_balance(state, Py_ssize_t n, double factor):
    """Sums over rows of c (alpha - t), c alpha, c (1 - alpha), c alpha (1 - alpha), for odds times `factor`."""
    cdef const DualRow* s = <const DualRow*>address(state, n * sizeof(DualRow), False)
    cdef double moved = 0, one = 0, zero = 0, slope = 0, a, b
    cdef Py_ssize_t i
    with nogil:
        for i in range(n):
            tilt(s + i, factor, &a, &b)
            moved += s[i].mass * (a * (1 - s[i].target) - b * s[i].target)
            one += s[i].mass * a
            zero += s[i].mass * b
            slope += s[i].mass * a * b
    return moved, one, zero, slope


def binary_dual_bound(LinearSoftmax rows, weights, state, gap, double factor, double share, double towards, sums,
                      Py_ssize_t first, Py_ssize_t stop):
    """Losses, gaps and the dual of rows first..stop in one pass.

    With alpha' = (1 - share) alpha'' + share * towards, and alpha'' what becomes of alpha when its odds are multiplied
    by `factor`: adds sum_i c_i (alpha'_i - t_i) x_i and sum_i c_i (p_i - t_i) x_i to sums (d, 2), writes
    gap[first:stop], and returns the sums of c_i loss_i, of c_i H(alpha'_i) and of c_i (p_i - t_i).
    """
    cdef char* w = rows.buffer(weights, rows.weights_size, False)
    cdef Certificate c
    check_binary_rows(rows, first, stop)
    c.state = <DualRow*>address(state, rows.n * sizeof(DualRow), False)
    c.gap = <double*>address(gap, rows.n * sizeof(double), True)
    c.sums = <double*>address(sums, 2 * rows.d * sizeof(double), True)
    c.factor, c.share, c.towards = factor, share, towards
    c.loss = c.entropy = c.slope = 0.0
    with nogil:
        if rows.is_double and rows.rows.storage == CSR32:
            bound_range(rows, &c, first, stop, <const int32_t*>NULL, <double*>w)
        elif rows.is_double:
            bound_range(rows, &c, first, stop, <const int64_t*>NULL, <double*>w)
        elif rows.rows.storage == CSR32:
            bound_range(rows, &c, first, stop, <const int32_t*>NULL, <float*>w)
        else:
            bound_range(rows, &c, first, stop, <const int64_t*>NULL, <float*>w)
    return c.loss, c.entropy, c.slope


cdef check_binary_rows(LinearSoftmax rows, Py_ssize_t first, Py_ssize_t stop):
    check_range(first, stop, rows.n)
    rows.check_target()
    if rows.layout.scheme != SPARSE or rows.K != 1:
        raise ValueError("binary dual ascent visits the rows of a CSR matrix, with one column of logits")


cdef DualTotals start_range(LinearSoftmax self, DualRow* state, double* sums, Py_ssize_t first, Py_ssize_t stop,
                            const index* unused, real* unused_too) noexcept nogil:
    cdef const real* values = <const real*>self.rows.values
    cdef const index* columns = <const index*>self.rows.indices
    cdef const index* indptr = <const index*>self.rows.indptr
    cdef DualTotals totals = DualTotals(0.0, 0.0, 0.0, 0)
    cdef double one, zero, c, x, square
    cdef real[2] t
    cdef Py_ssize_t i, at, j, last
    cdef bint ascending
    for i in range(first, stop):
        binary_weights(&self.targets, i, t, &one, &zero)
        c = one + zero
        state[i].mass = c
        state[i].target = one / c if c > 0 else 0
        state[i].moved = 0
        square, last, ascending = 0, -1, True
        for at in range(indptr[i], indptr[i + 1]):  # one loop: where it ends is foreseen wrongly once
            x, j = values[at], columns[at]
            square += x * x
            sums[2 * j] += c * x
            sums[2 * j + 1] += one * x
            ascending &= last < j
            last = j
        state[i].square = square
        totals.mass += c
        totals.one += one
        totals.square += square
        totals.disordered += not ascending
    return totals


cdef void binary_range(LinearSoftmax self, BinaryDual* dual, Py_ssize_t first, Py_ssize_t stop, const index* unused,
                       real* w) noexcept nogil:
    cdef const real* values = <const real*>self.rows.values
    cdef const index* columns = <const index*>self.rows.indices
    cdef const index* indptr = <const index*>self.rows.indptr
    cdef Py_ssize_t v, at, nnz, later
    cdef double bias = w[self.d], z, q, e, one, p, u, m, spread, least, step, alpha, other, weight, residual = 0
    cdef DualRow* row
    for v in range(first, stop):
        if v + STATE_AHEAD < stop:
            later = dual.visit[v + STATE_AHEAD]
            FX_PREFETCH(dual.state + later)
            FX_PREFETCH(indptr + later)
        if v + ROW_AHEAD < stop:
            later = dual.visit[v + ROW_AHEAD]
            at, nnz = indptr[later], indptr[later + 1] - indptr[later]
            fetch_row(<const char*>(values + at), nnz * <Py_ssize_t>sizeof(real))
            fetch_row(<const char*>(columns + at), nnz * <Py_ssize_t>sizeof(index))
        row = dual.state + dual.visit[v]
        at, nnz = indptr[dual.visit[v]], indptr[dual.visit[v] + 1] - indptr[dual.visit[v]]
        weight = row.mass * dual.scale
        q = weight * (row.square + dual.beta)
        alpha, other = row.target + row.moved, (1 - row.target) - row.moved
        z = bias + csr_dot_one(nnz, values + at, columns + at, w)
        # From here to the new bias everything waits for what comes before it: few operations, and in this order.
        e = exp_quick(-z)
        one = 1 + e
        u = other - e * alpha             # (p - alpha) / p
        step = one * u / (one * one + q * e)
        p = 1 / one
        u *= p
        # m (1 - m) is never below 4/9 p (1 - p), whatever rounding says
        m = (p - u * THIRD) * (e * p + u * THIRD)
        least = 0.4 * e * p * p
        spread = m if m > least else least
        dual.gap[dual.visit[v]] = row.mass * (0.5 * u * u / spread)
        if 0.5 * u * u <= dual.enough * spread or row.mass == 0:
            continue
        if q * fabs(step) > 0.5 and q * fabs(step) > 4 * fabs(u):
            step = exact_step(z, q, row)
        row.moved += step
        residual -= row.mass * step
        step *= -weight
        csr_add_one(nnz, values + at, columns + at, <real>step, w)
        bias += dual.beta * step
    w[self.d] = <real>bias
    dual.residual += residual


cdef inline void fetch_row(const char* start, Py_ssize_t size) noexcept nogil:
    """Ask for so many bytes. Of short rows three lines, even if they are one line thrice: where a loop ends that turns
    as often as a row is long is foreseen wrongly every other time, which takes longer than all of this."""
    cdef Py_ssize_t line
    FX_PREFETCH(start)
    FX_PREFETCH(start + (64 if size > 64 else size))
    FX_PREFETCH(start + (128 if size > 128 else size))
    for line in range(192, size, 64):
        FX_PREFETCH(start + line)


cdef double exact_step(double z, double q, const DualRow* row) noexcept nogil:
    """The change of alpha to the root of  y + q sigmoid(y) = z + q alpha."""
    cdef double a = row.target + row.moved, y = z, low, high, value, before = INFINITY, e, p
    cdef int iteration
    low, high = z + q * a - q, z + q * a
    if 0 < a < 1:
        y = (z + 0.25 * q * log(a / (1 - a))) / (1 + 0.25 * q)
    for iteration in range(EXACT_STEPS):
        y = low if y < low else high if y > high else y
        e = exp_one(-y)
        p = 1 / (1 + e)
        value = y + q * p - (z + q * a)
        if value > 0:
            high = y
        else:
            low = y
        if fabs(value) <= 1e-3 * fabs(y - z) + 1e-14 * fabs(z):
            break
        y -= value / (1 + q * p * (e * p))
        # Newton's method can jump from one flat side of the sigmoid to the other and back
        if not low < y < high or 2 * fabs(value) > before:
            y = 0.5 * (low + high)
        before = fabs(value)
    e = exp_one(-y)
    p = 1 / (1 + e)
    return p * ((1 - row.target) - e * row.target) - row.moved


cdef inline void tilt(const DualRow* row, double factor, double* one, double* zero) noexcept nogil:
    """Shares of class 1 and class 0 when the odds of alpha are multiplied by a factor."""
    cdef double a = row.target + row.moved, b = (1 - row.target) - row.moved, total
    a = factor * (a if a > 0 else 0)
    b = b if b > 0 else 0
    total = a + b
    one[0] = a / total
    zero[0] = b / total


cdef void bound_range(LinearSoftmax self, Certificate* c, Py_ssize_t first, Py_ssize_t stop, const index* unused,
                      const real* w) noexcept nogil:
    cdef const real* values = <const real*>self.rows.values
    cdef const index* columns = <const index*>self.rows.indices
    cdef const index* indptr = <const index*>self.rows.indptr
    cdef double[CERTIFIED] z, e, moved, gradient, log_total
    cdef double[2 * CERTIFIED] logs, shares
    cdef const DualRow* row
    cdef double one, zero, p, u, m, least, tiny = 1e-300, loss, entropy, slope
    cdef Py_ssize_t block, start, l, count, at
    for block in range(steps(stop - first, CERTIFIED)):
        start = first + block * CERTIFIED
        count = clamp(stop - start, 0, CERTIFIED)
        for l in range(count):
            at = indptr[start + l]
            z[l] = w[self.d] + csr_dot_one(indptr[start + l + 1] - at, values + at, columns + at, w)
            e[l] = -fabs(z[l])
        exp_array(e, e, count)
        memcpy(log_total, e, count * sizeof(double))
        log1p_array(log_total, count)
        for l in range(count):
            row = c.state + start + l
            tilt(row, c.factor, &one, &zero)
            one = (1 - c.share) * one + c.share * c.towards
            zero = (1 - c.share) * zero + c.share * (1 - c.towards)
            moved[l] = row.mass * (one * (1 - row.target) - zero * row.target)
            shares[l], shares[count + l] = one, zero
            logs[l] = zero / (one if one > tiny else tiny)  # -log(one) is log1p of this
            logs[count + l] = one / (zero if zero > tiny else tiny)
        log1p_array(logs, 2 * count)
        loss = entropy = slope = 0
        for l in range(count):
            row = c.state + start + l
            entropy += row.mass * (shares[l] * logs[l] + shares[count + l] * logs[count + l])
            p = 1 / (1 + e[l])
            m = e[l] * p
            one = p if z[l] > 0 else m
            zero = m if z[l] > 0 else p
            u = one * (1 - row.target) - zero * row.target
            gradient[l] = row.mass * u
            slope += gradient[l]
            loss += row.mass * (log_total[l] + ((1 - row.target) * z[l] if z[l] > 0 else -row.target * z[l]))
            u -= row.moved
            m = (one - u / 3) * (zero + u / 3)
            least = 0.4 * one * zero
            m = m if m > least else least
            c.gap[start + l] = row.mass * (0.5 * u * u / m) if m > 0 else 0
        c.loss += loss
        c.entropy += entropy
        c.slope += slope
        for l in range(count):
            at = indptr[start + l]
            csr_add_pair(indptr[start + l + 1] - at, values + at, columns + at, moved[l], gradient[l], c.sums)


# ---- which rows, in which order
# --------------------------------------------------------------------------------

cdef inline uint64_t next_random(uint64_t* state) noexcept nogil:
    """The next of 2^64 numbers (G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators",
    OOPSLA 2014)."""
    cdef uint64_t z
    state[0] += <uint64_t>0x9E3779B97F4A7C15
    z = state[0]
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)


def draw_rows(gap, double mean, double floor, order, state):
    """Take row i with probability gap_i / mean, at least `floor`; write their numbers, shuffled, and return how many.

    Four neighbours stay together: rows that come one by one from all over memory take twice as long to visit, once
    they are more than a cache holds, and single rows in random order bring the ascent no further.

    gap (n,), order intp (n,), state uint64 (1,): of the generator.
    """
    cdef Py_ssize_t n = len(order)
    cdef const double* g = <const double*>address(gap, n * sizeof(double), False)
    cdef Py_ssize_t* rows = <Py_ssize_t*>address(order, n * sizeof(Py_ssize_t), True)
    cdef uint64_t* random = <uint64_t*>address(state, sizeof(uint64_t), True)
    with nogil:
        n = draw(g, n, mean, floor * mean, rows, random)
    return n


cdef Py_ssize_t draw(const double* gap, Py_ssize_t n, double mean, double least, Py_ssize_t* rows,
                     uint64_t* random) noexcept nogil:
    cdef double unit = mean / 9007199254740992.0, chance
    cdef Py_ssize_t i, j, l, count = 0
    for i in range(n):
        chance = gap[i] if gap[i] > least else least
        rows[count] = i
        count += unit * <double>(next_random(random) >> 11) < chance
    for i in range(count // TOGETHER - 1, 0, -1):
        j = <Py_ssize_t>((next_random(random) >> 32) * <uint64_t>(i + 1) >> 32)
        for l in range(TOGETHER):
            rows[TOGETHER * i + l], rows[TOGETHER * j + l] = rows[TOGETHER * j + l], rows[TOGETHER * i + l]
    return count
