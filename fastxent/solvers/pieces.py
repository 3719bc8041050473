"""Arrays as long as the model, or as the data, in pieces that stay in cache and that threads share.

Between two passes over wide data a solver moves dozens of such arrays; what it does to them is bound by memory. The
pieces follow from the array's shape alone and their sums are added in order: the same bits for any number of threads.
"""

import numpy as np

from .. import parallel

_PIECE = 1 << 15  # entries


class Pieces:
    """Ranges of the rows of arrays of one shape.

    >>> pieces = Pieces((3, 2), n_threads=1)
    >>> pieces.dot(np.ones((3, 2)), np.full((3, 2), 2.0))
    12.0
    """

    def __init__(self, shape, n_threads):
        rows, K = shape
        step = max(1, _PIECE // K)
        self.ranges = [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
        # A piece takes some 10 microseconds: threads take several at a time.
        self._batch = -(-len(self.ranges) // min(8, -(-len(self.ranges) // 4)))
        self._n_threads = n_threads

    def map(self, task):
        """[task(range) of every range], in order."""
        if len(self.ranges) <= 4:
            return [task(rows) for rows in self.ranges]
        batches = -(-len(self.ranges) // self._batch)
        results = parallel.run(
            lambda i: [task(rows) for rows in self.ranges[i * self._batch : (i + 1) * self._batch]],
            batches,
            self._n_threads,
        )
        return [result for batch in results for result in batch]

    def dot(self, a, b):
        """The inner product of two arrays."""
        return float(sum(self.map(lambda rows: np.vdot(a[rows], b[rows]))))
