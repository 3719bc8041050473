"""``fit``: the same model from every format, options that reach it, and mistakes found before the training."""

import json
import math

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import dump_svmlight_file

import fastxent
from fastxent import Checkpoint, LogisticRegression
from fastxent.cli import fit, progress


@pytest.fixture
def untrained(monkeypatch):
    """Any training is an error."""

    def train(*arguments):
        raise AssertionError("a model was trained")

    monkeypatch.setattr(fit, "estimator", train)


def fitted(run, tmp_path, *argv, stdin=b""):
    path = tmp_path / "m.fxt"
    code, out, err = run("fit", *argv, "--model", path, stdin=stdin)
    assert code == 0, err
    return fastxent.load(path, estimator=True), out, err


@pytest.mark.parametrize(
    "name",
    [
        "train.svm",
        "train.svm.gz",
        "train.csv",
        "train.tsv",
        "train.csv.gz",
        "train.csv.zst",
        "train.parquet",
        "train.npz",
        "train.sparse.npz",
    ],
)
def test_every_format_gives_the_model_of_its_rows(name, run, files, digits, tmp_path):
    model, _, _ = fitted(run, tmp_path, files / name, "--quiet")
    X, y = digits[:2]
    sparse = ".svm" in name or "sparse" in name
    wanted = LogisticRegression(random_state=0).fit(sp.csr_matrix(X) if sparse else X, y)
    np.testing.assert_array_equal(model.coef_, wanted.coef_)
    np.testing.assert_array_equal(model.classes_, wanted.classes_)
    assert model.classes_.dtype.kind == "i"


def test_names_of_columns_are_those_of_the_model(run, files, tmp_path):
    model, _, _ = fitted(run, tmp_path, files / "train.parquet", "--quiet")
    assert model.feature_names_in_.tolist() == [f"p{j}" for j in range(64)]


def test_standard_input(run, files, tmp_path):
    data = (files / "train.svm.gz").read_bytes()
    model, out, _ = fitted(
        run, tmp_path, "-", "--format", "svmlight", "--test", files / "test.svm", stdin=data
    )
    assert model.coef_.shape == (10, 64)
    assert "log loss" in out


def test_options_reach_the_model(run, files, tmp_path):
    argv = "--C 0.5 --penalty elasticnet --l1-ratio 0.25 --tol 1e-3 --max-iter 77 --no-intercept --threads 2 --seed 5"
    model, _, _ = fitted(
        run,
        tmp_path,
        files / "train.svm",
        *argv.split(),
        "--solver",
        "prox_newton",
        "--class-weight",
        "3:2,+4:0.5",
    )
    wanted = {
        "C": 0.5,
        "l1_ratio": 0.25,
        "tol": 1e-3,
        "max_iter": 77,
        "fit_intercept": False,
        "n_threads": 2,
        "random_state": 5,
        "solver": "prox_newton",
        "class_weight": {3: 2.0, 4: 0.5},
    }
    assert model.get_params().items() >= wanted.items()


@pytest.mark.parametrize(
    ("penalty", "C", "ratio"),
    [("l2", 1.0, 0.0), ("l1", 1.0, 1.0), ("elasticnet", 1.0, 0.5), ("none", math.inf, 0.0)],
)
def test_penalties(penalty, C, ratio, run, files, tmp_path):
    model, _, _ = fitted(run, tmp_path, files / "train2.svm", "--penalty", penalty, "--max-iter", 2)
    assert (model.C, model.l1_ratio) == (C, ratio)


def test_a_path_by_cross_validation(run, files, tmp_path):
    model, out, err = fitted(
        run, tmp_path, files / "train2.svm", "--class-weight", "balanced", "--json", "--cv"
    )
    assert type(model).__name__ == "LogisticRegressionCV"
    assert (model.cv, model.class_weight, len(model.Cs_)) == (5, "balanced", 10)
    assert json.loads(out)["C"] == model.C_
    folds = {json.loads(line)["fold"] for line in err.splitlines()}
    assert folds == {0, 1, 2, 3, 4, None}


def test_stochastic_descent(run, files, tmp_path):
    argv = ["--sgd", "--epochs", 3, "--batch-size", 16, "--C", 2, "--seed", 1]
    model, out, err = fitted(
        run, tmp_path, files / "train.npz", "--test", files / "test.npz", "--json", *argv
    )
    assert type(model).__name__ == "SGDClassifier"
    assert (model.n_iter_, model.batch_size, model.tol, model.random_state) == (3, 16, None, 1)
    assert math.isclose(model.alpha, 1 / (2 * 600))
    assert [json.loads(line)["epoch"] for line in err.splitlines()] == [1, 2, 3]
    assert json.loads(out)["test"]["accuracy"] > 0.8


