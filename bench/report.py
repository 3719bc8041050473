"""Turn the results of all processors into the tables of docs/: `python bench/report.py --insert`.

Every processor in bench/results has its tables in docs/performance.md; the other sections show the newest results that
have what they need, and stay as they are where there are none. `python bench/report.py FOLDER` prints all sections
for the results in another folder.
"""

import argparse
import contextlib
import itertools
from pathlib import Path

import choices
import figures
import speed_tables
import training_tables
from store import FOLDER, read_all
from tables import Missing, insert, section

DOCS = Path(__file__).resolve().parents[1] / "docs"
# Where a section is, its markers, and what makes its text of one processor's results.
SECTIONS = (
    ("benchmarks.md", "bench", speed_tables.all_cases),
    ("benchmarks.md", "latency", speed_tables.single_predictions),
    ("benchmarks.md", "race", training_tables.race),
    ("solvers.md", "choices", training_tables.choices),
    ("solvers.md", "tolerances", training_tables.tolerances),
    ("solvers.md", "cost-model", choices.tables),
    ("sgd.md", "descent", training_tables.descent),
    ("performance.md", "roofline", speed_tables.roofline_table),
    ("performance.md", "growth", speed_tables.growth_table),
)
FIGURES = (figures.draw_convergence, figures.draw_roofline, figures.draw_growth)


def shown(make, results):
    """Yield what ``make`` makes of the results that have what it needs."""
    for known in results:
        with contextlib.suppress(Missing):
            yield make(known)


def sections(results):
    """Yield page, markers and text of every section that these results (of all processors, the newest first) have."""
    yield DOCS / "performance.md", "processors", "\n".join(shown(speed_tables.processor_tables, results))
    for page, name, make in SECTIONS:
        for text in itertools.islice(shown(make, results), 1):
            yield DOCS / page, name, text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help="of the results (bench/results)")
    parser.add_argument("--insert", action="store_true", help="into docs/, and draw the figures")
    parser.add_argument("--check", action="store_true", help="fail if docs/ says something else")
    options = parser.parse_args()
    results = read_all(options.folder)
    made = list(sections(results))
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
        print(*map(training_tables.everybody, training_tables.outcomes(known)), sep="\n")


if __name__ == "__main__":
    main()
