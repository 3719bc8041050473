"""The loss of one part: rows and targets in memory, and all sums over them.

A part is bound to the kernels once. Its rows are cut into ranges, which are distributed over the threads. Each range
has its own gradient, and the gradients are added up in order. If the model is so wide that they would take too much
memory, all threads share a single gradient (wide.py).
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.sparse as sp

from . import kernels, parallel
from .blas import for_products
from .data.digest import digest
from .data.moments import column_moments, farthest
from .data.ranges import Ranges, cost
from .data.rows import (
    bind,
    gradient_ranges,
    occurring,
    pack,
    ranges_of,
    shares_gradient,
    squared_norms,
    without_duplicates,
)
from .data.scaled import ldexp
from .data.targets import Targets
from .data.tiles import PASSES, use_tiles
from .wide import WideSparseModel, wide_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .data.moments import Moments
    from .kernels import LinearSoftmax
    from .typing import Array, Table


_MIN_ENTRIES = 500_000  # of theta; work on fewer is not worth its own thread
_STORE_MEMORY = 1 << 28  # bytes of probabilities stored for Hessian products
_PASSES = 4  # over theta and gradients in the first evaluation


class Facts(NamedTuple):
    """The attributes of a part that an objective needs; they are described in Objective."""

    shape: tuple[int, int]
    dtype: np.dtype
    n_rows: int
    n_classes: int
    fit_intercept: bool
    n_threads: int | None
    weight_exponent: int
    is_sparse: bool
    cost: int
    total_weight: float  # what the rows weigh together in a mean, in units of 2**weight_exponent
    n_present: int  # rows of positive weight


@dataclass
class Kept:
    """What solvers computed from a part's rows alone, kept for the next solve: along a path, only penalties change.

    Attributes
    ----------
    moved : dict
        solvers.centring.Moved or None; the key is whether columns are read as they are.
    columns : solvers.coordinate.columns.Columns or None
    class_weights : tuple or None
        The weights of the classes 1 and 0 of a binary model in each row, (n,) each.
    """

    moved: dict[bool, Any] = field(default_factory=dict)
    columns: Any = None
    class_weights: tuple[Array, Array] | None = None


class Workspace:
    """Work arrays that parts, visited one after the other, hand on: fresh memory is slow at its first use.

    Those of the last layout are kept, so what all parts need together does not grow.
    """

    def __init__(self) -> None:
        self._layout: tuple[Any, ...] | None = None
        self._arrays: tuple[parallel.Buffers, ...] = ()

    def arrays(self, view: LinearSoftmax, X: Table) -> tuple[parallel.Buffers, ...]:
        """Return Buffers for the weights, gradients and scratch of the kernels' view of X."""
        kind = X.dtype, isinstance(X, np.ndarray), view.d, view.K, view.uses_theta, view.uses_blas
        layout = *kind, view.block, view.x_size, view.z_size, view.weights_size, view.scratch_size
        if layout != self._layout:
            self._layout = layout
            sizes = view.weights_size, view.weights_size, view.scratch_size
            self._arrays = tuple(parallel.Buffers(size, X.dtype) for size in sizes)
        return self._arrays


