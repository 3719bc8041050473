"""
Three descents
==============

Full batches, minibatches of 32 and single rows: their losses by epoch, and their paths through a valley of two weights.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastxent import SGDClassifier, linear_cross_entropy, linear_cross_entropy_and_grad

X, y = load_digits(return_X_y=True)
X = X / 16
NAMES = {None: "batch", 32: "minibatches of 32", 1: "single rows"}

fig, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.7))
for size, name in NAMES.items():
    losses = [np.log(10)]
    for epochs in range(1, 13):
        model = SGDClassifier(batch_size=size, penalty=None, max_iter=epochs, tol=None, random_state=0).fit(
            X, y
        )
        losses.append(linear_cross_entropy(X, y, model.coef_, model.intercept_))
    left.plot(losses, label=name)
left.set(
    xlabel="epoch (visits to all rows)", ylabel="loss of all rows (nats)", ylim=(0, 2.6), yticks=range(3)
)
left.legend()

# Two weights, written out by hand: with the same learning rate, noise grows as batches shrink.
rng = np.random.default_rng(1)
rows = rng.normal(size=(200, 2)) * [1.0, 2.0]
labels = (rng.random(200) < 1 / (1 + np.exp(-rows @ [1.5, -0.6]))).astype(int)
for size, name in NAMES.items():
    theta, path = np.array([-1.0, 0.9]), [np.array([-1.0, 0.9])]
    for _ in range(60):
        batch = rng.permutation(200)[: size or 200]
        _, grad, _ = linear_cross_entropy_and_grad(rows[batch], labels[batch], theta)
        theta = theta - 0.35 * grad
        path.append(theta)
    right.plot(*np.transpose(path), marker="o", markersize=2.5, linewidth=1.2, label=name)
a, b = np.meshgrid(np.linspace(-1.4, 2.6, 60), np.linspace(-1.6, 1.4, 60))
height = [linear_cross_entropy(rows, labels, theta) for theta in zip(a.ravel(), b.ravel(), strict=True)]
right.contour(
    a, b, np.reshape(height, a.shape), levels=14, colors="#6e7781", linewidths=0.6, linestyles="-", zorder=0
)
right.set(xlabel="first weight", ylabel="second weight")
right.grid(False)
plt.show()
