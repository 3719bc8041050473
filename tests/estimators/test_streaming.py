"""Estimators over sources: the numbers of rows in memory, and what is refused."""

import itertools
import threading
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from fastxent import LogisticRegression, LogisticRegressionCV, SGDClassifier, solvers
from fastxent.data.local import Local
from fastxent.data.targets import Targets
from fastxent.estimators.streaming import Batches, first_answer
from fastxent.loss import Part
from fastxent.objective import Objective
from fastxent.penalty import Penalty

BORDERS = [0, 1, 130, 131, 260, 400]


class Source:
    """Any class with an __iter__ that begins anew."""

    def __init__(self, *batches):
        self.batches, self.passes = batches, 0

    def __iter__(self):
        self.passes += 1
        yield from self.batches


def rows(K=3, *, sparse=False, dtype=np.float64, n=400, d=8, seed=0):
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(n, d)) + 0.3) * (rng.random((n, d)) < 0.6)
    y = np.argmax(X @ rng.normal(size=(d, K)) + rng.gumbel(size=(n, K)), axis=1)
    y[:K] = np.arange(K)
    return (sp.csr_array(X.astype(dtype)) if sparse else X.astype(dtype)), y


def cut(*arrays, borders=BORDERS):
    return [tuple(array[a:b] for array in arrays) for a, b in itertools.pairwise(borders)]


# The same numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weighted": True},
        {"class_weight": "balanced", "weighted": True},
        {"class_weight": {0: 3.0, 1: 0.5}},
        {"soft": True, "weighted": True},
        {"fit_intercept": False},
        {"solver": "lbfgs"},
        {"solver": "newton-cg"},
        {"penalty_factor": np.array([0.0, 1, 2, 1, 1, 0.5, 1, 1])},
        {"C": np.inf},
    ],
    ids=str,
)
def test_the_optimum_of_the_rows_in_memory(options, K, sparse):
    X, y = rows(K, sparse=sparse)
    options = dict(options)
    weight = np.random.default_rng(1).integers(0, 3, len(y)).astype(float)
    if options.pop("soft", False):
        y = np.random.default_rng(2).dirichlet(np.ones(K), len(y))
    weighted = options.pop("weighted", False)
    arguments = {"tol": 1e-9} | options
    source = Source(*cut(X, y, weight) if weighted else cut(X, y))
    model = LogisticRegression(**arguments).fit(source)
    expected = LogisticRegression(**arguments).fit(X, y, weight if weighted else None)
    assert model.converged_
    assert_allclose(model.history_["loss"][-1], expected.history_["loss"][-1], rtol=1e-8)
    assert_allclose(model.coef_, expected.coef_, atol=2e-3)
    assert_array_equal(model.classes_, expected.classes_)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("solver", ["metric", "lbfgs", "newton-cg", "l1"])
@pytest.mark.parametrize(
    "options",
    [
        {"weighted": True},
        {"weighted": True, "warm_start": True},
        {"K": 2, "weighted": True, "class_weight": {1: 0.1}},
        {"class_weight": {0: 3.0, 1: 0.5}, "warm_start": True},
        {"class_weight": "balanced", "weighted": True},
        {"soft": True, "weighted": True},
        {"soft": True, "class_weight": {2: 7.0}, "K": 3},
        {"soft": True, "K": 2, "warm_start": True},
        {"penalty_factor": np.array([0.0, 1, 2, 1, 1, 0.5, 1, 1]), "weighted": True},
        {"fit_intercept": False, "weighted": True},
        {"dtype": np.float32, "weighted": True},
        {"C": 30.0},
    ],
    ids=str,
)
def test_the_bits_of_the_same_parts_in_memory(options, solver, sparse):
    own = {"K": 4, "dtype": np.float64, "weighted": False, "soft": False}
    K, dtype, weighted, soft = (options.get(name, default) for name, default in own.items())
    options = {name: value for name, value in options.items() if name not in own}
    l1 = 0.5 if solver == "l1" else 0.0
    how = {"solver": "auto" if l1 else solver, "tol": 1e-6}
    X, y = rows(K, sparse=sparse, dtype=dtype)
    if soft:
        y = np.random.default_rng(2).dirichlet(np.ones(K), len(y))
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(y))
    source = cut(X, y, weight) if weighted else cut(X, y)
    model = LogisticRegression(l1_ratio=l1, **how, **options, n_threads=3)
    start = None
    if model.warm_start:
        model.fit(X[:100], y[:100])
        start = np.vstack([model.coef_.T, model.intercept_])
    batches = Batches(model, source).for_training()
    model.fit(source)

    columns = 1 if K == 2 else K
    parts = [
        Part(A, Targets(target, K, w, batches.class_weight, folded=True), columns,
             fit_intercept=model.fit_intercept, n_threads=1)
        for A, target, w in batches
    ]  # fmt: skip
    objective = Objective(Local(parts))
    strength = 1.0 / (model.C * objective.total_weight * 2.0**objective.weight_exponent)
    factors = model.penalty_factor
    objective = objective.with_penalty(Penalty(strength * (1.0 - l1), strength * l1, factors))
    if start is None:
        start = first_answer(objective, objective.initial())[1]
    result = solvers.solve(objective, start, max_iter=1000, **how)
    assert result.converged and result.solver == {"l1": "l1-newton"}.get(solver, solver)
    theta = objective.penalty.centred(result.theta).astype(dtype)
    assert_array_equal(model.coef_, theta[:-1].T)
    assert_array_equal(model.intercept_, theta[-1])
    assert model.history_["loss"].tolist() == result.history["loss"]


