"""What estimators take: features as arrays, frames and sparse matrices, and labels of any kind.

The trust boundary itself is :mod:`fastxent.validation`. Here is what scikit-learn's idiom adds: frames, whose columns
have names; arrays of objects, if each object is a number; columns of labels; and the wording of its errors, which some
code depends on.
"""

from __future__ import annotations

import math
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import validate_data

from .. import validation
from ..arrays import NUMERIC_KINDS, first_nonfinite, plain_array, shown

if TYPE_CHECKING:
    from typing import Any

    from ..typing import Array, DTypeLike, Table


_FLOATS = (np.float64, np.float32)
_SPAN = 1 << 16  # of integer labels, up to which a table of them fits into a cache


# Features ---------------------------------------------------------------------------------------------------


def features(
    estimator: Any,
    X: Table,
    *,
    reset: bool,
    dtype: DTypeLike | None = None,
    n_rows: int | None = None,
    name: str = "X",
) -> Table:
    """Return X as the kernels need it; the estimator stores its columns (``reset``), or compares them with its own.

    Parameters
    ----------
    dtype : {None, np.float32, np.float64}
        None keeps float32 and makes everything else float64.
    n_rows : int or None
        The number of labels, if it is known.
    name : str
        The name of X in messages.
    """
    frame = is_frame(X)
    columns = _distinct_names(X, name) if frame else None
    checked = X
    if not sp.issparse(X):
        checked = _from_frame(X) if frame else plain_array(X, name)
    if not sp.issparse(checked):  # a frame of sparse columns is sparse
        checked = _numbers(checked, name, columns)
        if dtype is None and checked.dtype != np.float32:  # even with another byte order
            dtype = np.float64
    given = checked
    checked = validation.check_rows(checked, name=name, dtype=dtype, n_rows=n_rows, finite=False)
    _check_finite(checked, given, name, columns)
    d = checked.shape[1]
    expected = (
        d if reset else validation.check_integer(getattr(estimator, "n_features_in_", d), "n_features_in_")
    )
    if d != expected:
        raise ValueError(
            f"{name} has {d} features, but {type(estimator).__name__} is expecting {shown(expected)} features as "
            "input."
        )
    if frame:
        validate_data(estimator, X, skip_check_array=True, reset=reset)
    elif reset:
        vars(estimator).pop("feature_names_in_", None)
    elif hasattr(estimator, "feature_names_in_"):
        validate_data(estimator, checked, skip_check_array=True, reset=False)  # warns about missing names
    if reset:
        estimator.n_features_in_ = d
    return checked


def is_frame(X: Table) -> bool:
    """Whether X is a table with named columns: pandas, polars, pyarrow ..."""
    if isinstance(X, (np.ndarray, list, tuple)) or sp.issparse(X):
        return False
    return hasattr(X, "__dataframe__") or hasattr(X, "columns")


def _distinct_names(frame: Any, name: str) -> list[int | str]:
    names = column_names(frame)
    if len(set(names)) < len(names):
        again = next(j for j, column in enumerate(names) if names.index(column) < j)
        raise ValueError(
            f"Columns {names.index(names[again])} and {again} of {name} are both named {shown(names[again])}: rename "
            "one, or pass np.asarray of the frame."
        )
    return names


def column_names(frame: Any) -> list[int | str]:
    names: Any = getattr(frame, "column_names", None)  # where `columns` are the columns themselves
    names = getattr(frame, "columns", None) if names is None else names
    return list(names)


def _from_frame(frame: Any) -> Array:
    """An array of the frame's entries, or a sparse matrix if all its columns are sparse."""
    kinds = [getattr(dtype, "kind", "O") for dtype in getattr(frame, "dtypes", ())]
    if kinds and all(kind in NUMERIC_KINDS for kind in kinds):
        # scikit-learn knows pandas' own dtypes, whose missing values become NaN.
        options = {"accept_sparse": True, "ensure_all_finite": False, "ensure_min_samples": 0}
        return check_array(frame, dtype=_FLOATS, **options)
    return np.asarray(frame)


def _numbers(table: Array, name: str, columns: list[int | str] | None) -> Array:
    """A table of numbers out of one of objects; complex numbers are refused in scikit-learn's words."""
    if table.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {table.dtype}. Use its real part.")
    if table.dtype.kind != "O" or table.ndim != 2:
        return table
    for kind in set(map(type, table.flat)):
        if not issubclass(kind, (Real, Decimal, np.bool_)) or issubclass(kind, np.timedelta64):
            i, j = next(at for at, value in np.ndenumerate(table) if type(value) is kind)
            raise _no_number(table[i, j], _place(name, i, j, columns))
    try:
        return table.astype(np.float64)
    except (ArithmeticError, ValueError, TypeError):
        for (i, j), value in np.ndenumerate(table):
            validation.check_real(value, _place(name, i, j, columns))
        raise


