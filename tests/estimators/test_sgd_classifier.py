"""SGDClassifier: scikit-learn's contract, the same optimum as LogisticRegression, and what it does beyond."""

import inspect
import os
import pickle
import signal
import threading
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastxent import LogisticRegression, SGDClassifier, reference
from fastxent.estimators.held_out import split
from fastxent.sgd import trainer


@parametrize_with_checks(
    [
        SGDClassifier(),
        SGDClassifier(batch_size=7, optimizer="nesterov"),
        SGDClassifier(optimizer="adagrad", penalty="elasticnet"),
        SGDClassifier(optimizer="svrg"),
        SGDClassifier(batch_size=None, max_iter=200),
    ]
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def problem(n_classes, n=200, d=6, seed=0):
    """Noisy labels of a linear rule, all classes present."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + 0.5
    y = np.argmax(X @ rng.normal(size=(d, n_classes)) + rng.gumbel(size=(n, n_classes)), axis=1)
    y[:n_classes] = np.arange(n_classes)
    return X, y


def two_parts():
    """Rows to train on, which can be learned by heart, and rows of the same rule to be measured by."""
    X, y = problem(3, n=420, d=40)
    return (X[:120], y[:120]), (X[120:], y[120:])


@pytest.fixture(params=[2, 4], ids=["binary", "multinomial"])
def data(request):
    return problem(request.param)


def objective(model, X, y, alpha=0.0, l1_ratio=0.0):
    """The penalised loss, by the plain reference."""
    W = model.coef_
    loss = reference.linear_cross_entropy(X, y, W[0] if len(W) == 1 else W, _intercept(model))
    return loss + alpha * ((1 - l1_ratio) / 2 * (W**2).sum() + l1_ratio * np.abs(W).sum())


def _intercept(model):
    return model.intercept_[0] if len(model.intercept_) == 1 else model.intercept_


# The optimum ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet"])
@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adagrad", "ftrl", "rmsprop", "adam"])
@pytest.mark.parametrize("batch_size", [1, 20])
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
def test_descends_to_the_optimum_of_the_same_objective(data, optimizer, penalty, batch_size, storage):
    X, y = data
    schedule = {"adagrad": "auto", "ftrl": "auto", "rmsprop": "cosine", "adam": "cosine"}
    alpha, l1_ratio = 0.02, {"l2": 0.0, "l1": 1.0, "elasticnet": 0.4}[penalty]
    best = LogisticRegression(C=1 / (alpha * len(y)), l1_ratio=l1_ratio, tol=1e-9, max_iter=1000).fit(X, y)
    model = SGDClassifier(
        penalty=penalty,
        alpha=alpha,
        l1_ratio=l1_ratio,
        optimizer=optimizer,
        batch_size=batch_size,
        learning_rate=schedule.get(optimizer, "optimal"),
        max_iter=300,
        tol=None,
        random_state=0,
    ).fit(storage(X), y)
    least = objective(best, X, y, alpha, l1_ratio)
    assert least - 1e-9 <= objective(model, X, y, alpha, l1_ratio) < least + 0.01


@pytest.mark.parametrize(("alpha", "gap"), [(0.2, 1e-5), (0.05, 1e-4)])
def test_a_strong_l1_penalty_is_no_obstacle_to_the_default_schedule(alpha, gap):
    # Where the penalty soon shortens the steps, they must be long enough to begin with.
    X, y = make_classification(1000, random_state=0)
    best = LogisticRegression(C=1 / (alpha * len(y)), l1_ratio=1.0, tol=1e-10, max_iter=1000).fit(X, y)
    model = SGDClassifier(penalty="l1", alpha=alpha, max_iter=16, tol=None, random_state=0).fit(X, y)
    assert objective(model, X, y, alpha, 1.0) < objective(best, X, y, alpha, 1.0) + gap


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov"])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_full_batch_descent_reaches_the_gradient_tolerance(data, optimizer, l1_ratio):
    X, y = data
    alpha = 0.05
    model = SGDClassifier(
        penalty="elasticnet",
        alpha=alpha,
        l1_ratio=l1_ratio,
        optimizer=optimizer,
        batch_size=None,
        tol=1e-12,
        max_iter=5000,
    ).fit(X, y)
    assert model.converged_
    assert model.history_["grad_norm"][-1] ** 2 <= 1e-12 < model.history_["grad_norm"][-2] ** 2
    assert model.n_iter_ == len(model.history_["loss"])
    best = LogisticRegression(C=1 / (alpha * len(y)), l1_ratio=l1_ratio, tol=1e-10, max_iter=1000).fit(X, y)
    least = objective(best, X, y, alpha, l1_ratio)
    assert_allclose(objective(model, X, y, alpha, l1_ratio), least, rtol=1e-9)
    assert_allclose(model.history_["loss"][-1], least, rtol=1e-9)
    assert np.array_equal(model.coef_ == 0, np.abs(best.coef_) < 1e-9)


@pytest.mark.parametrize("storage", ["dense", "sparse"])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_variance_reduction_reaches_the_optimum(data, l1_ratio, storage):
    X, y = data
    alpha, weight = 0.01, np.random.default_rng(0).integers(0, 4, len(y))
    Z = sp.csr_array(X) if storage == "sparse" else X
    settings = {
        "penalty": "elasticnet",
        "alpha": alpha,
        "l1_ratio": l1_ratio,
        "tol": 1e-14,
        "random_state": 0,
    }
    model = SGDClassifier(optimizer="svrg", max_iter=500, **settings).fit(Z, y, sample_weight=weight)
    assert model.converged_ and model.n_iter_ < 300
    X, y = X.repeat(weight, axis=0), y.repeat(weight)
    best = LogisticRegression(C=1 / (alpha * len(y)), l1_ratio=l1_ratio, tol=1e-10, max_iter=1000).fit(X, y)
    least = objective(best, X, y, alpha, l1_ratio)
    assert_allclose(objective(model, X, y, alpha, l1_ratio), least, rtol=1e-10)


def test_partial_fit_of_svrg_says_why_it_is_missing(data):
    X, y = data
    with pytest.raises(AttributeError, match=r"^partial_fit: optimizer='svrg' needs all rows at once"):
        SGDClassifier(optimizer="svrg").partial_fit(X, y, classes=np.unique(y))
    assert not hasattr(SGDClassifier(optimizer="svrg"), "partial_fit")
    assert hasattr(SGDClassifier(), "partial_fit")
    assert SGDClassifier.partial_fit.__doc__.startswith("Go on training")
    assert "classes" in inspect.signature(SGDClassifier.partial_fit).parameters


def test_plain_gradient_descent_never_goes_up(data):
    X, y = data
    with pytest.warns(ConvergenceWarning, match="max_iter=50"):
        model = SGDClassifier(batch_size=None, tol=0.0, max_iter=50).fit(1000 * X, y)
    assert (np.diff(model.history_["loss"]) < 0).all()


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adagrad", "adam", "rmsprop", "ftrl"])
def test_default_step_suits_any_scale(data, scale, optimizer):
    X, y = data
    model = SGDClassifier(random_state=0, optimizer=optimizer, penalty=None, max_iter=50, tol=None)
    assert model.fit(scale * X, y).score(scale * X, y) > model.fit(X, y).score(X, y) - 0.12


# Worked numbers -------------------------------------------------------------------------------------------


def test_one_step_of_stochastic_descent():
    model = SGDClassifier(eta0=0.01, learning_rate="constant", penalty=None, max_iter=1, tol=None)
    model.fit([[0.82]], [[0, 1]], coef_init=[[0.5]], intercept_init=[0.04])
    p = 1 / (1 + np.exp(-(0.04 + 0.5 * 0.82)))
    assert_allclose(model.intercept_, 0.04 - 0.01 * (p - 1), rtol=1e-14)
    assert_allclose(model.coef_, [[0.5 - 0.01 * (p - 1) * 0.82]], rtol=1e-14)
    assert_allclose([model.intercept_[0], model.coef_[0, 0]], [0.0439, 0.5032], atol=5e-5)


def test_ridge_leaves_the_intercept_alone():
    """Labels without any relation to X: under a huge penalty only the intercept has something to say."""
    X, y = problem(3)
    model = SGDClassifier(alpha=10.0, batch_size=None, tol=1e-16, max_iter=20000, optimizer="nesterov").fit(
        X, y
    )
    assert np.abs(model.coef_).max() < 0.05
    assert_allclose(model.predict_proba(X[:1])[0], np.bincount(y) / len(y), atol=0.03)


# Continuing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", ["dense", "sparse"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "optimizer", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "ftrl"]
)
@pytest.mark.parametrize("penalty", [None, "l2", "elasticnet"])
def test_pieces_equal_one_pass_bit_for_bit(data, optimizer, penalty, dtype, storage):
    X, y = data
    X = (X * (np.random.default_rng(0).random(X.shape) < 0.5)).astype(dtype)
    X = sp.csr_array(X) if storage == "sparse" else X
    for batch_size, average in ((1, False), (4, True)):
        settings = {
            "optimizer": optimizer,
            "penalty": penalty,
            "batch_size": batch_size,
            "average": average,
            "learning_rate": "optimal",
            "warmup": 20,
        }
        whole = SGDClassifier(shuffle=False, max_iter=1, tol=None, **settings).fit(X, y)
        pieces = SGDClassifier(**settings)
        for first, stop in ((0, 4), (4, 60), (60, 100), (100, 200)):
            pieces.partial_fit(X[first:stop], y[first:stop], classes=np.unique(y))
            pieces = pickle.loads(pickle.dumps(pieces))
        assert_array_equal(pieces.coef_, whole.coef_)
        assert_array_equal(pieces.intercept_, whole.intercept_)
        assert pieces.t_ == whole.t_ == 200 // batch_size
        assert pieces.coef_.dtype == dtype


def test_dense_pieces_may_follow_sparse_ones(data):
    X, y = data
    model, same = SGDClassifier(optimizer="adamw"), SGDClassifier(optimizer="adamw")
    for part, form in ((slice(0, 90), sp.csr_array), (slice(90, 200), np.asfortranarray)):
        model.partial_fit(form(X[part]), y[part], classes=np.unique(y))
        same.partial_fit(X[part], y[part], classes=np.unique(y))
    assert_allclose(model.coef_, same.coef_, rtol=1e-9)


def test_partial_fit_goes_on_after_fit(data):
    X, y = data
    model = SGDClassifier(max_iter=2, tol=None, random_state=0).fit(X, y)
    before = model.coef_.copy()
    model.partial_fit(X, y)
    assert model.t_ == 3 * len(y)
    assert not np.array_equal(model.coef_, before)


def test_partial_fit_needs_the_classes_and_keeps_them(data):
    X, y = data
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        SGDClassifier().partial_fit(X, y)
    model = SGDClassifier().partial_fit(X, y, classes=np.unique(y))
    with pytest.raises(ValueError, match="differs from the first call"):
        model.partial_fit(X, y, classes=[5, 6])
    with pytest.raises(ValueError, match=r"label 77 \(row 0\)"):
        model.partial_fit(X[:2], [77, 1])
    with pytest.raises(ValueError, match="balanced"):
        SGDClassifier(class_weight="balanced").partial_fit(X, y, classes=np.unique(y))


def test_a_piece_may_have_one_class_but_not_no_weight(data):
    X, y = data
    model = SGDClassifier().partial_fit(X[y == 0], y[y == 0], classes=np.unique(y))
    before, t = model.coef_.copy(), model.t_
    with pytest.raises(ValueError, match="sample_weight is zero for every row"):
        model.partial_fit(X, y, sample_weight=np.zeros(len(y)))
    model.set_params(class_weight={0: 0.0})
    with pytest.raises(ValueError, match="zero after multiplication by class_weight"):
        model.partial_fit(X[y == 0], y[y == 0])
    assert_array_equal(model.coef_, before)
    assert model.t_ == t


# Weights and labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 8, None])
def test_rows_of_weight_zero_are_not_there(data, batch_size):
    X, y = data
    weight = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    settings = {"batch_size": batch_size, "random_state": 3, "max_iter": 20, "tol": None}
    with_zeros = SGDClassifier(**settings).fit(X, y, sample_weight=weight)
    keep = weight > 0
    without = SGDClassifier(**settings).fit(X[keep], y[keep], sample_weight=weight[keep])
    assert_allclose(with_zeros.coef_, without.coef_, rtol=0 if batch_size else 1e-10)


def with_garbage(X, y, weight):
    """Rows with wrong labels and a weight of zero in between."""
    places = np.arange(len(y)).repeat(2)
    absent = np.arange(len(places)) % 2 == 1
    wrong = np.where(absent, (y[places] + 1) % (y.max() + 1), y[places])
    return (
        np.where(absent[:, np.newaxis], 9.0 - X[places], X[places]),
        wrong,
        np.where(absent, 0.0, weight[places]),
    )


@pytest.mark.parametrize("weighted", ["equal", "whole", "large", "other", "balanced"])
@pytest.mark.parametrize("validation_metric", ["log_loss", "accuracy"])
@pytest.mark.parametrize("batch_size", [1, 8, None])
def test_rows_of_weight_zero_are_not_held_out(data, batch_size, validation_metric, weighted):
    X, y = data
    rng = np.random.default_rng(0)
    weight = {
        "whole": rng.integers(1, 4, len(y)),
        "large": rng.integers(11, 15, len(y)),
        "other": rng.random(len(y)),
    }
    weight = weight.get(weighted, np.ones(len(y))).astype(float)
    model = SGDClassifier(
        early_stopping=True,
        validation_metric=validation_metric,
        batch_size=batch_size,
        class_weight="balanced" if weighted == "balanced" else None,
        random_state=3,
        max_iter=10,
        tol=None,
    )
    without = clone(model).fit(X, y, sample_weight=weight)
    Z, wrong, weights = with_garbage(X, y, weight)
    for storage in (np.asarray, sp.csr_array):
        model.fit(storage(Z), wrong, sample_weight=weights)
        same = assert_array_equal if storage is np.asarray else assert_allclose
        same(model.history_["val_loss"], without.history_["val_loss"])
        same(model.coef_, without.coef_)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("batch_size", [1, None])
def test_automatic_steps_do_not_see_rows_of_weight_zero(data, batch_size, optimizer):
    X, y = data
    Z, wrong, weights = with_garbage(X, y, np.ones(len(y)))
    model = SGDClassifier(batch_size=batch_size, optimizer=optimizer, random_state=0, max_iter=3, tol=None)
    without = clone(model).fit(X, y)
    Z[weights == 0] *= 1e3
    assert_allclose(model.fit(Z, wrong, sample_weight=weights).coef_, without.coef_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("validation_metric", ["log_loss", "accuracy"])
@pytest.mark.parametrize("partial", [False, True])
def test_validation_scores_are_weighted(validation_metric, partial):
    """Weights of validation rows are as many rows; those of weight zero are none."""
    (X, y), (Xv, yv) = two_parts()
    weight = np.random.default_rng(0).integers(0, 3, len(yv)).astype(float)
    models = []
    for eval_set in (
        (Xv, yv, weight),
        (Xv.repeat(weight.astype(int), axis=0), yv.repeat(weight.astype(int))),
    ):
        model = SGDClassifier(
            early_stopping=True,
            validation_metric=validation_metric,
            eta0=0.02,
            learning_rate="constant",
            penalty=None,
            n_iter_no_change=3,
            random_state=0,
        )
        if partial:
            for _ in range(60):
                model.partial_fit(X, y, classes=[0, 1, 2], eval_set=eval_set)
        else:
            model.fit(X, y, eval_set=eval_set)
        assert model.converged_
        models.append(model)
    weighted, repeated = models
    assert_allclose(weighted.history_["val_loss"], repeated.history_["val_loss"], rtol=1e-12)
    assert_array_equal(weighted.coef_, repeated.coef_)
    kept = weight > 0
    expected = reference.linear_cross_entropy(
        Xv[kept], yv[kept], weighted.coef_, weighted.intercept_, sample_weight=weight[kept]
    )
    if validation_metric == "log_loss":
        assert_allclose(weighted.history_["val_loss"].min(), expected, rtol=1e-12)
    unweighted = SGDClassifier(**weighted.get_params()).fit(X, y, eval_set=(Xv, yv))
    assert unweighted.history_["val_loss"][0] != weighted.history_["val_loss"][0]


def test_weights_that_leave_one_class_are_refused(data):
    X, y = data
    only = (y == 1).astype(float)
    with pytest.raises(ValueError, match="only one class: 1"):
        SGDClassifier().fit(X, y, sample_weight=only)
    with pytest.raises(ValueError, match="only one class: 1"):
        SGDClassifier(class_weight=dict.fromkeys(np.unique(y), 0.0) | {1: 2.0}).fit(X, y)
    with pytest.raises(ValueError, match="sample_weight is zero for every row"):
        SGDClassifier().fit(X, y, sample_weight=np.zeros(len(y)))
    with pytest.raises(ValueError, match=r"eval_set: sample_weight.*zero for every row"):
        SGDClassifier().fit(X, y, eval_set=(X, y, np.zeros(len(y))))
    with pytest.raises(ValueError, match=r"eval_set: sample_weight.*negative"):
        SGDClassifier().fit(X, y, eval_set=(X, y, np.full(len(y), -1.0)))
    model = SGDClassifier().partial_fit(X, y, classes=np.unique(y), sample_weight=only)  # pieces may have one
    assert model.t_ == only.sum()


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_weighted_objective(data, optimizer):
    """Integer weights have the optimum of repeated rows."""
    X, y = data
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    Xr, yr, alpha = X.repeat(weight, axis=0), y.repeat(weight), 0.02
    best = LogisticRegression(C=1 / (alpha * len(yr)), tol=1e-9, max_iter=1000).fit(Xr, yr)
    schedule = "optimal" if optimizer == "sgd" else "constant"
    model = SGDClassifier(
        alpha=alpha, learning_rate=schedule, optimizer=optimizer, max_iter=300, tol=None, random_state=0
    )
    model.fit(X, y, sample_weight=weight)
    least = objective(best, Xr, yr, alpha)
    assert least - 1e-9 <= objective(model, Xr, yr, alpha) < least + 0.01


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-310, 1e-50, 1e6, 1e50, 1e300])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"batch_size": 8, "eta0": 0.1},
        {"optimizer": "adam"},
        {"optimizer": "ftrl", "eta0": 0.1},
        {"optimizer": "svrg"},
        {"batch_size": None},
        {"early_stopping": True, "class_weight": "balanced"},
    ],
)
def test_scale_of_weights_does_not_matter(data, settings, scale, dtype):
    """Not even with a step size of one's own: steps go by the ratios."""
    X, y = data
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    model = SGDClassifier(random_state=0, max_iter=5, tol=None, **settings)
    expected = clone(model).fit(X.astype(dtype), y, sample_weight=weight)
    model.fit(X.astype(dtype), y, sample_weight=scale * weight)
    rtol, atol = (1e-3, 1e-5) if dtype == np.float32 else (1e-7, 1e-10)
    assert_allclose(model.coef_, expected.coef_, rtol=rtol, atol=atol)
    assert_allclose(model.history_["loss"], expected.history_["loss"], rtol=rtol)


def test_equal_weights_are_none(data):
    X, y = data
    settings = {"random_state": 0, "eta0": 0.1, "max_iter": 5, "tol": None}
    one = SGDClassifier(**settings).fit(X, y)
    for weight in (1e6, 0.1):
        many = SGDClassifier(**settings).fit(X, y, sample_weight=np.full(len(y), weight))
        assert_allclose(many.coef_, one.coef_, rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 8, None])
