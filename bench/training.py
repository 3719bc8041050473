"""Training to the end: seconds, and what was reached for them.

Every trainer minimises the same F = mean loss + ||W||^2 / (2 C n); a plain float64 function evaluates F and
its gradient at what each returns, so that nobody's own stopping rule decides who was precise.
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
REPEAT_SECONDS = 1.0  # shorter fits are repeated, and the median counts


@dataclass(frozen=True)
class Training:
    """A problem to train on; ``make(part, dtype)`` returns X, y of the parts "train" and "test"."""

    name: str
    n_classes: int
    make: Callable
    C: float = 1.0
    dtype: type = F64
    sparse: bool = False
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
    Training("digits, 10 classes", 10, digits, quick=True),
    Training("Fashion-MNIST, 10 classes", 10, fashion, dtype=F32, tolerances=(1e-2, 1e-4)),
    Training("WordNet glosses, 45 classes", 45, glosses, sparse=True, tolerances=(1e-2, 1e-4)),
    Training("WordNet glosses, binary", 2, nouns, sparse=True, quick=True),
]


def with_fastxent(training, n_rows, tol, n_threads):
    from fastxent import LogisticRegression

    return LogisticRegression(C=training.C, tol=tol, max_iter=MAX_ITER, n_threads=n_threads)


def with_scikit_learn(training, n_rows, tol, n_threads):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=training.C, tol=tol, max_iter=MAX_ITER)


def with_scikit_learn_saga(training, n_rows, tol, n_threads):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=training.C, tol=tol, max_iter=MAX_ITER // 10, solver="saga", random_state=0)


def with_intel_extension(training, n_rows, tol, n_threads):
    from sklearnex.linear_model import LogisticRegression

    return LogisticRegression(C=training.C, tol=tol, max_iter=MAX_ITER)


def with_cyanure(training, n_rows, tol, n_threads):
    from cyanure.estimators import Classifier

    return Classifier(
        loss="multiclass-logistic" if training.n_classes > 2 else "logistic",
        penalty="l2",
        lambda_1=1 / (training.C * n_rows),
        fit_intercept=True,
        tol=tol,
        max_iter=MAX_ITER,
        n_threads=n_threads,
        verbose=False,
    )


# Here ``build(training, n_rows, tol, n_threads)`` returns an estimator.
TRAINERS = [
    Rival(OURS, "fastxent", with_fastxent),
    Rival("scikit-learn lbfgs", "sklearn.linear_model", with_scikit_learn, setting="all pools"),
    Rival(
        "scikit-learn lbfgs",
        "sklearn.linear_model",
        with_scikit_learn,
        setting="one thread",
        openmp=1,
        blas=1,
    ),
    Rival(
        "scikit-learn saga",
        "sklearn.linear_model",
        with_scikit_learn_saga,
        suits=lambda training: training.sparse,
    ),
    Rival(
        "scikit-learn-intelex",
        "sklearnex.linear_model",
        with_intel_extension,
        suits=lambda training: not training.sparse,
    ),
    Rival("Cyanure", "cyanure", with_cyanure),
]


def objective(model, X, y, C):
    """Return F and the largest entry of its gradient at a fitted model, in float64."""
    coef, intercept = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
    if coef.shape[0] != intercept.size:
        coef = coef.T  # as Cyanure keeps it
    theta = np.vstack([coef.T, intercept]).astype(F64)
    problem = Problem(X.astype(F64, copy=False), y, theta, n_classes=int(y.max()) + 1)
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


def fit(trainer, training, tol, n_threads, X, y):
    """Return a fitted model."""
    with trainer.threads(n_threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged within MAX_ITER: the objective reached tells
        return trainer.build(training, X.shape[0], tol, n_threads).fit(X, y)


def judge(model, training, train_part, test_part):
    """Return what a fitted model has reached."""
    reached, gradient = objective(model, *train_part, training.C)
    log_loss, accuracy = held_out(model, *test_part)
    return {
        "iterations": int(np.max(model.n_iter_)),
        "objective": float(reached),
        "gradient": float(gradient),
        "log_loss": float(log_loss),
        "accuracy": float(accuracy),
    }


def compare(training, trainers, n_threads, log):
    """Train at every tolerance; return records, with each one's excess over the best F found."""
    parts = [training.make(part, training.dtype) for part in ("train", "test")]
    records = []
    for tol in training.tolerances:
        for trainer in trainers:
            if not trainer.suits(training):
                continue
            try:
                seconds = []
                while not seconds or (sum(seconds) < REPEAT_SECONDS and len(seconds) < 5):
                    start = time.perf_counter()
                    model = fit(trainer, training, tol, n_threads, *parts[0])
                    seconds.append(time.perf_counter() - start)
                reached = judge(model, training, *parts)
            except Exception as fault:
                log(f"    {trainer.label}: {type(fault).__name__}: {fault}")
                continue
            who = {"training": training.name, "trainer": trainer.name, "setting": trainer.setting}
            records.append(
                who | {"threads": n_threads, "tol": tol, "seconds": float(np.median(seconds))} | reached
            )
            found = f"{np.median(seconds):8.2f} s  F {reached['objective']:.9f}"
            log(f"    {trainer.label:32} tol {tol:.0e} {found}")
    best = min((record["objective"] for record in records), default=0.0)
    for record in records:
        record["excess"] = record["objective"] / best - 1
    return records
