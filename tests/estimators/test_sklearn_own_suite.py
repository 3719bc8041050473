"""scikit-learn's own tests of its LogisticRegression and LogisticRegressionCV, run against ours.

The installed test module is executed once more with those names bound to our classes. Every test that names
one of them is run, with the few exceptions listed here; tests about the path function alone do not concern us.
"""

import importlib.util
import types

import pytest
import sklearn.linear_model

from fastxent import LogisticRegression, LogisticRegressionCV

OURS = {"LogisticRegression": LogisticRegression, "LogisticRegressionCV": LogisticRegressionCV}

NOT_RUN = {
    "test_get_default_scorer": "a documented difference: the default score is log loss, as theirs will be in 1.11",
    "test_liblinear_dual_random_state": "wants results that depend on random_state; ours never do under that name",
    "test_liblinear_with_large_values": "wants features above 1e30 refused; ours solve up to 1e100",
    "test_newton_cholesky_fallback_to_lbfgs": (
        "wants a singular Hessian handed over to lbfgs, by its count of iterations; ours is never factorised"
    ),
    "test_logistic_cv_multinomial_score": (
        "passes our get_params() on to a private function of theirs; see test_scores_are_those_of_single_fits"
    ),
    "test_logistic_regression_callback_support_warning": "wants callbacks for one solver; all ours have them",
    "test_logistic_regression_array_api_compliance": "about arrays other than NumPy's; not supported",
    "test_logistic_regression_array_api_warm_start": "about arrays other than NumPy's; not supported",
    "test_lr_scoring_warns": "wants a warning that the default score will become log loss; ours is that already",
}

CASES_NOT_RUN = {
    "test_dtype_match": {
        "solver": (["liblinear"], "wants float64 coefficients from float32 data; ours keep float32")
    },
    "test_large_sparse_matrix": {
        "solver": (
            ["liblinear", "sag", "saga"],
            "wants 64-bit sparse indices refused; ours accept them everywhere",
        )
    },
    "test_max_iter": {
        "solver": (["newton-cholesky"], "skips itself but for one iteration, which is run below")
    },
    "test_logistic_regression_callback_support": {
        "max_iter": ([0], "wants one iteration done and reported when none is allowed")
    },
}


def _suite():
    """The installed module, in which the classes are ours."""
    spec = importlib.util.find_spec("sklearn.linear_model.tests.test_logistic")
    module = importlib.util.module_from_spec(spec)
    theirs = {name: getattr(sklearn.linear_model, name) for name in OURS}
    vars(sklearn.linear_model).update(OURS)
    try:
        spec.loader.exec_module(module)
    finally:
        vars(sklearn.linear_model).update(theirs)
    assert all(getattr(module, name) is ours for name, ours in OURS.items())
    return module


def _names(code):
    """The global names that a function uses, in inner functions too."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*inner)


def _tests(module):
    """The tests that concern us, with the cases we run."""
    for name, test in vars(module).items():
        if not name.startswith("test_") or name in NOT_RUN:
            continue
        left_out = dict(CASES_NOT_RUN.get(name, {}))
        marks = [_kept(mark, left_out) for mark in getattr(test, "pytestmark", ())]
        assert not left_out, f"{name} has no argument {list(left_out)}"
        if OURS.keys() & _names(test.__code__) or any(map(_has_our_class, marks)):
            test = types.FunctionType(
                test.__code__, test.__globals__, name, test.__defaults__, test.__closure__
            )
            # Before all others, so that a test's own mark can make errors of warnings again.
            test.pytestmark = [pytest.mark.filterwarnings("ignore").mark, *marks]
            yield name, test


def _kept(mark, left_out):
    """A mark; if it is a parametrization, one of lists, and without the values left out."""
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
    return getattr(pytest.mark, mark.name)(mark.args[0], cases, **mark.kwargs).mark


def _has_our_class(mark):
    if mark.name != "parametrize":
        return False
    values = [
        value for case in mark.args[1] for value in (case if isinstance(case, (tuple, list)) else [case])
    ]
    return any(value is ours for value in values for ours in OURS.values())


_module = _suite()
pytestmark = _module.pytestmark

globals().update(_tests(_module))


@pytest.fixture
def global_random_seed():
    return 42


def test_exceptions_still_exist():
    """A test that scikit-learn renames or removes must not stay listed here unnoticed."""
    assert not [name for name in [*NOT_RUN, *CASES_NOT_RUN] if not hasattr(_module, name)]


def test_max_iter_of_newton_cholesky():
    """The one case of it that does not skip itself."""
    _module.test_max_iter(42, 1, "newton-cholesky", "Newton solver did not converge after [0-9]* iterations")
