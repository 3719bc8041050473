"""The columns of X, as coordinate descent reads them, and a binary model's loss over sparse ones.

A row of a binary model has one logit, so that all it takes to evaluate loss and gradient, z = X W + b first, is to
keep z:

    z <- z + t X (V - W)              over the columns of the weights that moved
    loss, r, h                        of the rows; r and h its first two derivatives with respect to z
    gradient  X' r

which costs half a pass over the data where the rows' way takes one, and next to nothing where the step t is tried.
All of it is in double precision, and in the data as they are. (O. Fercoq, P. Richtarik, "Accelerated, parallel, and
proximal coordinate descent", SIAM Journal on Optimization 25, 2015, keep z like this.)

Residuals are bounded, and with them what X' r can be. Columns where that is no more than the L1 penalty have weights
of zero at every optimum, and are left out from the start: of text, most. (L. El Ghaoui, V. Viallon, T. Rabbani, "Safe
feature elimination in sparse supervised learning", Pacific Journal of Optimization 8, 2012, bound more tightly.)

Sweeps read the columns in single precision unless there is little of it: what that costs in accuracy shrinks with the
step, for the gradient is exact.
"""

from dataclasses import dataclass

import numpy as np

from .. import kernels, parallel
from ..moments import column_moments
from ..objective import work
from ..prediction import predict
from .dual_ascent import log_odds
from .pieces import Pieces

SMALL = 2_000_000  # multiplications of a pass that costs next to nothing
_MANY = 4_000_000  # entries, more than caches hold
_PIECE = 100_000  # entries worth a thread of their own
_ROWS_OF_A_PIECE = 1 << 16


@dataclass
class Columns:
    """The columns of an objective's X.

    Attributes
    ----------
    swept, exact : kernels.Columns
        For sweeps; and, of a sparse X, the data as they are, else None.
    rows : ndarray or slice
        The rows of X that they have.
    dtype : dtype of the columns swept
    centred : bool
        Whether they are dense.
    share : ndarray (d + 1,)
        The share of all entries that each holds; the intercept's comes last.
    mean : ndarray (d + 1,)
        What was taken off each.
    reach : ndarray (d,)
        The largest deviation of each column from its mean (dense), or its largest entry (sparse); 1 instead of 0.
    bounds : list of int
        Ranges of columns with about equally many entries.
    kept : ndarray of bool (d,) or None
        Columns whose weights may be other than zero: the rest were left out, and seem empty.
    least_l1 : float
        The L1 penalty from which on that is so.
    """

    swept: kernels.Columns
    exact: kernels.Columns | None
    rows: np.ndarray | slice
    dtype: np.dtype
    centred: bool
    share: np.ndarray
    mean: np.ndarray
    reach: np.ndarray
    bounds: list
    kept: np.ndarray | None = None
    least_l1: float = 0.0


def columns_of(objective):
    """The Columns of an objective, of the rows that weigh something; made once, or twice if its L1 penalty falls."""
    known = objective.memo.get("columns")
    if known is None or objective.l1 < known.least_l1:
        mass = objective.row_masses()
        rows = slice(None) if mass.all() else np.flatnonzero(mass)
        make = _dense if isinstance(objective.X, np.ndarray) else _sparse
        objective.memo["columns"] = known = make(objective, rows, mass[rows], known is None)
    return known


def _dense(objective, chosen, mass, screen):
    X = objective.X[chosen]
    n, d = X.shape
    over_rows = Pieces(X.shape, objective.n_threads).map
    mean = np.append(column_moments(X, mass, objective.n_threads)[0], 0.0)
    ends = over_rows(lambda some: (X[some].min(axis=0), X[some].max(axis=0)))
    least, most = np.min([low for low, _ in ends], axis=0), np.max([high for _, high in ends], axis=0)
    reach = np.maximum(most - mean[:-1], mean[:-1] - least)
    dtype = _precision(objective, reach)
    # Columns come centred: single precision then holds what differs from row to row.
    if not objective.fit_intercept:
        mean[:] = 0.0
    columns = np.empty((n, d), dtype, order="F")
    over_rows(lambda some: np.subtract(X[some], mean[:-1], out=columns[some], casting="same_kind"))
    share, reach = np.full(d + 1, 1.0 / d), np.where(reach > 0, reach, 1.0)
    return Columns(kernels.Columns(columns), None, chosen, dtype, True, share, mean, reach, [0, d])


