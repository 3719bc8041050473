"""Intel's extension of scikit-learn."""

from benchmark_utils.estimators import EstimatorSolver


class Solver(EstimatorSolver):
    name = "scikit-learn-intelex"
    requirements = ["scikit-learn-intelex"]
    parameters = {"solver": ["lbfgs"]}
    module = "sklearnex.linear_model"
