"""Fuzzing: examples for every public entry point, run in child processes, so that a crash or a hang is seen.

    python -m fuzz.run --examples 20000

Every failure is printed with what repeats it: an entry point, a seed, how many examples were asked for, and the
number of the example among them.
"""

import argparse
import collections
import json
import math
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fuzz.entries import ENTRIES

TESTS = Path(__file__).resolve().parents[1]
BATCH = 250  # examples of one child
PATIENCE = 300.0  # seconds for one example; the first may have to wait for Numba's compiler


class Job(NamedTuple):
    """So many examples of an entry point, or one of them only."""

    entry: str
    seed: int
    count: int
    only: int | None = None
    plant: str | None = None

    def words(self):
        numbers = [self.seed, self.count, *([] if self.only is None else [self.only])]
        return [*(["--plant", self.plant] if self.plant else []), ":".join([self.entry, *map(str, numbers)])]


class Failure(NamedTuple):
    """What went wrong, and what repeats it."""

    job: Job
    kind: str  # "crash", "hang" or "wrong"
    text: str
    example: str

    def __str__(self):
        again = f"python -m fuzz.worker {' '.join(self.job.words())}"
        return f"{self.kind}: {self.text}\n  example: {self.example}\n  again: {again}"


class Report(NamedTuple):
    """What came of a job."""

    job: Job
    ran: int
    failures: list


def run(jobs, patience=PATIENCE):
    """The reports of some jobs, done by one child, or by several if some die."""
    jobs, reports = list(jobs), []
    while len(reports) < len(jobs):
        done = _run_child(jobs[len(reports) :], patience)
        reports += done
        *_, last = reports
        for place, failure in enumerate(last.failures):
            if failure.kind != "wrong" and failure.job.only is not None and last.job.only is None:
                # Once more, for the example's text, which nobody could write down before.
                (again,) = _run_child([failure.job], patience)
                example = again.failures[0].example if again.failures else "(alone, it does no harm)"
                last.failures[place] = failure._replace(example=example)
    return reports


def _run_child(jobs, patience):
    """The reports of jobs up to the last, or to the one in which the child died."""
    reports, ran, failures, number, example = [], 0, [], -1, ""
    with _Child([word for job in jobs for word in job.words()]) as child:
        while len(reports) < len(jobs):
            job = jobs[len(reports)]
            try:
                word, *rest = child.read(patience if number >= 0 else max(patience, PATIENCE))
            except (queue.Empty, EOFError) as why:
                kind, text = child.give_up(hung=isinstance(why, queue.Empty))
                failures.append(
                    Failure(job._replace(only=number if number >= 0 else None), kind, text, example)
                )
                reports.append(Report(job, ran, failures))
                return reports
            if word == "begin":
                number, example = rest
            elif word == "end":
                reports.append(Report(job, ran, failures))
                ran, failures = 0, []
            else:
                ran += 1
                if word == "wrong":
                    failures.append(Failure(job._replace(only=number), "wrong", *rest))
    return reports


class _Child:
    """A worker process and the lines it writes."""

    def __init__(self, words):
        path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fuzz.worker", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._lines, self._errors = queue.Queue(), collections.deque(maxlen=60)
        self._readers = [
            threading.Thread(target=self._copy, args=(stream, put), daemon=True)
            for stream, put in (
                (self._process.stdout, self._lines.put),
                (self._process.stderr, self._errors.append),
            )
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _copy(stream, put):
        for line in stream:
            put(line)
        put("")

    def read(self, timeout):
        line = self._lines.get(timeout=timeout)
        if not line:
            raise EOFError
        return json.loads(line)

    def give_up(self, hung):
        """What kind of end it was, and what the child wrote of it."""
        if hung:
            self._process.send_signal(signal.SIGABRT)  # faulthandler then writes down where it is
        status = self._process.wait()
        for reader in self._readers:
            reader.join(10)
        what = "no answer for too long" if hung else f"the child ended with status {status}"
        return "hang" if hung else "crash", f"{what}\n{''.join(self._errors).strip()}"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._process.kill()
        for reader in self._readers:
            reader.join(10)
        self._process.__exit__(*error)  # waits, and closes the pipes


def plan(examples, seed, entries=None):
    """Jobs, with each entry point's share of so many examples."""
    chosen = {name: ENTRIES[name][-1] for name in entries or ENTRIES}
    total = sum(chosen.values())
    for name, share in chosen.items():
        wanted = math.ceil(examples * share / total)
        for number, first in enumerate(range(0, wanted, BATCH)):
            yield Job(name, seed + number, min(BATCH, wanted - first))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument(
        "--seed", type=int, default=None, help="of all examples; a new one each time by default"
    )
    parser.add_argument("--entry", action="append", choices=sorted(ENTRIES), help="only these entry points")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds for one example")
    options = parser.parse_args()
    seed = random.randrange(10**6) * 10**3 if options.seed is None else options.seed
    jobs = list(plan(options.examples, seed, options.entry))
    print(f"{options.examples} examples in {len(jobs)} child processes, seed {seed}", flush=True)
    began, ran, failed = time.perf_counter(), collections.Counter(), 0
    with ThreadPoolExecutor(options.processes) as pool:
        for (report,) in pool.map(lambda job: run([job], options.patience), jobs):
            ran[report.job.entry] += report.ran
            failed += len(report.failures)
            for failure in report.failures:
                print(f"\n{failure}", flush=True)
    for name, count in ran.items():
        print(f"{name:24} {count:6} examples")
    print(f"{ran.total()} examples, {failed} failures, {time.perf_counter() - began:.0f} s")
    return 1 if failed or ran.total() < options.examples else 0


if __name__ == "__main__":
    sys.exit(main())
