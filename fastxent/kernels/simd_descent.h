/* Updates of descent for one REAL (updates.pxi has the formulas): n weights w next to each other, their gradient g, and
   what the optimiser stores of them, a and b. Included twice, see simd.h. */

FX_INLINE FX(vec) FX(min)(FX(vec) a, FX(vec) b)
{
#if defined(FX_BYTES) && FX_BYTES == 64 && defined(FX_F64)
    return (FX(vec))_mm512_min_pd((__m512d)a, (__m512d)b);
#elif defined(FX_BYTES) && FX_BYTES == 64
    return (FX(vec))_mm512_min_ps((__m512)a, (__m512)b);
#else
    return -FX(max)(-a, -b);
#endif
}

/* The square root of each lane. */
FX_INLINE FX(vec) FX(root)(FX(vec) x)
{
#if defined(FX_BYTES) && FX_BYTES == 64 && defined(FX_F64)
    return (FX(vec))_mm512_sqrt_pd((__m512d)x);
#elif defined(FX_BYTES) && FX_BYTES == 64
    return (FX(vec))_mm512_sqrt_ps((__m512)x);
#elif defined(FX_BYTES) && FX_BYTES == 32 && defined(FX_F64)
    return (FX(vec))_mm256_sqrt_pd((__m256d)x);
#elif defined(FX_BYTES) && FX_BYTES == 32
    return (FX(vec))_mm256_sqrt_ps((__m256)x);
#elif defined(__SSE2__) && defined(FX_F64)
    return (FX(vec))_mm_sqrt_pd((__m128d)x);
#elif defined(__SSE2__)
    return (FX(vec))_mm_sqrt_ps((__m128)x);
#elif defined(FX_BYTES)
    for (int l = 0; l < LANES; l++) x[l] = (REAL)sqrt(x[l]);
    return x;
#else
    return (REAL)sqrt(x);
#endif
}

/* 1 / sqrt(x) and 1 / x of positive normal numbers, but for an error in the last digit. An estimate y of 14 bits and the
   first terms of (1 - e)^(-1/2) with e = 1 - x y^2, or Newton's steps, each of which doubles the bits, take a quarter of
   the time of a root and a division. */
FX_INLINE FX(vec) FX(inverse_root)(FX(vec) x)
{
#if defined(FX_BYTES) && FX_BYTES == 64
#ifdef FX_F64
    const FX(vec) y = (FX(vec))_mm512_rsqrt14_pd((__m512d)x), e = 1 - (x * y) * y;
    return y + (y * e) * (0.5 + e * (0.375 + e * 0.3125));
#else
    const FX(vec) y = (FX(vec))_mm512_rsqrt14_ps((__m512)x), e = 1 - (x * y) * y;
    return y + (y * e) * 0.5f;
#endif
#else
    return 1 / FX(root)(x);
#endif
}

FX_INLINE FX(vec) FX(inverse)(FX(vec) x)
{
#if defined(FX_BYTES) && FX_BYTES == 64
#ifdef FX_F64
    FX(vec) y = (FX(vec))_mm512_rcp14_pd((__m512d)x);
#else
    FX(vec) y = (FX(vec))_mm512_rcp14_ps((__m512)x);
#endif
    FX_UNROLL
    for (int i = 0; i < (int)sizeof(REAL) / 4; i++) y += y * (1 - x * y);
    return y;
#else
    return 1 / x;
#endif
}

#ifdef FX_BYTES
/* sum += the squares of a register's numbers, in double. */
typedef double FX(wide) __attribute__((vector_size(FX_BYTES)));
FX_INLINE void FX(add_squares)(const REAL *x, FX(wide) sum[2])
{
#ifdef FX_F64
    sum[0] += FX(load)(x) * FX(load)(x);
#else
    typedef float half __attribute__((vector_size(FX_BYTES / 2), aligned(4), may_alias));
    const FX(wide) low = __builtin_convertvector(*(const half *)x, FX(wide));
    const FX(wide) high = __builtin_convertvector(*(const half *)(x + LANES / 2), FX(wide));
    sum[0] += low * low;
    sum[1] += high * high;
#endif
}
#endif

