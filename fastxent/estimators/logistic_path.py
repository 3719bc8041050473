"""The regularisation path: fits for falling penalties, each starting where the last one ended.

J. Friedman, T. Hastie, R. Tibshirani, "Regularization paths for generalized linear models via coordinate descent",
Journal of Statistical Software 33, 2010.

lambda_max = the least penalty at which every penalised weight is zero              prox_newton.l1_max
theta = those without a penalty at their optimum
for lambda = lambda_max down to eps lambda_max, evenly spaced in its logarithm
    theta = optimum for lambda, started from theta
"""

from __future__ import annotations

import warnings
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .. import parallel, solvers, validation
from ..arrays import as_native, check_memory, shown
from ..solvers.coordinate import prox_newton
from .callbacks import asks_to_stop, check_callback
from .logistic_regression import LogisticRegression, one_over, seed_of, stored, strengths, with_strength

if TYPE_CHECKING:
    from typing import Any, Literal

    from ..objective import Objective
    from ..typing import Array, ArrayLike, Callback, MatrixLike, RandomState, Solver, WeightsByLabel


_NEARLY_ALL = (
    1e-3  # share of L1 by which lambda_max is divided at least, as in glmnet: pure L2 never makes zeros
)


class LogisticPath(NamedTuple):
    """What ``logistic_path`` returns: M fits, from the strongest penalty to the weakest.

    Attributes
    ----------
    Cs : ndarray of shape (M,)
        Inverse strengths as in ``LogisticRegression``, rising.
    alphas : ndarray of shape (M,)
        Strengths relative to the mean loss, 1 / (C S): glmnet's lambda. Falling.
    coefs : ndarray of shape (M, K, d), or (M, 1, d) for two classes
    intercepts : ndarray of shape (M, K) or (M, 1)
    objectives : ndarray of shape (M,)
        The penalised mean loss.
    gaps : ndarray of shape (M,)
        The estimated distance of each objective from its minimum: the duality gap or the Newton decrement.
    n_iters : ndarray of shape (M,)
    converged : bool ndarray of shape (M,)
    classes : ndarray
        The labels, as ``LogisticRegression.classes_``.
    solvers : ndarray of str of shape (M,)
        The solver of each fit, as ``LogisticRegression.solver_``.
    """

    Cs: np.ndarray
    alphas: np.ndarray
    coefs: np.ndarray
    intercepts: np.ndarray
    objectives: np.ndarray
    gaps: np.ndarray
    n_iters: np.ndarray
    converged: np.ndarray
    classes: np.ndarray
    solvers: np.ndarray


