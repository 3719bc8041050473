"""What estimators refuse, and how they say it: the argument, the place, the column's name, the value."""

import copy
import datetime
import decimal
import pickle
import re
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from fastxent import LogisticRegression, LogisticRegressionCV, SGDClassifier, logistic_path
from fastxent.estimators import inputs
from fastxent.estimators.base import constraints_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

rng = np.random.default_rng(0)
X = rng.normal(size=(30, 4))
y = np.arange(30) % 3
FRAME = pd.DataFrame(X, columns=["age", "income", "height", "weight"])


def estimators():
    return [
        LogisticRegression(max_iter=2),
        LogisticRegressionCV(Cs=2, cv=2, l1_ratios=(0,), use_legacy_attributes=False, max_iter=2),
        SGDClassifier(max_iter=1, tol=None),
    ]


def fitted(X=X, y=y):
    return [model.fit(X, y) for model in estimators()]


def taking_features(bad, messages_call_it="X"):
    """Every call that takes features, by name, with these."""
    for model in estimators():
        name = type(model).__name__
        yield f"{name}.fit", lambda model=model: model.fit(bad, y), "X"
    for model in fitted(X if not isinstance(bad, pd.DataFrame) else FRAME):
        name = type(model).__name__
        for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
            yield f"{name}.{method}", lambda model=model, method=method: getattr(model, method)(bad), "X"
        yield f"{name}.score", lambda model=model: model.score(bad, y), "X"
    train = FRAME if isinstance(bad, pd.DataFrame) else X
    for model in (LogisticRegression(max_iter=2), SGDClassifier(max_iter=1, tol=None)):
        yield (
            f"{type(model).__name__}.fit(eval_set)",
            lambda model=model: model.fit(train, y, eval_set=(bad, y)),
            "eval_set's X",
        )
    yield "partial_fit", lambda: SGDClassifier().partial_fit(bad, y, classes=[0, 1, 2]), "X"
    again = SGDClassifier().partial_fit(train, y, classes=[0, 1, 2])
    yield "partial_fit again", lambda: again.partial_fit(bad, y), "X"
    yield (
        "partial_fit(eval_set)",
        lambda: SGDClassifier().partial_fit(train, y, classes=[0, 1, 2], eval_set=(bad, y)),
        "eval_set's X",
    )
    yield "logistic_path", lambda: logistic_path(bad, y, n_alphas=2), "X"


def refused_everywhere(bad, message, error=(ValueError, TypeError)):
    """message: with {X} for what is to blame."""
    for call, run, name in taking_features(bad):
        with pytest.raises(error) as caught:
            run()
        wanted = message.replace("{X}", name)
        assert re.search(wanted, str(caught.value)), f"{call}: {caught.value}"


# Features ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_the_first_entry_that_is_not_finite_is_named(value, word):
    bad = X.copy()
    bad[3, 2] = bad[4, 0] = value
    refused_everywhere(bad, rf"Input {{X}} contains {word}.*: {{X}}\[3, 2\] is {value}")
    refused_everywhere(bad.astype(np.float32), rf"{{X}}\[3, 2\] is {value}")
    refused_everywhere(bad.tolist(), rf"{{X}}\[3, 2\] is {value}")
    for kind in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia"):
        refused_everywhere(sp.csr_matrix(bad).asformat(kind), rf"{{X}}\[3, 2\] is {value}")
    frame = FRAME.copy()
    frame.iloc[3, 2] = frame.iloc[4, 0] = value
    refused_everywhere(frame, rf"{{X}}\[3, 'height'\] is {value}")