@pytest.mark.parametrize("weighted", [False, True])
def test_soft_labels_that_are_certain_are_labels(data, batch_size, weighted):
    X, y = data
    class_weight = {0: 3.0, 1: 0.5} if weighted else None
    settings = {"batch_size": batch_size, "random_state": 0, "max_iter": 5, "tol": None, "eta0": 0.05}
    hard = SGDClassifier(class_weight=class_weight, **settings).fit(X, y)
    soft = SGDClassifier(class_weight=class_weight, **settings).fit(X, np.eye(y.max() + 1)[y])
    if not weighted:
        assert_allclose(soft.coef_, hard.coef_, rtol=1e-9)
    else:  # labels' class weights make steps longer, soft labels' only their gradients
        assert soft.score(X, y) > hard.score(X, y) - 0.1
    assert soft.predict_proba(X[:3]).shape == (3, y.max() + 1)


def test_arguments_that_scikit_learn_takes(data):
    X, y = data
    how = {"random_state": 0, "max_iter": 3, "tol": None}
    one = SGDClassifier(**how).fit(X, y)
    assert_array_equal(
        SGDClassifier(n_jobs=2, l1_ratio=None, **how).fit(X, y, sample_weight=1.0).coef_, one.coef_
    )
    lasting = SGDClassifier(**how).fit(X, y, sample_weight=0.5)
    assert_array_equal(
        lasting.coef_, SGDClassifier(**how).fit(X, y, sample_weight=np.full(len(y), 0.5)).coef_
    )
    lasting.partial_fit(X, y, sample_weight=0.5)
    with pytest.raises(ValueError, match="l1_ratio must be set when penalty is 'elasticnet'"):
        SGDClassifier(penalty="elasticnet", l1_ratio=None).fit(X, y)
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="sample_weight"):
            SGDClassifier().fit(X, y, sample_weight=wrong)


