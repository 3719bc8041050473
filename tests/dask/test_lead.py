"""Fits whose solver runs on a worker: the same bits, whatever happens, and only scalars here."""

import itertools
import logging
import os
import pickle
import signal
import threading
import time
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import scipy.sparse as sp
from dask.delayed import delayed
from distributed import Client, Future, LocalCluster, worker_client
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

import fastxent
from clusters import (
    FITS,
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
from fastxent import Checkpoint, solvers
from fastxent.dask import ClusterError, LogisticRegression, SGDClassifier, lead, worker
from fastxent.dask import parts as distributed_parts
from fastxent.dask.cluster import Cluster
from fastxent.objective import Objective
from fastxent.parallel import StoppedError

LIMIT = 64  # bytes, in place of 8 MB
FITTING_ROWS = Objective.fitting_rows
EPOCHS = {"random_state": 0, "max_iter": 4, "tol": None}


def lower_the_limit(limit=LIMIT):
    distributed_parts._LARGE = limit


@pytest.fixture
def client(client, monkeypatch):
    """At least two of the three workers, and a limit that all models are above; no solver runs here."""
    client.wait_for_workers(2, timeout=60)
    monkeypatch.setattr(distributed_parts, "_LARGE", LIMIT)
    client.run(lower_the_limit)
    yield client
    client.run(repair, on_error="ignore")
    client.run(lower_the_limit, 8_000_000, on_error="ignore")


@pytest.fixture
def no_solver_here(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a solver ran in the process that called fit")

    monkeypatch.setattr(solvers, "solve", refuse)


@pytest.fixture(scope="module")
def expected():
    return fastxent.LogisticRegression(**PASSES).fit(batches())


def is_lead(dask_worker):
    states = {key: task.state for key, task in dask_worker.state.tasks.items()}
    return any(str(key).startswith("lead-") and state == "long-running" for key, state in states.items())


def lead_of(client):
    """The address of the worker that the solver runs on."""
    [address] = [address for address, found in client.run(is_lead).items() if found]
    return address


def has_parts(dask_worker):
    portions = [value for value in dask_worker.data.values() if isinstance(value, list)]
    return any(isinstance(part, worker.Kept) for part in itertools.chain(*portions))


def another(client):
    """The address of another worker that has parts: one that has come since the fit began has none."""
    found, of_lead = client.run(has_parts), lead_of(client)
    return next(address for address, has in found.items() if has and address != of_lead)


def kill_the_lead(client):
    kill([processes(client)[lead_of(client)]])


# The same numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"C": 100.0, "tol": 1e-9},
        {"solver": "lbfgs", "tol": 1e-6, "class_weight": "balanced", "n_threads": 1},
        {"solver": "newton-cg", "fit_intercept": False},
        {"l1_ratio": 0.5},
    ],
    ids=str,
)
def test_solvers(client, options):
    given = [(sp.csr_array(np.where(X > 0, X, 0.0)), y, np.arange(len(y)) % 3.0) for X, y in batches()]
    model = LogisticRegression(client=client, **options).fit([delayed(batch) for batch in given])
    expected = fastxent.LogisticRegression(**options).fit(given)
    same_bits(model, expected)
    assert_array_equal(model.history_["loss"], expected.history_["loss"])
    assert model.solver_ == expected.solver_ and model.n_features_in_ == 8
    same_bits(model.to_local(), expected)


@pytest.mark.parametrize("options", [{}, {"average": True, "optimizer": "adam"}], ids=str)
def test_stochastic_descent(client, options):
    expected = fastxent.SGDClassifier(**EPOCHS, **options).fit(batches(), eval_set=batches())
    model = SGDClassifier(client=client, **EPOCHS, **options).fit(parts(), eval_set=parts())
    assert_array_equal(model.coef_, expected.coef_)
    assert_array_equal(model.history_["val_loss"], expected.history_["val_loss"])
    model.partial_fit(parts())  # goes on with what the optimiser knows
    assert_array_equal(model.coef_, expected.partial_fit(batches()).coef_)


@pytest.mark.parametrize("given", ["a generator", "the global one"])
def test_random_numbers_are_those_of_this_process(client, given):
    models = SGDClassifier(client=client), fastxent.SGDClassifier()
    coefs = []
    for model, rows in zip(models, (parts(), batches()), strict=True):
        model.set_params(**EPOCHS | {"random_state": None})
        if given == "a generator":
            model.set_params(random_state=np.random.RandomState(3))
        else:
            np.random.seed(3)  # noqa: NPY002 - what a user may have done
        coefs.append((model.fit(rows).coef_, model.fit(rows).coef_))
    assert_array_equal(*coefs)
    assert not np.array_equal(*coefs[0])


