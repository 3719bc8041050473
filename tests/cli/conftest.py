"""Real files, and the command line as a function."""

import gzip
import io
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from sklearn.datasets import dump_svmlight_file, load_digits

from fastxent.cli import main

TRAIN = 600  # rows


@pytest.fixture(scope="session")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:TRAIN], y[:TRAIN], X[TRAIN:900], y[TRAIN:900]


@pytest.fixture(scope="session")
def files(tmp_path_factory, digits):
    """A folder of digits in every format, two of the classes, and texts."""
    folder = tmp_path_factory.mktemp("files")
    names = [f"p{j}" for j in range(64)]
    for name, X, y in (("train", *digits[:2]), ("test", *digits[2:])):
        dump_svmlight_file(X, y, str(folder / f"{name}.svm"), zero_based=False)
        dump_svmlight_file(X[y < 2], 2 * y[y < 2] - 1, str(folder / f"{name}2.svm"), zero_based=False)
        table = pa.table({"label": y, **dict(zip(names, X.T, strict=True))})
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=250)
        rows = [
            ",".join(["label", *names]),
            *(",".join(f"{v:g}" for v in (k, *x)) for k, x in zip(y, X, strict=True)),
        ]
        text = "\n".join(rows) + "\n"
        (folder / f"{name}.csv").write_text(text)
        (folder / f"{name}.tsv").write_text(text.replace(",", "\t"))
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
        with pa.output_stream(str(folder / f"{name}.csv.zst"), compression="zstd") as packed:
            packed.write(text.encode())
        (folder / f"{name}.svm.gz").write_bytes(gzip.compress((folder / f"{name}.svm").read_bytes()))
        np.savez(folder / f"{name}.npz", X=X, y=y)
        np.savez(folder / f"{name}.sparse.npz", **parts(sp.csr_matrix(X)), y=y)
        sp.save_npz(folder / f"{name}.unlabeled.npz", sp.csr_matrix(X))
    rng = np.random.default_rng(0)
    words = {"food": ["salt", "pepper", "bread", "butter"], "ships": ["sail", "mast", "rope", "anchor"]}
    lines = [
        (topic, " ".join(rng.choice([*words[topic], "the", "a"], 6)))
        for topic in rng.choice(list(words), 120)
    ]
    (folder / "texts.txt").write_text("".join(f"{topic}\t{text}\n" for topic, text in lines))
    (folder / "fasttext.txt").write_text("".join(f"__label__{topic} {text}\n" for topic, text in lines))
    (folder / "only.txt").write_text("".join(f"{text}\n" for _, text in lines))
    return folder


def parts(matrix):
    return {
        "format": "csr",
        **{name: getattr(matrix, name) for name in ("data", "indices", "indptr", "shape")},
    }


@pytest.fixture
def run(capsys, monkeypatch):
    """Call the command line; gives its exit code, what it printed, and what it said on standard error."""

    def call(*argv, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin))))
        try:
            code = main([str(argument) for argument in argv])
        except SystemExit as ended:
            code = ended.code
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return code, shown.out, shown.err

    return call


@pytest.fixture(scope="session")
def models(files):
    """Models of the files, by name: digits by svmlight, CSV and npz, two classes, and texts."""
    made = {}
    for name, *argv in (
        ("svm", "train.svm"),
        ("csv", "train.csv"),
        ("npz", "train.npz"),
        ("two", "train2.svm"),
        ("text", "texts.txt", "--text"),
    ):
        made[name] = str(files / f"{name}.fxt")
        assert main(["fit", str(files / argv[0]), *argv[1:], "--model", made[name], "--quiet"]) == 0
    return made
