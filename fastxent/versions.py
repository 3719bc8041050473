"""Pickles that another version of the package wrote: they may not mean the same here, so whoever reads them is told."""

from __future__ import annotations

import warnings

import fastxent

_OLDEST = "a version before 0.1.0"


class InconsistentVersionWarning(UserWarning):
    """A pickle comes from another version of fastxent."""


def check(name: str, version: str | None) -> None:
    """Warn unless a pickle of an object of this name comes from the version that is installed."""
    here = fastxent.__version__
    if version != here:
        install = f"install fastxent {version}" if version else "install that version"
        warnings.warn(
            f"This {name} was pickled by fastxent {version or _OLDEST}, and fastxent {here} is installed. It may fail "
            f"here, or give other results: {install} to use it, or fit again. model.save(path) writes files that later "
            "versions read.",
            InconsistentVersionWarning,
            stacklevel=3,
        )
