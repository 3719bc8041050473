"""Estimators over a cluster: the bits of the streamed fit, whatever the rows come in."""

import itertools
import pickle

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from dask.delayed import delayed
from distributed import worker_client
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import dump_svmlight_file
from sklearn.exceptions import NotFittedError

import fastxent
from fastxent.dask import LogisticRegression, SGDClassifier, batches, cluster, parts, worker
from fastxent.sources import NpySource, SvmlightSource

BORDERS = [0, 1, 130, 131, 260, 300, 340, 400]
ORDINARY = {LogisticRegression: fastxent.LogisticRegression, SGDClassifier: fastxent.SGDClassifier}
LENGTHS = tuple(np.diff(BORDERS).tolist())


def rows(K=3, *, sparse=False, dtype=np.float64, n=400, d=8, seed=0):
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(n, d)) + 0.3) * (rng.random((n, d)) < 0.6)
    y = np.argmax(X @ rng.normal(size=(d, K)) + rng.gumbel(size=(n, K)), axis=1)
    y[:K] = np.arange(K)
    return (sp.csr_array(X.astype(dtype)) if sparse else X.astype(dtype)), y


def cut(*arrays):
    return [tuple(array[a:b] for array in arrays) for a, b in itertools.pairwise(BORDERS)]


def blocks(X):
    """X as a dask array with the same borders; blocks of sparse matrices, if it is one."""
    if not sp.issparse(X):
        return da.from_array(X, chunks=(LENGTHS, *X.shape[1:]))
    arrays = [
        da.from_delayed(delayed(X[a:b]), (b - a, X.shape[1]), X.dtype, meta=X[:0])
        for a, b in itertools.pairwise(BORDERS)
    ]
    return da.concatenate(arrays)


def same_bits(model, expected):
    assert_array_equal(model.coef_, expected.coef_)
    assert_array_equal(model.intercept_, expected.intercept_)
    assert_array_equal(model.classes_, expected.classes_)
    assert model.converged_ == expected.converged_
    assert_array_equal(model.history_["loss"], expected.history_["loss"])


# The same numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"K": 2, "weighted": True, "class_weight": "balanced"},
        {"class_weight": {0: 3.0, 1: 0.5}, "dtype": np.float32},
        {"soft": True, "weighted": True},
        {"solver": "lbfgs", "fit_intercept": False},
        {"solver": "newton-cg", "n_threads": 1},
        {"l1_ratio": 0.5},
        {"C": np.inf},
    ],
    ids=str,
)
def test_dask_arrays(client, options, sparse):
    options = dict(options)
    K = options.pop("K", 3)
    X, y = rows(K, sparse=sparse, dtype=options.pop("dtype", np.float64))
    weight = np.random.default_rng(1).integers(0, 3, len(y)).astype(float)
    weight[131:260] = 0.0  # a whole part
    if options.pop("soft", False):
        y = np.random.default_rng(2).dirichlet(np.ones(K), len(y))
    weighted = options.pop("weighted", False)
    model = LogisticRegression(client=client, **options)
    model.fit(blocks(X), blocks(y), sample_weight=blocks(weight) if weighted else None)
    expected = fastxent.LogisticRegression(**options).fit(cut(X, y, weight) if weighted else cut(X, y))
    same_bits(model, expected)


def test_blocks_that_tasks_make_sparse(client):
    X, y = rows()
    X[130:260] = 0.0  # two parts without any entry
    X = sp.csr_array(X)
    dense = da.from_array(X.toarray(), chunks=(LENGTHS, 3))
    given = dense.rechunk({1: -1}).map_blocks(sp.csr_matrix)
    model = LogisticRegression(client=client).fit(given, blocks(y))
    same_bits(model, fastxent.LogisticRegression().fit(cut(X, y)))
    same_bits(
        LogisticRegression(client=client).fit(dense, y),
        fastxent.LogisticRegression().fit(cut(X.toarray(), y)),
    )
    assert_array_equal(model.predict(given).compute(), model.to_local().predict(X))


