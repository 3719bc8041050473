"""``evaluate``: measure how well a model predicts the labels of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import scores, served
from .arguments import add_data_and_model, add_reading, form_of
from .labels import Classes

if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ..predictor import Predictor
    from ..typing import Array, Table
    from .scores import Tally


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        usage="%(prog)s data --model FILE [--json] [options]",
        help="log loss, accuracy, and scores of each class, on a file with labels",
        description="Print log loss, accuracy, and each class's precision, recall and F1; for two classes also "
        "how many rows of each were predicted right and wrong.",
        allow_abbrev=False,
    )
    add_data_and_model(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    add_reading(parser, unlabeled=True)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    model = served.Served(arguments.model)
    form = form_of(arguments, arguments.data, model.takes_text)
    served.check_columns_are_of_tables(arguments, [form], ("label", "weight", "header"))
    model.use(arguments)
    classes = Classes(model.predictor.classes)
    tally = scores.Tally(model.predictor.classes)
    for X, batch in model.batches(arguments.data, form, True):
        add_batch(
            tally, model.predictor, classes.numbers(batch.y, arguments.data, batch.place), X, batch.weight
        )
    found = tally.scores()
    print(scores.as_json(found) if arguments.json else scores.as_table(found))


def add_batch(tally: Tally, predictor: Predictor, true: Array, X: Table, weight: Array | None) -> None:
    """Add rows to the scores."""
    order = np.argsort(predictor.classes, kind="stable")
    predicted = order[np.searchsorted(predictor.classes, predictor.predict(X), sorter=order)]
    tally.add(true, predicted, predictor.log_proba(X), weight)