@pytest.mark.parametrize("kind", [LogisticRegression, SGDClassifier])
def test_any_number_of_threads(kind):
    X, y = rows(3, sparse=True, n=3000)
    source = cut(X, y, borders=[0, 1000, 2500, 3000])
    models = [kind(n_threads=n, random_state=0).fit(source) for n in (1, 3)]
    assert_array_equal(models[0].coef_, models[1].coef_)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("C", [0.1, 1.0, 100.0])
def test_tol_is_kept(seed, C):
    rng = np.random.default_rng(seed)
    n, d, K = 6000, int(rng.integers(5, 300)), int(rng.integers(2, 12))
    X = sp.random_array((n, d), density=0.1, random_state=rng, format="csr") * rng.uniform(0.1, 3, d)
    X = sp.csr_array(X)
    y = np.argmax(X @ rng.normal(size=(d, K)) + rng.gumbel(size=(n, K)), axis=1)
    model = LogisticRegression(C=C).fit(cut(X, y, borders=np.arange(0, n + 1, 500)))
    best = LogisticRegression(C=C, tol=1e-9).fit(X, y).history_["loss"][-1]
    assert model.converged_
    assert model.history_["loss"][-1] <= best * (1 + 1e-4)


@pytest.mark.parametrize("kind", [LogisticRegression, SGDClassifier])
def test_the_order_in_which_batches_lie_in_memory_changes_no_bit(kind):
    X, y = rows(3)
    expected = kind(random_state=0).fit(cut(X, y), eval_set=cut(X, y))
    batches = [(np.asfortranarray(part), labels) for part, labels in cut(X, y)]
    model = kind(random_state=0).fit(batches, eval_set=batches)
    assert_array_equal(model.coef_, expected.coef_)
    assert_array_equal(model.history_["val_loss"], expected.history_["val_loss"])


def test_zero_weights_are_absent_rows():
    X, y = rows(3)
    weight = (np.arange(len(y)) % 3 > 0).astype(float)
    weight[130:131] = weight[260:] = 0.0  # whole batches
    model = LogisticRegression().fit(cut(X, y, weight))
    kept = [(A[w > 0], b[w > 0]) for A, b, w in cut(X, y, weight) if w.any()]
    expected = LogisticRegression().fit(kept)
    assert_array_equal(model.coef_, expected.coef_)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e250])
def test_only_ratios_of_weights_matter(scale):
    X, y = rows(3)
    weight = np.random.default_rng(1).integers(1, 9, len(y)).astype(float)
    C = 1.0 / scale
    expected = LogisticRegression(C=1.0, class_weight="balanced").fit(cut(X, y, weight))
    model = LogisticRegression(C=C, class_weight="balanced").fit(cut(X, y, weight * scale))
    assert_allclose(model.coef_, expected.coef_, rtol=1e-6, atol=1e-9)
    assert_allclose(model.score(cut(X, y, weight * scale)), expected.score(X, y, weight), rtol=1e-12)


def test_labels_of_any_kind_and_frames():
    X, y = rows(3)
    names = np.array(["no", "perhaps", "certainly"])[y]
    frame = pd.DataFrame(X, columns=[f"c{j}" for j in range(X.shape[1])])
    source = [(frame[a:b], names[a:b]) for a, b in itertools.pairwise(BORDERS)]
    model = LogisticRegression().fit(source)
    assert_array_equal(model.classes_, ["certainly", "no", "perhaps"])
    assert_array_equal(model.feature_names_in_, frame.columns)
    assert_array_equal(np.concatenate(list(model.predict(source))), model.predict(frame))
    with pytest.raises(ValueError, match="feature names should match"):
        model.score([(frame.rename(columns={"c1": "z"}), names)])


