"""Fits of large models: the solver runs on a worker, the lead.

The process that called `fit` gets what the lead says, lines, warnings and entries of the history, and at the end the
model. All else goes from worker to worker. The lead is a task: if its worker is lost, Dask runs it again on another,
from the last checkpoint or from the start, and the results have the same bits.
"""

from __future__ import annotations

import os
import time
import warnings
from contextlib import ExitStack, closing, contextmanager, suppress
from copy import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from distributed import Queue, Reschedule, get_worker, worker_client
from distributed.core import Status
from distributed.protocol.pickle import dumps, loads
from sklearn.exceptions import ConvergenceWarning

from ..checkpoint import Checkpoint, make_folder
from ..log import heard_by, tell
from ..parallel import stopping_point
from . import worker
from .batches import DistributedBatches
from .cluster import Cluster, WorkersLostError, answering
from .parts import in_pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..typing import Callback
    from .parts import Portions


_POLL, _LONGEST = 0.01, 0.1  # seconds between two looks for messages, at first and at most
_LOOK, _SELDOM = 1.0, 10.0  # and at the other side, while nothing comes
_VECTORS = 10  # of the size of the parameters, that any solver keeps at least
_SHARED = 5.0  # seconds that a file may take to appear in a shared folder
_CATEGORIES = {kind.__name__: kind for kind in (ConvergenceWarning, FutureWarning, UserWarning)}
_CALLER = 10  # stack levels from a warning here to the line that called fit


class Fit(NamedTuple):
    """What the lead is to do.

    Attributes
    ----------
    model : OnCluster
        Without a client.
    batches : DistributedBatches
    arguments : tuple
        Those of the estimator's ``_fit`` that come before ``eval_set``, but for X.
    eval_set : DistributedBatches, arrays or None
    watched : bool
        Whether there is a callback.
    mark : str or None
        A file in the folder of checkpoints, which the lead must see.
    """

    model: Any
    batches: DistributedBatches
    arguments: tuple[Any, ...]
    eval_set: Any
    watched: bool
    mark: str | None = None

    def portions(self) -> list[Any]:
        """The Portions of all rows."""
        return [one.portions for one in (self.batches, self.eval_set) if isinstance(one, DistributedBatches)]

    def learned(self, cluster: _AtLead, voice: _Voice) -> tuple[dict[str, Any], Any]:
        """Fit, and return what the model learned, and the state of its random numbers."""
        if self.mark is not None:
            _check_shared(self.mark)
        for portions in self.portions():
            portions.bind(cluster)
        callback = partial(voice.iteration, go_on=cluster.go_on) if self.watched else None
        model, before = self.model, dict(vars(self.model))
        model._fit(self.batches, *self.arguments, self.eval_set, callback, None)
        learned = {
            name: value
            for name, value in vars(model).items()
            if name.endswith("_") and value is not before.get(name)
        }
        random = model.random_state
        return learned, random.get_state() if isinstance(random, np.random.RandomState) else None


# Here: in the process that called fit ---------------------------------------------------------------------


def fit_there(cluster: Cluster, fit: Fit, callback: Callback | None) -> dict[str, Any]:
    """Return what the model learns on a worker.

    callback: the caller's; it runs here, and the lead waits for its answer.
    """
    random = fit.model._generator()
    fit = fit._replace(model=_for_the_lead(fit.model, random))
    with ExitStack() as stack:
        if fit.model.checkpoint is not None:
            fit = fit._replace(mark=stack.enter_context(_marked(fit.model.checkpoint.folder, cluster.fit)))
        ear = _Ear(cluster, callback, bool(fit.model.verbose))
        while True:
            try:
                learned, state = _once(cluster, fit, ear)
            except WorkersLostError:
                for portions in fit.portions():
                    portions.load()
                continue
            if random is not None:
                random.set_state(state)
            return learned


def _once(cluster: Cluster, fit: Fit, ear: _Ear) -> Any:
    """The result of one lead."""
    portions, address = fit.batches.portions, cluster.roomiest(_VECTORS * fit.batches.size)
    pieces, name = in_pieces(cluster, np.frombuffer(dumps(fit), np.uint8)), worker.run_of(cluster.fit)
    task = cluster.submit(lead, pieces, name, cluster.timeout, at=address)
    try:
        ear.follow(task, name, portions)
        result = cluster.large_result(task, lambda _: "the solver", portions.homes)
    finally:
        cluster.release([task, *pieces])
    if not isinstance(result, _Failed):
        return result
    error = result.error
    raise cluster.blamed(error, portions.lost(None)) if result.in_task else error


