"""The problems of single evaluations: a case makes a `Problem` when asked, so that only one is in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

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

    def in_float64(self):
        """Return the same problem in float64: the yardstick of everybody's errors."""
        return Problem(self.X.astype(F64, copy=False), self.y, self.theta.astype(F64), self.n_classes)


@dataclass(frozen=True)
class Case:
    """A named problem; ``make(dtype)`` returns X, or X and y. Without y, labels are drawn from the model itself."""

    name: str
    n_classes: int
    make: Callable
    binary: bool = False
    sparse: bool = False
    compared: bool = False  # by processor, in every configuration
    dtypes: tuple = (F64, F32)

    def problem(self, dtype):
        """Make the problem; the same one every time."""
        made = self.make(dtype=dtype)
        X, y = made if isinstance(made, tuple) else (made, None)
        theta = point(X, 1 if self.binary else self.n_classes)
        return Problem(X, drawn_labels(X, theta) if y is None else y, theta, self.n_classes)


def point(X, n_columns):
    """Return random weights (d + 1, n_columns) with logits of standard deviation one, as in mid-training."""
    squares = X.multiply(X).sum() if sp.issparse(X) else np.einsum("ij,ij->", X, X, dtype=F64)
    theta = np.random.default_rng(1).standard_normal((X.shape[1] + 1, n_columns))
    return (theta / np.sqrt(squares / X.shape[0])).astype(X.dtype)


def drawn_labels(X, theta):
    """Draw each row's label from the model's own probabilities (by Gumbel noise; logistic if binary)."""
    rng = np.random.default_rng(3)
    logits = X @ theta[:-1] + theta[-1]
    if theta.shape[1] == 1:
        return (logits[:, 0] + rng.logistic(size=len(logits)) > 0).astype(np.intp)
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def classes(number):
    return f"{'two' if number == 2 else format(number, ',')} classes"


def dense(n_rows, n_features, n_classes, **how):
    name = f"{n_rows:,} x {n_features}, {classes(n_classes)}"
    return Case(name, n_classes, partial(data.synthetic_dense, n_rows, n_features), **how)


def text(n_rows, n_features, entries, n_classes, **how):
    name = f"text {n_rows:,} x {n_features:,}, {entries} a row, {classes(n_classes)}"
    make = partial(data.synthetic_text, n_rows, n_features, entries)
    return Case(name, n_classes, make, sparse=True, **how)


def glosses(what, units):
    return Case(f"WordNet glosses, {what}, 45 classes", 45, partial(data.glosses, units=units), sparse=True)


CASES = [
    Case("Fashion-MNIST 60,000 x 784, 10 classes", 10, data.fashion),
    dense(60_000, 784, 10, compared=True),
    dense(581_012, 54, 7, compared=True),
    dense(20_000, 512, 1_000, compared=True),
    dense(2_048, 512, 32_000, compared=True, dtypes=(F32,)),
    dense(60_000, 784, 2, binary=True),
    dense(20_000, 100, 50),
    dense(20_000, 16, 26),
    dense(5_000, 784, 10),
    dense(1_797, 64, 10),
    dense(150, 4, 3),
    glosses("words", "words"),
    glosses("character n-grams", "characters"),
    text(50_000, 80_000, 77, 57, compared=True),
    text(64_000, 40_000, 42, 57),
    text(100_000, 47_000, 75, 50),
    text(100_000, 47_000, 75, 2, binary=True, compared=True),
    text(20_000, 20_000, 40, 2, binary=True),
]


def decades(first):
    """Return seven sizes over two decades."""
    return [int(size) for size in np.unique(np.geomspace(first, 100 * first, 7).round())]


GROWTH = {  # of what grows: what stays the same, and the cases
    "rows": ("100 features, 10 classes", [dense(n, 100, 10) for n in decades(3_000)]),
    "classes": ("10,000 rows, 100 features", [dense(10_000, 100, K) for K in decades(10)]),
    "non-zeros": (
        "5,000 sparse rows, 10,000 features, 20 classes",
        [text(5_000, 10_000, entries, 20) for entries in decades(10)],
    ),
}
GROWING = list({case.name: case for _, cases in GROWTH.values() for case in cases}.values())
SINGLE_ROWS = [
    Case(
        f"{what}, {f'{n} rows' if n > 1 else 'one row'}",
        K,
        partial(data.few_words, n, d, words) if words else partial(data.synthetic_dense, n, d),
        sparse=bool(words),
        dtypes=(F64,),
    )
    for what, d, K, words in (
        ("64 features, 10 classes", 64, 10, 0),
        ("784 features, 10 classes", 784, 10, 0),
        ("text, 77 of 80,000 words, 57 classes", 80_000, 57, 77),
    )
    for n in (1, 100)
]
