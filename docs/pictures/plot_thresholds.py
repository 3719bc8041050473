"""
Precision and recall
====================

What a lower or higher threshold than one half does, on rows that were not used for training.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import precision_recall_curve
from sklearn.model_selection import train_test_split

from fastxent import LogisticRegression

X, y = load_breast_cancer(return_X_y=True)
malignant = y == 0
train, test, y_train, y_test = train_test_split(X[:, :2], malignant, random_state=0)
p = LogisticRegression().fit(train, y_train).predict_proba(test)[:, 1]
precision, recall, thresholds = precision_recall_curve(y_test, p)

fig, ax = plt.subplots()
ax.step(thresholds, precision[:-1], where="post", label="precision")
ax.step(thresholds, recall[:-1], where="post", label="recall")
ax.axvline(0.5, color="#6e7781", linewidth=1, linestyle=":")
ax.set(
    xlabel="threshold on the probability of a malignant tumour", ylabel="share", xlim=(0, 1), ylim=(0, 1.05)
)
ax.legend(loc="lower center")
plt.show()
