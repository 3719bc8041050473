"""Fits on a cluster for tests, and what is done to its workers."""

import itertools
import os
import signal
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from dask.delayed import delayed
from numpy.testing import assert_array_equal

from fastxent.dask import worker
from fastxent.loss import Part

BORDERS = [0, 60, 130, 200, 260, 300, 340, 400]
PASSES = {"solver": "lbfgs", "tol": 1e-7}  # some forty of them
FITS = {  # by solver: the estimator, and parameters with which it takes several iterations
    "metric": ("LogisticRegression", {"C": 100.0, "tol": 1e-9}),
    "lbfgs": ("LogisticRegression", {"solver": "lbfgs", "tol": 1e-6}),
    "newton-cg": ("LogisticRegression", {"solver": "newton-cg", "tol": 1e-9}),
    "l1-newton": ("LogisticRegression", {"l1_ratio": 0.5, "tol": 1e-9}),
    "sgd": ("SGDClassifier", {"random_state": 0, "max_iter": 4, "tol": None}),
}


def batches():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 8))
    y = np.argmax(X @ rng.normal(size=(8, 3)) + rng.gumbel(size=(400, 3)), axis=1)
    return [(X[a:b], y[a:b]) for a, b in itertools.pairwise(BORDERS)]


def parts():
    return [delayed(batch) for batch in batches()]


def at(epoch, action):
    """A callback that acts once, after this iteration."""
    done = []

    def callback(entry):
        if entry["epoch"] == epoch and not done:
            done.append(action())

    return callback


def processes(client):
    return client.run(os.getpid)


def kill(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


# What is done to workers ----------------------------------------------------------------------------------

ORIGINAL = Part.loss_and_grad


def damage(kind, after=0):
    """Replace the main method of parts in this worker's process."""
    calls = itertools.count()

    def damaged(self, *arguments):
        if next(calls) < after:
            return ORIGINAL(self, *arguments)
        if kind == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "is slow":
            time.sleep(0.02)
        if kind == "hangs":
            until = time.monotonic() + 60
            while time.monotonic() < until:
                time.sleep(0.01)
                worker.stopping_point()
        loss, gradient = ORIGINAL(self, *arguments)
        if kind == "gives NaN":
            gradient[2, 1] = np.nan
        return loss, gradient

    Part.loss_and_grad = damaged


def repair():
    Part.loss_and_grad = ORIGINAL


def same_bits(model, expected):
    assert_array_equal(model.coef_, expected.coef_)
    assert_array_equal(model.intercept_, expected.intercept_)
    assert model.converged_ and model.n_iter_ == expected.n_iter_


# Files ----------------------------------------------------------------------------------------------------


def read(path):
    with np.load(path) as file:
        return file["X"], file["y"]


def files_of(folder):
    paths = [str(folder / f"{i}.npz") for i in range(len(BORDERS) - 1)]
    for path, (X, y) in zip(paths, batches(), strict=True):
        np.savez(path, X=X, y=y)
    return paths


# Work that goes on ----------------------------------------------------------------------------------------


def busy():
    """How many pieces of work this worker has under way."""
    return sum(map(len, worker._running.values()))


def until_idle(client):
    deadline = time.monotonic() + 20
    while any(client.run(busy).values()):
        assert time.monotonic() < deadline, "tasks go on"
        time.sleep(0.05)


def stops_at_ctrl_c(client, model):
    """Check that Ctrl-C ends a fit whose pieces hang, leaves the model as it was, and stops all tasks."""
    with pytest.raises(KeyboardInterrupt), interrupted(1.5):
        model.fit(parts())
    assert not hasattr(model, "coef_")
    until_idle(client)


@contextmanager
def interrupted(seconds):
    """Ctrl-C after so many seconds."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    strike = threading.Timer(seconds, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    strike.start()
    try:
        yield
    finally:
        strike.join()
        signal.signal(signal.SIGINT, before)
