"""Weights of rows and classes: only their ratios matter, at any scale, and zero is absent."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    BaseCrossValidator,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
)

from fastxent import LogisticRegression, LogisticRegressionCV, SGDClassifier, logistic_path
from fastxent.estimators.weighting import class_weights

STORAGES = {"C": np.ascontiguousarray, "F": np.asfortranarray, "csr": sp.csr_array}
SOLVERS = ["metric", "sdca", "prox_newton", "sgd", "lbfgs", "newton-cg"]
TINY, HUGE = (5e-324, 1e-310, 1e-300, 1e-60), (1e60, 1e300, 1e307)
CV = {"Cs": [0.01, 1.0], "l1_ratios": (0,), "use_legacy_attributes": False}


def problem(K, n=90, seed=0, soft=False):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    logits = X @ rng.normal(size=(4, K)) + rng.gumbel(size=(n, K))
    y = logits.argmax(axis=1)
    y[:K] = np.arange(K)
    return X, 0.8 * np.eye(K)[y] + 0.2 / K if soft else y, rng.integers(1, 4, n).astype(float)


def options_of(solver):
    return {"solver": solver, "l1_ratio": 1.0 if solver == "prox_newton" else 0.0, "random_state": 0}


CASES = [
    pytest.param(store, solver, id=f"{solver}-{name}")
    for name, store in STORAGES.items()
    for solver in SOLVERS
    if solver != "sdca" or name == "csr"
]


def fit(model, *data, **more):
    """The model, fitted, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        return model.fit(*data, **more)


# Only ratios matter ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("store", "solver"), CASES)
def test_the_unit_of_weights_belongs_to_c(store, solver, dtype):
    """sum_i s_i loss_i + |W|^2 / 2C: s in other units is C in others, to the bit where the unit is a power of two."""
    for K, soft in ((2, False), (3, True)):
        X, y, s = problem(K, soft=soft)
        X = store(X.astype(dtype))
        for class_weight in (None, dict.fromkeys(range(K), 0.5) | {0: 4.0}):
            one = LogisticRegression(C=0.5, class_weight=class_weight, **options_of(solver)).fit(X, y, s)
            for unit in (2.0**-1000, 2.0**-60, 2.0**1000):
                other = LogisticRegression(C=0.5 / unit, class_weight=class_weight, **options_of(solver))
                other.fit(X, y, unit * s)
                assert_array_equal(other.coef_, one.coef_)
                assert_array_equal(other.history_["loss"], one.history_["loss"])
                if class_weight is not None:
                    other.class_weight = {k: unit * w for k, w in class_weight.items()}
                    assert_array_equal(other.fit(X, y, s).coef_, one.coef_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("store", "solver"), CASES)
def test_weights_of_any_size(store, solver, dtype):
    """C is relative to the sum of weights: tiny ones leave nothing but the penalty, huge ones next to none of it."""
    X, y, s = problem(3)
    X = store(X.astype(dtype))
    model = LogisticRegression(C=1.0, **options_of(solver))
    for size in TINY if solver != "sgd" else ():  # which says that such a penalty leaves it no steps
        fit(model, X, y, np.maximum(size * s, 5e-324))
        assert model.converged_
        assert float(np.abs(model.coef_).max()) < 1e-50
        frequency = np.bincount(y, np.ones(len(y)) if size == 5e-324 else s)
        assert_allclose(model.predict_proba(X[:1])[0], frequency / frequency.sum(), atol=0.02)
    free = LogisticRegression(C=1e20, **options_of(solver)).fit(X, y, s)
    for size in HUGE:
        fit(model, X, y, size / 4 * s)
        assert model.converged_
        assert_allclose(model.history_["loss"][-1], free.history_["loss"][-1], rtol=3e-4)


@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_paths_and_scores_know_no_unit(dtype, scoring):
    X, y, s = problem(3)
    X = X.astype(dtype)
    one = LogisticRegressionCV(cv=3, scoring=scoring, **CV).fit(X, y, s)
    path = logistic_path(X, y, n_alphas=4, sample_weight=s)
    of_these = logistic_path(X, y, Cs=[0.1, 1.0], sample_weight=s)
    for unit in (2.0**-1000, 2.0**-60, 2.0**1000):
        other = LogisticRegressionCV(cv=3, scoring=scoring, **CV | {"Cs": np.array([0.01, 1.0]) / unit})
        other.fit(X, y, unit * s)
        assert_array_equal(other.scores_, one.scores_)
        assert_array_equal(other.coef_, one.coef_)
        assert one.C_ / unit == other.C_
        again = logistic_path(X, y, n_alphas=4, sample_weight=unit * s)
        assert_array_equal(again.coefs, path.coefs)
        assert_array_equal(again.alphas, path.alphas)
        assert_array_equal(again.Cs, path.Cs / unit)
        assert_array_equal(
            logistic_path(X, y, Cs=np.array([0.1, 1.0]) / unit, sample_weight=unit * s).coefs, of_these.coefs
        )