def test_starting_weights_of_two_classes():
    X, y = problem(2)
    how = {"random_state": 0, "max_iter": 1, "tol": None}
    full = SGDClassifier(**how).fit(X, y, coef_init=np.ones((1, 6)), intercept_init=[0.5])
    short = SGDClassifier(**how).fit(X, y, coef_init=np.ones(6), intercept_init=0.5)
    assert_array_equal(short.coef_, full.coef_)
    assert_array_equal(short.intercept_, full.intercept_)
    X, y = problem(4)
    for name, value in (("coef_init", np.ones(6)), ("intercept_init", 0.5), ("intercept_init", np.ones(1))):
        with pytest.raises(ValueError, match=f"{name} does not match dataset"):
            SGDClassifier().fit(X, y, **{name: value})


def test_an_intercept_that_is_not_fitted_is_where_it_starts(data):
    X, y = data
    K = 1 if y.max() == 1 else y.max() + 1
    for batch_size in (1, 8, None):
        model = SGDClassifier(fit_intercept=False, batch_size=batch_size, max_iter=3, tol=None)
        assert not model.fit(X, y).intercept_.any()
        assert_array_equal(model.fit(X, y, intercept_init=np.full(K, 0.5)).intercept_, 0.5)


def test_strings_and_data_frames():
    X, y = problem(3)
    frame, names = pd.DataFrame(X, columns=list("abcdef")), np.array(["x", "y", "z"])
    model = SGDClassifier(random_state=0).fit(frame, names[y])
    assert list(model.feature_names_in_) == list("abcdef")
    assert set(model.predict(frame)) <= set(names)


