"""The task of predictions: the class probabilities of all rows of a linear softmax model."""

import importlib

import numpy as np

from rivals import OURS, Rival

SCIKIT_LEARN, INTEL = "sklearn.linear_model", "sklearnex.linear_model"


def one_array(result):
    return [np.asarray(result)]


def with_fastxent(problem, threads):
    from fastxent.prediction import predict

    return lambda: predict(problem.X, problem.theta, "proba", n_threads=threads), one_array


def with_numpy(problem, threads):
    from scipy.special import expit

    X, theta = problem.X, problem.theta

    def multinomial():
        probabilities = X @ theta[:-1]
        probabilities += theta[-1]
        probabilities -= probabilities.max(axis=1, keepdims=True)
        np.exp(probabilities, out=probabilities)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return probabilities

    def binary():
        second = expit(X @ theta[:-1, 0] + theta[-1, 0])
        return np.stack([1 - second, second], axis=1)

    return (binary if problem.binary else multinomial), one_array


def with_scikit_learn(module):
    """scikit-learn's class, or that of an extension."""

    def build(problem, threads):
        model = importlib.import_module(module).LogisticRegression()
        model.classes_, model.n_features_in_ = np.arange(problem.n_classes), problem.X.shape[1]
        model.coef_, model.intercept_ = np.ascontiguousarray(problem.theta[:-1].T), problem.theta[-1]
        return lambda: model.predict_proba(problem.X), one_array

    return build


def with_torch(problem, threads):
    import torch

    from loss_gradient import torch_tensors

    torch.set_num_threads(threads)
    X, _, weights, bias = torch_tensors(problem)

    def call():
        with torch.inference_mode():
            logits = X @ weights + bias if problem.sparse else torch.nn.functional.linear(X, weights, bias)
            if problem.binary:
                logits = torch.cat([torch.zeros_like(logits), logits], 1)
            return torch.softmax(logits, 1)

    return call, one_array


def with_jax(problem, threads):
    import jax

    jax.config.update("jax_enable_x64", problem.X.dtype == np.float64)
    X, theta = jax.numpy.asarray(problem.X), jax.numpy.asarray(problem.theta)
    compiled = jax.jit(lambda theta, X: jax.nn.softmax(X @ theta[:-1] + theta[-1]))
    return lambda: jax.block_until_ready(compiled(theta, X)), one_array


RIVALS = [
    Rival(OURS, "fastxent.prediction", with_fastxent),
    Rival("NumPy", "numpy", with_numpy),
    Rival("scikit-learn", SCIKIT_LEARN, with_scikit_learn(SCIKIT_LEARN)),
    Rival("scikit-learn-intelex", INTEL, with_scikit_learn(INTEL), suits=lambda case: not case.sparse),
    Rival("PyTorch", "torch", with_torch),
    Rival("JAX", "jax", with_jax, suits=lambda case: not (case.sparse or case.binary)),
]
