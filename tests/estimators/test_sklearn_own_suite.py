"""scikit-learn's own tests of its LogisticRegression and LogisticRegressionCV, run against ours.

Tests about the path function alone do not concern us.
"""

import pytest

import sklearn_own
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
    "test_logistic_regression_array_api_compliance": "wants other libraries' arrays back; ours gives NumPy's",
    "test_logistic_regression_array_api_warm_start": "skips itself where those libraries are missing",
    "test_logisticregressioncv_warns_with_use_legacy_attributes": (
        "wants a warning that the default will become False; ours is that already"
    ),
    "test_l1_ratio_None_deprecated": "wants a warning that the default of l1_ratios will change; ours has changed",
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


_module = sklearn_own.suite("test_logistic", OURS)
pytestmark = _module.pytestmark

globals().update(sklearn_own.concerning(_module, OURS, not_run=NOT_RUN, cases_not_run=CASES_NOT_RUN))


@pytest.fixture
def global_random_seed():
    return 42


@pytest.mark.todays_peer
def test_exceptions_still_exist():
    """A test that scikit-learn renames or removes must not stay listed here unnoticed."""
    assert not [name for name in [*NOT_RUN, *CASES_NOT_RUN] if not hasattr(_module, name)]


def test_max_iter_of_newton_cholesky():
    """The one case of it that does not skip itself."""
    _module.test_max_iter(42, 1, "newton-cholesky", "Newton solver did not converge after [0-9]* iterations")
