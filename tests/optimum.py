"""The least value of an objective, by Newton's method in long double: what a tolerance is measured against.

Rows have weights c_i that add up to one and targets t_i, distributions over the classes; with two classes there is one
column of parameters. In columns centred and scaled, A,

    F(V) = sum_i c_i (lse(A_i V) - t_i A_i V) + sum_j (ridge_j / 2) |V_j|^2 + sum_j l1_j |V_j|_1

F and its gradient are computed in long double (64 bits of mantissa on x86), Hessians in double: they only shape the
steps. With an L1 penalty, Newton's quadratic model is minimised by coordinate descent first, then Newton's method runs
among the weights that are not zero. What is returned comes with a proof: the decrement, or with L1 the duality gap.
"""

import numpy as np
import scipy.linalg
import scipy.sparse as sp

REAL = np.longdouble
_ENOUGH = 1e-15  # of F
_STEPS = 400
_FACES = 1000


class Optimum:
    """F*, parameters (d + 1, K) near it, and a bound on F there less F*."""

    def __init__(self, value, theta, error):
        self.value, self.theta, self.error = value, theta, error


class Plain:
    """An objective in long double.

    Parameters
    ----------
    X : ndarray or sparse matrix (n, d)
    y : ndarray of codes (n,), or of distributions (n, n_classes)
    n_classes : int
    l2, l1 : float
    sample_weight : ndarray (n,) or None
    fit_intercept : bool
    """

    def __init__(self, X, y, n_classes, *, l2=0.0, l1=0.0, sample_weight=None, fit_intercept=True):
        X = (X.toarray() if sp.issparse(X) else np.asarray(X)).astype(REAL)
        c = np.ones(len(X), REAL) if sample_weight is None else np.asarray(sample_weight).astype(REAL)
        some = c > 0
        self.X, self.c = X[some], (c[some] / c[some].sum())[:, np.newaxis]
        T = np.eye(n_classes)[y] if np.ndim(y) == 1 else np.asarray(y)
        T = T[some].astype(REAL)
        self.binary = n_classes == 2
        self.T = T[:, 1:] if self.binary else T
        self.l2, self.l1, self.fit_intercept = REAL(l2), REAL(l1), fit_intercept

    @property
    def K(self):
        return self.T.shape[1]

    def value(self, theta):
        """F of parameters (d + 1, K) in the columns as they are."""
        theta = np.asarray(theta).astype(REAL)
        W = theta[:-1]
        loss, _, _ = self.losses(self.X @ W + theta[-1])
        return loss + self.l2 / 2 * (W * W).sum() + self.l1 * np.abs(W).sum()

    def losses(self, Z):
        """The mean loss of logits, their softmax, and c (p - t)."""
        if self.binary:
            e = np.exp(-np.abs(Z))
            P = np.where(Z > 0, 1 / (1 + e), e / (1 + e))
            rest = np.log1p(e) + np.where(Z > 0, (1 - self.T) * Z, -self.T * Z)
            return (self.c * rest).sum(), P, self.c * (P - self.T)
        m = Z.max(axis=1, keepdims=True)
        E = np.exp(Z - m)
        total = E.sum(axis=1, keepdims=True)
        row_losses = (np.log(total) - ((Z - m) * self.T).sum(axis=1, keepdims=True)) * self.c
        P = E / total
        return row_losses.sum(), P, self.c * (P - self.T)


