"""How well solver="auto" chooses, on problems drawn at random: `python bench/choices.py`.

Synthetic ones: rows, columns, classes, non-zeros, spectrum, how sharp the labels are, strength of the penalty. Real
text: some of the rows and some of the classes of the glosses, words or character n-grams. Each of our solvers runs once
on one thread, its history gives its course, and processor seconds count, so that a busy machine does little harm.
What auto would have taken is compared with the best; for CSR rows the cost model of `fastxent/solvers/policy.py`
is fitted anew:

    log(seconds of sdca / seconds of metric)
        = start + a log(stiffness) + b log K + c log(rows / columns) + e log(entries of a row)

`report.py` makes the tables in docs/solvers.md of the results.
"""

import time
from functools import cache

import numpy as np
import pandas as pd

import data
import processes
import store
from cases import Problem
from convergence import LEVELS, seconds_to
from fastxent import solvers
from fastxent.data.ranges import cost
from fastxent.solvers import policy
from tables import Missing, markdown, measured_on

TOL = 1e-7
CAP_SECONDS = 5.0  # for one solver on one problem
MOST_WORK = 3e8  # of a pass, in multiplications
MOST_UNKNOWNS = 2_500_000
CLASSES = (2, 2, 3, 5, 10, 26, 60, 100)
SPARSE = ("sdca", "metric", "lbfgs", "newton-cg")
SOLVERS = {"CSR": SPARSE, "text": SPARSE, "dense": ("metric", "lbfgs", "newton-cg")}


glosses = cache(data.glosses)  # kept in memory, too


def sparse_case(rng):
    """Return CSR rows of unit length, like texts of K topics, and the topics, some of them wrong."""
    while True:
        n, d, nnz = (int(10 ** rng.uniform(*powers)) for powers in ((3.3, 5.2), (3.3, 4.8), (0.9, 2.2)))
        K = int(rng.choice(CLASSES))
        if n * nnz * (2 * K + 16) <= MOST_WORK and d * K <= MOST_UNKNOWNS:
            break
    topical, wrong = 10 ** rng.uniform(-1.5, -0.2), rng.uniform(0, 0.3)
    X, y = data.topical_text(rng, (n, d), nnz, K, topical=topical, wrong=wrong)
    return X, y, K, 1 / (n * 10 ** rng.uniform(-1.5, 3))


def text_case(rng):
    """Return some rows of some classes of the glosses, and the columns that occur there."""
    while True:
        X, y = glosses(str(rng.choice(["words", "characters"])))
        classes = rng.permutation(np.unique(y))[: int(rng.choice(CLASSES))]
        rows = np.flatnonzero(np.isin(y, classes))
        rows = rng.permutation(rows)[: int(10 ** rng.uniform(3.3, 5.2))]
        y = np.unique(y[rows], return_inverse=True)[1]
        K, X = int(y.max()) + 1, data.without_empty_columns(X[rows])
        if K > 1 and cost(X, K) <= MOST_WORK and X.shape[1] * K <= MOST_UNKNOWNS:
            return X, y, K, 1 / (len(y) * 10 ** rng.uniform(-1.5, 3))


def dense_case(rng):
    """Return rows whose spectrum decays as a power, rotated."""
    while True:
        n, d = (int(10 ** rng.uniform(*powers)) for powers in ((2.5, 5.3), (0.8, 3)))
        K = int(rng.choice(CLASSES))
        if 1e4 <= n * d * (K + 8) <= MOST_WORK:
            break
    spectrum = np.arange(1, d + 1) ** -rng.uniform(0, 1.5)
    spectrum *= np.sqrt(d / np.sum(spectrum**2))
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
    X = np.ascontiguousarray((rng.standard_normal((n, d)) * spectrum) @ rotation)
    theta = rng.standard_normal((d + 1, 1 if K == 2 else K)) * 10 ** rng.uniform(0, 0.8) / np.sqrt(d)
    theta[-1] = 0
    return X, data.every_class(data.drawn_labels(X, theta), K), K, 10 ** rng.uniform(-6, -2)


MAKERS = {"CSR": sparse_case, "text": text_case, "dense": dense_case}


def course(objective, name):
    """Return processor seconds and F along a run of one solver, its set-up included."""
    deadline = time.monotonic() + CAP_SECONDS
    start, cpu = time.perf_counter(), time.process_time()
    how = {"solver": name, "tol": 1.01e-7 if name in policy.SCIKIT_LEARN_NAMES else TOL, "max_iter": 100_000}
    how["callback"] = lambda theta, history: time.monotonic() > deadline
    history = solvers.solve(objective, objective.initial(), **how).history
    cpu = time.process_time() - cpu
    seconds = cpu / (time.perf_counter() - start) * np.array(history["seconds"])
    seconds += cpu - seconds[-1]
    points = zip(seconds.tolist(), history["loss"], strict=True)
    return [{"seconds": [s], "objective": loss} for s, loss in points]


