"""How steep the mean loss of a minibatch can be, which limits its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from ..typing import Array
    from .columns import Standard
    from .trainer import Data


_ROWS_TOGETHER, _ENTRIES_TOGETHER = 128, 4_000_000  # that `steepness` looks at


def steepness(data: Data, rows: Array, standard: Standard | None, K: int) -> tuple[float, float]:
    """Return the size of a batch's curvature, in the steepest direction, as a bound of two factors.

    The first comes from the classes: the share of the most frequent one, and 1/2 at most, since p_k (1 - p_k) is about
    that where the mean of p_k is; a sigmoid has 1/4. The second, which is inverted, is the largest eigenvalue of the
    rows' mean x x^T over their mean |x|^2: 1 if all rows are alike, and the less the less they have in common. Some of
    the rows do. BLAS rounds as its threads are many, so two digits must do.
    """
    rows = rows[: max(2, min(_ROWS_TOGETHER, _ENTRIES_TOGETHER // max(1, data.width)))]
    if not data.is_sparse:
        X = data.X[rows].astype(np.float64)
    else:
        values, indices, indptr = data.X.data, data.X.indices, data.X.indptr
        places = np.concatenate([np.arange(indptr[i], indptr[i + 1]) for i in rows])
        ends = np.cumsum(indptr[rows + 1] - indptr[rows])
        X = sp.csr_array(
            (values[places].astype(np.float64), indices[places], np.append(0, ends)), (len(rows), data.width)
        ).toarray()
    if standard is not None:
        X = (X - standard.shift) * standard.factor
    X /= np.abs(X).max(initial=0.0) or 1.0
    inner = X @ X.T
    total = np.trace(inner)
    spread = total / np.linalg.eigvalsh(inner)[-1] if total > 0.0 else 1.0
    target = data.target[rows]
    mass = np.bincount(target) if target.ndim == 1 else target.sum(axis=0)
    share = 0.25 if K == 1 else min(0.5, float(mass.max()) / len(rows))
    return max(share, 1e-3), float(f"{spread:.2g}")
