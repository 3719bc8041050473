"""What this machine can do at best, to see how far everybody is from it: `python bench/limits.py`."""

import os
import timeit
from concurrent.futures import ThreadPoolExecutor

import numpy as np

READ_MEGABYTES = (1, 4, 16, 64, 256)


def least(ways, parts):
    """Return the least seconds of a few calls of the fastest way, one thread for each part of the work.

    A limit is what is possible, not what is usual.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), ThreadPoolExecutor(len(parts)) as pool:
        calls = [lambda way=way: list(pool.map(way, parts)) for way in ways]
        return min(min(timeit.repeat(call, number=1, repeat=6)) for call in calls)


def read_rate(n_threads, megabytes):
    """Return GB/s of reading so much memory again and again, each thread its own part: by the faster of two readers."""
    parts, times = np.array_split(np.ones(megabytes * 2**20 // 8), n_threads), range(max(1, 256 // megabytes))
    readers = [
        lambda part: [part.view(np.int64).max() for _ in times],
        lambda part: [part @ part for _ in times],
    ]
    return len(times) * megabytes * 2**20 / least(readers, parts) / 1e9


def product_rate(dtype, n_threads, shape=(1536, 1024, 1536)):
    """Return GFLOP/s of a product of (n, d) with (d, k), each thread its own rows: BLAS's or ours, the faster."""
    from fastxent.prediction import predict

    n, d, k = shape
    left, theta, out = np.ones((n, d), dtype), np.ones((d + 1, k), dtype), np.empty((n, k), dtype)
    parts = list(zip(np.array_split(left, n_threads), np.array_split(out, n_threads), strict=True))
    ways = [
        lambda part: np.matmul(part[0], theta[:-1], out=part[1]),
        lambda part: predict(part[0], theta, "logits", n_threads=1),
    ]
    return 2 * n * d * k / least(ways, parts) / 1e9


def exp_rate(dtype, n_threads, shape=(8, 1024), repeats=2_000):
    """Return billions of exponentials a second, from arrays that stay in cache: NumPy's or ours, the faster."""
    from fastxent.logits import softmax_rows

    def numpy(_):
        values, out = np.full(shape, -1.0, dtype), np.empty(shape, dtype)
        for _ in range(repeats):
            np.exp(values, out=out)

    def ours(_):  # the search of the maximum and the sum included
        values, out = np.full(shape, -1.0, dtype), np.empty(shape[0], dtype)
        for _ in range(repeats):
            softmax_rows(values, out, "logsumexp", n_threads=1)

    return n_threads * shape[0] * shape[1] * repeats / least([numpy, ours], range(n_threads)) / 1e9


def measure_limits(threads):
    """Return a dict of thread count to a dict of rates."""
    dtypes, tall = ("float64", "float32"), (60_000, 784, 10)
    return {
        n: {f"read GB/s of {size} MB": read_rate(n, size) for size in READ_MEGABYTES}
        | {f"product GFLOP/s {dtype}": product_rate(dtype, n) for dtype in dtypes}
        | {f"10-column product GFLOP/s {dtype}": product_rate(dtype, n, tall) for dtype in dtypes}
        | {f"exp G/s {dtype}": exp_rate(dtype, n) for dtype in dtypes}
        for n in threads
    }


def least_work(problem, products=2):
    """Return what a pass over the rows of a linear model cannot avoid, whoever computes it.

    Read X once (and write n x K results, if they are what is wanted); multiply; take an exponential for each
    logit. "moves" are pairs: bytes, and the bytes of what they are part of, which decides on the cache they come
    from. For each non-zero of a CSR row the logits also read a row of weights, and the gradient reads and writes
    one: at best in the second-level cache.
    """
    X, K, n, itemsize = problem.X, problem.theta.shape[1], problem.n_rows, problem.X.dtype.itemsize
    streamed = problem.nbytes + (n * K * itemsize if products == 1 else 0)
    moves = [[streamed, streamed]]
    if problem.sparse:
        moves.append([(2 * products - 1) * X.size * K * itemsize, 0])
    return {"moves": moves, "flops": 2 * products * X.size * K, "exponentials": n * K}


def least_seconds(work, dtype, rates):
    """Return the time of this work at the machine's full speed, moving data and computing at once.

    Products and exponentials share the arithmetic units, so their times add up.
    """
    moving = sum(size / best_read_rate(whole, rates) for size, whole in work["moves"])
    computing = work["flops"] / rates[f"product GFLOP/s {dtype}"]
    computing += work["exponentials"] / rates[f"exp G/s {dtype}"]
    return max(moving, computing) / 1e9


def best_read_rate(size, rates):
    """Return GB/s of reading what is part of so many bytes: as measured on the next smaller piece of memory.

    A smaller piece is never slower than a larger one, whatever the machine did while one of them was measured.
    """
    step = max([step for step in READ_MEGABYTES if step * 2**20 <= size], default=READ_MEGABYTES[0])
    return max(rates[f"read GB/s of {other} MB"] for other in READ_MEGABYTES if other >= step)


if __name__ == "__main__":
    for n_threads, rates in measure_limits(sorted({1, os.cpu_count()})).items():
        print(f"{n_threads} thread{'s' if n_threads > 1 else ''}")
        print(*(f"    {name:38} {rate:8.1f}" for name, rate in rates.items()), sep="\n")
