# Rows by number: what the jitted loops of fastxent.sgd call, one row or one minibatch at a time, in any order.
#
# Two schemes of weights, both flat, features first and the K intercepts behind them in one piece (at `intercept`):
#   rows      the SPARSE layout for every storage, ldw weights per feature; a dense row is a CSR row of all columns
#   batches   dense data in minibatches: the block layouts FEATURES and CLASSES, rows gathered into a block; FEATURES
#             also for single rows, if they are only to be stepped along
# Logits are bias + w_scale * x W, so that an L2 penalty costs one multiplication a step.
#
# Rows can be standardised on their way: (x_j - shift_j) factor_j takes the place of x_j, for all functions here. What
# that adds to a CSR row's own entries, -shift_j factor_j in all columns with a shift, is the same for each row:
# `offsets`.
#
# The functions at the end have C linkage under plain names; fastxent.sgd.bridge gives them to Numba. Change
# ROW_API_VERSION with any signature or meaning: compiled loops in caches of users call by it.

ROW_API_VERSION = 3

cdef enum:
    ROWS_AHEAD = 16                # how far ahead in the order row_step fetches where rows begin
    ENTRIES_AHEAD = 6              # ... and their entries

cdef struct RowApi:
    Rows rows
    Targets targets
    Layout layout
    bint is_double
    bint binary
    const int32_t* columns         # 0..d-1, the indices of a dense row
    char* row                      # a copy of one dense row, if its columns are not contiguous
    char* scratch
    Py_ssize_t* codes              # targets of a gathered block
    double* weights
    char* soft
    const char* shift              # of dense columns, or NULL: rows are taken as they are
    const char* factor
    Py_ssize_t n_offsets           # entries that every CSR row has besides its own
    const int32_t* offset_columns
    const char* offsets

cdef class RowProblem(LinearSoftmax):
    """Rows of X, their targets and scratch, bound for loops that name rows by number.

    Parameters are those of LinearSoftmax; `batches`, of dense X only, chooses the layouts of blocks, for minibatches
    of up to `batch` rows (1: if that is FEATURES; then it serves single rows). zeros: f(size, itemsize).
    One object serves one thread.
    """
    cdef RowApi api
    cdef object own, standard
    cdef readonly Py_ssize_t ld, intercept
    cdef readonly bint by_class    # FEATURES: weights (K, ld); else (d, ld)

    def __init__(self, X, K, target, n_classes, row_weight, class_weight, smoothing, bint batches,
                 Py_ssize_t batch, zeros):
        LinearSoftmax.__init__(self, X, K, target, n_classes, row_weight, class_weight, smoothing)
        cdef Py_ssize_t L = FX_LANES_F64 if self.is_double else FX_LANES_F32, itemsize = 8 if self.is_double else 4
        cdef Rows shape = self.rows
        shape.n = batch
        self.layout = plan(&shape, self.K, L, itemsize, False)
        if batches and self.layout.scheme == FEATURES and not self.layout.copy_rows:
            self.layout.copy_rows = True
            self.layout.tail = -1
            self.layout.ldx = round_up(self.d, L)
            self.layout.x_size = self.layout.block * self.layout.ldx
        if not batches or (batch == 1 and self.layout.scheme != FEATURES):
            shape.storage = CSR32
            self.layout = plan(&shape, self.K, L, itemsize, False)
            if self.rows.storage == DENSE and self.K > 1:  # neighbours are written in turn: they must not overlap
                self.layout.ldw = round_up(self.K, L)
                self.layout.narrow = 0
                self.layout.weights_size = (self.d + 1) * self.layout.ldw + L
            self.layout.z_size = self.layout.ldz = round_up(self.K, L) + L
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
        if self.rows.storage == DENSE:
            for j in range(self.d):
                named[j] = <int32_t>j
        self.api.rows = self.rows
        self.api.targets = self.targets
        self.api.layout = self.layout
        self.api.is_double = self.is_double
        self.api.binary = self.binary
        self.api.columns = named
        self.api.row = <char*>address(row, self.d * itemsize, True)
        self.api.scratch = self.buffer(scratch, size, True)
        self.api.codes = <Py_ssize_t*>address(codes, self.block * 8, True)
        self.api.weights = <double*>address(weights, self.block * 8, True)
        self.api.soft = <char*>address(soft, self.block * n_classes * itemsize, True)

    def standardise(self, shift=None, factor=None, offset_columns=None, offsets=None):
        """Take rows as (x - shift) * factor from now on; arrays of length d, and CSR rows' further entries.

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

    @property
    def address(self):
        """The address of what the functions below take as `api`; valid as long as this object is."""
        return <Py_ssize_t>&self.api


# ---- one row
# -----------------------------------------------------------------------------------------------------------

cdef inline Py_ssize_t stored_row(const RowApi* api, Py_ssize_t i, const real** x, const index** j) noexcept nogil:
    """Where CSR row i's entries and their column numbers stand; returns how many they are."""
    cdef const Rows* X = &api.rows
    cdef Py_ssize_t at = (<const index*>X.indptr)[i]
    x[0] = <const real*>X.values + at
    j[0] = <const index*>X.indices + at
    return (<const index*>X.indptr)[i + 1] - at


