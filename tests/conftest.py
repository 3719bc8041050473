"""Fixtures shared by all tests."""

import pytest

from fastxent import kernels


@pytest.fixture(params=["reference", "functional"])
def api(request):
    """Each implementation of the functional API in turn: the plain twin and the real one."""
    import fastxent.functional
    import fastxent.reference

    return getattr(fastxent, request.param)


@pytest.fixture(params=kernels.available())
def level(request, monkeypatch):
    """Each instruction-set level in turn, under the whole package as if it had been chosen at import."""
    module = kernels.load(request.param)
    for name, value in vars(module).items():
        if not name.startswith("_"):
            monkeypatch.setattr(kernels, name, value)
    return request.param
