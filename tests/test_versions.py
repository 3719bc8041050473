"""Pickles of all kinds: what comes back, and that another version says so."""

import copy
import io
import pickle

import cloudpickle
import joblib
import numpy as np
import pytest
import skops.io
from sklearn.base import clone

import fastxent
from fastxent import LogisticRegression, LogisticRegressionCV, SGDClassifier
from fastxent.versions import InconsistentVersionWarning
from test_docs import ROOT
from test_files import problem

MODELS = {
    "logistic": LogisticRegression(),
    "cv": LogisticRegressionCV(Cs=2, cv=2, l1_ratios=(0,), use_legacy_attributes=False),
    "sgd": SGDClassifier(max_iter=2, tol=None, optimizer="adam", average=True),
}


@pytest.fixture(params=MODELS)
def model(request):
    return clone(MODELS[request.param]).fit(*problem())


def joblib_dumps(thing):
    file = io.BytesIO()
    joblib.dump(thing, file, compress=3)
    return file.getvalue()


def by_pickle(protocol):
    return lambda thing: pickle.dumps(thing, protocol), pickle.loads


# How to write and to read.
WAYS = {
    "pickle": by_pickle(pickle.HIGHEST_PROTOCOL),
    "old pickle": by_pickle(0),
    "cloudpickle": (cloudpickle.dumps, pickle.loads),
    "joblib": (joblib_dumps, lambda content: joblib.load(io.BytesIO(content))),
    "skops": (
        skops.io.dumps,
        lambda content: skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content)),
    ),
}


@pytest.mark.parametrize(
    "way",
    [*(lambda thing, way=way: way[1](way[0](thing)) for way in WAYS.values()), copy.copy, copy.deepcopy],
    ids=[*WAYS, "copy", "deepcopy"],
)
def test_they_come_back(way, model):
    X, y = problem()
    again, p = way(model), way(model.predictor())
    assert vars(again).keys() == vars(model).keys()
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(p(X), model.predict_proba(X))
    assert p.classes.dtype == model.classes_.dtype
    if isinstance(model, SGDClassifier):
        again.partial_fit(X, y)
        np.testing.assert_array_equal(again.coef_, model.partial_fit(X, y).coef_)


@pytest.mark.parametrize(("write", "read"), WAYS.values(), ids=WAYS)
def test_another_version_says_so(write, read, model, monkeypatch):
    for thing in (model, model.predictor()):
        monkeypatch.setattr(fastxent, "__version__", "0.0.3")
        content = write(thing)
        monkeypatch.undo()
        message = (
            rf"This {type(thing).__name__} was pickled by fastxent 0\.0\.3, and .*install fastxent 0\.0\.3"
        )
        with pytest.warns(InconsistentVersionWarning, match=message):
            again = read(content)
        if thing is model:
            assert "_fastxent_version" not in vars(again)


def test_a_state_without_a_version_is_an_old_one(model):
    with pytest.warns(InconsistentVersionWarning, match="a version before 0.1.0.*install that version"):
        copy.copy(model).__setstate__(vars(model))


def test_a_predictor_is_not_changed_by_a_state(model):
    p = model.predictor()
    with pytest.raises(AttributeError, match="cannot be changed"):
        p.__setstate__(p.__getstate__())


def test_trusted_types_of_skops_are_those_of_the_page():
    page = (ROOT / "docs" / "serving.md").read_text()
    for model in (*MODELS.values(), SGDClassifier(early_stopping=True, max_iter=2, tol=None)):
        model = clone(model).fit(*problem())
        for thing in (model, model.predictor()):
            for name in skops.io.get_untrusted_types(data=skops.io.dumps(thing)):
                assert f'"{name}"' in page
