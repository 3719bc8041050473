"""The container: others can read it; every flipped bit, every cut and every lie about sizes is refused."""

import hashlib
import json
import os
import tracemalloc

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastxent import container
from fastxent.container import DIGEST, read, write

DTYPES = ["?", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8"]
SAFETENSORS = {"?": "bool", **{code: np.dtype(code).name for code in DTYPES[1:]}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("container")


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array)
        assert got[name].shape == array.shape
        assert got[name].dtype == array.dtype.newbyteorder("=")


@given(
    arrays=st.dictionaries(
        st.text(max_size=8).filter(lambda name: name not in (DIGEST, "__metadata__") and name.isprintable()),
        hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)),
        max_size=4,
    ),
    metadata=st.dictionaries(
        st.text(max_size=5), st.text(st.characters(exclude_categories=["Cs"])), max_size=3
    ),
)
def test_what_is_written_is_read_by_us_and_by_others(folder, arrays, metadata):
    path = folder / "file"
    write(path, arrays, metadata)
    got_metadata, got = read(path)
    assert got_metadata == metadata
    assert_same(got, arrays)
    others = safetensors.numpy.load_file(path)
    digest = others.pop(DIGEST)
    assert_same(others, arrays)
    content = path.read_bytes()
    assert digest.tobytes() == content[-32:] == hashlib.sha256(content[:-32]).digest()
    with safetensors.safe_open(path, "numpy") as file:
        assert (file.metadata() or {}) == metadata
    with np.errstate(all="ignore"):
        starts = [array.ctypes.data % max(1, array.itemsize) for array in got.values()]
    assert not any(starts)


def test_any_order_of_bytes_and_of_storage(tmp_path):
    values = np.arange(24.0).reshape(4, 6)
    arrays = {"F": np.asfortranarray(values), "steps": values[::2, ::3], "big": values.astype(">f4")}
    write(tmp_path / "file", arrays, {})
    assert_same(read(tmp_path / "file")[1], arrays)
    assert_same({name: safetensors.numpy.load_file(tmp_path / "file")[name] for name in arrays}, arrays)


def test_only_what_is_wanted_is_kept(tmp_path):
    arrays = {name: np.arange(10**6) for name in "abc"}
    write(tmp_path / "file", arrays, {})
    tracemalloc.start()
    _, got = read(tmp_path / "file", lambda name: name == "b")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert_same(got, {"b": arrays["b"]})
    assert peak < 14 * 10**6
    damage(tmp_path / "file", os.path.getsize(tmp_path / "file") - 100, 1)  # of c, which nobody wants
    with pytest.raises(ValueError, match="checksum"):
        read(tmp_path / "file", lambda name: name == "b")


def damage(path, place, bits):
    with open(path, "r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ bits]))


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.fxt"
    write(path, {"a": np.arange(3.0), "b": np.array([True]), "c": np.zeros((2, 0), "i4")}, {"key": "val"})
    return path


def test_every_flipped_bit_is_refused(small):
    assert small.read_bytes()[8:].find(b" ") > 0  # so padding is flipped, too
    for place in range(small.stat().st_size):
        for bits in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            damage(small, place, bits)
            with pytest.raises(ValueError, match=r"small\.fxt"):
                read(small)
            damage(small, place, bits)
    read(small)


def test_every_cut_and_whatever_is_appended_is_refused(small):
    content = small.read_bytes()
    for size in range(len(content)):
        small.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"small\.fxt"):
            read(small)
        small.write_bytes(content[size + 1 :])
        with pytest.raises(ValueError, match=r"small\.fxt"):
            read(small)
    for more in (b"\0", b" ", content[-32:], content):
        small.write_bytes(content + more)
        with pytest.raises(ValueError, match=r"damaged: it has \d+ bytes, and its header describes"):
            read(small)


