"""A training is called converged only where it has arrived, and is not warned about where it has."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

from fastxent import SGDClassifier
from fastxent.estimators.verdict import chance_loss


def age_and_income(rows=800):
    rng = np.random.default_rng(0)
    age, income = rng.uniform(20, 70, rows), rng.lognormal(10.5, 0.6, rows)
    y = (age - 45) / 12 + (income - 45_000) / 25_000 + rng.logistic(size=rows) > 0
    return np.column_stack([age, income]), y.astype(int)


def heavy_tails(rows=1000):
    rng = np.random.default_rng(0)
    X = rng.standard_t(2, size=(rows, 8))
    return X, (X @ rng.normal(size=8) / 3 + rng.logistic(size=rows) > 0).astype(int)


def rare(rows=2000):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 6))
    return X, (X @ rng.normal(size=6) - 5 + rng.logistic(size=rows) > 0).astype(int)


def words(rows=600):
    rng = np.random.default_rng(0)
    X = sp.random(rows, 900, density=0.01, random_state=0, format="csr")
    return sp.csr_array(X), np.argmax(X @ rng.normal(size=(900, 3)) * 4 + rng.gumbel(size=(rows, 3)), axis=1)


def a_time(rows=600):
    rng = np.random.default_rng(0)
    t = rng.normal(1.7e9, 3600, rows)
    return np.column_stack([t, rng.normal(size=rows)]), (
        (t - 1.7e9) / 3600 + rng.logistic(size=rows) > 0
    ).astype(int)


PROBLEMS = {
    "iris": lambda: load_iris(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
    "breast cancer": lambda: load_breast_cancer(return_X_y=True),
    "digits": lambda: load_digits(return_X_y=True),
    "age and income": age_and_income,
    "heavy tails": heavy_tails,
    "a rare class": rare,
    "words": words,
    "a time": a_time,
    "fewer rows than columns": lambda: (np.random.default_rng(0).normal(size=(40, 90)), np.arange(40) % 2),
    "two rows": lambda: (np.array([[0.3, 1e5], [0.1, -1e5]]), np.arange(2)),
}
# float32 cannot tell one minute of a time in seconds since 1970 from the next.
STORED = [(name, dtype) for name in PROBLEMS for dtype in ("d", "f") if (name, dtype) != ("a time", "f")]


def trained(X, y, **how):
    """A model, and what its training warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = SGDClassifier(random_state=0).set_params(**how).fit(X, y)
    return model, [str(warning.message) for warning in caught if warning.category is ConvergenceWarning]


