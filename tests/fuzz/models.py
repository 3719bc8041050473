"""The estimators and the path: fits, predictions, training by pieces, and models that were edited."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import scipy.sparse as sp
from hypothesis import strategies as st

from fastxent import LogisticRegression, LogisticRegressionCV, SGDClassifier, logistic_path, reference
from fuzz import arguments as a
from fuzz.arguments import UNKNOWN
from fuzz.judge import Wrong, agree, faulty, finite, n_threads, right_if, run, seeds
from fuzz.plain import INVALID, dense_of

MAKE = {
    "LogisticRegression": LogisticRegression,
    "LogisticRegressionCV": LogisticRegressionCV,
    "SGDClassifier": SGDClassifier,
}

# Labels -----------------------------------------------------------------------------------------------------

_LETTERS = np.array(["spam", "ham", "eggs", "toast"])

LABELS = {
    "ints": np.array,
    "negative": lambda y: y - 5,
    "far apart": lambda y: y * 10**15,
    "int8": np.int8,
    "large uint64": lambda y: y.astype(np.uint64) + np.uint64(2**63),
    "whole floats": lambda y: y + 0.0,
    "float32": np.float32,
    "strings": lambda y: _LETTERS[y],
    "object strings": lambda y: _LETTERS[y].astype(object),
    "list": lambda y: y.tolist(),
    "list of strings": lambda y: _LETTERS[y].tolist(),
    "series": lambda y: pd.Series(_LETTERS[y]),
    "categories": lambda y: pd.Series(_LETTERS[y]).astype("category"),
    "series of ints": pd.Series,
    "nullable": lambda y: pd.Series(y, dtype="Int64"),
    "column": lambda y: y[:, None],
    "big-endian": lambda y: y.astype(">i4"),
    "bools": lambda y: y > 0,
    "days": lambda y: y.astype("M8[D]"),
}
WRONG_LABELS = {
    "nan": lambda y: np.where(np.arange(len(y)) == len(y) // 2, np.nan, y),
    "inf": lambda y: np.where(np.arange(len(y)) == len(y) // 2, np.inf, y),
    "continuous": lambda y: y + 0.25,
    "none among": lambda y: [None, *_LETTERS[y[1:]].tolist()],
    "missing": lambda y: pd.Series([pd.NA, *y[1:].tolist()], dtype="Int64"),
    "mixed": lambda y: np.array([1, *_LETTERS[y[1:]].tolist()], object),
    "objects": lambda y: np.array([object() for _ in y]),
    "numbers as objects": lambda y: y.astype(object),
    "bytes": lambda y: _LETTERS[y].astype("S5"),
    "complex": lambda y: y + 1j,
    "structured": lambda y: np.array([(v,) for v in y], [("a", int)]),
    "no time": lambda y: np.where(np.arange(len(y)) == 0, np.datetime64("NaT"), y.astype("M8[D]")),
    "shorter": lambda y: y[:-1],
    "longer": lambda y: np.append(y, y),
    "one class": lambda y: y * 0,
    "empty": lambda y: y[:0],
    "none": lambda y: None,
    "number": lambda y: 3,
    "string": lambda y: "abc",
    "deep": lambda y: y[:, None, None],
    "masked": lambda y: np.ma.masked_array(y, mask=y == 0),
    "sparse": lambda y: sp.csr_array(np.eye(4)[y]),
    "indicator": lambda y: np.ones((len(y), 3), int),
    "two outputs": lambda y: np.column_stack([y, y + 2]),  # [0, 1] would be a soft label
    "string outputs": lambda y: np.column_stack([_LETTERS[y]] * 2),
    "lists": lambda y: [["a", "b"], *[["a"]] * (len(y) - 1)],
    "sets": lambda y: [{"a"}] * len(y),
    "frame": lambda y: pd.DataFrame({"a": _LETTERS[y], "b": _LETTERS[y]}),
    "dict": lambda y: dict(enumerate(y)),
    "huge": lambda y: [10**400, *y[1:].tolist()],
    "half": lambda y: np.eye(4)[y] / 2,
}
labels = a.mostly(
    st.tuples(st.just("labels"), st.sampled_from(sorted(LABELS))),
    st.tuples(st.just("soft"), st.sampled_from(sorted(a.SOFT))),
)
# A class alone may be scored.
WRONG_FOR_TRAINING = [("wrong", "one class"), ("wrong", "numbers as objects"), ("wrong", "half")]
wrong_labels = st.sampled_from(sorted(WRONG_LABELS)).map(lambda how: ("wrong", how))


def make_labels(recipe, seed, n, n_classes):
    """The object, the classes by their order, and codes or soft labels."""
    what, how = recipe
    y = a.codes(seed, n, n_classes)
    if what == "soft":
        made = a.SOFT[how](a.soft(seed, n, n_classes))
        return made, np.arange(n_classes), np.asarray(made, float)
    if what == "wrong":
        return WRONG_LABELS[how](y), None, INVALID
    made = LABELS[how](y)
    classes, codes = np.unique(np.asarray(made).ravel(), return_inverse=True)
    return made, classes, codes


labels_of_pieces = st.sampled_from(["ints", "list", "int8", "series of ints", "whole floats"]).map(
    lambda how: ("labels", how)
)


# Parameters -------------------------------------------------------------------------------------------------

WRONG_VALUES = ("abc", np.nan, -1, 10**400, -(10**400), 10**5000, None, [], {}, 1j, object(), np.inf, 0, 1.5, b"x",
                True, np.array([1.0, 2.0]), {0: 10**400}, {"no": 1}, {0: "a"}, {0: -1.0}, [np.nan],
                "balanced")  # fmt: skip
wrong_values = st.integers(0, len(WRONG_VALUES) - 1).map(lambda i: ("wrong value", i))

_COMMON = {
    "fit_intercept": st.booleans(),
    "class_weight": st.sampled_from([None, None, "balanced", "by class"]),
    "n_threads": n_threads,
    "random_state": st.sampled_from([None, 0, 7]),
}
_WAYS = [  # solver, share of L1, penalty_groups
    *(("auto", share, groups) for share in (0.0, 0.5, 1.0) for groups in (None, "features")),
    ("metric", 0.0, None), ("sdca", 0.0, None), ("prox_newton", 0.5, None), ("prox_newton", 1.0, "features"),
    ("sgd", 0.0, None), ("lbfgs", 0.0, None), ("newton-cg", 0.0, None), ("newton-cholesky", 0.0, None),
    ("sag", 0.0, None), ("saga", 0.5, None), ("saga", 1.0, None),
]  # fmt: skip

logistic = st.fixed_dictionaries(
    {
        **_COMMON,
        "way": st.sampled_from(_WAYS),
        "C": st.sampled_from([1.0, 0.1, 10, np.inf, np.float32(1e-3)]),
        "tol": st.sampled_from([1e-4, 1e-6, 0.3]),
        "max_iter": st.sampled_from([1000, 1000, 3, 0]),
        "penalty_factor": st.sampled_from([None, None, "some"]),
    }
)
sgd = st.fixed_dictionaries(
    {
        **_COMMON,
        "optimizer": st.sampled_from(
            ["sgd", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "ftrl", "svrg"]
        ),
        "batch_size": st.sampled_from([1, 1, 3, 100, None]),
        "penalty": st.sampled_from(["l2", "l1", "elasticnet", None]),
        "alpha": st.sampled_from([1e-4, 0.0, 0.1]),
        "learning_rate": st.sampled_from(["auto", "constant", "optimal", "invscaling", "adaptive", "cosine"]),
        "eta0": st.sampled_from([None, None, 1e-3]),
        "average": st.sampled_from([False, False, True, 3]),
        "max_iter": st.sampled_from([1, 3, 10]),
        "tol": st.sampled_from([1e-3, None]),
        "shuffle": st.booleans(),
        "early_stopping": st.sampled_from([False, False, False, True]),
        "warmup": st.sampled_from([0, 2]),
    }
)
FAULTS = [None, None, None, "X", "X", "y", "sample_weight", "parameter", "eval_set"]


def parameters(recipes, name, d, classes, seed):
    """Keyword arguments of an estimator, and whether all of them are right."""
    given, right = dict(recipes), True
    if "way" in given:
        given["solver"], share, groups = given.pop("way")
        given["penalty_groups"] = groups
        given["l1_ratio" if name != "LogisticRegressionCV" else "l1_ratios"] = (
            share if name != "LogisticRegressionCV" else (share,)
        )
    if given.get("penalty_factor") == "some":
        factor = np.random.default_rng(seed).integers(0, 3, size=d) / 2
        given["penalty_factor"] = factor if given["solver"] != "sgd" else None
    if given.get("class_weight") == "by class":
        known = classes is not None and classes.dtype.kind != "M"
        given["class_weight"] = (
            {label: 1.5 + k for k, label in enumerate(classes.tolist())} if known else None
        )
    for key, value in given.items():
        if isinstance(value, tuple) and value and value[0] == "wrong value":
            given[key] = WRONG_VALUES[value[1]]
            right = UNKNOWN
    return given, right


@st.composite
def _fit(draw, name, recipes, most_rows=12):
    fault = draw(st.sampled_from(FAULTS))
    chosen = draw(recipes)
    if fault == "parameter":
        key = draw(st.sampled_from(sorted(set(chosen) - {"way"})))
        chosen[key] = draw(wrong_values)
    eval_set = None
    if name != "LogisticRegressionCV":
        others = st.tuples(a.features(frames=True), labels)
        wrong = st.one_of(
            st.tuples(a.wrong_features, labels),
            st.tuples(a.features(frames=True), wrong_labels),
            st.integers(0, 3),
        )
        eval_set = draw(faulty(a.mostly(st.none(), others), wrong, fault, "eval_set"))
    n_classes = draw(st.integers(2, 4))
    return {
        "estimator": name,
        "fault": fault,
        "seed": draw(seeds),
        "shape": (draw(st.integers(max(6, n_classes), most_rows)), draw(st.integers(1, 5)), n_classes),
        "kind": draw(a.KINDS),
        "X": draw(faulty(a.features(frames=True), a.wrong_features, fault, "X")),
        "y": draw(faulty(labels, wrong_labels, fault, "y")),
        "sample_weight": draw(faulty(a.weights, a.wrong_weights, fault, "sample_weight")),
        "parameters": chosen,
        "eval_set": eval_set,
        "again": draw(st.booleans()),
    }


def of_logistic_regression():
    return _fit("LogisticRegression", logistic)


def of_logistic_regression_cv():
    few = logistic.map(lambda chosen: {key: value for key, value in chosen.items() if key != "C"})
    folds = st.fixed_dictionaries(
        {"Cs": st.sampled_from([2, [1.0], (0.1, 10)]), "cv": st.sampled_from([2, 3])}
    )
    extra = st.fixed_dictionaries({"use_legacy_attributes": st.booleans(), "refit": st.booleans()})
    chosen = st.tuples(few, folds, extra).map(lambda parts: {**parts[0], **parts[1], **parts[2]})
    return _fit("LogisticRegressionCV", chosen, most_rows=24)


def of_sgd_classifier():
    return _fit("SGDClassifier", sgd)


def make_table(example, recipe, n, d, seed=0):
    """Features and what they mean to an estimator. n, d: None if that number is free, where they are corrupt."""
    dense = a.table(example["seed"] + seed, *example["shape"][:2], example["kind"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X, meaning = a.make_features(recipe, dense, frames=True)
    meaning = finite(meaning)
    if meaning is not INVALID:
        rows, columns = meaning.shape if meaning.ndim == 2 else (-1, -1)
        if rows != (n or rows) or columns != (d or columns) or meaning.ndim != 2:
            meaning = INVALID
    return X, meaning


def run_fit(example):
    n, d, K = example["shape"]
    name = example["estimator"]
    X, dense = make_table(example, example["X"], n, None)
    y, classes, target = make_labels(example["y"], example["seed"], n, K)
    weight, weight_means = a.make_weights(example["sample_weight"], example["seed"] + 2, n)
    given, right = parameters(example["parameters"], name, d, classes, example["seed"])
    extra, extra_right = make_eval_set(example, n, d, K, classes)
    if dense is not INVALID and (dense.shape[1] != d or np.abs(dense).max() > 1e6):
        right = UNKNOWN  # what goes with the columns does not, or steps are too long
    right = right_if(dense, target, weight_means, UNKNOWN if right is UNKNOWN else None, extra_right)
    if right is True:
        right = _is_plain(example, given, target, weight_means)
    model = MAKE[name](**given)
    before = _start(model, example) if example["again"] and example["fault"] != "parameter" else None
    found = run(lambda: model.fit(X, y, sample_weight=weight, **extra), right)
    if found is None:
        if before is not None:
            _demand_same(before, vars(model))
        return "refused"
    if dense is INVALID or target is INVALID:
        raise Wrong("accepted")
    check_model(model, X, dense)
    if right is True and name == "LogisticRegression":
        _check_optimum(model, given, dense, y, target, weight, weight_means)
    if name == "SGDClassifier" and right is True:
        _check_training(model, given, X, dense, y, weight, extra)
    return "accepted"


def make_eval_set(example, n, d, K, classes):
    """Keyword arguments for an evaluation set, and whether it is right."""
    recipe = example["eval_set"]
    if recipe is None:
        return {}, None
    if not isinstance(recipe, tuple):
        return {"eval_set": (3, "ab", [1], {"X": 1, "y": 2})[recipe]}, INVALID
    X, dense = make_table(example, recipe[0], n, d, seed=1)
    soft_in = example["y"][0] == "soft"
    labels_recipe = recipe[1]
    if labels_recipe[0] == "labels":  # of the kind that is trained on
        labels_recipe = example["y"] if not soft_in else ("labels", "ints")
    y, _, target = make_labels(labels_recipe, example["seed"], n, K)
    if target is INVALID and labels_recipe[1] in ("one class", "numbers as objects"):
        target = UNKNOWN
    right = right_if(dense, target)
    if right is True and (classes is None or (target.ndim == 2 and target.shape[1] != len(classes))):
        right = UNKNOWN
    if labels_recipe == ("soft", "frame"):  # its columns are named by numbers, the classes may be strings
        right = UNKNOWN if right is True else right
    return {"eval_set": (X, y)}, {True: None, False: INVALID, UNKNOWN: UNKNOWN}[right]


def _is_plain(example, given, target, weight):
    """True if nothing but acceptance is right; UNKNOWN where folds or held-out rows may miss a class."""
    if target.ndim == 1 and len(np.unique(target)) < 2:
        return False
    counts = np.bincount(target if target.ndim == 1 else target.argmax(axis=1))
    if example["estimator"] == "LogisticRegressionCV" or given.get("early_stopping"):
        return UNKNOWN
    if weight is not None and (weight == 0).any():
        return UNKNOWN
    factor = given.get("penalty_factor")
    unpenalised = np.isinf(given.get("C", 1.0)) or (factor is not None and not np.any(factor))
    if given.get("solver") == "sdca" and (example["X"][0] != "sparse" or unpenalised):
        return UNKNOWN
    if given.get("eta0") is not None or (given.get("optimizer") == "svrg" and given.get("batch_size") != 1):
        return UNKNOWN
    return True if len(counts) > 1 or target.ndim == 2 else UNKNOWN


def _start(model, example):
    """Fit something else before, and give what there is then."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = np.random.default_rng(0).normal(size=(24, 3))
        try:
            model.fit(rows, np.arange(24) % 3)
        except (ValueError, TypeError):  # some arguments do not go together
            return None
    return copy.deepcopy(vars(model))


