"""LogisticRegressionCV: scikit-learn's paths, scores and choice; its contract, and what it does beyond."""

import contextlib
import itertools
import re
import threading
import time
import warnings
from signal import SIGINT, pthread_kill

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.linear_model
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import get_scorer, log_loss
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastxent import LogisticRegression, LogisticRegressionCV
from fastxent.estimators import logistic_regression_cv
from fastxent.objective import Objective

TIGHT = {"tol": 1e-18, "max_iter": 1000}
CS = [0.01, 0.3, 10.0]


def ours(**arguments):
    return LogisticRegressionCV(**({"Cs": CS, "l1_ratios": (0,), "use_legacy_attributes": False} | arguments))


def theirs(**arguments):
    """scikit-learn's class, with our default score, solved as exactly as it can be."""
    arguments = {
        "Cs": CS,
        "l1_ratios": (0,),
        "use_legacy_attributes": False,
        "scoring": "neg_log_loss",
        "solver": "newton-cholesky",
        "tol": 1e-13,
        "max_iter": 1000,
    } | arguments
    return sklearn.linear_model.LogisticRegressionCV(**arguments)


def problem(n_classes, n=120, d=4, seed=0):
    """Noisy labels of a linear rule, all classes present often."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + 0.5
    y = np.argmax(X @ rng.normal(size=(d, n_classes)) + 1.5 * rng.gumbel(size=(n, n_classes)), axis=1)
    y[: 5 * n_classes] = np.tile(np.arange(n_classes), 5)
    return X, y


@pytest.fixture(params=[2, 3], ids=["binary", "multinomial"])
def data(request):
    return problem(request.param)


def assert_same_learned(model, other, rtol=1e-6, atol=1e-8):
    """Equal attributes, of equal types and shapes, all but numbers of iterations."""
    for name in ("coef_", "intercept_", "Cs_", "l1_ratios_", "C_", "l1_ratio_", "scores_", "coefs_paths_"):
        mine, wanted = getattr(model, name), getattr(other, name)
        assert type(mine) is type(wanted), name
        if isinstance(wanted, dict):
            assert list(mine) == list(wanted), name
            mine, wanted = np.array(list(mine.values())), np.array(list(wanted.values()))
        assert np.shape(mine) == np.shape(wanted), name
        assert_allclose(mine, wanted, rtol=rtol, atol=atol, err_msg=name)
    assert model.n_iter_.shape == other.n_iter_.shape
    assert_array_equal(model.classes_, other.classes_)


# scikit-learn's contract ------------------------------------------------------------------------------------


@parametrize_with_checks(
    [
        LogisticRegressionCV(cv=3),  # one of the checks has three rows of each class
        LogisticRegressionCV(Cs=[1, 10], cv=2, l1_ratios=(0, 0.5), scoring="accuracy", refit=False),
    ]
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.todays_peer
def test_constructor_takes_all_that_theirs_takes():
    mine = LogisticRegressionCV().get_params()
    other = sklearn.linear_model.LogisticRegressionCV().get_params()
    assert other.keys() <= mine.keys()
    differing = {"solver", "scoring", "max_iter", "l1_ratios", "use_legacy_attributes"}
    assert {name for name in other if mine[name] != other[name]} == differing


# The same paths, scores and choice --------------------------------------------------------------------------


@pytest.mark.todays_peer
@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy", None])
def test_everything_equals_theirs(data, legacy, refit, scoring):
    X, y = data
    how = {"use_legacy_attributes": legacy, "refit": refit, "scoring": scoring, "cv": StratifiedKFold(3)}
    assert_same_learned(ours(**how, **TIGHT).fit(X, y), theirs(**how).fit(X, y))


@pytest.mark.todays_peer
def test_defaults_are_those_of_scikit_learn_s_next_versions_and_warn_of_nothing(data):
    X, y = data
    model = LogisticRegressionCV().fit(X, y)  # warnings are errors in all tests
    announced = {"l1_ratios": (0.0,), "use_legacy_attributes": False, "scoring": "neg_log_loss"}
    assert_same_learned(model, LogisticRegressionCV(**announced).fit(X, y))
    given = LogisticRegressionCV(
        l1_ratios="warn", use_legacy_attributes="warn"
    )  # scikit-learn's own defaults
    assert_same_learned(model, given.fit(X, y))
    assert isinstance(model.C_, float) and model.scores_.shape == (5, 1, 10)
    assert model.score(X, y) == -log_loss(y, model.predict_proba(X))


@pytest.mark.todays_peer
@pytest.mark.parametrize("refit", [True, False])
def test_one_dimension_less_without_l1_ratios(data, refit):
    X, y = data
    how = {"l1_ratios": None, "use_legacy_attributes": True, "refit": refit}
    with pytest.warns(FutureWarning, match="l1_ratios=None"):
        mine, other = ours(**how, **TIGHT).fit(X, y), theirs(**how).fit(X, y)
    other.l1_ratio_ = np.zeros(len(other.coef_))  # theirs says None where it refits, 0.0 where not
    assert mine.l1_ratios_.tolist() == other.l1_ratios_.tolist() == [None]
    del mine.l1_ratios_, other.l1_ratios_
    mine.l1_ratios_ = other.l1_ratios_ = np.zeros(1)
    assert_same_learned(mine, other)


@pytest.mark.todays_peer
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 2.0, 1: 0.5, 2: 1.0}])
@pytest.mark.parametrize("weighted", [True, False])
def test_weights_equal_theirs(data, fit_intercept, class_weight, weighted):
    X, y = data
    if isinstance(class_weight, dict):
        class_weight = {label: class_weight[label] for label in np.unique(y)}
    sample_weight = np.random.default_rng(1).uniform(0.5, 3, size=len(y)) if weighted else None
    how = {"fit_intercept": fit_intercept, "class_weight": class_weight, "cv": 3}
    mine = ours(**how, **TIGHT).fit(X, y, sample_weight=sample_weight)
    assert_same_learned(mine, theirs(**how).fit(X, y, sample_weight=sample_weight))


@pytest.mark.todays_peer
def test_elastic_net_equals_theirs():
    X, y = problem(2, n=60)
    how = {"l1_ratios": [0.0, 0.4, 1.0], "Cs": [0.5, 5.0], "cv": 2}
    mine = ours(**how, **TIGHT).fit(X, y)
    other = theirs(**how, solver="saga").set_params(tol=1e-10, max_iter=5000).fit(X, y)
    assert_same_learned(mine, other, rtol=1e-5, atol=1e-6)
    weak = ours(l1_ratios=[1.0], Cs=[0.1], cv=2).fit(X, y)
    assert (weak.coefs_paths_ == 0).any()


@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy", "recall_macro", "f1_weighted"])
def test_scores_are_those_of_single_fits(data, scoring):
    X, y = data
    Cs, ratios, cv = [0.1, 1.0, 10.0], [0.1, 0.9], StratifiedKFold(4)
    how = {"cv": cv, "scoring": scoring, "use_legacy_attributes": True}
    model = ours(Cs=Cs, l1_ratios=ratios, **how, **TIGHT).fit(X, y)
    for (i, C), (j, ratio) in itertools.product(enumerate(Cs), enumerate(ratios)):
        single = LogisticRegression(C=C, l1_ratio=ratio, **TIGHT)
        scores = cross_val_score(single, X, y, cv=cv, scoring=scoring)
        assert_allclose(model.scores_[1][:, i, j], scores, rtol=1e-6)


def test_order_of_Cs_does_not_matter(data):
    X, y = data
    up, down = ours(**TIGHT).fit(X, y), ours(Cs=CS[::-1], **TIGHT).fit(X, y)
    assert_array_equal(down.Cs_, CS[::-1])
    assert_array_equal(down.scores_, up.scores_[..., ::-1])
    assert down.C_ == up.C_


def test_equal_scores_choose_the_first(data):
    model = ours(scoring=lambda model, X, y: 0.0, l1_ratios=(0, 1)).fit(*data)
    assert (model.C_, model.l1_ratio_) == (CS[0], 0.0)


def test_the_path_starts_where_it_was(data):
    X, y = data
    path = ours(Cs=20).fit(X, y).n_iter_.sum()
    single = sum(ours(Cs=[C]).fit(X, y).n_iter_.sum() for C in np.logspace(-4, 4, 20))
    assert path < 0.8 * single


def test_neighbours_on_the_path_differ(data):
    """Even where the optimum for one C is within tol of the next one's."""
    X, y = data
    model = ours(Cs=[1e3, 1e4, 1e5], tol=1e-2).fit(X, y)
    assert (model.n_iter_ > 0).all()
    assert (np.diff(model.coefs_paths_, axis=2) != 0).any(axis=(-2, -1)).all()


