# Few rows, or sparse rows with few entries, whose logits cost less than packing the coefficients: coef is read in
# place.

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDED_RO, PyBuffer_IsContiguous, PyObject_CheckBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc

cdef extern from "few.h" nogil:
    ctypedef struct few_shape:
        Py_ssize_t n, d, K, first, stop, ldx, ldz, class_step, feature_step

    Py_ssize_t few_room(Py_ssize_t n, Py_ssize_t K)
    void few_logits(const few_shape* shape, const void* x, const void* w, const void* bias, void* z, void* room)
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
    void* room                     # few_room(n, K) numbers, for several dense rows

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
    bint is_wide                   # indices of 64 bits, not 32
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
    shape.n, shape.d, shape.K, shape.first, shape.stop, shape.ldx, shape.ldz = t.n, c.d, c.K, t.first, t.stop, c.d, c.K
    shape.class_step, shape.feature_step = c.class_step, c.feature_step
    few_logits(&shape, x, w, bias, z, t.room)


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


cdef FewSparse few_sparse_of(rows, const Coefficients* c, z) except *:
    """A task for all rows of a CSR matrix (data, indices, indptr, n, d). z (n, K) in C order. The caller sets `at`."""
    cdef FewSparse task
    data, indices, indptr, n, d = rows
    cdef Py_ssize_t count = n, size = indices.itemsize
    check_range(c.d, d, d)
    task.row.c, task.row.is_double = c, data.itemsize == 8
    task.first, task.stop, task.is_wide, task.longest = 0, count, size == 8, 0
    task.x, task.j = address(data, 0, False), address(indices, 0, False)
    task.indptr = address(indptr, (count + 1) * size, False)
    task.z = <void*>address(z, count * c.K * data.itemsize, True)
    return task


cdef int run_few_sparse(FewSparse* t) except -1:
    with nogil:
        dispatch_index(t.row.is_double, t.is_wide, t, few_sparse, few_sparse, few_sparse, few_sparse)
    if not t.inside:
        raise IndexError(f"a column does not lie within 0..{t.row.c.d}, or a row has more than {t.longest} entries")
    return 0


def logits_of_entries(rows, coef, intercept, z, Py_ssize_t first, Py_ssize_t stop, places):
    """z[first:stop] = x coef' + intercept, of some CSR rows. rows: (data, indices, indptr, n, d); z (n, K) in C order;
    places: intp, one for each entry of the longest row."""
    cdef Coefficients c = coefficients_of(coef, intercept)
    cdef FewSparse task = few_sparse_of(rows, &c, z)
    check_range(first, stop, task.stop)
    task.first, task.stop, task.longest = first, stop, len(places)
    task.at = <Py_ssize_t*>address(places, task.longest * sizeof(Py_ssize_t), True)
    run_few_sparse(&task)


def few_room_size(Py_ssize_t n, Py_ssize_t K):
    """Return the number of entries of `room` that logits_of_few needs."""
    return few_room(n, K)


def logits_of_few(x, coef, intercept, z, Py_ssize_t first, Py_ssize_t stop, room=None):
    """z[:, first:stop] = x coef' + intercept, of some classes. x (n, d) and z (n, K) in C order, of one dtype; room:
    few_room_size(n, K) numbers of it, for more than one row."""
    cdef Coefficients c = coefficients_of(coef, intercept)
    cdef Py_ssize_t n = len(x), itemsize = x.itemsize
    cdef FewRows task
    check_range(first, stop, c.K)
    task.c, task.is_double, task.n, task.first, task.stop, task.at = &c, itemsize == 8, n, first, stop, NULL
    task.room = NULL if n == 1 else <char*>address(room, few_room(n, c.K) * itemsize, True)
    task.x = address(x, n * c.d * itemsize, False)
    task.z = <void*>address(z, n * c.K * itemsize, True)
    with nogil:
        logits_of_rows(&task)


cdef void binary_outputs(const real* z, real* out, Output kind, Py_ssize_t n) noexcept nogil:
    """Probabilities of the two classes, or their logarithms, from the logits of class 1. out (n, 2)."""
    cdef real own[LOGIT_AUX]
    cdef real* at = own
    cdef Aux aux = aux_parts(&at, LOGIT_ROWS)
    cdef Py_ssize_t i = 0
    while i < n:
        binary_output_rows(kind, z + i, out + 2 * i, clamp(n - i, 0, LOGIT_ROWS), &aux)
        i += LOGIT_ROWS


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


cdef enum:
    OWN = 2048                     # entries of work arrays on the stack; larger ones are allocated
    LONG = 100_000                 # multiplications from which the GIL is released: fewer take less time than that


cdef inline Py_ssize_t answer_room(Py_ssize_t n, Py_ssize_t K) noexcept nogil:
    """Entries of `room` for answer_rows: the sums and the scratch of softmax share it; binary logits come before."""
    cdef Py_ssize_t sums = few_room(n, K), scratch = LOGIT_AUX + (LOGIT_ROWS * K if K <= FEW_LANES else 0) + K + 16
    return (sums if sums > scratch else scratch) + (n if K == 1 else 0)