/* Move x towards 0 by a cut >= 0, but not beyond 0. What is not a number stays so. */
FX_INLINE FX(vec) FX(soft)(FX(vec) x, FX(vec) cut) { return x - FX(max)(FX(min)(x, cut), -cut); }

/* The root of a mean of squares, and of which it is the inverse; 0 has no inverse, but a large number. */
FX_INLINE FX(vec) FX(root_of_squares)(FX(vec) s)
{
#if defined(FX_BYTES) && FX_BYTES == 64
    return s * FX(inverse_root)(FX(max)(FX(splat)((REAL)(sizeof(REAL) == 8 ? 1e-300 : 1e-36)), s));
#else
    return FX(root)(s);
#endif
}

typedef struct {
    FX(vec) weight, size, keep, cut, kept1, part1, kept2, part2, eps, ridge, most, pull, least, inverse;
} FX(numbers);

FX_INLINE FX(numbers) FX(numbers_of)(const fx_update *u)
{
    FX(numbers) s;
    const double ridge = (REAL)u->ridge;
    s.weight = FX(splat)((REAL)u->weight);
    s.size = FX(splat)((REAL)u->size);
    s.keep = FX(splat)((REAL)u->keep);
    s.cut = FX(splat)((REAL)u->cut);
    s.kept1 = FX(splat)((REAL)u->kept1);
    s.part1 = FX(splat)((REAL)u->part1);
    s.kept2 = FX(splat)((REAL)u->kept2);
    s.part2 = FX(splat)((REAL)u->part2);
    s.eps = FX(splat)((REAL)u->eps);
    s.ridge = FX(splat)((REAL)ridge);
    s.most = FX(splat)((REAL)(ridge > 0 ? 1 / ridge : INFINITY));
    s.pull = FX(splat)((REAL)u->pull);
    s.least = FX(splat)((REAL)(u->least * u->least));
    s.inverse = FX(splat)((REAL)u->inverse);
    return s;
}

typedef struct {
    FX(vec) w, a, b;
} FX(stored);

/* A weight after the penalty and the move in the metric of a divisor whose inverse is h. */
FX_INLINE FX(vec) FX(moved)(const int penalty, FX(vec) w, FX(vec) move, FX(vec) h, const FX(numbers) *s)
{
    if (!penalty) return w - move * h;
    const FX(vec) shorter = FX(min)(h, s->most), zero = FX(splat)(0);
    return FX(soft)(FX(max)(zero, 1 - s->ridge * h) * w - move * shorter, s->pull * shorter);
}

FX_INLINE FX(stored) FX(sgd_lanes)(const int penalty, FX(stored) x, FX(vec) g, const FX(numbers) *s)
{
    x.w = s->keep * x.w - s->size * g;
    if (penalty) x.w = FX(soft)(x.w, s->cut);
    return x;
}

/* part1, part2: of the gradient and of the velocity in a move. */
FX_INLINE FX(stored) FX(momentum_lanes)(const int penalty, FX(stored) x, FX(vec) g, const FX(numbers) *s)
{
    x.a = s->kept1 * x.a + g;
    x.w -= s->size * (s->part1 * g + s->part2 * x.a);
    if (penalty) x.w = FX(soft)(s->keep * x.w, s->cut);
    return x;
}

/* adagrad, rmsprop */
FX_INLINE FX(stored) FX(scaled_lanes)(const int penalty, FX(stored) x, FX(vec) g, const FX(numbers) *s)
{
    x.a = FX(root_of_squares)(s->kept2 * (x.a * x.a) + s->part2 * (g * g));
    x.w = FX(moved)(penalty, x.w, s->size * g, FX(inverse)(x.a + s->eps), s);
    return x;
}

