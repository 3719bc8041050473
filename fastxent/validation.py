"""The trust boundary: the only place that refuses input.

Everything below this file (objective, solvers, kernels) trusts its arguments; the kernels in particular run
without bounds checks, so a label, a column index or a row pointer that gets past this file wrongly is a read
outside an array. Each function takes what a person may pass and returns what the kernels expect, without a
copy when nothing has to change, or raises a ``TypeError`` (wrong kind of thing) or a ``ValueError`` (right
kind, wrong value) that names the argument, the first bad position and value, and what to do.

Arrays are copied when they are not float32 or float64, byte-swapped, unaligned, or neither C- nor
F-contiguous. Read-only and memory-mapped arrays are used in place.
"""

import math
import operator
import os
from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp

from . import kernels

_NUMERIC_KINDS = "biuf"
_SEARCH_BLOCK = 1 << 20
_LOOK = 1 << 23  # entries looked at between two chances for Ctrl-C


# Arrays of features -----------------------------------------------------------------------------------------


def check_rows(X, *, name="X", dtype=None):
    """A feature matrix as the kernels take it.

    Parameters
    ----------
    X : array-like or sparse array of shape (n, d)
        Any numeric dtype; any SciPy sparse format.
    name : str
        What the argument is called in error messages.
    dtype : {None, np.float32, np.float64}
        None keeps float32 as it is and makes everything else float64.

    Returns ------- ndarray, C- or F-contiguous, or scipy.sparse.csr_array whose ``indices`` and ``indptr``
    are both int32 or both int64
        Unsorted and duplicate entries and explicit zeros of a sparse matrix are kept.

    Raises
    ------
    TypeError
        The dtype is complex, object, string or any other that is not a real number.
    ValueError
        Not two-dimensional, no rows, no columns, NaN or infinite values, or a sparse structure that points
        outside of its arrays.
    """
    if sp.issparse(X):
        return _check_sparse(X, name, dtype)
    X = as_native(X, name, dtype)
    if X.ndim != 2:
        hint = (
            f" A single row is {name}.reshape(1, -1), a single feature {name}.reshape(-1, 1)."
            if X.ndim == 1
            else ""
        )
        raise ValueError(f"{name} must be two-dimensional, (rows, features); got shape {X.shape}.{hint}")
    _check_not_empty(X.shape, name)
    if not (X.flags.c_contiguous or X.flags.f_contiguous):
        X = np.ascontiguousarray(X)
    check_finite(X, name)
    return X


def as_native(values, name, dtype=None):
    """An aligned float32 or float64 ndarray in native byte order, from anything real and array-like."""
    if not isinstance(values, np.ndarray) or type(values) is not np.ndarray:
        values = _plain_array(values, name)
    if values.dtype.kind not in _NUMERIC_KINDS:
        raise TypeError(
            f"{name} must hold real numbers; got dtype {values.dtype}. "
            f"Convert it first, e.g. {name}.astype(float)."
        )
    if dtype is None:
        dtype = np.float32 if values.dtype.type is np.float32 else np.float64
    if values.dtype != dtype or not values.flags.aligned:
        with np.errstate(
            over="ignore"
        ):  # a long double past the range becomes inf, which is refused where it matters
            values = np.array(values, dtype=dtype)
    return values


def _plain_array(values, name):
    if sp.issparse(values):
        raise TypeError(f"{name} must be a dense array; got a sparse one. Use {name}.toarray().")
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(f"{name} has masked entries, which would be silently used. Fill or drop them first.")
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} cannot be made into an array, its rows may differ in length: {error}"
        ) from error


def check_finite(values, name):
    """Refuse NaN and infinity, naming the first. One pass over the array when all is well."""
    position = _first_nonfinite(values)
    if position is not None:
        raise ValueError(
            f"{name} must be finite; {name}[{_index_text(position)}] is {values[position]}. "
            "Drop or impute such entries first."
        )


