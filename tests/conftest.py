"""Fixtures shared by all tests."""

import sys
from pathlib import Path

import pytest

# Tests import their oracle by name, whatever pytest's import mode.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=["reference", "functional"])
def api(request):
    """Each implementation of the functional API in turn: the plain twin and the real one."""
    import fastxent.functional
    import fastxent.reference

    return getattr(fastxent, request.param)
