"""What is timed by itself: a task is a name, the cases it runs on, and who competes; `time_rival` runs one of them."""

import pickle
import time
import timeit
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import cases
import rivals
from machine import extra_megabytes

BURST_SECONDS = 0.03
LARGEST_ERROR = 0.01


@dataclass(frozen=True, eq=False)
class Task:
    name: str
    cases: list
    rivals: list
    products: int = 2  # of matrices, that nobody can do without
    threaded: bool = True

    def with_reference(self, problem):
        """Return a problem and the result that errors are measured against: plain NumPy in float64."""
        plain = next(rival for rival in self.rivals if rival.name == "NumPy")
        return problem, arrays(plain.build(problem.in_float64(), None)())


TASKS = {
    task.name: task
    for task in (
        Task("loss + gradient", cases.CASES, rivals.LOSS_AND_GRADIENT),
        Task("class probabilities", cases.CASES, rivals.PROBABILITIES, products=1),
        Task("growth", cases.GROWING, rivals.LOSS_AND_GRADIENT[:2]),  # ours and NumPy
        Task("latency", cases.SINGLE_ROWS, rivals.SINGLE_ROWS, products=1, threaded=False),
    )
}


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
    errors = [
        np.max(np.abs(one.reshape(exact.shape) - exact)) / np.max(np.abs(exact))
        for one, exact in zip(found, reference, strict=True)
    ]
    if not max(errors) < LARGEST_ERROR:
        raise ArithmeticError(f"wrong by {max(errors):.1g} of the largest entry")
    return float(found[0]) if found[0].ndim == 0 else None, float(errors[-1])


def time_rival(task, label, path, threads, seconds, with_memory):
    """Yield the record of one rival, in this process.

    "first" is the time until a first result, conversions and compiling included; "seconds" the median of bursts that
    take ``seconds`` together; "value" the loss, where there is one.
    """
    build = next(rival.build for rival in TASKS[task].rivals if rival.label == label)
    problem, reference = pickle.loads(Path(path).read_bytes())
    start = time.perf_counter()
    call = build(problem, threads)
    result = call()
    first = time.perf_counter() - start
    value, error = checked(result, reference)
    del result
    median = float(np.median(bursts(call, seconds)))
    extra = extra_megabytes(lambda: build(problem, threads)()) if with_memory else None
    yield {"first": first, "seconds": median, "error": error, "value": value, "extra_megabytes": extra}


def bursts(call, seconds):
    """Return seconds a call in bursts, each the mean of as many as fit into some tens of milliseconds."""

    timer = timeit.Timer(call)
    timer.timeit(1)
    repeats = max(1, round(BURST_SECONDS / timer.timeit(1)))
    found, deadline = [], time.perf_counter() + seconds
    while len(found) < 3 or time.perf_counter() < deadline:
        found.append(timer.timeit(repeats) / repeats)
    return found
