"""Documents, hashed into columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from ..readers import text
from ..readers.batch import DataError
from ..readers.stream import blocks_of_lines, opened, shown
from .places import files_of
from .source import Piece, Source, checked_path, halves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from ..typing import OnBadRows, Path, Transformer


_SUFFIXES = tuple(name + packing for name in (".txt", ".tsv") for packing in ("", ".gz", ".zst"))


class TextSource(Source):
    r"""Documents, one a line: ``label<TAB>text``, or ``__label__x text`` as fastText has it.

    Parameters
    ----------
    path : str, os.PathLike, or a list of them
        Files, folders, patterns, and URLs that fsspec opens; their encoding is UTF-8. Suffixes .gz and .zst are
        unpacked.
    vectorizer : object with a method ``transform``, or None
        Makes rows out of documents; it must need no vocabulary, or have one already. None is scikit-learn's
        HashingVectorizer(n_features=n_features).
    n_features : int, default=2**18
    batch_rows : int
    on_bad_rows : {'raise', 'skip'}
        A line without a label, or that is not UTF-8, is an error with file and line, or left out and counted in
        ``skipped_``.
    cache : str or None
        The folder for the cache; None is that of temporary files.
    cache_size : int
        The largest size of the cache in bytes; 0 is no cache. The cache is removed with the source.

    Attributes
    ----------
    vectorizer : object
        Use it on the documents to be predicted, too.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastxent import LogisticRegression
    >>> from fastxent.sources import TextSource
    >>> path = os.path.join(tempfile.mkdtemp(), "mail.txt")
    >>> with open(path, "w") as file:
    ...     _ = file.write("spam\tbuy now\nham\tsee you there\nspam\tbuy this\nham\tare you there\n")
    >>> source = TextSource(path, n_features=2**10)
    >>> model = LogisticRegression().fit(source)
    >>> model.predict(source.vectorizer.transform(["buy it"]))
    array(['spam'], dtype='<U4')
    """

    path: Path | Sequence[Path]
    vectorizer: Transformer
    n_features: int

    def __init__(
        self,
        path: Path | Sequence[Path],
        *,
        vectorizer: Transformer | None = None,
        n_features: int = 2**18,
        batch_rows: int = 16384,
        on_bad_rows: OnBadRows = "raise",
        cache: str | None = None,
        cache_size: int = 1 << 34,
    ) -> None:
        super().__init__(batch_rows, on_bad_rows, cache, cache_size)
        if vectorizer is None:
            from sklearn.feature_extraction.text import HashingVectorizer

            vectorizer = HashingVectorizer(n_features=n_features)
        if not hasattr(vectorizer, "transform"):
            raise TypeError(f"vectorizer must have a method transform; got {type(vectorizer).__name__}.")
        self.path, self.vectorizer, self.n_features = checked_path(path), vectorizer, n_features

    def _pieces(self, wanted: Callable[[int, int], bool] | None = None) -> Iterator[Piece | int]:
        rows = 0
        for file in files_of(self.path, _SUFFIXES):
            with opened(file) as stream:
                for number, block in blocks_of_lines(stream):
                    for batch in self._usable(shown(file), number, block):
                        rows += len(batch.X)
                        made: Any = self.vectorizer.transform(batch.X)
                        yield Piece(sp.csr_array(made), np.asarray(batch.y), None)
        if not rows:
            raise DataError(str(self.path), None, "has no documents")

    def _usable(self, name: str, number: int, block: Any) -> Iterator[Any]:
        """The batches of a block without its bad lines, which are found by halving."""
        try:
            batch = text.batch_of(name, number, block, True)
        except DataError as error:
            halved = halves(block)
            if halved is None or self.on_bad_rows == "raise":
                self._skip(error)
                return
            before, count, after = halved
            yield from self._usable(name, number, before)
            yield from self._usable(name, number + count, after)
        else:
            if batch is not None:
                yield batch
