"""Classes in scikit-learn's idiom: predict_proba, fits to the optimum, epochs of an SGDClassifier."""

import importlib
from functools import partial

import numpy as np

from rivals import INTEL, SCIKIT_LEARN

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


def cyanure_s(problem):
    kind = "elastic-net" if problem.l1 and problem.l2 else "l1" if problem.l1 else "l2"
    strengths = {"lambda_1": problem.l1 or problem.l2, "lambda_2": problem.l2 if problem.l1 else 0.0}
    loss = "logistic" if problem.binary else "multiclass-logistic"
    return {"loss": loss, "penalty": kind, "fit_intercept": True, "verbose": False, **strengths}


def options(module, p, threads):
    """Return the name of a module's class, and what it is told about a problem."""
    both = {"C": p.C, "l1_ratio": p.l1_ratio}
    dual = {"regularizer": 1 / p.C, "dual": True, "fit_intercept": True}
    return {
        # Its tol is not smaller, because "auto" and "lbfgs" go over to another solver for tighter tolerances.
        "fastxent": ("LogisticRegression", {**both, "tol": 1e-7, "n_threads": threads}),
        SCIKIT_LEARN: ("LogisticRegression", {**both, "random_state": 0}),
        INTEL: ("LogisticRegression", {"C": p.C, "n_jobs": threads}),
        "cyanure.estimators": ("Classifier", {**cyanure_s(p), "n_threads": threads}),
        "snapml": ("LogisticRegression", {**dual, "random_state": 0, "n_jobs": threads}),
        "skglm": ("SparseLogisticRegression", {"alpha": p.l1}),
        "celer": ("LogisticRegression", {"C": p.C}),
    }[module]


def train(problem, threads, module, effort="max_iter", **more):
    """Return ``fit(effort)``, which gives coef (K, d), or (1, d), and intercept."""
    name, told = options(module, problem, threads)
    make, how = class_of(module, name), {"tol": TINY, **told, **more}
    X, y = problem.X, problem.y
    if module == "snapml":
        X, y = X.astype(np.float32), problem.signs
    elif module in ("skglm", "celer"):
        X, y = X.tocsc(), problem.signs

    def fit(value):
        model = make(**how | {effort: value}).fit(X, y)
        coef, intercept = np.atleast_2d(model.coef_), np.ravel(model.intercept_)
        return (coef if len(coef) == max(1, len(intercept)) else coef.T), intercept

    return fit


def descend(problem, threads, module, **how):
    """Return ``fit(epochs)``; scikit-learn's has a logistic model for each class, and scales their probabilities."""
    make = class_of(module, "SGDClassifier")
    words = {"n_threads": threads} if module == "fastxent" else {"n_jobs": threads, "loss": "log_loss"}
    how = {"alpha": ALPHA, "tol": None, "random_state": 0, **words, **how}

    def fit(epochs):
        model = make(max_iter=epochs, **how).fit(problem.X, problem.y)
        return partial(model.predict_proba, problem.held_out[0])

    return fit
