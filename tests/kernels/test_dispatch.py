"""The chooser: which instruction-set level is taken, and what it says when it cannot be."""

import os
import pickle
import platform
import subprocess
import sys

import pytest

from fastxent import kernels

# Elsewhere there are no clones; and on an emulated processor, /proc/cpuinfo may be the host's.
X86_ON_LINUX = pytest.mark.skipif(
    platform.machine() != "x86_64" or sys.platform != "linux", reason="the clones are for x86-64"
)


def level_of_fresh_process(**environment):
    """Return the completed process of a fresh interpreter that prints the level it chose."""
    environment = {k: v for k, v in os.environ.items() if k != "FASTXENT_ISA"} | environment
    program = "from fastxent import kernels; print(kernels.level)"
    return subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, env=environment
    )


def test_highest_available_level_is_the_default():
    assert level_of_fresh_process().stdout.strip() == kernels.available()[-1]
    assert level_of_fresh_process(FASTXENT_ISA="").stdout.strip() == kernels.available()[-1]


@pytest.mark.parametrize("level", kernels.available())
def test_environment_forces_a_level(level):
    assert level_of_fresh_process(FASTXENT_ISA=level).stdout.strip() == level


def test_unknown_level_in_the_environment_names_the_choices():
    run = level_of_fresh_process(FASTXENT_ISA="sse9")
    assert run.returncode != 0
    assert "ImportError: kernel level 'sse9' is not the name" in run.stderr
    assert ", ".join(kernels.available()) in run.stderr
    assert "FASTXENT_ISA" in run.stderr


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"cpu_level": lambda: 3, "_built": lambda name: True},
            "instructions that this processor does not have",
        ),
        ({"_built": lambda name: name == "baseline"}, "was not built"),
    ],
)
def test_level_that_cannot_run_is_refused(monkeypatch, changed, message):
    for name, value in changed.items():
        monkeypatch.setattr(kernels._baseline if name == "cpu_level" else kernels, name, value)
    assert "v4" not in kernels.available()
    with pytest.raises(ImportError, match=message):
        kernels.load("v4")


def test_baseline_is_always_there():
    assert kernels.available()[0] == "baseline"
    assert kernels.load("baseline").__name__ == "fastxent.kernels._baseline"


@pytest.mark.parametrize("level", kernels.available())
def test_every_level_offers_the_same_names(level):
    def public(module):
        return {name for name in vars(module) if not name.startswith("_")}

    assert public(kernels.load(level)) == public(kernels.load("baseline"))
    assert public(kernels.load(level)) <= public(kernels)


def test_chosen_names_are_those_of_the_chosen_level():
    assert kernels.cpu_level is kernels.load(kernels.level).cpu_level


@X86_ON_LINUX
def test_clones_are_built_on_linux():
    """A clone that fails to build is left out without an error; this is where it shows."""
    assert kernels._built("v3")
    assert kernels._built("v4")


@X86_ON_LINUX
def test_level_agrees_with_what_linux_says_of_the_processor():
    with open("/proc/cpuinfo") as file:
        flags = next((set(line.split(":")[1].split()) for line in file if line.startswith("flags")), set())
    v3 = {"avx2", "fma", "bmi1", "bmi2"} <= flags
    v4 = v3 and {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= flags
    assert kernels.cpu_level() == (4 if v4 else 3 if v3 else 0)


@pytest.mark.parametrize("level", kernels.available())
def test_everything_of_a_level_bears_the_name_of_its_module(level):
    """All levels are one translated C file, in which a clone's name is put for the baseline's."""
    module = kernels.load(level)
    name = f"fastxent.kernels._{level}"
    assert module.__name__ == module.__spec__.name == name
    own = {key: value for key, value in vars(module).items() if hasattr(value, "__qualname__")}
    assert {"LinearSoftmax", "Targets", "cpu_level"} <= own.keys()
    assert {value.__module__ for key, value in own.items() if not key.startswith("__")} == {name}
    assert module.LinearSoftmax.loss.__module__ == name
    assert repr(module.LinearSoftmax) == f"<class '{name}.LinearSoftmax'>"
    with pytest.raises(TypeError) as error:
        module.set_caches("large", 0, 0)
    assert [frame.name for frame in error.traceback][-1] == f"{name}.set_caches"
    targets = module.Targets(None, None)
    assert type(pickle.loads(pickle.dumps(targets))) is module.Targets
