# The two products of a block of rows: logits Z = X W + b, and gradient G += X^T Q, b included. This is the seam: what
# is above it sees rows, logits and gradients, never storage, tiles or padding.
#
# One Layout, fixed by storage, shape and dtype, says how weights and gradient stand while the kernels run:
#   FEATURES  dense, few classes   weights (K, ldw): a row of features per class, intercepts (K) behind them.
#                                  Logits by the outer tile over rows, from squares of the block turned in the
#                                  second-level cache, gradient by the outer tile over features: X is read from memory
#                                  once for both, while the tiles multiply the block before, and no lane is wasted on
#                                  padding classes. Very few classes: logits by the dot tile, X in place. X in Fortran
#                                  order: the tiles change places.
#   CLASSES   dense, many classes  weights and gradient as the caller has them, (d + 1, K). X is copied by blocks, with
#                                  a column of ones; panels of classes are copied as they are used.
#   SPARSE    CSR                  weights (d + 1, ldw): classes contiguous, padded to whole registers.

ctypedef enum Storage:
    DENSE
    CSR32
    CSR64

ctypedef enum Scheme:
    FEATURES
    CLASSES
    SPARSE

cdef enum:
    CONTRACTION = 128      # features of a panel of CLASSES: with 4 registers of classes it fills the first-level cache
    FEW_CLASSES = 12       # FEATURES up to here; up to twice that where CLASSES would pad by a third
    FETCHED_LINES = 256    # cache lines of weights that a sparse loop fetches ahead: a third of the first-level cache
    FAR = 524288           # bytes of weights from which it does
    MANY_CLASSES = 64      # FEATURES up to here, too, for weights of no more bytes than
    MANY_WEIGHTS = 1048576
    BLOCK_BYTES = 262144   # of a block of FEATURES
    TURNED_CLASSES = 5     # from here (half the registers: 9) turning a block costs less than rows read in place, where
    TURNED_FEATURES = 64   # most registers straddle cache lines, and sums across registers; so many columns at a time
    COLUMN_CLASSES = 4     # columns of X in Fortran order are read in place up to here, or if they are no more than
    COLUMN_FEATURES = 100
    FEW_LANES = 16         # up to here a sparse block is turned so that rows stand in lanes

cdef struct Rows:
    Storage storage
    Py_ssize_t n
    Py_ssize_t d
    const char* values             # dense entries, or the CSR data
    Py_ssize_t row_stride          # dense, in entries
    Py_ssize_t col_stride
    const char* indices
    const char* indptr

cdef struct Layout:
    Scheme scheme
    Py_ssize_t K                   # columns of logits
    Py_ssize_t d
    bint copy_rows                 # X is copied to scratch by blocks
    Py_ssize_t ldx                 # row length of that copy
    Py_ssize_t ldw                 # row length of weights and gradient
    int narrow                     # SPARSE: lanes of the narrow register that ends a row, or 0
    Py_ssize_t ahead               # SPARSE: non-zeros between fetching a row of weights and using it, or 0
    bint columns                   # FEATURES: whole registers of rows of X in Fortran order are read in place
    Py_ssize_t turned              # FEATURES: logits from X turned in scratch by so many columns (or twice), or 0
    Py_ssize_t ldt                 # row length of a turned block
    int lines                      # FEATURES: cache lines fetched ahead a step of a tile, or 0
    Py_ssize_t tail                # FEATURES: where a row's last, partial register is read from, or -1
    Py_ssize_t block               # rows of a block
    bint rows_in_lanes
    Py_ssize_t ldz
    Py_ssize_t weights_size        # entries
    Py_ssize_t z_size
    Py_ssize_t x_size
    Py_ssize_t panel_size


# Rows that come next, fetched while tiles multiply, in the order of their addresses: that is what hardware goes on with
# by itself. Multiplying and reading take turns otherwise, and add up.
cdef struct Ahead:
    const char* at
    const char* stop
    int lines                      # cache lines a step of a tile


cdef Ahead nothing_ahead           # zeros


cdef inline const char* fetched(Ahead* ahead, Py_ssize_t T) noexcept nogil:
    """What a tile of T steps fetches, or NULL."""
    cdef const char* at = ahead.at
    if at >= ahead.stop:
        return NULL
    ahead.at = at + T * ahead.lines * 64
    return at