def test_soft_labels_of_frames_are_found_by_their_names():
    X, _ = rows(3)
    T = pd.DataFrame(np.random.default_rng(2).dirichlet(np.ones(3), len(X)), columns=["b", "c", "a"])
    source = [(X[:200], T[:200]), (X[200:], T[200:][["a", "b", "c"]])]
    model = LogisticRegression().fit(source)
    assert model.classes_.tolist() == ["b", "c", "a"]
    one = LogisticRegression().fit([(X[:200], T[:200]), (X[200:], T[200:])])
    assert_array_equal(model.coef_, one.coef_)


@pytest.mark.parametrize("soft", [False, True])
def test_held_out_labels_belong_to_the_columns_of_soft_labels(soft):
    X, _ = rows(3)
    names = np.array(["b", "c", "a"])  # not sorted
    T = pd.DataFrame(np.random.default_rng(2).dirichlet(np.ones(3), len(X)), columns=names)
    codes = T.to_numpy().argmax(axis=1)
    held_out = T if soft else names[codes]
    source, eval_set = (
        [(X[:200], T[:200]), (X[200:], T[200:])],
        [(X[:150], held_out[:150]), (X[150:], held_out[150:])],
    )
    streamed = LogisticRegression().fit(source, eval_set=eval_set)
    in_memory = LogisticRegression().fit(source, eval_set=(X, T.to_numpy() if soft else np.eye(3)[codes]))
    assert_allclose(streamed.history_["val_loss"], in_memory.history_["val_loss"], rtol=1e-12)


def test_classes_may_be_given():
    X, y = rows(3)
    source = cut(X, y)
    model = LogisticRegression().fit(source, classes=[2, 0, 1])
    assert_array_equal(model.coef_, LogisticRegression().fit(source).coef_)
    with pytest.raises(ValueError, match=r"Batch 0.*label 0.*not among those of classes"):
        LogisticRegression().fit(source, classes=[1, 2])
    with pytest.warns(ConvergenceWarning, match="Class 7 has no rows"):
        model = LogisticRegression().fit(source, classes=[0, 1, 2, 7])
    assert model.coef_.shape == (4, 8)
    with pytest.raises(ValueError, match="classes is for a source"):
        LogisticRegression().fit(X, y, classes=[0, 1, 2])


def test_separable_batches_are_said_to_be():
    X = np.array([[0.0], [1.0], [2.0], [3.0]])
    source = [(X[:2], [0, 0]), (X[2:], [1, 1])]
    with pytest.warns(ConvergenceWarning, match="separable"):
        model = LogisticRegression(C=np.inf, max_iter=50).fit(source)
    assert not model.converged_


# Prediction -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
def test_prediction_is_lazy(method):
    X, y = rows(3)
    model = LogisticRegression().fit(X, y)
    read = []

    def batches():
        for number, batch in enumerate(cut(X, y)):
            read.append(number)
            yield batch

    found = getattr(model, method)(batches())
    assert read == []
    first = next(found)
    assert len(read) <= 2  # one ahead
    assert_array_equal(
        np.concatenate([first, *found]), np.concatenate([getattr(model, method)(A) for A, _ in cut(X, y)])
    )


def test_rows_without_labels_can_be_predicted():
    X, y = rows(3)
    model = LogisticRegression().fit(X, y)
    for source in (Source(X[:100], X[100:]), [(X[:100],), (X[100:],)]):
        assert_array_equal(np.concatenate(list(model.predict(source))), model.predict(X))


def test_lists_of_tuples_of_numbers_are_arrays():
    model = LogisticRegression().fit([(0.0, 1.0), (1.0, 0.0), (2.0, 5.0)], [0, 1, 1])
    assert model.predict([(0.0, 1.0), (2.0, 5.0)]).shape == (2,)


def test_verbose_says_how_fast_the_passes_are(caplog):
    X, y = rows(3)
    with caplog.at_level("INFO", logger="fastxent"):
        LogisticRegression(verbose=1).fit(cut(X, y))
    assert "rows/s" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", logger="fastxent"):
        LogisticRegression(verbose=1).fit(X, y)
    assert "iteration" in caplog.text
    assert "rows/s" not in caplog.text


