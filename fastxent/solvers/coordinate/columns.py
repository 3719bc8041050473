"""The columns of X, as coordinate descent reads them, and a binary model's loss over sparse ones.

A row of a binary model has one logit. To evaluate loss and gradient after a step, it is enough to store z, initially
X W + b:

    z <- z + t X (V - W)              over the columns of the weights that moved
    loss, r, h                        of the rows; r and h its first two derivatives with respect to z
    gradient  X' r

This costs half a pass over the data instead of a whole pass by rows, and another step t costs hardly anything. All of
it is in double precision, on the original data. (O. Fercoq, P. Richtarik, "Accelerated, parallel, and proximal
coordinate descent", SIAM Journal on Optimization 25, 2015, maintain z in this way.)

Most slopes are computed less often. While steps are long, those that were far below the penalty stay as they were,
until a step is short or the model's estimate is to be believed. If no entry is negative and all rows have the same
logit, as in the beginning, X' r follows from the sums of X over each class, which are counted along with the entries.

Residuals are bounded, and so is X' r. Columns with a bound that is at most the L1 penalty have zero weights at every
optimum, and are left out from the start: in text, these are most columns. (L. El Ghaoui, V. Viallon, T. Rabbani, "Safe
feature elimination in sparse supervised learning", Pacific Journal of Optimization 8, 2012, have tighter bounds.)

Sweeps read the columns in single precision unless the data are small: the loss of accuracy shrinks with the step,
because the gradient is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import entr, expit

from ... import kernels
from ...data.ranges import Ranges
from ...data.targets import log_odds
from ...loss import Part
from ...parallel import ordered_sum
from ...penalty import Penalty
from .turned import Turned

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...objective import Objective
    from ...typing import Array
    from .prox_newton import _Step


NEAR = 0.5  # share of the penalty from which on a slope lets a weight move in later iterations
SMALL = 2_000_000  # multiplications in a pass that costs hardly anything
_MANY = 4_000_000  # from this number on, entries do not fit into caches
_ENTRIES = 100_000  # in a range of rows that is worth its own thread
_PARTS = 4  # of the rows, while they are turned into columns
_ROWS = 1 << 16  # in a range of logits
_BLOCK = 1 << 15  # probabilities at a time, for their entropy
_LONG = 0.1  # a step is long if it decreases F by this share of what the first step since all slopes were computed did
_STALE = 2  # long steps in a row


@dataclass
class Columns:
    """The columns of a part's X.

    Attributes
    ----------
    dense : kernels.Columns or None
        Those of a dense X.
    turned : Turned or None
        Those of a sparse X.
    part : Part
        The rows: those of positive weight.
    dtype : dtype of the columns swept
    centred : bool
        Whether the columns were centred, as dense ones are.
    share : ndarray (d + 1,)
        Each column's share of all entries; the intercept's comes last.
    mean : ndarray (d + 1,)
        The number subtracted from each column.
    reach : ndarray (d,)
        The largest deviation of each column from its mean (dense), or its largest entry (sparse); 1 instead of 0.
    kept : ndarray of bool (d,) or None
        Columns whose weights may be nonzero; the others were left out and look empty.
    least_l1 : float
        The smallest L1 penalty for which the others' weights are zero.
    of_classes : (ndarray (d,), ndarray (d,)) or None
        X' one and X' zero, see `class_weights`, if they are known.
    """

    dense: Any
    turned: Any
    part: Part
    dtype: np.dtype
    centred: bool
    share: np.ndarray
    mean: np.ndarray
    reach: np.ndarray
    kept: np.ndarray | None = None
    least_l1: float = 0.0
    of_classes: tuple[Array, Array] | None = None

    @property
    def swept(self) -> kernels.Columns:
        """The columns for sweeps; sparse ones have to be turned first, by `need`."""
        return self.dense if self.turned is None else self.turned.swept

    def need(self, find: Callable[[], Array], near: Callable[[], Array]) -> None:
        """Turn sparse columns; see `Turned.need`."""
        if self.turned is not None:
            self.turned.need(find, near)


class Curvature(NamedTuple):
    """The Hessian of the loss at a point, as kernels/coordinate.pxi reads it; in the dtype of the columns swept.

    Attributes
    ----------
    P : ndarray (K, n)
        Probabilities; binary: p (1 - p) times the row's share of the weights.
    mass : ndarray (n,) or None
        Weights of the rows, relative to the largest; binary: None, P has them.
    largest : float
        The share of all weights that a mass of 1 stands for; binary: 1.
    """

    P: np.ndarray
    mass: np.ndarray | None = None
    largest: float = 1.0


def columns_of(objective: Objective, rough: bool = False) -> Columns:
    """Return the Columns of an objective over rows of positive weight; made anew only if the L1 penalty has fallen.

    rough: sweep in single precision also where the data are small, because the minimum is not wanted to all digits.
    """
    kept = objective.local.kept
    known = kept.columns
    if known is None or objective.penalty.l1 < known.least_l1:
        mass = objective.local.targets.masses
        part = objective.local if mass.all() else objective.local.take(np.flatnonzero(mass))
        make = _sparse if objective.is_sparse else _dense
        kept.columns = known = make(objective, part, known, rough)
    return known


def _dense(objective: Objective, part: Part, known: Columns | None, rough: bool) -> Columns:
    X = part.X
    n, d = X.shape
    over_rows = Ranges.in_cache(X.shape, objective.n_threads).map
    mean = np.append(objective.column_moments().mean, 0.0)
    ends = over_rows(lambda some: (X[some].min(axis=0), X[some].max(axis=0)))
    least, most = np.min([low for low, _ in ends], axis=0), np.max([high for _, high in ends], axis=0)
    reach = np.maximum(most - mean[:-1], mean[:-1] - least)
    dtype = _precision(objective, reach, rough)
    # Columns come centred: single precision then holds what differs from row to row.
    if not objective.fit_intercept:
        mean[:] = 0.0
    columns: Any = np.empty((n, d), dtype, order="F")
    over_rows(lambda some: np.subtract(X[some], mean[:-1], out=columns[some], casting="same_kind"))
    share, reach = np.full(d + 1, 1.0 / d), np.where(reach > 0, reach, 1.0)
    return Columns(kernels.Columns(columns), None, part, dtype, True, share, mean, reach)


def _sparse(objective: Objective, part: Part, known: Columns | None, rough: bool) -> Columns:
    X, l1, n_threads = part.X, objective.penalty.l1, objective.n_threads
    n, d = X.shape
    screen = known is None and objective.K == 1 and l1 > 0
    rows = X.data, X.indices, X.indptr, n, d
    over_rows = Ranges.by_cost(
        X, max(1, min(_PARTS, X.nnz // max(_ENTRIES, 8 * d))), 1, n_threads, total=X.nnz
    )
    classes = class_weights(part) if screen else None

    def sizes_of(some: slice) -> tuple[Array, bool]:
        sizes = np.zeros((d, 4))
        negative = [kernels.column_sizes(rows, classes, sizes, *call) for call in over_rows.calls(some)]
        return sizes, any(negative)

    sizes: Any
    sizes, negative = zip(*over_rows.map(sizes_of), strict=True)
    counts, kept = np.array([size[:, 0] for size in sizes], X.indices.dtype), None
    reach = np.max([size[:, 1] for size in sizes], axis=0)
    of_classes = None if known is None else known.of_classes
    if screen:  # weights are zero where no residuals can make a slope as large as the penalty
        least, most = sum(sizes)[:, 2:].T
        of_classes = None if any(negative) or not np.isfinite(most - least).all() else (-least, +most)
        kept = np.maximum(most, -least) > (1 - 1e-9) * objective.penalty.l1_of(d)
        counts *= kept
        reach *= kept
    entries = counts.sum(axis=0)
    nnz = int(entries.sum())
    # A binary model reads both arrays, so it copies only large ones.
    dtype = _precision(objective, reach, rough) if objective.K > 1 or nnz > _MANY else X.dtype
    turned = Turned(X, counts, over_rows, dtype, n_threads)
    share = np.append(entries, n) / max(nnz, 1)
    reach[reach == 0] = 1.0
    least_l1 = 0.0 if kept is None else l1
    return Columns(
        None, turned, part, dtype, False, share, np.zeros(d + 1), reach, kept, least_l1, of_classes
    )


def class_weights(part: Part) -> tuple[Array, Array]:
    """Return each row's weights of the classes 1 and 0 of a binary model, as shares of the total, (n,) each."""
    if part.kept.class_weights is None:
        targets = part.targets
        ones = targets.target == 1 if targets.plain else targets.distributions()[:, 1]
        mass = _shares(part)
        one = mass * ones
        part.kept.class_weights = one, mass - one
    return part.kept.class_weights


