# The leaves of simd.h, one fused name each.

ctypedef fused real:
    double
    float

ctypedef fused source:     # the dtype of parameters, which may differ from that of the data
    double
    float

ctypedef fused index:
    int32_t
    int64_t

cdef extern from "simd.h" nogil:
    enum: FX_TILE
    enum: FX_DOT_ROWS
    enum: FX_DOT_CLASSES
    enum: FX_LANES_F64
    enum: FX_LANES_F32
    void FX_PREFETCH(const void* p)

    double exp_one(double x)
    double exp_quick(double x)
    void exp_prepare()
    void exp_array_f64(const double* x, double* y, Py_ssize_t n)
    void exp_array_f32(const float* x, float* y, Py_ssize_t n)
    void log1p_array_f64(double* x, Py_ssize_t n)
    void log1p_array_f32(float* x, Py_ssize_t n)
    void max_lanes_f64(const double* z, Py_ssize_t stride, Py_ssize_t K, double* m)
    void max_lanes_f32(const float* z, Py_ssize_t stride, Py_ssize_t K, float* m)
    void exp_lanes_f64(const double* z, double* e, Py_ssize_t stride, Py_ssize_t K, const double* m, double* rest)
    void exp_lanes_f32(const float* z, float* e, Py_ssize_t stride, Py_ssize_t K, const float* m, float* rest)
    double max_row_f64(const double* z, Py_ssize_t K)
    float max_row_f32(const float* z, Py_ssize_t K)
    double exp_row_f64(const double* z, double* e, Py_ssize_t K, double m)
    float exp_row_f32(const float* z, float* e, Py_ssize_t K, float m)
    double dot_row_f64(const double* p, const double* a, Py_ssize_t K)
    float dot_row_f32(const float* p, const float* a, Py_ssize_t K)

    void hessp_lanes_f64(const double* e, double* a, Py_ssize_t stride, Py_ssize_t K, const double* top,
                         const double* inverse, const double* factor)
    void hessp_lanes_f32(const float* e, float* a, Py_ssize_t stride, Py_ssize_t K, const float* top,
                         const float* inverse, const float* factor)
    void hessp_row_f64(const double* e, double* a, Py_ssize_t K, double top, double inverse, double factor)
    void hessp_row_f32(const float* e, float* a, Py_ssize_t K, float top, float inverse, float factor)
    Py_ssize_t place_row_f64(const double* z, Py_ssize_t K, double m)
    Py_ssize_t place_row_f32(const float* z, Py_ssize_t K, float m)
    double sum_row_f64(const double* x, Py_ssize_t n)
    float sum_row_f32(const float* x, Py_ssize_t n)
    void column_moments_f64(Py_ssize_t n, const double* x, const double* q, const double* p, double* sums)
    void column_moments_f32(Py_ssize_t n, const float* x, const float* q, const float* p, double* sums)
    double column_dot_f64(Py_ssize_t n, const double* x, double m, const double* r)
    double column_dot_f32(Py_ssize_t n, const float* x, float m, const float* r)
    void column_move_one_f64(Py_ssize_t n, const double* x, double m, double step, const double* q, double* r)
    void column_move_one_f32(Py_ssize_t n, const float* x, float m, float step, const float* q, float* r)
    double column_slope_f64(Py_ssize_t n, const double* x, double m, const double* q, const double* a, const double* s)
    double column_slope_f32(Py_ssize_t n, const float* x, float m, const float* q, const float* a, const float* s)
    void column_move_f64(Py_ssize_t n, const double* x, double m, double step, const double* p, double* a, double* s)
    void column_move_f32(Py_ssize_t n, const float* x, float m, float step, const float* p, float* a, float* s)
    double omega_row_f64(const double* z, const double* a, double* w, Py_ssize_t K, double q, double shift,
                         double* slope)
    float omega_row_f32(const float* z, const float* a, float* w, Py_ssize_t K, float q, float shift, float* slope)

    void outer_tile_f64(int rows, int vecs, Py_ssize_t T, const double* a, Py_ssize_t rs, Py_ssize_t cs,
                        const double* b, Py_ssize_t bs, double* c, Py_ssize_t ldc, const char* next, int lines)
    void outer_tile_f32(int rows, int vecs, Py_ssize_t T, const float* a, Py_ssize_t rs, Py_ssize_t cs,
                        const float* b, Py_ssize_t bs, float* c, Py_ssize_t ldc, const char* next, int lines)
    void turn_tile_f64(const double* a, Py_ssize_t as_, double* b, Py_ssize_t bs)
    void turn_tile_f32(const float* a, Py_ssize_t as_, float* b, Py_ssize_t bs)
    void dot_tile_f64(int classes, Py_ssize_t T, Py_ssize_t tail, const double** x, Py_ssize_t ahead, const double* w,
                      Py_ssize_t ldw, double* z, Py_ssize_t ldz)
    void dot_tile_f32(int classes, Py_ssize_t T, Py_ssize_t tail, const float** x, Py_ssize_t ahead, const float* w,
                      Py_ssize_t ldw, float* z, Py_ssize_t ldz)

    void csr_dot_tile_f64_i32(int tile, Py_ssize_t nnz, Py_ssize_t ahead, const double* x, const int32_t* j,
                              const double* w, Py_ssize_t ld, double* z)
    void csr_dot_tile_f64_i64(int tile, Py_ssize_t nnz, Py_ssize_t ahead, const double* x, const int64_t* j,
                              const double* w, Py_ssize_t ld, double* z)
    void csr_dot_tile_f32_i32(int tile, Py_ssize_t nnz, Py_ssize_t ahead, const float* x, const int32_t* j,
                              const float* w, Py_ssize_t ld, float* z)
    void csr_dot_tile_f32_i64(int tile, Py_ssize_t nnz, Py_ssize_t ahead, const float* x, const int64_t* j,
                              const float* w, Py_ssize_t ld, float* z)
    void csr_add_tile_f64_i32(int tile, Py_ssize_t nnz, Py_ssize_t ahead, const double* x, const int32_t* j,
                              const double* q, double* g, Py_ssize_t ld)
    void csr_add_tile_f64_i64(int tile, Py_ssize_t nnz, Py_ssize_t ahead, const double* x, const int64_t* j,
                              const double* q, double* g, Py_ssize_t ld)
    void csr_add_tile_f32_i32(int tile, Py_ssize_t nnz, Py_ssize_t ahead, const float* x, const int32_t* j,
                              const float* q, float* g, Py_ssize_t ld)
    void csr_add_tile_f32_i64(int tile, Py_ssize_t nnz, Py_ssize_t ahead, const float* x, const int64_t* j,
                              const float* q, float* g, Py_ssize_t ld)
    double csr_dot_one_f64_i32(Py_ssize_t nnz, const double* x, const int32_t* j, const double* w)
    double csr_dot_one_f64_i64(Py_ssize_t nnz, const double* x, const int64_t* j, const double* w)
    float csr_dot_one_f32_i32(Py_ssize_t nnz, const float* x, const int32_t* j, const float* w)
    float csr_dot_one_f32_i64(Py_ssize_t nnz, const float* x, const int64_t* j, const float* w)
    void csr_add_one_f64_i32(Py_ssize_t nnz, const double* x, const int32_t* j, double q, double* g)
    void csr_add_one_f64_i64(Py_ssize_t nnz, const double* x, const int64_t* j, double q, double* g)
    void csr_add_one_f32_i32(Py_ssize_t nnz, const float* x, const int32_t* j, float q, float* g)
    void csr_add_one_f32_i64(Py_ssize_t nnz, const float* x, const int64_t* j, float q, float* g)
    void csr_add_pair_f64_i32(Py_ssize_t nnz, const double* x, const int32_t* j, double a, double b, double* g)
    void csr_add_pair_f64_i64(Py_ssize_t nnz, const double* x, const int64_t* j, double a, double b, double* g)
    void csr_add_pair_f32_i32(Py_ssize_t nnz, const float* x, const int32_t* j, double a, double b, double* g)
    void csr_add_pair_f32_i64(Py_ssize_t nnz, const float* x, const int64_t* j, double a, double b, double* g)
    double dual_gap_f64(double* z, const double* la, double* a, double* p, double* h, Py_ssize_t K, double q,
                        double* tops)
    void dual_value_f64(const double* z, const double* a, double* e, double* h, Py_ssize_t K, double q, double lse,
                        double top, double* sums)
    double dual_newton_f64(const double* z, const double* a, const double* e, double* h, Py_ssize_t K, double q,
                           double mu)
    double dual_gap_f32(float* z, const float* la, float* a, float* p, float* h, Py_ssize_t K, float q, float* tops)
    void dual_value_f32(const float* z, const float* a, float* e, float* h, Py_ssize_t K, float q, float lse,
                        float top, double* sums)
    float dual_newton_f32(const float* z, const float* a, const float* e, float* h, Py_ssize_t K, float q, float mu)


