"""Files that are there as a whole, or as they were before: written beside their place, and then put into it.

    temporary file in the same folder -> fsync -> rename over the old file -> fsync of the folder

Whoever opens the path at any moment, also after a crash, finds the old content or the new one. A process that is killed
can leave its temporary file behind (a hidden name that ends in ``.tmp``), which nobody reads.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from .typing import Path


_LONGEST = 100  # characters of a name that its temporary file takes over: a name has 255 bytes at most


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file to write what will stand at ``path`` once the block has ended without an error.

    Owner and permissions are those of the old file, or what ``open`` would give a new one. A symbolic link stays, and
    the file it leads to is replaced.

    Parameters
    ----------
    path : str or os.PathLike

    Raises
    ------
    OSError
        The folder is missing or cannot be written, the disk is full, the path is a folder, a device or a file that is
        write-protected. The old file is as it was.
    """
    shown = os.fsdecode(path)
    target = os.path.realpath(shown)
    old = _old(target, shown)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:_LONGEST]}.{os.urandom(8).hex()}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                if old is not None and hasattr(os, "fchmod"):
                    _make_like(old, file.fileno())
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):  # it may not have come into being
                os.unlink(temporary)
            raise
        _sync_folder(folder)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, f"{error.strerror}: cannot write", shown) from error


def _old(target: str, shown: str) -> os.stat_result | None:
    """What the system knows of the file that is there already, or None; refused if it must not be replaced."""
    if shown.endswith(os.sep) or os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, "this is a folder; give the name of a file in it", shown)
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise OSError(
            errno.EINVAL, "only a regular file can be replaced; this is a device, a pipe or a socket", shown
        )
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file there is write-protected", shown)
    return found


def _make_like(old: os.stat_result, descriptor: int) -> None:
    """Give a new file the permissions of the old one and, where that is allowed, its owner and group."""
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode) & 0o777)


def _sync_folder(folder: str) -> None:
    """Make the new name last. Not all file systems do this, a folder may not be ours to read, and Windows has no such
    call."""
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EACCES):
            raise
