# Softmax, loss and gradient of a block of logits: the mathematics of a row, once.
#
#   m = max z      rest = sum_{k != argmax} exp(z_k - m)      total = 1 + rest      p = exp(z - m) / total
#   targets t >= 0, T = sum t:    loss = T log1p(rest) + sum_k t_k (m - z_k)                 no term is negative
#   gradient:                     T p_k - t_k,  and for the argmax when 2 t_k > T:  (T - t_k) - T rest / total
#   binary, one logit, a = weight of class 1, b = weight of class 0, e = exp(-|z|):
#                                 loss = a softplus(-z) + b softplus(z)         gradient = b sigmoid(z) - a sigmoid(-z)
#   Hessian of the loss times v:  T p (v - <p, v>)        binary: (a + b) sigmoid(z) sigmoid(-z) v
#
# Splitting the maximum off the sum costs nothing and keeps every digit of tiny losses. Probabilities are divided by the
# sum, never exp(z - lse), which loses digits (Blanchard, Higham, Higham, IMA J. Numer. Anal. 41, 2021).
#
# A block's logits stand in one of two layouts, entry (i, k) at z[i * rs + k * cs]:
#   rows in lanes (rs = 1)      few classes: a register holds one class of many rows, nothing is summed across lanes
#   classes in lanes (cs = 1)   many classes: a register holds many classes of one row

cdef struct Shape:
    Py_ssize_t rows
    Py_ssize_t K
    Py_ssize_t rs
    Py_ssize_t cs

cdef struct Target:
    const Py_ssize_t* codes        # labels 0..K-1 (binary: 0 or 1), or NULL
    const void* soft               # else probabilities, (n, n_classes) in the dtype of the logits, C order
    const double* row_weight       # s_i, for unsmoothed codes times w_{y_i}; NULL means 1
    const double* class_weight     # w_k, or NULL; not used for unsmoothed codes
    double smoothing
    Py_ssize_t n_classes

# Per-row numbers of a block, and one row of targets.
cdef struct Aux:
    void* m
    void* rest
    void* loss                     # s_i loss_i
    void* linear                   # sum_k t_k (m - z_k)
    void* mass                     # T, unless the targets are labels without smoothing
    void* weight                   # s_i
    void* factor                   # of each row of a gradient or of a product of the Hessian
    void* t


cdef inline double weight_of(const Target* target, Py_ssize_t i) noexcept nogil:
    return target.row_weight[i] if target.row_weight else 1.0


cdef inline void row_weights(const Target* target, Py_ssize_t first, Py_ssize_t rows, real* weight) noexcept nogil:
    """s_i of a block of rows."""
    cdef Py_ssize_t i
    if target.row_weight:
        for i in range(rows):
            weight[i] = <real>target.row_weight[first + i]
    else:
        for i in range(rows):
            weight[i] = 1


cdef inline bint is_plain(const Target* target) noexcept nogil:
    """Labels without smoothing: the common case, whose gradient differs from p in one entry."""
    return target.codes != NULL and target.smoothing == 0.0


# Targets of many classes are summed as exponentials are: 16 at a time plainly, and these sums with compensation, so
# that the error does not grow with K.
cdef enum:
    CHUNK = 16

cdef struct Sum:
    double total
    double lost


cdef inline void add(Sum* sum, double term) noexcept nogil:
    cdef double before = sum.total
    term -= sum.lost
    sum.total = before + term
    sum.lost = (sum.total - before) - term
    if sum.lost != sum.lost:  # an infinite term: a target on a masked class
        sum.lost = 0.0


cdef double target_row(const Target* target, Py_ssize_t i, real* t) noexcept nogil:
    """Effective targets t_k = w_k ((1 - smoothing) t_ik + smoothing / K) of row i; returns their sum."""
    cdef Py_ssize_t k, chunk, K = target.n_classes
    cdef double even = target.smoothing / K, own = 1.0 - target.smoothing, part
    cdef Sum mass = Sum(0.0, 0.0)
    cdef const real* soft = <const real*>target.soft
    if target.codes:
        for k in range(K):
            t[k] = <real>even
        t[target.codes[i]] = <real>(even + own)
    else:
        for k in range(K):
            t[k] = <real>(own * soft[i * K + k] + even)
    if target.class_weight:
        for k in range(K):
            t[k] = <real>(t[k] * target.class_weight[k])
    for chunk in range(steps(K, CHUNK)):
        part = 0.0
        for k in range(chunk * CHUNK, clamp((chunk + 1) * CHUNK, 0, K)):
            part += t[k]
        add(&mass, part)
    return mass.total


