# What descent learns from rows before it takes them: keys by their content (fastxent/sgd/order.py), the sizes of
# columns (fastxent/sgd/columns.py), and the sizes of rows in the columns' units.

# Odd numbers without a pattern (fractions of the golden ratio and of roots of 2 and 3), for multiplicative hashing
# modulo 2^64: Knuth, The Art of Computer Programming, volume 3, section 6.4.
HASH_OF_COLUMN, HASH_OF_VALUE, HASH_OF_TARGET = 0x9E3779B97F4A7C15, 0x6A09E667F3BCC909, 0xBB67AE8584CAA73B

cdef struct RowVisit:
    const Rows* rows
    const Py_ssize_t* order        # the rows, or NULL: first..stop
    Py_ssize_t first
    Py_ssize_t stop
    uint64_t* keys
    const double* masses           # of the rows; one for all, if there is one
    Py_ssize_t n_masses
    double* known                  # (4, d), see `look`
    const double* shift
    const double* factor
    double* squares


cdef class RowFeatures(LinearSoftmax):
    """Rows of X, without a model. X: as of LinearSoftmax."""

    def __init__(self, X):
        LinearSoftmax.__init__(self, X, 1)

    def keys(self, Py_ssize_t first, Py_ssize_t stop, out):
        """Write a key of each of the rows first..stop into out, uint64: the same for equal rows in any storage."""
        cdef RowVisit task
        check_range(first, stop, self.n)
        task.rows, task.first, task.stop = &self.rows, first, stop
        task.keys = <uint64_t*>address(out, self.n * 8, True)
        self.run_index(&task, keys_of_rows, keys_of_rows, keys_of_rows, keys_of_rows)

    def observe(self, order, masses, known):
        """Add rows to the statistics of columns, see `look`. masses: one per row of the order, or one for all."""
        cdef RowVisit task
        task.rows, task.order, task.first, task.stop = &self.rows, self.checked(order), 0, len(order)
        task.masses, task.n_masses = doubles(masses, min(1, len(order))), len(masses)
        if len(masses) not in (1, len(order)):
            raise ValueError(f"{len(masses)} masses came for {len(order)} rows")
        task.known = doubles_out(known, 4 * self.d)
        self.run_index(&task, look_at_rows, look_at_rows, look_at_rows, look_at_rows)

    def squares(self, order, shift, factor, out):
        """Write |x_i|^2 of these rows, in the columns' units, into out."""
        cdef RowVisit task
        task.rows, task.order, task.first, task.stop = &self.rows, self.checked(order), 0, len(order)
        task.shift, task.factor = doubles(shift, self.d), doubles(factor, self.d)
        task.squares = doubles_out(out, self.n)
        self.run_index(&task, squares_of_rows, squares_of_rows, squares_of_rows, squares_of_rows)

    cdef const Py_ssize_t* checked(self, order) except? NULL:
        cdef Py_ssize_t count = len(order)
        cdef const Py_ssize_t* rows = <const Py_ssize_t*>address(order, count * sizeof(Py_ssize_t), False)
        if count and not 0 <= order.min() <= order.max() < self.n:
            raise IndexError(f"rows must lie within 0..{self.n}")
        return rows


cdef inline uint64_t bits_of(const real* x) noexcept nogil:
    return (<const uint64_t*>x)[0] if sizeof(x[0]) == 8 else (<const uint32_t*>x)[0]


cdef inline uint64_t key_of_entry(const real* x, Py_ssize_t j) noexcept nogil:
    """An entry's part of the key of its row: nothing if the entry is zero."""
    cdef uint64_t mixed
    mixed = (bits_of(x) ^ (<uint64_t>(j + 1) * <uint64_t>0x9E3779B97F4A7C15U)) * <uint64_t>0x6A09E667F3BCC909U
    return mixed ^ (mixed >> 29) if x[0] != 0 else 0


cdef void keys_of_rows(void* call, const real* x, const index* j) noexcept nogil:
    cdef const RowVisit* t = <RowVisit*>call
    cdef const Rows* X = t.rows
    cdef Py_ssize_t i, p, nnz
    cdef uint64_t total
    for i in range(t.first, t.stop):
        total = 0
        if X.is_sparse:
            nnz = row_entries(X, i, &x, &j)
            for p in range(nnz):
                total += key_of_entry(x + p, j[p])
        else:
            x = <const real*>X.values + i * X.row_stride
            if X.col_stride == 1:  # whole registers
                for p in range(X.d):
                    total += key_of_entry(x + p, p)
            else:
                for p in range(X.d):
                    total += key_of_entry(x + p * X.col_stride, p)
        t.keys[i] = total


