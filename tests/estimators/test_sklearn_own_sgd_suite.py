"""scikit-learn's own tests of its SGDClassifier, run against ours."""

import pytest

import sklearn_own
from fastxent import SGDClassifier

pytestmark = pytest.mark.todays_peer

# The module's names for the class, on dense rows and on sparse ones; and for others, which do not concern us.
OURS = ["SGDClassifier", "SparseSGDClassifier", "_SparseSGDClassifier"]
OTHERS = ["SGDRegressor", "SparseSGDRegressor", "SGDOneClassSVM", "SparseSGDOneClassSVM"]

NOT_RUN = {
    # Tests of other losses than cross-entropy, or of attributes about them
    "test_average_binary_computed_correctly": "squared error",
    "test_late_onset_averaging_reached": "squared error",
    "test_learning_rate_PA_raises": "squared hinge, and schedules of passive-aggressive learning",
    "test_numerical_stability_large_gradient": "squared hinge",
    "test_regression_losses": "losses of regression",
    "test_sgd_clf": "hinge and others",
    "test_sgd_multiclass_average": "squared error",
    "test_sgd_predict_proba_method_access": "losses without probabilities",
    "test_sgd_proba": "losses without probabilities, and modified Huber",
    "test_underflow_or_overflow": "squared hinge",
    # Tests tuned to hinge
    "test_balanced_weight": "wants a model without class weights to miss rare classes; ours finds them",
    "test_class_weights": "wants what hinge predicts under weights; the optimum of cross-entropy predicts otherwise",
    "test_sample_weights": "wants what hinge predicts under weights; the optimum of cross-entropy predicts otherwise",
    # Tests of private parts
    "test_plain_has_no_average_attr": "names private attributes",
    "test_validation_mask_correctly_subsets": "replaces a private class",
    # Tests of documented differences
    "test_multi_thread_multi_class_and_early_stopping": (
        "wants validation accuracy to stop improving at once; our patience goes by log loss, which goes on falling"
    ),
    "test_power_t_limits": "wants a warning of negative power_t; ours is refused, as theirs will be in 1.10",
    "test_sgd_error_on_zero_validation_weight": (
        "wants held-out rows without weight blamed on random_state; ours hold out rows of positive weight only, and "
        "weights that are all zero are refused as such"
    ),
}
CASES_NOT_RUN = {
    "test_large_regularization": {
        "penalty": (
            ["l2"],
            "wants a gradient of zero at the last row, which hinge has and cross-entropy never",
        )
    }
}

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
