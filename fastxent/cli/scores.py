"""Scores of predictions: log loss, accuracy, and each class's precision, recall and F1."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from ..typing import Array


class Tally:
    """Weighted counts of rows for each pair of classes, and the sum of losses."""

    def __init__(self, classes: Array) -> None:
        self._classes = classes
        self._true, self._predicted, self._right = np.zeros((3, len(classes)))
        self._loss = 0.0
        self._rows = 0

    def add(self, true: Array, predicted: Array, log_proba: Array, weight: Array | None = None) -> None:
        """Add rows: the positions of their classes, and the logarithms of their probabilities (n, K)."""
        weight = np.ones(len(true)) if weight is None else weight
        right = true == predicted
        for counts, classes, weights in (
            (self._true, true, weight),
            (self._predicted, predicted, weight),
            (self._right, true[right], weight[right]),
        ):
            counts += np.bincount(classes, weights, len(counts))
        losses = -log_proba[np.arange(len(true)), true]
        self._loss = math.fsum([self._loss, *(losses * weight).tolist()])
        self._rows += len(true)

    def scores(self) -> dict[str, Any]:
        """All scores as a dict for JSON. Where a divisor is zero, the score is 0."""
        true, predicted, right = self._true, self._predicted, self._right
        total = true.sum()
        precision, recall, f1 = (
            _share(right, predicted),
            _share(right, true),
            _share(2 * right, true + predicted),
        )
        labels = self._classes.tolist()
        found = {
            "rows": self._rows,
            "log_loss": self._loss / total if total else 0.0,
            "accuracy": float(_share(right.sum(), total)),
        }
        if len(labels) == 2:
            found["positive"] = labels[1]
            counts = {
                "true_positives": right[1],
                "false_positives": predicted[1] - right[1],
                "true_negatives": right[0],
                "false_negatives": predicted[0] - right[0],
            }
            found["counts"] = {name: _whole(float(count)) for name, count in counts.items()}
        found["classes"] = [
            {"label": label, "precision": p, "recall": r, "f1": f, "support": _whole(support)}
            for label, p, r, f, support in zip(
                labels,
                precision.tolist(),
                recall.tolist(),
                f1.tolist(),
                true.tolist(),
                strict=True,
            )
        ]
        return found


def _share(part: Array | float, whole: Array | float) -> Array:
    return np.divide(part, whole, out=np.zeros_like(np.asarray(part, float)), where=np.asarray(whole) > 0)


def _whole(count: float) -> int | float:
    return int(count) if count == int(count) else count


def as_json(found: dict[str, Any]) -> str:
    return json.dumps(found, ensure_ascii=False, default=str)


def as_table(found: dict[str, Any]) -> str:
    """Scores as lines of text."""
    lines = [
        f"rows      {found['rows']}",
        f"log loss  {found['log_loss']:.6f}",
        f"accuracy  {found['accuracy']:.6f}",
        "",
    ]
    if "counts" in found:
        lines += [f"{name.replace('_', ' '):15}  {count}" for name, count in found["counts"].items()]
        lines += [f"(positive is {found['positive']})", ""]
    header = ("class", "precision", "recall", "F1", "rows")
    rows = [
        (
            str(one["label"]),
            *(f"{one[name]:.4f}" for name in ("precision", "recall", "f1")),
            f"{one['support']:.8g}",
        )
        for one in found["classes"]
    ]
    widths = [max(len(row[j]) for row in (header, *rows)) for j in range(len(header))]
    for row in (header, *rows):
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
