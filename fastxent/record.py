"""What a model file holds: the kind of a model, its parameters and attributes, and the vectoriser that goes before it.

Strings of the metadata:

    format        "fastxent model"
    schema        number of these rules
    version       of the package that wrote the file
    kind          "Predictor", or the name of an estimator's class
    parameters    JSON: by name, see `values`
    attributes    JSON: the same; classes_, coef_ and intercept_ are among them
    vectorizer    JSON: the same, if there is one; see `vectorizers`
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import fastxent

from . import container, vectorizers
from .values import Reader, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any

    from .typing import Path, Vectorizer


FORMAT = "fastxent model"
SCHEMA = 1  # larger by one with every change that a reader of the rules before would misunderstand
PREDICTOR = "Predictor"


class Contents(NamedTuple):
    """What goes into a file."""

    kind: str
    n_features: int
    attributes: dict[str, Any]
    parameters: dict[str, Any] = {}  # noqa: RUF012 - nobody writes to it
    describe: Callable[[Any], Any] = lambda value: None  # for `values.Writer`


def write(path: Path, contents: Contents, vectorizer: Vectorizer | None = None) -> None:
    """Write a model to a file."""
    writer = Writer(contents.describe)
    parts = {"parameters": contents.parameters, "attributes": contents.attributes}
    if vectorizer is not None:
        parts["vectorizer"] = vectorizers.described(vectorizer, contents.n_features)
    metadata = {
        "format": FORMAT,
        "schema": str(SCHEMA),
        "version": fastxent.__version__,
        "kind": contents.kind,
    }
    for part, values in parts.items():
        prefix = "" if part == "attributes" else f"{part}."
        try:
            encoded = {name: writer(value, prefix + name) for name, value in values.items()}
        except RecursionError:
            raise TypeError(f"{part} of this model contain themselves, so they cannot be saved.") from None
        metadata[part] = json.dumps(encoded, allow_nan=False, separators=(",", ":"))
    container.write(path, writer.arrays, metadata)


class Record:
    """A model file that has been read: intact, and of a schema that is known.

    wanted: names of the attributes whose arrays are needed, or None for everything; "vectorizer" is the vectoriser's.
    """

    path: str
    kind: str
    version: str

    def __init__(self, path: Path, wanted: Collection[str] | None = None) -> None:
        self.path = container.shown(path)

        def is_wanted(name: str) -> bool:
            return wanted is None or name.partition(".")[0].rstrip("+") in wanted

        metadata, self._arrays = container.read(path, is_wanted)
        if metadata.get("format") != FORMAT:
            raise ValueError(f"{self.path} holds no model of fastxent.")
        self.kind, self.version = metadata.get("kind", "?"), metadata.get("version", "?")
        schema = metadata.get("schema", "")
        if not (schema.isascii() and schema.isdecimal() and len(schema) < 10):
            raise self.contradiction(f"its schema is {schema[:40]!r}")
        if int(schema) > SCHEMA:
            raise ValueError(
                f"{self.path} was written by fastxent {self.version} and has schema {schema}; fastxent "
                f"{fastxent.__version__}, which is installed here, reads schemas up to {SCHEMA}. Install fastxent "
                f"{self.version} or newer."
            )
        self._metadata = metadata

    def values(
        self, part: str, build: Callable[[str, Any], Any] | None = None, names: Collection[str] | None = None
    ) -> dict[str, Any]:
        """The values of a part by name, or of these names only. build: for `values.Reader`."""
        try:
            encoded = json.loads(self._metadata[part])
            read = Reader(self._arrays, build)
            return {name: read(value) for name, value in encoded.items() if names is None or name in names}
        except (KeyError, ValueError, AttributeError, RecursionError) as error:
            raise self.contradiction(f"{part}: {error}") from error

    def has(self, part: str) -> bool:
        return part in self._metadata

    def contradiction(self, why: object) -> ValueError:
        """The error for a file that is intact, but nothing that `write` writes."""
        return ValueError(f"{self.path} is no valid model file: {why}.")
