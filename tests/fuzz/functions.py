"""The functions: how examples are drawn for them, how they are run, and what the plain reference says.

An example is a dict of recipes (see `fuzz.arguments`), of which at most one is at fault.
"""

import warnings

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st

import fastxent
from fastxent import reference
from fuzz import arguments as a
from fuzz.arguments import UNKNOWN
from fuzz.judge import Wrong, agree, faulty, finite, n_threads, right_if, run, seeds, sizes, tolerance
from fuzz.plain import INVALID, dense_of

# Rows of logits ---------------------------------------------------------------------------------------------


# Wrong tables of features: logits need be neither finite nor have columns of different names.
RIGHT_AS_LOGITS = ("nan", "inf", "nan32", "longdouble beyond", "frame with one name")


def _as_logits(logits, how):
    return np.asarray(logits, np.float32 if how == "nan32" else float)


@st.composite
def of_rows(draw):
    fault = draw(st.sampled_from([None, None, "logits", "out", "n_threads"]))
    n, K, _ = sizes(draw)
    right = st.tuples(st.just("dense"), st.sampled_from(sorted(a.DENSE)))
    return {
        "function": draw(st.sampled_from(["logsumexp", "softmax", "log_softmax", "sigmoid"])),
        "seed": draw(seeds),
        "shape": (n, K),
        "special": draw(st.sampled_from([None, None, "nan", "inf", "-inf", "row of -inf", "large"])),
        "logits": draw(faulty(right, a.wrong_features, fault, "logits")),
        "out": draw(
            faulty(
                st.sampled_from([None, "fits"]),
                st.sampled_from(["shape", "dtype", "list", "F"]),
                fault,
                "out",
            )
        ),
        "n_threads": draw(faulty(n_threads, a.wrong_threads, fault, "n_threads")),
    }


_SPECIAL = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "large": 1e4}


