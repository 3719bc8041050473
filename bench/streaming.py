"""Loss and gradient of rows from a source's cache, beside the same rows in memory: `python bench/streaming.py`.

Everybody takes turns, and the ratios are medians over the turns, of seconds and of processor seconds: these say more on
a machine that does other work.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import dump_svmlight_file

from fastxent import LogisticRegression
from fastxent.data.targets import Targets
from fastxent.estimators.streaming import Batches
from fastxent.objective import Objective
from fastxent.sources import ParquetSource, SvmlightSource
from machine import busy_processors, processor


def sparse(folder, n):
    """A source of sparse rows of 20 entries, 20 classes."""
    random = np.random.default_rng(0)
    columns = np.sort((20_000 * random.random((n, 20)) ** 2).astype(np.int32), axis=1)
    X = sp.csr_matrix((random.random(20 * n), columns.ravel(), 20 * np.arange(n + 1)), shape=(n, 20_000))
    path = folder / "rows.svm"
    dump_svmlight_file(X, random.integers(0, 20, n), str(path))
    return SvmlightSource(path, n_features=20_000, zero_based=True)


def dense(folder, n, K=3):
    """A source of dense rows of 200 columns, few classes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(0)
    columns = {f"x{j}": random.normal(size=n) for j in range(200)}
    pq.write_table(pa.table(columns | {"label": random.integers(0, K, n)}), folder / "rows.parquet")
    return ParquetSource(folder / "rows.parquet")


def compare(source, n_threads, turns):
    """Return the seconds and the processor seconds of each turn, for the rows in memory and for the source."""
    model = LogisticRegression(n_threads=n_threads)
    batches = Batches(model, source).for_training()
    parts = list(source)
    stack = sp.vstack if batches.is_sparse else np.concatenate
    X = stack([X for X, _ in parts], **({"format": "csr"} if batches.is_sparse else {}))
    codes = np.unique(np.concatenate([y for _, y in parts]), return_inverse=True)[1]
    K = len(batches.classes)
    del parts
    who = Objective.over(X, Targets(codes, K), K, n_threads=n_threads), batches.objective(n_threads=n_threads)
    theta = np.random.default_rng(0).normal(scale=0.01, size=who[0].shape)
    found = np.zeros((turns + 1, 2, 2))
    for turn in range(turns + 1):
        for i, objective in enumerate(who):
            begun = time.perf_counter(), time.process_time()
            objective.value_and_grad(theta)
            found[turn, i] = time.perf_counter() - begun[0], time.process_time() - begun[1]
    return found[1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    print(f"{processor()}, other work keeps {busy_processors()} processors busy")
    for make in (sparse, dense):
        with tempfile.TemporaryDirectory() as folder:
            found = compare(make(Path(folder), given.rows), given.threads, given.turns)
        seconds, used = np.median(found[:, 0] / found[:, 1], axis=0)
        memory, cache = np.median(found[..., 0], axis=0)
        print(
            f"{make.__name__}: {given.rows / memory:,.0f} rows per second in memory, {given.rows / cache:,.0f} from "
            f"the cache; {seconds:.2f} of the speed by seconds, {used:.2f} by processor seconds"
        )


if __name__ == "__main__":
    main()