def test_sequences_of_batches_are_sources():
    X, y = rows(3)

    class Sequence(Source):
        def __len__(self):
            return len(self.batches)

        def __getitem__(self, i):
            return self.batches[i]

    model = LogisticRegression().fit(Sequence(*cut(X, y)))
    assert_array_equal(model.coef_, LogisticRegression().fit(cut(X, y)).coef_)


def test_an_unfitted_model_says_so_at_once():
    X, y = rows(3)
    with pytest.raises(NotFittedError):
        LogisticRegression().predict(cut(X, y))


def test_score_is_that_of_all_rows():
    X, y = rows(3)
    weight = np.random.default_rng(1).integers(0, 3, len(y)).astype(float)
    model = LogisticRegression().fit(X, y)
    assert_allclose(model.score(cut(X, y)), model.score(X, y), rtol=1e-14)
    assert_allclose(model.score(cut(X, y, weight)), model.score(X, y, weight), rtol=1e-14)


@pytest.mark.parametrize("kind", [LogisticRegression, SGDClassifier])
def test_eval_set_may_be_a_source(kind):
    X, y = rows(3)
    weight = np.random.default_rng(1).integers(0, 3, len(y)).astype(float)
    model = kind(random_state=0).fit(X, y, eval_set=cut(X, y, weight))
    expected = kind(random_state=0).fit(X, y, eval_set=(X, y, weight))
    assert_allclose(model.history_["val_loss"], expected.history_["val_loss"], rtol=1e-12)
    with pytest.raises(ValueError, match="label 9"):
        kind().fit(X, y, eval_set=[(X, y), (X, np.full(len(y), 9))])


# SGD ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("options", [{}, {"batch_size": 10, "optimizer": "adam"}, {"average": True}], ids=str)
def test_epochs_are_those_of_partial_fit(options, sparse):
    X, y = rows(3, sparse=sparse)
    source = cut(X, y)
    arguments = options | {"tol": None, "shuffle": False}
    model = SGDClassifier(max_iter=3, **arguments).fit(source)
    pieces = SGDClassifier(max_iter=3, **arguments)
    for _ in range(3):
        pieces.partial_fit(source, classes=[0, 1, 2])
    one_by_one = SGDClassifier(max_iter=3, **arguments)
    for A, b in source * 3:
        one_by_one.partial_fit(A, b, classes=[0, 1, 2])
    assert_array_equal(pieces.coef_, one_by_one.coef_)
    assert_array_equal(model.coef_, pieces.coef_)
    assert len(pieces.history_["loss"]) == 3


def test_partial_fit_takes_a_generator_and_undoes_a_pass_that_fails():
    X, y = rows(3)
    model = SGDClassifier().partial_fit(iter(cut(X, y)), classes=[0, 1, 2])
    before = model.coef_.copy(), model.t_
    X = X.copy()
    X[300, 2] = np.nan
    with pytest.raises(ValueError, match=r"Batch 4: Input X contains NaN: X\[40, 2\] is nan"):
        model.partial_fit(cut(X, y))
    assert_array_equal(model.coef_, before[0])
    assert model.t_ == before[1]


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("scale", [1.0, 2.0**-600])
def test_one_batch_is_the_rows_in_memory(sparse, soft, scale):
    X, y = rows(3, sparse=sparse)
    if soft:
        y = np.random.default_rng(2).dirichlet(np.ones(3), len(y))
    weight = np.random.default_rng(1).uniform(0.0, 3.0, len(y)) * scale
    weight[::7] = 0.0
    arguments = {
        "class_weight": "balanced",
        "shuffle": False,
        "max_iter": 5,
        "tol": None,
        "optimizer": "adam",
    }
    model = SGDClassifier(**arguments).fit([(X, y, weight)])
    expected = SGDClassifier(**arguments).fit(X, y, sample_weight=weight)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-9)
    assert_allclose(model.history_["loss"], expected.history_["loss"], rtol=1e-9)


def test_weights_of_batches_are_relative_to_those_of_all():
    X, y = rows(3)
    weight = np.where(np.arange(len(y)) < 131, 4.0, 0.5)  # the same in each batch
    arguments = {"shuffle": False, "max_iter": 5, "tol": None}
    model = SGDClassifier(**arguments).fit(cut(X, y, weight))
    expected = SGDClassifier(**arguments).fit(X, y, sample_weight=weight)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-9)
    mixed = [(A, b) if w[0] == 0.5 else (A, b, w * 2) for A, b, w in cut(X, y, weight)]
    expected = SGDClassifier(**arguments).fit(X, y, sample_weight=np.where(weight == 0.5, 1.0, 8.0))
    assert_allclose(SGDClassifier(**arguments).fit(mixed).coef_, expected.coef_, rtol=1e-9)


