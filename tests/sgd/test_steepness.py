"""The curvature of minibatches."""

import numpy as np
import pytest

from fastxent.reference import sigmoid, softmax
from fastxent.sgd.columns import Standard
from fastxent.sgd.options import Options
from fastxent.sgd.steepness import steepness
from fastxent.sgd.trainer import Data
from problems import STORAGES


def zeros(K):
    return lambda columns: np.zeros((len(columns) + 1, K))


def test_steepness_is_the_curvature_of_a_batch():
    """Rows that are all alike are as steep together as one of them; rows without common columns the less steep."""
    options = Options(batch=16)
    alike, apart = np.tile([1.0, 2.0, 0.0], (16, 1)), np.eye(16)
    for X, spread in ((alike, 1.0), (apart, 16.0)):
        for storage in ("C", "csr32", "csr64"):
            data = Data(options, STORAGES[storage](X), np.arange(16) % 4, 4, 4, None)
            assert steepness(data, np.arange(16), None, zeros(4)) == (0.25, spread)
    soft = np.full((16, 4), 0.1)
    soft[:, 1] = 0.7
    data = Data(options, apart, soft, 4, 4, None)
    assert steepness(data, np.arange(16), None, zeros(4)) == (0.5, 16.0)
    data = Data(options, np.zeros((16, 3)), np.arange(16) % 2, 2, 1, None)
    assert steepness(data, np.arange(16), None, zeros(1)) == (0.25, 1.0)


def hessian(X, theta):
    """Return a function of rows, in any units, for the Hessian of their mean loss by the weights, ((d K), (d K))."""
    m, d = X.shape
    K = theta.shape[1]
    Z = X @ theta[:-1] + theta[-1]
    P = sigmoid(Z) if K == 1 else softmax(Z)
    own = np.einsum("ik,kl->ikl", P, np.eye(K)) - np.einsum("ik,il->ikl", P, P)
    return lambda rows: np.einsum("ikl,ij,ih->jkhl", own, rows, rows).reshape(d * K, d * K) / m


@pytest.mark.parametrize("K", [1, 4])
@pytest.mark.parametrize("storage", ["C", "csr32"])
@pytest.mark.parametrize("in_units", [False, True])
def test_steepness_is_that_of_the_present_weights_in_the_present_units(in_units, storage, K):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 9)) * (rng.random((60, 9)) < 0.6)
    X[:, 4] = 0.0
    y, theta = np.arange(60) % max(K, 2), rng.normal(size=(10, K))
    standard, own = None, X
    if in_units:
        standard = Standard(np.where(np.arange(9) < 5, 0.5, 0.0), 2.0 ** (np.arange(9) % 3))
        own = (X - standard.shift) * standard.factor
    data = Data(Options(batch=40), STORAGES[storage](X), y, max(K, 2), K, None)
    share, spread = steepness(data, np.arange(40), standard, lambda columns: theta[[*columns, 9]])
    largest = np.linalg.eigvalsh(hessian(X[:40], theta)(own[:40]))[-1]
    found = share * (own[:40] ** 2).sum(axis=1).mean() / spread
    assert 0.75 * largest < found < 1.06 * largest  # a few steps of power iteration, and two digits
    assert share == (0.25 if K == 1 else 10 / 40)


def test_certain_rows_are_flat():
    X = np.eye(16)
    data = Data(Options(batch=16), X, np.arange(16) % 2, 2, 1, None)
    spreads = [
        steepness(data, np.arange(16), None, lambda columns, w=w: np.full((17, 1), w))[1]
        for w in (0.0, 2.0, 1e3)
    ]
    assert spreads[0] < spreads[1] < spreads[2] < np.inf
