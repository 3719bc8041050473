"""SGDClassifier's public attributes and parameters are its whole state: partial_fit goes on from them.

What it does is compared to plain NumPy (sgd_plain), begun at the public weights.
"""

import copy
import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from fastxent import LogisticRegression, SGDClassifier
from sgd_plain import descend

N, D = 60, 5
PLAIN = {"learning_rate": "constant", "eta0": 0.05, "penalty": None}
MOMENTS = ["momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]


@pytest.fixture(params=[2, 3], ids=["binary", "multinomial"])
def data(request):
    rng = np.random.default_rng(request.param)
    X, y = rng.normal(size=(N, D)), rng.integers(0, request.param, N)
    y[: request.param] = range(request.param)
    return X, y


@pytest.fixture(params=[np.asarray, sp.csr_array], ids=["dense", "sparse"])
def storage(request):
    return request.param


def begun(data, storage=np.asarray, **parameters):
    """A model that has seen the first half of the rows."""
    X, y = data
    return SGDClassifier(**PLAIN | parameters).partial_fit(storage(X[:30]), y[:30], classes=np.unique(y))


def theta_of(model):
    return np.vstack([model.coef_.T, model.intercept_])


def plain(
    data, theta, rows, *, optimizer="sgd", l1=0.0, l2=0.0, batch=1, rate=lambda t: PLAIN["eta0"], **more
):
    how = {"optimizer": optimizer, "l1": l1, "l2": l2, "rate": rate, "batch": batch}
    how["momentum"] = 0.99 if optimizer == "rmsprop" else 0.9
    return descend(*data, theta, np.asarray(rows), **how, **more)[0]


FIRST, SECOND = range(30), range(30, 60)


def second(model, data, storage=np.asarray, **arguments):
    X, y = data
    return model.partial_fit(storage(X[30:]), y[30:], **arguments)


# Weights --------------------------------------------------------------------------------------------------


def replaced(model, rng):
    model.coef_ = rng.normal(size=model.coef_.shape)
    model.intercept_ = rng.normal(size=model.intercept_.shape)


def edited(model, rng):
    model.coef_[0, 2] += 1.0
    model.intercept_ -= 0.5


def one_sign(model, rng):
    model.coef_[0, 1:3] *= -1.0


def exchanged(model, rng):
    model.coef_[:, [0, 1]] = model.coef_[:, [1, 0]]


def intercept_only(model, rng):
    model.intercept_[0] = 3.0


def stored_otherwise(model, rng):
    model.coef_ = np.ascontiguousarray(model.coef_) * 2.0
    model.intercept_ = model.intercept_.tolist()


EDITS = [replaced, edited, one_sign, exchanged, intercept_only, stored_otherwise]


@pytest.mark.parametrize("edit", EDITS)
def test_training_goes_on_from_edited_weights(data, storage, edit):
    model = begun(data, storage)
    edit(model, np.random.default_rng(0))
    start, t = theta_of(model), model.t_
    second(model, data, storage)
    assert_allclose(theta_of(model), plain(data, start, SECOND), rtol=1e-10, atol=1e-13)
    assert model.t_ == t + 30


@pytest.mark.parametrize("edit", [replaced, edited])
@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize("optimizer", MOMENTS)
def test_edited_weights_end_the_memory_of_the_optimiser(data, storage, optimizer, batch_size, edit):
    model = begun(data, storage, optimizer=optimizer, batch_size=batch_size)
    edit(model, np.random.default_rng(0))
    start = theta_of(model)
    second(model, data, storage)
    expected = plain(data, start, SECOND, optimizer=optimizer, batch=batch_size)
    assert_allclose(theta_of(model), expected, rtol=1e-9, atol=1e-12)


def test_a_fresh_object_goes_on_from_weights_it_was_given(data, storage):
    X, y = data
    trained = LogisticRegression().fit(X, y)
    for with_classes in (True, False):
        model = SGDClassifier(**PLAIN)
        model.coef_, model.intercept_ = trained.coef_, trained.intercept_
        if with_classes:
            model.classes_ = trained.classes_
        second(model, data, storage, classes=None if with_classes else trained.classes_)
        assert_allclose(theta_of(model), plain(data, theta_of(trained), SECOND), rtol=1e-10, atol=1e-13)
        assert model.t_ == 30
        assert model.n_features_in_ == D


def test_public_attributes_of_one_object_make_another(data, storage):
    """Of plain descent nothing else is needed, not even the step of a schedule."""
    model = begun(data, storage, penalty="l2", alpha=0.1, learning_rate="invscaling")
    other = clone(model)
    for name, value in vars(model).items():
        if name.endswith("_") and not name.startswith("_"):
            setattr(other, name, copy.deepcopy(value))
    second(model, data, storage)
    second(other, data, storage)
    assert_allclose(theta_of(other), theta_of(model), rtol=1e-12)
    assert other.t_ == model.t_
    assert list(other.history_["epoch"]) == [1, 2]


def test_federated_averaging(data, storage):
    """Clients train on their own rows from the mean of all; a server takes the mean."""
    X, y = data
    shards = np.array_split(np.arange(N), 3)
    clients = [SGDClassifier(**PLAIN) for _ in shards]
    theta = np.zeros((D + 1, 1 if y.max() == 1 else y.max() + 1))
    for _ in range(4):
        for client, rows in zip(clients, shards, strict=True):
            client.coef_, client.intercept_ = theta[:-1].T.copy(), theta[-1].copy()
            client.partial_fit(storage(X[rows]), y[rows], classes=np.unique(y))
        expected = np.mean([plain(data, theta, rows) for rows in shards], axis=0)
        theta = np.mean([theta_of(client) for client in clients], axis=0)
        assert_allclose(theta, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("penalty", ["l2", "elasticnet"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "ftrl"])
def test_equal_weights_are_no_edit(data, storage, optimizer, penalty):
    """Copies, a detour through a sparse matrix, pickles: the same bits as without."""
    straight, detour = (begun(data, storage, optimizer=optimizer, penalty=penalty) for _ in range(2))
    detour = pickle.loads(pickle.dumps(copy.deepcopy(detour.sparsify())))
    detour.intercept_ = detour.intercept_.copy()
    second(straight, data, storage)
    second(detour, data, storage)
    assert_array_equal(detour.coef_, straight.coef_)
    assert_array_equal(detour.intercept_, straight.intercept_)


def test_a_shallow_copy_trains_apart(data):
    model = begun(data, optimizer="adam")
    other, before = copy.copy(model), theta_of(model)
    second(other, data)
    assert_array_equal(theta_of(model), before)
    assert_array_equal(theta_of(second(model, data)), theta_of(other))


def test_averages_begin_anew_at_edited_weights(data, storage):
    model = begun(data, storage, average=True, batch_size=5)
    model.coef_ = np.full(model.coef_.shape, 2.0)
    start = theta_of(model)
    second(model, data, storage)
    steps = [plain(data, start, SECOND[:stop], batch=5) for stop in range(5, 31, 5)]
    every = 1 if storage is np.asarray else max(1, D // 64)
    assert every == 1
    assert_allclose(theta_of(model), np.mean(steps, axis=0), rtol=1e-10, atol=1e-13)


def test_ftrl_trusts_given_weights(storage):
    """Under a penalty as well, and with the step size from the data: features that no row has keep their weights."""
    X, y = np.zeros((4, 3)), np.array([0, 1, 0, 1])
    X[:, 0] = [1.0, -1.0, 2.0, -1.0]
    for parameters in ({}, {"eta0": 0.5}, {"batch_size": None}, {"penalty": "l1"}):
        model = SGDClassifier(optimizer="ftrl", **parameters)
        model.coef_, model.intercept_ = np.array([[0.5, -1.0, 2.0]]), np.array([0.25])
        model.partial_fit(storage(X), y, classes=[0, 1])
        assert_allclose(model.coef_[0, 1:], [-1.0, 2.0], rtol=0.02)
        assert 0.0 < abs(model.coef_[0, 0] - 0.5) < 2.0
        again = model.coef_.copy()
        model.coef_[0, 2] = -3.0  # also later, when the sums stand for something
        model.partial_fit(storage(X), y)
        assert_allclose(model.coef_[0, 1:], [again[0, 1], -3.0], rtol=0.02)


# Parameters -----------------------------------------------------------------------------------------------


def invscaling(power):
    return lambda t: 0.05 / (t + 30) ** power


CHANGES = [
    ({"eta0": 0.2}, {"rate": lambda t: 0.2}),
    ({"eta0": 1e-12}, {"rate": lambda t: 1e-12}),
    ({"penalty": "l2", "alpha": 0.3}, {"l2": 0.3}),
    ({"penalty": "l1", "alpha": 0.1}, {"l1": 0.1}),
    ({"penalty": "elasticnet", "alpha": 0.2, "l1_ratio": 0.25}, {"l1": 0.05, "l2": 0.15}),
    ({"learning_rate": "invscaling"}, {"rate": invscaling(0.25)}),
    ({"learning_rate": "invscaling", "power_t": 0.5}, {"rate": invscaling(0.5)}),
    ({"warmup": 50}, {"rate": lambda t: 0.05 * min(1.0, (t + 30) / 50)}),
    ({"batch_size": 6}, {"batch": 6}),
    ({"class_weight": {0: 3.0}}, {"class_weight": 3.0}),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_changed_parameters_take_effect_at_the_next_call(data, storage, change, expected):
    model = begun(data, storage, alpha=0.7)
    start = theta_of(model)
    assert_allclose(start, plain(data, np.zeros_like(start), FIRST), rtol=1e-10, atol=1e-13)
    if "class_weight" in expected:
        weights = np.where(data[1] == 0, expected["class_weight"], 1.0)
        expected = {"weights": weights}
    second(model.set_params(**change), data, storage)
    assert_allclose(theta_of(model), plain(data, start, SECOND, **expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimizer", MOMENTS)
def test_the_memory_of_an_optimiser_outlasts_other_parameters(data, storage, optimizer):
    model = begun(data, storage, optimizer=optimizer, batch_size=3)
    second(model.set_params(eta0=0.2, verbose=0), data, storage)
    zeros = np.zeros_like(theta_of(model))
    how = {"optimizer": optimizer, "batch": 3, "rate": lambda t: 0.05 if t <= 10 else 0.2}
    expected = plain(data, zeros, range(N), **how)
    assert_allclose(theta_of(model), expected, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("before", ["sgd", "momentum", "adam", "ftrl"])
@pytest.mark.parametrize("after", ["sgd", *MOMENTS])
def test_another_optimiser_begins_without_memory(data, storage, before, after):
    model = begun(data, storage, optimizer=before, batch_size=3)
    start = theta_of(model)
    second(model.set_params(optimizer=after), data, storage)
    if before != after:
        expected = plain(data, start, SECOND, optimizer=after, batch=3)
        assert_allclose(theta_of(model), expected, rtol=1e-8, atol=1e-11)


def test_an_intercept_that_is_no_longer_fitted_stays(data, storage):
    for batch_size in (1, 5, None):
        model = begun(data, storage, batch_size=batch_size)
        other, before = copy.deepcopy(model), theta_of(model)
        assert before[-1].any()
        second(model.set_params(fit_intercept=False), data, storage)
        assert_array_equal(model.intercept_, before[-1])
        assert not np.array_equal(model.coef_.T, before[:-1])
        if batch_size is None:  # of the very gradient that there is with this intercept
            assert_array_equal(model.coef_, second(other, data, storage).coef_)


def test_averaging_begins_and_ends_when_asked(data, storage):
    model = begun(data, storage, batch_size=5)
    start = theta_of(model)
    second(model.set_params(average=True), data, storage)
    steps = [plain(data, start, SECOND[:stop], batch=5) for stop in range(5, 31, 5)]
    average = np.mean(steps, axis=0)
    assert_allclose(theta_of(model), average, rtol=1e-10, atol=1e-13)
    second(model.set_params(average=False), data, storage)  # from the public weights
    assert_allclose(theta_of(model), plain(data, average, SECOND, batch=5), rtol=1e-10, atol=1e-13)


def test_averages_outlast_other_parameters(data, storage):
    model = begun(data, storage, batch_size=5, average=True)
    second(model.set_params(eta0=0.2), data, storage)
    zeros, rate = np.zeros_like(theta_of(model)), lambda t: 0.05 if t <= 6 else 0.2
    steps = [plain(data, zeros, range(stop), batch=5, rate=rate) for stop in range(5, N + 1, 5)]
    assert_allclose(theta_of(model), np.mean(steps, axis=0), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("first", [None, 1, 4])
@pytest.mark.parametrize("later", [None, 1, 4])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "ftrl"])
def test_any_batch_size_may_follow_any_other(data, storage, first, later, optimizer):
    X, y = data
    for begin in ("fit", "partial_fit"):
        model = SGDClassifier(batch_size=first, optimizer=optimizer, max_iter=2, tol=None, random_state=0)
        if begin == "fit":
            model.fit(storage(X), y)
        else:
            model.partial_fit(storage(X), y, classes=np.unique(y))
        before, t = theta_of(model), model.t_
        model.set_params(batch_size=later).partial_fit(storage(X), y)
        assert model.t_ == t + (1 if later is None else -(-N // later))
        assert np.isfinite(theta_of(model)).all()
        assert not np.array_equal(theta_of(model), before)


ALTERNATIVES = {  # what each parameter is changed to
    "penalty": "l1",
    "alpha": 0.5,
    "l1_ratio": 0.9,
    "fit_intercept": False,
    "learning_rate": "optimal",
    "eta0": 0.01,
    "power_t": 1.0,
    "class_weight": {0: 5.0},
    "average": 10,
    "batch_size": 4,
    "optimizer": "nesterov",
    "momentum": 0.2,
    "beta2": 0.5,
    "epsilon": 0.1,
    "warmup": 1000,
    "max_iter": 2,
}
NO_EFFECT = {
    "loss": "there is one",
    "tol": "of partial_fit's patience only, see test_patience",
    "shuffle": "partial_fit takes rows in their order",
    "verbose": "prints",
    "random_state": "nothing is random",
    "early_stopping": "see test_patience",
    "validation_fraction": "of fit",
    "n_iter_no_change": "see test_patience",
    "warm_start": "of fit",
    "validation_metric": "see test_patience",
    "n_jobs": "never",
    "n_threads": "never",
    "checkpoint": "of fit",
    "parallel": "not reproducible, see test_hogwild_may_follow",
}


@pytest.mark.parametrize("name", ALTERNATIVES)
def test_every_parameter_can_be_changed(data, name):
    base = {
        "l1_ratio": {"penalty": "elasticnet"},
        "power_t": {"learning_rate": "invscaling"},
        "momentum": {"optimizer": "momentum"},
        "beta2": {"optimizer": "adam"},
        "epsilon": {"optimizer": "adagrad"},
        "max_iter": {"learning_rate": "cosine"},
    }
    parameters = PLAIN | {"penalty": "l2", "alpha": 0.01} | base.get(name, {})
    same, changed = (begun(data, **parameters) for _ in range(2))
    second(changed.set_params(**{name: ALTERNATIVES[name]}), data)
    assert not np.array_equal(theta_of(second(same, data)), theta_of(changed))


def test_no_parameter_is_forgotten():
    assert ALTERNATIVES.keys() | NO_EFFECT.keys() == SGDClassifier().get_params().keys()


def test_hogwild_may_follow(data):
    model = begun(data, sp.csr_array)
    start = theta_of(model)
    second(model.set_params(parallel="hogwild", n_threads=1), data, sp.csr_array)
    assert_allclose(theta_of(model), plain(data, start, SECOND), rtol=1e-9, atol=1e-12)


# The count of updates, classes, dtypes ----------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_schedules_go_by_t(data, storage, optimizer):
    """Memory is not touched by it: its age is its own."""
    model = begun(data, storage, learning_rate="invscaling", power_t=0.5, optimizer=optimizer)
    model.t_ = 1000
    second(model, data, storage)
    assert model.t_ == 1030
    zeros = np.zeros_like(theta_of(model))
    how = {"optimizer": optimizer, "rate": lambda t: 0.05 / (t if t <= 30 else t - 30 + 1000) ** 0.5}
    expected = plain(data, zeros, range(N), **how)
    assert_allclose(theta_of(model), expected, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("t", [-1, 0.5, np.nan, np.inf, "3", None])
def test_a_count_of_updates_that_is_none_is_refused(data, t):
    model = begun(data)
    model.t_ = t
    with pytest.raises(ValueError, match="t_ must be a whole number of updates"):
        second(model, data)


def test_classes_may_be_renamed_and_stand_in_any_order(data):
    X, y = data
    model, renamed = begun(data), begun(data)
    names = np.array(["z", "b", "k"])[: y.max() + 1]
    renamed.classes_ = names
    second(model, data)
    renamed.partial_fit(X[30:], names[y[30:]], classes=sorted(names))
    assert_array_equal(renamed.coef_, model.coef_)
    assert_array_equal(renamed.classes_, names)
    assert_array_equal(renamed.predict(X), names[model.predict(X)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_has_the_dtype_of_the_weights(data, storage, dtype):
    X, y = data
    model = begun(data, storage)
    model.coef_ = model.coef_.astype(dtype)
    start = theta_of(model)
    for target in (y, np.eye(y.max() + 1)[y]):
        model = copy.deepcopy(model).partial_fit(storage(X[30:]), target[30:])
    assert model.coef_.dtype == model.intercept_.dtype == dtype
    expected = plain(data, plain(data, start, SECOND), SECOND)
    assert_allclose(theta_of(model), expected, rtol=1e-3 if dtype == np.float32 else 1e-10, atol=1e-5)


def test_weights_of_rows_that_leave_the_range_are_refused(data):
    """Those of a given step size, and those that differ too much from the ones before."""
    X, y = data
    classes = np.unique(y)
    for dtype, sizes in ((np.float32, (1e-50, 1e30)), (np.float64, (1e-200, 1e200))):
        x, one = X.astype(dtype), np.ones(N)
        for size in sizes:
            with pytest.raises(ValueError, match="far from 1, the weight for which eta0 is the step"):
                SGDClassifier(eta0=0.1).partial_fit(x, y, classes=classes, sample_weight=size * one)
            for first in (None, one):
                model = SGDClassifier().partial_fit(x, y, classes=classes, sample_weight=first)
                before = model.coef_.copy()
                with pytest.raises(ValueError, match="far from that of the first row"):
                    model.partial_fit(x, y, sample_weight=size * one)
                assert_array_equal(model.coef_, before)
            # Far beyond all numbers, in the unit of the first.
            model = SGDClassifier().partial_fit(x, y, classes=classes, sample_weight=1e-300 * one)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with pytest.raises(ValueError, match="far from that of the first row"):
                    model.partial_fit(x, y, sample_weight=1e300 * one)
            # In a unit that no step size of one's own knows: sizes of rows are looked at anew.
            model = SGDClassifier().partial_fit(x, y, classes=classes, sample_weight=size * one)
            before = model.coef_.copy()
            model.set_params(eta0=0.1).partial_fit(x, y)
            assert 1e-3 < np.abs(model.coef_ - before).max() < 10.0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("coef_", np.zeros((3, D + 1)), "coef_ must have shape"),
        ("coef_", np.zeros((7, D)), "coef_ must have shape"),
        ("coef_", np.zeros(D), "coef_ must have"),
        ("coef_", "weights", "coef_ must have two dimensions"),
        ("coef_", [["weights"] * D], "coef_ must hold real numbers|coef_ must have shape"),
        ("intercept_", "weights", "intercept_ must hold real numbers"),
        ("coef_", None, "coef_ must have two dimensions"),
        ("intercept_", np.zeros(7), "intercept_ must have shape"),
        ("classes_", [0, 1, 2, 3], "coef_ must have shape"),
        ("classes_", [0], "at least 2 classes"),
        ("classes_", [0, 1, 1], "each once"),
        ("classes_", 5, "classes_ should be a 1d array"),
    ],
)
def test_attributes_that_do_not_fit_are_refused_by_name(data, name, value, message):
    model = begun(data)
    setattr(model, name, value)
    before = {name: value for name, value in vars(model).items() if name != "_remembered_"}
    with pytest.raises((TypeError, ValueError), match=message):
        second(model, data)
    assert all(vars(model)[name] is value for name, value in before.items())


def test_weights_that_are_not_finite_are_refused_by_name(data, storage):
    for name, place in (("coef_", (0, 3)), ("intercept_", (0,))):
        model = begun(data, storage)
        getattr(model, name)[place] = np.nan
        where = ", ".join(map(str, place))
        with pytest.raises(ValueError, match=rf"{name}\[{where}\] is nan"):
            second(model, data, storage)
        with pytest.raises(ValueError, match=rf"{name}\[{where}\] is nan"):
            model.set_params(warm_start=True).fit(storage(data[0]), data[1])


def test_weights_of_other_features_are_refused(data):
    X, y = data
    model = SGDClassifier()
    model.coef_, model.intercept_, model.classes_ = np.zeros((1, 3)), np.zeros(1), np.array([0, 1])
    with pytest.raises(ValueError, match=r"coef_ must have shape \(1, 5\)"):
        model.partial_fit(X, y % 2)
    assert not hasattr(model, "n_features_in_")
    del model.intercept_
    with pytest.raises(TypeError, match="intercept_ must hold real numbers"):
        model.partial_fit(X[:, :3], y % 2)


def test_a_failure_leaves_the_state_as_it_was(data):
    model, same = begun(data, optimizer="adam"), begun(data, optimizer="adam")
    model.coef_[0, 0] = same.coef_[0, 0] = 7.0
    for trouble in ({"eta0": 1e300}, {"batch_size": None, "eta0": 1e300}):
        with pytest.raises(ValueError, match=r"diverges|range"):
            second(copy.copy(model).set_params(**trouble), (1e100 * data[0], data[1]))
        with pytest.raises(ValueError, match=r"diverges|range"):
            second(model.set_params(**trouble), (1e100 * data[0], data[1]))
        model.set_params(eta0=0.05, batch_size=1)
    second(model, data)
    second(same, data)
    assert_array_equal(theta_of(model), theta_of(same))
    assert model.t_ == same.t_


# Automatic steps ------------------------------------------------------------------------------------------


def test_automatic_steps_know_the_rows_they_have_seen(data, storage):
    """Changing a penalty does not make them forget; a step size of one's own in between does."""
    X, y = data
    rows, target = storage(1e3 * X[30:]), y[30:]
    model = SGDClassifier(learning_rate="constant", penalty=None).partial_fit(
        storage(X[:30]), y[:30], np.unique(y)
    )
    kept = copy.deepcopy(model).set_params(alpha=0.5).partial_fit(rows[:1], target[:1])
    same = copy.deepcopy(model).partial_fit(rows[:1], target[:1])
    assert_allclose(kept.history_["learning_rate"], same.history_["learning_rate"])
    fresh = SGDClassifier(learning_rate="constant", penalty=None).partial_fit(
        rows[:1], target[:1], np.unique(y)
    )
    forgotten = model.set_params(eta0=0.1).partial_fit(storage(X[:1]), y[:1])
    forgotten.set_params(eta0=None).partial_fit(rows[:1], target[:1])
    assert_allclose(forgotten.history_["learning_rate"][-1], fresh.history_["learning_rate"][-1])


# Patience -------------------------------------------------------------------------------------------------


def waiting(data, **parameters):
    """A model whose patience with partial_fit is over, and what it was called with."""
    X = data[0]
    y = np.argmax(X[:, : len(np.unique(data[1]))], axis=1)  # what can be learned
    arguments = {"X": X[40:], "y": y[40:], "classes": np.unique(y), "eval_set": (X[:40], y[:40])}
    patient = {"early_stopping": True, "n_iter_no_change": 2, "tol": 10.0, "eta0": 0.05}
    model = SGDClassifier(**PLAIN | patient | parameters)
    for _ in range(3):
        model.partial_fit(**arguments)
    assert model.converged_
    return model, arguments


def moves(model, arguments):
    before = theta_of(model)
    model.partial_fit(**arguments)
    return not np.array_equal(theta_of(model), before)


def test_patience_is_over_until_something_changes(data):
    model, arguments = waiting(data)
    assert not moves(model, arguments)
    assert len(model.history_["loss"]) == 3
    for change in (
        {"n_iter_no_change": 10},
        {"tol": None},
        {"early_stopping": False},
        {"eta0": 0.01},
        {"class_weight": {0: 2.0}},
        {"validation_metric": "accuracy"},
    ):
        other = copy.deepcopy(model).set_params(**change)
        assert moves(other, arguments), change
        assert not other.converged_
    edited = copy.deepcopy(model)
    edited.coef_ += 1.0
    assert moves(edited, arguments)
    assert not moves(model, arguments)


def test_edited_weights_end_what_was_best(data):
    """Weights that a server sent are not replaced by better ones of one's own."""
    model, arguments = waiting(data)
    model.coef_ = np.full(model.coef_.shape, 4.0)
    model.set_params(eta0=1e-9, tol=0.0)
    for _ in range(5):
        model.partial_fit(**arguments)
    assert_allclose(model.coef_, 4.0, atol=1e-5)


def test_without_early_stopping_eval_set_is_only_measured(data):
    model, arguments = waiting(data)
    model = clone(model).set_params(early_stopping=False)
    for _ in range(6):
        model.partial_fit(**arguments)
    assert len(model.history_["val_loss"]) == 6
    assert not model.converged_


def test_early_stopping_needs_an_eval_set(data):
    X, y = data
    with pytest.raises(ValueError, match="early_stopping should be False with partial_fit, unless"):
        SGDClassifier(early_stopping=True).partial_fit(X, y, classes=np.unique(y))
    model, _ = waiting(data)
    model.set_params(eta0=1e-3).partial_fit(X, y)  # measured before: it may be left out now and then
    assert np.isnan(model.history_["val_loss"][-1])


# History --------------------------------------------------------------------------------------------------


def test_the_history_goes_on_from_what_is_public(data):
    X, y = data
    model = SGDClassifier(max_iter=4, tol=None, random_state=0).fit(X, y)
    model.partial_fit(X, y)
    assert list(model.history_["epoch"]) == [1, 2, 3, 4, 5]
    assert (np.diff(model.history_["seconds"]) >= 0).all()
    assert all(len(values) == 5 for values in model.history_.values())
    for nothing in ({}, None, {"epoch": [1, 2]}, {"epoch": np.ones(3), "seconds": np.ones(2)}):
        model.history_ = nothing
        model.partial_fit(X, y)
        assert list(model.history_["epoch"]) == [1]
    del model.history_
    assert list(model.partial_fit(X, y).history_["epoch"]) == [1]


def test_neither_history_nor_pickle_grows_with_the_number_of_calls():
    x, sizes = np.ones((1, 4)), []
    model = SGDClassifier(random_state=0).partial_fit(x, [0], classes=[0, 1])
    for calls in range(2, 901):
        model.partial_fit(x, [0])
        if calls in (200, 900):
            sizes.append(len(pickle.dumps(model)))
            assert model.history_["epoch"][0] == 1
            assert model.history_["epoch"][-1] == calls
    assert abs(sizes[1] - sizes[0]) < 20  # digits of numbers
    assert sizes[1] < 10_000
