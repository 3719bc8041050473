"""Fixtures shared by all tests."""

import pytest


@pytest.fixture(params=["reference", "functional"])
def api(request):
    """Each implementation of the functional API in turn: the plain twin and the real one."""
    import fastxent.functional
    import fastxent.reference

    return getattr(fastxent, request.param)