def test_frames_name_columns_whatever_their_dtype():
    nullable = FRAME.astype("Float64")
    nullable.iloc[3, 2] = pd.NA
    refused_everywhere(nullable, r"{X}\[3, 'height'\] is nan")
    for column, message in (
        ([None, *range(29)], r"\[0, 'height'\] is"),
        ([*map(str, range(29)), "x"], r"TypeError.*\[0, 'height'\] is '0'"),
        ([datetime.timedelta(1)] * 30, r"\[0, 'height'\] is Timedelta"),
        ([datetime.datetime(2026, 11, 1)] * 30, r"\[0, 'height'\] is Timestamp"),
        ([{"a": 1}] * 30, r"\[0, 'height'\] is {'a': 1}: float"),
        ([1j] * 30, r"\[0, 'height'\] is 1j|Complex data"),
    ):
        frame = FRAME.copy()
        frame["height"] = column
        refused_everywhere(frame, message.removeprefix("TypeError.*"))
    whole = FRAME.copy()
    whole["height"] = pd.Categorical(["a", "b", "c"] * 10)
    refused_everywhere(whole, r"{X}\[0, 'height'\] is 'a'")


def test_columns_without_names_are_numbers():
    frame = pd.DataFrame(X.copy())
    frame.iloc[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"X\[3, 2\] is nan"):
        LogisticRegression().fit(frame, y)


def test_columns_of_one_name():
    refused_everywhere(
        FRAME.set_axis(["age", "income", "age", "weight"], axis=1), "Columns 0 and 2 of {X} are both"
    )


def test_frames_of_every_numeric_kind_are_taken():
    plain = LogisticRegression().fit(np.round(X), y)
    frame = FRAME.round()
    for other in (
        frame,
        frame.astype("Int64"),
        frame.astype("Float64"),
        frame.astype({"age": "int8", "income": "Int32"}),
        frame.astype(object),
        frame.astype({"age": "category"}),
        frame.astype(pd.SparseDtype(float, 0)),
    ):
        model = LogisticRegression().fit(other, y)
        np.testing.assert_allclose(model.coef_, plain.coef_, atol=1e-6)
        assert_array_equal(model.feature_names_in_, FRAME.columns)
        assert model.n_features_in_ == 4
    assert LogisticRegression().fit(FRAME.astype(np.float32), y).coef_.dtype == np.float32


def test_objects_are_taken_where_each_is_a_number():
    """As scikit-learn's estimators do; strings that look like numbers are none."""
    mixed = X.astype(object)
    mixed[0] = [1, np.float32(2.5), Fraction(1, 2), decimal.Decimal("0.25")]
    mixed[1] = [True, np.bool_(False), np.int8(3), 2**70]
    assert_array_equal(
        LogisticRegression().fit(mixed, y).coef_, LogisticRegression().fit(mixed.astype(float), y).coef_
    )
    for value, message in (
        ("1.5", "X.*is '1.5'"),
        (b"1", "is b'1'"),
        (1j, "is 1j"),
        (None, r"NaN.*None"),
        (pd.NA, "NaN.*NA"),
        (pd.NaT, "NaN.*NaT"),
        (np.nan, r"X\[2, 1\] is nan"),
        (np.timedelta64(1, "s"), "timedelta64"),
        ([1.0], r"is \[1.0\]"),
        (np.ones(2), "is array"),
        (10**400, "finite; got 1000"),
        (decimal.Decimal("NaN"), "nan|NaN"),
    ):
        bad = X.astype(object)
        bad[2, 1] = value
        with pytest.raises((ValueError, TypeError), match=message) as caught:
            LogisticRegression().fit(bad, y)
        assert "X[2, 1]" in str(caught.value)


@pytest.mark.parametrize("dtype", ["U", "S", "m8[s]", "M8[s]"])
def test_arrays_of_no_numbers(dtype):
    bad = (X * 10).astype(int).astype(dtype)
    refused_everywhere(bad, r"{X} must hold real numbers; got dtype", TypeError)


def test_structured_arrays():
    bad = np.array([[(value,) for value in row] for row in X], [("a", "f8")])
    refused_everywhere(bad, r"{X} must hold real numbers; got dtype \[\('a'", TypeError)


@pytest.mark.parametrize("mask", [X > 1, np.zeros(X.shape, bool)])
def test_masked_arrays(mask):
    bad = np.ma.masked_array(X, mask=mask)
    refused_everywhere(bad, "{X} is a masked array", ValueError)
    refused_everywhere(list(bad), "{X} is a masked array", ValueError)


