"""What runs on Dask's workers: parts are kept in our layout, and visited."""

from __future__ import annotations

import sys
import threading
import uuid
import weakref
import zlib
from collections import defaultdict, deque
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from distributed import get_worker

from .. import validation
from ..arrays import is_sparse, largest
from ..data.scaled import Scaled
from ..data.targets import Targets
from ..estimators import inputs, streaming
from ..estimators.base import for_kernels
from ..estimators.soft_labels import class_names, order_of, soft_labels
from ..estimators.weighting import mass_by_class
from ..loss import Part, Workspace
from ..parallel import Stoppable, SumTree, stopping_point
from ..sources.cache import Cache
from ..sources.ones import stored_values, values_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..typing import Array, Table


_TOUCHED = 0.5  # of the columns at most, for a gradient to travel without the others


class PartFault(Exception):
    """An error and the name of the part that it came from."""


# What travels ---------------------------------------------------------------------------------------------


class Survey(NamedTuple):
    """What a part tells about all of them.

    Attributes
    ----------
    names : ndarray or None
        Those of the columns of a frame.
    largest : float
        The largest absolute value of X.
    labels : ndarray
        The labels that occur, sorted. Of soft labels, the names of the columns, or None.
    mass : Scaled
        What the rows of each label weigh.
    """

    n_rows: int
    n_features: int
    names: Any
    dtype: np.dtype[Any]
    is_sparse: bool
    largest: float
    soft: bool
    labels: Any
    mass: Scaled


class Item(NamedTuple):
    """A part as the client knows it: where it is, and what it was.

    Attributes
    ----------
    portion, index : int
        Which future, and which part of its list.
    name : str
        For messages.
    checksum : int
    place : int
        Among the parts that have rows of positive weight.
    more : tuple
        Further arguments of the method, for this part.
    """

    portion: int
    index: int  # type: ignore[assignment]  # tuples have a method of this name, which nobody needs here
    name: str
    checksum: int
    place: int = -1
    more: tuple[Any, ...] = ()


class Binding(NamedTuple):
    """What the client knows of all rows, and a part needs.

    Attributes
    ----------
    classes : ndarray
    class_weight : Scaled or None
    fit_intercept : bool
    n_threads : int or None
        At most; None is as many as Dask gives the worker.
    """

    classes: np.ndarray
    class_weight: Scaled | None
    fit_intercept: bool = True
    n_threads: int | None = None

    def rows(self, kept: Kept) -> tuple[Table, Array, Array | None] | None:
        """X, target and weights of the rows of positive weight; None if there are none."""
        X, target, weight = kept.rows()
        labels = kept.survey.labels
        if not kept.survey.soft:
            target = inputs.places_of(labels, self.classes, "y")[target]
        elif labels is not None:
            order = order_of(labels.tolist(), self.classes.tolist(), "y")
            target = target if order is None else np.ascontiguousarray(target[:, order])
        return streaming.present_rows(X, target, weight, len(self.classes), self.class_weight)

    def part(self, kept: Kept, n_threads: int, workspace: Workspace) -> Part | None:
        """The Part; None if no row weighs anything."""
        rows = self.rows(kept)
        if rows is None:
            return None
        X, target, weight = rows
        K = len(self.classes)
        n_threads = n_threads if self.n_threads is None else min(n_threads, self.n_threads)
        targets = Targets(target, K, weight, self.class_weight, folded=True)
        how: dict[str, Any] = {
            "fit_intercept": self.fit_intercept,
            "n_threads": n_threads,
            "workspace": workspace,
        }
        return Part(X, targets, 1 if K == 2 else K, **how)


class Call(NamedTuple):
    """What to call in every part; with `add`, its results are summed."""

    fit: str
    method: str
    binding: Binding
    add: Any = None


class Touched(NamedTuple):
    """An array of which few rows are not zero."""

    rows: np.ndarray
    values: np.ndarray
    shape: tuple[int, ...]

    def dense(self) -> Array:
        whole = np.zeros(self.shape, self.values.dtype)
        whole[self.rows] = self.values
        return whole


