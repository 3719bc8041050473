"""Metrics: models of the Hessian whose inverse is cheap, for ``metric``.

In the variables u of conditioned.py a row is a_i (d + 1 numbers, centred and scaled, the last one its intercept's),
its probabilities are p_i, its share of the weights c_i, and

    H = sum_i c_i  a_i a_i'  (x)  (diag p_i - p_i p_i')  +  penalty,         trace of the second factor: w_i = 1 -
    |p_i|^2

A metric is made by ``build(problem, u)``; its ``solve(R)`` is (model of H)^-1 R, and one that knows its own
scale, and follows u between refreshes, has a ``move(u, damping)``. The models:

    diagonal   variances of the columns under the weights c_i w_i  (x)  diag(beta) - beta beta' / s
    gram       sum_i c_i w_i a_i a_i' / (K - 1), the same for every class; exact for two classes and where W = 0
    nystrom    the same, of rank 50 and a multiple of the identity
    full       H itself, where (d + 1) K is small
    sampled    H itself where u is now, never formed: conjugate gradients begun from gram
    exact      H itself where u is now, of all rows

all but the first and the last from a sample of the rows; the penalty is exact (nystrom: its mean). Rows that are
certain have no curvature: w_i is kept above a thousandth of its mean, or a few rows would make the model; not in the
last two.

    R. H. Byrd, G. M. Chin, W. Neveitt, J. Nocedal, "On the use of stochastic Hessian information in optimization
    methods
    for machine learning", SIAM Journal on Optimization 21, 2011 (sampled).
    D. Böhning, "Multinomial logistic regression algorithm", Ann. Inst. Stat. Math. 44, 1992 (gram, at W = 0).
    Z. Frangella, P. Rathore, S. Zhao, M. Udell, "PROMISE", JMLR 25, 2024 (sampled and sketched models, refreshed
    rarely).
"""

import numpy as np
import scipy.linalg

from .. import parallel
from ..moments import column_moments
from ..prediction import predict
from .pieces import Pieces

_LEAST_CURVATURE = 1e-3
_JITTER, _JITTER_SINGLE = 1e-9, 1e-7
_RANK = 50
_GRAM_ROWS = 10  # rows of the sample, per column
_FULL_ROWS = 2  # per unknown
_FEW_ROWS = 2000
_SAMPLED_PART = 16  # of the rows, one is in a sample at least
_SAMPLE_SIZE = 5e7  # entries of an explicit sample, at most
_CG_STEPS = 100
_CG_REDUCTION = 0.3


class Diagonal:
    """Variance v_j of each column  (x)  diag(beta) - beta beta' / s,  beta_k = sum_i c_i p_ik (1 - p_ik), s their sum.

    For a row of R that is a diagonal solve and a correction of rank one (J. Sherman, W. J. Morrison, 1950):

        D_k = v beta_k + e,   x = R / D,   x += (v beta / D) (beta.x) / sum_k (beta_k e / D_k)      e: penalty, floor
    """

    def __init__(self, problem, u):
        objective = problem.objective
        weight, beta = _curvature(problem, u)
        mean, deviation = column_moments(objective.X, weight, objective.n_threads)
        if not objective.fit_intercept:
            mean, deviation = np.zeros_like(mean), np.hypot(mean, deviation)
        scale = problem.scale
        self._shift = np.append((mean - problem.mean) * scale[:-1, 0] / scale[-1], 0.0)[:, np.newaxis]
        self._pieces = problem.pieces
        self._inverse, self._share = np.empty((2, len(scale), len(beta)))
        least = _LEAST_CURVATURE * beta.max()
        variance = np.square(np.append(deviation, 1.0)[:, np.newaxis] * scale)

        def part(rows):
            v, rest = variance[rows], variance[rows] * least + problem.ridge[rows] + _JITTER * beta.max()
            inverse = np.divide(1.0, v * beta + rest, out=self._inverse[rows])
            np.multiply(v / (inverse * rest @ beta)[:, np.newaxis] * beta, inverse, out=self._share[rows])

        self._pieces.map(part)
        self._beta = beta
        self._coupled = len(beta) > 1

    def solve(self, R):
        X = np.empty_like(R)
        last = R[-1].copy()

        def part(rows):
            x = np.multiply(R[rows] - self._shift[rows] * last, self._inverse[rows], out=X[rows])
            if self._coupled:
                x += self._share[rows] * (x @ self._beta)[:, np.newaxis]
            return self._shift[rows].T @ x

        X[-1] -= sum(self._pieces.map(part))[0]
        return X


