"""``predict``: what a model says of the rows of a file, in their order."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import fastxent
from fastxent.cli import served
from fastxent.readers import stream


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("svm", ["test.svm", "test.svm.gz", "test.npz", "test.sparse.npz", "test.unlabeled.npz", "test.csv"]),
        (
            "csv",
            ["test.csv", "test.csv.gz", "test.csv.zst", "test.tsv", "test.parquet", "test.svm", "test.npz"],
        ),
        ("npz", ["test.npz", "test.csv", "test.svm", "test.parquet"]),
    ],
)
def test_labels_of_every_format(model, names, run, files, models, digits):
    wanted = fastxent.load(models[model]).predict(digits[2]).tolist()
    for name in names:
        code, out, err = run("predict", files / name, "--model", models[model])
        assert (code, err) == (0, ""), name
        assert [int(line) for line in out.splitlines()] == wanted, name


def test_probabilities(run, files, models, digits):
    code, out, _ = run("predict", files / "test.svm", "--model", models["svm"], "--proba")
    header, *rows = (line.split("\t") for line in out.splitlines())
    assert code == 0
    assert header == list("0123456789")
    p = fastxent.load(models["svm"])
    np.testing.assert_array_equal(np.array(rows, float), p(sp.csr_matrix(digits[2])))


def test_the_likeliest_labels(run, files, models, digits):
    code, out, _ = run("predict", files / "test.npz", "--model", models["npz"], "--top", 3)
    assert code == 0
    labels, probabilities = fastxent.load(models["npz"]).top(digits[2], 3)
    fields = np.array([line.split("\t") for line in out.splitlines()])
    np.testing.assert_array_equal(fields[:, 0::2].astype(int), labels)
    np.testing.assert_array_equal(fields[:, 1::2].astype(float), probabilities)


def test_an_output_file_and_standard_input(run, files, models, tmp_path):
    argv = ["--model", models["svm"]]
    _, wanted, _ = run("predict", files / "test.svm", *argv)
    data = (files / "test.svm").read_bytes()
    code, out, _ = run(
        "predict", "-", "--format", "svmlight", *argv, "--output", tmp_path / "o.txt", stdin=data
    )
    assert (code, out) == (0, "")
    assert (tmp_path / "o.txt").read_text() == wanted
    code, _, err = run(
        "predict", "-", "--format", "svmlight", *argv, "--output", tmp_path / "o.txt", stdin=b"1 1:x\n"
    )
    assert code == 1
    assert "standard input, line 1" in err
    assert (tmp_path / "o.txt").read_text() == wanted  # as it was
    assert [path.name for path in tmp_path.iterdir()] == ["o.txt"]


def test_rows_without_labels(run, files, models, tmp_path):
    lines = (files / "test.svm").read_text().splitlines()
    (tmp_path / "bare.svm").write_text("".join(line.split(" ", 1)[1] + "\n" for line in lines))
    table = [line.split(",", 1)[1] for line in (files / "test.csv").read_text().splitlines()]
    (tmp_path / "bare.csv").write_text("\n".join(table))
    (tmp_path / "headless.csv").write_text("\n".join(table[1:]))
    _, wanted, _ = run("predict", files / "test.svm", "--model", models["svm"])
    for model, name, *more in (
        ("svm", "bare.svm"),
        ("csv", "bare.csv"),
        ("csv", "headless.csv", "--no-header"),
        ("svm", "headless.csv", "--unlabeled"),
    ):
        argv = [tmp_path / name, "--model", models[model], *more]
        code, out, err = run("predict", *argv)
        assert (code, err) == (0, "")
        if model == "svm":
            assert out == wanted
    code, _, err = run("predict", tmp_path / "headless.csv", "--model", models["csv"])
    assert code == 1
    assert "--no-header" in err


def test_columns_in_another_order(run, files, models, tmp_path):
    table = np.array([line.split(",") for line in (files / "test.csv").read_text().splitlines()])
    table = np.column_stack([table[:, ::-1], ["extra", *["text"] * 300]])
    (tmp_path / "x.csv").write_text("\n".join(",".join(row) for row in table))
    _, wanted, _ = run("predict", files / "test.csv", "--model", models["csv"])
    assert run("predict", tmp_path / "x.csv", "--model", models["csv"]) == (0, wanted, "")
    (tmp_path / "x.csv").write_text("\n".join(",".join(row[2:]) for row in table))
    code, _, err = run("predict", tmp_path / "x.csv", "--model", models["csv"])
    assert code == 1
    assert "x.csv: lacks columns that the model was trained on: p62, p63" in err


def test_fewer_and_more_columns_than_the_model(run, models):
    narrow, wide = b"1 10:3 20:5\n", b"1 10:3 20:5 65:7 1000:1\n" * 2
    argv = ["predict", "-", "--format", "svmlight", "--model", models["svm"], "--proba"]
    _, wanted, _ = run(*argv, stdin=narrow)
    code, out, err = run(*argv, stdin=wide)
    assert code == 0
    assert out.splitlines()[1] == out.splitlines()[2] == wanted.splitlines()[1]
    assert err == "fastxent: warning: standard input has columns beyond the model's 64, which are ignored\n"
    code, _, err = run("predict", "-", "--format", "csv", "--model", models["svm"], stdin=b"0,5,2,3\n")
    assert code == 1
    assert "has 4 columns, while the model has 64 features" in err


def test_text(run, files, models):
    outputs = [
        run("predict", files / name, "--model", models["text"], "--top", "1")
        for name in ("texts.txt", "fasttext.txt", "only.txt")
    ]
    assert outputs[0][0] == 0
    assert outputs[0] == outputs[1] == outputs[2]
    code, out, _ = run(
        "predict", "-", "--model", models["text"], "--unlabeled", stdin=b"\nfood\tthe mast\nbread"
    )
    assert code == 0
    assert out.splitlines()[2] == "food"
    assert len(out.splitlines()) == 3  # an empty line is a text, too


def test_wrong_usage(run, files, models, tmp_path):
    for argv, said in (
        (["test.svm", "--model", models["svm"], "--top", "11"], "the model has 10 classes"),
        (["test.svm", "--model", models["svm"], "--top", "2", "--proba"], "not allowed with"),
        (["test.svm", "--model", models["svm"], "--text"], "takes numbers, not text"),
        (["test.svm", "--model", models["text"], "--format", "svmlight"], "takes text"),
        (["test.svm", "--model", tmp_path / "none.fxt"], "No such file"),
        (["test.svm", "--model", models["svm"], "--output", tmp_path / "no" / "o.txt"], "cannot be written"),
        (["test.svm", "--model", models["svm"], "--output", tmp_path], "is a folder"),
        (["test.svm", "--model", models["svm"], "--output", files / "test.svm"], "would replace"),
        (["test.svm", "--model", models["svm"], "--output", models["svm"]], "would replace"),
        (["test.svm", "--model", models["svm"], "--header"], "--header is for CSV"),
    ):
        code, out, err = run("predict", files / argv[0], *argv[1:])
        assert (code, out) == (2, ""), said
        assert said in err


def test_a_corrupt_model(run, files, models, tmp_path):
    content = bytearray(Path(models["svm"]).read_bytes())
    content[-200] ^= 1
    for name, damaged in (("flipped", content), ("cut", content[:-50]), ("other", b"hello"), ("empty", b"")):
        (tmp_path / "m.fxt").write_bytes(damaged)
        for command in ("predict", "evaluate", "info"):
            data = [] if command == "info" else [files / "test.svm", "--model"]
            code, out, err = run(command, *data, tmp_path / "m.fxt")
            assert (code, out) == (1, ""), name
            assert err.startswith(f"fastxent: error: {tmp_path / 'm.fxt'} is ")


def test_a_model_that_was_saved_in_python(run, files, digits, tmp_path):
    model = fastxent.LogisticRegression().fit(*digits[:2])
    model.save(tmp_path / "model.fxt")
    model.predictor().save(tmp_path / "predictor.fxt")
    wanted = "".join(f"{label}\n" for label in model.predict(digits[2]))
    for saved in ("model.fxt", "predictor.fxt"):
        for name in ("test.svm", "test.csv", "test.npz"):
            assert run("predict", files / name, "--model", tmp_path / saved) == (0, wanted, "")


def test_memory_does_not_grow_with_the_file(run, files, models, tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BATCH_BYTES", 1 << 14)
    monkeypatch.setattr(served, "MOST_NUMBERS", 1 << 10)
    block = (files / "test.svm").read_bytes()
    peaks = []
    for times in (1, 8):
        (tmp_path / "x.svm").write_bytes(block * times)
        tracemalloc.start()
        code, _, _ = run(
            "predict", tmp_path / "x.svm", "--model", models["svm"], "--output", tmp_path / "o.txt"
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert code == 0
    assert len((tmp_path / "o.txt").read_text().splitlines()) == 8 * 300
    assert peaks[1] < 1.2 * peaks[0]
