"""Checks of sample and class weights, and the rows that have a positive weight.

A row whose own weight or class weight is zero is removed first, so that the result is the same without it, bit for bit.
"""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.utils import compute_class_weight

from .. import validation
from ..arrays import shown
from ..data.scaled import Scaled, is_moderate
from ..data.targets import Targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..typing import Array, ArrayLike, Table


class WeightedRows(NamedTuple):
    """Rows that count, and their weights.

    Attributes
    ----------
    X : ndarray or CSR
    target : ndarray
        Codes or soft labels.
    sample_weight : float64 ndarray or None
    class_weight : Scaled or None
    kept : intp ndarray or None
        Their positions among the given rows; None if these are all.
    """

    X: Any
    target: np.ndarray
    sample_weight: np.ndarray | None
    class_weight: Scaled | None
    kept: np.ndarray | None

    def take(self, rows: Array) -> WeightedRows:
        """Return some of the rows."""
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        return WeightedRows(self.X[rows], self.target[rows], weight, self.class_weight, None)

    def only(self, kept: Array) -> WeightedRows:
        """Return those of some numbers, in the same order of memory."""
        rows = self.take(kept)._replace(kept=kept)
        in_order = (
            isinstance(self.X, np.ndarray) and not self.X.flags.c_contiguous
        )  # NumPy gives rows of any array in C order
        return rows._replace(X=np.asfortranarray(rows.X)) if in_order else rows

    def targets(self, n_classes: int) -> Targets:
        """Return the rows' targets and weights for an objective; S is the total weight."""
        return Targets(self.target, n_classes, self.sample_weight, self.class_weight, folded=True)


def weighted_rows(
    X: Table,
    target: Array,
    classes: Array,
    sample_weight: Array | None,
    class_weight: Mapping[Any, float] | str | None,
) -> WeightedRows:
    """Return the checked rows that count, checking their weights; refuse fewer than two remaining classes."""
    sample_weight = check_sample_weight(sample_weight, len(target))
    class_weight = class_weights(class_weight, classes, target, sample_weight)
    rows = WeightedRows(X, target, sample_weight, class_weight, None)
    if sample_weight is None and class_weight is None and target.ndim == 1:
        return rows  # the classes are those of the labels
    kept = rows_that_count(target, classes, sample_weight, class_weight)
    return rows if kept is None else rows.only(kept)


def check_sample_weight(sample_weight: ArrayLike | None, n_rows: int) -> Array | None:
    """Return row weights as float64, or None: one per row, or one number for all; at least one is positive."""
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_rows, validation.check_real(sample_weight, "sample_weight"))
    return validation.check_sample_weight(sample_weight, n_rows, all_zero=False)


def class_weights(
    class_weight: Mapping[Any, float] | str | None, classes: Array, target: Any, sample_weight: Array | None
) -> Scaled | None:
    """Return ``class_weight`` as a Scaled, or None. 'balanced': all classes with rows have the same total weight."""
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        if sample_weight is not None and not sample_weight.all():
            rows = np.flatnonzero(sample_weight)
            target, sample_weight = target[rows], sample_weight[rows]
        return balanced(mass_by_class(target, sample_weight, len(classes)))
    if isinstance(
        class_weight, dict
    ):  # scikit-learn would accept '2' as a number, and does not name other wrong values
        for label, weight in class_weight.items():
            validation.check_real(weight, f"class_weight[{shown(label)}]")
    weights = compute_class_weight(class_weight, classes=classes, y=classes)
    checked: Any = validation.check_class_weight(weights, len(classes))
    return Scaled(checked)


def balanced(mass: Scaled) -> Scaled:
    """The weights under which all classes that weigh anything weigh the same. mass: what each does, a Scaled."""
    floats, exponent = mass.floats()
    return Scaled(floats.sum(), exponent) / (Scaled(float(np.count_nonzero(floats))) * mass)


def united(numbers: Sequence[Scaled]) -> Scaled:
    """One Scaled array of several."""
    mantissas, exponents = ([getattr(one, name) for one in numbers] for name in ("mantissa", "exponent"))
    return Scaled(np.concatenate(mantissas), np.concatenate(exponents))


def mass_by_class(target: Array, sample_weight: Array | None, n_classes: int) -> Scaled:
    """What the rows of each class weigh together, a Scaled; of soft labels, their shares in it."""
    if target.ndim == 2:
        if sample_weight is None:
            return Scaled(target.sum(axis=0, dtype=np.float64))
        if is_moderate(sample_weight):
            return Scaled(sample_weight @ target)
        weight, zeros = Scaled(sample_weight), np.zeros(len(target), np.intp)
        return united([(weight * Scaled(share.astype(np.float64))).sums(zeros, 1) for share in target.T])
    if sample_weight is None or is_moderate(sample_weight):
        return Scaled(np.bincount(target, sample_weight, n_classes).astype(np.float64))
    return Scaled(sample_weight).sums(target, n_classes)


def rows_that_count(
    target: Array, classes: Array, sample_weight: Array | None, class_weight: Scaled | None, at_least: int = 2
) -> Array | None:
    """Return the positions of rows with a positive weight, None if all have; refuse rows of too few classes."""
    counts = counting(target, len(classes), sample_weight, class_weight)
    weighs = _weighing(len(classes), class_weight)
    rows = None if counts.all() else np.flatnonzero(counts)
    some = target if rows is None else target[rows]
    if len(some) == 0:
        raise ValueError(
            "The weights of all rows are zero after multiplication by class_weight; one must be positive."
        )
    present = np.bincount(some, minlength=len(classes)) > 0 if some.ndim == 1 else some.any(axis=0)
    present &= weighs
    if np.count_nonzero(present) < at_least:
        why = "" if rows is None else "; the weights of all other rows are zero"
        raise ValueError(
            f"Training needs samples of at least {at_least} classes in the data, but the data contains only one class: "
            f"{classes.tolist()[int(np.argmax(present))]!r}{why}"
        )
    return rows


def counting(
    target: Array, n_classes: int, sample_weight: Array | None, class_weight: Scaled | None
) -> Array:
    """Which rows have a positive weight, bool (n,)."""
    counts = np.ones(len(target), bool) if sample_weight is None else sample_weight > 0.0
    weighs = _weighing(n_classes, class_weight)
    if not weighs.all():
        counts &= weighs[target] if target.ndim == 1 else target[:, weighs].any(axis=1)
    return counts


def _weighing(n_classes: int, class_weight: Scaled | None) -> Array:
    return np.ones(n_classes, bool) if class_weight is None else class_weight.mantissa > 0.0
