"""What ``verbose`` says of fits over sources: rows per second, and the time that is left."""

import math

import numpy as np
import pytest

from fastxent import LogisticRegression, SGDClassifier
from fastxent.estimators import pace
from fastxent.solvers.result import History


def history(solver="metric", **lists):
    found = History(solver)
    found.update({"loss": [2.0] * len(lists["seconds"])} | lists)
    return found


@pytest.mark.parametrize("solver", ["metric", "lbfgs"])
def test_a_steady_fall_is_continued(solver):
    """Each second divides the distance by 10: from 1e-3 to 1e-6 takes three, of which one is over."""
    distances = [1.0, 0.1, 1e-2, 1e-3]
    name, unit = ("gap", 2.0) if solver == "metric" else ("grad_norm", 1.0)
    known = [unit * distance for distance in distances]
    run = history(solver, seconds=[0.0, 1.0, 2.0, 3.0, 4.0], **{name: [*known, math.nan]})
    assert pace.time_left(run, 1e-6) == pytest.approx(2.0)
    assert pace.time_left(run, 0.5) == 0.0


@pytest.mark.parametrize(
    ("gaps", "tol"),
    [
        ([math.nan] * 3, 1e-4),
        ([1.0, math.nan, math.nan], 1e-4),
        ([1.0, 1.0, 2.0], 1e-4),
        ([1.0, 0.1, 0.0], 0.0),
    ],
)
def test_what_cannot_be_told_is_not_told(gaps, tol):
    run = history(gap=gaps, seconds=[0.0, 1.0, 2.0], passes=[1, 2, 3])
    assert pace.time_left(run, tol) is None
    assert pace.of_run(run, 100, tol) == "   3 passes, 150 rows/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (0.123, "0.12 s"), (9.96, "10 s"), (119.4, "119 s"), (120.0, "2 min"), (9000.0, "2.5 h")],
)
def test_times(seconds, text):
    assert pace.lasting(seconds) == text


def test_lines_of_passes_and_of_iterations(caplog, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    y = (X[:, 0] + rng.normal(size=300) > 0).astype(int)
    source = [(X[:100], y[:100]), (X[100:], y[100:])]
    caplog.set_level("INFO", logger="fastxent")
    LogisticRegression(verbose=1).fit(source)
    assert not [line for line in caplog.messages if line.startswith(("pass", "first pass"))]  # of ten seconds
    monkeypatch.setattr(pace, "_SECONDS", 0.0)
    caplog.clear()
    LogisticRegression(verbose=1, solver="newton-cg").fit(source)
    first, second, *_ = caplog.messages
    assert first.startswith("first pass   100 rows   ") and second.startswith("first pass   300 rows   ")
    passes = [line for line in caplog.messages if line.startswith("pass")]
    assert passes[0].startswith("pass   100 of 300 rows   ") and passes[1].startswith(
        "pass   300 of 300 rows"
    )
    assert all(line.endswith(" left") and "rows/s" in line for line in passes)
    iterations = [line for line in caplog.messages if "iteration" in line]
    assert "rows/s" in iterations[0] and iterations[-1].endswith("s left")
    caplog.clear()
    SGDClassifier(verbose=1, max_iter=3, tol=None, random_state=0).fit(source)
    epochs = [line for line in caplog.messages if line.startswith("epoch")]
    assert len(epochs) == 3 and "rows/s, at most" in epochs[0] and epochs[-1].endswith("at most 0 s left")
    caplog.clear()
    SGDClassifier(max_iter=3, tol=None).fit(source)
    SGDClassifier(verbose=1, max_iter=1, tol=None).fit(X, y)
    assert "rows/s" not in caplog.text
