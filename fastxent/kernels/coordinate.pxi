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
# and a step of V_jk moves column k of A and all of s: the classes know of each other. Binary: Q = c p (1 - p) and
# P = 0, so that s stays 0. Q, P and A are (K, n): a column of X meets contiguous numbers of one class.
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

cdef double LEAST_CURVATURE = 1e-9  # of a group's classes, relative to the largest


cdef class Columns:
    """The columns of X: an ndarray (n, d) in Fortran order, or (data, indices, indptr, n, d) of a CSC matrix."""
    cdef readonly Py_ssize_t n, d
    cdef readonly bint is_double
    cdef Storage storage
    cdef const char* values
    cdef const char* indices
    cdef const char* indptr
    cdef object keep

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
        self.keep = X

    def curvature(self, Q, P, pairs, h, m, bint centre):
        """Fill h and, with `centre`, m for the coordinates in pairs (j K + k; j = d is the intercept)."""
        cdef Model model = self.model(Q, P, Q, Q)
        cdef Py_ssize_t count = pairs.size
        cdef const Py_ssize_t* at = <const Py_ssize_t*>address(pairs, count * sizeof(Py_ssize_t), False)
        cdef double* hp = <double*>address(h, count * sizeof(double), True)
        cdef double* mp = <double*>address(m, count * sizeof(double), True)
        with nogil:
            if self.is_double:
                curvature_range(self, &model, at, count, hp, mp, centre, <const double*>NULL)
            else:
                curvature_range(self, &model, at, count, hp, mp, centre, <const float*>NULL)

    def sweep(self, Q, P, A, s, pairs, order, Py_ssize_t first, Py_ssize_t stop, h, m, mean, G, W, V,
              radius, l1, l2, violation):
        """Minimise q over the coordinates pairs[order[first:stop]], one after the other.

        mean: (d + 1,) float64, what was taken off each column before it came here. G, W, V, radius: (d + 1, K)
        float64; no |V - W| grows beyond its radius by its own step. l1, l2: (d + 1,) float64, zero for the
        intercept. h: without l2. violation: what each coordinate's subgradient was when it was met, less a zero
        weight's l1 (negative: it stays at zero).
        """
        cdef Model model = self.model(Q, P, A, s)
        cdef Py_ssize_t count = pairs.size, size = (self.d + 1) * model.K * sizeof(double)
        cdef Sweep sweep
        check_range(first, stop, count)
        sweep.pairs = <const Py_ssize_t*>address(pairs, count * sizeof(Py_ssize_t), False)
        sweep.order = <const Py_ssize_t*>address(order, count * sizeof(Py_ssize_t), False)
        sweep.h = <const double*>address(h, count * sizeof(double), False)
        sweep.m = <const double*>address(m, count * sizeof(double), False)
        sweep.mean = <const double*>address(mean, (self.d + 1) * sizeof(double), False)
        sweep.G = <const double*>address(G, size, False)
        sweep.W = <const double*>address(W, size, False)
        sweep.V = <double*>address(V, size, True)
        sweep.radius = <const double*>address(radius, size, False)
        sweep.l1 = <const double*>address(l1, (self.d + 1) * sizeof(double), False)
        sweep.l2 = <const double*>address(l2, (self.d + 1) * sizeof(double), False)
        sweep.violation = <double*>address(violation, count * sizeof(double), True)
        with nogil:
            if self.is_double:
                sweep_range(self, &model, &sweep, first, stop, <const double*>NULL)
            else:
                sweep_range(self, &model, &sweep, first, stop, <const float*>NULL)

    def sweep_groups(self, Q, P, A, s, pairs, order, Py_ssize_t first, Py_ssize_t stop, h, m, mean, G, W, V,
                     radius, l1, l2, violation, scratch):
        """The same for groups order[first:stop]: group c is pairs[c K : c K + K], the K weights of one feature.

        violation: for each group, of their number. scratch: 2 K float64.
        """
        cdef Model model = self.model(Q, P, A, s)
        cdef Py_ssize_t count = pairs.size // Q.shape[0], size = (self.d + 1) * model.K * sizeof(double)
        cdef Py_ssize_t per_pair = count * model.K * sizeof(double)
        cdef Sweep sweep
        cdef double* u = <double*>address(scratch, 2 * model.K * sizeof(double), True)
        check_range(first, stop, count)
        sweep.pairs = <const Py_ssize_t*>address(pairs, count * model.K * sizeof(Py_ssize_t), False)
        sweep.order = <const Py_ssize_t*>address(order, count * sizeof(Py_ssize_t), False)
        sweep.h = <const double*>address(h, per_pair, False)
        sweep.m = <const double*>address(m, per_pair, False)
        sweep.mean = <const double*>address(mean, (self.d + 1) * sizeof(double), False)
        sweep.G = <const double*>address(G, size, False)
        sweep.W = <const double*>address(W, size, False)
        sweep.V = <double*>address(V, size, True)
        sweep.radius = <const double*>address(radius, size, False)
        sweep.l1 = <const double*>address(l1, (self.d + 1) * sizeof(double), False)
        sweep.l2 = <const double*>address(l2, (self.d + 1) * sizeof(double), False)
        sweep.violation = <double*>address(violation, count * sizeof(double), True)
        with nogil:
            if self.is_double:
                group_range(self, &model, &sweep, first, stop, u, <const double*>NULL)
            else:
                group_range(self, &model, &sweep, first, stop, u, <const float*>NULL)

    cdef Model model(self, Q, P, A, s) except *:
        cdef Model model
        cdef Py_ssize_t itemsize = 8 if self.is_double else 4
        model.K = Q.shape[0]
        model.Q = address(Q, model.K * self.n * itemsize, False)
        model.P = address(P, model.K * self.n * itemsize, False)
        model.A = <char*>address(A, model.K * self.n * itemsize, False)
        model.s = <char*>address(s, self.n * itemsize, False)
        return model


