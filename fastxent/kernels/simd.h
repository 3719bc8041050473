/* Vector registers for the kernels: exp, log1p, maximum and exponential sum, and the two register tiles of the products.

   Everything here is a leaf: no allocation, no branch on data that a caller could avoid, no libm call inside a loop.
   Blocking, loops over blocks and the model itself are Cython (products.pxi, softmax.pxi, linear.pxi).

   GCC and Clang: vector extensions, as wide as the instruction set of this clone (64, 32 or 16 bytes), with a handful of
   intrinsics where the language has no word for an operation. Other compilers: the same source with one lane.
   The body stands once, in simd_real.h, and is included for double and for float. */
#ifndef FASTXENT_SIMD_H
#define FASTXENT_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
#define FX_INLINE static inline __attribute__((always_inline, unused))
#define FX_LOCAL static __attribute__((noinline, unused))
#define FX_UNROLL _Pragma("GCC unroll 16")
#ifdef __clang__
#define FX_SCALAR
#else
#define FX_SCALAR __attribute__((optimize("no-tree-vectorize")))
#endif
#define FX_PREFETCH(p) __builtin_prefetch(p)
#define FX_PREFETCH_FAR(p) __builtin_prefetch(p, 0, 2)
/* For functions that only prefetch: GCC would take them to have no effect, and remove the calls. An empty asm has one. */
#define FX_KEPT_PREFETCH(p) (__extension__({ __builtin_prefetch(p); __asm__ volatile(""); }))
#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define FX_BYTES 64
#include <immintrin.h>
#elif defined(__AVX2__)
#define FX_BYTES 32
#include <immintrin.h>
#else
#define FX_BYTES 16
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#endif
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define FX_SHUFFLE 1
#endif
#endif
#else
#define FX_INLINE static inline
#define FX_LOCAL static
#define FX_UNROLL
#define FX_SCALAR
#define FX_PREFETCH(p) ((void)0)
#define FX_PREFETCH_FAR(p) ((void)0)
#define FX_KEPT_PREFETCH(p) ((void)0)
#endif

/* Whether gathers can leave lanes out. */
#if defined(FX_SHUFFLE) && FX_BYTES == 64 && defined(__AVX512VL__)
#define FX_GATHER 1
#else
#define FX_GATHER 0
#endif

/* Registers a product tile may fill with sums, of 32 (AVX-512, NEON) or 16; and the rows of the dot tile. */
#if defined(FX_BYTES) && (FX_BYTES == 64 || defined(__aarch64__))
#define FX_TILE 24
#else
#define FX_TILE 12
#endif
#if defined(FX_BYTES) && FX_BYTES == 64
#define FX_DOT_ROWS 8
#else
#define FX_DOT_ROWS 4
#endif
#define FX_DOT_CLASSES 3
#ifdef FX_BYTES
enum { FX_LANES_F64 = FX_BYTES / 8, FX_LANES_F32 = FX_BYTES / 4 };
#else
enum { FX_LANES_F64 = 1, FX_LANES_F32 = 1 };
#endif

#ifdef FX_BYTES
typedef double fx_pair __attribute__((vector_size(16), aligned(8), may_alias));
#endif

/* Strides of the outer tile, and what it fetches meanwhile; of the dot tile the same, and how long its rows are
   (simd_real.h). */
typedef struct {
    ptrdiff_t rs, cs, bs, ldc;
    const char *next;
    ptrdiff_t pace;
    const ptrdiff_t *row;
    const char *base;
    ptrdiff_t stride, left, length;
} fx_outer;

typedef struct {
    ptrdiff_t T, tail, ahead, ldw, ldz;
} fx_dot;

/* One row of dual ascent while its new distribution e is found (sdca.pxi; simd_real.h has f and w). Doubles hold the
   numbers of either precision. */
typedef struct {
    double stiffness;  /* q */
    double top_logit;  /* the maximum of the logits z */
    double log_rest;   /* log sum exp z, less that maximum */
    double log_sum;    /* both */
    double top;        /* the maximum of h, which is log e but for a constant */
    double w, wf, wff; /* sums of w, w f, w f^2 */
    double divergence; /* sum of e log(e / p) */
    double distance;   /* sum of (e - a)^2 */
} fx_dual;

/* What is fetched during an update of descent, into the second level, because it is used much later: for each register of
   weights up to three `lines` of its size. */
typedef struct {
    const char *at;
    ptrdiff_t lines;
} fx_ahead;

