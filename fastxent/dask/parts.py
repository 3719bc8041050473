"""Collections, delayed parts and sources as parts, and where these lie."""

from __future__ import annotations

import itertools
import operator
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import dask
import numpy as np
from dask.base import clone_key
from dask.delayed import Delayed, delayed
from dask.graph_manipulation import clone
from distributed import Future, futures_of

from ..data.ahead import ahead
from ..data.streamed import refuse_single_pass
from ..estimators import streaming
from ..sources import source as sources
from . import worker
from .cluster import ClusterError, WorkersLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..data.scaled import Scaled
    from ..typing import Array, Table
    from .cluster import Cluster
    from .worker import Binding, Call, Item, Survey


_LARGE = 8_000_000  # bytes that a pass sends through the scheduler at most, one copy for each worker
_AHEAD = 2  # parts that come while one is used
_TIMES = 4  # that the parts are made at most, if all workers are lost
_TOGETHER = 4  # neighbouring batches of a source that one worker takes


# What was given -------------------------------------------------------------------------------------------


class Rows(NamedTuple):
    """A piece that is one part, (X, y) or (X, y, weight)."""

    number: int

    def batches(self, given: Any) -> Iterator[Any]:
        yield self.name, (self.number,), given

    @property
    def name(self) -> str:
        return f"Part {self.number}"


class Source(NamedTuple):
    """A piece that is a source of parts: of one of several sources all, of a single one every n-th few."""

    number: int
    of: int | None = None

    def batches(self, given: Any) -> Iterator[Any]:
        if self.of is None:
            for i, batch in enumerate(given):
                yield f"Part {i} of source {self.number}", (self.number, i), batch
        else:
            for i, batch in self._share(given):
                yield f"Part {i}", (i,), batch
        close = getattr(given, "close", None)
        if close is not None:  # what a source keeps of its files is kept a second time here
            close()

    def _share(self, given: Any) -> Iterator[tuple[int, Any]]:
        def wanted(i: int) -> bool:
            assert self.of is not None
            return i // _TOGETHER % self.of == self.number

        if isinstance(given, sources.Source):
            return given.some(wanted)
        return ((i, batch) for i, batch in enumerate(given) if wanted(i))

    @property
    def name(self) -> str:
        return f"Source {self.number}" if self.of is None else "The source"


class Piece(NamedTuple):
    """What one task makes parts of."""

    given: Any
    origin: Any


def is_collection(X: Table) -> bool:
    """Whether X is a dask array or data frame, delayed parts, or a list of those."""
    if dask.is_dask_collection(X) or isinstance(X, Future):
        return True
    if not isinstance(X, (list, tuple)) or len(X) == 0:
        return False
    return any(is_task(one) for one in (X[0] if isinstance(X[0], tuple) else X))


def is_task(X: Table) -> bool:
    """Whether X is one delayed value. (Such a value seems to have every attribute.)"""
    return isinstance(X, (Delayed, Future))