def packed(result: Any) -> Any:
    """A result as it travels: of gradients, the rows of columns that were touched."""
    if type(result) is not tuple:
        return result
    return tuple(_touched(one) if isinstance(one, np.ndarray) and one.ndim == 2 else one for one in result)


def unpacked(result: Any) -> Any:
    if type(result) is not tuple:
        return result
    return tuple(one.dense() if isinstance(one, Touched) else one for one in result)


def _touched(array: Array) -> Touched | Array:
    bits = array.view(np.uint8).reshape(len(array), -1)  # zeros of both signs keep theirs
    rows = np.flatnonzero(bits.any(axis=1))
    if len(rows) >= _TOUCHED * len(array):
        return array
    return Touched(rows, array[rows], array.shape)


# Keeping --------------------------------------------------------------------------------------------------

_lock, _in_memory = threading.Lock(), 0  # bytes of parts that this process holds


class Kept:
    """A checked part in our layout, in memory or, where it does not fit, mapped from the worker's disk.

    Parameters
    ----------
    name : str
    order : tuple
        Sorts the parts.
    survey : Survey
    X, target, weight :
        Codes of labels among ``survey.labels``.
    room : float
        Bytes of parts that a worker may hold in memory.
    """

    name: str
    order: tuple[int, ...]
    survey: Survey
    checksum: int

    def __init__(
        self,
        name: str,
        order: tuple[int, ...],
        survey: Survey,
        rows: tuple[Table, Array, Array | None],
        room: float,
    ) -> None:
        self.name, self.order, self.survey, self._room = name, order, survey, room
        X, target, weight = rows
        arrays = [stored_values(X.data), X.indices, X.indptr] if survey.is_sparse else [X]
        arrays += [target] if weight is None else [target, weight]
        self._weighted = weight is not None
        self.checksum = 0
        for array in arrays:
            self.checksum = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data, self.checksum)
        size = sum(array.nbytes for array in arrays)
        self._cache: Cache | None = None
        self._arrays: list[Any] | None = arrays
        if not self._enters(size):
            self._cache, self._arrays = Cache(_folder(), sys.maxsize), None
            self._cache.append(arrays)

    def rows(self) -> tuple[Table, Array, Array | None]:
        """X, target and weight or None."""
        arrays: list[Any] = list(self._arrays or () if self._cache is None else next(iter(self._cache)))
        weight = arrays.pop() if self._weighted else None
        target = arrays.pop()
        if self.survey.is_sparse:
            shape = self.survey.n_rows, self.survey.n_features
            stored, indices, indptr = arrays
            X = sp.csr_array((values_of(stored, len(indices)), indices, indptr), shape=shape)
            return X, target, weight
        return arrays[0], target, weight

    @property
    def is_mapped(self) -> bool:
        return self._cache is not None

    def _enters(self, size: int) -> bool:
        """Whether there is room for it in memory; then it takes it."""
        global _in_memory
        with _lock:
            if _in_memory + size > self._room:
                return False
            _in_memory += size
        weakref.finalize(self, _leave, size)
        return True

    def __reduce__(self) -> tuple[type[Kept], tuple[Any, ...]]:
        return Kept, (self.name, self.order, self.survey, self.rows(), self._room)

    def __sizeof__(self) -> int:
        return 1000 if self._arrays is None else 1000 + sum(array.nbytes for array in self._arrays)


def _leave(size: int) -> None:
    global _in_memory
    with _lock:
        _in_memory -= size


def _folder() -> str | None:
    try:
        return get_worker().local_directory
    except ValueError:  # Dask moves a part that is there already
        return None


