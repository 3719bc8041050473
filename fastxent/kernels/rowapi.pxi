# Rows by number: the gradients of a row or a minibatch, in any order, for descent.pxi.
#
# Two schemes of weights, both flat, features first and the K intercepts after them in one piece (at `intercept`):
#   rows      the SPARSE layout for every storage, ldw weights per feature; a dense row is a CSR row of all columns
#   batches   dense data in minibatches: the block layouts FEATURES and CLASSES, rows gathered into a block; FEATURES
#             also for single rows, if only plain steps are taken
# Logits are bias + w_scale * x W, so that an L2 penalty costs one multiplication a step.
#
# Rows can be standardised as they are read: all functions here use (x_j - shift_j) factor_j instead of x_j. This adds
# -shift_j factor_j to all columns with a shift, also to entries that a CSR row does not store. These `offsets` are the
# same for each row.
#
# Functions declared `api`, here and in descent.pxi, can be called by their names; fastxent.sgd.bridge gives some to
# Numba. Change ROW_API_VERSION with any signature or meaning: compiled loops in users' caches call by it.

ROW_API_VERSION = 8

cdef struct RowApi:
    Rows rows
    Target target
    Layout layout
    bint is_double
    bint binary
    bint fetches                   # whether the weights of the next row are prefetched
    const int32_t* columns         # 0..d-1, the indices of a dense row
    void* row                      # a copy of one dense row, if its columns are not contiguous
    void* scratch
    Py_ssize_t* codes              # targets of a gathered block
    double* weights
    void* soft
    double* squares                # |x_i|^2 of all rows, noted as they come into minibatches; or NULL
    const void* shift              # of dense columns, or NULL: rows are used unchanged
    const void* factor
    Py_ssize_t n_offsets           # number of additional entries of every CSR row
    const int32_t* offset_columns
    const void* offsets

# A call of one of the functions at the end.
cdef struct RowCall:
    const RowApi* api
    const Py_ssize_t* order        # begins with the row to process
    Py_ssize_t count               # of rows in a minibatch
    Py_ssize_t after               # number of later rows in the order
    void* w
    double w_scale
    double step                    # row_step: of the weights; row_add: the factor
    double intercept_step
    void* q
    void* g
    double loss                    # becomes the loss before the step

cdef enum:
    GATHERED_AHEAD = 16384         # bytes of rows that are fetched before they are copied into a block,
    MOST_GATHERED = 64             # but at most so many rows

# A row's entries: a dense one names all columns.
cdef struct Entries:
    Py_ssize_t nnz
    const void* x
    const void* j


