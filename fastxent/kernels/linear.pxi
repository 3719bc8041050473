# Loops over blocks of rows, and LinearSoftmax, their Python class. It trusts the caller's values (validation.py) but
# not its sizes: every buffer is measured before use. Python allocates. The loops run without the GIL, and a caller that
# passes ranges of rows can be interrupted between calls.

# The data of a loop over rows first..stop. Arrays have the dtype of the data, and are NULL if they are not needed.
cdef struct Pass:
    const Rows* rows
    const Layout* layout
    const Target* target
    bint binary
    Py_ssize_t first
    Py_ssize_t stop
    const void* weights            # in the layout, as direction and gradient
    const void* direction
    void* gradient
    void* row_loss                 # (n,)
    void* store                    # what LinearSoftmax.hessian keeps
    void* out
    Output kind
    void* kept                     # instead of a gradient: dL/dz of each block, z_size entries apart
    Classes classes                # add_kept_range
    ColumnBlocks columns           # add_kept_strips
    const Tiles* tiles             # NULL: blocks of the layout, by row
    Py_ssize_t strip               # the strip that begins with row `first`
    void* scratch
    double total                   # becomes the sum of the losses
    bint finite                    # predict_range: becomes false if a logit is not

# The same for rows start..stop, or classes start..stop, of the block that begins with row `first`.
cdef struct BlockStep:
    const Rows* rows
    const Layout* layout
    const Target* target
    Py_ssize_t first
    Py_ssize_t start
    Py_ssize_t stop
    Py_ssize_t count               # rows of the block, where the step is one of classes
    void* x                        # the block's rows
    void* z                        # its logits
    void* a                        # the logits of a direction
    const void* weights
    void* gradient
    bint wants_gradient
    void* row_loss
    void* scratch
    double total


class Targets:
    """The targets of rows: five attributes, which any other object may have as well.

    Parameters
    ----------
    target : intp (n,), or (n, n_classes) in the dtype of the data in C order
    n_classes : int
    row_weight : float64 (n,) or None
        For labels without smoothing the weights of their classes are in it.
    class_weight : float64 (n_classes,) or None
    smoothing : float
    """

    def __init__(self, target, n_classes, row_weight=None, class_weight=None, smoothing=0.0):
        self.target, self.n_classes, self.smoothing = target, n_classes, smoothing
        self.row_weight, self.class_weight = row_weight, class_weight


cdef Target target_of(targets, Py_ssize_t n, Py_ssize_t itemsize) except *:
    """Targets of n rows, measured; None: there are none."""
    cdef Target target
    target.codes, target.soft, target.row_weight, target.class_weight = NULL, NULL, NULL, NULL
    target.n_classes, target.smoothing = 0, 0.0
    if targets is None:
        return target
    target.n_classes, target.smoothing = targets.n_classes, targets.smoothing
    if targets.target.ndim == 1:
        target.codes = <const Py_ssize_t*>address(targets.target, n * sizeof(Py_ssize_t), False)
    else:
        target.soft = address(targets.target, n * target.n_classes * itemsize, False)
    if targets.row_weight is not None:
        target.row_weight = doubles(targets.row_weight, n)
    if targets.class_weight is not None:
        target.class_weight = doubles(targets.class_weight, target.n_classes)
    return target


