"""The ``callback`` of every fit, and scikit-learn's callback protocol, where the installed version has it."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from fastxent import LogisticRegression, LogisticRegressionCV, SGDClassifier, logistic_path
from fastxent.solvers.dual import sdca

protocol = pytest.mark.skipif(
    not hasattr(LogisticRegression, "set_callbacks"), reason="scikit-learn has callbacks from version 1.9 on"
)


class Watcher:
    """A callback in scikit-learn's protocol that counts what it is told, and may ask to stop."""

    def __init__(self, stop_after=None):
        self.begun, self.scores, self.stop_after = [], [], stop_after

    def setup(self, estimator, context):
        self.begun.append("setup")

    def teardown(self, estimator, context):
        self.begun.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        if context.task_name != "fit-iter" or fitted_estimator is None:
            return False
        self.scores.append(fitted_estimator.score(X, y))
        return len(self.scores) == self.stop_after


def problem():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 6))
    return X, np.argmax(X @ rng.normal(size=(6, 3)) + rng.gumbel(size=(200, 3)), axis=1)


@protocol
@pytest.mark.parametrize(
    "model",
    [
        *(LogisticRegression(solver=solver, tol=1e-10) for solver in ("auto", "newton-cg", "saga")),
        *(SGDClassifier(tol=None, max_iter=9, batch_size=size, random_state=0) for size in (1, 20, None)),
        SGDClassifier(tol=None, max_iter=9, optimizer="svrg", random_state=0),
    ],
    ids=str,
)
def test_callbacks_see_every_iteration_and_may_stop(model):
    X, y = problem()
    watcher = Watcher(stop_after=3)
    model.set_callbacks(watcher).fit(X, y)
    assert len(watcher.scores) == 3 == np.max(model.n_iter_)
    assert watcher.scores[-1] == model.score(X, y)
    assert model.converged_ is False


@protocol
def test_callbacks_change_nothing_and_see_begin_and_end():
    X, y = problem()
    settings = {"tol": None, "max_iter": 4, "random_state": 0}
    watcher = Watcher()
    model = SGDClassifier(**settings).set_callbacks(watcher).fit(X, y)
    np.testing.assert_array_equal(model.coef_, SGDClassifier(**settings).fit(X, y).coef_)
    assert watcher.begun[0] == "setup" and watcher.begun[-1] == "teardown"
    assert watcher.begun.count("fit-iter") == 5 and len(watcher.scores) == 4  # and an empty one in the end


# The argument of fit ----------------------------------------------------------------------------------------


SOLVERS = ["auto", "metric", "sdca", "prox_newton", "sgd", "lbfgs", "newton-cg", "saga"]


def fitted_by(solver):
    """A model whose fits take some iterations, and rows that it takes."""
    X, y = problem()
    l1 = solver in ("prox_newton", "saga")
    model = LogisticRegression(solver=solver, tol=1e-10, l1_ratio=0.5 if l1 else 0.0)
    return model, sp.csr_array(X) if solver == "sdca" else X, y


@pytest.mark.parametrize("solver", SOLVERS)
def test_callback_sees_the_history_of_every_iteration(solver):
    model, X, y = fitted_by(solver)
    seen = []
    model.fit(X, y, eval_set=(X[:50], y[:50]), callback=seen.append)
    assert len(seen) == model.n_iter_[0] > 1
    assert all(set(entries) == set(model.history_) for entries in seen)
    for name in set(model.history_) - {"gap"}:
        assert [entries[name] for entries in seen] == model.history_[name][1:].tolist()
    plain = fitted_by(solver)[0].fit(X, y)
    assert_array_equal(plain.coef_, model.coef_)


def test_gap_is_the_last_that_is_known():
    model, X, y = fitted_by("metric")
    seen = []
    model.fit(X, y, callback=seen.append)
    assert [entries["gap"] for entries in seen] == model.history_["gap"][:-1].tolist()
    stopped = model.fit(X, y, callback=lambda entries: entries["gap"] < 1e-3 * entries["loss"])
    assert 0 < stopped.n_iter_[0] < len(seen)


@pytest.mark.parametrize("solver", SOLVERS)
def test_callback_ends_the_fit(solver, recwarn):
    model, X, y = fitted_by(solver)
    calls = []
    model.fit(X, y, callback=lambda entries: calls.append(entries) or len(calls) == 2)
    assert len(calls) == model.n_iter_[0] == 2
    assert model.converged_ is False
    assert model.history_["loss"][-1] == calls[-1]["loss"]
    assert not recwarn  # who asked for it need not be warned