/* adam, adamw: keep and cut are adamw's penalty. */
FX_INLINE FX(stored) FX(adam_lanes)(const int penalty, FX(stored) x, FX(vec) g, const FX(numbers) *s)
{
    const FX(vec) mean = s->kept1 * (x.a * x.b) + s->part1 * g;
    const FX(vec) square = FX(max)(s->least, s->kept2 * (x.b * x.b) + s->part2 * (g * g));
    const FX(vec) h = FX(inverse_root)(square);
    x.b = square * h;
    x.a = mean * h;
    if (penalty) x.w *= s->keep;
    x.w = FX(moved)(penalty, x.w, s->size * mean, h, s);
    if (penalty) x.w = FX(soft)(x.w, s->cut);
    return x;
}

FX_INLINE FX(vec) FX(leader)(const int penalty, FX(stored) x, const FX(numbers) *s)
{
    const FX(vec) sum = penalty ? FX(soft)(x.a, s->pull) : x.a;
    return -sum * FX(inverse)((s->eps + x.b) * s->inverse + s->ridge);
}

/* ftrl's sums alone, where weights are computed from them later. */
FX_INLINE FX(stored) FX(sums_lanes)(const int penalty, FX(stored) x, FX(vec) g, const FX(numbers) *s)
{
    const FX(vec) h = FX(root_of_squares)(x.b * x.b + g * g);
    x.a += g - (h - x.b) * s->inverse * x.w;
    x.b = h;
    return x;
}

FX_INLINE FX(stored) FX(ftrl_lanes)(const int penalty, FX(stored) x, FX(vec) g, const FX(numbers) *s)
{
    x = FX(sums_lanes)(penalty, x, g, s);
    x.w = FX(leader)(penalty, x, s);
    return x;
}

/* ftrl's weights from its sums, without a gradient */
FX_INLINE FX(stored) FX(leader_lanes)(const int penalty, FX(stored) x, FX(vec) g, const FX(numbers) *s)
{
    x.w = FX(leader)(penalty, x, s);
    return x;
}

/* One register's share of what is fetched meanwhile. Requests all at once would have to wait for each other, and the
   numbers for them. */
FX_INLINE void FX(look_ahead)(fx_ahead *ahead)
{
    if (ahead->lines > 0) FX_PREFETCH_FAR(ahead->at);
    if (ahead->lines > 1) FX_PREFETCH_FAR(ahead->at + sizeof(FX(vec)));
    if (ahead->lines > 2) FX_PREFETCH_FAR(ahead->at + 2 * sizeof(FX(vec)));
    ahead->at += ahead->lines * (ptrdiff_t)sizeof(FX(vec));
}

