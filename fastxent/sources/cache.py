"""What was parsed, in our own layout on the disk: later passes read it as fast as the disk allows.

A file holds the arrays of one batch, one after the other, each at a multiple of 64 bytes. Where they are, their dtypes,
shapes and checksums stay in memory: a cache belongs to one source of one process, and goes with it. A checksum is
compared at the first read, and again if the file has changed since.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import weakref
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..typing import Array


_ALIGNED = 64
# Where the system can, it reads a file when this is mapped, in the thread that reads ahead. Else threads that compute
# would wait for each page.
_MAPPED: dict[str, int] = {"access": mmap.ACCESS_READ}
if hasattr(mmap, "MAP_POPULATE"):
    _MAPPED = {"flags": mmap.MAP_SHARED | mmap.MAP_POPULATE, "prot": mmap.PROT_READ}


class CacheError(OSError):
    """What is in the cache is not what was put there."""


class Cache:
    """Batches on the disk, in a new folder of their own, which is removed with this object or the process.

    Parameters
    ----------
    folder : str or None
        Where the new folder is made; None is that of temporary files.
    size : int
        Bytes at most.
    """

    def __init__(self, folder: str | None, size: int) -> None:
        self._folder = tempfile.mkdtemp(prefix="fastxent-", dir=folder)
        self._left = size
        self._batches: list[list[Any]] = []
        self._intact: dict[str, Any] = {}  # what a file was like when its checksums were right, by its path
        self._remove = weakref.finalize(self, _remove, self._folder, os.getpid())

    def close(self) -> None:
        """Remove the folder."""
        self._remove()

    def version(self, number: int) -> str:
        """What tells a batch of this cache from all others; its content stays, or reading it fails."""
        return self._file(number)

    def append(self, arrays: list[Array]) -> bool:
        """Write the arrays of a batch; False if they do not fit."""
        size = sum(-(-array.nbytes // _ALIGNED) * _ALIGNED for array in arrays)
        if size > self._left:
            return False
        self._left -= size
        described, offset = [], 0
        with open(self._file(len(self._batches)), "xb") as file:
            for array in arrays:
                array = np.ascontiguousarray(array)
                content = array.view(np.uint8).data if array.nbytes else b""
                file.write(content)
                described.append((array.dtype, array.shape, offset, zlib.crc32(content)))
                padding = -array.nbytes % _ALIGNED
                file.write(bytes(padding))
                offset += array.nbytes + padding
        self._batches.append(described)
        return True

    def __iter__(self) -> Iterator[list[Array]]:
        for number, described in enumerate(self._batches):
            yield self._read(self._file(number), described)

    def _read(self, path: str, described: list[Any]) -> list[Array]:
        """The arrays of a file, mapped into memory, once their checksums are right."""
        arrays = []
        with open(path, "rb") as file:
            about = os.fstat(file.fileno())
            size, identity = about.st_size, (about.st_ino, about.st_size, about.st_mtime_ns)
            content = mmap.mmap(file.fileno(), 0, **_MAPPED) if size else b""
        known = self._intact.get(path) == identity
        for dtype, shape, offset, checksum in described:
            count = int(np.prod(shape))
            stop = offset + count * dtype.itemsize
            if stop > size or not (known or zlib.crc32(memoryview(content)[offset:stop]) == checksum):
                raise CacheError(f"{path}: the cache was changed or is damaged. Fit again.")
            arrays.append(
                np.frombuffer(content, dtype, count, offset).reshape(shape)
                if count
                else np.empty(shape, dtype)
            )
        self._intact[path] = identity
        return arrays

    def _file(self, number: int) -> str:
        return os.path.join(self._folder, f"{number:08d}")


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:  # a forked child must not
        shutil.rmtree(folder, ignore_errors=True)