def _first_nonfinite(values):
    """The index of the first entry, in row order, that is NaN or infinite, or None."""
    if is_finite(values):
        return None
    step = max(1, _SEARCH_BLOCK // max(1, math.prod(values.shape[1:])))
    for start in range(0, values.shape[0], step):
        bad = ~np.isfinite(values[start : start + step])
        if bad.any():
            first = np.unravel_index(np.argmax(bad), bad.shape)
            return (int(first[0]) + start, *(int(i) for i in first[1:]))
    return None


def is_finite(values):
    """Whether no entry is NaN or infinite."""
    if values.dtype not in (np.float32, np.float64):
        return bool(np.isfinite(values).all())
    return math.isfinite(largest(values))


def largest(values):
    """The largest absolute value in an array of float32 or float64, 0.0 in an empty one; infinite or NaN if one is."""
    flat = values.ravel(order="K")
    parts = (
        kernels.largest(flat, start, min(start + _LOOK, flat.size)) for start in range(0, flat.size, _LOOK)
    )
    return max(parts, key=lambda part: (math.isnan(part), part), default=0.0)


def _index_text(position):
    return ", ".join(str(int(i)) for i in position)


def _check_not_empty(shape, name):
    if shape[0] == 0:
        raise ValueError(f"{name} has no rows (shape {shape}); at least one is needed.")
    if shape[1] == 0:
        raise ValueError(f"{name} has no columns (shape {shape}); at least one is needed.")


# Sparse structure -------------------------------------------------------------------------------------------


def _check_sparse(X, name, dtype):
    if X.ndim != 2:
        raise ValueError(
            f"{name} must be two-dimensional, (rows, features); got a sparse array of shape {X.shape}."
        )
    _check_not_empty(X.shape, name)
    if X.dtype.kind not in _NUMERIC_KINDS:
        raise TypeError(f"{name} must hold real numbers; got a sparse array of dtype {X.dtype}.")
    if X.format != "csr":
        X = _to_csr(X, name)
    n, d = X.shape
    indptr, indices, stored = _check_compressed(X.indptr, X.indices, X.data, n, d, name, "column")
    data = as_native(X.data, f"{name}.data", dtype)
    if data.ndim != 1:
        raise ValueError(f"{name}.data must be one-dimensional; got shape {data.shape}.")
    data = np.ascontiguousarray(data)
    if stored < max(data.shape[0], indices.shape[0]):  # room to grow, which SciPy allows
        data, indices = data[:stored], indices[:stored]
    check_finite(data, f"{name}.data")
    unchanged = data is X.data and indices is X.indices and indptr is X.indptr
    if unchanged and isinstance(X, sp.csr_array):
        return X
    # SciPy's constructor would narrow int64 indices to int32, by a copy: set the arrays on an empty shell.
    checked = sp.csr_array((n, d), dtype=data.dtype)
    checked.data, checked.indices, checked.indptr = data, indices, indptr
    return checked


def _to_csr(X, name):
    """CSR from another format, whose structure is checked first: SciPy's conversion trusts it."""
    if X.format == "dia":  # by way of COO, which is made by NumPy alone
        X = X.tocoo()
    if X.format in ("csc", "bsr"):
        rows, columns = X.shape
        if X.format == "csc":
            major, minor, what = columns, rows, "row"
        else:
            block_rows, block_columns = X.data.shape[1:]
            major, minor, what = rows // block_rows, columns // block_columns, "block column"
        _check_compressed(X.indptr, X.indices, X.data, major, minor, name, what)
    elif X.format == "coo":
        for axis, coordinate in enumerate(X.coords):
            coordinate = _index_array(coordinate, f"{name}.coords[{axis}]")
            if coordinate.shape != X.data.shape:
                raise ValueError(
                    f"{name}.coords[{axis}] has {coordinate.size} entries for {X.data.size} values."
                )
            _check_bounds(coordinate, X.shape[axis], f"{name}.coords[{axis}]", ("row", "column")[axis])
    if X.dtype.type not in (
        np.float32,
        np.float64,
    ):  # SciPy's conversions know neither float16 nor other byte orders
        X = X.astype(np.float64)
    return X.tocsr()


def _check_compressed(indptr, indices, data, n_major, n_minor, name, what):
    """indptr and indices in one dtype, and how many entries they hold; refused if they point outside."""
    pointer, index = _index_array(indptr, f"{name}.indptr"), _index_array(indices, f"{name}.indices")
    if pointer.shape[0] != n_major + 1:
        raise ValueError(f"{name}.indptr must have {n_major + 1} entries; got {pointer.shape[0]}. {_REBUILD}")
    if pointer[0] != 0:
        raise ValueError(f"{name}.indptr must start at 0; {name}.indptr[0] is {pointer[0]}. {_REBUILD}")
    falls = pointer[1:] < pointer[:-1]
    if falls.any():
        i = int(np.argmax(falls))
        raise ValueError(
            f"{name}.indptr must not decrease; {name}.indptr[{i + 1}] is {pointer[i + 1]} "
            f"after {pointer[i]}. {_REBUILD}"
        )
    stored = int(pointer[-1])
    if stored > min(index.shape[0], data.shape[0]):
        raise ValueError(
            f"{name}.indptr ends at {stored}, past the data: {name}.indices has {index.shape[0]} entries and "
            f"{name}.data {data.shape[0]}. {_REBUILD}"
        )
    _check_bounds(index[:stored], n_minor, f"{name}.indices", what)
    if pointer.dtype != index.dtype:
        pointer, index = pointer.astype(np.int64, copy=False), index.astype(np.int64, copy=False)
    return pointer, index, stored


_REBUILD = "The sparse matrix is corrupt: rebuild it from its rows, columns and values."


def _index_array(values, name):
    """A one-dimensional contiguous int32 or int64 array."""
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be a one-dimensional integer array; got {values.dtype}, shape {values.shape}."
        )
    dtype = np.int32 if values.dtype.itemsize <= 4 and values.dtype.type is not np.uint32 else np.int64
    if values.dtype == dtype and values.flags.c_contiguous and values.flags.aligned:
        return values
    return np.array(values, dtype=dtype)


