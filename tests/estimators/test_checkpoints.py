"""``checkpoint``: a fit that dies goes on, with the bits of one that did not; any other fit is refused."""

import errno
import itertools
import os
import pickle
import signal
import time
import traceback

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import fastxent
from fastxent import Checkpoint, LogisticRegression, LogisticRegressionCV, SGDClassifier
from fastxent.checkpoint import NAME, Session
from fastxent.objective import Objective


class Died(Exception):
    """Stands for the end of the process."""


def rows(n=400, d=6, K=3, *, sparse=False, seed=0):
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(n, d)) + 0.3) * (rng.random((n, d)) < 0.6)
    y = np.argmax(X @ rng.normal(size=(d, K)) + rng.gumbel(size=(n, K)), axis=1)
    return (sp.csr_array(X) if sparse else X), y


def cut(*arrays, borders=(0, 100, 101, 300, 400)):
    return [tuple(array[a:b] for array in arrays) for a, b in itertools.pairwise(borders)]


KINDS = {
    "rows": lambda: rows(),
    "sparse": lambda: rows(sparse=True),
    "two classes": lambda: rows(K=2, sparse=True),
    "batches": lambda: (cut(*rows()),),
    "sparse batches": lambda: (cut(*rows(sparse=True)),),
    "weighted batches": lambda: (cut(*rows(), np.arange(400.0) % 7),),
}
IN_MEMORY, IN_BATCHES = list(KINDS)[:3], list(KINDS)[3:]


@pytest.fixture
def small_samples(monkeypatch):
    """Leave something to do after the first answer, which comes from a sample of the batches."""
    monkeypatch.setattr(Objective, "fitting_rows", 60)


def assert_same(model, expected):
    for name in ("classes_", "coef_", "intercept_", "n_iter_"):
        assert_array_equal(getattr(model, name), getattr(expected, name), name)
    assert model.converged_ == expected.converged_
    assert model.history_.keys() == expected.history_.keys()
    for name, values in expected.history_.items():
        if name != "seconds":
            assert_array_equal(model.history_[name], values, name)


def check(model, data, folder, **how):
    """Let each fit die one iteration later than the one before, which is where it went on."""
    expected = clone(model).fit(*data, **how)
    assert np.max(expected.n_iter_) > 1
    model = clone(model).set_params(checkpoint=Checkpoint(folder, every_iterations=1))
    firsts = []
    for epoch in itertools.count(1):
        seen = []

        def die(entry, epoch=epoch, seen=seen):
            seen.append(entry["epoch"])
            if entry["epoch"] == epoch:
                raise Died

        try:
            model.fit(*data, callback=die, **how)
        except Died:
            assert not hasattr(model, "coef_")
            firsts.append(seen[0])
            continue
        break
    firsts += seen[:1]
    assert firsts == [1, *range(1, epoch)]
    assert epoch == np.max(expected.n_iter_) + 1
    assert_same(model, expected)
    seen.clear()
    assert_same(clone(model).fit(*data, callback=die, **how), expected)
    assert not seen  # it was not repeated
    return model, expected


# LogisticRegression --------------------------------------------------------------------------------------