cdef class LinearSoftmax:
    """Rows of X, their targets, and K columns of logits.

    Parameters
    ----------
    X : ndarray (n, d), C or F order, float32 or float64; or (data, indices, indptr, n, d) of a CSR matrix
    K : int, columns of logits; with K = 1 the model is binary logistic over two classes
    targets : Targets, or an object with its attributes, or None (prediction only)
    shared : bool
        Blocks will be taken in steps, their buffers shared by all threads: larger blocks.
    """
    cdef readonly Py_ssize_t n, d, K, weights_size, scratch_size, store_size, x_size, z_size, block, panel
    cdef readonly Py_ssize_t strip_rows, column_blocks
    cdef readonly bint is_double, uses_theta, uses_blas
    cdef object keep
    cdef Rows rows
    cdef Layout layout
    cdef Target target
    cdef Tiles tiles
    cdef object tiled
    cdef int shift
    cdef bint binary

    def __init__(self, X, K, targets=None, shared=False):
        cdef Py_ssize_t itemsize, index_size, nnz = 0
        if isinstance(X, tuple):
            data, indices, indptr, self.n, self.d = X
            nnz = len(data)
            itemsize, index_size = data.itemsize, indices.itemsize
            self.rows.is_sparse = True
            self.rows.is_wide = index_size == 8
            self.rows.indptr = address(indptr, (self.n + 1) * index_size, False)
            self.rows.values = address(data, 0, False)
            self.rows.indices = address(indices, 0, False)
        else:
            self.n, self.d = X.shape
            itemsize = X.itemsize
            self.rows.values = address(X, self.n * self.d * itemsize, False, True)
            self.rows.row_stride = X.strides[0] // itemsize
            self.rows.col_stride = X.strides[1] // itemsize
            if X.flags.c_contiguous:  # NumPy leaves the stride of an axis of length 1 open
                self.rows.row_stride, self.rows.col_stride = self.d, 1
        self.K = K
        self.is_double = itemsize == 8
        self.rows.n = self.n
        self.rows.d = self.d
        self.rows.has_one_value, self.rows.value = False, 0.0
        if K == 1 and targets is not None and nnz:  # many passes are to come
            self.rows.value = data[0]
            with nogil:
                if self.is_double:
                    self.rows.has_one_value = all_are(<const double*>self.rows.values, nnz, self.rows.value)
                else:
                    self.rows.has_one_value = all_are(<const float*>self.rows.values, nnz, self.rows.value)
        self.binary = K == 1
        self.layout = plan(&self.rows, K, FX_LANES_F64 if self.is_double else FX_LANES_F32, itemsize, shared)
        self.uses_theta = self.layout.scheme == CLASSES
        self.uses_blas = self.layout.blas
        self.weights_size = self.layout.weights_size
        self.x_size = self.layout.x_size
        self.z_size = self.layout.z_size
        self.block = self.layout.block
        self.strip_rows = strip_rows(&self.layout, itemsize)
        self.shift = block_shift(&self.layout, itemsize)
        self.column_blocks = (self.d - 1 >> self.shift) + 1 if self.strip_rows and self.d else 0
        self.tiles.n_strips = 0
        self.store_size = steps(self.n, self.block) * store_of_block(&self.layout)
        self.panel = 4 * (FX_LANES_F64 if self.is_double else FX_LANES_F32)
        self.target = target_of(targets, self.n, itemsize)
        if shared:
            self.layout.x_size = self.layout.z_size = 0  # not part of a thread's scratch
        self.scratch_size = scratch_entries(&self.layout, self.target.n_classes)
        self.keep = (X, None if targets is None else (targets.target, targets.row_weight, targets.class_weight))

    def pack(self, theta, weights, Py_ssize_t first, Py_ssize_t stop):
        """Write rows first..stop of theta (d + 1, K) into weights, which the caller zeroed once."""
        cdef Packing task = self.packing(theta, first, stop)
        cdef bint is_double = theta.itemsize == 8
        task.weights = self.buffer(weights, self.weights_size, True)
        with nogil:
            dispatch_other(self.is_double, is_double, &task, pack, pack, pack, pack)

    def unpack(self, parts, double scale, double l2, theta, out, Py_ssize_t first, Py_ssize_t stop):
        """out[first:stop] = scale * sum of the parts + l2 * theta; the intercept's row without l2.

        theta, out: (d + 1, K) of one dtype. parts: at most 64 arrays like weights.
        """
        cdef const void* address_of[64]
        cdef Packing task = self.packing(theta, first, stop)
        cdef bint is_double = theta.itemsize == 8
        cdef Py_ssize_t i
        if theta.itemsize != out.itemsize:
            raise ValueError(f"theta ({theta.dtype}) and out ({out.dtype}) must have one dtype")
        task.out = <void*>address(out, (self.d + 1) * self.K * out.itemsize, True)
        task.parts, task.n_parts, task.scale, task.l2 = address_of, len(parts), scale, l2
        check_range(1, task.n_parts, 64)
        for i in range(task.n_parts):
            address_of[i] = self.buffer(parts[i], self.weights_size, False)
        with nogil:
            dispatch_other(self.is_double, is_double, &task, unpack, unpack, unpack, unpack)

    def shift_intercepts(self, weights, shift):
        """Add shift, float64 (K,), to the intercepts in weights; only for a CSR matrix."""
        cdef Packing task
        if self.layout.scheme != SPARSE:
            raise ValueError("intercepts are shifted in the layout of a CSR matrix")
        task.layout, task.theta = &self.layout, doubles(shift, self.K)
        task.weights = self.buffer(weights, self.weights_size, True)
        self.run(&task, shift_bias, shift_bias)

    cdef Packing packing(self, theta, Py_ssize_t first, Py_ssize_t stop) except *:
        cdef Packing task
        check_range(first, stop, self.d + 1)
        task.layout, task.first, task.stop = &self.layout, first, stop
        task.theta = address(theta, (self.d + 1) * self.K * theta.itemsize, False)
        return task

    def squared_norms(self, Py_ssize_t first, Py_ssize_t stop, out):
        """|x_i|^2 of rows first..stop into out[first:stop], float64."""
        cdef RowFacts task
        check_range(first, stop, self.n)
        task.rows, task.first, task.stop, task.squares = &self.rows, first, stop, doubles_out(out, self.n)
        self.run_index(&task, squared_norms, squared_norms, squared_norms, squared_norms)

    def has_duplicates(self, last_row):
        """Whether a CSR row has a column twice; its entries need not be sorted. last_row: intp, d times -1."""
        cdef RowFacts task
        task.rows, task.names_twice = &self.rows, False
        task.last_row = <Py_ssize_t*>address(last_row, self.d * sizeof(Py_ssize_t), True)
        if self.rows.is_sparse:
            self.run_index(&task, names_twice, names_twice, names_twice, names_twice)
        return task.names_twice

    def loss(self, weights, scratch, Py_ssize_t first, Py_ssize_t stop, gradient=None, row_loss=None):
        """Sum of s_i loss_i over rows first..stop; adds their gradient to `gradient`, writes row_loss[first:stop]."""
        cdef Pass task = self.over(first, stop, scratch)
        task.weights = self.buffer(weights, self.weights_size, False)
        self.check_target()
        if gradient is not None:
            task.gradient = self.buffer(gradient, self.weights_size, True)
        if row_loss is not None:
            task.row_loss = self.buffer(row_loss, self.n, True)
        self.run(&task, loss_range, loss_range)
        return task.total

    def hessian(self, weights, scratch, Py_ssize_t first, Py_ssize_t stop, store):
        """Keep in `store` what Hessian products need of rows first..stop; first a multiple of `block`."""
        cdef Pass task = self.over(first, stop, scratch)
        task.weights = self.buffer(weights, self.weights_size, False)
        task.store = self.buffer(store, self.store_size, True)
        check_range(first % self.block, 0, 0)
        self.run(&task, hessian_range, hessian_range)

    def hessp(self, weights, direction, scratch, Py_ssize_t first, Py_ssize_t stop, gradient, store=None):
        """Add the rows' Hessian times direction (in the kernels' layout) to `gradient`.

        With a `store` (first a multiple of `block`) there need be no weights.
        """
        cdef Pass task = self.product(weights, direction, scratch, first, stop, store)
        task.gradient = self.buffer(gradient, self.weights_size, True)
        self.run(&task, hessp_range, hessp_range)

    cdef Pass product(self, weights, direction, scratch, Py_ssize_t first, Py_ssize_t stop, store) except *:
        """A pass for a Hessian product that goes nowhere yet."""
        cdef Pass task = self.over(first, stop, scratch)
        self.check_target()
        task.direction = self.buffer(direction, self.weights_size, False)
        if store is None:
            task.weights = self.buffer(weights, self.weights_size, False)
        else:
            task.store = self.buffer(store, self.store_size, False)
            check_range(first % self.block, 0, 0)
        return task

    # The gradient in two steps, for a CSR matrix and a model so wide that threads share one gradient and split the
    # classes: rows keep dL/dz, z_size entries for each block (first is a multiple of `block`), which is then added.

    def keep_loss(self, weights, scratch, Py_ssize_t first, Py_ssize_t stop, kept, row_loss=None):
        """As `loss`; kept becomes dL/dz of the rows."""
        cdef Pass task = self.over(first, stop, scratch)
        task.weights = self.buffer(weights, self.weights_size, False)
        self.check_target()
        task.kept = self.kept_buffer(kept, first, stop, True)
        if row_loss is not None:
            task.row_loss = self.buffer(row_loss, self.n, True)
        self.run(&task, loss_range, loss_range)
        return task.total

    def keep_hessp(self, weights, direction, scratch, Py_ssize_t first, Py_ssize_t stop, kept, store=None):
        """As `hessp`; kept becomes the Hessian with respect to the rows' logits times those of the direction."""
        cdef Pass task = self.product(weights, direction, scratch, first, stop, store)
        task.kept = self.kept_buffer(kept, first, stop, True)
        self.run(&task, hessp_range, hessp_range)

    def add_kept(self, kept, scratch, Py_ssize_t first, Py_ssize_t stop, gradient, Py_ssize_t k0, Py_ssize_t k1):
        """Add to classes k0..k1 of `gradient`, of a CSR matrix, what rows first..stop kept.

        k0 is a multiple of the register width, and so is k1, or it is K.
        """
        cdef Pass task = self.over(first, stop, scratch)
        task.classes = self.classes(k0, k1)
        task.kept = self.kept_buffer(kept, first, stop, False)
        task.gradient = self.buffer(gradient, self.weights_size, True)
        self.run(&task, add_kept_range, add_kept_range)

    def add_kept_strips(self, kept, scratch, Py_ssize_t first, Py_ssize_t stop, gradient, Py_ssize_t b0, Py_ssize_t b1):
        """The same for the columns of blocks b0..b1 of `column_blocks`, by tiles; the intercepts belong to the last."""
        cdef Pass task = self.over(first, stop, scratch)
        check_range(b0, b1, self.column_blocks)
        if task.tiles == NULL:
            raise ValueError(f"rows {first}..{stop} are not whole strips")
        task.columns.first, task.columns.stop = b0, b1
        task.kept = self.kept_buffer(kept, first, stop, False)
        task.gradient = self.buffer(gradient, self.weights_size, True)
        self.run_index(&task, add_kept_strips, add_kept_strips, add_kept_strips, add_kept_strips)

    # Tiles: `count_segments` and `fill_segments` of ranges of strips, then `use_tiles`.

    def count_segments(self, bounds, Py_ssize_t start, Py_ssize_t stop, scratch, counts):
        """counts[s] = the segments of each tile of strip s, rows bounds[s]..bounds[s + 1], s in start..stop.

        bounds, scratch (3 * column_blocks,), counts (strips, column_blocks): int64. Return whether the blocks ascend in
        all rows.
        """
        cdef Tiling task = self.tiling(bounds, start, stop, scratch)
        task.counts = <int64_t*>address(counts, stop * self.column_blocks * sizeof(int64_t), True)
        self.run_index(&task, count_segments, count_segments, count_segments, count_segments)
        return task.sorted

    def fill_segments(self, bounds, Py_ssize_t start, Py_ssize_t stop, scratch, tiles, arrays):
        """Fill in the segments of these strips. tiles: int64, where the segments of each tile begin, and their number.

        arrays: row, uint16, and first, int64, by segment; the indices and values, by entry.
        """
        row, first, indices, values = arrays
        cdef Tiling task = self.tiling(bounds, start, stop, scratch)
        cdef Py_ssize_t entries = self.entries_before(bounds[stop]), segments
        task.tiles = <const int64_t*>address(tiles, (stop * self.column_blocks + 1) * sizeof(int64_t), False)
        segments = task.tiles[stop * self.column_blocks]
        task.row = <uint16_t*>address(row, segments * sizeof(uint16_t), True)
        task.first = <int64_t*>address(first, segments * sizeof(int64_t), True)
        task.indices = <void*>address(indices, entries * (8 if self.rows.is_wide else 4), True)
        task.values = self.buffer(values, entries, True)
        self.run_index(&task, fill_segments, fill_segments, fill_segments, fill_segments)

    def use_tiles(self, bounds, tiles, arrays, bint is_sorted):
        """From now on, take rows by tiles where a range consists of whole strips. `scratch_size` grows.

        bounds, tiles, arrays: as above; the indices go on for MOST_AHEAD zeros.
        """
        cdef Tiles* t = &self.tiles
        cdef Py_ssize_t count = len(bounds) - 1, entries = self.entries_before(self.n), segments
        row, first, indices, values = arrays
        t.bounds = <const int64_t*>address(bounds, (count + 1) * sizeof(int64_t), False)
        t.tiles = <const int64_t*>address(tiles, (count * self.column_blocks + 1) * sizeof(int64_t), False)
        segments = t.tiles[count * self.column_blocks]
        t.row = <const uint16_t*>address(row, segments * sizeof(uint16_t), False)
        t.first = <const int64_t*>address(first, (segments + 1) * sizeof(int64_t), False)
        t.indices = <const void*>address(indices, (entries + MOST_AHEAD) * (8 if self.rows.is_wide else 4), False)
        t.values = self.buffer(values, entries, False)
        t.logits = is_sorted and sums_by_entry(&self.layout, FX_LANES_F64 if self.is_double else FX_LANES_F32)
        t.n_blocks = self.column_blocks
        self.tiled = bounds, tiles, arrays
        self.layout.strip_size = max(bounds[1:] - bounds[:count]) * self.layout.ldz
        self.scratch_size = scratch_entries(&self.layout, self.target.n_classes)
        t.n_strips = count

    cdef Tiling tiling(self, bounds, Py_ssize_t start, Py_ssize_t stop, scratch) except *:
        cdef Tiling task
        memset(&task, 0, sizeof(Tiling))
        if self.strip_rows == 0:
            raise ValueError("only a CSR matrix with many classes has tiles")
        check_range(start, stop, len(bounds) - 1)
        check_range(bounds[start], bounds[stop], self.n)
        if stop > start:
            check_range(0, max(bounds[start + 1:stop + 1] - bounds[start:stop]), 65536)
        task.rows, task.start, task.stop, task.sorted = &self.rows, start, stop, True
        task.n_blocks, task.shift = self.column_blocks, self.shift
        task.bounds = <const int64_t*>address(bounds, (stop + 1) * sizeof(int64_t), False)
        task.scratch = <int64_t*>address(scratch, 3 * self.column_blocks * sizeof(int64_t), True)
        return task

    cdef Py_ssize_t entries_before(self, Py_ssize_t row) noexcept:
        if self.rows.is_wide:
            return (<const int64_t*>self.rows.indptr)[row]
        return (<const int32_t*>self.rows.indptr)[row]

    cdef Classes classes(self, Py_ssize_t k0, Py_ssize_t k1) except *:
        """Classes k0..k1, for sums by classes."""
        cdef Classes some
        cdef Py_ssize_t L = FX_LANES_F64 if self.is_double else FX_LANES_F32
        if self.layout.scheme != SPARSE or self.K == 1:
            raise ValueError("gradients are added by classes only for a CSR matrix, and for more than one class")
        check_range(k0, k1, self.K)
        check_range(k0 % L, 0, 0)
        check_range(0 if k1 == self.K else k1 % L, 0, 0)
        some.first, some.stop = k0, k1
        return some

    cdef void* kept_buffer(self, kept, Py_ssize_t first, Py_ssize_t stop, bint writable) except? NULL:
        """The blocks of rows first..stop, z_size entries each."""
        check_range(first % self.block, 0, 0)
        return self.buffer(kept, steps(stop - first, self.block) * self.layout.z_size, writable)

    def predict(self, weights, scratch, Py_ssize_t first, Py_ssize_t stop, out, Output kind, Py_ssize_t origin=0):
        """out[first - origin:stop - origin] = logits, probabilities or log-probabilities of rows first..stop.

        out: (rows, K), or (rows, 2) for a binary model; its row 0 is row `origin` of X. Return whether all logits are
        finite.
        """
        cdef Pass task = self.over(first, stop, scratch)
        cdef Py_ssize_t width = 2 if self.binary and kind != LOGITS else self.K
        check_range(origin, first, self.n)
        task.weights = self.buffer(weights, self.weights_size, False)
        task.out = self.buffer(out, (stop - origin) * width, True) - origin * width * (8 if self.is_double else 4)
        task.kind, task.finite = kind, True
        self.run(&task, predict_range, predict_range)
        return task.finite

    cdef Pass over(self, Py_ssize_t first, Py_ssize_t stop, scratch) except *:
        """Return a pass over rows first..stop without inputs and outputs."""
        cdef Pass task
        memset(&task, 0, sizeof(Pass))
        check_range(first, stop, self.n)
        task.rows, task.layout, task.target, task.binary = &self.rows, &self.layout, &self.target, self.binary
        task.first, task.stop = first, stop
        task.scratch = self.buffer(scratch, self.scratch_size, True)
        if self.tiles.n_strips and strip_from(&self.tiles, stop) >= 0:
            task.strip = strip_from(&self.tiles, first)
            task.tiles = &self.tiles if task.strip >= 0 else NULL
        return task

    # A block in four steps, each over a range of its rows or of its classes, for models so wide that threads share one
    # gradient and split the classes (layouts with uses_theta). x: x_size entries; z and a: z_size; row 0 of each
    # belongs to row `first` of X.

    def open_block(self, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop, x):
        """Copy rows start..stop of the block that begins at row `first`."""
        cdef BlockStep task = self.step(first, start, stop)
        task.x = self.buffer(x, self.x_size, True)
        self.run(&task, step_open, step_open)

    def block_logits(self, x, Py_ssize_t rows, weights, z, Py_ssize_t k0, Py_ssize_t k1, scratch):
        """z[:, k0:k1] = x W; k0 a multiple of `panel`."""
        cdef BlockStep task = self.step_of_classes(x, rows, z, k0, k1, scratch)
        task.weights = self.buffer(weights, self.weights_size, False)
        self.run(&task, step_logits, step_logits)

    def block_loss(self, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop, z, bint gradient, scratch, row_loss=None):
        """Sum of s_i loss_i of rows start..stop of the block; with `gradient` their z becomes dL/dz."""
        cdef BlockStep task = self.step(first, start, stop)
        self.check_target()
        task.scratch = self.buffer(scratch, self.scratch_size, True)
        task.z = self.buffer(z, self.z_size, True)
        task.row_loss = NULL if row_loss is None else self.buffer(row_loss, self.n, True)
        task.wants_gradient = gradient
        self.run(&task, step_loss, step_loss)
        return task.total

    def block_hessian(self, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop, z, a, scratch):
        """Rows start..stop of a (logits of a direction) become the Hessian with respect to the logits z times a."""
        cdef BlockStep task = self.step(first, start, stop)
        self.check_target()
        task.scratch = self.buffer(scratch, self.scratch_size, True)
        task.z = self.buffer(z, self.z_size, True)
        task.a = self.buffer(a, self.z_size, True)
        self.run(&task, step_hessian, step_hessian)

    def block_gradient(self, x, Py_ssize_t rows, q, gradient, Py_ssize_t k0, Py_ssize_t k1, scratch):
        """gradient[:, k0:k1] += x^T q."""
        cdef BlockStep task = self.step_of_classes(x, rows, q, k0, k1, scratch)
        task.gradient = self.buffer(gradient, self.weights_size, True)
        self.run(&task, step_gradient, step_gradient)

    cdef BlockStep step(self, Py_ssize_t first, Py_ssize_t start, Py_ssize_t stop) except *:
        cdef BlockStep task
        if not self.uses_theta:
            raise ValueError("blocks are taken in steps only where the layout has uses_theta")
        check_range(start, stop, self.block)
        check_range(first, first + stop, self.n)
        memset(&task, 0, sizeof(BlockStep))
        task.rows, task.layout, task.target = &self.rows, &self.layout, &self.target
        task.first, task.start, task.stop = first, start, stop
        return task

    cdef BlockStep step_of_classes(self, x, Py_ssize_t rows, z, Py_ssize_t k0, Py_ssize_t k1, scratch) except *:
        cdef BlockStep task = self.step(0, 0, rows)
        check_range(k0, k1, self.K)
        task.scratch = self.buffer(scratch, self.scratch_size, True)
        task.start, task.stop, task.count = k0, k1, rows
        task.x = self.buffer(x, self.x_size, False)
        task.z = self.buffer(z, self.z_size, True)
        return task

    cdef int check_target(self) except -1:
        if self.target.codes == NULL and self.target.soft == NULL:
            raise ValueError("no target was given")
        return 0

    cdef void run(self, void* task, F64 f64, F32 f32) noexcept:
        """dispatch, without the GIL."""
        with nogil:
            dispatch(self.is_double, task, f64, f32)

    cdef void run_index(self, void* task, F64I32 f64i32, F64I64 f64i64, F32I32 f32i32, F32I64 f32i64) noexcept:
        with nogil:
            dispatch_index(self.is_double, self.rows.is_wide, task, f64i32, f64i64, f32i32, f32i64)

    cdef char* buffer(self, array, Py_ssize_t size, bint writable) except? NULL:
        return <char*>address(array, size * (8 if self.is_double else 4), writable)


