"""The trust boundary: the only place that refuses input.

Everything below this file (objective, solvers, kernels) trusts its arguments. The kernels run without bounds
checks, so a wrong label, column index or row pointer that gets past this file is a read outside an array. Each
function takes a user's argument and returns what the kernels expect, without a copy if nothing has to change.
Otherwise it raises a ``TypeError`` (wrong kind of thing) or a ``ValueError`` (right kind, wrong value) that names
the argument, the first bad position and value, and what to do.

Arrays are copied when they are not float32 or float64, byte-swapped, unaligned, or neither C- nor
F-contiguous. Read-only and memory-mapped arrays are used in place.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from . import sparse
from .arrays import (
    NUMERIC_KINDS,
    as_native,
    check_finite,
    check_memory,
    first_nonfinite,
    in_order,
    is_sparse,
    largest,
    plain_array,
    shown,
)
from .processors import processors

if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .typing import Array, ArrayLike, ClassWeight, DTypeLike, Floats, Table


# Arrays of features -----------------------------------------------------------------------------------------


def check_rows(
    X: Any,
    *,
    name: str = "X",
    dtype: DTypeLike | None = None,
    n_rows: int | None = None,
    finite: bool = True,
) -> Table:
    """Return a feature matrix as the kernels take it.

    Parameters
    ----------
    X : array-like or sparse array of shape (n, d)
        Any numeric dtype; any SciPy sparse format.
    name : str
        The argument's name in error messages.
    dtype : {None, np.float32, np.float64}
        None keeps float32 as it is and makes everything else float64.
    n_rows : int or None
        The required number of rows, if known: a sparse array with another number is refused before its conversion.
    finite : bool
        Whether to refuse NaN and infinity; if not, the caller does it.

    Returns
    -------
    ndarray, C- or F-contiguous, or a new scipy.sparse.csr_array whose ``indices`` and ``indptr`` are both int32 or
    both int64
        Unsorted and duplicate entries and explicit zeros of a CSR matrix are kept.

    Raises
    ------
    TypeError
        The dtype is complex, object, string or any other that is not a real number.
    ValueError
        Not two-dimensional, no rows, no columns, NaN or infinite values, or a sparse structure that points
        outside of its arrays.
    """
    if is_sparse(X):
        shape = sparse.shape_of(X, name)
        _check_not_empty(shape, name)
        if n_rows is not None and shape[0] != n_rows:
            raise ValueError(f"{name} has {shape[0]} rows by its shape, but the labels are for {n_rows}.")
        X = sparse.as_csr(X, name)
        if dtype is not None and X.dtype != dtype:
            with np.errstate(over="ignore"):
                X.data = X.data.astype(dtype)
    else:
        X = as_native(X, name, dtype)
        if X.ndim != 2:
            hint = f": a single row is {name}.reshape(1, -1), a single feature {name}.reshape(-1, 1)"
            raise ValueError(
                f"{name} must be two-dimensional, (rows, features); got shape {X.shape}. "
                f"Reshape your data{hint if X.ndim == 1 else ''}."
            )
        _check_not_empty(X.shape, name)
        X = in_order(X, name)
    if finite:
        bad = first_bad_entry(X)
        if bad is not None:
            i, j, value = bad
            raise ValueError(
                f"{name} must be finite; {name}[{i}, {j}] is {value}. Drop or impute such entries first."
            )
    return X


def count_rows(labels: Any) -> int | None:
    """Return the number of labels, or None for an object without a length; does not read the labels."""
    try:
        return None if is_sparse(labels) else len(labels)
    except TypeError:
        return None


def first_bad_entry(X: Table) -> tuple[int, int, Any] | None:
    """Return row, column and value of the first NaN or infinity in a checked X, or None."""
    if isinstance(X, np.ndarray):
        position = first_nonfinite(X)
        return None if position is None else (*position, X[position])
    position = first_nonfinite(X.data)
    if position is None:
        return None
    (p,) = position
    return int(np.searchsorted(X.indptr, p, side="right")) - 1, int(X.indices[p]), X.data[p]


def _check_not_empty(shape: tuple[int, int], name: str) -> None:
    """Refuse a table without rows or columns. The message contains scikit-learn's words, which some code looks for."""
    for size, what, other in zip(shape, ("rows", "columns"), ("sample", "feature"), strict=True):
        if size == 0:
            raise ValueError(
                f"{name} has no {what}: 0 {other}(s) (shape={shape}) while a minimum of 1 is required."
            )


