# Moments of the columns of X under weights of its rows: mass, mean, and sum of squares around the mean.
#
# The squares are taken around the mean, so that a column far from zero keeps its digits, and yet dense rows are read
# from memory once: a block of rows is summed and then squared while it is in cache, and blocks are joined by
#
#   M = M_a + M_b,   m = m_a + (M_b / M) (m_b - m_a),   Q = Q_a + Q_b + (M_a M_b / M) (m_b - m_a)^2
#
# (T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for computing the sample variance", The American Statistician 37,
# 1983). So are ranges of rows, which may be different threads', and the zeros that a sparse column does not store.

cdef enum:
    MOMENT_BYTES = 262144  # of a block of rows


cdef inline double weight_at(const double* weight, Py_ssize_t i) noexcept nogil:
    return 1.0 if weight == NULL else weight[i]


cdef double rows_moments(const Rows* X, Py_ssize_t first, Py_ssize_t stop, const real* x, const double* weight,
                         double* mean, double* square, double* block_mean, double* block_square) noexcept nogil:
    """Dense rows in C order: add to mean and square (d), which begin as zeros; their mass."""
    cdef Py_ssize_t i, j, d = X.d, start = first, end, step = clamp(MOMENT_BYTES // (d * sizeof(real)), 8, 1024)
    cdef double w, t, share, mass, total = 0
    cdef const real* row
    while start < stop:
        end = start + step if start + step < stop else stop
        mass = 0
        for j in range(d):
            block_mean[j] = block_square[j] = 0
        for i in range(start, end):
            w = weight_at(weight, i)
            row = x + i * X.row_stride
            mass += w
            for j in range(d):
                block_mean[j] += w * row[j]
        if mass > 0:
            for j in range(d):
                block_mean[j] /= mass
            for i in range(start, end):
                w = weight_at(weight, i)
                row = x + i * X.row_stride
                for j in range(d):
                    t = row[j] - block_mean[j]
                    block_square[j] += w * (t * t)
            share = mass / (total + mass)
            for j in range(d):
                t = block_mean[j] - mean[j]
                mean[j] += share * t
                square[j] += block_square[j] + total * share * (t * t)
            total += mass
        start = end
    return total


cdef double turned_moments(const Rows* X, Py_ssize_t first, Py_ssize_t stop, const real* x, const double* weight,
                           double* mean, double* square) noexcept nogil:
    """The same in Fortran order, column by column."""
    cdef Py_ssize_t i, j, l, start, end, whole
    cdef double w, t, share, mass, total = 0, block_mean, block_square
    cdef double[8] sums
    cdef double[8] masses
    cdef const real* column
    for j in range(X.d):
        column = x + j * X.col_stride
        start = first
        total = 0
        while start < stop:
            end = start + 1024 if start + 1024 < stop else stop
            whole = start + ((end - start) & ~7)
            for l in range(8):
                sums[l] = masses[l] = 0
            for i in range(start, whole, 8):
                for l in range(8):
                    w = weight_at(weight, i + l)
                    masses[l] += w
                    sums[l] += w * column[i + l]
            for i in range(whole, end):
                w = weight_at(weight, i)
                masses[0] += w
                sums[0] += w * column[i]
            mass = block_mean = block_square = 0
            for l in range(8):
                mass += masses[l]
                block_mean += sums[l]
                sums[l] = 0
            if mass > 0:
                block_mean /= mass
                for i in range(start, whole, 8):
                    for l in range(8):
                        t = column[i + l] - block_mean
                        sums[l] += weight_at(weight, i + l) * (t * t)
                for i in range(whole, end):
                    t = column[i] - block_mean
                    sums[0] += weight_at(weight, i) * (t * t)
                for l in range(8):
                    block_square += sums[l]
                share = mass / (total + mass)
                t = block_mean - mean[j]
                mean[j] += share * t
                square[j] += block_square + total * share * (t * t)
                total += mass
            start = end
    return total


cdef void stored_moments(const Rows* X, Py_ssize_t first, Py_ssize_t stop, const real* x, const index* unused,
                         const double* weight, double* mass, double* mean, double* square) noexcept nogil:
    """Of the stored entries of CSR rows; mass, mean and square (d) begin as zeros."""
    cdef const index* indptr = <const index*>X.indptr
    cdef const index* indices = <const index*>X.indices
    cdef Py_ssize_t i, j, p
    cdef double w, t
    for i in range(first, stop):
        w = weight_at(weight, i)
        if w == 0:
            continue
        for p in range(indptr[i], indptr[i + 1]):
            j = indices[p]
            mass[j] += w
            mean[j] += w * x[p]
    for j in range(X.d):
        if mass[j] > 0:
            mean[j] /= mass[j]
    for i in range(first, stop):
        w = weight_at(weight, i)
        if w == 0:
            continue
        for p in range(indptr[i], indptr[i + 1]):
            j = indices[p]
            t = x[p] - mean[j]
            square[j] += w * (t * t)


def moments_of_columns(LinearSoftmax X, Py_ssize_t first, Py_ssize_t stop, row_weight, out):
    """Moments of the columns over rows first..stop; of CSR rows, over the entries that they store.

    row_weight: float64 (n,), or None for ones. out: float64 (5, d), zeros; becomes mass, mean, sum of squares around
    the mean, and two rows of scratch.
    """
    cdef const double* weight = NULL if row_weight is None else <const double*>address(row_weight, X.n * 8, False)
    cdef double* mass = <double*>address(out, 5 * X.d * 8, True)
    cdef double* mean = mass + X.d
    cdef double* square = mean + X.d
    cdef const char* x = X.rows.values
    cdef double total
    cdef Py_ssize_t j
    check_range(first, stop, X.n)
    with nogil:
        if X.rows.storage == CSR32 and X.is_double:
            stored_moments(&X.rows, first, stop, <const double*>x, <const int32_t*>NULL, weight, mass, mean, square)
        elif X.rows.storage == CSR32:
            stored_moments(&X.rows, first, stop, <const float*>x, <const int32_t*>NULL, weight, mass, mean, square)
        elif X.rows.storage == CSR64 and X.is_double:
            stored_moments(&X.rows, first, stop, <const double*>x, <const int64_t*>NULL, weight, mass, mean, square)
        elif X.rows.storage == CSR64:
            stored_moments(&X.rows, first, stop, <const float*>x, <const int64_t*>NULL, weight, mass, mean, square)
        else:
            if X.rows.col_stride != 1 and X.is_double:
                total = turned_moments(&X.rows, first, stop, <const double*>x, weight, mean, square)
            elif X.rows.col_stride != 1:
                total = turned_moments(&X.rows, first, stop, <const float*>x, weight, mean, square)
            elif X.is_double:
                total = rows_moments(&X.rows, first, stop, <const double*>x, weight, mean, square, square + X.d,
                                     square + 2 * X.d)
            else:
                total = rows_moments(&X.rows, first, stop, <const float*>x, weight, mean, square, square + X.d,
                                     square + 2 * X.d)
            for j in range(X.d):
                mass[j] = total
