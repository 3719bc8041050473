/* Logits of few rows; see simd_few.h. */
#ifndef FASTXENT_FEW_H
#define FASTXENT_FEW_H

#include "simd.h"

/* n rows of d features, classes first..stop of K; and the steps from a row, a class and a feature to the next. */
typedef struct {
    ptrdiff_t n, d, K, first, stop, ldx, ldz, class_step, feature_step;
} few_shape;

enum {
    FEW_SWEPT = 64,            /* registers of classes of one row in a pass over the coefficients */
    FEW_ROWS = 48,             /* a block of several rows has at most this number of rows, */
    FEW_CLASSES_AT_ONCE = 512, /* of classes, */
    FEW_CHUNK = 64,            /* and of features, */
    FEW_CACHED = 32768,        /* and about this number of bytes of coefficients, but at least 8 features */
    FEW_FAR = 524288,          /* bytes of coefficients from which they are prefetched */
    FEW_SINGLE = 16,           /* rows up to this number are multiplied one by one, */
    FEW_SMALL = 4096,          /* if there are at most this number of coefficients */
    FEW_PADDING = 2 * 16       /* entries between the sums of two rows, at most */
};

/* Entries of the work array for n rows. */
static inline ptrdiff_t few_room(ptrdiff_t n, ptrdiff_t K)
{
    return (n < FEW_ROWS ? n : FEW_ROWS) * ((K < FEW_CLASSES_AT_ONCE ? K : FEW_CLASSES_AT_ONCE) + FEW_PADDING);
}

#define REAL double
#define SOURCE double
#define FEW(name) few_##name##_f64_f64
#include "simd_few.h"

#define REAL double
#define SOURCE float
#define FEW(name) few_##name##_f64_f32
#include "simd_few.h"

#define REAL float
#define SOURCE double
#define FEW(name) few_##name##_f32_f64
#include "simd_few.h"

#define REAL float
#define SOURCE float
#define FEW(name) few_##name##_f32_f32
#include "simd_few.h"

/* By the types of rows and coefficients, as in simd.h. */
#define FEW_SOURCE(name, w) _Generic(*(w), double: name##_f64, float: name##_f32)
#define FEW_TYPES(name, x, w) _Generic(*(x), double: FEW_SOURCE(name##_f64, w), float: FEW_SOURCE(name##_f32, w))
#define few_logits(shape, x, w, bias, z, room) FEW_TYPES(few_logits, x, w)(shape, x, w, bias, z, room)
#define few_logits_at(nnz, K, x, at, w, step, bias, z) FEW_TYPES(few_logits_at, x, w)(nnz, K, x, at, w, step, bias, z)

#endif
