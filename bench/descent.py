"""Race stochastic and minibatch descents: `python bench/descent.py`, some minutes.

Two questions, everybody in processes of their own and on one thread, but PyTorch's dense minibatches on all, too:

- How long is an epoch? Training for 1 and for 1 + E epochs is timed; the difference, divided by E, is an epoch. What a
  library does once at the start (dictionaries, labels, checks) is in the first alone.
- How long until the held-out log loss is GOAL times the lowest that scikit-learn reaches (PyTorch, where it does not
  run)? Before the race each rival gets a small search for its step size, for which it is not charged. The number of
  epochs to that loss, interpolated between whole ones, and the times just measured make the answer.

`report.py` makes the tables of docs/sgd.md of the results.
"""

import math
import tempfile
import time

import numpy as np

import processes
import store
from data import DataNotFound
from descent_rivals import RACES
from machine import log
from memory import extra_megabytes
from rivals import OURS, wanted
from tables import PRECISION, markdown, measured_on, seconds_text, significant, times_text

EPOCHS = (1, 2, 3, 5, 8, 12)
GOAL = 1.02
FURTHER_SECONDS = 0.4  # about what the E further epochs take together
MOST_EPOCHS = 8
FIRST_ROWS = 1_000  # of the first call in a fresh process
FIRST = "a fresh process"


# ------------------------------------------------------------------------------ in a process of their own


def start(race, name, dtype, step, first_rows=None):
    """Return the rows and a rival's ``train``."""
    rival = next(rival for rival in RACES[race].rivals if rival.name == name)
    rows = RACES[race].rows(np.dtype(dtype).type)
    rows = rows.first(first_rows) if first_rows else rows
    return rows, rival.build(rows, rival.threads, **step)


def curve(race, name, step, patience, goal):
    """Yield epochs and held-out losses of ever longer trainings, until the goal is reached or the loss grows."""
    rows, train = start(race, name, "float32", step)
    epochs, losses = [], []
    for n in (n for n in EPOCHS if n <= patience):
        try:
            loss = rows.log_loss(train(n)())
        except (ValueError, RuntimeError):  # diverged: fastxent and fastText say so
            break
        epochs.append(n)
        losses.append(loss)
        if loss > 1.05 * min(losses) or loss <= goal:
            break
    yield {"step": step, "epochs": epochs, "losses": losses}


def time_epochs(race, name, dtype, step, with_memory):
    """Yield the seconds of a first epoch and of each further one, and the loss after one."""
    rows, train = start(race, name, dtype, step)
    loss = rows.log_loss(train(1)())  # imports, compiles
    one = seconds_of(train, 1)
    further = int(np.clip(round(FURTHER_SECONDS / one), 1, MOST_EPOCHS))
    more = seconds_of(train, 1 + further)
    extra = extra_megabytes(lambda: train(1)) if with_memory else None
    yield {"first": one, "epoch": (more - one) / further, "loss": loss, "extra_megabytes": extra}


def seconds_of(train, epochs):
    begin = time.perf_counter()
    train(epochs)
    return time.perf_counter() - begin


def first_call(race, name):
    """Yield the seconds of an epoch on a few rows, right after the import."""
    rival = next(rival for rival in RACES[race].rivals if rival.name == name)
    _, train = start(race, name, "float32", rival.steps[0], FIRST_ROWS)
    yield {"first": seconds_of(train, 1)}


# --------------------------------------------------------------------------------------- search


def epochs_to(goal, found):
    """Return at how many epochs a curve meets the goal, on a straight line between two points; None if never."""
    points = list(zip(found["epochs"], found["losses"], strict=True))
    for i, (epochs, loss) in enumerate(points):
        if loss <= goal:
            before, height = points[i - 1] if i else (epochs, math.inf)
            return epochs - (epochs - before) * (goal - loss) / (height - loss)
    return None


def best_of(curves, goal):
    """Return the curve that meets the goal first, or comes nearest to it."""
    tried = [c for c in curves if c["losses"]]
    return min(tried, key=lambda c: (epochs_to(goal, c) or math.inf, min(c["losses"])))


def search(race, rivals):
    """Return the goal, and by `search_name` the curves of every step size."""
    curves, goal = {}, 0.0
    names = [rival.search_name for rival in rivals if not rival.ours]
    yardstick = "scikit-learn" if "scikit-learn" in names else next(iter(names), OURS)
    for rival in sorted(rivals, key=lambda rival: rival.search_name != yardstick):
        if rival.search_name in curves:
            continue
        log(f"    step sizes of {rival.search_name}")
        curves[rival.search_name] = [
            found
            for step in rival.steps
            for found in run("curve", race, rival, step=step, patience=rival.patience, goal=goal)
        ]
        if rival.search_name == yardstick:
            goal = GOAL * min(min(c["losses"]) for c in curves[yardstick] if c["losses"])
    return goal, curves


# ----------------------------------------------------------------------------------------- race


def run(function, race, rival, more=None, **arguments):
    """Return what a function yields about a rival in a process of its own."""
    found, fault = processes.run(
        f"descent:{function}",
        {"race": race.name, "name": rival.name, **arguments},
        library=rival.module,
        threads=rival.threads,
        more=more,
    )
    if fault:
        log(f"    {rival.name}: {fault}")
    return found


