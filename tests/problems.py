"""Linear problems in every storage, and how far rounding may carry their results; shared by tests.

The bounds are those of the textbook (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., chapters 2
to 4), to first order in u, for sums in any order. With gamma(m) = m u / (1 - m u), rho the spread of a row's logits,
s its weight, t its effective targets, T their sum, p its softmax:

    logits     D = gamma(d + 3) (|X| |W| + |b|)          d + 1 products and their sum, W rounded to the dtype of X
    softmax    P = expm1(2 max_k D_k) + r u, relative    r = rho + 8 + ceil(log2 K), the promise of the design
    loss       s (2 T max_k D_k + r u loss)              soft targets: r + K + 6, they are rounded and summed plainly
    gradient   |X|^T E + gamma(n + 36) |X|^T |Q|         E = s (T p P + 4 u (T p + t)), 36: the parts are summed, too
    Hessian    the same, E = s T p (2 P R + 4 A + (K + 8) u R)     R, A: spread and D of the direction's logits

The reference is float64 as well, so its own error counts, too: u is that of the dtype plus 2^-53.
"""

import math

import numpy as np
import scipy.sparse as sp

from fastxent import reference, validation
from oracle import unit_roundoff

DTYPES = [np.float32, np.float64]


def csr(X, index_dtype):
    """Return X as CSR whose rows are not sorted and hold explicit zeros."""
    rng = np.random.default_rng(X.shape[1])
    stored = (X != 0) | (rng.random(X.shape) < 0.02)
    columns = [rng.permutation(np.flatnonzero(row)) for row in stored]
    matrix = sp.csr_array(X.shape, dtype=X.dtype)
    matrix.indptr = np.cumsum([0, *map(len, columns)]).astype(index_dtype)
    matrix.indices = np.concatenate(columns).astype(index_dtype)
    matrix.data = np.concatenate([row[order] for row, order in zip(X, columns, strict=True)])
    return matrix


def strided(X):
    """Return what validation makes of a view into a larger array."""
    wide = np.full((2 * X.shape[0], 3 * X.shape[1]), np.nan, X.dtype)
    wide[::2, ::3] = X
    return validation.check_rows(wide[::2, ::3])


STORAGES = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": strided,
    "csr32": lambda X: csr(X, np.int32),
    "csr64": lambda X: csr(X, np.int64),
}
storages = list(STORAGES)


def theta_of(rng, d, K, dtype):
    """Return parameters (d + 1, K) whose logits spread over a few units, whatever d."""
    return (rng.normal(size=(d + 1, K)) * 2 / math.sqrt(d + 1)).astype(dtype)


def features(rng, n, d, dtype, *, sparse):
    """Return rows with zeros; of sparse ones most entries, and the whole of row 0."""
    X = rng.normal(size=(n, d)) * (rng.random((n, d)) < (0.3 if sparse else 0.9))
    if sparse and n > 1:
        X[0] = 0
    return X.astype(dtype)


def soft_target(rng, n, n_classes, dtype):
    """Return probabilities, some of them zero."""
    t = rng.random((n, n_classes)) * (rng.random((n, n_classes)) < 0.6)
    t[np.arange(n), rng.integers(n_classes, size=n)] += 0.3
    return (t / t.sum(axis=1, keepdims=True)).astype(dtype)


def assert_close(got, expected, bound, what):
    """|got - expected| <= bound, entry by entry; returns the largest share of the bound that was used."""
    assert np.shape(got) == np.shape(expected), what
    error = np.abs(np.asarray(got, np.float64) - expected)
    with np.errstate(divide="ignore"):
        # NaN stays NaN, and fails
        share = np.divide(error, bound, where=error != 0, out=np.zeros(np.shape(error)))
    worst = np.unravel_index(share.argmax(), share.shape)
    given, right = np.asarray(got)[worst], np.asarray(expected)[worst]
    assert share.max() <= 1, (
        f"{what}: {given!r} at {tuple(map(int, worst))} where {right!r} is right, {share.max():.3g} times the error "
        "that rounding explains"
    )
    return share.max()


