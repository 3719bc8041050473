"""Training to several tolerances; each benchmark's name tells the objective reached for its time."""

import os

import pytest

from data import DataNotFound
from training import TRAINERS, TRAININGS, fit, judge


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("training", [t for t in TRAININGS if t.quick], ids=lambda training: training.name)
@pytest.mark.parametrize("trainer", [t for t in TRAINERS if t.installed()], ids=lambda trainer: trainer.label)
def test_training(benchmark, training, trainer, tol):
    if not trainer.suits(training):
        pytest.skip(f"{trainer.name} is not run on {training.name}")
    try:
        parts = [training.make(part, training.dtype) for part in ("train", "test")]
    except DataNotFound as fault:
        pytest.skip(str(fault))
    benchmark.group = f"training: {training.name}, tol {tol:.0e}"
    model = benchmark.pedantic(
        fit, (trainer, training, tol, os.cpu_count(), *parts[0]), rounds=3, warmup_rounds=1
    )
    reached = judge(model, training, *parts)
    benchmark.name = f"{trainer.label}: F = {reached['objective']:.9f}"
    benchmark.extra_info.update(reached)
