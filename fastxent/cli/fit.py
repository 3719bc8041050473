"""``fit``: train a model on a file and store it in another."""

from __future__ import annotations

import json
import time
import warnings
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from fastxent.readers.batch import Columns, DataError
from fastxent.readers.formats import SPARSE
from fastxent.readers.stream import STANDARD_INPUT
from fastxent.readers.stream import shown as name_of

from . import evaluate, labels, progress, scores, served
from .arguments import (
    UsageError,
    add_reading,
    check_apart,
    folder,
    folds,
    form_of,
    listed,
    real,
    replaceable,
    source,
    span,
    threads,
    weights,
    whole,
)
from .data import gather, of_width
from .estimator import estimator, try_out, vectorized

if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ..predictor import Predictor
    from .data import Rows
    from .labels import Classes


_SOLVERS = (
    "auto",
    "metric",
    "sdca",
    "prox_newton",
    "sgd",
    "lbfgs",
    "newton-cg",
    "newton-cholesky",
    "sag",
    "saga",
    "liblinear",
)


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "fit",
        usage="%(prog)s data --model FILE [--test FILE] [options]",
        help="train a model on a file",
        description="Train a model (logistic regression, multinomial for more than two classes) on a file, write it to "
        "another, and show how well it predicts the labels of a third.",
        allow_abbrev=False,
    )
    parser.add_argument("data", type=source, help="a file with labels, or - for standard input")
    parser.add_argument(
        "--model", type=replaceable, required=True, metavar="FILE", help="where to write the model"
    )
    parser.add_argument(
        "--test", type=source, metavar="FILE", help="a file with labels to evaluate the model on"
    )

    reading = add_reading(parser)
    reading.add_argument(
        "--drop",
        type=listed,
        default=(),
        metavar="COLUMN,...",
        help="columns of a table that are no features",
    )
    reading.add_argument(
        "--zero-based",
        action="store_true",
        help="columns of svmlight's format count from 0 (default: they do if there is a column 0)",
    )

    text = parser.add_argument_group("text")
    text.add_argument(
        "--hashing", type=whole(1, 30), metavar="BITS", help="2**BITS hashed features instead of TF-IDF"
    )
    text.add_argument("--word-ngrams", type=whole(1), metavar="N", help="up to N words in a row (default: 1)")
    text.add_argument(
        "--char-ngrams",
        type=span,
        metavar="MIN-MAX",
        help="so many characters in a row, inside words, not words",
    )
    text.add_argument(
        "--min-count", type=whole(1), metavar="N", help="leave out words of fewer than N texts (default: 1)"
    )

    model = parser.add_argument_group("model")
    strength = model.add_mutually_exclusive_group()
    strength.add_argument(
        "--C", type=real(open_below=True), metavar="C", help="inverse strength of the penalty (default: 1)"
    )
    strength.add_argument(
        "--cv",
        type=folds,
        nargs="?",
        const=5,
        metavar="FOLDS",
        help="choose C by cross-validation, among ten values from 1e-4 to 1e4 (default: 5 folds)",
    )
    model.add_argument("--penalty", choices=("l2", "l1", "elasticnet", "none"), help="default: l2")
    model.add_argument(
        "--l1-ratio", type=real(0.0, 1.0), metavar="R", help="share of L1 in elasticnet (default: 0.5)"
    )
    model.add_argument(
        "--class-weight",
        type=weights,
        metavar="WEIGHTS",
        help="balanced, or label:weight,... (1 for other labels)",
    )
    model.add_argument("--no-intercept", action="store_true", help="without an intercept")

    solver = parser.add_argument_group("solver")
    solver.add_argument("--solver", choices=_SOLVERS, help="default: auto")
    solver.add_argument("--max-iter", type=whole(1), metavar="N", help="iterations at most (default: 1000)")
    solver.add_argument("--sgd", action="store_true", help="train by stochastic descent (SGDClassifier)")
    solver.add_argument(
        "--epochs", type=whole(1), metavar="N", help="passes of --sgd (default: as many as --tol asks for)"
    )
    solver.add_argument(
        "--batch-size", type=whole(1), metavar="N", help="rows of a step of --sgd (default: 1)"
    )
    solver.add_argument(
        "--tol", type=real(), metavar="TOL", help="accuracy of the loss (default: 1e-4; with --sgd 1e-3)"
    )
    solver.add_argument(
        "--threads", type=threads, metavar="N", help="default: as many as there are processors"
    )
    solver.add_argument(
        "--checkpoint",
        type=folder,
        metavar="FOLDER",
        help="keep the state of the training there, once a minute; the same command goes on from it",
    )
    solver.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="of random orders (default: 0)")

    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--quiet", action="store_true", help="without progress and summary")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    forms = _checked(arguments)
    columns = Columns(
        label=arguments.label,
        weight=arguments.weight,
        drop=arguments.drop,
        header=arguments.header,
        first=0 if arguments.zero_based else None,
    )
    rows = gather(arguments.data, forms[0], columns)
    rows.y = labels.of_training(rows)
    classes = labels.Classes(np.unique(rows.y))
    _check_classes(arguments, classes, rows)
    test = None
    if arguments.test is not None:
        test = gather(arguments.test, forms[1], columns)
        test.y = classes.numbers(test.y, test.path, test.place)
    vectorizer = None
    if forms[0] == "text":
        vectorizer = vectorized(arguments, rows, test)
    if test is not None:
        test.X = of_width(test.X, rows.X.shape[1], test.path, _warn)
    try_out(arguments, len(classes.values), sp.issparse(rows.X))

    model = estimator(arguments, rows, classes)
    began = time.perf_counter()
    with progress.shown(arguments.quiet, arguments.epochs) as callback:
        model.fit(rows.X, rows.y, sample_weight=rows.weight, callback=callback)
    seconds = time.perf_counter() - began
    served.with_columns(model, columns).save(arguments.model, vectorizer=vectorizer)
    _report(arguments, model, rows, test, seconds)