# Stopping -------------------------------------------------------------------------------------------------


def test_early_stopping_gives_back_the_best_weights():
    (X, y), held_out = two_parts()
    model = SGDClassifier(
        early_stopping=True,
        eta0=0.02,
        learning_rate="constant",
        penalty=None,
        n_iter_no_change=4,
        random_state=0,
    ).fit(X, y, eval_set=held_out)
    losses = model.history_["val_loss"]
    assert model.converged_
    assert len(losses) == model.n_iter_ == np.argmin(losses) + 5
    assert_allclose(objective(model, *held_out), losses.min(), rtol=1e-10)


@pytest.mark.parametrize("metric", ["log_loss", "accuracy"])
def test_early_stopping_holds_out_a_stratified_share(metric):
    X, y = problem(3)
    y = np.where(np.arange(len(y)) < 20, 2, y % 2)
    model = SGDClassifier(
        early_stopping=True, validation_metric=metric, random_state=0, max_iter=30, tol=None
    )
    model.fit(X, y)
    held_out, kept = split(model, y, np.arange(len(y)))
    assert len(held_out) == 20 and not set(held_out) & set(kept)
    assert np.bincount(y[held_out])[2] == 2
    if metric == "log_loss":
        best = model.history_["val_loss"].min()
        assert_allclose(objective(model, X[held_out], y[held_out]), best, rtol=1e-10)


