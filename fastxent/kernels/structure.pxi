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


ctypedef fused word:
    uint64_t
    uint32_t


def largest(x, Py_ssize_t first, Py_ssize_t stop):
    """The largest absolute value of the entries first..stop of x, a contiguous array of either dtype; infinite or NaN
    if one of them is. No BLAS: where that has threads, they would go on to spin for some hundredths of a second, in
    the way of ours."""
    cdef bint is_double = x.itemsize == 8
    check_range(first, stop, x.size)
    cdef const char* p = address(x, x.size * x.itemsize, False, True)
    cdef uint64_t bits
    cdef uint32_t few_bits
    with nogil:
        if is_double:
            bits = largest_bits(<const uint64_t*>p + first, stop - first)
        else:
            few_bits = largest_bits(<const uint32_t*>p + first, stop - first)
    return (<double*>&bits)[0] if is_double else <double>(<float*>&few_bits)[0]


cdef word largest_bits(const word* x, Py_ssize_t count) noexcept nogil:
    """Absolute values are in the order of their bits, infinity behind all numbers, and NaN behind that."""
    cdef word[64] lane
    cdef word value, all_but_sign = (<word>-1) >> 1, result = 0
    cdef Py_ssize_t p, l, whole = count & ~63
    for l in range(64):
        lane[l] = 0
    for p in range(0, whole, 64):
        for l in range(64):
            value = x[p + l] & all_but_sign
            lane[l] = value if value > lane[l] else lane[l]
    for p in range(whole, count):
        value = x[p] & all_but_sign
        result = value if value > result else result
    for l in range(64):
        result = lane[l] if lane[l] > result else result
    return result
