"""The tasks under pytest-benchmark: `pytest bench --benchmark-group-by=group`, with `-k` for some of them.

Everybody runs in this process, one after the other, with all threads. Idle threads of one library may slow the next:
`run.py`, whose figures are published, gives each a process of its own.
"""

import importlib.util
import os

import pytest

from data import DataNotFound
from tasks import LARGEST_ERROR, TASKS, errors

pytestmark = pytest.mark.filterwarnings("default")  # the peers' warnings are not ours to forbid
CHOSEN = [
    pytest.param(task, case, dtype, rival, id=f"{task.name}-{case.name}-{dtype.__name__}-{rival.label}")
    for task in TASKS.values()
    for case in task.cases
    for dtype in case.dtypes
    for rival in task.rivals
    if rival.suits(case) and importlib.util.find_spec(rival.module.partition(".")[0])
]


@pytest.fixture(scope="module")
def problems():
    """The last problem and its result: only one is in memory."""
    return {}


@pytest.mark.parametrize(("task", "case", "dtype", "rival"), CHOSEN)
def test_speed(benchmark, problems, task, case, dtype, rival):
    key = task.name, case.name, dtype
    if key not in problems:
        problems.clear()
        try:
            problem = case.problem(dtype)
        except DataNotFound as fault:
            pytest.skip(str(fault))
        problems[key] = problem, task.reference(problem)
    problem, reference = problems[key]
    call, unpack = rival.build(problem, os.cpu_count() if task.threaded else 1)
    benchmark.group = f"{task.name}: {case.name}, {dtype.__name__}"
    benchmark.name = rival.label
    benchmark.extra_info["error"] = max(errors(unpack(call()), reference))
    assert benchmark.extra_info["error"] < LARGEST_ERROR
    benchmark(call)
