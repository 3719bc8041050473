"""What a pass over a terabyte costs on a cluster: `python bench/cost.py --measure --insert`.

Kernel, disk, network and Dask's overhead are measured here, a formula puts them together, and rounds of the real
engine, in which workers sleep instead of computing, check the formula. docs/cost.md shows both.
"""

import json
import logging
import math
import os
import socket
import tempfile
import time
import timeit
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np

import data
from cases import Problem
from report import section_command
from store import busy_processors, processor
from tables import markdown

ROOT = Path(__file__).resolve().parents[1]
FIGURES, PAGE = ROOT / "bench" / "cost.json", ROOT / "docs" / "cost.md"
TERABYTE, WORKERS, KINDS = 1e12, (10, 100, 1000), ("sparse", "dense")
THREADS = 8  # of a worker
LINK = 1.25e9  # bytes per second of a network of 10 Gbit/s; what was measured counts where it is less
CARRIED = 8e6  # bytes of parameters that travel with the tasks, all copies together
POWERS = (3, 4, 5, 6, 7)  # of ten: numbers in a model, d x K
CHECKED = ((1, 3), (2, 3), (4, 3), (2, 6), (4, 5), (4, 6), (8, 3), (8, 5), (8, 6))  # workers, 10^p numbers
SLEEP = 0.1  # seconds in place of a worker's computing


# What is measured -----------------------------------------------------------------------------------------


def measure():
    """Write the figures of this machine."""
    found = {"processor": processor(), "processors": os.cpu_count(), "busy": busy_processors()}
    found |= {"sparse": kernel(sparse=True), "dense": kernel(sparse=False), "disk": disk()}
    one, other = np.ones(10**6), np.ones(10**6)
    found["loopback"] = loopback()
    found["add"] = one.nbytes / median(lambda: np.add(one, other, out=one))  # of one gradient to another
    # Dask's overhead from rounds of few numbers; the others check the formula.
    rounds = [[workers, 10**power, simulated(workers, 10**power)] for workers, power in CHECKED]
    small = np.array([[workers, seconds - SLEEP] for workers, numbers, seconds in rounds if numbers == 10**3])
    worker, start = np.polyfit(*small.T, 1).clip(0).tolist()
    found["dask"] = {"start": start, "worker": worker, "rate": transfer(), "rounds": rounds}
    FIGURES.write_text(json.dumps(found, indent=1) + "\n")


def median(call, rounds=9):
    """Return the seconds of a call; a first one does not count."""
    return float(np.median(timeit.repeat(call, number=1, repeat=1 + rounds)[1:]))


def kernel(sparse):
    """Bytes of rows per second of one thread: loss and gradient, float32; sparse: 60 classes, dense: 10."""
    random, n, d, K = np.random.default_rng(0), 65_536, *((20_000, 60) if sparse else (256, 10))
    if sparse:
        columns = np.sort((d * random.random((n, 20)) ** 3).astype(np.int32), axis=1)
        X = data.csr_of_equal_rows(random.random((n, 20), dtype=np.float32), columns, d)
    else:
        X = random.normal(size=(n, d)).astype(np.float32)
    problem = Problem(X, random.integers(0, K, n), K)
    objective = problem.ours(n_threads=1)
    return problem.nbytes / median(lambda: objective.value_and_grad(objective.initial()))


def disk(size=1 << 30):
    """Bytes per second of a file that is not in memory."""
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(size >> 24):
            file.write(os.urandom(1 << 24))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with open(file.name, "rb", buffering=0) as rows:
            block, begun = bytearray(1 << 22), time.perf_counter()
            while rows.readinto(block):
                pass
            return size / (time.perf_counter() - begun)


def loopback(size=1 << 28):
    """Bytes per second through a socket on this machine."""
    with (
        ThreadPoolExecutor(1) as pool,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sender,
        server.accept()[0] as receiver,
    ):
        block, zeros, received, begun = bytearray(1 << 20), bytes(1 << 20), 0, time.perf_counter()
        sent = pool.submit(lambda: [sender.sendall(zeros) for _ in range(size >> 20)])
        while received < size:
            received += receiver.recv_into(block)
        sent.result()
        return size / (time.perf_counter() - begun)


# Rounds of the real engine --------------------------------------------------------------------------------


def simulated(workers, numbers):
    """Seconds of a round in which each worker sleeps, and has a gradient of so many numbers."""
    import scipy.sparse as sp
    from dask import delayed

    from fastxent.dask import LogisticRegression
    from fastxent.dask.parts import Parts
    from fastxent.loss import Part

    d = numbers // 10 - 1

    def rows(seed):
        return sp.random_array((10, d), density=2 / d, format="csr", rng=seed), np.arange(10)

    def sleeps(self, theta, scale):
        time.sleep(SLEEP)
        return 1.0, np.ones_like(theta)

    # Workers are threads of this process: what is replaced here is replaced for them, too.
    with small_cluster(workers) as client, mock.patch.object(Part, "loss_and_grad", sleeps):
        model = LogisticRegression(client=client)
        with model._cluster() as cluster:
            parts = Parts(cluster, [delayed(rows)(i) for i in range(workers)])
            objective = model._batches(parts).objective()
            theta = np.random.default_rng(0).normal(size=objective.shape)
            return median(lambda: objective.value_and_grad(theta))


