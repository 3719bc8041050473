"""Softmax, logsumexp and class probabilities, everybody side by side."""

import pytest

from side_by_side import parameters, run

pytestmark = pytest.mark.filterwarnings("default")  # the peers' warnings are not ours to forbid


@pytest.mark.parametrize(("task", "case", "dtype", "rival", "n_threads"), parameters("softmax", "logsumexp"))
def test_rows(benchmark, task, case, dtype, rival, n_threads):
    run(benchmark, task, case, dtype, rival, n_threads)


@pytest.mark.parametrize(("task", "case", "dtype", "rival", "n_threads"), parameters("class probabilities"))
def test_class_probabilities(benchmark, task, case, dtype, rival, n_threads):
    run(benchmark, task, case, dtype, rival, n_threads)