def test_weights_and_dropped_columns(run, tmp_path):
    rng = np.random.default_rng(1)
    X, w = rng.normal(size=(60, 2)), rng.integers(1, 4, 60)
    y = np.where(X[:, 0] + rng.normal(size=60) > 0, "yes", "no")
    rows = [f"{i},{a!r},{k},{b!r},{c}" for i, (a, b), k, c in zip(range(60), X.tolist(), y, w, strict=True)]
    (tmp_path / "w.csv").write_text("id,a,outcome,b,times\n" + "\n".join(rows))
    argv = ["--label", "outcome", "--weight", "times", "--drop", "id", "--quiet"]
    by_name, _, _ = fitted(run, tmp_path, tmp_path / "w.csv", *argv)
    np.testing.assert_array_equal(by_name.coef_, LogisticRegression(random_state=0).fit(X, y, w).coef_)
    assert by_name.feature_names_in_.tolist() == ["a", "b"]
    (tmp_path / "w.csv").write_text("\n".join(rows))
    argv = ["--label", "2", "--weight", "-1", "--drop", "0", "--quiet"]
    by_number, _, _ = fitted(run, tmp_path, tmp_path / "w.csv", *argv)
    np.testing.assert_array_equal(by_number.coef_, by_name.coef_)


def test_columns_that_count_from_zero(run, files, digits, tmp_path):
    dump_svmlight_file(*digits[:2], str(tmp_path / "zero.svm"), zero_based=True)
    X = digits[0].copy()
    X[0, 0] = 1.0  # digits have nothing in their first column
    dump_svmlight_file(X, digits[1], str(tmp_path / "seen.svm"), zero_based=True)
    for argv in ([tmp_path / "zero.svm", "--zero-based"], [tmp_path / "seen.svm"]):
        model, _, _ = fitted(run, tmp_path, *argv, "--quiet")
        assert model.n_features_in_ == 64
        assert model.coef_[:, 2].any()
    code, _, err = run(
        "fit", files / "train.svm", "--test", tmp_path / "seen.svm", "--model", tmp_path / "x.fxt"
    )
    assert code == 1
    assert "seen.svm, line 1: has a column 0" in err
    assert "--zero-based" in err


def test_the_summary_as_json_and_as_text(run, files, tmp_path):
    argv = [files / "train.svm", "--test", files / "test.svm"]
    _, out, _ = fitted(run, tmp_path, *argv, "--json")
    found = json.loads(out)
    assert (found["rows"], found["features"], found["classes"], found["converged"]) == (600, 64, 10, True)
    assert found["test"]["rows"] == 300
    _, out, err = fitted(run, tmp_path, *argv, "--quiet")
    assert err == ""
    assert out.startswith("rows      300\nlog loss")


def test_a_fit_that_does_not_converge_says_so(run, files, tmp_path):
    _, out, err = fitted(run, tmp_path, files / "train.svm", "--max-iter", 2, "--quiet", "--json")
    assert json.loads(out)["converged"] is False
    assert err.startswith("fastxent: warning: auto failed to converge")


# Mistakes -------------------------------------------------------------------------------------------------

