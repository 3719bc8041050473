"""The functional API: both implementations against mpmath and calculus, the real one against its twin."""

import inspect
import itertools
import re

import mpmath
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fastxent import functional, reference
from oracle import error_in_roundoffs, exact_row, exact_row_grad, exact_row_loss, row_bound, unit_roundoff
from problems import soft_target

DTYPES = [np.float32, np.float64]


def test_the_twin_has_the_same_names_and_signatures():
    for name in functional.__all__:
        theirs, ours = (
            inspect.signature(getattr(reference, name)),
            inspect.signature(getattr(functional, name)),
        )
        assert theirs == ours, name


# Accuracy, against 50 digits --------------------------------------------------------------------------------


def accuracy_rows(dtype):
    """Rows of many sizes and spreads: flat, tied, certain (losses far below u), underflowing, masked."""
    rng = np.random.default_rng(7)
    for K in (2, 3, 7, 16, 33, 200):
        for spread in (1e-3, 1.0, 8.0, 40.0):
            yield (spread * rng.normal(size=K)).astype(dtype)
        yield np.full(K, 3.7, dtype=dtype)
        certain = rng.normal(size=K).astype(dtype)
        certain[K // 2] += 45
        yield certain
        masked = rng.normal(size=K).astype(dtype)
        masked[1:][rng.random(K - 1) < 0.4] = -np.inf
        yield masked
    yield np.array([0.0, -80.0, -95.0, -103.0], dtype=dtype)
    yield np.array([1000.0, 1000.25, 999.0], dtype=dtype)


def assert_within(worst, name, got, exact, z, dtype, scale=None):
    error, bound = error_in_roundoffs(got, exact, dtype, scale), row_bound(z, dtype) / unit_roundoff(dtype)
    worst[name] = max(worst.get(name, (0.0, 0.0)), (error / bound, error))
    assert error <= bound, (
        f"{name}: {got!r} for {exact}, {error:.1f} u where {bound:.1f} u are allowed, row {z[:8]}"
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_accuracy(api, dtype):
    worst = {}
    for z in accuracy_rows(dtype):
        lse, p, log_p = exact_row(z)
        # The maximum and the logarithm may cancel: three logits of -log 3 have the logsumexp 0. No float64
        # formula keeps relative precision there, so the larger of the two is the scale.
        scale = max(abs(float(lse)), abs(float(z.max())))
        assert_within(worst, "logsumexp", api.logsumexp(z), lse, z, dtype, scale)
        for got, exact in zip(api.softmax(z), p, strict=True):
            assert_within(worst, "softmax", got, exact, z, dtype)
        for got, exact in zip(api.log_softmax(z), log_p, strict=True):
            if np.isfinite(got) or np.isfinite(float(exact)):
                assert_within(worst, "log_softmax", got, exact, z, dtype)
        for label in {int(z.argmax()), int(z.argmin()), 0}:
            loss, grad = api.cross_entropy_and_grad(z[None], [label], reduction="none")
            assert api.cross_entropy(z[None], [label], reduction="none") == loss
            exact_loss = exact_row_loss(z, np.eye(len(z))[label])
            if z[label] == -np.inf:
                assert loss[0] == np.inf
            else:
                assert_within(worst, "loss", loss[0], exact_loss, z, dtype)
                assert loss[0] >= 0
            for got, exact in zip(grad[0], exact_row_grad(z, label), strict=True):
                assert_within(worst, "gradient", got, exact, z, dtype)
        soft = np.abs(z) + 1
        soft[~np.isfinite(soft)] = 0
        soft = (soft / soft.sum()).astype(dtype)
        assert_within(
            worst, "soft loss", api.cross_entropy(z[None], soft[None], reduction="none")[0],
            exact_row_loss(z, soft), z, dtype,
        )  # fmt: skip
    print({name: f"{error:.2f} u, {share:.0%} of its bound" for name, (share, error) in worst.items()})


@pytest.mark.parametrize("dtype", DTYPES)
def test_accuracy_of_sigmoid(api, dtype):
    z = np.concatenate([np.linspace(-100, 100, 401), [-1e-8, 0.0, 1e-8, -87.5, -90.0]]).astype(dtype)
    for value, got in zip(z, api.sigmoid(z), strict=True):
        _, p, _ = exact_row(np.array([0, value], dtype=dtype))
        assert error_in_roundoffs(got, p[1], dtype) <= 8


def test_losses_below_machine_epsilon_keep_every_digit(api):
    for gap in (36.5, 40.0, 100.0, 700.0):
        z = np.array([gap, 0.0, -1.0])
        loss = api.cross_entropy(z[None], [0])
        assert 0 < loss < 2e-16
        assert error_in_roundoffs(loss, exact_row_loss(z, [1, 0, 0]), np.float64) <= gap + 10
        model = api.linear_cross_entropy(np.ones((1, 1)), [0], z[:, None])
        assert model == pytest.approx(loss, rel=1e-13)
        binary = api.linear_cross_entropy(np.ones((1, 1)), [1], np.array([gap]))
        assert error_in_roundoffs(binary, exact_row_loss(z[:2], [1, 0]), np.float64) <= gap + 9


# What logits may hold ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("K", [1, 2, 5, 40])
def test_rows_without_a_finite_maximum(api, dtype, K):
    rows = np.zeros((4, K), dtype=dtype)
    rows[0], rows[1, K // 2], rows[2, K - 1] = -np.inf, np.inf, np.nan
    lse = api.logsumexp(rows)
    assert lse[0] == -np.inf
    assert lse[1] == np.inf
    assert np.isnan(lse[2])
    assert lse[3] == pytest.approx(np.log(K), rel=1e-6)
    for result in (api.softmax(rows), api.log_softmax(rows)):
        assert np.isnan(result[:3]).all()
        assert np.isfinite(result[3]).all()
    loss, grad = api.cross_entropy_and_grad(rows, [0, 0, 0, 0], reduction="none")
    assert np.isnan(loss[:3]).all()
    assert np.isnan(grad[:3]).all()
    assert np.isfinite(grad[3]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_masked_classes_are_exact_zeros(api, dtype):
    z = np.array([[1.0, -np.inf, 0.5, -np.inf]], dtype=dtype)
    p, log_p = api.softmax(z), api.log_softmax(z)
    assert p[0, 1] == p[0, 3] == 0
    assert log_p[0, 1] == log_p[0, 3] == -np.inf
    np.testing.assert_allclose(p[:, [0, 2]], api.softmax(z[:, [0, 2]]), rtol=1e-6)
    loss, grad = api.cross_entropy_and_grad(z, [0])
    assert grad[0, 1] == grad[0, 3] == 0
    assert loss == pytest.approx(-float(log_p[0, 0]), rel=1e-6)
    assert api.cross_entropy(z, [1]) == np.inf
    soft = np.array([[0.25, 0, 0.75, 0]], dtype=dtype)  # a masked class without target costs nothing
    assert np.isfinite(api.cross_entropy(z, soft))


def test_rows_that_do_not_count_may_hold_anything(api):
    z = np.array([[1.0, 2.0], [np.nan, np.inf], [np.inf, 0.0]])
    expected = api.cross_entropy_and_grad(z[:1], [0])
    for weighting in ({"sample_weight": [1.0, 0.0, 0.0]}, {"ignore_index": -100}):
        target = [0, -100, -100] if "ignore_index" in weighting else [0, 1, 1]
        loss, grad = api.cross_entropy_and_grad(z, target, **weighting)
        assert loss == expected[0]
        np.testing.assert_array_equal(grad[:1], expected[1])
        np.testing.assert_array_equal(grad[1:], 0)
        np.testing.assert_array_equal(api.cross_entropy(z, target, reduction="none", **weighting)[1:], 0)


@pytest.mark.parametrize("shape", [(2,), (2, 2), (3, 2), (50, 2)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_rows_that_do_not_count_may_overflow(api, shape, smoothing):
    X = np.array([[1.0, -2.0], [1e300, 1e300], [-1e300, 1e300], [0.5, 1.0]])
    W = np.linspace(-1, 1, 2 * shape[0])[: np.prod(shape)].reshape(shape)
    W[..., 0] *= 1e30
    X[:, 0] *= np.array([1e-30, 1, 1, 1e-30])
    arguments = {"sample_weight": [1.0, 0.0, 0.0, 2.0], "label_smoothing": smoothing}
    kept = {"sample_weight": [1.0, 2.0], "label_smoothing": smoothing}
    with np.errstate(over="ignore", invalid="ignore"):  # the plain twin computes the logits of such rows, too
        pairs = [
            (
                api.linear_cross_entropy_and_grad(X, [0, 1, 0, 1], W, **arguments),
                api.linear_cross_entropy_and_grad(X[[0, 3]], [0, 1], W, **kept),
            ),
            (
                api.linear_cross_entropy_hessp(X, [0, 1, 0, 1], W, None, W, None, **arguments),
                api.linear_cross_entropy_hessp(X[[0, 3]], [0, 1], W, None, W, None, **kept),
            ),
        ]
    for weighted, removed in pairs:
        for first, second in zip(weighted, removed, strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_nothing_counts(api, reduction):
    z, X, W = np.array([[1.0, 2.0], [3.0, 1.0]]), np.eye(2), np.array([[1.0, 2.0], [0.5, 0.0]])
    for arguments in (([7, 7], {"ignore_index": 7}), ([0, 1], {"sample_weight": [0.0, 0.0]})):
        target, weighting = arguments
        loss, grad = api.cross_entropy_and_grad(z, target, reduction=reduction, **weighting)
        assert loss == 0.0
        assert not grad.any()
        loss, grad, grad_b = api.linear_cross_entropy_and_grad(
            X, target, W, l2=0.5, reduction=reduction, **weighting
        )
        assert loss == pytest.approx(0.25 * np.sum(W**2), rel=1e-14)
        np.testing.assert_allclose(grad, 0.5 * W, rtol=1e-14)
        assert not grad_b.any()


# The pair, over every dtype, layout and combination of arguments --------------------------------------------

LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "csr32": lambda X: csr_with_indices(X, np.int32),
    "csr64": lambda X: csr_with_indices(X, np.int64),
}


def csr_with_indices(X, dtype):
    matrix = sp.csr_array(X)
    matrix.indices, matrix.indptr = matrix.indices.astype(dtype), matrix.indptr.astype(dtype)
    return matrix


def combinations(rng, n, n_classes, soft):
    """Every combination of the weighting arguments, with targets to match."""
    codes = rng.integers(n_classes, size=n)
    if soft:
        probabilities = rng.random((n, n_classes)) * (rng.random((n, n_classes)) < 0.7)
        probabilities[:, 0] += 0.1
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    choices = {
        "sample_weight": [None, rng.random(n) * (rng.random(n) < 0.8)],
        "class_weight": [None, rng.random(n_classes) + 0.2],
        "label_smoothing": [0.0, 0.15],
        "ignore_index": [None, -1],
        "reduction": ["mean", "sum", "none"],
    }
    for values in itertools.product(*choices.values()):
        weighting = dict(zip(choices, values, strict=True))
        if soft:
            yield probabilities, weighting
        else:
            yield np.where(rng.random(n) < 0.25, -1, codes) if weighting["ignore_index"] else codes, weighting


def assert_pair(ours, theirs, dtype, what):
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, what
    size = np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * size, err_msg=str(what))


@pytest.mark.parametrize("soft", [False, True], ids=["int", "soft"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_classes", [2, 3, 11])
def test_cross_entropy_pair(n_classes, dtype, soft):
    rng = np.random.default_rng(3)
    logits = (3 * rng.normal(size=(19, n_classes))).astype(dtype)
    for target, weighting in combinations(rng, 19, n_classes, soft):
        ours = functional.cross_entropy_and_grad(logits, target, **weighting)
        theirs = reference.cross_entropy_and_grad(logits, target, **weighting)
        assert ours[1].dtype == dtype
        if weighting["reduction"] == "none":
            assert ours[0].dtype == dtype
        else:
            assert type(ours[0]) is float
        for mine, plain in zip(ours, theirs, strict=True):
            assert_pair(mine, plain, dtype, weighting)
        np.testing.assert_array_equal(functional.cross_entropy(logits, target, **weighting), ours[0])


@pytest.mark.parametrize("kind", ["multinomial", "binary"])
@pytest.mark.parametrize("soft", [False, True], ids=["int", "soft"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_pair(dtype, layout, soft, kind):
    rng = np.random.default_rng(4)
    n, d, n_classes = 23, 7, 2 if kind == "binary" else 5
    X = (rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.6)).astype(dtype)
    X[5] = 0
    data = LAYOUTS[layout](X)
    shape = (d,) if kind == "binary" else (n_classes, d)
    coef, direction = rng.normal(size=(2, *shape)).astype(dtype)
    b, v = (0.3, -0.7) if kind == "binary" else rng.normal(size=(2, n_classes)).astype(dtype)
    for target, weighting in combinations(rng, n, n_classes, soft):
        l2 = 0.0 if weighting["reduction"] == "none" else 0.7
        ours = functional.linear_cross_entropy(data, target, coef, b, l2=l2, **weighting)
        assert_pair(
            ours, reference.linear_cross_entropy(data, target, coef, b, l2=l2, **weighting), dtype, weighting
        )
        if weighting["reduction"] == "none":
            assert ours.dtype == dtype
            continue
        theirs = reference.linear_cross_entropy_and_grad(data, target, coef, b, l2=l2, **weighting)
        result = functional.linear_cross_entropy_and_grad(data, target, coef, b, l2=l2, **weighting)
        assert type(ours) is type(result[0]) is float
        assert result[1].dtype == dtype
        for mine, plain in zip(result, theirs, strict=True):
            assert_pair(mine, plain, dtype, weighting)
        theirs = reference.linear_cross_entropy_hessp(data, target, coef, b, direction, v, l2=l2, **weighting)
        result = functional.linear_cross_entropy_hessp(
            data, target, coef, b, direction, v, l2=l2, **weighting
        )
        for mine, plain in zip(result, theirs, strict=True):
            assert_pair(mine, plain, dtype, weighting)


@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax", "sigmoid"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (40, 3), (3, 70), (6,), (1,)])
def test_rowwise_pair(name, shape):
    for dtype in DTYPES:
        z = (5 * np.random.default_rng(1).normal(size=shape)).astype(dtype)
        ours, theirs = getattr(functional, name)(z), getattr(reference, name)(z)
        assert ours.dtype == dtype
        assert_pair(ours, theirs, dtype, name)


def test_sigmoid_takes_any_shape(api):
    z = np.linspace(-30, 30, 24).reshape(2, 3, 4)
    np.testing.assert_allclose(api.sigmoid(z), 1 / (1 + np.exp(-z)), rtol=1e-14)
    np.testing.assert_array_equal(api.sigmoid(z.transpose(2, 0, 1)), api.sigmoid(z).transpose(2, 0, 1))
    assert api.sigmoid(np.zeros((3, 0))).shape == (3, 0)
    number = api.sigmoid(-2)
    assert np.ndim(number) == 0
    assert number == pytest.approx(0.11920292202211755, rel=1e-15)
    special = api.sigmoid([np.inf, -np.inf, np.nan])
    assert special[0] == 1
    assert special[1] == 0
    assert np.isnan(special[2])


@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax", "sigmoid"])
def test_every_kind_of_array_gives_the_same_result(name):
    function = getattr(functional, name)
    z = np.random.default_rng(2).normal(size=(6, 5)).astype(np.float32).astype(np.float64)
    expected = function(z)
    for other in same_values(z):
        np.testing.assert_array_equal(function(other), expected)
    np.testing.assert_array_equal(function(z.astype(">f4")), function(z.astype(np.float32)))
    whole = np.arange(12).reshape(4, 3)
    for dtype in (np.int8, np.int64, np.uint16, np.float16, np.longdouble):
        result = function(whole.astype(dtype))
        assert result.dtype == np.float64
        np.testing.assert_array_equal(result, function(whole.astype(np.float64)))
    np.testing.assert_array_equal(function(whole > 5), function((whole > 5).astype(float)))


def same_values(values):
    """The same table as a list, in Fortran order, strided, reversed, byte-swapped, unaligned, read-only."""
    yield values.tolist()
    yield np.asfortranarray(values)
    wide = np.zeros((2 * values.shape[0], 3 * values.shape[1]), dtype=values.dtype)
    wide[::2, ::3] = values
    yield wide[::2, ::3]
    yield np.ascontiguousarray(values[::-1, ::-1])[::-1, ::-1]
    yield values.astype(values.dtype.newbyteorder(">"))
    raw = np.empty(values.nbytes + 1, dtype=np.uint8)
    unaligned = raw[1:].view(values.dtype).reshape(values.shape)
    unaligned[...] = values
    yield unaligned
    frozen = values.copy()
    frozen.flags.writeable = False
    yield frozen


def test_every_kind_of_feature_array_gives_the_same_result(tmp_path):
    rng = np.random.default_rng(5)
    X, y, W = (
        rng.normal(size=(9, 4)) * (rng.random((9, 4)) < 0.7),
        rng.integers(3, size=9),
        rng.normal(size=(3, 4)),
    )
    expected = functional.linear_cross_entropy_and_grad(X, y, W)
    mapped = np.memmap(tmp_path / "X", dtype=np.float64, mode="w+", shape=X.shape)
    mapped[:] = X
    mapped.flush()
    others = [*same_values(X), np.memmap(tmp_path / "X", dtype=np.float64, mode="r", shape=X.shape)]
    others += [sp.csr_array(X).asformat(name) for name in ("csr", "csc", "coo", "bsr", "lil", "dok", "dia")]
    others += [sp.csr_matrix(X), sp.csc_matrix(X)]
    for other in others:
        for mine, plain in zip(functional.linear_cross_entropy_and_grad(other, y, W), expected, strict=True):
            np.testing.assert_allclose(mine, plain, rtol=1e-13, atol=1e-15)
    for other in (np.asfortranarray(W), W.tolist(), W.astype(">f8")):
        np.testing.assert_array_equal(functional.linear_cross_entropy_and_grad(X, y, other)[1], expected[1])


def test_duplicate_and_unsorted_entries_add_up(api):
    dense = np.array([[3.0, 0.0, -1.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.5]])
    data, indices, indptr = [1.0, -1.0, 2.0, 0.5, 0.0, 1.5, 0.5], [0, 2, 0, 2, 0, 1, 1], [0, 3, 3, 7]
    X = sp.csr_array((data, indices, indptr), shape=(3, 3))
    W = np.array([[0.1, -0.4, 0.3], [1.0, 0.2, -0.5]])
    for mine, plain in zip(
        api.linear_cross_entropy_and_grad(X, [0, 1, 1], W),
        api.linear_cross_entropy_and_grad(dense, [0, 1, 1], W),
        strict=True,
    ):
        np.testing.assert_allclose(mine, plain, rtol=1e-14)


def test_mixed_precision_takes_the_wider():
    X, W = np.ones((2, 3), dtype=np.float32), np.ones((2, 3), dtype=np.float32)
    for data, coef, dtype in [(X, W, "f4"), (X, W.astype("f8"), "f8"), (X.astype("f8"), W, "f8")]:
        _, grad_coef, grad_intercept = functional.linear_cross_entropy_and_grad(data, [0, 1], coef)
        assert grad_coef.dtype == grad_intercept.dtype == dtype


# out= -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax", "sigmoid"])
def test_out(api, name):
    z = np.random.default_rng(0).normal(size=(4, 3))
    function = getattr(api, name)
    expected = function(z)
    out = np.empty_like(expected)
    assert function(z, out=out) is out
    np.testing.assert_array_equal(out, expected)
    if name == "logsumexp":
        store = z.copy()
        function(store, out=store.reshape(-1)[:4])  # overlapping, not the same
        np.testing.assert_array_equal(store.reshape(-1)[:4], expected)
        out = np.empty(())
        assert function(z[0], out=out) is out
        assert out == expected[0]
    else:
        store = z.copy()
        assert function(store, out=store) is store
        np.testing.assert_array_equal(store, expected)
        store = np.concatenate([z, np.zeros((1, 3))])
        function(store[:-1], out=store[1:])
        np.testing.assert_array_equal(store[1:], expected)


# Derivatives, by five points --------------------------------------------------------------------------------


def five_points(f, h=2e-3):
    """f'(0) to order h^4."""
    return (f(-2 * h) - 8 * f(-h) + 8 * f(h) - f(2 * h)) / (12 * h)


@pytest.mark.parametrize("kind", ["multinomial", "binary"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradient_and_hessian_by_five_points(api, reduction, kind):
    rng = np.random.default_rng(8)
    n_classes, shape = (2, (4,)) if kind == "binary" else (3, (3, 4))
    X = rng.normal(size=(12, 4))
    for target, weighting in combinations(rng, 12, n_classes, soft=False):
        if weighting["reduction"] != reduction:
            continue
        W, V = rng.normal(size=(2, *shape))
        b, v = rng.normal(size=(2, *shape[:-1]))
        arguments = {"l2": 0.2, **weighting}

        def value(h):
            return api.linear_cross_entropy(X, target, W + h * V, b + h * v, **arguments)  # noqa: B023

        def gradient(h):
            _, *parts = api.linear_cross_entropy_and_grad(X, target, W + h * V, b + h * v, **arguments)  # noqa: B023
            return np.concatenate([np.ravel(part) for part in parts])

        slope = gradient(0) @ np.concatenate([V.ravel(), np.ravel(v)])
        assert five_points(value) == pytest.approx(slope, rel=1e-8, abs=1e-8), weighting
        product = api.linear_cross_entropy_hessp(X, target, W, b, V, v, **arguments)
        np.testing.assert_allclose(
            np.concatenate([np.ravel(part) for part in product]), five_points(gradient), rtol=1e-7, atol=1e-8
        )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_logit_gradient_by_five_points(api, reduction):
    rng = np.random.default_rng(9)
    logits, direction = rng.normal(size=(2, 6, 4))
    for target, weighting in combinations(rng, 6, 4, soft=True):
        weighting["reduction"] = reduction
        _, grad = api.cross_entropy_and_grad(logits, target, **weighting)

        def value(h):
            return np.sum(api.cross_entropy(logits + h * direction, target, **weighting))  # noqa: B023

        assert five_points(value) == pytest.approx(np.sum(grad * direction), rel=1e-8, abs=1e-8), weighting


# Properties -------------------------------------------------------------------------------------------------

quick = settings(max_examples=40, deadline=None, derandomize=True)
logit_tables = arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(2, 6)),
    elements=st.floats(-60, 60, allow_subnormal=False),
)
implementations = pytest.mark.parametrize("module", [reference, functional], ids=["reference", "functional"])


@implementations
@quick
@given(logits=logit_tables, shift=st.floats(-1e3, 1e3), data=st.data())
def test_invariants_of_a_row(module, logits, shift, data):
    n, K = logits.shape
    target = data.draw(arrays(np.int64, n, elements=st.integers(0, K - 1)))
    p = module.softmax(logits)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(module.softmax(logits + shift), p, rtol=1e-11, atol=1e-300)
    np.testing.assert_allclose(module.logsumexp(logits + shift), module.logsumexp(logits) + shift, atol=1e-11)
    loss, grad = module.cross_entropy_and_grad(logits, target, reduction="none")
    assert (loss >= 0).all()
    np.testing.assert_allclose(grad.sum(axis=1), 0.0, atol=2e-15)
    assert (grad[np.arange(n), target] <= 0).all()


@implementations
@quick
@given(logits=logit_tables, data=st.data(), reduction=st.sampled_from(["mean", "sum"]))
def test_integer_weights_are_repeated_rows(module, logits, data, reduction):
    n, K = logits.shape
    target = data.draw(arrays(np.int64, n, elements=st.integers(0, K - 1)))
    counts = data.draw(arrays(np.int64, n, elements=st.integers(0, 3)))
    weighted, grad = module.cross_entropy_and_grad(logits, target, sample_weight=counts, reduction=reduction)
    if not counts.any():
        assert weighted == 0.0
        assert not grad.any()
        return
    repeated, long_grad = module.cross_entropy_and_grad(
        np.repeat(logits, counts, axis=0), np.repeat(target, counts), reduction=reduction
    )
    assert weighted == pytest.approx(repeated, rel=1e-13, abs=1e-300)
    rows = np.repeat(np.arange(n), counts)
    summed = np.zeros_like(grad)
    np.add.at(summed, rows, long_grad)
    np.testing.assert_allclose(grad, summed, rtol=1e-12, atol=1e-300)


@implementations
@quick
@given(seed=st.integers(0, 2**31), sparse=st.booleans(), binary=st.booleans())
def test_a_row_without_weight_is_no_row(module, seed, sparse, binary):
    rng = np.random.default_rng(seed)
    X, W = rng.normal(size=(8, 3)), rng.normal(size=(3,) if binary else (4, 3))
    y, kept = rng.integers(2 if binary else 4, size=8), rng.random(8) < 0.6
    kept[0] = True
    wrap = sp.csr_array if sparse else np.asarray
    weighted = module.linear_cross_entropy_and_grad(wrap(X), y, W, sample_weight=kept.astype(float))
    ignored = module.linear_cross_entropy_and_grad(wrap(X), np.where(kept, y, -9), W, ignore_index=-9)
    removed = module.linear_cross_entropy_and_grad(wrap(X[kept]), y[kept], W)
    for first, second, third in zip(weighted, ignored, removed, strict=True):
        np.testing.assert_allclose(first, third, rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(first, second)


# Weights of any size -----------------------------------------------------------------------------------------

WEIGHTS = {
    **{
        f"{size:g}": size * np.array([1, 0.5, 0, 0.75, 1, 0.25])
        for size in (1e-310, 1e-60, 1e39, 1e300, 1e307)
    },
    "least": np.full(6, 5e-324),
    "mixed": np.array([1e300, 1e-300, 1, 0, 1e-46, 5e-324]),
    "below float32": np.array([1e-46, 1e-44, 1e-46, 0, 1e-44, 1e-45]),
    "some": np.array([2.0, 1, 0, 3, 1, 1]),
}
CLASS_WEIGHTS = {
    "none": None,
    "tiny": np.array([1e-310, 2e-310, 0]),
    "huge": np.array([1e200, 3e200, 2e200]),
    "mixed": np.array([1e300, 1e-300, 1.0]),
}


def exact_losses(rows, target, sample_weight, class_weight, smoothing, reduction):
    """What is asked for, and row gradients scaled alike, as lists of mpmath numbers; rows as by exact_row."""
    with mpmath.workdps(40):
        K = len(rows[0][1])
        s = [mpmath.mpf(float(weight)) for weight in sample_weight]
        w = [mpmath.mpf(1 if class_weight is None else float(class_weight[k])) for k in range(K)]
        T = np.eye(K)[target] if target.ndim == 1 else target
        losses, grads = [], []
        for s_i, t_i, (_, p, log_p) in zip(s, T, rows, strict=True):
            spread = mpmath.mpf(smoothing) / len(p)
            t = [
                w_k * ((1 - mpmath.mpf(smoothing)) * float(t_k) + spread)
                for w_k, t_k in zip(w, t_i, strict=True)
            ]
            losses.append(s_i * mpmath.fsum(-a * b for a, b in zip(t, log_p, strict=True)))
            grads.append([s_i * (mpmath.fsum(t) * p_k - t_k) for p_k, t_k in zip(p, t, strict=True)])
        if reduction == "none":
            return losses, grads
        S = mpmath.mpf(1)
        if reduction == "mean":
            S = mpmath.fsum(s_i * (w[y] if target.ndim == 1 else 1) for s_i, y in zip(s, target, strict=True))
        return [mpmath.fsum(losses) / S], [[g / S for g in row] for row in grads]


def assert_weighted(result, wanted, dtypes, tolerance):
    """Each part within rounding of its numbers; or, if one of these is beyond its dtype, a refusal of the weights."""
    sizes = [float(max(abs(number) for number in numbers)) for numbers in wanted]
    if any(size > float(np.finfo(dtype).max) for size, dtype in zip(sizes, dtypes, strict=True)):
        assert isinstance(result, ValueError)
        assert re.search(
            r"Weights.* beyond the range of float.*: (sample|class)_weight goes up to", str(result)
        )
        return
    result = result if isinstance(result, tuple) else (result,)
    for part, numbers, size, dtype in zip(result, wanted, sizes, dtypes, strict=True):
        lost = tolerance * size + float(np.finfo(dtype).smallest_subnormal)
        exact = np.array([float(number) for number in numbers])
        np.testing.assert_allclose(np.asarray(part, np.float64).ravel(), exact, rtol=tolerance, atol=lost)


def or_refusal(function, *arguments, **keywords):
    try:
        return function(*arguments, **keywords)
    except ValueError as error:
        return error


@pytest.mark.parametrize("soft", [False, True], ids=["int", "soft"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_of_any_size(dtype, soft):
    """A mean knows their ratios alone; what has the size of the weights has it, up to the range of its dtype."""
    rng = np.random.default_rng(11)
    n, d, K = 6, 4, 3
    X, W, V = rng.normal(size=(n, d)).astype(dtype), *rng.normal(size=(2, K, d)).astype(dtype)
    target = soft_target(rng, n, K, dtype) if soft else rng.integers(K, size=n)
    exact_logits = X.astype(np.float64) @ W.T.astype(np.float64)
    logits = exact_logits.astype(dtype)
    of_logits, of_model = (list(map(exact_row, Z)) for Z in (logits, exact_logits))
    storages = [X, np.asfortranarray(X), sp.csr_array(X)]
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    names = itertools.product(WEIGHTS, CLASS_WEIGHTS, (0.0, 0.1), ("mean", "sum", "none"))
    for turn, (rows, classes, smoothing, reduction) in enumerate(names):
        s, w = WEIGHTS[rows], CLASS_WEIGHTS[classes]
        how = {"sample_weight": s, "class_weight": w, "label_smoothing": smoothing, "reduction": reduction}
        of_loss = dtype if reduction == "none" else np.float64
        losses, grads = exact_losses(of_logits, target, s, w, smoothing, reduction)
        flat = [g for row in grads for g in row]
        result = or_refusal(functional.cross_entropy, logits, target, **how)
        assert_weighted(result, (losses,), (of_loss,), tolerance)
        result = or_refusal(functional.cross_entropy_and_grad, logits, target, **how)
        assert_weighted(result, (losses, flat), (of_loss, dtype), tolerance)
        data = storages[turn % 3]
        losses, grads = exact_losses(of_model, target, s, w, smoothing, reduction)
        result = or_refusal(functional.linear_cross_entropy, data, target, W, **how)
        assert_weighted(result, (losses,), (of_loss,), tolerance)
        if reduction == "none":
            continue
        of_intercept = [mpmath.fsum(row[k] for row in grads) for k in range(K)]
        of_coef = [
            mpmath.fsum(row[k] * float(x[j]) for row, x in zip(grads, X, strict=True))
            for k in range(K)
            for j in range(d)
        ]
        result = or_refusal(functional.linear_cross_entropy_and_grad, data, target, W, **how)
        assert_weighted(result, (losses, of_coef, of_intercept), (of_loss, dtype, dtype), tolerance)
        if reduction == "mean" and 1e-30 < max(map(abs, of_coef)) < 1e30:
            h = 1e-3  # the Hessian is the slope of the gradient
            product, _ = functional.linear_cross_entropy_hessp(data, target, W, None, V, None, **how)
            ahead, behind = (
                functional.linear_cross_entropy_and_grad(
                    data.astype(np.float64), target, W + step * V, **how
                )[1]
                for step in (np.float64(h), np.float64(-h))
            )
            slope = (ahead - behind) / (2 * h)
            np.testing.assert_allclose(product, slope, rtol=1e-4, atol=1e-4 * np.abs(slope).max())


@implementations
def test_a_mean_does_not_know_the_unit_of_weights(module):
    rng = np.random.default_rng(12)
    X, W, y = rng.normal(size=(40, 3)), rng.normal(size=(4, 3)), rng.integers(4, size=40)
    s, w = rng.random(40), rng.random(4)
    one = module.linear_cross_entropy_and_grad(X, y, W, sample_weight=s, class_weight=w, label_smoothing=0.1)
    for unit in (2.0**-1000, 2.0**-60, 3.0, 2.0**1000):
        for other in (
            {"sample_weight": unit * s, "class_weight": w},
            {"sample_weight": s, "class_weight": unit * w},
        ):
            scaled = module.linear_cross_entropy_and_grad(X, y, W, label_smoothing=0.1, **other)
            for first, second in zip(one, scaled, strict=True):
                np.testing.assert_allclose(first, second, rtol=1e-12)
                if unit != 3.0 and module is functional:
                    np.testing.assert_array_equal(first, second)  # powers of two do not even round


def test_features_are_still_blamed_for_what_they_do():
    X, W, y = np.full((2, 3), 1e200), np.full((2, 3), 1e200), np.array([0, 1])
    for reduction in ("mean", "sum"):
        with pytest.raises(ValueError, match="largest feature"):
            functional.linear_cross_entropy(X, y, W, sample_weight=[1e307, 1.0], reduction=reduction)


def test_infinite_logits_are_not_the_weights_fault():
    logits = np.array([[-np.inf, 0.0], [1.0, 2.0]])
    for reduction in ("mean", "sum"):
        assert (
            functional.cross_entropy(logits, [0, 1], sample_weight=[1e-300, 1e300], reduction=reduction)
            == np.inf
        )
    losses, grad = functional.cross_entropy_and_grad(
        logits, [0, 1], sample_weight=[1e300, 1.0], reduction="none"
    )
    assert losses[0] == np.inf
    np.testing.assert_array_equal(grad[0], [-1e300, 1e300])


# What is particular to the functional API -------------------------------------------------------------------


def test_binary_is_two_classes_with_one_column():
    rng = np.random.default_rng(1)
    X, w, y = rng.normal(size=(10, 3)), rng.normal(size=3), rng.integers(2, size=10)
    loss, grad, grad_b = functional.linear_cross_entropy_and_grad(X, y, w, 0.4, class_weight={1: 2.5})
    two = np.stack([np.zeros(3), w])
    loss2, grad2, grad_b2 = functional.linear_cross_entropy_and_grad(
        X, y, two, [0.0, 0.4], class_weight=[1.0, 2.5]
    )
    assert loss == pytest.approx(loss2, rel=1e-13)
    assert type(grad_b) is float
    np.testing.assert_allclose(grad, grad2[1], rtol=1e-12)
    assert grad_b == pytest.approx(grad_b2[1], rel=1e-12)


def test_no_intercept_is_an_intercept_of_zero(api):
    X, W = np.random.default_rng(0).normal(size=(2, 5, 3))
    for mine, plain in zip(
        api.linear_cross_entropy_and_grad(X, [0, 1, 2, 3, 4], W),
        api.linear_cross_entropy_and_grad(X, [0, 1, 2, 3, 4], W, np.zeros(5)),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, plain)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 7, -1])
def test_the_same_bits_for_any_number_of_threads(n_threads):
    rng = np.random.default_rng(6)
    X, W, y = rng.normal(size=(3000, 20)), rng.normal(size=(9, 20)), rng.integers(9, size=3000)
    for data in (X, sp.csr_array(X * (X > 1))):
        for function in (functional.linear_cross_entropy_and_grad, functional.cross_entropy_and_grad):
            arguments = (data, y, W) if "linear" in function.__name__ else (X, y % 20)
            alone, many = function(*arguments), function(*arguments, n_threads=n_threads)
            for first, second in zip(alone, many, strict=True):
                np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(functional.softmax(X), functional.softmax(X, n_threads=n_threads))


@pytest.mark.parametrize("n_threads", [1, 2, 3, 7])
@pytest.mark.parametrize("wrap", [np.asarray, sp.csr_array], ids=["dense", "csr"])
def test_the_same_bits_for_a_model_larger_than_its_data(n_threads, wrap):
    rng = np.random.default_rng(6)
    X, W, y = rng.normal(size=(70, 300)), rng.normal(size=(3000, 300)), rng.integers(3000, size=70)
    data, b = wrap(X * (X > 1)), np.zeros(3000)
    for function, arguments in (
        (functional.linear_cross_entropy_and_grad, (data, y, W, b)),
        (functional.linear_cross_entropy_hessp, (data, y, W, b, W, b)),
    ):
        for first, second in zip(
            function(*arguments), function(*arguments, n_threads=n_threads), strict=True
        ):
            np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(
        functional.linear_cross_entropy(data, y, W, reduction="none"),
        functional.linear_cross_entropy(data, y, W, reduction="none", n_threads=n_threads),
    )


@pytest.mark.parametrize("power", [-300, -150, 150, 300])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_of_extreme_scale(layout, power):
    X = LAYOUTS[layout](np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 1.0]]) * 10.0**power)
    for W in (np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([1.0, 2.0])):
        loss, grad, _ = functional.linear_cross_entropy_and_grad(X, [0, 1, 0], W)
        assert np.isfinite(loss)
        assert np.isfinite(grad).all()
        with np.errstate(over="ignore"):
            large = W * 1e200
        if power < 0:
            assert np.isfinite(functional.linear_cross_entropy(X, [0, 1, 0], large))
        else:
            for function in (functional.linear_cross_entropy, functional.linear_cross_entropy_and_grad):
                with pytest.raises(ValueError, match=r"largest feature in absolute value is 3e\+"):
                    function(X, [0, 1, 0], large)


def test_a_huge_sum_is_the_fault_of_the_scale_and_says_so():
    X = np.full((4, 1), 1.5e308)
    with pytest.raises(ValueError, match="Scale the features"):
        functional.linear_cross_entropy_and_grad(X, [1, 1, 1, 1], np.array([0.0]), reduction="sum")


def test_more_classes_than_rows():
    loss, grad = functional.cross_entropy_and_grad(np.zeros((1, 5000)), [4999])
    assert loss == pytest.approx(np.log(5000), rel=1e-14)
    assert grad.shape == (1, 5000)