def test_scores_by_weights_whose_sum_is_no_number():
    X, y, s = problem(2)
    one = LogisticRegressionCV(cv=3, scoring="accuracy", **CV).fit(X, y, s)
    huge = LogisticRegressionCV(cv=3, scoring="accuracy", **CV | {"Cs": np.array([0.01, 1.0]) * 2.0**-1020})
    with np.errstate(over="ignore"):
        assert np.sum(2.0**1020 * s) == np.inf
    assert_array_equal(huge.fit(X, y, 2.0**1020 * s).scores_, one.scores_)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_single_precision_does_not_lose_light_rows(class_weight):
    """A class that weighs 1e-60 of the others has its own features all the same."""
    X, y, s = problem(3)
    light = np.where(y == 0, 1e-60 * s, s)
    X = np.c_[X, np.where(y == 0, s, 0.0)].astype(np.float32)  # a column that only these rows have
    single, double = (
        fit(LogisticRegression(class_weight=class_weight, C=1e4, tol=1e-8), data, y, light)
        for data in (X, X.astype(np.float64))
    )
    assert single.coef_.dtype == np.float32
    assert_allclose(single.history_["loss"][-1], double.history_["loss"][-1], rtol=1e-6)
    if class_weight is None:  # computed in double precision, too
        assert_allclose(single.coef_, double.coef_, rtol=1e-5, atol=1e-6)
    else:  # each class weighs the same, and so has a say
        assert single.score(X, y) > 0.6
        assert single.predict_proba(X)[y == 0, 0].min() > 0.5


def test_balanced_classes_of_any_size():
    X, y, s = problem(3)
    sizes = np.array([1e-300, 1e300, 1.0])
    one = LogisticRegression(class_weight="balanced", tol=1e-10).fit(X, y, s)
    for soft in (False, True):
        target = np.eye(3)[y] if soft else y
        scaled = class_weights("balanced", np.arange(3), target, sizes[y] * s)
        shares = [scaled[k] for k in range(3)]
        plain = class_weights("balanced", np.arange(3), y, s)
        for k, share in enumerate(shares):  # w_k s_i has the ratios that it would have without the sizes
            ratio = np.log2(float(share.mantissa) / float(shares[0].mantissa)) + int(
                share.exponent - shares[0].exponent
            )
            wanted = float(plain.mantissa[k] / plain.mantissa[0]) * 2.0 ** int(
                plain.exponent[k] - plain.exponent[0]
            )
            assert ratio + np.log2(sizes[k]) - np.log2(sizes[0]) == pytest.approx(np.log2(wanted), abs=1e-9)
        # S is that of the rows, so C has to make up for it.
        S = float(np.sum(sizes[y] * s / sizes.max())) * 1e300
        model = LogisticRegression(class_weight="balanced", tol=1e-10, C=s.sum() / S)
        assert_allclose(model.fit(X, target, sizes[y] * s).coef_, one.coef_, rtol=1e-6, atol=1e-8)


def test_class_weights_of_any_size_meet_row_weights_of_any_size():
    X, y, s = problem(3)
    sizes = np.array([1e-200, 1e200, 1e120])
    one = LogisticRegression(tol=1e-10).fit(X, y, s)
    for target in (y, np.eye(3)[y]):
        model = LogisticRegression(class_weight=dict(enumerate(1.0 / sizes)), tol=1e-10)
        assert_allclose(model.fit(X, target, sizes[y] * s).coef_, one.coef_, rtol=1e-6, atol=1e-8)


def test_soft_labels_weigh_by_class_as_labels_do():
    X, y, s = problem(3)
    how = {"class_weight": {0: 5.0, 1: 0.1, 2: 1.0}, "tol": 1e-8}
    hard = LogisticRegression(**how).fit(X, y, s)
    soft = LogisticRegression(**how).fit(X, np.eye(3)[y], s)
    assert_allclose(soft.history_["loss"][-1], hard.history_["loss"][-1], rtol=1e-12)
    assert_allclose(soft.coef_, hard.coef_, rtol=1e-10)


def test_one_number_for_all_rows():
    X, y, _ = problem(2)
    assert_array_equal(
        LogisticRegression().fit(X, y, 2.5).coef_, LogisticRegression().fit(X, y, np.full(len(y), 2.5)).coef_
    )


# Zero is absent ----------------------------------------------------------------------------------------------