def test_early_stopping_over_sources():
    X, y = rows(3)
    with pytest.raises(ValueError, match="eval_set"):
        SGDClassifier(early_stopping=True).fit(cut(X, y))
    for metric in ("log_loss", "accuracy"):
        model = SGDClassifier(early_stopping=True, validation_metric=metric, random_state=0)
        model.fit(
            cut(X[:300], y[:300], borders=[0, 100, 300]), eval_set=cut(X[300:], y[300:], borders=[0, 50, 100])
        )
        expected = SGDClassifier(early_stopping=True, validation_metric=metric, random_state=0)
        expected.fit(cut(X[:300], y[:300], borders=[0, 100, 300]), eval_set=(X[300:], y[300:]))
        assert model.n_iter_ == expected.n_iter_
        assert_allclose(model.coef_, expected.coef_)


@pytest.mark.parametrize("options", [{"batch_size": None}, {"optimizer": "svrg"}], ids=str)
def test_descents_over_all_rows_are_refused(options):
    X, y = rows(3)
    (name,) = options
    with pytest.raises(ValueError, match=f"{name}=.*needs all rows in memory.*LogisticRegression"):
        SGDClassifier(**options).fit(cut(X, y))


# What is refused ------------------------------------------------------------------------------------------


def with_last(change):
    """A source whose last batch is changed."""
    X, y = rows(3)
    *others, last = cut(X, y)
    return [*others, change(*last)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda X, y: (X[:, :5], y), "Batch 4: X has 5 features, but .* is expecting 8"),
        (lambda X, y: (X.astype(np.float32), y), "Batch 4: X has dtype float32.*batch 0.*float64"),
        (lambda X, y: (sp.csr_array(X), y), "Batch 4: X is sparse.*batch 0 is dense"),
        (lambda X, y: (X, y[:-1]), "Batch 4: "),
        (lambda X, y: (X, y + 0.5), "Batch 4: .*continuous"),
        (lambda X, y: (X, y.astype(str)), "Batch 4: y mixes strings"),
        (
            lambda X, y: (X, np.eye(3)[y] * 0.5 + 0.5 / 3),
            "Batch 4: y has soft labels, and that of batch 0 has",
        ),
        (lambda X, y: (X, y, -np.ones(len(y))), "Batch 4: sample_weight must not be negative"),
        (lambda X, y: (X, y, np.full(len(y), np.nan)), "Batch 4: sample_weight"),
        (lambda X, y: (X[:0], y[:0]), "Batch 4: .* has no rows"),
        (lambda X, y: (X, None), "Batch 4: training requires labels"),
        (lambda X, y: (X,), "Batch 4: a batch must be a tuple"),
        (lambda X, y: [X, y], "Batch 4: a batch must be a tuple"),
        (lambda X, y: (np.where(X > 0, np.inf, X), y), r"Batch 4: Input X contains infinity.*X\["),
    ],
)
@pytest.mark.parametrize("kind", [LogisticRegression, SGDClassifier])
def test_batches_that_do_not_fit(kind, change, said):
    model = kind()
    with pytest.raises((TypeError, ValueError), match=said):
        model.fit(with_last(change))
    assert not hasattr(model, "n_features_in_")


def test_what_stands_beside_a_source():
    X, y = rows(3)
    source = cut(X, y)
    with pytest.raises(ValueError, match="y must be None where X is a source"):
        LogisticRegression().fit(source, y)
    with pytest.raises(ValueError, match="sample_weight must be None where X is a source"):
        SGDClassifier().fit(source, sample_weight=np.ones(len(y)))
    with pytest.raises(ValueError, match="y must be None"):
        LogisticRegression().fit(X, y).score(source, y)


def test_a_generator_is_refused():
    X, y = rows(3)
    for model in (LogisticRegression(), SGDClassifier()):
        with pytest.raises(TypeError, match=r"again and again.*got generator, which is used up"):
            model.fit(batch for batch in cut(X, y))


def test_a_source_without_batches():
    with pytest.raises(ValueError, match="X has no batches"):
        LogisticRegression().fit(Source())


def test_an_array_without_labels():
    X, _ = rows(3)
    for model in (LogisticRegression(), SGDClassifier()):
        with pytest.raises(ValueError, match="the target y is None"):
            model.fit(X)


