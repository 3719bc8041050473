# Moments of the columns of X by the masses of its rows: mean, and sum of squares around the mean.
#
# All sums are of y = x - s, in double precision. The shift s is the row of largest mass, so that a constant column
# becomes one of exact zeros, whatever the constant and the masses are; and s is no farther from the mean than sqrt(n)
# deviations (the row itself adds at least 1/n of all mass times (s - m)^2 to the sum of squares), so that a column far
# from zero keeps its digits. fastxent/data/moments.py chooses s and states the error bound.
#
# Rows are read from memory once: a block of them is summed, and then squared around its own mean while it is in cache
# (of a wide sparse X, blocks are larger than that). Blocks are joined by
#
#   M = M_a + M_b,   m = m_a + (M_b / M) (m_b - m_a),   Q = Q_a + Q_b + (M_a M_b / M) (m_b - m_a)^2
#
# (T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for computing the sample variance", The American Statistician 37,
# 1983). The same formula joins ranges of rows, which may be different threads', and the zeros that a sparse column does
# not store.

cdef enum:
    MOMENT_ROWS = 1024     # of a block, at most; of CSR rows, at least
    MOMENT_ENTRIES = 16    # of a block of CSR rows, for each column: joining blocks takes several sums a column

# Rows first..stop, a pass or a block of it, and what becomes of their columns.
cdef struct Moments:
    const Rows* rows
    Py_ssize_t first
    Py_ssize_t stop
    const double* mass             # (n,), or NULL: all are 1
    const double* shift            # (d,)
    double total                   # becomes the rows' mass
    double* mean                   # (d,): becomes the mean less the shift
    double* square                 # (d,): becomes the sum of squares around it
    double* more                   # scratch: (3, d) of a block, (5, d) of a pass


cdef inline double mass_at(const double* mass, Py_ssize_t i) noexcept nogil:
    return 1.0 if mass == NULL else mass[i]


