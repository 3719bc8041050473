"""Arrays like the weights in the kernels' layouts, alone and side by side."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from fastxent.sgd import layouts
from fastxent.sgd.options import Options
from fastxent.sgd.trainer import Data, Training

TOGETHER = (False, 12, 60, 76, False, True, 3)  # five features of four weights, in three arrays side by side


def test_arrays_side_by_side_do_not_overlap():
    rng = np.random.default_rng(0)
    thetas = {name: rng.normal(size=(6, 3)) for name in ("w", "a", "b", "average")}
    arrays = layouts.empty(thetas, TOGETHER, np.float64)
    for name, theta in thetas.items():
        layouts.fill(arrays[name], theta, layouts.layout_of(name, TOGETHER), 7.0 if name == "b" else 0.0)
    alone = layouts.apart(TOGETHER)
    assert alone == (False, 4, 20, 24, False, True, 1)
    assert layouts.are_alike(alone, TOGETHER)
    moved = layouts.moved(arrays, TOGETHER, alone)
    back = layouts.moved(moved, alone, TOGETHER)
    for name, theta in thetas.items():
        own = layouts.layout_of(name, TOGETHER)
        assert_array_equal(layouts.unflat(arrays[name], own, theta.shape), theta)
        assert_array_equal(layouts.unflat(moved[name], alone, theta.shape), theta)
        assert_array_equal(layouts.unflat(back[name], own, theta.shape), theta)
    assert_array_equal(moved["b"][:20].reshape(5, 4)[:, 3], 7.0)
    assert np.shares_memory(arrays["w"], arrays["b"])
    assert not np.shares_memory(arrays["w"], arrays["average"])
    assert len(arrays["average"]) == alone[3]  # nothing stands beside it


@pytest.mark.parametrize("optimizer", ["momentum", "adagrad", "adam", "ftrl"])
def test_a_copy_or_a_file_goes_on_with_the_same_bits(optimizer):
    rng = np.random.default_rng(0)
    X = sp.csr_array(rng.normal(size=(60, 40)) * (rng.random((60, 40)) < 0.1))
    y, order = rng.integers(0, 3, 60), rng.permutation(60)
    options = Options(optimizer, l2=0.01, eta0=0.05, batch=4, average_from=2)
    whole = Training(options, np.zeros((41, 3)))
    data = Data(options, X, y, 3, 3, None)
    whole.run(data, order[:32])
    others = whole.copy(), pickle.loads(pickle.dumps(whole))
    for training in (whole, *others):
        training.run(data, order[32:])
    for other in others:
        assert_array_equal(other.theta(), whole.theta())
        assert_array_equal(other.weights(), whole.weights())


def test_a_file_has_each_array_once():
    X, y = sp.csr_array(np.eye(400)), np.arange(400) % 3
    options = Options("adam", eta0=0.05)
    training = Training(options, np.zeros((401, 3)))
    training.run(Data(options, X, y, 3, 3, None), np.arange(400))
    assert len(pickle.dumps(training._arrays)) > 2 * len(pickle.dumps(training.__getstate__()["_arrays"]))
