"""The order of rows by what they hold, and what follows from it for models."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from fastxent import SGDClassifier
from fastxent.sgd.order import by_content


def rows(dtype=np.float64, n=60, d=7, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 3, size=(n, d)).astype(dtype)
    return X, rng.integers(0, 3, n)


def stored(X):
    A = sp.csr_array(X)
    wide = sp.csr_array((A.data, A.indices.astype(np.int64), A.indptr.astype(np.int64)), shape=A.shape)
    wide.indices, wide.indptr = A.indices.astype(np.int64), A.indptr.astype(np.int64)
    zeros = sp.csr_array(
        (X.ravel(), np.tile(np.arange(X.shape[1]), len(X)), np.arange(0, X.size + 1, X.shape[1]))
    )
    return [X, np.asfortranarray(X), A, wide, zeros]  # the last with explicit zeros


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_order_is_that_of_the_content(dtype):
    X, y = rows(dtype)
    X, where = np.unique(np.column_stack([X, y]), axis=0, return_index=True)  # no two equal rows
    X, y = np.ascontiguousarray(X[:, :-1], dtype), y[where]
    everything = np.arange(len(y))
    order = by_content(X, y, everything)
    assert_array_equal(np.sort(order), everything)
    assert not np.array_equal(order, everything)
    shuffled = np.random.default_rng(1).permutation(len(y))
    negative = np.where(X == 0, dtype(-0.0), X)
    for Z in [*stored(X), *stored(negative)[:2]]:
        assert_array_equal(by_content(Z, y, everything), order)
        assert_array_equal(shuffled[by_content(Z[shuffled], y[shuffled], everything)], order)
    assert_array_equal(by_content(X, np.eye(3, dtype=dtype)[y], everything), order)
    some = everything[::3]
    assert_array_equal(by_content(X, y, some), order[np.isin(order, some)])


def test_labels_and_columns_count():
    X = np.zeros((6, 3))
    X[0, 0] = X[1, 1] = X[2, 2] = (
        1.0  # one value in three columns, and three rows that differ by labels alone
    )
    y = np.array([0, 0, 0, 0, 1, 2])
    turned = [np.roll(np.arange(6), k) for k in range(6)]
    orders = {tuple(by_content(X[p], y[p], np.arange(6)).tolist()) for p in turned}
    assert len(orders) == 6  # a tie would keep the rows' places


@pytest.fixture(params=[{}, {"batch_size": 7}, {"optimizer": "adamw"}, {"optimizer": "svrg"}], ids=str)
def settings(request):
    return {"max_iter": 3, "tol": None, "random_state": 0, **request.param}


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
def test_rows_in_another_order_make_the_same_model(settings, storage):
    X, y = rows()
    weight = np.random.default_rng(2).uniform(size=60)
    X = X + np.arange(60)[:, None] / 64  # no two equal rows: they would differ in weight
    shuffled = np.random.default_rng(1).permutation(len(y))
    one = SGDClassifier(**settings).fit(storage(X), y, sample_weight=weight)
    other = SGDClassifier(**settings).fit(storage(X[shuffled]), y[shuffled], sample_weight=weight[shuffled])
    if settings.get("optimizer") == "svrg":  # sums over all rows are in the rows' order
        np.testing.assert_allclose(one.coef_, other.coef_, rtol=1e-11, atol=1e-13)
    else:
        assert_array_equal(one.coef_, other.coef_)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_whole_weights_are_repeated_rows(settings, class_weight):
    X, y = rows()
    weight = np.random.default_rng(2).integers(0, 4, len(y)).astype(float)
    repeated = np.repeat(np.arange(len(y)), weight.astype(int))
    model = SGDClassifier(class_weight=class_weight, **settings)
    one = model.fit(X, y, sample_weight=weight).coef_
    other = model.fit(X[repeated], y[repeated]).coef_
    assert model.t_ == 3 * -(-len(repeated) // settings.get("batch_size", 1))
    if settings.get("optimizer") == "svrg" or class_weight:  # weights are sums in the rows' order
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)
    else:
        assert_array_equal(one, other)


@pytest.mark.parametrize("weight", [0.5, 20.0], ids=["fractions", "too long an epoch"])
def test_other_weights_make_longer_steps(weight):
    X, y = rows()
    model = SGDClassifier(max_iter=2, tol=None, random_state=0).fit(
        X, y, sample_weight=np.full(len(y), weight)
    )
    assert model.t_ == 2 * len(y)
