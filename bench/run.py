"""Measure everything and write the results: `make bench`, or `python bench/run.py --quick` (under two minutes).

Writes results.json, and results.md for a person, to the folder given by --output (default bench_output).
"""

import argparse
import fnmatch
import json
import os
import platform
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import memory
from data import DataNotFound
from limits import least_seconds, measure_limits
from measure import prepare, quartiles, race
from rivals import OURS
from start import in_fresh_processes
from table import report
from tasks import TASKS
from training import TRAININGS, compare

PACKAGES = ("fastxent", "numpy", "scipy", "scikit-learn", "torch", "scikit-learn-intelex")


def log(line):
    print(line, file=sys.stderr, flush=True)


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


def compete(task, rivals, problem, n_threads, budget, with_memory):
    """Race everybody on one problem; return a dict of name to a record of its best setting."""
    task_rivals = [rival for rival in rivals if rival.suits(problem)]
    exact_problem = problem.in_float64()
    numpy_rival = next(rival for rival in task.rivals if rival.name == "NumPy")
    call, unpack = numpy_rival.start(exact_problem, n_threads)
    reference = unpack(call())
    del exact_problem, call

    calls, deviations, failures = {}, {}, {}
    for rival in task_rivals:
        try:
            calls[rival], deviations[rival] = prepare(rival, problem, n_threads, reference)
        except Exception as fault:
            failures[rival.name] = f"{type(fault).__name__}: {fault}".splitlines()[0][:200]
            log(f"    {rival.label} is left out: {failures[rival.name]}")
    seconds = race(calls, n_threads, budget)
    medians = dict(zip(calls, np.median(seconds, axis=0), strict=True))
    columns = {rival: column for rival, column in zip(calls, seconds.T, strict=True)}
    unit = next((rival for rival in calls if rival.name == OURS), next(iter(calls)))
    del calls

    records = {}
    for rival in sorted(medians, key=medians.get):
        if rival.name in records:
            continue  # a slower setting of the same library
        records[rival.name] = {
            "setting": rival.setting,
            "seconds": quartiles(columns[rival]),
            "ratio": quartiles(columns[rival] / columns[unit]),
            "errors": deviations[rival],
            "extra_megabytes": memory.peak_megabytes(rival, problem, n_threads) if with_memory else None,
        }
    for name, fault in failures.items():
        records.setdefault(name, {"failed": fault})
    return records


def wanted(name, patterns):
    return not patterns or any(fnmatch.fnmatch(name.lower(), f"*{pattern.lower()}*") for pattern in patterns)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a subset, in under two minutes")
    parser.add_argument("--case", action="append", metavar="TEXT", help="only cases whose name has TEXT (repeatable)")
    parser.add_argument("--task", action="append", metavar="TEXT", help="only tasks whose name has TEXT (repeatable)")
    parser.add_argument("--rival", action="append", metavar="TEXT", help="only rivals whose name has TEXT (repeatable)")
    parser.add_argument("--threads", type=int, action="append", metavar="N", help="default: 1, and all processors")
    parser.add_argument("--seconds", type=float, metavar="S", help="time for each race (default 4, or 0.6 with --quick)")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out (it takes its time)")
    parser.add_argument("--output", type=Path, default=Path("bench_output"), help="folder of the results")
    return parser.parse_args()


def main():
    options = arguments()
    warnings.filterwarnings("ignore", module="torch")
    threads = options.threads or sorted({1, os.cpu_count()})
    if options.quick and not options.threads:
        threads = threads[-1:]
    budget = options.seconds or (0.6 if options.quick else 4.0)

    def competes(rival):
        slow = rival.name == "PyTorch compiled" and (options.no_compile or options.quick)
        return not slow and wanted(rival.name, options.rival)

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
    for task in TASKS:
        rivals = [rival for rival in task.installed_rivals() if competes(rival)]
        cases = [case for case in task.cases if wanted(case.name, options.case) and (case.quick or not options.quick)]
        if not (rivals and wanted(task.name, options.task)):
            continue
        for case in cases:
            for dtype in case.dtypes:
                try:
                    problem = case.problem(dtype)
                except DataNotFound as fault:
                    log(f"{case.name} is left out: {fault}")
                    break
                for n in threads:
                    log(f"{task.name} | {case.name} | {np.dtype(dtype)} | {n} thread{'s' if n > 1 else ''}")
                    with_memory = memory.can_measure() and n == threads[-1]
                    records = compete(task, rivals, problem, n, budget, with_memory)
                    race_record = {
                        "task": task.name,
                        "case": case.name,
                        "kind": case.kind,
                        "dtype": str(np.dtype(dtype)),
                        "threads": n,
                        "rivals": records,
                    }
                    if task.name == "loss + gradient" and not problem.sparse:
                        race_record["limit_seconds"] = least_seconds(problem, results["limits"][n])
                    results["races"].append(race_record)
                del problem
    for training in TRAININGS:
        if (training.quick or not options.quick) and wanted("training", options.task) and wanted(
            training.name, options.case
        ):
            log(f"training | {training.name}")
            try:
                results["trainings"] += compare(training, threads[-1], log)
            except DataNotFound as fault:
                log(f"    left out: {fault}")
    if wanted("start", options.task):
        log("start of a fresh process")
        rivals = [rival for rival in TASKS[0].installed_rivals() if competes(rival) and "linear" not in rival.name]
        results["start"] = in_fresh_processes(rivals, repeats=1 if options.quick else 3)

    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    # Read back, so that table.py makes the same report from the file.
    text = report(json.loads((options.output / "results.json").read_text()))
    (options.output / "results.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
