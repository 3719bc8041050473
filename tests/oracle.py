"""The softmax family to 50 digits by mpmath, and the error bounds of the design, shared by tests."""

import math

import mpmath
import numpy as np

_DIGITS = 50


def exact_row(logits):
    """The row's logsumexp, softmax and log_softmax as lists of mpmath numbers; -inf masks a class.

    The largest term is held out, so that 50 digits hold for probabilities near one as well.
    """
    with mpmath.workdps(_DIGITS):
        z = [mpmath.mpf(float(value)) for value in logits]
        m = max(z)
        c = z.index(m)
        e = [mpmath.exp(value - m) for value in z]
        rest = mpmath.fsum(value for k, value in enumerate(e) if k != c)
        log_total = mpmath.log1p(rest)
        return m + log_total, [value / (1 + rest) for value in e], [value - m - log_total for value in z]


def exact_row_loss(logits, target):
    """sum_k target_k (lse - z_k) as an mpmath number."""
    with mpmath.workdps(_DIGITS):
        _, _, log_p = exact_row(logits)
        return mpmath.fsum(-mpmath.mpf(float(t)) * lp for t, lp in zip(target, log_p, strict=True) if t > 0)


def exact_row_grad(logits, label):
    """softmax minus the one-hot label, whose entry is minus the sum of the others: this does not cancel."""
    with mpmath.workdps(_DIGITS):
        _, p, _ = exact_row(logits)
        others = mpmath.fsum(value for k, value in enumerate(p) if k != label)
        return [-others if k == label else value for k, value in enumerate(p)]


def unit_roundoff(dtype):
    return float(np.finfo(dtype).eps) / 2


def row_bound(logits, dtype):
    """The design's relative error bound (rho + 8 + ceil(log2 K)) u of a row."""
    finite = [float(value) for value in logits if math.isfinite(value)]
    return (max(finite) - min(finite) + 8 + math.ceil(math.log2(len(logits)))) * unit_roundoff(dtype)


def error_in_roundoffs(got, exact, dtype, scale=None):
    """|got - exact| in units of u |exact| (or u ``scale``), less what underflow alone explains."""
    with mpmath.workdps(_DIGITS):
        error = abs(mpmath.mpf(float(got)) - exact) - 16 * mpmath.mpf(
            float(np.finfo(dtype).smallest_subnormal)
        )
        if error <= 0:
            return 0.0
        size = abs(exact) if scale is None else mpmath.mpf(scale)
        return float(error / size / unit_roundoff(dtype)) if size else math.inf