cdef inline Py_ssize_t lanes(const real* unused) noexcept nogil:
    """Numbers of this dtype in a vector register."""
    if real is double:
        return FX_LANES_F64
    else:
        return FX_LANES_F32


cdef inline void exp_array(const real* x, real* y, Py_ssize_t n) noexcept nogil:
    if real is double:
        exp_array_f64(x, y, n)
    else:
        exp_array_f32(x, y, n)


cdef inline void log1p_array(real* x, Py_ssize_t n) noexcept nogil:
    if real is double:
        log1p_array_f64(x, n)
    else:
        log1p_array_f32(x, n)


cdef inline void max_lanes(const real* z, Py_ssize_t stride, Py_ssize_t K, real* m) noexcept nogil:
    if real is double:
        max_lanes_f64(z, stride, K, m)
    else:
        max_lanes_f32(z, stride, K, m)


cdef inline void exp_lanes(const real* z, real* e, Py_ssize_t stride, Py_ssize_t K, const real* m,
                           real* rest) noexcept nogil:
    if real is double:
        exp_lanes_f64(z, e, stride, K, m, rest)
    else:
        exp_lanes_f32(z, e, stride, K, m, rest)


cdef inline real max_row(const real* z, Py_ssize_t K) noexcept nogil:
    if real is double:
        return max_row_f64(z, K)
    else:
        return max_row_f32(z, K)


