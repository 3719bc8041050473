# Dual coordinate ascent over CSR rows, more than two classes: the update of one row's distribution, exactly, and a loop
# over rows. (Two classes: sdca_binary.pxi.)
#
#   F = max over alpha_i in the simplex of  (1/S) sum_i c_i (H(alpha_i) + (alpha_i - t_i) z_i) + (l2/2) |W|^2
#   W = scale sum_i c_i x_i (t_i - alpha_i)',   scale = 1 / (l2 S),   c_i = s_i times the sum of the row's targets
#   b moves like the weight of a feature with the value sqrt(beta); the solver recentres its penalty between epochs
#
# (H is the entropy.) For row i, with the others fixed, the new distribution e maximises
# H(e) + e z - (q/2) |e - a|^2,  with a the old one and q = c_i scale (|x_i|^2 + beta). With y = log e:
# y_k + q e_k = z_k + q a_k + mu,   sum e = 1.  Newton's method in (y, mu),
#
#   v_k = z_k + q a_k - y_k - q e_k        h_k = e_k / (1 + q e_k)
#   mu  = -sum h v / sum h                 y_k += (v_k + mu) / (1 + q e_k)
#
# takes one exponential of the row per iteration and no logarithm, because alpha is stored as y. If q is large, it needs
# a good starting point. The row gains
#
#   KL(a, p) - KL(e, p) - (q/2) |e - a|^2        p = softmax(z), KL(a, p) the row's share of the duality gap.

cdef enum:
    NEWTON_STEPS = 12      # a row that needs more continues at its next visit
    STIFF_STEPS = 30       # of Newton's method within an interval, for a start accurate to a few percent
    HALVINGS = 30          # of a step that loses: less than 2^-30 of it is rounding
    LOG_ZERO = -80         # stands for log 0 in a distribution that is stored by its logarithms

# The state of a row; solvers/dual/ascent.py has the same fields.
cdef struct DualRow:
    double mass            # c
    double stiffness       # q

cdef struct Dual:
    const Rows* rows
    const Layout* layout
    const Target* target
    void* weights                  # W and b, in the layout
    void* log_alpha                # (n, K)
    const DualRow* row             # (n,)
    double* gap                    # (n,): c_i KL(alpha_i, p_i) at the last visit of row i
    double* residual               # (K,): sum_i c_i (t_i - alpha_i), updated by every visit

# A pass over rows first..stop, or order[first:stop], and its other arguments.
cdef struct DualPass:
    Dual dual
    Py_ssize_t first
    Py_ssize_t stop
    void* scratch
    const Py_ssize_t* order        # ascend_range
    double scale
    double beta
    double enough
    void* gradient                 # evaluate_range, targets_range, bound_range: the array that they add to
    void* kept                     # evaluate_range, bound_range: instead of it, as in Pass
    Classes classes                # targets_range
    const void* tilt               # shares_range, bound_range: (K,)
    const void* mixed              # bound_range: (K,)
    double share
    double* sums                   # shares_range: (K,)
    void* out
    double total                   # becomes the sum of the losses, or of the entropies

# A row during a visit: arrays of K, rounded up to registers.
cdef struct RowAscent:
    void* z                        # logits
    void* a                        # the old distribution
    void* e                        # softmax(z), then the new one
    void* h                        # log e, but for a constant
    void* u                        # change of the weights of the row's features; in passes, scratch for a row to add
    fx_dual sums
    double gap                     # KL(a, p)
    double gain                    # of the new distribution, 0 if the old one stays


cdef RowAscent row_ascent(Py_ssize_t K, real* scratch) noexcept nogil:
    cdef RowAscent row
    row.z = carve(&scratch, K)
    row.a = carve(&scratch, K)
    row.e = carve(&scratch, K)
    row.h = carve(&scratch, K)
    row.u = carve(&scratch, K)
    memset(row.u, 0, round_up(K, 16) * sizeof(real))
    row.gap = row.gain = 0
    return row


