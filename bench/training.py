"""Training to the end: seconds, and what was reached for them.

Every trainer minimises the same F = mean loss + ||W||^2 / (2 C n); a plain float64 function evaluates F and its
gradient at what each returns, so that nobody's own stopping rule decides who was precise.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

import data
from cases import F32, F64, Problem
from loss_gradient import with_numpy
from rivals import OURS, Rival

TOLERANCES = (1e-2, 1e-4, 1e-6)
MAX_ITER = 300


@dataclass(frozen=True)
class Training:
    """A problem to train on; ``make(part, dtype)`` returns X, y of the parts "train" and "test"."""

    name: str
    make: Callable
    C: float
    dtype: type = F64
    quick: bool = False
    tolerances: tuple = TOLERANCES


def digits(part, dtype):
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    rows = slice(0, 1_400) if part == "train" else slice(1_400, None)
    return (X[rows] / 16).astype(dtype), y[rows]


def fashion(part, dtype):
    return data.fashion(dtype, part)


def glosses(part, dtype):
    return data.glosses(dtype, "words", part)


def nouns(part, dtype):
    """The same glosses, two classes: is it a thing (the first half of the lexicographer files) or not."""
    X, y = data.glosses(dtype, "words", part)
    return X, (y > 22).astype(np.intp)


TRAININGS = [
    Training("digits, 10 classes", digits, C=1.0, quick=True),
    Training("Fashion-MNIST, 10 classes", fashion, C=1.0, dtype=F32, tolerances=(1e-2, 1e-4)),
    Training("WordNet glosses, 45 classes", glosses, C=1.0, tolerances=(1e-2, 1e-4)),
    Training("WordNet glosses, binary", nouns, C=1.0, quick=True),
]


def with_fastxent(C, tol, n_threads):
    from fastxent import LogisticRegression

    return LogisticRegression(C=C, tol=tol, max_iter=MAX_ITER, n_threads=n_threads)


def with_scikit_learn(C, tol, n_threads):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, tol=tol, max_iter=MAX_ITER)


def with_scikit_learn_saga(C, tol, n_threads):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, tol=tol, max_iter=MAX_ITER // 10, solver="saga", random_state=0)


def with_intel_extension(C, tol, n_threads):
    from sklearnex.linear_model import LogisticRegression

    return LogisticRegression(C=C, tol=tol, max_iter=MAX_ITER)


# Here ``build(C, tol, n_threads)`` returns an estimator. scikit-learn's pools: one thread each is its best setting
# on dense rows, and makes no difference on sparse ones.
TRAINERS = [
    Rival(OURS, "fastxent", with_fastxent),
    Rival("scikit-learn lbfgs", "sklearn.linear_model", with_scikit_learn, setting="all pools"),
    Rival("scikit-learn lbfgs", "sklearn.linear_model", with_scikit_learn, setting="one thread", openmp=1, blas=1),
    Rival(
        "scikit-learn saga",
        "sklearn.linear_model",
        with_scikit_learn_saga,
        suits=lambda training: training.name.startswith("WordNet"),
    ),
    Rival(
        "scikit-learn-intelex",
        "sklearnex.linear_model",
        with_intel_extension,
        suits=lambda training: not training.name.startswith("WordNet"),
    ),
]


def objective(model, X, y, C):
    """Return F and the largest entry of its gradient at a fitted model, in float64."""
    binary = model.coef_.shape[0] == 1
    theta = np.vstack([model.coef_.T, model.intercept_[None, :]]).astype(F64)
    problem = Problem(X.astype(F64), y, theta, n_classes=int(y.max()) + 1)
    assert binary == problem.binary
    loss, gradient = with_numpy(problem, 1)[0]()
    l2 = 1 / (C * X.shape[0])
    gradient[:-1] += l2 * theta[:-1]
    return loss + l2 / 2 * np.sum(theta[:-1] ** 2), np.abs(gradient).max()


def held_out(model, X, y):
    """Return the log loss and the accuracy on rows not trained on, from the model's decision values."""
    logits = np.asarray(model.decision_function(X), dtype=F64)
    if logits.ndim == 1:
        logits = np.stack([np.zeros_like(logits), logits], axis=1)
    log_probabilities = log_softmax(logits, axis=1)
    return -log_probabilities[np.arange(len(y)), y].mean(), np.mean(logits.argmax(axis=1) == y)


def train(trainer, training, tol, n_threads, parts):
    """Fit once; return seconds, and what was reached."""
    (X, y), (X_test, y_test) = parts
    with trainer.threads(n_threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged within MAX_ITER: the objective reached tells
        model = trainer.build(training.C, tol, n_threads)
        start = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - start
    reached, gradient = objective(model, X, y, training.C)
    log_loss, accuracy = held_out(model, X_test, y_test)
    return {
        "trainer": trainer.name,
        "setting": trainer.setting,
        "tol": tol,
        "seconds": seconds,
        "iterations": int(np.max(model.n_iter_)),
        "objective": float(reached),
        "gradient": float(gradient),
        "log_loss": float(log_loss),
        "accuracy": float(accuracy),
    }


def compare(training, n_threads, log):
    """Train with everybody at every tolerance; return the records with the excess over the best objective found."""
    parts = [training.make(part, training.dtype) for part in ("train", "test")]
    records = []
    for tol in training.tolerances:
        for trainer in TRAINERS:
            if not (trainer.installed() and trainer.suits(training)):
                continue
            try:
                record = train(trainer, training, tol, n_threads, parts)
            except Exception as fault:
                log(f"    {trainer.label}: {type(fault).__name__}: {fault}")
                continue
            records.append({"training": training.name, "threads": n_threads} | record)
            log(f"    {trainer.label:32} tol {tol:.0e} {record['seconds']:8.2f} s  F {record['objective']:.9f}")
    best = min((record["objective"] for record in records), default=0.0)
    for record in records:
        record["excess"] = record["objective"] / best - 1
    return records
