"""Without a penalty, the loss may have no minimum: that is found and reported, and nothing else is."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from fastxent import LogisticRegression, LogisticRegressionCV

SOLVERS = ("auto", "lbfgs", "newton-cg")


def overlapping(n_classes, n=300, d=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, np.argmax(X @ rng.normal(size=(d, n_classes)) + rng.gumbel(size=(n, n_classes)), axis=1)


def fitted(X, y, **options):
    """A model and the texts of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model = LogisticRegression(**{"C": np.inf, "max_iter": 1000} | options).fit(X, y)
    return model, [str(warning.message) for warning in caught]


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_bit_that_one_class_has(storage, solver, n_classes, fit_intercept):
    X, y = overlapping(n_classes)
    bit = np.zeros((len(X), 1))
    bit[np.flatnonzero(y == 1)[:20]] = 1.0
    model, texts = fitted(storage(np.hstack([X, bit])), y, solver=solver, fit_intercept=fit_intercept)
    assert len(texts) == 1 and "quasi-complete" in texts[0] and "20 training rows" in texts[0]
    assert not model.converged_


@pytest.mark.parametrize("solver", SOLVERS)
def test_class_apart_from_several(solver):
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    model, texts = fitted(X, names, solver=solver)
    assert len(texts) == 1 and "all training rows of class 'setosa'" in texts[0]
    assert not model.converged_


@pytest.mark.parametrize("tol", [1e-1, 1e-4, 1e-8])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_overlapping_classes(n_classes, tol):
    X, y = overlapping(n_classes)
    X = np.hstack([X, X[:, :1], np.ones((len(X), 1))])  # null spaces that separate nothing
    model, texts = fitted(X, y, tol=tol)
    assert not texts and model.converged_


def test_rows_of_weight_zero_keep_nothing_apart():
    X, y = overlapping(2)
    bit = np.zeros((len(X), 1))
    bit[np.flatnonzero(y == 1)[:20]] = 1.0
    bit[np.flatnonzero(y == 0)[:1]] = 1.0  # overlaps, if it counts
    X = np.hstack([X, bit])
    weight = np.where((bit[:, 0] > 0) & (y == 0), 0.0, 1.0)
    assert not fitted(X, y)[1]
    with pytest.warns(ConvergenceWarning, match="quasi-complete"):
        LogisticRegression(C=np.inf, max_iter=1000).fit(X, y, sample_weight=weight)


def test_penalty_keeps_the_minimum():
    X, y = load_iris(return_X_y=True)
    assert not fitted(X, y, C=1e6)[1]


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "sdca", "prox_newton"])
def test_class_without_mass_is_named(solver):
    X, y = overlapping(3)
    labels = np.array(["a", "b", "c"])[y]
    options = {"C": 1.0, "solver": solver, "l1_ratio": float(solver == "prox_newton"), "max_iter": 1000}
    with pytest.warns(ConvergenceWarning, match="Class 'b' has no rows of positive weight") as caught:
        model = LogisticRegression(**options).fit(sp.csr_array(X), labels, sample_weight=(y != 1) * 1.0)
    assert len(caught) == 1 and model.converged_
    assert model.predict_proba(X)[:, 1].max() < 0.01


def test_column_of_soft_labels_without_mass():
    X, y = overlapping(3)
    soft = np.eye(4)[y]
    with pytest.warns(ConvergenceWarning, match="Class 3 has no rows"):
        LogisticRegression().fit(X, soft)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogisticRegression(fit_intercept=False, max_iter=1000).fit(X, soft)  # the penalty holds its weights


def test_folds_that_lack_a_class():
    X, y = overlapping(3)
    X, y = np.vstack([X[y < 2], X[y == 2][:1]]), np.append(y[y < 2], 2)
    folds = [(np.arange(len(y) - 1), [len(y) - 1]), (np.arange(1, len(y)), [0])]
    model = LogisticRegressionCV(cv=folds, Cs=2, l1_ratios=(0,), use_legacy_attributes=False, max_iter=1000)
    text = "1 of 2 folds .* lack a class. The first, fold 0: Class 2 has no rows"
    with pytest.warns(ConvergenceWarning, match=text):
        model.fit(X, y)