cdef Layout plan(const Rows* X, Py_ssize_t K, Py_ssize_t L, Py_ssize_t itemsize, bint shared) noexcept nogil:
    """The layout for this storage, shape and register width L. Never depends on the number of threads."""
    cdef Layout p
    cdef Py_ssize_t d = X.d, n = X.n if X.n > 0 else 1, tile
    p.K = K
    p.d = d
    p.tail = -1
    p.narrow = p.ahead = 0
    p.copy_rows = p.columns = False
    p.lines = 0
    p.turned = p.ldt = p.ldx = p.x_size = p.panel_size = 0
    if X.storage != DENSE:
        p.scheme = SPARSE
        p.rows_in_lanes = K <= FEW_LANES
        # Whole registers read fastest, unless a quarter were padding: then a narrow register ends the row, of 4 lanes,
        # or 8, and the weights crowd the cache less.
        p.ldw = round_up(K, L) if K > 1 else 1
        if 4 * K <= 3 * p.ldw and L >= 8:
            p.narrow = 4 if K % L <= 4 else 8 if L == 16 and K % L <= 8 else 0
            if p.narrow:
                p.ldw = K // L * L + p.narrow
        p.weights_size = (d + 1) * p.ldw + L
        if p.weights_size * itemsize > FAR:
            p.ahead = clamp(FETCHED_LINES * 64 // (clamp(p.ldw, 1, 8 * L) * itemsize), 16, 64)
        p.block = clamp(32768 // (p.ldw * itemsize), 16, 256)
        p.panel_size = round_up(K, L)
    elif (K <= FEW_CLASSES or (K <= 2 * FEW_CLASSES and 4 * K <= 3 * round_up(K, L))
          or (K <= MANY_CLASSES and d * K * itemsize <= MANY_WEIGHTS and n >= 4 * L)):
        p.scheme = FEATURES
        p.rows_in_lanes = True
        # In place, many classes would read the columns again and again, the more there are the farther away.
        p.columns = X.col_stride != 1 and (K <= COLUMN_CLASSES or d <= COLUMN_FEATURES)
        if p.columns or d < L or K >= (TURNED_CLASSES if FX_TILE == 24 else 2 * TURNED_CLASSES - 1):
            p.turned = TURNED_FEATURES
        if X.col_stride == 1 and 8 * X.row_stride <= 9 * d:
            p.lines = 1 if K > FX_TILE // 4 else 2  # a block's tiles have so many steps that this fetches the next one
        p.copy_rows = X.col_stride != 1 or d < L
        p.ldx = round_up(d, L) if p.copy_rows else X.row_stride
        p.ldw = round_up(d, L)
        if not p.copy_rows and d % L:
            p.tail = d - L
        p.weights_size = K * p.ldw + K
        # Whole tiles of rows; two blocks and what else they need stay in the second-level cache, unless it holds only
        # a few rows.
        tile = round_up(4 * L, 16) if FX_TILE == 24 else 48
        p.block = clamp(BLOCK_BYTES // (p.ldw * itemsize), 1, 256)
        p.block = clamp(p.block // tile * tile, tile, 256) if 2 * p.block >= tile else 32
    else:
        p.scheme = CLASSES
        p.rows_in_lanes = False
        p.copy_rows = True
        p.ldx = round_up(d + 1, L) + L  # not a multiple of a page: rows of a block would share cache sets
        p.ldw = K
        p.weights_size = (d + 1) * K
        p.block = 192 if shared else clamp(1048576 // (K * itemsize) // 24 * 24, 48, 192)
        p.panel_size = 4 * L * (CONTRACTION + 12)
    p.block = round_up(clamp(p.block, 1, n), 16)
    if p.rows_in_lanes:
        p.ldz = p.block + L  # as ldx: the classes of a row would share cache sets
        p.z_size = K * p.ldz
    else:
        p.ldz = round_up(K, L) + L
        p.z_size = p.block * p.ldz
    if p.copy_rows:
        p.x_size = p.block * p.ldx
    if p.turned:
        p.ldt = p.block + L  # not a multiple of a page
        p.panel_size = clamp(2 * p.turned, 0, p.ldw) * p.ldt
    return p


# ---- weights in and gradient out -----------------------------------------------------------------------------------

# A run: numbers that stand side by side in the layout, and in theta every `step`.
cdef struct Run:
    Py_ssize_t at                  # first place in the layout
    Py_ssize_t theta               # first place in theta
    Py_ssize_t step
    Py_ssize_t count               # may be negative: an empty run
    bint penalised


cdef inline Py_ssize_t run_count(const Layout* p, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
    return 3 * p.K if p.scheme == FEATURES else 2 if p.ldw == p.K else stop - first


cdef Run run_of(const Layout* p, Py_ssize_t L, Py_ssize_t first, Py_ssize_t stop, Py_ssize_t r) noexcept nogil:
    """Run r of those that hold rows first..stop of theta."""
    cdef Run run
    cdef Py_ssize_t k = r // 3, begin, whole = p.ldw - L if p.tail >= 0 else p.d
    run.penalised = True
    run.step = 1
    if p.scheme == FEATURES:
        run.step = p.K
        if r % 3 == 0:  # features in whole registers
            begin = first
            run.at = k * p.ldw + begin
            run.count = min(stop, whole) - begin
        elif r % 3 == 1:  # the last register, which begins with feature `tail`
            begin = max(first, whole)
            run.at = k * p.ldw + p.ldw - L + begin - p.tail
            run.count = min(stop, p.d) - begin if p.tail >= 0 else 0
        else:
            begin = p.d
            run.at = p.K * p.ldw + k
            run.count = stop - p.d
            run.penalised = False
        run.theta = begin * p.K + k
    elif p.ldw == p.K:
        begin = first if r == 0 else p.d
        run.at = run.theta = begin * p.K
        run.count = (min(stop, p.d) - begin if r == 0 else stop - p.d) * p.K
        run.penalised = r == 0
    else:
        begin = first + r
        run.at = begin * p.ldw
        run.theta = begin * p.K
        run.count = p.K
        run.penalised = begin < p.d
    return run


cdef void pack(const Layout* p, const source* theta, real* w, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
    """Rows first..stop of theta (d + 1, K) into the layout's weights; padding is left as it is (zero)."""
    cdef Run run
    cdef Py_ssize_t r, i
    cdef const source* t
    for r in range(run_count(p, first, stop)):
        run = run_of(p, lanes(w), first, stop, r)
        t = theta + run.theta
        if run.step == 1:
            for i in range(run.count):
                w[run.at + i] = <real>t[i]
        else:
            for i in range(run.count):
                w[run.at + i] = <real>t[i * run.step]


cdef void unpack(const Layout* p, const real** parts, Py_ssize_t n_parts, double scale, double l2, const source* theta,
                 source* out, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
    """out = scale * (sum of the partial gradients, in order, in double) + l2 * theta, for rows first..stop of theta."""
    cdef Run run
    cdef Py_ssize_t r, i, begin, width, part, at
    cdef double total[256]
    cdef double ridge
    cdef const real* g
    for r in range(run_count(p, first, stop)):
        run = run_of(p, lanes(parts[0]), first, stop, r)
        ridge = l2 if run.penalised else 0.0
        begin = 0
        while begin < run.count:
            width = min(run.count - begin, 256)
            for i in range(width):
                total[i] = 0
            for part in range(n_parts):
                g = parts[part] + run.at + begin
                for i in range(width):
                    total[i] += g[i]
            for i in range(width):
                total[i] *= scale
            at = run.theta + begin * run.step
            if ridge != 0:
                for i in range(width):
                    total[i] += ridge * theta[at + i * run.step]
            for i in range(width):
                out[at + i * run.step] = <source>total[i]
            begin += width


# ---- rows of X -----------------------------------------------------------------------------------------------------

cdef void turn_block(const real* a, Py_ssize_t lda, Py_ssize_t rows, Py_ssize_t columns, real* b,
                     Py_ssize_t ldb) noexcept nogil:
    """b[j, i] = a[i, j]: by squares of registers, the last of which overlap others, where one fits."""
    cdef Py_ssize_t i, j, r, c, L = lanes(a)
    if rows < L or columns < L:
        for j in range(columns):
            for i in range(rows):
                b[j * ldb + i] = a[i * lda + j]
        return
    for r in range(steps(rows, L)):
        i = clamp(r * L, 0, rows - L)
        for c in range(steps(columns, L)):
            j = clamp(c * L, 0, columns - L)
            turn_tile(a + i * lda + j, lda, b + j * ldb + i, ldb)


cdef void copy_rows(const Rows* X, const Layout* p, Py_ssize_t first, Py_ssize_t rows, real* x) noexcept nogil:
    """Rows of dense X into x (rows, ldx); behind them a one (CLASSES: the intercept's feature), or zeros."""
    cdef const real* source = <const real*>X.values + first * X.row_stride
    cdef Py_ssize_t i, j, d = X.d
    if X.col_stride == 1:
        for i in range(rows):
            memcpy(x + i * p.ldx, source + i * X.row_stride, d * sizeof(real))
    else:
        turn_block(source, X.col_stride, d, rows, x, p.ldx)
    if p.scheme == CLASSES:
        for i in range(rows):
            x[i * p.ldx + d] = 1
        return
    for i in range(rows):
        for j in range(d, p.ldx):
            x[i * p.ldx + j] = 0


# ---- FEATURES ------------------------------------------------------------------------------------------------------

cdef void intercepts_logits(const Layout* p, const real* w, real* z) noexcept nogil:
    cdef Py_ssize_t k, i
    for k in range(p.K):
        for i in range(p.ldz):
            z[k * p.ldz + i] = w[p.K * p.ldw + k]


cdef void features_logits(const Layout* p, const real* x, Py_ssize_t ldx, Py_ssize_t rows, const real* w,
                          real* z) noexcept nogil:
    cdef Py_ssize_t L = lanes(w), K = p.K, group, i, k, r, t, stop, T = p.ldw // L
    cdef Py_ssize_t chunk = clamp(24576 // (K * L * sizeof(real)), 8, T)
    cdef int classes
    cdef const real* row[FX_DOT_ROWS]
    if p.tail >= 0:
        T -= 1
    t = 0
    while t < T:
        stop = t + chunk if t + chunk < T else T
        for group in range(steps(rows, FX_DOT_ROWS)):
            i = group * FX_DOT_ROWS
            for r in range(FX_DOT_ROWS):
                row[r] = x + (i + r if i + r < rows else rows - 1) * ldx + t * L
            k = 0
            while k < K:
                classes = FX_DOT_CLASSES if K - k >= FX_DOT_CLASSES else <int>(K - k)
                dot_tile(classes, stop - t, p.tail - t * L if stop == T and p.tail >= 0 else -1, row,
                         FX_DOT_ROWS * ldx if k == 0 else 0, w + k * p.ldw + t * L, p.ldw, z + k * p.ldz + i, p.ldz)
                k += classes
        t = stop


cdef void turned_logits(const Layout* p, const real* xt, Py_ssize_t ldt, Py_ssize_t rows, const real* w, real* z,
                        Py_ssize_t first, Py_ssize_t stop, Ahead* ahead) noexcept nogil:
    """z += what features first..stop of a block add to its logits; xt (stop - first, ldt): whole registers of rows."""
    cdef Py_ssize_t L = lanes(w), K = p.K, T = steps(rows, L), k, t, groups, step, here, width
    cdef Py_ssize_t whole = p.ldw - L if p.tail >= 0 else p.d, widest = FX_TILE // 6 if FX_TILE == 24 else 3
    cdef int vecs, classes
    cdef const real* at
    if K * widest > FX_TILE:
        widest = 2
    groups = steps(K, clamp(FX_TILE // widest, 1, 12))
    step = steps(K, groups)
    t = 0
    while t < T:
        vecs = <int>clamp(T - t, 1, widest)
        k = 0
        while k < K:
            classes = <int>clamp(K - k, 1, step)
            here = first
            while here < stop:
                width = (stop if here >= whole or stop < whole else whole) - here
                at = w + k * p.ldw + here + (p.ldw - p.d if here >= whole else 0)  # the last register stands at the end
                outer_tile(classes, vecs, width, at, p.ldw, 1, xt + (here - first) * ldt + t * L, ldt,
                           z + k * p.ldz + t * L, p.ldz, fetched(ahead, width), ahead.lines)
                here += width
            k += classes
        t += vecs


cdef void columns_gradient(const Layout* p, const real* xt, Py_ssize_t ldt, Py_ssize_t rows, const real* q,
                           real* g) noexcept nogil:
    """features_gradient of the same, by the dot tile."""
    cdef Py_ssize_t L = lanes(q), K = p.K, d = p.d, group, j, k, c, r
    cdef int classes
    cdef const real* column[FX_DOT_ROWS]
    cdef real part[FX_DOT_ROWS * FX_DOT_CLASSES]
    for group in range(steps(d, FX_DOT_ROWS)):
        j = group * FX_DOT_ROWS
        for r in range(FX_DOT_ROWS):
            column[r] = xt + (j + r if j + r < d else d - 1) * ldt
        k = 0
        while k < K:
            classes = <int>clamp(K - k, 1, FX_DOT_CLASSES)
            memset(part, 0, sizeof(part))
            dot_tile(classes, rows // L, -1, column, 0, q + k * p.ldz, p.ldz, part, FX_DOT_ROWS)
            for c in range(classes):
                for r in range(clamp(d - j, 0, FX_DOT_ROWS)):
                    g[(k + c) * p.ldw + j + r] += part[c * FX_DOT_ROWS + r]
            k += classes
    intercepts_gradient(p, rows, q, g)


cdef void intercepts_gradient(const Layout* p, Py_ssize_t rows, const real* q, real* g) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(p.K):
        g[p.K * p.ldw + k] += sum_row(q + k * p.ldz, rows)


cdef void features_gradient(const Layout* p, const real* x, Py_ssize_t ldx, Py_ssize_t rows, const real* q,
                            real* g, Ahead* ahead) noexcept nogil:
    cdef Py_ssize_t L = lanes(q), K = p.K, k, f = 0, T = p.ldw // L, groups, step
    cdef Py_ssize_t widest = FX_TILE // 6 if FX_TILE == 24 else 3
    cdef int vecs, classes
    if p.tail >= 0:
        T -= 1
    while f <= T:
        if f < T:
            vecs = <int>(widest if T - f >= widest else T - f)
        elif p.tail >= 0:
            vecs = 1
        else:
            break
        groups = steps(K, FX_TILE // widest)
        step = steps(K, groups)  # classes spread evenly over the tiles
        k = 0
        while k < K:
            classes = <int>(step if K - k >= step else K - k)
            outer_tile(classes, vecs, rows, q + k * p.ldz, p.ldz, 1, x + (f * L if f < T else p.tail), ldx,
                       g + k * p.ldw + f * L, p.ldw, fetched(ahead, rows), ahead.lines)
            k += classes
        f += vecs
    intercepts_gradient(p, rows, q, g)


# ---- CLASSES -------------------------------------------------------------------------------------------------------

cdef inline int widest_panel(Py_ssize_t vecs) noexcept nogil:
    return <int>clamp(vecs, 1, 4 if FX_TILE == 24 else 3)


cdef inline int tile_rows(int vecs) noexcept nogil:
    return <int>clamp(FX_TILE // vecs, 1, 12)


cdef void classes_logits(const Layout* p, const real* x, Py_ssize_t rows, const real* w, Py_ssize_t first,
                         Py_ssize_t stop,
                         real* z, real* panel) noexcept nogil:
    """Logits of classes first..stop (first a multiple of the register width)."""
    cdef Py_ssize_t L = lanes(w), K = p.K, d1 = p.d + 1, k = first, j, j0, j1, i, chunk, group, width, l
    cdef int vecs, step
    for i in range(rows):
        memset(z + i * p.ldz + first, 0, ((round_up(stop, L) - first)) * sizeof(real))
    while k < stop:
        vecs = widest_panel(steps(stop - k, L))
        width = vecs * L if stop - k >= vecs * L else stop - k
        step = tile_rows(vecs)
        for chunk in range(steps(d1, CONTRACTION)):
            j0 = chunk * CONTRACTION
            j1 = j0 + clamp(d1 - j0, 0, CONTRACTION)
            for j in range(j0, j1):
                memcpy(panel + (j - j0) * vecs * L, w + j * K + k, width * sizeof(real))
                for l in range(width, vecs * L):
                    panel[(j - j0) * vecs * L + l] = 0
            for group in range(steps(rows, step)):
                i = group * step
                outer_tile(step if rows - i >= step else <int>(rows - i), vecs, j1 - j0, x + i * p.ldx + j0, p.ldx, 1,
                           panel, vecs * L, z + i * p.ldz + k, p.ldz)
        k += width


cdef void classes_gradient(const Layout* p, const real* x, Py_ssize_t rows, const real* q, Py_ssize_t first,
                           Py_ssize_t stop,
                           real* g, real* panel) noexcept nogil:
    cdef Py_ssize_t L = lanes(q), K = p.K, d1 = p.d + 1, k = first, j, r, l, group, width
    cdef int vecs, step, count
    while k < stop:
        vecs = widest_panel(steps(stop - k, L))
        width = vecs * L if stop - k >= vecs * L else stop - k
        step = tile_rows(vecs)
        for group in range(steps(d1, step)):
            j = group * step
            count = step if d1 - j >= step else <int>(d1 - j)
            if width == vecs * L:
                outer_tile(count, vecs, rows, x + j, 1, p.ldx, q + k, p.ldz, g + j * K + k, K)
            else:  # the last panel must not touch the next row's first classes
                memset(panel, 0, count * vecs * L * sizeof(real))
                outer_tile(count, vecs, rows, x + j, 1, p.ldx, q + k, p.ldz, panel, vecs * L)
                for r in range(count):
                    for l in range(width):
                        g[(j + r) * K + k + l] += panel[r * vecs * L + l]
        k += width


# ---- SPARSE --------------------------------------------------------------------------------------------------------

cdef inline int csr_tile(Py_ssize_t K, int narrow, Py_ssize_t first, Py_ssize_t L) noexcept nogil:
    """The tile of the classes from `first` on: eight registers at most, a narrow one last where the layout has one."""
    if narrow and K - first < 8 * L:
        return <int>((K - first) // L + 16 * narrow)
    return <int>clamp(steps(K - first, L), 1, 8)


cdef inline void csr_row_dot(Py_ssize_t K, int narrow, Py_ssize_t ld, Py_ssize_t nnz, Py_ssize_t ahead,
                             const real* x, const index* j, const real* w, real* z) noexcept nogil:
    """z += x W for one row. ahead: see Layout."""
    cdef Py_ssize_t L = lanes(w), k, chunk
    for chunk in range(steps(K, 8 * L)):
        k = chunk * 8 * L
        csr_dot_tile(csr_tile(K, narrow, k, L), nnz, ahead, x, j, w + k, ld, z + k)


cdef inline void csr_row_add(Py_ssize_t K, int narrow, Py_ssize_t ld, Py_ssize_t nnz, Py_ssize_t ahead,
                             const real* x, const index* j, const real* q, real* g) noexcept nogil:
    """G += x' q for one row; q has zeros up to a whole register."""
    cdef Py_ssize_t L = lanes(q), k, chunk
    for chunk in range(steps(K, 8 * L)):
        k = chunk * 8 * L
        csr_add_tile(csr_tile(K, narrow, k, L), nnz, ahead, x, j, q + k, g + k, ld)


cdef void sparse_logits(const Rows* X, const Layout* p, const index* unused, Py_ssize_t first, Py_ssize_t rows,
                        const real* w, real* z, real* one_row) noexcept nogil:
    cdef const real* x = <const real*>X.values
    cdef const index* j = <const index*>X.indices
    cdef const index* indptr = <const index*>X.indptr
    cdef const real* bias = w + p.d * p.ldw
    cdef Py_ssize_t L = lanes(w), K = p.K, i, k, at, nnz, ahead, last = indptr[X.n]
    cdef real* row
    for i in range(rows):
        at, nnz = indptr[first + i], indptr[first + i + 1] - indptr[first + i]
        if K == 1:
            z[i] = bias[0] + csr_dot_one(nnz, x + at, j + at, w)
            continue
        row = one_row if p.rows_in_lanes else z + i * p.ldz
        memcpy(row, bias, round_up(K, L) * sizeof(real))
        ahead = p.ahead if at + nnz + p.ahead <= last else 0
        csr_row_dot(K, p.narrow, p.ldw, nnz, ahead, x + at, j + at, w, row)
        if p.rows_in_lanes:
            for k in range(K):
                z[i + k * p.ldz] = row[k]


cdef void sparse_gradient(const Rows* X, const Layout* p, const index* unused, Py_ssize_t first, Py_ssize_t rows,
                          const real* q, real* g, real* one_row) noexcept nogil:
    cdef const real* x = <const real*>X.values
    cdef const index* j = <const index*>X.indices
    cdef const index* indptr = <const index*>X.indptr
    cdef real* bias = g + p.d * p.ldw
    cdef Py_ssize_t L = lanes(q), K = p.K, i, k, at, nnz, ahead, last = indptr[X.n]
    cdef const real* row
    memset(one_row, 0, round_up(K, L) * sizeof(real))
    for i in range(rows):
        at, nnz = indptr[first + i], indptr[first + i + 1] - indptr[first + i]
        if K == 1:
            csr_add_one(nnz, x + at, j + at, q[i], g)
            continue
        if p.rows_in_lanes:
            row = one_row
            for k in range(K):
                one_row[k] = q[i + k * p.ldz]
        else:
            row = q + i * p.ldz
        ahead = p.ahead if at + nnz + p.ahead <= last else 0
        csr_row_add(K, p.narrow, p.ldw, nnz, ahead, x + at, j + at, row, g)
        for k in range(K):
            bias[k] += row[k]
    if K == 1:
        bias[0] += sum_row(q, rows)


# ---- the seam ------------------------------------------------------------------------------------------------------

cdef const real* open_rows(const Rows* X, const Layout* p, Py_ssize_t first, Py_ssize_t rows, real* x,
                           Ahead* ahead) noexcept nogil:
    """The block's dense rows, ldx apart: in place where the tiles can read them so, else copied to x. NULL: by columns.

    ahead: becomes the rows after them, which the products fetch meanwhile.
    """
    cdef Py_ssize_t size = rows * X.row_stride * <Py_ssize_t>sizeof(real)
    ahead.at = ahead.stop = NULL
    ahead.lines = p.lines
    if p.lines and first + rows < X.n:
        ahead.at = X.values + first * X.row_stride * <Py_ssize_t>sizeof(real) + size
        ahead.stop = ahead.at + size
    if not p.copy_rows:
        return <const real*>X.values + first * X.row_stride
    if p.columns and rows % lanes(x) == 0:
        return NULL
    copy_rows(X, p, first, rows, x)
    return x


cdef void logits(const Rows* X, const Layout* p, Py_ssize_t first, Py_ssize_t rows, const real* x, const real* w,
                 real* z, real* panel, Ahead* ahead) noexcept nogil:
    """z = the block's logits. x, ahead: what open_rows gave."""
    cdef Py_ssize_t j, width
    if p.scheme == FEATURES:
        intercepts_logits(p, w, z)
    if p.scheme == FEATURES and x == NULL:
        turned_logits(p, <const real*>X.values + first, X.col_stride, rows, w, z, 0, p.d, ahead)
    elif p.turned:
        j = 0
        while j < p.d:
            width = p.d - j if p.d - j < 2 * p.turned else p.turned
            turn_block(x + j, p.ldx, rows, width if width >= lanes(x) else p.ldx, panel, p.ldt)
            turned_logits(p, panel, p.ldt, rows, w, z, j, j + width, ahead)
            j += width
    elif p.scheme == FEATURES:
        features_logits(p, x, p.ldx, rows, w, z)
    elif p.scheme == CLASSES:
        classes_logits(p, x, rows, w, 0, p.K, z, panel)
    elif X.storage == CSR32:
        sparse_logits(X, p, <const int32_t*>NULL, first, rows, w, z, panel)
    else:
        sparse_logits(X, p, <const int64_t*>NULL, first, rows, w, z, panel)


cdef void gradient(const Rows* X, const Layout* p, Py_ssize_t first, Py_ssize_t rows, const real* x, const real* q,
                   real* g, real* panel, Ahead* ahead) noexcept nogil:
    """g += the block's gradient, given q = dL/dz."""
    if p.scheme == FEATURES and x == NULL:
        columns_gradient(p, <const real*>X.values + first, X.col_stride, rows, q, g)
    elif p.scheme == FEATURES:
        features_gradient(p, x, p.ldx, rows, q, g, ahead)
    elif p.scheme == CLASSES:
        classes_gradient(p, x, rows, q, 0, p.K, g, panel)
    elif X.storage == CSR32:
        sparse_gradient(X, p, <const int32_t*>NULL, first, rows, q, g, panel)
    else:
        sparse_gradient(X, p, <const int64_t*>NULL, first, rows, q, g, panel)
