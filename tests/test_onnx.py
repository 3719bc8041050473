"""ONNX: what skl2onnx makes of the estimators, run by onnxruntime."""

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import skl2onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastxent.onnx
from fastxent import LogisticRegression, LogisticRegressionCV, SGDClassifier

ESTIMATORS = {
    "LogisticRegression": lambda **also: LogisticRegression(**also),
    "LogisticRegressionCV": lambda **also: LogisticRegressionCV(
        Cs=2, cv=2, l1_ratios=(0,), use_legacy_attributes=False, **also
    ),
    "SGDClassifier": lambda **also: SGDClassifier(max_iter=5, tol=None, random_state=0, **also),
}
NO_MAP = {"zipmap": False}
CLOSE = 1e-6

every_estimator = pytest.mark.parametrize("make", ESTIMATORS.values(), ids=ESTIMATORS)


@pytest.fixture(autouse=True)
def registered():
    fastxent.onnx.register()


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:500], y[:500]


def answers(graph, X):
    """What onnxruntime gives for the rows X."""
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: X})


def check(model, graph, X, rows=None):
    """onnxruntime and the model agree. rows: X as the graph takes it."""
    labels, probabilities = answers(graph, X if rows is None else rows)
    np.testing.assert_array_equal(labels, model.predict(X))
    np.testing.assert_allclose(probabilities, model.predict_proba(X), rtol=0, atol=CLOSE)
    return labels, probabilities


@every_estimator
@pytest.mark.parametrize("scaled", [False, True], ids=["alone", "scaled"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_digits(make, scaled, dtype, digits):
    X, y = digits
    for target in (y, y % 2, y.astype(str), np.where(y > 4, "groß", "klein")):
        model = make_pipeline(StandardScaler(), make()) if scaled else make()
        model.fit(X, target)
        _, probabilities = check(
            model, skl2onnx.to_onnx(model, X[:1].astype(dtype), options=NO_MAP), X, X.astype(dtype)
        )
        assert probabilities.dtype == dtype


@every_estimator
def test_models_in_single_precision(make, digits):
    X, y = digits[0].astype(np.float32) / 16, digits[1]
    for target in (y, y % 2):
        model = make().fit(X, target)
        assert model.coef_.dtype == np.float32
        check(model, skl2onnx.to_onnx(model, X[:1], options=NO_MAP), X)
        graph = skl2onnx.convert_sklearn(
            model, initial_types=[("X", DoubleTensorType([None, 64]))], options={id(model): NO_MAP}
        )
        check(model, graph, X.astype(np.float64))


@every_estimator
def test_texts(make):
    texts = ["salt and pepper", "bread and butter", "bits and bytes", "bread bytes", "pepper bits salt"] * 4
    for topics in (["food", "food", "computing", "computing", "both"] * 4, [0, 0, 1, 1, 1] * 4):
        model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), make()).fit(
            texts, topics
        )
        graph = skl2onnx.convert_sklearn(
            model,
            initial_types=[("text", StringTensorType([None, 1]))],
            # Lower case by the rules of en_US, the default, wants that locale to be installed.
            options={id(model): NO_MAP, id(model[0]): {"locale": "C"}},
        )
        check(model, graph, texts, np.array(texts)[:, np.newaxis])


def test_without_an_intercept(digits):
    X, y = digits
    for target in (y, y % 2):
        model = LogisticRegression(fit_intercept=False).fit(X, target)
        check(model, skl2onnx.to_onnx(model, X[:1], options=NO_MAP), X)


def test_with_sparse_coefficients(digits):
    X, y = digits
    model = LogisticRegression(l1_ratio=1.0, C=0.1).fit(X, y).sparsify()
    check(model, skl2onnx.to_onnx(model, X[:1], options=NO_MAP), X)


