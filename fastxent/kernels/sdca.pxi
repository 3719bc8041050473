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

from libc.math cimport INFINITY, fabs, log


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
    return 5 * round_up(rows.K, 16) + 5 * 16


def dual_ascent(LinearSoftmax rows, weights, log_alpha, gap, order, Py_ssize_t first, Py_ssize_t stop, state,
                double scale, double beta, double enough, residual, scratch):
    """Visit the rows order[first:stop] of a CSR matrix, in that order.

    weights: W and b in the kernels' layout; log_alpha (n, K). gap (n,), float64: becomes c_i KL(alpha_i, p_i) at the
    visit. state (n, 2), float64: c_i and q_i of each row. Rows whose gap is at most c_i * enough are left as they are.
    scale, beta, residual (K,): see above and Dual.
    """
    cdef char* w = rows.buffer(weights, rows.weights_size, True)
    cdef char* la = rows.buffer(log_alpha, rows.n * rows.K, True)
    cdef char* s = rows.buffer(scratch, dual_scratch_size(rows), True)
    cdef Dual dual
    check_range(first, stop, stop)
    if rows.layout.scheme != SPARSE:
        raise ValueError("dual ascent visits the rows of a CSR matrix")
    if rows.K == 1:
        raise ValueError("with one column of logits it is binary_dual_ascent")
    dual.gap = <double*>address(gap, rows.n * sizeof(double), True)
    dual.state = <const RowState*>address(state, rows.n * sizeof(RowState), False)
    dual.visit = <const Py_ssize_t*>address(order, stop * sizeof(Py_ssize_t), False)
    dual.residual = <double*>address(residual, rows.K * sizeof(double), True)
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


cdef struct RowState:
    double mass            # c
    double stiffness       # q

cdef struct Dual:
    double* gap
    const RowState* state
    const Py_ssize_t* visit
    double* residual       # sum_i c_i (t_i - alpha_i), kept up to date
    double scale
    double beta
    double enough


cdef void dual_range(LinearSoftmax self, const Dual* dual, Py_ssize_t first, Py_ssize_t stop,
                     const index* unused, real* w,
                     real* log_alpha, real* scratch) noexcept nogil:
    cdef const real* values = <const real*>self.rows.values
    cdef const index* columns = <const index*>self.rows.indices
    cdef const index* indptr = <const index*>self.rows.indptr
    cdef Py_ssize_t L = lanes(w), K = self.K, ld = self.layout.ldw, v, i, k, at, nnz, chunk
    cdef real* bias = w + self.d * ld
    cdef real* z = carve(&scratch, K)
    cdef real* e = carve(&scratch, K)
    cdef real* a = carve(&scratch, K)
    cdef real* u = carve(&scratch, K)
    cdef real* h = carve(&scratch, K)
    cdef double c, gain, step
    memset(u, 0, round_up(K, L) * sizeof(real))
    for v in range(first, stop):
        if v + STATE_AHEAD < stop:
            i = dual.visit[v + STATE_AHEAD]
            FX_PREFETCH(indptr + i)
            FX_PREFETCH(dual.state + i)
            FX_PREFETCH(dual.gap + i)
        if v + ROW_AHEAD < stop:
            i = dual.visit[v + ROW_AHEAD]
            at, nnz = indptr[i], indptr[i + 1] - indptr[i]
            fetch(values + at, nnz * sizeof(real))
            fetch(columns + at, nnz * sizeof(index))
            fetch(log_alpha + i * K, K * sizeof(real))
        i = dual.visit[v]
        c = dual.state[i].mass
        if c == 0:
            dual.gap[i] = 0
            continue
        at, nnz = indptr[i], indptr[i + 1] - indptr[i]
        memcpy(z, bias, round_up(K, L) * sizeof(real))
        for chunk in range(steps(K, 8 * L)):
            k = chunk * 8 * L
            csr_dot_tile(<int>clamp(steps(K - k, L), 1, 8), nnz, 0, values + at, columns + at, w + k, ld, z + k)
        if v + 1 < stop:  # while this row's distribution is found, the next row's weights are on their way
            i = dual.visit[v + 1]
            for k in range(indptr[i], indptr[i + 1]):
                fetch(w + columns[k] * ld, K * sizeof(real))
            i = dual.visit[v]
        dual.gap[i] = c * ascend(K, z, log_alpha + i * K, a, e, h, dual.state[i].stiffness, dual.enough, &gain)
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


