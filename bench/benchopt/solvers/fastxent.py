"""fastxent's solvers; "auto" is its choice."""

from benchmark_utils.estimators import EstimatorSolver


class Solver(EstimatorSolver):
    name = "fastxent"
    requirements = ["pip::fastxent"]
    parameters = {"solver": ["auto", "newton-cg", "lbfgs"]}
    tol = 1e-7  # for tighter tolerances, some hand over to another solver
    module = "fastxent"
