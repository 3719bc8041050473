# The two products of a block of rows: logits Z = X W + b, and gradient G += X^T Q, including b. Callers see rows,
# logits and gradients, but no storage, tiles or padding.
#
# A Layout, determined by storage, shape and dtype, is the memory layout of weights and gradient while the kernels run:
#   FEATURES  dense, few classes   weights (K, ldw): a row of features per class, the intercepts (K) after them.
#                                  Logits by the outer tile over rows, from squares of the block transposed in the
#                                  second-level cache; gradient by the outer tile over features. X is read from memory
#                                  once for both, while the tiles multiply the previous block, and no lane is wasted on
#                                  padding classes. Very few classes: logits by the dot tile, X in place. X in Fortran
#                                  order: the tiles exchange roles.
#   CLASSES   dense, many classes  weights and gradient in the caller's layout, (d + 1, K). X is copied by blocks, with
#                                  a column of ones; panels of classes are copied as they are used.
#   SPARSE    CSR                  weights (d + 1, ldw): classes contiguous, padded to whole registers.

ctypedef enum Scheme:
    FEATURES
    CLASSES
    SPARSE

cdef enum:
    FEW_CLASSES = 12       # FEATURES up to here; up to twice that where CLASSES would pad by a third
    MANY_CLASSES = 64      # FEATURES up to here, too, if the weights fit the second-level cache
    TURNED_CLASSES = 5     # from here (with half the registers: 9) transposing a block, TURNED_FEATURES columns at a
    TURNED_FEATURES = 64   # time, costs less than rows in place (registers straddle cache lines) and sums across lanes
    COLUMN_CLASSES = 4     # columns of X in Fortran order are read in place up to here, or if there are at most
    COLUMN_FEATURES = 100  # this number of them
    BLAS_WEIGHTS = 131072  # from this number of weights, BLAS multiplies CLASSES: the tiles would wait for memory. BLAS
    BLAS_SIDE = 64         # copies what it multiplies, which pays with this number of features and of classes,
    BLAS_ROWS = 512        # and of rows
    SHARED_LOGITS = 33554432   # most bytes of a block's logits that all threads share
    MOST_AHEAD = 64        # non-zeros between fetching a row of weights and using it
    FEW_LANES = 16         # up to here a sparse block is transposed so that rows are in lanes

cdef struct Rows:
    bint is_sparse                 # CSR; else dense
    bint is_wide                   # its indices have 64 bits, not 32
    Py_ssize_t n
    Py_ssize_t d
    const void* values             # dense entries, or the CSR data
    Py_ssize_t row_stride          # dense, in entries
    Py_ssize_t col_stride
    const void* indices
    const void* indptr
    bint has_one_value             # a CSR matrix whose stored values are all the same, for binary models
    double value                   # this one

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
    Py_ssize_t pace                # FEATURES: bytes fetched ahead a step of a tile, or 0
    Py_ssize_t tail                # FEATURES: where a row's last, partial register is read from, or -1
    Py_ssize_t depth               # CLASSES: features of a panel
    bint blas                      # CLASSES: products by BLAS, where it is to hand
    Py_ssize_t block               # rows of a block
    bint rows_in_lanes
    Py_ssize_t ldz
    Py_ssize_t weights_size        # entries
    Py_ssize_t z_size
    Py_ssize_t x_size
    Py_ssize_t panel_size
    Py_ssize_t strip_size          # entries of the logits of a strip (tiles.pxi), or 0


# The next rows, prefetched while tiles multiply; otherwise multiplying and reading alternate, and their times add up.
# They are prefetched in the order of their addresses, which hardware prefetchers recognise and continue.
cdef struct Ahead:
    const char* at
    const char* stop               # of rows one after the other
    Py_ssize_t pace                # bytes per step of a tile, up to 128
    const Py_ssize_t* row          # NULL, or the numbers of the rows that follow the one at `at`,
    Py_ssize_t count               # so many; -1: all have been fetched
    const char* base               # from here on so many bytes apart
    Py_ssize_t stride
    Py_ssize_t left                # steps of a tile that the row at `at` still needs
    Py_ssize_t length              # ... and a whole row

# A block of rows in progress: open_block fills it, and the products read it.
cdef struct Block:
    Py_ssize_t first
    const void* x                  # dense rows ldx apart; NULL: X is read by columns, or it is sparse
    void* panel                    # scratch of the products
    Shape shape                    # of the logits
    Ahead ahead

# A thread's scratch: two arrays of logits, those of a strip, a copy of rows, and numbers by row, each on a cache line.
cdef struct Scratch:
    void* x
    void* z
    void* a
    void* strip
    void* panel
    Aux aux


cdef inline Ahead nothing_ahead() noexcept nogil:
    cdef Ahead ahead
    memset(&ahead, 0, sizeof(ahead))
    return ahead