def test_where_dual_ascent_hands_over_the_history_goes_on(monkeypatch):
    monkeypatch.setattr(sdca, "_is_slow", lambda gaps: True)
    model, X, y = fitted_by("sdca")
    seen = []
    model.fit(X, y, eval_set=(X, y), callback=seen.append)
    assert model.solver_ == "metric" and model.n_iter_[0] > 2
    assert [entries["epoch"] for entries in seen] == list(range(1, model.n_iter_[0] + 1))
    for name in set(model.history_) - {"gap"}:
        assert [entries[name] for entries in seen] == model.history_[name][1:].tolist()
    assert (np.diff(model.history_["seconds"]) >= 0).all() and (np.diff(model.history_["passes"]) > 0).all()
    assert np.isfinite(model.history_["gap"][1:]).all()
    stopped = model.fit(X, y, callback=lambda entries: entries["epoch"] == 2)
    assert stopped.n_iter_[0] == 2 and not stopped.converged_


@pytest.mark.parametrize("refit", [False, True])
def test_callback_in_cross_validation_says_which_fit(refit):
    X, y = problem()
    settings = {
        "Cs": [0.1, 10],
        "l1_ratios": (0, 0.5),
        "cv": 2,
        "use_legacy_attributes": False,
        "refit": refit,
    }
    seen = []
    model = LogisticRegressionCV(**settings).fit(X, y, callback=seen.append)
    in_folds = [entries for entries in seen if entries["fold"] is not None]
    for fold, r, c in np.ndindex(model.n_iter_.shape):
        fit = fold, model.l1_ratios_[r], model.Cs_[c]
        of_fit = [
            entries for entries in in_folds if (entries["fold"], entries["l1_ratio"], entries["C"]) == fit
        ]
        assert len(of_fit) == model.n_iter_[fold, r, c]
    of_refit = seen[len(in_folds) :]
    assert refit == bool(of_refit)
    assert all((entries["C"], entries["l1_ratio"]) == (model.C_, model.l1_ratio_) for entries in of_refit)
    if refit:
        assert of_refit[-1]["loss"] == model.history_["loss"][-1]
    plain = LogisticRegressionCV(**settings).fit(X, y)
    assert_array_equal(plain.coef_, model.coef_)
    assert_array_equal(plain.scores_, model.scores_)

    model.set_params(tol=1e-10).fit(X, y, callback=lambda entries: True)
    assert (model.n_iter_ == 1).all()
    assert model.converged_ is False


def test_callback_of_a_path_says_which_alpha(recwarn):
    X, y = problem()
    seen = []
    path = logistic_path(X, y, n_alphas=5, callback=seen.append)
    assert [
        sum(entries["alpha"] == alpha for entries in seen) for alpha in path.alphas
    ] == path.n_iters.tolist()
    for entries in seen:
        assert math.isclose(entries["C"] * entries["alpha"] * len(y), 1.0)
    stopped = logistic_path(X, y, n_alphas=5, callback=lambda entries: True)
    assert stopped.n_iters.max() == 1 and not stopped.converged[-1]
    assert not recwarn


ESTIMATORS = [
    LogisticRegression(),
    LogisticRegressionCV(Cs=2, l1_ratios=(0,), use_legacy_attributes=False),
    SGDClassifier(),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
@pytest.mark.parametrize("again", [False, True])
def test_an_error_in_the_callback_leaves_the_estimator_as_it_was(estimator, again):
    X, y = problem()
    if again:
        estimator.fit(X[:, :3], y)
    before = vars(estimator).copy()

    def fails(entries):
        raise ZeroDivisionError("in the callback")

    with pytest.raises(ZeroDivisionError, match="in the callback"):
        estimator.fit(X, y, callback=fails)
    assert vars(estimator) == before


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_what_is_no_function_is_refused(estimator):
    with pytest.raises(TypeError, match=r"^callback must be a function of one argument, .*; got 3\.$"):
        estimator.fit(*problem(), callback=3)


def test_what_is_no_function_is_refused_by_the_path():
    with pytest.raises(TypeError, match=r"^callback must be a function"):
        logistic_path(*problem(), callback=3)
