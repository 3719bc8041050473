"""CSV, TSV and Parquet: which columns are what, and faults with their place."""

import gzip
import io
import sys
import threading
import weakref
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fastxent.readers import delimited, formats
from fastxent.readers.batch import Columns, DataError, FormatError, MissingPackage
from fastxent.readers.table import rows_at_a_time


def read(path, content, labelled=True, columns=None, **known):
    """Features, labels, weights and columns of a file that is written first."""
    if isinstance(content, dict):
        pq.write_table(pa.table(content), path)
    else:
        path.write_bytes(content)
    columns = columns or Columns(**known)
    batches = list(formats.reader(str(path), formats.format_of(path), columns, labelled))
    X = np.concatenate([batch.X for batch in batches])
    y, w = (
        None
        if getattr(batches[0], name) is None
        else np.concatenate([getattr(b, name) for b in batches]).tolist()
        for name in ("y", "weight")
    )
    return X.tolist(), y, w, columns


@pytest.mark.parametrize(
    ("content", "known", "X", "y", "names"),
    [
        (b"label,a,b\nx,1,2\ny,3,4\n", {}, [[1, 2], [3, 4]], ["x", "y"], ["a", "b"]),
        (b"a,label,b\n1,x,2\n3,y,4", {}, [[1, 2], [3, 4]], ["x", "y"], ["a", "b"]),
        (b"kind,a,b\nx,1,2\ny,3,4\n", {}, [[1, 2], [3, 4]], ["x", "y"], ["a", "b"]),
        (b"x,1,2\ny,3,4\n", {}, [[1, 2], [3, 4]], ["x", "y"], None),
        (b"5,1,2\n6,3,4\n", {}, [[1, 2], [3, 4]], ["5", "6"], None),
        (b"0,1,2\n6,3,4\n", {"header": True}, [[3, 4]], ["6"], ["1", "2"]),
        (b"a,1,2\n6,3,4\n", {"header": False, "label": "-1"}, None, "column '0' is 'a'", None),
        (b"a,b,k\n1,2,x\n3,4,y\n", {"label": "k"}, [[1, 2], [3, 4]], ["x", "y"], ["a", "b"]),
        (b"a,b,k\n1,2,x\n3,4,y\n", {"label": "-1"}, [[1, 2], [3, 4]], ["x", "y"], ["a", "b"]),
        (b"1,2,x\n3,4,y\n", {"label": "2", "drop": ("0",)}, [[2], [4]], ["x", "y"], None),
        (b'\xef\xbb\xbf"label" ,"a" \r\n" x ", 1 \r\n\r\ny,+3.5e1\r\n', {}, [[1], [35]], ["x", "y"], ["a"]),
        (
            b'label,"a ""quoted"", name\nof two lines"\nNA,1\n',
            {},
            [[1]],
            ["NA"],
            ['a "quoted", name\nof two lines'],
        ),
    ],
)
def test_columns_of_csv(content, known, X, y, names, tmp_path):
    if X is None:
        with pytest.raises(DataError, match=y):
            read(tmp_path / "x.csv", content, **known)
        return
    found = read(tmp_path / "x.csv", content, **known)
    assert found[:2] == (X, y)
    assert found[3].names == names
    for sign, suffix in ((b",", "csv"), (b"\t", "tsv")):
        if b'"' not in content:
            assert read(tmp_path / f"x.{suffix}", content.replace(b",", sign), **known) == found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"label,a,b\n1,2,3\n1,x,3\n", "line 3: column 'a' is 'x', not a number"),
        (b"label,a,b\n1,2,3\n1,,3\n", "line 3: column 'a' is empty"),
        (b"label,a,b\n1,2,3\n1,2,nan\n", "line 3: column 'b' is NaN"),
        (b"label,a,b\n1,2,3\n1,2,-inf\n", "line 3: column 'b' is infinite"),
        (b"label,a,b\n1,2,3\n1,2,1e999\n", "line 3: column 'b' is inf"),
        (b"label,a,b\n1,2,3\n1,2\n", "line 3: has 2 fields where 3 are expected"),
        (b"label,a,b\n1,2,3\n\n1,2,3,4\n", "line 4: has 4 fields where 3 are expected"),
        (b"label,a,b\n1,2,3\n,2,3\n", "line 3: has no label"),
        (b"label,a,b\n1,2,3\n\xff,2,3\n", "line 3: column 'label' is not UTF-8"),
        (b'label,a,b\n"x\ny",2,3\n', "line 3: the label 'x\\ny' has a tab or a line break"),
        (b"label,a,a\n1,2,3\n", "line 1: two columns are called 'a'"),
        (b"label,a,b\n", "has a header, but no rows"),
        (b"label\n1\n", "has no columns of features; it has 1 column in all"),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"la\x00bel,a\n1,2\n", "line 1: is not text"),
        (b"label,\xff\n1,2\n", "line 1: is not UTF-8"),
        (b"label,a\r1,2\r", "line 1: cannot be read as CSV"),
    ],
)
def test_faults_of_csv(content, said, tmp_path):
    with pytest.raises(DataError) as raised:
        read(tmp_path / "x.csv", content)
    assert str(raised.value).startswith(str(tmp_path / "x.csv"))
    assert said in str(raised.value)


