"""The main task: the mean cross-entropy of a linear softmax model and its full gradient, from X, y, theta.

Everybody returns the loss and a gradient (d + 1, K). No penalty, no weights: what all libraries share.
"""

from functools import partial

import numpy as np

from objectives import objective_of
from rivals import OURS, Rival


def with_fastxent_objective(problem, threads):
    objective = objective_of(
        problem.X, problem.y, problem.n_classes, binary=problem.binary, n_threads=threads
    )
    return lambda: objective.value_and_grad(problem.theta), list


def with_numpy(problem, threads):
    """Write it as a careful NumPy user does: dtype kept, softmax in place, one n x K array."""
    from scipy.special import expit

    X, y, theta = problem.X, problem.y, problem.theta
    n_rows, rows = X.shape[0], np.arange(X.shape[0])

    def multinomial():
        logits = X @ theta[:-1]
        logits += theta[-1]
        logits -= logits.max(axis=1, keepdims=True)
        of_true_class = logits[rows, y]
        probabilities = np.exp(logits, out=logits)
        sums = probabilities.sum(axis=1)
        loss = np.mean(np.log(sums) - of_true_class)
        probabilities /= sums[:, None]
        probabilities[rows, y] -= 1
        probabilities /= n_rows
        return loss, with_intercept(X.T @ probabilities, probabilities.sum(axis=0))

    def binary():
        logits = X @ theta[:-1, 0]
        logits += theta[-1, 0]
        loss = np.mean(np.log1p(np.exp(-np.abs(logits))) + np.maximum(logits, 0) - y * logits)
        residuals = expit(logits)
        residuals -= y
        residuals /= n_rows
        return loss, with_intercept((X.T @ residuals)[:, None], residuals.sum())

    def with_intercept(of_weights, of_intercept):
        gradient = np.empty_like(theta)
        gradient[:-1] = of_weights
        gradient[-1] = of_intercept
        return gradient

    return (binary if problem.binary else multinomial), list


def with_scikit_learn(problem, threads, openmp=None):
    from sklearn._loss.loss import HalfBinomialLoss, HalfMultinomialLoss
    from sklearn.linear_model._linear_loss import LinearModelLoss

    of_rows = HalfBinomialLoss() if problem.binary else HalfMultinomialLoss(n_classes=problem.n_classes)
    loss = LinearModelLoss(base_loss=of_rows, fit_intercept=True)
    coef = problem.theta[:, 0].copy() if problem.binary else problem.theta.T
    y = problem.y.astype(problem.X.dtype)

    def unpack(result):
        return [result[0], result[1].reshape(-1, 1) if problem.binary else result[1].T]

    return lambda: loss.loss_gradient(coef, problem.X, y, n_threads=openmp or threads), unpack


def torch_tensors(problem):
    """Return X, y, weights and bias as a PyTorch user holds them: weights (K, d), or (d, K) if sparse."""
    import torch

    if problem.sparse:
        parts = [torch.from_numpy(part) for part in (problem.X.indptr, problem.X.indices, problem.X.data)]
        X = torch.sparse_csr_tensor(*parts, size=problem.X.shape, check_invariants=False)
        weights = torch.tensor(problem.theta[:-1])
    else:
        X = torch.from_numpy(problem.X)
        weights = torch.tensor(np.ascontiguousarray(problem.theta[:-1].T))
    y = torch.from_numpy(problem.y.astype(problem.X.dtype if problem.binary else np.int64))
    return X, y, weights.requires_grad_(), torch.tensor(problem.theta[-1]).requires_grad_()


def with_torch(forward, compiled=False):
    """Return a builder that takes the gradient of ``forward(X, y, weights, bias)`` by autograd."""

    def build(problem, threads):
        import torch

        torch.set_num_threads(threads)
        X, y, weights, bias = torch_tensors(problem)
        loss_of = torch.compile(forward, dynamic=False) if compiled else forward

        def call():
            loss = loss_of(X, y, weights, bias)
            return loss, *torch.autograd.grad(loss, (weights, bias))

        def unpack(result):
            loss, of_weights, of_bias = (tensor.detach().numpy() for tensor in result)
            return [loss, np.vstack([of_weights if problem.sparse else of_weights.T, of_bias])]

        return call, unpack

    return build


def plain(X, y, weights, bias):
    from torch.nn import functional

    logits = X @ weights + bias if X.is_sparse_csr else functional.linear(X, weights, bias)
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits[:, 0], y)
    return functional.cross_entropy(logits, y)


def chunked(X, y, weights, bias):
    from torch.nn import LinearCrossEntropyOptions, functional

    return functional.linear_cross_entropy(
        X, weights, y, linear_bias=bias, options=LinearCrossEntropyOptions()
    )


def with_jax(problem, threads):
    """Automatic gradients, compiled by XLA."""
    import jax

    jax.config.update("jax_enable_x64", problem.X.dtype == np.float64)
    X, y, theta = (jax.numpy.asarray(part) for part in (problem.X, problem.y, problem.theta))

    def loss(theta, X, y):
        logits = X @ theta[:-1] + theta[-1]
        if problem.binary:
            logits = jax.numpy.hstack([jax.numpy.zeros_like(logits), logits])
        return -jax.numpy.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()

    compiled = jax.jit(jax.value_and_grad(loss))
    return lambda: jax.block_until_ready(compiled(theta, X, y)), list


def is_dense(case):
    return not case.sparse


def is_wide(case):
    return is_dense(case) and case.n_classes >= 100


RIVALS = [
    Rival(OURS, "fastxent.objective", with_fastxent_objective),
    Rival("NumPy", "numpy", with_numpy),
    Rival("scikit-learn", "sklearn.linear_model", with_scikit_learn),
    # Its two pools can get into each other's way.
    Rival(
        "scikit-learn",
        "sklearn.linear_model",
        partial(with_scikit_learn, openmp=1),
        setting="OpenMP one thread",
    ),
    Rival("PyTorch", "torch", with_torch(plain)),
    Rival("PyTorch compiled", "torch", with_torch(plain, compiled=True), suits=is_dense),
    Rival("PyTorch linear_cross_entropy", "torch", with_torch(chunked), suits=is_wide),
    Rival("JAX", "jax", with_jax, suits=is_dense),
]