def test_large_logits(digits):
    X, y = digits
    for target in (y, y % 2):
        model = LogisticRegression().fit(X, target)
        model.coef_ = 1000 * model.coef_
        _, probabilities = check(model, skl2onnx.to_onnx(model, X[:1], options=NO_MAP), X)
        assert np.ptp(model.decision_function(X)) > 10_000
        assert (probabilities == 1).any()


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ([True, False], [1, 0]),
        ([3.0, -1.0], [3, -1]),
        ([2**40, -(2**40)], [2**40, -(2**40)]),
        (np.array([200, 7], np.uint8), [200, 7]),
        (np.array(["b", "a"], object), ["b", "a"]),
    ],
    ids=repr,
)
def test_labels(labels, wanted):
    X = np.array([[0.0], [1.0]])
    model = LogisticRegression().fit(X, labels)
    graph = skl2onnx.to_onnx(model, X, options=NO_MAP)
    np.testing.assert_array_equal(answers(graph, X)[0], wanted)


@pytest.mark.parametrize(
    "classes", [[0.5, 1.0], np.array([1, 2**63], np.uint64), np.array(["a", 1], object)], ids=repr
)
def test_labels_that_onnx_cannot_hold_are_refused(classes):
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    model.classes_ = np.asarray(classes)
    with pytest.raises(ValueError, match=r"classes_ holds|all integers or all strings"):
        skl2onnx.to_onnx(model, np.zeros((1, 1)), options=NO_MAP)
    graph = skl2onnx.to_onnx(model, np.zeros((1, 1)), options={**NO_MAP, "nocl": True})
    np.testing.assert_array_equal(answers(graph, np.array([[0.0], [1.0]]))[0], [0, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, bool])
def test_maps_of_probabilities(dtype, digits):
    X, y = digits[0].astype(dtype), digits[1]
    for target in (y % 2, y.astype(str)):
        model = LogisticRegression().fit(X.astype(float), target)
        wanted = model.predict_proba(X.astype(float))
        for options in ({}, {"zipmap": True}):  # the default
            labels, maps = answers(skl2onnx.to_onnx(model, X[:1], options=options), X)
            np.testing.assert_array_equal(labels, model.predict(X.astype(float)))
            found = [[row[label] for label in model.classes_.tolist()] for row in maps]
            np.testing.assert_allclose(found, wanted, rtol=0, atol=CLOSE)
        columns = answers(skl2onnx.to_onnx(model, X[:1], options={"zipmap": "columns"}), X)[1:]
        np.testing.assert_allclose(np.transpose(columns), wanted, rtol=0, atol=CLOSE)


@pytest.mark.todays_peer
def test_raw_scores_and_class_labels(digits):
    X, y = digits
    model = LogisticRegression().fit(X, y)
    _, scores = answers(skl2onnx.to_onnx(model, X[:1], options={**NO_MAP, "raw_scores": True}), X)
    np.testing.assert_allclose(scores, model.decision_function(X), rtol=1e-12)
    binary = LogisticRegression().fit(X, y % 2)
    _, scores = answers(skl2onnx.to_onnx(binary, X[:1], options={**NO_MAP, "raw_scores": True}), X)
    z = binary.decision_function(X)
    np.testing.assert_allclose(scores, np.stack([-z, z], axis=1), rtol=1e-12)
    *_, classes = answers(skl2onnx.to_onnx(model, X[:1], options={**NO_MAP, "output_class_labels": True}), X)
    np.testing.assert_array_equal(classes, model.classes_)


def test_inside_a_search(digits):
    X, y = digits
    model = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2).fit(X, y)
    check(model, skl2onnx.to_onnx(model, X[:1], options={id(model): NO_MAP}), X)


@pytest.mark.parametrize("opset", [9, 12, 13, 18])
def test_older_operators(opset, digits):
    X, y = digits
    model = LogisticRegression().fit(X, y)
    check(model, skl2onnx.to_onnx(model, X[:1], options=NO_MAP, target_opset=opset), X)


def test_damaged_coefficients_are_refused(digits):
    model = LogisticRegression().fit(*digits)
    model.coef_[2, 3] = np.nan
    with pytest.raises(ValueError, match=r"coef_\[2, 3\] is nan"):
        skl2onnx.convert_sklearn(model, initial_types=[("X", FloatTensorType([None, 64]))])


def test_without_skl2onnx_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'fastxent\[onnx\]'"):
        fastxent.onnx.register()


def test_the_module_is_light_and_leaves_the_name_onnx_alone():
    program = (
        "import sys, fastxent.onnx; assert not {'onnx', 'skl2onnx', 'sklearn'} & set(sys.modules);"
        "import onnx; assert onnx is not fastxent.onnx and onnx.helper"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True)