cdef inline Py_ssize_t store_of_block(const Layout* p) noexcept nogil:
    """Entries that a block takes in a store: exp(z - m), and for each row 1 / total and where its maximum is."""
    return p.z_size + 2 * p.block


cdef inline Py_ssize_t end_of_step(const Pass* t, Py_ssize_t first, Py_ssize_t step) noexcept nogil:
    """Where the rows end that are visited together: a block, or the `step`-th strip."""
    if t.tiles:
        return t.tiles.bounds[t.strip + step + 1]
    return min(first + t.layout.block, t.stop)


cdef void tiled_logits(const Pass* t, Py_ssize_t step, const real* w, real* z) noexcept nogil:
    """z = the logits of the `step`-th strip."""
    if t.rows.is_wide:
        strip_logits(t.tiles, t.layout, t.strip + step, w, z, <const int64_t*>NULL)
    else:
        strip_logits(t.tiles, t.layout, t.strip + step, w, z, <const int32_t*>NULL)


cdef void tiled_gradient(const Pass* t, Py_ssize_t step, const real* q) noexcept nogil:
    """Add the gradient of the `step`-th strip."""
    cdef ColumnBlocks all
    all.first, all.stop = 0, t.tiles.n_blocks
    if t.rows.is_wide:
        strip_gradient(t.tiles, t.layout, t.strip + step, &all, q, <real*>t.gradient, <const int64_t*>NULL)
    else:
        strip_gradient(t.tiles, t.layout, t.strip + step, &all, q, <real*>t.gradient, <const int32_t*>NULL)


