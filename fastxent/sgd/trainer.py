"""The state of a training, and the way from arrays to the jitted loops and back."""

import math
import time
from dataclasses import dataclass

import numpy as np

from .. import kernels, parallel
from ..data.rows import squared_norms
from . import loops
from .columns import Columns, squares_of_dense, squares_of_sparse
from .gaps import KEPT
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
    Memory,
    Rule,
)
from .schedules import SCHEDULES
from .updates import ADAGRAD, ADAM, ADAMW, FTRL, MOMENTS, MOMENTUM, NESTEROV, OPTIMIZERS, RMSPROP, SGD, SVRG

FIRST_CALL = 256  # rows in the first call of a loop
CALL_SECONDS = 0.03  # what later calls aim at: after each, Ctrl-C is heard
ROUND = 4096  # rows of each thread between two penalties, if threads write together
FIRST_ERA = 256
LONGEST_ERA = 65536

# Automatic step sizes, in units of the data: eta0 times the mean of |x|^2, or times its root for optimisers that divide
# by the size of the gradient; and the largest step for a batch. Softmax has curvature at most |x|^2 / 2.
_AUTOMATIC = {"adagrad": 0.5, "rmsprop": 0.03, "adam": 0.03, "adamw": 0.03, "ftrl": 0.5}
_AUTOMATIC_SGD = 8.0
_LARGEST = 2.0
_STEADY = 0.1  # updates for each feature before the schedule "settling" shortens its steps

# What an optimiser's arrays hold; those that are not here hold weights.
_ROLES = {
    (SGD, "a"): "paid",
    (MOMENTUM, "a"): "gradient",
    (NESTEROV, "a"): "gradient",
    (ADAGRAD, "a"): "squares",
    (RMSPROP, "a"): "squares",
    (ADAM, "a"): "gradient",
    (ADAM, "b"): "squares",
    (ADAMW, "a"): "gradient",
    (ADAMW, "b"): "squares",
    (SVRG, "b"): "gradient",
}
_NO_COLUMNS = np.zeros(0, np.int32)

# ftrl has no weights but those that its sums stand for. Weights that it is given count like one gradient of about the
# size that eta0 is made for, times this.
_TRUST = 0.25


@dataclass(frozen=True)
class Options:
    """What a person chooses. eta0 None: from the data, as they come."""

    optimizer: str = "sgd"
    l1: float = 0.0
    l2: float = 0.0
    momentum: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    schedule: str = "optimal"
    eta0: float | None = None
    alpha: float = 0.0
    power: float = 0.5
    warmup: int = 0
    batch: int = 1
    fit_intercept: bool = True
    average_from: int = -1
    epochs: int = 1
    by_column: bool = False  # whether columns get units of their own


def options_of(model):
    """The options that an SGDClassifier's arguments stand for."""
    ratio = {None: 0.0, "l2": 0.0, "l1": 1.0, "elasticnet": model.l1_ratio}[model.penalty]
    alpha = 0.0 if model.penalty is None else model.alpha
    schedule = model.learning_rate
    if schedule == "auto":
        steady = model.batch_size is None or model.optimizer not in ("sgd", "momentum", "nesterov")
        schedule = "constant" if steady else "settling"
    momentum = model.momentum
    if momentum is None:
        momentum = 0.99 if model.optimizer == "rmsprop" else 0.9
    return Options(
        optimizer=model.optimizer,
        l1=alpha * ratio,
        l2=alpha * (1.0 - ratio),
        momentum=momentum,
        beta2=model.beta2,
        eps=model.epsilon,
        schedule=schedule,
        eta0=model.eta0,
        alpha=alpha,
        power=model.power_t,
        warmup=model.warmup,
        batch=model.batch_size or 0,
        fit_intercept=model.fit_intercept,
        epochs=model.max_iter,
        by_column=model.eta0 is None and model.optimizer != "ftrl",
        average_from=-1
        if model.average is False
        else int(model.average) - 1
        if model.average is not True
        else 0,
    )


