"""LossCurveDisplay: draws what the history holds, in scikit-learn's convention."""

import matplotlib
import numpy as np
import pytest
import sklearn.linear_model
from numpy.testing import assert_array_equal

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastxent import LogisticRegression, LogisticRegressionCV, LossCurveDisplay, SGDClassifier


@pytest.fixture
def data():
    X = np.random.default_rng(0).normal(size=(80, 3))
    return X, (X[:, 0] > 0).astype(int)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_draws_training_and_validation_loss(data):
    model = SGDClassifier(early_stopping=True, random_state=0, max_iter=5, tol=None).fit(*data)
    display = LossCurveDisplay.from_estimator(model)
    assert_array_equal(display.lines_[0].get_xdata(), [1, 2, 3, 4, 5])
    assert_array_equal(display.lines_[0].get_ydata(), model.history_["loss"])
    assert_array_equal(display.lines_[1].get_ydata(), model.history_["val_loss"])
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["SGDClassifier: training loss", "SGDClassifier: validation loss"]
    assert display.ax_.get_xlabel() == "epoch"
    assert display.figure_ is display.ax_.figure


def test_axes_names_and_lines_are_the_callers(data):
    model = SGDClassifier(max_iter=3, tol=None).fit(*data)
    _, ax = plt.subplots()
    display = LossCurveDisplay.from_estimator(
        model, x="seconds", ax=ax, name="mine", color="red", linestyle=":"
    )
    assert display.ax_ is ax
    assert display.lines_[0].get_color() == "red"
    assert display.lines_[0].get_label() == "mine: training loss"
    again = LossCurveDisplay(display.x, display.curves).plot()
    assert again.lines_[0].get_label() == "training loss"


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


OBJECTIVE = "objective: mean log loss + penalty (nats)"
LOG_LOSS = "mean log loss (nats)"


@pytest.mark.parametrize("settings", [{}, {"batch_size": 10}])
def test_epochs_of_rows_measure_the_loss_alone(data, settings):
    model = SGDClassifier(early_stopping=True, random_state=0, max_iter=3, tol=None, **settings).fit(*data)
    assert LossCurveDisplay.from_estimator(model).ax_.get_ylabel() == LOG_LOSS


@pytest.mark.parametrize("settings", [{"batch_size": None}, {"optimizer": "svrg"}])
def test_epochs_over_all_rows_measure_the_objective(data, settings):
    model = SGDClassifier(max_iter=3, tol=None, random_state=0, **settings).fit(*data)
    display = LossCurveDisplay.from_estimator(model)
    assert display.ax_.get_ylabel() == OBJECTIVE
    assert legend(display) == ["SGDClassifier: training objective"]


def test_objective_and_loss_are_told_apart(data):
    X, y = data
    display = LossCurveDisplay.from_estimator(LogisticRegression().fit(X, y, eval_set=(X, y)))
    assert legend(display) == [
        "LogisticRegression: training objective",
        "LogisticRegression: validation loss",
    ]
    assert display.ax_.get_ylabel() == f"{OBJECTIVE}\n{LOG_LOSS}"
    assert display.ax_.get_xlabel() == "iteration"


@pytest.mark.parametrize(
    ("curves", "x", "labels"),
    [
        ("gap", "seconds", ("time (seconds)", "objective above its minimum, estimated (nats)")),
        (["grad_norm"], "passes", ("passes over the data", "largest entry of the gradient")),
        (["loss", "loss"], "epoch", ("iteration", OBJECTIVE)),
    ],
)
def test_axes_say_what_is_drawn(data, curves, x, labels):
    display = LossCurveDisplay.from_estimator(LogisticRegression().fit(*data), curves=curves, x=x)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == labels


def test_other_quantities_of_epochs(data):
    model = SGDClassifier(max_iter=3, tol=None, batch_size=None).fit(*data)
    display = LossCurveDisplay.from_estimator(model, curves=["learning_rate", "grad_norm"])
    assert display.ax_.get_ylabel() == "learning rate\nnorm of the gradient"


def test_ones_own_curves_and_words():
    display = LossCurveDisplay([1, 2], {"error": [2.0, 1.0], "loss": [1.0, 0.5]}, x_name="day").plot()
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("day", f"error\n{LOG_LOSS}")
    words = {"error": ("wrong", "share of wrong rows")}
    display = LossCurveDisplay([1, 2], {"error": [2.0, 1.0]}, quantities=words).plot()
    assert (legend(display), display.ax_.get_ylabel()) == (["wrong"], "share of wrong rows")


@pytest.mark.parametrize(
    "around",
    [
        lambda model: make_pipeline(StandardScaler(), model),
        lambda model: GridSearchCV(model, {"tol": [1e-2, 1e-3]}, cv=2),
        lambda model: GridSearchCV(make_pipeline(StandardScaler(), model), {}, cv=2),
        lambda model: make_pipeline(StandardScaler(), GridSearchCV(model, {}, cv=2)),
    ],
    ids=["pipeline", "search", "search of pipelines", "pipeline of a search"],
)
def test_pipelines_and_searches_show_the_model_inside(data, around):
    outer = around(LogisticRegression())
    with pytest.raises(NotFittedError, match="not fitted yet"):
        LossCurveDisplay.from_estimator(outer)
    display = LossCurveDisplay.from_estimator(outer.fit(*data))
    assert legend(display) == ["LogisticRegression: training objective"]
    assert display.lines_[0].get_ydata()[0] == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    "model",
    [
        sklearn.linear_model.LogisticRegression(),
        LogisticRegressionCV(Cs=2, refit=False, l1_ratios=(0,), use_legacy_attributes=False),
        GridSearchCV(LogisticRegression(), {}, cv=2, refit=False),
        make_pipeline(StandardScaler(), sklearn.linear_model.LogisticRegression()),
    ],
    ids=str,
)
def test_who_keeps_no_history_is_named(data, model):
    model.fit(*data)
    inner = model[-1] if hasattr(model, "steps") else model
    hint = r" \(it was fitted with refit=False\)" if hasattr(model, "refit") else ""
    with pytest.raises(ValueError, match=f"^This {type(inner).__name__} has no history_{hint}. LossCurve"):
        LossCurveDisplay.from_estimator(model)


def test_what_is_not_there_is_named(data):
    with pytest.raises(NotFittedError, match="not fitted"):
        LossCurveDisplay.from_estimator(SGDClassifier())
    model = SGDClassifier(max_iter=2, tol=None).fit(*data)
    with pytest.raises(
        ValueError,
        match=r"no entry 'val_loss'; it has epoch, learning_rate, loss, seconds. Fit with an eval_set",
    ):
        LossCurveDisplay.from_estimator(model, curves=["val_loss"])
