/* The body of simd.h for one REAL. Included twice, once for each dtype; see simd.h. */

/* ---- registers ----------------------------------------------------------------------------------------------------- */
#ifdef FX_BYTES
typedef REAL FX(vec) __attribute__((vector_size(FX_BYTES)));
typedef INT FX(ivec) __attribute__((vector_size(FX_BYTES)));
typedef REAL FX(uvec) __attribute__((vector_size(FX_BYTES), aligned(sizeof(REAL)), may_alias));
FX_INLINE FX(ivec) FX(bits)(FX(vec) x) { return (FX(ivec))x; }
FX_INLINE FX(vec) FX(from_bits)(FX(ivec) x) { return (FX(vec))x; }
FX_INLINE FX(vec) FX(load)(const REAL *p) { return *(const FX(uvec) *)p; }
FX_INLINE void FX(store)(REAL *p, FX(vec) x) { *(FX(uvec) *)p = x; }
FX_INLINE FX(vec) FX(splat)(REAL x) { return x - (FX(vec)){0}; }
typedef UINT FX(bitvec) __attribute__((vector_size(FX_BYTES)));
FX_INLINE FX(ivec) FX(shift_right)(FX(ivec) i) { return (FX(ivec))((FX(bitvec))i >> MANTISSA); }
#else
typedef REAL FX(vec);
typedef INT FX(ivec);
FX_INLINE FX(ivec) FX(bits)(FX(vec) x) { FX(ivec) i; memcpy(&i, &x, sizeof x); return i; }
FX_INLINE FX(vec) FX(from_bits)(FX(ivec) i) { FX(vec) x; memcpy(&x, &i, sizeof x); return x; }
FX_INLINE FX(vec) FX(load)(const REAL *p) { return *p; }
FX_INLINE void FX(store)(REAL *p, FX(vec) x) { *p = x; }
FX_INLINE FX(vec) FX(splat)(REAL x) { return x; }
FX_INLINE FX(ivec) FX(shift_right)(FX(ivec) i) { return (FX(ivec))((UINT)i >> MANTISSA); }
#endif

/* Narrow registers, for rows that end between whole ones. */
#ifdef FX_BYTES
#define NARROW(T, N, L, S)                                                                                          \
    typedef REAL FX(T) __attribute__((vector_size(N * sizeof(REAL))));                                              \
    typedef REAL FX(u##T) __attribute__((vector_size(N * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));         \
    FX_INLINE FX(T) FX(L)(const REAL *p) { return *(const FX(u##T) *)p; }                                           \
    FX_INLINE void FX(S)(REAL *p, FX(T) x) { *(FX(u##T) *)p = x; }
#else
#define NARROW(T, N, L, S)                                                                                          \
    typedef REAL FX(T);                                                                                             \
    FX_INLINE FX(T) FX(L)(const REAL *p) { return *p; }                                                             \
    FX_INLINE void FX(S)(REAL *p, FX(T) x) { *p = x; }
#endif
NARROW(quad, 4, load4, store4)
NARROW(oct, 8, load8, store8)
#undef NARROW

/* Load the first `width` lanes from memory, with `fill` in the others; and store the first `width` lanes. */
FX_INLINE FX(vec) FX(load_part)(const REAL *p, ptrdiff_t width, REAL fill)
{
#if defined(FX_BYTES) && FX_BYTES == 64 && defined(FX_F64)
    return (FX(vec))_mm512_mask_loadu_pd(_mm512_set1_pd(fill), (__mmask8)((1u << width) - 1), p);
#elif defined(FX_BYTES) && FX_BYTES == 64
    return (FX(vec))_mm512_mask_loadu_ps(_mm512_set1_ps(fill), (__mmask16)((1u << width) - 1), p);
#else
    REAL part[LANES];
    for (ptrdiff_t l = 0; l < LANES; l++) part[l] = l < width ? p[l] : fill;
    return FX(load)(part);
#endif
}

FX_INLINE void FX(store_part)(REAL *p, FX(vec) x, ptrdiff_t width)
{
#if defined(FX_BYTES) && FX_BYTES == 64 && defined(FX_F64)
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << width) - 1), (__m512d)x);
#elif defined(FX_BYTES) && FX_BYTES == 64
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << width) - 1), (__m512)x);
#else
    REAL part[LANES];
    FX(store)(part, x);
    for (ptrdiff_t l = 0; l < width; l++) p[l] = part[l];
#endif
}

/* a > b ? a : b, so b where a is NaN */
FX_INLINE FX(vec) FX(max)(FX(vec) a, FX(vec) b)
{
#if defined(FX_BYTES) && FX_BYTES == 64 && defined(FX_F64)
    return (FX(vec))_mm512_max_pd((__m512d)a, (__m512d)b);
#elif defined(FX_BYTES) && FX_BYTES == 64
    return (FX(vec))_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(FX_BYTES) && FX_BYTES == 32 && defined(FX_F64)
    return (FX(vec))_mm256_max_pd((__m256d)a, (__m256d)b);
#elif defined(FX_BYTES) && FX_BYTES == 32
    return (FX(vec))_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__) && defined(FX_F64)
    return (FX(vec))_mm_max_pd((__m128d)a, (__m128d)b);
#elif defined(__SSE2__)
    return (FX(vec))_mm_max_ps((__m128)a, (__m128)b);
#elif defined(FX_BYTES)
    FX(ivec) take = (FX(ivec))(a > b);
    return (FX(vec))(((FX(ivec))a & take) | ((FX(ivec))b & ~take));
#else
    return a > b ? a : b;
#endif
}

/* e where x != 0, else 0 with 1 added to *ties: separates the row's maximum, where x = z - m is 0, from the rest. */
FX_INLINE FX(vec) FX(below_top)(FX(vec) x, FX(vec) e, FX(vec) *ties)
{
#ifdef FX_BYTES
    FX(ivec) top = (FX(ivec))(x == 0);
    *ties += (FX(vec))(top & (FX(ivec))FX(splat)(1));
    return (FX(vec))((FX(ivec))e & ~top);
#else
    if (x == 0) { *ties += 1; return 0; }
    return e;
#endif
}

