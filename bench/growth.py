"""Draw how time grows with rows, classes and non-zeros: `python bench/growth.py`.

Writes docs/figures/growth.svg and the exponents in docs/performance.md. Takes about a minute.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt

import data
import figures
from cases import Problem, drawn_labels, point
from measure import burst, busy_processors
from objectives import objective_of
from run import log, processor
from table import BUSY, insert, markdown

BURSTS = 7
STEPS = 7  # over two decades


@dataclass
class Sweep:
    """A quantity that grows; ``make(size, dtype)`` returns X and the number of classes, ``of`` what to plot over."""

    name: str
    what: str
    sizes: np.ndarray
    make: Callable
    of: Callable


def decades(first):
    return np.unique(np.geomspace(first, 100 * first, STEPS).round().astype(int))


def sparse_rows(nnz_per_row, dtype):
    return data.made_sparse(5_000, 10_000, nnz_per_row, dtype), 20


SWEEPS = [
    Sweep(
        "rows",
        "100 features, 10 classes",
        decades(3_000),
        lambda n, dtype: (data.made_dense(n, 100, dtype), 10),
        lambda problem: problem.X.shape[0],
    ),
    Sweep(
        "classes",
        "10,000 rows, 100 features",
        decades(10),
        lambda K, dtype: (data.made_dense(10_000, 100, dtype), K),
        lambda problem: problem.n_classes,
    ),
    Sweep(
        "non-zeros",
        "5,000 sparse rows, 10,000 features, 20 classes",
        decades(10),
        sparse_rows,
        lambda problem: problem.X.nnz,
    ),
]


def seconds_of(problem, n_threads):
    """Return the median time of a loss and gradient."""
    objective = objective_of(problem.X, problem.y, problem.n_classes, n_threads=n_threads)

    def call():
        return objective.value_and_grad(problem.theta)

    call()
    first = burst(call, 1.0)
    return float(np.median([burst(call, first) for _ in range(BURSTS)]))


def run(sweep, dtype, n_threads):
    """Return sizes and seconds."""
    sizes, seconds = [], []
    for size in sweep.sizes:
        X, n_classes = sweep.make(int(size), dtype)
        theta = point(X, n_classes)
        problem = Problem(X, drawn_labels(X, theta), theta, n_classes)
        sizes.append(sweep.of(problem))
        seconds.append(seconds_of(problem, n_threads))
    return np.array(sizes), np.array(seconds)


def exponent(sizes, seconds):
    """Return b of the line log(seconds) = a + b log(size)."""
    return np.polyfit(np.log(sizes), np.log(seconds), 1)[0]


def main():
    n_threads, load = os.cpu_count(), busy_processors()
    figure, panels = plt.subplots(1, len(SWEEPS), figsize=(9.5, 3.2))
    lines = []
    for panel, sweep in zip(panels, SWEEPS, strict=True):
        line = [sweep.name, sweep.what]
        for dtype in (np.float64, np.float32):
            name = np.dtype(dtype).name
            log(f"{sweep.name}, {name}")
            sizes, seconds = run(sweep, dtype, n_threads)
            panel.loglog(sizes, 1e3 * seconds, "o-", color=figures.COLOURS[name], markersize=4, label=name)
            line += [f"{sizes[0]:,} to {sizes[-1]:,}", f"{exponent(sizes, seconds):.2f}"]
        through = 1e3 * seconds[-1] * sizes / sizes[-1]
        panel.loglog(sizes, through, "k:", linewidth=1, label="linear")
        panel.set(xlabel=sweep.name)
        panel.set_title(sweep.what, fontsize=7.5)
        lines.append([*line[:3], line[3], line[5]])
    panels[0].set_ylabel(f"ms, {n_threads} threads")
    panels[0].legend(frameon=False, fontsize=8)
    figures.save(figure, "growth")
    header = ["over", "of", "from to", "exponent, f64", "exponent, f32"]
    where = f"Loss and gradient on {n_threads} threads of {processor()}"
    if load > BUSY:
        where += f"; **a draft: the machine was busy (load {load:.1f})**"
    insert(f"{markdown(header, lines)}\n{where}.\n", figures.PAGE, "growth")


if __name__ == "__main__":
    main()
