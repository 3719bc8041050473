/* The CSR tiles of simd_real.h for one REAL and one INDEX. Included four times. w and g hold one row of `ld` weights per
   feature, classes contiguous; lanes past the classes of interest read and add what the caller's padding admits. */

/* z[v] += sum_p x[p] * w[j[p], v]   v < vecs * LANES: the sums stay in registers over the whole row. */
FX_INLINE void FXI(csr_dot)(const int vecs, const int ways, ptrdiff_t nnz, const REAL *x, const INDEX *j, const REAL *w,
                            ptrdiff_t ld, REAL *z)
{
    FX(vec) acc[4][8];
    ptrdiff_t p = 0;
    FX_UNROLL
    for (int u = 0; u < ways; u++)
        FX_UNROLL
        for (int v = 0; v < vecs; v++) acc[u][v] = u ? FX(splat)(0) : FX(load)(z + v * LANES);
    for (; p + ways <= nnz; p += ways) {
        FX_UNROLL
        for (int u = 0; u < ways; u++) {
            const REAL *wj = w + (ptrdiff_t)j[p + u] * ld;
            FX_UNROLL
            for (int v = 0; v < vecs; v++) acc[u][v] += x[p + u] * FX(load)(wj + v * LANES);
        }
    }
    for (; p < nnz; p++) {
        const REAL *wj = w + (ptrdiff_t)j[p] * ld;
        FX_UNROLL
        for (int v = 0; v < vecs; v++) acc[0][v] += x[p] * FX(load)(wj + v * LANES);
    }
    FX_UNROLL
    for (int v = 0; v < vecs; v++) {
        FX_UNROLL
        for (int u = 1; u < ways; u++) acc[0][v] += acc[u][v];
        FX(store)(z + v * LANES, acc[0][v]);
    }
}

/* g[j[p], v] += x[p] * q[v] */
FX_INLINE void FXI(csr_add)(const int vecs, ptrdiff_t nnz, const REAL *x, const INDEX *j, const REAL *q, REAL *g,
                            ptrdiff_t ld)
{
    FX(vec) qv[8];
    FX_UNROLL
    for (int v = 0; v < vecs; v++) qv[v] = FX(load)(q + v * LANES);
    for (ptrdiff_t p = 0; p < nnz; p++) {
        REAL *gj = g + (ptrdiff_t)j[p] * ld;
        FX_UNROLL
        for (int v = 0; v < vecs; v++) FX(store)(gj + v * LANES, FX(load)(gj + v * LANES) + x[p] * qv[v]);
    }
}

FX_LOCAL void FXI(csr_dot_tile)(int vecs, ptrdiff_t nnz, const REAL *x, const INDEX *j, const REAL *w, ptrdiff_t ld, REAL *z)
{
    switch (vecs) {
    case 1: FXI(csr_dot)(1, 4, nnz, x, j, w, ld, z); break;
    case 2: FXI(csr_dot)(2, 2, nnz, x, j, w, ld, z); break;
    case 3: FXI(csr_dot)(3, 2, nnz, x, j, w, ld, z); break;
    case 4: FXI(csr_dot)(4, 1, nnz, x, j, w, ld, z); break;
    case 5: FXI(csr_dot)(5, 1, nnz, x, j, w, ld, z); break;
    case 6: FXI(csr_dot)(6, 1, nnz, x, j, w, ld, z); break;
    case 7: FXI(csr_dot)(7, 1, nnz, x, j, w, ld, z); break;
    case 8: FXI(csr_dot)(8, 1, nnz, x, j, w, ld, z); break;
    }
}

FX_LOCAL void FXI(csr_add_tile)(int vecs, ptrdiff_t nnz, const REAL *x, const INDEX *j, const REAL *q, REAL *g, ptrdiff_t ld)
{
    switch (vecs) {
    case 1: FXI(csr_add)(1, nnz, x, j, q, g, ld); break;
    case 2: FXI(csr_add)(2, nnz, x, j, q, g, ld); break;
    case 3: FXI(csr_add)(3, nnz, x, j, q, g, ld); break;
    case 4: FXI(csr_add)(4, nnz, x, j, q, g, ld); break;
    case 5: FXI(csr_add)(5, nnz, x, j, q, g, ld); break;
    case 6: FXI(csr_add)(6, nnz, x, j, q, g, ld); break;
    case 7: FXI(csr_add)(7, nnz, x, j, q, g, ld); break;
    case 8: FXI(csr_add)(8, nnz, x, j, q, g, ld); break;
    }
}

/* One column (binary logistic): four scalar sums in flight. Vectorised, the loop would spend its time on shuffles. */
FX_LOCAL FX_SCALAR REAL FXI(csr_dot_one)(ptrdiff_t nnz, const REAL *x, const INDEX *j, const REAL *w)
{
    REAL s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    ptrdiff_t p = 0;
    for (; p + 4 <= nnz; p += 4) {
        s0 += x[p] * w[j[p]];
        s1 += x[p + 1] * w[j[p + 1]];
        s2 += x[p + 2] * w[j[p + 2]];
        s3 += x[p + 3] * w[j[p + 3]];
    }
    for (; p < nnz; p++) s0 += x[p] * w[j[p]];
    return (s0 + s1) + (s2 + s3);
}

FX_LOCAL FX_SCALAR void FXI(csr_add_one)(ptrdiff_t nnz, const REAL *x, const INDEX *j, REAL q, REAL *g)
{
    for (ptrdiff_t p = 0; p < nnz; p++) g[j[p]] += x[p] * q;
}

#undef INDEX
#undef FXI
