"""F(W, b) = mean cross-entropy of a softmax model + (l2 / 2) ||W||^2; the intercept is not penalised."""

import numpy as np
from benchopt import BaseObjective


class Objective(BaseObjective):
    name = "Multinomial logistic regression"
    min_benchopt_version = "1.7"
    requirements = ["numpy"]
    parameters = {"l2": [1e-3, 1e-5]}
    sampling_strategy = "iteration"

    def set_data(self, X, y):
        """Keep rows X (n, d), dense or CSR, and labels y in 0..K-1."""
        self.X, self.y = X, np.asarray(y)
        self.n_classes = int(self.y.max()) + 1

    def get_objective(self):
        return {"X": self.X, "y": self.y, "l2": self.l2}

    def get_one_result(self):
        n_features, n_classes = self.X.shape[1], self.n_classes
        return {"coef": np.zeros((n_classes, n_features)), "intercept": np.zeros(n_classes)}

    def evaluate_result(self, coef, intercept):
        """Return F and its parts at coef (K, d) and intercept (K,); the gradient tells how far the optimum may be."""
        n_rows, rows = len(self.y), np.arange(len(self.y))
        coef, intercept = np.asarray(coef, np.float64), np.asarray(intercept, np.float64)
        logits = self.X @ coef.T + intercept
        logits -= logits.max(axis=1, keepdims=True)
        of_true_class = logits[rows, self.y]
        residuals = np.exp(logits)
        sums = residuals.sum(axis=1, keepdims=True)
        loss = float(np.mean(np.log(sums[:, 0]) - of_true_class))
        residuals /= sums
        accuracy = float(np.mean(residuals.argmax(axis=1) == self.y))
        residuals[rows, self.y] -= 1
        gradient = (self.X.T @ residuals).T / n_rows + self.l2 * coef
        norm = np.sqrt(np.sum(gradient**2) + np.sum((residuals.sum(axis=0) / n_rows) ** 2))
        value = loss + self.l2 / 2 * float(np.sum(coef**2))
        return {"value": value, "loss": loss, "grad_norm": float(norm), "train_accuracy": accuracy}
