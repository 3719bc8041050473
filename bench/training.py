"""What is trained: problems of minimising F, and F itself as one plain float64 function.

    F = mean loss + (l2 / 2) ||W||^2 + l1 ||W||_1           two classes: one column of weights

so C is 1 / (l2 n) where a library has the sum of losses. Some libraries penalise the intercept or have none:
what they minimise is another function, and their gap is taken to the minimum of that. Hence ``intercepts``, which
is "free", "penalised" or "none".
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp

import data
from cases import F64, drawn_labels

_ROWS = 4_096  # evaluated at a time, so that their logits stay in cache


@dataclass(frozen=True)
class Training:
    """Where a problem comes from; ``make()`` returns X and labels 0..K-1."""

    name: str
    make: Callable
    n_classes: int
    l2: float = 0.0
    l1: float = 0.0
    sparse: bool = False
    quick: bool = False
    twin: bool = False  # one of the kinds of problems that were slow once, with synthetic data

    @property
    def label(self):
        penalties = [f"{name} {value:.0e}" for name, value in (("l2", self.l2), ("l1", self.l1)) if value]
        return ", ".join([self.name, *penalties])

    @property
    def binary(self):
        return self.n_classes == 2

    def problem(self):
        return TrainingProblem(*self.make(), self.n_classes, self.l2, self.l1)


@dataclass
class TrainingProblem:
    """Rows X (n, d) in float64, labels y (n,), the number of classes, the penalties."""

    X: np.ndarray | sp.csr_matrix
    y: np.ndarray
    n_classes: int
    l2: float
    l1: float

    def __post_init__(self):
        self.binary, self.sparse, self.n_rows = self.n_classes == 2, sp.issparse(self.X), self.X.shape[0]
        self.C = 1 / (
            (self.l2 + self.l1) * self.n_rows
        )  # scikit-learn's: of the sum of losses, against all penalties
        self.l1_ratio = self.l1 / (self.l1 + self.l2)

    @property
    def signs(self):
        """Labels as liblinear and snapml want them, -1.0 and 1.0."""
        return np.where(self.y == 1, 1.0, -1.0)

    @property
    def with_ones(self):
        """X with a last column of ones: an intercept that is penalised like a weight."""
        ones = np.ones((self.n_rows, 1))
        return sp.hstack([self.X, ones], "csr") if self.sparse else np.hstack([self.X, ones])

    def objective(self, coef, intercept, intercepts="free"):
        """F at coef (K, d) or (1, d) and intercept, in float64, by plain NumPy over blocks of rows."""
        coef = np.atleast_2d(np.asarray(coef, F64))
        intercept = np.atleast_1d(np.asarray(intercept, F64))
        weights = np.ascontiguousarray(coef.T)
        with ThreadPoolExecutor() as pool:
            blocks = range(0, self.n_rows, _ROWS)
            losses = pool.map(lambda start: self._sum_of_losses(start, weights, intercept), blocks)
            loss = sum(losses) / self.n_rows
        penalised = np.append(weights, intercept) if intercepts == "penalised" else weights
        return float(loss + self.l2 / 2 * np.sum(penalised**2) + self.l1 * np.sum(np.abs(penalised)))

    def _sum_of_losses(self, start, weights, intercept):
        rows = slice(start, start + _ROWS)
        logits = self.X[rows] @ weights + intercept
        if logits.shape[1] == 1:
            logits = np.hstack([np.zeros_like(logits), logits])
        largest = logits.max(axis=1)
        of_true_class = logits[np.arange(len(logits)), self.y[rows]]
        return np.sum(np.log(np.exp(logits - largest[:, None]).sum(axis=1)) + largest - of_true_class)


def two_largest_classes():
    """Words of the glosses of the two largest classes."""
    X, y = data.glosses(F64, "words")
    largest = np.sort(np.argsort(np.bincount(y))[-2:])
    kept = np.isin(y, largest)
    X = X[kept]
    X = X[:, np.flatnonzero(X.getnnz(axis=0))]
    X.sort_indices()  # as a vectorizer gives them
    return X, (y[kept] == largest[1]).astype(np.intp)


def clusters(n_rows, n_features, n_classes=26):
    """Correlated columns and labels drawn from a softmax model: few features, many classes."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((n_features, n_features)) / np.sqrt(n_features)
    X = rng.standard_normal((n_rows, n_features)) @ mixing
    theta = np.vstack([2.0 * rng.standard_normal((n_features, n_classes)), np.zeros(n_classes)])
    return X, drawn_labels(X, theta)


def labels_of_shares(rng, logits, shares):
    """Draw labels from a softmax model whose intercepts give the classes about these shares of the rows."""
    noisy = logits + rng.gumbel(size=logits.shape)
    offsets = np.zeros(len(shares))
    for _ in range(200):
        counts = np.bincount((noisy + offsets).argmax(axis=1), minlength=len(shares))
        offsets += np.log((len(noisy) * np.array(shares) + 0.5) / (counts + 0.5))
    y = (noisy + offsets).argmax(axis=1)
    y[: len(shares)] = np.arange(len(shares))
    return y


def heavy_tails(n_rows=46_400, shares=(0.79, 0.15, 0.05, 8e-3, 1e-3, 4e-4, 2e-4)):
    """Columns of Student's t with 3 degrees of freedom, rare classes, and classes that are nearly separable."""
    rng = np.random.default_rng(0)
    X = rng.standard_t(3, (n_rows, 9))
    return X, labels_of_shares(rng, 3.0 * X @ rng.standard_normal((9, len(shares))), shares)