def _precision(objective: Objective, reach: Array, rough: bool) -> np.dtype[Any]:
    used = reach[reach > 0]
    moderate = used.min(initial=1.0) > 1e-15 and used.max(initial=1.0) < 1e15
    return np.dtype(np.float32 if moderate and (rough or objective.cost > SMALL) else np.float64)


def loss_of(objective: Objective) -> BinaryLoss | RowsLoss:
    """Return the evaluation that suits an objective."""
    return (BinaryLoss if objective.K == 1 and objective.is_sparse else RowsLoss)(objective)


class RowsLoss:
    """Loss and gradient of any objective, by passes over its rows."""

    keeps_logits = False
    stale: int = 0

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._columns: Any = columns_of(objective)
        columns = self._columns
        self._shares = _shares(columns.part)
        self._grad: Any = None
        self._curvature: Curvature | None = None
        self._masses = objective.local.targets.masses / max(objective.total_weight, np.finfo(float).tiny)

    def state(self) -> dict[Any, Any]:
        """Return what `restore` needs: nothing is stored between iterations."""
        return {}

    def restore(self, state: dict[Any, Any], theta: Array) -> None:
        """Go on from the state of another one, at theta."""

    def log_odds(self) -> Array:
        """Return the best intercepts for W = 0."""
        value, grad = self._objective.value_and_grad(self._objective.initial())
        K = max(2, len(grad[-1]))
        mass = value / np.log(K)
        share = (mass / K - grad[-1]) / mass if mass > 0 else np.full(len(grad[-1]), 1 / K)
        return log_odds(np.clip(share, 1e-6, 1 - 1e-6))

    def at(self, theta: Array) -> tuple[float, Array]:
        """Return value and gradient at theta."""
        return self._objective.value_and_grad(theta)

    def moved(self, theta: Array, value: float, grad: Array) -> tuple[float, Array]:
        """Return value and gradient at a theta where they are already known."""
        return value, grad

    def along(self, step: _Step, t: float) -> float:
        """Return the value at step.at(t)."""
        value, self._grad = self._objective.value_and_grad(step.at(t))
        return value

    def gradient(self, theta: Array, fall: float) -> Array:
        """Return the gradient at the point of the last value."""
        return self._grad

    def complete(self, theta: Array, grad: Array) -> bool:
        """Return False: the gradient is complete."""
        return False

    def curvature(self, theta: Array) -> Curvature:
        """Return the Curvature at theta, the point of the last gradient; the next call overwrites it."""
        objective, columns, shares = self._objective, self._columns, self._shares
        if self._curvature is None:
            P = np.empty((objective.K, len(shares)), columns.dtype)
            largest = float(shares.max(initial=0.0)) or 1.0
            weighted = ((shares / largest).astype(columns.dtype), largest) if objective.K > 1 else ()
            self._curvature = Curvature(P, *weighted)
        columns.part.probabilities(theta, shares, self._curvature.P)
        objective.count(0.5)
        return self._curvature

    def slopes_of(self, mixed: Array) -> Array:
        """Return sum_i c_i x_i (q - t_i)' (d, K), with c_i a row's share of the weights and q one distribution."""
        objective = self._objective
        K = objective.K
        mean = objective.column_moments().mean[:, np.newaxis] * self._masses.sum()
        _, at_zero = objective.with_penalty(Penalty()).value_and_grad(objective.initial())
        slopes = at_zero[:-1]  # of the uniform distribution
        slopes += mean * ((mixed[1:] if K == 1 else mixed) - 1 / max(K, 2))
        return slopes

    def entropy(self, theta: Array, share: float, mixed: Array, back: float) -> float:
        """Return sum_i c_i H(t_i + back ((1 - share) p_i + share mixed - t_i)), H being the entropy."""
        objective = self._objective
        targets = objective.local.targets
        objective.count(1)

        def part(rows: slice, P: Array) -> float:
            alpha = (1 - share) * P.astype(np.float64) + share * mixed
            T = targets.distributions(rows)
            return float(self._masses[rows] @ entr(T + back * (alpha - T)).sum(axis=1))

        return ordered_sum(objective.local.over_probabilities(theta, max(1, _BLOCK // len(mixed)), part))


class BinaryLoss:
    """The same for two classes and sparse columns, with stored logits z.

    After a long step, only some slopes are computed again: those that were near the penalty, or above it, the last time
    that all were computed.

    Attributes
    ----------
    stale : int
        Number of steps since all slopes were computed.
    """

    keeps_logits = True
    stale: int
    _STATE = "_z", "_slopes", "_near", "_long", "stale"

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._columns: Any = columns_of(objective)
        columns = self._columns
        self._turned = columns.turned
        self._one, self._zero = class_weights(columns.part)
        n, d = len(self._one), objective.n_features
        self._z, self._r, self._h = np.zeros(n), np.empty(n), np.empty(n)
        self._way: tuple[Any, Any] = None, None  # a step, and its change of z at t = 1
        self._l1 = objective.penalty.l1_of(d)
        self._slopes, self._near, self._long = np.empty(d), np.arange(d, dtype=np.intp), 0.0
        self.stale = 0

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._STATE} | {"turned": self._turned.state()}

    def restore(self, state: dict[str, Any], theta: Array) -> None:
        for name in self._STATE:
            setattr(self, name, state[name])
        self._turned.restore(state["turned"])
        self._value(self._z, theta)

    def log_odds(self) -> Array:
        one, zero = self._one.sum(), self._zero.sum()
        share = one / (one + zero) if one + zero > 0 else 0.5
        return log_odds(np.clip([share], 1e-6, 1 - 1e-6))

    def at(self, theta: Array) -> tuple[float, Array]:
        features = np.flatnonzero(theta[:-1])
        self._z = self._products(features, theta[features, 0], theta[-1, 0])
        self._way = None, None
        value = self._value(self._z, theta)
        self._compute_slopes(theta, constant=len(features) == 0)
        return value, self._gradient(theta)

    def moved(self, theta: Array, value: float, grad: Array) -> tuple[float, Array]:
        return value, self.at(theta)[1]  # the value has its L1 term

    def along(self, step: _Step, t: float) -> float:
        if self._way[0] is not step:
            features, moves = step.moves()
            inside = features < self._objective.n_features
            self._way = step, self._products(features[inside], moves[inside], moves[~inside].sum())
            self._before = self._z
        self._z = self._before + t * self._way[1]
        return self._value(self._z, step.at(t))

    def gradient(self, theta: Array, fall: float) -> Array:
        """Return the gradient at the point of the last value, to which a step led that was to decrease F by `fall`."""
        if self.stale == 0:
            self._long = _LONG * fall
        if fall >= self._long and self.stale < (0 if self._turned.few else _STALE):
            self._turned.products(self._r, self._slopes, self._near)
            self._objective.count(0.5 * float(self._columns.share[self._near].sum()))
            self.stale += 1
        else:
            self._compute_slopes(theta)
        return self._gradient(theta)

    def complete(self, theta: Array, grad: Array) -> bool:
        """Compute all slopes where some are stale; return whether further weights have to move from zero."""
        if self.stale == 0:
            return False
        before = np.abs(self._slopes) > self._l1
        self._compute_slopes(theta)
        grad[:] = self._gradient(theta)
        return bool(((np.abs(self._slopes) > self._l1) & ~before & (theta[:-1, 0] == 0)).any())

    def _compute_slopes(self, theta: Array, constant: bool = False) -> None:
        """Compute all slopes at theta, where z and r are known. constant: whether z is the same for all rows."""
        known = self._columns.of_classes
        if constant and known is not None:
            p = expit(theta[-1, 0])
            self._slopes = p * known[1] - (1 - p) * known[0]
        else:
            self._turned.products(self._r, self._slopes)
            self._objective.count(0.5)
        if not self._turned.few:  # else all slopes are always computed
            self._near = np.flatnonzero((np.abs(self._slopes) > NEAR * self._l1) | (theta[:-1, 0] != 0))
        self.stale = 0

    def _gradient(self, theta: Array) -> Array:
        grad = np.append(self._slopes, self._r.sum() if self._objective.fit_intercept else 0.0)[:, np.newaxis]
        self._objective.penalty.add_gradient(theta, grad)
        return grad

    def curvature(self, theta: Array) -> Curvature:
        return Curvature(self._h[np.newaxis].astype(self._columns.dtype))

    def slopes_of(self, mixed: Array) -> Array:
        known = self._columns.of_classes
        if known is not None:
            return (mixed[1] * (known[0] + known[1]) - known[0])[:, np.newaxis]
        slopes = np.empty((self._objective.n_features, 1))
        self._objective.count(0.5)
        self._turned.products(mixed[1] * (self._one + self._zero) - self._one, slopes[:, 0])
        return slopes

    def entropy(self, theta: Array, share: float, mixed: Array, back: float) -> float:
        def entropies(some: slice) -> float:
            how = share, mixed[1], back, some.start, some.stop
            return kernels.binary_entropy(self._z, self._one, self._zero, *how)

        return sum(self._over_logits().map(entropies))

    def _products(self, features: Array, weights: Array, start: float) -> Array:
        """Return start + the sum of columns times weights, (n,)."""
        z = np.full(len(self._z), start)
        features, weights = np.ascontiguousarray(features, np.intp), np.ascontiguousarray(weights)
        moving = np.zeros(self._objective.n_features, bool)
        moving[features] = True
        self._turned.need(lambda: moving, lambda: moving)
        self._turned.exact.add_to(z, features, weights, 0, len(features))
        self._objective.count(0.5 * float(self._columns.share[features].sum()))
        return z

    def _value(self, z: Array, theta: Array) -> float:
        def losses(some: slice) -> float:
            return kernels.binary_logits(z, self._one, self._zero, self._r, self._h, some.start, some.stop)

        return sum(self._over_logits().map(losses)) + self._objective.penalty.smooth(theta)

    def _over_logits(self) -> Ranges:
        return Ranges.by_step(len(self._z), _ROWS, self._objective.n_threads)


def _shares(part: Part) -> Array:
    """Return the weight of each row as a share of the total, (n,)."""
    total = part.targets.total
    return part.targets.masses / (total if total > 0 else 1.0)