SOLVERS = {
    "auto": {},
    "metric": {"solver": "metric", "tol": 1e-9},
    "lbfgs": {"solver": "lbfgs", "tol": 1e-6},
    "newton-cg": {"solver": "newton-cg", "tol": 1e-9},
    "l1": {"l1_ratio": 1.0, "C": 0.3, "tol": 1e-7},
    "l1-newton": {"solver": "saga", "l1_ratio": 0.5, "tol": 1e-7},
}
LOCAL = {
    "sdca": {"solver": "sdca", "tol": 1e-7, "random_state": 3},
    "prox_newton": {"solver": "prox_newton", "l1_ratio": 0.7, "tol": 1e-8},
    "sgd": {"solver": "sgd", "tol": 1e-3, "random_state": 3, "max_iter": 15},
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("solver", "kind"),
    [at for at in itertools.product([*SOLVERS, *LOCAL], IN_MEMORY) if at != ("sdca", "rows")],
)
def test_every_solver_in_memory(tmp_path, solver, kind):
    check(LogisticRegression(**(SOLVERS | LOCAL)[solver]), KINDS[kind](), tmp_path)


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("kind", IN_BATCHES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_over_batches(tmp_path, solver, kind):
    check(LogisticRegression(**SOLVERS[solver]), KINDS[kind](), tmp_path)


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("kind", ["rows", "batches"])
def test_validation_rows(tmp_path, kind):
    held_out = rows(n=50, seed=1)
    for number, eval_set in enumerate((held_out, [held_out])):
        model, _ = check(
            LogisticRegression(solver="newton-cg"), KINDS[kind](), tmp_path / str(number), eval_set=eval_set
        )
        assert len(model.history_["val_loss"]) == len(model.history_["loss"])


def test_class_weights_soft_labels_and_a_warm_start(tmp_path):
    X, y = rows()
    soft = np.eye(3)[y] * 0.8 + 0.2 / 3
    weighted = LogisticRegression(class_weight={0: 1.0, 1: 3.0, 2: 0.5}, solver="lbfgs")
    check(weighted, (X, y, np.arange(400) % 3), tmp_path / "weights")
    check(LogisticRegression(solver="newton-cg", penalty_factor=np.arange(6)), (X, soft), tmp_path / "soft")
    first = LogisticRegression(C=0.01, warm_start=True).fit(X, y)
    folder = tmp_path / "warm"
    expected = pickle.loads(pickle.dumps(first)).set_params(C=10.0, solver="lbfgs").fit(X, y)
    model = pickle.loads(pickle.dumps(first)).set_params(C=10.0, solver="lbfgs", checkpoint=folder)
    with pytest.raises(Died):
        model.fit(X, y, callback=dies_at(3))
    assert_same(model.fit(X, y), expected)
    with pytest.raises(ValueError, match="the start is not the same"):
        model.fit(X, y)  # which would begin where it ended
    with pytest.raises(ValueError, match="warm_start was True and is False"):
        LogisticRegression(C=10.0, solver="lbfgs", checkpoint=folder).fit(X, y)


def dies_at(epoch):
    def die(entry):
        if entry["epoch"] == epoch:
            raise Died

    return die


def test_far_columns(tmp_path):
    X, y = rows()
    X = (X + np.array([1e4, 0, 0, 0, 0, 0])).astype(np.float32)
    check(LogisticRegression(solver="newton-cg"), (X, y), tmp_path)


def test_a_warning_is_repeated(tmp_path):
    model = LogisticRegression(max_iter=2, tol=1e-12, checkpoint=tmp_path)
    for _ in range(2):
        with pytest.warns(ConvergenceWarning, match="max_iter"):
            model.fit(*rows())
        assert not model.converged_


def test_a_fit_that_a_callback_stopped_goes_on(tmp_path):
    X, y = rows()
    expected = LogisticRegression(solver="newton-cg").fit(X, y)
    model = LogisticRegression(solver="newton-cg", checkpoint=tmp_path)
    assert model.fit(X, y, callback=lambda entry: entry["epoch"] == 2).n_iter_ == [2]
    assert_same(model.fit(X, y), expected)
    expected = SGDClassifier(random_state=0).fit(X, y)
    model = SGDClassifier(random_state=0, checkpoint=tmp_path / "sgd")
    assert model.fit(X, y, callback=lambda entry: entry["epoch"] == 2).n_iter_ == 2
    assert_same(model.fit(X, y), expected)


# SGDClassifier -------------------------------------------------------------------------------------------

DESCENTS = {
    "sgd": {},
    "l1": {"penalty": "l1"},
    "early stopping": {"early_stopping": True},
    "adaptive adam": {
        "optimizer": "adam",
        "penalty": "elasticnet",
        "learning_rate": "adaptive",
        "max_iter": 60,
    },
    "averaged minibatches": {"average": 30, "batch_size": 16, "optimizer": "nesterov", "momentum": 0.5},
    "in order": {"shuffle": False, "optimizer": "ftrl"},
    "cosine": {"optimizer": "adagrad", "learning_rate": "cosine"},
    "all rows": {"batch_size": None, "optimizer": "momentum"},
    "svrg": {"optimizer": "svrg"},
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("descent", "kind"),
    [
        *itertools.product(DESCENTS, ["rows", "sparse"]),
        *((descent, "batches") for descent in DESCENTS if descent not in ("all rows", "svrg")),
    ],
)
def test_every_descent(tmp_path, descent, kind):
    model = SGDClassifier(**{"random_state": 5, "max_iter": 10} | DESCENTS[descent])
    data, how = KINDS[kind](), {}
    if kind == "batches" and descent == "early stopping":
        how = {"eval_set": rows(n=60, seed=1)}
    model, expected = check(model, data, tmp_path, **how)
    assert model.t_ == expected.t_
    if descent not in ("svrg", "early stopping"):
        X, y = rows()
        assert_array_equal(model.partial_fit(X, y).coef_, expected.partial_fit(X, y).coef_)


def test_the_state_of_a_generator(tmp_path):
    X, y = rows()
    expected = SGDClassifier(random_state=np.random.RandomState(7)).fit(X, y)
    for _ in range(2):
        model = SGDClassifier(random_state=np.random.RandomState(7), checkpoint=tmp_path)
        with pytest.raises(Died):
            model.fit(X, y, callback=dies_at(3))
    assert_same(model.set_params(random_state=np.random.RandomState(7)).fit(X, y), expected)


def test_descents_that_cannot_be_repeated(tmp_path):
    X, y = rows(sparse=True)
    with pytest.raises(ValueError, match="checkpoint does not go with parallel='hogwild'"):
        SGDClassifier(parallel="hogwild", checkpoint=tmp_path).fit(X, y)
    with pytest.raises(
        ValueError, match="checkpoint needs a random_state where early_stopping holds out rows"
    ):
        SGDClassifier(early_stopping=True, checkpoint=tmp_path).fit(X, y)
    assert os.listdir(tmp_path) == []


# Whose it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"C": 2.0}, "C was 1 and is 2"),
        ({"solver": "lbfgs"}, "solver was 'newton-cg' and is 'lbfgs'"),
        ({"class_weight": "balanced"}, "class_weight was None and is 'balanced'"),
        ({"max_iter": 7}, "max_iter was 1000 and is 7"),
        ({"penalty_factor": [1, 1, 1, 1, 1, 2]}, "penalty_factor was None"),
    ],
)
def test_another_parameter_is_refused(tmp_path, parameters, match):
    X, y = rows()
    model = LogisticRegression(solver="newton-cg", checkpoint=tmp_path)
    with pytest.raises(Died):
        model.fit(X, y, callback=dies_at(2))
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(ValueError, match=f"belongs to another fit: {match}"):
        clone(model).set_params(**parameters).fit(X, y)
    assert (tmp_path / NAME).read_bytes() == before
    other = clone(model).set_params(n_threads=1, verbose=0, checkpoint=Checkpoint(tmp_path, every_seconds=5))
    assert_same(other.fit(X, y), LogisticRegression(solver="newton-cg").fit(X, y))


