"""Time rivals against each other in one process, so that the machine's moods hit all of them alike.

In each round every rival runs in turn, for some tens of milliseconds. Ratios are taken within a round;
their median and quartiles are over the rounds.
"""

import contextlib
import os
import signal
import time

import numpy as np

BURST_SECONDS = 0.03
PAUSE_SECONDS, LONGEST_PAUSE = 0.004, 0.2
FIRST_CALL_SECONDS = 120


def busy_processors(seconds=2.0):
    """Return how many processors other work keeps busy: now, where the system tells, else the load average.

    The load average would count what ended a minute ago, our own last run included.
    """
    try:
        before = _busy_and_all()
        time.sleep(seconds)
        busy, everything = np.subtract(_busy_and_all(), before)
    except OSError:
        return os.getloadavg()[0]
    return os.cpu_count() * busy / everything


def _busy_and_all():
    """Return the ticks since the start that processors were busy, and all ticks (Linux)."""
    with open("/proc/stat") as file:
        ticks = [int(x) for x in file.readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # but for idle, and waiting for disks


def pause():
    """Wait until this process is idle: OpenMP and BLAS workers spin for a while (some 25 ms) before they sleep."""
    deadline = time.perf_counter() + LONGEST_PAUSE
    while time.perf_counter() < deadline:
        before = time.process_time()
        time.sleep(PAUSE_SECONDS)
        if time.process_time() - before < PAUSE_SECONDS / 4:
            return


@contextlib.contextmanager
def time_limit(seconds):
    """Raise TimeoutError in the main thread after ``seconds`` (where the system has alarms)."""

    def out_of_time(signum, frame):
        raise TimeoutError(f"no result after {seconds} s")

    previous = signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def errors(result, reference):
    """Return each array's largest deviation from the float64 reference, relative to the largest entry."""
    deviations = (np.max(np.abs(ours - exact)) for ours, exact in zip(result, reference, strict=True))
    return [float(d / np.max(np.abs(exact))) for d, exact in zip(deviations, reference, strict=True)]


def prepare(rival, problem, n_threads, reference):
    """Build a rival and call it once: return the call and its errors, or raise what went wrong."""
    with time_limit(FIRST_CALL_SECONDS), rival.threads(n_threads):
        call, unpack = rival.start(problem, n_threads)
        found = errors(unpack(call()), reference)
    if not max(found) < 0.01:
        raise ArithmeticError(f"wrong by {max(found):.1g} of the largest entry")
    return call, found


def burst(call, seconds):
    """Return seconds a call: the mean of as many as fit in a burst, after one that warms the caches."""
    if seconds < BURST_SECONDS:
        call()
    repeats = max(1, round(BURST_SECONDS / seconds))
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def race(calls, n_threads, budget, min_rounds=3, max_rounds=40):
    """Run ``calls`` (rival to call) in rounds for about ``budget`` s; return rival to seconds (rounds,).

    Of a library's settings only those take part that come near its best one in a first heat.
    """
    estimate = {rival: first_heat(rival, calls[rival], n_threads) for rival in calls}
    runners = [
        rival
        for rival in calls
        if estimate[rival] <= 1.5 * min(estimate[other] for other in calls if other.name == rival.name)
    ]
    rounds = np.clip(budget / sum(max(BURST_SECONDS, estimate[r]) for r in runners), min_rounds, max_rounds)
    seconds = np.empty((int(rounds), len(runners)))
    rng = np.random.default_rng(0)
    for row in seconds:
        for j in rng.permutation(len(runners)):  # nobody always runs after the same neighbour
            pause()
            with runners[j].threads(n_threads):
                row[j] = estimate[runners[j]] = burst(calls[runners[j]], estimate[runners[j]])
    return dict(zip(runners, seconds.T, strict=True))


def first_heat(rival, call, n_threads):
    """Return the seconds of one call."""
    pause()
    with rival.threads(n_threads):
        start = time.perf_counter()
        call()
        return time.perf_counter() - start


def quartiles(values):
    """Return the quartiles as a list [lower, median, upper]."""
    return [float(q) for q in np.percentile(values, [25, 50, 75])]
