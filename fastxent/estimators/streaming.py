"""Sources in place of arrays: rows that come in batches (X, y) or (X, y, weight), of which a few are in memory.

A source is whatever gives the same batches each time it is iterated over. Its first pass finds what no batch alone can
tell: the classes, what each weighs, whether batches go together. Every pass checks what it reads, since files change.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import scipy.sparse as sp

from .. import solvers, validation
from ..arrays import check_memory, is_sparse, largest, shown
from ..data.ahead import ahead
from ..data.scaled import Scaled
from ..data.streamed import Streamed, refuse_single_pass
from ..data.targets import Targets
from ..loss import Part, Workspace
from ..objective import Objective
from ..penalty import Penalty
from ..prediction import predict
from . import inputs
from .diagnosis import unusable_scale
from .pace import Pass
from .soft_labels import class_names, named_classes, soft_labels
from .weighting import WeightedRows, balanced, class_weights, counting, mass_by_class, united

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, Self, TypeGuard

    from ..typing import Array, ArrayLike, DTypeLike, Table


T = TypeVar("T")
_SAMPLE_TOL = 1e-2  # of the first answer: the error from using a sample is larger than that


# What is a source ----------------------------------------------------------------------------------------


def is_source(X: Any) -> TypeGuard[Iterable[Any]]:
    """Whether X gives batches of rows: an iterable that is no array, or a list of tuples that begin with a table."""
    kind: Any = type(X)
    if kind is np.ndarray or sp.issparse(X):
        return False
    if isinstance(X, (list, tuple)):
        return len(X) > 0 and _is_batch(X[0])
    if isinstance(X, (str, bytes, dict, set, frozenset)) or not hasattr(kind, "__iter__"):
        return False
    arrays = ("__array__", "__array_interface__", "__dataframe__", "columns", "shape")
    if any(hasattr(X, name) for name in arrays):
        return False
    if hasattr(kind, "__len__") and hasattr(kind, "__getitem__"):  # NumPy makes arrays of such objects
        return len(X) > 0 and _is_batch(X[0])
    return True


def _is_batch(item: Table) -> bool:
    return isinstance(item, tuple) and len(item) > 0 and _is_table(item[0])


def _is_table(X: Table) -> bool:
    if sp.issparse(X) or hasattr(X, "shape"):
        return len(X.shape) == 2
    return isinstance(X, (list, tuple)) and len(X) > 0 and isinstance(X[0], (list, tuple, np.ndarray))


def refuse_beside(**given: Any) -> None:
    """Refuse arguments that say what the batches of a source say themselves."""
    for name, value in given.items():
        if value is not None:
            part = {"y": "its labels", "sample_weight": "its weights, as their third part"}[name]
            raise ValueError(
                f"{name} must be None where X is a source: each of its batches (X, y, weight) has {part}."
            )


def read(source: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Yield the batches, numbered: one is read ahead in a thread, unless they are in memory already."""
    yield from enumerate(source if isinstance(source, (list, tuple)) else ahead(source))


def parts_of(number: int, batch: Any) -> tuple[Table, Any, Any]:
    """X, y and weight or None of a batch."""
    if not isinstance(batch, tuple) or not 2 <= len(batch) <= 4:
        what = f"a tuple of {len(batch)}" if isinstance(batch, tuple) else type(batch).__name__
        raise TypeError(f"Batch {number}: a batch must be a tuple (X, y) or (X, y, weight); got {what}.")
    X, y, weight = (*batch, None)[:3]
    return X, y, weight


