"""ParquetSource: the kinds of columns, bad rows, files that disagree."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from fastxent import LogisticRegression
from fastxent.readers.batch import DataError, FormatError
from fastxent.sources import NpySource, ParquetSource

N = 300


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 3)), rng.integers(0, 3, N)


def written(path, row_group_size=70, **columns):
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


def gathered(source):
    batches = list(source)
    stack = sp.vstack if sp.issparse(batches[0][0]) else np.concatenate
    X = stack([batch[0] for batch in batches])
    return (X.toarray() if sp.issparse(X) else X), *map(np.concatenate, list(zip(*batches, strict=True))[1:])


def test_columns_of_numbers(tmp_path, rows):
    X, y = rows
    weight = np.arange(N) + 1
    path = written(tmp_path / "rows.parquet", a=X[:, 0], label=y, b=X[:, 1], w=weight, c=X[:, 2])
    source = ParquetSource(path, weight="w", batch_rows=64)
    for _ in range(2):
        found = gathered(source)
        assert_array_equal(found[0], X)
        assert_array_equal(found[1], y)
        assert_array_equal(found[2], weight)
    assert source.feature_names_ == ["a", "b", "c"]
    assert [len(batch[1]) for batch in source] == [64] * 4 + [44]
    assert_array_equal(gathered(ParquetSource(path, features=["c", "a"]))[0], X[:, [2, 0]])
    assert LogisticRegression().fit(source).converged_


def test_single_precision_stays(tmp_path, rows):
    X, y = rows
    path = written(tmp_path / "rows.parquet", a=X[:, 0].astype(np.float32), label=y)
    assert gathered(ParquetSource(path))[0].dtype == np.float32
    assert gathered(ParquetSource(path, dtype=np.float64))[0].dtype == np.float64


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float64()), pa.list_(pa.float64(), 3), pa.large_list(pa.float64())]
)
def test_a_column_of_lists(tmp_path, rows, kind):
    X, y = rows
    path = written(tmp_path / "rows.parquet", x=pa.array(X.tolist(), kind), label=y)
    assert_array_equal(gathered(ParquetSource(path, features="x"))[0], X)


def test_indices_and_values(tmp_path, rows):
    _, y = rows
    rng = np.random.default_rng(1)
    A = sp.random_array((N, 20), density=0.2, random_state=rng, format="csr")
    A = sp.csr_array(A.toarray() + np.eye(N, 20, 19))
    ends = list(zip(A.indptr[:-1], A.indptr[1:], strict=True))
    path = written(
        tmp_path / "rows.parquet",
        i=[A.indices[a:b].tolist() for a, b in ends],
        v=[A.data[a:b].tolist() for a, b in ends],
        label=y,
    )
    for arguments in ({}, {"n_features": 20}, {"cache_size": 0}):
        source = ParquetSource(path, indices="i", values="v", batch_rows=64, **arguments)
        assert_array_equal(gathered(source)[0], A.toarray())
    assert_array_equal(gathered(ParquetSource(path, indices="i"))[0], A.toarray() != 0)
    with pytest.raises(DataError, match=r"row \d+: column 'i' has \d+, which is not in 0\.\.9"):
        list(ParquetSource(path, indices="i", values="v", n_features=10))


@pytest.mark.parametrize("dictionary", [True, False])
def test_categories_are_one_hot(tmp_path, dictionary):
    colours = ["red", "green", "red", "blue"], ["yellow", "red"]
    for number, some in enumerate(
        colours
    ):  # each file, and each of its row groups, has a dictionary of its own
        column = pa.array(some)
        written(
            tmp_path / f"{number}.parquet",
            2,
            colour=column.dictionary_encode() if dictionary else column,
            size=np.arange(len(some)) * 0.5,
            label=np.arange(len(some)) % 2,
        )
    source = ParquetSource(tmp_path)
    X, _ = gathered(source)
    names = ["colour=blue", "colour=green", "colour=red", "colour=yellow", "size"]
    assert source.feature_names_ == names
    expected = np.zeros((6, 5))
    for i, colour in enumerate([*colours[0], *colours[1]]):
        expected[i, names.index(f"colour={colour}")] = 1.0
    expected[:, 4] = [0, 0.5, 1, 1.5, 0, 0.5]
    assert_array_equal(X, expected)
    assert next(iter(source))[0].nnz == 6 + 4  # zeros are not stored


@pytest.mark.parametrize(
    "labels",
    [
        ["b", "a", "b"],
        [True, False, True],
        [3, 1, 3],
        pa.array(["b", "a", "b"]).dictionary_encode(),
        [2.0, 1.0, 2.0],
    ],
)
def test_labels(tmp_path, labels):
    path = written(tmp_path / "rows.parquet", x=[1.0, 2.0, 3.0], label=labels)
    found = gathered(ParquetSource(path))[1]
    expected = labels.to_pylist() if isinstance(labels, pa.Array) else labels
    assert found.tolist() == expected


def test_rows_without_labels_are_for_predictions(tmp_path, rows):
    X, y = rows
    model = LogisticRegression().fit(X, y)
    path = written(tmp_path / "rows.parquet", a=X[:, 0], b=X[:, 1], c=X[:, 2])
    source = ParquetSource(path, label=None, batch_rows=64)
    for _ in range(2):
        assert_array_equal(np.concatenate(list(model.predict(source))), model.predict(X))
    with pytest.raises(TypeError, match="a batch must be a tuple"):
        model.fit(source)
    np.save(tmp_path / "X.npy", X)
    assert_array_equal(np.concatenate(list(model.predict(NpySource(tmp_path / "X.npy")))), model.predict(X))


def bad_rows(tmp_path):
    return written(
        tmp_path / "rows.parquet",
        a=[1.0, None, 3.0, 4.0, float("inf"), 6.0],
        label=["x", "y", None, "x", "y", "x"],
        w=[1.0, 1.0, 1.0, -2.0, 1.0, 1.0],
    )


def test_bad_rows_are_named_or_skipped(tmp_path):
    path = bad_rows(tmp_path)
    with pytest.raises(DataError, match=r"rows\.parquet, row 2: column 'a' is None, not a finite number"):
        list(ParquetSource(path, weight="w"))
    source = ParquetSource(path, weight="w", on_bad_rows="skip")
    X, y, _ = gathered(source)
    assert X.ravel().tolist() == [1.0, 6.0]
    assert y.tolist() == ["x", "x"]
    assert source.skipped_ == 4


def test_lists_of_the_wrong_length(tmp_path):
    path = written(tmp_path / "rows.parquet", x=[[1.0, 2.0], [1.0], None, [3.0, None]], label=[0, 1, 0, 1])
    with pytest.raises(DataError, match="row 2: column 'x' is no list of 2 numbers"):
        list(ParquetSource(path, features="x"))
    source = ParquetSource(path, features="x", on_bad_rows="skip")
    assert gathered(source)[0].tolist() == [[1.0, 2.0]]
    assert source.skipped_ == 3
    path = written(
        tmp_path / "rows.parquet",
        i=[[0, 1], [1], None, [-1]],
        v=[[1.0, 2.0], [], [1.0], [2.0]],
        label=[0] * 4,
    )
    source = ParquetSource(path, indices="i", values="v", on_bad_rows="skip")
    assert gathered(source)[0].tolist() == [[1.0, 2.0]]
    assert source.skipped_ == 3


def test_files_that_disagree(tmp_path):
    written(tmp_path / "1.parquet", a=[1.0, 2.0], label=[0, 1])
    written(tmp_path / "2.parquet", a=["x", "y"], label=[0, 1])
    with pytest.raises(
        FormatError, match=r"2\.parquet: column 'a' is category, and in .*1\.parquet it is number"
    ):
        list(ParquetSource(tmp_path))
    written(tmp_path / "2.parquet", b=[1.0, 2.0], label=[0, 1])
    with pytest.raises(FormatError, match=r"2\.parquet"):
        list(ParquetSource(tmp_path))
    with pytest.raises(FormatError, match=r"2\.parquet has no column 'a'; its columns are b, label"):
        list(ParquetSource(tmp_path, features=["a"]))


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damaged_files(tmp_path, rows, damage):
    X, y = rows
    path = written(tmp_path / "rows.parquet", a=X[:, 0], label=y)
    content = bytearray(path.read_bytes())
    if damage == "changed":
        footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        content[footer : footer + 30] = b"\xff" * 30
    path.write_bytes(content if damage == "changed" else content[:-9])
    with pytest.raises(DataError, match=r"rows\.parquet: cannot be read as Parquet"):
        list(ParquetSource(path))


def test_urls(tmp_path, rows):
    import fsspec

    X, y = rows
    path = written(tmp_path / "rows.parquet", a=X[:, 0], label=y)
    with fsspec.filesystem("memory").open("/tables/rows.parquet", "wb") as file:
        file.write(path.read_bytes())
    assert_array_equal(gathered(ParquetSource("memory://tables/*.parquet"))[0], X[:, :1])


def test_arguments_that_do_not_go_together():
    with pytest.raises(ValueError, match="features and indices"):
        ParquetSource("x", features="a", indices="i")
    with pytest.raises(ValueError, match="values is for"):
        ParquetSource("x", values="v")
