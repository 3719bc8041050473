"""A small run of the fuzzing, and that the harness sees what it is there to see. `make fuzz` is the large run."""

import pytest

from fuzz.entries import ENTRIES
from fuzz.run import Job, plan, run

SMALL = 40  # examples for each entry point here
MANY = 250  # so many that some of them meet a planted bug


def test_a_small_run():
    reports = run([Job(entry, 0, SMALL) for entry in ENTRIES])
    failures = [failure for report in reports for failure in report.failures]
    assert not failures, "\n".join(map(str, failures))
    assert [report.ran >= SMALL for report in reports] == [True] * len(ENTRIES)


@pytest.mark.parametrize(("plant", "text"), [("crash", "status -11"), ("hang", "no answer")])
def test_a_planted_crash_and_a_hang_are_found_and_repeated(plant, text):
    healthy = Job("rows", 0, MANY)
    broken, after = run([healthy._replace(plant=plant), healthy], patience=2.0)
    (failure,) = broken.failures
    assert failure.kind == plant
    assert text in failure.text
    assert "planted.py" in failure.text  # where it was
    assert failure.example.startswith("{'function': 'softmax'")  # which a second child wrote down
    assert f"--plant {plant} rows:0:{MANY}:{failure.job.only}" in str(failure)
    assert broken.ran == failure.job.only < MANY
    assert (after.ran, after.failures) == (MANY, [])


def test_planted_errors_are_found():
    bugs = {
        "wrong_value": ("rows", "softmax differs from plain NumPy"),
        "inside_error": ("rows", "an error from the inside: KeyError: 'planted'"),
        "refusal": ("rows", "a right call was refused: ValueError: logits are not wanted today"),
        "nan_accepted": ("predict", "a wrong call was accepted"),
    }
    reports = run([Job(entry, 0, MANY, plant=plant) for plant, (entry, _) in bugs.items()])
    for report, (_, text) in zip(reports, bugs.values(), strict=True):
        assert report.ran == MANY
        assert report.failures[0].kind == "wrong"
        assert any(text in failure.text for failure in report.failures), report.failures
        assert report.failures[0].example.startswith("{")


def test_every_entry_point_has_its_share():
    counts = dict.fromkeys(ENTRIES, 0)
    jobs = list(plan(20_000, seed=5))
    for job in jobs:
        counts[job.entry] += job.count
    assert sum(counts.values()) >= 20_000
    assert min(counts.values()) > 800
    assert len(set(jobs)) == len(jobs)