cdef void loss_range(void* task, const real* w) noexcept nogil:
    cdef Pass* t = <Pass*>task
    cdef const Layout* p = t.layout
    cdef Scratch s = scratch_parts(p, <real*>t.scratch)
    cdef real* z = <real*>s.strip if t.tiles else <real*>s.z
    cdef real* at
    cdef real* q
    cdef real* losses
    cdef Block block
    cdef Py_ssize_t i = t.first, stop, step = 0
    w = <const real*>t.weights
    if t.kept:
        z = <real*>t.kept
    while i < t.stop:
        at, stop = z, end_of_step(t, i, step)
        if t.tiles and t.tiles.logits:
            tiled_logits(t, step, w, z)
        while i < stop:
            q = at if t.gradient or t.kept else NULL
            block = open_block(t.rows, p, i, stop, &s, w)
            if not t.tiles or not t.tiles.logits:
                logits(t.rows, p, &block, w, at)
            losses = <real*>t.row_loss + i if t.row_loss else NULL
            if t.binary:
                t.total += binary_rows(t.target, i, at, q, block.shape.rows, 1.0, losses, &s.aux)
            else:
                t.total += loss_rows(t.target, i, &block.shape, at, q, 1.0, losses, &s.aux)
            if t.gradient and not t.tiles:
                gradient(t.rows, p, &block, q, <real*>t.gradient)
            at += p.z_size
            i += block.shape.rows
        if t.gradient and t.tiles:
            tiled_gradient(t, step, z)
        if t.kept:
            z = at
        step += 1