# Logits -----------------------------------------------------------------------------------------------------


def check_logits(logits: ArrayLike, *, vector: bool = True) -> tuple[Floats, tuple[int, ...]]:
    """Return logits as a C-contiguous float array; NaN and infinity are allowed.

    Parameters
    ----------
    logits : array-like of shape (n, K), or (K,) if ``vector``
        float32 stays, everything else becomes float64.

    Returns
    -------
    rows : ndarray of shape (n, K)
        A view of ``logits`` if nothing had to change; (1, K) for a vector.
    shape : tuple
        The shape of the argument, for the shape of the result.
    """
    logits = as_native(logits, "logits")
    shape = logits.shape
    if logits.ndim == 1 and vector:
        logits = logits[np.newaxis]
    if logits.ndim != 2:
        wanted = "(n, K), or (K,) for a single row" if vector else "(n, K)"
        raise ValueError(f"logits must have shape {wanted}; got {shape}.")
    _check_not_empty(logits.shape, "logits")
    return np.ascontiguousarray(in_order(logits, "logits")), shape


def check_out(out: Any, shape: tuple[int, ...], dtype: DTypeLike) -> Floats:
    """Return the caller's result array if it is exactly what a kernel writes, else raise."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array; got {type(out).__name__}.")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(
            f"out must have shape {shape} and dtype {np.dtype(dtype).name}; "
            f"got {out.shape}, {out.dtype.name}."
        )
    if not (out.flags.c_contiguous and out.flags.aligned and out.flags.writeable and out.dtype.isnative):
        raise ValueError("out must be C-contiguous, aligned, writeable and in native byte order.")
    return out


_CODE = np.dtype(np.intp)

# Targets ----------------------------------------------------------------------------------------------------


def check_target(
    target: ArrayLike,
    n_rows: int,
    n_classes: int,
    ignore_index: int | None = None,
    dtype: DTypeLike = np.float64,
    name: str = "target",
) -> tuple[Array, Array | None]:
    """Return checked labels or soft labels.

    Parameters
    ----------
    target : array-like
        Integer (or bool) codes of shape (n_rows,), each in 0..n_classes-1 or equal to ``ignore_index``; or
        soft labels of shape (n_rows, n_classes), whose rows are finite, not negative, and sum to 1 up to
        rounding.
    ignore_index : int or None
        The code of rows that do not count. It has no effect on soft labels, which have no codes.
    dtype : np.float32 or np.float64
        The dtype of returned soft labels.
    name : str
        The target's name in error messages.

    Returns
    -------
    target : ndarray
        intp codes, 0 where ignored, or C-contiguous soft labels.
    ignored : bool ndarray of shape (n_rows,), or None
        Which rows are ignored; None if no row is.
    """
    target = plain_array(target, name)
    if ignore_index is not None:
        ignore_index = check_integer(ignore_index, "ignore_index")
    if target.dtype.kind not in NUMERIC_KINDS:
        raise TypeError(
            f"{name} must be integer codes 0..{n_classes - 1} or soft labels; got dtype {target.dtype}. "
            f"np.unique({name}, return_inverse=True) makes codes; LogisticRegression does it for you."
        )
    if target.ndim not in (1, 2) or target.shape[0] != n_rows:
        raise ValueError(
            f"{name} must have shape ({n_rows},), or ({n_rows}, {n_classes}) for soft labels; "
            f"got {target.shape}."
        )
    if target.ndim == 2:
        return _check_soft(target, n_classes, dtype, name), None
    if target.dtype.kind == "f":
        raise TypeError(
            f"{name} of shape (n,) must hold integer codes; got continuous values ({target.dtype}, "
            f"{name}[0] is {target[0]}). Use {name}.astype(int) if they are whole numbers, "
            "or soft labels of shape (n, K)."
        )
    # Compare in the labels' own dtype: converted to intp, 2**64 - 1 would be -1.
    ignored = None if ignore_index is None else _equal(target, ignore_index)
    if ignored is not None:
        target = np.where(ignored, target.dtype.type(0), target)
    codes = target
    if codes.dtype != _CODE or not (codes.flags.c_contiguous and codes.flags.aligned):
        codes = np.require(target, dtype=np.intp, requirements=["C", "A"])
    unsigned = codes.view(np.uintp)
    if unsigned.max() >= n_classes:
        i = int(np.argmax(unsigned >= n_classes))
        raise ValueError(
            f"{name}[{i}] is {target[i]}; codes must lie in 0..{n_classes - 1}"
            + (
                " (or equal ignore_index)."
                if ignore_index is not None
                else ". Rows to leave out: ignore_index."
            )
        )
    return codes, ignored


def _equal(codes: Array, value: int) -> Array | None:
    """Return where integers are equal to a Python int, bool (n,), or None if nowhere."""
    if codes.dtype.kind != "b":
        bounds = np.iinfo(codes.dtype)
        if not bounds.min <= value <= bounds.max:
            return None
        value = codes.dtype.type(value)
    equal = codes == value
    return equal if equal.any() else None


def _check_soft(target: Array, n_classes: int, dtype: DTypeLike, name: str) -> Array:
    if target.shape[1] != n_classes:
        hint = f" A column of codes is {name}.ravel()." if target.shape[1] == 1 else ""
        raise ValueError(
            f"{name}: soft labels must have {n_classes} columns, one per class; got shape {target.shape}.{hint}"
        )
    rounding = np.finfo(target.dtype).eps if target.dtype.kind == "f" else 0.0
    soft = np.ascontiguousarray(as_native(target, name, dtype))
    check_finite(soft, name)
    if soft.min() < 0:
        i, k = np.unravel_index(int(np.argmax(soft < 0)), soft.shape)
        raise ValueError(f"{name}[{i}, {k}] is {soft[i, k]}; soft labels must not be negative.")
    with np.errstate(over="ignore"):
        sums = soft.sum(axis=1, dtype=np.float64)
    wrong = np.abs(sums - 1.0) > 1e-5 + n_classes * rounding
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(
            f"each row of soft labels must sum to 1; row {i} of {name} sums to {sums[i]:.6g}. "
            "Divide rows by their sums."
        )
    return soft


# Weights and the small arguments ----------------------------------------------------------------------------


def check_sample_weight(
    sample_weight: ArrayLike | None, n_rows: int, *, all_zero: bool = True
) -> Array | None:
    """Return row weights as a float64 array of shape (n_rows,), or None; finite and not negative.

    ``all_zero=False`` refuses weights that are all zero, from which an estimator cannot learn.
    """
    if sample_weight is None:
        return None
    weights = _check_weights(sample_weight, n_rows, "sample_weight", "row")
    if not (all_zero or weights.any()):
        raise ValueError("sample_weight is zero for every row; at least one must be positive.")
    return weights


def check_class_weight(class_weight: ClassWeight | None, n_classes: int) -> Array | None:
    """Return class weights as a float64 array of shape (n_classes,), or None; finite and not negative.

    A mapping gives the weights of some codes; the others have a weight of 1.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        raise TypeError(f"class_weight must be an array, a mapping or None; got the string {class_weight!r}.")
    if isinstance(class_weight, Mapping):
        weights = np.ones(n_classes)
        for code, weight in class_weight.items():
            if not 0 <= check_integer(code, "each code of class_weight") < n_classes:
                raise ValueError(f"class_weight names class {code!r}; codes lie in 0..{n_classes - 1}.")
            weights[code] = check_real(weight, f"class_weight[{code!r}]")
        class_weight = weights
    return _check_weights(class_weight, n_classes, "class_weight", "class")