cdef inline Ahead rows_ahead(const Rows* X, const Layout* p, const Py_ssize_t* order, Py_ssize_t count,
                             const real* unused) noexcept nogil:
    """Return dense rows, given by number, that tiles prefetch, if they may."""
    cdef Ahead ahead = nothing_ahead()
    if p.pace and count > 0:
        ahead.pace, ahead.base, ahead.stride = p.pace, <const char*>X.values, X.row_stride * sizeof(real)
        ahead.length = ahead.left = steps(X.d * sizeof(real), p.pace)
        ahead.at, ahead.row, ahead.count = ahead.base + order[0] * ahead.stride, order + 1, count - 1
    return ahead


cdef inline void fetch_meanwhile(fx_outer* outer, Ahead* ahead, Py_ssize_t T) noexcept nogil:
    """Let a tile of T steps prefetch what is next, if there is enough."""
    cdef Py_ssize_t beyond = T - ahead.left, more
    outer.next, outer.left, outer.row = NULL, T, NULL
    if ahead.row == NULL:
        if ahead.at < ahead.stop:
            outer.next = ahead.at
            ahead.at += T * ahead.pace
        return
    if ahead.count < 0 or beyond > ahead.count * ahead.length:
        return
    outer.next, outer.left, outer.row = ahead.at, ahead.left, ahead.row
    outer.base, outer.stride, outer.length = ahead.base, ahead.stride, ahead.length
    if beyond < 0:
        ahead.at += T * ahead.pace
        ahead.left -= T
        return
    more = beyond // ahead.length  # whole rows after this one
    ahead.count -= more + 1
    if ahead.count >= 0:
        ahead.left = ahead.length - (beyond - more * ahead.length)
        ahead.at = ahead.base + ahead.row[more] * ahead.stride + (ahead.length - ahead.left) * ahead.pace
        ahead.row += more + 1