def _for_the_lead(model: Any, random: Any) -> Any:
    """A copy of a model with what its fit needs."""
    kept = {"n_features_in_", "feature_names_in_"}
    if model.warm_start:
        kept |= {"classes_", "coef_", "intercept_"}
    there = copy(model)
    for name in [name for name in vars(there) if name.endswith("_") and name not in kept]:
        del vars(there)[name]
    checkpoint = there.checkpoint
    if random is not None:
        there.random_state = random
    if checkpoint is not None:
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = Checkpoint(checkpoint)
        there.checkpoint = replace(checkpoint, folder=os.path.abspath(os.fsdecode(checkpoint.folder)))
    return there


@contextmanager
def _marked(folder: Any, fit: str) -> Iterator[str]:
    """A file in a folder, by which others see that it is the same one."""
    make_folder(folder)
    path = os.path.join(folder, f".fastxent-{fit}")
    with open(path, "xb"):
        pass
    try:
        yield path
    finally:
        with suppress(OSError):
            os.remove(path)


class _Ear:
    """Hears what the lead says.

    Parameters
    ----------
    cluster : Cluster
    callback : callable or None
    verbose : bool
    """

    def __init__(self, cluster: Cluster, callback: Callback | None, verbose: bool) -> None:
        self._cluster, self._callback, self._verbose = cluster, callback, verbose
        self._shown, self._stops = 0, False  # the last epoch that the callback has seen, and its answer
        self._run = self._address = ""  # of the lead that speaks

    def follow(self, task: Any, name: str, portions: Portions) -> None:
        """Do what the lead says until it ends; refuse to wait for one of which nothing is heard.

        Each lead has channels of its own: one that was given up may go on for a while, and would take the answers.
        """
        with ExitStack() as self._channels:
            self._follow(task, self._channel(name), portions)

    def _channel(self, name: str) -> _Channel:
        return self._channels.enter_context(closing(_Channel(self._cluster.client, name)))

    def _follow(self, task: Any, said: _Channel, portions: Portions) -> None:
        heard, looked, look, seen = *[time.monotonic()] * 2, min(_LOOK, self._cluster.timeout), None

        def has_ended() -> bool:
            nonlocal heard, looked, look, seen
            if time.monotonic() - looked > look:
                workers = self._cluster.workers()
                found = workers.get(self._address)
                if found is not None and found["last_seen"] != seen:
                    seen, heard = found["last_seen"], time.monotonic()
                if portions.homes.isdisjoint(workers):  # they may have moved, one after the other
                    portions.locate()
                self._cluster.check(time.monotonic() - heard, portions.homes)
                looked, look = time.monotonic(), min(2 * look, _SELDOM, self._cluster.timeout)
            return task.status != "pending"

        while messages := said.take(has_ended):
            heard = time.monotonic()
            for run, kind, *what in messages:
                if kind == "begins":
                    if self._run and self._verbose:
                        tell(f"the solver's worker {self._address} was lost: it runs again on {what[0]}")
                    self._run, self._address = run, what[0]
                    self._answers = self._channel(run)
                elif run != self._run:  # of a lead that was given up
                    continue
                elif kind == "ends":
                    return
                else:
                    getattr(self, f"_{kind}")(*what)

    def _line(self, text: str) -> None:
        tell(text)

    def _warning(self, text: str, category: str) -> None:
        warnings.warn(text, _CATEGORIES[category], stacklevel=_CALLER)

    def _iteration(self, entry: dict[str, Any]) -> None:
        if entry["epoch"] > self._shown and self._callback is not None:  # a new lead begins anew
            self._stops = bool(self._callback(entry))
            self._shown = entry["epoch"]
        self._answers.put([self._run, self._stops and entry["epoch"] == self._shown])


# There: on the worker -------------------------------------------------------------------------------------


