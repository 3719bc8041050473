"""The problems: a case makes a `Problem` when asked, so that only one is in memory.

Single evaluations take the loss and the gradient at ``theta``. What is trained minimises

    F = mean loss + (l2 / 2) ||W||^2 + l1 ||W||_1           two classes: one column of weights

so C is 1 / (l2 n) where a library has the sum of losses. Some libraries penalise the intercept or have none: what they
minimise is another function, and their gap is taken to the minimum of that. Hence ``intercepts``, which is "free",
"penalised" or "none". Descent is judged by the log loss of rows that were held out.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp
from scipy.special import log_softmax

import data

F64 = np.float64
_ROWS = 4_096  # evaluated at a time, so that their logits stay in cache


@dataclass
class Problem:
    """Rows X (n, d), labels y (n,), where the loss is evaluated, the penalties, and (X, y) held out.

    theta is (d + 1, K), the intercept last; K is the number of classes, or 1 if there are two. ``reference`` is the
    result in float64 from which errors are measured.
    """

    X: np.ndarray | sp.csr_matrix
    y: np.ndarray
    n_classes: int
    theta: np.ndarray | None = None
    l2: float = 0.0
    l1: float = 0.0
    held_out: tuple = ()
    reference: list | None = None

    def __post_init__(self):
        X, self.n_rows, self.binary = self.X, len(self.y), self.n_classes == 2
        self.sparse = sp.issparse(X)
        self.nbytes = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes if self.sparse else X.nbytes

    @property
    def C(self):
        """scikit-learn's: of the sum of losses, against all penalties."""
        return 1 / ((self.l2 + self.l1) * self.n_rows)

    @property
    def l1_ratio(self):
        return self.l1 / (self.l1 + self.l2)

    @property
    def signs(self):
        """Labels as liblinear and snapml want them, -1.0 and 1.0."""
        return np.where(self.y == 1, 1.0, -1.0)

    def ours(self, X=None, **how):
        """Return the objective as our solvers see it."""
        from fastxent.data.targets import Targets
        from fastxent.objective import Objective
        from fastxent.penalty import Penalty

        X, targets = self.X if X is None else X, Targets(self.y, self.n_classes)
        columns, penalty = 1 if self.binary else self.n_classes, Penalty(l2=self.l2, l1=self.l1)
        return Objective.over(X, targets, columns, penalty=penalty, **how)

    def objective(self, coef, intercept, intercepts="free"):
        """F at coef (K, d) or (1, d) and intercept, in float64, by plain NumPy and SciPy over blocks of rows."""
        weights = np.ascontiguousarray(np.atleast_2d(np.asarray(coef, F64)).T)
        intercept = np.atleast_1d(np.asarray(intercept, F64))

        def sum_of_losses(start):
            rows = slice(start, start + _ROWS)
            logits = self.X[rows] @ weights + intercept
            logits = np.hstack([np.zeros_like(logits), logits]) if self.binary else logits
            return -log_softmax(logits, axis=1)[np.arange(len(logits)), self.y[rows]].sum()

        with ThreadPoolExecutor() as pool:
            loss = sum(pool.map(sum_of_losses, range(0, self.n_rows, _ROWS))) / self.n_rows
        penalised = np.append(weights, intercept) if intercepts == "penalised" else weights
        return float(loss + self.l2 / 2 * np.sum(penalised**2) + self.l1 * np.sum(np.abs(penalised)))

    def log_loss(self, probabilities):
        """Return the mean log loss of probabilities of the held-out rows; one counts as 1e-15 at least."""
        y = self.held_out[1]
        p = np.asarray(probabilities, dtype=F64)[np.arange(len(y)), y]
        return float(-np.log(np.maximum(p, 1e-15)).mean())


