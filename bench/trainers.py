"""Who trains: every library that minimises F, or nearly F, as a function from effort to parameters.

``build(problem, n_threads)`` prepares what a user would do once (other containers, compiled code) and returns
``fit(effort)``: from scratch with so much effort, a number of iterations or a tolerance, to coef and intercept.
"""

import importlib
from dataclasses import dataclass

import numpy as np

from rivals import OURS, Rival

TINY = 1e-15  # a tolerance that never stops anybody: then the iterations do


def iterations(last, first=1, factor=1.6):
    """Return numbers of iterations that grow by about ``factor``."""
    counts = [first]
    while counts[-1] < last:
        counts.append(max(counts[-1] + 1, round(counts[-1] * factor)))
    return tuple(counts)


def tolerances(last, first=1.0, per_decade=2):
    """Return tolerances that shrink from ``first`` to ``last``."""
    steps = round(per_decade * np.log10(first / last))
    return tuple(float(tol) for tol in np.geomspace(first, last, steps + 1))


PASSES = iterations(20_000)


@dataclass(frozen=True)
class Trainer(Rival):
    """A rival that trains. ``efforts`` is its ladder, ``intercepts`` how it treats the intercept."""

    efforts: tuple = PASSES
    intercepts: str = "free"
    threaded: bool = True  # whether it is also tried on more than one thread


# ------------------------------------------------------------------------------------ estimators


def parameters(model):
    """Return coef (K, d), or (1, d), and intercept, whatever shape a library gives them."""
    coef, intercept = np.atleast_2d(model.coef_), np.ravel(model.intercept_)
    return (coef if len(coef) == max(1, len(intercept)) else coef.T), intercept


def of_cyanure(problem, n_threads):
    kind = "elastic-net" if problem.l1 and problem.l2 else "l1" if problem.l1 else "l2"
    strengths = {"lambda_1": problem.l1 or problem.l2, "lambda_2": problem.l2 if problem.l1 else 0.0}
    loss = "logistic" if problem.binary else "multiclass-logistic"
    how = {"loss": loss, "penalty": kind, "fit_intercept": True, "verbose": False}
    return how | strengths | {"n_threads": n_threads}


def of_snapml(problem, n_threads):
    how = {"regularizer": 1 / problem.C, "dual": True, "fit_intercept": True, "random_state": 0}
    return how | {"n_jobs": n_threads}


ROWS = {
    "as they are": lambda problem: (problem.X, problem.y),
    "by columns, signs": lambda problem: (problem.X.tocsc(), problem.signs),
    "float32, signs": lambda problem: (problem.X.astype(np.float32), problem.signs),
}
ESTIMATORS = {  # the class, what it is told about a problem, and how it wants the rows
    # tol is not smaller, because "auto" and "lbfgs" go over to another solver for tighter tolerances.
    "fastxent": (
        "fastxent.LogisticRegression",
        lambda p, n: {"C": p.C, "l1_ratio": p.l1_ratio, "tol": 1e-7, "n_threads": n},
        "as they are",
    ),
    "scikit-learn": (
        "sklearn.linear_model.LogisticRegression",
        lambda p, n: {"C": p.C, "l1_ratio": p.l1_ratio, "random_state": 0},
        "as they are",
    ),
    "scikit-learn-intelex": (
        "sklearnex.linear_model.LogisticRegression",
        lambda p, n: {"C": p.C, "n_jobs": n},
        "as they are",
    ),
    "Cyanure": ("cyanure.estimators.Classifier", of_cyanure, "as they are"),
    "snapml": ("snapml.LogisticRegression", of_snapml, "float32, signs"),
    "skglm": ("skglm.SparseLogisticRegression", lambda p, n: {"alpha": p.l1}, "by columns, signs"),
    "celer": ("celer.LogisticRegression", lambda p, n: {"C": p.C}, "by columns, signs"),
}


def estimator(library, what="", suits=lambda training: True, *, solver=None, **how):
    """Return the trainer of an estimator in scikit-learn's idiom, of that solver if it has several."""
    path, told, rows = ESTIMATORS[library]
    module, kind = path.rsplit(".", 1)

    def build(problem, n_threads):
        X, y = ROWS[rows](problem)
        known = {"tol": TINY} | told(problem, n_threads) | ({"solver": solver} if solver else {})
        make = getattr(importlib.import_module(module), kind)
        return lambda effort: parameters(make(max_iter=effort, **known).fit(X, y))

    return Trainer(f"{library} {what}".strip(), module, build, suits, **how)