cdef class RowProblem(LinearSoftmax):
    """Rows of X, their targets and scratch, bound for loops that refer to rows by number.

    X, K, targets : as of LinearSoftmax
    batches : bool
        Of dense X only: take the layouts of blocks.
    batch : int
        For minibatches of up to so many rows. 1: if the layout is FEATURES; then it serves single rows.
    zeros : callable
        zeros(size, itemsize) makes an array of floats.
    beside : int
        Of CSR rows and K > 1: how many arrays stand side by side, feature by feature, the weights first. So what
        belongs to a feature comes from memory in one piece.

    One object serves one thread.
    """
    cdef RowApi api
    cdef object own, standard, sizes
    cdef readonly Py_ssize_t ld, intercept
    cdef readonly bint by_class    # FEATURES: weights (K, ld); else (d, ld)

    def __init__(self, X, K, targets, bint batches, Py_ssize_t batch, zeros, Py_ssize_t beside=1):
        LinearSoftmax.__init__(self, X, K, targets)
        cdef Py_ssize_t L = FX_LANES_F64 if self.is_double else FX_LANES_F32, itemsize = 8 if self.is_double else 4
        cdef Py_ssize_t n_classes = self.target.n_classes
        cdef Rows shape = self.rows
        shape.n = batch
        self.layout = plan(&shape, self.K, L, itemsize, False)
        if batches and self.layout.scheme == FEATURES and not self.layout.copy_rows:
            self.layout.copy_rows = True
            self.layout.tail = -1
            self.layout.ldx = round_up(self.d, L)
            self.layout.x_size = self.layout.block * self.layout.ldx
        if not batches or (batch == 1 and self.layout.scheme != FEATURES):
            shape.is_sparse = True
            self.layout = plan(&shape, self.K, L, itemsize, False)
            if not self.rows.is_sparse and self.K > 1:  # neighbours are written one after the other: no overlap
                self.layout.ldw = round_up(self.K, L)
                self.layout.narrow = 0
                self.layout.weights_size = (self.d + 1) * self.layout.ldw + L
            self.layout.z_size = self.layout.ldz = round_up(self.K, L) + L
        if beside > 1:
            if not self.rows.is_sparse or self.K == 1:
                raise ValueError("only the weights of CSR rows and of several columns have arrays beside them")
            self.layout.ldw *= beside
            self.layout.weights_size = (self.d + 1) * self.layout.ldw + L
        self.ld = self.layout.ldw
        self.by_class = self.layout.scheme == FEATURES
        self.intercept = self.ld * (self.K if self.by_class else self.d)
        self.weights_size = self.layout.weights_size
        self.block = self.layout.block
        size = scratch_entries(&self.layout, n_classes)
        self.scratch_size, self.x_size, self.z_size = size, self.layout.x_size, self.layout.z_size
        scratch = zeros(size, itemsize)
        row = zeros(self.d, itemsize)
        columns = zeros(self.d, 4)
        codes, weights, soft = zeros(self.block, 8), zeros(self.block, 8), zeros(self.block * n_classes, itemsize)
        self.own = (scratch, row, columns, codes, weights, soft)
        cdef int32_t* named = <int32_t*>address(columns, self.d * 4, True)
        cdef Py_ssize_t j
        if not self.rows.is_sparse:
            for j in range(self.d):
                named[j] = <int32_t>j
        self.api.rows = self.rows
        self.api.target = self.target
        self.api.layout = self.layout
        self.api.is_double = self.is_double
        self.api.binary = self.binary
        self.api.fetches = beside == 1
        self.api.columns = named
        self.api.row = <void*>address(row, self.d * itemsize, True)
        self.api.scratch = self.buffer(scratch, size, True)
        self.api.codes = <Py_ssize_t*>address(codes, self.block * 8, True)
        self.api.weights = <double*>address(weights, self.block * 8, True)
        self.api.soft = <void*>address(soft, self.block * n_classes * itemsize, True)

    def standardise(self, shift=None, factor=None, offset_columns=None, offsets=None):
        """Use rows as (x - shift) * factor from now on; arrays of length d, and the CSR rows' additional entries.

        Without arguments: as they are.
        """
        self.standard = (shift, factor, offset_columns, offsets)
        self.api.shift = self.api.factor = self.api.offsets = NULL
        self.api.n_offsets = 0
        if shift is None:
            return
        cdef Py_ssize_t size = self.d * (8 if self.is_double else 4), count = len(offsets)
        if count and not 0 <= min(offset_columns) <= max(offset_columns) < self.d:
            raise IndexError(f"offset columns must lie within 0..{self.d}")
        self.api.shift = address(shift, size, False)
        self.api.factor = address(factor, size, False)
        self.api.offset_columns = <const int32_t*>address(offset_columns, count * 4, False)
        self.api.offsets = address(offsets, count * (8 if self.is_double else 4), False)
        self.api.n_offsets = count

    def measure(self, squares):
        """Write |x_i|^2 of each row of a minibatch into squares, float64 (n,), as it is used."""
        self.sizes = squares
        self.api.squares = doubles_out(squares, self.n)

    @property
    def address(self):
        """The address that the functions below take as `api`; valid during the lifetime of this object."""
        return <Py_ssize_t>&self.api


# ---- one row --------------------------------------------------------------------------------------------------------

cdef inline Entries find_row(const RowApi* api, Py_ssize_t i, const real* x, const index* j) noexcept nogil:
    """Row i's entries, standardised."""
    cdef const Rows* X = &api.rows
    cdef const real* factor = <const real*>api.factor
    cdef real* copy = <real*>api.row
    cdef Entries row
    cdef Py_ssize_t c
    if X.is_sparse:
        row.nnz = row_entries(X, i, &x, &j)
        row.x, row.j = x, j
        if factor:
            for c in range(row.nnz):
                copy[c] = x[c] * factor[j[c]]
            row.x = copy
        return row
    x = <const real*>X.values + i * X.row_stride
    row.nnz, row.x, row.j = X.d, x, api.columns
    if X.col_stride != 1 or factor:
        for c in range(X.d):
            copy[c] = x[c * X.col_stride]
        standardise_row(api, copy)
        row.x = copy
    return row


