# Coordinate descent on the quadratic model of a proximal Newton step, over the columns of X.
#
#   q(V) = G (V - W) + (1/2) (V - W)' H (V - W) + (l2/2) |V - W|^2 + l1 |V|        G: gradient of loss + L2 at W
#
# Multinomial Hessian, nothing left out: with A = X (V - W), s_i = sum_l p_il A_il, c_i the row's share of the weights,
# and Q_ik = c_i p_ik,
#
#   dq/dV_jk = G_jk + l2 (V - W)_jk + sum_i x_ij Q_ik (A_ik - s_i)
#   h_jk     = sum_i x_ij^2 Q_ik (1 - p_ik) + l2
#
# and a step of V_jk moves column k of A and all of s: the classes know of each other. Q, P and A are (K, n): a column
# of X meets contiguous numbers of one class. Binary: Q = c p (1 - p), there is no s, and A holds Q X (V - W) instead:
# a slope, which most visits end with, then reads one array.
#
# Where the penalty is l1 |V_j| of a feature's weights in all classes together, they step together. Their Hessian,
# sum_i x_ij^2 c_i (diag p_i - p_i p_i'), is at most D = diag(2 h_jk) (the difference is diagonally dominant), and
#
#   min (1/2) sum_k D_k (v_k - u_k / D_k)^2 + l1 |v|    is   v_k = u_k r / (D_k r + l1),  r = |v|,  or 0 if |u| <= l1
#
# so that r is the root of  sum_k u_k^2 / (D_k r + l1)^2 = 1  (M. Yuan, Y. Lin, JRSS B 68, 2006, for one D).
#
# Dense columns are centred as they are read, x_ij - m_jk with m_jk their mean under Q (1 - P): the step moves
# the intercept of class k along, by -m_jk times as much, or columns far from zero would crawl. Sparse columns
# stay sparse, m = 0.

from libc.math cimport sqrt

cdef enum:
    ROOT_STEPS = 50

ctypedef fused summand:
    float
    double

cdef double LEAST_CURVATURE = 1e-9  # of a group's classes, relative to the largest