@contextmanager
def named(number: int) -> Iterator[None]:
    """Begin what is refused with the number of the batch."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if type(error) not in (TypeError, ValueError):
            raise
        raise type(error)(f"Batch {number}: {error}") from error


# Prediction ----------------------------------------------------------------------------------------------


def each(method: Callable[..., Any], source: Iterable[Any]) -> Iterator[Array]:
    """Yield what a method of a model makes of the rows of each batch, (X, ...) or X alone."""
    for number, batch in read(source):
        X = batch[0] if isinstance(batch, tuple) and len(batch) > 0 else batch
        with named(number):
            found = method(X)
        yield found


def score(model: Any, source: Iterable[Any]) -> float:
    """The mean over the rows of a source of what `model.score` is the mean of."""
    scores = []
    for number, batch in read(source):
        with named(number):
            scores.append(score_of_rows(model, *parts_of(number, batch)))
    return mean_score(scores)


def score_of_rows(
    model: Any, X: Table, y: Any, weight: ArrayLike | None = None
) -> tuple[float, Scaled] | None:
    """`model.score`, and what the rows weigh; None if they weigh nothing."""
    n: Any = validation.count_rows(y)
    checked = validation.check_sample_weight(weight, n)
    if checked is not None and not checked.any():
        return None
    return model.score(X, y, checked), _mass(n, checked)


def mean_score(scores: Iterable[tuple[float, Scaled] | None]) -> float:
    """The mean of what `score_of_rows` gave for several batches."""
    known = [one for one in scores if one is not None]
    if not known:
        raise ValueError("The source has no rows of positive weight, so there is nothing to score.")
    shares, masses = zip(*known, strict=True)
    return float(np.average(shares, weights=united(masses).floats()[0]))


def accuracy(held_out: ValidationBatches, theta: Array, n_threads: int | None) -> float:
    """Return the accuracy on ValidationBatches, by their weights."""
    scores: list[tuple[float, Scaled] | None] = []
    for X, target, weight in held_out:
        logits = predict(X, theta, "logits", n_threads)
        guess = (logits > 0) if logits.ndim == 1 else logits.argmax(axis=1)
        codes = target if target.ndim == 1 else target.argmax(axis=1)
        scores.append((np.average(guess == codes, weights=weight), _mass(len(codes), weight)))
    return mean_score(scores)


def _mass(n: int, weight: Array | None) -> Scaled:
    """What n rows weigh."""
    if weight is None:
        return Scaled(np.array([n], float))
    return Scaled(weight).sums(np.zeros(n, np.intp), 1)


# Training ------------------------------------------------------------------------------------------------


class Batches:
    """The batches of a source as the kernels take them; iterated over, X, codes or soft labels, and weights or None.

    Rows of weight zero are left out.

    Parameters
    ----------
    model : LinearClassifier
        Its first batch sets the features that the model knows.
    source : iterable
    classes : array-like or None
        All labels; None is to find them.

    Attributes
    ----------
    classes : ndarray
    class_weight : Scaled or None
    soft : bool
        Whether there are soft labels.
    dtype, is_sparse :
        Those of X in all batches.
    n_rows, n_features : int
        Rows of weight zero count.
    mass : Scaled
        What each class weighs by the weights of rows.
    """

    largest: float
    n_rows: int
    # The first batch, or the first pass, finds them; then they stay as they are.
    classes: Any
    class_weight: Scaled | None
    soft: Any
    dtype: Any
    is_sparse: Any
    n_features: Any
    mass: Scaled

    def __init__(
        self,
        model: Any,
        source: Iterable[Any],
        classes: ArrayLike | None = None,
        *,
        name: str = "X",
    ) -> None:
        refuse_single_pass(source, name)
        self._model, self._source, self._name = model, source, name
        self.classes, self.class_weight, self.soft = classes, None, None
        self.dtype = self.is_sparse = self.n_features = None
        self.largest = 0.0
        self._first = "batch 0"  # in messages
        self._rows_of: list[int] = []  # of each batch
        self._versions: list[object] = []  # of each batch whose X is taken as it comes, else None
        self._survey()
        self.n_rows = sum(self._rows_of)

    def for_training(self) -> Self:
        """Refuse what nothing can be learned from; take in the class weights."""
        model = self._model
        if isinstance(model.class_weight, str):
            self.class_weight = balanced(self.mass)
        else:
            self.class_weight = class_weights(model.class_weight, self.classes, None, None)
        check_memory(
            8 * (self.n_features + 1) * len(self.classes),
            "coefficients of {} columns of X and {} classes",
            self.n_features,
            len(self.classes),
        )
        trouble = unusable_scale(np.array([[self.largest]]))
        if trouble is not None:
            raise ValueError(trouble)
        weighs = self.present
        if not weighs.any():
            raise ValueError(
                "The weights of all rows are zero once class_weight is taken in; one must be positive."
            )
        if np.count_nonzero(weighs) < 2:
            raise ValueError(
                "Training needs samples of at least 2 classes in the data, but the data contains only one class: "
                f"{self.classes.tolist()[int(np.argmax(weighs))]!r}"
            )
        return self

    def for_validation(self) -> Self:
        """Refuse what nothing can be measured on."""
        if not self.mass.mantissa.any():
            raise ValueError(
                f"{self._name}: the weights of all rows are zero; at least one must be positive."
            )
        return self

    @property
    def present(self) -> Array:
        """Which classes have rows of positive weight, bool (K,)."""
        weighs = self.mass.mantissa > 0
        return weighs if self.class_weight is None else weighs & (self.class_weight.mantissa > 0)

    def __iter__(self) -> Iterator[tuple[Array, Array, Array | None]]:
        progress = self._progress(self.n_rows)
        for n_rows, rows in self._ahead(self._prepared()):
            progress(n_rows)
            if rows is not None:
                yield rows

    def _ahead(self, items: Iterator[T]) -> Iterator[T]:
        """Yield what is made of the batches: of one ahead in a thread, unless they are in memory already."""
        return items if isinstance(self._source, (list, tuple)) else ahead(items)

    def _prepared(self) -> Iterator[tuple[int, Any]]:
        """Yield how many rows each batch has, and what `present_rows` makes of them."""
        count = 0
        for number, batch in enumerate(self._source):
            X, y, weight = self._checked(number, batch, reset=False)
            if number >= len(self._rows_of) or X.shape[0] != self._rows_of[number]:
                before = f"{self._rows_of[number]} rows" if number < len(self._rows_of) else "no such batch"
                raise ValueError(
                    f"Batch {number}: it has {X.shape[0]} rows, and in the first pass there was {before}: the source "
                    "changed. It must give the same batches in every pass."
                )
            count += 1
            with named(number):
                target = self._targets(X, y)
            yield X.shape[0], present_rows(X, target, weight, len(self.classes), self.class_weight)
            del batch, X, y, weight, target  # or they would be in memory beside the next ones
        if count < len(self._rows_of):
            raise ValueError(
                f"The source ended after {count} batches, and in the first pass there were {len(self._rows_of)}: it "
                "must give the same batches in every pass."
            )

    def targets(self, target: Array, weight: Array | None) -> Targets:
        """Targets of rows that were iterated over."""
        return Targets(target, len(self.classes), weight, self.class_weight, folded=True)

    def objective(
        self, penalty: Penalty | None = None, *, fit_intercept: bool = True, n_threads: int | None = None
    ) -> Objective:
        """The mean loss over all batches, and a penalty."""
        K = 1 if len(self.classes) == 2 else len(self.classes)
        how: dict[str, Any] = {
            "fit_intercept": fit_intercept,
            "n_threads": n_threads,
            "workspace": Workspace(),
        }

        def bind(X: Table, target: Array, weight: Array | None) -> Part:
            return Part(X, self.targets(target, weight), K, **how)

        return Objective(Streamed(self, bind), penalty)

    def _progress(self, n_rows: int | None = None) -> Callable[[int], object]:
        """What counts the rows of a pass, and tells of them with ``verbose``."""
        return Pass(n_rows).add if self._model.verbose else lambda rows: None

    # The first pass -----------------------------------------------------------------------------------

    def _survey(self) -> None:
        found: Any = None
        mass: Any = None
        given, progress = self.classes is not None, self._progress()
        for number, batch in read(self._source):
            X, y, weight = self._checked(number, batch, reset=number == 0)
            self._rows_of.append(X.shape[0])
            progress(X.shape[0])
            stored = X.data if is_sparse(X) else X
            self.largest = max(self.largest, largest(stored)) if stored.size else self.largest
            with named(number):
                if given or self.soft:
                    target = self._targets(X, y)
                    of_batch = mass_by_class(target, weight, len(self.classes))
                    mass = of_batch if mass is None else added([mass, of_batch])
                else:
                    y = inputs.labels(y, X.shape[0], warn=False)
                    labels, codes = np.unique(y, return_inverse=True)
                    found, mass = merged(found, mass, labels, mass_by_class(codes, weight, len(labels)))
        if not self._rows_of:
            raise ValueError(
                f"{self._name} has no batches: 0 sample(s) while a minimum of 1 is required. A source gives tuples "
                "(X, y) or (X, y, weight)."
            )
        self._found(found, mass)

    def _found(self, classes: Array, mass: Scaled) -> None:
        """Take in the classes, unless they were given, and what they weigh."""
        if self.classes is None:
            self.classes = classes
        if len(self.classes) < 2:
            raise ValueError(
                "Training needs samples of at least 2 classes in the data, but the data contains only one class: "
                f"{self.classes.tolist()[0]!r}"
            )
        self.mass = mass

    def _checked(self, number: int, batch: Any, reset: bool) -> tuple[Table, Any, Array | None]:
        X, y, weight = parts_of(number, batch)
        if y is None:
            raise ValueError(f"Batch {number}: training requires labels, but its y is None.")
        with named(number):
            version = getattr(batch, "version", None)
            known = number < len(self._versions) and version is not None and version == self._versions[number]
            given, X = X, X if known else self._features(X, y, reset)
            if number == len(self._versions):
                self._versions.append(version if _same_arrays(given, X) else None)
            if self.dtype is None:
                self.dtype, self.is_sparse, self.n_features = X.dtype, sp.issparse(X), X.shape[1]
            if weight is not None:
                weight = validation.check_sample_weight(weight, X.shape[0])
            soft = inputs.has_columns(y)
            if self.soft is None:
                self.soft = soft
                if self.classes is not None:
                    self.classes = self._given_classes(y)
                elif soft:
                    names = class_names(y, "y")
                    self.classes = np.arange(np.shape(y)[1]) if names is None else names
            self._refuse_other_kinds(X.dtype, sp.issparse(X), soft)
        return X, y, weight

    def _refuse_other_kinds(self, dtype: np.dtype[Any], is_sparse: bool, soft: bool) -> None:
        """Refuse a batch that does not go together with the first."""
        if is_sparse != self.is_sparse:
            kinds = ("dense", "sparse")
            raise ValueError(
                f"X is {kinds[is_sparse]}, and that of {self._first} is {kinds[self.is_sparse]}: all must be of one "
                "kind."
            )
        if dtype != self.dtype:
            raise ValueError(
                f"X has dtype {dtype}, and that of {self._first} has {self.dtype}: all must have the same. Convert "
                "them, for instance by X.astype."
            )
        if soft != self.soft:
            one, other = ("soft labels" if kind else "labels" for kind in (soft, self.soft))
            raise ValueError(f"y has {one}, and that of {self._first} has {other}: all must be of one kind.")

    def _given_classes(self, y: ArrayLike) -> Any:
        """The classes that were given, in the order of the model's columns."""
        return named_classes(inputs.labels(self.classes, name="classes"), y)

    def _features(self, X: Table, y: Any, reset: bool) -> Array:
        X = self._model._validated(X, reset=reset, n_rows=validation.count_rows(y))
        return row_by_row(self._model._for_training(X))

    def _targets(self, X: Table, y: Any) -> Array:
        if self.soft:
            return soft_labels(y, X.shape[0], self.classes, X.dtype)
        return inputs.codes_of(
            inputs.labels(y, X.shape[0], warn=False), self.classes, "y", "classes, or of the first pass"
        )


