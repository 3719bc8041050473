/* Logits of few rows, for one REAL of rows and one SOURCE of coefficients, which are read where they lie. Included four
   times, by few.h. Every logit is eight sums, over the entries 0, 1, ... 7 modulo 8 of the row, whichever axis of the
   coefficients is contiguous: all storages of them give the same bits. */

#define IN_PAIRS(a) ((((a)[0] + (a)[4]) + ((a)[2] + (a)[6])) + (((a)[1] + (a)[5]) + ((a)[3] + (a)[7])))

/* One class, in any storage: w[j * step] */
FX_LOCAL FX_SCALAR REAL FEW(one)(ptrdiff_t d, const REAL *x, const SOURCE *w, ptrdiff_t step)
{
    REAL sum[8] = {0};
    ptrdiff_t j = 0;
    for (; j + 8 <= d; j += 8) {
        FX_UNROLL
        for (int u = 0; u < 8; u++) sum[u] += x[j + u] * (REAL)w[(j + u) * step];
    }
    FX_UNROLL
    for (int u = 0; u < 7; u++)
        if (j + u < d) sum[u] += x[j + u] * (REAL)w[(j + u) * step];
    return IN_PAIRS(sum);
}

#ifdef FX_BYTES
enum { FEW(lanes) = FX_BYTES / sizeof(REAL), FEW(side) = FX_BYTES == 64 ? 8 : 4 };

typedef REAL FEW(vec) __attribute__((vector_size(FX_BYTES)));
typedef REAL FEW(uvec) __attribute__((vector_size(FX_BYTES), aligned(sizeof(REAL)), may_alias));
typedef SOURCE FEW(svec)
    __attribute__((vector_size(FX_BYTES / sizeof(REAL) * sizeof(SOURCE)), aligned(sizeof(SOURCE)), may_alias));
