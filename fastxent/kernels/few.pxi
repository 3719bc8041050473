# Few rows, or sparse rows with few entries, whose logits cost less than packing the coefficients: coef is read in
# place.

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDED_RO, PyObject_CheckBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc

cdef extern from "few.h" nogil:
    ctypedef struct few_shape:
        Py_ssize_t n, d, first, stop, ldx, ldz, class_step, feature_step

    void few_logits(const few_shape* shape, const void* x, const void* w, const void* bias, void* z)
    void few_logits_at(Py_ssize_t nnz, Py_ssize_t K, const void* x, const Py_ssize_t* at, const void* w,
                       Py_ssize_t class_step, const void* bias, void* z)


cdef struct Coefficients:
    const char* w
    const char* bias
    Py_ssize_t K
    Py_ssize_t d
    Py_ssize_t class_step  # in entries; this or the next is 1
    Py_ssize_t feature_step
    bint is_double


# Dense rows, or (at not NULL) the entries of a sparse one, and their logits.
cdef struct FewRows:
    const Coefficients* c
    bint is_double                 # the rows and the logits
    Py_ssize_t n
    Py_ssize_t first               # classes
    Py_ssize_t stop
    const void* x
    const Py_ssize_t* at           # (nnz,), see places_of; or NULL
    Py_ssize_t nnz
    void* z                        # (n, K)

# CSR rows first..stop.
cdef struct FewSparse:
    FewRows row
    const void* x
    const void* j
    const void* indptr
    Py_ssize_t first
    Py_ssize_t stop
    Py_ssize_t* at                 # room for a row of `longest` entries
    Py_ssize_t longest
    void* z
    bint inside                    # becomes False for a column out of range


cdef Coefficients coefficients_of(coef, intercept) except *:
    """coef (K, d), contiguous along one of its axes, and intercept (K,), of one dtype."""
    cdef Coefficients c
    cdef Py_buffer view
    PyObject_GetBuffer(coef, &view, PyBUF_STRIDED_RO)
    cdef Py_ssize_t itemsize = view.itemsize, ndim = view.ndim
    if ndim == 2:
        c.w, c.K, c.d = <const char*>view.buf, view.shape[0], view.shape[1]
        c.class_step, c.feature_step = view.strides[0] // itemsize, view.strides[1] // itemsize
    PyBuffer_Release(&view)
    if ndim != 2 or c.K < 1 or c.d < 1:
        raise ValueError("coef must have two dimensions and no empty one")
    if c.d == 1:
        c.feature_step = 1 if c.class_step != 1 else c.feature_step  # NumPy leaves the step of an axis of length 1 open
    if c.K == 1:
        c.class_step = 1 if c.feature_step != 1 else c.class_step
    if c.class_step != 1 and c.feature_step != 1:
        raise ValueError("coef must be contiguous along one of its axes")
    c.is_double = itemsize == 8
    c.bias = address(intercept, c.K * itemsize, False)
    return c


cdef void few_rows(void* task, const real* x, const other* w) noexcept nogil:
    cdef const FewRows* t = <const FewRows*>task
    cdef const Coefficients* c = t.c
    cdef few_shape shape
    cdef const other* bias = <const other*>c.bias
    cdef real* z = <real*>t.z
    x, w = <const real*>t.x, <const other*>c.w
    if t.at:
        few_logits_at(t.nnz, c.K, x, t.at, w, c.class_step, bias, z)
        return
    shape.n, shape.d, shape.first, shape.stop, shape.ldx, shape.ldz = t.n, c.d, t.first, t.stop, c.d, c.K
    shape.class_step, shape.feature_step = c.class_step, c.feature_step
    few_logits(&shape, x, w, bias, z)


cdef inline void logits_of_rows(FewRows* t) noexcept nogil:
    dispatch_other(t.is_double, t.c.is_double, t, few_rows, few_rows, few_rows, few_rows)


cdef enum:
    FETCHED = 1 << 18  # bytes


cdef bint places_of(const Coefficients* c, const index* j, Py_ssize_t first, Py_ssize_t stop,
                    Py_ssize_t* at) noexcept nogil:
    """at[p] = where the coefficients of feature j[p] begin. Returns whether all of them are features.

    Those of a feature's classes that stand side by side are fetched meanwhile, as far as they fit in cache.
    """
    cdef Py_ssize_t p, line, itemsize = 8 if c.is_double else 4, size = c.K * itemsize
    cdef bint fetches = c.class_step == 1 and size <= FETCHED // (stop - first + 1)
    cdef const char* row
    for p in range(first, stop):
        if not (0 <= j[p] and j[p] < c.d):
            return False
        at[p - first] = j[p] * c.feature_step
        if fetches:
            row = c.w + at[p - first] * itemsize
            for line in range(0, size, 64):
                FX_PREFETCH(row + line)
    return True


