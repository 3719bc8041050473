"""How well solver="auto" chooses, on problems drawn at random: `python bench/choices.py`.

Made ones: rows, columns, classes, non-zeros, spectrum, how sharp the labels are, strength of the penalty. Real text:
some of the rows and some of the classes of the glosses, words or character n-grams. Each of our solvers runs once
on one thread, its history gives its course, and processor seconds count, so that a busy machine does little harm.
What auto would have taken is compared with the best; for CSR rows the cost model of `fastxent/solvers/policy.py`
is fitted anew:

    log(seconds of sdca / seconds of metric)
        = start + a log(stiffness) + b log K + c log(rows / columns) + e log(entries of a row)

--insert puts the tables into docs/solvers.md.
"""

import argparse
import json
import time
from functools import cache
from pathlib import Path

import numpy as np
import scipy.sparse as sp

import data
from cases import F64, drawn_labels
from convergence import LEVELS, save, seconds_to
from fastxent import solvers
from fastxent.data.ranges import cost
from fastxent.solvers import policy
from objectives import objective_of
from run import installed_versions, log, machine
from table import insert, machine_line, markdown

TOL = 1e-7
CAP_SECONDS = 5.0  # for one solver on one problem
MOST_WORK = 3e8  # of a pass, in multiplications
MOST_UNKNOWNS = 2_500_000
CLASSES = (2, 2, 3, 5, 10, 26, 60, 100)
SPARSE = ("sdca", "metric", "lbfgs", "newton-cg")
SOLVERS = {"CSR": SPARSE, "text": SPARSE, "dense": ("metric", "lbfgs", "newton-cg")}
GROUPS = {
    "CSR, two classes": lambda case: case["kind"] == "CSR" and case["classes"] == 2,
    "CSR, more classes": lambda case: case["kind"] == "CSR" and case["classes"] > 2,
    "text": lambda case: case["kind"] == "text",
    "dense": lambda case: case["kind"] == "dense",
}


# ------------------------------------------------------------------------------------ problems


def labels(rng, X, K, sharpness):
    """Labels drawn from a softmax model; every class at least once."""
    columns = 1 if K == 2 else K
    theta = np.vstack([sharpness * rng.standard_normal((X.shape[1], columns)), np.zeros(columns)])
    y = drawn_labels(X, theta)
    y[:K] = np.arange(K)
    return y


def sparse_case(rng):
    """Return CSR rows of unit length, like texts of K topics, and the topics, some of them wrong."""
    while True:
        n, d, nnz = (int(10 ** rng.uniform(*powers)) for powers in ((3.3, 5.2), (3.3, 4.8), (0.9, 2.2)))
        K = int(rng.choice(CLASSES))
        if n * nnz * (2 * K + 16) <= MOST_WORK and d * K <= MOST_UNKNOWNS:
            break
    topics = rng.integers(K, size=n)
    common = data.made_sparse(n, d, nnz, F64, seed=int(rng.integers(1 << 30)))
    # A share of a row's words is of its topic: the same frequencies, but a rarer word becomes a frequent one.
    rows = np.repeat(np.arange(n), np.diff(common.indptr))
    topical = rng.random(common.nnz) < 10 ** rng.uniform(-1.5, -0.2)
    shift = rng.integers(d, size=K)
    columns = np.where(topical, (common.indices + shift[topics[rows]]) % d, common.indices)
    X = sp.csr_matrix((common.data, columns, common.indptr), shape=(n, d))
    X.sum_duplicates()
    y = np.where(rng.random(n) < rng.uniform(0, 0.3), rng.integers(K, size=n), topics)
    y[:K] = np.arange(K)
    return X, y, K, 1 / (n * 10 ** rng.uniform(-1.5, 3))


@cache
def glosses(units):
    return data.glosses(F64, units)


def text_case(rng):
    """Return some rows of some classes of the glosses, and the columns that occur there."""
    while True:
        X, y = glosses(str(rng.choice(["words", "characters"])))
        classes = rng.permutation(np.unique(y))[: int(rng.choice(CLASSES))]
        rows = np.flatnonzero(np.isin(y, classes))
        rows = rng.permutation(rows)[: int(10 ** rng.uniform(3.3, 5.2))]
        y = np.unique(y[rows], return_inverse=True)[1]
        K, X = int(y.max()) + 1, X[rows]
        X = X[:, np.flatnonzero(X.getnnz(axis=0))]
        X.sort_indices()
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
    y = labels(rng, X, K, 10 ** rng.uniform(0, 0.8) / np.sqrt(d))
    return X, y, K, 10 ** rng.uniform(-6, -2)


# ------------------------------------------------------------------------------------ courses


