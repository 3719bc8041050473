"""The five lines and the picture of README.md: `python bench/summary.py --insert`, some seconds.

Times come from the tables in docs/benchmarks.md, which other scripts wrote there. Memory and accuracy do not depend on
the load of the machine: `--measure` measures them here and keeps them in bench/summary.json. Every ratio is the best
peer's figure over ours.
"""

import argparse
import ctypes
import gc
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

BENCH = Path(__file__).resolve().parent
TABLES, README, STORED = (
    BENCH.parent / "docs/benchmarks.md",
    BENCH.parent / "README.md",
    BENCH / "summary.json",
)
UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}

TEXT = "glosses, words, 45 classes, l2 1e-05"
DENSE = "Fashion-MNIST 60,000 x 784, 10 classes, l2 1e-02"
ROW = "64 features, 10 classes, one row"
LEVEL = "1e-02"  # of the distance from the minimum


# What other scripts have measured ---------------------------------------------------------------------


def table(name):
    """Return the rows of a section of docs/benchmarks.md as dicts, and the processor on which it was measured."""
    page = TABLES.read_text(encoding="utf-8")
    section = page.split(f"<!-- {name}:begin -->")[1].split(f"<!-- {name}:end -->")[0]
    lines = [line.strip()[1:-1].split("|") for line in section.splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line] for line in lines]
    processor = re.search(r"Measured on (.*?)(,| \(|;)", section).group(1)
    return [dict(zip(header, row, strict=True)) for row in rows], processor


def seconds(cell):
    """Return the time in a cell such as "0.19, scikit-learn sag 519 ms" or "3.98 µs, 8.01x"."""
    number, unit = re.search(r"([\d.,]+) (s|ms|µs)\b", cell).groups()
    return float(number.replace(",", "")) * UNITS[unit]


def races():
    """Return (problem, our seconds, the fastest peer, its seconds) of every problem that a peer solved, and where."""
    rows, processor = table("race")
    found = []
    for row in rows:
        ours, peer = row[f"fastxent {LEVEL}"], row[f"fastest peer {LEVEL}"]
        if "–" not in (ours, peer):
            name = re.search(r"[\d.]+, (.*) [\d.,]+ (s|ms|µs)", peer).group(1)
            found.append((row["problem"], seconds(ours), name, seconds(peer)))
    return found, processor


def single_row():
    rows, processor = table("latency")
    row = next(row for row in rows if row[""] == ROW)
    peers = {
        name: seconds(cell) for name, cell in row.items() if name not in ("", "predictor", "`predict_proba`")
    }
    peer = min(peers, key=peers.get)
    return seconds(row["predictor"]), peer, peers[peer], processor


# What is measured here --------------------------------------------------------------------------------