def present_rows(
    X: Table, target: Array, weight: Array | None, n_classes: int, class_weight: Any
) -> tuple[Array, Array, Array | None] | None:
    """X, target and weights of the rows of positive weight; None if there are none."""
    kept = counting(target, n_classes, weight, class_weight)
    if kept.all():
        return X, target, weight
    if not kept.any():
        return None
    rows = WeightedRows(X, target, weight, None, None).only(np.flatnonzero(kept))
    return rows.X, rows.target, rows.sample_weight


class ValidationBatches(Batches):
    """Batches that are not trained on, with the classes and the dtype of those that are."""

    def __init__(
        self,
        model: Any,
        source: Iterable[Any],
        classes: Array,
        dtype: DTypeLike,
        *,
        name: str = "eval_set",
    ) -> None:
        self._dtype = dtype
        super().__init__(model, source, classes, name=name)

    def _given_classes(self, y: ArrayLike) -> Any:
        return np.asarray(self.classes)  # in the model's order, which soft labels have decided

    def _features(self, X: Table, y: Any, reset: bool) -> Array:
        from .base import for_kernels

        X = self._model._validated(X, dtype=self._dtype, reset=False, n_rows=validation.count_rows(y))
        return row_by_row(for_kernels(X))


def _same_arrays(one: Any, other: Any) -> Any:
    """Whether two tables, dense or CSR, are the same places in memory."""

    def places(X: Table) -> Any:
        arrays = (X.data, X.indices, X.indptr) if is_sparse(X) and X.format == "csr" else (X,)
        return [getattr(array, "__array_interface__", None) for array in arrays]

    return None not in places(one) and places(one) == places(other)