cdef void hessian_range(void* task, const real* w) noexcept nogil:
    cdef const Pass* t = <const Pass*>task
    cdef const Layout* p = t.layout
    cdef Scratch s = scratch_parts(p, <real*>t.scratch)
    cdef real* z
    cdef Block block
    cdef Py_ssize_t i = t.first
    w = <const real*>t.weights
    while i < t.stop:
        block = open_block(t.rows, p, i, t.stop, &s, w)
        z = <real*>t.store + i // p.block * store_of_block(p)
        hessian_block(t, &block, z, z + p.z_size, z + p.z_size + p.block, &s.aux)
        i += p.block


cdef void hessian_block(const Pass* t, Block* block, real* z, real* inverse, real* place,
                        const Aux* aux) noexcept nogil:
    """What Hessian products need of the block: into z and, unless binary, inverse and place."""
    logits(t.rows, t.layout, block, <const real*>t.weights, z)
    if t.binary:
        binary_hessian_rows(z, block.shape.rows)
    else:
        hessian_rows(&block.shape, z, inverse, place, aux)


cdef void hessp_range(void* task, const real* v) noexcept nogil:
    cdef const Pass* t = <const Pass*>task
    cdef const Layout* p = t.layout
    cdef Scratch s = scratch_parts(p, <real*>t.scratch)
    cdef real* z = <real*>s.z
    cdef real* a = <real*>s.strip if t.tiles else <real*>s.a
    cdef real* inverse = <real*>s.aux.mass
    cdef real* place = <real*>s.aux.linear
    cdef real* at
    cdef Block block
    cdef Py_ssize_t i = t.first, stop, step = 0
    v = <const real*>t.direction
    if t.kept:
        a = <real*>t.kept
    while i < t.stop:
        at, stop = a, end_of_step(t, i, step)
        if t.tiles and t.tiles.logits:
            tiled_logits(t, step, v, a)
        while i < stop:
            block = open_block(t.rows, p, i, stop, &s, v)
            if t.store:
                z = <real*>t.store + i // p.block * store_of_block(p)
                inverse = z + p.z_size
                place = inverse + p.block
            else:
                hessian_block(t, &block, z, inverse, place, &s.aux)
            if not t.tiles or not t.tiles.logits:
                logits(t.rows, p, &block, v, at)
            if t.binary:
                binary_hessp_rows(t.target, i, z, at, block.shape.rows, &s.aux)
            else:
                hessp_rows(t.target, i, &block.shape, z, inverse, place, at, &s.aux)
            if not t.kept and not t.tiles:
                gradient(t.rows, p, &block, at, <real*>t.gradient)
            at += p.z_size
            i += block.shape.rows
        if t.kept:
            a = at
        elif t.tiles:
            tiled_gradient(t, step, a)
        step += 1