typedef REAL FEW(oct) __attribute__((vector_size(8 * sizeof(REAL))));
typedef REAL FEW(uoct) __attribute__((vector_size(8 * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
typedef SOURCE FEW(soct) __attribute__((vector_size(8 * sizeof(SOURCE)), aligned(sizeof(SOURCE)), may_alias));

/* A register of classes side by side, for `rows` rows: w[j * step + lane]. They take turns at each coefficient. */
FX_INLINE void FEW(classes)(const int rows, ptrdiff_t d, const REAL *x, ptrdiff_t ldx, const SOURCE *w, ptrdiff_t step,
                            REAL *z, ptrdiff_t ldz)
{
    FEW(vec) sum[2][8];
    ptrdiff_t j = 0;
    FX_UNROLL
    for (int r = 0; r < rows; r++) {
        FX_UNROLL
        for (int u = 0; u < 8; u++) sum[r][u] = (FEW(vec)){0};
    }
    for (; j + 8 <= d; j += 8) {
        FX_UNROLL
        for (int u = 0; u < 8; u++) {
            const FEW(vec) wj = __builtin_convertvector(*(const FEW(svec) *)(w + (j + u) * step), FEW(vec));
            FX_UNROLL
            for (int r = 0; r < rows; r++) sum[r][u] += x[r * ldx + j + u] * wj;
        }
    }
    FX_UNROLL
    for (int u = 0; u < 7; u++) {
        if (j + u < d) {
            const FEW(vec) wj = __builtin_convertvector(*(const FEW(svec) *)(w + (j + u) * step), FEW(vec));
            FX_UNROLL
            for (int r = 0; r < rows; r++) sum[r][u] += x[r * ldx + j + u] * wj;
        }
    }
    FX_UNROLL
    for (int r = 0; r < rows; r++) *(FEW(uvec) *)(z + r * ldz) = IN_PAIRS(sum[r]);
}

/* Classes whose features stand side by side: w[c * step + j] */
FX_INLINE void FEW(features)(const int count, ptrdiff_t d, const REAL *x, const SOURCE *w, ptrdiff_t step, REAL *z)
{
    FEW(oct) sum[8];
    ptrdiff_t j = 0;
    FX_UNROLL
    for (int c = 0; c < count; c++) sum[c] = (FEW(oct)){0};
    for (; j + 8 <= d; j += 8) {
        const FEW(oct) xj = *(const FEW(uoct) *)(x + j);
        FX_UNROLL
        for (int c = 0; c < count; c++)
            sum[c] += xj * __builtin_convertvector(*(const FEW(soct) *)(w + c * step + j), FEW(oct));
    }
    FX_UNROLL
    for (int c = 0; c < count; c++) {
        FX_UNROLL
        for (int u = 0; u < 7; u++)
            if (j + u < d) sum[c][u] += x[j + u] * (REAL)w[c * step + j + u];
        z[c] = IN_PAIRS(sum[c]);
    }
}
#endif

/* The classes of the next tile that begins at k: the last one reaches back, over some that are done, rather than end in
   single ones. False if there is none, or fewer classes than one tile has. */
#define NEXT_TILE(count) (k < stop && (k + (count) <= stop || (stop - first >= (count) && (k = stop - (count), 1))))

/* z[i * ldz + k] = sum_j x[i * ldx + j] * w[k * class_step + j * feature_step] + bias[k]   i < n, first <= k < stop
   The rows take turns at some classes, whose coefficients are in cache then. */
FX_LOCAL void FEW(logits)(const few_shape *shape, const REAL *x, const SOURCE *w, const SOURCE *bias, REAL *z)
{
    const ptrdiff_t n = shape->n, d = shape->d, first = shape->first, stop = shape->stop, ldx = shape->ldx;
    const ptrdiff_t class_step = shape->class_step, feature_step = shape->feature_step, ldz = shape->ldz;
    ptrdiff_t k = first;
#ifdef FX_BYTES
    if (class_step == 1) {
        for (; NEXT_TILE(FEW(lanes)); k += FEW(lanes)) {
            ptrdiff_t i = 0;
            if (FX_BYTES == 64)
                for (; i + 2 <= n; i += 2)
                    FEW(classes)(2, d, x + i * ldx, ldx, w + k, feature_step, z + i * ldz + k, ldz);
            for (; i < n; i++) FEW(classes)(1, d, x + i * ldx, ldx, w + k, feature_step, z + i * ldz + k, ldz);
        }
    } else if (feature_step == 1) {
        for (; NEXT_TILE(FEW(side)); k += FEW(side))
            for (ptrdiff_t i = 0; i < n; i++)
                FEW(features)(FEW(side), d, x + i * ldx, w + k * class_step, class_step, z + i * ldz + k);
        for (; k < stop; k++)
            for (ptrdiff_t i = 0; i < n; i++)
                FEW(features)(1, d, x + i * ldx, w + k * class_step, class_step, z + i * ldz + k);
    }
#endif
    for (; k < stop; k++)
        for (ptrdiff_t i = 0; i < n; i++)
            z[i * ldz + k] = FEW(one)(d, x + i * ldx, w + k * class_step, feature_step);
    for (ptrdiff_t i = 0; i < n; i++)
        for (k = first; k < stop; k++) z[i * ldz + k] += (REAL)bias[k];
}

/* One class of a sparse row, whose entries' coefficients stand at w[at[p]] */
FX_LOCAL FX_SCALAR REAL FEW(one_at)(ptrdiff_t nnz, const REAL *x, const ptrdiff_t *at, const SOURCE *w)
{
    REAL sum[8] = {0};
    ptrdiff_t p = 0;
    for (; p + 8 <= nnz; p += 8) {
        FX_UNROLL
        for (int u = 0; u < 8; u++) sum[u] += x[p + u] * (REAL)w[at[p + u]];
    }
    FX_UNROLL
    for (int u = 0; u < 7; u++)
        if (p + u < nnz) sum[u] += x[p + u] * (REAL)w[at[p + u]];
    return IN_PAIRS(sum);
}

#ifdef FX_BYTES
/* Registers of classes of a sparse row: w[at[p] + lane] */
FX_INLINE void FEW(classes_at)(const int vecs, ptrdiff_t nnz, const REAL *x, const ptrdiff_t *at, const SOURCE *w, REAL *z)
{
    FEW(vec) sum[2][8];
    ptrdiff_t p = 0;
    FX_UNROLL
    for (int v = 0; v < vecs; v++) {
        FX_UNROLL
        for (int u = 0; u < 8; u++) sum[v][u] = (FEW(vec)){0};
    }
    for (; p + 8 <= nnz; p += 8) {
        FX_UNROLL
        for (int u = 0; u < 8; u++) {
            FX_UNROLL
            for (int v = 0; v < vecs; v++)
                sum[v][u] += x[p + u] * __builtin_convertvector(
                    *(const FEW(svec) *)(w + at[p + u] + v * FEW(lanes)), FEW(vec));
        }
    }
    FX_UNROLL
    for (int u = 0; u < 7; u++) {
        if (p + u < nnz) {
            FX_UNROLL
            for (int v = 0; v < vecs; v++)
                sum[v][u] += x[p + u] * __builtin_convertvector(
                    *(const FEW(svec) *)(w + at[p + u] + v * FEW(lanes)), FEW(vec));
        }
    }
    FX_UNROLL
    for (int v = 0; v < vecs; v++) *(FEW(uvec) *)(z + v * FEW(lanes)) = IN_PAIRS(sum[v]);
}
#endif

/* z[k] = sum_p x[p] * w[at[p] + k * class_step] + bias[k]   k < K */
FX_LOCAL void FEW(logits_at)(ptrdiff_t nnz, ptrdiff_t K, const REAL *x, const ptrdiff_t *at, const SOURCE *w,
                             ptrdiff_t class_step, const SOURCE *bias, REAL *z)
{
    const ptrdiff_t first = 0, stop = K;
    ptrdiff_t k = first;
#ifdef FX_BYTES
    if (class_step == 1) {
        if (FX_BYTES == 64)
            for (; k + 2 * FEW(lanes) <= stop; k += 2 * FEW(lanes)) FEW(classes_at)(2, nnz, x, at, w + k, z + k);
        for (; NEXT_TILE(FEW(lanes)); k += FEW(lanes)) FEW(classes_at)(1, nnz, x, at, w + k, z + k);
    }
#endif
    for (; k < stop; k++) z[k] = FEW(one_at)(nnz, x, at, w + k * class_step);
    for (k = 0; k < K; k++) z[k] += (REAL)bias[k];
}

#undef NEXT_TILE
#undef IN_PAIRS
#undef FEW
#undef REAL
#undef SOURCE
