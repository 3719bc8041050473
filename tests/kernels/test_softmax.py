"""The functions of arrays of logits, at every instruction-set level: every row length, range, tie and mask.

How accurate they are to the last digit is test_accuracy.py; here the bounds are those of problems.py for exact logits.
"""

import numpy as np
import pytest

from fastxent import kernels, reference
from oracle import unit_roundoff
from problems import DTYPES, assert_close, soft_target

# Rows in lanes up to 16 classes, then classes in lanes: all remainders of a register, of 4 and of 16 registers.
COLUMNS = (*range(1, 36), 47, 48, 49, 63, 64, 65, 127, 128, 129, 130, 255, 256, 257, 300, 1025)
MARGIN = 40
KINDS = ("softmax", "log_softmax", "logsumexp", "sigmoid")


def scratch_for(K, dtype):
    """Scratch of just the size asked for, full of NaN: nobody may count on what it holds."""
    return np.full(kernels.logits_scratch_size(K), np.nan, dtype)


def output(z, kind, out=None, first=0, stop=None):
    n, K = z.shape
    shape = (n,) if kind == "logsumexp" else (n, K)
    out = np.full(shape, np.nan, z.dtype) if out is None else out
    stop = n if stop is None else stop
    kernels.output_logits(z, out, kernels.KINDS[kind], K, first, stop, scratch_for(K, z.dtype))
    return out


def loss(z, target, *, weight=None, class_weight=None, smoothing=0.0, ranges=None, gradient=None, scale=1.0):
    """Return the sum over the ranges, the losses of rows, and the gradient (an array given, or new)."""
    n, K = z.shape
    losses = np.full(n, np.nan, z.dtype)
    gradient = np.full(z.shape, np.nan, z.dtype) if gradient is None else gradient
    total = 0.0
    for first, stop in [(0, n)] if ranges is None else ranges:
        total += kernels.loss_logits(
            z,
            kernels.Targets(target, K, weight, class_weight, smoothing),
            first,
            stop,
            scratch_for(K, z.dtype),
            losses,
            gradient,
            scale,
        )
    return total, losses, gradient


def logits_of(rng, n, K, dtype):
    """Rows of growing spread, one with ties at the top, one flat."""
    z = (rng.normal(size=(n, K)) * np.linspace(0.1, 6, n)[:, None]).astype(dtype)
    if n > 2:
        z[1, ::3] = z[1].max()
        z[2] = z[2, 0]
    return z


def promise(z, dtype):
    """(rho + 8 + ceil(log2 K)) u of each row, with the reference's own 2^-53."""
    return (np.ptp(z, axis=1) + 8 + np.ceil(np.log2(z.shape[1]))) * (unit_roundoff(dtype) + 2**-53)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_row_length_against_the_reference(level, dtype):
    rng = np.random.default_rng(0)
    for K in COLUMNS:
        n = int(rng.choice([1, 5, 63, 64, 65, 150]))
        z = logits_of(rng, n, K, dtype)
        u, r = promise(z, dtype), promise(z, dtype)[:, None]
        what = f"K={K} n={n}"
        p, log_p = reference.softmax(z), reference.log_softmax(z)
        assert_close(output(z, "softmax"), p, r * p, f"softmax {what}")
        assert_close(output(z, "log_softmax"), log_p, r * np.abs(log_p), f"log_softmax {what}")
        lse, top = reference.logsumexp(z), np.abs(z).max(axis=1)
        assert_close(output(z, "logsumexp"), lse, u * np.maximum(np.abs(lse), top), f"logsumexp {what}")
        sigmoid = reference.sigmoid(z)
        assert_close(output(z, "sigmoid"), sigmoid, 8 * r * sigmoid, f"sigmoid {what}")


