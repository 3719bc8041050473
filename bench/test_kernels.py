"""Loss + gradient and Hessian products, everybody side by side: `pytest bench --benchmark-group-by=group`."""

import pytest

from side_by_side import parameters, run

pytestmark = pytest.mark.filterwarnings("default")  # the peers' warnings are not ours to forbid


@pytest.mark.parametrize(("task", "case", "dtype", "rival", "n_threads"), parameters("loss + gradient"))
def test_loss_gradient(benchmark, task, case, dtype, rival, n_threads):
    run(benchmark, task, case, dtype, rival, n_threads)


@pytest.mark.parametrize(("task", "case", "dtype", "rival", "n_threads"), parameters("Hessian product"))
def test_hessian_product(benchmark, task, case, dtype, rival, n_threads):
    run(benchmark, task, case, dtype, rival, n_threads)