cdef inline void standardise_row(const RowApi* api, real* x) noexcept nogil:
    """The same for a copy of a dense row."""
    cdef const real* shift = <const real*>api.shift
    cdef const real* factor = <const real*>api.factor
    cdef Py_ssize_t c
    if factor:
        for c in range(api.rows.d):
            x[c] = (x[c] - shift[c]) * factor[c]


cdef inline Entries offsets_of(const RowApi* api) noexcept nogil:
    """The additional entries of a standardised CSR row; their columns have 32 bits."""
    cdef Entries row
    row.nnz, row.x, row.j = api.n_offsets if api.rows.is_sparse else 0, api.offsets, api.offset_columns
    return row


cdef inline double gradient_of_row(const RowCall* t, const Entries* row, real* q, const index* j) noexcept nogil:
    """s_i loss_i; q (K rounded up to registers) becomes its gradient by logits, zero in the padding."""
    cdef const RowApi* api = t.api
    cdef const Layout* p = &api.layout
    cdef Scratch s = scratch_parts(p, <real*>api.scratch)
    cdef Shape shape
    cdef const real* w = <const real*>t.w
    cdef const real* bias = w + p.d * p.ldw
    cdef const real* x = <const real*>row.x
    cdef Py_ssize_t K = p.K, wide = round_up(K, lanes(w)), k
    cdef Entries offsets = offsets_of(api)
    cdef double loss
    j = <const index*>row.j
    if K == 1:
        q[0] = csr_dot_one(row.nnz, x, j, w)
        if offsets.nnz > 0:
            q[0] += csr_dot_one(offsets.nnz, <const real*>offsets.x, <const int32_t*>offsets.j, w)
        q[0] = bias[0] + <real>t.w_scale * q[0]
        return binary_rows(&api.target, t.order[0], q, q, 1, 1.0, <real*>NULL, &s.aux)
    memset(q, 0, wide * sizeof(real))
    csr_row_dot(p, row.nnz, 0, x, j, w, q)
    if offsets.nnz > 0:
        csr_row_dot(p, offsets.nnz, 0, <const real*>offsets.x, <const int32_t*>offsets.j, w, q)
    for k in range(K):
        q[k] = bias[k] + <real>t.w_scale * q[k]
    shape.rows, shape.K, shape.rs, shape.cs = 1, K, p.ldz, 1
    loss = loss_rows(&api.target, t.order[0], &shape, q, q, 1.0, <real*>NULL, &s.aux)
    for k in range(K, wide):
        q[k] = 0
    return loss


cdef inline void add_row(const RowApi* api, const Entries* row, const real* q, real factor, real* g,
                         const index* j) noexcept nogil:
    """g[j] += factor * x_j q for all features of a row; the intercept is the caller's."""
    cdef const Layout* p = &api.layout
    cdef real* scaled = <real*>scratch_parts(p, <real*>api.scratch).a
    cdef Entries offsets = offsets_of(api)
    cdef Py_ssize_t k
    if p.K == 1:
        csr_add_one(row.nnz, <const real*>row.x, <const index*>row.j, factor * q[0], g)
        if offsets.nnz > 0:
            csr_add_one(offsets.nnz, <const real*>offsets.x, <const int32_t*>offsets.j, factor * q[0], g)
        return
    for k in range(round_up(p.K, lanes(q))):
        scaled[k] = factor * q[k]
    csr_row_add(p, row.nnz, 0, <const real*>row.x, <const index*>row.j, scaled, g)
    if offsets.nnz > 0:
        csr_row_add(p, offsets.nnz, 0, <const real*>offsets.x, <const int32_t*>offsets.j, scaled, g)


