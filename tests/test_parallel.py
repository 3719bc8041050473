"""Threads: order, exceptions, nesting, fork, Ctrl-C, and how many there are."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from fastxent import parallel


def child(program, *, timeout=60, **environment):
    """Run a program in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(program)],
        env=os.environ | environment, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


# run --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 50])
def test_results_stand_in_the_order_of_the_pieces(count, n_threads):
    def task(i):
        time.sleep(0.002 if i % 3 == 0 else 0)  # later pieces overtake
        return i * i

    assert parallel.run(task, count, n_threads) == [i * i for i in range(count)]


def test_every_piece_runs_once_and_the_caller_helps():
    ran, where = [], set()

    def task(i):
        ran.append(i)
        where.add(threading.current_thread().name)
        time.sleep(0.001)

    parallel.run(task, 60, 3)
    assert sorted(ran) == list(range(60))
    assert threading.current_thread().name in where
    assert 2 <= len(where) <= 3


@pytest.mark.parametrize("n_threads", [1, 2, 4])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_is_raised_and_stops_the_taking_of_pieces(error, n_threads):
    ran = []

    def task(i):
        ran.append(i)
        if i == 3:
            raise error("of piece 3")
        time.sleep(0.001)

    with pytest.raises(error, match="of piece 3"):
        parallel.run(task, 10_000, n_threads)
    assert len(ran) < 100
    count = len(ran)
    time.sleep(0.02)
    assert len(ran) == count, "a piece was started after the exception had been raised"
    assert parallel.run(lambda i: i, 3, n_threads) == [0, 1, 2]


def test_an_exception_of_another_thread_is_raised_when_all_pieces_under_way_have_ended():
    caller, done = threading.current_thread(), []
    helper_failed = threading.Event()

    def task(i):
        if threading.current_thread() is caller:
            assert helper_failed.wait(10)
            time.sleep(0.01)
            done.append(i)
        else:
            helper_failed.set()
            raise ZeroDivisionError("in a helper")

    with pytest.raises(ZeroDivisionError, match="in a helper"):
        parallel.run(task, 1000, 2)
    assert 1 <= len(done) <= 2


def test_a_long_piece_is_given_up_at_its_next_stopping_point():
    """Else Ctrl-C would wait for the pieces of all other threads, a 32nd of an evaluation each."""
    caller, endless = threading.current_thread(), threading.Event()

    def task(i):
        if threading.current_thread() is caller:
            assert endless.wait(10)
            raise KeyboardInterrupt
        endless.set()
        for _ in range(10_000):
            parallel.stopping_point()
            time.sleep(0.001)
        pytest.fail("nobody stopped this piece")

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        parallel.run(task, 4, 3)
    assert time.monotonic() - start < 5
    parallel.stopping_point()  # of no run


def test_the_exception_of_another_thread_stops_the_caller_and_is_what_is_raised():
    caller, endless = threading.current_thread(), threading.Event()

    def task(i):
        if threading.current_thread() is not caller:
            assert endless.wait(10)
            raise ZeroDivisionError("in a helper")
        endless.set()
        for _ in range(10_000):
            parallel.stopping_point()
            time.sleep(0.001)
        pytest.fail("nobody stopped this piece")

    with pytest.raises(ZeroDivisionError, match="in a helper"):
        parallel.run(task, 4, 2)


def test_one_piece_or_one_thread_runs_in_the_caller(monkeypatch):
    monkeypatch.setattr(parallel, "_executor", lambda: pytest.fail("no pool is needed"))
    here = threading.current_thread()
    assert parallel.run(lambda i: threading.current_thread() is here, 1, 8) == [True]
    assert parallel.run(lambda i: threading.current_thread() is here, 4, 1) == [True] * 4


