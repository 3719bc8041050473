"""Time single evaluations: `make bench`, or `python bench/run.py --quick`.

Every rival runs in processes of its own, with one thread and with all, in every configuration; rounds of processes are
interleaved. The results go to the processor's JSON file in --output, from where `report.py` makes tables.
"""

import dataclasses
import os
import random
import time
import timeit
from itertools import product
from pathlib import Path

import numpy as np

import cases
import processes
import store
from limits import least_work, measure_limits
from processes import CONFIGURATIONS, OURS_ALONE
from rivals import RIVALS, meet
from store import wanted

BURST_SECONDS = 0.03
LARGEST_ERROR = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """What is timed (`rivals.RIVALS` has who competes), on which cases."""

    name: str
    cases: list
    products: int = 2  # of matrices, that nobody can do without
    threaded: bool = True

    def with_reference(self, problem):
        """Return a problem with the result from which errors are measured: plain NumPy in float64."""
        X, theta = problem.X.astype(np.float64), problem.theta.astype(np.float64)
        plain = next(rival for rival in RIVALS[self.name] if rival.name == "NumPy")
        exact = plain.build(dataclasses.replace(problem, X=X, theta=theta), None)()
        return dataclasses.replace(problem, reference=arrays(exact))


TASKS = [
    Task("loss + gradient", cases.CASES),
    Task("class probabilities", cases.CASES, products=1),
    Task("growth", cases.GROWING),
    Task("latency", cases.SINGLE_ROWS, products=1, threaded=False),
]

# ------------------------------------------------------------------------------------ in a process of their own


def arrays(result):
    """Return what a library computed, in float64: loss and gradient (d + 1, K), or the probabilities alone.

    The gradient may come as a pair, of weights (d, K) and intercepts (K,).
    """
    parts = result if isinstance(result, tuple | list) else [result]
    parts = [np.asarray(part.detach() if hasattr(part, "detach") else part, np.float64) for part in parts]
    return parts if len(parts) < 3 else [parts[0], np.vstack(parts[1:])]


def checked(result, reference):
    """Return the loss, if there is one, and the last array's largest deviation, relative to the largest entry."""
    found = arrays(result)
    pairs = zip(found, reference, strict=True)
    errors = [np.abs(one.reshape(exact.shape) - exact).max() / np.abs(exact).max() for one, exact in pairs]
    if not max(errors) < LARGEST_ERROR:
        raise ArithmeticError(f"wrong by {max(errors):.1g} of the largest entry")
    return float(found[0]) if found[0].ndim == 0 else None, float(errors[-1])


def time_rival(path, task, label, threads, seconds, with_memory):
    """Yield the record of one rival.

    "first" is the time until a first result, conversions and compiling included; "seconds" the median of bursts that
    take ``seconds`` together, each the mean of as many calls as fit into some tens of milliseconds; "value" the loss,
    where there is one.
    """
    problem, rival = meet(path, task, label)
    start = time.perf_counter()
    call = rival.build(problem, threads)
    result = call()
    first = time.perf_counter() - start
    value, error = checked(result, problem.reference)
    del result
    timer = timeit.Timer(call)
    timer.timeit(1)
    repeats = max(1, round(BURST_SECONDS / timer.timeit(1)))
    bursts, deadline = [], time.perf_counter() + seconds
    while len(bursts) < 3 or time.perf_counter() < deadline:
        bursts.append(timer.timeit(repeats) / repeats)
    extra = processes.extra_megabytes(lambda: rival.build(problem, threads)()) if with_memory else None
    median = float(np.median(bursts))
    yield {"first": first, "seconds": median, "error": error, "value": value, "extra_megabytes": extra}


# ------------------------------------------------------------------------------------ everybody in turn


def contenders(task, case, options):
    """Return who takes part: (rival, threads, configuration)."""
    configurations = options.configuration if task.threaded else ["native"]
    threads = options.threads if task.threaded else [1]
    return [
        (rival, n, configuration)
        for configuration, n, rival in product(configurations, threads, RIVALS[task.name])
        if rival in options.there
        and rival.suits(case)
        and wanted(rival.name, options.rival)
        and not (options.quick and rival.name == "PyTorch compiled")  # compiling takes half a minute
        and (n > 1 or "one thread" not in rival.setting)
        and (rival.ours or configuration not in OURS_ALONE or len(configurations) == 1)
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
                found[runner] += run(task, *runner, path, seconds=options.seconds, with_memory=i == 0)
                if not found[runner]:
                    del found[runner]
    best = {}  # of each library's settings the fastest
    for runner in sorted(found, key=lambda runner: np.median([r["seconds"] for r in found[runner]])):
        best.setdefault((runner[0].name, *runner[1:]), runner)
    where = {"task": task.name, "case": case.name, "dtype": dtype}
    for (rival, threads, configuration), records in ((runner, found[runner]) for runner in best.values()):
        who = {"rival": rival.name, "setting": rival.setting, "rows": work["rows"]}
        times = {"seconds": [record["seconds"] for record in records]}
        record = {**where, "configuration": configuration, "threads": threads, **who, **records[0], **times}
        yield record | ({"work": work} if rival.ours else {})


def run(task, rival, threads, configuration, path, **arguments):
    """Return the record of a rival in a process of its own, in a list."""
    # The first round compiles. Code for other threads or another level would be wrong, so that each has its own.
    cache = Path(path).with_name(f"{threads}-{[*CONFIGURATIONS].index(configuration)}")
    how = {"configuration": configuration, "more": {"TORCHINDUCTOR_CACHE_DIR": str(cache)}}
    arguments |= {"path": path, "task": task.name}
    return processes.records_of(rival, "run:time_rival", arguments, threads=threads, **how)


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


def main():
    numbers = {"rounds": (3, "processes of each"), "seconds": (0.5, "of each process")}
    parser = store.parser(__doc__, "task", "case", "rival", **numbers)
    parser.add_argument("--all", action="store_true", help="all cases, not those alone that are compared")
    parser.add_argument("--configuration", action="append", choices=CONFIGURATIONS, help="default: native")
    parser.add_argument("--threads", type=int, action="append", metavar="N", help="default: 1 and all")
    options = parser.parse_args()
    options.configuration = options.configuration or ["native"]
    options.threads = options.threads or sorted({1, os.cpu_count()})
    if options.quick:
        options.rounds, options.seconds, options.threads = 1, min(options.seconds, 0.1), options.threads[-1:]
    tasks = [task for task in TASKS if wanted(task.name, options.task)]
    versions, options.there = processes.found([rival for task in TASKS for rival in RIVALS[task.name]])
    results = store.Results(options, "speed", versions)
    limits = options.threads if not options.quick and any(task.threaded for task in tasks) else []
    before = measure_limits(limits)
    for task in tasks:
        for case in (case for case in task.cases if chosen(task, case, options)):
            for dtype in case.dtypes:
                results.add(f"{task.name} | {case.name} | {dtype}", race(task, case, dtype, options))
    if limits:
        after = measure_limits(limits)  # something else may have run during one of them
        best = {n: {what: max(rate, after[n][what]) for what, rate in before[n].items()} for n in limits}
        results.known["limits"] = best
        results.write()


if __name__ == "__main__":
    main()
