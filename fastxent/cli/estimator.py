"""From arguments of ``fit`` to estimators and vectorisers."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

import fastxent
from fastxent.readers.batch import DataError
from fastxent.readers.stream import shown

from .arguments import UsageError

if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ..estimators.logistic_regression import LogisticRegression
    from ..estimators.logistic_regression_cv import LogisticRegressionCV
    from ..estimators.sgd_classifier import SGDClassifier
    from .data import Rows
    from .labels import Classes


def vectorized(arguments: argparse.Namespace, rows: Rows, test: Any) -> Any:
    """Turn the texts of rows into numbers. Returns the vectoriser."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer

    options = {"ngram_range": (1, arguments.word_ngrams or 1)}
    if arguments.char_ngrams is not None:
        options = {"analyzer": "char_wb", "ngram_range": arguments.char_ngrams}
    if arguments.hashing is not None:
        vectorizer = HashingVectorizer(n_features=2**arguments.hashing, **options)
    else:
        vectorizer = TfidfVectorizer(min_df=arguments.min_count or 1, **options)
    try:
        rows.X = vectorizer.fit_transform(rows.X)
    except ValueError as error:
        raise DataError(shown(rows.path), None, f"its texts have no words to learn from: {error}") from None
    if test is not None:
        test.X = vectorizer.transform(test.X)
    return vectorizer


def _penalty(arguments: argparse.Namespace) -> dict[str, Any]:
    ratio = {"l1": 1.0, "elasticnet": 0.5 if arguments.l1_ratio is None else arguments.l1_ratio}
    C = math.inf if arguments.penalty == "none" else 1.0 if arguments.C is None else arguments.C
    return {"C": C, "l1_ratio": ratio.get(arguments.penalty, 0.0)}


def _common(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "solver": arguments.solver or "auto",
        "tol": 1e-4 if arguments.tol is None else arguments.tol,
        "fit_intercept": not arguments.no_intercept,
        "random_state": arguments.seed,
        "n_threads": arguments.threads,
    }


def estimator(
    arguments: argparse.Namespace, rows: Rows, classes: Classes
) -> LogisticRegression | LogisticRegressionCV | SGDClassifier:
    weights = arguments.class_weight
    if isinstance(weights, dict):
        weights = {classes.value(label): weight for label, weight in weights.items()}
    penalty = _penalty(arguments)
    if arguments.sgd:
        total = rows.X.shape[0] if rows.weight is None else rows.weight.sum()
        tol = 1e-3 if arguments.tol is None else arguments.tol
        return fastxent.SGDClassifier(
            penalty="elasticnet",
            alpha=float(1.0 / (penalty["C"] * total)),
            l1_ratio=penalty["l1_ratio"],
            max_iter=arguments.epochs or 1000,
            tol=None if arguments.epochs and arguments.tol is None else tol,
            batch_size=arguments.batch_size or 1,
            fit_intercept=not arguments.no_intercept,
            class_weight=weights,
            random_state=arguments.seed,
            n_threads=arguments.threads,
            checkpoint=arguments.checkpoint,
        )
    common = {**_common(arguments), "class_weight": weights, "max_iter": arguments.max_iter or 1000}
    if arguments.cv is not None:
        return fastxent.LogisticRegressionCV(
            l1_ratios=(penalty["l1_ratio"],), cv=arguments.cv, use_legacy_attributes=False, **common
        )
    return fastxent.LogisticRegression(**penalty, **common, checkpoint=arguments.checkpoint)


def try_out(arguments: argparse.Namespace, n_classes: int, is_sparse: bool) -> None:
    """Fit one row per class: whether a solver supports a penalty does not depend on the rows."""
    if arguments.sgd:
        return
    model = fastxent.LogisticRegression(**_common(arguments), **_penalty(arguments), max_iter=1)
    n = min(n_classes, 3)
    X = np.eye(n)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(sp.csr_matrix(X) if is_sparse else X, np.arange(n))
    except ValueError as error:
        raise UsageError(str(error)) from None
