"""The bytes of a file or of standard input, unpacked, and blocks of whole lines."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .batch import BATCH_BYTES, DataError, MissingPackage, pyarrow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Any

    from ..typing import Path


STANDARD_INPUT = "-"
_MAGIC = {b"\x1f\x8b": ".gz", b"\x28\xb5": ".zst"}


def shown(path: Path) -> str:
    """The name of a source in messages."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def packing_of(path: Path) -> str:
    """Return '.gz', '.zst' or '' by the suffix."""
    name = str(path).lower()
    return next((suffix for suffix in _MAGIC.values() if name.endswith(suffix)), "")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A buffered binary stream of the unpacked bytes; what goes wrong in unpacking is a DataError."""
    try:
        with _raw(path) as raw:
            packing = packing_of(path) or _MAGIC.get(raw.peek(2)[:2], "")
            if packing == ".gz":
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield io.BufferedReader(unpacked)
            elif packing == ".zst":
                arrow = pyarrow(f"reading {shown(path)}")
                yield io.BufferedReader(
                    _Unpacked(arrow.CompressedInputStream(arrow.PythonFile(raw, mode="r"), "zstd"))
                )
            else:
                yield raw
    except (EOFError, gzip.BadGzipFile, zlib.error, PackingError) as error:
        raise DataError(shown(path), None, f"cannot be unpacked: {error}") from error


@contextmanager
def _raw(path: Path) -> Iterator[Any]:
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    if is_url(path):
        with file_systems(path).open(path, "rb") as file:
            yield io.BufferedReader(file)
        return
    with open(path, "rb") as file:
        yield file


def is_url(path: Path) -> bool:
    """Whether fsspec opens a path."""
    return "://" in str(path)


def file_systems(path: Path) -> Any:
    """Return fsspec, or say what to install."""
    try:
        import fsspec
    except ImportError:
        raise MissingPackage(
            f"reading {path} needs fsspec, which is not installed: pip install fsspec"
        ) from None
    return fsspec


class PackingError(Exception):
    """Arrow cannot unpack a stream."""


class _Unpacked(io.RawIOBase):
    """An Arrow stream as a Python one, whose errors cannot be mistaken for those of a disk."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except OSError as error:
            raise PackingError(str(error)) from error
        buffer[: len(data)] = data
        return len(data)


def blocks_of_lines(stream: IO[bytes], size: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield pairs: the number of a line, from 1, and the bytes of whole lines from it on.

    Each block ends with a line feed, the last one only if the file does.
    """
    number, rest = 1, b""
    while data := stream.read(size or BATCH_BYTES):
        end = data.rfind(b"\n") + 1
        if end == 0:
            rest += data
            continue
        block = rest + data[:end]
        yield number, block
        number += block.count(b"\n")
        rest = data[end:]
    if rest:
        yield number, rest
