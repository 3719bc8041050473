"""Logistic regression, binary and multinomial, as scikit-learn's class of the same name."""

from __future__ import annotations

import math
import os
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import metadata_routing
from sklearn.utils._param_validation import Hidden, Interval, StrOptions

from .. import solvers, validation
from ..arrays import finfo
from ..checkpoint import Checkpoint
from ..data.scaled import ldexp
from ..data.targets import Targets
from ..log import tell, warn
from ..objective import Objective
from ..penalty import Penalty
from ..solvers.centring import known_moved
from ..solvers.policy import OUR_NAMES, SCIKIT_LEARN_NAMES
from ..solvers.result import STOPPED_BY_CALLER
from . import checkpoints, compatibility, diagnosis, pace, streaming
from .base import OBJECTIVE, LinearClassifier, checked_parameters, restored_on_failure
from .callbacks import IterationTasks, asks_to_stop, check_callback, context_of
from .scikit_learn import LinearClassifierMixin
from .weighting import WeightedRows, check_sample_weight

if TYPE_CHECKING:
    from typing import Any, Literal, Self

    from ..solvers.result import History, Result
    from ..typing import (
        Array,
        ArrayLike,
        Batches,
        Callback,
        EvalSet,
        MatrixLike,
        Path,
        RandomState,
        Solver,
        Table,
        WeightsByLabel,
    )


_LEAST, _LARGEST = 1e-300, 1e300  # strengths of a penalty


