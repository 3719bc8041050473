"""Every command line and the Python of docs/command-line.md run."""

import re
import shlex
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
BLOCKS = [block.splitlines() for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)]


@pytest.fixture(scope="module")
def folder(files, tmp_path_factory):
    """Files as they are called on the page."""
    import gzip

    made = tmp_path_factory.mktemp("page")
    for name in ("train.svm", "test.svm"):
        (made / name).write_bytes((files / name).read_bytes())
    for name in ("reviews.txt", "more-reviews.txt"):
        (made / name).write_bytes((files / "texts.txt").read_bytes())
    (made / "new-reviews.txt").write_bytes((files / "only.txt").read_bytes())
    rows = [f"{i},{'yes' if i % 3 else 'no'},{i % 3 + i % 2},{i % 5},{1 + i % 4}" for i in range(60)]
    (made / "train.csv.gz").write_bytes(gzip.compress("\n".join(["id,outcome,a,b,times", *rows]).encode()))
    (made / "new.csv").write_text("a,b\n1,2\n0,4\n")
    return made


def test_there_are_blocks():
    commands = {line.partition("fastxent ")[2].split()[0] for block in BLOCKS for line in block}
    assert commands == {"fit", "predict", "evaluate"}
    assert len(BLOCKS) > 5


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block[0])
def test_command_lines(block, run, folder, monkeypatch):
    monkeypatch.chdir(folder)
    for line in block:
        before, _, command = line.rpartition(" | ")
        stdin = Path(before.removeprefix("cat ")).read_bytes() if before else b""
        name, *argv = shlex.split(command)
        assert name == "fastxent"
        code, _, err = run(*argv, stdin=stdin)
        assert code == 0, f"{line}\n{err}"


def test_python(run, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert run("fit", "reviews.txt", "--text", "--model", "reviews.fxt")[0] == 0
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "command-line.md", "exec"), {})
    assert capsys.readouterr().out.startswith("['food' 'ships'] [[")


def test_options_on_the_page_exist(run):
    helps = "".join(run(command, "--help")[1] for command in ("fit", "predict", "evaluate"))
    ours = [
        cell.split("|")[2] for cell in PAGE.splitlines() if cell.startswith("| ") and cell.count("|") == 3
    ]
    options = {option for cell in ours for option in re.findall(r"(?<![\w-])--[a-zA-Z][\w-]*", cell)}
    assert len(options) > 15
    assert [option for option in sorted(options) if option not in helps] == []
