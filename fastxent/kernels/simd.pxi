# The leaves of simd.h. Each is a macro that looks at the types of its arguments: a pointer declared as void here is one
# to `real`, or to `index` where it is called j, and a number comes back in the precision of the arrays.

cdef extern from "simd.h" nogil:
    enum: FX_TILE
    enum: FX_DOT_ROWS
    enum: FX_DOT_CLASSES
    enum: FX_LANES_F64
    enum: FX_LANES_F32
    void FX_PREFETCH "FX_KEPT_PREFETCH"(const void* p)
    Py_ssize_t lanes(const void* x)         # numbers of this type in a vector register

    double exp_one(double x)
    double exp_quick(double x)
    void exp_prepare()
    void exp_array(const void* x, void* y, Py_ssize_t n)
    void log1p_array(void* x, Py_ssize_t n)

    void max_lanes(const void* z, Py_ssize_t stride, Py_ssize_t K, void* m)
    void exp_lanes(const void* z, void* e, Py_ssize_t stride, Py_ssize_t K, const void* m, void* rest)
    double max_row(const void* z, Py_ssize_t K)
    double exp_row(const void* z, void* e, Py_ssize_t K, double m)
    double dot_row(const void* p, const void* a, Py_ssize_t K)
    double sum_row(const void* x, Py_ssize_t n)
    Py_ssize_t place_row(const void* z, Py_ssize_t K, double m)
    void hessp_lanes(const void* e, void* a, Py_ssize_t stride, Py_ssize_t K, const void* top, const void* inverse,
                     const void* factor)
    void hessp_row(const void* e, void* a, Py_ssize_t K, double top, double inverse, double factor)

    ctypedef struct fx_outer:
        Py_ssize_t rs, cs, bs, ldc
        const char* next
        Py_ssize_t pace
        const Py_ssize_t* row
        const char* base
        Py_ssize_t stride, left, length

    ctypedef struct fx_dot:
        Py_ssize_t T, tail, ahead, ldw, ldz

    void outer_tile(int rows, int vecs, Py_ssize_t T, const void* a, const void* b, void* c, const fx_outer* at)
    void dot_tile(int classes, const void* x, const void* w, void* z, const fx_dot* at)
    void turn_tile(const void* a, Py_ssize_t a_stride, void* b, Py_ssize_t b_stride)

    void csr_dot_tile(int tile, Py_ssize_t nnz, Py_ssize_t ahead, const void* x, const void* j, const void* w,
                      Py_ssize_t ld, void* z)
    void csr_add_tile(int tile, Py_ssize_t nnz, Py_ssize_t ahead, const void* x, const void* j, const void* q, void* g,
                      Py_ssize_t ld)
    double csr_dot_one(Py_ssize_t nnz, const void* x, const void* j, const void* w)
    void csr_add_one(Py_ssize_t nnz, const void* x, const void* j, double q, void* g)
    double csr_sum_one(Py_ssize_t nnz, const void* j, const void* w)
    void csr_add_ones(Py_ssize_t nnz, const void* j, double q, void* g)
    void csr_add_pair(Py_ssize_t nnz, const void* x, const void* j, double a, double b, double* g)

    void column_moments(Py_ssize_t n, const void* x, const void* p, const void* mass, double* sums)
    double column_dot(Py_ssize_t n, const void* x, double m, const void* r)
    double column_slope(Py_ssize_t n, const void* x, double m, const void* p, const void* a, const void* s)
    void column_move_one(Py_ssize_t n, const void* x, double m, double step, const void* p, void* r)
    void column_move(Py_ssize_t n, const void* x, double m, double step, const void* p, const void* mass, void* a,
                     void* s)

    ctypedef struct fx_dual:
        double stiffness, top_logit, log_rest, log_sum, top, w, wf, wff, divergence, distance

    double dual_gap(void* z, const void* la, void* a, void* p, void* h, Py_ssize_t K, fx_dual* row)
    void dual_value(const void* z, const void* a, void* e, void* h, Py_ssize_t K, fx_dual* row)
    void dual_newton(const void* z, const void* a, const void* e, void* h, Py_ssize_t K, fx_dual* row)
    ctypedef struct fx_ahead:
        const char* at
        Py_ssize_t lines

    ctypedef struct fx_update:
        double weight, size, keep, cut, kept1, part1, kept2, part2, eps, ridge, pull, least, inverse
        int penalty
        fx_ahead ahead

    void update_sgd(Py_ssize_t n, void* w, void* a, void* b, const void* g, const fx_update* u)
    void update_momentum(Py_ssize_t n, void* w, void* a, void* b, const void* g, const fx_update* u)
    void update_scaled(Py_ssize_t n, void* w, void* a, void* b, const void* g, const fx_update* u)
    void update_adam(Py_ssize_t n, void* w, void* a, void* b, const void* g, const fx_update* u)
    void update_ftrl(Py_ssize_t n, void* w, void* a, void* b, const void* g, const fx_update* u)
    void update_sums(Py_ssize_t n, void* w, void* a, void* b, const void* g, const fx_update* u)
    void update_leader(Py_ssize_t n, void* w, void* a, void* b, const void* g, const fx_update* u)
    int coast_row(Py_ssize_t n, void* w, const void* a, double keep, double size, double cut, fx_ahead ahead)
    void pay_row(Py_ssize_t n, void* w, void* paid, double budget)
    double take_row(Py_ssize_t n, const void* x, const void* shift, const void* factor, const char* next, void* y)
    void gather_rows(Py_ssize_t n, Py_ssize_t count, const void* x, const int32_t* row, const void* q,
                     Py_ssize_t stride, void* g)

    double omega_row(const void* z, const void* a, void* w, Py_ssize_t K, double q, double shift, void* slope)


cdef inline Py_ssize_t steps(Py_ssize_t n, Py_ssize_t step) noexcept nogil:
    """How many steps cover n, the last one perhaps partly."""
    return (n + step - 1) // step


cdef inline Py_ssize_t round_up(Py_ssize_t n, Py_ssize_t step) noexcept nogil:
    return steps(n, step) * step


cdef inline Py_ssize_t clamp(Py_ssize_t n, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return low if n < low else high if n > high else n