/* Sum and maximum over the lanes: fold the upper half onto the lower one until one lane is left. */
#if LANES > 1 && defined(FX_SHUFFLE)
#if LANES == 2
#define UPPER1 1, 1
#elif LANES == 4
#define UPPER2 2, 3, 2, 3
#define UPPER1 1, 1, 1, 1
#elif LANES == 8
#define UPPER4 4, 5, 6, 7, 4, 5, 6, 7
#define UPPER2 2, 3, 2, 3, 2, 3, 2, 3
#define UPPER1 1, 1, 1, 1, 1, 1, 1, 1
#else
#define UPPER8 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15
#define UPPER4 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7
#define UPPER2 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3
#define UPPER1 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
#endif
#define UPPER(x, ...) __builtin_shufflevector(x, x, __VA_ARGS__)
FX_INLINE REAL FX(hsum)(FX(vec) x)
{
#if LANES >= 16
    x += UPPER(x, UPPER8);
#endif
#if LANES >= 8
    x += UPPER(x, UPPER4);
#endif
#if LANES >= 4
    x += UPPER(x, UPPER2);
#endif
    x += UPPER(x, UPPER1);
    return x[0];
}

FX_INLINE REAL FX(hmax)(FX(vec) x)
{
#if LANES >= 16
    x = FX(max)(x, UPPER(x, UPPER8));
#endif
#if LANES >= 8
    x = FX(max)(x, UPPER(x, UPPER4));
#endif
#if LANES >= 4
    x = FX(max)(x, UPPER(x, UPPER2));
#endif
    x = FX(max)(x, UPPER(x, UPPER1));
    return x[0];
}
#undef UPPER
#undef UPPER1
#undef UPPER2
#undef UPPER4
#undef UPPER8
#else
FX_INLINE REAL FX(hsum)(FX(vec) x)
{
    REAL part[LANES], s;
    FX(store)(part, x);
    for (ptrdiff_t step = LANES / 2; step > 0; step /= 2)
        for (ptrdiff_t i = 0; i < step; i++) part[i] += part[i + step];
    s = part[0];
    return s;
}

FX_INLINE REAL FX(hmax)(FX(vec) x)
{
    REAL part[LANES];
    FX(store)(part, x);
    for (ptrdiff_t step = LANES / 2; step > 0; step /= 2)
        for (ptrdiff_t i = 0; i < step; i++) part[i] = part[i] > part[i + step] ? part[i] : part[i + step];
    return part[0];
}
#endif

/* 2^n for whole n in [-BIAS + 1, BIAS]: the sum's low bits are the biased exponent. */
FX_INLINE FX(vec) FX(pow2)(FX(vec) n)
{
    return FX(from_bits)(FX(bits)(n + (SHIFT_MAGIC + BIAS)) << MANTISSA);
}

/* ---- exp and log1p --------------------------------------------------------------------------------------------------
   exp(x) for x <= 0 (NaN stays NaN): x = n ln 2 + r in two exact steps, exp(r) = 1 + (r + r^2 Q(r)) with Q minimax on
   |r| <= ln(2)/2 (own fit: 4e-18 for double, 3e-9 for float), times 2^n in two factors so that results below the normal
   range round once. Error below 1.3 ulp with or without fused multiply-add; exp(0) = 1. */
FX_INLINE FX(vec) FX(exp)(FX(vec) x)
{
    static const REAL q[EXP_DEGREE + 1] = EXP_COEFS;
    FX(vec) n, r, p;
    /* Results of 0 come from no product that underflows: that would take the processor thirty times as long. */
#if defined(FX_BYTES) && FX_BYTES == 64 && defined(FX_F64)
    const __mmask8 live = _mm512_cmp_pd_mask((__m512d)x, _mm512_set1_pd(EXP_LOW), _CMP_NLE_UQ); /* NaN, too */
#elif defined(FX_BYTES) && FX_BYTES == 64
    const __mmask16 live = _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(EXP_LOW), _CMP_NLE_UQ);
#else
    x = FX(max)(FX(splat)(EXP_LOW), x); /* keeps NaN */
#endif
    n = (x * LOG2E + SHIFT_MAGIC) - SHIFT_MAGIC;
    r = x - n * LN2_HI;
    r = r - n * LN2_LO;
    p = FX(splat)(q[EXP_DEGREE]);
    FX_UNROLL
    for (int i = EXP_DEGREE - 1; i >= 0; i--) p = p * r + q[i];
    p = 1 + (r + (r * r) * p);
#if defined(FX_BYTES) && FX_BYTES == 64 && defined(FX_F64)
    return (FX(vec))_mm512_maskz_scalef_pd(live, (__m512d)p, (__m512d)n);
#elif defined(FX_BYTES) && FX_BYTES == 64
    return (FX(vec))_mm512_maskz_scalef_ps(live, (__m512)p, (__m512)n);
#else
    {
        const FX(vec) normal = FX(max)(n, FX(splat)(2 - BIAS)), rest = FX(pow2)(n - normal);
#ifdef FX_BYTES
        return p * FX(pow2)(normal) * (FX(vec))((FX(ivec))rest & (FX(ivec))(x > EXP_LOW));
#else
        return x <= EXP_LOW ? 0 : p * FX(pow2)(normal) * rest;
#endif
    }
#endif
}

#ifdef FX_F64
/* The same for one number of either sign, |x| held to 350, where exp(x)^2 and its inverse are normal. The terms come in
   another order: for a single number, latency counts. */
FX_INLINE REAL exp_one(REAL x)
{
    static const REAL q[EXP_DEGREE + 1] = EXP_COEFS;
    REAL c[EXP_DEGREE + 1], n, r, power;
    INT bits;
    x = x < -350 ? -350 : x;
    x = x > 350 ? 350 : x;
    n = x * LOG2E + SHIFT_MAGIC;
    memcpy(&bits, &n, sizeof n); /* n itself in the low bits */
    n -= SHIFT_MAGIC;
    r = x - n * LN2_HI;
    r = r - n * LN2_LO;
    power = r;
    FX_UNROLL
    for (int i = 0; i <= EXP_DEGREE; i++) c[i] = q[i];
    FX_UNROLL
    for (int count = EXP_DEGREE + 1; count > 1; count = (count + 1) / 2, power *= power) {
        FX_UNROLL
        for (int i = 0; i < count / 2; i++) c[i] = c[2 * i] + c[2 * i + 1] * power;
        if (count % 2) c[count / 2] = c[count - 1];
    }
    r = 1 + (r + (r * r) * c[0]);
    INT out;
    memcpy(&out, &r, sizeof r);
    out += (INT)((UINT)bits << MANTISSA);
    memcpy(&r, &out, sizeof r);
    return r;
}
#endif

