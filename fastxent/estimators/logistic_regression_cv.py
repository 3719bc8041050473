"""Logistic regression that chooses C, and the share of L1, by cross-validation.

    for each fold, for each l1_ratio                        in its own thread while problems are small,
        theta = 0                                           one after the other once each fills the threads
        for each C from small to large
            theta = optimum on the training rows, started from theta
            score it on the rows held out

The objective of a fold is built once, and only its penalty changes along the path. Log loss is measured by the
same kernels that fit; every other score is computed in the caller's thread, fold after fold, because it may be
a user's own function.
"""

from __future__ import annotations

import inspect
import warnings
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer, get_scorer_names, make_scorer
from sklearn.metrics._scorer import _BaseScorer
from sklearn.model_selection import PredefinedSplit, check_cv
from sklearn.utils import metadata_routing
from sklearn.utils._param_validation import Hidden, Interval, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import _check_method_params, check_is_fitted

from .. import parallel, solvers, validation
from ..arrays import as_native, check_memory, shown
from ..data.ranges import MIN_RANGE, cost
from ..data.scaled import floats_of, is_moderate
from ..data.targets import Targets
from ..log import tell
from ..solvers.result import STOPPED_BY_CALLER
from . import compatibility, diagnosis
from .base import LinearClassifier, checked_parameters, for_kernels, restored_on_failure
from .callbacks import asks_to_stop, check_callback
from .inputs import has_columns
from .logistic_regression import LogisticRegression, penalised, seed_of, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Literal, Self

    from ..objective import Objective
    from ..solvers.result import History, Result
    from ..typing import (
        Array,
        ArrayLike,
        Callback,
        Floats,
        MatrixLike,
        RandomState,
        Solver,
        Table,
        WeightsByLabel,
    )
    from .weighting import WeightedRows


LOG_LOSS = "neg_log_loss"

# Cost of an evaluation (see data.ranges), some milliseconds; a more expensive one is itself divided among the threads.
_LARGE = 8 * MIN_RANGE