def measure(kind, rng):
    """Return the record of one problem."""
    X, y, K, l2 = MAKERS[kind](rng)
    problem = Problem(X, y, K, l2=l2)
    courses = {name: course(problem.ours(n_threads=1), name) for name in SOLVERS[kind]}
    least = min(points[-1]["objective"] for points in courses.values())
    stored = X.data if problem.sparse else X
    return {
        "kind": kind,
        "rows": X.shape[0],
        "features": X.shape[1],
        "classes": K,
        "entries": int(stored.size),
        "l2": l2,
        "stiffness": float(np.vdot(stored, stored)) / X.shape[0] ** 2 / l2,
        "work": int(cost(X, 1 if K == 2 else K)),
        "choice": solvers.choose(problem.ours(n_threads=1)),
        "seconds": {name: [seconds_to(l, points, least) for l in LEVELS] for name, points in courses.items()},
    }


def regrets(case):
    """Return auto's seconds over the best solver's, at each level."""
    seconds = pd.DataFrame(case["seconds"], dtype=float)
    return (seconds[case["choice"]] / seconds.min(axis=1)).fillna(np.inf)


def regret_table(frame):
    ratios = frame.apply(regrets, axis=1)
    group = frame["kind"].where(frame["kind"] != "CSR", "CSR, more classes")
    group = group.where((frame["kind"] != "CSR") | (frame["classes"] > 2), "CSR, two classes")
    rows = []
    for name, found in ratios.groupby(group):
        row = {"problems": name, "number": str(len(found))}
        for level, of_level in zip(LEVELS, found, strict=True):
            row[f"median, {level:.0e}"] = f"{found[of_level].median():.2f}"
            row[f"within 1.5x, {level:.0e}"] = f"{100 * (found[of_level] <= 1.5).mean():.0f} %"
        rows.append(row)
    order = ["CSR, two classes", "CSR, more classes", "text", "dense"]
    return markdown(sorted(rows, key=lambda row: order.index(row["problems"])))


def model_table(frame):
    """Return the table of the cost model at each level, and the spread of what it leaves, in powers of ten."""
    known = {
        "start": 10.0,
        "stiffness": frame["stiffness"],
        "K": frame["classes"].replace(2, 1),
        "rows / columns": frame["rows"] / frame["features"],
        "entries of a row": frame["entries"] / frame["rows"],
    }
    design, seconds = np.log10(frame[[]].assign(**known)), pd.DataFrame(list(frame["seconds"]))
    rows = []
    for i, level in enumerate(LEVELS):
        sdca, metric = seconds["sdca"].str[i].astype(float), seconds["metric"].str[i].astype(float)
        kept = metric.notna()
        # A run of sdca that did not get there took at least ten times as long, for all that matters here.
        ratios, of_cases = np.log10((sdca / metric).fillna(10.0).clip(0.1, 10.0))[kept], design[kept]
        found = np.linalg.lstsq(of_cases, ratios, rcond=None)[0]
        values = dict(zip(design, found, strict=True)) | {"spread": np.std(ratios - of_cases @ found)}
        row = {"level": f"{level:.0e}", "problems": str(len(frame))}
        rows.append(row | {name: f"{value:.2f}" for name, value in values.items()})
    return markdown(rows)


def tables(known):
    sparse = [case for case in known.get("choices", []) if case["kind"] != "dense"]
    if len(sparse) < 10:
        raise Missing("choices")
    where = f"One thread. {measured_on(known, 'choices')}"
    return "\n".join([regret_table(pd.DataFrame(known["choices"])), model_table(pd.DataFrame(sparse)), where])


def main():
    parser = store.parser(__doc__, seconds=(300.0, "how long to go on"), seed=(0, "of the problems"))
    parser.add_argument("--kind", choices=list(SOLVERS), action="append", help="default: all")
    options = parser.parse_args()
    versions, _ = processes.found([])
    results = store.Results(options, "choices", versions)
    results.known["choices"] = []
    deadline = time.monotonic() + (20 if options.quick else options.seconds)
    rng, number = np.random.default_rng(options.seed), 0
    while time.monotonic() < deadline:
        for kind in options.kind or SOLVERS:
            number += 1
            results.add(f"problem {number}", [{"number": number, **measure(kind, rng)}])


if __name__ == "__main__":
    main()