@pytest.mark.parametrize(("penalty", "ratio"), [("l2", 0), ("l1", 1)])
def test_deprecated_penalty(data, penalty, ratio):
    with pytest.warns(FutureWarning, match="'penalty' was deprecated"):
        old = ours(penalty=penalty, l1_ratios=None).fit(*data)
    new = ours(l1_ratios=(ratio,)).fit(*data)
    assert_array_equal(old.coefs_paths_, new.coefs_paths_)
    assert old.l1_ratio_ == ratio


def test_deprecated_penalty_wins_over_l1_ratios(data):
    with pytest.warns(FutureWarning), pytest.warns(UserWarning, match="only used when"):
        model = ours(penalty="l1", l1_ratios=(0, 0.5)).fit(*data)
    assert_array_equal(model.coefs_paths_[:, 0], model.coefs_paths_[:, 1])
    assert_array_equal(model.coefs_paths_[:, 0], ours(l1_ratios=(1,)).fit(*data).coefs_paths_[:, 0])


# Data -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", [np.asfortranarray, sp.csr_array, sp.csr_matrix, sp.coo_array])
def test_storage(data, storage):
    X, y = data
    X = np.where(X > 0, X, 0.0)
    assert_same_learned(ours(**TIGHT).fit(storage(X), y), ours(**TIGHT).fit(X, y))