USAGE = {
    "no file": (["nothing.svm"], "nothing.svm: No such file"),
    "a folder": (["."], "is a folder"),
    "unknown suffix": (["train.bin"], "--format"),
    "no suffix": (["-"], "--format"),
    "twice standard input": (["-", "--test", "-", "--format", "csv"], "only one"),
    "unwritable": (["train.svm", "--model", "no/folder/m.fxt"], "cannot be written"),
    "model is a folder": (["train.svm", "--model", "."], "is a folder"),
    "model is the data": (["train.svm", "--model", "train.svm"], "would replace train.svm, which is read"),
    "model is a device": (["train.svm", "--model", "/dev/null"], "a device"),
    "no test": (["train.svm", "--test", "nothing.svm"], "nothing.svm: No such file"),
    "text and numbers": (["train.svm", "--test", "test.svm", "--text", "--format", "csv"], "contradict"),
    "C": (["train.svm", "--C", "0"], "greater than 0"),
    "C is NaN": (["train.svm", "--C", "nan"], "greater than 0"),
    "C and cv": (["train.svm", "--C", "1", "--cv", "3"], "not allowed with"),
    "cv before the file": (["--cv", "train.svm"], "a file goes before --cv"),
    "one fold": (["train.svm", "--cv", "1"], "at least 2"),
    "solver and penalty": (["train.svm", "--solver", "lbfgs", "--penalty", "l1"], "lbfgs"),
    "two classes only": (["train.svm", "--solver", "liblinear"], "liblinear"),
    "sparse rows only": (["train.csv", "--solver", "sdca"], "sdca"),
    "ratio": (["train.svm", "--l1-ratio", "0.5"], "--penalty elasticnet"),
    "no penalty": (["train.svm", "--penalty", "none", "--C", "1"], "--penalty none"),
    "epochs": (["train.svm", "--epochs", "3"], "--sgd"),
    "sgd and cv": (["train.svm", "--sgd", "--cv", "3"], "--sgd does not go with --cv"),
    "sgd and solver": (["train.svm", "--sgd", "--solver", "auto"], "does not go with"),
    "hashing": (["train.svm", "--hashing", "10"], "--text"),
    "label": (["train.svm", "--label", "x"], "--label is for CSV"),
    "no header": (["train.npz", "--no-header"], "--no-header is for CSV"),
    "unknown label": (["train.csv", "--label", "species"], "no column 'species'"),
    "label out of range": (["train.csv", "--label", "65"], "no column '65'"),
    "unknown weight": (["train.parquet", "--weight", "w"], "no column 'w'"),
    "zero-based": (["train.csv", "--zero-based"], "svmlight"),
    "class weight": (["train.svm", "--class-weight", "3:x"], "must be a number"),
    "class weight of no class": (["train.svm", "--class-weight", "17:2"], "no row has the label '17'"),
    "seed": (["train.svm", "--seed", "-1"], "at least 0"),
    "threads": (["train.svm", "--threads", "0"], "at least 1"),
    "n-grams": (["texts.txt", "--text", "--char-ngrams", "4-2"], "as in 2-4"),
    "abbreviated": (["train.svm", "--tes", "test.svm"], "unrecognized arguments"),
}


@pytest.mark.parametrize("name", USAGE)
def test_wrong_usage_is_found_before_the_training(name, run, files, tmp_path, monkeypatch, untrained):
    argv, said = USAGE[name]
    (tmp_path / "train.bin").write_bytes(b"")
    for data in files.iterdir():
        (tmp_path / data.name).symlink_to(data)
    monkeypatch.chdir(tmp_path)
    code, out, err = run("fit", *argv, *([] if "--model" in argv else ["--model", "m.fxt"]))
    assert (code, out) == (2, "")
    assert said in err
    assert not (tmp_path / "m.fxt").exists()


DATA = {
    "a bad number": ("x.svm", b"1 1:2\n2 1:3\n1 1:2.x\n", "line 3"),
    "NaN": ("x.svm", b"1 1:2\n2 1:nan\n", "line 2: the value of column 1 is NaN"),
    "ragged": ("x.csv", b"label,a,b\n1,2,3\n2,3\n", "line 3: has 2 fields where 3 are expected"),
    "empty": ("x.svm", b"", "is empty"),
    "empty CSV": ("x.csv", b"", "is empty"),
    "empty Parquet": ("x.parquet", b"", "cannot be read as Parquet"),
    "empty text": ("x.txt", b"", "is empty"),
    "no label": ("x.svm", b"1 1:2\n1:3\n", "line 2: begins with '1:3' where a label should stand"),
    "no label in CSV": ("x.csv", b"label,a\nx,1\n,2\n", "line 3: has no label"),
    "no label in text": ("x.txt", b"a\tb\nno label here\n", "line 2: has no label"),
    "truncated": ("x.svm.gz", "cut", "cannot be unpacked"),
    "not packed": ("x.csv.gz", b"label,a\n1,2\n", "cannot be unpacked"),
    "rubbish": ("x.svm", bytes(range(256)), "line 1: is not text"),
    "rubbish CSV": ("x.csv", bytes(range(255, 0, -1)), "line 1"),
    "rubbish npz": ("x.npz", bytes(range(256)), "cannot be read as an archive"),
    "rubbish text": ("x.txt", b"a\tb\n\xff\tc\n", "line 2: is not UTF-8"),
    "one class": ("x.svm", b"3 1:2\n3 1:4\n", "all rows have the label 3"),
    "not classes": ("x.csv", b"label,a\n0.25,1\n0.5,2\n", "line 2: the label is 0.25"),
    "several labels": ("x.txt", b"__label__a __label__b text\n", "line 1: has several labels"),
    "no words": ("x.txt", b"a\t\nb\t?\n", "no words"),
}