cdef class Columns:
    """The columns of X: an ndarray (n, d) in Fortran order, or (data, indices, indptr, n, d) of a CSC matrix."""
    cdef readonly Py_ssize_t n, d
    cdef readonly bint is_double
    cdef Storage storage
    cdef const char* values
    cdef const char* indices
    cdef const char* indptr
    cdef readonly object X

    def __init__(self, X):
        cdef Py_ssize_t index_size
        if isinstance(X, tuple):
            data, indices, indptr, self.n, self.d = X
            index_size = indices.itemsize
            self.storage = CSR32 if index_size == 4 else CSR64
            self.indptr = address(indptr, (self.d + 1) * index_size, False)
            self.indices = address(indices, 0, False)
        else:
            data = X
            self.n, self.d = X.shape
            if not X.flags.f_contiguous:
                raise ValueError("columns are read from an array in Fortran order")
            self.storage = DENSE
        self.is_double = data.itemsize == 8
        self.values = address(data, 0, False, True)
        self.X = X

    def curvature(self, Q, P, pairs, h, m, bint centre):
        """Fill h and, with `centre`, m for the coordinates in pairs (j K + k; j = d is the intercept)."""
        cdef Model model = self.model(Q, P, Q, None if P is None else P)
        cdef Py_ssize_t count = pairs.size
        cdef const Py_ssize_t* at = <const Py_ssize_t*>address(pairs, count * sizeof(Py_ssize_t), False)
        cdef double* hp = <double*>address(h, count * sizeof(double), True)
        cdef double* mp = <double*>address(m, count * sizeof(double), True)
        with nogil:
            if self.is_double:
                curvature_range(self, &model, at, count, hp, mp, centre, <const double*>NULL)
            else:
                curvature_range(self, &model, at, count, hp, mp, centre, <const float*>NULL)

    def sweep(self, Q, P, A, s, pairs, m, shift, table, order, Py_ssize_t first, Py_ssize_t stop, shifted,
              together=None):
        """Minimise q over the coordinates pairs[order[first:stop]], one after the other.

        P, s: None for one class. m: what is taken off each coordinate's column as it is read; shift: that and what
        was taken off before, by which a step moves the intercept of its class: added to shifted, (K,) float64.
        table: (count, 8) float64, a Coordinate for each. order: intp.

        With `together`, scratch of 2 K float64, the same for groups order[first:stop]: group c is pairs[c K : c K + K],
        the K weights of one feature; the violation is with the first of them.
        """
        cdef Model model = self.model(Q, P, A, s)
        cdef Py_ssize_t count = pairs.size, width = 1 if together is None else model.K
        cdef double* u = NULL
        cdef Sweep sweep
        check_range(first, stop, order.size)
        sweep.pairs = <const Py_ssize_t*>address(pairs, count * sizeof(Py_ssize_t), False)
        sweep.order = <const Py_ssize_t*>address(order, stop * sizeof(Py_ssize_t), False)
        sweep.m = <const double*>address(m, count * sizeof(double), False)
        sweep.shift = <const double*>address(shift, count * sizeof(double), False)
        sweep.table = <Coordinate*>address(table, count * sizeof(Coordinate), True)
        sweep.shifted = <double*>address(shifted, model.K * sizeof(double), True)
        if width > 1:
            u = <double*>address(together, 2 * model.K * sizeof(double), True)
        with nogil:
            if self.is_double and width == 1:
                sweep_range(self, &model, &sweep, first, stop, <const double*>NULL)
            elif self.is_double:
                group_range(self, &model, &sweep, first, stop, u, <const double*>NULL)
            elif width == 1:
                sweep_range(self, &model, &sweep, first, stop, <const float*>NULL)
            else:
                group_range(self, &model, &sweep, first, stop, u, <const float*>NULL)

    def add_to(self, z, features, steps, Py_ssize_t first, Py_ssize_t stop):
        """z (n,) += sum of steps[c] times the column features[c], c = first..stop; sparse columns, all float64."""
        cdef double* zp = <double*>address(z, self.n * sizeof(double), True)
        cdef const Py_ssize_t* j = <const Py_ssize_t*>address(features, stop * sizeof(Py_ssize_t), False)
        cdef const double* step = <const double*>address(steps, stop * sizeof(double), False)
        self.check_sparse()
        check_range(first, stop, features.size)
        with nogil:
            if self.is_double:
                add_columns(self, j, step, first, stop, zp, <const double*>NULL)
            else:
                add_columns(self, j, step, first, stop, zp, <const float*>NULL)

    def products(self, r, out, Py_ssize_t first, Py_ssize_t stop):
        """out[first:stop] = X[:, first:stop]' r; sparse columns, r (n,) and out (d,) float64."""
        cdef const double* rp = <const double*>address(r, self.n * sizeof(double), False)
        cdef double* op = <double*>address(out, self.d * sizeof(double), True)
        self.check_sparse()
        check_range(first, stop, self.d)
        with nogil:
            if self.is_double:
                column_products(self, rp, op, first, stop, <const double*>NULL)
            else:
                column_products(self, rp, op, first, stop, <const float*>NULL)

    cdef int check_sparse(self) except -1:
        if self.storage == DENSE:
            raise ValueError("this is for sparse columns")
        return 0

    cdef Model model(self, Q, P, A, s) except *:
        cdef Model model
        cdef Py_ssize_t itemsize = 8 if self.is_double else 4
        model.K = Q.shape[0]
        if (P is None or s is None) and model.K > 1:
            raise ValueError("several classes need P and s")
        model.Q = address(Q, model.K * self.n * itemsize, False)
        model.A = <char*>address(A, model.K * self.n * itemsize, False)
        model.P = NULL if model.K == 1 else address(P, model.K * self.n * itemsize, False)
        model.s = NULL if model.K == 1 else <char*>address(s, self.n * itemsize, False)
        return model