def test_patience_counts_calls_of_partial_fit():
    (X, y), held_out = two_parts()
    model = SGDClassifier(
        early_stopping=True, eta0=0.02, tol=0.0, learning_rate="constant", penalty=None, n_iter_no_change=3
    )
    for _ in range(100):
        model.partial_fit(X, y, classes=[0, 1, 2], eval_set=held_out)
    losses = model.history_["val_loss"]
    assert model.converged_
    assert len(losses) == np.argmin(losses) + 4 < 100
    assert_allclose(objective(model, *held_out), losses.min(), rtol=1e-10)


def test_callback_stops_and_sees_the_history(data):
    X, y = data
    seen = []

    def callback(info):
        seen.append(info)
        return len(seen) == 3

    model = SGDClassifier(random_state=0).fit(X, y, callback=callback)
    assert model.n_iter_ == 3
    assert [info["epoch"] for info in seen] == [1, 2, 3]
    assert seen[-1]["loss"] == model.history_["loss"][-1]


def test_adaptive_lowers_the_step(data):
    X, y = data
    model = SGDClassifier(learning_rate="adaptive", eta0=1.0, random_state=0).fit(X, y)
    rates = np.unique(model.history_["learning_rate"])
    assert len(rates) > 5
    assert_allclose(rates[1:] / rates[:-1], 5, rtol=1e-9)


