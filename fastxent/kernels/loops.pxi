# Loops over blocks, and the two things Python sees: LinearSoftmax (rows of X bound to targets) and the functions of
# arrays of logits. They trust the caller's values (validation.py) but not its sizes: every buffer is measured before
# use. Python allocates; the loops run without the GIL and return to it between calls, so that a caller who hands out
# ranges of rows can be interrupted.

cdef enum:
    AUX_ROWS = 256         # most rows of a block

cdef class LinearSoftmax:
    """Rows of X, their targets, and K columns of logits.

    Parameters
    ----------
    X : ndarray (n, d), C or F order, float32 or float64; or (data, indices, indptr, n, d) of a CSR matrix
    K : int, columns of logits; with K = 1 the model is binary logistic over two classes
    target : intp (n,), or (n, n_classes) in the dtype of X in C order, or None (prediction only)
    n_classes : int
    row_weight : float64 (n,) or None
    class_weight : float64 (n_classes,) or None
    smoothing : float
    shared : bool
        Blocks will be taken in steps, their buffers shared by all threads: larger blocks.
    """
    cdef readonly Py_ssize_t n, d, K, weights_size, scratch_size, store_size, x_size, z_size, block, panel
    cdef readonly bint is_double, uses_theta
    cdef object keep
    cdef Rows rows
    cdef Layout layout
    cdef Targets targets
    cdef bint binary

    def __init__(self, X, K, target=None, n_classes=0, row_weight=None, class_weight=None, smoothing=0.0,
                 shared=False):
        cdef Py_ssize_t itemsize, index_size, size
        if isinstance(X, tuple):
            data, indices, indptr, self.n, self.d = X
            itemsize, index_size = data.itemsize, indices.itemsize
            self.rows.storage = CSR32 if index_size == 4 else CSR64
            self.rows.indptr = address(indptr, (self.n + 1) * index_size, False)
            self.rows.values = address(data, 0, False)
            self.rows.indices = address(indices, 0, False)
        else:
            self.n, self.d = X.shape
            itemsize = X.itemsize
            self.rows.storage = DENSE
            self.rows.values = address(X, self.n * self.d * itemsize, False, True)
            self.rows.row_stride = X.strides[0] // itemsize
            self.rows.col_stride = X.strides[1] // itemsize
            if X.flags.c_contiguous:  # NumPy leaves the stride of an axis of length 1 open
                self.rows.row_stride, self.rows.col_stride = self.d, 1
        self.K = K
        self.is_double = itemsize == 8
        self.rows.n = self.n
        self.rows.d = self.d
        self.binary = K == 1
        self.layout = plan(&self.rows, K, FX_LANES_F64 if self.is_double else FX_LANES_F32, itemsize, shared)
        self.uses_theta = self.layout.scheme == CLASSES
        self.weights_size = self.layout.weights_size
        self.x_size = self.layout.x_size
        self.z_size = self.layout.z_size
        self.block = self.layout.block
        self.store_size = steps(self.n, self.block) * (self.layout.z_size + 2 * self.block)
        self.panel = 4 * (FX_LANES_F64 if self.is_double else FX_LANES_F32)

        self.targets.n_classes = n_classes
        self.targets.smoothing = smoothing
        self.targets.codes = NULL
        self.targets.soft = NULL
        if target is not None:
            if target.ndim == 1:
                self.targets.codes = <const Py_ssize_t*>address(target, self.n * sizeof(Py_ssize_t), False)
            else:
                self.targets.soft = address(target, self.n * n_classes * itemsize, False)
        self.targets.row_weight = NULL if row_weight is None else <const double*>address(row_weight, self.n * 8, False)
        self.targets.class_weight = NULL if class_weight is None else <const double*>address(class_weight,
                                                                                             n_classes * 8, False)
        if shared:
            self.layout.x_size = self.layout.z_size = 0  # not part of a thread's scratch
        self.scratch_size = scratch_entries(&self.layout, n_classes)
        self.keep = (X, target, row_weight, class_weight)

    def pack(self, theta, weights, Py_ssize_t first, Py_ssize_t stop):
        """Write rows first..stop of theta (d + 1, K) into weights, which the caller zeroed once."""
        cdef bint from_double = theta.itemsize == 8
        cdef const char* t = address(theta, (self.d + 1) * self.K * (8 if from_double else 4), False)
        cdef char* w = self.buffer(weights, self.weights_size, True)
        check_range(first, stop, self.d + 1)
        with nogil:
            if self.is_double and from_double:
                pack(&self.layout, <const double*>t, <double*>w, first, stop)
            elif self.is_double:
                pack(&self.layout, <const float*>t, <double*>w, first, stop)
            elif from_double:
                pack(&self.layout, <const double*>t, <float*>w, first, stop)
            else:
                pack(&self.layout, <const float*>t, <float*>w, first, stop)

    def unpack(self, parts, double scale, double l2, theta, out, Py_ssize_t first, Py_ssize_t stop):
        """out[first:stop] = scale * sum of the parts + l2 * theta; the intercept's row without l2."""
        cdef const char* address_of[64]
        cdef Py_ssize_t i, count = len(parts)
        cdef bint to_double = out.itemsize == 8
        if theta.itemsize != out.itemsize:
            raise ValueError(f"theta ({theta.dtype}) and out ({out.dtype}) must have one dtype")
        cdef Py_ssize_t size = (self.d + 1) * self.K * (8 if to_double else 4)
        cdef const char* t = address(theta, size, False)
        cdef char* o = <char*>address(out, size, True)
        check_range(first, stop, self.d + 1)
        check_range(1, count, 64)
        for i in range(count):
            address_of[i] = self.buffer(parts[i], self.weights_size, False)
        with nogil:
            if self.is_double and to_double:
                unpack(&self.layout, <const double**>address_of, count, scale, l2, <const double*>t, <double*>o,
                       first, stop)
            elif self.is_double:
                unpack(&self.layout, <const double**>address_of, count, scale, l2, <const float*>t, <float*>o, first,
                       stop)
            elif to_double:
                unpack(&self.layout, <const float**>address_of, count, scale, l2, <const double*>t, <double*>o, first,
                       stop)
            else:
                unpack(&self.layout, <const float**>address_of, count, scale, l2, <const float*>t, <float*>o, first,
                       stop)

    def squared_norms(self, Py_ssize_t first, Py_ssize_t stop, out):
        """|x_i|^2 of rows first..stop into out[first:stop], float64."""
        cdef double* o = <double*>address(out, self.n * 8, True)
        cdef const char* x = self.rows.values
        check_range(first, stop, self.n)
        with nogil:
            if self.is_double and self.rows.storage != CSR64:
                squared_norms_of(&self.rows, first, stop, <const double*>x, <const int32_t*>NULL, o)
            elif self.is_double:
                squared_norms_of(&self.rows, first, stop, <const double*>x, <const int64_t*>NULL, o)
            elif self.rows.storage != CSR64:
                squared_norms_of(&self.rows, first, stop, <const float*>x, <const int32_t*>NULL, o)
            else:
                squared_norms_of(&self.rows, first, stop, <const float*>x, <const int64_t*>NULL, o)

    def has_duplicates(self, last_row):
        """Whether a CSR row names a column twice; its entries need not be sorted. last_row: intp, d times -1."""
        cdef Py_ssize_t* last = <Py_ssize_t*>address(last_row, self.d * 8, True)
        cdef bint found = False
        with nogil:
            if self.rows.storage == CSR32:
                found = names_twice(&self.rows, <const int32_t*>NULL, last)
            elif self.rows.storage == CSR64:
                found = names_twice(&self.rows, <const int64_t*>NULL, last)
        return found

    def loss(self, weights, scratch, Py_ssize_t first, Py_ssize_t stop, gradient=None, row_loss=None):
        """Sum of s_i loss_i over rows first..stop; adds their gradient to `gradient`, writes row_loss[first:stop]."""
        cdef char* w = self.buffer(weights, self.weights_size, False)
        cdef char* s = self.buffer(scratch, self.scratch_size, True)
        cdef char* g = NULL if gradient is None else self.buffer(gradient, self.weights_size, True)
        cdef char* l = NULL if row_loss is None else self.buffer(row_loss, self.n, True)
        cdef double total
        check_range(first, stop, self.n)
        self.check_target()
        with nogil:
            if self.is_double:
                total = loss_range(self, first, stop, <double*>w, <double*>g, <double*>l, <double*>s)
            else:
                total = loss_range(self, first, stop, <float*>w, <float*>g, <float*>l, <float*>s)
        return total

    def hessian(self, weights, scratch, Py_ssize_t first, Py_ssize_t stop, store):
        """Keep in `store` what Hessian products need of rows first..stop; first a multiple of `block`."""
        cdef char* w = self.buffer(weights, self.weights_size, False)
        cdef char* s = self.buffer(scratch, self.scratch_size, True)
        cdef char* h = self.buffer(store, self.store_size, True)
        check_range(first, stop, self.n)
        check_range(first % self.block, 0, 0)
        with nogil:
            if self.is_double:
                hessian_range(self, first, stop, <double*>w, <double*>h, <double*>s)
            else:
                hessian_range(self, first, stop, <float*>w, <float*>h, <float*>s)

    def hessp(self, weights, direction, scratch, Py_ssize_t first, Py_ssize_t stop, gradient, store=None):
        """Add the rows' Hessian times direction (in the kernels' layout) to `gradient`.

        With a `store` (first a multiple of `block`) there need be no weights.
        """
        cdef char* w = NULL if store is not None else self.buffer(weights, self.weights_size, False)
        cdef char* v = self.buffer(direction, self.weights_size, False)
        cdef char* s = self.buffer(scratch, self.scratch_size, True)
        cdef char* g = self.buffer(gradient, self.weights_size, True)
        cdef char* h = NULL if store is None else self.buffer(store, self.store_size, False)
        check_range(first, stop, self.n)
        if store is not None:
            check_range(first % self.block, 0, 0)
        self.check_target()
        with nogil:
            if self.is_double:
                hessp_range(self, first, stop, <double*>w, <double*>v, <double*>g, <double*>h, <double*>s)
            else:
                hessp_range(self, first, stop, <float*>w, <float*>v, <float*>g, <float*>h, <float*>s)

    def predict(self, weights, scratch, Py_ssize_t first, Py_ssize_t stop, out, Output kind):
        """out[first:stop] = logits, probabilities or log-probabilities: (n, K), or (n, 2) of a binary model."""
        cdef char* w = self.buffer(weights, self.weights_size, False)
        cdef char* s = self.buffer(scratch, self.scratch_size, True)
        cdef char* o = self.buffer(out, self.n * (2 if self.binary and kind != LOGITS else self.K), True)
        check_range(first, stop, self.n)
        with nogil:
            if self.is_double:
                predict_range(self, first, stop, <double*>w, <double*>o, kind, <double*>s)
            else:
                predict_range(self, first, stop, <float*>w, <float*>o, kind, <float*>s)

    # A block in four steps, each over a range of its rows or of its classes, for models so wide that threads share one
    # gradient and split the classes (layouts with uses_theta). x: x_size entries; z and a: z_size; row 0 of each
    # belongs to row `first` of X.

    def open_block(self, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop, x):
        """Copy rows start..stop of the block that begins at row `first`."""
        cdef char* xp = self.buffer(x, self.x_size, True)
        self.check_block(first, start, stop)
        with nogil:
            if self.is_double:
                copy_rows(&self.rows, &self.layout, first + start, stop - start, <double*>xp + start * self.layout.ldx)
            else:
                copy_rows(&self.rows, &self.layout, first + start, stop - start, <float*>xp + start * self.layout.ldx)

    def block_logits(self, x, Py_ssize_t rows, weights, z, Py_ssize_t k0, Py_ssize_t k1, scratch):
        """z[:, k0:k1] = x W; k0 a multiple of `panel`."""
        cdef char* xp = self.buffer(x, self.x_size, False)
        cdef char* w = self.buffer(weights, self.weights_size, False)
        cdef char* zp = self.buffer(z, self.z_size, True)
        cdef char* s = self.buffer(scratch, self.scratch_size, True)
        self.check_block(0, 0, rows)
        check_range(k0, k1, self.K)
        with nogil:
            if self.is_double:
                classes_logits(&self.layout, <double*>xp, rows, <double*>w, k0, k1, <double*>zp, <double*>s)
            else:
                classes_logits(&self.layout, <float*>xp, rows, <float*>w, k0, k1, <float*>zp, <float*>s)

    def block_loss(self, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop, z, bint gradient, scratch, row_loss=None):
        """Sum of s_i loss_i of rows start..stop of the block; with `gradient` their z becomes dL/dz."""
        cdef char* zp = self.buffer(z, self.z_size, True)
        cdef char* s = self.buffer(scratch, self.scratch_size, True)
        cdef char* l = NULL if row_loss is None else self.buffer(row_loss, self.n, True)
        cdef double total
        self.check_block(first, start, stop)
        self.check_target()
        with nogil:
            if self.is_double:
                total = block_loss(self, first, start, stop, <double*>zp, gradient, <double*>s, <double*>l)
            else:
                total = block_loss(self, first, start, stop, <float*>zp, gradient, <float*>s, <float*>l)
        return total

    def block_hessian(self, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop, z, a, scratch):
        """Rows start..stop of a (logits of a direction) become the Hessian with respect to the logits z times a."""
        cdef char* zp = self.buffer(z, self.z_size, True)
        cdef char* ap = self.buffer(a, self.z_size, True)
        cdef char* s = self.buffer(scratch, self.scratch_size, True)
        self.check_block(first, start, stop)
        self.check_target()
        with nogil:
            if self.is_double:
                block_hessian(self, first, start, stop, <double*>zp, <double*>ap, <double*>s)
            else:
                block_hessian(self, first, start, stop, <float*>zp, <float*>ap, <float*>s)

    def block_gradient(self, x, Py_ssize_t rows, q, gradient, Py_ssize_t k0, Py_ssize_t k1, scratch):
        """gradient[:, k0:k1] += x^T q."""
        cdef char* xp = self.buffer(x, self.x_size, False)
        cdef char* qp = self.buffer(q, self.z_size, False)
        cdef char* g = self.buffer(gradient, self.weights_size, True)
        cdef char* s = self.buffer(scratch, self.scratch_size, True)
        self.check_block(0, 0, rows)
        check_range(k0, k1, self.K)
        with nogil:
            if self.is_double:
                classes_gradient(&self.layout, <double*>xp, rows, <double*>qp, k0, k1, <double*>g, <double*>s)
            else:
                classes_gradient(&self.layout, <float*>xp, rows, <float*>qp, k0, k1, <float*>g, <float*>s)

    cdef int check_block(self, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop) except -1:
        if not self.uses_theta:
            raise ValueError("blocks are taken in steps only where the layout has uses_theta")
        check_range(start, stop, self.block)
        check_range(first, first + stop, self.n)
        return 0

    cdef int check_target(self) except -1:
        if self.targets.codes == NULL and self.targets.soft == NULL:
            raise ValueError("no target was given")
        return 0

    cdef char* buffer(self, array, Py_ssize_t size, bint writable) except? NULL:
        return <char*>address(array, size * (8 if self.is_double else 4), writable)