def with_garbage(K, soft=False):
    """Rows among which others, unlike any of them, weigh nothing; which count, and the weights."""
    X, y, s = problem(K, soft=soft)
    rng = np.random.default_rng(1)
    counts = np.zeros(len(X) + 40, bool)
    counts[rng.choice(len(counts), len(X), replace=False)] = True
    rows, weight = 1e6 * rng.normal(size=(len(counts), 4)), np.zeros(len(counts))
    rows[np.flatnonzero(~counts)[0], 0] = 1e30  # single precision cannot square it
    target = rng.dirichlet(np.ones(K), len(counts)) if soft else rng.integers(K, size=len(counts))
    rows[counts], target[counts], weight[counts] = X, y, s + 0.5
    return rows, target, weight, counts


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("store", "solver"), CASES)
def test_rows_that_weigh_nothing_are_absent(store, solver, dtype):
    for K, soft, class_weight in ((2, False, "balanced"), (3, True, "balanced"), (3, False, None)):
        X, y, weight, counts = with_garbage(K, soft)
        X = X.astype(dtype)
        with_them, without = (
            LogisticRegression(class_weight=class_weight, **options_of(solver)).fit(*data)
            for data in ((store(X), y, weight), (store(X[counts]), y[counts], weight[counts]))
        )
        assert_array_equal(with_them.coef_, without.coef_)
        assert_array_equal(with_them.intercept_, without.intercept_)
        assert_array_equal(with_them.history_["loss"], without.history_["loss"])


@pytest.mark.parametrize("group", [None, "features"])
def test_they_are_absent_from_a_path(group):
    X, y, weight, counts = with_garbage(3)
    with_them, without = (
        logistic_path(*data, sample_weight=w, n_alphas=4, penalty_groups=group)
        for *data, w in ((X, y, weight), (X[counts], y[counts], weight[counts]))
    )
    for one, other in zip(with_them, without, strict=True):
        assert_array_equal(one, other)


class Alternating(BaseCrossValidator):
    """A splitter that is not scikit-learn's, and has its own idea of what rows are called."""

    def __init__(self, fold_of_row):
        self.fold_of_row = fold_of_row

    def get_n_splits(self, X=None, y=None, groups=None):
        return 2

    def _iter_test_indices(self, X=None, y=None, groups=None):
        for fold in range(2):
            yield np.flatnonzero(self.fold_of_row == fold)


def splitters(counts):
    """Pairs: a cv for all rows, and what it amounts to for those that count."""
    number, zero = np.flatnonzero(counts), np.flatnonzero(~counts)
    fold = (np.cumsum(counts) - 1) % 3
    pairs = list(KFold(3).split(number))
    of_all = [(np.r_[number[train], zero[::2]], np.r_[number[test], zero[1::2]]) for train, test in pairs]
    masks = [(np.isin(np.arange(len(counts)), train), test) for train, test in of_all]
    return {
        "None": (None, None),
        "int": (3, 3),
        "StratifiedKFold": (StratifiedKFold(4, shuffle=True, random_state=0),) * 2,
        "ShuffleSplit": (ShuffleSplit(2, random_state=1),) * 2,
        "PredefinedSplit": (PredefinedSplit(np.where(counts, fold, 1)), PredefinedSplit(fold[counts])),
        "own": (Alternating(fold % 2), Alternating(fold[counts] % 2)),
        "pairs": (of_all, pairs),
        "masks": (masks, pairs),
    }


@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy"])
@pytest.mark.parametrize("cv", list(splitters(np.ones(9, bool))))
def test_they_are_absent_from_folds_and_scores(cv, scoring):
    for store, soft in ((np.asarray, False), (sp.csr_array, scoring == "neg_log_loss")):
        X, y, weight, counts = with_garbage(3, soft)
        of_all, of_some = splitters(counts)[cv]
        with_them = LogisticRegressionCV(cv=of_all, scoring=scoring, **CV).fit(store(X), y, weight)
        without = LogisticRegressionCV(cv=of_some, scoring=scoring, **CV)
        without.fit(store(X[counts]), y[counts], weight[counts])
        assert_array_equal(with_them.scores_, without.scores_)
        assert_array_equal(with_them.coefs_paths_, without.coefs_paths_)
        assert_array_equal(with_them.coef_, without.coef_)


def test_groups_are_those_of_the_rows_that_count():
    X, y, weight, counts = with_garbage(2)
    groups = np.where(counts, (np.cumsum(counts) - 1) % 3, 7)  # a group of nothing but absent rows
    with config_context(enable_metadata_routing=True):
        for weighted in (True, False):
            scorer = get_scorer("accuracy").set_score_request(sample_weight=weighted)
            model = LogisticRegressionCV(cv=LeaveOneGroupOut(), scoring=scorer, **CV)
            with_them = model.fit(X, y, weight, groups=groups).scores_
            without = model.fit(X[counts], y[counts], weight[counts], groups=groups[counts]).scores_
            assert without.shape[0] == 3
            assert_array_equal(with_them, without)