class Clock:
    """Every look at it, so many seconds have passed: epochs are cut into pieces by it."""

    def __init__(self, seconds):
        self.now, self.seconds = 0.0, seconds

    def perf_counter(self):
        self.now += self.seconds
        return self.now


@pytest.mark.parametrize(
    ("optimizer", "batch_size", "storage"),
    [
        ("sgd", 1, np.asarray),
        ("sgd", 1, sp.csr_array),
        ("sgd", 16, np.asarray),
        ("adam", 1, np.asarray),
        ("adagrad", 16, sp.csr_array),
        ("svrg", 1, np.asarray),
    ],
)
def test_history_does_not_depend_on_the_clock(optimizer, batch_size, storage, monkeypatch):
    X, y = problem(3, n=3000, d=5)
    settings = {
        "optimizer": optimizer,
        "batch_size": batch_size,
        "max_iter": 3,
        "tol": None,
        "random_state": 0,
    }
    models = []
    for seconds in (1e-4, 3.0):  # pieces of all rows, and of one
        monkeypatch.setattr(trainer, "time", Clock(seconds))
        models.append(SGDClassifier(**settings).fit(storage(X), y))
    quick, slow = models
    assert_array_equal(quick.history_["loss"], slow.history_["loss"])
    assert_array_equal(quick.coef_, slow.coef_)


