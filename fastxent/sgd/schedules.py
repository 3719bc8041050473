"""The step size as a function of the number of the update."""

from __future__ import annotations

import math

from .compile import inner

SCHEDULES = {"constant": 0, "optimal": 1, "invscaling": 2, "adaptive": 3, "cosine": 4, "settling": 5}
_OPTIMAL, _INVSCALING, _COSINE, SETTLING = 1, 2, 4, 5


@inner
def rate(
    schedule: int,
    t: float,
    eta0: float,
    alpha: float,
    power: float,
    horizon: float,
    warmup: float,
    noise: float,
) -> float:
    """The step size of update t = 1, 2, ...

    With n = t - 1 updates before it:

        constant, adaptive   eta0                              (adaptive: the estimator lowers eta0 between epochs)
        optimal              eta0 / (1 + alpha eta0 n)         = 1 / (alpha (t0 + n)) with t0 = 1 / (alpha eta0)
        invscaling           eta0 / (1 + n)^power
        cosine               eta0 (1 + cos(pi n / horizon)) / 2, and 0 after the horizon
        settling             1 / sqrt(1 / eta0^2 + noise + (alpha n)^2)

    all times min(1, t / warmup).

    noise: (1 / e)^2 L / (d / 10), with e the automatic first step, L the sum of the mean losses of the n updates, each
    before its update and log K at most, and d the number of features: 1 for the intercept, which every row moves, and
    which would otherwise pass its noise on to all logits. So `settling` begins at eta0 and approaches e / sqrt(n) once
    there have been more updates than there is to learn, when what remains is the noise of single rows. It does so only
    while there is a loss left: where the classes can be separated, steps stay long (self-confident rates: Auer,
    Cesa-Bianchi, Gentile 2002; Streeter, McMahan 2010). Once 1 / (alpha n) is shorter, it follows that, as `optimal`
    does.
    """
    n = t - 1.0
    eta = eta0
    if schedule == _OPTIMAL:
        eta = eta0 / (1.0 + alpha * eta0 * n)
    elif schedule == _INVSCALING:
        eta = eta0 / (1.0 + n) ** power
    elif schedule == SETTLING:
        eta = 1.0 / math.sqrt(1.0 / eta0**2 + noise + (alpha * n) ** 2)
    elif schedule == _COSINE:
        eta = 0.5 * eta0 * (1.0 + math.cos(math.pi * min(1.0, n / horizon)))
    if t < warmup:
        eta *= t / warmup
    return eta
