"""
One softmax, or one against the rest
====================================

The regions in which each of three classes is the most probable one.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.multiclass import OneVsRestClassifier

from fastxent import LogisticRegression

rng = np.random.default_rng(0)
kind = np.repeat([0, 1, 2], [200, 20, 200])
points = rng.normal(scale=0.4, size=(420, 2)) + 1.5 * (kind - 1)[:, None]
a, b = np.meshgrid(np.linspace(-3, 3, 300), np.linspace(-3, 3, 300))
COLOURS = ["#0072b2", "#d55e00", "#009e73"]
models = {
    "one softmax": LogisticRegression(),
    "three models, each against the rest": OneVsRestClassifier(LogisticRegression()),
}

fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.9), sharey=True)
for ax, (title, model) in zip(axes, models.items(), strict=True):
    regions = model.fit(points, kind).predict(np.column_stack([a.ravel(), b.ravel()])).reshape(a.shape)
    ax.contourf(a, b, regions, levels=[-0.5, 0.5, 1.5, 2.5], colors=COLOURS, alpha=0.2)
    for k, marker in enumerate("osD"):
        ax.scatter(*points[kind == k].T, s=14, marker=marker, color=COLOURS[k], label=f"class {k}")
    ax.set(title=title, xlabel="feature 1", aspect="equal")
    ax.grid(False)
axes[0].set_ylabel("feature 2")
axes[0].legend(loc="upper left")
plt.show()
