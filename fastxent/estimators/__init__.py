"""Estimators in scikit-learn's idiom; the only part of the package that imports scikit-learn."""