def lead(pieces: list[Any], name: str, timeout: float) -> Any:
    """Do what a Fit says, and return what it learned, or a _Failed."""
    here, run = get_worker(), worker.run_of(name)
    with worker_client() as client:
        voice = _Voice(client, name, run, here.address)
        try:
            with worker.work_of(run), _AtLead(client, timeout, run) as cluster, heard_by(voice):
                return loads(np.concatenate(pieces).data).learned(cluster, voice)
        except Exception as error:
            if not _runs(here):
                raise Reschedule from error
            in_task = isinstance(error, _TaskError)
            return _Failed(error.args[0] if in_task else error, in_task)
        finally:
            if _runs(here):
                voice.end()


def _runs(worker: Any) -> bool:
    """Whether a worker is not about to end."""
    return worker.status in (Status.running, Status.paused)


class _Failed(NamedTuple):
    """An error. in_task: whether it is that of a task, and still to be named."""

    error: Exception
    in_task: bool


class _TaskError(Exception):
    """What a task ended with: only the process that made the parts knows their names."""


class _AtLead(Cluster):
    """The cluster as the lead sees it."""

    def __init__(self, client: Any, timeout: float, run: str) -> None:
        super().__init__(client, timeout, run)
        self._worker = get_worker()
        self._key = self._worker.get_current_task()

    def go_on(self) -> None:
        """End the work if it was stopped, if nobody waits for it any more, or if the worker is ending."""
        if not _runs(self._worker):
            raise Reschedule
        task = self._worker.state.tasks.get(self._key)
        if task is None or task.state not in ("executing", "long-running"):
            worker.stop(self.fit)
        stopping_point()

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if _runs(self._worker):
            super().__exit__(kind, error, traceback)

    def blamed(self, error: Exception, name: str) -> Exception:
        return _TaskError(error)

    def carriers(self, pieces: list[Any]) -> list[Any]:
        return self.known(self.client.scatter(pieces, hash=False))  # they stay where they are: on this worker

    def threads_here(self, asked: int | None) -> int | None:
        most = self._worker.state.nthreads
        return most if asked is None else min(asked, most)

    def _some_ended(self, pending: list[Any]) -> list[Any]:
        self.go_on()
        return super()._some_ended(pending)


class _Voice:
    """What the lead says."""

    def __init__(self, client: Any, name: str, run: str, address: str) -> None:
        self._run = run
        self._says, self._answers = _Channel(client, name), _Channel(client, run)
        self._say("begins", address)

    def line(self, text: str) -> None:
        self._say("line", text)

    def warning(self, text: str, category: type[Warning]) -> None:
        self._say("warning", text, category.__name__)

    def iteration(self, entry: dict[str, Any], go_on: Callable[[], None]) -> bool:
        """Show an entry of the history to the caller's callback; True if that ends the fit."""
        numbers = {name: getattr(value, "item", lambda value=value: value)() for name, value in entry.items()}
        self._say("iteration", numbers)

        def is_over() -> bool:
            go_on()
            return False

        while True:
            for run, stops in self._answers.take(is_over):
                if run == self._run:
                    return bool(stops)

    def end(self) -> None:
        with suppress(Exception):
            self._say("ends")
        for channel in (self._says, self._answers):
            channel.close()

    def _say(self, kind: str, *what: Any) -> None:
        self._says.put([self._run, kind, *what])


def _check_shared(mark: str) -> None:
    until = time.monotonic() + _SHARED
    while not os.path.exists(mark):
        if time.monotonic() > until:
            raise ValueError(
                f"checkpoint: the folder {os.path.dirname(mark)} is not the same one on the worker "
                f"{get_worker().address}. The solver of a model of this size runs on a worker, and keeps its state "
                "from there: use a folder on a disk that all workers and this process share, or checkpoint=None."
            )
        time.sleep(0.1)


# Between the two ------------------------------------------------------------------------------------------


class _Channel:
    """Messages, lists of strings and numbers, from one process to another."""

    def __init__(self, client: Any, name: str) -> None:
        with answering():
            self._queue = Queue(f"fastxent-{name}", client=client)

    def put(self, message: list[Any]) -> None:
        with answering():
            self._queue.put(message)

    def take(self, is_over: Callable[[], bool]) -> list[Any]:
        """Wait for messages, and return them; none if it is over.

        If the scheduler waited with a limit, it would log an error each time that this is reached.
        """
        pause = _POLL
        while True:
            over = is_over()
            with answering():
                found: list[Any] = self._queue.get(batch=True)
            if found or over:
                return found
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)

    def close(self) -> None:
        with suppress(Exception):
            self._queue.close()