def test_sparse_with_64_bit_indices(data):
    X, y = data
    sparse = sp.csr_array(X)
    sparse.indices, sparse.indptr = sparse.indices.astype(np.int64), sparse.indptr.astype(np.int64)
    assert_same_learned(ours(**TIGHT).fit(sparse, y), ours(**TIGHT).fit(X, y))


@pytest.mark.parametrize("refit", [True, False])
def test_float32_stays_float32(data, refit):
    X, y = data
    single = ours(refit=refit).fit(X.astype(np.float32), y)
    assert single.coef_.dtype == single.intercept_.dtype == single.coefs_paths_.dtype == np.float32
    assert single.predict_proba(X.astype(np.float32)).dtype == np.float32
    assert_allclose(single.scores_, ours(refit=refit).fit(X, y).scores_, atol=1e-3)


@pytest.mark.parametrize("inside", [True, False])
def test_same_bits_for_any_number_of_threads(data, inside, monkeypatch):
    X, y = data
    if inside:
        monkeypatch.setattr(logistic_regression_cv, "_LARGE", 0)
    models = [ours(l1_ratios=(0, 0.5), n_threads=n).fit(X, y) for n in (1, 2, 3, 7, None)]
    for model in models[1:]:
        assert_same_learned(model, models[0], rtol=0, atol=0)


def test_integer_weights_repeat_rows():
    X, y = problem(3)
    times = np.random.default_rng(0).integers(0, 4, size=len(y))
    fold = np.arange(len(y)) % 3
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    weighted = ours(cv=splits, **TIGHT).fit(X, y, sample_weight=times)
    fold = np.repeat(fold, times)
    splits = [(fold != k, fold == k) for k in range(3)]  # masks will do
    repeated = ours(cv=splits, **TIGHT).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    assert_same_learned(weighted, repeated)


def test_a_class_missing_from_the_training_rows():
    X, y = problem(3)
    order = np.argsort(y, kind="stable")
    with pytest.warns(ConvergenceWarning, match="In 1 of 3 folds .* lack a class"):
        mine = ours(cv=KFold(3), Cs=[0.01]).fit(X[order], y[order])
    assert mine.coefs_paths_.shape == (3, 1, 1, 3, 5)
    assert np.isfinite(mine.scores_).all() and (mine.scores_ < -np.log(3)).all()


