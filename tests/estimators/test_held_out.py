"""Rows held out from a training: the loss and score on them, and how they are chosen."""

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from fastxent import SGDClassifier
from fastxent.estimators.held_out import HeldOut, split
from fastxent.prediction import predict


def problem(K, n=60, seed=0):
    rng = np.random.default_rng(seed)
    X, theta = rng.normal(size=(n, 4)), rng.normal(size=(5, 1 if K == 2 else K))
    weight = rng.integers(0, 3, n).astype(float)
    return X, rng.integers(0, K, n), weight, theta


@pytest.mark.parametrize("K", [2, 4])
def test_loss_and_score_are_scikit_learns(K):
    X, y, weight, theta = problem(K)
    P = predict(X, theta, "proba")
    wanted = log_loss(y, P, sample_weight=weight, labels=range(K))
    found = HeldOut(SGDClassifier(), (X, y, weight), K, 1)
    assert found(theta) == pytest.approx((wanted, -wanted), rel=1e-12)
    by_accuracy = HeldOut(SGDClassifier(validation_metric="accuracy"), (X, y, weight), K, 1)
    accuracy = accuracy_score(y, P.argmax(axis=1), sample_weight=weight)
    assert by_accuracy(theta) == pytest.approx((wanted, accuracy), rel=1e-12)


def test_chance_is_the_loss_of_the_frequencies_where_it_says_something():
    X, y, weight, _ = problem(3)
    share = np.bincount(y, weight) / weight.sum()
    assert HeldOut(SGDClassifier(), (X, y, weight), 3, 1).chance == pytest.approx(-share @ np.log(share))
    for options in ({"class_weight": "balanced"}, {"validation_metric": "accuracy"}):
        assert HeldOut(SGDClassifier(**options), (X, y, weight), 3, 1).chance == math.inf


def test_split_is_stratified_among_the_given_rows():
    y = np.repeat([0, 1], [60, 40])
    rows = np.arange(0, 100, 2)
    held_out, kept = split(SGDClassifier(validation_fraction=0.2, random_state=0), y, rows)
    assert sorted([*held_out, *kept]) == rows.tolist()
    assert np.bincount(y[held_out]).tolist() == [6, 4]
    assert (np.diff(held_out) > 0).all() and (np.diff(kept) > 0).all()