class _Scaled:
    """A Plain objective in columns centred and scaled."""

    def __init__(self, plain):
        self.plain = plain
        n, d = plain.X.shape
        self.mean = (plain.c * plain.X).sum(axis=0) if plain.fit_intercept else np.zeros(d, REAL)
        centred = plain.X - self.mean
        scale = np.sqrt((plain.c * centred * centred).sum(axis=0))
        flat = ~(scale > 1e-17 * np.abs(plain.X).max(axis=0, initial=0.0))
        scale[flat] = 1
        centred[:, flat] = 0
        self.scale = np.append(scale, 1)[:, np.newaxis]
        self.A = np.column_stack([centred / scale, np.full(n, 1.0 if plain.fit_intercept else 0.0)])
        self.A64 = self.A.astype(float)
        self.ridge = np.append(plain.l2 / scale**2, 0)[:, np.newaxis]
        self.l1 = np.append(plain.l1 / scale, 0)[:, np.newaxis]
        self.shape = d + 1, plain.K

    def smooth(self, V):
        """The smooth part of F, its gradient, and the probabilities."""
        loss, P, Q = self.plain.losses(self.A @ V)
        G = self.A.T @ Q + self.ridge * V
        return loss + (self.ridge * V * V).sum() / 2, G, P

    def penalty(self, V):
        return (self.l1 * np.abs(V)).sum()

    def hessian(self, P):
        """In double, with curvature along what F does not see."""
        A, c, P = self.A64, self.plain.c.astype(float), P.astype(float)
        width, K = self.shape
        H = np.empty((width, K, width, K))
        for k in range(K):
            for h in range(k, K):
                w = P[:, k] * ((k == h) - P[:, h])
                H[:, k, :, h] = H[:, h, :, k] = (A * (c[:, 0] * w)[:, np.newaxis]).T @ A
        H = H.reshape(width * K, width * K)
        size = float(np.trace(H)) / len(H) + 1e-300
        diagonal = np.repeat(self.ridge[:, 0].astype(float), K)
        H[np.diag_indices_from(H)] += diagonal
        dead = ~(self.A64 != 0).any(axis=0)
        for j in range(width):
            block = slice(j * K, (j + 1) * K)
            if K > 1 and self.ridge[j, 0] == 0 and self.l1[j, 0] == 0:  # all classes together
                H[block, block] += size / K
            if dead[j]:
                H[block, block] += size * np.eye(K)
        return H, size

    def theta(self, V):
        theta = V / self.scale
        theta[-1] -= self.mean @ theta[:-1]
        return theta


def optimum(plain):
    """Return the Optimum of a Plain objective; its error says whether it is one."""
    problem = _Scaled(plain)
    V = np.zeros(problem.shape, REAL)
    return _with_corners(problem, V) if plain.l1 > 0 else _newton(problem, V)


def _definite(H, size):
    """H, plus as little of the identity as makes it positive definite in rounding, and its factor."""
    shift = 1e-14 * size
    while True:
        shifted = H + shift * np.eye(len(H))
        try:
            return shifted, scipy.linalg.cho_factor(shifted, lower=True)
        except scipy.linalg.LinAlgError:
            shift = 10 * shift


def _newton(problem, V):
    value, G, P = problem.smooth(V)
    for _ in range(_STEPS):
        H, size = problem.hessian(P)
        D = -scipy.linalg.cho_solve(_definite(H, size)[1], G.astype(float).ravel()).reshape(V.shape)
        slope = float((G * D).sum())
        if not -slope > _ENOUGH * float(value):
            break
        t = REAL(1)
        while t > 1e-12:
            new_value, new_G, new_P = problem.smooth(V + t * D)
            if new_value <= value + 1e-4 * t * slope:
                break
            t /= 2
        else:
            break
        V, value, G, P = V + t * D, new_value, new_G, new_P
    # twice the decrement: half of it is what the quadratic model says
    return Optimum(value, problem.theta(V), max(-slope, 0.0))


def _with_corners(problem, V):
    l1 = np.broadcast_to(problem.l1, V.shape).astype(float).ravel()
    value, G, P = problem.smooth(V)
    value += problem.penalty(V)
    before = np.inf
    for _ in range(_STEPS):
        H, size = problem.hessian(P)
        g, v = G.astype(float).ravel(), V.astype(float).ravel()
        D = (_model_minimum(_definite(H, size)[0], g, v, l1) - v).reshape(V.shape)
        D = _snapped(V, D)
        more = problem.penalty(V + D) - problem.penalty(V)
        slope = float((G * D).sum() + more)
        if not -slope > 0 or (
            -slope <= _ENOUGH * value and -slope > before / 4
        ):  # the duality gap falls with its root
            break
        before = -slope
        t = REAL(1)
        while t > 1e-12:
            new = V + D if t == 1 else V + t * D
            new_value, new_G, new_P = problem.smooth(new)
            new_value += problem.penalty(new)
            if new_value <= value + 1e-4 * t * slope:
                break
            t /= 2
        else:
            break
        V, value, G, P = new, new_value, new_G, new_P
    return Optimum(value, problem.theta(V), max(float(value - _dual(problem, V)), 0.0))


