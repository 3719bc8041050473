"""Predictors: bits of the estimators', from any kind of row; what is refused; pickles, threads and forks."""

import copy
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.sparse as sp

from fastxent import LogisticRegression, LogisticRegressionCV, SGDClassifier
from fastxent.predictor import Predictor
from problems import DTYPES

SHAPES = [(1, 2), (4, 2), (7, 3), (64, 10), (33, 16), (300, 57), (40, 130), (900, 130)]  # features, classes


def model_of(rng, d, K, dtype, order="F"):
    """An estimator whose attributes were set by hand."""
    model = LogisticRegression()
    rows = 1 if K == 2 else K
    model.classes_ = np.array([f"class {k}" for k in range(K)])
    model.n_features_in_ = d
    model.coef_ = np.asarray(rng.standard_normal((rows, d)).astype(dtype), order=order)
    model.intercept_ = rng.standard_normal(rows).astype(dtype)
    return model


def entries_of(rng, d, dtype, index=np.int32):
    """The columns and values of a sparse row, in no order, one of them twice."""
    columns = rng.choice(d, max(1, d // 3), replace=False).astype(index)
    columns = np.append(columns, columns[0])
    return columns, rng.standard_normal(len(columns)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("of_rows", DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("d", "K"), SHAPES)
def test_bits_are_those_of_the_estimator(d, K, order, of_rows, dtype):
    rng = np.random.default_rng([d, K])
    model = model_of(rng, d, K, dtype, order)
    p = model.predictor()
    X = rng.standard_normal((40, d)).astype(of_rows)
    columns, values = entries_of(rng, d, of_rows, np.int64 if order == "C" else np.int32)
    S = sp.csr_matrix((values, columns, [0, len(values)]), shape=(1, d))
    for answer, method in ((p, model.predict_proba), (p.log_proba, model.predict_log_proba)):
        for row in X[:5]:
            one = answer(row)
            np.testing.assert_array_equal(one, method(row[np.newaxis])[0], strict=True)
            out = np.empty_like(one)
            assert answer(row, out=out) is out
            np.testing.assert_array_equal(out, one)
        for rows in (X[:3], X, np.asfortranarray(X), sp.csr_array(X)):
            got = answer(rows)
            np.testing.assert_array_equal(got, method(rows), strict=True)
            np.testing.assert_array_equal(answer(rows, out=np.empty_like(got)), got)
        np.testing.assert_array_equal(answer(columns, values), method(S)[0], strict=True)
    assert p.predict(X[0]) == model.predict(X[:1])[0]
    assert p.predict(columns, values) == model.predict(S)[0]
    np.testing.assert_array_equal(p.predict(X), model.predict(X))


def test_every_estimator_has_one():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    y = np.repeat([2, 5, 7], 20)
    X[y == 5] += 3
    for model in (
        LogisticRegression(),
        LogisticRegressionCV(Cs=2, cv=2, l1_ratios=(0,), use_legacy_attributes=False),
        SGDClassifier(max_iter=5, tol=None),
    ):
        p = model.fit(X, y).predictor()
        np.testing.assert_array_equal(p(X[0]), model.predict_proba(X[:1])[0])
        np.testing.assert_array_equal(p.classes, [2, 5, 7])
        assert (p.n_features, p.dtype) == (3, np.float64)
    p = SGDClassifier(max_iter=5, tol=None).fit(sp.csr_matrix(X), y).sparsify().predictor()
    assert p(X[0]).shape == (3,)


def test_it_stays_as_it_is_when_the_model_changes():
    model = model_of(np.random.default_rng(0), 5, 3, np.float64)
    p, x = model.predictor(), np.ones(5)
    before = p(x)
    model.coef_[:] = 7
    model.intercept_[:] = 1
    model.classes_[:] = "other"
    np.testing.assert_array_equal(p(x), before)
    assert p.predict(x).startswith("class")
    for change in (
        lambda: setattr(p, "classes", 1),
        lambda: setattr(p, "anything", 1),
        lambda: delattr(p, "_coef"),
    ):
        with pytest.raises(AttributeError, match="cannot be changed"):
            change()
    with pytest.raises(ValueError, match="read-only"):
        p.classes[0] = "other"


@pytest.mark.parametrize("K", [2, 3, 12])
def test_the_best_classes(K):
    rng = np.random.default_rng(K)
    p = model_of(rng, 6, K, np.float64).predictor()
    X = rng.standard_normal((4, 6))
    proba = p(X)
    for k in (1, 2, K):
        labels, best = p.top(X, k)
        assert labels.shape == best.shape == (4, k)
        np.testing.assert_array_equal(best, -np.sort(-proba, axis=1)[:, :k])
        np.testing.assert_array_equal(labels[:, 0], p.predict(X))
        one_labels, one = p.top(X[0], k)
        np.testing.assert_array_equal(one, best[0])
        np.testing.assert_array_equal(one_labels, labels[0])
        columns = np.arange(6)
        np.testing.assert_allclose(p.top(columns, k, values=X[0])[1], best[0], rtol=1e-14)
    for k, error in ((0, ValueError), (K + 1, ValueError), (1.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match=r"^k must"):
            p.top(X[0], k)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("K", [2, 3, 12, 30])
def test_nan_gives_nan(K, dtype):
    p = model_of(np.random.default_rng(K), 6, K, dtype).predictor()
    X = np.ones((20, 6), dtype)
    X[1, 2] = np.nan
    for answer in (p, p.log_proba):
        assert np.isnan(answer(X[1])).all()
        assert np.isnan(answer(np.array([0, 2]), X[1, 1:3])).all()
        for rows in (X[:3], X, sp.csr_matrix(X)):
            got = answer(rows)
            assert np.isnan(got[1]).all()
            assert np.isfinite(np.delete(got, 1, axis=0)).all()
    for ask in (lambda: p.predict(X), lambda: p.predict(X[1]), lambda: p.top(X[1], 1)):
        with pytest.raises(ValueError, match="NaN"):
            ask()


def test_whatever_is_real_is_a_row():
    rng = np.random.default_rng(0)
    for K in (2, 5):
        p = model_of(rng, 4, K, np.float64).predictor()
        x = np.array([1, -2, 0, 3])
        expected = p(x.astype(float))
        strided = np.repeat(x, 2).astype(float)[::2]
        read_only = x.astype(float)
        read_only.flags.writeable = False
        for row in (
            x,
            x.tolist(),
            x.astype(np.float32),
            x.astype(np.int8),
            x.astype(">f8"),
            strided,
            read_only,
        ):
            np.testing.assert_array_equal(p(row), expected)
        sparse_row = p(np.array([0, 1, 3]), np.array([1.0, -2.0, 3.0]))
        for index in (np.int8, np.int32, np.int64, np.uint64):
            columns = np.array([0, 1, 3], index)
            np.testing.assert_array_equal(p(columns, np.array([1.0, -2.0, 3.0])), sparse_row)
            np.testing.assert_array_equal(p(columns, [1, -2, 3]), sparse_row)
        np.testing.assert_array_equal(p([0, 1, 3], [1, -2, 3]), sparse_row)
        np.testing.assert_array_equal(p([], []), p(np.zeros(4)))
        many = np.tile(np.arange(4), 10)  # more entries than there are columns
        np.testing.assert_allclose(p(many, np.tile(x, 10) / 10), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0, 2.0],), ValueError, "shape"),
        ((np.zeros(4),), ValueError, "shape"),
        ((np.zeros(2),), ValueError, "shape"),
        ((np.zeros((2, 4)),), ValueError, "shape"),
        ((np.zeros((0, 3)),), ValueError, "shape"),
        ((np.zeros((1, 1, 3)),), ValueError, "shape"),
        ((1.0,), ValueError, "shape"),
        ((np.zeros(3, complex),), TypeError, "real numbers"),
        ((np.array(["a", "b", "c"]),), TypeError, "real numbers"),
        ((None,), TypeError, "real numbers"),
        ((sp.csr_matrix(np.eye(4)),), ValueError, "shape"),
        ((np.array([3]), np.ones(1)), ValueError, r"indices\[0\] is 3"),
        ((np.array([0, -1]), np.ones(2)), ValueError, r"indices\[1\] is -1"),
        ((np.array([2**63], np.uint64), np.ones(1)), ValueError, r"indices\[0\] is 9"),
        ((np.array([0, 1]), np.ones(1)), ValueError, "same length"),
        ((np.array([0.0]), np.ones(1)), TypeError, "integers"),
        ((np.array([True]), np.ones(1)), TypeError, "integers"),
        ((np.zeros((1, 1), int), np.ones((1, 1))), ValueError, "same length"),
        ((np.array([0]), 1.0), ValueError, "same length"),
        ((np.array([0]), np.array(["1"])), TypeError, "real numbers"),
    ],
)
@pytest.mark.parametrize("K", [2, 4])
def test_bad_rows_are_refused(K, arguments, error, message):
    p = model_of(np.random.default_rng(0), 3, K, np.float64).predictor()
    for ask in (p, p.log_proba, p.predict):
        with pytest.raises(error, match=message):
            ask(*arguments)


