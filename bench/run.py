"""Measure everything and write the results: `make bench`, or `python bench/run.py --quick`.

Writes results.json, and results.md for a person, to the folder given by --output (default bench_output).
"""

import argparse
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
from limits import better, measure_limits
from measure import busy_processors, prepare, quartiles, race
from memory import can_measure as can_measure_memory
from memory import peak_megabytes
from rivals import OURS
from start import in_fresh_processes
from table import report
from tasks import TASKS

PACKAGES = (
    "fastxent", "numpy", "scipy", "scikit-learn", "scikit-learn-intelex", "torch", "cyanure", "liblinear-official",
    "snapml", "celer", "skglm", "jax", "optax",
)  # fmt: skip
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


def machine():
    return {"processor": processor(), "processors": os.cpu_count(), "system": platform.platform()}


def installed_versions(packages=PACKAGES):
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def compete(case, rivals, problem, reference, n_threads, budget, with_memory):
    """Race everybody on one problem; return a dict of name to a record of its best setting."""
    calls, deviations, records = {}, {}, {}
    for rival in rivals:
        if not rival.competes(case, n_threads):
            continue
        try:
            calls[rival], deviations[rival] = prepare(rival, problem, n_threads, reference)
        except Exception as fault:
            records[rival.name] = {"failed": f"{type(fault).__name__}: {fault}".splitlines()[0][:200]}
            log(f"    {rival.label} is left out: {records[rival.name]['failed']}")
    if not calls:
        return records
    seconds = race(calls, n_threads, budget)
    unit = next((rival for rival in seconds if rival.name == OURS), next(iter(seconds)))
    slow_to_fast = sorted(seconds, key=lambda rival: np.median(seconds[rival]), reverse=True)
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


def races_on(case, dtype, tasks, threads, budget):
    """Make one problem and let every task's rivals (dict of task to list) race on it; return the records."""
    problem = case.problem(dtype)
    records = []
    for task, rivals in tasks.items():
        reference = task.reference(problem)
        for n in threads:
            log(f"{task.name} | {case.name} | {np.dtype(dtype)} | {n} thread{'s' if n > 1 else ''}")
            with_memory = can_measure_memory() and n == threads[-1]
            records.append(
                {
                    "task": task.name,
                    "case": case.name,
                    "dtype": str(np.dtype(dtype)),
                    "threads": n,
                    "work": task.least_work(problem),
                    "rivals": compete(case, rivals, problem, reference, n, budget, with_memory),
                }
            )
    return records


def wanted(name, patterns):
    """Whether a name has one of the words asked for (None: all are)."""
    return not patterns or any(pattern.lower() in name.lower() for pattern in patterns)


def run_races(options, threads):
    """Yield the records of each case's races."""
    budget = options.seconds or (0.3 if options.quick else 2.5)
    rivals = {task: chosen_rivals(options, task.rivals) for task in TASKS if wanted(task.name, options.task)}
    for case in dict.fromkeys(case for task in TASKS for case in task.cases):
        tasks = {task: rivals[task] for task in rivals if case in task.cases and rivals[task]}
        if not (tasks and chosen_case(options, case)):
            continue
        try:
            for dtype in case.dtypes:
                yield races_on(case, dtype, tasks, threads, budget)
        except DataNotFound as fault:
            log(f"{case.name} is left out: {fault}")


def chosen_case(options, case):
    return (case.quick or not options.quick) and wanted(case.name, options.case)


def chosen_rivals(options, rivals):
    """Return the installed rivals that were asked for."""
    # Compiling takes its time, and so do scikit-learn's fits with a threaded BLAS when the machine is busy.
    slow = {"PyTorch compiled", "scikit-learn lbfgs, all pools"} if options.quick else set()
    return [r for r in rivals if r.label not in slow and wanted(r.name, options.rival) and r.installed()]


def run_start(options):
    """Return the start-up times of one fresh process each."""
    if not wanted("start", options.task):
        return {}
    log("start of a fresh process")
    rivals = [rival for rival in chosen_rivals(options, TASKS[0].rivals) if rival.starts]
    return in_fresh_processes(rivals, repeats=1 if options.quick else 3)


def save(results, folder):
    """Write results.json and results.md, again after every case: an interrupted run is not lost."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1)
    (folder / "results.json").write_text(text + "\n")
    (folder / "results.md").write_text(report(json.loads(text)))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a subset, in under two minutes")
    for what in ("task", "case", "rival"):
        help_text = f"only {what}s whose name has TEXT (repeatable)"
        parser.add_argument(f"--{what}", action="append", metavar="TEXT", help=help_text)
    parser.add_argument("--threads", type=int, action="append", metavar="N", help="default: 1 and all")
    parser.add_argument("--seconds", type=float, metavar="S", help="for each race: 2.5, or 0.3 with --quick")
    parser.add_argument("--output", type=Path, default=Path("bench_output"), help="folder of the results")
    return parser.parse_args()


def main():
    options = arguments()
    warnings.filterwarnings("ignore", module="torch")
    threads = options.threads or sorted({1, os.cpu_count()})[-1 if options.quick else 0 :]
    log("the machine's limits")
    results = {
        "machine": machine(),
        "versions": installed_versions(),
        "load": busy_processors(),  # before we add to it
        "quick": options.quick,
        "limits": measure_limits(threads),
        "races": [],
        "start": {},
    }
    for records in run_races(options, threads):
        results["races"] += records
        save(results, options.output)
    results["start"] = run_start(options)
    results["limits"] = better(results["limits"], measure_limits(threads))
    save(results, options.output)
    print((options.output / "results.md").read_text())


if __name__ == "__main__":
    main()
