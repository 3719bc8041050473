"""
A validation curve
==================

Training and validation loss for many strengths of the penalty.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

from fastxent import LogisticRegressionCV, linear_cross_entropy

X, y = load_digits(return_X_y=True)
X = X[:600] / 16
y = y[:600]
search = LogisticRegressionCV(Cs=np.logspace(-3, 5, 17)).fit(X, y)
folds = -search.scores_[:, 0]  # a row for each fold, a column for each C
paths = search.coefs_paths_[:, 0]  # weights, the last of them the intercept
training = np.zeros(17)
for fold, (rows, _) in enumerate(StratifiedKFold(5).split(X, y)):  # as the search divides them
    for c, W in enumerate(paths[fold]):
        training[c] += linear_cross_entropy(X[rows], y[rows], W[:, :-1], W[:, -1]) / 5

fig, ax = plt.subplots()
ax.plot(search.Cs_, training, label="training loss")
ax.plot(search.Cs_, folds.mean(axis=0), label="validation loss, mean of five folds")
ax.fill_between(
    search.Cs_,
    folds.min(axis=0),
    folds.max(axis=0),
    color="#d55e00",
    alpha=0.15,
    label="least and largest fold",
)
ax.axvline(search.C_, color="#6e7781", linestyle=":", label=f"chosen: C = {search.C_:g}")
ax.set(
    xscale="log",
    xlabel="C, the inverse strength of the penalty",
    ylabel="mean log loss (nats)",
    ylim=(0, 2.4),
)
ax.legend()
plt.show()