@dataclass(frozen=True)
class Case:
    """A named problem; ``make()`` returns X, or X and y. Without y, labels are drawn from the model itself."""

    name: str
    n_classes: int
    make: Callable
    sparse: bool = False
    l2: float = 0.0
    l1: float = 0.0
    split: bool = False  # with rows to be judged by, of make(part="test")
    dtypes: tuple = ("float64", "float32")
    compared: bool = False  # by processor, in every configuration
    quick: bool = False
    twin: bool = False  # one of the kinds of problems that were slow once, with synthetic data

    @property
    def label(self):
        penalties = [f"{name} {value:.0e}" for name, value in (("l2", self.l2), ("l1", self.l1)) if value]
        return ", ".join([self.name, *penalties])

    @property
    def traits(self):
        """What a rival may need."""
        return {
            "sparse" if self.sparse else "dense",
            "l1" if self.l1 else "smooth",
            "lasso" if self.l1 and not self.l2 else "",
            "two-classes" if self.n_classes == 2 else "",
            "wide" if self.n_classes >= 100 else "",
            "" if "x 784" in self.name else "narrow",
        }

    def problem(self, dtype="float64"):
        made, test = self.make(), self.make(part="test") if self.split else ()
        X, y = made if isinstance(made, tuple) else (made, None)
        theta = data.point(X, 1 if self.n_classes == 2 else self.n_classes)
        y = data.drawn_labels(X, theta) if y is None else y
        X, theta = X.astype(dtype, copy=False), theta.astype(dtype)
        held_out = (test[0].astype(dtype, copy=False), test[1]) if test else ()
        return Problem(X, y, self.n_classes, theta, self.l2, self.l1, held_out)


# ------------------------------------------------------------------------------------ single evaluations


def classes(number):
    return f"{'two' if number == 2 else format(number, ',')} classes"


def dense(n_rows, n_features, n_classes, **how):
    name = f"{n_rows:,} x {n_features}, {classes(n_classes)}"
    return Case(name, n_classes, partial(data.normal, n_rows, n_features), **how)


def text(n_rows, n_features, entries, n_classes, **how):
    name = f"text {n_rows:,} x {n_features:,}, {entries} a row, {classes(n_classes)}"
    return Case(name, n_classes, partial(data.zipf_text, n_rows, n_features, entries), sparse=True, **how)


N_GRAMS = "WordNet glosses, character n-grams, 45 classes"
WORDS, CHARACTERS = (partial(data.glosses, units) for units in ("words", "characters"))
CASES = [
    Case("Fashion-MNIST 60,000 x 784, 10 classes", 10, data.fashion),
    dense(60_000, 784, 10, compared=True),
    dense(581_012, 54, 7, compared=True),
    dense(20_000, 512, 1_000, compared=True),
    dense(2_048, 512, 32_000, compared=True, dtypes=("float32",)),
    dense(60_000, 784, 2),
    dense(20_000, 100, 50),
    dense(20_000, 16, 26),
    dense(5_000, 784, 10),
    dense(1_797, 64, 10, quick=True),
    dense(150, 4, 3),
    Case("WordNet glosses, words, 45 classes", 45, WORDS, sparse=True),
    Case(N_GRAMS, 45, CHARACTERS, sparse=True),
    text(50_000, 80_000, 77, 57, compared=True),
    text(64_000, 40_000, 42, 57),
    text(100_000, 47_000, 75, 50),
    text(100_000, 47_000, 75, 2, compared=True),
    text(20_000, 20_000, 40, 2, quick=True),
]


def decades(first):
    """Return seven sizes over two decades."""
    return [int(size) for size in np.unique(np.geomspace(first, 100 * first, 7).round())]


SPARSE_ROWS = "5,000 sparse rows, 10,000 features, 20 classes"
GROWTH = {  # of what grows: what stays the same, and the cases
    "rows": ("100 features, 10 classes", [dense(n, 100, 10) for n in decades(3_000)]),
    "classes": ("10,000 rows, 100 features", [dense(10_000, 100, K) for K in decades(10)]),
    "non-zeros": (SPARSE_ROWS, [text(5_000, 10_000, entries, 20) for entries in decades(10)]),
}
GROWING = list({case.name: case for _, cases in GROWTH.values() for case in cases}.values())


