"""Tiles of CSR rows: the segments themselves, and passes over them with the bits of passes over rows."""

import numpy as np
import pytest
import scipy.sparse as sp

from fastxent import kernels, loss
from fastxent.data import tiles
from fastxent.data.rows import bind
from fastxent.data.targets import Targets
from fastxent.data.tiles import use_tiles
from fastxent.loss import Part
from problems import DTYPES, soft_target

N, D = 700, 1500
# Whole, padded and narrow registers of every level, one tile of eight registers and several.
COLUMNS = (17, 20, 45, 57, 65, 130)


@pytest.fixture(autouse=True)
def small_caches(level):
    """Let strips have some hundreds of rows, and the weights fill more than the second-level cache; at each level."""
    before = kernels.cache_sizes()
    kernels.set_caches(1 << 14, 1 << 17, 1 << 20)
    yield
    kernels.set_caches(*before)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def rows_of(rng, dtype, index=np.int32, order="sorted"):
    """Return CSR rows of which a few features make up most entries; some rows and features are empty."""
    lengths = rng.integers(0, 80, size=N) * (rng.random(N) < 0.95)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    indices = (D * rng.random(indptr[-1]) ** 4).astype(index)
    if order != "twice":
        for i in range(N):
            own = slice(indptr[i], indptr[i + 1])
            chosen = rng.choice(D, lengths[i], replace=False)
            indices[own] = np.sort(chosen) if order == "sorted" else chosen
    X = sp.csr_array((N, D), dtype=dtype)
    X.data, X.indices, X.indptr = rng.normal(size=len(indices)).astype(dtype), indices, indptr.astype(index)
    return X


def parts(X, targets, K, n_threads, monkeypatch, *, wide=False):
    """Return a part that takes rows one after the other, and one that takes them by tiles."""
    monkeypatch.setattr(loss, "shares_gradient", lambda *_: wide)
    by_row, by_tile = (Part(X, targets, K, n_threads=n_threads) for _ in range(2))
    assert (by_row._wide is not None) == wide
    by_row._passes = tiles.PASSES + 1
    by_tile._passes = tiles.PASSES
    return by_row, by_tile


def results(part, theta, v):
    first, stored = (part.hessp(theta, v)[1] for _ in range(2))
    return part.loss(theta), part.row_losses(theta), *part.loss_and_grad(theta), first, stored


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("K", COLUMNS)
def test_bits_are_those_of_rows(dtype, K, wide, rng, monkeypatch):
    monkeypatch.setattr(tiles, "_LENGTH", 0)
    for index, order in (
        (np.int32, "sorted"),
        (np.int64, "sorted"),
        (np.int32, "mixed"),
        (np.int64, "twice"),
    ):
        X = rows_of(rng, dtype, index, order)
        theta, v = (rng.normal(size=(D + 1, K)).astype(dtype) for _ in range(2))
        soft = order == "mixed"
        target = soft_target(rng, N, K, dtype) if soft else rng.integers(K, size=N, dtype=np.intp)
        targets = Targets(target, K, sample_weight=rng.random(N) * (rng.random(N) < 0.9))
        by_row, by_tile = parts(X, targets, K, 3, monkeypatch, wide=wide)
        expected, got = results(by_row, theta, v), results(by_tile, theta, v)
        for one, other in zip(expected, got, strict=True):
            np.testing.assert_array_equal(one, other)
        alone = parts(X, targets, K, 1, monkeypatch, wide=wide)[1]
        for one, other in zip(got, results(alone, theta, v), strict=True):
            np.testing.assert_array_equal(one, other)


