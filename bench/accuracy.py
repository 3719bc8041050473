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
    import torch

    return torch.nn.functional.cross_entropy(
        torch.from_numpy(Z), torch.from_numpy(y), reduction="none"
    ).numpy()


LIBRARIES = [
    Rival("SciPy", "scipy", by_scipy),
    Rival("scikit-learn", "sklearn", by_scikit_learn),
    Rival("PyTorch", "torch", by_torch),
    Rival(OURS, "fastxent", by_fastxent),
]


def row_losses(name):
    """Yield the losses of the confident rows, as a library computes them."""
    (rival,) = (rival for rival in LIBRARIES if rival.name == name)
    yield {"losses": rival.build(*confident_rows()).tolist()}


def worst_error(losses):
    """Return the largest relative error of a row's loss, by 50-digit arithmetic."""
    import mpmath

    errors = []
    with mpmath.workdps(50):
        for z, k, loss in zip(*confident_rows(), losses, strict=True):
            others = (mpmath.exp(mpmath.mpf(v) - mpmath.mpf(z[k])) for j, v in enumerate(z) if j != k)
            exact = mpmath.log1p(mpmath.fsum(others))
            errors.append(float(abs(mpmath.mpf(loss) - exact) / exact))
    return max(errors)
