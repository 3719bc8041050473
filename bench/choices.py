"""How well solver="auto" chooses, on problems drawn at random: `python bench/choices.py`.

Synthetic ones: rows, columns, classes, non-zeros, spectrum, how sharp the labels are, strength of the penalty. Real
text: some of the rows and some of the classes of the glosses, words or character n-grams. Each of our solvers runs once
on one thread, its history gives its course, and processor seconds count, so that a busy machine does little harm.
`report.py` compares what auto would have taken with the best, and fits the cost model of `fastxent/solvers/policy.py`.
"""

import time
from functools import cache

import numpy as np

import data
import processes
import store
from cases import Problem
from convergence import LEVELS, seconds_to
from fastxent import solvers
from fastxent.data.ranges import cost
from fastxent.solvers import policy

TOL = 1e-7
CAP_SECONDS = 5.0  # for one solver on one problem
MOST_WORK = 3e8  # of a pass, in multiplications
MOST_UNKNOWNS = 2_500_000
CLASSES = (2, 2, 3, 5, 10, 26, 60, 100)
SPARSE = ("sdca", "metric", "lbfgs", "newton-cg")
glosses = cache(data.glosses)  # kept in memory, too


# What follows returns X, y, K and the penalty, or None if the problem drawn is too large, or has one class.


def sparse_case(rng):
    """CSR rows of unit length, like texts of K topics, and the topics, some of them wrong."""
    n, d, nnz = (int(10 ** rng.uniform(*powers)) for powers in ((3.3, 5.2), (3.3, 4.8), (0.9, 2.2)))
    K = int(rng.choice(CLASSES))
    if n * nnz * (2 * K + 16) > MOST_WORK or d * K > MOST_UNKNOWNS:
        return None
    topical, wrong = 10 ** rng.uniform(-1.5, -0.2), rng.uniform(0, 0.3)
    X, y = data.topical_text(rng, (n, d), nnz, K, topical=topical, wrong=wrong)
    return X, y, K, 1 / (n * 10 ** rng.uniform(-1.5, 3))


def text_case(rng):
    """Some rows of some classes of the glosses, and the columns that occur there."""
    X, y = glosses(str(rng.choice(["words", "characters"])))
    classes = rng.permutation(np.unique(y))[: int(rng.choice(CLASSES))]
    rows = np.flatnonzero(np.isin(y, classes))
    rows = rng.permutation(rows)[: int(10 ** rng.uniform(3.3, 5.2))]
    y = np.unique(y[rows], return_inverse=True)[1]
    K, X = int(y.max()) + 1, data.without_empty_columns(X[rows])
    if K == 1 or cost(X, K) > MOST_WORK or X.shape[1] * K > MOST_UNKNOWNS:
        return None
    return X, y, K, 1 / (len(y) * 10 ** rng.uniform(-1.5, 3))


def dense_case(rng):
    """Rows whose spectrum decays as a power, rotated."""
    n, d = (int(10 ** rng.uniform(*powers)) for powers in ((2.5, 5.3), (0.8, 3)))
    K = int(rng.choice(CLASSES))
    if not 1e4 <= n * d * (K + 8) <= MOST_WORK:
        return None
    spectrum = np.arange(1, d + 1) ** -rng.uniform(0, 1.5)
    spectrum *= np.sqrt(d / np.sum(spectrum**2))
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
    X = np.ascontiguousarray((rng.standard_normal((n, d)) * spectrum) @ rotation)
    theta = rng.standard_normal((d + 1, 1 if K == 2 else K)) * 10 ** rng.uniform(0, 0.8) / np.sqrt(d)
    theta[-1] = 0
    return X, data.every_class(data.drawn_labels(X, theta), K), K, 10 ** rng.uniform(-6, -2)


KINDS = {"CSR": (sparse_case, SPARSE), "text": (text_case, SPARSE), "dense": (dense_case, SPARSE[1:])}


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
    make, names = KINDS[kind]
    while (case := make(rng)) is None:
        pass
    X, y, K, l2 = case
    problem = Problem(X, y, K, l2=l2)
    courses = {name: course(problem.ours(n_threads=1), name) for name in names}
    least = min(points[-1]["objective"] for points in courses.values())
    stored = X.data if problem.sparse else X
    size = {"rows": X.shape[0], "features": X.shape[1], "classes": K, "entries": int(stored.size)}
    return {
        "kind": kind,
        **size,
        "l2": l2,
        "stiffness": float(np.vdot(stored, stored)) / X.shape[0] ** 2 / l2,
        "work": int(cost(X, 1 if K == 2 else K)),
        "choice": solvers.choose(problem.ours(n_threads=1)),
        "seconds": {name: [seconds_to(l, points, least) for l in LEVELS] for name, points in courses.items()},
    }


def main():
    parser = store.parser(__doc__, seconds=(300.0, "how long to go on"), seed=(0, "of the problems"))
    parser.add_argument("--kind", choices=KINDS, action="append", help="default: all")
    options = parser.parse_args()
    results = store.Results(options, "choices", processes.found([])[0])
    results.known["choices"] = []
    deadline = time.monotonic() + (20 if options.quick else options.seconds)
    rng, number = np.random.default_rng(options.seed), 0
    while time.monotonic() < deadline:
        for kind in options.kind or KINDS:
            number += 1
            results.add(f"problem {number}", [{"number": number, **measure(kind, rng)}])


if __name__ == "__main__":
    main()
