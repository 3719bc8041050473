"""A run that was interrupted at any iteration ends with the bits of one that was not."""

from functools import partial

import numpy as np
import pytest

from fastxent import solvers
from fastxent.checkpoint import NAME, Checkpoint, Session
from fastxent.solvers import metric
from fastxent.solvers.coordinate import turned
from fastxent.solvers.dual import ascent
from fastxent.solvers.metric import models, sampled, solver
from fastxent.solvers.result import STOPPED_BY_CALLER, Result
from objectives import in_parts
from solvers_problems import make_objective

# Name, problem and arguments of runs that take every path of their solver.
RUNS = {
    "newton-cg": ("newton-cg", {"l2": 1e-3}, {"tol": 1e-9}),
    "l1-newton": ("l1-newton", {"l1": 1e-2}, {"tol": 1e-9}),
    "lbfgs": ("lbfgs", {"l2": 1e-3}, {"tol": 1e-7}),
    "lbfgs, flat": ("lbfgs", {"l2": 1e-3, "dtype": np.float32}, {"tol": 1e-7}),
    "metric, to rounding": ("metric", {"l2": 1e-3}, {"tol": 0.0}),
    "metric, exact": ("metric", {"l2": 1e-3}, {"tol": 1e-10}),
    "metric, two classes": ("metric", {"n_classes": 2, "l2": 1e-4}, {"tol": 1e-10}),
    "metric, far columns": (
        "metric",
        {"l2": 1e-3, "dtype": np.float32, "n": 400, "offset": 1e4},
        {"tol": 1e-4},
    ),
    "sdca": ("sdca", {"sparse": True, "l2": 1e-2}, {"tol": 1e-8}),
    "sdca, two classes": ("sdca", {"sparse": True, "n_classes": 2, "l2": 1e-2}, {"tol": 1e-8}),
    "sdca, handed over": ("sdca", {"sparse": True, "l2": 1e-4, "n": 200, "d": 5}, {"tol": 1e-9}),
    "sdca, too weak": ("sdca", {"sparse": True, "l2": 1e-12}, {"tol": 1e-8}),
    "prox_newton": ("prox_newton", {"l1": 1e-2}, {"tol": 1e-9}),
    "prox_newton, stored logits": (
        "prox_newton",
        {"sparse": True, "n_classes": 2, "l1": 1e-3},
        {"tol": 1e-9},
    ),
    "prox_newton, groups": (
        "prox_newton",
        {"l1": 1e-2, "l2": 1e-3, "penalty_groups": "features"},
        {"tol": 1e-9},
    ),
    "sgd": ("sgd", {"l2": 1e-2}, {"tol": 1e-4, "max_iter": 12}),
    "sgd, sparse L1": ("sgd", {"sparse": True, "l1": 1e-2}, {"tol": 1e-4, "max_iter": 12}),
}
OF_PARTS = "metric, exact", "metric, two classes", "newton-cg", "lbfgs", "l1-newton"


def problem_of(arguments):
    arguments = dict(arguments)
    offset = arguments.pop("offset", 0.0)
    objective = make_objective(**arguments)
    if offset:
        objective.local.X[:, 0] += offset
        objective = objective.over_part(objective.local.replaced(objective.local.X, objective.local.targets))
    return objective


def session(folder):
    return Session(Checkpoint(folder, every_seconds=1e9), {})


def assert_same(result, expected):
    np.testing.assert_array_equal(result.theta, expected.theta)
    assert result.history.solver == expected.history.solver
    assert result.history.predecessor == expected.history.predecessor
    for name, values in expected.history.items():
        if name != "seconds":
            np.testing.assert_array_equal(result.history[name], values, name)
    seconds = result.history["seconds"]
    assert len(seconds) == len(expected.history["seconds"]) and (np.diff(seconds) >= 0).all()
    for name in ("value", "grad_norm", "n_iter", "converged", "reason"):
        assert getattr(result, name) == getattr(expected, name), name


class Collecting(Session):
    """A session that writes at every occasion, and collects what is in the folder then."""

    def __init__(self, folder):
        super().__init__(Checkpoint(folder, every_iterations=1), {})
        self.folder, self.found = folder, []

    def write(self):
        super().write()
        self.found.append({path.name: path.read_bytes() for path in self.folder.glob("*.fxt")})


def check(make_solve, folder):
    """Compare a run without checkpoints with one that has them, and with ones that go on from each of these."""
    expected, collecting = make_solve()(), Collecting(folder)
    assert expected.n_iter > 2
    assert_same(make_solve()(checkpoint=collecting), expected)
    assert_same(Result.from_state(session(folder).result), expected)
    assert [path.name for path in folder.iterdir()] == [NAME]
    assert len(collecting.found) > expected.n_iter
    for number, contents in enumerate(collecting.found):
        at = folder / str(number)
        at.mkdir()
        for name, content in contents.items():
            (at / name).write_bytes(content)
        kept, seen = session(at), []
        begun = len(kept.state["history"]["lists"]["epoch"])

        def look(theta, history, seen=seen):
            seen.append(history["epoch"][-1])

        assert_same(make_solve()(checkpoint=kept, callback=look), expected)
        assert seen == list(range(begun, expected.n_iter + 1))
        seen.clear()
        assert_same(make_solve()(checkpoint=session(at), callback=look), expected)
        assert not seen  # it was not repeated
    return expected


