# Products of matrices by SciPy's BLAS, where a block of rows is multiplied with many classes: nothing of ours is faster
# there. The functions are handed over at run time (fastxent/blas.py), because importing scipy.linalg takes longer than
# most calls. Without them the tiles do the work. Callers hold BLAS to one thread.

ctypedef void (*Dgemm)(char*, char*, int*, int*, int*, double*, const double*, int*, const double*, int*, double*,
                       double*, int*) noexcept nogil
ctypedef void (*Sgemm)(char*, char*, int*, int*, int*, float*, const float*, int*, const float*, int*, float*,
                       float*, int*) noexcept nogil

cdef Dgemm dgemm = NULL
cdef Sgemm sgemm = NULL

cdef enum:
    LONGEST_OF_BLAS = 2147483647   # its dimensions are 32-bit integers


def use_blas(dgemm_capsule, sgemm_capsule):
    """Multiply by these functions from now on, capsules as scipy.linalg.cython_blas exports them; None: by tiles."""
    global dgemm, sgemm
    if dgemm_capsule is None:
        dgemm, sgemm = NULL, NULL
        return
    dgemm = <Dgemm>PyCapsule_GetPointer(dgemm_capsule, PyCapsule_GetName(dgemm_capsule))
    sgemm = <Sgemm>PyCapsule_GetPointer(sgemm_capsule, PyCapsule_GetName(sgemm_capsule))


cpdef bint has_blas() noexcept nogil:
    """Whether there is a BLAS to multiply by."""
    return dgemm != NULL


# C = A B + beta C in C order: C (rows, columns), B (depth, columns), A (rows, depth) or, turned, its transpose.
cdef struct Gemm:
    bint turned
    Py_ssize_t rows
    Py_ssize_t columns
    Py_ssize_t depth
    Py_ssize_t lda                 # lengths of rows
    Py_ssize_t ldb
    Py_ssize_t ldc
    double beta


cdef void gemm(const Gemm* t, const real* a, const real* b, real* c) noexcept nogil:
    """BLAS is column-major, so everything is transposed: C' = B' A'."""
    cdef char plain = b"N", other_way = b"T"
    cdef char* way = &other_way if t.turned else &plain
    cdef int m = <int>t.columns, n = <int>t.rows, k = <int>t.depth, lda = <int>t.lda, ldb = <int>t.ldb, ldc = <int>t.ldc
    cdef real one = 1, beta = <real>t.beta
    if real is double:
        dgemm(&plain, way, &m, &n, &k, &one, b, &ldb, a, &lda, &beta, c, &ldc)
    else:
        sgemm(&plain, way, &m, &n, &k, &one, b, &ldb, a, &lda, &beta, c, &ldc)