cdef inline void look(double x, double* known, Py_ssize_t d, double mass) noexcept nogil:
    """Add an entry to the statistics of its column: the count, the first entry, and sums of differences to it and their
    squares, each d after the other."""
    if x == 0.0:
        return
    if known[0] == 0.0:
        known[d] = x
    x -= known[d]
    known[0] += mass
    known[2 * d] += mass * x
    known[3 * d] += mass * x * x


cdef void look_at_rows(void* call, const real* x, const index* j) noexcept nogil:
    cdef const RowVisit* t = <RowVisit*>call
    cdef const Rows* X = t.rows
    cdef Py_ssize_t r, p, nnz
    cdef double mass
    for r in range(t.stop):
        mass = t.masses[min(r, t.n_masses - 1)]
        if X.is_sparse:
            nnz = row_entries(X, t.order[r], &x, &j)
            for p in range(nnz):
                look(x[p], t.known + j[p], X.d, mass)
        else:
            x = <const real*>X.values + t.order[r] * X.row_stride
            for p in range(X.d):
                look(x[p * X.col_stride], t.known + p, X.d, mass)


cdef void squares_of_rows(void* call, const real* x, const index* j) noexcept nogil:
    cdef const RowVisit* t = <RowVisit*>call
    cdef const Rows* X = t.rows
    cdef const double* shift = t.shift
    cdef const double* factor = t.factor
    cdef Py_ssize_t r, i, p, nnz
    cdef double total, common = 0.0, own, missing
    for p in range(X.d):
        common += (shift[p] * factor[p]) ** 2
    for r in range(t.stop):
        i, total = t.order[r], 0.0
        if X.is_sparse:
            total = common
            nnz = row_entries(X, i, &x, &j)
            for p in range(nnz):
                own, missing = (x[p] - shift[j[p]]) * factor[j[p]], shift[j[p]] * factor[j[p]]
                total += own * own - missing * missing
            total = max(total, 0.0)
        else:
            x = <const real*>X.values + i * X.row_stride
            total = square_of_row(x, X.col_stride, shift, factor, X.d)
        t.squares[i] = total


cdef inline double square_of_row(const real* x, Py_ssize_t stride, const double* shift, const double* factor,
                                 Py_ssize_t d) noexcept nogil:
    """|x|^2 of a dense row in the columns' units."""
    cdef double[8] lane
    cdef double own, total = 0.0
    cdef Py_ssize_t p, l, whole = d & ~7 if stride == 1 else 0
    for l in range(8):
        lane[l] = 0.0
    for p in range(0, whole, 8):
        for l in range(8):
            own = (x[p + l] - shift[p + l]) * factor[p + l]
            lane[l] += own * own
    for p in range(whole, d):
        own = (x[p * stride] - shift[p]) * factor[p]
        total += own * own
    for l in range(8):
        total += lane[l]
    return total


def added_hashes(values, start):
    """Return the sum, modulo 2^64, of hashes of the numbers of a contiguous array and of their places from `start`.

    -0.0 counts as 0.0. The finaliser is SplitMix64's: Steele, Lea, Flood, "Fast splittable pseudorandom number
    generators", OOPSLA 2014.
    """
    cdef Py_ssize_t n = len(values)
    cdef bint is_double = values.itemsize == 8
    cdef const char* at = address(values, n * values.itemsize, False)
    cdef uint64_t first = start
    cdef uint64_t total
    with nogil:
        total = hashed(<const double*>at, n, first) if is_double else hashed(<const float*>at, n, first)
    return total


cdef uint64_t hashed(const real* x, Py_ssize_t n, uint64_t start) noexcept nogil:
    cdef uint64_t total = 0, mixed
    cdef Py_ssize_t i
    for i in range(n):
        mixed = (bits_of(x + i) if x[i] != 0 else 0) + (start + i + 1) * <uint64_t>0x9E3779B97F4A7C15U
        mixed = (mixed ^ (mixed >> 30)) * <uint64_t>0xBF58476D1CE4E5B9U
        mixed = (mixed ^ (mixed >> 27)) * <uint64_t>0x94D049BB133111EBU
        total += mixed ^ (mixed >> 31)
    return total
