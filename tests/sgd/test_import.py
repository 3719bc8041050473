"""Without Numba, or with a broken one, what needs it says so; the rest works."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise {error}

sys.meta_path.insert(0, Missing())
from fastxent import LogisticRegression, SGDClassifier
X, y = [[0.0], [1.0], [2.0]], [0, 1, 1]
assert LogisticRegression().fit(X, y).solver_ == "metric"
for model in (SGDClassifier(), LogisticRegression(solver="sgd"), SGDClassifier()):
    try:
        model.fit(X, y)
    except ImportError as error:
        assert not [name for name in vars(model) if name.endswith("_")]
        print(error, "|", repr(error.__cause__))
"""


def said(module, error):
    """The line that each of three fits without Numba ends with."""
    program = PROGRAM.format(module=module, error=error)
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert len(set(lines)) == 1
    return lines[0]


def test_missing():
    line = said("numba", "ModuleNotFoundError('No module named numba', name=name)")
    assert line.startswith(
        "SGDClassifier, and solver='sgd' of LogisticRegression, run loops that Numba compiles, but it is not "
        "installed. To install it: pip install numba. The other solvers do without."
    )


@pytest.mark.parametrize(
    ("module", "error"),
    [
        ("numba", "ImportError('Numba needs NumPy 2.0 or less')"),
        ("llvmlite", "OSError('Could not find libllvmlite.so')"),
    ],
)
def test_broken(module, error):
    line = said(module, error)
    assert f"it cannot be imported ({error.partition('(')[0]}: " in line
    assert "pip install numba --upgrade" in line
    assert line.endswith(f"| {error}")