def images(n_rows=4_000, size=28, n_classes=10):
    """Smooth grey images, each a prototype of its class and three disturbances that all classes share."""
    rng = np.random.default_rng(0)
    grid = np.linspace(-1, 1, size)

    def blobs(count):
        centre, width = rng.uniform(-0.7, 0.7, (2, count, 1)), rng.uniform(0.1, 0.4, (2, count, 1))
        across, down = np.exp(-(((grid - centre) / width) ** 2))
        return (down[:, :, None] * across[:, None, :]).reshape(count, -1)

    y = rng.integers(n_classes, size=n_rows)
    prototypes = blobs(4 * n_classes).reshape(n_classes, 4, -1).sum(axis=1)
    X = prototypes[y] + rng.normal(scale=0.7, size=(n_rows, 60)) @ blobs(60)
    X += rng.normal(scale=0.1, size=X.shape)
    return np.clip(X, 0, 1), y


def one_hot(n_rows=80_000, n_columns=29, n_features=649, rare=(4e-4, 7e-5, 4e-5)):
    """One-hot categories, their frequencies falling as 1 / rank, and 8 classes, some of a few rows."""
    rng = np.random.default_rng(0)
    sizes = np.full(n_columns, n_features // n_columns)
    sizes[: n_features % n_columns] += 1
    starts = np.cumsum(sizes) - sizes
    shares = [1 / np.arange(1, size + 1) for size in sizes]
    columns = [
        start + rng.choice(size, n_rows, p=share / share.sum())
        for start, size, share in zip(starts, sizes, shares, strict=True)
    ]
    indices = np.stack(columns, axis=1).ravel().astype(np.int32)
    indptr = n_columns * np.arange(n_rows + 1, dtype=np.int32)
    X = sp.csr_matrix((np.ones(indices.size), indices, indptr), shape=(n_rows, n_features))
    logits = X @ (0.5 * rng.standard_normal((n_features, 8)))
    return X, labels_of_shares(rng, logits, (0.35, 0.25, 0.2, 0.15, 0.05 - sum(rare), *rare))


def text_of_two_classes():
    return data.topical_text(np.random.default_rng(0), (60_000, 30_000), 60, 2, topical=0.1)


def raw(loader):
    """A data set of scikit-learn's as it comes, its columns not scaled."""
    import sklearn.datasets

    X, y = getattr(sklearn.datasets, loader)(return_X_y=True)
    return X.astype(F64), y.astype(np.intp)


def kind(name, n_classes, make, l2=(), l1=(), both=(), **how):
    """Return the trainings on the same rows: a ridge, a lasso, and both of the same strength."""
    strengths = [{"l2": v} for v in l2] + [{"l1": v} for v in l1] + [{"l1": v, "l2": v} for v in both]
    return [Training(name, make, n_classes, **penalty, **how) for penalty in strengths]


CLUSTERS, MORE_CLUSTERS = partial(clusters, 16_000, 16), partial(clusters, 200_000, 20)
CANCER, WINE, DIGITS = (partial(raw, f"load_{name}") for name in ("breast_cancer", "wine", "digits"))
WORDS, CHARACTERS = (partial(data.glosses, F64, units) for units in ("words", "characters"))
TEXT, TWO = "text 60,000 x 30,000, two classes", "glosses, words, two classes"
PIXELS = "Fashion-MNIST 60,000 x 784, 10 classes", 10, partial(data.fashion, F64)
TRAININGS = [
    *kind("heavy tails 46,400 x 9, 7 classes", 7, heavy_tails, [1e-7], twin=True),
    *kind("clusters 16,000 x 16, 26 classes", 26, CLUSTERS, [1e-5], [1e-3], twin=True),
    *kind("images 4,000 x 784, 10 classes", 10, images, [1e-4], [1e-3], twin=True),
    *kind("one-hot 80,000 x 649, 8 classes", 8, one_hot, [1e-5], [1e-4], sparse=True, twin=True),
    *kind(TEXT, 2, text_of_two_classes, [1e-5], [1e-4], sparse=True, twin=True),
    *kind("breast_cancer raw, two classes", 2, CANCER, [1e-3], quick=True),
    *kind("wine raw, 3 classes", 3, WINE, [1e-3], quick=True),
    *kind("digits raw, 10 classes", 10, DIGITS, [1e-3], quick=True),
    *kind(TWO, 2, two_largest_classes, [1e-3], sparse=True),
    *kind(TWO, 2, two_largest_classes, [1e-4], sparse=True, quick=True),
    *kind(TWO, 2, two_largest_classes, [1e-5], [1e-3, 1e-4], sparse=True),
    *kind("clusters 200,000 x 20, 26 classes", 26, MORE_CLUSTERS, [1e-3, 1e-5]),
    *kind(*PIXELS, [1e-2, 1e-4, 1e-6]),
    *kind("glosses, words, 45 classes", 45, WORDS, [1e-4, 1e-5, 1e-6], [3e-4], [1e-4], sparse=True),
    *kind(*PIXELS, l1=[1e-3], both=[1e-3]),
    *kind("glosses, n-grams, 45 classes", 45, CHARACTERS, [1e-4, 1e-5, 1e-6], sparse=True),
]
