"""The link to the documentation in the picture that a notebook shows of an estimator.

The address of the documentation stands once, in the metadata of the package ("Documentation" under [project.urls] in
pyproject.toml). As long as the project has none, there is no link.
"""

from __future__ import annotations

import functools
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


class DocLinkMixin:
    """What scikit-learn asks an estimator of another package for; to stand before BaseEstimator."""

    _doc_link_module = "fastxent"

    @property
    def _doc_link_template(self) -> Any:
        docs = address()
        return f"{docs}/reference/fastxent.{{estimator_name}}.html" if docs else ""


@functools.cache
def address() -> Any:
    """Return the address of the documentation, or an empty string."""
    try:
        entries = metadata.metadata("fastxent").get_all("Project-URL", [])
    except metadata.PackageNotFoundError:  # used from the source tree
        return ""
    urls = dict(entry.split(", ", 1) for entry in entries)
    return urls.get("Documentation", "").rstrip("/")
