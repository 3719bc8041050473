"""The benchmarks of rows beyond memory and of clusters: they run, and the page shows their figures."""

from test_bench import BENCH, run


def test_the_page_on_costs_shows_the_figures():
    page = (BENCH.parent / "docs" / "cost.md").read_text(encoding="utf-8")
    assert run("cost.py").strip() in page


def test_rows_within_a_limit_of_memory(tmp_path):
    ours = "--only", "ours_sgd", "--only", "ours_logistic"
    text = run("large.py", "--rows", 2000, "--folder", tmp_path, *ours)
    assert "SGDClassifier, one epoch: " in text and "LogisticRegression, a fit: " in text
    assert "ours_sgd: 10^9 rows would take" in text
    lines = (tmp_path / "2000" / "rows.vw").read_text().splitlines()
    assert len(lines) == 2000
    label, entries = lines[-1].split(" | ")
    assert 1 <= int(label) <= 60
    assert [0 < float(entry.split(":")[1]) < 1 for entry in entries.split()] == [True] * 20
