"""Stochastic, minibatch and full-batch descent for logistic regression, as scikit-learn's class of the same name."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from .. import validation
from ..arrays import as_native, check_finite, is_sparse
from ..checkpoint import Checkpoint
from ..data.rows import without_duplicates
from ..data.scaled import ldexp
from ..data.targets import Targets
from ..forks import importing
from ..objective import Objective
from . import checkpoints, pace, streaming
from .base import OBJECTIVE, F, LinearClassifier, checked_parameters, for_kernels, restored_on_failure
from .callbacks import IterationTasks, check_callback, context_of
from .continuation import has_been_scored, recalled, remembered
from .descending import DescentOverBatches
from .epochs import Epochs
from .held_out import HeldOut, HeldOutBatches, split, taken
from .history import extended
from .inputs import has_columns, labels
from .soft_labels import named_classes, same_classes
from .verdict import Verdict, chance_loss, chance_of
from .watch import Patience, Watch
from .weighting import check_sample_weight, class_weights, rows_that_count

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Literal, Self

    from ..data.scaled import Scaled
    from ..sgd.descents import FullBatch, Minibatches, VarianceReduced, Weights
    from ..sgd.options import Options
    from ..sgd.trainer import Training
    from ..typing import (
        Array,
        ArrayLike,
        Batches,
        Callback,
        EvalSet,
        Floats,
        LearningRate,
        MatrixLike,
        Optimizer,
        Path,
        RandomState,
        Table,
        WeightsByLabel,
    )


_OPTIMIZERS = {"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "ftrl", "svrg"}
_SCHEDULES = {"auto", "constant", "optimal", "invscaling", "adaptive", "cosine"}
_REPEATS = 10  # mean weight up to which a row of weight 3 is visited three times
_RANGE32 = 1e15  # squares of larger numbers are too near the limit of float32
_WEIGHT32, _WEIGHT64 = 1e20, 1e150  # products of such weights with features and steps leave a dtype's range


class _UnlessSvrg:
    """A method that objects with ``optimizer="svrg"`` lack, by an AttributeError that says why.

    scikit-learn's ``available_if`` would hide the reason behind a general message.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        functools.update_wrapper(self, method)  # type: ignore[arg-type]

    def __get__(self, model: SGDClassifier, owner: type[Any] | None = None) -> Callable[..., Any]:
        if getattr(model, "optimizer", None) == "svrg":
            name = self._method.__name__
            raise AttributeError(
                f"{name}: optimizer='svrg' needs all rows at once, which {name} never has. Use another optimizer, "
                "or fit.",
                name=name,
            )
        return self._method.__get__(model, owner)


def _unless_svrg(method: F) -> F:
    guarded: Any = _UnlessSvrg(method)
    return guarded


class _Plan(NamedTuple):
    """A descent, and what a fit needs beside."""

    descent: Any
    order: Callable[
        [np.random.RandomState], Any
    ]  # what the next epoch is told, from a generator of random numbers
    X: Any  # rows whose sizes messages tell
    classes: np.ndarray
    score: Any  # of theta, on validation rows
    objective: Callable[[], Objective]  # makes the Objective of the training rows
    chance: float  # the loss of the best constant prediction
    rows: np.ndarray | None = None  # which `order` shuffles, if it goes on from the order before