def _snapped(V, D):
    """D such that V + D is exactly zero where it is about so."""
    return np.where(np.abs(V + D) <= 1e-17 * np.abs(V), -V, D.astype(REAL))


def _model_minimum(H, g, v, l1):
    """Of g (x - v) + (x - v) H (x - v) / 2 + l1 |x|, by its faces: feature-sign search.

    H. Lee, A. Battle, R. Raina, A. Ng, "Efficient sparse coding algorithms", NIPS 2006.
    """
    x = v.copy()

    def value(x):
        return g @ (x - v) + (x - v) @ H @ (x - v) / 2 + l1 @ np.abs(x)

    sign = np.sign(x)
    for _ in range(_FACES):
        face = (l1 == 0) | (sign != 0)
        target = np.zeros_like(x)
        slopes = (g - H @ v + l1 * sign)[face]
        target[face] = -scipy.linalg.cho_solve(
            scipy.linalg.cho_factor(H[np.ix_(face, face)], lower=True), slopes
        )
        crossing = np.flatnonzero((target * sign < 0) & (l1 > 0))
        if len(crossing):  # go to the best of the points where a weight becomes zero on the way, and its end
            ways = x[crossing] / (x - target)[crossing]
            points = x + np.append(ways, 1.0)[:, np.newaxis] * (target - x)
            points[np.arange(len(crossing)), crossing] = 0.0
            best = min(points, key=value)
            if not value(best) < value(x):  # in rounding
                if not x[crossing].any():  # it is the newest that crosses
                    return x
                best = points[np.argmin(np.where(x[crossing] != 0, ways, np.inf))]
            x, sign = best, np.sign(best)
            continue
        x = target
        slopes = g + H @ (x - v)
        excess = np.where((sign == 0) & (l1 > 0), np.abs(slopes) - (1 + 1e-12) * l1, -np.inf)
        j = int(np.argmax(excess))
        if not excess[j] > 0:
            return x
        sign[j] = -np.sign(slopes[j])
    return x


def _dual(problem, V):
    """A number below F*: the dual at the probabilities of V, scaled until no slope is above its L1 penalty."""
    plain, A, l1 = problem.plain, problem.A, problem.l1[:-1]
    _, P, _ = plain.losses(A @ V)
    if plain.fit_intercept:  # sum c (p - t) = 0: mix in a distribution
        P = _balanced(P, plain)
    slopes = np.abs(A[:, :-1].T @ (plain.c * (P - plain.T)))
    if plain.l2 == 0:
        share = (l1 / np.maximum(slopes, l1)).min(initial=1)
        P = plain.T + share * (P - plain.T)
        conjugate = REAL(0)
    else:
        conjugate = (np.maximum(slopes - l1, 0) ** 2 / (2 * problem.ridge[:-1])).sum()
    parts = [P, 1 - P] if plain.binary else [P]
    entropy = sum(-(plain.c * np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0)).sum() for p in parts)
    return entropy - conjugate


def _balanced(P, plain):
    have, want = (plain.c * P).sum(axis=0), (plain.c * plain.T).sum(axis=0)
    if plain.binary:
        have, want = np.append(1 - have, have), np.append(1 - want, want)
        P = np.column_stack([1 - P, P])
    share = max(REAL(0), 1 - (want / np.where(have > 0, have, 1))[have > 0].min())
    if share > 0:
        missing = np.maximum(want - (1 - share) * have, 0)
        P = (1 - share) * P + share * missing / missing.sum()
    return P[:, 1:] if plain.binary else P
