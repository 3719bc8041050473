"""Sums over one part: every build, storage and shape against the reference; the same bits on any number of threads."""

import functools
import itertools
import pickle
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from fastxent import loss
from fastxent.data import rows as data_rows
from fastxent.data.ranges import MAX_CALL, cost
from fastxent.data.rows import bind, gradient_ranges
from fastxent.data.targets import Targets
from fastxent.prediction import predict
from objectives import objective_of
from problems import (
    DTYPES,
    STORAGES,
    Expected,
    assert_close,
    csr,
    features,
    soft_target,
    storages,
    theta_of,
)

# Around the numbers of classes where layouts change (12, 16, 24 and their multiples of a register), and wide ones.
COLUMNS = (1, 2, 3, 10, 12, 13, 16, 24, 25, 57, 130)
# Around the registers' widths (2 to 16 numbers), the dot tile's and the panels' (128).
FEATURES = (1, 7, 8, 9, 15, 16, 17, 33, 300)
SMALL_PIECE = (
    3000  # makes small problems take the paths of large ones: many ranges, or one gradient for all threads
)


def small_ranges(monkeypatch, size):
    """Let ranges of rows be worth a thread from so many multiplications on."""
    monkeypatch.setattr(data_rows, "MIN_RANGE", size)


def random_problem(rng, K, d, dtype, storage):
    """Return arguments of the objective and of Expected: the axes that the sweep samples instead of multiplying."""
    n = int(rng.choice([1, 5, 31, 64, 300, 530]))
    n_classes = max(2, K)
    X = features(rng, n, d, dtype, sparse=storage.startswith("csr"))
    soft = rng.random() < 0.4
    target = soft_target(rng, n, n_classes, dtype) if soft else rng.integers(n_classes, size=n, dtype=np.intp)
    weighting = {"reduction": str(rng.choice(["mean", "sum"]))}
    if rng.random() < 0.5:
        weighting["sample_weight"] = rng.random(n) * (rng.random(n) < 0.8)
    if rng.random() < 0.4:
        weighting["class_weight"] = rng.random(n_classes) + 0.2
    if rng.random() < 0.4:
        weighting["label_smoothing"] = float(rng.choice([0.1, 1.0]))
    penalty = {"l2": float(rng.choice([0.0, 0.3])), "fit_intercept": bool(rng.random() < 0.8)}
    return X, target, weighting | penalty


@functools.cache
def sweep(dtype, storage):
    """All shapes, and what the reference says of them; targets, weights, rows, theta's dtype are drawn for each."""
    rng = np.random.default_rng([storages.index(storage), np.dtype(dtype).itemsize])
    problems = []
    for K in COLUMNS:
        for d in FEATURES:
            X, target, arguments = random_problem(rng, K, d, dtype, storage)
            theta_dtype = rng.choice(DTYPES, p=[0.3, 0.7])
            theta, direction = theta_of(rng, d, K, theta_dtype), theta_of(rng, d, K, theta_dtype)
            how = {
                "n_threads": int(rng.integers(1, 4)),
                "min_piece": int(rng.choice([SMALL_PIECE, SMALL_PIECE, 2_000_000])),
            }
            expected = Expected(X, theta, target, **arguments)
            exact = {
                "value": expected.value(),
                "gradient": expected.gradient(),
                "hessp": expected.hessp(direction),
                "row_losses": expected.row_losses(),
            }
            problems.append((STORAGES[storage](X), target, arguments, theta, direction, how, exact))
    return problems


