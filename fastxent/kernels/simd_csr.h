/* The CSR tiles of simd_real.h for one REAL and one INDEX. Included four times. w and g hold one row of `ld` weights per
   feature, classes contiguous; lanes past the classes of interest read and add what the caller's padding admits.
   ahead: the rows of the non-zeros that come so much later are fetched meanwhile, or 0. Features come in no order that
   the hardware could guess, and once w or g outgrow the second-level cache, most of the time is spent waiting for them.
   The caller must make sure that j[nnz - 1 + ahead] can be read (safely_ahead in products.pxi). */

/* The cache lines of a row of w or g. */
FX_INLINE void FXI(csr_fetch)(const int vecs, const int narrow, const REAL *row)
{
    FX_UNROLL
    for (int v = 0; v < vecs; v += 64 / (int)sizeof(FX(vec))) FX_PREFETCH(row + v * LANES);
    if (narrow) FX_PREFETCH(row + vecs * LANES);
}

/* z[v] += sum_p x[p] * w[j[p], v]   v < vecs * LANES + narrow: the sums stay in registers over the whole row. A narrow
   register of 4 or 8 lanes ends a row of few classes, which whole registers would mostly pad. */
FX_INLINE void FXI(csr_dot)(const int vecs, const int narrow, const int ways, ptrdiff_t nnz, ptrdiff_t ahead,
                            const REAL *x, const INDEX *j, const REAL *w, ptrdiff_t ld, REAL *z)
{
    FX(vec) acc[4][8];
    FX(quad) acc4[4];
    FX(oct) acc8[4];
    const ptrdiff_t end = vecs * LANES;
    ptrdiff_t p = 0;
    FX_UNROLL
    for (int u = 0; u < ways; u++) {
        FX_UNROLL
        for (int v = 0; v < vecs; v++) acc[u][v] = u ? FX(splat)(0) : FX(load)(z + v * LANES);
        if (narrow == 4) acc4[u] = u ? (FX(quad)){0} : FX(load4)(z + end);
        if (narrow == 8) acc8[u] = u ? (FX(oct)){0} : FX(load8)(z + end);
    }
    for (; p + ways <= nnz; p += ways) {
        FX_UNROLL
        for (int u = 0; u < ways; u++) {
            const REAL *wj = w + (ptrdiff_t)j[p + u] * ld;
            if (ahead) FXI(csr_fetch)(vecs, narrow, w + (ptrdiff_t)j[p + u + ahead] * ld);
            FX_UNROLL
            for (int v = 0; v < vecs; v++) acc[u][v] += x[p + u] * FX(load)(wj + v * LANES);
            if (narrow == 4) acc4[u] += x[p + u] * FX(load4)(wj + end);
            if (narrow == 8) acc8[u] += x[p + u] * FX(load8)(wj + end);
        }
    }
    for (; p < nnz; p++) {
        const REAL *wj = w + (ptrdiff_t)j[p] * ld;
        if (ahead) FXI(csr_fetch)(vecs, narrow, w + (ptrdiff_t)j[p + ahead] * ld);
        FX_UNROLL
        for (int v = 0; v < vecs; v++) acc[0][v] += x[p] * FX(load)(wj + v * LANES);
        if (narrow == 4) acc4[0] += x[p] * FX(load4)(wj + end);
        if (narrow == 8) acc8[0] += x[p] * FX(load8)(wj + end);
    }
    FX_UNROLL
    for (int u = 1; u < ways; u++) {
        FX_UNROLL
        for (int v = 0; v < vecs; v++) acc[0][v] += acc[u][v];
        if (narrow == 4) acc4[0] += acc4[u];
        if (narrow == 8) acc8[0] += acc8[u];
    }
    FX_UNROLL
    for (int v = 0; v < vecs; v++) FX(store)(z + v * LANES, acc[0][v]);
    if (narrow == 4) FX(store4)(z + end, acc4[0]);
    if (narrow == 8) FX(store8)(z + end, acc8[0]);
}

/* g[j[p], v] += x[p] * q[v] */
FX_INLINE void FXI(csr_add)(const int vecs, const int narrow, ptrdiff_t nnz, ptrdiff_t ahead, const REAL *x,
                            const INDEX *j, const REAL *q, REAL *g, ptrdiff_t ld)
{
    FX(vec) qv[8];
    const ptrdiff_t end = vecs * LANES;
    FX_UNROLL
    for (int v = 0; v < vecs; v++) qv[v] = FX(load)(q + v * LANES);
    for (ptrdiff_t p = 0; p < nnz; p++) {
        REAL *gj = g + (ptrdiff_t)j[p] * ld;
        if (ahead) FXI(csr_fetch)(vecs, narrow, g + (ptrdiff_t)j[p + ahead] * ld);
        FX_UNROLL
        for (int v = 0; v < vecs; v++) FX(store)(gj + v * LANES, FX(load)(gj + v * LANES) + x[p] * qv[v]);
        if (narrow == 4) FX(store4)(gj + end, FX(load4)(gj + end) + x[p] * FX(load4)(q + end));
        if (narrow == 8) FX(store8)(gj + end, FX(load8)(gj + end) + x[p] * FX(load8)(q + end));
    }
}

/* tile: whole registers, plus 16 * the lanes of a narrow one. */
#define DOT(V, N, W)                                                                                                 \
    case V + 16 * N:                                                                                                 \
        if (ahead) FXI(csr_dot)(V, N, W, nnz, ahead, x, j, w, ld, z);                                                \
        else FXI(csr_dot)(V, N, W, nnz, 0, x, j, w, ld, z);                                                          \
        break;
