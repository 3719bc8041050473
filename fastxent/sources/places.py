"""Paths, folders, patterns and URLs as files."""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING

from ..readers.stream import file_systems, is_url

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..typing import Path


def files_of(path: Path | Sequence[Path], suffixes: tuple[str, ...]) -> list[str]:
    """Return the names of files, sorted: of a file, a folder (those with the suffixes below it), or a pattern.

    path : str or os.PathLike, or a list of them
        With ``://`` in it, it is a URL for fsspec.
    """
    if isinstance(path, (list, tuple)):
        return [file for one in path for file in files_of(one, suffixes)]
    one: Any = path
    path = os.fspath(one)
    found = _remote(path, suffixes) if is_url(path) else _local(path, suffixes)
    if not found:
        raise FileNotFoundError(
            f"no files for {path!r}: it should be a file, a folder with files that end in {' or '.join(suffixes)}, or "
            "a pattern that some match."
        )
    return found


def _local(path: str, suffixes: Any) -> Any:
    if os.path.isdir(path):
        found = []
        for folder, folders, names in os.walk(path):
            folders[:] = [name for name in folders if _counts(name)]
            found += [
                os.path.join(folder, name)
                for name in names
                if _counts(name) and name.lower().endswith(suffixes)
            ]
        return sorted(found)
    if os.path.exists(path) or not glob.has_magic(path):
        return [path]
    return sorted(name for name in glob.glob(path, recursive=True) if os.path.isfile(name))


def _remote(path: str, suffixes: Any) -> Any:
    system, inside = file_systems(path).core.url_to_fs(path)
    if glob.has_magic(inside):
        found = system.glob(inside)
    elif system.isdir(inside):
        found = [
            name
            for name in system.find(inside)
            if name.lower().endswith(suffixes)
            and all(map(_counts, name[len(inside) :].strip("/").split("/")))
        ]
    else:
        return [path]
    return sorted(system.unstrip_protocol(name) for name in found)


def _counts(name: str) -> Any:
    """Whether a name is that of data: other programs hide their own files so."""
    return not name.startswith((".", "_"))
