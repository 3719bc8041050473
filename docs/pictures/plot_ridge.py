"""
Ridge, with and without the intercept
=====================================

A rare class, and what the model says of it on average, as the penalty grows.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastxent import LogisticRegression

X, y = load_digits(return_X_y=True)
X, eight = X / 16, y == 8
with_one = np.column_stack([X, np.ones(len(X))])  # a column of ones: an intercept that is penalised
Cs = np.logspace(-6, 2, 25)
free = [LogisticRegression(C=C).fit(X, eight).predict_proba(X)[:, 1].mean() for C in Cs]
penalised = [
    LogisticRegression(C=C, fit_intercept=False).fit(with_one, eight).predict_proba(with_one)[:, 1].mean()
    for C in Cs
]

fig, ax = plt.subplots()
ax.plot(1 / Cs, free, label="intercept free")
ax.plot(1 / Cs, penalised, label="intercept penalised")
ax.axhline(eight.mean(), color="#6e7781", linestyle=":", label="share of eights in the data")
ax.set(
    xscale="log",
    xlabel="strength of the penalty, 1 / C",
    ylabel="mean probability of an eight",
    ylim=(0, 0.55),
)
ax.legend()
plt.show()
