# Moments of the columns of X by the masses of its rows: mean, and sum of squares around the mean.
#
# All sums are of y = x - s, in double precision. The shift s is the row of largest mass, so that a constant column is
# one of zeros, exactly, whatever the constant and the masses; and no farther from the mean than sqrt(n) deviations are
# (the row itself adds at least 1/n of all mass times (s - m)^2 to the sum of squares), so that a column far from zero
# keeps its digits. fastxent/moments.py chooses s and states the error bound.
#
# Rows are read from memory once: a block of them is summed, and then squared around its own mean while it is in cache
# (of a wide sparse X, blocks are larger than that). Blocks are joined by
#
#   M = M_a + M_b,   m = m_a + (M_b / M) (m_b - m_a),   Q = Q_a + Q_b + (M_a M_b / M) (m_b - m_a)^2
#
# (T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for computing the sample variance", The American Statistician 37,
# 1983). So are ranges of rows, which may be different threads', and the zeros that a sparse column does not store.

cdef enum:
    MOMENT_BYTES = 262144  # of a block of rows in C order
    MOMENT_ROWS = 1024     # of a block, at most; of CSR rows, at least
    MOMENT_ENTRIES = 16    # of a block of CSR rows, for each column


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


# Four rows at a time: a quarter of the loads and stores of sums, and of their roundings. Rows that are not there are
# some other one, of mass zero.
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


cdef void block_of_rows(const Rows* X, Py_ssize_t first, Py_ssize_t end, const real* x, const double* mass,
                        const double* shift, double total, double* mean, double* square,
                        double* centre) noexcept nogil:
    """Mean and sum of squares around it over dense rows in C order, whose masses add up to total > 0."""
    cdef Py_ssize_t i, j, d = X.d
    cdef FourRows rows
    for j in range(d):
        mean[j] = square[j] = 0
    for i in range(first, end, 4):
        rows = four_rows(i, end, mass)
        add_rows(d, x + rows.at[0] * X.row_stride, x + rows.at[1] * X.row_stride, x + rows.at[2] * X.row_stride,
                 x + rows.at[3] * X.row_stride, 4 * X.row_stride, rows, shift, mean)
    for j in range(d):
        mean[j] /= total
        centre[j] = shift[j] + mean[j]
    for i in range(first, end, 4):
        rows = four_rows(i, end, mass)
        add_squares(d, x + rows.at[0] * X.row_stride, x + rows.at[1] * X.row_stride, x + rows.at[2] * X.row_stride,
                    x + rows.at[3] * X.row_stride, rows, centre, square)
    for j in range(d):
        square[j] = around_mean(square[j], total, centre[j], shift[j], mean[j])


cdef inline double around_mean(double square, double total, double centre, double shift, double mean) noexcept nogil:
    """Squares summed around centre, which is shift + mean but for its rounding: that one's share comes off again."""
    cdef double rounding = (centre - shift) - mean
    return max(square - total * rounding * rounding, 0.0)


cdef inline void add_rows(Py_ssize_t d, const real* x0, const real* x1, const real* x2, const real* x3,
                          Py_ssize_t ahead, FourRows rows, const double* shift, double* sums) noexcept nogil:
    """Four rows, while those that come next, `ahead` entries further on, are fetched: four streams at once are more
    than hardware foresees."""
    cdef double w0 = rows.mass[0], w1 = rows.mass[1], w2 = rows.mass[2], w3 = rows.mass[3], s
    cdef Py_ssize_t j, line = 0, end
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


cdef inline void add_squares(Py_ssize_t d, const real* x0, const real* x1, const real* x2, const real* x3,
                             FourRows rows, const double* centre, double* sums) noexcept nogil:
    cdef double w0 = rows.mass[0], w1 = rows.mass[1], w2 = rows.mass[2], w3 = rows.mass[3], c, t0, t1, t2, t3
    cdef Py_ssize_t j
    for j in range(d):
        c = centre[j]
        t0, t1, t2, t3 = x0[j] - c, x1[j] - c, x2[j] - c, x3[j] - c
        # Not mass times the square, which may be infinite in a row of mass zero.
        sums[j] += (w0 * t0 * t0 + w1 * t1 * t1) + (w2 * t2 * t2 + w3 * t3 * t3)


cdef void block_of_columns(const Rows* X, Py_ssize_t first, Py_ssize_t end, const real* x, const double* mass,
                           const double* shift, double total, double* mean, double* square) noexcept nogil:
    """The same in Fortran order, column by column."""
    cdef Py_ssize_t i, j, l, whole = first + ((end - first) & ~31)
    cdef const real* column
    cdef double[32] lane
    cdef double s, c, t
    for j in range(X.d):
        column, s = x + j * X.col_stride, shift[j]
        for l in range(32):
            lane[l] = 0
        for i in range(first, whole, 32):
            for l in range(32):
                lane[l] += mass_at(mass, i + l) * (column[i + l] - s)
        for i in range(whole, end):
            lane[i - whole] += mass_at(mass, i) * (column[i] - s)
        mean[j] = sum_of_lanes(lane) / total
        c = s + mean[j]
        for l in range(32):
            lane[l] = 0
        for i in range(first, whole, 32):
            for l in range(32):
                t = column[i + l] - c
                lane[l] += mass_at(mass, i + l) * t * t
        for i in range(whole, end):
            t = column[i] - c
            lane[i - whole] += mass_at(mass, i) * t * t
        square[j] = around_mean(sum_of_lanes(lane), total, c, s, mean[j])


# What an entry of a CSR row meets of its column, side by side: what is taken off it, and what it is added to.
cdef struct StoredSum:
    double shift
    double mass
    double sum

cdef struct StoredSquare:
    double centre
    double sum


