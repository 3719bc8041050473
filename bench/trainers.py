"""Who trains: every library that minimises F, or nearly F, as a function from effort to parameters.

``build(problem, n_threads)`` returns ``fit(effort)``: from scratch with so much effort, a number of iterations or a
tolerance, to coef and intercept.
"""

import numpy as np

from rivals import OURS, Rival, anything, dense, imported, lasso, of_two_classes, smooth

TINY = 1e-15  # a tolerance that never stops anybody: then the iterations do
PASSES = tuple(np.unique(np.geomspace(1, 20_000, 22).astype(int)).tolist())


def tolerances(first):
    """Return tolerances that shrink from ``first`` to 1e-9, two in a decade."""
    return tuple(np.geomspace(first, 1e-9, 1 + round(2 * np.log10(first / 1e-9))).tolist())


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


def as_they_are(problem):
    return problem.X, problem.y


def by_columns(problem):
    return problem.X.tocsc(), problem.signs


def in_float32(problem):
    return problem.X.astype(np.float32), problem.signs


ESTIMATORS = {  # the class, what it is told about a problem, and how it wants the rows
    # tol is not smaller, because "auto" and "lbfgs" go over to another solver for tighter tolerances.
    "fastxent": (
        "fastxent.LogisticRegression",
        lambda p, n: {"C": p.C, "l1_ratio": p.l1_ratio, "tol": 1e-7, "n_threads": n},
        as_they_are,
    ),
    "scikit-learn": (
        "sklearn.linear_model.LogisticRegression",
        lambda p, n: {"C": p.C, "l1_ratio": p.l1_ratio, "random_state": 0},
        as_they_are,
    ),
    "scikit-learn-intelex": (
        "sklearnex.linear_model.LogisticRegression",
        lambda p, n: {"C": p.C, "n_jobs": n},
        as_they_are,
    ),
    "Cyanure": ("cyanure.estimators.Classifier", of_cyanure, as_they_are),
    "snapml": ("snapml.LogisticRegression", of_snapml, in_float32),
    "skglm": ("skglm.SparseLogisticRegression", lambda p, n: {"alpha": p.l1}, by_columns),
    "celer": ("celer.LogisticRegression", lambda p, n: {"C": p.C}, by_columns),
}


def estimator(library, what="", suits=smooth, *, solver=None, **how):
    """Return the trainer of an estimator in scikit-learn's idiom, of that solver if it has several."""
    path, told, rows = ESTIMATORS[library]

    def build(problem, n_threads):
        X, y = rows(problem)
        known = {"tol": TINY} | told(problem, n_threads) | ({"solver": solver} if solver else {})
        make = imported(path)
        return lambda effort: parameters(make(max_iter=effort, **known).fit(X, y))

    how = {"efforts": PASSES} | how
    return Rival(f"{library} {what}".strip(), path.rpartition(".")[0], build, suits, **how)


def solvers(library, suits_by_name, **how):
    return [estimator(library, name, suits, solver=name, **how) for name, suits in suits_by_name.items()]


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

    how |= {"threads": 1, "efforts": tolerances(first)}
    return Rival(f"LIBLINEAR {name}", "liblinear", build, of_two_classes(suits), **how)


def with_jax(problem, n_threads):
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    rows, labels = jnp.asarray(problem.X), jnp.asarray(problem.y)
    start, optimizer = jnp.zeros(problem.theta.shape), optax.lbfgs(memory_size=10)

    @jax.jit
    def run(theta, effort, rows, labels):
        def objective(theta):
            logits = rows @ theta[:-1] + theta[-1]
            if problem.binary:
                logits = jnp.hstack([jnp.zeros_like(logits), logits])
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
            return loss + problem.l2 / 2 * jnp.sum(theta[:-1] ** 2)

        value_and_grad = optax.value_and_grad_from_state(objective)

        def step(_, carry):
            theta, state = carry
            loss, gradient = value_and_grad(theta, state=state)
            moves = {"value": loss, "grad": gradient, "value_fn": objective}
            updates, state = optimizer.update(gradient, state, theta, **moves)
            return optax.apply_updates(theta, updates), state

        return jax.lax.fori_loop(0, effort, step, (theta, optimizer.init(theta)))[0]

    def fit(effort):
        theta = np.asarray(run(start, effort, rows, labels))
        return theta[:-1].T, theta[-1]

    return fit


# ------------------------------------------------------------------------------------ who competes


TWO_AND_LASSO = of_two_classes(lambda case: case.l1 and not case.l2)
OUR_SOLVERS = {
    "sdca": lambda case: smooth(case) and case.sparse,
    "metric": smooth,
    "prox_newton": lasso,
    "newton-cg": smooth,
    "lbfgs": smooth,
}
# Time may run out: those who are fast as a rule come first.
TRAINERS = [
    estimator(OURS, suits=anything, solver="auto"),
    *solvers(OURS, OUR_SOLVERS),
    estimator(OURS, "l1-newton", lasso, solver="saga"),  # what scikit-learn's names mean with an L1 penalty
    estimator("Cyanure", suits=anything),
    *solvers("scikit-learn-intelex", {"lbfgs": dense}),
    *solvers("scikit-learn", {"saga": anything}, threads=1),
    liblinear("primal", 0, "-R", smooth),
    liblinear("dual", 7, "", smooth, first=10.0, intercepts="penalised"),
    liblinear("L1", 6, "-R", lambda case: case.l1 and not case.l2),
    estimator("snapml", "dual, float32", of_two_classes(smooth), intercepts="penalised"),
    estimator("skglm", suits=TWO_AND_LASSO, threads=1),
    estimator("celer", suits=TWO_AND_LASSO, threads=1, intercepts="none"),
    Rival("JAX optax L-BFGS", "optax", with_jax, dense, efforts=PASSES),
    *solvers("scikit-learn", {"lbfgs": smooth}),
    *solvers("scikit-learn", {"newton-cholesky": lambda case: dense(case) and "x 784" not in case.name}),
    *solvers("scikit-learn", {"newton-cg": smooth}),
    *solvers("scikit-learn", {"sag": smooth}, threads=1),
]
