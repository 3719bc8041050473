"""Stochastic, minibatch and full-batch descent for logistic regression, as scikit-learn's class of the same name."""

import math
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp
from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from .. import validation
from ..forks import unforked
from ..objective import Objective
from ..rows import without_duplicates
from .base import LinearClassifier, for_kernels, restored_on_failure
from .callbacks import IterationTasks, context_of
from .watch import Watch

_OPTIMIZERS = {"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "ftrl", "svrg"}
_SCHEDULES = {"auto", "constant", "optimal", "invscaling", "adaptive", "cosine"}
_REPEATS = 10  # mean weight up to which a row of weight 3 is three rows
_RANGE32 = 1e15  # squares of numbers beyond are out of float32's range


def _takes_pieces(model):
    if model.optimizer == "svrg":
        raise AttributeError(
            "partial_fit: optimizer='svrg' needs all rows at once, which partial_fit never has. Use another."
        )
    return True


class SGDClassifier(LinearClassifier):
    r"""Logistic regression by descent: stochastic, by minibatches, or by all rows at once.

    Minimises over W and b, with p the softmax of X W + b (binary: the sigmoid of one column), s the row
    weights and S their sum,

    .. math::
        \frac{1}{S} \sum_i s_i \left(-\log p_{i, y_i}\right)
        + \alpha \left(\frac{1 - \rho}{2} \|W\|_2^2 + \rho \|W\|_1\right).

    This is the multinomial loss itself, not one model against the rest for each class. The intercept b is
    never penalised. On sparse rows an update costs what the row's entries cost, whatever the optimiser and the
    penalty; for that, rmsprop and adam penalise a feature's weights when a row has it, for all the time since.

    Parameters
    ----------
    loss : {'log_loss'}, default='log_loss'
        Cross-entropy, the only loss there is.
    penalty : {'l2', 'l1', 'elasticnet', None}, default='l2'
        rho is 0 for 'l2', 1 for 'l1', ``l1_ratio`` for 'elasticnet'. Weights that L1 makes zero are exactly zero.
        With adamw the penalty is applied apart from the gradient's scaling, as its authors do, and its
        balance with the loss is another one.
    alpha : float, default=0.0001
        Strength of the penalty.
    l1_ratio : float, default=0.15
        rho of the elastic net.
    fit_intercept : bool, default=True
        Whether there is a b; else it is zero.
    max_iter : int, default=1000
        Epochs at most.
    tol : float or None, default=1e-3
        Training stops when the training loss (with early stopping: the validation score) has not improved by
        more than ``tol`` for ``n_iter_no_change`` epochs. Full-batch descent stops when the sum of squares of
        the gradient is at most ``tol``. None: after ``max_iter`` epochs.
    shuffle : bool, default=True
        Whether ``fit`` takes the rows in a new random order in each epoch. ``partial_fit`` never does. The random
        orders depend on ``random_state`` and on what the rows hold, not on where they stand in X: the same rows in
        another order lead to the same model.
    verbose : int, default=0
        Whether to print a line for every epoch.
    random_state : int, RandomState instance or None, default=None
        For the order of rows and the held-out rows.
    learning_rate : str, default='auto'
        How the step size goes on from ``eta0``; n counts updates.

        - 'constant': stays.
        - 'optimal': eta0 / (1 + alpha eta0 n), which is scikit-learn's 1 / (alpha (t0 + n)), with t0 such that
          it begins at eta0.
        - 'invscaling': eta0 / (1 + n) ** power_t.
        - 'adaptive': divided by 5 each time the training would stop, until it is below 1e-6 of the start.
        - 'cosine': half a wave from eta0 down to zero over ``max_iter`` epochs.
        - 'auto': 'invscaling' for stochastic and minibatch sgd, momentum and nesterov, else 'constant'.
    eta0 : float or None, default=None
        The first step size. None: from the data, so that it suits their scale: for minibatches from the mean of
        s_i \|x_i\|^2 over the rows seen so far (so the data may come in pieces), the intercept apart, and for
        full batches from the largest curvature of the loss.
    power_t : float, default=0.25
        Exponent of 'invscaling'.
    early_stopping : bool, default=False
        Whether to hold out rows (or use ``eval_set``), stop by their score, and end with the best weights.
    validation_fraction : float, default=0.1
        Share of rows held out, in the same proportions of classes.
    n_iter_no_change : int, default=5
        Epochs without improvement before training stops.
    class_weight : dict, 'balanced' or None, default=None
        Weights of classes, which multiply the sample weights.
    warm_start : bool, default=False
        Whether ``fit`` starts from the coefficients of the last fit instead of zeros.
    average : bool or int, default=False
        Average the weights over updates (Polyak, Ruppert); a number: from that update on. In stochastic
        training the average is of every update only where there are few features, else of regularly spaced
        ones.
    batch_size : int or None, default=1
        Rows of an update: 1 is stochastic, more are minibatches, None is all rows.
    optimizer : str, default='sgd'
        'sgd', 'momentum', 'nesterov', 'adagrad', 'rmsprop', 'adam', 'adamw', 'ftrl', or 'svrg': stochastic steps
        with reduced variance and a constant step size, which reach the optimum to any ``tol`` (which is then, as
        for full batches, on the sum of squares of the gradient). One epoch costs as much as three of sgd.
    momentum : float or None, default=None
        Decay of the running mean of gradients (rmsprop: of their squares). None: 0.9 (rmsprop: 0.99).
    beta2 : float, default=0.999
        Decay of the running mean of squares of adam and adamw.
    epsilon : float, default=1e-8
        Keeps adaptive optimisers from dividing by zero.
    warmup : int, default=0
        Updates over which the step size grows to what it shall be.
    validation_metric : {'log_loss', 'accuracy'}, default='log_loss'
        What early stopping goes by.
    n_threads : int or None, default=None
        Threads for full batches, validation and prediction; the results are the same whatever it is. Updates
        by rows and minibatches run on one thread, unless ``parallel`` says otherwise.
    parallel : {'hogwild'} or None, default=None
        'hogwild': ``n_threads`` threads take rows of sparse data at once and write into the same weights
        without locks. Faster where rows seldom share features, and not reproducible to the last digit. For
        stochastic sgd without L1 and averaging only.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
    coef_ : ndarray of shape (K, d), or (1, d) for two classes
    intercept_ : ndarray of shape (K,) or (1,)
    n_iter_ : int
        Epochs done.
    t_ : int
        Updates done.
    converged_ : bool
        Whether training stopped by itself.
    history_ : dict of ndarray
        By epoch: ``epoch``, ``loss`` (mean cross-entropy of the rows, each just before its update; for full batches the
        objective at the epoch's begin), ``learning_rate``, ``seconds`` since the start, ``val_loss`` (log loss) if
        there are validation rows, ``grad_norm`` (root of the sum of squares) for full batches.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (d,)

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

    _parameter_constraints: dict = {  # noqa: RUF012 - the name and kind that scikit-learn looks for
        "loss": [StrOptions({"log_loss"})],
        "penalty": [StrOptions({"l2", "l1", "elasticnet"}), None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
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
        "n_threads": [None, Integral],
        "parallel": [StrOptions({"hogwild"}), None],
    }

    def __init__(
        self,
        loss="log_loss",
        *,
        penalty="l2",
        alpha=0.0001,
        l1_ratio=0.15,
        fit_intercept=True,
        max_iter=1000,
        tol=1e-3,
        shuffle=True,
        verbose=0,
        random_state=None,
        learning_rate="auto",
        eta0=None,
        power_t=0.25,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        class_weight=None,
        warm_start=False,
        average=False,
        batch_size=1,
        optimizer="sgd",
        momentum=None,
        beta2=0.999,
        epsilon=1e-8,
        warmup=0,
        validation_metric="log_loss",
        n_threads=None,
        parallel=None,
    ):
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
        self.n_threads = n_threads
        self.parallel = parallel

    # Training -----------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X, y, coef_init=None, intercept_init=None, sample_weight=None, eval_set=None, callback=None
    ):
        """Train from the start, epoch after epoch.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d)
        y : array-like of shape (n,), or (n, K) with K >= 2
            Labels of any kind, or soft labels: each row a distribution over K classes.
        coef_init, intercept_init : array-like like ``coef_`` and ``intercept_``, or None
            Where to start, instead of zeros or (with ``warm_start``) the last fit.
        sample_weight : array-like of shape (n,) or None
            Weights of rows, not negative. A weight of zero leaves the row out. In shuffled stochastic and minibatch
            training, whole numbers of up to 10 in the mean say how often a row comes in an epoch, so that a row of
            weight 3 leads to the same model as three rows; other weights make longer or shorter steps.
        eval_set : tuple (X, y) or None
            Validation rows, instead of ones held out of X.
        callback : callable or None
            Called after every epoch with the last entries of ``history_`` as a dict; if what it returns is true,
            training ends.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For input that cannot be used, and if the descent diverges. The estimator is left as it was, as it is
            by an interrupt.
        """
        with restored_on_failure(self):
            return self._fit(X, y, coef_init, intercept_init, sample_weight, eval_set, callback)

    @available_if(_takes_pieces)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None, eval_set=None):
        """Go on training with these rows, once, in their order.

        Step size, momentum and averages go on where the last call left them: calls with consecutive pieces of
        whole batches end with the same bits as one call with all rows (or a ``fit`` of one epoch without
        shuffling).

        Parameters
        ----------
        X, y, sample_weight : as in ``fit``
        classes : array-like of shape (K,)
            All labels that will ever come; needed at the first call.
        eval_set : tuple (X, y) or None
            Validation rows to be measured after this call. When the score has not improved for
            ``n_iter_no_change`` calls, the best weights come back, and further calls change nothing.

        Returns
        -------
        self
        """
        with restored_on_failure(self):
            return self._partial_fit(X, y, classes, sample_weight, eval_set)

    def _fit(self, X, y, coef_init, intercept_init, sample_weight, eval_set, callback):
        n_threads = validation.check_n_threads(self.n_threads)
        if self.optimizer == "svrg" and self.batch_size != 1:
            raise ValueError(
                f"optimizer='svrg' takes rows one by one: batch_size must be 1, got {self.batch_size}."
            )
        X, target, classes = self._check_rows(X, y)
        sample_weight = validation.check_sample_weight(sample_weight, X.shape[0], all_zero=False)
        start = self._start(X, classes, coef_init, intercept_init)
        score = None
        if eval_set is not None:
            score = self._validation(*self._check_eval_set(eval_set, classes, X.dtype), classes, n_threads)
        elif self.early_stopping:
            held_out, kept = self._hold_out(target)
            score = self._validation(for_kernels(X[held_out]), target[held_out], classes, n_threads)
            X, target = for_kernels(X[kept]), target[kept]
            sample_weight = None if sample_weight is None else sample_weight[kept]
        shuffle = self.shuffle and self.batch_size is not None
        repeats = _repeats(sample_weight) if shuffle else None
        weights, rows = self._weights(classes, target, sample_weight, repeats)
        if len(rows) == 0:
            raise ValueError(
                "The weights of all rows are zero once class_weight is taken in; one must be positive."
            )
        if shuffle:
            with unforked:
                from ..sgd.order import by_content  # brings Numba

            rows = by_content(X, target, rows)
            rows = rows if repeats is None else np.repeat(rows, repeats[rows])
        descent = _descent(self, start, X, target, classes, weights, n_threads)
        descent.begin(rows)
        random = check_random_state(self.random_state)
        watch = Watch(self, score is not None and self.early_stopping, math.log(len(classes)))

        def attributes(theta):
            return {"classes_": classes, "coef_": theta[:-1].T, "intercept_": theta[-1]}

        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        data = {"X": X, "y": y, "metadata": metadata}
        context = context_of(self, max_subtasks=self.max_iter + 1)
        if context is not None:
            context.call_on_fit_task_begin(estimator=self, **data)
        tasks = IterationTasks(context, self, attributes, **data)
        watched = hasattr(self, "_skl_callbacks")
        if watched:
            tasks(descent.theta())

        for _ in range(self.max_iter):
            if shuffle:
                random.shuffle(rows)
            loss, found = descent.epoch(rows)
            watch.note(loss, descent.learning_rate, **found)
            if score is not None:
                watch.judge(descent.theta(), *score(descent.theta()))
            stop = watch.should_stop(descent)
            if callback is not None:
                stop |= bool(callback({name: values[-1] for name, values in watch.history.items()}))
            if watched:
                stop |= bool(tasks(descent.theta()))
            if self.verbose:
                watch.report()
            if stop:
                break
        else:
            watch.ran_out(self)
        tasks.close()
        theta = descent.theta() if watch.best is None else watch.best
        validation.check_finite_result(theta, X)
        vars(self).update(attributes(theta))
        self.n_iter_ = len(watch.history["epoch"])
        self.t_ = descent.updates
        self.converged_ = watch.converged
        self.history_ = {name: np.array(values) for name, values in watch.history.items()}
        self._training_ = descent.training if watch.best is None else None
        self._watch_ = None
        if context is not None:
            context.call_on_fit_task_end(estimator=self, reconstruction_attributes={}, **data)
        return self

    def _partial_fit(self, X, y, classes, sample_weight, eval_set):
        n_threads = validation.check_n_threads(self.n_threads)
        first = not hasattr(self, "classes_")
        if first and classes is None:
            raise ValueError(
                "classes must be passed on the first call to partial_fit: all labels there will be."
            )
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all rows at once, which partial_fit never has. Pass the weights as a "
                "dict, for instance from sklearn.utils.compute_class_weight."
            )
        if classes is not None:
            classes = np.unique(classes)
            if len(classes) < 2:
                raise ValueError(f"classes must name at least 2; got only one class: {classes.tolist()}")
            if not first and not np.array_equal(classes, self.classes_):
                raise ValueError(
                    f"classes={classes.tolist()} is not what it was at the first call: {self.classes_.tolist()}."
                )
        X, target, classes = self._check_rows(X, y, classes if first else self.classes_, reset=first)
        sample_weight = validation.check_sample_weight(sample_weight, X.shape[0])
        training = None if first else self._training_
        if training is not None:
            training = training.copy()  # what is there stays if this does not end well
            X = for_kernels(X.astype(training.dtype, copy=False))
        watch = None if first else self._watch_
        if watch is not None and watch.converged:
            return self
        start = np.zeros((X.shape[1] + 1, 1 if len(classes) == 2 else len(classes)), X.dtype)
        if not first and training is None:
            start[...] = self._theta(X.dtype)
        weights, rows = self._weights(classes, target, sample_weight)
        watch = watch.copy() if watch else Watch(self, eval_set is not None, math.log(len(classes)))
        if len(rows):
            descent = _descent(self, start, X, target, classes, weights, n_threads, training=training)
            if training is None:
                descent.begin(rows)
            loss, found = descent.epoch(rows)
            training = descent.training
            watch.note(loss, descent.learning_rate, **found)
        theta = training.theta() if training is not None else start
        validation.check_finite_result(theta, X)
        if eval_set is not None:
            evaluate = self._validation(*self._check_eval_set(eval_set, classes, X.dtype), classes, n_threads)
            watch.judge(theta, *evaluate(theta))
            if watch.patience_is_over():
                watch.converged, theta, training = True, watch.best, None
        self.classes_, self.coef_, self.intercept_ = classes, theta[:-1].T, theta[-1]
        self._training_, self._watch_ = training, watch
        self.n_iter_ = 1
        self.t_ = training.updates if training is not None else getattr(self, "t_", 0)
        self.converged_ = watch.converged
        self.history_ = {name: np.array(values) for name, values in watch.history.items()}
        return self

    # What comes in ------------------------------------------------------------------------------------

    def _check_rows(self, X, y, classes=None, reset=True):
        X, target, classes = super()._check_rows(X, y, classes, reset)
        trouble = _beyond_float32(X)
        if trouble is not None:
            raise ValueError(trouble)
        # Entries that stand twice would count wrongly as two.
        return without_duplicates(X), target, classes

    def _weights(self, classes, target, sample_weight, repeats=None):
        """Weights of rows, of each visit of a row, and of soft labels' classes; and the rows that count.

        repeats: how often each row will be visited, instead of what its sample weight says.
        """
        class_weight = self._check_class_weight(classes, target, sample_weight)
        row, visit = sample_weight, sample_weight if repeats is None else None
        if class_weight is not None and target.ndim == 1:
            of_row, class_weight = class_weight[target], None
            row, visit = (of_row if weight is None else of_row * weight for weight in (row, visit))
        rows = np.arange(target.shape[0]) if row is None else np.flatnonzero(row)
        return (row, visit, class_weight), rows

    def _start(self, X, classes, coef_init, intercept_init):
        """What is given, zeros, or where the last fit ended."""
        theta = np.zeros((X.shape[1] + 1, 1 if len(classes) == 2 else len(classes)), X.dtype)
        if self.warm_start and hasattr(self, "coef_"):
            theta[...] = self._theta_to_start_from((theta.shape[1], X.shape[1]), X.dtype)
        for name, given, target in (
            ("coef_init", coef_init, theta[:-1].T),
            ("intercept_init", intercept_init, theta[-1]),
        ):
            if given is None:
                continue
            given = validation.as_native(given, name, X.dtype)
            validation.check_finite(given, name)
            if given.shape != target.shape:
                raise ValueError(
                    f"{name} must have shape {target.shape} for {len(classes)} classes; got {given.shape}."
                )
            target[...] = given
        if not self.fit_intercept:
            theta[-1] = 0.0
        return theta

    def _hold_out(self, target):
        """Rows for validation and for training, stratified."""
        with unforked:
            from sklearn.model_selection import train_test_split  # slow to import

        codes = target if target.ndim == 1 else target.argmax(axis=1)
        kept, held_out = train_test_split(
            np.arange(len(codes)),
            test_size=self.validation_fraction,
            random_state=self.random_state,
            stratify=codes,
        )
        return np.sort(held_out), np.sort(kept)

    def _validation(self, X, target, classes, n_threads):
        """A function of theta: (mean log loss, score: the larger the better) on these rows."""
        binary = len(classes) == 2
        objective = Objective(X, target, n_classes=len(classes), binary=binary, n_threads=n_threads)
        codes = target if target.ndim == 1 else target.argmax(axis=1)

        def evaluate(theta):
            loss = objective.value(theta)
            if self.validation_metric == "log_loss":
                return loss, -loss
            from ..prediction import predict

            logits = predict(X, theta, "logits", n_threads)
            guess = (logits > 0) if binary else logits.argmax(axis=1)
            return loss, float(np.mean(guess == codes))

        return evaluate


def _repeats(sample_weight):
    """The weights as whole numbers, if that is what they are, and not so large that an epoch would become long."""
    if sample_weight is None or sample_weight.mean() > _REPEATS or (sample_weight % 1.0).any():
        return None
    return sample_weight.astype(np.intp)


def _beyond_float32(X):
    stored = X.data if sp.issparse(X) else X
    if stored.dtype != np.float32 or stored.size == 0:
        return None
    largest = max(float(stored.max()), -float(stored.min()))
    if largest == 0.0 or 1.0 / _RANGE32 <= largest <= _RANGE32:
        return None
    return (
        f"The largest entry of X is {largest:.3g} in absolute value, and steps for such numbers leave the range of "
        "float32. Scale the features, or pass X as float64."
    )


def _descent(model, start, X, target, classes, weights, n_threads, training=None):
    """The descent that the arguments of a model ask for: by rows and minibatches, or by all rows."""
    with unforked:
        from ..sgd import descents
        from ..sgd.trainer import Training, options_of  # brings Numba

    if training is None:
        training = Training(options_of(model), start)
    if model.parallel == "hogwild":
        options = training.options
        if options.optimizer != "sgd" or options.batch != 1 or options.l1 or options.average_from >= 0:
            raise ValueError(
                "parallel='hogwild' is for optimizer='sgd' with batch_size=1, without an L1 penalty and without "
                "averaging. Use parallel=None."
            )
        if not sp.issparse(X):
            raise ValueError(
                "parallel='hogwild' is for sparse X: dense rows all write everywhere. Use batch_size=128, or a "
                "CSR matrix."
            )
        kind = descents.Hogwild
    elif model.optimizer == "svrg":
        kind = descents.VarianceReduced
    else:
        kind = descents.FullBatch if model.batch_size is None else descents.Minibatches
    return kind(training, X, target, len(classes), descents.Weights(*weights), n_threads)
