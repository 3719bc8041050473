"""The descents of the lectures that the project starts from, each written out and by SGDClassifier.

The single stochastic step of the lectures is in tests/estimators/test_sgd_classifier.py.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits

from fastxent import SGDClassifier, reference

N_CLASSES = 3


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    y = rng.permuted(np.resize(np.arange(N_CLASSES), 60))
    return rng.normal(size=(60, 4)) + np.eye(N_CLASSES, 4)[y], y


@pytest.fixture
def start():
    """Weights away from zero."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(N_CLASSES, 4)), rng.normal(size=N_CLASSES)


def gradient(X, y, W, b):
    """(1/m) sum_i (p_i - y_i) x_i, class by class, and the same for the intercepts."""
    P = reference.softmax(X @ W.T + b)
    P[np.arange(len(y)), y] -= 1.0
    return P.T @ X / len(y), P.mean(axis=0)


def steps(number, start, points, eta, **options):
    """SGDClassifier after so many epochs of constant steps from given weights, rows in their order."""
    options = {"learning_rate": "constant", "penalty": None, "tol": None, "shuffle": False} | options
    model = SGDClassifier(eta0=eta, max_iter=number, **options)
    return model.fit(*points, coef_init=start[0], intercept_init=start[1])


@pytest.mark.parametrize("batch_size", [None, 60])
def test_all_weights_are_updated_at_once(points, start, batch_size):
    """Every partial derivative is taken at the weights before the update, also where classes share the softmax."""
    W, b = start
    grad_W, grad_b = gradient(*points, W, b)
    model = steps(1, start, points, 0.7, batch_size=batch_size)
    assert_allclose(model.coef_, W - 0.7 * grad_W, rtol=1e-13)
    assert_allclose(model.intercept_, b - 0.7 * grad_b, rtol=1e-13)

    one_by_one = W.copy()
    for k in range(N_CLASSES):
        one_by_one[k] -= 0.7 * gradient(*points, one_by_one, b)[0][k]
    assert np.abs(model.coef_ - one_by_one).max() > 1e-3, "one class after the other is another update"


@pytest.mark.parametrize("batch_size", [1, 7])
def test_an_epoch_is_a_row_or_a_batch_after_another(points, start, batch_size):
    W, b = (array.copy() for array in start)
    X, y = points
    for first in range(0, len(y), batch_size):
        batch = slice(first, first + batch_size)
        grad_W, grad_b = gradient(X[batch], y[batch], W, b)
        W, b = W - 0.1 * grad_W, b - 0.1 * grad_b
    model = steps(1, start, points, 0.1, batch_size=batch_size)
    assert_allclose(model.coef_, W, rtol=1e-12)
    assert_allclose(model.intercept_, b, rtol=1e-12)


def test_batch_descent_ends_when_the_gradient_is_small(points):
    """As many updates as the loop of the lectures takes, to the same weights."""
    W, b, tol, updates = np.zeros((N_CLASSES, 4)), np.zeros(N_CLASSES), 1e-5, 0
    while True:
        grad_W, grad_b = gradient(*points, W, b)
        updates += 1
        small = np.sum(grad_W**2) + np.sum(grad_b**2) <= tol
        W, b = W - 0.5 * grad_W, b - 0.5 * grad_b
        if small:
            break
    zeros = np.zeros((N_CLASSES, 4)), np.zeros(N_CLASSES)
    model = steps(1000, zeros, points, 0.5, batch_size=None, tol=tol)
    assert model.converged_
    assert (model.n_iter_, model.t_) == (updates, updates)
    assert updates > 50
    assert_allclose(model.coef_, W, rtol=1e-10)
    assert_allclose(model.intercept_, b, rtol=1e-10)
    squares = model.history_["grad_norm"] ** 2
    assert squares[-1] <= tol < squares[-2]


def test_patience_on_a_validation_split():
    """Eight tenths to train on, one to stop by, one to be judged by."""
    X, y = load_digits(return_X_y=True)
    tenth = np.random.default_rng(0).permutation(len(y)) % 10
    train, validation, test = tenth < 8, tenth == 8, tenth == 9
    model = SGDClassifier(early_stopping=True, n_iter_no_change=3, tol=0.0, random_state=0)
    model.fit(X[train], y[train], eval_set=(X[validation], y[validation]))
    losses = model.history_["val_loss"]
    assert model.converged_
    assert model.n_iter_ == 1 + losses.argmin() + 3, "patience ends three epochs after the best"
    kept = reference.linear_cross_entropy(X[validation], y[validation], model.coef_, model.intercept_)
    assert kept == pytest.approx(losses.min(), rel=1e-12)
    assert kept < losses[-1]
    assert model.score(X[test], y[test]) > 0.9


@pytest.mark.parametrize("batch_size", [1, 20, None])
def test_ridge_shrinks_weights_and_not_the_intercept(points, start, batch_size):
    """One update is w -= eta (g + l2 w) for the weights, and b -= eta g for the intercept."""
    (W, b), eta, l2 = start, 0.3, 0.8
    n = batch_size or 60
    X, y = points[0][:n], points[1][:n]
    target = np.eye(N_CLASSES)[
        y
    ]  # soft labels, because one row alone does not show that there are more classes
    grad_W, grad_b = gradient(X, y, W, b)
    model = SGDClassifier(
        alpha=l2,
        eta0=eta,
        learning_rate="constant",
        max_iter=1,
        tol=None,
        shuffle=False,
        batch_size=batch_size,
    ).fit(X, target, coef_init=W, intercept_init=b)
    assert_allclose(model.coef_, W - eta * (grad_W + l2 * W), rtol=1e-12, atol=1e-14)
    assert_allclose(model.intercept_, b - eta * grad_b, rtol=1e-12)