cdef bint answer_rows(FewRows* t, Output kind, void* result, void* room) noexcept nogil:
    """result = the output `kind` of n rows. Returns whether their logits are finite."""
    cdef Py_ssize_t itemsize = 8 if t.is_double else 4, K = t.c.K
    t.z, t.room = result, room
    if K == 1 and kind != LOGITS:
        t.z, t.room = room, <char*>room + t.n * itemsize
    logits_of_rows(t)
    return finish_rows(t, kind, result)


cdef bint finish_rows(const FewRows* t, Output kind, void* result) noexcept nogil:
    """result = the output `kind` of the logits t.z. Returns whether these are finite."""
    cdef bint finite
    if t.is_double:
        finite = all_finite(<const double*>t.z, t.n * t.c.K)
        outputs_of(<const double*>t.z, <double*>result, kind, t.n, t.c.K, <double*>t.room)
    else:
        finite = all_finite(<const float*>t.z, t.n * t.c.K)
        outputs_of(<const float*>t.z, <float*>result, kind, t.n, t.c.K, <float*>t.room)
    return finite


cdef bint answer_with_room(FewRows* t, Output kind, void* result, Py_ssize_t size) except -1:
    """Call answer_rows with a work array. size: number of multiplications."""
    cdef double own[OWN]
    cdef void* room = own
    cdef Py_ssize_t needed = answer_room(t.n, t.c.K)
    cdef bint finite
    if needed > OWN:
        room = PyMem_Malloc(needed * sizeof(double))
        if room == NULL:
            raise MemoryError
    if size < LONG:
        finite = answer_rows(t, kind, result, room)
    else:
        with nogil:
            finite = answer_rows(t, kind, result, room)
    if room != own:
        PyMem_Free(room)
    return finite


def outputs_of_entries(rows, coef, intercept, out, Output kind, Py_ssize_t longest):
    """The same as outputs_of_few for CSR rows as in logits_of_entries. longest: most entries of a row."""
    cdef Coefficients c = coefficients_of(coef, intercept)
    cdef bint binary = c.K == 1 and kind != LOGITS, finite
    cdef Py_ssize_t n = rows[3], itemsize = rows[0].itemsize
    cdef char* result = <char*>address(out, n * (2 if binary else c.K) * itemsize, True)
    cdef FewSparse task = few_sparse_of(rows, &c, out)
    cdef char* room = <char*>PyMem_Malloc(answer_room(n, c.K) * sizeof(double) + (longest + 1) * sizeof(Py_ssize_t))
    if room == NULL:
        raise MemoryError
    try:
        task.at, task.longest = <Py_ssize_t*>room, longest
        room += (longest + 1) * sizeof(Py_ssize_t)
        if binary:
            task.z, room = room, room + n * itemsize
        run_few_sparse(&task)
        with nogil:
            task.row.n, task.row.z, task.row.room = n, task.z, room
            finite = finish_rows(&task.row, kind, result)
    finally:
        PyMem_Free(task.at)
    return finite


def outputs_of_few(x, coef, intercept, out, Output kind):
    """out = the output `kind` of the rows x (n, d) in C order, on one thread: (n, K), or (n, 2) for a binary model.

    Returns whether all logits are finite.
    """
    cdef Coefficients c = coefficients_of(coef, intercept)
    cdef Py_ssize_t n = len(x), itemsize = x.itemsize, columns = 2 if c.K == 1 and kind != LOGITS else c.K
    cdef FewRows task
    task.c, task.is_double, task.n, task.first, task.stop, task.at = &c, itemsize == 8, n, 0, c.K, NULL
    task.x = address(x, n * c.d * itemsize, False)
    return answer_with_room(&task, kind, <void*>address(out, n * columns * itemsize, True), n * c.d * c.K)