cdef inline void fetch_ahead(const RowCall* t, const real* w, const index* j) noexcept nogil:
    """Prefetch the data of the next CSR rows in the order, while the current one is processed.

    Rows come in random order, so each is far away in memory. First the bounds of a row and its label are prefetched,
    then its entries, then the weights of its features: each as soon as its address is known.
    """
    cdef const RowApi* api = t.api
    cdef Py_ssize_t at, nnz, ld = api.layout.ldw
    cdef const real* x
    fetch_entries(api, t.order, t.after, w, j)
    if t.after >= 1 and api.fetches:
        nnz = row_entries(&api.rows, t.order[1], &x, &j)
        for at in range(nnz):
            fetch(w + j[at] * ld, ld * sizeof(real))


cdef inline void fetch_entries(const RowApi* api, const Py_ssize_t* order, Py_ssize_t after, const real* x,
                               const index* j) noexcept nogil:
    """Prefetch bounds and label of a row far ahead, and the entries of a nearer one. after: how many rows follow."""
    cdef Py_ssize_t nnz
    if after >= ROWS_AHEAD:
        FX_PREFETCH(<const index*>api.rows.indptr + order[ROWS_AHEAD])
        if api.target.codes:
            FX_PREFETCH(api.target.codes + order[ROWS_AHEAD])
    if after >= ENTRIES_AHEAD:
        nnz = row_entries(&api.rows, order[ENTRIES_AHEAD], &x, &j)
        fetch(x, nnz * sizeof(real))
        fetch(j, nnz * sizeof(index))


cdef void step_of_row(void* task, const real* x, const index* j) noexcept nogil:
    cdef RowCall* t = <RowCall*>task
    cdef const RowApi* api = t.api
    cdef const Layout* p = &api.layout
    cdef real* q = <real*>scratch_parts(p, <real*>api.scratch).z
    cdef real* w = <real*>t.w
    cdef real* bias = w + p.d * p.ldw
    cdef Entries row
    cdef Py_ssize_t k
    if api.rows.is_sparse:
        fetch_ahead(t, w, j)
    row = find_row(api, t.order[0], x, j)
    t.loss = gradient_of_row(t, &row, q, j)
    add_row(api, &row, q, <real>-t.step, w, j)
    for k in range(p.K):
        bias[k] -= <real>t.intercept_step * q[k]


cdef void gradient_by_row(void* task, const real* x, const index* j) noexcept nogil:
    cdef RowCall* t = <RowCall*>task
    cdef Entries row
    if t.api.rows.is_sparse:
        fetch_ahead(t, <const real*>t.w, j)
    row = find_row(t.api, t.order[0], x, j)
    t.loss = gradient_of_row(t, &row, <real*>t.q, j)


cdef void add_by_row(void* task, const real* x, const index* j) noexcept nogil:
    cdef RowCall* t = <RowCall*>task
    cdef Entries row = find_row(t.api, t.order[0], x, j)
    add_row(t.api, &row, <const real*>t.q, <real>t.step, <real*>t.g, j)


# ---- one row, by class: with features in lanes, nothing is padded, and a binary model uses lanes, too ---------------

cdef inline double gradient_of_copy(const RowCall* t, const real* x, real* q) noexcept nogil:
    """gradient_of_row of a dense row, of which x is a copy."""
    cdef const RowApi* api = t.api
    cdef const Layout* p = &api.layout
    cdef Scratch s = scratch_parts(p, <real*>api.scratch)
    cdef Shape shape
    cdef const real* w = <const real*>t.w
    cdef const real* bias = w + p.K * p.ldw
    cdef Py_ssize_t k
    for k in range(p.K):
        q[k] = bias[k] + <real>t.w_scale * dot_row(x, w + k * p.ldw, p.d)
    if api.binary:
        return binary_rows(&api.target, t.order[0], q, q, 1, 1.0, <real*>NULL, &s.aux)
    shape.rows, shape.K, shape.rs, shape.cs = 1, p.K, p.K, 1
    return loss_rows(&api.target, t.order[0], &shape, q, q, 1.0, <real*>NULL, &s.aux)


cdef inline void add_copy(const RowApi* api, const real* x, const real* q, real factor, real* g) noexcept nogil:
    """add_row of the same."""
    cdef Layout p = api.layout
    cdef Scratch s = scratch_parts(&p, <real*>api.scratch)
    cdef real* scaled = <real*>s.z
    cdef real* before = <real*>s.a
    cdef Ahead nothing = nothing_ahead()
    cdef Py_ssize_t k, K = p.K
    for k in range(K):
        scaled[k] = factor * q[k]
    memcpy(before, g + K * p.ldw, K * sizeof(real))  # the intercept is the caller's
    p.ldz = 1
    features_gradient(&p, x, 1, scaled, g, &nothing)
    memcpy(g + K * p.ldw, before, K * sizeof(real))


