"""The same descents as fastxent.sgd in plain NumPy: dense, every parameter at every update, written to be read."""

import numpy as np

from fastxent.reference import softmax


def soft(x, cut):
    return np.sign(x) * np.maximum(np.abs(x) - cut, 0.0)


def loss_and_gradient(X, y, s, theta):
    """Weighted mean loss of some rows and its gradient, and the mean weight."""
    Z = X @ theta[:-1] + theta[-1]
    if theta.shape[1] == 1:
        z = Z[:, 0]
        losses = np.logaddexp(0.0, z) - y * z
        Q = (1.0 / (1.0 + np.exp(-z)) - y)[:, None]
    else:
        P = softmax(Z)
        losses = -np.log(P[np.arange(len(y)), y])
        Q = P - np.eye(theta.shape[1])[y]
    Q = Q * (s / s.sum())[:, None]
    return losses @ s, np.vstack([X.T @ Q, Q.sum(axis=0)])


def descend(
    X,
    y,
    theta,
    order,
    *,
    optimizer,
    l1,
    l2,
    rate,
    batch,
    momentum=0.9,
    beta2=0.999,
    eps=1e-8,
    weights=None,
    eta0=None,
    era=None,
):
    """Return theta after the rows `order`, and the sum of losses. rate: t -> eta.

    era: for sparse rows; adagrad, rmsprop and adam then apply the penalty when a row has the feature, and every so many
    updates, for all the time since they last did.
    """
    theta = theta.astype(np.float64).copy()
    weights = np.ones(len(y)) if weights is None else weights
    a = np.zeros_like(theta)
    b = np.full_like(theta, eps**2 if optimizer in ("adam", "adamw") else 0.0)
    penalised = np.ones_like(theta)
    penalised[-1] = 0.0
    l1, l2 = l1 * penalised, l2 * penalised
    total = clock = 0.0
    budget, paid = np.zeros_like(theta), np.zeros_like(theta)
    pending = np.zeros((len(theta), 1))  # time of the penalties that those three have not applied yet

    def in_its_metric(theta, move, time, h):
        with np.errstate(divide="ignore"):
            short = np.minimum(1.0 / h, 1.0 / (l2 * time))  # more would overshoot
        keep = np.maximum(1.0 - l2 * time / h, 0.0)
        return soft(keep * theta - move * short, l1 * time * short)

    for t, first in enumerate(range(0, len(order), batch), start=1):
        rows = order[first : first + batch]
        s = weights[rows]
        loss, g = loss_and_gradient(X[rows], y[rows], s, theta)
        total += loss
        eta = rate(t) * s.mean()
        clock += s.mean()

        short = np.minimum(eta, 1.0 / np.where(l2 > 0, l2, 1.0 / eta))  # more would overshoot

        def proximal(theta, time):
            return soft(theta, l1 * time) / (1.0 + l2 * time)

        if optimizer == "sgd":  # no weight pays for L1 more than it was asked for, but it may do so later
            keep = 1.0 - l2 * short
            before = keep * theta - short * g
            budget, paid = keep * budget + l1 * short, keep * paid
            theta = np.maximum(before - (budget + paid), 0.0) + np.minimum(before + (budget - paid), 0.0)
            paid += theta - before
        elif optimizer == "momentum":
            a = momentum * a + g
            theta = proximal(theta - eta * a, eta / (1 - momentum))
        elif optimizer == "nesterov":
            a = momentum * a + g
            theta = proximal(theta - eta * (g + momentum * a), eta / (1 - momentum))
        elif optimizer == "adagrad":
            a = a + g**2
            move, h = eta * g, np.sqrt(a) + eps
        elif optimizer == "rmsprop":
            a = momentum * a + (1 - momentum) * g**2
            move, h = eta * g, np.sqrt(a) + eps
        elif optimizer in ("adam", "adamw"):
            a = momentum * a + (1 - momentum) * g
            b = beta2 * b + (1 - beta2) * g**2
            mean, h = a / (1 - momentum**t), np.sqrt(b / (1 - beta2**t))
            if optimizer == "adam":
                move = eta * mean
            else:
                theta = soft((1.0 - l2 * short) * theta - short * mean / h, l1 * short)
        else:  # ftrl
            g = g * s.mean()
            a += g - (np.sqrt(b + g**2) - np.sqrt(b)) / eta0 * theta
            b += g**2
            theta = -soft(a, l1 * clock) / ((eps + np.sqrt(b)) / eta0 + l2 * clock)
        if optimizer in ("adagrad", "rmsprop", "adam"):
            pending += eta
            due = np.ones_like(pending, bool)
            if era:  # else all
                due[:-1, 0] = X[rows].any(axis=0)
            theta = np.where(due, in_its_metric(theta, move, pending, h), theta - move / h)
            pending[due] = 0.0
            if t % (era or 1) == 0 or first + batch >= len(order):
                theta = in_its_metric(theta, 0.0, pending, h)
                pending[:] = 0.0
    return theta, total