def check_penalty_factor(penalty_factor: ArrayLike | None, n_features: int) -> Array | None:
    """Return penalty factors as a float64 array of shape (n_features,), finite and not negative; None if all are 1."""
    if penalty_factor is None:
        return None
    factor = _check_weights(penalty_factor, n_features, "penalty_factor", "feature")
    return None if (factor == 1).all() else factor


def _check_weights(weights: ArrayLike, length: int, name: str, what: str) -> Array:
    weights = as_native(weights, name, np.float64)
    if weights.shape != (length,):
        raise ValueError(f"{name} must have shape ({length},), one per {what}; got {weights.shape}.")
    check_finite(weights, name)
    if weights.min() < 0:
        i = int(np.argmax(weights < 0))
        raise ValueError(f"{name} must not be negative; {name}[{i}] is {weights[i]}.")
    return np.ascontiguousarray(weights)


def row_weights(sample_weight: Array | None, ignored: Array | None) -> Array | None:
    """Return sample weights, zero for ignored rows; None if every weight is 1. Both arguments as checked above."""
    if ignored is None:
        return sample_weight
    return np.where(ignored, 0.0, 1.0 if sample_weight is None else sample_weight)


def check_coef(
    coef: ArrayLike,
    intercept: ArrayLike | None,
    n_features: int,
    dtype: DTypeLike | None = None,
    *,
    names: tuple[str, str] = ("coef", "intercept"),
) -> tuple[Array, bool]:
    """Return coefficients as the kernels' parameter array.

    Parameters
    ----------
    coef : array-like of shape (K, n_features), or (n_features,) for binary logistic regression
        Any memory order.
    intercept : array-like of shape (K,), a number for binary logistic regression, or None for zeros
    dtype : np.float32, np.float64 or None
        None is float32 if ``coef`` is, and float64 otherwise.

    Returns
    -------
    theta : ndarray of shape (n_features + 1, K), C-contiguous
        The coefficients transposed, the intercept as last row; K = 1 for binary.
    binary : bool
    """
    name, intercept_name = names
    coef = as_native(coef, name, dtype)
    binary = coef.ndim == 1
    if coef.ndim not in (1, 2) or coef.shape[-1] != n_features or coef.shape[0] == 0:
        raise ValueError(
            f"{name} must have shape (K, {n_features}), or ({n_features},) for binary logistic regression; "
            f"got {coef.shape}."
        )
    if not binary and coef.shape[0] == 1:
        raise ValueError(
            f"{name} has shape {coef.shape}: a softmax over one class is always 1. For binary logistic "
            f"regression pass shape ({n_features},), e.g. {name}[0]."
        )
    check_memory(2 * coef.dtype.itemsize * coef.size, "{} entries of {}", coef.shape, name)
    check_finite(coef, name)
    theta = np.empty((n_features + 1, 1 if binary else coef.shape[0]), dtype=coef.dtype)
    theta[:-1] = coef[:, np.newaxis] if binary else coef.T
    if intercept is None:
        theta[-1] = 0.0
    else:
        intercept = as_native(intercept, intercept_name, coef.dtype)
        if intercept.shape != theta[-1].shape and not (binary and intercept.ndim == 0):
            wanted = "be a number" if binary else f"have shape ({theta.shape[1]},)"
            raise ValueError(
                f"{intercept_name} must {wanted} to go with {name}; got shape {intercept.shape}."
            )
        check_finite(np.atleast_1d(intercept), intercept_name)
        theta[-1] = intercept
    return theta, binary


