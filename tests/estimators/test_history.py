"""Histories of many pieces: bounded, from the first to the last, evenly spread."""

import numpy as np
import pytest

from fastxent.estimators.history import MOST, extended


def grown(calls, history=None):
    for i in range(calls):
        history = extended(history, {"loss": float(i), "seconds": 0.5})
    return history


@pytest.mark.parametrize("calls", [1, MOST, MOST + 1, 2 * MOST, 1000, 3001])
def test_entries_are_spread_evenly_and_no_more_than_so_many(calls):
    history = grown(calls)
    epoch = history["epoch"]
    assert len(epoch) == min(calls, MOST)
    assert epoch[0] == 1 and epoch[-1] == calls
    np.testing.assert_array_equal(history["loss"], epoch - 1)
    np.testing.assert_allclose(history["seconds"], epoch / 2)
    if calls > 1:
        distances = np.diff(epoch)[:-1]  # the last entry is wherever the last call was
        assert distances.max() <= 2 * distances.min() + 1


def test_a_longer_history_is_thinned():
    long = {"epoch": np.arange(1, 5001), "seconds": np.arange(5000.0), "grad_norm": np.arange(5000.0)}
    history = extended(long, {"loss": 1.0, "seconds": 2.0})
    assert len(history["epoch"]) == MOST
    assert history["epoch"][0] == 1 and history["epoch"][-1] == 5001
    assert history["seconds"][-1] == 5001.0
    assert np.diff(history["epoch"]).max() < 50
    assert np.isnan(history["loss"][:-1]).all() and history["loss"][-1] == 1.0
    assert np.isnan(history["grad_norm"][-1]) and not np.isnan(history["grad_norm"][:-1]).any()


@pytest.mark.parametrize(
    "nothing",
    [
        None,
        {},
        [1, 2],
        {"epoch": np.arange(3)},
        {"epoch": [1], "seconds": [1.0]},
        {"epoch": np.ones(2, int), "seconds": np.ones(3)},
        {"epoch": np.full(2, np.nan), "seconds": np.ones(2)},
        {"epoch": np.ones((2, 2), int), "seconds": np.ones((2, 2))},
        {"epoch": np.ones(2, int), "seconds": np.array(["a", "b"])},
    ],
)
def test_what_is_no_history_counts_as_none(nothing):
    assert list(grown(2, nothing)["epoch"]) == [1, 2]


def test_a_history_is_not_changed_in_place():
    history = grown(MOST)
    before = {name: values.copy() for name, values in history.items()}
    extended(history, {"loss": 1.0, "seconds": 1.0})
    for name, values in before.items():
        np.testing.assert_array_equal(history[name], values)
