"""Dual ascent: the optimum with every option, a gap that certifies, rows that take any strength of penalty."""

import numpy as np
import pytest
import scipy.sparse as sp
from dual_bound import distributions, dual_bound
from options import OPTIONS, least, objective

from fastxent import kernels
from fastxent.solvers import metric
from fastxent.solvers.dual import ascent as dual_ascent
from fastxent.solvers.dual import sdca
from fastxent.solvers.dual.ascent import Ascent, BinaryAscent
from objectives import objective_of
from solvers_problems import make_objective

# A feature without a penalty has no dual to ascend: there `metric` takes over.
WITH_A_DUAL = {name: options for name, options in OPTIONS.items() if name != "free_feature"}

ASCENTS = {2: BinaryAscent, 4: Ascent}


@pytest.fixture(autouse=True)
def _alone():
    """No help from ``metric``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sdca, "_is_slow", lambda gaps: False)
        yield


@pytest.fixture(params=["double", "single first"])
def _precision(request):
    """Large problems begin in single precision; here small ones do, too."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "single first":
            patch.setattr(dual_ascent, "_LARGE", 0)
        yield


@pytest.mark.usefixtures("_precision")
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("storage", ["csr32", "csr64"])
@pytest.mark.parametrize("K", [2, 3, 12])
def test_reaches_the_optimum_with_every_option(options, storage, K):
    problem = objective(K, storage=storage, l2=1e-2, **options)
    result = sdca.solve(problem, problem.initial(), tol=1e-9, max_iter=1000)
    assert result.converged, result.reason
    assert result.value <= least(problem) * (1 + 1e-8)


@pytest.mark.usefixtures("_precision")
@pytest.mark.parametrize("l2", [10.0, 1e-1, 1e-3, 1e-4])
@pytest.mark.parametrize("K", [2, 5])
def test_reaches_the_optimum_at_any_strength(l2, K):
    problem = objective(K, storage="csr32", l2=l2)
    result = sdca.solve(problem, problem.initial(), tol=1e-6, max_iter=4000)
    assert result.converged, result.reason
    assert result.value <= least(problem) * (1 + 1e-6)


@pytest.mark.parametrize("K", [2, 5])
def test_single_precision_data_reach_the_optimum_of_their_doubles(K):
    single, double = (
        objective(K, storage="csr32", l2=1e-2, dtype=dtype) for dtype in (np.float32, np.float64)
    )
    result = sdca.solve(single, single.initial(), tol=1e-6, max_iter=300)
    assert result.converged
    assert double.value(result.theta) <= least(double) * (1 + 1e-5)


@pytest.mark.parametrize("options", WITH_A_DUAL.values(), ids=WITH_A_DUAL)
@pytest.mark.parametrize("K", [2, 4])
def test_stops_by_a_certificate(options, K):
    """The bound is below the optimum all the way, and near it at the end."""
    problem = objective(K, storage="csr32", l2=1e-3, **options)
    optimum = least(problem)
    ascent = ASCENTS[K](problem, problem.initial())
    gaps = []
    for _ in range(60):
        ascent.run_epoch(1e-12)
        ascent.evaluate(1e-12)
        bound = ascent.value - ascent.certified_gap(np.inf)
        assert bound <= optimum * (1 + 1e-12)
        assert ascent.value >= optimum * (1 - 1e-12)
        gaps.append(ascent.value - bound)
        ascent.anchor_intercept()
    assert gaps[-1] < 0.1 * gaps[0]
    result = sdca.solve(problem, problem.initial(), tol=1e-5, max_iter=3000)
    assert result.converged
    assert result.value - optimum <= result.history["gap"][-1] <= 1e-5 * result.value


