"""A fingerprint of a model's weights, which shows whether they have been changed without keeping a copy.

Every weight is hashed together with its position, and the hashes are added up, so the order of storage does not matter.
Two different arrays have the same sum only by chance, once in 2^64. -0.0 counts as 0.0, as in a sparse matrix.
"""

import numpy as np

from ..data.ranges import Ranges
from .compile import jit

# The finaliser of SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
_PLACE, _FIRST, _SECOND = map(np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_BY_30, _BY_27, _BY_31, _ONE = map(np.uint64, (30, 27, 31, 1))


def fingerprint(coef, intercept):
    """Return a hashable value of weights (K, d) and (K,), the same for equal weights of one dtype."""
    features = np.ascontiguousarray(coef.T).ravel()
    total = 0
    with np.errstate(over="ignore"):  # modulo 2^64; without Numba, NumPy would warn
        for values, start in ((features, 0), (np.ascontiguousarray(intercept), features.size)):
            bits = values.view(np.uint64 if values.itemsize == 8 else np.uint32)
            for some in Ranges.by_entries(len(values), len(values)):
                total += int(added_hashes(values[some], bits[some], np.uint64(start + some.start)))
    return total % 2**64, coef.shape, coef.dtype.str, intercept.dtype.str


@jit
def added_hashes(values, bits, start):
    total = np.uint64(0)
    for i in range(len(values)):
        mixed = np.uint64(bits[i]) * np.uint64(values[i] != 0) + (start + np.uint64(i) + _ONE) * _PLACE
        mixed = (mixed ^ (mixed >> _BY_30)) * _FIRST
        mixed = (mixed ^ (mixed >> _BY_27)) * _SECOND
        total += mixed ^ (mixed >> _BY_31)
    return total
