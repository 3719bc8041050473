"""Model files: what is saved is loaded to the bit, by every way in; what cannot be saved or trusted is refused."""

import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.model_selection import (
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)

import fastxent
from fastxent import LogisticRegression, LogisticRegressionCV, SGDClassifier, container, files, record
from fastxent.predictor import Predictor
from problems import DTYPES
from test_values import assert_same

TEXTS = ["a cat sat", "the cat ran", "dogs run far", "a dog sat", "birds fly", "the Bird flew Far"]
LABELS = ["cat", "cat", "dog", "dog", "bird", "bird"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.fxt"


def problem(K=3, dtype=np.float64):
    rng = np.random.default_rng(K)
    X = rng.standard_normal((60, 4)).astype(dtype)
    y = np.arange(60) % K
    X[np.arange(60), y % 4] += 1
    return X, y


def restored(model, path, **arguments):
    model.save(path, **arguments)
    return fastxent.load(path, estimator=True)


def assert_same_state(got, expected):
    assert type(got) is type(expected)
    for name, value in vars(expected).items():
        if name not in ("_remembered_", "random_state", "_metadata_request"):
            assert_same(getattr(got, name), value)
    assert vars(got).keys() == vars(expected).keys()


def small_predictor(classes=("a", "b", "c"), scale=1.0):
    return Predictor(scale * np.array([[1.0, 0], [0, 1], [2, 3]]), [0.0, 1, 2], list(classes))


# What comes back ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(C=3.0, tol=1e-6, random_state=7, penalty_factor=np.arange(4.0)),
        LogisticRegressionCV(Cs=[0.1, np.inf], cv=2, l1_ratios=(0, 1), use_legacy_attributes=False),
        LogisticRegressionCV(Cs=2, cv=2, l1_ratios=(0,), use_legacy_attributes=True),
        SGDClassifier(max_iter=3, tol=None, average=True, class_weight={"one": 2.0, "two": np.float32(3)}),
    ],
    ids=["logistic", "cv", "legacy cv", "sgd"],
)
def test_predictor_and_estimator_are_what_they_were(model, K, dtype, path):
    X, y = problem(K, dtype)
    X, y = pd.DataFrame(X, columns=[f"column {j}" for j in range(4)]), np.array(["one", "two", "three"])[y]
    model = clone(model).fit(X, y)
    again = restored(model, path)
    assert_same_state(again, model)
    p, own = fastxent.load(path), model.predictor()
    np.testing.assert_array_equal(p(X), own(X), strict=True)
    np.testing.assert_array_equal(p.classes, model.classes_, strict=True)
    assert (p.dtype, p.n_features) == (dtype, 4)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X), strict=True)
    clone(again).fit(X, y)


def test_coefficients_in_other_forms(path):
    X, y = problem()
    model = LogisticRegression(l1_ratio=1.0, C=0.1).fit(X, y).sparsify()
    again = restored(model, path)
    assert type(again.coef_) is type(model.coef_)
    np.testing.assert_array_equal(again.coef_.toarray(), model.coef_.toarray())
    np.testing.assert_array_equal(fastxent.load(path)(X), model.predictor()(X), strict=True)
    model.coef_, model.intercept_ = model.coef_.toarray().astype(">f4"), 0.5  # as somebody may set them
    again = restored(model, path)
    assert_same(again.intercept_, 0.5)
    np.testing.assert_array_equal(fastxent.load(path)(X), model.predict_proba(X), strict=True)


BASE = np.arange(60) % 3
CLASSES = {
    "str": np.array(["a", "b", "c\u00e9\U0001f600"]),
    "wide str": np.array(["a", "b", "c"], "U40"),
    "objects": np.array(["a\0b", "", "\ud800"], object),
    "bool": np.array([False, True, False]),
    **{code: np.array([0, 1, 2], code) for code in ("i1", "u1", ">i2", "<i4", ">i8", "f2", "f4", ">f8")},
    "u8": np.array([0, 2**63, 2**64 - 1], np.uint64),
    "i8": np.array([-(2**63), 0, 2**63 - 1]),
    "dates": np.array(["2020", "2021-05", "2022"], "M8[D]"),
    "spans": np.array([1, 2, 3], "m8[s]"),
}


