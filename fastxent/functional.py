r"""Softmax, cross-entropy and their gradients: NumPy in, NumPy out.

Notation. Row :math:`i` has logits :math:`z_i` with :math:`K` entries, a label :math:`y_i` or a row
:math:`t_i` of soft labels, and a weight :math:`s_i \ge 0`. In the linear functions :math:`z_i = W x_i + b`,
with ``coef`` :math:`W` of shape (K, d) and ``intercept`` :math:`b`. Then

.. math::

    \mathrm{lse}_i = \log \sum_k e^{z_{ik}}, \qquad p_{ik} = e^{z_{ik} - \mathrm{lse}_i}, \qquad
    \mathrm{nll}_{ik} = \mathrm{lse}_i - z_{ik} .

*Loss of a row.* With class weights :math:`w` (1 if not given) and label smoothing :math:`\varepsilon`,

.. math::

    \ell_i = (1 - \varepsilon)\, w_{y_i} \mathrm{nll}_{i y_i}
    + \frac{\varepsilon}{K} \sum_k w_k \mathrm{nll}_{ik} \quad\text{or}\quad
    \ell_i = \sum_k w_k \Bigl((1 - \varepsilon)\, t_{ik} + \frac{\varepsilon}{K}\Bigr) \mathrm{nll}_{ik}

for soft labels. Both are :math:`\sum_k \tau_{ik} \mathrm{nll}_{ik}` for effective targets :math:`\tau_i` with
the sum :math:`T_i`, so that :math:`\partial \ell_i / \partial z_{ik} = T_i p_{ik} - \tau_{ik}`.

*Reduction.* ``"sum"`` is :math:`\sum_i s_i \ell_i`. ``"mean"`` divides it by :math:`S`, which is
:math:`\sum_i s_i w_{y_i}` over the rows kept, or :math:`\sum_i s_i` for soft labels; it is 0.0
where :math:`S = 0`. ``"none"`` gives the array of the :math:`s_i \ell_i`. A row that is ignored or weighs
nothing has zero loss and zero gradient whatever its logits. These are the conventions of PyTorch's
``cross_entropy``, with row weights added.

*Derivatives of the linear functions*, with :math:`r_i` the gradient with respect to :math:`z_i`, scaled as
the loss is:

.. math::

    \nabla_W = \sum_i r_i x_i^\top + l_2 W, \qquad \nabla_b = \sum_i r_i, \qquad
    H[V, v]: \; r_i = s_i T_i \, p_i \odot (a_i - \langle p_i, a_i \rangle), \quad a_i = V x_i + v .

*Binary logistic regression.* ``coef`` of shape (d,) means one logit :math:`z_i` a row, the log-odds of class
1: the same as two classes with logits :math:`(0, z_i)`, so :math:`p_{i1} = \sigma(z_i)`. Labels are 0 and 1,
soft labels are rows of two, class weights are two. The gradient is with respect to that one column.

*Accuracy.* The largest term is held out of the sum: with :math:`m_i = \max_k z_{ik}` and :math:`\rho_i` the
sum of :math:`e^{z_{ik} - m_i}` over all other classes, :math:`\mathrm{nll}_{ik} = \log(1 + \rho_i) + (m_i -
z_{ik})` through ``log1p``, and the gradient of a class that is certain is minus the sum of the other
probabilities. A loss of 1e-18 is thus computed to full precision, where subtracting rounded numbers gives 0.

*Weights of any size.* Only their ratios matter to a mean, and they may be anything from 5e-324 to 1.8e308, for
float32 input as well; where they differ by more than 1e28, that is computed in float64. A sum, or the loss of a
row, has the size of its weights: if this alone takes it beyond the range of its dtype, a ``ValueError`` says so.

*Types.* float32 input gives float32 arrays, everything else float64; sums over rows are always in float64,
and losses are Python floats. Results are the same bits for every ``n_threads``. Bad input raises a
``TypeError`` or ``ValueError`` before anything is computed; features so large that the linear model overflows
raise a ``ValueError`` that names their scale.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, overload

import numpy as np

from . import logits as logit_rows
from .arrays import as_native, check_memory, in_order, is_finite
from .data.scaled import is_moderate, ldexp
from .data.targets import Targets
from .objective import Objective
from .penalty import Penalty
from .validation import (
    check_class_weight,
    check_coef,
    check_finite_result,
    check_l2,
    check_label_smoothing,
    check_logits,
    check_n_threads,
    check_out,
    check_reduction,
    check_rows,
    check_sample_weight,
    check_target,
    count_rows,
    raise_weights_too_large,
    row_weights,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    from .typing import Array, ArrayLike, ClassWeight, DTypeLike, Floats, MatrixLike, Reduction


__all__ = [
    "cross_entropy",
    "cross_entropy_and_grad",
    "linear_cross_entropy",
    "linear_cross_entropy_and_grad",
    "linear_cross_entropy_hessp",
    "log_softmax",
    "logsumexp",
    "sigmoid",
    "softmax",
]


def logsumexp(
    logits: ArrayLike, *, out: Floats | None = None, n_threads: int | None = None
) -> Floats | np.floating[Any]:
    """The logarithm of the sum of exponentials of each row.

    Parameters
    ----------
    logits : array-like of shape (n, K) or (K,)
        A row of -inf gives -inf, a row with inf gives inf, a row with NaN gives NaN.
    out : ndarray of shape (n,) or (), optional
        Where to write: C-contiguous and of the result's dtype.
    n_threads : int, optional
        How many threads to use; -1 is every core. The result does not depend on it.

    Returns
    -------
    ndarray of shape (n,), or a scalar for a vector

    Raises
    ------
    TypeError, ValueError
        ``logits`` is not a real array of one or two dimensions, or is empty; ``out`` does not fit.

    Examples
    --------
    >>> from fastxent import logsumexp
    >>> logsumexp([[0.0, 0.0], [1000.0, 1000.0]]).round(6)
    array([6.93147000e-01, 1.00069315e+03])
    """
    return _rowwise(logits, out, "logsumexp", n_threads)


def softmax(logits: ArrayLike, *, out: Floats | None = None, n_threads: int | None = None) -> Floats:
    """The probabilities exp(z_k) / sum_j exp(z_j) of each row.

    Parameters
    ----------
    logits : array-like of shape (n, K) or (K,)
        -inf masks a class, whose probability is then exactly zero. A row with NaN, with inf, or with nothing
        but -inf has no softmax and gives NaN throughout.
    out : ndarray of the shape of ``logits``, optional
        Where to write: C-contiguous and of the result's dtype. It may be ``logits`` itself.
    n_threads : int, optional
        How many threads to use; -1 is every core. The result does not depend on it.

    Returns
    -------
    ndarray of the shape of ``logits``

    Raises
    ------
    TypeError, ValueError
        ``logits`` is not a real array of one or two dimensions, or is empty; ``out`` does not fit.

    Examples
    --------
    >>> from fastxent import softmax
    >>> softmax([[1.45, 0.33, -0.12, 0.01]]).round(4)
    array([[0.5646, 0.1842, 0.1175, 0.1338]])
    >>> softmax([0.0, 0.0, float("-inf")])
    array([0.5, 0.5, 0. ])
    """
    return _rowwise(logits, out, "softmax", n_threads)


def log_softmax(logits: ArrayLike, *, out: Floats | None = None, n_threads: int | None = None) -> Floats:
    """The logarithm of :func:`softmax`, exact where the probability itself would underflow or round to one.

    Parameters
    ----------
    logits : array-like of shape (n, K) or (K,)
        As for :func:`softmax`; a masked class gives -inf.
    out : ndarray of the shape of ``logits``, optional
        Where to write: C-contiguous and of the result's dtype. It may be ``logits`` itself.
    n_threads : int, optional
        How many threads to use; -1 is every core. The result does not depend on it.

    Returns
    -------
    ndarray of the shape of ``logits``

    Raises
    ------
    TypeError, ValueError
        ``logits`` is not a real array of one or two dimensions, or is empty; ``out`` does not fit.

    Examples
    --------
    >>> from fastxent import log_softmax
    >>> print(f"{log_softmax([40.0, 0.0])[0]:.12e}")
    -4.248354255292e-18
    """
    return _rowwise(logits, out, "log_softmax", n_threads)


def sigmoid(
    logits: ArrayLike, *, out: Floats | None = None, n_threads: int | None = None
) -> Floats | np.floating[Any]:
    """The logistic function 1 / (1 + exp(-z)) of each entry.

    Parameters
    ----------
    logits : array-like of any shape
    out : ndarray of the shape of ``logits``, optional
        Where to write: C-contiguous and of the result's dtype. It may be ``logits`` itself.
    n_threads : int, optional
        How many threads to use; -1 is every core. The result does not depend on it.

    Returns
    -------
    ndarray of the shape of ``logits``, or a scalar for a number

    Raises
    ------
    TypeError, ValueError
        ``logits`` is not real; ``out`` does not fit.

    Examples
    --------
    >>> from fastxent import sigmoid
    >>> sigmoid([-2.0, 0.0, 2.0]).round(4)
    array([0.1192, 0.5   , 0.8808])
    """
    logits = as_native(logits, "logits")
    n_threads = check_n_threads(n_threads)
    result = _result(out, logits.shape, logits.dtype)
    if logits.size:
        rows = np.ascontiguousarray(in_order(logits, "logits"))
        column = _apart(rows, result).reshape(-1, 1)  # each entry stands for itself
        logit_rows.softmax_rows(column, result.reshape(-1, 1), "sigmoid", n_threads)
    return out if out is not None else result[()]


@overload
def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = ...,
    class_weight: ClassWeight | None = ...,
    label_smoothing: float = ...,
    ignore_index: int | None = ...,
    reduction: Literal["mean", "sum"] = ...,
    n_threads: int | None = ...,
) -> float: ...
@overload
def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = ...,
    class_weight: ClassWeight | None = ...,
    label_smoothing: float = ...,
    ignore_index: int | None = ...,
    reduction: Literal["none"],
    n_threads: int | None = ...,
) -> Floats: ...
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
    """The cross-entropy between the softmax of each row and its target.

    The module's own documentation (:mod:`fastxent.functional`) gives the formulas.

    Parameters
    ----------
    logits : array-like of shape (n, K)
        NaN and infinity are allowed and give what the formulas give: -inf for the row's own class is an
        infinite loss, a row with NaN, with inf or with nothing but -inf a NaN one.
    target : array-like of shape (n,) or (n, K)
        Integer codes in 0..K-1, or soft labels: rows that are not negative and sum to 1.
    sample_weight : array-like of shape (n,), optional
        The weight of each row, >= 0.
    class_weight : array-like of shape (K,) or mapping from code to weight, optional
        The weight of each class, >= 0; a class that a mapping does not name weighs 1.
    label_smoothing : float in [0, 1]
        How much of each target is spread evenly over all classes.
    ignore_index : int, optional
        Rows with this code do not count: neither in the sum nor in the mean's divisor. It has no effect on soft labels,
        which have no codes.
    reduction : {"mean", "sum", "none"}
        What is returned: the weighted mean, the weighted sum, or the weighted loss of each row.
    n_threads : int, optional
        How many threads to use; -1 is every core. The result does not depend on it.

    Returns
    -------
    float, or ndarray of shape (n,) for ``reduction="none"``

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind, shape or range; the message names the first bad entry.

    Examples
    --------
    >>> from fastxent import cross_entropy
    >>> round(cross_entropy([[0.23, 1.15]], [0]), 4)
    1.2554
    >>> print(f"{cross_entropy([[40.0, 0.0]], [0]):.12e}")
    4.248354255292e-18
    >>> round(cross_entropy([[0.23, 1.15], [5.0, 9.0]], [0, -100], ignore_index=-100), 4)
    1.2554
    """
    weighting = sample_weight, class_weight, label_smoothing, ignore_index, reduction
    return _over_logits(logits, target, weighting, n_threads, with_grad=False)[0]


@overload
def cross_entropy_and_grad(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = ...,
    class_weight: ClassWeight | None = ...,
    label_smoothing: float = ...,
    ignore_index: int | None = ...,
    reduction: Literal["mean", "sum"] = ...,
    n_threads: int | None = ...,
) -> tuple[float, Floats]: ...
@overload
def cross_entropy_and_grad(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = ...,
    class_weight: ClassWeight | None = ...,
    label_smoothing: float = ...,
    ignore_index: int | None = ...,
    reduction: Literal["none"],
    n_threads: int | None = ...,
) -> tuple[Floats, Floats]: ...
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
    """The cross-entropy of each row, and its gradient with respect to the logits, in one pass.

    Parameters
    ----------
    logits, target, sample_weight, class_weight, label_smoothing, ignore_index, reduction, n_threads
        As for :func:`cross_entropy`.

    Returns
    -------
    loss : float, or ndarray of shape (n,) for ``reduction="none"``
    grad : ndarray of shape (n, K)
        The gradient of the reduced loss; for ``"none"`` each row is the gradient of that row's loss.

    Raises
    ------
    TypeError, ValueError
        As for :func:`cross_entropy`.

    Examples
    --------
    >>> from fastxent import cross_entropy_and_grad
    >>> loss, grad = cross_entropy_and_grad([[0.23, 1.15]], [0])
    >>> grad.round(6)
    array([[-0.715042,  0.715042]])
    """
    weighting = sample_weight, class_weight, label_smoothing, ignore_index, reduction
    return _over_logits(logits, target, weighting, n_threads, with_grad=True)


@overload
def linear_cross_entropy(
    X: MatrixLike,
    target: ArrayLike,
    coef: ArrayLike,
    intercept: ArrayLike | None = ...,
    *,
    sample_weight: ArrayLike | None = ...,
    class_weight: ClassWeight | None = ...,
    label_smoothing: float = ...,
    ignore_index: int | None = ...,
    reduction: Literal["mean", "sum"] = ...,
    l2: float = ...,
    n_threads: int | None = ...,
) -> float: ...
@overload
def linear_cross_entropy(
    X: MatrixLike,
    target: ArrayLike,
    coef: ArrayLike,
    intercept: ArrayLike | None = ...,
    *,
    sample_weight: ArrayLike | None = ...,
    class_weight: ClassWeight | None = ...,
    label_smoothing: float = ...,
    ignore_index: int | None = ...,
    reduction: Literal["none"],
    l2: float = ...,
    n_threads: int | None = ...,
) -> Floats: ...
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
    r"""The cross-entropy of a linear model, without ever storing its n x K logits.

    The value is the reduced cross-entropy of the logits ``X @ coef.T + intercept``, plus
    :math:`(l_2 / 2) \lVert W \rVert^2`; the intercept is not penalised.

    Parameters
    ----------
    X : array-like or sparse array of shape (n, d)
        Dense in C or Fortran order, or CSR with int32 or int64 indices, of float32 or float64, are used in
        place; anything else numeric is converted. Duplicate entries of a sparse matrix add up.
    target : array-like of shape (n,) or (n, K)
        Integer codes in 0..K-1, or soft labels: rows that are not negative and sum to 1. In the binary case
        the codes are 0 and 1 and soft labels have the shape (n, 2).
    coef : array-like of shape (K, d), or (d,) for binary logistic regression
        In any memory order; Fortran order is that of the kernels.
    intercept : array-like of shape (K,), or a number for binary, optional
        None means zeros.
    sample_weight, class_weight, label_smoothing, ignore_index, reduction, n_threads
        As for :func:`cross_entropy`; in the binary case K is 2.
    l2 : float
        Strength of the penalty, >= 0. It cannot be combined with ``reduction="none"``.

    Returns
    -------
    float, or ndarray of shape (n,) for ``reduction="none"``

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind, shape or range, or the features are so large that the logits
        overflow; the message names the first bad entry, or the scale.

    Examples
    --------
    >>> from fastxent import linear_cross_entropy
    >>> X = [[1.9, 0.4]]
    >>> round(linear_cross_entropy(X, [0], coef=[[0.1, 0.1], [0.5, 0.5]]), 4)
    1.2554
    """
    check_reduction(reduction)
    weighting = sample_weight, class_weight, label_smoothing, ignore_index, reduction
    problem = _Linear(X, target, coef, intercept, weighting, l2, n_threads)
    return problem.evaluate(Objective.row_losses if reduction == "none" else Objective.value)[0]


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
    """The cross-entropy of a linear model and its gradient, in one pass over the data.

    Parameters
    ----------
    X, target, coef, intercept, sample_weight, class_weight, label_smoothing, ignore_index, l2, n_threads
        As for :func:`linear_cross_entropy`.
    reduction : {"mean", "sum"}
        There is no gradient by rows: it would be K times as large as the data.

    Returns
    -------
    loss : float
    grad_coef : ndarray of the shape of ``coef``
        float32 if ``X`` and ``coef`` both are, in Fortran order.
    grad_intercept : ndarray of shape (K,), or float for binary
        Where ``intercept`` is None: the gradient at an intercept of zero.

    Raises
    ------
    TypeError, ValueError
        As for :func:`linear_cross_entropy`.

    Examples
    --------
    >>> from fastxent import linear_cross_entropy_and_grad
    >>> X = [[1.9, 0.4]]
    >>> loss, grad_coef, grad_intercept = linear_cross_entropy_and_grad(X, [0], coef=[[0.1, 0.1], [0.5, 0.5]])
    >>> grad_coef.round(4)
    array([[-1.3586, -0.286 ],
           [ 1.3586,  0.286 ]])
    >>> grad_intercept.round(4)
    array([-0.715,  0.715])
    """
    check_reduction(reduction, ("mean", "sum"))
    weighting = sample_weight, class_weight, label_smoothing, ignore_index, reduction
    problem = _Linear(X, target, coef, intercept, weighting, l2, n_threads)
    loss, grad = problem.evaluate(Objective.value_and_grad)
    return loss, *_split(grad, problem.binary)


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
    """The Hessian of :func:`linear_cross_entropy` times a direction, in one pass over the data.

    Parameters
    ----------
    X, target, coef, intercept, sample_weight, class_weight, label_smoothing, ignore_index, l2, n_threads
        As for :func:`linear_cross_entropy`. Only weights of the target matter, not which class it is.
    direction_coef : array-like of the shape of ``coef``
    direction_intercept : array-like of shape (K,), or a number for binary, or None for zeros
    reduction : {"mean", "sum"}

    Returns
    -------
    product_coef : ndarray of the shape of ``coef``
    product_intercept : ndarray of shape (K,), or float for binary

    Raises
    ------
    TypeError, ValueError
        As for :func:`linear_cross_entropy`.

    Examples
    --------
    >>> from fastxent import linear_cross_entropy_hessp
    >>> X, target, coef, direction = [[1.0, 2.0]], [1], [0.0, 0.0], [1.0, 0.0]
    >>> linear_cross_entropy_hessp(X, target, coef, 0.0, direction, 0.0)
    (array([0.25, 0.5 ]), 0.25)
    """
    check_reduction(reduction, ("mean", "sum"))
    weighting = sample_weight, class_weight, label_smoothing, ignore_index, reduction
    problem = _Linear(X, target, coef, intercept, weighting, l2, n_threads)
    theta, names = problem.theta, ("direction_coef", "direction_intercept")
    direction, binary = check_coef(
        direction_coef, direction_intercept, theta.shape[0] - 1, theta.dtype, names=names
    )
    if direction.shape != theta.shape or binary != problem.binary:
        got, wanted = np.shape(direction_coef), np.shape(coef)
        raise ValueError(f"direction_coef must have the shape of coef, {wanted}; got {got}.")
    (product,) = problem.evaluate(Objective.hessp, direction)
    return _split(product, binary)


def _rowwise(logits: ArrayLike, out: Floats | None, kind: str, n_threads: int | None) -> Any:
    rows, shape = check_logits(logits)
    n_threads = check_n_threads(n_threads)
    if kind == "logsumexp":
        shape = shape[:-1]
    result = _result(out, shape, rows.dtype)
    rows = _apart(rows, result)
    logit_rows.softmax_rows(
        rows, result.reshape(rows.shape[: 1 if kind == "logsumexp" else 2]), kind, n_threads
    )
    return out if out is not None else result[()]


def _result(out: Floats | None, shape: tuple[int, ...], dtype: DTypeLike) -> Floats:
    if out is not None:
        return check_out(out, shape, dtype)
    check_memory(math.prod(shape) * np.dtype(dtype).itemsize, "result for logits, of shape {},", shape)
    return np.empty(shape, dtype)


def _apart(source: Array, result: Array) -> Array:
    """The source, copied if the result overlaps it without being just the same memory."""
    if np.may_share_memory(source, result):
        same = source.__array_interface__["data"][0] == result.__array_interface__["data"][0]
        if not (same and source.size == result.size):
            return source.copy()
    return source


_LARGE_SCALE = 2.0**64  # more than this, single precision may be unable to hold the scale


def _over_logits(
    logits: ArrayLike,
    target: ArrayLike,
    weighting: tuple[Any, ...],
    n_threads: int | None,
    *,
    with_grad: bool,
) -> tuple[Any, Any]:
    """The loss of an array of logits, and its gradient or None. weighting: sample_weight to reduction, as they come."""
    sample_weight, class_weight, label_smoothing, ignore_index, reduction = weighting
    logits, (n, n_classes) = check_logits(logits, vector=False)
    target, ignored = check_target(target, n, n_classes, ignore_index, logits.dtype)
    s = row_weights(check_sample_weight(sample_weight, n), ignored)
    w = check_class_weight(class_weight, n_classes)
    smoothing = check_label_smoothing(label_smoothing)
    n_threads = check_n_threads(n_threads)
    check_reduction(reduction)
    dtype = logits.dtype
    # A mean wants ratios of weights. What else has an entry for each row wants every weight as it is, of any size.
    by_row = reduction != "mean" and any(weight is not None and not is_moderate(weight) for weight in (s, w))
    targets = Targets(target, n_classes, s, w, smoothing, by_row=by_row)
    if not targets.fit_single:
        logits = logits.astype(np.float64, copy=False)
    targets = targets.astype(logits.dtype)
    exponent: Any
    scale, exponent = (targets.scale("mean"), 0) if reduction == "mean" else (1.0, targets.exponent)
    if scale > _LARGE_SCALE:  # of the weights of soft labels' classes, beside which S is small
        scale, exponent = math.frexp(scale)
    losses: Any = np.empty(n, logits.dtype) if by_row or reduction == "none" else None
    grad = np.empty((n, n_classes), logits.dtype) if with_grad else None
    total = logit_rows.cross_entropy_rows(logits, targets, losses, grad, scale, n_threads)

    def times(values: Array, exponent: Any, dtype: DTypeLike) -> Array:
        if values.dtype == dtype and not np.any(exponent):
            return values
        wide = values.astype(np.promote_types(values.dtype, dtype), copy=False)
        with np.errstate(over="ignore"):
            result = ldexp(wide, exponent).astype(dtype, copy=False)
        if not is_finite(result) and (np.isinf(result) & np.isfinite(values)).any():
            raise_weights_too_large(s, w, reduction, dtype)
        return result

    if grad is not None and (by_row or exponent or logits.dtype != dtype):
        grad = times(grad, exponent[:, np.newaxis] if by_row else exponent, dtype)
    if reduction == "none":
        return times(losses, exponent, dtype), grad
    if by_row:
        loss = float(np.sum(times(losses, exponent, np.float64)))
    else:
        loss = total * scale if scale else 0.0  # no row counts, whatever its logits
        loss = float(ldexp(loss, exponent)) if exponent else loss
    if not math.isfinite(loss) and math.isfinite(total):
        raise_weights_too_large(s, w, reduction, np.float64)
    return loss, grad


class _Linear:
    """The loss of a linear model: its arguments, checked."""

    def __init__(
        self,
        X: MatrixLike,
        target: ArrayLike,
        coef: ArrayLike,
        intercept: ArrayLike | None,
        weighting: tuple[Any, ...],
        l2: float,
        n_threads: int | None,
    ) -> None:
        sample_weight, class_weight, label_smoothing, ignore_index, reduction = weighting
        self._X = X = check_rows(X, n_rows=count_rows(target))
        n, d = X.shape
        self.theta, self.binary = check_coef(
            coef, intercept, d, None if X.dtype == np.float32 else np.float64
        )
        n_classes = 2 if self.binary else self.theta.shape[1]
        target, ignored = check_target(target, n, n_classes, ignore_index, X.dtype)
        s = row_weights(check_sample_weight(sample_weight, n), ignored)
        self._weights = s, check_class_weight(class_weight, n_classes)
        self._target = target, n_classes, check_label_smoothing(label_smoothing)
        self._l2 = check_l2(l2, reduction)
        self._reduction = reduction
        self._n_threads = check_n_threads(n_threads)

    def evaluate(self, method: Callable[..., Any], *arguments: Array) -> tuple[Any, ...]:
        """What a method of the Objective gives, as a tuple; if not finite, it is refused by what is at fault."""
        objective = self._objective(self._reduction, *self._weights)
        result = _parts(method(objective, self.theta, *arguments))
        if not all(map(_is_finite, result)):
            unweighted = result
            if any(weight is not None for weight in self._weights):  # does it go well without their sizes?
                ones = (None if weight is None else np.sign(weight) for weight in self._weights)
                method = Objective.value if self._reduction == "none" else method
                unweighted = _parts(method(self._objective("mean", *ones), self.theta, *arguments))
            for part in unweighted:
                check_finite_result(part, self._X, self.theta)
            raise_weights_too_large(*self._weights, self._reduction, self._X.dtype)
        return result

    def _objective(self, reduction: str, *weights: Any) -> Objective:
        target, n_classes, smoothing = self._target
        sample_weight, class_weight = weights
        return Objective.over(
            self._X,
            Targets(target, n_classes, sample_weight, class_weight, smoothing, by_row=reduction == "none"),
            self.theta.shape[1],
            penalty=Penalty(l2=self._l2),
            reduction=reduction,
            n_threads=self._n_threads,
        )


def _parts(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def _is_finite(part: Any) -> bool:
    return math.isfinite(part) if isinstance(part, float) else is_finite(part)


def _split(theta: Array, binary: bool) -> tuple[Floats, Floats | float]:
    """coef and intercept, as the caller knows them, from the kernels' parameter array."""
    if binary:
        return theta[:-1, 0], float(theta[-1, 0])
    return theta[:-1].T, theta[-1]
