# What a diagonal model of the Hessian needs of the softmax, without storing it: with p the probabilities of a row and c
# its mass,
#
#   curvature of the row       c (1 - |p|^2) = c sum_k p_k (1 - p_k)         the trace of  c (diag p - p p')
#   curvature of a class       sum over rows of  c p_k (1 - p_k)
#
# A block of rows at a time: logits, softmax, sums. Binary: one column, both classes have c p (1 - p).

cdef struct Curvature:
    Pass over                      # weights and scratch
    const double* mass             # (n,)
    double* row                    # (n,): becomes the rows' curvature
    double* column                 # (K,): the classes' is added
    void* P                        # (K, n): becomes the probabilities; binary: mass p (1 - p)


def curvature_of_rows(LinearSoftmax X, weights, scratch, Py_ssize_t first, Py_ssize_t stop, mass, row, column):
    """Curvatures of rows first..stop into row[first:stop]; adds those of the K columns of logits to column.

    mass, row: float64 (n,). column: float64 (K,).
    """
    cdef Curvature task
    task.over = X.over(first, stop, scratch)
    task.over.weights = X.buffer(weights, X.weights_size, False)
    task.mass, task.row, task.column = doubles(mass, X.n), doubles_out(row, X.n), doubles_out(column, X.K)
    X.run(&task, curvature_range, curvature_range)


def probabilities_of_rows(LinearSoftmax X, weights, scratch, some, mass, P):
    """Probabilities p of the rows in the slice `some` into P[:, some]; binary: mass p (1 - p).

    mass: float64 (n,). P: (K, n), float32 or float64.
    """
    cdef Curvature task
    cdef bint is_double = P.itemsize == 8
    task.over = X.over(some.start, some.stop, scratch)
    task.over.weights = X.buffer(weights, X.weights_size, False)
    task.mass = doubles(mass, X.n)
    task.P = <void*>address(P, X.K * X.n * P.itemsize, True)
    with nogil:
        dispatch_other(X.is_double, is_double, &task, probabilities_range, probabilities_range, probabilities_range,
                       probabilities_range)


cdef Block probabilities(const Pass* t, Py_ssize_t first, const Scratch* s, real* z) noexcept nogil:
    """The block that begins with row `first`, and its probabilities into z; binary: p (1 - p)."""
    cdef Block block = open_block(t.rows, t.layout, first, t.stop, s, z)
    logits(t.rows, t.layout, &block, <const real*>t.weights, z)
    if t.binary:
        binary_hessian_rows(z, block.shape.rows)
    else:
        output_rows(SOFTMAX, &block.shape, z, z, <real*>NULL, &s.aux)
    return block


cdef void curvature_range(void* task, const real* unused) noexcept nogil:
    cdef const Curvature* t = <const Curvature*>task
    cdef Scratch s = scratch_parts(t.over.layout, <real*>t.over.scratch)
    cdef real* z = <real*>s.z
    cdef Block block
    cdef Py_ssize_t i = t.over.first, r
    cdef double v
    while i < t.over.stop:
        block = probabilities(&t.over, i, &s, z)
        if t.over.binary:
            for r in range(block.shape.rows):
                v = t.mass[i + r] * z[r]
                t.row[i + r] = 2 * v
                t.column[0] += v
        else:
            curvature_block(&block.shape, z, t.mass + i, t.row + i, t.column)
        i += t.over.layout.block


cdef void curvature_block(const Shape* s, const real* p, const double* mass, double* row,
                          double* column) noexcept nogil:
    """Of a block's probabilities: fill row (rows), add to column (K)."""
    cdef Py_ssize_t i, k
    cdef double v, total
    if s.rs == 1:
        for i in range(s.rows):
            row[i] = 0
        for k in range(s.K):
            total = 0
            for i in range(s.rows):
                v = mass[i] * (<double>p[i + k * s.cs] * (1.0 - <double>p[i + k * s.cs]))
                row[i] += v
                total += v
            column[k] += total
        return
    for i in range(s.rows):
        total = 0
        for k in range(s.K):
            v = <double>p[i * s.rs + k] * (1.0 - <double>p[i * s.rs + k])
            total += v
            column[k] += mass[i] * v
        row[i] = mass[i] * total


cdef void probabilities_range(void* task, const real* unused, const other* unused_too) noexcept nogil:
    cdef const Curvature* t = <const Curvature*>task
    cdef Scratch s = scratch_parts(t.over.layout, <real*>t.over.scratch)
    cdef real* z = <real*>s.z
    cdef other* P
    cdef Block block
    cdef Py_ssize_t i = t.over.first, k, r, n = t.over.rows.n
    while i < t.over.stop:
        block = probabilities(&t.over, i, &s, z)
        for k in range(block.shape.K):
            P = <other*>t.P + k * n + i
            if t.over.binary:
                for r in range(block.shape.rows):
                    P[r] = <other>(t.mass[i + r] * z[r])
                continue
            for r in range(block.shape.rows):
                P[r] = <other>z[r * block.shape.rs + k * block.shape.cs]
        i += t.over.layout.block