def test_other_masked_arrays():
    masked = np.ma.masked_array(y, mask=y == 0)
    for model in estimators():
        with pytest.raises(ValueError, match="y is a masked array"):
            model.fit(X, masked)
        with pytest.raises(ValueError, match="sample_weight is a masked array"):
            model.fit(X, y, sample_weight=np.ma.masked_array(np.ones(30), mask=y == 0))
    with pytest.raises(ValueError, match="y is a masked array"):
        LogisticRegression().fit(X, np.ma.masked_array(np.eye(3)[y], mask=False))
    with pytest.raises(ValueError, match="eval_set's y is a masked array"):
        LogisticRegression().fit(X, y, eval_set=(X, masked))
    with pytest.raises(ValueError, match="coef_init is a masked array"):
        SGDClassifier().fit(X, y, coef_init=np.ma.masked_array(np.zeros((3, 4)), mask=False))


def test_numbers_too_large_for_the_dtype_trained_in():
    large = X.copy()
    large[3, 2] = 1e300
    message = (
        r"eval_set's X contains infinity or a value too large for dtype\('float32'\): .*\[3, 2\] is 1e\+300"
    )
    with pytest.raises(ValueError, match=message):
        LogisticRegression().fit(X.astype(np.float32), y, eval_set=(large, y))


def test_another_number_of_features():
    refused_later = [call for call in taking_features(X[:, :2]) if not call[0].endswith(".fit")]
    for call, run, name in refused_later:
        if call in ("partial_fit", "logistic_path"):
            continue
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - matched below, with the name
            run()
        assert re.search(rf"{name} has 2 features, but \w+ is expecting 4 features", str(caught.value)), call


@pytest.mark.parametrize("kind", ["csr", "csc", "bsr", "coo", "dia", "lil", "dok"])
def test_sparse_matrices_whose_members_disagree(kind):
    """test_sparse.py has all the ways; here is that every call looks."""
    for container in (sp.csr_matrix(X).asformat(kind), sp.csr_array(X).asformat(kind)):
        if kind == "lil":
            container.data[3] = container.data[3] * 1000
        elif kind == "dok":
            container._dict[10**8, 0] = 1.0
        else:
            container.data = container.data[:2]
        refused_everywhere(container, "{X}.*corrupt")


def test_a_pair_is_what_eval_set_must_be():
    for bad in (3, "ab", (X,), (X, y, None, y), sp.csr_array(np.eye(2)), {"X": X, "y": y}):
        with pytest.raises(ValueError, match=r"eval_set must be a pair \(X, y\)"):
            LogisticRegression().fit(X, y, eval_set=bad)


def test_more_columns_than_memory_holds_coefficients_for():
    wide = sp.coo_array((np.ones(30), (np.arange(30), np.arange(30))), shape=(30, 10**12))
    for model in estimators():
        with pytest.raises(ValueError, match=r"coefficients of 1000000000000 columns of X and 3 classes"):
            model.fit(wide, y)


# Labels -----------------------------------------------------------------------------------------------------

INDICATOR = np.column_stack([y == 0, y > 0, y == 2]).astype(int)


@pytest.mark.parametrize(
    "several",
    [
        INDICATOR,
        INDICATOR.astype(bool),
        INDICATOR.astype(float),
        INDICATOR.tolist(),
        np.zeros((30, 3), int),
        pd.DataFrame(INDICATOR, columns=["a", "b", "c"]),
        sp.csr_matrix(INDICATOR),
        sp.lil_array(INDICATOR),
        [["a", "b"], ["a"]] * 15,
        [{"a", "b"}, {"a"}] * 15,
        [("a", "b"), ()] * 15,
        [["a", "b"], ["a", "c"]] * 15,
        np.column_stack([y, y]),
        pd.DataFrame({"one": ["x", "y"] * 15, "other": ["x", "z"] * 15}),
    ],
    ids=lambda several: type(several).__name__,
)
def test_several_labels_a_row(several):
    for model in estimators():
        with pytest.raises(ValueError, match=r"^y is multilabel or multioutput: .*MultiOutputClassifier"):
            model.fit(X, several)
    with pytest.raises(ValueError, match=r"^y is multilabel"):
        logistic_path(X, several)
    with pytest.raises(ValueError, match=r"^y is multilabel"):
        SGDClassifier().partial_fit(X, several, classes=[0, 1, 2])
    for model in (LogisticRegression(), SGDClassifier()):
        with pytest.raises(ValueError, match=r"^eval_set's y is multilabel"):
            model.fit(X, y, eval_set=(X, several))


