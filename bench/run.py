"""Time single evaluations: `make bench`, or `python bench/run.py --quick`.

Every rival runs in processes of its own, with one thread and with all, in every configuration; rounds of processes are
interleaved. The results go to the processor's JSON file in --output, from where `report.py` makes tables.
"""

import os
import random
from pathlib import Path

import numpy as np
import pandas as pd

import processes
import store
from limits import least_work, measure_limits
from rivals import wanted
from tasks import TASKS


def contenders(task, case, options):
    """Return who takes part: (rival, threads, configuration)."""
    configurations = options.configuration if task.threaded else ["native"]
    return [
        (rival, n, configuration)
        for configuration in configurations
        for n in (options.threads if task.threaded else [1])
        for rival in task.rivals
        if rival in options.there
        and rival.suits(case)
        and wanted(rival.name, options.rival)
        and not (options.quick and rival.name == "PyTorch compiled")  # compiling takes half a minute
        and (n > 1 or "one thread" not in rival.setting)
        and (rival.ours or not processes.ours_alone(configuration) or len(configurations) == 1)
    ]


def race(task, case, dtype, options):
    """Let everybody run on one problem, round after round, and yield a record of each."""
    problem = case.problem(dtype)
    found = {runner: [] for runner in contenders(task, case, options)}
    work = {**least_work(problem, task.products), **layout(problem)}
    with processes.file_of(task.with_reference(problem)) as path:
        del problem
        for i in range(options.rounds):
            for runner in random.Random(i).sample(list(found), len(found)):  # no neighbours for ever
                found[runner] += run(task, runner, path, options.seconds, with_memory=i == 0)
                if not found[runner]:
                    del found[runner]
    best = {}  # of each library's settings the fastest
    for runner in sorted(found, key=lambda runner: np.median([r["seconds"] for r in found[runner]])):
        best.setdefault((runner[0].name, *runner[1:]), runner)
    for rival, threads, configuration in best.values():
        records = found[rival, threads, configuration]
        yield {
            "task": task.name,
            "case": case.name,
            "dtype": dtype,
            "configuration": configuration,
            "threads": threads,
            "rival": rival.name,
            "setting": rival.setting,
            "rows": work["rows"],
            **records[0],
            "seconds": [record["seconds"] for record in records],
            **({"work": work} if rival.ours else {}),
        }


def run(task, runner, path, seconds, with_memory):
    """Return the record of a rival in a process of its own, in a list."""
    rival, threads, configuration = runner
    arguments = {"task": task.name, "label": rival.label, "path": path, "threads": threads}
    arguments |= {"seconds": seconds, "with_memory": with_memory}
    # The first round compiles. Code for other threads or another level would be wrong, so that each has its own.
    cache = Path(path).with_name(f"{threads}-{[*processes.CONFIGURATIONS].index(configuration)}")
    how = {
        "threads": threads,
        "configuration": configuration,
        "more": {"TORCHINDUCTOR_CACHE_DIR": str(cache)},
    }
    return processes.records_of(rival, "tasks:time_rival", arguments, **how)


def layout(problem):
    """Return the kernels' layout for a problem, the rows of a block, and all rows and entries."""
    from fastxent.data.rows import bind

    rows = bind(problem.X, problem.theta.shape[1])
    name = "SPARSE" if problem.sparse else "CLASSES" if rows.uses_theta else "FEATURES"
    return {"layout": name, "block": rows.block, "rows": problem.n_rows, "entries": problem.X.size}


def chosen(task, case, options):
    """Whether a case was asked for: without --all, only those are that are compared by processor."""
    if not wanted(case.name, options.case) or (options.quick and not case.quick):
        return False
    if options.quick or options.case or options.all or task.name == "latency":
        return True
    return case.compared and (task.name != "class probabilities" or "784" in case.name)


def arguments():
    numbers = {"rounds": (3, "processes of each"), "seconds": (0.5, "of each process")}
    parser = store.parser(__doc__, "task", "case", "rival", **numbers)
    parser.add_argument("--all", action="store_true", help="all cases, not those alone that are compared")
    names = [*processes.CONFIGURATIONS]
    parser.add_argument("--configuration", action="append", choices=names, help="default: native")
    parser.add_argument("--threads", type=int, action="append", metavar="N", help="default: 1 and all")
    options = parser.parse_args()
    options.configuration = options.configuration or ["native"]
    options.threads = options.threads or sorted({1, os.cpu_count()})
    if options.quick:
        options.rounds, options.seconds, options.threads = 1, min(options.seconds, 0.1), options.threads[-1:]
    return options


def main():
    options = arguments()
    tasks = [task for task in TASKS.values() if wanted(task.name, options.task)]
    versions, options.there = processes.found([rival for task in TASKS.values() for rival in task.rivals])
    results = store.Results(options, "speed", versions)
    with_limits = not options.quick and any(task.threaded for task in tasks)
    limits = [measure_limits(options.threads)] if with_limits else []
    for task in tasks:
        for case in (case for case in task.cases if chosen(task, case, options)):
            for dtype in case.dtypes:
                results.add(f"{task.name} | {case.name} | {dtype}", race(task, case, dtype, options))
    if with_limits:
        limits.append(measure_limits(options.threads))  # something else may have run during one of them
        best = pd.concat([pd.DataFrame(one) for one in limits]).groupby(level=0, sort=False).max()
        results.known["limits"] = best.to_dict()
        results.write()


if __name__ == "__main__":
    main()
