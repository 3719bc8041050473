"""The package is typed: what `make lint` checks by tools is here only as far as an installed package can lose it."""

import ast
import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import fastxent
import fastxent.typing
from fastxent import functional, kernels, reference, sources
from fastxent.predictor import Predictor

PACKAGE = Path(fastxent.__file__).parent
FUNCTIONS = [
    *(getattr(module, name) for module in (functional, reference) for name in functional.__all__),
    fastxent.load,
    fastxent.logistic_path,
    fastxent.set_num_threads,
    fastxent.get_num_threads,
]
CLASSES = [
    fastxent.LogisticRegression,
    fastxent.LogisticRegressionCV,
    fastxent.SGDClassifier,
    fastxent.LossCurveDisplay,
    fastxent.Checkpoint,
    Predictor,
    *(getattr(sources, name) for name in sources.__all__),
]


def methods(kind):
    """Yield the public methods that are ours, and __init__."""
    for name, method in inspect.getmembers(kind, inspect.isroutine):
        if name == "__init__" or not name.startswith("_"):
            method = inspect.unwrap(method)
            if getattr(method, "__module__", "").startswith("fastxent"):
                yield method


@pytest.mark.parametrize(
    "path", ["py.typed", "__init__.pyi", "kernels/_baseline.pyi", "kernels/_v3.pyi", "kernels/_v4.pyi"]
)
def test_the_package_has_its_types(path):
    assert (PACKAGE / path).is_file()


@pytest.mark.parametrize(
    "function",
    [*FUNCTIONS, *(method for kind in CLASSES for method in methods(kind))],
    ids=lambda function: f"{function.__module__}.{function.__qualname__}",
)
def test_public_signatures_are_annotated(function):
    signature = inspect.signature(function)
    parameters = [one for one in signature.parameters.values() if one.name not in ("self", "cls")]
    assert [one.name for one in parameters if one.annotation is one.empty] == []
    assert signature.return_annotation is not signature.empty


@pytest.mark.parametrize("function", [getattr(functional, name) for name in functional.__all__])
def test_annotations_name_what_there_is(function):
    names = vars(typing) | vars(fastxent.typing)
    assert "return" in typing.get_type_hints(function, {**names, **vars(functional)})


@pytest.mark.parametrize(
    ("kind", "parameter", "named"),
    [
        (fastxent.LogisticRegression, "solver", fastxent.typing.Solver),
        (fastxent.SGDClassifier, "optimizer", fastxent.typing.Optimizer),
        (fastxent.SGDClassifier, "learning_rate", fastxent.typing.LearningRate),
    ],
)
def test_the_options_that_types_name_are_those_that_are_accepted(kind, parameter, named):
    (accepted,) = kind._parameter_constraints[parameter]
    assert set(typing.get_args(named)) == set(accepted.options)


def test_the_stub_of_the_kernels_has_their_names():
    tree = ast.parse((PACKAGE / "kernels" / "_baseline.pyi").read_text(encoding="utf-8"))
    stubbed = {
        getattr(node, "name", None) or node.target.id
        for node in tree.body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AnnAssign))
    }
    there = {name for name in vars(kernels.load("baseline")) if not name.startswith("_")}
    assert {name for name in stubbed if not name.startswith("_")} == there


def test_types_are_not_loaded_to_run():
    program = "import fastxent; fastxent.SGDClassifier; import sys; print('fastxent.typing' in sys.modules)"
    run = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