#ifdef FX_F64
/* The same to 3e-12, for loops in which each number depends on the one before: x = (n / 128) ln 2 + r, with the 128 powers
   of 2 between 1 and 2 in a table, and r so small that its cube is the last term needed. */
static double exp_powers[128];

FX_LOCAL void exp_prepare(void)
{
    for (int j = 0; j < 128; j++) exp_powers[j] = exp2(j / 128.0);
}

FX_INLINE double exp_quick(double x)
{
    double n, r, power;
    UINT bits, out;
    x = x < -350 ? -350 : x;
    x = x > 350 ? 350 : x;
    n = x * (128 * LOG2E) + SHIFT_MAGIC;
    memcpy(&bits, &n, sizeof n);
    n -= SHIFT_MAGIC;
    r = x - n * ((LN2_HI + LN2_LO) / 128);
    memcpy(&out, exp_powers + bits % 128, sizeof out);
    out += bits / 128 << MANTISSA;
    memcpy(&power, &out, sizeof out);
    return power * ((1 + r) + (r * r) * (0.5 + r * (1 / 6.0)));
}
#endif

/* log(1 + x) for x >= 0: u = 1 + x = 2^k (1 + f), log(1 + f) = 2 atanh(s), s = f / (2 + f), and the part of x that was
   rounded off in u comes back as c / u. Error below 1 ulp; log1p(tiny) = tiny. */
FX_INLINE FX(vec) FX(log1p)(FX(vec) x)
{
    static const REAL q[LOG_DEGREE + 1] = LOG_COEFS;
    FX(vec) u = 1 + x, f, k, s, z, p, half, big, small, c;
    FX(ivec) i = FX(bits)(u) - FX(bits)(FX(splat)(HALF_SQRT2));
    FX(ivec) e = FX(shift_right)(i); /* u >= 1, so i is not negative */
    f = FX(from_bits)(FX(bits)(u) - (e << MANTISSA)) - 1;
    k = FX(from_bits)(e + FX(bits)(FX(splat)(INT_MAGIC))) - INT_MAGIC;
    big = FX(max)(x, FX(splat)(1));
    small = -FX(max)(-x, FX(splat)(-1));
    c = (small - (u - big)) / u;
    s = f / (2 + f);
    z = s * s;
    p = FX(splat)(q[LOG_DEGREE]);
    FX_UNROLL
    for (int j = LOG_DEGREE - 1; j >= 0; j--) p = p * z + q[j];
    p = p * z;
    half = (f * f) * (REAL)0.5;
    return k * LN2_HI + (f - (half - (s * (half + p) + (k * LN2_LO + c))));
}

FX_LOCAL void FX(log1p_array)(REAL *x, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        ptrdiff_t width = n - i < LANES ? n - i : LANES;
        FX(store_part)(x + i, FX(log1p)(FX(load_part)(x + i, width, 0)), width);
    }
}

FX_LOCAL void FX(exp_array)(const REAL *x, REAL *y, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        ptrdiff_t width = n - i < LANES ? n - i : LANES;
        FX(store_part)(y + i, FX(exp)(FX(load_part)(x + i, width, 0)), width);
    }
}

/* The root w of w + log w = x (Wright's omega function) to about a percent: log1p(y) (1 - log1p(log1p(y)) / (2 + log1p(y)))
   with y = exp(x) (R. Iacono, J. P. Boyd, "New approximations to the principal real-valued branch of the Lambert W-function",
   Advances in Computational Mathematics 43, 2017), for x = z + q a + shift. Returns the sum of w, and in *slope its
   derivative by the shift. Arrays of whole registers. */
FX_LOCAL REAL FX(omega_row)(const REAL *z, const REAL *a, REAL *w, ptrdiff_t K, REAL q, REAL shift, REAL *slope)
{
    FX(vec) sum = FX(splat)(0), rise = sum;
    for (ptrdiff_t k = 0; k < K; k += LANES) {
        FX(vec) y = FX(load)(z + k) + q * FX(load)(a + k) + shift;
        FX(vec) top = FX(max)(y, FX(splat)(0)), low = y - 2 * top;
        FX(vec) l = top + FX(log1p)(FX(exp)(low));
        y = l * (1 - FX(log1p)(l) / (2 + l));
        FX(store)(w + k, y);
        sum += y;
        rise += y / (1 + y);
    }
    *slope = FX(hsum)(rise);
    return FX(hsum)(sum);
}

/* ---- one row's distribution (sdca.pxi) --------------------------------------------------------------------------------
   Arrays of whole registers: lanes past K hold an impossible class, z = m - 1e4, whose probability is exactly 0. */
FX_INLINE REAL FX(log1p_one)(REAL x)
{
    REAL part[LANES];
    FX(store)(part, FX(log1p)(FX(splat)(x)));
    return part[0];
}

/* exp(h - max) over e; returns log sum exp (h - max), and 1 / the sum in *share. The maximum is left out of it as in
   exp_over. */
FX_INLINE REAL FX(dual_exp)(const REAL *h, REAL *e, ptrdiff_t K, REAL max, REAL *share)
{
    FX(vec) sum = FX(splat)(0), ties = sum;
    for (ptrdiff_t k = 0; k < K; k += LANES) {
        FX(vec) x = FX(load)(h + k) - max, y = FX(exp)(x);
        FX(store)(e + k, y);
        sum += FX(below_top)(x, y, &ties);
    }
    REAL rest = FX(hsum)(sum) + (FX(hsum)(ties) - 1);
    *share = 1 / (1 + rest);
    return FX(log1p_one)(rest);
}

/* a = exp(la), p = softmax(z): returns the sum of a log(a / p). h = log p + q (a - p) / (1 + q p). */
FX_LOCAL double FX(dual_gap)(REAL *z, const REAL *la, REAL *a, REAL *p, REAL *h, ptrdiff_t K, fx_dual *row)
{
    const REAL q = (REAL)row->stiffness;
    const ptrdiff_t last = K % LANES ? K - K % LANES : K - LANES, width = K - last;
    FX(vec) most = FX(load_part)(z + last, width, -INFINITY), sum = FX(splat)(0);
    REAL share;
    for (ptrdiff_t k = 0; k < last; k += LANES) most = FX(max)(most, FX(load)(z + k));
    const REAL m = FX(hmax)(most);
    FX(store)(z + last, FX(load_part)(z + last, width, m - 10000));
    const REAL log_rest = FX(dual_exp)(z, p, K, m, &share), lse = m + log_rest;
    most = FX(splat)(-INFINITY);
    for (ptrdiff_t k = 0; k < K; k += LANES) {
        const FX(vec) l = FX(load_part)(la + k, k < last ? LANES : width, -10000), log_p = FX(load)(z + k) - lse;
        const FX(vec) old = FX(exp)(l), pk = FX(load)(p + k) * share, next = log_p + q * (old - pk) / (1 + q * pk);
        sum += old * (l - log_p);
        FX(store)(a + k, old);
        FX(store)(p + k, pk);
        FX(store)(h + k, next);
        most = FX(max)(next, most);
    }
    row->top_logit = m;
    row->log_rest = log_rest;
    row->log_sum = lse;
    row->top = FX(hmax)(most);
    return FX(hsum)(sum);
}