class Parts:
    """The rows of a fit, in parts. Iterated over, these are (X, y) or (X, y, weight), one after the other.

    Parameters
    ----------
    cluster : Cluster
    X, y, sample_weight :
        As `fit` gets them.
    """

    cluster: Cluster
    pieces: list[Piece]

    def __init__(self, cluster: Cluster, X: Table, y: Any = None, sample_weight: Any = None) -> None:
        self.cluster, self._split, self._times = cluster, False, 0
        self._lie = bool(futures_of([X, y, sample_weight]))  # in the workers' memory
        if is_collection(X):
            self.pieces = _pieces(X, y, sample_weight)
        elif isinstance(X, (list, tuple)) and len(X) > 0 and all(map(streaming.is_source, X)):
            self.pieces = [Piece(source, Source(i)) for i, source in enumerate(X)]
        elif isinstance(X, (list, tuple)) and streaming.is_source(X):
            self.pieces = [Piece(batch, Rows(i)) for i, batch in enumerate(X)]
        elif streaming.is_source(X):
            refuse_single_pass(X, "X")
            self.pieces, self._split = [Piece(X, Source(0))], True
        else:
            raise TypeError(
                "X must be a dask array or data frame, a list of delayed parts (X, y), or a source; got "
                f"{type(X).__name__}. For data in memory there is fastxent.{{LogisticRegression, SGDClassifier}}, or "
                "dask.array.from_array."
            )
        if not is_collection(X):
            streaming.refuse_beside(y=y, sample_weight=sample_weight)

    def load(self, check_of: Callable[..., Any]) -> tuple[dict[Any, str], Sequence[str | None]]:
        """Begin to make the parts, and return {future: name} and the workers that are to hold them, None for any.

        check_of : callable
            check_of(bytes for a worker) is the worker.Check.
        """
        workers = self.cluster.first_workers()
        if self._split:
            given, count, self._split = self.pieces[0].given, len(workers), False
            self.pieces = [Piece(given, Source(i, count)) for i in range(count)]
        anywhere: list[str | None] = [None] * len(self.pieces)
        addresses = anywhere if self._lie else _neighbours(len(self.pieces), workers)
        check = check_of(self.cluster.room(workers))
        pieces = _under_other_keys(self.pieces) if self._times and not self._lie else self.pieces
        self._times += 1
        futures = self._tasks(worker.load, pieces, addresses, check, self.cluster.fit)
        names = [piece.origin.name for piece in pieces]
        return dict(zip(futures, names, strict=True)), addresses

    def scores(self, model: Any) -> list[tuple[float, Scaled] | None]:
        """Return what `streaming.score_of_rows` gives for each part."""
        futures = self._tasks(worker.score, self.pieces, [None] * len(self.pieces), model)
        found = self._results(futures)
        return [score for future in futures for score in found[future]]

    def __iter__(self) -> Iterator[Any]:
        if all(type(piece.origin) is Source for piece in self.pieces):
            for piece in self.pieces:
                if piece.origin.of is None or piece.origin.number == 0:
                    yield from piece.given
            return
        yield from ahead(self._gathered())

    def _gathered(self) -> Iterator[Any]:
        for piece in self.pieces:
            [future] = self._tasks(_given, [piece], [None])
            yield self._results([future])[future]
            self.cluster.release([future])

    def _tasks(
        self, function: Callable[..., Any], pieces: list[Piece], addresses: Sequence[str | None], *more: Any
    ) -> list[Any]:
        """Return the future of function(given, origin, *more) for each piece."""
        futures: list[Any] = [None] * len(pieces)
        delayed_at: dict[str | None, list[int]] = {}
        for i, (piece, address) in enumerate(zip(pieces, addresses, strict=True)):
            if any(isinstance(one, Delayed) for one in _members(piece.given)):
                delayed_at.setdefault(address, []).append(i)
            else:
                futures[i] = self.cluster.submit(function, *piece, *more, at=address)
        do = delayed(function, pure=False)
        for address, some in delayed_at.items():
            tasks = [do(*pieces[i], *more) for i in some]
            for i, future in zip(some, self.cluster.compute(tasks, address), strict=True):
                futures[i] = future
        return futures

    def _results(self, futures: list[Any]) -> dict[Any, Any]:
        names = {
            future: piece.origin.name for future, piece in zip(futures, self.pieces, strict=len(futures) > 1)
        }
        return dict(self.cluster.results(futures, names.get))


def _given(given: Any, _: Any) -> Any:
    return given


def _members(given: tuple[Any, ...]) -> tuple[Any, ...]:
    return given if isinstance(given, tuple) else (given,)


