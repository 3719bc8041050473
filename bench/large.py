"""Millions of sparse rows with many classes within a limit of memory: `python bench/large.py --rows 7000000`.

A set of rows is written once, as the three arrays of a CSR matrix (NumPy's files) and as text for Vowpal Wabbit. Then
each trainer makes its passes over them in a process of its own with one thread. Ours may use 4 GiB of addresses, not
only of memory: what does not fit fails. Vowpal Wabbit reads its own binary cache, so nobody parses text while it is
timed.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

import store
from processes import log, run, status
from store import busy_processors, processor

ENTRIES, CLASSES, COLUMNS = 20, 60, 20_000
LIMIT = 4 << 30  # bytes of addresses
BATCH = 65_536  # rows, as they are written and read
ENOUGH = 300.0  # seconds, after which the rate of a slow trainer is known
MOST_TEXT = 1_000_000  # rows for Vowpal Wabbit, whose rate does not depend on how many there are
FILES = {
    "data": (np.float32, ENTRIES),
    "indices": (np.int32, ENTRIES),
    "indptr": (np.int64, 1),
    "y": (np.int64, 1),
}


def write(folder, n):
    """Write n rows, unless they are there."""
    if (folder / "done").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {name: (dtype, (n * size + (name == "indptr"),)) for name, (dtype, size) in FILES.items()}
    create = np.lib.format.open_memmap
    files = {name: create(folder / f"{name}.npy", "w+", *kind) for name, kind in kinds.items()}
    files["indptr"][:] = ENTRIES * np.arange(n + 1)
    random = np.random.default_rng(0)
    class_of = random.integers(0, CLASSES, COLUMNS)
    with open(folder / "rows.vw", "w") as text:
        for start in range(0, n, BATCH):
            stop = min(start + BATCH, n)
            columns, values, labels = drawn(random, stop - start, class_of)
            entries = slice(start * ENTRIES, stop * ENTRIES)
            files["data"][entries], files["indices"][entries] = values.ravel(), columns.ravel()
            files["y"][start:stop] = labels
            if start < MOST_TEXT:
                text.writelines(map(line, columns.tolist(), values.tolist(), labels.tolist()))
    for file in files.values():
        file.flush()
    (folder / "done").touch()


def drawn(random, n, class_of):
    """Columns, each from its own range, of which later ones are wider; values; labels that most entries speak for."""
    edges = np.concatenate([np.arange(ENTRIES // 2), np.geomspace(ENTRIES // 2, COLUMNS, 1 + ENTRIES // 2)])
    edges = edges.astype(np.int64)
    columns = random.integers(edges[:-1], edges[1:], (n, ENTRIES), dtype=np.int64)
    values = random.integers(1, 1000, (n, ENTRIES)) / 1000
    speaks = class_of[columns[np.arange(n), random.integers(ENTRIES // 2, ENTRIES, n)]]
    return columns, values, np.where(random.random(n) < 0.8, speaks, random.integers(0, CLASSES, n))


def line(columns, values, label):
    """A row as Vowpal Wabbit reads it: ``label | column:value ...``, the labels from 1."""
    return f"{label + 1} | {' '.join([f'{j}:{x}' for j, x in zip(columns, values, strict=True)])}\n"


def read(folder, start, stop):
    """Return some rows and their labels."""
    data, indices, indptr, y = (np.load(Path(folder, f"{name}.npy"), mmap_mode="r") for name in FILES)
    some = slice(int(indptr[start]), int(indptr[stop]))
    pointers = (indptr[start : stop + 1] - indptr[start]).astype(np.int32)
    return sp.csr_matrix((data[some], indices[some], pointers), shape=(stop - start, COLUMNS)), y[start:stop]


def source(folder):
    from fastxent.sources import NpySource

    *arrays, y = (str(Path(folder, f"{name}.npy")) for name in FILES)
    return NpySource(tuple(arrays), y, n_features=COLUMNS, batch_rows=BATCH)


def clocks(who=resource.RUSAGE_SELF):
    """Seconds on the clock, and those of processors, which other work on the machine does not lengthen as much."""
    used = resource.getrusage(who)
    return np.array([time.perf_counter(), used.ru_utime + used.ru_stime])


def record(visited, times, **more):
    """visited: rows, as often as they were. times: the seconds of both clocks."""
    seconds, used = map(float, times)
    rates = {"rows per second": visited / seconds, "rows per processor second": visited / used}
    return {**rates, "seconds": seconds, "resident": status("VmHWM"), "addresses": status("VmPeak"), **more}


def log_loss(folder, rows, model):
    """The mean of -log p of the labels of the last rows, which were trained on, too: a sign of something learned."""
    X, y = read(folder, max(0, rows - 10_000), rows)
    return float(-np.log(np.maximum(model.predict_proba(X)[np.arange(len(y)), y], 1e-12)).mean())


def ours_sgd(folder, rows):
    """An epoch of SGDClassifier, over the source."""
    from fastxent import SGDClassifier

    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    classes = np.arange(CLASSES)
    few = sp.csr_matrix(np.eye(CLASSES, COLUMNS, dtype=np.float32))
    SGDClassifier(n_threads=1).partial_fit([(few, classes)], classes=classes)  # compiles
    model, begun = SGDClassifier(n_threads=1, random_state=0), clocks()
    model.partial_fit(source(folder), classes=classes)
    yield record(rows, clocks() - begun, **{"log loss": log_loss(folder, rows, model)})


def ours_logistic(folder, rows):
    """A fit of LogisticRegression, to its tolerance."""
    from fastxent import LogisticRegression

    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    begun = clocks()
    model = LogisticRegression(n_threads=1).fit(source(folder))
    times, passes = clocks() - begun, float(model.history_["passes"][-1])
    fit = {"passes": passes, "converged": bool(model.converged_), "log loss": log_loss(folder, rows, model)}
    yield record(rows * passes, times, **fit)


def scikit_learn(folder, rows):
    """SGDClassifier.partial_fit with log loss: one model for each class."""
    from sklearn.linear_model import SGDClassifier

    model, times, done = SGDClassifier(loss="log_loss", random_state=0), np.zeros(2), 0
    while done < rows and times[0] < ENOUGH:
        begun = clocks()
        X, y = read(folder, done, min(done + BATCH, rows))
        model.partial_fit(X, y, classes=np.arange(CLASSES))
        times, done = times + clocks() - begun, done + len(y)
    yield record(done, times, **{"of the rows": done / rows, "log loss": log_loss(folder, rows, model)})


def vowpal_wabbit(folder, rows):
    """Vowpal Wabbit's own program over its own binary cache, one against all, logistic; the cache is made before."""
    text, cache = Path(folder, "rows.vw"), Path(folder, "rows.cache")
    bits = int(np.ceil(np.log2((COLUMNS + 1) * CLASSES)))
    how = f"-b {bits} --loss_function logistic --oaa {CLASSES} -d {text} --cache_file {cache}"

    def train():
        command = [sys.executable, "-m", "vowpalwabbit", *how.split()]
        return subprocess.run(command, check=True, capture_output=True, text=True).stderr

    if not cache.exists():
        train()
    begun = clocks(resource.RUSAGE_CHILDREN)
    told = train()
    times = clocks(resource.RUSAGE_CHILDREN) - begun
    visited = int(told.split("number of examples = ")[1].split()[0])
    yield record(visited, times, **{"of the rows": visited / rows})