/* e = softmax(h), h becomes its logarithm; and with f = z + q (a - e) - h and w = e / (1 + q e) the sums in *row. */
FX_LOCAL void FX(dual_value)(const REAL *z, const REAL *a, REAL *e, REAL *h, ptrdiff_t K, fx_dual *row)
{
    const REAL q = (REAL)row->stiffness, lse = (REAL)row->log_sum, top = (REAL)row->top;
    FX(vec) s0 = FX(splat)(0), s1 = s0, s2 = s0, s3 = s0, s4 = s0;
    REAL share;
    const REAL shift = top + FX(dual_exp)(h, e, K, top, &share);
    for (ptrdiff_t k = 0; k < K; k += LANES) {
        const FX(vec) y = FX(load)(h + k) - shift, ek = FX(load)(e + k) * share, zk = FX(load)(z + k);
        const FX(vec) d = ek - FX(load)(a + k), f = zk - q * d - y, w = ek / (1 + q * ek), wf = w * f;
        s0 += w;
        s1 += wf;
        s2 += wf * f;
        s3 += ek * (y - zk + lse);
        s4 += d * d;
        FX(store)(h + k, y);
        FX(store)(e + k, ek);
    }
    row->w = FX(hsum)(s0);
    row->wf = FX(hsum)(s1);
    row->wff = FX(hsum)(s2);
    row->divergence = FX(hsum)(s3);
    row->distance = FX(hsum)(s4);
}

/* Newton's step: h += (f + mu) / (1 + q e) with mu = -sum w f / sum w */
FX_LOCAL void FX(dual_newton)(const REAL *z, const REAL *a, const REAL *e, REAL *h, ptrdiff_t K, fx_dual *row)
{
    const REAL q = (REAL)row->stiffness, mu = (REAL)(-row->wf / row->w);
    FX(vec) most = FX(splat)(-INFINITY);
    for (ptrdiff_t k = 0; k < K; k += LANES) {
        const FX(vec) y = FX(load)(h + k), ek = FX(load)(e + k);
        const FX(vec) f = FX(load)(z + k) + q * (FX(load)(a + k) - ek) - y, next = y + (f + mu) / (1 + q * ek);
        FX(store)(h + k, next);
        most = FX(max)(next, most);
    }
    row->top = FX(hmax)(most);
}

/* ---- one column of X against one class (coordinate.pxi); x NULL is the intercept's column of ones ------------------- */

/* sums = sum_i w_i, sum_i w_i x_i, sum_i w_i x_i^2  with w = mass p (1 - p), or p where mass is NULL */
FX_LOCAL void FX(column_moments)(ptrdiff_t n, const REAL *x, const REAL *p, const REAL *mass, double *sums)
{
    sums[0] = sums[1] = sums[2] = 0;
    for (ptrdiff_t start = 0; start < n; start += 1024) { /* in chunks, whose sums are added in double: single precision keeps its digits */
        ptrdiff_t stop = n - start < 1024 ? n : start + 1024;
        FX(vec) s0 = FX(splat)(0), s1 = s0, s2 = s0;
        for (ptrdiff_t i = start; i < stop; i += LANES) {
            ptrdiff_t width = stop - i < LANES ? stop - i : LANES;
            FX(vec) w = FX(load_part)(p + i, width, 0);
            if (mass) w *= FX(load_part)(mass + i, width, 0) * (1 - w);
            FX(vec) xi = x ? FX(load_part)(x + i, width, 0) : FX(splat)(1);
            s0 += w;
            s1 += w * xi;
            s2 += w * xi * xi;
        }
        sums[0] += FX(hsum)(s0);
        sums[1] += FX(hsum)(s1);
        sums[2] += FX(hsum)(s2);
    }
}

/* sum_i (x_i - m) p_i (a_i - s_i) */
FX_LOCAL double FX(column_slope)(ptrdiff_t n, const REAL *x, REAL m, const REAL *p, const REAL *a, const REAL *s)
{
    double total = 0;
    for (ptrdiff_t start = 0; start < n; start += 1024) {
        ptrdiff_t stop = n - start < 1024 ? n : start + 1024, i = start;
        FX(vec) s0 = FX(splat)(0), s1 = s0;
        for (; i + 2 * LANES <= stop; i += 2 * LANES) {
            FX(vec) x0 = x ? FX(load)(x + i) - m : FX(splat)(1), x1 = x ? FX(load)(x + i + LANES) - m : FX(splat)(1);
            s0 += x0 * FX(load)(p + i) * (FX(load)(a + i) - FX(load)(s + i));
            s1 += x1 * FX(load)(p + i + LANES) * (FX(load)(a + i + LANES) - FX(load)(s + i + LANES));
        }
        for (; i < stop; i += LANES) {
            ptrdiff_t width = stop - i < LANES ? stop - i : LANES;
            FX(vec) x0 = x ? FX(load_part)(x + i, width, 0) - m : FX(splat)(1);
            s0 += x0 * FX(load_part)(p + i, width, 0) * (FX(load_part)(a + i, width, 0) - FX(load_part)(s + i, width, 0));
        }
        total += FX(hsum)(s0 + s1);
    }
    return total;
}

/* a_i += step (x_i - m) mass_i    s_i += step (x_i - m) mass_i p_i */
FX_LOCAL void FX(column_move)(ptrdiff_t n, const REAL *x, REAL m, REAL step, const REAL *p, const REAL *mass, REAL *a,
                              REAL *s)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        FX(vec) move = (x ? step * (FX(load)(x + i) - m) : FX(splat)(step)) * FX(load)(mass + i);
        FX(store)(a + i, FX(load)(a + i) + move);
        FX(store)(s + i, FX(load)(s + i) + move * FX(load)(p + i));
    }
    if (i < n) {
        ptrdiff_t width = n - i;
        FX(vec) move = x ? step * (FX(load_part)(x + i, width, 0) - m) : FX(splat)(step);
        move *= FX(load_part)(mass + i, width, 0);
        FX(store_part)(a + i, FX(load_part)(a + i, width, 0) + move, width);
        FX(store_part)(s + i, FX(load_part)(s + i, width, 0) + move * FX(load_part)(p + i, width, 0), width);
    }
}

