# What api.pyx offers other extensions: functions of rows of logits, and products of one CSR row. The element types
# travel as numbers, so that a level exports four functions; api.pxd documents them. Change API_VERSION there with any
# meaning.

cdef api void logits_output(int kind, bint is_double, const void* z, void* out, Py_ssize_t n,
                            Py_ssize_t K) noexcept nogil:
    cdef double scratch[LOGIT_SCRATCH]
    cdef LogitRows task
    task.z, task.out, task.kind, task.scratch = z, out, <Output>kind, scratch
    task.K, task.first, task.stop = K, 0, n
    dispatch(is_double, &task, output_logits_range, output_logits_range)


cdef api double logits_loss(bint is_double, const void* z, const Py_ssize_t* labels, const double* weights,
                            double scale, void* losses, void* grad, const Py_ssize_t* shape) noexcept nogil:
    """shape: n and K."""
    cdef double scratch[LOGIT_SCRATCH]
    cdef Py_ssize_t K = shape[1]
    cdef Target target = Target(labels, NULL, weights, NULL, 0.0, K)
    cdef LogitRows task
    task.z, task.target, task.scale, task.scratch = z, &target, scale, scratch
    task.row_loss, task.gradient = losses, grad
    task.K, task.first, task.stop = K, 0, shape[0]
    dispatch(is_double, &task, loss_logits_range, loss_logits_range)
    return task.total


# A CSR row: z += x W, or G += x' q.
cdef struct RowProduct:
    Layout layout                  # K, ldw and narrow alone
    Py_ssize_t nnz
    const void* x
    const void* j
    const void* factor             # W or q
    void* out


cdef void csr_dot_row(void* task, const real* x, const index* j) noexcept nogil:
    cdef const RowProduct* t = <const RowProduct*>task
    csr_row_dot(&t.layout, t.nnz, 0, <const real*>t.x, <const index*>t.j, <const real*>t.factor, <real*>t.out)


cdef void csr_add_row(void* task, const real* x, const index* j) noexcept nogil:
    cdef const RowProduct* t = <const RowProduct*>task
    csr_row_add(&t.layout, t.nnz, 0, <const real*>t.x, <const index*>t.j, <const real*>t.factor, <real*>t.out)


cdef api void csr_dot(int types, Py_ssize_t nnz, const void* x, const void* j, const void* w, Py_ssize_t ld,
                      Py_ssize_t K, void* z) noexcept nogil:
    """types: 1 for double, plus 2 for indices of 64 bits."""
    cdef RowProduct task
    task.layout.K, task.layout.ldw, task.layout.narrow = K, ld, 0
    task.nnz, task.x, task.j, task.factor, task.out = nnz, x, j, w, z
    dispatch_index(types & 1, types & 2, &task, csr_dot_row, csr_dot_row, csr_dot_row, csr_dot_row)


cdef api void csr_add(int types, Py_ssize_t nnz, const void* x, const void* j, const void* q, Py_ssize_t K, void* g,
                      Py_ssize_t ld) noexcept nogil:
    cdef RowProduct task
    task.layout.K, task.layout.ldw, task.layout.narrow = K, ld, 0
    task.nnz, task.x, task.j, task.factor, task.out = nnz, x, j, q, g
    dispatch_index(types & 1, types & 2, &task, csr_add_row, csr_add_row, csr_add_row, csr_add_row)
