"""Columns in units of their own: what is known of them, what becomes of weights, and that the model stays the same."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from fastxent import LogisticRegression, SGDClassifier
from fastxent.data.rows import features_of
from fastxent.sgd.columns import Columns, Standard
from fastxent.sgd.optimizers import OPTIMIZERS
from fastxent.sgd.options import Options
from fastxent.sgd.trainer import Data, Training
from sgd_plain import descend, loss_and_gradient

N, SIZES, MEANS = 120, np.array([1.0, 1e4, 1e-3, 30.0, 2.0]), np.array([0.0, 1e6, 0.0, 2000.0, 0.5])


def table(rows=N, seed=0):
    """Columns of very different sizes, some far from zero, one of them mostly empty, and labels by all of them."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(rows, len(SIZES)))
    Z[:, 2] *= rng.random(rows) < 0.1
    logits = Z @ rng.normal(size=(len(SIZES), 3)) * 2.0 + rng.gumbel(size=(rows, 3))
    return np.where(Z == 0.0, 0.0, Z * SIZES + MEANS), logits.argmax(axis=1)


def observed(X, pieces=1, centred=True):
    columns = Columns(X.shape[1], X.dtype, centred)
    for piece in np.array_split(np.arange(X.shape[0]), pieces):
        columns.observe(features_of(X), piece)
    return columns


