"""Classes in scikit-learn's idiom: predict_proba, fits to the optimum, epochs of an SGDClassifier."""

import importlib
from functools import partial

import numpy as np

SCIKIT_LEARN, INTEL = "sklearn.linear_model", "sklearnex.linear_model"
TINY = 1e-15  # a tolerance that never stops anybody: then the iterations do
ALPHA = 1e-6  # strength of the L2 penalty of a descent: little enough to fit a text well


def class_of(module, name):
    return getattr(importlib.import_module(module), name)


def fitted(module, problem, **how):
    """Return a module's LogisticRegression with the problem's model, as a fit leaves it."""
    model = class_of(module, "LogisticRegression")(**how)
    model.classes_, model.n_features_in_ = np.arange(problem.n_classes), problem.X.shape[1]
    model.coef_, model.intercept_ = np.ascontiguousarray(problem.theta[:-1].T), problem.theta[-1].copy()
    return model


def probabilities(problem, threads, module):
    how = {"n_threads": threads} if module == "fastxent" else {}
    return partial(fitted(module, problem, **how).predict_proba, problem.X)


def as_they_are(problem):
    return problem.X, problem.y


def by_columns(problem):
    return problem.X.tocsc(), problem.signs


def in_float32(problem):
    return problem.X.astype(np.float32), problem.signs


def penalties(problem):
    return {"C": problem.C, "l1_ratio": problem.l1_ratio}


def cyanure_s(problem):
    kind = "elastic-net" if problem.l1 and problem.l2 else "l1" if problem.l1 else "l2"
    strengths = {"lambda_1": problem.l1 or problem.l2, "lambda_2": problem.l2 if problem.l1 else 0.0}
    loss = "logistic" if problem.binary else "multiclass-logistic"
    return {"loss": loss, "penalty": kind, "fit_intercept": True, "verbose": False, **strengths}


def snapml_s(problem):
    return {"regularizer": 1 / problem.C, "dual": True, "fit_intercept": True, "random_state": 0}


ESTIMATORS = {  # by module: the class, what it is told about a problem, its word for threads, how it wants the rows
    "fastxent": ("LogisticRegression", penalties, "n_threads", as_they_are),
    SCIKIT_LEARN: ("LogisticRegression", lambda p: penalties(p) | {"random_state": 0}, None, as_they_are),
    INTEL: ("LogisticRegression", lambda p: {"C": p.C}, "n_jobs", as_they_are),
    "cyanure.estimators": ("Classifier", cyanure_s, "n_threads", as_they_are),
    "snapml": ("LogisticRegression", snapml_s, "n_jobs", in_float32),
    "skglm": ("SparseLogisticRegression", lambda p: {"alpha": p.l1}, None, by_columns),
    "celer": ("LogisticRegression", lambda p: {"C": p.C}, None, by_columns),
}


def train(problem, threads, module, **solver):
    """Return ``fit(iterations)``, which gives coef (K, d), or (1, d), and intercept."""
    name, told, word, rows = ESTIMATORS[module]
    # Ours is not smaller, because "auto" and "lbfgs" go over to another solver for tighter tolerances.
    how = {"tol": 1e-7 if module == "fastxent" else TINY, **told(problem), **solver}
    how |= {word: threads} if word else {}
    make, (X, y) = class_of(module, name), rows(problem)

    def fit(iterations):
        model = make(max_iter=iterations, **how).fit(X, y)
        coef, intercept = np.atleast_2d(model.coef_), np.ravel(model.intercept_)
        return (coef if len(coef) == max(1, len(intercept)) else coef.T), intercept

    return fit


def train_to_tolerance(problem, threads):
    """Return ``fit(tol)`` of our own choice, which stops by itself."""
    make = class_of("fastxent", "LogisticRegression")

    def fit(tol):
        model = make(tol=tol, max_iter=10_000, n_threads=threads, **penalties(problem)).fit(
            problem.X, problem.y
        )
        return model.coef_, model.intercept_

    return fit


def descend(problem, threads, module, **how):
    """Return ``fit(epochs)``; scikit-learn's has a logistic model for each class, and scales their probabilities."""
    make = class_of(module, "SGDClassifier")
    words = {"n_threads": threads} if module == "fastxent" else {"n_jobs": threads, "loss": "log_loss"}
    how = {"alpha": ALPHA, "tol": None, "random_state": 0, **words, **how}

    def fit(epochs):
        return partial(
            make(max_iter=epochs, **how).fit(problem.X, problem.y).predict_proba, problem.held_out[0]
        )

    return fit
