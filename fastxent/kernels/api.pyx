"""The kernels for other Cython code: ``from fastxent.kernels.api cimport softmax``. api.pxd says what there is.

The functions here only call those that the chosen instruction-set level exports (capi.pxi).

>>> from fastxent.kernels import api
>>> api.version >= 1
True
"""

from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer

from fastxent import kernels

version = API_VERSION

ctypedef void (*Output)(int, bint, const void*, void*, Py_ssize_t, Py_ssize_t) noexcept nogil
ctypedef double (*Loss)(bint, const void*, const Py_ssize_t*, const double*, double, void*, void*,
                        const Py_ssize_t*) noexcept nogil
ctypedef void (*Dot)(int, Py_ssize_t, const void*, const void*, const void*, Py_ssize_t, Py_ssize_t,
                     void*) noexcept nogil
ctypedef void (*Add)(int, Py_ssize_t, const void*, const void*, const void*, Py_ssize_t, void*,
                     Py_ssize_t) noexcept nogil


cdef void* exported(name) except NULL:
    capsule = kernels.load(kernels.level).__pyx_capi__[name]
    return PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule))


cdef Output output = <Output>exported("logits_output")
cdef Loss loss = <Loss>exported("logits_loss")
cdef Dot dot = <Dot>exported("csr_dot")
cdef Add add = <Add>exported("csr_add")
cdef int LOGSUMEXP = kernels.KINDS["logsumexp"]
cdef int SOFTMAX = kernels.KINDS["softmax"]
cdef int LOG_SOFTMAX = kernels.KINDS["log_softmax"]
cdef int SIGMOID = kernels.KINDS["sigmoid"]


cdef int require_api(int version) except -1:
    if version != API_VERSION:
        raise ImportError(
            f"an extension was compiled against version {version} of fastxent's C API, and the installed fastxent "
            f"has version {API_VERSION}: compile the extension again"
        )
    return 0


cdef void logsumexp(const real* z, real* out, Py_ssize_t n, Py_ssize_t K) noexcept nogil:
    output(LOGSUMEXP, real is double, z, out, n, K)


cdef void softmax(const real* z, real* out, Py_ssize_t n, Py_ssize_t K) noexcept nogil:
    output(SOFTMAX, real is double, z, out, n, K)


cdef void log_softmax(const real* z, real* out, Py_ssize_t n, Py_ssize_t K) noexcept nogil:
    output(LOG_SOFTMAX, real is double, z, out, n, K)


cdef void sigmoid(const real* z, real* out, Py_ssize_t n) noexcept nogil:
    output(SIGMOID, real is double, z, out, n, 1)


cdef double cross_entropy(const real* z, const Py_ssize_t* labels, const double* weights, double scale, real* losses,
                          real* grad, Py_ssize_t n, Py_ssize_t K) noexcept nogil:
    cdef Py_ssize_t[2] shape
    shape[0], shape[1] = n, K
    return loss(real is double, z, labels, weights, scale, losses, grad, shape)


cdef void csr_dot(Py_ssize_t nnz, const real* x, const index* j, const real* w, Py_ssize_t ld, Py_ssize_t K,
                  real* z) noexcept nogil:
    dot((real is double) + 2 * (index is int64_t), nnz, x, j, w, ld, K, z)


cdef void csr_add(Py_ssize_t nnz, const real* x, const index* j, const real* q, Py_ssize_t K, real* g,
                  Py_ssize_t ld) noexcept nogil:
    add((real is double) + 2 * (index is int64_t), nnz, x, j, q, K, g, ld)
