"""Soft labels: what a score of them is, and frames of them, whose columns are named by the classes."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastxent import LogisticRegression, LogisticRegressionCV, SGDClassifier, logistic_path

NAMES = ["low", "mid", "high"]

MODELS = [
    LogisticRegression(),
    LogisticRegressionCV(Cs=2, cv=3, l1_ratios=(0,), use_legacy_attributes=False, scoring="accuracy"),
    SGDClassifier(random_state=0, max_iter=5, tol=None),
]
models = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)


class Table:
    """A frame as other libraries make them: an array, and names of its columns."""

    def __init__(self, array, **names):
        self._array = array
        vars(self).update(names)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._array, dtype)


FRAMES = {
    "pandas": lambda P, names: pd.DataFrame(P, columns=names),
    "pandas, nullable": lambda P, names: pd.DataFrame(P, columns=names).convert_dtypes(),
    "polars": lambda P, names: Table(P, columns=list(names)),
    "pyarrow": lambda P, names: Table(P, column_names=list(names), columns=list(P.T)),
}
frames = pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)


def problem(K=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 4)), rng.dirichlet(np.ones(K), 60)


# Scores -----------------------------------------------------------------------------------------------------


@models
@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_certain_labels_score_as_labels(model, K, weighted):
    X, P = problem(K)
    y = np.array(list("abc"))[P.argmax(axis=1)]
    weight = np.random.default_rng(1).random(60) if weighted else None
    model.fit(X, y)
    certain = (y[:, np.newaxis] == model.classes_).astype(float)
    assert_allclose(model.score(X, certain, weight), model.score(X, y, weight), rtol=1e-12)


@models
@pytest.mark.parametrize("K", [2, 3])
def test_uncertain_labels_score_as_labels_drawn_from_them_do_in_the_mean(model, K):
    X, P = problem(K)
    model.fit(X, P)
    weight = np.random.default_rng(1).random(60)
    copies = np.tile(X, (K, 1)), np.repeat(np.arange(K), 60), (weight[:, np.newaxis] * P).T.ravel()
    assert_allclose(model.score(X, P, weight), model.score(*copies), rtol=1e-12)
    assert_allclose(model.score(X, P), np.mean(P[np.arange(60), model.predict(X)]), rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-312, 5e307])
def test_only_ratios_of_weights_matter_to_a_score(scale):
    X, P = problem()
    labels = P.argmax(axis=1)
    weight = np.arange(60) % 3 + 1.0
    model = LogisticRegression().fit(X, P)
    for y in (P, labels):
        assert_allclose(model.score(X, y, scale * weight), model.score(X, y, weight), rtol=1e-9)
        with pytest.raises(ValueError, match="sample_weight is zero for every row"):
            model.score(X, y, 0 * weight)


@models
def test_soft_labels_that_no_score_takes(model):
    X, P = problem()
    model.fit(X, P)
    with pytest.raises(ValueError, match="3 columns"):
        model.score(X, P[:, :2])
    with pytest.raises(ValueError, match="sum to 1"):
        model.score(X, 2 * P)
    with pytest.raises(ValueError, match="sample_weight"):
        model.score(X, P, -np.ones(60))


# Frames -----------------------------------------------------------------------------------------------------


@models
@frames
def test_columns_of_a_frame_are_the_classes(model, frame):
    X, P = problem()
    by_number = model.fit(X, P)
    proba, score, number = by_number.predict_proba(X), by_number.score(X, P), by_number.predict(X)
    by_name = model.fit(X, frame(P, NAMES))
    assert by_name.classes_.tolist() == NAMES
    assert_array_equal(by_name.predict_proba(X), proba)
    assert_array_equal(by_name.predict(X), np.array(NAMES)[number])
    assert by_name.score(X, frame(P, NAMES)) == score
    turned = frame(P[:, ::-1], NAMES[::-1])
    assert by_name.score(X, turned) == score


@pytest.mark.parametrize("names", [[10, 30, 20], [False, True]])
def test_names_need_not_be_strings(names):
    X, P = problem(len(names))
    model = LogisticRegression().fit(X, pd.DataFrame(P, columns=names))
    assert model.classes_.tolist() == names
    assert model.classes_.dtype == np.array(names).dtype
    assert set(model.predict(X).tolist()) <= set(names)


def test_labels_find_their_classes_in_any_order():
    """After a frame whose columns are not sorted, in eval_set and score."""
    X, P = problem()
    labels = np.array(NAMES)[P.argmax(axis=1)]
    model = LogisticRegression().fit(X, pd.DataFrame(P, columns=NAMES), eval_set=(X, labels))
    certain = np.eye(3)[P.argmax(axis=1)]
    assert_allclose(
        model.history_["val_loss"],
        LogisticRegression().fit(X, P, eval_set=(X, certain)).history_["val_loss"],
        rtol=1e-12,
    )
    assert_allclose(model.score(X, labels), model.score(X, certain))
    weights = {"low": 1.0, "high": 3.0}
    named = LogisticRegression(class_weight=weights).fit(X, pd.DataFrame(P, columns=NAMES))
    assert_array_equal(named.coef_, LogisticRegression(class_weight={0: 1.0, 2: 3.0}).fit(X, P).coef_)


def test_dummies_are_soft_labels():
    X, P = problem()
    labels = np.array(NAMES)[P.argmax(axis=1)]
    model = LogisticRegression(tol=1e-10).fit(X, pd.get_dummies(labels))
    plain = LogisticRegression(tol=1e-10).fit(X, labels)
    assert model.classes_.tolist() == plain.classes_.tolist()
    assert_allclose(model.coef_, plain.coef_, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Training has stopped")  # the labels are noise: there is nothing to learn
@pytest.mark.parametrize("model", [LogisticRegression(), SGDClassifier(random_state=0)], ids=type)
def test_columns_of_eval_set_are_found_by_their_names(model):
    X, P = problem()
    y = pd.DataFrame(P, columns=NAMES)
    losses = model.fit(X, y, eval_set=(X, P)).history_["val_loss"]
    turned = model.fit(X, y, eval_set=(X, y[NAMES[::-1]])).history_["val_loss"]
    assert_array_equal(turned, losses)
    with pytest.raises(
        ValueError, match=r"^Column 2 of eval_set's y is named 'top', which is not among the classes"
    ):
        model.fit(X, y, eval_set=(X, y.rename(columns={"high": "top"})))
    with pytest.raises(
        ValueError, match=r"^eval_set's y has no column named 'high', which is one of the classes"
    ):
        model.fit(X, y, eval_set=(X, y[["low", "mid"]]))
    assert_array_equal(model.history_["val_loss"], losses)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b", "a"], r"^Columns 0 and 2 of y are both named 'a'"),
        (["a", 1, "b"], r"^The columns of y are named \['a', 1, 'b'\]\. .* all by strings or all by numbers"),
        ([0.5, 1.5, 2.5], r"^Column 0 of y is named 0\.5\. .* Rename the columns"),
        ([("a", 1), ("a", 2), ("b", 1)], r"^Column 0 of y is named \('a', 1\)"),
    ],
)
@models
def test_names_that_are_none_of_classes(model, names, message):
    X, P = problem()
    with pytest.raises(ValueError, match=message):
        model.fit(X, pd.DataFrame(P, columns=names))
    model.fit(X, pd.DataFrame(P, columns=names).to_numpy())


def test_missing_values_of_a_frame_are_named():
    X, P = problem()
    y = pd.DataFrame(P, columns=NAMES).convert_dtypes()
    y.iloc[4, 1] = pd.NA
    with pytest.raises(ValueError, match=r"\[4, 1\] is nan"):
        LogisticRegression().fit(X, y)


def test_path_has_the_names():
    X, P = problem()
    path = logistic_path(X, pd.DataFrame(P, columns=NAMES), n_alphas=3)
    assert path.classes.tolist() == NAMES
    assert_array_equal(path.coefs, logistic_path(X, P, n_alphas=3).coefs)


# Pieces -----------------------------------------------------------------------------------------------------


def in_pieces(*ys, **first):
    """A model trained on parts of the rows, one call after the other."""
    X, _ = problem()
    model = SGDClassifier(eta0=0.1)
    for i, y in enumerate(ys):
        rows = slice(20 * i, 20 * i + 20)
        model.partial_fit(X[rows], y[rows], **(first if i == 0 else {}))
    return model


def test_pieces_need_no_classes_that_soft_labels_tell():
    _, P = problem()
    y = pd.DataFrame(P, columns=NAMES)
    by_number = in_pieces(P, P, P)
    by_name = in_pieces(y, y[["high", "mid", "low"]], np.array(NAMES)[np.zeros(60, int)])
    assert by_number.classes_.tolist() == [0, 1, 2]
    assert by_name.classes_.tolist() == NAMES
    certain = np.tile([1.0, 0.0, 0.0], (60, 1))
    assert_allclose(by_name.coef_, in_pieces(P, P, certain).coef_, rtol=1e-12)


def test_classes_named_for_soft_labels_keep_their_order():
    _, P = problem()
    model = in_pieces(P, P, classes=NAMES)
    assert model.classes_.tolist() == NAMES
    assert_array_equal(model.coef_, in_pieces(P, P).coef_)
    X, _ = problem()
    model.partial_fit(X, pd.DataFrame(P, columns=NAMES), classes=sorted(NAMES))
    model.partial_fit(X, np.array(NAMES)[P.argmax(axis=1)], classes=sorted(NAMES))
    with pytest.raises(ValueError, match="differs from the first call"):
        model.partial_fit(X, P, classes=sorted(NAMES))
    with pytest.raises(ValueError, match="at least 2 classes, each once"):
        in_pieces(P, classes=["low", "mid", "mid"])
