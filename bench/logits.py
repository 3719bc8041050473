"""Tasks that stop at the logits: softmax and logsumexp of given rows, class probabilities of a model."""

import numpy as np

from cases import F32, Case, dense
from rivals import OURS, Rival, settings_of_scikit_learn

# For softmax and logsumexp the rows of X are the logits themselves.
CASES = [
    Case("1,000,000 x 10", 2, dense(1_000_000, 10)),
    Case("100,000 x 10", 2, dense(100_000, 10), quick=True),
    Case("20,000 x 1,000", 2, dense(20_000, 1_000)),
    Case("1,000 x 32,000", 2, dense(1_000, 32_000), dtypes=(F32,)),
    Case("150 x 3", 2, dense(150, 3), quick=True),
]


def one_array(result):
    return [np.asarray(result)]


def softmax_with_fastxent(problem, threads):
    import fastxent

    return lambda: fastxent.softmax(problem.X, n_threads=threads), one_array


def softmax_with_numpy(problem, threads):
    logits = problem.X

    def call():
        probabilities = logits - logits.max(axis=1, keepdims=True)
        np.exp(probabilities, out=probabilities)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return probabilities

    return call, one_array


def softmax_with_scipy(problem, threads):
    from scipy.special import softmax

    return lambda: softmax(problem.X, axis=1), one_array


def softmax_with_torch(problem, threads):
    import torch

    logits = torch.from_numpy(problem.X)
    return lambda: torch.softmax(logits, 1), one_array


def logsumexp_with_fastxent(problem, threads):
    import fastxent

    return lambda: fastxent.logsumexp(problem.X, n_threads=threads), one_array


def logsumexp_with_numpy(problem, threads):
    logits = problem.X

    def call():
        largest = logits.max(axis=1)
        shifted = logits - largest[:, None]
        return largest + np.log(np.exp(shifted, out=shifted).sum(axis=1))

    return call, one_array


def logsumexp_with_scipy(problem, threads):
    from scipy.special import logsumexp

    return lambda: logsumexp(problem.X, axis=1), one_array


def logsumexp_with_torch(problem, threads):
    import torch

    logits = torch.from_numpy(problem.X)
    return lambda: torch.logsumexp(logits, 1), one_array


def probabilities_with_fastxent(problem, threads):
    from fastxent.prediction import predict

    return lambda: predict(problem.X, problem.theta, "proba", n_threads=threads), one_array


def probabilities_with_numpy(problem, threads):
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


def probabilities_with_scikit_learn(problem, threads):
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression()
    model.classes_ = np.arange(problem.n_classes)
    model.coef_, model.intercept_ = np.ascontiguousarray(problem.theta[:-1].T), problem.theta[-1]
    return lambda: model.predict_proba(problem.X), one_array


def probabilities_with_torch(problem, threads):
    import torch

    from loss_gradient import torch_tensors

    X, _, weights, bias = torch_tensors(problem)

    def call():
        with torch.inference_mode():
            logits = X @ weights + bias if problem.sparse else torch.nn.functional.linear(X, weights, bias)
            if problem.binary:
                logits = torch.cat([torch.zeros_like(logits), logits], 1)
            return torch.softmax(logits, 1)

    return call, one_array


SOFTMAX = [
    Rival(OURS, "fastxent.functional", softmax_with_fastxent),
    Rival("NumPy", "numpy", softmax_with_numpy),
    Rival("SciPy", "scipy.special", softmax_with_scipy),
    Rival("PyTorch", "torch", softmax_with_torch, setting="all threads"),
    Rival("PyTorch", "torch", softmax_with_torch, setting="one thread", openmp=1),
]
LOGSUMEXP = [
    Rival(OURS, "fastxent.functional", logsumexp_with_fastxent),
    Rival("NumPy", "numpy", logsumexp_with_numpy),
    Rival("SciPy", "scipy.special", logsumexp_with_scipy),
    Rival("PyTorch", "torch", logsumexp_with_torch, setting="all threads"),
    Rival("PyTorch", "torch", logsumexp_with_torch, setting="one thread", openmp=1),
]
PROBABILITIES = [
    Rival(OURS, "fastxent.prediction", probabilities_with_fastxent),
    Rival("NumPy", "numpy", probabilities_with_numpy, setting="all threads"),
    Rival("NumPy", "numpy", probabilities_with_numpy, setting="one thread", blas=1),
    *settings_of_scikit_learn("scikit-learn", "sklearn.linear_model", probabilities_with_scikit_learn),
    Rival("PyTorch", "torch", probabilities_with_torch, setting="all threads"),
    Rival("PyTorch", "torch", probabilities_with_torch, setting="one thread", openmp=1),
]
