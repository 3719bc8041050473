"""Objectives from plain arguments."""

import itertools

import numpy as np

from fastxent.data.local import Local
from fastxent.data.streamed import Streamed
from fastxent.data.targets import Targets
from fastxent.objective import Objective
from fastxent.penalty import Penalty


def objective_of(
    X,
    y,
    *,
    n_classes=None,
    binary=False,
    sample_weight=None,
    class_weight=None,
    label_smoothing=0.0,
    l2=0.0,
    l1=0.0,
    penalty_factor=None,
    penalty_groups=None,
    **how,
):
    """An objective over arrays; binary: two classes with one column of logits."""
    if n_classes is None:
        n_classes = 2 if binary else y.shape[1] if y.ndim == 2 else int(y.max()) + 1
    return Objective.over(
        X,
        Targets(y, n_classes, sample_weight, class_weight, label_smoothing),
        1 if binary else n_classes,
        penalty=Penalty(l2, l1, penalty_factor, penalty_groups),
        **how,
    )


def in_parts(objective, borders):
    """The same rows as several parts in memory, and as batches: objectives with the same borders between parts."""
    rows = [np.arange(a, b) for a, b in itertools.pairwise([0, *borders, objective.n_rows])]
    take = objective.local.take
    engines = (
        Local([take(some) for some in rows]),
        Streamed([(some, None) for some in rows], lambda X, *_: take(X)),
    )
    return tuple(Objective(engine, objective.penalty) for engine in engines)