def one_request(what, n_classes, make, **how):
    """Return the cases of predictions for one row, and for a hundred."""
    sizes, how = {"one row": 1, "100 rows": 100}, {"dtypes": ("float64",), **how}
    return [Case(f"{what}, {rows}", n_classes, partial(make, n), **how) for rows, n in sizes.items()]


SINGLE_ROWS = [
    *one_request("64 features, 10 classes", 10, partial(data.normal, n_features=64), quick=True),
    *one_request("784 features, 10 classes", 10, partial(data.normal, n_features=784)),
    *one_request("text, 77 of 80,000 words, 57 classes", 57, data.few_words, sparse=True),
]

# ------------------------------------------------------------------------------------ training


def kind(name, n_classes, make, l2=(), l1=(), both=(), **how):
    """Return the cases of the same rows: a ridge, a lasso, and both of the same strength."""
    strengths = [{"l2": v} for v in l2] + [{"l1": v} for v in l1] + [{"l1": v, "l2": v} for v in both]
    return [Case(name, n_classes, make, **penalty, **how) for penalty in strengths]


CLUSTERS, MORE_CLUSTERS = partial(data.clusters, 16_000, 16), partial(data.clusters, 200_000, 20)
CANCER, WINE, DIGITS = (partial(data.raw, f"load_{name}") for name in ("breast_cancer", "wine", "digits"))
TEXT = "text 60,000 x 30,000, two classes", 2, data.text_of_two_classes
TWO = "glosses, words, two classes", 2, data.two_largest_classes
PIXELS = "Fashion-MNIST 60,000 x 784, 10 classes", 10, data.fashion
TRAININGS = [
    *kind("heavy tails 46,400 x 9, 7 classes", 7, data.heavy_tails, [1e-7], twin=True),
    *kind("clusters 16,000 x 16, 26 classes", 26, CLUSTERS, [1e-5], [1e-3], twin=True),
    *kind("images 4,000 x 784, 10 classes", 10, data.images, [1e-4], [1e-3], twin=True),
    *kind("one-hot 80,000 x 649, 8 classes", 8, data.one_hot, [1e-5], [1e-4], sparse=True, twin=True),
    *kind(*TEXT, [1e-5], [1e-4], sparse=True, twin=True),
    *kind("breast_cancer raw, two classes", 2, CANCER, [1e-3], quick=True),
    *kind("wine raw, 3 classes", 3, WINE, [1e-3], quick=True),
    *kind("digits raw, 10 classes", 10, DIGITS, [1e-3], quick=True),
    *kind(*TWO, [1e-3], sparse=True),
    *kind(*TWO, [1e-4], sparse=True, quick=True),
    *kind(*TWO, [1e-5], [1e-3, 1e-4], sparse=True),
    *kind("clusters 200,000 x 20, 26 classes", 26, MORE_CLUSTERS, [1e-3, 1e-5]),
    *kind(*PIXELS, [1e-2, 1e-4, 1e-6]),
    *kind("glosses, words, 45 classes", 45, WORDS, [1e-4, 1e-5, 1e-6], [3e-4], [1e-4], sparse=True),
    *kind(*PIXELS, l1=[1e-3], both=[1e-3]),
    *kind("glosses, n-grams, 45 classes", 45, CHARACTERS, [1e-4, 1e-5, 1e-6], sparse=True),
]
RACES = {  # of descents, by the rivals who take part
    "words": Case("WordNet glosses, words, 45 classes", 45, WORDS, sparse=True, split=True),
    "character n-grams": Case(N_GRAMS, 45, CHARACTERS, sparse=True, split=True),
    "minibatches": Case("Fashion-MNIST, 10 classes, minibatches of 128", 10, data.fashion, split=True),
    "single rows": Case("Fashion-MNIST, 10 classes, single rows", 10, data.fashion, split=True),
}