@pytest.mark.parametrize("kind", [LogisticRegression, SGDClassifier])
def test_data_frames(client, kind):
    X, y = rows()
    names = np.array(["ape", "bee", "cat"])[y]
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    X, y = frame, pd.Series(names)
    partitions = dd.from_map(lambda part: part[0], cut(X)), dd.from_map(lambda part: part[0], cut(y))
    model = kind(client=client, random_state=0).fit(*partitions)
    same_bits(model, ORDINARY[kind](random_state=0).fit(cut(X, y)))
    assert model.feature_names_in_.tolist() == list("abcdefgh")
    labels = model.predict(partitions[0])
    assert dask.is_dask_collection(labels)
    assert_array_equal(labels.compute(), model.to_local().predict(X))
    assert model.score(*partitions) == model.to_local().score(X, y)


@pytest.mark.parametrize("form", ["pairs", "features and labels", "futures", "persisted", "in memory"])
def test_parts_of_other_forms(client, form):
    X, y = rows()
    batches = cut(X, y)
    if form == "pairs":
        given = ([delayed(batch, pure=False) for batch in batches],)
    elif form == "features and labels":
        given = tuple([delayed(one, pure=False) for one in some] for some in zip(*batches, strict=True))
    elif form == "futures":
        given = ([client.submit(tuple, batch) for batch in batches],)
    elif form == "persisted":
        given = tuple(client.persist([blocks(X), blocks(y)]))
    else:
        given = blocks(X), y
    model = LogisticRegression(client=client).fit(*given)
    same_bits(model, fastxent.LogisticRegression().fit(batches))


@pytest.mark.parametrize("kind", [LogisticRegression, SGDClassifier])
@pytest.mark.parametrize("form", ["arrays", "text", "several"])
def test_sources(client, tmp_path, kind, form):
    X, y = rows(n=500)
    if form == "text":
        dump_svmlight_file(X, y, str(tmp_path / "rows.svm"), zero_based=True)
        given = SvmlightSource(tmp_path / "rows.svm", n_features=8, zero_based=True, batch_rows=40)
        expected = list(given)
        given.close()
    elif form == "several":
        for i, (a, b) in enumerate([(0, 180), (180, 500)]):
            dump_svmlight_file(X[a:b], y[a:b], str(tmp_path / f"{i}.svm"))
        paths = [tmp_path / f"{i}.svm" for i in range(2)]
        given = [SvmlightSource(path, n_features=8, batch_rows=100) for path in paths]
        expected = list(itertools.chain(*given))
    else:
        np.save(tmp_path / "X.npy", X)
        given = NpySource(str(tmp_path / "X.npy"), y, batch_rows=40)
        expected = list(given)
    model = kind(client=client, random_state=0).fit(given)
    same_bits(model, ORDINARY[kind](random_state=0).fit(expected))


def test_stochastic_descent_and_held_out_rows(client):
    X, y = rows(K=4, sparse=True, dtype=np.float32)
    held_out = X[::2], y[::2]
    options = {"random_state": 0, "early_stopping": True, "validation_metric": "accuracy", "max_iter": 6}
    with pytest.warns(UserWarning, match="max_iter"):
        expected = fastxent.SGDClassifier(**options).fit(cut(X, y), eval_set=[held_out])
    eval_set = da.from_delayed(delayed(held_out[0]), held_out[0].shape, X.dtype, meta=X[:0]), held_out[1]
    with pytest.warns(UserWarning, match="max_iter"):
        model = SGDClassifier(client=client, **options).fit(blocks(X), blocks(y), eval_set=eval_set)
    same_bits(model, expected)
    assert_array_equal(model.history_["val_loss"], expected.history_["val_loss"])


def test_partial_fit(client):
    X, y = rows()
    model, expected = SGDClassifier(client=client), fastxent.SGDClassifier()
    model.partial_fit(blocks(X), blocks(y), classes=[0, 1, 2])
    same_bits(model, expected.partial_fit(cut(X, y), classes=[0, 1, 2]))
    model.partial_fit(X, y)  # arrays, too
    same_bits(model, expected.partial_fit(X, y))


@pytest.mark.parametrize("form", ["collection", "arrays", "source"])
def test_validation_loss(client, form):
    X, y = rows()
    given = {"collection": (blocks(X), blocks(y)), "arrays": (X, y), "source": cut(X, y)}[form]
    model = LogisticRegression(client=client).fit(blocks(X), blocks(y), eval_set=given)
    expected = fastxent.LogisticRegression().fit(
        cut(X, y), eval_set=(X, y) if form == "arrays" else cut(X, y)
    )
    assert_array_equal(model.history_["val_loss"], expected.history_["val_loss"])


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_validation_loss_of_delayed_parts(client, count):
    X, y = rows()
    held_out = cut(X, y)[:count]
    model = LogisticRegression(client=client).fit(
        [delayed(one) for one in cut(X, y)], eval_set=[delayed(one) for one in held_out]
    )
    expected = fastxent.LogisticRegression().fit(cut(X, y), eval_set=held_out)
    assert_array_equal(model.history_["val_loss"], expected.history_["val_loss"])