def test_strings_as_labels(data):
    X, y = data
    names = np.array(["cat", "dog", "eel"])[y]
    model = ours(use_legacy_attributes=True).fit(X, names)
    assert list(model.scores_) == (["dog"] if len(set(y)) == 2 else ["cat", "dog", "eel"])
    assert_array_equal(model.coef_, ours().fit(X, y).coef_)


# Soft labels ------------------------------------------------------------------------------------------------


def test_one_hot_labels_equal_labels(data):
    X, y = data
    assert_same_learned(ours(**TIGHT).fit(X, np.eye(y.max() + 1)[y]), ours(**TIGHT).fit(X, y))


def test_soft_labels_equal_weighted_rows():
    X, _ = problem(3, n=60)
    soft = np.random.default_rng(0).dirichlet(np.ones(3), size=60)
    splits = [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]
    rows = [tuple(np.concatenate([part, part + 60, part + 120]) for part in split) for split in splits]
    model = ours(cv=splits, **TIGHT).fit(X, soft)
    stacked = ours(cv=rows, **TIGHT).fit(np.tile(X, (3, 1)), np.repeat(np.arange(3), 60), soft.T.ravel())
    assert_same_learned(model, stacked)
    assert_allclose(
        model.score(X, soft), stacked.score(np.tile(X, (3, 1)), np.repeat(np.arange(3), 60), soft.T.ravel())
    )


@pytest.mark.parametrize("scoring", ["neg_brier_score", get_scorer("roc_auc")])
def test_soft_labels_need_a_score_that_takes_them(scoring):
    X, y = problem(3)
    with pytest.raises(ValueError, match="compares single labels, and y holds soft labels"):
        ours(scoring=scoring).fit(X, np.eye(3)[y])
    model = ours().fit(X, y).set_params(scoring=scoring)
    with pytest.raises(ValueError, match="compares single labels, and y holds soft labels"):
        model.score(X, np.eye(3)[y])


@pytest.mark.parametrize("scoring", ["accuracy", None])
def test_accuracy_of_soft_labels_is_the_expected_one(scoring):
    """That of copies of the rows, one for each class, with the soft labels as weights."""
    X, _ = problem(3, n=60)
    soft = np.random.default_rng(0).dirichlet(np.ones(3), size=60)
    rows = [(train, np.setdiff1d(np.arange(60), train)) for train in (np.arange(40), np.arange(20, 60))]
    model = ours(scoring=scoring, cv=rows, **TIGHT).fit(X, soft)
    stacked = [tuple(np.concatenate([part + 60 * k for k in range(3)]) for part in fold) for fold in rows]
    copies = np.tile(X, (3, 1)), np.repeat(np.arange(3), 60), soft.T.ravel()
    assert_allclose(model.scores_, ours(scoring=scoring, cv=stacked, **TIGHT).fit(*copies).scores_)
    assert_allclose(model.score(X, soft), model.score(*copies))


def test_soft_labels_reach_a_function():
    X, y = problem(3)
    soft = np.eye(3)[y]

    def minus_loss(model, X, y):
        return np.mean((y * model.predict_log_proba(X)).sum(axis=1))

    assert_allclose(ours(scoring=minus_loss).fit(X, soft).scores_, ours().fit(X, soft).scores_)


# Scores -----------------------------------------------------------------------------------------------------


def test_score_is_minus_log_loss(data):
    X, y = data
    model = ours().fit(X, y)
    weight = np.random.default_rng(0).uniform(size=len(y))
    assert_allclose(model.score(X, y), -log_loss(y, model.predict_proba(X)))
    assert_allclose(model.score(X, y, weight), -log_loss(y, model.predict_proba(X), sample_weight=weight))
    # Some classes only, which scikit-learn's own scorer cannot take.
    one = y == 1
    assert_allclose(model.score(X[one], y[one]), model.predict_log_proba(X[one])[:, 1].mean())
    with pytest.raises(
        ValueError, match=r"y has the label 7 \(row 0\), which is not among those of the training data"
    ):
        model.score(X, np.full(len(y), 7))
    with pytest.raises(NotFittedError):
        clone(model).score(X, y)


