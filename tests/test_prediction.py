"""Prediction: every build, storage and shape against the reference; binary models; the same bits on any threads."""

import functools
import itertools
import tracemalloc

import mpmath
import numpy as np
import pytest
import scipy.sparse as sp

from fastxent import kernels, prediction
from fastxent.data import rows as data_rows
from fastxent.prediction import evaluate, predict
from objectives import objective_of
from oracle import error_in_roundoffs, exact_row, unit_roundoff
from problems import DTYPES, STORAGES, Expected, assert_close, csr, features, storages, theta_of

COLUMNS = (1, 2, 3, 10, 12, 13, 16, 17, 24, 25, 57, 130)
FEATURES = (1, 7, 8, 9, 15, 16, 17, 33, 300)
OUTPUTS = ("logits", "proba", "log_proba")


@pytest.fixture
def many_pieces(monkeypatch):
    """Pieces as small as a block."""
    monkeypatch.setattr(data_rows, "MIN_RANGE", 1)


@functools.cache
def sweep(dtype, storage):
    """All shapes, and what the reference says of them; rows and the dtype of theta are drawn for each."""
    rng = np.random.default_rng([storages.index(storage), np.dtype(dtype).itemsize])
    problems = []
    for K in COLUMNS:
        for d in FEATURES:
            n = int(rng.choice([1, 5, 31, 64, 200, 530]))
            X = features(rng, n, d, dtype, sparse=storage.startswith("csr"))
            theta = theta_of(rng, d, K, rng.choice(DTYPES, p=[0.3, 0.7]))
            expected = Expected(X, theta)
            exact = {output: expected.output(output) for output in OUTPUTS}
            problems.append((STORAGES[storage](X), theta, int(rng.integers(1, 4)), exact))
    return problems


@pytest.mark.parametrize("storage", storages)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_shape_within_rounding_of_the_reference(level, dtype, storage):
    worst = dict.fromkeys(OUTPUTS, 0.0)
    for X, theta, n_threads, exact in sweep(dtype, storage):
        for output, (right, bound) in exact.items():
            got = predict(X, theta, output, n_threads=n_threads)
            assert got.dtype == dtype
            share = assert_close(
                got, right, bound, f"{output} {X.shape} {theta.shape[1]} theta={theta.dtype}"
            )
            worst[output] = max(worst[output], share)
    print({name: f"{share:.1%} of its bound" for name, share in worst.items()})


@pytest.mark.parametrize("storage", ["C", "F", "csr32", "csr64"])
@pytest.mark.parametrize("K", [1, 3, 30])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_on_any_number_of_threads(level, dtype, K, storage, many_pieces):
    """Here the pieces follow the threads: a row must not depend on which piece it is in."""
    rng = np.random.default_rng(K)
    X, theta = (
        features(rng, 1777, 23, dtype, sparse=storage.startswith("csr")),
        theta_of(rng, 23, K, np.float64),
    )
    data = STORAGES[storage](X)
    for output in OUTPUTS:
        alone = predict(data, theta, output, n_threads=1)
        for n_threads in (2, 3, 7):
            np.testing.assert_array_equal(predict(data, theta, output, n_threads=n_threads), alone)


