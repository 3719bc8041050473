"""One array from outside: numbers, in a layout that the kernels read, finite.

The bottom of the trust boundary (see :mod:`fastxent.validation`): what is asked of every array, whatever it stands
for.
"""

from __future__ import annotations

import functools
import math
import os
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from . import kernels

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal, TypeGuard

    from .typing import Array, ArrayLike, DTypeLike


finfo: Callable[[Any], np.finfo[Any]] = functools.cache(
    np.finfo
)  # each time, NumPy takes a few microseconds to find it
NUMERIC_KINDS = "biuf"
FLOATS = np.dtype(np.float64), np.dtype(np.float32)  # an array's own dtype is one of these objects, as a rule
_SEARCH_BLOCK = 1 << 20
_LOOK = 1 << 23  # entries looked at between two chances for Ctrl-C
_COLUMNS = 64  # copied at once: some cache lines of a row
_SHOWN = 80  # characters of a value in a message


def is_sparse(values: object) -> TypeGuard[Any]:
    """Whether values are a SciPy sparse container: what `scipy.sparse.issparse` says, sooner of an array."""
    return type(values) is not np.ndarray and sp.issparse(values)


def as_native(values: ArrayLike, name: str, dtype: DTypeLike | None = None) -> Array:
    """An aligned float32 or float64 ndarray in native byte order, from anything real and array-like."""
    values = plain_array(values, name)
    if values.dtype.kind not in NUMERIC_KINDS:
        raise TypeError(f"{name} must hold real numbers; got {_no_numbers(values, name)}")
    if dtype is None:
        dtype = float_type(values.dtype)
    if values.dtype != dtype or not values.flags.aligned:
        check_memory(np.dtype(dtype).itemsize * values.size, f"copy of {name} as {np.dtype(dtype).name}")
        # a long double past the range becomes inf, which is refused where it matters
        with np.errstate(over="ignore"):
            values = np.array(values, dtype=dtype)
    return values


def _no_numbers(values: Array, name: str) -> str:
    """What came, and what to do."""
    if values.ndim == 0 and values.dtype.kind in "OUS":
        return f"a {type(values.item()).__name__}."
    advice = f"Convert it first, e.g. {name}.astype(float)"
    if values.dtype.kind in "US":
        advice += "; of texts, scikit-learn's TfidfVectorizer makes numbers"
    return f"dtype {values.dtype}. {advice}."


def in_order(values: Array, name: str) -> Array:
    """Values in C or Fortran order, copied if they are in neither."""
    if values.flags.c_contiguous or values.flags.f_contiguous:
        return values
    check_memory(values.nbytes, f"copy of {name} in C order")  # a broadcast array may have any size
    return np.ascontiguousarray(values)


def copied(array: Array, order: Literal["C", "F"]) -> Array:
    """A copy in C or Fortran order.

    NumPy's own takes several times as long where that is not the order of the array: it leaves the cache with each
    entry.
    """
    flags = array.flags
    if array.ndim != 2 or (flags.c_contiguous if order == "C" else flags.f_contiguous):
        return np.array(array, order=order)
    copy = np.empty(array.shape, array.dtype, order)
    for first in range(0, array.shape[1], _COLUMNS):
        some = np.s_[:, first : first + _COLUMNS]
        copy[some] = array[some]
    return copy


def float_type(dtype: np.dtype[Any]) -> type[np.floating[Any]]:
    """What numbers of a dtype are computed in: float32 stays, all others become float64."""
    return np.float32 if dtype.type is np.float32 else np.float64


def plain_array(values: ArrayLike, name: str) -> Array:
    """An ndarray of any dtype; sparse and masked arrays, and what has no one shape, are refused."""
    if type(values) is np.ndarray:
        return values
    if sp.issparse(values):
        raise TypeError(f"{name} must be a dense array; got a sparse one. Use {name}.toarray().")
    if is_masked(values):
        raise ValueError(
            f"{name} is a masked array, whose masked entries would be silently used. "
            f"Fill them, e.g. {name}.filled(0), or drop their rows."
        )
    try:
        return np.asarray(values)
    except MemoryError:
        raise
    except (ValueError, ArithmeticError) as error:
        raise ValueError(
            f"{name} cannot be made into an array, its rows may differ in length: {error}"
        ) from error
    except Exception as error:  # foreign objects may do anything in their __array__
        raise TypeError(f"{name} cannot be made into an array: {type(error).__name__}: {error}") from error


def is_masked(values: object) -> bool:
    """Whether values are a masked array, or a list of such: NumPy would forget the masks without a word."""
    if isinstance(values, np.ma.MaskedArray):
        return True
    return isinstance(values, (list, tuple)) and any(isinstance(row, np.ma.MaskedArray) for row in values)


def check_finite(values: Array, name: str, advice: str = "Drop or impute such entries first.") -> None:
    """Refuse NaN and infinity, naming the first. One pass over the array when all is well."""
    position = first_nonfinite(values)
    if position is not None:
        where = ", ".join(map(str, position))
        raise ValueError(f"{name} must be finite; {name}[{where}] is {values[position]}. {advice}")


def first_nonfinite(values: Array) -> tuple[int, ...] | None:
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


def is_finite(values: Array) -> bool:
    """Whether no entry is NaN or infinite."""
    if values.dtype not in FLOATS:
        return bool(np.isfinite(values).all())
    return math.isfinite(largest(values))


def largest(values: Array) -> float:
    """The largest absolute value in an array of float32 or float64, 0.0 in an empty one; infinite or NaN if one is."""
    flat = values.ravel(order="K")
    if flat.size <= _LOOK:
        return kernels.largest(flat, 0, flat.size)
    parts = (
        kernels.largest(flat, start, min(start + _LOOK, flat.size)) for start in range(0, flat.size, _LOOK)
    )
    return max(parts, key=lambda part: (math.isnan(part), part))


def check_memory(size: int, what: str, *names: Any) -> None:
    """Refuse what, by its size in bytes alone, this machine cannot hold: a shape may claim anything.

    what : str
        With a place {} for each of the names. It is written out only if it is needed.
    """
    memory = _memory()
    if size > memory:
        what = what.format(*names)
        raise ValueError(
            f"The {what} would take {shown(size // 10**9)} GB, and this machine has {memory // 10**9} GB."
        )


@functools.cache
def _memory() -> float:
    """Bytes of memory of this machine; infinite where that is not known."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf


def shown(value: object) -> str:
    """A value as messages show it: not too long, and whatever it is."""
    try:
        text = repr(value)
    except Exception:  # Python refuses to print very long integers; foreign objects may do anything
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."
