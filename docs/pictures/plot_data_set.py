"""
The loss of a data set
======================

Targets, minus the logarithms of the probabilities, and their product: in each row the target picks one loss.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastxent import log_softmax

W = np.array([[0.45, -0.12, 0.14, 1.30], [-0.70, 0.90, 0.68, -0.31], [-0.26, 0.05, 0.12, 0.51]])
X = np.array([[1.0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1], [0, 2, 0, 0]])
y = np.array([1, 0, 2, 1])
T, losses = np.eye(3)[y], -log_softmax(X @ W.T)

fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.9), sharey=True)
tables = {"targets $t_{ik}$": T, r"$-\log p_{ik}$": losses, r"$-t_{ik} \log p_{ik}$": T * losses}
for ax, (title, table) in zip(axes, tables.items(), strict=True):
    for (i, k), value in np.ndenumerate(table):
        text = f"{value:.0f}" if table is T else f"{value:.2f}"
        ax.text(k, i, text, ha="center", va="center", weight="bold" if T[i, k] else "normal")
    for i, k in enumerate(y):
        ax.add_patch(plt.Rectangle((k - 0.5, i - 0.5), 1, 1, color="#0072b2", alpha=0.25, linewidth=0))
    ax.grid(False)
    ax.set(
        title=title,
        xlabel="class $k$",
        xticks=range(3),
        yticks=range(4),
        yticklabels=[1, 2, 3, 4],
        xlim=(-0.5, 2.5),
        ylim=(3.5, -0.5),
    )
axes[0].set_ylabel("example $i$")
fig.suptitle(
    f"the mean of the picked entries is the loss: {(T * losses).sum(axis=1).mean():.4f}", fontsize=10
)
plt.show()
