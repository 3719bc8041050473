"""How many threads None stands for: affinity, quotas, the environment, pools of processes."""

import logging
import multiprocessing
import os
import subprocess
import sys

import joblib
import joblib.externals.loky
import numpy as np
import pytest
import scipy.sparse as sp

from fastxent import LogisticRegression, SGDClassifier, parallel, processors, softmax, validation

VARIABLES = ("FASTXENT_NUM_THREADS", "OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


@pytest.fixture
def machine(monkeypatch):
    """machine(count, allowed): a machine of so many processors, of which this process may use so many."""

    def of(count, allowed=None):
        allowed = allowed or count
        monkeypatch.setattr(os, "cpu_count", lambda: count)
        if hasattr(os, "sched_getaffinity"):
            monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(allowed)))
        if hasattr(os, "process_cpu_count"):
            monkeypatch.setattr(os, "process_cpu_count", lambda: allowed)

    def forget():
        processors._within_quota.cache_clear()
        processors._first_number.cache_clear()

    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    forget()
    of(8)
    yield of
    forget()


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
        (None, " 4 , 2 ", 4),
        ("\t5\n", None, 5),
        ("+5", "007", 5),
        ("9" * 18, None, 8),
    ],
)
def test_the_environment_limits_the_threads(machine, monkeypatch, caplog, own, openmp, expected):
    for name, value in (("FASTXENT_NUM_THREADS", own), ("OMP_NUM_THREADS", openmp)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert processors.available_threads() == expected
    assert not caplog.records


NO_NUMBERS = [
    "",
    " ",
    "0",
    "00",
    "-1",
    "²",
    "٣",
    "2²",
    "1e3",
    "2.0",
    "0x2",
    "4,",
    ",4",
    "4,²",
    "4 2",
    "4;2",
    "many",
]
NO_NUMBERS += ["true", "None", "1_0", "9" * 5000, "\udcff"]


@pytest.mark.parametrize("name", ["FASTXENT_NUM_THREADS", "OMP_NUM_THREADS"])
@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_number_is_ignored_with_one_line_of_the_log(machine, monkeypatch, caplog, name, value):
    monkeypatch.setenv(name, value)
    with caplog.at_level(logging.WARNING, "fastxent"):
        for _ in range(3):
            assert processors.available_threads() == 8
    (line,) = caplog.messages
    assert line.startswith(f"{name}={value[:50]!r} is ignored")


def test_fits_and_predictions_go_on_with_any_value():
    program = """
import numpy as np, fastxent
X = np.random.default_rng(0).normal(size=(60_000, 8))
fastxent.softmax(X)
print(fastxent.LogisticRegression().fit(X, X[:, 0] > 0).score(X, X[:, 0] > 0))
"""
    environment = os.environ | dict.fromkeys(VARIABLES, "²")
    run = subprocess.run(
        [sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0 and float(run.stdout) > 0.9, run.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_the_quota_of_a_container_limits_the_threads(machine, monkeypatch):
    context = joblib.externals.loky.backend.context
    monkeypatch.setattr(context, "_cpu_count_cgroup", lambda count: 3)
    assert processors.available_threads() == processors.processors() == validation.check_n_threads(-1) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert (processors.available_threads(), processors.processors()) == (2, 3)


def test_the_limit_that_joblib_is_given_holds_here_too(machine, monkeypatch, caplog):
    assert processors.processors() == 8
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "3")
    assert processors.available_threads() == processors.processors() == 3
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "0")
    assert processors.processors() == 1
    assert not caplog.records
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "²")
    assert processors.processors() == 8
    assert [message[:24] for message in caplog.messages] == ["LOKY_MAX_CPU_COUNT='²' a"]


def test_affinity_is_looked_at_each_time(machine):
    for allowed in (4, 2, 8):
        machine(8, allowed)
        assert processors.available_threads() == processors.processors() == allowed


def test_processors_are_counted_where_there_is_no_affinity(machine, monkeypatch):
    for name in ("sched_getaffinity", "process_cpu_count"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(joblib.externals.loky, "cpu_count", lambda: 64)
    for count, expected in ((6, 6), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert processors.available_threads() == expected


def test_python_may_be_told_how_many_there_are(machine, monkeypatch):
    monkeypatch.setattr(
        os, "process_cpu_count", lambda: 5, raising=False
    )  # python -X cpu_count=5, from 3.13 on
    assert processors.available_threads() == 5


def test_no_joblib_is_asked_for_a_single_thread(machine, monkeypatch):
    monkeypatch.setattr(joblib.externals.loky, "cpu_count", lambda: pytest.fail("not needed"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert processors.available_threads() == 1


# Pools of processes and of threads --------------------------------------------------------------------------


def fitted(_):
    """In a worker: the threads that None stands for there, and those that there are after a fit and a prediction."""
    X = np.random.default_rng(0).normal(size=(60_000, 8))
    LogisticRegression(max_iter=2, solver="lbfgs", tol=1e9).fit(X, X[:, 0] > 0)
    softmax(X)
    return parallel.available_threads(), len(parallel._pool.threads), os.getpid()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs os.fork")
def test_processes_of_a_pool_do_not_multiply_threads(machine):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map(fitted, range(4), chunksize=1)
    assert {result[:2] for result in results} == {(1, 0)}
    alone = multiprocessing.get_context("fork").Process(target=lambda: os._exit(parallel.available_threads()))
    alone.start()
    alone.join()
    assert alone.exitcode == 8


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs os.fork")
def test_joblibs_backend_of_processes_does_not_multiply_threads(machine):
    results = joblib.Parallel(n_jobs=2, backend="multiprocessing")(
        joblib.delayed(fitted)(i) for i in range(4)
    )
    assert {result[:2] for result in results} == {(1, 0)}


def test_joblibs_backend_of_threads_does_not_multiply_threads(machine, monkeypatch):
    """Eight fits at once on two processors: beside the eight threads there is at most one of ours."""
    machine(2)
    monkeypatch.setattr(parallel, "_pool", parallel._Pool())
    results = joblib.Parallel(n_jobs=8, backend="threading")(joblib.delayed(fitted)(i) for i in range(16))
    assert {result[0] for result in results} == {2}
    assert max(result[1] for result in results) <= 1


@pytest.mark.parametrize("n_threads", [2, 3, 64, 10**6, -1, None])
def test_hogwild_starts_no_more_threads_than_there_are_processors(machine, monkeypatch, n_threads):
    machine(2)
    monkeypatch.setattr(parallel, "_pool", parallel._Pool())
    rng = np.random.default_rng(0)
    X = sp.random_array((3000, 40), density=0.1, format="csr", random_state=rng)
    model = SGDClassifier(parallel="hogwild", n_threads=n_threads, max_iter=2, tol=None)
    model.fit(X, rng.integers(0, 3, 3000))
    assert parallel._pool.size <= 1 and len(parallel._pool.threads) <= 1
