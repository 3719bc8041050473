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

ENTRIES, CLASSES, COLUMNS = 20, 60, 20_000
LIMIT = 4 << 30  # bytes of addresses
BATCH = 65_536  # rows, as they are written and read
ENOUGH = 300.0  # seconds, after which the rate of a slow trainer is known
MOST_TEXT = 1_000_000  # rows for Vowpal Wabbit, whose rate does not depend on how many there are
DTYPES = {"data": np.float32, "indices": np.int32, "indptr": np.int64, "y": np.int64}  # of the files


def write(folder, n):
    """Write n rows, unless they are there.

    Columns, each from its own range, of which later ones are wider; values; labels that an entry speaks for.
    """
    done, about = folder / "done", f"{n} rows of {ENTRIES} of {COLUMNS} columns, {CLASSES} classes"
    if done.exists() and done.read_text(encoding="utf-8") == about:
        return
    done.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    sizes, files = (n * ENTRIES, n * ENTRIES, n + 1, n), {}
    for (name, dtype), size in zip(DTYPES.items(), sizes, strict=True):
        files[name] = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (size,))
    files["indptr"][:] = ENTRIES * np.arange(n + 1)
    random = np.random.default_rng(0)
    class_of = random.integers(0, CLASSES, COLUMNS)
    edges = np.concatenate([np.arange(ENTRIES // 2), np.geomspace(ENTRIES // 2, COLUMNS, 1 + ENTRIES // 2)])
    edges = edges.astype(np.int64)
    with open(folder / "rows.vw", "w") as text:
        for start in range(0, n, BATCH):
            some = min(BATCH, n - start)
            columns = random.integers(edges[:-1], edges[1:], (some, ENTRIES), dtype=np.int64)
            values = random.integers(1, 1000, (some, ENTRIES)) / 1000
            speaks = class_of[columns[np.arange(some), random.integers(ENTRIES // 2, ENTRIES, some)]]
            labels = np.where(random.random(some) < 0.8, speaks, random.integers(0, CLASSES, some))
            entries = slice(start * ENTRIES, (start + some) * ENTRIES)
            files["data"][entries], files["indices"][entries] = values.ravel(), columns.ravel()
            files["y"][start : start + some] = labels
            if start < MOST_TEXT:  # "label | column:value ...", the labels from 1
                for label, *row in zip(labels + 1, columns.tolist(), values.tolist(), strict=True):
                    text.write(f"{label} | {' '.join(f'{j}:{x}' for j, x in zip(*row, strict=True))}\n")
    for file in files.values():
        file.flush()
    done.write_text(about, encoding="utf-8")


# ------------------------------------------------------------------------------------ in processes of their own


def read(folder, start, stop):
    """Return some rows and their labels."""
    data, indices, indptr, y = (np.load(Path(folder, f"{name}.npy"), mmap_mode="r") for name in DTYPES)
    some = slice(int(indptr[start]), int(indptr[stop]))
    pointers = (indptr[start : stop + 1] - indptr[start]).astype(np.int32)
    return sp.csr_matrix((data[some], indices[some], pointers), shape=(stop - start, COLUMNS)), y[start:stop]


def limited_source(folder):
    """Return all rows, after the limit has come into force."""
    from fastxent.sources import NpySource

    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    *arrays, y = (str(Path(folder, f"{name}.npy")) for name in DTYPES)
    return NpySource(tuple(arrays), y, n_features=COLUMNS, batch_rows=BATCH)


def clocks(who=resource.RUSAGE_SELF):
    """Seconds on the clock, and those of processors, which other work on the machine does not lengthen as much."""
    used = resource.getrusage(who)
    return np.array([time.perf_counter(), used.ru_utime + used.ru_stime])


def record(visited, times, model=None, folder=None, rows=None, **more):
    """visited: rows, as often as they were. times: the seconds of both clocks.

    The log loss of the last rows, which were trained on, too, is a sign of something learned.
    """
    seconds, used = map(float, times)
    rates = {"rows per second": visited / seconds, "rows per processor second": visited / used}
    sizes = {"seconds": seconds, "resident": status("VmHWM"), "addresses": status("VmPeak")}
    if model is not None:
        X, y = read(folder, max(0, rows - 10_000), rows)
        p = model.predict_proba(X)[np.arange(len(y)), y]
        more["log loss"] = float(-np.log(np.maximum(p, 1e-12)).mean())
    return {**rates, **sizes, **more}


def ours_sgd(folder, rows):
    """An epoch of SGDClassifier, over the source."""
    from fastxent import SGDClassifier

    source, classes = limited_source(folder), np.arange(CLASSES)
    few = sp.csr_matrix(np.eye(CLASSES, COLUMNS, dtype=np.float32))
    SGDClassifier(n_threads=1).partial_fit([(few, classes)], classes=classes)  # compiles
    begun = clocks()
    model = SGDClassifier(n_threads=1, random_state=0).partial_fit(source, classes=classes)
    yield record(rows, clocks() - begun, model, folder, rows)


def ours_logistic(folder, rows):
    """A fit of LogisticRegression, to its tolerance."""
    from fastxent import LogisticRegression

    source, begun = limited_source(folder), clocks()
    model = LogisticRegression(n_threads=1).fit(source)
    times, passes = clocks() - begun, float(model.history_["passes"][-1])
    yield record(rows * passes, times, model, folder, rows, passes=passes, converged=bool(model.converged_))


def scikit_learn(folder, rows):
    """SGDClassifier.partial_fit with log loss: one model for each class."""
    from sklearn.linear_model import SGDClassifier

    model, times, done = SGDClassifier(loss="log_loss", random_state=0), np.zeros(2), 0
    while done < rows and times[0] < ENOUGH:
        begun = clocks()
        X, y = read(folder, done, min(done + BATCH, rows))
        model.partial_fit(X, y, classes=np.arange(CLASSES))
        times, done = times + clocks() - begun, done + len(y)
    yield record(done, times, model, folder, rows, **{"of the rows": done / rows})


def vowpal_wabbit(folder, rows):
    """Vowpal Wabbit's own program over its own binary cache, one against all, logistic; the cache is made before."""
    text, cache = Path(folder, "rows.vw"), Path(folder, "rows.cache")
    bits = int(np.ceil(np.log2((COLUMNS + 1) * CLASSES)))
    how = f"-b {bits} --loss_function logistic --oaa {CLASSES} -d {text} --cache_file {cache}"
    for _ in range(1 if cache.exists() else 2):
        begun = clocks(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "vowpalwabbit", *how.split()]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stderr
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
    print(f"{rows}, {ENTRIES} entries each, {CLASSES} classes, {COLUMNS:,} columns; {store.processor()}")
    found = {}
    for function in given.only or TRAINERS:
        (name, library), arguments = TRAINERS[function], {"folder": str(folder), "rows": given.rows}
        records, fault = run(f"large:{function}", arguments, library=library, timeout=7200)
        if not fault:
            (found[function],) = records
        print(f"{name}: {fault or described(**records[0])}", flush=True)
    print(f"other work kept {store.busy_processors()} processors busy at the end")
    peers = [one for function, one in found.items() if not function.startswith("ours")]
    for function, one in ((function, one) for function, one in found.items() if one not in peers):
        for clock in ("rows per second", "rows per processor second") if peers else ():
            times = one[clock] / max(peer[clock] for peer in peers)
            print(f"{function}: {times:.1f} times the {clock} of the faster peer")
        rate, passes = one["rows per second"], one.get("passes", 1.0)
        hours, what = 1e9 * passes / rate / 3600, f"10^9 x {passes:g} / {rate:,.0f} s"
        print(f"{function}: 10^9 rows would take {what} = {hours:.1f} hours on one thread")


def described(resident, addresses, **found):
    del found["import"]
    sizes = f"{resident:,.0f} MB resident, {addresses:,.0f} MB of addresses"
    more = ", ".join(f"{name} {value:.4g}" for name, value in found.items() if name != "rows per second")
    return f"{found['rows per second']:,.0f} rows per second; {sizes}; {more}"


if __name__ == "__main__":
    main()
