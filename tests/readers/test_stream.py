"""Bytes of files, unpacked, and blocks of lines."""

import gzip
import io
import sys

import pyarrow as pa
import pytest

from fastxent.readers import formats, stream
from fastxent.readers.batch import DataError, FormatError, MissingPackage

CONTENT = b"".join(b"line %d\n" % i for i in range(5000))


def zst(content):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as packed:
        packed.write(content)
    return sink.getvalue().to_pybytes()


PACKED = {"": bytes, ".gz": gzip.compress, ".zst": zst}


@pytest.mark.parametrize("suffix", PACKED)
def test_files_and_standard_input(suffix, tmp_path, monkeypatch):
    content = PACKED[suffix](CONTENT)
    for name in (f"x.svm{suffix.upper()}", "x"):
        (tmp_path / name).write_bytes(content)
        with stream.opened(str(tmp_path / name)) as file:
            assert file.read() == CONTENT
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))
    with stream.opened("-") as file:
        assert file.read() == CONTENT


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_damaged_files(suffix, tmp_path):
    content = PACKED[suffix](CONTENT)
    path = tmp_path / f"x{suffix}"
    middle = len(content) // 2
    changed = content[:middle] + b"\xff" * 9 + content[middle + 9 :]
    damages = [content[:middle], content[:-1], b"hello"]
    for damaged in (
        [*damages, changed] if suffix == ".gz" else damages
    ):  # Arrow writes zstd without a checksum
        path.write_bytes(damaged)
        with (
            pytest.raises(DataError, match=rf"x\{suffix}: cannot be unpacked"),
            stream.opened(str(path)) as file,
        ):
            file.read()


def test_zst_asks_for_pyarrow(tmp_path, monkeypatch):
    (tmp_path / "x.zst").write_bytes(zst(CONTENT))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with (
        pytest.raises(MissingPackage, match=r"pip install 'fastxent\[parquet\]'"),
        stream.opened(tmp_path / "x.zst"),
    ):
        pass


@pytest.mark.parametrize("content", [b"", b"a", b"a\n", b"\n\n", b"ab\ncdefghij\n\nk", CONTENT])
@pytest.mark.parametrize("size", [1, 3, 7, 1000, 1 << 20])
def test_blocks_are_of_whole_lines(content, size):
    if size == 1 and len(content) > 1000:
        content = content[:1000]
    blocks = list(stream.blocks_of_lines(io.BytesIO(content), size))
    assert b"".join(block for _, block in blocks) == content
    assert all(block.endswith(b"\n") for _, block in blocks[:-1])
    done = 0
    for number, block in blocks:
        assert number == done + 1
        done += block.count(b"\n")


@pytest.mark.parametrize(
    ("path", "given", "found"),
    [
        ("a.svm", None, "svmlight"),
        ("A.LIBSVM.GZ", None, "svmlight"),
        ("a.b.csv.zst", None, "csv"),
        ("a.tsv", None, "tsv"),
        ("a.parquet", None, "parquet"),
        ("a.npz", None, "npz"),
        ("a.npz", "csv", "csv"),
        ("-", "text", "text"),
    ],
)
def test_formats_by_suffix(path, given, found):
    assert formats.format_of(path, given) == found


@pytest.mark.parametrize("path", ["-", "a", "a.txt", "a.gz", "svm"])
def test_unknown_formats(path):
    with pytest.raises(FormatError, match="--format"):
        formats.format_of(path)
