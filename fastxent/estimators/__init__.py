"""Estimators in scikit-learn's idiom; the only part of the package that imports scikit-learn."""

from .logistic_regression import LogisticRegression
from .sgd_classifier import SGDClassifier

__all__ = ["LogisticRegression", "SGDClassifier"]
