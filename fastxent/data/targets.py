"""The targets of the rows and their weights: labels or soft labels, sample and class weights, label smoothing.

The loss of row i is s_i sum_k w_k t_ik nll_ik, with t_i the distribution of its label or soft label, smoothed. This is
the only place where sample weights and class weights are combined, and where their common scale is divided out:
kernels and solvers see weights with a largest value near 1, and a mean depends only on the ratios.
"""

from __future__ import annotations

import operator
from copy import copy
from functools import cached_property, reduce
from typing import TYPE_CHECKING

import numpy as np

from .scaled import Scaled, floats_of, is_moderate, ldexp, smallest

if TYPE_CHECKING:
    from typing import Any

    from ..typing import Array


# Smallest weights, relative to the largest, that do not underflow: a weight times a probability in single precision;
# and a class weight times a row's weight in double precision.
_SINGLE, _DOUBLE = 2.0**-96, 2.0**-300
_BLOCK = 1 << 18  # entries of soft labels weighted at a time


class Targets:
    """Labels or soft labels of rows, and their weights with the scale divided out.

    Parameters
    ----------
    target : ndarray
        intp codes (n,) in 0..n_classes-1, or soft labels (n, n_classes), float32 or float64 in C order.
    n_classes : int
    sample_weight : float64 (n,), optional
        Not negative, of any magnitude.
    class_weight : float64 (n_classes,) or Scaled, optional
        Not negative, of any magnitude.
    smoothing : float in [0, 1]
    folded : bool
        Whether class weights are folded into soft labels and row weights, as they always are for labels. S is then the
        sum of the rows' weights with their classes' included.
    by_row : bool
        Whether each row's weight has a scale of its own, for results by row; ``exponent`` is then an array.

    Attributes
    ----------
    target, n_classes, row_weight, class_weight, smoothing
        As the kernels take them, see `arguments`. For labels without smoothing, row_weight includes the class weights.
        A weight that is None is 1 for all.
    exponent : int, or ndarray (n,)
        The weights are row_weight * class_weight * 2**exponent.
    """

    target: Array
    n_classes: int
    smoothing: float
    class_weight: Array | None

    def __init__(
        self,
        target: Array,
        n_classes: int,
        sample_weight: Array | None = None,
        class_weight: Array | Scaled | None = None,
        smoothing: float = 0.0,
        *,
        folded: bool = False,
        by_row: bool = False,
    ) -> None:
        self.target, self.n_classes, self.smoothing, self.class_weight = target, n_classes, smoothing, None
        self.row_weight: Array | None
        self.exponent: Any  # int, or an array
        self._class_range, self._of_classes = 1.0, 0
        own = counted = None  # the classes' factor on a row's weight: for the kernels, and in S
        if class_weight is not None:
            if not isinstance(class_weight, Scaled):
                class_weight = Scaled(class_weight)
            counted = own = _of_labels(class_weight, target) if target.ndim == 1 else None
            if target.ndim == 2 or smoothing > 0.0:
                own, (floats, self._of_classes) = None, class_weight.floats()
                self._class_range = min(1.0, smallest(floats))
                if folded or self._class_range < _DOUBLE:
                    own, self._of_classes = self._fold(class_weight), 0
                    counted = own if folded else counted
                else:
                    self.class_weight = floats
        if by_row:
            weights = _product(np.ones(len(target)) if sample_weight is None else sample_weight, own)
            self.row_weight, self.exponent = weights.mantissa, weights.exponent + self._of_classes
            return
        self.row_weight, of_rows = _floats(sample_weight, own)
        self.exponent = of_rows + self._of_classes
        mass, of_mass = (self.row_weight, of_rows) if counted is own else _floats(sample_weight, counted)
        self._sum = float(len(target) if mass is None else np.sum(mass)), of_mass - self.exponent

    def _fold(self, class_weight: Scaled) -> Scaled:
        """Turn the targets into soft labels that include the class weights; return each row's weight (n,)."""
        n, K = len(self.target), self.n_classes
        keeps = self.target.ndim == 2 and self._class_range >= _SINGLE
        soft = np.empty((n, K), self.target.dtype if keeps else np.float64)
        mass, exponent = np.empty(n), np.empty(n, np.int32)
        for first in range(0, n, max(1, _BLOCK // K)):
            rows = slice(first, first + max(1, _BLOCK // K))
            weighted = Scaled(self._smoothed(rows)) * class_weight
            exponent[rows] = weighted.exponent.max(axis=1)
            shares = weighted.without(exponent[rows, np.newaxis])
            mass[rows] = shares.sum(axis=1)
            soft[rows] = _distributions(shares, mass[rows])
        self.target, self.smoothing = soft, 0.0
        return Scaled(mass, exponent)

    def _smoothed(self, rows: slice) -> Array:
        target = self.target[rows]
        T = np.eye(self.n_classes)[target] if target.ndim == 1 else target.astype(np.float64)
        return (1.0 - self.smoothing) * T + self.smoothing / self.n_classes

    @property
    def arguments(self) -> tuple[Array, int, Array | None, Array | None, float]:
        """The arguments that kernels take."""
        return self.target, self.n_classes, self.row_weight, self.class_weight, self.smoothing

    @property
    def total(self) -> float:
        """S * 2**-exponent, where S is the sum of s_i w_{y_i}, or of s_i for soft labels."""
        return float(ldexp(*self._sum))

    def scale(self, reduction: str) -> float:
        """Return the factor on sums of losses with these weights; for the mean 1 / S, or 0 if S is zero."""
        if reduction == "none":
            return 1.0
        if reduction == "sum":
            return float(ldexp(1.0, self.exponent))
        total, exponent = self._sum
        if total > 0.0:
            return 1.0 / total if exponent == 0 else float(ldexp(1.0 / total, -exponent))
        return 0.0

    @property
    def fit_single(self) -> bool:
        """Whether the weights fit into single precision without underflow."""
        rows = 1.0 if self.row_weight is None else min(1.0, smallest(self.row_weight))
        return rows * self._class_range >= _SINGLE

    def astype(self, dtype: np.dtype[Any]) -> Targets:
        """Return the same targets with soft labels in this dtype."""
        if self.target.ndim == 1 or self.target.dtype == dtype:
            return self
        other = copy(self)
        other.target = self.target.astype(dtype)
        return other

    @property
    def plain(self) -> bool:
        """Whether these are labels without smoothing."""
        return self.target.ndim == 1 and self.smoothing == 0

    @cached_property
    def masses(self) -> Array:
        """s_i times the sum of the row's (weighted, smoothed) targets, float64 (n,): the weight of its curvature."""
        target, weights = self.target, self.class_weight
        mass = np.ones(len(target)) if self.row_weight is None else self.row_weight.copy()
        if target.ndim == 1 and weights is None:
            return mass
        weights = np.ones(self.n_classes) if weights is None else weights
        own = weights[target] if target.ndim == 1 else np.asarray(target, np.float64) @ weights
        return mass * ((1.0 - self.smoothing) * own + self.smoothing * weights.mean())

    @cached_property
    def class_masses(self) -> Array:
        """The sum of each class's weighted, smoothed targets, float64 (n_classes,)."""
        if self.plain:
            return np.bincount(self.target, self.masses, self.n_classes)
        step = max(1, _BLOCK // self.n_classes)
        total = np.zeros(self.n_classes)
        for first in range(0, len(self), step):
            rows = slice(first, first + step)
            total += self.masses[rows] @ self.distributions(rows)
        return total

    def distributions(self, rows: slice = slice(None)) -> Array:
        """Return the targets of a slice of rows as distributions, float64 (rows, n_classes).

        They are weighted, smoothed, and divided by their sum.
        """
        T = self._smoothed(rows)
        if self.class_weight is not None:
            T *= self.class_weight
        return _distributions(T, T.sum(axis=1))

    def take(self, rows: Any, share: Array | None = None) -> Targets:
        """Return the targets of some rows, with their weights multiplied by `share`."""
        weight = None if self.row_weight is None else self.row_weight[rows]
        if share is not None:
            weight = share if weight is None else share * weight
        of_classes = None if self.class_weight is None else Scaled(self.class_weight, self._of_classes)
        some = Targets(self.target[rows], self.n_classes, weight, of_classes, self.smoothing)
        some.exponent += self.exponent - self._of_classes
        return some

    @classmethod
    def joined(cls, targets: list[Targets]) -> Targets:
        """Return the targets of several, one after the other; they may differ only in labels and row weights."""
        first, weight = targets[0], None
        exponents = [some.exponent - some._of_classes for some in targets]
        if any(some.row_weight is not None for some in targets) or len(set(exponents)) > 1:
            parts = [np.ones(len(some)) if some.row_weight is None else some.row_weight for some in targets]
            shifts = [exponent - max(exponents) for exponent in exponents]
            weight = np.concatenate([ldexp(part, shift) for part, shift in zip(parts, shifts, strict=True)])
        labels = np.concatenate([some.target for some in targets])
        of_classes = None if first.class_weight is None else Scaled(first.class_weight, first._of_classes)
        whole = cls(labels, first.n_classes, weight, of_classes, first.smoothing)
        whole.exponent += max(exponents)
        return whole

    def __len__(self) -> int:
        return len(self.target)


def _of_labels(class_weight: Scaled, labels: Array) -> Array | Scaled:
    """Return the weight of each label's class: floats, which are faster, if no product can overflow; else Scaled."""
    floats = ldexp(class_weight.mantissa, class_weight.exponent)
    return floats[labels] if is_moderate(floats) else class_weight[labels]


def _floats(sample_weight: Array | None, own: Array | Scaled | None) -> tuple[Array | None, int]:
    """Return the product of each row's two weights (either may be None): floats or None, and their exponent."""
    if own is None:
        return (None, 0) if sample_weight is None else floats_of(sample_weight)
    if isinstance(own, np.ndarray) and (sample_weight is None or is_moderate(sample_weight)):
        return floats_of(own if sample_weight is None else sample_weight * own)
    return _product(sample_weight, own).floats()


def _product(*weights: Any) -> Scaled:
    """Return the product of each row's weights as a Scaled; some of them may be None."""
    given = [weight for weight in weights if weight is not None]
    return reduce(operator.mul, [w if isinstance(w, Scaled) else Scaled(w) for w in given])


def _distributions(shares: Array, mass: Array) -> Array:
    even = np.full_like(shares, 1.0 / shares.shape[1])
    mass = mass[:, np.newaxis]
    return np.divide(shares, mass, out=even, where=mass > 0.0)


def log_odds(frequency: Array) -> Array:
    """Return the intercepts that give these class frequencies: (K,), or (1,) from that of the second of two."""
    return np.log(frequency) if len(frequency) > 1 else np.log(frequency / (1 - frequency))
