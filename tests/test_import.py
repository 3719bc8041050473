"""``import fastxent`` is light, and the public names load at first use."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import fastxent

HEAVY = (
    "sklearn",
    "numba",
    "llvmlite",
    "dask",
    "distributed",
    "pandas",
    "polars",
    "pyarrow",
    "matplotlib",
    "joblib",
)


def modules_after(statement):
    """Return the top-level modules that a fresh interpreter holds after ``statement``."""
    program = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import fastxent",
        "import fastxent.kernels",
        "import fastxent.functional",
        "import fastxent; fastxent.sources",
    ],
)
def test_import_loads_nothing_heavy(statement):
    loaded = modules_after(statement)
    assert "fastxent" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_estimators_bring_scikit_learn_but_not_numba():
    loaded = modules_after("from fastxent import LogisticRegression")
    assert "sklearn" in loaded
    assert "numba" not in loaded


@pytest.mark.parametrize("name", fastxent.__all__)
def test_every_public_name_loads_and_is_listed(name):
    assert getattr(fastxent, name) is not None
    assert name in dir(fastxent)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'softmaxx'"):
        _ = fastxent.softmaxx


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("softmaxx", "softmax"),
        ("logisticregression", "LogisticRegression"),
        ("funtional", "functional"),
        ("set_n_threads", "set_num_threads"),
    ],
)
def test_misspelt_name_is_told_the_nearest(wrong, right):
    with pytest.raises(AttributeError, match=rf"no attribute {wrong!r}\. Did you mean: {right!r}\?$"):
        getattr(fastxent, wrong)


def test_names_like_none_get_no_hint():
    for name in ("zzz", "__wrapped__"):
        with pytest.raises(AttributeError, match=f"no attribute {name!r}$"):
            getattr(fastxent, name)


def test_hint_is_printed_once():
    program = "import fastxent; fastxent.sofmax"
    run = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert run.stderr.count("Did you mean") == 1


@pytest.mark.parametrize("name", ["functional", "reference"])
def test_public_modules_load_with_the_package(name):
    program = f"import fastxent; print(fastxent.{name}.softmax([[0.0, 0.0]]))"
    run = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert run.stdout == "[[0.5 0.5]]\n", run.stderr
    assert name in dir(fastxent)


def test_installed_version_is_the_literal():
    assert version("fastxent") == fastxent.__version__
