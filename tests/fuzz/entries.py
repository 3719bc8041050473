"""All entry points under attack: the strategy of each one's examples, what runs one, and its share of examples."""

from fuzz import display, files, functions, models

ENTRIES = {
    "rows": (functions.of_rows, functions.run_rows, 3),
    "logits": (functions.of_logits, functions.run_logits, 3),
    "linear": (functions.of_linear, functions.run_linear, 6),
    "logistic_regression": (models.of_logistic_regression, models.run_fit, 6),
    "logistic_regression_cv": (models.of_logistic_regression_cv, models.run_fit, 2),
    "logistic_path": (models.of_path, models.run_path, 2),
    "sgd_classifier": (models.of_sgd_classifier, models.run_fit, 5),
    "partial_fit": (models.of_partial_fit, models.run_partial_fit, 4),
    "predict": (models.of_predict, models.run_predict, 5),
    "edited_model": (models.of_edited, models.run_edited, 4),
    "display": (display.of_display, display.run_display, 2),
    "files": (files.of_files, files.run_files, 3),
}
