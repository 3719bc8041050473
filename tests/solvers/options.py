"""Every kind of objective that a solver meets, small enough for a reference run."""

import numpy as np
import scipy.sparse as sp

from fastxent.solvers import newton_cg
from objectives import objective_of

STORAGES = ("dense", "csr32", "csr64")
OPTIONS = {
    "plain": {},
    "sample_weight": {"sample_weight": True},
    "class_weight": {"class_weight": True},
    "both_weights": {"sample_weight": True, "class_weight": True},
    "soft": {"soft": True},
    "soft_weighted": {"soft": True, "sample_weight": True, "class_weight": True},
    "smoothing": {"label_smoothing": 0.1, "class_weight": True},
    "no_intercept": {"fit_intercept": False},
    "factors": {"penalty_factor": np.array([1.0, 0.5, 3.0, 1.0, 0.1, 10.0, 2.0])},
    "free_feature": {"penalty_factor": np.array([1.0, 0.0, 3.0, 1.0, 0.0, 1.0, 2.0])},
}


def objective(
    K=3,
    *,
    storage="dense",
    dtype=np.float64,
    soft=False,
    sample_weight=False,
    class_weight=False,
    n=150,
    d=7,
    seed=0,
    **arguments,
):
    """K = 2 is binary; some rows have weight zero where rows are weighted."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + 0.5
    if storage != "dense":
        X *= rng.random(X.shape) < 0.4
    logits = X @ rng.normal(size=(d, K)) + 1.5 * rng.gumbel(size=(n, K)) + np.linspace(0, 1, K)
    target = np.argmax(logits, axis=1).astype(np.intp)
    target[:K] = np.arange(K)
    X = np.ascontiguousarray(X, dtype)
    if storage != "dense":
        X = sp.csr_array(X)
        index = np.int32 if storage == "csr32" else np.int64
        X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    if soft:
        target = np.ascontiguousarray(rng.dirichlet(np.ones(K), n), dtype)
    return objective_of(
        X,
        target,
        n_classes=K,
        binary=K == 2,
        sample_weight=rng.integers(0, 3, n).astype(np.float64) if sample_weight else None,
        class_weight=np.linspace(0.5, 2.0, K) if class_weight else None,
        **arguments,
    )


def least(objective):
    """The least value of a smooth objective, by many Newton steps."""
    return newton_cg.solve(objective, objective.initial(), tol=1e-12, max_iter=300).value