def dense_problem():
    """Return a problem of the shape of Fashion-MNIST."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60_000, 784)), rng.integers(0, 10, 60_000)
    return X, y, rng.standard_normal((10, 784)) / 30, np.zeros(10)


def with_fastxent(X, y, W, b):
    from fastxent import linear_cross_entropy_and_grad

    return lambda: linear_cross_entropy_and_grad(X, y, W, b)


def with_numpy(X, y, W, b):
    rows = np.arange(len(X))

    def call():
        P = X @ W.T
        P += b
        P -= P.max(axis=1, keepdims=True)
        of_true_class = P[rows, y]
        np.exp(P, out=P)
        sums = P.sum(axis=1)
        P /= sums[:, None]
        P[rows, y] -= 1
        return np.mean(np.log(sums) - of_true_class), P.T @ X / len(X), P.mean(axis=0)

    return call


def with_torch(chunked):
    def build(X, y, W, b):
        import torch
        from torch.nn import functional

        X, y = torch.from_numpy(X), torch.from_numpy(y)
        W, b = (torch.from_numpy(array).requires_grad_() for array in (W, b))

        def loss():
            if not chunked:
                return functional.cross_entropy(functional.linear(X, W, b), y)
            options = torch.nn.LinearCrossEntropyOptions()
            return functional.linear_cross_entropy(X, W, y, linear_bias=b, options=options)

        return lambda: torch.autograd.grad(loss(), (W, b))

    return build


def with_scikit_learn(X, y, W, b):
    from sklearn._loss.loss import HalfMultinomialLoss
    from sklearn.linear_model._linear_loss import LinearModelLoss

    loss = LinearModelLoss(base_loss=HalfMultinomialLoss(n_classes=len(W)), fit_intercept=True)
    coef, y = np.asfortranarray(np.column_stack([W, b])), y.astype(float)
    return lambda: loss.loss_gradient(coef, X, y, n_threads=2)


BY_MEMORY = {
    "fastxent": with_fastxent,
    "NumPy": with_numpy,
    "scikit-learn": with_scikit_learn,
    "PyTorch": with_torch(chunked=False),
    "PyTorch linear_cross_entropy": with_torch(chunked=True),
}


def megabytes(name):
    """Return by how much this process grows at most in a call, after a first one. Linux with glibc."""

    def status(field):
        text = Path("/proc/self/status").read_text()
        return int(re.search(rf"{field}:\s*(\d+)", text).group(1)) / 1024

    call = BY_MEMORY[name](*dense_problem())
    call()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    before = status("VmRSS")
    call()
    return status("VmHWM") - before


def confident_rows():
    """Return logits whose largest entry is the label's: what a trained model says of most rows."""
    Z = 5 * np.random.default_rng(0).standard_normal((1_000, 10))
    return Z, Z.argmax(axis=1)


def losses_by(name, Z, y):
    rows = np.arange(len(y))
    if name == "fastxent":
        from fastxent import cross_entropy

        return cross_entropy(Z, y, reduction="none")
    if name == "SciPy":
        from scipy.special import log_softmax

        return -log_softmax(Z, axis=1)[rows, y]
    if name == "scikit-learn":
        from sklearn._loss.loss import HalfMultinomialLoss

        return HalfMultinomialLoss(n_classes=Z.shape[1]).loss(y.astype(float), np.ascontiguousarray(Z))
    import torch

    return torch.nn.functional.cross_entropy(
        torch.from_numpy(Z), torch.from_numpy(y), reduction="none"
    ).numpy()


def worst_error(name):
    """Return the largest relative error of a row's loss, by 50-digit arithmetic."""
    import mpmath

    Z, y = confident_rows()
    errors = []
    with mpmath.workdps(50):
        for z, k, loss in zip(Z.tolist(), y, losses_by(name, Z, y), strict=True):
            others = (mpmath.exp(mpmath.mpf(v) - mpmath.mpf(z[k])) for j, v in enumerate(z) if j != k)
            exact = mpmath.log1p(mpmath.fsum(others))
            errors.append(float(abs(mpmath.mpf(float(loss)) - exact) / exact))
    return max(errors)


MODULES = {
    "NumPy": "numpy",
    "SciPy": "scipy",
    "scikit-learn": "sklearn",
    "PyTorch": "torch",
    "fastxent": "fastxent",
}


def measure():
    """Measure memory, each library in a process of its own, and accuracy; write both to summary.json."""
    installed = [name for name, module in MODULES.items() if importlib.util.find_spec(module)]
    found = {"processor": processor(), "megabytes": {}, "errors": {}}
    for name in BY_MEMORY:
        if any(name.startswith(library) for library in installed):
            command = [sys.executable, __file__, "--memory-of", name]
            out = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout
            found["megabytes"][name] = float(f"{float(out):.3g}")
    for name in installed:
        if name != "NumPy":
            found["errors"][name] = float(f"{worst_error(name):.2g}")
    STORED.write_text(json.dumps(found, indent=1) + "\n")


def processor():
    text = Path("/proc/cpuinfo").read_text()
    return re.search(r"model name\s*: (.*)", text).group(1).strip()


# What README.md shows ---------------------------------------------------------------------------------


def best_peer(figures):
    """Return our figure, the best peer's name and figure, of those where less is better."""
    peers = {name: value for name, value in figures.items() if name != "fastxent"}
    peer = min(peers, key=peers.get)
    return figures["fastxent"], peer, peers[peer]


