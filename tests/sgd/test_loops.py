"""The jitted loops against plain dense NumPy, row by row in the same order."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from fastxent import kernels, parallel
from fastxent.sgd import rules
from fastxent.sgd.optimizers import OPTIMIZERS as ALL
from fastxent.sgd.options import Options
from fastxent.sgd.trainer import Data, Training
from sgd_plain import descend, loss_and_gradient

OPTIMIZERS = [name for name in ALL if name != "svrg"]  # has a loop and a test of its own
N, D = 90, 23
PENALTIES = {"none": (0.0, 0.0), "l2": (0.0, 0.05), "l1": (0.05, 0.0), "elasticnet": (0.05, 0.05)}


def problem(K, seed=0):
    """Rows of which most have few features, and a column in hardly any."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, D)) * (rng.random((N, D)) < 0.2)
    X[:, 3] = 0.0
    X[4, 3], X[80, 3] = 1.5, -2.0
    X[7] = 0.0
    y = rng.integers(0, max(K, 2), N)
    return X, y, rng.permutation(N)


def stored(X, storage, dtype):
    if storage == "dense":
        return np.ascontiguousarray(X, dtype)
    if storage == "fortran":
        return np.asfortranarray(X, dtype)
    A = sp.csr_array(X.astype(dtype))
    index = np.int32 if storage == "csr32" else np.int64
    out = sp.csr_array(A.shape, dtype=dtype)
    out.data, out.indices, out.indptr = A.data, A.indices.astype(index), A.indptr.astype(index)
    return out


def train(X, y, K, order, options, weights=None, pieces=1, theta0=None):
    theta0 = np.zeros((X.shape[1] + 1, K), X.dtype) if theta0 is None else theta0.astype(X.dtype)
    training = Training(options, theta0)
    data = Data(options, X, y.astype(np.intp), max(K, 2), K, weights)
    loss = 0.0
    for piece in np.array_split(order, pieces):
        loss += training.run(data, piece)[0]
    return training.theta(), loss


def test_a_training_is_given_up_when_it_is_a_piece_of_a_run_that_is_stopped(monkeypatch):
    """As when Ctrl-C ends a search over folds, whose fits run in several threads."""
    X, y, order = problem(3)
    call = parallel._Call(str, 2, 2)
    monkeypatch.setattr(parallel._here, "call", call, raising=False)
    train(X, y, 3, order, Options("sgd", eta0=0.1))
    call.stopped = True
    with pytest.raises(parallel._Stopped):
        train(X, y, 3, order, Options("sgd", eta0=0.1))


