"""Trains on real data that every machine has, beside scikit-learn: ``python -m fastxent demo``.

Two problems. Dense: the handwritten digits that scikit-learn ships. Sparse: paragraphs from the docstrings of
the running Python's own standard library, where the class is the module that a paragraph comes from.
"""

from __future__ import annotations

import ast
import statistics
import sys
import sysconfig
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import sklearn
import sklearn.linear_model
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

import fastxent
from fastxent.arrays import is_sparse
from fastxent.installation import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any


TOL = 1e-6  # of fastxent, relative to the objective
N_MODULES = 15  # classes of the text problem: the modules with most paragraphs
SMALLEST_GAP = 1e-8  # bottom of the logarithmic axis: the lowest objective itself is drawn here
FEWEST_WORDS = 5  # shorter paragraphs do not identify their module
TRIAL = 10  # iterations that decide whether scikit-learn is faster on one thread or on all
TESTS = {"test", "tests", "idle_test"}  # folders whose text hardly describes a module


@dataclass
class Problem:
    """A data set, split, with the regularisation strength that both models get."""

    name: str
    about: str
    X_train: Any
    X_test: Any
    y_train: np.ndarray
    y_test: np.ndarray
    C: float


@dataclass
class Row:
    """One line of the table, and the fitted model that it speaks of."""

    model: Any
    n_iter: int
    objective: float
    log_loss: float
    accuracy: float
    seconds: float
    threads: str = "all threads"


def digits() -> Problem:
    """Return the dense problem: 8 x 8 grey images of handwritten digits, pixels scaled to 0..1."""
    images = load_digits()
    X_train, X_test, y_train, y_test = _split(images.data / 16.0, images.target)
    return Problem("digits", "8 x 8 images of handwritten digits", X_train, X_test, y_train, y_test, C=1.0)


def docstrings(n_modules: int = N_MODULES) -> Problem:
    """Return the sparse problem: tf-idf of docstring paragraphs; the class is the module they come from."""
    paragraphs = stdlib_paragraphs()
    largest = dict(Counter(paragraphs.values()).most_common(n_modules))
    texts = [text for text, module in paragraphs.items() if module in largest]
    labels = np.array([paragraphs[text] for text in texts])
    train_texts, test_texts, y_train, y_test = _split(texts, labels)
    tfidf = TfidfVectorizer(sublinear_tf=True, min_df=2)
    X_train, X_test = tfidf.fit_transform(train_texts), tfidf.transform(test_texts)
    return Problem(
        "docstrings",
        "which standard-library module is this paragraph from?",
        X_train,
        X_test,
        y_train,
        y_test,
        C=10.0,
    )


def stdlib_paragraphs() -> dict[str, str]:
    """Return {paragraph: module} from the docstrings in the standard library's sources: read, never imported.

    A paragraph that several modules share is left out: it cannot be assigned to any of them.
    """
    root = Path(sysconfig.get_path("stdlib"))
    home: dict[str, str | None] = {}
    for module in sorted(sys.stdlib_module_names):
        for file in [root / f"{module}.py", *sorted((root / module).rglob("*.py"))]:
            if file.is_file() and not TESTS & set(file.relative_to(root).parts):
                for paragraph in _paragraphs(file):
                    home[paragraph] = module if home.get(paragraph, module) == module else None
    known = {paragraph: module for paragraph, module in home.items() if module is not None}
    if not known:
        raise RuntimeError(
            f"no docstrings found below {root}: this Python comes without its library's sources"
        )
    return known


def _paragraphs(file: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated escapes in strings do not matter here
        try:
            tree = ast.parse(file.read_bytes())
        except SyntaxError:  # lib2to3 and others keep broken files on purpose
            return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                words = paragraph.split()
                if len(words) >= FEWEST_WORDS:
                    yield " ".join(words)


def _split(X: Any, y: Any) -> Any:
    return train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)


def compare(problem: Problem, repeats: int = 3) -> dict[str, Row]:
    """Fit both models ``repeats`` times in turn on the same data with the same C; return {name: Row}.

    One function measures the objective of both: mean cross-entropy + ||W||^2 / (2 C n). scikit-learn runs with its
    default tol and at its faster setting: with all threads, or on one, which is often much faster on small problems or
    beside other programs. A few iterations at each decide.
    """
    ours = fastxent.LogisticRegression(C=problem.C, tol=TOL, max_iter=2000)
    peer = sklearn.linear_model.LogisticRegression(C=problem.C, max_iter=2000)
    limit = min((None, 1), key=lambda limit: _trial(problem, limit))
    entrants = {"fastxent": (ours, None), "scikit-learn": (peer, limit)}
    seconds: dict[str, list[float]] = {name: [] for name in entrants}
    for _ in range(repeats):
        for name, (model, threads) in entrants.items():
            seconds[name].append(_seconds(model, problem, threads))
    return {
        name: _row(
            problem, model, statistics.median(seconds[name]), "one thread" if threads else "all threads"
        )
        for name, (model, threads) in entrants.items()
    }


