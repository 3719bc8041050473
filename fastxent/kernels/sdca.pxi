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
    NEAR = 24576           # bytes of weights, half of a first-level cache: more would push each other out

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
    check_rows(rows)
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
    cdef Py_ssize_t L = lanes(w), K = self.K, ld = self.layout.ldw, v, i, k, at, nnz
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
        csr_row_dot(K, self.layout.narrow, ld, nnz, 0, values + at, columns + at, w, z)
        if v + 1 < stop:  # while this row's distribution is found, the next row's weights are on their way
            i = dual.visit[v + 1]
            if (indptr[i + 1] - indptr[i]) * ld * <Py_ssize_t>sizeof(real) <= NEAR:
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
        csr_row_add(K, self.layout.narrow, ld, nnz, 0, values + at, columns + at, u, w)


def dual_evaluate(LinearSoftmax rows, weights, log_alpha, gap, state, gradient, scratch, Py_ssize_t first,
                  Py_ssize_t stop):
    """Losses, gaps and gradient of rows first..stop: returns sum_i c_i loss_i, fills gap[first:stop], and adds
    sum_i c_i x_i (p_i - t_i)' to the gradient, the intercept's row too."""
    cdef char* w = rows.buffer(weights, rows.weights_size, False)
    cdef char* la = rows.buffer(log_alpha, rows.n * rows.K, False)
    cdef char* g = rows.buffer(gradient, rows.weights_size, True)
    cdef char* s = rows.buffer(scratch, dual_scratch_size(rows), True)
    cdef double* gaps = <double*>address(gap, rows.n * sizeof(double), True)
    cdef const RowState* st = <const RowState*>address(state, rows.n * sizeof(RowState), False)
    cdef double total
    check_range(first, stop, rows.n)
    check_rows(rows)
    rows.check_target()
    with nogil:
        if rows.is_double and rows.rows.storage == CSR32:
            total = evaluate_range(rows, st, gaps, first, stop, <const int32_t*>NULL, <const double*>w,
                                   <const double*>la, <double*>g, <double*>s)
        elif rows.is_double:
            total = evaluate_range(rows, st, gaps, first, stop, <const int64_t*>NULL, <const double*>w,
                                   <const double*>la, <double*>g, <double*>s)
        elif rows.rows.storage == CSR32:
            total = evaluate_range(rows, st, gaps, first, stop, <const int32_t*>NULL, <const float*>w,
                                   <const float*>la, <float*>g, <float*>s)
        else:
            total = evaluate_range(rows, st, gaps, first, stop, <const int64_t*>NULL, <const float*>w,
                                   <const float*>la, <float*>g, <float*>s)
    return total


cdef double evaluate_range(LinearSoftmax self, const RowState* state, double* gap, Py_ssize_t first, Py_ssize_t stop,
                           const index* unused, const real* w, const real* log_alpha, real* g,
                           real* scratch) noexcept nogil:
    cdef const real* values = <const real*>self.rows.values
    cdef const index* columns = <const index*>self.rows.indices
    cdef const index* indptr = <const index*>self.rows.indptr
    cdef Py_ssize_t L = lanes(g), K = self.K, ld = self.layout.ldw, i, k, at, nnz, ahead, last = indptr[self.n]
    cdef real* bias = g + self.d * ld
    cdef real* z = carve(&scratch, K)
    cdef real* p = carve(&scratch, K)
    cdef real* a = carve(&scratch, K)
    cdef real* t = carve(&scratch, K)
    cdef real* h = carve(&scratch, K)
    cdef real[3] tops
    cdef double total = 0, c, row_gap
    for i in range(first, stop):
        c = state[i].mass
        gap[i] = 0
        if c == 0:
            continue
        at, nnz = indptr[i], indptr[i + 1] - indptr[i]
        memcpy(z, w + self.d * ld, round_up(K, L) * sizeof(real))
        ahead = self.layout.ahead if at + nnz + self.layout.ahead <= last else 0
        csr_row_dot(K, self.layout.narrow, ld, nnz, ahead, values + at, columns + at, w, z)
        row_gap = dual_gap(z, log_alpha + i * K, a, p, h, K, 0, tops)
        gap[i] = c * row_gap if row_gap > 0 else 0
        total += c * (tops[2] + subtract_targets(self, i, tops[0], z, p, t))
        for k in range(round_up(K, L)):
            p[k] *= <real>c
            bias[k] += p[k]
        csr_row_add(K, self.layout.narrow, ld, nnz, ahead, values + at, columns + at, p, g)
    return total


cdef double subtract_targets(LinearSoftmax self, Py_ssize_t i, real m, const real* z, real* p, real* t) noexcept nogil:
    """p -= t_i, the row's target; returns sum_k t_ik (m - z_k)."""
    cdef double total = 0, mass
    cdef Py_ssize_t k
    if is_plain(&self.targets):
        k = self.targets.codes[i]
        p[k] -= 1
        return m - z[k]
    mass = target_row(&self.targets, i, t)
    for k in range(self.K):
        t[k] = <real>(t[k] / mass)
        p[k] -= t[k]
        total += t[k] * (m - z[k])
    return total