def time_text(value):
    unit = next((unit for unit, size in UNITS.items() if value >= size), "µs")
    return f"{float(f'{value / UNITS[unit]:.3g}'):g} {unit}"


def readme_table():
    of_races, race_processor = races()
    by_problem = {problem: found for problem, *found in of_races}
    ours, peer, theirs, row_processor = single_row()
    stored = json.loads(STORED.read_text())
    memory, errors = best_peer(stored["megabytes"]), best_peer(stored["errors"])

    def line(what, ours, peer, theirs, text):
        return f"| {what} | {text(ours)} | {text(theirs)}, {peer} | {times(theirs / ours)} |"

    lines = [
        "| | fastxent | best peer | peer / fastxent |",
        "| --- | ---: | ---: | ---: |",
        line(
            "**Training on text**: dictionary glosses, 45 classes, to 1 % of the minimum",
            *by_problem[TEXT],
            time_text,
        ),
        line(
            "**Training on dense data**: Fashion-MNIST, 10 classes, to 1 % of the minimum",
            *by_problem[DENSE],
            time_text,
        ),
        line("**One row**: probabilities of 10 classes from 64 features", ours, peer, theirs, time_text),
        line(
            "**Memory** of loss and gradient: 60,000 x 784, 10 classes",
            *memory,
            lambda value: f"{value:.3g} MB",
        ),
        line("**Accuracy**: largest relative error of a row's loss", *errors, lambda value: f"{value:.1e}"),
    ]
    where = (
        "In every line less is better, and a ratio above 1 means that fastxent is better. Training was measured on two "
        f"processors of {race_processor}, one row on {row_processor}, memory and accuracy on {stored['processor']}.\n"
    )
    return "\n".join([*lines, "", where])


def times(ratio):
    return f"{ratio:.1f}x" if ratio < 10 else f"{float(f'{ratio:.2g}'):,.0f}x"


def draw():
    """Draw docs/figures/summary.svg: seconds of training to within 1 % of the minimum, ours and the best peer's.

    Of problems that differ only in the strength of a penalty, the first is shown.
    """
    import figures

    found, processor = races()
    shown = {}
    for problem, *times_and_peer in found:
        shown.setdefault(re.sub(r"(l[12]) [\d.e-]+", lambda m: m[1].upper(), problem), times_and_peer)
    labels = [f"{name}: {peer.strip('†‡')}" for name, (_, peer, _) in shown.items()]
    ours, theirs = (np.array([row[i] for row in shown.values()]) for i in (0, 2))
    at = np.arange(len(labels))
    fig, ax = figures.subplots(figsize=(7.6, 0.27 * len(at) + 1.1))
    fig.set_facecolor("white")
    ax.hlines(at, ours, theirs, color="#b0b7c0", linewidth=3)
    ax.plot(ours, at, "o", color="#0072b2", label="fastxent")
    ax.plot(theirs, at, "D", color="#d55e00", label="fastest peer, named on the left")
    ax.set(
        yticks=at,
        yticklabels=labels,
        xscale="log",
        xlabel="seconds of training, to within 1 % of the minimum",
    )
    ax.invert_yaxis()
    ax.grid(axis="x", color="#e3e6ea", zorder=0)
    ax.set_axisbelow(True)
    fig.legend(loc="outside upper right", ncols=2, frameon=False, title=processor)
    figures.save(fig, "summary")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="memory and accuracy, into bench/summary.json")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--insert", action="store_true", help="the table into README.md; draws its picture")
    options = parser.parse_args()
    if options.memory_of:
        print(megabytes(options.memory_of))
        return
    if options.measure:
        measure()
    text = readme_table()
    print(text)
    if options.insert:
        begin, end = "<!-- summary:begin -->", "<!-- summary:end -->"
        before, rest = README.read_text(encoding="utf-8").split(begin)
        README.write_text(f"{before}{begin}\n{text}{end}{rest.split(end)[1]}", encoding="utf-8")
        draw()


if __name__ == "__main__":
    main()
