"""The objective: the function to minimise, and all that solvers see of the data.

    F(W, b) = (1/S) sum over parts  sum_i s_i loss_i  +  penalty(W)

    S = sum_i s_i w_{y_i},  for soft labels  sum_i s_i

An objective is an ordered sum over parts: ranges of rows with their targets. An engine visits the parts:
data/local.py has them in memory, data/streamed.py loads one after the other, dask/engine.py sends the work to where
they lie. A solver that uses only the methods of this class runs on every engine. With the same part boundaries, it
gives the same bits on all of them.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .data.digest import digest
from .data.local import Local
from .data.moments import Moments, spread_of_rounding
from .data.scaled import ldexp
from .data.streamed import Streamed
from .data.targets import Targets
from .loss import Part, Workspace
from .penalty import Penalty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Self

    from .data.engine import Engine
    from .typing import Array, Table


_SAMPLE_PARTS, _SAMPLE_ROWS = 3, 2000  # which are in memory for a sample of all parts, the larger of the two


@dataclass
class _Known:
    """Results that depend on the parts alone; objectives that differ only in the penalty share them."""

    passes: float = 0.0
    moments: Moments | None = None
    flat: np.ndarray | None = None
    sample: tuple[tuple[int, int] | None, Part | None] = (
        None,
        None,
    )  # of parts: what was asked for, and the Part


class Objective:
    """The mean (or sum) of the parts' losses, and a penalty. Input is trusted.

    Parameters
    ----------
    engine : Engine
    penalty : Penalty
    reduction : {"mean", "sum", "none"}
        Whether losses are divided by S. "none" is for `row_losses` only. "sum" and "none" need a single part.

    Attributes
    ----------
    shape : (d + 1, K)
        Shape of theta: feature-major, the intercept last; K = 1 is a binary model.
    dtype : numpy dtype of the features
    n_rows, n_classes : int
    rows_of_parts : list of int
    total_weight : float
        S, in units of 2**weight_exponent: weights may have any magnitude, and a common scale is divided out.
    weight_exponent : int
    least_mass : float
        The smallest positive mass of a row (see `Targets.masses`) as a share of S; infinite if there is none.
    fit_intercept : bool
        If False, the last row of theta is taken as zero, and so is its gradient.
    penalty : Penalty
        `value` and the gradients do not include L1; solvers read it from here.
    is_sparse : bool
    cost : int
        Multiplications in a pass, see data.ranges.cost.
    local : Part or None
        The data in memory, for solvers that need single rows or columns.
    passes : float
        Passes over the data so far: 1 for a value with or without gradient, 1.5 or 1 for a Hessian product.
    n_threads : int or None
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    n_classes: int
    fit_intercept: bool
    n_threads: int | None
    is_sparse: bool
    local: Any  # a Part or None: solvers that need it are for data in memory
    penalty: Penalty
    rows_of_parts: list[int]
    n_rows: int
    cost: int
    weight_exponent: int
    _total_weight: float | None
    _present_of_parts: list[int]
    _scales: list[float]
    _counted_by: Objective | None

    def __init__(self, engine: Engine, penalty: Penalty | None = None, *, reduction: str = "mean") -> None:
        self._engine = engine
        self.penalty = Penalty() if penalty is None else penalty
        self.local = engine.local
        facts = list(engine.each("facts")) if self.local is None else [self.local]
        first = facts[0]
        self.shape, self.dtype, self.n_classes = first.shape, first.dtype, first.n_classes
        self.fit_intercept, self.n_threads = first.fit_intercept, first.n_threads
        self.is_sparse = first.is_sparse
        self._known = _Known()
        self._counted_by = None  # another objective that also counts this one's passes
        if self.local is not None:
            self.rows_of_parts, self.n_rows, self.cost = [first.n_rows], first.n_rows, first.cost
            self.weight_exponent = first.weight_exponent
            self._total_weight = None
            self._scales = [self.local.targets.scale(reduction)]
        else:
            self.rows_of_parts = [part.n_rows for part in facts]
            self.n_rows = sum(self.rows_of_parts)
            self.cost = sum(part.cost for part in facts)
            self.weight_exponent = max(part.weight_exponent for part in facts)
            units = [float(ldexp(1.0, part.weight_exponent - self.weight_exponent)) for part in facts]
            self._total_weight = total = sum(
                unit * part.total_weight for unit, part in zip(units, facts, strict=True)
            )
            self._present_of_parts = [part.n_present for part in facts]
            whole = 1.0 / total if total > 0 else 0.0
            self._scales = [unit * whole for unit in units]

    @classmethod
    def over(
        cls,
        X: Table,
        targets: Targets,
        K: int | None = None,
        *,
        penalty: Penalty | None = None,
        fit_intercept: bool = True,
        reduction: str = "mean",
        n_threads: int | None = None,
    ) -> Self:
        """Return the objective over arrays in memory, as one part. K: columns of logits; default one per class."""
        K = targets.n_classes if K is None else K
        part = Part(X, targets, K, fit_intercept=fit_intercept, n_threads=n_threads)
        return cls(Local([part]), penalty, reduction=reduction)

    @classmethod
    def streamed(
        cls,
        batches: Iterable[tuple[Any, ...]],
        n_classes: int,
        K: int | None = None,
        *,
        penalty: Penalty | None = None,
        fit_intercept: bool = True,
        n_threads: int | None = None,
    ) -> Objective:
        """Return the mean objective over batches (X, y) or (X, y, weight), with one batch in memory at a time."""
        K = n_classes if K is None else K
        how: dict[str, Any] = {
            "fit_intercept": fit_intercept,
            "n_threads": n_threads,
            "workspace": Workspace(),
        }

        def bind(X: Table, y: Array, weight: Array | None) -> Part:
            return Part(X, Targets(y, n_classes, weight), K, **how)

        return cls(Streamed(batches, bind), penalty)

    def with_penalty(self, penalty: Penalty) -> Objective:
        """Return the objective over the same parts with another penalty; passes are counted together."""
        other = object.__new__(Objective)
        vars(other).update(vars(self), penalty=penalty)
        return other

    @property
    def n_features(self) -> int:
        """d"""
        return self.shape[0] - 1

    @property
    def K(self) -> int:
        """Columns of logits."""
        return self.shape[1]

    @property
    def total_weight(self) -> float:
        return self.local.targets.total if self._total_weight is None else self._total_weight

    @property
    def least_mass(self) -> float:
        return min(self._each("least_mass"))

    @property
    def passes(self) -> float:
        return self._known.passes

    @passes.setter
    def passes(self, passes: float) -> None:
        self._known.passes = passes

    def count(self, passes: float) -> None:
        """Count passes over the data that were made elsewhere."""
        self._known.passes += passes
        if self._counted_by is not None:
            self._counted_by.count(passes)

    def digests(self) -> tuple[str, ...]:
        """Return digests of all rows, and of their targets and weights. Takes a pass, which is not counted."""
        return tuple(digest(*parts) for parts in zip(*self._engine.each("digests"), strict=True))

    def initial(self) -> Array:
        """Return theta = 0."""
        return np.zeros(self.shape)

    # F and its derivatives ------------------------------------------------------------------------------

    def value(self, theta: Array) -> float:
        """Return F(theta)."""
        theta = np.ascontiguousarray(theta)
        self.count(1)
        return self._sum("loss", theta) + self.penalty.smooth(theta)

    def value_and_grad(self, theta: Array, out: Array | None = None) -> tuple[float, Array]:
        """Return F(theta) and its gradient, an array like theta."""
        theta = np.ascontiguousarray(theta)
        self.count(1)
        loss, out = self._summed("loss_and_grad", (theta,), theta, out)
        return loss + self.penalty.smooth(theta), out

    def hessp(self, theta: Array, v: Array, out: Array | None = None) -> Array:
        """Return the Hessian at theta times v, an array like theta."""
        theta, v = np.ascontiguousarray(theta), np.ascontiguousarray(v)
        passes, out = self._summed("hessp", (theta, v), v, out)
        self.count(passes / len(self.rows_of_parts))
        return out

    def _summed(
        self, method: str, arguments: tuple[Array, ...], at: Array, out: Array | None
    ) -> tuple[float, Array]:
        """Sum a method's (number, array) over the parts; add the penalty's gradient to the array."""
        penalty = self.penalty
        if self.local is not None:
            fused = penalty.l2 if penalty.factors is None else 0.0  # added while the array is in cache
            number, out = getattr(self.local, method)(*arguments, *self._scales, fused, out)
            if not fused:
                penalty.add_gradient(at, out)
            return number, out
        number, total = self._sum(method, *arguments, add=_add)
        if out is None:
            out = total
        else:
            out[:] = total
        penalty.add_gradient(at, out)
        return number, out

    def _each(self, method: str, *arguments: Any) -> Iterator[Any]:
        """Yield a method's result for every part; the scale of the part's weights is its last argument."""
        return self._engine.each(method, *arguments, by_part=[(scale,) for scale in self._scales])

    def _sum(self, method: str, *arguments: Any, add: Callable[[Any, Any], Any] = operator.add) -> Any:
        """Return the sum of the same over the parts."""
        return self._engine.sum(method, *arguments, by_part=[(scale,) for scale in self._scales], add=add)

    def row_losses(self, theta: Array) -> Array:
        """Return s_i loss_i of every row (n,), with the weights as given, in the dtype of the data."""
        self.count(1)
        return np.concatenate(list(self._engine.each("row_losses", np.ascontiguousarray(theta))))

    def is_certain(self, theta: Array) -> bool:
        """Whether a row's own label is likelier than all others together, for every row (of labels, not soft ones)."""
        self.count(1)
        return all(self._engine.each("is_certain", np.ascontiguousarray(theta)))

    # Moments --------------------------------------------------------------------------------------------

    def column_moments(self) -> Moments:
        """Return the Moments (mean, deviation) of the columns, weighted by the rows' masses; computed once."""
        known = self._known
        if known.moments is None:
            known.moments = self._sum("column_moments")
        return known.moments

    def columns_without_spread(self) -> Array:
        """Return which columns are constant up to rounding, bool (d,); computed once."""
        known = self._known
        if known.flat is None:
            moments = self.column_moments()
            mean, deviation = moments.mean, moments.deviation
            bound = spread_of_rounding(mean, self.dtype)
            flat = deviation <= bound
            # If only a few entries differ from the rest, the deviation is small however far they are.
            doubtful = np.flatnonzero(flat & (deviation > 0))
            if len(doubtful):
                far = np.max(list(self._engine.each("farthest", doubtful, mean[doubtful])), axis=0)
                flat[doubtful] = far <= bound[doubtful]
            known.flat = flat
        return known.flat

    def curvature_moments(self, theta: Array) -> tuple[Moments, Array]:
        """Return the statistics for a diagonal model of the Hessian at theta.

        These are the Moments of the columns, weighted by the rows' curvatures ``c_i (1 - |p_i|^2)``, and
        ``beta_k = sum_i c_i p_ik (1 - p_ik)``, of shape (K,); both relative to S.
        """
        self.count(0.5)
        return self._sum("curvature_moments", np.ascontiguousarray(theta), add=_add)

    @property
    def fitting_rows(self) -> int:
        """How many rows a sample may have to be as large as a few parts."""
        return min(self.n_rows, max(_SAMPLE_PARTS * max(self.rows_of_parts), _SAMPLE_ROWS))

    # Some of the rows -----------------------------------------------------------------------------------

    def sample(
        self,
        count: int,
        theta: Array | None = None,
        *,
        columns: tuple[Array, Array] | None = None,
        seed: int = 0,
    ) -> Objective:
        """Return a local objective over a sample of at most `count` rows, with the same penalty.

        Parameters
        ----------
        count : int
        theta : ndarray (d + 1, K) or None
            If None, rows of positive weight are drawn uniformly without replacement, and keep their weights. Otherwise
            four fifths of a row's chance are in proportion to its trace in the Hessian at theta,
            ``c_i (1 - |p_i|^2) |a_i|^2``, and one tenth each to its curvature and its mass. Its weight is divided by
            its chance.
        columns : (mean, scale), float64 (d + 1,) each, or None
            ``a_i = (x_i - mean) scale``.
        seed : int

        Returns
        -------
        Objective
            It counts its own passes.
        """
        if count >= self.n_rows and self.local is not None:
            return Objective(Local([self.local]), self.penalty)
        asked = (count, seed) if theta is None and self.local is None else None  # all parts are read for it
        part: Any
        known, part = self._known.sample
        if asked is None or asked != known:
            part = self._drawn_part(count, theta, columns, np.random.default_rng(seed))
            if asked is not None:
                self._known.sample = asked, part
        return Objective(Local([part]), self.penalty)

    def _drawn_part(self, count: int, theta: Array | None, columns: Any, rng: np.random.Generator) -> Part:
        if theta is not None and count < self.n_rows:
            return self._drawn_by_traces(count, np.ascontiguousarray(theta), columns, rng)
        if theta is None:
            counts = [self.local.n_present] if self.local is not None else self._present_of_parts
        else:
            counts = self.rows_of_parts
        n = sum(counts)
        chosen = np.arange(n) if count >= n else np.sort(rng.choice(n, count, replace=False))
        starts = np.cumsum([0, *counts])
        bounds = np.searchsorted(chosen, starts)
        by_part = [
            (chosen[a:b] - start,) for a, b, start in zip(bounds[:-1], bounds[1:], starts[:-1], strict=True)
        ]
        taken = self._engine.each("take_present" if theta is None else "take", by_part=by_part)
        return Part.joined([part for part in taken if part is not None])

    def _drawn_by_traces(
        self, count: int, theta: Array, columns: tuple[Array, Array], rng: np.random.Generator
    ) -> Part:
        """Draw a row in each of `count` strata of the rows, by their chances. Only sums by part come here."""
        self.count(0.5 if self.local is not None else 1.0)
        sums = np.array(list(self._each("trace_sums", theta, *columns)))
        shares = np.array([0.8, 0.1, 0.1]) / np.maximum(sums.sum(axis=0), np.finfo(float).tiny)
        bounds = np.cumsum([0.0, *(sums @ shares)])
        draws = bounds[-1] * (np.arange(count) + rng.random(count)) / count
        draws = np.minimum(draws, np.nextafter(bounds[-1], 0.0))
        of_part = np.searchsorted(bounds, draws, side="right") - 1
        by_part = [
            (scale, shares, draws[of_part == i] - bounds[i], count) for i, scale in enumerate(self._scales)
        ]
        taken = self._engine.each("take_drawn", theta, *columns, by_part=by_part)
        return Part.joined([part for part in taken if part is not None])

    def over_part(self, part: Part) -> Objective:
        """Return the mean objective over another local part, with the same penalty; its passes are counted here too."""
        other = Objective(Local([part]), self.penalty)
        other._counted_by = self
        return other

    def over_features(self, chosen: Array) -> Objective:
        """Return the local objective over some of the features (a mask), with their penalty."""
        return Objective(Local([self.local.of_features(chosen)]), self.penalty.of_features(chosen))


def _add(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the elementwise sum of two tuples of numbers and arrays; overwrites the arrays of the first."""
    return tuple(x.__iadd__(y) if isinstance(x, np.ndarray) else x + y for x, y in zip(a, b, strict=True))