cdef class DualAscent:
    """Rows of a CSR matrix, each with a distribution, and the weights that follow from them.

    Parameters
    ----------
    rows : LinearSoftmax of a CSR matrix, K > 1
    weights : (rows.weights_size,), W and b in the kernels' layout
    log_alpha : (n, K)
    state : (n,) of DualRow, that is c_i and q_i: two float64 a row
    gap : float64 (n,)
    residual : float64 (K,)
    """
    cdef Dual dual
    cdef LinearSoftmax rows
    cdef object keep
    cdef readonly Py_ssize_t scratch_size

    def __init__(self, LinearSoftmax rows, weights, log_alpha, state, gap, residual):
        if rows.layout.scheme != SPARSE:
            raise ValueError("dual ascent visits the rows of a CSR matrix")
        if rows.K == 1:
            raise ValueError("with one column of logits it is BinaryDualAscent")
        rows.check_target()
        self.dual.rows, self.dual.layout, self.dual.target = &rows.rows, &rows.layout, &rows.target
        self.dual.weights = rows.buffer(weights, rows.weights_size, True)
        self.dual.log_alpha = rows.buffer(log_alpha, rows.n * rows.K, True)
        self.dual.row = <const DualRow*>address(state, rows.n * sizeof(DualRow), False)
        self.dual.gap = doubles_out(gap, rows.n)
        self.dual.residual = doubles_out(residual, rows.K)
        self.scratch_size = 5 * round_up(rows.K, 16) + 5 * 16
        self.rows, self.keep = rows, (weights, log_alpha, state, gap, residual)

    cdef DualPass over(self, Py_ssize_t first, Py_ssize_t stop) except *:
        cdef DualPass task
        check_range(first, stop, self.rows.n)
        task.dual, task.first, task.stop, task.total = self.dual, first, stop, 0.0
        task.kept = NULL
        return task

    cdef int add_to(self, DualPass* task, gradient, kept) except -1:
        """What the rows of a pass add goes to the gradient, or is kept."""
        if kept is None:
            task.gradient = self.rows.buffer(gradient, self.rows.weights_size, True)
        else:
            task.kept = self.rows.kept_buffer(kept, task.first, task.stop, True)
        return 0

    def visit(self, order, Py_ssize_t first, Py_ssize_t stop, double scale, double beta, double enough, scratch):
        """Visit the rows order[first:stop], in that order.

        Rows with a gap of at most c_i * enough are not changed. order: intp.
        """
        cdef DualPass task = self.over(0, 0)
        task.scratch = self.rows.buffer(scratch, self.scratch_size, True)
        check_range(first, stop, stop)
        task.order = <const Py_ssize_t*>address(order, stop * sizeof(Py_ssize_t), False)
        task.first, task.stop, task.scale, task.beta, task.enough = first, stop, scale, beta, enough
        self.rows.run_index(&task, ascend_range, ascend_range, ascend_range, ascend_range)

    def evaluate(self, gradient, scratch, Py_ssize_t first, Py_ssize_t stop, kept=None):
        """Losses, gaps and gradient of rows first..stop.

        Returns sum_i c_i loss_i, fills gap[first:stop], and adds sum_i c_i x_i (p_i - t_i)' to the gradient, an array
        like the weights, including the intercept's row. kept: it becomes the rows' c_i (p_i - t_i), and there is no
        gradient (LinearSoftmax.keep_loss).
        """
        cdef DualPass task = self.over(first, stop)
        task.scratch = self.rows.buffer(scratch, self.scratch_size, True)
        self.add_to(&task, gradient, kept)
        self.rows.run_index(&task, evaluate_range, evaluate_range, evaluate_range, evaluate_range)
        return task.total

    def add_targets(self, gradient, scratch, Py_ssize_t first, Py_ssize_t stop, k0=0, k1=None):
        """Add sum_i c_i x_i t_i' of rows first..stop to the gradient, the intercept's row too; or of some classes.

        k0 and k1: as in LinearSoftmax.add_kept.
        """
        cdef DualPass task = self.over(first, stop)
        task.classes = self.rows.classes(k0, self.rows.K if k1 is None else k1)
        task.scratch = self.rows.buffer(scratch, self.scratch_size, True)
        task.gradient = self.rows.buffer(gradient, self.rows.weights_size, True)
        self.rows.run_index(&task, targets_range, targets_range, targets_range, targets_range)

    def shares(self, tilt, sums, out, Py_ssize_t first, Py_ssize_t stop):
        """Tilted distributions softmax(log alpha_i + tilt) of rows first..stop: adds sum_i c_i of them to sums (K,).

        tilt (K,) and out (stop - first, K) are in the dtype of the data; sums is float64.
        """
        cdef DualPass task = self.over(first, stop)
        task.tilt = self.rows.buffer(tilt, self.rows.K, False)
        task.out = self.rows.buffer(out, (stop - first) * self.rows.K, True)
        task.sums = doubles_out(sums, self.rows.K)
        self.rows.run(&task, shares_range, shares_range)

    def bound(self, balanced, gradient, scratch, Py_ssize_t first, Py_ssize_t stop, kept=None):
        """Entropies of rows first..stop, and what they add to the dual's W.

        With alpha'_i = (1 - share) softmax(log alpha_i + tilt) + share * mixed: adds sum_i c_i x_i (alpha'_i - t_i)' to
        the gradient, and returns sum_i c_i H(alpha'_i). balanced: (tilt, mixed, share), the first two (K,) in the dtype
        of the data. kept: as in `evaluate`.
        """
        cdef DualPass task = self.over(first, stop)
        tilt, mixed, task.share = balanced
        task.scratch = self.rows.buffer(scratch, self.scratch_size, True)
        self.add_to(&task, gradient, kept)
        task.tilt = self.rows.buffer(tilt, self.rows.K, False)
        task.mixed = self.rows.buffer(mixed, self.rows.K, False)
        self.rows.run_index(&task, bound_range, bound_range, bound_range, bound_range)
        return task.total


