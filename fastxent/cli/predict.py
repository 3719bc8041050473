"""``predict``: labels, probabilities or the most likely classes of rows, in their order, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import served
from .arguments import UsageError, add_data_and_model, add_reading, check_apart, form_of, whole, writable
from .output import results

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from ..predictor import Predictor
    from ..typing import Table


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "predict",
        usage="%(prog)s data --model FILE [--output FILE] [--proba | --top K] [options]",
        help="labels or probabilities of the rows of a file",
        description="Write the label of each row, in order. Labels in the data are ignored.",
        allow_abbrev=False,
    )
    add_data_and_model(parser)
    parser.add_argument(
        "--output", type=writable, metavar="FILE", help="where to write; standard output unless given"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--proba",
        action="store_true",
        help="probabilities of all classes, separated by tabs, below a line with the classes",
    )
    kind.add_argument(
        "--top",
        type=whole(1),
        metavar="K",
        help="the K likeliest labels with their probabilities, separated by tabs",
    )
    reading = add_reading(parser, unlabeled=True)
    reading.add_argument(
        "--unlabeled",
        action="store_true",
        help="the data have no labels; for text, whose lines are taken for label<TAB>text if they have a tab",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    check_apart("--output", arguments.output, (arguments.data, arguments.model))
    model = served.Served(arguments.model)
    form = form_of(arguments, arguments.data, model.takes_text)
    served.check_columns_are_of_tables(arguments, [form], ("label", "weight", "header"))
    K = len(model.predictor.classes)
    if arguments.top is not None and arguments.top > K:
        raise UsageError(f"--top {arguments.top}: the model has {K} classes")
    model.use(arguments)
    with results(arguments.output) as out:
        if arguments.proba:
            out.write("\t".join(map(str, model.predictor.classes.tolist())) + "\n")
        for X, _ in model.batches(arguments.data, form, False if arguments.unlabeled else None):
            out.writelines(_lines(model.predictor, X, arguments))


def _lines(predictor: Predictor, X: Table, arguments: argparse.Namespace) -> Iterator[str]:
    if arguments.proba:
        for row in predictor(X).tolist():
            yield "\t".join(map(repr, row)) + "\n"
    elif arguments.top is not None:
        labels, probabilities = predictor.top(X, arguments.top)
        for row, shares in zip(labels.tolist(), probabilities.tolist(), strict=True):
            yield "\t".join(f"{label}\t{share!r}" for label, share in zip(row, shares, strict=True)) + "\n"
    else:
        for label in predictor.predict(X).tolist():
            yield f"{label}\n"