def test_weights_and_gradients_go_there_and_back():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 5)), rng.integers(0, 3, N)
    standard = Standard(rng.normal(size=5), 2.0 ** rng.integers(-9, 9, 5))
    theta = rng.normal(size=(6, 3))
    own = standard.own_weights(theta)
    assert_allclose(standard.natural_weights(own), theta, rtol=1e-12)
    rows = (X - standard.shift) * standard.factor
    assert_allclose(rows @ own[:-1] + own[-1], X @ theta[:-1] + theta[-1], rtol=1e-9)
    theta = standard.natural_weights(0.1 * theta)
    _, natural = loss_and_gradient(X, y, np.ones(N), theta)
    _, wanted = loss_and_gradient(rows, y, np.ones(N), standard.own_weights(theta))
    assert_allclose(standard.own_gradient(natural), wanted, rtol=1e-7, atol=1e-9)
    assert_allclose(standard.natural_gradient(wanted), natural, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("store", [np.array, sp.csr_array])
def test_what_is_known_does_not_depend_on_pieces_or_storage(store):
    X, _ = table(3000)
    once = observed(X)
    for pieces in (1, 2, 7, 100):
        assert_array_equal(observed(store(X), pieces)._known, once._known)
        assert observed(store(X), pieces)._mass == once._mass


def test_moments_are_those_of_numpy():
    X, _ = table(512)  # all of which are looked at
    columns = observed(sp.csr_array(X))
    mean, variance, square, size = columns._moments()
    assert_allclose(mean, X.mean(axis=0), rtol=1e-10)
    assert_allclose(variance, X.var(axis=0), rtol=1e-6)
    assert_allclose(square, (X**2).mean(axis=0), rtol=1e-10)
    assert_allclose(size, [(x[x != 0] ** 2).mean() for x in X.T], rtol=1e-10)
    columns.review()
    shift, factor = columns.standard
    assert_allclose(columns.mean_square(), (((X - shift) * factor) ** 2).sum(axis=1).mean(), rtol=1e-6)


def test_units_are_powers_of_two_that_bring_columns_to_like_size():
    X, _ = table(600)
    columns = observed(X)
    columns.review()
    shift, factor = columns.standard
    assert_array_equal(np.frexp(factor)[0], 0.5)
    Z = (X - shift) * factor
    sizes = np.array([np.sqrt((z[x != 0] ** 2).mean()) for z, x in zip(Z.T, X.T, strict=True)])
    assert sizes.max() < 16.0 * sizes.min()
    assert (np.abs(Z.mean(axis=0)) < 3.0 * Z.std(axis=0)).all()
    assert shift[2] == 0.0  # a word that is rare is not far from zero
    columns.change(False, False)
    columns.review()
    assert_array_equal(columns.standard.shift, 0.0)


def categories(rows=4096, seed=0):
    """One of two frequent columns in each row, and one of sixty others."""
    rng = np.random.default_rng(seed)
    levels = np.column_stack([rng.integers(0, 2, rows), 2 + rng.integers(0, 60, rows)])
    return np.eye(62)[levels].sum(axis=1), rng.integers(0, 3, rows)


@pytest.mark.parametrize("store", [np.array, sp.csr_array])
def test_columns_that_many_rows_of_a_minibatch_have_are_made_smaller(store):
    X, _ = categories()
    factors = {}
    for together in (1, 16, 1024):
        columns = Columns(62, X.dtype, True, together=together)
        columns.observe(features_of(store(X)), np.arange(len(X)))
        columns.review()
        factors[together] = np.ones(62) if columns.standard is None else columns.standard.factor
        assert columns.standard is None or not columns.standard.shift.any()
    assert_array_equal(factors[1], 1.0)
    for together in (16, 1024):
        frequent, rare = factors[together][:2], factors[together][2:]
        assert_array_equal(rare, 1.0)
        # two entries a row, each of mean square 1/2 or 1/60, of 2 in total
        ratio = np.sqrt((1 + (together - 1) / 2) / (1 + (together - 1) / 60))
        assert ((frequent > 0.5 / ratio) & (frequent < 2.0 / ratio)).all()  # the nearest powers of two


@pytest.mark.parametrize("store", [np.array, sp.csr_array])
def test_minibatches_of_full_rows_are_centred(store):
    X = 1.0 + np.random.default_rng(0).exponential(size=(4096, 8))
    X[:, 7] = np.random.default_rng(1).normal(size=4096)  # near zero already
    for together, shifted in ((1, np.arange(8) < 7), (64, np.arange(8) < 7)):
        columns = Columns(8, X.dtype, True, together=together)
        columns.observe(features_of(store(0.2 + X)), np.arange(4096))
        columns.review()
        assert_array_equal(columns.standard.shift != 0.0, shifted)


@pytest.mark.parametrize("rows", [256, 1024])
@pytest.mark.parametrize("options", [{}, {"average_from": 0}, {"l1": 1e-4}, {"optimizer": "momentum"}])
@pytest.mark.parametrize("store", [np.array, sp.csr_array])
def test_weights_stay_the_same_in_other_units(store, options, rows):
    """After 256 rows these are the first; before, each update applied the penalty."""
    X, y = categories()
    options = Options(batch=32, l2=1e-3, by_column=True, **options)
    training, data = Training(options, np.zeros((63, 3))), Data(options, store(X), y, 3, 3, None)
    training.run(data, np.arange(rows))
    assert (training.standard is None) == (rows == 256)
    before, mean = training.theta(averaged=False), training.theta()
    factor = np.ones(62) if training.standard is None else training.standard.factor
    training.columns.change(True, False, 1024)
    training._review()
    assert (training.standard.factor[:2] < factor[:2]).all()
    assert_allclose(training.theta(averaged=False), before, rtol=1e-12, atol=1e-15)
    assert_allclose(training.theta(), mean, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("store", [np.array, sp.csr_array])
def test_columns_that_are_alike_are_taken_as_they_are(store):
    rng = np.random.default_rng(0)
    for X in (
        rng.normal(size=(500, 6)),
        1e-5 * rng.normal(size=(500, 6)),
        np.ones((500, 1)),
        np.zeros((500, 2)),
    ):
        columns = observed(store(X))
        columns.review()
        assert columns.standard is None


def test_a_column_without_spread_has_no_shift_and_does_no_harm():
    X, y = table()
    for value in (0.1, 1e6, -3e-7):
        both = np.column_stack([X, np.full(N, value)])
        columns = observed(both)
        columns.review()
        assert columns.standard.shift[-1] == 0.0
        model = SGDClassifier(random_state=0, penalty=None).fit(both, y)
        assert model.converged_
        assert model.score(both, y) > SGDClassifier(random_state=0, penalty=None).fit(X, y).score(X, y) - 0.05


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("store", [np.array, np.asfortranarray, sp.csr_array])
@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if name not in ("svrg", "ftrl")])
def test_steps_are_those_of_plain_descent_over_standardised_rows(optimizer, store, batch):
    X, y = table()
    options = Options(optimizer, schedule="constant", eta0=0.05, batch=batch, by_column=True)
    training = Training(options, np.zeros((6, 3)))
    data = Data(options, store(X), y, 3, 3, None)
    training.look_at(data.features, np.arange(N), None)
    shift, factor = training.standard
    order = np.random.default_rng(1).permutation(N)[:8]  # before the next review
    loss, _ = training.run(data, order)
    wanted, wanted_loss = descend(
        (X - shift) * factor, y, np.zeros((6, 3)), order,
        optimizer=optimizer, l1=0.0, l2=0.0, rate=lambda t: 0.05, batch=batch, momentum=options.momentum,
    )  # fmt: skip
    assert_allclose(loss, wanted_loss, rtol=1e-9)
    assert_allclose(training.theta(), training.standard.natural_weights(wanted), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("store", [np.array, sp.csr_array])
@pytest.mark.parametrize("penalty", ["l2", "l1", None])
@pytest.mark.parametrize(
    ("optimizer", "batch_size"),
    [("sgd", 1), ("sgd", 8), ("momentum", 1), ("adagrad", 8), ("adam", 8), ("ftrl", 1)],
)
def test_pieces_end_with_the_same_bits(optimizer, batch_size, penalty, store):
    """Units change on the way, at the same rows, whether somebody looks at the weights in between or not."""
    X, y = table(400)
    how = {"optimizer": optimizer, "batch_size": batch_size, "penalty": penalty, "alpha": 0.01}
    one = SGDClassifier(**how).partial_fit(store(X), y, classes=range(3))
    other = SGDClassifier(**how)
    for first in range(0, 400, 80):
        other.partial_fit(store(X[first : first + 80]), y[first : first + 80], classes=range(3))
    assert_array_equal(other.coef_, one.coef_)
    assert_array_equal(other.intercept_, one.intercept_)


@pytest.mark.parametrize("store", [np.array, sp.csr_array])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adagrad", "svrg"])
def test_the_penalty_is_that_of_the_features_as_they_are(optimizer, penalty, store):
    """The optimum is the one of LogisticRegression, whatever units descent goes by."""
    rng = np.random.default_rng(0)
    sizes = np.array([1.0, 100.0, 1e-2, 1.0])
    Z = rng.normal(size=(300, 4))
    X, y = Z * sizes, (Z @ [1.0, -1.0, 2.0, 0.5] + rng.logistic(size=300) > 0).astype(int)
    alpha, share = 0.05, 1.0 if penalty == "l1" else 0.0
    best = LogisticRegression(C=1.0 / (alpha * 300), l1_ratio=share, tol=1e-9).fit(X, y)
    model = SGDClassifier(
        optimizer=optimizer, penalty=penalty, alpha=alpha, max_iter=150, tol=None, random_state=0
    ).fit(store(X), y)

    def objective(model):
        w = model.coef_[0]
        z = X @ w + model.intercept_
        return np.logaddexp(0.0, np.where(y == 1, -z, z)).mean() + alpha * (
            np.abs(w).sum() if share else 0.5 * w @ w
        )

    assert objective(model) < objective(best) + 2e-3
