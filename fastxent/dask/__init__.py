"""The estimators over a Dask cluster: the same classes, for rows that lie on its workers.

    estimators.py   LogisticRegression and SGDClassifier: collections in place of arrays
    lead.py         large models: the solver on a worker
    parts.py        collections, delayed parts and sources as parts, and where they lie
    batches.py      what is known of all parts: classes, weights, columns
    engine.py       the engine: one task for each worker and pass
    cluster.py      submitting, waiting with a limit, ending
    worker.py       all that runs on workers

See docs/cluster.md.
"""

try:
    import dask  # noqa: F401
    import distributed  # noqa: F401
except ImportError as _error:
    raise ImportError(
        f"fastxent.dask needs Dask with its distributed scheduler, and {_error.name} is not installed: "
        "pip install 'fastxent[dask]'."
    ) from _error

from .cluster import ClusterError
from .estimators import LogisticRegression, SGDClassifier

__all__ = ["ClusterError", "LogisticRegression", "SGDClassifier"]
