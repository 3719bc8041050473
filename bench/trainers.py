"""Who trains: every library that minimises F, or nearly F, as a function from effort to parameters.

``build(problem, n_threads)`` prepares what a user would do once (other containers, compiled code) and returns
``fit(effort)``: from scratch with so much effort, a number of iterations or a tolerance, to coef and intercept.
"""

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


def parameters(model):
    return model.coef_, model.intercept_


# ------------------------------------------------------------------------------------ ours


def with_fastxent(solver):
    # Not smaller: "auto" and "lbfgs" go over to another solver for tolerances that are tighter.
    tol = 1e-7

    def build(problem, n_threads):
        from fastxent import LogisticRegression

        how = {"C": problem.C, "l1_ratio": problem.l1_ratio, "solver": solver, "n_threads": n_threads}
        return lambda effort: parameters(
            LogisticRegression(tol=tol, max_iter=effort, **how).fit(problem.X, problem.y)
        )

    return build


def ours(solver, suits=lambda training: True, name=None):
    name = OURS if solver == "auto" else f"{OURS} {name or solver}"
    return Trainer(name, "fastxent", with_fastxent(solver), suits)


# ------------------------------------------------------------------------------------ scikit-learn, Intel's


def with_scikit_learn(solver):
    def build(problem, n_threads):
        from sklearn.linear_model import LogisticRegression

        how = {"C": problem.C, "l1_ratio": problem.l1_ratio, "solver": solver, "random_state": 0}
        return lambda effort: parameters(
            LogisticRegression(tol=TINY, max_iter=effort, **how).fit(problem.X, problem.y)
        )

    return build


def with_intel_extension(problem, n_threads):
    from sklearnex.linear_model import LogisticRegression

    how = {"C": problem.C, "n_jobs": n_threads}
    return lambda effort: parameters(
        LogisticRegression(tol=TINY, max_iter=effort, **how).fit(problem.X, problem.y)
    )


# ------------------------------------------------------------------------------------ Cyanure


def with_cyanure(problem, n_threads):
    from cyanure.estimators import Classifier

    penalty = {"penalty": "l2", "lambda_1": problem.l2}
    if problem.l1:
        penalty = {"penalty": "l1", "lambda_1": problem.l1}
    if problem.l1 and problem.l2:
        penalty = {"penalty": "elastic-net", "lambda_1": problem.l1, "lambda_2": problem.l2}
    loss = "logistic" if problem.binary else "multiclass-logistic"

    def fit(effort):
        model = Classifier(
            loss=loss,
            fit_intercept=True,
            tol=TINY,
            max_iter=effort,
            n_threads=n_threads,
            verbose=False,
            **penalty,
        ).fit(problem.X, problem.y)
        coef = np.atleast_2d(model.coef_)
        classes = 1 if problem.binary else problem.n_classes
        return (coef if coef.shape[0] == classes else coef.T), np.ravel(model.intercept_)

    return fit


# ------------------------------------------------------------------------------------ two classes


def with_liblinear(solver, bias):
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

    return build


def with_snapml(problem, n_threads):
    from snapml import LogisticRegression

    X = problem.X.astype(np.float32)
    how = {"regularizer": 1 / problem.C, "dual": True, "n_jobs": n_threads, "fit_intercept": True}

    def fit(effort):
        model = LogisticRegression(tol=TINY, max_iter=effort, random_state=0, **how).fit(X, problem.signs)
        return np.ravel(model.coef_)[np.newaxis], np.ravel(model.intercept_)

    return fit


def with_celer(problem, n_threads):
    from celer import LogisticRegression

    X = problem.X.tocsc()

    def fit(effort):
        model = LogisticRegression(C=problem.C, tol=TINY, max_iter=effort).fit(X, problem.signs)
        return model.coef_, np.zeros(1)

    fit(1)  # Numba compiles
    return fit


def with_skglm(problem, n_threads):
    from skglm import SparseLogisticRegression

    X = problem.X.tocsc()

    def fit(effort):
        model = SparseLogisticRegression(alpha=problem.l1, tol=TINY, max_iter=effort).fit(X, problem.signs)
        return model.coef_, np.ravel(model.intercept_)

    fit(1)  # Numba compiles
    return fit


# ------------------------------------------------------------------------------------ L-BFGS on automatic gradients


