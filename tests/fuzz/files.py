"""Model files: damaged by accident, or by somebody who can write a right checksum."""

import functools
import json
import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

import fastxent
from fastxent import LogisticRegression, SGDClassifier, container, files
from fuzz.judge import Wrong

_N, _D, _K = 12, 5, 3
_JSON = (None, True, -1, 0, 2**31, 2**63, 1e300, "", "x", "w", "<f8", "|O", [], {}, [0], {"float": "nan"}, {"again": 0},
         {"tuple": [1]}, {"dict": []}, {"array": ["<f8", "coef_", "C"]}, {"strings": ["<U9", [1], ["a"]]})  # fmt: skip
_NUMBERS = (0.0, -1.0, 0.5, 1e9, 1e300, -1e300, np.nan, np.inf)
_ARRAYS = {
    "a number": lambda array, value: _with_number(array, value),
    "shorter": lambda array, value: array[:-1],
    "longer": lambda array, value: np.concatenate([array, array]),
    "flat": lambda array, value: array.ravel(),
    "single": lambda array, value: array.astype(np.float32),
    "whole": lambda array, value: np.nan_to_num(array).astype(np.int64),
    "empty": lambda array, value: array[:0],
}
_BYTES = {
    "flip": lambda content, at, byte: content[:at] + bytes([content[at] ^ (byte or 255)]) + content[at + 1 :],
    "cut": lambda content, at, byte: content[:at],
    "insert": lambda content, at, byte: content[:at] + bytes([byte]) + content[at:],
    "drop": lambda content, at, byte: content[:at] + content[at + 1 + byte % 9 :],
    "append": lambda content, at, byte: content + bytes([byte]) * (1 + at % 9),
}


@st.composite
def of_files(draw):
    example = {
        "model": draw(st.sampled_from(["logistic", "sgd", "adam", "predictor"])),
        "change": draw(st.sampled_from(["bytes", "json", "json", "array", "array"])),
        "at": draw(st.integers(0, 2**31)),
    }
    if example["change"] == "bytes":
        return example | {"how": draw(st.sampled_from(sorted(_BYTES))), "byte": draw(st.integers(0, 255))}
    if example["change"] == "json":
        return example | {"value": draw(st.integers(0, len(_JSON) - 1))}
    return example | {"how": draw(st.sampled_from(sorted(_ARRAYS))), "value": draw(st.sampled_from(_NUMBERS))}


def run_files(example):
    content = _content(example["model"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.fxt")
        path.write_bytes(content)
        if example["change"] == "bytes":
            at = example["at"] % len(content)
            path.write_bytes(_BYTES[example["how"]](content, at, example["byte"]))
            for read in _READS:
                if _refused(lambda read=read: read(path)) is not None:
                    raise Wrong("a damaged file was accepted")
            return
        metadata, arrays = container.read(path)
        if example["change"] == "json":
            part = ("attributes", "parameters", "vectorizer")[example["at"] % 3]
            metadata[part] = json.dumps(
                _changed(json.loads(metadata[part]), example["at"] // 3, _JSON[example["value"]])
            )
        else:
            name = sorted(arrays)[example["at"] % len(arrays)]
            changed = _ARRAYS[example["how"]](arrays[name], (example["value"], example["at"]))
            arrays[name] = changed
        container.write(path, arrays, metadata)
        predictor, estimator, vectorizer = (_refused(lambda read=read: read(path)) for read in _READS)
    X, y = _rows()
    for what in (
        predictor and (lambda: predictor(X)),
        vectorizer and (lambda: vectorizer.transform(["one two", "three"])),
        estimator and (lambda: estimator.predict_proba(X)),
        estimator and hasattr(type(estimator), "partial_fit") and (lambda: estimator.partial_fit(X, y)),
    ):
        if what:
            _tried(what)


_READS = (
    fastxent.load,
    lambda path: fastxent.load(path, estimator=True),
    files.load_vectorizer,
)


def _refused(read):
    """What was read; None if it was refused, which must name the file."""
    try:
        return read()
    except ValueError as error:
        if "model.fxt" not in str(error):
            raise Wrong(f"the error names no file: {error}") from error
        return None
    except Exception as error:
        raise Wrong(f"an error from the inside: {type(error).__name__}: {error}") from error


def _tried(use):
    """Numbers of a forged file may be anything: using it may fail in any way but by a crash or a hang."""
    with np.errstate(all="ignore"):
        try:
            use()
        except Exception:
            return


@functools.cache
def _content(name):
    """A small model file with everything in it."""
    X, y = _rows()
    model = {
        "logistic": LogisticRegression(max_iter=2, class_weight={"a": 1.0, "b": 2, "c": 3}),
        "sgd": SGDClassifier(penalty="l1"),
        "adam": SGDClassifier(optimizer="adam", average=True, early_stopping=True),
        "predictor": LogisticRegression(max_iter=2),
    }[name]
    if isinstance(model, SGDClassifier):
        model.partial_fit(X, y, classes=["a", "b", "c"], eval_set=(X, y))
    else:
        model.fit(X, y)
    vectorizer = TfidfVectorizer().fit(["one two three", "four five"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.fxt")
        (model.predictor() if name == "predictor" else model).save(path, vectorizer=vectorizer)
        return path.read_bytes()


def _rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((_N, _D)) * [1, 1, 100, 1, 1]
    X[rng.random(X.shape) < 0.3] = 0
    return sp.csr_array(X), np.array(["a", "b", "c"])[np.arange(_N) % _K]


def _changed(value, at, replacement):
    """JSON in which one value, found by this number, is another one."""
    places = list(_places(value))
    if not places:
        return replacement
    holder, key = places[at % len(places)]
    holder[key] = replacement
    return value


def _places(value):
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield value, key
        yield from _places(inner)


def _with_number(array, value):
    number, at = value
    changed = array.copy()
    if changed.size:
        with np.errstate(all="ignore"):
            changed.flat[at % changed.size] = np.array(number).astype(changed.dtype)
    return changed