class Gram:
    """One matrix over the columns, shared by the classes."""

    def __init__(self, problem, u):
        A, mass, P = _sample(problem, u, _GRAM_ROWS * (problem.objective.n_features + 1))
        self._factor = _shared_factor(problem, A, _shared_weight(problem.objective, mass, P))

    def solve(self, R):
        return _solve(self._factor, R)


class Nystrom:
    """The same to rank 50; what lies beneath counts as a multiple of the identity."""

    def __init__(self, problem, u):
        A, mass, P = _sample(problem, u, _GRAM_ROWS * (problem.objective.n_features + 1))
        weight = _shared_weight(problem.objective, mass, P)
        rank = min(_RANK, A.shape[1])
        start = np.linalg.qr(np.random.default_rng(0).standard_normal((A.shape[1], rank)))[0]
        sketch = A.T @ (weight[:, np.newaxis] * (A @ start))
        shift = np.finfo(np.float64).eps * np.linalg.norm(sketch)
        sketch += shift * start
        core = np.triu(_factor((start.T @ sketch).T)[0].T)
        basis, values, _ = np.linalg.svd(
            scipy.linalg.solve_triangular(core, sketch.T, trans="T").T, full_matrices=False
        )
        values = np.maximum(np.square(values) - shift, 0.0)
        ridge = float(problem.ridge.mean())
        self._basis = basis
        values = np.maximum(values + ridge, _JITTER * max(values[0], np.finfo(float).tiny))
        self._rest = 1.0 / values[-1]
        self._gain = (1.0 / values - self._rest)[:, np.newaxis]

    def solve(self, R):
        return self._rest * R + self._basis @ (self._gain * (self._basis.T @ R))


class Full:
    """The Hessian over a sample of the rows."""

    def __init__(self, problem, u):
        K = problem.objective.K
        A, mass, P = _sample(problem, u, _FULL_ROWS * u.size)
        width = A.shape[1]
        cross = (A[:, :, np.newaxis] * (np.sqrt(mass)[:, np.newaxis] * P)[:, np.newaxis, :]).reshape(
            len(A), -1
        )
        H = -(cross.T @ cross)
        blocks = H.reshape(width, K, width, K)
        for k in range(K):
            certain = 1.0 - P[:, k]
            weight = (
                mass * P[:, k] * np.maximum(1.0, _LEAST_CURVATURE / np.maximum(certain, _LEAST_CURVATURE))
            )
            blocks[:, k, :, k] += (A * weight[:, np.newaxis]).T @ A
        H[np.diag_indices_from(H)] += np.repeat(problem.ridge[:, 0], K) + _JITTER * np.trace(H) / len(H)
        if not problem.fit_intercept:
            H[np.arange(-K, 0), np.arange(-K, 0)] = 1.0
        self._factor = _factor(H)

    def solve(self, R):
        return _solve(self._factor, R.reshape(-1, 1)).reshape(R.shape)