def _demand_same(before, after):
    """A call that was refused leaves the estimator as it was."""
    for name in set(before) | set(after):
        if name.endswith("_") and not name.startswith("_"):
            one, other = before.get(name), after.get(name)
            same = isinstance(one, dict) or np.array_equal(
                np.asarray(one), np.asarray(other), equal_nan=False
            )
            if name not in after or name not in before or not same:
                raise Wrong(f"{name} changed in a call that was refused: {one!r} became {other!r}")


# Predictions ------------------------------------------------------------------------------------------------


def parameters_of(model):
    coef = dense_of(model.coef_) if sp.issparse(model.coef_) else model.coef_
    return np.asarray(coef, float), np.asarray(model.intercept_, float), np.asarray(model.classes_)


def check_model(model, X, dense):
    """What a model says of rows is what plain NumPy says from its public coefficients."""
    W, b, classes = parameters_of(model)
    if not (np.isfinite(W).all() and np.isfinite(b).all()):
        raise Wrong(f"coefficients that are not finite: {W!r}, {b!r}")
    Z = dense @ W.T + b
    logits = np.column_stack([np.zeros(len(Z)), Z[:, 0]]) if len(classes) == 2 else Z
    found = {
        name: run(lambda name=name: getattr(model, name)(X), True)
        for name in ("decision_function", "predict_proba", "predict_log_proba", "predict")
    }
    single = found["decision_function"].dtype == np.float32
    rtol = 1e-3 if single else 1e-8
    size = 1.0 + np.abs(dense).max() * np.abs(W).sum(axis=1).max() + np.abs(b).max()
    agree(
        "decision_function",
        found["decision_function"],
        Z[:, 0] if len(classes) == 2 else Z,
        rtol,
        rtol * 1e-2 * size,
    )
    agree("predict_proba", found["predict_proba"], reference.softmax(logits), rtol * size, rtol * 1e-2)
    agree(
        "predict_log_proba",
        found["predict_log_proba"],
        reference.log_softmax(logits),
        rtol,
        rtol * 1e-2 * size,
    )
    places = {label: k for k, label in enumerate(classes.tolist())}
    best = np.array([places[label] for label in found["predict"].tolist()])
    short = logits.max(axis=1) - np.take_along_axis(logits, best[:, None], axis=1)[:, 0]
    if (short > rtol * size).any():
        raise Wrong(f"predict gives {found['predict']!r} for logits {logits!r}")


