"""The objective: what is minimised, and the one thing that solvers see.

    F(W, b) = (1/S) sum over parts  sum_i s_i loss_i  +  penalty(W)

    S = sum_i s_i w_{y_i},  for soft labels  sum_i s_i

An objective is an ordered sum over parts: ranges of rows with their targets. An engine visits the parts
wherever they lie: data/local.py in this memory, data/streamed.py one after the other. A solver that asks for no
more than this class offers runs on every engine. With the same borders of parts, it gives the same bits on all.
"""

from dataclasses import dataclass

import numpy as np

from .data.local import Local
from .data.moments import Moments, spread_of_rounding
from .data.scaled import ldexp
from .data.streamed import Streamed
from .data.targets import Targets
from .loss import Part
from .parallel import ordered_sum
from .penalty import Penalty


@dataclass
class _Known:
    """What is known of the parts alone; objectives that differ in the penalty share it."""

    passes: float = 0.0
    moments: Moments | None = None
    flat: np.ndarray | None = None


class Objective:
    """The mean (or sum) of the parts' losses, and a penalty. Input is trusted.

    Parameters
    ----------
    engine : Local or Streamed
        ``engine.each(method, *arguments)`` yields that method's result of every part, in order; ``engine.local`` is the
        only part, if it is one in this memory, else None.
    penalty : Penalty
    reduction : {"mean", "sum", "none"}
        Whether losses are divided by S. "none" is for `row_losses` alone; it, and "sum", take one part.

    Attributes
    ----------
    shape : (d + 1, K)
        Shape of theta: feature-major, the intercept last; K = 1 is a binary model.
    dtype : numpy dtype of the features
    n_rows, n_classes : int
    total_weight : float
        S, in units of 2**weight_exponent: weights may have any size, and are used without a scale.
    weight_exponent : int
    least_mass : float
        The least positive mass of a row (see `Targets.masses`) as a share of S; infinite if there is none.
    fit_intercept : bool
        Without it the last row of theta counts as zero, and so does its gradient.
    penalty : Penalty
        L1 is not part of `value` and of the gradients; solvers read it from here.
    is_sparse : bool
    cost : int
        Multiplications of a pass, see data.ranges.cost.
    local : Part or None
        Rows and columns in this memory, for solvers that need single ones.
    passes : float
        Passes over the data so far: 1 for a value with or without gradient, 1.5 or 1 for a Hessian product.
    n_threads : int or None
    """

    def __init__(self, engine, penalty=None, *, reduction="mean"):
        self._engine = engine
        self.penalty = Penalty() if penalty is None else penalty
        self.local = engine.local
        facts = list(engine.each("facts")) if self.local is None else [self.local]
        first = facts[0]
        self.shape, self.dtype, self.n_classes = first.shape, first.dtype, first.n_classes
        self.fit_intercept, self.n_threads = first.fit_intercept, first.n_threads
        self.is_sparse = first.is_sparse
        self._known = _Known()
        self._counted_by = None  # another objective that counts this one's passes as its own, too
        if self.local is not None:
            self._rows_of_parts, self.n_rows, self.cost = [first.n_rows], first.n_rows, first.cost
            self.weight_exponent = first.weight_exponent
            self._total_weight = None
            self._scales = [self.local.targets.scale(reduction)]
        else:
            self._rows_of_parts = [part.n_rows for part in facts]
            self.n_rows = sum(self._rows_of_parts)
            self.cost = sum(part.cost for part in facts)
            self.weight_exponent = max(part.weight_exponent for part in facts)
            units = [float(ldexp(1.0, part.weight_exponent - self.weight_exponent)) for part in facts]
            totals = engine.each("total_weight")
            self._total_weight = sum(unit * total for unit, total in zip(units, totals, strict=True))
            whole = 1.0 / self._total_weight if self._total_weight > 0 else 0.0
            self._scales = [unit * whole for unit in units]

    @classmethod
    def over(cls, X, targets, K=None, *, penalty=None, fit_intercept=True, reduction="mean", n_threads=None):
        """Return the objective over arrays in this memory, one part. K: columns of logits; default one a class."""
        K = targets.n_classes if K is None else K
        part = Part(X, targets, K, fit_intercept=fit_intercept, n_threads=n_threads)
        return cls(Local([part]), penalty, reduction=reduction)

    @classmethod
    def streamed(cls, batches, n_classes, K=None, *, penalty=None, fit_intercept=True, n_threads=None):
        """Return the mean objective over batches (X, y) or (X, y, weight), of which one at a time is in memory."""
        K = n_classes if K is None else K

        def bind(X, y, weight):
            return Part(X, Targets(y, n_classes, weight), K, fit_intercept=fit_intercept, n_threads=n_threads)

        return cls(Streamed(batches, bind), penalty)

    def with_penalty(self, penalty):
        """Return the objective of the same parts with another penalty; passes are counted together."""
        other = object.__new__(Objective)
        vars(other).update(vars(self), penalty=penalty)
        return other

    @property
    def n_features(self):
        """d"""
        return self.shape[0] - 1

    @property
    def K(self):
        """Columns of logits."""
        return self.shape[1]

    @property
    def total_weight(self):
        return self.local.targets.total if self._total_weight is None else self._total_weight

    @property
    def least_mass(self):
        return min(self._each("least_mass"))

    @property
    def passes(self):
        return self._known.passes

    def count(self, passes):
        """Count passes over the data that were made elsewhere."""
        self._known.passes += passes
        if self._counted_by is not None:
            self._counted_by.count(passes)

    def initial(self):
        """Return theta = 0."""
        return np.zeros(self.shape)

    # F and its derivatives ------------------------------------------------------------------------------

    def value(self, theta):
        """Return F(theta)."""
        theta = np.ascontiguousarray(theta)
        self.count(1)
        if self.local is not None:
            loss = self.local.loss(theta, *self._scales)
        else:
            loss = ordered_sum(self._each("loss", theta))
        return loss + self.penalty.smooth(theta)

    def value_and_grad(self, theta, out=None):
        """Return F(theta) and its gradient, an array like theta."""
        theta = np.ascontiguousarray(theta)
        self.count(1)
        loss, out = self._summed("loss_and_grad", (theta,), theta, out)
        return loss + self.penalty.smooth(theta), out

    def hessp(self, theta, v, out=None):
        """Return the Hessian at theta times v, an array like theta."""
        theta, v = np.ascontiguousarray(theta), np.ascontiguousarray(v)
        passes, out = self._summed("hessp", (theta, v), v, out)
        self.count(passes / len(self._rows_of_parts))
        return out

    def _summed(self, method, arguments, at, out):
        """The number and the array that a method of the parts returns, summed; the penalty's slope is in the array."""
        penalty = self.penalty
        if self.local is not None:
            fused = penalty.l2 if penalty.factors is None else 0.0  # added while the array is in cache
            number, out = getattr(self.local, method)(*arguments, *self._scales, fused, out)
            if not fused:
                penalty.add_gradient(at, out)
            return number, out
        number, total = ordered_sum(self._each(method, *arguments), _add)
        if out is None:
            out = total
        else:
            out[:] = total
        penalty.add_gradient(at, out)
        return number, out

    def _each(self, method, *arguments):
        """What a method of the parts returns of each, with the scale of its weights as last argument."""
        return self._engine.each(method, *arguments, by_part=[(scale,) for scale in self._scales])

    def row_losses(self, theta):
        """Return s_i loss_i of every row, with the weights as they were given, in the dtype of the data."""
        self.count(1)
        return np.concatenate(list(self._engine.each("row_losses", np.ascontiguousarray(theta))))

    # Moments --------------------------------------------------------------------------------------------

    def column_moments(self):
        """Return the Moments (mean, deviation) of the columns by the rows' masses; taken once."""
        known = self._known
        if known.moments is None:
            known.moments = ordered_sum(self._each("column_moments"))
        return known.moments

    def columns_without_spread(self):
        """Return which columns are constant but for rounding, bool (d,); taken once."""
        known = self._known
        if known.flat is None:
            moments = self.column_moments()
            mean, deviation = moments.mean, moments.deviation
            bound = spread_of_rounding(mean, self.dtype)
            flat = deviation <= bound
            # The deviation of few entries among many that are all the same is small, however far those are.
            doubtful = np.flatnonzero(flat & (deviation > 0))
            if len(doubtful):
                far = np.max(list(self._engine.each("farthest", doubtful, mean[doubtful])), axis=0)
                flat[doubtful] = far <= bound[doubtful]
            known.flat = flat
        return known.flat

    def curvature_moments(self, theta):
        """Return what a diagonal model of the curvature at theta needs, per column and class.

        The Moments of the columns by the rows' curvatures c_i (1 - |p_i|^2), and beta_k = sum_i c_i p_ik (1 - p_ik) of
        each column of logits, both in shares of S.
        """
        self.count(0.5)
        return ordered_sum(self._each("curvature_moments", np.ascontiguousarray(theta)), _add)

    # Some of the rows -----------------------------------------------------------------------------------

    def sample(self, count, theta=None, *, columns=None, seed=0):
        """Return a local objective over at most `count` rows, with their shares, and the same penalty.

        Parameters
        ----------
        count : int
        theta : ndarray (d + 1, K) or None
            None: rows of positive weight, drawn alike without replacement, each with its own weight. Else a row
            is drawn in proportion to its trace in the Hessian at theta, c_i (1 - |p_i|^2) |a_i|^2, except for a
            fifth that follows its curvature and its mass alone. It weighs as much less as it is drawn more often.
        columns : (mean, scale), float64 (d + 1,) each, or None
            What makes a row x_i into a_i.
        seed : int

        Returns
        -------
        Objective
            It counts its own passes.
        """
        if count >= self.n_rows and self.local is not None:
            return Objective(Local([self.local]), self.penalty)
        rng = np.random.default_rng(seed)
        if theta is None:
            present = np.concatenate(list(self._engine.each("present")))
            chosen = np.flatnonzero(present)
            if count < len(chosen):
                chosen = np.sort(rng.choice(chosen, count, replace=False))
            shares = None
        else:
            self.count(0.5)
            traces = list(self._each("traces", np.ascontiguousarray(theta), *columns))
            chosen, shares = _drawn(*map(np.concatenate, zip(*traces, strict=True)), count, rng)
        starts = np.cumsum([0, *self._rows_of_parts])
        bounds = np.searchsorted(chosen, starts)
        by_part = [
            (chosen[a:b] - start, None if shares is None else shares[a:b])
            for a, b, start in zip(bounds[:-1], bounds[1:], starts[:-1], strict=True)
        ]
        taken = self._engine.each("take", by_part=by_part)
        part = Part.joined([part for part in taken if part is not None])
        return Objective(Local([part]), self.penalty)

    def over_part(self, part):
        """Return the mean objective over another local part, with the same penalty; passes are counted together."""
        other = Objective(Local([part]), self.penalty)
        other._counted_by = self
        return other

    def over_features(self, chosen):
        """Return the objective over some of the features (a mask) of a local one, penalty included."""
        return Objective(Local([self.local.of_features(chosen)]), self.penalty.of_features(chosen))


def _add(a, b):
    """The sums of the numbers and arrays of two parts; arrays of the first are overwritten."""
    return tuple(x.__iadd__(y) if isinstance(x, np.ndarray) else x + y for x, y in zip(a, b, strict=True))


def _drawn(traces, curvatures, masses, count, rng):
    """Rows drawn, a draw in each of `count` strata, and what 1 / (chance of being drawn) makes of their weight."""
    if len(masses) <= count:
        return np.arange(len(masses)), np.ones(len(masses))
    chance = 0.8 * _shares(traces) + 0.1 * _shares(curvatures) + 0.1 * _shares(masses)
    before = np.cumsum(chance)
    strata = (np.arange(count) + rng.random(count)) / count
    draws = np.minimum(strata * before[-1], np.nextafter(before[-1], 0.0))
    times = np.bincount(np.searchsorted(before, draws, side="right"), minlength=len(masses))
    chosen = np.flatnonzero(times)
    return chosen, times[chosen] / (count * chance[chosen])


def _shares(x):
    return x / max(x.sum(), np.finfo(float).tiny)
