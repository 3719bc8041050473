"""Moments of columns against exact arithmetic, in every layout and on every level; and what counts as spread."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from fastxent import kernels
from fastxent.data import moments
from fastxent.data.moments import Moments, column_moments, farthest, spread_of_rounding
from fastxent.data.rows import bind
from fastxent.data.targets import Targets
from fastxent.objective import Objective

EPS = float(np.finfo(float).eps)
CONSTANTS = [0.3, 0.1, 0.01, 0.7, 1e6, -1e10, 1e-6]


def csr(X, index):
    A = sp.csr_array(X)
    A.indices, A.indptr = A.indices.astype(index), A.indptr.astype(index)
    return A


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "csr32": lambda X: csr(X, np.int32),
    "csr64": lambda X: csr(X, np.int64),
}


def exact(column, masses):
    """Mean and variance of a column, as fractions."""
    x, w = ([Fraction(float(v)) for v in values] for values in (column, masses))
    total = sum(w)
    mean = sum(a * b for a, b in zip(w, x, strict=True)) / total
    return mean, sum(a * (b - mean) ** 2 for a, b in zip(w, x, strict=True)) / total


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_within_a_few_roundings_of_the_exact_moments(layout, dtype, weighted):
    rng = np.random.default_rng(0)
    n = 1500
    X = np.column_stack(
        [
            rng.normal(size=n) * (rng.random(n) < 0.3),
            1.7e9 + 3600 * rng.normal(size=n),
            1e6 + rng.normal(size=n),
            rng.standard_t(2, size=n) * 1e-8,
            1.0 + 1e-9 * rng.integers(0, 2, n),
            np.r_[1e12, np.zeros(n - 1)],
        ]
    ).astype(dtype)
    masses = rng.integers(0, 4, n).astype(float) if weighted else np.ones(n)
    masses[0] = 1.0
    found = column_moments(LAYOUTS[layout](X), masses)
    for j, column in enumerate(X.T):
        mean, variance = exact(column, masses)
        deviation = float(variance) ** 0.5
        assert abs(Fraction(float(found.mean[j])) - mean) <= Fraction(
            100 * EPS * deviation + EPS * abs(float(mean))
        )
        assert abs(found.deviation[j] - deviation) <= 100 * EPS * deviation, j


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [200, 5000, 100_000])
def test_a_constant_column_has_no_deviation_at_all(n, dtype, layout):
    """Whatever the constant and the masses, exact in binary or not."""
    X = np.tile(np.array(CONSTANTS, dtype), (n, 1))
    for masses in (np.ones(n), np.random.default_rng(0).random(n)):
        found = column_moments(LAYOUTS[layout](X), masses)
        assert_array_equal(found.deviation, 0.0)
        assert_array_equal(found.mean, X[0].astype(float))


@pytest.mark.parametrize("level", kernels.available())
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_level(level, layout):
    rng = np.random.default_rng(0)
    X = LAYOUTS[layout](1e3 + rng.normal(size=(2100, 11)))
    masses = rng.integers(0, 3, size=2100).astype(float)
    masses[:1100] = 0.0
    whole = X.toarray() if sp.issparse(X) else X
    mean = np.average(whole, axis=0, weights=masses)
    module = kernels.load(level)
    rows = (X.data, X.indices, X.indptr, *X.shape) if sp.issparse(X) else X
    view, shift, out = module.LinearSoftmax(rows, 1), np.full(11, 1e3), np.zeros((7, 11))
    assert module.moments_of_columns(view, 0, 2100, masses, shift, out) == masses.sum()
    assert_allclose(out[0] + shift, mean, rtol=1e-14)  # NumPy sums plainly
    assert_allclose(out[1], masses @ np.square(whole - mean), rtol=1e-12)


def test_the_same_bits_on_any_number_of_threads_and_nearly_the_same_in_other_ranges(monkeypatch):
    X = np.random.default_rng(0).normal(size=(400, 5)) * (np.arange(400)[:, None] % 3 > 0)
    whole = column_moments(X)
    monkeypatch.setattr(moments, "_ENTRIES", 70)
    for layout in LAYOUTS.values():
        results = [column_moments(layout(X), n_threads=n_threads) for n_threads in (1, 2, 5)]
        for result in results:
            assert_allclose(
                [result.mean, result.deviation], [whole.mean, whole.deviation], rtol=1e-13, atol=1e-17
            )
            assert_array_equal(result.mean, results[0].mean)
            assert_array_equal(result.deviation, results[0].deviation)


def test_rows_without_a_mass_do_not_matter_and_none_at_all_gives_zeros():
    X = np.array([[1.0, 0.1], [3.0, 0.1], [np.float64(1e300), 7.0]])
    found = column_moments(X, np.array([1.0, 1.0, 0.0]))
    assert found.mean.tolist() == [2.0, 0.1] and found.deviation.tolist() == [1.0, 0.0]
    nothing = column_moments(X, np.zeros(3))
    assert not nothing.mean.any() and not nothing.deviation.any()


def test_moments_of_two_sets_of_rows_add_up():
    rng = np.random.default_rng(1)
    X = 1e5 + rng.normal(size=(90, 4))
    one, other, whole = column_moments(X[:20]), column_moments(X[20:]), column_moments(X)
    assert isinstance(one + other, Moments)
    assert_allclose((one + other).mean, whole.mean, rtol=1e-15)
    assert_allclose((one + other).deviation, whole.deviation, rtol=1e-9)
    assert_allclose(whole.scaled(3.0).deviation, whole.deviation, rtol=1e-15)


def test_arguments_are_measured():
    view = bind(np.zeros((4, 2)), 1)
    good = {"masses": np.ones(4), "shift": np.zeros(2), "out": np.zeros((7, 2))}
    for first, stop, wrong in (
        (0, 5, {}),
        (3, 2, {}),
        (0, 4, {"masses": np.ones(3)}),
        (0, 4, {"shift": np.zeros(1)}),
        (0, 4, {"out": np.zeros((5, 2))}),
    ):
        with pytest.raises((ValueError, IndexError)):
            kernels.moments_of_columns(view, first, stop, *(good | wrong).values())


def columns_without_spread(X, weight=None):
    y = np.arange(X.shape[0]) % 2
    return Objective.over(X, Targets(y, 2, weight), 1).columns_without_spread().tolist()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_spread_is_told_from_rounding(layout):
    rng = np.random.default_rng(0)
    n = 3000
    computed = np.full(n, 0.1) + rng.integers(-3, 4, n) * 0.1 * EPS  # what should be one number
    outlier = np.r_[2.0, np.ones(n - 1)]
    X = np.column_stack(
        [np.full(n, 0.3), computed, 1.7e9 + 3600 * rng.normal(size=n), 1 + 1e-9 * rng.normal(size=n), outlier]
    )
    assert columns_without_spread(LAYOUTS[layout](X)) == [True, True, False, False, False]


def test_few_entries_far_from_many_equal_ones_are_a_spread():
    X = np.ones((1_000_000, 1))
    X[7] += 1e-11  # the deviation is 1e-14, which alone could be rounding
    assert columns_without_spread(X) == [False]
    assert columns_without_spread(X, np.r_[np.ones(7), 0.0, np.ones(999_992)]) == [True]


def test_single_precision_is_rounded_to():
    assert (
        spread_of_rounding(np.ones(1), np.float32) > 3e-7 > 1e-12 > spread_of_rounding(np.ones(1), np.float64)
    )


def test_farthest_entries():
    X = np.arange(40.0).reshape(4, 10)
    expected = np.abs(X[:3] - 5.0).max(axis=0)
    for layout in LAYOUTS.values():
        assert_array_equal(farthest(layout(X), np.array([1.0, 2.0, 1.0, 0.0]), np.full(10, 5.0)), expected)