def _check_bounds(indices, stop, name, what):
    # Seen as unsigned, a negative index is a huge one: a single pass finds both faults.
    unsigned = indices.view(np.uint32 if indices.itemsize == 4 else np.uint64)
    if unsigned.size and unsigned.max() >= stop:
        i = int(np.argmax(unsigned >= stop))
        raise ValueError(f"{name}[{i}] is {indices[i]}; a {what} index must lie in 0..{stop - 1}. {_REBUILD}")


# Logits -----------------------------------------------------------------------------------------------------


def check_logits(logits, *, vector=True):
    """Logits as a C-contiguous float array; NaN and infinity are allowed.

    Parameters
    ----------
    logits : array-like of shape (n, K), or (K,) where ``vector`` allows it
        float32 stays, everything else becomes float64.

    Returns
    -------
    rows : ndarray of shape (n, K)
        A view of ``logits`` when nothing had to change; (1, K) for a vector.
    shape : tuple
        The shape that came, which results are given back in.
    """
    logits = as_native(logits, "logits")
    shape = logits.shape
    if logits.ndim == 1 and vector:
        logits = logits[np.newaxis]
    if logits.ndim != 2:
        wanted = "(n, K), or (K,) for a single row" if vector else "(n, K)"
        raise ValueError(f"logits must have shape {wanted}; got {shape}.")
    _check_not_empty(logits.shape, "logits")
    return logits if logits.flags.c_contiguous else np.ascontiguousarray(logits), shape


def check_out(out, shape, dtype):
    """The caller's own result array, which must be exactly what a kernel writes."""
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


# Targets ----------------------------------------------------------------------------------------------------


