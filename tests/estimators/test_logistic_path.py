"""The path: its first penalty, its order, every fit an optimum, its options and refusals."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from fastxent import LogisticRegression, logistic_path


def problem(n_classes, n=150, d=8, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + 0.5
    y = np.argmax(X[:, :4] @ rng.normal(size=(4, n_classes)) + rng.gumbel(size=(n, n_classes)), axis=1)
    y[:n_classes] = np.arange(n_classes)
    return X, y


# Not an even number: sum_k |w_k - t| is least at the median, with an even number of classes at all t between two.
@pytest.fixture(params=[2, 3], ids=["binary", "multinomial"])
def data(request):
    return problem(request.param)


@pytest.mark.parametrize("storage", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("groups", [None, "features"])
def test_begins_where_all_weights_are_zero(data, storage, l1_ratio, groups):
    X, y = data
    path = logistic_path(storage(X), y, n_alphas=20, l1_ratio=l1_ratio, penalty_groups=groups, tol=1e-10)
    assert not path.coefs[0].any()
    assert path.coefs[1].any()
    assert path.converged.all()
    assert (np.diff(path.alphas) < 0).all() and (np.diff(path.Cs) > 0).all()
    assert (np.diff(path.objectives) < 0).all()
    assert_allclose(path.alphas[[0, -1]] / path.alphas[0], [1.0, 1e-3])
    if groups and len(path.classes) > 2:
        zeros = (path.coefs == 0).sum(axis=1)
        assert set(np.unique(zeros)) == {0, path.coefs.shape[1]}


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("arguments", [{}, {"penalty_groups": "features"}, {"class_weight": "balanced"}])
def test_each_fit_is_that_of_the_estimator(data, l1_ratio, arguments):
    X, y = data
    weight = np.random.default_rng(1).uniform(0, 2, len(y))
    arguments = arguments | {"l1_ratio": l1_ratio, "penalty_factor": np.linspace(0, 2, X.shape[1])}
    path = logistic_path(X, y, Cs=[10.0, 0.1, 1.0], sample_weight=weight, tol=1e-14, **arguments)
    assert_array_equal(path.Cs.round(9), [0.1, 1.0, 10.0])
    for C, coef, intercept, value in zip(path.Cs, path.coefs, path.intercepts, path.objectives, strict=True):
        model = LogisticRegression(C=C, tol=1e-14, **arguments).fit(X, y, sample_weight=weight)
        assert_allclose(coef, model.coef_, atol=1e-5)
        assert_allclose(intercept, model.intercept_, atol=1e-5)
        assert_allclose(value, model.history_["loss"][-1], rtol=1e-11)
        assert_array_equal(coef == 0, model.coef_ == 0)


def test_factors_of_zero_stay_in_the_model(data):
    X, y = data
    factor = np.ones(X.shape[1])
    factor[2] = 0.0
    path = logistic_path(X, y, n_alphas=5, penalty_factor=factor, tol=1e-10)
    assert path.coefs[0][:, 2].all()
    assert not np.delete(path.coefs[0], 2, axis=1).any()
    alone = LogisticRegression(C=np.inf, tol=1e-14).fit(X[:, [2]], y)
    assert_allclose(path.coefs[0][:, 2], alone.coef_[:, 0], atol=1e-4)


def test_warm_starts_save_iterations():
    X, y = problem(4, n=400, d=40)
    path = logistic_path(X, y, n_alphas=50, tol=1e-6)
    cold = [LogisticRegression(C=C, l1_ratio=1, tol=1e-6).fit(X, y).n_iter_[0] for C in path.Cs[1:]]
    assert path.n_iters[1:].sum() < 0.7 * sum(cold)
    assert (path.gaps <= 1e-6 * path.objectives).all()


def test_soft_labels_strings_and_single_precision(data):
    X, y = data
    K = y.max() + 1
    hard = logistic_path(X, y, n_alphas=5, tol=1e-9)
    soft = logistic_path(X, np.eye(K)[y], n_alphas=5, tol=1e-9)
    named = logistic_path(X, np.array(list("abc"))[y], n_alphas=5, tol=1e-9)
    single = logistic_path(X.astype(np.float32), y, n_alphas=5, tol=1e-9)
    assert_allclose(soft.coefs, hard.coefs, atol=1e-6)
    assert_array_equal(named.coefs, hard.coefs)
    assert_array_equal(named.classes, list("abc")[:K])
    assert single.coefs.dtype == single.intercepts.dtype == np.float32
    assert_allclose(single.objectives, hard.objectives, rtol=1e-5)


def test_same_bits_for_any_number_of_threads():
    X, y = problem(3, n=3000, d=40)
    one, two = (logistic_path(X, y, n_alphas=4, n_threads=n, random_state=5) for n in (1, 2))
    assert_array_equal(one.coefs, two.coefs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"Cs": [1.0, -1.0]}, r"Cs\[1\] is -1"),
        ({"Cs": []}, "at least one"),
        ({"Cs": [np.inf]}, r"Cs\[0\] is inf"),
        ({"n_alphas": 0}, "n_alphas"),
        ({"eps": 1.0}, "eps"),
        ({"l1_ratio": 2.0}, "l1_ratio"),
        ({"penalty_factor": [1.0]}, "penalty_factor must have shape"),
        ({"penalty_factor": np.zeros(8)}, "penalised"),
        ({"solver": "metric"}, "does not support an L1"),
    ],
)
def test_refused(arguments, message):
    X, y = problem(3)
    with pytest.raises(ValueError, match=message):
        logistic_path(X, y, **arguments)


def test_short_of_iterations_is_one_warning():
    X, y = problem(3)
    named = "of 4 fits did not converge. The first.* The solver that ran, prox_newton, stopped"
    with pytest.warns(ConvergenceWarning, match=named) as caught:
        path = logistic_path(X, y, n_alphas=4, max_iter=1, tol=1e-12)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert path.solvers.tolist() == ["prox_newton"] * 4
    assert not path.converged.all()
