"""What is timed by itself: a task is a name, the cases it runs on, and who competes; `time_rival` runs one of them."""

import pickle
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import cases
import evaluations
from memory import extra_megabytes

BURST_SECONDS = 0.03
LARGEST_ERROR = 0.01


@dataclass(frozen=True, eq=False)
class Task:
    name: str
    cases: list
    rivals: list
    products: int = 2  # of matrices, that nobody can do without
    threaded: bool = True

    def reference(self, problem):
        """Return the result that errors are measured against: plain NumPy in float64."""
        plain = next(rival for rival in self.rivals if rival.name == "NumPy")
        call, unpack = plain.build(problem.in_float64(), None)
        return [np.asarray(array, np.float64) for array in unpack(call())]


TASKS = {
    task.name: task
    for task in (
        Task("loss + gradient", cases.CASES, evaluations.LOSS_AND_GRADIENT),
        Task("class probabilities", cases.CASES, evaluations.PROBABILITIES, products=1),
        Task("growth", cases.GROWING, evaluations.LOSS_AND_GRADIENT[:2]),  # ours and NumPy
        Task("latency", cases.SINGLE_ROWS, evaluations.SINGLE_ROWS, products=1, threaded=False),
    )
}


def write(task, case, dtype, folder):
    """Make a problem and what its result should be, for the processes to read; return the path and the problem."""
    problem = case.problem(dtype)
    path = Path(folder) / "problem.pickle"
    with path.open("wb") as file:
        pickle.dump((problem, task.reference(problem)), file, protocol=5)
    return str(path), problem


def errors(result, reference):
    """Return each array's largest deviation from the float64 reference, relative to the largest entry."""
    return [
        float(np.max(np.abs(found - exact)) / np.max(np.abs(exact)))
        for found, exact in zip(result, reference, strict=True)
    ]


def time_rival(task, label, path, threads, seconds, with_memory):
    """Yield the record of one rival, in this process.

    "first" is the time until a first result, conversions and compiling included; "seconds" the median of bursts that
    take ``seconds`` together; "value" the loss, where there is one.
    """
    rival = next(rival for rival in TASKS[task].rivals if rival.label == label)
    with open(path, "rb") as file:
        problem, reference = pickle.load(file)
    start = time.perf_counter()
    call, unpack = rival.build(problem, threads)
    result = call()
    first = time.perf_counter() - start
    arrays = [np.asarray(array, np.float64) for array in unpack(result)]
    found = errors(arrays, reference)
    if not max(found) < LARGEST_ERROR:
        raise ArithmeticError(f"wrong by {max(found):.1g} of the largest entry")
    yield {
        "first": first,
        "seconds": float(np.median(bursts(call, seconds))),
        "error": found[-1],
        "value": float(arrays[0]) if arrays[0].ndim == 0 else None,
        "extra_megabytes": extra_megabytes(lambda: rival.build(problem, threads)[0]())
        if with_memory
        else None,
    }


def bursts(call, seconds):
    """Return seconds a call in bursts, each the mean of as many as fit into some tens of milliseconds."""

    def burst(repeats):
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats

    call()
    repeats = max(1, round(BURST_SECONDS / burst(1)))
    found, deadline = [], time.perf_counter() + seconds
    while len(found) < 3 or time.perf_counter() < deadline:
        found.append(burst(repeats))
    return found
