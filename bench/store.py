"""The results of one processor: a JSON file that every script adds to, `results/<processor>.json` when committed.

    {processor, processors, kernels, caches, system, versions: {part: {name: version}}, busy: {part: processors},
     <part>: [record, ...]}

A part is what one script measures. Every record has a date; a newer one replaces the older of the same keys.
"""

import argparse
import datetime
import json
import math
import os
import platform
import re
from pathlib import Path

from data import DataNotFound
from processes import log

FOLDER = Path(__file__).with_name("results")
DRAFTS = Path("bench_output")
KEYS = ("task", "case", "dtype", "configuration", "threads", "rival", "race", "problem", "kind", "number")
EXACT = ("objective", "value", "least")  # objectives differ in the last of many digits


def parser(what, *filters, stored=True, **numbers):
    """Return a parser of what every script is told, and of more.

    ``filters`` are kinds of names of which some can be chosen, ``numbers`` further options: a default and its meaning.
    ``stored``: are there results to be kept?
    """
    parser = argparse.ArgumentParser(description=what.splitlines()[0])
    if stored:
        parser.add_argument("--quick", action="store_true", help="a subset, in a few minutes")
        parser.add_argument("--processor", metavar="NAME", help="for systems that do not know its name")
        parser.add_argument("--output", type=Path, default=DRAFTS, help=f"folder of the results ({DRAFTS})")
    for kind in filters:
        text = f"only {kind}s whose name has TEXT (repeatable)"
        parser.add_argument(f"--{kind}", action="append", metavar="TEXT", help=text)
    for name, (default, meaning) in numbers.items():
        text = f"{meaning} ({default})"
        parser.add_argument(f"--{name}", type=type(default), default=default, metavar="N", help=text)
    return parser


def wanted(name, patterns):
    """Whether a name has one of the words asked for (None: all are)."""
    return not patterns or any(pattern.lower() in name.lower() for pattern in patterns)


def processor():
    """Return the processor's name as the system gives it."""
    try:
        return re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError):
        return platform.processor() or platform.machine()


def busy_processors(seconds=1.0):
    """Return how many processors other work keeps busy now: a load average would count our own last run."""
    import psutil

    return round(psutil.cpu_percent(seconds) / 100 * os.cpu_count(), 2)


class Results:
    """What is known of one processor; ``part`` is what will be added to."""

    def __init__(self, options, part, versions):
        from fastxent import installation

        name, ours, self.part = options.processor or processor(), installation.describe(), part
        words = re.findall("[a-z0-9]+", name.replace("(R)", "").lower())
        self.path = options.output / ("-".join(words) + ".json")  # Intel(R) Xeon(R): intel-xeon.json
        self.known = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
        self.known |= {"processor": name, "processors": os.cpu_count()}
        self.known |= {"kernels": ours["kernels"], "caches": ours["caches"]}
        self.known["system"] = platform.platform(terse=True)
        self.known.setdefault("versions", {})[part] = versions
        self.known.setdefault("busy", {})[part] = busy_processors()  # before we add to it
        self.known.setdefault(part, [])

    def add(self, what, records):
        """Add the records of something, and write the file after each: an interrupted run is not lost."""
        log(what)
        try:
            for record in records:
                key = [record.get(key) for key in KEYS]
                others = [one for one in self.known[self.part] if [one.get(key) for key in KEYS] != key]
                today = datetime.date.today().isoformat()
                self.known[self.part] = [*others, {"date": today, **record}]
                self.write()
        except DataNotFound as fault:
            log(f"    left out: {fault}")

    def write(self):
        """Write the file, one record on a line, so that changes can be read."""
        lines = []
        for name, value in self.known.items():
            text = json.dumps(value)
            if is_part(value):
                records = [f"  {json.dumps(rounded(record))}" for record in value]
                text = "[\n" + ",\n".join(records) + "\n ]"
            lines.append(f' "{name}": {text}')
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def is_part(value):
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def rounded(value):
    """Return the same with numbers of five digits, but for objectives."""
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: inner if key in EXACT else rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list) else value


def dates(known, part=None):
    """Return the dates of the records of a part, or of all, in order."""
    parts = [known.get(part, [])] if part else filter(is_part, known.values())
    return sorted(record["date"] for records in parts for record in records if "date" in record)


def read_all(folder=FOLDER):
    """Return the results of every processor, the newest first."""
    known = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(folder).glob("*.json"))]
    return sorted(known, key=lambda one: max(dates(one), default=""), reverse=True)