def test_single_delayed_values(client):
    X, y = rows()
    model = LogisticRegression(client=client).fit(delayed(X), delayed(y), eval_set=(delayed(X), delayed(y)))
    same_bits(model, fastxent.LogisticRegression().fit([(X, y)]))
    for given in (delayed(X), client.submit(lambda: X)):
        assert_array_equal(model.predict_proba(given).compute(), model.predict_proba(X))
    assert model.score(delayed(X), delayed(y)) == model.to_local().score(X, y)


def test_classes_that_do_not_occur_and_labels_that_are_not_classes(client):
    X, y = rows()
    with pytest.warns(UserWarning, match="9"):
        model = LogisticRegression(client=client).fit(blocks(X), blocks(y), classes=[0, 1, 2, 9])
    with pytest.warns(UserWarning, match="9"):
        same_bits(model, fastxent.LogisticRegression().fit(cut(X, y), classes=[0, 1, 2, 9]))
    y[200] = 7
    with pytest.raises(ValueError, match="Part 3: y has the label 7, which is not among those of classes"):
        LogisticRegression(client=client).fit(blocks(X), blocks(y), classes=[0, 1, 2])


def test_warm_start_goes_on(client):
    X, y = rows()
    models = LogisticRegression(client=client, warm_start=True), fastxent.LogisticRegression(warm_start=True)
    for model, given in zip(models, [(blocks(X), blocks(y)), (cut(X, y),)], strict=True):
        model.set_params(max_iter=2, tol=1e-9)
        with pytest.warns(UserWarning, match="max_iter"):
            model.fit(*given)
        model.set_params(max_iter=100).fit(*given)
    same_bits(*models)


def test_where_memory_is_short_parts_are_mapped_from_the_disk(client, monkeypatch):
    X, y = rows(sparse=True)
    monkeypatch.setattr(cluster, "MEMORY", 1e-9)
    mapped = []

    class Watched(parts.Portions):
        def surveys(self):
            mapped.extend(client.gather([client.submit(folders, one) for one in self._futures]))
            return super().surveys()

    monkeypatch.setattr(batches, "Portions", Watched)
    model = LogisticRegression(client=client).fit(blocks(X), blocks(y))
    same_bits(model, fastxent.LogisticRegression().fit(cut(X, y)))
    assert len(mapped) == len(LENGTHS) and all(map(all, mapped))


def folders(portion):
    return [kept.is_mapped for kept in portion]


def test_large_parameters_go_from_worker_to_worker(client, monkeypatch):
    X, y = rows(K=4)
    monkeypatch.setattr(parts, "_LARGE", 64)
    model = LogisticRegression(client=client, solver="newton-cg").fit(blocks(X), blocks(y))
    same_bits(model, fastxent.LogisticRegression(solver="newton-cg").fit(cut(X, y)))


def test_values_that_are_all_one_are_not_kept():
    X, y = sp.csr_array(np.eye(50)[np.arange(200) % 50]), np.arange(200) % 2
    kept = worker.Check(fastxent.LogisticRegression(), None, 1e9).kept("Part 0", (0,), (X, y))
    stored = worker.Check(fastxent.LogisticRegression(), None, 1e9).kept("Part 0", (0,), (2 * X, y))
    assert stored.__sizeof__() - kept.__sizeof__() == X.data.nbytes
    for again in (kept, pickle.loads(pickle.dumps(kept))):
        rows, codes, weight = again.rows()
        assert_array_equal(rows.toarray(), X.toarray())
        assert_array_equal(codes, y)
        assert weight is None and again.checksum == kept.checksum


def test_gradients_travel_without_columns_that_are_not_touched():
    gradient = np.zeros((100, 3))
    gradient[[4, 99]] = [[1.0, 2.0, 0.0], [0.0, -0.0, -1.0]]
    gradient[7, 1] = -0.0
    number, sent = worker.packed((2.0, gradient))
    assert number == 2.0 and sent.values.shape == (3, 3)
    _, again = worker.unpacked((number, sent))
    assert again.tobytes() == gradient.tobytes()
    gradient[:60] = 1.0
    assert worker.packed((2.0, gradient))[1] is gradient


