"""The base class of all linear classifiers: checks of the input, prediction by the kernels, coefficients."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from numbers import Integral, Real
from typing import TYPE_CHECKING, TypeVar, overload

import numpy as np
import scipy.sparse as sp
from sklearn.base import _fit_context
from sklearn.utils._param_validation import make_constraint
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

import fastxent

from .. import record, sparse, validation, versions
from ..arrays import FLOATS, as_native, check_finite, check_memory, is_finite, is_sparse, plain_array, shown
from ..prediction import evaluate
from ..predictor import Predictor
from . import diagnosis, inputs, stored, streaming
from .doc_link import DocLinkMixin
from .inputs import has_columns
from .scikit_learn import BaseEstimator, CallbackSupportMixin, ClassifierMixin
from .soft_labels import class_names, soft_labels
from .weighting import weighted_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Self

    from ..record import Record
    from ..sources.source import Source
    from ..typing import (
        Array,
        ArrayLike,
        Batch,
        Batches,
        DTypeLike,
        Floats,
        MatrixLike,
        Path,
        Table,
        Vectorizer,
        WeightsByLabel,
    )
    from .weighting import WeightedRows


F = TypeVar("F", bound="Callable[..., Any]")
DTYPES = FLOATS
_NOT_SIZED = float, bool, str, type(None)  # types that `check_size` does not check
_LARGEST_WORD, _LARGEST_PLACE = np.iinfo(np.int64).max, np.iinfo(np.intp).max
OBJECTIVE = "training objective", "objective: mean log loss + penalty (nats)"  # for LossCurveDisplay
_EDITED = "It was edited, or the file it came from is damaged: fit again, or correct it."


class LinearClassifier(CallbackSupportMixin, DocLinkMixin, ClassifierMixin, BaseEstimator):
    """Logits X W + b by ``coef_`` and ``intercept_``; labels and probabilities from them."""

    # After a fit:
    classes_: Array
    coef_: Floats  # a CSR matrix between sparsify and densify
    intercept_: Floats
    n_features_in_: int
    feature_names_in_: Array
    converged_: bool
    history_: dict[str, Array]
    # Parameters of all:
    n_threads: int | None
    class_weight: WeightsByLabel | None
    if TYPE_CHECKING:  # scikit-learn makes these for each class

        def set_fit_request(self, **requested: bool | str | None) -> Self: ...
        def set_score_request(self, **requested: bool | str | None) -> Self: ...

    def _validate_params(self) -> None:
        """Refuse invalid arguments with scikit-learn's messages; its constraint objects are made only once."""
        kind: Any = type(self)
        for name, constraints in constraints_of(kind):
            value = getattr(self, name)
            if type(value) not in _NOT_SIZED and isinstance(value, Real):
                check_size(value, name)
            if not any(constraint.is_satisfied_by(value) for constraint in constraints):
                super()._validate_params()

    def _validated(self, X: Any, *, reset: bool = True, **known: Any) -> Table:
        """Return X as the kernels take it. known: for `inputs.features`.

        Valid arrays skip that function, because on small data it takes as long as the fit.
        """
        if is_ready(X, known.get("dtype")):
            if reset:
                self.n_features_in_ = X.shape[1]
                self.__dict__.pop("feature_names_in_", None)
                return X
            d = getattr(self, "n_features_in_", None)
            if type(d) is int and d == X.shape[1] and not hasattr(self, "feature_names_in_"):
                return X
        return inputs.features(self, X, reset=reset, **known)

    def _check_weighted_rows(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[WeightedRows, Table, Array, Array]:
        """Return the rows with a positive weight; and X, targets and classes of all rows, like `_check_rows`."""
        X, target, classes = self._check_input(X, y)
        rows = weighted_rows(X, target, classes, sample_weight, self.class_weight)
        refuse_scale(rows.X)
        return rows, X, target, classes

    def _check_rows(
        self, X: Any, y: Any, classes: Any = None, reset: bool = True
    ) -> tuple[Table, Array, Array]:
        """Return X as the kernels take it, codes or soft labels, and the classes: given ones, or all in y."""
        X, target, classes = self._check_input(X, y, classes, reset)
        refuse_scale(X)
        return X, target, classes

    def _check_input(
        self, X: Any, y: Any, classes: Any = None, reset: bool = True
    ) -> tuple[Table, Array, Array]:
        if streaming.is_source(X):
            raise TypeError(
                "X is a source, whose rows come in batches; here all of them must be in memory. LogisticRegression and "
                "SGDClassifier take sources."
            )
        X = self._validated(X, reset=reset, n_rows=validation.count_rows(y))
        if has_columns(y):
            if classes is None:
                names = class_names(y, "y")
                classes = np.arange(np.shape(y)[1]) if names is None else names
            target = soft_labels(y, X.shape[0], classes, X.dtype)
        else:
            y = inputs.labels(y, X.shape[0])
            found = classes_and_codes(y)
            if found is None or len(found[0]) > len(y) // 3:  # a few integers are certainly classes
                check_classification_targets(y)
            if classes is not None:
                target = inputs.codes_of(y, classes, "y", "classes")
            else:
                classes, target = np.unique(y, return_inverse=True) if found is None else found
        if len(classes) < 2:
            raise ValueError(
                "Training needs samples of at least 2 classes in the data, but the data contains only one class: "
                f"{classes.tolist()[0]!r}"
            )
        check_memory(
            8 * (X.shape[1] + 1) * len(classes),
            "coefficients of {} columns of X and {} classes",
            X.shape[1],
            len(classes),
        )
        return for_kernels(X), target, classes

    def _for_training(self, X: Table) -> Array:
        """Checked rows as the kernels take them."""
        return for_kernels(X)

    def _check_held_out(
        self,
        X: Table,
        y: Any,
        classes: Array,
        dtype: DTypeLike,
        names: tuple[str, str] = ("X", "y"),
    ) -> tuple[Table, Array]:
        """Return rows for validation, and their codes or soft labels. names: of both, for messages."""
        X_name, y_name = names
        X = self._validated(X, dtype=dtype, reset=False, n_rows=validation.count_rows(y), name=X_name)
        if has_columns(y):
            return for_kernels(X), soft_labels(y, X.shape[0], classes, dtype, y_name)
        y = inputs.labels(y, X.shape[0], y_name)
        return for_kernels(X), inputs.codes_of(y, classes, y_name, "the training data")

    def _check_eval_set(
        self, eval_set: Any, classes: Array, dtype: DTypeLike
    ) -> tuple[Table, Array, Array | None]:
        """Return X, target and sample_weight (or None) of the argument ``eval_set``."""
        several = isinstance(eval_set, (tuple, list))
        if not several or len(eval_set) not in (2, 3):
            came = f"{len(eval_set)} things" if several else type(eval_set).__name__
            raise ValueError(
                f"eval_set must be a pair (X, y) of features and labels, or (X, y, sample_weight); got {came}."
            )
        X, y, sample_weight = (*eval_set, None)[:3]
        X, target = self._check_held_out(X, y, classes, dtype, ("eval_set's X", "eval_set's y"))
        try:
            sample_weight = validation.check_sample_weight(sample_weight, X.shape[0], all_zero=False)
        except (TypeError, ValueError) as error:
            raise type(error)(f"eval_set: {error}") from None
        return X, target, sample_weight

    def _batches(self, source: Any, classes: Any = None) -> Any:
        """Return the batches of a source to train on."""
        return streaming.Batches(self, source, classes).for_training()

    def _validation_batches(self, source: Any, classes: Any, dtype: DTypeLike) -> Any:
        """Return the batches of the argument ``eval_set``, if it is a source."""
        return streaming.ValidationBatches(self, source, classes, dtype).for_validation()

    def _theta(self) -> Any:
        """Return the parameters (d + 1, K) from ``coef_`` and ``intercept_``, which users may have changed."""
        coef, intercept = self._coefficients()
        self._check_finite(coef, intercept)
        return _theta_of(coef, intercept)

    def _coefficients(self) -> tuple[Array, Array]:
        """Return ``coef_`` (K, d) and ``intercept_`` (K,), not copied if possible; they need not be finite."""
        n_classes = self._n_classes()
        d = getattr(self, "n_features_in_", None)
        d = self._coef_shape()[-1] if d is None else validation.check_integer(d, "n_features_in_")
        what = "for {} classes_ and {} features"
        return self._of_shape((1 if n_classes == 2 else n_classes, d), what, n_classes, d)

    def _theta_to_start_from(self, shape: tuple[int, int], dtype: DTypeLike) -> Array:
        """The same for ``warm_start``, if the data have this `shape` (K, d) of coefficients."""
        what = "with warm_start, where training starts from it: use warm_start=False, or clone the estimator"
        return self._checked_theta(shape, what, dtype)

    def _checked_theta(self, shape: tuple[int, int], what: str, dtype: DTypeLike | None = None) -> Array:
        coef, intercept = self._of_shape(shape, what, dtype=dtype)
        self._check_finite(coef, intercept)
        return _theta_of(coef, intercept)

    def _of_shape(
        self, shape: tuple[int, int], what: str, *names: Any, dtype: DTypeLike | None = None
    ) -> tuple[Array, Array]:
        """Return ``coef_`` and ``intercept_`` if they have this shape. what: why they must, with places for names."""
        found = self._coef_shape()
        if found != shape:
            what = what.format(*map(shown, names))
            raise ValueError(f"coef_ must have shape {shape}, {what}; got shape {found}. {_EDITED}")
        coef = as_native(self._dense_coef(), "coef_", dtype)
        given: Any = vars(self).get("intercept_")
        intercept = as_native(given, "intercept_", coef.dtype)
        if intercept.shape not in (shape[:1], ()):
            raise ValueError(
                f"intercept_ must have shape {shape[:1]}, to go with coef_; got shape {intercept.shape}. {_EDITED}"
            )
        if intercept.ndim == 0:
            intercept = np.full(shape[0], intercept)
        return coef, intercept

    def _check_finite(self, coef: Array, intercept: Array) -> None:
        check_finite(coef, "coef_", _EDITED)
        check_finite(intercept, "intercept_", _EDITED)

    def _coef_shape(self) -> tuple[int, ...]:
        coef: Any = vars(self).get("coef_")
        if sp.issparse(coef):
            return sparse.shape_of(coef, "coef_")
        shape = plain_array(coef, "coef_").shape
        if len(shape) != 2:
            raise ValueError(f"coef_ must have two dimensions; got shape {shape}. {_EDITED}")
        return shape

    def _dense_coef(self) -> Any:
        coef = vars(self).get("coef_")
        return sparse.as_csr(coef, "coef_").toarray() if sp.issparse(coef) else coef

    def _n_classes(self) -> int:
        """Return the number of classes in ``classes_``."""
        given: Any = vars(self).get("classes_")
        classes = plain_array(given, "classes_")
        if classes.ndim != 1 or len(classes) < 2:
            raise ValueError(
                f"classes_ must be an array of at least 2 labels; got shape {classes.shape}. {_EDITED}"
            )
        return len(classes)

    def _predict(self, X: Table, output: str) -> Array:
        if "coef_" not in vars(self):
            check_is_fitted(self)
        coef, intercept = self._coefficients()
        rows = self._rows_to_predict(X)
        if rows.dtype != coef.dtype:
            rows = rows.astype(np.float64, copy=False)
        n_threads = validation.check_n_threads(self.n_threads)
        result, finite = evaluate(for_kernels(rows), coef, intercept, output, n_threads)
        if not finite:  # an entry of X, a coefficient that was read, or a logit that overflowed
            self._validated(X, reset=False)
            self._check_finite(coef, intercept)
        return result

    def _rows_to_predict(self, X: Table) -> Table:
        """The same as `_validated`, but a CSR matrix becomes a `sparse.CSR`, and entries that the kernels can read as
        they are may be NaN or infinite: their logits show it."""
        d = getattr(self, "n_features_in_", None)
        if type(d) is int and not hasattr(self, "feature_names_in_"):
            if is_array(X):
                if X.shape[1] == d:
                    return X
            elif is_sparse(X) and getattr(X, "format", None) == "csr":
                rows = sparse.members_of(X, "X")
                if rows.shape == (rows.shape[0] or 1, d):
                    return rows
        return self._validated(X, reset=False)

    @overload
    def decision_function(self, X: MatrixLike) -> Floats: ...
    @overload
    def decision_function(self, X: Source | Iterator[Batch]) -> Iterator[Floats]: ...
    def decision_function(self, X: MatrixLike | Batches) -> Floats | Iterator[Floats]:
        """Return logits X W + b (n, K); for two classes (n,), positive if ``classes_[1]`` is more likely.

        X may be a source. Then this and the other methods of prediction return an iterator of arrays, one per batch.
        """
        if streaming.is_source(X):
            return self._lazily("decision_function", X)
        return self._predict(X, "logits")

    @overload
    def predict_proba(self, X: MatrixLike) -> Floats: ...
    @overload
    def predict_proba(self, X: Source | Iterator[Batch]) -> Iterator[Floats]: ...
    def predict_proba(self, X: MatrixLike | Batches) -> Floats | Iterator[Floats]:
        """Return probabilities (n, K), in the order of ``classes_``."""
        if streaming.is_source(X):
            return self._lazily("predict_proba", X)
        return self._predict(X, "proba")

    @overload
    def predict_log_proba(self, X: MatrixLike) -> Floats: ...
    @overload
    def predict_log_proba(self, X: Source | Iterator[Batch]) -> Iterator[Floats]: ...
    def predict_log_proba(self, X: MatrixLike | Batches) -> Floats | Iterator[Floats]:
        """Return logarithms of the probabilities (n, K), also of those too small for a float."""
        if streaming.is_source(X):
            return self._lazily("predict_log_proba", X)
        return self._predict(X, "log_proba")

    @overload
    def predict(self, X: MatrixLike) -> Array: ...
    @overload
    def predict(self, X: Source | Iterator[Batch]) -> Iterator[Array]: ...
    def predict(self, X: MatrixLike | Batches) -> Array | Iterator[Array]:
        """Return the most likely label of each row (n,)."""
        if streaming.is_source(X):
            return self._lazily("predict", X)
        best = self._most_likely(X)
        return np.asarray(self.classes_)[best]

    def _lazily(self, method: str, source: Iterable[Any]) -> Iterator[Any]:
        if "coef_" not in vars(self):
            check_is_fitted(self)
        return streaming.each(getattr(self, method), source)

    def _most_likely(self, X: Table) -> Array:
        """Return the position in ``classes_`` of each row's most likely label."""
        logits = self.decision_function(X)
        return (logits > 0).astype(np.intp) if logits.ndim == 1 else logits.argmax(axis=1)

    def score(
        self, X: MatrixLike | Batches, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the accuracy: the share of rows whose label is predicted; with soft labels, its expected value.

        A row with the distribution t counts t_k if class k is predicted, the expected value for a label drawn from t.
        Distributions that are certain of one class count like that label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d), or a source
            A source gives batches (X, y) or (X, y, weight); it has the labels and weights.
        y : array-like of shape (n,), or (n, K)
            Labels, or soft labels: each row a distribution over ``classes_``. The columns of a frame are found by
            their names.
        sample_weight : array-like of shape (n,) or None
            Weights of rows.

        Returns
        -------
        float
        """
        if streaming.is_source(X):
            streaming.refuse_beside(y=y, sample_weight=sample_weight)
            return streaming.score(self, X)
        best = self._most_likely(X)
        classes = np.asarray(self.classes_)
        sample_weight = validation.check_sample_weight(sample_weight, len(best), all_zero=False)
        if sample_weight is not None:
            sample_weight = sample_weight / sample_weight.max()  # only ratios matter, and their sum is finite
        if not has_columns(y):
            y = inputs.labels(y, len(best), warn=False)
            one, other = y[:1].tolist()[0], classes[:1].tolist()[0]
            if isinstance(one, str) != isinstance(other, str):
                raise ValueError(
                    f"y[0] is {shown(one)}, and classes_[0] is {shown(other)}: one is a string, the other is not."
                )
            return float(np.average(inputs.places_of(y, classes, "y") == best, weights=sample_weight))
        target = soft_labels(y, len(best), classes, np.float64)
        return float(np.average(target[np.arange(len(best)), best], weights=sample_weight))

    def predictor(self) -> Predictor:
        """Return an immutable copy of the model that answers single rows in microseconds.

        Returns
        -------
        fastxent.predictor.Predictor
            Its results have the same bits as the model's.

        Examples
        --------
        >>> import numpy as np
        >>> from fastxent import LogisticRegression
        >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> model = LogisticRegression().fit(X, ["no", "no", "yes", "yes"])
        >>> p = model.predictor()
        >>> p(np.array([3.0])).round(2)
        array([0.19, 0.81])
        >>> print(p.predict(np.array([3.0])))
        yes
        """
        if "coef_" not in vars(self):
            check_is_fitted(self)
        coef, intercept = self._coefficients()
        self._check_finite(coef, intercept)
        return Predictor(coef, intercept, self.classes_)

    def save(self, path: Path, *, vectorizer: Vectorizer | None = None) -> None:
        """Write the fitted model to a file that :func:`fastxent.load` reads.

        It holds all parameters and attributes, and what ``partial_fit`` needs to continue. The format is safetensors,
        with a checksum: see docs/serving.md.

        Parameters
        ----------
        path : str or os.PathLike
            An existing file is replaced atomically: after a failure at any moment it is unchanged.
        vectorizer : TfidfVectorizer, CountVectorizer or HashingVectorizer of scikit-learn, or None
            The fitted vectoriser that turns texts into rows; `fastxent.files.load_vectorizer` returns it.

        Raises
        ------
        OSError
            The file cannot be written.
        TypeError, ValueError
            The model is not fitted or is damaged, or something in it is of a kind that a file cannot hold, such as a
            function.
        """
        if "coef_" not in vars(self):
            check_is_fitted(self)
        self._check_finite(*self._coefficients())
        record.write(path, stored.contents(self), vectorizer)

    @classmethod
    def _from_record(cls, file: Record) -> Self:
        return stored.restored(cls, file)

    def __getstate__(self) -> dict[str, Any]:
        return dict(super().__getstate__(), _fastxent_version=fastxent.__version__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        versions.check(type(self).__name__, state.pop("_fastxent_version", None))
        super().__setstate__(state)

    def sparsify(self) -> Self:
        """Store ``coef_`` as a CSR matrix, smaller if L1 has set many weights to zero; predictions work as before."""
        check_is_fitted(self)
        self.coef_ = sp.csr_matrix(self.coef_)  # type: ignore[assignment]
        return self

    def densify(self) -> Self:
        """Store ``coef_`` as an array, as after ``fit``."""
        check_is_fitted(self)
        self.coef_ = self._dense_coef()
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _theta_of(coef: Array, intercept: Array) -> Array:
    """Return the parameters (d + 1, K)."""
    theta = np.empty((coef.shape[1] + 1, coef.shape[0]), dtype=coef.dtype)
    theta[:-1], theta[-1] = coef.T, intercept
    return theta


def checked_parameters(method: F) -> F:
    """Have the parameters checked before a method runs, as scikit-learn does."""
    return _fit_context(prefer_skip_nested_validation=True)(method)


@functools.cache
def constraints_of(estimator: Any) -> list[Any]:
    """Return pairs of an argument's name and its constraints, from the class's ``_parameter_constraints``."""
    declared = estimator._parameter_constraints
    return [
        (name, [make_constraint(constraint) for constraint in declared[name]])
        for name in estimator._get_param_names()
        if declared.get(name, "no_validation") != "no_validation"
    ]


def is_ready(X: Table, dtype: DTypeLike | None = None) -> bool:
    """Whether X is a finite array of the dtype, or either of the two for None, that kernels can read."""
    return is_array(X, dtype) and is_finite(X)


def is_array(X: Table, dtype: DTypeLike | None = None) -> bool:
    """The same, but entries may be NaN or infinite."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.size == 0:
        return False
    flags = X.flags
    return (
        X.dtype in (DTYPES if dtype is None else (dtype,))
        and flags.aligned
        and (flags.c_contiguous or flags.f_contiguous)
    )


def check_size(value: object, name: str) -> None:
    """Refuse whole numbers that fit into no machine word, and others that are no float."""
    if isinstance(value, Integral):
        if abs(int(value)) > _LARGEST_WORD:
            raise ValueError(f"{name} must lie within 64 bits; got {shown(value)}.")
    elif not isinstance(value, (float, np.floating)):
        validation.check_real(value, name)


@contextmanager
def restored_on_failure(estimator: Any) -> Iterator[None]:
    """Undo what a fit learned (names ending in an underscore) if it fails."""
    before = {name: value for name, value in vars(estimator).items() if name.endswith("_")}
    try:
        yield
    except BaseException:
        for name in [name for name in vars(estimator) if name.endswith("_")]:
            del vars(estimator)[name]
        vars(estimator).update(before)
        raise


def classes_and_codes(y: Array) -> tuple[Array, Array] | None:
    """Return np.unique of whole numbers in a narrow range, without sorting; None for other arrays."""
    if y.dtype.kind not in "iu" or y.ndim != 1:
        return None
    low, high = int(y.min()), int(y.max())
    if high - low > 2 * len(y) + 1000 or high > _LARGEST_PLACE:
        return None
    place = np.ascontiguousarray(y, np.intp) - low if low else np.ascontiguousarray(y, np.intp)
    if high - low <= 1:  # then both are there
        return np.array(range(low, high + 1), y.dtype), place
    present = np.bincount(place) > 0
    classes = np.flatnonzero(present)
    if len(classes) < len(present):
        place = (np.cumsum(present) - 1)[place]
    return (classes + low).astype(y.dtype), place


def for_kernels(X: Table) -> Table:
    """A dense array aligned and contiguous in one of the two orders."""
    if not isinstance(X, np.ndarray) or (X.flags.aligned and (X.flags.c_contiguous or X.flags.f_contiguous)):
        return X
    return np.array(X, order="C")


def refuse_scale(X: Table) -> None:
    """Refuse features whose products leave the range of double precision."""
    trouble = diagnosis.unusable_scale(X)
    if trouble is not None:
        raise ValueError(trouble)