def test_segments_are_the_rows_of_tiles(rng):
    for order in ("sorted", "mixed", "twice"):
        X = rows_of(rng, np.float64, np.int64, order)
        view = bind(X, 20)
        blocks = view.column_blocks
        assert blocks > 1
        bounds, scratch = np.array([0, 3, 130, 131, N]), np.empty(3 * blocks, np.int64)
        counts = np.empty((4, blocks), np.int64)
        ascending = [view.count_segments(bounds, s, s + 1, scratch, counts) for s in range(4)]
        assert all(ascending) == (order == "sorted")
        begin = np.concatenate([[0], np.cumsum(counts)])
        row, first = np.empty(begin[-1], np.uint16), np.full(begin[-1] + 1, X.nnz)
        indices, values = np.empty(X.nnz, np.int64), np.empty(X.nnz)
        for some in ((2, 4), (0, 2)):
            view.fill_segments(bounds, *some, scratch, begin, (row, first, indices, values))
        width = next(w for w in 2 ** np.arange(11) if -(-D // w) == blocks)
        seen = 0
        for s in range(4):
            for b in range(blocks):
                for segment in range(begin[s * blocks + b], begin[s * blocks + b + 1]):
                    i = bounds[s] + row[segment]
                    whole = X.indices[X.indptr[i] : X.indptr[i + 1]]
                    own, there = slice(first[segment], first[segment + 1]), whole // width == b
                    np.testing.assert_array_equal(indices[own], whole[there])
                    np.testing.assert_array_equal(values[own], X.data[X.indptr[i] : X.indptr[i + 1]][there])
                    seen += there.sum()
        assert seen == X.nnz


def test_made_once_after_some_passes(rng, monkeypatch):
    made = []

    def note(view, *others):
        made.append(view)
        return use_tiles(view, *others)

    monkeypatch.setattr(loss, "use_tiles", note)
    X, K = rows_of(rng, np.float64), 20
    part = Part(X, Targets(rng.integers(K, size=N, dtype=np.intp), K), K)
    theta = rng.normal(size=(D + 1, K))
    for count in (0, 0, 1, 1):
        part.loss(theta)
        assert len(made) == count


def test_made_only_where_they_are_faster(rng):
    long, short = (
        rows_of(rng, np.float64),
        sp.random_array((N, 4 * N), density=2 / N, random_state=rng, format="csr"),
    )
    entries = use_tiles(bind(long, 20), long, [(0, N)], 1)
    assert entries.sum() == long.nnz
    assert use_tiles(bind(short, 20), short, [(0, N)], 1) is None
    assert use_tiles(bind(long, 16), long, [(0, N)], 1) is None  # rows in lanes
    few = long[:, :100]
    assert use_tiles(bind(few, 20), few, [(0, N)], 1) is None  # all weights fit the cache


def test_ranges_that_are_no_whole_strips_go_by_row(rng, monkeypatch):
    monkeypatch.setattr(tiles, "_LENGTH", 0)
    X, K = rows_of(rng, np.float64), 57
    targets = Targets(rng.integers(K, size=N, dtype=np.intp), K)
    views = [bind(X, K, targets) for _ in range(2)]
    assert use_tiles(views[1], X, [(0, 400), (400, N)], 2) is not None
    weights = np.zeros(views[0].weights_size)
    views[0].pack(rng.normal(size=(D + 1, K)), weights, 0, D + 1)
    for first, stop in ((0, 16), (16, 400), (0, N), (400, N)):
        gradients = [np.zeros(view.weights_size) for view in views]
        totals = [
            view.loss(weights, np.empty(view.scratch_size), first, stop, gradient)
            for view, gradient in zip(views, gradients, strict=True)
        ]
        np.testing.assert_allclose(*totals, rtol=1e-13)
        np.testing.assert_array_equal(*gradients)


def test_classes_are_shared_out_where_one_block_has_most_entries(rng, monkeypatch):
    """A thread that had all columns of a block would have most of the work."""
    monkeypatch.setattr(tiles, "_LENGTH", 0)
    X, K = rows_of(rng, np.float64, order="twice"), 57
    targets = Targets(rng.integers(K, size=N, dtype=np.intp), K)
    shared = [parts(X, targets, K, n_threads, monkeypatch, wide=True)[1] for n_threads in (1, 8)]
    theta = rng.normal(size=(D + 1, K))
    (one, first), (two, second) = (part.loss_and_grad(theta) for part in shared)
    assert [part._wide._by_block is None for part in shared] == [False, True]
    assert one == two
    np.testing.assert_array_equal(first, second)


def test_kernels_refuse_what_does_not_fit(rng):
    X = rows_of(rng, np.float64)
    view = bind(X, 20)
    blocks = view.column_blocks
    scratch, counts = np.empty(3 * blocks, np.int64), np.empty((1, blocks), np.int64)
    with pytest.raises(IndexError, match="range"):
        view.count_segments(np.array([0, N + 1]), 0, 1, scratch, counts)
    with pytest.raises(ValueError, match="bytes"):
        view.count_segments(np.array([0, N]), 0, 1, scratch[:-1], counts)
    with pytest.raises(ValueError, match="bytes"):
        view.count_segments(np.array([0, N]), 0, 1, scratch, counts[:, :-1].copy())
    with pytest.raises(ValueError, match="many classes"):
        bind(X, 3).count_segments(np.array([0, N]), 0, 1, scratch, counts)
    work, gradient = np.empty(view.scratch_size), np.empty(view.weights_size)
    kept = np.empty(-(-N // view.block) * view.z_size)
    with pytest.raises(ValueError, match="whole strips"):
        view.add_kept_strips(kept, work, 0, N, gradient, 0, blocks)