cdef double block_of_stored(const Rows* X, Py_ssize_t first, Py_ssize_t end, const real* x, const index* unused,
                            const double* mass, const double* shift, double* mean, double* square,
                            double* scratch) noexcept nogil:
    """The same of CSR rows, which name a column once; returns their mass. scratch: (3, d).

    The masses of a column's entries and those of all rows are added up in the same order: to a column with an entry in
    every row no mass is left for zeros that it does not have, not even by rounding.
    """
    cdef const index* indptr = <const index*>X.indptr
    cdef const index* indices = <const index*>X.indices
    cdef StoredSum* sums = <StoredSum*>scratch
    cdef StoredSquare* squares = <StoredSquare*>scratch  # when the sums are done with: they stay in cache
    cdef StoredSum* entries
    cdef StoredSquare* around
    cdef double* stored = square
    cdef Py_ssize_t i, j, p
    cdef double w, t, zeros, total = 0
    for j in range(X.d):
        sums[j].shift = shift[j]
        sums[j].mass = sums[j].sum = 0
    for i in range(first, end):
        w = mass_at(mass, i)
        total += w
        for p in range(indptr[i], indptr[i + 1]):
            entries = sums + indices[p]
            entries.mass += w
            entries.sum += w * (x[p] - entries.shift)
    if total == 0:
        return 0
    for j in range(X.d):
        stored[j] = sums[j].mass
        mean[j] = sums[j].sum / stored[j] if stored[j] > 0 else 0
    for j in range(X.d):
        squares[j].centre = shift[j] + mean[j]
        squares[j].sum = 0
    for i in range(first, end):
        w = mass_at(mass, i)
        for p in range(indptr[i], indptr[i + 1]):
            around = squares + indices[p]
            t = x[p] - around.centre
            around.sum += w * t * t
    for j in range(X.d):  # and the zeros, which are -shift
        w = stored[j]
        zeros = max(total - w, 0.0)
        t = -shift[j] - mean[j]
        square[j] = around_mean(squares[j].sum, w, squares[j].centre, shift[j], mean[j]) + w * (zeros / total) * t * t
        if zeros < w:
            mean[j] += zeros / total * t
        else:
            mean[j] = -shift[j] - w / total * t
    return total


cdef Py_ssize_t rows_with_entries(const index* indptr, Py_ssize_t first, Py_ssize_t stop,
                                  Py_ssize_t entries) noexcept nogil:
    """Where a block of CSR rows ends that has so many entries, at least: then it costs little to join it."""
    cdef Py_ssize_t end = min(first + MOMENT_ROWS, stop)
    while end < stop and indptr[end] - indptr[first] < entries:
        end = min(end + MOMENT_ROWS, stop)
    return end


cdef double moments(const Rows* X, Py_ssize_t first, Py_ssize_t stop, const real* x, const index* unused,
                    const double* mass, const double* shift, double* mean, double* square,
                    double* scratch) noexcept nogil:
    """Add rows to mean and square (d), which begin as zeros; their mass. scratch: (5, d)."""
    cdef Py_ssize_t j, d = X.d, start = first, end, step = MOMENT_ROWS
    cdef double* block_mean = scratch
    cdef double* block_square = block_mean + d
    cdef double* more = block_square + d
    cdef double share, block, total = 0, t
    if X.storage == DENSE and X.col_stride == 1:
        step = clamp(MOMENT_BYTES // (d * sizeof(real)), 8, MOMENT_ROWS)
    while start < stop:
        if X.storage == DENSE:
            end = min(start + step, stop)
            block = total_mass(mass, start, end)
            if block > 0 and X.col_stride == 1:
                block_of_rows(X, start, end, x, mass, shift, block, block_mean, block_square, more)
            elif block > 0:
                block_of_columns(X, start, end, x, mass, shift, block, block_mean, block_square)
        else:
            end = rows_with_entries(<const index*>X.indptr, start, stop, MOMENT_ENTRIES * d)
            block = block_of_stored(X, start, end, x, unused, mass, shift, block_mean, block_square, more)
        if block > 0:
            share = block / (total + block)
            for j in range(d):
                t = block_mean[j] - mean[j]
                mean[j] += share * t
                square[j] += block_square[j] + total * share * t * t
            total += block
        start = end
    return total


def moments_of_columns(LinearSoftmax X, Py_ssize_t first, Py_ssize_t stop, masses, shift, out):
    """Moments of the columns over rows first..stop; returns the rows' mass. CSR rows name a column once.

    masses: float64 (n,), or None for ones. shift: float64 (d,). out: float64 (7, d), zeros; becomes mean - shift, sum
    of squares around the mean, and scratch.
    """
    cdef const double* m = NULL if masses is None else <const double*>address(masses, X.n * 8, False)
    cdef const double* s = <const double*>address(shift, X.d * 8, False)
    cdef double* mean = <double*>address(out, 7 * X.d * 8, True)
    cdef double* square = mean + X.d
    cdef double* more = square + X.d
    cdef const char* x = X.rows.values
    cdef double total
    check_range(first, stop, X.n)
    with nogil:
        if X.rows.storage == CSR64 and X.is_double:
            total = moments(&X.rows, first, stop, <const double*>x, <const int64_t*>NULL, m, s, mean, square, more)
        elif X.rows.storage == CSR64:
            total = moments(&X.rows, first, stop, <const float*>x, <const int64_t*>NULL, m, s, mean, square, more)
        elif X.is_double:
            total = moments(&X.rows, first, stop, <const double*>x, <const int32_t*>NULL, m, s, mean, square, more)
        else:
            total = moments(&X.rows, first, stop, <const float*>x, <const int32_t*>NULL, m, s, mean, square, more)
    return total