def forged(path, header, data=b""):
    """A file with this header, and a right checksum."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    content = len(header).to_bytes(8, "little") + header + data
    path.write_bytes(content + hashlib.sha256(content).digest())


def entry(dtype="U8", shape=(0,), offsets=(0, 0)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


LAST = {DIGEST: entry("U8", (32,), (0, 32))}
HUGE = 2**62


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff" * 9,
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"1" * 10_000,
        {},
        {"a": entry()},
        {DIGEST: None},
        {DIGEST: []},
        {DIGEST: entry("U8", (32,), (1, 33))},
        {DIGEST: entry("U8", (32,), (0, 31))},
        {DIGEST: entry("U8", (31,), (0, 32))},
        {DIGEST: entry("I8", (32,), (0, 32))},
        {DIGEST: entry("F64", (4,), (0, 32))},
        {DIGEST: entry("U8", (4, 8), (0, 32))},
        {DIGEST: entry("U8", (32.0,), (0, 32))},
        {DIGEST: entry("U8", (-32,), (0, -32))},
        {DIGEST: entry("U8", (32,), (0,))},
        {DIGEST: entry("U8", (32,), (0, 32, 64))},
        {DIGEST: entry(["U8"], (32,), (0, 32))},
        {**LAST, "__metadata__": {"a": 1}},
        {**LAST, "__metadata__": "a"},
        {**LAST, "a": entry("F64", (HUGE,), (0, 8 * HUGE))},
        {**LAST, "a": entry("F64", (HUGE,), (32, 32 + 8 * HUGE))},
        {**LAST, "a": entry("F64", (2**32, 2**32), (0, 0))},
        {**LAST, "a": entry("F64", (0, HUGE), (0, 0))},
        {**LAST, "a": entry("F64", (HUGE, HUGE, 0), (0, 0))},
        {**LAST, "a": entry("F64", (0,) * 60, (0, 0))},
        {**LAST, "a": entry("O", (0,), (0, 0))},
        {**LAST, "a": entry("U8", (True,), (0, 1))},
        {**LAST, "a": entry("U8", (32,), (0, 32))},  # two arrays in one place
        {**LAST, "a": entry("U8", (8,), (8, 16))},
        {**LAST, "a": entry("U8", (10**9,), (32, 32 + 10**9))},
    ],
    ids=lambda header: str(header)[:50],
)
def test_headers_that_lie_are_refused_without_an_allocation(tmp_path, header):
    forged(tmp_path / "lies.fxt", header)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"lies\.fxt"):
        read(tmp_path / "lies.fxt")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * 10**6  # Python 3.14 follows more nested lists than earlier ones before it refuses them


def test_a_header_of_more_bytes_than_the_file(tmp_path):
    path = tmp_path / "long.fxt"
    for length in (9, 100, 10**8, 2**40, 2**63, 2**64 - 1):
        path.write_bytes(length.to_bytes(8, "little") + b"{}      ")
        tracemalloc.start()
        with pytest.raises(ValueError, match=r"long\.fxt is damaged, or no model file"):
            read(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10**5


def test_a_forged_file_that_tells_the_truth_is_read(tmp_path):
    forged(tmp_path / "true", {**LAST, "a": entry("F64", (0, 3), (0, 0))})
    assert read(tmp_path / "true")[1]["a"].shape == (0, 3)


def test_files_of_others_are_named(tmp_path):
    path = tmp_path / "other"
    for content, what in (
        (b"", "is empty"),
        (b"\x80\x05\x95\x00\x00\x00\x00\x00\x00\x00\x00.", "looks like a pickle"),
        (b"PK\x03\x04" + bytes(100), r"looks like a zip archive, as \.npz"),
        (b"\x93NUMPY\x01\x00" + bytes(100), "NumPy"),
        (b"\x78\x9c" + bytes(100), "joblib"),
        (b"\x1f\x8b\x08" + bytes(100), "joblib"),
        (b"\x08\x08\x12\x07skl2onnx", "ONNX"),
        (b"one two three", "no model file"),
        (b"\0", "no model file"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{what}.*model.save"):
            read(path)
    safetensors.numpy.save_file({"a": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="without the checksum"):
        read(path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing")
    with pytest.raises(ValueError, match="no regular file"):
        read(tmp_path)
    with pytest.raises(ValueError, match="no regular file"):
        read("/dev/zero")


@pytest.mark.parametrize("first", [0x08, 0x78, 0x80])
def test_a_cut_file_of_ours_is_not_taken_for_others(tmp_path, first):
    for length in range(600):
        write(tmp_path / "ours", {}, {"a": "x" * length})
        content = (tmp_path / "ours").read_bytes()
        if content[0] == first:
            break
    assert content[0] == first
    for size in (8, 9, 20, 100):
        (tmp_path / "ours").write_bytes(content[:size])
        with pytest.raises(ValueError, match="ours is damaged"):
            read(tmp_path / "ours")


def test_a_file_that_shrinks_while_it_is_read(small, monkeypatch):
    fill = container._fill

    def cut(file, buffer, path, checksum):
        fill(file, buffer, path, checksum)
        os.truncate(path, 60)

    monkeypatch.setattr(container, "_fill", cut)
    with pytest.raises(ValueError, match="shorter while it was read"):
        read(small)


def test_a_header_longer_than_others_read_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="100,000,000 at most"):
        write(tmp_path / "file", {}, {"a": "x" * 10**8})
    assert not os.listdir(tmp_path)
