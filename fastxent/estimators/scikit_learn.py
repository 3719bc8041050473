"""The classes of scikit-learn that ours inherit from. It has no annotations: scikit_learn.pyi has some."""

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model._base import LinearClassifierMixin

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn has no such protocol before 1.9

    class CallbackSupportMixin:
        """Stands in for the protocol where scikit-learn does not have it."""

        def _init_callback_context(self, **unused):
            return None


__all__ = ["BaseEstimator", "CallbackSupportMixin", "ClassifierMixin", "LinearClassifierMixin"]