class SGDClassifier(LinearClassifier):
    r"""Logistic regression by descent: stochastic, by minibatches, or by all rows at once.

    Minimises over W and b, with p the softmax of X W + b (binary: the sigmoid of one column), s the row
    weights and S their sum,

    .. math::
        \frac{1}{S} \sum_i s_i \left(-\log p_{i, y_i}\right)
        + \alpha \left(\frac{1 - \rho}{2} \|W\|_2^2 + \rho \|W\|_1\right).

    This is the multinomial loss itself, not one model against the rest for each class. The intercept b is
    never penalised. On sparse rows the cost of an update depends only on the row's entries (and the columns that are
    centred, see ``eta0``), for every optimiser and penalty. To achieve that, adagrad, rmsprop and adam penalise a
    feature's weights when a row has it, for the whole time since.

    Parameters
    ----------
    loss : {'log_loss'}, default='log_loss'
        The cross-entropy, which is the only choice.
    penalty : {'l2', 'l1', 'elasticnet', None}, default='l2'
        rho is 0 for 'l2', 1 for 'l1', ``l1_ratio`` for 'elasticnet'. Weights that L1 makes zero are exactly zero.
        With adamw the penalty is applied separately from the gradient's scaling, as published, so its balance with
        the loss differs.
    alpha : float, default=0.0001
        Strength of the penalty.
    l1_ratio : float or None, default=0.15
        rho of the elastic net; other penalties do not need it.
    fit_intercept : bool, default=True
        Whether b is trained. If not, it stays at its start: zero, unless it is given.
    max_iter : int, default=1000
        The largest number of epochs.
    tol : float or None, default=1e-3
        Training stops when the training loss (with early stopping: the validation score) has not improved by more than
        ``tol`` for ``n_iter_no_change`` epochs. Full-batch descent stops when the sum of squares of the gradient is at
        most ``tol``. None: training stops after ``max_iter`` epochs.
    shuffle : bool, default=True
        Whether ``fit`` takes the rows in a new random order in each epoch. ``partial_fit`` never does. The random
        orders depend on ``random_state`` and on the content of the rows, not on their position in X: the same rows in
        another order give the same model.
    verbose : int, default=0
        Whether to log a line for every epoch: by ``logging``, to the logger "fastxent" at level INFO. Where no handler
        takes such lines, they go to stderr. For a source, the line also has the rows per second and the longest time
        that may be left, and long passes have lines of their own.
    random_state : int, RandomState instance or None, default=None
        For the order of rows and the held-out rows.
    learning_rate : str, default='auto'
        How the step size develops from ``eta0``; n counts updates.

        - 'constant': eta0.
        - 'optimal': eta0 / (1 + alpha eta0 n), which is scikit-learn's 1 / (alpha (t0 + n)), with t0 such that
          it begins at eta0.
        - 'invscaling': eta0 / (1 + n) ** power_t.
        - 'adaptive': divided by 5 each time the training would stop, until it is below 1e-6 of the start.
        - 'cosine': half a wave from eta0 down to zero over ``max_iter`` epochs.
        - 'auto': for stochastic and minibatch sgd, momentum and nesterov
          1 / sqrt(1 / eta0^2 + noise + (alpha n)^2), where noise grows with the losses of the updates so far; else
          'constant'.
    eta0 : float or None, default=None
        The first step size. None: from the data, to suit their scale. For rows and minibatches it comes from the mean
        of s_i \|x_i\|^2 over the rows seen so far (so the data may come in pieces), separately for the intercept, and
        steps of minibatches are limited by the largest curvature of one of them; for full batches it comes from the
        largest curvature of the loss. Columns far larger or smaller than the others, far from zero, or (for
        minibatches) far more frequent are then standardised as the kernels read the rows (not for 'ftrl').
    power_t : float, default=0.25
        Exponent of 'invscaling'.
    early_stopping : bool, default=False
        Whether to hold out rows (or use ``eval_set``), stop by their score, and end with the best weights.
        ``partial_fit`` holds out no rows, and needs an ``eval_set`` for early stopping.
    validation_fraction : float, default=0.1
        Share of rows held out, in the same proportions of classes. Rows of weight zero are not counted.
    n_iter_no_change : int, default=5
        Epochs without improvement before training stops.
    class_weight : dict, 'balanced' or None, default=None
        Weights of classes, which multiply the sample weights in training. Validation scores use only the sample
        weights.
    warm_start : bool, default=False
        Whether ``fit`` starts from the coefficients of the last fit instead of zeros.
    average : bool or int, default=False
        Whether to average the weights over the updates (Polyak, Ruppert); a number means from that update on. Where
        dense rows come one by one, and where sparse rows have many features, only regularly spaced updates are
        averaged.
    batch_size : int or None, default=1
        The number of rows in an update: 1 is stochastic, more are minibatches, None is all rows.
    optimizer : str, default='sgd'
        'sgd', 'momentum', 'nesterov', 'adagrad', 'rmsprop', 'adam', 'adamw', 'ftrl', or 'svrg': stochastic steps with
        reduced variance and a constant step size, which reach the optimum to any ``tol`` (then a bound on the sum of
        squares of the gradient, as for full batches). One epoch costs as much as three of sgd.
    momentum : float or None, default=None
        Decay of the running mean of gradients (rmsprop: of their squares). None: 0.9 (rmsprop: 0.99).
    beta2 : float, default=0.999
        Decay of the running mean of squares of adam and adamw.
    epsilon : float, default=1e-8
        Keeps adaptive optimisers from dividing by zero.
    warmup : int, default=0
        Updates over which the step size grows to its full value.
    validation_metric : {'log_loss', 'accuracy'}, default='log_loss'
        The score of early stopping: the weighted mean over the validation rows.
    n_jobs : int or None, default=None
        Without effect: there is one model for all classes, not one for each. Use ``n_threads``.
    n_threads : int or None, default=None
        Threads for full batches, validation and prediction; the results do not depend on it. Updates by rows and
        minibatches run on one thread, except with ``parallel``.
    parallel : {'hogwild'} or None, default=None
        'hogwild': ``n_threads`` threads, at most one for each processor, take rows of sparse data at the same time
        and write to the same weights without locks. Faster where rows seldom share features, and not reproducible to
        the last digit. For stochastic sgd without L1 and averaging only.
    checkpoint : str, os.PathLike, Checkpoint or None, default=None
        A folder in which ``fit`` keeps its state between epochs, once a minute; :class:`fastxent.Checkpoint` says how
        often. If the process dies, the same fit with the same folder goes on from there, and ends with the bits that it
        would have had. If it has ended, it returns its result at once. A different fit is refused: one with other
        parameters (except ``verbose`` and ``n_threads``), data, or versions of fastxent, NumPy, SciPy and Numba. If
        rows are held out at random, a checkpoint needs a ``random_state``. ``partial_fit`` writes none: save the model
        between its calls.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        The labels, sorted. After fitting soft labels 0..K-1 or, if they were a frame, the names of its columns, in
        their order.
    coef_ : ndarray of shape (K, d), or (1, d) for two classes
    intercept_ : ndarray of shape (K,) or (1,)
    n_iter_ : int
        Epochs done.
    t_ : int
        Updates done, the argument of schedules.
    converged_ : bool
        Whether training stopped by itself, and passed these checks: the loss did not rise, is below that of predicting
        the frequencies of the classes, and would not be much lower after another step of all columns, or of one.
        Otherwise a ConvergenceWarning names the check that failed. For ``partial_fit``: whether early stopping has
        ended the training in this way.
    history_ : dict of ndarray
        By epoch: ``epoch``, ``loss`` (mean cross-entropy of the rows, each just before its update; for full batches
        the objective at the beginning of the epoch), ``learning_rate``, ``seconds`` of training so far, ``val_loss``
        (log loss) if there are validation rows, ``grad_norm`` (root of the sum of squares) for full batches. A call
        of ``partial_fit`` counts as an epoch. It adds an entry, but keeps at most 128: the first, the last, and some
        at even distances between them. Quantities that it did not measure are NaN.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (d,)

    Notes
    -----
    ``partial_fit`` continues from the current ``coef_``, ``intercept_``, ``classes_``, ``t_`` and ``history_``, with
    the current parameters. All of them may be set, replaced or edited in place between two calls, even on an object
    that was never trained: weights from elsewhere can be trained further, as in federated averaging. The dtype of
    ``coef_`` is that of the training.

    Some state of a training has no public name. It is kept while it is valid:

    - the running means and sums of the optimiser, until ``optimizer`` changes;
    - with ``average``, the weights before averaging and the number of those averaged, until ``average`` changes;
      averaging then starts again, at ``coef_``;
    - the step size that 'adaptive' has lowered, until ``learning_rate`` or ``eta0`` changes;
    - the best validation score and its weights, until ``validation_metric`` changes; patience starts again with every
      change of a parameter that training depends on;
    - the sizes of the rows and columns seen, which the automatic step size depends on, until ``eta0`` is given.

    When ``coef_`` or ``intercept_`` differ from what the last call left, all of it is dropped except the sizes of rows
    (and the squared gradients that ftrl has added up, its confidence in each weight). Equal values in another array are
    no change. ``fit`` starts without any of it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastxent import SGDClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SGDClassifier(random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True

    One step of stochastic descent, by hand: sigmoid(0.04 + 0.5 * 0.82) is 0.61, so the gradient is
    (0.61 - 1) (1, 0.82).

    >>> one = SGDClassifier(eta0=0.01, learning_rate="constant", penalty=None, max_iter=1, tol=None)
    >>> _ = one.fit([[0.82]], [[0, 1]], coef_init=[[0.5]], intercept_init=[0.04])
    >>> one.intercept_.round(4), one.coef_.round(4)
    (array([0.0439]), array([[0.5032]]))
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 - the name and kind that scikit-learn looks for
        "loss": [StrOptions({"log_loss"})],
        "penalty": [StrOptions({"l2", "l1", "elasticnet"}), None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
        "fit_intercept": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "shuffle": ["boolean"],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "learning_rate": [StrOptions(_SCHEDULES)],
        "eta0": [Interval(Real, 0, None, closed="neither"), None],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "warm_start": ["boolean"],
        "average": ["boolean", Interval(Integral, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "optimizer": [StrOptions(_OPTIMIZERS)],
        "momentum": [Interval(Real, 0, 1, closed="left"), None],
        "beta2": [Interval(Real, 0, 1, closed="neither")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "warmup": [Interval(Integral, 0, None, closed="left")],
        "validation_metric": [StrOptions({"log_loss", "accuracy"})],
        "n_jobs": [None, Integral],
        "n_threads": [None, Integral],
        "checkpoint": [str, os.PathLike, Checkpoint, None],
        "parallel": [StrOptions({"hogwild"}), None],
    }

    class_weight: WeightsByLabel | None
    converged_: bool
    history_: dict[str, Array]
    classes_: Array
    coef_: Floats
    intercept_: Floats
    n_iter_: int
    t_: int

    def __init__(
        self,
        loss: Literal["log_loss"] = "log_loss",
        *,
        penalty: Literal["l2", "l1", "elasticnet"] | None = "l2",
        alpha: float = 0.0001,
        l1_ratio: float | None = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        shuffle: bool = True,
        verbose: int = 0,
        random_state: RandomState | None = None,
        learning_rate: LearningRate = "auto",
        eta0: float | None = None,
        power_t: float = 0.25,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        class_weight: WeightsByLabel | None = None,
        warm_start: bool = False,
        average: bool | int = False,
        batch_size: int | None = 1,
        optimizer: Optimizer = "sgd",
        momentum: float | None = None,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        warmup: int = 0,
        validation_metric: Literal["log_loss", "accuracy"] = "log_loss",
        n_jobs: int | None = None,
        n_threads: int | None = None,
        parallel: Literal["hogwild"] | None = None,
        checkpoint: Path | Checkpoint | None = None,
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.shuffle = shuffle
        self.verbose = verbose
        self.random_state = random_state
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.average = average
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.momentum = momentum
        self.beta2 = beta2
        self.epsilon = epsilon
        self.warmup = warmup
        self.validation_metric = validation_metric
        self.n_jobs = n_jobs
        self.n_threads = n_threads
        self.parallel = parallel
        self.checkpoint = checkpoint

    # Training -----------------------------------------------------------------------------------------

    @checked_parameters
    def fit(
        self,
        X: MatrixLike | Batches,
        y: ArrayLike | None = None,
        coef_init: ArrayLike | None = None,
        intercept_init: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        eval_set: EvalSet | None = None,
        callback: Callback | None = None,
        *,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Train from the start, epoch after epoch.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d), or a source
            A source is an iterable of batches (X, y) or (X, y, weight) that gives the same ones each time: see
            docs/larger-than-memory.md. Each epoch takes the batches in their order, and with ``shuffle`` the rows of
            each in a new random order. For a source, weights make steps longer or shorter, even if they are whole
            numbers.
        y : array-like of shape (n,), or (n, K) with K >= 2
            Labels of any kind, or soft labels: each row a distribution over K classes. The columns of a frame of soft
            labels are named by the classes.
        coef_init, intercept_init : array-like like ``coef_`` and ``intercept_``, or None
            Where to start, instead of zeros or (with ``warm_start``) the last fit. For two classes, also the single row
            and the single number.
        sample_weight : array-like of shape (n,), number or None
            Weights of rows, not negative; a number is that of every row. A weight of zero leaves the row out,
            everywhere. In shuffled stochastic and minibatch training, whole numbers of up to 10 in the mean say how
            often a row is visited in an epoch, so that a row of weight 3 leads to the same model as three rows; other
            weights make longer or shorter steps, in proportion to their mean. (``partial_fit`` does not know the mean
            of rows to come: there it is that of the rows so far, and a given ``eta0`` is the step of a row of weight
            1.)
        eval_set : tuple (X, y) or (X, y, sample_weight), a source, or None
            Validation rows, instead of ones held out of X. The columns of a frame of soft labels are found by their
            names.
        callback : callable or None
            Called after every epoch with the last entries of ``history_`` as a dict; if what it returns is true,
            training ends.
        classes : array-like of shape (K,) or None
            All labels of a source. None: they are found in a first pass.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For input that cannot be used, and if the descent diverges. The estimator is left as it was, as it is
            by an interrupt, or by an error in the callback.
        """
        with restored_on_failure(self):
            return self._fit(
                X, y, coef_init, intercept_init, sample_weight, eval_set, check_callback(callback), classes
            )

    @_unless_svrg
    @checked_parameters
    def partial_fit(
        self,
        X: MatrixLike | Batches,
        y: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        eval_set: EvalSet | None = None,
    ) -> Self:
        """Go on training with these rows, once, in their order.

        Training continues from the public attributes, with the current parameters: see the notes on the class. Unless
        they are changed, calls with consecutive pieces of whole batches give the same bits as one call with all rows
        (or a ``fit`` of one epoch without shuffling).

        Parameters
        ----------
        X, y, sample_weight : as in ``fit``
            Not all weights may be zero. The rows may all be of one class. For a source, each batch is a piece, and one
            pass is made, so it may be a generator. If it fails in a later batch, nothing of the call remains.
        classes : array-like of shape (K,)
            All labels, also those of later calls; needed at the first call, unless ``classes_`` exists, or y is soft
            labels, whose columns are the classes. The columns of an array of soft labels are those of ``classes``, in
            their order.
        eval_set : tuple (X, y) or (X, y, sample_weight), a source, or None
            Validation rows to be measured after this call. With ``early_stopping``, when the score has not improved
            for ``n_iter_no_change`` calls, the best weights are restored, and further calls do nothing until
            something else is changed.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For input, attributes or parameters that cannot be used, and if the descent diverges. The estimator is
            left as it was, as it is by an interrupt.
        """
        with restored_on_failure(self):
            return self._partial_fit(X, y, classes, sample_weight, eval_set)

    def _fit(
        self,
        X: Any,
        y: Any,
        coef_init: Any,
        intercept_init: Any,
        sample_weight: Any,
        eval_set: Any,
        callback: Callback | None,
        classes: Any,
    ) -> Self:
        n_threads = validation.check_n_threads(self.n_threads)
        if self.optimizer == "svrg" and self.batch_size != 1:
            raise ValueError(
                f"optimizer='svrg' takes rows one by one: batch_size must be 1, got {self.batch_size}."
            )
        facts: Any = None if self.checkpoint is None else self._facts(eval_set)
        start, n_rows = partial(self._start, coef_init=coef_init, intercept_init=intercept_init), None
        if streaming.is_source(X):
            streaming.refuse_beside(y=y, sample_weight=sample_weight)
            plan = self._over_batches(X, start, eval_set, classes, n_threads)
            n_rows = plan.objective().n_rows
        else:
            if classes is not None:
                raise ValueError("classes is for a source; of an array X, those of y are the classes.")
            plan = self._over_rows(X, y, start, sample_weight, eval_set, n_threads)
            X = plan.X
        descent, classes, score = plan.descent, plan.classes, plan.score
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        data = {"X": X, "y": y, "metadata": metadata}
        random = check_random_state(self.random_state)
        decides = score is not None and self.early_stopping
        watch = Watch(self, decides, math.log(len(classes)))
        verdict = Verdict(
            plan.objective,
            plan.chance,
            descent.training.options,
            self.tol,
            getattr(self, "feature_names_in_", None),
            score.chance if decides else None,
        )

        def attributes(theta: Array) -> dict[str, Array]:
            return {"classes_": classes, "coef_": theta[:-1].T, "intercept_": theta[-1]}

        context = context_of(self, max_subtasks=self.max_iter + 1)
        if context is not None:
            context.call_on_fit_task_begin(estimator=self, **data)
        tasks = IterationTasks(context, self, attributes, **data)
        watched = hasattr(self, "_skl_callbacks")
        if watched:
            tasks(descent.theta())

        epochs = Epochs(plan, watch, random)
        if self.checkpoint is not None:
            epochs.open(self, facts)
        stop = epochs.ended
        while not stop and len(watch.history["epoch"]) < self.max_iter:
            epochs.keep()
            loss, found = descent.epoch(plan.order(random))
            watch.note(loss, descent.learning_rate, **found)
            if score is not None:
                watch.judge(descent.theta(), *score(descent.theta()))
            epochs.ended = stop = watch.should_stop(descent, verdict)
            if callback is not None:
                stop |= bool(callback(watch.entry()))
            if watched:
                stop |= bool(tasks(descent.theta()))
            if self.verbose:
                watch.report(pace.of_epochs(watch.history, n_rows, self.max_iter) if n_rows else "")
        epochs.close(goes_on=stop and not epochs.ended)
        if stop:
            watch.warn_if_elsewhere()
        else:
            watch.ran_out(self)
        tasks.close()
        best = watch.patience.best
        theta = descent.theta() if best is None else best
        validation.check_finite_result(theta, plan.X)
        self.__dict__.update(attributes(theta))
        self.n_iter_ = len(watch.history["epoch"])
        self.t_ = descent.updates
        self.converged_ = watch.converged
        self.history_ = {name: np.array(values) for name, values in watch.history.items()}
        training = descent.training if best is None else None
        self._remembered_ = remembered(self, descent.training.options, training, Patience())
        if context is not None:
            context.call_on_fit_task_end(estimator=self, reconstruction_attributes={}, **data)
        return self

    def _facts(self, eval_set: Any) -> dict[str, str]:
        """What a checkpoint belongs to, so far; refuses what cannot be repeated."""
        if self.parallel is not None:
            raise ValueError(
                f"checkpoint does not go with parallel={self.parallel!r}, whose last digits depend on chance. Use "
                "parallel=None, or checkpoint=None."
            )
        if self.early_stopping and eval_set is None and self.random_state is None:
            raise ValueError(
                "checkpoint needs a random_state where early_stopping holds out rows: without one, these are others "
                "in every fit. Give random_state a number, or give an eval_set."
            )
        with importing:
            import numba

        return checkpoints.facts_of(self) | {"Numba": numba.__version__}

    def _over_rows(
        self,
        X: Table,
        y: Any,
        start: Callable[..., Any],
        sample_weight: Array | None,
        eval_set: Any,
        n_threads: int | None,
    ) -> _Plan:
        """The descent over rows in memory, and what it needs beside."""
        with importing:
            from ..sgd.descents import Weights  # brings Numba
            from ..sgd.trainer import Training

        X, target, classes = self._check_rows(X, y)
        given = X
        sample_weight = check_sample_weight(sample_weight, X.shape[0])
        class_weight = class_weights(self.class_weight, classes, target, sample_weight)
        rows = _rows_that_count(classes, target, sample_weight, class_weight)
        training = Training(self._options(), start(X.shape[1], X.dtype, classes))
        score = None
        if eval_set is not None:
            score = self._held_out(eval_set, classes, X.dtype, n_threads)
        elif self.early_stopping:
            held_out, rows = split(self, target, rows)
            score = HeldOut(self, taken(held_out, X, target, sample_weight), len(classes), n_threads)
            X, target, sample_weight = taken(rows, X, target, sample_weight)
            rows = np.arange(len(rows))
        shuffle = self.shuffle and self.batch_size is not None
        repeats = _repeats(sample_weight, rows) if shuffle else None
        if shuffle:
            from ..sgd.order import by_content

            rows = by_content(X, target, rows)
            rows = rows if repeats is None else np.repeat(rows, repeats[rows])
        wanted = Targets(target, len(classes), sample_weight, class_weight, folded=True).astype(X.dtype)
        visit = wanted if repeats is None else Targets(target, len(classes), None, class_weight, folded=True)
        target, weights = wanted.target, Weights(wanted.row_weight, _relative(visit.row_weight, rows), None)
        descent = _descent(self, training, X, target, len(classes), weights, n_threads)
        descent.begin(rows)

        def order(random: np.random.RandomState) -> Array:
            if shuffle:
                random.shuffle(rows)
            return rows

        def objective() -> Objective:
            targets = Targets(target, len(classes), wanted.row_weight)
            return Objective.over(X, targets, training.K, n_threads=n_threads)

        chance = chance_loss(target, len(classes), wanted.row_weight, self.fit_intercept)
        return _Plan(descent, order, given, classes, score, objective, chance, rows if shuffle else None)

    def _over_batches(
        self,
        source: Iterable[Any],
        start: Callable[..., Any],
        eval_set: tuple[Array, Array] | None,
        classes: Array | None,
        n_threads: int | None,
    ) -> _Plan:
        """The same over the batches of a source."""
        self._refuse_for_sources()
        if self.early_stopping and eval_set is None:
            raise ValueError(
                "early_stopping holds out rows of an array, and X is a source: give an eval_set, for "
                "instance another source."
            )
        with importing:
            from ..sgd.trainer import Training  # brings Numba

        batches = self._batches(source, classes)
        classes = batches.classes
        training = Training(self._options(), start(batches.n_features, batches.dtype, classes))
        objective = batches.objective(n_threads=n_threads)
        descent = DescentOverBatches(training, batches, objective, partial(_descent, self), n_threads)
        descent.begin()
        score = None if eval_set is None else self._held_out(eval_set, classes, batches.dtype, n_threads)
        mass = batches.mass if batches.class_weight is None else batches.mass * batches.class_weight
        return _Plan(
            descent,
            lambda random: random if self.shuffle else None,
            np.full((1, 1), batches.largest, batches.dtype),
            classes,
            score,
            lambda: objective,
            chance_of(mass.floats()[0], self.fit_intercept),
        )

    def _refuse_for_sources(self) -> None:
        """Refuse what takes all rows at once."""
        if self.batch_size is None or self.optimizer == "svrg":
            what = "optimizer='svrg'" if self.batch_size is not None else "batch_size=None"
            raise ValueError(
                f"{what} needs all rows in memory, and a source has them in batches. Use another, or "
                "LogisticRegression, which reaches the optimum over sources, too."
            )

    def _partial_fit(self, X: Any, y: Any, classes: Any, sample_weight: Any, eval_set: Any) -> Self:
        n_threads = validation.check_n_threads(self.n_threads)
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit. In order to use 'balanced' weights, use "
                "compute_class_weight('balanced', classes=classes, y=y). In place of y you can use a large enough "
                "sample of the full training set target to properly estimate the class frequency distributions. Pass "
                "the resulting weights as the class_weight parameter."
            )
        if self.early_stopping and eval_set is None and not has_been_scored(self):
            raise ValueError(
                "early_stopping should be False with partial_fit, unless it is given an eval_set: it holds out no rows."
            )
        pieces = [(0, (X, y, sample_weight))]
        in_batches = streaming.is_source(X)
        if in_batches:
            streaming.refuse_beside(y=y, sample_weight=sample_weight)
            self._refuse_for_sources()
            pieces = streaming.read(X)
        options, training, losses, masses = self._options(), None, [], []
        for number, batch in pieces:
            X, y, sample_weight = streaming.parts_of(number, batch)
            with streaming.named(number) if in_batches else nullcontext():
                piece = self._piece(X, y, sample_weight, classes, training)
                X, target, classes, rows, weights = piece
                if training is None:
                    training, new, patience = recalled(self, options, X.shape[1], len(classes), X.dtype)
                    evaluate = None
                    if eval_set is not None:
                        evaluate = self._held_out(eval_set, classes, X.dtype, n_threads)
                    if self.early_stopping and patience.is_over(self.tol, self.n_iter_no_change):
                        return self
                    watch = Watch(self, self.early_stopping, math.log(len(classes)), patience)
                weights = self._in_unit(weights, training, X.dtype)
            if len(rows) == 0:
                continue
            descent = _descent(self, training, X, target, len(classes), weights, n_threads)
            if new:
                descent.begin(rows)
                new = False
            loss, found = descent.epoch(rows)
            losses.append(loss)
            masses.append(len(rows) if weights.visit is None else weights.visit[rows].sum())
        if not losses:
            raise ValueError("The source has no rows of positive weight, so there is nothing to learn from.")
        loss = losses[0] if len(losses) == 1 else float(np.average(losses, weights=masses))
        watch.note(loss, descent.learning_rate, **found)
        theta = descent.theta()
        validation.check_finite_result(theta, X)
        self.t_ = descent.updates
        if evaluate is not None:
            # A copy: theta will be public, and its owner may change it.
            watch.judge(theta.copy() if self.early_stopping else theta, *evaluate(theta))
            if self.early_stopping and watch.patience_is_over():
                watch.conclude_pieces(evaluate.chance)
                theta, training = patience.best.copy(), None
        self.classes_, self.coef_, self.intercept_ = classes, theta[:-1].T, theta[-1]
        self.n_iter_ = 1
        self.converged_ = watch.converged
        self.history_ = extended(getattr(self, "history_", None), watch.entry())
        self._remembered_ = remembered(self, options, training, patience)
        return self

    def _piece(
        self,
        X: Table,
        y: Any,
        sample_weight: Array | None,
        classes: Array | None,
        training: Training | None,
    ) -> tuple[Table, Array, Array, Array, Weights]:
        """X, targets, classes, the rows that count and the weights of a piece; training: None for the first."""
        first = training is None
        classes = self._classes_of_pieces(classes, y) if first else classes
        X, target, classes = self._check_piece(X, y, classes, None if training is None else training.dtype)
        sample_weight = check_sample_weight(sample_weight, X.shape[0])
        class_weight = class_weights(self.class_weight, classes, target, sample_weight)
        rows = _rows_that_count(classes, target, sample_weight, class_weight, at_least=1)
        return X, target, classes, rows, _weights(target, sample_weight, class_weight)

    def _in_unit(self, weights: Weights, training: Training, dtype: np.dtype[Any]) -> Weights:
        if weights.visit is None:
            return weights
        visit = training.in_unit(weights.visit)
        _refuse_extreme(weights.visit, visit, dtype, self.eta0)
        return weights._replace(visit=visit)

    def _history_quantities(self) -> dict[str, tuple[str, str]]:
        """Return what ``history_["loss"]`` measures: full-batch descent and SVRG compute the objective itself."""
        return {"loss": OBJECTIVE} if self.batch_size is None or self.optimizer == "svrg" else {}

    # Input --------------------------------------------------------------------------------------------

    def _options(self) -> Options:
        """Return the Options from the arguments."""
        with importing:
            from ..sgd.options import Options  # brings Numba

        if self.penalty == "elasticnet" and self.l1_ratio is None:
            raise ValueError("l1_ratio must be set when penalty is 'elasticnet': a number from 0 to 1.")
        ratio: Any = {None: 0.0, "l2": 0.0, "l1": 1.0, "elasticnet": self.l1_ratio}[self.penalty]
        alpha = 0.0 if self.penalty is None else self.alpha
        schedule = self.learning_rate
        if schedule == "auto":
            steady = self.batch_size is None or self.optimizer not in ("sgd", "momentum", "nesterov")
            schedule = "constant" if steady else "settling"
        momentum = self.momentum
        if momentum is None:
            momentum = 0.99 if self.optimizer == "rmsprop" else 0.9
        return Options(
            optimizer=self.optimizer,
            l1=alpha * ratio,
            l2=alpha * (1.0 - ratio),
            momentum=momentum,
            beta2=self.beta2,
            eps=self.epsilon,
            schedule=schedule,
            eta0=self.eta0,
            alpha=alpha,
            power=self.power_t,
            warmup=self.warmup,
            batch=self.batch_size or 0,
            fit_intercept=self.fit_intercept,
            epochs=self.max_iter,
            by_column=self.eta0 is None and self.optimizer != "ftrl",
            average_from=int(self.average) - 1,
        )

    def _for_training(self, X: Table) -> Table:
        _refuse_beyond_float32(X, X.dtype)
        return without_duplicates(for_kernels(X))

    def _check_rows(
        self,
        X: Table,
        y: Any,
        classes: Array | None = None,
        reset: bool = True,
        dtype: np.dtype[Any] | None = None,
    ) -> tuple[Table, Array, Array]:
        X, target, classes = super()._check_rows(X, y, classes, reset)
        dtype = X.dtype if dtype is None else dtype
        _refuse_beyond_float32(X, dtype)
        if dtype != X.dtype:
            X, target = for_kernels(X.astype(dtype)), target if target.ndim == 1 else target.astype(dtype)
        # Duplicate entries would count as two.
        return without_duplicates(X), target, classes

    def _classes_of_pieces(self, classes: Array | None, y: Any) -> Array | None:
        """Return all labels: ``classes_``, or the argument at the first call; None if soft labels y have them."""
        known = getattr(self, "classes_", None)
        if classes is None and known is None:
            if has_columns(y):
                return None
            raise ValueError(
                "classes must be passed on the first call to partial_fit: an array of all labels, also of later calls."
            )
        classes = None if classes is None else labels(classes, name="classes")
        if known is None:
            name, found = "classes", named_classes(classes, y)
        else:
            name, found = "classes_", labels(known, name="classes_")
        if found.ndim != 1 or len(np.unique(found)) < max(2, len(found)):
            raise ValueError(f"{name} must name at least 2 classes, each once; got {found.tolist()}.")
        if classes is not None and not same_classes(classes, found, y):
            raise ValueError(
                f"classes={named_classes(classes, y).tolist()} differs from the first call: {found.tolist()}."
            )
        return found

    def _check_piece(
        self, X: Table, y: Any, classes: Array | None, dtype: np.dtype[Any] | None
    ) -> tuple[Table, Array, Array]:
        """`_check_rows` for partial_fit: codes are positions in these classes, in any order."""
        if dtype is None and hasattr(self, "coef_"):
            single = getattr(self.coef_, "dtype", None) == np.float32
            dtype = np.dtype(np.float32 if single else np.float64)
        return self._check_rows(X, y, classes, not hasattr(self, "n_features_in_"), dtype)

    def _start(
        self, d: int, dtype: np.dtype[Any], classes: Array, *, coef_init: Any, intercept_init: Any
    ) -> Array:
        """Return the starting parameters: given ones, zeros, or those of the last fit."""
        theta = np.zeros((d + 1, 1 if len(classes) == 2 else len(classes)), dtype)
        if self.warm_start and hasattr(self, "coef_"):
            theta[...] = self._theta_to_start_from((theta.shape[1], d), dtype)
        for name, given, target in (
            ("coef_init", coef_init, theta[:-1].T),
            ("intercept_init", intercept_init, theta[-1]),
        ):
            if given is None:
                continue
            given = as_native(given, name, dtype)
            if len(target) == 1 and given.ndim == target.ndim - 1:  # two classes, which have one row
                given = given[np.newaxis]
            if given.shape != target.shape:
                raise ValueError(
                    f"Provided {name} does not match dataset: its shape is {given.shape}, and {len(classes)} classes "
                    f"of {d} features need {target.shape}."
                )
            check_finite(given, name)
            target[...] = given
        return theta

    def _held_out(
        self, eval_set: tuple[Array, Array], classes: Array, dtype: np.dtype[Any], n_threads: int | None
    ) -> HeldOut | HeldOutBatches:
        """Return the HeldOut of the argument ``eval_set``, or its like for a source."""
        if streaming.is_source(eval_set):
            return HeldOutBatches(self, self._validation_batches(eval_set, classes, dtype), n_threads)
        return HeldOut(self, self._check_eval_set(eval_set, classes, dtype), len(classes), n_threads)


