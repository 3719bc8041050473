# Coordinate descent on the quadratic model of a proximal Newton step, over the columns of X.
#
#   q(V) = G (V - W) + (1/2) (V - W)' H (V - W) + (l2/2) |V - W|^2 + l1 |V|        G: gradient of loss + L2 at W
#
# Multinomial Hessian, nothing left out. With c the largest share of the weights that a row has, and c m_i the share of
# row i, let A_ik = m_i x_i (V - W)_k and s_i = sum_l p_il A_il. Then
#
#   dq/dV_jk = G_jk + l2 (V - W)_jk + c sum_i x_ij p_ik (A_ik - s_i)
#   h_jk     = c sum_i x_ij^2 m_i p_ik (1 - p_ik) + l2
#
# and a step of V_jk changes column k of A and all of s: classes interact. P and A are (K, n), so that a column of X
# meets contiguous numbers of one class. Binary: P holds each row's share times p (1 - p), there is no s, and A holds
# P X (V - W) instead. Most visits only compute a slope, so A and s contain the masses: a slope then reads three arrays,
# or one if binary.
#
# Where the penalty is l1 |V_j| of a feature's weights in all classes together, they step together. Their Hessian,
# sum_i x_ij^2 c_i (diag p_i - p_i p_i'), is at most D = diag(2 h_jk) (the difference is diagonally dominant), and
#
#   min (1/2) sum_k D_k (v_k - u_k / D_k)^2 + l1 |v|    is   v_k = u_k r / (D_k r + l1),  r = |v|,  or 0 if |u| <= l1
#
# so that r is the root of  sum_k u_k^2 / (D_k r + l1)^2 = 1  (M. Yuan, Y. Lin, JRSS B 68, 2006, for one D).
#
# Dense columns are centred as they are read: x_ij - m_jk, with m_jk their mean weighted by curvature. A step moves the
# intercept of class k along, by -m_jk times as much. Without that, columns far from zero would converge slowly. Sparse
# columns stay sparse, m = 0.

cdef enum:
    ROOT_STEPS = 50        # Newton's method takes a few; with NaN it would never end
    TURNED_AT_A_TIME = 128  # entries of a row

cdef double LEAST_CURVATURE = 1e-9  # in a group, relative to its largest: D is a divisor

ctypedef fused summand:
    float
    double

# The columns of X. Dense ones are in Fortran order.
cdef struct ColumnArrays:
    bint is_sparse                 # CSC
    bint is_wide                   # its indices have 64 bits, not 32
    Py_ssize_t n
    Py_ssize_t d
    const void* values
    const void* indices
    const void* begin              # (d,): where the entries of each column begin, and end
    const void* end

# q around W, and its state after the steps so far.
cdef struct Quadratic:
    ColumnArrays X
    Py_ssize_t K
    const void* P                  # (K, n)
    const void* mass               # (n,), relative to the largest; NULL for one class
    double largest                 # share of the weights that a mass of 1 stands for
    void* A                        # (K, n)
    void* s                        # (n,), or NULL for one class
    double* shifted                # (K,): added to the intercepts by steps of centred columns

# The state of a coordinate, in one cache line. prox_newton.py has the same fields.
cdef struct Coordinate:
    double constant      # G - l2 W, minus the slope of the intercept that moves with it
    double l2
    double h             # curvature, including l2; for a group the bound D
    double v             # V
    double low           # bounds of V
    double high
    double l1
    double violation     # size of the subgradient at the last visit; at v = 0, minus l1 (negative: v stays zero)

# A visit of the coordinates order[first:stop], or of groups of them; or the curvature of all.
cdef struct Sweep:
    Quadratic model
    const Py_ssize_t* pairs        # (count,): j K + k of each; j = d is the intercept
    const double* m                # (count,): subtracted from the column as it is read
    const double* shift            # (count,): change of the class's intercept per unit of a step
    Coordinate* table              # (count,)
    const Py_ssize_t* order
    Py_ssize_t first
    Py_ssize_t stop
    double* group                  # scratch (2, K) of a group
    double* h                      # column_curvature: (count,), the curvature without l2
    double* means                  # column_curvature: (count,), becomes m
    bint centre


