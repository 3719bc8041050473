"""The state of a training, and the way from arrays to the jitted loops and back."""

import math
import time
from dataclasses import dataclass

import numpy as np

from .. import kernels, parallel
from ..rows import squared_norms
from . import loops
from .loops import AVERAGED, CLOCK, COUNTERS, ETA, LOWERED, SCALE, SYNCED, UPDATES, Memory, Rule
from .schedules import SCHEDULES
from .updates import ADAM, ADAMW, FTRL, MOMENTS, MOMENTUM, NESTEROV, OPTIMIZERS, SGD, SVRG

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


def options_of(model):
    """The options that an SGDClassifier's arguments stand for."""
    ratio = {None: 0.0, "l2": 0.0, "l1": 1.0, "elasticnet": model.l1_ratio}[model.penalty]
    alpha = 0.0 if model.penalty is None else model.alpha
    schedule = model.learning_rate
    if schedule == "auto":
        steady = model.batch_size is None or model.optimizer not in ("sgd", "momentum", "nesterov")
        schedule = "constant" if steady else "invscaling"
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
        average_from=-1
        if model.average is False
        else int(model.average) - 1
        if model.average is not True
        else 0,
    )


class Data:
    """Rows bound to their targets, in the form the loops take them."""

    def __init__(self, options, X, target, n_classes, K, row_weight, class_weight=None, smoothing=0.0):
        dense = isinstance(X, np.ndarray)
        X_bound = X if dense else (X.data, X.indices, X.indptr, *X.shape)
        self.batches = dense and options.batch > 1
        # Single dense rows: whole registers of features, unless single features must catch up.
        steps_only = dense and options.batch == 1 and options.optimizer == "sgd" and options.l1 == 0
        self._arguments = (
            X_bound,
            K,
            target,
            n_classes,
            row_weight,
            class_weight,
            smoothing,
            self.batches or steps_only,
            options.batch,
            _zeros,
        )
        self.problem = self.bind()
        none = np.zeros(0, np.int32)
        self.indptr, self.indices = (none, none) if dense else (_plain(X.indptr), _plain(X.indices))
        self.weights = np.zeros(0) if row_weight is None else row_weight
        self.squares = np.zeros(0)
        if options.eta0 is None:
            self.squares = squared_norms(X)

    def bind(self):
        """The rows with scratch of their own, for one thread."""
        return kernels.RowProblem(*self._arguments)


