"""Model files: ``model.save(path)`` writes one, and `load` gives a predictor or the model itself.

The format is described in docs/serving.md. Nothing in such a file is ever executed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

import fastxent

from . import record, vectorizers
from .arrays import check_memory, is_sparse
from .forks import importing
from .predictor import Predictor
from .record import Record

if TYPE_CHECKING:
    from typing import Any

    from .estimators.base import LinearClassifier
    from .typing import Path, Vectorizer


_ESTIMATORS = "LogisticRegression", "LogisticRegressionCV", "SGDClassifier"
_OF_PREDICTORS = "classes_", "coef_", "intercept_"


def save(model: LinearClassifier | Predictor, path: Path, *, vectorizer: Vectorizer | None = None) -> None:
    """Write a model to a file: the same as ``model.save``.

    Parameters
    ----------
    model : LogisticRegression, LogisticRegressionCV, SGDClassifier or Predictor
    path : str or os.PathLike
    vectorizer : TfidfVectorizer, CountVectorizer or HashingVectorizer of scikit-learn, or None
        The fitted vectoriser that turns texts into rows.

    Raises
    ------
    OSError
        The file cannot be written; what was there before is as it was.
    TypeError, ValueError
        A parameter, an attribute or the vectoriser is of a kind that a file cannot hold.
    """
    if not isinstance(model, Predictor) and type(model).__name__ not in _ESTIMATORS:
        raise TypeError(
            f"model must be a {', '.join(_ESTIMATORS)} or Predictor of fastxent; got a {type(model).__name__}."
        )
    model.save(path, vectorizer=vectorizer)


def load(path: Path, *, estimator: bool = False) -> Any:
    """Read a model file.

    Parameters
    ----------
    path : str or os.PathLike
        A file that ``model.save`` has written.
    estimator : bool, default=False
        Whether to return the estimator as it was, with its parameters, its fitted attributes, and everything that
        ``partial_fit`` needs to continue; otherwise a predictor, for which scikit-learn is not imported.

    Returns
    -------
    fastxent.predictor.Predictor, or the estimator

    Raises
    ------
    OSError
        There is no such file, or it cannot be read.
    ValueError
        The file is damaged, of a newer schema, or no model file; with ``estimator=True``, it holds a predictor only.

    Examples
    --------
    >>> import numpy as np, fastxent, os, tempfile
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> model = fastxent.LogisticRegression(C=10).fit(X, ["no", "no", "yes", "yes"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.fxt")
    ...     model.save(path)
    ...     p, again = fastxent.load(path), fastxent.load(path, estimator=True)
    >>> p
    <fastxent predictor: 1 features, 2 classes, float64>
    >>> str(p.predict(X[3])), again
    ('yes', LogisticRegression(C=10))
    """
    if not isinstance(estimator, (bool, np.bool_)):
        raise TypeError(f"estimator must be True or False; got {estimator!r}.")
    file = Record(path, None if estimator else _OF_PREDICTORS)
    if file.kind not in (record.PREDICTOR, *_ESTIMATORS):
        raise file.contradiction(f"it holds a {file.kind[:40]!r}")
    if not estimator:
        return _predictor(file)
    if file.kind == record.PREDICTOR:
        raise ValueError(
            f"{file.path} holds a predictor only, which cannot be fitted. Save the estimator itself, or use "
            "estimator=False."
        )
    return getattr(fastxent, file.kind)._from_record(file)


def load_vectorizer(path: Path) -> Vectorizer | None:
    """Read the vectoriser that was saved with a model.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    TfidfVectorizer, CountVectorizer, HashingVectorizer, or None
        As it was fitted; None if the file has none.

    Raises
    ------
    OSError, ValueError
        As for `load`.
    """
    file = Record(path, ("vectorizer",))
    if not file.has("vectorizer"):
        return None
    values = file.values("vectorizer")
    with importing:
        try:
            return vectorizers.rebuilt(**values)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise file.contradiction(f"vectorizer: {error}") from error


def _predictor(file: Record) -> Predictor:
    found = file.values("attributes", names=_OF_PREDICTORS)
    try:
        classes, coef, intercept = (found[name] for name in _OF_PREDICTORS)
        if is_sparse(coef):
            check_memory(coef.dtype.itemsize * math.prod(coef.shape), "coefficients")
            coef = coef.toarray()
        intercept = np.full(len(coef), intercept) if np.ndim(intercept) == 0 else intercept
        return Predictor(coef, intercept, classes)
    except (TypeError, KeyError, ValueError) as error:
        raise file.contradiction(error) from error