def _under_other_keys(pieces: list[Piece]) -> list[Piece]:
    """The same pieces, whose delayed values have keys that the scheduler does not know.

    Once there are no workers at all, tasks that were to run on one of them wait for it for ever. The scheduler keeps
    them as long as anybody wants them: the lead, held-out rows made of the same values, another fit.
    """
    seed = uuid.uuid4().hex
    given = [one for piece in pieces for one in _members(piece.given) if isinstance(one, Delayed)]
    graph = dict(clone(delayed(list)(given), seed=seed).dask)  # in one go: they share their graph

    def other(one: Any) -> Any:
        return Delayed(clone_key(one.key, seed), graph) if isinstance(one, Delayed) else one

    return [
        piece._replace(
            given=tuple(map(other, piece.given)) if isinstance(piece.given, tuple) else other(piece.given)
        )
        for piece in pieces
    ]


# Collections ----------------------------------------------------------------------------------------------


def _pieces(X: Table, y: Any, weight: Any) -> list[Piece]:
    """The Pieces of a collection: one for each of its blocks of rows."""
    if isinstance(X, (list, tuple)) or is_task(X):
        blocks = list(X) if isinstance(X, (list, tuple)) else [X]
    else:
        blocks = _blocks(X)
    if y is None:
        if weight is not None:
            raise ValueError("sample_weight must be None where each part is (X, y) or (X, y, weight).")
        if not isinstance(X, (list, tuple)) and not is_task(X):
            raise ValueError("Training requires y to be passed, but the target y is None.")
        return [Piece(block, Rows(i)) for i, block in enumerate(blocks)]
    beside = [
        _beside(name, given, X, len(blocks))
        for name, given in (("y", y), ("sample_weight", weight))
        if given is not None
    ]
    return [Piece(given, Rows(i)) for i, given in enumerate(zip(blocks, *beside, strict=True))]


def _blocks(X: Table) -> list[Any]:
    """The blocks of rows of a dask array or data frame, as delayed values."""
    if not hasattr(X, "to_delayed"):
        raise TypeError(
            f"a dask array, a dask data frame or a list of delayed parts is wanted; got {type(X).__name__}."
        )
    if _is_array(X) and X.ndim == 2 and X.numblocks[1] > 1:
        X = X.rechunk({1: -1})
    return list(np.ravel(X.to_delayed()))


def _beside(name: str, given: Any, X: Table, count: int) -> list[Any]:
    """What belongs to the rows of each block of X."""
    if is_task(given):
        blocks = [given]
    elif dask.is_dask_collection(given):
        if _is_array(given) and _is_array(X):
            given = _like_rows_of(X, given, name)
        blocks = _blocks(given)
    elif isinstance(given, (list, tuple)) and len(given) > 0 and all(map(is_task, given)):
        blocks = list(given)
    elif _is_array(X) and not np.isnan(X.shape[0]):
        given = given if hasattr(given, "shape") else np.asarray(given)
        _refuse_length(name, len(given), X)
        stops = np.cumsum(X.chunks[0])
        take = getattr(given, "iloc", given)
        return [take[a:b] for a, b in zip([0, *stops[:-1]], stops, strict=True)]
    else:
        raise TypeError(
            f"{name} must be a dask collection or a list of delayed values, in blocks like those of X; got "
            f"{type(given).__name__}."
        )
    if len(blocks) != count:
        raise ValueError(
            f"{name} has {len(blocks)} blocks, and X has {count}: they must have the same rows in each block."
        )
    return blocks


def _like_rows_of(X: Table, given: Any, name: str) -> Any:
    known = not np.isnan(X.shape[0]) and not np.isnan(given.shape[0])
    if known:
        _refuse_length(name, given.shape[0], X)
        given = given.rechunk({0: X.chunks[0]})
    return given


def _refuse_length(name: str, n: int, X: Table) -> None:
    if n != X.shape[0]:
        raise ValueError(
            f"{name} must have one entry for each of the {X.shape[0]} rows of X; got {n}. Found input variables with "
            f"inconsistent numbers of samples: {[X.shape[0], n]}"
        )


def _is_array(X: Table) -> bool:
    return not is_task(X) and hasattr(X, "chunks") and hasattr(X, "numblocks")


# Where parts lie ------------------------------------------------------------------------------------------