/* The numbers of an update of descent (simd_descent.h; updates.pxi has the formulas). */
typedef struct {
    double weight;  /* weight * g is the mean gradient */
    double size;    /* the factor of the move */
    double keep;    /* what L2 leaves of a weight, where it does not depend on a divisor */
    double cut;     /* ... and the cut of L1 */
    double kept1, part1, kept2, part2; /* of the running means: what is left of them, and what the gradient adds */
    double eps;
    double ridge;   /* the penalty of L2 that a divisor divides */
    double pull;    /* ... and of L1 */
    double least;   /* the least divisor of adam */
    double inverse; /* 1 / eta0, of ftrl */
    int penalty;    /* whether there is any */
    fx_ahead ahead;
} fx_update;

#define FX_CAT_(a, b) a##_##b
#define FX_CAT(a, b) FX_CAT_(a, b)

#define REAL double
#define INT int64_t
#define UINT uint64_t
#define FX(name) FX_CAT(name, f64)
#define FX_F64 1
#ifdef FX_BYTES
#define LANES (FX_BYTES / 8)
#else
#define LANES 1
#endif
#define MANTISSA 52
#define BIAS 1023
#define SHIFT_MAGIC 0x1.8p52
#define INT_MAGIC 0x1p52
#define LOG2E 1.4426950408889634074
#define LN2_HI 0x1.62e42fefa0000p-1 /* 40 bits: times any exponent it is exact */
#define LN2_LO 0x1.cf79abc9e3b39p-40
#define EXP_LOW (-746.0) /* exp rounds to zero below */
#define HALF_SQRT2 0x1.6a09e667f3bcdp-1
#define EXP_DEGREE 9
#define EXP_COEFS                                                                                                     \
    {0x1.000000000000ap-1,  0x1.55555555554fap-3,  0x1.555555555087dp-5,  0x1.1111111127bdcp-7,  0x1.6c16c1842a0c6p-10, \
     0x1.a01a012a5a426p-13, 0x1.a0199a0c7024cp-16, 0x1.71df254da5e75p-19, 0x1.28ad72ca3080ap-22, 0x1.ad7f74af4889dp-26}
#define LOG_DEGREE 6
#define LOG_COEFS                                                                                               \
    {0.66666666666667348572, 0.39999999999411297753, 0.28571428743223506392, 0.22222198479551792581, \
     0.18183569571879560872, 0.15313907197703526403, 0.14797470964329726096}
#include "simd_real.h"

#define REAL float
#define INT int32_t
#define UINT uint32_t
#define FX(name) FX_CAT(name, f32)
#ifdef FX_BYTES
#define LANES (FX_BYTES / 4)
#else
#define LANES 1
#endif
#define MANTISSA 23
#define BIAS 127
#define SHIFT_MAGIC 0x1.8p23f
#define INT_MAGIC 0x1p23f
#define LOG2E 1.44269504f
#define LN2_HI 0x1.62e4p-1f /* 15 bits */
#define LN2_LO 0x1.7f7d1cp-20f
#define EXP_LOW (-104.0f)
#define HALF_SQRT2 0x1.6a09e6p-1f
#define EXP_DEGREE 4
#define EXP_COEFS {0.49999993447481668616f, 0.16666520631426872643f, 0.041668388126706887768f, 0.0083687169176898929334f, 0.0013814594191767800645f}
#define LOG_DEGREE 3
#define LOG_COEFS {0.66666665641504094899f, 0.40000336181419422554f, 0.28537240362331620846f, 0.23583534892785073949f}
#include "simd_real.h"