FX_LOCAL void FXI(csr_dot_tile)(int tile, ptrdiff_t nnz, ptrdiff_t ahead, const REAL *x, const INDEX *j, const REAL *w,
                                ptrdiff_t ld, REAL *z)
{
    switch (tile) {
        DOT(1, 0, 4) DOT(2, 0, 2) DOT(3, 0, 2) DOT(4, 0, 1) DOT(5, 0, 1) DOT(6, 0, 1) DOT(7, 0, 1) DOT(8, 0, 1)
        DOT(0, 4, 4) DOT(1, 4, 2) DOT(2, 4, 2)
#if LANES == 16
        DOT(0, 8, 4) DOT(1, 8, 2) DOT(2, 8, 2)
#endif
    }
}
#undef DOT

#define ADD(V, N)                                                                                                    \
    case V + 16 * N:                                                                                                 \
        if (ahead) FXI(csr_add)(V, N, nnz, ahead, x, j, q, g, ld);                                                   \
        else FXI(csr_add)(V, N, nnz, 0, x, j, q, g, ld);                                                             \
        break;
FX_LOCAL void FXI(csr_add_tile)(int tile, ptrdiff_t nnz, ptrdiff_t ahead, const REAL *x, const INDEX *j, const REAL *q,
                                REAL *g, ptrdiff_t ld)
{
    switch (tile) {
        ADD(1, 0) ADD(2, 0) ADD(3, 0) ADD(4, 0) ADD(5, 0) ADD(6, 0) ADD(7, 0) ADD(8, 0)
        ADD(0, 4) ADD(1, 4) ADD(2, 4)
#if LANES == 16
        ADD(0, 8) ADD(1, 8) ADD(2, 8)
#endif
    }
}
#undef ADD

/* One column (binary logistic). With `ones`, all x[p] count as 1 and are not read: they are two thirds of the bytes that
   come from memory. */

/* sum_p x[p] * w[j[p]] over the last entries of a row, fewer than ONE_STEP. Where lanes can be masked there is no branch:
   a mispredicted end of a loop costs more than the sum. */
#ifdef GATHER
#define ONE_STEP 8
#else
#define ONE_STEP 4
#endif
FX_INLINE REAL FXI(csr_dot_rest)(const int ones, ptrdiff_t nnz, const REAL *x, const INDEX *j, const REAL *w)
{
#ifdef GATHER
    const __mmask8 live = (__mmask8)((1u << nnz) - 1);
    FX(oct) all = GATHER(live, j, w);
    if (!ones) all *= LOAD8(live, x);
    const FX(quad) low = __builtin_shufflevector(all, all, 0, 1, 2, 3), high = __builtin_shufflevector(all, all, 4, 5, 6, 7);
    const FX(quad) half = low + high;
    return (half[0] + half[1]) + (half[2] + half[3]);
#else
    REAL sum = 0;
    for (ptrdiff_t p = 0; p < nnz; p++) sum += ones ? w[j[p]] : x[p] * w[j[p]];
    return sum;
#endif
}

/* Four scalar sums in flight. Vectorised, the loop would spend its time on shuffles. */
FX_INLINE REAL FXI(csr_dot_of)(const int ones, ptrdiff_t nnz, const REAL *x, const INDEX *j, const REAL *w)
{
    REAL s[4] = {0, 0, 0, 0};
    ptrdiff_t p = 0;
    for (; p + ONE_STEP <= nnz; p += ONE_STEP) {
        FX_UNROLL
        for (int u = 0; u < ONE_STEP; u++) s[u % 4] += ones ? w[j[p + u]] : x[p + u] * w[j[p + u]];
    }
    return FXI(csr_dot_rest)(ones, nnz - p, x + (ones ? 0 : p), j + p, w) + ((s[0] + s[1]) + (s[2] + s[3]));
}

FX_LOCAL FX_SCALAR REAL FXI(csr_dot_one)(ptrdiff_t nnz, const REAL *x, const INDEX *j, const REAL *w)
{
    return FXI(csr_dot_of)(0, nnz, x, j, w);
}

FX_LOCAL FX_SCALAR REAL FXI(csr_sum_one)(ptrdiff_t nnz, const INDEX *j, const REAL *w)
{
    return FXI(csr_dot_of)(1, nnz, w, j, w);
}

FX_LOCAL FX_SCALAR void FXI(csr_add_one)(ptrdiff_t nnz, const REAL *x, const INDEX *j, REAL q, REAL *g)
{
    for (ptrdiff_t p = 0; p < nnz; p++) g[j[p]] += x[p] * q;
}

FX_LOCAL FX_SCALAR void FXI(csr_add_ones)(ptrdiff_t nnz, const INDEX *j, REAL q, REAL *g)
{
    for (ptrdiff_t p = 0; p < nnz; p++) g[j[p]] += q;
}

/* g[j[p]] += x[p] * (a, b): two sums a feature, in one register */
FX_LOCAL void FXI(csr_add_pair)(ptrdiff_t nnz, const REAL *x, const INDEX *j, double a, double b, double *g)
{
#ifdef FX_BYTES
    const fx_pair q = {a, b};
    for (ptrdiff_t p = 0; p < nnz; p++) *(fx_pair *)(g + 2 * (ptrdiff_t)j[p]) += (double)x[p] * q;
#else
    for (ptrdiff_t p = 0; p < nnz; p++) {
        g[2 * (ptrdiff_t)j[p]] += x[p] * a;
        g[2 * (ptrdiff_t)j[p] + 1] += x[p] * b;
    }
#endif
}

#undef ONE_STEP
#undef GATHER
#undef INDEX
#undef FXI
