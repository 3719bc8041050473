"""Rows in an order that depends on what they hold, not on where they stand.

A shuffled training draws its random orders from this one. So the model does not depend on how a table was sorted, nor
on whether it was dense or sparse; and a row of weight 3 that is visited three times leads to the bits of three equal
rows.
"""

import numpy as np

from .compile import jit

# Odd numbers without a pattern (fractions of the golden ratio and of roots of 2 and 3), for multiplicative hashing
# modulo 2^64: Knuth, The Art of Computer Programming, volume 3, section 6.4.
_COLUMN, _VALUE, _TARGET = map(np.uint64, (0x9E3779B97F4A7C15, 0x6A09E667F3BCC909, 0xBB67AE8584CAA73B))
_HALF = np.uint64(29)


def by_content(X, target, rows):
    """The numbers `rows`, sorted by a hash of the rows' features and targets."""
    n = X.shape[0]
    if target.ndim == 1:  # as the soft labels that say the same
        target = (np.ones(n, X.dtype), target, np.arange(n + 1))
    keys = _keys(X) + _TARGET * _keys(target)
    return rows[np.argsort(keys[rows])]


def _keys(X):
    """A number for each row, the same for equal rows in any storage."""
    if isinstance(X, np.ndarray):
        return dense_keys(X.view(np.ndarray), _bits(X))
    parts = X if isinstance(X, tuple) else (X.data, X.indices, X.indptr)
    return sparse_keys(*(part.view(np.ndarray) for part in parts), _bits(parts[0]))


def _bits(values):
    return values.view(np.ndarray).view(np.uint64 if values.itemsize == 8 else np.uint32)


@jit
def _entry(value, bits, j):
    """What an entry adds to the key of its row: nothing if it is zero."""
    mixed = (np.uint64(bits) ^ (np.uint64(j + 1) * _COLUMN)) * _VALUE
    return (mixed ^ (mixed >> _HALF)) * np.uint64(value != 0)


@jit
def dense_keys(X, bits):
    """Keys of dense rows."""
    keys = np.zeros(X.shape[0], np.uint64)
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            keys[i] += _entry(X[i, j], bits[i, j], j)
    return keys


@jit
def sparse_keys(data, indices, indptr, bits):
    """Keys of CSR rows."""
    keys = np.zeros(len(indptr) - 1, np.uint64)
    for i in range(len(indptr) - 1):
        for p in range(indptr[i], indptr[i + 1]):
            keys[i] += _entry(data[p], bits[p], indices[p])
    return keys
