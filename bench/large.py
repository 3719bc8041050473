"""Millions of sparse rows with many classes within a limit of memory: `python bench/large.py --rows 7000000`.

A set of rows is written once, as the three arrays of a CSR matrix (NumPy's files) and as text for Vowpal Wabbit. Then
each trainer makes its passes over them in a process of its own with one thread. Ours may use 4 GiB of addresses, not
only of memory: what does not fit fails. Vowpal Wabbit reads its own binary cache, so nobody parses text while it is
timed.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from machine import busy_processors, log, processor, status
from processes import run

ENTRIES, CLASSES, COLUMNS = 20, 60, 20_000
LIMIT = 4 << 30  # bytes of addresses
FILES = ("data", "indices", "indptr", "y")
_ROWS = 65_536  # written at a time, and of a batch
_DONE = "done.json"


# The rows -------------------------------------------------------------------------------------------------


def write(folder, n):
    """Write n rows, unless they are there."""
    about = {"rows": n, "entries": ENTRIES, "classes": CLASSES, "columns": COLUMNS}
    done = folder / _DONE
    if done.exists() and json.loads(done.read_text()) == about:
        return
    done.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {"data": n * ENTRIES, "indices": n * ENTRIES, "indptr": n + 1, "y": n}
    dtypes = {"data": np.float32, "indices": np.int32, "indptr": np.int64, "y": np.int64}
    arrays = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtypes[name], (shapes[name],))
        for name in FILES
    }
    arrays["indptr"][:] = np.arange(n + 1) * ENTRIES
    random = np.random.default_rng(0)
    class_of = random.integers(0, CLASSES, COLUMNS)
    with open(folder / "rows.vw", "wb") as text:
        for start in range(0, n, _ROWS):
            rows = slice(start, min(start + _ROWS, n))
            columns, thousandths, labels = _drawn(random, rows.stop - rows.start, class_of)
            some = slice(rows.start * ENTRIES, rows.stop * ENTRIES)
            arrays["data"][some] = (thousandths / 1000).ravel()
            arrays["indices"][some] = columns.ravel()
            arrays["y"][rows] = labels
            text.write(_lines(columns, thousandths, labels))
    for array in arrays.values():
        array.flush()
    done.write_text(json.dumps(about))


def _drawn(random, n, class_of):
    """Columns, each from its own range, of which later ones are wider; values; labels that most entries speak for."""
    edges = np.concatenate([np.arange(ENTRIES // 2), np.geomspace(ENTRIES // 2, COLUMNS, 1 + ENTRIES // 2)])
    edges = edges.astype(np.int64)
    columns = random.integers(edges[:-1], edges[1:], (n, ENTRIES), dtype=np.int64)
    thousandths = random.integers(1, 1000, (n, ENTRIES))
    speaks = class_of[columns[np.arange(n), random.integers(ENTRIES // 2, ENTRIES, n)]]
    return columns, thousandths, np.where(random.random(n) < 0.8, speaks, random.integers(0, CLASSES, n))


def _lines(columns, thousandths, labels):
    """Lines ``label | column:value ...``, the labels from 1."""
    n = len(labels)
    entry = np.empty((n, ENTRIES, 12), np.uint8)
    entry[:] = np.frombuffer(b" 00000:0.000", np.uint8)
    entry[..., 1:6] = _digits(columns, 5)
    entry[..., 9:] = _digits(thousandths, 3)
    begin, end = np.empty((n, 4), np.uint8), np.full((n, 1), ord("\n"), np.uint8)
    begin[:] = np.frombuffer(b"00 |", np.uint8)
    begin[:, :2] = _digits(labels + 1, 2)
    return np.concatenate([begin, entry.reshape(n, -1), end], axis=1).tobytes()


def _digits(numbers, count):
    powers = 10 ** np.arange(count - 1, -1, -1)
    return (numbers[..., np.newaxis] // powers % 10 + ord("0")).astype(np.uint8)


# Who trains on them, each in its own process ---------------------------------------------------------------


def _source(folder):
    from fastxent.sources import NpySource

    data, indices, indptr, y = (os.path.join(folder, f"{name}.npy") for name in FILES)
    return NpySource((data, indices, indptr), y, n_features=COLUMNS, batch_rows=_ROWS)


def _limited():
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))


def _clocks(who=resource.RUSAGE_SELF):
    """Seconds on the clock, and those of processors, which other work on the machine does not lengthen as much."""
    used = resource.getrusage(who)
    return np.array([time.perf_counter(), used.ru_utime + used.ru_stime])


def _record(rows, clocks, **more):
    """rows: how many were visited, as often as they were. clocks: the seconds of both clocks."""
    seconds, used = map(float, clocks)
    more = {"rows per processor second": rows / used, **more}
    sizes = {"resident": status("VmHWM"), "addresses": status("VmPeak")}
    return {"rows per second": rows / seconds, "seconds": seconds, **sizes, **more}


def ours_sgd(folder, rows):
    """An epoch of SGDClassifier, over the source."""
    from scipy.sparse import csr_matrix

    from fastxent import SGDClassifier

    _limited()
    few = csr_matrix(np.eye(CLASSES, COLUMNS, dtype=np.float32))
    SGDClassifier(n_threads=1).partial_fit(
        [(few, np.arange(CLASSES))], classes=np.arange(CLASSES)
    )  # compiles
    model = SGDClassifier(n_threads=1, random_state=0)
    begun = _clocks()
    model.partial_fit(_source(folder), classes=np.arange(CLASSES))
    yield _record(rows, _clocks() - begun, **{"log loss": _log_loss(folder, rows, model)})


def ours_logistic(folder, rows):
    """A fit of LogisticRegression, to its tolerance."""
    from fastxent import LogisticRegression

    _limited()
    begun = _clocks()
    model = LogisticRegression(n_threads=1).fit(_source(folder))
    clocks, passes = _clocks() - begun, float(model.history_["passes"][-1])
    fit = {"passes": passes, "converged": bool(model.converged_), "log loss": _log_loss(folder, rows, model)}
    yield _record(rows * passes, clocks, **fit)


def scikit_learn(folder, rows):
    """SGDClassifier.partial_fit with log loss: one model for each class."""
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import SGDClassifier

    arrays = [np.load(os.path.join(folder, f"{name}.npy"), mmap_mode="r") for name in FILES]
    data, indices, indptr, y = arrays
    model, seconds, done = SGDClassifier(loss="log_loss", random_state=0), np.zeros(2), 0
    for start in range(0, rows, _ROWS):
        stop = min(start + _ROWS, rows)
        some = slice(int(indptr[start]), int(indptr[stop]))
        pointers = (indptr[start : stop + 1] - indptr[start]).astype(np.int32)
        begun = _clocks()
        X = csr_matrix((data[some], indices[some], pointers), shape=(stop - start, COLUMNS))
        model.partial_fit(X, y[start:stop], classes=np.arange(CLASSES))
        seconds, done = seconds + _clocks() - begun, stop
        if seconds[0] > _ENOUGH:
            break
    yield _record(done, seconds, **{"of the rows": done / rows, "log loss": _log_loss(folder, rows, model)})


_ENOUGH = 300.0  # seconds, after which the rate of a slow trainer is known


def vowpal_wabbit(folder, rows):
    """Vowpal Wabbit's own program over its own binary cache, one against all, logistic; the cache is made before."""
    folder = Path(folder)
    bits = int(np.ceil(np.log2((COLUMNS + 1) * CLASSES)))
    few = min(rows, 1_000_000)  # its rate does not depend on how many there are
    cache = folder / f"{few}.vwcache"
    base = [sys.executable, "-m", "vowpalwabbit", "-b", str(bits), "--loss_function", "logistic"]
    base += ["--oaa", str(CLASSES), "-d", str(folder / "few.vw"), "--cache_file", str(cache)]
    if not cache.exists():
        with open(folder / "rows.vw", "rb") as text, open(folder / "few.vw", "wb") as out:
            for _ in range(few):
                out.write(text.readline())
        subprocess.run(base, check=True, capture_output=True)
    begun = _clocks(resource.RUSAGE_CHILDREN)
    told = subprocess.run(base, check=True, capture_output=True, text=True).stderr
    yield _record(few, _clocks(resource.RUSAGE_CHILDREN) - begun, **{"of the rows": few / rows})
    if f"number of examples = {few}" not in told:
        raise RuntimeError(f"Vowpal Wabbit did not learn from {few} rows: {told[-300:]}")