@pytest.mark.parametrize("K", [1, 3, 20])
@pytest.mark.parametrize("storage", ["dense", "fortran", "csr32", "csr64"])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_loops_equal_plain_numpy(optimizer, penalty, storage, K):
    l1, l2 = PENALTIES[penalty]
    X, y, order = problem(K)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, N)
    eta0 = 0.02 if optimizer in ("rmsprop", "adam", "adamw") else 0.2
    for batch, row_weight in itertools.product((1, 7), (None, weights)):
        options = Options(
            optimizer=optimizer, l1=l1, l2=l2, schedule="invscaling", power=0.3, eta0=eta0, batch=batch
        )
        theta, loss = train(stored(X, storage, np.float64), y, K, order, options, row_weight)
        expected, total = descend(
            X,
            y,
            np.zeros((D + 1, K)),
            order,
            optimizer=optimizer,
            l1=l1,
            l2=l2,
            rate=lambda t: eta0 / t**0.3,
            batch=batch,
            weights=row_weight,
            eta0=eta0,
            era=rules.FIRST_ERA if storage.startswith("csr") else None,
        )
        np.testing.assert_allclose(theta, expected, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(loss, total, rtol=1e-10)
        np.testing.assert_array_equal(theta == 0, expected == 0)


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("storage", ["csr32", "csr64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_automatic_steps_are_the_same_in_every_storage(optimizer, storage, batch):
    """Also of a feature that few rows have: ftrl's weights change with its step size, and that with all rows."""
    X, y, order = problem(3)
    options = Options(optimizer=optimizer, batch=batch, schedule="constant")
    dense, loss = train(X, y, 3, order, options)
    sparse, same = train(stored(X, storage, np.float64), y, 3, order, options)
    np.testing.assert_allclose(sparse, dense, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(same, loss, rtol=1e-10)


LONG = PENALTIES | {"half of a weight": (0.0, 8.0), "all of it": (0.0, 40.0), "all, and L1": (0.02, 40.0)}


@pytest.mark.parametrize("K", [1, 3, 7, 20])
@pytest.mark.parametrize("d", [3, 16, 61, 300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_minibatch_of_several_blocks_has_the_gradient_of_its_rows(dtype, d, K):
    """While tiles multiply, they fetch the rows that come later in the order, to its very end."""
    rng = np.random.default_rng(d)
    X, y = rng.normal(size=(700, d)).astype(dtype), rng.integers(0, max(K, 2), 700)
    order = rng.permutation(700)[:650].astype(np.intp)
    options = Options("sgd", eta0=0.1, schedule="constant", batch=300)
    theta, loss = train(X, y, K, order, options)
    expected, total = np.zeros((d + 1, K)), 0.0
    for rows in np.split(order, [300, 600]):
        value, gradient = loss_and_gradient(X[rows].astype(float), y[rows], np.ones(len(rows)), expected)
        total += value
        expected -= 0.1 * gradient
    rtol = 1e-4 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(theta, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    np.testing.assert_allclose(loss, total, rtol=rtol)


@pytest.mark.parametrize("storage", ["dense", "fortran"])
@pytest.mark.parametrize("d", [5, 40])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_measured_as_they_come_into_a_minibatch(dtype, d, storage):
    rng = np.random.default_rng(0)
    X = stored(rng.normal(5.0, 1.0, (100, d)) * 4.0 ** np.arange(d).clip(0, 9), storage, dtype)
    options = Options("sgd", batch=8, by_column=True)
    training = Training(options, np.zeros((d + 1, 3), dtype))
    data = Data(options, X, rng.integers(0, 3, 100), 3, 3, None)
    training.run(data, rng.permutation(100))
    assert (training.standard.shift != 0).any() and (training.standard.factor != 1).any()
    some = rng.permutation(100)[:20]  # too few for new units
    training.run(data, some)
    expected = np.zeros(100)
    data.features.squares(some, *training.standard, expected)
    own = (X[some] - training.standard.shift) * training.standard.factor
    np.testing.assert_allclose(expected[some], (own**2).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(
        data.squares[some], expected[some], rtol=1e-12 if dtype == np.float64 else 1e-5
    )


def test_momentum_takes_longer_steps_only_in_large_minibatches():
    """They are limited by curvature; small ones by the noise of single rows."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(4096, 30)), rng.integers(0, 3, 4096)
    reach = {}
    for batch, optimizer in itertools.product((4, 2048), ("sgd", "momentum", "nesterov")):
        options = Options(optimizer, batch=batch, schedule="constant")
        training = Training(options, np.zeros((31, 3)))
        training.run(Data(options, X, y, 3, 3, None), np.arange(4096))
        reach[batch, optimizer] = training._rule().most / (1.0 - options.beta)
    for optimizer in ("momentum", "nesterov"):
        assert reach[4, optimizer] == pytest.approx(reach[4, "sgd"])
        assert reach[2048, optimizer] == pytest.approx(1.9 / 0.28 * reach[2048, "sgd"])


@pytest.mark.parametrize("storage", ["dense", "csr32"])
@pytest.mark.parametrize("penalty", LONG)
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adamw"])
def test_thousands_of_steps_equal_a_plain_loop_to_rounding(optimizer, penalty, storage):
    """w -= eta (g + l2 w), row by row and by batches; a penalty of more than the weight leaves nothing of it."""
    l1, l2 = LONG[penalty]
    X, y, _ = problem(3)
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(N) for _ in range(30)])
    eta0 = 0.02 if optimizer == "adamw" else 0.1
    for batch in (1, 7):
        options = Options(
            optimizer=optimizer, l1=l1, l2=l2, schedule="invscaling", power=0.1, eta0=eta0, batch=batch
        )
        theta, _ = train(stored(X, storage, np.float64), y, 3, order, options)
        settings = {"optimizer": optimizer, "l1": l1, "l2": l2, "batch": batch, "eta0": eta0}
        expected, _ = descend(X, y, np.zeros((D + 1, 3)), order, rate=lambda t: eta0 / t**0.1, **settings)
        np.testing.assert_allclose(theta, expected, rtol=1e-12, atol=1e-13)
        np.testing.assert_array_equal(theta == 0, expected == 0)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_eras_and_worn_out_momentum(optimizer, penalty, monkeypatch):
    """Many updates: parameters are brought up to date now and then, and gaps outlive a short momentum."""
    monkeypatch.setattr(rules, "FIRST_ERA", 60)
    l1, l2 = PENALTIES[penalty]
    X, y, order = problem(3)
    order = np.tile(order, 5)
    options = Options(optimizer=optimizer, l1=l1, l2=l2, momentum=0.3, schedule="constant", eta0=0.05)
    theta, _ = train(stored(X, "csr32", np.float64), y, 3, order, options)
    settings = {"optimizer": optimizer, "l1": l1, "l2": l2, "momentum": 0.3, "eta0": 0.05, "batch": 1}
    expected, _ = descend(X, y, np.zeros((D + 1, 3)), order, rate=lambda t: 0.05, era=60, **settings)
    np.testing.assert_allclose(theta, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("storage", ["dense", "csr32"])
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_average_of_the_iterates(penalty, batch, storage):
    l1, l2 = PENALTIES[penalty]
    X, y, order = problem(3)
    options = Options(l1=l1, l2=l2, schedule="constant", eta0=0.1, batch=batch, average_from=7)
    theta, _ = train(stored(X, storage, np.float64), y, 3, order, options)
    every = 8 if storage == "dense" and batch == 1 else 1
    iterates = []
    for stop in range(batch, N + 1, batch):
        t = stop // batch
        if t > 7 and t % every == 0:
            settings = {"optimizer": "sgd", "l1": l1, "l2": l2, "rate": lambda t: 0.1, "batch": batch}
            iterates.append(descend(X, y, np.zeros((D + 1, 3)), order[:stop], **settings)[0])
    np.testing.assert_allclose(theta, np.mean(iterates, axis=0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("storage", ["dense", "csr32"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_float32(optimizer, storage):
    X, y, order = problem(20)
    options = Options(optimizer=optimizer, l2=0.01, schedule="constant", eta0=0.05, batch=3)
    single, _ = train(stored(X, storage, np.float32), y, 20, order, options)
    double, _ = train(stored(X, storage, np.float64), y, 20, order, options)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=1e-3, atol=2e-5)


def test_intercept_can_be_left_out():
    X, y, order = problem(3)
    for optimizer, batch in (("sgd", 1), ("sgd", 4), ("adam", 4)):
        for storage in ("dense", "csr32"):
            options = Options(optimizer=optimizer, batch=batch, eta0=0.1, fit_intercept=False)
            theta, _ = train(stored(X, storage, np.float64), y, 3, order, options)
            assert not theta[-1].any() and theta[:-1].any()


@pytest.mark.parametrize("optimizer", sorted(ALL.keys() - {"svrg"}))
def test_average_of_full_steps(optimizer):
    """Under L1, which full batches take at once, without the memory that single rows have for it."""
    start, *gradients = np.random.default_rng(0).normal(size=(6, D + 1, 3))
    options = Options(optimizer=optimizer, l1=0.05, l2=0.1, schedule="constant", eta0=0.1, batch=0)
    plain, averaged = (
        Training(options, start.copy()),
        Training(replace(options, average_from=0), start.copy()),
    )
    iterates = []
    for gradient in gradients:
        plain.step(gradient)
        averaged.step(gradient)
        iterates.append(plain.theta())
        np.testing.assert_array_equal(averaged.weights(), plain.theta())
    np.testing.assert_allclose(averaged.theta(), np.mean(iterates, axis=0), rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("storage", ["dense", "csr32", "csr64"])
@pytest.mark.parametrize("K", [1, 3, 20])
def test_variance_reduced_steps_equal_plain_numpy(K, storage, weighted):
    """Under L2; the flow under a constant gradient and L1 has a test of its own."""
    X, y, order = problem(K)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, N) if weighted else np.ones(N)
    eta, l2 = 0.05, 0.1
    options = Options(optimizer="svrg", l2=l2, eta0=eta, schedule="constant")
    snapshot = 0.1 * np.random.default_rng(2).normal(size=(D + 1, K))
    mean = loss_and_gradient(X, y, weights, snapshot)[1]
    training = Training(options, snapshot.copy())
    data = Data(options, stored(X, storage, np.float64), y.astype(np.intp), max(K, 2), K, weights)
    training.snapshot(data, mean)
    training.run(data, order)

    theta, short = snapshot.copy(), -np.expm1(-l2 * eta) / l2
    for i in order:
        row = [i]
        here, there = (loss_and_gradient(X[row], y[row], weights[row], v)[1] for v in (theta, snapshot))
        g = (here - there) * weights[i] * N / weights.sum() + mean
        theta[:-1] = (1 - l2 * short) * theta[:-1] - short * g[:-1]
        theta[-1] -= eta * g[-1]
    np.testing.assert_allclose(training.theta(), theta, rtol=1e-9, atol=1e-12)


def test_drift_is_the_solution_of_its_equation():
    rng = np.random.default_rng(0)
    mean, start = rng.normal(size=50), rng.normal(size=50) * (rng.random(50) < 0.7)
    for l1, l2 in ((0.0, 0.0), (0.0, 0.5), (0.4, 0.0), (0.4, 0.5)):
        w, fine = start.copy(), start.copy()
        kernels.drift_weights(w, mean, 1.5, l1, l2)
        steps = 30_000
        for _ in range(steps):  # backward Euler for the kink, forward for the rest
            x = fine - 1.5 / steps * (mean + l2 * fine)
            fine = np.sign(x) * np.maximum(np.abs(x) - l1 * 1.5 / steps, 0.0)
        np.testing.assert_allclose(w, fine, atol=2e-4)
        twice = start.copy()
        kernels.drift_weights(twice, mean, 0.6, l1, l2)
        kernels.drift_weights(twice, mean, 0.9, l1, l2)
        np.testing.assert_allclose(twice, w, rtol=1e-12, atol=1e-14)