cdef void add_kept_range(void* task, const real* q) noexcept nogil:
    cdef const Pass* t = <const Pass*>task
    cdef const Layout* p = t.layout
    cdef Scratch s = scratch_parts(p, <real*>t.scratch)
    cdef Block block
    cdef Py_ssize_t i = t.first
    q = <const real*>t.kept
    while i < t.stop:
        block = block_of(p, i, clamp(t.stop - i, 0, p.block), s.panel)
        if t.rows.is_wide:
            sparse_gradient(t.rows, p, &block, q, &t.classes, <real*>t.gradient, <const int64_t*>NULL)
        else:
            sparse_gradient(t.rows, p, &block, q, &t.classes, <real*>t.gradient, <const int32_t*>NULL)
        q += p.z_size
        i += p.block


cdef void add_kept_strips(void* task, const real* q, const index* j) noexcept nogil:
    cdef const Pass* t = <const Pass*>task
    cdef const Layout* p = t.layout
    cdef Py_ssize_t s = t.strip
    q = <const real*>t.kept
    while t.tiles.bounds[s] < t.stop:
        strip_gradient(t.tiles, p, s, &t.columns, q, <real*>t.gradient, j)
        q += steps(t.tiles.bounds[s + 1] - t.tiles.bounds[s], p.block) * p.z_size
        s += 1