def ours(solver, suits=lambda training: True, name=None):
    return estimator(OURS, name or solver, suits, solver=solver)


def scikit_learn(solver, suits=lambda training: True, **how):
    return estimator("scikit-learn", solver, suits, solver=solver, **how)


# ------------------------------------------------------------------------------------ other libraries


def liblinear(name, solver, bias, suits, first=1.0, **how):
    def build(problem, n_threads):
        from liblinear.liblinearutil import parameter, train
        from liblinear.liblinearutil import problem as converted

        rows = converted(problem.signs, problem.X, bias=1)

        def fit(effort):
            model = train(rows, parameter(f"-s {solver} -c {problem.C!r} -e {effort!r} -B 1 {bias} -q"))
            weights, intercept = model.get_decfun()
            sign = 1.0 if model.get_labels()[0] == 1 else -1.0  # the class met first is its positive one
            return sign * np.array(weights)[np.newaxis], sign * np.array([intercept])

        return fit

    how |= {"threaded": False, "efforts": tolerances(1e-9, first)}
    return Trainer(f"LIBLINEAR {name}", "liblinear", build, suits, **how)


def with_jax(problem, n_threads):
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    columns = 1 if problem.binary else problem.n_classes
    rows, labels = jnp.asarray(problem.X), jnp.asarray(problem.y)
    start = jnp.zeros((problem.X.shape[1] + 1, columns))
    optimizer = optax.lbfgs(memory_size=10)

    def objective(theta, rows, labels):
        logits = rows @ theta[:-1] + theta[-1]
        if problem.binary:
            logits = jnp.hstack([jnp.zeros_like(logits), logits])
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        return loss + problem.l2 / 2 * jnp.sum(theta[:-1] ** 2)

    @jax.jit
    def run(theta, effort, rows, labels):
        def value(theta):
            return objective(theta, rows, labels)

        value_and_grad = optax.value_and_grad_from_state(value)

        def step(_, carry):
            theta, state = carry
            loss, gradient = value_and_grad(theta, state=state)
            moves = {"value": loss, "grad": gradient, "value_fn": value}
            updates, state = optimizer.update(gradient, state, theta, **moves)
            return optax.apply_updates(theta, updates), state

        return jax.lax.fori_loop(0, effort, step, (theta, optimizer.init(theta)))[0]

    def fit(effort):
        theta = np.asarray(run(start, effort, rows, labels))
        return theta[:-1].T, theta[-1]

    return fit


# ------------------------------------------------------------------------------------ who suits what


def smooth(training):
    return not training.l1


def penalised(training):
    return bool(training.l1)


def dense(training):
    return smooth(training) and not training.sparse


def of_two_classes(suits):
    return lambda training: training.binary and suits(training)


# Time may run out: those who are fast as a rule come first.
TRAINERS = [
    estimator(OURS, solver="auto"),
    ours("sdca", lambda t: smooth(t) and t.sparse),
    ours("metric", smooth),
    ours("prox_newton", penalised),
    ours("newton-cg", smooth),
    ours("lbfgs", smooth),
    ours("saga", penalised, name="l1-newton"),  # what scikit-learn's names mean with an L1 penalty
    estimator("Cyanure"),
    estimator("scikit-learn-intelex", "lbfgs", dense),
    scikit_learn("saga", threaded=False),
    liblinear("primal", 0, "-R", of_two_classes(smooth)),
    liblinear("dual", 7, "", of_two_classes(smooth), first=10.0, intercepts="penalised"),
    liblinear("L1", 6, "-R", of_two_classes(lambda t: t.l1 and not t.l2)),
    estimator("snapml", "dual, float32", of_two_classes(smooth), intercepts="penalised"),
    estimator("skglm", suits=of_two_classes(lambda t: t.l1 and not t.l2), threaded=False),
    estimator("celer", suits=of_two_classes(lambda t: t.l1 and not t.l2), threaded=False, intercepts="none"),
    Trainer("JAX optax L-BFGS", "optax", with_jax, dense),
    scikit_learn("lbfgs", smooth),
    scikit_learn("newton-cholesky", lambda t: dense(t) and "x 784" not in t.name),
    scikit_learn("newton-cg", smooth),
    scikit_learn("sag", smooth, threaded=False),
]