class Training:
    """Weights, the optimiser's memory, and where in its schedule it stands.

    Everything a loop does depends on this state and on the rows it is given, in their order, alone: rows given in
    pieces (of whole batches) lead to the same bits as rows given at once.
    """

    def __init__(self, options, theta):
        self.options = options
        self.d, self.K = theta.shape[0] - 1, theta.shape[1]
        self.dtype = theta.dtype
        self.counters = np.zeros(COUNTERS)
        self.counters[[SCALE, LOWERED]] = 1.0
        self._eta0 = options.eta0
        self.horizon = math.inf
        self._rows_of_a_call = FIRST_CALL
        self._layout = None
        self._arrays = {"w": theta}
        count = MOMENTS[self._kind]
        if count > 0:
            self._arrays["a"] = np.zeros_like(theta)
        if count > 1:
            start = options.eps**2 if self._kind in (ADAM, ADAMW) else 0.0
            self._arrays["b"] = np.full_like(theta, start)
        if options.average_from >= 0:
            self._arrays["average"] = np.zeros_like(theta)
        if self._kind == FTRL and theta.any():
            if options.eta0 is None:
                raise ValueError("ftrl can start from given weights only with a given eta0; got eta0=None.")
            self._arrays["a"] -= theta * (options.eps / options.eta0)

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
        """What one epoch will be: the horizon of schedules that have one."""
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
        memory.b[:] = self._flat(gradient, self._layout)

    def step(self, gradient):
        """One update with this gradient (d + 1, K) of the mean loss."""
        size = gradient.size
        layout = (False, self.K, self.d * self.K, size, True, False)
        if layout != self._layout:
            self._to_layout(layout)
        rule, memory = self._bound()
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
        return other

    def run_together(self, data, order, n_threads):
        """Like `run`, by threads that write into the same weights without asking each other (Hogwild).

        Plain SGD on single rows only. Which thread reads what when is left to chance, and so are the last digits. The
        penalty comes in between rounds of some thousand rows.
        """
        rule, memory = self._enter(data)
        loops.synchronise(rule, memory)
        free = rule._replace(l2=0.0)
        problems = [data.bind() for _ in range(n_threads)]
        loss = mass = 0.0
        for first in range(0, len(order), ROUND * n_threads):
            parts = np.array_split(order[first : first + ROUND * n_threads], n_threads)

            def task(i, parts=parts):
                own = memory._replace(counters=self.counters.copy())
                rows = (parts[i], data.weights, data.squares, data.indptr, data.indices)
                return *loops.plain(problems[i].address, free, own, *rows), own.counters

            results = parallel.run(task, n_threads, n_threads)
            before = self.counters.copy()
            self.counters += sum(counters - before for _, _, counters in results)
            self.counters[ETA] = results[0][2][ETA]
            self.counters[SCALE] = math.exp(-rule.l2 * (self.counters[CLOCK] - before[CLOCK]))
            loops.rescale(rule, memory)
            loss += sum(result[0] for result in results)
            mass += sum(result[1] for result in results)
            if not math.isfinite(loss):
                break
        return loss, mass

    def run(self, data, order):
        """Take the rows `order` of data. Returns the sum of s_i loss_i, each before its row's update, and of s_i."""
        rule, memory = self._enter(data)
        loss = mass = 0.0
        first, share = 0, 1.0
        if rule.kind == SVRG and len(data.weights):
            share = len(order) / data.weights[order].sum()
        arguments = (data.problem.address, rule, memory)
        while first < len(order) and math.isfinite(loss):
            parallel.stopping_point()
            step = -(-self._rows_of_a_call // rule.batch) * rule.batch
            piece = order[first : first + step]
            first += len(piece)
            began = time.perf_counter()
            if data.batches:
                result = loops.dense_batches(*arguments, piece, data.weights, data.squares)
            elif rule.kind == SVRG:
                result = loops.variance_reduced(
                    *arguments, piece, data.weights, data.indptr, data.indices, share
                )
            elif rule.kind == SGD:
                result = loops.plain(*arguments, piece, data.weights, data.squares, data.indptr, data.indices)
            else:
                result = loops.sparse_batches(
                    *arguments, piece, data.weights, data.squares, data.indptr, data.indices
                )
            loss, mass = loss + result[0], mass + result[1]
            took = max(time.perf_counter() - began, CALL_SECONDS / 8)
            self._rows_of_a_call = max(1, int(len(piece) * CALL_SECONDS / took))
        return loss, mass

    def theta(self, averaged=True):
        """The weights (d + 1, K): averaged, if that is what was asked for and has begun."""
        if averaged and self.counters[AVERAGED] > 0:
            return self._leave("average")
        if self._layout is None:
            return self._arrays["w"].copy()
        if len(self._arrays["last"]):  # the copy catches up, the original goes on as it was
            current = self.copy()
            loops.synchronise(*current._bound())
            return current._leave("w")
        theta = self._leave("w")
        if self.counters[SCALE] != 1.0:
            theta[:-1] *= self.dtype.type(self.counters[SCALE])
        return theta

    # ---- layout --------------------------------------------------------------------------------------

    def _enter(self, data):
        """Rule and Memory for these data, the arrays in the layout that its kernels want."""
        problem = data.problem
        layout = (problem.by_class, problem.ld, problem.intercept, problem.weights_size, data.batches)
        layout += (len(data.indptr) > 0,)
        if layout != self._layout:
            self._to_layout(layout)
        return self._bound()

    def _to_layout(self, layout):
        if self._layout is not None:
            loops.synchronise(*self._bound())
            for name in self._weight_like():
                self._arrays[name] = self._leave(name)
        self._layout = layout
        _, _, _, size, batches, sparse = layout
        for name in self._weight_like():
            # What is never used must still be something to divide by.
            padding = self.options.eps**2 if name == "b" and self._kind in (ADAM, ADAMW) else 0.0
            self._arrays[name] = self._flat(self._arrays[name], layout, padding)
        lazy = self._lazy(batches, sparse)
        era = self._era()
        features = self.d if lazy else 0
        self._arrays["g"] = parallel.zeros(size if batches or self._kind != SGD else 0, self.dtype)
        width = -(-self.K // 16) * 16
        self._arrays["q"] = parallel.zeros(0 if batches else max(2, self.options.batch) * width, self.dtype)
        self._arrays["clock"] = np.full(features, self.counters[CLOCK])
        self._arrays["last"] = np.full(features, self.updates, dtype=np.int64)
        self._arrays["touched"] = np.zeros(features, np.int64)
        self._arrays["pace"] = np.zeros((5, era if lazy else 0))
        self.counters[SYNCED] = self.updates

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

    def _leave(self, name):
        """One array as (d + 1, K)."""
        flat = self._arrays[name]
        if self._layout is None:
            return flat.copy()
        by_class, ld, intercept, *_ = self._layout
        theta = np.empty((self.d + 1, self.K), self.dtype)
        if by_class:
            theta[:-1] = flat[:intercept].reshape(self.K, ld)[:, : self.d].T
        else:
            theta[:-1] = flat[:intercept].reshape(self.d, ld)[:, : self.K]
        theta[-1] = flat[intercept : intercept + self.K]
        return theta

    def _lazy(self, batches, sparse):
        """Whether features that no row touches fall behind."""
        if batches:
            return False
        if self._kind == SVRG:
            return True  # the mean gradient moves every feature all the time
        if self._kind == SGD:
            return self.options.l1 > 0  # L2 alone is a common factor
        return sparse

    def _era(self):
        return min(max(FIRST_ERA, self.d), LONGEST_ERA)

    def _bound(self):
        o = self.options
        _, ld, intercept, _, batches, sparse = self._layout
        kind = self._kind
        eta0, automatic = self._eta0, 0
        if eta0 is None:
            automatic = 1 if o.optimizer in _AUTOMATIC else 2
            eta0 = _AUTOMATIC.get(o.optimizer, _AUTOMATIC_SGD)
            if o.optimizer in ("momentum", "nesterov"):
                eta0 *= 1.0 - o.momentum
            if automatic == 2:  # means of many rows are less noisy
                eta0 *= math.sqrt(o.batch)
        beta = o.momentum if kind != SGD else 0.0
        ratio = beta / math.sqrt(o.beta2) if kind in (ADAM, ADAMW) else beta
        lifetime = 1 + math.ceil(-40.0 / math.log(ratio)) if 0.0 < ratio < 1.0 else 1 << 40
        every = 1 if batches or o.batch == 0 else 8 if not sparse else max(1, self.d // 64)
        rule = Rule(
            kind=kind,
            l1=float(o.l1),
            l2=float(o.l2),
            beta1=float(beta),
            beta2=float(o.beta2),
            eps=float(o.eps),
            schedule=SCHEDULES[o.schedule],
            eta0=float(eta0),
            automatic=automatic,
            most=min(_LARGEST * o.batch**0.25, 4.0) * (1.0 - beta) if automatic == 2 else math.inf,
            alpha=float(o.alpha),
            power=float(o.power),
            horizon=float(self.horizon),
            warmup=float(o.warmup),
            repeats=1.0 / (1.0 - beta) if kind in (MOMENTUM, NESTEROV) else 1.0,
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
            d=self.d,
        )
        empty = np.zeros(0, self.dtype)
        arrays = self._arrays
        memory = Memory(
            w=arrays["w"],
            a=arrays.get("a", empty),
            b=arrays.get("b", empty),
            g=arrays["g"],
            q=arrays["q"],
            average=arrays.get("average", empty),
            clock=arrays["clock"],
            last=arrays["last"],
            touched=arrays["touched"],
            pace=arrays["pace"],
            counters=self.counters,
        )
        return rule, memory


def _zeros(size, itemsize):
    return parallel.zeros(max(1, size), {4: np.float32, 8: np.float64}[itemsize])


def _plain(array):
    """An ndarray, not a subclass such as memmap."""
    return array.view(np.ndarray)
