"""Train to a relative suboptimality of 1e-2, 1e-4, 1e-6: `python bench/convergence.py`.

Every trainer runs from scratch at growing effort (more iterations, or a smaller tolerance) until F as one plain
float64 function sees it is within 1e-6 of the least value known, or its time is up. What is kept is seconds and
F of each run: `convergence_tables.py` makes tables and pictures of them. The budget is shared out among the
problems, and what one leaves is for the next; results are saved after every trainer.
"""

import argparse
import json
import math
import os
import time
import warnings
from pathlib import Path

import numpy as np

from data import DataNotFound
from measure import FIRST_CALL_SECONDS, busy_processors, pause, time_limit
from objectives import objective_of
from rivals import OURS
from run import installed_versions, log, machine, wanted
from trainers import TRAINERS
from training import TRAININGS

LEVELS = (1e-2, 1e-4, 1e-6)
HEAT_SECONDS = 0.2  # from then on a run tells which number of threads is better
MAX_ROUNDS = 5
REFERENCE_TOL = 1e-9
# How long a run may take: times what our own choice took for the last level, for our other solvers and for peers.
OUR_PATIENCE, PATIENCE = 2.5, 5.0
LEAST_PATIENCE = 1.0  # but this many seconds


# ------------------------------------------------------------------------------------ from runs to seconds


def gaps(points, optimum):
    """Return seconds (medians) and relative suboptimality of a trainer's runs, by effort."""
    seconds = np.array([np.median(point["seconds"]) for point in points])
    return seconds, np.array([point["objective"] for point in points]) / optimum - 1


def seconds_to(level, points, optimum):
    """Return the seconds to a suboptimality, between two runs on a line of log gap over log time; NaN if none reached
    it."""
    seconds, gap = gaps(points, optimum)
    reached = np.flatnonzero(gap <= level)
    if not reached.size:
        return math.nan
    i = reached[0]
    if i == 0 or seconds[i] <= seconds[i - 1]:
        return float(seconds[i])
    above, below = np.log(gap[i - 1]), np.log(max(gap[i], 1e-3 * level))
    share = (above - np.log(level)) / (above - below)
    return float(np.exp((1 - share) * np.log(seconds[i - 1]) + share * np.log(seconds[i])))


def around(points, optimum):
    """Return the indices of the runs on both sides of each level: the ones that its seconds are made of."""
    _, gap = gaps(points, optimum)
    firsts = [np.flatnonzero(gap <= level)[:1] for level in LEVELS]
    return sorted({int(i) for first in firsts for i in (*first, *(first - 1)) if i >= 0})


# ------------------------------------------------------------------------------------ one problem


class Course:
    """A problem, the least values known of F and of its variants, and how long anybody may take."""

    def __init__(self, problem, seconds):
        self.problem = problem
        self.deadline = time.monotonic() + seconds
        self.least = {}
        self.pace = seconds  # what our own choice takes for the last level, once that is known

    def left(self):
        return max(0.0, self.deadline - time.monotonic())

    def measure(self, trainer, fit, effort, n_threads, limit=math.inf):
        """Return a fit's effort, seconds and F at what it returns; None if it takes longer than ``limit`` seconds."""
        pause()
        try:
            with trainer.threads(n_threads), time_limit(math.ceil(min(limit, 3600))):
                start = time.perf_counter()
                found = fit(effort)
                seconds = time.perf_counter() - start
        except TimeoutError:
            return None
        objective = self.problem.objective(*found, trainer.intercepts)
        return {"effort": effort, "seconds": [seconds], "objective": objective}

    def prepare_reference(self, intercepts, n_threads):
        """Find the least value of F, or of the variant that is minimised with such an intercept, once."""
        if intercepts not in self.least:
            self.least[intercepts] = reference(self.problem, intercepts, n_threads, self.left() / 6)

    def gap(self, trainer, objective):
        self.least[trainer.intercepts] = min(objective, self.least[trainer.intercepts])
        return objective / self.least[trainer.intercepts] - 1


