"""
One step for one flower
=======================

The loss of the flower along the direction of its first step.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastxent import linear_cross_entropy, linear_cross_entropy_and_grad, softmax

x, y, W = np.array([[1.9, 0.4]]), [0], np.array([[0.1, 0.1], [0.5, 0.5]])
loss, grad, _ = linear_cross_entropy_and_grad(x, y, W)
rates = np.linspace(0, 0.6, 100)
losses = [linear_cross_entropy(x, y, W - rate * grad) for rate in rates]
p = np.array([softmax(x @ (W - rate * grad).T)[0] for rate in rates])

fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.3))
left.plot(rates, losses, label="loss")
left.plot(rates, loss - rates * np.sum(grad**2), label="tangent at the start")
left.plot(0.1, linear_cross_entropy(x, y, W - 0.1 * grad), "o", color="#009e73", label="after the step")
left.set(xlabel="learning rate", ylabel="loss (nats)", ylim=(0, 1.4))
left.legend()
right.plot(rates, p[:, 0], label="class 0, setosa (true)")
right.plot(rates, p[:, 1], label="class 1, versicolor")
right.set(xlabel="learning rate", ylabel="probability", ylim=(0, 1.25))
right.legend(loc="upper center")
plt.show()
