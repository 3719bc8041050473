"""What every linear classifier here has: checks of what comes in, prediction by the kernels, coefficients."""

import functools
from contextlib import contextmanager

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import compute_class_weight
from sklearn.utils._param_validation import make_constraint
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import validation
from ..prediction import predict
from . import diagnosis
from .callbacks import CallbackSupportMixin

DTYPES = (np.float64, np.float32)


class LinearClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Logits X W + b by ``coef_`` and ``intercept_``; labels and probabilities from them."""

    def _validate_params(self):
        """Refuse arguments of the wrong kind, in scikit-learn's words; its objects for that are made only once."""
        for name, constraints in constraints_of(type(self)):
            value = getattr(self, name)
            if not any(constraint.is_satisfied_by(value) for constraint in constraints):
                super()._validate_params()

    def _validated(self, X, *y, dtype=DTYPES, reset=True):
        """What scikit-learn's ``validate_data`` makes of X, and of labels y.

        Arrays that it would only look at, and find nothing amiss, are not taken through it: on small data it takes as
        long as the fit.
        """
        X = checked_structure(X)
        if is_ready(X, dtype) and all(is_ready_labels(labels, X.shape[0]) for labels in y):
            if reset:
                self.n_features_in_ = X.shape[1]
                vars(self).pop("feature_names_in_", None)
                return (X, *y) if y else X
            if getattr(self, "n_features_in_", None) == X.shape[1] and not hasattr(self, "feature_names_in_"):
                return (X, *y) if y else X
        return validate_data(self, X, *y, accept_sparse="csr", dtype=dtype, reset=reset)

    def _check_rows(self, X, y, classes=None, reset=True):
        """X as the kernels take it, codes or soft labels, and the classes: those given, or all there are."""
        if has_columns(y):
            X = self._validated(X, reset=reset)
            y = np.asarray(y)
            K = y.shape[1] if classes is None else len(classes)
            target, _ = validation.check_target(y, X.shape[0], K, dtype=X.dtype)
            classes = np.arange(K) if classes is None else classes
        else:
            X, y = self._validated(X, y, reset=reset)
            found = classes_and_codes(y)
            if found is None or len(found[0]) > len(y) // 3:  # few integers are classes without a doubt
                check_classification_targets(y)
            if classes is not None:
                target = codes_of(y, classes, "y", "classes")
            else:
                classes, target = np.unique(y, return_inverse=True) if found is None else found
        if len(classes) < 2:
            raise ValueError(
                "Training needs samples of at least 2 classes in the data, but the data contains only one class: "
                f"{classes.tolist()[0]!r}"
            )
        trouble = diagnosis.unusable_scale(X)
        if trouble is not None:
            raise ValueError(trouble)
        return for_kernels(X), target, classes

    def _check_held_out(self, X, y, classes, dtype, name):
        """Rows that are not trained on, and their codes or soft labels. name: what the caller calls them."""
        X = self._validated(X, dtype=(dtype,), reset=False)
        y = np.asarray(y)
        target = y if has_columns(y) else codes_of(y.ravel(), classes, name, "the training data")
        target, _ = validation.check_target(target, X.shape[0], len(classes), dtype=dtype)
        return for_kernels(X), target

    def _check_eval_set(self, eval_set, classes, dtype):
        """The same for the argument ``eval_set``."""
        try:
            X, y = eval_set
        except (TypeError, ValueError):
            raise ValueError("eval_set must be a pair (X, y) of features and labels.") from None
        return self._check_held_out(X, y, classes, dtype, "eval_set")

    def _check_class_weight(self, classes, target, sample_weight):
        """Class weights as an array, or None."""
        if self.class_weight is None:
            return None
        if isinstance(self.class_weight, str):
            count = _weight_by_class(target, sample_weight, len(classes))
            weights = np.zeros(len(classes))
            present = count > 0
            weights[present] = count.sum() / (present.sum() * count[present])
        else:
            weights = compute_class_weight(self.class_weight, classes=classes, y=classes)
        return validation.check_class_weight(weights, len(classes))

    def _theta(self, dtype):
        """The parameters (d + 1, K) from ``coef_`` and ``intercept_``, which users may have changed."""
        coef = self.coef_.toarray() if sp.issparse(self.coef_) else self.coef_
        theta = np.empty((coef.shape[1] + 1, coef.shape[0]), dtype=dtype)
        theta[:-1] = coef.T
        theta[-1] = self.intercept_
        return theta

    def _predict(self, X, output):
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        dtype = np.result_type(X.dtype, self.coef_.dtype)
        X = for_kernels(X.astype(dtype, copy=False))
        return predict(X, self._theta(dtype), output, n_threads=validation.check_n_threads(self.n_threads))

    def decision_function(self, X):
        """Logits X W + b of shape (n, K); for two classes (n,), positive if ``classes_[1]`` is likelier."""
        return self._predict(X, "logits")

    def predict_proba(self, X):
        """Probabilities of shape (n, K), in the order of ``classes_``."""
        return self._predict(X, "proba")

    def predict_log_proba(self, X):
        """Logarithms of the probabilities, exact where a probability is too small to be a number."""
        return self._predict(X, "log_proba")

    def predict(self, X):
        """The likeliest label of each row, of shape (n,)."""
        logits = self.decision_function(X)
        best = (logits > 0).astype(np.intp) if logits.ndim == 1 else logits.argmax(axis=1)
        return self.classes_[best]

    def sparsify(self):
        """Store ``coef_`` as a CSR matrix, which L1 can make much smaller; prediction goes on as before."""
        check_is_fitted(self)
        self.coef_ = sp.csr_matrix(self.coef_)
        return self

    def densify(self):
        """Store ``coef_`` as an array, as it is after ``fit``."""
        check_is_fitted(self)
        if sp.issparse(self.coef_):
            self.coef_ = self.coef_.toarray()
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


