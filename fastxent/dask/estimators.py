"""LogisticRegression and SGDClassifier for collections on a Dask cluster."""

from __future__ import annotations

import inspect
import math
from numbers import Real
from typing import TYPE_CHECKING, TypeVar

import dask.array as da
import numpy as np
from dask.delayed import delayed
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

import fastxent

from ..arrays import shown
from ..estimators import streaming
from . import lead, worker
from .batches import DistributedBatches
from .cluster import Cluster
from .parts import Parts, is_collection, is_task

if TYPE_CHECKING:
    from typing import Any, Literal, Self

    from distributed import Client

    from ..typing import ArrayLike, Callback, Collection, Path, Vectorizer


T = TypeVar("T")
_OWN = ("client", "timeout")  # parameters


def _own_parameters(kind: type[T]) -> type[T]:
    """Give a class's ``__init__`` the parameters of its ordinary estimator beside its own: scikit-learn reads them."""
    made: Any = kind
    ordinary = inspect.signature(made._ordinary.__init__)
    own = [
        one for one in inspect.signature(kind.__init__).parameters.values() if one.kind is one.KEYWORD_ONLY
    ]
    made.__init__.__signature__ = ordinary.replace(parameters=[*ordinary.parameters.values(), *own])
    return kind


if TYPE_CHECKING:
    from ..estimators.base import LinearClassifier as _Beside  # one of its classes comes after OnCluster
else:
    _Beside = object