# As an estimator ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("K", "sparse"), [(2, False), (3, True)])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
def test_predictions_are_lazy(client, method, K, sparse):
    X, y = rows(K, sparse=sparse)
    model = LogisticRegression(client=client, tol=1.0).fit(blocks(X), blocks(y))
    expected = np.concatenate([getattr(model.to_local(), method)(part) for (part,) in cut(X)])
    found = getattr(model, method)(blocks(X))
    assert isinstance(found, da.Array)
    assert found.shape == expected.shape and found.dtype == expected.dtype
    assert found.chunks[0] == LENGTHS
    assert_array_equal(found.compute(), expected)
    assert_array_equal(getattr(model, method)(X), getattr(model.to_local(), method)(X))
    assert_array_equal(np.concatenate(list(getattr(model, method)(cut(X)))), expected)
    delayed_parts = getattr(model, method)([delayed(part) for (part,) in cut(X)])
    assert_array_equal(np.concatenate(dask.compute(*delayed_parts)), expected)


def test_predictions_refuse_other_columns_and_models_without_a_fit(client):
    X, y = rows()
    with pytest.raises(NotFittedError):
        LogisticRegression(client=client).predict(blocks(X))
    model = LogisticRegression(client=client).fit(blocks(X), blocks(y))
    with pytest.raises(ValueError, match=r"shape \(400, 7\), but LogisticRegression is expecting 8 features"):
        model.predict(blocks(X)[:, :7])


def test_score(client):
    X, y = rows()
    weight = np.random.default_rng(1).random(len(y))
    model = LogisticRegression(client=client).fit(blocks(X), blocks(y))
    expected = model.to_local().score(cut(X, y, weight))
    assert model.score(blocks(X), blocks(y), blocks(weight)) == expected
    assert model.score([delayed(part) for part in cut(X, y, weight)]) == expected
    assert model.score(X, y) == pytest.approx(model.score(blocks(X), y))


@pytest.mark.parametrize("kind", [LogisticRegression, SGDClassifier])
def test_the_ordinary_estimator_comes_out_of_it(client, kind, tmp_path):
    X, y = rows()
    model = kind(client=client, random_state=3).fit(blocks(X), blocks(y))
    local = model.to_local()
    assert type(local) is ORDINARY[kind] and local.random_state == 3
    assert_array_equal(local.predict_proba(X), model.predict_proba(X))
    assert local.coef_ is model.coef_ and local.n_features_in_ == 8
    model.save(tmp_path / "model")
    again = fastxent.load(tmp_path / "model", estimator=True)
    assert type(again) is ORDINARY[kind]
    assert_array_equal(again.coef_, model.coef_)
    copy = pickle.loads(pickle.dumps(model))
    assert copy.client is None
    assert_array_equal(copy.predict(X), model.predict(X))


@pytest.mark.parametrize("kind", [LogisticRegression, SGDClassifier])
def test_parameters(client, kind):
    model = kind(client=client, timeout=5)
    known = ORDINARY[kind]().get_params()
    assert model.get_params() == known | {"client": client, "timeout": 5}
    copy = clone(model.set_params(tol=0.5))
    assert copy.client is client and copy.tol == 0.5 and copy.timeout == 5
    with pytest.raises(TypeError, match="unexpected keyword argument 'tool'"):
        kind(tool=1)


def test_the_current_client_is_the_default(client):
    X, y = rows()
    with client.as_current():
        same_bits(
            LogisticRegression().fit(blocks(X), blocks(y)), fastxent.LogisticRegression().fit(cut(X, y))
        )


# What is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"client": "tcp://here"}, TypeError, "client must be a distributed.Client or None; got str"),
        ({"timeout": 0}, ValueError, "timeout must be a positive number of seconds; got 0"),
        ({"solver": "sdca"}, ValueError, "solver='sdca' needs all rows in memory"),
        ({"C": -1.0}, ValueError, "'C' parameter"),
    ],
)
def test_arguments(client, arguments, error, message):
    X, y = rows()
    with pytest.raises(error, match=message):
        LogisticRegression(**{"client": client} | arguments).fit(blocks(X), blocks(y))


