# Dual coordinate ascent over CSR rows, more than two classes: the update of one row's distribution, exactly, and a loop
# over rows. (Two classes: dual_binary.pxi.)
#
#   F = max over alpha_i in the simplex of  (1/S) sum_i c_i (H(alpha_i) + (alpha_i - t_i) z_i) + (l2/2) |W|^2
#   W = scale sum_i c_i x_i (t_i - alpha_i)',   scale = 1 / (l2 S),   c_i = s_i times the sum of the row's targets
#   b moves as if it were the weight of a feature of square beta; the solver moves its anchor between epochs
#
# (H is the entropy.) Row i, others fixed: the new distribution e maximises  H(e) + e z - (q/2) |e - a|^2  with a the
# old one and q = c_i scale (|x_i|^2 + beta). With y = log e:   y_k + q e_k = z_k + q a_k + mu,   sum e = 1.  Newton's
# method in (y, mu),
#
#   v_k = z_k + q a_k - y_k - q e_k        h_k = e_k / (1 + q e_k)
#   mu  = -sum h v / sum h                 y_k += (v_k + mu) / (1 + q e_k)
#
# takes one exponential of the row an iteration and no logarithm, for y is what is kept of alpha; where q is large it
# needs a good start. The row gains
#
#   KL(a, p) - KL(e, p) - (q/2) |e - a|^2        p = softmax(z), KL(a, p) the row's share of the duality gap.

cdef enum:
    NEWTON_STEPS = 12
    STIFF_STEPS = 30
    HALVINGS = 30
    LOG_ZERO = -80         # stands for log 0 in a distribution that is kept by its logarithms
    AHEAD = 4              # rows whose numbers are fetched ahead

from libc.math cimport INFINITY, exp, fabs, log, log1p


def shift_intercepts(LinearSoftmax rows, weights, shift):
    """Add shift (K,), float64, to the intercepts in weights (SPARSE layout)."""
    cdef char* w = rows.buffer(weights, rows.weights_size, True)
    cdef const double* by = <const double*>address(shift, rows.K * sizeof(double), False)
    cdef Py_ssize_t k, at = rows.d * rows.layout.ldw
    for k in range(rows.K):
        if rows.is_double:
            (<double*>w)[at + k] += by[k]
        else:
            (<float*>w)[at + k] += <float>by[k]


def dual_scratch_size(LinearSoftmax rows):
    """Entries of scratch that dual_ascent needs."""
    return 6 * round_up(rows.K, 16) + rows.targets.n_classes + 7 * 16


def dual_ascent(LinearSoftmax rows, weights, log_alpha, gap, order, Py_ssize_t first, Py_ssize_t stop, square,
                double scale, double beta, double enough, residual, scratch):
    """Visit the rows order[first:stop] of a CSR matrix, in that order.

    weights: W and b in the kernels' layout; log_alpha (n, K). gap (n,): c_i KL(alpha_i, p_i) at the visit, infinite
    for rows not visited yet, whose alpha_i is their target. square (n,): |x_i|^2. Rows whose gap is at most
    c_i * enough are left as they are. residual (K,): sum_i c_i (t_i - alpha_i), kept up to date.
    """
    cdef char* w = rows.buffer(weights, rows.weights_size, True)
    cdef char* la = rows.buffer(log_alpha, rows.n * rows.K, True)
    cdef char* s = rows.buffer(scratch, dual_scratch_size(rows), True)
    cdef double* g = <double*>address(gap, rows.n * sizeof(double), True)
    cdef const double* xx = <const double*>address(square, rows.n * sizeof(double), False)
    cdef const Py_ssize_t* visit = <const Py_ssize_t*>address(order, stop * sizeof(Py_ssize_t), False)
    cdef double* r = <double*>address(residual, rows.K * sizeof(double), True)
    cdef Dual dual
    check_range(first, stop, stop)
    rows.check_target()
    if rows.layout.scheme != SPARSE:
        raise ValueError("dual ascent visits the rows of a CSR matrix")
    if rows.K == 1:
        raise ValueError("with one column of logits it is binary_dual_ascent")
    dual.gap, dual.square, dual.visit, dual.residual = g, xx, visit, r
    dual.scale, dual.beta, dual.enough = scale, beta, enough
    with nogil:
        if rows.is_double and rows.rows.storage == CSR32:
            dual_range(rows, &dual, first, stop, <const int32_t*>NULL, <double*>w, <double*>la, <double*>s)
        elif rows.is_double:
            dual_range(rows, &dual, first, stop, <const int64_t*>NULL, <double*>w, <double*>la, <double*>s)
        elif rows.rows.storage == CSR32:
            dual_range(rows, &dual, first, stop, <const int32_t*>NULL, <float*>w, <float*>la, <float*>s)
        else:
            dual_range(rows, &dual, first, stop, <const int64_t*>NULL, <float*>w, <float*>la, <float*>s)


