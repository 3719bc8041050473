"""Checkpoint and Session: when they write, what they refuse, and that nothing good is lost."""

import copy
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import fastxent
from fastxent import container
from fastxent.checkpoint import NAME, Checkpoint, Session, fact

STATE = {"x": np.arange(1000.0), "pair": (1, None), "nan": float("nan")}


def session(folder, facts=None, **how):
    how = how or {"every_iterations": 1}
    return Session(Checkpoint(folder, **how), {"C": "1"} if facts is None else facts)


@pytest.fixture
def kept(tmp_path):
    """A folder with a checkpoint."""
    session(tmp_path).keep(STATE)
    return tmp_path


# When ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "due"),
    [
        ({}, [False, False, True]),
        ({"every_iterations": 10}, [False, True, True]),
        ({"every_seconds": 5}, [True, False, True]),
        ({"every_iterations": 20, "every_seconds": 7.5}, [True, False, True]),
        ({"every_iterations": 10, "every_seconds": 1e9}, [False, True, True]),
    ],
)
def test_when_it_is_due(how, due):
    asked = [(1, 10.0), (10, 1.0), (100, 100.0)]
    assert [Checkpoint("folder", **how).is_due(*at) for at in asked] == due


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"folder": ""}, TypeError, "folder must be the path of a folder; got ''"),
        ({"folder": 3}, TypeError, "got 3"),
        ({"folder": "f", "every_iterations": 0}, ValueError, "at least 1, or None; got 0"),
        ({"folder": "f", "every_iterations": 1.5}, ValueError, r"got 1\.5"),
        ({"folder": "f", "every_seconds": -1}, ValueError, "not negative, or None; got -1"),
        ({"folder": "f", "every_seconds": float("nan")}, ValueError, "got nan"),
    ],
)
def test_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        Checkpoint(**arguments)


def test_it_is_a_value(tmp_path):
    one = fastxent.Checkpoint(tmp_path, every_iterations=3)
    assert one == Checkpoint(str(tmp_path), every_iterations=3) != Checkpoint(tmp_path)
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert other == one
    assert one.folder == str(tmp_path)


def test_the_first_state_is_written_at_once_and_others_when_they_are_due(tmp_path):
    one = session(tmp_path, every_iterations=3)
    seen = []
    for number in range(8):
        one.keep({"number": number})
        seen.append(session(tmp_path).state["number"])
    assert seen == [0, 0, 0, 3, 3, 3, 6, 6]
    one.write()
    assert session(tmp_path).state["number"] == 7
    one.finish({"end": True})
    again = session(tmp_path)
    assert again.state is None and again.result == {"end": True}


def test_what_was_kept_comes_back(kept):
    state = session(kept).state
    np.testing.assert_array_equal(state.pop("x"), STATE["x"])
    assert np.isnan(state.pop("nan")) and state == {"pair": (1, None)}


def test_objects_are_kept_by_their_state(tmp_path):
    class Counter:
        def state(self):
            return {"count": 3}

    rng = np.random.default_rng(0)
    session(tmp_path).keep({"counter": Counter(), "rng": rng})
    state, other = session(tmp_path).state, np.random.default_rng(1)
    other.bit_generator.state = state["rng"]
    assert state["counter"] == {"count": 3} and other.random() == rng.random()


def test_a_journal_writes_each_array_once(tmp_path):
    one = session(tmp_path)
    journal, arrays = one.journal("steps"), [np.full(3, float(i)) for i in range(20)]
    for i, array in enumerate(arrays):
        journal.append(array)
        if i in (2, 18):
            one.keep({"steps": journal})
    assert session(tmp_path).state["steps"][1] == 3  # of 3, 8 and 8
    assert len(list(tmp_path.glob("*-steps-*.fxt"))) == 3
    again = session(tmp_path)
    journal = again.journal("steps", again.state["steps"])
    np.testing.assert_array_equal(list(journal.read()), arrays[:19])
    journal.append(arrays[19])
    again.keep({"steps": journal})
    np.testing.assert_array_equal(list(journal.read()), arrays)
    (tmp_path / "checkpoint-steps-000099.fxt").write_bytes(b"of a process that died")
    files = {path: path.read_bytes() for path in tmp_path.glob("checkpoint-*")}
    again.finish({})
    assert os.listdir(tmp_path) == [NAME]
    for path, content in files.items():  # as if it had died at this moment
        path.write_bytes(content)
    assert session(tmp_path).result == {}
    assert os.listdir(tmp_path) == [NAME]


@pytest.mark.parametrize("fault", ["is missing", "is damaged", "belongs to another run"])
def test_a_journal_with_a_fault_is_refused(tmp_path, fault):
    one = session(tmp_path)
    journal = one.journal("steps")
    journal.append(np.zeros(3))
    one.keep({"steps": journal})
    (path,) = tmp_path.glob("*-steps-*")
    if fault == "is missing":
        path.unlink()
    elif fault == "is damaged":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        other = one.journal("steps")
        other.append(np.ones(3))
        other.state()
    again = session(tmp_path)
    with pytest.raises(ValueError, match=rf"{path} {fault}.*delete {tmp_path / NAME} to begin anew"):
        list(again.journal("steps", again.state["steps"]).read())


# Whose ---------------------------------------------------------------------------------------------------


