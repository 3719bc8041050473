"""Train to a relative suboptimality of 1e-2, 1e-4, 1e-6: `python bench/convergence.py`.

Every trainer runs from scratch at growing effort (more iterations, or a smaller tolerance) until F as one plain
float64 function sees it is within 1e-6 of the least value known, or its time is up: in a process of its own, on one
thread and on all. The runs on both sides of each level are then repeated in further processes, everybody in turn. What
is kept is seconds and F of each run.
"""

import math
import os
import time

import numpy as np
import scipy.sparse as sp

import processes
import store
from cases import TRAININGS
from processes import extra_megabytes, log, records_of
from rivals import OURS, TRAINERS, WITH_TOL, meet
from store import wanted

LEVELS = (1e-2, 1e-4, 1e-6)
NEAR = 1 + 0.3 * LEVELS[-1]  # times the least value: the last level is behind
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
    """Return the seconds to a suboptimality, between two runs on a line of log gap over log time, or NaN."""
    seconds, gap = gaps(points, optimum)
    reached = np.flatnonzero(gap <= level)
    if not reached.size:
        return math.nan
    i = reached[0]
    if i == 0 or seconds[reached].min() <= seconds[i - 1]:
        return float(seconds[reached].min())
    gap_and_seconds = np.log([[max(gap[i], 1e-3 * level), gap[i - 1]], seconds[[i, i - 1]]])
    return float(np.exp(np.interp(np.log(level), *gap_and_seconds)))


# ------------------------------------------------------------------------------------ in a process of its own


def timed(function, *arguments):
    begun = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - begun, result


def climb(path, race, label, threads, *, step=(), efforts=None, target=0.0, cap=math.inf, rise=math.inf):
    """Yield what is known of a trainer's first call, and its runs at these efforts; without them at growing effort.

    "first" is the seconds of the first call in this process: of imports and compiling, for many. A climb ends when the
    target is reached, when nothing moves any more, when another run would take more than ``cap`` seconds, or when the
    objective is ``rise`` times its least value.
    """
    problem, rival = meet(path, race, label)
    fit, before, values = rival.build(problem, threads, **dict(step)), rival.efforts[0], []
    first, _ = timed(fit, before)
    yield {
        "first": first,
        "extra_megabytes": extra_megabytes(lambda: fit(before)) if efforts is None else None,
    }
    for effort in rival.efforts if efforts is None else efforts:
        seconds, found = timed(fit, effort)
        # Descent is judged by probabilities of held-out rows.
        descent = callable(found)
        values.append(problem.log_loss(found()) if descent else problem.objective(*found, rival.intercepts))
        yield {"effort": effort, "seconds": [seconds], "objective": values[-1]}
        settled = len(values) > 6 and values[-1] == values[-4]
        over = values[-1] <= target or settled or values[-1] > rise * min(values)
        if efforts is None and (over or seconds * max(effort / before, 1.5) > cap):
            return
        before = effort


# ------------------------------------------------------------------------------------ one problem


