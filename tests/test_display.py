"""LossCurveDisplay: draws what the history holds, in scikit-learn's convention."""

import matplotlib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from fastxent import LogisticRegression, LossCurveDisplay, SGDClassifier


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


def test_logistic_regression_has_a_history_too(data):
    X, y = data
    display = LossCurveDisplay.from_estimator(LogisticRegression().fit(X, y, eval_set=(X, y)))
    assert len(display.lines_) == 2


def test_what_is_not_there_is_named(data):
    with pytest.raises(ValueError, match="not fitted"):
        LossCurveDisplay.from_estimator(SGDClassifier())
    model = SGDClassifier(max_iter=2, tol=None).fit(*data)
    with pytest.raises(ValueError, match="no entry 'val_loss'; it has epoch, learning_rate, loss, seconds"):
        LossCurveDisplay.from_estimator(model, curves=["val_loss"])