def arrays_of(X):
    """Those of a matrix, not of a subclass such as memmap: one if it is dense, three for CSR."""
    parts = (X,) if isinstance(X, np.ndarray) else (X.data, X.indices, X.indptr)
    return tuple(part.view(np.ndarray) for part in parts)


class Data:
    """Rows bound to their targets, in the form the loops take them."""

    def __init__(self, options, X, target, n_classes, K, row_weight, class_weight=None, smoothing=0.0):
        dense = isinstance(X, np.ndarray)
        X_bound = X if dense else (X.data, X.indices, X.indptr, *X.shape)
        self.batches = dense and options.batch > 1
        # Single dense rows: whole registers of features, unless single features must catch up.
        steps_only = dense and options.batch == 1 and options.optimizer == "sgd"
        self._arguments = (
            X_bound,
            K,
            kernels.Targets(target, n_classes, row_weight, class_weight, smoothing),
            self.batches or steps_only,
            options.batch,
            _zeros,
        )
        self.problem = self.bind()
        none = np.zeros(0, np.int32)
        _, self.indices, self.indptr = (none, none, none) if dense else arrays_of(X)
        self.weights = np.zeros(0) if row_weight is None else row_weight
        self.arrays = arrays_of(X)
        self.squares = np.zeros(0)
        if _goes_by_sizes(options):
            self.squares = squared_norms(X)
        self._own_squares = None

    def bind(self):
        """The rows with scratch of their own, for one thread."""
        return kernels.RowProblem(*self._arguments)

    def squares_of(self, rows, standard):
        """|x_i|^2 of rows, in their places, as a training takes them."""
        if standard is None or len(self.squares) == 0:
            return self.squares
        if self._own_squares is None:
            self._own_squares = np.zeros(len(self.squares))
        look = squares_of_dense if len(self.arrays) == 1 else squares_of_sparse
        look(*self.arrays, rows, *standard, self._own_squares)
        return self._own_squares


