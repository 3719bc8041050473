"""A solver that is an estimator in scikit-learn's idiom, run for so many iterations."""

import importlib
import warnings

import numpy as np
from benchopt import BaseSolver


class EstimatorSolver(BaseSolver):
    """``module`` is where LogisticRegression is; ``tol`` is a tolerance that does not end a run early."""

    sampling_strategy = "iteration"
    tol = 1e-15

    def set_objective(self, X, y, l2):
        self.X, self.y = X, y
        self.how = {"C": 1 / (l2 * len(y)), "solver": self.solver, "tol": self.tol}
        self.kind = importlib.import_module(self.module).LogisticRegression

    def run(self, n_iter):
        if n_iter == 0:
            n_classes = int(self.y.max()) + 1
            self.found = np.zeros((n_classes, self.X.shape[1])), np.zeros(n_classes)
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converged within so many iterations: the objective tells
            model = self.kind(max_iter=n_iter, **self.how).fit(self.X, self.y)
        self.found = model.coef_, model.intercept_

    def get_result(self):
        coef, intercept = self.found
        return {"coef": coef, "intercept": intercept}
