"""What may happen to a cluster during a fit: the same bits, or a clear error, and never a wait without a limit."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from dask.delayed import delayed
from distributed import Client, LocalCluster, wait
from distributed.core import Status
from numpy.testing import assert_array_equal

import fastxent
from clusters import (
    ORIGINAL,
    PASSES,
    at,
    batches,
    damage,
    files_of,
    kill,
    parts,
    processes,
    read,
    repair,
    same_bits,
    stops_at_ctrl_c,
    until_idle,
)
from fastxent.dask import ClusterError, LogisticRegression, SGDClassifier, cluster, estimators, worker
from fastxent.loss import Part


@pytest.fixture(scope="module")
def expected():
    return fastxent.LogisticRegression(**PASSES).fit(batches())


@pytest.fixture
def client(client):
    """At least two of the three workers; one that was killed in the last test may not be back yet."""
    client.wait_for_workers(2, timeout=60)
    yield client
    client.run(repair, on_error="ignore")


# Workers that are lost ------------------------------------------------------------------------------------


def test_a_worker_is_killed_between_passes(client, expected):
    pids = processes(client)
    strike = at(3, lambda: kill(list(pids.values())[:1]))
    same_bits(LogisticRegression(client=client, **PASSES).fit(parts(), callback=strike), expected)
    assert processes(client) != pids


def test_a_worker_dies_in_a_pass(client, expected):
    pids = processes(client)
    client.run(damage, "dies", after=6, workers=list(pids)[1:2])
    same_bits(LogisticRegression(client=client, **PASSES).fit(parts()), expected)
    assert list(processes(client).values()) != list(pids.values())


def test_all_workers_are_killed_and_others_come(client, expected):
    strike = at(2, lambda: kill(processes(client).values()))
    same_bits(LogisticRegression(client=client, **PASSES).fit(parts(), callback=strike), expected)


def test_all_workers_are_killed_while_others_want_the_same_values(client, expected):
    given, [first, *_] = parts(), processes(client)
    others = client.compute([delayed(len)(one) for one in given], workers=[first], allow_other_workers=True)
    wait(others)
    strike = at(2, lambda: kill(processes(client).values()))
    same_bits(LogisticRegression(client=client, **PASSES).fit(given, callback=strike), expected)


def kills_its_worker(batch):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_part_that_kills_each_worker():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as local,
        Client(local) as client,
    ):
        local.scheduler.allowed_failures = 1
        model = LogisticRegression(client=client, timeout=60, **PASSES)
        with pytest.raises(ClusterError, match=r"Worker after worker died at Part \d"):
            model.fit([*parts()[:3], delayed(kills_its_worker)(batches()[3])])
        assert not hasattr(model, "coef_")


def test_a_worker_is_killed_in_an_epoch_of_stochastic_descent(client):
    options = {"random_state": 0, "max_iter": 6, "tol": None}
    expected = fastxent.SGDClassifier(**options).fit(batches())
    strike = at(2, lambda: kill(list(processes(client).values())[-1:]))
    model = SGDClassifier(client=client, **options).fit(parts(), callback=strike)
    assert_array_equal(model.coef_, expected.coef_)


def test_all_workers_are_lost(monkeypatch):
    monkeypatch.setattr(cluster, "_WITHOUT_WORKERS", 2.0)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as local,
        Client(local) as client,
    ):

        def strike():
            kill(processes(client).values())
            local.scale(0)  # so that no others come

        model = LogisticRegression(client=client, **PASSES)
        with pytest.raises(ClusterError, match=r"The cluster has had no workers for \d seconds"):
            model.fit(parts(), callback=at(2, strike))
        assert not hasattr(model, "coef_") and not hasattr(model, "classes_")


# Workers that are slow, or wrong --------------------------------------------------------------------------


def test_a_worker_is_slow(client, expected):
    client.run(damage, "is slow", workers=list(processes(client))[:1])
    same_bits(LogisticRegression(client=client, **PASSES).fit(parts()), expected)


def test_a_worker_hangs(client):
    client.run(damage, "hangs", 6, workers=list(processes(client))[:1])
    model = LogisticRegression(client=client, timeout=2, **PASSES)
    with pytest.raises(ClusterError, match=r"No task has ended within timeout=2 seconds"):
        model.fit(parts())
    assert not hasattr(model, "coef_")
    until_idle(client)


def test_memory_is_short_on_all_workers(client):
    model = LogisticRegression(client=client, timeout=2, **PASSES)
    message = (
        r"No task has ended within timeout=2 seconds\. Memory is short, so tcp://.* have paused: use smaller"
    )
    try:
        with pytest.raises(ClusterError, match=message):
            model.fit(parts(), callback=at(2, lambda: client.run(pause)))
    finally:
        client.run(go_on)


def pause(dask_worker):
    dask_worker.memory_manager.memory_pause_fraction = False  # or it would see that there is enough
    dask_worker.status = Status.paused


def go_on(dask_worker):
    dask_worker.memory_manager.memory_pause_fraction = 0.8
    dask_worker.status = Status.running


def test_a_worker_gives_nan(client):
    address = list(processes(client))[-1]
    client.run(damage, "gives NaN", 3, workers=[address])
    model = LogisticRegression(client=client, **PASSES)
    with pytest.raises(ClusterError, match=rf"Part \d: .*loss_and_grad gave NaN on the worker {address}"):
        model.fit(parts())
    assert not hasattr(model, "coef_")


# Tasks that are cancelled ---------------------------------------------------------------------------------


def test_data_of_the_fit_are_cancelled(client):
    data = client.scatter(batches())
    model = LogisticRegression(client=client, **PASSES)
    with pytest.raises(ClusterError, match=r"cancelled, by client.cancel"):
        model.fit(data, callback=at(2, lambda: client.cancel(data, force=True)))
    assert not hasattr(model, "coef_")


# Files ----------------------------------------------------------------------------------------------------


def test_files_that_vanish_are_not_missed_while_their_workers_live(client, expected, tmp_path):
    paths = files_of(tmp_path)
    vanish = at(2, lambda: [os.remove(path) for path in paths])
    model = LogisticRegression(client=client, **PASSES)
    same_bits(model.fit([delayed(read)(path) for path in paths], callback=vanish), expected)
    with pytest.raises(FileNotFoundError, match=r"Part \d: No such file or directory: .*\.npz"):
        model.fit([delayed(read)(path) for path in paths])
    same_bits(model, expected)  # as before


@pytest.mark.parametrize("change", ["vanish", "differ"])
def test_files_that_a_lost_worker_had_read(client, tmp_path, change):
    paths = files_of(tmp_path)

    def strike():
        for path, (X, y) in zip(paths, batches(), strict=True):
            os.remove(path)
            if change == "differ":
                np.savez(path, X=X + 1.0, y=y)
        kill(list(processes(client).values())[1:2])

    error, message = {
        "vanish": (FileNotFoundError, r"Part \d: No such file or directory: .*\.npz"),
        "differ": (
            ValueError,
            r"Part \d: it was computed again, after its worker was lost, and is not what it was",
        ),
    }[change]
    model = LogisticRegression(client=client, **PASSES)
    with pytest.raises(error, match=message):
        model.fit([delayed(read)(path) for path in paths], callback=at(2, strike))
    assert not hasattr(model, "coef_")


def test_a_source_that_vanishes(client, tmp_path):
    X, y = (np.concatenate(some) for some in zip(*batches(), strict=True))
    np.save(tmp_path / "X.npy", X)
    source = fastxent.sources.NpySource(str(tmp_path / "X.npy"), y, batch_rows=50)
    os.remove(tmp_path / "X.npy")
    with pytest.raises(FileNotFoundError, match=r"The source: No such file or directory: .*X.npy"):
        LogisticRegression(client=client).fit(source)


# Ctrl-C ---------------------------------------------------------------------------------------------------


def test_ctrl_c_stops_the_tasks(client):
    client.run(damage, "hangs", 6)  # each piece of work would take a minute
    stops_at_ctrl_c(client, LogisticRegression(client=client, **PASSES))


# Threads and tasks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "given"), [(None, 2), (1, 1), (5, 2)])
def test_parts_use_the_threads_of_their_worker(client, asked, given):
    client.run(watch)
    LogisticRegression(client=client, n_threads=asked).fit(parts())
    assert set().union(*client.run(noticed).values()) == {given}


def test_one_task_for_each_worker_and_pass(client, monkeypatch):
    rounds = []

    class Watched(cluster.Cluster):
        def submit(self, function, *arguments, at=None):
            if function is worker.visit:
                call, address = arguments[1], arguments[-1]
                if not rounds or rounds[-1][0] is not call:
                    rounds.append((call, []))
                rounds[-1][1].append(address)
                assert at == address
            return super().submit(function, *arguments, at=at)

    monkeypatch.setattr(estimators, "Cluster", Watched)
    LogisticRegression(client=client, **PASSES).fit(parts())
    workers = sorted(processes(client))
    assert len(rounds) > 10
    assert all(sorted(addresses) == workers for _, addresses in rounds)


N_THREADS = set()


def watch():
    """Note the threads of the parts in this worker's process."""
    N_THREADS.clear()

    def watched(self, *arguments):
        N_THREADS.add(self.n_threads)
        return ORIGINAL(self, *arguments)

    Part.loss_and_grad = watched


def noticed():
    return N_THREADS


def test_nothing_of_a_fit_stays_on_the_cluster(client):
    model = LogisticRegression(client=client)
    model.fit(parts())
    deadline = time.monotonic() + 20
    while client.run(tasks_held) != dict.fromkeys(processes(client), 0):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def tasks_held(dask_worker):
    return len(dask_worker.data)


def test_the_cluster_is_restarted(client):  # the last test: workers may take long to come back
    client.run(damage, "is slow")

    other = threading.Thread(target=client.restart, kwargs={"wait_for_workers": False})
    model = LogisticRegression(client=client, **PASSES)
    with pytest.raises(ClusterError, match=r"cancelled, by client.cancel, client.restart .*Fit again"):
        model.fit(parts(), callback=at(2, other.start))
    assert not hasattr(model, "coef_")
    other.join()