cdef void normaliser(const Shape* s, const real* z, real* e, const real* m, real* rest) noexcept nogil:
    """rest of each row given its maximum; exp(z - m) into e unless NULL. Rows in lanes come in whole registers."""
    cdef Py_ssize_t i, group
    if s.rs == 1:
        for group in range(steps(s.rows, lanes(z))):
            i = group * lanes(z)
            exp_lanes(z + i, e + i if e else NULL, s.cs, s.K, m + i, rest + i)
    else:
        for i in range(s.rows):
            rest[i] = exp_row(z + i * s.rs, e + i * s.rs if e else NULL, s.K, m[i])


cdef void maxima(const Shape* s, const real* z, real* m) noexcept nogil:
    cdef Py_ssize_t i, group
    if s.rs == 1:
        for group in range(steps(s.rows, lanes(z))):
            i = group * lanes(z)
            max_lanes(z + i, s.cs, s.K, m + i)
    else:
        for i in range(s.rows):
            m[i] = max_row(z + i * s.rs, s.K)


cdef void scale_rows(const Shape* s, real* e, const real* factor) noexcept nogil:
    """e_ik *= factor_i, and exact zeros where the factor is zero, whatever e holds."""
    cdef Py_ssize_t i, k
    cdef real f
    cdef real* row
    if s.rs == 1:
        for k in range(s.K):
            row = e + k * s.cs
            for i in range(s.rows):
                row[i] = row[i] * factor[i] if factor[i] != 0 else 0
    else:
        for i in range(s.rows):
            row = e + i * s.rs
            f = factor[i]
            if f == 0:
                memset(row, 0, s.K * sizeof(real))
            else:
                for k in range(s.K):
                    row[k] = row[k] * f


cdef double total_of(const real* x, Py_ssize_t n) noexcept nogil:
    """Sum in double, by four sums in flight."""
    cdef double s0 = 0, s1 = 0, s2 = 0, s3 = 0
    cdef Py_ssize_t i, whole = n // 4
    for i in range(whole):
        s0 += x[4 * i]
        s1 += x[4 * i + 1]
        s2 += x[4 * i + 2]
        s3 += x[4 * i + 3]
    for i in range(4 * whole, n):
        s0 += x[i]
    return (s0 + s1) + (s2 + s3)


cdef double loss_rows(const Target* target, Py_ssize_t first, const Shape* s, const real* z, real* q, double scale,
                      real* row_loss, const Aux* aux) noexcept nogil:
    """Sum of s_i loss_i over the block (rows first, first + 1, ... of the targets).

    q: s_i * scale * gradient with respect to the logits, in the layout of z (it may be z), or NULL.
    row_loss: s_i loss_i of each row, or NULL.
    """
    cdef real* m = <real*>aux.m
    cdef real* rest = <real*>aux.rest
    cdef real* loss = <real*>aux.loss
    cdef double total
    maxima(s, z, m)
    linear_terms(target, first, s, z, aux)
    normaliser(s, z, q, m, rest)
    losses_of(target, first, s.rows, loss, aux)
    total = total_of(loss, s.rows)
    if row_loss:
        memcpy(row_loss, loss, s.rows * sizeof(real))
    if q and is_plain(target):
        gradient_by_label(target, first, s, q, scale, aux)
    elif q:
        gradient_by_targets(target, first, s, q, scale, aux)
    return total


cdef void linear_terms(const Target* target, Py_ssize_t first, const Shape* s, const real* z,
                       const Aux* aux) noexcept nogil:
    """Fill aux.linear, and aux.mass unless the targets are plain labels; m is known."""
    cdef const real* m = <const real*>aux.m
    cdef real* linear = <real*>aux.linear
    cdef real* t = <real*>aux.t
    cdef Py_ssize_t i, k, chunk
    cdef Sum gaps
    cdef double part
    if is_plain(target):
        for i in range(s.rows):
            linear[i] = m[i] - z[i * s.rs + target.codes[first + i] * s.cs]
        return
    for i in range(s.rows):
        (<real*>aux.mass)[i] = <real>target_row(target, first + i, t)
        gaps = Sum(0.0, 0.0)
        for chunk in range(steps(s.K, CHUNK)):
            part = 0.0
            for k in range(chunk * CHUNK, clamp((chunk + 1) * CHUNK, 0, s.K)):
                if t[k] != 0:  # a masked class (-inf) without a target adds nothing
                    part += t[k] * (m[i] - z[i * s.rs + k * s.cs])
            add(&gaps, part)
        linear[i] = <real>gaps.total


