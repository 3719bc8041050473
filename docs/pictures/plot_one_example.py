"""
The loss of one example
=======================

The cross-entropy of one example is minus the logarithm of the probability that the model gives to the true class.
"""

import matplotlib.pyplot as plt
import numpy as np

p = np.linspace(0.004, 1, 400)

fig, ax = plt.subplots()
ax.plot(p, -np.log(p))
for value, text in ((0.05, "almost excluded"), (0.285, "the flower, at first"), (0.9, "nearly certain")):
    ax.plot(value, -np.log(value), "o", color="#d55e00")
    ax.annotate(
        f"{text}: p = {value:g}, loss {-np.log(value):.2f}",
        (value, -np.log(value)),
        xytext=(10, 6) if value < 0.5 else (-34, 26),
        textcoords="offset points",
        ha="left" if value < 0.5 else "center",
    )
ax.set(
    xlabel="probability of the true class", ylabel="loss of the example (nats)", xlim=(0, 1.02), ylim=(0, 5.6)
)
plt.show()