def _no_number(value: object, place: str) -> ValueError | TypeError:
    """Return the error for an object that is not a number."""
    if is_missing(value):
        return ValueError(
            f"Input {place} is missing (NaN): {shown(value)}. Drop or impute such entries first."
        )
    try:
        float(value)  # type: ignore[arg-type]
    except Exception as error:  # foreign objects may do anything
        why = f": {error}"
    else:
        why = ""
    return TypeError(
        f"Features must be numbers; {place} is {shown(value)}{why}. Convert it, or drop its column."
    )


def is_missing(value: Any) -> bool:
    """Tell whether a value is missing: None, NaN, NaT, pandas' NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except Exception:  # pandas' NA and arrays have no truth value
        return type(value).__name__ == "NAType"


def _check_finite(X: Table, given: Table, name: str, columns: list[int | str] | None) -> None:
    """Refuse NaN and infinity, naming the column as well. given: X before conversion to its dtype."""
    bad = validation.first_bad_entry(X)
    if bad is None:
        return
    i, j, value = bad
    what = "NaN" if math.isnan(value) else f"infinity or a value too large for {X.dtype!r}"
    if isinstance(given, np.ndarray):
        value = given[i, j]
    raise ValueError(
        f"Input {name} contains {what}: {_place(name, i, j, columns)} is {value}. Drop or impute such entries first."
    )


def _place(name: str, i: int, j: int, columns: Any) -> str:
    column = shown(columns[j]) if columns is not None and j < len(columns) else j
    return f"{name}[{i}, {column}]"


# Labels -----------------------------------------------------------------------------------------------------


def labels(y: Any, n_rows: int | None = None, name: str = "y", warn: bool = True) -> Array:
    """Labels of any kind as a one-dimensional array without gaps, one for each row. warn: of a column of them."""
    if type(y) is not np.ndarray or y.ndim != 1:
        y = _one_dimension(y, name, warn)
    if n_rows is not None and len(y) != n_rows:
        raise ValueError(
            f"{name} must have shape ({n_rows},), one label for each row of X; got {y.shape}. Found input variables "
            f"with inconsistent numbers of samples: {[n_rows, len(y)]}"
        )
    if len(y) == 0:
        raise ValueError(f"{name} has no labels: 0 sample(s) while a minimum of 1 is required.")
    kind = y.dtype.kind
    if kind == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {y.dtype}.")
    if kind == "S":
        raise TypeError(
            f"{name} holds labels represented as bytes, which is not supported. Decode them: {name}.astype(str)."
        )
    if kind == "V":
        raise TypeError(f"Unknown label type: {name} has dtype {y.dtype}. Labels are numbers or strings.")
    if kind == "f":
        bad = first_nonfinite(y)
        if bad is not None:
            what = "NaN" if math.isnan(y[bad]) else f"infinity or a value too large for {y.dtype!r}"
            raise ValueError(f"Input {name} contains {what}: {name}[{bad[0]}] is {y[bad]}.")
        fractions = y != np.trunc(y)
        if fractions.any():
            i = int(np.argmax(fractions))
            raise ValueError(
                f"Unknown label type: continuous. {name}[{i}] is {y[i]}; a classifier needs discrete classes, so "
                "bin the values, or use a regressor."
            )
    elif kind in "Mm":
        _check_none_missing(np.isnat(y), y, name)
    elif kind == "O":
        _check_objects(y, name)
    return y


def _one_dimension(y: Any, name: str, warn: bool) -> Array:
    if y is None:
        raise ValueError(f"Training requires y to be passed, but the target {name} is None.")
    if sp.issparse(y):
        raise ValueError(_several(name, "a sparse matrix"))
    if _is_of_lists(y):
        raise ValueError(_several(name, "lists of labels"))
    if not hasattr(y, "shape") or isinstance(y, np.ndarray):  # other types are frames and series
        y = plain_array(y, name)
    if getattr(y.dtype, "kind", None) == "c":
        raise ValueError(f"Complex data not supported: {name} has dtype {y.dtype}.")
    if len(y.shape) == 0 or (len(y.shape) > 1 and y.shape[1:] != (1,)):
        raise ValueError(f"{name} should be a 1d array, got an array of shape {tuple(y.shape)} instead.")
    return np.asarray(column_or_1d(y, warn=warn))  # arrays of other libraries may stay as they are


def _is_of_lists(y: Any) -> bool:
    """Whether y is a list of lists, sets or tuples that differ in length, or are no table at all."""
    if not isinstance(y, (list, tuple)) or not any(
        isinstance(row, (list, tuple, set, frozenset)) for row in y
    ):
        return False
    lengths = {len(row) if isinstance(row, (list, tuple)) else None for row in y}
    return len(lengths) > 1 or None in lengths


def _check_none_missing(missing: Array, y: Any, name: str) -> None:
    if missing.any():
        i = int(np.argmax(missing))
        raise ValueError(f"Input {name} contains NaN: {name}[{i}] is {shown(y[i])}. Drop such rows first.")


def _check_objects(y: Any, name: str) -> None:
    """Objects as labels: none missing, all of them strings or none."""
    _check_none_missing(np.fromiter(map(is_missing, y), bool, len(y)), y, name)
    strings = np.fromiter((isinstance(label, str) for label in y), bool, len(y))
    if strings.any() and not strings.all():
        i, j = int(np.argmax(strings)), int(np.argmin(strings))
        raise TypeError(
            f"{name} mixes strings and other labels, which have no order: {name}[{i}] is {shown(y[i])}, "
            f"{name}[{j}] is {shown(y[j])}. Use labels of one kind."
        )
    if not strings.all():
        for i, label in enumerate(y):
            if isinstance(label, bytes):
                raise TypeError(
                    f"{name} holds labels represented as bytes, which is not supported. Decode them."
                )
            if not isinstance(label, Real):
                raise ValueError(
                    f"Unknown label type: {name}[{i}] is {shown(label)}, neither a number nor a string."
                )


def has_columns(y: Any) -> bool:
    """Whether y is two-dimensional, with more than one column: soft labels, if anything."""
    if sp.issparse(y):
        return False
    if not hasattr(y, "ndim"):
        try:
            y = np.asarray(y)
        except ValueError:
            return False
    return y.ndim == 2 and y.shape[1] > 1


def soft_labels(y: Any, n_rows: int, n_classes: int, dtype: DTypeLike, name: str = "y") -> Array:
    """Distributions over the classes, one for each row. Several labels a row are told apart from them."""
    y = _table_of_labels(y, name)
    if len(y) != n_rows:
        raise ValueError(
            f"{name} must have one row for each of the {n_rows} rows of X; got shape {np.shape(y)}."
        )
    return validation.check_target(y, n_rows, n_classes, dtype=dtype, name=name)[0]


def refuse_several(y: Any, name: str) -> None:
    """Refuse a table that gives a row several labels, or none, or several outputs."""
    _table_of_labels(y, name)


def _table_of_labels(y: Any, name: str) -> Array:
    y = _from_frame(y) if is_frame(y) else plain_array(y, name)
    if y.dtype.kind == "O" and all(isinstance(value, Real) for value in y.flat):
        y = y.astype(np.float64)
    if y.dtype.kind in "OUST":
        raise ValueError(_several(name, f"a table of {y.dtype} with {y.shape[1]} columns"))
    if y.dtype.kind in "biu" or (y.dtype.kind == "f" and ((y == 0) | (y == 1)).all()):
        if not ((y == 0) | (y == 1)).all():
            raise ValueError(_several(name, "a table of whole numbers"))
        counts = (y != 0).sum(axis=1)
        if (counts != 1).any():
            i = int(np.argmax(counts != 1))
            raise ValueError(_several(name, f"a table of zeros and ones, and row {i} has {counts[i]} ones"))
    return y


def _several(name: str, what: str) -> str:
    return (
        f"{name} is multilabel or multioutput: {what}. This model gives each row one label, or takes soft labels, "
        "whose rows sum to 1. For several labels a row, fit one model for each: "
        "sklearn.multioutput.MultiOutputClassifier(model), or sklearn.multiclass.OneVsRestClassifier(model)."
    )


def codes_of(y: Any, classes: Array, name: str, known: str) -> Array:
    """Return the positions of labels in the classes; refuse labels that are not there."""
    codes = places_of(y, classes, name)
    if codes.min() < 0:
        i = int(np.argmax(codes < 0))
        raise ValueError(
            f"{name} has the label {y.tolist()[i]!r} (row {i}), which is not among those of {known}."
        )
    return codes


def places_of(y: Any, classes: Array, name: str) -> Array:
    """Return the positions of labels in the classes, -1 for labels that are not there."""
    kinds = y.dtype.kind + classes.dtype.kind
    # NumPy would compare int64 with uint64, and integers with floats, as rounded float64.
    same = kinds in ("UU", "ff") or (
        set(kinds) <= set("biu") and np.result_type(y.dtype, classes.dtype).kind != "f"
    )
    if same and set(kinds) <= set("iu") and np.result_type(y.dtype, classes.dtype) != np.uint64:
        low, high = int(classes.min()), int(classes.max())
        if high - low < _SPAN:  # mostly 0, 1, 2, ...: a table is faster than a search
            table = np.full(high - low + 1, -1)
            table[classes.astype(np.int64) - low] = np.arange(len(classes))
            if y.size and y.min() >= low and y.max() <= high:  # as always but for the one that fails
                return table.take(y if low == 0 else y.astype(np.int64) - low)
            inside = (y >= low) & (y <= high)
            return np.where(inside, table[np.where(inside, y, low).astype(np.int64) - low], -1)
    if same:
        order = np.argsort(classes, kind="stable")
        place = np.minimum(np.searchsorted(classes, y, sorter=order), len(classes) - 1)
        codes = order[place]
        return np.where(classes[codes] == y, codes, -1)
    lookup = {label: code for code, label in enumerate(classes.tolist())}
    try:
        return np.array([lookup.get(label, -1) for label in y.tolist()], np.intp)
    except TypeError as error:
        raise TypeError(f"{name} has labels that are neither numbers nor strings: {error}.") from None
