"""fastxent itself: its objective, its predictions of many rows, and of one."""

from functools import partial

from adapters.by_estimators import fitted


def loss(problem, threads):
    return partial(problem.ours(n_threads=threads).value_and_grad, problem.theta)


def probabilities(problem, threads):
    from fastxent.prediction import predict

    return partial(predict, problem.X, problem.theta, "proba", n_threads=threads)


def row(problem, threads):
    predictor, X = fitted("fastxent", problem).predictor(), problem.X
    if problem.n_rows > 1:
        return partial(predictor, X)
    return partial(predictor, X.indices, X.data) if problem.sparse else partial(predictor, X[0])