/* Each leaf by one name: the type of an argument chooses among double and float, and int32_t and int64_t. */
#define FX_REAL(name, x) _Generic(*(x), double: name##_f64, float: name##_f32)
#define FX_INDEX(name, j) _Generic(*(j), int32_t: name##_i32, int64_t: name##_i64)
#define FX_CSR(name, x, j) _Generic(*(x), double: FX_INDEX(name##_f64, j), float: FX_INDEX(name##_f32, j))
#define lanes(x) ((ptrdiff_t)(sizeof(*(x)) == 8 ? FX_LANES_F64 : FX_LANES_F32))
#define exp_array(x, y, n) FX_REAL(exp_array, x)(x, y, n)
#define log1p_array(x, n) FX_REAL(log1p_array, x)(x, n)
#define max_lanes(z, stride, K, m) FX_REAL(max_lanes, z)(z, stride, K, m)
#define exp_lanes(z, e, stride, K, m, rest) FX_REAL(exp_lanes, z)(z, e, stride, K, m, rest)
#define max_row(z, K) FX_REAL(max_row, z)(z, K)
#define exp_row(z, e, K, m) FX_REAL(exp_row, z)(z, e, K, m)
#define dot_row(p, a, K) FX_REAL(dot_row, p)(p, a, K)
#define sum_row(x, n) FX_REAL(sum_row, x)(x, n)
#define place_row(z, K, m) FX_REAL(place_row, z)(z, K, m)
#define hessp_lanes(e, a, stride, K, top, inverse, factor) FX_REAL(hessp_lanes, e)(e, a, stride, K, top, inverse, factor)
#define hessp_row(e, a, K, top, inverse, factor) FX_REAL(hessp_row, e)(e, a, K, top, inverse, factor)
#define column_moments(n, x, p, mass, sums) FX_REAL(column_moments, p)(n, x, p, mass, sums)
#define column_dot(n, x, m, r) FX_REAL(column_dot, r)(n, x, m, r)
#define column_slope(n, x, m, p, a, s) FX_REAL(column_slope, p)(n, x, m, p, a, s)
#define column_move_one(n, x, m, step, p, r) FX_REAL(column_move_one, p)(n, x, m, step, p, r)
#define column_move(n, x, m, step, p, mass, a, s) FX_REAL(column_move, p)(n, x, m, step, p, mass, a, s)
#define omega_row(z, a, w, K, q, shift, slope) FX_REAL(omega_row, z)(z, a, w, K, q, shift, slope)
#define dual_gap(z, la, a, p, h, K, row) FX_REAL(dual_gap, z)(z, la, a, p, h, K, row)
#define dual_value(z, a, e, h, K, row) FX_REAL(dual_value, z)(z, a, e, h, K, row)
#define dual_newton(z, a, e, h, K, row) FX_REAL(dual_newton, z)(z, a, e, h, K, row)
#define update_sgd(n, w, a, b, g, u) FX_REAL(update_sgd, w)(n, w, a, b, g, u)
#define update_momentum(n, w, a, b, g, u) FX_REAL(update_momentum, w)(n, w, a, b, g, u)
#define update_scaled(n, w, a, b, g, u) FX_REAL(update_scaled, w)(n, w, a, b, g, u)
#define update_adam(n, w, a, b, g, u) FX_REAL(update_adam, w)(n, w, a, b, g, u)
#define update_ftrl(n, w, a, b, g, u) FX_REAL(update_ftrl, w)(n, w, a, b, g, u)
#define update_sums(n, w, a, b, g, u) FX_REAL(update_sums, w)(n, w, a, b, g, u)
#define update_leader(n, w, a, b, g, u) FX_REAL(update_leader, w)(n, w, a, b, g, u)
#define coast_row(n, w, a, keep, size, cut, ahead) FX_REAL(coast_row, w)(n, w, a, keep, size, cut, ahead)
#define pay_row(n, w, paid, budget) FX_REAL(pay_row, w)(n, w, paid, budget)
#define take_row(n, x, shift, factor, next, y) FX_REAL(take_row, y)(n, x, shift, factor, next, y)
#define gather_rows(n, count, x, row, q, stride, g) FX_REAL(gather_rows, x)(n, count, x, row, q, stride, g)
#define outer_tile(rows, vecs, T, a, b, c, at) FX_REAL(outer_tile, a)(rows, vecs, T, a, b, c, at)
#define turn_tile(a, as, b, bs) FX_REAL(turn_tile, a)(a, as, b, bs)
#define dot_tile(classes, x, w, z, at) FX_REAL(dot_tile, w)(classes, x, w, z, at)
#define csr_dot_tile(tile, nnz, ahead, x, j, w, ld, z) FX_CSR(csr_dot_tile, x, j)(tile, nnz, ahead, x, j, w, ld, z)
#define csr_add_tile(tile, nnz, ahead, x, j, q, g, ld) FX_CSR(csr_add_tile, x, j)(tile, nnz, ahead, x, j, q, g, ld)
#define csr_dot_one(nnz, x, j, w) FX_CSR(csr_dot_one, x, j)(nnz, x, j, w)
#define csr_add_one(nnz, x, j, q, g) FX_CSR(csr_add_one, x, j)(nnz, x, j, q, g)
#define csr_sum_one(nnz, j, w) FX_CSR(csr_sum_one, w, j)(nnz, j, w)
#define csr_add_ones(nnz, j, q, g) FX_CSR(csr_add_ones, g, j)(nnz, j, q, g)
#define csr_add_pair(nnz, x, j, a, b, g) FX_CSR(csr_add_pair, x, j)(nnz, x, j, a, b, g)

#endif