cdef class Columns:
    """The columns of X: an ndarray (n, d) in Fortran order, or (data, indices, begin, end, n, d) of sparse ones.

    The entries begin[j]..end[j] of data and indices are those of column j: a CSC matrix has begin = indptr[:-1] and
    end = indptr[1:]. All four may still be filled in.
    """
    cdef readonly Py_ssize_t n, d
    cdef readonly bint is_double
    cdef ColumnArrays arrays
    cdef readonly object X

    def __init__(self, X):
        if isinstance(X, tuple):
            data, indices, begin, end, self.n, self.d = X
            self.arrays.is_sparse, self.arrays.is_wide = True, indices.itemsize == 8
            self.arrays.begin = address(begin, self.d * indices.itemsize, False)
            self.arrays.end = address(end, self.d * indices.itemsize, False)
            self.arrays.indices = address(indices, 0, False)
        else:
            data = X
            self.n, self.d = X.shape
            if not X.flags.f_contiguous:
                raise ValueError("columns are read from an array in Fortran order")
        self.is_double = data.itemsize == 8
        self.arrays.values = address(data, 0, False, True)
        self.arrays.n, self.arrays.d = self.n, self.d
        self.X = X

    def add_to(self, z, features, steps, Py_ssize_t first, Py_ssize_t stop):
        """z (n,) += sum of steps[c] times column features[c], c = first..stop; sparse columns, all float64."""
        cdef ColumnSums task = self.sums(first, stop, features.size)
        task.by_row = doubles_out(z, self.n)
        task.features = <const Py_ssize_t*>address(features, stop * sizeof(Py_ssize_t), False)
        task.steps = doubles(steps, stop)
        self.run_index(&task, add_columns, add_columns, add_columns, add_columns)

    def products(self, r, out, features, Py_ssize_t first, Py_ssize_t stop):
        """out[j] = X[:, j]' r for j of features[first:stop]; sparse columns, r (n,) and out (d,) float64."""
        cdef ColumnSums task = self.sums(first, stop, features.size)
        task.features = <const Py_ssize_t*>address(features, stop * sizeof(Py_ssize_t), False)
        task.r, task.by_column = doubles(r, self.n), doubles_out(out, self.d)
        self.run_index(&task, column_products, column_products, column_products, column_products)

    cdef ColumnSums sums(self, Py_ssize_t first, Py_ssize_t stop, Py_ssize_t count) except *:
        cdef ColumnSums task
        if not self.arrays.is_sparse:
            raise ValueError("this is for sparse columns")
        check_range(first, stop, count)
        task.X, task.first, task.stop = &self.arrays, first, stop
        return task

    def has_duplicates(self, features, Py_ssize_t first, Py_ssize_t stop):
        """Return whether one of the sparse columns features[first:stop], their rows sorted, names a row twice."""
        cdef ColumnSums task = self.sums(first, stop, features.size)
        task.features = <const Py_ssize_t*>address(features, stop * sizeof(Py_ssize_t), False)
        self.run_index(&task, find_duplicates, find_duplicates, find_duplicates, find_duplicates)
        return task.twice

    cdef void run_index(self, void* task, F64I32 f64i32, F64I64 f64i64, F32I32 f32i32, F32I64 f32i64) noexcept:
        with nogil:
            dispatch_index(self.is_double, self.arrays.is_wide, task, f64i32, f64i64, f32i32, f32i64)

    cdef char* buffer(self, array, Py_ssize_t count, bint writable) except? NULL:
        return <char*>address(array, count * (8 if self.is_double else 4), writable)


cdef class QuadraticModel:
    """q around W, and its state after the steps so far. All arrays but `shifted` have the dtype of the columns.

    Parameters
    ----------
    columns : Columns
    P : (K, n)
        Probabilities; for one class, their curvature p (1 - p) times the row's share of the weights.
    mass : (n,), or None for one class
        Weights of the rows, relative to the largest.
    largest : float
        The share of all weights that a mass of 1 stands for; 1 for one class.
    A : (K, n)
        Zeros.
    s : (n,), or None for one class
        Zeros.
    shifted : float64 (K,)
        Zeros; becomes the change of the intercepts by steps of centred columns.
    """
    cdef Quadratic model
    cdef Columns columns
    cdef object keep

    def __init__(self, Columns columns, P, mass, double largest, A, s, shifted):
        cdef Py_ssize_t K = P.shape[0], n = columns.n
        if (mass is None or s is None) and K > 1:
            raise ValueError("several classes need mass and s")
        self.model.X, self.model.K, self.model.largest = columns.arrays, K, largest
        self.model.P = columns.buffer(P, K * n, False)
        self.model.A = columns.buffer(A, K * n, True)
        if K > 1:
            self.model.mass = columns.buffer(mass, n, False)
            self.model.s = columns.buffer(s, n, True)
        self.model.shifted = doubles_out(shifted, K)
        self.columns, self.keep = columns, (P, mass, A, s, shifted)

    def curvature(self, pairs, h, m, bint centre):
        """Fill h and, with `centre`, m for the coordinates in pairs (intp; j K + k; j = d is the intercept)."""
        cdef Sweep task
        task.model, task.centre = self.model, centre
        task.first, task.stop = 0, pairs.size
        task.pairs = <const Py_ssize_t*>address(pairs, task.stop * sizeof(Py_ssize_t), False)
        task.h, task.means = doubles_out(h, task.stop), doubles_out(m, task.stop)
        self.columns.run_index(&task, column_curvature, column_curvature, column_curvature, column_curvature)


