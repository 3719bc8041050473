"""
Early stopping
==============

Training loss and validation loss by epoch, on few rows with many features.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification

from fastxent import SGDClassifier

X, y = make_classification(600, 100, n_informative=8, n_redundant=0, n_classes=3, flip_y=0.15, random_state=0)
options = {"batch_size": 16, "penalty": None, "eta0": 0.008, "learning_rate": "constant", "random_state": 0}
held_out = (X[300:], y[300:])
to_the_end = SGDClassifier(max_iter=40, tol=None, **options).fit(X[:300], y[:300], eval_set=held_out)
patient = SGDClassifier(early_stopping=True, n_iter_no_change=5, tol=0.0, **options).fit(
    X[:300], y[:300], eval_set=held_out
)
best = int(np.argmin(patient.history_["val_loss"]))

fig, ax = plt.subplots()
for name, label in (("loss", "training loss"), ("val_loss", "validation loss")):
    ax.plot(to_the_end.history_["epoch"], to_the_end.history_[name], label=label)
ax.plot(
    best + 1, patient.history_["val_loss"][best], "o", color="#009e73", label="best weights", markersize=8
)
ax.axvline(patient.n_iter_, color="#6e7781", linestyle=":", label="end, after five epochs of patience")
ax.set(xlabel="epoch", ylabel="mean log loss (nats)", xlim=(0, 40), ylim=(0.3, 1.5))
ax.legend(ncols=2, loc="upper center")
plt.show()
