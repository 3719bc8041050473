"""NumPy's archives: dense arrays X and y, or the arrays of scipy.sparse.save_npz and y."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from .batch import Batch, DataError
from .stream import opened, shown
from .table import rows_at_a_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from ..typing import Array, Table


_PARTS = {"data", "indices", "indptr", "shape"}


def read(path: str, *, labelled: bool = True) -> Iterator[Batch]:
    """Yield batches of an archive, which is held in memory as a whole.

    Parameters
    ----------
    path : str
        A file, or '-' for standard input. It has an array X, or ``data``, ``indices``, ``indptr`` and ``shape`` of a
        CSR matrix; and ``y`` and ``weight`` of its rows, if it has labels and weights.
    labelled : bool
        Whether it must have ``y``.
    """
    name = shown(path)
    with opened(path) as stream:
        X, y, weight = _arrays(name, io.BytesIO(stream.read()))
    if X.ndim != 2 or 0 in X.shape:
        raise DataError(name, None, f"X should have rows and columns; its shape is {X.shape}")
    if y is None and labelled:
        raise DataError(name, None, "has no labels: store them as y beside X")
    for what, values in (("y", y), ("weight", weight)):
        if values is not None and values.shape != X.shape[:1]:
            raise DataError(
                name, None, f"X has {X.shape[0]} rows, while the shape of {what} is {values.shape}"
            )
    _check(name, X, y, weight)
    size = rows_at_a_time(X.shape[1] if isinstance(X, np.ndarray) else 2 * X.nnz // X.shape[0] + 1)
    for start in range(0, X.shape[0], size):
        rows = slice(start, start + size)
        yield Batch(
            X[rows],
            None if y is None else y[rows],
            None if weight is None else weight[rows],
            lambda i, start=start: f"row {start + i + 1}",
        )


def _arrays(name: str, file: IO[bytes]) -> tuple[Table, Array | None, Array | None]:
    try:
        archive = np.load(file, allow_pickle=False)
        found = None if isinstance(archive, np.ndarray) else {key: archive[key] for key in archive.files}
    except (
        Exception
    ) as error:  # zipfile, zlib and NumPy have one of their own for everything that can be damaged
        raise DataError(name, None, f"cannot be read as an archive of NumPy: {error}") from None
    if found is None:
        raise DataError(name, None, "is a single array, not an archive of X and y")
    y = found.get("y")
    if y is not None and y.dtype.kind not in "biufU":
        raise DataError(name, None, f"y should hold whole numbers or strings; its dtype is {y.dtype}")
    weight = found.get("weight")
    if "X" in found:
        X = found["X"]
    elif found.keys() >= _PARTS:
        X = _sparse(name, found)
    else:
        raise DataError(
            name, None, f"should have X, or the parts of a CSR matrix; it has {', '.join(found) or 'nothing'}"
        )
    for what, values in (("X", X), ("weight", weight)):
        if values is not None and values.dtype.kind not in "biuf":
            raise DataError(name, None, f"{what} should hold real numbers; its dtype is {values.dtype}")
    return X, y, weight


def _sparse(name: str, found: dict[str, Array]) -> Table:
    kind = found.get("format", np.array("csr")).item()
    kind = kind.decode() if isinstance(kind, bytes) else kind
    if kind not in ("csr", "csc"):
        raise DataError(name, None, f"its sparse matrix is {kind!r}; csr and csc are supported")
    maker = sp.csr_matrix if kind == "csr" else sp.csc_matrix
    try:
        matrix = maker((found["data"], found["indices"], found["indptr"]), shape=tuple(found["shape"]))
        matrix.check_format(full_check=True)
    except (ValueError, TypeError, IndexError) as error:
        raise DataError(name, None, f"its sparse matrix is damaged: {error}") from None
    return matrix.tocsr()


def _check(name: str, X: Table, y: Array | None, weight: Array | None) -> None:
    """Refuse values that are not finite; the message names the row."""
    if y is not None and y.dtype.kind == "f":
        wrong = ~np.isfinite(y) | (y != np.floor(y))
        if wrong.any():
            i = int(np.argmax(wrong))
            raise DataError(
                name, f"row {i + 1}", f"the label is {y[i]:g}; classes are whole numbers or strings"
            )
    values = X if isinstance(X, np.ndarray) else X.data
    if not np.isfinite(values).all():
        place = np.argwhere(~np.isfinite(values))[0]
        if not isinstance(X, np.ndarray):
            i, j = np.searchsorted(X.indptr, place[0], side="right") - 1, X.indices[place[0]]
        else:
            i, j = place
        raise DataError(name, f"row {i + 1}", f"column {j} is {values[tuple(place)]}")
    if weight is not None:
        wrong = ~(np.isfinite(weight) & (weight >= 0))
        if wrong.any():
            i = int(np.argmax(wrong))
            raise DataError(
                name, f"row {i + 1}", f"the weight is {weight[i]:g}; it must be finite and not negative"
            )
