"""Training to 1e-4 of the least F, everybody with the least effort that gets there; small problems only."""

import os

import numpy as np
import pytest

from convergence import Course, climb, gaps
from data import DataNotFound
from trainers import TRAINERS
from training import TRAININGS

pytestmark = pytest.mark.filterwarnings("default")  # the peers' warnings are not ours to forbid
LEVEL = 1e-4
SECONDS = 20.0  # for finding the effort
CHOSEN = [
    pytest.param(training, trainer, id=f"{training.label}-{trainer.name}")
    for training in TRAININGS
    if training.quick
    for trainer in TRAINERS
    if trainer.suits(training) and trainer.installed()
]


@pytest.mark.parametrize(("training", "trainer"), CHOSEN)
def test_training(benchmark, training, trainer):
    try:
        course = Course(training.problem(), SECONDS)
    except DataNotFound as fault:
        pytest.skip(str(fault))
    course.prepare_reference(trainer.intercepts, os.cpu_count())
    setting, fit, points = climb(course, trainer, os.cpu_count(), cap=1.0)
    _, gap = gaps(points, course.least[trainer.intercepts])
    i = np.argmax(gap <= LEVEL) if gap.min() <= LEVEL else np.argmin(gap)
    benchmark.group = f"training: {training.label}"
    benchmark.name = f"{setting.label}: F/F* - 1 = {gap[i]:.0e}"
    benchmark.extra_info.update(effort=points[i]["effort"], gap=float(gap[i]))
    with setting.threads(os.cpu_count()):
        benchmark.pedantic(fit, (points[i]["effort"],), rounds=5)
