# What an update of descent does to arrays. The jitted loops of fastxent.sgd choose the rows and the step sizes, and
# call the functions at the end, by address.
#
# An update of size eta moves the weights along the gradient g of the loss and applies the penalty. Plain SGD takes the
# textbook step, and L1 is a debt of each weight (see pay_row):
#
#     w = (1 - l2 eta) w - eta g       which is  w -= eta (g + l2 w)
#
# The eta of the weights is at most 1 / l2. With this value w becomes -g / l2, its equilibrium under a strong penalty;
# a larger step would overshoot. All weights shrink by a common factor, so a row need not touch the weights of
# features that it does not have.
#
# In each update L1 demands l1 eta from each weight. A weight pays at most what brings it to 0; the rest remains due
# until gradients move it again (the cumulative penalty of Tsuruoka, Tsujii, Ananiadou 2009, as in scikit-learn). So
# the noise of single rows has to add up before a weight leaves 0. The debt shrinks by 1 - l2 eta, as the weights do.
# In full batches there is no noise, and L1 is a proximal step, with soft(x, c) = sign(x) max(|x| - c, 0).
#
# Under momentum the penalty is also a proximal step, whose fixed points are optima for any strength:
#
#     w = soft(w - eta u, l1 eta') / (1 + l2 eta')       eta' = eta / (1 - beta)
#
# A gradient that momentum repeats counts eta (1 + beta + beta^2 + ...) in total, and the penalty has the same size.
# adamw applies its penalty separately, as published: w = soft((1 - l2 eta) w - eta u, l1 eta), with u = adam's
# direction and, again, at most 1 / l2 for eta. The penalties of many updates have a closed form (gaps.pxi), so a
# feature that was absent for some time catches up in one step.
#
# Where an optimiser divides by h = sqrt(G), it still minimises F only if the penalty is divided as well. adagrad,
# rmsprop and adam take the proximal step in their own metric, whose fixed points are the optima (Yun, Lozano, Yang
# 2021), with at most 1 / l2 for eta / h, as plain SGD does:
#
#     w = soft((1 - l2 eta / h) w - (eta / h) g, l1 eta / h)
#
# On sparse rows they take it when a row has the feature, with the penalty of the whole time since the last one. (The
# flow dw/dt = -l2 w - l1 sign(w),  which adagrad could follow through a gap, costs two exponentials for each weight
# of each row. Its fixed points are the same.)
#
# adam and adamw start the mean of squares at eps^2 instead of adding eps to its root: the divisor is still positive,
# and a parameter without gradients keeps moving in a fixed direction.
#
# svrg (stochastic variance reduced gradient) adds to a row's gradient at w the mean gradient over all rows at a
# snapshot v, and subtracts the row's own gradient there. The noise vanishes at the optimum, so steps need not become
# shorter. Between two rows that have a feature, its weight follows the mean gradient and the penalty (drift).
#
# ftrl (follow the regularised leader, proximal) stores the sum z of gradients, corrected for the weights at which
# they were computed. With n the sum of their squares and S the number of updates so far (precisely: the sum of their
# weights),
#
#     w = -soft(z, l1 S) / ((eps + sqrt(n)) / eta0 + l2 S)
#
# What each optimiser stores stands in fastxent/sgd/optimizers.py. Of squares the root is stored. While adam and adamw
# run, the mean gradient is divided by it: along that weights move through a gap.

cdef double LEAST = 1e-18          # the least divisor of adam: its square is near the smallest normal float32
LEAST_ROOT = LEAST

cdef enum:
    SGD = 0                    # as in fastxent.sgd.optimizers
    MOMENTUM = 1
    NESTEROV = 2
    ADAGRAD = 3
    RMSPROP = 4
    ADAM = 5
    ADAMW = 6
    FTRL = 7
    SVRG = 8
    FAR = 4                    # features of a batch whose memory is fetched ahead of their turn
    FETCHED_AT_ONCE = 256      # bytes of a feature; what is more is fetched during the update of another one

# The numbers that a training keeps, in the order of fastxent.sgd.loops.
cdef struct Counters:
    double updates, clock, scale, squares, weights, rows, lowered, averaged, synced, eta, begun, left, budget, losses
    double penalised
    double own_time, own_eta0      # of the intercept, in the update to come

# Arrays like the weights have type void and are NULL if an optimiser does not use them.
cdef struct Memory:
    const RowApi* api              # NULL: only for updates of everything
    bint is_double, is_wide
    int kind
    double l1, l2                  # in each update
    double late_l1, late_l2        # for `penalise`, if columns have their own units
    double beta1, beta2, eps
    Py_ssize_t batch, K, ld, d     # ld: from one feature to the next
    Py_ssize_t wide                # weights of a feature that are stored; after them other arrays may stand
    Py_ssize_t features            # weights before the intercepts
    bint by_class, fit_intercept
    bint restless                  # whether ftrl's weights change without a gradient: by a penalty or their step size
    void* w
    void* a
    void* b
    void* g                        # a gradient; of updates of everything like w, else of a feature and of the intercept
    void* q                        # gradients by logits of the rows of a batch
    Py_ssize_t width               # from one of these rows to the next
    void* average                  # of w, with nothing beside it
    double* clock                  # of each feature, the clock when its penalty was last applied; NULL: none is late
    int64_t* last                  # ... and the number of that update
    int64_t* touched               # features of a batch
    int64_t* slots                 # of each feature: its place among those, or -1
    int64_t* ends                  # of each of those: where its entries end
    int32_t* row                   # of these entries: the row of the batch,
    void* value                    # and the value
    const double* shift            # of the columns' units, or NULL
    const double* factor
    Pace pace
    Counters* now

