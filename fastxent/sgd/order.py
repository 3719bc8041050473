"""An order of the rows that depends on their content, not on their position.

A shuffled training shuffles this order. So the model does not depend on how a table is sorted, or on whether it is
dense or sparse. A row of weight 3, visited three times, gives the same bits as three equal rows.
"""

import numpy as np

from ..data.ranges import Ranges
from .compile import jit

# Odd numbers without a pattern (fractions of the golden ratio and of roots of 2 and 3), for multiplicative hashing
# modulo 2^64: Knuth, The Art of Computer Programming, volume 3, section 6.4.
_COLUMN, _VALUE, _TARGET = map(np.uint64, (0x9E3779B97F4A7C15, 0x6A09E667F3BCC909, 0xBB67AE8584CAA73B))
_HALF, _ONE = np.uint64(29), np.uint64(1)


def by_content(X, target, rows):
    """Return the row numbers `rows`, sorted by a hash of the rows' features and targets."""
    with np.errstate(over="ignore"):  # modulo 2^64; without Numba, NumPy would warn
        keys = _keys(X) + _TARGET * (_keys_of_codes(target, X.dtype) if target.ndim == 1 else _keys(target))
    return rows[np.argsort(keys[rows])]


def _keys_of_codes(codes, dtype):
    """Return the keys of the equivalent soft labels: rows with a 1 in one column."""
    mixed = (_bits(np.ones(1, dtype)).astype(np.uint64) ^ (codes.astype(np.uint64) + _ONE) * _COLUMN) * _VALUE
    return mixed ^ (mixed >> _HALF)


def _keys(X):
    """Return a key for each row, the same for equal rows in any storage."""
    if isinstance(X, np.ndarray):
        X, bits = X.view(np.ndarray), _bits(X)
        keys = np.empty(X.shape[0], np.uint64)
        for some in Ranges.by_entries(X.shape[0], X.size):
            dense_keys(X[some], bits[some], keys[some])
        return keys
    data, indices, indptr = (part.view(np.ndarray) for part in (X.data, X.indices, X.indptr))
    keys, bits = np.empty(len(indptr) - 1, np.uint64), _bits(data)
    for some in Ranges.by_entries(len(keys), len(data)):
        sparse_keys(data, indices, indptr[some.start : some.stop + 1], bits, keys[some])
    return keys


def _bits(values):
    return values.view(np.ndarray).view(np.uint64 if values.itemsize == 8 else np.uint32)


@jit
def _entry(value, bits, j):
    """Return an entry's contribution to the key of its row: zero if the entry is zero."""
    mixed = (np.uint64(bits) ^ (np.uint64(j + 1) * _COLUMN)) * _VALUE
    return (mixed ^ (mixed >> _HALF)) * np.uint64(value != 0)


@jit
def dense_keys(X, bits, keys):
    for i in range(X.shape[0]):
        total = np.uint64(0)
        for j in range(X.shape[1]):
            total += _entry(X[i, j], bits[i, j], j)
        keys[i] = total


@jit
def sparse_keys(data, indices, indptr, bits, keys):
    for i in range(len(indptr) - 1):
        total = np.uint64(0)
        for p in range(indptr[i], indptr[i + 1]):
            total += _entry(data[p], bits[p], indices[p])
        keys[i] = total
