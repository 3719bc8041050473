"""Objectives over parts: on every engine the same numbers, and with the same borders of parts the same bits."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from fastxent.data.local import Local
from fastxent.data.targets import Targets
from fastxent.loss import Part
from fastxent.objective import Objective
from fastxent.penalty import Penalty

N, D = 700, 9
BORDERS = [0, 1, 300, 301, 512, N]
STORAGES = ["dense", "fortran", "csr"]
PENALTIES = {
    "none": Penalty(),
    "l2": Penalty(l2=0.1),
    "factors": Penalty(l2=0.1, factors=np.linspace(0.0, 2.0, D)),
}


def data(K, storage, dtype, *, soft=False, weighted=True):
    rng = np.random.default_rng(K)
    X = (rng.normal(size=(N, D)) * (rng.random((N, D)) < 0.6) + 0.2 * (storage != "csr")).astype(dtype)
    X = sp.csr_array(X) if storage == "csr" else np.asfortranarray(X) if storage == "fortran" else X
    n_classes = max(K, 2)
    y = rng.dirichlet(np.ones(n_classes), N).astype(dtype) if soft else rng.integers(n_classes, size=N)
    weight = rng.integers(0, 4, N) * 2.0 ** rng.integers(-3, 4, N) if weighted else None
    return X, y, weight


def batches_of(X, y, weight):
    def some(rows):
        piece = X[rows]
        if isinstance(X, np.ndarray) and not X.flags.c_contiguous:
            piece = np.asfortranarray(piece)
        return (piece, y[rows]) if weight is None else (piece, y[rows], weight[rows])

    return [some(slice(a, b)) for a, b in itertools.pairwise(BORDERS)]


def on_every_engine(K, storage, dtype, penalty=None, n_threads=None, **how):
    """One part in memory; the same rows in several; and these streamed."""
    X, y, weight = data(K, storage, dtype, **how)
    n_classes, penalty = max(K, 2), PENALTIES["l2"] if penalty is None else penalty
    batches = batches_of(X, y, weight)

    def bind(X, y, weight=None):
        return Part(X, Targets(y, n_classes, weight), K, n_threads=n_threads)

    one = Objective(Local([bind(X, y, weight)]), penalty)
    parts = Objective(Local([bind(*batch) for batch in batches]), penalty)
    streamed = Objective.streamed(batches, n_classes, K, penalty=penalty, n_threads=n_threads)
    return one, parts, streamed


def everything(objective, theta, v):
    value, grad = objective.value_and_grad(theta)
    moments, columns = objective.curvature_moments(theta), objective.column_moments()
    return {
        "value": value,
        "value alone": objective.value(theta),
        "gradient": grad,
        "hessp": objective.hessp(theta, v),
        "hessp again": objective.hessp(theta, v),
        "means": columns.mean,
        "deviations": columns.deviation,
        "curvature of columns": moments[0].deviation,
        "curvature of rows": moments[0].mass,
        "curvature of classes": moments[1],
        "row losses": objective.row_losses(theta),
    }


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("K", [1, 3, 40])
def test_engines_agree(K, storage, dtype, soft):
    rng = np.random.default_rng(0)
    theta, v = rng.normal(size=(2, D + 1, K))
    for penalty in PENALTIES.values():
        results = {}
        for n_threads in (1, 3):
            one, parts, streamed = on_every_engine(K, storage, dtype, penalty, n_threads, soft=soft)
            assert one.local is not None and parts.local is streamed.local is None
            facts = "shape", "dtype", "n_rows", "n_classes", "is_sparse", "cost", "fit_intercept"
            for name in facts:
                assert getattr(one, name) == getattr(parts, name) == getattr(streamed, name)
            assert_allclose(
                [streamed.total_weight * 2.0**streamed.weight_exponent, streamed.least_mass],
                [one.total_weight * 2.0**one.weight_exponent, one.least_mass],
                rtol=1e-12,
            )
            results[n_threads] = [everything(engine, theta, v) for engine in (one, parts, streamed)]
        for name in results[1][0]:
            whole, in_parts, in_batches = (result[name] for result in results[1])
            assert_array_equal(in_parts, in_batches, err_msg=name)
            assert_allclose(
                in_parts, whole, rtol=1e-4 if dtype == np.float32 else 1e-9, atol=1e-7, err_msg=name
            )
            for again in results[3][1:]:
                assert_array_equal(again[name], in_parts, err_msg=name)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("K", [1, 3])
def test_samples_of_all_engines_are_the_same_rows(K, storage):
    one, parts, streamed = on_every_engine(K, storage, np.float64)
    theta = np.random.default_rng(0).normal(size=one.shape)
    columns = np.zeros(D + 1), np.ones(D + 1)
    for arguments in ((100,), (100, theta)):
        how = {"columns": columns} if len(arguments) > 1 else {}
        samples = [engine.sample(*arguments, **how) for engine in (one, parts, streamed)]
        assert all(sample.local is not None and sample.n_rows <= 100 for sample in samples)
        values = [sample.value(theta) for sample in samples]
        assert_allclose(values, values[0], rtol=1e-12)
        assert all(sample.penalty is one.penalty for sample in samples)
    whole = streamed.sample(10**6)
    assert whole.n_rows == np.count_nonzero(data(K, storage, np.float64)[2])
    assert_allclose(whole.value(theta), one.value(theta), rtol=1e-12)


def test_sampled_rows_weigh_as_much_less_as_they_are_drawn_more_often():
    one, _, _ = on_every_engine(3, "dense", np.float64)
    theta = np.random.default_rng(0).normal(size=one.shape)
    columns = np.zeros(D + 1), np.ones(D + 1)
    values = [one.sample(300, theta, columns=columns, seed=seed).value(theta) for seed in range(40)]
    assert_allclose(np.mean(values), one.value(theta), rtol=0.02)


def test_a_sample_of_parts_brings_no_more_numbers_than_its_rows_have():
    _, _, streamed = on_every_engine(3, "dense", np.float64)
    engine, sizes = streamed._engine, []

    def each(method, *arguments, **how):
        for result in type(engine).each(engine, method, *arguments, **how):
            sizes.append(result.size if isinstance(result, np.ndarray) else 0)
            yield result

    engine.each = each
    sample = streamed.sample(50, np.ones(streamed.shape), columns=(np.zeros(D + 1), np.ones(D + 1)))
    assert sample.n_rows <= 50
    assert len(sizes) == 2 * len(streamed.rows_of_parts) and max(sizes) == 3


def test_passes_are_counted_in_one_place():
    for engine in on_every_engine(3, "dense", np.float64):
        theta = engine.initial()
        engine.value(theta)
        engine.value_and_grad(theta)
        assert engine.passes == 2
        engine.hessp(theta, theta)
        assert engine.passes == 3.5
        other = engine.with_penalty(Penalty(l2=3.0))
        other.value(theta)
        engine.count(0.25)
        assert engine.passes == other.passes == 4.75


def test_objectives_of_another_penalty_share_parts_and_moments():
    one, _, _ = on_every_engine(3, "dense", np.float64)
    other = one.with_penalty(Penalty(l2=3.0))
    assert other.local is one.local and one.penalty.l2 == 0.1
    assert other.column_moments() is one.column_moments()


def test_streams_that_are_used_up_after_one_pass_are_refused():
    X, y, weight = data(3, "dense", np.float64)
    with pytest.raises(TypeError, match="again and again"):
        Objective.streamed(iter(batches_of(X, y, weight)), 3)


def test_weights_of_very_different_batches_keep_their_ratios():
    X, y, _ = data(3, "dense", np.float64, weighted=False)
    weight = np.r_[np.full(300, 1e-200), np.full(N - 300, 3e-200)]
    one = Objective.over(X, Targets(y, 3, weight))
    streamed = Objective.streamed([(X[:300], y[:300], weight[:300]), (X[300:], y[300:], weight[300:])], 3)
    theta = np.random.default_rng(0).normal(size=one.shape)
    assert_allclose(streamed.value(theta), one.value(theta), rtol=1e-12)
    assert_allclose(streamed.value_and_grad(theta)[1], one.value_and_grad(theta)[1], rtol=1e-10, atol=1e-14)


def test_a_batch_is_let_go_before_the_next_one_comes():
    import gc
    import weakref

    X, y, _ = data(3, "dense", np.float64, weighted=False)
    alive = []

    class Batches:
        def __iter__(self):
            for a, b in itertools.pairwise(BORDERS):
                gc.collect()
                assert (
                    sum(ref() is not None for ref in alive) <= 1
                )  # the one that was just looked at, at most
                batch = X[a:b].copy()
                alive[:] = [weakref.ref(batch)]
                yield batch, y[a:b]
                del batch

    streamed = Objective.streamed(Batches(), 3)
    streamed.value_and_grad(streamed.initial())
    assert alive