cdef class Packed:
    """Coefficients for products with rows, without Python code in between.

    Methods return None if they do not support the arguments: the caller then handles them, or finds the error. They
    allocate only the result, and work arrays for more than about a thousand classes, a thousand entries or many rows.

    Parameters
    ----------
    coef : ndarray (K, d), float32 or float64, contiguous along one of its axes
    intercept : ndarray (K,), of that dtype
    new : callable
        ``new(shape, dtype)`` gives an array: numpy.empty.
    dtypes : tuple
        float64 and float32, as ``new`` takes them.
    most_rows, most : int
        Limits of rows and of multiplications, for several rows.
    """
    cdef Coefficients c
    cdef Py_ssize_t most_rows, most
    cdef object keep, new, double_type, single_type

    def __init__(self, coef, intercept, new, dtypes, Py_ssize_t most_rows, Py_ssize_t most):
        self.c = coefficients_of(coef, intercept)
        self.keep = (coef, intercept)
        self.new, self.most_rows, self.most = new, most_rows, most
        self.double_type, self.single_type = dtypes

    def dense(self, x, Output kind, out=None):
        """Return the output for a row x (d,), or for rows (n, d). out: a checked array for that of a row, or None for a
        new one."""
        cdef Py_buffer view
        cdef int storage = open_numbers(x, 2, &view)
        cdef FewRows task
        cdef Py_ssize_t last = view.ndim - 1 if storage != NO_NUMBERS else 0
        if storage == NO_NUMBERS:
            return None
        try:
            task.n = view.shape[0] if last else 1
            if view.shape[last] != self.c.d or not self.takes(storage):
                return None
            if last and (out is not None or not self.are_few(task.n)):
                return None
            task.x, task.at = view.buf, NULL
            return self.answer(&task, storage == DOUBLES, self.c.d, last > 0, kind, out)
        finally:
            PyBuffer_Release(&view)

    def sparse(self, indices, values, Output kind, out=None):
        """Return the output for a row with these entries."""
        cdef Py_buffer x, j
        cdef int of_x = open_numbers(values, 1, &x), of_j
        if of_x == NO_NUMBERS:
            return None
        try:
            of_j = open_numbers(indices, 1, &j)
            if of_j == NO_NUMBERS:
                return None
            try:
                return self.entries(&x, of_x, &j, of_j, kind, out)
            finally:
                PyBuffer_Release(&j)
        finally:
            PyBuffer_Release(&x)

    cdef bint are_few(self, Py_ssize_t n) noexcept:
        return 0 < n <= self.most_rows and n * self.c.d * self.c.K <= self.most

    cdef bint takes(self, int storage) noexcept:
        """Whether rows of this storage need no conversion."""
        return storage == DOUBLES or (storage == SINGLES and not self.c.is_double)

    cdef entries(self, const Py_buffer* x, int of_x, const Py_buffer* j, int of_j, Output kind, out):
        cdef Py_ssize_t nnz = x.shape[0]
        cdef Py_ssize_t own[OWN]
        cdef Py_ssize_t* at = own
        cdef FewRows task
        cdef bint inside
        if j.shape[0] != nnz or not self.takes(of_x) or (of_j != INT32 and of_j != INT64):
            return None
        if nnz > OWN:
            at = <Py_ssize_t*>PyMem_Malloc(nnz * sizeof(Py_ssize_t))
            if at == NULL:
                raise MemoryError
        try:
            if of_j == INT32:
                inside = places_of(&self.c, <const int32_t*>j.buf, 0, nnz, at)
            else:
                inside = places_of(&self.c, <const int64_t*>j.buf, 0, nnz, at)
            if not inside:
                return None
            task.n, task.x, task.at, task.nnz = 1, x.buf, at, nnz
            return self.answer(&task, of_x == DOUBLES, nnz, False, kind, out)
        finally:
            if at != own:
                PyMem_Free(at)

    cdef answer(self, FewRows* task, bint is_double, Py_ssize_t count, bint many, Output kind, out):
        """Return the output `kind` of a row, or of `many` rows, with `count` entries each."""
        cdef Py_ssize_t K = self.c.K, columns = 2 if K == 1 and kind != LOGITS else K
        task.c, task.is_double, task.first, task.stop = &self.c, is_double, 0, K
        if out is None:
            dtype = self.double_type if is_double else self.single_type
            out = self.new((task.n, columns), dtype) if many else self.new(columns, dtype)
        cdef Py_ssize_t nbytes = task.n * columns * (8 if is_double else 4)
        answer_with_room(task, kind, <void*>address(out, nbytes, True), task.n * count * K)
        return out


cdef inline void outputs_of(const real* z, real* out, Output kind, Py_ssize_t n, Py_ssize_t K,
                            real* scratch) noexcept nogil:
    """out = the output `kind` of the logits z (n, K); it may be z."""
    cdef LogitRows task
    if kind == LOGITS:
        return
    if K == 1:
        binary_outputs(z, out, kind, n)
    else:
        task.z, task.out, task.kind, task.scratch = z, out, kind, scratch
        task.K, task.first, task.stop = K, 0, n
        output_logits_range(&task, z)


cdef enum:
    NO_NUMBERS, DOUBLES, SINGLES, INT32, INT64, OTHERS


cdef int open_numbers(x, int axes, Py_buffer* view) except -1:
    """Open an aligned array in C order with 1 to `axes` axes and return its type; any other object is left unopened."""
    if not PyObject_CheckBuffer(x):
        return NO_NUMBERS
    try:
        PyObject_GetBuffer(x, view, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    except (BufferError, ValueError):
        return NO_NUMBERS
    cdef bint whole = 1 <= view.ndim <= axes and PyBuffer_IsContiguous(view, b"C")
    cdef bint plain = view.format != NULL and view.format[0] != 0 and view.format[1] == 0  # of native byte order, too
    if not whole or not plain or <Py_ssize_t>view.buf % view.itemsize:
        PyBuffer_Release(view)
        return NO_NUMBERS
    cdef char code = view.format[0]
    if code == b"d":
        return DOUBLES
    if code == b"f":
        return SINGLES
    if code == b"i" or code == b"l" or code == b"q":
        return INT32 if view.itemsize == 4 else INT64
    return OTHERS
