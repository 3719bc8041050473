"""
A bowl, and no bowl
===================

Two losses of the same five examples as functions of a single weight.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastxent import linear_cross_entropy, sigmoid

x, y = np.array([0.25, 0.5, 1.0, -6.0, 2.0]), np.array([1, 1, 1, 1, 0])
weights = np.linspace(-8, 8, 400)
entropy = [linear_cross_entropy(x[:, None], y, [w]) for w in weights]
squares = [np.mean((sigmoid(w * x) - y) ** 2) for w in weights]

fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.2))
for ax, values, title in ((left, entropy, "cross-entropy"), (right, squares, "squared error")):
    ax.plot(weights, values)
    lowest = int(np.argmin(values))
    ax.plot(weights[lowest], values[lowest], "o", color="#d55e00", label="lowest point")
    ax.set(title=title, xlabel="weight", ylabel="mean loss")
    ax.legend(loc="upper center")
plt.show()
