"""Training to several tolerances; each benchmark's name tells the objective reached for its time."""

import os

import pytest

from data import DataNotFound
from training import TRAINERS, TRAININGS, fit, judge

pytestmark = pytest.mark.filterwarnings("default")  # the peers' warnings are not ours to forbid
CHOSEN = [
    pytest.param(training, trainer, tol, id=f"{training.name}-{trainer.label}-{tol:.0e}")
    for training in TRAININGS
    if training.quick
    for tol in training.tolerances
    for trainer in TRAINERS
    if trainer.suits(training) and trainer.installed()
]


@pytest.mark.parametrize(("training", "trainer", "tol"), CHOSEN)
def test_training(benchmark, training, trainer, tol):
    try:
        parts = [training.make(part, training.dtype) for part in ("train", "test")]
    except DataNotFound as fault:
        pytest.skip(str(fault))
    what = (trainer, training, tol, os.cpu_count(), *parts[0])
    reached = judge(fit(*what), training, *parts)
    benchmark.group = f"training: {training.name}, tol {tol:.0e}"
    benchmark.name = f"{trainer.label}: F = {reached['objective']:.9f}"
    benchmark.extra_info.update(reached)
    benchmark.pedantic(fit, what, rounds=3)