@pytest.mark.parametrize("options", WITH_A_DUAL.values(), ids=WITH_A_DUAL)
@pytest.mark.parametrize("tol", [1e-2, 1e-4])
def test_single_precision_certifies_what_it_is_asked_to(options, tol, monkeypatch):
    monkeypatch.setattr(dual_ascent, "_LARGE", 0)
    problem = objective(5, storage="csr32", l2=1e-3, **options)
    optimum = least(problem)
    result = sdca.solve(problem, problem.initial(), tol=tol, max_iter=3000)
    assert result.converged
    assert result.value == pytest.approx(problem.value(result.theta), rel=1e-6)
    assert result.value - optimum <= result.history["gap"][-1] + 1e-5 * optimum
    assert result.value <= optimum * (1 + tol)


@pytest.mark.parametrize("l2", [10.0, 1e-1, 1e-3])
@pytest.mark.parametrize("tol", [3e-5, 1e-6, 1e-9])
def test_single_precision_certifies_no_more_than_it_can(l2, tol, monkeypatch):
    """However fast the gap falls: what ends the ascent was computed in double precision."""
    monkeypatch.setattr(dual_ascent, "_LARGE", 0)
    problem = objective(5, storage="csr32", l2=l2)
    result = sdca.solve(problem, problem.initial(), tol=tol, max_iter=3000)
    assert result.converged
    assert result.value == pytest.approx(problem.value(result.theta), rel=1e-13)


def test_rows_too_large_for_single_precision_stay_in_double(monkeypatch):
    monkeypatch.setattr(dual_ascent, "_LARGE", 0)
    problem = objective(3, storage="csr32", l2=1e-3)
    for factor, exact in ((1.0, True), (1e13, False)):
        scaled = objective_of(
            problem.local.X * factor, problem.local.targets.target, n_classes=3, binary=False, l2=1e-3
        )
        assert (Ascent(scaled, scaled.initial())._exact is not None) == exact


def test_without_an_intercept_the_rows_gaps_are_the_certificate():
    problem = objective(4, storage="csr32", l2=1e-3, fit_intercept=False)
    ascent = Ascent(problem, problem.initial())
    for _ in range(5):
        ascent.run_epoch(1e-12)
        ascent.evaluate(1e-12)
        assert ascent.certified_gap(np.inf) == pytest.approx(ascent.gap(), rel=1e-6)


def test_entries_that_stand_twice_add_up():
    X = sp.csr_array(
        (np.array([1.0, 1.0, 2.0, -1.0, 3.0]), np.array([0, 0, 1, 1, 0]), np.array([0, 3, 4, 5])),
        shape=(3, 2),
    )
    y = np.array([0, 1, 0])
    twice, once = (
        objective_of(X, y, binary=True, l2=0.1),
        objective_of(sp.csr_array(X.toarray()), y, binary=True, l2=0.1),
    )
    result = sdca.solve(twice, twice.initial(), tol=1e-9, max_iter=500)
    assert result.converged
    assert result.value == pytest.approx(least(once), rel=1e-8)


@pytest.mark.parametrize(("K", "n"), [(2, 40_000), (3, 3000)])
def test_same_bits_for_any_number_of_threads_and_the_same_seed(K, n):
    """Large enough for several ranges of rows."""
    thetas = []
    for n_threads in (1, 2, 3, 7):
        problem = objective(K, storage="csr32", l2=1e-3, n=n, d=40, n_threads=n_threads)
        thetas.append(sdca.solve(problem, problem.initial(), tol=1e-5, max_iter=50, random_state=3).theta)
    for theta in thetas[1:]:
        np.testing.assert_array_equal(theta, thetas[0])


@pytest.fixture
def _one_gradient(monkeypatch):
    """Problems of any size take the path of wide ones: all threads share one gradient."""
    monkeypatch.setattr("fastxent.data.rows._MAX_GRADIENTS", 1)
    monkeypatch.setattr("fastxent.data.rows.MIN_RANGE", 1)
    monkeypatch.setattr("fastxent.wide._KEPT", 1)


