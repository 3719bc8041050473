"""Turn results.json into tables for a person.

`python bench/table.py bench_output/results.json` prints the whole report; with `--insert README.md` the
main tables replace what stands there between the markers `<!-- bench:begin -->` and `<!-- bench:end -->`.
"""

import argparse
import json
import math
from pathlib import Path

from limits import least_seconds

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
OURS, PLAIN, OUR_FUNCTION = "fastxent", "NumPy", "fastxent function"
MAIN_TASK = "loss + gradient"
BUSY = 0.7  # load average of other work, above which figures are not worth publishing
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


def race_row(race, families, rates=None):
    """Return one line of a task's table."""
    rivals = race["rivals"]
    ours = rivals.get(OURS, {})
    ran = "seconds" in ours
    row = [f"{race['case']}, {PRECISION[race['dtype']]}"]
    row.append(seconds_text(median(ours)) if ran else ("failed" if "failed" in ours else "not installed"))
    row += [peer_cell(family(rivals, prefix), ran) for prefix in families]
    best_name, best = next(iter(peers(rivals).items()), (None, None))
    if ran and best:
        low, middle, high = best["ratio"]
        row.append(f"{times_text(middle)} ({low:.2f}–{high:.2f}), {best_name}")
    else:
        row.append(best_name or "–")
    if rates:
        row += detail_cells(race, ours if ran else best, rivals, rates)
    return row


def detail_cells(race, fastest, rivals, rates):
    """Return extra memory, deviation from float64, the functional form's time, and distance to the limit."""
    shown = [record for name in (OURS, PLAIN) if "seconds" in (record := rivals.get(name, {}))]
    memory = [
        significant(r["extra_megabytes"], 2) if r["extra_megabytes"] is not None else "–" for r in shown
    ]
    deviation = [f"{r['errors'][-1]:.0e}" for r in shown]
    function = rivals.get(OUR_FUNCTION, {})
    limit = least_seconds(race["work"], race["dtype"], rates) if "work" in race else None
    return [
        " / ".join(memory),
        " / ".join(deviation),
        seconds_text(median(function)) if "seconds" in function else "–",
        f"{median(fastest) / limit:.1f}x" if limit and fastest else "–",
    ]


def task_table(races, rates=None):
    """Return the table of one task at one number of threads, with details if given the machine's rates."""
    names = {name for race in races for name in race["rivals"]}
    families = [
        prefix
        for prefix in (PLAIN, "SciPy", "scikit-learn", "PyTorch")
        if any(n.startswith(prefix) for n in names)
    ]
    header = ["case", OURS, *families, "against the best peer (quartiles)"]
    if rates:
        header += [
            f"extra MB, {OURS} / {PLAIN}",
            f"deviation, {OURS} / {PLAIN}",
            "as a function",
            "over the limit",
        ]
    return markdown(header, [race_row(race, families, rates) for race in races])


def training_table(records):
    """Return seconds and the objective reached, by problem and tolerance; each trainer's faster setting."""
    fastest = {}
    for record in records:
        key = (record["training"], record["tol"], record["trainer"])
        if key not in fastest or record["seconds"] < fastest[key]["seconds"]:
            fastest[key] = record
    header = [
        "training",
        "trainer",
        "tol",
        "time",
        "iterations",
        "F over the best",
        "largest gradient entry",
        "log loss",
        "accuracy",
    ]
    rows = [
        [
            r["training"],
            r["trainer"],
            f"{r['tol']:.0e}",
            seconds_text(r["seconds"]),
            str(r["iterations"]),
            f"{r['excess']:.1e}",
            f"{r['gradient']:.1e}",
            f"{r['log_loss']:.4f}",
            f"{100 * r['accuracy']:.2f} %",
        ]
        for r in sorted(fastest.values(), key=lambda r: (r["training"], -r["tol"], r["seconds"]))
    ]
    return markdown(header, rows)


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
    "best setting of threads.\n"
)
HOW_TO_READ_DETAILS = (
    "Extra MB is the growth of the process while it builds and computes. Deviation is the largest one from "
    "NumPy in float64, relative to the largest entry of the gradient (or result). The limit is reading X "
    "once from memory or two matrix products at the machine's full speed, whichever is longer.\n"
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
        parts += [f"## {task}, {threads_text(n)}\n", task_table(races, results["limits"][str(n)])]
    if results["trainings"]:
        parts += ["## training\n", training_table(results["trainings"])]
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
            parts += [f"Loss + gradient, {threads_text(n)}. {HOW_TO_READ}", task_table(races)]
    if results["trainings"]:
        parts += [
            "Training, and what was reached (F is the objective):\n",
            training_table(results["trainings"]),
        ]
    return "\n".join([*parts, f"Measured on {machine_line(results)}\n"])


def insert(text, path):
    """Replace what stands between the markers in a file."""
    page = path.read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise SystemExit(f"{path}: wanted one line {BEGIN} and, after it, one line {END}")
    before, rest = page.split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{text}{END}{rest.split(END)[1]}", encoding="utf-8")


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