def test_collections_that_do_not_go_together(client):
    X, y = rows()
    model = LogisticRegression(client=client)
    frames = dd.from_map(lambda part: pd.DataFrame(part[0]), cut(X))
    with pytest.raises(TypeError, match=r"X must be a dask array or data frame.*got ndarray"):
        model.fit(X, y)
    with pytest.raises(ValueError, match="target y is None"):
        model.fit(blocks(X))
    with pytest.raises(ValueError, match="one entry for each of the 400 rows of X; got 399"):
        model.fit(blocks(X), da.from_array(y[1:]))
    with pytest.raises(ValueError, match="y has 1 blocks, and X has 7"):
        model.fit(frames, da.from_array(y))
    with pytest.raises(
        TypeError, match=r"y must be a dask collection or a list of delayed values.*got ndarray"
    ):
        model.fit(frames, y)
    with pytest.raises(TypeError, match=r"Part 0: a part must be a tuple .*; got a tuple of 1"):
        model.fit([delayed((X,))])
    with pytest.raises(ValueError, match="y must be None where X is a source"):
        model.fit(cut(X, y), y)
    assert not hasattr(model, "classes_")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X[:, :5], y), "Part 2: X has 5 features, and that of part 0 has 8"),
        (
            lambda X, y: (X.astype(np.float32), y),
            "Part 2: X has dtype float32, and that of part 0 has float64",
        ),
        (lambda X, y: (sp.csr_array(X), y), "Part 2: X is sparse, and that of part 0 is dense"),
        (lambda X, y: (X, y.astype(str)), "Part 2: y mixes strings and other labels"),
        (lambda X, y: (X, np.eye(3)[y]), "Part 2: y has soft labels, and that of part 0 has labels"),
        (
            lambda X, y: (np.full_like(X, np.nan), y),
            r"Part 2: Input X contains NaN: X\[0, 0\] is nan",
        ),
        (lambda X, y: (X, y[1:]), r"Part 2: .*inconsistent numbers of samples"),
        (lambda X, y: (X, y, -np.ones(len(y))), "Part 2: .*sample_weight"),
        (lambda X, y: (X, y + 0.5), "Part 2: Unknown label type: continuous"),
    ],
)
def test_parts_that_disagree(client, change, message):
    batches = cut(*rows())
    batches[2] = change(*batches[2])
    with pytest.raises((TypeError, ValueError), match=message):
        LogisticRegression(client=client).fit([delayed(batch) for batch in batches])


def test_frames_with_other_columns(client):
    X, y = rows()
    batches = [(pd.DataFrame(part, columns=list("abcdefgh")), labels) for part, labels in cut(X, y)]
    batches[4] = batches[4][0].rename(columns={"a": "z"}), batches[4][1]
    with pytest.raises(ValueError, match=r"Part 4: X has columns with other names.* than that of part 0"):
        LogisticRegression(client=client).fit([delayed(batch) for batch in batches])


def test_parts_without_rows_are_left_out(client):
    X, y = rows()
    batches = cut(X, y)
    empty = X[:0], y[:0]
    model = LogisticRegression(client=client)
    model.fit([delayed(batch) for batch in [empty, *batches[:3], empty, *batches[3:], empty]])
    same_bits(model, fastxent.LogisticRegression().fit(batches))
    zeros = blocks(X)[:0]
    assert model.predict(zeros).compute().shape == (0,)
    with pytest.raises(ValueError, match="X has no rows"):
        model.fit([delayed(empty)])
    with pytest.raises(ValueError, match="only one class: 1"):
        model.fit([delayed((X[:5], np.ones(5, int)))])


def fit_there(batches):
    with worker_client() as client:
        return LogisticRegression(client=client).fit([delayed(batch) for batch in batches]).to_local()


def test_a_fit_may_run_on_a_worker(client):
    batches = cut(*rows())
    model = client.submit(fit_there, batches).result(timeout=60)
    same_bits(model, fastxent.LogisticRegression().fit(batches))


def test_a_checkpoint_goes_from_one_engine_to_another(client, tmp_path):
    X, y = rows()
    options = {"checkpoint": fastxent.Checkpoint(str(tmp_path / "run"), every_iterations=1), "tol": 1e-9}

    def interrupt(entry):
        if entry["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fastxent.LogisticRegression(**options).fit(cut(X, y), callback=interrupt)
    entries = []
    model = LogisticRegression(client=client, **options).fit(blocks(X), blocks(y), callback=entries.append)
    same_bits(model, fastxent.LogisticRegression(tol=1e-9).fit(cut(X, y)))
    assert entries[0]["epoch"] > 1