cdef struct Dual:
    double* gap
    const double* square
    const Py_ssize_t* visit
    double* residual
    double scale
    double beta
    double enough


cdef void dual_range(LinearSoftmax self, const Dual* dual, Py_ssize_t first, Py_ssize_t stop,
                     const index* unused, real* w,
                     real* log_alpha, real* scratch) noexcept nogil:
    cdef const real* values = <const real*>self.rows.values
    cdef const index* columns = <const index*>self.rows.indices
    cdef const index* indptr = <const index*>self.rows.indptr
    cdef const Targets* targets = &self.targets
    cdef Py_ssize_t L = lanes(w), K = self.K, ld = self.layout.ldw, v, i, k, at, nnz, chunk, ahead
    cdef real* bias = w + self.d * ld
    cdef real* z = carve(&scratch, K)
    cdef real* e = carve(&scratch, K)
    cdef real* a = carve(&scratch, K)
    cdef real* u = carve(&scratch, K)
    cdef real* h = carve(&scratch, K)
    cdef real* one = carve(&scratch, K)
    cdef real* t = scratch
    cdef real* la
    cdef double s, c, q, mass, gain, step
    cdef bint fresh
    for k in range(round_up(K, L)):
        one[k] = 1 if k < K else 0
        u[k] = 0
    for v in range(first, stop):
        i = dual.visit[v]
        if v + AHEAD < stop:
            ahead = indptr[dual.visit[v + AHEAD]]
            FX_PREFETCH(columns + ahead)
            FX_PREFETCH(values + ahead)
            FX_PREFETCH(log_alpha + dual.visit[v + AHEAD] * K)
        s = weight_of(targets, i)
        if s == 0:
            dual.gap[i] = 0
            continue
        at, nnz = indptr[i], indptr[i + 1] - indptr[i]
        la = log_alpha + i * K
        fresh = dual.gap[i] == INFINITY
        memcpy(z, bias, round_up(K, L) * sizeof(real))
        for chunk in range(steps(K, 8 * L)):
            k = chunk * 8 * L
            csr_dot_tile(<int>clamp(steps(K - k, L), 1, 8), nnz, 0, values + at, columns + at, w + k, ld, z + k)
        if not fresh:
            exp_row(la, a, K, 0)
            mass = 1.0
        elif is_plain(targets):
            memset(a, 0, K * sizeof(real))
            a[targets.codes[i]] = 1
            mass = 1.0
        else:
            mass = target_row(targets, i, t)
            for k in range(K):
                a[k] = <real>(t[k] / mass) if mass > 0 else 0
        c = s * mass if fresh else s * row_mass(targets, i, t)
        if c == 0:
            dual.gap[i] = 0
            continue
        q = c * dual.scale * (dual.square[i] + dual.beta)
        dual.gap[i] = c * ascend(K, z, a, fresh, q, dual.enough, la, e, u, h, one, &gain)
        if gain <= 0:
            continue
        for k in range(K):
            u[k] = e[k] - a[k]
            dual.residual[k] -= c * u[k]
        step = -c * dual.scale
        for k in range(K):
            u[k] = <real>(step * u[k])
            bias[k] += <real>(dual.beta * u[k])
        for chunk in range(steps(K, 8 * L)):
            k = chunk * 8 * L
            csr_add_tile(<int>clamp(steps(K - k, L), 1, 8), nnz, 0, values + at, columns + at, u + k, w + k, ld)


cdef inline double row_mass(const Targets* target, Py_ssize_t i, real* t) noexcept nogil:
    return 1.0 if is_plain(target) else target_row(target, i, t)