def _rows_that_count(
    classes: Array, target: Array, sample_weight: Array | None, class_weight: Scaled | None, at_least: int = 2
) -> Array:
    # Soft labels name their classes; one step towards one of them is a step.
    at_least = at_least if target.ndim == 1 else 1
    rows = rows_that_count(target, classes, sample_weight, class_weight, at_least)
    return np.arange(len(target)) if rows is None else rows


def _weights(target: Array, sample_weight: Array | None, class_weight: Any) -> Weights:
    """Return the Weights of rows and classes, unscaled."""
    from ..sgd.descents import Weights

    if class_weight is not None:
        class_weight = ldexp(class_weight.mantissa, class_weight.exponent)
        if target.ndim == 1:
            of_row, class_weight = class_weight[target], None
            sample_weight = of_row if sample_weight is None else of_row * sample_weight
    return Weights(sample_weight, sample_weight, class_weight)


def _repeats(sample_weight: Array | None, rows: Array) -> Array | None:
    """Return the weights as integers if they are, and if repeated rows would not make an epoch too long; else None."""
    if sample_weight is None or sample_weight[rows].mean() > _REPEATS or (sample_weight % 1.0).any():
        return None
    return sample_weight.astype(np.intp)


def _relative(visit: Array | None, rows: Array) -> Array | None:
    """Return the weights of visits over their mean, so that steps depend only on their ratios."""
    return None if visit is None else visit / visit[rows].mean()