def run_race(race, rivals, rounds):
    """Yield the records of one race."""
    goal, curves = search(race, rivals) if race.goal else (None, {})
    chosen = {r: best_of(curves[r.search_name], goal) if curves else {"step": r.steps[0]} for r in rivals}
    runners = [(rival, np.dtype(dtype).name) for rival in rivals for dtype in rival.dtypes]
    timed = {runner: [] for runner in runners}
    for i in range(rounds):
        log(f"    round {i + 1} of {rounds}")
        for j in np.roll(np.arange(len(runners)), -i):  # nobody always runs after the same neighbour
            rival, dtype = runners[j]
            step = chosen[rival]["step"]
            timed[runners[j]] += run("time_epochs", race, rival, dtype=dtype, step=step, with_memory=i == 0)
    for (rival, dtype), found in timed.items():
        if not found:
            continue
        tried = curves.get(rival.search_name, [])
        yield {
            "race": race.name,
            "rival": rival.name,
            "dtype": dtype,
            "threads": rival.threads,
            "goal": goal,
            "step": chosen[rival]["step"],
            "first": [record["first"] for record in found],
            "seconds": [record["epoch"] for record in found],
            "loss": found[0]["loss"],
            "extra_megabytes": found[0]["extra_megabytes"],
            "searched": epochs_to(goal, chosen[rival]) if goal else None,
            "automatic": epochs_to(goal, tried[0]) if goal else None,
            "best": min(p for c in tried for p in zip(c["losses"], c["epochs"], strict=True))
            if goal
            else None,
        }


def first_calls(race, rivals):
    """Yield a record of each fresh process: import, and an epoch on a few rows; ours with loops compiled or not."""
    with tempfile.TemporaryDirectory() as folder:
        for rival in rivals:
            for kind in ("cold", "warm") if rival.ours else ("",):
                for found in run("first_call", race, rival, more={"NUMBA_CACHE_DIR": folder}):
                    yield {"race": FIRST, "rival": f"{rival.name} {kind}".strip(), **found}


# ---------------------------------------------------------------------------------------- report


def way_to_goal(record):
    """Return time and epochs to the goal, or what was reached instead."""

    def text(epochs):
        seconds = np.median(record["first"]) + (epochs - 1) * np.median(record["seconds"])
        return f"{seconds_text(float(seconds))}, {epochs:.1f}"

    if record["searched"] is None:
        loss, epochs = record["best"]
        return f"never: {loss:.3f} at best, after {epochs}"
    way = f"{text(record['searched'])} epochs"
    if record["rival"] == OURS:
        way += f" (automatic step: {text(record['automatic']) if record['automatic'] else 'never'})"
    return way


def race_table(records):
    median = {(r["rival"], r["dtype"]): float(np.median(r["seconds"])) for r in records}
    rows = []
    for record in sorted(records, key=lambda r: (r["rival"] != OURS, np.median(r["seconds"]))):
        own = median[record["rival"], record["dtype"]]
        row = {"": f"{record['rival']}, {PRECISION[record['dtype']]}"}
        row["rows/s"] = f"{significant(record['rows'] / own / 1e3)}k"
        row["an epoch"] = seconds_text(own)
        for dtype, short in PRECISION.items():
            unit = median.get((OURS, dtype)) if record["rival"] != OURS else None
            row[f"against ours, {short}"] = times_text(own / unit) if unit else "–"
        row["log loss after one"] = f"{record['loss']:.3f}"
        row["extra MB"] = significant(record["extra_megabytes"], 2)
        if record["goal"]:
            row[f"to log loss {record['goal']:.3f}"] = way_to_goal(record)
        rows.append(row)
    return markdown(rows)


def tables(known):
    """Return the section of docs/sgd.md, None if these results do not have it."""
    records = known.get("descent", [])
    parts = []
    for name in RACES:
        if chosen := [record for record in records if record["race"] == name]:
            parts += [f"**{name}**\n", race_table(chosen)]
    rows = [
        {"": r["rival"], "import": seconds_text(r["import"]), "first epoch": seconds_text(r["first"])}
        for r in records
        if r["race"] == FIRST
    ]
    if rows:
        title = (
            f"**A fresh process**: import, and one epoch on the first {FIRST_ROWS:,} rows of the glosses\n"
        )
        parts += [title, markdown(rows)]
    return "\n".join([*parts, measured_on(known, "descent")]) if parts else None


def main():
    parser = store.parser(__doc__)
    parser.add_argument("--case", action="append", metavar="TEXT", help="only races whose name has TEXT")
    parser.add_argument("--rival", action="append", metavar="TEXT", help="only rivals whose name has TEXT")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.case = 1, ["single rows"]
    everybody = [rival for race in RACES.values() for rival in race.rivals]
    versions, there = processes.found([rival for rival in everybody if wanted(rival.name, options.rival)])
    results = store.Results(options, "descent", versions)
    for race in (race for race in RACES.values() if wanted(race.name, options.case)):
        rivals = [rival for rival in race.rivals if rival in there]
        log(race.name)
        try:
            n_rows = len(race.rows(np.float32).y)
            for record in run_race(race, rivals, options.rounds):
                results.add({**record, "rows": n_rows})
        except DataNotFound as fault:
            log(f"    left out: {fault}")
            continue
        if race is next(iter(RACES.values())):
            for record in first_calls(race, rivals):
                results.add(record)


if __name__ == "__main__":
    main()
