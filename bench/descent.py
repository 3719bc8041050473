"""Race stochastic and minibatch descents: `python bench/descent.py --insert`, some minutes.

Two questions, everybody on one thread, but PyTorch's dense minibatches on what suits them best:

- How long is an epoch? Training for 1 and for 1 + E epochs is timed, in rounds, one rival after the other; the
  difference, divided by E, is an epoch. What a library does once at the start (dictionaries, labels, checks) is in
  the first alone.
- How long until the held-out log loss is GOAL times the lowest that scikit-learn reaches (PyTorch, where it does not
  run)? Before the race each rival
  gets a small search for its step size, for which it is not charged. The number of epochs to that loss, interpolated
  between whole ones, and the times just measured make the answer. Losses do not depend on how busy the machine is:
  --search takes the peers' (not ours) from the results of an earlier run.

Results go to descent.json in --output, the tables to docs/sgd.md with --insert.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from cases import F32, F64
from data import DataNotFound
from descent_rivals import RACES
from measure import busy_processors, pause, quartiles
from memory import can_measure, peak_megabytes
from rivals import OURS
from run import installed_versions, log, processor, wanted
from table import BUSY, PRECISION, insert, machine_line, markdown, seconds_text, significant, times_text

PAGE = Path(__file__).resolve().parents[1] / "docs" / "sgd.md"
PACKAGES = ("fastxent", "numba", "numpy", "scipy", "scikit-learn", "vowpalwabbit", "fasttext-wheel", "torch")
EPOCHS = (1, 2, 3, 5, 8, 12)
GOAL = 1.02
FURTHER_SECONDS = 0.4  # about what the E further epochs take together
MOST_EPOCHS = 8
ROUNDS = 3
FIRST_ROWS = 1_000  # of the first call in a fresh process


# --------------------------------------------------------------------------------------- search


def curve(rival, rows, step, goal):
    """Train for ever more epochs; return them and the losses, until the goal is reached or the loss grows."""
    train = rival.build(rows, rival.openmp or 1, **step)
    epochs, losses = [], []
    for n in (n for n in EPOCHS if n <= rival.patience):
        try:
            loss = rows.log_loss(train(n)())
        except (ValueError, RuntimeError):  # diverged: fastxent and fastText say so
            break
        epochs.append(n)
        losses.append(loss)
        if loss > 1.05 * min(losses) or loss <= goal:
            break
    return {"step": step, "epochs": epochs, "losses": losses}


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
    return min(
        (c for c in curves if c["losses"]),
        key=lambda c: (epochs_to(goal, c) or math.inf, min(c["losses"])),
    )


def search(race, rivals, rows, known):
    """Return the goal, and by `search_name` the curves of every step size; those that are known are kept."""
    curves, goal = {}, 0.0
    names = [rival.search_name for rival in rivals if rival.name != OURS]
    yardstick = "scikit-learn" if "scikit-learn" in names else next(iter(names), OURS)
    for rival in sorted(rivals, key=lambda rival: rival.search_name != yardstick):
        name = rival.search_name
        if rival.dtype is F64 or name in curves:
            continue
        if name in known and name != OURS:
            curves[name] = known[name]
        else:
            log(f"    step sizes of {name}")
            with rival.threads(1):
                curves[name] = [curve(rival, rows, step, goal) for step in rival.steps]
        if name == yardstick:
            goal = GOAL * min(min(c["losses"]) for c in curves[name])
    return goal, curves


# ----------------------------------------------------------------------------------------- race


def timed(rival, train, epochs, clock):
    """Return the seconds of a training."""
    pause()
    with rival.threads(1):
        start = clock()
        train(epochs)
        return clock() - start


def fastest_settings(trains, clock):
    """Return the seconds of a first epoch, by rival: of each library's settings the fastest only."""
    first = {}
    for rival, train in trains.items():
        timed(rival, train, 1, clock)
        first[rival] = timed(rival, train, 1, clock)
    by_library = {}
    for rival in sorted(first, key=first.get, reverse=True):
        by_library[rival.name, rival.dtype] = rival
    return {rival: first[rival] for rival in trains if rival in by_library.values()}


