"""The task of second-order solvers: the Hessian of the mean cross-entropy times a direction (d + 1, K).

NumPy and scikit-learn keep the n x K probabilities from one product to the next, as their users do.
"""

import numpy as np

from objectives import objective_of
from rivals import OURS, Rival, settings_of_scikit_learn


def with_fastxent(problem, threads):
    objective = objective_of(
        problem.X, problem.y, problem.n_classes, binary=problem.binary, n_threads=threads
    )
    return lambda: objective.hessp(problem.theta, problem.direction), lambda product: [product]


def with_numpy(problem, threads):
    from scipy.special import expit, softmax

    X, theta, direction = problem.X, problem.theta, problem.direction
    logits = X @ theta[:-1] + theta[-1]
    probabilities = expit(logits) if problem.binary else softmax(logits, axis=1)

    def call():
        rates = X @ direction[:-1]
        rates += direction[-1]
        if problem.binary:
            rates *= 1 - probabilities
        else:
            rates -= np.einsum("ij,ij->i", probabilities, rates)[:, None]
        rates *= probabilities
        rates /= X.shape[0]
        product = np.empty_like(theta)
        product[:-1] = X.T @ rates
        product[-1] = rates.sum(axis=0)
        return product

    return call, lambda product: [product]


def with_scikit_learn(problem, threads):
    from sklearn._loss.loss import HalfBinomialLoss, HalfMultinomialLoss
    from sklearn.linear_model._linear_loss import LinearModelLoss

    of_rows = HalfBinomialLoss() if problem.binary else HalfMultinomialLoss(n_classes=problem.n_classes)
    loss = LinearModelLoss(base_loss=of_rows, fit_intercept=True)
    coef = problem.theta[:, 0].copy() if problem.binary else problem.theta.T
    y = problem.y.astype(problem.X.dtype)
    _, product = loss.gradient_hessian_product(coef, problem.X, y, n_threads=threads)
    direction = (
        problem.direction.ravel()
    )  # of the transpose in Fortran order, as scikit-learn's solvers hold it
    return lambda: product(direction), lambda result: [result.reshape(-1, 1) if problem.binary else result.T]


RIVALS = [
    Rival(OURS, "fastxent.objective", with_fastxent),
    Rival("NumPy", "numpy", with_numpy, setting="all threads"),
    Rival("NumPy", "numpy", with_numpy, setting="one thread", blas=1),
    *settings_of_scikit_learn("scikit-learn", "sklearn.linear_model", with_scikit_learn),
]