/* sum_i (x_i - m) r_i */
FX_LOCAL double FX(column_dot)(ptrdiff_t n, const REAL *x, REAL m, const REAL *r)
{
    double total = 0;
    for (ptrdiff_t start = 0; start < n; start += 1024) {
        ptrdiff_t stop = n - start < 1024 ? n : start + 1024, i = start;
        FX(vec) s0 = FX(splat)(0), s1 = s0;
        for (; i + 2 * LANES <= stop; i += 2 * LANES) {
            s0 += (x ? FX(load)(x + i) - m : FX(splat)(1)) * FX(load)(r + i);
            s1 += (x ? FX(load)(x + i + LANES) - m : FX(splat)(1)) * FX(load)(r + i + LANES);
        }
        for (; i < stop; i += LANES) {
            ptrdiff_t width = stop - i < LANES ? stop - i : LANES;
            s0 += (x ? FX(load_part)(x + i, width, 0) - m : FX(splat)(1)) * FX(load_part)(r + i, width, 0);
        }
        total += FX(hsum)(s0 + s1);
    }
    return total;
}

/* r_i += step (x_i - m) p_i */
FX_LOCAL void FX(column_move_one)(ptrdiff_t n, const REAL *x, REAL m, REAL step, const REAL *p, REAL *r)
{
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        FX(vec) move = x ? step * (FX(load)(x + i) - m) : FX(splat)(step);
        FX(store)(r + i, FX(load)(r + i) + move * FX(load)(p + i));
    }
    if (i < n) {
        ptrdiff_t width = n - i;
        FX(vec) move = x ? step * (FX(load_part)(x + i, width, 0) - m) : FX(splat)(step);
        FX(store_part)(r + i, FX(load_part)(r + i, width, 0) + move * FX(load_part)(p + i, width, 0), width);
    }
}

/* ---- the softmax of a group of rows ----------------------------------------------------------------------------------
   One body, two layouts. Rows in lanes: LANES rows at once, class k at z + k * stride, nothing horizontal. Classes in
   lanes: one row, `count` whole vectors and a partial one, reduced at the end.
   The sum leaves out the maximum (every entry equal to it counts exactly 1, and one of them is taken off): rest =
   sum_{k != argmax} exp(z_k - m), so that log1p(rest) and rest / (1 + rest) keep all digits when rest is tiny.
   Partial sums of 16 vectors by 4 accumulators, chunks by compensated summation: the error does not grow with K. */
FX_INLINE FX(vec) FX(max_over)(const REAL *z, ptrdiff_t stride, ptrdiff_t count, FX(vec) m)
{
    FX(vec) m0 = m, m1 = m, m2 = m, m3 = m;
    ptrdiff_t k = 0;
    for (; k + 4 <= count; k += 4, z += 4 * stride) {
        m0 = FX(max)(m0, FX(load)(z));
        m1 = FX(max)(m1, FX(load)(z + stride));
        m2 = FX(max)(m2, FX(load)(z + 2 * stride));
        m3 = FX(max)(m3, FX(load)(z + 3 * stride));
    }
    for (; k < count; k++, z += stride) m0 = FX(max)(m0, FX(load)(z));
    return FX(max)(FX(max)(m0, m1), FX(max)(m2, m3));
}

FX_INLINE FX(vec) FX(exp_over)(const REAL *z, REAL *e, ptrdiff_t stride, ptrdiff_t count, FX(vec) m, FX(vec) *ties)
{
    FX(vec) sum = FX(splat)(0), lost = sum;
    for (ptrdiff_t k = 0; k < count;) {
        FX(vec) part[4] = {FX(splat)(0), FX(splat)(0), FX(splat)(0), FX(splat)(0)}, term, next;
        ptrdiff_t stop = k + 16 < count ? k + 16 : count;
        for (; k + 4 <= stop; k += 4) {
            FX_UNROLL
            for (int j = 0; j < 4; j++) {
                FX(vec) x = FX(load)(z + (k + j) * stride) - m, y = FX(exp)(x);
                if (e) FX(store)(e + (k + j) * stride, y);
                part[j] += FX(below_top)(x, y, ties);
            }
        }
        for (; k < stop; k++) {
            FX(vec) x = FX(load)(z + k * stride) - m, y = FX(exp)(x);
            if (e) FX(store)(e + k * stride, y);
            part[0] += FX(below_top)(x, y, ties);
        }
        term = ((part[0] + part[1]) + (part[2] + part[3])) - lost;
        next = sum + term;
        lost = (next - sum) - term;
        sum = next;
    }
    return sum;
}

/* Rows in lanes: the maximum of each of LANES rows, and the sum without it; z becomes exp(z - m) when e is given. */
FX_LOCAL void FX(max_lanes)(const REAL *z, ptrdiff_t stride, ptrdiff_t K, REAL *m)
{
    FX(store)(m, FX(max_over)(z + stride, stride, K - 1, FX(load)(z)));
}

FX_LOCAL void FX(exp_lanes)(const REAL *z, REAL *e, ptrdiff_t stride, ptrdiff_t K, const REAL *m, REAL *rest)
{
    FX(vec) ties = FX(splat)(0), sum;
    if (e) sum = FX(exp_over)(z, e, stride, K, FX(load)(m), &ties);
    else sum = FX(exp_over)(z, NULL, stride, K, FX(load)(m), &ties);
    FX(store)(rest, sum + (ties - 1));
}

/* Classes in lanes: the same for one row of K. */
FX_LOCAL REAL FX(max_row)(const REAL *z, ptrdiff_t K)
{
    ptrdiff_t count = K / LANES, tail = K - count * LANES;
    FX(vec) m = FX(splat)(-INFINITY);
    if (tail) m = FX(load_part)(z + count * LANES, tail, -INFINITY);
    return FX(hmax)(FX(max_over)(z, LANES, count, m));
}

