"""Rows from files that are larger than memory, for ``LogisticRegression.fit(source)`` and ``SGDClassifier``.

    source.py     what all sources do: batches of equal size, bad rows, the cache
    places.py     paths, folders, patterns and URLs as files
    cache.py      what was parsed, in our own layout on the disk
    parquet.py  svmlight.py  npy.py  text.py      one format each, over fastxent/readers

A source is iterated over once for each pass. See docs/larger-than-memory.md.
"""

from .npy import NpySource
from .parquet import ParquetSource
from .svmlight import SvmlightSource
from .text import TextSource

__all__ = ["NpySource", "ParquetSource", "SvmlightSource", "TextSource"]
