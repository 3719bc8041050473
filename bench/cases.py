"""The problems that are measured: a case makes a `Problem` when asked, so that only one is in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

import data

F32, F64 = np.float32, np.float64


@dataclass
class Problem:
    """Rows X (n, d), labels y (n,), and theta (d + 1, K), where the loss is evaluated (intercept last).

    K is the number of classes, or 1 for binary logistic regression.
    """

    X: np.ndarray | sp.csr_matrix
    y: np.ndarray
    theta: np.ndarray
    n_classes: int

    @property
    def binary(self):
        return self.theta.shape[1] == 1

    @property
    def sparse(self):
        return sp.issparse(self.X)

    @cached_property
    def direction(self):
        """A direction (d + 1, K) for Hessian products."""
        return np.random.default_rng(2).standard_normal(self.theta.shape).astype(self.theta.dtype)

    def in_float64(self):
        """Return the same problem in float64: the yardstick of everybody's errors."""
        same = Problem(self.X.astype(F64, copy=False), self.y, self.theta.astype(F64), self.n_classes)
        same.direction = self.direction.astype(F64)
        return same


@dataclass(frozen=True)
class Case:
    """A named problem; ``make(dtype)`` returns X, and y or None for labels drawn from the model itself."""

    name: str
    n_classes: int
    make: Callable
    binary: bool = False
    sparse: bool = False
    quick: bool = False
    dtypes: tuple = (F64, F32)

    def problem(self, dtype):
        """Make the problem; the same one every time."""
        X, y = self.make(dtype)
        theta = point(X, 1 if self.binary else self.n_classes)
        if y is None:
            y = drawn_labels(X, theta)
        return Problem(X, y, theta, self.n_classes)


def point(X, n_columns):
    """Return random weights (d + 1, n_columns) with logits of standard deviation one, as in mid-training."""
    squares = X.multiply(X).sum() if sp.issparse(X) else np.einsum("ij,ij->", X, X, dtype=F64)
    theta = np.random.default_rng(1).standard_normal((X.shape[1] + 1, n_columns)) / np.sqrt(
        squares / X.shape[0]
    )
    return theta.astype(X.dtype)


def drawn_labels(X, theta):
    """Draw each row's label from the model's own probabilities (by Gumbel noise; logistic if binary)."""
    rng = np.random.default_rng(3)
    logits = X @ theta[:-1] + theta[-1]
    if theta.shape[1] == 1:
        return (logits[:, 0] + rng.logistic(size=len(logits)) > 0).astype(np.intp)
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def dense(n_rows, n_features):
    return lambda dtype: (data.made_dense(n_rows, n_features, dtype), None)


def made_text(n_rows, n_features, nnz_per_row):
    return lambda dtype: (data.made_sparse(n_rows, n_features, nnz_per_row, dtype), None)


def glosses(units):
    return lambda dtype: data.glosses(dtype, units)


CASES = [
    Case("Fashion-MNIST 60,000 x 784, 10 classes", 10, data.fashion, quick=True),
    Case("made 581,012 x 54, 7 classes", 7, dense(581_012, 54)),
    Case("made 20,000 x 512, 1,000 classes", 1000, dense(20_000, 512)),
    Case("made 2,048 x 512, 32,000 classes", 32_000, dense(2_048, 512), dtypes=(F32,)),
    Case("made 60,000 x 784, binary", 2, dense(60_000, 784), binary=True),
    Case("made 20,000 x 100, 50 classes", 50, dense(20_000, 100)),
    Case("made 20,000 x 16, 26 classes", 26, dense(20_000, 16), quick=True),
    Case("made 5,000 x 784, 10 classes", 10, dense(5_000, 784)),
    Case("made 1,797 x 64, 10 classes", 10, dense(1_797, 64), quick=True),
    Case("made 150 x 4, 3 classes", 3, dense(150, 4), quick=True),
    Case("WordNet glosses, words, 45 classes", 45, glosses("words"), sparse=True, quick=True),
    Case("WordNet glosses, character n-grams, 45 classes", 45, glosses("characters"), sparse=True),
    Case("made text 64,000 x 40,000, 57 classes", 57, made_text(64_000, 40_000, 42), sparse=True),
    Case("made text 100,000 x 47,000, 50 classes", 50, made_text(100_000, 47_000, 75), sparse=True),
    Case(
        "made text 100,000 x 47,000, binary",
        2,
        made_text(100_000, 47_000, 75),
        sparse=True,
        binary=True,
    ),
    Case(
        "made text 20,000 x 20,000, binary",
        2,
        made_text(20_000, 20_000, 40),
        binary=True,
        sparse=True,
        quick=True,
    ),
]