class Portions:
    """The parts on the workers. A portion is what one task made: a list of `worker.Kept`.

    Parameters
    ----------
    parts : Parts
    check_of : callable
        As of `Parts.load`.
    """

    cluster: Cluster

    def __init__(self, parts: Parts, check_of: Callable[..., Any]) -> None:
        self.cluster, self._parts, self._check_of = parts.cluster, parts, check_of
        self._names: dict[Any, str] = {}
        self._futures: list[Any] = []
        self._addresses: Any = []
        self._times = 0
        self.load()

    # In another process, which uses the parts, and leaves it to this one to make them again.

    def __getstate__(self) -> dict[str, Any]:
        return {"keys": [future.key for future in self._futures], "addresses": self._addresses}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._keys, self._addresses = state["keys"], state["addresses"]

    def bind(self, cluster: Cluster) -> None:
        """Use the cluster as this process sees it."""
        self.cluster = cluster
        self._futures = [Future(key, cluster.client) for key in self._keys]
        self._names = dict.fromkeys(self._futures, "A part")

    def surveys(self) -> list[tuple[Item, Survey]]:
        """Return (Item, Survey) of every part, in order."""
        parts = []
        for numbers, portions in self._in_shares(range(len(self._futures)), int, self._submit_surveys):
            for number, portion in zip(numbers, portions, strict=True):
                for index, (name, order, checksum, survey) in enumerate(portion):
                    parts.append((order, worker.Item(number, index, name, checksum), survey))
        return [part[1:] for part in sorted(parts, key=operator.itemgetter(0))]

    def visit(self, call: Call, arguments: tuple[Any, ...], items: list[Item]) -> Iterator[dict[Any, Any]]:
        """Yield the results of `worker.visit`, of each worker or of all: one task for each worker."""
        elsewhere = False

        def submit(shares: dict[str, list[Item]]) -> tuple[dict[Any, list[Any]], list[Any]]:
            sent, carriers = self._sent(arguments, len(shares))
            tasks = {self._submit(call, sent, share, at): share for at, share in shares.items()}
            return (self._merged(tasks, call.add) if call.add is not None and carriers else tasks), carriers

        for _, (moved, found) in self._in_shares(items, operator.attrgetter("portion"), submit):
            elsewhere |= moved
            yield {key: worker.unpacked(result) for key, result in found.items()}
        if elsewhere:
            self.locate()

    def are_many(self, size: int) -> bool:
        """Whether so many bytes are too many to go with the task of each worker."""
        return size * len(self.homes) > _LARGE

    def rows(self, items: list[Item], binding: Binding) -> Iterator[Any]:
        """Yield the rows of each part, here; the next ones come meanwhile."""

        def fetch(item: Item) -> Any:
            future, address = self._futures[item.portion], self._addresses[item.portion]
            return self.cluster.submit(worker.rows, future, binding, item, at=address)

        waiting: list[Any] = []
        coming = iter(items)
        while True:
            for item in itertools.islice(coming, _AHEAD + 1 - len(waiting)):
                waiting.append((item, fetch(item)))
            if not waiting:
                return
            try:
                [(task, found)] = self.cluster.results([waiting[0][1]], self.lost, self.homes)
            except WorkersLostError:
                self.load()
                waiting = [(item, fetch(item)) for item, _ in waiting]
                continue
            del waiting[0]
            self.cluster.release([task])
            yield found

    # Tasks --------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Let workers make the parts; again, if all that held them are lost."""
        if not hasattr(self, "_parts"):
            raise WorkersLostError
        for _ in range(_TIMES - self._times):
            self._times += 1
            self.cluster.release(self._futures)
            self._names, self._addresses = self._parts.load(self._check_of)
            self._futures = list(self._names)
            try:
                for _ in self.cluster.ended(self._futures, self._names.get, self.homes):
                    pass
            except WorkersLostError:
                continue
            if None in self._addresses:
                self.locate()
            return
        raise ClusterError(
            "All workers were lost, and others came, again and again. Memory may be short: use smaller parts, or "
            "workers with more memory."
        )

    def _in_shares(
        self, items: Iterable[Any], portion_of: Callable[[Any], int], submit: Callable[..., Any]
    ) -> Iterator[tuple[Any, Any]]:
        """Yield the share and the result of each task; all tasks are submitted again for shares that were lost.

        submit : callable
            Given {address: items there}, returns {task: its items} and tasks that these need.
        """
        left = list(items)
        while left:
            shares: dict[str, list[Any]] = {}
            for item in left:
                shares.setdefault(self._addresses[portion_of(item)], []).append(item)
            tasks, needed = submit(shares)
            try:
                for task, result in self.cluster.results(tasks, self.lost, self.homes):
                    self.cluster.release([task])
                    yield tasks[task], result
                    done = set(map(id, tasks[task]))
                    left = [item for item in left if id(item) not in done]
            except WorkersLostError:
                self.load()
            self.cluster.release(needed)

    def _submit_surveys(self, shares: dict[str, list[int]]) -> tuple[dict[Any, list[Any]], tuple[()]]:
        return {
            self.cluster.submit(worker.surveys, [self._futures[i] for i in numbers], at=address): numbers
            for address, numbers in shares.items()
        }, ()

    def _merged(self, tasks: dict[Any, list[Item]], add: Callable[..., Any]) -> dict[Any, list[Item]]:
        """The tasks as one, whose workers add up their results in pairs."""
        while len(tasks) > 1:
            pairs = [list(tasks.items())[i : i + 2] for i in range(0, len(tasks), 2)]
            tasks = {
                self.cluster.submit(worker.merge, *(task for task, _ in pair), add)
                if len(pair) == 2
                else pair[0][0]: list(itertools.chain.from_iterable(share for _, share in pair))
                for pair in pairs
            }
        return tasks

    def _submit(self, call: Call, arguments: list[Any], share: list[Item], address: str | None) -> Any:
        numbers = sorted({item.portion for item in share})
        here = {number: i for i, number in enumerate(numbers)}
        items = [item._replace(portion=here[item.portion]) for item in share]
        futures = [self._futures[i] for i in numbers]
        return self.cluster.submit(worker.visit, futures, call, arguments, items, address, at=address)

    def _sent(self, arguments: tuple[Any, ...], copies: int) -> tuple[list[Any], list[Any]]:
        """The arguments as tasks take them, and the futures of large ones, in pieces that workers pass on."""
        sent: list[Any] = []
        carriers: list[Any] = []
        for argument in arguments:
            if isinstance(argument, np.ndarray) and argument.nbytes * copies > _LARGE:
                futures = in_pieces(self.cluster, argument.ravel())
                carriers += futures
                argument = [argument.shape, *futures]
            sent.append(argument)
        return sent, carriers

    @property
    def homes(self) -> set[str]:
        """The addresses of the workers that hold portions."""
        return set(self._addresses) - {None}

    def locate(self) -> None:
        """Find where the portions lie, each in one place, of equal shares where there is a choice."""
        count = dict.fromkeys(self._addresses, 0)
        for i, holders in enumerate(self.cluster.holders(self._futures)):
            if holders:
                self._addresses[i] = min(holders, key=lambda holder: count.get(holder, 0))
            count[self._addresses[i]] = count.get(self._addresses[i], 0) + 1

    def lost(self, _: Any) -> str:
        """The name of a portion that could not be computed again."""
        return next((name for future, name in self._names.items() if future.status == "error"), "A part")


def in_pieces(cluster: Cluster, array: Array) -> list[Any]:
    """Return the futures of an array's pieces, which go from worker to worker."""
    return cluster.carriers(np.array_split(array, -(-array.nbytes // _LARGE)))


def _neighbours(count: int, workers: dict[str, Any]) -> list[str]:
    """An address for each of so many pieces: neighbours go to the same worker, as many as it has threads."""
    threads = [one["nthreads"] for one in workers.values()]
    stops = np.cumsum(threads) * count / sum(threads)
    return [list(workers)[int(np.searchsorted(stops, i + 0.5))] for i in range(count)]