@pytest.mark.parametrize("classes", CLASSES.values(), ids=CLASSES)
def test_classes_of_any_type(classes, path):
    model = LogisticRegression(max_iter=3, solver="lbfgs", tol=1.0).fit(problem()[0], classes[BASE])
    assert_same(restored(model, path).classes_, model.classes_)
    assert_same(np.array(fastxent.load(path).classes), model.classes_)
    model.predictor().save(path)
    assert_same(np.array(fastxent.load(path).classes), model.classes_)


@given(
    K=st.integers(2, 5),
    d=st.integers(1, 4),
    dtype=st.sampled_from(DTYPES),
    data=st.data(),
)
def test_any_predictor(folder, K, d, dtype, data):
    rows = 1 if K == 2 and data.draw(st.booleans()) else K
    numbers = st.floats(-1e3, 1e3, width=32)
    coef, intercept = (data.draw(hnp.arrays(dtype, shape, elements=numbers)) for shape in ((rows, d), rows))
    classes = data.draw(
        st.one_of(
            hnp.arrays(hnp.integer_dtypes(endianness="?"), max(K, 2)),
            hnp.arrays(hnp.unicode_string_dtypes(max_len=5), max(K, 2)),
            hnp.arrays(object, max(K, 2), elements=st.one_of(st.text(), st.integers(), st.none())),
        )
    )
    p = Predictor(coef, intercept, classes)
    p.save(folder / "p")
    again = fastxent.load(folder / "p")
    x = np.linspace(-1, 1, d).astype(dtype)
    np.testing.assert_array_equal(again(x), p(x), strict=True)
    assert_same(np.array(again.classes), np.array(p.classes))


OPTIMIZERS = ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "ftrl"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("storage", "batch_size"), [(np.asarray, 1), (np.asarray, 16), (sp.csr_array, 1), (sp.csr_array, None)]
)
@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_training_continues_bit_for_bit(optimizer, storage, batch_size, penalty, path):
    X, y = problem()
    X[:, 1] = 100 + 30 * X[:, 1]  # so that columns get units of their own
    X[X < 0] = 0
    X = storage(X)
    one = SGDClassifier(optimizer=optimizer, batch_size=batch_size, penalty=penalty, average=True)
    one.partial_fit(X[:32], y[:32], classes=[0, 1, 2])
    two = restored(one, path)
    three = restored(two, path)
    for model in (one, two, three):
        model.partial_fit(X[32:], y[32:])
    for model in (two, three):
        np.testing.assert_array_equal(model.coef_, one.coef_, strict=True)
        np.testing.assert_array_equal(model.intercept_, one.intercept_, strict=True)
        assert model.t_ == one.t_
        assert len(model.history_["loss"]) == 2


def test_early_stopping_and_random_states_continue(path):
    X, y = problem()
    one = SGDClassifier(early_stopping=True, learning_rate="adaptive", eta0=0.1, n_iter_no_change=2)
    for _ in range(3):
        one.partial_fit(X, y, classes=[0, 1, 2], eval_set=(X, y))
    two = restored(one, path)
    for model in (one, two):
        for _ in range(20):
            model.partial_fit(X, y, eval_set=(X, y))
    np.testing.assert_array_equal(two.coef_, one.coef_)
    assert two.t_ == one.t_

    one = SGDClassifier(random_state=np.random.RandomState(5), max_iter=2, tol=None).fit(X, y)
    two = restored(one, path)
    for model in (one, two):
        model.fit(X, y)
    np.testing.assert_array_equal(two.coef_, one.coef_)
    assert one.random_state is not two.random_state


