"""Step size by number of the update."""

import math

from .compile import jit

SCHEDULES = {"constant": 0, "optimal": 1, "invscaling": 2, "adaptive": 3, "cosine": 4}
_OPTIMAL, _INVSCALING, _COSINE = 1, 2, 4


@jit
def rate(schedule, t, eta0, alpha, power, horizon, warmup):
    """The step size of update t = 1, 2, ...

    With n = t - 1 updates before it:

        constant, adaptive   eta0                              (adaptive: the estimator lowers eta0 between epochs)
        optimal              eta0 / (1 + alpha eta0 n)         = 1 / (alpha (t0 + n)) with t0 = 1 / (alpha eta0)
        invscaling           eta0 / (1 + n)^power
        cosine               eta0 (1 + cos(pi n / horizon)) / 2, and 0 after the horizon

    all times min(1, t / warmup).
    """
    n = t - 1.0
    eta = eta0
    if schedule == _OPTIMAL:
        eta = eta0 / (1.0 + alpha * eta0 * n)
    elif schedule == _INVSCALING:
        eta = eta0 / (1.0 + n) ** power
    elif schedule == _COSINE:
        eta = 0.5 * eta0 * (1.0 + math.cos(math.pi * min(1.0, n / horizon)))
    if t < warmup:
        eta *= t / warmup
    return eta