def reference(problem, intercepts, n_threads, seconds):
    """Return F after a long run of our own."""
    from fastxent import solvers

    objective = objective_of(
        problem.with_ones if intercepts == "penalised" else problem.X,
        problem.y,
        problem.n_classes,
        binary=problem.binary,
        fit_intercept=intercepts == "free",
        l2=problem.l2,
        l1=problem.l1,
        n_threads=n_threads,
    )
    deadline = time.monotonic() + seconds
    theta = solvers.solve(
        objective,
        objective.initial(),
        tol=REFERENCE_TOL,
        max_iter=100_000,
        callback=lambda theta, history: time.monotonic() > deadline,
    ).theta
    coef, intercept = (theta[:-2], theta[-2]) if intercepts == "penalised" else (theta[:-1], theta[-1])
    return problem.objective(coef.T, intercept, intercepts)


def climb(course, trainer, n_threads, cap):
    """Run a trainer at growing effort; return its better number of threads, as a setting, its fit and its points."""
    settings = trainer.settings(n_threads)
    fits = {setting: setting.start(course.problem, n_threads) for setting in settings}
    points = {setting: [] for setting in settings}
    limit = max(LEAST_PATIENCE, 4 * cap)
    first = trainer.efforts[0]  # the first call imports libraries and starts their threads: it does not count
    runners = [s for s in settings if course.measure(s, fits[s], first, n_threads, FIRST_CALL_SECONDS)]
    for effort in trainer.efforts:
        measured = {s: course.measure(s, fits[s], effort, n_threads, limit) for s in runners}
        measured = {setting: point for setting, point in measured.items() if point}
        for setting, point in measured.items():
            points[setting].append(point)
        runners = worth_going_on(measured)
        if not runners or finished(course, runners[0], points[runners[0]], cap):
            break
    chosen = max(settings, key=lambda s: (len(points[s]), -points[s][-1]["seconds"][0] if points[s] else 0))
    if not points[chosen]:
        raise TimeoutError(f"no run within {limit:.0f} s")
    return chosen, fits[chosen], points[chosen]


def worth_going_on(measured):
    """Return the settings to keep (dict of setting to its last run), the fastest first.

    Threads of two pools that wait for each other can cost a hundred times what one thread takes; and a run of some
    length says which setting is better.
    """
    order = sorted(measured, key=lambda setting: measured[setting]["seconds"])
    seconds = [measured[setting]["seconds"][0] for setting in order]
    if seconds and seconds[0] > HEAT_SECONDS:
        return order[:1]
    return [setting for setting, s in zip(order, seconds, strict=True) if s <= max(3 * seconds[0], 0.01)]


def finished(course, trainer, points, cap):
    """Whether the last level is behind, nothing moves any more, or another run would take too long."""
    last = points[-1]
    there = course.gap(trainer, last["objective"]) <= 0.3 * LEVELS[-1]
    settled = len(points) > 6 and last["objective"] == points[-4]["objective"]
    growth = last["effort"] / points[-2]["effort"] if len(points) > 1 else 1.0
    return there or settled or last["seconds"][0] * max(growth, 1.5) > cap or course.left() == 0


def repeat(course, climbed, n_threads):
    """Measure the runs that count again, everybody in turn, as often as the time left allows."""
    optimum = {trainer: course.least[trainer.intercepts] for trainer in climbed}
    chosen = {trainer: around(points, optimum[trainer]) for trainer, (_, points) in climbed.items()}
    runners = in_contention(climbed, optimum)
    for i in range(MAX_ROUNDS - 1):
        for j in np.roll(np.arange(len(runners)), -i):  # nobody always runs after the same neighbour
            fit, points = climbed[runners[j]]
            if sum(points[k]["seconds"][0] for k in chosen[runners[j]]) > course.left():
                continue
            for k in chosen[runners[j]]:
                points[k]["seconds"] += course.measure(runners[j], fit, points[k]["effort"], n_threads)[
                    "seconds"
                ]


def in_contention(climbed, optimum):
    """Return our own and every peer that comes near the fastest peer at some level."""
    times = {
        trainer: np.array([seconds_to(level, points, optimum[trainer]) for level in LEVELS])
        for trainer, (_, points) in climbed.items()
    }
    peers = [times[trainer] for trainer in times if trainer.module != OURS]
    fastest = np.fmin.reduce(peers) if peers else np.full(len(LEVELS), np.nan)
    return [trainer for trainer in times if trainer.module == OURS or np.any(times[trainer] <= 2 * fastest)]


