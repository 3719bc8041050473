"""
When to stop
============

The sum of squares of the gradient falls, and batch descent ends when it is below the tolerance.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastxent import linear_cross_entropy_and_grad

X, y = load_digits(return_X_y=True)
X = X / 16
W, b, squares, losses = np.zeros((10, 64)), np.zeros(10), [], []
for _ in range(400):
    loss, grad_W, grad_b = linear_cross_entropy_and_grad(X, y, W, b)
    squares.append(np.sum(grad_W**2) + np.sum(grad_b**2))
    losses.append(loss)
    W, b = W - 0.5 * grad_W, b - 0.5 * grad_b
end = int(np.argmax(np.array(squares) < 1e-3))

fig, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.2))
left.plot(squares)
left.axhline(1e-3, color="#d55e00", linestyle="--", label="tolerance")
left.plot(end, squares[end], "o", color="#009e73", label=f"end, after {end} steps")
left.set(xlabel="step", ylabel="sum of squares of the gradient", yscale="log")
left.legend()
right.plot(losses)
right.plot(end, losses[end], "o", color="#009e73", label="end")
right.set(xlabel="step", ylabel="loss (nats)", ylim=(0, 2.4))
right.legend()
plt.show()