cdef struct Model:
    Py_ssize_t K
    const char* Q
    const char* P
    char* A
    char* s

cdef struct Sweep:
    const Py_ssize_t* pairs
    const Py_ssize_t* order
    const double* h
    const double* m
    const double* mean
    const double* G
    const double* W
    double* V
    const double* radius
    const double* l1
    const double* l2
    double* violation


cdef void curvature_range(Columns self, const Model* model, const Py_ssize_t* pairs, Py_ssize_t count,
                          double* h,
                          double* m, bint centre, const real* unused) noexcept nogil:
    cdef Py_ssize_t c, j, k, n = self.n, at, nnz
    cdef const real* q
    cdef const real* p
    cdef const real* x
    cdef double sums[3]
    for c in range(count):
        j, k = pairs[c] // model.K, pairs[c] % model.K
        q, p = <const real*>model.Q + k * n, <const real*>model.P + k * n
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


cdef void sparse_move(Py_ssize_t nnz, const real* x, const index* row, real step, const real* p, real* a,
                      real* s) noexcept nogil:
    cdef Py_ssize_t e
    for e in range(nnz):
        a[row[e]] += step * x[e]
        s[row[e]] += step * x[e] * p[row[e]]


cdef double slope_of(Columns self, const Model* model, const Sweep* sweep, Py_ssize_t c,
                     const real* unused) noexcept nogil:
    """dq/dV of the coordinate pairs[c], the intercept of its class moving along."""
    cdef Py_ssize_t n = self.n, K = model.K, here = sweep.pairs[c], j = here // K, k = here % K, at, nnz
    cdef const real* q = <const real*>model.Q + k * n
    cdef const real* a = <const real*>model.A + k * n
    cdef const real* s = <const real*>model.s
    cdef const real* x = <const real*>self.values
    cdef double shift = sweep.m[c] + sweep.mean[j], dummy = 0
    cdef double g = sweep.G[here] + sweep.l2[j] * (sweep.V[here] - sweep.W[here])
    if shift != 0:
        g -= shift * sweep.G[self.d * K + k]
    if j == self.d:
        return g + column_slope(n, <const real*>NULL, 0, q, a, s)
    if self.storage == DENSE:
        return g + column_slope(n, x + j * n, <real>sweep.m[c], q, a, s)
    if self.storage == CSR32:
        at, nnz = span(<const int32_t*>self.indptr, j, &dummy)
        return g + sparse_slope(nnz, x + at, <const int32_t*>self.indices + at, q, a, s)
    at, nnz = span(<const int64_t*>self.indptr, j, &dummy)
    return g + sparse_slope(nnz, x + at, <const int64_t*>self.indices + at, q, a, s)