FX_LOCAL REAL FX(exp_row)(const REAL *z, REAL *e, ptrdiff_t K, REAL max)
{
    ptrdiff_t count = K / LANES, tail = K - count * LANES;
    FX(vec) m = FX(splat)(max), ties = FX(splat)(0), sum;
    if (e) sum = FX(exp_over)(z, e, LANES, count, m, &ties);
    else sum = FX(exp_over)(z, NULL, LANES, count, m, &ties);
    if (tail) {
        FX(vec) x = FX(load_part)(z + count * LANES, tail, -INFINITY) - m, y = FX(exp)(x);
        if (e) FX(store_part)(e + count * LANES, y, tail);
        sum += FX(below_top)(x, y, &ties);
    }
    return FX(hsum)(sum) + (FX(hsum)(ties) - 1);
}

FX_LOCAL REAL FX(dot_row)(const REAL *p, const REAL *a, ptrdiff_t K)
{
    FX(vec) s0 = FX(splat)(0), s1 = s0;
    ptrdiff_t k = 0;
    for (; k + 2 * LANES <= K; k += 2 * LANES) {
        s0 += FX(load)(p + k) * FX(load)(a + k);
        s1 += FX(load)(p + k + LANES) * FX(load)(a + k + LANES);
    }
    for (; k < K; k += LANES) {
        ptrdiff_t width = K - k < LANES ? K - k : LANES;
        s0 += FX(load_part)(p + k, width, 0) * FX(load_part)(a + k, width, 0);
    }
    return FX(hsum)(s0 + s1);
}

/* x where keep != 0, else exact zeros, whatever x holds. */
FX_INLINE FX(vec) FX(kept)(FX(vec) x, FX(vec) keep)
{
#ifdef FX_BYTES
    return (FX(vec))((FX(ivec))x & (FX(ivec))(keep != 0));
#else
    return keep != 0 ? x : 0;
#endif
}

/* The Hessian of a softmax times a, p = e / total: a_k becomes factor e_k (a_k - mean), mean = sum_k e_k a_k / total.
   a is counted from its value `top` at the largest logit, where e is 1: a row that is nearly certain then loses no digits
   to cancellation. */
FX_LOCAL void FX(hessp_lanes)(const REAL *e, REAL *a, ptrdiff_t stride, ptrdiff_t K, const REAL *top, const REAL *inverse,
                              const REAL *factor)
{
    const FX(vec) t = FX(load)(top), f = FX(load)(factor);
    FX(vec) s0 = FX(splat)(0), s1 = s0, s2 = s0, s3 = s0, mean;
    ptrdiff_t k = 0;
    for (; k + 4 <= K; k += 4) {
        const REAL *ek = e + k * stride, *ak = a + k * stride;
        s0 += FX(load)(ek) * (FX(load)(ak) - t);
        s1 += FX(load)(ek + stride) * (FX(load)(ak + stride) - t);
        s2 += FX(load)(ek + 2 * stride) * (FX(load)(ak + 2 * stride) - t);
        s3 += FX(load)(ek + 3 * stride) * (FX(load)(ak + 3 * stride) - t);
    }
    for (; k < K; k++) s0 += FX(load)(e + k * stride) * (FX(load)(a + k * stride) - t);
    mean = ((s0 + s1) + (s2 + s3)) * FX(load)(inverse);
    for (k = 0; k < K; k++) {
        FX(vec) ak = FX(load)(a + k * stride) - t;
        FX(store)(a + k * stride, FX(kept)(f * (FX(load)(e + k * stride) * (ak - mean)), f));
    }
}

/* The same for one row of K, its factor not zero. */
FX_LOCAL void FX(hessp_row)(const REAL *e, REAL *a, ptrdiff_t K, REAL top, REAL inverse, REAL factor)
{
    FX(vec) s0 = FX(splat)(0), s1 = s0, s2 = s0, s3 = s0;
    ptrdiff_t k = 0, tail = K % LANES, whole = K - tail;
    REAL mean;
    for (; k + 4 * LANES <= K; k += 4 * LANES) {
        s0 += FX(load)(e + k) * (FX(load)(a + k) - top);
        s1 += FX(load)(e + k + LANES) * (FX(load)(a + k + LANES) - top);
        s2 += FX(load)(e + k + 2 * LANES) * (FX(load)(a + k + 2 * LANES) - top);
        s3 += FX(load)(e + k + 3 * LANES) * (FX(load)(a + k + 3 * LANES) - top);
    }
    for (; k < whole; k += LANES) s0 += FX(load)(e + k) * (FX(load)(a + k) - top);
    if (tail) s1 += FX(load_part)(e + whole, tail, 0) * (FX(load_part)(a + whole, tail, top) - top);
    mean = FX(hsum)((s0 + s1) + (s2 + s3)) * inverse;
    for (k = 0; k < whole; k += LANES)
        FX(store)(a + k, factor * (FX(load)(e + k) * ((FX(load)(a + k) - top) - mean)));
    if (tail)
        FX(store_part)(a + whole,
                       factor * (FX(load_part)(e + whole, tail, 0) * ((FX(load_part)(a + whole, tail, top) - top) - mean)),
                       tail);
}

/* The place of the largest of K numbers, `max`; 0 if none equals it (NaN). */
FX_LOCAL ptrdiff_t FX(place_row)(const REAL *z, ptrdiff_t K, REAL max)
{
    for (ptrdiff_t k = 0; k < K; k++)
        if (z[k] == max) return k;
    return 0;
}

FX_LOCAL REAL FX(sum_row)(const REAL *x, ptrdiff_t n)
{
    FX(vec) s0 = FX(splat)(0), s1 = s0;
    ptrdiff_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        s0 += FX(load)(x + i);
        s1 += FX(load)(x + i + LANES);
    }
    for (; i < n; i += LANES) s0 += FX(load_part)(x + i, n - i < LANES ? n - i : LANES, 0);
    return FX(hsum)(s0 + s1);
}

/* ---- tiles of the products -------------------------------------------------------------------------------------------
   outer: c[r, v] += sum_t a[r * rs + t * cs] * b[t * bs + v]   r < rows, v < vecs * LANES
   The broadcast operand has two strides, so one tile serves logits (a = X, b = W), the gradient by classes
   (a = X transposed, b = Q) and the gradient by features (a = Q transposed, b = X).
   next: memory that is fetched meanwhile, `pace` bytes a step (up to 128), or NULL. After `left` steps it goes on with the
   next of the rows whose numbers begin at `row`, `stride` bytes apart from `base` on, and so on after `length` steps. */
