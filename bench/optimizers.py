"""Rows per second of every optimiser, penalty and batch size, on one thread: `python bench/optimizers.py`.

Text has about 77 of 80,000 words a row and 57 classes; dense rows have 50 features and 10 classes.
Each figure is a median over rounds of interleaved runs; behind it stands the share of plain sgd's rows per second with
the same penalty and batch size, a median of ratios within rounds.
"""

import itertools
import time

import numpy as np

import data
import store
from fastxent.sgd.options import Options
from fastxent.sgd.trainer import Data, Training
from store import wanted
from tables import markdown

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "ftrl")
PENALTIES = {"none": (0.0, 0.0), "l2": (0.0, 1e-5), "l1": (1e-5, 0.0), "elasticnet": (1e-6, 1e-5)}
PROBLEMS = {  # rows, labels, number of classes
    "text": lambda: (*data.topical_text(np.random.default_rng(0), (20_000, 80_000), 77, 57), 57),
    "dense": lambda: (data.normal(20_000, 50), np.arange(20_000) % 10, 10),
}


def runner(problem, optimizer, penalty, batch):
    """Return a function that trains on some more rows and returns rows per second."""
    X, y, K = problem
    l1, l2 = PENALTIES[penalty]
    schedule = "settling" if optimizer in ("sgd", "momentum", "nesterov") else "constant"
    options = Options(optimizer=optimizer, l1=l1, l2=l2, batch=batch, schedule=schedule, alpha=l2)
    training = Training(options, np.zeros((X.shape[1] + 1, K), X.dtype))
    training.expect(len(y))
    rows = Data(options, X, y, K, K, None)
    order = itertools.cycle(np.random.default_rng(1).permutation(len(y)))

    def run(n):
        chosen = np.fromiter(itertools.islice(order, n), np.intp)
        start = time.process_time()
        training.run(rows, chosen)
        return n / (time.process_time() - start)

    return run


def main():
    numbers = {"rounds": (3, "runs of each"), "rows": (4096, "of a run")}
    parser = store.parser(__doc__, "problem", "optimizer", "penalty", stored=False, **numbers)
    parser.add_argument("--batch", action="append", type=int, help="default: 1, 32 and 128")
    options = parser.parse_args()
    optimizers = [o for o in OPTIMIZERS if o == "sgd" or wanted(o, options.optimizer)]
    penalties = [penalty for penalty in PENALTIES if wanted(penalty, options.penalty)]
    table = []
    for name in (name for name in PROBLEMS if wanted(name, options.problem)):
        problem = PROBLEMS[name]()
        for penalty, batch in itertools.product(penalties, options.batch or (1, 32, 128)):
            runs = [runner(problem, optimizer, penalty, batch) for optimizer in optimizers]
            found = np.array([[run(options.rows) for run in runs] for _ in range(1 + options.rounds)])[1:]
            rates, shares = np.median(found, axis=0), np.median(found / found[:, :1], axis=0)
            cells = [f"{rate / 1e3:,.1f}k ({share:.2f})" for rate, share in zip(rates, shares, strict=True)]
            row = {"problem": name, "penalty": penalty, "batch": str(batch)}
            table.append(row | dict(zip(optimizers, cells, strict=True)))
    print(markdown(table))


if __name__ == "__main__":
    main()