@pytest.mark.parametrize("form", ["parts", "arrays"])
def test_validation_loss(client, form):
    X, y = (np.concatenate(some) for some in zip(*batches(), strict=True))
    given = {"parts": (parts(), batches()), "arrays": ((X, y), (X, y))}[form]
    model = LogisticRegression(client=client, **PASSES).fit(parts(), eval_set=given[0])
    expected = fastxent.LogisticRegression(**PASSES).fit(batches(), eval_set=given[1])
    assert_array_equal(model.history_["val_loss"], expected.history_["val_loss"])


def test_warm_start(client):
    models = LogisticRegression(client=client), fastxent.LogisticRegression()
    for model, rows in zip(models, (parts(), batches()), strict=True):
        model.set_params(solver="lbfgs", warm_start=True, max_iter=3, tol=1e-6)
        with pytest.warns(ConvergenceWarning, match="max_iter = 3 reached"):
            model.fit(rows)
        model.set_params(max_iter=100).fit(rows)
    same_bits(*models)


def test_models_above_8_megabytes(client, monkeypatch):
    monkeypatch.setattr(distributed_parts, "_LARGE", 8_000_000)
    client.run(lower_the_limit, 8_000_000)
    K, d = 12, 30_000

    def rows(seed):
        X = sp.random_array((200, d), density=20 / d, format="csr", random_state=seed)
        return X, np.arange(200) % K

    given = [delayed(rows)(i) for i in range(3)]
    options = {"solver": "lbfgs", "max_iter": 2, "tol": 0.0}
    with pytest.warns(ConvergenceWarning):
        expected = fastxent.LogisticRegression(**options).fit([rows(i) for i in range(3)])
    monkeypatch.setattr(solvers, "solve", None)  # no solver here
    fetched, sizes = Cluster._fetched, []

    def watched(self, *arguments, **options):
        results = fetched(self, *arguments, **options)
        sizes.extend(len(pickle.dumps(result)) for result in results)
        return results

    monkeypatch.setattr(Cluster, "_fetched", watched)
    with pytest.warns(ConvergenceWarning):
        model = LogisticRegression(client=client, **options).fit(given)
    assert_array_equal(model.coef_, expected.coef_)
    model_size = 8 * (d + 1) * K
    assert model_size < max(sizes) and sum(sizes) < 1.1 * model_size


# What this process gets -----------------------------------------------------------------------------------


def test_the_history_comes_as_it_grows(client, no_solver_here):
    seen = []
    model = LogisticRegression(client=client, **PASSES).fit(parts(), callback=seen.append)
    assert [entry["epoch"] for entry in seen] == list(range(1, model.n_iter_[0] + 1))
    for name in ("loss", "seconds", "passes"):
        assert_array_equal([entry[name] for entry in seen], model.history_[name][1:])
    assert {type(value) for entry in seen for value in entry.values()} == {int, float}


def test_only_scalars_come(client, monkeypatch):
    kinds, take = set(), lead._Channel.take

    def watched(channel, is_over):
        found = take(channel, is_over)
        for _, kind, *what in found:
            kinds.add(kind)
            for one in what:
                values = one.values() if isinstance(one, dict) else [one]
                assert all(isinstance(value, (str, int, float)) for value in values)
        return found

    monkeypatch.setattr(lead._Channel, "take", watched)
    options = dict(PASSES, max_iter=3, verbose=1)
    with pytest.warns(ConvergenceWarning):
        LogisticRegression(client=client, **options).fit(parts(), callback=lambda entry: None)
    assert kinds == {"begins", "line", "iteration", "warning", "ends"}


def test_a_callback_ends_the_fit(client):
    model = LogisticRegression(client=client, **PASSES)
    model.fit(parts(), callback=lambda entry: entry["epoch"] == 3)
    assert model.n_iter_ == 3 and not model.converged_


def test_an_error_in_the_callback(client):
    def fails(entry):
        raise ZeroDivisionError("in the callback")

    model = LogisticRegression(client=client, **PASSES)
    with pytest.raises(ZeroDivisionError, match="in the callback"):
        model.fit(parts(), callback=fails)
    assert not hasattr(model, "coef_")
    until_idle(client)