def test_one_hot_rows_are_soft_labels():
    hot = np.eye(3, dtype=int)[y]
    want = LogisticRegression().fit(X, y).coef_
    for soft in (hot, hot.astype(bool), hot.tolist(), pd.DataFrame(hot), hot.astype(object)):
        np.testing.assert_allclose(LogisticRegression().fit(X, soft).coef_, want, rtol=1e-6)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.where(np.arange(30) == 7, np.nan, y), r"Input y contains NaN: y\[7\] is nan"),
        (np.where(np.arange(30) == 7, -np.inf, y), r"Input y contains infinity.*: y\[7\] is -inf"),
        (np.where(np.arange(30) == 7, 0.5, y), r"Unknown label type: continuous\. y\[7\] is 0.5"),
        ([None, *"abcabc" * 5][:30], r"NaN: y\[0\] is None"),
        (pd.Series(["a", pd.NA, "b"] * 10), r"NaN: y\[1\] is"),
        (pd.Series([1, pd.NA, 2] * 10, dtype="Int64"), r"NaN: y\[1\] is"),
        (np.array([object() for _ in range(30)]), r"Unknown label type: y\[0\] is <object"),
        (np.array(["2026-11-01", "NaT"] * 15, "M8[D]"), r"NaN: y\[1\] is"),
        (np.array(["a", 1] * 15, object), r"mixes strings and other labels.*y\[0\] is 'a', y\[1\] is 1"),
        (np.array([b"a", b"b"] * 15), "y holds labels represented as bytes"),
        (np.array([b"a", b"b"] * 15, object), "y holds labels represented as bytes"),
        (y + 1j, "Complex data not supported: y"),
        (np.array([(1,), (2,)] * 15, [("a", int)]), "Unknown label type: y has dtype"),
        (np.array([1, 2] * 15, object), "Unknown label type"),
        (y[:20], r"y must have shape \(30,\), one label for each row of X; got \(20,\)"),
        (np.eye(3)[y[:20]], r"y must have one row for each of the 30 rows of X; got shape \(20, 3\)"),
        (y.reshape(30, 1, 1), "y should be a 1d array"),
        (3, "y should be a 1d array"),
        ("abc", "y should be a 1d array"),
        (None, "requires y to be passed, but the target y is None"),
        (np.eye(3)[y] * 0.5, "row 0 of y sums to 0.5"),
        (np.eye(3)[y] * 1.5 - 0.5, r"y\[0, 1\] is -0.5; soft labels must not be negative"),
        (np.where(np.eye(3)[y] == 1, np.nan, 0.0), r"y\[0, 0\] is nan"),
        (np.full((30, 3), 1e308), "row 0 of y sums to inf"),
    ],
)
def test_labels_refused(bad, message):
    for model in estimators():
        with pytest.raises((ValueError, TypeError), match=message):
            model.fit(X, bad)
    if "Unknown label type" not in message:
        with pytest.raises((ValueError, TypeError), match="eval_set's y"):
            LogisticRegression().fit(X, y, eval_set=(X, bad))