def test_what_others_have_set(path):
    X, y = problem()
    model = LogisticRegression().fit(X, y)
    model.note, model.since_ = {"who": ["me", None]}, np.datetime64("2026-01-01")
    assert_same_state(restored(model, path), model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sklearn

        with sklearn.config_context(enable_metadata_routing=True):
            model.set_fit_request(sample_weight=True).set_score_request(sample_weight="weights")
    again = restored(model, path)
    for method in ("fit", "score"):
        request = getattr(again.get_metadata_routing(), method).requests
        assert request == getattr(model.get_metadata_routing(), method).requests
    assert request == {"sample_weight": "weights"}


def test_a_file_is_what_others_can_read(path):
    X, y = problem()
    model = LogisticRegression().fit(pd.DataFrame(X, columns=list("abcd")), np.array(["x", "y", "z"])[y])
    model.save(path)
    arrays = safetensors.numpy.load_file(path)
    np.testing.assert_array_equal(arrays["coef_"], model.coef_)
    np.testing.assert_array_equal(arrays["intercept_"], model.intercept_)
    with safetensors.safe_open(path, "numpy") as file:
        metadata = file.metadata()
    assert (metadata["format"], metadata["schema"], metadata["kind"]) == (
        "fastxent model",
        "1",
        "LogisticRegression",
    )
    assert metadata["version"] == fastxent.__version__
    attributes, parameters = json.loads(metadata["attributes"]), json.loads(metadata["parameters"])
    assert attributes["classes_"] == {"strings": ["<U1", [3], ["x", "y", "z"]]}
    assert attributes["feature_names_in_"] == {"strings": ["|O", [4], ["a", "b", "c", "d"]]}
    assert parameters["C"] == 1.0
    assert parameters["solver"] == "auto"


def test_paths(path, monkeypatch):
    p = small_predictor()
    monkeypatch.chdir(path.parent)
    for name in (
        path,
        str(path),
        os.fsencode(path),
        pathlib.PurePath(path),
        "model.fxt",
        pathlib.Path("model.fxt"),
    ):
        p.save(name)
        files.save(p, name)
        assert fastxent.load(name).n_features == 2
        path.unlink()
    for wrong in (None, 1.5, b"\0", "a\0b"):
        with pytest.raises((TypeError, ValueError)):
            p.save(wrong)
        with pytest.raises((TypeError, ValueError)):
            fastxent.load(wrong)
    with pytest.raises(TypeError, match="estimator must be True or False"):
        fastxent.load(path, estimator="yes")


# What is refused ------------------------------------------------------------------------------------------


class OfMyOwn(LogisticRegression):
    pass


class MySplitter(StratifiedKFold):
    pass


def scorer(estimator, X, y):
    return estimator.score(X, y)


def test_what_cannot_be_saved_is_named_and_the_old_file_stays(path):
    X, y = problem()
    small_predictor().save(path)
    before = path.read_bytes()
    cv = LogisticRegressionCV(Cs=2, cv=2, l1_ratios=(0,), use_legacy_attributes=False)
    damaged = LogisticRegression().fit(X, y)
    damaged.coef_[1, 2] = np.nan
    strange = LogisticRegression().fit(X, y)
    strange.attribute_ = len
    endless = LogisticRegression().fit(X, y)
    endless.attribute_ = [1]
    endless.attribute_.append(endless.attribute_)
    widths = LogisticRegression().fit(X, y)
    widths.coef_ = widths.coef_[:2]
    for model, error, message in (
        (clone(cv).set_params(scoring=scorer).fit(X, y), TypeError, "parameters.scoring is a function"),
        (
            clone(cv).set_params(cv=RepeatedKFold(n_splits=2)).fit(X, y),
            TypeError,
            r"parameters\.cv is a RepeatedKFold",
        ),
        (clone(cv).set_params(cv=MySplitter(2)).fit(X, y), TypeError, "parameters.cv is a MySplitter"),
        (strange, TypeError, "attribute_ is a builtin"),
        (endless, TypeError, "attributes of this model contain themselves"),
        (damaged, ValueError, r"coef_\[1, 2\] is nan"),
        (widths, ValueError, "coef_ must have shape"),
        (LogisticRegression(), ValueError, "not fitted"),
        (SGDClassifier(), ValueError, "not fitted"),
        (OfMyOwn().fit(X, y), TypeError, "OfMyOwn is a class of your own"),
    ):
        with pytest.raises(error, match=message):
            model.save(path)
    for other in (clone(cv).fit(X, y).fit, None, "model", {}):
        with pytest.raises(TypeError, match="model must be"):
            files.save(other, path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    "cv",
    [
        [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))],
        StratifiedKFold(2, shuffle=True, random_state=3),
        StratifiedKFold(2, shuffle=True, random_state=np.random.RandomState(0)),
        ShuffleSplit(2, test_size=0.3, random_state=1),
        PredefinedSplit(np.arange(60) % 2),
        TimeSeriesSplit(2),
    ],
    ids=lambda cv: type(cv).__name__,
)
def test_splitters_are_saved(cv, path):
    X, y = problem()
    model = LogisticRegressionCV(Cs=2, cv=cv, l1_ratios=(0,), use_legacy_attributes=False).fit(X, y)
    again = restored(model, path)
    assert type(again.cv) is type(model.cv)
    np.testing.assert_array_equal(again.fit(X, y).scores_, model.fit(X, y).scores_)