def check_target(target, n_rows, n_classes, ignore_index=None, dtype=np.float64):
    """Labels or soft labels.

    Parameters
    ----------
    target : array-like
        Integer (or bool) codes of shape (n_rows,), each in 0..n_classes-1 or equal to ``ignore_index``; or
        soft labels of shape (n_rows, n_classes), whose rows are finite, not negative, and sum to 1 up to
        rounding.
    ignore_index : int or None
        The code of rows that do not count. Soft labels have no codes: there it is without effect.
    dtype : np.float32 or np.float64
        The dtype of soft labels returned.

    Returns
    -------
    target : ndarray
        intp codes, 0 where ignored, or C-contiguous soft labels.
    ignored : bool ndarray of shape (n_rows,), or None
        Which rows are ignored; None if no row is.
    """
    if type(target) is not np.ndarray:
        target = _plain_array(target, "target")
    if ignore_index is not None:
        ignore_index = check_integer(ignore_index, "ignore_index")
    if target.dtype.kind not in _NUMERIC_KINDS:
        raise TypeError(
            f"target must be integer codes 0..{n_classes - 1} or soft labels; got dtype {target.dtype}. "
            "np.unique(target, return_inverse=True) makes codes; LogisticRegression does it for you."
        )
    if target.ndim not in (1, 2) or target.shape[0] != n_rows:
        raise ValueError(
            f"target must have shape ({n_rows},), or ({n_rows}, {n_classes}) for soft labels; "
            f"got {target.shape}."
        )
    if target.ndim == 2:
        return _check_soft(target, n_classes, dtype), None
    if target.dtype.kind == "f":
        raise TypeError(
            f"target of shape (n,) must hold integer codes; got continuous values ({target.dtype}, "
            f"target[0] is {target[0]}). Use target.astype(int) if they are whole numbers, "
            "or soft labels of shape (n, K)."
        )
    codes = np.require(target, dtype=np.intp, requirements=["C", "A"])
    ignored = None
    if ignore_index is not None:
        ignored = codes == ignore_index
        if ignored.any():
            codes = np.where(ignored, 0, codes)
        else:
            ignored = None
    unsigned = codes.view(np.uintp)
    if unsigned.max() >= n_classes:
        i = int(np.argmax(unsigned >= n_classes))
        raise ValueError(
            f"target[{i}] is {target[i]}; codes must lie in 0..{n_classes - 1}"
            + (
                " (or equal ignore_index)."
                if ignore_index is not None
                else ". Rows to leave out: ignore_index."
            )
        )
    return codes, ignored


def _check_soft(target, n_classes, dtype):
    if target.shape[1] != n_classes:
        hint = " A column of codes is target.ravel()." if target.shape[1] == 1 else ""
        raise ValueError(
            f"soft labels must have {n_classes} columns, one a class; got shape {target.shape}.{hint}"
        )
    rounding = np.finfo(target.dtype).eps if target.dtype.kind == "f" else 0.0
    soft = np.ascontiguousarray(as_native(target, "target", dtype))
    check_finite(soft, "target")
    if soft.min() < 0:
        i, k = np.unravel_index(int(np.argmax(soft < 0)), soft.shape)
        raise ValueError(f"target[{i}, {k}] is {soft[i, k]}; soft labels must not be negative.")
    sums = soft.sum(axis=1, dtype=np.float64)
    wrong = np.abs(sums - 1.0) > 1e-5 + n_classes * rounding
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(
            f"each row of soft labels must sum to 1; row {i} of target sums to {sums[i]:.6g}. "
            "Divide rows by their sums."
        )
    return soft


# Weights and the small arguments ----------------------------------------------------------------------------


def check_sample_weight(sample_weight, n_rows, *, all_zero=True):
    """Row weights as a float64 array of shape (n_rows,), or None; finite and not negative.

    ``all_zero=False`` refuses weights of which none is positive, which an estimator cannot learn from.
    """
    if sample_weight is None:
        return None
    weights = _check_weights(sample_weight, n_rows, "sample_weight", "row")
    if not (all_zero or weights.any()):
        raise ValueError("sample_weight is zero for every row; at least one must be positive.")
    return weights


