"""SvmlightSource: rows, columns, bad lines, byte ranges, damaged files."""

import gzip
import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.datasets import dump_svmlight_file

from fastxent import LogisticRegression, SGDClassifier
from fastxent.readers.batch import DataError
from fastxent.sources import SvmlightSource


def gathered(source):
    """All rows, and the sizes of the batches."""
    batches = list(source)
    X = sp.vstack([X for X, _ in batches]).toarray()
    return X, np.concatenate([y for _, y in batches]), [len(y) for _, y in batches]


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 7)) * (rng.random((500, 7)) < 0.5)
    X[0, 6] = 1.0
    return X, rng.integers(0, 3, 500)


@pytest.mark.parametrize("zero_based", [True, False])
@pytest.mark.parametrize("suffix", [".svm", ".svm.gz"])
@pytest.mark.parametrize("arguments", [{}, {"cache_size": 0}, {"n_features": 7}], ids=str)
def test_rows_are_those_of_the_file(tmp_path, rows, zero_based, suffix, arguments):
    X, y = rows
    path = tmp_path / f"rows{suffix}"
    plain = tmp_path / "plain"
    dump_svmlight_file(X, y, str(plain), zero_based=zero_based)
    path.write_bytes(gzip.compress(plain.read_bytes()) if suffix.endswith("gz") else plain.read_bytes())
    for how in (zero_based, "auto"):
        source = SvmlightSource(path, zero_based=how, batch_rows=64, **arguments)
        for _ in range(2):
            found, labels, sizes = gathered(source)
            np.testing.assert_allclose(found, X)
            assert_array_equal(labels, y)
            assert sizes == [64] * 7 + [52]


def test_files_of_a_folder_in_the_order_of_their_names(tmp_path):
    for name, label in (("b.svm", 2), ("a.svm", 1), ("c.svm.gz", 3)):
        text = f"{label} 1:1\n".encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    (tmp_path / "_temporary.svm").write_text("9 1:1\n")
    (tmp_path / "notes.md").write_text("no rows")
    assert gathered(SvmlightSource(tmp_path))[1].tolist() == [1, 2, 3]
    assert gathered(SvmlightSource(str(tmp_path / "[ab].svm")))[1].tolist() == [1, 2]
    assert gathered(SvmlightSource([tmp_path / "b.svm", tmp_path / "a.svm"]))[1].tolist() == [2, 1]
    with pytest.raises(FileNotFoundError, match=r"no files for .*x\*"):
        list(SvmlightSource(str(tmp_path / "x*")))


def test_urls_are_opened_by_fsspec(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("one.svm", "two.svm"):
        with memory.open(f"/rows/{name}", "wb") as file:
            file.write(b"1 1:0.5\n0 2:1\n")
    for url, n in (("memory://rows/one.svm", 2), ("memory://rows/*.svm", 4), ("memory://rows", 4)):
        assert len(gathered(SvmlightSource(url))[1]) == n


def test_a_bad_line_is_named_or_skipped(tmp_path):
    lines = [f"{i % 2} 1:{i}.5 2:1" for i in range(1000)]
    lines[7], lines[700], lines[999] = "1 1:x", "nonsense", "1 2:nan"
    path = tmp_path / "rows.svm"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"rows\.svm, line 8: .*'x'"):
        list(SvmlightSource(path))
    source = SvmlightSource(path, on_bad_rows="skip")
    for _ in range(2):
        X, *_ = gathered(source)
        assert source.skipped_ == 3
        assert_array_equal(X[:, 0], [i + 0.5 for i in range(1000) if i not in (7, 700, 999)])
    path.write_text("a 1:1\nb 2:1\n")
    with pytest.raises(DataError, match="has no rows"):
        list(SvmlightSource(path, on_bad_rows="skip"))