def test_calls_from_many_threads_at_once():
    from objectives import objective_of

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40_000, 20)), rng.integers(9, size=40_000)
    ours = objective_of(X, y, n_threads=3)  # one objective for all: its buffers, too, are shared
    assert len(ours.local._ranges) > 2
    thetas = rng.normal(size=(8, *ours.shape))
    expected = [objective_of(X, y, n_threads=1).value_and_grad(theta) for theta in thetas]
    results = [None] * len(thetas)

    def evaluate(i):
        for _ in range(5):
            results[i] = ours.value_and_grad(thetas[i])

    threads = [threading.Thread(target=evaluate, args=(i,)) for i in range(len(thetas))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for (value, gradient), (same_value, same_gradient) in zip(results, expected, strict=True):
        assert value == same_value
        np.testing.assert_array_equal(gradient, same_gradient)


def test_calls_within_calls_do_not_wait_for_each_other():
    """More outer pieces than the pool has threads: an inner call that finds none free does its work itself."""
    outer = parallel.run(lambda i: sum(parallel.run(lambda j: i * j, 20, 8)), 300, 90)
    assert outer == [i * 190 for i in range(300)]


# How many threads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "openmp", "expected"),
    [
        (None, None, 8),
        ("3", None, 3),
        (None, "2", 2),
        ("3", "2", 2),
        ("2", "5", 2),
        ("100", None, 8),
        (None, "4,2", 4),  # OpenMP: by level of nesting
        (" 5 ", "", 5),
        ("0", "-1", 8),
        ("many", "true", 8),
    ],
)
def test_environment_limits_the_threads(monkeypatch, own, openmp, expected):
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    else:
        monkeypatch.setattr(os, "cpu_count", lambda: 8)
    for name, value in (("FASTXENT_NUM_THREADS", own), ("OMP_NUM_THREADS", openmp)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert parallel.available_threads() == expected


def test_none_stands_for_the_available_threads(monkeypatch):
    for available in (1, 3):
        monkeypatch.setattr(parallel, "available_threads", lambda available=available: available)
        where = parallel.run(lambda i: (time.sleep(0.002), threading.get_ident())[1], 30, None)
        assert len(set(where)) == available


def test_processors_are_counted_where_there_is_no_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for name in ("FASTXENT_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for count, expected in ((6, 6), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert parallel.available_threads() == expected


def test_small_problems_start_no_threads():
    run = child(
        """
        import threading
        import numpy as np
        import scipy.sparse as sp
        import fastxent
        from fastxent import parallel
        X, y, W = np.ones((200, 20)), np.arange(200) % 5, np.ones((5, 20))
        for data in (X, sp.csr_array(X)):
            fastxent.linear_cross_entropy_and_grad(data, y, W, n_threads=8)
            fastxent.linear_cross_entropy_hessp(data, y, W, None, W, None, n_threads=8)
        fastxent.softmax(X, n_threads=8)
        assert parallel._pool is None and threading.active_count() == 1
        fastxent.softmax(np.ones((100_000, 20)), n_threads=3)
        assert parallel._pool is not None and 2 <= threading.active_count() <= 3
        """
    )
    assert run.returncode == 0, run.stderr


# Buffers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 17, 1000])
def test_buffers_begin_on_a_cache_line(size, dtype):
    for _ in range(5):
        array = parallel.zeros(size, dtype)
        assert (array.dtype, array.shape) == (dtype, (size,))
        assert size == 0 or array.ctypes.data % parallel.CACHE_LINE == 0
        assert not array.any()


def test_buffers_are_used_again():
    stock = parallel.Buffers(10, np.float64)
    first, second = stock.take(), stock.take()
    assert not np.shares_memory(first, second)
    stock.give(first)
    assert stock.take() is first


# Fork and Ctrl-C --------------------------------------------------------------------------------------------

EVALUATION = """
    import os, sys, time
    import numpy as np
    from fastxent import parallel
    from objectives import objective_of
    X, y = np.random.default_rng(0).normal(size=(30_000, 40)), np.arange(30_000) % 7
    objective = objective_of(X, y, n_threads=3)
    theta = np.full(objective.shape, 0.1)
    value, gradient = objective.value_and_grad(theta)
    assert parallel._pool is not None
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_forked_after_use_works():
    """OpenMP's hang here. The exit code is the child's."""
    run = child(
        EVALUATION
        + """
    pid = os.fork()
    if pid == 0:
        assert parallel._pool is None
        again, same = objective.value_and_grad(theta)
        made, _ = objective_of(X, y, n_threads=2).value_and_grad(theta)
        ok = again == made == value and (same == gradient).all() and parallel._pool is not None
        os._exit(7 if ok else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert objective.value(theta) == value
    sys.exit(code)
    """
    )
    assert run.returncode == 7, run.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_forked_while_another_thread_evaluates_works():
    """The pool's lock may be held, and every helper busy, in the moment of the fork."""
    run = child(
        EVALUATION
        + """
    import threading
    stop = False
    def work():
        while not stop:
            objective.value_and_grad(theta)
    thread = threading.Thread(target=work)
    thread.start()
    codes = set()
    for _ in range(5):
        time.sleep(0.01)
        pid = os.fork()
        if pid == 0:
            os._exit(7 if objective_of(X, y, n_threads=3).value_and_grad(theta)[0] == value else 1)
        codes.add(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    stop = True
    thread.join()
    sys.exit(7 if codes == {7} else 1)
    """
    )
    assert run.returncode == 7, run.stderr


INTERRUPTED = """
    import signal, sys, time
    import numpy as np
    import scipy.sparse as sp
    from objectives import objective_of
    signal.signal(signal.SIGINT, signal.default_int_handler)
    n_threads, shape, kind = {n_threads}, {shape}, {kind!r}
    n, d, K = shape
    X = np.ones((n, d), np.float32)
    if kind == "csr":
        X = sp.csr_array(X)
    objective = objective_of(X, np.arange(n) % K, n_classes=K, n_threads=n_threads)
    theta = np.zeros(objective.shape)
    if kind == "shared":
        assert objective.local._wide is not None
    print("ready", flush=True)
    try:
        while True:
            objective.value_and_grad(theta)
            print("done", flush=True)
    except KeyboardInterrupt:
        print(time.monotonic(), flush=True)
        raise
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [("dense", (100_000, 200, 4000)), ("csr", (60_000, 100, 4000)), ("shared", (20_000, 1000, 8000))],
)
def test_ctrl_c_ends_a_long_evaluation(kind, shape, n_threads):
    """One evaluation takes seconds; a call of a kernel some tens of milliseconds, and then Ctrl-C is heard."""
    program = textwrap.dedent(INTERRUPTED.format(n_threads=n_threads, shape=shape, kind=kind))
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.4)  # in the midst of the first evaluation
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    late = float(out.split()[-1]) - sent
    print(f"{kind}, {n_threads} threads: heard after {late:.3f} s")
    assert err.rstrip().endswith("KeyboardInterrupt"), err
    assert process.returncode in (-signal.SIGINT, 130)
    assert "done" not in out, "the evaluation was to be longer"
    assert late < 1.0  # 0.2 s on a machine that does nothing else


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_blas_keeps_to_one_thread_while_anyone_is_inside():
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with parallel.one_blas_thread:
            assert blas_threads() == {1}
            with ThreadPoolExecutor(1) as other:
                other.submit(lambda: parallel.one_blas_thread.__enter__()).result()
        assert blas_threads() == {1}  # the other one is still inside
        parallel.one_blas_thread.__exit__(None, None, None)
        assert blas_threads() == before
