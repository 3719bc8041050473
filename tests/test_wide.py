"""Models so wide that all threads share one gradient."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from fastxent import kernels
from fastxent.data.targets import Targets
from fastxent.loss import Part
from fastxent.wide import WideModel, WideSparseModel
from problems import DTYPES


def part(X, K, n_threads):
    rng = np.random.default_rng(0)
    target, weight = rng.integers(K, size=X.shape[0], dtype=np.intp), rng.random(X.shape[0])
    return Part(X, Targets(target, K, weight), K, n_threads=n_threads)


@pytest.fixture(params=["dense", "csr"])
def rows(request):
    rng = np.random.default_rng(1)
    if request.param == "dense":
        return rng.standard_normal((250, 300))
    return sp.random(5000, 3000, 0.01, format="csr", random_state=1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_shared_gradient_is_that_of_separate_ones(rows, dtype, monkeypatch):
    X, K = rows.astype(dtype), 130
    theta, v = (0.1 * np.random.default_rng(2).standard_normal((2, X.shape[1] + 1, K))).astype(dtype)
    plain = part(X, K, 1)
    assert plain._wide is None
    monkeypatch.setattr("fastxent.data.rows._GRADIENTS_MEMORY", 1)
    monkeypatch.setattr("fastxent.data.rows.MIN_RANGE", 1)
    results = []
    for n_threads in (1, 2, 5):
        wide = part(X, K, n_threads)
        assert isinstance(wide._wide, WideModel if isinstance(X, np.ndarray) else WideSparseModel)
        value, gradient = wide.loss_and_grad(theta)
        assert wide.loss(theta) == value
        products = [wide.hessp(theta, v)[1] for _ in range(3)]  # the later ones by stored probabilities
        results.append([value, gradient, *products, wide.row_losses(theta)])
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            assert_array_equal(one, other)
    value, gradient = plain.loss_and_grad(theta)
    rtol = 20 * float(np.finfo(dtype).eps)
    assert results[0][0] == pytest.approx(value, rel=rtol)
    assert_allclose(results[0][1], gradient, rtol=rtol, atol=rtol * np.abs(gradient).max())
    product = plain.hessp(theta, v)[1]
    for found in results[0][2:5]:
        assert_allclose(found, product, rtol=rtol, atol=rtol * np.abs(product).max())


def test_threads_take_classes_of_many_sparse_rows(monkeypatch):
    """The gradient of a wide sparse model keeps all threads busy: every one of them adds some classes."""
    K = 57
    X = sp.random(3000, 2000, 0.02, format="csr", random_state=0)
    monkeypatch.setattr("fastxent.data.rows._GRADIENTS_MEMORY", 1)
    monkeypatch.setattr("fastxent.data.rows.MIN_RANGE", 1)
    wide = part(X, K, 3)
    calls = []
    add = kernels.LinearSoftmax.add_kept

    class Spy:
        def __getattr__(self, name):
            return getattr(rows, name)

        def add_kept(self, kept, scratch, first, stop, gradient, k0, k1):
            calls.append((first, k0, k1))
            return add(rows, kept, scratch, first, stop, gradient, k0, k1)

    rows, wide._wide._rows = wide._wide._rows, Spy()
    wide.loss_and_grad(np.zeros((2001, K)))
    shares = sorted((k0, k1) for first, k0, k1 in calls if first == 0)
    assert len(shares) == 3
    assert shares[0][0] == 0 and shares[-1][1] == K
