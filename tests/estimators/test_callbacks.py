"""scikit-learn's callback protocol, where the installed version has it, around every estimator's iterations."""

import numpy as np
import pytest

from fastxent import LogisticRegression, SGDClassifier

pytest.importorskip("sklearn.callback")


class Watcher:
    """A callback in scikit-learn's protocol that counts what it is told, and may ask to stop."""

    def __init__(self, stop_after=None):
        self.begun, self.scores, self.stop_after = [], [], stop_after

    def setup(self, estimator, context):
        self.begun.append("setup")

    def teardown(self, estimator, context):
        self.begun.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        if context.task_name != "fit-iter" or fitted_estimator is None:
            return False
        self.scores.append(fitted_estimator.score(X, y))
        return len(self.scores) == self.stop_after


def problem():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 6))
    return X, np.argmax(X @ rng.normal(size=(6, 3)) + rng.gumbel(size=(200, 3)), axis=1)


@pytest.mark.parametrize(
    "model",
    [
        *(LogisticRegression(solver=solver, tol=1e-10) for solver in ("auto", "newton-cg", "saga")),
        *(SGDClassifier(tol=None, max_iter=9, batch_size=size, random_state=0) for size in (1, 20, None)),
        SGDClassifier(tol=None, max_iter=9, optimizer="svrg", random_state=0),
    ],
    ids=str,
)
def test_callbacks_see_every_iteration_and_may_stop(model):
    X, y = problem()
    watcher = Watcher(stop_after=3)
    model.set_callbacks(watcher).fit(X, y)
    assert len(watcher.scores) == 3 == np.max(model.n_iter_)
    assert watcher.scores[-1] == model.score(X, y)
    assert model.converged_ is False


def test_callbacks_change_nothing_and_see_begin_and_end():
    X, y = problem()
    settings = {"tol": None, "max_iter": 4, "random_state": 0}
    watcher = Watcher()
    model = SGDClassifier(**settings).set_callbacks(watcher).fit(X, y)
    np.testing.assert_array_equal(model.coef_, SGDClassifier(**settings).fit(X, y).coef_)
    assert watcher.begun[0] == "setup" and watcher.begun[-1] == "teardown"
    assert watcher.begun.count("fit-iter") == 5 and len(watcher.scores) == 4  # and an empty one in the end
