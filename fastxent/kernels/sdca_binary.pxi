# Dual coordinate ascent over CSR rows with two classes: one number per row, and a certificate in one pass.
#
# With one column of logits, a row's distribution is alpha, its share of class 1. The stored number is d = alpha - t,
# the distance from the row's target: no digits are lost where alpha is nearly 0 or 1, and rows that were never visited
# have d = 0, which matches W = 0. The visit of sdca.pxi, with the other rows fixed, needs the root y of
#
#   y + q sigmoid(y) = z + q alpha                  alpha <- sigmoid(y)
#
# One step of Newton's method from y = z, in its linear model, is a convex combination of alpha and p = sigmoid(z):
#
#   alpha <- alpha + s (p - alpha)                  s = 1 / (1 + q p (1 - p))
#
# By Pinsker's inequality and convexity it gains at least s (alpha - p)^2 (2 - q s / 2). So it increases the dual if
# q s <= 4, and it is close to the root if y changes little; otherwise the root is computed by iteration. With
# e = exp(-z), p = 1 / (1 + e) and 1 - p = e / (1 + e) have full relative accuracy, and only one exponential and one
# division lie between a row's logit and the weights that the next row reads.
#
# The row's gap is  KL(alpha, p) = integral from p to alpha of (alpha - x) / (x (1 - x)) dx.  The estimate takes
# x (1 - x) at the centre of the weights alpha - x:
#
#   KL(alpha, p) ~ (p - alpha)^2 / (2 m (1 - m))    m = (2 p + alpha) / 3
#
# That is 1/4 too small if alpha is 0 or 1 and p is near it, exact to second order elsewhere, and at most 9/4 KL.

cdef enum:
    CERTIFIED = 64         # rows whose logarithms are computed together: their arrays (4 kB) stay in L1 cache
    EXACT_STEPS = 40       # of Newton's method, or bisection where that jumps
    TOGETHER = 4           # neighbouring rows that stay together in a random order: see draw_rows

cdef double THIRD = 1.0 / 3

exp_prepare()

# The state of a row; solvers/dual/ascent.py has the same fields.
cdef struct BinaryRow:
    double target          # t, its share of class 1
    double mass            # c
    double square          # |x|^2
    double moved           # d

cdef struct BinaryDual:
    const Rows* rows
    const Target* target
    void* weights                  # W and b
    BinaryRow* row                 # (n,)
    double* gap                    # (n,)

# A pass over rows first..stop, or order[first:stop]: its inputs and its sums.
cdef struct BinaryPass:
    BinaryDual dual
    Py_ssize_t first
    Py_ssize_t stop
    const Py_ssize_t* order        # binary_ascend_range
    double scale
    double beta
    double enough
    double residual                # change of sum_i c_i (t_i - alpha_i)
    double* sums                   # binary_start_range, binary_bound_range: (d, 2)
    double factor                  # binary_bound_range
    double share
    double towards
    double loss
    double entropy
    double slope                   # sum_i c_i (p_i - t_i)
    double mass                    # binary_start_range: sums of c_i, c_i t_i, |x_i|^2
    double one
    double square
    Py_ssize_t disordered          # rows whose column indices do not ascend

# The logarithms and exponentials of a block of rows in binary_bound_range.
cdef struct Certified:
    double[CERTIFIED] z
    double[CERTIFIED] e            # exp(-|z|)
    double[CERTIFIED] log_total    # log(1 + e)
    double[CERTIFIED] moved        # c (alpha' - t)
    double[CERTIFIED] gradient     # c (p - t)
    double[2 * CERTIFIED] shares   # alpha' of all rows, then 1 - alpha'
    double[2 * CERTIFIED] logs     # -log of these