cdef double total_mass(const double* mass, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
    cdef double[32] lane
    cdef Py_ssize_t i, l, whole = first + ((stop - first) & ~31)
    if mass == NULL:
        return <double>(stop - first)
    for l in range(32):
        lane[l] = 0
    for i in range(first, whole, 32):
        for l in range(32):
            lane[l] += mass[i + l]
    for i in range(whole, stop):
        lane[i - whole] += mass[i]
    return sum_of_lanes(lane)


cdef inline double sum_of_lanes(double* lane) noexcept nogil:
    cdef Py_ssize_t l, half = 16
    while half > 0:
        for l in range(half):
            lane[l] += lane[l + half]
        half //= 2
    return lane[0]


# Four rows at a time: a quarter of the loads and stores of sums, and of their roundings. Where fewer are left, some
# row of mass zero takes the place of each that is missing.
cdef struct FourRows:
    Py_ssize_t[4] at
    double[4] mass


cdef inline FourRows four_rows(Py_ssize_t i, Py_ssize_t end, const double* mass) noexcept nogil:
    cdef FourRows rows
    cdef Py_ssize_t l
    for l in range(4):
        rows.at[l] = i + l if i + l < end else i
        rows.mass[l] = mass_at(mass, i + l) if i + l < end else 0
    return rows


cdef void moments_of_rows(Moments* t, const real* x) noexcept nogil:
    """A block of dense rows in C order, whose masses add up to total > 0."""
    cdef Py_ssize_t i, j, d = t.rows.d, stride = t.rows.row_stride
    cdef const double* shift = t.shift
    cdef double* mean = t.mean
    cdef double* square = t.square
    cdef double* centre = t.more
    cdef double total = t.total
    cdef FourRows rows
    x = <const real*>t.rows.values
    for j in range(d):
        mean[j] = square[j] = 0
    for i in range(t.first, t.stop, 4):
        rows = four_rows(i, t.stop, t.mass)
        add_rows(d, x, stride, &rows, shift, mean)
    for j in range(d):
        mean[j] /= total
        centre[j] = shift[j] + mean[j]
    for i in range(t.first, t.stop, 4):
        rows = four_rows(i, t.stop, t.mass)
        add_squares(d, x, stride, &rows, centre, square)
    for j in range(d):
        square[j] = around_mean(square[j], total, centre[j], shift[j], mean[j])


cdef inline double around_mean(double square, double total, double centre, double shift, double mean) noexcept nogil:
    """Squares summed around centre, which is shift + mean rounded: the share of that rounding is taken off."""
    cdef double rounding = (centre - shift) - mean
    return max(square - total * rounding * rounding, 0.0)


cdef inline void add_rows(Py_ssize_t d, const real* x, Py_ssize_t stride, const FourRows* rows, const double* shift,
                          double* sums) noexcept nogil:
    """Four rows; the four that come next are fetched meanwhile: the hardware does not follow four streams at once."""
    cdef double w0 = rows.mass[0], w1 = rows.mass[1], w2 = rows.mass[2], w3 = rows.mass[3], s
    cdef const real* x0 = x + rows.at[0] * stride
    cdef const real* x1 = x + rows.at[1] * stride
    cdef const real* x2 = x + rows.at[2] * stride
    cdef const real* x3 = x + rows.at[3] * stride
    cdef Py_ssize_t j, line = 0, end, ahead = 4 * stride
    while line < d:
        FX_PREFETCH(x0 + line + ahead)
        FX_PREFETCH(x1 + line + ahead)
        FX_PREFETCH(x2 + line + ahead)
        FX_PREFETCH(x3 + line + ahead)
        end = min(line + <Py_ssize_t>(64 // sizeof(real)), d)
        for j in range(line, end):
            s = shift[j]
            sums[j] += (w0 * (x0[j] - s) + w1 * (x1[j] - s)) + (w2 * (x2[j] - s) + w3 * (x3[j] - s))
        line = end


cdef inline void add_squares(Py_ssize_t d, const real* x, Py_ssize_t stride, const FourRows* rows,
                             const double* centre, double* sums) noexcept nogil:
    cdef double w0 = rows.mass[0], w1 = rows.mass[1], w2 = rows.mass[2], w3 = rows.mass[3], c, t0, t1, t2, t3
    cdef const real* x0 = x + rows.at[0] * stride
    cdef const real* x1 = x + rows.at[1] * stride
    cdef const real* x2 = x + rows.at[2] * stride
    cdef const real* x3 = x + rows.at[3] * stride
    cdef Py_ssize_t j
    for j in range(d):
        c = centre[j]
        t0, t1, t2, t3 = x0[j] - c, x1[j] - c, x2[j] - c, x3[j] - c
        # Not mass times the square, which may be infinite in a row of mass zero.
        sums[j] += (w0 * t0 * t0 + w1 * t1 * t1) + (w2 * t2 * t2 + w3 * t3 * t3)


cdef void moments_down_columns(Moments* t, const real* x) noexcept nogil:
    """The same in Fortran order, column by column."""
    cdef Py_ssize_t i, j, l, first = t.first, stop = t.stop, whole = first + ((stop - first) & ~31)
    cdef const double* mass = t.mass
    cdef const real* column
    cdef double[32] lane
    cdef double s, c, y, total = t.total
    for j in range(t.rows.d):
        column, s = <const real*>t.rows.values + j * t.rows.col_stride, t.shift[j]
        for l in range(32):
            lane[l] = 0
        for i in range(first, whole, 32):
            for l in range(32):
                lane[l] += mass_at(mass, i + l) * (column[i + l] - s)
        for i in range(whole, stop):
            lane[i - whole] += mass_at(mass, i) * (column[i] - s)
        t.mean[j] = sum_of_lanes(lane) / total
        c = s + t.mean[j]
        for l in range(32):
            lane[l] = 0
        for i in range(first, whole, 32):
            for l in range(32):
                y = column[i + l] - c
                lane[l] += mass_at(mass, i + l) * y * y
        for i in range(whole, stop):
            y = column[i] - c
            lane[i - whole] += mass_at(mass, i) * y * y
        t.square[j] = around_mean(sum_of_lanes(lane), total, c, s, t.mean[j])


# What an entry of a CSR row meets of its column, side by side in memory: what is taken off it, and what it is added to.
cdef struct StoredSum:
    double shift
    double mass
    double sum

cdef struct StoredSquare:
    double centre
    double sum


cdef void moments_of_stored(Moments* t, const real* x, const index* indptr) noexcept nogil:
    """The same of CSR rows, which name a column once; total becomes their mass.

    The masses of a column's entries and those of all rows are added up in the same order: a column with an entry in
    every row is left with no mass for zeros that it does not have, not even by rounding.
    """
    cdef const index* indices = <const index*>t.rows.indices
    cdef StoredSum* sums = <StoredSum*>t.more
    cdef StoredSquare* squares = <StoredSquare*>t.more  # once the sums are no longer needed: they stay in cache
    cdef StoredSum* entries
    cdef StoredSquare* around
    cdef const double* mass = t.mass
    cdef const double* shift = t.shift
    cdef double* mean = t.mean
    cdef double* square = t.square
    cdef double* stored = square
    cdef Py_ssize_t i, j, p, d = t.rows.d
    cdef double w, y, zeros, total = 0
    x, indptr = <const real*>t.rows.values, <const index*>t.rows.indptr
    for j in range(d):
        sums[j].shift = shift[j]
        sums[j].mass = sums[j].sum = 0
    for i in range(t.first, t.stop):
        w = mass_at(mass, i)
        total += w
        for p in range(indptr[i], indptr[i + 1]):
            entries = sums + indices[p]
            entries.mass += w
            entries.sum += w * (x[p] - entries.shift)
    t.total = total
    if total == 0:
        return
    for j in range(d):
        stored[j] = sums[j].mass
        mean[j] = sums[j].sum / stored[j] if stored[j] > 0 else 0
    for j in range(d):
        squares[j].centre = shift[j] + mean[j]
        squares[j].sum = 0
    for i in range(t.first, t.stop):
        w = mass_at(mass, i)
        for p in range(indptr[i], indptr[i + 1]):
            around = squares + indices[p]
            y = x[p] - around.centre
            around.sum += w * y * y
    for j in range(d):  # and the zeros, which are -shift
        w = stored[j]
        zeros = max(total - w, 0.0)
        y = -shift[j] - mean[j]
        square[j] = around_mean(squares[j].sum, w, squares[j].centre, shift[j], mean[j]) + w * (zeros / total) * y * y
        if zeros < w:
            mean[j] += zeros / total * y
        else:
            mean[j] = -shift[j] - w / total * y


cdef Py_ssize_t rows_with_entries(const index* indptr, Py_ssize_t first, Py_ssize_t stop,
                                  Py_ssize_t entries) noexcept nogil:
    """Where a block of CSR rows ends that has so many entries, at least: then it costs little to join it."""
    cdef Py_ssize_t end = min(first + MOMENT_ROWS, stop)
    while end < stop and indptr[end] - indptr[first] < entries:
        end = min(end + MOMENT_ROWS, stop)
    return end


cdef void moments_range(void* task, const real* x, const index* indptr) noexcept nogil:
    """Block by block; mean and square begin as zeros."""
    cdef Moments* t = <Moments*>task
    cdef const Rows* X = t.rows
    cdef Moments block = t[0]
    cdef Py_ssize_t j, d = X.d, step = MOMENT_ROWS
    cdef double share, y, total = 0
    block.mean, block.square, block.more = t.more, t.more + d, t.more + 2 * d
    if not X.is_sparse and X.col_stride == 1:
        step = clamp(block_bytes() // (d * <Py_ssize_t>sizeof(real)), 8, MOMENT_ROWS)
    while block.first < t.stop:
        if X.is_sparse:
            block.stop = rows_with_entries(<const index*>X.indptr, block.first, t.stop, MOMENT_ENTRIES * d)
            moments_of_stored(&block, x, indptr)
        else:
            block.stop = min(block.first + step, t.stop)
            block.total = total_mass(t.mass, block.first, block.stop)
            if block.total > 0 and X.col_stride == 1:
                moments_of_rows(&block, x)
            elif block.total > 0:
                moments_down_columns(&block, x)
        if block.total > 0:
            share = block.total / (total + block.total)
            for j in range(d):
                y = block.mean[j] - t.mean[j]
                t.mean[j] += share * y
                t.square[j] += block.square[j] + total * share * y * y
            total += block.total
        block.first = block.stop
    t.total = total


def moments_of_columns(LinearSoftmax X, Py_ssize_t first, Py_ssize_t stop, masses, shift, out):
    """Moments of the columns over rows first..stop; returns the rows' mass. CSR rows name a column once.

    masses: float64 (n,), or None for ones. shift: float64 (d,). out: float64 (7, d), zeros; becomes mean - shift, sum
    of squares around the mean, and scratch.
    """
    cdef Moments task
    check_range(first, stop, X.n)
    task.rows, task.first, task.stop = &X.rows, first, stop
    task.mass = NULL
    if masses is not None:
        task.mass = doubles(masses, X.n)
    task.shift, task.mean = doubles(shift, X.d), doubles_out(out, 7 * X.d)
    task.square, task.more = task.mean + X.d, task.mean + 2 * X.d
    X.run_index(&task, moments_range, moments_range, moments_range, moments_range)
    return task.total