class Course:
    """One problem, and what is known of it: least values of F, how long our own choice takes."""

    def __init__(self, problem, path, threads, seconds):
        self.problem, self.path, self.threads = problem, path, threads
        self.deadline, self.least, self.pace = time.monotonic() + seconds, {}, seconds

    def left(self):
        return max(0.0, self.deadline - time.monotonic())

    def find_least(self, intercepts):
        """Find the least value of F, or of the variant that is minimised with such an intercept, by a long run."""
        from fastxent import solvers

        until, X = time.monotonic() + max(2.0, self.left() / 6), self.problem.X
        if penalised := intercepts == "penalised":  # like the weight of a column of ones
            X = (sp.hstack if sp.issparse(X) else np.hstack)([X, np.ones((X.shape[0], 1))])
            X = X.tocsr() if sp.issparse(X) else X
        objective = self.problem.ours(X, fit_intercept=intercepts == "free", n_threads=self.threads)
        how = {"tol": REFERENCE_TOL, "max_iter": 100_000, "callback": lambda *_: time.monotonic() > until}
        theta = solvers.solve(objective, objective.initial(), **how).theta
        coef, intercept = (theta[:-2], theta[-2]) if penalised else (theta[:-1], theta[-1])
        self.least[intercepts] = self.problem.objective(coef.T, intercept, intercepts)

    def climb(self, trainer, threads, wait, **how):
        """Return a trainer's first call and runs in a process of its own, which may take twice ``wait`` seconds."""
        how |= {"path": self.path, "race": "training"}
        limits = {"threads": threads, "timeout": 2 * wait + STARTUP_SECONDS}
        first, *points = records_of(trainer, "convergence:climb", how, **limits) or [{}]
        return first, points

    def reached(self, trainer, points):
        return np.array([seconds_to(level, points, self.least[trainer.intercepts]) for level in LEVELS])

    def climb_on_threads(self, trainer):
        """Climb on one thread and on all; return who gets further, or there earlier: threads, first call, and runs."""
        patience, kind = OUR_PATIENCE if trainer.ours else PATIENCE, trainer.intercepts
        climbs = []
        for n in {1, trainer.threads or self.threads}:
            cap = max(LEAST_PATIENCE, min(patience * self.pace, self.left() / 6))
            first, points = self.climb(trainer, n, 3 * cap, target=NEAR * self.least[kind], cap=cap)
            if points:
                climbs.append((n, first, points))
                self.least[kind] = min([self.least[kind], *(point["objective"] for point in points)])

        def quality(climb):  # the seconds to the last level first
            return np.nan_to_num(self.reached(trainer, climb[-1])[::-1], nan=np.inf).tolist()

        return min(climbs, key=quality, default=None)

    def repeat(self, climbed, rounds):
        """Measure the runs on both sides of each level again, in turn, while there is time.

        Our own, and those of every peer that comes near the fastest peer at some level.
        """
        times = {trainer: self.reached(trainer, points) for trainer, (_, points) in climbed.items()}
        peers = [found for trainer, found in times.items() if not trainer.ours]
        fastest = np.fmin.reduce(peers or [np.full(len(LEVELS), np.nan)])
        contenders = [t for t, found in times.items() if t.ours or np.any(found <= 2 * fastest)]
        for i in range(rounds):
            for trainer in np.roll(contenders, -i):  # nobody always runs after the same neighbour
                threads, points = climbed[trainer]
                _, gap = gaps(points, self.least[trainer.intercepts])
                firsts = [int(np.argmax(gap <= level)) for level in LEVELS if np.any(gap <= level)]
                places = {max(0, place) for first in firsts for place in (first - 1, first)}
                chosen = [points[place] for place in sorted(places)]
                wait = sum(point["seconds"][0] for point in chosen)
                if chosen and wait <= self.left():
                    efforts = [point["effort"] for point in chosen]
                    _, again = self.climb(trainer, threads, 3 * wait, efforts=efforts)
                    for point, found in zip(chosen, again, strict=False):
                        point["seconds"] += found["seconds"]


def race(case, trainers, options, seconds):
    """Yield the record of one problem, more complete each time."""
    from fastxent import solvers

    problem = case.problem()
    record = {"problem": case.label, "threads": options.threads, "trainers": {}}
    record |= {"rows": problem.n_rows, "features": problem.X.shape[1]}
    record["choice"] = solvers.choose(problem.ours())
    with processes.file_of(problem) as path:
        course, climbed = Course(problem, path, options.threads, seconds), {}
        record["least"] = course.least
        for trainer in (trainer for trainer in trainers if trainer.suits(case)):
            if trainer.intercepts not in course.least:
                course.find_least(trainer.intercepts)
            if not (best := course.climb_on_threads(trainer)):
                continue
            threads, first, points = best
            about = {"threads": threads, "intercepts": trainer.intercepts, "points": points}
            record["trainers"][trainer.name], climbed[trainer] = first | about, (threads, points)
            reached = course.reached(trainer, points)
            log(f"    {trainer.name:32} {threads}" + "".join(f"{s:9.3g} s" for s in reached))
            if trainer.name == OURS:
                course.pace = float(np.nan_to_num(reached[-1], nan=course.pace))
                _, record["tol"] = course.climb(WITH_TOL, options.threads, course.left(), efforts=LEVELS)
            yield record
        course.repeat(climbed, options.rounds)
        yield record


def main():
    numbers = {
        "budget": (4000.0, "seconds for everything"),
        "threads": (os.cpu_count() or 1, "beside one"),
        "rounds": (2, "further processes of those who matter"),
    }
    parser = store.parser(__doc__, "problem", "rival", **numbers)
    parser.add_argument("--twins", action="store_true", help="only the kinds of problems that were slow once")
    options = parser.parse_args()
    versions, trainers = processes.found([t for t in TRAINERS if wanted(t.name, options.rival)])
    results = store.Results(options, "training", versions)
    cases = [case for case in TRAININGS if wanted(case.label, options.problem)]
    cases = [case for case in cases if case.quick >= options.quick and case.twin >= options.twins]
    deadline = time.monotonic() + options.budget
    for i, case in enumerate(cases):
        seconds = max(0.0, deadline - time.monotonic()) / (len(cases) - i)
        results.add(f"{case.label} ({seconds:.0f} s)", race(case, trainers, options, seconds))


if __name__ == "__main__":
    main()