cdef void few_sparse(void* task, const real* x, const index* j) noexcept nogil:
    cdef FewSparse* t = <FewSparse*>task
    cdef const index* indptr = <const index*>t.indptr
    cdef Py_ssize_t i
    t.row.at = t.at
    t.inside = False
    for i in range(t.first, t.stop):
        t.row.nnz = indptr[i + 1] - indptr[i]
        if t.row.nnz > t.longest or not places_of(t.row.c, <const index*>t.j, indptr[i], indptr[i + 1], t.at):
            return
        t.row.x, t.row.z = <const real*>t.x + indptr[i], <real*>t.z + i * t.row.c.K
        logits_of_rows(&t.row)
    t.inside = True


def logits_of_entries(rows, coef, intercept, z, Py_ssize_t first, Py_ssize_t stop, places):
    """z[first:stop] = x coef' + intercept, of some CSR rows. rows: (data, indices, indptr, n, d); z (n, K) in C order;
    places: intp, one for each entry of the longest row."""
    data, indices, indptr, n, d = rows
    cdef Coefficients c = coefficients_of(coef, intercept)
    cdef Py_ssize_t size = indices.itemsize, count = n
    cdef FewSparse task
    cdef bint is_wide = size == 8
    check_range(first, stop, count)
    check_range(c.d, d, d)
    task.row.c, task.row.is_double = &c, data.itemsize == 8
    task.first, task.stop, task.longest = first, stop, len(places)
    task.x, task.j = address(data, 0, False), address(indices, 0, False)
    task.indptr = address(indptr, (count + 1) * size, False)
    task.at = <Py_ssize_t*>address(places, task.longest * sizeof(Py_ssize_t), True)
    task.z = <void*>address(z, count * c.K * data.itemsize, True)
    with nogil:
        dispatch_index(task.row.is_double, is_wide, &task, few_sparse, few_sparse, few_sparse, few_sparse)
    if not task.inside:
        raise IndexError(f"a column does not lie within 0..{c.d}, or a row has more than {task.longest} entries")


def logits_of_few(x, coef, intercept, z, Py_ssize_t first, Py_ssize_t stop):
    """z[:, first:stop] = x coef' + intercept, of some classes. x (n, d) and z (n, K) in C order, of one dtype."""
    cdef Coefficients c = coefficients_of(coef, intercept)
    cdef Py_ssize_t n = len(x), itemsize = x.itemsize
    cdef FewRows task
    check_range(first, stop, c.K)
    task.c, task.is_double, task.n, task.first, task.stop, task.at = &c, itemsize == 8, n, first, stop, NULL
    task.x = address(x, n * c.d * itemsize, False)
    task.z = <void*>address(z, n * c.K * itemsize, True)
    with nogil:
        logits_of_rows(&task)


cdef void binary_outputs(const real* z, real* out, Output kind, Py_ssize_t n) noexcept nogil:
    """Probabilities of the two classes, or their logarithms, from the logits of class 1. out (n, 2)."""
    cdef real e, log_total
    cdef Py_ssize_t i, k
    for i in range(n):
        e = -z[i] if z[i] >= 0 else z[i]
        exp_array(&e, &e, 1)
        k = 1 if z[i] >= 0 else 0  # the likelier class
        if kind == SOFTMAX:
            out[2 * i + k] = 1 / (1 + e)
            out[2 * i + 1 - k] = e / (1 + e)
        else:
            log_total = e
            log1p_array(&log_total, 1)
            out[2 * i + k] = -log_total
            out[2 * i + 1 - k] = (z[i] if z[i] < 0 else -z[i]) - log_total


def outputs_of_binary(z, out, Output kind):
    """out (n, 2) = probabilities of the two classes, or their logarithms, from the logits z (n,) of class 1."""
    cdef Py_ssize_t n = z.size, itemsize = z.itemsize
    cdef const char* zp = address(z, n * itemsize, False)
    cdef char* op = <char*>address(out, 2 * n * itemsize, True)
    with nogil:
        if itemsize == 8:
            binary_outputs(<const double*>zp, <double*>op, kind, n)
        else:
            binary_outputs(<const float*>zp, <float*>op, kind, n)