cdef inline real exp_row(const real* z, real* e, Py_ssize_t K, real m) noexcept nogil:
    if real is double:
        return exp_row_f64(z, e, K, m)
    else:
        return exp_row_f32(z, e, K, m)


cdef inline real dot_row(const real* p, const real* a, Py_ssize_t K) noexcept nogil:
    if real is double:
        return dot_row_f64(p, a, K)
    else:
        return dot_row_f32(p, a, K)


cdef inline void hessp_lanes(const real* e, real* a, Py_ssize_t stride, Py_ssize_t K, const real* top,
                             const real* inverse, const real* factor) noexcept nogil:
    if real is double:
        hessp_lanes_f64(e, a, stride, K, top, inverse, factor)
    else:
        hessp_lanes_f32(e, a, stride, K, top, inverse, factor)


cdef inline void hessp_row(const real* e, real* a, Py_ssize_t K, real top, real inverse, real factor) noexcept nogil:
    if real is double:
        hessp_row_f64(e, a, K, top, inverse, factor)
    else:
        hessp_row_f32(e, a, K, top, inverse, factor)


cdef inline Py_ssize_t place_row(const real* z, Py_ssize_t K, real m) noexcept nogil:
    if real is double:
        return place_row_f64(z, K, m)
    else:
        return place_row_f32(z, K, m)


cdef inline real sum_row(const real* x, Py_ssize_t n) noexcept nogil:
    if real is double:
        return sum_row_f64(x, n)
    else:
        return sum_row_f32(x, n)


cdef inline void column_moments(Py_ssize_t n, const real* x, const real* q, const real* p, double* sums) noexcept nogil:
    if real is double:
        column_moments_f64(n, x, q, p, sums)
    else:
        column_moments_f32(n, x, q, p, sums)


cdef inline double column_dot(Py_ssize_t n, const real* x, real m, const real* r) noexcept nogil:
    if real is double:
        return column_dot_f64(n, x, m, r)
    else:
        return column_dot_f32(n, x, m, r)


cdef inline void column_move_one(Py_ssize_t n, const real* x, real m, real step, const real* q, real* r) noexcept nogil:
    if real is double:
        column_move_one_f64(n, x, m, step, q, r)
    else:
        column_move_one_f32(n, x, m, step, q, r)


cdef inline double column_slope(Py_ssize_t n, const real* x, real m, const real* q, const real* a,
                                const real* s) noexcept nogil:
    if real is double:
        return column_slope_f64(n, x, m, q, a, s)
    else:
        return column_slope_f32(n, x, m, q, a, s)


cdef inline void column_move(Py_ssize_t n, const real* x, real m, real step, const real* p, real* a,
                             real* s) noexcept nogil:
    if real is double:
        column_move_f64(n, x, m, step, p, a, s)
    else:
        column_move_f32(n, x, m, step, p, a, s)


cdef inline double dual_gap(real* z, const real* la, real* a, real* p, real* h, Py_ssize_t K, real q,
                            real* tops) noexcept nogil:
    if real is double:
        return dual_gap_f64(z, la, a, p, h, K, q, tops)
    else:
        return dual_gap_f32(z, la, a, p, h, K, q, tops)


cdef inline void dual_value(const real* z, const real* a, real* e, real* h, Py_ssize_t K, real q, real lse, real top,
                            double* sums) noexcept nogil:
    if real is double:
        dual_value_f64(z, a, e, h, K, q, lse, top, sums)
    else:
        dual_value_f32(z, a, e, h, K, q, lse, top, sums)


cdef inline real dual_newton(const real* z, const real* a, const real* e, real* h, Py_ssize_t K, real q,
                             real mu) noexcept nogil:
    if real is double:
        return dual_newton_f64(z, a, e, h, K, q, mu)
    else:
        return dual_newton_f32(z, a, e, h, K, q, mu)


cdef inline real omega_row(const real* z, const real* a, real* w, Py_ssize_t K, real q, real shift,
                           real* slope) noexcept nogil:
    if real is double:
        return omega_row_f64(z, a, w, K, q, shift, slope)
    else:
        return omega_row_f32(z, a, w, K, q, shift, slope)