@pytest.mark.parametrize("storage", ["C", "F", "csr32"])
@pytest.mark.parametrize("K", [1, 3, 30])
def test_few_rows_at_a_time_or_all_at_once(level, K, storage):
    """A service that asks row by row gets what a batch gets, but for the order of sums."""
    rng = np.random.default_rng(K)
    X, theta = (
        features(rng, 40, 19, np.float64, sparse=storage.startswith("csr")),
        theta_of(rng, 19, K, np.float64),
    )
    for output in OUTPUTS:
        whole = predict(STORAGES[storage](X), theta, output)
        rows = [predict(STORAGES[storage](X[i : i + 1]), theta, output) for i in range(40)]
        np.testing.assert_allclose(np.concatenate(rows), whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("n", "d", "K"), [(8, 2000, 300), (130, 2600, 301), (300, 300, 130), (1100, 300, 200), (2001, 64, 70)]
)
def test_dense_rows_and_many_classes(n, d, K, dtype, monkeypatch):
    """BLAS multiplies these with the coefficients where they are, in either order, on any number of threads."""
    products = []
    matmul = np.matmul
    monkeypatch.setattr(np, "matmul", lambda *a, **k: (products.append(len(a[0])), matmul(*a, **k)))
    rng = np.random.default_rng(n)
    X, theta = features(rng, n, d, dtype, sparse=False), theta_of(rng, d, K, dtype)
    exact = Expected(X, theta)
    for order, output in itertools.product("CF", OUTPUTS):
        coef = np.asarray(theta[:-1].T, order=order)
        results = [
            evaluate(np.asarray(X, order=of_rows), coef, theta[-1], output, n_threads)
            for of_rows, n_threads in itertools.product("CF", (1, 3))
        ]
        assert all(finite for _, finite in results)
        for got, _ in results:
            assert_close(got, *exact.output(output), f"{order} {output}")
        for one, three in (results[:2], results[2:]):
            np.testing.assert_array_equal(one[0], three[0])
    assert products
    X[n // 2, d // 2] = np.nan
    got, finite = evaluate(X, coef, theta[-1], "proba")
    assert not finite
    assert np.flatnonzero(np.isnan(got).any(axis=1)).tolist() == [n // 2]


@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_probabilities_keep_their_digits(level, dtype):
    """Columns are 1 - p and p, each computed for itself; log-probabilities stay exact where these underflow."""
    z = np.array([0, 1e-6, -1e-6, 0.5, -2, 15, -36, 40, -70, 88.5, -101, 700, -745.5, 3000, -1e30], dtype)
    X, theta = z[:, None], np.array([[1.0], [0.0]])
    np.testing.assert_array_equal(predict(X, theta, "logits"), z)
    proba, log_proba = predict(X, theta, "proba"), predict(X, theta, "log_proba")
    assert proba.shape == log_proba.shape == (len(z), 2)
    for i, value in enumerate(z):
        _, p, log_p = exact_row([0, value])
        for k in range(2):
            assert error_in_roundoffs(proba[i, k], p[k], dtype) <= 8
            assert error_in_roundoffs(log_proba[i, k], log_p[k], dtype) <= 8
    assert np.isfinite(log_proba).all()
    assert (proba >= 0).all() and (proba <= 1).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_multinomial_log_probabilities_never_underflow(level, dtype):
    for K in (3, 30):
        theta = np.zeros((2, K))
        theta[0, 0], theta[0, 1] = 1, -1
        X = np.array([[1], [50], [1000], [1e30], [-1e30]], dtype)
        log_proba = predict(X, theta, "log_proba")
        assert np.isfinite(log_proba).all()
        for x, row in zip(X[:, 0], log_proba, strict=True):
            _, _, exact = exact_row(np.array([x, -x, *[0] * (K - 2)], dtype))
            u = unit_roundoff(dtype)
            for got, value in zip(row, exact, strict=True):
                # z - m is rounded once; where exp(z - m) is felt at all, that is (rho + 8 + ceil(log2 K)) u
                rounding = mpmath.mpf(8 + 5 + min(2 * abs(float(x)), 150)) * u
                assert (
                    abs(mpmath.mpf(float(got)) - value)
                    <= rounding * abs(value) + np.finfo(dtype).smallest_normal
                )


@pytest.mark.parametrize("storage", storages)
def test_results_agree_with_each_other(level, storage):
    rng = np.random.default_rng(9)
    for K in (1, 2, 7, 40):
        X, theta = features(rng, 100, 12, np.float64, sparse=True), theta_of(rng, 12, K, np.float64)
        logits, p, log_p = (predict(STORAGES[storage](X), theta, output) for output in OUTPUTS)
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)
        np.testing.assert_allclose(np.exp(log_p), p, rtol=1e-13)
        difference = logits if K == 1 else logits[:, 1] - logits[:, 0]
        np.testing.assert_allclose(log_p[:, 1] - log_p[:, 0], difference, rtol=1e-12, atol=1e-13)


def test_arguments_are_left_alone_and_may_be_read_only(many_pieces):
    rng = np.random.default_rng(3)
    for K in (1, 5, 40):
        X, theta = rng.normal(size=(300, 6)), theta_of(rng, 6, K, np.float64)
        kept = X.copy(), theta.copy()
        X.flags.writeable = theta.flags.writeable = False
        for data in (X, np.asfortranarray(X), sp.csr_array(X)):
            predict(data, theta, "proba", n_threads=2)
        np.testing.assert_array_equal(X, kept[0])
        np.testing.assert_array_equal(theta, kept[1])


def test_prediction_and_objective_see_the_same_logits():
    rng = np.random.default_rng(4)
    for K in (1, 5, 40):
        X, theta = rng.normal(size=(200, 15)), theta_of(rng, 15, K, np.float64)
        y = rng.integers(max(2, K), size=200, dtype=np.intp)
        losses = objective_of(X, y, n_classes=max(2, K), binary=K == 1).row_losses(theta)
        np.testing.assert_allclose(-predict(X, theta, "log_proba")[np.arange(200), y], losses, rtol=1e-13)


@pytest.mark.parametrize("K", [1, 3, 30])
@pytest.mark.parametrize("dtype", DTYPES)
def test_columns_that_never_occur_change_no_bit(dtype, K):
    rng = np.random.default_rng(K)
    X = sp.random_array((50, 10_000), density=0.0001, format="csr", dtype=dtype, random_state=rng)
    theta = theta_of(rng, 10_000, K, np.float64)
    used = np.unique(X.indices)
    fewer, theta_of_fewer = X[:, used], theta[np.append(used, -1)]
    for output in OUTPUTS:
        np.testing.assert_array_equal(predict(X, theta, output), predict(fewer, theta_of_fewer, output))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize(("dtype", "of_coef"), [*itertools.product(DTYPES, DTYPES)])
def test_bits_do_not_depend_on_how_coefficients_lie(level, dtype, of_coef, binary, order):
    """Few dense rows and sparse rows read them in place; edits count."""
    rng = np.random.default_rng(7)
    shapes = itertools.product((1,) if binary else (2, 3, 8, 19, 40), (1, 5, 8, 77), (1, 3, 17))
    for K, d, n in [
        *shapes,
        *[(1, 300, 50)] * binary,
        *[(60, 150, 2), (13, 400, 50), (600, 9, 3)] * (not binary),
    ]:
        coef = rng.standard_normal((K, d)).astype(of_coef)
        theta = np.vstack([coef.T, rng.standard_normal(K)]).astype(of_coef)
        X = features(rng, n, d, dtype, sparse=False)
        for rows in (X, np.asfortranarray(X), sp.csr_array(X), sp.csr_array(X * (rng.random(X.shape) < 0.1))):
            expected = Expected(rows, theta)
            for output in OUTPUTS:
                got, finite = evaluate(rows, np.asarray(coef, order=order), theta[-1], output)
                assert finite
                assert_close(got, *expected.output(output), f"{output} {rows.shape} {K}")
                np.testing.assert_array_equal(got, predict(rows, theta, output, n_threads=2), strict=True)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("storage", ["C", "csr32", "csr64"])
def test_a_few_rows_do_not_cost_a_copy_of_the_coefficients(storage, order):
    rng = np.random.default_rng(0)
    K, d = 50, 4000
    coef, intercept = np.asarray(rng.standard_normal((K, d)), order=order), np.zeros(K)
    X = STORAGES[storage](features(rng, 2, d, np.float64, sparse=False) * (rng.random((2, d)) < 0.01))
    evaluate(X, coef, intercept, "proba")  # threads may start
    tracemalloc.start()
    evaluate(X, coef, intercept, "proba")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < coef.nbytes / 8


@pytest.mark.parametrize("n", [9, 200])
@pytest.mark.parametrize("storage", ["C", "csr32"])
def test_the_number_of_threads_does_not_show_where_classes_or_rows_are_shared_out(storage, n, monkeypatch):
    rng = np.random.default_rng(3)
    theta = theta_of(rng, 60, 100, np.float64)
    X = STORAGES[storage](features(rng, n, 60, np.float64, sparse=False))
    at_once = predict(X, theta, "logits")
    monkeypatch.setattr(prediction, "MIN_RANGE", 1)
    np.testing.assert_array_equal(predict(X, theta, "logits"), at_once)
    for output in OUTPUTS:
        alone = predict(X, theta, output, n_threads=1)
        for n_threads in (2, 3, 7):
            np.testing.assert_array_equal(predict(X, theta, output, n_threads=n_threads), alone)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("n", [2, 40])
def test_what_was_read_is_told_to_be_finite_or_not(n, order):
    coef = np.asarray(np.ones((3, 4)), order=order)
    dense = np.ones((n, 4))
    for X in (dense, sp.csr_array(dense)):
        for bad in (np.nan, np.inf, -np.inf):
            coef[1, 2] = bad
            for output in OUTPUTS:
                assert not evaluate(X, coef, np.zeros(3), output)[1]
        coef[1, 2] = 1
        assert evaluate(X, coef, np.zeros(3), "proba")[1]
        assert not evaluate(X, coef, np.array([0, np.nan, 0]), "proba")[1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("K", [1, 2, 7, 10, 20, 57, 130])
def test_many_rows_tell_where_an_entry_is_not_finite(level, dtype, K):
    """Whatever the weights it meets: a zero makes NaN of an infinite entry."""
    n, d = 2500, 40
    rng = np.random.default_rng(K)
    dense, theta = features(rng, n, d, dtype, sparse=True), theta_of(rng, d, K, dtype)
    theta[5] = 0
    theta[6] = -1
    assert np.count_nonzero(dense) > prediction.MOST_ENTRIES * d
    for storage, output in itertools.product(("C", "F", "csr"), OUTPUTS):
        X = np.array(dense, order=storage if storage != "csr" else "C")
        for place, bad in (((0, 0), np.nan), ((n - 1, 5), np.inf), ((1234, 6), np.inf), ((1235, 5), -np.inf)):
            X[place] = bad
            rows = csr(X, np.int32) if storage == "csr" else X
            assert not evaluate(rows, theta[:-1].T, theta[-1], output, 2)[1]
            X[place] = dense[place]
        rows = csr(X, np.int32) if storage == "csr" else X
        assert evaluate(rows, theta[:-1].T, theta[-1], output, 2)[1]


def test_kernels_of_few_rows_look_at_what_they_get():
    x, coef, intercept, z = np.ones((2, 3)), np.ones((4, 3)), np.zeros(4), np.empty((2, 4))
    rows = np.ones(2), np.array([0, 3]), np.array([0, 1, 2]), 2, 3
    places = np.empty(1, np.intp)
    room, kind = np.empty(kernels.few_room_size(2, 4)), kernels.KINDS["softmax"]
    kernels.logits_of_few(x, coef, intercept, z, 0, 4, room)
    for arguments, error in (
        ((x[:, :2].copy(), coef, intercept, z, 0, 4, room), ValueError),
        ((x, coef[:, ::2], intercept, z, 0, 4, room), ValueError),
        ((x, coef[0], intercept, z, 0, 4, room), ValueError),
        ((x, coef, intercept[:3], z, 0, 4, room), ValueError),
        ((x, coef, intercept, z[:1], 0, 4, room), ValueError),
        ((x, coef, intercept, z, 0, 5, room), IndexError),
        ((x, coef, intercept, z, 0, 4, room[1:]), ValueError),
        ((x, coef, intercept, z, 0, 4), TypeError),
    ):
        with pytest.raises(error):
            kernels.logits_of_few(*arguments)
    for arguments, error in (
        ((x[:, :2].copy(), coef, intercept, z, kind), ValueError),
        ((x, coef[:, ::2], intercept, z, kind), ValueError),
        ((x, coef, intercept[:3], z, kind), ValueError),
        ((x, coef, intercept, z[:1], kind), ValueError),
        ((x, coef[:1], intercept[:1], z[:1, :3], kind), ValueError),
    ):
        with pytest.raises(error):
            kernels.outputs_of_few(*arguments)
    with pytest.raises(IndexError, match="column"):
        kernels.logits_of_entries(rows, coef, intercept, z, 0, 2, places)
    with pytest.raises(IndexError, match="column"):
        kernels.outputs_of_entries(rows, coef, intercept, z, kind, 1)
    inside = (np.ones(2), np.array([0, 2]), np.array([0, 1, 2]), 2, 3)
    with pytest.raises(IndexError, match="more than 0 entries"):
        kernels.outputs_of_entries(inside, coef, intercept, z, kind, 0)
    with pytest.raises(ValueError, match="buffer"):
        kernels.outputs_of_entries(inside, coef, intercept, z[:1], kind, 1)
