"""Rows with a decaying spectrum, labels drawn from a softmax model."""

import numpy as np
from benchopt import BaseDataset


class Dataset(BaseDataset):
    name = "synthetic"
    parameters = {"n_samples, n_features, n_classes": [(2_000, 30, 5), (4_000, 300, 10)], "seed": [0]}

    def get_data(self):
        rng = np.random.default_rng(self.seed)
        X = rng.standard_normal((self.n_samples, self.n_features)) / np.sqrt(
            np.arange(1, self.n_features + 1)
        )
        logits = 2.0 * X @ rng.standard_normal((self.n_features, self.n_classes))
        y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
        y[: self.n_classes] = np.arange(self.n_classes)
        return {"X": X, "y": y}