class OnCluster(_Beside):
    """What the ordinary estimator needs to take collections."""

    _ordinary: Any  # its class
    _refuse_for_sources: Any
    random_state: Any
    client: Client | None
    timeout: float

    def fit(
        self,
        X: Collection,
        y: Collection = None,
        sample_weight: Collection = None,
        eval_set: Collection = None,
        callback: Callback | None = None,
        *,
        classes: ArrayLike | None = None,
        **more: Any,
    ) -> Self:
        """Fit the model to rows on the workers.

        Parameters
        ----------
        X : dask array or data frame, list of delayed parts, source, or list of sources
            A dask array has blocks of NumPy arrays or of scipy.sparse matrices; its blocks of rows, or the partitions
            of a frame, are the parts. A delayed part gives (X, y) or (X, y, weight), or X alone if y is given. A source
            is as for the ordinary estimator, and its batches are the parts. Its files must be where all workers can
            read them. Of a single source, each worker takes a share of the batches, and parses only these where the
            source can tell them (docs/cluster.md); several sources are divided among the workers. Parts without rows
            are left out.
        y : dask array or series, list of delayed values, or array-like
            Labels, or soft labels, in blocks like those of X. Arrays in memory go with X's blocks, if their lengths are
            known. None if the parts have the labels.
        sample_weight : like y, or None
        eval_set : tuple of collections (X, y) or (X, y, sample_weight), list of delayed parts, source, or None
            Also arrays.
        callback : callable or None
            As for the ordinary estimator; it is called in this process.
        classes : array-like of shape (K,) or None
            All labels. None: they are found in the data.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As for the ordinary estimator, with the number of the part.
        ClusterError
            The cluster has no workers, no task ended within ``timeout``, the results of a worker are not numbers, or
            tasks were cancelled. The estimator is left as it was.
        """
        with self._cluster() as cluster:
            parts = Parts(cluster, X, y, sample_weight)
            if eval_set is not None:
                eval_set = _held_out(cluster, eval_set)
            ordinary: Any = super()
            return ordinary.fit(parts, eval_set=eval_set, callback=callback, classes=classes, **more)

    def to_local(self) -> Any:
        """Return the ordinary estimator with these parameters and all that was learned."""
        local = self._unfitted()
        learned = {name: value for name, value in vars(self).items() if name.endswith("_")}
        vars(local).update(learned)
        return local

    def save(self, path: Path, *, vectorizer: Vectorizer | None = None) -> None:
        """Write the ordinary estimator, as of `to_local`, to a file that :func:`fastxent.load` reads."""
        self.to_local().save(path, vectorizer=vectorizer)

    # Predictions --------------------------------------------------------------------------------------

    def decision_function(self, X: Collection) -> Collection:
        """Return logits, of a collection lazily: see `predict`."""
        return self._of_collection("decision_function", X)

    def predict_proba(self, X: Collection) -> Collection:
        """Return probabilities (n, K), lazily for a collection: see `predict`."""
        return self._of_collection("predict_proba", X)

    def predict_log_proba(self, X: Collection) -> Collection:
        """Return logarithms of the probabilities (n, K), lazily for a collection: see `predict`."""
        return self._of_collection("predict_log_proba", X)

    def predict(self, X: Collection) -> Collection:
        """Return the most likely label of each row.

        For a dask array or data frame, this is a dask array that is not computed yet; for a list of delayed values X,
        it is a list of delayed arrays. For arrays and sources, it is the same as from the ordinary estimator.
        """
        return self._of_collection("predict", X)

    def score(self, X: Collection, y: Collection = None, sample_weight: Collection = None) -> float:
        """Return the accuracy on rows like those of `fit`, computed where they are."""
        if not is_collection(X):
            return super().score(X, y, sample_weight)
        check_is_fitted(self)
        with self._cluster() as cluster:
            return streaming.mean_score(Parts(cluster, X, y, sample_weight).scores(self.to_local()))

    def _of_collection(self, method: str, X: Collection) -> Collection:
        if not is_collection(X):
            return getattr(super(), method)(X)
        check_is_fitted(self)
        local = self.to_local()
        d = self.n_features_in_
        few = np.zeros((1, d), self.coef_.dtype)
        if hasattr(self, "feature_names_in_"):
            del local.feature_names_in_
        like = getattr(local, method)(few)[:0]
        model = delayed(self.to_local(), pure=False, traverse=False)
        do = delayed(worker.predict, pure=False)
        if isinstance(X, (list, tuple)):
            return [do(model, method, one, like) for one in X]
        if is_task(X):
            return do(model, method, X, like)
        if getattr(X, "ndim", 2) != 2 or X.shape[1] != d:
            raise ValueError(
                f"X has shape {X.shape}, but {type(self).__name__} is expecting {d} features as input."
            )
        if hasattr(X, "chunks"):
            X = X.rechunk({1: -1})
        blocks = np.ravel(X.to_delayed())
        rows = X.chunks[0] if hasattr(X, "chunks") else [math.nan] * len(blocks)
        return da.concatenate(
            [
                da.from_delayed(do(model, method, block, like), (n, *like.shape[1:]), meta=like)
                for block, n in zip(blocks, rows, strict=True)
            ],
            allow_unknown_chunksizes=True,
        )

    # Inside -------------------------------------------------------------------------------------------

    def _fit(self, X: Any, *arguments: Any) -> Self:
        """Fit to Parts; a large model on a worker, where this is called again with what was found out here."""
        ordinary: Any = super()
        if not isinstance(X, Parts) or not self._may_be_led(X.cluster):
            return ordinary._fit(X, *arguments)
        *first, eval_set, callback, classes = arguments
        self._refuse_for_sources()
        batches = self._batches(X, classes)
        if isinstance(eval_set, Parts):
            eval_set = self._validation_batches(eval_set, batches.classes, batches.dtype)
        if not batches.is_large:
            return ordinary._fit(batches, *first, eval_set, callback, None)
        fit = lead.Fit(self, batches, tuple(first), eval_set, callback is not None)
        vars(self).update(lead.fit_there(X.cluster, fit, callback))
        return self

    def _may_be_led(self, cluster: Cluster) -> bool:
        """Whether the solver may run on another worker.

        Not if this is one. scikit-learn's callbacks may ask for the parameters after each iteration, so these stay.
        """
        called = hasattr(self, "_skl_callbacks") or hasattr(self, "_parent_callback_ctx")
        return not called and not cluster.is_here

    def _generator(self) -> np.random.RandomState | None:
        """The generator that a fit draws from, and leaves in another state."""
        return self.random_state if isinstance(self.random_state, np.random.RandomState) else None

    def _cluster(self) -> Cluster:
        if not isinstance(self.timeout, Real) or not float(self.timeout) > 0:
            raise ValueError(f"timeout must be a positive number of seconds; got {shown(self.timeout)}.")
        return Cluster(self.client, float(self.timeout))

    def _unfitted(self) -> Any:
        parameters = self.get_params(deep=False)
        return self._ordinary(**{name: value for name, value in parameters.items() if name not in _OWN})

    def _columns(self) -> dict[str, Any]:
        """What is known of the columns: attributes of the ordinary estimator."""
        return {
            name: vars(self)[name] for name in ("n_features_in_", "feature_names_in_") if name in vars(self)
        }

    def _batches(self, source: Any, classes: Any = None) -> Any:
        if isinstance(source, DistributedBatches):
            return source
        if not isinstance(source, Parts):
            return super()._batches(source, classes)
        return DistributedBatches(self, source, classes).for_training()

    def _validation_batches(self, source: Any, classes: Any, dtype: Any) -> Any:
        if isinstance(source, DistributedBatches):
            return source
        if not isinstance(source, Parts):
            return super()._validation_batches(source, classes, dtype)
        return DistributedBatches(self, source, classes, name="eval_set", dtype=dtype).for_validation()

    def __sklearn_clone__(self) -> Any:
        from sklearn.base import clone

        local = clone(self._unfitted())
        return type(self)(**local.get_params(deep=False), **{name: getattr(self, name) for name in _OWN})

    def __getstate__(self) -> dict[str, Any]:
        return dict(super().__getstate__(), client=None)  # a client belongs to its process


def _held_out(cluster: Cluster, eval_set: Any) -> Any:
    """The Parts of the argument ``eval_set``; arrays as they are."""
    several = isinstance(eval_set, (tuple, list)) and len(eval_set) in (2, 3)
    if several and is_collection(eval_set[0]) and (type(eval_set) is tuple or not is_task(eval_set[0])):
        return Parts(cluster, *eval_set)
    if is_collection(eval_set):
        return Parts(cluster, eval_set)
    if streaming.is_source(eval_set):
        return Parts(cluster, eval_set)
    return eval_set