cdef void ascend_range(void* task, const real* x, const index* j) noexcept nogil:
    cdef const DualPass* t = <const DualPass*>task
    cdef const Rows* X = t.dual.rows
    cdef const Layout* p = t.dual.layout
    cdef real* w = <real*>t.dual.weights
    cdef real* bias = w + p.d * p.ldw
    cdef RowAscent row = row_ascent(p.K, <real*>t.scratch)
    cdef Py_ssize_t v, i, nnz
    cdef double c
    for v in range(t.first, t.stop):
        fetch_rows(t, v, x, j)
        i = t.order[v]
        c = t.dual.row[i].mass
        if c == 0:
            t.dual.gap[i] = 0
            continue
        nnz = row_entries(X, i, &x, &j)
        memcpy(row.z, bias, round_up(p.K, lanes(w)) * sizeof(real))
        csr_row_dot(p, nnz, 0, x, j, w, <real*>row.z)
        if v + 1 < t.stop:  # while this row's distribution is found, the next row's weights are on their way
            fetch_weights(t, t.order[v + 1], w, j)
        row.sums.stiffness = t.dual.row[i].stiffness
        ascend(&row, p.K, <real*>t.dual.log_alpha + i * p.K, t.enough)
        t.dual.gap[i] = c * row.gap
        if row.gain > 0:
            move_weights(t, &row, c, bias)
            csr_row_add(p, nnz, 0, x, j, <real*>row.u, w)


