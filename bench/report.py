"""Turn the results of all processors into the tables of docs/: `python bench/report.py --insert`.

Every processor in bench/results has its tables in docs/performance.md; the other sections show the newest results that
have what they need, and stay as they are where there are none. `python bench/report.py FOLDER` prints all sections
for the results in another folder.
"""

import argparse
from pathlib import Path

import choices
import convergence_tables
import descent
import growth
import roofline
from speed_tables import all_cases, every_processor, single_predictions
from store import FOLDER, read_all
from tables import insert, section

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
# Where a section is, its markers, and what makes its text of one processor's results (None: these do not have it).
SECTIONS = (
    (DOCS / "benchmarks.md", "bench", all_cases),
    (DOCS / "benchmarks.md", "latency", single_predictions),
    (DOCS / "benchmarks.md", "race", convergence_tables.race),
    (DOCS / "solvers.md", "choices", convergence_tables.choices),
    (DOCS / "solvers.md", "tolerances", convergence_tables.tolerances),
    (DOCS / "solvers.md", "cost-model", choices.tables),
    (DOCS / "sgd.md", "descent", descent.tables),
    (DOCS / "performance.md", "roofline", roofline.table),
    (DOCS / "performance.md", "growth", growth.table),
)
FIGURES = (convergence_tables.draw, roofline.draw, growth.draw)


def sections(results):
    """Yield page, markers and text of every section that these results (of all processors, the newest first) have."""
    yield DOCS / "performance.md", "processors", every_processor(results)
    for page, name, make in SECTIONS:
        text = next(filter(None, map(make, results)), None)
        if text is not None:
            yield page, name, text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help="of the results (bench/results)")
    parser.add_argument("--insert", action="store_true", help="into docs/, and draw the figures")
    parser.add_argument("--check", action="store_true", help="fail if docs/ says something else")
    options = parser.parse_args()
    results = read_all(options.folder)
    if options.check:
        old = [
            f"{page.name}: {name}" for page, name, text in sections(results) if section(page, name) != text
        ]
        raise SystemExit(f"not what the results say: {', '.join(old)}" if old else 0)
    for page, name, text in sections(results):
        if options.insert:
            insert(text, page, name)
        else:
            print(f"## {name}\n\n{text}")
    for draw in FIGURES if options.insert else ():
        next(filter(draw, results), None)  # the newest that have what is drawn
    for known in () if options.insert else results:
        print(*map(convergence_tables.everybody, convergence_tables.outcomes(known)), sep="\n")


if __name__ == "__main__":
    main()
