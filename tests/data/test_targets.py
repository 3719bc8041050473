"""Where weights of rows and of classes meet: what kernels are given, and what it amounts to."""

from fractions import Fraction

import numpy as np
import pytest

from fastxent.data.targets import Targets
from problems import soft_target

N, K = 7, 3
SIZES = [5e-324, 1e-310, 1e-300, 1e-46, 1.0, 1e39, 1e300, 1e307]
MIXED = np.array([1e300, 1e-300, 0.0, 1.0, 5e-324, 1e-46, 1e307])
CLASSES = [None, np.array([1.0, 2.5, 0.5]), np.array([1e-200, 0.0, 2e-200]), np.array([1e300, 1e-300, 1.0])]


def cases(seed=0):
    """Labels and soft labels, smoothed or not, under weights of rows and of classes of all sizes."""
    rng = np.random.default_rng(seed)
    some = rng.integers(1, 4, N).astype(float)
    for sample_weight in [None, *(some * size / 4 for size in SIZES), MIXED]:
        for class_weight in CLASSES:
            for smoothing in (0.0, 0.25):
                for target in (rng.integers(K, size=N, dtype=np.intp), soft_target(rng, N, K, np.float64)):
                    yield target, sample_weight, class_weight, smoothing


def exact(target, sample_weight, class_weight, smoothing):
    """s_i w_k t_ik as fractions, and S."""
    N = len(target)
    s = [Fraction(1)] * N if sample_weight is None else [Fraction(float(a)) for a in sample_weight]
    w = [Fraction(1)] * K if class_weight is None else [Fraction(float(a)) for a in class_weight]
    T = np.eye(K)[target] if target.ndim == 1 else target
    own, even = Fraction(1 - smoothing), Fraction(smoothing) / K
    shares = [[s[i] * w[k] * (own * Fraction(float(T[i, k])) + even) for k in range(K)] for i in range(N)]
    return shares, sum(s[i] * (w[target[i]] if target.ndim == 1 else 1) for i in range(N))


def given_to_kernels(targets):
    """The same of what kernels are given, in units of 2**exponent."""
    target, n_classes, row_weight, class_weight, smoothing = targets.arguments
    assert n_classes == K
    return exact(target, row_weight, class_weight, smoothing)[0]


def assert_rows(got, wanted, exponents, what):
    for mine, true, exponent in zip(got, wanted, np.broadcast_to(exponents, N).tolist(), strict=True):
        unit = Fraction(2) ** exponent
        assert (sum(mine) > 0) == (sum(true) > 0), what
        for share, wanted_share in zip(mine, true, strict=True):
            # Rounding, and what is lost beside the largest weight of a row or of them all.
            bound = wanted_share / unit * Fraction(2) ** -48 + Fraction(1e-290)
            assert abs(share - wanted_share / unit) <= bound, what


def test_weights_are_the_same_but_for_a_power_of_two():
    for what in cases():
        shares, S = exact(*what)
        target, s, w, smoothing = what
        targets = Targets(target, K, s, w, smoothing)
        assert_rows(given_to_kernels(targets), shares, targets.exponent, what)
        for weights in (targets.row_weight, targets.class_weight):
            assert weights is None or not weights.any() or 1.0 <= weights.max() < 2.0
        unit = Fraction(2) ** targets.exponent
        scale = targets.scale("mean")
        if scale == np.inf:
            assert unit / S > Fraction(1.7e308), what
        elif S:
            assert abs(Fraction(scale) - unit / S) < unit / S * Fraction(1e-14) + Fraction(5e-324), what
        else:
            assert scale == 0.0
        masses = targets.masses
        for mass, row in zip(masses, given_to_kernels(targets), strict=True):
            assert abs(Fraction(float(mass)) - sum(row)) <= sum(row) * Fraction(1e-14) + Fraction(1e-290)
        for distribution, row, mass in zip(targets.distributions(slice(None)), shares, masses, strict=True):
            if mass > 1e-280:
                wanted = [float(share / sum(row)) for share in row]
                np.testing.assert_allclose(distribution, wanted, rtol=1e-12, atol=1e-290)


