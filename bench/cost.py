"""What a pass over a terabyte costs on a cluster: `python bench/cost.py --measure --insert`.

Kernel, disk, network and Dask's overhead are measured here, a formula puts them together, and rounds of the real
engine, in which workers sleep instead of computing, check the formula. docs/cost.md shows both.
"""

import argparse
import json
import math
import os
import socket
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from machine import busy_processors, log, processor
from tables import insert

ROOT = Path(__file__).resolve().parents[1]
FIGURES, PAGE = ROOT / "bench" / "cost.json", ROOT / "docs" / "cost.md"
TERABYTE, WORKERS = 1e12, (10, 100, 1000)
THREADS = 8  # of a worker
LINK = 1.25e9  # bytes per second of a network of 10 Gbit/s; what was measured counts where it is less
CARRIED = 8e6  # bytes of parameters that travel with the tasks, all copies together
SIZES = (10**3, 10**4, 10**5, 10**6, 10**7)  # numbers in a model, d x K
_CHECKED = (
    (1, 10**3),
    (2, 10**3),
    (4, 10**3),
    (2, 10**6),
    (4, 10**5),
    (4, 10**6),
    (8, 10**3),
    (8, 10**5),
    (8, 10**6),
)
_SLEEP = 0.1  # seconds in place of a worker's computing
_ROUNDS = 9


# What is measured -----------------------------------------------------------------------------------------


def measure():
    """Return the figures of this machine."""
    found = {"processor": processor(), "processors": os.cpu_count(), "busy": busy_processors()}
    for name, step in (
        ("sparse", lambda: kernel(sparse=True)),
        ("dense", lambda: kernel(sparse=False)),
        ("disk", disk),
        ("loopback", loopback),
        ("add", addition),
        ("dask", dask_figures),
    ):
        log(name)
        found[name] = step()
    return found


def kernel(sparse):
    """Bytes of rows per second of one thread: loss and gradient, float32; sparse: 60 classes, dense: 10."""
    import scipy.sparse as sp

    from fastxent.data.targets import Targets
    from fastxent.objective import Objective

    random, n, d, K = np.random.default_rng(0), 65_536, *((20_000, 60) if sparse else (256, 10))
    if sparse:
        columns = np.sort((d * random.random((n, 20)) ** 3).astype(np.int32), axis=1)
        values = random.random((n, 20), dtype=np.float32)
        X = sp.csr_array((values.ravel(), columns.ravel(), 20 * np.arange(n + 1, dtype=np.int32)), (n, d))
        size = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    else:
        X = random.normal(size=(n, d)).astype(np.float32)
        size = X.nbytes
    objective = Objective.over(X, Targets(random.integers(0, K, n), K), n_threads=1)
    return size / median(lambda: objective.value_and_grad(objective.initial()))


def disk(size=1 << 30):
    """Bytes per second of a file that is not in memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows")
        with open(path, "wb") as file:
            for _ in range(size >> 24):
                file.write(os.urandom(1 << 24))
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with open(path, "rb", buffering=0) as file:
            block, begun = bytearray(1 << 22), time.perf_counter()
            while file.readinto(block):
                pass
        return size / (time.perf_counter() - begun)


def loopback(size=1 << 28):
    """Bytes per second through a socket on this machine."""
    block = bytes(1 << 20)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send():
            with socket.create_connection(server.getsockname()) as sender:
                for _ in range(size >> 20):
                    sender.sendall(block)

        thread = threading.Thread(target=send)
        thread.start()
        receiver, _ = server.accept()
        begun, into = time.perf_counter(), bytearray(1 << 20)
        with receiver:
            while receiver.recv_into(into):
                pass
        seconds = time.perf_counter() - begun
        thread.join()
    return size / seconds


def addition():
    """Bytes per second of adding one gradient to another."""
    one, other = np.ones(10**6), np.ones(10**6)
    return one.nbytes / median(lambda: one.__iadd__(other))


def median(call, times=_ROUNDS):
    call()
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds))


# Rounds of the real engine --------------------------------------------------------------------------------


def dask_figures():
    """Dask's overhead and rate, from rounds of few and of many numbers; and other rounds, to check the formula."""
    rounds = [[W, p, simulated(W, p)] for W, p in _CHECKED]
    small = np.array([[W, seconds] for W, p, seconds in rounds if p == 10**3])
    slope, start = np.polyfit(small[:, 0], small[:, 1] - _SLEEP, 1)
    return {
        "start": float(max(start, 0.0)),
        "worker": float(max(slope, 0.0)),
        "rate": transfer(),
        "rounds": rounds,
    }


def simulated(workers, numbers):
    """Seconds of a round in which each worker sleeps, and has a gradient of so many numbers."""
    with small_cluster(workers) as client:
        from fastxent.dask import LogisticRegression
        from fastxent.dask.parts import Parts
        from fastxent.loss import Part

        def sleeps(self, theta, scale):
            time.sleep(_SLEEP)
            return 1.0, np.ones_like(theta)

        random, d = np.random.default_rng(0), numbers // 10 - 1
        import scipy.sparse as sp
        from dask import delayed

        def rows(seed):
            return sp.random_array((10, d), density=2 / d, format="csr", rng=seed), np.arange(10)

        computes, Part.loss_and_grad = Part.loss_and_grad, sleeps  # workers are threads of this process
        try:
            model = LogisticRegression(client=client)
            with model._cluster() as cluster:
                parts = Parts(cluster, [delayed(rows)(i) for i in range(workers)])
                objective = model._batches(parts).objective()
                theta = random.normal(size=objective.shape)
                return median(lambda: objective.value_and_grad(theta))
        finally:
            Part.loss_and_grad = computes


