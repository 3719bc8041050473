"""Ranges cover everything once, whatever cuts them, and their results come in order."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from fastxent.data import ranges
from fastxent.data.ranges import Ranges, cost


def ways(n):
    X = np.zeros((n, 3))
    skewed = sp.random_array((n, 40), density=0.2, format="csr", random_state=np.random.default_rng(n))
    return {
        "step": Ranges.by_step(n, 7),
        "a step of nothing": Ranges.by_step(n, 0),
        "count": Ranges.by_count(n, 5),
        "entries": Ranges.by_entries(n, 1 << 26),
        "cache": Ranges.in_cache((n, 5000)),
        "cost": Ranges.by_cost(X, 4, 8),
        "sparse cost": Ranges.by_cost(skewed, 4, 8),
    }


@pytest.mark.parametrize("n", [1, 6, 7, 100, 1001])
@pytest.mark.parametrize("way", list(ways(1)))
def test_every_number_is_in_one_range(n, way):
    found = ways(n)[way]
    covered = [i for some in found for i in range(some.start, some.stop)]
    assert covered == list(range(n))
    assert len(list(found)) == len(found)


@pytest.mark.parametrize("way", list(ways(1)))
@pytest.mark.parametrize("n_threads", [1, 3])
def test_results_come_in_the_order_of_the_ranges(way, n_threads):
    found = ways(1001)[way]
    found.n_threads = n_threads
    assert found.map(lambda some: some.start) == [some.start for some in found]


def test_ranges_in_cache_are_small_and_threads_take_several():
    found = Ranges.in_cache((100_000, 50))
    assert max(some.stop - some.start for some in found) * 50 <= 1 << 15
    taken = []
    found.n_threads = 1
    found.map(lambda some: taken.append(some.start))
    assert len(taken) == len(found) > 100


def test_inner_products_have_the_same_bits_on_any_number_of_threads():
    a, b = np.random.default_rng(0).normal(size=(2, 40_000, 9))
    products = {Ranges.in_cache(a.shape, n_threads).dot(a, b) for n_threads in (1, 2, 3, 7)}
    assert len(products) == 1
    np.testing.assert_allclose(products.pop(), np.vdot(a, b), rtol=1e-12)


def test_ranges_of_skewed_rows_cost_about_the_same_and_begin_at_blocks():
    rng = np.random.default_rng(6)
    X = rng.normal(size=(4000, 30)) * (rng.random((4000, 30)) < np.linspace(0, 1, 4000)[:, None] ** 4)
    X = sp.csr_array(X)
    found = Ranges.by_cost(X, 9, 16)
    assert len(found) == 9
    assert all(bound % 16 == 0 for bound in found.bounds[:-1])
    costs = [cost(X[a:b], 4) for a, b in itertools.pairwise(found.bounds)]
    assert max(costs) < 1.3 * min(costs)


def test_rows_of_long_entries_are_cut_for_ctrl_c():
    assert len(Ranges.by_entries(1000, 100)) == 1
    found = Ranges.by_entries(1000, 100 * ranges._CALL)
    assert {some.stop - some.start for some in found} == {10}