class Check(NamedTuple):
    """How parts are checked.

    Attributes
    ----------
    model : LinearClassifier
        Of held-out rows, one that knows its columns.
    dtype : dtype or None
        That of held-out rows; None is for training.
    room : float
    """

    model: Any
    dtype: Any
    room: float

    def kept(self, name: str, order: tuple[int, ...], batch: Any) -> Kept | None:
        """The part of a batch; None if it has no rows."""
        X, y, weight = _members(batch)
        if y is None:
            raise ValueError("training requires labels, but its y is None.")
        if _count(X) == 0 and validation.count_rows(y) == 0:
            return None
        X, names = self._features(X, validation.count_rows(y))
        n = X.shape[0]
        if weight is not None:
            weight = validation.check_sample_weight(weight, n)
        soft = inputs.has_columns(y)
        if soft:
            labels = class_names(y, "y")
            K = np.shape(y)[1]
            target = soft_labels(y, n, np.arange(K) if labels is None else labels, X.dtype)
        else:
            labels, target = np.unique(inputs.labels(y, n, warn=False), return_inverse=True)
            K = len(labels)
        stored = X.data if is_sparse(X) else X
        survey = Survey(
            n,
            X.shape[1],
            names,
            X.dtype,
            sp.issparse(X),
            largest(stored) if stored.size else 0.0,
            soft,
            labels,
            mass_by_class(target, weight, K),
        )
        return Kept(name, order, survey, (X, target, weight), self.room)

    def _features(self, X: Table, n_rows: int | None) -> tuple[Table, Any]:
        if self.dtype is not None:
            X = self.model._validated(X, dtype=self.dtype, reset=False, n_rows=n_rows)
            return streaming.row_by_row(for_kernels(X)), getattr(self.model, "feature_names_in_", None)
        model = copy(self.model)
        X = model._for_training(model._validated(X, n_rows=n_rows))
        return streaming.row_by_row(X), getattr(model, "feature_names_in_", None)


def _members(batch: Any) -> tuple[Any, ...]:
    """X, y and weight or None of a batch."""
    if not isinstance(batch, tuple) or not 2 <= len(batch) <= 4:
        what = f"a tuple of {len(batch)}" if isinstance(batch, tuple) else type(batch).__name__
        raise TypeError(f"a part must be a tuple (X, y) or (X, y, weight); got {what}.")
    return (*batch, None)[:3]


def _count(X: Table) -> int:
    return X.shape[0] if hasattr(X, "shape") else len(X)


# Tasks ----------------------------------------------------------------------------------------------------

_running: defaultdict[str, set[Stoppable]] = defaultdict(set)  # fit: the work under way
_ended: deque[str] = deque(maxlen=1000)  # fits whose work is to end


def run_of(fit: str) -> str:
    """Return a name for work of a fit that may end before the fit does; `stop` of the fit ends it, too."""
    return f"{fit}/{uuid.uuid4().hex}"


@contextmanager
def work_of(fit: str) -> Iterator[None]:
    """Work that `stop` ends."""
    work = Stoppable()
    _running[fit].add(work)
    try:
        if any(_belongs(fit, ended) for ended in tuple(_ended)):
            work.stop()
        with work:
            stopping_point()
            yield
    finally:
        _running[fit].discard(work)


def stop(fit: str) -> None:
    """End the tasks of a fit on this worker, which need not have begun."""
    _ended.append(fit)
    for name in [name for name in list(_running) if _belongs(name, fit)]:
        for work in list(_running.pop(name, ())):
            work.stop()


def _belongs(name: str, fit: str) -> bool:
    return name == fit or name.startswith(f"{fit}/")