def _objective(model, given, dense, target, weight):
    """LogisticRegression's, at its coefficients."""
    W, b, classes = parameters_of(model)
    K = len(classes)
    s = np.ones(len(dense)) if weight is None else weight
    T = target if target.ndim == 2 else np.eye(K)[target]
    by_class = np.ones(K)
    if given["class_weight"] == "balanced":
        counts = s @ T
        by_class = counts.sum() / (K * counts)
    elif given["class_weight"] is not None:
        by_class = np.array([given["class_weight"].get(label, 1.0) for label in classes.tolist()])
    total = float((s * by_class[target]).sum() if target.ndim == 1 else s.sum())
    loss = reference.linear_cross_entropy(
        dense, target, W[0] if K == 2 else W, b[0] if K == 2 else b, sample_weight=s, class_weight=by_class
    )
    factor = np.ones(dense.shape[1]) if given["penalty_factor"] is None else given["penalty_factor"]
    norms = np.sqrt((W**2).sum(axis=0)) if given["penalty_groups"] else np.abs(W).sum(axis=0)
    share = given["l1_ratio"]
    penalty = (1 - share) / 2 * factor @ (W**2).sum(axis=0) + share * factor @ norms
    return loss + penalty / (given["C"] * total)


def _check_optimum(model, given, dense, y, target, weight, weight_means):
    """A fit of the same rows as plain float64 reaches the same objective."""
    free = given["penalty_factor"] is not None and (given["penalty_factor"] == 0).any()
    if np.isinf(given["C"]) or free or not model.converged_:
        return
    plain = LogisticRegression(
        **given | ({"solver": "auto"} if given["solver"] == "sdca" else {})
    )  # takes no dense X
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain.fit(dense, y, sample_weight=weight)
    if not plain.converged_:
        return
    found, wanted = (_objective(m, given, dense, target, weight_means) for m in (model, plain))
    by_gradient = given["solver"] in ("lbfgs", "newton-cg", "newton-cholesky", "sag", "saga")
    slack = (3.0 if not by_gradient else 30.0) * given["tol"] + (
        1e-2 if model.coef_.dtype == np.float32 else 1e-7
    )
    if abs(found - wanted) > slack * max(wanted, 1e-3):
        raise Wrong(f"the objective is {found!r}; from the same rows as float64 arrays it is {wanted!r}")


