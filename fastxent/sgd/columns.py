"""Columns in their own units: descent uses (x_j - shift_j) factor_j, which have similar sizes.

A step size that is small enough for incomes is far too small for ages, and a column at 2000 +- 10 acts like a second
intercept. If no step size is given, features are therefore scaled to similar sizes as the kernels read them. Instead of
w and b, u and v are trained, with

    z = sum_j u_j (x_j - shift_j) factor_j + v          w_j = factor_j u_j          b = v - sum_j shift_j w_j

The model and the objective do not change; the penalty is that of w. For plain SGD this amounts to a step size for each
column, w_j -= eta factor_j^2 (g_j + alpha w_j), and steps around the columns' means (normalised and centred online
learning: Ross, Mineiro, Langford 2013; LeCun, Bottou, Orr, Mueller 1998).

Sizes are measured on the rows seen so far, whenever their number has doubled. The size of a column is the root mean
square of its nonzero entries, so that rare words do not look small, or its standard deviation if it has a shift.
Factors are powers of two, which cause no rounding. Columns that differ from the median size by less than a factor of
about eight keep a factor of 1, and columns with a small mean keep a shift of 0. If all columns do, rows are used
unchanged, which is faster.

In the mean gradient of b rows, what they have in common adds up, and the rest does not. With n the mean of |x_i|^2, the
mean of x x^T over a batch is about n / b along a row that has nothing in common with the others. Along column j it is
m_j, the mean of x_ij^2, and up to c m_j where the c columns of a row always occur together. A step that suits both
directions counts the size of a column as that of its entries times

    sqrt(1 + (b - 1) c m_j / n)

so that rare columns need not wait for frequent ones (expected separable overapproximation: Takac, Bijral, Richtarik,
Srebro 2013; Richtarik, Takac 2016). Of dense rows the mean is the steepest direction, and the one that columns have in
common. There more columns are centred, and c is 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..arrays import finfo

if TYPE_CHECKING:
    from typing import Any

    from ..kernels import RowFeatures
    from ..typing import Array

FIRST_REVIEW = 4  # rows; fewer say little about a spread
SAMPLE = 512  # least number of rows sampled per doubling: enough for sizes within a factor of two
ALIKE = 2  # binary orders of magnitude: smaller differences of size do not slow a descent
_STEEP = 10.0  # standard deviations; a mean beyond hides the differences in a column
_STAYS = 0.25  # a shift stays while the squared mean is at least this share of the variance
_NEAR = 0.1  # standard deviations by which a shift may differ from the mean
_LEVEL = 0.25  # means are harmless below this share of the rows' mean square
_TOGETHER = 0.25  # ... and, in minibatches, if they are smaller still, by this factor in both
_DENSE = 0.25  # share of nonzero entries from which on minibatches are centred
_REPAID = 8  # entries for each column, after which it costs little to look at all weights


class Standard(NamedTuple):
    """The change of units: arrays of length d."""

    shift: np.ndarray
    factor: np.ndarray

    def natural_weights(self, theta: Array) -> Array:
        """Return w and b for u and v, (d + 1, K) in float64."""
        theta = theta.astype(np.float64)
        theta[:-1] *= self.factor[:, None]
        theta[-1] -= self.shift @ theta[:-1]
        return theta

    def own_weights(self, theta: Array) -> Array:
        """Return u and v for w and b, (d + 1, K) in float64."""
        theta = theta.astype(np.float64)
        theta[-1] += self.shift @ theta[:-1]
        theta[:-1] /= self.factor[:, None]
        return theta

    def own_gradient(self, gradient: Array) -> Array:
        """Turn a gradient with respect to w and b into one with respect to u and v."""
        gradient = gradient.astype(np.float64)
        gradient[:-1] = (gradient[:-1] - self.shift[:, None] * gradient[-1]) * self.factor[:, None]
        return gradient

    def natural_gradient(self, gradient: Array) -> Array:
        """Turn a gradient with respect to u and v into one with respect to w and b."""
        gradient = gradient.astype(np.float64)
        gradient[:-1] = gradient[:-1] / self.factor[:, None] + self.shift[:, None] * gradient[-1]
        return gradient


class Columns:
    """Statistics of the columns over the rows seen so far.

    one_step: whether the intercept has the same step size as the features. Then it counts as a column of size 1, and
    if the others' sizes are far from 1, they are scaled to it.
    together: the number of rows whose gradients are added up in a step.
    """

    rows: int
    next_review: int

    def __init__(
        self, d: int, dtype: np.dtype[Any], centred: bool, one_step: bool = False, together: int = 1
    ) -> None:
        self._dtype = dtype
        self._centred = centred
        self._one_step = one_step
        self._together = together
        self._sizes = np.ones(d)  # the part of the factors that comes from the sizes of entries
        self._known = np.zeros((4, d))  # see `look` in kernels/columns.pxi
        self._mass = 0.0
        self.rows = 0
        self.next_review = FIRST_REVIEW
        self.standard: Standard | None = None

    def copy(self) -> Columns:
        other = object.__new__(Columns)
        vars(other).update(vars(self))
        other._known = self._known.copy()
        return other

    def change(self, centred: bool, one_step: bool, together: int = 1) -> None:
        """Set whether columns may be shifted, which needs an intercept, whether it shares their step size, and how
        many rows a step has."""
        if (centred, one_step, together) != (self._centred, self._one_step, self._together):
            self._centred, self._one_step, self._together = centred, one_step, together
            self.standard, self.next_review = None, self.rows
            self._sizes = np.ones(len(self._sizes))

    def observe(self, features: RowFeatures, rows: Array) -> None:
        """Sample some of these next rows; which ones depends only on the number of rows so far."""
        rest = rows
        while len(rest):
            stride = max(1, (1 << max(0, self.rows.bit_length() - 1)) // SAMPLE)
            stop = min(len(rest), (1 << self.rows.bit_length()) - self.rows)
            chosen = np.ascontiguousarray(rest[-self.rows % stride : stop : stride])
            features.observe(chosen, np.full(1, float(stride)), self._known)
            self._mass += stride * len(chosen)
            self.rows += stop
            rest = rest[stop:]

    def observe_all(self, features: RowFeatures, rows: Array, weights: Array | None) -> None:
        """Use all of these rows. weights: of rows, or None."""
        masses = np.ones(1) if weights is None else weights[rows] / weights[rows].mean()
        features.observe(rows, masses, self._known)
        self._mass += len(rows)
        self.rows += len(rows)

    def review(self) -> None:
        """Update the standard, unless it is still accurate enough."""
        while self.next_review <= self.rows:
            self.next_review *= 2
        mean, variance, square, size = self._moments()
        zeros, ones = np.zeros(len(mean)), np.ones(len(mean))
        old = self.standard or Standard(zeros, ones)
        least, level = np.where(old.shift != 0, _STAYS, 1.0), _LEVEL
        if self._is_dense():
            least, level = _TOGETHER * least, _TOGETHER * level
        shifted = (variance > 0) & (mean**2 > least * variance) & self._centred
        factor = self._factors(np.where(shifted, variance, size), self._sizes)
        if shifted.any() and np.sum((factor * mean)[shifted] ** 2) < level * np.sum(factor**2 * square):
            shifted &= mean**2 > _STEEP**2 * least * variance
            factor = self._factors(np.where(shifted, variance, size), self._sizes)
        near = (old.shift != 0) & ((mean - old.shift) ** 2 <= _NEAR**2 * variance)
        shift = np.where(shifted, np.where(near, old.shift, mean), 0.0).astype(self._dtype).astype(np.float64)
        crowded = self._crowded(factor**2 * np.where(shifted, variance, square), old.factor / self._sizes)
        self._sizes = factor
        factor = factor * crowded
        if (shift == old.shift).all() and (factor == old.factor).all():
            return
        self.standard = Standard(shift, factor) if (factor != 1.0).any() or shifted.any() else None

    @property
    def is_time(self) -> bool:
        """Whether to look again, at this review, at what depends on the rows of a minibatch: at every other one, once
        there have been more entries than columns."""
        seen = self._known[0].sum()
        return (
            self._together > 1
            and seen >= _REPAID * self._known[0].size
            and self.next_review.bit_length() % 2 == 0
        )

    def _is_dense(self) -> bool:
        """Whether these are minibatches of rows with many entries, which are centred."""
        return self._together > 1 and self._known[0].sum() >= _DENSE * self._known[0].size * self._mass

    def _crowded(self, squares: Array, before: Array) -> Array:
        """Return the factors for rows that are added up, 1 for the columns where they have least in common.

        squares: of the columns in units that make entries similar; before: the factors so far.
        """
        total = squares.sum()
        if not self.is_time or total == 0.0:
            return before
        common = 1.0 if self._is_dense() else self._known[0].sum() / self._mass
        steeper = 1.0 + (self._together - 1) * common * squares / total
        seen = self._known[0] > 0
        quarters = np.frexp(steeper**2)[1]  # of a binary order of magnitude of the size
        quarters = np.where(seen, quarters - quarters[seen].min(), 0)
        last = 1 - np.frexp(before)[1]
        order = np.where(np.abs(quarters - 4 * last) < 3, last, np.rint(quarters / 4).astype(int))
        return np.ldexp(1.0, -order)

    def _factors(self, squares: Array, before: Array) -> Array:
        """Return the factors that give columns with these mean squares similar sizes; 1 near the median size."""
        entries = self._known[0]
        seen = entries > 0
        order = np.frexp(squares)[1] // 2  # binary order of magnitude of the size
        usual = _median(order[seen], entries[seen]) if seen.any() else 0
        if self._one_step and abs(usual) > ALIKE:
            usual = 0
        off = np.where(seen, usual - order, 0)
        if (np.abs(off) <= ALIKE).all() and (before == 1.0).all():
            return np.ones(len(order))
        most = finfo(self._dtype).maxexp // 2 - 4  # the square of a factor must not overflow
        off = np.where(np.abs(off) > ALIKE, np.clip(off, -most, most), 0)
        last = np.frexp(before)[1] - 1
        stays = np.abs(off - last) <= np.where((off == 0) | (last == 0), ALIKE + 1, 1)
        return np.ldexp(1.0, np.where(stays & seen, last, off))

    def mean_square(self) -> float:
        """Return the mean of |x_i|^2 in the current units."""
        mean, variance, square, _ = self._moments()
        if self.standard is None:
            return float(square.sum())
        shift, factor = self.standard
        return float((factor**2 * (variance + (mean - shift) ** 2)).sum())

    def _moments(self) -> tuple[Array, ...]:
        """Return mean, variance and mean square of each column, and the mean square of its nonzero entries."""
        count, first, total, squares = self._known
        with np.errstate(invalid="ignore", divide="ignore"):
            share = count / self._mass
            off = np.where(count > 0, total / count, 0.0)
            spread = np.where(count > 0, np.maximum(squares / count - off**2, 0.0), 0.0)
        middle = first + off
        square = share * (spread + middle**2)
        return share * middle, share * spread + share * (1.0 - share) * middle**2, square, spread + middle**2


def _median(values: Array, weights: Array) -> int:
    if len(values) == 0:
        return 0
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return values[order][np.searchsorted(total, 0.5 * total[-1])]