def dual_targets(LinearSoftmax rows, state, gradient, scratch, Py_ssize_t first, Py_ssize_t stop):
    """Add sum_i c_i x_i t_i' of rows first..stop to the gradient, the intercept's row too."""
    cdef char* g = rows.buffer(gradient, rows.weights_size, True)
    cdef char* s = rows.buffer(scratch, dual_scratch_size(rows), True)
    cdef const RowState* st = <const RowState*>address(state, rows.n * sizeof(RowState), False)
    check_range(first, stop, rows.n)
    check_rows(rows)
    rows.check_target()
    with nogil:
        if rows.is_double and rows.rows.storage == CSR32:
            targets_range(rows, st, first, stop, <const int32_t*>NULL, <double*>g, <double*>s)
        elif rows.is_double:
            targets_range(rows, st, first, stop, <const int64_t*>NULL, <double*>g, <double*>s)
        elif rows.rows.storage == CSR32:
            targets_range(rows, st, first, stop, <const int32_t*>NULL, <float*>g, <float*>s)
        else:
            targets_range(rows, st, first, stop, <const int64_t*>NULL, <float*>g, <float*>s)


cdef void targets_range(LinearSoftmax self, const RowState* state, Py_ssize_t first, Py_ssize_t stop,
                        const index* unused, real* g, real* scratch) noexcept nogil:
    cdef const real* values = <const real*>self.rows.values
    cdef const index* columns = <const index*>self.rows.indices
    cdef const index* indptr = <const index*>self.rows.indptr
    cdef Py_ssize_t L = lanes(g), K = self.K, ld = self.layout.ldw, i, k, at, nnz, ahead, last = indptr[self.n]
    cdef real* t = carve(&scratch, K)
    cdef real c
    memset(t, 0, round_up(K, L) * sizeof(real))
    for i in range(first, stop):
        c = <real>state[i].mass
        if c == 0:
            continue
        if is_plain(&self.targets):
            k = self.targets.codes[i]
            g[self.d * ld + k] += c
            for at in range(indptr[i], indptr[i + 1]):
                g[columns[at] * ld + k] += c * values[at]
            continue
        c /= <real>target_row(&self.targets, i, t)
        for k in range(K):
            t[k] *= c
            g[self.d * ld + k] += t[k]
        at, nnz = indptr[i], indptr[i + 1] - indptr[i]
        ahead = self.layout.ahead if at + nnz + self.layout.ahead <= last else 0
        csr_row_add(K, self.layout.narrow, ld, nnz, ahead, values + at, columns + at, t, g)


def dual_shares(LinearSoftmax rows, log_alpha, state, tilt, sums, out, Py_ssize_t first, Py_ssize_t stop):
    """Tilted distributions softmax(log alpha_i + tilt) of rows first..stop: adds sum_i c_i of them to sums (K,).

    tilt (K,) and out (stop - first, K), or None, in the dtype of the data; sums float64.
    """
    cdef char* la = rows.buffer(log_alpha, rows.n * rows.K, False)
    cdef char* t = rows.buffer(tilt, rows.K, False)
    cdef char* o = rows.buffer(out, (stop - first) * rows.K, True)
    cdef const RowState* s = <const RowState*>address(state, rows.n * sizeof(RowState), False)
    cdef double* total = <double*>address(sums, rows.K * sizeof(double), True)
    check_range(first, stop, rows.n)
    with nogil:
        if rows.is_double:
            shares_range(rows.K, s, total, first, stop, <const double*>la, <const double*>t, <double*>o)
        else:
            shares_range(rows.K, s, total, first, stop, <const float*>la, <const float*>t, <float*>o)


cdef void shares_range(Py_ssize_t K, const RowState* state, double* sums, Py_ssize_t first, Py_ssize_t stop,
                       const real* log_alpha, const real* tilt, real* out) noexcept nogil:
    cdef Py_ssize_t i, k
    for i in range(first, stop):
        tilted_row(K, log_alpha + i * K, tilt, out)
        for k in range(K):
            sums[k] += state[i].mass * out[k]
        out += K


cdef inline void tilted_row(Py_ssize_t K, const real* log_alpha, const real* tilt, real* out) noexcept nogil:
    """out = softmax(log_alpha + tilt); neither is far above 0."""
    cdef real share
    cdef Py_ssize_t k
    for k in range(K):
        out[k] = log_alpha[k] + tilt[k]
    exp_array(out, out, K)
    share = 1 / sum_row(out, K)
    for k in range(K):
        out[k] *= share


