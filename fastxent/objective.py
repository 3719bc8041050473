"""The objective: data, weights and penalty as the one thing that solvers see.

    F(W, b) = (1/S) sum_i s_i w_{y_i} loss_i + (l2/2) sum_j f_j ||W_j||^2        S = sum_i s_i w_{y_i},  f_j = 1

This is the implementation over local arrays. Whatever has the same attributes and methods (over batches streamed from
disk, over the partitions of a cluster) runs under the same solvers.
"""

import numpy as np
import scipy.sparse as sp

from . import kernels, parallel
from .scaled import ldexp
from .targets import Targets

# In multiplications, see `work`. A piece below the first is not worth a thread of its own; one call of a kernel stays
# below the second (some tens of milliseconds), so that Ctrl-C is heard.
MIN_PIECE = 2_000_000
MAX_CALL = 400_000_000
MIN_ENTRIES = 500_000  # of parameters: the same for what is done with them
# Gradients of ranges of rows are summed apart and then added up: no more of them than this, in number and in bytes.
MAX_PARTS = 32
PARTS_MEMORY = 1 << 26
STORE_MEMORY = 1 << 28  # bytes of probabilities kept for Hessian products
FINDING_COLUMNS = 400  # bytes a pass moves in the time that it takes to find the column of one non-zero