@pytest.mark.parametrize("soft", [False, True], ids=["int", "soft"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_row_length_of_loss_and_gradient_against_the_reference(level, dtype, soft):
    rng = np.random.default_rng(1)
    for K in COLUMNS:
        n = int(rng.choice([1, 5, 63, 64, 65, 150]))
        z, scale = logits_of(rng, n, K, dtype), float(rng.choice([1.0, 0.37]))
        target = soft_target(rng, n, K, dtype) if soft else rng.integers(K, size=n, dtype=np.intp)
        weight = rng.random(n) * (rng.random(n) < 0.8) if rng.random() < 0.5 else None
        smoothing = float(rng.choice([0.0, 0.1, 1.0]))
        # without smoothing the class weights of labels are the caller's to put into the row's weights
        class_weight = rng.random(K) + 0.2 if (soft or smoothing) and rng.random() < 0.5 else None
        total, losses, gradient = loss(
            z, target, weight=weight, class_weight=class_weight, smoothing=smoothing, scale=scale
        )
        arguments = {
            "sample_weight": weight, "class_weight": class_weight, "label_smoothing": smoothing, "reduction": "none",
        }  # fmt: skip
        expected, expected_gradient = reference.cross_entropy_and_grad(z, target, **arguments)
        what = f"K={K} n={n} weights={weight is not None},{class_weight is not None} smoothing={smoothing}"
        # Effective targets are rounded to the dtype and summed plainly: K + 6 roundings more.
        plain = not soft and smoothing == 0
        u = promise(z, dtype) + (0 if plain else (K + 6) * (unit_roundoff(dtype) + 2**-53))
        assert_close(losses, expected, u * expected, f"loss {what}")
        assert total == pytest.approx(expected.sum(), rel=float(u.max()))
        t = np.asarray(target) if soft else np.eye(K)[target]
        t = ((1 - smoothing) * t + smoothing / K) * (1.0 if class_weight is None else class_weight)
        s = np.ones(n) if weight is None else weight
        # An entry T p - t is off by the errors of both terms; of plain labels only by its own.
        size = t.sum(axis=1, keepdims=True) * reference.softmax(z) + t
        size = np.abs(expected_gradient) if plain else s[:, None] * size
        assert_close(gradient, scale * expected_gradient, scale * u[:, None] * size, f"gradient {what}")
        assert not gradient[s == 0].any() and not losses[s == 0].any()


@pytest.mark.parametrize("K", [1, 3, 16, 17, 40])
@pytest.mark.parametrize("dtype", DTYPES)
def test_ranges_touch_their_own_rows_alone(level, dtype, K):
    """Rows do not depend on where a range begins, and whatever lies outside of it stays."""
    rng = np.random.default_rng(K)
    z, y = logits_of(rng, 200, K, dtype), rng.integers(K, size=200, dtype=np.intp)
    for first, stop in ((0, 1), (13, 150), (64, 128), (199, 200), (70, 70)):
        inside = np.zeros(200, bool)
        inside[first:stop] = True
        for kind in KINDS:
            part, whole = output(z, kind, None, first, stop), output(z, kind)
            assert np.isnan(part[~inside]).all()
            np.testing.assert_array_equal(part[inside], whole[inside])
        _, losses, gradient = loss(z, y, ranges=[(first, stop)])
        _, all_losses, all_gradient = loss(z, y)
        assert np.isnan(losses[~inside]).all() and np.isnan(gradient[~inside]).all()
        np.testing.assert_array_equal(losses[inside], all_losses[inside])
        np.testing.assert_array_equal(gradient[inside], all_gradient[inside])


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_read_or_written_past_the_end(level, dtype):
    """Logits between margins of NaN, results between margins of a mark."""
    rng = np.random.default_rng(2)
    for K in COLUMNS:
        n = int(rng.choice([1, 7, 64, 67]))
        values = logits_of(rng, n, K, dtype)
        store, marked = np.full((2, n * K + 2 * MARGIN), np.nan, dtype)
        z, out = (array[MARGIN:-MARGIN].reshape(n, K) for array in (store, marked))
        z[:] = values
        for kind in KINDS:
            size = n if kind == "logsumexp" else n * K
            marked[:] = 77
            output(z, kind, marked[MARGIN : MARGIN + size].reshape((n,) if kind == "logsumexp" else (n, K)))
            assert (marked[:MARGIN] == 77).all() and (marked[MARGIN + size :] == 77).all()
            np.testing.assert_array_equal(
                marked[MARGIN : MARGIN + size].reshape(-1),
                output(values, kind).reshape(-1),
                err_msg=f"{kind} {K}",
            )
        y = rng.integers(K, size=n, dtype=np.intp)
        marked[:] = 77
        loss(z, y, gradient=out)
        assert (marked[:MARGIN] == 77).all() and (marked[-MARGIN:] == 77).all()
        np.testing.assert_array_equal(out, loss(values, y)[2])
        assert np.isnan(store[:MARGIN]).all() and np.isnan(store[-MARGIN:]).all()
        np.testing.assert_array_equal(z, values)


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_place(level, dtype):
    rng = np.random.default_rng(3)
    for K in (1, 2, 9, 16, 17, 33, 200):
        z, y = logits_of(rng, 70, K, dtype), rng.integers(K, size=70, dtype=np.intp)
        for kind in ("softmax", "log_softmax", "sigmoid"):
            store = z.copy()
            assert output(store, kind, store) is store
            np.testing.assert_array_equal(store, output(z, kind))
        store = z.copy()
        total, losses, gradient = loss(store, y, gradient=store)
        for got, expected in zip((total, losses, gradient), loss(z, y), strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_with_or_without_gradient_the_loss_has_the_same_bits(level, dtype):
    rng = np.random.default_rng(4)
    for K in COLUMNS:
        z, y = logits_of(rng, 70, K, dtype), rng.integers(K, size=70, dtype=np.intp)
        soft = soft_target(rng, 70, K, dtype)
        for target in (y, soft):
            total, losses, _ = loss(z, target)
            alone = kernels.loss_logits(z, kernels.Targets(target, K), 0, 70, scratch_for(K, dtype))
            assert alone == total
            assert total == pytest.approx(losses.sum(dtype=np.float64), rel=1e-6)


@pytest.mark.parametrize("position", ["first", "middle", "last"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_maximum_is_found_wherever_it_stands(level, dtype, position):
    """One class is certain: its loss is the sum of the others' exponentials."""
    for K in COLUMNS[1:]:
        top = {"first": 0, "middle": K // 2, "last": K - 1}[position]
        z = np.full((3, K), -40, dtype)
        z[:, top] = 0
        _, losses, gradient = loss(z, np.full(3, top, np.intp))
        rest = (K - 1) * np.exp(np.float64(-40.0))
        bound = (8 + 40 + np.ceil(np.log2(K))) * unit_roundoff(dtype)
        np.testing.assert_allclose(losses, rest, rtol=bound)
        np.testing.assert_allclose(gradient[:, top], -rest, rtol=bound)
        np.testing.assert_allclose(
            output(z, "softmax")[:, top], 1 / (1 + rest), rtol=2 * unit_roundoff(dtype)
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_equal_logits_are_exact(level, dtype):
    """Ties at the top are counted, not summed: softmax is 1/K rounded once."""
    for K in COLUMNS:
        z = np.full((5, K), 3.25, dtype)
        assert (output(z, "softmax") == dtype(1) / dtype(K)).all()
        others = loss(z, np.zeros(5, np.intp))[2]
        np.testing.assert_allclose(others[:, 0], -(K - 1) / K, rtol=2 * unit_roundoff(dtype), atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_masks_infinities_and_nan_stay_in_their_rows(level, dtype):
    rng = np.random.default_rng(5)
    for K in (2, 5, 16, 17, 33, 130):
        z = logits_of(rng, 70, K, dtype)
        clean = {kind: output(z, kind) for kind in KINDS}
        bad = z.copy()
        bad[3], bad[20, K - 1], bad[41, 0], bad[69, K // 2] = -np.inf, np.nan, np.inf, -np.inf
        rows = np.array([3, 20, 41, 69])
        others = np.setdiff1d(np.arange(70), rows)
        for kind in ("softmax", "log_softmax", "logsumexp"):
            got = output(bad, kind)
            np.testing.assert_array_equal(got[others], clean[kind][others])
            if kind == "logsumexp":
                np.testing.assert_array_equal(got[rows[:3]], [-np.inf, np.nan, np.inf])
            else:
                assert np.isnan(got[rows[:3]]).all()
        # a masked class is no class
        kept = np.arange(K) != K // 2
        bound = promise(z[69:, kept], dtype)[0]
        masked = np.ascontiguousarray(bad[69:, kept])
        np.testing.assert_allclose(
            output(bad, "softmax")[69, kept], output(masked, "softmax")[0], rtol=2 * bound
        )
        assert output(bad, "softmax")[69, K // 2] == 0
        assert output(bad, "log_softmax")[69, K // 2] == -np.inf


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_target_on_a_masked_class_costs_infinity(level, dtype):
    """Wherever it stands among the chunks that sums are taken by."""
    for K in (3, 16, 17, 33, 130):
        for masked in range(K):
            z = np.zeros((1, K), dtype)
            z[0, masked] = -np.inf
            for target in (np.array([masked]), np.full((1, K), 1 / K, dtype)):
                total, losses, _ = loss(z, target)
                assert total == losses[0] == np.inf
            without = np.full((1, K), 1 / (K - 1), dtype)
            without[0, masked] = 0
            assert loss(z, without)[0] == pytest.approx(np.log(K - 1), rel=1e-6)


# Sizes: a wrong buffer is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("K", [3, 40])
def test_buffers_that_do_not_fit_are_refused(level, K):
    good = {
        "z": np.zeros((6, K)), "target": np.zeros(6, np.intp), "row_weight": np.ones(6), "class_weight": np.ones(K),
        "scratch": scratch_for(K, np.float64), "row_loss": np.zeros(6), "gradient": np.zeros((6, K)),
        "out": np.zeros((6, K)),
    }  # fmt: skip

    def call_loss(z, target, row_weight, class_weight, scratch, row_loss, gradient, out):
        targets = kernels.Targets(target, K, row_weight, class_weight, 0.1)
        kernels.loss_logits(z, targets, 0, 6, scratch, row_loss, gradient)

    def call_output(z, out, scratch, kind="softmax", **unused):
        kernels.output_logits(z, out, kernels.KINDS[kind], K, 0, 6, scratch)

    used = {call_loss: set(good) - {"out"}, call_output: {"z", "scratch", "out"}}
    for call, names in used.items():
        call(**good)
        for name in names:
            strided = np.zeros((*good[name].shape[:-1], 2 * good[name].shape[-1]), good[name].dtype)[..., ::2]
            short = good[name].astype(np.float32) if name == "scratch" else good[name][..., :-1].copy()
            for bad, error in ((short, "bytes came where"), (strided, "contiguous")):
                with pytest.raises(ValueError, match=error):
                    call(**good | {name: bad})
            if name in ("scratch", "row_loss", "gradient", "out"):
                frozen = good[name].copy()
                frozen.flags.writeable = False
                with pytest.raises(ValueError, match="read-only"):
                    call(**good | {name: frozen})
    with pytest.raises(ValueError, match="bytes came where"):
        call_loss(**good | {"target": np.zeros((5, K))})
    with pytest.raises(ValueError, match="bytes came where"):
        call_output(np.zeros((6, K)), np.zeros(5), good["scratch"], kind="logsumexp")
    call_output(np.zeros((6, K)), np.zeros(6), good["scratch"], kind="logsumexp")


@pytest.mark.parametrize(("first", "stop"), [(-1, 5), (5, 3), (-3, -1), (0, 7), (0, 2**61), (-(2**61), 2)])
def test_ranges_outside_are_refused(level, first, stop):
    """Of 2**61 rows the bytes are a multiple of 2**64: multiplied out, they need no room at all."""
    z, y = np.zeros((6, 3)), np.zeros(6, np.intp)
    with pytest.raises(IndexError, match="does not lie within"):
        output(z, "softmax", None, first, stop)
    with pytest.raises(IndexError, match="does not lie within"):
        loss(z, y, ranges=[(first, stop)])