class Exact:
    """The Hessian of all rows, wherever u is now: for models so small that it costs no more than calling a pass.

    Columns a_j a_l of all pairs of features are made once, and summed under c_i p_ik p_ih for each pair of classes.
    What a class has with itself is the sum of what it has with the others: certain rows keep their digits.
    """

    is_exact = True

    def __init__(self, problem, u):
        self._problem = problem
        self._A = _dense_rows(problem, problem.objective)
        mass = problem.objective.row_masses()
        self._mass = mass[:, np.newaxis] / max(problem.objective.total_weight, np.finfo(float).tiny)
        width, K = u.shape
        self._ridge, self._free = np.repeat(problem.ridge[:, 0], K), np.flatnonzero(problem.ridge == 0)
        if K > 1:
            first, second = np.triu_indices(width)
            features = np.empty((width, width), np.intp)
            features[first, second] = features[second, first] = np.arange(len(first))
            self._products = (self._A[:, first] * self._A[:, second]).T
            self._pairs = k, h = np.triu_indices(K, 1)
            blocks = np.zeros((len(k), K, K))
            pair = np.arange(len(k))
            blocks[pair, k, h] = blocks[pair, h, k] = -1.0
            blocks[pair, k, k] = blocks[pair, h, h] = 1.0
            self._blocks = blocks.reshape(len(k), K * K)
            classes = np.arange(K * K).reshape(1, K, 1, K)
            self._places = (features[:, np.newaxis, :, np.newaxis] * (K * K) + classes).reshape(width * K, -1)
        self.follow(u)

    def follow(self, u):
        """Take the Hessian at u."""
        Z = self._A @ u
        K = u.shape[1]
        if K == 1:
            e = np.exp(-np.abs(Z))
            B = self._A * (np.sqrt(self._mass * e) / (1.0 + e))
            H = B.T @ B
        else:
            P = np.exp(Z - Z.max(axis=1, keepdims=True))
            P /= P.sum(axis=1, keepdims=True)
            k, h = self._pairs
            sums = self._products @ (self._mass * P[:, k] * P[:, h])
            H = (sums @ self._blocks).take(self._places)
        diagonal = np.einsum("ii->i", H)
        mean = diagonal.mean()
        if K > 1:  # F does not see what all classes share where nothing is penalised
            for j in self._free:
                H[j * K : (j + 1) * K, j * K : (j + 1) * K] += mean
        diagonal += self._ridge + self._problem.rounding * mean
        if not self._problem.fit_intercept:
            diagonal[-K:] = 1.0
        self._factor = _factor(H)

    def solve(self, R):
        return _solve(self._factor, R.reshape(-1, 1)).reshape(R.shape)


