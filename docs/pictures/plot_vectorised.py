"""
The gradient of ten classes
===========================

One product of matrices gives the gradient of all 640 weights. Each of its rows is an image.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastxent import softmax

X, y = load_digits(return_X_y=True)
X = X / 16
T = np.eye(10)[y]
P = softmax(X @ np.zeros((64, 10)))  # of zero weights: 1/10 everywhere
gradient = (P - T).T @ X / len(X)

fig, axes = plt.subplots(2, 5, figsize=(7, 3.4))
largest = np.abs(gradient).max()
for k, ax in enumerate(axes.flat):
    image = ax.imshow(gradient[k].reshape(8, 8), cmap="PuOr", vmin=-largest, vmax=largest)
    ax.set(title=f"class {k}", xticks=[], yticks=[])
    ax.grid(False)
fig.colorbar(image, ax=axes, shrink=0.8, label=r"$\partial L / \partial w_{kj}$")
fig.suptitle(r"$(P - T)^{\mathsf{T}} X / n$:  10 × 1797 times 1797 × 64 gives 10 × 64", fontsize=10)
plt.show()