def _log_loss(folder, rows, model):
    """The mean of -log p of the labels of the last rows, which were trained on, too: a sign of something learned."""
    from scipy.sparse import csr_matrix

    data, indices, indptr, y = (np.load(os.path.join(folder, f"{name}.npy"), mmap_mode="r") for name in FILES)
    start = max(0, rows - 10_000)
    some = slice(int(indptr[start]), int(indptr[rows]))
    pointers = (indptr[start:] - indptr[start]).astype(np.int32)
    X = csr_matrix((data[some], indices[some], pointers), shape=(rows - start, COLUMNS))
    P = model.predict_proba(X)
    return float(-np.log(np.maximum(P[np.arange(len(P)), y[start:]], 1e-12)).mean())


TRAINERS = {
    "SGDClassifier, one epoch": ("ours_sgd", "fastxent"),
    "LogisticRegression, a fit": ("ours_logistic", "fastxent"),
    "scikit-learn partial_fit": ("scikit_learn", "sklearn"),
    "Vowpal Wabbit": ("vowpal_wabbit", "vowpalwabbit"),
}


# The race -------------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "fastxent-large")
    parser.add_argument("--only", choices=[name for name, _ in TRAINERS.values()], action="append")
    given = parser.parse_args()
    folder = given.folder / str(given.rows)
    log(f"writing {given.rows:,} rows to {folder}")
    write(folder, given.rows)
    print(
        f"{given.rows:,} rows, {ENTRIES} entries each, {CLASSES} classes, {COLUMNS:,} columns; {processor()}"
    )
    found = {}
    for name, (function, library) in TRAINERS.items():
        if given.only and function not in given.only:
            continue
        arguments = {"folder": str(folder), "rows": given.rows}
        records, fault = run(f"large:{function}", arguments, library=library, timeout=7200)
        if fault:
            print(f"{name}: {fault}")
            continue
        [found[function]] = records
        print(f"{name}: {_line(records[0])}", flush=True)
    print(f"other work kept {busy_processors()} processors busy at the end")
    _compare(found)


def _line(record):
    sizes = f"{record['resident']:,.0f} MB resident, {record['addresses']:,.0f} MB of addresses"
    known = ("rows per second", "resident", "addresses", "import")
    more = ", ".join(f"{name} {value:.4g}" for name, value in record.items() if name not in known)
    return f"{record['rows per second']:,.0f} rows per second; {sizes}; {more}"


def _compare(found):
    peers = [found[name] for name in ("scikit_learn", "vowpal_wabbit") if name in found]
    for name in ("ours_sgd", "ours_logistic"):
        if name not in found:
            continue
        for clock in ("rows per second", "rows per processor second") if peers else ():
            times = found[name][clock] / max(peer[clock] for peer in peers)
            print(f"{name}: {times:.1f} times the {clock} of the faster peer")
        rate, passes = found[name]["rows per second"], found[name].get("passes", 1.0)
        hours = 1e9 * passes / rate / 3600
        print(
            f"{name}: 10^9 rows would take 10^9 x {passes:g} / {rate:,.0f} s = {hours:.1f} hours on one thread"
        )


if __name__ == "__main__":
    main()