def _check_training(model, given, X, dense, y, weight, extra):
    """Training on the same rows as plain arrays, of the same dtype, leads to the same coefficients."""
    adaptive, single = given["optimizer"] in ("adagrad", "rmsprop", "adam"), model.coef_.dtype == np.float32
    is_sparse = sp.issparse(X) or (hasattr(X, "dtypes") and hasattr(X, "sparse"))
    if adaptive and (is_sparse or single):
        return  # their penalty waits for a row that has the feature; a gradient of rounding errors makes a whole step
    if given["average"] and is_sparse:
        return  # the average is of other steps
    if given["random_state"] is None:
        return
    plain = SGDClassifier(**given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain.fit(dense.astype(model.coef_.dtype), y, sample_weight=weight, **extra)
    rtol = 1e-2 if single else 1e-6
    size = 1e-3 + np.abs(plain.coef_).max()
    agree("coef_ after training", model.coef_, plain.coef_, rtol, rtol * size)


@st.composite
def of_predict(draw):
    fault = draw(st.sampled_from([None, "X", "X", "X", "y", "sample_weight"]))
    return {
        "estimator": draw(st.sampled_from(["LogisticRegression", "SGDClassifier", "LogisticRegressionCV"])),
        "seed": draw(seeds),
        "fault": fault,
        "shape": (draw(st.integers(1, 9)), draw(st.integers(1, 5)), draw(st.integers(2, 4))),
        "kind": draw(a.KINDS),
        "single": draw(st.booleans()),
        "sparsify": draw(st.booleans()),
        "names": draw(st.booleans()),
        "X": draw(faulty(a.features(frames=True), a.wrong_features, fault, "X")),
        "y": draw(faulty(st.just(("labels", "ints")), wrong_labels, fault, "y")),
        "sample_weight": draw(faulty(a.weights, a.wrong_weights, fault, "sample_weight")),
    }


def fitted(name, seed, d, n_classes, single=False, names=False):
    """A model with coefficients of our own; to fit would be too slow here."""
    rng = np.random.default_rng(seed)
    model = MAKE[name]()
    model.classes_ = np.arange(n_classes)
    K = 1 if n_classes == 2 else n_classes
    dtype = np.float32 if single else np.float64
    model.coef_ = np.asfortranarray(rng.integers(-4, 5, size=(K, d)) / 4, dtype)
    model.intercept_ = (rng.integers(-4, 5, size=K) / 4).astype(dtype)
    model.n_features_in_ = d
    if names:
        model.feature_names_in_ = np.array([f"c{j}" for j in range(d)], object)
    return model


def _all(predictions):
    """Predictions of sources come batch by batch, and so do their errors."""
    return list(predictions) if hasattr(predictions, "__next__") else predictions


def run_predict(example):
    n, d, K = example["shape"]
    model = fitted(example["estimator"], example["seed"], d, K, example["single"], example["names"])
    if example["sparsify"]:
        model.sparsify()
    X, dense = make_table(example, example["X"], None, d)
    y, _, target = make_labels(example["y"], example["seed"], n, K)
    weight, weight_means = a.make_weights(example["sample_weight"], example["seed"], n)
    if dense is not INVALID and len(dense) != n:
        target = UNKNOWN
    if weight_means is not None and weight_means is not INVALID and not weight_means.any():
        weight_means = UNKNOWN
    right = right_if(dense)
    if example["names"] and a.has_names(example["X"]) and not a.has_names(example["X"], "c"):
        right = UNKNOWN if right is True else right
    if example["X"] == ("wrong", "generator"):
        right = UNKNOWN  # refused when its first row is taken for a batch; later it is empty
    for name in ("decision_function", "predict_proba", "predict_log_proba", "predict"):
        run(lambda name=name: _all(getattr(model, name)(X)), right)
    if right is True:
        check_model(model, X, dense)
    score_right = right_if(dense, target, weight_means)
    alone = n == 1 and example["y"] in [
        ("wrong", "mixed"),
        ("wrong", "two outputs"),
    ]  # nothing it disagrees with
    if alone or example["y"] in [*WRONG_FOR_TRAINING, ("wrong", "huge")]:
        score_right = UNKNOWN  # a label that no class has is a prediction that fails
    run(lambda: model.score(X, y, sample_weight=weight), score_right)


# Training by pieces -----------------------------------------------------------------------------------------


@st.composite
def of_partial_fit(draw):
    fault = draw(st.sampled_from([None, None, "X", "y", "sample_weight", "classes", "eval_set"]))
    pieces = draw(st.integers(1, 3))
    d, K = draw(st.integers(1, 5)), draw(st.integers(2, 4))
    usual = st.fixed_dictionaries(
        {"X": a.features(frames=False), "y": labels_of_pieces, "sample_weight": a.weights}
    )
    return {
        "fault": fault,
        "at": draw(st.integers(0, pieces - 1)),
        "seed": draw(seeds),
        "shape": (draw(st.integers(1, 8)), d, K),
        "kind": draw(a.KINDS),
        "pieces": draw(st.lists(usual, min_size=pieces, max_size=pieces)),
        "wrong": draw(
            {
                "X": a.wrong_features,
                "y": wrong_labels,
                "sample_weight": a.wrong_weights,
                "classes": st.integers(0, len(NO_CLASSES) - 1),
                "eval_set": st.tuples(a.wrong_features, labels_of_pieces),
            }.get(fault, st.none())
        ),
        "parameters": draw(sgd),
    }


NO_CLASSES = (None, 3, "abc", [0], [], [0, np.nan], [0, "a"], [[0, 1], [2, 3]], [None, 1], 1j, [0, 1j], {"a": 1},
              np.ma.masked_array([0, 1, 2], mask=[0, 0, 1]), [0, 9], sp.csr_array(np.eye(2)), [b"a", b"b"])  # fmt: skip


def run_partial_fit(example):
    n, d, K = example["shape"]
    given, _ = parameters(example["parameters"], "SGDClassifier", d, np.arange(K), example["seed"])
    if given["optimizer"] == "svrg":
        given["optimizer"] = "sgd"
    given["early_stopping"] = False
    if given["class_weight"] == "balanced":
        given["class_weight"] = None
    model, units = SGDClassifier(**given), set()
    for number, recipes in enumerate(example["pieces"]):
        recipes = dict(recipes)
        wrong_here = example["fault"] if number == example["at"] else None
        if wrong_here in recipes:
            recipes[wrong_here] = example["wrong"]
        first = not hasattr(model, "classes_")  # what was refused was no first call
        width = None if first else model.n_features_in_
        X, dense = make_table(example, recipes["X"], n, width, seed=number)
        y, _, target = make_labels(recipes["y"], example["seed"] + number, n, K)
        if recipes["y"][0] == "wrong" and recipes["y"][1] in ("one class", "numbers as objects"):
            target = UNKNOWN
        weight, weight_means = a.make_weights(recipes["sample_weight"], example["seed"], n)
        extra = {"classes": np.arange(K)} if first else {}
        meanings = [dense, target, weight_means]
        if wrong_here == "classes":
            extra["classes"] = NO_CLASSES[example["wrong"]]
            meanings.append(UNKNOWN)
        if wrong_here == "eval_set":
            held_out, held_out_means = make_table(example, example["wrong"][0], n, d)
            extra["eval_set"] = (held_out, make_labels(example["wrong"][1], 0, n, K)[0])
            meanings.append(held_out_means)
        right = right_if(*meanings)
        if right is not False and weight_means is not INVALID:  # whatever may be taken, counts as taken
            usual = weight_means is None or 1e-20 < weight_means.max() < 1e20
            units.add(None if usual else recipes["sample_weight"])
        if right is True:
            left_out = weight_means is not None and (weight_means == 0).any()
            if given["eta0"] is not None or left_out or len(units) > 1:
                right = (
                    UNKNOWN  # the descent may diverge, be left without weight, or weights be too different
                )
        before = copy.deepcopy(vars(model))
        found = run(lambda: model.partial_fit(X, y, sample_weight=weight, **extra), right)  # noqa: B023
        if found is None:
            _demand_same(before, vars(model))
        elif dense is not INVALID:
            check_model(model, X, dense)
            pickle.loads(pickle.dumps(model))


# The path ---------------------------------------------------------------------------------------------------


@st.composite
def of_path(draw):
    fault = draw(
        st.sampled_from([None, None, "X", "y", "sample_weight", "Cs", "n_alphas", "eps", "tol", "l1_ratio"])
    )
    chosen = {
        "Cs": draw(st.sampled_from([None, [1.0], (0.1, 10), [3, 1, 2]])),
        "n_alphas": draw(st.integers(1, 3)),
        "eps": draw(st.sampled_from([1e-2, 0.5])),
        "l1_ratio": draw(st.sampled_from([1.0, 0.5, 0.0])),
        "fit_intercept": draw(st.booleans()),
        "class_weight": draw(st.sampled_from([None, "balanced"])),
        "penalty_groups": draw(st.sampled_from([None, "features"])),
        "tol": 1e-4,
        "n_threads": draw(n_threads),
    }
    if fault in chosen:
        chosen[fault] = draw(wrong_values)
    n_classes = draw(st.integers(2, 4))
    return {
        "fault": fault,
        "seed": draw(seeds),
        "shape": (draw(st.integers(max(4, n_classes), 12)), draw(st.integers(1, 5)), n_classes),
        "kind": draw(a.KINDS),
        "X": draw(faulty(a.features(frames=True), a.wrong_features, fault, "X")),
        "y": draw(faulty(labels, wrong_labels, fault, "y")),
        "sample_weight": draw(faulty(a.weights, a.wrong_weights, fault, "sample_weight")),
        "parameters": chosen,
    }


def run_path(example):
    n, d, K = example["shape"]
    X, dense = make_table(example, example["X"], n, None)
    y, _, target = make_labels(example["y"], example["seed"], n, K)
    weight, weight_means = a.make_weights(example["sample_weight"], example["seed"] + 2, n)
    d = d if dense is INVALID else dense.shape[1]  # a corrupt container may be a sound one of another shape
    given, _ = parameters(example["parameters"], "", d, None, example["seed"])
    right = right_if(dense, target, weight_means, UNKNOWN)  # features that tell nothing have no path
    path = run(lambda: logistic_path(X, y, sample_weight=weight, **given), right)
    if path is None:
        return "refused"
    about = {"penalty_factor": None, **given}
    for C, coef, intercept, value in zip(path.Cs, path.coefs, path.intercepts, path.objectives, strict=True):
        model = fitted("LogisticRegression", 0, d, len(path.classes))
        model.classes_, model.coef_, model.intercept_ = path.classes, coef, intercept
        plain = _objective(model, {**about, "C": C}, dense, target, weight_means)
        agree("objectives", value, plain, 1e-3 if coef.dtype == np.float32 else 1e-7, 1e-6)
    return "accepted"


# Models that were edited ------------------------------------------------------------------------------------

ATTRIBUTES = ("coef_", "coef_", "intercept_", "classes_", "n_features_in_", "feature_names_in_")


@st.composite
def of_edited(draw):
    return {
        "estimator": draw(st.sampled_from(["LogisticRegression", "SGDClassifier", "LogisticRegressionCV"])),
        "seed": draw(seeds),
        "shape": (draw(st.integers(6, 9)), draw(st.integers(1, 5)), draw(st.integers(2, 4))),
        "kind": draw(a.KINDS),
        "X": draw(a.features(frames=False)),
        "sparse": draw(a.mostly(st.none(), a.sparse_features)),
        "corrupt": draw(st.lists(a.changes, max_size=2)),
        "edits": draw(
            st.lists(
                st.tuples(st.sampled_from(ATTRIBUTES), st.sampled_from(a.CHANGES), st.integers(0, 40)),
                max_size=3,
            )
        ),
        "pickled": draw(st.booleans()),
        "then": draw(st.sampled_from(["predict", "predict", "go on"])),
    }


def run_edited(example):
    n, d, K = example["shape"]
    model = fitted(example["estimator"], example["seed"], d, K)
    X, dense = make_table(example, example["X"], n, d)
    if dense is INVALID:
        return
    if example["sparse"] is not None:
        model.coef_ = a.make_sparse(model.coef_, *example["sparse"][1:])
        for change in example["corrupt"]:
            a.corrupt(model.coef_, *change)
    for name, change, number in example["edits"]:
        if change == "deleted":
            vars(model).pop(name, None)
        elif hasattr(model, name) and not sp.issparse(getattr(model, name)):
            value = getattr(model, name)
            setattr(model, name, a._changed(np.atleast_1d(value), change, number))
            if name == "n_features_in_" and np.shape(getattr(model, name)) == (1,):
                model.n_features_in_ = getattr(model, name)[0]
    read = (dense != 0).any(axis=0) if sp.issparse(X) else np.ones(d, bool)
    meaning = meaning_of(model, d, read)
    if example["pickled"]:
        try:
            model = pickle.loads(pickle.dumps(model))
        except Exception:  # SciPy's own, of a corrupt container
            return "not pickled"
    if example["then"] == "go on":
        y = np.arange(n) % K
        if example["estimator"] == "SGDClassifier":
            run(lambda: model.partial_fit(X, y), UNKNOWN)
        else:
            model.warm_start = True
            model.max_iter = 3
            if example["estimator"] == "LogisticRegression":
                run(lambda: model.fit(X, y), UNKNOWN)
        return
    for name in ("decision_function", "predict_proba", "predict_log_proba", "predict"):
        run(lambda name=name: getattr(model, name)(X), meaning)
    if meaning is True:
        check_model(model, X, dense)


def meaning_of(model, d, read):
    """Whether a model's public attributes make one that can predict rows of d features.

    read: mask of the features that some row has. Coefficients of others need not be looked at.
    """
    held = vars(model)
    if hasattr(model, "feature_names_in_"):
        return UNKNOWN
    coef = held.get("coef_")
    if sp.issparse(coef):
        coef = dense_of(coef)
        if coef is INVALID:
            return False
    W, b, classes = _real(coef), _real(held.get("intercept_")), held.get("classes_")
    if W is None or b is None or isinstance(classes, np.ma.MaskedArray):
        return False
    classes = np.asarray(classes)
    if classes.ndim != 1 or len(classes) < 2:
        return False
    K = 1 if len(classes) == 2 else len(classes)
    width = held.get("n_features_in_", d)
    if not isinstance(width, (int, np.integer)) or isinstance(width, np.timedelta64):
        return UNKNOWN
    if W.shape != (K, d) or width != d or b.shape not in ((K,), ()):
        return False
    if len(set(map(repr, classes.tolist()))) < len(classes) or classes.dtype == object:
        return UNKNOWN
    if not np.isfinite(b).all() or not np.isfinite(W[:, read]).all():
        return False
    return True if np.isfinite(W).all() else UNKNOWN


def _real(values):
    if values is None or isinstance(values, np.ma.MaskedArray):
        return None
    try:
        values = np.asarray(values)
    except ValueError:
        return None
    return values.astype(float) if values.dtype.kind in "biuf" else None
