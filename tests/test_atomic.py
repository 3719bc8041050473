"""Atomic writing: the old file or the new one, whatever happens; permissions; nothing left behind."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fastxent.atomic import replacing


def write(path, content=b"new"):
    with replacing(path) as file:
        file.write(content)


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def assert_untouched(path):
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_a_new_file_and_one_that_replaces_another(tmp_path, monkeypatch):
    path = tmp_path / "file"
    for content in (b"one", b"", b"three" * 10**6):
        write(path, content)
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == ["file"]
    monkeypatch.chdir(tmp_path)
    write("file", b"relative")
    assert path.read_bytes() == b"relative"
    write("x" * 255)  # as long as a name can be
    assert sorted(os.listdir()) == ["file", "x" * 255]


def test_file_and_folder_are_synced_in_this_order(old, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace

    def noted_fsync(descriptor):
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def noted_replace(*paths):
        calls.append("rename")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write(old)
    assert calls == ["file", "rename", "folder"]


@pytest.mark.parametrize("error", [RuntimeError("mine"), OSError("mine"), KeyboardInterrupt()])
def test_an_error_in_the_block_leaves_everything_as_it_was(old, error):
    def fail():
        with replacing(old) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert_untouched(old)


@pytest.mark.parametrize("call", ["fsync", "replace", "fchmod"])
def test_a_failing_system_call_leaves_everything_as_it_was(old, monkeypatch, call):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=r"No space left on device.*file") as caught:
        write(old)
    assert caught.value.errno == errno.ENOSPC
    assert_untouched(old)


def test_a_folder_that_cannot_be_synced(old, monkeypatch):
    fsync = os.fsync

    def fail(descriptor, number):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", lambda descriptor: fail(descriptor, errno.EINVAL))
    write(old)  # some file systems do not offer it
    assert old.read_bytes() == b"new"
    monkeypatch.setattr(os, "fsync", lambda descriptor: fail(descriptor, errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        write(old, b"newer")
    assert old.read_bytes() == b"newer"
    monkeypatch.undo()
    monkeypatch.setattr(os, "open", lambda *arguments: fail_to_open())
    write(old, b"newest")  # a folder in which one may write, but not look
    assert old.read_bytes() == b"newest"


def fail_to_open():
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_full_disk(old):
    """A limit on the size of files stands for it: the write itself fails, after some of it was done."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(old, b"x" * 10**6)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert_untouched(old)


def test_where_nothing_can_be_written(tmp_path, old):
    with pytest.raises(FileNotFoundError, match=r"missing.file"):
        write(tmp_path / "missing" / "file")
    with pytest.raises(IsADirectoryError, match="folder"):
        write(tmp_path)
    with pytest.raises(IsADirectoryError, match="folder"):
        write(f"{tmp_path}/new/")
    with pytest.raises(NotADirectoryError):
        write(old / "file")
    os.mkfifo(tmp_path / "pipe")
    for special in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(OSError, match="device"):
            write(special)
    with pytest.raises(OSError, match="too long"):
        write(tmp_path / ("x" * 256))
    with pytest.raises(TypeError):
        write(5)
    os.unlink(tmp_path / "pipe")
    assert_untouched(old)


AS_NOBODY = """
import os, sys
from fastxent.atomic import replacing

if os.geteuid() == 0:  # whom permissions do not stop
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
try:
    with replacing(sys.argv[1]) as file:
        file.write(b"new")
except PermissionError as error:
    print(error)
"""


@pytest.mark.parametrize(("of_file", "of_folder"), [(0o444, 0o777), (0o666, 0o555)])
def test_what_is_protected_stays(of_file, of_folder):
    with tempfile.TemporaryDirectory() as folder:  # not in pytest's, which are closed to others
        path = Path(folder, "file")
        path.write_bytes(b"old")
        path.chmod(of_file)
        path.parent.chmod(of_folder)
        run = subprocess.run(
            [sys.executable, "-P", "-c", AS_NOBODY, path], capture_output=True, text=True, check=True
        )
        path.parent.chmod(0o755)
        assert str(path) in run.stdout
        assert_untouched(path)


def test_permissions(tmp_path):
    path = tmp_path / "file"
    before = os.umask(0o027)
    try:
        write(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o606)
        write(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o606
    finally:
        os.umask(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_stays(old):
    os.chown(old, 65534, 65534)
    write(old)
    assert (old.stat().st_uid, old.stat().st_gid) == (65534, 65534)


def test_an_owner_that_cannot_be_kept(old, monkeypatch):
    """Somebody who may write in the folder becomes the owner of what they write there."""
    fstat = os.fstat

    def of_another(descriptor):
        found = list(fstat(descriptor))
        found[stat.ST_UID] += 1
        return os.stat_result(found)

    def refuse(*arguments):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    old.chmod(0o640)
    monkeypatch.setattr(os, "fstat", of_another)
    monkeypatch.setattr(os, "fchown", refuse)
    write(old)
    assert old.read_bytes() == b"new"
    assert stat.S_IMODE(old.stat().st_mode) == 0o640


def test_a_symbolic_link_stays(tmp_path, old):
    link = tmp_path / "link"
    link.symlink_to("file")
    write(link)
    assert link.is_symlink()
    assert old.read_bytes() == b"new"
    old.unlink()
    write(link, b"again")  # a link to nothing yet
    assert link.is_symlink()
    assert old.read_bytes() == b"again"
