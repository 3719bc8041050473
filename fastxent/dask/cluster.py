"""A Dask cluster as one fit sees it: its tasks, how long they are waited for, and their end."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from distributed import KilledWorker, get_client, get_worker, wait

from ..parallel import StoppedError
from . import worker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from types import TracebackType
    from typing import Any, Self

    from distributed import Client


_POLL, _LOOK = 1.0, 10.0  # seconds between looks at the cluster while nothing ends, at first and at most
_AT_A_TIME = 100  # tasks that are waited for: they end about in the order in which they began
_WITHOUT_WORKERS = 60.0  # seconds that are waited for a first worker, or for the next
_ANSWER, _FETCH = 20.0, 60.0  # seconds in which the scheduler must answer, and results must arrive
_PATIENCE = 0.8  # seconds that an interrupted fit waits for its tasks to be told
MEMORY = 0.4  # share of a worker's memory that parts may take


class ClusterError(RuntimeError):
    """A fit cannot go on because of the cluster: workers or tasks were lost, or a worker fails."""


@contextmanager
def answering() -> Iterator[None]:
    """Questions to the scheduler, which may be gone; a client that was closed knows none."""
    try:
        yield
    except (AttributeError, OSError, RuntimeError, CancelledError) as error:
        raise ClusterError(
            "The scheduler does not answer: it has ended, or the client was closed."
        ) from error


class WorkersLostError(Exception):
    """All workers that held parts are gone, and others have come: what they held is to be made again."""


class Cluster:
    """A context for one fit; at its end, all that the fit has on the cluster is let go.

    Parameters
    ----------
    client : distributed.Client or None
        None is the current one.
    timeout : float
        Seconds that may pass without any task ending.
    fit : str or None
        By which workers know the tasks of this fit; None is a new name.
    """

    client: Client
    timeout: float
    fit: str

    def __init__(self, client: Any, timeout: float, fit: str | None = None) -> None:
        self.client, self.timeout, self.fit = _checked(client), timeout, fit or uuid.uuid4().hex
        self._futures: set[Any] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._stop()
        for future in self._futures:
            future.release()
        self._futures.clear()

    # Tasks --------------------------------------------------------------------------------------------

    def submit(self, function: Callable[..., Any], *arguments: Any, at: str | None = None) -> Any:
        """Return the future of function(*arguments), computed by the worker at this address, if it is there."""
        return self.known([self.client.submit(function, *arguments, pure=False, **_where(at))])[0]

    def compute(self, tasks: list[Any], at: str | None = None) -> list[Any]:
        """Return the futures of delayed tasks."""
        return self.known(self.client.compute(tasks, **_where(at)))

    def carriers(self, pieces: list[Any]) -> list[Any]:
        """Return the futures of pieces, which workers pass on to each other."""
        return [self.submit(worker.same, piece) for piece in pieces]

    def results(
        self, futures: Iterable[Any], name: Callable[..., Any], homes: Collection[str] = ()
    ) -> Iterator[Any]:
        """Yield each future and its result as they end.

        Parameters
        ----------
        futures : iterable
        name : callable
            For messages: name(future) is that of a part or source.
        homes : collection of str
            The workers that the tasks depend on.

        Raises
        ------
        WorkersLostError
            All of these workers are lost, and others are there. Dask gives tasks that name a worker to others, but not
            if there was none at that moment.
        """
        return self._until_all(futures, name, homes, self._fetched)

    def ended(
        self, futures: Iterable[Any], name: Callable[..., Any], homes: Collection[str] = ()
    ) -> Iterator[Any]:
        """As `results`, yield futures as they end, and None."""
        return self._until_all(futures, name, homes, lambda some: [None] * len(some))

    def _until_all(
        self,
        futures: Iterable[Any],
        name: Callable[..., Any],
        homes: Collection[str],
        fetched: Callable[..., Any],
    ) -> Iterator[tuple[Any, Any]]:
        pending, last, look = dict.fromkeys(futures), time.monotonic(), _POLL
        try:
            while pending:
                some = self._some_ended(list(pending))
                for future in some:
                    if future.status == "error":
                        error = future.exception(timeout=self.timeout)
                        raise self.blamed(error, name(future)) from error
                try:
                    results = fetched(some)
                except TimeoutError:  # they were lost in the meantime, and are computed again
                    some = results = ()
                except Exception as error:
                    raise self.blamed(error, name(some[0])) from error
                for future, result in zip(some, results, strict=True):
                    del pending[future]
                    yield future, result
                waited = time.monotonic() - last
                if some:
                    last, look = time.monotonic(), _POLL
                elif waited >= look:
                    self.check(waited, homes)
                    look = min(2 * waited, waited + _LOOK, max(self.timeout, waited + _POLL))
        finally:
            if pending:
                self._cancel(pending)

    def _fetched(self, futures: list[Any], limit: float = _FETCH) -> Any:
        """The results, which come together; a TimeoutError if they are lost on the way."""

        async def gather() -> Any:
            coming = asyncio.ensure_future(self.client.gather(futures, asynchronous=True))
            # Dask waits for what was lost to be computed again, which may need a worker that is gone.
            while not (await asyncio.wait([coming], timeout=_POLL))[0]:
                if any(future.status != "finished" for future in futures):
                    coming.cancel()
                    raise TimeoutError
            return coming.result()

        return self.client.sync(gather, callback_timeout=limit) if futures else ()

    def large_result(self, future: Any, name: Callable[..., Any], homes: Collection[str] = ()) -> Any:
        """Return the result of a task, which may take long to arrive."""
        fetched = partial(self._fetched, limit=max(_FETCH, self.timeout))
        [(_, result)] = self._until_all([future], name, homes, fetched)
        return result

    def release(self, futures: Iterable[Any]) -> None:
        """Let tasks go whose results are no longer needed."""
        for future in futures:
            self._futures.discard(future)
            future.release()

    def known(self, futures: list[Any]) -> list[Any]:
        """The futures, which are let go at the end."""
        self._futures.update(futures)
        return futures

    def _some_ended(self, pending: list[Any]) -> list[Any]:
        some = pending[:_AT_A_TIME]
        try:
            wait(some, timeout=_POLL, return_when="ALL_COMPLETED")
        except TimeoutError:
            some = pending
        except CancelledError as error:
            raise _ended_from_outside() from error
        return [future for future in some if future.status in ("finished", "error")]

    def blamed(self, error: Exception, name: str) -> Exception:
        """The error to raise in place of one that a task ended with."""
        if isinstance(error, KilledWorker):
            return ClusterError(
                f"Worker after worker died at {name}, or at what it did at the same time, the last of them "
                f"{error.last_worker.address}. Memory may be short: use smaller parts, or workers with more memory."
            )
        if isinstance(error, (CancelledError, StoppedError)):
            return _ended_from_outside()
        return named(*error.args) if isinstance(error, worker.PartFault) else named(name, error)

    def check(self, waited: float, homes: Collection[str] = ()) -> None:
        """Refuse to wait longer: there are no workers, or none of them gets ahead."""
        workers = self.workers()
        if workers and homes and workers.keys().isdisjoint(homes):
            raise WorkersLostError
        if self.client.status != "running":
            raise ClusterError(
                f"The client is {self.client.status}: the connection to the scheduler was lost."
            )
        if waited > min(_WITHOUT_WORKERS, self.timeout) and not workers:
            raise ClusterError(
                f"The cluster has had no workers for {waited:.0f} seconds: all of them were lost, or none has started."
            )
        if waited > self.timeout:
            paused = [address for address, one in workers.items() if one["status"] == "paused"]
            raise ClusterError(
                f"No task has ended within timeout={self.timeout:g} seconds. "
                + (
                    f"Memory is short, so {', '.join(paused)} {'has' if len(paused) == 1 else 'have'} paused: use "
                    "smaller parts, or workers with more memory."
                    if paused
                    else "A worker may hang, or be slow: use smaller parts, or a larger timeout."
                )
            )

    # Workers ------------------------------------------------------------------------------------------

    def workers(self) -> dict[str, Any]:
        """What the scheduler knows of each worker, by address."""
        return self._asked("identity", n_workers=-1)["workers"]

    def room(self, workers: dict[str, Any]) -> float:
        """The bytes of parts that a worker may hold in memory."""
        limits = [one["memory_limit"] for one in workers.values() if one["memory_limit"]]
        return MEMORY * min(limits, default=float("inf"))

    def first_workers(self) -> dict[str, Any]:
        """The same, once there is one."""
        begun = time.monotonic()
        while not (found := self.workers()):
            self.check(time.monotonic() - begun)
            time.sleep(0.05)
        return found

    def roomiest(self, least: float) -> str:
        """The address of the worker with the most memory to spare, for work that takes so many bytes at least."""

        def limit(address: str) -> float:
            return workers[address]["memory_limit"] or float("inf")

        workers = self.first_workers()
        most = max(map(limit, workers))
        if most < least:
            raise ClusterError(
                f"The solver takes at least {least / 1e6:,.0f} MB for a model of this size, and no worker has more "
                f"than {most / 1e6:,.0f} MB. Use a worker with more memory, or fewer columns."
            )
        return max(workers, key=lambda address: limit(address) - workers[address]["metrics"].get("memory", 0))

    @property
    def is_here(self) -> bool:
        """Whether this is a task on one of the workers."""
        try:
            return get_worker().scheduler.address == self.client.scheduler.address
        except ValueError:
            return False

    def threads_here(self, asked: int | None) -> int | None:
        """How many threads this process may use of so many."""
        return asked

    def holders(self, futures: list[Any]) -> list[list[str]]:
        """The addresses of the workers that hold a future's result, for each of them."""
        found = self._asked("who_has", keys=[future.key for future in futures])
        return [sorted(found.get(future.key, ())) for future in futures]

    def _asked(self, question: str, **how: Any) -> dict[str, Any]:
        with answering():
            ask = getattr(self.client.scheduler, question)
            return self.client.sync(ask, callback_timeout=_ANSWER, **how)

    def _cancel(self, futures: Iterable[Any]) -> None:
        for future in futures:
            self._futures.discard(future)
        with suppress(Exception):
            self.client.cancel(list(futures), force=True)

    def _stop(self) -> None:
        """Tell workers to end the tasks of this fit. They do so at their next piece of work."""
        futures = list(self._futures)

        def tell() -> None:
            with suppress(Exception):
                self.client.cancel(futures, force=True)
            with suppress(Exception):
                self.client.run(worker.stop, self.fit, on_error="ignore")

        telling = threading.Thread(target=tell, name="fastxent ends tasks", daemon=True)
        telling.start()
        telling.join(_PATIENCE)


