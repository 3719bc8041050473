"""Turn the results of all processors into the tables of docs/: `python bench/report.py --insert`.

Every processor in bench/results has its tables in docs/performance.md; the other sections show the newest results that
have what they need, and stay as they are where there are none. `python bench/report.py FOLDER` prints all sections
for the results in another folder.
"""

import contextlib
from pathlib import Path

import figures
import speed_tables
import store
import training_tables
from tables import Missing, insert, section

DOCS = Path(__file__).resolve().parents[1] / "docs"
# Where a section is, its markers, and what makes its text of one processor's results.
SECTIONS = (
    ("benchmarks.md", "bench", speed_tables.all_cases),
    ("benchmarks.md", "latency", speed_tables.single_predictions),
    ("benchmarks.md", "race", training_tables.race),
    ("solvers.md", "choices", training_tables.choices),
    ("solvers.md", "tolerances", training_tables.tolerances),
    ("solvers.md", "cost-model", training_tables.cost_model),
    ("sgd.md", "descent", training_tables.descent),
    ("performance.md", "roofline", speed_tables.roofline_table),
    ("performance.md", "growth", speed_tables.growth_table),
)
FIGURES = (figures.draw_convergence, figures.draw_roofline, figures.draw_growth)


def shown(make, results):
    """Return what ``make`` makes of each of the results that have what it needs."""
    made = []
    for known in results:
        with contextlib.suppress(Missing):
            made.append(make(known))
    return made


def main():
    parser = store.parser(__doc__, stored=False)
    parser.add_argument(
        "folder", type=Path, nargs="?", default=store.FOLDER, help="of the results (bench/results)"
    )
    parser.add_argument("--insert", action="store_true", help="into docs/, and draw the figures")
    parser.add_argument("--check", action="store_true", help="fail if docs/ says something else")
    options = parser.parse_args()
    results = store.read_all(options.folder)  # the newest first
    made = [(DOCS / "performance.md", "processors", "\n".join(shown(speed_tables.processor_tables, results)))]
    for page, name, make in SECTIONS:
        made += [(DOCS / page, name, text) for text in shown(make, results)[:1]]
    if options.check:
        old = [f"{page.name}: {name}" for page, name, text in made if section(page, name)[1] != text]
        raise SystemExit(f"not what the results say: {', '.join(old)}" if old else 0)
    for page, name, text in made:
        if options.insert:
            insert(text, page, name)
        else:
            print(f"## {name}\n\n{text}")
    if options.insert:
        for draw in FIGURES:
            next((True for known in results if shown(draw, [known])), None)
    else:
        for known in results:
            print(*map(training_tables.everybody, training_tables.outcomes(known)), sep="\n")


if __name__ == "__main__":
    main()
