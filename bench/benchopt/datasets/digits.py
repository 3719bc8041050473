"""scikit-learn's digits, their pixels as they come: 1,797 x 64, 10 classes."""

from benchopt import BaseDataset


class Dataset(BaseDataset):
    name = "digits"
    requirements = ["scikit-learn"]

    def get_data(self):
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        return {"X": X, "y": y}