cdef struct Model:
    Py_ssize_t K
    const char* Q
    const char* P
    char* A
    char* s

# What a visit needs of its coordinate, in one line of cache. prox_newton.py names the same numbers.
cdef struct Coordinate:
    double constant      # G - l2 W, and less the slope of the intercept that moves along
    double l2
    double h             # curvature, l2 included; of a group the bound D
    double v             # V
    double low           # how far V may go by its own step
    double high
    double l1
    double violation     # the size of the subgradient when it was met, less a zero weight's l1 (negative: it rests)

cdef struct Sweep:
    const Py_ssize_t* pairs
    const Py_ssize_t* order
    const double* m
    const double* shift
    Coordinate* table
    double* shifted


cdef void curvature_range(Columns self, const Model* model, const Py_ssize_t* pairs, Py_ssize_t count,
                          double* h,
                          double* m, bint centre, const real* unused) noexcept nogil:
    cdef Py_ssize_t c, j, k, n = self.n, at, nnz
    cdef const real* q
    cdef const real* p = NULL
    cdef const real* x
    cdef double sums[3]
    for c in range(count):
        j, k = pairs[c] // model.K, pairs[c] % model.K
        q = <const real*>model.Q + k * n
        if model.P:
            p = <const real*>model.P + k * n
        x = <const real*>self.values
        m[c] = 0
        if j == self.d:
            column_moments(n, <const real*>NULL, q, p, sums)
            h[c] = sums[0]
        elif self.storage == DENSE:
            column_moments(n, x + j * n, q, p, sums)
            if centre and sums[0] > 0:
                m[c] = sums[1] / sums[0]
            h[c] = sums[2] - m[c] * sums[1]
        elif self.storage == CSR32:
            at, nnz = span(<const int32_t*>self.indptr, j, &h[c])
            h[c] = sparse_curvature(nnz, x + at, <const int32_t*>self.indices + at, q, p)
        else:
            at, nnz = span(<const int64_t*>self.indptr, j, &h[c])
            h[c] = sparse_curvature(nnz, x + at, <const int64_t*>self.indices + at, q, p)


cdef inline (Py_ssize_t, Py_ssize_t) span(const index* indptr, Py_ssize_t j, double* unused) noexcept nogil:
    return indptr[j], indptr[j + 1] - indptr[j]


cdef double sparse_curvature(Py_ssize_t nnz, const real* x, const index* row, const real* q,
                             const real* p) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t e
    if not p:
        for e in range(nnz):
            total += x[e] * x[e] * q[row[e]]
        return total
    for e in range(nnz):
        total += x[e] * x[e] * q[row[e]] * (1 - p[row[e]])
    return total


