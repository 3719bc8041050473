"""The program as a whole: commands, exit codes, and how it behaves as a process."""

import os
import signal
import subprocess
import sys
import time

import pytest

import fastxent
from fastxent import kernels
from fastxent.cli import fit
from fastxent.processors import processors

PROGRAM = [sys.executable, "-P", "-m", "fastxent"]


def process(*argv, **options):
    return subprocess.run([*PROGRAM, *map(str, argv)], capture_output=True, text=True, check=False, **options)


def test_info_says_what_a_bug_report_needs(run):
    code, out, _ = run("info")
    assert code == 0
    shown = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert shown["fastxent"] == fastxent.__version__
    assert shown["kernels"].startswith(kernels.level)
    assert shown["processors"].startswith(f"{processors()} usable of ")
    assert set(shown) == {"fastxent", "kernels", "caches", "processors", "Python"}


def test_info_about_a_model(run, models):
    code, out, _ = run("info", models["text"])
    assert code == 0
    for line in ("LogisticRegression", fastxent.__version__, "texts, by TfidfVectorizer", "2 (food, ships)"):
        assert line in out


def test_version(run):
    assert run("--version") == (0, f"fastxent {fastxent.__version__}\n", "")


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["dmeo"],
        ["demo", "--repeats", "0"],
        ["demo", "--repeats", "x"],
        ["demo", "--output", "no/such/folder/x.png"],
        ["fit"],
        ["predict", "--model"],
    ],
)
def test_bad_command_lines_exit_with_usage(argv, run):
    code, out, err = run(*argv)
    assert code == 2
    assert "usage: fastxent" in err
    assert not out


def test_demo_arguments_reach_the_demo(monkeypatch, run):
    from fastxent import demo

    calls = []
    monkeypatch.setattr(demo, "run", lambda *arguments: calls.append(arguments))
    assert run("demo")[0] == 0
    assert run("demo", "--output", "x.svg", "--repeats", "1")[0] == 0
    assert calls == [("fastxent-demo.png", 3), ("x.svg", 1)]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "not enough memory"),
        (OSError(28, "No space left on device", "m.fxt"), 1, "m.fxt: No space left on device"),
        (ValueError("The descent diverges"), 1, "The descent diverges"),
    ],
)
def test_what_failures_exit_with(error, code, said, run, files, tmp_path, monkeypatch):
    def fails(*arguments):
        raise error

    monkeypatch.setattr(fit, "gather", fails)
    found, out, err = run("fit", files / "train.svm", "--model", tmp_path / "m.fxt")
    assert (found, out) == (code, "")
    assert err == f"fastxent: error: {said}\n" or said in err


# As a process ---------------------------------------------------------------------------------------------


def test_all_a_user_of_liblinear_needs_to_know(files, tmp_path):
    done = process("fit", files / "train.svm", "--test", files / "test.svm", "--model", "m.fxt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "accuracy  0.9" in done.stdout
    done = process("predict", files / "test.svm", "--model", "m.fxt", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 300


def test_a_mistake_in_a_file_as_a_process(files, tmp_path):
    (tmp_path / "bad.svm").write_text("1 1:2\n2 1:3\n1 1:x\n")
    done = process("fit", "bad.svm", "--model", "m.fxt", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "fastxent: error: bad.svm, line 3: the value of column 1 is 'x', not a number\n"
    assert os.listdir(tmp_path) == ["bad.svm"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.csv", b"0" + 64 * b",1" + b"\n0,1\n", "line 2: has 2 fields where 65 are expected"),
        ("x.csv", b"", "is empty"),
        ("x.svm", b"1 1:2\n2 1:nan\n", "line 2: the value of column 1 is NaN"),
        ("x.svm", b"1 1:2\n77 1:3\n", "line 2: the label '77' was not in the training"),
        ("x.svm.gz", b"\x1f\x8b\x08", "cannot be unpacked"),
        ("x.parquet", bytes(range(256)), "cannot be read as Parquet"),
    ],
)
def test_broken_files_as_a_process(name, content, said, models, tmp_path):
    (tmp_path / name).write_bytes(content)
    done = process("evaluate", name, "--model", models["svm"], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"fastxent: error: {name}")
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


def test_text_as_a_process(files, tmp_path):
    argv = [
        "fit",
        files / "texts.txt",
        "--text",
        "--test",
        files / "fasttext.txt",
        "--model",
        "m.fxt",
        "--quiet",
    ]
    done = process(*argv, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "(positive is ships)" in done.stdout
    done = process("predict", "-", "--model", "m.fxt", cwd=tmp_path, input="a mast and a sail\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ships\n", "")


def test_a_closed_pipe_ends_it_quietly(models, tmp_path):
    (tmp_path / "many.svm").write_text("1 1:2 3:4\n" * 100_000)
    with subprocess.Popen(
        [*PROGRAM, "predict", str(tmp_path / "many.svm"), "--model", models["svm"], "--proba"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout.readline().split() == [b"%d" % k for k in range(10)]
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 0


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c(models, tmp_path):
    with subprocess.Popen(
        [*PROGRAM, "predict", "-", "--format", "svmlight", "--model", models["svm"], "--output", "out.txt"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    ) as running:
        while not any(name.endswith(".tmp") for name in os.listdir(tmp_path)):  # it waits for rows
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        assert running.stderr.read() == b"fastxent: error: interrupted\n"
        assert running.wait() == 130
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("data", ["test.svm", "test.npz"])
def test_predicting_needs_little(data, files, models):
    program = (
        "import sys\nfrom fastxent.cli import main\n"
        f"main(['predict', {str(files / data)!r}, '--model', {models['svm']!r}])\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 300
    heavy = {"sklearn", "numba", "pyarrow", "rich", "pandas", "matplotlib", "joblib"}
    assert heavy.isdisjoint(done.stderr.split())
