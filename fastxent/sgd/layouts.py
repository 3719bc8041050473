"""Arrays like the weights in the layouts of the kernels.

A layout is a tuple: whether classes are the outer axis, the length of its rows, where the intercepts begin, the size
of the array, whether the rows of data come in batches of products, whether they are sparse, and how many arrays stand
side by side. Each array of those is a view, which begins a part of a row later than the one before. Other arrays, like
the average, have nothing beside them: see `layout_of`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import parallel

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    from ..typing import Array

    Layout: TypeAlias = tuple[bool, int, int, int, bool, bool, int]

SIDE_BY_SIDE = "w", "a", "b"


def empty(names: Iterable[str], layout: Layout, dtype: np.dtype[Any]) -> dict[str, Array]:
    """Return zeroed arrays {name: array} in a layout."""
    ld, _, size, _, _, beside = layout[1:]
    if beside == 1:
        return {name: parallel.zeros(size, dtype) for name in names}
    wide = ld // beside
    together = parallel.zeros(size + (beside - 1) * wide, dtype)
    starts = {name: i * wide for i, name in enumerate(SIDE_BY_SIDE[:beside])}
    return {
        name: together[starts[name] : starts[name] + size]
        if name in starts
        else parallel.zeros(layout_of(name, layout)[3], dtype)
        for name in names
    }


def layout_of(name: str, layout: Layout) -> Layout:
    """Return the layout of one of the arrays."""
    return layout if name in SIDE_BY_SIDE else apart(layout)


def fill(array: Array, theta: Array, layout: Layout, padding: float = 0.0) -> None:
    """Write an array (d + 1, K) into one of a layout, and this number into places that are not used."""
    by_class, _, intercept, *_ = layout
    K, features = theta.shape[1], features_in(array, layout)
    if padding:
        features[:] = padding
    if by_class:
        features[:K, : len(theta) - 1] = theta[:-1].T
    else:
        features[:, :K] = theta[:-1]
    array[intercept : intercept + K] = theta[-1]


def moved(arrays: dict[str, Array], old: Layout, new: Layout) -> dict[str, Array]:
    """Return arrays {name: array} of one layout in another, which differs in what stands side by side."""
    others = empty(arrays, new, arrays["w"].dtype)
    for name, array in arrays.items():
        here, there = layout_of(name, old), layout_of(name, new)
        features_in(others[name], there)[:] = features_in(array, here)
        rest = min(there[3] - there[2], here[3] - here[2])
        others[name][there[2] : there[2] + rest] = array[here[2] : here[2] + rest]
    return others


def are_alike(one: Layout, other: Layout) -> bool:
    """Whether layouts differ at most in what stands side by side."""
    return one[4:6] == other[4:6] and apart(one)[:3] == apart(other)[:3]


def apart(layout: Layout) -> Layout:
    """Return the layout with nothing side by side."""
    by_class, ld, intercept, size, batches, sparse, beside = layout
    wide = ld // beside
    start = intercept // beside
    return by_class, wide, start, start + wide if beside > 1 else size, batches, sparse, 1


def unflat(array: Array, layout: Layout, shape: tuple[int, int], scale: float = 1.0) -> Array:
    """Return an array of this shape, (d + 1, K), from a layout, with the features multiplied by a scale."""
    by_class, _, intercept, *_ = layout
    d, K = shape[0] - 1, shape[1]
    theta = np.empty(shape, array.dtype)
    features = features_in(array, layout)
    features = features[:, :d].T if by_class else features[:, :K]
    if scale == 1.0:
        theta[:-1] = features
    else:
        np.multiply(features, array.dtype.type(scale), out=theta[:-1])
    theta[-1] = array[intercept : intercept + K]
    return theta


def features_in(array: Array, layout: Layout) -> Array:
    """The part before the intercepts, by rows, without what stands beside it."""
    _, ld, intercept, *_, beside = layout
    return array[:intercept].reshape(-1, ld)[:, : ld // beside]