def test_labels_held_out_are_told_apart_exactly():
    def codes(labels, classes):
        return inputs.codes_of(np.asarray(labels), np.asarray(classes), "y", "classes").tolist()

    assert codes([2, 1, 3], [3, 1, 2]) == [2, 1, 0]  # in whatever order
    assert codes(["b", "a"], ["a", "b", "c"]) == [1, 0]
    assert codes([1.0, 0.0], [0, 1]) == [1, 0]
    assert codes([True, False], [0, 1]) == [1, 0]
    assert codes(np.array(["b", "a"], object), ["a", "b"]) == [1, 0]
    assert codes(np.array([2**63 + 1], np.uint64), np.array([2**63, 2**63 + 1], np.uint64)) == [1]
    for labels, classes in (
        (["1"], [0, 1]),
        ([1], ["0", "1"]),
        (np.array([2**53 + 1], np.uint64), np.array([0, 2**53], np.int64)),
        (np.array([2**53 + 1]), np.array([0.0, 2.0**53])),
        ([2**63], np.array([0, -(2**63)])),
    ):
        with pytest.raises(
            ValueError, match=r"y has the label .* \(row 0\), which is not among those of classes"
        ):
            codes(labels, classes)


def test_scores_of_labels():
    model = LogisticRegression().fit(X, y)
    right = np.mean(model.predict(X) == y)
    for same in (y.tolist(), y + 0.0, pd.Series(y, dtype="Int64"), y[:, None], y.astype(object)):
        assert model.score(X, same) == right
    assert model.score(X, y + 10) == 0  # a fold may have other labels
    with pytest.raises(ValueError, match=r"y\[0\] is '0', and classes_\[0\] is 0: one is a string"):
        model.score(X, y.astype(str))
    with pytest.raises(ValueError, match=r"Input y contains NaN: y\[0\] is nan"):
        model.score(X, np.full(30, np.nan))


# Models that were changed -----------------------------------------------------------------------------------


def spoilt(**attributes):
    def spoil(model):
        for name, change in attributes.items():
            value = change(copy.deepcopy(getattr(model, name))) if callable(change) else change
            setattr(model, name, value)

    return spoil


def first_entry(value):
    def change(array):
        array = np.array(array, dtype=type(value) if isinstance(value, str) else None)
        array[(0,) * array.ndim] = value
        return array

    return change


def corrupt_csr(coef):
    sparse = sp.csr_array(coef)
    sparse.indices[0] = 10**6
    return sparse


EDITS = [
    *((spoilt(coef_=change), "coef_ must have shape") for change in (
        lambda coef: coef[:, :2], lambda coef: np.hstack([coef, coef]), lambda coef: coef[:2], lambda coef: coef.T,
        lambda coef: sp.csr_array(coef[:, :2]), lambda coef: np.zeros((0, 4)),
        lambda coef: sp.coo_array((2**40, 2**40)))),
    *((spoilt(coef_=change), "coef_ must have two dimensions") for change in (
        lambda coef: coef[0], lambda coef: coef[None], None, 3.0)),
    *((spoilt(coef_=change), r"coef_ must be finite; coef_\[0, 0\] is") for change in (
        first_entry(np.nan), first_entry(np.inf), lambda coef: sp.csr_array(first_entry(np.nan)(coef)))),
    *((spoilt(coef_=change), "coef_ must hold real numbers") for change in (
        lambda coef: coef.astype(object), lambda coef: coef + 1j, lambda coef: coef.astype(str))),
    (spoilt(coef_=corrupt_csr), r"coef_.indices\[0\] is 1000000"),
    (spoilt(coef_=lambda coef: np.ma.masked_array(coef)), "coef_ is a masked array"),
    (spoilt(coef_="abc"), "coef_ must"),
    *((spoilt(intercept_=change), "intercept_ must have shape") for change in (
        lambda b: b[:2], lambda b: b[None], lambda b: np.append(b, b), lambda b: b[:0])),
    *((spoilt(intercept_=change), "intercept_ must be finite") for change in (first_entry(np.nan), np.inf)),
    *((spoilt(intercept_=change), "intercept_ must hold real numbers") for change in (None, "abc", lambda b: b + 1j)),
    *((spoilt(classes_=change), "classes_") for change in (
        lambda classes: classes[:-1], lambda classes: np.append(classes, 9), lambda classes: classes[:1],
        lambda classes: classes[None], None, 3)),
    (spoilt(n_features_in_=5), "coef_ must have shape"),
    *((spoilt(n_features_in_=value), "n_features_in_ must be an integer") for value in ("abc", 4.0, [4])),
    (lambda model: delattr(model, "coef_"), "coef_ must"),
    (lambda model: delattr(model, "intercept_"), "intercept_ must"),
    (lambda model: delattr(model, "classes_"), "classes_ must"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(EDITS)))