@pytest.mark.parametrize("ended", [False, True])
def test_other_data_are_refused(tmp_path, ended):
    X, y = rows()
    model = LogisticRegression(solver="newton-cg", checkpoint=tmp_path)
    if ended:
        model.fit(X, y)
    else:
        with pytest.raises(Died):
            model.fit(X, y, callback=dies_at(2))
    value, label = X.copy(), y.copy()
    value[7, 3] = np.nextafter(value[7, 3], np.inf)
    label[7] = (label[7] + 1) % 3
    names, weights = np.array(["a", "b", "c"])[y], np.ones(400)
    weights[7] = 2.0
    for data, match in (
        ((value, y), r"X \(values, layout\) is not"),
        ((X, label), r"y \(labels, weights\) is not"),
        ((X, y, weights), r"y \(labels, weights\) is not"),
        ((X, names), r"classes was \[0, 1, 2\] and is \['a', 'b', 'c'\]"),
        ((np.asfortranarray(X), y), r"X \(values, layout\) is not"),
        ((X[:-1], y[:-1]), "number of rows was 400 and is 399"),
        ((X[:, :-1], y), "number of features was 6 and is 5"),
        ((X.astype(np.float32), y), "dtype of X was float64 and is float32"),
        ((sp.csr_array(X), y), "sparsity of X was dense and is sparse"),
        ((cut(X, y),), r"rows of the batches was \[400\] and is \[100, 1, 199, 100\]"),
        ((X, y, None, (X, y)), "eval_set is not the same|eval_set was None"),
    ):
        with pytest.raises(ValueError, match=f"belongs to another fit: .*({match})"):
            clone(model).fit(*data)
    with pytest.raises(ValueError, match="estimator was LogisticRegression and is SGDClassifier"):
        SGDClassifier(checkpoint=tmp_path).fit(X, y)
    again = clone(model).fit(X.tolist(), y.tolist())
    assert_array_equal(again.coef_, LogisticRegression(solver="newton-cg").fit(X, y).coef_)


def test_a_checkpoint_that_is_damaged(tmp_path):
    X, y = rows()
    model = LogisticRegression(checkpoint=tmp_path).fit(X, y)
    content = bytearray((tmp_path / NAME).read_bytes())
    content[-1] ^= 1  # of an array: the header's length varies
    (tmp_path / NAME).write_bytes(content)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=f"{NAME} is damaged: .*delete .*{NAME} to begin anew"):
        model.fit(X, y)
    assert vars(model) == before


@pytest.mark.parametrize(
    "model", [LogisticRegression(solver="lbfgs", tol=1e-7), SGDClassifier(random_state=0)], ids=str
)
def test_a_disk_that_is_full_for_a_while(tmp_path, monkeypatch, model):
    X, y = rows()
    expected = clone(model).fit(X, y)
    model = clone(model).set_params(checkpoint=Checkpoint(tmp_path, every_iterations=1))
    left, fsync = [9], os.fsync  # of files and of the folder

    def full(descriptor):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=rf"No space left on device: cannot write: .*{tmp_path.name}"):
        model.fit(X, y)
    assert not hasattr(model, "coef_")
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
    monkeypatch.undo()
    seen = []
    assert_same(model.fit(X, y, callback=lambda entry: seen.append(entry["epoch"])), expected)
    assert seen[0] > 1


