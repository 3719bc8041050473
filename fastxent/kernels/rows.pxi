# Properties of rows, independent of the model: their sizes, and whether a CSR row has a column twice.

cdef struct RowFacts:
    const Rows* rows
    Py_ssize_t first
    Py_ssize_t stop
    double* squares                # (n,): becomes |x_i|^2
    Py_ssize_t* last_row           # (d,): scratch, -1 everywhere
    bint names_twice


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


cdef bint all_are(const real* x, Py_ssize_t n, double value) noexcept nogil:
    """Whether all numbers have this value."""
    cdef real one = <real>value
    cdef Py_ssize_t i = 0, k
    cdef bint same = True
    while i + 64 <= n and same:
        for k in range(64):
            same = same & (x[i + k] == one)
        i += 64
    while i < n and same:
        same = x[i] == one
        i += 1
    return same


cdef void squared_norms(void* task, const real* x, const index* indptr) noexcept nogil:
    """|x_i|^2 of rows first..stop; a column that stands twice in a CSR row counts as two."""
    cdef const RowFacts* t = <const RowFacts*>task
    cdef const Rows* X = t.rows
    cdef const real* column
    cdef Py_ssize_t i, j
    x, indptr = <const real*>X.values, <const index*>X.indptr
    if X.is_sparse:
        for i in range(t.first, t.stop):
            t.squares[i] = sum_of_squares(x + indptr[i], indptr[i + 1] - indptr[i])
    elif X.col_stride == 1:
        for i in range(t.first, t.stop):
            t.squares[i] = sum_of_squares(x + i * X.row_stride, X.d)
    else:  # Fortran order: down the columns
        for i in range(t.first, t.stop):
            t.squares[i] = 0
        for j in range(X.d):
            column = x + j * X.col_stride
            for i in range(t.first, t.stop):
                t.squares[i] += <double>column[i] * column[i]


cdef void names_twice(void* task, const real* unused, const index* indptr) noexcept nogil:
    """Whether a CSR row has a column twice, anywhere in the row."""
    cdef RowFacts* t = <RowFacts*>task
    cdef const index* indices = <const index*>t.rows.indices
    cdef Py_ssize_t i, p
    indptr = <const index*>t.rows.indptr
    for i in range(t.rows.n):
        for p in range(indptr[i], indptr[i + 1]):
            if t.last_row[indices[p]] == i:
                t.names_twice = True
                return
            t.last_row[indices[p]] = i


ctypedef fused word:
    uint64_t
    uint32_t


def largest(x, Py_ssize_t first, Py_ssize_t stop):
    """The largest absolute value of the entries first..stop of x, a contiguous array of either dtype.

    It is infinite or NaN if one of them is. BLAS is not used: its threads spin for some hundredths of a second after a
    call, and would be in the way of ours.
    """
    cdef bint is_double = x.itemsize == 8
    check_range(first, stop, x.size)
    cdef const char* p = address(x, x.size * x.itemsize, False, True)
    cdef uint64_t bits
    cdef uint32_t few_bits
    cdef double found
    cdef float few_found
    with nogil:
        if is_double:
            bits = largest_bits(<const uint64_t*>p + first, stop - first)
        else:
            few_bits = largest_bits(<const uint32_t*>p + first, stop - first)
    if is_double:
        memcpy(&found, &bits, sizeof(found))
        return found
    memcpy(&few_found, &few_bits, sizeof(few_found))
    return few_found


cdef word largest_bits(const word* x, Py_ssize_t count) noexcept nogil:
    """Absolute values have the order of their bits: infinity comes after all numbers, and NaN after infinity."""
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


cdef bint all_finite(const real* x, Py_ssize_t count) noexcept nogil:
    """Whether none of the numbers is infinite or NaN."""
    if sizeof(x[0]) == 8:
        return largest_bits(<const uint64_t*>x, count) < <uint64_t>0x7FF << 52
    return largest_bits(<const uint32_t*>x, count) < <uint32_t>0xFF << 23