def test_columns_that_contradict_what_was_said(tmp_path):
    path = tmp_path / "rows.svm"
    path.write_text("1 0:1 3:1\n0 5:1\n")
    with pytest.raises(DataError, match="line 2: has a column 5, which contradicts n_features=4"):
        list(SvmlightSource(path, n_features=4, zero_based=True))
    with pytest.raises(DataError, match="line 1: has a column 0, which contradicts zero_based=False"):
        list(SvmlightSource(path, zero_based=False))
    with pytest.raises(DataError, match="columns 0 and 5, which contradicts n_features=5"):
        list(SvmlightSource(path, n_features=5))
    source = SvmlightSource(path, n_features=4, zero_based=True, on_bad_rows="skip")
    assert gathered(source)[0].shape == (1, 4)


@pytest.mark.parametrize("parts", [2, 7])
def test_byte_ranges_have_each_line_once(tmp_path, rows, parts):
    X, y = rows
    path = tmp_path / "rows.svm"
    dump_svmlight_file(X, y, str(path))
    borders = np.linspace(0, path.stat().st_size, parts + 1).astype(int).tolist()
    found = [
        gathered(SvmlightSource(path, byte_range=part, n_features=7, zero_based=True))
        for part in itertools.pairwise(borders)
    ]
    np.testing.assert_allclose(np.concatenate([X for X, *_ in found]), X)
    assert_array_equal(np.concatenate([y for _, y, _ in found]), y)


def test_a_bad_line_of_a_byte_range_is_named_by_its_byte(tmp_path):
    path = tmp_path / "rows.svm"
    path.write_bytes(b"1 1:1\n0 1:1\n0 1:?\n")
    with pytest.raises(DataError, match=r"rows\.svm, byte 12: "):
        list(SvmlightSource(path, byte_range=(6, 18)))


@pytest.mark.parametrize("kind", [LogisticRegression, SGDClassifier])
def test_a_truncated_file_leaves_the_model_as_it_was(tmp_path, rows, kind):
    X, _ = rows
    y = X[:, :3].argmax(axis=1)
    path = tmp_path / "rows.svm"
    dump_svmlight_file(X, y, str(path))
    model = kind().fit(SvmlightSource(path))
    coef = model.coef_.copy()
    cut = tmp_path / "cut.svm.gz"
    cut.write_bytes(gzip.compress(path.read_bytes() * 40)[:-5000])
    call = model.fit if kind is LogisticRegression else model.partial_fit
    with pytest.raises(DataError, match=r"cut\.svm\.gz: cannot be unpacked"):
        call(SvmlightSource(cut, n_features=7, zero_based=True, batch_rows=100))
    assert_array_equal(model.coef_, coef)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"batch_rows": 0}, "batch_rows must be"),
        ({"on_bad_rows": "drop"}, "on_bad_rows must be 'raise' or 'skip'; got 'drop'"),
        ({"cache_size": -1}, "cache_size must be"),
        ({"n_features": 0}, "n_features must be"),
        ({"zero_based": "no"}, "zero_based must be"),
        ({"dtype": int}, "dtype must be float32 or float64"),
        ({"byte_range": (5, 2)}, "byte_range must be"),
    ],
)
def test_arguments_are_checked(arguments, said):
    with pytest.raises(ValueError, match=said):
        SvmlightSource("rows.svm", **arguments)


def test_single_precision(tmp_path):
    path = tmp_path / "rows.svm"
    path.write_text("1 1:0.1\n0 1:1\n1 1:2\n")
    assert LogisticRegression().fit(SvmlightSource(path, dtype=np.float32)).coef_.dtype == np.float32


@pytest.mark.parametrize("batch_rows", [2, 100])
def test_a_column_0_may_come_late(tmp_path, batch_rows):
    lines = [f"{i % 2} {1 + i % 3}:{i + 1}\n" for i in range(5)] + ["1 0:7 3:8\n"]
    path = tmp_path / "rows.svm"
    path.write_text("".join(lines))
    source = SvmlightSource(str(path), batch_rows=batch_rows)
    wanted = np.zeros((6, 4))
    for i in range(5):
        wanted[i, 1 + i % 3] = i + 1
    wanted[5, [0, 3]] = 7, 8
    for _ in range(3):
        assert_array_equal(sp.vstack([X for X, _ in source]).toarray(), wanted)