def test_a_late_fault_has_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "BATCH_BYTES", 1 << 10)
    rows = [b'"x\ny",1,2\n'] + [b"x,1,2\n"] * 2000
    path = tmp_path / "x.csv.gz"
    for wrong, said in (
        (b"x,1,?\n", "column 'b' is '?'"),
        (b"x,1\n", "has 2 fields"),
        (b"x,,1\n", "column 'a' is empty"),
    ):
        path.write_bytes(gzip.compress(b"label,a,b\n\n" + b"".join(rows[1:]) + wrong + rows[1] * 99))
        with pytest.raises(DataError, match="line 2003: ") as raised:
            list(delimited.read(str(path), Columns()))
        assert said in str(raised.value)


def test_standard_input_has_lines_too(monkeypatch):
    content = b"label,a\nx,1\ny,?\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))
    with pytest.raises(DataError, match="standard input, line 3: column 'a' is '\\?'"):
        list(delimited.read("-", Columns()))


def test_a_first_line_that_could_be_both(tmp_path):
    with pytest.raises(FormatError, match=r"line 1: is it a header or a row.*'b'.*--no-header"):
        read(tmp_path / "x.csv", b"x,1,b\ny,2,3\n")
    for numbered in (
        b"kind,0,1,2\nx,2,3,4\n",
        b"kind,1,2,3\nx,2,3,4\n",
    ):  # as data frames number their columns
        with pytest.raises(FormatError, match=r"line 1: is it a header or a row.*the numbers [01], [12]"):
            read(tmp_path / "x.csv", numbered)
        assert read(tmp_path / "x.csv", numbered, label="kind")[:2] == ([[2, 3, 4]], ["x"])
        assert read(tmp_path / "x.csv", numbered, header=False)[1] == ["kind", "x"]
    assert read(tmp_path / "x.csv", b"label,0,1,2\nx,2,3,4\n")[:2] == ([[2, 3, 4]], ["x"])


def test_parquet_of_every_type(tmp_path):
    import decimal

    content = {
        "a": pa.array([1, 2], pa.int8()),
        "label": pa.array(["x", "y"]).dictionary_encode(),
        "b": pa.array([1.5, 2.5], pa.float32()),
        "c": pa.array([True, False]),
        "d": pa.array([decimal.Decimal("1.25"), decimal.Decimal("2.50")]),
        "w": pa.array([1, 2]),
    }
    X, y, w, columns = read(tmp_path / "x.parquet", content, weight="w")
    assert X == [[1, 1.5, 1, 1.25], [2, 2.5, 0, 2.5]]
    assert (y, w) == (["x", "y"], [1, 2])
    assert columns.names == ["a", "b", "c", "d"]
    packed = tmp_path / "x.parquet.gz"
    assert read(packed, gzip.compress((tmp_path / "x.parquet").read_bytes()), weight="w") == (
        X,
        y,
        w,
        columns,
    )


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        ({"label": [1, 2], "a": [1.0, None]}, DataError, "row 2: column 'a' is empty"),
        ({"label": [1, 2], "a": [1.0, float("nan")]}, DataError, "row 2: column 'a' is NaN"),
        ({"label": ["x", None], "a": [1, 2]}, DataError, "row 2: has no label"),
        ({"label": [1.0, float("nan")], "a": [1, 2]}, DataError, "row 2: has no label"),
        ({"label": [1, 2], "a": ["x", "y"]}, FormatError, "column 'a' holds string, not numbers; --drop"),
        ({"label": [[1], [2]], "a": [1, 2]}, FormatError, "'label' of labels holds list"),
        ({"label": pa.array([], pa.int64()), "a": pa.array([], pa.int64())}, DataError, "has no rows"),
        ({"label": [1, 2], "a": [1, 2], "w": [1, -1]}, DataError, "row 2: the weight is -1"),
        (b"PAR1" * 10, DataError, "cannot be read as Parquet"),
        (b"", DataError, "cannot be read as Parquet"),
    ],
)
def test_faults_of_parquet(content, error, said, tmp_path):
    with pytest.raises(error) as raised:
        read(
            tmp_path / "x.parquet",
            content,
            weight="w" if isinstance(content, dict) and "w" in content else None,
        )
    assert said in str(raised.value)


