"""The command line."""

import subprocess
import sys

import pytest

import fastxent
from fastxent import cli, kernels
from fastxent.processors import processors


def test_info_says_what_a_bug_report_needs(capsys):
    assert cli.main(["info"]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown["fastxent"] == fastxent.__version__
    assert shown["kernels"].startswith(kernels.level)
    assert shown["processors"].startswith(f"{processors()} usable of ")
    assert set(shown) == {"fastxent", "kernels", "processors", "Python"}


def test_runs_as_a_module():
    run = subprocess.run(
        [sys.executable, "-P", "-m", "fastxent", "info"], capture_output=True, text=True, check=True
    )
    assert fastxent.__version__ in run.stdout


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["dmeo"],
        ["demo", "--repeats", "0"],
        ["demo", "--repeats", "x"],
        ["demo", "--output", "no/such/folder/x.png"],
    ],
)
def test_bad_command_lines_exit_with_usage(argv, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(argv)
    assert "usage: python -m fastxent" in capsys.readouterr().err


def test_demo_arguments_reach_the_demo(monkeypatch):
    from fastxent import demo

    calls = []
    monkeypatch.setattr(demo, "run", lambda *arguments: calls.append(arguments))
    assert cli.main(["demo"]) == 0
    assert cli.main(["demo", "--output", "x.svg", "--repeats", "1"]) == 0
    assert calls == [("fastxent-demo.png", 3), ("x.svg", 1)]
