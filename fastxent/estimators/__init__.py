"""Estimators in scikit-learn's idiom; the only part of the package that imports scikit-learn."""

from .logistic_regression import LogisticRegression

__all__ = ["LogisticRegression"]