def test_another_fit_is_refused_and_told_what_differs(tmp_path):
    facts = {"C": "1", "X": "#0123", "old": "1"}
    session(tmp_path, facts).keep(STATE)
    assert session(tmp_path, facts).state is not None
    with pytest.raises(
        ValueError, match=r"belongs to another fit: C was 1 and is 2; X is not the same;"
    ) as caught:
        session(tmp_path, {"C": "2", "X": "#4567", "new": "1"})
    for text in ("new was not there and is 1", "old was 1 and is not there", str(tmp_path), "delete"):
        assert text in str(caught.value)


@pytest.mark.parametrize("package", ["fastxent", "numpy", "scipy"])
def test_another_version_is_refused(kept, monkeypatch, package):
    monkeypatch.setattr(sys.modules[package], "__version__", "99.1")
    with pytest.raises(ValueError, match=r"was .* and is 99\.1"):
        session(kept)


def test_facts():
    same = [
        (1, 1.0, np.float32(1)),
        ([1, 2], (1, 2), np.array([1, 2])),
        ({"a": 1},),
        (np.inf,),
        (True,),
        (None,),
    ]
    texts = [{fact(value) for value in values} for values in same]
    assert all(len(text) == 1 for text in texts)
    assert len(set.union(*texts)) == len(same)
    long = np.arange(1000)
    assert fact(long) == fact(long.copy()) != fact(long + 1)
    assert len(fact(long)) < 70
    one, other = np.random.RandomState(0), np.random.RandomState(0)
    assert fact(one) == fact(other)
    other.random()
    assert fact(one) != fact(other)


# Faults --------------------------------------------------------------------------------------------------


def test_a_flipped_bit_anywhere_is_found(kept):
    path = kept / NAME
    content = path.read_bytes()
    for place in np.linspace(0, len(content) - 1, 60).astype(int):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(ValueError, match=rf"checkpoint: {path} .*delete {path} to begin anew"):
            session(kept)
    path.write_bytes(content)
    assert session(kept).state is not None


def test_a_file_that_was_cut_or_is_none_of_ours(kept):
    path = kept / NAME
    content = path.read_bytes()
    for size in (0, 1, 8, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=f"Nothing can go on from it: delete {path}"):
            session(kept)
    for other in (b"text\n" * 100, content + b"x", b"PK\x03\x04" * 100):
        path.write_bytes(other)
        with pytest.raises(ValueError, match=str(path)):
            session(kept)
    fastxent.LogisticRegression().fit([[0.0], [1.0]], [0, 1]).save(path)
    with pytest.raises(ValueError, match="is no checkpoint"):
        session(kept)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"schema": "2"}, "of another version of fastxent"),
        ({"state": "{"}, "is no valid checkpoint"),
        ({"state": '{"array":["<f8","missing","C"]}'}, "is no valid checkpoint"),
        ({"facts": "[1]"}, "is no valid checkpoint"),
    ],
)
def test_a_file_that_contradicts_itself(kept, changes, match):
    metadata, arrays = container.read(kept / NAME)
    container.write(kept / NAME, arrays, metadata | changes)
    with pytest.raises(ValueError, match=match):
        session(kept)


def test_a_full_disk_is_an_error_and_the_checkpoint_before_stays(kept):
    """A limit on the size of files stands for it: the write itself fails, after some of it was done."""
    before = (kept / NAME).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    one = session(kept)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=f"File too large.*{NAME}"):
            one.keep({"x": np.zeros(10**6)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.listdir(kept) == [NAME]
    assert (kept / NAME).read_bytes() == before
    assert session(kept).state["pair"] == STATE["pair"]


def test_a_state_that_cannot_be_kept_changes_nothing(kept):
    before = (kept / NAME).read_bytes()
    with pytest.raises(TypeError, match=r"state\.what"):
        session(kept).keep({"what": object()})
    assert os.listdir(kept) == [NAME] and (kept / NAME).read_bytes() == before


def test_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match="checkpoint must be a folder, and this is a file"):
        session(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        session(tmp_path / "file" / "folder")
    session(tmp_path / "one" / "two").keep(STATE)
    assert (tmp_path / "one" / "two" / NAME).exists()


AS_NOBODY = """
import os, sys
from fastxent.checkpoint import Checkpoint, Session

if os.geteuid() == 0:  # whom permissions do not stop
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
try:
    Session(Checkpoint(sys.argv[1]), {"C": "1"})
except PermissionError as error:
    print(error)
"""


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_folder_that_cannot_be_written_is_an_error_at_once(has_begun):
    with tempfile.TemporaryDirectory() as folder:  # not in pytest's, which are closed to others
        if has_begun:
            session(folder).keep(STATE)
        Path(folder).chmod(0o555)
        command = [sys.executable, "-P", "-c", AS_NOBODY, folder]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        Path(folder).chmod(0o755)
        assert "Permission denied" in run.stdout and folder in run.stdout
        assert os.listdir(folder) == [NAME] * has_begun


def test_what_a_killed_process_was_writing_is_removed(kept):
    for name in (f".{NAME}.0123.tmp", ".checkpoint-x-000001.fxt.ab01.tmp", ".other.tmp", "mine"):
        (kept / name).write_bytes(b"half")
    assert session(kept).state is not None
    assert sorted(os.listdir(kept)) == [".other.tmp", NAME, "mine"]