/* The loops over n weights, and which of the arrays they read and write. */
#define W 1
#define A 2
#define B 4
#define UPDATE(name, reads, writes)                                                                                  \
    FX_INLINE void FX(name##_over)(const int penalty, ptrdiff_t n, REAL *w, REAL *a, REAL *b, const REAL *g,         \
                                   const fx_update *u)                                                               \
    {                                                                                                                \
        const FX(numbers) s = FX(numbers_of)(u);                                                                     \
        FX(stored) x = {FX(splat)(0), FX(splat)(0), FX(splat)(0)};                                                   \
        fx_ahead ahead = u->ahead;                                                                                   \
        ptrdiff_t k = 0;                                                                                             \
        for (; k + LANES <= n; k += LANES) {                                                                         \
            FX(look_ahead)(&ahead);                                                                                  \
            if ((reads) & W) x.w = FX(load)(w + k);                                                                  \
            if ((reads) & A) x.a = FX(load)(a + k);                                                                  \
            if ((reads) & B) x.b = FX(load)(b + k);                                                                  \
            x = FX(name##_lanes)(penalty, x, s.weight * FX(load)(g + k), &s);                                        \
            if ((writes) & W) FX(store)(w + k, x.w);                                                                 \
            if ((writes) & A) FX(store)(a + k, x.a);                                                                 \
            if ((writes) & B) FX(store)(b + k, x.b);                                                                 \
        }                                                                                                            \
        if (k < n) {                                                                                                 \
            if ((reads) & W) x.w = FX(load_part)(w + k, n - k, 0);                                                   \
            if ((reads) & A) x.a = FX(load_part)(a + k, n - k, 0);                                                   \
            if ((reads) & B) x.b = FX(load_part)(b + k, n - k, 1);                                                   \
            x = FX(name##_lanes)(penalty, x, s.weight * FX(load_part)(g + k, n - k, 0), &s);                         \
            if ((writes) & W) FX(store_part)(w + k, x.w, n - k);                                                     \
            if ((writes) & A) FX(store_part)(a + k, x.a, n - k);                                                     \
            if ((writes) & B) FX(store_part)(b + k, x.b, n - k);                                                     \
        }                                                                                                            \
    }                                                                                                                \
    FX_LOCAL void FX(update_##name)(ptrdiff_t n, REAL *w, REAL *a, REAL *b, const REAL *g, const fx_update *u)       \
    {                                                                                                                \
        if (u->penalty) FX(name##_over)(1, n, w, a, b, g, u);                                                        \
        else FX(name##_over)(0, n, w, a, b, g, u);                                                                   \
    }
UPDATE(sgd, W, W)
UPDATE(momentum, W | A, W | A)
UPDATE(scaled, W | A, W | A)
UPDATE(adam, W | A | B, W | A | B)
UPDATE(ftrl, W | A | B, W | A | B)
UPDATE(sums, W | A | B, A | B)
UPDATE(leader, A | B, W)
#undef W
#undef A
#undef B
#undef UPDATE

/* w = soft(keep w - size a, cut), unless a weight passes zero that a pushes there: then nothing changes. Returns whether
   all weights could be moved. */
FX_LOCAL int FX(coast_row)(ptrdiff_t n, REAL *w, const REAL *a, double keep, double size, double cut, fx_ahead ahead)
{
    const FX(vec) kept = FX(splat)((REAL)keep), sized = FX(splat)((REAL)size), cuts = FX(splat)((REAL)cut);
    ptrdiff_t k = 0;
    if (cut != 0) {
        FX(ivec) passes = FX(bits)(FX(splat)(0));
        for (; k < n; k += LANES) {
            const ptrdiff_t width = n - k < LANES ? n - k : LANES;
            FX(look_ahead)(&ahead);
            const FX(vec) before = FX(load_part)(w + k, width, 0), push = FX(load_part)(a + k, width, 0);
            const FX(vec) x = FX(soft)(kept * before - sized * push, cuts);
            passes |= (FX(ivec))(push * before > 0) & (FX(ivec))(x * before <= 0);
        }
#ifdef FX_BYTES
        for (int l = 1; l < LANES; l++) passes[0] |= passes[l];
        if (passes[0]) return 0;
#else
        if (passes) return 0;
#endif
        k = ahead.lines = 0;
    }
    for (; k + LANES <= n; k += LANES) {
        FX(look_ahead)(&ahead);
        const FX(vec) x = kept * FX(load)(w + k) - sized * FX(load)(a + k);
        FX(store)(w + k, cut != 0 ? FX(soft)(x, cuts) : x);
    }
    if (k < n) {
        const FX(vec) x = kept * FX(load_part)(w + k, n - k, 0) - sized * FX(load_part)(a + k, n - k, 0);
        FX(store_part)(w + k, cut != 0 ? FX(soft)(x, cuts) : x, n - k);
    }
    return 1;
}

/* Move weights towards 0 by what each owes to L1. budget: what L1 has demanded of each so far; paid: what each has paid,
   with the sign of the change. */
FX_INLINE void FX(pay_lanes)(FX(vec) *w, FX(vec) *paid, FX(vec) budget)
{
    const FX(vec) before = *w, zero = FX(splat)(0);
    const FX(vec) down = FX(max)(zero, budget + *paid), up = FX(max)(zero, budget - *paid);
    *w = FX(max)(zero, before - down) + FX(min)(zero, before + up);
    *paid += *w - before;
}

FX_LOCAL void FX(pay_row)(ptrdiff_t n, REAL *w, REAL *paid, double budget)
{
    const FX(vec) all = FX(splat)((REAL)budget);
    ptrdiff_t k = 0;
    for (; k + LANES <= n; k += LANES) {
        FX(vec) x = FX(load)(w + k), y = FX(load)(paid + k);
        FX(pay_lanes)(&x, &y, all);
        FX(store)(w + k, x);
        FX(store)(paid + k, y);
    }
    if (k < n) {
        FX(vec) x = FX(load_part)(w + k, n - k, 0), y = FX(load_part)(paid + k, n - k, 0);
        FX(pay_lanes)(&x, &y, all);
        FX(store_part)(w + k, x, n - k);
        FX(store_part)(paid + k, y, n - k);
    }
}

/* A row of n numbers on its way into a block: y = (x - shift) factor, or x if factor is NULL; y may be x. Returns |y|^2.
   next: another row of this length, which is fetched meanwhile, or NULL. */
FX_INLINE double FX(take)(const int standard, ptrdiff_t n, const REAL *x, const REAL *shift, const REAL *factor,
                          const char *next, REAL *y)
{
    double total = 0;
    ptrdiff_t k = 0;
#ifdef FX_BYTES
    FX(wide) sum[2] = {{0}, {0}};
    for (; k + LANES <= n; k += LANES) {
        FX(vec) v = FX(load)(x + k);
        if (next) FX_PREFETCH(next + k * (ptrdiff_t)sizeof(REAL));
        if (standard) v = (v - FX(load)(shift + k)) * FX(load)(factor + k);
        FX(store)(y + k, v);
        FX(add_squares)(y + k, sum);
    }
    sum[0] += sum[1];
    FX_UNROLL
    for (int l = 0; l < FX_LANES_F64; l++) total += sum[0][l];
#endif
    for (; k < n; k++) {
        const REAL v = standard ? (x[k] - shift[k]) * factor[k] : x[k];
        y[k] = v;
        total += (double)v * v;
    }
    return total;
}

FX_LOCAL double FX(take_row)(ptrdiff_t n, const REAL *x, const REAL *shift, const REAL *factor, const char *next, REAL *y)
{
    return factor ? FX(take)(1, n, x, shift, factor, next, y) : FX(take)(0, n, x, shift, factor, next, y);
}

/* g = sum over e < count of x[e] * q[row[e] * stride ...] */
FX_LOCAL void FX(gather_rows)(ptrdiff_t n, ptrdiff_t count, const REAL *x, const int32_t *row, const REAL *q,
                              ptrdiff_t stride, REAL *g)
{
    ptrdiff_t k = 0;
    for (; k + 4 * LANES <= n; k += 4 * LANES) {
        FX(vec) sum[4] = {FX(splat)(0), FX(splat)(0), FX(splat)(0), FX(splat)(0)};
        for (ptrdiff_t e = 0; e < count; e++) {
            FX_UNROLL
            for (int v = 0; v < 4; v++) sum[v] += x[e] * FX(load)(q + row[e] * stride + k + v * LANES);
        }
        FX_UNROLL
        for (int v = 0; v < 4; v++) FX(store)(g + k + v * LANES, sum[v]);
    }
    for (; k < n; k += LANES) {
        const ptrdiff_t width = n - k < LANES ? n - k : LANES;
        FX(vec) sum = FX(splat)(0);
        for (ptrdiff_t e = 0; e < count; e++) sum += x[e] * FX(load_part)(q + row[e] * stride + k, width, 0);
        FX(store_part)(g + k, sum, width);
    }
}