@pytest.mark.parametrize(
    "out", [np.empty(3), np.empty(4, np.float32), np.empty((1, 4)), np.empty(8)[::2], [0.0] * 4]
)
def test_bad_outputs_are_refused(out):
    p = model_of(np.random.default_rng(0), 3, 4, np.float64).predictor()
    for arguments in ((np.zeros(3),), ([0, 0, 0],), (np.array([0]), np.ones(1))):
        with pytest.raises((TypeError, ValueError), match=r"^out must"):
            p(*arguments, out=out)


@pytest.mark.parametrize(
    ("coef", "intercept", "classes", "name"),
    [
        (np.zeros(3), np.zeros(1), [0, 1], "coef"),
        (np.zeros((0, 3)), np.zeros(0), [0, 1], "coef"),
        (np.zeros((3, 3)), np.zeros(2), [0, 1, 2], "intercept"),
        (np.zeros((3, 3)), np.zeros(3), [0, 1], "classes"),
        (np.zeros((1, 3)), np.zeros(1), [0], "classes"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(coef, intercept, classes, name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        Predictor(coef, intercept, classes)


def test_a_damaged_model_has_none():
    model = model_of(np.random.default_rng(0), 3, 4, np.float64)
    model.coef_[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"coef_\[2, 1\] is nan"):
        model.predictor()
    with pytest.raises(ValueError, match="not fitted"):
        LogisticRegression().predictor()


@pytest.mark.parametrize("classes", [["a", "b", "c"], [True, False, True], np.array([1, "b", None], object)])
def test_copies_and_pickles(classes):
    rng = np.random.default_rng(0)
    p = Predictor(rng.standard_normal((3, 9)), rng.standard_normal(3), classes)
    x = rng.standard_normal(9)
    for other in (copy.copy(p), copy.deepcopy(p), *(pickle.loads(pickle.dumps(p, n)) for n in range(2, 6))):
        np.testing.assert_array_equal(other(x), p(x))
        np.testing.assert_array_equal(other.classes, p.classes)
        assert other.classes.dtype == p.classes.dtype


def test_a_pickle_is_read_without_scikit_learn_or_threads(tmp_path):
    model = model_of(np.random.default_rng(0), 3, 4, np.float64)
    (tmp_path / "p").write_bytes(pickle.dumps(model.predictor()))
    code = (
        "import pickle, sys, threading; p = pickle.load(open(sys.argv[1], 'rb')); import numpy as np;"
        "p(np.zeros(3)); p(np.zeros((50, 3))); p.top([0, 1], 2, values=[1.0, 2.0]); p.predict([1, 2, 3]);"
        "print([name for name in ('sklearn', 'numba', 'fastxent.estimators', 'fastxent.functional')"
        " if name in sys.modules], threading.active_count())"
    )
    got = subprocess.run(
        [sys.executable, "-P", "-c", code, tmp_path / "p"], capture_output=True, text=True, check=True
    )
    assert got.stdout == "[] 1\n"


def test_many_threads_at_once():
    rng = np.random.default_rng(0)
    p = model_of(rng, 300, 57, np.float64).predictor()
    X = rng.standard_normal((8, 300))
    expected = [p(x) for x in X]
    columns = [entries_of(np.random.default_rng(i), 300, np.float64) for i in range(8)]
    of_entries = [p(*entries) for entries in columns]
    wrong = []

    def ask(i):
        for _ in range(300):
            if not (np.array_equal(p(X[i]), expected[i]) and np.array_equal(p(*columns[i]), of_entries[i])):
                wrong.append(i)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_after_fork():
    rng = np.random.default_rng(0)
    p = model_of(rng, 300, 57, np.float64).predictor()
    X = rng.standard_normal((100, 300))
    expected = p(X)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(p(X), expected) and np.array_equal(p(X[0]), p(X[:1])[0]) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_it_says_what_it_is():
    assert repr(model_of(np.random.default_rng(0), 3, 4, np.float32).predictor()) == (
        "<fastxent predictor: 3 features, 4 classes, float32>"
    )
