# What a diagonal model of the Hessian needs of the softmax, without storing it: with p the probabilities of a row and c
# its mass,
#
#   curvature of the row       c (1 - |p|^2) = c sum_k p_k (1 - p_k)         the trace of  c (diag p - p p')
#   curvature of a class       sum over rows of  c p_k (1 - p_k)
#
# A block of rows at a time: logits, softmax, sums. Binary: one column, both classes have c p (1 - p).

cdef void curvature_block(const real* p, Py_ssize_t rs, Py_ssize_t cs, Py_ssize_t rows, Py_ssize_t K,
                          const double* mass, double* row, double* column) noexcept nogil:
    """Of probabilities p in one of the two layouts: fill row (rows), add to column (K)."""
    cdef Py_ssize_t i, k
    cdef double v, total
    if rs == 1:
        for i in range(rows):
            row[i] = 0
        for k in range(K):
            total = 0
            for i in range(rows):
                v = mass[i] * (<double>p[i + k * cs] * (1.0 - <double>p[i + k * cs]))
                row[i] += v
                total += v
            column[k] += total
        return
    for i in range(rows):
        total = 0
        for k in range(K):
            v = <double>p[i * rs + k] * (1.0 - <double>p[i * rs + k])
            total += v
            column[k] += mass[i] * v
        row[i] = mass[i] * total


cdef void rows_curvature_range(LinearSoftmax X, Py_ssize_t first, Py_ssize_t stop, const real* w, const double* mass,
                               double* row, double* column, real* scratch) noexcept nogil:
    cdef const Layout* p = &X.layout
    cdef Ahead ahead
    cdef Scratch s = scratch_parts(p, scratch)
    cdef real* z = <real*>s.z
    cdef const real* x
    cdef double v
    cdef Py_ssize_t b, i, r, rows, rs = 1 if p.rows_in_lanes else p.ldz, cs = p.ldz if p.rows_in_lanes else 1
    for b in range(steps(stop - first, p.block)):
        i = first + b * p.block
        rows = clamp(stop - i, 0, p.block)
        x = open_rows(&X.rows, p, i, rows, <real*>s.x, &ahead)
        ahead.lines = 2  # no gradient follows, which would fetch the other half
        logits(&X.rows, p, i, rows, x, w, z, <real*>s.panel, &ahead)
        if X.binary:
            binary_hessian_rows(z, rows)
            for r in range(rows):
                v = mass[i + r] * z[r]
                row[i + r] = 2 * v
                column[0] += v
        else:
            output_rows(SOFTMAX, z, z, rs, cs, rows, p.K, <real*>NULL, &s.aux)
            curvature_block(z, rs, cs, rows, p.K, mass + i, row + i, column)


def curvature_of_rows(LinearSoftmax X, weights, scratch, Py_ssize_t first, Py_ssize_t stop, mass, row, column):
    """Curvatures of rows first..stop into row[first:stop]; adds those of the K columns of logits to column.

    mass, row: float64 (n,). column: float64 (K,).
    """
    cdef char* w = X.buffer(weights, X.weights_size, False)
    cdef char* s = X.buffer(scratch, X.scratch_size, True)
    cdef const double* m = <const double*>address(mass, X.n * 8, False)
    cdef double* r = <double*>address(row, X.n * 8, True)
    cdef double* c = <double*>address(column, X.K * 8, True)
    check_range(first, stop, X.n)
    with nogil:
        if X.is_double:
            rows_curvature_range(X, first, stop, <double*>w, m, r, c, <double*>s)
        else:
            rows_curvature_range(X, first, stop, <float*>w, m, r, c, <float*>s)


cdef void probabilities_range(LinearSoftmax X, Py_ssize_t first, Py_ssize_t stop, const real* w, const double* weight,
                              source* P, source* Q, real* scratch) noexcept nogil:
    """P and Q: (K, n), in a precision of their own."""
    cdef const Layout* p = &X.layout
    cdef Ahead ahead
    cdef Scratch s = scratch_parts(p, scratch)
    cdef real* z = <real*>s.z
    cdef const real* x
    cdef Py_ssize_t b, i, k, r, at, rows, n = X.n
    cdef Py_ssize_t rs = 1 if p.rows_in_lanes else p.ldz, cs = p.ldz if p.rows_in_lanes else 1
    for b in range(steps(stop - first, p.block)):
        i = first + b * p.block
        rows = clamp(stop - i, 0, p.block)
        x = open_rows(&X.rows, p, i, rows, <real*>s.x, &ahead)
        ahead.lines = 2  # no gradient follows, which would fetch the other half
        logits(&X.rows, p, i, rows, x, w, z, <real*>s.panel, &ahead)
        if X.binary:
            binary_hessian_rows(z, rows)
            for r in range(rows):
                Q[i + r] = <source>(weight[i + r] * z[r])
            continue
        output_rows(SOFTMAX, z, z, rs, cs, rows, p.K, <real*>NULL, &s.aux)
        for k in range(p.K):
            at = k * n + i
            for r in range(rows):
                P[at + r] = <source>z[r * rs + k * cs]
            for r in range(rows):
                Q[at + r] = <source>(weight[i + r] * P[at + r])


def probabilities_of_rows(LinearSoftmax X, weights, scratch, Py_ssize_t first, Py_ssize_t stop, weight, P, Q):
    """Probabilities p of rows first..stop into P[:, first:stop], and weight p into Q; binary: weight p (1 - p) into Q.

    weight: float64 (n,). P, Q: (K, n), float32 or float64, P of a binary model None.
    """
    cdef char* w = X.buffer(weights, X.weights_size, False)
    cdef char* s = X.buffer(scratch, X.scratch_size, True)
    cdef const double* m = <const double*>address(weight, X.n * 8, False)
    cdef bint single = Q.itemsize == 4
    cdef Py_ssize_t size = X.K * X.n * (4 if single else 8)
    cdef char* q = <char*>address(Q, size, True)
    cdef char* pp = NULL if X.binary else <char*>address(P, size, True)
    check_range(first, stop, X.n)
    with nogil:
        if X.is_double and single:
            probabilities_range(X, first, stop, <double*>w, m, <float*>pp, <float*>q, <double*>s)
        elif X.is_double:
            probabilities_range(X, first, stop, <double*>w, m, <double*>pp, <double*>q, <double*>s)
        elif single:
            probabilities_range(X, first, stop, <float*>w, m, <float*>pp, <float*>q, <float*>s)
        else:
            probabilities_range(X, first, stop, <float*>w, m, <double*>pp, <double*>q, <float*>s)