# A call of one of the functions at the end.
cdef struct DescentCall:
    const Memory* m
    const Py_ssize_t* order        # begins with the rows to process
    Py_ssize_t count               # of these rows
    Py_ssize_t after               # of the rows after them
    Py_ssize_t features            # in touched
    double part                    # part * g is the mean gradient
    double time, own_time          # eta of the features and of the intercept
    double eta0, own_eta0          # for ftrl
    double loss


cdef class Descent:
    """The arrays and constants of a training, bound for functions that take their address.

    rule : loops.Rule
    arrays : dict
        By the names of Memory; arrays that are missing or empty are not used.
    counters : ndarray
    problem : RowProblem or None
        The rows. None: for updates of everything.
    """
    cdef Memory m
    cdef object keep

    def __init__(self, rule, arrays, counters, RowProblem problem=None):
        cdef Memory* m = &self.m
        cdef Py_ssize_t size = rule.features + rule.K, d = rule.d, kept
        self.keep = (arrays, counters, problem)
        m.is_double = arrays["w"].itemsize == 8
        m.kind, m.l1, m.l2, m.late_l1, m.late_l2 = rule.kind, rule.l1, rule.l2, rule.late_l1, rule.late_l2
        m.beta1, m.beta2, m.eps = rule.beta1, rule.beta2, rule.eps
        m.batch, m.K, m.ld, m.d, m.features = rule.batch, rule.K, rule.ld, d, rule.features
        m.wide, m.by_class, m.fit_intercept = rule.wide, rule.by_class, rule.fit_intercept
        m.now = <Counters*>address(counters, sizeof(Counters), True)
        m.restless = m.l1 != 0.0 or m.l2 != 0.0 or rule.automatic != 0 or m.now.lowered != 1.0
        if problem is not None:
            m.api, m.is_wide = &problem.api, problem.rows.is_wide
            if (m.K, m.ld, m.features, m.d) != (problem.K, problem.ld, problem.intercept, problem.d):
                raise ValueError("the rule is that of other rows")
        m.w, m.a, m.b = self.reals("w", size), self.reals("a", size), self.reals("b", size)
        m.g = self.reals("g", 1)
        m.average = self.reals("average", rule.features // max(1, rule.ld) * rule.wide + rule.K)
        m.width = round_up(m.K, 16)
        m.q = self.reals("q", m.width)
        m.shift, m.factor = <double*>self.part("shift", d * 8), <double*>self.part("factor", d * 8)
        m.clock, m.last = <double*>self.part("clock", d * 8), <int64_t*>self.part("last", d * 8)
        m.touched, m.slots = <int64_t*>self.part("touched", d * 8), <int64_t*>self.part("slots", d * 8)
        m.ends = <int64_t*>self.part("ends", d * 8)
        m.pace.ratio, m.pace.lifetime = rule.ratio, rule.lifetime
        m.pace.penalised = m.kind != ADAM and (m.l1 != 0.0 or m.l2 != 0.0)
        m.pace.powers = <double*>self.part("powers", 0)
        m.pace.size = <double*>self.part("pace", rule.era * KEPT_OF_UPDATES * 8)
        if m.pace.size:
            kept = arrays["pace"].shape[1]
            m.pace.n_powers = arrays["powers"].shape[2]
            m.pace.decay, m.pace.pinch = m.pace.size + kept, m.pace.size + 2 * kept
            m.pace.tail, m.pace.left, m.pace.cut = (
                m.pace.size + 3 * kept, m.pace.size + 4 * kept, m.pace.size + 5 * kept
            )

    def hold(self, row, value):
        """Set the scratch for the entries of a batch of CSR rows."""
        self.m.row = <int32_t*>address(row, len(value) * 4, True)
        self.m.value = <void*>address(value, 0, True)
        self.keep = (*self.keep[:3], row, value)

    cdef void* part(self, name, Py_ssize_t nbytes) except? NULL:
        array = self.keep[0].get(name)
        return NULL if array is None or array.size == 0 else <void*>address(array, nbytes, name not in READ_ONLY)

    cdef void* reals(self, name, Py_ssize_t size) except? NULL:
        return self.part(name, size * (8 if self.m.is_double else 4))

    @property
    def address(self):
        """The address that the functions below take as `m`; valid during the lifetime of this object."""
        return <Py_ssize_t>&self.m

    def synchronise(self, double eta0):
        """Bring every feature up to the last update. eta0: the first step, for ftrl."""
        with nogil:
            finish_updates(&self.m, False, False, eta0)

    def penalise(self):
        """Apply the penalty that is due where columns have their own units; all features must be up to date."""
        cdef DescentCall t
        t.m = &self.m
        dispatch(self.m.is_double, &t, penalise_all, penalise_all)

    def rescale(self):
        """Multiply the common factor into the weights."""
        rescale_weights(&self.m)

READ_ONLY = {"shift", "factor", "powers"}


# ---- the numbers of an update ---------------------------------------------------------------------------------------

cdef inline bint divides(int kind) noexcept nogil:
    """Whether the penalty comes in the metric that an optimiser divides by."""
    return kind == ADAGRAD or kind == RMSPROP or kind == ADAM


cdef inline bint coasts(int kind) noexcept nogil:
    """Whether weights keep moving without gradients."""
    return kind == MOMENTUM or kind == NESTEROV or kind == ADAM or kind == ADAMW


cdef inline bint catches_up(const Memory* m) noexcept nogil:
    """Whether weights have to catch up before they are used."""
    return coasts(m.kind) or (m.kind == FTRL and m.restless)


cdef inline bint runs(int kind) noexcept nogil:
    """Whether what the optimiser stores changes between updates."""
    return kind != ADAGRAD and kind != FTRL


cdef inline double left_by(int kind, double time, double l2) noexcept nogil:
    """The share of a weight that the L2 penalty of an update leaves."""
    if kind == MOMENTUM or kind == NESTEROV:
        return 1.0 / (1.0 + l2 * time)
    return max(0.0, 1.0 - l2 * time)


cdef inline double correction(const Memory* m) noexcept nogil:
    """Adam's correction of the root of its running mean; 1 for others."""
    if m.kind == ADAM or m.kind == ADAMW:
        return sqrt(1.0 - pow(m.beta2, m.now.updates - m.now.begun))
    return 1.0


cdef inline double move_size(const Memory* m, double time) noexcept nogil:
    """The factor of the move of the last update, including the bias corrections of running means."""
    if m.kind == ADAM or m.kind == ADAMW:
        return correction(m) / (1.0 - pow(m.beta1, m.now.updates - m.now.begun)) * time
    return time * (1.0 - m.beta1) if m.kind == MOMENTUM or m.kind == NESTEROV else time


cdef inline fx_update numbers_of(const Memory* m, double part, double time, double eta0, double l1,
                                 double l2) noexcept nogil:
    """The numbers that all stretches of the last update share. Those of gaps are that there is none."""
    cdef fx_update u
    cdef double beta1 = m.beta1
    memset(&u, 0, sizeof(u))
    u.weight, u.size, u.penalty = part, move_size(m, time), l1 != 0.0 or l2 != 0.0
    u.keep, u.kept1, u.kept2, u.part1, u.part2, u.eps, u.least = 1.0, beta1, m.beta2, 1.0, 1.0, m.eps, LEAST
    if m.kind == SGD:
        u.keep, u.cut = left_by(m.kind, time, l2), l1 * time
    elif m.kind == MOMENTUM or m.kind == NESTEROV:
        u.keep = left_by(m.kind, time, l2)
        u.cut = u.keep * l1 * time
        u.part1, u.part2 = (1.0, beta1) if m.kind == NESTEROV else (0.0, 1.0)
    elif m.kind == ADAGRAD:
        u.kept2 = 1.0
    elif m.kind == RMSPROP:
        u.kept2, u.part2 = beta1, 1.0 - beta1
    elif m.kind == ADAM or m.kind == ADAMW:
        u.part1, u.part2 = 1.0 - beta1, 1.0 - m.beta2
        if m.kind == ADAMW:
            u.keep, u.cut = left_by(m.kind, time, l2), l1 * time
    elif m.kind == FTRL:
        u.weight, u.inverse = part * time, 1.0 / eta0
        u.ridge, u.pull = l2 * m.now.clock, l1 * m.now.clock
    return u


cdef inline void after_gap(fx_update* u, const Memory* m, double faded, double faded_root, double pull) noexcept nogil:
    """Adapt these numbers to a feature. faded, faded_root: what its running means have lost in a gap that ends here,
    as a factor, and of squares its root. pull: the time since its penalty was last applied, if that is divided."""
    if m.kind == MOMENTUM or m.kind == NESTEROV:
        u.kept1 = m.beta1 * faded
    elif m.kind == RMSPROP:
        u.kept2 = m.beta1 * (faded_root * faded_root)
    elif m.kind == ADAM or m.kind == ADAMW:
        u.kept1, u.kept2 = m.beta1 * faded, m.beta2 * (faded_root * faded_root)
    if divides(m.kind):
        u.ridge, u.pull = m.l2 * pull, m.l1 * pull


cdef inline void update_row(int kind, Py_ssize_t n, real* w, real* a, real* b, const real* g,
                            const fx_update* u) noexcept nogil:
    if kind == SGD:
        update_sgd(n, w, a, b, g, u)
    elif kind == MOMENTUM or kind == NESTEROV:
        update_momentum(n, w, a, b, g, u)
    elif kind == ADAGRAD or kind == RMSPROP:
        update_scaled(n, w, a, b, g, u)
    elif kind == FTRL:
        update_ftrl(n, w, a, b, g, u)
    else:
        update_adam(n, w, a, b, g, u)


cdef inline void update_intercept(const DescentCall* t, const real* g) noexcept nogil:
    """The last update of the intercept, which has no penalty. g: its gradient."""
    cdef const Memory* m = t.m
    cdef fx_update u
    cdef Py_ssize_t at = m.features
    if m.fit_intercept:
        u = numbers_of(m, t.part, t.own_time, t.own_eta0, 0.0, 0.0)
        update_row(m.kind, m.K, <real*>m.w + at, <real*>m.a + at, <real*>m.b + at, g, &u)


# ---- features that catch up -----------------------------------------------------------------------------------------

cdef inline void catch_up(const Memory* m, Py_ssize_t j, double eta0, const fx_ahead* ahead, real* w) noexcept nogil:
    """Bring the weights of feature j to the last update. ahead: of another feature, to be fetched meanwhile.

    What the optimiser stores of them waits for its next update or for `settle`, as does the penalty of those that
    divide by the gradient's size.
    """
    cdef Py_ssize_t at = j * m.ld, synced = <Py_ssize_t>m.now.synced, t = <Py_ssize_t>m.now.updates
    cdef double l1 = m.l1, l2 = m.l2
    cdef fx_update u
    w += at
    if coasts(m.kind):
        coast(&m.pace, m.last[j] - synced, t - synced, m.wide, w, <real*>m.a + at, ahead)
    elif m.kind == FTRL:
        if m.restless and m.now.rows > 0.0:  # else nothing has changed
            u = numbers_of(m, 0.0, 0.0, eta0, l1, l2)
            u.ahead = ahead[0]
            update_leader(m.wide, w, <real*>m.a + at, <real*>m.b + at, w, &u)
    elif m.kind == SVRG and m.last[j] < t:
        if m.factor:  # its equation holds in any unit
            l1, l2 = m.late_l1 * m.factor[j], m.late_l2 * m.factor[j] ** 2
        drift(m.wide, w, <real*>m.b + at, m.now.clock - m.clock[j], l1, l2)
        m.clock[j], m.last[j] = m.now.clock, t


cdef inline void settle(const Memory* m, Py_ssize_t j, const real* unused) noexcept nogil:
    """Bring the rest of feature j to the last update: what the optimiser stores, and the penalty that it divides."""
    cdef Py_ssize_t at = j * m.ld, missed = <Py_ssize_t>m.now.updates - m.last[j], k
    cdef real* w = <real*>m.w + at
    cdef real* a = <real*>m.a + at
    cdef real* b = <real*>m.b + at
    cdef real faded, faded_root, mean, root, h, most, ridge, pull
    if missed > 0:
        faded, faded_root = <real>power(&m.pace, FIRST, missed), <real>power(&m.pace, ROOT, missed)
        if m.kind == MOMENTUM or m.kind == NESTEROV:
            for k in range(m.wide):
                a[k] *= faded
        elif m.kind == RMSPROP:
            for k in range(m.wide):
                a[k] *= faded_root
        elif m.kind == ADAM or m.kind == ADAMW:
            for k in range(m.wide):
                mean, root = faded * (a[k] * b[k]), max(faded_root * b[k], <real>LEAST)
                a[k], b[k] = mean / root, root
    if divides(m.kind) and (m.l1 != 0.0 or m.l2 != 0.0):
        pull = (m.now.clock - m.clock[j]) * correction(m)
        ridge, pull = <real>m.l2 * pull, <real>m.l1 * pull
        most = 1 / ridge if ridge > 0 else <real>INFINITY
        for k in range(m.wide):
            h = 1 / ((b[k] if m.kind == ADAM else a[k]) + <real>m.eps)
            w[k] = <real>softened(max(<real>0, 1 - ridge * h) * w[k], pull * min(h, most))
        m.clock[j] = m.now.clock
    m.last[j] = <int64_t>m.now.updates


cdef void rescale_all(void* call, const real* unused) noexcept nogil:
    cdef const Memory* m = (<DescentCall*>call).m
    cdef real* w = <real*>m.w
    cdef real* paid = <real*>m.a
    cdef real factor = <real>m.now.scale
    cdef Py_ssize_t i
    for i in range(m.features):
        w[i] *= factor
    if paid:
        for i in range(m.features):
            paid[i] *= factor
    m.now.budget *= m.now.scale
    m.now.scale = 1.0


cdef void penalise_all(void* call, const real* unused) noexcept nogil:
    """Apply the penalty if columns have their own units, as a proximal step in the optimiser's metric.

    It is applied to all parameters, for the whole time since the last call.
    """
    cdef const Memory* m = (<DescentCall*>call).m
    cdef double time = m.now.clock - m.now.penalised, f, own
    cdef bint pays = m.kind == SGD and m.late_l1 != 0.0 and m.a
    cdef Py_ssize_t i, at, p, outer = m.K if m.by_class else m.d, inner = m.d if m.by_class else m.K
    cdef real* w
    cdef real* root
    cdef double* factor
    m.now.penalised = m.now.clock
    m.now.budget += m.late_l1 * time
    if divides(m.kind):
        time *= correction(m)
    for i in range(outer):
        at = i * m.ld
        w = <real*>m.w + at
        if divides(m.kind):
            root = (<real*>m.b if m.kind == ADAM else <real*>m.a) + at
            f = 0.0 if m.kind == ADAM else m.eps
            for p in range(inner):
                own = time / (root[p] + f)
                w[p] = <real>penalised(w[p], m.factor[p if m.by_class else i], own, m.late_l1, m.late_l2)
        elif m.by_class and (pays or m.late_l1 == 0.0):
            shrink_columns(inner, w, m.factor, m.late_l2 * time)
        elif m.by_class:
            for p in range(inner):
                w[p] = <real>penalised(w[p], m.factor[p], time, m.late_l1, m.late_l2)
        else:
            f = m.factor[i]
            shrink_row(inner, w, 1.0 / (1.0 + m.late_l2 * f * f * time), 0.0 if pays else m.late_l1 * f * time)
        if pays and m.by_class:
            for p in range(inner):
                pay_row(1, w + p, <real*>m.a + at + p, m.factor[p] * m.now.budget)
        elif pays:
            pay_row(inner, w, <real*>m.a + at, f * m.now.budget)


cdef inline double penalised(double w, double f, double time, double l1, double l2) noexcept nogil:
    """A weight after this time of the penalties of a column with the factor f."""
    return softened(w, l1 * f * time) / (1.0 + l2 * f * f * time)


cdef inline void shrink_columns(Py_ssize_t n, real* w, const double* factor, double ridge) noexcept nogil:
    """The same for weights of one class without L1, in the precision of the weights."""
    cdef real strength, f, one = 1
    cdef Py_ssize_t p
    strength = <real>ridge
    for p in range(n):
        f = <real>factor[p]
        w[p] = w[p] / (one + f * f * strength)


cdef inline void shrink_row(Py_ssize_t n, real* w, double keep, double cut) noexcept nogil:
    """The same for weights that share the column."""
    cdef real kept = <real>keep, cut_off = <real>cut
    cdef Py_ssize_t p
    if cut == 0.0:
        for p in range(n):
            w[p] *= kept
    else:
        for p in range(n):
            w[p] = <real>(softened(w[p], cut_off) * kept)


cdef void average_all(void* call, const real* unused) noexcept nogil:
    cdef const Memory* m = (<DescentCall*>call).m
    cdef const real* w = <real*>m.w
    cdef real* average = <real*>m.average
    cdef real share
    cdef Py_ssize_t i
    m.now.averaged += 1.0
    share = <real>(1.0 / m.now.averaged)
    if m.ld == m.wide:
        approach(m.features + m.K, average, w, share)
        return
    for i in range(m.features // m.ld):
        approach(m.wide, average, w, share)
        average += m.wide
        w += m.ld
    approach(m.K, average, w, share)


cdef inline void approach(Py_ssize_t n, real* average, const real* w, real share) noexcept nogil:
    """Move n averages by this share of the way to w."""
    cdef Py_ssize_t k
    for k in range(n):
        average[k] += share * (w[k] - average[k])


cdef void synchronise_all(void* call, const real* unused) noexcept nogil:
    cdef const DescentCall* t = <DescentCall*>call
    cdef const Memory* m = t.m
    cdef fx_ahead nothing = nothing_more()
    cdef Py_ssize_t j
    if m.kind == SGD and m.l1 != 0.0 and m.a:
        pay_row(m.features, <real*>m.w, <real*>m.a, m.now.budget)
    if m.now.scale != 1.0:
        rescale_all(call, unused)
    if m.last:
        for j in range(m.d):
            catch_up(m, j, t.eta0, &nothing, <real*>m.w)
            settle(m, j, unused)
    m.now.synced, m.now.left = m.now.updates, 1.0


# ---- rows -----------------------------------------------------------------------------------------------------------

cdef inline fx_ahead fetch_feature(const Memory* m, Py_ssize_t j, Py_ssize_t first, Py_ssize_t stop,
                                   const real* unused) noexcept nogil:
    """Ask for what is stored of feature j: of the arrays side by side those from first to stop. Returns what is left to
    fetch during an update: all, where that is much and fills whole cache lines."""
    cdef Py_ssize_t at = j * m.ld, size = m.wide * sizeof(real)
    cdef fx_ahead ahead = nothing_more()
    if first == 0 and m.last:
        if runs(m.kind):
            FX_PREFETCH(m.last + j)
        if divides(m.kind) and (m.l1 != 0.0 or m.l2 != 0.0):
            FX_PREFETCH(m.clock + j)
    if m.ld > m.wide:
        ahead.at, ahead.lines = <const char*>(<real*>m.w + at + first * m.wide), stop - first
        if size % 64 != 0 or m.ld * sizeof(real) <= FETCHED_AT_ONCE:
            fetch(ahead.at, ahead.lines * size)
            ahead.lines = 0
    elif first == 0:
        fetch(<real*>m.w + at, size)
        if m.a:
            fetch(<real*>m.a + at, size)
        if m.b:
            fetch(<real*>m.b + at, size)
    return ahead


cdef inline bint fetched_apart(const Memory* m, const real* unused) noexcept nogil:
    """Whether what is stored of a feature of the next row is fetched in two parts: as weights catch up, and later."""
    return catches_up(m) and m.ld * sizeof(real) > FETCHED_AT_ONCE


cdef inline fx_ahead nothing_more() noexcept nogil:
    cdef fx_ahead ahead
    ahead.at, ahead.lines = NULL, 0
    return ahead


cdef inline Py_ssize_t listed(const Memory* m, Py_ssize_t j, Py_ssize_t entries, Py_ssize_t count) noexcept nogil:
    """Put feature j on the list, if it is not there yet, and count its entries. Returns how many are on the list."""
    cdef int64_t c = m.slots[j]
    if c < 0:
        c = m.slots[j] = count
        m.touched[c], m.ends[c] = j, 0
        count += 1
    m.ends[c] += entries
    return count


cdef void touch_rows(void* call, const real* x, const index* j) noexcept nogil:
    """List the features of CSR rows, each once, and bring their weights to the last update."""
    cdef DescentCall* t = <DescentCall*>call
    cdef const Memory* m = t.m
    cdef Entries offsets = offsets_of(m.api)
    cdef Py_ssize_t r, p, c, nnz, count = 0, end = 0, needed = 2 if coasts(m.kind) else 3
    cdef real* value = <real*>m.value
    cdef bint single = t.count == 1 and offsets.nnz == 0, apart = single and fetched_apart(m, x)
    cdef Py_ssize_t next_nnz = 0
    cdef const real* next_x
    cdef const index* next_j
    cdef fx_ahead ahead
    if single:
        if t.after > 0:
            next_nnz = row_entries(&m.api.rows, t.order[1], &next_x, &next_j)
        nnz = count = row_entries(&m.api.rows, t.order[0], &x, &j)
        for p in range(nnz):
            m.touched[p] = j[p]
    else:
        for r in range(t.count):
            fetch_entries(m.api, t.order + r, t.count + t.after - r - 1, x, j)
            nnz = row_entries(&m.api.rows, t.order[r], &x, &j)
            for p in range(nnz):
                if p + 2 * FAR < nnz:
                    FX_PREFETCH(m.slots + j[p + 2 * FAR])
                count = listed(m, j[p], 1, count)
        for p in range(offsets.nnz):
            count = listed(m, (<const int32_t*>offsets.j)[p], 0, count)
        for c in range(count):  # from the numbers of entries to where they begin
            nnz, m.ends[c] = m.ends[c], end
            end += nnz
        for r in range(t.count):
            nnz = row_entries(&m.api.rows, t.order[r], &x, &j)
            for p in range(nnz):
                c = m.slots[j[p]]
                m.row[m.ends[c]], value[m.ends[c]] = <int32_t>r, x[p]
                m.ends[c] += 1
        for c in range(count):
            m.slots[m.touched[c]] = -1
    t.features = count
    if catches_up(m):
        for c in range(count):
            ahead = nothing_more()
            if apart and c < next_nnz:  # the first array; the others during the step
                ahead = fetch_feature(m, next_j[c], 0, 1, x)
            elif not single and c + FAR < count:
                ahead = fetch_feature(m, m.touched[c + FAR], 0, needed, x)
            catch_up(m, m.touched[c], t.eta0, &ahead, <real*>m.w)


cdef inline void gather(const Memory* m, Py_ssize_t c, real* g, const real* total) noexcept nogil:
    """Add up the gradient of feature touched[c] in g. total: the sum of all rows' gradients by logits."""
    cdef Py_ssize_t first = m.ends[c - 1] if c > 0 else 0, j = m.touched[c], k
    cdef real x
    gather_rows(m.wide, m.ends[c] - first, <real*>m.value + first, m.row + first, <const real*>m.q, m.width, g)
    if m.factor:
        x = <real>m.factor[j]
        for k in range(m.wide):
            g[k] *= x
        if m.shift[j] != 0.0:
            x = <real>(-m.shift[j] * m.factor[j])
            for k in range(m.wide):
                g[k] += x * total[k]


cdef void step_rows(void* call, const real* x, const index* j) noexcept nogil:
    """One update of the touched features and of the intercept."""
    cdef DescentCall* t = <DescentCall*>call
    cdef const Memory* m = t.m
    cdef const Pace* pace = &m.pace
    cdef const real* q = <const real*>m.q
    cdef real* g = <real*>m.g
    cdef real* total = g + m.width
    cdef Py_ssize_t at = <Py_ssize_t>(m.now.updates - m.now.synced), turn, c, r, k, i, missed, next_nnz = 0
    cdef double size, keep = 1.0, cut = 0.0, root
    cdef bint single = t.count == 1 and offsets_of(m.api).nnz == 0, running = runs(m.kind)
    cdef bint pulls = divides(m.kind) and (m.l1 != 0.0 or m.l2 != 0.0)
    cdef Entries row
    cdef const real* next_x
    cdef const index* next_j
    cdef real* w
    cdef real* a
    cdef real* b
    cdef fx_update u, own
    cdef fx_ahead ahead
    cdef bint sums = m.kind == FTRL and catches_up(m)  # its weights are computed when they catch up
    cdef double faded, faded_root
    cdef Py_ssize_t stored = m.ld // m.wide, apart = 1 if fetched_apart(m, x) else 0
    m.now.clock += t.time
    m.now.updates += 1.0
    u = numbers_of(m, t.part, t.time, t.eta0, m.l1, m.l2)
    root, size = correction(m), u.size
    if m.kind == MOMENTUM or m.kind == NESTEROV or m.kind == ADAMW:
        keep, cut = left_by(m.kind, t.time, m.l2), m.l1 * t.time
    if m.kind == MOMENTUM or m.kind == NESTEROV:
        size, cut = keep * (size * m.beta1 if m.kind == NESTEROV else size), keep * cut
    m.now.left = note(pace, at, size, keep, cut)
    if single:
        row = find_row(m.api, t.order[0], x, j)
        x = <const real*>row.x
        if t.after > 0:
            next_nnz = row_entries(&m.api.rows, t.order[1], &next_x, &next_j)
    else:
        memset(total, 0, m.width * sizeof(real))
        for r in range(t.count):
            for k in range(m.K):
                total[k] += q[r * m.width + k]
    own = u
    for turn in range(t.features):
        # Of a batch, those that were touched last are still in the cache.
        c = turn if single else t.features - 1 - turn
        own.ahead = nothing_more()
        if single:
            if c < next_nnz:
                own.ahead = fetch_feature(m, next_j[c], apart, stored, x)
        elif c >= FAR:
            own.ahead = fetch_feature(m, m.touched[c - FAR], 0, stored, x)
        i = m.touched[c]
        faded = faded_root = 1.0
        if running:
            missed = <Py_ssize_t>m.now.updates - 1 - m.last[i]
            if missed > 0:
                faded, faded_root = power(pace, FIRST, missed), power(pace, ROOT, missed)
            m.last[i] = <int64_t>m.now.updates
        after_gap(&own, m, faded, faded_root, (m.now.clock - m.clock[i]) * root if pulls else 0.0)
        if pulls:
            m.clock[i] = m.now.clock
        if single:
            own.weight = u.weight * x[c]
        else:
            gather(m, c, g, total)
        w, a, b = <real*>m.w + i * m.ld, <real*>m.a + i * m.ld, <real*>m.b + i * m.ld
        if sums:
            update_sums(m.wide, w, a, b, q if single else g, &own)
        else:
            update_row(m.kind, m.wide, w, a, b, q if single else g, &own)
    if single:
        for c in range(t.features, next_nnz):
            ahead = fetch_feature(m, next_j[c], 0, stored, x)
            fetch(ahead.at, ahead.lines * m.wide * sizeof(real))
    update_intercept(t, q if single else total)


cdef void pay_of_rows(void* call, const real* x, const index* j) noexcept nogil:
    """Let the features of some rows pay what L1 has demanded so far."""
    cdef DescentCall* t = <DescentCall*>call
    cdef const Memory* m = t.m
    cdef real* w = <real*>m.w
    cdef real* paid = <real*>m.a
    cdef Py_ssize_t r, p, nnz
    if not m.api.rows.is_sparse:
        pay_row(m.features, w, paid, m.now.budget)
        return
    for r in range(t.count):
        nnz = row_entries(&m.api.rows, t.order[r], &x, &j)
        for p in range(nnz):
            if p + FAR < nnz:
                fetch_feature(m, j[p + FAR], 0, 1, x)
            pay_row(m.wide, w + j[p] * m.ld, paid + j[p] * m.ld, m.now.budget)


# ---- everything at once ---------------------------------------------------------------------------------------------

cdef void step_all(void* call, const real* unused) noexcept nogil:
    """One update of all parameters with the gradient in g, which becomes zero."""
    cdef DescentCall* t = <DescentCall*>call
    cdef const Memory* m = t.m
    cdef real* g = <real*>m.g
    cdef real* w = <real*>m.w
    cdef real* paid = <real*>m.a
    cdef bint pays = m.kind == SGD and paid
    cdef double l1 = 0.0 if pays else m.l1, keep
    cdef fx_update u
    cdef Py_ssize_t i
    m.now.clock += t.time
    m.now.updates += 1.0
    u = numbers_of(m, t.part, t.time, t.eta0, l1, m.l2)
    after_gap(&u, m, 1.0, 1.0, t.time * correction(m))
    update_row(m.kind, m.features, w, <real*>m.a, <real*>m.b, g, &u)
    if pays:
        keep = left_by(SGD, t.time, m.l2)
        for i in range(m.features):
            paid[i] *= <real>keep
        m.now.budget = keep * m.now.budget + m.l1 * t.time
        pay_row(m.features, w, paid, m.now.budget)
    update_intercept(t, g + m.features)
    memset(g, 0, (m.features + m.K) * sizeof(real))


cdef void add_own_rows(void* call, const real* unused) noexcept nogil:
    """Plain steps with the gradients by logits in q. part, own_time: the steps of the features and of the intercept."""
    cdef DescentCall* t = <DescentCall*>call
    cdef const Memory* m = t.m
    cdef real* w = <real*>m.w
    cdef real* q
    cdef Py_ssize_t r, k
    for r in range(t.count):
        q = <real*>m.q + r * m.width
        row_add(m.api, t.order[r], q, -t.part, w)
        for k in range(m.K):
            w[m.features + k] -= <real>t.own_time * q[k]


cdef void add_gradient_of_row(void* call, const real* unused) noexcept nogil:
    """g += the gradient of a dense row, with its gradient by logits in q."""
    cdef DescentCall* t = <DescentCall*>call
    cdef const Memory* m = t.m
    cdef real* g = <real*>m.g
    cdef const real* q = <const real*>m.q
    cdef Py_ssize_t k
    row_add(m.api, t.order[0], m.q, 1.0, g)
    for k in range(m.K):
        g[m.features + k] += q[k]


cdef void reduced_step(void* call, const real* unused, const index* j) noexcept nogil:
    """SVRG's step with one row. a is the snapshot, b the mean gradient there; part: the row's share of the mean."""
    cdef DescentCall* t = <DescentCall*>call
    cdef const Memory* m = t.m
    cdef Entries offsets = offsets_of(m.api)
    cdef real* w = <real*>m.w
    cdef real* here = <real*>m.q
    cdef real* there = here + m.width
    cdef const real* mean = <const real*>m.b + m.features
    cdef fx_ahead nothing = nothing_more()
    cdef const real* x
    cdef Py_ssize_t p, k, nnz
    if m.api.rows.is_sparse:
        for p in range(offsets.nnz):
            catch_up(m, (<const int32_t*>offsets.j)[p], 0.0, &nothing, w)
        nnz = row_entries(&m.api.rows, t.order[0], &x, &j)
        for p in range(nnz):  # a second time changes nothing
            catch_up(m, j[p], 0.0, &nothing, w)
    else:
        for p in range(m.d):
            catch_up(m, p, 0.0, &nothing, w)
    t.loss = row_gradient(m.api, t.order, t.after, m.w, 1.0, here)
    row_gradient(m.api, t.order, t.after, m.a, 1.0, there)
    for k in range(m.K):
        here[k] -= there[k]
    row_add(m.api, t.order[0], here, -t.time * t.part, w)
    if m.fit_intercept:
        for k in range(m.K):
            w[m.features + k] -= <real>t.own_time * (<real>t.part * here[k] + mean[k])


# ---- by name --------------------------------------------------------------------------------------------------------

cdef api Py_ssize_t descent_touch(const Memory* m, const Py_ssize_t* order, Py_ssize_t count, Py_ssize_t after,
                                  double eta0) noexcept nogil:
    """List the features of these CSR rows and bring their weights to the last update. Returns their number."""
    cdef DescentCall t
    t.m, t.order, t.count, t.after, t.eta0 = m, order, count, after, eta0
    dispatch_index(m.is_double, m.is_wide, &t, touch_rows, touch_rows, touch_rows, touch_rows)
    return t.features


cdef api double descent_plain_step(const Memory* m, const Py_ssize_t* order, Py_ssize_t after, double scale,
                                   double step, double own_step) noexcept nogil:
    """row_step with these weights."""
    return row_step(m.api, order, after, m.w, scale, step, own_step)


cdef api double descent_gradients(const Memory* m, const Py_ssize_t* order, Py_ssize_t count, Py_ssize_t after,
                                  double scale) noexcept nogil:
    """Sum of s_i loss_i of these rows, and their gradients by logits into q. after: of the rows later in the order."""
    cdef double loss = 0.0
    cdef Py_ssize_t r, size = m.width * (8 if m.is_double else 4)
    for r in range(count):
        loss += row_gradient(m.api, order + r, count - r - 1 + after, m.w, scale, <char*>m.q + r * size)
    return loss


cdef api void descent_step(const Memory* m, const Py_ssize_t* order, Py_ssize_t count, Py_ssize_t after,
                           Py_ssize_t features, double part, double time, double eta0) noexcept nogil:
    """One update of the touched features and of the intercept. part: times the gradient is its mean."""
    cdef DescentCall t
    t.m, t.order, t.count, t.after, t.features = m, order, count, after, features
    t.part, t.time, t.eta0 = part, time, eta0
    t.own_time, t.own_eta0 = m.now.own_time, m.now.own_eta0
    dispatch_index(m.is_double, m.is_wide, &t, step_rows, step_rows, step_rows, step_rows)


cdef api void descent_step_all(const Memory* m, double part, double time, double eta0) noexcept nogil:
    """One update of all parameters with the gradient in g."""
    cdef DescentCall t
    t.m, t.part, t.time, t.eta0 = m, part, time, eta0
    t.own_time, t.own_eta0 = m.now.own_time, m.now.own_eta0
    dispatch(m.is_double, &t, step_all, step_all)


cdef api double descent_row(const Memory* m, const Py_ssize_t* order, Py_ssize_t after) noexcept nogil:
    """The loss of a dense row, whose gradient is added to g."""
    cdef DescentCall t
    t.m, t.order = m, order
    cdef double loss = row_gradient(m.api, order, after, m.w, 1.0, m.q)
    dispatch(m.is_double, &t, add_gradient_of_row, add_gradient_of_row)
    return loss


cdef api double descent_batch(const Memory* m, const Py_ssize_t* order, Py_ssize_t count,
                              Py_ssize_t after) noexcept nogil:
    """The same for a batch of dense rows."""
    return batch_gradient(m.api, order, count, after, m.w, m.g)


cdef api void descent_add(const Memory* m, const Py_ssize_t* order, Py_ssize_t count, double step,
                          double own_step) noexcept nogil:
    """Plain steps with these rows, whose gradients by logits are in q."""
    cdef DescentCall t
    t.m, t.order, t.count, t.part, t.own_time = m, order, count, step, own_step
    dispatch(m.is_double, &t, add_own_rows, add_own_rows)


cdef api double descent_reduced(const Memory* m, const Py_ssize_t* order, Py_ssize_t after, double time,
                                double own_time, double part) noexcept nogil:
    """SVRG's step with one row, except for the penalty and the mean gradient of the features. Returns its loss."""
    cdef DescentCall t
    t.m, t.order, t.after, t.time, t.own_time, t.part = m, order, after, time, own_time, part
    dispatch_index(m.is_double, m.is_wide, &t, reduced_step, reduced_step, reduced_step, reduced_step)
    return t.loss


cdef api void descent_pay(const Memory* m, const Py_ssize_t* order, Py_ssize_t count) noexcept nogil:
    """Let the features of these rows pay what L1 has demanded so far."""
    cdef DescentCall t
    t.m, t.order, t.count = m, order, count
    dispatch_index(m.is_double, m.is_wide, &t, pay_of_rows, pay_of_rows, pay_of_rows, pay_of_rows)


cdef api void rescale_weights(const Memory* m) noexcept nogil:
    """Multiply the common factor into the weights, and into all that has their unit."""
    cdef DescentCall t
    t.m = m
    dispatch(m.is_double, &t, rescale_all, rescale_all)


cdef api void finish_updates(const Memory* m, bint penalises, bint averages, double eta0) noexcept nogil:
    """Bring every feature up to the last update, then apply the penalty and average, if that is due."""
    cdef DescentCall t
    t.m, t.eta0 = m, eta0
    dispatch(m.is_double, &t, synchronise_all, synchronise_all)
    if penalises:
        dispatch(m.is_double, &t, penalise_all, penalise_all)
    if averages:
        dispatch(m.is_double, &t, average_all, average_all)