cdef inline void fetch(const void* x, Py_ssize_t size) noexcept nogil:
    """Ask for the cache lines of x."""
    cdef Py_ssize_t at
    for at in range(-<Py_ssize_t>(<size_t>x & 63), size, 64):
        FX_PREFETCH(<const char*>x + at)


cdef double ascend(Py_ssize_t K, real* z, real* la, real* a, real* e, real* h, double q_, double enough,
                   double* gain) noexcept nogil:
    """KL(a, p), a = exp(la); where that is more than `enough`, e becomes the new distribution, la its logarithm, gain
    what it is worth."""
    cdef real q = <real>q_, lse, top
    cdef double[5] sums
    cdef double gap = dual_gap(z, la, a, e, h, K, q, &lse, &top), moved
    cdef Py_ssize_t k
    cdef int iteration
    gain[0] = 0
    if gap <= enough:
        return gap if gap > 0 else 0
    if q > 1:
        top = start_stiff(round_up(K, lanes(z)), z, a, e, lse, q, gap, h)
    for iteration in range(NEWTON_STEPS):
        dual_value(z, a, e, h, K, q, lse, top, sums)
        moved = sums[2] - sums[1] * sums[1] / sums[0]  # twice what Newton's step would gain
        if not moved * (1 + q_) > 0.02 * gap or iteration == NEWTON_STEPS - 1:
            break
        top = dual_newton(z, a, e, h, K, q, <real>(-sums[1] / sums[0]))
    gain[0] = gap - sums[3] - 0.5 * q_ * sums[4]
    # Newton's method stopped where the row would lose: any point of the segment near enough to a gains.
    for iteration in range(HALVINGS):
        if gain[0] > 0 or not gap > 0:
            break
        gain[0] = gap
        for k in range(K):
            e[k] = (a[k] + e[k]) / 2
            h[k] = <real>log(e[k]) if e[k] > 0 else LOG_ZERO
            gain[0] -= e[k] * (h[k] - z[k] + lse) + 0.5 * q_ * (e[k] - a[k]) ** 2
    if not gain[0] > 0:
        gain[0] = 0
        return gap
    memcpy(la, h, K * sizeof(real))
    return gap


cdef real start_stiff(Py_ssize_t K, const real* z, const real* a, const real* p, real lse, real q, double gap,
                      real* y) noexcept nogil:
    """y = log e to about a percent, where Newton's method alone might not find it; returns its maximum.

    With w = q e and x_k = z_k + q a_k + log q:  w_k + log w_k = x_k + mu.  The sum of w grows with mu; it is to be
    q."""
    cdef real low = 0, high = 0, log_q = <real>log(q), mu, total, slope, error, top
    cdef Py_ssize_t k
    cdef int iteration
    for k in range(K):
        error = q * (p[k] - a[k])
        low = error if error < low else low
        high = error if error > high else high
    mu = <real>gap
    for iteration in range(STIFF_STEPS):
        if not low < mu < high:
            mu = (low + high) / 2
        total = omega_row(z, a, y, K, q, log_q - lse + mu, &slope)
        error = total - q
        if fabs(error) < 0.03 * q:
            break
        if error > 0:
            high = mu
        else:
            low = mu
        mu -= <real>log(total / q) * total / slope if total > 0 else -1
    top = -INFINITY
    for k in range(K):
        y[k] = (z[k] - lse) + q * a[k] + mu - y[k]
        top = y[k] if y[k] > top else top
    return top
