"""LogisticRegression: the same optimum as scikit-learn's, its contract, and what it does beyond."""

import itertools
import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn.linear_model
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine, make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastxent import LogisticRegression
from fastxent.estimators.base import classes_and_codes
from fastxent.solvers.policy import SCIKIT_LEARN_NAMES

TIGHT = {"tol": 1e-18, "max_iter": 1000}


def theirs(**arguments):
    """scikit-learn's class, solved as exactly as it can be."""
    arguments = {"solver": "newton-cholesky", "tol": 1e-13, "max_iter": 1000} | arguments
    return sklearn.linear_model.LogisticRegression(**arguments)


def problem(n_classes, n=120, d=5, seed=0):
    """Noisy labels of a linear rule, all classes present."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + 0.5
    y = np.argmax(X @ rng.normal(size=(d, n_classes)) + 1.5 * rng.gumbel(size=(n, n_classes)), axis=1)
    y[:n_classes] = np.arange(n_classes)
    return X, y


@pytest.fixture(params=[2, 4], ids=["binary", "multinomial"])
def data(request):
    return problem(request.param)


# scikit-learn's contract ----------------------------------------------------------------------------------


@parametrize_with_checks(
    [LogisticRegression(), LogisticRegression(l1_ratio=0.5), LogisticRegression(solver="liblinear")]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning", "ignore::UserWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.todays_peer
def test_constructor_takes_all_that_theirs_takes():
    ours, other = LogisticRegression().get_params(), sklearn.linear_model.LogisticRegression().get_params()
    assert other.keys() <= ours.keys()
    different = {name for name in other if ours[name] != other[name]}
    assert different == {"solver", "max_iter"}


# The same optimum -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize(
    "storage", [np.asarray, np.asfortranarray, sp.csr_array, sp.csr_matrix, sp.coo_array]
)
def test_coefficients_equal_theirs(data, C, fit_intercept, storage):
    X, y = data
    ours = LogisticRegression(C=C, fit_intercept=fit_intercept, **TIGHT).fit(storage(X), y)
    other = theirs(C=C, fit_intercept=fit_intercept).fit(X, y)
    assert ours.converged_
    assert ours.coef_.shape == other.coef_.shape and ours.intercept_.shape == other.intercept_.shape
    assert_allclose(ours.coef_, other.coef_, rtol=1e-7, atol=1e-9)
    assert_allclose(ours.intercept_, other.intercept_, rtol=1e-7, atol=1e-9)
    assert_allclose(ours.predict_proba(X), other.predict_proba(X), atol=1e-9)
    assert_allclose(ours.decision_function(X), other.decision_function(X), atol=1e-7)
    assert_array_equal(ours.predict(X), other.predict(X))
    assert ours.score(X, y) == other.score(X, y)


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 2.0, 1: 0.5}])
@pytest.mark.parametrize("weighted", [True, False])
def test_weights_equal_theirs(data, class_weight, weighted):
    X, y = data
    if isinstance(class_weight, dict):
        class_weight = {k: class_weight.get(k, 1.0) for k in np.unique(y)}
    sample_weight = np.random.default_rng(1).uniform(0, 3, size=len(y)) if weighted else None
    ours = LogisticRegression(class_weight=class_weight, **TIGHT).fit(X, y, sample_weight=sample_weight)
    other = theirs(class_weight=class_weight).fit(X, y, sample_weight=sample_weight)
    assert_allclose(ours.coef_, other.coef_, rtol=1e-7, atol=1e-9)
    assert_allclose(ours.intercept_, other.intercept_, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("solver", ["auto", *SCIKIT_LEARN_NAMES])
def test_every_solver_name(solver):
    X, y = problem(2)
    ours = LogisticRegression(solver=solver, tol=1e-6).fit(X, y)
    assert_allclose(ours.coef_, theirs().fit(X, y).coef_, atol=1e-4)


@pytest.mark.todays_peer
@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
def test_l1_equals_theirs(data, l1_ratio):
    X, y = data
    X = scale(X)
    ours = LogisticRegression(l1_ratio=l1_ratio, C=0.1, tol=1e-10).fit(X, y)
    other = theirs(l1_ratio=l1_ratio, C=0.1, solver="saga", tol=1e-10, max_iter=20000).fit(X, y)
    assert_allclose(ours.coef_, other.coef_, atol=1e-6)
    assert_allclose(
        ours.intercept_ - ours.intercept_.mean(), other.intercept_ - other.intercept_.mean(), atol=1e-5
    )
    assert_array_equal(ours.coef_ == 0, np.abs(other.coef_) < 1e-9)


@pytest.mark.parametrize("solver", ["auto", "metric", "sdca", "lbfgs", "newton-cg", "saga"])
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_penalty_factor_is_a_scale_of_columns(data, solver, storage):
    """f_j |w_j|^2 is |v_j|^2 for v = sqrt(f) w, whose column is x / sqrt(f)."""
    X, y = data
    if solver == "sdca" and storage is np.asarray:
        storage = sp.csr_matrix
    factor = np.array([0.1, 1.0, 4.0, 0.5, 2.0])
    arguments = {"solver": solver, "tol": 1e-8, "max_iter": 1000}
    ours = LogisticRegression(penalty_factor=factor, **arguments).fit(storage(X), y)
    other = theirs().fit(X / np.sqrt(factor), y)
    assert ours.converged_
    assert_allclose(ours.coef_, other.coef_ / np.sqrt(factor), atol=2e-3)
    assert_allclose(ours.predict_proba(X), other.predict_proba(X / np.sqrt(factor)), atol=1e-3)


@pytest.mark.parametrize("solver", ["auto", "prox_newton", "saga"])
def test_penalty_factor_of_l1_is_a_scale_of_columns(data, solver):
    X, y = data
    factor = np.array([0.1, 1.0, 4.0, 0.5, 2.0])
    ours = LogisticRegression(penalty_factor=factor, l1_ratio=1, C=0.1, solver=solver, tol=1e-9).fit(X, y)
    other = LogisticRegression(l1_ratio=1, C=0.1, tol=1e-12).fit(X / factor, y)
    assert_allclose(ours.coef_ * factor, other.coef_, atol=1e-4)
    assert_array_equal(ours.coef_ == 0, other.coef_ == 0)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_factors_of_zero_are_no_penalty(data, l1_ratio):
    X, y = data
    none = LogisticRegression(C=np.inf, **TIGHT).fit(X, y)
    zeros = LogisticRegression(penalty_factor=np.zeros(5), l1_ratio=l1_ratio, **TIGHT).fit(X, y)
    assert_allclose(zeros.coef_, none.coef_, rtol=1e-6, atol=1e-8)
    some = LogisticRegression(penalty_factor=[0, 1, 1, 1, 1], C=1e-6, l1_ratio=l1_ratio, **TIGHT).fit(X, y)
    alone = LogisticRegression(C=np.inf, **TIGHT).fit(X[:, :1], y)
    assert_allclose(some.coef_[:, 0], alone.coef_[:, 0], atol=1e-3)
    assert np.abs(some.coef_[:, 1:]).max() < 1e-3


def test_penalty_groups():
    X, y = problem(4)
    single = LogisticRegression(l1_ratio=1, C=0.1).fit(X, y)
    grouped = LogisticRegression(l1_ratio=1, C=0.1, penalty_groups="features").fit(X, y)
    by_feature = (grouped.coef_ != 0).sum(axis=0)
    assert set(by_feature) <= {0, 4} and 0 < by_feature.sum() < 20
    assert set((single.coef_ != 0).sum(axis=0)) & {1, 2, 3}
    with pytest.raises(ValueError, match="penalty_groups"):
        LogisticRegression(l1_ratio=1, solver="saga", penalty_groups="features").fit(X, y)


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        ([1.0, 2.0], "shape"),
        ([1, 1, -1, 1, 1], r"penalty_factor\[2\] is -1"),
        ([1, np.nan, 1, 1, 1], "finite"),
    ],
)
def test_penalty_factor_refused(factor, message):
    X, y = problem(2)
    with pytest.raises(ValueError, match=message):
        LogisticRegression(penalty_factor=factor).fit(X, y)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_sgd_reaches_the_same_optimum(data, l1_ratio, storage):
    X, y = data
    best = LogisticRegression(l1_ratio=l1_ratio, tol=1e-12).fit(X, y)
    ours = LogisticRegression(l1_ratio=l1_ratio, solver="sgd", tol=1e-6, max_iter=1000).fit(storage(X), y)
    assert ours.converged_
    assert_allclose(ours.history_["loss"][-1], best.history_["loss"][-1], rtol=3e-6)
    with pytest.raises(ValueError, match="penalty_factor"):
        LogisticRegression(solver="sgd", penalty_factor=[1, 2, 3, 4, 5]).fit(X, y)


def test_random_state_is_the_order_of_visits():
    X, y = problem(3, n=2000)
    X = sp.csr_array(X * (np.random.default_rng(0).random(X.shape) < 0.3))
    for arguments in ({"solver": "sdca"}, {"solver": "prox_newton", "l1_ratio": 1.0}, {"solver": "sgd"}):
        fits = [
            LogisticRegression(random_state=seed, tol=1e-3, **arguments).fit(X, y).coef_
            for seed in (None, 0, 1, np.random.RandomState(3), np.random.RandomState(3))
        ]
        assert_array_equal(fits[0], fits[1])
        assert_array_equal(fits[3], fits[4])
        assert (fits[1] != fits[2]).any()


RAW = {
    "breast_cancer": load_breast_cancer,
    "wine": load_wine,
    "diabetes": lambda return_X_y: _binned(*load_diabetes(return_X_y=True, scaled=False)),
    "covtype_like": lambda return_X_y: _covtype_like(),
}


def _binned(X, t):
    return X, np.digitize(t, [90, 140, 210])


def _covtype_like(n=2000):
    """54 columns over six orders of magnitude, most of them indicators."""
    rng = np.random.default_rng(0)
    sizes = np.logspace(-2, 4, 10)
    X = np.zeros((n, 54))
    X[:, :10] = sizes * (rng.normal(size=(n, 10)) + 3)
    X[np.arange(n), 10 + rng.integers(0, 4, n)] = 1
    X[np.arange(n), 14 + rng.zipf(1.6, n) % 40] = 1
    logits = (X[:, :10] / sizes - 3) @ rng.normal(size=(10, 7)) + X[:, 10:] @ rng.normal(size=(44, 7))
    return X, np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)


@pytest.mark.parametrize("load", RAW.values(), ids=RAW)
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("C", [0.1, 10.0])
def test_raw_columns_reach_the_optimum_without_a_warning(load, offset, l1_ratio, C):
    """At default settings; what the optimum is, Newton's method says on standardised columns, whose penalties are
    those of the raw ones: 1 / deviation is a penalty factor."""
    X, y = load(return_X_y=True)
    deviation = np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = LogisticRegression(C=C, l1_ratio=l1_ratio).fit(X + offset, y)
    assert ours.converged_
    best = LogisticRegression(
        C=C,
        l1_ratio=l1_ratio,
        penalty_factor=deviation ** -(1.0 if l1_ratio else 2.0),
        solver="saga" if l1_ratio else "newton-cg",
        tol=1e-8,
        max_iter=2000,
    ).fit((X - X.mean(axis=0)) / deviation, y)
    assert best.converged_
    optimum = best.history_["loss"][-1]
    assert optimum * (1 - 1e-7) <= ours.history_["loss"][-1] <= optimum * (1 + 1e-4)


def test_unscaled_data_reach_a_lower_objective_than_theirs():
    X, y = load_breast_cancer(return_X_y=True)
    ours = LogisticRegression(tol=1e-10).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        other = sklearn.linear_model.LogisticRegression(max_iter=1000).fit(X, y)

    def objective(model):
        log_loss = -model.predict_log_proba(X)[np.arange(len(y)), y].sum()
        return log_loss + 0.5 * (model.coef_**2).sum()

    assert ours.converged_
    assert objective(ours) < objective(other)


def test_integer_weights_equal_repeated_rows(data):
    X, y = data
    weight = np.random.default_rng(1).integers(0, 4, size=len(y))
    repeat = np.repeat(np.arange(len(y)), weight)
    for storage in (np.asarray, sp.csr_array):
        weighted = LogisticRegression(tol=1e-10).fit(storage(X), y, sample_weight=weight)
        repeated = LogisticRegression(tol=1e-10).fit(storage(X[repeat]), y[repeat])
        assert_allclose(weighted.history_["loss"][-1], repeated.history_["loss"][-1], rtol=1e-8)
        assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-6, atol=1e-9)


def test_duplicate_and_explicit_zero_entries_add_up():
    X, y = problem(3)
    rows, columns = np.indices(X.shape).reshape(2, -1)
    order = np.random.default_rng(0).permutation(3 * X.size)
    parts = np.concatenate([0.25 * X.ravel(), 0.75 * X.ravel(), np.zeros(X.size)])[order]
    messy = sp.csr_array((parts, (np.tile(rows, 3)[order], np.tile(columns, 3)[order])), shape=X.shape)
    for arguments in ({}, {"l1_ratio": 1.0}):
        ours = LogisticRegression(tol=1e-9, **arguments)
        assert_allclose(ours.fit(messy, y).coef_, clone(ours).fit(X, y).coef_, rtol=1e-5, atol=1e-8)


# Labels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [["ham", "spam"], [False, True], [-7, 3], [1.0, 2.0], ["a", "b", "c", "d"], [30, 10, 20, 0]],
    ids=str,
)
def test_labels_of_any_kind(names):
    X, codes = problem(len(names))
    labels = np.array(names)[codes]
    model = LogisticRegression().fit(X, labels)
    assert_array_equal(model.classes_, np.unique(names))
    assert model.predict(X).dtype == labels.dtype
    ranks = np.searchsorted(np.unique(names), names)[codes]
    assert_allclose(model.coef_, LogisticRegression().fit(X, ranks).coef_)
    assert model.score(X, labels) > 0.5


@pytest.mark.parametrize(
    "y",
    [
        [0, 1, 0],
        [7, -5, 7, 3],
        [3, 3, 1],
        np.array([2, 9, 2], np.uint8),
        np.array([-(2**62), 2**62]),
        [True, False],
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [None, ">i4", np.int64])
def test_codes_of_whole_numbers_are_those_of_sorting(y, dtype):
    """The way that needs no sorting is only taken where it gives the same."""
    y = np.asarray(y)
    if dtype is not None and y.dtype != bool and abs(int(y.max())) < 1000:
        y = y.astype(dtype)
    found = classes_and_codes(y)
    assert (found is None) == (y.dtype == bool or abs(int(y.max())) > 1000)
    if found is not None:
        classes, codes = np.unique(y, return_inverse=True)
        assert_array_equal(found[0], classes)
        assert_array_equal(found[1], codes)
        assert found[0].dtype == y.dtype and found[1].dtype == np.intp


def test_object_labels_and_series():
    X, codes = problem(3)
    labels = pd.Series(np.array(["x", "y", "z"], dtype=object)[codes])
    assert set(LogisticRegression().fit(X, labels).predict(X)) <= {"x", "y", "z"}


def test_soft_labels_that_are_hard_change_nothing(data):
    X, y = data
    hard = LogisticRegression(class_weight="balanced", **TIGHT).fit(X, y)
    soft = LogisticRegression(class_weight="balanced", **TIGHT).fit(X, np.eye(y.max() + 1)[y])
    assert_array_equal(soft.classes_, np.arange(y.max() + 1))
    assert soft.coef_.shape == hard.coef_.shape
    # With class weights S differs (soft labels: the sum of sample weights), and with it only the scale of F.
    assert_allclose(soft.coef_, hard.coef_, rtol=1e-6, atol=1e-8)


def test_soft_labels_equal_weighted_copies(data):
    X, y = data
    n_classes = y.max() + 1
    soft = np.random.default_rng(1).dirichlet(np.ones(n_classes), size=len(y))
    ours = LogisticRegression(**TIGHT).fit(X, soft)
    copies = LogisticRegression(**TIGHT).fit(
        np.tile(X, (n_classes, 1)), np.repeat(np.arange(n_classes), len(y)), sample_weight=soft.T.ravel()
    )
    assert_allclose(ours.coef_, copies.coef_, rtol=1e-6, atol=1e-9)


def test_one_row_of_soft_labels():
    model = LogisticRegression().fit([[1.0, 2.0]], [[0.2, 0.3, 0.5]])
    assert_allclose(model.predict_proba([[1.0, 2.0]]), [[0.2, 0.3, 0.5]], atol=1e-3)


def test_more_classes_than_rows():
    model = LogisticRegression().fit([[1.0], [2.0]], [[0.1, 0.2, 0.3, 0.4, 0.0], [0.0, 0.1, 0.2, 0.3, 0.4]])
    assert model.predict_proba([[1.5]]).shape == (1, 5)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, 1, 1, 1], "only one class: 1"),
        (["spam"] * 4, "only one class: 'spam'"),
        ([0.1, 0.2, 0.7, 1.5], "[Uu]nknown label type: continuous"),
        ([0, 1, 0], "inconsistent numbers of samples"),
        ([[0.5, 0.4], [0.5, 0.5], [1, 0], [0, 1]], "row 0 of y sums to 0.9"),
        ([[-1, 2], [0.5, 0.5], [1, 0], [0, 1]], "negative"),
        ([0, 1, np.nan, 1], "NaN"),
    ],
)
def test_labels_refused(y, message):
    with pytest.raises(ValueError, match=message):
        LogisticRegression().fit(np.arange(8.0).reshape(4, 2), y)


def test_a_class_of_no_weight_is_not_predicted():
    X, y = problem(3)
    by_class, by_row = (
        LogisticRegression(class_weight={0: 0, 1: 1, 2: 1}),
        LogisticRegression(class_weight="balanced"),
    )
    for model, weight in ((by_class, None), (by_row, (y > 0).astype(float))):
        with pytest.warns(ConvergenceWarning, match="Class 0 has no rows of positive weight"):
            model.fit(X, y, sample_weight=weight)
    for model in (by_class, by_row):
        assert model.predict_proba(X)[:, 0].max() < 0.05


# float32, storage, structure ------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "saga"])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_float32_stays(data, solver, index):
    X, y = data
    sparse = sp.csr_array(X.astype(np.float32))
    sparse.indices, sparse.indptr = sparse.indices.astype(index), sparse.indptr.astype(index)
    best = theirs().fit(X, y)
    for features in (X.astype(np.float32), sparse):
        model = LogisticRegression(solver=solver, tol=1e-6).fit(features, y)
        assert model.converged_
        assert model.coef_.dtype == model.intercept_.dtype == np.float32
        assert model.predict_proba(features).dtype == model.decision_function(features).dtype == np.float32
        assert model.predict_proba(X).dtype == np.float64
        assert_allclose(model.coef_, best.coef_, atol=2e-3)


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X[::2][:, ::-1].copy()[:, ::-1],
        lambda X: X[::2].astype(">f8"),
        lambda X: X[::2].astype(">f4"),
        lambda X: np.round(X[::2]).astype(np.int8),
        lambda X: X[::2] > 0.5,
        lambda X: X[::2].astype(np.float16),
        lambda X: np.frombuffer(b"x" + X[::2].tobytes(), np.uint8)[1:].view(X.dtype).reshape(X[::2].shape),
    ],
    ids=["strided", "swapped", "swapped32", "int8", "bool", "float16", "unaligned"],
)
def test_arrays_of_any_layout(change):
    X, y = problem(3)
    features = change(X)
    features.setflags(write=False)
    plain = np.array(features, dtype=np.float64)
    one, other = (LogisticRegression().fit(rows, y[::2]) for rows in (features, plain))
    assert_allclose(one.coef_, other.coef_)
    assert_allclose(one.predict_proba(features), other.predict_proba(plain))


@pytest.mark.parametrize(
    ("attribute", "position", "value", "message"),
    [("indices", 3, 99, "99"), ("indices", 3, -1, "-1"), ("indptr", 2, 10**6, "indptr")],
)
def test_corrupt_sparse_matrices_are_refused(attribute, position, value, message):
    X, y = problem(2)
    good, bad = sp.csr_array(X), sp.csr_array(X)
    getattr(bad, attribute)[position] = value
    model = LogisticRegression().fit(good, y)
    for method in (lambda: LogisticRegression().fit(bad, y), lambda: model.predict_proba(bad)):
        with pytest.raises(ValueError, match=message):
            method()


@pytest.mark.parametrize(
    ("weight", "message"),
    [(-1.0, "negative"), (np.nan, "finite|NaN"), (np.inf, "finite|inf")],
)
def test_weights_refused(weight, message):
    X, y = problem(2)
    weights = np.ones(len(y))
    weights[3] = weight
    with pytest.raises(ValueError, match=message):
        LogisticRegression().fit(X, y, sample_weight=weights)


def test_all_weights_zero_are_refused():
    X, y = problem(2)
    with pytest.raises(ValueError, match="zero"):
        LogisticRegression().fit(X, y, sample_weight=np.zeros(len(y)))
    with pytest.raises(ValueError, match="zero"):
        LogisticRegression(class_weight={0: 0, 1: 0}).fit(X, y)


@pytest.mark.parametrize("size", [1e-300, 1e-150, 1e150, 1e300])
def test_features_beyond_arithmetic_are_named(size):
    X, y = problem(2)
    with pytest.raises(ValueError, match=re.escape("largest entry of X")):
        LogisticRegression().fit(X * size, y)


@pytest.mark.parametrize("size", [1e-80, 1e-10, 1e10, 1e80])
def test_features_of_any_usual_size(size):
    X, y = problem(3)
    plain = LogisticRegression(C=np.inf, tol=1e-6).fit(X, y)
    sized = LogisticRegression(C=np.inf, tol=min(1e-6, 1e-6 * size), max_iter=200).fit(X * size, y)
    assert_allclose(sized.predict_proba(X * size), plain.predict_proba(X), atol=1e-3)


def test_features_too_large_for_float32_are_named():
    X, y = problem(2)
    assert LogisticRegression().fit((X * 1e34).astype(np.float32), y).score(X, y) > 0.7
    with pytest.raises(ValueError, match=r"float32.*Scale the features"):
        LogisticRegression().fit((X * 2e37).astype(np.float32), y)


# Prediction -----------------------------------------------------------------------------------------------


def test_log_probabilities_do_not_underflow(data):
    X, y = data
    model = LogisticRegression().fit(X, y)
    log_p = model.predict_log_proba(1e4 * X)
    assert np.isfinite(log_p).all() and log_p.min() < -1000
    assert_allclose(np.exp(log_p), model.predict_proba(1e4 * X), rtol=1e-9)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)


def test_coefficients_may_be_changed_or_sparsified(data):
    X, y = data
    model = LogisticRegression(l1_ratio=1, C=0.1).fit(X, y)
    before = model.predict_proba(X)
    model.sparsify()
    assert sp.issparse(model.coef_)
    assert_allclose(model.predict_proba(X), before)
    model.densify()
    model.coef_[:] = 0
    model.intercept_ = 0.0
    assert_allclose(model.predict_proba(X), 1 / len(model.classes_))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
def test_prediction_needs_a_fit(method):
    with pytest.raises(NotFittedError):
        getattr(LogisticRegression(), method)([[1.0]])


# What a fit leaves behind ---------------------------------------------------------------------------------


def test_history(data):
    X, y = data
    model = LogisticRegression(tol=1e-6).fit(X, y, eval_set=(X, y))
    history = model.history_
    assert {"epoch", "loss", "grad_norm", "gap", "seconds", "passes", "val_loss"} == set(history)
    assert all(
        isinstance(values, np.ndarray) and len(values) == model.n_iter_[0] + 1 for values in history.values()
    )
    assert_allclose(history["val_loss"][0], np.log(len(model.classes_)))
    assert_allclose(
        history["val_loss"][-1], -model.predict_log_proba(X)[np.arange(len(y)), y].mean(), rtol=1e-6
    )
    penalty = 0.5 * (model.coef_**2).sum() / len(y)
    assert_allclose(history["loss"][-1], history["val_loss"][-1] + penalty)
    assert model.n_iter_.shape == (1,) and model.converged_ is True


def test_eval_set_of_soft_labels_and_other_storage():
    X, y = problem(3)
    hard = LogisticRegression().fit(X, y, eval_set=(X, y)).history_["val_loss"]
    soft = LogisticRegression().fit(X, y, eval_set=(sp.csr_array(X), np.eye(3)[y])).history_["val_loss"]
    assert_allclose(soft, hard)


def test_eval_set_with_weights():
    X, y = problem(3)
    weight = np.arange(len(y)) % 3
    weighted = LogisticRegression().fit(X, y, eval_set=(X, y, weight)).history_["val_loss"]
    repeated = LogisticRegression().fit(X, y, eval_set=(X.repeat(weight, axis=0), y.repeat(weight)))
    assert_allclose(weighted, repeated.history_["val_loss"])


@pytest.mark.parametrize(
    ("eval_set", "message"),
    [
        (3, r"pair \(X, y\)"),
        ((np.ones((2, 5)), [0, 7]), "label 7"),
        ((np.ones((2, 4)), [0, 1]), "features"),
        ((np.ones((3, 5)), [0, 1]), "shape"),
    ],
)
def test_eval_set_refused(eval_set, message):
    X, y = problem(3)
    with pytest.raises(ValueError, match=message):
        LogisticRegression().fit(X, y, eval_set=eval_set)


def test_warm_start(data):
    X, y = data
    model = LogisticRegression(warm_start=True, tol=1e-6).fit(X, y)
    assert model.n_iter_[0] > 3
    assert model.fit(X, y).n_iter_[0] <= 2
    assert model.sparsify().fit(X, y).n_iter_[0] <= 2
    with pytest.raises(ValueError, match="warm_start"):
        model.fit(X[:, :3], y)


@pytest.mark.parametrize(
    ("solver", "l1_ratio"),
    [("metric", 0), ("sdca", 0), ("prox_newton", 1), ("sgd", 0), ("lbfgs", 0), ("newton-cg", 0), ("saga", 1)],
)
def test_every_solver_starts_where_the_last_fit_ended(data, solver, l1_ratio):
    X, y = data
    X = sp.csr_array(X) if solver == "sdca" else X
    model = LogisticRegression(solver=solver, l1_ratio=l1_ratio, warm_start=True, tol=1e-6).fit(X, y)
    first = model.history_["loss"]
    again = model.fit(X, y).history_["loss"]
    assert_allclose(again[0], first[-1], rtol=2e-3)
    assert len(again) < len(first) or len(again) <= 3


def test_failed_fit_leaves_the_model_as_it_was(data):
    X, y = data
    model = LogisticRegression().fit(pd.DataFrame(X).add_prefix("c"), y)
    before, names = vars(model).copy(), model.feature_names_in_
    failures = [
        lambda: model.fit(X[:, :2], np.zeros(len(y))),
        lambda: model.fit(X[:, :2], y, sample_weight=np.zeros(len(y))),
        lambda: model.fit(X[:, :2], y, eval_set=7),
        lambda: model.fit(np.full_like(X, np.nan), y),
    ]
    for fails in failures:
        with pytest.raises(ValueError, match=r"\w"):
            fails()
        assert vars(model).keys() == before.keys()
        assert all(vars(model)[name] is value for name, value in before.items())
    assert model.feature_names_in_ is names


def test_interrupt_leaves_the_model_as_it_was(data, monkeypatch):
    X, y = data
    model = LogisticRegression().fit(X, y)
    coef = model.coef_

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastxent.objective.Objective.value_and_grad", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[:, :2], y)
    assert model.coef_ is coef and model.n_features_in_ == X.shape[1]


def test_unfitted_after_a_failed_first_fit():
    model = LogisticRegression()
    with pytest.raises(ValueError, match="one class"):
        model.fit([[1.0], [2.0]], [1, 1])
    assert not [name for name in vars(model) if name.endswith("_")]


def test_verbose_names_solver_and_objective_of_every_iteration(caplog):
    X, y = problem(2)
    model = LogisticRegression(verbose=1).fit(X, y)
    assert len(caplog.messages) == model.n_iter_[0] + 1
    for message, loss in zip(caplog.messages, model.history_["loss"], strict=True):
        assert message.startswith(model.solver_) and f"objective {loss:.10g} " in message


# Which solver ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "ran"),
    [
        ({}, "metric"),
        ({"l1_ratio": 1.0}, "prox_newton"),
        *(({"solver": name}, name) for name in ("metric", "sgd", "lbfgs", "newton-cg")),
        ({"solver": "lbfgs", "tol": 1e-9}, "newton-cg"),
        ({"solver": "sag"}, "lbfgs"),
        ({"solver": "saga"}, "lbfgs"),
        ({"solver": "saga", "l1_ratio": 0.5}, "l1-newton"),
        ({"solver": "newton-cholesky"}, "newton-cg"),
        ({"solver": "liblinear"}, "newton-cg"),
        ({"solver": "liblinear", "l1_ratio": 1.0}, "l1-newton"),
        ({"solver": "prox_newton", "l1_ratio": 1.0}, "prox_newton"),
    ],
    ids=str,
)
def test_the_solver_that_ran_is_named(settings, ran):
    model = LogisticRegression(**settings)
    assert not hasattr(model, "solver_")
    assert model.fit(*problem(2)).solver_ == ran


def test_the_solver_that_auto_chose_is_the_one_that_suits(monkeypatch):
    """On sparse rows `auto` takes dual ascent, which may hand over; the warning then names both."""
    X, y = problem(3, n=400, d=200)
    X = sp.csr_array(X)
    monkeypatch.setattr("fastxent.solvers.policy._SMALL", 0)
    assert LogisticRegression(C=0.01).fit(X, y).solver_ == "sdca"
    monkeypatch.setattr("fastxent.solvers.dual.sdca._is_slow", lambda gaps: True)
    with pytest.warns(ConvergenceWarning) as caught:
        model = LogisticRegression(max_iter=12, tol=1e-14).fit(X, y)
    assert model.solver_ == "metric"
    text = str(caught[0].message)
    assert text.startswith(f"auto failed to converge after {model.n_iter_[0]} iteration(s). ")
    assert (
        "The solver that ran at the end, metric (it took over from sdca), stopped: max_iter = 12 reached."
        in text
    )
    assert "(max_iter=12)" in text


# Convergence ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("solver", "opening"),
    [
        ("auto", "auto failed to converge after 1 iteration"),
        ("metric", "metric failed to converge after 1 iteration"),
        ("sdca", "sdca failed to converge after 1 iteration"),
        ("prox_newton", "prox_newton failed to converge after 1 iteration"),
        ("sgd", "sgd failed to converge after 1 iteration"),
        ("lbfgs", "lbfgs failed to converge after 1 iteration"),
        ("newton-cg", "newton-cg failed to converge.* Increase the number of iterations."),
        ("newton-cholesky", "Newton solver did not converge after 1 iterations"),
        ("sag", "The max_iter was reached which means the coef_ did not converge"),
        ("saga", "The max_iter was reached which means the coef_ did not converge"),
        ("liblinear", "Liblinear failed to converge, increase the number of iterations."),
    ],
)
def test_out_of_iterations(solver, opening):
    X, y = problem(2)
    X = sp.csr_array(X) if solver == "sdca" else X
    with pytest.warns(ConvergenceWarning, match=opening) as caught:
        model = LogisticRegression(solver=solver, max_iter=1, tol=1e-12).fit(X, y)
    assert caught[0].filename == __file__
    text = str(caught[0].message)
    who = "It" if model.solver_ == solver else f"The solver that ran, {model.solver_},"
    assert (
        f" {who} stopped: max_iter = 1 reached. " in text and f"{model.history_['grad_norm'][-1]:.3g}" in text
    )
    assert "differ in size" not in text
    assert model.converged_ is False and model.n_iter_[0] == 1


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_what_single_precision_cannot_resolve_is_named(l1_ratio):
    X, y = load_breast_cancer(return_X_y=True)
    LogisticRegression(l1_ratio=l1_ratio).fit((X + 1e5).astype(np.float32), y)  # no warning: it can
    with pytest.warns(
        ConvergenceWarning,
        match=r"rounding of float32; column \d+ varies by .* around 1e\+07: subtract its mean; pass",
    ):
        model = LogisticRegression(l1_ratio=l1_ratio).fit((X + 1e7).astype(np.float32), y)
    assert not model.converged_ and np.isfinite(model.coef_).all()


def test_the_gap_reached_is_named():
    X, y = load_breast_cancer(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="estimated to be") as caught:
        model = LogisticRegression(max_iter=5, tol=1e-6).fit(X, y)
    gap = model.history_["gap"][-1]
    assert f"estimated to be {gap:.2g} above" in str(caught[0].message)
    best = LogisticRegression(tol=1e-10).fit(X, y).history_["loss"][-1]
    assert 0.1 * gap < model.history_["loss"][-1] - best < 10 * gap


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("K", [2, 5])
def test_single_precision_same_objective_and_any_number_of_threads_same_bits(l1_ratio, storage, K):
    """Large enough for dual ascent on sparse rows, and for pieces of rows."""
    X, y = problem(K, n=6000, d=60)
    X = X * (np.random.default_rng(0).random(X.shape) < 0.7)
    how = {"l1_ratio": l1_ratio, "C": 0.1, "random_state": 0}
    double = LogisticRegression(tol=1e-9, **how).fit(storage(X), y)
    one, two = (
        LogisticRegression(tol=1e-6, n_threads=n, **how).fit(storage(X.astype(np.float32)), y) for n in (1, 2)
    )
    assert_array_equal(one.coef_, two.coef_)
    assert_array_equal(one.intercept_, two.intercept_)
    loss = -one.predict_log_proba(X)[np.arange(len(y)), y].mean()
    W = one.coef_.astype(np.float64)
    penalty = ((1 - l1_ratio) / 2 * np.square(W).sum() + l1_ratio * np.abs(W).sum()) / (0.1 * len(y))
    assert_allclose(loss + penalty, double.history_["loss"][-1], rtol=1e-5)


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
def test_uneven_columns_are_named(storage):
    X, y = problem(2)
    X[:, 1] *= 1e6
    X[:, 3] *= 1e-3
    with pytest.warns(ConvergenceWarning, match=r"differ in size by a factor of .* column 1 .* column 3 "):
        LogisticRegression(max_iter=1, tol=1e-12).fit(storage(X), y)


@pytest.mark.parametrize("solver", ["auto", "prox_newton", "sgd", "lbfgs", "newton-cg", "saga"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_separable_without_a_penalty(solver, n_classes):
    X, y = problem(n_classes, n=20, d=30)
    with pytest.warns(ConvergenceWarning, match="separable") as caught:
        model = LogisticRegression(C=np.inf, solver=solver, max_iter=1000).fit(X, y)
    assert len(caught) == 1
    assert model.converged_ is False and np.isfinite(model.coef_).all()
    assert model.score(X, y) == 1.0


def test_not_separable_without_a_penalty(data):
    X, y = data
    assert LogisticRegression(C=np.inf).fit(X, y).converged_


def test_max_iter_zero_leaves_the_start(data):
    X, y = data
    with pytest.warns(ConvergenceWarning, match="max_iter = 0"):
        model = LogisticRegression(max_iter=0).fit(X, y)
    assert_array_equal(model.coef_, 0.0)
    assert model.n_iter_[0] == 0


@pytest.mark.parametrize("arguments", [{"solver": "lbfgs", "l1_ratio": 1}, {"solver": "sag", "dual": True}])
def test_what_a_solver_cannot_do(arguments):
    X, y = problem(2)
    with pytest.raises(ValueError, match=f"Solver {arguments['solver']} supports only"):
        LogisticRegression(**arguments).fit(X, y)


@pytest.mark.parametrize(
    "arguments", [{"C": 0}, {"C": -1}, {"l1_ratio": 2}, {"tol": -1}, {"solver": "magic"}, {"n_threads": 0}]
)
def test_arguments_refused(arguments):
    X, y = problem(2)
    with pytest.raises(ValueError, match=next(iter(arguments))):
        LogisticRegression(**arguments).fit(X, y)


def test_same_bits_for_any_number_of_threads():
    X, y = problem(4, n=3000, d=40)
    fits = [LogisticRegression(n_threads=n_threads).fit(X, y) for n_threads in (1, 2, 3)]
    for one, other in itertools.pairwise(fits):
        assert_array_equal(one.coef_, other.coef_)
        assert_array_equal(one.predict_proba(X), other.predict_proba(X))


# In company -----------------------------------------------------------------------------------------------


def test_clone_and_pickle(data):
    X, y = data
    model = LogisticRegression(C=3.0, n_threads=1, solver="newton-cg").fit(X, y)
    assert clone(model).get_params() == model.get_params()
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.fit(X, y).converged_


def test_pipeline_and_search():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0, 10.0]}, scoring="neg_log_loss", cv=3)
    assert search.fit(X, y).score(X, y) > -0.2
    assert cross_val_score(pipeline, X, y).mean() > 0.9


def test_text_pipeline():
    texts = ["good fine film", "bad poor film", "fine good", "poor bad plot", "good plot", "bad"]
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    assert pipeline.fit(texts, ["pos", "neg"] * 2 + ["pos", "neg"]).predict(["good good film"]) == ["pos"]


def test_calibration():
    X, y = make_classification(n_samples=200, random_state=0)
    calibrated = CalibratedClassifierCV(LogisticRegression(), cv=3).fit(X, y)
    assert calibrated.score(X, y) > 0.8


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_feature_names(library):
    frames = pytest.importorskip(library)
    X, y = problem(2)
    names = [f"column {j}" for j in range(X.shape[1])]
    frame = frames.DataFrame(dict(zip(names, X.T, strict=True)))
    model = LogisticRegression().fit(frame, y)
    assert_array_equal(model.feature_names_in_, names)
    assert_allclose(model.coef_, LogisticRegression().fit(X, y).coef_)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frames.DataFrame(dict(zip(reversed(names), X.T, strict=True))))


def test_metadata_routing_knows_the_arguments_of_fit():
    with sklearn.config_context(enable_metadata_routing=True):
        model = LogisticRegression().set_fit_request(sample_weight=True, eval_set=False)
        assert model.get_metadata_routing().fit.requests == {"sample_weight": True, "eval_set": False}


def test_warm_start_without_the_intercept_it_had():
    X, y = problem(2)
    model = LogisticRegression(warm_start=True).fit(X, y)
    assert model.intercept_[0] != 0
    model.set_params(fit_intercept=False, tol=1e-16).fit(X, y)
    assert model.intercept_[0] == 0
    assert_allclose(model.coef_, LogisticRegression(fit_intercept=False, tol=1e-16).fit(X, y).coef_)