def run_race(race, rivals, known, rounds, clock):
    """Return the records of one race."""
    rows = {dtype: race.rows(dtype) for dtype in (F64, F32)}
    goal, curves = search(race, rivals, rows[F32], known) if race.goal else (None, {})
    chosen = {r: best_of(curves[r.search_name], goal) if curves else {"step": r.steps[0]} for r in rivals}
    trains = {r: r.build(rows[r.dtype], r.openmp or 1, **chosen[r]["step"]) for r in rivals}
    estimate = fastest_settings(trains, clock)
    further = {r: int(np.clip(round(FURTHER_SECONDS / estimate[r]), 1, MOST_EPOCHS)) for r in estimate}
    seconds = {r: np.empty((rounds, 2)) for r in estimate}  # of the first epoch, and of each further one
    for i in range(rounds):
        log(f"    round {i + 1} of {rounds}")
        for rival in np.roll(list(estimate), -i):  # nobody always runs after the same neighbour
            one = timed(rival, trains[rival], 1, clock)
            more = timed(rival, trains[rival], 1 + further[rival], clock)
            seconds[rival][i] = one, (more - one) / further[rival]
    units = {r.dtype: r for r in estimate if r.name == OURS}
    records = []
    for rival in estimate:
        first, epoch = seconds[rival].T
        record = {
            "name": rival.name,
            "setting": rival.setting,
            "dtype": np.dtype(rival.dtype).name,
            "step": chosen[rival]["step"],
            "first": quartiles(first),
            "epoch": quartiles(epoch),
            "rows_per_second": len(rows[F32].y) / float(np.median(epoch)),
            "ratio": {np.dtype(t).name: quartiles(epoch / seconds[u][:, 1]) for t, u in units.items()},
            "loss": rows[rival.dtype].log_loss(trains[rival](1)()),
            "extra_megabytes": peak_megabytes(rival, rows[rival.dtype], 1) if can_measure() else None,
        }
        if race.goal:
            tried = curves[rival.search_name]
            record["best"] = list(min(p for c in tried for p in zip(c["losses"], c["epochs"], strict=True)))
            for what, found in (("searched", chosen[rival]), ("automatic", tried[0])):
                n = epochs_to(goal, found)
                record[what] = None if n is None else {"epochs": n, "seconds": time_to(n, first, epoch)}
        records.append(record)
    return {"race": race.name, "goal": goal, "rounds": rounds, "rivals": records, "search": curves}


def time_to(epochs, first, epoch):
    """Return the median seconds of so many epochs, whose number need not be whole."""
    return float(np.median(first + (epochs - 1) * epoch))


# ------------------------------------------------------------------------------------ first call


def in_this_process(race, name):
    """Import one library and let it train on a few rows; return the seconds of each."""
    import importlib

    rival = next(r for r in race.rivals if r.name == name)
    start = time.perf_counter()
    importlib.import_module(rival.module)
    imported = time.perf_counter() - start
    rows = race.rows(rival.dtype).first(FIRST_ROWS)
    train = rival.build(rows, 1, **rival.steps[0])
    start = time.perf_counter()
    train(1)
    return {"import": imported, "first": time.perf_counter() - start}