def test_a_predictor_is_no_estimator(path):
    small_predictor().save(path)
    with pytest.raises(ValueError, match=r"model\.fxt holds a predictor only"):
        fastxent.load(path, estimator=True)


FITTED = '{"classes_":[0,1],"coef_":[[1.0]],"intercept_":[0.0],"n_features_in_":1}'


def changed(path, **metadata):
    """Write other metadata to a file, with a right checksum."""
    known, arrays = container.read(path)
    container.write(
        path, arrays, {name: text for name, text in (known | metadata).items() if text is not None}
    )


def test_schemas(path, monkeypatch):
    small_predictor().save(path)
    monkeypatch.setattr(record, "SCHEMA", 7)
    assert fastxent.load(path).n_features == 2  # of an older schema
    monkeypatch.undo()
    changed(path, schema="2", version="9.8.7", attributes="whatever it will be")
    for read in (fastxent.load, files.load_vectorizer):
        with pytest.raises(ValueError, match=r"schema 2; .*Install fastxent 9\.8\.7 or newer"):
            read(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"format": "another"},
        {"format": None},
        {"schema": None},
        {"schema": "-1"},
        {"schema": "\u0661"},
        {"schema": "1" * 5000},
        {"kind": None},
        {"kind": "load"},
        {"kind": "__version__"},
        {"kind": "SGDClassifierr"},
        {"attributes": None},
        {"attributes": ""},
        {"attributes": "[]"},
        {"attributes": "{}"},
        {"attributes": "[" * 10**5},
        {"attributes": '{"classes_":["a"],"coef_":[[1.0]],"intercept_":[0.0]}'},
        {"attributes": '{"classes_":["a","b"],"coef_":[["x"]],"intercept_":[0.0]}'},
        {"attributes": '{"classes_":["a","b"],"coef_":5,"intercept_":null}'},
        {"attributes": '{"classes_":{"again":0},"coef_":[[1.0]],"intercept_":[0.0]}'},
    ],
    ids=lambda metadata: str(metadata)[:60],
)
def test_intact_files_that_no_save_has_written(metadata, path):
    small_predictor().save(path)
    changed(path, **metadata)
    with pytest.raises(ValueError, match=r"model\.fxt"):
        fastxent.load(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"parameters": None},
        {"parameters": '{"C":1.0,"unknown":2}'},
        {"parameters": '{"C":{"object":["system",["ls"]]}}'},
        {"parameters": '{"C":{"object":["Training",{}]}}'},
        {"attributes": '{"classes_":[0,1],"coef_":[[1.0]],"intercept_":[0.0],"n_features_in_":4}'},
        {"attributes": '{"predict":5,' + FITTED[1:]},
        {"attributes": '{"_metadata_request":5,' + FITTED[1:]},
        {"attributes": '{"_metadata_request":{"dict":[["x",{"dict":[]}]]},' + FITTED[1:]},
    ],
    ids=lambda metadata: str(metadata)[:60],
)
def test_intact_files_of_no_estimator(metadata, path):
    LogisticRegression().fit(*problem()).save(path)
    changed(path, **metadata)
    with pytest.raises(ValueError, match=r"model\.fxt is no valid model file"):
        fastxent.load(path, estimator=True)