def check_integer(value: Any, name: str) -> int:
    """Return a whole number: int or a NumPy integer, not a bool."""
    if not isinstance(value, (bool, np.bool_)):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(f"{name} must be an integer; got {shown(value)}.")


_NO_NUMBERS = (str, bytes, bytearray, complex, np.complexfloating, np.datetime64, np.timedelta64)


def check_real(value: Any, name: str) -> float:
    """Return a finite real number as a float."""
    if type(value) is float and math.isfinite(value):
        return value
    if not isinstance(value, _NO_NUMBERS) and getattr(value, "ndim", 0) == 0:
        try:
            number = float(value)
        except ArithmeticError:  # an int too large for a float
            number = math.inf
        except (TypeError, ValueError):
            number = None
        if number is not None:
            if math.isfinite(number):
                return number
            raise ValueError(f"{name} must be finite; got {shown(value)}.")
    raise TypeError(f"{name} must be a real number; got {shown(value)}.")


def check_label_smoothing(label_smoothing: object) -> float:
    """Return a number in [0, 1] as a float."""
    value = check_real(label_smoothing, "label_smoothing")
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"label_smoothing must lie in [0, 1]; got {shown(label_smoothing)}.")
    return value


def check_reduction(reduction: str, allowed: tuple[str, ...] = ("mean", "sum", "none")) -> str:
    """Return the name of a reduction if it is allowed, else raise."""
    if not isinstance(reduction, str) or reduction not in allowed:
        names = " or ".join(repr(name) for name in allowed)
        hint = " A gradient by rows would be as large as the data." if reduction == "none" else ""
        raise ValueError(f"reduction must be {names}; got {shown(reduction)}.{hint}")
    return reduction


