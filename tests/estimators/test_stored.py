"""What a model file holds for partial_fit: whatever the loops would trust wrongly is refused."""

import numpy as np
import pytest
import scipy.sparse as sp

import fastxent
from fastxent import SGDClassifier, container, record
from fastxent.estimators import stored
from fastxent.sgd.loops import COUNTERS, SYNCED, UPDATES


def trained(*, storage=sp.csr_array, rows=40, **parameters):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, 6)) * [1, 1, 100, 1, 1, 1]
    X[rng.random(X.shape) < 0.5] = 0
    model = SGDClassifier(**{"optimizer": "adam", "average": True} | parameters)
    y = np.arange(rows) % 3
    return model.partial_fit(storage(X), y, classes=[0, 1, 2], eval_set=(X, y))


def forged(model, path):
    """Write a model without any of the checks of `save`, and read it."""
    record.write(path, stored.contents(model))
    return fastxent.load(path, estimator=True)


def counters(place, value):
    def change(known):
        known.training.counters[place] = value

    return change


def attribute(name, value):
    def change(known):
        setattr(known.training, name, value)

    return change


def array(name, change):
    def of(known):
        known.training._arrays[name] = change(known.training._arrays[name])

    return of


def layout(place, change):
    def of(known):
        places = list(known.training._layout)
        places[place] = change(places[place])
        known.training._layout = tuple(places)

    return of


def column(name, value):
    return lambda known: setattr(known.training.columns, name, value)


def option(name, value):
    return lambda known: object.__setattr__(known.training.options, name, value)


def without_a_columns_standard(known):
    known.training.columns.standard = None


def twice(value):
    return 2 * value + 1


CHANGES = {
    "a counter too few": attribute("counters", np.zeros(COUNTERS - 1)),
    "counters of integers": attribute("counters", np.zeros(COUNTERS, int)),
    "updates beyond the era": counters(UPDATES, 1e6),
    "half an update": counters(UPDATES, 39.5),
    "nan updates": counters(UPDATES, np.nan),
    "synchronised later": counters(SYNCED, 1000),
    "synchronised before": counters(SYNCED, -5),
    "last update to come": array("last", lambda last: last + 1000),
    "last update before all": array("last", lambda last: last - 1000),
    "short last": array("last", lambda last: last[1:]),
    "narrow last": array("last", lambda last: last.astype(np.int32)),
    "short weights": array("w", lambda w: w[:-1]),
    "single weights": array("w", lambda w: w.astype(np.float32)),
    "no memory": array("a", lambda a: a[:0]),
    "short average": array("average", lambda average: average[:3]),
    "short pace": array("pace", lambda pace: pace[:, :8]),
    "no pace": array("pace", lambda pace: pace[:0]),
    "short clock": array("clock", lambda clock: clock[:1]),
    "list of weights": array("w", lambda w: w.tolist()),
    "more features": attribute("d", 600),
    "more classes": attribute("K", 600),
    "strange dtype": attribute("dtype", np.dtype(np.int64)),
    "no layout": attribute("_layout", None),
    "short layout": attribute("_layout", (True, 1)),
    "longer lines": layout(1, twice),
    "a later intercept": layout(2, twice),
    "more weights": layout(3, twice),
    "by class": layout(0, lambda by_class: not by_class),
    "in batches": layout(4, lambda batches: not batches),
    "no rows of a call": attribute("_rows_of_a_call", 0),
    "no columns": attribute("columns", None),
    "columns that never end": column("next_review", 0),
    "short columns": column("_known", np.zeros((4, 5))),
    "few columns": column("_known", np.zeros((3, 6))),
    "no standard": without_a_columns_standard,
    "another attribute": attribute("more", 1),
    "another optimiser": option("optimizer", "sgd"),
    "no optimiser": option("optimizer", "none"),
    "no schedule": option("schedule", "none"),
    "half a batch": option("batch", 0.5),
    "a batch too few": option("batch", -1),
    "a text for a number": option("l1", "0"),
    "no options": attribute("options", None),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_training_that_contradicts_itself_is_refused(change, tmp_path):
    model = trained()
    training = model._remembered_.training
    assert training.standard is not None
    vars(training).update(training.__getstate__())  # as a file has it
    change(model._remembered_)
    with pytest.raises(ValueError, match="what it holds for partial_fit contradicts itself"):
        forged(model, tmp_path / "file")


@pytest.mark.parametrize(
    "change",
    [
        lambda known: known._replace(patience=None),
        lambda known: known._replace(settings=None),
        lambda known: known._replace(training=known.patience),
        lambda known: known._replace(training=5),
        lambda known: {"training": known.training},
        lambda known: None,
    ],
)
def test_another_memory_is_refused(change, tmp_path):
    model = trained()
    model._remembered_ = change(model._remembered_)
    with pytest.raises(ValueError, match="what it holds for partial_fit contradicts itself"):
        forged(model, tmp_path / "file")


def test_best_weights_of_another_shape_are_refused(tmp_path):
    model = trained(early_stopping=True)
    assert model._remembered_.patience.best.shape == (7, 3)
    model._remembered_.patience.best = np.zeros((3, 3))
    with pytest.raises(ValueError, match="contradicts itself"):
        forged(model, tmp_path / "file")


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
@pytest.mark.parametrize(
    "parameters",
    [
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "penalty": "l1", "early_stopping": True},
        {"optimizer": "momentum", "batch_size": 8},
        {"optimizer": "rmsprop", "batch_size": None},
        {"optimizer": "ftrl", "eta0": 0.01, "penalty": "l1"},
        {"optimizer": "adamw", "learning_rate": "cosine", "warmup": 5},
    ],
    ids=str,
)
def test_what_a_training_leaves_is_consistent(parameters, storage, tmp_path):
    model = trained(storage=storage, **parameters)
    again = forged(model, tmp_path / "file")
    assert again._remembered_.weights == model._remembered_.weights
    assert vars(again._remembered_.training).keys() == vars(model._remembered_.training).keys()


@pytest.mark.parametrize(
    "parameters",
    [{"optimizer": "svrg"}, {"parallel": "hogwild", "n_threads": 2}, {"shuffle": False}],
    ids=str,
)
def test_what_a_fit_leaves_is_consistent(parameters, tmp_path):
    rng = np.random.default_rng(0)
    X, y = sp.csr_array(rng.standard_normal((30, 4))), np.arange(30) % 3
    model = SGDClassifier(max_iter=2, tol=None, **parameters).fit(X, y)
    forged(model, tmp_path / "file").set_params(optimizer="adam", parallel=None).partial_fit(X, y)


def test_arrays_of_a_training_that_are_missing(tmp_path):
    path = tmp_path / "file"
    trained().save(path)
    metadata, arrays = container.read(path)
    del arrays["_remembered_.training._arrays.w"]
    container.write(path, arrays, metadata)
    assert fastxent.load(path).n_features == 6  # nobody needs them
    with pytest.raises(ValueError, match="no valid model file"):
        fastxent.load(path, estimator=True)
