"""An order of the rows that depends on their content, not on their position.

A shuffled training shuffles this order. So the model does not depend on how a table is sorted, or on whether it is
dense or sparse. A row of weight 3, visited three times, gives the same bits as three equal rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import kernels
from ..data.ranges import Ranges
from ..data.rows import features_of

if TYPE_CHECKING:
    from typing import Any

    from ..typing import Array, Table

_COLUMN, _VALUE, _TARGET = map(
    np.uint64, (kernels.HASH_OF_COLUMN, kernels.HASH_OF_VALUE, kernels.HASH_OF_TARGET)
)
_HALF, _ONE = np.uint64(29), np.uint64(1)


def by_content(X: Table, target: Array, rows: Array) -> Array:
    """Return the row numbers `rows`, sorted by a hash of the rows' features and targets."""
    with np.errstate(over="ignore"):  # modulo 2^64; without Numba, NumPy would warn
        keys = _keys(X) + _TARGET * (_keys_of_codes(target, X.dtype) if target.ndim == 1 else _keys(target))
    return rows[np.argsort(keys[rows])]


def _keys_of_codes(codes: Array, dtype: np.dtype[Any]) -> Array:
    """Return the keys of the equivalent soft labels: rows with a 1 in one column."""
    mixed = (_bits(np.ones(1, dtype)).astype(np.uint64) ^ (codes.astype(np.uint64) + _ONE) * _COLUMN) * _VALUE
    return mixed ^ (mixed >> _HALF)


def _keys(X: Table) -> Array:
    """Return a key for each row, the same for equal rows in any storage."""
    features, keys = features_of(X), np.empty(X.shape[0], np.uint64)
    for some in Ranges.by_entries(len(keys), X.size):
        features.keys(some.start, some.stop, keys)
    return keys


def _bits(values: Array) -> Array:
    return values.view(np.ndarray).view(np.uint64 if values.itemsize == 8 else np.uint32)