cdef class Coordinates:
    """Coordinates of a model, which is minimised over them one by one.

    Parameters
    ----------
    model : QuadraticModel
    pairs : intp (count,)
        j K + k of each.
    m : float64 (count,)
        Subtracted from each coordinate's column as it is read.
    shift : float64 (count,)
        All that is subtracted, m included; a step of v changes the class's intercept by -shift v.
    table : (count,) of Coordinate: eight float64 each
    """
    cdef Sweep task
    cdef QuadraticModel model
    cdef object keep

    def __init__(self, QuadraticModel model, pairs, m, shift, table):
        cdef Py_ssize_t count = pairs.size
        self.task.model = model.model
        self.task.pairs = <const Py_ssize_t*>address(pairs, count * sizeof(Py_ssize_t), False)
        self.task.m, self.task.shift = doubles(m, count), doubles(shift, count)
        self.task.table = <Coordinate*>address(table, count * sizeof(Coordinate), True)
        self.model, self.keep = model, (pairs, m, shift, table)

    def sweep(self, order, Py_ssize_t first, Py_ssize_t stop):
        """Minimise q over the coordinates order[first:stop]. order: intp."""
        cdef Sweep task = self.over(order, first, stop)
        self.model.columns.run_index(&task, sweep_range, sweep_range, sweep_range, sweep_range)

    def sweep_groups(self, order, Py_ssize_t first, Py_ssize_t stop, scratch):
        """The same for groups order[first:stop].

        Group c consists of the coordinates c K..c K + K, the weights of one feature; its violation is stored with the
        first of them. scratch: 2 K float64.
        """
        cdef Sweep task = self.over(order, first, stop)
        task.group = doubles_out(scratch, 2 * task.model.K)
        self.model.columns.run_index(&task, group_range, group_range, group_range, group_range)

    cdef Sweep over(self, order, Py_ssize_t first, Py_ssize_t stop) except *:
        cdef Sweep task = self.task
        check_range(first, stop, order.size)
        task.order = <const Py_ssize_t*>address(order, stop * sizeof(Py_ssize_t), False)
        task.first, task.stop = first, stop
        return task


# ---- one column -----------------------------------------------------------------------------------------------------

cdef inline Py_ssize_t column_entries(const ColumnArrays* X, Py_ssize_t j, const real** x,
                                      const index** rows) noexcept nogil:
    """Point x and rows to the entries of sparse column j; return their number."""
    cdef Py_ssize_t at = (<const index*>X.begin)[j]
    x[0] = <const real*>X.values + at
    rows[0] = <const index*>X.indices + at
    return (<const index*>X.end)[j] - at


cdef inline bint is_dense(const ColumnArrays* X, Py_ssize_t j) noexcept nogil:
    """Whether column j is dense; the intercept's column of ones is."""
    return j == X.d or not X.is_sparse


cdef inline const real* dense_column(const ColumnArrays* X, Py_ssize_t j, const real* unused) noexcept nogil:
    """NULL is the intercept's."""
    return <const real*>X.values + j * X.n if j < X.d else NULL


cdef double sparse_curvature(Py_ssize_t nnz, const real* x, const index* row, const real* p,
                             const real* mass) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t e
    if not mass:
        for e in range(nnz):
            total += x[e] * x[e] * p[row[e]]
        return total
    for e in range(nnz):
        total += x[e] * x[e] * mass[row[e]] * p[row[e]] * (1 - p[row[e]])
    return total