def test_a_class_of_weight_zero_is_absent_but_known():
    X, y, s = problem(3)
    with pytest.warns(ConvergenceWarning, match="Class 1 has no rows of positive weight"):
        model = LogisticRegression(class_weight={1: 0.0}, tol=1e-8).fit(X, y, s)
    two = LogisticRegression(tol=1e-8).fit(X[y != 1], y[y != 1], s[y != 1])
    assert_array_equal(model.classes_, [0, 1, 2])
    assert set(model.predict(X)) == {0, 2}
    assert_array_equal(two.classes_, [0, 2])


@pytest.mark.parametrize("fitted", [LogisticRegression, lambda: LogisticRegressionCV(**CV), logistic_path])
def test_weights_that_leave_one_class_are_refused(fitted):
    X, y, _ = problem(2)
    labels = np.array(["no", "yes"])[y]
    fit = fitted if fitted is logistic_path else fitted().fit
    with pytest.raises(ValueError, match="only one class: 'yes'; the weights of all other rows are zero"):
        fit(X, labels, sample_weight=y.astype(float))
    with pytest.raises(ValueError, match="only one class: 1; the weights of all other rows"):
        fit(X, np.eye(3)[y], sample_weight=y.astype(float))
    with pytest.raises(ValueError, match="sample_weight is zero for every row"):
        fit(X, y, sample_weight=np.zeros(len(y)))
    if fitted is LogisticRegression:
        with pytest.raises(ValueError, match="only one class: 'no'; the weights of all other rows are zero"):
            LogisticRegression(class_weight={"no": 1.0, "yes": 0.0}).fit(X, labels)
        with pytest.raises(
            ValueError, match="The weights of all rows are zero after multiplication by class_weight"
        ):
            LogisticRegression(class_weight={0: 0.0}).fit(X, y, 1.0 * (y == 0))


def test_folds_without_rows_that_weigh_something_are_refused():
    X, y, s = problem(2)
    s[:30] = 0
    rows = np.arange(len(y))
    model = LogisticRegressionCV(cv=[(rows[45:], rows[30:45]), (rows[30:], rows[:30])], **CV)
    with pytest.raises(ValueError, match="cv gave no test rows that weigh something in fold 1"):
        model.fit(X, y, s)


def test_the_scale_of_absent_rows_does_not_matter():
    X, y, s = problem(2)
    X[0], s[0] = 1e200, 0.0
    model = fit(LogisticRegression(), X, y, s)
    assert_array_equal(model.coef_, LogisticRegression().fit(X[1:], y[1:], s[1:]).coef_)
    with pytest.raises(ValueError, match=r"largest entry of X is 1e\+200"):
        LogisticRegression().fit(X, y)


# The same for stochastic descent -----------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 16, None])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_descent_knows_ratios_alone(dtype, batch_size):
    X, y, s = problem(3)
    X, s = X.astype(dtype), s + 0.5
    sizes = np.array([2.0**-700, 2.0**700, 2.0**400])
    how = {"batch_size": batch_size, "max_iter": 3, "tol": None, "random_state": 0}
    for target in (y, np.eye(3)[y]):
        one = SGDClassifier(**how).fit(X, target, sample_weight=s)
        for unit in (2.0**-1000, 2.0**-200, 2.0**1000):
            assert_array_equal(SGDClassifier(**how).fit(X, target, sample_weight=unit * s).coef_, one.coef_)
        by_class = SGDClassifier(class_weight=dict(enumerate(1.0 / sizes)), **how)
        by_class.fit(X, target, sample_weight=sizes[y] * s)
        assert_allclose(by_class.coef_, one.coef_, rtol=1e-4 if dtype == np.float32 else 1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [1, 16, None])
@pytest.mark.parametrize(
    "optimizer", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "ftrl"]
)
def test_training_in_pieces_knows_ratios_alone(optimizer, batch_size, dtype):
    """Where the step size comes from the data; a given one is the step of a row of weight 1."""
    X, y, s = problem(3)
    X, s = X.astype(dtype), s + 0.5

    def trained(unit):
        model = SGDClassifier(optimizer=optimizer, batch_size=batch_size)
        for rows in (slice(0, 32), slice(32, 64), slice(64, None)):
            model.partial_fit(X[rows], y[rows], classes=range(3), sample_weight=unit * s[rows])
        return model.coef_

    for unit in (1e-300, 1e-40, 1e-3, 1e6, 1e60, 1e300):
        assert_allclose(trained(unit), trained(1.0), rtol=1e-4 if dtype == np.float32 else 1e-9)