class LogisticRegressionCV(LogisticRegression):
    r"""Logistic regression whose C and ``l1_ratio`` are those that score best in cross-validation.

    A drop-in replacement for ``sklearn.linear_model.LogisticRegressionCV``: the same arguments and attributes,
    and the objective of :class:`LogisticRegression`. Its defaults are those that scikit-learn has announced for its
    next versions, so they cause no warnings. Two of them differ from what scikit-learn 1.9 does: models are scored by
    their log loss (``scoring="accuracy"`` counts right labels instead, which is the same for many values of C), and
    ``use_legacy_attributes`` is False, so that ``C_`` is a float and ``scores_`` an array.

    Parameters
    ----------
    Cs : int or array-like of floats, default=10
        Inverse strengths of the penalty to try, positive; ``np.inf`` is no penalty. An int is that many from
        1e-4 to 1e4, evenly spaced in their logarithm.
    l1_ratios : array-like of floats, 'auto' or None, default='auto'
        Shares of L1 in the penalty to try, from 0 (L2) to 1 (L1). 'auto' is 0 alone. None, which is deprecated as in
        scikit-learn, is the same. Neither has a dimension in legacy attributes.
    fit_intercept : bool, default=True
        Whether there is an intercept; otherwise it is zero.
    cv : int, splitter, iterable of pairs (train, test), or None
        How to divide the rows. An int is that many stratified folds, None is 5. Soft labels are stratified by
        their largest entry.
    dual : bool, default=False
        Without effect, as in :class:`LogisticRegression`.
    penalty : {'l1', 'l2', 'elasticnet'}
        Deprecated, as in scikit-learn: use ``l1_ratios``.
    scoring : str, callable or None, default='neg_log_loss'
        A name from ``sklearn.metrics.get_scorer_names()``, or a callable ``scorer(estimator, X, y)``; larger is better.
        None is accuracy. The default is measured without clipping probabilities. Of the names, only the default and
        'accuracy' (the expected one, see ``LogisticRegression.score``) can score soft labels; a plain function gets
        them as they are.
    solver : {'auto', 'metric', 'sdca', 'prox_newton', 'sgd'} or a name of scikit-learn's, default='auto'
        As in :class:`LogisticRegression`.
    tol : float, default=1e-4
        As in :class:`LogisticRegression`, for every fit.
    max_iter : int, default=1000
        The largest number of iterations of each fit.
    class_weight : dict, 'balanced' or None, default=None
        Weights of classes. 'balanced' counts all rows, not those of a fold.
    n_jobs : int or None, default=None
        Without effect: use ``n_threads``, whose default is every core already.
    verbose : int, default=0
        Whether to log a line for every fold and ``l1_ratio``, as in :class:`LogisticRegression`.
    refit : bool, default=True
        Whether to fit all rows again with the C and ``l1_ratio`` of the best mean score. Otherwise ``coef_``,
        ``intercept_``, ``C_`` and ``l1_ratio_`` are means over the folds' own best.
    intercept_scaling : float, default=1.0
        Without effect.
    random_state : int, RandomState instance or None, default=None
        As in :class:`LogisticRegression`; every fit has the same.
    use_legacy_attributes : bool, default=False
        Whether the attributes have the shapes that they had before scikit-learn 1.10. Below, F is the number of folds,
        R of l1_ratios, M of Cs, p is d, or d + 1 with an intercept, which is the last entry, and K is 1 for two
        classes.
    n_threads : int or None, default=None
        Threads, over the folds or inside each evaluation; None lets the package choose, -1 is all cores.
        Results are bit for bit the same for any number.
    penalty_factor, penalty_groups
        As in :class:`LogisticRegression`.

    Attributes
    ----------
    classes_, coef_, intercept_, n_features_in_, feature_names_in_
        As in :class:`LogisticRegression`.
    Cs_ : ndarray of shape (M,)
    l1_ratios_ : ndarray of shape (R,)
        ``[None]`` if ``l1_ratios`` is None, or if it is 'auto' and the attributes are legacy.
    C_, l1_ratio_ : float
        The values chosen. Legacy: ndarrays of shape (K,), the same value for each class.
    scores_ : ndarray of shape (F, R, M)
        Legacy: a dict from each class (for two, from the second) to the scores, of shape (F, M, R), or (F, M)
        if ``l1_ratios`` is 'auto' or None.
    coefs_paths_ : ndarray of shape (F, R, M, K, p)
        Legacy: a dict from each class to its coefficients, of shape (F, M, R, p) or (F, M, p).
    n_iter_ : ndarray of shape (F, R, M)
        Iterations of each fit. Legacy: shape (1, F, M, R) or (1, F, M).
    solver_ : str
        The solver of the refit, as in :class:`LogisticRegression`; without it, those of the fits that were averaged,
        separated by commas.
    converged_ : bool
        Whether the refit reached the optimum; without it, whether all the fits that were averaged did.
    history_ : dict of ndarrays
        The refit's, as in :class:`LogisticRegression`. Only with ``refit=True``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastxent import LogisticRegressionCV
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegressionCV(Cs=[0.1, 10, 1000])
    >>> model.fit(X, y).C_
    10.0
    >>> model.scores_.mean(axis=0).round(2)
    array([[-0.33, -0.07, -0.07]])
    """

    # `score` hands its sample_weight to the scorer; it is not a parameter of the estimator's own.
    __metadata_request__score = {"sample_weight": metadata_routing.UNUSED}  # noqa: RUF012

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012
        **{
            name: allowed
            for name, allowed in LogisticRegression._parameter_constraints.items()
            if name not in ("C", "l1_ratio", "warm_start", "checkpoint")
        },
        "Cs": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "l1_ratios": ["array-like", None, StrOptions({"auto"}), Hidden(StrOptions({"warn"}))],
        "cv": ["cv_object"],
        "penalty": [StrOptions({"l1", "l2", "elasticnet"}), Hidden(StrOptions({"deprecated"}))],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "refit": ["boolean"],
        "use_legacy_attributes": ["boolean", Hidden(StrOptions({"warn"}))],
    }

    class_weight: WeightsByLabel | None
    history_: dict[str, Array]
    solver_: str
    converged_: bool
    classes_: Array
    coef_: Floats
    intercept_: Floats
    n_iter_: Array
    C_: float | Floats
    Cs_: Floats
    l1_ratio_: float | Floats
    l1_ratios_: Array
    coefs_paths_: Floats | dict[Any, Floats]
    scores_: Floats | dict[Any, Floats]

    def __init__(
        self,
        *,
        Cs: int | ArrayLike = 10,
        l1_ratios: Any = "auto",
        fit_intercept: bool = True,
        cv: Any = None,
        dual: bool = False,
        penalty: Literal["l1", "l2", "elasticnet", "deprecated"] | None = "deprecated",
        scoring: str | Callable[..., float] | None = LOG_LOSS,
        solver: Solver = "auto",
        tol: float = 1e-4,
        max_iter: int = 1000,
        class_weight: WeightsByLabel | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        refit: bool = True,
        intercept_scaling: float = 1.0,
        random_state: RandomState = None,
        use_legacy_attributes: Any = False,
        n_threads: int | None = None,
        penalty_factor: ArrayLike | None = None,
        penalty_groups: Literal["features"] | None = None,
    ) -> None:
        self.Cs = Cs
        self.l1_ratios = l1_ratios
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.dual = dual
        self.penalty = penalty
        self.scoring = scoring
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.refit = refit
        self.intercept_scaling = intercept_scaling
        self.random_state = random_state
        self.use_legacy_attributes = use_legacy_attributes
        self.n_threads = n_threads
        self.penalty_factor = penalty_factor
        self.penalty_groups = penalty_groups

    @checked_parameters
    def fit(  # type: ignore[override]  # as in scikit-learn: it has folds in place of an eval_set
        self,
        X: MatrixLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        callback: Callback | None = None,
        *,
        classes: None = None,
        **params: Any,
    ) -> Self:
        """Fit the path on every fold, choose, and fit all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d)
            float32 stays float32; everything else becomes float64.
        y : array-like of shape (n,), or (n, K) with K >= 2
            Labels of any kind, or soft labels, as in :class:`LogisticRegression`.
        sample_weight : array-like of shape (n,) or None
            Weights of rows, not negative, for fitting and, unless metadata routing says otherwise, for
            scoring.
        callback : callable or None
            Called after every iteration of every fit, as in :class:`LogisticRegression`; the dict has ``fold`` (None
            in the refit of all rows), ``C`` and ``l1_ratio``, too. If what it returns is true, that one fit ends
            there, and the next begins. With a callback, folds are fitted one after the other.
        classes : None
            Only :class:`LogisticRegression` takes sources, for which it names the labels.
        **params
            For the splitter and the scorer; needs scikit-learn's metadata routing.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As :class:`LogisticRegression`, and for folds, Cs or l1_ratios that cannot be used, a score that is
            not a number, and soft labels under a ``scoring`` that takes single labels. The estimator is left as
            it was, as it is by an interrupt, or by an error in the callback.
        """
        if classes is not None:
            raise ValueError(
                "classes is for a source, which LogisticRegression takes; here those of y are the classes."
            )
        metadata_routing._raise_for_params(params, self, "fit")
        with restored_on_failure(self):
            return self._fit(X, y, sample_weight, check_callback(callback), params)

    def _fit(  # type: ignore[override]
        self, X: Any, y: Any, sample_weight: Any, callback: Callback | None, params: dict[str, Any]
    ) -> Self:
        ratios, shares = compatibility.penalties(self)
        Cs = self._check_Cs()
        n_threads = validation.check_n_threads(self.n_threads)
        rows, X, target, classes = self._check_weighted_rows(X, y, sample_weight)
        compatibility.check_n_classes(self.solver, len(classes))
        if not self._scores_by_loss():
            self._scorer(soft=target.ndim == 2)
        split_params, score_params = self._route("fit", sample_weight, params)
        seed = seed_of(self.random_state)
        folds = self._folds(rows, X, _strata(target, classes), split_params)
        score_params = _check_method_params(X=X, params=score_params, indices=rows.kept)
        weights: Any = rows.sample_weight
        if "sample_weight" in score_params and not is_moderate(weights):
            score_params["sample_weight"], _ = floats_of(weights)  # whose sum is a number

        paths = _Paths(self, rows, X.dtype, classes, Cs, shares, n_threads, seed)
        paths.fit(folds, weighted="sample_weight" in score_params, callback=callback)
        if not self._scores_by_loss():
            paths.score(folds, self._scorer(soft=target.ndim == 2), score_params)
        paths.check_scores()
        paths.warn()

        if self.refit:
            # Equal means: the smallest index of C, then of l1_ratio, as in scikit-learn.
            means = paths.scores.mean(axis=0).T
            c, r = np.unravel_index(np.argmax(means), means.shape)
            start = np.zeros((X.shape[1] + 1, paths.coefs.shape[-2]))
            if self.solver != "liblinear":  # under that name a fit starts from zeros, as in scikit-learn
                start[: paths.coefs.shape[-1]] = paths.coefs[:, r, c].mean(axis=0, dtype=np.float64).T
            C, l1_ratio = Cs[c], shares[r]
            objective = self._objective(rows.X, rows.targets(len(classes)), n_threads)
            objective = penalised(objective, C, l1_ratio)
            result = self._solve(objective, start, C, l1_ratio, seed, callback)
            theta = stored(result.theta, objective, X.dtype)
            coef, intercept = theta[:-1].T, theta[-1]
            self.history_ = {name: np.array(values) for name, values in result.history.items()}
            self.solver_ = result.solver
            self.converged_ = self._judge(result, objective, rows, classes)
        else:
            best = [np.unravel_index(np.argmax(scores.T), scores.T.shape) for scores in paths.scores]
            chosen = [(fold, r, c) for fold, (c, r) in enumerate(best)]
            C = np.mean([Cs[c] for _, _, c in chosen])
            l1_ratio = np.mean([shares[r] for _, r, _ in chosen])
            weights = np.mean([paths.coefs[at] for at in chosen], axis=0)
            coef, intercept = weights, np.zeros(len(weights), X.dtype)
            if self.fit_intercept:
                coef, intercept = weights[:, :-1], weights[:, -1]
            self.solver_ = _listed(paths.solvers[at] for at in chosen)
            self.converged_ = all(paths.converged[at] for at in chosen)

        self.classes_, self.coef_, self.intercept_ = classes, np.asfortranarray(coef), intercept
        self.Cs_ = Cs
        self.l1_ratios_ = np.asarray([None] if ratios is None else ratios)
        self.C_, self.l1_ratio_ = float(C), float(l1_ratio)
        self.coefs_paths_, self.scores_, self.n_iter_ = paths.coefs, paths.scores, paths.n_iter
        if compatibility.has_legacy_attributes(self):
            self._reshape_as_legacy(has_ratios=ratios is not None)
        return self

    # What comes in ------------------------------------------------------------------------------------

    def _check_Cs(self) -> Array:
        if isinstance(self.Cs, Integral):
            check_memory(8 * self.Cs, f"{self.Cs} values of C")
            return np.logspace(-4, 4, self.Cs)
        Cs = as_native(self.Cs, "Cs", np.float64)
        if Cs.ndim != 1 or Cs.size == 0:
            raise ValueError(f"Cs must be an int or a list of at least one number; got {shown(self.Cs)}.")
        bad = np.flatnonzero(~(Cs > 0))
        if bad.size:
            raise ValueError(f"Cs must be positive; Cs[{bad[0]}] is {Cs[bad[0]]}. For no penalty use np.inf.")
        return Cs

    def _scores_by_loss(self) -> bool:
        return isinstance(self.scoring, str) and self.scoring == LOG_LOSS

    def _get_scorer(self) -> Callable[..., Any]:
        return get_scorer("accuracy" if self.scoring is None else self.scoring)

    def _scorer(self, soft: bool) -> Callable[..., Any]:
        """The function scorer(estimator, X, y) that ``scoring`` stands for."""
        scorer = self._get_scorer()
        if not soft or not isinstance(scorer, _BaseScorer):
            return scorer
        if self.scoring is None or self.scoring == "accuracy":
            return LinearClassifier.score
        raise ValueError(
            f"scoring={self.scoring!r} compares single labels, and y holds soft labels. Use scoring={LOG_LOSS!r}, "
            "'accuracy' or a function scorer(estimator, X, y) that takes such rows."
        )

    def _route(
        self, method: str, sample_weight: ArrayLike | None, params: dict[Any, Any]
    ) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Keyword arguments for the splitter and for the scorer."""
        if metadata_routing._routing_enabled():
            if sample_weight is not None:
                params = params | {"sample_weight": sample_weight}
            routed = process_routing(self, method, **params)
            return (routed.splitter.split if method == "fit" else {}), routed.scorer.score
        return {}, {} if sample_weight is None else {"sample_weight": sample_weight}

    def _folds(
        self, rows: WeightedRows, X: Table, strata: Array, split_params: dict[Any, Any]
    ) -> list[tuple[Array, Array]]:
        """Pairs of row numbers (train, test) among the rows that count."""
        splitter = check_cv(self.cv, strata, classifier=True)
        place, kept = np.arange(X.shape[0]), rows.kept
        if kept is not None and _knows_rows_by_number(self.cv):  # of all that were given
            place = np.full(X.shape[0], -1)
            place[kept] = np.arange(len(kept))
        elif kept is not None:
            split_params = _check_method_params(X=X, params=split_params, indices=kept)
            X, strata, place = rows.X, strata[kept], place[: len(kept)]
        try:
            splits = splitter.split(X, strata, **split_params)
            parts = [(place[train], place[test]) for train, test in splits]
        except (IndexError, TypeError, ValueError) as error:
            raise ValueError(f"cv gave what are no pairs (train, test) of rows of X: {error}") from error
        folds = [(train[train >= 0], test[test >= 0]) for train, test in parts]
        for number, fold in enumerate(folds):
            for part, name in zip(fold, ("training", "test"), strict=True):
                if part.size == 0:
                    weigh = "" if kept is None else " that weigh something"
                    raise ValueError(
                        f"cv gave no {name} rows{weigh} in fold {number}; each fold needs at least one."
                    )
        if not folds:
            raise ValueError("cv gave no folds; it must give at least one pair (train, test) of row numbers.")
        return folds

    # One fit ------------------------------------------------------------------------------------------

    def _solve(
        self,
        objective: Objective,
        theta0: Array,
        C: float,
        l1_ratio: float,
        seed: int,
        callback: Callable[..., Any] | None,
        fold: int | None = None,
    ) -> Result:
        """The Result for an objective with the penalty of C and l1_ratio; in a fold, or None of all rows.

        The start, an optimum for another C or of other rows, may lie within ``tol`` of this one already. Staying
        there would make neighbours on the path one and the same, so the largest gradient entry has to fall to a
        tenth of what it is.
        """

        def after_iteration(theta: Array, history: History) -> bool:
            latest = np.array([history["loss"][-1], history["grad_norm"][-1]])
            validation.check_finite_result(latest, objective.local.X)
            return asks_to_stop(callback, history, fold=fold, C=float(C), l1_ratio=float(l1_ratio))

        def solve(tol: float) -> Result:
            return solvers.solve(
                objective,
                theta0,
                solver=self.solver,
                tol=tol,
                max_iter=self.max_iter,
                callback=after_iteration,
                random_state=seed,
            )

        result = solve(self.tol)
        if result.converged and result.n_iter == 0 and result.grad_norm > 0:
            nearer = solve(0.1 * result.grad_norm)
            result = nearer if nearer.converged or nearer.reason == STOPPED_BY_CALLER else result
        validation.check_finite_result(result.theta, objective.local.X)
        return result

    # What comes out -----------------------------------------------------------------------------------

    def _reshape_as_legacy(self, has_ratios: bool) -> None:
        K = self.coef_.shape[0]
        labels = self.classes_[-K:]
        paths: Any = self.coefs_paths_
        by_fold: Any = self.scores_
        coefs = np.swapaxes(paths, 1, 2)
        scores = np.swapaxes(by_fold, 1, 2)
        n_iter = np.swapaxes(self.n_iter_, 1, 2)
        if not has_ratios:
            coefs, scores, n_iter = coefs[:, :, 0], scores[:, :, 0], n_iter[:, :, 0]
        self.C_, self.l1_ratio_ = np.full(K, self.C_), np.full(K, self.l1_ratio_)
        self.coefs_paths_ = {label: coefs[..., k, :] for k, label in enumerate(labels)}
        self.scores_ = {label: scores.copy() for label in labels}
        self.n_iter_ = n_iter[np.newaxis]

    def score(  # type: ignore[override]
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None, **score_params: Any
    ) -> float:
        """Return the score of ``scoring`` on the given data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d)
        y : array-like of shape (n,), or (n, K)
            Labels, or soft labels where ``scoring`` takes them. The columns of a frame are found by their names.
        sample_weight : array-like of shape (n,) or None
            Handed to the scorer.
        **score_params
            For the scorer; needs scikit-learn's metadata routing.

        Returns
        -------
        float
            Larger is better; by default minus the mean log loss.
        """
        metadata_routing._raise_for_params(score_params, self, "score")
        _, score_params = self._route("score", sample_weight, score_params)
        if not self._scores_by_loss():
            return self._scorer(has_columns(y))(self, X, y, **score_params)
        check_is_fitted(self)
        theta = self._theta()
        rows = self._check_held_out(X, y, np.asarray(self.classes_), theta.dtype)
        n_threads = validation.check_n_threads(self.n_threads)
        return -self._held_out(rows, len(self.classes_), n_threads, **score_params).value(theta)

    def get_metadata_routing(self) -> Any:
        """Which metadata go to the splitter, and which to the scorer.

        Returns
        -------
        MetadataRouter
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
            .add(
                scorer=self._get_scorer(),
                method_mapping=MethodMapping()
                .add(caller="score", callee="score")
                .add(caller="fit", callee="score"),
            )
        )


