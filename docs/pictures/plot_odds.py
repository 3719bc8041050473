"""
Logit, probability, odds
========================

The sigmoid turns a logit into a probability; on the scale of odds, each unit of the logit multiplies by e.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastxent import sigmoid

z = np.linspace(-6, 6, 300)
reviews = {"good": 1.0, "neither": -1.0, "both": -2.0, "dull": -4.0}

fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.3))
left.plot(z, sigmoid(z))
right.plot(z, np.exp(z))
for name, logit in reviews.items():
    for ax, value in ((left, float(sigmoid(logit))), (right, float(np.exp(logit)))):
        ax.plot(logit, value, "o", color="#d55e00")
        ax.annotate(name, (logit, value), xytext=(-6, 6), textcoords="offset points", ha="right")
left.set(xlabel="logit $z$", ylabel="probability $p$", ylim=(-0.03, 1.08), xlim=(-6.8, 6))
right.set(xlabel="logit $z$", ylabel="odds $p / (1 - p)$, logarithmic", yscale="log", xlim=(-6.8, 6))
plt.show()
