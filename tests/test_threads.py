"""The caller's choice of the number of threads."""

import multiprocessing
import os
import threading

import numpy as np
import pytest

import fastxent
from fastxent import parallel


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("FASTXENT_NUM_THREADS", raising=False)
    yield
    fastxent.set_num_threads(None)


@pytest.mark.parametrize("n_threads", [1, 3, 64, np.int64(2)])
def test_none_stands_for_the_number_that_was_set(n_threads):
    fastxent.set_num_threads(n_threads)
    assert fastxent.get_num_threads() == parallel.available_threads() == n_threads


def test_none_and_minus_one():
    own = fastxent.get_num_threads()
    fastxent.set_num_threads(own + 1)
    fastxent.set_num_threads(None)
    assert fastxent.get_num_threads() == own
    fastxent.set_num_threads(-1)
    assert fastxent.get_num_threads() == parallel.processors()


def test_environment_counts_only_without_a_choice(monkeypatch):
    monkeypatch.setenv("FASTXENT_NUM_THREADS", "1")
    assert fastxent.get_num_threads() == 1
    fastxent.set_num_threads(5)
    assert fastxent.get_num_threads() == 5


@pytest.mark.parametrize(
    ("n_threads", "error"),
    [(0, ValueError), (-2, ValueError), (1.0, TypeError), ("2", TypeError), (True, TypeError)],
)
def test_what_is_no_number_of_threads_is_refused(n_threads, error):
    fastxent.set_num_threads(3)
    with pytest.raises(error, match="n_threads must be"):
        fastxent.set_num_threads(n_threads)
    assert fastxent.get_num_threads() == 3


def test_calls_use_the_number(monkeypatch):
    """One thread: no helper is started; four: the pool is asked for three."""
    X = np.random.default_rng(0).normal(size=(100_000, 10))
    results = []
    for n_threads, helpers in ((1, 0), (4, 3)):
        monkeypatch.setattr(parallel, "_pool", parallel._Pool())
        fastxent.set_num_threads(n_threads)
        results.append(fastxent.softmax(X))
        assert parallel._pool.size == helpers
    assert np.array_equal(*results)


def test_choice_holds_in_all_threads():
    thread = threading.Thread(target=fastxent.set_num_threads, args=(7,))
    thread.start()
    thread.join()
    assert fastxent.get_num_threads() == 7


def chosen(n_threads):
    """In a worker: the number before and after its own choice."""
    before = fastxent.get_num_threads()
    fastxent.set_num_threads(n_threads)
    return before, fastxent.get_num_threads()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs os.fork")
def test_workers_of_a_pool_have_one_thread_unless_they_choose():
    fastxent.set_num_threads(3)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(chosen, (2,)) == (1, 2)
    child = multiprocessing.get_context("fork").Process(target=lambda: os._exit(fastxent.get_num_threads()))
    child.start()
    child.join()
    assert child.exitcode == 3