cdef inline const real* copy_of_row(const RowCall* t, const real* unused) noexcept nogil:
    """The row, standardised, in scratch."""
    cdef real* x = <real*>scratch_parts(&t.api.layout, <real*>t.api.scratch).x
    copy_rows(&t.api.rows, &t.api.layout, t.order[0], 1, x)
    standardise_row(t.api, x)
    return x


cdef void step_by_class(void* task, const real* x) noexcept nogil:
    cdef RowCall* t = <RowCall*>task
    cdef const Layout* p = &t.api.layout
    cdef real* q = <real*>scratch_parts(p, <real*>t.api.scratch).z
    cdef real* w = <real*>t.w
    cdef real* bias = w + p.K * p.ldw
    cdef Py_ssize_t k
    x = copy_of_row(t, x)
    t.loss = gradient_of_copy(t, x, q)
    for k in range(p.K):
        bias[k] -= <real>t.intercept_step * q[k]
    add_copy(t.api, x, q, <real>-t.step, w)


cdef void gradient_by_class(void* task, const real* x) noexcept nogil:
    cdef RowCall* t = <RowCall*>task
    t.loss = gradient_of_copy(t, copy_of_row(t, x), <real*>t.q)


cdef void add_by_class(void* task, const real* x) noexcept nogil:
    cdef RowCall* t = <RowCall*>task
    add_copy(t.api, copy_of_row(t, x), <const real*>t.q, <real>t.step, <real*>t.g)


# ---- a minibatch of gathered dense rows -----------------------------------------------------------------------------

cdef void gradient_of_batch(void* task, const real* w) noexcept nogil:
    """Sum of s_i loss_i over the rows order[0..count); g += their gradient. Both in the layout of batches."""
    cdef RowCall* t = <RowCall*>task
    cdef const RowApi* api = t.api
    cdef const Layout* p = &api.layout
    cdef Scratch s = scratch_parts(p, <real*>api.scratch)
    cdef Target target = gathered_target(api)
    cdef Block block
    cdef real* x = <real*>s.x
    cdef real* z = <real*>s.z
    cdef Py_ssize_t begin = 0, r, rows, rest
    w = <const real*>t.w
    t.loss = 0
    while begin < t.count:
        rows = clamp(t.count - begin, 0, p.block)
        for r in range(rows):
            take_into_block(t, begin + r, x + r * p.ldx)
            gather_target(api, t.order[begin + r], r, x)
        block = block_of(p, 0, rows, s.panel)
        block.x = x
        rest = clamp(t.count + t.after - begin - rows, 0, p.block)
        block.ahead = rows_ahead(&api.rows, p, t.order + begin + rows, rest, x)
        logits(&api.rows, p, &block, w, z)
        if api.binary:
            t.loss += binary_rows(&target, 0, z, z, rows, 1.0, <real*>NULL, &s.aux)
        else:
            t.loss += loss_rows(&target, 0, &block.shape, z, z, 1.0, <real*>NULL, &s.aux)
        gradient(&api.rows, p, &block, z, <real*>t.g)
        begin += p.block