def test_score_uses_scoring(data):
    X, y = data
    model = ours(scoring="accuracy").fit(X, y)
    assert model.score(X, y) == np.mean(model.predict(X) == y)


def test_a_score_that_is_not_a_number_is_refused(data):
    X, y = data
    first = ours().fit(X, y)
    before = dict(vars(first))
    first.scoring = lambda model, X, y: np.nan if model.C == 0.3 else 1.0
    with pytest.raises(ValueError, match=r"gave nan in fold 0 for C=0.3 and l1_ratio=0"):
        first.fit(X, y)
    assert {**vars(first), "scoring": before["scoring"]} == before


def test_scorer_gets_weights(data):
    X, y = data
    weight = np.random.default_rng(0).integers(0, 3, size=len(y))
    folds = list(StratifiedKFold(5).split(X, y))

    def score(model, X, y, sample_weight=None):
        return sample_weight.sum()

    scores = ours(scoring=score, cv=folds).fit(X, y, weight).scores_
    assert_array_equal(scores[:, 0, 0], [weight[test].sum() for _, test in folds])


@pytest.mark.todays_peer
def test_metadata_reach_splitter_and_scorer(data):
    X, y = data
    groups = np.arange(len(y)) % 4
    weight = np.random.default_rng(0).uniform(size=len(y))
    with config_context(enable_metadata_routing=True):
        for requested in (True, False):
            scorer = get_scorer("accuracy").set_score_request(sample_weight=requested)
            model = ours(cv=GroupKFold(4), scoring=scorer, **TIGHT).fit(X, y, weight, groups=groups)
            other = theirs(cv=GroupKFold(4), scoring=scorer).fit(X, y, weight, groups=groups)
            assert_same_learned(model, other)
        assert model.score(X, y) == np.mean(model.predict(X) == y)
    with pytest.raises(ValueError, match="enable_metadata_routing=True"):
        ours(cv=GroupKFold(4)).fit(X, y, groups=groups)


# What is refused, and what is said --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"Cs": [1.0, -2.0]}, r"Cs must be positive; Cs\[1\] is -2.0"),
        ({"Cs": [1.0, np.nan]}, r"Cs\[1\] is nan"),
        ({"Cs": []}, "at least one number"),
        ({"Cs": [[1.0]]}, "a list of at least one number"),
        ({"l1_ratios": []}, "at least one"),
        ({"l1_ratios": (0.5, 2)}, re.escape("between 0 and 1, at least one; got (0.5, 2)")),
        ({"l1_ratios": ("much",)}, "between 0 and 1"),
        ({"l1_ratios": [[0, 1]]}, "between 0 and 1"),
        ({"cv": []}, "No objects to concatenate|cv gave no folds"),
        ({"cv": [([0, 1], [])]}, "cv gave no test rows in fold 0"),
        ({"cv": [(range(60), range(60)), ([], [0, 1])]}, "cv gave no training rows in fold 1"),
        ({"n_threads": 0}, "n_threads"),
        ({"solver": "lbfgs", "l1_ratios": (1,)}, "supports only 'l2'"),
    ],
)
def test_refused(data, arguments, text):
    model = ours(**arguments)
    with pytest.raises(ValueError, match=text):
        model.fit(*data)
    assert not hasattr(model, "classes_") and not hasattr(model, "n_features_in_")


@pytest.mark.parametrize(("rows", "part"), [(slice(0, 60), "training"), (slice(60, 120), "test")])
def test_folds_of_weight_zero_are_refused(data, rows, part):
    X, y = data
    weight = np.ones(len(y))
    weight[rows] = 0
    with pytest.raises(ValueError, match=f"cv gave no {part} rows that weigh something in fold 0"):
        ours(cv=[(np.arange(60), np.arange(60, 120))]).fit(X, y, weight)


