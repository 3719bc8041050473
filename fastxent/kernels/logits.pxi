# Functions of the rows of an array of logits (n, K) in C order.

cdef enum:
    LOGIT_ROWS = 64                                                # rows of a block of logits
    LOGIT_AUX = 7 * LOGIT_ROWS                                     # what aux_parts takes
    LOGIT_SCRATCH = LOGIT_AUX + LOGIT_ROWS * FEW_LANES + 16        # the most that any K needs, but for targets

cdef struct LogitRows:
    const void* z                  # (n, K)
    Py_ssize_t K
    Py_ssize_t first
    Py_ssize_t stop
    Output kind
    void* out                      # (n, K), or (n,) for LOGSUMEXP; may be z
    const Target* target
    void* row_loss                 # (n,), or NULL
    void* gradient                 # (n, K), or NULL
    double scale                   # of the gradient
    void* scratch
    double total                   # becomes the sum of the losses


def logits_scratch_size(Py_ssize_t K):
    """Entries of scratch that output_logits and loss_logits need."""
    return LOGIT_AUX + (LOGIT_ROWS * K if K <= FEW_LANES else 0) + K + 16


def output_logits(z, out, Output kind, Py_ssize_t K, Py_ssize_t first, Py_ssize_t stop, scratch):
    """out[first:stop] = kind of the rows of z (n, K), C order; out: (n, K), or (n,) for LOGSUMEXP; it may be z."""
    cdef LogitRows task = logit_rows(z, K, first, stop, scratch)
    cdef bint is_double = z.itemsize == 8
    task.kind = kind
    task.out = <void*>address(out, stop * (1 if kind == LOGSUMEXP else K) * z.itemsize, True)
    with nogil:
        dispatch(is_double, &task, output_logits_range, output_logits_range)


def loss_logits(z, targets, Py_ssize_t first, Py_ssize_t stop, scratch, row_loss=None, gradient=None,
                double scale=1.0):
    """Sum of s_i loss_i over rows first..stop of logits z (n, K); fills row_loss (n,), and gradient (n, K) times
    scale. targets: see Targets; K is n_classes."""
    cdef Py_ssize_t itemsize = z.itemsize, K = targets.n_classes
    cdef LogitRows task = logit_rows(z, K, first, stop, scratch)
    cdef bint is_double = itemsize == 8
    cdef Target target = target_of(targets, stop, itemsize)
    task.target, task.scale = &target, scale
    task.row_loss = NULL if row_loss is None else <char*>address(row_loss, stop * itemsize, True)
    task.gradient = NULL if gradient is None else <char*>address(gradient, stop * K * itemsize, True)
    with nogil:
        dispatch(is_double, &task, loss_logits_range, loss_logits_range)
    return task.total


cdef LogitRows logit_rows(z, Py_ssize_t K, Py_ssize_t first, Py_ssize_t stop, scratch) except *:
    cdef LogitRows task
    check_range(first, stop, len(z))
    task.K, task.first, task.stop = K, first, stop
    task.z = address(z, stop * K * z.itemsize, False)
    task.scratch = <void*>address(scratch, logits_scratch_size(K) * z.itemsize, True)
    return task


cdef inline Shape logit_shape(const LogitRows* t, Py_ssize_t i) noexcept nogil:
    """The block that begins with row i: few classes are turned, so that rows stand in lanes."""
    cdef Shape shape
    shape.rows, shape.K = clamp(t.stop - i, 0, LOGIT_ROWS), t.K
    shape.rs = 1 if t.K <= FEW_LANES else t.K
    shape.cs = LOGIT_ROWS if t.K <= FEW_LANES else 1
    return shape


cdef void output_logits_range(void* task, const real* z) noexcept nogil:
    cdef const LogitRows* t = <const LogitRows*>task
    cdef real* block = <real*>t.scratch
    cdef Aux aux = aux_parts(&block, LOGIT_ROWS)
    cdef Py_ssize_t i = t.first, k, K = t.K
    cdef Shape s
    cdef real* out
    while i < t.stop:
        s = logit_shape(t, i)
        z = <const real*>t.z + i * K
        out = <real*>t.out + i * K
        if t.kind == SIGMOID:
            for k in range(K):  # as many pieces of `rows` numbers
                sigmoid_rows(z + k * s.rows, out + k * s.rows, s.rows, <real*>aux.rest)
        elif K <= FEW_LANES:
            turn_block(z, K, s.rows, K, block, LOGIT_ROWS)
            output_rows(t.kind, &s, block, block, <real*>t.out + i, &aux)
            if t.kind != LOGSUMEXP:
                turn_block(block, LOGIT_ROWS, K, s.rows, out, K)
        else:
            output_rows(t.kind, &s, z, out, <real*>t.out + i, &aux)
        i += LOGIT_ROWS


cdef void loss_logits_range(void* task, const real* z) noexcept nogil:
    cdef LogitRows* t = <LogitRows*>task
    cdef real* block = <real*>t.scratch
    cdef Aux aux = aux_parts(&block, LOGIT_ROWS)
    cdef Py_ssize_t i = t.first, K = t.K
    cdef Shape s
    cdef real* losses
    cdef real* g = <real*>t.gradient
    aux.t = carve(&block, 0 if is_plain(t.target) else K)
    t.total = 0
    while i < t.stop:
        s = logit_shape(t, i)
        z = <const real*>t.z + i * K
        losses = <real*>t.row_loss + i if t.row_loss else NULL
        if t.gradient:
            g = <real*>t.gradient + i * K
        if K <= FEW_LANES:
            turn_block(z, K, s.rows, K, block, LOGIT_ROWS)
            t.total += loss_rows(t.target, i, &s, block, block if g else NULL, t.scale, losses, &aux)
            if g:
                turn_block(block, LOGIT_ROWS, K, s.rows, g, K)
        else:
            t.total += loss_rows(t.target, i, &s, z, g, t.scale, losses, &aux)
        i += LOGIT_ROWS