@pytest.mark.usefixtures("_one_gradient", "level")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("storage", ["csr32", "csr64"])
@pytest.mark.parametrize("options", [{}, {"soft": True, "sample_weight": True}], ids=["labels", "soft"])
@pytest.mark.parametrize("K", [3, 21])  # rows in lanes, classes in lanes
def test_threads_that_share_a_gradient(K, options, storage, dtype, monkeypatch):
    """The start, an evaluation and the bound: the same bits with any number of threads, as with one gradient alone."""
    found = []
    for n_threads in (1, 2, 3, None):
        if n_threads is None:
            monkeypatch.setattr(dual_ascent, "shares_gradient", lambda *_: False)
        problem = objective(
            K, storage=storage, dtype=dtype, l2=1e-3, n=2800, d=60, n_threads=n_threads, **options
        )
        ascent = Ascent(problem, problem.initial())
        assert (ascent._wide is None) == (n_threads is None)
        start = ascent.value, ascent.grad_norm, ascent._scaled()
        ascent.run_epoch(1e-12)
        theta = ascent.evaluate(1e-12)
        found.append([*start, theta, ascent.value, ascent.grad_norm, ascent.certified_gap(np.inf)])
    *shared, separate = found
    for others in shared[1:]:
        for one, other in zip(shared[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
    # Sums of losses are cut elsewhere; an entry of a gradient is the same sum over the rows.
    for one, other in zip(shared[0], separate, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-14)


@pytest.mark.usefixtures("_one_gradient")
@pytest.mark.parametrize("options", WITH_A_DUAL.values(), ids=WITH_A_DUAL)
def test_wide_models_reach_the_optimum(options):
    problem = objective(12, storage="csr32", l2=1e-2, n_threads=2, **options)
    result = sdca.solve(problem, problem.initial(), tol=1e-9, max_iter=1000)
    assert result.converged, result.reason
    assert result.value <= least(problem) * (1 + 1e-8)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_next_to_no_penalty_is_left_to_metric(n_classes, dtype):
    """The dual would end far above where it began."""
    how = {"sparse": True, "dtype": dtype, "n": 200, "d": 6}
    assert not sdca.is_weak(make_objective(n_classes, l2=1e-5, **how))
    free = make_objective(n_classes, l2=0.0, **how)
    lowest = metric.solve(free, free.initial(), tol=1e-6, max_iter=200).value
    for l2 in (1e-20, 1e-60, 1e-300):
        problem = make_objective(n_classes, l2=l2, **how)
        assert sdca.is_weak(problem)
        result = sdca.solve(problem, problem.initial(), tol=1e-6, max_iter=200)
        assert result.converged
        assert result.value == pytest.approx(lowest, rel=1e-5)


def test_metric_takes_over_where_it_is_slow(monkeypatch):
    monkeypatch.setattr(sdca, "_is_slow", lambda gaps: True)
    problem = objective(3, storage="csr32", l2=1e-6)
    result = sdca.solve(problem, problem.initial(), tol=1e-7, max_iter=200)
    assert result.converged
    assert result.value <= least(problem) * (1 + 1e-6)
    assert result.n_iter == result.history["epoch"][-1] == len(result.history["loss"]) - 1
    assert np.all(np.diff(result.history["passes"]) > 0)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"storage": "dense", "l2": 1.0}, "dense"), ({"l2": 0.0}, "l2 = 0"), ({"l2": 1.0, "l1": 1.0}, "l1 = 1")],
)
def test_other_objectives_are_refused(arguments, word):
    problem = objective(3, **({"storage": "csr32"} | arguments))
    with pytest.raises(ValueError, match=word):
        sdca.solve(problem, problem.initial(), tol=1e-4, max_iter=10)


