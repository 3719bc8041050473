"""The five lines and the picture of README.md: `python bench/summary.py --insert`, some seconds.

Times come from the tables in docs/benchmarks.md, which other scripts wrote there. Memory and accuracy do not depend on
the load of the machine: `--measure` measures them here and keeps them in bench/summary.json. Every ratio is the best
peer's figure over ours.
"""

import json
import re
from pathlib import Path

import accuracy
import processes
from cases import CASES
from figures import draw_summary
from report import DOCS, section, section_command
from rivals import OURS, RIVALS
from run import TASKS, run
from store import processor
from tables import NOTHING, seconds_text

README, STORED = DOCS.parent / "README.md", Path(__file__).with_name("summary.json")
UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}
TIME = rf"([\d.,]+) ({'|'.join(UNITS)})\b"
TEXT = "glosses, words, 45 classes, l2 1e-05"
DENSE = "Fashion-MNIST 60,000 x 784, 10 classes, l2 1e-02"
ROW = "64 features, 10 classes, one row"
MEMORY = "60,000 x 784, 10 classes"


def measure():
    """Measure memory and accuracy, each library in a process of its own; write both to summary.json."""
    task, problem = TASKS[0], next(case.problem() for case in CASES if case.name == MEMORY)
    megabytes, errors = {}, {}
    with processes.file_of(task.with_reference(problem)) as path:
        for rival in (rival for rival in RIVALS[task.name] if not rival.setting):
            for record in run(task, rival, 2, "native", path, seconds=0.1, with_memory=True):
                megabytes[rival.name] = record["extra_megabytes"]
    for library, module in accuracy.LIBRARIES.items():
        for record in processes.run("accuracy:row_losses", {"library": library}, library=module)[0]:
            errors[library] = float(f"{accuracy.worst_error(record['losses']):.2g}")
    found = {"processor": processor(), "megabytes": megabytes, "errors": errors}
    STORED.write_text(json.dumps(found, indent=1) + "\n")


def table(name):
    """Return the rows of a section of docs/benchmarks.md as dicts, and the processor on which it was measured."""
    _, text, _ = section(DOCS / "benchmarks.md", name)
    lines = [re.split(r" *\| *", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    header, _, *rows = lines
    where = re.search(r"Measured on (.*?)(,| \(\d|;)", text)[1]
    return [dict(zip(header, row, strict=True)) for row in rows], where


def seconds(cell):
    """Return the time in a cell such as "0.19, scikit-learn sag 519 ms" or "3.98 µs, 8.01x"."""
    number, unit = re.search(TIME, cell).groups()
    return float(number.replace(",", "")) * UNITS[unit]


def races():
    """Return {problem: (our seconds, the fastest peer, its seconds)} of every problem that a peer solved, and where."""
    rows, where = table("race")
    found = {}
    for row in rows:
        ours, peer = row[f"{OURS} 1e-02"], row["fastest peer 1e-02"]
        if NOTHING not in (ours, peer):
            name = re.search(rf"\S+, (.*) {TIME}", peer)[1]
            found[row["problem"]] = seconds(ours), name, seconds(peer)
    return found, where


def best_peer(figures):
    """Return our figure, the best peer's name and figure, of those where less is better."""
    peer = min(figures.keys() - {OURS}, key=figures.get)
    return figures[OURS], peer, figures[peer]


def readme_table():
    """Return the five lines and the sentence below them."""
    (by_problem, race_processor), (rows, row_processor) = races(), table("latency")
    cells = next(row for row in rows if row.pop("") == ROW)
    by_row = {name: seconds(cell) for name, cell in cells.items() if name != "`predict_proba`"}
    of_row = best_peer({OURS: by_row.pop("predictor")} | by_row)
    stored, to = json.loads(STORED.read_text()), "to 1 % of the minimum"
    megabytes, errors = best_peer(stored["megabytes"]), best_peer(stored["errors"])
    lines = ["| | fastxent | best peer | peer / fastxent |", "| --- | ---: | ---: | ---: |"]
    for what, (ours, peer, theirs), text in (
        (f"**Training on text**: dictionary glosses, 45 classes, {to}", by_problem[TEXT], seconds_text),
        (f"**Training on dense data**: Fashion-MNIST, 10 classes, {to}", by_problem[DENSE], seconds_text),
        ("**One row**: probabilities of 10 classes from 64 features", of_row, seconds_text),
        (f"**Memory** of loss and gradient: {MEMORY}", megabytes, "{:.3g} MB".format),
        ("**Accuracy**: largest relative error of a row's loss", errors, "{:.1e}".format),
    ):
        ratio = theirs / ours
        times = f"{ratio:.1f}x" if ratio < 10 else f"{float(f'{ratio:.2g}'):,.0f}x"
        lines.append(f"| {what} | {text(ours)} | {text(theirs)}, {peer} | {times} |")
    where = (
        "In every line less is better, and a ratio above 1 means that fastxent is better. Training was measured on two "
        f"processors of {race_processor}, one row on {row_processor}, memory and accuracy on {stored['processor']}.\n"
    )
    return "\n".join([*lines, "", where])


def draw():
    """Draw docs/figures/summary.svg. Of problems that differ only in the strength of a penalty, the first is shown."""
    found, where = races()
    shown = {}
    for problem, (ours, peer, theirs) in found.items():
        name = re.sub(r"(l[12]) [\d.e-]+", lambda penalty: penalty[1].upper(), problem)
        shown.setdefault(name, (ours, peer.strip("†‡"), theirs))
    draw_summary(shown, where)


if __name__ == "__main__" and section_command(__doc__, README, "summary", measure, readme_table):
    draw()