cdef class BinaryDualAscent:
    """Rows of a CSR matrix of two classes, a share of class 1 for each, and the weights that follow from them.

    Parameters
    ----------
    rows : LinearSoftmax of a CSR matrix, K = 1
    weights : (rows.weights_size,), W and b in the kernels' layout
    state : (n,) of BinaryRow: four float64 a row
    gap : float64 (n,)
    """
    cdef BinaryDual dual
    cdef LinearSoftmax rows
    cdef object keep

    def __init__(self, LinearSoftmax rows, weights, state, gap):
        if rows.layout.scheme != SPARSE or rows.K != 1:
            raise ValueError("binary dual ascent visits the rows of a CSR matrix, with one column of logits")
        rows.check_target()
        self.dual.rows, self.dual.target = &rows.rows, &rows.target
        self.dual.weights = rows.buffer(weights, rows.weights_size, True)
        self.dual.row = <BinaryRow*>address(state, rows.n * sizeof(BinaryRow), True)
        self.dual.gap = doubles_out(gap, rows.n)
        self.rows, self.keep = rows, (weights, state, gap)

    cdef BinaryPass over(self, Py_ssize_t first, Py_ssize_t stop) except *:
        cdef BinaryPass task
        memset(&task, 0, sizeof(BinaryPass))
        check_range(first, stop, self.rows.n)
        task.dual, task.first, task.stop = self.dual, first, stop
        return task

    def start(self, sums, Py_ssize_t first, Py_ssize_t stop):
        """Set the state of rows first..stop to alpha = t; adds sum_i c_i x_i and sum_i c_i t_i x_i to sums (d, 2).

        Returns sum_i c_i, sum_i c_i t_i, sum_i |x_i|^2, and how many rows do not name their columns in ascending
        order: those may name one twice, whose entries |x_i|^2 takes as two.
        """
        cdef BinaryPass task = self.over(first, stop)
        task.sums = doubles_out(sums, 2 * self.rows.d)
        self.rows.run_index(&task, binary_start_range, binary_start_range, binary_start_range, binary_start_range)
        return task.mass, task.one, task.square, task.disordered

    def visit(self, order, Py_ssize_t first, Py_ssize_t stop, double scale, double beta, double enough):
        """Visit the rows order[first:stop]; return the change of sum_i c_i (t_i - alpha_i). Names as in DualAscent."""
        cdef BinaryPass task = self.over(0, 0)
        check_range(first, stop, stop)
        task.order = <const Py_ssize_t*>address(order, stop * sizeof(Py_ssize_t), False)
        task.first, task.stop, task.scale, task.beta, task.enough = first, stop, scale, beta, enough
        self.rows.run_index(&task, binary_ascend_range, binary_ascend_range, binary_ascend_range, binary_ascend_range)
        return task.residual

    def balance(self, double factor):
        """Sums over rows of c (alpha - t), c alpha, c (1 - alpha), c alpha (1 - alpha), for odds times `factor`."""
        cdef const BinaryRow* row = self.dual.row
        cdef double moved = 0, one = 0, zero = 0, slope = 0, a, b
        cdef Py_ssize_t i
        with nogil:
            for i in range(self.rows.n):
                tilt(row + i, factor, &a, &b)
                moved += row[i].mass * (a * (1 - row[i].target) - b * row[i].target)
                one += row[i].mass * a
                zero += row[i].mass * b
                slope += row[i].mass * a * b
        return moved, one, zero, slope

    def bound(self, double factor, double share, double towards, sums, Py_ssize_t first, Py_ssize_t stop):
        """Losses, gaps and the dual of rows first..stop in one pass.

        With alpha' = (1 - share) alpha'' + share * towards, and alpha'' what becomes of alpha when its odds are
        multiplied by `factor`: adds sum_i c_i (alpha'_i - t_i) x_i and sum_i c_i (p_i - t_i) x_i to sums (d, 2), writes
        gap[first:stop], and returns the sums of c_i loss_i, of c_i H(alpha'_i) and of c_i (p_i - t_i).
        """
        cdef BinaryPass task = self.over(first, stop)
        task.sums = doubles_out(sums, 2 * self.rows.d)
        task.factor, task.share, task.towards = factor, share, towards
        self.rows.run_index(&task, binary_bound_range, binary_bound_range, binary_bound_range, binary_bound_range)
        return task.loss, task.entropy, task.slope


