"""A fingerprint of a model's weights, which shows whether they have been changed without keeping a copy.

Every weight is hashed together with its position, and the hashes are added up, so the order of storage does not matter.
Two different arrays have the same sum only by chance, once in 2^64. -0.0 counts as 0.0, as in a sparse matrix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import kernels
from ..data.ranges import Ranges

if TYPE_CHECKING:
    from ..typing import Array


def fingerprint(coef: Array, intercept: Array) -> tuple[int, tuple[int, int], str, str]:
    """Return a hashable value of weights (K, d) and (K,), the same for equal weights of one dtype."""
    features = np.ascontiguousarray(coef.T).ravel()
    total = 0
    for values, start in ((features, 0), (np.ascontiguousarray(intercept), features.size)):
        for some in Ranges.by_entries(len(values), len(values)):
            total += kernels.added_hashes(values[some], start + some.start)
    return total % 2**64, coef.shape, coef.dtype.str, intercept.dtype.str
