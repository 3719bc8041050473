"""The products of a block through LinearSoftmax itself: exact on whole numbers, inside their buffers, vectorised.

Whole numbers times whole numbers have no rounding, and softmax of 2^m equal logits (the others far below) is 2^-m:
then logits, gradient and Hessian product are exact, in any order of summation, and every bit can be asked for. All
arrays lie between margins of NaN, so that reading past an end poisons the result, and writing past it shows.
"""

import itertools
import re
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.linalg import cython_blas

from fastxent import kernels
from problems import DTYPES, csr

MARGIN = 64
STORAGES = ("C", "F", "csr32", "csr64")
COLUMNS = (1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 16, 17, 24, 25, 33, 57, 65, 130, 200)
FEATURES = (1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 127, 128, 300)
ROWS = (1, 3, 16, 47, 64, 100, 300)


def guarded(values, dtype=None):
    """Return a copy of the values between margins of NaN (a C-contiguous view)."""
    values = np.asarray(values, dtype)
    whole = np.full(values.size + 2 * MARGIN, np.nan, values.dtype)
    view = whole[MARGIN : MARGIN + values.size]
    view[:] = values.ravel()
    return view.reshape(values.shape)


def guarded_rows(X, storage):
    """Return X as LinearSoftmax takes it, between margins."""
    if storage == "C":
        return guarded(X)
    if storage == "F":
        return guarded(X.T).T
    matrix = csr(X, np.int32 if storage == "csr32" else np.int64)
    return guarded(matrix.data), matrix.indices, matrix.indptr, *X.shape


def assert_margins_hold(*arrays):
    for array in arrays:
        whole = array.base
        assert np.isnan(whole[:MARGIN]).all() and np.isnan(whole[-MARGIN:]).all(), "written past the end"


class Model:
    """Rows of X bound to the kernels, with buffers of just the size they ask for."""

    def __init__(self, X, K, storage="C", target=None, weight=None, shared=False):
        self.dtype = X.dtype
        self.n, self.d = X.shape
        self.rows = kernels.LinearSoftmax(
            guarded_rows(X, storage),
            K,
            None
            if target is None
            else kernels.Targets(target, max(2, K), None if weight is None else guarded(weight)),
            shared,
        )
        self.scratch = self.buffer(self.rows.scratch_size)
        self.scratch[:] = np.nan  # nobody may count on what it holds

    def buffer(self, size):
        return guarded(np.zeros(size, self.dtype))

    def packed(self, theta):
        if self.rows.uses_theta:
            return guarded(theta, self.dtype)
        weights = self.buffer(self.rows.weights_size)
        middle = len(theta) // 2
        self.rows.pack(guarded(theta), weights, 0, middle)
        self.rows.pack(guarded(theta), weights, middle, len(theta))
        return weights

    def unpacked(self, parts, like, scale=1.0, l2=0.0):
        out = guarded(np.full(like.shape, np.nan, like.dtype))
        middle = len(like) // 2
        for first, stop in ((middle, len(like)), (0, middle)):
            self.rows.unpack(parts, scale, l2, guarded(like), out, first, stop)
        assert_margins_hold(out, *parts)
        return out


def whole_numbers(rng, shape, low, high, density=1.0):
    return rng.integers(low, high + 1, size=shape) * (rng.random(shape) < density).astype(np.float64)


def problem(rng, n, d, K, dtype):
    """Whole-numbered X, labels, dyadic weights, parameters whose softmax is dyadic, and the exact residuals."""
    X = whole_numbers(rng, (n, d), -3, 3, 0.5).astype(dtype)
    y = rng.integers(max(2, K), size=n, dtype=np.intp)
    s = rng.choice([0.0, 0.5, 1.0, 2.0], size=n)
    theta, p = np.zeros((d + 1, K)), np.full(K, 0.5)
    if K > 1:
        top = rng.permutation(K)[: 2 if K < 4 else 4]
        theta[-1], p = -20_000, np.zeros(K)
        theta[-1, top], p[top] = 0, 1 / len(top)
    residuals = s[:, None] * (p - (y[:, None] == (np.arange(K) if K > 1 else 1)))
    return X, y, s, theta, p, residuals