class Sampled:
    """The Hessian over a sample, wherever u is now, by conjugate gradients that the shared model preconditions.

    A row is drawn in proportion to its trace in the Hessian, c_i w_i |a_i|^2, but for a fifth that all rows share
    alike, and weighs as much less as it is drawn more often: rows that are certain say nothing, and few rows have
    entries in a rare column. Labels do not enter a Hessian, and its errors do not enter the solution: single precision
    will do.
    """

    def __init__(self, problem, u):
        objective = problem.objective
        self._problem, self._ridge = problem, problem.ridge
        self._width = np.ones((u.shape[0], 1))
        self._width[-1] = problem.scale[-1]
        least = objective.n_rows // _SAMPLED_PART
        chosen, share, P = _drawn(problem, u, max(_FEW_ROWS, _GRAM_ROWS * u.shape[0], least))
        A = np.empty((len(chosen), objective.n_features), np.float32)

        def fill(rows):
            A[rows] = problem.centred_rows(chosen[rows])

        Pieces(A.shape, objective.n_threads).map(fill)
        self._rows = objective.over(A, chosen, share)
        self._passes = len(A) / objective.n_rows
        self._mass = objective.row_masses()[chosen] * share
        self.is_part = len(A) < objective.n_rows
        self._share(P)
        self.move(u, 0.0)

    def follow(self, u):
        """Take the shared model at u, over the same rows."""
        self._share(
            predict(self._rows.X, (u * self._width).astype(np.float32), "proba", self._rows.n_threads)
        )

    def _share(self, P):
        """The inverse of the shared model's Cholesky factor, from half of the rows.

        Products with it and its transpose are faster than solves, and stay positive definite in single precision.
        """
        half = slice(None, None, 2 if self.is_part else 1)
        A, P, mass = self._rows.X[half], P[half], self._mass[half] / self._mass[half].sum()
        weight = np.sqrt(_shared_weight(self._problem.objective, mass, P))
        last = self._width[-1, 0] if self._problem.fit_intercept else 0.0
        step = max(1024, -(-len(A) // 8))

        def product(i):
            rows = slice(i * step, (i + 1) * step)
            B = np.empty((len(weight[rows]), A.shape[1] + 1), np.float32)
            np.multiply(A[rows], weight[rows, np.newaxis], out=B[:, :-1], casting="same_kind")
            B[:, -1] = weight[rows] * last
            return B.T @ B

        pieces = parallel.run(product, -(-len(A) // step), self._problem.objective.n_threads)
        C = np.sum(pieces, axis=0, dtype=np.float64)
        C[np.diag_indices_from(C)] += self._ridge[:, 0] + _JITTER_SINGLE * np.trace(C) / len(C)
        if not self._problem.fit_intercept:
            C[-1, -1] = 1.0
        L = np.tril(_factor(C)[0])
        self._inverse = scipy.linalg.lapack.dtrtri(L, lower=1)[0].astype(np.float32)

    def move(self, u, damping):
        """Take the Hessian at u, plus `damping` times the shared model."""
        self._at, self._damping = u * self._width, damping

    @property
    def rounding(self):
        """Relative differences of `evaluate` that may be rounding."""
        return 16 * float(np.finfo(np.float32).eps)

    def _times(self, V):
        self._problem.objective.passes += self._passes
        return self._rows.hessp(self._at, V * self._width) * self._width + self._ridge * V

    def shared(self, R):
        """The shared model's inverse times R."""
        return (self._inverse.T @ (self._inverse @ R.astype(np.float32))).astype(np.float64)

    def evaluate(self, u):
        """F and its gradient, over the sample."""
        self._problem.objective.passes += self._passes
        value, grad = self._rows.value_and_grad(u * self._width)
        grad *= self._width
        slope = self._ridge * u
        return value + 0.5 * np.vdot(u, slope), grad + slope

    def solve(self, R):
        size = np.abs(R).max() or 1.0
        R = R / size  # far from the limits of single precision
        X = np.zeros_like(R)
        residual = R
        search = Z = self.shared(residual)
        damped = residual  # the shared model times search
        square = first = np.vdot(residual, Z)
        for _ in range(_CG_STEPS):
            image = self._times(search) + self._damping * damped
            curvature = np.vdot(search, image)
            if not curvature > 0:
                break
            X += (square / curvature) * search
            residual = residual - (square / curvature) * image
            Z = self.shared(residual)
            square, before = np.vdot(residual, Z), square
            if square <= _CG_REDUCTION**2 * first:
                break
            search = Z + (square / before) * search
            damped = residual + (square / before) * damped
        return (X if X.any() else Z) * size


def full(problem, u):
    """The Hessian over a sample; for two classes that is the shared model."""
    return Gram(problem, u) if problem.objective.K == 1 else Full(problem, u)


BUILDERS = {
    "diag": Diagonal,
    "gram": Gram,
    "nystrom": Nystrom,
    "full": full,
    "sampled": Sampled,
    "exact": Exact,
}


def _sample(problem, u, count):
    """Rows a_i of a sample as one array, their shares c_i of the weights, and their probabilities P (two columns if
    binary)."""
    objective = problem.objective
    width = objective.n_features + 1
    # Few rows are taken whole: then rows weighted and rows repeated are the same to the last step.
    sample = objective.sample(int(min(max(count, _FEW_ROWS), max(_SAMPLE_SIZE // width, 2 * objective.K))))
    mass = sample.row_masses()
    mass /= max(mass.sum(), np.finfo(float).tiny)
    P = predict(sample.X, problem.theta(u).astype(sample.dtype), "proba", sample.n_threads)
    return _dense_rows(problem, sample), mass, np.asarray(P, np.float64)


def _dense_rows(problem, objective):
    """All rows a_i of an objective over the columns that the problem describes."""
    A = np.empty((objective.n_rows, objective.n_features + 1))
    A[:, :-1] = objective.X if isinstance(objective.X, np.ndarray) else objective.X.toarray()
    A[:, :-1] -= problem.mean
    A[:, :-1] *= problem.scale[:-1, 0]
    A[:, -1] = problem.scale[-1, 0] if problem.fit_intercept else 0.0
    return A


def _drawn(problem, u, count):
    """Rows of a sample in order, what 1 / (chance of being drawn) makes of their weight, and their probabilities.

    All rows, if there are no more than `count`.
    """
    objective = problem.objective
    n, K = objective.n_rows, objective.n_classes
    if u.any():
        P = predict(objective.X, problem.theta(u).astype(objective.dtype), "proba", objective.n_threads)
    else:
        P = np.broadcast_to(1.0 / K, (n, K))
    if n <= count:
        return np.arange(n), np.ones(n), P
    mass = objective.row_masses()
    mass /= mass.sum()
    curvature = np.empty(n)

    def part(rows):
        squares = np.einsum("ik,ik->i", P[rows], P[rows], dtype=np.float64)
        curvature[rows] = mass[rows] * np.maximum(1.0 - squares, 0.0)

    Pieces(P.shape, objective.n_threads).map(part)
    trace = curvature * problem.row_squares()
    chance = 0.8 * _shares(trace) + 0.1 * _shares(curvature) + 0.1 * mass
    before = np.cumsum(chance)
    strata = (np.arange(count) + np.random.default_rng(0).random(count)) / count  # a draw in each
    draws = np.minimum(strata * before[-1], np.nextafter(before[-1], 0.0))
    times = np.bincount(np.searchsorted(before, draws, side="right"), minlength=n)
    chosen = np.flatnonzero(times)
    return chosen, times[chosen] / (count * chance[chosen]), P[chosen]


def _shares(x):
    return x / max(x.sum(), np.finfo(float).tiny)


def _shared_weight(objective, mass, P):
    """Weights of rows in the shared model of the classes' curvature."""
    weight = mass * (1.0 - np.einsum("ik,ik->i", P, P))
    weight = np.maximum(weight, _LEAST_CURVATURE * weight.mean() * (mass > 0))
    return weight / 2.0 if objective.K == 1 else weight / (objective.K - 1)


def _shared_factor(problem, A, weight):
    """Cholesky factor of sum_i weight_i a_i a_i' + penalty."""
    A *= np.sqrt(weight)[:, np.newaxis]
    C = A.T @ A
    A /= np.maximum(np.sqrt(weight), np.finfo(float).tiny)[:, np.newaxis]
    C[np.diag_indices_from(C)] += problem.ridge[:, 0] + _JITTER * np.trace(C) / len(C)
    if not problem.fit_intercept:
        C[-1, -1] = 1.0
    return _factor(C)


def _factor(H):
    """Cholesky factor of H (lower, as cho_solve wants it), or of H plus as little of the identity as makes it positive
    definite in rounding."""
    jitter = 0.0
    while True:
        factor, failed = scipy.linalg.lapack.dpotrf(H, lower=1, clean=0)
        if not failed:
            return factor, True
        more = max(_JITTER, 9 * jitter)
        H[np.diag_indices_from(H)] += more * max(float(np.trace(H)) / len(H), np.finfo(float).tiny)
        jitter += more


def _curvature(problem, u):
    """c_i w_i of all rows, and sum_i c_i p_i (1 - p_i), a number for each class (two classes: their one)."""
    objective = problem.objective
    mass = objective.row_masses()
    mass *= (objective.total_weight > 0) / max(objective.total_weight, 1e-300)
    P = predict(objective.X, problem.theta(u).astype(objective.dtype), "proba", objective.n_threads)
    weight = np.empty(objective.n_rows)

    def part(rows):
        V = P[rows].astype(np.float64)
        V *= 1.0 - V
        weight[rows] = mass[rows] * V.sum(axis=1)
        return mass[rows] @ V

    beta = sum(Pieces(P.shape, objective.n_threads).map(part))
    weight = np.maximum(weight, _LEAST_CURVATURE * weight.mean() * (mass > 0))
    return weight, np.maximum(beta if objective.K > 1 else beta[1:], _LEAST_CURVATURE * beta.max())


def _solve(factor, R):
    return np.ascontiguousarray(scipy.linalg.lapack.dpotrs(factor[0], R, lower=factor[1])[0])
