"""scikit-learn's rules about ``penalty``, ``l1_ratio`` and ``solver``: valid combinations and deprecations."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from ..log import warn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .logistic_regression_cv import LogisticRegressionCV


# Stack levels from a warning here, through _fit, fit and scikit-learn's wrapper, to the line that called fit.
CALLER = 5


def penalty(model: Any) -> tuple[float, float]:
    """Return C and the share of L1 for the arguments of a LogisticRegression.

    Warns where scikit-learn warns, and refuses what its solver of that name cannot do; 'auto' can do
    everything.
    """
    C, l1_ratio, notes = checked_penalty(model)
    for category, text in notes:
        warn(text, category, stacklevel=CALLER)
    return C, l1_ratio


def checked_penalty(model: Any) -> tuple[float, float, list[Any]]:
    """Return the same, and what `penalty` warns of."""
    C, l1_ratio = float(model.C), model.l1_ratio
    notes: list[Any] = []
    if model.penalty == "deprecated":
        if l1_ratio is None:
            notes.append(
                (FutureWarning, "'l1_ratio=None' was deprecated in scikit-learn 1.8; use l1_ratio=0.")
            )
            l1_ratio = 0.0
        kind = None if np.isposinf(C) else {0.0: "l2", 1.0: "l1"}.get(l1_ratio, "elasticnet")
    else:
        kind = model.penalty
        notes.extend(_about_penalty(kind, C, l1_ratio))
        C = np.inf if kind is None else C
        l1_ratio = l1_ratio if kind == "elasticnet" else float(kind == "l1")
    if model.n_jobs is not None:
        notes.append((FutureWarning, f"'n_jobs' has no effect (got {model.n_jobs}). Use n_threads."))
    _check_solver(model.solver, kind, model.dual)
    return C, l1_ratio, notes


def penalties(model: LogisticRegressionCV) -> tuple[Any, list[float]]:
    """Return ``l1_ratios`` or None, and the shares of L1 to fit, for the arguments of a LogisticRegressionCV.

    The two differ under a deprecated ``penalty``, which decides alone: each of ``l1_ratios`` is then fitted as
    that penalty. Warns where scikit-learn warns, except at the defaults, and refuses what its solver of that name
    cannot do.
    """
    ratios = model.l1_ratios
    notes = []
    if isinstance(ratios, str):  # "auto", and scikit-learn's "warn"
        ratios = None
    elif ratios is None and model.penalty == "deprecated":
        notes.append("'l1_ratios=None' was deprecated in scikit-learn 1.8; use l1_ratios=(0,).")
    if ratios is not None:
        ratios = list(ratios)
    if (
        ratios == []
        or not all(map(_is_share, ratios or ()))
        or (model.penalty, ratios) == ("elasticnet", None)
    ):
        raise ValueError(
            "l1_ratios must be an array-like of numbers between 0 and 1, at least one; got "
            f"{model.l1_ratios!r}. (0,) is L2, (1,) is L1."
        )
    kind = model.penalty
    if kind == "deprecated":
        kind = {(): "l2", (0,): "l2", (1,): "l1"}.get(tuple(set(ratios or ())), "elasticnet")
    else:
        notes.append(
            "'penalty' was deprecated in scikit-learn 1.8. Use l1_ratios=(0,) for 'l2', l1_ratios=(1,) for "
            "'l1', and l1_ratios between them for 'elasticnet'."
        )
    _check_solver(model.solver, kind, model.dual)
    for text in notes:
        warnings.warn(text, FutureWarning, stacklevel=CALLER)
    shares = [0.0] if ratios is None else [float(ratio) for ratio in ratios]
    if model.penalty in ("l1", "l2"):
        if ratios is not None:
            text = f"l1_ratios parameter is only used when penalty is 'elasticnet'. Got (penalty={kind})"
            warnings.warn(text, UserWarning, stacklevel=CALLER)
        shares = [float(kind == "l1")] * len(shares)
    elif isinstance(model.l1_ratios, str) and not has_legacy_attributes(model):
        ratios = shares
    return ratios, shares


def _is_share(ratio: float) -> bool:
    return isinstance(ratio, Real) and 0 <= ratio <= 1


def has_legacy_attributes(model: LogisticRegressionCV) -> bool:
    """Whether a LogisticRegressionCV gives its attributes the shapes they had before scikit-learn 1.10."""
    return model.use_legacy_attributes != "warn" and bool(model.use_legacy_attributes)


def _about_penalty(kind: Any, C: float, l1_ratio: float) -> Iterator[Any]:
    """Return the warning for a deprecated argument."""
    if kind == "elasticnet" and l1_ratio is None:
        raise ValueError("l1_ratio must be specified when penalty is elasticnet; give a number from 0 to 1.")
    yield (
        FutureWarning,
        "'penalty' was deprecated in scikit-learn 1.8. Use l1_ratio=0 for 'l2', l1_ratio=1 for 'l1', an "
        "l1_ratio between them for 'elasticnet', and C=np.inf for None.",
    )
    if kind != "elasticnet" and l1_ratio is not None and 0 < l1_ratio < 1:
        yield (
            UserWarning,
            f"l1_ratio parameter is only used when penalty is 'elasticnet'. Got (penalty={kind})",
        )
    if (kind == "l2" and l1_ratio != 0) or (kind == "l1" and l1_ratio != 1):
        yield (
            UserWarning,
            f"Inconsistent values: penalty={kind} with l1_ratio={l1_ratio}. Give l1_ratio only.",
        )
    if kind is None and C != 1.0:
        yield UserWarning, "Setting penalty=None will ignore the C and l1_ratio parameters"


def _check_solver(solver: str, kind: str | None, dual: bool) -> None:
    advice = "Use solver='auto'."
    if solver not in ("auto", "prox_newton", "sgd", "saga", "liblinear") and kind not in ("l2", None):
        raise ValueError(
            f"Solver {solver} supports only 'l2' or None penalties, got {kind} penalty. {advice}"
        )
    if solver != "liblinear" and dual:
        raise ValueError(
            f"Solver {solver} supports only dual=False, got dual={dual}. It has no effect here: leave it out."
        )
    if solver == "liblinear" and kind == "elasticnet":
        raise ValueError(f"Only 'saga' solver supports elasticnet penalty, got solver={solver}. {advice}")
    if solver == "liblinear" and kind is None:
        raise ValueError(
            f"C=np.inf as well as penalty=None is not supported for the liblinear solver. {advice}"
        )


def check_n_classes(solver: str, n_classes: int) -> None:
    """Refuse more than two classes where scikit-learn's solver of that name does."""
    if solver == "liblinear" and n_classes > 2:
        raise ValueError(
            "Only binary classification is supported. The 'liblinear' solver does not support multiclass "
            "classification (n_classes >= 3). Use solver='auto', or wrap the estimator in a "
            "OneVsRestClassifier."
        )