def test_models_with_parameters_that_do_not_fit(number):
    edit, message = EDITS[number]
    for model in fitted():
        edit(model)
        for again in (model, pickle.loads(pickle.dumps(model))):
            for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
                for rows in (X, sp.csr_array(X), FRAME.to_numpy().tolist()):
                    with pytest.raises((ValueError, TypeError), match=message):
                        getattr(again, method)(rows)
            with pytest.raises((ValueError, TypeError), match=message):
                again.score(X, y)


def test_models_set_by_hand_work():
    model = LogisticRegression()
    model.classes_, model.coef_, model.intercept_ = ["a", "b"], [[1, 2]], 0.5
    assert model.predict([[1, 1], [-1, -1]]).tolist() == ["b", "a"]
    model.coef_ = sp.lil_array([[1.0, 2.0]])
    np.testing.assert_allclose(model.decision_function([[1.0, 1.0]]), [3.5])
    assert model.densify().coef_.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("make", [LogisticRegression, SGDClassifier])
def test_warm_start_from_parameters_that_do_not_fit(make):
    for change, message in (
        (lambda coef: coef[:, :2], r"coef_ must have shape \(3, 4\), with warm_start"),
        (lambda coef: coef[0].tolist(), "coef_ must have two dimensions"),
        (first_entry(np.nan), r"coef_\[0, 0\] is nan"),
        (corrupt_csr, r"coef_.indices\[0\] is 1000000"),
    ):
        model = make(warm_start=True, max_iter=2).fit(X, y)
        model.coef_ = change(model.coef_)
        with pytest.raises(ValueError, match=message):
            model.fit(X, y)


# Numbers without end ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [10**400, -(10**400), 10**5000, Fraction(10**400)], ids=["+", "-", "++", "fraction"]
)
@pytest.mark.parametrize("make", [LogisticRegression, LogisticRegressionCV, SGDClassifier])
def test_no_argument_takes_a_number_beyond_all_floats(make, value):
    tried = 0
    for name, constraints in constraints_of(make):
        if not any(
            constraint.is_satisfied_by(1) or constraint.is_satisfied_by(0.5) for constraint in constraints
        ):
            continue
        tried += 1
        with pytest.raises((ValueError, TypeError), match=name):
            make(**{name: value}).fit(X, y)
    assert tried >= 7


def test_lists_of_such_numbers():
    for value in (10**400, "a", None, 1j):
        with pytest.raises((ValueError, TypeError), match="Cs"):
            LogisticRegressionCV(Cs=[1.0, value]).fit(X, y)
        with pytest.raises((ValueError, TypeError), match="Cs"):
            logistic_path(X, y, Cs=[1.0, value])
        with pytest.raises((ValueError, TypeError), match="l1_ratio"):
            LogisticRegressionCV(l1_ratios=[0.0, value]).fit(X, y)
        with pytest.raises((ValueError, TypeError), match="penalty_factor"):
            LogisticRegression(penalty_factor=[1.0, value, 1.0, 1.0]).fit(X, y)
        with pytest.raises((ValueError, TypeError), match="eps"):
            logistic_path(X, y, eps=value)
        with pytest.raises((ValueError, TypeError), match="n_alphas"):
            logistic_path(X, y, n_alphas=value)


@pytest.mark.parametrize(
    "cv", [[(np.arange(20), np.arange(20, 31))], [1, 2], [("a", "b")], [(0.5, 1.5)], {0: "a"}, b"x"]
)
def test_folds_that_are_no_rows(cv):
    with pytest.raises(ValueError, match="cv gave what are no pairs"):
        LogisticRegressionCV(cv=cv, l1_ratios=(0,)).fit(X, y)