def check_class_weight(class_weight, n_classes):
    """Class weights as a float64 array of shape (n_classes,), or None; finite and not negative.

    A mapping gives the weight of some codes; those not named weigh 1.
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


def check_penalty_factor(penalty_factor, n_features):
    """Factors of the penalty as a float64 array of shape (n_features,), finite and not negative; None if all are 1."""
    if penalty_factor is None:
        return None
    factor = _check_weights(penalty_factor, n_features, "penalty_factor", "feature")
    return None if (factor == 1).all() else factor


def _check_weights(weights, length, name, what):
    weights = as_native(weights, name, np.float64)
    if weights.shape != (length,):
        raise ValueError(f"{name} must have shape ({length},), one a {what}; got {weights.shape}.")
    check_finite(weights, name)
    if weights.min() < 0:
        i = int(np.argmax(weights < 0))
        raise ValueError(f"{name} must not be negative; {name}[{i}] is {weights[i]}.")
    return np.ascontiguousarray(weights)


def row_weights(sample_weight, ignored):
    """Sample weights, zero where a row is ignored; None where every row weighs 1. Both as checked above."""
    if ignored is None:
        return sample_weight
    return np.where(ignored, 0.0, 1.0 if sample_weight is None else sample_weight)


def check_coef(coef, intercept, n_features, dtype=None, *, names=("coef", "intercept")):
    """Coefficients as the parameter array of the kernels.

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


def check_integer(value, name):
    """A whole number: int or a NumPy integer, not a bool."""
    if not isinstance(value, (bool, np.bool_)):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(f"{name} must be an integer; got {value!r}.")


def check_real(value, name):
    """A finite real number, as a float."""
    if not isinstance(value, (str, bytes, complex)):
        try:
            value = float(value)
        except (TypeError, ValueError):
            pass
        else:
            if math.isfinite(value):
                return value
            raise ValueError(f"{name} must be finite; got {value}.")
    raise TypeError(f"{name} must be a real number; got {value!r}.")


def check_label_smoothing(label_smoothing):
    """A number in [0, 1], as a float."""
    value = check_real(label_smoothing, "label_smoothing")
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"label_smoothing must lie in [0, 1]; got {label_smoothing}.")
    return value


def check_reduction(reduction, allowed=("mean", "sum", "none")):
    """One of the allowed names of a reduction."""
    if not isinstance(reduction, str) or reduction not in allowed:
        names = " or ".join(repr(name) for name in allowed)
        hint = " A gradient by rows would be as large as the data." if reduction == "none" else ""
        raise ValueError(f"reduction must be {names}; got {reduction!r}.{hint}")
    return reduction


def check_l2(l2, reduction="mean"):
    """A finite penalty strength >= 0, as a float; it needs a reduction to be added to."""
    value = check_real(l2, "l2")
    if value < 0:
        raise ValueError(f"l2 must not be negative; got {l2}.")
    if value and reduction == "none":
        raise ValueError('l2 belongs to no row: use reduction="mean" or "sum", or l2=0.')
    return value


def check_n_threads(n_threads):
    """None (the package's choice), or a number of threads >= 1; -1 is every core this process may use."""
    if n_threads is None:
        return None
    value = check_integer(n_threads, "n_threads")
    if value == -1:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if value < 1:
        raise ValueError(f"n_threads must be None, at least 1, or -1 for every core; got {n_threads}.")
    return value


# Results ----------------------------------------------------------------------------------------------------


def check_finite_result(value, X, theta=None):
    """Pass on a finite result; name the scale of features and parameters when something overflowed.

    Finite features and parameters give infinite or NaN results only by overflow, so it is their size that is
    at fault.
    """
    if math.isfinite(value) if isinstance(value, float) else _first_nonfinite(value) is None:
        return value
    stored = X.data if sp.issparse(X) else X
    sizes = f"the largest feature in absolute value is {largest(stored):.3g}"
    if theta is not None:
        sizes += f", the largest parameter {largest(theta):.3g}"
    raise ValueError(
        f"The linear model went beyond the range of {stored.dtype.name}: {sizes}. Scale the features, "
        "for instance to unit variance (sklearn.preprocessing.MaxAbsScaler keeps sparse data sparse)."
    )
