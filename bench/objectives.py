"""The objective of a problem, as solvers see it."""


def objective_of(X, y, n_classes, *, binary=False, l2=0.0, l1=0.0, **how):
    """Return the mean loss of unweighted rows, penalised; binary: two classes with one column of logits."""
    from fastxent.data.targets import Targets
    from fastxent.objective import Objective
    from fastxent.penalty import Penalty

    targets, K = Targets(y, n_classes), 1 if binary else n_classes
    return Objective.over(X, targets, K, penalty=Penalty(l2=l2, l1=l1), **how)
