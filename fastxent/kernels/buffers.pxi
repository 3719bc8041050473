# Work arrays. Their address decides whether a load crosses a cache line.

CACHE_LINE = 64


def to_cache_line(x):
    """How many bytes there are from the start of x, a contiguous array, to the next cache line."""
    return -<Py_ssize_t>address(x, 0, False) & 63
