"""The curvature of minibatches."""

import numpy as np

from fastxent.sgd.options import Options
from fastxent.sgd.steepness import steepness
from fastxent.sgd.trainer import Data
from problems import STORAGES


def test_steepness_is_the_curvature_of_a_batch():
    """Rows that are all alike are as steep together as one of them; rows without common columns the less steep."""
    options = Options(batch=16)
    alike, apart = np.tile([1.0, 2.0, 0.0], (16, 1)), np.eye(16)
    for X, spread in ((alike, 1.0), (apart, 16.0)):
        for storage in ("C", "csr32", "csr64"):
            data = Data(options, STORAGES[storage](X), np.arange(16) % 4, 4, 4, None)
            assert steepness(data, np.arange(16), None, 4) == (0.25, spread)
    soft = np.full((16, 4), 0.1)
    soft[:, 1] = 0.7
    data = Data(options, apart, soft, 4, 4, None)
    assert steepness(data, np.arange(16), None, 4) == (0.5, 16.0)
    data = Data(options, np.zeros((16, 3)), np.arange(16) % 2, 2, 1, None)
    assert steepness(data, np.arange(16), None, 1) == (0.25, 1.0)