cdef void predict_range(void* task, const real* w) noexcept nogil:
    cdef Pass* t = <Pass*>task
    cdef const Layout* p = t.layout
    cdef Scratch s = scratch_parts(p, <real*>t.scratch)
    cdef real* z = <real*>s.z
    cdef real* out
    cdef Block block
    cdef Py_ssize_t i = t.first, r, rows
    w = <const real*>t.weights
    while i < t.stop:
        block = open_block(t.rows, p, i, t.stop, &s, w)
        rows = block.shape.rows
        logits(t.rows, p, &block, w, z)
        for r in range(p.K if p.rows_in_lanes else rows):
            t.finite = t.finite and all_finite(z + r * p.ldz, rows if p.rows_in_lanes else p.K)
        if t.binary and t.kind != LOGITS:
            binary_output_rows(t.kind, z, <real*>t.out + 2 * i, rows, &s.aux)
        else:
            out = <real*>t.out + i * p.K
            if t.kind != LOGITS:
                output_rows(t.kind, &block.shape, z, z, <real*>NULL, &s.aux)
            if p.rows_in_lanes:
                turn_block(z, p.ldz, p.K, rows, out, p.K)
            else:
                for r in range(rows):
                    memcpy(out + r * p.K, z + r * p.ldz, p.K * sizeof(real))
        i += p.block


