"""Named arrays and strings in one file: safetensors, with a checksum of the whole file in its last 32 bytes.

    8 bytes     length of the header, little-endian
    header      JSON, padded with spaces: dtype, shape and place of each array, and strings under "__metadata__"
    arrays      one after the other, little-endian, in C order
    32 bytes    SHA-256 of everything before: the last array, "sha-256"

Any reader of safetensors opens such a file. Ours believes nothing in it: before anything is allocated, the sizes in the
header must add up to the size of the file, and nothing of it is used before the checksum is found right. We write and
read it ourselves, piece by piece, because the library of that name keeps up to three copies of a model in memory.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from typing import TYPE_CHECKING

import numpy as np

from .arrays import copied
from .atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from io import FileIO
    from typing import Any

    from .typing import Array, Path


DIGEST = "sha-256"
_LONGEST_HEADER = 100_000_000  # bytes, more are refused by other readers
_MOST_DIMENSIONS = 8
_PIECE = 1 << 22  # bytes read or written at once, so that Ctrl-C is heard
_DTYPES = {
    name: np.dtype(code)
    for name, code in {
        "BOOL": "?",
        "U8": "u1",
        "I8": "i1",
        "U16": "<u2",
        "I16": "<i2",
        "F16": "<f2",
        "U32": "<u4",
        "I32": "<i4",
        "F32": "<f4",
        "U64": "<u8",
        "I64": "<i8",
        "F64": "<f8",
    }.items()
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
# How files begin that people may take for one of ours.
_OTHERS = (
    (b"PK\x03\x04", "a zip archive, as .npz and .skops files are"),
    (b"\x93NUMPY", "a .npy file of NumPy"),
    (b"\x1f\x8b", "a gzip file, which may hold a pickle of joblib"),
    (b"\x78", "a zlib file, as joblib writes them"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"PAR1", "a Parquet file"),
    (b"\x08", "an ONNX model"),
    *((bytes([0x80, protocol]), "a pickle, as pickle and joblib write them") for protocol in range(2, 6)),
)
_WANTED = "A model file is what model.save(path) writes."


class Unreadable(ValueError):
    """A file that is damaged, or of another kind. why: what is wrong with it, as a phrase after its name."""

    why = ""


def write(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write a file, atomically.

    Parameters
    ----------
    path : str or os.PathLike
    arrays : dict of ndarray
        Of bool, whole or floating-point numbers up to 64 bits.
    metadata : dict of str
    """
    arrays = dict(
        sorted(arrays.items(), key=lambda item: -item[1].itemsize)
    )  # so that all of them are aligned
    arrays = {name: _stored(array) for name, array in arrays.items()}
    arrays[DIGEST] = np.zeros(32, np.uint8)
    places, end = {}, 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        places[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    header = json.dumps({"__metadata__": metadata, **places}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    if len(header) > _LONGEST_HEADER:
        raise ValueError(
            f"{shown(path)}: names and parameters of this model take {len(header):,} bytes, and a safetensors file "
            f"holds {_LONGEST_HEADER:,} at most. Shorten the classes or the names of features."
        )
    checksum = hashlib.sha256()
    del arrays[DIGEST]
    with replacing(path) as file:
        parts: list[bytes | memoryview] = [len(header).to_bytes(8, "little"), header]
        parts += map(_bytes_of, arrays.values())
        for part in parts:
            for first in range(0, len(part), _PIECE):
                piece = part[first : first + _PIECE]
                checksum.update(piece)
                file.write(piece)
        file.write(checksum.digest())


def read(path: Path, wanted: Callable[[str], bool] | None = None) -> tuple[dict[str, str], dict[str, Array]]:
    """Read a file.

    Parameters
    ----------
    path : str or os.PathLike
    wanted : callable or None
        Which arrays to keep, by their names; None is all.

    Returns
    -------
    metadata : dict of str
    arrays : dict of ndarray

    Raises
    ------
    OSError
        There is no such file, or it cannot be read.
    Unreadable
        It is damaged, or another kind of file.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise _unreadable(path, "is no regular file")
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        checksum = hashlib.sha256()
        start = _take(file, min(8, size), path, checksum)
        metadata, places = _header(path, file, size, bytes(start), checksum)
        arrays, scratch = {}, None
        for name, (dtype, shape) in places.items():
            digest = checksum.digest()  # at last, of everything before the last array
            if wanted is None or name == DIGEST or wanted(name):
                arrays[name] = np.empty(shape, dtype)
                _fill(file, _bytes_of(arrays[name]), path, checksum)
                continue
            rest = math.prod(shape) * dtype.itemsize
            if scratch is None:
                scratch = memoryview(bytearray(min(_PIECE, size)))
            while rest:
                step = min(rest, len(scratch))
                _fill(file, scratch[:step], path, checksum)
                rest -= step
    if arrays.pop(DIGEST).tobytes() != digest:
        raise _damaged(path, "its checksum does not match")
    return metadata, arrays


def shown(path: Path) -> str:
    return os.fsdecode(path)


def _header(
    path: Path, file: FileIO, size: int, start: bytes, checksum: Any
) -> tuple[dict[str, str], dict[str, tuple[np.dtype[Any], tuple[int, ...]]]]:
    """The metadata, and dtype and shape of each array, in their order in the file."""
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, _LONGEST_HEADER):
        raise _unknown(path, size, start + file.read(1))
    text = bytes(_take(file, length, path, checksum))
    try:
        header = json.loads(text.decode())
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise _unknown(path, size, start + text)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _damaged(path, "its metadata are no strings")
    if DIGEST not in header:
        raise _unreadable(path, "is a safetensors file without the checksum of a model file")
    places = sorted(
        (_place(path, name, entry) for name, entry in header.items()), key=lambda place: place[1:3]
    )
    end = 0
    for name, first, last, *_ in places:
        if first != end:
            raise _damaged(path, f"the array {name!r} begins at byte {first} and not at {end}")
        end = last
    if 8 + length + end != size:
        raise _damaged(path, f"it has {size} bytes, and its header describes {8 + length + end}")
    name, *_, dtype, shape = places[-1]
    if (name, dtype, shape) != (DIGEST, np.dtype(np.uint8), (32,)):
        raise _damaged(path, "its checksum is not where it must be")
    return metadata, {name: (dtype, shape) for name, _, _, dtype, shape in places}


def _place(path: Path, name: str, entry: Any) -> tuple[str, int, int, np.dtype[Any], tuple[int, ...]]:
    """Name, first byte, end, dtype and shape of an array, if these go together."""
    entry = entry if isinstance(entry, dict) else {}
    dtype: Any
    shape: Any
    offsets: Any
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    right = (
        isinstance(dtype, str) and dtype in _DTYPES and _whole(shape, _MOST_DIMENSIONS) and _whole(offsets, 2)
    )
    if right:
        dtype, shape = _DTYPES[dtype], tuple(shape)
        right = len(offsets) == 2 and offsets[1] - offsets[0] == math.prod(shape) * dtype.itemsize
        right = right and math.prod(max(size, 1) for size in shape) < 2**60
    if not right:
        raise _damaged(path, f"its header contradicts itself about the array {name[:40]!r}")
    return name, *offsets, dtype, shape


def _whole(values: object, most: int) -> bool:
    """Whether these are a few sizes in bytes."""
    return (
        isinstance(values, list)
        and len(values) <= most
        and all(type(value) is int and 0 <= value < 2**60 for value in values)
    )


def _take(file: FileIO, count: int, path: Path, checksum: Any) -> bytearray:
    buffer = bytearray(count)
    _fill(file, memoryview(buffer), path, checksum)
    return buffer


def _fill(file: FileIO, buffer: memoryview, path: Path, checksum: Any) -> None:
    """Fill a buffer from the file, and add it to the checksum."""
    done = 0
    while done < len(buffer):
        count = file.readinto(buffer[done : done + _PIECE])
        if not count:
            raise _damaged(path, "it became shorter while it was read")
        checksum.update(buffer[done : done + count])
        done += count


def _stored(array: Array) -> Array:
    """An array as the file has it: little-endian, in C order."""
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return array if array.flags.c_contiguous else copied(array, "C")


def _bytes_of(array: Array) -> memoryview:
    raw: Any = array.reshape(-1).view(np.uint8)  # a buffer, though Python 3.11 has no type that says so
    return memoryview(raw)


def _unreadable(path: Path, why: str, advice: str = _WANTED) -> Unreadable:
    error = Unreadable(f"{shown(path)} {why}. {advice}")
    error.why = why
    return error


def _damaged(path: Path, why: str) -> Unreadable:
    return _unreadable(path, f"is damaged: {why}", "Use a copy of the file, or save the model again.")


def _unknown(path: Path, size: int, start: bytes) -> Unreadable:
    if size == 0:
        return _unreadable(path, "is empty")
    of_safetensors = start[4:8] == bytes(4) and start[8:9] in (b"", b"{")  # whatever its length begins with
    for magic, what in _OTHERS:
        if start.startswith(magic) and not of_safetensors:
            advice = " Nothing is unpickled here: if you trust its source, read it with what wrote it."
            return _unreadable(path, f"looks like {what}", _WANTED + advice)
    return _unreadable(path, "is damaged, or no model file at all: it has no header of safetensors")