def first_calls(race, rivals):
    """Return by name the seconds of import and of an epoch on a few rows; ours without and with compiled loops."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in dict.fromkeys(r.name for r in rivals):
            for kind in ("cold", "warm") if name == OURS else ("",):
                run = subprocess.run(
                    [sys.executable, __file__, "--first", race.name, name],
                    env=os.environ | {"NUMBA_CACHE_DIR": folder},
                    capture_output=True,
                    text=True,
                    check=True,
                    timeout=300,
                )
                found[f"{name} {kind}".strip()] = json.loads(run.stdout.splitlines()[-1])
    return found


# ---------------------------------------------------------------------------------------- report


def against(record, dtype):
    """Return "12x (11.8–12.3)"."""
    if record["name"] == OURS or dtype not in record["ratio"]:
        return "–"
    low, middle, high = record["ratio"][dtype]
    return f"{times_text(middle)} ({significant(low, 2)}–{significant(high, 2)})"


def way_to_goal(record):
    """Return time and epochs to the goal, or what was reached instead."""
    if record["searched"] is None:
        loss, epochs = record["best"]
        return f"never: {loss:.3f} at best, after {epochs}"
    found = record["searched"]
    text = f"{seconds_text(found['seconds'])}, {found['epochs']:.1f} epochs"
    if record["name"] == OURS:
        found = record["automatic"]
        text += " (automatic step: " + (
            "never)" if found is None else f"{seconds_text(found['seconds'])}, {found['epochs']:.1f})"
        )
    return text


def race_table(race):
    header = ["", "rows/s", "an epoch", "against ours, f64", "against ours, f32", "log loss after one"]
    header += ["extra MB"] + ([f"to log loss {race['goal']:.3f}"] if race["goal"] else [])
    lines = []
    for r in sorted(race["rivals"], key=lambda r: (r["name"] != OURS, r["epoch"][1])):
        line = [
            f"{r['name']}{', ' + r['setting'] if r['setting'] else ''}, {PRECISION[r['dtype']]}",
            f"{significant(r['rows_per_second'] / 1e3)}k",
            seconds_text(r["epoch"][1]),
            *(against(r, dtype) for dtype in ("float64", "float32")),
            f"{r['loss']:.3f}",
            "–" if r["extra_megabytes"] is None else significant(r["extra_megabytes"], 2),
        ]
        lines.append(line + ([way_to_goal(r)] if race["goal"] else []))
    return markdown(header, lines)


def report(results):
    """Return the tables as the documentation shows them."""
    parts = []
    for race in results["races"]:
        parts += [f"**{race['race']}**\n", race_table(race)]
    if results["first"]:
        rows = [[n, seconds_text(t["import"]), seconds_text(t["first"])] for n, t in results["first"].items()]
        parts += [
            f"**A fresh process**: import, and one epoch on the first {FIRST_ROWS:,} rows of the glosses\n",
            markdown(["", "import", "first epoch"], rows),
        ]
    draft = ""
    if results["load"] > BUSY or results["clock"] == "process_time":
        draft = f" **A draft: the machine was busy (load {results['load']:.1f}).**"
    return "\n".join([*parts, f"Measured on {machine_line(results)}{draft}\n"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", metavar="TEXT", help="only races whose name has TEXT")
    parser.add_argument("--rival", action="append", metavar="TEXT", help="only rivals whose name has TEXT")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--cpu", action="store_true", help="processor time instead: drafts on a busy machine")
    parser.add_argument("--search", type=Path, metavar="JSON", help="earlier results: the peers' step sizes")
    parser.add_argument("--output", type=Path, default=Path("bench_output"), help="folder of descent.json")
    parser.add_argument(
        "--table", type=Path, metavar="JSON", help="measure nothing: the tables of these results"
    )
    parser.add_argument("--insert", action="store_true", help=f"put the tables into docs/{PAGE.name}")
    parser.add_argument("--first", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.first:
        race = next(race for race in RACES if race.name == options.first[0])
        print(json.dumps(in_this_process(race, options.first[1])))
        return
    results = json.loads(options.table.read_text()) if options.table else measure(options)
    text = report(results)
    print(text)
    if options.insert:
        insert(text, PAGE, "descent")


def measure(options):
    """Run what was asked for; return the results, which are saved after every race."""
    warnings.filterwarnings("ignore")  # nobody is to converge
    earlier = json.loads(options.search.read_text())["races"] if options.search else []
    known = {race["race"]: race["search"] for race in earlier}
    clock = time.process_time if options.cpu else time.perf_counter
    results = {
        "machine": {"processor": processor(), "processors": os.cpu_count()},
        "versions": installed_versions(PACKAGES),
        "load": busy_processors(),  # before we add to it
        "clock": clock.__name__,
        "races": [],
        "first": {},
    }
    options.output.mkdir(parents=True, exist_ok=True)
    for race in RACES:
        rivals = [r for r in race.rivals if wanted(r.name, options.rival) and r.installed()]
        if not (rivals and wanted(race.name, options.case)):
            continue
        log(race.name)
        try:
            found = run_race(race, rivals, known.get(race.name, {}), options.rounds, clock)
            results["races"].append(found)
            if race is RACES[0]:
                log("    first calls in fresh processes")
                results["first"] = first_calls(race, rivals)
        except DataNotFound as fault:
            log(f"    left out: {fault}")
        (options.output / "descent.json").write_text(json.dumps(results, indent=1) + "\n")
    return results


if __name__ == "__main__":
    main()