def transfer(size=1 << 26):
    """Bytes per second of an array from a worker to this process, by way of the scheduler, as results come."""
    with small_cluster(1) as client:

        def seconds(make):
            return median(lambda: client.submit(make, size // 8, pure=False).result(), 5)

        return size / max(seconds(np.ones) - seconds(lambda n: len(np.ones(n))), 1e-3)


@contextmanager
def small_cluster(workers):
    """A client of a cluster whose workers are threads of this process, and speak TCP as others do."""
    from distributed import Client, LocalCluster

    how = {"processes": False, "protocol": "tcp", "dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=workers, threads_per_worker=1, **how) as cluster, Client(cluster) as client:
        yield client


# The formula ----------------------------------------------------------------------------------------------


def round_seconds(figures, workers, numbers, link=None):
    """Seconds of a pass beside reading and computing.

    ``link`` is bytes per second between two machines, all pairs at once. None: all transfers share one machine, as in
    the rounds that are simulated.
    """
    dask, size = figures["dask"], 8.0 * numbers
    rate = dask["rate"] if link is None else min(link, dask["rate"])
    if size * workers <= CARRIED:  # with the tasks, and back: by way of the scheduler
        return dask["start"] + dask["worker"] * workers + 2 * workers * size / rate
    levels, pieces = math.ceil(math.log2(workers)), math.ceil(size / CARRIED)
    overhead = dask["start"] * (2 + levels) + dask["worker"] * (pieces + 2 * workers - 1)
    steps = levels if link is not None else workers - 1  # what cannot go side by side
    tree = steps * (size / rate + size / figures["add"])
    spread = (1 + steps) * size / rate
    return overhead + spread + tree + size / rate


def reading_seconds(figures, workers, kind, on_disk):
    """Seconds of computing, or of reading if rows come from the disk and that takes longer."""
    rate = figures[kind] * THREADS
    return TERABYTE / (workers * (min(rate, figures["disk"]) if on_disk else rate))


def bottleneck(figures, workers, seconds):
    """Numbers d x K beyond which parameters and gradients take longer than something else."""
    empty, sizes = round_seconds(figures, workers, 0, LINK), np.geomspace(1e3, 1e9, 601)
    return next((p for p in sizes if round_seconds(figures, workers, p, LINK) - empty > seconds), math.inf)


# The page -------------------------------------------------------------------------------------------------


def shown(seconds):
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:,.0f}"


def magnitude(number):
    if math.isinf(number):
        return "never"
    power = math.floor(math.log10(number))
    return f"{number / 10**power:.0f} x 10^{power}"


def page():
    """The text between the marks of docs/cost.md."""
    figures = json.loads(FIGURES.read_text())
    dask, rates = figures["dask"], {**figures, **figures["dask"]}
    titles = {
        "sparse": "kernel, sparse rows, 60 classes, float32, one thread",
        "dense": "kernel, dense rows, 10 classes, float32, one thread",
        "disk": "disk",
        "loopback": "a socket, loopback",
        "rate": "an array through Dask, loopback",
        "add": "adding up gradients",
    }
    measured = [{"what": what, "figure": f"{rates[name] / 1e6:,.0f} MB/s"} for name, what in titles.items()]
    overhead = f"{1e3 * dask['start']:.0f} ms + {1e3 * dask['worker']:.1f} ms for each worker"
    measured.append({"what": "a round of Dask", "figure": overhead})
    passes, limits = [], []
    for workers in WORKERS:
        row, limit = {"workers": f"{workers:,}"}, {"Dask's round": round_seconds(figures, workers, 0, LINK)}
        reading = {
            k: [reading_seconds(figures, workers, k, on_disk) for on_disk in (False, True)] for k in KINDS
        }
        rounds = {f"round, 10^{p}": shown(round_seconds(figures, workers, 10**p, LINK)) for p in POWERS}
        passes.append(row | {f"{k} rows": "; ".join(map(shown, s)) for k, s in reading.items()} | rounds)
        limit |= {f"{kind} rows in memory": seconds[0] for kind, seconds in reading.items()}
        limits.append(row | {k: magnitude(bottleneck(figures, workers, s)) for k, s in limit.items()})
    check = [
        {
            "workers": str(workers),
            "numbers": magnitude(numbers),
            "round": f"{seconds:.2f} s",
            "formula": f"{SLEEP + round_seconds(figures, workers, numbers):.2f} s",
        }
        for workers, numbers, seconds in dask["rounds"]
    ]
    return f"""\
Measured on {figures["processor"]}, {figures["processors"]} processors, of which other work kept \
{figures["busy"]:.1f} busy:

{markdown(measured)}
Seconds of a pass over 1 TB, of workers with {THREADS} threads each and a network of 10 Gbit/s, or Dask's rate if that \
is less. Rows: in memory; on the disk. Round: Dask's overhead, parameters out, gradients back, for a model of so many \
numbers.

{markdown(passes)}
Numbers d x K beyond which parameters and gradients take longer than

{markdown(limits)}
The check: rounds of the real engine in which each worker sleeps {SLEEP:g} s in place of computing, all on one \
machine, whose transfers cannot go side by side (the formula knows).

{markdown(check)}"""


if __name__ == "__main__":
    section_command(__doc__, PAGE, "cost", measure, page)