def transfer(size=1 << 26):
    """Bytes per second of an array from a worker to this process, by way of the scheduler, as results come."""
    with small_cluster(1) as client:

        def fetch():
            future = client.submit(np.ones, size // 8, pure=False)
            future.result()

        def make():
            future = client.submit(lambda n: len(np.ones(n)), size // 8, pure=False)
            future.result()

        return size / max(median(fetch, 5) - median(make, 5), 1e-3)


def small_cluster(workers):
    """A client of a cluster whose workers are threads of this process, and speak TCP as others do."""
    import logging
    from contextlib import contextmanager

    from distributed import Client, LocalCluster

    @contextmanager
    def opened():
        how = {
            "processes": False,
            "protocol": "tcp",
            "dashboard_address": ":0",
            "silence_logs": logging.CRITICAL,
        }
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, **how) as cluster,
            Client(cluster) as client,
        ):
            yield client

    return opened()


# The formula ----------------------------------------------------------------------------------------------


def round_seconds(figures, workers, numbers, link=None):
    """Seconds of a pass beside reading and computing.

    link : float or None
        Bytes per second between two machines, all pairs at once. None: all transfers share one machine, as in the
        rounds that are simulated.
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


def reading_seconds(figures, workers, kind, cached):
    """Seconds of computing, or of reading if rows come from the disk and that takes longer."""
    rate = figures[kind] * THREADS
    return TERABYTE / (workers * (min(rate, figures["disk"]) if cached else rate))


def bottleneck(figures, workers, seconds):
    """Numbers d x K beyond which parameters and gradients take longer than something else."""
    empty = round_seconds(figures, workers, 0, LINK)
    candidates = np.geomspace(1e3, 1e9, 601)
    over = [p for p in candidates if round_seconds(figures, workers, p, LINK) - empty > seconds]
    return min(over, default=math.inf)


# The page -------------------------------------------------------------------------------------------------


def page(figures):
    """The text between the marks of docs/cost.md."""
    dask = figures["dask"]
    lines = [
        f"Measured on {figures['processor']}, {figures['processors']} processors, of which other work kept "
        f"{figures['busy']:.1f} busy:",
        "",
        "| what | figure |",
        "| --- | --- |",
        f"| kernel, sparse rows, 60 classes, float32, one thread | {figures['sparse'] / 1e6:,.0f} MB/s |",
        f"| kernel, dense rows, 10 classes, float32, one thread | {figures['dense'] / 1e6:,.0f} MB/s |",
        f"| disk | {figures['disk'] / 1e6:,.0f} MB/s |",
        f"| a socket, loopback | {figures['loopback'] / 1e6:,.0f} MB/s |",
        f"| an array through Dask, loopback | {dask['rate'] / 1e6:,.0f} MB/s |",
        f"| adding up gradients | {figures['add'] / 1e6:,.0f} MB/s |",
        f"| a round of Dask | {1e3 * dask['start']:.0f} ms + {1e3 * dask['worker']:.1f} ms for each worker |",
        "",
        f"Seconds of a pass over 1 TB, of workers with {THREADS} threads each and a network of 10 Gbit/s, or Dask's "
        "rate if that is less. Rows: in memory; on the disk. Round: Dask's overhead, parameters out, gradients back, "
        "for a model of so many numbers.",
        "",
        "| workers | sparse rows | dense rows | "
        + " | ".join(f"round, 10^{round(math.log10(p))}" for p in SIZES)
        + " |",
        "| --- |" + " --- |" * (2 + len(SIZES)),
    ]
    for workers in WORKERS:
        rows = [
            "; ".join(shown(reading_seconds(figures, workers, kind, cached)) for cached in (False, True))
            for kind in ("sparse", "dense")
        ]
        rounds = [shown(round_seconds(figures, workers, p, LINK)) for p in SIZES]
        lines.append(f"| {workers:,} | " + " | ".join([*rows, *rounds]) + " |")
    lines += ["", "Numbers d x K beyond which parameters and gradients take longer than", ""]
    lines += [
        "| workers | Dask's round | sparse rows in memory | dense rows in memory |",
        "| --- |" + " --- |" * 3,
    ]
    for workers in WORKERS:
        others = [round_seconds(figures, workers, 0, LINK)]
        others += [reading_seconds(figures, workers, kind, False) for kind in ("sparse", "dense")]
        found = [magnitude(bottleneck(figures, workers, seconds)) for seconds in others]
        lines.append(f"| {workers:,} | " + " | ".join(found) + " |")
    lines += [
        "",
        f"The check: rounds of the real engine in which each worker sleeps {_SLEEP:g} s in place of computing, all on "
        "one machine, whose transfers cannot go side by side (the formula knows).",
        "",
        "| workers | numbers | round | formula |",
        "| --- | --- | --- | --- |",
    ]
    for workers, numbers, seconds in dask["rounds"]:
        formula = _SLEEP + round_seconds(figures, workers, numbers)
        lines.append(f"| {workers} | {magnitude(numbers)} | {seconds:.2f} s | {formula:.2f} s |")
    return "\n".join(lines) + "\n"


def shown(seconds):
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:,.0f}"


def magnitude(number):
    if math.isinf(number):
        return "never"
    power = math.floor(math.log10(number))
    return f"{number / 10**power:.0f} x 10^{power}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="anew, on this machine, into bench/cost.json")
    parser.add_argument("--insert", action="store_true", help="into docs/cost.md; else the text is printed")
    given = parser.parse_args()
    if given.measure:
        FIGURES.write_text(json.dumps(measure(), indent=1) + "\n")
    text = page(json.loads(FIGURES.read_text()))
    if given.insert:
        insert(text, PAGE, "cost")
    else:
        print(text)


if __name__ == "__main__":
    main()