def check_l2(l2: object, reduction: str = "mean") -> float:
    """Return a finite penalty strength >= 0 as a float; with reduction "none" it must be 0."""
    value = check_real(l2, "l2")
    if value < 0:
        raise ValueError(f"l2 must not be negative; got {shown(l2)}.")
    if value and reduction == "none":
        raise ValueError('l2 is not part of any row\'s loss: use reduction="mean" or "sum", or l2=0.')
    return value


def check_n_threads(n_threads: int | None) -> int | None:
    """Return None (the package's choice) or a number of threads >= 1; -1 means every core this process may use."""
    if n_threads is None:
        return None
    value = check_integer(n_threads, "n_threads")
    if value == -1:
        return processors()
    if value < 1:
        raise ValueError(f"n_threads must be None, at least 1, or -1 for every core; got {shown(n_threads)}.")
    return value


# Results ----------------------------------------------------------------------------------------------------


def check_finite_result(value: Any, X: Table, theta: Array | None = None) -> Any:
    """Return a finite result, or raise with the size of features and parameters.

    Finite features and parameters give infinite or NaN results only by overflow, so their size is the cause.
    """
    if math.isfinite(value) if isinstance(value, float) else first_nonfinite(value) is None:
        return value
    stored = X.data if is_sparse(X) else X
    sizes = f"the largest feature in absolute value is {largest(stored):.3g}"
    if theta is not None:
        sizes += f", the largest parameter {largest(theta):.3g}"
    raise ValueError(
        f"The linear model went beyond the range of {stored.dtype.name}: {sizes}. Scale the features, "
        "for instance to unit variance (sklearn.preprocessing.MaxAbsScaler keeps sparse data sparse)."
    )


def raise_weights_too_large(
    sample_weight: Array | None, class_weight: Array | None, reduction: str, dtype: DTypeLike
) -> NoReturn:
    """Refuse weights, checked above, that alone take a result beyond the range of a dtype."""
    given = {"sample_weight": sample_weight, "class_weight": class_weight}
    known = {name: weight for name, weight in given.items() if weight is not None}
    sizes = ", ".join(f"{name} goes up to {weight.max():.3g}" for name, weight in known.items())
    what, advice = {
        "mean": ("Weights of classes", "Make the weights of the classes less different."),
        "sum": (
            "Weights",
            'Divide them by a constant, or use reduction="mean", which depends only on their ratios.',
        ),
        "none": ("Weights", "Divide them by a constant."),
    }[reduction]
    raise ValueError(f"{what} take the result beyond the range of {np.dtype(dtype).name}: {sizes}. {advice}")