def _sparse(objective, chosen, mass, screen):
    X = objective.X if isinstance(chosen, slice) else objective.X[chosen]
    n, d = X.shape
    rows = X.data, X.indices, X.indptr, n, d
    counts, ends = np.zeros(d, X.indices.dtype), np.zeros((d, 2))
    screen = screen and objective.K == 1 and objective.l1 > 0
    kernels.column_sizes(rows, *(class_weights(objective, chosen) if screen else (None, None)), counts, ends)
    kept = None
    if screen:  # no weight but zero where no residuals can make a slope as large as the penalty
        kept = np.maximum(ends[:, 1], -ends[:, 0]) > (1 - 1e-9) * objective.feature_l1
        counts *= kept
    indptr = np.zeros(d + 1, X.indptr.dtype)
    np.cumsum(counts, out=indptr[1:])
    room = int(indptr[-1]) + 1
    indices, values, reach = np.empty(room, X.indices.dtype), np.empty(room, X.dtype), np.empty(d)
    if kernels.columns_of_rows(rows, indptr, indices, values, reach):
        X, kept = X.tocsc(), None
        X.sum_duplicates()
        indptr, indices, values = X.indptr, X.indices, X.data
    nnz = int(indptr[-1])
    pieces = max(1, min(64, nnz // _PIECE))
    bounds = [0, *np.searchsorted(indptr, nnz * np.arange(1, pieces) / pieces).tolist(), d]
    exact = swept = kernels.Columns((values, indices, indptr, n, d))
    # Of a binary model both kinds are read: a copy has to pay for itself.
    dtype = _precision(objective, reach) if objective.K > 1 or nnz > _MANY else values.dtype
    if values.dtype != dtype:
        swept = kernels.Columns((values.astype(dtype), indices, indptr, n, d))
    share = np.append(np.diff(indptr), n) / max(nnz, 1)
    reach[reach == 0] = 1.0
    least_l1 = 0.0 if kept is None else objective.l1
    return Columns(swept, exact, chosen, dtype, False, share, np.zeros(d + 1), reach, bounds, kept, least_l1)


def class_weights(objective, rows):
    """What the classes 1 and 0 weigh in each row, of all rows."""
    if "weights of classes" not in objective.memo:
        target, _, _, _, smoothing = objective.targets
        plain = target.ndim == 1 and smoothing == 0
        ones = target == 1 if plain else objective.distributions(slice(None))[:, 1]
        mass = _shares(objective)[rows]
        one = mass * ones[rows]
        objective.memo["weights of classes"] = one, mass - one
    return objective.memo["weights of classes"]


def _precision(objective, reach):
    used = reach[reach > 0]
    moderate = used.min(initial=1.0) > 1e-15 and used.max(initial=1.0) < 1e15
    return np.dtype(np.float32 if moderate and work(objective.X, objective.K) > SMALL else np.float64)


def loss_of(objective):
    """The way to evaluate an objective that suits it."""
    binary_sparse = objective.K == 1 and not isinstance(objective.X, np.ndarray)
    return (BinaryLoss if binary_sparse else RowsLoss)(objective)


class RowsLoss:
    """Loss and gradient of any objective, by passes over its rows."""

    def __init__(self, objective):
        self._objective = objective
        self._columns = columns = columns_of(objective)
        self._mass = (_shares(objective)[columns.rows]).astype(columns.dtype)
        self._grad = self._Q = None

    def log_odds(self):
        """The best intercepts where W = 0."""
        value, grad = self._objective.value_and_grad(self._objective.initial())
        K = max(2, len(grad[-1]))
        mass = value / np.log(K)
        share = (mass / K - grad[-1]) / mass if mass > 0 else np.full(len(grad[-1]), 1 / K)
        return log_odds(np.clip(share, 1e-6, 1 - 1e-6))

    def at(self, theta):
        """Value and gradient at theta."""
        return self._objective.value_and_grad(theta)

    def moved(self, theta, value, grad):
        """Value and gradient at a theta where the objective has them already."""
        return value, grad

    def along(self, step, t):
        """The value at a step's point t."""
        value, self._grad = self._objective.value_and_grad(step.at(t))
        return value

    def gradient(self, theta):
        """The gradient there, if that is where the value was taken last."""
        return self._grad

    def curvature(self, theta):
        """Q and P of kernels/coordinate.pxi at theta, where the gradient was taken last."""
        objective, dtype, rows = self._objective, self._columns.dtype, self._columns.rows
        if self._Q is None:
            shape = objective.K, len(self._mass)
            self._Q, self._P = np.empty(shape, dtype), np.empty(shape, dtype) if objective.K > 1 else None
            self._proba = np.empty((objective.n_rows, objective.n_classes), objective.dtype)
        Q, P, mass = self._Q, self._P, self._mass
        predict(objective.X, theta.astype(objective.dtype), "proba", objective.n_threads, self._proba)
        proba = self._proba[rows]
        objective.passes += 0.5

        def turn(some):
            if P is None:
                Q[0, some] = mass[some] * proba[some, 0] * proba[some, 1]
            else:
                P[:, some] = proba[some].T
                np.multiply(P[:, some], mass[some], out=Q[:, some])

        Pieces(proba.shape, objective.n_threads).map(turn)
        return Q, P


class BinaryLoss:
    """The same for two classes and sparse columns, by the logits z, which it keeps."""

    def __init__(self, objective):
        self._objective = objective
        self._columns = columns = columns_of(objective)
        self._one, self._zero = class_weights(objective, columns.rows)
        n = len(self._one)
        self._z, self._r, self._h = np.zeros(n), np.empty(n), np.empty(n)
        self._way = None, None  # a step, and what it adds to z

    def log_odds(self):
        one, zero = self._one.sum(), self._zero.sum()
        share = one / (one + zero) if one + zero > 0 else 0.5
        return log_odds(np.clip([share], 1e-6, 1 - 1e-6))

    def at(self, theta):
        features = np.flatnonzero(theta[:-1])
        self._z = self._products(features, theta[features, 0], theta[-1, 0])
        self._way = None, None
        value = self._value(self._z, theta)
        return value, self.gradient(theta)

    def moved(self, theta, value, grad):
        return value, self.at(theta)[1]  # the value has its L1 term

    def along(self, step, t):
        if self._way[0] is not step:
            features, moves = step.moves()
            inside = features < self._objective.n_features
            self._way = step, self._products(features[inside], moves[inside], moves[~inside].sum())
            self._before = self._z
        self._z = self._before + t * self._way[1]
        return self._value(self._z, step.at(t))

    def gradient(self, theta):
        objective, bounds = self._objective, self._columns.bounds
        grad = np.empty_like(theta)
        out = grad[:-1, 0]

        def piece(i):
            self._columns.exact.products(self._r, out, bounds[i], bounds[i + 1])

        parallel.run(piece, len(bounds) - 1, objective.n_threads)
        if objective.l2:
            out += objective.feature_l2 * theta[:-1, 0]
        grad[-1] = self._r.sum() if objective.fit_intercept else 0.0
        objective.passes += 0.5
        return grad

    def curvature(self, theta):
        return self._h[np.newaxis].astype(self._columns.dtype), None

    def _products(self, features, weights, start):
        """start + the sum of columns times weights: a number for each row."""
        z = np.full(len(self._z), start)
        features, weights = np.ascontiguousarray(features, np.intp), np.ascontiguousarray(weights)
        self._columns.exact.add_to(z, features, weights, 0, len(features))
        self._objective.passes += 0.5 * float(self._columns.share[features].sum())
        return z

    def _value(self, z, theta):
        n, step = len(z), _ROWS_OF_A_PIECE

        def piece(i):
            first, stop = i * step, min((i + 1) * step, n)
            return kernels.binary_logits(z, self._one, self._zero, self._r, self._h, first, stop)

        value = sum(parallel.run(piece, -(-n // step), self._objective.n_threads))
        if self._objective.l2:
            value += 0.5 * float(self._objective.feature_l2 @ np.square(theta[:-1, 0]))
        return value


def _shares(objective):
    """What each row weighs, of all."""
    total = objective.total_weight
    return objective.row_masses() / (total if total > 0 else 1.0)
