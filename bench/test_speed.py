"""The tasks under pytest-benchmark: `pytest bench --benchmark-group-by=group`, with `-k` for some of them.

Everybody runs in this process, one after the other, with all threads. Idle threads of one library may slow the next:
`run.py`, whose figures are published, gives each a process of its own.
"""

import functools
import importlib.util
import os

import pytest

from data import DataNotFound
from rivals import RIVALS
from run import TASKS, checked

CHOSEN = [
    pytest.param(task, case, dtype, rival, id=f"{task.name}-{case.name}-{dtype}-{rival.label}")
    for task in TASKS
    for case in task.cases
    for dtype in case.dtypes
    for rival in RIVALS[task.name]
    if rival.suits(case) and importlib.util.find_spec(rival.module.partition(".")[0])
]


@functools.lru_cache(maxsize=1)  # only one problem is in memory
def problem_of(task, case, dtype):
    return task.with_reference(case.problem(dtype))


@pytest.mark.filterwarnings("default")  # the peers' warnings are not ours to forbid
@pytest.mark.parametrize(("task", "case", "dtype", "rival"), CHOSEN)
def test_speed(benchmark, task, case, dtype, rival):
    try:
        problem = problem_of(task, case, dtype)
    except DataNotFound as fault:
        pytest.skip(str(fault))
    call = rival.build(problem, os.cpu_count() if task.threaded else 1)
    _, benchmark.extra_info["error"] = checked(call(), problem.reference)
    benchmark.group, benchmark.name = f"{task.name}: {case.name}, {dtype}", rival.label
    benchmark(call)