cdef void binary_start_range(void* task, const real* x, const index* j) noexcept nogil:
    cdef BinaryPass* t = <BinaryPass*>task
    cdef BinaryRow* row
    cdef double one, zero, c, value, square
    cdef real[2] two
    cdef Py_ssize_t i, e, nnz, column, last
    cdef bint ascending
    for i in range(t.first, t.stop):
        row = t.dual.row + i
        binary_weights(t.dual.target, i, two, &one, &zero)
        c = one + zero
        row.mass = c
        row.target = one / c if c > 0 else 0
        row.moved = 0
        nnz = row_entries(t.dual.rows, i, &x, &j)
        square, last, ascending = 0, -1, True
        for e in range(nnz):  # one loop, because the end of every loop costs a mispredicted branch
            value, column = x[e], j[e]
            square += value * value
            t.sums[2 * column] += c * value
            t.sums[2 * column + 1] += one * value
            ascending &= last < column
            last = column
        row.square = square
        t.mass += c
        t.one += one
        t.square += square
        t.disordered += not ascending


cdef void binary_ascend_range(void* task, const real* x, const index* j) noexcept nogil:
    cdef BinaryPass* t = <BinaryPass*>task
    # Local copies of the task's fields: the compiler must assume that stores to the weights change the originals.
    cdef Rows X = t.dual.rows[0]
    cdef const Py_ssize_t* order = t.order
    cdef BinaryRow* rows = t.dual.row
    cdef double* gap = t.dual.gap
    cdef real* w = <real*>t.dual.weights
    cdef Py_ssize_t v, i, nnz, stop = t.stop
    cdef double bias = w[X.d], z, q, e, one, p, u, m, spread, least, step, alpha, zero, weight, residual = 0
    cdef double scale = t.scale, beta = t.beta, enough = t.enough
    cdef BinaryRow* row
    for v in range(t.first, stop):
        if v + ROWS_AHEAD < stop:
            i = order[v + ROWS_AHEAD]
            FX_PREFETCH(rows + i)
            FX_PREFETCH(<const index*>X.indptr + i)
        if v + ENTRIES_AHEAD < stop:
            nnz = row_entries(&X, order[v + ENTRIES_AHEAD], &x, &j)
            fetch_short(x, nnz * sizeof(real))
            fetch_short(j, nnz * sizeof(index))
        i = order[v]
        row = rows + i
        nnz = row_entries(&X, i, &x, &j)
        weight = row.mass * scale
        q = weight * (row.square + beta)
        alpha, zero = row.target + row.moved, (1 - row.target) - row.moved
        z = bias + csr_dot_one(nnz, x, j, w)
        # From here to the new bias, each operation waits for the one before. Keep this chain short.
        e = exp_quick(-z)
        one = 1 + e
        u = zero - e * alpha             # (p - alpha) / p
        step = one * u / (one * one + q * e)
        p = 1 / one
        u *= p
        # Exactly, m (1 - m) is never below 4/9 p (1 - p); rounding must not change that.
        m = (p - u * THIRD) * (e * p + u * THIRD)
        least = 0.4 * e * p * p
        spread = m if m > least else least
        gap[i] = row.mass * (0.5 * u * u / spread)
        if 0.5 * u * u <= enough * spread or row.mass == 0:
            continue
        if q * fabs(step) > 0.5 and q * fabs(step) > 4 * fabs(u):  # a large change of y, and q s > 4
            step = exact_step(z, q, row)
        row.moved += step
        residual -= row.mass * step
        step *= -weight
        csr_add_one(nnz, x, j, <real>step, w)
        bias += beta * step
    w[X.d] = <real>bias
    t.residual = residual


cdef inline void fetch_short(const void* x, Py_ssize_t size) noexcept nogil:
    """fetch of a row that is probably short: always at least three lines, even if they are the same.

    A loop of one or two turns, as short rows would have it, is predicted wrongly half of the time, which takes longer
    than three requests.
    """
    cdef const char* start = <const char*>x
    cdef Py_ssize_t line
    FX_PREFETCH(start)
    FX_PREFETCH(start + (64 if size > 64 else size))
    FX_PREFETCH(start + (128 if size > 128 else size))
    for line in range(192, size, 64):
        FX_PREFETCH(start + line)


cdef double exact_step(double z, double q, const BinaryRow* row) noexcept nogil:
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
        if fabs(value) <= 1e-3 * fabs(y - z) + 1e-14 * fabs(z):  # a thousandth of the step, or rounding
            break
        y -= value / (1 + q * p * (e * p))
        # Newton's method can oscillate between the two flat sides of the sigmoid
        if not low < y < high or 2 * fabs(value) > before:
            y = 0.5 * (low + high)
        before = fabs(value)
    e = exp_one(-y)
    p = 1 / (1 + e)
    return p * ((1 - row.target) - e * row.target) - row.moved


