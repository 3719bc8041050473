"""Turn results.json into tables for a person.

`python bench/table.py bench_output/results.json` prints the whole report; with `--insert README.md` the
main tables replace what stands there between the markers `<!-- bench:begin -->` and `<!-- bench:end -->`; other
scripts insert what they generate between markers of other names.
"""

import argparse
import json
import math
from pathlib import Path

from limits import least_seconds

OURS, PLAIN, OUR_FUNCTION = "fastxent", "NumPy", "fastxent function"
MAIN_TASK = "loss + gradient"
BUSY = 0.3  # processors busy with other work, above which figures are not worth publishing
PRECISION = {"float32": "f32", "float64": "f64"}


def seconds_text(seconds):
    """Return a time in the unit that a person would use."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= 0.9995 * size:
            return f"{significant(seconds / size)} {unit}"
    return f"{significant(seconds / 1e-6)} µs"


def significant(value, digits=3):
    """Return about ``digits`` digits, without an exponent."""
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def times_text(ratio):
    """Return how many times slower a rival is; below one, where it beats us, in bold."""
    text = f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.0f}x"
    return text if ratio >= 1 else f"**{text}**"


def markdown(header, rows):
    """Return a Markdown table without its empty columns; numbers stand to the right."""
    kept = [i for i in range(len(header)) if i == 0 or any(row[i] != "–" for row in rows)]
    header, *rows = ([line[i] for i in kept] for line in [header, *rows])
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def median(record):
    return record["seconds"][1]


def peers(rivals):
    """Return the records of everybody else who finished, the fastest first."""
    others = {name: r for name, r in rivals.items() if name not in (OURS, OUR_FUNCTION) and "seconds" in r}
    return dict(sorted(others.items(), key=lambda item: median(item[1])))


def family(rivals, prefix):
    """Return the fastest record of a family of rivals, or None."""
    return next((record for name, record in peers(rivals).items() if name.startswith(prefix)), None)


def peer_cell(record, compared):
    """Return "12 ms, 2.5x"; the ratio only when we ran too."""
    if record is None:
        return "–"
    text = seconds_text(median(record))
    return f"{text}, {times_text(record['ratio'][1])}" if compared else text


def share_text(limit, seconds):
    """Return how much of the machine's full speed is reached."""
    return f"{100 * limit / seconds:.0f} %"


def race_row(race, families, rates, details):
    """Return one line of a task's table."""
    rivals = race["rivals"]
    ours = rivals.get(OURS, {})
    ran = "seconds" in ours
    row = [f"{race['case']}, {PRECISION[race['dtype']]}"]
    row.append(seconds_text(median(ours)) if ran else ("failed" if "failed" in ours else "not installed"))
    row.append(share_text(least_seconds(race["work"], race["dtype"], rates), median(ours)) if ran else "–")
    row += [peer_cell(family(rivals, prefix), ran) for prefix in families]
    best_name, best = next(iter(peers(rivals).items()), (None, None))
    if ran and best:
        low, middle, high = best["ratio"]
        row.append(f"{times_text(middle)} ({low:.2f}–{high:.2f}), {best_name}")
    else:
        row.append(best_name or "–")
    return row + detail_cells(rivals) if details else row


def detail_cells(rivals):
    """Return extra memory, deviation from float64, and the functional form's time."""
    shown = [record for name in (OURS, PLAIN) if "seconds" in (record := rivals.get(name, {}))]
    memory = [
        significant(r["extra_megabytes"], 2) if r["extra_megabytes"] is not None else "–" for r in shown
    ]
    deviation = [f"{r['errors'][-1]:.0e}" for r in shown]
    function = rivals.get(OUR_FUNCTION, {})
    return [
        " / ".join(memory),
        " / ".join(deviation),
        seconds_text(median(function)) if "seconds" in function else "–",
    ]


def task_table(races, rates, details=False):
    """Return the table of one task at one number of threads, given the machine's rates."""
    names = {name for race in races for name in race["rivals"]}
    families = [
        prefix
        for prefix in (PLAIN, "SciPy", "scikit-learn", "PyTorch")
        if any(n.startswith(prefix) for n in names)
    ]
    header = ["case", OURS, "of the limit", *families, "against the best peer (quartiles)"]
    if details:
        header += [
            f"extra MB, {OURS} / {PLAIN}",
            f"deviation, {OURS} / {PLAIN}",
            "as a function",
        ]
    return markdown(header, [race_row(race, families, rates, details) for race in races])