cdef inline Py_ssize_t find_row(const RowApi* api, Py_ssize_t i, const real** x, const index** j) noexcept nogil:
    """Row i's entries, as the functions here take them, and their column numbers; returns how many they are."""
    cdef const Rows* X = &api.rows
    cdef Py_ssize_t c, nnz
    cdef const real* source
    cdef const real* factor = <const real*>api.factor
    cdef real* copy = <real*>api.row
    if X.storage != DENSE:
        nnz = stored_row(api, i, x, j)
        if factor:
            for c in range(nnz):
                copy[c] = x[0][c] * factor[j[0][c]]
            x[0] = copy
        return nnz
    source = <const real*>X.values + i * X.row_stride
    x[0] = source
    j[0] = <const index*>api.columns
    if X.col_stride != 1 or factor:
        for c in range(X.d):
            copy[c] = source[c * X.col_stride]
        standardise_row(api, copy)
        x[0] = copy
    return X.d


cdef inline void standardise_row(const RowApi* api, real* x) noexcept nogil:
    """The same for a copy of a dense row."""
    cdef const real* shift = <const real*>api.shift
    cdef const real* factor = <const real*>api.factor
    cdef Py_ssize_t c
    if factor:
        for c in range(api.rows.d):
            x[c] = (x[c] - shift[c]) * factor[c]


cdef double gradient_of_row(const RowApi* api, Py_ssize_t i, Py_ssize_t nnz, const real* x, const index* j,
                            const real* w, double w_scale, real* q) noexcept nogil:
    """s_i loss_i; q (K rounded up to registers) becomes its gradient by logits, zero in the padding."""
    cdef const Layout* p = &api.layout
    cdef Scratch s = scratch_parts(p, <real*>api.scratch)
    cdef const real* bias = w + p.d * p.ldw
    cdef Py_ssize_t L = lanes(w), K = p.K, k
    cdef bint offsets = api.rows.storage != DENSE and api.n_offsets > 0
    cdef double loss
    if K == 1:
        q[0] = csr_dot_one(nnz, x, j, w)
        if offsets:
            q[0] += csr_dot_one(api.n_offsets, <const real*>api.offsets, api.offset_columns, w)
        q[0] = bias[0] + <real>w_scale * q[0]
        return binary_rows(&api.targets, i, q, q, 1, 1.0, <real*>NULL, &s.aux)
    memset(q, 0, round_up(K, L) * sizeof(real))
    csr_row_dot(K, p.narrow, p.ldw, nnz, 0, x, j, w, q)
    if offsets:
        csr_row_dot(K, p.narrow, p.ldw, api.n_offsets, 0, <const real*>api.offsets, api.offset_columns, w, q)
    for k in range(K):
        q[k] = bias[k] + <real>w_scale * q[k]
    loss = loss_rows(&api.targets, i, q, q, p.ldz, 1, 1, K, 1.0, <real*>NULL, &s.aux)
    for k in range(K, round_up(K, L)):
        q[k] = 0
    return loss


