"""Linear softmax models by cross-entropy: the fastest and most accurate way to fit and use them on CPUs."""

import importlib

__version__ = "0.1.0"

# Public names and the module each one lives in. A name loads its module at first use, so that
# `import fastxent` brings neither scikit-learn nor Numba with it.
_HOME = {
    "logsumexp": "functional",
    "softmax": "functional",
    "log_softmax": "functional",
    "sigmoid": "functional",
    "cross_entropy": "functional",
    "cross_entropy_and_grad": "functional",
    "linear_cross_entropy": "functional",
    "linear_cross_entropy_and_grad": "functional",
    "linear_cross_entropy_hessp": "functional",
    "LogisticRegression": "estimators.logistic_regression",
    "LogisticRegressionCV": "estimators.logistic_regression_cv",
    "SGDClassifier": "estimators.sgd_classifier",
    "logistic_path": "estimators.logistic_path",
    "LossCurveDisplay": "display",
    "load": "files",
    "set_num_threads": "threads",
    "get_num_threads": "threads",
}
_MODULES = ("functional", "reference", "sources")  # that are public themselves

__all__ = ["__version__", *_HOME]


def __getattr__(name):
    if name in _HOME or name in _MODULES:
        from .forks import importing

        with importing:
            value = importlib.import_module(f"{__name__}.{_HOME.get(name, name)}")
        if name in _HOME:
            value = getattr(value, name)
        globals()[name] = value
        return value
    # Without the module as obj, Python adds no hint of its own.
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{_hint(name)}", name=name)


def _hint(name):
    import difflib  # only for names that are wrong

    public = {known.lower(): known for known in (*_HOME, *_MODULES)}
    nearest = [] if name.startswith("_") else difflib.get_close_matches(name.lower(), public, n=1)
    return "".join(f". Did you mean: {public[known]!r}?" for known in nearest)


def __dir__():
    return sorted(set(globals()) | set(_HOME) | set(_MODULES))
