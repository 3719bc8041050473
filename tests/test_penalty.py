"""The penalty's terms against the formulas written out, and what solvers need of it."""

import numpy as np
import pytest

from fastxent.penalty import Penalty, least_subgradient

FACTORS = [None, np.array([1.0, 0.0, 2.5])]
THETA = np.array([[1.0, -2.0], [0.5, 0.0], [0.0, 0.0], [7.0, 8.0]])  # three features, the intercept last


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("groups", [None, "features"])
def test_terms(factors, groups):
    penalty = Penalty(l2=0.3, l1=0.7, factors=factors, groups=groups)
    f, W = np.ones(3) if factors is None else factors, THETA[:-1]
    assert penalty.smooth(THETA) == pytest.approx(0.15 * np.sum(f[:, None] * W**2))
    norms = np.linalg.norm(W, axis=1) if groups else np.abs(W).sum(axis=1)
    assert penalty.l1_term(THETA) == pytest.approx(0.7 * f @ norms)
    np.testing.assert_allclose(penalty.l2_of(3), 0.3 * f)
    np.testing.assert_allclose(penalty.l1_of(3), 0.7 * f)
    gradient = np.ones_like(THETA)
    penalty.add_gradient(THETA, gradient)
    np.testing.assert_allclose(gradient[:-1], 1 + 0.3 * f[:, None] * W)
    np.testing.assert_array_equal(gradient[-1], 1)


def test_nothing_is_penalised():
    assert Penalty().is_zero and Penalty(l2=1.0, factors=np.zeros(3)).is_zero
    assert not Penalty(l1=1e-300).is_zero
    assert Penalty().smooth(THETA) == Penalty().l1_term(THETA) == 0.0


def test_groups_need_more_than_one_weight_a_feature_and_l1():
    grouped = Penalty(l1=0.1, groups="features")
    assert grouped.grouped(3) and not grouped.grouped(1)
    assert not Penalty(l2=0.1, groups="features").grouped(3)


def test_penalty_of_some_features():
    chosen = np.array([True, False, True])
    assert Penalty(l2=0.1, factors=FACTORS[1]).of_features(chosen).factors.tolist() == [1.0, 2.5]
    whole = Penalty(l2=0.1)
    assert whole.of_features(chosen) is whole


def test_centring_keeps_differences_and_lowers_the_norm():
    centred = Penalty(l2=0.1).centred(THETA)
    np.testing.assert_allclose(centred.sum(axis=1), 0, atol=1e-15)
    np.testing.assert_allclose(centred[:, 0] - centred[:, 1], THETA[:, 0] - THETA[:, 1])
    one = THETA[:, :1]
    assert Penalty(l2=0.1).centred(one) is one


def test_with_l1_only_what_has_no_penalty_is_centred():
    centred = Penalty(l1=0.1, factors=FACTORS[1]).centred(THETA)
    np.testing.assert_array_equal(centred[[0, 2]], THETA[[0, 2]])
    np.testing.assert_allclose(centred[[1, 3]].sum(axis=1), 0, atol=1e-15)


def test_least_subgradient_is_the_smallest_of_all():
    rng = np.random.default_rng(0)
    grad = rng.normal(size=THETA.shape)
    least = least_subgradient(THETA, grad, 0.5)
    for _ in range(200):  # any subgradient: the sign where there is one, else anything between -1 and 1
        sign = np.where(THETA == 0, rng.uniform(-1, 1, THETA.shape), np.sign(THETA))
        other = grad + 0.5 * sign
        other[-1] = grad[-1]
        assert (np.abs(least) <= np.abs(other) + 1e-15).all()
    np.testing.assert_array_equal(least[-1], grad[-1])