class _Paths:
    """The fits of all folds, shares of L1 and Cs; axes in that order.

    Attributes
    ----------
    coefs : ndarray (F, R, M, K, p)
    scores : float64 (F, R, M)
    n_iter : int32 (F, R, M)
    solvers : str (F, R, M)
    converged : bool (F, R, M)
    troubles : dict
        (fold, share, C), as indices, to the text on why that fit did not converge.
    missing : dict
        Fold to the codes of the classes that its training rows lack.
    """

    def __init__(
        self,
        model: LogisticRegressionCV,
        rows: WeightedRows,
        dtype: np.dtype[Any],
        classes: Array,
        Cs: Array,
        shares: list[float],
        n_threads: int | None,
        seed: int,
    ) -> None:
        self._model = model
        self._rows = rows
        self._dtype = dtype
        self._classes = classes
        self._Cs = Cs
        self._shares = shares
        self._n_threads = n_threads
        self._seed = seed

    def fit(
        self, folds: list[tuple[Array, Array]], *, weighted: bool, callback: Callable[..., Any] | None
    ) -> None:
        """Fit, and score by log loss where that is the score asked for."""
        K = 1 if len(self._classes) == 2 else len(self._classes)
        shape = (len(folds), len(self._shares), len(self._Cs))
        self.coefs = np.empty((*shape, K, self._rows.X.shape[1] + self._model.fit_intercept), self._dtype)
        self.scores = np.full(shape, np.nan)
        self.n_iter = np.zeros(shape, dtype=np.int32)
        self.solvers = np.empty(shape, dtype=object)
        self.converged = np.zeros(shape, dtype=bool)
        self.troubles: dict[tuple[int, int, int], str] = {}
        self.missing: dict[int, Any] = {}
        inside = (
            callback is not None or cost(self._rows.X, K) >= _LARGE
        )  # a callback is called by the caller's thread
        outer, inner = (1, self._n_threads) if inside else (self._n_threads, 1)

        def task(i: int) -> None:
            fold, share = divmod(i, len(self._shares))
            self._fit_one(fold, share, *folds[fold], weighted, callback, inner)

        with parallel.one_blas_thread:
            parallel.run(task, shape[0] * shape[1], outer)

    def _fit_one(
        self,
        fold: int,
        share: int,
        train: Array,
        test: Array,
        weighted: bool,
        callback: Callable[..., Any] | None,
        n_threads: int | None,
    ) -> None:
        """One path, from the strongest penalty to the weakest. weighted: whether scores are."""
        model, n_classes = self._model, len(self._classes)
        training = self._rows.take(train)
        objective = model._objective(for_kernels(training.X), training.targets(n_classes), n_threads)
        missing = diagnosis.classes_without_mass(objective)
        if len(missing):
            self.missing[fold] = missing
        held_out = None
        if model._scores_by_loss():
            rows = self._rows.take(test)
            targets = Targets(rows.target, n_classes, rows.sample_weight if weighted else None)
            held_out = model._objective(for_kernels(rows.X), targets, n_threads)
        theta = objective.initial()
        for c in np.argsort(self._Cs, kind="stable"):
            at = (fold, share, int(c))
            C, l1_ratio = self._Cs[c], self._shares[share]
            objective = penalised(objective, C, l1_ratio)
            result = model._solve(objective, theta, C, l1_ratio, self._seed, callback, fold)
            theta = result.theta
            rounded = stored(theta, objective, self._dtype)
            self.coefs[at] = rounded[: self.coefs.shape[-1]].T
            self.n_iter[at], self.solvers[at] = result.n_iter, result.solver
            if held_out is not None:
                self.scores[at] = -held_out.value(rounded)
            trouble = model._trouble(result, objective, training, self._classes)
            self.converged[at] = result.converged and trouble is None
            if trouble is not None:
                self.troubles[at] = trouble
        if model.verbose:
            tell(
                f"fold {fold}   l1_ratio {self._shares[share]:g}   {len(self._Cs)} values of C   "
                f"{self.n_iter[fold, share].sum()} iterations of {_listed(self.solvers[fold, share])}"
            )

    def score(self, folds: list[tuple[Array, Array]], scorer: Any, score_params: dict[Any, Any]) -> None:
        """Score by a scorer of scikit-learn's or a person's own."""
        scorer = _knowing_classes(scorer, self._classes)
        fitted: Any = LogisticRegression(
            solver=self._model.solver,
            fit_intercept=self._model.fit_intercept,
            n_threads=self._model.n_threads,
        )
        fitted.classes_ = self._classes
        fitted.n_features_in_ = d = self._rows.X.shape[1]
        for fold, (_, test) in enumerate(folds):
            rows = self._rows.take(test)
            X, y = for_kernels(rows.X), _labels(rows.target, self._classes)
            params = _check_method_params(X=self._rows.X, params=score_params, indices=test)
            for share, c in np.ndindex(self.scores.shape[1:]):
                coefs = self.coefs[fold, share, c]
                fitted.C, fitted.l1_ratio = self._Cs[c], self._shares[share]
                fitted.coef_ = coefs[:, :d]
                fitted.intercept_ = coefs[:, d] if coefs.shape[1] > d else np.zeros(len(coefs), coefs.dtype)
                self.scores[fold, share, c] = scorer(fitted, X, y, **params)

    def check_scores(self) -> None:
        """Refuse scores among which there is no best one."""
        bad = np.argwhere(np.isnan(self.scores))
        if len(bad):
            fold, share, c = bad[0]
            raise ValueError(
                f"scoring={self._model.scoring!r} gave nan in fold {fold} for C={self._Cs[c]:g} and "
                f"l1_ratio={self._shares[share]:g}, so there is no best C. Some scores need every class among "
                "the test rows: use fewer folds, stratified ones, or another scoring."
            )

    def warn(self) -> None:
        """One warning for all folds that lack a class, and one for all fits that did not converge."""
        if self.missing:
            fold = min(self.missing)
            warnings.warn(
                f"In {len(self.missing)} of {len(self.scores)} folds of cross-validation, training rows lack a class. "
                f"The first, fold {fold}: " + diagnosis.without_mass(self.missing[fold], self._classes),
                ConvergenceWarning,
                stacklevel=compatibility.CALLER,
            )
        if not self.troubles:
            return
        fold, share, c = min(self.troubles)
        warnings.warn(
            f"{len(self.troubles)} of {self.scores.size} fits in cross-validation did not converge. The first, "
            f"of fold {fold} with C={self._Cs[c]:g} and l1_ratio={self._shares[share]:g}: "
            + self.troubles[fold, share, c],
            ConvergenceWarning,
            stacklevel=compatibility.CALLER,
        )


