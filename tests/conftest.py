"""Fixtures shared by all tests; and which tests `make test-parallel` runs in one thread only."""

import inspect
import types

import pytest

from fastxent import kernels


@pytest.fixture(params=["reference", "functional"])
def api(request):
    """Each implementation of the functional API in turn: the plain twin and the real one."""
    import fastxent.functional
    import fastxent.reference

    return getattr(fastxent, request.param)


@pytest.fixture(params=kernels.available())
def level(request):
    """Each instruction-set level in turn, under the whole package as if it had been chosen at import."""
    module = kernels.load(request.param)
    with pytest.MonkeyPatch.context() as patch:  # the fixture `monkeypatch` keeps a test to one thread
        for name, value in vars(module).items():
            if not name.startswith("_"):
                patch.setattr(kernels, name, value)
        yield request.param


# pytest-run-parallel runs each test in several threads at once. It knows itself that `monkeypatch`, `capsys`,
# warnings and `gc.collect` belong to the whole process, but not these names of fixtures, modules and functions.
OF_THE_PROCESS = {
    "active_count": "counts the threads of the process",
    "caplog": "reads a log to which all threads write",
    "current_thread": "waits for a thread of the pool, of which calls in other threads may leave it none",
    "fork": "forks the process",
    "interrupt_main": "interrupts the main thread",
    "mpmath": "sets the precision of mpmath for the process",
    "multiprocessing": "tests another process than this one",
    "set_num_threads": "sets the number of threads of the process",
    "signal": "handles signals, which only the main thread can",
    "strikes": "interrupts code of which other threads would see half",
    "subprocess": "tests another process than this one",
    "three": "sets the number of threads of BLAS",  # a fixture of test_blas.py
    "tracemalloc": "measures the memory of the process",
}


def pytest_collection_modifyitems(items):
    for item in items:
        if isinstance(item, pytest.Function):
            for reason in why_one_thread(item):
                item.add_marker(pytest.mark.thread_unsafe(reason=reason))


def why_one_thread(item):
    """The reasons why a test cannot run in several threads at once, if there are any."""
    names = names_in(item.function.__code__, item.module) | set(item.fixturenames)
    yield from (OF_THE_PROCESS[name] for name in sorted(OF_THE_PROCESS.keys() & names))
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    if any(hasattr(value, "fit") and not isinstance(value, type) for value in parameters):
        yield "has a model among its parameters, which all threads would fit"


def names_in(code, module):
    """The global names and attributes that a function uses, itself or in functions of its module that it calls."""
    seen, left = set(), [code]
    while left:
        code = left.pop()
        new = set(code.co_names) - seen
        seen |= new
        left += [part for part in code.co_consts if isinstance(part, types.CodeType)]
        # Unwrapped, because a function that keeps its results is no FunctionType.
        called = (inspect.unwrap(vars(module).get(name)) for name in new)
        left += [function.__code__ for function in called if isinstance(function, types.FunctionType)]
    return seen
