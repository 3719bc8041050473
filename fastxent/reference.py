"""The functional API in plain NumPy: the same names and arguments as the kernels', written to be read.

Everything is computed in float64, all rows at once, and n x K arrays are made freely. This is what the
kernels are tested against and measured against. Input is not checked, but for the structure of sparse arrays: that is
the work of ``fastxent.validation``.

Two identities carry the whole file. With m the largest logit of a row, c its position,
rest = sum_{k != c} exp(z_k - m) and t the row's effective targets (smoothed, class-weighted) with sum T::

    loss      = T log1p(rest) + sum_k t_k (m - z_k)
    dloss/dz  = T p - t,   but for the largest logit  (T - t_c) - T rest / (1 + rest)   where t_c > T / 2

Keeping the maximum out of the sum makes both exact to the last digits where softmax rounds to one: logits
(40, 0) and label 0 give 4.248354255291589e-18. Binary logistic regression is the same with the logits (0, z).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import issparse

from .sparse import as_csr

if TYPE_CHECKING:
    from typing import Any, Literal

    from .typing import ArrayLike, ClassWeight, Floats, MatrixLike, Reduction


def logsumexp(
    logits: ArrayLike, *, out: Floats | None = None, n_threads: int | None = None
) -> Floats | np.floating[Any]:
    """log(sum_k exp(z_k)) of each row."""
    logits = np.asarray(logits, dtype=np.float64)
    m = logits.max(axis=-1)
    _, rest = _split_maximum(logits)
    return _into(out, np.where(np.isfinite(m), m + np.log1p(rest[..., 0]), m)[()])


def softmax(logits: ArrayLike, *, out: Floats | None = None, n_threads: int | None = None) -> Floats:
    """exp(z_k) / sum_j exp(z_j) of each row."""
    shifted, rest = _split_maximum(np.asarray(logits, dtype=np.float64))
    return _into(out, np.exp(shifted) / (1.0 + rest))


def log_softmax(logits: ArrayLike, *, out: Floats | None = None, n_threads: int | None = None) -> Floats:
    """The logarithm of softmax, without passing through it."""
    shifted, rest = _split_maximum(np.asarray(logits, dtype=np.float64))
    return _into(out, shifted - np.log1p(rest))


def sigmoid(
    logits: ArrayLike, *, out: Floats | None = None, n_threads: int | None = None
) -> Floats | np.floating[Any]:
    """1 / (1 + exp(-z)) of each entry."""
    logits = np.asarray(logits, dtype=np.float64)
    e = np.exp(-np.abs(logits))
    return _into(out, np.where(logits < 0, e, 1.0) / (1.0 + e))


def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ClassWeight | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
    n_threads: int | None = None,
) -> float | Floats:
    """Cross-entropy of each row's softmax against its target, reduced over rows."""
    arguments = target, sample_weight, class_weight, label_smoothing, ignore_index, reduction
    return _loss(*_visit(np.asarray(logits, dtype=np.float64), *arguments), reduction)


def cross_entropy_and_grad(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ClassWeight | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
    n_threads: int | None = None,
) -> tuple[float | Floats, Floats]:
    """The cross-entropy and its gradient with respect to the logits, (n, K)."""
    arguments = target, sample_weight, class_weight, label_smoothing, ignore_index, reduction
    rows = _visit(np.asarray(logits, dtype=np.float64), *arguments)
    return _loss(*rows, reduction), _gradient(*rows)


def linear_cross_entropy(
    X: MatrixLike,
    target: ArrayLike,
    coef: ArrayLike,
    intercept: ArrayLike | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ClassWeight | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
    l2: float = 0.0,
    n_threads: int | None = None,
) -> float | Floats:
    """The cross-entropy of the logits X coef^T + intercept, plus (l2 / 2) ||coef||^2."""
    arguments = target, sample_weight, class_weight, label_smoothing, ignore_index, reduction
    rows = _visit(_linear_logits(X, coef, intercept), *arguments)
    return _loss(*rows, reduction) + _penalty(coef, l2)


def linear_cross_entropy_and_grad(
    X: MatrixLike,
    target: ArrayLike,
    coef: ArrayLike,
    intercept: ArrayLike | None = None,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ClassWeight | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    l2: float = 0.0,
    n_threads: int | None = None,
) -> tuple[float, Floats, Floats | float]:
    """The same, and its gradients with respect to coef and intercept."""
    arguments = target, sample_weight, class_weight, label_smoothing, ignore_index, reduction
    coef = np.asarray(coef, dtype=np.float64)
    rows = _visit(_linear_logits(X, coef, intercept), *arguments)
    grad_coef, grad_intercept = _back(X, _gradient(*rows), coef)
    return _loss(*rows, reduction) + _penalty(coef, l2), grad_coef + l2 * coef, grad_intercept


def linear_cross_entropy_hessp(
    X: MatrixLike,
    target: ArrayLike,
    coef: ArrayLike,
    intercept: ArrayLike | None,
    direction_coef: ArrayLike,
    direction_intercept: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ClassWeight | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    l2: float = 0.0,
    n_threads: int | None = None,
) -> tuple[Floats, Floats | float]:
    """The Hessian times a direction: X^T diag(s T) (p * (a - <p, a>)), where a are the direction's logits."""
    coef, direction = np.asarray(coef, dtype=np.float64), np.asarray(direction_coef, dtype=np.float64)
    arguments = target, sample_weight, class_weight, label_smoothing, ignore_index, reduction
    t, s, scale = _targets_and_weights(2 if coef.ndim == 1 else coef.shape[0], *arguments)
    counts = s[:, None] != 0  # rows that do not count may overflow
    p = softmax(np.where(counts, _linear_logits(X, coef, intercept), 0.0))
    a = np.where(counts, _linear_logits(X, direction, direction_intercept), 0.0)
    a = a - np.take_along_axis(
        a, p.argmax(axis=1)[:, None], axis=1
    )  # free, and what is certain cancels no more
    curvature = p * (a - np.sum(p * a, axis=1, keepdims=True))
    product_coef, product_intercept = _back(X, (scale * s * t.sum(axis=1))[:, None] * curvature, coef)
    return product_coef + l2 * direction, product_intercept