def what_tol_gives(course, n_threads):
    """Return what our own choice reaches by itself, for the tolerances of the levels, and in how much time."""
    from fastxent import LogisticRegression

    problem, records = course.problem, []
    for tol in LEVELS:
        model = LogisticRegression(
            C=problem.C, l1_ratio=problem.l1_ratio, tol=tol, max_iter=10_000, n_threads=n_threads
        )
        start = time.perf_counter()
        model.fit(problem.X, problem.y)
        seconds = time.perf_counter() - start
        objective = problem.objective(model.coef_, model.intercept_)
        records.append({"tol": tol, "seconds": seconds, "objective": objective})
    return records


def choice(problem):
    """Return the name of the solver that solver="auto" takes."""
    from fastxent import solvers

    how = {"binary": problem.binary, "l2": problem.l2, "l1": problem.l1}
    return solvers.choose(objective_of(problem.X, problem.y, problem.n_classes, **how))


def race(training, trainers, n_threads, seconds):
    """Yield the record of one problem, more complete each time."""
    course = Course(training.problem(), seconds)
    record = {
        "problem": training.label,
        "rows": course.problem.n_rows,
        "features": course.problem.X.shape[1],
        "classes": training.n_classes,
        "sparse": training.sparse,
        "least": course.least,
        "choice": choice(course.problem),
        "trainers": {},
    }
    suited = [trainer for trainer in trainers if trainer.suits(training)]
    climbed = {}
    for trainer in suited:
        try:
            course.prepare_reference(trainer.intercepts, n_threads)
            patience = OUR_PATIENCE if trainer.module == OURS else PATIENCE
            cap = min(max(LEAST_PATIENCE, patience * course.pace), course.left() / 6)
            setting, fit, points = climb(course, trainer, n_threads, cap)
        except Exception as fault:
            record["trainers"][trainer.name] = {"failed": f"{type(fault).__name__}: {fault}"[:200]}
            log(f"    {trainer.name}: {record['trainers'][trainer.name]['failed']}")
            continue
        climbed[setting] = fit, points
        record["trainers"][trainer.name] = {
            "setting": setting.setting,
            "intercepts": trainer.intercepts,
            "points": points,
        }
        reached = [seconds_to(level, points, course.least[trainer.intercepts]) for level in LEVELS]
        log(f"    {trainer.name:32} {setting.setting:10}" + "".join(f"{s:9.3g} s" for s in reached))
        if trainer.name == OURS:
            course.pace = float(np.nan_to_num(reached[-1], nan=seconds))
            record["tol"] = what_tol_gives(course, n_threads)
        yield record
    repeat(course, climbed, n_threads)
    yield record


# ------------------------------------------------------------------------------------ all of them


def save(results, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=1500, metavar="S", help="for everything (1500 s)")
    parser.add_argument("--quick", action="store_true", help="a subset")
    for what in ("problem", "rival"):
        help_text = f"only {what}s whose name has TEXT (repeatable)"
        parser.add_argument(f"--{what}", action="append", metavar="TEXT", help=help_text)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), metavar="N", help="default: all")
    parser.add_argument(
        "--output", type=Path, default=Path("bench_output/convergence.json"), help="the results"
    )
    return parser.parse_args()


def main():
    options = arguments()
    warnings.simplefilter("ignore")  # not converged within the effort: F tells
    trainers = [t for t in TRAINERS if wanted(t.name, options.rival) and t.installed()]
    problems = [t for t in TRAININGS if wanted(t.label, options.problem) and (t.quick or not options.quick)]
    results = {
        "machine": machine(),
        "versions": installed_versions(),
        "load": busy_processors(),  # before we add to it
        "threads": options.threads,
        "budget": options.budget,
        "quick": options.quick,
        "problems": [],
    }
    deadline = time.monotonic() + options.budget
    for i, training in enumerate(problems):
        seconds = max(0.0, deadline - time.monotonic()) / (len(problems) - i)
        log(f"{training.label} ({seconds:.0f} s)")
        results["problems"].append(None)
        try:
            for record in race(training, trainers, options.threads, seconds):
                results["problems"][-1] = record
                save(results, options.output)
        except DataNotFound as fault:
            log(f"    left out: {fault}")
            results["problems"].pop()


if __name__ == "__main__":
    main()
