"""CSR rows whose stored values are all 1, such as categories or sets of words: one array of ones serves all batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from ..arrays import is_sparse

if TYPE_CHECKING:
    from typing import Any

    from ..typing import Array, Table


_shared: dict[np.dtype[Any], Array] = {}  # dtype: the longest array of ones that was asked for


def ones(count: int, dtype: np.dtype[Any]) -> Array:
    """Return ones that nobody may write to, part of an array that all have in common."""
    found = _shared.get(dtype)
    if found is None or len(found) < count:
        found = np.ones(count, dtype)
        found.flags.writeable = False
        _shared[dtype] = found
    return found[:count]


def with_shared_ones(X: Table) -> Table:
    """Return X, dense or CSR; if it is CSR and all its values are 1, with the ones that all have in common."""
    if not is_sparse(X) or not _only_ones(X.data):
        return X
    return sp.csr_array((ones(len(X.data), X.dtype), X.indices, X.indptr), shape=X.shape)


def stored_values(data: Array) -> Array:
    """Return the values of a CSR matrix as they are stored: none if all are 1."""
    return data[:0] if _only_ones(data) else data


def values_of(stored: Array, count: int) -> Array:
    """Return the values again. count: how many there are."""
    return stored if len(stored) == count else ones(count, stored.dtype)


def _only_ones(data: Array) -> bool:
    if not len(data) or data[0] != 1:
        return False
    shared = _shared.get(data.dtype)
    return (shared is not None and data.base is shared) or bool((data == 1).all())
