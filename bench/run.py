"""Measure everything and write the results: `make bench`, or `python bench/run.py --quick`.

Writes results.json, and results.md for a person, to the folder given by --output (default bench_output).
"""

import argparse
import fnmatch
import json
import os
import platform
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from data import DataNotFound
from limits import least_seconds, measure_limits
from measure import prepare, quartiles, race
from memory import can_measure as can_measure_memory
from memory import peak_megabytes
from rivals import OURS
from start import in_fresh_processes
from table import report
from tasks import TASKS
from training import TRAINERS, TRAININGS, compare

PACKAGES = ("fastxent", "numpy", "scipy", "scikit-learn", "torch", "scikit-learn-intelex")


STARTED = time.monotonic()


def log(line):
    print(f"[{time.monotonic() - STARTED:5.0f} s] {line}", file=sys.stderr, flush=True)


def processor():
    """Return the processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def installed_versions():
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def compete(case, rivals, problem, reference, n_threads, budget, with_memory):
    """Race everybody on one problem; return a dict of name to a record of its best setting."""
    calls, deviations, records = {}, {}, {}
    for rival in rivals:
        if not rival.suits(case):
            continue
        try:
            calls[rival], deviations[rival] = prepare(rival, problem, n_threads, reference)
        except Exception as fault:
            records[rival.name] = {"failed": f"{type(fault).__name__}: {fault}".splitlines()[0][:200]}
            log(f"    {rival.label} is left out: {records[rival.name]['failed']}")
    seconds = dict(zip(calls, race(calls, n_threads, budget).T, strict=True))
    unit = next((rival for rival in calls if rival.name == OURS), next(iter(calls)))
    slow_to_fast = sorted(calls, key=lambda rival: np.median(seconds[rival]), reverse=True)
    calls.clear()
    best_settings = {rival.name: rival for rival in slow_to_fast}
    for name, rival in best_settings.items():
        records[name] = {
            "setting": rival.setting,
            "seconds": quartiles(seconds[rival]),
            "ratio": quartiles(seconds[rival] / seconds[unit]),
            "errors": deviations[rival],
            "extra_megabytes": peak_megabytes(rival, problem, n_threads) if with_memory else None,
        }
    return records


def races_on(case, dtype, tasks, threads, budget, limits):
    """Make one problem and let every task's rivals (dict of task to list) race on it; return the records."""
    problem = case.problem(dtype)
    records = []
    for task, rivals in tasks.items():
        reference = task.reference(problem)
        for n in threads:
            log(f"{task.name} | {case.name} | {np.dtype(dtype)} | {n} thread{'s' if n > 1 else ''}")
            with_memory = can_measure_memory() and n == threads[-1]
            record = {
                "task": task.name,
                "case": case.name,
                "dtype": str(np.dtype(dtype)),
                "threads": n,
                "rivals": compete(case, rivals, problem, reference, n, budget, with_memory),
            }
            if task is TASKS[0] and not problem.sparse:
                record["limit_seconds"] = least_seconds(problem, limits[n])
            records.append(record)
    return records


def wanted(name, patterns):
    return not patterns or any(fnmatch.fnmatch(name.lower(), f"*{pattern.lower()}*") for pattern in patterns)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a subset, in under two minutes")
    parser.add_argument(
        "--case", action="append", metavar="TEXT", help="only cases whose name has TEXT (repeatable)"
    )
    parser.add_argument(
        "--task", action="append", metavar="TEXT", help="only tasks whose name has TEXT (repeatable)"
    )
    parser.add_argument(
        "--rival", action="append", metavar="TEXT", help="only rivals whose name has TEXT (repeatable)"
    )
    parser.add_argument(
        "--threads", type=int, action="append", metavar="N", help="default: 1, and all processors"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="time for each race (default 4, or 0.3 with --quick)"
    )
    parser.add_argument(
        "--no-compile", action="store_true", help="leave torch.compile out (it takes its time)"
    )
    parser.add_argument("--output", type=Path, default=Path("bench_output"), help="folder of the results")
    return parser.parse_args()


def main():
    options = arguments()
    warnings.filterwarnings("ignore", module="torch")
    threads = options.threads or sorted({1, os.cpu_count()})
    if options.quick and not options.threads:
        threads = threads[-1:]
    budget = options.seconds or (0.3 if options.quick else 4.0)

    def competes(rival):
        slow = rival.name == "PyTorch compiled" and (options.no_compile or options.quick)
        return not slow and wanted(rival.name, options.rival)

    def chosen(case):
        return (case.quick or not options.quick) and wanted(case.name, options.case)

    results = {
        "machine": {"processor": processor(), "processors": os.cpu_count(), "system": platform.platform()},
        "versions": installed_versions(),
        "quick": options.quick,
        "limits": {},
        "start": {},
        "races": [],
        "trainings": [],
    }
    log("the machine's limits")
    results["limits"] = measure_limits(threads)
    tasks = {
        task: [rival for rival in task.installed_rivals() if competes(rival)]
        for task in TASKS
        if wanted(task.name, options.task)
    }
    for case in dict.fromkeys(case for task in TASKS for case in task.cases):
        here = {task: rivals for task, rivals in tasks.items() if case in task.cases and rivals}
        if not here or not chosen(case):
            continue
        try:
            for dtype in case.dtypes:
                results["races"] += races_on(case, dtype, here, threads, budget, results["limits"])
        except DataNotFound as fault:
            log(f"{case.name} is left out: {fault}")
    trainers = [
        trainer for trainer in TRAINERS if trainer.installed() and wanted(trainer.name, options.rival)
    ]
    if options.quick:  # with a threaded BLAS, scikit-learn's fits take too long on a busy machine
        trainers = [trainer for trainer in trainers if trainer.setting != "all pools"]
    for training in TRAININGS:
        if wanted("training", options.task) and chosen(training):
            log(f"training | {training.name}")
            try:
                results["trainings"] += compare(training, trainers, threads[-1], log)
            except DataNotFound as fault:
                log(f"    left out: {fault}")
    if wanted("start", options.task):
        log("start of a fresh process")
        rivals = [
            rival for rival in TASKS[0].installed_rivals() if competes(rival) and "linear" not in rival.name
        ]
        results["start"] = in_fresh_processes(rivals, repeats=1 if options.quick else 3)

    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    # Read back, so that table.py makes the same report from the file.
    text = report(json.loads((options.output / "results.json").read_text()))
    (options.output / "results.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