TRAINERS = {
    "ours_sgd": ("SGDClassifier, one epoch", "fastxent"),
    "ours_logistic": ("LogisticRegression, a fit", "fastxent"),
    "scikit_learn": ("scikit-learn partial_fit", "sklearn"),
    "vowpal_wabbit": ("Vowpal Wabbit", "vowpalwabbit"),
}


def main():
    parser = store.parser(__doc__, stored=False, rows=(1_000_000, "how many"))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "fastxent-large"))
    parser.add_argument("--only", choices=TRAINERS, action="append")
    given = parser.parse_args()
    folder, rows = given.folder / str(given.rows), f"{given.rows:,} rows"
    log(f"writing {rows} to {folder}")
    write(folder, given.rows)
    print(f"{rows}, {ENTRIES} entries each, {CLASSES} classes, {COLUMNS:,} columns; {processor()}")
    found = {}
    for function in given.only or TRAINERS:
        (name, library), arguments = TRAINERS[function], {"folder": str(folder), "rows": given.rows}
        records, fault = run(f"large:{function}", arguments, library=library, timeout=7200)
        if not fault:
            (found[function],) = records
        print(f"{name}: {fault or described(*records)}", flush=True)
    print(f"other work kept {busy_processors()} processors busy at the end")
    compare(found)


def described(one):
    sizes = f"{one['resident']:,.0f} MB resident, {one['addresses']:,.0f} MB of addresses"
    known = ("rows per second", "resident", "addresses", "import")
    more = ", ".join(f"{name} {value:.4g}" for name, value in one.items() if name not in known)
    return f"{one['rows per second']:,.0f} rows per second; {sizes}; {more}"


def compare(found):
    peers = [one for name, one in found.items() if not name.startswith("ours")]
    for name, one in ((name, one) for name, one in found.items() if name.startswith("ours")):
        for clock in ("rows per second", "rows per processor second") if peers else ():
            times = one[clock] / max(peer[clock] for peer in peers)
            print(f"{name}: {times:.1f} times the {clock} of the faster peer")
        rate, passes = one["rows per second"], one.get("passes", 1.0)
        hours, what = 1e9 * passes / rate / 3600, f"10^9 x {passes:g} / {rate:,.0f} s"
        print(f"{name}: 10^9 rows would take {what} = {hours:.1f} hours on one thread")


if __name__ == "__main__":
    main()