class LogisticRegression(LinearClassifier, LinearClassifierMixin):  # the mixin: for code that asks isinstance
    r"""Logistic regression by cross-entropy: multinomial, or binary for two classes.

    A drop-in replacement for ``sklearn.linear_model.LogisticRegression``: the same arguments, the same
    objective, the same attributes. With s_i the weight of row i (sample weight times class weight), S their
    sum, and p the softmax of X W + b, fitting minimises

    .. math::
        \frac{1}{S} \sum_i s_i \left(-\log p_{i, y_i}\right)
        + \frac{1 - \rho}{2 C S} \|W\|_2^2 + \frac{\rho}{C S} \|W\|_1,

    where rho is ``l1_ratio``. The intercept b is never penalised. Two classes have one column of
    coefficients, that of ``classes_[1]``, and p is its sigmoid. With ``penalty_factor`` f, both norms are sums over
    features j of f_j times their share; with ``penalty_groups="features"``, the last one is the sum of
    \|W_j\|_2, the norm of a feature's weights in all classes.

    Parameters
    ----------
    penalty : {'l1', 'l2', 'elasticnet', None}
        Deprecated, as in scikit-learn: use ``l1_ratio``, and ``C=np.inf`` for no penalty.
    C : float, default=1.0
        Inverse strength of the penalty; ``np.inf`` is no penalty.
    l1_ratio : float, default=0.0
        Share of L1 in the penalty: 0 is L2, 1 is L1, between them elastic net. Weights that L1 makes zero are
        exactly zero.
    dual : bool, default=False
        Without effect; allowed only where scikit-learn allows it (``solver='liblinear'``).
    tol : float, default=1e-4
        For 'auto', 'metric', 'sdca', 'prox_newton' and 'sgd': fitting stops when the objective above exceeds its
        minimum by at most ``tol`` times that minimum, by the duality gap ('sdca', and 'prox_newton' where it can), or
        by an estimate that was checked (see docs/solvers.md). If ``tol`` is smaller than floating point can reach,
        fitting stops at what it can reach. For scikit-learn's names, as in scikit-learn: when no entry of the gradient
        (with L1: of its subgradient of least norm) is larger in absolute value.
    fit_intercept : bool, default=True
        Whether there is an intercept b; otherwise it is zero.
    intercept_scaling : float, default=1
        Without effect: no solver here penalises the intercept, not even under the name 'liblinear'.
    class_weight : dict, 'balanced' or None, default=None
        Weights of classes, which multiply the sample weights. 'balanced' is n / (K count_k), in which count_k
        adds up sample weights.
    random_state : int, RandomState instance or None, default=None
        The order in which 'sdca' and 'sgd' visit rows, and 'prox_newton' weights; None is the same order every
        time. The others draw no random numbers.
    solver : {'auto', 'metric', 'sdca', 'prox_newton', 'sgd'} or a name of scikit-learn's, default='auto'
        'metric' is L-BFGS in a metric that follows the curvature (no L1 penalty); 'sdca' dual ascent over the rows of a
        sparse X (L2 penalty only); 'prox_newton' is for L1 penalties. 'auto' chooses one of the three. For a source, it
        chooses 'metric', or with an L1 penalty 'l1-newton', for which ``tol`` has the meaning of scikit-learn's names.
        'sgd' takes stochastic steps with reduced variance, whose speed depends on the scales of rows and columns, and
        knows neither penalty_factor nor penalty_groups. The other names are scikit-learn's ('lbfgs', 'newton-cg',
        'newton-cholesky', 'sag', 'saga', 'liblinear'), with its rules about which penalty each may have; all reach the
        same optimum, by our solvers: 'lbfgs', 'sag' and 'saga' by L-BFGS (truncated Newton for a ``tol`` below 1e-7),
        'newton-cg', 'newton-cholesky' and 'liblinear' by truncated Newton, and any of them by a Newton method with
        proximal steps if there is an L1 penalty.
    max_iter : int, default=1000
        The largest number of iterations. (scikit-learn's default is 100; here, ``tol`` should decide when to stop.)
    verbose : int, default=0
        Whether to log a line for every iteration, with the name of the solver: by ``logging``, to the logger "fastxent"
        at level INFO. Where no handler takes such lines, they go to stderr. For a source, the line also has the passes,
        rows per second and the time left, and long passes have lines of their own.
    warm_start : bool, default=False
        Whether to start from the coefficients of the last fit instead of zeros.
    n_jobs : None
        Deprecated and without effect, as in scikit-learn: use ``n_threads``.
    n_threads : int or None, default=None
        Threads for evaluating the objective and for predicting; None lets the package choose, -1 is all
        cores. Results are bit for bit the same for any number.
    penalty_factor : array-like of shape (d,) or None, default=None
        Multiplies both penalties of each feature; 0 leaves it free. None is 1 for all. Unlike glmnet's, they
        are not rescaled to sum to d.
    penalty_groups : {'features'} or None, default=None
        'features': the L1 part penalises the norm of a feature's weights in all classes, so that features come
        and go as a whole. For two classes it is the same as None.
    checkpoint : str, os.PathLike, Checkpoint or None, default=None
        A folder in which a fit keeps its state, once a minute; :class:`fastxent.Checkpoint` says how often. If the
        process dies, the same fit with the same folder goes on from there, and ends with the bits that it would have
        had. If it has ended, it returns its result at once. A different fit is refused: one with other parameters
        (except ``verbose`` and ``n_threads``), data, or versions of fastxent, NumPy and SciPy. See
        docs/larger-than-memory.md.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        The labels, sorted. After fitting soft labels 0..K-1 or, if they were a frame, the names of its columns, in
        their order.
    coef_ : ndarray of shape (K, d), or (1, d) for two classes
        In Fortran order, float32 if X was. A CSR matrix after ``sparsify``.
    intercept_ : ndarray of shape (K,) or (1,)
    n_iter_ : ndarray of shape (1,)
        Iterations done.
    solver_ : str
        The solver that ran: 'metric', 'sdca', 'prox_newton' or 'sgd', or, for scikit-learn's names, 'lbfgs',
        'newton-cg' or 'l1-newton'. 'sdca' hands over to 'metric' where the latter is faster; then the name is
        'metric', too.
    converged_ : bool
        Whether the optimum was reached to the accuracy asked for. If not, a ``ConvergenceWarning`` said why.
    history_ : dict of ndarrays
        ``epoch`` (0 is the start), ``loss`` (the objective, penalty included), ``grad_norm`` (largest entry),
        ``gap`` (the estimated distance of the loss from its minimum: the duality gap, a bound or the Newton
        decrement; nan for 'lbfgs' and where there was no estimate), ``seconds``, ``passes`` over the
        data, and ``val_loss`` (mean cross-entropy) if there was an ``eval_set``.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (d,)
        Only if X had column names that are all strings.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastxent import LogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression().fit(X, y)
    >>> model.predict(X[:2])
    array([0, 0])
    >>> model.predict_proba(X[:1]).round(2)
    array([[0.98, 0.02, 0.  ]])
    >>> round(model.score(X, y), 2), model.converged_
    (0.97, True)
    """

    # A callback and classes are told to one fit; they do not go with the rows, as what is routed does.
    __metadata_request__fit = dict.fromkeys(("callback", "classes"), metadata_routing.UNUSED)

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 - the name and kind that scikit-learn looks for
        "penalty": [StrOptions({"l1", "l2", "elasticnet"}), None, Hidden(StrOptions({"deprecated"}))],
        "C": [Interval(Real, 0, None, closed="right")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
        "dual": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "fit_intercept": ["boolean"],
        "intercept_scaling": [Interval(Real, 0, None, closed="neither")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "random_state": ["random_state"],
        "solver": [StrOptions({"auto", *OUR_NAMES, *SCIKIT_LEARN_NAMES})],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "n_jobs": [None, Integral],
        "n_threads": [None, Integral],
        "penalty_factor": ["array-like", None],
        "penalty_groups": [StrOptions({"features"}), None],
        "checkpoint": [str, os.PathLike, Checkpoint, None],
    }

    class_weight: WeightsByLabel | None
    history_: dict[str, Array]
    converged_: bool
    n_iter_: Array
    solver_: str

    def __init__(
        self,
        penalty: Literal["l1", "l2", "elasticnet", "deprecated"] | None = "deprecated",
        *,
        C: float = 1.0,
        l1_ratio: float | None = 0.0,
        dual: bool = False,
        tol: float = 1e-4,
        fit_intercept: bool = True,
        intercept_scaling: float = 1,
        class_weight: WeightsByLabel | None = None,
        random_state: RandomState = None,
        solver: Solver = "auto",
        max_iter: int = 1000,
        verbose: int = 0,
        warm_start: bool = False,
        n_jobs: int | None = None,
        n_threads: int | None = None,
        penalty_factor: ArrayLike | None = None,
        penalty_groups: Literal["features"] | None = None,
        checkpoint: Path | Checkpoint | None = None,
    ) -> None:
        self.penalty = penalty
        self.C = C
        self.l1_ratio = l1_ratio
        self.dual = dual
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.random_state = random_state
        self.solver = solver
        self.max_iter = max_iter
        self.verbose = verbose
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.n_threads = n_threads
        self.penalty_factor = penalty_factor
        self.penalty_groups = penalty_groups
        self.checkpoint = checkpoint

    @checked_parameters
    def fit(
        self,
        X: MatrixLike | Batches,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        eval_set: EvalSet | None = None,
        callback: Callback | None = None,
        *,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d), or a source
            float32 stays float32; everything else becomes float64. No copy is made of float32 and float64
            arrays that are C- or F-contiguous, nor of CSR matrices of those.
            A source is an iterable of batches (X, y) or (X, y, weight) that gives the same ones each time, such as a
            list of tuples or those of ``fastxent.sources``: see docs/larger-than-memory.md. Only a few batches are
            in memory at a time.
        y : array-like of shape (n,), or (n, K) with K >= 2
            Labels of any kind (int, bool, string ...), or soft labels: each row a distribution over K
            classes. The columns of a frame of soft labels are named by the classes.
        sample_weight : array-like of shape (n,) or None
            Weights of rows, not negative. A weight of zero leaves the row out, an integer weight repeats it.
        eval_set : tuple (X, y), a source, or None
            Rows on which ``history_["val_loss"]`` is measured after every iteration. The columns of a frame of soft
            labels are found by their names.
        callback : callable or None
            Called after every iteration with the last entries of ``history_`` as a dict (of ``gap``, which some
            solvers know only later, the last that is known); if what it returns is true, fitting ends there.
        classes : array-like of shape (K,) or None
            All labels of a source. None: they are found in a first pass.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For input that cannot be used: NaN or infinity, wrong lengths, a sparse matrix with indices out of
            bounds, continuous labels, a single class, features so large or small that arithmetic on them is
            impossible. The estimator is left as it was, as it is by an interrupt, or by an error in the callback.
        """
        with restored_on_failure(self):
            return self._fit(X, y, sample_weight, eval_set, check_callback(callback), classes)

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, eval_set: Any, callback: Callback | None, classes: Any
    ) -> Self:
        C, l1_ratio = compatibility.penalty(self)
        n_threads = validation.check_n_threads(self.n_threads)
        batches: Any = None
        if streaming.is_source(X):
            batches, objective = self._streamed(X, y, sample_weight, classes, n_threads)
            classes, dtype = batches.classes, batches.dtype
        else:
            if classes is not None:
                raise ValueError("classes is for a source; of an array X, those of y are the classes.")
            rows, X, _, classes = self._check_weighted_rows(X, y, sample_weight)
            dtype = X.dtype
            objective = self._objective(rows.X, rows.targets(len(classes)), n_threads)
        compatibility.check_n_classes(self.solver, len(classes))
        objective = penalised(objective, C, l1_ratio)
        self._report_classes_without_mass(objective, classes, batches)
        theta0, held_out, session = self._start(objective), None, None
        if eval_set is not None:
            held_out = self._validation(eval_set, classes, dtype, n_threads)
        if self.checkpoint is not None:
            session = checkpoints.session(
                self, checkpoints.facts_of(self), objective, classes, theta0, held_out
            )
        if batches is not None:
            begins = session is None or session.begins
            rows, theta0 = self._first_answer(objective, theta0, begins)

        def attributes(theta: Array) -> dict[str, Array]:
            theta = stored(theta, objective, dtype)
            return {"classes_": classes, "coef_": theta[:-1].T, "intercept_": theta[-1]}

        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        data = {"X": X, "y": y, "metadata": metadata}
        context = context_of(self, max_subtasks=max(self.max_iter, 1) + 1)
        if context is not None:
            context.call_on_fit_task_begin(estimator=self, **data)
        tasks = IterationTasks(context, self, attributes, **data)

        def after_iteration(theta: Array, history: History) -> bool:
            for name in ("loss", "grad_norm"):
                validation.check_finite_result(history[name][-1], rows.X)
            if held_out is not None:
                history.setdefault("val_loss", []).append(float(held_out.value(theta)))
            if self.verbose:
                epoch, loss, largest = (history[name][-1] for name in ("epoch", "loss", "grad_norm"))
                tell(
                    f"{history.solver}   iteration {epoch:4d}   objective {loss:.10g}   largest gradient entry "
                    f"{largest:.3g}"
                    + ("" if batches is None else pace.of_run(history, objective.n_rows, self.tol))
                )
            stop = asks_to_stop(callback, history)
            return bool(tasks(theta)) or stop

        result = solvers.solve(
            objective,
            theta0,
            solver=self.solver,
            tol=self.tol,
            max_iter=self.max_iter,
            callback=after_iteration,
            random_state=seed_of(self.random_state),
            checkpoint=session,
        )
        tasks.close()
        validation.check_finite_result(result.theta, rows.X)

        self.__dict__.update(attributes(result.theta))
        self.n_iter_ = np.array([result.n_iter], dtype=np.int32)
        self.solver_ = result.solver
        self.history_ = {name: np.array(values) for name, values in result.history.items()}
        self.converged_ = self._judge(result, objective, rows, classes)
        if context is not None:
            context.call_on_fit_task_end(estimator=self, reconstruction_attributes={}, **data)
        return self

    # What comes in ------------------------------------------------------------------------------------

    def _streamed(
        self,
        source: Any,
        y: Any,
        sample_weight: Array | None,
        classes: Array | None,
        n_threads: int | None,
    ) -> tuple[Batches, Objective]:
        """The batches of a source, and their mean loss, without a penalty yet."""
        streaming.refuse_beside(y=y, sample_weight=sample_weight)
        self._refuse_for_sources()
        batches = self._batches(source, classes)
        objective = batches.objective(
            self._factors(batches.n_features), fit_intercept=self.fit_intercept, n_threads=n_threads
        )
        return batches, objective

    def _refuse_for_sources(self) -> None:
        """Refuse what takes all rows at once, and parameters that do not go together."""
        compatibility.checked_penalty(self)
        if self.solver in ("sdca", "prox_newton", "sgd"):
            raise ValueError(
                f"solver={self.solver!r} needs all rows in memory, and a source has them in batches. Use solver='auto'."
            )
        if self.penalty_groups is not None and self.l1_ratio:
            raise ValueError(
                f"penalty_groups={self.penalty_groups!r} with an L1 penalty needs all rows in memory, and a source has "
                "them in batches. Use penalty_groups=None, or fit an array."
            )

    def _first_answer(self, objective: Objective, theta0: Array, begins: bool) -> tuple[WeightedRows, Array]:
        """A sample of the rows, and where to begin: with what it says, or with the last fit.

        begins: whether the fit begins, and does not go on from a checkpoint.
        """
        if (self.warm_start and hasattr(self, "coef_")) or self.max_iter == 0 or not begins:
            sample, start = objective.sample(objective.fitting_rows), theta0
        else:
            sample, start = streaming.first_answer(objective, theta0, seed_of(self.random_state))
        part = sample.local
        return WeightedRows(part.X, part.targets.target, None, None, None), start

    def _validation(
        self,
        eval_set: Any,
        classes: Array,
        dtype: np.dtype[Any],
        n_threads: int | None,
    ) -> Objective:
        """The mean cross-entropy on ``eval_set``, an Objective."""
        if streaming.is_source(eval_set):
            held_out = self._validation_batches(eval_set, classes, dtype)
            return held_out.objective(fit_intercept=self.fit_intercept, n_threads=n_threads)
        X, target, weight = self._check_eval_set(eval_set, classes, dtype)
        return self._held_out((X, target), len(classes), n_threads, sample_weight=weight)

    def _factors(self, n_features: int) -> Penalty:
        factors = validation.check_penalty_factor(self.penalty_factor, n_features)
        return Penalty(factors=factors, groups=self.penalty_groups)

    def _objective(self, X: Table, targets: Targets, n_threads: int | None) -> Objective:
        """The mean loss of the rows, without a penalty yet."""
        return Objective.over(
            X,
            targets,
            1 if targets.n_classes == 2 else targets.n_classes,
            penalty=self._factors(X.shape[1]),
            fit_intercept=self.fit_intercept,
            n_threads=n_threads,
        )

    def _start(self, objective: Objective) -> Array:
        """Zeros, or where the last fit ended."""
        theta = np.zeros(objective.shape)
        if self.warm_start and hasattr(self, "coef_"):
            theta[...] = self._theta_to_start_from((objective.K, objective.n_features), np.float64)
            if not self.fit_intercept:
                theta[-1] = 0.0
        return theta

    def _held_out(
        self,
        rows: tuple[Table, Array],
        n_classes: int,
        n_threads: int | None,
        *,
        sample_weight: Array | None = None,
    ) -> Objective:
        """The mean cross-entropy on rows (features, targets) that were not fitted, an Objective."""
        X, target = rows
        sample_weight = check_sample_weight(sample_weight, X.shape[0])
        return self._objective(X, Targets(target, n_classes, sample_weight), n_threads)

    # What came out ------------------------------------------------------------------------------------

    def _report_classes_without_mass(
        self, objective: Objective, classes: Array, batches: streaming.Batches | None = None
    ) -> None:
        """Warn of classes without rows of positive weight; without an intercept, a penalty bounds their weights."""
        if batches is None:
            missing = diagnosis.classes_without_mass(objective)
        else:
            free = objective.fit_intercept or objective.penalty.is_zero
            missing = np.flatnonzero(~batches.present) if free else []
        if len(missing):
            text = diagnosis.without_mass(missing, classes)
            warn(text, ConvergenceWarning, stacklevel=compatibility.CALLER)

    def _judge(self, result: Result, objective: Objective, rows: WeightedRows, classes: Array) -> bool:
        """Whether the fit converged; warns if it did not."""
        trouble = self._trouble(result, objective, rows, classes)
        if trouble is not None:
            warn(trouble, ConvergenceWarning, stacklevel=compatibility.CALLER)
        return result.converged and trouble is None

    def _trouble(
        self, result: Result, objective: Objective, rows: WeightedRows, classes: Array
    ) -> str | None:
        """Why the fit did not converge, in words; None if it did, or was asked to stop."""
        if objective.penalty.is_zero and rows.target.ndim == 1:
            trouble = diagnosis.unbounded(result, objective, classes, self.tol)
            if trouble is not None:
                return trouble
        if result.reason == STOPPED_BY_CALLER:
            return None
        if result.converged:
            raised = raised_by_rounding(result.theta, objective)
            if raised <= max(self.tol, np.sqrt(finfo(rows.X.dtype).eps)) * result.value:
                return None
            return diagnosis.not_stored(rows.X, result.value, raised)
        return diagnosis.not_converged(
            result, rows.X, solver=self.solver, tol=self.tol, max_iter=self.max_iter
        )

    def _history_quantities(self) -> dict[str, tuple[str, str]]:
        """What entries of ``history_`` measure, where it is not what their names say everywhere."""
        return {
            "epoch": ("iteration", "iteration"),
            "loss": OBJECTIVE,
            "grad_norm": ("gradient", "largest entry of the gradient"),
        }

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = self.solver != "liblinear"
        return tags


def seed_of(random_state: RandomState) -> int:
    """A seed for the solvers' generators; None is 0."""
    if random_state is None or isinstance(random_state, Integral):
        return int(random_state or 0)
    generator: Any = random_state
    return int(generator.randint(np.iinfo(np.int32).max))


def penalised(objective: Objective, C: float, l1_ratio: float) -> Objective:
    """The objective with the penalty of C, which is relative to the sum of losses; the objective is their mean."""
    return with_strength(objective, _strength(C, objective), l1_ratio)


def with_strength(objective: Objective, strength: float, l1_ratio: float) -> Objective:
    """The objective with a penalty of this strength relative to the mean loss: 1 / (C S)."""
    factors = objective.penalty.factors
    if factors is not None and not factors.any():
        strength = 0.0
    l2, l1 = strength * (1.0 - l1_ratio), strength * l1_ratio
    return objective.with_penalty(Penalty(l2, l1, factors, objective.penalty.groups))


def _strength(C: float, objective: Objective) -> float:
    """As `strengths`, of one C, which may be infinite."""
    if np.inf == C:
        return 0.0
    mantissa, exponent = math.frexp(C)
    try:
        one_over = math.ldexp(
            1.0 / (mantissa * objective.total_weight), -(exponent + objective.weight_exponent)
        )
    except OverflowError:
        return _LARGEST
    return min(max(one_over, _LEAST), _LARGEST)


def strengths(Cs: Array, objective: Objective) -> Array:
    """1 / (C S) of finite Cs, which no size of S makes zero or infinite."""
    return np.minimum(np.maximum(one_over(Cs, objective), _LEAST), _LARGEST)


def one_over(C: float | Array, objective: Objective) -> Any:
    """1 / (C S), though S itself may be no number: from Cs to strengths, and back."""
    mantissa, exponent = np.frexp(C)
    with np.errstate(divide="ignore"):
        return ldexp(1.0 / (mantissa * objective.total_weight), -(exponent + objective.weight_exponent))


def stored(theta: Array, objective: Objective, dtype: np.dtype[Any]) -> Array:
    """The parameters as attributes have them: centred, in the dtype of X.

    Where a column is far from zero, rounding its coefficients moves the logits of all rows equally, in single
    precision by more than the column's own effect. The intercept compensates for this as far as it can.
    """
    theta = objective.penalty.centred(theta)
    rounded = theta.astype(dtype)
    moved = known_moved(objective)
    if moved is not None:
        rounded[-1] = theta[-1] + moved.offset @ (theta[:-1] - rounded[:-1])
    return rounded


def raised_by_rounding(theta: Array, objective: Objective) -> float:
    """By how much the objective is larger at the parameters as they are stored, over columns far from zero."""
    moved = known_moved(objective)
    if moved is None:
        return 0.0
    near = objective.over_part(moved.part)
    rounded = stored(theta, objective, objective.local.given_dtype)
    at_rounded, at_theta = (near.value(moved.into(at)) for at in (rounded, theta))
    return at_rounded - at_theta