cdef inline void fetch_rows(const DualPass* t, Py_ssize_t v, const real* unused, const index* indptr) noexcept nogil:
    """Ask for what rows that come later in the order will need."""
    cdef const real* x
    cdef const index* j
    cdef Py_ssize_t i, nnz, K = t.dual.layout.K
    if v + ROWS_AHEAD < t.stop:
        i = t.order[v + ROWS_AHEAD]
        FX_PREFETCH(<const index*>t.dual.rows.indptr + i)
        FX_PREFETCH(t.dual.row + i)
        FX_PREFETCH(t.dual.gap + i)
    if v + ENTRIES_AHEAD < t.stop:
        i = t.order[v + ENTRIES_AHEAD]
        nnz = row_entries(t.dual.rows, i, &x, &j)
        fetch(x, nnz * sizeof(real))
        fetch(j, nnz * sizeof(index))
        fetch(<real*>t.dual.log_alpha + i * K, K * sizeof(real))


cdef inline void fetch_weights(const DualPass* t, Py_ssize_t i, const real* w, const index* j) noexcept nogil:
    """Prefetch the weights of row i's features, if they are few."""
    cdef const real* x
    cdef Py_ssize_t e, nnz = row_entries(t.dual.rows, i, &x, &j), ld = t.dual.layout.ldw
    if nnz * ld * <Py_ssize_t>sizeof(real) <= piece_bytes():
        for e in range(nnz):
            fetch(w + j[e] * ld, t.dual.layout.K * sizeof(real))


cdef inline void move_weights(const DualPass* t, RowAscent* row, double c, real* bias) noexcept nogil:
    """Update residual and intercepts for the row's new distribution; u becomes the change of its features' weights."""
    cdef const real* a = <const real*>row.a
    cdef const real* e = <const real*>row.e
    cdef real* u = <real*>row.u
    cdef double* residual = t.dual.residual
    cdef double step = -c * t.scale, beta = t.beta
    cdef Py_ssize_t k, K = t.dual.layout.K
    for k in range(K):
        u[k] = e[k] - a[k]
        residual[k] -= c * u[k]
    for k in range(K):
        u[k] = <real>(step * u[k])
        bias[k] += <real>(beta * u[k])


cdef void ascend(RowAscent* row, Py_ssize_t K, real* log_alpha, double enough) noexcept nogil:
    """Compute the row's gap and, if it is above `enough`, the new distribution, whose logarithm becomes log_alpha.

    Input: the logits z and the stiffness.
    """
    cdef real* z = <real*>row.z
    cdef real* a = <real*>row.a
    cdef real* e = <real*>row.e
    cdef real* h = <real*>row.h
    cdef fx_dual* sums = &row.sums
    cdef double gap = dual_gap(z, log_alpha, a, e, h, K, sums), q = sums.stiffness, moved
    cdef int iteration
    row.gap, row.gain = gap if gap > 0 else 0, 0
    if gap <= enough:
        return
    if <real>q > 1:
        start_stiff(row, round_up(K, lanes(z)), gap, h)
    for iteration in range(NEWTON_STEPS):
        dual_value(z, a, e, h, K, sums)
        moved = sums.wff - sums.wf * sums.wf / sums.w  # twice what Newton's step would gain: stop at 1% of the gap
        if not moved * (1 + q) > 0.02 * gap or iteration == NEWTON_STEPS - 1:
            break
        dual_newton(z, a, e, h, K, sums)
    row.gap, row.gain = gap, gap - sums.divergence - 0.5 * q * sums.distance
    if not row.gain > 0 and gap > 0:
        halve(row, K, h)
    if row.gain > 0:
        memcpy(log_alpha, h, K * sizeof(real))
    else:
        row.gain = 0


cdef void halve(RowAscent* row, Py_ssize_t K, real* h) noexcept nogil:
    """Newton's method stopped where the row would lose: go back towards the old distribution, until the row gains."""
    cdef const real* z = <const real*>row.z
    cdef const real* a = <const real*>row.a
    cdef real* e = <real*>row.e
    cdef real lse = <real>row.sums.log_sum
    cdef double q = row.sums.stiffness
    cdef Py_ssize_t k
    cdef int iteration
    for iteration in range(HALVINGS):
        row.gain = row.gap
        for k in range(K):
            e[k] = (a[k] + e[k]) / 2
            h[k] = <real>log(e[k]) if e[k] > 0 else LOG_ZERO
            row.gain -= e[k] * (h[k] - z[k] + lse) + 0.5 * q * (e[k] - a[k]) ** 2
        if row.gain > 0:
            break