def with_torch(problem, n_threads):
    import torch

    torch.set_num_threads(n_threads)
    columns = 1 if problem.binary else problem.n_classes
    labels = torch.from_numpy(problem.y)
    if problem.sparse:
        product = torch_product(problem.X)
    else:
        rows = torch.from_numpy(problem.X)

        def product(weights):
            return rows @ weights

    def fit(effort):
        weights = torch.zeros((problem.X.shape[1], columns), dtype=torch.float64, requires_grad=True)
        intercept = torch.zeros(columns, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS(
            [weights, intercept],
            max_iter=effort,
            max_eval=10 * effort,
            history_size=10,
            tolerance_grad=0,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

        def closure():
            optimizer.zero_grad()
            logits = product(weights) + intercept
            if problem.binary:
                logits = torch.hstack([torch.zeros_like(logits), logits])
            value = torch.nn.functional.cross_entropy(logits, labels)
            value = value + problem.l2 / 2 * weights.square().sum()
            value.backward()
            return value

        optimizer.step(closure)
        return weights.detach().numpy().T, intercept.detach().numpy()

    return fit


def torch_product(X):
    """Return X @ weights whose gradient is a product with a transpose made once; torch's own is many times slower."""
    import torch

    def as_tensor(matrix):
        parts = (matrix.indptr, matrix.indices, matrix.data)
        return torch.sparse_csr_tensor(*map(torch.from_numpy, parts), size=matrix.shape)

    rows, columns = as_tensor(X), as_tensor(X.T.tocsr())

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(context, weights):
            return rows @ weights

        @staticmethod
        def backward(context, gradient):
            return columns @ gradient

    return Product.apply


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

    fit(1)  # XLA compiles
    return fit


def smooth(training):
    return not training.l1


def penalised(training):
    return bool(training.l1)


def dense(training):
    return smooth(training) and not training.sparse


def few_unknowns(training):
    return dense(training) and "Fashion" not in training.name


def sparse_l2(training):
    return smooth(training) and training.sparse


def two_classes_l2(training):
    return smooth(training) and training.binary


def two_classes_l1(training):
    return training.binary and training.l1 and not training.l2


# Time may run out: those who are fast as a rule come first.
TRAINERS = [
    ours("auto"),
    ours("sdca", sparse_l2),
    ours("metric", smooth),
    ours("prox_newton", penalised),
    ours("newton-cg", smooth),
    ours("lbfgs", smooth),
    ours("saga", penalised, name="l1-newton"),  # what scikit-learn's names mean with an L1 penalty
    Trainer("Cyanure", "cyanure", with_cyanure),
    Trainer("scikit-learn-intelex lbfgs", "sklearnex", with_intel_extension, dense),
    Trainer("scikit-learn saga", "sklearn", with_scikit_learn("saga"), threaded=False),
    Trainer(
        "LIBLINEAR primal",
        "liblinear",
        with_liblinear(0, "-R"),
        two_classes_l2,
        efforts=tolerances(1e-9),
        threaded=False,
    ),
    Trainer(
        "LIBLINEAR dual",
        "liblinear",
        with_liblinear(7, ""),
        two_classes_l2,
        efforts=tolerances(1e-9, first=10.0),
        threaded=False,
        intercepts="penalised",
    ),
    Trainer(
        "LIBLINEAR L1",
        "liblinear",
        with_liblinear(6, "-R"),
        two_classes_l1,
        efforts=tolerances(1e-9),
        threaded=False,
    ),
    Trainer("snapml dual, float32", "snapml", with_snapml, two_classes_l2, intercepts="penalised"),
    Trainer("skglm", "skglm", with_skglm, two_classes_l1, threaded=False),
    Trainer("celer", "celer", with_celer, two_classes_l1, threaded=False, intercepts="none"),
    Trainer("JAX optax L-BFGS", "optax", with_jax, dense),
    Trainer("scikit-learn lbfgs", "sklearn", with_scikit_learn("lbfgs"), smooth),
    Trainer("scikit-learn newton-cholesky", "sklearn", with_scikit_learn("newton-cholesky"), few_unknowns),
    Trainer("scikit-learn newton-cg", "sklearn", with_scikit_learn("newton-cg"), smooth),
    Trainer("PyTorch L-BFGS", "torch", with_torch, smooth),
    Trainer("scikit-learn sag", "sklearn", with_scikit_learn("sag"), smooth, threaded=False),
]
