"""Checkpoints of fits over a cluster: they go on there, or in one process over the same parts."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastxent
from clusters import FITS
from fastxent import Checkpoint
from fastxent import dask as on_cluster

BORDERS = [0, 1, 130, 131, 260, 300, 340, 400]


class Died(Exception):
    """Stands for the end of the process."""


def dies(entry):
    if entry["epoch"] == 2:
        raise Died


@pytest.mark.parametrize("goes_on", ["on the cluster", "here"])
@pytest.mark.parametrize("name", FITS)
def test_a_fit_that_died_goes_on(client, tmp_path, monkeypatch, name, goes_on):
    monkeypatch.setattr(
        fastxent.objective.Objective, "fitting_rows", 60
    )  # leaves work after the first answer
    kind, parameters = FITS[name]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6))
    y = np.argmax(X @ rng.normal(size=(6, 3)) + rng.gumbel(size=(400, 3)), axis=1)
    parts = [(X[a:b], y[a:b]) for a, b in itertools.pairwise(BORDERS)]
    expected = getattr(fastxent, kind)(**parameters).fit(parts)
    assert np.max(expected.n_iter_) > 1
    parameters = {**parameters, "checkpoint": Checkpoint(tmp_path, every_iterations=1)}
    model = getattr(on_cluster, kind)(client=client, **parameters)
    with pytest.raises(Died):
        model.fit(parts, callback=dies)
    if goes_on == "here":
        model = getattr(fastxent, kind)(**parameters)
    seen = []
    model.fit(parts, callback=lambda entry: seen.append(entry["epoch"]))
    assert seen[0] == 2
    assert_array_equal(model.coef_, expected.coef_)
    assert_array_equal(model.intercept_, expected.intercept_)
    with pytest.raises(ValueError, match="belongs to another fit: X"):
        model.fit([(X + 1.0, y) for X, y in parts])
