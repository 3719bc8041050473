"""
The likelihood of a coin
========================

Seven heads in ten tosses: the likelihood of every probability of heads, and the cross-entropy of the same data.
"""

import matplotlib.pyplot as plt
import numpy as np

q = np.linspace(0.01, 0.99, 300)
likelihood = q**7 * (1 - q) ** 3
loss = -np.log(likelihood) / 10

fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.1))
left.plot(q, 1000 * likelihood)
left.plot(0.7, 1000 * likelihood.max(), "o", color="#d55e00")
left.set(xlabel="probability of heads", ylabel="likelihood, in thousandths", title="largest at 0.7")
right.plot(q, loss)
right.plot(0.7, loss.min(), "o", color="#d55e00")
right.set(
    xlabel="probability of heads", ylabel="cross-entropy (nats)", title="smallest at 0.7", ylim=(0, 3.5)
)
plt.show()
