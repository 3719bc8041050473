"""What is known of all parts on a cluster: classes, weights, columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..estimators import inputs, streaming
from ..estimators.soft_labels import named_classes, order_of
from ..objective import Objective
from .cluster import named
from .engine import Distributed
from .parts import Portions
from .worker import Binding, Check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..data.scaled import Scaled
    from ..penalty import Penalty
    from ..typing import Array, ArrayLike, DTypeLike
    from .cluster import Cluster
    from .parts import Parts
    from .worker import Item, Survey


class DistributedBatches(streaming.Batches):
    """As Batches, for parts that lie on workers and were checked there. Iterated over, their rows come here.

    Parameters
    ----------
    model : OnCluster
    parts : parts.Parts
    classes : array-like or None
    dtype : dtype or None
        Of held-out rows, that of the rows trained on.
    """

    largest: float
    dtype: Any
    is_sparse: Any
    n_features: Any
    soft: Any
    classes: Any
    portions: Portions

    def __init__(
        self,
        model: Any,
        parts: Parts,
        classes: ArrayLike | None = None,
        *,
        name: str = "X",
        dtype: DTypeLike | None = None,
    ) -> None:
        self._held_out, self._parts = dtype, parts
        super().__init__(model, parts, classes, name=name)

    def _survey(self) -> None:
        local = self._model._unfitted()
        if self._held_out is not None:
            vars(local).update(self._model._columns())
        self.portions = Portions(self._parts, lambda room: Check(local, self._held_out, room))
        self._items: list[Item] = []
        labels: Any = None
        mass: Any = None
        for item, survey in self.portions.surveys():
            try:
                self._compare(item.name, survey)
                if survey.soft:
                    of_part = self._in_order(survey)
                    mass = of_part if mass is None else streaming.added([mass, of_part])
                else:
                    labels, mass = streaming.merged(labels, mass, survey.labels, survey.mass)
                    self._refuse_unknown(survey.labels)
            except (TypeError, ValueError) as error:
                raise named(item.name, error) from error
            self._items.append(item)
            self._rows_of.append(survey.n_rows)
            self.largest = max(self.largest, survey.largest)
        if not self._items:
            raise ValueError(f"{self._name} has no rows: 0 sample(s) while a minimum of 1 is required.")
        if labels is not None and self.classes is not None:
            mass = mass.sums(inputs.places_of(labels, self.classes, "y"), len(self.classes))
        self._found(labels, mass)

    # In another process, which fits.

    def __getstate__(self) -> dict[str, Any]:
        here = ("_model", "_parts", "_source")
        return {name: value for name, value in vars(self).items() if name not in here}

    def bind(self, cluster: Cluster) -> None:
        """Use the cluster as this process sees it."""
        self.portions.bind(cluster)

    # What a fit does with them.

    @property
    def size(self) -> int:
        """The bytes of the model's parameters."""
        K = len(self.classes)
        return 8 * (self.n_features + 1) * (1 if K == 2 else K)

    @property
    def is_large(self) -> bool:
        """Whether the parameters are too large to go with the task of each worker."""
        return self.portions.are_many(self.size)

    def __iter__(self) -> Iterator[Any]:
        for rows in self.portions.rows(self._items, Binding(self.classes, self.class_weight)):
            if rows is not None:
                yield rows

    def objective(
        self, penalty: Penalty | None = None, *, fit_intercept: bool = True, n_threads: int | None = None
    ) -> Objective:
        binding = Binding(self.classes, self.class_weight, fit_intercept, n_threads)
        return Objective(Distributed(self.portions, self._items, binding), penalty)

    def _compare(self, name: str, survey: Survey) -> None:
        """Refuse a part that does not go together with the first; learn from the first."""
        if self.dtype is None:
            self._first = name[0].lower() + name[1:]
            self._names = survey.names
            self.dtype, self.is_sparse, self.n_features = survey.dtype, survey.is_sparse, survey.n_features
            self.soft = survey.soft
            if self._held_out is None:
                self._learn_columns(survey)
            if self._held_out is not None:
                self.classes = np.asarray(self.classes)
            elif self.classes is not None:
                y = np.zeros((1, 2 if survey.soft else 1))
                self.classes = named_classes(inputs.labels(self.classes, name="classes"), y)
            elif survey.soft:
                self.classes = survey.labels
                if survey.labels is None:
                    self.classes = np.arange(len(survey.mass.mantissa))
        if survey.n_features != self.n_features:
            raise ValueError(
                f"X has {survey.n_features} features, and that of {self._first} has {self.n_features}: all must have "
                "the same."
            )
        if not np.array_equal(survey.names, self._names):
            raise ValueError(
                f"X has columns with other names, or in another order, than that of {self._first}."
            )
        self._refuse_other_kinds(survey.dtype, survey.is_sparse, survey.soft)
        if survey.soft and len(survey.mass.mantissa) != len(self.classes):
            raise ValueError(
                f"y has {len(survey.mass.mantissa)} columns of soft labels, and there are {len(self.classes)} classes."
            )

    def _learn_columns(self, survey: Survey) -> None:
        self._model.n_features_in_ = survey.n_features
        vars(self._model).pop("feature_names_in_", None)
        if survey.names is not None:
            self._model.feature_names_in_ = survey.names

    def _in_order(self, survey: Survey) -> Scaled:
        """What each class weighs by soft labels, whose columns may have names."""
        if survey.labels is None:
            return survey.mass
        order = order_of(survey.labels.tolist(), self.classes.tolist(), "y")
        return survey.mass if order is None else survey.mass[order]

    def _refuse_unknown(self, labels: Array) -> None:
        if self.classes is None:
            return
        unknown = inputs.places_of(labels, self.classes, "y") < 0
        if unknown.any():
            label = labels[unknown].tolist()[0]
            raise ValueError(f"y has the label {label!r}, which is not among those of classes.")
