"""The largest relative error of a row's loss, by library, against 50-digit arithmetic."""

import numpy as np

from rivals import ROW_LOSSES


def confident_rows():
    """Return logits whose largest entry is the label's: what a trained model says of most rows."""
    Z = 5 * np.random.default_rng(0).standard_normal((1_000, 10))
    return Z, Z.argmax(axis=1)


def row_losses(name):
    """Yield the losses of the confident rows, as a library computes them."""
    rival = next(rival for rival in ROW_LOSSES if rival.name == name)
    yield {"losses": rival.build(*confident_rows()).tolist()}


def worst_error(losses):
    """Return the largest relative error of a row's loss."""
    from mpmath import exp, fsum, log1p, mpf, workdps

    def error(z, k, loss):
        exact = log1p(fsum(exp(mpf(v) - mpf(z[k])) for j, v in enumerate(z) if j != k))
        return float(abs(mpf(loss) - exact) / exact)

    with workdps(50):
        return max(map(error, *confident_rows(), losses))