@contextmanager
def _blamed(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise PartFault(name, error) from error


def load(given: Any, origin: Any, check: Check, fit: str) -> list[Kept]:
    """Return the parts of a piece of the collection, kept here; batches without rows are none."""
    parts = []
    with work_of(fit):
        for name, order, batch in origin.batches(given):
            stopping_point()
            with _blamed(name):
                kept = check.kept(name, order, batch)
            if kept is not None:
                parts.append(kept)
    return parts


def surveys(portions: list[list[Kept]]) -> list[list[tuple[Any, ...]]]:
    """Return (name, order, checksum, survey) of each part, by portion."""
    return [[(kept.name, kept.order, kept.checksum, kept.survey) for kept in portion] for portion in portions]


def visit(
    portions: list[list[Kept]], call: Call, arguments: list[Any], items: list[Item], address: str
) -> tuple[bool, dict[Any, Any]]:
    """Return whether another worker than the one at the address does this, and the method's results.

    These are {place: result}, or with ``call.add`` the sums of subtrees, {(level, place): sum}.
    """
    worker = get_worker()
    arguments = [_whole(argument) for argument in arguments]
    found, tree, workspace = {}, SumTree(call.add), Workspace()
    with work_of(call.fit):
        for item in items:
            stopping_point()
            with _blamed(item.name):
                part = call.binding.part(_unchanged(portions, item), worker.state.nthreads, workspace)
                result = None if part is None else getattr(part, call.method)(*arguments, *item.more)
                _refuse_nan(result, arguments, call.method, worker.address)
            if call.add is None:
                found[item.place] = result
            else:
                tree.put(result, item.place)
    results = found if call.add is None else tree.sums
    return worker.address != address, {key: packed(result) for key, result in results.items()}


def merge(one: Any, other: Any, add: Callable[[Any, Any], Any]) -> tuple[bool, dict[Any, Any]]:
    """Return the sums of two results of `visit`."""
    tree = SumTree(add)
    for _, sums in (one, other):
        for (level, place), value in sums.items():
            tree.put(unpacked(value), place, level)
    return one[0] or other[0], {key: packed(value) for key, value in tree.sums.items()}


def rows(portion: list[Kept], binding: Binding, item: Item) -> tuple[Table, Array, Array | None] | None:
    """Return X, target and weights of a part's rows of positive weight; None if there are none."""
    with _blamed(item.name):
        return binding.rows(_unchanged([portion], item._replace(portion=0)))


def score(given: Any, origin: Any, model: Any) -> list[tuple[float, Scaled] | None]:
    """Return the score of each batch and what its rows weigh."""
    scores = []
    for name, _, batch in origin.batches(given):
        with _blamed(name):
            X, y, weight = _members(batch)
            scores.append(streaming.score_of_rows(model, X, y, weight) if _count(X) else None)
    return scores


def predict(model: Any, method: str, X: Table, like: Any) -> Any:
    """Return model.method(X), which may have no rows; like: what no rows give."""
    return getattr(model, method)(X) if _count(X) else like


def same(value: Any) -> Any:
    """Return the value, as a task of its own that several need."""
    return value


def _whole(argument: Any) -> Any:
    """An argument that came in pieces."""
    if isinstance(argument, list):
        shape, *pieces = argument
        return np.concatenate(pieces).reshape(shape)
    return argument


def _unchanged(portions: list[list[Kept]], item: Item) -> Kept:
    portion = portions[item.portion]
    kept = portion[item.index] if item.index < len(portion) else None
    if kept is None or kept.checksum != item.checksum:
        raise ValueError(
            "it was computed again, after its worker was lost, and is not what it was in the first pass: the same task "
            "must give the same rows."
        )
    return kept


def _refuse_nan(result: Any, arguments: list[Any], method: str, address: str) -> None:
    """Refuse NaN, unless it comes of the arguments, or of a loss that is infinite."""
    values = list(result) if type(result) is tuple else [result]
    if isinstance(values[0], float) and np.isinf(values[0]):
        return
    if any(_has_nan(value) for value in values) and not any(_has_nan(value) for value in arguments):
        raise ArithmeticError(
            f"{method} gave NaN on the worker {address}, though the rows and the parameters have none. The processor "
            "or the memory of this worker may be defective."
        )


def _has_nan(value: Any) -> bool:
    if isinstance(value, (float, np.ndarray)):
        return np.asarray(value).dtype.kind == "f" and bool(np.isnan(np.sum(value)))
    return any(_has_nan(one) for one in vars(value).values()) if hasattr(value, "shift") else False
