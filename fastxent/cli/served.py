"""A model from its file, with what it needs to read other files as the first one was read."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

import fastxent.files
from fastxent.readers.batch import Columns, DataError
from fastxent.readers.formats import reader
from fastxent.readers.stream import shown
from fastxent.record import Record

from .arguments import UsageError
from .data import TABLES, of_width

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from ..estimators.logistic_regression import LogisticRegression
    from ..estimators.logistic_regression_cv import LogisticRegressionCV
    from ..estimators.sgd_classifier import SGDClassifier
    from ..predictor import Predictor
    from ..readers.batch import Batch
    from ..typing import Table


ATTRIBUTE = "file_columns_"  # where an estimator that was fitted here keeps its Columns
_NAMES = "feature_names_in_"
MOST_NUMBERS = 1 << 18  # of a block's results


def with_columns(
    model: LogisticRegression | LogisticRegressionCV | SGDClassifier, columns: Columns
) -> LogisticRegression | LogisticRegressionCV | SGDClassifier:
    """Add to a fitted model what its file stores besides: names of features, and what the columns of files mean."""
    kept = columns.as_dict()
    names = kept.pop("names")
    if names is not None:
        model.feature_names_in_ = np.array(names, dtype=object)
    setattr(model, ATTRIBUTE, kept)
    return model


class Served:
    """A predictor, the vectoriser before it if there is one, and the columns of its files."""

    predictor: Predictor
    columns: Columns

    def __init__(self, path: str) -> None:
        self.predictor = fastxent.files.load(path)
        file = Record(path, (ATTRIBUTE, _NAMES))
        self._kind, self._version = file.kind, file.version
        kept = file.values("attributes", names=(ATTRIBUTE, _NAMES))
        self.vectorizer: Any = fastxent.files.load_vectorizer(path) if file.has("vectorizer") else None
        try:
            self.columns = Columns(**kept.get(ATTRIBUTE, {}))
        except TypeError as error:
            raise file.contradiction(error) from None
        self.columns.count = self.predictor.n_features
        if _NAMES in kept:
            self.columns.names = kept[_NAMES].tolist()
        if self.columns.first is None:
            self.columns.first = 1

    def describe(self) -> dict[str, str]:
        """The contents of the file, as a dict of strings."""
        classes = list(map(str, self.predictor.classes.tolist()))
        some = classes if len(classes) <= 8 else [*classes[:7], "..."]
        return {
            "model": self._kind,
            "version": self._version,
            "rows are": "texts, by " + type(self.vectorizer).__name__ if self.takes_text else "numbers",
            "features": str(self.predictor.n_features),
            "classes": f"{len(classes)} ({', '.join(some)})",
        }

    @property
    def takes_text(self) -> bool:
        return self.vectorizer is not None

    def use(self, arguments: argparse.Namespace) -> None:
        """Let arguments about columns override what the model stores."""
        for name in ("label", "weight", "header"):
            if getattr(arguments, name) is not None:
                setattr(self.columns, name, getattr(arguments, name))

    def batches(self, path: str, form: str, labelled: bool | None) -> Iterator[tuple[Table, Batch]]:
        """Yield pairs: rows of numbers as the predictor takes them, and the part of a batch they came from.

        Their number is limited, so that the results, one for each class, take little memory.
        """
        most = max(1, MOST_NUMBERS // len(self.predictor.classes))
        warned: list[str] = []

        def warn_once(message: str) -> None:
            if not warned:
                warnings.warn(message, UserWarning, stacklevel=2)
            warned.append(message)

        n = 0
        for batch in reader(path, form, self.columns, labelled):
            n = len(batch.X) if form == "text" else batch.X.shape[0]
            for start in range(0, n, most):
                part = slice(start, start + most)
                if form == "text":
                    X = self.vectorizer.transform(batch.X[part])
                else:
                    X = of_width(batch.X[part], self.predictor.n_features, path, warn_once)
                yield (
                    X,
                    batch._replace(
                        X=None,
                        y=None if batch.y is None else batch.y[part],
                        weight=None if batch.weight is None else batch.weight[part],
                        place=lambda i, start=start, place=batch.place: place(start + i),
                    ),
                )
        if not n:
            raise DataError(shown(path), None, "is empty")


def check_columns_are_of_tables(
    arguments: argparse.Namespace, forms: list[str], options: tuple[str, ...]
) -> None:
    """Refuse options about columns of tables where no file is a table."""
    for name in options:
        if getattr(arguments, name) not in (None, [], ()) and not set(forms) & set(TABLES):
            option = f"--{name}" if getattr(arguments, name) is not False else f"--no-{name}"
            raise UsageError(f"{option} is for CSV, TSV and Parquet; the data is {forms[0]}")
