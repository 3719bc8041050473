"""Race stochastic and minibatch descents: `python bench/descent.py`, some minutes.

Two questions, everybody in processes of their own and on one thread, but PyTorch's dense minibatches on all, too:

- How long is an epoch? Training for 1 and for 1 + E epochs is timed; the difference, divided by E, is an epoch. What a
  library does once at the start (dictionaries, labels, checks) is in the first alone.
- How long until the held-out log loss is GOAL times the lowest that scikit-learn reaches (PyTorch, where it does not
  run)? Before the race each rival gets a small search for its step size, for which it is not charged. The number of
  epochs to that loss, interpolated between whole ones, and the times just measured make the answer.

`descent_tables.py` makes the tables of docs/sgd.md of the results.
"""

import itertools
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
            losses.append(rows.log_loss(train(n)()))
        except (ValueError, RuntimeError):  # diverged: fastxent and fastText say so
            break
        epochs.append(n)
        if losses[-1] > 1.05 * min(losses) or losses[-1] <= goal:
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


def first_call(race, name, step):
    """Yield the seconds of an epoch on a few rows, right after the import."""
    _, train = start(race, name, "float32", step, FIRST_ROWS)
    yield {"first": seconds_of(train, 1)}


# --------------------------------------------------------------------------------------- search


def epochs_to(goal, found):
    """Return at how many epochs a curve meets the goal, on a straight line between two points; None if never."""
    points = [(EPOCHS[0], math.inf), *zip(found["epochs"], found["losses"], strict=True)]
    for (before, height), (epochs, loss) in itertools.pairwise(points):
        if loss <= goal:
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
        how = {"patience": rival.patience, "goal": goal}
        found = [curve for step in rival.steps for curve in run("curve", race, rival, step=step, **how)]
        curves[rival.search_name] = found
        if rival.search_name == yardstick:
            goal = GOAL * min(loss for curve in found for loss in curve["losses"])
    return goal, curves


# ----------------------------------------------------------------------------------------- race


def run(function, race, rival, more=None, **arguments):
    """Return what a function yields about a rival in a process of its own."""
    arguments |= {"race": race.name, "name": rival.name}
    return processes.records_of(rival, f"descent:{function}", arguments, threads=rival.threads, more=more)


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
            how = {"dtype": dtype, "step": chosen[rival]["step"], "with_memory": i == 0}
            timed[runners[j]] += run("time_epochs", race, rival, **how)
    for (rival, dtype), found in timed.items():
        if found:
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
                **(way_to(goal, chosen[rival], curves[rival.search_name]) if goal else {}),
            }


def way_to(goal, chosen, tried):
    """Return epochs to the goal, with the step found and with the automatic one, and the best loss and its epochs."""
    points = [point for curve in tried for point in zip(curve["losses"], curve["epochs"], strict=True)]
    return {"searched": epochs_to(goal, chosen), "automatic": epochs_to(goal, tried[0]), "best": min(points)}


def first_calls(race, rivals):
    """Yield a record of each fresh process: import, and an epoch on a few rows; ours with loops compiled or not."""
    with tempfile.TemporaryDirectory() as folder:
        for rival in rivals:
            for kind in ("cold", "warm") if rival.ours else ("",):
                more = {"NUMBA_CACHE_DIR": folder}
                for found in run("first_call", race, rival, more, step=rival.steps[0]):
                    yield {"race": FIRST, "rival": f"{rival.name} {kind}".strip(), **found}


def main():
    parser = store.parser(__doc__, "case", "rival", rounds=(3, "processes of each"))
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
        except DataNotFound as fault:
            log(f"    left out: {fault}")
            continue
        for record in run_race(race, rivals, options.rounds):
            results.add({**record, "rows": n_rows})
        if race.first_calls:
            for record in first_calls(race, rivals):
                results.add(record)


if __name__ == "__main__":
    main()
