"""Checkpoints: a fit that was killed goes on where it was, and ends with the bits that it would have had.

An iterative fit is a loop. What one iteration leaves for the next, its state, is a few arrays and numbers. At the
beginning of an iteration the state is handed to the fit's `Session`, which writes it now and then:

    folder/checkpoint.fxt      the container of model files (container.py): named arrays and JSON, with a checksum

The file is replaced as a whole (atomic.py): whatever happens, it is the last checkpoint or the one before. Where a
state follows from less by the same arithmetic, only that is kept: models of the Hessian are made again at the point
where they were made, and L-BFGS gets its gradients a second time. These are all that there ever were, so they are
written only once, to files of their own (`Journal`).

Strings of the metadata:

    format        "fastxent checkpoint"
    schema        number of these rules
    facts         JSON: by name, what decides the bits of a fit: versions, parameters, sizes, digests of the data
    state         JSON: as in `values`; or null, once there is a result
    result        JSON: the same, of a fit that has ended; or null

A fit whose facts differ is refused. A fit that has ended is not repeated: it has its result again. A fit that a
callback has stopped has not ended, and goes on.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
import scipy

import fastxent

from . import container
from .data.digest import digest
from .values import Reader, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .typing import Array, Path


FORMAT = "fastxent checkpoint"
SCHEMA = 1  # larger by one with every change that a reader of the rules before would misunderstand
_SUFFIX = ".fxt"
NAME = f"checkpoint{_SUFFIX}"
_JOURNALS = re.compile(rf"checkpoint-.+-\d{{6}}\{_SUFFIX}")
_TEMPORARY = re.compile(
    rf"\.checkpoint.*\{_SUFFIX}\.[0-9a-f]+\.tmp"
)  # of atomic.py, from processes that were killed
_WAITING = 8  # arrays of a journal in memory, at most
_SECONDS = 60.0  # between two checkpoints, if nothing else is asked for
_LONGEST = 60  # characters of a fact; longer ones are known by their digest
_DIGEST = "#"  # how a digest begins


@dataclass(frozen=True)
class Checkpoint:
    """Where a fit keeps its state, and how often: the argument ``checkpoint`` of estimators.

    A string or a path in its place means this folder, with a checkpoint every minute. A fit also writes one when it
    begins, so that a folder that cannot be written is an error at once, and when it ends.

    Parameters
    ----------
    folder : str or os.PathLike
        A folder for one fit; it is made if it does not exist.
    every_iterations : int or None
        Number of iterations (for SGDClassifier: epochs) between two checkpoints.
    every_seconds : float or None
        Seconds between two checkpoints. If both are given, whichever comes first counts; if neither is, it is 60
        seconds.

    Examples
    --------
    >>> from fastxent import Checkpoint, LogisticRegression
    >>> model = LogisticRegression(checkpoint=Checkpoint("last-night", every_iterations=5))
    >>> model.checkpoint
    Checkpoint(folder='last-night', every_iterations=5, every_seconds=None)
    """

    folder: str | os.PathLike[str]
    every_iterations: int | None = None
    every_seconds: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.folder, (str, os.PathLike)) or not os.fspath(self.folder):
            raise TypeError(f"folder must be the path of a folder; got {self.folder!r}.")
        number = self.every_iterations
        if number is not None and not (isinstance(number, Integral) and number >= 1):
            raise ValueError(f"every_iterations must be a whole number, at least 1, or None; got {number!r}.")
        seconds = self.every_seconds
        if seconds is not None and not (isinstance(seconds, Real) and 0 <= seconds < math.inf):
            raise ValueError(f"every_seconds must be a number, not negative, or None; got {seconds!r}.")
        object.__setattr__(self, "folder", os.fspath(self.folder))

    def is_due(self, iterations: int, seconds: float) -> bool:
        """Tell whether to write, so many iterations and seconds after the last checkpoint."""
        every_seconds = self.every_seconds
        if every_seconds is None and self.every_iterations is None:
            every_seconds = _SECONDS
        return (self.every_iterations is not None and iterations >= self.every_iterations) or (
            every_seconds is not None and seconds >= every_seconds
        )


class Session:
    """The checkpoint of one fit: what was kept of it, and where it keeps more.

    Parameters
    ----------
    checkpoint : Checkpoint, str or os.PathLike
    facts : dict of str
        What decides the bits of the fit: see `fact`.
    report : callable or None
        Gets a line of text about every checkpoint.
    describe, build : callable
        For `values.Writer` and `values.Reader`. By default objects are kept by what their ``state()`` gives.

    Attributes
    ----------
    state : dict or None
        What the fit kept last, if it was interrupted.
    result : dict or None
        What it ended with, if it did.

    Raises
    ------
    OSError
        The folder cannot be made, read or written.
    ValueError
        The file is damaged, or it belongs to another fit.
    """

    state: Any
    result: Any

    def __init__(
        self,
        checkpoint: Checkpoint | Path,
        facts: dict[str, str],
        *,
        report: Callable[[str], object] | None = None,
        describe: Callable[[Any], Any] | None = None,
        build: Callable[[str, Any], Any] | None = None,
    ) -> None:
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = Checkpoint(checkpoint)
        self._checkpoint, self._report = checkpoint, report or (lambda line: None)
        self._describe, self._build = describe or _described, build or (lambda kind, state: state)
        self._facts = {**_versions(), **facts}
        self._folder = os.fsdecode(checkpoint.folder)
        self._path = os.path.join(self._folder, NAME)
        self._waiting = None  # the state at the beginning of this iteration
        self._iterations = 0
        self._written: float | None = None
        self.state = self.result = None
        make_folder(self._folder)
        if os.path.lexists(self._path):
            self._read()
        if self.result is None:
            _check_writable(self._folder)
        else:
            _remove(self._folder, _JOURNALS)
        _remove(self._folder, _TEMPORARY)

    @property
    def begins(self) -> bool:
        """Whether nothing was kept: the fit begins."""
        return self.state is None and self.result is None

    def keep(self, state: Any) -> None:
        """Note the state at the beginning of an iteration; it is written if that is due, and at the very first."""
        self._waiting = state
        self._iterations += 1
        written = self._written
        if written is None or self._checkpoint.is_due(self._iterations, time.monotonic() - written):
            self.write()

    def write(self) -> None:
        """Write the state that was noted last."""
        self._write(self._waiting, None)
        self._report(f"checkpoint in {self._folder}")

    def finish(self, result: Any) -> None:
        """Write the result of a fit that has ended."""
        self._write(None, result)
        _remove(self._folder, _JOURNALS)

    def journal(self, name: str, kept: tuple[str, int] | None = None) -> Journal:
        """Return the Journal of this name. Its files are removed when the fit ends."""
        return Journal(os.path.join(self._folder, f"checkpoint-{name}"), kept)

    def _write(self, state: Any, result: Any) -> None:
        writer = Writer(self._describe)
        parts = {"facts": self._facts, "state": state, "result": result}
        metadata = {"format": FORMAT, "schema": str(SCHEMA)}
        for name, value in parts.items():
            metadata[name] = json.dumps(writer(value, name), allow_nan=False, separators=(",", ":"))
        container.write(self._path, writer.arrays, metadata)
        self._iterations, self._written = 0, time.monotonic()

    def _read(self) -> None:
        metadata, arrays = _contents(self._path)
        if metadata.get("format") != FORMAT:
            raise self.refusal("is no checkpoint")
        if metadata.get("schema") != str(SCHEMA):
            raise self.refusal("is a checkpoint of another version of fastxent")
        try:
            read = Reader(arrays, self._build)
            facts, state, result = (read(json.loads(metadata[name])) for name in ("facts", "state", "result"))
            facts = dict(facts)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise self.refusal(f"is no valid checkpoint: {error}") from error
        names = [*self._facts, *(name for name in facts if name not in self._facts)]
        differences = [
            _difference(name, facts.get(name), self._facts.get(name))
            for name in names
            if facts.get(name) != self._facts.get(name)
        ]
        if differences:
            raise ValueError(
                f"checkpoint: the folder {self._folder} belongs to another fit: {'; '.join(differences)}. Repeat "
                "that fit to go on with it, use another folder, or delete this one to begin anew."
            )
        self.state, self.result = state, result
        self._written = time.monotonic()
        self._report(
            f"checkpoint in {self._folder}: {'this fit has ended' if state is None else 'going on from it'}"
        )

    def refusal(self, why: str) -> ValueError:
        """Return the error for a file from which nothing can go on."""
        return _refusal(self._path, why)


class Journal:
    """Arrays that belong to a state, all that there ever were: some of them at a time go to a new file.

    A state refers to the first so many files. Others are from a process that died before it wrote its state, and are
    written again. Files name their run: those of another one, which wrote to the same folder, are refused.

    kept: what ``state()`` gave, if the run goes on.
    """

    def __init__(self, stem: str, kept: tuple[str, int] | None = None) -> None:
        self._stem = stem
        self._waiting: list[Array] = []
        self._run, self._count = kept or (os.urandom(8).hex(), 0)

    def append(self, array: Array) -> None:
        """Add an array."""
        self._waiting.append(array)
        if len(self._waiting) >= _WAITING:
            self._write()

    def state(self) -> tuple[str, int]:
        """Write what is not written yet; return the run and the number of files."""
        if self._waiting:
            self._write()
        return self._run, self._count

    def read(self) -> Iterator[Array]:
        """Yield the arrays of the files that there are now."""
        for number in range(self._count):
            metadata, arrays = _contents(self._path(number))
            if metadata.get("run") != self._run:
                raise _refusal(self._path(number), "belongs to another run, which wrote to the same folder")
            yield from (arrays[str(i)] for i in range(len(arrays)))

    def _write(self) -> None:
        arrays = {str(i): array for i, array in enumerate(self._waiting)}
        container.write(self._path(self._count), arrays, {"format": FORMAT, "run": self._run})
        self._count += 1
        self._waiting = []

    def _path(self, number: int) -> str:
        return f"{self._stem}-{number:06d}{_SUFFIX}"


def _contents(path: str) -> tuple[dict[str, str], dict[str, Array]]:
    """Return metadata and arrays of a file."""
    try:
        return container.read(path)
    except container.Unreadable as error:
        raise _refusal(path, error.why) from error
    except FileNotFoundError as error:
        raise _refusal(path, "is missing") from error


def _refusal(path: str, why: str) -> ValueError:
    state = os.path.join(os.path.dirname(path), NAME)
    return ValueError(
        f"checkpoint: {path} {why}. Nothing can go on from it: delete {state} to begin anew, or use another folder."
    )


def fact(value: Any) -> str:
    """Return a text that is the same for the same parameter: the value itself, or a digest of it."""
    if isinstance(value, np.random.RandomState):
        return _DIGEST + digest(*value.get_state())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (list, tuple)) or hasattr(value, "__array__"):
        value = np.asarray(value).tolist()
    if isinstance(value, Real) and not isinstance(value, bool):
        number: Any = value
        value = int(number) if math.isfinite(number) and number == int(number) else float(number)
    text = repr(value)
    return text if len(text) <= _LONGEST else digest_fact(text)


def digest_fact(*items: Any) -> str:
    """Return a text that is the same for the same data."""
    return _DIGEST + digest(*items)


def _versions() -> dict[str, str]:
    return {
        "fastxent": fastxent.__version__,
        "NumPy": np.__version__,
        "SciPy": scipy.__version__,
    }


def _difference(name: str, before: str | None, now: str | None) -> str:
    if before is None or now is None:
        return f"{name} was {'not there' if before is None else before} and is {'not there' if now is None else now}"
    if before.startswith(_DIGEST) or now.startswith(_DIGEST):
        return f"{name} is not the same"
    return f"{name} was {before} and is {now}"


def _described(value: Any) -> tuple[str, Any] | None:
    if isinstance(value, np.random.Generator):
        return "Generator", value.bit_generator.state
    return ("state", value.state()) if hasattr(value, "state") else None


def make_folder(folder: str) -> None:
    """Make the folder of a checkpoint, unless it is there."""
    try:
        os.makedirs(folder, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(
            errno.ENOTDIR, "checkpoint must be a folder, and this is a file", folder
        ) from None


def _check_writable(folder: str) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass


def _remove(folder: str, pattern: re.Pattern[str]) -> None:
    """Remove files that are of no more use, if that is allowed."""
    for name in os.listdir(folder):
        if pattern.fullmatch(name):
            with suppress(OSError):
                os.unlink(os.path.join(folder, name))
