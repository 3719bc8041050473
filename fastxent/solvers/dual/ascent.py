"""The state of dual ascent (sdca.py): distributions, the weights that follow from them, and the rows' gaps.

With more than two classes, distributions are kept by their logarithms. With two, by the distance of the share of
class 1 from the row's target, which needs no logarithm (kernels/sdca_binary.pxi).

The ascent starts at the best point between the targets and the class frequencies f (uniform without an intercept),

    alpha_i = t_i + eta (f - t_i)        W_j = -(eta / l2_j) G_j        G = (1/S) sum_i c_i x_i (f - t_i)'

where the dual is at least the following, with m_k the share of class k in the targets and equality for hard labels:

    sum_k m_k H((1 - eta) e_k + eta f) - (eta^2 / 2) sum_j |G_j|^2 / l2_j

This uses a pass that is needed anyway, and saves about one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ... import kernels, parallel
from ...data.ranges import Ranges, cost
from ...data.rows import bind, gradient_ranges, shares_gradient, squared_norms, without_duplicates
from ...prediction import predict
from ...wide import wide_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ...kernels import LinearSoftmax
    from ...objective import Objective
    from ...typing import Array, Table


HOPEFUL = 5.0  # the sum of the rows' gaps may be too large by this factor: many are from earlier visits
_ROWS_OF_A_CALL = 1 << 14  # some milliseconds: Ctrl-C is heard between calls
_BLOCK = 1 << 15  # probabilities at a time
_ENTRIES = 1 << 20  # of a gradient that a thread sets to zero at a time
_RANGES = (
    8  # of rows, in passes over alpha alone: a fixed number, for the same bits with any number of threads
)
_LARGE = 20_000_000  # multiplications in a pass; smaller problems are not worth a copy in single precision
_MODERATE = 1e24  # |x_i|^2 up to which single precision overflows nowhere
_SINGLE = 1e-4  # relative gap down to which single precision is accurate enough
_NEVER = 1e4  # a logit of -_NEVER gives a probability of exactly zero
_ROUNDS, _PARTS = 4, 32  # of an interval search: it ends within 32^-4, a millionth
_LOG_ZERO = -80.0  # stands for log 0, as in the kernel
_EAGER, _FLOOR = 1.5, 0.5  # a row is visited with probability _EAGER gap_i / mean gap, but at least _FLOOR
# beta / l2 (see sdca.py); with more than two classes, divided by K. An epoch after which no row could improve would
# leave 1 / (1 + h beta / l2) of the intercept's distance from its optimum. h is its curvature: 1/K for balanced
# classes, at most 1/4 for two. So with these values about 1 % or less is left. But a row's step is divided by
# |x_i|^2 + beta. Under a strong penalty, beta is therefore limited to a multiple of the mean |x_i|^2; otherwise the
# intercept would slow down all other weights.
_PULL_OF_A_CLASS, _PULL_OF_TWO = 90.0, 1000.0
_MOST_OF_A_ROW = 12.0
_RAREST = 1e-6  # least frequency of a class: logarithms are taken
_SINGULAR = 1e-12  # of the largest singular value: adding the same number to all classes changes nothing
_ENOUGH = 0.02  # of the gap aimed at: rows with smaller gaps are checked but not changed

# The state of a row: DualRow in kernels/sdca.pxi and BinaryRow in kernels/sdca_binary.pxi.
_ROW = np.dtype([(name, np.float64) for name in ("mass", "stiffness")])
_BINARY_ROW = np.dtype([(name, np.float64) for name in ("target", "mass", "square", "moved")])


class Ascent:
    """Dual ascent with a distribution over all classes for each row.

    Parameters
    ----------
    objective : Objective
        Over a CSR matrix, with an L2 penalty on every feature.
    theta0 : ndarray of shape (d + 1, K)
        Its probabilities are the first alpha, if the weights that follow from them have a lower objective than zero.
    random_state : int or numpy.random.Generator

    Attributes
    ----------
    value, grad_norm : float
        The objective and its largest gradient entry, at ``start`` or at the last evaluation.
    start : ndarray of shape (d + 1, K)
    passes : float
    """

    epochs: int
    passes: float
    value: float
    grad_norm: float
    start: Array
    _dual: Any  # the kernel's
    _frequency: Any  # of the classes; of two, of the second
    _state: Array
    _log_alpha: Array
    _exact: Any
    _wide: Any

    def __init__(self, objective: Objective, theta0: Array, random_state: int = 0) -> None:
        self._objective = objective
        self._part, self._targets, self._l2 = objective.local, objective.local.targets, objective.penalty.l2
        X, rows, root = self._part.X, self._part.rows, np.ones(1)
        self._scales_columns = objective.penalty.factors is not None
        if self._scales_columns:
            factors: Any = objective.penalty.factors
            root = np.sqrt(factors)
            X = X.copy()
            X.data /= root[X.indices].astype(X.dtype)
            rows, root = self._bound(X), root[:, np.newaxis]
        self._X, self._rows, self._root = X, rows, root
        self._exact = None  # X and rows in double precision, while the ascent is in single
        self._total = objective.total_weight if objective.total_weight > 0 else 1.0
        self._scale = 1.0 / (self._l2 * self._total)
        n = objective.n_rows
        self._gap = np.full(n, np.inf)
        self._residual = np.zeros(objective.K)
        self._order = np.empty(n, np.intp)
        self._features = Ranges.in_cache(objective.shape, objective.n_threads)
        seed = np.random.default_rng(random_state).integers(1 << 63)
        self._random = np.array([seed], np.uint64)
        self.epochs = 0
        self.passes = 0.0
        self._begin(theta0)

    def _bound(self, X: Table) -> LinearSoftmax:
        """Return the kernels' view of another X with the same targets."""
        return bind(X, self._objective.K, self._targets.astype(X.dtype))

    def _prepare(self) -> None:
        """Allocate the weights, and buffers for sums over ranges of rows."""
        rows, dtype = self._rows, self._X.dtype
        self._weights = parallel.zeros(rows.weights_size, dtype)
        self._ranges = gradient_ranges(rows, self._X, self._objective.n_threads)
        self._sums = parallel.Buffers(rows.weights_size, dtype)
        self._wide = None
        if shares_gradient(rows, self._X, self._ranges):
            targets = self._targets.astype(dtype)
            self._wide = wide_model(self._X, targets, self._objective.K, self._objective.n_threads)

    def _go_single(self, longest: float) -> None:
        """Start in single precision if that saves time (half the memory traffic) and no row is too long for it."""
        X = self._X
        if X.dtype == np.float64 and cost(X, self._objective.K) > _LARGE and longest < _MODERATE:
            self._exact = X, self._rows
            self._X = type(X)((X.data.astype(np.float32), X.indices, X.indptr), shape=X.shape)
            self._rows = self._bound(self._X)

    def _go_double(self) -> None:
        """Continue in double precision. W then differs from what follows from alpha by the rounding so far. This
        difference stays constant, and only its square affects the gap."""
        scaled = self._scaled()
        (self._X, self._rows), self._exact = self._exact, None
        self._prepare()
        self._rows.pack(scaled, self._weights, 0, len(scaled))
        self._log_alpha = self._log_alpha.astype(np.float64)
        self._bind_kernel()

    def _bind_kernel(self) -> None:
        self._dual = kernels.DualAscent(
            self._rows, self._weights, self._log_alpha, self._state, self._gap, self._residual
        )
        self._scratch = parallel.Buffers(self._dual.scratch_size, self._X.dtype)

    def _begin(self, theta0: Array) -> None:
        objective = self._objective
        n, K = objective.n_rows, objective.K
        square, mass = squared_norms(without_duplicates(self._X)), self._targets.masses
        self._go_single(square.max(initial=0.0))
        self._prepare()
        self._beta = self._weight_of_intercept(_PULL_OF_A_CLASS * K, square.mean())
        self._state = np.empty(n, _ROW)
        self._state["mass"] = mass
        self._state["stiffness"] = mass * self._scale * (square + self._beta)
        self._log_alpha = np.empty((n, K), self._X.dtype)
        self._bind_kernel()
        self._wanted = self._targets.class_masses
        self._frequency = _clipped(self._wanted / mass.sum() if mass.any() else np.full(K, 1 / K))
        f = self._frequency / self._frequency.sum() if objective.fit_intercept else np.full(K, 1 / K)

        def leave(targets: Array, features: slice) -> tuple[float, float]:
            """Turn sum_i c_i x_i t_i' / S into G; return |G|^2 and the largest gradient entry at theta = 0."""
            masses = targets.sum(axis=1, keepdims=True)
            largest = self._largest(masses / K - targets, features)
            np.subtract(masses * f, targets, out=targets)
            return _square(targets), largest

        _, found, G = self._over_rows(self._dual.add_targets, 1.0 / self._total, look=leave, by_class=True)
        squares, largest = zip(*found, strict=True)
        self.value = math.log(K) * mass.sum() / self._total
        even = (mass.sum() / K - self._wanted) / self._total
        self.grad_norm = max(*largest, np.abs(even).max() if objective.fit_intercept else 0.0)
        self.start = objective.initial()
        if theta0.any():
            self.start = self._from(theta0, self.start)
        if self.start.any():
            self._set_weights(self.start)
        else:
            self._leave_targets(f, G, sum(squares))

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs to go on."""
        return {
            "single": self._exact is not None,
            "weights": self._weights,
            "gap": self._gap,
            "residual": self._residual,
            "random": self._random,
            "numbers": (self.epochs, self.passes, self.value, self.grad_norm),
            "alpha": self._alpha,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the state of another ascent that began at the same point. Arrays are bound, so they are filled."""
        if self._exact is not None and not state["single"]:
            self._go_double()
        self._weights[:], self._gap[:] = state["weights"], state["gap"]
        self._residual[:], self._random[:] = state["residual"], state["random"]
        self.epochs, self.passes, self.value, self.grad_norm = state["numbers"]
        self._alpha[:] = state["alpha"]

    @property
    def _alpha(self) -> Array:
        """What the rows' distributions are stored as."""
        return self._log_alpha

    def _blocks(self) -> list[slice]:
        n, K = self._log_alpha.shape
        step = max(1, _BLOCK // K)
        return [slice(first, min(first + step, n)) for first in range(0, n, step)]

    def _over_rows(
        self,
        part: Callable[..., Any],
        scale: float,
        l2: float = 0.0,
        theta: Array | None = None,
        look: Callable[..., Any] | None = None,
        by_class: bool = False,
    ) -> tuple[float, list[Any], Array]:
        """Sum the results of part(gradient, scratch, first, stop) over fixed ranges of rows.

        Returns this sum; the results of look(gradient[features], features) for ranges of features, called while the
        range is in cache; and the gradient (d + 1, K), ``scale`` times the sum over the ranges of rows, plus
        l2 theta. If all threads share one gradient, part is called with what it keeps of its rows as one more argument,
        or by_class with two: it adds to some classes only, and returns nothing.
        """
        results, gradients = (self._separate if self._wide is None else self._shared)(part, by_class)
        out = np.empty(self._objective.shape)
        theta = out if theta is None else theta

        def unpack(some: slice) -> Any:
            self._rows.unpack(gradients, scale, l2, theta, out, some.start, some.stop)
            features = slice(some.start, min(some.stop, len(out) - 1))
            return look(out[features], features) if look else None

        found = self._features.map(unpack)
        for gradient in gradients:
            self._sums.give(gradient)
        self._count(1)
        return sum(result for result in results if result is not None), found, out

    def _separate(self, part: Callable[..., Any], _: bool) -> tuple[list[Any], Any]:
        """Return the results of part, and a gradient for each range of rows."""

        def task(some: slice) -> tuple[list[float | None], Array]:
            gradient, scratch = self._sums.take(), self._scratch.take()
            gradient.fill(0)
            results = [part(gradient, scratch, *call) for call in self._ranges.calls(some)]
            self._scratch.give(scratch)
            return results, gradient

        results, gradients = zip(*self._ranges.map(task), strict=True)
        return [result for some in results for result in some], gradients

    def _shared(self, part: Callable[..., Any], by_class: bool) -> tuple[list[Any], Any]:
        """Return the results of part, and the one gradient that all threads add to."""
        gradient = self._sums.take()
        Ranges.by_step(len(gradient), _ENTRIES, self._objective.n_threads).map(
            lambda some: gradient[some].fill(0)
        )

        def find(first: int, stop: int, scratch: Array, kept: Array) -> float:
            return part(None, scratch, first, stop, kept)

        def add(k0: int, k1: int, scratch: Array) -> None:
            for some in Ranges.by_step(self._rows.n, _ROWS_OF_A_CALL):
                parallel.stopping_point()
                part(gradient, scratch, some.start, some.stop, k0, k1)

        if by_class:
            self._wide.over_classes(add)
            return [], [gradient]
        return self._wide.over_rows(find, gradient), [gradient]

    def _largest(self, gradient: Array, features: slice) -> float:
        """Return the largest gradient entry of F, from gradients in the ascent's variables at some features."""
        if self._scales_columns:
            gradient = gradient * self._root[features]
        return max(float(gradient.max(initial=0.0)), -float(gradient.min(initial=0.0)))

    def _leave_targets(self, f: Any, G: Any, square: Any) -> None:
        """Start at the best point between targets and frequencies f. Overwrites G."""
        objective, scaled = self._objective, G
        eta = _best_share(f, self._wanted / self._total, square / self._l2)

        def pack(some: slice) -> None:
            scaled[some] *= -eta / self._l2
            if some.stop == len(scaled):
                scaled[-1] = np.log(f) if objective.fit_intercept else 0.0
            self._rows.pack(scaled, self._weights, some.start, some.stop)

        self._features.map(pack)
        self._residual[:] = eta * (self._wanted - self._wanted.sum() * f)
        self._fill_between(f, eta)
        self._gap.fill(self.value)  # not infinite: alpha is known

    def _fill_between(self, f: Array, eta: float) -> None:
        if self._targets.plain:
            target = self._targets.target
            self._log_alpha[:] = np.log(eta * f)
            self._log_alpha[np.arange(len(target)), target] = np.log(1 - eta * (1 - f))[target]
            return
        for rows in self._blocks():
            self._log_alpha[rows] = np.log((1 - eta) * self._targets.distributions(rows) + eta * f)

    def _weight_of_intercept(self, factor: float, size: float) -> float:
        """Return beta: the intercept counts as a feature of value sqrt(beta). size: the mean of |x_i|^2."""
        objective = self._objective
        return min(factor * self._l2, _MOST_OF_A_ROW * size) if objective.fit_intercept else 0.0

    def _from(self, theta: Array, otherwise: Array) -> Array:
        """Start from the probabilities at theta, and return the weights that follow from them.

        If these weights are no better than zero, return ``otherwise``.
        """
        objective = self._objective
        _, grad = objective.value_and_grad(theta)
        l2 = objective.penalty.l2_of(objective.n_features)[:, np.newaxis]
        grad[:-1] -= l2 * theta[:-1]
        start = np.append(-grad[:-1] / l2, theta[-1:], axis=0)
        value, grad_there = objective.value_and_grad(start)
        if not value < self.value:
            return otherwise
        self.value, self.grad_norm = value, float(np.abs(grad_there).max())
        self._residual[:] = -self._total * grad[-1]
        self._gap.fill(self.value)  # not infinite: alpha is known
        self._set_probabilities(theta.astype(objective.dtype))
        return start

    def _set_probabilities(self, theta: Array) -> None:
        log_alpha = predict(self._part.X, theta, "log_proba", self._objective.n_threads)
        np.maximum(log_alpha, _LOG_ZERO, out=self._log_alpha)

    def _set_weights(self, theta: Array) -> None:
        """Set the weights from theta, which is in the objective's own variables."""
        scaled = theta.copy()
        scaled[:-1] *= self._root
        self._rows.pack(scaled, self._weights, 0, len(theta))

    def _scaled(self) -> Array:
        """Return theta in the variables of the ascent."""
        theta = np.empty(self._objective.shape)
        self._features.map(
            lambda some: self._rows.unpack([self._weights], 1.0, 0.0, theta, theta, some.start, some.stop)
        )
        return theta

    def _unscaled(self, theta: Array) -> Array:
        if self._scales_columns:
            theta[:-1] /= self._root
        return theta

    def run_epoch(self, tol: float) -> None:
        """Visit rows in random order: all in the first epoch, then a sample drawn by their gaps."""
        self.epochs += 1
        mean, floor = float(self._gap.mean()) / _EAGER, _FLOOR
        if self.epochs == 1 or not mean > 0:
            mean, floor = 1.0, 1.0
        count = kernels.draw_rows(self._gap, mean, floor, self._order, self._random)
        self._run(self._order, count, _ENOUGH * tol * self.value)
        self._leave_single(tol)

    def evaluate(self, tol: float) -> Array:
        """Compute the objective, its gradient and the gaps of all rows; return theta."""
        theta = self._evaluate()
        return self._evaluate() if self._leave_single(tol) else theta

    def _leave_single(self, tol: float) -> bool:
        """Change to double precision if single cannot reach tol; return whether this happened."""
        leaves = self._exact is not None and tol < _SINGLE and self.gap() <= HOPEFUL * _SINGLE * self.value
        if leaves:
            self._go_double()
        return leaves

    def _evaluate(self) -> Array:
        l2, theta = self._l2, self._scaled()
        loss, found, grad = self._over_rows(
            self._dual.evaluate, 1.0 / self._total, l2, theta,
            lambda G, some: (_square(theta[some]), self._largest(G, some)),
        )  # fmt: skip
        squares, largest = zip(*found, strict=True)
        self.value = loss / self._total + 0.5 * l2 * sum(squares)
        self.grad_norm = max(*largest, np.abs(grad[-1]).max() if self._objective.fit_intercept else 0.0)
        return self._unscaled(theta)

    def certified_gap(self, tol: float) -> float:
        """Return F minus a lower bound on its minimum if that may be within tol F, else an estimate."""
        gap = self.gap()
        return gap if gap > tol * self.value else self.value - self._lower_bound()

    def _lower_bound(self) -> float:
        """Return the dual at distributions near alpha that satisfy the intercept's constraint: a lower bound on F*."""
        balanced = self._balanced()
        entropy, squares, _ = self._over_rows(
            lambda *at: self._dual.bound(balanced, *at),
            1.0 / self._total,
            look=lambda G, some: _square(G),
        )
        return entropy / self._total - sum(squares) / (2 * self._l2)

    def _balanced(self) -> tuple[Any, Any, float]:
        """Return the changes to alpha that make sum_i c_i (alpha_i - t_i) zero: tilt, mixed, share.

        The tilt (K,) is one step of Newton's method, and worsens the bound little. Then as small a share as possible
        of one distribution, mixed (K,), is mixed into all rows, which makes the sum exactly zero.
        """
        K, dtype = self._objective.K, self._X.dtype
        tilt, mixed, wanted = np.zeros(K, dtype), np.zeros(K, dtype), self._wanted
        if not self._objective.fit_intercept:
            return tilt, mixed, 0.0
        present = wanted > 0
        tilt[~present] = -_NEVER
        with parallel.one_blas_thread:  # the same bits for any number of threads
            have, products = self._shares(tilt)
            step = np.linalg.lstsq(np.diag(have) - products, wanted - have, rcond=_SINGULAR)[0]
            tilt[present] += np.clip(step[present], -1.0, 1.0)
            have, _ = self._shares(tilt, with_products=False)
        share = float(((have - wanted)[present] / have[present]).max(initial=0.0))
        if share > 0:
            missing = np.maximum(wanted - (1 - share) * have, 0.0)
            mixed[:] = missing / missing.sum() if missing.any() else have / have.sum()
        return tilt, mixed, share

    def _shares(self, tilt: Array, with_products: bool = True) -> tuple[Array, Array]:
        """Return sum_i c_i a_i (K,) and sum_i c_i a_i a_i' (K, K) of the tilted distributions a_i."""
        K, n = self._objective.K, self._objective.n_rows
        step = max(1, _BLOCK // K)

        def task(range_: slice) -> tuple[Array, Array]:
            sums, products = np.zeros(K), np.zeros((K, K))
            for first in range(range_.start, range_.stop, step):
                stop = min(first + step, range_.stop)
                some = np.empty((stop - first, K), tilt.dtype)
                self._dual.shares(tilt, sums, some, first, stop)
                if with_products:
                    mass = self._state["mass"][first:stop, np.newaxis].astype(tilt.dtype)
                    products += some.T @ (some * mass)
            return sums, products

        ranges = Ranges.by_count(n, _RANGES, self._objective.n_threads)
        sums, products = zip(*ranges.map(task), strict=True)
        return sum(sums), sum(products)

    def _run(self, order: Array, count: int, enough: float) -> None:
        for first in range(0, count, _ROWS_OF_A_CALL):
            self._visit(order, first, min(first + _ROWS_OF_A_CALL, count), enough)
        self._count(count / len(self._gap))

    def _visit(self, order: Array, first: int, stop: int, enough: float) -> None:
        scratch = self._scratch.take()
        self._dual.visit(order, first, stop, self._scale, self._beta, enough, scratch)
        self._scratch.give(scratch)

    def _count(self, passes: float) -> None:
        self.passes += passes
        self._objective.count(passes)

    def gap(self) -> float:
        """Return an upper bound on F - F*, except that the intercept's part is an estimate."""
        gap = float(self._gap.sum()) / self._total
        if self._objective.fit_intercept:
            gap += float((np.square(self._residual / self._total) / self._spread()).sum())
        return gap

    def _spread(self) -> Any:
        return self._frequency

    def anchor_intercept(self) -> None:
        self._rows.shift_intercepts(self._weights, self._beta * self._scale * self._residual)


class BinaryAscent(Ascent):
    """Dual ascent with two classes; every evaluation also gives a lower bound on F*."""

    value: float
    grad_norm: float
    start: Array

    def _begin(self, theta0: Array) -> None:
        objective = self._objective
        n, X = objective.n_rows, self._X
        self._prepare()
        self._state = np.empty(n, _BINARY_ROW)
        self._dual = kernels.BinaryDualAscent(self._rows, self._weights, self._state, self._gap)
        totals, sums = self._over_rows(self._dual.start)
        mass, one, squares, disordered = totals
        if disordered:
            self._state["square"] = squared_norms(without_duplicates(X))
            squares = self._state["square"].sum()
        self._beta = self._weight_of_intercept(_PULL_OF_TWO, squares / n)
        even = np.append(0.5 * sums[:, 0] - sums[:, 1], 0.5 * mass - one) / self._total
        self.value = math.log(2.0) * mass / self._total
        self.grad_norm = self._largest(even)
        self.start = objective.initial()
        if theta0.any():
            self.start = self._from(theta0, self.start)
        self._frequency = _clipped(one / mass if mass > 0 else 0.5)
        if self.start.any():
            self._set_weights(self.start)
        else:
            self._leave_targets(mass, one, sums)

    def _leave_targets(self, mass: float, one: float, sums: Array) -> None:
        """Start at the best point between the targets and the frequency."""
        objective = self._objective
        f = self._frequency if objective.fit_intercept else 0.5
        g = (f * sums[:, 0] - sums[:, 1]) / self._total
        shares = np.array([mass - one, one]) / self._total
        eta = _best_share(np.array([1 - f, f]), shares, float(np.sum(g * g)) / self._l2)
        self._state["moved"] = eta * (f - self._state["target"])
        self._residual[0] = -eta * (f * mass - one)
        intercept = math.log(f / (1 - f))  # 0 without one
        scaled = np.append(g * (-eta / self._l2), intercept)[:, np.newaxis]
        self._rows.pack(scaled, self._weights, 0, len(scaled))

    @property
    def _alpha(self) -> Array:
        return self._state["moved"]

    def _set_probabilities(self, theta: Array) -> None:
        z = predict(self._part.X, theta, "logits", self._objective.n_threads).astype(np.float64).ravel()
        e = np.exp(-np.abs(z))
        large, small = 1 / (1 + e), e / (1 + e)
        one, zero = np.where(z > 0, large, small), np.where(z > 0, small, large)
        target = self._state["target"]
        self._state["moved"] = one * (1 - target) - zero * target

    def _over_rows(  # type: ignore[override]
        self, part: Callable[..., Any]
    ) -> tuple[Array, Array]:
        """Return the sums, over fixed ranges of rows, of part(sums, first, stop) and of the (d, 2) that it adds to."""

        def task(some: slice) -> tuple[Array, Array]:
            sums = np.zeros((self._objective.n_features, 2))
            return np.sum([part(sums, a, b) for a, b in self._ranges.calls(some)], axis=0), sums

        results = self._ranges.map(task)
        self._count(1)
        totals, sums = results[0]
        for more_totals, more_sums in results[1:]:
            totals += more_totals
            sums += more_sums
        return totals, sums

    def _largest(self, gradient: Array) -> float:  # type: ignore[override]
        """Return the largest gradient entry of F, from a gradient (d + 1,) in the ascent's variables."""
        largest = np.abs(gradient[:-1] * self._root.ravel()).max(initial=0.0)
        return max(float(largest), abs(float(gradient[-1])) if self._objective.fit_intercept else 0.0)

    def _visit(self, order: Array, first: int, stop: int, enough: float) -> None:
        self._residual += self._dual.visit(order, first, stop, self._scale, self._beta, enough)

    def evaluate(self, tol: float) -> Array:
        """Compute the objective, its gradient, the gaps of all rows and the bound on the minimum; return theta."""
        l2 = self._l2
        balanced = self._balanced()
        (loss, entropy, slope), sums = self._over_rows(
            lambda sums, first, stop: self._dual.bound(*balanced, sums, first, stop)
        )
        theta = self._scaled()
        weights = theta[:-1, 0]
        sums /= self._total
        self.value = loss / self._total + 0.5 * l2 * float(np.sum(weights * weights))
        self.grad_norm = self._largest(np.append(sums[:, 1] + l2 * weights, slope / self._total))
        self._least = entropy / self._total - float(np.sum(sums[:, 0] ** 2)) / (2 * l2)  # F* is no lower
        return self._unscaled(theta)

    def _balanced(self) -> tuple[Any, Any, float]:
        """Return the changes to alpha that satisfy the intercept's constraint.

        They are a factor on the odds, and a share of one class (0.0 or 1.0) that is mixed in.
        """
        if not self._objective.fit_intercept:
            return 1.0, 0.0, 0.0
        factor = 1.0
        moved, _, _, slope = self._dual.balance(factor)
        if slope > 0:
            factor = math.exp(min(max(-moved / slope, -1.0), 1.0))
        moved, one, zero, _ = self._dual.balance(factor)
        if moved > 0:
            return factor, moved / one, 0.0
        return factor, -moved / zero if zero > 0 else 0.0, 1.0

    def certified_gap(self, tol: float) -> float:
        return self.value - self._least

    def _spread(self) -> Any:
        return self._frequency * (1 - self._frequency)


def _square(weights: Array) -> float:
    """Return |W|^2, without BLAS, whose bits depend on its number of threads."""
    return float(np.einsum("jk,jk->", weights, weights))


def _best_share(f: Array, shares: Array, curvature: float) -> float:
    """Return the eta that maximises the dual between targets and frequencies.

    That is the root of its derivative, which decreases from infinity.
    """
    low, width = 0.0, 1.0
    for _ in range(_ROUNDS):
        width /= _PARTS
        eta = low + width * np.arange(1, _PARTS)[:, np.newaxis]
        other = f * np.log(eta * f)
        up = ((1 - f) * np.log(1 - eta * (1 - f)) - (other.sum(axis=1, keepdims=True) - other)) @ shares
        low += width * np.count_nonzero(up > eta[:, 0] * curvature)
    return low + width


def _clipped(share: float | Array) -> float | Array:
    """Return class frequencies away from 0 and 1, so that their logarithms are finite."""
    return np.clip(share, _RAREST, 1 - _RAREST)