def exact_product(X, q, K):
    return np.vstack([X.astype(np.float64).T @ q, q.sum(axis=0)]).reshape(-1, K)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_are_exact_on_whole_numbers(level, dtype, storage):
    rng = np.random.default_rng([STORAGES.index(storage), np.dtype(dtype).itemsize])
    for K in COLUMNS:
        for d in FEATURES:
            n = int(rng.choice(ROWS))
            X, y, s, theta, p, residuals = problem(rng, n, d, K, dtype)
            theta = theta.astype(rng.choice(DTYPES))
            model = Model(X, K, storage, y, s)
            rows, what = model.rows, f"K={K} d={d} n={n} block={model.rows.block}"
            cuts = sorted({0, n, *rng.integers(n + 1, size=2).tolist()})
            ranges = list(itertools.pairwise(cuts))

            W = whole_numbers(rng, (d + 1, K), -3, 3).astype(theta.dtype)
            weights, out = model.packed(W), guarded(np.full((n, K), np.nan, dtype))
            for first, stop in ranges:
                rows.predict(weights, model.scratch, first, stop, out, kernels.KINDS["logits"])
            np.testing.assert_array_equal(out, X.astype(np.float64) @ W[:-1] + W[-1], err_msg=what)

            weights = model.packed(theta)
            gradients = [model.buffer(rows.weights_size) for _ in range(2)]
            losses = guarded(np.full(n, np.nan, dtype))
            totals = [
                rows.loss(weights, model.scratch, first, stop, gradients[i % 2], losses)
                for i, (first, stop) in enumerate(ranges)
            ]
            assert sum(totals) == pytest.approx(losses.sum(dtype=np.float64), rel=1e-6)
            np.testing.assert_array_equal(
                model.unpacked(gradients, theta, 0.5, 2.0),
                0.5 * exact_product(X, residuals, K) + 2 * np.vstack([theta[:-1], np.zeros((1, K))]),
                err_msg=what,
            )

            V = whole_numbers(rng, (d + 1, K), -1, 1, 0.5).astype(theta.dtype)
            product = model.buffer(rows.weights_size)
            for first, stop in ranges:
                rows.hessp(weights, model.packed(V), model.scratch, first, stop, product)
            a = X.astype(np.float64) @ V[:-1] + V[-1]
            curvature = a * 0.25 if K == 1 else p * (a - (a @ p)[:, None])
            np.testing.assert_array_equal(
                model.unpacked([product], V), exact_product(X, s[:, None] * curvature, K), err_msg=what
            )
            assert_margins_hold(model.scratch, weights, out, losses, product)


@pytest.fixture(params=["tiles", "blas"])
def products(level, request):
    """What multiplies large matrices of many classes."""
    functions = [cython_blas.__pyx_capi__[name] for name in ("dgemm", "sgemm")]
    had = kernels.has_blas()
    kernels.use_blas(*(functions if request.param == "blas" else (None, None)))
    yield request.param
    kernels.use_blas(*(functions if had else (None, None)))