cdef inline Py_ssize_t pace_of(Py_ssize_t register_bytes, Py_ssize_t K) noexcept nogil:
    """Bytes fetched ahead in each step of the outer tiles, so that all steps of a block fetch the next block.

    A step multiplies about 5/6 of FX_TILE registers. For both products, a register of entries needs 2 K of them.
    A faster pace is slower: what the tiles wait for themselves has to queue. So it stays the same where no gradient
    follows, and half of the next block is left to the hardware.
    """
    return clamp(register_bytes * 5 * FX_TILE // (12 * K), 8, 128)


cdef Layout plan(const Rows* X, Py_ssize_t K, Py_ssize_t L, Py_ssize_t itemsize, bint shared) noexcept nogil:
    """Return the layout for this storage, shape and register width L. It never depends on the number of threads."""
    cdef Layout p
    cdef Py_ssize_t d = X.d, n = X.n if X.n > 0 else 1, tile
    p.K = K
    p.d = d
    p.tail = -1
    p.narrow = p.ahead = 0
    p.copy_rows = p.columns = p.blas = False
    p.pace = 0
    p.turned = p.ldt = p.ldx = p.x_size = p.panel_size = p.strip_size = p.depth = 0
    if X.is_sparse:
        p.scheme = SPARSE
        p.rows_in_lanes = K <= FEW_LANES
        # Whole registers are read fastest. If a quarter would be padding, a row ends with a narrow register of 4 or 8
        # lanes, so that more weights fit in the cache.
        p.ldw = round_up(K, L) if K > 1 else 1
        if 4 * K <= 3 * p.ldw and L >= 8:
            p.narrow = 4 if K % L <= 4 else 8 if L == 16 and K % L <= 8 else 0
            if p.narrow:
                p.ldw = K // L * L + p.narrow
        p.weights_size = (d + 1) * p.ldw + L
        if p.weights_size * itemsize > far_bytes():
            p.ahead = clamp(prefetched_bytes() // (clamp(p.ldw, 1, 8 * L) * itemsize), 16, MOST_AHEAD)
        p.block = clamp(sparse_logits_bytes() // (p.ldw * itemsize), 16, 256)
        p.panel_size = round_up(K, L)
    elif (K <= FEW_CLASSES or (K <= 2 * FEW_CLASSES and 4 * K <= 3 * round_up(K, L))
          or (K <= MANY_CLASSES and d * K * itemsize <= second_level() and n >= 4 * L)):
        p.scheme = FEATURES
        p.rows_in_lanes = True
        # With many classes, columns in place would be read several times, and from slower caches if there are more.
        p.columns = X.col_stride != 1 and (K <= COLUMN_CLASSES or d <= COLUMN_FEATURES)
        if p.columns or d < L or K >= (TURNED_CLASSES if FX_TILE == 24 else 2 * TURNED_CLASSES - 1):
            p.turned = TURNED_FEATURES
        if X.col_stride == 1 and 8 * X.row_stride <= 9 * d:
            p.pace = pace_of(L * itemsize, K) if p.turned else 64 if K > FX_TILE // 4 else 128
        p.copy_rows = X.col_stride != 1 or d < L
        p.ldx = round_up(d, L) if p.copy_rows else X.row_stride
        p.ldw = round_up(d, L)
        if not p.copy_rows and d % L:
            p.tail = d - L
        p.weights_size = K * p.ldw + K
        # Whole tiles of rows. Two blocks and their scratch fit in the second-level cache, unless rows are so long that
        # it holds only a few.
        tile = round_up(4 * L, 16) if FX_TILE == 24 else 48
        p.block = clamp(block_bytes() // (p.ldw * itemsize), 1, 256)
        p.block = clamp(p.block // tile * tile, tile, 256) if 2 * p.block >= tile else 32
    else:
        p.scheme = CLASSES
        p.rows_in_lanes = False
        p.copy_rows = True
        p.ldx = round_up(d + 1, L) + L  # not a multiple of a page, or the rows of a block would share cache sets
        p.ldw = K
        p.weights_size = (d + 1) * K
        p.blas = (n >= BLAS_ROWS and min(d, K) >= BLAS_SIDE and d * K >= BLAS_WEIGHTS
                  and max(p.ldx, K + 2 * L) <= LONGEST_OF_BLAS)
        if p.blas:  # each block reads and writes all of the gradient, so more rows are better
            p.block = clamp((SHARED_LOGITS if shared else blas_logits_bytes()) // (K * itemsize) // 16 * 16, 64, 512)
        else:  # whole tiles
            p.block = 192 if shared else clamp(logits_bytes() // (K * itemsize) // 24 * 24, 48, 192)
        p.depth = panel_features()
        p.panel_size = 4 * L * (p.depth + 12)
    p.block = round_up(clamp(p.block, 1, n), 16)
    if p.rows_in_lanes:
        p.ldz = p.block + L  # like ldx, or the classes of a row would share cache sets
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


# ---- scratch -------------------------------------------------------------------------------------------------------

cdef inline real* carve(real** at, Py_ssize_t size) noexcept nogil:
    cdef real* part = at[0]
    at[0] = part + round_up(size, 16)
    return part


cdef Aux aux_parts(real** at, Py_ssize_t rows) noexcept nogil:
    """Numbers by row; t is the caller's."""
    cdef Aux aux
    aux.t = NULL
    aux.m = carve(at, rows)
    aux.rest = carve(at, rows)
    aux.loss = carve(at, rows)
    aux.linear = carve(at, rows)
    aux.mass = carve(at, rows)
    aux.weight = carve(at, rows)
    aux.factor = carve(at, rows)
    return aux


cdef Scratch scratch_parts(const Layout* p, real* scratch) noexcept nogil:
    cdef Scratch s
    cdef real* at = scratch
    s.panel = carve(&at, p.panel_size)
    s.x = carve(&at, p.x_size)
    s.z = carve(&at, p.z_size)
    s.a = carve(&at, p.z_size)
    s.strip = carve(&at, p.strip_size)
    s.aux = aux_parts(&at, p.block)
    s.aux.t = at
    return s


cdef Py_ssize_t scratch_entries(const Layout* p, Py_ssize_t n_classes) noexcept nogil:
    """How many scratch_parts deals out: 13 parts, each rounded up by less than 16."""
    return p.x_size + p.panel_size + 2 * p.z_size + p.strip_size + 7 * p.block + n_classes + 13 * 16


# ---- weights in and gradient out -----------------------------------------------------------------------------------

# A run: numbers that are contiguous in the layout, and `step` apart in theta.
cdef struct Run:
    Py_ssize_t at                  # first place in the layout
    Py_ssize_t theta               # first place in theta
    Py_ssize_t step
    Py_ssize_t count               # may be negative: an empty run
    bint penalised

# Rows first..stop of theta (d + 1, K), to be packed or unpacked.
cdef struct Packing:
    const Layout* layout
    const void* theta
    Py_ssize_t first
    Py_ssize_t stop
    void* weights
    const void** parts             # gradients in the layout, to be added up
    Py_ssize_t n_parts
    double scale
    double l2
    void* out


cdef inline Py_ssize_t run_count(const Layout* p, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
    return 3 * p.K if p.scheme == FEATURES else 2 if p.ldw == p.K else stop - first


cdef Run run_of(const Layout* p, Py_ssize_t L, Py_ssize_t first, Py_ssize_t stop, Py_ssize_t r) noexcept nogil:
    """Return run r of the runs with rows first..stop of theta."""
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


cdef void pack(void* task, const real* unused, const other* theta) noexcept nogil:
    """Write rows of theta into the layout's weights; the padding keeps its zeros."""
    cdef const Packing* t = <const Packing*>task
    cdef real* w = <real*>t.weights
    cdef Run run
    cdef Py_ssize_t r, i
    for r in range(run_count(t.layout, t.first, t.stop)):
        run = run_of(t.layout, lanes(w), t.first, t.stop, r)
        theta = <const other*>t.theta + run.theta
        if run.step == 1:
            for i in range(run.count):
                w[run.at + i] = <real>theta[i]
        else:
            for i in range(run.count):
                w[run.at + i] = <real>theta[i * run.step]


cdef void unpack(void* task, const real* g, const other* theta) noexcept nogil:
    """out = scale * (sum of the gradients, in order, in double) + l2 * theta."""
    cdef const Packing* t = <const Packing*>task
    cdef other* out = <other*>t.out
    cdef Run run
    cdef Py_ssize_t r, i, begin, width, part, at
    cdef double total[256]
    cdef double ridge
    theta = <const other*>t.theta
    for r in range(run_count(t.layout, t.first, t.stop)):
        run = run_of(t.layout, lanes(g), t.first, t.stop, r)
        ridge = t.l2 if run.penalised else 0.0
        begin = 0
        while begin < run.count:
            width = min(run.count - begin, 256)
            for i in range(width):
                total[i] = 0
            for part in range(t.n_parts):
                g = <const real*>t.parts[part] + run.at + begin
                for i in range(width):
                    total[i] += g[i]
            for i in range(width):
                total[i] *= t.scale
            at = run.theta + begin * run.step
            if ridge != 0:
                for i in range(width):
                    total[i] += ridge * theta[at + i * run.step]
            for i in range(width):
                out[at + i * run.step] = <other>total[i]
            begin += width


cdef void shift_bias(void* task, const real* unused) noexcept nogil:
    """Add theta (K,), double, to the intercepts of the layout SPARSE."""
    cdef const Packing* t = <const Packing*>task
    cdef real* bias = <real*>t.weights + t.layout.d * t.layout.ldw
    cdef Py_ssize_t k
    for k in range(t.layout.K):
        bias[k] += <real>(<const double*>t.theta)[k]


# ---- rows of X -----------------------------------------------------------------------------------------------------

cdef void turn_block(const real* a, Py_ssize_t lda, Py_ssize_t rows, Py_ssize_t columns, real* b,
                     Py_ssize_t ldb) noexcept nogil:
    """b[j, i] = a[i, j], by squares of registers if one fits; the last squares overlap others."""
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
    """Copy rows of dense X into x (rows, ldx), each followed by a one (CLASSES: the intercept's feature), or zeros."""
    cdef const real* source = <const real*>X.values + first * X.row_stride
    cdef Py_ssize_t i, d = X.d
    if X.col_stride == 1:
        for i in range(rows):
            memcpy(x + i * p.ldx, source + i * X.row_stride, d * sizeof(real))
    else:
        turn_block(source, X.col_stride, d, rows, x, p.ldx)
    end_rows(p, rows, x)


cdef inline void end_rows(const Layout* p, Py_ssize_t rows, real* x) noexcept nogil:
    """Write what follows each of these copies of rows."""
    cdef Py_ssize_t i, j
    if p.scheme == CLASSES:
        for i in range(rows):
            x[i * p.ldx + p.d] = 1
        return
    for i in range(rows):
        for j in range(p.d, p.ldx):
            x[i * p.ldx + j] = 0


# ---- FEATURES ------------------------------------------------------------------------------------------------------

cdef void intercepts_logits(const Layout* p, const real* w, real* z) noexcept nogil:
    cdef Py_ssize_t k, i
    for k in range(p.K):
        for i in range(p.ldz):
            z[k * p.ldz + i] = w[p.K * p.ldw + k]


cdef void features_logits(const Layout* p, const real* x, Py_ssize_t rows, const real* w, real* z) noexcept nogil:
    """z += X W by the dot tile, in pieces of features whose weights stay in the first-level cache."""
    cdef Py_ssize_t L = lanes(w), K = p.K, group, i, k, r, t, stop, T = p.ldw // L
    cdef Py_ssize_t chunk = clamp(piece_bytes() // (K * L * <Py_ssize_t>sizeof(real)), 8, T)
    cdef int classes
    cdef const real* row[FX_DOT_ROWS]
    cdef fx_dot dot
    if p.tail >= 0:
        T -= 1
    dot.ldw, dot.ldz = p.ldw, p.ldz
    t = 0
    while t < T:
        stop = t + chunk if t + chunk < T else T
        dot.T = stop - t
        dot.tail = p.tail - t * L if stop == T and p.tail >= 0 else -1
        for group in range(steps(rows, FX_DOT_ROWS)):
            i = group * FX_DOT_ROWS
            for r in range(FX_DOT_ROWS):
                row[r] = x + (i + r if i + r < rows else rows - 1) * p.ldx + t * L
            k = 0
            while k < K:
                classes = FX_DOT_CLASSES if K - k >= FX_DOT_CLASSES else <int>(K - k)
                dot.ahead = FX_DOT_ROWS * p.ldx if k == 0 else 0
                dot_tile(classes, row, w + k * p.ldw + t * L, z + k * p.ldz + i, &dot)
                k += classes
        t = stop


# Features first..stop of a block: columns of X, whole registers of their rows, `stride` apart.
cdef struct Turned:
    const void* at
    Py_ssize_t stride
    Py_ssize_t first
    Py_ssize_t stop


cdef void turned_logits(const Layout* p, const Turned* x, Py_ssize_t rows, const real* w, real* z,
                        Ahead* ahead) noexcept nogil:
    """Add some features' part of a block's logits to z, by the outer tile over rows."""
    cdef Py_ssize_t L = lanes(w), K = p.K, T = steps(rows, L), k, t, groups, step, here, width
    cdef Py_ssize_t whole = p.ldw - L if p.tail >= 0 else p.d, widest = FX_TILE // 6 if FX_TILE == 24 else 3
    cdef int vecs, classes
    cdef const real* at
    cdef fx_outer outer
    if K * widest > FX_TILE:
        widest = 2
    groups = steps(K, clamp(FX_TILE // widest, 1, 12))
    step = steps(K, groups)
    outer.rs, outer.cs, outer.bs, outer.ldc, outer.pace = p.ldw, 1, x.stride, p.ldz, ahead.pace
    t = 0
    while t < T:
        vecs = <int>clamp(T - t, 1, widest)
        k = 0
        while k < K:
            classes = <int>clamp(K - k, 1, step)
            here = x.first
            while here < x.stop:
                width = (x.stop if here >= whole or x.stop < whole else whole) - here
                at = w + k * p.ldw + here + (p.ldw - p.d if here >= whole else 0)  # the last register stands at the end
                fetch_meanwhile(&outer, ahead, width)
                outer_tile(classes, vecs, width, at, <const real*>x.at + (here - x.first) * x.stride + t * L,
                           z + k * p.ldz + t * L, &outer)
                here += width
            k += classes
        t += vecs


cdef void columns_gradient(const Layout* p, const real* xt, Py_ssize_t stride, Py_ssize_t rows, const real* q,
                           real* g) noexcept nogil:
    """features_gradient of the same columns, by the dot tile."""
    cdef Py_ssize_t L = lanes(q), K = p.K, d = p.d, group, j, k, c, r
    cdef int classes
    cdef const real* column[FX_DOT_ROWS]
    cdef real part[FX_DOT_ROWS * FX_DOT_CLASSES]
    cdef fx_dot dot
    dot.T, dot.tail, dot.ahead, dot.ldw, dot.ldz = rows // L, -1, 0, p.ldz, FX_DOT_ROWS
    for group in range(steps(d, FX_DOT_ROWS)):
        j = group * FX_DOT_ROWS
        for r in range(FX_DOT_ROWS):
            column[r] = xt + (j + r if j + r < d else d - 1) * stride
        k = 0
        while k < K:
            classes = <int>clamp(K - k, 1, FX_DOT_CLASSES)
            memset(part, 0, sizeof(part))
            dot_tile(classes, column, q + k * p.ldz, part, &dot)
            for c in range(classes):
                for r in range(clamp(d - j, 0, FX_DOT_ROWS)):
                    g[(k + c) * p.ldw + j + r] += part[c * FX_DOT_ROWS + r]
            k += classes
    intercepts_gradient(p, rows, q, g)


cdef void intercepts_gradient(const Layout* p, Py_ssize_t rows, const real* q, real* g) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(p.K):
        g[p.K * p.ldw + k] += sum_row(q + k * p.ldz, rows)


cdef void features_gradient(const Layout* p, const real* x, Py_ssize_t rows, const real* q, real* g,
                            Ahead* ahead) noexcept nogil:
    """g += X^T Q by the outer tile over features."""
    cdef Py_ssize_t L = lanes(q), K = p.K, k, f = 0, T = p.ldw // L, groups, step
    cdef Py_ssize_t widest = FX_TILE // 6 if FX_TILE == 24 else 3
    cdef int vecs, classes
    cdef fx_outer outer
    if p.tail >= 0:
        T -= 1
    outer.rs, outer.cs, outer.bs, outer.ldc, outer.pace = p.ldz, 1, p.ldx, p.ldw, ahead.pace
    while f <= T:
        if f < T:
            vecs = <int>(widest if T - f >= widest else T - f)
        elif p.tail >= 0:
            vecs = 1
        else:
            break
        groups = steps(K, FX_TILE // widest)
        step = steps(K, groups)  # classes distributed evenly over the tiles
        k = 0
        while k < K:
            classes = <int>(step if K - k >= step else K - k)
            fetch_meanwhile(&outer, ahead, rows)
            outer_tile(classes, vecs, rows, q + k * p.ldz, x + (f * L if f < T else p.tail), g + k * p.ldw + f * L,
                       &outer)
            k += classes
        f += vecs
    intercepts_gradient(p, rows, q, g)


# ---- CLASSES -------------------------------------------------------------------------------------------------------

cdef inline int widest_panel(Py_ssize_t vecs) noexcept nogil:
    return <int>clamp(vecs, 1, 4 if FX_TILE == 24 else 3)


cdef inline int tile_rows(int vecs) noexcept nogil:
    return <int>clamp(FX_TILE // vecs, 1, 12)


cdef void classes_logits(const Layout* p, const real* x, Py_ssize_t rows, const real* w, Py_ssize_t first,
                         Py_ssize_t stop, real* z, real* panel) noexcept nogil:
    """Logits of classes first..stop (first a multiple of the register width)."""
    cdef Py_ssize_t L = lanes(w), K = p.K, d1 = p.d + 1, k = first, j, j0, j1, i, chunk, group, width, l
    cdef int vecs, step
    cdef fx_outer outer
    cdef Gemm t
    outer.rs, outer.cs, outer.ldc, outer.next = p.ldx, 1, p.ldz, NULL
    if p.blas and has_blas():
        for i in range(rows):  # the last register's padding
            memset(z + i * p.ldz + stop, 0, (round_up(stop, L) - stop) * sizeof(real))
        t.turned, t.rows, t.columns, t.depth, t.beta = False, rows, stop - first, d1, 0
        t.lda, t.ldb, t.ldc = p.ldx, K, p.ldz
        gemm(&t, x, w + first, z + first)
        return
    for i in range(rows):
        memset(z + i * p.ldz + first, 0, ((round_up(stop, L) - first)) * sizeof(real))
    while k < stop:
        vecs = widest_panel(steps(stop - k, L))
        width = vecs * L if stop - k >= vecs * L else stop - k
        step = tile_rows(vecs)
        outer.bs = vecs * L
        for chunk in range(steps(d1, p.depth)):
            j0 = chunk * p.depth
            j1 = j0 + clamp(d1 - j0, 0, p.depth)
            for j in range(j0, j1):
                memcpy(panel + (j - j0) * vecs * L, w + j * K + k, width * sizeof(real))
                for l in range(width, vecs * L):
                    panel[(j - j0) * vecs * L + l] = 0
            for group in range(steps(rows, step)):
                i = group * step
                outer_tile(step if rows - i >= step else <int>(rows - i), vecs, j1 - j0, x + i * p.ldx + j0, panel,
                           z + i * p.ldz + k, &outer)
        k += width


cdef void classes_gradient(const Layout* p, const real* x, Py_ssize_t rows, const real* q, Py_ssize_t first,
                           Py_ssize_t stop, real* g, real* panel) noexcept nogil:
    cdef Py_ssize_t L = lanes(q), K = p.K, d1 = p.d + 1, k = first, j, r, l, group, width
    cdef int vecs, step, count
    cdef fx_outer outer
    cdef Gemm t
    outer.rs, outer.cs, outer.bs, outer.next = 1, p.ldx, p.ldz, NULL
    if p.blas and has_blas():
        t.turned, t.rows, t.columns, t.depth, t.beta = True, d1, stop - first, rows, 1
        t.lda, t.ldb, t.ldc = p.ldx, p.ldz, K
        gemm(&t, x, q + first, g + first)
        return
    while k < stop:
        vecs = widest_panel(steps(stop - k, L))
        width = vecs * L if stop - k >= vecs * L else stop - k
        step = tile_rows(vecs)
        outer.ldc = K if width == vecs * L else vecs * L
        for group in range(steps(d1, step)):
            j = group * step
            count = step if d1 - j >= step else <int>(d1 - j)
            if width == vecs * L:
                outer_tile(count, vecs, rows, x + j, q + k, g + j * K + k, &outer)
            else:  # the last panel must not touch the next row's first classes
                memset(panel, 0, count * vecs * L * sizeof(real))
                outer_tile(count, vecs, rows, x + j, q + k, panel, &outer)
                for r in range(count):
                    for l in range(width):
                        g[(j + r) * K + k + l] += panel[r * vecs * L + l]
        k += width


# ---- SPARSE --------------------------------------------------------------------------------------------------------

cdef inline int csr_tile(Py_ssize_t K, int narrow, Py_ssize_t first, Py_ssize_t L) noexcept nogil:
    """The tile of the classes from `first` on: at most eight registers, a narrow one last where the layout has one."""
    if narrow and K - first < 8 * L:
        return <int>((K - first) // L + 16 * narrow)
    return <int>clamp(steps(K - first, L), 1, 8)


cdef inline void csr_row_dot(const Layout* p, Py_ssize_t nnz, Py_ssize_t ahead, const real* x, const index* j,
                             const real* w, real* z) noexcept nogil:
    """z += x W for one row. ahead: from `safely_ahead`, or 0."""
    cdef Py_ssize_t L = lanes(w), k, chunk
    for chunk in range(steps(p.K, 8 * L)):
        k = chunk * 8 * L
        csr_dot_tile(csr_tile(p.K, p.narrow, k, L), nnz, ahead, x, j, w + k, p.ldw, z + k)


# Classes first..stop: whole registers, but for the end of a row.
cdef struct Classes:
    Py_ssize_t first
    Py_ssize_t stop


cdef inline void csr_row_add(const Layout* p, Py_ssize_t nnz, Py_ssize_t ahead, const real* x, const index* j,
                             const real* q, real* g) noexcept nogil:
    """G += x' q for one row; q has zeros up to a whole register."""
    cdef Classes all
    all.first, all.stop = 0, p.K
    csr_row_add_classes(p, nnz, ahead, x, j, q, &all, g)


cdef inline void csr_row_add_classes(const Layout* p, Py_ssize_t nnz, Py_ssize_t ahead, const real* x, const index* j,
                                     const real* q, const Classes* some, real* g) noexcept nogil:
    """The same for some of the classes only."""
    cdef Py_ssize_t L = lanes(q), k, chunk
    cdef int narrow = p.narrow if some.stop == p.K else 0
    for chunk in range(steps(some.stop - some.first, 8 * L)):
        k = some.first + chunk * 8 * L
        csr_add_tile(csr_tile(some.stop, narrow, k, L), nnz, ahead, x, j, q + k, g + k, p.ldw)


cdef inline Py_ssize_t row_entries(const Rows* X, Py_ssize_t i, const real** x, const index** j) noexcept nogil:
    """Point to the entries of CSR row i and their columns; return their number."""
    cdef Py_ssize_t at = (<const index*>X.indptr)[i]
    x[0] = <const real*>X.values + at
    j[0] = <const index*>X.indices + at
    return (<const index*>X.indptr)[i + 1] - at


cdef enum:
    ROWS_AHEAD = 16        # in an order of rows, the bounds of a row are prefetched this number of rows ahead,
    ENTRIES_AHEAD = 6      # and its entries, when the bounds have arrived, this number

cdef inline void fetch(const void* x, Py_ssize_t size) noexcept nogil:
    """Prefetch the cache lines of x."""
    cdef Py_ssize_t at
    for at in range(-<Py_ssize_t>(<size_t>x & 63), size, 64):
        FX_PREFETCH(<const char*>x + at)


cdef inline Py_ssize_t safely_ahead(const Rows* X, const Layout* p, Py_ssize_t i, const index* j) noexcept nogil:
    """How many entries ahead the tiles may look in CSR row i: p.ahead, or 0 if they would read past the last one.

    Memory safety depends on this: a tile reads the column of the entry this far after the current one.
    """
    cdef const index* indptr = <const index*>X.indptr
    return p.ahead if indptr[i + 1] + p.ahead <= indptr[X.n] else 0


cdef void sparse_logits(const Rows* X, const Layout* p, const Block* block, const real* w, real* z,
                        const index* j) noexcept nogil:
    cdef const real* x
    cdef const real* bias = w + p.d * p.ldw
    cdef Py_ssize_t L = lanes(w), K = p.K, i, k, nnz
    cdef real value = <real>X.value
    cdef real* row = <real*>block.panel
    for i in range(block.shape.rows):
        nnz = row_entries(X, block.first + i, &x, &j)
        if K == 1:
            if X.has_one_value:
                z[i] = bias[0] + value * <real>csr_sum_one(nnz, j, w)
            else:
                z[i] = bias[0] + csr_dot_one(nnz, x, j, w)
            continue
        if not p.rows_in_lanes:
            row = z + i * p.ldz
        memcpy(row, bias, round_up(K, L) * sizeof(real))
        csr_row_dot(p, nnz, safely_ahead(X, p, block.first + i, j), x, j, w, row)
        if p.rows_in_lanes:
            for k in range(K):
                z[i + k * p.ldz] = row[k]


cdef void sparse_gradient(const Rows* X, const Layout* p, const Block* block, const real* q, const Classes* some,
                          real* g, const index* j) noexcept nogil:
    """g += the block's gradient, of some classes."""
    cdef const real* x
    cdef const real* row
    cdef real* one_row = <real*>block.panel
    cdef real* bias = g + p.d * p.ldw
    cdef Py_ssize_t L = lanes(q), K = p.K, i, k, nnz
    cdef real value = <real>X.value
    memset(one_row, 0, round_up(K, L) * sizeof(real))
    for i in range(block.shape.rows):
        nnz = row_entries(X, block.first + i, &x, &j)
        if K == 1:
            if X.has_one_value:
                csr_add_ones(nnz, j, value * q[i], g)
            else:
                csr_add_one(nnz, x, j, q[i], g)
            continue
        if p.rows_in_lanes:
            row = one_row
            for k in range(some.first, some.stop):
                one_row[k] = q[i + k * p.ldz]
        else:
            row = q + i * p.ldz
        csr_row_add_classes(p, nnz, safely_ahead(X, p, block.first + i, j), x, j, row, some, g)
        for k in range(some.first, some.stop):
            bias[k] += row[k]
    if K == 1:
        bias[0] += sum_row(q, block.shape.rows)


# ---- blocks --------------------------------------------------------------------------------------------------------

cdef Block block_of(const Layout* p, Py_ssize_t first, Py_ssize_t rows, void* panel) noexcept nogil:
    """Return a block with only the number of rows known."""
    cdef Block block
    block.first, block.x, block.panel = first, NULL, panel
    block.shape.rows, block.shape.K = rows, p.K
    block.shape.rs = 1 if p.rows_in_lanes else p.ldz
    block.shape.cs = p.ldz if p.rows_in_lanes else 1
    block.ahead = nothing_ahead()
    block.ahead.pace = p.pace
    return block


cdef Block open_block(const Rows* X, const Layout* p, Py_ssize_t first, Py_ssize_t stop, const Scratch* s,
                      const real* unused) noexcept nogil:
    """Return the block that begins with row `first`, cut off at row `stop`.

    Dense rows are read in place where the tiles can do so, and else copied to scratch. While the products work on them,
    they fetch the rows that come after.
    """
    cdef Block block = block_of(p, first, clamp(stop - first, 0, p.block), s.panel)
    cdef Py_ssize_t rows = block.shape.rows, size = rows * X.row_stride * <Py_ssize_t>sizeof(real)
    if p.pace and first + rows < X.n:
        block.ahead.at = <const char*>X.values + first * X.row_stride * <Py_ssize_t>sizeof(real) + size
        block.ahead.stop = block.ahead.at + size
    if p.scheme == SPARSE or (p.columns and rows % lanes(unused) == 0):
        block.x = NULL
    elif p.copy_rows:
        copy_rows(X, p, first, rows, <real*>s.x)
        block.x = s.x
    else:
        block.x = <const real*>X.values + first * X.row_stride
    return block


cdef void logits(const Rows* X, const Layout* p, Block* block, const real* w, real* z) noexcept nogil:
    """z = the block's logits."""
    cdef const real* x = <const real*>block.x
    cdef real* panel = <real*>block.panel
    cdef Py_ssize_t rows = block.shape.rows, width
    cdef Turned turned
    if p.scheme == FEATURES:
        intercepts_logits(p, w, z)
    if p.scheme == FEATURES and x == NULL:
        turned.at, turned.stride = <const real*>X.values + block.first, X.col_stride
        turned.first, turned.stop = 0, p.d
        turned_logits(p, &turned, rows, w, z, &block.ahead)
    elif p.turned:
        turned.at, turned.stride, turned.first = panel, p.ldt, 0
        while turned.first < p.d:
            width = p.d - turned.first if p.d - turned.first < 2 * p.turned else p.turned
            turned.stop = turned.first + width
            turn_block(x + turned.first, p.ldx, rows, width if width >= lanes(x) else p.ldx, panel, p.ldt)
            turned_logits(p, &turned, rows, w, z, &block.ahead)
            turned.first = turned.stop
    elif p.scheme == FEATURES:
        features_logits(p, x, rows, w, z)
    elif p.scheme == CLASSES:
        classes_logits(p, x, rows, w, 0, p.K, z, panel)
    elif X.is_wide:
        sparse_logits(X, p, block, w, z, <const int64_t*>NULL)
    else:
        sparse_logits(X, p, block, w, z, <const int32_t*>NULL)


cdef void gradient(const Rows* X, const Layout* p, Block* block, const real* q, real* g) noexcept nogil:
    """g += the block's gradient, given q = dL/dz."""
    cdef const real* x = <const real*>block.x
    cdef Py_ssize_t rows = block.shape.rows
    cdef Classes all
    all.first, all.stop = 0, p.K
    if p.scheme == FEATURES and x == NULL:
        columns_gradient(p, <const real*>X.values + block.first, X.col_stride, rows, q, g)
    elif p.scheme == FEATURES:
        features_gradient(p, x, rows, q, g, &block.ahead)
    elif p.scheme == CLASSES:
        classes_gradient(p, x, rows, q, 0, p.K, g, <real*>block.panel)
    elif X.is_wide:
        sparse_gradient(X, p, block, q, &all, g, <const int64_t*>NULL)
    else:
        sparse_gradient(X, p, block, q, &all, g, <const int32_t*>NULL)
