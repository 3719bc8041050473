"""``tol`` is kept: F - F* <= tol F*, wherever a solver says that it has converged, and what it says of F - F* is true.

F* comes from Newton's method in long double (tests/optimum.py). The problems are synthetic, of many kinds: dense and
CSR; two classes and several; raw columns and scaled ones; heavy tails, bits, counts and columns that go together; rare
classes; rows that repeat; weights; strong and weak penalties.
"""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import make_classification

from fastxent import LogisticRegression
from fastxent.solvers import policy
from objectives import objective_of
from optimum import Plain, optimum

MAX_ITER = 5000
KINDS = ("normal", "t", "cauchy", "lognormal", "counts", "bits", "together")


def columns(rng, n, d):
    kind = KINDS[rng.integers(len(KINDS))]
    if kind == "normal":
        return rng.normal(size=(n, d))
    if kind == "t":
        return rng.standard_t(rng.uniform(2, 3), size=(n, d))
    if kind == "cauchy":
        return np.clip(rng.standard_cauchy(size=(n, d)), -1e3, 1e3)
    if kind == "lognormal":
        return np.exp(rng.uniform(0.5, 2) * rng.normal(size=(n, d)))
    if kind == "counts":
        return rng.poisson(rng.uniform(0.05, 3), size=(n, d)).astype(float)
    if kind == "bits":
        return (rng.random((n, d)) < rng.uniform(0.02, 0.5)).astype(float)
    few = max(1, d // 4)
    noise = 10.0 ** rng.uniform(-3, 0) * rng.normal(size=(n, d))
    return rng.normal(size=(n, few)) @ rng.normal(size=(few, d)) + noise


def log_uniform(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def problem(seed, most_unknowns):
    """Arguments of Plain and of objective_of, and a tolerance from 1e-8 to 0.3."""
    rng = np.random.default_rng([seed, most_unknowns])
    while True:
        n, d = int(log_uniform(rng, 30, 600)), int(log_uniform(rng, 1, 60))
        n_classes = int(rng.choice([2, 2, 2, 3, 4, 6, 10]))
        if (d + 1) * (n_classes if n_classes > 2 else 1) <= most_unknowns and n >= 4 * n_classes:
            break
    X = columns(rng, n, d)
    sparse = rng.random() < 0.5
    if sparse and rng.random() < 0.5:
        X = X * (rng.random(X.shape) < log_uniform(rng, 0.05, 1))
    if rng.random() < 0.2:
        X = X[rng.integers(0, max(n_classes, n // 5), n)]
    deviation = X.std(axis=0)
    deviation[deviation == 0] = 1
    scaled = (X - X.mean(axis=0)) / deviation
    noise = log_uniform(rng, 0.4, 8)
    logits = scaled @ rng.normal(size=(d, n_classes)) / np.sqrt(d) * log_uniform(rng, 0.4, 20)
    if rng.random() < 0.4:  # rare classes
        logits += noise * np.log([log_uniform(rng, 1e-3, 1) for _ in range(n_classes)])
    y = np.argmax(logits + noise * rng.gumbel(size=logits.shape), axis=1)
    y[rng.permutation(n)[:n_classes]] = np.arange(n_classes)
    if rng.random() < 0.5:
        X = X / deviation if sparse else scaled
    else:
        X = X * np.exp(rng.uniform(np.log(1e-3), np.log(1e3), d))
    weight = [None, rng.uniform(0.1, 2, n), np.exp(2 * rng.normal(size=n))][
        rng.choice(3, p=[0.7, 0.15, 0.15])
    ]
    options = {
        "l2": 10.0 ** rng.uniform(-8, 0),
        "fit_intercept": bool(rng.random() < 0.9),
        "sample_weight": weight,
    }
    return sp.csr_array(X) if sparse else X, y, n_classes, options, 10.0 ** rng.uniform(-8, np.log10(0.3))


def assert_kept(solver, X, y, n_classes, options, tol):
    plain = Plain(X, y, n_classes, **options)
    best = optimum(plain)
    assert best.error <= 1e-2 * tol * best.value
    objective = objective_of(X, y, n_classes=n_classes, binary=n_classes == 2, **options)
    result = policy.solve(objective, objective.initial(), solver=solver, tol=tol, max_iter=MAX_ITER)
    above = float(plain.value(result.theta) - best.value)
    assert result.converged, result.reason
    assert above <= tol * best.value
    assert above <= 1.1 * result.history["gap"][-1] + 1e-13 * best.value


@pytest.mark.parametrize("seed", range(240))
def test_metric(seed):
    assert_kept("metric", *problem(seed, 150))


@pytest.mark.parametrize("seed", range(60))
def test_dual_ascent(seed):
    X, *rest = problem(seed, 100)
    assert_kept("sdca", sp.csr_array(X), *rest)


@pytest.mark.parametrize("seed", range(80))
def test_prox_newton(seed):
    X, y, n_classes, options, tol = problem(seed, 40)
    rng = np.random.default_rng(seed)
    T = np.eye(n_classes)[y]
    steepest = float(np.abs(X.T @ (T.mean(axis=0) - T)).max()) / len(y)
    options["l1"] = log_uniform(rng, 1e-3, 0.5) * steepest  # weaker ones leave F* itself without a proof
    options["l2"] = 0.0 if rng.random() < 0.6 else options["l1"] * log_uniform(rng, 0.05, 20)
    assert_kept("prox_newton", X, y, n_classes, options, tol)


@pytest.mark.parametrize("solver", ["metric", "sdca"])
@pytest.mark.parametrize("bit", range(4))
def test_two_classes_that_are_sixteen(solver, bit):
    X, y = make_classification(1000, n_features=100, n_classes=16, n_informative=10, random_state=0)
    y, tol = (y >> bit) & 1, 1e-6
    plain = Plain(X, y, 2, l2=1 / len(X))
    best = float(optimum(plain).value)
    model = LogisticRegression(solver=solver, tol=tol, max_iter=1000).fit(sp.csr_array(X), y)
    above = float(plain.value(np.vstack([model.coef_.T, model.intercept_]))) - best
    assert model.converged_
    assert above <= tol * best
    assert above <= 1.1 * model.history_["gap"][-1] + 1e-13 * best
