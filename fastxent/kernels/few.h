/* Logits of few rows; see simd_few.h. */
#ifndef FASTXENT_FEW_H
#define FASTXENT_FEW_H

#include "simd.h"

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

#endif