cdef inline void outer_tile(int rows, int vecs, Py_ssize_t T, const real* a, Py_ssize_t rs, Py_ssize_t cs,
                            const real* b, Py_ssize_t bs, real* c, Py_ssize_t ldc, const char* next=NULL,
                            int lines=0) noexcept nogil:
    if real is double:
        outer_tile_f64(rows, vecs, T, a, rs, cs, b, bs, c, ldc, next, lines)
    else:
        outer_tile_f32(rows, vecs, T, a, rs, cs, b, bs, c, ldc, next, lines)


cdef inline void turn_tile(const real* a, Py_ssize_t a_stride, real* b, Py_ssize_t b_stride) noexcept nogil:
    if real is double:
        turn_tile_f64(a, a_stride, b, b_stride)
    else:
        turn_tile_f32(a, a_stride, b, b_stride)


cdef inline void dot_tile(int classes, Py_ssize_t T, Py_ssize_t tail, const real** x, Py_ssize_t ahead, const real* w,
                          Py_ssize_t ldw, real* z, Py_ssize_t ldz) noexcept nogil:
    if real is double:
        dot_tile_f64(classes, T, tail, x, ahead, w, ldw, z, ldz)
    else:
        dot_tile_f32(classes, T, tail, x, ahead, w, ldw, z, ldz)


cdef inline void csr_dot_tile(int tile, Py_ssize_t nnz, Py_ssize_t ahead, const real* x, const index* j,
                              const real* w, Py_ssize_t ld, real* z) noexcept nogil:
    if real is double and index is int32_t:
        csr_dot_tile_f64_i32(tile, nnz, ahead, x, j, w, ld, z)
    elif real is double:
        csr_dot_tile_f64_i64(tile, nnz, ahead, x, j, w, ld, z)
    elif index is int32_t:
        csr_dot_tile_f32_i32(tile, nnz, ahead, x, j, w, ld, z)
    else:
        csr_dot_tile_f32_i64(tile, nnz, ahead, x, j, w, ld, z)


cdef inline void csr_add_tile(int tile, Py_ssize_t nnz, Py_ssize_t ahead, const real* x, const index* j,
                              const real* q, real* g, Py_ssize_t ld) noexcept nogil:
    if real is double and index is int32_t:
        csr_add_tile_f64_i32(tile, nnz, ahead, x, j, q, g, ld)
    elif real is double:
        csr_add_tile_f64_i64(tile, nnz, ahead, x, j, q, g, ld)
    elif index is int32_t:
        csr_add_tile_f32_i32(tile, nnz, ahead, x, j, q, g, ld)
    else:
        csr_add_tile_f32_i64(tile, nnz, ahead, x, j, q, g, ld)


cdef inline real csr_dot_one(Py_ssize_t nnz, const real* x, const index* j, const real* w) noexcept nogil:
    if real is double and index is int32_t:
        return csr_dot_one_f64_i32(nnz, x, j, w)
    elif real is double:
        return csr_dot_one_f64_i64(nnz, x, j, w)
    elif index is int32_t:
        return csr_dot_one_f32_i32(nnz, x, j, w)
    else:
        return csr_dot_one_f32_i64(nnz, x, j, w)


cdef inline void csr_add_one(Py_ssize_t nnz, const real* x, const index* j, real q, real* g) noexcept nogil:
    if real is double and index is int32_t:
        csr_add_one_f64_i32(nnz, x, j, q, g)
    elif real is double:
        csr_add_one_f64_i64(nnz, x, j, q, g)
    elif index is int32_t:
        csr_add_one_f32_i32(nnz, x, j, q, g)
    else:
        csr_add_one_f32_i64(nnz, x, j, q, g)


cdef inline void csr_add_pair(Py_ssize_t nnz, const real* x, const index* j, double a, double b,
                              double* g) noexcept nogil:
    if real is double and index is int32_t:
        csr_add_pair_f64_i32(nnz, x, j, a, b, g)
    elif real is double:
        csr_add_pair_f64_i64(nnz, x, j, a, b, g)
    elif index is int32_t:
        csr_add_pair_f32_i32(nnz, x, j, a, b, g)
    else:
        csr_add_pair_f32_i64(nnz, x, j, a, b, g)


cdef inline Py_ssize_t steps(Py_ssize_t n, Py_ssize_t step) noexcept nogil:
    """How many steps cover n, the last one perhaps partly."""
    return (n + step - 1) // step


cdef inline Py_ssize_t round_up(Py_ssize_t n, Py_ssize_t step) noexcept nogil:
    return steps(n, step) * step


cdef inline Py_ssize_t clamp(Py_ssize_t n, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    return low if n < low else high if n > high else n
