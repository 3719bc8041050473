"""scikit-learn's own tests of its SGDClassifier, run against ours."""

import pytest

import sklearn_own
from fastxent import SGDClassifier

# The module's names for the class, on dense rows and on sparse ones; and for others, which do not concern us.
OURS = ["SGDClassifier", "SparseSGDClassifier", "_SparseSGDClassifier"]
OTHERS = ["SGDRegressor", "SparseSGDRegressor", "SGDOneClassSVM", "SparseSGDOneClassSVM"]

NOT_RUN = {}
CASES_NOT_RUN = {}

_module = sklearn_own.suite("test_sgd", {"SGDClassifier": SGDClassifier})
globals().update(
    sklearn_own.concerning(_module, OURS, others=OTHERS, not_run=NOT_RUN, cases_not_run=CASES_NOT_RUN)
)


@pytest.fixture
def global_random_seed():
    return 42


def test_exceptions_still_exist():
    """A test that scikit-learn renames or removes must not stay listed here unnoticed."""
    assert not [name for name in [*NOT_RUN, *CASES_NOT_RUN] if not hasattr(_module, name)]
