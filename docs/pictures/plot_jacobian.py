"""
The softmax's Jacobian
======================

How each probability changes with each logit, and what is lost if only the diagonal is used.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastxent import softmax

p, y = softmax(np.array([0.47, 0.88, -0.09])), 1
J = np.diag(p) - np.outer(p, p)
whole, diagonal = -J[y] / p[y], np.where(np.arange(3) == y, -np.diag(J) / p[y], 0)

fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.3))
left.imshow(J, cmap="PuOr", vmin=-0.5, vmax=0.5)
for (a, k), value in np.ndenumerate(J):
    formula = "$p_k(1 - p_k)$" if a == k else "$-p_a p_k$"
    left.text(k, a, f"{value:.3f}\n{formula}", ha="center", va="center", color="#111111", fontsize=9)
left.grid(False)
left.set(
    title=r"$\partial p_a / \partial z_k$", xlabel="logit of class $k$", ylabel="probability of class $a$"
)
left.set(xticks=range(3), yticks=range(3))

at = np.arange(3)
right.bar(at - 0.2, whole, 0.38, label="whole table: $p_k - t_k$")
right.bar(at + 0.2, diagonal, 0.38, hatch="//", label="diagonal alone")
right.axhline(0, color="#6e7781", linewidth=1, linestyle="-")
right.set(
    title=r"$\partial \ell / \partial z_k$, true class 1", xlabel="class $k$", xticks=at, ylim=(-0.6, 0.72)
)
right.legend(loc="upper center")
plt.show()