def _where(at: str | None) -> dict[str, Any]:
    return {} if at is None else {"workers": [at], "allow_other_workers": True}


def _checked(client: Any) -> Any:
    if client is None:
        try:
            return get_client()
        except ValueError:
            raise ValueError(
                "client is None, and there is no current client: make one, such as distributed.Client(), or pass it as "
                "client=."
            ) from None
    if not hasattr(client, "submit") or not hasattr(client, "who_has"):
        raise TypeError(f"client must be a distributed.Client or None; got {type(client).__name__}.")
    if client.asynchronous:
        raise TypeError(
            "client is asynchronous, and fit waits for results: make one without asynchronous=True."
        )
    return client


def _ended_from_outside() -> ClusterError:
    return ClusterError(
        "Tasks of this fit were cancelled, by client.cancel, client.restart or the end of the client, or by the loss "
        "of data that only a worker had. Fit again."
    )


def named(name: str, error: Exception) -> Exception:
    """The same error with the name of the part at its beginning."""
    kind = type(error)
    if kind in (TypeError, ValueError):
        return kind(f"{name}: {error}")
    if isinstance(error, OSError) and error.strerror:
        return kind(error.errno, f"{name}: {error.strerror}", error.filename)
    return ClusterError(f"{name}: {kind.__name__}: {error}")