FX_INLINE void FX(outer)(const int rows, const int vecs, ptrdiff_t T, const REAL *a, const REAL *b, REAL *c,
                         const fx_outer *at, const char *next, const int lines)
{
    const ptrdiff_t rs = at->rs, cs = at->cs, bs = at->bs, ldc = at->ldc, step = lines ? at->pace / lines : 0;
    FX(vec) acc[12][4];
    FX_UNROLL
    for (int r = 0; r < rows; r++)
        FX_UNROLL
        for (int v = 0; v < vecs; v++) acc[r][v] = FX(splat)(0);
    const ptrdiff_t *row = lines ? at->row : NULL;
    ptrdiff_t t = 0, stop = lines && at->left < T ? at->left : T;
    while (t < T) {
        for (; t < stop; t++, a += cs, b += bs) {
            FX(vec) bv[4];
            FX_UNROLL
            for (int v = 0; v < vecs; v++) bv[v] = FX(load)(b + v * LANES);
            for (int l = 0; l < lines; l++, next += step) FX_PREFETCH(next);
            FX_UNROLL
            for (int r = 0; r < rows; r++) {
                FX(vec) ar = FX(splat)(a[r * rs]);
                FX_UNROLL
                for (int v = 0; v < vecs; v++) acc[r][v] += ar * bv[v];
            }
        }
        if (lines && t < T) {
            next = at->base + *row++ * at->stride;
            stop = T - t < at->length ? T : t + at->length;
        }
    }
    FX_UNROLL
    for (int r = 0; r < rows; r++)
        FX_UNROLL
        for (int v = 0; v < vecs; v++)
            FX(store)(c + r * ldc + v * LANES, FX(load)(c + r * ldc + v * LANES) + acc[r][v]);
}

#define OUTER(R, V)                                                                                                  \
    case 16 * V + R:                                                                                                 \
        if (!at->next) FX(outer)(R, V, T, a, b, c, at, NULL, 0);                                                     \
        else if (at->pace <= 64) FX(outer)(R, V, T, a, b, c, at, at->next, 1);                                       \
        else FX(outer)(R, V, T, a, b, c, at, at->next, 2);                                                           \
        break;
FX_LOCAL void FX(outer_tile)(int rows, int vecs, ptrdiff_t T, const REAL *a, const REAL *b, REAL *c, const fx_outer *at)
{
    switch (16 * vecs + rows) {
        OUTER(1, 1) OUTER(2, 1) OUTER(3, 1) OUTER(4, 1) OUTER(5, 1) OUTER(6, 1)
        OUTER(7, 1) OUTER(8, 1) OUTER(9, 1) OUTER(10, 1) OUTER(11, 1) OUTER(12, 1)
        OUTER(1, 2) OUTER(2, 2) OUTER(3, 2) OUTER(4, 2) OUTER(5, 2) OUTER(6, 2)
        OUTER(1, 3) OUTER(2, 3) OUTER(3, 3) OUTER(4, 3)
#if FX_TILE == 24
        OUTER(7, 2) OUTER(8, 2) OUTER(9, 2) OUTER(10, 2) OUTER(11, 2) OUTER(12, 2)
        OUTER(5, 3) OUTER(6, 3) OUTER(7, 3) OUTER(8, 3)
        OUTER(1, 4) OUTER(2, 4) OUTER(3, 4) OUTER(4, 4) OUTER(5, 4) OUTER(6, 4)
#endif
    }
}
#undef OUTER

/* dot: z[k * ldz + r] += <x_r, w_k>   r < FX_DOT_ROWS, k < classes; features in lanes.
   The last, partial vector of a row is read from its end (x + tail; -1: there is none), and w has zeros in the lanes
   already counted. ahead: distance to the rows that are fetched meanwhile, or 0 (the hardware does not follow short
   pieces of rows by itself). */
#if LANES > 1 && defined(FX_SHUFFLE)
#if LANES == 2
#define PAIR1A 0, 2
#define PAIR1B 1, 3
#elif LANES == 4
#define PAIR1A 0, 4, 2, 6
#define PAIR1B 1, 5, 3, 7
#define PAIR2A 0, 1, 4, 5
#define PAIR2B 2, 3, 6, 7
#elif LANES == 8
#define PAIR1A 0, 8, 2, 10, 4, 12, 6, 14
#define PAIR1B 1, 9, 3, 11, 5, 13, 7, 15
#define PAIR2A 0, 1, 8, 9, 4, 5, 12, 13
#define PAIR2B 2, 3, 10, 11, 6, 7, 14, 15
#define PAIR4A 0, 1, 2, 3, 8, 9, 10, 11
#define PAIR4B 4, 5, 6, 7, 12, 13, 14, 15
#else
#define PAIR1A 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define PAIR1B 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#define PAIR2A 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define PAIR2B 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define PAIR4A 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define PAIR4B 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define PAIR8A 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define PAIR8B 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#endif
#define PAIR(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#define PAIR1(x, y) (PAIR(x, y, PAIR1A) + PAIR(x, y, PAIR1B))
#define PAIR2(x, y) (PAIR(x, y, PAIR2A) + PAIR(x, y, PAIR2B))
#define PAIR4(x, y) (PAIR(x, y, PAIR4A) + PAIR(x, y, PAIR4B))
#endif

/* z[r] += the sum of the lanes of acc[r]: pairs of registers are added crosswise, so that the sums of several rows end up
   side by side. */
FX_INLINE void FX(add_row_sums)(FX(vec) acc[FX_DOT_ROWS], REAL *z)
{
#if defined(PAIR) && FX_DOT_ROWS == 8
    REAL part[LANES];
    FX(store)(part, PAIR4(PAIR2(PAIR1(acc[0], acc[1]), PAIR1(acc[2], acc[3])),
                          PAIR2(PAIR1(acc[4], acc[5]), PAIR1(acc[6], acc[7]))));
    for (int r = 0; r < 8; r++) z[r] += LANES == 16 ? part[r] + part[(r + 8) % LANES] : part[r];
#elif defined(PAIR2A)
    REAL part[LANES];
    FX(store)(part, PAIR2(PAIR1(acc[0], acc[1]), PAIR1(acc[2], acc[3])));
    for (int r = 0; r < 4; r++) z[r] += LANES == 8 ? part[r] + part[(r + 4) % LANES] : part[r];
#elif defined(PAIR)
    REAL part[4];
    FX(store)(part, PAIR1(acc[0], acc[1]));
    FX(store)(part + 2, PAIR1(acc[2], acc[3]));
    for (int r = 0; r < 4; r++) z[r] += part[r];
#else
    for (int r = 0; r < FX_DOT_ROWS; r++) z[r] += FX(hsum)(acc[r]);
#endif
}