@_own_parameters
class LogisticRegression(OnCluster, fastxent.LogisticRegression):
    """Logistic regression on a Dask cluster.

    The solvers, their options and their results are those of ``fastxent.LogisticRegression`` over a source: with the
    same parts, the coefficients have the same bits, for any number of workers and threads, in whatever order tasks end,
    and after the loss of workers. (All processors must be of one kind: kernels differ between instruction sets.)

    Parameters
    ----------
    client : distributed.Client or None, default=None
        None is the current client.
    timeout : float, default=600
        Seconds that may pass without any task of the fit ending, before it is given up. A cluster without workers is
        given up after a minute.
    **parameters :
        Those of ``fastxent.LogisticRegression``. ``n_threads`` is at most as many as Dask gives a worker.

    Notes
    -----
    Each part is made by one task, from the collection's own tasks. A worker keeps it in the form that the kernels read:
    in memory, up to 0.4 of the worker's limit, and beyond that mapped from the worker's disk. The part is made again if
    the worker is lost. A pass is one task for each worker. Its results, sums over neighbouring parts, are summed where
    the solver runs; gradients are sent without the columns that none of these parts touches, if these are more than
    half of all columns.

    Parameters of up to 8 MB, over all workers, travel with the tasks. Where they are larger, the solver runs on a
    worker, which keeps its state; parameters go from there to the others in pieces of 8 MB that workers pass on to each
    other, and gradients are summed on the workers. This process gets numbers and text while the fit goes on, and the
    finished model. If the worker is lost, the solver runs again on another one, from the last checkpoint or from the
    start. In this case ``checkpoint`` must be a folder that the workers and this process share. See docs/cluster.md.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from sklearn.datasets import load_iris
    >>> from fastxent.dask import LogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> with Client(processes=False, n_workers=2, dashboard_address=":0") as client:
    ...     X = da.from_array(X, chunks=(50, -1))
    ...     model = LogisticRegression(client=client).fit(X, y)
    ...     labels = model.predict(X)  # nothing is computed yet
    ...     labels[:2].compute(), round(model.score(X, y), 2)
    (array([0, 0]), 0.97)
    """

    client: Client | None
    timeout: float

    _ordinary = fastxent.LogisticRegression
    if TYPE_CHECKING:

        def to_local(self) -> fastxent.LogisticRegression: ...

    def __init__(
        self,
        penalty: Literal["l1", "l2", "elasticnet", "deprecated"] | None = "deprecated",
        *,
        client: Client | None = None,
        timeout: float = 600,
        **parameters: Any,
    ) -> None:
        super().__init__(penalty, **parameters)
        self.client, self.timeout = client, timeout


@_own_parameters
class SGDClassifier(OnCluster, fastxent.SGDClassifier):  # type: ignore[misc]
    """Stochastic gradient descent over rows on a Dask cluster.

    Each update depends on the one before, so the updates are made in one process: this one, or for models of more than
    8 MB, over all workers, a worker, as for ``LogisticRegression``; ``partial_fit`` always makes them here. Workers
    make the parts, check them and keep them. In each epoch the rows are sent to that process, part after part in order,
    two parts ahead. The log loss of held-out rows is computed where they are; for their accuracy, they are sent, too.
    The model has the same bits as that of ``fastxent.SGDClassifier`` over a source with the same parts. An epoch is
    limited by the network and by this one process; what the cluster adds is its memory, and reading in parallel.
    ``LogisticRegression`` computes where the rows are.

    Parameters
    ----------
    client : distributed.Client or None, default=None
        None is the current client.
    timeout : float, default=600
        As for ``LogisticRegression``.
    **parameters :
        Those of ``fastxent.SGDClassifier``.
    """

    client: Client | None
    timeout: float

    _ordinary = fastxent.SGDClassifier
    if TYPE_CHECKING:

        def to_local(self) -> fastxent.SGDClassifier: ...

    def __init__(
        self,
        loss: Literal["log_loss"] = "log_loss",
        *,
        client: Client | None = None,
        timeout: float = 600,
        **parameters: Any,
    ) -> None:
        super().__init__(loss, **parameters)
        self.client, self.timeout = client, timeout

    def _generator(self) -> np.random.RandomState | None:
        if self.random_state is None and self.checkpoint is None:  # a checkpoint belongs to this None
            return check_random_state(None)
        return super()._generator()

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        classes: ArrayLike | None = None,
        sample_weight: Any = None,
        eval_set: Any = None,
    ) -> Self:
        """Continue training with the rows of a collection, once, part after part; see `fit` for what X may be."""
        if not is_collection(X) and (y is not None or not streaming.is_source(X)):
            return super().partial_fit(X, y, classes, sample_weight, eval_set)
        with self._cluster() as cluster:
            parts = Parts(cluster, X, y, sample_weight)
            eval_set = None if eval_set is None else _held_out(cluster, eval_set)
            return super().partial_fit(parts, classes=classes, eval_set=eval_set)
