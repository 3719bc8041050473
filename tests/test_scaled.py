"""Numbers with exponents of their own, against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fastxent.scaled import Scaled, floats_of, is_moderate, smallest

LEAST = 5e-324
SIZES = [0.0, LEAST, 1e-310, 1e-300, 1e-46, 0.1, 1.0, 3.0, 1e39, 1e300, 1.7e308]
weights = arrays(
    np.float64, st.integers(1, 6), elements=st.one_of(st.sampled_from(SIZES), st.floats(0.0, 1.7e308))
)
quick = settings(max_examples=150, deadline=None)


def exact(values):
    return [Fraction(float(value)) for value in values]


def assert_floats(floats, exponent, wanted):
    """floats * 2**exponent are the wanted fractions to rounding, the largest float in [1, 2)."""
    if not any(wanted):
        assert not floats.any()
        return
    assert 1.0 <= floats.max() < 2.0
    for got, true in zip(exact(floats), (value / Fraction(2) ** exponent for value in wanted), strict=True):
        assert (got > 0) == (true > 0)
        assert abs(got - true) <= true * Fraction(2) ** -50 + Fraction(LEAST)


@quick
@given(values=weights)
def test_floats_are_the_values_without_a_power_of_two(values):
    for floats, exponent in (Scaled(values).floats(), floats_of(values)):
        assert_floats(floats, exponent, exact(values))
        kept = values >= values.max() * 1e-300
        np.testing.assert_array_equal(np.ldexp(floats, exponent)[kept], values[kept])  # not a digit changed


@quick
@given(data=st.data())
def test_products_quotients_and_sums_of_any_size(data):
    a = data.draw(weights)
    b = data.draw(arrays(np.float64, len(a), elements=st.sampled_from(SIZES)))
    x, y = exact(a), exact(b)
    assert_floats(*(Scaled(a) * Scaled(b)).floats(), [p * q for p, q in zip(x, y, strict=True)])
    quotients = [p / q if q else Fraction(0) for p, q in zip(x, y, strict=True)]
    assert_floats(*(Scaled(a) / Scaled(b)).floats(), quotients)
    groups = data.draw(arrays(np.intp, len(a), elements=st.integers(0, 2)))
    sums = [sum((p for p, g in zip(x, groups, strict=True) if g == k), Fraction(0)) for k in range(3)]
    assert_floats(*Scaled(a).sums(groups, 3).floats(), sums)
    assert_floats(*Scaled(a)[groups % len(a)].floats(), [x[g % len(a)] for g in groups])


def test_what_has_no_scale_is_not_copied():
    values = np.array([0.25, 1.5, 0.0])
    assert floats_of(values)[0] is values
    assert floats_of(np.zeros(2))[1] == 0


@pytest.mark.parametrize(
    ("values", "moderate"),
    [([0.0, 1e-100, 1e100], True), ([0.0], True), ([1e-200], False), ([1.0, 1e200], False)],
)
def test_moderate_numbers(values, moderate):
    assert is_moderate(np.array(values)) == moderate


def test_the_smallest_positive_number():
    assert smallest(np.array([0.0, 3.0, LEAST])) == LEAST
    assert smallest(np.zeros(3)) == np.inf
