"""The state of a training, and how arrays get into the jitted loops and back."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from .. import kernels, parallel
from ..data.rows import features_of, squared_norms
from . import loops
from .columns import Columns, Standard
from .layouts import apart, are_alike, empty, features_in, fill, layout_of, moved, unflat
from .loops import (
    AVERAGED,
    BEGUN,
    BUDGET,
    CLOCK,
    COUNTERS,
    ETA,
    LEFT,
    LOWERED,
    PENALISED,
    ROWS,
    SCALE,
    SQUARES,
    SYNCED,
    UPDATES,
    WEIGHTS,
    Rows,
)
from .optimizers import FTRL, MEMORY, SGD, SVRG
from .rules import State, automatic_step, era, powers, rule_of
from .steepness import steepness

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..kernels import Descent, RowFeatures, RowProblem
    from ..typing import Array, Table
    from .layouts import Layout
    from .loops import Rule
    from .options import Options


FIRST_CALL = 256  # rows in the first call of a loop, before it is known how long they take
CALL_SECONDS = 0.03  # target for later calls; Ctrl-C takes effect between calls
ROUND = 4096  # rows per thread between two penalties, where threads write to the same weights

# ftrl computes its weights from its sums. Weights given at the start count like one gradient of about the size that
# eta0 is meant for, times this.
_TRUST = 0.25


class Data:
    """Rows bound to their targets, in the form that the loops need."""

    features: RowFeatures
    is_sparse: bool
    batches: bool
    problem: RowProblem
    weights: Array
    arrays: tuple[Array, ...]
    squares: Array
    width: int
    beside: int

    def __init__(
        self,
        options: Options,
        X: Table,
        target: Array,
        n_classes: int,
        K: int,
        row_weight: Array | None,
        class_weight: Any = None,
        smoothing: float = 0.0,
    ) -> None:
        dense = isinstance(X, np.ndarray)
        self.target = target
        X_bound = X if dense else (X.data, X.indices, X.indptr, *X.shape)
        self.batches = dense and options.batch > 1
        # Single dense rows use whole registers of features, unless single features must catch up.
        all_at_once = dense and options.batch == 1 and options.optimizer != "svrg"
        self._arguments: tuple[Any, ...] = (
            X_bound,
            K,
            kernels.Targets(target, n_classes, row_weight, class_weight, smoothing),
            self.batches or all_at_once,
            options.batch,
            _zeros,
            1 if dense or K == 1 else options.beside,
        )
        self.beside = self._arguments[-1]
        self.problem = self.bind()
        self.X, self.features = X, features_of(X)
        self.is_sparse = not dense
        self.weights = np.zeros(0) if row_weight is None else row_weight
        self.squares = np.zeros(0)
        if options.goes_by_sizes and self.batches:  # the kernels fill it in
            self.squares = np.zeros(X.shape[0])
            self.problem.measure(self.squares)
        elif options.goes_by_sizes:
            self.squares = squared_norms(X)
        self._own_squares: Array | None = None
        self.width = X.shape[1]

    def bind(self) -> RowProblem:
        """Return the rows with their own scratch memory, for one thread."""
        return kernels.RowProblem(*self._arguments)

    def rows(self, order: Array, standard: Standard | None = None) -> Rows:
        """Return Rows for the loops, in the units of a training."""
        return Rows(order, self.weights, self.squares_of(order, standard))

    def entries_of_batches(self, order: Any, batch: Any) -> Any:
        """Return the largest number of entries that a batch of these rows has, CSR rows in this order."""
        entries = self.X.indptr[order + 1] - self.X.indptr[order]
        return int(np.add.reduceat(entries, np.arange(0, len(order), batch)).max(initial=0))

    def squares_of(self, rows: Array, standard: Standard | None) -> Array:
        """Return |x_i|^2 of all rows, in the units of a training, up to date for these: now or, in minibatches of dense
        rows, once their gradient is there."""
        if standard is None or len(self.squares) == 0 or self.batches:
            return self.squares
        if self._own_squares is None:
            self._own_squares = np.zeros(len(self.squares))
        self.features.squares(rows, *standard, self._own_squares)
        return self._own_squares


class Training:
    """Weights, the optimiser's memory, and the position in the schedule.

    Everything that a loop does depends only on this state and on the rows, in their order: rows in pieces (of whole
    batches) give the same bits as all rows at once.

    theta: the weights to start from. updates: the number that schedules start at.
    """

    d: int
    dtype: np.dtype[Any]
    counters: Array
    horizon: float

    def __init__(self, options: Options, theta: Array, updates: int = 0) -> None:
        self.options = options
        self.d, self.K = theta.shape[0] - 1, theta.shape[1]
        self.dtype = theta.dtype
        self.counters = np.zeros(COUNTERS)
        self.counters[[SCALE, LOWERED, LEFT]] = 1.0
        self.counters[[UPDATES, BEGUN]] = updates
        self._eta0 = options.eta0
        self._unit = 0  # of weights, see `in_unit`
        self.horizon = math.inf
        self._rows_of_a_call = FIRST_CALL
        self._layout: Any = None
        self._scratch: Any = None
        self._arrays = {"w": theta}
        if self.options.kind != SGD or self.options.pays:
            for name in self._roles:
                self._arrays[name] = np.full_like(theta, self._padding(name))
        if options.average_from >= 0:
            self._arrays["average"] = np.zeros_like(theta)
        self._steepness: tuple[float, float] | None = None  # of minibatches in these units, see `steepness`
        self.standard: Standard | None = None  # the units of the columns
        self.columns: Any = None  # or Columns
        if options.by_column:
            one_step = options.batch == 0 or self.options.kind == SVRG
            self.columns = Columns(self.d, self.dtype, options.fit_intercept, one_step, options.together)
        self._given = bool(self.options.kind == FTRL and theta.any())  # weights that are not in its sums yet

    def successor(self, options: Options, updates: int, theta: Any = None) -> Training:
        """Return a training that continues from here with other options, another count of updates, or other weights.

        theta: weights that replace those of this training. Then everything that belongs to the old weights is dropped:
        the optimiser's memory (of ftrl, all but its confidence), averages, and lowered step sizes. Otherwise each is
        kept while its own option is unchanged: the memory with `optimizer`, averages with `average_from`, lowered step
        sizes with step size and schedule.

        The sizes of rows seen so far are always kept, if they were measured.
        """
        here, old, edited = self, self.options, theta is not None
        if not edited or self.options.kind == FTRL:  # else no array is kept
            here = self.copy()
            here._to_natural()
        averages = not edited and options.average_from == old.average_from and here.counters[AVERAGED] > 0
        if not edited:
            theta = here.theta(averaged=not averages)
        new = Training(options, theta, updates)
        automatic = options.eta0 is None and old.eta0 is None
        if old.goes_by_sizes and (automatic or here._unit == 0):
            sizes = [SQUARES, WEIGHTS, ROWS]
            new.counters[sizes] = here.counters[sizes]
            new._unit = here._unit
        if options.by_column and old.by_column:
            new.columns = here.columns.copy()
            new.columns.change(options.fit_intercept, options.batch == 0, options.together)
            new.standard = new.columns.standard
            if options.batch == old.batch:
                new._steepness = here._steepness
        if options.agree(old, "schedule", "epochs", "batch"):
            new.horizon = here.horizon
        if not edited and options.agree(old, "schedule", "eta0"):
            new.counters[LOWERED] = here.counters[LOWERED]
        if averages:
            new.counters[AVERAGED] = here.counters[AVERAGED]
            new._arrays["average"] = here._arrays["average"]
        if options.optimizer == old.optimizer and (not edited or here.options.kind == FTRL):
            new._given = edited or here._given
            new.counters[BEGUN] -= here.counters[UPDATES] - here.counters[BEGUN]
            new.counters[CLOCK] = here.counters[CLOCK]
            new.counters[BUDGET] = here.counters[BUDGET]
            for name in {"a", "b"} & set(here._arrays) & set(new._arrays):
                new._arrays[name] = here._arrays[name].astype(theta.dtype, copy=False)
        return new

    def in_unit(self, weights: Array) -> Any:
        """Weights of rows in a unit in which their squares are numbers: a power of two, from the first row that weighs
        anything. Where steps come from the data, nothing but the ratios of weights matters."""
        if self.options.eta0 is not None:  # the step of a row of weight 1
            return weights
        if self.counters[ROWS] == 0 and weights.any():
            self._unit = math.frexp(weights[np.argmax(weights > 0)])[1]
        with np.errstate(over="ignore"):  # the caller will see
            return np.ldexp(weights, -self._unit)

    @property
    def _roles(self) -> dict[str, str]:
        """What the optimiser's arrays contain, by name."""
        return dict(zip("ab", MEMORY[self.options.kind], strict=False))

    @property
    def updates(self) -> int:
        return int(self.counters[UPDATES])

    @property
    def learning_rate(self) -> float:
        """The step size of the last update."""
        return float(self.counters[ETA])

    def expect(self, updates: int) -> None:
        """Announce the updates of one epoch: they set the horizon of schedules, unless it is already set."""
        if self.horizon == math.inf:
            self.horizon = float(max(1, updates * self.options.epochs))

    def set_step(self, eta0: float) -> None:
        """Set eta0 for full batches, whose step size is found before the first update."""
        self._eta0 = eta0

    def scale(self, square: float) -> None:
        """Set eta0 of adaptive optimisers for full batches. square: the mean of |x|^2 + 1."""
        self._eta0 = automatic_step(self.options) / math.sqrt(square)

    def weights(self) -> Array:
        """Return the present weights, not averaged."""
        return self.theta(averaged=False)

    def snapshot(self, data: Data, gradient: Array) -> None:
        """Begin an epoch of svrg at the present weights, where the mean loss of all rows has this gradient."""
        _, memory = self._enter(data)
        memory.synchronise(0.0)
        self._arrays["a"][:] = self._arrays["w"]
        fill(self._arrays["b"], self._own("b", gradient), self._layout)

    def step(self, gradient: Array) -> None:
        """Make one update with this gradient (d + 1, K) of the mean loss."""
        size = gradient.size
        layout = (False, self.K, self.d * self.K, size, True, False, 1)
        if layout != self._layout:
            self._to_layout(layout)
        rule = self._rule()
        memory = self._memory(rule)
        if self._given:
            self._anchor(rule, *loops.first_step(rule, self.counters))
        if self.standard is not None:
            gradient = self.standard.own_gradient(gradient)
        self._scratch["g"][:size] = gradient.ravel()
        loops.step_full(rule, self.counters, memory.address)

    def lower(self, factor: float) -> None:
        """Multiply all later step sizes by a factor."""
        self.counters[LOWERED] *= factor

    def copy(self) -> Training:
        """Return an independent copy."""
        other = object.__new__(Training)
        vars(other).update(vars(self))
        other.counters = self.counters.copy()
        other._layout, arrays = self._compact()
        other._arrays = {name: array.copy() for name, array in arrays.items()}
        other._scratch = None
        other.columns = None if self.columns is None else self.columns.copy()
        return other

    def __getstate__(self) -> dict[str, Any]:
        layout, arrays = self._compact()
        return vars(self) | {"_scratch": None, "_layout": layout, "_arrays": arrays}

    def _compact(self) -> tuple[Layout | None, dict[str, Array]]:
        """Return the layout and the arrays with nothing side by side."""
        if self._layout is None or self._layout[-1] == 1:
            return self._layout, self._arrays
        layout = apart(self._layout)
        like = {name: self._arrays[name] for name in self._weight_like()}
        return layout, self._arrays | moved(like, self._layout, layout)

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on; not for trainings with units of columns."""
        return {name: value for name, value in self.__getstate__().items() if name != "options"}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the state of a training with the same options."""
        vars(self).update(state)

    def run_together(self, data: Data, order: Array, n_threads: int) -> tuple[float, float]:
        """Like `run`, on threads that write to the same weights without locks (Hogwild).

        Only for plain SGD on single rows. What each thread reads depends on chance, and so do the last digits. The
        penalty is applied between rounds of some thousand rows.
        """
        problems = [data.bind() for _ in range(n_threads)]
        loss = mass = 0.0
        for first in range(0, len(order), ROUND * n_threads):
            rows = order[first : first + ROUND * n_threads]
            parts = np.array_split(rows, n_threads)
            if self.columns is not None:
                self.columns.observe(data.features, rows)
                self._review()
            rule, memory = self._enter(data, problems)
            memory.synchronise(0.0)
            free = rule._replace(l2=0.0, late_every=0)
            rows = data.rows(rows, self.standard)

            def task(
                i: int, parts: list[Array] = parts, free: Rule = free, rows: Rows = rows
            ) -> tuple[Any, ...]:
                counters, part = self.counters.copy(), rows._replace(order=parts[i])
                own = self._memory(free, problems[i], counters)
                return *loops.plain(free, counters, own.address, part, 0.0, 0.0), counters

            results = parallel.run(task, n_threads, n_threads)
            before = self.counters.copy()
            self.counters += sum(counters - before for _, _, counters in results)
            self.counters[ETA] = results[0][2][ETA]
            self.counters[SCALE] = math.exp(-rule.l2 * (self.counters[CLOCK] - before[CLOCK]))
            memory.rescale()
            if rule.late_every:
                memory.penalise()
            loss += sum(result[0] for result in results)
            mass += sum(result[1] for result in results)
            if not math.isfinite(loss):
                break
        return loss, mass

    def run(self, data: Data, order: Array) -> tuple[float, float]:
        """Take the rows `order` of data. Returns the sum of s_i loss_i, each before its row's update, and of s_i."""
        rule, memory = self._enter(data)
        if self._given:
            counters = self.counters.copy()  # as they will be after these rows
            squares = squared_norms(data.X) if data.batches and len(data.squares) else data.squares
            loops.weigh(counters, data.rows(order)._replace(squares=squares), 0, len(order))
            self._anchor(rule, *loops.first_step(rule, counters))
        loss = mass = 0.0
        first, share, loop = 0, 1.0, _loop(rule.kind, data)
        if rule.kind == SVRG and len(data.weights):
            share = len(order) / data.weights[order].sum()
        while first < len(order) and math.isfinite(loss):
            parallel.stopping_point()
            step = self._rows_of_a_call
            if self.columns is not None:
                if self._review():
                    rule, memory = self._enter(data)
                step = min(step, self.columns.next_review - self.columns.rows)
            if rule.automatic == 2 and rule.batch > 1 and self._steepness is None:
                next_rows = order[first : first + rule.batch]
                with parallel.one_blas_thread:
                    self._steepness = steepness(data, next_rows, self.standard, self._some_weights)
                rule, memory = self._enter(data)
            piece = order[first : first + -(-step // rule.batch) * rule.batch]
            first += len(piece)
            began = time.perf_counter()
            rows = data.rows(piece, self.standard)
            if loop is loops.sparse_batches:
                entries = data.entries_of_batches(piece, rule.batch)
                memory.hold(np.empty(entries, np.int32), np.empty(entries, self.dtype))
            arguments = (share,) if loop is loops.variance_reduced else ()
            loss, mass = loop(rule, self.counters, memory.address, rows, *arguments, loss, mass)
            if self.columns is not None:
                self.columns.observe(data.features, piece)
            took = max(time.perf_counter() - began, CALL_SECONDS / 8)
            self._rows_of_a_call = max(1, int(len(piece) * CALL_SECONDS / took))
        return loss, mass

    def look_at(self, features: RowFeatures, rows: Array, weights: Array | None) -> None:
        """Set the columns' units for descents that see all rows before the first update."""
        if self.columns is not None and self.columns.rows == 0:
            self.columns.observe_all(features, rows, weights)
            self._review()

    def _review(self) -> bool:
        """Change the columns' units if the rows seen so far require it. Returns whether this was the time to look."""
        columns, old = self.columns, self.standard
        if columns.rows < columns.next_review:
            return False
        columns.review()
        if columns.is_time:  # a loss becomes less steep as its rows become certain
            self._steepness = None
        if columns.standard is old:
            return True
        new = columns.standard
        if not self._rescaled(old, new):
            self._to_natural()
        self.standard = new
        self._steepness = None
        self.counters[SQUARES] = columns.mean_square() * self.counters[WEIGHTS]
        # Means of squares around another point, and debts to L1 in another unit, no longer mean anything.
        shifts = [np.zeros(self.d) if standard is None else standard.shift for standard in (old, new)]
        moved = np.flatnonzero(np.logical_xor(*(shift != 0 for shift in shifts)))
        if "root" in self._roles.values():
            for name, role in self._roles.items():
                array = self._arrays[name]
                # A gradient around a shift is nothing where it is that of the intercept times the shift.
                nothing = np.outer(shifts[1][moved], array[-1]) if role == "gradient" else self._padding(name)
                array[moved] = nothing
        if self.options.pays:
            self._arrays["a"][:] = 0.0
            self.counters[BUDGET] = 0.0
        return True

    def _rescaled(self, old: Standard | None, new: Standard | None) -> bool:
        """Bring the weights to new units in their layout, if only factors have changed; else return False."""
        old, new = (standard or Standard(np.zeros(self.d), np.ones(self.d)) for standard in (old, new))
        if self._layout is None or self.options.kind != SGD or (old.shift != new.shift).any():
            return False
        self._catch_up()
        self.counters[PENALISED] = self.counters[CLOCK]
        ratio = old.factor / new.factor
        changed = np.flatnonzero(ratio != 1.0)
        for name in {"w", "average"} & set(self._arrays):
            features = features_in(self._arrays[name], layout_of(name, self._layout))
            if self._layout[0]:
                features[:, changed] *= ratio[changed]
            else:
                features[changed] *= ratio[changed, None]
        return True

    def _some_weights(self, columns: Array) -> Array:
        """Return the weights of these columns, and the intercept, in float64 and the units of X. What they still wait
        for is missing. columns: with all that have a shift."""
        w, layout = self._arrays["w"], self._layout
        intercept = w[layout[2] : layout[2] + self.K].astype(np.float64)
        features = features_in(w, layout)
        W = (features[: self.K, columns].T if layout[0] else features[columns, : self.K]).astype(np.float64)
        W *= self.counters[SCALE]
        if self.standard is not None:
            W *= self.standard.factor[columns, None]
            intercept -= self.standard.shift[columns] @ W
        return np.vstack([W, intercept])

    def theta(self, averaged: bool = True) -> Array:
        """Return the weights (d + 1, K): averaged, if that was asked for and has begun."""
        name = "average" if averaged and self.counters[AVERAGED] > 0 else "w"
        if self._layout is None:
            return self._arrays[name].copy()
        if name == "average":
            return self._natural(name, self._leave(name))
        waiting = self.standard is not None and self.counters[PENALISED] != self.counters[CLOCK]
        if waiting or len(self._arrays["last"]) or self.options.pays:
            current = self.copy()  # the copy catches up, the original stays as it is
            current._catch_up()
            return current._natural("w", current._leave("w"))
        return self._natural("w", self._leave("w", self.counters[SCALE]))

    def _catch_up(self) -> None:
        """Bring everything to the last update."""
        rule = self._rule()
        memory = self._memory(rule)
        eta0 = loops.first_step(rule, self.counters)[0] if self.counters[ROWS] else 0.0
        memory.synchronise(eta0)
        if rule.late_every:
            memory.penalise()

    def _natural(self, name: str, array: Array) -> Array:
        """Convert an array (d + 1, K) to the units of X."""
        return self._converted(name, array, True)

    def _own(self, name: str, array: Array) -> Array:
        """Convert an array (d + 1, K) to the present units."""
        return self._converted(name, array, False)

    def _converted(self, name: str, array: Array, to_natural: bool) -> Array:
        standard, role = self.standard, self._roles.get(name, "weights")
        if standard is None:
            return array
        if role == "weights":
            array = (standard.natural_weights if to_natural else standard.own_weights)(array)
        elif role == "gradient":
            array = (standard.natural_gradient if to_natural else standard.own_gradient)(array)
        else:
            power = 1.0 if role == "paid" else -1.0
            array[:-1] *= (standard.factor ** (power if to_natural else -power))[:, None]
        return array.astype(self.dtype, copy=False)

    def _anchor(self, rule: Rule, eta0: float, multiple: Any) -> None:
        """Set ftrl's sums so that they give the weights of the start. eta0, multiple: from `first_step`."""
        w, a, b, clock = *(self._arrays[name] for name in "wab"), self.counters[CLOCK]
        for part, eta, l1, l2 in (
            (slice(rule.features), eta0, rule.l1, rule.l2),
            (slice(rule.features, None), eta0 * multiple, 0.0, 0.0),
        ):
            given = w[part] != 0
            b[part] = np.where(given, np.maximum(b[part], _TRUST / eta), b[part])
            scale = (rule.eps + b[part]) / eta + l2 * clock
            a[part] = -(w[part] * scale + np.sign(w[part]) * (l1 * clock))
        self._given = False

    # ---- layout --------------------------------------------------------------------------------------

    def _enter(self, data: Data, problems: Any = None) -> tuple[Rule, Descent]:
        """Return Rule and the kernels' Descent for these data, with the arrays in the layout of its kernels."""
        problem = data.problem
        layout = (problem.by_class, problem.ld, problem.intercept, problem.weights_size, data.batches)
        layout += (data.is_sparse, data.beside)
        if self._layout is not None and are_alike(layout, self._layout):
            if layout != self._layout:  # as after unpickling
                like = {name: self._arrays[name] for name in self._weight_like()}
                self._arrays |= moved(like, self._layout, layout)
                self._layout = layout
        else:
            self._to_layout(layout)
        arrays = () if self.standard is None else _for_kernels(self.standard, self.dtype)
        for one in problems or [problem]:
            one.standardise(*arrays)
        rule = self._rule()
        return rule, self._memory(rule, problem)

    def _to_natural(self) -> None:
        """Bring everything to the last update, and the arrays to (d + 1, K) in the units of X."""
        if self._layout is not None:
            self._catch_up()
            arrays = {name: self._leave(name) for name in self._weight_like()}
            if self.options.is_adam:
                arrays["a"] *= arrays["b"]
            self._arrays |= {name: self._natural(name, array) for name, array in arrays.items()}
            self._layout = None

    def _padding(self, name: str) -> float:
        """Return the filling of unused places in an array, which must not be zero where it is a divisor."""
        return self.options.eps if name == "b" and self.options.is_adam else 0.0

    def _to_layout(self, layout: Layout) -> None:
        self._to_natural()
        self._layout, self._scratch = layout, None
        *_, batches, sparse, _ = layout
        arrays = {name: self._own(name, self._arrays[name]) for name in self._weight_like()}
        if self.options.is_adam:
            np.maximum(arrays["b"], kernels.LEAST_ROOT, out=arrays["b"])
            arrays["a"] /= arrays["b"]
        self._arrays |= empty(arrays, layout, self.dtype)
        for name, array in arrays.items():
            fill(self._arrays[name], array, layout_of(name, layout), self._padding(name))
        lazy = self._lazy(batches, sparse)
        kept = era(self.d)
        features = self.d if lazy else 0
        self._arrays["clock"] = np.full(features, self.counters[CLOCK])
        self._arrays["last"] = np.full(features, self.updates, dtype=np.int64)
        self._arrays["pace"] = np.zeros((kernels.KEPT_OF_UPDATES, kept if lazy else 0))
        self.counters[SYNCED], self.counters[LEFT] = self.updates, 1.0
        self.counters[PENALISED] = self.counters[CLOCK]

    def _make_scratch(self) -> dict[str, Array]:
        """Return the arrays that hold nothing between two updates."""
        *_, size, batches, sparse, _ = self._layout
        width, features = -(-self.K // 16) * 16, len(self._arrays["last"])
        gradients = size if batches or self.options.kind != SGD else 0
        if features and sparse:
            gradients = 2 * width  # of a feature and of the intercept
        return {
            "g": parallel.zeros(gradients, self.dtype),
            "q": parallel.zeros(0 if batches else max(2, self.options.batch) * width, self.dtype),
            "touched": np.zeros(features, np.int64),
            "slots": np.full(features, -1, np.int64),
            "ends": np.zeros(features, np.int64),
            "powers": powers(self.options) if features else np.zeros((0, 0, 0)),
        }

    def _weight_like(self) -> list[str]:
        return [name for name in ("w", "a", "b", "average") if name in self._arrays]

    def _leave(self, name: str, scale: float = 1.0) -> Array:
        """Return one array as (d + 1, K), the features multiplied by a scale."""
        return unflat(self._arrays[name], layout_of(name, self._layout), (self.d + 1, self.K), scale)

    def _lazy(self, batches: bool, sparse: bool) -> bool:
        """Tell whether features without a gradient are updated later."""
        if batches:
            return False
        if self.options.kind == SVRG:
            return True  # the mean gradient moves every feature all the time
        return sparse and self.options.kind != SGD

    def _rule(self) -> Rule:
        columns, standard = self.columns, self.standard
        similar = columns is None or (columns.rows > 0 and standard is None)
        state = State(
            self.d, self.K, self._layout, self._eta0, self.horizon, standard, similar, self._steepness
        )
        return rule_of(self.options, state)

    def _memory(
        self, rule: Rule, problem: RowProblem | None = None, counters: Array | None = None
    ) -> Descent:
        """Return the kernels' view of the arrays. counters: those of one of several threads."""
        if self._scratch is None:
            self._scratch = self._make_scratch()
        standard = {} if self.standard is None else self.standard._asdict()
        arrays = self._arrays | self._scratch | standard
        return kernels.Descent(rule, arrays, self.counters if counters is None else counters, problem)


def _loop(kind: int, data: Data) -> Callable[..., Any]:
    """Return what takes rows of these data."""
    if kind == SVRG:
        return loops.variance_reduced
    if kind == SGD and not data.batches:
        return loops.plain
    return loops.sparse_batches if data.is_sparse else loops.dense_rows


def _offsets(standard: Standard) -> Array:
    """Return the shifted columns, which are nonzero in every CSR row."""
    return np.flatnonzero(standard.shift).astype(np.int32)


def _for_kernels(standard: Standard, dtype: np.dtype[Any]) -> tuple[Array, ...]:
    """Return the arguments of RowProblem.standardise."""
    columns = _offsets(standard)
    offsets = -(standard.shift * standard.factor)[columns]
    return *(part.astype(dtype) for part in standard), columns, offsets.astype(dtype)


def _zeros(size: int, itemsize: int) -> Array:
    return parallel.zeros(max(1, size), {4: np.float32, 8: np.float64}[itemsize])
