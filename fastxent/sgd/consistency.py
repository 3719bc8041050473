"""Whether the state of a training, as a file has it, can be what a training has left.

The loops use counters and layouts as places in arrays, and never look whether these are there. So sizes, dtypes and
places must be right; numbers that are only computed with may be any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..arrays import FLOATS
from ..kernels import KEPT_OF_UPDATES
from .columns import Columns, Standard
from .loops import COUNTERS, SYNCED, UPDATES
from .optimizers import OPTIMIZERS
from .options import Options
from .rules import era
from .schedules import SCHEDULES
from .trainer import Training

if TYPE_CHECKING:
    from ..typing import Array, DTypeLike


_MOST = 2**53
_INTEGERS = int, np.integer
_REALS = float, int, np.floating, np.integer


def is_consistent(training: Training, shape: tuple[int, int]) -> bool:
    """Whether this is the state of a training of weights of this shape, (d + 1, K)."""
    if type(training) is not Training or not _are_options(getattr(training, "options", None)):
        return False
    if vars(training).keys() != vars(Training(training.options, np.zeros((2, 1)))).keys():
        return False
    if (training.d + 1, training.K) != shape or training.dtype not in FLOATS:
        return False
    standard, columns = training.standard, training.columns
    return (
        _is_array(training.counters, (COUNTERS,))
        and _is_whole(training._unit, -_MOST)
        and _is_whole(training._rows_of_a_call, 1)
        and isinstance(training.horizon, _REALS)
        and isinstance(training._given, (bool, np.bool_))
        and isinstance(training._eta0, (*_REALS, type(None)))
        and training._scratch is None
        and _are_columns(columns, training.d)
        and (standard is None) == (columns is None or columns.standard is None)
        and (standard is None or standard is columns.standard)
        and _is_steepness(training._steepness)
        and _are_arrays(training)
    )


def _is_steepness(found: tuple[float, float] | None) -> bool:
    """Whether this is None or two positive numbers."""
    if found is None:
        return True
    return (
        isinstance(found, tuple)
        and len(found) == 2
        and all(isinstance(value, _REALS) and 0.0 < value < np.inf for value in found)
    )


def _are_options(options: object) -> bool:
    """Whether these are options, each of the type of its default."""
    if type(options) is not Options:
        return False
    for name, default in vars(Options()).items():
        value = getattr(options, name)
        if isinstance(default, (bool, str)):
            right = isinstance(value, str if isinstance(default, str) else (bool, np.bool_))
        elif isinstance(default, int):
            right = _is_whole(value, -1)
        else:
            right = isinstance(value, _REALS) or (name == "eta0" and value is None)
        if not right:
            return False
    return options.optimizer in OPTIMIZERS and options.schedule in SCHEDULES and options.batch >= 0


def _are_columns(columns: Columns | None, d: int) -> bool:
    if columns is None:
        return True
    standard = getattr(columns, "standard", None)
    return (
        type(columns) is Columns
        and vars(columns).keys() == vars(Columns(1, np.dtype(np.float64), True)).keys()
        and columns._dtype in FLOATS
        and _is_array(columns._known, (4, d))
        and _is_array(columns._sizes, (d,))
        and _is_whole(columns._together, 1)
        and isinstance(columns._mass, _REALS)
        and _is_whole(columns.rows, 0)
        and _is_whole(columns.next_review, 1)
        and (
            standard is None
            or (type(standard) is Standard and all(_is_array(part, (d,)) for part in standard))
        )
    )


def _are_arrays(training: Training) -> bool:
    """Whether the arrays of a training have the sizes that its layout tells, and are the ones that its options need."""
    d, K, dtype, layout, arrays = training.d, training.K, training.dtype, training._layout, training._arrays
    names = set(Training(training.options, np.zeros((2, 1)))._arrays)
    if layout is None:
        return arrays.keys() == names and all(_is_array(arrays[name], (d + 1, K), dtype) for name in names)
    if not (
        isinstance(layout, tuple)
        and len(layout) == 7
        and all(_is_whole(place, 0) for place in layout[1:4])
        and layout[6] == 1  # as they are stored
    ):
        return False
    by_class, ld, intercept, size, batches, sparse, _ = layout
    lines, line = (K, d) if by_class else (d, K)
    if not (ld >= line and intercept == lines * ld and size >= intercept + K):
        return False
    lazy = training._lazy(batches, sparse)
    kept, features = (era(d), d) if lazy else (0, 0)
    if arrays.keys() != names | {"clock", "last", "pace"} or not (
        all(_is_array(arrays[name], (size,), dtype) for name in names)
        and _is_array(arrays["clock"], (features,))
        and _is_array(arrays["last"], (features,), np.int64)
        and _is_array(arrays["pace"], (KEPT_OF_UPDATES, kept))
    ):
        return False
    synced, updates = training.counters[[SYNCED, UPDATES]]
    last = arrays["last"]
    return (
        0 <= synced <= updates < _MOST
        and updates == int(updates)
        and synced == int(synced)
        and (not lazy or updates - synced < kept)
        and bool(((synced <= last) & (last <= updates)).all())
    )


def _is_array(array: Array, shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> bool:
    return (
        isinstance(array, np.ndarray)
        and array.shape == shape
        and array.dtype == dtype
        and array.flags.c_contiguous
        and array.flags.writeable
    )


def _is_whole(value: int, least: int) -> bool:
    return isinstance(value, _INTEGERS) and least <= value < _MOST
