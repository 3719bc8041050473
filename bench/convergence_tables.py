"""Tables and pictures of a race to the optimum: `python bench/convergence_tables.py bench_output/convergence.json`.

Prints everything; with --insert the tables go into README.md and docs/solvers.md, between their markers, and
docs/figures/convergence.svg is drawn.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np

from convergence import LEVELS, gaps, seconds_to
from rivals import OURS
from table import BUSY, insert, machine_line, markdown, seconds_text
from training import TRAININGS

INTERCEPT_MARKS = {"free": "", "penalised": "†", "none": "‡"}
LEVEL_NAMES = [f"{level:.0e}" for level in LEVELS]
DRAWN = (  # the problems of the picture, by the beginnings of their labels
    "Fashion-MNIST 60,000 x 784, 10 classes, l2 1e-04",
    "made 200,000 x 20, 26 classes, l2 1e-05",
    "breast_cancer raw",
    "glosses, words, 45 classes, l2 1e-05",
    "glosses, words, two classes, l2 1e-05",
    "glosses, words, 45 classes, l1 3e-04",
)
HOW_TO_READ = (
    "Seconds of a fit from scratch until F - F* <= 1e-2, 1e-4, 1e-6 of F*, interpolated between runs of growing "
    "effort; medians. Ratios are fastxent's time over the peer's: below one, fastxent is faster. F is evaluated "
    "by one plain float64 function, each library runs on one or two threads, whichever is faster, and a dash says "
    "that the level was not reached in the time given. Two-class problems also have peers that penalise the "
    "intercept (†) or have none (‡): they are measured against the least value of what they minimise.\n"
)


class Outcome:
    """What one problem's record says of each trainer."""

    def __init__(self, record):
        self.record = record
        self.name = record["problem"]
        self.trainers = {name: r for name, r in record["trainers"].items() if r.get("points")}
        self.seconds = {name: self._seconds(r) for name, r in self.trainers.items()}

    def optimum(self, trainer):
        return self.record["least"][trainer["intercepts"]]

    def _seconds(self, trainer):
        return [seconds_to(level, trainer["points"], self.optimum(trainer)) for level in LEVELS]

    def mark(self, name):
        return name + INTERCEPT_MARKS[self.trainers[name]["intercepts"]]

    @property
    def ours(self):
        return [name for name in self.trainers if name.startswith(OURS)]

    @property
    def peers(self):
        return [name for name in self.trainers if not name.startswith(OURS)]

    def fastest(self, names, i):
        """Return who reached level i first, and the seconds; (None, NaN) if nobody did."""
        reached = [name for name in names if not math.isnan(self.seconds[name][i])]
        name = min(reached, key=lambda name: self.seconds[name][i], default=None)
        return name, self.seconds[name][i] if name else math.nan


def seconds_cell(seconds):
    return "–" if math.isnan(seconds) else seconds_text(seconds)


def against_peers(outcomes):
    """Return the table of ourselves and the fastest peer at each level."""
    header = [
        "problem",
        *(f"{OURS} {level}" for level in LEVEL_NAMES),
        *(f"fastest peer {n}" for n in LEVEL_NAMES),
    ]
    rows = []
    for outcome in outcomes:
        own = outcome.seconds[OURS]
        row = [outcome.name, *map(seconds_cell, own)]
        for i in range(len(LEVELS)):
            name, seconds = outcome.fastest(outcome.peers, i)
            ratio = own[i] / seconds
            row.append(f"{ratio:.2f}, {outcome.mark(name)} {seconds_text(seconds)}" if name else "–")
        rows.append(row)
    return markdown(header, rows)


def choices(outcomes):
    """Return the table of our solvers: seconds to the last level, and how far auto is from the best of them."""
    solvers = list(dict.fromkeys(name for outcome in outcomes for name in outcome.ours if name != OURS))
    header = [
        "problem",
        "auto takes",
        "auto",
        *(name.removeprefix(OURS).strip() for name in solvers),
        *(f"auto / best, {level}" for level in LEVEL_NAMES),
    ]
    rows = []
    for outcome in outcomes:
        row = [outcome.name, outcome.record["choice"]]
        row += [seconds_cell(outcome.seconds.get(name, [math.nan])[-1]) for name in (OURS, *solvers)]
        for i in range(len(LEVELS)):
            ratio = outcome.seconds[OURS][i] / outcome.fastest(outcome.ours, i)[1]
            row.append("–" if math.isnan(ratio) else f"{ratio:.2f}")
        rows.append(row)
    return markdown(header, rows)


