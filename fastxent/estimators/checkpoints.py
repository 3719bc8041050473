"""What a checkpoint of an estimator belongs to: everything that decides the bits of its fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..checkpoint import Session, digest_fact, fact
from ..log import tell

if TYPE_CHECKING:
    from typing import Any

    from ..objective import Objective
    from ..typing import Array


# On the bits; the last two are those of a cluster.
_WITHOUT_EFFECT = ("verbose", "n_jobs", "n_threads", "checkpoint", "client", "timeout")


def facts_of(model: Any) -> dict[str, str]:
    """Return the facts of an estimator: its class and its parameters, before a fit draws random numbers."""
    parameters = model.get_params(deep=False).items()
    return {
        "estimator": type(model).__name__,
        **{name: fact(value) for name, value in parameters if name not in _WITHOUT_EFFECT},
    }


def session(
    model: Any,
    facts: dict[str, str],
    objective: Objective,
    classes: Array,
    start: Array,
    held_out: Any = None,
    **how: Any,
) -> Session:
    """Open the Session of a fit.

    Parameters
    ----------
    model : LinearClassifier
        With a parameter ``checkpoint`` that is not None.
    facts : dict
        From `facts_of`.
    objective, held_out : Objective
        Over the rows that are trained on, and over those that are not, or None. Both are read once.
    classes : ndarray
    start : ndarray (d + 1, K)
        The first parameters.
    how : dict
        For `Session`.
    """
    rows, targets = objective.digests()
    facts = facts | {
        "number of rows": str(objective.n_rows),
        "number of features": str(objective.n_features),
        "rows of the batches": fact(objective.rows_of_parts),
        "dtype of X": objective.dtype.name,
        "sparsity of X": "sparse" if objective.is_sparse else "dense",
        "classes": fact(np.asarray(classes)),
        "X (values, layout)": digest_fact(rows),
        "y (labels, weights)": digest_fact(targets),
        "the start": digest_fact(start),
        "eval_set": "None" if held_out is None else digest_fact(*held_out.digests()),
    }
    return Session(model.checkpoint, facts, report=tell if model.verbose else None, **how)