# Vectorisers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "vectorizer",
    [
        TfidfVectorizer(),
        TfidfVectorizer(dtype=np.float32, sublinear_tf=True, norm="l1", ngram_range=(1, 3)),
        TfidfVectorizer(use_idf=False, lowercase=False, binary=True),
        TfidfVectorizer(smooth_idf=False, norm=None, analyzer="char_wb", ngram_range=(2, 3), max_features=20),
        TfidfVectorizer(vocabulary=["cat", "dog", "bird"]),
        TfidfVectorizer(vocabulary={"cat": 1, "dog": 0}, stop_words="english"),
        CountVectorizer(),
        CountVectorizer(
            stop_words=["the", "a"], min_df=1, max_df=0.9, token_pattern=r"\w+", strip_accents="unicode"
        ),
        HashingVectorizer(n_features=32),
        HashingVectorizer(n_features=16, alternate_sign=False, norm=None, dtype=np.float32),
    ],
    ids=str,
)
def test_vectorizers_come_back(vectorizer, path):
    rows = vectorizer.fit_transform(TEXTS)
    model = LogisticRegression().fit(rows, LABELS)
    for saved in (model, model.predictor()):
        saved.save(path, vectorizer=vectorizer)
        again = files.load_vectorizer(path)
        assert type(again) is type(vectorizer)
        assert str(again.get_params()) == str(vectorizer.get_params())
        got, expected = (
            again.transform([*TEXTS, "", "unseen \u00e9"]),
            vectorizer.transform([*TEXTS, "", "unseen \u00e9"]),
        )
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(got, part), getattr(expected, part), strict=True)
        np.testing.assert_array_equal(fastxent.load(path)(got), model.predict_proba(expected), strict=True)
        if not isinstance(vectorizer, HashingVectorizer):
            np.testing.assert_array_equal(again.get_feature_names_out(), vectorizer.get_feature_names_out())
            assert again.fixed_vocabulary_ == vectorizer.fixed_vocabulary_
        clone(again).fit(TEXTS)
    model.save(path)
    assert files.load_vectorizer(path) is None


class MyVectorizer(CountVectorizer):
    pass


def test_vectorizers_that_are_refused(path):
    p = small_predictor()
    two = ["cat", "dog"]
    edited = CountVectorizer().fit(two)
    edited.vocabulary_["cat"] = 5
    for vectorizer, error, message in (
        (CountVectorizer(tokenizer=str.split, token_pattern=None).fit(two), TypeError, r"tokenizer is a"),
        (
            CountVectorizer(preprocessor=str.lower).fit(two),
            TypeError,
            r"vectorizer\.parameters\.preprocessor is a",
        ),
        (CountVectorizer(analyzer=str.split).fit(two), TypeError, r"analyzer is a"),
        (CountVectorizer(vocabulary={"a", "b"}).fit(two), TypeError, r"vocabulary is a set"),
        (TfidfVectorizer(), ValueError, "must be fitted"),
        (CountVectorizer(), ValueError, "must be fitted"),
        (
            CountVectorizer().fit(["a b c", "one two three"]),
            ValueError,
            "makes 3 columns, and the model takes 2",
        ),
        (HashingVectorizer(), ValueError, "makes 1048576 columns, and the model takes 2"),
        (edited, ValueError, "vocabulary_ must number"),
        (MyVectorizer().fit(two), TypeError, "got a MyVectorizer"),
        ("tfidf", TypeError, "got a str"),
    ):
        with pytest.raises(error, match=message):
            p.save(path, vectorizer=vectorizer)
    assert not path.exists()


def test_descriptions_of_no_vectorizer(path):
    p = small_predictor()
    p.save(path, vectorizer=TfidfVectorizer().fit(["cat", "dog"]))
    right = json.loads(container.read(path)[0]["vectorizer"])
    for wrong in (
        right | {"kind": "TfidfTransformer"},
        right | {"kind": ["TfidfVectorizer"]},
        right | {"kind": "HashingVectorizer"},
        right | {"idf": right["vocabulary"]},
        right | {"idf": None},
        right | {"parameters": {"dict": []}},
        right | {"parameters": {"dict": [["dtype", {"dtype": "<f8"}], ["unknown", 1]]}},
        right | {"more": 1},
        {name: right[name] for name in ("kind", "parameters")},
        {},
        [],
    ):
        changed(path, vectorizer=json.dumps(wrong))
        with pytest.raises(ValueError, match=r"model\.fxt is no valid model file: vectorizer"):
            files.load_vectorizer(path)
    for terms in (b"[1, 2]", b'["a", "a"]', b'{"a": 1, "b": 2}', b"[", b"\xff"):
        p.save(path, vectorizer=TfidfVectorizer().fit(["cat", "dog"]))
        metadata, arrays = container.read(path)
        arrays["vectorizer.vocabulary"] = np.frombuffer(terms, np.uint8)
        container.write(path, arrays, metadata)
        with pytest.raises(ValueError, match=r"model\.fxt is no valid model file: vectorizer"):
            files.load_vectorizer(path)


