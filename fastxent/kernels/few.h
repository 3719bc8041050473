/* Logits of few rows; see simd_few.h. */
#ifndef FASTXENT_FEW_H
#define FASTXENT_FEW_H

#include "simd.h"

/* n rows of d features, classes first..stop; and the steps from a row, a class and a feature to the next. */
typedef struct {
    ptrdiff_t n, d, first, stop, ldx, ldz, class_step, feature_step;
} few_shape;

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
#define few_logits(shape, x, w, bias, z) FEW_TYPES(few_logits, x, w)(shape, x, w, bias, z)
#define few_logits_at(nnz, K, x, at, w, step, bias, z) FEW_TYPES(few_logits_at, x, w)(nnz, K, x, at, w, step, bias, z)

#endif
