# From Python to a kernel: the element types that kernels are compiled for, the choice among them, and the checks of
# buffers and ranges that come before it.
#
# A kernel is a fused function of a task, a struct of its own, and of NULL pointers that only carry types. `dispatch`
# and its two relatives call the one of its specialisations that fits the data. Cython finds each specialisation by the
# type of the parameter, so the kernel's name is written once for each.

ctypedef fused real:
    double
    float

ctypedef fused other:      # the type of parameters or results, which may differ from that of the data
    double
    float

ctypedef fused index:
    int32_t
    int64_t

ctypedef void (*F64)(void*, const double*) noexcept nogil
ctypedef void (*F32)(void*, const float*) noexcept nogil
ctypedef void (*F64F64)(void*, const double*, const double*) noexcept nogil
ctypedef void (*F64F32)(void*, const double*, const float*) noexcept nogil
ctypedef void (*F32F64)(void*, const float*, const double*) noexcept nogil
ctypedef void (*F32F32)(void*, const float*, const float*) noexcept nogil
ctypedef void (*F64I32)(void*, const double*, const int32_t*) noexcept nogil
ctypedef void (*F64I64)(void*, const double*, const int64_t*) noexcept nogil
ctypedef void (*F32I32)(void*, const float*, const int32_t*) noexcept nogil
ctypedef void (*F32I64)(void*, const float*, const int64_t*) noexcept nogil


cdef inline void dispatch(bint is_double, void* task, F64 f64, F32 f32) noexcept nogil:
    """Call the kernel for the precision of the data."""
    if is_double:
        f64(task, NULL)
    else:
        f32(task, NULL)


cdef inline void dispatch_index(bint is_double, bint is_wide, void* task, F64I32 f64i32, F64I64 f64i64, F32I32 f32i32,
                                F32I64 f32i64) noexcept nogil:
    """The same for CSR and CSC data, with indices of 32 bits, or wide ones of 64."""
    if is_double and is_wide:
        f64i64(task, NULL, NULL)
    elif is_double:
        f64i32(task, NULL, NULL)
    elif is_wide:
        f32i64(task, NULL, NULL)
    else:
        f32i32(task, NULL, NULL)


cdef inline void dispatch_other(bint is_double, bint other_is_double, void* task, F64F64 f64f64, F64F32 f64f32,
                                F32F64 f32f64, F32F32 f32f32) noexcept nogil:
    """The same for data of one precision and parameters or results of another."""
    if is_double and other_is_double:
        f64f64(task, NULL, NULL)
    elif is_double:
        f64f32(task, NULL, NULL)
    elif other_is_double:
        f32f64(task, NULL, NULL)
    else:
        f32f32(task, NULL, NULL)


cdef const char* address(array, Py_ssize_t nbytes, bint writable, bint any_order=False) except? NULL:
    """Return the address of an array in C order (or any_order) after checking that it has at least nbytes."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, (PyBUF_ANY_CONTIGUOUS if any_order else PyBUF_C_CONTIGUOUS)
                       | (PyBUF_WRITABLE if writable else 0))
    cdef const char* start = <const char*>view.buf
    cdef Py_ssize_t length = view.len
    PyBuffer_Release(&view)
    if length < nbytes:
        raise ValueError(f"a buffer of {length} bytes came where {nbytes} are needed")
    return start


cdef const double* doubles(array, Py_ssize_t count) except? NULL:
    """The same for `count` float64."""
    return <const double*>address(array, count * sizeof(double), False)


cdef double* doubles_out(array, Py_ssize_t count) except? NULL:
    """The same, for writing."""
    return <double*>address(array, count * sizeof(double), True)


cdef int check_range(Py_ssize_t first, Py_ssize_t stop, Py_ssize_t n) except -1:
    if not 0 <= first <= stop <= n:
        raise IndexError(f"range {first}..{stop} does not lie within 0..{n}")
    return 0