cdef inline void take_into_block(const RowCall* t, Py_ssize_t at, real* x) noexcept nogil:
    """Copy the row of this place in the order into a row of the block, standardised, and fetch one that comes later."""
    cdef const Rows* X = &t.api.rows
    cdef Py_ssize_t i = t.order[at], size = X.d * <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t later = at + clamp(GATHERED_AHEAD // size, 1, MOST_GATHERED)
    cdef const real* row = <const real*>X.values + i * X.row_stride
    cdef const char* next = NULL
    cdef double square
    if X.col_stride != 1:
        copy_rows(X, &t.api.layout, i, 1, x)
        row = x
    elif later < t.count + t.after:
        next = <const char*>(<const real*>X.values + t.order[later] * X.row_stride)
    if later < t.count + t.after:
        fetch_facts(t.api, t.order[later])
    if t.api.factor or t.api.squares:
        square = take_row(X.d, row, t.api.shift, t.api.factor, next, x)
        if t.api.squares:
            t.api.squares[i] = square
    elif row != x:
        memcpy(x, row, size)
    end_rows(&t.api.layout, 1, x)


cdef inline void fetch_facts(const RowApi* api, Py_ssize_t i) noexcept nogil:
    """Prefetch the row's label and weight, and the place of its size."""
    if api.target.codes:
        FX_PREFETCH(api.target.codes + i)
    if api.target.row_weight:
        FX_PREFETCH(api.target.row_weight + i)
    if api.squares:
        FX_PREFETCH(api.squares + i)


cdef inline Target gathered_target(const RowApi* api) noexcept nogil:
    """The target of a gathered block: where gather_target puts it."""
    cdef Target target = api.target
    if target.codes:
        target.codes = api.codes
    else:
        target.soft = api.soft
    if target.row_weight:
        target.row_weight = api.weights
    return target


cdef inline void gather_target(const RowApi* api, Py_ssize_t i, Py_ssize_t r, const real* unused) noexcept nogil:
    """Make row i row r of the block."""
    cdef Py_ssize_t n = api.target.n_classes
    if api.target.codes:
        api.codes[r] = api.target.codes[i]
    else:
        memcpy(<real*>api.soft + r * n, <const real*>api.target.soft + i * n, n * sizeof(real))
    if api.target.row_weight:
        api.weights[r] = api.target.row_weight[i]


# ---- by name --------------------------------------------------------------------------------------------------------

cdef api double row_step(const RowApi* api, const Py_ssize_t* order, Py_ssize_t after, void* w, double w_scale,
                         double step, double intercept_step) noexcept nogil:
    """One stochastic step with row i = order[0]: W -= step * x_i q, b -= intercept_step * q; returns s_i loss_i before.

    after: how many rows come later in the order; the nearest are fetched meanwhile.
    """
    cdef RowCall t
    t.api, t.order, t.after, t.w, t.w_scale = api, order, after, w, w_scale
    t.step, t.intercept_step = step, intercept_step
    if api.layout.scheme == FEATURES:
        dispatch(api.is_double, &t, step_by_class, step_by_class)
    else:
        dispatch_index(api.is_double, api.rows.is_wide, &t, step_of_row, step_of_row, step_of_row, step_of_row)
    return t.loss


cdef api double row_gradient(const RowApi* api, const Py_ssize_t* order, Py_ssize_t after, void* w, double w_scale,
                             void* q) noexcept nogil:
    """s_i loss_i of row i = order[0], and its gradient with respect to the logits into q (K rounded up to registers).

    after: as in row_step.
    """
    cdef RowCall t
    t.api, t.order, t.after, t.w, t.w_scale, t.q = api, order, after, w, w_scale, q
    if api.layout.scheme == FEATURES:
        dispatch(api.is_double, &t, gradient_by_class, gradient_by_class)
    else:
        dispatch_index(api.is_double, api.rows.is_wide, &t, gradient_by_row, gradient_by_row, gradient_by_row,
                       gradient_by_row)
    return t.loss


cdef api void row_add(const RowApi* api, Py_ssize_t i, void* q, double factor, void* g) noexcept nogil:
    """g[j] += factor * x_ij q for the features j of row i, but not the intercept."""
    cdef RowCall t
    t.api, t.order, t.q, t.step, t.g = api, &i, q, factor, g
    if api.layout.scheme == FEATURES:
        dispatch(api.is_double, &t, add_by_class, add_by_class)
    else:
        dispatch_index(api.is_double, api.rows.is_wide, &t, add_by_row, add_by_row, add_by_row, add_by_row)


cdef api double batch_gradient(const RowApi* api, const Py_ssize_t* order, Py_ssize_t count, Py_ssize_t after, void* w,
                               void* g) noexcept nogil:
    """gradient_of_batch: only for a RowProblem of batches. after: how many rows come later in the order."""
    cdef RowCall t
    t.api, t.order, t.count, t.after, t.w, t.g = api, order, count, after, w, g
    dispatch(api.is_double, &t, gradient_of_batch, gradient_of_batch)
    return t.loss