cdef double ascend(Py_ssize_t K, const real* z, const real* a, bint fresh, double q_, double enough,
                   real* la, real* e,
                   real* u, real* h, const real* one, double* gain) noexcept nogil:
    """KL(a, p); where that is more than `enough`, e becomes the new distribution, la its logarithm, gain what it is
    worth.

    fresh: la does not hold log a yet. u, h: scratch of K."""
    cdef real q = <real>q_, m = max_row(z, K), rest = exp_row(z, e, K, m), share = 1 / (1 + rest), mu, lse
    cdef double gap, before, moved
    cdef Py_ssize_t k
    cdef int iteration
    lse = m + <real>log1p(rest)
    gap = 0
    if fresh:
        for k in range(K):
            if a[k] > 0:
                gap += a[k] * ((lse - z[k]) + log(a[k]))
    else:
        for k in range(K):
            u[k] = la[k] - z[k] + lse
        gap = dot_row(a, u, K)
    gain[0] = 0
    if gap <= enough and not fresh:
        return gap if gap > 0 else 0
    for k in range(K):
        e[k] *= share
    if q > 1:
        start_stiff(K, z, a, e, lse, q, gap, u, h)
    else:
        for k in range(K):
            h[k] = (z[k] - lse) + q * (a[k] - e[k]) / (1 + q * e[k])
    for iteration in range(NEWTON_STEPS):
        m = max_row(h, K)
        rest = exp_row(h, e, K, m)
        share = 1 / (1 + rest)
        m += <real>log1p(rest)
        for k in range(K):
            h[k] -= m
            e[k] *= share
        # la is free for what is asked now: h (log e) stays, u = v, la = 1 / (1 + q e)
        for k in range(K):
            u[k] = z[k] + q * (a[k] - e[k]) - h[k]
            la[k] = 1 / (1 + q * e[k])
        before = dot_row3(e, la, u, K)
        mu = <real>(-before / dot_row(e, la, K))
        for k in range(K):
            u[k] += mu
            la[k] *= u[k]
        moved = dot_row3(e, la, u, K)  # twice what Newton's step would gain
        if not moved * (1 + q) > 0.02 * gap or iteration == NEWTON_STEPS - 1:
            break
        for k in range(K):
            h[k] += la[k]
    for k in range(K):
        la[k] = h[k]
        u[k] = h[k] - z[k] + lse
        h[k] = e[k] - a[k]
    gain[0] = gap - dot_row(e, u, K) - 0.5 * q_ * dot_row(h, h, K)
    # Newton's method stopped where the row would lose: any point of the segment near enough to a gains.
    for iteration in range(HALVINGS):
        if gain[0] > 0 or not gap > 0:
            break
        for k in range(K):
            e[k] = a[k] + h[k] / 2
            h[k] = e[k] - a[k]
            la[k] = <real>log(e[k]) if e[k] > 0 else LOG_ZERO
            u[k] = la[k] - z[k] + lse
        gain[0] = gap - dot_row(e, u, K) - 0.5 * q_ * dot_row(h, h, K)
    if not gain[0] > 0:
        for k in range(K):
            la[k] = <real>log(a[k]) if a[k] > 0 else LOG_ZERO
        gain[0] = 0
    return gap


cdef void start_stiff(Py_ssize_t K, const real* z, const real* a, const real* p, real lse, real q,
                      double gap, real* x,
                      real* y) noexcept nogil:
    """y = log e to about a percent, where Newton's method alone might not find it.

    With w = q e and x_k = z_k + q a_k + log q:  w_k + log w_k = x_k + mu.  The sum of w grows with mu; it is to be
    q."""
    cdef real low = 0, high = 0, log_q = <real>log(q), mu, total, slope, error
    cdef Py_ssize_t k
    cdef int iteration
    for k in range(K):
        x[k] = (z[k] - lse) + q * a[k] + log_q
        error = q * (p[k] - a[k])
        low = error if error < low else low
        high = error if error > high else high
    mu = <real>gap
    for iteration in range(STIFF_STEPS):
        if not low < mu < high:
            mu = (low + high) / 2
        total = omega_row(x, y, K, mu, &slope)
        error = total - q
        if fabs(error) < 0.03 * q:
            break
        if error > 0:
            high = mu
        else:
            low = mu
        mu -= <real>log(total / q) * total / slope if total > 0 else -1
    for k in range(K):
        y[k] = x[k] + mu - y[k] - log_q


cdef inline double dot_row3(const real* a, const real* b, const real* c, Py_ssize_t K) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t k
    for k in range(K):
        total += a[k] * b[k] * c[k]
    return total
