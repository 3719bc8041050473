"""The benchmarks run in their quick modes, and the tables in the documentation are what their results say."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits

import fastxent

BENCH = Path(__file__).resolve().parents[1] / "bench"
HERE = {"FASTXENT_PEERS": sys.executable}  # what is measured here is only that everything works


def run(script, *arguments):
    command = [sys.executable, str(BENCH / script), *map(str, arguments)]
    return subprocess.run(
        command, env=os.environ | HERE, capture_output=True, text=True, check=True, timeout=200
    ).stdout


@pytest.fixture
def bench(monkeypatch):
    """Import modules of bench/ that are forgotten afterwards: tests have some of the same names."""
    before = dict(sys.modules)
    monkeypatch.syspath_prepend(str(BENCH))
    yield importlib.import_module
    for name in sys.modules.keys() - before.keys():
        if Path(getattr(sys.modules[name], "__file__", None) or "").is_relative_to(BENCH):
            del sys.modules[name]


def results_in(folder):
    (path,) = folder.glob("*.json")
    return json.loads(path.read_text(encoding="utf-8"))


def test_documentation_shows_the_results():
    run("report.py", "--check")


def test_the_readme_s_five_lines_are_those_of_the_stored_results():
    readme = BENCH.with_name("README.md").read_text(encoding="utf-8")
    assert f"<!-- summary:begin -->\n{run('summary.py')}".rstrip() in readme


def test_a_changed_figure_is_noticed(tmp_path):
    for path in (BENCH / "results").glob("*.json"):
        text = path.read_text(encoding="utf-8").replace('"seconds": [', '"seconds": [9')
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run("report.py", tmp_path, "--check")
    assert "performance.md: processors" in caught.value.stderr


def test_single_evaluations(tmp_path):
    some = ("--case", "1,797", "--task", "gradient", "--rival", "fastxent", "--rival", "NumPy")
    configurations = ("--configuration", "native", "--configuration", "caches 32K, 1M, 16M")
    run("run.py", "--quick", *some, *configurations, "--processor", "some (R) name", "--output", tmp_path)
    results = results_in(tmp_path)
    assert (tmp_path / "some-name.json").exists() and results["processor"] == "some (R) name"
    found = {(r["rival"], r["dtype"], r["configuration"]): r for r in results["speed"]}
    for dtype in ("float64", "float32"):
        ours, numpy = found["fastxent", dtype, "native"], found["NumPy", dtype, "native"]
        assert ours["value"] == pytest.approx(numpy["value"], rel=1e-5)
        assert max(ours["error"], numpy["error"]) < (1e-12 if dtype == "float64" else 1e-4)
        assert min(*ours["seconds"], ours["first"]) > 0
        assert ("fastxent", dtype, "caches 32K, 1M, 16M") in found
        assert ("NumPy", dtype, "caches 32K, 1M, 16M") not in found  # it would be measured twice
    assert "| 1,797 x 64, 10 classes, f64 |" in run("report.py", tmp_path)


def test_a_race_to_the_optimum(tmp_path):
    some = ("--problem", "wine", "--rival", "fastxent metric", "--rival", "newton-cholesky", "--threads", 1)
    run("convergence.py", "--quick", *some, "--rounds", 1, "--budget", 100, "--output", tmp_path)
    assert "| wine raw, 3 classes, l2 1e-03 |" not in run(
        "report.py", tmp_path
    )  # without auto there is no race
    (record,) = results_in(tmp_path)["training"]
    assert record["choice"] == "metric" and record["rows"] == 178
    assert set(record["trainers"]) == {"fastxent metric", "scikit-learn newton-cholesky"}
    for trainer in record["trainers"].values():
        assert 0 <= trainer["points"][-1]["objective"] / record["least"]["free"] - 1 < 1e-6
        assert [len(point["seconds"]) for point in trainer["points"]].count(2) > 1  # on both sides of a level


def test_a_descent_is_timed_and_judged_by_rows_held_out(bench):
    cases, convergence, processes = map(bench, ("cases", "convergence", "processes"))
    X, y = load_digits(return_X_y=True)
    race = {"race": "single rows", "label": "scikit-learn", "threads": 1}
    race["step"] = {"eta0": 0.01, "learning_rate": "constant"}
    problem = cases.Problem(X[:1000] / 16, y[:1000], 10, held_out=(X[1000:] / 16, y[1000:]))
    with processes.file_of(problem) as path:
        first, *points = convergence.climb(path, **race, efforts=[1, 5])
    assert first["first"] > 0 and np.log(10) > points[0]["objective"] > points[1]["objective"] > 0
    few = cases.Problem(problem.X[:5], problem.y[:5], 10, held_out=problem.held_out)  # a class is missing
    with processes.file_of(few) as path:
        (found,) = convergence.climb(path, **race, efforts=[])
    assert found["first"] > 0


def test_faults_and_delays_of_a_process_are_told(bench):
    processes = bench("processes")
    found, fault = processes.run("processes:installed", {"modules": 3})
    assert found == [] and fault.startswith("TypeError")
    found, fault = processes.run("store:busy_processors", {"seconds": 60}, timeout=2)
    assert found == [] and fault == "no end after 2 s"


def test_every_rival_has_an_adapter_and_a_case(bench):
    cases, rivals, run = map(bench, ("cases", "rivals", "run"))
    assert len(set(run.TASKS)) == len(run.TASKS)  # test_speed.py caches problems by task
    cases_of = {task.name: task.cases for task in run.TASKS} | {"training": cases.TRAININGS}
    cases_of |= {race: [case] for race, case in cases.RACES.items()}
    for group, competitors in rivals.RIVALS.items():
        for rival in competitors:
            module, function = rival.adapter.split(".")
            text = (BENCH / "adapters" / f"{module}.py").read_text(encoding="utf-8")
            assert f"\ndef {function}(problem, threads" in text
            assert any(map(rival.suits, cases_of[group])), rival.label


def test_the_objective_of_the_benchopt_benchmark(monkeypatch):
    monkeypatch.setitem(sys.modules, "benchopt", SimpleNamespace(BaseObjective=object))
    spec = importlib.util.spec_from_file_location("objective", BENCH / "benchopt" / "objective.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (X, y), l2 = load_digits(return_X_y=True), 1e-3
    objective = module.Objective()
    objective.l2 = l2
    objective.set_data(X, y)
    assert objective.evaluate_result(**objective.get_one_result())["value"] == pytest.approx(np.log(10))
    model = fastxent.LogisticRegression(C=1 / (l2 * len(y)), tol=1e-12, max_iter=1000).fit(X, y)
    found = objective.evaluate_result(model.coef_, model.intercept_)
    loss = fastxent.linear_cross_entropy(X, y, model.coef_, model.intercept_)
    assert found["value"] == pytest.approx(loss + l2 / 2 * np.sum(model.coef_**2), rel=1e-12)
    assert found["grad_norm"] < 1e-5 and found["train_accuracy"] == model.score(X, y)
