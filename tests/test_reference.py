"""The plain twin itself, against the definitions written out as loops. test_functional.py runs both."""

import itertools
import math

import numpy as np
import pytest

from fastxent import reference
from oracle import exact_row


def loss_by_definition(logits, target, s, w, smoothing, ignored, reduction):
    """Cross-entropy as PyTorch documents it, row by row and class by class, with row weights added."""
    n, K = logits.shape
    s, w = np.ones(n) if s is None else s, np.ones(K) if w is None else w
    losses, counted = [], 0.0
    for i in range(n):
        if target.ndim == 1 and target[i] == ignored:
            losses.append(0.0)
            continue
        nll = [-float(value) for value in exact_row(logits[i])[2]]
        if target.ndim == 1:
            own = w[target[i]] * nll[target[i]]
            losses.append(
                s[i] * ((1 - smoothing) * own + smoothing / K * sum(w[k] * nll[k] for k in range(K)))
            )
            counted += s[i] * w[target[i]]
        else:
            t = [(1 - smoothing) * target[i, k] + smoothing / K for k in range(K)]
            losses.append(s[i] * sum(w[k] * t[k] * nll[k] for k in range(K)))
            counted += s[i]
    return {"none": np.array(losses), "sum": math.fsum(losses), "mean": math.fsum(losses) / counted}[
        reduction
    ]


@pytest.mark.parametrize("soft", [False, True], ids=["int", "soft"])
def test_every_combination_means_what_the_definition_says(soft):
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(7, 4))
    target = rng.dirichlet(np.ones(4), size=7) if soft else np.array([0, 3, 1, -5, 2, 2, -5])
    for s, w, smoothing, reduction in itertools.product(
        [None, rng.random(7)], [None, rng.random(4)], [0.0, 0.2, 1.0], ["mean", "sum", "none"]
    ):
        got = reference.cross_entropy(
            logits,
            target,
            sample_weight=s,
            class_weight=w,
            label_smoothing=smoothing,
            ignore_index=-5,
            reduction=reduction,
        )
        expected = loss_by_definition(logits, target, s, w, smoothing, -5, reduction)
        np.testing.assert_allclose(got, expected, rtol=1e-13, err_msg=f"{s}, {w}, {smoothing}, {reduction}")


def test_class_weights_as_a_mapping():
    logits, target = np.random.default_rng(1).normal(size=(5, 3)), [0, 1, 2, 2, 1]
    by_array = reference.cross_entropy(logits, target, class_weight=[1.0, 0.5, 4.0])
    assert reference.cross_entropy(logits, target, class_weight={2: 4.0, 1: 0.5}) == by_array
    assert reference.cross_entropy(logits, target, class_weight={}) == reference.cross_entropy(logits, target)


def test_everything_is_float64():
    z = np.array([[1, 2, 3]], dtype=np.float32)
    assert reference.softmax(z).dtype == reference.logsumexp(z).dtype == np.float64
    _, grad = reference.cross_entropy_and_grad(z, [1])
    assert grad.dtype == np.float64


def test_hessian_of_one_row_by_its_definition():
    x, W, V = (
        np.array([[1.0, -2.0]]),
        np.array([[0.3, 0.1], [0.0, -0.2], [0.5, 0.4]]),
        np.arange(6.0).reshape(3, 2),
    )
    b, v = np.array([0.1, 0.0, -0.3]), np.array([1.0, 2.0, -1.0])
    p = reference.softmax(x @ W.T + b)[0]
    hessian = np.kron(np.diag(p) - np.outer(p, p), np.outer([1.0, -2.0, 1.0], [1.0, -2.0, 1.0]))
    expected = (hessian @ np.column_stack([V, v]).ravel()).reshape(3, 3)
    got_coef, got_intercept = reference.linear_cross_entropy_hessp(x, [1], W, b, V, v)
    np.testing.assert_allclose(got_coef, expected[:, :2], rtol=1e-13)
    np.testing.assert_allclose(got_intercept, expected[:, 2], rtol=1e-13)


def test_the_hessian_of_a_certain_row_keeps_its_digits():
    W, V = np.array([[40.0], [0.0], [0.0]]), np.array([[1.0], [3.0], [3.0]])
    got, _ = reference.linear_cross_entropy_hessp(np.ones((1, 1)), [0], W, None, V, None)
    p = reference.softmax(W[:, 0])
    np.testing.assert_allclose(got[:, 0], [-4 * p[1], 2 * p[1], 2 * p[1]], rtol=1e-15)


def test_a_binary_hessian_is_the_curvature_of_the_sigmoid():
    X, w = np.array([[1.0, 2.0], [0.5, -1.0]]), np.array([0.3, -0.6])
    p = reference.sigmoid(X @ w + 0.2)
    got, got_intercept = reference.linear_cross_entropy_hessp(
        X, [0, 1], w, 0.2, [1.0, 1.0], 0.0, reduction="sum"
    )
    np.testing.assert_allclose(got, X.T @ (p * (1 - p) * X.sum(axis=1)), rtol=1e-13)
    assert got_intercept == pytest.approx(np.sum(p * (1 - p) * X.sum(axis=1)), rel=1e-13)
