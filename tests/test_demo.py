"""The demo: its data are real and stable, its figures agree with scikit-learn's, its picture is a picture."""

import sys

import numpy as np
import pytest
import scipy.sparse

from fastxent import demo


@pytest.fixture(scope="module")
def small():
    """The text problem with few classes, for speed, and what both models make of it."""
    problem = demo.docstrings(n_modules=4)
    return problem, demo.compare(problem, repeats=1)


def test_digits_are_dense_and_split_the_same_way_each_time():
    one, two = demo.digits(), demo.digits()
    assert one.X_train.shape == (1347, 64)
    assert one.X_test.shape == (450, 64)
    np.testing.assert_array_equal(one.X_train, two.X_train)
    np.testing.assert_array_equal(one.y_test, two.y_test)


def test_docstrings_are_sparse_and_of_many_modules():
    problem = demo.docstrings()
    assert scipy.sparse.issparse(problem.X_train)
    assert len(set(problem.y_train)) == demo.N_MODULES
    assert set(problem.y_test) == set(problem.y_train) <= sys.stdlib_module_names
    assert problem.X_train.shape[0] > 3000


def test_no_paragraph_of_two_modules_and_no_import_of_what_is_read():
    loaded = set(sys.modules)
    paragraphs = demo.stdlib_paragraphs()
    assert set(sys.modules) == loaded
    assert None not in paragraphs.values()
    assert all(len(text.split()) >= demo.FEWEST_WORDS for text in paragraphs)


def test_python_without_sources_is_told_so(monkeypatch, tmp_path):
    monkeypatch.setattr(demo.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(RuntimeError, match="without its library's sources"):
        demo.stdlib_paragraphs()


def test_models_reach_the_same_objective(small):
    _, rows = small
    ours, peer = rows["fastxent"], rows["scikit-learn"]
    assert ours.objective == pytest.approx(peer.objective, rel=1e-3)
    assert ours.log_loss == pytest.approx(peer.log_loss, rel=1e-2)
    assert ours.accuracy > 0.8


def test_time_to_an_objective_counts_what_comes_before_and_after(small):
    _, rows = small
    ours = rows["fastxent"]
    loss, seconds = ours.model.history_["loss"], ours.model.history_["seconds"]
    assert demo.seconds_to(ours, loss[-1]) == pytest.approx(ours.seconds)
    rest = seconds[-1] - seconds[0]
    assert demo.seconds_to(ours, loss[0]) == pytest.approx(max(seconds[0], ours.seconds - rest))
    assert demo.seconds_to(ours, 0.0) is None


def test_scikit_learn_runs_at_its_faster_setting(small, monkeypatch):
    problem, _ = small
    for faster, threads in ((1, "one thread"), (None, "all threads")):
        monkeypatch.setattr(demo, "_trial", lambda problem, limit, faster=faster: limit != faster)
        assert demo.compare(problem, repeats=1)["scikit-learn"].threads == threads


def test_table_shows_every_figure(small):
    problem, rows = small
    text = demo.table(problem, rows)
    for row in rows.values():
        for figure in (
            f"{row.objective:.8f}",
            f"{row.log_loss:.6f}",
            f"{row.accuracy:.2%}",
            f"{row.seconds:.3f}",
        ):
            assert figure in text
    assert f"{problem.X_train.shape[0]:,} rows to train" in text
    assert "4 classes" in text
    assert max(map(len, text.splitlines())) <= 120


def test_history_of_the_picture_falls_to_the_objective_of_the_table(small):
    _, rows = small
    loss = rows["fastxent"].model.history_["loss"]
    assert loss[-1] == pytest.approx(rows["fastxent"].objective, rel=1e-6)
    assert loss[-1] < loss[0]


def test_run_prints_both_and_draws(small, tmp_path, capsys):
    picture = tmp_path / "curve.png"
    demo.run(picture, repeats=1, problems=(demo.digits, lambda: small[0]))
    shown = capsys.readouterr().out
    assert "digits" in shown
    assert "docstrings" in shown
    assert str(picture) in shown
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_demo_says_how_to_get_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    picture = tmp_path / "curve.png"
    demo.run(picture, repeats=1, problems=(demo.digits,))
    assert 'pip install "fastxent[plot]"' in capsys.readouterr().out
    assert not picture.exists()