def test_lines_and_warnings_come(client, caplog):
    options = {"solver": "lbfgs", "tol": 1e-7, "max_iter": 2, "verbose": 1, "n_jobs": 1}
    with caplog.at_level(logging.INFO, "fastxent"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LogisticRegression(client=client, **options).fit(parts())
    lines = [record.getMessage() for record in caplog.records if record.name == "fastxent"]
    assert [line[:24] for line in lines] == [f"lbfgs   iteration    {i}  " for i in range(3)]
    assert [(one.category, one.filename) for one in caught] == [
        (FutureWarning, __file__),
        (ConvergenceWarning, __file__),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises(ConvergenceWarning, match="max_iter = 2 reached"):
            LogisticRegression(client=client, **options | {"n_jobs": None}).fit(parts())


# Workers that are lost ------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["the lead", "another"])
def test_a_worker_is_killed(client, expected, no_solver_here, who):
    seen = []

    def strike():
        if who == "the lead":
            kill_the_lead(client)
        else:
            kill([processes(client)[another(client)]])

    strikes = at(3, strike)

    def callback(entry):
        seen.append(entry["epoch"])
        strikes(entry)

    model = LogisticRegression(client=client, **PASSES).fit(parts(), callback=callback)
    same_bits(model, expected)
    assert seen == list(range(1, len(seen) + 1))  # each of them once


def test_a_lead_is_killed_after_the_callback_has_ended_the_fit(client):
    def callback(entry):
        if entry["epoch"] == 3:
            kill_the_lead(client)
        return entry["epoch"] == 3

    model = LogisticRegression(client=client, **PASSES).fit(parts(), callback=callback)
    assert model.n_iter_ == 3


def test_parts_that_have_moved_from_all_their_workers(client, expected, monkeypatch):
    follow, load, loads = lead._Ear.follow, distributed_parts.Portions.load, []

    def with_old_addresses(ear, task, name, portions):
        portions._addresses = ["tcp://127.0.0.1:9"] * len(portions._addresses)
        follow(ear, task, name, portions)

    def counted(portions):
        loads.append(portions)
        load(portions)

    monkeypatch.setattr(lead._Ear, "follow", with_old_addresses)
    monkeypatch.setattr(distributed_parts.Portions, "load", counted)
    model = LogisticRegression(client=client, **PASSES)
    same_bits(model.fit(parts(), callback=at(2, lambda: time.sleep(1.2 * lead._LOOK))), expected)
    assert len(loads) == 1  # they are not made again


def test_the_worker_of_the_lead_retires(expected, monkeypatch):
    monkeypatch.setattr(distributed_parts, "_LARGE", LIMIT)
    quiet = {"dashboard_address": ":0", "silence_logs": logging.CRITICAL}
    with LocalCluster(n_workers=2, threads_per_worker=1, **quiet) as local, Client(local) as client:
        strike = at(3, lambda: client.retire_workers([lead_of(client)]))
        same_bits(LogisticRegression(client=client, **PASSES).fit(parts(), callback=strike), expected)


def test_the_lead_is_killed_in_an_epoch_of_stochastic_descent(client):
    expected = fastxent.SGDClassifier(**EPOCHS).fit(batches())
    strike = at(2, lambda: kill_the_lead(client))
    model = SGDClassifier(client=client, **EPOCHS).fit(parts(), callback=strike)
    assert_array_equal(model.coef_, expected.coef_)


def test_all_workers_are_killed_and_others_come(client, expected):
    strike = at(2, lambda: kill(processes(client).values()))
    same_bits(LogisticRegression(client=client, **PASSES).fit(parts(), callback=strike), expected)


def test_a_lead_that_was_given_up_takes_no_answer_of_the_next(client):
    old, new = (lead._Voice(client, "fit", f"fit/{i}", "tcp://127.0.0.1:9") for i in range(2))
    answers = lead._Channel(client, "fit/1")
    answers.put(["fit/1", True])
    looks = itertools.count()

    def gives_up():
        if next(looks) == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        old.iteration({"epoch": 2}, gives_up)
    assert new.iteration({"epoch": 2}, gives_up)
    for channel in (old, new):
        channel.end()
    answers.close()


def test_the_worker_of_the_lead_stands_still(client):
    stopped = []

    def strike():
        stopped.append(processes(client)[lead_of(client)])
        os.kill(stopped[0], signal.SIGSTOP)

    model = LogisticRegression(client=client, timeout=2, **PASSES)
    try:
        with pytest.raises(ClusterError, match=r"No task has ended within timeout=2 seconds"):
            model.fit(parts(), callback=at(2, strike))
    finally:
        os.kill(stopped[0], signal.SIGCONT)
    assert not hasattr(model, "coef_")
    until_idle(client)


def test_no_worker_has_the_memory(client, monkeypatch):
    monkeypatch.setattr(lead, "_VECTORS", 1e12)
    message = (
        r"The solver takes at least [\d,]+ MB for a model of this size, and no worker has more than [\d,]+ MB"
    )
    with pytest.raises(ClusterError, match=message):
        LogisticRegression(client=client).fit(parts())


# Errors ---------------------------------------------------------------------------------------------------


def test_a_worker_gives_nan(client):
    strike = at(2, lambda: client.run(damage, "gives NaN", workers=[another(client)]))
    with pytest.raises(ClusterError, match=r"^Part \d: .*loss_and_grad gave NaN on the worker tcp"):
        LogisticRegression(client=client, **PASSES).fit(parts(), callback=strike)


def test_a_file_vanishes_and_its_worker_is_lost(client, tmp_path):
    paths = files_of(tmp_path)

    def strike():
        for path in paths:
            os.remove(path)
        kill([processes(client)[another(client)]])

    model = LogisticRegression(client=client, **PASSES)
    with pytest.raises(FileNotFoundError, match=r"Part \d: No such file or directory: .*\.npz"):
        model.fit([delayed(read)(path) for path in paths], callback=at(2, strike))
    assert not hasattr(model, "coef_")


def test_what_the_solver_refuses(client):
    with pytest.raises(ValueError, match=r"^solver='sdca' needs all rows in memory"):
        LogisticRegression(client=client, solver="sdca").fit(parts())
    with pytest.raises(ValueError, match=r"^Only binary classification is supported"):
        LogisticRegression(client=client, solver="liblinear").fit(parts())
    with pytest.raises(ValueError, match=r"^early_stopping holds out rows of an array"):
        SGDClassifier(client=client, early_stopping=True).fit(parts())


def test_a_worker_hangs(client):
    strike = at(2, lambda: client.run(damage, "hangs", workers=[another(client)]))
    with pytest.raises(ClusterError, match=r"No task has ended within timeout=2 seconds"):
        LogisticRegression(client=client, timeout=2, **PASSES).fit(parts(), callback=strike)
    until_idle(client)


# What ends it from outside --------------------------------------------------------------------------------


def test_ctrl_c_stops_the_lead_and_its_tasks(client):
    client.run(damage, "hangs", 30)  # each piece of work would take a minute
    stops_at_ctrl_c(client, LogisticRegression(client=client, **PASSES))


def test_the_lead_is_cancelled(client):
    model = LogisticRegression(client=client, **PASSES)

    def strike():
        [key] = [key for key in client.futures if str(key).startswith("lead-")]
        client.cancel([Future(key, client)], force=True)

    with pytest.raises(ClusterError, match=r"cancelled, by client.cancel"):
        model.fit(parts(), callback=at(2, strike))
    until_idle(client)


def test_the_client_goes_away(client, cluster):
    client.run(damage, "is slow")
    other = Client(cluster.scheduler_address, set_as_default=False)
    model, errors = LogisticRegression(client=other, **PASSES), []

    def fit():
        try:
            model.fit(parts(), callback=lambda entry: begun.set())
        except Exception as error:
            errors.append(error)

    begun, thread = threading.Event(), threading.Thread(target=fit)
    thread.start()
    assert begun.wait(60)
    other.close()
    thread.join(60)
    assert len(errors) == 1 and isinstance(errors[0], ClusterError)
    until_idle(client)


def test_nothing_stays_on_the_cluster(client):
    before = client.run_on_scheduler(queues)  # of leads that were killed
    LogisticRegression(client=client).fit(parts(), callback=lambda entry: None)
    deadline = time.monotonic() + 20
    while (
        client.run(tasks_held) != dict.fromkeys(processes(client), 0)
        or client.run_on_scheduler(queues) != before
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def tasks_held(dask_worker):
    return len(dask_worker.data)


def queues(dask_scheduler):
    return list(dask_scheduler.extensions["queues"].queues)


# Checkpoints ----------------------------------------------------------------------------------------------


def test_a_lead_that_is_killed_goes_on_from_the_last_checkpoint(
    client, expected, tmp_path, caplog, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    options = PASSES | {"checkpoint": Checkpoint("run", every_iterations=1), "verbose": 1}
    model = LogisticRegression(client=client, **options)
    with caplog.at_level(logging.INFO, "fastxent"):
        model.fit(parts(), callback=at(4, lambda: kill_the_lead(client)))
    same_bits(model, expected)
    assert any("was lost: it runs again on tcp" in line for line in caplog.messages)
    assert any("going on from it" in line for line in caplog.messages)
    iterations = [line for line in caplog.messages if "iteration    1 " in line]
    assert len(iterations) == 1  # the second lead did not begin anew
    assert os.listdir(tmp_path) == ["run"] and os.listdir(tmp_path / "run") == ["checkpoint.fxt"]
    again = fastxent.LogisticRegression(**options).fit(batches())  # the fit has ended: this is its result
    same_bits(again, expected)


@pytest.mark.parametrize("name", ["metric", "sgd"])
def test_solvers_of_both_estimators_go_on(client, tmp_path, monkeypatch, name):
    kind, options = FITS[name]
    monkeypatch.setattr(Objective, "fitting_rows", 60)  # leaves work after the first answer
    client.run(set_fitting_rows, 60)
    expected = getattr(fastxent, kind)(**options).fit(batches())
    checkpoint = Checkpoint(tmp_path, every_iterations=1)
    model = {"LogisticRegression": LogisticRegression, "SGDClassifier": SGDClassifier}[kind](client=client)
    model.set_params(**options, checkpoint=checkpoint, verbose=1)
    lines = []
    monkeypatch.setattr(lead, "tell", lines.append)
    try:
        model.fit(parts(), callback=at(2, lambda: kill_the_lead(client)))
    finally:
        client.run(set_fitting_rows, None, on_error="ignore")
    assert_array_equal(model.coef_, expected.coef_)
    assert_array_equal(model.intercept_, expected.intercept_)
    assert any("going on from it" in line for line in lines)


def set_fitting_rows(count):
    """Of all objectives in this worker's process; None is for what they choose."""
    Objective.fitting_rows = FITTING_ROWS if count is None else count


def test_a_checkpoint_in_a_folder_that_workers_do_not_share(client, tmp_path, monkeypatch):
    @contextmanager
    def marked(folder, fit):
        yield str(tmp_path / "a disk of this process" / "mark")

    monkeypatch.setattr(lead, "_marked", marked)
    client.run(set_patience, 0.1)
    model = LogisticRegression(client=client, checkpoint=str(tmp_path / "run"))
    try:
        message = r"^checkpoint: the folder .*process is not the same one on the worker tcp"
        with pytest.raises(ValueError, match=message):
            model.fit(parts())
    finally:
        client.run(set_patience, 5.0)
    assert os.listdir(tmp_path) == []


def set_patience(seconds):
    lead._SHARED = seconds


def test_a_checkpoint_folder_that_is_a_file(client, tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(NotADirectoryError, match="checkpoint must be a folder, and this is a file"):
        LogisticRegression(client=client, checkpoint=str(tmp_path / "run")).fit(parts())


# Where else it may run ------------------------------------------------------------------------------------


def fit_there(given):
    keys = set()
    with worker_client() as client:
        lower_the_limit()
        model = LogisticRegression(client=client, **PASSES)
        model.fit([delayed(batch) for batch in given], callback=lambda entry: keys.update(client.futures))
    return model.to_local(), keys


def test_a_fit_on_a_worker_keeps_its_solver(client, expected):
    model, keys = client.submit(fit_there, batches()).result(timeout=60)
    same_bits(model, expected)
    assert keys and not any(str(key).startswith("lead-") for key in keys)


class Watcher:
    """A callback in scikit-learn's protocol, which gets the parameters."""

    def setup(self, estimator, context):
        self.coefs = []

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if fitted_estimator is not None:
            self.coefs.append(fitted_estimator.coef_)


@pytest.mark.skipif(
    not hasattr(LogisticRegression, "set_callbacks"), reason="scikit-learn has callbacks from version 1.9 on"
)
def test_a_fit_with_callbacks_that_get_the_parameters_keeps_its_solver(client, expected):
    watcher = Watcher()
    model = LogisticRegression(client=client, **PASSES).set_callbacks(watcher).fit(parts())
    same_bits(model, expected)
    assert len(watcher.coefs) >= model.n_iter_[0]
    assert_array_equal(watcher.coefs[-1], model.coef_)


def test_workers_that_are_threads_of_this_process(expected, monkeypatch):
    monkeypatch.setattr(distributed_parts, "_LARGE", LIMIT)
    how = {"processes": False, "n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**how) as local, Client(local) as client:
        seen = []
        model = LogisticRegression(client=client, **PASSES).fit(parts(), callback=seen.append)
        same_bits(model, expected)
        assert len(seen) == model.n_iter_
