"""Intel's extension of scikit-learn."""

from benchmark_utils.estimators import EstimatorSolver


class Solver(EstimatorSolver):
    name = "scikit-learn-intelex"
    requirements = ["scikit-learn-intelex"]
    parameters = {"solver": ["lbfgs"]}

    def estimator(self):
        from sklearnex.linear_model import LogisticRegression

        return LogisticRegression
