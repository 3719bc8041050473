"""
Learning rates
==============

Batch descent with steps that are too short, right, and too long.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris

from fastxent import linear_cross_entropy_and_grad

X, y = load_iris(return_X_y=True)

fig, ax = plt.subplots()
for rate, name in ((0.003, "too short"), (0.05, "good"), (0.25, "too long")):
    W, b, losses = np.zeros((3, 4)), np.zeros(3), []
    for _ in range(60):
        loss, grad_W, grad_b = linear_cross_entropy_and_grad(X, y, W, b)
        losses.append(loss)
        W, b = W - rate * grad_W, b - rate * grad_b
    ax.plot(losses, label=f"{rate:g}: {name}")
ax.set(xlabel="step", ylabel="loss (nats)", ylim=(0, 4))
fig.legend(title="learning rate", ncols=3, loc="outside upper center")
plt.show()