def _refuse_extreme(given: Any, visit: Any, dtype: np.dtype[Any], eta0: float | None) -> None:
    """Refuse weights with which steps would leave the range of a dtype. given: `visit`, not in a unit."""
    most = _WEIGHT32 if dtype == np.float32 else _WEIGHT64
    wrong = (given > 0) & ~((1.0 / most <= visit) & (visit <= most))
    if not wrong.any():
        return
    value = given[np.argmax(wrong)]
    unit = "1, the weight for which eta0 is the step" if eta0 is not None else "that of the first row"
    raise ValueError(
        f"partial_fit cannot use a weight of {value:.3g} (sample_weight times class_weight): it is so far from {unit} "
        f"that steps leave the range of {dtype.name}. Divide the weights of all pieces by the same constant"
        + (", or leave eta0 None." if eta0 is not None else ", and check those that differ so much.")
    )


def _refuse_beyond_float32(X: Table, dtype: np.dtype[Any]) -> None:
    stored = X.data if is_sparse(X) else X
    if dtype != np.float32 or stored.size == 0:
        return
    largest = max(float(stored.max()), -float(stored.min()))
    if largest == 0.0 or 1.0 / _RANGE32 <= largest <= _RANGE32:
        return
    raise ValueError(
        f"The largest entry of X is {largest:.3g} in absolute value, and steps with such numbers leave the range of "
        "float32. Scale the features, or pass X as float64."
    )


def _descent(
    model: SGDClassifier,
    training: Training,
    X: Table,
    target: Array,
    n_classes: int,
    weights: Weights,
    n_threads: int | None,
) -> Minibatches | FullBatch | VarianceReduced:
    """Return the descent for a model's arguments: by rows, by minibatches, or by all rows."""
    from ..sgd import descents

    kind: type[descents.Minibatches]
    if model.parallel == "hogwild":
        options = training.options
        if options.optimizer != "sgd" or options.batch != 1 or options.l1 or options.average_from >= 0:
            raise ValueError(
                "parallel='hogwild' is for optimizer='sgd' with batch_size=1, without an L1 penalty and without "
                "averaging. Use parallel=None."
            )
        if not sp.issparse(X):
            raise ValueError(
                "parallel='hogwild' is for sparse X, because dense rows all write to the same weights. Use "
                "batch_size=128, or a CSR matrix."
            )
        kind = descents.Hogwild
    elif model.optimizer == "svrg":
        kind = descents.VarianceReduced
    else:
        kind = descents.FullBatch if model.batch_size is None else descents.Minibatches
    return kind(training, X, target, n_classes, weights, n_threads)