def row_by_row(X: Table) -> Table:
    """X in C order, whatever it came in: frames lie in memory in one order here, in the other after a journey."""
    return X if is_sparse(X) else np.ascontiguousarray(X)


def first_answer(objective: Objective, theta: Array, random_state: Any = 0) -> tuple[Objective, Array]:
    """Solve over a sample of the rows first: the sample, and where to begin with all of them.

    The penalty stands against the sum of the sample's losses as that of all rows does, since fewer rows say less.
    """
    sample, penalty = objective.sample(objective.fitting_rows), objective.penalty
    times = objective.n_rows / sample.n_rows
    some = sample.with_penalty(
        Penalty(times * penalty.l2, times * penalty.l1, penalty.factors, penalty.groups)
    )
    found = solvers.solve(some, theta, tol=_SAMPLE_TOL, max_iter=100, random_state=random_state)
    return sample, found.theta


def merged(labels: Array | None, mass: Any, others: Array, of_others: Scaled) -> tuple[Array, Scaled]:
    """The classes of two sets of rows, sorted, and what they weigh."""
    if labels is None:
        return others, of_others
    if len({_is_text(labels), _is_text(others)}) > 1:
        raise TypeError(
            f"y mixes strings and other labels, which have no order: here is {shown(others.tolist()[0])}, in earlier "
            f"batches was {shown(labels.tolist()[0])}. Use labels of one kind."
        )
    both, place = np.unique(np.concatenate([labels, others]), return_inverse=True)
    return both, united([mass, of_others]).sums(place, len(both))


def _is_text(labels: Array) -> bool:
    return isinstance(labels.tolist()[0], str)


def added(masses: Sequence[Scaled]) -> Scaled:
    """What each class weighs in several sets of rows together."""
    K = len(masses[0].mantissa)
    return united(masses).sums(np.tile(np.arange(K), len(masses)), K)