def _labels(target: Array, classes: Array) -> Array:
    """What was given as y, of some rows: labels, or soft labels."""
    return classes[target] if target.ndim == 1 else target


def _strata(target: Array, classes: Array) -> Array:
    """What folds are stratified by."""
    return classes[target] if target.ndim == 1 else target.argmax(axis=1)


def _knows_rows_by_number(cv: Any) -> Any:
    """Whether folds are of rows by their numbers in X, as a list of pairs is, instead of made for the rows it is shown.

    Other splitters are unknown; those of scikit-learn make folds, except one.
    """
    if cv is None or isinstance(cv, Integral):
        return False
    made = type(cv).__module__.startswith("sklearn.model_selection") and hasattr(cv, "split")
    return not made or isinstance(cv, PredefinedSplit)


def _listed(names: Iterator[Any]) -> str:
    return ", ".join(sorted(set(names)))


def _knowing_classes(scorer: Any, classes: Array) -> Callable[..., Any]:
    """The scorer, told all labels if it can be: the test rows of a fold may lack some."""
    metric = getattr(scorer, "_score_func", None)
    takes = inspect.signature(metric).parameters if metric is not None else ()
    if "labels" not in takes:
        return scorer
    known = {"labels": classes}
    if len(classes) == 2 and "pos_label" in takes:
        known["pos_label"] = classes[1]
    return make_scorer(
        metric,
        response_method=scorer._response_method,
        greater_is_better=scorer._sign > 0,
        **(known | scorer._kwargs),
    )