cdef void start_stiff(RowAscent* row, Py_ssize_t K, double gap, real* y) noexcept nogil:
    """y = log e to about a percent, for a stiffness at which Newton's method alone might fail; sums.top is its maximum.

    With w = q e and x_k = z_k + q a_k + log q:  w_k + log w_k = x_k + mu.  The sum of w grows with mu, and must be q.
    """
    cdef const real* z = <const real*>row.z
    cdef const real* a = <const real*>row.a
    cdef const real* p = <const real*>row.e
    cdef real q = <real>row.sums.stiffness, lse = <real>row.sums.log_sum
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
    row.sums.top = top


cdef void evaluate_range(void* task, const real* x, const index* j) noexcept nogil:
    cdef DualPass* t = <DualPass*>task
    cdef const Layout* p = t.dual.layout
    cdef const real* w = <const real*>t.dual.weights
    cdef RowAscent row = row_ascent(p.K, <real*>t.scratch)
    cdef real* z = <real*>row.z
    cdef real* e = <real*>row.e
    cdef Py_ssize_t i, nnz, wide = round_up(p.K, lanes(w))
    cdef double c
    row.sums.stiffness = 0
    for i in range(t.first, t.stop):
        c = t.dual.row[i].mass
        t.dual.gap[i] = 0
        if c == 0:
            add_or_keep(t, i, 0, <real*>row.u, j)
            continue
        nnz = row_entries(t.dual.rows, i, &x, &j)
        memcpy(z, w + p.d * p.ldw, wide * sizeof(real))
        csr_row_dot(p, nnz, safely_ahead(t.dual.rows, p, i, j), x, j, w, z)
        row.gap = dual_gap(z, <real*>t.dual.log_alpha + i * p.K, <real*>row.a, e, <real*>row.h, p.K, &row.sums)
        t.dual.gap[i] = c * row.gap if row.gap > 0 else 0
        t.total += c * (row.sums.log_rest + subtract_target(&t.dual, i, <real>row.sums.top_logit, z, e, <real*>row.u))
        add_or_keep(t, i, c, e, j)


cdef void add_or_keep(const DualPass* t, Py_ssize_t i, double c, real* q, const index* j) noexcept nogil:
    """G += c x_i q', the intercept's row too; or c q is kept, to be added later. q: overwritten."""
    cdef const Layout* p = t.dual.layout
    cdef const real* x
    cdef real* g = <real*>t.gradient
    cdef real* kept = <real*>t.kept
    cdef Py_ssize_t k, nnz, at = i - t.first
    for k in range(p.K):
        q[k] *= <real>c
    if kept:
        kept += at // p.block * p.z_size
        at %= p.block
        if p.rows_in_lanes:
            for k in range(p.K):
                kept[at + k * p.ldz] = q[k]
        else:
            memcpy(kept + at * p.ldz, q, round_up(p.K, lanes(q)) * sizeof(real))
    elif c != 0:
        nnz = row_entries(t.dual.rows, i, &x, &j)
        csr_row_add(p, nnz, safely_ahead(t.dual.rows, p, i, j), x, j, q, g)
        g += p.d * p.ldw
        for k in range(p.K):
            g[k] += q[k]