def _visit(logits: Floats, *arguments: Any) -> tuple[Floats, Floats, Floats, float, Floats, Floats]:
    """What loss and gradient share: targets, their sums, weights, scale, and the row's split softmax."""
    t, s, scale = _targets_and_weights(logits.shape[1], *arguments)
    logits = np.where(s[:, None] != 0, logits, 0.0)  # rows that do not count may hold anything
    return t, t.sum(axis=1, keepdims=True), s, scale, *_split_maximum(logits)


def _loss(
    t: Floats, total: Floats, s: Floats, scale: float, shifted: Floats, rest: Floats, reduction: Reduction
) -> Any:
    gaps = np.multiply(
        t, -shifted, where=t > 0, out=np.zeros_like(t)
    )  # 0 * inf is 0 here: a class without target
    losses = s * (total * np.log1p(rest) + gaps.sum(axis=1, keepdims=True))[:, 0]
    if reduction == "none":
        return losses
    return float(scale * losses.sum()) if scale else 0.0


def _gradient(t: Floats, total: Floats, s: Floats, scale: float, shifted: Floats, rest: Floats) -> Floats:
    grad = np.where(
        (shifted == 0) & (2 * t > total),
        (total - t) - total * (rest / (1.0 + rest)),
        total * (np.exp(shifted) / (1.0 + rest)) - t,
    )
    return (scale * s)[:, None] * grad


def _split_maximum(logits: Floats) -> tuple[Floats, Floats]:
    """z - m, and the sum of exp(z - m) over all classes but the largest; NaN where m is not finite."""
    m = logits.max(axis=-1, keepdims=True)
    shifted = np.subtract(logits, m, where=np.isfinite(m), out=np.full_like(logits, np.nan))
    others = np.exp(shifted)
    np.put_along_axis(others, logits.argmax(axis=-1)[..., None], 0.0, axis=-1)
    return shifted, others.sum(axis=-1, keepdims=True)


def _targets_and_weights(
    n_classes: int,
    target: ArrayLike,
    sample_weight: ArrayLike | None,
    class_weight: ClassWeight | None,
    label_smoothing: float,
    ignore_index: int | None,
    reduction: Reduction,
) -> tuple[Floats, Floats, float]:
    """Effective targets (n, K), row weights (n,), zero for ignored rows, and the factor of the reduction."""
    target = np.asarray(target)
    s: Any
    w: Any
    n = target.shape[0]
    s = np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    w = np.ones(n_classes)
    if isinstance(class_weight, Mapping):
        w[list(class_weight)] = list(class_weight.values())
    elif class_weight is not None:
        w = np.asarray(class_weight, dtype=np.float64)
    if reduction == "mean":  # nothing but ratios of weights matters
        s, w = _without_scale(s), _without_scale(w) if target.ndim == 1 else w
    if target.ndim == 1:
        if ignore_index is not None:
            s = np.where(target == ignore_index, 0.0, s)
            target = np.where(target == ignore_index, 0, target)
        labels = target.astype(int)
        counted = np.sum(s * w[labels])
        target = np.zeros((n, n_classes))
        target[np.arange(n), labels] = 1.0
    else:
        counted = np.sum(s)
    t = w * ((1.0 - label_smoothing) * target + label_smoothing / n_classes)
    if reduction != "mean":
        return t, s, 1.0
    return t, s, 1.0 / counted if counted > 0 else 0.0


def _without_scale(weights: Floats) -> Floats:
    """Divided by a power of two, the largest in [1/2, 1): sums of very large or small weights leave the range."""
    return np.ldexp(weights, -np.frexp(weights.max())[1])


def _linear_logits(X: MatrixLike, coef: ArrayLike, intercept: ArrayLike | None) -> Floats:
    """(n, K) logits; for coef of shape (d,), the two columns 0 and z of binary logistic regression."""
    z = _float64(X) @ np.asarray(coef, dtype=np.float64).T
    if intercept is not None:
        z = z + np.asarray(intercept, dtype=np.float64)
    return z if z.ndim == 2 else np.column_stack([np.zeros_like(z), z])


def _back(X: MatrixLike, residuals: Floats, coef: Floats) -> tuple[Floats, Floats | float]:
    """X^T residuals as (K, d) and the sums of residuals; for binary, of the second class alone."""
    X = _float64(X)
    if coef.ndim == 1:
        return X.T @ residuals[:, 1], float(residuals[:, 1].sum())
    return (X.T @ residuals).T, residuals.sum(axis=0)


def _penalty(coef: ArrayLike, l2: float) -> float:
    return 0.5 * l2 * float(np.sum(np.square(coef, dtype=np.float64))) if l2 else 0.0


def _float64(X: MatrixLike) -> Any:
    if issparse(X):  # SciPy would trust its structure
        return as_csr(X, "X").astype(np.float64, copy=False)
    return np.asarray(X, dtype=np.float64)


def _into(out: Floats | None, result: Any) -> Any:
    if out is None:
        return result
    out[...] = result
    return out