def _trial(problem: Problem, threads: int | None) -> float:
    """Return how long a few iterations of scikit-learn take."""
    model = sklearn.linear_model.LogisticRegression(C=problem.C, max_iter=TRIAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _seconds(model, problem, threads)


def _seconds(model: Any, problem: Problem, threads: int | None) -> float:
    with threadpool_limits(threads):
        start = time.perf_counter()
        model.fit(problem.X_train, problem.y_train)
        return time.perf_counter() - start


def seconds_to(row: Row, objective: float) -> float | None:
    """Return when fastxent was at an objective or below it, or None if it never was.

    What a fit does before its first iteration and after its last one counts.
    """
    history = row.model.history_
    reached = np.flatnonzero(np.asarray(history["loss"]) <= objective)
    if len(reached) == 0:
        return None
    then, end = history["seconds"][reached[0]], history["seconds"][-1]
    return max(then, row.seconds - (end - then))  # the seconds are a median, the history is of the last fit


def _row(problem: Problem, model: Any, seconds: float, threads: str) -> Row:
    proba = model.predict_proba(problem.X_test)
    return Row(
        model=model,
        n_iter=int(np.max(model.n_iter_)),
        objective=fastxent.linear_cross_entropy(
            problem.X_train,
            np.searchsorted(model.classes_, problem.y_train),
            model.coef_,
            model.intercept_,
            l2=1.0 / (problem.C * len(problem.y_train)),
        ),
        log_loss=log_loss(problem.y_test, proba, labels=model.classes_),
        accuracy=accuracy_score(problem.y_test, model.classes_[proba.argmax(axis=1)]),
        seconds=seconds,
        threads=threads,
    )


def table(problem: Problem, rows: dict[str, Row]) -> str:
    """Return the comparison as text."""
    X = problem.X_train
    storage = f"sparse, {X.nnz / X.shape[0]:.0f} entries a row" if is_sparse(X) else "dense"
    n_classes = len(rows["fastxent"].model.classes_)
    lines = [
        f"{problem.name}: {problem.about}",
        f"  {X.shape[0]:,} rows to train on and {len(problem.y_test):,} held out, {X.shape[1]:,} features"
        f" ({storage}), {n_classes} classes, C = {problem.C:g}",
        "",
        f"  {'':26}{'iterations':>10}{'objective':>14}{'held-out loss':>15}{'accuracy':>10}{'seconds':>10}",
    ]
    for name, row in rows.items():
        lines.append(
            f"  {name + ', ' + row.threads:26}{row.n_iter:>10}{row.objective:>14.8f}{row.log_loss:>15.6f}"
            f"{row.accuracy:>10.2%}{row.seconds:>10.3f}"
        )
    peer = rows["scikit-learn"]
    reached = seconds_to(rows["fastxent"], peer.objective)
    if reached is None:
        found = "fastxent ended above scikit-learn's objective"
    else:
        ratio = peer.seconds / reached
        found = f"fastxent reaches scikit-learn's objective after {reached:.3f} s: {ratio:.1f} times as fast"
    return "\n".join([*lines, f"  {found}", ""])


def draw(results: Sequence[tuple[Problem, dict[str, Row]]], output: str) -> None:
    """Draw the training curve of each (problem, rows) of ``results`` into a file; needs matplotlib."""
    from matplotlib.figure import Figure  # no pyplot: no window system, no global state

    figure = Figure(figsize=(5 * len(results), 7), layout="constrained")
    for (curve, gap), (problem, rows) in zip(
        figure.subplots(2, len(results), squeeze=False).T, results, strict=True
    ):
        history, other = rows["fastxent"].model.history_, rows["scikit-learn"]
        curve.plot(history["epoch"], history["loss"], label="fastxent")
        curve.axhline(
            other.objective, color="grey", linestyle=":", label=f"scikit-learn after {other.n_iter}"
        )
        curve.set(title=problem.name, xlabel="iteration", ylabel="objective")
        curve.legend()

        loss = np.asarray(history["loss"])
        lowest = min(loss.min(), other.objective)
        gap.plot(history["seconds"], np.maximum(loss - lowest, SMALLEST_GAP), label="fastxent")
        gap.plot(
            other.seconds,
            max(other.objective - lowest, SMALLEST_GAP),
            "o",
            color="grey",
            label="scikit-learn",
        )
        gap.set(xlabel="seconds", ylabel="objective above the lowest found", yscale="log")
        gap.legend()
    figure.savefig(output, dpi=150)


def run(
    output: str = "fastxent-demo.png",
    repeats: int = 3,
    problems: Iterable[Callable[[], Problem]] = (digits, docstrings),
) -> None:
    """Print the comparison on each problem and draw the training curves into ``output``."""
    about = describe()
    print(
        f"fastxent {about['fastxent']}, kernels {about['kernels']}; scikit-learn {sklearn.__version__}; "
        f"Python {about['Python']}; processors: {about['processors']}"
    )
    print(
        f"Same C for both; fastxent with tol={TOL:g}, scikit-learn with its default. Seconds are medians of {repeats} "
        "fits.\n"
    )
    results = []
    for make in problems:
        problem = make()
        results.append((problem, compare(problem, repeats)))
        print(table(*results[-1]), flush=True)
    print(
        "Both minimise the same function. A ratio says how long scikit-learn needs for its model and fastxent, on this "
        "machine,\nfor one at least as close to the minimum.\n"
    )
    try:
        draw(results, output)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        print(
            'No picture of the training curves: matplotlib is not installed (pip install "fastxent[plot]").'
        )
    else:
        print(f"Training curves: {Path(output).resolve()}")
