"""The results of one processor: a JSON file that every script adds to, `results/<processor>.json` when committed.

    {processor, processors, kernels, caches, system, versions: {part: {name: version}}, busy: {part: processors},
     <part>: [record, ...]}

A part is what one script measures. Every record has a date; a newer one replaces the older of the same keys.
"""

import argparse
import datetime
import json
import math
from pathlib import Path

from machine import busy_processors, describe, file_name

FOLDER = Path(__file__).with_name("results")
DRAFTS = Path("bench_output")
KEYS = (
    "task",
    "case",
    "dtype",
    "configuration",
    "threads",
    "rival",
    "race",
    "problem",
    "name",
    "kind",
    "number",
)


def parser(what):
    """Return a parser of what every script is told: where results go, and whose they are."""
    parser = argparse.ArgumentParser(description=what.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a subset, in a few minutes")
    parser.add_argument(
        "--processor", metavar="NAME", help="for systems that do not know their processor's name"
    )
    parser.add_argument("--output", type=Path, default=DRAFTS, help=f"folder of the results ({DRAFTS})")
    return parser


class Results:
    """What is known of one processor; ``part`` is what will be added to."""

    def __init__(self, options, part, versions):
        machine, self.part = describe(options.processor), part
        self.path = options.output / file_name(machine["processor"])
        self.known = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
        self.known |= machine
        self.known.setdefault("versions", {})[part] = versions
        self.known.setdefault("busy", {})[part] = busy_processors()  # before we add to it
        self.known.setdefault(part, [])

    def add(self, record):
        """Add a record, and write the file: an interrupted run is not lost."""
        record = {"date": datetime.date.today().isoformat(), **record}
        others = [other for other in self.known[self.part] if keys(other) != keys(record)]
        self.known[self.part] = [*others, record]
        self.write()

    def write(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text_of(self.known), encoding="utf-8")


def keys(record):
    return tuple(record.get(key) for key in KEYS)


def text_of(known):
    """Return JSON with one record on a line, so that changes can be read."""
    lines = []
    for name, value in known.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            records = ",\n".join("  " + json.dumps(rounded(record)) for record in value)
            lines.append(f' "{name}": [\n{records}\n ]')
        else:
            lines.append(f' "{name}": {json.dumps(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def rounded(value):
    """Return the same with numbers of five digits, but for objectives, which differ in the last of many."""
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.5g}")
    if isinstance(value, dict):
        exact = ("objective", "value", "least")
        return {key: inner if key in exact else rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list) else value


def read_all(folder=FOLDER):
    """Return the results of every processor, the newest first."""
    known = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(folder).glob("*.json"))]
    return sorted(known, key=newest, reverse=True)


def newest(known):
    parts = [part for part in known.values() if isinstance(part, list)]
    return max((r["date"] for part in parts for r in part if isinstance(r, dict) and "date" in r), default="")