@pytest.mark.parametrize("name", DATA)
def test_bad_data_is_found_before_the_training(name, run, files, tmp_path, untrained):
    file, content, said = DATA[name]
    content = (files / "train.svm.gz").read_bytes()[:-100] if content == "cut" else content
    (tmp_path / file).write_bytes(content)
    code, out, err = run(
        "fit", tmp_path / file, "--model", tmp_path / "m.fxt", *["--text"] * (".txt" in file)
    )
    assert (code, out) == (1, "")
    assert err.startswith(f"fastxent: error: {tmp_path / file}")
    assert said in err
    assert [path.name for path in tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"1 1:2\n2 1:x\n", "line 2"),
        (b"1 1:2\n77 1:2\n", "line 2: the label '77' was not in the training"),
        (b"", "is empty"),
    ],
)
def test_a_bad_test_file_is_found_before_the_training(content, said, run, files, tmp_path, untrained):
    (tmp_path / "test.svm").write_bytes(content)
    argv = [files / "train.svm", "--test", tmp_path / "test.svm", "--model", tmp_path / "m.fxt"]
    code, _, err = run("fit", *argv)
    assert code == 1
    assert f"{tmp_path / 'test.svm'}" in err
    assert said in err


def test_too_few_rows_for_folds(run, tmp_path, untrained):
    (tmp_path / "x.svm").write_text("1 1:2\n1 1:3\n1 1:1\n2 1:4\n")
    code, _, err = run("fit", tmp_path / "x.svm", "--model", tmp_path / "m.fxt", "--cv", "3")
    assert code == 1
    assert "the class '2' has 1 rows, too few for --cv 3" in err


def test_packages_that_are_missing(run, files, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "rich", None)
    monkeypatch.setitem(__import__("sys").modules, "rich.progress", None)
    for name in ("train.csv", "train.parquet", "train.csv.zst"):
        code, _, err = run("fit", files / name, "--model", tmp_path / "m.fxt")
        assert code == 2
        assert "pip install 'fastxent[parquet]'" in err
    for argv in (["train.svm.gz"], ["train.npz"], ["texts.txt", "--text"]):
        assert run("fit", files / argv[0], *argv[1:], "--model", tmp_path / "m.fxt")[0] == 0


@pytest.mark.parametrize("options", [[], ["--sgd", "--epochs", "4"]])
def test_a_training_that_was_killed_goes_on(run, files, tmp_path, monkeypatch, options):
    command = (files / "train.npz", *options)
    expected, _, _ = fitted(run, tmp_path, *command, "--quiet")
    monkeypatch.setattr(Checkpoint, "is_due", lambda *how: True)
    monkeypatch.setattr(progress, "_line", dies)
    with pytest.raises(Died):
        run("fit", *command, "--model", tmp_path / "m.fxt", "--checkpoint", tmp_path / "folder")
    monkeypatch.undo()
    model, _, err = fitted(run, tmp_path, *command, "--checkpoint", tmp_path / "folder")
    assert json.loads(err.splitlines()[0])["epoch"] == 2
    np.testing.assert_array_equal(model.coef_, expected.coef_)
    code, _, err = run(
        "fit", *command, "--C", "2", "--model", tmp_path / "m.fxt", "--checkpoint", tmp_path / "folder"
    )
    assert code == 1 and "belongs to another fit" in err


class Died(BaseException):
    """Stands for the end of the process."""


def dies(entries):
    if entries["epoch"] == 2:
        raise Died


def test_a_checkpoint_needs_a_folder_and_no_folds(run, files, tmp_path):
    (tmp_path / "file").write_text("")
    for options, message in (
        (["--checkpoint", tmp_path / "file"], "is a file; a folder is wanted"),
        (["--checkpoint", tmp_path / "folder", "--cv"], "--checkpoint does not go with --cv"),
    ):
        code, _, err = run("fit", files / "train.npz", "--model", tmp_path / "m.fxt", *options)
        assert code == 2 and message in err