def test_one_warning_for_all_fits(data):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = ours(max_iter=1, tol=1e-9, refit=False).fit(*data)
    assert [w.category for w in caught] == [ConvergenceWarning]
    assert caught[0].filename == __file__
    assert re.search(
        r"15 of 15 fits .* first, of fold 0 with C=0.01 and l1_ratio=0: auto failed", str(caught[0].message)
    )
    assert not model.converged_
    assert ours(refit=False).fit(*data).converged_


def test_no_penalty_on_separable_classes():
    X = np.linspace(-1, 1, 40)[:, None]
    with (
        pytest.warns(ConvergenceWarning, match=r"with C=inf and l1_ratio=0: The classes are separable"),
        pytest.warns(ConvergenceWarning, match=r"^The classes are separable"),
    ):
        model = ours(Cs=[1.0, np.inf]).fit(X, X[:, 0] > 0)
    assert np.isposinf(model.C_) and not model.converged_
    assert np.isfinite(model.coef_).all() and np.isfinite(model.scores_).all()


def test_verbose_tells_of_each_path(data, caplog):
    model = ours(verbose=1, cv=2, l1_ratios=(0, 1)).fit(*data)
    lines = sorted(caplog.messages)
    assert [line[:6] for line in lines] == ["fold 0"] * 2 + ["fold 1"] * 2
    assert lines[0].endswith(f"{model.n_iter_[0, 0].sum()} iterations of metric")
    assert lines[1].endswith(f"{model.n_iter_[0, 1].sum()} iterations of prox_newton")


def test_the_solver_of_the_refit_is_named(data):
    X, y = data
    assert ours(l1_ratios=(1,)).fit(X, y).solver_ == "prox_newton"
    assert ours(refit=False).fit(X, y).solver_ == "metric"
    # Each fold chooses a share of L1 of its own.
    scores = iter([1, 0, 0, 1])
    model = ours(Cs=[1.0], l1_ratios=(0, 1), cv=2, refit=False, scoring=lambda *fit: next(scores)).fit(X, y)
    assert model.solver_ == "metric, prox_newton"


def test_under_the_name_of_liblinear_the_refit_is_a_fit_of_its_own(data):
    X, y = data
    y = y > 0
    model = ours(Cs=[0.3], solver="liblinear").fit(X, y)
    alone = LogisticRegression(C=0.3, solver="liblinear").fit(X, y)
    assert_array_equal(model.coef_, alone.coef_)
    assert_array_equal(model.intercept_, alone.intercept_)


@pytest.mark.parametrize("busy", ["both", "the other"])
def test_interrupt_ends_all_threads(busy, monkeypatch):
    """Also when the caller's thread has nothing left to do but wait for the other one."""
    X, y = problem(3, n=2000, d=30)
    evaluations = []
    evaluate = Objective.value_and_grad

    def counted(*arguments):
        if busy == "the other" and threading.current_thread() is threading.main_thread():
            while not evaluations:
                time.sleep(0.001)
            raise Idle
        evaluations.append(time.perf_counter())
        return evaluate(*arguments)

    class Idle(Exception):
        pass

    monkeypatch.setattr(Objective, "value_and_grad", counted)
    fit_one = logistic_regression_cv._Paths._fit_one

    def suppressed(*arguments):
        with contextlib.suppress(Idle):
            fit_one(*arguments)

    monkeypatch.setattr(logistic_regression_cv._Paths, "_fit_one", suppressed)
    model = ours(Cs=np.logspace(-4, 4, 20_000), cv=2, n_threads=2)
    main = threading.main_thread().ident
    timer = threading.Timer(0.4, lambda: sent.append(time.perf_counter()) or pthread_kill(main, SIGINT))
    sent = []
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, y)
    finally:
        timer.cancel()  # no stray signal if the fit ended otherwise
    assert time.perf_counter() - sent[0] < 5.0  # 0.2 on a machine that is not busy, and minutes without
    timer.join()
    assert vars(model) == vars(clone(model)) | {"Cs": model.Cs, "l1_ratios": model.l1_ratios}
    time.sleep(0.2)
    done = len(evaluations)
    time.sleep(0.2)
    assert len(evaluations) == done > 0
