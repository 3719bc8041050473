"""The lecture and textbook examples that the project starts from, each by its own test."""

import mpmath
import numpy as np
import pytest


def test_softmax_of_four_logits(api):
    got = api.softmax([1.45, 0.33, -0.12, 0.01])
    # The printed digits do not add up to one: they are right to 1e-3, the exact value to the last digit.
    np.testing.assert_allclose(got, [0.5647, 0.1842, 0.1175, 0.1338], atol=1e-3)
    with mpmath.workdps(50):
        e = [mpmath.exp(mpmath.mpf(z)) for z in (1.45, 0.33, -0.12, 0.01)]
        exact = [float(value / mpmath.fsum(e)) for value in e]
    np.testing.assert_allclose(got, exact, rtol=1e-15)


def test_three_classes_from_a_parameter_table(api):
    theta = np.array([[0.45, -0.12, 0.14, 1.3], [-0.7, 0.9, 0.68, -0.31], [-0.26, 0.05, 0.12, 0.51]])
    x = np.array([1.0, 1.0, 1.0, 0.0])
    logits = theta @ x
    np.testing.assert_allclose(logits, [0.47, 0.88, -0.09], atol=1e-12)
    p = api.softmax(logits)
    np.testing.assert_allclose(p, [0.3249, 0.4895, 0.1856], atol=5e-5)
    assert p.argmax() == 1, "the second of three classes"
    losses = [api.linear_cross_entropy(x[None], [k], theta) for k in range(3)]
    np.testing.assert_allclose(np.exp(-np.array(losses)), p, rtol=1e-14)


def test_sentiment_of_four_documents(api):
    theta = np.array([-1.0, 2.0, -3.0])
    documents = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 1], [1, 0, 0]])  # 1, positive words, negative words
    p = api.sigmoid(documents @ theta)
    assert (p > 0.5).tolist() == [True, False, False, False]
    assert round(float(p[2]), 2) == 0.12
    losses = api.linear_cross_entropy(documents.astype(float), [1, 1, 1, 1], theta, reduction="none")
    np.testing.assert_allclose(np.exp(-losses), p, rtol=1e-14)


def test_one_step_of_stochastic_gradient_descent(api):
    theta = np.array([0.04, 0.5])
    _, grad, _ = api.linear_cross_entropy_and_grad(np.array([[1.0, 0.82]]), [1], theta)
    np.testing.assert_allclose(grad, [-0.39, -0.32], atol=5e-3)
    np.testing.assert_allclose(theta - 0.01 * grad, [0.0439, 0.5032], atol=5e-5)


def test_two_classes_with_both_gradients(api):
    x, W = np.array([1.9, 0.4]), np.array([[0.1, 0.5], [0.1, 0.5]])  # W is (features, classes)
    np.testing.assert_allclose(x @ W, [0.23, 1.15], atol=1e-15)
    np.testing.assert_allclose(api.softmax(x @ W), [0.284958, 0.715042], atol=5e-7)
    loss, grad_coef, grad_intercept = api.linear_cross_entropy_and_grad(x[None], [0], W.T, [0.0, 0.0])
    assert round(loss, 4) == 1.2554
    np.testing.assert_allclose(grad_coef.T[:, 0], (0.284958 - 1) * x, atol=1e-6)
    np.testing.assert_allclose(grad_coef.T[:, 1], 0.715042 * x, atol=1e-6)
    np.testing.assert_allclose(grad_intercept, [-0.715042, 0.715042], atol=1e-6)


def test_a_loss_far_below_machine_epsilon(api):
    loss, grad = api.cross_entropy_and_grad(np.array([[40.0, 0.0]]), [0])
    # The last bit is the rounding of one exponential: right to 1.5 units.
    exact = pytest.approx(4.248354255291589e-18, rel=4e-16)
    assert loss == exact
    assert (-grad[0, 0], grad[0, 1]) == (exact, exact)
    # The same through a linear model, with two columns and with one.
    X = np.array([[40.0]])
    assert api.linear_cross_entropy(X, [0], np.array([[1.0], [0.0]])) == exact
    assert api.linear_cross_entropy(X, [1], np.array([1.0])) == exact


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=60)
    return rng.normal(size=(60, 4)) + np.eye(3, 4)[y], y


def test_gradient_of_the_mean_loss_is_the_mean_of_outer_products(api, points):
    X, y = points
    W = np.linspace(-0.5, 0.5, 12).reshape(3, 4)
    _, grad, _ = api.linear_cross_entropy_and_grad(X, y, W)
    expected = np.zeros((4, 3))
    for x, label in zip(X, y, strict=True):
        e = np.exp(W @ x)
        expected += np.outer(x, e / e.sum() - np.eye(3)[label]) / len(X)
    np.testing.assert_allclose(grad.T, expected, rtol=1e-12, atol=1e-15)


def test_batch_gradient_descent_stops_at_a_small_gradient(api, points):
    X, y = points
    W, b, losses = np.zeros((3, 4)), np.zeros(3), []
    for _ in range(2000):
        loss, grad_W, grad_b = api.linear_cross_entropy_and_grad(X, y, W, b, l2=0.1)
        losses.append(loss)
        if np.sum(grad_W**2) + np.sum(grad_b**2) < 1e-12:
            break
        W, b = W - 0.5 * grad_W, b - 0.5 * grad_b  # all weights move together
    else:
        pytest.fail("the sum of squares of the gradient never fell below the tolerance")
    assert losses[0] == pytest.approx(np.log(3), rel=1e-14)
    assert np.all(np.diff(losses) < 1e-14)


def test_ridge_term_leaves_the_intercept_alone(api, points):
    X, y = points
    W, b = np.linspace(-0.5, 0.5, 12).reshape(3, 4), np.array([1.0, -2.0, 0.5])
    plain, grad_W, grad_b = api.linear_cross_entropy_and_grad(X, y, W, b)
    ridge, ridge_W, ridge_b = api.linear_cross_entropy_and_grad(X, y, W, b, l2=0.3)
    assert ridge - plain == pytest.approx(0.15 * np.sum(W**2), rel=1e-12)
    np.testing.assert_allclose(ridge_W - grad_W, 0.3 * W, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(ridge_b, grad_b)