cdef inline void tilt(const BinaryRow* row, double factor, double* one, double* zero) noexcept nogil:
    """Shares of class 1 and class 0 when the odds of alpha are multiplied by a factor."""
    cdef double a = row.target + row.moved, b = (1 - row.target) - row.moved, total
    a = factor * (a if a > 0 else 0)
    b = b if b > 0 else 0
    total = a + b
    one[0] = a / total
    zero[0] = b / total


cdef void binary_bound_range(void* task, const real* x, const index* j) noexcept nogil:
    cdef BinaryPass* t = <BinaryPass*>task
    cdef const real* w = <const real*>t.dual.weights
    cdef Certified block
    cdef Py_ssize_t start = t.first, l, count, nnz
    while start < t.stop:
        count = clamp(t.stop - start, 0, CERTIFIED)
        for l in range(count):
            nnz = row_entries(t.dual.rows, start + l, &x, &j)
            block.z[l] = w[t.dual.rows.d] + csr_dot_one(nnz, x, j, w)
        certify_shares(t, t.dual.row + start, count, &block)
        certify_losses(t, t.dual.row + start, count, t.dual.gap + start, &block)
        for l in range(count):
            nnz = row_entries(t.dual.rows, start + l, &x, &j)
            csr_add_pair(nnz, x, j, block.moved[l], block.gradient[l], t.sums)
        start += CERTIFIED


cdef void certify_shares(BinaryPass* t, const BinaryRow* row, Py_ssize_t count, Certified* block) noexcept nogil:
    """alpha' of the rows, how far it is from their targets, and its entropy."""
    cdef double one, zero, tiny = 1e-300, entropy = 0
    cdef Py_ssize_t l
    for l in range(count):
        tilt(row + l, t.factor, &one, &zero)
        one = (1 - t.share) * one + t.share * t.towards
        zero = (1 - t.share) * zero + t.share * (1 - t.towards)
        block.moved[l] = row[l].mass * (one * (1 - row[l].target) - zero * row[l].target)
        block.shares[l], block.shares[count + l] = one, zero
        block.logs[l] = zero / (one if one > tiny else tiny)  # log1p of this is -log(one)
        block.logs[count + l] = one / (zero if zero > tiny else tiny)
    log1p_array(block.logs, 2 * count)
    for l in range(count):
        entropy += row[l].mass * (block.shares[l] * block.logs[l] + block.shares[count + l] * block.logs[count + l])
    t.entropy += entropy


cdef void certify_losses(BinaryPass* t, const BinaryRow* row, Py_ssize_t count, double* gap,
                         Certified* block) noexcept nogil:
    """Losses of the rows at the logits z, their derivatives, and the rows' gaps."""
    cdef double one, zero, p, m, u, least, loss = 0, slope = 0
    cdef Py_ssize_t l
    for l in range(count):
        block.e[l] = -fabs(block.z[l])
    exp_array(block.e, block.e, count)
    memcpy(block.log_total, block.e, count * sizeof(double))
    log1p_array(block.log_total, count)
    for l in range(count):
        p = 1 / (1 + block.e[l])
        m = block.e[l] * p
        one = p if block.z[l] > 0 else m
        zero = m if block.z[l] > 0 else p
        u = one * (1 - row[l].target) - zero * row[l].target
        block.gradient[l] = row[l].mass * u
        slope += block.gradient[l]
        loss += row[l].mass * (block.log_total[l] + ((1 - row[l].target) * block.z[l] if block.z[l] > 0
                                                     else -row[l].target * block.z[l]))
        u -= row[l].moved
        m = (one - u / 3) * (zero + u / 3)
        least = 0.4 * one * zero
        m = m if m > least else least
        gap[l] = row[l].mass * (0.5 * u * u / m) if m > 0 else 0
    t.loss += loss
    t.slope += slope


# ---- which rows, in which order -------------------------------------------------------------------------------------

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

    Four neighbours stay together. Once there are more rows than a cache holds, single ones from all over memory take
    twice as long to visit, and their order does the ascent no good.

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
