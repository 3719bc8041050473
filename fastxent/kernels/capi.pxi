# What api.pyx hands on to other extensions: rows of logits, and products of one CSR row, for whoever brings pointers.
# The element types travel as flags, so that a level exports four functions; api.pxd documents them. Change
# API_VERSION there with any meaning.

cdef api void logits_output(int kind, bint is_double, const void* z, void* out, Py_ssize_t n,
                            Py_ssize_t K) noexcept nogil:
    cdef double scratch[LOGIT_SCRATCH]
    if is_double:
        output_range(<const double*>z, <double*>out, <Output>kind, K, 0, n, scratch)
    else:
        output_range(<const float*>z, <float*>out, <Output>kind, K, 0, n, <float*>scratch)


cdef api double logits_loss(bint is_double, const void* z, const Py_ssize_t* labels, const double* weights,
                            double scale, void* losses, void* grad, Py_ssize_t n, Py_ssize_t K) noexcept nogil:
    cdef double scratch[LOGIT_SCRATCH]
    cdef Targets targets = Targets(labels, NULL, weights, NULL, 0.0, K)
    if is_double:
        return loss_logits_range(&targets, <const double*>z, K, 0, n, <double*>losses, <double*>grad, scale, scratch)
    return loss_logits_range(&targets, <const float*>z, K, 0, n, <float*>losses, <float*>grad, scale, <float*>scratch)


cdef api void csr_dot(bint is_double, bint is_wide, Py_ssize_t nnz, const void* x, const void* j, const void* w,
                      Py_ssize_t ld, Py_ssize_t K, void* z) noexcept nogil:
    if is_double and is_wide:
        csr_row_dot(K, 0, ld, nnz, 0, <const double*>x, <const int64_t*>j, <const double*>w, <double*>z)
    elif is_double:
        csr_row_dot(K, 0, ld, nnz, 0, <const double*>x, <const int32_t*>j, <const double*>w, <double*>z)
    elif is_wide:
        csr_row_dot(K, 0, ld, nnz, 0, <const float*>x, <const int64_t*>j, <const float*>w, <float*>z)
    else:
        csr_row_dot(K, 0, ld, nnz, 0, <const float*>x, <const int32_t*>j, <const float*>w, <float*>z)


cdef api void csr_add(bint is_double, bint is_wide, Py_ssize_t nnz, const void* x, const void* j, const void* q,
                      Py_ssize_t K, void* g, Py_ssize_t ld) noexcept nogil:
    if is_double and is_wide:
        csr_row_add(K, 0, ld, nnz, 0, <const double*>x, <const int64_t*>j, <const double*>q, <double*>g)
    elif is_double:
        csr_row_add(K, 0, ld, nnz, 0, <const double*>x, <const int32_t*>j, <const double*>q, <double*>g)
    elif is_wide:
        csr_row_add(K, 0, ld, nnz, 0, <const float*>x, <const int64_t*>j, <const float*>q, <float*>g)
    else:
        csr_row_add(K, 0, ld, nnz, 0, <const float*>x, <const int32_t*>j, <const float*>q, <float*>g)