def course(objective, name):
    """Return processor seconds and F along a run of one solver, its set-up included."""
    deadline = time.monotonic() + CAP_SECONDS
    start, cpu = time.perf_counter(), time.process_time()
    result = solvers.solve(
        objective,
        objective.initial(),
        solver=name,
        tol=1.01e-7 if name in policy.SCIKIT_LEARN_NAMES else TOL,
        max_iter=100_000,
        callback=lambda theta, history: time.monotonic() > deadline,
    )
    cpu = time.process_time() - cpu
    share = cpu / (time.perf_counter() - start)
    seconds = share * np.array(result.history["seconds"])
    return [
        {"seconds": [float(s)], "objective": loss}
        for s, loss in zip(seconds + (cpu - seconds[-1]), result.history["loss"], strict=True)
    ]


def measure(kind, rng):
    """Return the record of one problem."""
    X, y, K, l2 = {"CSR": sparse_case, "text": text_case, "dense": dense_case}[kind](rng)

    def objective():
        return objective_of(X, y, K, binary=K == 2, l2=l2, n_threads=1)

    entries = X.size  # of a CSR matrix: those stored
    courses = {name: course(objective(), name) for name in SOLVERS[kind]}
    least = min(points[-1]["objective"] for points in courses.values())
    return {
        "kind": kind,
        "rows": X.shape[0],
        "features": X.shape[1],
        "classes": K,
        "entries": int(entries),
        "l2": l2,
        "stiffness": float((X**2).sum() if isinstance(X, np.ndarray) else (X.data**2).sum())
        / X.shape[0] ** 2
        / l2,
        "work": int(cost(X, 1 if K == 2 else K)),
        "choice": solvers.choose(objective()),
        "seconds": {name: [seconds_to(l, points, least) for l in LEVELS] for name, points in courses.items()},
    }


# ------------------------------------------------------------------------------------ tables


def regrets(case):
    """Return auto's seconds over the best solver's, at each level."""
    best = np.fmin.reduce(np.array(list(case["seconds"].values())))
    return np.nan_to_num(np.array(case["seconds"][case["choice"]]) / best, nan=np.inf)


def regret_table(cases):
    header = [
        "problems",
        "number",
        *(f"{what}, {level:.0e}" for level in LEVELS for what in ("median", "within 1.5x")),
    ]
    rows = []
    for name, belongs in GROUPS.items():
        found = np.array([regrets(case) for case in cases if belongs(case)]).reshape(-1, len(LEVELS))
        cells = [
            c for r in found.T if r.size for c in (f"{np.median(r):.2f}", f"{100 * np.mean(r <= 1.5):.0f} %")
        ]
        rows.append([name, str(len(found)), *cells])
    return markdown(header, [row for row in rows if len(row) == len(header)])


def fit(cases, level):
    """Return start, a, b, c, e of the cost model at a level, and the spread of what it leaves, in powers of ten."""
    rows, ratios = [], []
    for case in cases:
        ours, other = (case["seconds"][name][level] for name in ("sdca", "metric"))
        if not np.isfinite(other):
            continue
        # A run that did not get there took at least ten times as long, for all that matters here.
        ratios.append(np.log10(np.clip(np.nan_to_num(ours / other, nan=10.0), 0.1, 10.0)))
        columns = 1 if case["classes"] == 2 else case["classes"]
        n = case["rows"]
        rows.append([1, *np.log10([case["stiffness"], columns, n / case["features"], case["entries"] / n])])
    rows, ratios = np.array(rows), np.array(ratios)
    found = np.linalg.lstsq(rows, ratios, rcond=None)[0]
    return [*found, np.std(ratios - rows @ found)]


def model_table(cases):
    header = ["level", "problems", "start", "stiffness", "K", "rows / columns", "entries of a row", "spread"]
    chosen = [case for case in cases if case["kind"] != "dense"]
    rows = [
        [f"{l:.0e}", str(len(chosen)), *(f"{v:.2f}" for v in fit(chosen, i))] for i, l in enumerate(LEVELS)
    ]
    return markdown(header, rows)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300, help="how long to go on (300)")
    parser.add_argument("--kind", choices=list(SOLVERS), action="append", help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("bench_output/choices.json"), help="the results")
    parser.add_argument("--tables", action="store_true", help="measure nothing, read what --output holds")
    parser.add_argument("--insert", action="store_true", help="into docs/solvers.md")
    return parser.parse_args()


def main():
    options = arguments()
    results = {"machine": machine(), "versions": installed_versions(), "cases": []}
    if options.tables:
        results = json.loads(options.output.read_text())
    rng = np.random.default_rng(options.seed)
    deadline = time.monotonic() + (0 if options.tables else options.seconds)
    while time.monotonic() < deadline:
        for kind in options.kind or SOLVERS:
            results["cases"].append(measure(kind, rng))
            save(results, options.output)
        log(f"{len(results['cases'])} problems")
    tables = f"{regret_table(results['cases'])}\n{model_table(results['cases'])}"
    text = f"{tables}\nOne thread of {machine_line(results)}\n"
    if options.insert:
        import figures

        insert(text, figures.DOCS / "solvers.md", "cost-model")
    else:
        print(text)


if __name__ == "__main__":
    main()