@pytest.mark.parametrize("level", kernels.available())
@pytest.mark.parametrize("stiffness", [1e-3, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("K", [3, 9, 16])  # less than a register, more, whole ones
def test_a_visit_solves_its_row(level, stiffness, K):
    """One row: after a visit the dual of the row has a stationary point, y + q e = z + q a + mu."""
    rng = np.random.default_rng(0)
    x = 1.5
    kernel = kernels.load(level)
    for _ in range(50):
        W = rng.normal(size=(2, K)) * 3.0
        codes = rng.integers(0, K, 1).astype(np.intp)
        rows = kernel.LinearSoftmax(
            (np.array([x]), np.array([0], np.int32), np.array([0, 1], np.int32), 1, 1),
            K,
            kernel.Targets(codes, K),
        )
        weights = np.zeros(rows.weights_size)
        rows.pack(W, weights, 0, 2)
        log_alpha, gap = np.full((1, K), -80.0), np.empty(1)
        log_alpha[0, codes[0]] = 0.0
        state, residual = np.array([[1.0, stiffness]]), np.zeros(K)
        dual = kernel.DualAscent(rows, weights, log_alpha, state, gap, residual)
        dual.visit(np.array([0]), 0, 1, stiffness / x**2, 0.0, 0.0, np.zeros(dual.scratch_size))
        z = x * W[0] + W[1]
        start = np.eye(K)[codes[0]]
        e = np.exp(log_alpha[0])

        def dual(a, z=z, start=start):
            return (
                -(a * np.log(np.maximum(a, 1e-300))).sum() + a @ z - stiffness / 2 * ((a - start) ** 2).sum()
            )

        assert e.sum() == pytest.approx(1.0, abs=1e-12)
        assert gap[0] == pytest.approx(np.logaddexp.reduce(z) - z[codes[0]], rel=1e-9)
        gained = dual(e) - dual(start)
        around = [dual((1 - t) * e + t * v) - dual(start) for v in np.eye(K) for t in (1e-1, 1e-2)]
        assert gained > 0
        assert max(around) <= gained * 1.02 + 1e-12
        theta = np.zeros((2, K))
        rows.unpack([weights], 1.0, 0.0, theta, theta, 0, 2)
        np.testing.assert_allclose(theta[0], W[0] + stiffness / x * (start - e), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("options", WITH_A_DUAL.values(), ids=WITH_A_DUAL)
@pytest.mark.parametrize("K", [2, 4])
def test_warm_start_at_the_optimum_stops_at_once(K, options):
    problem = objective(K, storage="csr32", l2=1e-2, **options)
    optimum = metric.solve(problem, problem.initial(), tol=1e-18, max_iter=300)
    result = sdca.solve(problem, optimum.theta, tol=1e-6, max_iter=300)
    assert result.converged and result.n_iter == 1
    assert result.history["loss"][0] <= optimum.value * (1 + 1e-9)


def test_a_start_that_is_worse_than_zero_is_not_taken():
    problem = objective(3, storage="csr32", l2=1e-2)
    wild = np.random.default_rng(0).normal(size=problem.shape) * 100
    one, other = (sdca.solve(problem, start, tol=1e-6, max_iter=300) for start in (wild, problem.initial()))
    np.testing.assert_array_equal(one.theta, other.theta)


@pytest.mark.parametrize("level", kernels.available())
@pytest.mark.parametrize("stiffness", [1e-3, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("soft", [False, True])
def test_a_visit_with_two_classes_ascends_and_ends_near_the_root(level, stiffness, soft):
    """Two visits, so that the second does not begin at the target; alpha + sigmoid's argument is the root's."""
    rng = np.random.default_rng(0)
    kernel, x = kernels.load(level), 1.5
    X = (np.array([x]), np.array([0], np.int32), np.array([0, 1], np.int32), 1, 1)
    for _ in range(50):
        share = rng.random() if soft else float(rng.integers(0, 2))
        target = np.array([[1 - share, share]]) if soft else np.array([int(share)], np.intp)
        rows = kernel.LinearSoftmax(X, 1, kernel.Targets(target, 2))
        state, sums, gap = np.empty((1, 4)), np.zeros((1, 2)), np.array([np.inf])
        weights = np.zeros(rows.weights_size)
        dual_ascent = kernel.BinaryDualAscent(rows, weights, state, gap)
        assert dual_ascent.start(sums, 0, 1) == (1.0, share, x * x, 0)
        np.testing.assert_allclose(sums, [[x, share * x]])
        for _ in range(2):
            w, b, before = rng.normal() * 5.0, rng.normal(), state[0, 3]
            rows.pack(np.array([[w], [b]]), weights, 0, 2)
            z = w * x + b
            change = dual_ascent.visit(np.array([0]), 0, 1, stiffness / x**2, 0.0, 0.0)
            assert change == pytest.approx(before - state[0, 3], abs=1e-15)

            def dual(d, z=z, share=share, before=before):
                alpha = np.clip([1 - share - d, share + d], 1e-300, 1.0)
                return -(alpha * np.log(alpha)).sum() + d * z - stiffness / 2 * (d - before) ** 2

            grid = np.linspace(-share, 1 - share, 100_001)
            best = max(dual(d) for d in grid[::1000])
            gained, possible = dual(state[0, 3]) - dual(before), best - dual(before)
            assert 0.0 <= share + state[0, 3] <= 1.0
            assert gained > -1e-12
            assert gained > 0.3 * possible - 1e-9
            theta = np.zeros((2, 1))
            rows.unpack([weights], 1.0, 0.0, theta, theta, 0, 2)
            assert theta[0, 0] == pytest.approx(w + stiffness / x * change, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("options", WITH_A_DUAL.values(), ids=WITH_A_DUAL)
@pytest.mark.parametrize("storage", ["csr32", "csr64"])
@pytest.mark.parametrize("K", [2, 4, 12])
def test_an_evaluation_is_the_objective_and_the_bound(options, storage, K):
    """What the kernels sum, against the objective's own value and gradient, and the dual in plain NumPy."""
    problem = objective(K, storage=storage, l2=1e-3, **options)
    ascent = ASCENTS.get(K, Ascent)(problem, problem.initial())
    for _ in range(6):
        ascent.run_epoch(1e-12)
        theta = ascent.evaluate(1e-12)
        value, grad = problem.value_and_grad(theta)
        assert ascent.value == pytest.approx(value, rel=1e-12)
        assert ascent.grad_norm == pytest.approx(np.abs(grad).max(), rel=1e-6, abs=1e-13)
        bound = dual_bound(problem, distributions(ascent))
        assert ascent.certified_gap(np.inf) == pytest.approx(ascent.value - bound, rel=1e-6, abs=1e-12)
        ascent.anchor_intercept()


def test_a_class_that_no_row_has():
    problem = objective(3, storage="csr32", l2=0.1)
    codes = problem.local.targets.target % 2
    absent, present = (
        objective_of(problem.local.X, codes, n_classes=K, binary=False, l2=0.1) for K in (3, 2)
    )
    result = sdca.solve(absent, absent.initial(), tol=1e-5, max_iter=300)
    assert result.converged
    # Its probability goes to nothing as its intercept goes to minus infinity.
    assert result.value == pytest.approx(least(present), rel=1e-5)
    assert result.theta[-1, 2] < -10


def test_rows_are_drawn_by_their_gaps_and_shuffled():
    gap = np.repeat([0.0, 0.5, 1.0, 9.0], 20_000)
    order, state = np.empty(len(gap), np.intp), np.array([1], np.uint64)
    count = kernels.draw_rows(gap, 1.0, 0.1, order, state)
    drawn = order[:count]
    share = np.bincount(drawn // 20_000, minlength=4) / 20_000
    np.testing.assert_allclose(share, [0.1, 0.5, 1.0, 1.0], atol=0.02)
    assert len(np.unique(drawn)) == count
    assert abs(np.corrcoef(np.arange(count), drawn)[0, 1]) < 0.02
    again = np.empty(len(gap), np.intp)
    assert kernels.draw_rows(gap, 1.0, 0.1, again, np.array([1], np.uint64)) == count
    np.testing.assert_array_equal(again[:count], drawn)