cdef double sparse_slope(Py_ssize_t nnz, const real* x, const index* row, const real* p, const real* a,
                         const real* s) noexcept nogil:
    cdef double even = 0, odd = 0
    cdef Py_ssize_t e
    for e in range(nnz // 2):
        even += x[2 * e] * p[row[2 * e]] * (a[row[2 * e]] - s[row[2 * e]])
        odd += x[2 * e + 1] * p[row[2 * e + 1]] * (a[row[2 * e + 1]] - s[row[2 * e + 1]])
    if nnz % 2:
        e = nnz - 1
        even += x[e] * p[row[e]] * (a[row[e]] - s[row[e]])
    return even + odd


cdef double sparse_dot(Py_ssize_t nnz, const real* x, const index* row, const summand* r) noexcept nogil:
    cdef double s0 = 0, s1 = 0, s2 = 0, s3 = 0
    cdef Py_ssize_t e, whole = nnz & ~3
    for e in range(0, whole, 4):
        s0 += x[e] * r[row[e]]
        s1 += x[e + 1] * r[row[e + 1]]
        s2 += x[e + 2] * r[row[e + 2]]
        s3 += x[e + 3] * r[row[e + 3]]
    for e in range(whole, nnz):
        s0 += x[e] * r[row[e]]
    return (s0 + s1) + (s2 + s3)


cdef void sparse_move(Py_ssize_t nnz, const real* x, const index* row, real step, const real* p, const real* mass,
                      real* a, real* s) noexcept nogil:
    cdef Py_ssize_t e
    cdef real moved
    for e in range(nnz):
        moved = step * x[e] * mass[row[e]]
        a[row[e]] += moved
        s[row[e]] += moved * p[row[e]]


cdef void sparse_move_one(Py_ssize_t nnz, const real* x, const index* row, real step, const real* p,
                          real* a) noexcept nogil:
    cdef Py_ssize_t e
    for e in range(nnz):
        a[row[e]] += step * x[e] * p[row[e]]


cdef void column_curvature(void* task, const real* x, const index* rows) noexcept nogil:
    cdef const Sweep* t = <const Sweep*>task
    cdef const Quadratic* model = &t.model
    cdef Py_ssize_t c, j, k, n = model.X.n, nnz
    cdef const real* p
    cdef const real* mass = <const real*>model.mass
    cdef double sums[3]
    for c in range(t.stop):
        j, k = t.pairs[c] // model.K, t.pairs[c] % model.K
        p = <const real*>model.P + k * n
        t.means[c] = 0
        if not is_dense(&model.X, j):
            nnz = column_entries(&model.X, j, &x, &rows)
            t.h[c] = model.largest * sparse_curvature(nnz, x, rows, p, mass)
            continue
        column_moments(n, dense_column(&model.X, j, x), p, mass, sums)
        if j == model.X.d:
            t.h[c] = model.largest * sums[0]
        else:
            if t.centre and sums[0] > 0:
                t.means[c] = sums[1] / sums[0]
            t.h[c] = model.largest * (sums[2] - t.means[c] * sums[1])


cdef inline double slope_of(const Sweep* t, Py_ssize_t c, const real* x, const index* rows) noexcept nogil:
    """dq/dV of the coordinate pairs[c], with the intercept of its class moving along."""
    cdef const Quadratic* model = &t.model
    cdef const Coordinate* at = t.table + c
    cdef Py_ssize_t n = model.X.n, j = t.pairs[c] // model.K, k = t.pairs[c] - j * model.K, nnz
    cdef const real* p = <const real*>model.P + k * n
    cdef const real* a = <const real*>model.A + k * n
    cdef const real* s = <const real*>model.s
    cdef double g = at.constant + at.l2 * at.v
    if is_dense(&model.X, j):
        x = dense_column(&model.X, j, x)
        if model.K == 1:
            return g + column_dot(n, x, <real>t.m[c], a)
        return g + model.largest * column_slope(n, x, <real>t.m[c], p, a, s)
    nnz = column_entries(&model.X, j, &x, &rows)
    if model.K == 1:
        return g + sparse_dot(nnz, x, rows, a)
    return g + model.largest * sparse_slope(nnz, x, rows, p, a, s)


cdef inline void move(const Sweep* t, Py_ssize_t c, double step, const real* x, const index* rows) noexcept nogil:
    """Update the intercept, A and s for a step of the coordinate pairs[c]."""
    cdef const Quadratic* model = &t.model
    cdef Py_ssize_t n = model.X.n, j = t.pairs[c] // model.K, k = t.pairs[c] - j * model.K, nnz
    cdef const real* p = <const real*>model.P + k * n
    cdef const real* mass = <const real*>model.mass
    cdef real* a = <real*>model.A + k * n
    cdef real* s = <real*>model.s
    if t.shift[c] != 0:
        model.shifted[k] -= t.shift[c] * step
    if is_dense(&model.X, j):
        x = dense_column(&model.X, j, x)
        if model.K == 1:
            column_move_one(n, x, <real>t.m[c], <real>step, p, a)
        else:
            column_move(n, x, <real>t.m[c], <real>step, p, mass, a, s)
        return
    nnz = column_entries(&model.X, j, &x, &rows)
    if model.K == 1:
        sparse_move_one(nnz, x, rows, <real>step, p, a)
    else:
        sparse_move(nnz, x, rows, <real>step, p, mass, a, s)


# ---- sweeps ---------------------------------------------------------------------------------------------------------

cdef inline double minimum(Coordinate* at, double g) noexcept nogil:
    """Return the V that minimises the model along a coordinate, where its slope is g; set the violation."""
    cdef double u, new
    if at.v > 0:
        at.violation = fabs(g + at.l1)
    elif at.v < 0:
        at.violation = fabs(g - at.l1)
    else:
        at.violation = fabs(g) - at.l1
    if not at.h > 0:
        return at.v
    u = at.h * at.v - g
    new = (u - at.l1) / at.h if u > at.l1 else (u + at.l1) / at.h if u < -at.l1 else 0
    if new < at.low or new > at.high:  # then only the distance to the bound counts as a violation
        new = min(max(new, at.low), at.high)
        at.violation = at.h * fabs(new - at.v)
    return new


cdef void sweep_range(void* task, const real* x, const index* rows) noexcept nogil:
    cdef const Sweep* t = <const Sweep*>task
    cdef Py_ssize_t v, c
    cdef double old
    cdef Coordinate* at
    for v in range(t.first, t.stop):
        c = t.order[v]
        at = t.table + c
        old = at.v
        at.v = minimum(at, slope_of(t, c, x, rows))
        if at.v != old:
            move(t, c, at.v - old, x, rows)


cdef void group_range(void* task, const real* x, const index* rows) noexcept nogil:
    cdef const Sweep* t = <const Sweep*>task
    cdef Py_ssize_t v, c, k, K = t.model.K
    cdef double* u = t.group
    cdef double old, share
    cdef Coordinate* at
    for v in range(t.first, t.stop):
        c = t.order[v] * K
        at = t.table + c
        if not group_slopes(t, c, u, x, rows):
            continue
        share = group_minimum(at, K, u)
        if share < 1:
            at.violation *= share
        for k in range(K):
            old = at[k].v
            at[k].v = u[k] if share == 1 else old + share * (u[k] - old)
            if at[k].v != old:
                move(t, c + k, at[k].v - old, x, rows)


cdef inline bint group_slopes(const Sweep* t, Py_ssize_t c, double* u, const real* x,
                              const index* rows) noexcept nogil:
    """Compute u and D of a group (both into u) and its violation; return False if the model is flat."""
    cdef Coordinate* at = t.table + c
    cdef Py_ssize_t k, K = t.model.K
    cdef double* D = u + K
    cdef double g, l1 = at.l1, size = 0, length = 0, most = 0
    for k in range(K):
        size += at[k].v ** 2
        most = max(most, at[k].h)
    size = sqrt(size)
    for k in range(K):
        g = slope_of(t, c + k, x, rows)
        D[k] = max(at[k].h, LEAST_CURVATURE * most)
        u[k] = D[k] * at[k].v - g
        length += (g if size == 0 else g + l1 * at[k].v / size) ** 2
    at.violation = sqrt(length) - (l1 if size == 0 else 0)
    return most > 0


cdef inline double group_minimum(const Coordinate* at, Py_ssize_t K, double* u) noexcept nogil:
    """Turn u into the V that minimises the bound of the model; return the share of the step that low and high allow."""
    cdef const double* D = u + K
    cdef double l1 = at.l1, most = 0, r, old, step, share = 1
    cdef Py_ssize_t k
    for k in range(K):
        most = max(most, at[k].h)
    r = group_norm(K, u, D, l1, most)
    for k in range(K):
        old = at[k].v
        u[k] = u[k] * r / (D[k] * r + l1) if r > 0 else 0
        step = u[k] - old
        if old + step > at[k].high:
            share = min(share, max((at[k].high - old) / step, 0.0) if step > 0 else 0.0)
        elif old + step < at[k].low:
            share = min(share, max((at[k].low - old) / step, 0.0) if step < 0 else 0.0)
    return share


cdef double group_norm(Py_ssize_t K, const double* u, const double* D, double l1, double most) noexcept nogil:
    """The root r > 0 of  sum_k u_k^2 / (D_k r + l1)^2 = 1,  or 0 if there is none.

    By Newton's method on the inverse of the sum's square root, which is concave in r and nearly linear, from a lower
    bound of r.
    """
    cdef double total = 0, slope, part, r, step
    cdef Py_ssize_t k
    cdef int iteration
    for k in range(K):
        total += u[k] ** 2
    if total <= l1 ** 2:
        return 0
    r = (sqrt(total) - l1) / most
    for iteration in range(ROOT_STEPS):
        total = slope = 0
        for k in range(K):
            part = u[k] / (D[k] * r + l1)
            total += part ** 2
            slope += part ** 2 * D[k] / (D[k] * r + l1)
        step = (sqrt(total) - 1) * total / slope
        r += step
        if fabs(step) <= 1e-12 * r:  # the next one would be lost in rounding
            break
    return r


# ---- sweeps with a stored Hessian among the coordinates ------------------------------------------------------------

def sweep_gram(H, slope, table, order, Py_ssize_t first, Py_ssize_t stop):
    """Minimise q over the coordinates order[first:stop], one after the other.

    H: (count, count) float64, symmetric, including l2. slope: (count,) float64, dq/dV of each, updated. table: (count,)
    of Coordinate. order: intp.
    """
    cdef Py_ssize_t v, c, i, count = slope.size
    cdef const double* Hp = <double*>address(H, count * count * sizeof(double), False)
    cdef const double* row
    cdef double* sp = <double*>address(slope, count * sizeof(double), True)
    cdef Coordinate* at = <Coordinate*>address(table, count * sizeof(Coordinate), True)
    cdef const Py_ssize_t* op = <const Py_ssize_t*>address(order, stop * sizeof(Py_ssize_t), False)
    cdef double old, step
    check_range(first, stop, order.size)
    with nogil:
        for v in range(first, stop):
            c = op[v]
            old = at[c].v
            at[c].v = minimum(at + c, sp[c])
            step = at[c].v - old
            if step != 0:
                row = Hp + c * count
                for i in range(count):
                    sp[i] += step * row[i]


# ---- binary loss over sparse columns, all sums in double ------------------------------------------------------------

cdef struct ColumnSums:
    const ColumnArrays* X
    Py_ssize_t first
    Py_ssize_t stop
    const Py_ssize_t* features     # (stop,)
    const double* steps            # add_columns: (stop,)
    double* by_row                 # add_columns: (n,)
    const double* r                # column_products: (n,)
    double* by_column              # column_products: (d,)
    bint twice                     # find_duplicates: whether a column names a row twice


cdef void add_columns(void* task, const real* x, const index* rows) noexcept nogil:
    cdef const ColumnSums* t = <const ColumnSums*>task
    cdef Py_ssize_t c, e, nnz
    cdef double step
    for c in range(t.first, t.stop):
        nnz = column_entries(t.X, t.features[c], &x, &rows)
        step = t.steps[c]
        for e in range(nnz):
            t.by_row[rows[e]] += step * x[e]


cdef void column_products(void* task, const real* x, const index* rows) noexcept nogil:
    cdef const ColumnSums* t = <const ColumnSums*>task
    cdef Py_ssize_t c, nnz
    for c in range(t.first, t.stop):
        nnz = column_entries(t.X, t.features[c], &x, &rows)
        t.by_column[t.features[c]] = sparse_dot(nnz, x, rows, t.r)


cdef void find_duplicates(void* task, const real* x, const index* rows) noexcept nogil:
    cdef ColumnSums* t = <ColumnSums*>task
    cdef Py_ssize_t c, e, nnz
    cdef bint twice = False
    for c in range(t.first, t.stop):
        nnz = column_entries(t.X, t.features[c], &x, &rows)
        for e in range(1, nnz):
            twice |= rows[e] == rows[e - 1]
    t.twice = twice


def binary_logits(z, one, zero, r, h, Py_ssize_t first, Py_ssize_t stop):
    """Sum of the losses of rows first..stop at binary logits z, (n,) float64; r and h become its derivatives.

    one, zero: the weights of the classes 1 and 0 in each row, (n,).
    """
    cdef Py_ssize_t size = stop * sizeof(double)
    cdef double* zp = <double*>address(z, size, False)
    cdef double* op = <double*>address(one, size, False)
    cdef double* np = <double*>address(zero, size, False)
    cdef double* rp = <double*>address(r, size, True)
    cdef double* hp = <double*>address(h, size, True)
    cdef double total
    check_range(first, stop, len(z))
    with nogil:
        total = binary_logits_range(zp, op, np, rp, hp, first, stop)
    return total


cdef double binary_logits_range(const double* z, const double* one, const double* zero, double* r, double* h,
                                Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
    cdef double[LOGIT_ROWS] e, log_total, loss
    cdef Aux aux
    cdef double total = 0
    cdef Py_ssize_t b, i, l, rows
    aux.rest, aux.factor, aux.loss = e, log_total, loss
    for b in range(steps(stop - first, LOGIT_ROWS)):
        i = first + b * LOGIT_ROWS
        rows = clamp(stop - i, 0, LOGIT_ROWS)
        memcpy(h + i, z + i, rows * sizeof(double))
        binary_hessian_rows(h + i, rows)
        for l in range(rows):
            h[i + l] *= one[i + l] + zero[i + l]
        total += binary_loss(one + i, zero + i, z + i, r + i, rows, 1.0, <double*>NULL, &aux)
    return total


def binary_entropy(z, one, zero, double share, double q, double back, Py_ssize_t first, Py_ssize_t stop):
    """Sum of the weighted entropies of alpha = t + back ((1 - share) sigmoid(z) + share q - t) in rows first..stop.

    t = one / (one + zero); alpha and t are of class 1. Arrays as in binary_logits; the weight of a row is not zero.
    """
    cdef Py_ssize_t size = stop * sizeof(double)
    cdef const double* zp = <const double*>address(z, size, False)
    cdef const double* op = <const double*>address(one, size, False)
    cdef const double* np = <const double*>address(zero, size, False)
    cdef double total
    check_range(first, stop, len(z))
    with nogil:
        total = binary_entropy_range(zp, op, np, share, q, back, first, stop)
    return total


cdef double binary_entropy_range(const double* z, const double* one, const double* zero, double share, double q,
                                 double back, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
    cdef double[LOGIT_ROWS] e, odds, rest
    cdef double total = 0, likely, mass, t, alpha, other
    cdef Py_ssize_t b, i, l, rows
    for b in range(steps(stop - first, LOGIT_ROWS)):
        i = first + b * LOGIT_ROWS
        rows = clamp(stop - i, 0, LOGIT_ROWS)
        for l in range(rows):
            e[l] = z[i + l] if z[i + l] < 0 else -z[i + l]
        exp_array(e, e, rows)
        for l in range(rows):  # the less likely class is not rounded as 1 - alpha would be
            likely = 1 / (1 + e[l])
            mass = one[i + l] + zero[i + l]
            t = one[i + l] / mass
            alpha = (1 - share) * (likely if z[i + l] >= 0 else e[l] * likely) + share * q
            alpha = t + back * (alpha - t)
            t = zero[i + l] / mass
            other = (1 - share) * (e[l] * likely if z[i + l] >= 0 else likely) + share * (1 - q)
            other = t + back * (other - t)
            odds[l] = max(alpha if alpha < other else other, 0.0) / max(alpha, other)
        memcpy(rest, odds, rows * sizeof(double))
        log1p_array(rest, rows)
        for l in range(rows):  # -p log p - (1 - p) log(1 - p) by the odds w = p / (1 - p) is log(1 + w) - p log w
            if odds[l] > 0:
                total += (one[i + l] + zero[i + l]) * (rest[l] - odds[l] / (1 + odds[l]) * log(odds[l]))
    return total


# ---- columns from rows ----------------------------------------------------------------------------------------------

# A range of the rows of a CSR matrix. Columns made of them have the same dtypes.
cdef struct Turning:
    Py_ssize_t first
    Py_ssize_t stop
    const void* x                  # the CSR matrix
    const void* columns
    const void* row_begin
    const double* one              # sizes_of: (n,), or NULL: what the classes weigh in each row
    const double* zero
    double* sizes                  # sizes_of: (d, 4)
    bint negative                  # sizes_of: whether an entry is
    const double* r                # row_products: (n,)
    double* by_column              # row_products: (d,)
    void* values                   # turn_rows: the columns
    void* rows
    void* next                     # turn_rows: (d,), where the next entry of each column goes
    const unsigned char* chosen    # turn_rows: (d,), which columns


cdef Turning turning(X, Py_ssize_t first, Py_ssize_t stop) except *:
    cdef Turning task
    cdef Py_ssize_t size = X[1].itemsize, n = X[3]
    check_range(first, stop, n)
    task.first, task.stop = first, stop
    task.row_begin = address(X[2], (n + 1) * size, False)
    task.x = address(X[0], X[2][n] * X[0].itemsize, False)
    task.columns = address(X[1], X[2][n] * size, False)
    return task


def column_sizes(X, classes, sizes, Py_ssize_t first, Py_ssize_t stop):
    """Count the entries of each column in rows first..stop of X = (data, indices, indptr, n, d), and bound its slope.

    sizes (d, 4), float64: the number of entries and the largest |x| so far, and, with classes = (one, zero), (n,)
    each, the least and the greatest that sum_i x_ij r_i can be where -one_i <= r_i <= zero_i. Return whether an x is
    negative; if none is, the last two are -sum_i x_ij one_i and sum_i x_ij zero_i.
    """
    cdef Turning task = turning(X, first, stop)
    cdef bint is_double = X[0].itemsize == 8, is_wide = X[1].itemsize == 8
    task.sizes = doubles_out(sizes, 4 * X[4])
    task.one = NULL
    if classes is not None:
        task.one, task.zero = doubles(classes[0], X[3]), doubles(classes[1], X[3])
    with nogil:
        dispatch_index(is_double, is_wide, &task, sizes_of, sizes_of, sizes_of, sizes_of)
    return task.negative


cdef void sizes_of(void* task, const real* x, const index* j) noexcept nogil:
    cdef Turning* t = <Turning*>task
    cdef const index* begin = <const index*>t.row_begin
    cdef double* size
    cdef Py_ssize_t i, e
    cdef double up, down, one = 0, zero = 0
    cdef bint negative = False
    x, j = <const real*>t.x, <const index*>t.columns
    for i in range(t.first, t.stop):
        if t.one:
            one, zero = -t.one[i], t.zero[i]
        for e in range(begin[i], begin[i + 1]):
            size = t.sizes + 4 * <Py_ssize_t>j[e]
            up, down = x[e] * zero, x[e] * one
            negative |= x[e] < 0
            size[0] += 1
            size[1] = max(size[1], fabs(<double>x[e]))
            size[2] += up if up < down else down
            size[3] += down if up < down else up
    t.negative = negative


def products_of_rows(X, r, out, Py_ssize_t first, Py_ssize_t stop):
    """out (d,) += sum of r_i times row i = first..stop of a CSR matrix X = (data, indices, indptr, n, d).

    r (n,) and out: float64.
    """
    cdef Turning task = turning(X, first, stop)
    cdef bint is_double = X[0].itemsize == 8, is_wide = X[1].itemsize == 8
    task.r, task.by_column = doubles(r, X[3]), doubles_out(out, X[4])
    with nogil:
        dispatch_index(is_double, is_wide, &task, row_products, row_products, row_products, row_products)


cdef void row_products(void* task, const real* x, const index* j) noexcept nogil:
    cdef const Turning* t = <const Turning*>task
    cdef const index* begin = <const index*>t.row_begin
    cdef double* out = t.by_column
    cdef Py_ssize_t i, e
    cdef double r
    x, j = <const real*>t.x, <const index*>t.columns
    for i in range(t.first, t.stop):
        r = t.r[i]
        for e in range(begin[i], begin[i + 1]):
            out[j[e]] += r * x[e]


def columns_of_rows(X, chosen, places, indices, values, Py_ssize_t first, Py_ssize_t stop):
    """Write the chosen ones (bool (d,)) of the columns of rows first..stop of a CSR matrix X = (data, indices, indptr,
    n, d) to columns of the same dtypes.

    places (d,) says where the next entry of each column goes, and moves on.
    """
    cdef Turning task = turning(X, first, stop)
    cdef bint is_double = X[0].itemsize == 8, is_wide = X[1].itemsize == 8
    cdef Py_ssize_t size = X[1].itemsize
    task.values = <void*>address(values, len(indices) * X[0].itemsize, True)
    task.rows = <void*>address(indices, len(indices) * size, True)
    task.next = <void*>address(places, X[4] * size, True)
    task.chosen = <const unsigned char*>address(chosen, X[4], False)
    with nogil:
        dispatch_index(is_double, is_wide, &task, turn_rows, turn_rows, turn_rows, turn_rows)


cdef void turn_rows(void* task, const real* x, const index* j) noexcept nogil:
    cdef const Turning* t = <const Turning*>task
    cdef const index* row_begin = <const index*>t.row_begin
    cdef index* next_place = <index*>t.next
    cdef index* rows = <index*>t.rows
    cdef real* values = <real*>t.values
    cdef Py_ssize_t[TURNED_AT_A_TIME] entries
    cdef Py_ssize_t i, e, c, begin, stop, count
    cdef index to
    x, j = <const real*>t.x, <const index*>t.columns
    for i in range(t.first, t.stop):
        begin, stop = row_begin[i], row_begin[i + 1]
        while begin < stop:
            count = 0
            for e in range(begin, min(stop, begin + TURNED_AT_A_TIME)):  # without a branch that nobody could foresee
                entries[count] = e
                count += t.chosen[j[e]]
            for c in range(count):
                e = entries[c]
                to = next_place[j[e]]
                rows[to] = <index>i
                values[to] = x[e]
                next_place[j[e]] = to + 1
            begin += TURNED_AT_A_TIME
