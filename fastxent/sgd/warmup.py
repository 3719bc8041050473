"""Compile the loops in advance, so that fits do not wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from .options import Options
from .trainer import Data, Training

if TYPE_CHECKING:
    from collections.abc import Iterator


def warm_up() -> Iterator[str]:
    """Fill Numba's cache; yields a line after each compilation. No loop depends on the type of the data."""
    X, y, order = np.eye(4, 5), np.arange(4) % 3, np.arange(4)
    for line, optimizer, rows in (
        ("sgd by rows, and on sparse data", "sgd", X),
        ("other optimisers, and minibatches, on dense data", "adamw", X),
        ("other optimisers on sparse data", "adamw", sp.csr_array(X)),
        ("svrg", "svrg", X),
    ):
        options = Options(optimizer=optimizer, eta0=0.1)
        Training(options, np.zeros((6, 3))).run(Data(options, rows, y, 3, 3, None), order)
        yield line
    Training(Options(batch=0, eta0=0.1), np.zeros((6, 3))).step(np.ones((6, 3)))
    yield "full batches"
