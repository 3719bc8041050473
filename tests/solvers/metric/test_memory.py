"""The compact form of L-BFGS: the inverse Hessian that BFGS updates give, one pair after the other."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastxent.data.ranges import Ranges
from fastxent.solvers.metric import memory as module
from fastxent.solvers.metric.memory import Pairs

SHAPE = (6, 3)


def updated(H, step, change):
    """The BFGS update of an inverse Hessian."""
    rho = 1.0 / (step @ change)
    V = np.eye(len(H)) - rho * np.outer(change, step)
    return V.T @ H @ V + rho * np.outer(step, step)


def run(rng, count, n_threads=1):
    """Pairs of a quadratic, the gradient at the end, and the pairs themselves, oldest first."""
    size = np.prod(SHAPE)
    root = rng.normal(size=(size, size))
    A = root @ root.T + np.eye(size)
    pairs, kept = Pairs(SHAPE, Ranges.in_cache(SHAPE, n_threads)), []
    grad = rng.normal(size=SHAPE)
    for _ in range(count):
        pairs.direction(
            np.copy, grad
        )  # as in a solver: products with the pairs are known from the last direction
        D, t = rng.normal(size=SHAPE), rng.random() + 0.5
        after = grad + (t * A @ D.ravel()).reshape(SHAPE)
        curvature = t * np.vdot(after - grad, D)
        pairs.append(t, D, grad, after, curvature)
        kept.append((t * D.ravel(), (after - grad).ravel()))
        grad = after
    return pairs, grad, kept


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("count", [0, 1, 3, 10, 17])
def test_direction_is_that_of_bfgs_updates(count, wide, monkeypatch):
    if wide:
        monkeypatch.setattr(module, "_WIDE", 1)
    monkeypatch.setattr("fastxent.data.ranges._IN_CACHE", 4)
    rng = np.random.default_rng(0)
    diagonal = rng.random(SHAPE) + 0.5
    pairs, grad, kept = run(rng, count)
    memory = module._MEMORY_WIDE if wide else module._MEMORY
    H = np.diag(diagonal.ravel())
    for step, change in kept[-memory:]:
        H = updated(H, step, change)
    expected = -(H @ grad.ravel()).reshape(SHAPE)
    direction = pairs.direction(lambda R: diagonal * R, grad)
    assert len(pairs) == min(count, memory)
    assert_allclose(direction, expected, rtol=2e-3 if wide else 1e-8, atol=1e-4 if wide else 1e-10)


def test_the_newest_step_is_what_the_newest_change_comes_from():
    pairs, grad, kept = run(np.random.default_rng(1), 4)
    pairs.direction(np.copy, grad)
    step, change = kept[-1]
    assert_allclose(pairs.direction(np.copy, change.reshape(SHAPE)).ravel(), -step, rtol=1e-8)
    newest, curvature = pairs.newest
    assert_allclose(newest.ravel(), change)
    assert_allclose(curvature, step @ change)


def test_a_pair_without_curvature_is_not_kept():
    pairs, grad, _ = run(np.random.default_rng(2), 12)
    before = len(pairs)
    pairs.append(1.0, np.ones(SHAPE), grad, grad - 1.0, -float(np.prod(SHAPE)))
    assert len(pairs) == before - 1  # its place was the oldest pair's
    pairs.clear()
    assert len(pairs) == 0
    assert_allclose(pairs.direction(np.copy, grad), -grad)


def test_same_bits_for_any_number_of_threads(monkeypatch):
    monkeypatch.setattr("fastxent.data.ranges._IN_CACHE", 3)
    directions = []
    for n_threads in (1, 2, 5):
        pairs, grad, _ = run(np.random.default_rng(3), 5, n_threads)
        directions.append(pairs.direction(np.copy, grad))
    assert np.array_equal(directions[1], directions[0]) and np.array_equal(directions[2], directions[0])
