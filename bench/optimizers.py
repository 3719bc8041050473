"""Rows per second of every optimiser, penalty and batch size, on one thread: `python bench/optimizers.py`.

Text is a CSR matrix of 77 entries per row out of 80,000 features, 57 classes; dense rows have 50 features, 10 classes.
Each figure is a median over rounds of interleaved runs; behind it stands the share of plain sgd's rows per second with
the same penalty and batch size, a median of ratios within rounds.
"""

import argparse
import itertools
import time

import numpy as np
import scipy.sparse as sp

from fastxent.sgd.trainer import Data, Options, Training
from rivals import wanted

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "ftrl")
PENALTIES = {"none": (0.0, 0.0), "l2": (0.0, 1e-5), "l1": (1e-5, 0.0), "elasticnet": (1e-6, 1e-5)}
BATCHES = (1, 32, 128)


def text(n=20_000, d=80_000, entries=77, K=57):
    """Return CSR rows whose features follow Zipf's law, like words, and labels."""
    random = np.random.default_rng(0)
    share = 1.0 / (np.arange(d) + 10.0)
    wide = random.choice(d, (n, 2 * entries), p=share / share.sum())
    rows = []
    for row in wide:  # each feature once
        _, first = np.unique(row, return_index=True)
        rows.append(np.sort(row[np.sort(first)[:entries]]))
    indptr = np.r_[0, np.cumsum([len(row) for row in rows])]
    values = random.exponential(size=indptr[-1]) + 0.1
    values /= np.sqrt(np.repeat(np.add.reduceat(values**2, indptr[:-1]), np.diff(indptr)))
    X = sp.csr_array((values, np.concatenate(rows).astype(np.int32), indptr.astype(np.int32)), (n, d))
    labels = X @ random.normal(size=(d, K)) * 3 + random.gumbel(size=(n, K))
    return X, labels.argmax(axis=1), K


def dense(n=20_000, d=50, K=10):
    random = np.random.default_rng(0)
    X = random.normal(size=(n, d))
    return X, (X @ random.normal(size=(d, K)) + random.gumbel(size=(n, K))).argmax(axis=1), K


PROBLEMS = {"text": text, "dense": dense}


def trainer(problem, optimizer, penalty, batch):
    """Return a function that trains on some rows and returns rows per second; it goes on where it was."""
    X, y, K = problem
    l1, l2 = PENALTIES[penalty]
    schedule = "settling" if optimizer in ("sgd", "momentum", "nesterov") else "constant"
    options = Options(optimizer=optimizer, l1=l1, l2=l2, batch=batch, schedule=schedule, alpha=l2)
    training = Training(options, np.zeros((X.shape[1] + 1, K), X.dtype))
    training.expect(len(y))
    data = Data(options, X, y, K, K, None)
    order = np.random.default_rng(1).permutation(len(y))

    def run(n, first=[0]):  # noqa: B006
        rows = order[first[0] : first[0] + n]
        first[0] = (first[0] + n) % len(order)
        start = time.process_time()
        training.run(data, rows)
        return len(rows) / (time.process_time() - start)

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", action="append", metavar="TEXT")
    parser.add_argument("--optimizer", action="append", metavar="TEXT")
    parser.add_argument("--penalty", action="append", metavar="TEXT")
    parser.add_argument("--batch", action="append", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=4096, help="of a run")
    parser.add_argument("--f32", action="store_true")
    options = parser.parse_args()
    print(f"{'':30}" + "".join(f"{optimizer:>17}" for optimizer in OPTIMIZERS))
    for name, make in PROBLEMS.items():
        if not wanted(name, options.problem):
            continue
        problem = make()
        if options.f32:
            problem = (problem[0].astype(np.float32), *problem[1:])
        for penalty, batch in itertools.product(PENALTIES, options.batch or BATCHES):
            if not wanted(penalty, options.penalty):
                continue
            some = [o for o in OPTIMIZERS if o == "sgd" or wanted(o, options.optimizer)]
            runs = {optimizer: trainer(problem, optimizer, penalty, batch) for optimizer in some}
            for run in runs.values():
                run(options.rows)
            speeds = np.array([[run(options.rows) for run in runs.values()] for _ in range(options.rounds)])
            shares = np.median(speeds / speeds[:, :1], axis=0)
            found = dict(zip(some, zip(np.median(speeds, axis=0), shares, strict=True), strict=True))
            cells = [f"{v[0] / 1e3:,.1f}k ({v[1]:.2f})" if (v := found.get(o)) else "" for o in OPTIMIZERS]
            print(
                f"{name:6} {penalty:12} {batch:>5}     " + "".join(f"{cell:>17}" for cell in cells),
                flush=True,
            )


if __name__ == "__main__":
    main()