cdef void losses_of(const Target* target, Py_ssize_t first, Py_ssize_t rows, real* loss,
                    const Aux* aux) noexcept nogil:
    """s_i loss_i, exact zeros where s_i is zero; rest, linear and mass are known, the weights are filled in."""
    cdef const real* linear = <const real*>aux.linear
    cdef const real* mass = <const real*>aux.mass
    cdef real* weight = <real*>aux.weight
    cdef Py_ssize_t i
    memcpy(loss, aux.rest, rows * sizeof(real))
    log1p_array(loss, rows)
    row_weights(target, first, rows, weight)
    if is_plain(target):
        for i in range(rows):
            loss[i] = loss[i] + linear[i]
    else:
        for i in range(rows):
            loss[i] = mass[i] * loss[i] + linear[i]
    for i in range(rows):
        loss[i] = weight[i] * loss[i] if weight[i] != 0 else 0


cdef void gradient_by_label(const Target* target, Py_ssize_t first, const Shape* s, real* q, double scale,
                            const Aux* aux) noexcept nogil:
    """From exp(z - m) in q to the gradient, for labels without smoothing: it differs from p in one entry."""
    cdef const real* rest = <const real*>aux.rest
    cdef const real* linear = <const real*>aux.linear
    cdef const real* weight = <const real*>aux.weight
    cdef real* factor = <real*>aux.factor
    cdef Py_ssize_t i, at
    for i in range(s.rows):
        factor[i] = weight[i] * <real>scale / (1 + rest[i]) if weight[i] != 0 else 0
    scale_rows(s, q, factor)
    for i in range(s.rows):
        if weight[i] != 0:
            at = i * s.rs + target.codes[first + i] * s.cs
            if linear[i] == 0:  # the label has the largest logit
                q[at] = -rest[i] * factor[i]
            else:
                q[at] = q[at] - weight[i] * <real>scale


cdef void gradient_by_targets(const Target* target, Py_ssize_t first, const Shape* s, real* q, double scale,
                              const Aux* aux) noexcept nogil:
    """The same for any targets."""
    cdef const real* rest = <const real*>aux.rest
    cdef const real* mass = <const real*>aux.mass
    cdef const real* weight = <const real*>aux.weight
    cdef real* t = <real*>aux.t
    cdef real factor, e
    cdef Py_ssize_t i, k, at
    for i in range(s.rows):
        target_row(target, first + i, t)
        factor = weight[i] * <real>scale
        for k in range(s.K):
            at = i * s.rs + k * s.cs
            e = q[at]
            if weight[i] == 0:
                q[at] = 0
            elif e == 1 and 2 * t[k] > mass[i]:
                q[at] = factor * ((mass[i] - t[k]) - mass[i] * (rest[i] / (1 + rest[i])))
            else:
                q[at] = factor * (mass[i] * (e / (1 + rest[i])) - t[k])


cdef inline void binary_weights(const Target* target, Py_ssize_t i, real* t, double* one, double* zero) noexcept nogil:
    """Weights a of class 1 and b of class 0 in row i, the row's own weight included."""
    cdef double s = weight_of(target, i)
    if is_plain(target):
        one[0] = s * target.codes[i]
        zero[0] = s - one[0]
    else:
        target_row(target, i, t)
        one[0] = s * t[1]
        zero[0] = s * t[0]


