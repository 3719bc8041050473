"""How a call is judged: it may return what plain NumPy says, or refuse what is wrong, and nothing else."""

import inspect
import re
import warnings

import numpy as np
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning

import fastxent
from fuzz.arguments import UNKNOWN
from fuzz.plain import INVALID


class Wrong(AssertionError):
    """What must not happen: a right call refused, a wrong one accepted, another result, an error from the inside."""


# Words by which a message tells what is to blame: arguments, attributes, and what they hold.
_ARGUMENTS = {
    argument
    for entry in (
        *(
            getattr(fastxent, name)
            for name in fastxent.__all__
            if callable(getattr(fastxent, name)) and name != "load"  # a path is none of their words
        ),
        fastxent.SGDClassifier.partial_fit,
        fastxent.LossCurveDisplay.from_estimator,
    )
    for argument in inspect.signature(entry).parameters
}
_WORDS = {"X", "y", "classes", "eval_set", "coef_", "intercept_", "classes_", "n_features_in_", "feature_names_in_",
          "history_", "feature", "features", "class", "labels", "weights"}  # fmt: skip
_NAMES = re.compile(r"(?<!\w)(" + "|".join(sorted(_ARGUMENTS | _WORDS)) + r")(?!\w)")


def run(call, right):
    """Call; the result, or None where the arguments were refused. right: True, False or UNKNOWN."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", DataConversionWarning)
        warnings.filterwarnings("ignore", category=FutureWarning, module="sklearn|fastxent|fuzz")
        warnings.filterwarnings("ignore", "X (has|does not have) (feature names|valid feature names)")
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%")
        warnings.filterwarnings("ignore", "The least populated class in y has only")
        try:
            result = call()
        except (ValueError, TypeError) as error:
            message = str(error)
            if right is True:
                raise Wrong(f"a right call was refused: {type(error).__name__}: {message}") from error
            if not _NAMES.search(message):
                raise Wrong(f"the error names no argument: {type(error).__name__}: {message}") from error
            return None
        except Exception as error:
            raise Wrong(f"an error from the inside: {type(error).__name__}: {error}") from error
    if right is False:
        raise Wrong(f"a wrong call was accepted, with the result {result!r}")
    return result


def agree(what, found, wanted, rtol, atol=0.0):
    found, wanted = np.asarray(found, float), np.asarray(wanted, float)
    if found.shape != wanted.shape:
        raise Wrong(f"{what} has shape {found.shape}, not {wanted.shape}")
    if not np.allclose(found, wanted, rtol=rtol, atol=atol, equal_nan=True):
        worst = np.nanmax(np.abs(found - wanted)) if found.size else 0.0
        raise Wrong(f"{what} differs from plain NumPy by {worst:.3g}: {found!r} and {wanted!r}")


def right_if(*meanings):
    """Whether a call with such arguments is right."""
    if any(meaning is INVALID for meaning in meanings):
        return False
    return UNKNOWN if any(meaning is UNKNOWN for meaning in meanings) else True


def finite(dense):
    """INVALID if a table has NaN or infinity, or nothing at all in it."""
    if dense is INVALID or dense.size == 0 or not np.isfinite(dense).all():
        return INVALID
    return dense


def tolerance(*values):
    return 2e-4 if any(getattr(value, "dtype", None) in (np.float32, ">f4") for value in values) else 1e-9


def faulty(usual, wrong, fault, name):
    """The argument's right recipes, or the wrong ones if it is the one at fault."""
    return wrong if fault == name else usual


def sizes(draw, most=7):
    return draw(st.integers(1, most)), draw(st.integers(1, 5)), draw(st.integers(2, 4))


seeds = st.integers(0, 2**32 - 1)
n_threads = st.sampled_from([None, 1, 2, 3, -1])