cdef double subtract_target(const Dual* dual, Py_ssize_t i, real m, const real* z, real* p, real* t) noexcept nogil:
    """p -= t_i, the row's target; returns sum_k t_ik (m - z_k). t: scratch, (K,)."""
    cdef double total = 0, mass
    cdef Py_ssize_t k
    if is_plain(dual.target):
        k = dual.target.codes[i]
        p[k] -= 1
        return m - z[k]
    mass = target_row(dual.target, i, t)
    for k in range(dual.layout.K):
        t[k] = <real>(t[k] / mass)
        p[k] -= t[k]
        total += t[k] * (m - z[k])
    return total


cdef void targets_range(void* task, const real* x, const index* j) noexcept nogil:
    cdef const DualPass* t = <const DualPass*>task
    cdef const Layout* p = t.dual.layout
    cdef real* g = <real*>t.gradient
    cdef real* bias = g + p.d * p.ldw
    cdef real* u = <real*>row_ascent(p.K, <real*>t.scratch).u
    cdef Py_ssize_t i, k, e, nnz
    cdef real c
    for i in range(t.first, t.stop):
        c = <real>t.dual.row[i].mass
        if c == 0:
            continue
        nnz = row_entries(t.dual.rows, i, &x, &j)
        if is_plain(t.dual.target):
            k = t.dual.target.codes[i]
            if not t.classes.first <= k < t.classes.stop:
                continue
            bias[k] += c
            for e in range(nnz):
                g[j[e] * p.ldw + k] += c * x[e]
            continue
        c /= <real>target_row(t.dual.target, i, u)
        for k in range(t.classes.first, t.classes.stop):
            u[k] *= c
            bias[k] += u[k]
        csr_row_add_classes(p, nnz, safely_ahead(t.dual.rows, p, i, j), x, j, u, &t.classes, g)


cdef void shares_range(void* task, const real* log_alpha) noexcept nogil:
    cdef const DualPass* t = <const DualPass*>task
    cdef real* out = <real*>t.out
    cdef Py_ssize_t i, k, K = t.dual.layout.K
    log_alpha = <const real*>t.dual.log_alpha
    for i in range(t.first, t.stop):
        tilted_row(K, log_alpha + i * K, <const real*>t.tilt, out)
        for k in range(K):
            t.sums[k] += t.dual.row[i].mass * out[k]
        out += K


cdef inline void tilted_row(Py_ssize_t K, const real* log_alpha, const real* tilt, real* out) noexcept nogil:
    """out = softmax(log_alpha + tilt); neither is far above 0."""
    cdef real total
    cdef Py_ssize_t k
    for k in range(K):
        out[k] = log_alpha[k] + tilt[k]
    exp_array(out, out, K)
    total = sum_row(out, K)
    total = 1 / total
    for k in range(K):
        out[k] *= total


cdef void bound_range(void* task, const real* x, const index* j) noexcept nogil:
    cdef DualPass* t = <DualPass*>task
    cdef const Layout* p = t.dual.layout
    cdef const real* mixed = <const real*>t.mixed
    cdef RowAscent row = row_ascent(p.K, <real*>t.scratch)
    cdef real* a = <real*>row.a
    cdef real* h = <real*>row.h
    cdef real* u = <real*>row.u
    cdef real least = 1e-37, share = <real>t.share  # least: divides 1 without overflow, in single precision too
    cdef double c
    cdef Py_ssize_t i, k
    for i in range(t.first, t.stop):
        c = t.dual.row[i].mass
        if c == 0:
            add_or_keep(t, i, 0, u, j)
            continue
        tilted_row(p.K, <real*>t.dual.log_alpha + i * p.K, <const real*>t.tilt, a)
        for k in range(p.K):
            a[k] = (1 - share) * a[k] + share * mixed[k]
            h[k] = (1 - a[k]) / (a[k] if a[k] > least else least)
            h[k] = h[k] if h[k] > 0 else 0
            u[k] = a[k]
        log1p_array(h, p.K)  # -log a
        t.total += c * dot_row(a, h, p.K)
        subtract_target(&t.dual, i, <real>0, a, u, <real*>row.z)
        add_or_keep(t, i, c, u, j)