# Checks of arguments ---------------------------------------------------------------------------------------


def _checked(arguments: argparse.Namespace) -> list[str]:
    """Return the formats of the files, or raise if arguments contradict each other."""
    paths = [path for path in (arguments.data, arguments.test) if path is not None]
    if paths.count(STANDARD_INPUT) > 1:
        raise UsageError("only one of the files can be standard input")
    check_apart("--model", arguments.model, paths)
    forms = [form_of(arguments, path) for path in paths]
    if len({form == "text" for form in forms}) > 1:
        raise UsageError("either both files are text, or none")
    served.check_columns_are_of_tables(arguments, forms, ("label", "weight", "header", "drop"))
    for name, needed, there in (
        ("zero_based", "svmlight's format", "svmlight" in forms),
        ("hashing", "--text", "text" in forms),
        ("word_ngrams", "--text", "text" in forms),
        ("char_ngrams", "--text", "text" in forms),
        ("min_count", "--text", "text" in forms),
        ("epochs", "--sgd", arguments.sgd),
        ("batch_size", "--sgd", arguments.sgd),
        ("l1_ratio", "--penalty elasticnet", arguments.penalty == "elasticnet"),
    ):
        if getattr(arguments, name) not in (None, False) and not there:
            raise UsageError(f"--{name.replace('_', '-')} goes with {needed} only")
    for one, other in (
        ("sgd", "cv"),
        ("sgd", "solver"),
        ("sgd", "max_iter"),
        ("checkpoint", "cv"),
        ("hashing", "min_count"),
        ("word_ngrams", "char_ngrams"),
    ):
        if getattr(arguments, one) and getattr(arguments, other) is not None:
            names = (f"--{name.replace('_', '-')}" for name in (one, other))
            raise UsageError("{} does not go with {}".format(*names))
    if arguments.penalty == "none" and (arguments.C is not None or arguments.cv is not None):
        raise UsageError("--penalty none leaves nothing for --C or --cv to say")
    try_out(arguments, 2, forms[0] in SPARSE)
    return forms


def _check_classes(arguments: argparse.Namespace, classes: Classes, rows: Rows) -> None:
    """Refuse unusable labels before the training."""
    counted = classes.values.tolist()
    if len(counted) < 2:
        raise DataError(
            name_of(rows.path), None, f"all rows have the label {counted[0]!r}; two classes are needed"
        )
    if arguments.cv is not None:
        label, count = min(zip(*np.unique(rows.y, return_counts=True), strict=True), key=lambda pair: pair[1])
        if count < arguments.cv:
            raise DataError(
                name_of(rows.path),
                None,
                f"the class {str(label)!r} has {count} rows, too few for --cv {arguments.cv}",
            )
    if isinstance(arguments.class_weight, dict):
        for label in arguments.class_weight:
            if label not in classes:
                raise UsageError(f"--class-weight: no row has the label {label!r}")


# Results --------------------------------------------------------------------------------------------------


def _report(
    arguments: argparse.Namespace,
    model: Any,
    rows: Rows,
    test: Rows | None,
    seconds: float,
) -> None:
    found = {
        "model": arguments.model,
        "rows": rows.X.shape[0],
        "features": rows.X.shape[1],
        "classes": len(model.classes_),
        "iterations": int(np.max(model.n_iter_)),
        "converged": bool(model.converged_),
        "seconds": round(seconds, 3),
    }
    if arguments.cv is not None:
        found["C"] = float(model.C_)
    if test is not None:
        found["test"] = _tested(model.predictor(), test)
    if arguments.json:
        print(json.dumps(found, ensure_ascii=False, default=str))
        return
    if not arguments.quiet:
        for name, value in found.items():
            if name != "test":
                print(f"{name:10}  {value}")
    if test is not None:
        if not arguments.quiet:
            print()
        print(scores.as_table(found["test"]))


def _tested(predictor: Predictor, test: Rows) -> dict[str, Any]:
    tally = scores.Tally(predictor.classes)
    size = max(1, served.MOST_NUMBERS // len(predictor.classes))
    for start in range(0, len(test.y), size):
        part = slice(start, start + size)
        weight = None if test.weight is None else test.weight[part]
        evaluate.add_batch(tally, predictor, test.y[part], test.X[part], weight)
    return tally.scores()


def _warn(message: Any) -> None:
    warnings.warn(message, UserWarning, stacklevel=2)
