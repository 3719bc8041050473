"""JAX: loss and gradient, probabilities, and L-BFGS by optax."""

import jax
import jax.numpy as jnp
import numpy as np


def arrays(problem):
    jax.config.update("jax_enable_x64", problem.X.dtype == np.float64)
    return [jnp.asarray(part) for part in (problem.theta, problem.X, problem.y)]


def logits_of(theta, X):
    logits = X @ theta[:-1] + theta[-1]
    return logits if logits.shape[1] > 1 else jnp.hstack([jnp.zeros_like(logits), logits])


def mean_loss(theta, X, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits_of(theta, X)), y[:, None], 1).mean()


def loss(problem, threads):
    parts, compiled = arrays(problem), jax.jit(jax.value_and_grad(mean_loss))
    return lambda: jax.block_until_ready(compiled(*parts))


def probabilities(problem, threads):
    (theta, X, _), compiled = arrays(problem), jax.jit(lambda theta, X: jax.nn.softmax(logits_of(theta, X)))
    return lambda: jax.block_until_ready(compiled(theta, X))


def train(problem, threads):
    import optax

    theta, rows, labels = arrays(problem)
    optimizer = optax.lbfgs(memory_size=10)

    @jax.jit
    def run(theta, iterations, rows, labels):
        def objective(theta):
            return mean_loss(theta, rows, labels) + problem.l2 / 2 * jnp.sum(theta[:-1] ** 2)

        value_and_grad = optax.value_and_grad_from_state(objective)

        def step(_, carry):
            theta, state = carry
            value, gradient = value_and_grad(theta, state=state)
            moves = {"value": value, "grad": gradient, "value_fn": objective}
            updates, state = optimizer.update(gradient, state, theta, **moves)
            return optax.apply_updates(theta, updates), state

        return jax.lax.fori_loop(0, iterations, step, (theta, optimizer.init(theta)))[0]

    def fit(iterations):
        theta_found = np.asarray(run(jnp.zeros_like(theta), iterations, rows, labels))
        return theta_found[:-1].T, theta_found[-1]

    return fit
