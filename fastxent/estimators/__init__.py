"""Estimators in scikit-learn's idiom; the only part of the package that imports scikit-learn."""

from .logistic_path import LogisticPath, logistic_path
from .logistic_regression import LogisticRegression
from .logistic_regression_cv import LogisticRegressionCV
from .sgd_classifier import SGDClassifier

__all__ = ["LogisticPath", "LogisticRegression", "LogisticRegressionCV", "SGDClassifier", "logistic_path"]
