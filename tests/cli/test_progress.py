"""Progress: lines of JSON, or a bar on a terminal."""

import json
import math
import sys

import numpy as np
import pytest

from fastxent.cli import progress


def test_a_line_of_json_for_each_iteration(run, files, tmp_path):
    code, _, err = run("fit", files / "train2.svm", "--model", tmp_path / "m.fxt")
    assert code == 0
    entries = [json.loads(line) for line in err.splitlines()]
    assert [entry["epoch"] for entry in entries] == list(range(1, len(entries) + 1))
    assert entries[-1]["loss"] < entries[0]["loss"]


def test_json_has_no_nan(capsys):
    with progress.shown(False) as callback:
        callback({"epoch": np.int64(1), "gap": np.float64("nan"), "loss": math.inf, "fold": None})
    assert json.loads(capsys.readouterr().err) == {"epoch": 1, "gap": None, "loss": None, "fold": None}


def test_quiet_has_no_callback():
    with progress.shown(True) as callback:
        assert callback is None


@pytest.mark.parametrize("entries", [{}, {"C": 0.5, "fold": 1}, {"C": 0.5, "fold": None}])
def test_a_bar_on_a_terminal(entries, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress.shown(False, 3) as callback:
        for epoch in (1, 2, 3):
            assert not callback({"epoch": epoch, "loss": 0.5 / epoch, **entries})
    err = capsys.readouterr().err
    assert "iteration 3   loss 0.166667" in err
    assert "{" not in err


def test_without_rich_a_terminal_has_lines(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.shown(False) as callback:
        callback({"epoch": 1})
    assert json.loads(capsys.readouterr().err) == {"epoch": 1}