def test_a_damaged_parquet_file(tmp_path):
    read(tmp_path / "x.parquet", {"label": [1, 2], "a": [1.0, 2.0]})
    content = (tmp_path / "x.parquet").read_bytes()
    for damaged in (content[:-20], content[: len(content) // 2], content[:4] + b"\xff" * 60 + content[64:]):
        with pytest.raises(DataError, match="cannot be read as Parquet"):
            read(tmp_path / "x.parquet", damaged)


def test_another_file_is_read_as_the_first(tmp_path):
    *_, columns = read(tmp_path / "x.csv", b"a,k,b,w\n1,x,2,3\n", label="k", weight="w")
    X, y, w, _ = read(tmp_path / "y.csv", b"w,b,a,k\n3,2,1,x\n", columns=columns)
    assert (X, y, w) == ([[1, 2]], ["x"], [3])
    X, y, w, _ = read(tmp_path / "y.parquet", {"b": [2], "a": [1]}, labelled=None, columns=columns)
    assert (X, y, w) == ([[1, 2]], None, None)
    with pytest.raises(FormatError, match=r"--label: .*y.csv has no column 'k'; its columns are b, a"):
        read(tmp_path / "y.csv", b"b,a\n2,1\n", columns=columns)
    with pytest.raises(DataError, match="lacks columns that the model was trained on: a"):
        read(tmp_path / "y.csv", b"b,k\n2,1\n", columns=columns)
    with pytest.raises(DataError, match="has no header"):
        read(tmp_path / "y.csv", b"2,1\n", labelled=None, columns=columns)


def test_columns_without_names_go_by_their_place(tmp_path):
    *_, columns = read(tmp_path / "x.csv", b"1,x,2\n", label="1")
    assert read(tmp_path / "x.csv", b"3,y,4\n", columns=columns)[:2] == ([[3, 4]], ["y"])
    assert read(tmp_path / "x.csv", b"3,4\n", labelled=None, columns=columns)[:2] == ([[3, 4]], None)
    assert read(tmp_path / "x.csv", b"a,k,b\n3,y,4\n", columns=columns)[:2] == ([[3, 4]], ["y"])
    assert read(tmp_path / "x.csv", b"3,,4\n", labelled=None, columns=columns)[:2] == ([[3, 4]], None)
    with pytest.raises(DataError, match="has 2 columns, all of which are features of the model: no label"):
        read(tmp_path / "x.csv", b"3,4\n", columns=columns)
    with pytest.raises(DataError, match="has 5 columns, while the model has 2 features"):
        read(tmp_path / "x.csv", b"3,4,5,6,7\n", columns=columns)


@pytest.mark.parametrize("known", [{"weight": "0"}, {"drop": ("label",)}, {"weight": "a", "drop": ("-2",)}])
def test_a_column_has_one_meaning(known, tmp_path):
    with pytest.raises(FormatError, match="must name different columns"):
        read(tmp_path / "x.csv", b"label,a,b\n1,2,3\n", **known)


def test_a_batch_is_of_limited_size():
    assert rows_at_a_time(10) > 1000
    assert rows_at_a_time(10**9) == 1


def test_pyarrow_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackage, match=r"x\.csv needs pyarrow.*pip install 'fastxent\[parquet\]'"):
        read(tmp_path / "x.csv", b"1,2\n")


# Arrow's threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["0,1,2\n1,2\n", "0,1,2\n1,2,3\n"])
def test_arrow_has_given_up_what_it_was_lent(content, tmp_path, monkeypatch):
    """Its threads would abort a process that ends while they do."""
    path, lent = tmp_path / "x.csv", []
    path.write_text(content)
    wait = delimited._given_up

    def waiting(known):
        lent.extend(known)
        wait(known)

    monkeypatch.setattr(delimited, "_given_up", waiting)
    with suppress(DataError):
        list(delimited.read(str(path), Columns()))
    assert lent
    assert all(known() is None for known in lent)


def test_the_wait_for_arrow_ends_when_it_has_given_all_up():
    class Lent:
        pass

    held = [Lent()]
    known = [weakref.ref(held[0])]
    thread = threading.Timer(0.05, held.clear)
    thread.start()
    delimited._given_up(known)
    assert not held
    thread.join()
