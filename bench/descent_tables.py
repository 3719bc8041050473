"""The tables of the descent races, of the results of `descent.py`."""

import numpy as np

from descent import FIRST, FIRST_ROWS
from descent_rivals import RACES
from rivals import OURS
from tables import NOTHING, PRECISION, markdown, measured_on, seconds_text, significant, times_text


def way_to_goal(record):
    """Return time and epochs to the goal, or what was reached instead."""

    def text(epochs):
        seconds = np.median(record["first"]) + (epochs - 1) * np.median(record["seconds"])
        return f"{seconds_text(float(seconds))}, {epochs:.1f}"

    if record["searched"] is None:
        loss, epochs = record["best"]
        return f"never: {loss:.3f} at best, after {epochs}"
    way = f"{text(record['searched'])} epochs"
    if record["rival"] == OURS:
        way += f" (automatic step: {text(record['automatic']) if record['automatic'] else 'never'})"
    return way


def race_table(records):
    median = {(r["rival"], r["dtype"]): float(np.median(r["seconds"])) for r in records}
    rows = []
    for record in sorted(records, key=lambda r: (r["rival"] != OURS, np.median(r["seconds"]))):
        own = median[record["rival"], record["dtype"]]
        row = {
            "": f"{record['rival']}, {PRECISION[record['dtype']]}",
            "rows/s": f"{significant(record['rows'] / own / 1e3)}k",
            "an epoch": seconds_text(own),
        }
        for dtype, short in PRECISION.items():
            unit = median.get((OURS, dtype)) if record["rival"] != OURS else None
            row[f"against ours, {short}"] = times_text(own / unit) if unit else NOTHING
        row["log loss after one"] = f"{record['loss']:.3f}"
        row["extra MB"] = significant(record["extra_megabytes"], 2)
        if record["goal"]:
            row[f"to log loss {record['goal']:.3f}"] = way_to_goal(record)
        rows.append(row)
    return markdown(rows)


def tables(known):
    """Return the section of docs/sgd.md, None if these results do not have it."""
    by_race = {name: [] for name in (*RACES, FIRST)}
    for record in known.get("descent", []):
        by_race.setdefault(record["race"], []).append(record)
    first = by_race.pop(FIRST)
    parts = [f"**{name}**\n\n{race_table(records)}" for name, records in by_race.items() if records]
    if first:
        title = (
            f"**A fresh process**: import, and one epoch on the first {FIRST_ROWS:,} rows of the glosses\n"
        )
        columns = {"import": "import", "first epoch": "first"}
        rows = [
            {"": r["rival"]} | {name: seconds_text(r[key]) for name, key in columns.items()} for r in first
        ]
        parts += [title, markdown(rows)]
    return "\n".join([*parts, measured_on(known, "descent")]) if parts else None
