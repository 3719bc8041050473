"""Train to a relative suboptimality of 1e-2, 1e-4, 1e-6: `python bench/convergence.py`.

Every trainer runs from scratch at growing effort (more iterations, or a smaller tolerance) until F as one plain
float64 function sees it is within 1e-6 of the least value known, or its time is up: in a process of its own, on one
thread and on all. The runs on both sides of each level are then repeated in further processes, everybody in turn. What
is kept is seconds and F of each run: `convergence_tables.py` makes tables and pictures of them.
"""

import math
import os
import pickle
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import processes
import store
from data import DataNotFound
from machine import log
from memory import extra_megabytes
from objectives import objective_of
from rivals import OURS, wanted
from trainers import TRAINERS
from training import TRAININGS

LEVELS = (1e-2, 1e-4, 1e-6)
REFERENCE_TOL = 1e-10
STARTUP_SECONDS = 90  # that imports, compiling and the first call may take
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
    if i == 0 or seconds[reached].min() <= seconds[i - 1]:
        return float(seconds[reached].min())
    above, below = np.log(gap[i - 1]), np.log(max(gap[i], 1e-3 * level))
    share = (above - np.log(level)) / (above - below)
    return float(np.exp((1 - share) * np.log(seconds[i - 1]) + share * np.log(seconds[i])))


def around(points, optimum):
    """Return the indices of the runs on both sides of each level: the ones that its seconds are made of."""
    _, gap = gaps(points, optimum)
    firsts = [np.flatnonzero(gap <= level)[:1] for level in LEVELS]
    return sorted({int(i) for first in firsts for i in (*first, *(first - 1)) if i >= 0})


# ------------------------------------------------------------------------------------ in a process of their own


def load(path):
    with open(path, "rb") as file:
        return pickle.load(file)


