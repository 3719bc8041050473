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

/* One or two registers of classes side by side: w[j * step + lane], and as much `apart`. */
FX_INLINE void FEW(classes)(const int vecs, ptrdiff_t d, const REAL *x, const SOURCE *w, ptrdiff_t step, ptrdiff_t apart,
                            REAL *z)
{
    FEW(vec) sum[2][8];
    ptrdiff_t j = 0;
    FX_UNROLL
    for (int v = 0; v < vecs; v++) {
        FX_UNROLL
        for (int u = 0; u < 8; u++) sum[v][u] = (FEW(vec)){0};
    }
    for (; j + 8 <= d; j += 8) {
        FX_UNROLL
        for (int u = 0; u < 8; u++) {
            FX_UNROLL
            for (int v = 0; v < vecs; v++)
                sum[v][u] += x[j + u] * __builtin_convertvector(
                    *(const FEW(svec) *)(w + (j + u) * step + v * apart), FEW(vec));
        }
    }
    FX_UNROLL
    for (int u = 0; u < 7; u++) {
        if (j + u < d) {
            FX_UNROLL
            for (int v = 0; v < vecs; v++)
                sum[v][u] += x[j + u] * __builtin_convertvector(
                    *(const FEW(svec) *)(w + (j + u) * step + v * apart), FEW(vec));
        }
    }
    FX_UNROLL
    for (int v = 0; v < vecs; v++) *(FEW(uvec) *)(z + v * apart) = IN_PAIRS(sum[v]);
}

/* At least one register of classes side by side: z[k] for k < K. The coefficients of eight features are read
   in one stream each, which memory does fastest. */