@pytest.mark.parametrize("storage", ["C", "F"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_of_large_matrices_are_exact_on_whole_numbers(products, dtype, storage):
    rng = np.random.default_rng(7)
    for n, d, K in ((512, 64, 2050), (1100, 330, 401), (700, 1030, 130)):
        X, y, s, theta, _, residuals = problem(rng, n, d, K, dtype)
        model = Model(X, K, storage, y, s)
        assert model.rows.uses_blas
        W, out = whole_numbers(rng, (d + 1, K), -3, 3), guarded(np.full((n, K), np.nan, dtype))
        model.rows.predict(model.packed(W), model.scratch, 0, n, out, kernels.KINDS["logits"])
        np.testing.assert_array_equal(out, X.astype(np.float64) @ W[:-1] + W[-1])
        weights, gradient = model.packed(theta), model.buffer(model.rows.weights_size)
        for first, stop in ((0, 100), (100, n)):
            model.rows.loss(weights, model.scratch, first, stop, gradient)
        np.testing.assert_array_equal(model.unpacked([gradient], theta), exact_product(X, residuals, K))
        assert_margins_hold(model.scratch, weights, out, gradient)


@pytest.mark.parametrize("storage", ["csr32", "csr64"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_by_classes_have_the_bits_of_the_whole(level, dtype, storage):
    """Rows keep dL/dz, and threads add them up, each some classes of all the rows."""
    rng = np.random.default_rng(11)
    for K in COLUMNS[1:]:
        n, d = int(rng.choice(ROWS)), 40
        X, y, s, *_ = problem(rng, n, d, K, dtype)
        X = X * rng.standard_normal((n, d)).astype(dtype)
        theta, V = rng.standard_normal((2, d + 1, K))
        model = Model(X, K, storage, y, s)
        rows, lanes = model.rows, model.rows.panel // 4
        weights, direction = model.packed(theta), model.packed(V)
        whole = [model.buffer(rows.weights_size) for _ in range(2)]
        total = rows.loss(weights, model.scratch, 0, n, whole[0])
        rows.hessp(weights, direction, model.scratch, 0, n, whole[1])
        middle = n // (2 * rows.block) * rows.block
        kept = [model.buffer(-(-n // rows.block) * rows.z_size) for _ in range(2)]
        losses = []
        for first, stop in ((0, middle), (middle, n)):
            own = [array[first // rows.block * rows.z_size :] for array in kept]
            losses.append(rows.keep_loss(weights, model.scratch, first, stop, own[0]))
            rows.keep_hessp(weights, direction, model.scratch, first, stop, own[1])
        assert sum(losses) == pytest.approx(total, rel=1e-6)
        for step in (lanes, 3 * lanes, K + lanes):
            for q, gradient in zip(kept, whole, strict=True):
                sliced = model.buffer(rows.weights_size)
                for k in reversed(range(0, K, step)):
                    rows.add_kept(q, model.scratch, 0, n, sliced, k, min(k + step, K))
                np.testing.assert_array_equal(sliced, gradient, err_msg=f"K={K} n={n} step={step}")
                assert_margins_hold(q, sliced, model.scratch)
        with pytest.raises(IndexError, match="range"):
            rows.add_kept(kept[0], model.scratch, 0, n, whole[0], 1, K)


@pytest.mark.parametrize("storage", ["C", "F"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_block_in_steps_is_the_block(products, dtype, storage):
    """The steps that threads share: ranges of rows and of classes, in buffers common to all."""
    rng = np.random.default_rng(5)
    for K, d, n in (
        (13, 3, 1),
        (25, 200, 40),
        (57, 129, 200),
        (130, 17, 192),
        (401, 33, 250),
        (401, 330, 600),
    ):
        X, y, s, theta, p, residuals = problem(rng, n, d, K, dtype)
        V = whole_numbers(rng, (d + 1, K), -1, 1, 0.5)
        model = Model(X, K, storage, y, s, shared=True)
        rows = model.rows
        if not rows.uses_theta:
            continue
        weights, direction = model.packed(theta), model.packed(V)
        x, z, a = (model.buffer(size) for size in (rows.x_size, rows.z_size, rows.z_size))
        gradient, product = model.buffer(rows.weights_size), model.buffer(rows.weights_size)
        losses = guarded(np.full(n, np.nan, dtype))
        total = 0.0
        for first in range(0, n, rows.block):
            count = min(rows.block, n - first)
            classes = [(k, min(k + 2 * rows.panel, K)) for k in range(0, K, 2 * rows.panel)]
            parts = [(i, min(i + 12, count)) for i in range(0, count, 12)]
            for start, stop in parts:
                rows.open_block(first, start, stop, x)
            for step in ("gradient", "hessian"):
                for k0, k1 in reversed(classes):
                    rows.block_logits(x, count, weights, z, k0, k1, model.scratch)
                    rows.block_logits(x, count, direction, a, k0, k1, model.scratch)
                for start, stop in reversed(parts):
                    if step == "gradient":
                        total += rows.block_loss(first, start, stop, z, True, model.scratch, losses)
                    else:
                        rows.block_hessian(first, start, stop, z, a, model.scratch)
                for k0, k1 in classes:
                    q, into = (z, gradient) if step == "gradient" else (a, product)
                    rows.block_gradient(x, count, q, into, k0, k1, model.scratch)
        assert total == pytest.approx(losses.sum(dtype=np.float64), rel=1e-6)
        np.testing.assert_array_equal(model.unpacked([gradient], theta), exact_product(X, residuals, K))
        logits = X.astype(np.float64) @ V[:-1] + V[-1]
        curvature = s[:, None] * p * (logits - (logits @ p)[:, None])
        np.testing.assert_array_equal(model.unpacked([product], V), exact_product(X, curvature, K))
        assert_margins_hold(model.scratch, x, z, a, weights, gradient, product, losses)


@pytest.mark.parametrize("parts_dtype", DTYPES)
@pytest.mark.parametrize("theta_dtype", DTYPES)
@pytest.mark.parametrize("K", [1, 5, 30, 150])
def test_packing_and_unpacking_are_inverse(level, parts_dtype, theta_dtype, K):
    """Whatever the layout: 63 parts of it add up to 63 times what went in, in double, scaled, plus the penalty."""
    rng = np.random.default_rng(K)
    for d in (1, 7, 8, 33):
        for storage in ("C", "csr32"):
            model = Model(np.ones((20, d), parts_dtype), K, storage)
            theta = whole_numbers(rng, (d + 1, K), -9, 9).astype(theta_dtype)
            weights = model.packed(theta)
            penalty = np.vstack([theta[:-1], np.zeros((1, K))])
            np.testing.assert_array_equal(model.unpacked([weights], theta), theta)
            np.testing.assert_array_equal(
                model.unpacked([weights] * 63, theta, 0.25, 4.0), 63 / 4 * theta + 4 * penalty
            )


def test_an_infinite_parameter_without_penalty_does_not_poison_the_gradient():
    model = Model(np.ones((20, 3)), 2)
    theta = np.full((4, 2), np.inf)
    assert not model.unpacked([model.buffer(model.rows.weights_size)], theta, l2=0.0).any()


# Sizes: a wrong buffer is refused, never written past ---------------------------------------------------------


def buffers_for(K, storage="C"):
    """The kernels' view of 20 rows, and buffers by name of just the size its methods need."""
    X = np.random.default_rng(0).normal(size=(20, 6))
    rows = Model(X, K, storage, np.zeros(20, np.intp)).rows
    sizes = {
        "theta": (7, K), "out_theta": (7, K), "weights": rows.weights_size, "direction": rows.weights_size,
        "gradient": rows.weights_size, "scratch": rows.scratch_size, "row_loss": 20, "out": (20, K),
        "x": rows.x_size, "z": rows.z_size, "a": rows.z_size,
    }  # fmt: skip
    return rows, SimpleNamespace(**{name: np.zeros(size) for name, size in sizes.items()})


CALLS = {
    "pack": lambda r, b: r.pack(b.theta, b.weights, 0, 7),
    "unpack": lambda r, b: r.unpack([b.weights, b.gradient], 1.0, 1.0, b.theta, b.out_theta, 0, 7),
    "loss": lambda r, b: r.loss(b.weights, b.scratch, 0, 20, b.gradient, b.row_loss),
    "hessp": lambda r, b: r.hessp(b.weights, b.direction, b.scratch, 0, 20, b.gradient),
    "predict": lambda r, b: r.predict(b.weights, b.scratch, 0, 20, b.out, 0),
    "open_block": lambda r, b: r.open_block(0, 0, 20, b.x),
    "block_logits": lambda r, b: r.block_logits(b.x, 20, b.weights, b.z, 0, r.K, b.scratch),
    "block_loss": lambda r, b: r.block_loss(0, 0, 20, b.z, True, b.scratch, b.row_loss),
    "block_hessian": lambda r, b: r.block_hessian(0, 0, 20, b.z, b.a, b.scratch),
    "block_gradient": lambda r, b: r.block_gradient(b.x, 20, b.z, b.gradient, 0, r.K, b.scratch),
}
# What each takes; ! marks what it writes to.
BUFFERS = {
    "pack": "theta weights!",
    "unpack": "weights gradient theta out_theta!",
    "loss": "weights scratch! gradient! row_loss!",
    "hessp": "weights direction scratch! gradient!",
    "predict": "weights scratch! out!",
    "open_block": "x!",
    "block_logits": "x weights z! scratch!",
    "block_loss": "z! scratch! row_loss!",
    "block_hessian": "z! a! scratch!",
    "block_gradient": "x z gradient! scratch!",
}


@pytest.mark.parametrize("storage", ["C", "csr64"])
@pytest.mark.parametrize("K", [1, 5, 170])
@pytest.mark.parametrize("call", CALLS)
def test_buffers_that_do_not_fit_are_refused(level, call, K, storage):
    rows, buffers = buffers_for(K, storage)
    if "block" in call and not rows.uses_theta:
        if K == 170 and storage == "C":
            pytest.fail("170 dense classes were to be taken in blocks")
        buffers.x, buffers.z, buffers.a = np.zeros((3, 100_000))
        with pytest.raises(ValueError, match="only where the layout has uses_theta"):
            CALLS[call](rows, buffers)
        return
    CALLS[call](rows, buffers)  # as it should be
    for name in BUFFERS[call].split():
        name, written = name.rstrip("!"), name.endswith("!")
        good = getattr(buffers, name)
        for bad, error in (
            (good.reshape(-1)[:-1], "bytes came where"),
            (good.astype(np.float32), "bytes came where"),
            (np.zeros(2 * good.size)[::2], "contiguous"),
        ):
            if name in ("theta", "out_theta") and bad.dtype == np.float32:
                continue  # both dtypes are admitted there
            setattr(buffers, name, bad)
            with pytest.raises(ValueError, match=error):
                CALLS[call](rows, buffers)
        if written:
            frozen = good.copy()
            frozen.flags.writeable = False
            setattr(buffers, name, frozen)
            with pytest.raises(ValueError, match="read-only"):
                CALLS[call](rows, buffers)
        setattr(buffers, name, good)


@pytest.mark.parametrize(("first", "stop"), [(-1, 5), (5, 3), (0, 171), (171, 171), (-(2**62), 2**62)])
def test_ranges_outside_are_refused(level, first, stop):
    rows, b = buffers_for(170)
    for call in (
        lambda: rows.loss(b.weights, b.scratch, first, stop, b.gradient, b.row_loss),
        lambda: rows.hessp(b.weights, b.direction, b.scratch, first, stop, b.gradient),
        lambda: rows.predict(b.weights, b.scratch, first, stop, b.out, 0),
        lambda: rows.pack(b.theta, b.weights, first, stop),
        lambda: rows.unpack([b.gradient], 1.0, 0.0, b.theta, b.out_theta, first, stop),
        lambda: rows.open_block(0, first, stop, b.x),
        lambda: rows.open_block(19, 0, 2, b.x),
        lambda: rows.open_block(-1, 0, 2, b.x),
        lambda: rows.block_loss(0, first, stop, b.z, True, b.scratch),
        lambda: rows.block_hessian(0, first, stop, b.z, b.a, b.scratch),
        lambda: rows.block_logits(b.x, 20, b.weights, b.z, first, stop, b.scratch),
        lambda: rows.block_logits(b.x, rows.block + 1, b.weights, b.z, 0, 170, b.scratch),
        lambda: rows.block_gradient(b.x, 20, b.z, b.gradient, first, stop, b.scratch),
        lambda: rows.block_gradient(b.x, -1, b.z, b.gradient, 0, 170, b.scratch),
    ):
        with pytest.raises(IndexError, match="does not lie within 0"):
            call()


def test_parts_are_counted(level):
    rows, b = buffers_for(5)
    for count in (0, 65):
        with pytest.raises(IndexError, match=re.escape("does not lie within 0..64")):
            rows.unpack([b.gradient] * count, 1.0, 0.0, b.theta, b.out_theta, 0, 7)


def test_missing_arrays_are_refused(level):
    """None is not an array, and must not become a null pointer where an array is needed."""
    for K in (1, 5, 170):
        rows, b = buffers_for(K)
        for weights, scratch in ((None, b.scratch), (b.weights, None)):
            with pytest.raises(TypeError):
                rows.loss(weights, scratch, 0, 20)
            with pytest.raises(TypeError):
                rows.predict(weights, scratch, 0, 20, b.out, 0)
            with pytest.raises(TypeError):
                rows.hessp(weights, b.direction, scratch, 0, 20, b.gradient)
        with pytest.raises(TypeError):
            rows.pack(b.theta, None, 0, 7)


def test_an_empty_range_does_nothing(level):
    for K in (1, 5, 170):
        rows, b = buffers_for(K)
        b.out[:] = 7
        assert rows.loss(b.weights, b.scratch, 20, 20, b.gradient, b.row_loss) == 0
        rows.hessp(b.weights, b.direction, b.scratch, 3, 3, b.gradient)
        rows.predict(b.weights, b.scratch, 0, 0, b.out, 0)
        assert not b.gradient.any() and (b.out == 7).all()


def test_binary_output_needs_two_columns(level):
    rows, b = buffers_for(1)
    for kind in ("softmax", "log_softmax"):
        with pytest.raises(ValueError, match="bytes came where"):
            rows.predict(b.weights, b.scratch, 0, 20, b.out, kernels.KINDS[kind])


def test_targets_and_weights_that_are_too_short_are_refused(level):
    X, y, soft = np.ones((20, 3)), np.zeros(20, np.intp), np.zeros((20, 4))
    kernels.LinearSoftmax(X, 4, kernels.Targets(y, 4, np.ones(20), np.ones(4)))
    kernels.LinearSoftmax(X, 4, kernels.Targets(soft, 4, np.ones(20), np.ones(4)))
    for target, weight, class_weight in (
        (y[:-1], None, None),
        (soft[:-1], None, None),
        (soft.astype(np.float32), None, None),
        (y, np.ones(19), None),
        (y, np.ones(20, np.float32), None),
        (y, None, np.ones(3)),
    ):
        with pytest.raises(ValueError, match="bytes came where"):
            kernels.LinearSoftmax(X, 4, kernels.Targets(target, 4, weight, class_weight))
    indptr = np.zeros(20, np.int32)
    with pytest.raises(ValueError, match="80 bytes came where 84"):
        kernels.LinearSoftmax((np.zeros(0), np.zeros(0, np.int32), indptr, 20, 3), 4, kernels.Targets(y, 4))


def test_without_targets_there_is_no_loss(level):
    for K in (3, 170):
        rows = kernels.LinearSoftmax(np.ones((20, 6)), K)
        _, b = buffers_for(K)
        with pytest.raises(ValueError, match="no target"):
            rows.loss(b.weights, b.scratch, 0, 20)
        with pytest.raises(ValueError, match="no target"):
            rows.hessp(b.weights, b.direction, b.scratch, 0, 20, b.gradient)


# The machine code -------------------------------------------------------------------------------------------

HOT = [
    f"{name}_{dtype}{index}"
    for dtype in ("f64", "f32")
    for name, index in (
        ("outer_tile", ""), ("dot_tile", ""), ("exp_row", ""), ("exp_lanes", ""), ("max_lanes", ""),
        ("log1p_array", ""), ("hessp_lanes", ""), ("hessp_row", ""), ("dual_gap", ""), ("dual_value", ""),
        ("dual_newton", ""), ("csr_dot_tile", "_i32"), ("csr_add_tile", "_i64"),
    )
]  # fmt: skip
ARITHMETIC = re.compile(
    r"\sv?(?:add|sub|mul|max|fn?m(?:add|sub)\d*)([ps])[sd]\s.*%([xyz])mm\d+$", re.MULTILINE
)


@pytest.mark.skipif(
    shutil.which("objdump") is None or "v3" not in kernels.available(),
    reason="needs objdump, and builds for wide registers",
)
@pytest.mark.parametrize("function", HOT)
def test_hot_loops_use_the_widest_registers(level, function):
    """A loop that falls back to narrow registers gives right results, slowly: no other test would notice."""
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", f"--disassemble={function}", kernels.load(level).__file__],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    if f"<{function}>" not in listing:
        pytest.skip("this build carries no symbols of local functions, or another compiler's code")
    operations = ARITHMETIC.findall(listing)
    wide = operations.count(("p", {"baseline": "x", "v3": "y", "v4": "z"}[level]))
    assert wide >= 8, f"{function} has {wide} operations on whole registers"
    assert wide > len(operations) / 2, (
        f"{function}: {wide} of {len(operations)} operations on whole registers"
    )
