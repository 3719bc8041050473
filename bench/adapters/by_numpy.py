"""NumPy and SciPy, as a careful user writes it: dtype kept, softmax in place, one n x K array."""

import numpy as np
from scipy.special import expit


def softmax_in_place(z):
    z -= z.max(axis=-1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=-1, keepdims=True)
    return z


def loss(problem, threads):
    X, y, theta, n_rows = problem.X, problem.y, problem.theta, problem.n_rows
    rows = np.arange(n_rows)

    def multinomial():
        p = X @ theta[:-1]
        p += theta[-1]
        p -= p.max(axis=1, keepdims=True)
        of_true_class = p[rows, y]
        np.exp(p, out=p)
        sums = p.sum(axis=1)
        loss = np.mean(np.log(sums) - of_true_class)
        p /= sums[:, None]
        p[rows, y] -= 1
        p /= n_rows
        return loss, np.vstack([X.T @ p, p.sum(axis=0)])

    def binary():
        logits = X @ theta[:-1, 0]
        logits += theta[-1, 0]
        loss = np.mean(np.log1p(np.exp(-np.abs(logits))) + np.maximum(logits, 0) - y * logits)
        residuals = expit(logits)
        residuals -= y
        residuals /= n_rows
        return loss, np.append(X.T @ residuals, residuals.sum())[:, None]

    return binary if problem.binary else multinomial


def probabilities(problem, threads):
    X, theta = problem.X, problem.theta

    def multinomial():
        logits = X @ theta[:-1]
        logits += theta[-1]
        return softmax_in_place(logits)

    def binary():
        second = expit(X @ theta[:-1, 0] + theta[-1, 0])
        return np.stack([1 - second, second], axis=1)

    return binary if problem.binary else multinomial


def row(problem, threads):
    X, W, b = problem.X, problem.theta[:-1].copy(), problem.theta[-1]
    if problem.n_rows > 1:
        return lambda: softmax_in_place(X @ W + b)
    if problem.sparse:
        indices, values = X.indices, X.data
        return lambda: softmax_in_place(values @ W[indices] + b)
    x, coef = X[0], W.T.copy()
    return lambda: softmax_in_place(coef @ x + b)
