"""Loss and gradient of rows from a source's cache, beside the same rows in memory: `python bench/streaming.py`.

Everybody takes turns, and the ratios are medians over the turns, of seconds and of processor seconds: these say more on
a machine that does other work.
"""

import tempfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

import data
import store
from cases import Problem
from fastxent import LogisticRegression
from fastxent.estimators.streaming import Batches
from fastxent.sources import ParquetSource, SvmlightSource
from large import clocks
from store import busy_processors, processor


def sparse(folder, n):
    """A source of sparse rows of 20 entries, 20 classes."""
    from sklearn.datasets import dump_svmlight_file

    random, path = np.random.default_rng(0), Path(folder, "rows.svm")
    columns = np.sort((20_000 * random.random((n, 20)) ** 2).astype(np.int32), axis=1)
    X = data.csr_of_equal_rows(random.random((n, 20)), columns, 20_000)
    dump_svmlight_file(X, random.integers(0, 20, n), str(path))
    return SvmlightSource(path, n_features=20_000, zero_based=True)


def dense(folder, n):
    """A source of dense rows of 200 columns, 3 classes."""
    import pandas as pd

    random, path = np.random.default_rng(0), Path(folder, "rows.parquet")
    columns = {f"x{j}": random.normal(size=n) for j in range(200)}
    pd.DataFrame(columns | {"label": random.integers(0, 3, n)}).to_parquet(path)
    return ParquetSource(path)


def compare(source, n_threads, turns):
    """Return the seconds and the processor seconds of each turn, for the rows in memory and for the source."""
    batches = Batches(LogisticRegression(n_threads=n_threads), source).for_training()
    parts, labels = zip(*source, strict=True)
    X = sp.vstack(parts, "csr") if batches.is_sparse else np.concatenate(parts)
    problem = Problem(X, np.unique(np.concatenate(labels), return_inverse=True)[1], len(batches.classes))
    del parts
    who = problem.ours(n_threads=n_threads), batches.objective(n_threads=n_threads)
    theta = np.random.default_rng(0).normal(scale=0.01, size=who[0].shape)
    found = np.zeros((1 + turns, 2, 2))
    for times in found:
        for i, objective in enumerate(who):
            begun = clocks()
            objective.value_and_grad(theta)
            times[i] = clocks() - begun
    return found[1:]


def main():
    numbers = {"rows": (200_000, "how many"), "turns": (15, "of each"), "threads": (0, "0: all")}
    given = store.parser(__doc__, stored=False, **numbers).parse_args()
    print(f"{processor()}, other work keeps {busy_processors()} processors busy")
    for make in (sparse, dense):
        with tempfile.TemporaryDirectory() as folder:
            found = compare(make(folder, given.rows), given.threads or None, given.turns)
        seconds, used = np.median(found[:, 0] / found[:, 1], axis=0)
        memory, cache = np.median(found[..., 0], axis=0)
        print(f"{make.__name__}: {given.rows / memory:,.0f} rows per second in memory, ", end="")
        print(f"{given.rows / cache:,.0f} from the cache; {seconds:.2f} of the speed by seconds, ", end="")
        print(f"{used:.2f} by processor seconds")


if __name__ == "__main__":
    main()