def test_by_row_each_weight_has_a_scale_of_its_own():
    for what in cases(1):
        target, s, w, smoothing = what
        targets = Targets(target, K, s, w, smoothing, by_row=True)
        shares, _ = exact(*what)
        for mine, true, e in zip(given_to_kernels(targets), shares, targets.exponent.tolist(), strict=True):
            assert any(mine) == any(true)
            unit = Fraction(2) ** e if any(true) else 1
            for share, wanted in zip(mine, true, strict=True):
                assert abs(share - wanted / unit) <= sum(true) / unit * Fraction(2) ** -48, what


def test_folded_class_weights_are_part_of_rows_and_soft_labels():
    for what in cases(2):
        target, s, w, smoothing = what
        shares, _ = exact(*what)
        targets = Targets(target, K, s, w, smoothing, folded=True)
        assert targets.class_weight is None or target.ndim == 1
        assert_rows(given_to_kernels(targets), shares, targets.exponent, what)
        S = sum(sum(row) for row in shares) / Fraction(2) ** targets.exponent
        if w is not None and not (target.ndim == 1 and smoothing == 0):
            assert targets.smoothing == 0.0
            assert targets.total == pytest.approx(float(S), rel=1e-13)


def test_soft_labels_keep_their_dtype():
    soft = soft_target(np.random.default_rng(3), N, K, np.float32)
    targets = Targets(soft, K, None, np.array([1.0, 2.0, 3.0]), folded=True)
    assert targets.target.dtype == np.float32
    assert targets.astype(np.float64).target.dtype == np.float64
    assert targets.astype(np.float32) is targets


@pytest.mark.parametrize(
    ("weight", "fit"), [(None, True), ([1.0, 1e-25], True), ([0.0, 1e-300], True), ([1.0, 1e-30], False)]
)
def test_whether_single_precision_holds_the_weights(weight, fit):
    y, ones = np.zeros(2, np.intp), np.eye(2)
    assert Targets(y, 2, None if weight is None else np.array(weight)).fit_single == fit
    assert Targets(ones, 2, None, None if weight is None else np.array(weight)).fit_single == fit


def test_some_rows():
    rng = np.random.default_rng(4)
    y, s, w = rng.integers(K, size=N, dtype=np.intp), np.array([1.0, 1e300, 2, 3, 4, 5, 6]), np.ones(K)
    rows = np.array([0, 2, 5])
    some = Targets(y, K, s, w).take(rows, np.array([2.0, 2.0, 4.0]))
    np.testing.assert_array_equal(some.target, y[rows])
    np.testing.assert_allclose(some.row_weight / some.row_weight[0], [1.0, 2.0, 10.0], rtol=1e-14)
    np.testing.assert_array_equal(Targets(y, K).take(rows).target, y[rows])
    assert Targets(y, K).take(rows).total == 3.0
    for target in (y, soft_target(rng, N, K, np.float64)):
        for smoothing in (0.0, 0.25):
            what = target, s, np.array([0.1, 40.0, 3.0]), smoothing
            all_rows, _ = exact(*what)
            of_rows = s[rows] if target.ndim == 2 else s[rows] * what[2][y[rows]]
            some = Targets(target, K, *what[1:]).take(rows)
            mean = [float(sum(row)) * some.scale("mean") for row in given_to_kernels(some)]
            wanted = [float(sum(all_rows[i])) / of_rows.sum() for i in rows]
            np.testing.assert_allclose(mean, wanted, rtol=1e-13)


def test_nothing_weighs_anything():
    y = np.zeros(3, np.intp)
    for targets in (Targets(y, 2, np.zeros(3)), Targets(y, 2, None, np.array([0.0, 1.0]))):
        assert targets.total == targets.scale("mean") == 0.0
        assert not targets.masses.any()
