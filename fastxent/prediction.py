"""Logits, probabilities and log-probabilities of a linear softmax model."""

import numpy as np

from . import kernels, parallel
from .data.rows import bind, occurring, pack, ranges_of

_KINDS = {"logits": "logits", "proba": "softmax", "log_proba": "log_softmax"}


def predict(X, theta, output, n_threads=None, out=None):
    """Evaluate the model theta at the rows of X. Input is trusted.

    Parameters
    ----------
    X : ndarray (n, d), float32 or float64, C- or F-contiguous; or CSR with int32 or int64 indices
    theta : ndarray (d + 1, K), float32 or float64, C order
        K = 1 is a binary logistic model.
    output : {"logits", "proba", "log_proba"}
    n_threads : int, optional
    out : ndarray, optional
        Becomes what is returned.

    Returns
    -------
    ndarray (n, K) in the dtype of X; of a binary model logits (n,), and (n, 2) otherwise.
    """
    n, K = X.shape[0], theta.shape[1]
    X, features = occurring(X, K, 1)
    if features is not None:
        theta = theta.take(features, axis=0)
    view = bind(X, K)
    weights = pack(view, theta, X.dtype)
    scratch = parallel.Buffers(view.scratch_size, X.dtype)
    if out is None:
        out = np.empty((n, 2 if K == 1 and output != "logits" else K), X.dtype)

    ranges = ranges_of(view, X, n_threads)

    def task(some):
        buffer = scratch.take()
        for first, stop in ranges.calls(some):
            view.predict(weights, buffer, first, stop, out, kernels.KINDS[_KINDS[output]])
        scratch.give(buffer)

    ranges.map(task)
    return out[:, 0] if K == 1 and output == "logits" else out
