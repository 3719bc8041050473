"""Some batches of a source: those of the whole pass, and no others are parsed."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from fastxent.readers import svmlight
from fastxent.readers.stream import blocks_of_lines
from fastxent.sources import NpySource, ParquetSource, SvmlightSource, TextSource, parquet
from fastxent.sources import svmlight as svmlight_source

N = 1000


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(svmlight_source, "blocks_of_lines", lambda stream: blocks_of_lines(stream, 500))


def svmlight_files(folder, lines=("# none\n", " \n", "1 qid:3 2:1 # one\r\n")):
    for i in range(2):
        text = [f"{j % 3} {1 + j % 5}:{j}.5\n" for j in range(i, N, 2)]
        (folder / f"{i}.svm").write_text("\ufeff" * i + "".join([*text[:200], *lines, *text[200:]]), "utf-8")
    return SvmlightSource(str(folder), n_features=5, zero_based=False, batch_rows=30)


def npy_files(folder):
    X = sp.random_array((N, 7), density=0.3, format="csr", random_state=0)
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)  # int64 in SciPy 1.13
    paths = [folder / f"{name}.npy" for name in ("data", "indices", "indptr")]
    for path in paths:
        np.save(path, getattr(X, path.stem))
    return NpySource(paths, np.arange(N), n_features=7, batch_rows=30)


def parquet_files(folder):
    for i, n in enumerate((300, 80, 620)):
        columns = {
            "a": np.arange(n) + i,
            "c": np.array(["x", "y"])[np.arange(n) % 2],
            "label": np.arange(n) % 3,
        }
        pq.write_table(pa.table(columns), folder / f"{i}.parquet", row_group_size=70)
    return ParquetSource(folder, batch_rows=30)


def text_files(folder):
    (folder / "rows.txt").write_text("".join(f"{i % 2}\tword{i % 7} other\n" for i in range(N)))
    return TextSource(folder / "rows.txt", batch_rows=30, n_features=16)


def same(one, other):
    for a, b in zip(one, other, strict=True):
        a, b = (part.toarray() if sp.issparse(part) else part for part in (a, b))
        assert_array_equal(a, b)


@pytest.mark.parametrize("files", [svmlight_files, npy_files, parquet_files, text_files])
@pytest.mark.parametrize("cached", [False, True])
def test_they_are_those_of_the_whole_pass(tmp_path, small_blocks, files, cached):
    source = files(tmp_path)
    expected = list(files(tmp_path))
    if cached:
        list(source)
    of_shares = {}
    for share in range(3):
        of_shares |= dict(source.some(lambda i, share=share: i // 4 % 3 == share))
    assert sorted(of_shares) == list(range(len(expected)))
    for i, batch in enumerate(expected):
        same(of_shares[i], batch)
        assert not sp.issparse(batch[0]) or batch[0].indices.dtype == batch[0].indptr.dtype == np.int32
    assert [i for i, _ in source.some(lambda i: i == 5)] == [5]
    for again, batch in zip(source, expected, strict=True):
        same(again, batch)


def test_other_rows_are_not_parsed(tmp_path, small_blocks, monkeypatch):
    (tmp_path / "svm").mkdir()
    source = svmlight_files(tmp_path / "svm")
    parsed, parse = [], svmlight.batch_of
    monkeypatch.setattr(svmlight, "batch_of", lambda *how: parsed.append(how) or parse(*how))
    list(source.some(lambda i: i == 3))
    assert 0 < len(parsed) < 5
    (tmp_path / "parquet").mkdir()
    source = parquet_files(tmp_path / "parquet")
    read = []
    monkeypatch.setattr(parquet._Faults, "__init__", lambda self, batch: read.append(batch.num_rows) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(source.some(lambda i: i == 12))
    assert len(read) == 1


def test_rows_that_are_skipped_move_the_batches(tmp_path):
    (tmp_path / "rows.svm").write_text("".join(f"1 1:{'x' if i == 3 else i}\n" for i in range(20)))
    source = SvmlightSource(
        str(tmp_path / "rows.svm"), n_features=1, zero_based=False, batch_rows=5, on_bad_rows="skip"
    )
    [(number, (X, _))] = source.some(lambda i: i == 2)
    assert number == 2
    assert X.toarray().ravel().tolist() == [11, 12, 13, 14, 15]