@pytest.mark.parametrize("storage", storages)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_shape_within_rounding_of_the_reference(level, dtype, storage, monkeypatch):
    worst, paths = {}, set()
    for X, target, arguments, theta, direction, how, exact in sweep(dtype, storage):
        K = theta.shape[1]
        small_ranges(monkeypatch, how["min_piece"])
        ours = objective_of(
            X, target, n_classes=max(2, K), binary=K == 1, n_threads=how["n_threads"], **arguments
        )
        paths.add("shared" if ours.local._wide else "ranges" if len(ours.local._ranges) > 1 else "one")
        value, gradient = ours.value_and_grad(theta)
        assert ours.value(theta) == value
        assert gradient.dtype == theta.dtype
        got = {
            "value": value,
            "gradient": gradient,
            "hessp": ours.hessp(theta, direction),
            "row_losses": ours.row_losses(theta),
        }
        assert got["row_losses"].dtype == dtype
        shape = f"K={K} d={len(theta) - 1} n={X.shape[0]} theta={theta.dtype} soft={target.ndim == 2}"
        for name, (right, bound) in exact.items():
            share = assert_close(got[name], right, bound, f"{name}, {shape}, {how}, {sorted(arguments)}")
            worst[name] = max(worst.get(name, 0.0), share)
    print({name: f"{share:.1%} of its bound" for name, share in worst.items()})
    assert paths == {"one", "ranges", "shared"}


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_value_that_all_entries_share_is_not_read_again(level, dtype, index):
    """One-hot rows, and words that are there or not, of two classes."""
    rng = np.random.default_rng(4)
    for d, value in itertools.product((1, 7, 8, 9, 100), (1.0, -0.3)):
        n = 400
        X = ((rng.random((n, d)) < 0.4) * value).astype(dtype)
        rows = sp.csr_array(X)
        rows = sp.csr_array((rows.data, rows.indices.astype(index), rows.indptr.astype(index)), rows.shape)
        y, weight = rng.integers(0, 2, n), rng.random(n)
        theta, direction = theta_of(rng, d, 1, np.float64), theta_of(rng, d, 1, np.float64)
        expected = Expected(X, theta, y, sample_weight=weight)
        ours = objective_of(rows, y, binary=True, sample_weight=weight)
        rows.data[:] = np.nan  # read until now
        loss, gradient = ours.value_and_grad(theta)
        assert_close(loss, *expected.value(), "value")
        assert_close(gradient, *expected.gradient(), "gradient")
        assert_close(ours.hessp(theta, direction), *expected.hessp(direction), "hessp")
        for place in {0, rows.nnz // 2, rows.nnz - 1}:  # one that differs is enough to have all read
            rows.data[:] = value
            rows.data[place] = 2.0
            ours = objective_of(rows, y, binary=True, sample_weight=weight)
            expected = Expected(rows.toarray(), theta, y, sample_weight=weight)
            assert_close(ours.value_and_grad(theta)[1], *expected.gradient(), "gradient")


def everything(ours, theta, direction):
    """All that an objective computes, as bytes."""
    value, gradient = ours.value_and_grad(theta)
    results = (value, gradient, ours.value(theta), ours.hessp(theta, direction), ours.row_losses(theta))
    return [np.asarray(result).tobytes() for result in results]


@pytest.mark.parametrize("kind", ["dense", "dense F", "csr", "binary", "binary csr", "shared"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_on_any_number_of_threads(level, dtype, kind, monkeypatch):
    small_ranges(monkeypatch, SMALL_PIECE)
    rng = np.random.default_rng(1)
    n, d, K = (150, 60, 700) if kind == "shared" else (3000, 23, 1 if "binary" in kind else 7)
    X = features(rng, n, d, dtype, sparse="csr" in kind)
    X = csr(X, np.int32) if "csr" in kind else np.asfortranarray(X) if "F" in kind else X
    y, weight = rng.integers(max(2, K), size=n, dtype=np.intp), rng.random(n)
    theta, direction = theta_of(rng, d, K, np.float64), theta_of(rng, d, K, np.float64)
    results = []
    for n_threads in (1, 2, 3, 7):
        ours = objective_of(
            X, y, n_classes=max(2, K), binary=K == 1, sample_weight=weight, l2=0.1, n_threads=n_threads
        )
        assert (ours.local._wide is not None) == (kind == "shared")
        assert ours.local._wide or len(ours.local._ranges) > 7
        # twice: the second time with buffers that were used before
        results += [everything(ours, theta, direction), everything(ours, theta, direction)]
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("K", [1, 3, 30])
@pytest.mark.parametrize("dtype", DTYPES)
def test_columns_that_never_occur_are_left_out_and_change_no_bit(dtype, K, index_dtype, monkeypatch):
    rng = np.random.default_rng(K)
    n, d = 40, 3000
    for density in (0.0005, 0.0):
        X = sp.random_array((n, d), density=density, format="csr", dtype=dtype, random_state=rng)
        X.indices, X.indptr = X.indices.astype(index_dtype), X.indptr.astype(index_dtype)
        y, direction = rng.integers(0, max(K, 2), n), theta_of(rng, d, K, np.float64)
        for theta_dtype, l2, fit_intercept in itertools.product(DTYPES, (0.0, 0.3), (True, False)):
            arguments = {"l2": l2, "fit_intercept": fit_intercept}
            theta, v = direction[::-1].astype(theta_dtype), direction.astype(theta_dtype)
            some = objective_of(X, y, n_classes=max(K, 2), binary=K == 1, **arguments)
            with monkeypatch.context() as patch:
                patch.setattr(loss, "occurring", lambda X, *_: (X, None))
                whole = objective_of(X, y, n_classes=max(K, 2), binary=K == 1, **arguments)
            assert some.local._view.d < whole.local._view.d == some.local.rows.d == d
            assert everything(some, theta, v) == everything(whole, theta, v)


@pytest.mark.parametrize("K", [3, 30])
def test_parameters_may_stand_in_any_order_and_results_only_in_c_order(level, K):
    rng = np.random.default_rng(K)
    model = objective_of(rng.normal(size=(50, 7)), rng.integers(0, K, 50), n_classes=K, l2=0.1)
    theta, v = rng.normal(size=(2, *model.shape))
    turned = np.asfortranarray(theta)
    assert model.value(turned) == model.value(theta)
    np.testing.assert_array_equal(model.value_and_grad(turned)[1], model.value_and_grad(theta)[1])
    np.testing.assert_array_equal(model.hessp(turned, np.asfortranarray(v)), model.hessp(theta, v))
    np.testing.assert_array_equal(model.row_losses(turned), model.row_losses(theta))
    with pytest.raises((BufferError, ValueError), match="contiguous"):
        model.value_and_grad(theta, out=np.empty_like(turned))


@pytest.mark.parametrize("storage", ["C", "csr32"])
@pytest.mark.parametrize("K", [1, 3, 30])
@pytest.mark.parametrize("dtype", DTYPES)
def test_later_hessian_products_at_a_point_cost_a_pass_and_change_no_bit(level, dtype, K, storage):
    rng = np.random.default_rng(K)
    n, d = 700, 11
    X = STORAGES[storage](rng.normal(size=(n, d)).astype(dtype))
    y = rng.integers(0, max(K, 2), n)
    weight = rng.integers(0, 3, n).astype(float)
    arguments = {"n_classes": max(K, 2), "binary": K == 1, "sample_weight": weight, "l2": 0.1}
    model = objective_of(X, y, **arguments)
    theta, v = rng.normal(size=(2, *model.shape))
    first, passes = model.hessp(theta, v), [model.passes]
    for _ in range(2):
        np.testing.assert_array_equal(model.hessp(theta, v), first)
        passes.append(model.passes)
    assert np.diff(passes).tolist() == [1.0, 1.0]
    theta *= 0.5  # in place: the kept probabilities are of the old values
    fresh = objective_of(X, y, **arguments)
    np.testing.assert_array_equal(model.hessp(theta, v), fresh.hessp(theta, v))
    assert not np.array_equal(fresh.hessp(theta, v), first)


def test_a_dense_matrix_and_its_csr_agree_in_shape_and_counters():
    X = np.eye(4)
    for data in (X, sp.csr_array(X)):
        ours = objective_of(data, np.array([0, 1, 2, 0]), l2=0.5, l1=0.25)
        assert ours.shape == ours.initial().shape == (5, 3)
        assert (ours.n_rows, ours.n_features, ours.n_classes, ours.K) == (4, 4, 3, 3)
        assert (ours.penalty.l2, ours.penalty.l1, ours.total_weight, ours.dtype) == (
            0.5,
            0.25,
            4.0,
            np.float64,
        )
        theta = ours.initial()
        ours.value(theta), ours.value_and_grad(theta), ours.hessp(theta, theta), ours.row_losses(theta)
        assert ours.passes == 4.5


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("theta_dtype", DTYPES)
def test_out_is_filled_and_arguments_are_left_alone(theta_dtype, shared, monkeypatch):
    small_ranges(monkeypatch, SMALL_PIECE)
    rng = np.random.default_rng(2)
    K = 130 if shared else 5
    X, y = features(rng, 60, 12, np.float64, sparse=False), rng.integers(K, size=60, dtype=np.intp)
    ours = objective_of(X, y, n_classes=K, fit_intercept=False)
    assert (ours.local._wide is not None) == shared
    theta, direction = theta_of(rng, 12, K, theta_dtype), theta_of(rng, 12, K, theta_dtype)
    kept = [array.copy() for array in (X, y, theta, direction)]
    for call in (
        lambda out: ours.value_and_grad(theta, out)[1],
        lambda out: ours.hessp(theta, direction, out),
    ):
        out = np.full(ours.shape, np.nan, theta_dtype)
        assert call(out) is out
        np.testing.assert_array_equal(out, call(None))
        assert not out[-1].any()
    for array, copy in zip((X, y, theta, direction), kept, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("storage", storages)
def test_data_may_be_read_only_and_mapped_from_a_file(level, storage, tmp_path):
    rng = np.random.default_rng(3)
    X = STORAGES[storage](features(rng, 40, 20, np.float64, sparse=True))
    y, theta = rng.integers(3, size=40, dtype=np.intp), theta_of(rng, 20, 3, np.float64)
    soft, weight, class_weight = soft_target(rng, 40, 3, np.float64), rng.random(40), rng.random(3)

    def frozen(array, name):
        order = "F" if array.ndim == 2 and not array.flags.c_contiguous else "C"
        array.ravel(order="K").tofile(tmp_path / name)
        return np.memmap(tmp_path / name, array.dtype, mode="r", shape=array.shape, order=order)

    arrays = {"y": y, "soft": soft, "weight": weight, "class_weight": class_weight, "theta": theta}
    mapped = {name: frozen(array, name) for name, array in arrays.items()}
    if storage.startswith("csr"):
        X_mapped = X.copy()
        for name in ("data", "indices", "indptr"):
            setattr(X_mapped, name, frozen(getattr(X, name), name))
        assert not X_mapped.data.flags.writeable
    else:
        X_mapped = frozen(X, "X")
    for target in ("y", "soft"):
        plain, from_file = (
            objective_of(
                rows, of[target], n_classes=3, sample_weight=of["weight"], class_weight=of["class_weight"]
            )
            for rows, of in ((X, arrays), (X_mapped, mapped))
        )
        assert everything(from_file, mapped["theta"], mapped["theta"]) == everything(plain, theta, theta)


@pytest.mark.parametrize("kind", ["dense", "csr"])
def test_logits_of_all_rows_are_never_stored(level, kind):
    """A million rows and ten classes: 40 MB of logits, and no more than 2 MB are ever allocated.

    Only repeated Hessian products at one theta keep probabilities, up to STORE_MEMORY bytes.
    """
    n, d, K = 1_000_000, 4, 10
    ramp = np.arange(n * d, dtype=np.float32) % 7 - 3
    X = ramp.reshape(n, d)
    if kind == "csr":
        X = sp.csr_array(
            (
                ramp[: 2 * n],
                np.tile(np.array([0, 2, 1, 3], np.int32), n // 2),
                np.arange(0, 2 * n + 1, 2, np.int32),
            )
        )
        assert X.shape == (n, d) and X.indices.dtype == np.int32
    y, theta = np.arange(n) % K, np.zeros((d + 1, K))
    ours = objective_of(X, y, n_threads=2)
    elsewhere = itertools.count()
    for call in (
        ours.value_and_grad,
        ours.value,
        lambda theta: ours.hessp(theta + next(elsewhere), theta),
    ):
        for _ in range(2):
            tracemalloc.start()
            call(theta)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 2_000_000


def test_a_second_evaluation_allocates_the_gradient_alone(monkeypatch):
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(20_000, 50)), rng.integers(30, size=20_000)
    for data in (X, sp.csr_array(X * (X > 1))):
        ours = objective_of(data, y, n_threads=1)
        theta = np.zeros(ours.shape)
        ours.value_and_grad(theta)
        tracemalloc.start()
        ours.value_and_grad(theta)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < theta.nbytes + 50_000


def test_an_objective_works_on_after_an_interrupted_evaluation(monkeypatch):
    small_ranges(monkeypatch, SMALL_PIECE)
    rng = np.random.default_rng(5)
    X, y, theta = rng.normal(size=(2000, 8)), rng.integers(3, size=2000), rng.normal(size=(9, 3))
    ours = objective_of(X, y, n_threads=2)
    before = everything(ours, theta, theta)

    class Interrupted:
        """The kernels' rows, whose fourth call is hit by Ctrl-C."""

        calls = 0

        def __getattr__(self, name):
            return getattr(rows, name)

        def loss(self, *arguments):
            self.calls += 1
            if self.calls == 4:
                raise KeyboardInterrupt
            return rows.loss(*arguments)

    rows = ours.local._view
    ours.local._view = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        ours.value_and_grad(theta)
    ours.local._view = rows
    assert everything(ours, theta, theta) == before


def test_nothing_counts_gives_zero_and_the_penalty_alone():
    X, theta = np.eye(3), np.arange(8.0).reshape(4, 2)
    for reduction in ("mean", "sum"):
        ours = objective_of(
            X, np.array([0, 1, 0]), sample_weight=np.zeros(3), l2=2.0, reduction=reduction, n_threads=1
        )
        value, gradient = ours.value_and_grad(theta)
        assert ours.total_weight == 0
        assert value == np.sum(theta[:-1] ** 2)
        np.testing.assert_array_equal(gradient, 2.0 * np.vstack([theta[:-1], np.zeros((1, 2))]))
        assert not ours.row_losses(theta).any()


def test_one_call_of_a_kernel_is_short_enough_for_ctrl_c():
    """Many rows are handed to the kernel in pieces of bounded work."""
    X = np.zeros((50_000, 100))
    ranges = gradient_ranges(bind(X, 200), X, None)
    ranges = [call for some in ranges for call in ranges.calls(some)]
    assert [ranges[0][0], ranges[-1][1]] == [0, 50_000]
    assert len(ranges) > 1
    assert all(cost(X[a:b], 200) <= MAX_CALL for a, b in ranges)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("K", [1, 3, 40])
def test_probabilities_of_some_rows_at_a_time_are_those_of_all(K, sparse):
    rng = np.random.default_rng(K)
    X, n_classes = features(rng, 70, 9, np.float64, sparse=sparse), max(2, K)
    X = csr(X, np.int32) if sparse else X
    theta = theta_of(rng, 9, K, np.float64)
    part = objective_of(X, rng.integers(n_classes, size=70), n_classes=n_classes, binary=K == 1).local
    got = part.over_probabilities(theta, 32, lambda some, P: (some, P))
    assert [some for some, _ in got] == [slice(0, 32), slice(32, 64), slice(64, 70)]
    np.testing.assert_allclose(np.concatenate([P for _, P in got]), predict(X, theta, "proba"), rtol=1e-13)


@pytest.mark.parametrize("storage", STORAGES)
def test_a_part_that_was_pickled_has_the_same_bits(storage):
    rng = np.random.default_rng(0)
    for _ in range(5):
        X, target, weighting = random_problem(rng, 4, 33, np.float32, storage)
        del weighting["reduction"], weighting["l2"]
        part = objective_of(STORAGES[storage](X), target, n_classes=4, **weighting).local
        again = pickle.loads(pickle.dumps(part))
        theta = theta_of(rng, 33, 4, np.float64)
        for one, other in zip(part.loss_and_grad(theta), again.loss_and_grad(theta), strict=True):
            np.testing.assert_array_equal(one, other)
        assert again.weight_exponent == part.weight_exponent and again.n_present == part.n_present


def test_parts_that_share_work_arrays_have_their_own_results():
    rng = np.random.default_rng(0)
    kinds = [np.ascontiguousarray, np.asfortranarray, sp.csr_array]
    for d, K in itertools.product((5, 17), (1, 3, 40)):
        workspace, theta = loss.Workspace(), rng.normal(size=(d + 1, K))
        for kind, n, dtype, _ in itertools.product(kinds, (3, 200), (np.float64, np.float32), range(3)):
            X = kind(rng.normal(size=(n, d)).astype(dtype))
            targets = Targets(rng.integers(0, max(K, 2), n), max(K, 2))
            value, gradient = loss.Part(X, targets, K, workspace=workspace).loss_and_grad(theta)
            own_value, own = loss.Part(X, targets, K).loss_and_grad(theta)
            assert value == own_value
            np.testing.assert_array_equal(gradient, own)
