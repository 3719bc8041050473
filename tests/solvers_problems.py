"""Problems small enough to solve to rounding, on which every solver must agree."""

import numpy as np
import scipy.sparse as sp

from objectives import objective_of


def make_objective(
    n_classes=3, *, sparse=False, dtype=np.float64, scales=None, n=80, d=6, seed=0, **arguments
):
    """An objective on noisy linear labels; ``scales`` multiplies the columns."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + 1.0
    if sparse:
        X *= rng.random(X.shape) < 0.4
    logits = X @ rng.normal(size=(d, n_classes))
    target = np.argmax(logits + 2.0 * rng.gumbel(size=logits.shape), axis=1)
    target[:n_classes] = np.arange(n_classes)
    if scales is not None:
        X = X * scales
    X = np.ascontiguousarray(X, dtype=dtype)
    X = sp.csr_array(X) if sparse else X
    return objective_of(X, target, n_classes=n_classes, binary=n_classes == 2, **arguments)
