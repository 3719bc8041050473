"""
Weights as images
=================

Ten classes of digits have ten rows of 64 weights. Each row is an image of 8 x 8.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastxent import LogisticRegression

X, y = load_digits(return_X_y=True)
model = LogisticRegression(C=0.1).fit(X / 16, y)
largest = np.abs(model.coef_).max()

fig, axes = plt.subplots(2, 5, figsize=(7, 3.2))
for k, ax in enumerate(axes.flat):
    image = ax.imshow(model.coef_[k].reshape(8, 8), cmap="PuOr_r", vmin=-largest, vmax=largest)
    ax.set(title=str(k), xticks=[], yticks=[])
    ax.grid(False)
fig.colorbar(image, ax=axes, shrink=0.8, label="weight")
plt.show()