def logistic_path(
    X: MatrixLike,
    y: ArrayLike,
    *,
    Cs: ArrayLike | None = None,
    n_alphas: int = 100,
    eps: float = 1e-3,
    l1_ratio: float = 1.0,
    penalty_factor: ArrayLike | None = None,
    penalty_groups: Literal["features"] | None = None,
    fit_intercept: bool = True,
    class_weight: WeightsByLabel | None = None,
    sample_weight: ArrayLike | None = None,
    solver: Solver = "auto",
    tol: float = 1e-4,
    max_iter: int = 1000,
    random_state: RandomState = None,
    n_threads: int | None = None,
    callback: Callback | None = None,
) -> LogisticPath:
    r"""Coefficients of logistic regression for many strengths of the penalty.

    With s_i the weight of row i, S their sum, and p the softmax of X W + b (for two classes the sigmoid), every fit
    minimises, for its own alpha,

    .. math::
        \frac{1}{S} \sum_i s_i \left(-\log p_{i, y_i}\right)
        + \alpha \sum_j f_j \left(\frac{1 - \rho}{2} \|W_j\|_2^2 + \rho \|W_j\|_1\right),

    in which rho is ``l1_ratio`` and f ``penalty_factor``; alpha = 1 / (C S). The path begins at the smallest alpha at
    which all penalised weights are zero, which is known exactly, and each fit starts from the result of the one before.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n, d)
    y : array-like of shape (n,), or (n, K) with K >= 2
        Labels of any kind, or soft labels, as for :class:`LogisticRegression`.
    Cs : array-like of positive floats or None, default=None
        Inverse strengths to fit, in any order; the result has them in rising order. None: ``n_alphas`` of them, evenly
        spaced in their logarithm, from the largest useful penalty to ``eps`` times that.
    n_alphas : int, default=100
    eps : float, default=1e-3
        Smallest alpha over largest; between 0 and 1.
    l1_ratio : float, default=1.0
        Share of L1 in the penalty, from 0 (L2) to 1 (L1). Below 1e-3 the path begins as if it were that.
    penalty_factor : array-like of shape (d,) or None, default=None
        Multiplies the penalty of each feature; 0 leaves it free.
    penalty_groups : {'features'} or None, default=None
        'features': L1 is of the norms of a feature's weights in all classes, \|W_j\|_2, so that features come
        and go as a whole.
    fit_intercept, class_weight, solver, tol, max_iter, random_state, n_threads
        As in :class:`LogisticRegression`.
    sample_weight : array-like of shape (n,) or None, default=None
    callback : callable or None, default=None
        Called after every iteration of every fit with the last entries of its history, as by
        ``LogisticRegression.fit``, and with its ``alpha`` and ``C``, as a dict. If what it returns is true, that one
        fit ends there, and the next begins.

    Returns
    -------
    LogisticPath
        A named tuple (Cs, alphas, coefs, intercepts, objectives, gaps, n_iters, converged, classes, solvers).

    Raises
    ------
    ValueError, TypeError
        For input that cannot be used, as :class:`LogisticRegression`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastxent import logistic_path
    >>> X, y = load_iris(return_X_y=True)
    >>> path = logistic_path(X, y, n_alphas=4, eps=1e-2)
    >>> path.coefs.shape, path.alphas.round(4)
    ((4, 3, 4), array([0.7653, 0.1649, 0.0355, 0.0077]))
    >>> [int((coef != 0).sum()) for coef in path.coefs]
    [0, 2, 2, 4]
    """
    model = LogisticRegression(
        l1_ratio=l1_ratio,
        fit_intercept=fit_intercept,
        class_weight=class_weight,
        solver=solver,
        tol=tol,
        max_iter=max_iter,
        random_state=random_state,
        n_threads=n_threads,
        penalty_factor=penalty_factor,
        penalty_groups=penalty_groups,
    )
    model._validate_params()
    check_callback(callback)
    l1_ratio = validation.check_real(l1_ratio, "l1_ratio")
    n_threads = validation.check_n_threads(n_threads)
    rows, X, _, classes = model._check_weighted_rows(X, y, sample_weight)
    objective = model._objective(rows.X, rows.targets(len(classes)), n_threads)
    model._report_classes_without_mass(objective, classes)
    alphas = _alphas(objective, Cs, n_alphas, eps, l1_ratio)
    seed = seed_of(random_state)

    M, (d1, K) = len(alphas), objective.shape
    coefs, intercepts = np.empty((M, K, d1 - 1), X.dtype), np.empty((M, K), X.dtype)
    objectives, gaps, n_iters, converged = np.empty(M), np.empty(M), np.empty(M, np.int32), np.empty(M, bool)
    names = []
    theta = objective.initial()
    troubles = []
    for i, alpha in enumerate(alphas):
        C = one_over(alpha, objective)
        objective = with_strength(objective, float(alpha), l1_ratio)
        result = solvers.solve(
            objective,
            theta,
            solver=solver,
            tol=tol,
            max_iter=max_iter,
            callback=partial(_after_iteration, callback, alpha=float(alpha), C=float(C)),
            random_state=seed,
        )
        theta = result.theta
        validation.check_finite_result(theta, rows.X)
        found = stored(theta, objective, X.dtype)
        coefs[i], intercepts[i] = found[:-1].T, found[-1]
        objectives[i], gaps[i], n_iters[i] = result.value, result.history["gap"][-1], result.n_iter
        trouble = model._trouble(result, objective, rows, classes)
        converged[i] = result.converged and trouble is None
        names.append(result.solver)
        if trouble is not None:
            troubles.append((i, trouble))
    if troubles:
        i, text = troubles[0]
        warnings.warn(
            f"{len(troubles)} of {M} fits did not converge. The first, of alpha={alphas[i]:.3g}: {text}",
            ConvergenceWarning,
            stacklevel=2,
        )
    Cs = one_over(alphas, objective)
    return LogisticPath(
        Cs, alphas, coefs, intercepts, objectives, gaps, n_iters, converged, classes, np.array(names)
    )


def _after_iteration(callback: Callback | None, theta: Array, history: Any, **which: float) -> bool:
    return asks_to_stop(callback, history, **which)


def _alphas(objective: Objective, Cs: ArrayLike | None, n_alphas: int, eps: float, l1_ratio: float) -> Any:
    """The strengths to fit, falling."""
    if Cs is not None:
        Cs = np.atleast_1d(as_native(Cs, "Cs", np.float64))
        bad = np.flatnonzero(~((Cs > 0) & np.isfinite(Cs)))
        if Cs.ndim != 1 or Cs.size == 0 or bad.size:
            what = f"Cs[{bad[0]}] is {Cs.ravel()[bad[0]]}" if bad.size else f"got shape {Cs.shape}"
            raise ValueError(f"Cs must be a list of at least one positive, finite number; {what}.")
        return strengths(np.sort(Cs), objective)
    if not isinstance(n_alphas, Integral) or n_alphas < 1:
        raise ValueError(f"n_alphas must be an int of at least 1; got {shown(n_alphas)}.")
    check_memory(
        8 * int(n_alphas) * objective.shape[0] * objective.K, f"coefficients for n_alphas={shown(n_alphas)}"
    )
    if not 0 < validation.check_real(eps, "eps") < 1:
        raise ValueError(
            f"eps must lie between 0 and 1, the smallest alpha over the largest; got {shown(eps)}."
        )
    with parallel.one_blas_thread:
        largest = (
            (1.0 + 1e-10) * prox_newton.l1_max(objective) / max(l1_ratio, _NEARLY_ALL)
        )  # beyond rounding
    if not largest > 0:
        raise ValueError(
            "No feature tells the classes apart, or none is penalised: every penalty gives the same fit. Give Cs."
        )
    return largest * np.geomspace(1.0, eps, n_alphas) if n_alphas > 1 else np.array([largest])