cdef double sparse_slope(Py_ssize_t nnz, const real* x, const index* row, const real* q, const real* a,
                         const real* s) noexcept nogil:
    cdef double even = 0, odd = 0
    cdef Py_ssize_t e
    for e in range(nnz // 2):
        even += x[2 * e] * q[row[2 * e]] * (a[row[2 * e]] - s[row[2 * e]])
        odd += x[2 * e + 1] * q[row[2 * e + 1]] * (a[row[2 * e + 1]] - s[row[2 * e + 1]])
    if nnz % 2:
        e = nnz - 1
        even += x[e] * q[row[e]] * (a[row[e]] - s[row[e]])
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


cdef void sparse_move(Py_ssize_t nnz, const real* x, const index* row, real step, const real* p, real* a,
                      real* s) noexcept nogil:
    cdef Py_ssize_t e
    for e in range(nnz):
        a[row[e]] += step * x[e]
        s[row[e]] += step * x[e] * p[row[e]]


cdef void sparse_move_one(Py_ssize_t nnz, const real* x, const index* row, real step, const real* q,
                          real* a) noexcept nogil:
    cdef Py_ssize_t e
    for e in range(nnz):
        a[row[e]] += step * x[e] * q[row[e]]


cdef double slope_in(Columns self, const Model* model, const Sweep* sweep, Py_ssize_t c, Py_ssize_t j, Py_ssize_t k,
                     const index* indptr, const real* x) noexcept nogil:
    """What the steps made so far add to the slope of the coordinate pairs[c]."""
    cdef Py_ssize_t n = self.n, at, nnz
    cdef const real* q = <const real*>model.Q + k * n
    cdef const real* a = <const real*>model.A + k * n
    cdef const real* s = <const real*>model.s
    if j == self.d or self.storage == DENSE:
        x = x + j * n if j < self.d else NULL
        if model.K == 1:
            return column_dot(n, x, <real>sweep.m[c], a)
        return column_slope(n, x, <real>sweep.m[c], q, a, s)
    at, nnz = indptr[j], indptr[j + 1] - indptr[j]
    if model.K == 1:
        return sparse_dot(nnz, x + at, <const index*>self.indices + at, a)
    return sparse_slope(nnz, x + at, <const index*>self.indices + at, q, a, s)


cdef void move_in(Columns self, const Model* model, const Sweep* sweep, Py_ssize_t c, Py_ssize_t j, Py_ssize_t k,
                  real step, const index* indptr, const real* x) noexcept nogil:
    cdef Py_ssize_t n = self.n, at, nnz
    cdef const real* q = <const real*>model.Q + k * n
    cdef const real* p = <const real*>model.P + (k * n if model.P else 0)
    cdef real* a = <real*>model.A + k * n
    cdef real* s = <real*>model.s
    if j == self.d or self.storage == DENSE:
        x = x + j * n if j < self.d else NULL
        if model.K == 1:
            column_move_one(n, x, <real>sweep.m[c], step, q, a)
        else:
            column_move(n, x, <real>sweep.m[c], step, p, a, s)
        return
    at, nnz = indptr[j], indptr[j + 1] - indptr[j]
    if model.K == 1:
        sparse_move_one(nnz, x + at, <const index*>self.indices + at, step, q, a)
    else:
        sparse_move(nnz, x + at, <const index*>self.indices + at, step, p, a, s)


cdef inline double slope_of(Columns self, const Model* model, const Sweep* sweep, Py_ssize_t c, Py_ssize_t j,
                            Py_ssize_t k, const real* unused) noexcept nogil:
    """dq/dV of the coordinate pairs[c], the intercept of its class moving along."""
    cdef const Coordinate* at = sweep.table + c
    cdef const real* x = <const real*>self.values
    cdef double g = at.constant + at.l2 * at.v
    if self.storage == CSR64:
        return g + slope_in(self, model, sweep, c, j, k, <const int64_t*>self.indptr, x)
    return g + slope_in(self, model, sweep, c, j, k, <const int32_t*>self.indptr, x)


cdef inline void move(Columns self, const Model* model, const Sweep* sweep, Py_ssize_t c, Py_ssize_t j, Py_ssize_t k,
                      double step, const real* unused) noexcept nogil:
    """What follows from a step of the coordinate pairs[c]: its intercept, A and s."""
    cdef const real* x = <const real*>self.values
    if sweep.shift[c] != 0:
        sweep.shifted[k] -= sweep.shift[c] * step
    if self.storage == CSR64:
        move_in(self, model, sweep, c, j, k, <real>step, <const int64_t*>self.indptr, x)
    else:
        move_in(self, model, sweep, c, j, k, <real>step, <const int32_t*>self.indptr, x)


cdef inline double minimum(Coordinate* at, double g) noexcept nogil:
    """The V at which the model is least along a coordinate where its slope is g; notes the violation."""
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
    if new < at.low or new > at.high:  # what is beyond does not count
        new = min(max(new, at.low), at.high)
        at.violation = at.h * fabs(new - at.v)
    return new


cdef void sweep_range(Columns self, const Model* model, const Sweep* sweep, Py_ssize_t first, Py_ssize_t stop,
                      const real* unused) noexcept nogil:
    cdef Py_ssize_t v, c, j, k
    cdef double old
    cdef Coordinate* at
    for v in range(first, stop):
        c = sweep.order[v]
        at = sweep.table + c
        j = sweep.pairs[c] // model.K
        k = sweep.pairs[c] - j * model.K
        old = at.v
        at.v = minimum(at, slope_of(self, model, sweep, c, j, k, unused))
        if at.v != old:
            move(self, model, sweep, c, j, k, at.v - old, unused)


cdef void group_range(Columns self, const Model* model, const Sweep* sweep, Py_ssize_t first, Py_ssize_t stop,
                      double* u, const real* unused) noexcept nogil:
    cdef Py_ssize_t v, c, k, j, K = model.K
    cdef double* D = u + K
    cdef double l1, g, old, new, step, size, length, most, r, t
    cdef Coordinate* at
    for v in range(first, stop):
        c = sweep.order[v] * K
        at = sweep.table + c
        j = sweep.pairs[c] // K
        l1 = at.l1
        size = length = most = 0
        for k in range(K):
            size += at[k].v ** 2
            most = max(most, at[k].h)
        size = sqrt(size)
        for k in range(K):
            g = slope_of(self, model, sweep, c + k, j, k, unused)
            D[k] = max(at[k].h, LEAST_CURVATURE * most)
            u[k] = D[k] * at[k].v - g
            length += (g if size == 0 else g + l1 * at[k].v / size) ** 2
        at.violation = sqrt(length) - (l1 if size == 0 else 0)
        if not most > 0:
            continue
        r = group_norm(K, u, D, l1, most)
        t = 1
        for k in range(K):
            old = at[k].v
            step = u[k] * r / (D[k] * r + l1) - old if r > 0 else -old
            if old + step > at[k].high:
                t = min(t, max((at[k].high - old) / step, 0.0) if step > 0 else 0.0)
            elif old + step < at[k].low:
                t = min(t, max((at[k].low - old) / step, 0.0) if step < 0 else 0.0)
        if t < 1:
            at.violation *= t
        for k in range(K):
            old = at[k].v
            new = u[k] * r / (D[k] * r + l1) if r > 0 else 0
            new = new if t == 1 else old + t * (new - old)
            if new != old:
                at[k].v = new
                move(self, model, sweep, c + k, j, k, new - old, unused)


cdef double group_norm(Py_ssize_t K, const double* u, const double* D, double l1, double most) noexcept nogil:
    """The root r > 0 of  sum_k u_k^2 / (D_k r + l1)^2 = 1,  or 0 if there is none: by Newton's method on the inverse
    of the sum's root, which is concave in r and nearly linear; begun at a lower bound."""
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
        if fabs(step) <= 1e-12 * r:
            break
    return r


# ---- sweeps where the Hessian among the coordinates is at hand -----------------------------------------------------

def sweep_gram(H, slope, table, order, Py_ssize_t first, Py_ssize_t stop):
    """Minimise q over the coordinates order[first:stop], one after the other.

    H: (count, count) float64, symmetric, l2 included; slope: (count,) float64, dq/dV of each, kept up to date.
    table: (count, 8) float64, a Coordinate for each. order: intp.
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

cdef void add_columns(Columns self, const Py_ssize_t* features, const double* steps, Py_ssize_t first, Py_ssize_t stop,
                      double* z, const real* unused) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(first, stop):
        if self.storage == CSR64:
            add_column(features[c], steps[c], <const int64_t*>self.indptr, <const int64_t*>self.indices,
                       <const real*>self.values, z)
        else:
            add_column(features[c], steps[c], <const int32_t*>self.indptr, <const int32_t*>self.indices,
                       <const real*>self.values, z)


cdef inline void add_column(Py_ssize_t j, double step, const index* indptr, const index* indices, const real* x,
                            double* z) noexcept nogil:
    cdef Py_ssize_t e
    for e in range(indptr[j], indptr[j + 1]):
        z[indices[e]] += step * x[e]


cdef void column_products(Columns self, const double* r, double* out, Py_ssize_t first, Py_ssize_t stop,
                          const real* unused) noexcept nogil:
    cdef const real* x = <const real*>self.values
    if self.storage == CSR64:
        products_in(<const int64_t*>self.indptr, <const int64_t*>self.indices, x, r, out, first, stop)
    else:
        products_in(<const int32_t*>self.indptr, <const int32_t*>self.indices, x, r, out, first, stop)


cdef inline void products_in(const index* indptr, const index* indices, const real* x, const double* r, double* out,
                             Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(first, stop):
        out[j] = sparse_dot(indptr[j + 1] - indptr[j], x + indptr[j], indices + indptr[j], r)


def binary_logits(z, one, zero, r, h, Py_ssize_t first, Py_ssize_t stop):
    """Sum of the losses of rows first..stop at binary logits z, (n,) float64; r and h become its derivatives.

    one, zero: what the classes weigh in each row.
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
    cdef double[LOGIT_ROWS] e
    cdef double[LOGIT_ROWS] log_total
    cdef double[LOGIT_ROWS] loss
    cdef double total = 0
    cdef Py_ssize_t b, i, l, rows
    for b in range(steps(stop - first, LOGIT_ROWS)):
        i = first + b * LOGIT_ROWS
        rows = clamp(stop - i, 0, LOGIT_ROWS)
        memcpy(h + i, z + i, rows * sizeof(double))
        binary_hessian_rows(h + i, rows)
        for l in range(rows):
            h[i + l] *= one[i + l] + zero[i + l]
        total += binary_loss(one + i, zero + i, z + i, r + i, rows, 1.0, <double*>NULL, e, log_total, loss)
    return total


# ---- columns from rows ----------------------------------------------------------------------------------------------

def column_sizes(X, one, zero, counts, ends):
    """Count the entries of each column of a CSR matrix X = (data, indices, indptr, n, d), and bound its gradient.

    counts (d,), of the dtype of the indices, and ends (d, 2), float64, come zeroed. With one and zero (n,), or None:
    ends become the least and the greatest that sum_i x_ij r_i can be where -one_i <= r_i <= zero_i.
    """
    cdef Py_ssize_t n = X[3], d = X[4], itemsize = X[0].itemsize, size = X[1].itemsize
    cdef const char* values = address(X[0], X[2][n] * itemsize, False)
    cdef const char* indices = address(X[1], X[2][n] * size, False)
    cdef const char* indptr = address(X[2], (n + 1) * size, False)
    cdef char* c = <char*>address(counts, d * size, True)
    cdef double* ep = <double*>address(ends, 2 * d * sizeof(double), True)
    cdef const double* op = NULL
    cdef const double* zp = NULL
    if one is not None:
        op = <const double*>address(one, n * sizeof(double), False)
        zp = <const double*>address(zero, n * sizeof(double), False)
    with nogil:
        if itemsize == 8 and size == 8:
            sizes_of(n, <const double*>values, <const int64_t*>indices, <const int64_t*>indptr, op, zp, <int64_t*>c, ep)
        elif itemsize == 8:
            sizes_of(n, <const double*>values, <const int32_t*>indices, <const int32_t*>indptr, op, zp, <int32_t*>c, ep)
        elif size == 8:
            sizes_of(n, <const float*>values, <const int64_t*>indices, <const int64_t*>indptr, op, zp, <int64_t*>c, ep)
        else:
            sizes_of(n, <const float*>values, <const int32_t*>indices, <const int32_t*>indptr, op, zp, <int32_t*>c, ep)


cdef void sizes_of(Py_ssize_t n, const real* x, const index* j, const index* begin, const double* one,
                   const double* zero, index* counts, double* ends) noexcept nogil:
    cdef Py_ssize_t i, e
    cdef double up, down
    for i in range(n):
        for e in range(begin[i], begin[i + 1]):
            counts[j[e]] += 1
            if one:
                up, down = x[e] * zero[i], -x[e] * one[i]
                ends[2 * j[e]] += up if up < down else down
                ends[2 * j[e] + 1] += down if up < down else up


def columns_of_rows(X, indptr, indices, values, reach):
    """Fill a CSC matrix from a CSR matrix X = (data, indices, indptr, n, d), of the same dtypes; rows in order.

    indptr says where its columns begin; those that have no room there are left out. indices and values have room for
    one entry more. reach: (d,) float64, becomes each column's largest |x|. Returns whether a column names a row twice.
    """
    cdef Py_ssize_t n = X[3], d = X[4], itemsize = X[0].itemsize, size = X[1].itemsize
    cdef Py_ssize_t nnz = X[2][n], room = indptr[d] + 1
    cdef const char* from_values = address(X[0], nnz * itemsize, False)
    cdef const char* from_indices = address(X[1], nnz * size, False)
    cdef const char* from_indptr = address(X[2], (n + 1) * size, False)
    cdef char* to_values = <char*>address(values, room * itemsize, True)
    cdef char* to_indices = <char*>address(indices, room * size, True)
    cdef const char* to_indptr = address(indptr, (d + 1) * size, False)
    cdef double* rp = <double*>address(reach, d * sizeof(double), True)
    at = indptr.copy()  # where the next entry goes
    cdef char* ap = <char*>address(at, (d + 1) * size, True)
    cdef bint twice
    with nogil:
        if itemsize == 8 and size == 8:
            twice = turn_rows(n, d, <const double*>from_values, <const int64_t*>from_indices,
                              <const int64_t*>from_indptr, <double*>to_values, <int64_t*>to_indices,
                              <const int64_t*>to_indptr, <int64_t*>ap, rp)
        elif itemsize == 8:
            twice = turn_rows(n, d, <const double*>from_values, <const int32_t*>from_indices,
                              <const int32_t*>from_indptr, <double*>to_values, <int32_t*>to_indices,
                              <const int32_t*>to_indptr, <int32_t*>ap, rp)
        elif size == 8:
            twice = turn_rows(n, d, <const float*>from_values, <const int64_t*>from_indices,
                              <const int64_t*>from_indptr, <float*>to_values, <int64_t*>to_indices,
                              <const int64_t*>to_indptr, <int64_t*>ap, rp)
        else:
            twice = turn_rows(n, d, <const float*>from_values, <const int32_t*>from_indices,
                              <const int32_t*>from_indptr, <float*>to_values, <int32_t*>to_indices,
                              <const int32_t*>to_indptr, <int32_t*>ap, rp)
    return twice


cdef bint turn_rows(Py_ssize_t n, Py_ssize_t d, const real* x, const index* j, const index* rows_begin,
                    real* values, index* rows, const index* begin, index* at, double* reach) noexcept nogil:
    cdef Py_ssize_t i, e
    cdef index to, before
    cdef double largest
    cdef bint twice = False
    for i in range(d):
        if begin[i] == begin[i + 1]:
            at[i] = begin[d]
    for i in range(n):
        for e in range(rows_begin[i], rows_begin[i + 1]):
            to = at[j[e]]
            rows[to] = <index>i
            values[to] = x[e]
            at[j[e]] = to + (to < begin[d])  # what is left out goes to the end, again and again
    for i in range(d):
        largest = 0
        before = -1
        for e in range(begin[i], begin[i + 1]):
            largest = max(largest, fabs(<double>values[e]))
            twice |= rows[e] == before
            before = rows[e]
        reach[i] = largest
    return twice
