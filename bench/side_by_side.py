"""For pytest-benchmark: one benchmark for each case, dtype, thread count and installed rival of a task."""

import os

import numpy as np
import pytest

from data import DataNotFound
from measure import prepare
from tasks import TASKS

_latest = {}  # the problem of the benchmarks that are running now; making one costs more than measuring it


def parameters(*task_names):
    """Return pytest parameters (task, case, dtype, rival, n_threads) of the quick cases."""
    return [
        pytest.param(
            task, case, dtype, rival, n_threads, id=f"{case.name}-{np.dtype(dtype)}-{rival.label}-{n_threads}"
        )
        for task in TASKS
        if task.name in task_names
        for case in task.cases
        if case.quick
        for dtype in case.dtypes
        for n_threads in sorted({1, os.cpu_count()})
        for rival in task.rivals
        if rival.installed()
        and rival.competes(case, n_threads)
        and rival.name != "PyTorch compiled"  # compiling takes its time
    ]


def problem_and_reference(task, case, dtype):
    """Return the problem, kept until another one is asked for."""
    key = (task.name, case.name, dtype)
    if key not in _latest:
        _latest.clear()
        try:
            problem = case.problem(dtype)
        except DataNotFound as fault:
            pytest.skip(str(fault))
        _latest[key] = problem, task.reference(problem)
    return _latest[key]


def run(benchmark, task, case, dtype, rival, n_threads):
    """Check a rival's result, then let pytest-benchmark time it."""
    problem, reference = problem_and_reference(task, case, dtype)
    benchmark.group = (
        f"{task.name}: {case.name}, {np.dtype(dtype)}, {n_threads} thread{'s' if n_threads > 1 else ''}"
    )
    benchmark.name = rival.label
    call, errors = prepare(rival, problem, n_threads, reference)
    benchmark.extra_info["deviation from NumPy in float64"] = errors
    with rival.threads(n_threads):
        benchmark(call)