cdef double binary_loss(const real* one, const real* zero, const real* z, real* q, Py_ssize_t rows, double scale,
                        real* row_loss, const Aux* aux) noexcept nogil:
    """binary_rows, from the weights of both classes in each row; uses aux.rest, factor and loss."""
    cdef real* e = <real*>aux.rest
    cdef real* log_total = <real*>aux.factor
    cdef real* loss = <real*>aux.loss
    cdef Py_ssize_t i
    cdef real zi, minus, plus, large, small
    for i in range(rows):
        e[i] = z[i] if z[i] < 0 else -z[i]
    exp_array(e, e, rows)
    memcpy(log_total, e, rows * sizeof(real))
    log1p_array(log_total, rows)
    for i in range(rows):
        zi = z[i]
        minus = log_total[i] + (-zi if zi < 0 else 0)  # softplus(-z)
        plus = log_total[i] + (zi if zi > 0 else 0)
        loss[i] = (one[i] * minus if one[i] != 0 else 0) + (zero[i] * plus if zero[i] != 0 else 0)
    if row_loss:
        memcpy(row_loss, loss, rows * sizeof(real))
    if q:
        for i in range(rows):
            large = 1 / (1 + e[i])
            small = e[i] * large
            plus = small if z[i] < 0 else large  # sigmoid(z)
            minus = large if z[i] < 0 else small
            e[i] = (zero[i] * plus if zero[i] != 0 else 0) - (one[i] * minus if one[i] != 0 else 0)
        for i in range(rows):
            q[i] = <real>scale * e[i]
    return total_of(loss, rows)


cdef double binary_rows(const Target* target, Py_ssize_t first, const real* z, real* q, Py_ssize_t rows, double scale,
                        real* row_loss, const Aux* aux) noexcept nogil:
    """loss_rows for one column of logits and two classes; q may be z."""
    cdef real* one = <real*>aux.m
    cdef real* zero = <real*>aux.linear
    cdef Py_ssize_t i
    cdef double a, b
    if is_plain(target) and not target.row_weight:
        for i in range(rows):
            one[i] = <real>target.codes[first + i]
            zero[i] = 1 - one[i]
    else:
        for i in range(rows):
            binary_weights(target, first + i, <real*>aux.t, &a, &b)
            one[i], zero[i] = <real>a, <real>b
    return binary_loss(one, zero, z, q, rows, scale, row_loss, aux)


cdef void hessian_rows(const Shape* s, real* z, real* inverse, real* place, const Aux* aux) noexcept nogil:
    """What Hessian products need of logits z: z becomes exp(z - m), inverse 1 / total, place where a maximum is."""
    cdef real* m = <real*>aux.m
    cdef real* rest = <real*>aux.rest
    cdef Py_ssize_t i, k
    cdef const real* row
    maxima(s, z, m)
    if s.rs == 1:
        for i in range(s.rows):
            place[i] = 0
        for k in range(s.K):
            row = z + k * s.cs
            for i in range(s.rows):
                place[i] = k if row[i] == m[i] else place[i]
    else:
        for i in range(s.rows):
            place[i] = place_row(z + i * s.rs, s.K, m[i])
    normaliser(s, z, z, m, rest)
    for i in range(s.rows):
        inverse[i] = 1 / (1 + rest[i])


cdef void hessp_rows(const Target* target, Py_ssize_t first, const Shape* s, const real* e, const real* inverse,
                     const real* place, real* a, const Aux* aux) noexcept nogil:
    """a becomes s T p (a - <p, a>) with p = e * inverse, as hessian_rows left them."""
    cdef real* top = <real*>aux.m
    cdef real* factor = <real*>aux.factor
    cdef Py_ssize_t i, group
    row_weights(target, first, s.rows, factor)
    if not is_plain(target):
        for i in range(s.rows):
            if factor[i] != 0:
                factor[i] *= <real>target_row(target, first + i, <real*>aux.t)
    for i in range(s.rows):
        factor[i] = factor[i] * inverse[i] if factor[i] != 0 else 0
        # In single precision the number of a class may have been rounded up.
        top[i] = a[i * s.rs + min(<Py_ssize_t>place[i], s.K - 1) * s.cs]
    if s.rs == 1:
        for group in range(steps(s.rows, lanes(a))):
            i = group * lanes(a)
            hessp_lanes(e + i, a + i, s.cs, s.K, top + i, inverse + i, factor + i)
    else:
        for i in range(s.rows):
            if factor[i] == 0:
                memset(a + i * s.rs, 0, s.K * sizeof(real))
            else:
                hessp_row(e + i * s.rs, a + i * s.rs, s.K, top[i], inverse[i], factor[i])


cdef void binary_hessian_rows(real* z, Py_ssize_t rows) noexcept nogil:
    """z becomes sigmoid(z) sigmoid(-z)."""
    cdef Py_ssize_t i
    for i in range(rows):
        z[i] = z[i] if z[i] < 0 else -z[i]
    exp_array(z, z, rows)
    for i in range(rows):
        z[i] = z[i] / ((1 + z[i]) * (1 + z[i]))