class Expected:
    """What the reference says of a linear problem, and the bounds above.

    X: dense (n, d); theta: (d + 1, K), K = 1 binary. weighting: the reference's keyword arguments.
    """

    def __init__(self, X, theta, target=None, *, fit_intercept=True, l2=0.0, **weighting):
        _n, d = X.shape
        K = max(2, theta.shape[1])
        self.X, self.theta, self.target, self.l2, self.weighting = X, theta, target, l2, weighting
        self.fit_intercept, self.binary, self.n_classes = fit_intercept, theta.shape[1] == 1, K
        self.u = unit_roundoff(X.dtype) + 2**-53
        self.terms = d + 3
        self.logits, self.logits_error = self._logits(theta)
        self.p = reference.softmax(self.logits)
        self.log_p = reference.log_softmax(self.logits)
        self.logit_error = self.logits_error.max(axis=1, keepdims=True)
        spread = np.ptp(self.logits, axis=1, keepdims=True)
        self.promise = spread + 8 + math.ceil(math.log2(K))
        self.p_error = np.expm1(2 * self.logit_error) + self.promise * self.u

    def _gamma(self, terms):
        return terms * self.u / (1 - terms * self.u)

    def _split(self, theta):
        """coef and intercept as the functional API takes them."""
        theta = theta.astype(np.float64)
        coef, intercept = theta[:-1].T, theta[-1] if self.fit_intercept else np.zeros(theta.shape[1])
        return (coef[0], intercept[0]) if self.binary else (coef, intercept)

    def _logits(self, theta):
        coef, intercept = map(np.atleast_1d, self._split(theta))
        X = self.X.astype(np.float64)
        z = X @ np.atleast_2d(coef).T + intercept
        error = self._gamma(self.terms) * (np.abs(X) @ np.abs(np.atleast_2d(coef)).T + np.abs(intercept))
        if self.binary:
            z, error = (np.hstack([np.zeros_like(part), part]) for part in (z, error))
        return z, error

    def row_losses(self):
        """The weighted loss of each row, and its bound."""
        losses = reference.cross_entropy(
            self.logits, self.target, reduction="none", **self._without_reduction()
        )
        s, mass, _ = self._targets()
        r = self.promise[:, 0] + self.n_classes + 6
        return losses, s * 2 * mass * self.logit_error[:, 0] + r * self.u * losses

    def value(self):
        """The objective, and its bound: the losses are summed in float64."""
        losses, bound = self.row_losses()
        coef, _ = self._split(self.theta)
        value = reference.linear_cross_entropy(
            self.X, self.target, *self._split(self.theta), l2=self.l2, **self.weighting
        )
        scale = self._scale()
        penalty = 0.5 * self.l2 * np.sum(coef**2)
        return value, scale * (bound.sum() + self._gamma(len(losses) + 4) * losses.sum()) + (
            self._gamma(coef.size + 4) * penalty
        )

    def gradient(self):
        """The gradient like theta, and its bound."""
        _, *parts = reference.linear_cross_entropy_and_grad(
            self.X, self.target, *self._split(self.theta), l2=self.l2, **self.weighting
        )
        s, mass, t = self._targets()
        s, mass = s[:, None], mass[:, None]
        size = s * (mass * self.p + t)
        error = s * mass * self.p * self.p_error + (self.n_classes + 6) * self.u * size
        q = s * np.abs(mass * self.p - t)
        return self._back(parts, q, error, self.theta)

    def hessp(self, direction):
        """The Hessian times the direction, and its bound."""
        parts = reference.linear_cross_entropy_hessp(
            self.X,
            self.target,
            *self._split(self.theta),
            *self._split(direction),
            l2=self.l2,
            **self.weighting,
        )
        s, mass, _ = self._targets()
        a, a_error = self._logits(direction)
        factor = (s * mass)[:, None] * self.p
        spread, a_error = np.ptp(a, axis=1, keepdims=True), a_error.max(axis=1, keepdims=True)
        error = factor * (2 * self.p_error * spread + 4 * a_error + (self.n_classes + 8) * self.u * spread)
        q = np.abs(factor * (a - np.sum(self.p * a, axis=1, keepdims=True)))
        return self._back(parts, q, error, direction)

    def output(self, name):
        """Logits, probabilities or log-probabilities, and their bounds."""
        if name == "logits":
            z, error = self.logits, self.logits_error
            return (z[:, 1], error[:, 1]) if self.binary else (z, error)
        if name == "proba":
            return self.p, self.p * self.p_error
        return self.log_p, 2 * self.logit_error + (self.promise + 2) * self.u * np.abs(self.log_p)

    def _back(self, parts, q, error, like):
        size, bound = np.zeros((2, *like.shape))
        X, columns = np.abs(self.X.astype(np.float64)), slice(1, 2) if self.binary else slice(None)
        bound[:-1], size[:-1] = X.T @ error[:, columns], X.T @ q[:, columns]
        bound[-1], size[-1] = error[:, columns].sum(axis=0), q[:, columns].sum(axis=0)
        bound = self._scale() * (bound + self._gamma(len(q) + 36) * size)
        coef, intercept = parts
        result = np.vstack([np.atleast_2d(coef).T, np.atleast_1d(intercept)])
        if not self.fit_intercept:
            result[-1] = bound[-1] = 0
        own = unit_roundoff(like.dtype) + 2**-53
        penalty = self.l2 * np.abs(np.vstack([like[:-1], np.zeros_like(like[:1])]).astype(np.float64))
        return result, bound + 2 * own * (np.abs(result) + penalty)

    def _without_reduction(self):
        return {name: value for name, value in self.weighting.items() if name != "reduction"}

    def _targets(self):
        """Row weights, sums of the effective targets, and these."""
        n = len(self.X)
        one = {"reduction": "none", **self._without_reduction()}
        s = one.pop("sample_weight", None)
        t = np.asarray(self.target, np.float64)
        if t.ndim == 1:
            t = np.eye(self.n_classes)[self.target]
        w, smoothing = one.get("class_weight"), one.get("label_smoothing", 0.0)
        t = (1.0 if w is None else w) * ((1 - smoothing) * t + smoothing / self.n_classes)
        return np.ones(n) if s is None else s, t.sum(axis=1), t

    def _scale(self):
        if self.weighting.get("reduction", "mean") == "sum":
            return 1.0
        s, w = self._targets()[0], self.weighting.get("class_weight")
        if self.target.ndim == 1 and w is not None:
            s = s * w[self.target]
        return 1.0 / s.sum() if s.sum() > 0 else 0.0