def reference(path, intercepts, threads, seconds):
    """Yield the least F that a long run of our own finds, and the name of the solver that auto takes."""
    from fastxent import solvers

    problem = load(path)
    objective = objective_of(
        problem.with_ones if intercepts == "penalised" else problem.X,
        problem.y,
        problem.n_classes,
        binary=problem.binary,
        fit_intercept=intercepts == "free",
        l2=problem.l2,
        l1=problem.l1,
        n_threads=threads,
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
    yield {
        "least": problem.objective(coef.T, intercept, intercepts),
        "choice": solvers.choose(objective),
        "rows": problem.n_rows,
        "features": problem.X.shape[1],
    }


def climb(path, name, threads, least, cap):
    """Yield the runs of a trainer at growing effort, until the last level is behind.

    "first" is the seconds of the first run in this process, which is not one of them. The climb ends when nothing moves
    any more, or when another run would take more than ``cap`` seconds.
    """
    trainer, problem, fit, first = start(path, name, threads)
    extra = extra_megabytes(lambda: fit(trainer.efforts[0]))
    values, efforts = [], trainer.efforts
    for i, effort in enumerate(efforts):
        point = run(trainer, problem, fit, effort)
        values.append(point["objective"])
        yield {**point, "first": first, "extra_megabytes": extra}
        settled = len(values) > 6 and values[-1] == values[-4]
        growth = effort / efforts[i - 1] if i else 1.0
        there = values[-1] / least - 1 <= 0.3 * LEVELS[-1]
        if there or settled or point["seconds"][0] * max(growth, 1.5) > cap:
            return


def again(path, name, threads, efforts):
    """Yield the runs of a trainer at some efforts."""
    trainer, problem, fit, _ = start(path, name, threads)
    for effort in efforts:
        yield run(trainer, problem, fit, effort)


def start(path, name, threads):
    """Return a trainer, its problem, its fit, and the seconds of a first run: of imports and compiling, for many."""
    trainer, problem = next(trainer for trainer in TRAINERS if trainer.name == name), load(path)
    fit = trainer.build(problem, threads)
    begin = time.perf_counter()
    fit(trainer.efforts[0])
    return trainer, problem, fit, time.perf_counter() - begin


def run(trainer, problem, fit, effort):
    begin = time.perf_counter()
    found = fit(effort)
    seconds = time.perf_counter() - begin
    return {
        "effort": effort,
        "seconds": [seconds],
        "objective": problem.objective(*found, trainer.intercepts),
    }


def what_tol_gives(path, threads):
    """Yield what our own choice reaches by itself, for the tolerances of the levels, and in how much time."""
    from fastxent import LogisticRegression

    problem = load(path)
    how = {"C": problem.C, "l1_ratio": problem.l1_ratio, "max_iter": 10_000, "n_threads": threads}
    for tol in LEVELS:
        start = time.perf_counter()
        model = LogisticRegression(tol=tol, **how).fit(problem.X, problem.y)
        seconds = time.perf_counter() - start
        yield {"tol": tol, "seconds": seconds, "objective": problem.objective(model.coef_, model.intercept_)}


# ------------------------------------------------------------------------------------ one problem


@dataclass
class Course:
    """One problem in a file, and what is known of it: least values of F, how long our own choice takes."""

    training: object
    path: str
    threads: int
    deadline: float

    def __post_init__(self):
        self.least, self.about, self.pace = {}, {}, self.left()

    def left(self):
        return max(0.0, self.deadline - time.monotonic())

    def prepare(self, intercepts):
        """Find the least value of F, or of the variant that is minimised with such an intercept, once."""
        if intercepts not in self.least:
            seconds = max(2.0, self.left() / 6)
            found, fault = self.run("reference", seconds, intercepts=intercepts, seconds=seconds)
            if fault:
                raise RuntimeError(fault)
            self.least[intercepts] = found[0].pop("least")
            self.about = self.about or {key: found[0][key] for key in ("choice", "rows", "features")}

    def run(self, function, wait, trainer=None, threads=None, **arguments):
        """Return what a function yields in a process of its own, and what went wrong; it may take twice ``wait`` s."""
        arguments |= {"path": self.path, "threads": threads or self.threads}
        arguments |= {"name": trainer.name} if trainer else {}
        return processes.run(
            f"convergence:{function}",
            arguments,
            library=trainer.module if trainer else "",
            threads=threads or self.threads,
            timeout=STARTUP_SECONDS + 2 * wait,
        )

    def climb(self, trainer, threads):
        """Return a trainer's runs on so many threads."""
        patience = OUR_PATIENCE if trainer.ours else PATIENCE
        cap = min(max(LEAST_PATIENCE, patience * self.pace), max(LEAST_PATIENCE, self.left() / 6))
        least = self.least[trainer.intercepts]
        points, fault = self.run("climb", 3 * cap, trainer, threads, least=least, cap=cap)
        if not points:
            log(f"    {trainer.name:32} {threads}: {fault}")
        for point in points:
            self.least[trainer.intercepts] = min(point["objective"], self.least[trainer.intercepts])
        return points

    def reached(self, trainer, points):
        return [seconds_to(level, points, self.least[trainer.intercepts]) for level in LEVELS]


def best_threads(course, trainer):
    """Climb on one thread and on all; return the better number, and its runs: who gets further, or there earlier."""
    climbs = {n: course.climb(trainer, n) for n in ((1, course.threads) if trainer.threaded else (1,))}
    climbs = {n: points for n, points in climbs.items() if points}
    if not climbs:
        return None

    def quality(n):
        times = course.reached(trainer, climbs[n])
        return sum(map(math.isnan, times)), np.nan_to_num(times[::-1], nan=np.inf).tolist()

    best = min(climbs, key=quality)
    return best, climbs[best]


def repeat(course, climbed, rounds):
    """Measure the runs that count again, everybody who matters in turn, while there is time."""
    contenders = in_contention(course, climbed)
    for i in range(rounds):
        for trainer in np.roll(contenders, -i):  # nobody always runs after the same neighbour
            threads, points = climbed[trainer]
            chosen = around(points, course.least[trainer.intercepts])
            wait = sum(points[k]["seconds"][0] for k in chosen)
            if chosen and wait <= course.left():
                efforts = [points[k]["effort"] for k in chosen]
                found, _ = course.run("again", 3 * wait, trainer, threads, efforts=efforts)
                for k, point in zip(chosen, found, strict=False):
                    points[k]["seconds"] += point["seconds"]


def in_contention(course, climbed):
    """Return our own and every peer that comes near the fastest peer at some level."""
    times = {trainer: np.array(course.reached(trainer, points)) for trainer, (_, points) in climbed.items()}
    peers = [times[trainer] for trainer in times if not trainer.ours]
    fastest = np.fmin.reduce(peers) if peers else np.full(len(LEVELS), np.nan)
    return [trainer for trainer in times if trainer.ours or np.any(times[trainer] <= 2 * fastest)]


def race(course, trainers, rounds):
    """Yield the record of one problem, more complete each time."""
    climbed, record = {}, {"problem": course.training.label, "threads": course.threads, "trainers": {}}
    for trainer in (t for t in trainers if t.suits(course.training)):
        course.prepare(trainer.intercepts)
        best = best_threads(course, trainer)
        if best is None:
            continue
        climbed[trainer] = best
        threads, points = best
        record["trainers"][trainer.name] = {
            "threads": threads,
            "intercepts": trainer.intercepts,
            **{key: points[0][key] for key in ("import", "first", "extra_megabytes")},
            "points": [{k: p[k] for k in ("effort", "seconds", "objective")} for p in points],
        }
        climbed[trainer] = threads, record["trainers"][trainer.name]["points"]
        reached = course.reached(trainer, points)
        log(f"    {trainer.name:32} {threads}" + "".join(f"{s:9.3g} s" for s in reached))
        if trainer.name == OURS:
            course.pace = float(np.nan_to_num(reached[-1], nan=course.pace))
            found, _ = course.run("what_tol_gives", course.left())
            record["tol"] = [{key: r[key] for key in ("tol", "seconds", "objective")} for r in found]
        yield {**record, **course.about, "least": course.least}
    repeat(course, climbed, rounds)
    yield {**record, **course.about, "least": course.least}


# ------------------------------------------------------------------------------------ all of them


def arguments():
    parser = store.parser(__doc__)
    parser.add_argument("--budget", type=float, default=4000, metavar="S", help="for everything (4000 s)")
    parser.add_argument("--twins", action="store_true", help="only the kinds of problems that were slow once")
    for what in ("problem", "rival"):
        help_text = f"only {what}s whose name has TEXT (repeatable)"
        parser.add_argument(f"--{what}", action="append", metavar="TEXT", help=help_text)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), metavar="N", help="default: all")
    parser.add_argument("--rounds", type=int, default=2, help="further processes of those who matter (2)")
    return parser.parse_args()


def main():
    options = arguments()
    versions, trainers = processes.found([t for t in TRAINERS if wanted(t.name, options.rival)])
    results = store.Results(options, "training", versions)
    problems = [
        training
        for training in TRAININGS
        if wanted(training.label, options.problem)
        and (training.quick or not options.quick)
        and (training.twin or not options.twins)
    ]
    deadline = time.monotonic() + options.budget
    for i, training in enumerate(problems):
        seconds = max(0.0, deadline - time.monotonic()) / (len(problems) - i)
        log(f"{training.label} ({seconds:.0f} s)")
        try:
            problem = training.problem()
        except DataNotFound as fault:
            log(f"    left out: {fault}")
            continue
        with tempfile.TemporaryDirectory(prefix="fastxent-bench-") as folder:
            path = Path(folder) / "problem.pickle"
            path.write_bytes(pickle.dumps(problem, protocol=5))
            del problem
            course = Course(training, str(path), options.threads, time.monotonic() + seconds)
            for record in race(course, trainers, options.rounds):
                results.add(record)


if __name__ == "__main__":
    main()