def run_rows(example):
    n, K = example["shape"]
    Z = a.table(example["seed"], n, K, "halves")
    if example["special"] == "row of -inf":
        Z[0] = -np.inf
    elif example["special"] is not None:
        Z[n // 2, K // 2] = _SPECIAL[example["special"]]
    integers = example["logits"][1] in ("int8", "int64", "uint64", "big-endian int", "bool")
    if example["special"] and (example["logits"][0] != "dense" or integers):
        Z = a.table(example["seed"], n, K, "halves")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logits, plain = a.make_features(example["logits"], Z, frames=False)
    kind, how = example["logits"][0], example["logits"][1]
    sigmoid = example["function"] == "sigmoid"
    if kind == "wrong" and how in (*RIGHT_AS_LOGITS, "one row"):
        plain = _as_logits(logits, how)
    elif (
        kind == "wrong"
        and sigmoid
        and how in ("three dimensions", "no rows", "no columns", "number", "nested")
    ):
        plain = np.asarray(logits, float)
    elif kind == "wrong" and (how == "frame with gaps" or (sigmoid and how == "frame without columns")):
        plain = UNKNOWN  # an array of objects, or of NaN
    elif kind in ("corrupt", "sparse"):
        plain = INVALID
    threads, threads_mean = a.make_number(example["n_threads"])
    function, plain_function = (getattr(home, example["function"]) for home in (fastxent, reference))
    if how == "unmasked" and kind == "wrong":
        plain = INVALID
    wanted = None
    if plain is not INVALID and plain is not UNKNOWN:
        with np.errstate(all="ignore"):
            wanted = np.asarray(plain_function(plain))
    out, out_right = _out(example["out"], wanted, logits)
    right = right_if(plain, threads_mean, None if out_right else INVALID)
    found = run(lambda: function(logits, out=out, n_threads=threads), right)
    if found is not None and wanted is not None:
        if out is not None and found is not out:
            raise Wrong("the result is not out")
        agree(example["function"], found, wanted, tolerance(np.asarray(logits)), atol=1e-30)


def _out(how, wanted, logits):
    dtype = np.float32 if getattr(logits, "dtype", None) in (np.float32, ">f4") else np.float64
    if how is None or wanted is None:
        return None, True
    if how == "fits":
        return np.empty(wanted.shape, dtype), True
    if how == "list":
        return wanted.tolist(), False
    if how == "shape":
        return np.empty((*wanted.shape, 2), dtype), False
    if how == "dtype":
        return np.empty(wanted.shape, np.int64), False
    bad = np.empty(wanted.shape, dtype, order="F")
    return bad, bool(bad.flags.c_contiguous)


# Cross-entropy ----------------------------------------------------------------------------------------------

NO_INDEX = (1.0, "1", True, [1], 1j, np.nan, np.bool_(0), b"1")
NO_REDUCTION = ("median", None, 3, b"mean", ["mean"], "Mean")

options = st.fixed_dictionaries(
    {
        "class_weight": st.sampled_from([None, None, "array", "mapping", "part"]),
        "label_smoothing": st.sampled_from([0.0, 0.1, 1.0, 1, np.float32(0.25), True]),
        "ignore_index": st.sampled_from([None, None, -100, 0, 1, 2**64 - 1, 10**400]),
        "reduction": st.sampled_from(["mean", "sum", "none"]),
        "l2": st.sampled_from([0.0, 0.5, 3, np.float64(2.0)]),
        "n_threads": n_threads,
    }
)
wrong_options = {
    "class_weight": st.sampled_from(
        [*sorted(a.WRONG_WEIGHTS), "other class", "no class", "huge weight", "balanced"]
    ),
    "label_smoothing": st.one_of(a.wrong_real, st.just(1.5)),
    "ignore_index": st.integers(0, len(NO_INDEX) - 1),
    "reduction": st.sampled_from(NO_REDUCTION),
    "l2": a.wrong_real,
    "n_threads": a.wrong_threads,
}


def make_class_weight(how, seed, n_classes):
    w = a._weights(seed, n_classes)
    if how is None:
        return None, None
    if how == "array":
        return w, w
    if how == "mapping":
        return dict(enumerate(w.tolist())), w
    if how == "part":
        w[1:] = 1.0
        return {np.int64(0): w[0]}, w
    wrong = {
        "other class": {n_classes: 1.0},
        "no class": {"a": 1.0},
        "huge weight": {0: 10**400},
        "balanced": "balanced",
    }
    return wrong[how] if how in wrong else a.WRONG_WEIGHTS[how](w), INVALID


def make_options(example, n_classes):
    """The keyword arguments but sample_weight, and what they mean."""
    given, fault = dict(example["options"]), example["fault"]
    meant = dict(given)
    given["class_weight"], meant["class_weight"] = make_class_weight(
        given["class_weight"], example["seed"] + 1, n_classes
    )
    for name in ("label_smoothing", "l2", "n_threads"):
        if name in given:
            given[name], meant[name] = a.make_number(given[name])
    if meant["label_smoothing"] == 1.5:
        meant["label_smoothing"] = INVALID
    if fault == "ignore_index":
        given["ignore_index"], meant["ignore_index"] = NO_INDEX[given["ignore_index"]], INVALID
    if fault == "reduction":
        meant["reduction"] = INVALID
    return given, meant


FAULTS = [None, None, None, "X", "X", "target", "sample_weight", "class_weight", "label_smoothing", "ignore_index",
          "reduction", "n_threads"]  # fmt: skip


@st.composite
def of_logits(draw):
    fault = draw(st.sampled_from(FAULTS))
    n, _, K = sizes(draw)
    chosen = draw(options)
    if fault in wrong_options:
        chosen[fault] = draw(wrong_options[fault])
    del chosen["l2"]
    return {
        "function": draw(st.sampled_from(["cross_entropy", "cross_entropy_and_grad"])),
        "fault": fault,
        "seed": draw(seeds),
        "shape": (n, K),
        "logits": draw(a.dense_features(frames=False) if fault != "X" else a.wrong_features),
        "target": draw(faulty(a.targets, a.wrong_targets, fault, "target")),
        "sample_weight": draw(faulty(a.weights, a.wrong_weights, fault, "sample_weight")),
        "options": chosen,
    }


def run_logits(example):
    n, K = example["shape"]
    Z = a.table(example["seed"], n, K, "halves")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logits, plain = a.make_features(example["logits"], Z, frames=False)
    how = example["logits"][1]
    if example["logits"][0] == "wrong" and how in RIGHT_AS_LOGITS:
        plain = _as_logits(logits, how)
    elif example["logits"][0] == "corrupt":
        plain = INVALID
    elif how == "frame with gaps":
        plain = UNKNOWN
    if plain is not INVALID and plain is not UNKNOWN and plain.ndim == 2 and plain.shape != (n, K):
        plain = (
            UNKNOWN if how == "frame with one name" else INVALID
        )  # twice as wide: for codes, other classes
    function, plain_function = (getattr(home, example["function"]) for home in (fastxent, reference))
    run_cross_entropy(example, function, plain_function, n, K, (logits,), (plain,))


def run_cross_entropy(example, function, plain_function, n, K, first, first_mean):
    """What the functions of logits and of linear models share. first: what comes before the target, and behind it."""
    target, target_means = a.make_target(example["target"], example["seed"], n, K)
    weight, weight_means = a.make_weights(example["sample_weight"], example["seed"] + 2, n)
    given, meant = make_options(example, K)
    right = right_if(*first_mean, target_means, weight_means, *meant.values())
    beyond = example["sample_weight"] == "large" and meant["reduction"] != "mean"
    if right is True and beyond and tolerance(*first) > tolerance():
        right = UNKNOWN  # losses of such a weight are no float32
    found = run(lambda: function(first[0], target, *first[1:], sample_weight=weight, **given), right)
    if found is None or right is not True:
        return
    with np.errstate(all="ignore"):
        wanted = plain_function(
            first_mean[0], target_means, *first_mean[1:], sample_weight=weight_means, **meant
        )
    found, wanted = (result if isinstance(result, tuple) else (result,) for result in (found, wanted))
    for part, plain_part in zip(found, wanted, strict=True):
        size = 1.0 + np.abs(np.asarray(plain_part)[np.isfinite(plain_part)]).max(initial=0.0)
        agree(example["function"], part, plain_part, tolerance(*first), atol=tolerance(*first) * size)


@st.composite
def of_linear(draw):
    names = ["linear_cross_entropy", "linear_cross_entropy_and_grad", "linear_cross_entropy_hessp"]
    fault = draw(st.sampled_from([*FAULTS, "l2", "coef", "coef", "intercept", "direction"]))
    function = draw(st.sampled_from(names))
    n, d, K = sizes(draw)
    chosen = draw(options)
    if function != names[0] and chosen["reduction"] == "none":
        chosen["reduction"] = "sum"
    if chosen["reduction"] == "none":
        chosen["l2"] = 0.0
    if fault in wrong_options:
        chosen[fault] = draw(wrong_options[fault])
    return {
        "function": function,
        "fault": fault,
        "seed": draw(seeds),
        "shape": (n, d, K),
        "kind": draw(a.KINDS),
        "binary": draw(st.booleans()),
        "X": draw(faulty(a.features(frames=False), a.wrong_features, fault, "X")),
        "target": draw(faulty(a.targets, a.wrong_targets, fault, "target")),
        "coef": draw(faulty(a.coefs, a.wrong_coefs, fault, "coef")),
        "intercept": draw(faulty(st.one_of(st.none(), a.coefs), a.wrong_coefs, fault, "intercept")),
        "direction": draw(faulty(a.coefs, a.wrong_coefs, fault, "direction")),
        "sample_weight": draw(faulty(a.weights, a.wrong_weights, fault, "sample_weight")),
        "options": chosen,
    }


def run_linear(example):
    n, d, K = example["shape"]
    binary = example["binary"]
    K = 2 if binary else K
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X, X_means = a.make_features(
            example["X"], a.table(example["seed"], n, d, example["kind"]), frames=False
        )
    X_means = finite(X_means)
    if X_means is not INVALID and X_means.shape != (n, d):
        X_means = INVALID
    rng = np.random.default_rng(example["seed"] + 3)
    shape, b_shape = ((d,), ()) if binary else ((K, d), (K,))
    W, V = (rng.integers(-4, 5, size=shape) / 4 for _ in range(2))
    b, v = (np.array(rng.integers(-4, 5, size=b_shape) / 4) for _ in range(2))
    coef, coef_means = a.make_coef(example["coef"], W)
    intercept, intercept_means = None, None
    if example["intercept"] is not None:
        intercept, intercept_means = make_intercept(example["intercept"], b)
    first, means = [X, coef, intercept], [X_means, coef_means, intercept_means]
    if example["function"] == "linear_cross_entropy_hessp":
        direction, direction_means = a.make_coef(example["direction"], V)
        first, means = [*first, direction, v], [*means, direction_means, v]
    elif example["fault"] == "direction":
        return
    function, plain_function = (getattr(home, example["function"]) for home in (fastxent, reference))
    beyond = X_means is not INVALID and tolerance(X) > tolerance() and np.abs(X_means).max() > 1e6
    known = [UNKNOWN, *means[1:]] if beyond else means  # single precision may round logits by more than 1
    run_cross_entropy(example, function, plain_function, n, K, first, known)
    if sp.issparse(X) and not any(mean is INVALID for mean in means[1:]):
        _run_reference(X, X_means, plain_function, a.codes(example["seed"], n, K), means[1:], (n, d))


def _run_reference(X, dense, function, y, others, shape):
    """The reference, too, looks at the structure of sparse arrays; it checks nothing else."""
    claimed = getattr(X, "shape", None)
    if isinstance(claimed, (tuple, list)) and tuple(claimed) != shape:
        return
    structure = dense_of(X)
    found = run(lambda: function(X, y, *others), structure is not INVALID)
    if found is not None and dense is not INVALID:
        wanted = function(dense, y, *others)
        found, wanted = (result[0] if isinstance(result, tuple) else result for result in (found, wanted))
        agree("the reference of sparse rows", found, wanted, 1e-6, 1e-6)


def make_intercept(recipe, b):
    """An intercept; for binary a number, which some of the wrong ways leave one."""
    if b.ndim:
        return a.make_coef(recipe, b) if recipe != ("wrong", "none") else (None, None)
    if not isinstance(recipe, tuple):
        return float(b), b
    wrong = {
        "nan": np.nan,
        "inf": np.inf,
        "narrower": [0.0, 1.0],
        "deeper": [[0.0]],
        "complex": 1j,
        "str": "1",
    }
    return (wrong[recipe[1]], INVALID) if recipe[1] in wrong else ([10**400], INVALID)