cdef void add_entries(const Layout* p, Py_ssize_t nnz, const real* x, const index* j, const real* q, real factor,
                      real* g, real* scaled) noexcept nogil:
    """g[j] += factor * x_j q for some features."""
    cdef Py_ssize_t L = lanes(q), K = p.K, k
    if K == 1:
        csr_add_one(nnz, x, j, factor * q[0], g)
        return
    for k in range(round_up(K, L)):
        scaled[k] = factor * q[k]
    csr_row_add(K, p.narrow, p.ldw, nnz, 0, x, j, scaled, g)


cdef inline void add_row(const RowApi* api, Py_ssize_t nnz, const real* x, const index* j, const real* q, real factor,
                         real* g, real* scaled) noexcept nogil:
    """The same for all features of a row; the intercept is the caller's."""
    add_entries(&api.layout, nnz, x, j, q, factor, g, scaled)
    if api.rows.storage != DENSE and api.n_offsets > 0:
        add_entries(&api.layout, api.n_offsets, <const real*>api.offsets, api.offset_columns, q, factor, g, scaled)


# Where features stand in lanes, nothing is padded, and a binary model has lanes, too.

cdef double gradient_by_class(const RowApi* api, Py_ssize_t i, const real* x, const real* w, double w_scale,
                              real* q) noexcept nogil:
    """gradient_of_row of dense row i, of which x is a copy."""
    cdef const Layout* p = &api.layout
    cdef Scratch s = scratch_parts(p, <real*>api.scratch)
    cdef const real* bias = w + p.K * p.ldw
    cdef Py_ssize_t k
    for k in range(p.K):
        q[k] = bias[k] + <real>w_scale * dot_row(x, w + k * p.ldw, p.d)
    if api.binary:
        return binary_rows(&api.targets, i, q, q, 1, 1.0, <real*>NULL, &s.aux)
    return loss_rows(&api.targets, i, q, q, p.K, 1, 1, p.K, 1.0, <real*>NULL, &s.aux)


cdef void add_by_class(const RowApi* api, const real* x, const real* q, real factor, real* g) noexcept nogil:
    """add_row of the same."""
    cdef Layout p = api.layout
    cdef Scratch s = scratch_parts(&p, <real*>api.scratch)
    cdef real* scaled = <real*>s.z
    cdef real* before = <real*>s.a
    cdef Py_ssize_t k, K = p.K
    for k in range(K):
        scaled[k] = factor * q[k]
    memcpy(before, g + K * p.ldw, K * sizeof(real))  # the intercept is the caller's
    p.ldz = 1
    features_gradient(&p, x, p.ldx, 1, scaled, g, &nothing_ahead)
    memcpy(g + K * p.ldw, before, K * sizeof(real))


cdef double step_by_class(const RowApi* api, Py_ssize_t i, real* w, double w_scale, double step,
                          double intercept_step) noexcept nogil:
    cdef const Layout* p = &api.layout
    cdef Scratch s = scratch_parts(p, <real*>api.scratch)
    cdef real* x = <real*>s.x
    cdef real* q = <real*>s.z
    cdef real* bias = w + p.K * p.ldw
    cdef Py_ssize_t k
    cdef double loss
    copy_rows(&api.rows, p, i, 1, x)
    standardise_row(api, x)
    loss = gradient_by_class(api, i, x, w, w_scale, q)
    for k in range(p.K):
        bias[k] -= <real>intercept_step * q[k]
    add_by_class(api, x, q, <real>-step, w)
    return loss


cdef inline void fetch_ahead(const RowApi* api, const Py_ssize_t* order, Py_ssize_t after, const real* w,
                             const index* unused) noexcept nogil:
    """Ask for what the next CSR rows of the order need, while the present one is worked on.

    Rows come in random order, so each is far away in memory: first where it begins and its label, then its entries,
    then the weights of its features, each once what names it has come.
    """
    cdef const char* line
    cdef const real* x
    cdef const index* j
    cdef Py_ssize_t at, k, nnz, size = api.layout.ldw * sizeof(real)
    if after >= ROWS_AHEAD:
        FX_PREFETCH(<const char*>(<const index*>api.rows.indptr + order[ROWS_AHEAD]))
        if api.targets.codes:
            FX_PREFETCH(<const char*>(api.targets.codes + order[ROWS_AHEAD]))
    if after >= ENTRIES_AHEAD:
        nnz = stored_row(api, order[ENTRIES_AHEAD], &x, &j)
        for at in range(0, nnz * <Py_ssize_t>sizeof(real) + 63, 64):
            FX_PREFETCH(<const char*>x + at)
        for at in range(0, nnz * <Py_ssize_t>sizeof(index) + 63, 64):
            FX_PREFETCH(<const char*>j + at)
    if after >= 1:
        nnz = stored_row(api, order[1], &x, &j)
        for at in range(nnz):
            line = <const char*>(w + j[at] * api.layout.ldw)
            for k in range(0, size, 64):
                FX_PREFETCH(line + k)


