# What rows are like, whatever the model: their sizes, and whether a CSR row names a column twice.

cdef inline double sum_of_squares(const real* x, Py_ssize_t count) noexcept nogil:
    cdef double[8] lane
    cdef double total = 0
    cdef Py_ssize_t p, l, whole = count & ~7
    for l in range(8):
        lane[l] = 0
    for p in range(0, whole, 8):
        for l in range(8):
            lane[l] += <double>x[p + l] * x[p + l]
    for p in range(whole, count):
        total += <double>x[p] * x[p]
    for l in range(8):
        total += lane[l]
    return total


cdef void squared_norms_of(const Rows* X, Py_ssize_t first, Py_ssize_t stop, const real* values, const index* unused,
                           double* out) noexcept nogil:
    """|x_i|^2 of rows first..stop; a column that stands twice in a CSR row counts as two."""
    cdef const index* indptr = <const index*>X.indptr
    cdef const real* column
    cdef Py_ssize_t i, j
    if X.storage != DENSE:
        for i in range(first, stop):
            out[i] = sum_of_squares(values + indptr[i], indptr[i + 1] - indptr[i])
    elif X.col_stride == 1:
        for i in range(first, stop):
            out[i] = sum_of_squares(values + i * X.row_stride, X.d)
    else:  # Fortran order: down the columns
        for i in range(first, stop):
            out[i] = 0
        for j in range(X.d):
            column = values + j * X.col_stride
            for i in range(first, stop):
                out[i] += <double>column[i] * column[i]


cdef bint names_twice(const Rows* X, const index* unused, Py_ssize_t* last_row) noexcept nogil:
    """Whether a CSR row names a column twice, wherever in the row. last_row: d times -1."""
    cdef const index* indptr = <const index*>X.indptr
    cdef const index* indices = <const index*>X.indices
    cdef Py_ssize_t i, p
    for i in range(X.n):
        for p in range(indptr[i], indptr[i + 1]):
            if last_row[indices[p]] == i:
                return True
            last_row[indices[p]] = i
    return False


def is_finite(x, Py_ssize_t first, Py_ssize_t stop):
    """Whether entries first..stop of x, a contiguous array of either dtype, are all finite. No BLAS: where that has
    threads, they would go on to spin for some hundredths of a second, in the way of ours."""
    cdef bint is_double = x.itemsize == 8, finite
    check_range(first, stop, x.size)
    cdef const char* p = address(x, x.size * x.itemsize, False, True)
    with nogil:
        finite = sum_of_zeros(<const double*>p + first, stop - first) == 0 if is_double else (
            sum_of_zeros(<const float*>p + first, stop - first) == 0)
    return finite


cdef real sum_of_zeros(const real* x, Py_ssize_t count) noexcept nogil:
    """0, or NaN if an entry is not finite."""
    cdef real[64] lane
    cdef real total = 0
    cdef Py_ssize_t p, l, whole = count & ~63
    for l in range(64):
        lane[l] = 0
    for p in range(0, whole, 64):
        for l in range(64):
            lane[l] += x[p + l] * 0
    for p in range(whole, count):
        total += x[p] * 0
    for l in range(64):
        total += lane[l]
    return total
