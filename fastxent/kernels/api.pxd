# The kernels for other Cython code: functions of rows of logits, and the products of one CSR row with many columns.
#
#     from fastxent.kernels.api cimport check_api, cross_entropy, softmax
#
# What runs is the instruction-set level that `fastxent.kernels` chose at import, and it gives the same bits as the
# functions of the same names in `fastxent`. All are `noexcept nogil`, re-entrant, allocate nothing, keep up to 12 kB on
# the stack, and TRUST their arguments: pointers reach what is said below, K >= 1, labels and column indices are in
# range. Nothing is checked: a wrong one reads or writes memory that is not yours.
#
# `real` is double or float, `index` is int32_t or int64_t, taken from the pointers. A row alone is n = 1. Rows are
# contiguous, (n, K) in C order. NaN and infinities mean what they mean in Python: a NaN makes its row NaN, -inf masks
# a class.
#
# Example (the tests compile it):
#
#     from fastxent.kernels.api cimport check_api, cross_entropy
#
#     check_api()  # ImportError if this was compiled against another version of the API
#
#     def mean_loss(const double[:, ::1] logits, const Py_ssize_t[::1] labels, double[:, ::1] grad):
#         cdef Py_ssize_t n = logits.shape[0], K = logits.shape[1]
#         with nogil:
#             loss = cross_entropy(&logits[0, 0], &labels[0], NULL, 1.0 / n, NULL, &grad[0, 0], n, K)
#         return loss / n
#
# No header and no library is needed to build: installed, this file is found by cythonize.

from libc.stdint cimport int32_t, int64_t

cdef enum:
    API_VERSION = 1    # changes with any signature or meaning below
    PADDING = 16       # rows of weights and logits of csr_dot and csr_add are padded to a multiple of this

ctypedef fused real:
    double
    float

ctypedef fused index:
    int32_t
    int64_t

# out (n,): log(sum_k exp(z_ik)). All -inf gives -inf.
cdef void logsumexp(const real* z, real* out, Py_ssize_t n, Py_ssize_t K) noexcept nogil

# out (n, K), which may be z: exp(z_ik) / sum_k exp(z_ik).
cdef void softmax(const real* z, real* out, Py_ssize_t n, Py_ssize_t K) noexcept nogil

# out (n, K), which may be z: z_ik - logsumexp_i.
cdef void log_softmax(const real* z, real* out, Py_ssize_t n, Py_ssize_t K) noexcept nogil

# out (n,), which may be z: 1 / (1 + exp(-z_i)).
cdef void sigmoid(const real* z, real* out, Py_ssize_t n) noexcept nogil

# Returns sum_i s_i loss_i, loss_i = logsumexp_i - z_i[label_i] >= 0.
#   labels (n,)    in 0..K-1; a row of weight 0 needs one, too
#   weights (n,)   s_i >= 0, or NULL: all 1. A row of weight 0 has loss and gradient 0, whatever its logits.
#   losses (n,)    becomes s_i loss_i, or NULL
#   grad (n, K)    becomes s_i * scale * dloss_i/dz_i, or NULL; it may be z
# The loss and the losses are not scaled.
cdef double cross_entropy(const real* z, const Py_ssize_t* labels, const double* weights, double scale, real* losses,
                          real* grad, Py_ssize_t n, Py_ssize_t K) noexcept nogil

# z[k] += sum_p x[p] * w[j[p] * ld + k] for k < K.
#   x, j (nnz,)    a CSR row's values and columns, in any order, repeated or not
#   w              a row of ld weights per feature; z: K logits
# Both are read, and z is written, up to K rounded up to a multiple of PADDING: ld is at least that. What stands in the
# padding of w ends up in the padding of z.
cdef void csr_dot(Py_ssize_t nnz, const real* x, const index* j, const real* w, Py_ssize_t ld, Py_ssize_t K,
                  real* z) noexcept nogil

# g[j[p] * ld + k] += x[p] * q[k] for k < K, with the same padding of q and g: zeros in q's leave g's as it is.
cdef void csr_add(Py_ssize_t nnz, const real* x, const index* j, const real* q, Py_ssize_t K, real* g,
                  Py_ssize_t ld) noexcept nogil

# Raises ImportError unless the installed kernels speak this version of the API.
cdef int require_api(int version) except -1

cdef inline int check_api() except -1:
    """require_api of the version that the calling module was compiled against."""
    return require_api(API_VERSION)
