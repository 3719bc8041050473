"""Copies of arrays in a given order of storage."""

import numpy as np
import pytest

from fastxent.arrays import copied


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (5,), (3, 200), (200, 3), (64, 64), (0, 5), (5, 0), (70, 65, 2)])
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "i1", "U3"])
def test_copies_are_equal_independent_and_in_order(order, shape, dtype):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    sources = [array]
    if shape:
        sources += [np.asfortranarray(array), np.repeat(array, 2, axis=0)[::2]]
    for source in sources:
        copy = copied(source, order)
        np.testing.assert_array_equal(copy, array, strict=True)
        assert copy.flags[f"{order}_CONTIGUOUS"]
        assert copy.flags.writeable
        assert not np.shares_memory(copy, source)