@functools.cache
def constraints_of(estimator):
    """Pairs of an argument's name and what it may be, made of the class's ``_parameter_constraints``."""
    declared = estimator._parameter_constraints
    return [
        (name, [make_constraint(constraint) for constraint in declared[name]])
        for name in estimator._get_param_names()
        if declared.get(name, "no_validation") != "no_validation"
    ]


def is_ready(X, dtypes):
    """Whether X is a finite array of one of the dtypes, or a CSR matrix of them that `checked_structure` has seen."""
    if sp.issparse(X):
        return X.dtype in dtypes
    plain = type(X) is np.ndarray and X.ndim == 2 and X.size > 0 and X.dtype in dtypes and X.flags.aligned
    return plain and validation.is_finite(X)


def is_ready_labels(y, n_rows):
    """Whether y is one whole number, or truth value, for each row."""
    return type(y) is np.ndarray and y.shape == (n_rows,) and y.dtype.kind in "iub"


@contextmanager
def restored_on_failure(estimator):
    """Take back what a fit learned (names ending in an underscore) if it does not end well."""
    before = {name: value for name, value in vars(estimator).items() if name.endswith("_")}
    try:
        yield
    except BaseException:
        for name in [name for name in vars(estimator) if name.endswith("_")]:
            del vars(estimator)[name]
        vars(estimator).update(before)
        raise


def has_columns(y):
    """Whether y is soft labels: two-dimensional, with more than one column."""
    if not hasattr(y, "ndim"):
        try:
            y = np.asarray(y)
        except ValueError:
            return False
    return y.ndim == 2 and y.shape[1] > 1 and not sp.issparse(y)


def classes_and_codes(y):
    """What np.unique gives for whole numbers that lie close together, which need no sorting; else None."""
    if y.dtype.kind not in "iu" or y.ndim != 1:
        return None
    low, high = int(y.min()), int(y.max())
    if high - low > 2 * len(y) + 1000 or high > np.iinfo(np.intp).max:
        return None
    place = np.ascontiguousarray(y, np.intp) - low if low else np.ascontiguousarray(y, np.intp)
    if high - low <= 1:  # then both are there
        return np.array(range(low, high + 1), y.dtype), place
    present = np.bincount(place) > 0
    classes = np.flatnonzero(present)
    if len(classes) < len(present):
        place = (np.cumsum(present) - 1)[place]
    return (classes + low).astype(y.dtype), place


def codes_of(y, classes, name, known):
    """Places of labels in the sorted classes; refused if one is not there."""
    unknown = ~np.isin(y, classes)
    if unknown.any():
        i = int(np.argmax(unknown))
        raise ValueError(
            f"{name} has the label {y.tolist()[i]!r} (row {i}), which is not among those of {known}."
        )
    return np.searchsorted(classes, y)


def checked_structure(X):
    """Refuse a corrupt sparse matrix before anyone indexes by it; all other checks are scikit-learn's."""
    return validation.check_rows(X) if sp.issparse(X) else X


def for_kernels(X):
    """A dense array aligned and contiguous in one of the two orders."""
    if sp.issparse(X) or (X.flags.aligned and (X.flags.c_contiguous or X.flags.f_contiguous)):
        return X
    return np.array(X, order="C")


def _weight_by_class(target, sample_weight, n_classes):
    if target.ndim == 1:
        return np.bincount(target, weights=sample_weight, minlength=n_classes).astype(np.float64)
    return target.sum(axis=0, dtype=np.float64) if sample_weight is None else sample_weight @ target
