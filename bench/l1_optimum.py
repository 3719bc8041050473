"""How near the optimum L1 fits end: `python bench/l1_optimum.py [--rows N]`.

On both real data sets, for some strengths of the penalty: prox_newton, asked for 1e-12, against l1_newton, another
method, run until it cannot go on; the least F that duality admits; and the largest violation of the conditions of
optimality. The objectives should agree to 1e-8 and the supports be equal. With 5,000 rows it takes about two minutes.
"""

import argparse

import numpy as np

import data
from fastxent.penalty import Penalty
from fastxent.prediction import predict
from fastxent.solvers import l1_newton
from fastxent.solvers.coordinate import prox_newton
from objectives import objective_of

SHARES = (0.3, 0.1, 0.03)  # of lambda_max
RATIOS = (1.0, 0.5)  # L1's share of the penalty


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5000)
    rows = slice(parser.parse_args().rows)
    print(
        "| data | lambda / lambda_max | L1 ratio | non-zeros | objectives apart | below by duality | violation / l1 |"
    )
    print("|" + " --- |" * 7)
    for name, (X, y) in {
        "Fashion-MNIST": data.fashion(np.float64),
        "glosses": data.glosses(np.float64),
    }.items():
        for ratio in RATIOS:
            for share in SHARES:
                print(
                    f"| {name} | {share:g} | {ratio:g} | "
                    + " | ".join(compare(X[rows], y[rows], share, ratio))
                    + " |"
                )


def compare(X, y, share, ratio):
    """The cells of one line."""
    objective = objective_of(X, y, int(y.max()) + 1)
    strength = share * prox_newton.l1_max(objective) / ratio
    l1, l2 = ratio * strength, (1 - ratio) * strength
    objective = objective.with_penalty(Penalty(l2=l2, l1=l1))
    found = prox_newton.solve(objective, objective.initial(), tol=1e-12, max_iter=1000)
    other = l1_newton.solve(objective, objective.initial(), tol=1e-9 * l1, max_iter=1000)
    apart = (found.value - other.value) / other.value
    same = np.array_equal(found.theta[:-1] != 0, other.theta[:-1] != 0)
    P = np.asarray(predict(X, found.theta, "proba"), np.float64)
    below = (found.value - lower_bound(objective, P)) / found.value
    return (
        f"{np.count_nonzero(found.theta[:-1])}{'' if same else ' (other support)'}",
        f"{apart:.1e}",
        f"{below:.1e}",
        f"{found.grad_norm / l1:.1e}",
    )


def lower_bound(objective, P):
    """What F is never below, by distributions P (n, K) near the optimum's: the dual where P, mixed with one
    distribution and drawn towards the targets, meets the constraints of the intercept and of the L1 penalty."""
    part, l1, l2 = objective.local, objective.penalty.l1, objective.penalty.l2
    T = part.targets.distributions()
    P = P * T.any(axis=0)  # without classes that no row has
    P /= P.sum(axis=1, keepdims=True)
    have, wanted = P.sum(axis=0), T.sum(axis=0)
    s = max((1 - wanted[wanted > 0] / have[wanted > 0]).max(), 0.0)
    missing = wanted - (1 - s) * have
    P = (1 - s) * P + s * missing / (missing.sum() or 1.0)
    G = part.X.T @ (P - T) / len(P)
    G = G[:, 1:] if objective.K == 1 else G
    share = 1.0 if l2 else min(1.0, (1 - 1e-12) * l1 / np.abs(G).max())
    P = T + share * (P - T)
    entropy = -(P * np.log(np.where(P > 0, P, 1.0))).sum() / len(P)
    excess = np.maximum(share * np.abs(G) - l1, 0.0)
    return entropy - ((excess**2).sum() / (2 * l2) if l2 else 0.0)


if __name__ == "__main__":
    main()