def test_verbose_tells_of_every_epoch(data, caplog):
    SGDClassifier(verbose=1, max_iter=3, tol=None).fit(*data)
    lines = caplog.messages
    assert len(lines) == 3 and "loss" in lines[-1] and "learning_rate" in lines[-1]


@pytest.mark.parametrize("batch_size", [1, 5, None])
def test_divergence_names_the_learning_rate_and_changes_nothing(data, batch_size):
    X, y = data
    model = SGDClassifier(batch_size=batch_size, random_state=0, max_iter=5, tol=None).fit(X, y)
    before = model.coef_.copy(), model.intercept_.copy(), model.n_iter_
    model.set_params(eta0=1e300, learning_rate="constant", penalty=None)
    with pytest.raises(ValueError, match=r"diverges.*eta0=1e\+300"):
        model.fit(X * 1e8, y)
    assert_array_equal(model.coef_, before[0])
    assert_array_equal(model.intercept_, before[1])
    assert model.n_iter_ == before[2]


def test_divergence_in_partial_fit_leaves_the_training_as_it_was(data):
    X, y = data
    model, same = SGDClassifier(), SGDClassifier()
    model.partial_fit(X, y, classes=np.unique(y))
    same.partial_fit(X, y, classes=np.unique(y))
    with pytest.raises(ValueError, match="largest entry of X"):
        model.partial_fit(X * 1e200, y)
    assert_array_equal(model.partial_fit(X, y).coef_, same.partial_fit(X, y).coef_)


def test_interrupt_ends_a_fit_soon():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400_000, 50)), rng.integers(0, 30, 400_000)
    model = SGDClassifier(tol=None).fit(X[:1000], y[:1000])
    before = model.coef_.copy()
    began = []

    def interrupt():
        began.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.5, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert time.perf_counter() - began[0] < 0.5  # 0.2 s promised; this machine may have something else to do
    assert_array_equal(model.coef_, before)


def test_any_number_of_threads_gives_the_same_bits():
    X, y = problem(4, n=3000, d=40)
    for settings in (
        {},
        {"batch_size": 64, "optimizer": "adam"},
        {"batch_size": None},
        {"optimizer": "svrg"},
    ):
        one, many = (
            SGDClassifier(
                n_threads=n, max_iter=3, tol=None, random_state=0, early_stopping=True, **settings
            ).fit(X, y)
            for n in (1, 3)
        )
        assert_array_equal(one.coef_, many.coef_)
        assert_array_equal(one.history_["val_loss"], many.history_["val_loss"])


@pytest.mark.parametrize("batch_size", [1, 50])
@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
def test_an_epoch_takes_little_memory(batch_size, storage):
    """Beyond data and weights: some numbers a row for their order and sizes; no more rows or classes at a time."""
    n, d, K = 20_000, 300, 200
    rng = np.random.default_rng(0)
    X = storage(rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.1))
    y = rng.integers(0, K, n)
    model = SGDClassifier(batch_size=batch_size, tol=None, max_iter=2)
    model.fit(X, y)  # compiles
    tracemalloc.start()
    model.fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    theta = (d + 1) * K * 8
    assert peak < 80 * n + 10 * theta + 2_000_000  # n K is 32 MB, and the data are 12 (sparse) or 48 MB


# Bad input ------------------------------------------------------------------------------------------------


def test_bad_input_is_refused_with_a_reason(data):
    X, y = data
    with pytest.raises(ValueError, match="only one class"):
        SGDClassifier().fit(X, np.zeros(len(y)))
    with pytest.raises(ValueError, match=r"eval_set must be a pair .*; got ndarray\."):
        SGDClassifier().fit(X, y, eval_set=X)
    with pytest.raises(ValueError, match="float32"):
        SGDClassifier().fit((X * 1e18).astype(np.float32), y)
    with pytest.raises(ValueError, match=r"coef_init does not match dataset: its shape is \(1, 1\)"):
        SGDClassifier().fit(X, y, coef_init=[[1.0]])
    broken = sp.csr_array(X)
    broken.indices[3] = 99
    with pytest.raises(ValueError, match=r"indices\[3\] is 99"):
        SGDClassifier().fit(broken, y)


