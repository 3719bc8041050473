"""Compile the loops for the most common combinations in advance, so that fits do not wait for it."""

import itertools

import numpy as np
import scipy.sparse as sp

from .fingerprint import fingerprint
from .options import Options
from .order import by_content
from .trainer import Data, Training


def warm_up():
    """Fill Numba's cache; yields a line after each compilation."""
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(8, 5))
    y = np.arange(8) % 3
    for dtype, storage in itertools.product((np.float64, np.float32), ("dense", "sparse")):
        X = dense.astype(dtype)
        X = X if storage == "dense" else sp.csr_array(X)
        by_content(X, y, np.arange(8))
        for optimizer, batch in (("sgd", 1), ("sgd", 4), ("adamw", 1), ("adamw", 4)):
            options = Options(optimizer=optimizer, batch=batch, l1=0.01, l2=0.01)
            training = Training(options, np.zeros((6, 3), dtype))
            training.run(Data(options, X, y, 3, 3, None), np.arange(8))
            training.theta()
            yield f"{optimizer}, batches of {batch}, {storage}, {np.dtype(dtype).name}"
    for dtype in (np.float64, np.float32):
        fingerprint(np.ones((3, 5), dtype), np.ones(3, dtype))
        training = Training(Options(batch=0, eta0=0.1), np.zeros((6, 3), dtype))
        training.step(np.ones((6, 3)))
        yield f"full batches, {np.dtype(dtype).name}"
