"""Turn the results of all processors into the tables of docs/: `python bench/report.py --insert`.

Every processor in bench/results has its tables in docs/performance.md; the other sections show the newest results that
have what they need, and stay as they are where there are none. `python bench/report.py FOLDER` prints all sections
for the results in another folder.
"""

import contextlib
import re
from pathlib import Path

import figures
import store
import tables

DOCS = Path(__file__).resolve().parents[1] / "docs"
# Where a section is, its markers, and what makes its text of one processor's results.
SECTIONS = (
    ("benchmarks.md", "bench", tables.all_cases),
    ("benchmarks.md", "latency", tables.single_predictions),
    ("benchmarks.md", "race", tables.race),
    ("solvers.md", "choices", tables.choices),
    ("solvers.md", "tolerances", tables.tolerances),
    ("solvers.md", "cost-model", tables.cost_model),
    ("sgd.md", "descent", tables.descent),
    ("performance.md", "roofline", tables.roofline_table),
    ("performance.md", "growth", tables.growth_table),
)
FIGURES = (figures.draw_convergence, figures.draw_roofline, figures.draw_growth)


def section(path, name):
    """Return what stands before the section of this name in a file, in it, and after it."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    parts = re.split(f"(?<={begin})|(?={end})", path.read_text(encoding="utf-8"))
    if len(parts) != 3 or not (parts[0].endswith(begin) and parts[2].startswith(end)):
        raise SystemExit(f"{path}: wanted one line {begin.strip()} and, after it, one line {end}")
    return parts


def insert(text, path, name):
    """Replace what stands between the markers of this name in a file."""
    before, _, after = section(path, name)
    path.write_text(before + text + after, encoding="utf-8")


def section_command(what, page, name, measure, text):
    """Be the command that measures the figures of one section, and prints or inserts it; return whether it did."""
    parser = store.parser(what, stored=False)
    parser.add_argument("--measure", action="store_true", help="the figures anew, on this machine")
    parser.add_argument("--insert", action="store_true", help=f"into {page.name}; else the text is printed")
    given = parser.parse_args()
    if given.measure:
        measure()
    if given.insert:
        insert(text(), page, name)
    else:
        print(text())
    return given.insert


def shown(make, results):
    """Yield what ``make`` makes of each of the results that have what it needs."""
    for known in results:
        with contextlib.suppress(tables.Missing):
            yield make(known)


def main():
    parser = store.parser(__doc__, stored=False)
    parser.add_argument(
        "folder", type=Path, nargs="?", default=store.FOLDER, help="bench/results if not given"
    )
    parser.add_argument("--insert", action="store_true", help="into docs/, and draw the figures")
    parser.add_argument("--check", action="store_true", help="fail if docs/ says something else")
    options = parser.parse_args()
    results = store.read_all(options.folder)  # the newest first
    made = [(DOCS / "performance.md", "processors", "\n".join(shown(tables.processor_tables, results)))]
    for page, name, make in SECTIONS:
        made += [(DOCS / page, name, text) for text in [*shown(make, results)][:1]]
    if options.check:
        old = [f"{page.name}: {name}" for page, name, text in made if section(page, name)[1] != text]
        raise SystemExit(f"not what the results say: {', '.join(old)}" if old else 0)
    if options.insert:
        for page, name, text in made:
            insert(text, page, name)
        for draw in FIGURES:
            next(shown(draw, results), None)
        return
    for _, name, text in made:
        print(f"## {name}\n\n{text}")
    for known in results:
        print(*map(tables.everybody, tables.outcomes(known)), sep="\n")


if __name__ == "__main__":
    main()
