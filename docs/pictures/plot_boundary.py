"""
The decision boundary
=====================

Reviews by their positive and negative words, and the lines on which the model gives the same probability.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastxent import sigmoid

positive, negative = np.meshgrid(np.linspace(-1.1, 4, 200), np.linspace(-0.3, 3, 200))
p = sigmoid(-1 + 2 * positive - 3 * negative)

fig, ax = plt.subplots(figsize=(6.4, 4))
ax.contourf(positive, negative, p, levels=[0.5, 1], colors=["#56b4e9"], alpha=0.25)
lines = ax.contour(
    positive, negative, p, levels=[0.01, 0.1, 0.9, 0.99], colors="#6e7781", linestyles="--", linewidths=1
)
places = [(1.0, 1.86), (2.0, 1.73), (2.6, 0.67), (3.4, 0.4)]
ax.clabel(lines, fmt=lambda level: f"p = {level:g}", fontsize=8, manual=places)
ax.contour(positive, negative, p, levels=[0.5], colors="#d55e00", linewidths=2.5)
box = {"facecolor": "#ffffff", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
for (a, b), text in {
    (1, 0): "good film",
    (0, 1): "dull film",
    (1, 1): "good, but dull",
    (0, 0): "a film",
}.items():
    ax.plot(a, b, "o", color="#0072b2", markersize=8)
    label = f"{text}: {sigmoid(-1.0 + 2 * a - 3 * b):.2f}"
    side, shift = ("right", -9) if a == 0 else ("left", 9)
    ax.annotate(label, (a, b), (shift, 0), textcoords="offset points", ha=side, va="center", bbox=box)
ax.text(
    2.95,
    1.95,
    "border, p = 0.5",
    color="#d55e00",
    rotation=33,
    ha="center",
    va="center",
    rotation_mode="anchor",
)
ax.text(3.5, 1.2, "positive", ha="center", style="italic")
ax.text(0.6, 2.6, "negative", ha="center", style="italic")
ax.set(
    xlabel="positive words",
    ylabel="negative words",
    xticks=range(5),
    yticks=range(4),
    xlim=(-1.1, 4),
    ylim=(-0.3, 3),
)
plt.show()
