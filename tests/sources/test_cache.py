"""What was parsed is kept on the disk: the same bits, bounded, checked, and removed."""

import gc
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastxent import LogisticRegression
from fastxent.estimators.streaming import Batches
from fastxent.sources import SvmlightSource, TextSource
from fastxent.sources.cache import Cache, CacheError


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "rows.svm"
    path.write_text("".join(f"{i % 3} 1:{i}.25 {2 + i % 5}:1\n" for i in range(1000)))
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def files_in(folder):
    return [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]


def test_later_passes_are_read_from_the_cache(path, folder):
    source = SvmlightSource(path, batch_rows=100, cache=folder)
    first = list(source)
    assert len(files_in(folder)) == 10
    path.unlink()  # nothing is parsed any more
    for (X, y), (A, b) in zip(first, source, strict=True):
        assert_array_equal(X.toarray(), A.toarray())
        assert_array_equal(y, b)


def test_it_is_removed_with_its_source(path, folder):
    source = SvmlightSource(path, cache=folder)
    list(source)
    assert files_in(folder)
    source.close()
    assert not os.listdir(folder)
    list(source)
    assert files_in(folder)
    del source
    gc.collect()
    assert not os.listdir(folder)


def test_it_is_removed_at_the_end_of_the_process(path, folder):
    program = (
        "from fastxent.sources import SvmlightSource\n"
        f"source = SvmlightSource({str(path)!r}, cache={str(folder)!r})\n"
        "list(source)\n"
        "import os; assert os.listdir(source.cache)\n"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True)
    assert not os.listdir(folder)


@pytest.mark.parametrize("stop", [1, 3])
def test_a_pass_that_ends_early_leaves_nothing(path, folder, stop):
    batches = iter(SvmlightSource(path, batch_rows=100, n_features=6, zero_based=False, cache=folder))
    for _ in range(stop):
        next(batches)
    assert len(files_in(folder)) == stop
    batches.close()
    assert not os.listdir(folder)


def test_it_is_bounded(path, folder):
    source = SvmlightSource(path, batch_rows=100, cache=folder, cache_size=10_000)
    first, second = list(source), list(source)
    assert len(first) == len(second) == 10
    assert not os.listdir(folder)


@pytest.mark.parametrize("damage", ["changed", "cut"])
def test_damage_is_found(path, folder, damage):
    source = SvmlightSource(path, batch_rows=100, cache=folder)
    list(source)
    file = sorted(files_in(folder))[4]
    content = bytearray(Path(file).read_bytes())
    content[200] ^= 1
    Path(file).write_bytes(content if damage == "changed" else content[:-64])
    with pytest.raises(CacheError, match="changed or is damaged"):
        list(source)


def test_a_full_disk_is_no_error(path, monkeypatch):
    def refuse(self, arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Cache, "append", refuse)
    source = SvmlightSource(path)
    assert sum(len(y) for _, y in source) == sum(len(y) for _, y in source) == 1000


def test_a_copy_has_its_own(path, folder):
    source = SvmlightSource(path, cache=folder)
    list(source)
    other = pickle.loads(pickle.dumps(source))
    del other
    assert sum(len(y) for _, y in source) == 1000


def test_labels_that_are_strings(tmp_path, folder):
    path = tmp_path / "mail.txt"
    path.write_text("spam\tbuy now\nno spam\tsee you\n")
    source = TextSource(path, n_features=16, cache=folder)
    first, second = list(source), list(source)
    assert_array_equal(first[0][1], second[0][1])
    assert first[0][1].tolist() == ["spam", "no spam"]
    assert_array_equal(first[0][0].toarray(), second[0][0].toarray())


def test_arrays_of_any_shape(folder):
    cache = Cache(folder, 1 << 20)
    arrays = [
        np.zeros((0, 3)),
        np.arange(5, dtype=np.int32),
        np.asfortranarray(np.eye(3)),
        np.array(["a", "bc"]),
    ]
    assert cache.append(arrays)
    assert cache.append([np.zeros(0)])
    (found, empty) = cache
    for one, other in zip(arrays, found, strict=True):
        assert_array_equal(one, other)
    assert empty[0].shape == (0,)


def test_what_comes_from_the_cache_is_checked_once(path, folder, monkeypatch):
    looked, look = [], LogisticRegression._validated
    monkeypatch.setattr(
        LogisticRegression,
        "_validated",
        lambda self, X, **how: looked.append(X.shape[0]) or look(self, X, **how),
    )
    source = SvmlightSource(path, cache=folder, batch_rows=40)
    batches = Batches(LogisticRegression(), source)
    first = list(batches)
    count = len(looked)
    assert count == len(first) > 1
    source.close()  # the next cache is another one
    for again in (batches, batches):
        for (X, codes, _), (A, others, _) in zip(first, again, strict=True):
            assert_array_equal(X.toarray(), A.toarray())
            assert_array_equal(codes, others)
    assert len(looked) > count