# Faults ---------------------------------------------------------------------------------------------------


def test_every_flipped_byte_and_every_cut_of_a_model_is_refused(path):
    Predictor([[1.0]], [2.0], ["a", "b"]).save(path)
    content = path.read_bytes()
    for place in range(len(content)):
        for damaged in (
            content[:place] + bytes([content[place] ^ (1 + place % 255)]) + content[place + 1 :],
            content[:place],
        ):
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"model\.fxt"):
                fastxent.load(path)


def test_a_full_disk_leaves_the_old_model(path, monkeypatch):
    small_predictor().save(path)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device.*model\.fxt"):
        small_predictor(scale=2.0).save(path)
    assert fastxent.load(path)(np.array([1.0, 0]))[0] == small_predictor()(np.array([1.0, 0]))[0]
    assert os.listdir(path.parent) == ["model.fxt"]
    with pytest.raises(OSError, match=r"No such file or directory.*missing"):
        small_predictor().save(path.parent / "missing" / "m")
    with pytest.raises(IsADirectoryError, match="folder"):
        small_predictor().save(path.parent)
    with pytest.raises(FileNotFoundError):
        fastxent.load(path.parent / "missing")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_killed_at_any_moment(path):
    """One of two models is there at all times, whenever the process that writes them in turn is killed."""
    coef = np.zeros((3, 20_000))
    coef[0] = 1.0
    two = [Predictor(scale * coef, np.zeros(3), ["a", "b", "c"]) for scale in (1.0, 2.0)]

    def answer(p):
        return float(p(np.array([0]), np.array([1.0]))[0])

    known, seen, kills = set(map(answer, two)), set(), 0
    assert len(known) == 2
    rng = np.random.default_rng(0)
    two[0].save(path)
    while kills < 40 or seen != known:
        child = os.fork()
        if child == 0:
            try:
                while True:
                    for p in reversed(two):
                        p.save(path)
            finally:
                os._exit(1)
        ends = time.monotonic() + rng.uniform(0, 0.03)
        while time.monotonic() < ends:
            assert answer(fastxent.load(path)) in known
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        kills += 1
        seen.add(answer(fastxent.load(path)))
        assert seen <= known


# Start-up -------------------------------------------------------------------------------------------------

# What a predictor from a file needs beside NumPy and scipy.sparse.
OURS = {
    "arrays",
    "atomic",
    "blas",
    "container",
    "data",
    "data.ranges",
    "data.rows",
    "files",
    "forks",
    "kernels",
    "kernels.caches",
    "kernels.cleanup",
    "log",
    "logits",
    "parallel",
    "prediction",
    "predictor",
    "processors",
    "record",
    "sparse",
    "validation",
    "values",
    "vectorizers",
    "versions",
}
PROGRAM = """
import sys
import numpy, scipy.sparse
import difflib, importlib.util, logging, queue  # today's NumPy loads these or what they need
before = set(sys.modules)
import fastxent
p = fastxent.load(sys.argv[1])
p(numpy.array([1.0, 2.0])), p.top(numpy.array([0]), 2, values=numpy.array([1.0])), p.predict([[1, 2], [3, 4]])
print(*sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize("estimator", [False, True])
def test_what_the_first_answer_loads(estimator, path):
    X, y = problem()
    model = SGDClassifier(random_state=np.random.RandomState(0)).partial_fit(X[:, :2], y, classes=[0, 1, 2])
    model = model if estimator else small_predictor()
    model.save(path, vectorizer=HashingVectorizer(n_features=2))
    run = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, path], capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())
    of_ours = {name.removeprefix("fastxent.") for name in loaded if name.startswith("fastxent.")}
    built = {name for name in of_ours if name.startswith("kernels._")}  # for this processor
    assert built
    assert of_ours - built == OURS
    others = {name.partition(".")[0] for name in loaded if not name.startswith("fastxent")}
    others -= {name for name in others if name.startswith("_cython_")}
    assert others <= {
        "_queue",
        "queue",
        "concurrent",
        "threading",
        "logging",
        "hashlib",
        "_hashlib",
        "_blake2",
        "json",
        "_json",
        "lazy_loader",
    }
