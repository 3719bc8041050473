"""scikit-learn's own tests of an estimator, run against ours of the same name.

The installed test module is executed once more with the names bound to our classes. Every test that concerns them is
run, in the cases that concern them, with the few exceptions that a test module here lists with their reasons.
"""

import importlib.util
import sys
import types

import pytest
import sklearn.linear_model


def suite(name, ours):
    """The installed module of that name, in which the classes in `ours`, by name, are ours."""
    origin = importlib.util.find_spec(f"sklearn.linear_model.tests.{name}").origin
    # A name of its own: theirs may be imported as well, and pickles look classes up by module.
    spec = importlib.util.spec_from_file_location(f"own_{name}", origin)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    theirs = {name: getattr(sklearn.linear_model, name) for name in ours}
    vars(sklearn.linear_model).update(ours)
    try:
        spec.loader.exec_module(module)
    finally:
        vars(sklearn.linear_model).update(theirs)
    if hasattr(module, "linear_model"):  # what tests look up in it when they run must be ours, too
        module.linear_model = types.SimpleNamespace(**vars(sklearn.linear_model) | ours)
    return module


def concerning(module, ours, *, others=(), not_run=(), cases_not_run=None):
    """The tests, by name, that concern us, with the cases we run.

    ours, others: names of what stands for our classes, and for those of others, in that module. not_run: names of
    tests. cases_not_run: by test and argument, a pair of values left out and the reason.
    """
    foreign = [getattr(module, name) for name in others]
    known = [getattr(module, name) for name in ours if hasattr(module, name)]
    for name, test in vars(module).items():
        if not name.startswith("test_") or name in not_run:
            continue
        left_out = dict((cases_not_run or {}).get(name, {}))
        marks = [_kept(mark, left_out, foreign) for mark in getattr(test, "pytestmark", ())]
        assert not left_out, f"{name} has no argument {list(left_out)}"
        values = [value for mark in marks for value in _values(mark)]
        if set(ours) & _names(test.__code__) or any(value is one for value in values for one in known):
            test = types.FunctionType(
                test.__code__, test.__globals__, name, test.__defaults__, test.__closure__
            )
            # Before all others, so that a test's own mark can make errors of warnings again.
            test.pytestmark = [pytest.mark.filterwarnings("ignore").mark, *marks]
            yield name, test


def _names(code):
    """The global names and attributes that a function uses, in inner functions too."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*inner)


def _kept(mark, left_out, foreign):
    """A mark; if it is a parametrization, one of lists, and without the values left out and others' classes."""
    if mark.name != "parametrize":
        return mark
    names, cases = mark.args[0], list(mark.args[1])
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    for name in set(names) & set(left_out):
        values, _ = left_out.pop(name)
        position = names.index(name)
        found = [case[position] if len(names) > 1 else case for case in cases]
        assert set(values) <= set(found), f"{values} are no longer cases of {name}"
        cases = [case for case, value in zip(cases, found, strict=True) if value not in values]
    cases = [case for case in cases if not any(value is one for value in _listed(case) for one in foreign)]
    return getattr(pytest.mark, mark.name)(mark.args[0], cases, **mark.kwargs).mark


def _values(mark):
    """Everything that stands in the cases of a parametrization."""
    return [value for case in mark.args[1] for value in _listed(case)] if mark.name == "parametrize" else []


def _listed(case):
    return case if isinstance(case, (tuple, list)) else [case]
