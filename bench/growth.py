"""How time grows with rows, classes and non-zeros: `python bench/growth.py`, about a minute.

`report.py` makes the figure and the table of exponents in docs/performance.md of the results.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import data
import figures
import processes
from cases import Problem, drawn_labels, point
from machine import log
from objectives import objective_of
from store import DRAFTS, Results
from tables import markdown, measured_on
from tasks import bursts

STEPS = 7  # over two decades
DTYPES = {"float64": "f64", "float32": "f32"}


@dataclass
class Sweep:
    """A quantity that grows from ``first`` by two decades; ``make(size, dtype)`` returns X and how many classes."""

    what: str
    first: int
    make: Callable
    of: Callable  # what to plot over, of a problem

    def sizes(self, steps):
        return np.unique(np.geomspace(self.first, 100 * self.first, steps).round().astype(int))


SWEEPS = {
    "rows": Sweep(
        "100 features, 10 classes",
        3_000,
        lambda n, dtype: (data.synthetic_dense(n, 100, dtype), 10),
        lambda problem: problem.X.shape[0],
    ),
    "classes": Sweep(
        "10,000 rows, 100 features",
        10,
        lambda K, dtype: (data.synthetic_dense(10_000, 100, dtype), K),
        lambda problem: problem.n_classes,
    ),
    "non-zeros": Sweep(
        "5,000 sparse rows, 10,000 features, 20 classes",
        10,
        lambda entries, dtype: (data.synthetic_text(5_000, 10_000, entries, dtype), 20),
        lambda problem: problem.X.nnz,
    ),
}


def measure(name, dtype, threads, steps):
    """Yield the record of one sweep: sizes, and seconds of a loss and gradient."""
    sweep, sizes, seconds = SWEEPS[name], [], []
    for size in sweep.sizes(steps):
        X, n_classes = sweep.make(int(size), np.dtype(dtype).type)
        theta = point(X, n_classes)
        problem = Problem(X, drawn_labels(X, theta), theta, n_classes)
        objective = objective_of(problem.X, problem.y, problem.n_classes, n_threads=threads)
        sizes.append(int(sweep.of(problem)))
        found = bursts(lambda o=objective, p=problem: o.value_and_grad(p.theta), 0.3)
        seconds.append(float(np.median(found)))
    yield {"sizes": sizes, "seconds": seconds}


def records(known):
    """Return {(sweep, dtype): record}, None if one is missing."""
    found = {(record["name"], record["dtype"]): record for record in known.get("growth", [])}
    return found if len(found) == len(SWEEPS) * len(DTYPES) else None


def draw(known):
    """Draw it; return whether these results have what is drawn."""
    if not (found := records(known)):
        return False
    figure, panels = figures.subplots(1, len(SWEEPS), figsize=(9.5, 3.2))
    for panel, name in zip(panels, SWEEPS, strict=True):
        for dtype in DTYPES:
            record = found[name, dtype]
            sizes, seconds = np.array(record["sizes"]), np.array(record["seconds"])
            panel.loglog(sizes, 1e3 * seconds, "o-", color=figures.COLOURS[dtype], markersize=4, label=dtype)
        panel.loglog(sizes, 1e3 * seconds[-1] * sizes / sizes[-1], "k:", linewidth=1, label="linear")
        panel.set(xlabel=name)
        panel.set_title(SWEEPS[name].what, fontsize=7.5)
    panels[0].set_ylabel(f"ms, {record['threads']} threads")
    panels[0].legend(frameon=False, fontsize=8)
    figures.save(figure, "growth")
    return True


def exponent(record):
    """Return b of the line log(seconds) = a + b log(size)."""
    return np.polyfit(np.log(record["sizes"]), np.log(record["seconds"]), 1)[0]


def table(known):
    """Return the section of docs/performance.md, None if these results do not have it."""
    if not (found := records(known)):
        return None
    rows = []
    for name, sweep in SWEEPS.items():
        sizes = found[name, "float64"]["sizes"]
        row = {"over": name, "of": sweep.what, "from to": f"{sizes[0]:,} to {sizes[-1]:,}"}
        row |= {
            f"exponent, {short}": f"{exponent(found[name, dtype]):.2f}" for dtype, short in DTYPES.items()
        }
        rows.append(row)
    where = (
        f"Loss and gradient on {found['rows', 'float64']['threads']} threads. {measured_on(known, 'growth')}"
    )
    return f"{markdown(rows)}\n{where}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two sizes of each")
    parser.add_argument(
        "--processor", metavar="NAME", help="for systems that do not know their processor's name"
    )
    parser.add_argument("--output", type=Path, default=DRAFTS, help=f"folder of the results ({DRAFTS})")
    options = parser.parse_args()
    versions, _ = processes.found([])
    results = Results(options.output, "growth", name=options.processor, versions=versions)
    for name in SWEEPS:
        for dtype in DTYPES:
            log(f"{name}, {dtype}")
            steps = 2 if options.quick else STEPS
            job = {"name": name, "dtype": dtype, "threads": os.cpu_count(), "steps": steps}
            found, fault = processes.run("growth:measure", job, threads=os.cpu_count())
            if fault:
                raise SystemExit(fault)
            results.add({"name": name, "dtype": dtype, "threads": os.cpu_count(), **found[0]})


if __name__ == "__main__":
    main()