FX_LOCAL void FEW(sweep)(ptrdiff_t d, ptrdiff_t K, const REAL *x, const SOURCE *w, ptrdiff_t step, REAL *z)
{
    FEW(vec) sum[FEW_SWEPT][8];
    const ptrdiff_t last = K - FEW(lanes); /* the last register begins here and overlaps the one before */
    for (ptrdiff_t first = 0; first < K; first += FEW_SWEPT * FEW(lanes)) {
        const ptrdiff_t left = (K - first + FEW(lanes) - 1) / FEW(lanes), vecs = left < FEW_SWEPT ? left : FEW_SWEPT;
        ptrdiff_t j = 0;
        memset(sum, 0, vecs * sizeof(sum[0]));
        for (; j + 8 <= d; j += 8) {
            for (ptrdiff_t v = 0; v < vecs; v++) {
                const ptrdiff_t k = first + v * FEW(lanes);
                const SOURCE *here = w + j * step + (k < last ? k : last);
                FX_UNROLL
                for (int u = 0; u < 8; u++)
                    sum[v][u] += x[j + u] * __builtin_convertvector(*(const FEW(svec) *)(here + u * step), FEW(vec));
            }
        }
        for (ptrdiff_t v = 0; v < vecs; v++) {
            const ptrdiff_t k = first + v * FEW(lanes);
            const SOURCE *here = w + j * step + (k < last ? k : last);
            FX_UNROLL
            for (int u = 0; u < 7; u++)
                if (j + u < d)
                    sum[v][u] += x[j + u] * __builtin_convertvector(*(const FEW(svec) *)(here + u * step), FEW(vec));
            *(FEW(uvec) *)(z + (k < last ? k : last)) = IN_PAIRS(sum[v]);
        }
    }
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

/* z[k] = sum_j x[j] * w[k * class_step + j * feature_step] + bias[k]   first <= k < stop */
FX_LOCAL void FEW(row)(const few_shape *shape, const REAL *x, const SOURCE *w, const SOURCE *bias, REAL *z)
{
    const ptrdiff_t d = shape->d, first = shape->first, stop = shape->stop;
    const ptrdiff_t class_step = shape->class_step, feature_step = shape->feature_step;
    ptrdiff_t k = first;
#ifdef FX_BYTES
    const ptrdiff_t count = stop - first;
    if (class_step == 1 && count >= FEW(lanes)) {
        if (count == FEW(lanes)) FEW(classes)(1, d, x, w + k, feature_step, 0, z + k);
        else if (count <= 2 * FEW(lanes)) FEW(classes)(2, d, x, w + k, feature_step, count - FEW(lanes), z + k);
        else FEW(sweep)(d, count, x, w + k, feature_step, z + k);
        k = stop;
    } else if (feature_step == 1) {
        for (; NEXT_TILE(FEW(side)); k += FEW(side))
            FEW(features)(FEW(side), d, x, w + k * class_step, class_step, z + k);
        for (; k < stop; k++) FEW(features)(1, d, x, w + k * class_step, class_step, z + k);
    }
#endif
    for (; k < stop; k++) z[k] = FEW(one)(d, x, w + k * class_step, feature_step);
    for (k = first; k < stop; k++) z[k] += (REAL)bias[k];
}

/* panel[t * ldp + l] = the coefficients of feature t and class l, from the first in w on; zeros after the last class */
FX_INLINE void FEW(copy_panel)(ptrdiff_t T, ptrdiff_t classes, const SOURCE *w, ptrdiff_t class_step,
                               ptrdiff_t feature_step, REAL *panel, ptrdiff_t ldp)
{
    ptrdiff_t whole = 0;
    for (ptrdiff_t t = 0; t < T; t++)
        for (ptrdiff_t l = classes; l < ldp; l++) panel[t * ldp + l] = 0;
    if (class_step == 1) {
        for (ptrdiff_t t = 0; t < T; t++)
            for (ptrdiff_t l = 0; l < classes; l++) panel[t * ldp + l] = (REAL)w[t * feature_step + l];
        return;
    }
    if (sizeof(REAL) == sizeof(SOURCE) && feature_step == 1) { /* squares */
        const ptrdiff_t side = lanes(panel);
        whole = T / side * side;
        for (ptrdiff_t t = 0; t < whole; t += side) {
            ptrdiff_t l = 0;
            for (; l + side <= classes; l += side)
                turn_tile((const REAL *)(w + l * class_step + t), class_step, panel + t * ldp + l, ldp);
            for (; l < classes; l++)
                for (ptrdiff_t u = t; u < t + side; u++) panel[u * ldp + l] = (REAL)w[l * class_step + u];
        }
    }
    for (ptrdiff_t l = 0; l < classes; l++)
        for (ptrdiff_t t = whole; t < T; t++) panel[t * ldp + l] = (REAL)w[l * class_step + t * feature_step];
}

/* Add the products of features j..j + T to the sums (n, lds) of classes first..stop. next: see fx_outer. */
FX_LOCAL void FEW(add_panels)(const few_shape *shape, ptrdiff_t n, ptrdiff_t j, ptrdiff_t T, const REAL *x,
                              const SOURCE *w, ptrdiff_t first, ptrdiff_t stop, REAL *sums, ptrdiff_t lds,
                              const char *next)
{
    const ptrdiff_t side = lanes(x), K = stop - first, widest = FX_TILE == 24 ? 4 : 3;
    const ptrdiff_t class_step = shape->class_step, feature_step = shape->feature_step;
    const char *end = next ? next + T * feature_step * (ptrdiff_t)sizeof(REAL) : NULL;
    REAL panel[FEW_CHUNK * 4 * (sizeof(REAL) == 8 ? FX_LANES_F64 : FX_LANES_F32)];
    fx_outer outer;
    outer.rs = shape->ldx, outer.cs = 1, outer.ldc = lds, outer.pace = 128, outer.left = T;
    for (ptrdiff_t k = 0; k < K;) {
        const ptrdiff_t vecs_left = (K - k + side - 1) / side, panels = (vecs_left + widest - 1) / widest;
        const ptrdiff_t vecs = (vecs_left + panels - 1) / panels, width = vecs * side;
        const ptrdiff_t most = FX_TILE / vecs < 12 ? FX_TILE / vecs : 12, turns = (n + most - 1) / most;
        const ptrdiff_t rows = (n + turns - 1) / turns;
        const SOURCE *here = w + (first + k) * class_step + j * feature_step;
        const REAL *b = panel;
        /* In place if whole registers can be read: what they hold after the last class goes into padding. */
        if (sizeof(REAL) == sizeof(SOURCE) && class_step == 1 && feature_step == shape->K
            && (j + T - 1) * feature_step + first + k + width <= shape->d * feature_step) {
            b = (const REAL *)here;
            outer.bs = feature_step;
        } else {
            FEW(copy_panel)(T, K - k < width ? K - k : width, here, class_step, feature_step, panel, width);
            outer.bs = width;
        }
        for (ptrdiff_t i = 0; i < n; i += rows) {
            outer.next = next < end ? next : NULL;
            next += next < end ? T * outer.pace : 0;
            outer_tile((int)(n - i < rows ? n - i : rows), (int)vecs, T, x + i * shape->ldx + j, b, sums + i * lds + k,
                       &outer);
        }
        k += width;
    }
}

/* z[i * ldz + k] = sum_j x[i * ldx + j] * w[k * class_step + j * feature_step] + bias[k]   i < n, first <= k < stop
   Several rows: all of them use the coefficients of some features while these are in cache. The bits do not depend on
   how rows and classes are divided, nor on the storage of the coefficients. room: few_room(n, K) entries. */
FX_LOCAL void FEW(rows)(const few_shape *shape, const REAL *x, const SOURCE *w, const SOURCE *bias, REAL *z, REAL *room)
{
    const ptrdiff_t n = shape->n, d = shape->d, K = shape->K, side = lanes(x);
    const ptrdiff_t bytes = (K < FEW_CLASSES_AT_ONCE ? K : FEW_CLASSES_AT_ONCE) * (ptrdiff_t)sizeof(REAL);
    const ptrdiff_t fits = FEW_CACHED / bytes, chunk = fits < 8 ? 8 : fits > FEW_CHUNK ? FEW_CHUNK : fits;
    /* the last features, for which the last register of classes would end after the array */
    const ptrdiff_t over = ((side - K % side) % side + K - 1) / K, safe = over < d ? d - over : 0;
    const int far = d * K * (ptrdiff_t)sizeof(SOURCE) > FEW_FAR && shape->stop - shape->first == K && K <= FEW_CLASSES_AT_ONCE;
    for (ptrdiff_t first = shape->first; first < shape->stop; first += FEW_CLASSES_AT_ONCE) {
        const ptrdiff_t left = shape->stop - first, count = left < FEW_CLASSES_AT_ONCE ? left : FEW_CLASSES_AT_ONCE;
        const ptrdiff_t lds = (count + side - 1) / side * side + side;
        for (ptrdiff_t i = 0; i < n; i += FEW_ROWS) {
            const ptrdiff_t rows = n - i < FEW_ROWS ? n - i : FEW_ROWS;
            memset(room, 0, rows * lds * sizeof(REAL));
            for (ptrdiff_t j = 0, T; j < d; j += T) {
                const char *next = NULL;
                T = (j < safe ? safe : d) - j;
                T = T < chunk ? T : chunk;
                if (far && j + 2 * T <= d) next = (const char *)(w + (j + T) * shape->feature_step);
                FEW(add_panels)(shape, rows, j, T, x + i * shape->ldx, w, first, first + count, room, lds, next);
            }
            for (ptrdiff_t r = 0; r < rows; r++)
                for (ptrdiff_t k = 0; k < count; k++)
                    z[(i + r) * shape->ldz + first + k] = room[r * lds + k] + (REAL)bias[first + k];
        }
    }
}

/* The same for any number of rows. Small products are made row by row, which is fast enough and gives each row the bits
   that it has alone. So are those with one class, for which coefficients are in the order of the rows. One row needs no
   room. */
FX_LOCAL void FEW(logits)(const few_shape *shape, const REAL *x, const SOURCE *w, const SOURCE *bias, REAL *z, REAL *room)
{
    const int small = shape->n <= FEW_SINGLE && shape->d * shape->K <= FEW_SMALL;
    if (shape->n > 1 && shape->K > 1 && !small) {
        FEW(rows)(shape, x, w, bias, z, room);
        return;
    }
    for (ptrdiff_t i = 0; i < shape->n; i++) FEW(row)(shape, x + i * shape->ldx, w, bias, z + i * shape->ldz);
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