class Training:
    """Weights, the optimiser's memory, and where in its schedule it stands.

    Everything a loop does depends on this state and on the rows it is given, in their order, alone: rows given in
    pieces (of whole batches) lead to the same bits as rows given at once.

    theta: the weights to start from. updates: how many of them schedules shall take for done.
    """

    def __init__(self, options, theta, updates=0):
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
        self._layout = None
        self._scratch = None
        self._arrays = {"w": theta}
        count = self._pays() or MOMENTS[self._kind]
        if count > 0:
            self._arrays["a"] = np.zeros_like(theta)
        if count > 1:
            self._arrays["b"] = np.full_like(theta, self._padding("b"))
        if options.average_from >= 0:
            self._arrays["average"] = np.zeros_like(theta)
        self.standard = None  # the units of the columns
        self.columns = Columns(self.d, self.dtype, options.fit_intercept) if options.by_column else None
        self._given = self._kind == FTRL and theta.any()  # weights that its sums do not stand for yet

    def successor(self, options, updates, theta=None):
        """A training that goes on from here under other options, from another count of updates, or other weights.

        theta: weights that have come in place of those that this training led to. Then what led elsewhere ends: the
        optimiser's memory (of ftrl, all but how sure it is), averages, and what has been lowered. Otherwise each
        lasts as long as its own option: the memory as `optimizer`, averages as `average_from`, what has been lowered
        as step size and schedule.

        The sizes of rows seen so far always last, if they were looked at.
        """
        here, old, edited = self, self.options, theta is not None
        if not edited or self._kind == FTRL:  # else no array lasts
            here = self.copy()
            here._to_natural()
        averages = not edited and options.average_from == old.average_from and here.counters[AVERAGED] > 0
        if not edited:
            theta = here.theta(averaged=not averages)
        new = Training(options, theta, updates)
        automatic = options.eta0 is None and old.eta0 is None
        if _goes_by_sizes(old) and (automatic or here._unit == 0):
            sizes = [SQUARES, WEIGHTS, ROWS]
            new.counters[sizes] = here.counters[sizes]
            new._unit = here._unit
        if options.by_column and old.by_column:
            new.columns = here.columns
            new.columns.centre(options.fit_intercept)
            new.standard = here.columns.standard
        if _agree(options, old, "schedule", "epochs", "batch"):
            new.horizon = here.horizon
        if not edited and _agree(options, old, "schedule", "eta0"):
            new.counters[LOWERED] = here.counters[LOWERED]
        if averages:
            new.counters[AVERAGED] = here.counters[AVERAGED]
            new._arrays["average"] = here._arrays["average"]
        if options.optimizer == old.optimizer and (not edited or here._kind == FTRL):
            new._given = edited or here._given
            new.counters[BEGUN] -= here.counters[UPDATES] - here.counters[BEGUN]
            new.counters[CLOCK] = here.counters[CLOCK]
            new.counters[BUDGET] = here.counters[BUDGET]
            for name in {"a", "b"} & set(here._arrays) & set(new._arrays):
                new._arrays[name] = here._arrays[name].astype(theta.dtype, copy=False)
        return new

    def in_unit(self, weights):
        """Weights of rows in a unit in which their squares are numbers: a power of two, from the first row that weighs
        anything. Where steps come from the data, nothing but the ratios of weights matters."""
        if self.options.eta0 is not None:  # the step of a row of weight 1
            return weights
        if self.counters[ROWS] == 0 and weights.any():
            self._unit = math.frexp(weights[np.argmax(weights > 0)])[1]
        with np.errstate(over="ignore"):  # the caller will see
            return np.ldexp(weights, -self._unit)

    def _pays(self):
        """Whether weights pay for L1 from a budget: see `updates`."""
        return self._kind == SGD and self.options.l1 > 0 and self.options.batch > 0

    @property
    def _kind(self):
        return OPTIMIZERS[self.options.optimizer]

    @property
    def updates(self):
        return int(self.counters[UPDATES])

    @property
    def learning_rate(self):
        """The step size of the last update."""
        return float(self.counters[ETA])

    @property
    def adaptive(self):
        """Whether the optimiser divides by the size of the gradient."""
        return self.options.optimizer in _AUTOMATIC

    def expect(self, updates):
        """What one epoch will be: the horizon of schedules that have one, unless they have it already."""
        if self.horizon == math.inf:
            self.horizon = float(max(1, updates * self.options.epochs))

    def set_step(self, eta0):
        """For full batches, whose step size is found before the first."""
        self._eta0 = eta0

    def scale(self, square):
        """For full batches: the mean of |x|^2 + 1, which adaptive optimisers' automatic step size goes by."""
        self._eta0 = _AUTOMATIC[self.options.optimizer] / math.sqrt(square)

    def weights(self):
        """The weights as they are, not averaged."""
        return self.theta(averaged=False)

    def snapshot(self, data, gradient):
        """For svrg: begin an epoch at the present weights, where all rows together have this mean gradient."""
        rule, memory = self._enter(data)
        loops.synchronise(rule, memory)
        memory.a[:] = memory.w
        memory.b[:] = self._flat(self._own("b", gradient), self._layout)

    def step(self, gradient):
        """One update with this gradient (d + 1, K) of the mean loss."""
        size = gradient.size
        layout = (False, self.K, self.d * self.K, size, True, False)
        if layout != self._layout:
            self._to_layout(layout)
        rule, memory = self._bound()
        if self._given:
            self._anchor(rule, memory, *loops.first_step(rule, self.counters))
        if self.standard is not None:
            gradient = self.standard.own_gradient(gradient)
        memory.g[:size] = gradient.ravel()
        loops.step_full(rule, memory)

    def lower(self, factor):
        """Multiply all step sizes to come."""
        self.counters[LOWERED] *= factor

    def copy(self):
        """An independent copy."""
        other = object.__new__(Training)
        vars(other).update(vars(self))
        other.counters = self.counters.copy()
        other._arrays = {name: array.copy() for name, array in self._arrays.items()}
        other._scratch = None
        other.columns = None if self.columns is None else self.columns.copy()
        return other

    def __getstate__(self):
        return vars(self) | {"_scratch": None}

    def run_together(self, data, order, n_threads):
        """Like `run`, by threads that write into the same weights without asking each other (Hogwild).

        Plain SGD on single rows only. Which thread reads what when is left to chance, and so are the last digits. The
        penalty comes in between rounds of some thousand rows.
        """
        problems = [data.bind() for _ in range(n_threads)]
        loss = mass = 0.0
        for first in range(0, len(order), ROUND * n_threads):
            rows = order[first : first + ROUND * n_threads]
            parts = np.array_split(rows, n_threads)
            if self.columns is not None:
                self.columns.observe(data.arrays, rows)
                self._review()
            rule, memory = self._enter(data, problems)
            loops.synchronise(rule, memory)
            free = rule._replace(l2=0.0, late_every=0)
            squares = data.squares_of(rows, self.standard)

            def task(i, parts=parts, free=free, memory=memory, squares=squares):
                own = memory._replace(counters=self.counters.copy())
                rows = (parts[i], data.weights, squares, data.indptr, data.indices)
                return *loops.plain(problems[i].address, free, own, *rows, 0.0, 0.0), own.counters

            results = parallel.run(task, n_threads, n_threads)
            before = self.counters.copy()
            self.counters += sum(counters - before for _, _, counters in results)
            self.counters[ETA] = results[0][2][ETA]
            self.counters[SCALE] = math.exp(-rule.l2 * (self.counters[CLOCK] - before[CLOCK]))
            loops.rescale(rule, memory)
            if rule.late_every:
                loops.penalise(rule, memory)
            loss += sum(result[0] for result in results)
            mass += sum(result[1] for result in results)
            if not math.isfinite(loss):
                break
        return loss, mass

    def run(self, data, order):
        """Take the rows `order` of data. Returns the sum of s_i loss_i, each before its row's update, and of s_i."""
        rule, memory = self._enter(data)
        if self._given:
            counters = self.counters.copy()  # as they will be when these rows have been seen
            loops.weigh(rule, counters, order, 0, len(order), data.weights, data.squares)
            self._anchor(rule, memory, *loops.first_step(rule, counters))
        loss = mass = 0.0
        first, share = 0, 1.0
        if rule.kind == SVRG and len(data.weights):
            share = len(order) / data.weights[order].sum()
        while first < len(order) and math.isfinite(loss):
            parallel.stopping_point()
            step = self._rows_of_a_call
            if self.columns is not None:
                if self._review():
                    rule, memory = self._enter(data)
                step = min(step, self.columns.next_review - self.columns.rows)
            piece = order[first : first + -(-step // rule.batch) * rule.batch]
            first += len(piece)
            began = time.perf_counter()
            squares = data.squares_of(piece, self.standard)
            rows = (data.problem.address, rule, memory, piece, data.weights)
            if data.batches:
                loss, mass = loops.dense_batches(*rows, squares, loss, mass)
            elif rule.kind == SVRG:
                loss, mass = loops.variance_reduced(*rows, data.indptr, data.indices, share, loss, mass)
            else:
                loop = loops.plain if rule.kind == SGD else loops.sparse_batches
                loss, mass = loop(*rows, squares, data.indptr, data.indices, loss, mass)
            if self.columns is not None:
                self.columns.observe(data.arrays, piece)
            took = max(time.perf_counter() - began, CALL_SECONDS / 8)
            self._rows_of_a_call = max(1, int(len(piece) * CALL_SECONDS / took))
        return loss, mass

    def look_at(self, arrays, rows, weights):
        """For descents that see all rows before the first update: let columns have their units from the beginning."""
        if self.columns is not None and self.columns.rows == 0:
            self.columns.observe_all(arrays, rows, weights)
            self._review()

    def _review(self):
        """Let columns have other units if those seen so far ask for it. Returns whether they have."""
        columns, old = self.columns, self.standard
        if columns.rows < columns.next_review:
            return False
        columns.review()
        if columns.standard is old:
            return False
        self._to_natural()
        self.standard = new = columns.standard
        self.counters[SQUARES] = columns.mean_square() * self.counters[WEIGHTS]
        # Means of squares around another point, and what is due to L1 in another unit, mean nothing any more.
        shifts = [np.zeros(self.d) if standard is None else standard.shift for standard in (old, new)]
        moved = np.flatnonzero(np.logical_xor(*(shift != 0 for shift in shifts)))
        roles = {name: _ROLES.get((self._kind, name)) for name in {"a", "b"} & set(self._arrays)}
        if "squares" in roles.values():
            for name, role in roles.items():
                array = self._arrays[name]
                # A gradient around a shift is nothing where it is that of the intercept times the shift.
                nothing = np.outer(shifts[1][moved], array[-1]) if role == "gradient" else self._padding(name)
                array[moved] = nothing
        if self._pays():
            self._arrays["a"][:] = 0.0
            self.counters[BUDGET] = 0.0
        return True

    def theta(self, averaged=True):
        """The weights (d + 1, K): averaged, if that is what was asked for and has begun."""
        name = "average" if averaged and self.counters[AVERAGED] > 0 else "w"
        if self._layout is None:
            return self._arrays[name].copy()
        if name == "average":
            return self._natural(name, self._leave(name))
        waiting = self.standard is not None and self.counters[PENALISED] != self.counters[CLOCK]
        if waiting or len(self._arrays["last"]) or self._pays():
            current = self.copy()  # the copy catches up, the original goes on as it was
            current._catch_up()
            return current._natural("w", current._leave("w"))
        return self._natural("w", self._leave("w", self.counters[SCALE]))

    def _catch_up(self):
        """Everything brought to the last update."""
        rule, memory = self._bound()
        loops.synchronise(rule, memory)
        if rule.late_every:
            loops.penalise(rule, memory)

    def _natural(self, name, array):
        """An array (d + 1, K) in the units of X."""
        standard, role = self.standard, _ROLES.get((self._kind, name), "weights")
        if standard is None:
            return array
        if role == "weights":
            array = standard.natural_weights(array)
        elif role == "gradient":
            array = standard.natural_gradient(array)
        else:
            array[:-1] *= (standard.factor if role == "paid" else standard.factor**-2.0)[:, None]
        return array.astype(self.dtype, copy=False)

    def _own(self, name, array):
        """The inverse of that."""
        standard, role = self.standard, _ROLES.get((self._kind, name), "weights")
        if standard is None:
            return array
        if role == "weights":
            array = standard.own_weights(array)
        elif role == "gradient":
            array = standard.own_gradient(array)
        else:
            array[:-1] *= (standard.factor**-1.0 if role == "paid" else standard.factor**2)[:, None]
        return array.astype(self.dtype, copy=False)

    def _anchor(self, rule, memory, eta0, multiple):
        """For ftrl: sums that stand for the weights it was given. eta0, multiple: as of `first_step`."""
        w, a, b, clock = memory.w, memory.a, memory.b, self.counters[CLOCK]
        for part, eta, l1, l2 in (
            (slice(rule.features), eta0, rule.l1, rule.l2),
            (slice(rule.features, None), eta0 * multiple, 0.0, 0.0),
        ):
            given = w[part] != 0
            b[part] = np.where(given, np.maximum(b[part], (_TRUST / eta) ** 2), b[part])
            scale = (rule.eps + np.sqrt(b[part])) / eta + l2 * clock
            a[part] = -(w[part] * scale + np.sign(w[part]) * (l1 * clock))
        self._given = False

    # ---- layout --------------------------------------------------------------------------------------

    def _enter(self, data, problems=None):
        """Rule and Memory for these data, the arrays in the layout that its kernels want."""
        problem = data.problem
        layout = (problem.by_class, problem.ld, problem.intercept, problem.weights_size, data.batches)
        layout += (len(data.indptr) > 0,)
        if layout != self._layout:
            self._to_layout(layout)
        arrays = () if self.standard is None else _for_kernels(self.standard, self.dtype)
        for one in problems or [problem]:
            one.standardise(*arrays)
        return self._bound()

    def _to_natural(self):
        """Everything brought to the last update, the arrays (d + 1, K) in the units of X."""
        if self._layout is not None:
            self._catch_up()
            for name in self._weight_like():
                self._arrays[name] = self._natural(name, self._leave(name))
            self._layout = None

    def _padding(self, name):
        """What an array is filled with where nothing is: what is never used must still be something to divide by."""
        return self.options.eps**2 if name == "b" and self._kind in (ADAM, ADAMW) else 0.0

    def _to_layout(self, layout):
        self._to_natural()
        self._layout, self._scratch = layout, None
        *_, batches, sparse = layout
        for name in self._weight_like():
            own = self._own(name, self._arrays[name])
            self._arrays[name] = self._flat(own, layout, self._padding(name))
        lazy = self._lazy(batches, sparse)
        era = self._era()
        features = self.d if lazy else 0
        self._arrays["clock"] = np.full(features, self.counters[CLOCK])
        self._arrays["last"] = np.full(features, self.updates, dtype=np.int64)
        self._arrays["pace"] = np.zeros((KEPT, era if lazy else 0))
        self.counters[SYNCED], self.counters[LEFT] = self.updates, 1.0
        self.counters[PENALISED] = self.counters[CLOCK]

    def _make_scratch(self):
        """What holds nothing between two updates."""
        *_, size, batches, _ = self._layout
        width = -(-self.K // 16) * 16
        return {
            "g": parallel.zeros(size if batches or self._kind != SGD else 0, self.dtype),
            "q": parallel.zeros(0 if batches else max(2, self.options.batch) * width, self.dtype),
            "touched": np.zeros(len(self._arrays["last"]), np.int64),
        }

    def _flat(self, theta, layout, padding=0.0):
        """An array (d + 1, K) in a layout."""
        by_class, ld, intercept, size, *_ = layout
        flat = parallel.zeros(size, self.dtype)
        if padding:
            flat[:] = padding
        if by_class:
            flat[:intercept].reshape(self.K, ld)[:, : self.d] = theta[:-1].T
        else:
            flat[:intercept].reshape(self.d, ld)[:, : self.K] = theta[:-1]
        flat[intercept : intercept + self.K] = theta[-1]
        return flat

    def _weight_like(self):
        return [name for name in ("w", "a", "b", "average") if name in self._arrays]

    def _leave(self, name, scale=1.0):
        """One array as (d + 1, K), the features times a scale."""
        flat = self._arrays[name]
        by_class, ld, intercept, *_ = self._layout
        theta = np.empty((self.d + 1, self.K), self.dtype)
        if by_class:
            features = flat[:intercept].reshape(self.K, ld)[:, : self.d].T
        else:
            features = flat[:intercept].reshape(self.d, ld)[:, : self.K]
        if scale == 1.0:
            theta[:-1] = features
        else:
            np.multiply(features, self.dtype.type(scale), out=theta[:-1])
        theta[-1] = flat[intercept : intercept + self.K]
        return theta

    def _lazy(self, batches, sparse):
        """Whether features that no row touches fall behind."""
        if batches:
            return False
        if self._kind == SVRG:
            return True  # the mean gradient moves every feature all the time
        return sparse and self._kind != SGD

    def _era(self):
        return min(max(FIRST_ERA, self.d), LONGEST_ERA)

    def _bound(self):
        o = self.options
        by_class, ld, intercept, _, batches, sparse = self._layout
        kind = self._kind
        eta0, automatic = self._eta0, 0
        natural = _AUTOMATIC.get(o.optimizer, _AUTOMATIC_SGD)
        if o.optimizer in ("momentum", "nesterov"):
            natural *= 1.0 - o.momentum
        if not self.adaptive:  # means of many rows are less noisy
            natural *= math.sqrt(max(1, o.batch))
        if eta0 is None:
            automatic, eta0 = 1 if self.adaptive else 2, natural
        beta = o.momentum if kind != SGD else 0.0
        ratio = beta / math.sqrt(o.beta2) if kind in (ADAM, ADAMW) else beta
        lifetime = 1 + math.ceil(-40.0 / math.log(ratio)) if 0.0 < ratio < 1.0 else 1 << 40
        repeats = 1.0 / (1.0 - beta) if kind in (MOMENTUM, NESTEROV) else 1.0
        every = 1 if batches or o.batch == 0 else 8 if not sparse else max(1, self.d // 64)
        # The penalty of all columns at once must not cost more than the updates since it last came; in any storage.
        late_every = max(1, max(8, self.d // 16) // max(1, o.batch)) if o.batch else 1
        alpha, late = o.alpha, self.standard is not None
        if o.schedule == "settling":
            alpha *= repeats * (float(self.standard.factor.min()) ** 2 if late else 1.0)
        rule = Rule(
            kind=kind,
            l1=0.0 if late else float(o.l1),
            l2=0.0 if late else float(o.l2),
            late_l1=float(o.l1),
            late_l2=float(o.l2),
            late_every=late_every if late and kind != SVRG and (o.l1 or o.l2) else 0,
            beta1=float(beta),
            beta2=float(o.beta2),
            eps=float(o.eps),
            schedule=SCHEDULES[o.schedule],
            eta0=float(eta0),
            automatic=automatic,
            most=min(_LARGEST * o.batch**0.25, 4.0) * (1.0 - beta) if automatic == 2 else math.inf,
            alpha=float(alpha),
            power=float(o.power),
            horizon=float(self.horizon),
            warmup=float(o.warmup),
            natural=float(natural),
            no_model=math.log(max(2, self.K)),
            steady=self.d * _STEADY,
            repeats=repeats,
            batch=int(o.batch),
            fit_intercept=bool(o.fit_intercept),
            average_from=int(o.average_from),
            average_every=every,
            era=self._era(),
            lifetime=lifetime,
            ratio=ratio,
            K=self.K,
            ld=ld,
            features=intercept,
            by_class=bool(by_class),
            d=self.d,
        )
        empty = np.zeros(0, self.dtype)
        if self._scratch is None:
            self._scratch = self._make_scratch()
        arrays, scratch = self._arrays, self._scratch
        memory = Memory(
            w=arrays["w"],
            a=arrays.get("a", empty),
            b=arrays.get("b", empty),
            g=scratch["g"],
            q=scratch["q"],
            average=arrays.get("average", empty),
            clock=arrays["clock"],
            last=arrays["last"],
            touched=scratch["touched"],
            factor=np.zeros(0) if self.standard is None else self.standard.factor,
            offsets=_NO_COLUMNS if self.standard is None or not sparse else _offsets(self.standard),
            pace=arrays["pace"],
            counters=self.counters,
        )
        return rule, memory


def _goes_by_sizes(options):
    """Whether steps depend on the sizes of rows."""
    return options.eta0 is None or options.schedule == "settling"


def _offsets(standard):
    """The columns that are shifted, which CSR rows have whatever they say."""
    return np.flatnonzero(standard.shift).astype(np.int32)


def _for_kernels(standard, dtype):
    """What RowProblem.standardise takes."""
    columns = _offsets(standard)
    offsets = -(standard.shift * standard.factor)[columns]
    return *(part.astype(dtype) for part in standard), columns, offsets.astype(dtype)


def _agree(options, others, *names):
    return all(getattr(options, name) == getattr(others, name) for name in names)


def _zeros(size, itemsize):
    return parallel.zeros(max(1, size), {4: np.float32, 8: np.float64}[itemsize])