def tolerances(outcomes):
    """Return the table of what tol gives."""
    header = ["problem"]
    header += [f"tol {name}: {what}" for name in LEVEL_NAMES for what in ("F over the least", "time")]
    rows = []
    for outcome in outcomes:
        row = [outcome.name]
        for fit in outcome.record.get("tol", []):
            excess = max(fit["objective"] / outcome.record["least"]["free"] - 1, 0.0)
            row += [f"{excess:.0e}", seconds_text(fit["seconds"])]
        rows.append(row + ["–"] * (len(header) - len(row)))
    return markdown(header, rows)


def everybody(outcome):
    """Return the table of one problem: all trainers, the fastest to the last level first."""
    header = ["trainer", "setting", *LEVEL_NAMES, "best F over the least", "longest run"]
    rows = []
    order = sorted(
        outcome.trainers,
        key=lambda name: [math.inf if math.isnan(s) else s for s in outcome.seconds[name]][::-1],
    )
    for name in order:
        trainer = outcome.trainers[name]
        seconds, gap = gaps(trainer["points"], outcome.optimum(trainer))
        row = [outcome.mark(name), trainer["setting"], *map(seconds_cell, outcome.seconds[name])]
        rows.append([*row, f"{max(gap.min(), 0.0):.0e}", seconds_text(seconds.max())])
    failed = [f"- {name}: {r['failed']}\n" for name, r in outcome.record["trainers"].items() if "failed" in r]
    return f"### {outcome.name}\n\n{markdown(header, rows)}\n" + "".join(failed)


def draw(outcomes):
    """Draw relative suboptimality over seconds of everybody's runs."""
    from matplotlib import pyplot as plt

    import figures

    chosen = [outcome for start in DRAWN for outcome in outcomes if outcome.name.startswith(start)]
    figure, panels = plt.subplots(2, math.ceil(len(chosen) / 2), figsize=(10.5, 7), squeeze=False)
    names = list(dict.fromkeys(name for outcome in chosen for name in outcome.peers))
    colours = dict(zip(names, plt.get_cmap("tab20")(np.linspace(0, 1, len(names))), strict=True))
    for panel, outcome in zip(panels.flat, chosen, strict=False):
        for name in (*outcome.peers, OURS):
            trainer = outcome.trainers[name]
            seconds, gap = gaps(trainer["points"], outcome.optimum(trainer))
            style = {"color": colours.get(name, "black"), "linewidth": 2.5 if name == OURS else 1}
            shown = np.maximum.accumulate(seconds), np.maximum(np.minimum.accumulate(gap), 1e-8)
            panel.loglog(*shown, ".-", markersize=3, label=outcome.mark(name), **style)
        for level in LEVELS:
            panel.axhline(level, color="0.8", linewidth=0.7, zorder=0)
        panel.set_ylim(1e-8, 3)
        panel.set_title(outcome.name, fontsize=8)
    for panel in panels[-1]:
        panel.set_xlabel("seconds")
    for panel in panels[:, 0]:
        panel.set_ylabel("F / F* - 1")
    handles = {
        label: handle
        for p in panels.flat
        for handle, label in zip(*p.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=6, fontsize=7, frameon=False
    )
    figures.save(figure, "convergence")


def provenance(results):
    where = f"Measured on {machine_line(results)}"
    if results["load"] > BUSY:
        where += f" **A draft: the machine was busy (load {results['load']:.1f}).**"
    return where + "\n"


def joined(runs):
    """Return runs as one, in the order of TRAININGS, as busy as the busiest of them; of a problem's runs the last."""
    found = {record["problem"]: record for run in runs for record in run["problems"]}
    problems = [found[training.label] for training in TRAININGS if training.label in found]
    return {**runs[0], "problems": problems, "load": max(run["load"] for run in runs)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "results", type=Path, nargs="+", help="of one run, or of several over parts of the problems"
    )
    parser.add_argument("--insert", action="store_true", help="into README.md and docs/solvers.md")
    parser.add_argument(
        "--draft", action="store_true", help="insert figures of a busy machine, too, marked as such"
    )
    options = parser.parse_args()
    results = joined([json.loads(path.read_text()) for path in options.results])
    outcomes = [Outcome(record) for record in results["problems"] if OURS in record["trainers"]]
    where = provenance(results)
    tables = {
        "race": f"{HOW_TO_READ}\n{against_peers(outcomes)}\n{where}",
        "choices": f"{choices(outcomes)}\n{where}",
        "tolerances": f"{tolerances(outcomes)}\n{where}",
    }
    if not options.insert:
        print("\n".join([*tables.values(), *map(everybody, outcomes)]))
        return
    if results["load"] > BUSY and not options.draft:
        raise SystemExit("the machine was busy: run bench/convergence.py on a quiet one (or say --draft)")
    draw(outcomes)
    import figures

    insert(tables["race"], figures.DOCS.parent / "README.md", "race")
    for name in ("choices", "tolerances"):
        insert(tables[name], figures.DOCS / "solvers.md", name)


if __name__ == "__main__":
    main()
