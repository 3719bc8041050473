"""Race stochastic and minibatch descents: `python bench/descent.py`, some minutes.

Two questions, everybody in processes of their own and on one thread, but PyTorch's dense minibatches on all, too:

- How long is an epoch? Training for 1 and for 1 + E epochs is timed; the difference, divided by E, is an epoch. What a
  library does once at the start (dictionaries, labels, checks) is in the first alone.
- How long until the held-out log loss is GOAL times the lowest that scikit-learn reaches (PyTorch, where it does not
  run)? Before the race each rival gets a small search for its step size, for which it is not charged. The number of
  epochs to that loss, interpolated between whole ones, and the times just measured make the answer.
"""

import contextlib
import dataclasses
import math
import tempfile

import numpy as np

import processes
import store
from cases import RACES
from convergence import timed
from processes import extra_megabytes, log
from rivals import OURS, RIVALS, meet
from store import wanted

GOAL = 1.02
RISE = 1.05  # times the least loss, where a search of step sizes gives up
FURTHER_SECONDS = 0.4  # about what the E further epochs take together
MOST_EPOCHS = 8
FIRST_ROWS = 1_000  # of the first call in a fresh process
FIRST = "a fresh process"
TIMED_ONLY = ("character n-grams",)  # no way to a goal


def time_epochs(path, race, label, threads, step, with_memory):
    """Yield the seconds of a first epoch and of each further one, and the loss after one."""
    problem, rival = meet(path, race, label)
    fit = rival.build(problem, threads, **step)
    loss = problem.log_loss(fit(1)())  # imports, compiles
    one, _ = timed(fit, 1)
    further = int(np.clip(round(FURTHER_SECONDS / one), 1, MOST_EPOCHS))
    more, _ = timed(fit, 1 + further)
    extra = extra_megabytes(lambda: fit(1)) if with_memory else None
    yield {"first": one, "epoch": (more - one) / further, "loss": loss, "extra_megabytes": extra}


def run(function, path, race, rival, more=None, **arguments):
    """Return what a function yields about a rival in a process of its own."""
    arguments |= {"path": path, "race": race}
    return processes.records_of(rival, function, arguments, threads=rival.threads, more=more)


def epochs_to(goal, curve):
    """Return at how many epochs a curve meets the goal, on a straight line between two points; None if never."""
    before, height = 1, math.inf
    for point in curve:
        epochs, loss = point["effort"], point["objective"]
        if loss <= goal:
            return epochs - (epochs - before) * (goal - loss) / (height - loss)
        before, height = epochs, loss
    return None


def lowest(curves):
    """Return the least loss of some step sizes' curves, and its epochs."""
    return min((point["objective"], point["effort"]) for _, curve in curves for point in curve)


def search(path, race, rivals):
    """Return the goal, and by rival or family the step sizes and their curves."""
    curves, goal = {}, 0.0
    peers = [rival.family or rival.name for rival in rivals if not rival.ours]
    yardstick = "scikit-learn" if "scikit-learn" in peers else next(iter(peers), OURS)
    for rival in sorted(rivals, key=lambda rival: (rival.family or rival.name) != yardstick):
        name, how = rival.family or rival.name, {"target": goal, "rise": RISE}
        if name not in curves:
            log(f"    step sizes of {name}")
            tried = [(s, run("convergence:climb", path, race, rival, step=s, **how)[1:]) for s in rival.steps]
            curves[name] = [(step, curve) for step, curve in tried if curve]
        if name == yardstick:
            goal = GOAL * lowest(curves[name])[0]
    return goal, curves


def chosen_step(rival, curves, goal):
    """Return the step size that meets the goal first, or comes nearest to it, and what the table says of its way."""
    if not curves:
        return rival.steps[0], {}
    tried = curves[rival.family or rival.name]
    step, curve = min(tried, key=lambda one: (epochs_to(goal, one[1]) or math.inf, lowest([one])))
    automatic = epochs_to(goal, tried[0][1])
    return step, {"searched": epochs_to(goal, curve), "automatic": automatic, "best": lowest(tried)}


def records(race, rivals, rounds):
    """Yield the records of one race."""
    problems = {dtype: RACES[race].problem(dtype) for dtype in ("float32", "float64")}
    about = {"race": RACES[race].name, "rows": problems["float32"].n_rows}
    with contextlib.ExitStack() as files:
        paths = {dtype: files.enter_context(processes.file_of(problems.pop(dtype))) for dtype in [*problems]}
        goal, curves = (None, {}) if race in TIMED_ONLY else search(paths["float32"], race, rivals)
        chosen = {rival: chosen_step(rival, curves, goal) for rival in rivals}
        timed = {(rival, dtype): [] for rival in rivals for dtype in rival.dtypes}
        for i in range(rounds):
            log(f"    round {i + 1} of {rounds}")
            for j in np.roll(np.arange(len(timed)), -i):  # nobody always runs after the same neighbour
                rival, dtype = list(timed)[j]
                how = {"step": chosen[rival][0], "with_memory": i == 0}
                timed[rival, dtype] += run("descent:time_epochs", paths[dtype], race, rival, **how)
    for (rival, dtype), found in timed.items():
        if found:
            step, way = chosen[rival]
            who = {"rival": rival.name, "dtype": dtype, "threads": rival.threads, "goal": goal, "step": step}
            firsts, epochs = [one["first"] for one in found], [one["epoch"] for one in found]
            yield {**about, **who, **found[0], "first": firsts, "seconds": epochs, **way}


def first_calls(race, rivals):
    """Yield a record of each fresh process: import, and an epoch on a few rows; ours with loops compiled or not."""
    problem = RACES[race].problem("float32")
    few = dataclasses.replace(problem, X=problem.X[:FIRST_ROWS], y=problem.y[:FIRST_ROWS])
    with tempfile.TemporaryDirectory() as folder, processes.file_of(few) as path:
        for rival in rivals:
            for kind in ("cold", "warm") if rival.ours else ("",):
                how = {"more": {"NUMBA_CACHE_DIR": folder}, "step": rival.steps[0], "efforts": ()}
                for found in run("convergence:climb", path, race, rival, **how):
                    yield {"race": FIRST, "rival": f"{rival.name} {kind}".strip(), **found}


def main():
    options = store.parser(__doc__, "case", "rival", rounds=(3, "processes of each")).parse_args()
    if options.quick:
        options.rounds, options.case = 1, ["single rows"]
    everybody = [rival for race in RACES for rival in RIVALS[race]]
    versions, there = processes.found([rival for rival in everybody if wanted(rival.name, options.rival)])
    results = store.Results(options, "descent", versions)
    for race, case in RACES.items():
        if wanted(case.name, options.case):
            rivals = [rival for rival in RIVALS[race] if rival in there]
            results.add(case.name, records(race, rivals, options.rounds))
            if race == "words":
                results.add(f"{case.name}, {FIRST}", first_calls(race, rivals))


if __name__ == "__main__":
    main()