FX_INLINE void FX(dot)(const int classes, const REAL *const *x, const REAL *w, REAL *z, const fx_dot *at,
                       const ptrdiff_t ahead)
{
    const ptrdiff_t T = at->T, tail = at->tail, ldw = at->ldw, ldz = at->ldz;
    FX(vec) acc[FX_DOT_CLASSES][FX_DOT_ROWS];
    const REAL *row[FX_DOT_ROWS];
    FX_UNROLL
    for (int r = 0; r < FX_DOT_ROWS; r++) row[r] = x[r];
    FX_UNROLL
    for (int k = 0; k < classes; k++)
        FX_UNROLL
        for (int r = 0; r < FX_DOT_ROWS; r++) acc[k][r] = FX(splat)(0);
    for (ptrdiff_t t = 0; t < T; t++) {
        FX(vec) wk[FX_DOT_CLASSES];
        FX_UNROLL
        for (int k = 0; k < classes; k++) wk[k] = FX(load)(w + k * ldw + t * LANES);
        FX_UNROLL
        for (int r = 0; r < FX_DOT_ROWS; r++) {
            FX(vec) xr = FX(load)(row[r] + t * LANES);
            if (ahead) FX_PREFETCH(row[r] + t * LANES + ahead);
            FX_UNROLL
            for (int k = 0; k < classes; k++) acc[k][r] += xr * wk[k];
        }
    }
    if (tail >= 0) {
        FX_UNROLL
        for (int r = 0; r < FX_DOT_ROWS; r++) {
            FX(vec) xr = FX(load)(row[r] + tail);
            FX_UNROLL
            for (int k = 0; k < classes; k++) acc[k][r] += xr * FX(load)(w + k * ldw + T * LANES);
        }
    }
    FX_UNROLL
    for (int k = 0; k < classes; k++) FX(add_row_sums)(acc[k], z + k * ldz);
}

FX_LOCAL void FX(dot_tile)(int classes, const REAL *const *x, const REAL *w, REAL *z, const fx_dot *at)
{
    switch (at->ahead ? -classes : classes) {
    case 1: FX(dot)(1, x, w, z, at, 0); break;
    case 2: FX(dot)(2, x, w, z, at, 0); break;
    case 3: FX(dot)(3, x, w, z, at, 0); break;
    case -1: FX(dot)(1, x, w, z, at, at->ahead); break;
    case -2: FX(dot)(2, x, w, z, at, at->ahead); break;
    case -3: FX(dot)(3, x, w, z, at, at->ahead); break;
    }
}

/* A square of LANES x LANES numbers, rows `as` apart, transposed into rows `bs` apart: the exchanges of add_row_sums. */
#ifdef PAIR
#define EXCHANGE(S, A, B)                                                                                           \
    FX_UNROLL                                                                                                       \
    for (int r = 0; r < LANES; r++)                                                                                 \
        if (!(r & S)) {                                                                                             \
            FX(vec) first = PAIR(v[r], v[r + S], A);                                                                \
            v[r + S] = PAIR(v[r], v[r + S], B);                                                                     \
            v[r] = first;                                                                                           \
        }
#endif
FX_LOCAL void FX(turn_tile)(const REAL *a, ptrdiff_t as, REAL *b, ptrdiff_t bs)
{
#ifdef PAIR
    FX(vec) v[LANES];
    FX_UNROLL
    for (int r = 0; r < LANES; r++) v[r] = FX(load)(a + r * as);
    EXCHANGE(1, PAIR1A, PAIR1B)
#ifdef PAIR2A
    EXCHANGE(2, PAIR2A, PAIR2B)
#endif
#ifdef PAIR4A
    EXCHANGE(4, PAIR4A, PAIR4B)
#endif
#ifdef PAIR8A
    EXCHANGE(8, PAIR8A, PAIR8B)
#endif
    FX_UNROLL
    for (int r = 0; r < LANES; r++) FX(store)(b + r * bs, v[r]);
#else
    for (int r = 0; r < LANES; r++)
        for (int c = 0; c < LANES; c++) b[c * bs + r] = a[r * as + c];
#endif
}
#undef EXCHANGE
#undef PAIR8A
#undef PAIR8B
#undef PAIR
#undef PAIR1
#undef PAIR2
#undef PAIR4
#undef PAIR1A
#undef PAIR1B
#undef PAIR2A
#undef PAIR2B
#undef PAIR4A
#undef PAIR4B

/* ---- tiles of a CSR row ---------------------------------------------------------------------------------------------- */
#define INDEX int32_t
#define FXI(name) FX_CAT(FX(name), i32)
#if FX_GATHER && defined(FX_F64)
#define LOAD8(m, p) (FX(oct))_mm512_maskz_loadu_pd(m, p)
#define GATHER(m, j, w) (FX(oct))_mm512_mask_i32gather_pd(_mm512_setzero_pd(), m, _mm256_maskz_loadu_epi32(m, j), w, 8)
#elif FX_GATHER
#define LOAD8(m, p) (FX(oct))_mm256_maskz_loadu_ps(m, p)
#define GATHER(m, j, w) (FX(oct))_mm256_mmask_i32gather_ps(_mm256_setzero_ps(), m, _mm256_maskz_loadu_epi32(m, j), w, 4)
#endif
#include "simd_csr.h"
#define INDEX int64_t
#define FXI(name) FX_CAT(FX(name), i64)
#if FX_GATHER && defined(FX_F64)
#define GATHER(m, j, w) (FX(oct))_mm512_mask_i64gather_pd(_mm512_setzero_pd(), m, _mm512_maskz_loadu_epi64(m, j), w, 8)
#elif FX_GATHER
#define GATHER(m, j, w) (FX(oct))_mm512_mask_i64gather_ps(_mm256_setzero_ps(), m, _mm512_maskz_loadu_epi64(m, j), w, 4)
#endif
#include "simd_csr.h"

#include "simd_descent.h"

#undef LOAD8
#undef REAL
#undef INT
#undef UINT
#undef FX
#undef FX_F64
#undef LANES
#undef MANTISSA
#undef BIAS
#undef SHIFT_MAGIC
#undef INT_MAGIC
#undef LOG2E
#undef LN2_HI
#undef LN2_LO
#undef EXP_LOW
#undef HALF_SQRT2
#undef EXP_DEGREE
#undef EXP_COEFS
#undef LOG_DEGREE
#undef LOG_COEFS