@pytest.mark.parametrize("kind", ["duplicates", "int64", "readonly", "memmap", "fortran", "strided", "int"])
def test_kinds_of_arrays(data, kind, tmp_path):
    X, y = data
    X = np.round(X)
    expected = SGDClassifier(random_state=0, max_iter=3, tol=None).fit(X, y)
    if kind == "duplicates":
        A = sp.csr_array(X)
        Z = sp.csr_array((np.repeat(A.data, 2) / 2, np.repeat(A.indices, 2), 2 * A.indptr), shape=A.shape)
    elif kind == "int64":
        Z = sp.csr_array(X)
        Z.indices, Z.indptr = Z.indices.astype(np.int64), Z.indptr.astype(np.int64)
    elif kind == "memmap":
        np.save(tmp_path / "X.npy", X)
        Z = np.load(tmp_path / "X.npy", mmap_mode="r")
    elif kind == "strided":
        Z = np.repeat(X, 2, axis=1)[:, ::2]
    else:
        Z = {"fortran": np.asfortranarray, "int": lambda X: X.astype(int), "readonly": np.copy}[kind](X)
        Z.flags.writeable = kind != "readonly"
    model = SGDClassifier(random_state=0, max_iter=3, tol=None).fit(Z, y)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-9)


def test_hogwild_ends_near_the_serial_result():
    rng = np.random.default_rng(0)
    X = sp.random_array((30_000, 2000), density=0.005, random_state=rng, format="csr")
    y = np.argmax(X @ rng.normal(size=(2000, 5)) + 0.1 * rng.gumbel(size=(30_000, 5)), axis=1)
    settings = {"alpha": 1e-4, "max_iter": 4, "tol": None, "random_state": 0}
    serial = SGDClassifier(**settings).fit(X, y)
    model = SGDClassifier(parallel="hogwild", n_threads=2, **settings).fit(X, y)
    assert model.t_ == serial.t_
    assert_allclose(objective(model, X, y, 1e-4), objective(serial, X, y, 1e-4), rtol=0.1)
    for wrong in ({"batch_size": 4}, {"optimizer": "adam"}, {"penalty": "l1"}, {"average": True}):
        with pytest.raises(ValueError, match="parallel='hogwild' is for optimizer='sgd'"):
            SGDClassifier(parallel="hogwild", **wrong).fit(X, y)
    with pytest.raises(ValueError, match="sparse X"):
        SGDClassifier(parallel="hogwild").fit(X[:100].toarray(), y[:100])


@pytest.mark.parametrize("batch_size", [1, 32, 128])
@pytest.mark.parametrize("kind", ["words", "columns", "categories", "far from zero"])
def test_the_default_schedule_learns_as_much_per_epoch_as_adagrad(kind, batch_size):
    """Of minibatches, too, steps are as long as the rows allow; and the intercept passes on no noise of single rows."""
    rng = np.random.default_rng(0)
    if kind == "words":
        X = sp.random_array((4000, 2000), density=0.01, random_state=rng, format="csr")
        X.data[:] = 1.0
    elif kind == "columns":
        X = rng.normal(size=(4000, 30))
    elif kind == "categories":  # one of each 60, some of which are rare
        levels = np.minimum(rng.zipf(1.5, size=(4000, 12)), 60) - 1 + 60 * np.arange(12)
        X = sp.csr_array(
            (np.ones(levels.size), levels.ravel(), np.arange(0, levels.size + 1, 12)), (4000, 720)
        )
    else:
        X = rng.lognormal(size=(4000, 20))
    y = (X @ rng.normal(size=(X.shape[1], 8)) + rng.gumbel(size=(4000, 8))).argmax(axis=1)

    def loss(optimizer):
        model = SGDClassifier(
            optimizer=optimizer, alpha=1e-5, batch_size=batch_size, max_iter=2, tol=None, random_state=0
        ).fit(X[:3000], y[:3000])
        return -np.log(model.predict_proba(X[3000:])[np.arange(1000), y[3000:]]).mean()

    assert loss("sgd") < loss("adagrad") + 0.05