class Part:
    """Rows X with their targets, and the loss of models with K columns of logits over them. Input is trusted.

    theta is (d + 1, K), feature-major, the intercept last. Losses s_i loss_i and their derivatives are summed, not
    averaged.

    Parameters
    ----------
    X : ndarray (n, d), float32 or float64, C- or F-contiguous; or CSR with int32 or int64 indices
    targets : Targets
    K : int
        Columns of logits; 1 is a binary model: p(class 1) = sigmoid(z).
    fit_intercept : bool
        If False, the last row of theta is taken as zero, and so is its derivative.
    n_threads : int, optional
    workspace : Workspace, optional
        That of parts which are visited before or after, never at the same time.
    """

    given_dtype: np.dtype[Any]
    targets: Targets
    fit_intercept: bool
    n_threads: int | None
    dtype: np.dtype[Any]
    n_classes: int
    weight_exponent: int
    n_rows: int
    n_features: int
    shape: tuple[int, int]
    is_sparse: bool
    cost: int

    def __init__(
        self,
        X: Table,
        targets: Targets,
        K: int,
        *,
        fit_intercept: bool = True,
        n_threads: int | None = None,
        workspace: Workspace | None = None,
    ) -> None:
        self.given_dtype = X.dtype  # single precision may not hold the weights
        if X.dtype == np.float32 and not targets.fit_single:
            X = X.astype(np.float64)
        targets = targets.astype(X.dtype)
        self.X, self.targets, self.K = X, targets, K
        self.fit_intercept, self.n_threads = fit_intercept, n_threads
        self.dtype, self.n_classes, self.weight_exponent = X.dtype, targets.n_classes, targets.exponent
        self.n_rows, self.n_features = X.shape
        self.shape = self.n_features + 1, K
        self.is_sparse = not isinstance(X, np.ndarray)
        self.cost = cost(X, K)
        used, self._features = occurring(X, K, _PASSES)
        self._view = bind(used, K, targets)
        self._ranges = gradient_ranges(self._view, used, n_threads)
        self._wide = None
        if shares_gradient(self._view, used, self._ranges):
            self._wide = wide_model(used, targets, K, n_threads)
        # What the traces were asked for with, and what they were.
        self._traces: tuple[Any, Any] = None, None
        # theta of the last Hessian product, and the probabilities there.
        self._hessian: tuple[Any, Any] = None, None
        self._used, self._passes = used, 0
        workspace = Workspace() if workspace is None else workspace
        self._weights, self._gradients, self._scratch = workspace.arrays(self._view, used)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Table, Targets, int, bool]]:
        # The process that the part goes to has its own number of threads.
        return _part, (self.X, self.targets, self.K, self.fit_intercept)

    @cached_property
    def kept(self) -> Kept:
        """Results that solvers keep for the next solve."""
        return Kept()

    @cached_property
    def rows(self) -> LinearSoftmax:
        """The kernels' view of all columns of X, and of the targets."""
        return self._view if self._features is None else bind(self.X, self.K, self.targets)

    def digests(self) -> tuple[str, str]:
        """Return digests of the rows, and of their targets and weights. The layout counts: it decides the last bits."""
        X, n_threads = self.X, self.n_threads
        arrays = (X.data, X.indices, X.indptr) if self.is_sparse else (X, X.flags.c_contiguous)
        targets = *self.targets.arguments, self.targets.exponent
        return digest(X.shape, *arrays, n_threads=n_threads), digest(*targets, n_threads=n_threads)

    # Sums over the rows ---------------------------------------------------------------------------------

    def loss(self, theta: Array, scale: float = 1.0) -> float:
        """Return scale times the sum of s_i loss_i."""
        return self._loss(theta) * scale

    def loss_and_grad(
        self, theta: Array, scale: float = 1.0, l2: float = 0.0, out: Array | None = None
    ) -> tuple[float, Array]:
        """Return scale times the sum of s_i loss_i, and  scale times its gradient + l2 W,  an array like theta."""
        out = np.empty_like(theta) if out is None else out
        return self._loss(theta, out, scale=scale, l2=l2) * scale, out

    def row_losses(self, theta: Array) -> Array:
        """Return s_i loss_i of every row (n,), with the weights as given, in the dtype of the given data."""
        losses = np.empty(self.n_rows, self.dtype)
        self._loss(theta, row_losses=losses)
        with np.errstate(over="ignore"):
            return ldexp(losses, self.targets.exponent).astype(self.given_dtype, copy=False)

    def is_certain(self, theta: Array) -> bool:
        """Whether the probability of each row's label is above one half.

        Then larger multiples of theta have ever smaller losses.
        """
        plain = self.replaced(self.X, Targets(self.targets.target, self.n_classes))
        return bool((plain.row_losses(theta) < np.log(2.0)).all())

    def hessp(
        self, theta: Array, v: Array, scale: float = 1.0, l2: float = 0.0, out: Array | None = None
    ) -> tuple[float, Array]:
        """Return its cost in passes, and  scale times the Hessian at theta times v + l2 v,  an array like v.

        From the second product at the same theta on, the probabilities are stored (n x K numbers, unless these are too
        many), and a product costs 1 pass instead of 1.5.
        """
        out = np.empty_like(v) if out is None else out
        self._count_pass()
        store, direction = self._probabilities_at(theta), self._pack(v)
        weights = self._pack(theta) if store is None else None
        if self._wide is not None:
            gradient = self._shared_gradient(out)
            self._wide.hessp(weights, direction, gradient, store)
            self._finish([gradient], scale, l2, v, out)
        else:

            def add(first: int, stop: int, scratch: Array, gradient: Array) -> None:
                self._view.hessp(weights, direction, scratch, first, stop, gradient, store)

            self._over_ranges(add, out, scale, l2, v)
        self._give_back(weights, direction)
        return 1.5 if store is None else 1.0, out

    def _loss(
        self,
        theta: Array,
        out: Array | None = None,
        row_losses: Array | None = None,
        scale: float = 1.0,
        l2: float = 0.0,
    ) -> float:
        self._count_pass()
        weights = self._pack(theta)
        if self._wide is not None:
            gradient: Any = None if out is None else self._shared_gradient(out)
            losses = self._wide.loss(weights, gradient, row_losses)
            if out is not None:
                self._finish([gradient], scale, l2, theta, out)
        else:

            def add(first: int, stop: int, scratch: Array, gradient: Array | None) -> float:
                return self._view.loss(weights, scratch, first, stop, gradient, row_losses)

            losses = [sum(some) for some in self._over_ranges(add, out, scale, l2, theta)]
        self._give_back(weights)
        return sum(losses)

    def _probabilities_at(self, theta: Array) -> Array | None:
        """Return the stored probabilities at theta; None for the first product there, or without the memory."""
        at, store = self._hessian
        if at is None or not all(self._over_theta(lambda some: np.array_equal(at[some], theta[some]), theta)):
            self._hessian = theta.copy(), None
            return None
        size = self._view.store_size
        stores = self._wide is None or self.is_sparse
        if store is None and stores and size * self.dtype.itemsize <= _STORE_MEMORY:
            store, weights = parallel.zeros(size, self.dtype), self._pack(theta)

            def keep(first: int, stop: int, scratch: Array, _: Any) -> None:
                self._view.hessian(weights, scratch, first, stop, store)

            self._over_ranges(keep)
            self._give_back(weights)
            self._hessian = at, store
        return store

    # Moments --------------------------------------------------------------------------------------------

    def column_moments(self, scale: float = 1.0) -> Moments:
        """Return the Moments of the columns, weighted by scale times the rows' masses."""
        return self._moments(self.targets.masses).scaled(scale)

    def farthest(self, columns: Array, mean: Array) -> Array:
        """Return how far the entries of some columns are from their means at most, over rows with a mass."""
        return farthest(self.X[:, columns], self.targets.masses, mean)

    def curvature_moments(self, theta: Array, scale: float = 1.0) -> tuple[Moments, Array]:
        """Return the statistics for a diagonal model of the Hessian at theta; no n x K array is stored.

        With p_i the probabilities of row i and c_i its mass times scale, these are the Moments of the columns, weighted
        by the rows' curvatures c_i (1 - |p_i|^2), and  beta_k = sum_i c_i p_ik (1 - p_ik),  of shape (K,).
        """
        curvature, beta = self.curvature(theta)
        return self._moments(curvature).scaled(scale), beta * scale

    def _moments(self, masses: Array) -> Moments:
        return column_moments(self.X, masses, self.n_threads, self.rows)

    def curvature(self, theta: Array) -> tuple[Array, Array]:
        """Return c_i (1 - |p_i|^2) of every row (n,), and  sum_i c_i p_ik (1 - p_ik)  of every class (K,)."""
        rows, masses = self.rows, self.targets.masses
        if not theta.any():  # all classes have the same probability
            share = 1 / self.targets.n_classes
            return masses * (1 - share), np.full(self.K, masses.sum() * share * (1 - share))
        curvature = np.empty(self.n_rows)
        weights, scratch = pack(rows, theta, self.dtype), parallel.Buffers(rows.scratch_size, self.dtype)

        ranges = ranges_of(rows, self.X, self.n_threads)

        def task(some: slice) -> Array:
            buffer, beta = scratch.take(), np.zeros(self.K)
            for first, stop in ranges.calls(some):
                kernels.curvature_of_rows(rows, weights, buffer, first, stop, masses, curvature, beta)
            scratch.give(buffer)
            return beta

        column: Any = sum(ranges.map(task))
        return curvature, column

    def probabilities(self, theta: Array, weight: Array, P: Array) -> None:
        """Fill P (K, n) with the probabilities of the rows; binary: P (1, n) with weight p (1 - p)."""
        rows = self.rows
        weights, scratch = pack(rows, theta, self.dtype), parallel.Buffers(rows.scratch_size, self.dtype)

        ranges = ranges_of(rows, self.X, self.n_threads)

        def task(some: slice) -> None:
            buffer = scratch.take()
            for first, stop in ranges.calls(some):
                kernels.probabilities_of_rows(rows, weights, buffer, slice(first, stop), weight, P)
            scratch.give(buffer)

        ranges.map(task)

    def over_probabilities(self, theta: Array, step: int, task: Callable[[slice, Array], Any]) -> list[Any]:
        """Return [task(some, P), ...]: `some` a slice of `step` rows, P (step, n_classes) their probabilities."""
        rows, kind = self.rows, kernels.KINDS["softmax"]
        weights, scratch = pack(rows, theta, self.dtype), parallel.Buffers(rows.scratch_size, self.dtype)

        def some_rows(some: slice) -> Any:
            buffer, P = scratch.take(), np.empty((some.stop - some.start, max(2, rows.K)), self.dtype)
            rows.predict(weights, buffer, some.start, some.stop, P, kind, some.start)
            scratch.give(buffer)
            return task(some, P)

        ranges = Ranges.by_step(rows.n, step, self.n_threads)
        ranges.within = for_products(rows)
        return ranges.map(some_rows)

    # Other parts ----------------------------------------------------------------------------------------

    def facts(self) -> Facts:
        """Return the attributes that an objective needs."""
        return Facts(*(getattr(self, name) for name in Facts._fields))

    @property
    def total_weight(self) -> float:
        """The sum of the rows' weights in a mean, in units of 2**weight_exponent."""
        return self.targets.total

    def least_mass(self, scale: float = 1.0) -> float:
        """Return the smallest positive mass of a row times scale; infinite if there is none."""
        masses = self.targets.masses
        return float(masses.min(initial=np.inf, where=masses > 0)) * scale

    @property
    def n_present(self) -> int:
        """How many rows have a positive weight."""
        weight = self.targets.row_weight
        return self.n_rows if weight is None else int(np.count_nonzero(weight))

    def take_present(self, rows: Array, share: Array | None = None) -> Part | None:
        """As `take`, of the rows that have a positive weight, counted among themselves."""
        weight = self.targets.row_weight
        return self.take(rows if weight is None else np.flatnonzero(weight)[rows], share)

    def traces(self, theta: Array, mean: Array, width: Array, scale: float = 1.0) -> tuple[Array, ...]:
        """Return c_i (1 - |p_i|^2) |a_i|^2, the same without |a_i|^2, and c_i, (n,) each.

        a_i = (x_i - mean) width.
        """
        curvature, _ = self.curvature(theta)
        curvature *= scale
        return curvature * self.scaled_squares(mean, width), curvature, self.targets.masses * scale

    def trace_sums(self, theta: Array, mean: Array, width: Array, scale: float = 1.0) -> Array:
        """Return the sums over the rows of the three things that `traces` returns."""
        values = self.traces(theta, mean, width, scale)
        self._traces = (theta, mean, width, scale), values  # `take_drawn` comes next
        return np.array([some.sum() for some in values])

    def take_drawn(
        self, theta: Array, mean: Array, width: Array, scale: float, shares: Array, draws: Array, count: int
    ) -> Part | None:
        """Return the part with rows that are drawn by chances; None if there are none.

        A row's chance is the inner product of `shares` and its three `traces`. Rows lie one after the other on a line,
        each as long as its chance; draws are places on it. Weights are divided by `count` times the chance.
        """
        if len(draws) == 0:
            return None
        (at, traces), self._traces = self._traces, (None, None)
        asked = theta, mean, width, scale
        if at is None or not all(map(operator.is_, at, asked)):
            traces = self.traces(*asked)
        chance = sum(share * values for share, values in zip(shares, traces, strict=True))
        ends = np.cumsum(chance)
        places = np.searchsorted(ends, np.minimum(draws, np.nextafter(ends[-1], 0.0)), side="right")
        times = np.bincount(places, minlength=len(chance))
        chosen = np.flatnonzero(times)
        return self.take(chosen, times[chosen] / (count * chance[chosen]))

    def take(self, rows: Array, share: Array | None = None) -> Part | None:
        """Return the part with some of the rows, their weights multiplied by `share`; None if there are no rows."""
        if len(rows) == 0:
            return None
        return self.replaced(self.X[rows], self.targets.take(rows, share))

    def of_features(self, chosen: Array) -> Part:
        """Return the part with some of the features (a mask)."""
        X = self.X[:, np.flatnonzero(chosen)]
        return self.replaced(X if self.is_sparse else np.ascontiguousarray(X), self.targets)

    def replaced(self, X: Table, targets: Targets) -> Part:
        """Return a part with other rows, for the same model and threads."""
        targets = targets.astype(X.dtype)
        return Part(X, targets, self.K, fit_intercept=self.fit_intercept, n_threads=self.n_threads)

    @classmethod
    def joined(cls, parts: Sequence[Part]) -> Part:
        """Return one part with the rows of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        stack: Callable[..., Any] = sp.vstack if parts[0].is_sparse else np.concatenate
        X = stack([part.X for part in parts], **({"format": "csr"} if parts[0].is_sparse else {}))
        return parts[0].replaced(X, Targets.joined([part.targets for part in parts]))

    # Single rows, for solvers that need them ------------------------------------------------------------

    def scaled_rows(self, rows: slice, mean: Array, width: Array) -> Array:
        """Return (x_i - mean) width of some rows, dense (rows, d). mean, width: (d + 1,), the intercept's last."""
        X = self.X[rows]
        return ((X.toarray() if self.is_sparse else X) - mean[:-1]) * width[:-1]

    def scaled_squares(self, mean: Array, width: Array) -> Array:
        """Return |a_i|^2 of every row (n,), with a_i = (x_i - mean) width, including the intercept's entry."""
        squares = np.empty(self.n_rows)

        def task(some: slice) -> None:
            A = self.scaled_rows(some, mean, width)
            squares[some] = np.einsum("ij,ij->i", A, A) + width[-1] ** 2

        Ranges.in_cache(self.X.shape, self.n_threads).map(task)
        return squares

    @cached_property
    def without_duplicates(self) -> Table:
        """X, with duplicate entries of CSR rows added up."""
        return without_duplicates(self.X, self.rows)

    @cached_property
    def squared_norms(self) -> Array:
        """|x_i|^2 of every row, float64 (n,)."""
        return squared_norms(self.without_duplicates)

    # Inside ---------------------------------------------------------------------------------------------

    def _over_ranges(
        self,
        add: Callable[..., Any],
        out: Array | None = None,
        scale: float = 1.0,
        l2: float = 0.0,
        theta: Any = None,
    ) -> list[list[Any]]:
        """Return the results of add(first, stop, scratch, gradient), a list for each range.

        Unless it is None, the sum of the ranges' gradients is written to out.
        """
        ranges = self._ranges

        def task(some: slice) -> tuple[list[Any], Any]:
            scratch, gradient = self._scratch.take(), None
            if out is not None:
                gradient = self._gradients.take()
                gradient.fill(0)
            results = [add(*call, scratch, gradient) for call in ranges.calls(some)]
            self._scratch.give(scratch)
            return results, gradient

        found = ranges.map(task)
        if out is not None:
            self._finish([gradient for _, gradient in found], scale, l2, theta, out)
        return [results for results, _ in found]

    def _count_pass(self) -> None:
        """Take rows by tiles as soon as many passes are made, where this is faster."""
        self._passes += 1
        if self._passes != PASSES + 1 or not self.is_sparse:
            return
        if isinstance(self._wide, WideSparseModel):
            self._wide.use_tiles()
            return
        ranges = self._ranges
        calls = [call for some in ranges for call in ranges.calls(some)]
        if use_tiles(self._view, self._used, calls, self.n_threads) is not None:
            self._scratch = parallel.Buffers(self._view.scratch_size, self.dtype)

    def _shared_gradient(self, out: Array) -> Array:
        """Return a zero gradient in the kernels' layout: `out` itself, if it has that layout."""
        fits = self._view.uses_theta and out.dtype == self.dtype and out.flags.c_contiguous
        gradient = out if fits else self._gradients.take()
        self._over_theta(lambda some: gradient[some].fill(0), gradient)
        return gradient

    def _finish(self, gradients: list[Array], scale: float, l2: float, theta: Array, out: Array) -> None:
        """out = scale times the sum of the gradients, in order, + l2 W. Returns the gradients to their buffers."""
        if self._features is None:
            self._unpack(gradients, scale, l2, theta, out)
        else:
            some = np.empty((len(self._features), self.K), out.dtype)
            self._unpack(gradients, scale, l2, some if l2 == 0 else theta.take(self._features, axis=0), some)
            if l2 == 0:
                out.fill(0)
            else:
                np.multiply(theta, l2, out=out, dtype=np.float64, casting="same_kind")
            out[self._features] = some
        if not self.fit_intercept:
            out[-1] = 0
        for gradient in gradients:
            if gradient is not out:
                self._gradients.give(gradient)

    def _unpack(self, gradients: list[Array], scale: float, l2: float, theta: Array, out: Array) -> None:
        self._over_theta(
            lambda some: self._view.unpack(gradients, scale, l2, theta, out, some.start, some.stop),
            out,
            len(gradients),
        )

    def _over_theta(self, task: Callable[[slice], Any], theta: Array, arrays: int = 1) -> list[Any]:
        """Return [task(range of rows of theta), ...]. arrays: how many arrays of this size the task reads."""
        count = min(16, theta.size * arrays // _MIN_ENTRIES)
        if count <= 1:
            return [task(slice(0, len(theta)))]
        return Ranges.by_count(len(theta), count, self.n_threads).map(task)

    def _pack(self, theta: Array) -> Array:
        """Return theta in the kernels' layout."""
        view = self._view
        if not self.fit_intercept and theta[-1].any():
            theta = theta.copy()
            theta[-1] = 0
        if view.uses_theta:
            return np.ascontiguousarray(theta, self.dtype)
        if self._features is not None:
            theta = theta.take(self._features, axis=0)
        weights = self._weights.take()
        self._over_theta(lambda some: view.pack(theta, weights, some.start, some.stop), theta)
        return weights

    def _give_back(self, *packed: Array | None) -> None:
        if not self._view.uses_theta:
            for weights in packed:
                if weights is not None:
                    self._weights.give(weights)


def _part(X: Table, targets: Targets, K: int, fit_intercept: bool) -> Part:
    return Part(X, targets, K, fit_intercept=fit_intercept)