@pytest.mark.parametrize("kind", [LogisticRegression, SGDClassifier])
def test_a_folder_that_cannot_be_made(tmp_path, kind):
    (tmp_path / "file").write_bytes(b"")
    model = kind(checkpoint=tmp_path / "file" / "folder")
    with pytest.raises(NotADirectoryError):
        model.fit(*rows())
    assert not hasattr(model, "coef_")


# With everything else ------------------------------------------------------------------------------------


def test_parameters_clones_pickles_and_model_files(tmp_path):
    X, y = rows()
    for given in (str(tmp_path / "a"), tmp_path / "b", Checkpoint(tmp_path / "c", every_iterations=2)):
        for kind in (LogisticRegression, SGDClassifier):
            model = kind(checkpoint=given)
            assert clone(model).get_params()["checkpoint"] == given
            if kind is LogisticRegression:
                model.fit(X, y)
                assert pickle.loads(pickle.dumps(model)).checkpoint == given
                model.save(tmp_path / "m.fxt")
                loaded = fastxent.load(tmp_path / "m.fxt", estimator=True)
                assert loaded.checkpoint == (given if isinstance(given, Checkpoint) else str(given))
                assert_same(loaded.fit(X, y), model)
    with pytest.raises(TypeError, match="unexpected keyword argument 'checkpoint'"):
        LogisticRegressionCV(checkpoint="folder")
    with pytest.raises(ValueError, match="'checkpoint' parameter of LogisticRegression must be"):
        LogisticRegression(checkpoint=5).fit(X, y)


def test_it_is_mentioned(tmp_path, caplog):
    caplog.set_level("INFO", logger="fastxent")
    model = LogisticRegression(
        solver="newton-cg", verbose=1, checkpoint=Checkpoint(tmp_path, every_iterations=2)
    )
    with pytest.raises(Died):
        model.fit(*rows(), callback=dies_at(3))
    lines = [line for line in caplog.messages if "checkpoint" in line]
    assert lines == [f"checkpoint in {tmp_path}"] * 2
    caplog.clear()
    model.fit(*rows())
    assert caplog.messages[0] == f"checkpoint in {tmp_path}: going on from it"
    caplog.clear()
    model.fit(*rows())
    assert caplog.messages == [f"checkpoint in {tmp_path}: this fit has ended"]


def test_without_one_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Session, "__init__", lambda *arguments, **more: pytest.fail("a session was opened"))
    LogisticRegression().fit(*rows())
    SGDClassifier().fit(*rows())
    assert os.listdir(tmp_path) == []


# kill -9 -------------------------------------------------------------------------------------------------

LONG = {
    "metric": (LogisticRegression(tol=1e-10, C=100.0), "batches"),
    "prox_newton": (LogisticRegression(l1_ratio=1.0, tol=1e-10), "rows"),
    "lbfgs": (LogisticRegression(solver="lbfgs", tol=1e-7), "rows"),
    "sdca": (LogisticRegression(solver="sdca", tol=1e-8), "sparse"),
    "sgd": (SGDClassifier(random_state=0, max_iter=20, tol=None), "sparse"),
}


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("name", LONG)
def test_killed_at_random_moments(tmp_path, name):
    """Each process is killed some time after it has begun; the next goes on, until one comes to its end."""
    model, kind = LONG[name]
    data, folder, out = KINDS[kind](), tmp_path / "checkpoint", tmp_path / "theta.npy"
    expected = clone(model).fit(*data)
    model = clone(model).set_params(checkpoint=Checkpoint(folder, every_seconds=0.0))
    random, kills = np.random.default_rng(len(name)), 0
    while not out.exists():
        child = os.fork()
        if child == 0:
            try:
                model.fit(*data, callback=lambda entry: time.sleep(0.02))
                np.save(tmp_path / "some.npy", np.vstack([model.coef_.T, model.intercept_]))
                os.replace(tmp_path / "some.npy", out)  # the kill may come while it is written
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        if kills < 12:
            time.sleep(random.uniform(0.02, 0.12))
            os.kill(child, signal.SIGKILL)
        killed = os.waitpid(child, 0)[1] == signal.SIGKILL
        assert killed or out.exists()
        kills += killed
    assert kills > 1
    assert_array_equal(np.load(out), np.vstack([expected.coef_.T, expected.intercept_]))
    assert os.listdir(folder) == [NAME]
