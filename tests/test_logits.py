"""Functions of rows of logits over threads: pieces, their order, weights, and what is written where."""

import numpy as np
import pytest

from fastxent import kernels, reference
from fastxent import logits as rowwise
from fastxent.data.targets import Targets
from fastxent.logits import cross_entropy_rows, softmax_rows
from problems import DTYPES, soft_target

KINDS = ("softmax", "log_softmax", "logsumexp", "sigmoid")
COLUMNS = (1, 2, 9, 16, 17, 40)


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of one block of rows, as if the array were large."""
    monkeypatch.setattr(rowwise, "MIN_PIECE", 1)
    monkeypatch.setattr(rowwise, "MAX_PIECE", 1)


def new_out(z, kind):
    return np.full(len(z) if kind == "logsumexp" else z.shape, np.nan, z.dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_on_any_number_of_threads_and_in_any_pieces(level, dtype, kind, monkeypatch):
    rng = np.random.default_rng(0)
    for K in COLUMNS:
        z = (4 * rng.normal(size=(500, K))).astype(dtype)
        results = []
        for piece in (1, 10_000_000):
            monkeypatch.setattr(rowwise, "MIN_PIECE", piece)
            monkeypatch.setattr(rowwise, "MAX_PIECE", piece)
            for n_threads in (1, 2, 3, 7):
                out = new_out(z, kind)
                softmax_rows(z, out, kind, n_threads)
                results.append(out.tobytes())
        assert len(set(results)) == 1
        np.testing.assert_allclose(
            out, getattr(reference, kind)(z), rtol=100 * np.finfo(dtype).eps, atol=1e-6
        )


@pytest.mark.parametrize("soft", [False, True], ids=["int", "soft"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_loss_and_gradient_on_any_number_of_threads(level, dtype, soft, small_pieces):
    rng = np.random.default_rng(1)
    for K in COLUMNS:
        z = (4 * rng.normal(size=(500, K))).astype(dtype)
        target = soft_target(rng, 500, K, dtype) if soft else rng.integers(K, size=500, dtype=np.intp)
        weight, class_weight = rng.random(500) * (rng.random(500) < 0.8), rng.random(K) + 0.5
        for smoothing in (0.0, 0.1):
            targets = Targets(target, K, weight, class_weight, smoothing)
            unit = 2.0**targets.exponent
            results = []
            for n_threads in (1, 2, 3, 7):
                losses, grad = np.full(500, np.nan, dtype), np.full(z.shape, np.nan, dtype)
                total = cross_entropy_rows(z, targets, losses, grad, 0.25, n_threads)
                results.append((total, losses.tobytes(), grad.tobytes()))
            assert len(set(results)) == 1
            expected, expected_grad = reference.cross_entropy_and_grad(
                z,
                target,
                sample_weight=weight,
                class_weight=class_weight,
                label_smoothing=smoothing,
                reduction="none",
            )
            tolerance = 2e-5 if dtype == np.float32 else 1e-12
            assert unit * total == pytest.approx(expected.sum(), rel=tolerance)
            np.testing.assert_allclose(unit * losses, expected, rtol=tolerance)
            np.testing.assert_allclose(unit * grad, 0.25 * expected_grad, rtol=tolerance, atol=tolerance)
            assert not losses[weight == 0].any() and not grad[weight == 0].any()


def test_what_is_not_asked_for_is_not_needed(small_pieces):
    rng = np.random.default_rng(2)
    z, y = rng.normal(size=(300, 4)), rng.integers(4, size=300, dtype=np.intp)
    losses, grad = np.empty(300), np.empty((300, 4))
    y = Targets(y, 4)
    total = cross_entropy_rows(z, y, losses, grad, n_threads=2)
    assert cross_entropy_rows(z, y, None, None, n_threads=2) == total
    only_losses, only_grad = np.empty(300), np.empty((300, 4))
    assert cross_entropy_rows(z, y, only_losses, None, n_threads=3) == total
    assert cross_entropy_rows(z, y, None, only_grad, n_threads=3) == total
    np.testing.assert_array_equal(only_losses, losses)
    np.testing.assert_array_equal(only_grad, grad)


@pytest.mark.parametrize("kind", ["softmax", "log_softmax", "sigmoid"])
def test_in_place_over_threads(kind, small_pieces):
    rng = np.random.default_rng(3)
    for K in COLUMNS:
        z = rng.normal(size=(400, K))
        out = new_out(z, kind)
        softmax_rows(z, out, kind, 1)
        softmax_rows(z, z, kind, 3)
        np.testing.assert_array_equal(z, out)


def test_arguments_are_left_alone(small_pieces):
    rng = np.random.default_rng(4)
    z, y, w, c = (
        rng.normal(size=(200, 4)),
        rng.integers(4, size=200, dtype=np.intp),
        rng.random(200),
        rng.random(4),
    )
    for array in (z, y, w, c):
        array.flags.writeable = False
    for weight, class_weight, smoothing in ((w, c, 0.0), (None, c, 0.0), (w, None, 0.0), (w, c, 0.2)):
        targets = Targets(y, 4, weight, class_weight, smoothing)
        cross_entropy_rows(z, targets, None, np.empty_like(z), n_threads=2)
    softmax_rows(z, np.empty_like(z), "softmax", 2)


@pytest.mark.parametrize(
    "shape", [(1, 1), (63, 3), (64, 3), (65, 3), (10_000, 100), (300_000, 7), (40, 300_000)]
)
def test_pieces_cover_the_rows_by_whole_blocks(shape, monkeypatch):
    """No row twice, none left out; fixed by the shape; large enough for a thread, small enough for Ctrl-C."""
    ranges = []

    def call(first, stop, scratch):
        assert scratch.size == kernels.logits_scratch_size(shape[1])
        ranges.append((first, stop))

    logits = np.broadcast_to(np.float32(0), shape)
    rowwise._over_rows(call, logits, 1)
    assert [first for first, _ in ranges] == [0, *[stop for _, stop in ranges[:-1]]]
    assert ranges[-1][1] == shape[0]
    assert all(first % rowwise.BLOCK == 0 for first, _ in ranges)
    sizes = [(stop - first) * shape[1] for first, stop in ranges]
    assert max(sizes) <= max(rowwise.MAX_PIECE, rowwise.BLOCK * shape[1])
    assert len(sizes) == 1 or min(sizes[:-1]) >= rowwise.MIN_PIECE - rowwise.BLOCK * shape[1]
    assert len(sizes) <= 64