cdef void move(Columns self, const Model* model, const Sweep* sweep, Py_ssize_t c, double step,
               const real* unused) noexcept nogil:
    """What follows from a step of the coordinate pairs[c]: its intercept, A and s."""
    cdef Py_ssize_t n = self.n, K = model.K, here = sweep.pairs[c], j = here // K, k = here % K, at, nnz
    cdef const real* p = <const real*>model.P + k * n
    cdef real* a = <real*>model.A + k * n
    cdef real* s = <real*>model.s
    cdef const real* x = <const real*>self.values
    cdef double shift = sweep.m[c] + sweep.mean[j], dummy = 0
    if shift != 0:
        sweep.V[self.d * K + k] -= shift * step
    if j == self.d:
        column_move(n, <const real*>NULL, 0, <real>step, p, a, s)
    elif self.storage == DENSE:
        column_move(n, x + j * n, <real>sweep.m[c], <real>step, p, a, s)
    elif self.storage == CSR32:
        at, nnz = span(<const int32_t*>self.indptr, j, &dummy)
        sparse_move(nnz, x + at, <const int32_t*>self.indices + at, <real>step, p, a, s)
    else:
        at, nnz = span(<const int64_t*>self.indptr, j, &dummy)
        sparse_move(nnz, x + at, <const int64_t*>self.indices + at, <real>step, p, a, s)


cdef void sweep_range(Columns self, const Model* model, const Sweep* sweep, Py_ssize_t first, Py_ssize_t stop,
                      const real* unused) noexcept nogil:
    cdef Py_ssize_t v, c, j, here
    cdef double g, h, old, new, u
    for v in range(first, stop):
        c = sweep.order[v]
        here = sweep.pairs[c]
        j = here // model.K
        old = sweep.V[here]
        g = slope_of(self, model, sweep, c, unused)
        if old > 0:
            sweep.violation[c] = fabs(g + sweep.l1[j])
        elif old < 0:
            sweep.violation[c] = fabs(g - sweep.l1[j])
        else:
            sweep.violation[c] = fabs(g) - sweep.l1[j]
        h = sweep.h[c] + sweep.l2[j]
        if not h > 0:
            continue
        u = h * old - g
        new = (u - sweep.l1[j]) / h if u > sweep.l1[j] else (u + sweep.l1[j]) / h if u < -sweep.l1[j] else 0
        new = min(max(new, sweep.W[here] - sweep.radius[here]), sweep.W[here] + sweep.radius[here])
        if new != old:
            sweep.V[here] = new
            move(self, model, sweep, c, new - old, unused)


cdef void group_range(Columns self, const Model* model, const Sweep* sweep, Py_ssize_t first, Py_ssize_t stop,
                      double* u, const real* unused) noexcept nogil:
    cdef Py_ssize_t v, c, k, j, here, K = model.K
    cdef double* D = u + K
    cdef double l1, g, old, new, step, size, length, most, r, t
    for v in range(first, stop):
        c = sweep.order[v] * K
        here = sweep.pairs[c]
        j = here // K
        l1 = sweep.l1[j]
        size = length = most = 0
        for k in range(K):
            size += sweep.V[here + k] ** 2
            D[k] = 2 * sweep.h[c + k] + sweep.l2[j]
            most = max(most, D[k])
        size = sqrt(size)
        for k in range(K):
            g = slope_of(self, model, sweep, c + k, unused)
            D[k] = max(D[k], LEAST_CURVATURE * most)
            u[k] = D[k] * sweep.V[here + k] - g
            length += (g if size == 0 else g + l1 * sweep.V[here + k] / size) ** 2
        sweep.violation[sweep.order[v]] = sqrt(length) - (l1 if size == 0 else 0)
        if not most > 0:
            continue
        r = group_norm(K, u, D, l1, most)
        t = 1
        for k in range(K):
            old = sweep.V[here + k]
            step = u[k] * r / (D[k] * r + l1) - old if r > 0 else -old
            if fabs(old + step - sweep.W[here + k]) > sweep.radius[here + k]:
                new = sweep.W[here + k] + (sweep.radius[here + k] if step > 0 else -sweep.radius[here + k])
                t = min(t, max((new - old) / step, 0.0))
        for k in range(K):
            old = sweep.V[here + k]
            new = u[k] * r / (D[k] * r + l1) if r > 0 else 0
            new = new if t == 1 else old + t * (new - old)
            if new != old:
                sweep.V[here + k] = new
                move(self, model, sweep, c + k, new - old, unused)


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