cdef class Packed:
    """Coefficients for products with single rows, without Python code in between.

    Methods return None where arguments are not as they take them: the caller then finds out what is amiss.

    Parameters
    ----------
    coef : ndarray (K, d), float32 or float64, contiguous along one of its axes
    intercept : ndarray (K,), of that dtype
    new : callable
        ``new(shape, dtype)`` gives an array: numpy.empty.
    dtypes : tuple
        float64 and float32, as ``new`` takes them.
    """
    cdef Coefficients c
    cdef Py_ssize_t room  # entries that outputs need beside the logits
    cdef object keep, new, double_type, single_type

    def __init__(self, coef, intercept, new, dtypes):
        self.c = coefficients_of(coef, intercept)
        self.room = logits_scratch_size(self.c.K)
        self.keep = (coef, intercept)
        self.new = new
        self.double_type, self.single_type = dtypes

    def dense(self, x, Output kind, out=None):
        """Return the output for a row x (d,). out: a checked array for it, or None for a new one."""
        cdef Py_buffer view
        cdef int storage = open_vector(x, &view)
        if storage == NO_VECTOR:
            return None
        cdef bint is_double = storage == DOUBLES
        try:
            if view.shape[0] != self.c.d or not self.takes(storage):
                return None
            return self.answer(<const char*>view.buf, NULL, self.c.d, is_double, kind, out)
        finally:
            PyBuffer_Release(&view)

    def sparse(self, indices, values, Output kind, out=None):
        """Return the output for a row with these entries."""
        cdef Py_buffer x, j
        cdef int of_x = open_vector(values, &x), of_j
        if of_x == NO_VECTOR:
            return None
        try:
            of_j = open_vector(indices, &j)
            if of_j == NO_VECTOR:
                return None
            try:
                return self.entries(&x, of_x, &j, of_j, kind, out)
            finally:
                PyBuffer_Release(&j)
        finally:
            PyBuffer_Release(&x)

    cdef bint takes(self, int storage) noexcept:
        """Whether rows of this storage need no conversion."""
        return storage == DOUBLES or (storage == SINGLES and not self.c.is_double)

    cdef entries(self, const Py_buffer* x, int of_x, const Py_buffer* j, int of_j, Output kind, out):
        cdef Py_ssize_t nnz = x.shape[0]
        cdef bint inside, is_double = of_x == DOUBLES
        if j.shape[0] != nnz or not self.takes(of_x) or (of_j != INT32 and of_j != INT64):
            return None
        cdef Py_ssize_t* at = <Py_ssize_t*>PyMem_Malloc((nnz + 1) * sizeof(Py_ssize_t))
        if at == NULL:
            raise MemoryError
        try:
            if of_j == INT32:
                inside = places_of(&self.c, <const int32_t*>j.buf, 0, nnz, at)
            else:
                inside = places_of(&self.c, <const int64_t*>j.buf, 0, nnz, at)
            return self.answer(<const char*>x.buf, at, nnz, is_double, kind, out) if inside else None
        finally:
            PyMem_Free(at)

    cdef answer(self, const char* x, const Py_ssize_t* at, Py_ssize_t count, bint is_double, Output kind, out):
        """Return the output `kind` of a row, dense or (at not NULL) with some entries."""
        cdef Py_ssize_t K = self.c.K, itemsize = 8 if is_double else 4
        cdef Py_ssize_t size = 2 if K == 1 and kind != LOGITS else K
        cdef FewRows task
        if out is None:
            out = self.new(size, self.double_type if is_double else self.single_type)
        cdef char* result = <char*>address(out, size * itemsize, True)
        cdef char* room = NULL
        task.c, task.is_double, task.n, task.first, task.stop = &self.c, is_double, 1, 0, K
        task.x, task.at, task.nnz, task.z = x, at, count, result
        if kind != LOGITS:
            room = <char*>PyMem_Malloc((K + self.room) * itemsize)
            if room == NULL:
                raise MemoryError
            task.z = room + self.room * itemsize
        if count * K < 100_000:  # takes less time than releasing the GIL
            row_outputs(&task, kind, result, room)
        else:
            with nogil:
                row_outputs(&task, kind, result, room)
        PyMem_Free(room)
        return out


cdef void row_outputs(FewRows* t, Output kind, void* result, void* room) noexcept nogil:
    logits_of_rows(t)
    if kind == LOGITS:
        return
    if t.is_double:
        outputs_of(<const double*>t.z, <double*>result, kind, t.c.K, <double*>room)
    else:
        outputs_of(<const float*>t.z, <float*>result, kind, t.c.K, <float*>room)


cdef inline void outputs_of(const real* z, real* out, Output kind, Py_ssize_t K, real* scratch) noexcept nogil:
    cdef LogitRows task
    if K == 1:
        binary_outputs(z, out, kind, 1)
    else:
        task.z, task.out, task.kind, task.scratch = z, out, kind, scratch
        task.K, task.first, task.stop = K, 0, 1
        output_logits_range(&task, z)


cdef enum:
    NO_VECTOR, DOUBLES, SINGLES, INT32, INT64, OTHERS


cdef int open_vector(x, Py_buffer* view) except -1:
    """Open a contiguous, aligned vector and return its type; any other object is left unopened."""
    if not PyObject_CheckBuffer(x):
        return NO_VECTOR
    try:
        PyObject_GetBuffer(x, view, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    except (BufferError, ValueError):
        return NO_VECTOR
    cdef bint whole = view.ndim == 1 and (view.shape[0] <= 1 or view.strides[0] == view.itemsize)
    cdef bint plain = view.format != NULL and view.format[0] != 0 and view.format[1] == 0  # of native byte order, too
    if not whole or not plain or <Py_ssize_t>view.buf % view.itemsize:
        PyBuffer_Release(view)
        return NO_VECTOR
    cdef char code = view.format[0]
    if code == b"d":
        return DOUBLES
    if code == b"f":
        return SINGLES
    if code == b"i" or code == b"l" or code == b"q":
        return INT32 if view.itemsize == 4 else INT64
    return OTHERS