def dual_bound(LinearSoftmax rows, log_alpha, state, tilt, mixed, double share, gradient, scratch,
               Py_ssize_t first, Py_ssize_t stop):
    """Entropies of rows first..stop, and what they add to the dual's W.

    With alpha'_i = (1 - share) softmax(log alpha_i + tilt) + share * mixed: adds sum_i c_i x_i (alpha'_i - t_i)' to
    the gradient, and returns sum_i c_i H(alpha'_i).
    """
    cdef char* la = rows.buffer(log_alpha, rows.n * rows.K, False)
    cdef char* t = rows.buffer(tilt, rows.K, False)
    cdef char* m = rows.buffer(mixed, rows.K, False)
    cdef char* g = rows.buffer(gradient, rows.weights_size, True)
    cdef char* s = rows.buffer(scratch, dual_scratch_size(rows), True)
    cdef const RowState* st = <const RowState*>address(state, rows.n * sizeof(RowState), False)
    cdef double total
    check_range(first, stop, rows.n)
    check_rows(rows)
    rows.check_target()
    with nogil:
        if rows.is_double and rows.rows.storage == CSR32:
            total = entropy_range(rows, st, share, first, stop, <const int32_t*>NULL, <const double*>la,
                                  <const double*>t, <const double*>m, <double*>g, <double*>s)
        elif rows.is_double:
            total = entropy_range(rows, st, share, first, stop, <const int64_t*>NULL, <const double*>la,
                                  <const double*>t, <const double*>m, <double*>g, <double*>s)
        elif rows.rows.storage == CSR32:
            total = entropy_range(rows, st, share, first, stop, <const int32_t*>NULL, <const float*>la,
                                  <const float*>t, <const float*>m, <float*>g, <float*>s)
        else:
            total = entropy_range(rows, st, share, first, stop, <const int64_t*>NULL, <const float*>la,
                                  <const float*>t, <const float*>m, <float*>g, <float*>s)
    return total


cdef double entropy_range(LinearSoftmax self, const RowState* state, double share, Py_ssize_t first, Py_ssize_t stop,
                          const index* unused, const real* log_alpha, const real* tilt, const real* mixed, real* g,
                          real* scratch) noexcept nogil:
    cdef const real* values = <const real*>self.rows.values
    cdef const index* columns = <const index*>self.rows.indices
    cdef const index* indptr = <const index*>self.rows.indptr
    cdef Py_ssize_t L = lanes(g), K = self.K, ld = self.layout.ldw, i, k, at, nnz, ahead, last = indptr[self.n]
    cdef real* a = carve(&scratch, K)
    cdef real* u = carve(&scratch, K)
    cdef real* h = carve(&scratch, K)
    cdef real* t = carve(&scratch, K)
    cdef real least = 1e-37
    cdef double total = 0
    memset(u, 0, round_up(K, L) * sizeof(real))
    for i in range(first, stop):
        if state[i].mass == 0:
            continue
        tilted_row(K, log_alpha + i * K, tilt, a)
        for k in range(K):
            a[k] = (1 - <real>share) * a[k] + <real>share * mixed[k]
            h[k] = (1 - a[k]) / (a[k] if a[k] > least else least)
            h[k] = h[k] if h[k] > 0 else 0
            u[k] = a[k]
        log1p_array(h, K)  # -log a
        total += state[i].mass * dot_row(a, h, K)
        subtract_targets(self, i, 0, a, u, t)
        for k in range(K):
            u[k] *= <real>state[i].mass
        at, nnz = indptr[i], indptr[i + 1] - indptr[i]
        ahead = self.layout.ahead if at + nnz + self.layout.ahead <= last else 0
        csr_row_add(K, self.layout.narrow, ld, nnz, ahead, values + at, columns + at, u, g)
    return total


cdef check_rows(LinearSoftmax rows):
    if rows.layout.scheme != SPARSE:
        raise ValueError("dual ascent visits the rows of a CSR matrix")
    if rows.K == 1:
        raise ValueError("with one column of logits it is binary_dual_ascent")


cdef inline void fetch(const void* x, Py_ssize_t size) noexcept nogil:
    """Ask for the cache lines of x."""
    cdef Py_ssize_t at
    for at in range(-<Py_ssize_t>(<size_t>x & 63), size, 64):
        FX_PREFETCH(<const char*>x + at)


cdef double ascend(Py_ssize_t K, real* z, real* la, real* a, real* e, real* h, double q_, double enough,
                   double* gain) noexcept nogil:
    """KL(a, p), a = exp(la); where that is more than `enough`, e becomes the new distribution, la its logarithm, gain
    what it is worth."""
    cdef real q = <real>q_
    cdef real[3] tops
    cdef double[5] sums
    cdef double gap = dual_gap(z, la, a, e, h, K, q, tops), moved
    cdef real lse = tops[0] + tops[2], top = tops[1]
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
