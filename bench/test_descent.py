"""One epoch of stochastic and minibatch descent, everybody side by side, on a part of the rows of each race."""

import functools

import numpy as np
import pytest

from data import DataNotFound
from descent_rivals import RACES

ROWS = 10_000
pytestmark = pytest.mark.filterwarnings("default")  # the peers' warnings are not ours to forbid
CHOSEN = [
    pytest.param(race, rival, id=f"{race.name}-{rival.label}-{np.dtype(rival.dtype)}")
    for race in RACES
    for rival in race.rivals
    if rival.installed()
]


@functools.lru_cache(maxsize=1)
def some_rows(race, dtype):
    """The first rows of a race: kept until others are asked for."""
    try:
        return race.rows(dtype).first(ROWS)
    except DataNotFound as fault:
        pytest.skip(str(fault))


@pytest.mark.parametrize(("race", "rival"), CHOSEN)
def test_epoch(benchmark, race, rival):
    rows = some_rows(race, rival.dtype)
    train = rival.build(rows, rival.openmp or 1, **rival.steps[0])
    with rival.threads(1):
        loss = rows.log_loss(train(1)())
        assert loss < 2 * np.log(race.n_classes), "it has not learnt anything"
        benchmark.group = f"an epoch: {race.name}, {np.dtype(rival.dtype)}"
        benchmark.name = f"{rival.label}: log loss {loss:.3f}"
        benchmark.extra_info["log loss"] = loss
        benchmark.pedantic(train, (1,), rounds=3)