def loss_and_chance(model, X, y):
    share = np.bincount(y)[np.unique(y)] / len(y)
    return log_loss(y, model.predict_proba(X)), -(share * np.log(share)).sum()


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"batch_size": 16},
        {"penalty": "l1"},
        *({"optimizer": name} for name in ("momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")),
        {"optimizer": "adam", "batch_size": 16},
    ],
    ids=str,
)
@pytest.mark.parametrize(("name", "dtype"), STORED)
def test_the_defaults_learn_unscaled_features(name, dtype, how):
    X, y = PROBLEMS[name]()
    model, warned = trained(X.astype(dtype), y, **how)
    loss, chance = loss_and_chance(model, X.astype(dtype), y)
    assert loss < 0.9 * chance
    assert model.converged_ == (not warned)
    assert model.converged_ or "maximum number of iteration" in warned[0].lower()


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adagrad", "adam"])
@pytest.mark.parametrize("batch_size", [1, 16, None])
@pytest.mark.parametrize("eta0", [1e-12, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("name", ["iris", "wine", "age and income"])
def test_whatever_the_step_size_converged_means_better_than_chance(name, eta0, batch_size, optimizer):
    X, y = PROBLEMS[name]()
    try:
        model, warned = trained(X, y, eta0=eta0, batch_size=batch_size, optimizer=optimizer, max_iter=60)
    except ValueError as error:
        if "The descent diverges" not in str(error):
            raise
        return
    loss, chance = loss_and_chance(model, X, y)
    losses = model.history_["loss"]
    assert model.converged_ == (not warned)
    if model.converged_:
        assert loss < chance
        assert losses[-1] < losses[0] + 1e-3


def one_column_is_small(rows=800):
    """A step size that suits the first column is far too small for the second."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(rows, 2))
    return Z * [1.0, 1e-4], (Z @ [1.0, 3.0] + rng.logistic(size=rows) > 0).astype(int)


def test_what_is_said_of_steps_that_are_too_long_or_too_short():
    X, y = one_column_is_small()
    _, (warning,) = trained(X, y, eta0=0.1, penalty=None)
    assert "the weights of column 1 alone could lower it by" in warning
    _, (warning,) = trained(X, y, eta0=500.0, learning_rate="constant", penalty=None)
    assert "The loss rose: it was" in warning and "learning rate of 500. Lower eta0" in warning
    _, (warning,) = trained(X, y, eta0=500.0, learning_rate="invscaling", power_t=0.5, penalty=None)
    assert "of the same prediction for every row: steps are too long or too short" in warning
    X, y = load_iris(return_X_y=True)
    _, (warning,) = trained(X, y, alpha=1e4)
    assert "the penalty is too strong" in warning


def test_many_small_columns_that_were_not_learned_are_noticed():
    """None of which could do much alone."""
    X, y = load_digits(return_X_y=True)
    model, (warning,) = trained(1e-4 * X, y, batch_size=None, eta0=1.0, penalty=None)
    assert not model.converged_
    assert "a single step of all columns, each in its own unit, lowers it by" in warning


@pytest.mark.parametrize("unit", [1e-7, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"batch_size": 16},
        {"batch_size": None},
        {"optimizer": "svrg"},
        {"batch_size": None, "optimizer": "adam"},
    ],
    ids=str,
)
def test_the_unit_of_all_features_does_not_matter(how, unit):
    X, y = load_iris(return_X_y=True)
    model, _ = trained(X * unit, y, penalty=None, max_iter=500, **how)
    assert model.score(X * unit, y) > 0.94


def test_a_column_is_named():
    X, y = one_column_is_small()
    _, (warning,) = trained(pd.DataFrame(X, columns=["age", "income"]), y, eta0=0.1, penalty=None)
    assert "column 1 ('income')" in warning


def test_features_that_say_nothing_are_reported():
    rng = np.random.default_rng(0)
    model, (warning,) = trained(rng.normal(size=(500, 8)), rng.integers(0, 3, 500))
    assert not model.converged_
    assert "or the features have no information" in warning


@pytest.mark.parametrize("store", [np.array, sp.csr_array])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "svrg"])
@pytest.mark.parametrize("eta0", [0.1, None])
@pytest.mark.parametrize("alpha", [10.0, 1e5])
def test_a_strong_penalty_leaves_next_to_nothing(alpha, eta0, optimizer, store):
    X, y = load_iris(return_X_y=True)
    model, _ = trained(store(X), y, alpha=alpha, eta0=eta0, optimizer=optimizer, max_iter=30)
    assert np.abs(model.coef_).max() < 10.0 / alpha


def test_a_loss_that_rises_by_less_than_tol_does_not_rise():
    """Under a strong penalty all losses are nearly the same, and so are those of short steps."""
    X, y = heavy_tails()
    for how in (
        {"alpha": 100.0, "eta0": 0.01, "batch_size": 64, "learning_rate": "constant"},
        {"eta0": 1e-9},
    ):
        _, warned = trained(X, y, **how)
        assert not any("The loss rose" in warning for warning in warned)


def test_chance_is_the_best_constant_prediction():
    y, weight = np.array([0, 0, 1, 2]), np.array([1.0, 2.0, 3.0, 0.0])
    assert chance_loss(y, 3) == pytest.approx(1.5 * np.log(2))
    assert chance_loss(y, 3, weight) == chance_loss(np.eye(3)[y], 3, weight) == pytest.approx(np.log(2))
    assert chance_loss(y, 3, weight, fit_intercept=False) == pytest.approx(np.log(3))
    soft = np.array([[0.75, 0.25], [0.25, 0.75]])
    assert chance_loss(soft, 2) == pytest.approx(np.log(2))


def test_early_stopping_in_pieces_is_no_convergence_where_it_stays_at_chance():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 5)), np.arange(200) % 2
    model = SGDClassifier(early_stopping=True, n_iter_no_change=2)

    def train():
        for _ in range(20):
            model.partial_fit(X[:100], y[:100], classes=[0, 1], eval_set=(X[100:], y[100:]))

    with pytest.warns(ConvergenceWarning, match=r"The validation loss is .*, not below 0\.693147"):
        train()
    assert not model.converged_