cdef void step_open(void* task, const real* unused) noexcept nogil:
    cdef const BlockStep* t = <const BlockStep*>task
    copy_rows(t.rows, t.layout, t.first + t.start, t.stop - t.start, <real*>t.x + t.start * t.layout.ldx)


cdef void step_logits(void* task, const real* unused) noexcept nogil:
    cdef const BlockStep* t = <const BlockStep*>task
    classes_logits(t.layout, <const real*>t.x, t.count, <const real*>t.weights, t.start, t.stop, <real*>t.z,
                   <real*>t.scratch)


cdef void step_loss(void* task, const real* unused) noexcept nogil:
    cdef BlockStep* t = <BlockStep*>task
    cdef Scratch s = scratch_parts(t.layout, <real*>t.scratch)
    cdef Block block = block_of(t.layout, t.first + t.start, t.stop - t.start, NULL)
    cdef real* z = <real*>t.z + t.start * t.layout.ldz
    t.total = loss_rows(t.target, block.first, &block.shape, z, z if t.wants_gradient else NULL, 1.0,
                        <real*>t.row_loss + block.first if t.row_loss else NULL, &s.aux)


cdef void step_hessian(void* task, const real* unused) noexcept nogil:
    cdef const BlockStep* t = <const BlockStep*>task
    cdef Scratch s = scratch_parts(t.layout, <real*>t.scratch)
    cdef Block block = block_of(t.layout, t.first + t.start, t.stop - t.start, NULL)
    cdef Py_ssize_t at = t.start * t.layout.ldz
    cdef real* z = <real*>t.z + at
    cdef real* inverse = <real*>s.aux.mass
    cdef real* place = <real*>s.aux.linear
    hessian_rows(&block.shape, z, inverse, place, &s.aux)
    hessp_rows(t.target, block.first, &block.shape, z, inverse, place, <real*>t.a + at, &s.aux)


cdef void step_gradient(void* task, const real* unused) noexcept nogil:
    cdef const BlockStep* t = <const BlockStep*>task
    classes_gradient(t.layout, <const real*>t.x, t.count, <const real*>t.z, t.start, t.stop, <real*>t.gradient,
                     <real*>t.scratch)