def solver_of(name, problem, arguments, engine=lambda objective: objective):
    def make_solve():
        objective = engine(problem_of(problem))
        theta = objective.initial()
        return partial(solvers.solve, objective, theta, **{"solver": name, "max_iter": 30, **arguments})

    return make_solve


@pytest.mark.parametrize("name", RUNS)
def test_every_solver_at_every_iteration(tmp_path, name):
    result = check(solver_of(*RUNS[name]), tmp_path)
    assert (result.history.predecessor == "sdca") == (name == "sdca, handed over")


def test_columns_that_are_turned_when_they_are_needed(tmp_path, monkeypatch):
    """Also where slopes are old, and of some columns only."""
    monkeypatch.setattr(turned, "_FEW", 0)
    problem = {"sparse": True, "n_classes": 2, "l1": 2e-3, "n": 2000, "d": 60}
    make_solve = solver_of("prox_newton", problem, {"tol": 1e-9})
    check(make_solve, tmp_path / "checked")
    collecting = Collecting(tmp_path / "collected")
    make_solve()(checkpoint=collecting)
    stale, some = [], []
    for number, contents in enumerate(collecting.found[:-1]):
        at = tmp_path / str(number)
        at.mkdir()
        (at / NAME).write_bytes(contents[NAME])
        loss = session(at).state["loss"]
        stale.append(loss["stale"])
        some.append(loss["turned"]["missing"].any())
    assert max(stale) == 2
    assert any(some)


@pytest.mark.parametrize("engine", [0, 1], ids=["parts", "streamed"])
@pytest.mark.parametrize("name", OF_PARTS)
def test_parts_at_every_iteration(tmp_path, name, engine):
    check(solver_of(*RUNS[name], engine=lambda objective: in_parts(objective, [30, 55])[engine]), tmp_path)


def metric_solver(kind):
    """As `solvers.solve` with this model of the Hessian."""

    def make_solve():
        objective = problem_of({"n": 1500, "n_classes": 4, "l2": 1e-4, "seed": 1})

        def solve(checkpoint=None, **more):
            if checkpoint is not None and checkpoint.result is not None:
                return Result.from_state(checkpoint.result)
            more |= {"checkpoint": checkpoint, "tol": 1e-10, "max_iter": 30, "kind": kind}
            result = metric.solve(objective, objective.initial(), **more)
            if checkpoint is not None:
                checkpoint.finish(result.state())
            return result

        return solve

    return make_solve


@pytest.fixture
def small_samples(monkeypatch):
    for module in (models, sampled):
        monkeypatch.setattr(module, "FEW_ROWS", 50)


@pytest.mark.usefixtures("small_samples")
@pytest.mark.parametrize("kind", metric.MODELS)
def test_every_model_of_the_hessian_at_every_iteration(tmp_path, kind):
    check(metric_solver(kind), tmp_path)


@pytest.mark.usefixtures("small_samples")
def test_a_model_that_followed_steps_over_a_sample_in_vain(tmp_path, monkeypatch):
    over_sample, followed = solver._over_sample, []

    def in_vain(problem, model, made):
        start, made = over_sample(problem, model, made)
        followed.append(made.followed)
        return 1e3 * start, made

    monkeypatch.setattr(solver, "_over_sample", in_vain)
    monkeypatch.setattr(solver, "_SAMPLE_FALL", -np.inf)  # all steps are taken
    check(metric_solver("sampled"), tmp_path)
    assert followed[0] is not None


def test_dual_ascent_that_begins_in_single_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(ascent, "_LARGE", 0)
    changes, go_double = [], ascent.Ascent._go_double
    monkeypatch.setattr(ascent.Ascent, "_go_double", lambda self: changes.append(go_double(self)))
    check(solver_of(*RUNS["sdca"]), tmp_path)
    assert changes


def test_a_run_that_a_callback_stops_goes_on(tmp_path):
    make_solve = solver_of(*RUNS["newton-cg"])
    expected = make_solve()()
    stopped = make_solve()(
        checkpoint=session(tmp_path), callback=lambda theta, history: history["epoch"][-1] == 2
    )
    assert stopped.reason == STOPPED_BY_CALLER and stopped.n_iter == 2
    begun = []
    result = make_solve()(
        checkpoint=session(tmp_path), callback=lambda theta, history: begun.append(history["epoch"][-1])
    )
    assert begun[0] == 2
    assert_same(result, expected)