cdef double step_of_row(const RowApi* api, const Py_ssize_t* order, Py_ssize_t after, real* w, double w_scale,
                        double step, double intercept_step, const index* unused) noexcept nogil:
    cdef const Layout* p = &api.layout
    cdef Scratch s = scratch_parts(p, <real*>api.scratch)
    cdef real* q = <real*>s.z
    cdef real* bias = w + p.d * p.ldw
    cdef const real* x
    cdef const index* j
    cdef Py_ssize_t nnz, k
    cdef double loss
    if api.rows.storage != DENSE:
        fetch_ahead(api, order, after, w, unused)
    nnz = find_row(api, order[0], &x, &j)
    loss = gradient_of_row(api, order[0], nnz, x, j, w, w_scale, q)
    add_row(api, nnz, x, j, q, <real>-step, w, <real*>s.a)
    for k in range(p.K):
        bias[k] -= <real>intercept_step * q[k]
    return loss


# ---- a minibatch of gathered dense rows
# --------------------------------------------------------------------------------

cdef double gradient_of_batch(const RowApi* api, const Py_ssize_t* order, Py_ssize_t count, const real* w,
                              real* g) noexcept nogil:
    """Sum of s_i loss_i over the rows order[0..count); g += their gradient. Both in the layout of batches."""
    cdef const Layout* p = &api.layout
    cdef Scratch s = scratch_parts(p, <real*>api.scratch)
    cdef Targets targets = api.targets
    cdef real* x = <real*>s.x
    cdef real* z = <real*>s.z
    cdef Py_ssize_t b, r, i, rows, size = targets.n_classes * sizeof(real)
    cdef Py_ssize_t rs = 1 if p.rows_in_lanes else p.ldz, cs = p.ldz if p.rows_in_lanes else 1
    cdef double total = 0
    if targets.codes:
        targets.codes = api.codes
    else:
        targets.soft = api.soft
    if targets.row_weight:
        targets.row_weight = api.weights
    for b in range(steps(count, p.block)):
        rows = clamp(count - b * p.block, 0, p.block)
        for r in range(rows):
            i = order[b * p.block + r]
            copy_rows(&api.rows, p, i, 1, x + r * p.ldx)
            standardise_row(api, x + r * p.ldx)
            if targets.codes:
                api.codes[r] = api.targets.codes[i]
            else:
                memcpy(api.soft + r * size, api.targets.soft + i * size, size)
            if targets.row_weight:
                api.weights[r] = api.targets.row_weight[i]
        logits(&api.rows, p, 0, rows, x, w, z, <real*>s.panel, &nothing_ahead)
        if api.binary:
            total += binary_rows(&targets, 0, z, z, rows, 1.0, <real*>NULL, &s.aux)
        else:
            total += loss_rows(&targets, 0, z, z, rs, cs, rows, p.K, 1.0, <real*>NULL, &s.aux)
        gradient(&api.rows, p, 0, rows, x, z, g, <real*>s.panel, &nothing_ahead)
    return total


# ---- by name
# -----------------------------------------------------------------------------------------------------------

cdef api double row_step(const RowApi* api, const Py_ssize_t* order, Py_ssize_t after, void* w, double w_scale,
                         double step, double intercept_step) noexcept nogil:
    """One stochastic step with row i = order[0]: W -= step * x_i q, b -= intercept_step * q; returns s_i loss_i before.

    after: how many rows come later in the order; the nearest are fetched meanwhile.
    """
    if api.layout.scheme == FEATURES and api.is_double:
        return step_by_class(api, order[0], <double*>w, w_scale, step, intercept_step)
    if api.layout.scheme == FEATURES:
        return step_by_class(api, order[0], <float*>w, w_scale, step, intercept_step)
    if api.is_double and api.rows.storage != CSR64:
        return step_of_row(api, order, after, <double*>w, w_scale, step, intercept_step, <const int32_t*>NULL)
    if api.is_double:
        return step_of_row(api, order, after, <double*>w, w_scale, step, intercept_step, <const int64_t*>NULL)
    if api.rows.storage != CSR64:
        return step_of_row(api, order, after, <float*>w, w_scale, step, intercept_step, <const int32_t*>NULL)
    return step_of_row(api, order, after, <float*>w, w_scale, step, intercept_step, <const int64_t*>NULL)


