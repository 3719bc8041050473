# How much work is taken at a time: every block, panel and distance of a prefetch that depends on the caches, as a
# formula of them. The sizes are set once, at import (caches.py). Results depend on them in their last digits, because
# they decide where partial sums begin.

cdef struct Caches:
    Py_ssize_t first               # bytes of the first-level data cache
    Py_ssize_t second              # bytes of the second-level cache
    Py_ssize_t third               # of no formula yet

cdef Caches caches
caches.first, caches.second, caches.third = 49152, 1048576, 33554432


def set_caches(Py_ssize_t first, Py_ssize_t second, Py_ssize_t third):
    """Set the sizes of the caches in bytes, before rows are bound."""
    caches.first, caches.second, caches.third = first, second, third


def cache_sizes():
    """Return the bytes of the three levels."""
    return caches.first, caches.second, caches.third


cdef inline Py_ssize_t first_level() noexcept nogil:
    """The size that the formulas use."""
    return clamp(caches.first, 16384, 131072)


cdef inline Py_ssize_t second_level() noexcept nogil:
    """The size that the formulas use. Larger blocks than for 1 MB were not faster in a cache of 2 MB, and larger caches
    are shared by several cores."""
    return clamp(caches.second, 131072, 1048576)


cdef inline Py_ssize_t panel_features() noexcept nogil:
    """Features of a panel of CLASSES: four registers of 64 bytes wide, it fills two thirds of the first level."""
    return clamp(2 * first_level() // 3 // (4 * 64) // 8 * 8, 32, 256)


cdef inline Py_ssize_t piece_bytes() noexcept nogil:
    """Bytes of weights that a loop over rows uses again and again, half of the first level: a piece of the features of
    the dot tile, or the weights of a row's features that are prefetched all at once."""
    return first_level() // 2


cdef inline Py_ssize_t prefetched_bytes() noexcept nogil:
    """Bytes of weights that a sparse loop prefetches: a third of the first level."""
    return first_level() // 3


cdef inline Py_ssize_t far_bytes() noexcept nogil:
    """Bytes of weights from which it does: half of the second level."""
    return second_level() // 2


cdef inline Py_ssize_t sparse_logits_bytes() noexcept nogil:
    """Bytes of the logits of a block of sparse rows: two thirds of the first level."""
    return 2 * first_level() // 3


cdef inline Py_ssize_t tile_bytes() noexcept nogil:
    """Bytes of the weights of a block of columns, which fill the second level, and of the logits of a strip of sparse
    rows, which pass by: the more rows, the more of them use a row of the weights while it is there."""
    return clamp(caches.second, 131072, 2097152)


cdef inline Py_ssize_t block_bytes() noexcept nogil:
    """Bytes of a block of dense rows: two blocks, and what else they need, fit the second level."""
    return second_level() // 4


cdef inline Py_ssize_t logits_bytes() noexcept nogil:
    """Bytes of the logits of a block of CLASSES: at most the second level."""
    return second_level()


cdef inline Py_ssize_t blas_logits_bytes() noexcept nogil:
    """The same if BLAS multiplies, which gains more by more rows than it loses by farther logits."""
    return 4 * second_level()
