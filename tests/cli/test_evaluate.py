"""``evaluate``: its figures are scikit-learn's."""

import json
import warnings

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, precision_recall_fscore_support

import fastxent
from fastxent.cli.scores import Tally, as_table


def figures(p, X, y, weight=None):
    """By scikit-learn: log loss, accuracy, and (precision, recall, F1, support) of each class."""
    labels = p.classes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            log_loss(y, p(X), labels=labels, sample_weight=weight),
            accuracy_score(y, p.predict(X), sample_weight=weight),
            np.array(
                precision_recall_fscore_support(
                    y, p.predict(X), labels=labels, sample_weight=weight, zero_division=0
                )
            ),
        )


def agree(found, wanted):
    assert found["log_loss"] == pytest.approx(wanted[0], rel=1e-12)
    assert found["accuracy"] == pytest.approx(wanted[1], rel=1e-12)
    columns = [[one[name] for one in found["classes"]] for name in ("precision", "recall", "f1", "support")]
    np.testing.assert_allclose(columns, wanted[2], rtol=1e-12)


@pytest.mark.parametrize("name", ["test.svm", "test.csv", "test.parquet", "test.npz", "test.sparse.npz"])
def test_many_classes(name, run, files, models, digits):
    code, out, _ = run("evaluate", files / name, "--model", models["svm"], "--json")
    assert code == 0
    found = json.loads(out)
    agree(found, figures(fastxent.load(models["svm"]), *digits[2:]))
    assert [one["label"] for one in found["classes"]] == list(range(10))
    assert "counts" not in found


def test_two_classes_and_their_counts(run, files, models, digits, tmp_path):
    X, y = digits[2][digits[3] < 2], digits[3][digits[3] < 2]
    flipped = np.where(np.arange(len(y)) % 5 == 0, -1, 2 * y - 1)  # so that there are errors
    lines = (files / "test2.svm").read_text().splitlines()
    lines = [f"{k} {line.split(' ', 1)[1]}\n" for k, line in zip(flipped, lines, strict=True)]
    (tmp_path / "x.svm").write_text("".join(lines))
    code, out, _ = run("evaluate", tmp_path / "x.svm", "--model", models["two"], "--json")
    assert code == 0
    found, p = json.loads(out), fastxent.load(models["two"])
    agree(found, figures(p, X, flipped))
    tn, fp, fn, tp = confusion_matrix(flipped, p.predict(X)).ravel().tolist()
    assert fn + fp > 0
    assert found["positive"] == 1
    assert found["counts"] == {
        "true_positives": tp,
        "false_positives": fp,
        "true_negatives": tn,
        "false_negatives": fn,
    }
    _, table, _ = run("evaluate", tmp_path / "x.svm", "--model", models["two"])
    shown = dict(line.rsplit(maxsplit=1) for line in table.splitlines() if line and "(" not in line)
    assert shown["true positives"] == str(tp) and shown["false negatives"] == str(fn)
    assert float(shown["log loss"]) == pytest.approx(found["log_loss"], abs=1e-6)


def test_weights_count(run, tmp_path):
    rng = np.random.default_rng(3)
    X, w = rng.normal(size=(80, 2)), rng.uniform(0.5, 2, 80)
    y = np.where(X[:, 0] + rng.normal(size=80) > 0, "b", "a")
    rows = [f"{k},{a!r},{b!r},{c!r}" for k, (a, b), c in zip(y, X.tolist(), w.tolist(), strict=True)]
    (tmp_path / "w.csv").write_text("label,a,b,w\n" + "\n".join(rows) + "\n")
    assert run("fit", tmp_path / "w.csv", "--weight", "w", "--quiet", "--model", tmp_path / "m.fxt")[0] == 0
    _, out, _ = run("evaluate", tmp_path / "w.csv", "--model", tmp_path / "m.fxt", "--json")
    agree(json.loads(out), figures(fastxent.load(tmp_path / "m.fxt"), X, y, w))


def test_text(run, files, models):
    code, out, _ = run("evaluate", files / "fasttext.txt", "--model", models["text"])
    assert code == 0
    assert "(positive is ships)" in out


def test_a_class_without_rows_or_predictions_has_zeros():
    tally = Tally(np.array(["a", "b", "c"]))
    tally.add(np.array([0, 0]), np.array([0, 1]), np.log(np.full((2, 3), 1 / 3)))
    found = tally.scores()
    assert [(one["precision"], one["recall"], one["f1"]) for one in found["classes"]] == [
        (1.0, 0.5, pytest.approx(2 / 3)),
        (0.0, 0.0, 0.0),
        (0.0, 0.0, 0.0),
    ]
    assert found["log_loss"] == pytest.approx(np.log(3))
    assert as_table(found).splitlines()[-1].split() == ["c", "0.0000", "0.0000", "0.0000", "0"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"1 1:2\n# none\n\n12 3:1\n",
            "line 4: the label '12' was not in the training; its classes are 0, 1",
        ),
        (b"1 1:2\n3:1\n", "line 2: begins with '3:1' where a label should stand"),
        (b"", "is empty"),
    ],
)
def test_bad_data(content, said, run, models, tmp_path):
    (tmp_path / "x.svm").write_bytes(content)
    code, out, err = run("evaluate", tmp_path / "x.svm", "--model", models["svm"])
    assert (code, out) == (1, "")
    assert said in err


def test_a_matrix_without_labels(run, files, models):
    code, _, err = run("evaluate", files / "test.unlabeled.npz", "--model", models["svm"])
    assert code == 1
    assert "has no labels: store them as y beside X" in err
