"""scikit-learn's solvers."""

from benchmark_utils.estimators import EstimatorSolver


class Solver(EstimatorSolver):
    name = "scikit-learn"
    requirements = ["scikit-learn"]
    parameters = {"solver": ["lbfgs", "newton-cg", "newton-cholesky", "sag", "saga"]}
    module = "sklearn.linear_model"