def threads_text(n):
    return "1 thread" if n == 1 else f"{n} threads"


def sections(races):
    """Yield task, number of threads and races, most threads first."""
    for task in dict.fromkeys(race["task"] for race in races):
        for n in sorted({race["threads"] for race in races}, reverse=True):
            chosen = [race for race in races if race["task"] == task and race["threads"] == n]
            if chosen:
                yield task, n, chosen


def machine_line(results):
    versions = ", ".join(f"{name} {v}" for name, v in results["versions"].items() if v != "not installed")
    return f"{results['machine']['processor']}, {results['machine']['processors']} processors; {versions}."


HOW_TO_READ = (
    'Times are medians; "2.5x" means that the peer takes 2.5 times as long as fastxent in the same rounds of '
    "the same process (median of the ratios; bold where the peer is faster). Every library runs with its "
    "best setting of threads. The limit is what moving the data, or the multiplications and exponentials, would "
    "take at the full speed measured on the same machine, whichever is longer (bench/limits.py).\n"
)
HOW_TO_READ_DETAILS = (
    "Extra MB is the growth of the process while it builds and computes. Deviation is the largest one from "
    "NumPy in float64, relative to the largest entry of the gradient (or result).\n"
)


def report(results):
    """Return everything in one Markdown text."""
    parts = ["# Benchmark results\n", machine_line(results) + "\n", HOW_TO_READ, HOW_TO_READ_DETAILS]
    if results["quick"]:
        parts.append("This was a quick run: few rounds, a subset of the cases.\n")
    if results["load"] > BUSY:
        parts.append(
            f"**Not for publication: the machine was busy (load {results['load']:.1f} at the start). Threads "
            "that wait for each other then cost the peers far more than they would on a quiet machine.**\n"
        )
    for task, n, races in sections(results["races"]):
        parts += [
            f"## {task}, {threads_text(n)}\n",
            task_table(races, results["limits"][str(n)], details=True),
        ]
    if results["start"]:
        rows = [[n, seconds_text(r["import"]), seconds_text(r["first"])] for n, r in results["start"].items()]
        parts += ["## fresh process\n", markdown(["library", "import", "first result after it"], rows)]
    if results["limits"]:
        first = next(iter(results["limits"].values()))
        rows = [[name] + [significant(rates[name]) for rates in results["limits"].values()] for name in first]
        parts += [
            "## the machine\n",
            markdown(["", *(threads_text(int(n)) for n in results["limits"])], rows),
        ]
    failures = sorted(
        {f"{race['task']}, {race['case']}, {race['dtype']}: {name}: {record['failed']}"
         for race in results["races"] for name, record in race["rivals"].items() if "failed" in record}
    )  # fmt: skip
    if failures:
        parts += ["## left out\n", "\n".join(f"- {line}" for line in failures) + "\n"]
    return "\n".join(parts)


def readme_tables(results):
    """Return the tables that the README shows."""
    parts = []
    for task, n, races in sections(results["races"]):
        if task == MAIN_TASK and n == max(race["threads"] for race in results["races"]):
            parts += [
                f"Loss + gradient, {threads_text(n)}. {HOW_TO_READ}",
                task_table(races, results["limits"][str(n)]),
            ]
    return "\n".join([*parts, f"Measured on {machine_line(results)}\n"])


def insert(text, path, name="bench"):
    """Replace what stands between the markers of this name in a file."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    page = path.read_text(encoding="utf-8")
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise SystemExit(f"{path}: wanted one line {begin} and, after it, one line {end}")
    before, rest = page.split(begin)
    path.write_text(f"{before}{begin}\n{text}{end}{rest.split(end)[1]}", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument(
        "--insert", type=Path, metavar="PAGE", help="put the main tables between the page's markers"
    )
    options = parser.parse_args()
    results = json.loads(options.results.read_text())
    if options.insert:
        if results["load"] > BUSY or results["quick"]:
            raise SystemExit(
                "these results are of a quick run or a busy machine: run `make bench` on a quiet one"
            )
        insert(readme_tables(results), options.insert)
    else:
        print(report(results))


if __name__ == "__main__":
    main()
