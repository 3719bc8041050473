"""scikit-learn's vectorisers of text as plain values, and back: what a model for text needs before it."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from .typing import Array


_TEXT = "sklearn.feature_extraction.text"
_KINDS = "TfidfVectorizer", "CountVectorizer", "HashingVectorizer"


def described(vectorizer: Any, n_features: int) -> dict[str, Any]:
    """Kind, parameters, vocabulary and idf of a vectoriser that makes so many columns.

    Parameters that are no plain values stay as they are, and are refused where they are written.
    """
    kind = type(vectorizer).__name__
    if kind not in _KINDS or type(vectorizer).__module__ != _TEXT:
        raise TypeError(
            f"vectorizer must be scikit-learn's {', '.join(_KINDS[:-1])} or {_KINDS[-1]}; got a {kind}. Others cannot "
            "be put into a model file: keep them in a pickle."
        )
    parameters = vectorizer.get_params(deep=False)
    parameters["dtype"] = np.dtype(parameters["dtype"])
    found = {"kind": kind, "parameters": parameters}
    if kind == "HashingVectorizer":
        columns = vectorizer.n_features
    else:
        terms = _terms(vectorizer)
        found["vocabulary"] = np.frombuffer(json.dumps(terms).encode(), np.uint8)
        columns = len(terms)
    if kind == "TfidfVectorizer" and vectorizer.use_idf:
        found["idf"] = vectorizer.idf_
    if columns != n_features:
        raise ValueError(f"vectorizer makes {columns} columns, and the model takes {n_features}.")
    return found


def _terms(vectorizer: Any) -> list[str]:
    """The vocabulary, in the order of the columns."""
    vocabulary = getattr(vectorizer, "vocabulary_", None)
    if vocabulary is None:
        raise ValueError(
            f"vectorizer must be fitted: this {type(vectorizer).__name__} has no vocabulary_. Call its fit first."
        )
    terms = sorted(vocabulary, key=vocabulary.get)
    if [vocabulary[term] for term in terms] != list(range(len(terms))):
        raise ValueError("vectorizer.vocabulary_ must number its terms 0, 1, ..., each once.")
    return terms


def rebuilt(kind: str, parameters: dict[str, Any], vocabulary: Any = None, idf: Array | None = None) -> Any:
    """The vectoriser of this description. Raises ValueError if it is none."""
    if kind not in _KINDS or (vocabulary is None) != (kind == "HashingVectorizer"):
        raise ValueError(f"no vectoriser is a {kind} with such parts")
    text = importlib.import_module(_TEXT)
    dtype = parameters["dtype"]
    vectorizer = getattr(text, kind)(**parameters | {"dtype": dtype.type})
    if vocabulary is None:
        return vectorizer
    terms = json.loads(vocabulary.tobytes().decode())
    if (
        not isinstance(terms, list)
        or not all(isinstance(term, str) for term in terms)
        or len(set(terms)) != len(terms)
    ):
        raise ValueError("the vocabulary must be a list of different terms")
    vectorizer.vocabulary_ = {term: column for column, term in enumerate(terms)}
    vectorizer.fixed_vocabulary_ = parameters["vocabulary"] is not None
    if kind == "TfidfVectorizer":
        names = "norm", "use_idf", "smooth_idf", "sublinear_tf"
        transformer = text.TfidfTransformer(**{name: parameters[name] for name in names})
        transformer.n_features_in_ = len(terms)
        if parameters["use_idf"]:
            if idf is None or idf.shape != (len(terms),) or idf.dtype.kind != "f":
                raise ValueError("idf must have a number for each term")
            transformer.idf_ = idf
        vectorizer._tfidf = transformer
    return vectorizer