def test_one_class():
    X, y = rows(3)
    with pytest.raises(ValueError, match="only one class: 0"):
        LogisticRegression().fit(cut(X, np.zeros_like(y)))
    with pytest.raises(ValueError, match="only one class: 0"):
        LogisticRegression(class_weight={1: 0, 2: 0}).fit(cut(X, y))


@pytest.mark.parametrize("solver", ["sdca", "prox_newton", "sgd"])
def test_solvers_that_need_all_rows(solver):
    X, y = rows(3)
    with pytest.raises(ValueError, match=f"solver='{solver}' needs all rows in memory.*solver='auto'"):
        LogisticRegression(solver=solver).fit(cut(X, y))


def test_other_estimators_and_options_that_need_all_rows():
    X, y = rows(3)
    with pytest.raises(ValueError, match="penalty_groups='features' with an L1 penalty needs all rows"):
        LogisticRegression(l1_ratio=1.0, penalty_groups="features").fit(cut(X, y))
    with pytest.raises(TypeError, match="X is a source"):
        LogisticRegressionCV(l1_ratios=(0,), use_legacy_attributes=False).fit(cut(X, y))
    with pytest.raises(ValueError, match="classes is for a source"):
        LogisticRegressionCV(l1_ratios=(0,), use_legacy_attributes=False).fit(X, y, classes=[0, 1, 2])


@pytest.mark.parametrize("kind", [LogisticRegression, SGDClassifier])
@pytest.mark.parametrize("later", [slice(0, 4), slice(0, 6)])
def test_a_source_that_changes(kind, later):
    X, y = rows(3)
    batches = cut(X, y)

    class Changing(Source):
        def __iter__(self):
            self.passes += 1
            yield from batches if self.passes == 1 else (batches + batches[:1])[later]

    model = kind()
    with pytest.raises(ValueError, match="must give the same batches in every pass"):
        model.fit(Changing())
    assert not hasattr(model, "coef_")


def test_features_of_an_unusable_scale():
    X, y = rows(3)
    with pytest.raises(ValueError, match="largest entry of X is"):
        LogisticRegression().fit(cut(X * 1e200, y))


# Reading ahead --------------------------------------------------------------------------------------------


def test_an_error_of_the_source_comes_as_it_is_and_no_thread_stays():
    X, y = rows(3)

    class Failing(Source):
        def __iter__(self):
            yield X, y
            raise OSError("the disk is gone")

    model = LogisticRegression().fit(X, y)
    coef = model.coef_.copy()
    before = threading.active_count()
    for call in (model.fit, model.score):
        with pytest.raises(OSError, match="the disk is gone"):
            call(Failing())
    assert_array_equal(model.coef_, coef)
    model.fit(Source(*cut(X, y)))
    assert len([t for t in threading.enumerate() if "reads ahead" in t.name]) == 0
    assert threading.active_count() <= before + 16  # of the pool


def test_batches_are_also_checked_and_prepared_ahead(monkeypatch):
    X, y = rows(3)
    threads, targets = [], Batches._targets

    def watched(self, *arguments):
        threads.append(threading.current_thread().name)
        return targets(self, *arguments)

    batches = [Batches(LogisticRegression(), given) for given in (Source(*cut(X, y)), cut(X, y))]
    monkeypatch.setattr(Batches, "_targets", watched)
    found = [[y.tolist() for _, y, _ in one] for one in batches]
    assert found[0] == found[1] == [y.tolist() for _, y in cut(X, y)]
    assert set(threads[: len(threads) // 2]) == {"fastxent reads ahead"}
    assert set(threads[len(threads) // 2 :]) == {
        threading.current_thread().name
    }  # they are in memory already


def test_memory_does_not_grow_with_the_number_of_batches():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(40, 3))

    class Made:
        def __init__(self, count):
            self.count = count

        def __iter__(self):
            for i in range(self.count):
                X = np.random.default_rng(i).normal(size=(3000, 40))
                yield X, np.argmax(X @ weights, axis=1)

    def peak(fit, count):
        source = Made(count)
        fit(source)  # imports and pools
        tracemalloc.start()
        fit(source)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    for fit in (
        LogisticRegression(C=1e-3, tol=0.1, n_threads=1).fit,
        SGDClassifier(max_iter=1, tol=None).fit,
    ):
        few, many = peak(fit, 5), peak(fit, 15)
        assert many < few + 1_000_000
