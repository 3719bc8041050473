"""The largest relative error of a row's loss, by library, against 50-digit arithmetic."""

import numpy as np


def confident_rows():
    """Return logits whose largest entry is the label's: what a trained model says of most rows."""
    Z = 5 * np.random.default_rng(0).standard_normal((1_000, 10))
    return Z, Z.argmax(axis=1)


def row_losses(library):
    """Yield the losses of the confident rows, as a library computes them."""
    Z, y = confident_rows()
    if library == "SciPy":
        from scipy.special import log_softmax

        losses = -log_softmax(Z, axis=1)[np.arange(len(y)), y]
    elif library == "scikit-learn":
        from sklearn._loss.loss import HalfMultinomialLoss

        losses = HalfMultinomialLoss(n_classes=Z.shape[1]).loss(y.astype(float), Z)
    elif library == "PyTorch":
        import torch

        losses = torch.nn.functional.cross_entropy(torch.tensor(Z), torch.tensor(y), reduction="none")
    else:
        from fastxent import cross_entropy

        losses = cross_entropy(Z, y, reduction="none")
    yield {"losses": losses.tolist()}


def worst_error(losses):
    """Return the largest relative error of a row's loss."""
    from mpmath import exp, fsum, log1p, mpf, workdps

    def error(z, k, loss):
        exact = log1p(fsum(exp(mpf(v) - mpf(z[k])) for j, v in enumerate(z) if j != k))
        return float(abs(mpf(loss) - exact) / exact)

    with workdps(50):
        return max(map(error, *confident_rows(), losses))
