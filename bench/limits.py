"""What this machine can do at best, to see how far everybody is from it: `python bench/limits.py`."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits


def best_seconds(call, repeats=5):
    """Return the least time of a few calls: a limit is what is possible, not what is usual."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def read_bandwidth(n_threads, megabytes=512):
    """Return GB/s of reading memory far larger than the caches, each thread its own part."""
    parts = np.array_split(np.ones(megabytes * 2**20 // 8), n_threads)
    with threadpool_limits(1), ThreadPoolExecutor(n_threads) as pool:
        return megabytes * 2**20 / best_seconds(lambda: list(pool.map(lambda part: part @ part, parts))) / 1e9


def product_rate(dtype, n_threads, shape=(2048, 2048, 2048)):
    """Return GFLOP/s of a matrix product of (n, d) with (d, k)."""
    n, d, k = shape
    left, right = np.ones((n, d), dtype), np.ones((d, k), dtype)
    out = np.empty((n, k), dtype)
    with threadpool_limits(n_threads):
        return 2 * n * d * k / best_seconds(lambda: np.matmul(left, right, out=out)) / 1e9


def exp_rate(dtype, n_threads, size=2**13, repeats=2_000):
    """Return billions of NumPy exponentials a second, from arrays that stay in cache."""

    def work(_):
        values, out = np.linspace(-10, 0, size, dtype=dtype), np.empty(size, dtype)
        for _ in range(repeats):
            np.exp(values, out=out)

    with ThreadPoolExecutor(n_threads) as pool:
        return (
            n_threads * size * repeats / best_seconds(lambda: list(pool.map(work, range(n_threads))), 3) / 1e9
        )


def measure_limits(threads):
    """Return a dict of thread count to a dict of rates."""
    tall = (60_000, 784, 10)
    return {
        n: {
            "read GB/s": read_bandwidth(n),
            **{f"product GFLOP/s {np.dtype(t)}": product_rate(t, n) for t in (np.float64, np.float32)},
            **{
                f"10-column product GFLOP/s {np.dtype(t)}": product_rate(t, n, tall)
                for t in (np.float64, np.float32)
            },
            **{f"exp G/s {np.dtype(t)}": exp_rate(t, n) for t in (np.float64, np.float32)},
        }
        for n in threads
    }


def better(one, other):
    """Return the higher of two measurements: something else may have run during one of them."""
    return {n: {name: max(rate, other[n][name]) for name, rate in rates.items()} for n, rates in one.items()}


def least_work(problem):
    """Return what a loss + gradient over dense rows cannot avoid: reading X once, and two products."""
    n, d = problem.X.shape
    return {"bytes": problem.X.nbytes, "flops": 4 * n * d * problem.theta.shape[1]}


def least_seconds(work, dtype, rates):
    """Return the time of this work at the machine's full speed, reading and computing at once."""
    return max(work["bytes"] / rates["read GB/s"], work["flops"] / rates[f"product GFLOP/s {dtype}"]) / 1e9


if __name__ == "__main__":
    for n_threads, rates in measure_limits(sorted({1, os.cpu_count()})).items():
        print(f"{n_threads} thread{'s' if n_threads > 1 else ''}")
        for name, rate in rates.items():
            print(f"    {name:38} {rate:8.1f}")