cdef const char* address(array, Py_ssize_t nbytes, bint writable, bint any_order=False) except? NULL:
    """Where an array in C order (or any_order) begins, once it is known to hold at least nbytes."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, (PyBUF_ANY_CONTIGUOUS if any_order else PyBUF_C_CONTIGUOUS)
                       | (PyBUF_WRITABLE if writable else 0))
    cdef const char* start = <const char*>view.buf
    cdef Py_ssize_t length = view.len
    PyBuffer_Release(&view)
    if length < nbytes:
        raise ValueError(f"a buffer of {length} bytes came where {nbytes} are needed")
    return start


cdef int check_range(Py_ssize_t first, Py_ssize_t stop, Py_ssize_t n) except -1:
    if not 0 <= first <= stop <= n:
        raise IndexError(f"range {first}..{stop} does not lie within 0..{n}")
    return 0


# Parts of a block's scratch, each on a cache line.
cdef struct Scratch:
    void* x
    void* z
    void* a
    void* panel
    Aux aux


cdef inline real* carve(real** at, Py_ssize_t size) noexcept nogil:
    cdef real* part = at[0]
    at[0] = part + round_up(size, 16)
    return part


cdef Py_ssize_t scratch_entries(const Layout* p, Py_ssize_t n_classes) noexcept nogil:
    """What scratch_parts deals out, each part on a cache line."""
    return p.x_size + p.panel_size + 2 * p.z_size + 6 * AUX_ROWS + n_classes + 11 * 16


cdef Scratch scratch_parts(const Layout* p, real* scratch) noexcept nogil:
    cdef Scratch s
    cdef real* at = scratch
    s.panel = carve(&at, p.panel_size)
    s.x = carve(&at, p.x_size)
    s.z = carve(&at, p.z_size)
    s.a = carve(&at, p.z_size)
    s.aux.m = carve(&at, AUX_ROWS)
    s.aux.rest = carve(&at, AUX_ROWS)
    s.aux.log_total = carve(&at, AUX_ROWS)
    s.aux.linear = carve(&at, AUX_ROWS)
    s.aux.mass = carve(&at, AUX_ROWS)
    s.aux.weight = carve(&at, AUX_ROWS)
    s.aux.t = at
    return s


cdef double loss_range(LinearSoftmax self, Py_ssize_t first, Py_ssize_t stop, const real* w, real* g, real* row_loss,
                       real* scratch) noexcept nogil:
    cdef const Layout* p = &self.layout
    cdef Ahead ahead
    cdef Scratch s = scratch_parts(p, scratch)
    cdef real* z = <real*>s.z
    cdef const real* x
    cdef Py_ssize_t b, i, rows, rs = 1 if p.rows_in_lanes else p.ldz, cs = p.ldz if p.rows_in_lanes else 1
    cdef double total = 0
    for b in range(steps(stop - first, p.block)):
        i = first + b * p.block
        rows = clamp(stop - i, 0, p.block)
        x = open_rows(&self.rows, p, i, rows, <real*>s.x, &ahead)
        logits(&self.rows, p, i, rows, x, w, z, <real*>s.panel, &ahead)
        if self.binary:
            total += binary_rows(&self.targets, i, z, z if g else NULL, rows, 1.0, row_loss + i if row_loss else NULL,
                                 &s.aux)
        else:
            total += loss_rows(&self.targets, i, z, z if g else NULL, rs, cs, rows, p.K, 1.0,
                               row_loss + i if row_loss else NULL, &s.aux)
        if g:
            gradient(&self.rows, p, i, rows, x, z, g, <real*>s.panel, &ahead)
    return total


cdef double block_loss(LinearSoftmax self, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop, real* z,
                       bint want_gradient,
                       real* scratch, real* row_loss) noexcept nogil:
    cdef const Layout* p = &self.layout
    cdef Scratch s = scratch_parts(p, scratch)
    z += start * p.ldz
    return loss_rows(&self.targets, first + start, z, z if want_gradient else NULL, p.ldz, 1, stop - start, p.K, 1.0,
                     row_loss + first + start if row_loss else NULL, &s.aux)


cdef void block_hessian(LinearSoftmax self, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop, real* z, real* a,
                        real* scratch) noexcept nogil:
    cdef const Layout* p = &self.layout
    cdef Scratch s = scratch_parts(p, scratch)
    cdef real* inverse = <real*>s.aux.mass
    cdef real* place = <real*>s.aux.linear
    z += start * p.ldz
    hessian_rows(z, inverse, place, p.ldz, 1, stop - start, p.K, &s.aux)
    hessp_rows(&self.targets, first + start, z, inverse, place, a + start * p.ldz, p.ldz, 1, stop - start, p.K, &s.aux)


cdef void hessian_block(LinearSoftmax self, Py_ssize_t first, Py_ssize_t rows, const real* x, const real* w, real* z,
                        real* inverse, real* place, const Scratch* s, Ahead* ahead) noexcept nogil:
    """What Hessian products need of the block: into z and, unless binary, inverse and place."""
    cdef const Layout* p = &self.layout
    logits(&self.rows, p, first, rows, x, w, z, <real*>s.panel, ahead)
    if self.binary:
        binary_hessian_rows(z, rows)
    elif p.rows_in_lanes:
        hessian_rows(z, inverse, place, 1, p.ldz, rows, p.K, &s.aux)
    else:
        hessian_rows(z, inverse, place, p.ldz, 1, rows, p.K, &s.aux)


cdef void hessian_range(LinearSoftmax self, Py_ssize_t first, Py_ssize_t stop, const real* w, real* store,
                        real* scratch) noexcept nogil:
    cdef const Layout* p = &self.layout
    cdef Ahead ahead
    cdef Scratch s = scratch_parts(p, scratch)
    cdef real* z
    cdef const real* x
    cdef Py_ssize_t b, i, rows
    for b in range(steps(stop - first, p.block)):
        i = first + b * p.block
        rows = clamp(stop - i, 0, p.block)
        x = open_rows(&self.rows, p, i, rows, <real*>s.x, &ahead)
        ahead.lines = 2  # no gradient follows, which would fetch the other half
        z = store + i // p.block * (p.z_size + 2 * p.block)
        hessian_block(self, i, rows, x, w, z, z + p.z_size, z + p.z_size + p.block, &s, &ahead)


cdef void hessp_range(LinearSoftmax self, Py_ssize_t first, Py_ssize_t stop, const real* w, const real* v, real* g,
                      const real* store, real* scratch) noexcept nogil:
    cdef const Layout* p = &self.layout
    cdef Ahead ahead
    cdef Scratch s = scratch_parts(p, scratch)
    cdef real* z = <real*>s.z
    cdef real* a = <real*>s.a
    cdef real* inverse = <real*>s.aux.mass
    cdef real* place = <real*>s.aux.linear
    cdef const real* x
    cdef Py_ssize_t b, i, rows, rs = 1 if p.rows_in_lanes else p.ldz, cs = p.ldz if p.rows_in_lanes else 1
    for b in range(steps(stop - first, p.block)):
        i = first + b * p.block
        rows = clamp(stop - i, 0, p.block)
        x = open_rows(&self.rows, p, i, rows, <real*>s.x, &ahead)
        if store:
            z = <real*>store + i // p.block * (p.z_size + 2 * p.block)
            inverse = z + p.z_size
            place = inverse + p.block
        else:
            hessian_block(self, i, rows, x, w, z, inverse, place, &s, &ahead)
        logits(&self.rows, p, i, rows, x, v, a, <real*>s.panel, &ahead)
        if self.binary:
            binary_hessp_rows(&self.targets, i, z, a, rows, &s.aux)
        else:
            hessp_rows(&self.targets, i, z, inverse, place, a, rs, cs, rows, p.K, &s.aux)
        gradient(&self.rows, p, i, rows, x, a, g, <real*>s.panel, &ahead)


cdef void predict_range(LinearSoftmax self, Py_ssize_t first, Py_ssize_t stop, const real* w, real* out, Output kind,
                        real* scratch) noexcept nogil:
    cdef const Layout* p = &self.layout
    cdef Ahead ahead
    cdef Scratch s = scratch_parts(p, scratch)
    cdef real* z = <real*>s.z
    cdef real* e = <real*>s.aux.rest
    cdef real* log_total = <real*>s.aux.log_total
    cdef real* row
    cdef const real* x
    cdef real log_small
    cdef Py_ssize_t b, i, r, k, rows, K = p.K
    cdef Py_ssize_t rs = 1 if p.rows_in_lanes else p.ldz, cs = p.ldz if p.rows_in_lanes else 1
    for b in range(steps(stop - first, p.block)):
        i = first + b * p.block
        rows = clamp(stop - i, 0, p.block)
        x = open_rows(&self.rows, p, i, rows, <real*>s.x, &ahead)
        ahead.lines = 2  # no gradient follows, which would fetch the other half
        logits(&self.rows, p, i, rows, x, w, z, <real*>s.panel, &ahead)
        if self.binary and kind != LOGITS:
            for r in range(rows):
                e[r] = z[r] if z[r] < 0 else -z[r]
            exp_array(e, e, rows)
            memcpy(log_total, e, rows * sizeof(real))
            log1p_array(log_total, rows)
            for r in range(rows):
                row = out + 2 * (i + r)
                k = 1 if z[r] >= 0 else 0  # the likelier class
                if kind == SOFTMAX:
                    row[k] = 1 / (1 + e[r])
                    row[1 - k] = e[r] / (1 + e[r])
                else:
                    log_small = z[r] if z[r] < 0 else -z[r]
                    row[k] = -log_total[r]
                    row[1 - k] = log_small - log_total[r]
            continue
        if kind != LOGITS:
            output_rows(kind, z, z, rs, cs, rows, K, <real*>NULL, &s.aux)
        if rs == 1:
            turn_block(z, cs, K, rows, out + i * K, K)
        else:
            for r in range(rows):
                memcpy(out + (i + r) * K, z + r * rs, K * sizeof(real))


# ---- arrays of logits ----------------------------------------------------------------------------------------------

cdef enum:
    LOGIT_ROWS = 64                                                # rows of a block of logits
    LOGIT_AUX = 6 * LOGIT_ROWS                                     # what logits_aux takes
    LOGIT_SCRATCH = LOGIT_AUX + LOGIT_ROWS * FEW_LANES + 16        # the most that any K needs, but for targets

cdef Aux logits_aux(real** at) noexcept nogil:
    cdef Aux aux
    aux.m = carve(at, LOGIT_ROWS)
    aux.rest = carve(at, LOGIT_ROWS)
    aux.log_total = carve(at, LOGIT_ROWS)
    aux.linear = carve(at, LOGIT_ROWS)
    aux.mass = carve(at, LOGIT_ROWS)
    aux.weight = carve(at, LOGIT_ROWS)
    return aux


def logits_scratch_size(Py_ssize_t K):
    """Entries of scratch that output_logits and loss_logits need."""
    return LOGIT_AUX + (LOGIT_ROWS * K if K <= FEW_LANES else 0) + K + 16


def output_logits(z, out, Output kind, Py_ssize_t K, Py_ssize_t first, Py_ssize_t stop, scratch):
    """out[first:stop] = kind of the rows of z (n, K), C order; out: (n, K), or (n,) for LOGSUMEXP; it may be z."""
    cdef bint is_double = z.itemsize == 8
    cdef Py_ssize_t itemsize = z.itemsize
    check_range(first, stop, len(z))
    cdef const char* zp = address(z, stop * K * itemsize, False)
    cdef char* op = <char*>address(out, stop * (1 if kind == LOGSUMEXP else K) * itemsize, True)
    cdef char* sp = <char*>address(scratch, logits_scratch_size(K) * itemsize, True)
    with nogil:
        if is_double:
            output_range(<const double*>zp, <double*>op, kind, K, first, stop, <double*>sp)
        else:
            output_range(<const float*>zp, <float*>op, kind, K, first, stop, <float*>sp)


cdef void output_range(const real* z, real* out, Output kind, Py_ssize_t K, Py_ssize_t first, Py_ssize_t stop,
                       real* scratch) noexcept nogil:
    cdef real* at = scratch
    cdef Aux aux = logits_aux(&at)
    cdef real* block = at
    cdef Py_ssize_t b, i, k, rows
    cdef const real* zi
    cdef real* lse
    for b in range(steps(stop - first, LOGIT_ROWS)):
        i = first + b * LOGIT_ROWS
        rows = clamp(stop - i, 0, LOGIT_ROWS)
        zi = z + i * K
        lse = out + i
        if kind == SIGMOID:
            for k in range(K):  # as many pieces of `rows` numbers
                sigmoid_rows(zi + k * rows, out + i * K + k * rows, rows, <real*>aux.rest)
        elif K <= FEW_LANES:
            turn_block(zi, K, rows, K, block, LOGIT_ROWS)
            output_rows(kind, block, block, 1, LOGIT_ROWS, rows, K, lse, &aux)
            if kind != LOGSUMEXP:
                turn_block(block, LOGIT_ROWS, K, rows, out + i * K, K)
        else:
            output_rows(kind, zi, out + i * K, K, 1, rows, K, lse, &aux)


def loss_logits(z, target, Py_ssize_t n_classes, row_weight, class_weight, double smoothing, Py_ssize_t first,
                Py_ssize_t stop, scratch, row_loss=None, gradient=None, double scale=1.0):
    """Sum of s_i loss_i over rows first..stop of logits z (n, K); fills row_loss, and gradient times scale."""
    cdef Py_ssize_t itemsize = z.itemsize, K = n_classes
    cdef bint is_double = itemsize == 8
    cdef Targets targets
    cdef double total
    check_range(first, stop, len(z))
    targets.n_classes = n_classes
    targets.smoothing = smoothing
    targets.codes = NULL
    targets.soft = NULL
    if target.ndim == 1:
        targets.codes = <const Py_ssize_t*>address(target, stop * sizeof(Py_ssize_t), False)
    else:
        targets.soft = address(target, stop * K * itemsize, False)
    targets.row_weight = NULL if row_weight is None else <const double*>address(row_weight, stop * 8, False)
    targets.class_weight = NULL if class_weight is None else <const double*>address(class_weight, K * 8, False)
    cdef const char* zp = address(z, stop * K * itemsize, False)
    cdef char* sp = <char*>address(scratch, logits_scratch_size(K) * itemsize, True)
    cdef char* lp = NULL if row_loss is None else <char*>address(row_loss, stop * itemsize, True)
    cdef char* gp = NULL if gradient is None else <char*>address(gradient, stop * K * itemsize, True)
    with nogil:
        if is_double:
            total = loss_logits_range(&targets, <const double*>zp, K, first, stop, <double*>lp, <double*>gp, scale,
                                      <double*>sp)
        else:
            total = loss_logits_range(&targets, <const float*>zp, K, first, stop, <float*>lp, <float*>gp, scale,
                                      <float*>sp)
    return total


cdef double loss_logits_range(const Targets* targets, const real* z, Py_ssize_t K, Py_ssize_t first, Py_ssize_t stop,
                              real* row_loss, real* g, double scale, real* scratch) noexcept nogil:
    cdef real* at = scratch
    cdef Aux aux = logits_aux(&at)
    cdef real* block
    cdef real* losses
    cdef Py_ssize_t b, i, rows
    cdef double total = 0
    aux.t = carve(&at, 0 if is_plain(targets) else K)
    block = at
    for b in range(steps(stop - first, LOGIT_ROWS)):
        i = first + b * LOGIT_ROWS
        rows = clamp(stop - i, 0, LOGIT_ROWS)
        losses = row_loss + i if row_loss else NULL
        if K <= FEW_LANES:
            turn_block(z + i * K, K, rows, K, block, LOGIT_ROWS)
            total += loss_rows(targets, i, block, block if g else NULL, 1, LOGIT_ROWS, rows, K, scale, losses, &aux)
            if g:
                turn_block(block, LOGIT_ROWS, K, rows, g + i * K, K)
        else:
            total += loss_rows(targets, i, z + i * K, g + i * K if g else NULL, K, 1, rows, K, scale, losses, &aux)
    return total
