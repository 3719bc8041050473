"""A predictor: an immutable copy of a model's coefficients that answers single rows in microseconds.

A row takes a single call of compiled code. Arguments that this code does not accept directly (lists, integers, several
rows, and invalid ones) are handled by the checks of :mod:`fastxent.validation`, which takes longer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

import fastxent

from . import kernels, record, sparse, validation, versions
from .arrays import FLOATS, as_native, check_finite, copied, is_sparse, plain_array
from .data.ranges import MIN_RANGE
from .prediction import FEW_ROWS, MOST_ENTRIES, by_blas, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .sparse import CSR
    from .typing import Array, ArrayLike, Floats, MatrixLike, Path, Table, Vectorizer


_KINDS = {
    output: kernels.KINDS[kind]
    for output, kind in (("logits", "logits"), ("proba", "softmax"), ("log_proba", "log_softmax"))
}
_SOFTMAX = _KINDS["proba"]
_MANY = 1_000_000_000  # rows
_WIDE = 8  # from this number of classes on, a feature's coefficients are contiguous


class Predictor:
    """Probabilities and labels of rows, by the coefficients that a model had when ``model.predictor()`` was called.

    It is immutable. Any number of threads may use it, and so may a child after a fork. It needs no scikit-learn and
    starts no threads. It takes no locks, except for products of many dense rows with many classes: BLAS computes them,
    and is held to one thread meanwhile. Its results have the same bits as the model's.

    A row is a vector, or the indices and values of its entries; entries with the same index are added up. Native arrays
    of float64 (or float32, if the model has float32 coefficients) are fastest; all real numbers are accepted. NaN is
    not refused: a row with NaN has NaN probabilities.

    Parameters
    ----------
    coef : array-like of shape (K, d), or (1, d) for two classes
    intercept : array-like of shape (K,), or (1,)
    classes : array-like of shape (K,), or (2,)

    Attributes
    ----------
    classes : ndarray of shape (K,)
        The labels, in the order of the probabilities.
    n_features : int
        d
    dtype : numpy dtype
        Dtype of the coefficients. Results are float32 if the coefficients and the row are, and float64 otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from fastxent.predictor import Predictor
    >>> p = Predictor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], [0.0, 0.0, 0.0], ["a", "b", "c"])
    >>> p(np.array([2.0, 0.0])).round(4)
    array([0.6652, 0.09  , 0.2447])
    >>> p(np.array([0]), np.array([2.0])).round(4)  # column 0, and its value
    array([0.6652, 0.09  , 0.2447])
    >>> labels, probabilities = p.top(np.array([2.0, 0.0]), 2)
    >>> labels, probabilities.round(4)
    (array(['a', 'c'], dtype='<U1'), array([0.6652, 0.2447]))
    """

    _classes: Array
    _coef: Floats
    _intercept: Floats
    _dense: Callable[..., Any]
    _sparse: Callable[..., Any]
    _most: int

    __slots__ = ("__weakref__", "_classes", "_coef", "_dense", "_intercept", "_most", "_sparse")

    def __init__(self, coef: ArrayLike, intercept: ArrayLike, classes: ArrayLike) -> None:
        coef = as_native(coef, "coef")
        intercept = as_native(intercept, "intercept", coef.dtype)
        classes = np.array(classes)
        if coef.ndim != 2 or 0 in coef.shape:
            raise ValueError(f"coef must have shape (K, d), or (1, d) for two classes; got {coef.shape}.")
        K = len(coef)
        if intercept.shape != (K,):
            raise ValueError(f"intercept must have shape ({K},) to match coef; got {intercept.shape}.")
        if classes.shape != (max(K, 2),):
            raise ValueError(f"classes must have shape ({max(K, 2)},) to match coef; got {classes.shape}.")
        # The bits of BLAS may depend on the order of the coefficients.
        kept = coef.flags.c_contiguous and by_blas(_MANY, coef)
        coef, intercept = copied(coef, "C" if kept or K < _WIDE else "F"), np.array(intercept)
        for array in (coef, intercept, classes):
            array.flags.writeable = False
        packed = kernels.Packed(coef, intercept, np.empty, FLOATS, FEW_ROWS, MIN_RANGE)
        for name, value in (
            ("_coef", coef),
            ("_intercept", intercept),
            ("_classes", classes),
            ("_dense", packed.dense),
            ("_sparse", packed.sparse),
            ("_most", MOST_ENTRIES * coef.shape[1]),
        ):
            object.__setattr__(self, name, value)

    @property
    def classes(self) -> Array:
        return self._classes

    @property
    def n_features(self) -> int:
        return self._coef.shape[1]

    @property
    def dtype(self) -> np.dtype[np.floating[Any]]:
        return self._coef.dtype

    def __call__(
        self, x: MatrixLike, values: ArrayLike | None = None, *, out: Floats | None = None
    ) -> Floats:
        """Return the probabilities, in the order of ``classes``.

        Parameters
        ----------
        x : array-like of shape (d,) or (n, d), or sparse matrix of shape (n, d)
            A row, or rows; with ``values``, the column indices of a row's entries, integers in 0..d-1.
        values : array-like, optional
            The entries in these columns; all others are zero.
        out : ndarray, optional
            Array for the result: C-contiguous, of the result's shape and dtype.

        Returns
        -------
        ndarray of shape (K,), or (n, K) for several rows

        Raises
        ------
        TypeError, ValueError
            ``x`` is not a row, or rows, of d real numbers; a column is out of range; ``out`` does not fit.
        """
        if out is None:  # the common case, directly
            if values is None:
                found = self._dense(x, _SOFTMAX)
            elif type(values) is np.ndarray and values.size <= self._most:
                found = self._sparse(x, values, _SOFTMAX)
            else:
                found = None
            if found is not None:
                return found
        return self._answer(x, values, "proba", out)

    def log_proba(
        self, x: MatrixLike, values: ArrayLike | None = None, *, out: Floats | None = None
    ) -> Floats:
        """Return the logarithms of the probabilities, also of those too small for a float.

        Parameters
        ----------
        x, values, out
            As for the call itself.

        Returns
        -------
        ndarray of shape (K,), or (n, K) for several rows

        Raises
        ------
        TypeError, ValueError
            As for the call itself.
        """
        return self._answer(x, values, "log_proba", out)

    def predict(self, x: MatrixLike, values: ArrayLike | None = None) -> Any:
        """Return the most likely label.

        Parameters
        ----------
        x, values
            As for the call itself.

        Returns
        -------
        label, or ndarray of shape (n,) for several rows

        Raises
        ------
        TypeError, ValueError
            As for the call itself; also for NaN, which has no most likely label.
        """
        logits = self._logits(x, values)
        if len(self._coef) == 1:
            return self._classes[(logits[..., 0] > 0).astype(np.intp)]
        return self._classes[logits.argmax(axis=-1)]

    def top(self, x: MatrixLike, k: int, *, values: ArrayLike | None = None) -> tuple[Array, Floats]:
        """Return the k most likely labels and their probabilities, the most likely first.

        Parameters
        ----------
        x, values
            As for the call itself.
        k : int
            From 1 to the number of classes.

        Returns
        -------
        labels : ndarray of shape (k,), or (n, k) for several rows
        probabilities : ndarray of that shape

        Raises
        ------
        TypeError, ValueError
            As for ``predict``; ``k`` is out of range.
        """
        k = validation.check_integer(k, "k")
        if not 1 <= k <= len(self._classes):
            raise ValueError(f"k must lie in 1..{len(self._classes)}, the number of classes; got {k}.")
        logits = self._logits(x, values)
        if len(self._coef) == 1:
            logits = np.concatenate([-logits, logits], axis=-1)
        best = np.argsort(-logits, axis=-1, kind="stable")[..., :k]
        return self._classes[best], np.take_along_axis(self(x, values), best, axis=-1)

    def export_c(self, path: Path, *, name: str = "fastxent_predict") -> None:
        """Write a C99 file with the weights and a function that gives the probabilities of a row.

        The file needs nothing but the C library. A comment at its head says how to compile and how to call it. There is
        a second function, ``<name>_sparse``, for rows of which some entries are given. They compute in the dtype of the
        coefficients, and agree with the predictor to 4 units in the last place.

        Parameters
        ----------
        path : path-like
            Replaced as a whole, or left as it was if anything goes wrong.
        name : str
            Of the function. Every other name in the file begins with it, so that files of several models can be linked
            into one program.

        Raises
        ------
        TypeError, ValueError
            ``name`` cannot be that of a C function; a coefficient is not finite.
        OSError
            The file could not be written.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> from fastxent.predictor import Predictor
        >>> p = Predictor([[1.0, 0.5]], [0.0], ["no", "yes"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "model.c")
        ...     p.export_c(path, name="model")
        ...     print(path.read_text().splitlines()[3].strip())
        void model(const double *x, double *probabilities);
        """
        from . import atomic, c_source  # what serves rows need not wait for what is used once

        c_source.check_name(name)
        check_finite(self._coef, "coef", "A file for C wants finite numbers.")
        check_finite(self._intercept, "intercept", "A file for C wants finite numbers.")
        with atomic.replacing(path) as file:
            for text in c_source.c_source(self._coef, self._intercept, self._classes, name):
                file.write(text.encode("ascii"))

    def _logits(self, x: Any, values: Any) -> Array:
        """Return logits (K,) or (n, K), or raise if one is NaN."""
        logits = self._answer(x, values, "logits", None)
        if math.isnan(logits.item(logits.argmax())):  # NaN counts as the largest
            raise ValueError(
                "x must not have NaN, or entries so large that a logit is NaN: it has no most likely label."
            )
        return logits

    def _answer(self, x: Any, values: Any, output: str, out: Array | None) -> Array:
        row = x if values is None else values
        if type(row) is np.ndarray and row.dtype in FLOATS and (row.ndim == 1 or out is None):
            if out is not None:
                validation.check_out(out, (self._columns(output),), self._result_type(row.dtype))
            found = None
            if values is None:
                found = self._dense(x, _KINDS[output], out)
            elif values.size <= self._most:
                found = self._sparse(x, values, _KINDS[output], out)
            if found is not None:
                return found
        return self._by_checks(x, values, output, out)

    def _by_checks(self, x: Any, values: Any, output: str, out: Array | None) -> Array:
        """Return the result for any valid arguments, or raise an error that says what is wrong with them."""
        X, single = self._rows(x) if values is None else (self._entries(x, values), True)
        X = X.astype(self._result_type(X.dtype), copy=False)
        shape = X.shape[0], self._columns(output)
        result = np.empty(shape, X.dtype) if out is None else out
        if out is not None:
            validation.check_out(out, shape[1:] if single else shape, X.dtype)
            result = out.reshape(shape)
        evaluate(X, self._coef, self._intercept, output, 1, result)
        return out if out is not None else result[0] if single else result

    def _columns(self, output: str) -> int:
        K = len(self._coef)
        return 2 if K == 1 and output != "logits" else K

    def _result_type(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return dtype if dtype == self.dtype else np.dtype(np.float64)

    def _rows(self, x: Any) -> tuple[Table, bool]:
        """Return rows as the kernels take them, and whether x is a single row."""
        if is_sparse(x):
            kind = getattr(x, "format", None)
            X, single = (sparse.members_of if kind == "csr" else sparse.as_csr)(x, "x"), False
        else:
            X = as_native(x, "x")
            single = X.ndim == 1
            X = X[np.newaxis] if single else X
            X = X if X.flags.c_contiguous or X.flags.f_contiguous else np.ascontiguousarray(X)
        if len(X.shape) != 2 or X.shape[1] != self.n_features or X.shape[0] == 0:
            d = self.n_features
            raise ValueError(
                f"x must be a row of shape ({d},), or rows of shape (n, {d}); got shape {np.shape(x)}."
            )
        return X, single

    def _entries(self, indices: Any, values: Any) -> CSR:
        """Return a row of entries as CSR."""
        columns, values = plain_array(indices, "indices"), as_native(values, "values")
        if columns.dtype.kind not in "iu" and columns.size:
            raise TypeError(f"indices must be integers, the indices of columns; got dtype {columns.dtype}.")
        if columns.ndim != 1 or columns.shape != values.shape:
            raise ValueError(
                "indices and values must be vectors of the same length, a column for each value; got shapes "
                f"{columns.shape} and {values.shape}."
            )
        wrong = (columns < 0) | (columns >= self.n_features)
        if wrong.any():
            p = int(np.argmax(wrong))
            raise ValueError(f"indices[{p}] is {columns[p]}; columns lie in 0..{self.n_features - 1}.")
        columns = np.ascontiguousarray(columns, np.int64)
        indptr = np.array([0, len(columns)], np.int64)
        return sparse.CSR(np.ascontiguousarray(values), columns, indptr, (1, self.n_features))

    def save(self, path: Path, *, vectorizer: Vectorizer | None = None) -> None:
        """Write it to a file that :func:`fastxent.load` reads.

        Parameters
        ----------
        path : str or os.PathLike
            An existing file is replaced atomically: after a failure at any moment it is unchanged.
        vectorizer : TfidfVectorizer, CountVectorizer or HashingVectorizer of scikit-learn, or None
            The fitted vectoriser that turns texts into rows; `fastxent.files.load_vectorizer` returns it.

        Raises
        ------
        OSError
            The file cannot be written.
        TypeError, ValueError
            The classes or the vectoriser are of a kind that a file cannot hold.
        """
        attributes = {"classes_": self._classes, "coef_": self._coef, "intercept_": self._intercept}
        record.write(path, record.Contents(record.PREDICTOR, self.n_features, attributes), vectorizer)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"a Predictor cannot be changed, so {name} cannot be set. Make another by model.predictor()."
        )

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Predictor cannot be changed, so {name} cannot be deleted.")

    def __getstate__(self) -> dict[str, Any]:
        return {
            "coef": self._coef,
            "intercept": self._intercept,
            "classes": self._classes,
            "_fastxent_version": fastxent.__version__,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        if hasattr(self, "_coef"):
            raise AttributeError("a Predictor cannot be changed. Make another by model.predictor().")
        state = dict(state)
        versions.check(type(self).__name__, state.pop("_fastxent_version", None))
        self.__init__(**state)  # type: ignore[misc]  # a Predictor has no other way to be filled

    def __repr__(self) -> str:
        K, d = len(self._classes), self.n_features
        return f"<fastxent predictor: {d} features, {K} classes, {self.dtype.name}>"
