"""The largest relative error of a row's loss, by library, against 50-digit arithmetic."""

import importlib

import numpy as np

LIBRARIES = {
    "SciPy": "scipy.special",
    "scikit-learn": "sklearn._loss.loss",
    "PyTorch": "torch",
    "fastxent": "fastxent",
}


def confident_rows():
    """Return logits whose largest entry is the label's: what a trained model says of most rows."""
    Z = 5 * np.random.default_rng(0).standard_normal((1_000, 10))
    return Z, Z.argmax(axis=1)


def row_losses(library):
    """Yield the losses of the confident rows, as a library computes them."""
    (Z, y), module = confident_rows(), importlib.import_module(LIBRARIES[library])
    if library == "SciPy":
        losses = -module.log_softmax(Z, axis=1)[np.arange(len(y)), y]
    elif library == "scikit-learn":
        losses = module.HalfMultinomialLoss(n_classes=Z.shape[1]).loss(y.astype(float), Z)
    elif library == "PyTorch":
        losses = module.nn.functional.cross_entropy(module.tensor(Z), module.tensor(y), reduction="none")
    else:
        losses = module.cross_entropy(Z, y, reduction="none")
    yield {"losses": losses.tolist()}


def worst_error(losses):
    """Return the largest relative error of a row's loss."""
    from mpmath import exp, fsum, log1p, mpf, workdps

    def error(z, k, loss):
        exact = log1p(fsum(exp(mpf(v) - mpf(z[k])) for j, v in enumerate(z) if j != k))
        return float(abs(mpf(loss) - exact) / exact)

    with workdps(50):
        return max(map(error, *confident_rows(), losses))
