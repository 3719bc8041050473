"""Fused linear cross-entropy: logits, softmax, loss, gradient and Hessian product of a block of rows in one visit.

Design. A pass over the data goes block by block (rows that fit the second-level cache):

    logits      Z = X W + b               products.pxi    tiles of registers, by storage and number of classes
    softmax     loss, Q = s (P - T)       softmax.pxi     in place of Z, the mathematics of a row, once
    gradient    G += X^T Q                products.pxi    while the block's rows are still in cache

so X is read from memory once and the n x K logits are never stored. Shapes: X (n, d) dense or CSR, theta (d + 1, K)
with the intercept as last row, Z and Q (block, K) in one of two layouts (softmax.pxi), G like theta. One source
serves float32 and float64, int32 and int64 indices (dispatch.pxi), and every instruction set (clones, setup.py).
Kernels take ranges of rows and buffers of the caller, and never allocate, raise or read outside what validation.py
admitted.
"""

from cpython.buffer cimport (
    PyBUF_ANY_CONTIGUOUS, PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from libc.math cimport INFINITY, exp, expm1, fabs, log, log1p, pow, sqrt
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

include "cpu.pxi"

# The core: each file uses those above it.
include "simd.pxi"
include "dispatch.pxi"
include "buffers.pxi"
include "blocking.pxi"
include "softmax.pxi"
include "blas.pxi"
include "products.pxi"
include "tiles.pxi"
include "rows.pxi"
include "linear.pxi"
include "logits.pxi"
include "curvature.pxi"
include "moments.pxi"

# What others build on the core: a file for each, in any order.
include "capi.pxi"
include "few.pxi"
include "rowapi.pxi"
include "gaps.pxi"
include "descent.pxi"
include "columns.pxi"
include "sdca.pxi"
include "sdca_binary.pxi"
include "coordinate.pxi"