cdef void binary_hessp_rows(const Target* target, Py_ssize_t first, const real* h, real* v, Py_ssize_t rows,
                            const Aux* aux) noexcept nogil:
    """v becomes (a + b) h v, with h as binary_hessian_rows left it."""
    cdef real* factor = <real*>aux.factor
    cdef Py_ssize_t i
    cdef double a, b
    if is_plain(target):
        row_weights(target, first, rows, factor)
    else:
        for i in range(rows):
            binary_weights(target, first + i, <real*>aux.t, &a, &b)
            factor[i] = <real>(a + b)
    for i in range(rows):
        v[i] = factor[i] * h[i] * v[i] if factor[i] != 0 else 0


ctypedef enum Output:
    LOGITS
    SOFTMAX
    LOG_SOFTMAX
    LOGSUMEXP
    SIGMOID

KINDS = {"logits": LOGITS, "softmax": SOFTMAX, "log_softmax": LOG_SOFTMAX, "logsumexp": LOGSUMEXP, "sigmoid": SIGMOID}


cdef void output_rows(Output kind, const Shape* s, const real* z, real* out, real* lse, const Aux* aux) noexcept nogil:
    """The chosen function of each row of z into out (same layout, may be z), or into lse[i] for LOGSUMEXP."""
    cdef real* m = <real*>aux.m
    cdef real* rest = <real*>aux.rest
    cdef real* log_total = <real*>aux.factor
    cdef Py_ssize_t i, k
    maxima(s, z, m)
    normaliser(s, z, out if kind == SOFTMAX else NULL, m, rest)
    if kind == SOFTMAX:
        for i in range(s.rows):
            rest[i] = 1 / (1 + rest[i])
        scale_rows(s, out, rest)
        return
    memcpy(log_total, rest, s.rows * sizeof(real))
    log1p_array(log_total, s.rows)
    if kind == LOG_SOFTMAX:
        if s.rs == 1:
            for k in range(s.K):
                for i in range(s.rows):
                    out[i + k * s.cs] = (z[i + k * s.cs] - m[i]) - log_total[i]
        else:
            for i in range(s.rows):
                for k in range(s.K):
                    out[i * s.rs + k] = (z[i * s.rs + k] - m[i]) - log_total[i]
        return
    for i in range(s.rows):
        lse[i] = m[i] + log_total[i]
        if lse[i] != lse[i]:  # an infinite maximum, or a NaN in the row
            lse[i] = m[i]
            for k in range(s.K):
                if z[i * s.rs + k * s.cs] != z[i * s.rs + k * s.cs]:
                    lse[i] = z[i * s.rs + k * s.cs]


cdef void binary_output_rows(Output kind, const real* z, real* out, Py_ssize_t rows, const Aux* aux) noexcept nogil:
    """SOFTMAX or LOG_SOFTMAX of the classes 0 and 1, (rows, 2), from binary logits."""
    cdef real* e = <real*>aux.rest
    cdef real* log_total = <real*>aux.factor
    cdef real log_small
    cdef Py_ssize_t r, k
    for r in range(rows):
        e[r] = z[r] if z[r] < 0 else -z[r]
    exp_array(e, e, rows)
    memcpy(log_total, e, rows * sizeof(real))
    log1p_array(log_total, rows)
    for r in range(rows):
        k = 1 if z[r] >= 0 else 0  # the likelier class
        if kind == SOFTMAX:
            out[2 * r + k] = 1 / (1 + e[r])
            out[2 * r + 1 - k] = e[r] / (1 + e[r])
        else:
            log_small = z[r] if z[r] < 0 else -z[r]
            out[2 * r + k] = -log_total[r]
            out[2 * r + 1 - k] = log_small - log_total[r]


cdef void sigmoid_rows(const real* z, real* out, Py_ssize_t n, real* e) noexcept nogil:
    """Elementwise; e: scratch of n."""
    cdef Py_ssize_t i
    for i in range(n):
        e[i] = z[i] if z[i] < 0 else -z[i]
    exp_array(e, e, n)
    for i in range(n):
        out[i] = (1 if z[i] >= 0 else e[i]) / (1 + e[i])