cdef inline double row_gradient_of(const RowApi* api, const Py_ssize_t* order, Py_ssize_t after, real* w,
                                   double w_scale, real* q, const index* unused) noexcept nogil:
    cdef const real* x
    cdef const index* j
    cdef Py_ssize_t nnz
    cdef Scratch s
    if api.layout.scheme == FEATURES:
        s = scratch_parts(&api.layout, <real*>api.scratch)
        copy_rows(&api.rows, &api.layout, order[0], 1, <real*>s.x)
        standardise_row(api, <real*>s.x)
        return gradient_by_class(api, order[0], <const real*>s.x, w, w_scale, q)
    if api.rows.storage != DENSE:
        fetch_ahead(api, order, after, w, unused)
    nnz = find_row(api, order[0], &x, &j)
    return gradient_of_row(api, order[0], nnz, x, j, w, w_scale, q)


cdef api double row_gradient(const RowApi* api, const Py_ssize_t* order, Py_ssize_t after, void* w, double w_scale,
                             void* q) noexcept nogil:
    """s_i loss_i of row i = order[0], and its gradient with respect to the logits into q (K rounded up to registers).

    after: as in row_step.
    """
    if api.is_double and api.rows.storage != CSR64:
        return row_gradient_of(api, order, after, <double*>w, w_scale, <double*>q, <const int32_t*>NULL)
    if api.is_double:
        return row_gradient_of(api, order, after, <double*>w, w_scale, <double*>q, <const int64_t*>NULL)
    if api.rows.storage != CSR64:
        return row_gradient_of(api, order, after, <float*>w, w_scale, <float*>q, <const int32_t*>NULL)
    return row_gradient_of(api, order, after, <float*>w, w_scale, <float*>q, <const int64_t*>NULL)


cdef inline void row_add_to(const RowApi* api, Py_ssize_t i, real* q, double factor, real* g,
                            const index* unused) noexcept nogil:
    cdef const Layout* p = &api.layout
    cdef Scratch s = scratch_parts(p, <real*>api.scratch)
    cdef const real* x
    cdef const index* j
    cdef Py_ssize_t nnz
    if p.scheme == FEATURES:
        copy_rows(&api.rows, p, i, 1, <real*>s.x)
        standardise_row(api, <real*>s.x)
        add_by_class(api, <const real*>s.x, q, <real>factor, g)
        return
    nnz = find_row(api, i, &x, &j)
    add_row(api, nnz, x, j, q, <real>factor, g, <real*>s.a)


cdef api void row_add(const RowApi* api, Py_ssize_t i, void* q, double factor, void* g) noexcept nogil:
    """g[j] += factor * x_ij q for the features j of row i, but not the intercept."""
    if api.is_double and api.rows.storage != CSR64:
        row_add_to(api, i, <double*>q, factor, <double*>g, <const int32_t*>NULL)
    elif api.is_double:
        row_add_to(api, i, <double*>q, factor, <double*>g, <const int64_t*>NULL)
    elif api.rows.storage != CSR64:
        row_add_to(api, i, <float*>q, factor, <float*>g, <const int32_t*>NULL)
    else:
        row_add_to(api, i, <float*>q, factor, <float*>g, <const int64_t*>NULL)


cdef api double batch_gradient(const RowApi* api, const Py_ssize_t* order, Py_ssize_t count, void* w,
                               void* g) noexcept nogil:
    """gradient_of_batch: only for a RowProblem of batches."""
    if api.is_double:
        return gradient_of_batch(api, order, count, <double*>w, <double*>g)
    return gradient_of_batch(api, order, count, <float*>w, <float*>g)
