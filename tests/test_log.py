"""Lines of ``verbose`` reach whoever listens, each once: handlers of logging, or else stderr. Nothing is changed."""

import logging
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from fastxent import LogisticRegression, LogisticRegressionCV, SGDClassifier
from fastxent.log import heard_by, logger, tell, warn

X = [[0.0], [1.0], [2.0], [3.0], [0.5], [2.5]]
Y = [0, 1, 0, 1, 0, 1]


def test_who_has_not_configured_logging_reads_stderr():
    program = f"from fastxent import LogisticRegression; LogisticRegression(verbose=1).fit({X}, {Y})"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) > 1
    assert lines[0].startswith("metric   iteration    0   objective 0.69314")


@contextmanager
def fresh_logging():
    """Logging as it is in a fresh process; pytest, for one, adds handlers of its own while a test runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger(), "handlers", [])
        patch.setattr(logging.getLogger(), "level", logging.WARNING)
        for name, value in (
            ("handlers", []),
            ("filters", []),
            ("level", 0),
            ("propagate", True),
            ("disabled", False),
        ):
            patch.setattr(logger, name, value)
        yield
        logging.disable(logging.NOTSET)


def deaf():
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    return handler


@pytest.mark.parametrize(
    "configure",
    [
        lambda: None,
        lambda: logging.basicConfig(level=logging.INFO, format="%(message)s"),
        lambda: logging.basicConfig(format="%(message)s"),  # level WARNING, but verbose asks for the lines
        lambda: logger.addHandler(logging.StreamHandler()),
        lambda: logger.addHandler(logging.NullHandler()),  # hears nothing
        lambda: logging.getLogger().addHandler(deaf()),
        lambda: (logging.basicConfig(stream=sys.stdout), setattr(logger, "propagate", False)),
    ],
)
def test_each_line_appears_once_on_stderr(configure, capsys):
    with fresh_logging():
        configure()
        tell("100 % of it")
    assert capsys.readouterr() == ("", "100 % of it\n")


@pytest.mark.parametrize(
    "silence",
    [
        lambda: logger.setLevel(logging.WARNING),
        lambda: logging.disable(logging.INFO),
        lambda: setattr(logger, "disabled", True),
        lambda: logger.addFilter(lambda record: False),
    ],
)
@pytest.mark.parametrize("configured", [False, True])
def test_who_silences_the_logger_hears_nothing(silence, configured, capsys):
    with fresh_logging():
        if configured:
            logging.basicConfig()
        silence()
        tell("a line")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("model", "files"),
    [
        (LogisticRegression(verbose=1), {"logistic_regression.py"}),
        (
            LogisticRegressionCV(Cs=2, cv=2, l1_ratios=(0,), use_legacy_attributes=False, verbose=1),
            {"logistic_regression_cv.py"},
        ),
        (SGDClassifier(max_iter=2, tol=None, verbose=1), {"watch.py"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_handlers_get_records_and_stay_as_they_are(model, files, caplog, capfd):
    before = logger.handlers[:], logger.level, logger.propagate
    model.fit(X, Y)
    assert (logger.handlers, logger.level, logger.propagate) == before
    assert {(record.name, record.levelno) for record in caplog.records} == {("fastxent", logging.INFO)}
    assert {record.filename for record in caplog.records} == files
    assert capfd.readouterr() == ("", "")
    caplog.clear()
    model.set_params(verbose=0).fit(X, Y)
    assert not caplog.records


# Listeners ------------------------------------------------------------------------------------------------


class Listener:
    def __init__(self):
        self.heard = []

    def line(self, text):
        self.heard.append(text)

    def warning(self, text, category):
        self.heard.append((text, category))


def test_a_warning_names_the_line_that_it_is_about():
    with pytest.warns(UserWarning, match="as always") as caught:
        warn("as always", UserWarning, stacklevel=1)
    assert caught[0].filename == __file__


def test_a_listener_has_the_lines_and_warnings_of_its_thread(capsys):
    listener, others = Listener(), threading.Thread(target=tell, args=("of another thread",))
    with fresh_logging():
        with heard_by(listener):
            tell("a line")
            warn("a warning", FutureWarning, stacklevel=1)
            others.start()
            others.join()
        tell("afterwards")
    assert listener.heard == ["a line", ("a warning", FutureWarning)]
    assert capsys.readouterr().err == "of another thread\nafterwards\n"


def test_a_listener_goes_with_an_error():
    listener = Listener()
    with pytest.raises(ZeroDivisionError), heard_by(listener):
        raise ZeroDivisionError
    with pytest.warns(UserWarning, match="heard here"):
        warn("heard here", UserWarning, stacklevel=1)
    assert listener.heard == []
