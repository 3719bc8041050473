"""The largest relative error of a row's loss, by library, against 50-digit arithmetic."""

import numpy as np

from rivals import OURS, Rival


def confident_rows():
    """Return logits whose largest entry is the label's: what a trained model says of most rows."""
    Z = 5 * np.random.default_rng(0).standard_normal((1_000, 10))
    return Z, Z.argmax(axis=1)


def by_fastxent(Z, y):
    from fastxent import cross_entropy

    return cross_entropy(Z, y, reduction="none")


def by_scipy(Z, y):
    from scipy.special import log_softmax

    return -log_softmax(Z, axis=1)[np.arange(len(y)), y]


def by_scikit_learn(Z, y):
    from sklearn._loss.loss import HalfMultinomialLoss

    return HalfMultinomialLoss(n_classes=Z.shape[1]).loss(y.astype(float), Z)


def by_torch(Z, y):
    from torch import from_numpy
    from torch.nn.functional import cross_entropy

    return cross_entropy(from_numpy(Z), from_numpy(y), reduction="none").numpy()


LIBRARIES = {
    "SciPy": Rival("SciPy", "scipy", by_scipy),
    "scikit-learn": Rival("scikit-learn", "sklearn", by_scikit_learn),
    "PyTorch": Rival("PyTorch", "torch", by_torch),
    OURS: Rival(OURS, "fastxent", by_fastxent),
}


def row_losses(name):
    """Yield the losses of the confident rows, as a library computes them."""
    yield {"losses": LIBRARIES[name].build(*confident_rows()).tolist()}


def worst_error(losses):
    """Return the largest relative error of a row's loss."""
    from mpmath import exp, fsum, log1p, mpf, workdps

    def error(z, k, loss):
        exact = log1p(fsum(exp(mpf(v) - mpf(z[k])) for j, v in enumerate(z) if j != k))
        return float(abs(mpf(loss) - exact) / exact)

    with workdps(50):
        return max(map(error, *confident_rows(), losses))