class Objective:
    """Mean (or sum of) weighted cross-entropy of a linear softmax model, plus an L2 penalty.

    Input is trusted: `validation` has been through it.

    Parameters
    ----------
    X : ndarray (n, d), float32 or float64, C- or F-contiguous; or CSR with int32 or int64 indices
    target : ndarray or Targets
        intp codes (n,) in 0..n_classes-1, or soft labels (n, n_classes), C order; or these with their weights, and then
        none of the next four.
    n_classes : int, optional
        Default: the columns of soft labels, or the largest code + 1.
    sample_weight : float64 (n,), optional
        Of any size. Rows of weight 0 are skipped, whatever their logits.
    class_weight : float64 (n_classes,), optional
    label_smoothing : float in [0, 1]
    binary : bool
        One column of logits for two classes: p(class 1) = sigmoid(z).
    fit_intercept : bool
        Without it the last row of theta counts as zero, and so does its gradient.
    l2, l1 : float
        The L1 term is not part of this (smooth) function; solvers read it from here.
    penalty_factor : float64 (d,), optional
        f_j: multiplies both penalties of feature j; 0 leaves it free, None is 1 for all.
    penalty_groups : {None, "features"}
        What L1 is the norm of: single weights, or the weights of one feature in all classes, sum_j f_j ||W_j||_2.
    reduction : {"mean", "sum", "none"}
        "none" is for `row_losses` alone.
    n_threads : int, optional

    Attributes
    ----------
    X : ndarray or CSR
        In double precision where the weights span more than single precision does.
    shape : (d + 1, K)
        Shape of theta: feature-major, the intercept last.
    scale : float
        What sums over rows are multiplied by: for the mean 1 / total_weight.
    total_weight : float
        S above, for soft labels sum_i s_i, in units of 2**weight_exponent, as are `row_masses`: weights may have any
        size, and are used without a scale.
    targets : tuple
        target, n_classes, row weights (hard labels' class weights in them, unless smoothed), class weights, smoothing.
    memo : dict
        What solvers worked out from the rows alone and keep for the next solve: along a path, only penalties change.
    passes : float
        Passes over the data so far: 1 for a value with or without gradient, 1.5 or 1 for a Hessian product.
    """

    def __init__(
        self,
        X,
        target,
        *,
        n_classes=None,
        binary=False,
        sample_weight=None,
        class_weight=None,
        label_smoothing=0.0,
        fit_intercept=True,
        l2=0.0,
        l1=0.0,
        penalty_factor=None,
        penalty_groups=None,
        reduction="mean",
        n_threads=None,
    ):
        if not isinstance(target, Targets):
            if n_classes is None:
                n_classes = 2 if binary else target.shape[1] if target.ndim == 2 else int(target.max()) + 1
            target = Targets(target, n_classes, sample_weight, class_weight, label_smoothing)
        self._given_dtype = X.dtype
        if X.dtype == np.float32 and not target.fit_single:
            X = X.astype(np.float64)
        self._targets = target.astype(X.dtype)
        self.X = X
        self.dtype = X.dtype
        self.n_rows, self.n_features = X.shape
        self.n_classes = target.n_classes
        self.binary = binary
        self.K = 1 if binary else target.n_classes
        self.shape = (self.n_features + 1, self.K)
        self.fit_intercept = fit_intercept
        self.l2 = l2
        self.l1 = l1
        self.penalty_factor = penalty_factor
        self.penalty_groups = penalty_groups
        self.memo = {}
        self.passes = 0.0
        self.n_threads = n_threads

        self.targets = self._targets.arguments
        self.scale = self._targets.scale(reduction)
        X, self._features = occurring(X, self.K, 4)  # passes over theta and gradients
        self._rows = bind(X, self.K, *self.targets)
        parts = gradient_parts(X, self._rows)
        self._bounds = split(X, parts, self._rows.block)
        # So wide a model that threads would need too many gradients: they share one, and split its classes.
        self._shared = self._rows.uses_theta and parts < 4 and work(X, self.K) >= 8 * MIN_PIECE
        if self._shared:
            self._rows = bind(X, self.K, *self.targets, True)
        self._hessian = None, None  # where the last Hessian product was taken, and the probabilities there
        self._weights = parallel.Buffers(self._rows.weights_size, self.dtype)
        self._parts = parallel.Buffers(self._rows.weights_size, self.dtype)
        self._scratch = parallel.Buffers(self._rows.scratch_size, self.dtype)
        if self._shared:
            self._blocks = parallel.Buffers(self._rows.x_size, self.dtype)
            self._logits = parallel.Buffers(self._rows.z_size, self.dtype)

    @property
    def total_weight(self):
        return self._targets.total

    @property
    def weight_exponent(self):
        return self._targets.exponent

    def row_masses(self):
        """Return s_i times the sum of the row's (weighted, smoothed) targets, float64 (n,): what its curvature
        weighs."""
        return self._targets.masses()

    def distributions(self, rows):
        """Return the targets of a slice of the rows as distributions over the classes, float64: weighted, smoothed,
        divided by their sum."""
        return self._targets.distributions(rows)

    def sample(self, count, seed=0):
        """Return the same objective over at most `count` of its rows of positive weight, drawn without replacement.

        S is theirs. All rows, copied by nobody, if there are no more than that.
        """
        if count >= self.n_rows:
            return self
        weight = self._targets.row_weight
        chosen = np.arange(self.n_rows) if weight is None else np.flatnonzero(weight)
        if count < len(chosen):
            chosen = np.sort(np.random.default_rng(seed).choice(chosen, count, replace=False))
        return self._like(self.X[chosen], self._targets.take(chosen), **self._penalties())

    def over(self, X, chosen, share):
        """Return the mean loss, without penalties, of the rows `chosen` with other features, X, whose weights are
        multiplied by `share`."""
        return self._like(X, self._targets.take(chosen, share))

    def on_features(self, chosen):
        """Return the loss, without penalties, over some of the features (a mask)."""
        X = self.X[:, np.flatnonzero(chosen)]
        return self._like(np.ascontiguousarray(X) if isinstance(X, np.ndarray) else X, self._targets)

    def _penalties(self):
        names = ("l2", "l1", "penalty_factor", "penalty_groups")
        return {name: getattr(self, name) for name in names}

    def _like(self, X, targets, **penalties):
        return Objective(
            X,
            targets,
            binary=self.binary,
            fit_intercept=self.fit_intercept,
            n_threads=self.n_threads,
            **penalties,
        )

    def with_features(self, X):
        """Return the same objective, penalties included, over other features of the same shape."""
        return self._like(X, self._targets, **self._penalties())

    @property
    def feature_l2(self):
        """The L2 penalty of each feature's weights, float64 (d,)."""
        return self._of_features(self.l2)

    @property
    def feature_l1(self):
        """The L1 penalty of each feature's weights, float64 (d,)."""
        return self._of_features(self.l1)

    def _of_features(self, strength):
        return strength * (np.ones(self.n_features) if self.penalty_factor is None else self.penalty_factor)

    def rows_of(self, X):
        """The kernels' view of other features, in single precision perhaps, with these targets and weights."""
        target, *weights = self.targets
        return bind(X, self.K, target.astype(X.dtype, copy=False) if target.ndim == 2 else target, *weights)

    @property
    def rows(self):
        """The kernels' view of X, all columns, and its targets, for solvers that visit single rows."""
        return self._rows if self._features is None else bind(self.X, self.K, *self.targets)

    def initial(self):
        """Return theta = 0."""
        return np.zeros(self.shape)

    def value(self, theta):
        """Return F(theta)."""
        theta = np.ascontiguousarray(theta)
        return self._penalised(theta, self._evaluate(theta, None))

    def value_and_grad(self, theta, out=None):
        """Return F(theta) and its gradient, an array like theta."""
        theta = np.ascontiguousarray(theta)
        out = np.empty_like(theta) if out is None else out
        return self._penalised(theta, self._evaluate(theta, out)), out

    def hessp(self, theta, v, out=None):
        """Return the Hessian at theta times v, an array like theta.

        From the second product at the same theta on, the probabilities are kept (n x K numbers, if that is not too
        many), and a product costs 1 pass instead of 1.5.
        """
        theta, v = np.ascontiguousarray(theta), np.ascontiguousarray(v)
        out = np.empty_like(v) if out is None else out
        rows, call = self._rows, call_ranges(self._rows, self.X)
        direction, weights = self._pack(v), None
        store = None
        if not self._is_kept(theta):
            self._hessian = theta.copy(), None
        elif not self._shared and rows.store_size * self.dtype.itemsize <= STORE_MEMORY:
            store = self._hessian[1]
            if store is None:
                store, weights = parallel.zeros(rows.store_size, self.dtype), self._pack(theta)
                self._over_parts(
                    lambda first, stop, scratch, _: [
                        rows.hessian(weights, scratch, a, b, store) for a, b in call(first, stop)
                    ],
                    theta,
                    None,
                )
                self._hessian = self._hessian[0], store
        if store is None:
            weights = self._pack(theta)

        def part(first, stop, scratch, gradient):
            for a, b in call(first, stop):
                rows.hessp(weights, direction, scratch, a, b, gradient, store)

        if self._shared:
            self._over_classes(weights, direction, v, out)
        else:
            self._over_parts(part, v, out)
        for packed in (weights, direction):
            if packed is not None:
                self._unpack_done(packed)
        self.passes += 1.5 if store is None else 1
        return out

    def _is_kept(self, theta):
        """Whether the last Hessian product was taken at theta."""
        at = self._hessian[0]
        if at is None:
            return False
        return all(
            self._in_pieces(lambda *rows: np.array_equal(at[slice(*rows)], theta[slice(*rows)]), theta)
        )

    def row_losses(self, theta):
        """Return s_i loss_i of every row, in the dtype of the data that came."""
        losses = np.empty(self.n_rows, self.dtype)
        self._evaluate(np.ascontiguousarray(theta), None, losses)
        with np.errstate(over="ignore"):
            return ldexp(losses, self.weight_exponent).astype(self._given_dtype, copy=False)

    def _penalised(self, theta, loss):
        if self.l2 == 0:
            return loss * self.scale
        W = theta[:-1]
        if self.penalty_factor is None:
            square = np.einsum("jk,jk->", W, W, dtype=np.float64)
        else:
            square = np.einsum("j,jk,jk->", self.penalty_factor, W, W, dtype=np.float64)
        return loss * self.scale + 0.5 * self.l2 * float(square)

    def _evaluate(self, theta, out, row_losses=None):
        """Return sum s_i loss_i; out, unless None, becomes the gradient of F."""
        rows, call = self._rows, call_ranges(self._rows, self.X)
        weights = self._pack(theta)

        def part(first, stop, scratch, gradient):
            return sum(rows.loss(weights, scratch, a, b, gradient, row_losses) for a, b in call(first, stop))

        if self._shared:
            losses = self._over_classes(weights, None, theta, out, row_losses)
        else:
            losses = self._over_parts(part, theta, out)
        self._unpack_done(weights)
        self.passes += 1
        return sum(losses)

    def _over_parts(self, part, theta, out):
        """Run part(first, stop, scratch, gradient) over the fixed ranges; add up their gradients into out."""
        bounds = self._bounds
        parts = [None] * (len(bounds) - 1)

        def task(i):
            scratch = self._scratch.take()
            if out is not None:
                parts[i] = self._parts.take()
                parts[i].fill(0)
            result = part(bounds[i], bounds[i + 1], scratch, parts[i])
            self._scratch.give(scratch)
            return result

        results = parallel.run(task, len(parts), self.n_threads)
        if out is not None:
            self._finish(parts, theta, out)
            for gradient in parts:
                self._parts.give(gradient)
        return results

    def _over_classes(self, weights, direction, theta, out, row_losses=None):
        """The same for a shared gradient: block after block, whose rows and whose classes the threads divide."""
        rows, n, K = self._rows, self.n_rows, self.K
        x, z = self._blocks.take(), self._logits.take()
        a = z if direction is None else self._logits.take()
        class_step = max(1, K // (32 * rows.panel)) * rows.panel
        class_pieces = -(-K // class_step)
        gradient = None
        if out is not None:
            gradient = out if out.dtype == self.dtype and out.flags.c_contiguous else self._parts.take()
            gradient.fill(0)

        def over(step, pieces):
            def task(i):
                scratch = self._scratch.take()
                result = step(i, scratch)
                self._scratch.give(scratch)
                return result

            return parallel.run(task, pieces, self.n_threads)

        losses = []
        for first in range(0, n, rows.block):
            count = min(rows.block, n - first)
            row_pieces = -(-count // 12)

            def rows_of(i, count=count):
                return 12 * i, min(12 * (i + 1), count)

            def classes_of(i):
                return class_step * i, min(class_step * (i + 1), K)

            def compute_logits(i, scratch, count=count):
                rows.block_logits(x, count, weights, z, *classes_of(i), scratch)
                if direction is not None:
                    rows.block_logits(x, count, direction, a, *classes_of(i), scratch)

            def softmax(i, scratch, first=first, rows_of=rows_of):
                if direction is not None:
                    return rows.block_hessian(first, *rows_of(i), z, a, scratch)
                return rows.block_loss(first, *rows_of(i), z, gradient is not None, scratch, row_losses)

            def add_gradient(i, scratch, count=count):
                rows.block_gradient(x, count, a, gradient, *classes_of(i), scratch)

            rows.open_block(first, 0, count, x)
            over(compute_logits, class_pieces)
            losses += over(softmax, row_pieces)
            if gradient is not None:
                over(add_gradient, class_pieces)
        if out is not None:
            self._finish([gradient], theta, out)
            if gradient is not out:
                self._parts.give(gradient)
        self._blocks.give(x)
        self._logits.give(z)
        if direction is not None:
            self._logits.give(a)
        return losses

    def _finish(self, parts, theta, out):
        """out = the parts added up in order, scaled, and the penalty's gradient."""
        factor = self.penalty_factor
        l2 = self.l2 if factor is None else 0.0
        if self._features is None:
            self._unpack(parts, l2, theta, out)
        else:
            some = np.empty((len(self._features), self.K), out.dtype)
            self._unpack(parts, l2, some if l2 == 0 else theta.take(self._features, axis=0), some)
            if l2 == 0:
                out.fill(0)
            else:
                np.multiply(theta, l2, out=out, dtype=np.float64, casting="same_kind")
            out[self._features] = some
        if factor is not None and self.l2 != 0:
            out[:-1] += (self.l2 * factor)[:, np.newaxis] * theta[:-1]
        if not self.fit_intercept:
            out[-1] = 0

    def _unpack(self, parts, l2, theta, out):
        self._in_pieces(
            lambda *rows: self._rows.unpack(parts, self.scale, l2, theta, out, *rows), out, len(parts)
        )

    def _in_pieces(self, piece, theta, arrays=1):
        """Return piece(first, stop) of ranges of the rows of theta; it goes over so many arrays of that size."""
        pieces = min(16, theta.size * arrays // MIN_ENTRIES)
        if pieces <= 1:
            return [piece(0, len(theta))]
        bounds = [len(theta) * i // pieces for i in range(pieces + 1)]
        return parallel.run(lambda i: piece(bounds[i], bounds[i + 1]), pieces, self.n_threads)

    def _pack(self, theta):
        rows = self._rows
        if rows.uses_theta:
            if self.fit_intercept:
                return np.ascontiguousarray(theta, self.dtype)
            theta = np.array(theta, self.dtype, order="C")
            theta[-1] = 0
            return theta
        weights = self._weights.take()
        if self._features is not None:
            theta = theta.take(self._features, axis=0)
        if not self.fit_intercept and theta[-1].any():
            theta = theta.copy()
            theta[-1] = 0
        self._in_pieces(lambda *rows: self._rows.pack(theta, weights, *rows), theta)
        return weights

    def _unpack_done(self, weights):
        if not self._rows.uses_theta:
            self._weights.give(weights)


def bind(X, K, *targets):
    """Return the kernels' view of X (ndarray or CSR) with K columns of logits."""
    if isinstance(X, np.ndarray):
        return kernels.LinearSoftmax(X, K, *targets)
    return kernels.LinearSoftmax((X.data, X.indices, X.indptr, *X.shape), K, *targets)


def occurring(X, K, passes):
    """Return CSR X without its empty columns, and the rows of theta that are left: the others', and the intercept's.

    Only if those are few, and that saves time in the first use, of so many passes over theta. Else X itself, and None.
    """
    n, d = X.shape
    if isinstance(X, np.ndarray) or d < 2 * X.nnz:
        return X, None
    if passes * d * K * X.dtype.itemsize < FINDING_COLUMNS * X.nnz:
        return X, None
    named = np.zeros(X.nnz + 1, X.indices.dtype)  # the first stays, so that there is one
    named[1:] = X.indices
    named.sort()
    named = named[np.append(True, named[1:] != named[:-1])]
    place = np.empty(d, named.dtype)
    place[named] = np.arange(len(named))
    return sp.csr_matrix((X.data, place.take(X.indices), X.indptr), shape=(n, len(named))), np.append(
        named, d
    )


def work(X, K):
    """Cost of a product of X with K columns, in multiplications of the dense one.

    Reading X, or finding one's way in a sparse row, counts for some more columns.
    """
    if isinstance(X, np.ndarray):
        return X.size * (K + 8)
    return (X.nnz + X.shape[0]) * (2 * K + 16)


def gradient_parts(X, rows):
    """In how many ranges the rows' gradients are summed: by shape alone, never by the number of threads."""
    total = work(X, rows.K)
    size = rows.weights_size
    parts = min(
        total // MIN_PIECE,
        MAX_PARTS,
        max(PARTS_MEMORY, X.size * X.dtype.itemsize) // (size * X.dtype.itemsize),
        max(2, total // (24 * size)),  # adding up the parts stays a small share
        -(-rows.n // rows.block),
    )
    # Few ranges must share out evenly: three of them leave one of two threads idle for half of the time.
    return 1 << int(parts).bit_length() - 1 if 1 < parts < 8 else max(1, int(parts))


def split(X, parts, block):
    """Bounds of `parts` ranges of rows of about equal work, multiples of the block."""
    n = X.shape[0]
    if isinstance(X, np.ndarray):
        bounds = [n * i // parts for i in range(parts)]
    else:
        work_before = X.indptr + np.arange(n + 1, dtype=X.indptr.dtype)
        bounds = np.searchsorted(work_before, work_before[-1] * np.arange(parts) / parts).tolist()
    return [i // block * block for i in bounds] + [n]


def call_ranges(rows, X):
    """Return f(first, stop) -> the ranges of rows of one kernel call each; between them a piece can be stopped."""
    per_row = max(1, work(X, rows.K) // rows.n)
    step = max(1, MAX_CALL // (per_row * rows.block)) * rows.block

    def ranges(first, stop):
        for i in range(first, stop, step):
            parallel.stopping_point()
            yield i, min(i + step, stop)

    return ranges
